"""Which printed numbers follow from those printed beside them, and the alliance in families.

The registry holds what was printed, with its source. Verdicts are computed here, each time, and
speak of relations between numbers: not of authors.
"""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from alliance_stats.evidence import Reproduction, published_effects, reproduce
from alliance_stats.evidence.printed.published_records import Source
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import (
    MISSING,
    format_bounded,
    format_count,
    format_interval,
    plural,
)
from alliance_stats.provenance import numbers_from
from alliance_stats.tables import ReportTable
from alliance_stats.tables.report_table import remembers_call
from analyses.chapter import Chapter, Numbers, Section

NAME = "published_comparisons"
FAMILIES = {
    "welmers2018/level": "Level of the alliance, families (Welmers-van de Poll et al. 2018)",
    "welmers2018/split": "Split alliance, families (Welmers-van de Poll et al. 2018)",
    "friedlander2018/split": "Split alliance, couples and families (Friedlander et al. 2018)",
    "welmers2018/change": "Change of the alliance, families (Welmers-van de Poll et al. 2018)",
    "friedlander2018/overall": "Alliance, couples and families (Friedlander et al. 2018)",
    "fluckiger2018/overall": "Alliance, adults (Flückiger et al. 2018)",
}
REPRODUCED, NOT_REPRODUCED, NOT_CHECKABLE = "reproduced", "not reproduced", "not checkable"
NAMES = {
    "conf_low": "lower limit",
    "conf_high": "upper limit",
    "p_value": "p",
    "std_error": "SE",
    "se_z": "SE of z",
    "exp_b": "exp(b)",
    "k_studies": "studies",
    "n_effects": "effect sizes",
    "n_total": "persons",
}
MINUS = re.compile(r"(?<![\w.\])])-(?=[.\d])")
CAUSES = "Transcription, rounding of the inputs or an unstated method may be the reason."


def load() -> Reproduction:
    """Return the registry with a verdict for each of its printed numbers."""
    return reproduce()


def main(data: Reproduction, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    families, family_numbers = alliance_in_families()
    verdicts, verdict_numbers = registry(data)
    chapter = Chapter(
        name=NAME,
        title="Published numbers, recomputed",
        data="published",
        source=(
            "Published numbers, as they were printed: facts with their sources, most from "
            "abstracts and open pages (data/published). A number is reproduced, not reproduced "
            "under a relation, or not checkable from what stands beside it. "
            f"{CAUSES} No verdict is stored, and none is about an author."
        ),
        sections=(families, verdicts),
        numbers={**family_numbers, **verdict_numbers},
        headline=(
            f"{format_count(verdict_numbers['printed'])} printed numbers: "
            f"{format_count(verdict_numbers['reproduced'])} reproduced, "
            f"{format_count(verdict_numbers['not_reproduced'])} not reproduced, "
            f"{format_count(verdict_numbers['not_checkable'])} not checkable"
        ),
    )
    chapter.save(out)
    return chapter


def effects() -> pd.DataFrame:
    """Return the published correlations of alliance and outcome that stand side by side."""
    found = published_effects(on="r", records=list(FAMILIES)).set_index("label", drop=False)
    return found.loc[list(FAMILIES)].reset_index(drop=True)


def alliance_in_families() -> tuple[Section, Numbers]:
    """Set level, split and change of the alliance in families beside other meta-analyses."""
    found = effects().set_index("label")
    split, other = found.loc["welmers2018/split"], found.loc["friedlander2018/split"]
    level, change = found.loc["welmers2018/level"], found.loc["welmers2018/change"]
    overall, adults = found.loc["friedlander2018/overall"], found.loc["fluckiger2018/overall"]
    without = found["conf_low"].isna()
    inside = split["conf_low"] <= other["estimate"] <= split["conf_high"]
    text = (
        "In families, Welmers-van de Poll et al. (2018) printed the correlation of outcome with "
        f"the level of the alliance, {_r(level)}, with a split alliance, {_r(split)}, and with "
        f"its change, {_r(change)}. Friedlander et al. (2018) printed {_r(overall)} for the "
        f"alliance in couples and families, Flückiger et al. (2018) {_r(adults)} for adults "
        "(@fig-published-families, @tbl-published-families).\n\n"
        f"For split alliances the first interval holds zero, while Friedlander et al. printed "
        f"{_r(other)}. One is called significant and one is not; yet the interval of the first "
        f"{'contains' if inside else 'does not contain'} the estimate of the second. The "
        "difference between significant and not significant is not itself significant, and "
        "nothing here shows that the two differ. No interval stood on the page that was read for "
        f"{format_count(without.sum())} of the {format_count(len(found))} estimates: how far they "
        "could be off is not known from it."
    )
    printed = {
        f"{label.replace('/', '_')}{end}": row[name]
        for label, row in found.iterrows()
        for end, name in (("", "estimate"), ("_low", "conf_low"), ("_high", "conf_high"))
    }
    numbers = numbers_from(found.reset_index(), printed | {"split_contains_the_other": int(inside)})
    title = "Level, split and change of the alliance in families"
    parts = (_forest(found.reset_index()), _effect_table(found.reset_index()))
    return Section("sec-published-families", title, text, parts), numbers


def _r(row: pd.Series) -> str:
    known = "" if pd.isna(row["conf_low"]) else f" {_limits(row)}"
    return f"r = {format_bounded(row['estimate'], 3)}{known}"


def _limits(row: pd.Series) -> str:
    if pd.isna(row["conf_low"]):
        return MISSING
    return f"[{format_bounded(row['conf_low'], 3)}, {format_bounded(row['conf_high'], 3)}]"


def _forest(found: pd.DataFrame) -> ReportFigure:
    return forest_figure(
        found.assign(
            term=found["label"]
            .map(FAMILIES)
            .str.replace(" et al. 2018", "\u00a0et\u00a0al.\u00a02018")
        )[["term", "estimate", "conf_low", "conf_high", "sample", "interval", "doi"]],
        estimate_label="Published correlation of alliance and outcome (r)",
        method="Estimates and intervals as printed; no interval: none stood on the page that was "
        "read. The studies behind these meta-analyses may overlap",
        scale="difference",
        kind="bounded",
        label="fig-published-families",
    )


@remembers_call
def _effect_table(found: pd.DataFrame) -> ReportTable:
    return ReportTable(
        pd.DataFrame(
            {
                "Correlation with outcome": found["label"].map(FAMILIES),
                "r": [format_bounded(value, 3) for value in found["estimate"]],
                "95% CI": [_limits(row) for _, row in found.iterrows()],
                "Based on": found["sample"],
                "DOI": found["doi"],
            }
        ),
        label="tbl-published-families",
        caption="Published correlations of alliance and outcome.",
        note="As printed; – where no interval stood on the page that was read.",
    )


def registry(data: Reproduction) -> tuple[Section, Numbers]:
    """Say which numbers of the registry follow from those printed beside them."""
    verdicts, counts = data.tidy(), data.glance().iloc[0]
    failed = verdicts[verdicts["verdict"] == NOT_REPRODUCED]
    text = (
        f"The registry holds {plural(int(counts['n_records']), 'record')} of "
        f"{plural(len({record.source.key for record in data.records}), 'source')} with "
        f"{plural(int(counts['n_printed']), 'printed number')} (@tbl-published-sources). "
        f"{format_count(counts['n_reproduced'])} follow from the numbers printed beside them, "
        f"rounding taken into account, {format_count(counts['n_not_reproduced'])} do not under the "
        f"relation that was tried (@tbl-published-failed), and "
        f"{format_count(counts['n_not_checkable'])} cannot be checked: nothing beside them yields "
        "them, or they are what others are computed from. @tbl-published-registry gives each "
        "number with what its verdict rests on."
    )
    names = ("records", "printed", "reproduced", "not_reproduced", "not_checkable")
    numbers = numbers_from(data, {name: counts[f"n_{name}"] for name in names})
    tables = (_source_table(data, verdicts), _failed_table(failed), _registry_table(verdicts))
    parts = tuple(replace(table, sources=(data,)) for table in tables)
    return Section("sec-published-registry", "The registry", text, parts), numbers


@remembers_call
def _source_table(data: Reproduction, verdicts: pd.DataFrame) -> ReportTable:
    sources = {record.source.key: record.source for record in data.records}
    keys = verdicts["record"].str.split("/").str[0]
    cited = [source.citation for source in sources.values()]
    rows = []
    for key, source in sources.items():
        own = verdicts.loc[keys == key, "verdict"]
        n_records = sum(record.source.key == key for record in data.records)
        rows.append(
            {
                "Source": _cited(source, place=cited.count(source.citation) > 1),
                "Records": format_count(n_records),
                **{
                    words.capitalize(): format_count((own == words).sum())
                    for words in (REPRODUCED, NOT_REPRODUCED, NOT_CHECKABLE)
                },
            }
        )
    return ReportTable(
        pd.DataFrame(rows),
        label="tbl-published-sources",
        caption="Sources of the registry, and how many printed numbers follow from others.",
        note="Sources without a printed number stand in the registry for what they describe.",
    )


def _cited(source: Source, *, place: bool) -> str:
    """Return a citation with its DOI; with the place, where another source is cited alike."""
    where = f", {source.where}" if place else ""
    doi = f", doi:{source.doi}" if source.doi.startswith("10.") else ""
    return f"{source.citation}{where}{doi}"


@remembers_call
def _failed_table(failed: pd.DataFrame) -> ReportTable:
    return ReportTable(
        pd.DataFrame(
            {
                "Record": failed["record"],
                "Number": [_named(quantity) for quantity in failed["quantity"]],
                "Printed": [_as_printed(text) for text in failed["printed"]],
                "The relation allows": [
                    format_interval(low, high, 4)
                    for low, high in zip(
                        failed["feasible_low"], failed["feasible_high"], strict=True
                    )
                ],
                "Rests on": [_reason(reason) for reason in failed["reason"]],
            }
        ),
        label="tbl-published-failed",
        caption="Printed numbers that are not reproduced under the relation that was tried.",
        note=f"{CAUSES} Limits of what stars allow are p-values.",
    )


@remembers_call
def _registry_table(verdicts: pd.DataFrame) -> ReportTable:
    because = [
        f"{_reason(row.reason)}{f' (assumed: {row.because})' if row.because else ''}"
        for row in verdicts.itertuples()
    ]
    return ReportTable(
        pd.DataFrame(
            {
                "Number": [_named(quantity) for quantity in verdicts["quantity"]],
                "Printed": [_as_printed(text) for text in verdicts["printed"]],
                "Verdict": verdicts["verdict"],
                "Rests on": because,
            }
        ),
        label="tbl-published-registry",
        caption="Every printed number of the registry, its verdict, and what that rests on.",
        note="Reproduced: what was printed and what the relation allows have a value in common, "
        "all numbers rounded as printed.",
        sections=tuple(verdicts["record"]),
    )


def _named(quantity: str) -> str:
    return NAMES.get(quantity, quantity.replace("_", " "))


def _as_printed(text: str) -> str:
    """Return a text with a true minus before its numbers."""
    return MINUS.sub("−", text)


def _reason(text: str) -> str:
    return _as_printed(text.removesuffix(CAUSES).strip().rstrip("."))
