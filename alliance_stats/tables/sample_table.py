"""A paper's first table: who was in each group."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from alliance_stats.checks import require_kind
from alliance_stats.groups import TableOne
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable

__all__ = ["sample_table"]


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
        What to say beside the unit, what was missing and what the SMD is, which are always said.
    words
        Variable, level or group -> words for it; others stand under their own names.

    Returns
    -------
    ReportTable
        A row a variable (mean and SD, or count and percentage) or a level of one
        (``"role: mother"``), a column a group with its size, and the standardised difference.
    """
    asked = "sample_table prints a result of table_one"
    require_kind(described, TableOne, asked=asked, instead=PRINTED_BY)
    names = dict(words or {})
    statistics = described.statistics.copy()
    for column in ("variable", "level", "group"):
        statistics[column] = [names.get(str(name), str(name)) for name in statistics[column]]
    labels = tuple(names.get(name, name) for name in described.labels)
    shown = replace(described, statistics=statistics, labels=labels)
    said = " ".join([*shown.footnotes(), note]).strip()
    return ReportTable(_levels_named(shown.frame()), label, caption, said)


def _levels_named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with each level under its variable's name: spaces in front would be lost."""
    rows, variable = [], ""
    for cell in frame["Variable"]:
        if cell.startswith("  "):
            rows.append(f"{variable}: {cell.strip()}")
        else:
            variable = cell.rpartition(", ")[0]
            rows.append(cell)
    return frame.assign(Variable=rows)
