"""A comparison of groups as a table."""

import math
from collections.abc import Mapping

import pandas as pd

from alliance_stats.checks import require_kind
from alliance_stats.formatting import (
    MISSING,
    decimals_needed,
    decimals_of_spread,
    format_count,
    format_interval,
    format_level,
    format_number,
    format_p,
    format_percent,
)
from alliance_stats.groups import GroupComparison
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable

__all__ = ["group_table"]


def group_table(
    comparison: GroupComparison,
    *,
    label: str,
    caption: str,
    note: str = "",
    words: Mapping[str, str] | None = None,
    conf_level: float = 0.95,
) -> ReportTable:
    """Print a comparison of groups: means, differences, effect sizes, tests.

    Parameters
    ----------
    comparison
        From :func:`~alliance_stats.groups.compare_groups`.
    note
        What to say beside the methods, which are always said.
    words
        Outcome or group -> words for it; others stand under their own names.

    Returns
    -------
    ReportTable
        A row an outcome; with two groups the difference and Hedges' g with intervals.
    """
    asked = "group_table prints a result of compare_groups"
    require_kind(comparison, GroupComparison, asked=asked, instead=PRINTED_BY)
    names = dict(words or {})
    labels = [names.get(label, label) for label in comparison.labels]
    tidy = comparison.tidy(conf_level=conf_level)
    level = format_level(conf_level)
    rows = []
    for _, row in tidy.iterrows():
        cells = {"Outcome": str(names.get(row["outcome"], row["outcome"]))}
        for place, name in enumerate(labels, start=1):
            cells[f"{name}: M (SD), n"] = _group_cell(row, place)
        if len(comparison.labels) == 2:
            cells[f"Difference [{level} CI]"] = _effect_cell(
                row["estimate"], row["conf_low"], row["conf_high"]
            )
            value, low, high = (row.get(f"hedges_g{x}", math.nan) for x in ("", "_low", "_high"))
            cells[f"g [{level} CI]"] = _effect_cell(value, low, high)
        cells["p"] = format_p(row["p_value"])
        rows.append(cells)
    methods = dict.fromkeys(str(method) for method in tidy["method"])
    estimands = dict.fromkeys(str(estimand) for estimand in tidy["estimand"])
    said = f"Tests: {', '.join(methods)}. Differences: {', '.join(estimands)}"
    if len(comparison.labels) == 2:
        said += f", {labels[0]} minus {labels[1]}"
    warned = " ".join(f"{warning}." for warning in comparison.warnings)
    return ReportTable(
        pd.DataFrame(rows), label, caption, " ".join(f"{said}. {note} {warned}".split())
    )


def _group_cell(row: pd.Series, place: int) -> str:
    n, mean, sd = (row[f"{name}_{place}"] for name in ("n", "mean", "sd"))
    if pd.isna(mean):
        return f"{MISSING}, {format_count(n)}"
    if row["estimand"] == "risk difference":
        return f"{format_percent(mean)}, {format_count(n)}"
    digits = decimals_of_spread(sd)
    return f"{format_number(mean, digits)} ({format_number(sd, digits)}), {format_count(n)}"


def _effect_cell(value: float, low: float, high: float) -> str:
    if pd.isna(value):
        return MISSING
    if pd.isna(low):
        return format_number(value)
    digits = decimals_needed((value, low, high))
    return f"{format_number(value, digits)} {format_interval(low, high, digits)}"
