"""Small cells of a table of counts: those printed, and those that can be worked out."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linprog

from alliance_stats.errors import DataError
from alliance_stats.estimates import Booleans, Integers

__all__ = ["small_cells", "suppressed"]


def small_cells(
    table: pd.DataFrame,
    *,
    k: int = 5,
    printed: pd.DataFrame | None = None,
    larger: Sequence[pd.DataFrame] = (),
) -> pd.DataFrame:
    """Return the cells of a table of counts that would identify too few people.

    Parameters
    ----------
    table
        The true counts, a row and a column per category, without totals. Row, column and grand
        totals are taken to be printed beside it.
    k
        Smallest non-zero count that may be printed.
    printed
        The table to be printed, with missing values for suppressed cells, as :func:`suppressed`
        returns it. By default every cell is printed.
    larger
        Printed tables with the same rows and columns of larger groups that contain these people,
        such as the whole clinic: such a table minus this one is a table of its own.

    Returns
    -------
    DataFrame
        One row per small cell: `row`, `column`, `count`, `low` and `high` (smallest and largest
        count compatible with the printed numbers), `found` (``"printed"``, ``"totals"``: worked out
        from the totals, or ``"difference 1"``: in the first larger table minus this one).

    Raises
    ------
    DataError
        If a count is negative or no whole number, if `k` is below 2, if another table has different
        rows or columns or impossible counts, if rows or columns have several levels (a three-way
        table, whose sub-totals are not examined), or if one of them is a total.

    Notes
    -----
    The check covers the cells, the row, column and grand totals, and the differences from `larger`
    tables: a second release (give it as `larger`, the first as `table`), the group that contains a
    subgroup, or the sum of several layers. Give the true counts of a larger table: it is taken to
    be printed in full, which is the worst case. It does NOT cover other tables that share a margin
    with this one, percentages or means beside a count (a percentage of a printed total is the
    count; the mean of all minus those of the others is that of a suppressed cell), what everybody
    in a row has in common (a row with a single non-zero cell reveals it for each of them), or what
    a reader knows about individuals.

    The possible values of a suppressed cell are bounded by the linear program over all tables with
    the printed cells and totals, in which a suppressed cell is at least 1 (zeros are printed); its
    vertices are whole numbers. A printed larger table bounds it from above. The cell counts as
    worked out if fewer than `k` values are possible. Hundepool et al. (2012), *Statistical
    Disclosure Control*, doi:10.1002/9781118348239.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.study import small_cells
    >>> table = pd.DataFrame({"stayed": [12, 9], "left": [6, 2]}, index=["no trauma", "trauma"])
    >>> small_cells(table)[["row", "column", "found"]]
          row column    found
    0  trauma   left  printed
    """
    counts = _counts(table, k)
    hidden = _left_out(table, counts, printed)
    groups = [_larger(table, group, counts, k, n) for n, group in enumerate(larger, start=1)]
    most = np.min([np.full(counts.shape, np.inf), *groups], axis=0)
    found = [
        (*told, "totals" if told.hidden else "printed") for told in _told(counts, hidden, k, most)
    ]
    for number, group in enumerate(groups, start=1):
        rest = group - counts
        found += [(*told, f"difference {number}") for told in _told(rest, hidden, k, most, group)]
    return pd.DataFrame(
        [
            (table.index[i], table.columns[j], count, low, high, where)
            for i, j, count, low, high, _, where in found
        ],
        columns=["row", "column", "count", "low", "high", "found"],
    )


def _larger(
    table: pd.DataFrame, group: pd.DataFrame, counts: Integers, k: int, number: int
) -> Integers:
    """Return the counts of a larger group, or refuse a table that is not of one."""
    if not (group.index.equals(table.index) and group.columns.equals(table.columns)):
        raise DataError(f"Larger table {number} has other rows or columns than the table.")
    whole = _counts(group, k)
    if (whole < counts).any():
        raise DataError(f"Larger table {number} has a smaller count than the table itself.")
    return whole


def suppressed(table: pd.DataFrame, *, k: int = 5) -> pd.DataFrame:
    """Return the table without its small cells, and without the others that would reveal them.

    Parameters
    ----------
    table, k
        As of :func:`small_cells`.

    Returns
    -------
    DataFrame
        The table with ``pd.NA`` for suppressed cells. Row, column and grand totals
        may be printed beside it: ``small_cells(table, printed=...)`` finds nothing.

    Raises
    ------
    DataError
        As :func:`small_cells`; and if a small cell cannot be hidden (too few others in its row and
        column): the message names it, and says to join categories.

    Notes
    -----
    First the cells from 1 to ``k - 1`` are suppressed. While the totals still reveal one of them,
    the rectangle through it with the smallest counts is suppressed too: a cell in its row, one in
    its column and the one where these meet, none of them 0 (the hypercube method; Hundepool et al.
    2012, doi:10.1002/9781118348239). It is not necessarily the smallest sufficient set.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.study import suppressed
    >>> table = pd.DataFrame({"stayed": [12, 9], "left": [6, 2]}, index=["no trauma", "trauma"])
    >>> suppressed(table)
               stayed  left
    no trauma    <NA>  <NA>
    trauma       <NA>  <NA>
    """
    counts = _counts(table, k)
    hidden = (counts > 0) & (counts < k)
    while told := next(_told(counts, hidden, k), None):
        corners = _cheapest_rectangle(counts, hidden, told.i, told.j)
        if corners is None:
            raise DataError(
                f"The count of row '{table.index[told.i]}', column '{table.columns[told.j]}' "
                "cannot be hidden: the totals give it away whatever else is left out. Join rows or "
                "columns, or leave out totals."
            )
        hidden[corners] = True
    return table.astype("Int64").mask(pd.DataFrame(hidden, table.index, table.columns))


def _cheapest_rectangle(
    counts: Integers, hidden: Booleans, i: int, j: int
) -> tuple[list[int], list[int]] | None:
    """Return the three other corners of a rectangle on a cell that hides the fewest people more."""
    price = np.where(hidden, 0, counts)
    found = [
        (int(price[i, c] + price[r, j] + price[r, c]), ([i, r, r], [c, j, c]))
        for r in range(counts.shape[0])
        for c in range(counts.shape[1])
        if r != i and c != j and counts[i, c] and counts[r, j] and counts[r, c]
    ]
    new = [(cost, corners) for cost, corners in found if not hidden[corners].all()]
    return min(new)[1] if new else None


class _Told(NamedTuple):
    """A small cell and the bounds that the printed numbers put on it."""

    i: int
    j: int
    size: int
    low: int
    high: int
    hidden: bool


def _told(
    counts: Integers,
    hidden: Booleans,
    k: int,
    most: npt.NDArray[np.float64] | None = None,
    of: Integers | None = None,
) -> Iterator[_Told]:
    """Yield the small cells that are printed or have fewer than k possible values.

    `most` are the largest counts that larger tables allow; `counts` may be what is left `of` one
    of them, whose hidden cells are known as well as those of the table itself.
    """
    own = counts if of is None else of - counts
    for i, j in np.argwhere((counts > 0) & (counts < k)):
        count = int(counts[i, j])
        low = high = count
        if hidden[i, j]:
            low, high = _bounds(own, hidden, (i, j), most)
            if of is not None:
                low, high = int(of[i, j]) - high, int(of[i, j]) - low
        if high - low + 1 < k:
            yield _Told(int(i), int(j), count, low, high, bool(hidden[i, j]))


def _bounds(
    counts: Integers, hidden: Booleans, cell: tuple[int, int], most: npt.NDArray[np.float64] | None
) -> tuple[int, int]:
    """Return the least and the largest count of a hidden cell that totals and `most` allow."""
    cells = np.argwhere(hidden)
    lines = np.vstack(
        [cells[:, 0] == i for i in range(counts.shape[0])]
        + [cells[:, 1] == j for j in range(counts.shape[1])]
    ).astype(float)
    sums = lines @ counts[hidden]
    wanted = ((cells == cell).all(axis=1)).astype(float)
    above = [None] * len(cells) if most is None else [float(x) for x in most[hidden]]
    bounds = [(1, x) for x in above]
    ends = [
        linprog(sign * wanted, A_eq=lines, b_eq=sums, bounds=bounds, method="highs").fun * sign
        for sign in (1.0, -1.0)
    ]
    return round(ends[0]), round(ends[1])


def _counts(table: pd.DataFrame, k: int) -> Integers:
    if k < 2:
        raise DataError(f"k is the smallest count that may be printed, 2 or more; got {k}.")
    if table.empty:
        raise DataError("The table has no cells.")
    for lines, labels in (("rows", table.index), ("columns", table.columns)):
        if isinstance(labels, pd.MultiIndex):
            raise DataError(
                f"The {lines} have several levels: of a table of three ways the sub-totals tell "
                "more than is looked at here. Give each layer by itself, with their sum "
                "as larger=, or join the levels into one."
            )
        if not labels.is_unique:
            raise DataError(f"Two {lines} are called alike: {list(labels[labels.duplicated()])}.")
    values: npt.NDArray[np.float64] = table.to_numpy(dtype=float, na_value=np.nan)
    if not (values >= 0).all() or (values != np.round(values)).any():
        raise DataError("The table holds counts: whole numbers of 0 and more, none missing.")
    counts = values.astype(np.int64)
    _refuse_totals(counts, table.index, "row")
    _refuse_totals(counts.T, table.columns, "column")
    return counts


def _refuse_totals(counts: Integers, labels: pd.Index, line: str) -> None:
    """Refuse a first or last row that is the sum of the others: totals are taken to be printed."""
    if len(labels) < 3 or not counts.any():
        return
    whole = counts.sum(axis=0)
    for place in (0, len(labels) - 1):
        if (2 * counts[place] == whole).all():
            raise DataError(
                f"The {line} '{labels[place]}' is the sum of the others: give the table without "
                f"totals, which are taken to be printed. If it is none, put it between two others."
            )


def _left_out(table: pd.DataFrame, counts: Integers, printed: pd.DataFrame | None) -> Booleans:
    """Return which cells are suppressed."""
    if printed is None:
        return np.zeros(counts.shape, dtype=bool)
    if not (printed.index.equals(table.index) and printed.columns.equals(table.columns)):
        raise DataError("The printed table has other rows or columns than the table.")
    shown: npt.NDArray[np.float64] = printed.to_numpy(dtype=float, na_value=np.nan)
    if (~np.isnan(shown) & (shown != counts)).any():
        raise DataError("The printed table has other counts than the table.")
    return np.isnan(shown)
