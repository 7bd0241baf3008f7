"""Dates of sessions: read, and counted in days from the first of each unit."""

import re
from collections.abc import Hashable

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from alliance_stats.checks import describe_rows, require_present
from alliance_stats.door import replaced, require_new
from alliance_stats.errors import DataError

__all__ = ["days_for_dates"]

_FORMATS = (  # of a day; what may follow is a time of day
    (re.compile(r"\s*(\d{4}-\d{1,2}-\d{1,2})(?:[T ]\d{1,2}:\d{2}.*)?\s*"), "%Y-%m-%d"),
    (re.compile(r"\s*(\d{1,2}\.\d{1,2}\.\d{4})(?: \d{1,2}:\d{2}.*)?\s*"), "%d.%m.%Y"),
)
_SLASHES = re.compile(r"\s*\d{1,2}/\d{1,2}/\d{2,4}.*")
_SERIAL = (20_000, 80_000)  # days since 1900 as a spreadsheet counts them: 1954 to 2119


def days_for_dates(
    frame: pd.DataFrame, column: str, *, unit: str, unit_column: str
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Return the frame with days beside dates, the column of time, and a note.

    A column without dates is taken as the time itself. Dates are read as days, as
    ``2024-03-31`` or ``31.3.2024``; a time of day is ignored.

    Raises
    ------
    DataError
        If a date is missing or invalid, day and month are ambiguous, or numbers are a spreadsheet's
        serial dates.
    """
    values = frame[column]
    if is_numeric_dtype(values.dtype):
        known = values.dropna()
        if len(known) and _SERIAL[0] <= known.min() and known.max() <= _SERIAL[1]:
            raise DataError(
                f"Column '{column}' seems to hold dates as a spreadsheet counts them "
                f"({known.iloc[0]:g} days since 1900). Write them as dates, as in 2024-03-31; or "
                "count days from each unit's first."
            )
        return frame, column, ()
    if not is_datetime64_any_dtype(values.dtype) and not _looks_like_dates(values):
        return frame, column, ()
    require_present(frame, column, why="to know when a row was recorded")
    dates = _dates(values)
    first = dates.groupby(frame[unit_column], observed=True).transform("min")
    name = f"{column}_days"
    require_new(frame, [name])
    new: dict[Hashable, object] = {
        column: dates,
        name: (dates - first).dt.days.to_numpy(np.float64),
    }
    note = (
        f"'{column}' holds dates: time is counted in days from the first date of each {unit}, in "
        f"the new column '{name}'."
    )
    return replaced(frame, new), name, (note,)


def _looks_like_dates(values: pd.Series) -> bool:
    cells = values.dropna().astype(object)
    first = cells.iloc[0] if len(cells) else None
    if isinstance(first, str):
        return any(pattern.fullmatch(first) for pattern in (*(p for p, _ in _FORMATS), _SLASHES))
    return hasattr(first, "year")


def _dates(values: pd.Series) -> pd.Series:
    """Return days, all read in the one format of their column."""
    if is_datetime64_any_dtype(values.dtype):
        plain = values.dt.tz_localize(None) if values.dt.tz is not None else values
        return plain.dt.normalize()
    cells = values.astype(object)
    text = np.array([isinstance(cell, str) for cell in cells])
    dates = pd.Series(pd.NaT, index=values.index, dtype="datetime64[ns]")
    if (~text).any():
        there = [
            cell.replace(tzinfo=None) if getattr(cell, "tzinfo", None) else cell
            for cell in cells[~text]
        ]
        dates[~text] = pd.to_datetime(pd.Series(there, dtype=object), errors="coerce").to_numpy()
    for pattern, written in _FORMATS:
        found = cells[text].str.extract(pattern.pattern + "$", expand=False)
        read = pd.to_datetime(found, format=written, errors="coerce").dropna()
        dates[read.index] = read
    unread = dates.isna().to_numpy()
    if unread.any():
        shown = cells[unread].iloc[0]
        slashes = isinstance(shown, str) and _SLASHES.fullmatch(shown)
        why = "in which day and month cannot be told apart" if slashes else "which is no date"
        raise DataError(
            f"Column '{values.name}' holds {shown!r} in {describe_rows(unread, values.index)}, "
            f"{why}. Write dates as 2024-03-31 or 31.3.2024."
        )
    return dates.dt.normalize()
