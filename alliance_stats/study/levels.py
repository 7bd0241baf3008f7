"""What is known of a unit as a whole: the columns that its rows agree on."""

from collections.abc import Collection

import pandas as pd

from alliance_stats.checks import comparable

__all__ = ["n_completed", "n_without", "one_row_per"]


def one_row_per(
    frame: pd.DataFrame, unit: str, *, inner: str | None = None, measured: Collection[str] = ()
) -> pd.DataFrame:
    """Return a row per unit, in order of first appearance, with the columns that fit.

    Parameters
    ----------
    frame
        Rows of units; ids are not missing.
    unit, inner
        Columns of the ids of the unit and of the level below it, if there is one.
    measured
        Columns that belong to a row and not to a unit (scores, moments): they are shown only where
        every row of every unit has the same value, a missing one counting as a value.

    Returns
    -------
    DataFrame
        `unit`, and each column whose known values are one and the same within every unit; missing
        where none of the unit's rows knows it. Lists and dicts are left out. A row may lack what
        the others of its inner unit say; an inner unit that lacks it altogether may well be without
        it (a family's barrier is not its therapist's), so that such a column is left out.
    """
    units = pd.Index(frame[unit].drop_duplicates())
    columns = {}
    for name in frame.columns:
        if name == unit:
            columns[name] = pd.Series(units, index=units)
            continue
        if not comparable(frame[name]):
            continue
        values = _distinct(frame, unit, name, strict=name in measured)
        if values.index.is_unique and not n_without(frame, unit, inner, name):
            columns[name] = values.reindex(units)
    return pd.DataFrame(columns).reset_index(drop=True)


def n_completed(frame: pd.DataFrame, unit: str, column: str) -> int:
    """Return how many rows lack a value that other rows of the same unit have."""
    return int((frame[column].isna() & _known_in(frame, unit, column)).sum())


def n_without(frame: pd.DataFrame, unit: str, inner: str | None, column: str) -> int:
    """Return how many inner units lack, in all rows, what their units agree on elsewhere.

    None do where the rows of a unit disagree: the column is then none of the unit's.
    """
    if inner is None or column == inner or not frame[column].isna().any():
        return 0
    if not _distinct(frame, unit, column, strict=False).index.is_unique:
        return 0
    lacking = _known_in(frame, unit, column) & ~_known_in(frame, inner, column)
    return int(frame.loc[lacking, inner].nunique())


def _known_in(frame: pd.DataFrame, unit: str, column: str) -> pd.Series:
    """Return, for each row, whether any row of its unit has a value."""
    return frame[unit].isin(frame.loc[frame[column].notna(), unit].unique())


def _distinct(frame: pd.DataFrame, unit: str, name: str, *, strict: bool) -> pd.Series:
    """Return the different values of a column in each unit, under the unit's id."""
    pairs = frame[[unit, name]].drop_duplicates()
    if not strict:
        pairs = pairs[pairs[name].notna()]
    return pairs.set_index(unit)[name]
