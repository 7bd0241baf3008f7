"""Printed tables of groups: their comparison, and a paper's first table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from alliance_stats.account import Speaker
from alliance_stats.arguments import require_kind
from alliance_stats.formatting import (
    MISSING,
    decimals_needed,
    decimals_of_spread,
    format_count,
    format_level,
    format_number,
    format_p,
    format_percent,
    with_interval,
)
from alliance_stats.groups import GroupComparison, TableOne
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable, remembers_call

__all__ = ["group_table", "sample_table"]


@remembers_call
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
        Text to add to the methods, which are always given.
    words
        Outcome or group -> label to print; others keep their own names.

    Returns
    -------
    ReportTable
        A row per outcome; with two groups the difference and Hedges' g with intervals.

    Examples
    --------
    >>> from alliance_stats import compare_groups, example_themes
    >>> from alliance_stats.tables import group_table
    >>> found = compare_groups(
    ...     example_themes(), outcomes=["theme_early_problem"], group="parent_alliance"
    ... )
    >>> group_table(found, label="tbl-groups", caption="Parents").frame.shape
    (1, 6)
    """
    asked = "group_table prints a result of compare_groups"
    require_kind(comparison, GroupComparison, asked=asked, instead=PRINTED_BY)
    account = comparison.account(conf_level=conf_level)
    speaker = Speaker.of(account, words, ".")
    labels = [speaker.name(label) for label in comparison.labels]
    tidy = comparison.tidy(conf_level=conf_level)
    level = format_level(conf_level)
    rows = []
    for row in tidy.to_dict("records"):
        cells = {"Outcome": speaker.name(row["outcome"])}
        for place, name in enumerate(labels, start=1):
            cells[f"{name}: M (SD), n"] = _group_cell(row, place)
        if len(labels) == 2:
            limits = (row["estimate"], row["conf_low"], row["conf_high"])
            cells[f"Difference [{level} CI]"] = with_interval(*limits, std_error=row["std_error"])
            g = (row[f"hedges_g{part}"] for part in ("", "_low", "_high"))
            cells[f"g [{level} CI]"] = with_interval(*g)
        cells["p"] = format_p(row["p_value"])
        rows.append(cells)
    estimands = dict.fromkeys(str(estimand) for estimand in tidy["estimand"])
    said = f"{account.method[:1].upper()}{account.method[1:]}. Differences: {', '.join(estimands)}"
    if len(labels) == 2:
        said += f", {labels[0]} minus {labels[1]}"
    noted = " ".join(account.notes)
    return ReportTable(
        pd.DataFrame(rows), label, caption, " ".join(f"{said}. {note} {noted}".split())
    )


def _group_cell(row: Mapping[str, Any], place: int) -> str:
    n, mean, sd = (row[f"{name}_{place}"] for name in ("n", "mean", "sd"))
    if pd.isna(mean):
        return f"{MISSING}, {format_count(n)}"
    if row["estimand"] == "risk difference":
        return f"{format_percent(mean)}, {format_count(n)}"
    digits = decimals_needed((mean,), at_least=decimals_of_spread(sd))
    return f"{format_number(mean, digits)} ({format_number(sd, digits)}), {format_count(n)}"


@remembers_call
def sample_table(
    described: TableOne,
    *,
    label: str,
    caption: str,
    note: str = "",
    words: Mapping[str, str] | None = None,
) -> ReportTable:
    """Print the baseline characteristics of groups.

    Parameters
    ----------
    described
        From :func:`~alliance_stats.groups.table_one`.
    note
        Text to add to the unit, missing values and the definition of the SMD, which are always
        given.
    words
        Variable, level or group -> label to print; others keep their own names.

    Returns
    -------
    ReportTable
        A row per variable (mean and SD, or count and percentage) or per level of one (``"role:
        mother"``), a column per group with its size, and the standardised difference.

    Examples
    --------
    >>> from alliance_stats import example_themes, table_one
    >>> from alliance_stats.tables import sample_table
    >>> described = table_one(
    ...     example_themes(), variables=["theme_early_problem"], group="parent_alliance"
    ... )
    >>> sample_table(described, label="tbl-parents", caption="Parents").frame.shape
    (1, 4)
    """
    asked = "sample_table prints a result of table_one"
    require_kind(described, TableOne, asked=asked, instead=PRINTED_BY)
    said = " ".join([*described.footnotes(words=words), note]).strip()
    return ReportTable(described.frame(words=words), label, caption, said)
