"""A paper's first table: who was in each group."""

from collections.abc import Mapping

from alliance_stats.checks import require_kind
from alliance_stats.groups import TableOne
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable, remembers_call

__all__ = ["sample_table"]


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
