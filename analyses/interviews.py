"""Thirteen families followed up: themes by group, what early problems became, and who came back.

Part of the analysis of successful alliances, on simulated interviews. What so few families can
show at all is part of the answer.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from alliance_stats.effect_sizes import clopper_pearson
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.themes import theme_figure, transition_figure
from alliance_stats.formatting import (
    format_bounded,
    format_count,
    format_interval,
    format_number,
    format_p,
    format_percent,
    p_phrase,
)
from alliance_stats.groups import (
    ThemeComparison,
    compare_groups,
    compare_themes,
    theme_transitions,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.provenance import numbers_from
from alliance_stats.simulate import simulate_study
from alliance_stats.tables import ReportTable
from alliance_stats.tables.report_table import remembers_call
from analyses.chapter import Numbers, Section
from analyses.simulated import called_simulated

__all__ = ["GROUP", "followed_up", "interviews", "seen_again"]

GROUP = "parent alliance"
INTERVIEWED, AGAIN, SEED = 17, 13, 1
EARLY = "Early problem"
THEMES = {
    "theme_early_problem": EARLY,
    "theme_became_rupture": "Problem became a rupture",
    "theme_became_strength": "Problem became a strength",
    "theme_positive_aspects": "Positive aspects",
    "theme_unresolved_issues": "Unresolved issues",
}


def interviews() -> pd.DataFrame:
    """Return the simulated small design: a row per parent, and whether they were seen ``again``."""
    study = simulate_study(therapists=8, families=INTERVIEWED, interviewed=INTERVIEWED, seed=SEED)
    order = np.random.default_rng(SEED).permutation(INTERVIEWED)
    return study.themes.rename(columns={"parent_alliance": GROUP, **THEMES}).assign(
        again=(order < AGAIN).astype(int)
    )


def seen_again(parents: pd.DataFrame) -> tuple[pd.DataFrame, RowLedger]:
    """Return the parents who were interviewed again, and how many were not."""
    rows = RowLedger.start(parents, {"family": ("family",)})
    return rows.keep(parents, parents["again"] == 1, reason="not interviewed again")


def followed_up() -> tuple[Section, Numbers]:
    """Compare themes by group where there are thirteen families."""
    parents = interviews()
    again, rows = seen_again(parents)
    kept = clopper_pearson(rows.n_used, rows.n_in)
    stayed = compare_groups(parents, outcomes="again", group=GROUP).tidy().iloc[0]
    compared = compare_themes(again, themes=list(THEMES.values()), group=GROUP)
    themes = compared.tidy().set_index("theme")
    became = theme_transitions(
        again,
        early=EARLY,
        later={
            "rupture": THEMES["theme_became_rupture"],
            "strength": THEMES["theme_became_strength"],
        },
        group=GROUP,
    )
    test = became.glance().set_index("early").loc[True]
    largest = themes.loc[themes["estimate"].abs().idxmax()]
    text = (
        f"Of {format_count(rows.n_in)} interviewed parents {format_count(rows.n_used)} were "
        f"interviewed again, {format_percent(kept.estimate)} (exact 95% CI "
        f"{format_percent(kept.conf_low)} to {format_percent(kept.conf_high)}; "
        f"@fig-small-flow): {format_percent(stayed['mean_1'])} of those with a "
        f"{stayed['group_1']} alliance and {format_percent(stayed['mean_2'])} of the others, "
        f"{p_phrase(stayed['p_value'])}. Who was seen again was drawn at random.\n\n"
        f"Themes were compared between {format_count(largest['n_1'])} {largest['group_1']} and "
        f"{format_count(largest['n_2'])} {largest['group_2']} alliances (@fig-small-themes, "
        f"@tbl-small-themes). The largest difference was that of “{largest.name}”: "
        f"{format_count(largest['count_1'])} of {format_count(largest['n_1'])} against "
        f"{format_count(largest['count_2'])} of {format_count(largest['n_2'])}, "
        f"{p_phrase(largest['p_value'])}, and {p_phrase(largest['p_holm'])} when Holm’s correction "
        "counts all themes. With so few families each proportion is known within a wide interval, "
        "and with as many parents voicing a theme no test could have given less than the p in "
        "the last column of the table, however they fell into the groups. A theme that is absent "
        "from an interview may have been felt.\n\n"
        f"@fig-small-transitions shows what early problems became; between the groups "
        f"{p_phrase(test['p_value'])} (exact test; the least it could give was "
        f"{_exact(test['p_smallest'])})."
    )
    figures = (
        flow_figure(rows, label="fig-small-flow"),
        theme_figure(compared, unit="parents", label="fig-small-themes"),
        transition_figure(became, early_label=EARLY.lower(), label="fig-small-transitions"),
    )
    flow, shown, changed = (called_simulated(figure, seed=SEED) for figure in figures)
    parts = (flow, shown, replace(_theme_table(compared), seed=SEED), changed)
    counted = {
        "interviewed": rows.n_in,
        "interviewed_again": rows.n_used,
        "retention": kept.estimate,
        "retention_low": kept.conf_low,
        "retention_high": kept.conf_high,
    }
    changes = {"transition_p": test["p_value"], "transition_p_smallest": test["p_smallest"]}
    numbers = numbers_from(rows, counted, seed=SEED) | numbers_from(became, changes, seed=SEED)
    return Section("sec-success-small", "Thirteen families followed up", text, parts), numbers


def _exact(value: float) -> str:
    """Return a p with the digits that a smallest attainable one needs: ``.0006``."""
    if np.isnan(value) or value < 0.0001 or value > 0.9995:
        return format_p(value)
    return format_bounded(value, 4)


@remembers_call
def _theme_table(compared: ThemeComparison) -> ReportTable:
    themes = compared.tidy()
    first, second = themes["group_1"].iloc[0], themes["group_2"].iloc[0]
    table = pd.DataFrame(
        {
            "Theme": themes["theme"],
            str(first).capitalize(): [
                f"{format_count(row.count_1)} of {format_count(row.n_1)}"
                for row in themes.itertuples()
            ],
            str(second).capitalize(): [
                f"{format_count(row.count_2)} of {format_count(row.n_2)}"
                for row in themes.itertuples()
            ],
            "Difference (%)": [format_number(100 * value, 0) for value in themes["estimate"]],
            "95% CI": [
                format_interval(100 * low, 100 * high, 0)
                for low, high in zip(themes["conf_low"], themes["conf_high"], strict=True)
            ],
            "p": [_exact(value) for value in themes["p_value"]],
            "p (Holm)": [_exact(value) for value in themes["p_holm"]],
            "Smallest p": [_exact(value) for value in themes["p_smallest"]],
        }
    )
    return ReportTable(
        table,
        label="tbl-small-themes",
        caption="Themes of thirteen simulated follow-up interviews by parent alliance.",
        note=f"{themes['method'].iloc[0]}; difference of proportions with Newcombe’s interval. "
        "Smallest p: the least that the test could give with these group sizes and this many "
        "parents who voiced the theme.",
    )
