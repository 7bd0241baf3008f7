"""Checks of a model's rows and columns: which rows are complete, what a column may contain."""

import re
from collections.abc import Hashable, Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.checks import describe_rows, only_used
from alliance_stats.door import replaced
from alliance_stats.errors import AllianceStatsWarning, DataError, warn
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling

__all__ = [
    "check_categories",
    "check_hashable",
    "columns_as_read",
    "complete_rows",
    "looked_up",
    "text_again",
]

LARGE_INTEGER = 2**20  # whose cube is the largest that integers of 64 bits hold
_CODES = 2  # so many whole numbers beside words are taken for codes without a word
_DECIMAL = re.compile(r"[-+−]?\d*[.,]?\d+")


def looked_up(data: pd.DataFrame, names: Sequence[Hashable]) -> tuple[pd.DataFrame, list[Hashable]]:
    """Return the frame with text columns as categories, and the names of those columns.

    Each value is looked up once; later counting, spelling checks, coding and numbering of units use
    the category codes.
    """
    text = [name for name in dict.fromkeys(names) if _is_text(data[name])]
    if not text:
        return data, text
    return replaced(data, {name: _sorted_categories(data[name]) for name in text}), text


def _is_text(values: pd.Series) -> bool:
    return bool(values.dtype == object) and pd.api.types.infer_dtype(values) == "string"


def _sorted_categories(values: pd.Series) -> pd.Series:
    """Return text as categories in sorted order."""
    codes, labels = pd.factorize(values.to_numpy())
    order = np.argsort(labels)
    place = np.empty(len(labels) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(labels)), -1
    kind = pd.CategoricalDtype(pd.Index(labels[order], dtype=object))
    own = pd.Categorical.from_codes(place[codes], dtype=kind, validate=False)
    return pd.Series(own, index=values.index, name=values.name)


def text_again(used: pd.DataFrame, text: Sequence[Hashable]) -> pd.DataFrame:
    """Return the frame with categories made of text as text again, undoing :func:`looked_up`."""
    if not text:
        return used
    new: dict[Hashable, object] = {}
    for name in text:
        own = used[name].array
        labels = np.append(own.categories.to_numpy(dtype=object), np.nan)
        new[name] = labels[own.codes]
    return replaced(used, new)


def columns_as_read(
    used: pd.DataFrame, names: Sequence[Hashable], *, text: Sequence[Hashable] = ()
) -> pd.DataFrame:
    """Bring a formula's columns to plain numbers or categories; the caller's frame is unchanged.

    Categories without a row are dropped (as in R), so that an absent one is never the
    reference; pandas' nullable types become numpy's, and narrow numbers wide ones, since 60 * 60
    is 16 among integers of eight bits.

    Columns in `text` are text that :func:`looked_up` converted to categories.

    Raises
    ------
    DataError
        If two categories look alike or one is blank, as ``check_spelling`` says; if a column
        contains anything but numbers or categories: decimal numbers written as text (each would be
        a category), dates and time spans (their unit would be a nanosecond), complex numbers,
        lists.
    """
    changed: dict[Hashable, pd.Series] = {}
    for name in names:
        column = given = used[name]
        if given.dtype == object:
            column = given.infer_objects()
            if column.dtype != object:
                changed[name] = column
        _check_readable(column)
        if isinstance(column.dtype, pd.CategoricalDtype):
            own = only_used(column)
            if own is not column:
                changed[name] = own
            if name in text:
                _check_not_numbers_as_text(own)
            check_spelling(own, kind="category")
            continue
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            plain = getattr(column.dtype, "numpy_dtype", column.dtype)  # of pandas' nullable types
            wide = _wide(plain, column)
            if wide != column.dtype:
                changed[name] = column.astype(wide)
        elif pd.api.types.is_string_dtype(column.dtype):
            changed[name] = column.astype(object)
            _check_one_kind(changed[name])
            _check_not_numbers_as_text(changed[name])
            check_spelling(changed[name], kind="category")
    if not changed:
        return used
    return replaced(used, changed)


def check_categories(column: pd.Series) -> None:
    """Refuse a column that is neither numbers nor categories, as a formula refuses it.

    Cells may be missing. See :func:`columns_as_read` for what is refused.
    """
    known = column.dropna()
    columns_as_read(known.to_frame(), [known.name])


def _wide(kind: np.dtype[Any], column: pd.Series) -> Any:
    """Return the type in which squares and cubes of a column do not overflow."""
    if kind.kind == "f":
        return np.float64
    if kind.kind not in "iu":
        return kind
    numbers = column.to_numpy()
    small = max(abs(int(numbers.min())), abs(int(numbers.max()))) <= LARGE_INTEGER
    return np.int64 if small else np.float64


def _check_readable(column: pd.Series) -> None:
    """Refuse values that a model cannot use as numbers or categories."""
    kind = column.dtype.kind
    if kind in "mM" or isinstance(column.dtype, pd.PeriodDtype | pd.IntervalDtype):
        raise DataError(
            f"Column '{column.name}' holds {column.dtype} values, which have no unit in a formula. "
            "Make a number of them first, in the unit you want to report: days are "
            "(data['date'] - data['date'].min()).dt.days."
        )
    if kind == "c":
        raise DataError(f"Column '{column.name}' holds complex numbers; a model takes real ones.")
    if column.dtype == object:
        check_hashable(column)


def check_hashable(column: pd.Series) -> None:
    """Refuse cells with lists or similar objects, which are neither numbers nor categories."""
    if all(issubclass(kind, Hashable) for kind in set(map(type, column))):
        return
    bad = np.array([not isinstance(value, Hashable) for value in column], dtype=bool)
    if bad.any():
        what = type(column[bad].iloc[0]).__name__
        raise DataError(
            f"Column '{column.name}' holds a {what} in {describe_rows(bad, column.index)}; a cell "
            "must be one number or one category."
        )


def _check_not_numbers_as_text(column: pd.Series) -> None:
    """Refuse text that consists of numbers, in all or nearly all cells, naming such a cell.

    Whole numbers can be codes of categories; beside a word they are warned of where they are many.
    """
    own = (
        column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique()
    )
    texts = [str(value).strip() for value in own]
    numbers = [text for text in texts if _DECIMAL.fullmatch(text)]
    others = [text for text in texts if not _DECIMAL.fullmatch(text)]
    decimal = any("." in text or "," in text for text in numbers)
    if 2 * len(numbers) < len(texts) or not (decimal or others):
        return
    stray = ""
    if others:
        here = (column.astype(str).str.strip() == others[0]).to_numpy()
        stray = f" beside '{others[0]}' in {describe_rows(here, column.index)}"
    if not decimal:
        words = [text for text in others if not any(sign.isdigit() for sign in text)]
        if words and len(numbers) > _CODES:  # "3+" beside 0, 1, 2 is a category as they are
            warn(
                f"Column '{column.name}' holds whole numbers written as text ('{numbers[0]}')"
                f"{stray}: each is a category of its own. If numbers are meant, convert it first "
                "(pandas.to_numeric) and set what is none to missing; if categories, say so with "
                f"data['{column.name}'].astype('category').",
                AllianceStatsWarning,
            )
        return
    raise DataError(
        f"Column '{column.name}' holds numbers written as text ('{numbers[0]}'){stray}: each would "
        "be a category of its own. Convert it first (pandas.to_numeric; for a decimal comma "
        "replace it by a point before), and set what is no number to missing."
    )


def _check_one_kind(column: pd.Series) -> None:
    """Refuse a column mixing numbers and text: each number would be a category."""
    if pd.api.types.infer_dtype(column, skipna=True) == "string":
        return
    numbers = np.array([isinstance(value, Number | np.bool_) for value in column], dtype=bool)
    if not numbers.any():
        return
    few, many = (~numbers, "numbers") if numbers.mean() >= 0.5 else (numbers, "text")
    if not few.any():
        few = np.array([isinstance(value, bool | np.bool_) for value in column], dtype=bool)
    raise DataError(
        f"Column '{column.name}' holds {many} and, in {describe_rows(few, column.index)}, "
        f"{column[few].iloc[0]!r}: it is neither numbers nor categories. Correct those cells, set "
        "them to missing, or make text of all."
    )


def complete_rows(
    data: pd.DataFrame,
    columns: Sequence[Hashable],
    levels: Mapping[str, tuple[str, ...]] | None = None,
    *,
    rows: RowLedger | None = None,
    reasons: Mapping[Hashable, str] | None = None,
) -> tuple[pd.DataFrame, RowLedger]:
    """Keep the rows without missing values, and record the rows lost to each column.

    Parameters
    ----------
    data
        The rows; not changed.
    columns
        Columns checked in this order; a row is attributed to the first one missing.
    levels
        Units to be counted in the ledger, by the columns that identify them.
    rows
        A ledger to continue; otherwise a new one is started.
    reasons
        Column -> the reason to record in place of "'column' is missing".

    Returns
    -------
    used, rows
        The rows kept (`data` itself if all were kept) and the ledger.

    Raises
    ------
    DataError
        If no rows remain.
    """
    ledger = RowLedger.start(data, levels) if rows is None else rows
    used = data
    for column in dict.fromkeys(columns):
        missing = np.asarray(pd.isna(used[column].array))
        if missing.any():
            reason = (reasons or {}).get(column, f"'{column}' is missing")
            used, ledger = ledger.keep(used, ~missing, reason=reason)
    if len(used) == 0:
        listed = ", ".join(f"'{column}'" for column in dict.fromkeys(columns))
        raise DataError(f"No row has all of {listed}: {ledger}")
    return used, ledger
