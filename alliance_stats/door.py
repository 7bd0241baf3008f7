"""The door: a table of any kind becomes a DataFrame of plain columns."""

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Number, Real
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.errors import DataError

__all__ = [
    "has_surrogate",
    "numbers_of_objects",
    "plain_frame",
    "replaced",
    "require_new",
    "with_columns",
]

_LARGEST_EXACT = 2**53  # beyond it a float no longer tells neighbouring whole numbers apart
_LARGEST = 10**300
_KEPT_TYPES = (pd.CategoricalDtype, pd.DatetimeTZDtype, pd.PeriodDtype, pd.IntervalDtype)


def plain_frame(data: object, *, what: str) -> pd.DataFrame:
    """Return a table as plain columns and row labels; see ``checks.check_frame``, which asks."""
    frame = _as_frame(data, what)
    _check_names(frame.columns, what)
    columns = {
        place: plain
        for place, dtype in enumerate(frame.dtypes)
        if not _is_plain(dtype) and (plain := _plain_values(frame.iloc[:, place])) is not None
    }
    index = _plain_labels(frame.index, frame.columns)
    flags = frame.flags.allows_duplicate_labels and not frame.attrs
    if type(frame) is pd.DataFrame and flags and not columns and index is frame.index:
        return frame
    mended = pd.DataFrame(frame, copy=False).copy(deep=False)
    mended.attrs = {}
    mended.flags.allows_duplicate_labels = True
    for place, values in columns.items():
        mended.isetitem(place, values)
    mended.index = index
    return mended


def require_new(columns: Collection[Hashable], names: Sequence[str]) -> None:
    """Refuse to write over one of the columns that are already there."""
    for name in names:
        if name in columns:
            raise DataError(
                f"A new column '{name}' would be written over the one that is there. Drop or "
                "rename that one first."
            )


def with_columns(data: pd.DataFrame, new: Mapping[str, npt.ArrayLike]) -> pd.DataFrame:
    """Return a copy of `data` with new columns at its end, row labels untouched.

    A table that is none of pandas' comes back as one of pandas'.
    """
    frame = data if isinstance(data, pd.DataFrame) else plain_frame(data, what="data")
    require_new(frame.columns, list(new))
    return frame.assign(**new)


def replaced(frame: pd.DataFrame, columns: Mapping[Hashable, object]) -> pd.DataFrame:
    """Return the frame with these columns set, whatever their names are; `frame` stays as it is."""
    new = frame.copy(deep=False)
    for name, values in columns.items():
        new[name] = values
    return new


def _as_frame(data: object, what: str) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return data
    table = nw.from_native(data, pass_through=True)  # polars, Arrow, DuckDB and their like
    if isinstance(table, nw.LazyFrame):
        table = table.collect()
    if isinstance(table, nw.DataFrame):
        return _in_pandas(table)
    turned = getattr(data, "to_pandas", None)
    frame = turned() if callable(turned) else None
    if isinstance(frame, pd.DataFrame):
        return frame
    raise DataError(
        f"{what} must be a pandas DataFrame; got {type(data).__name__}. "
        "A file is read with Study.from_file; a Study gives study.sessions, "
        "study.persons and study.families."
    )


def _in_pandas(table: nw.DataFrame[Any]) -> pd.DataFrame:
    try:
        return table.to_pandas()
    except ImportError:  # polars goes through pyarrow, which may not be there
        return pd.DataFrame({name: table[name].to_list() for name in table.columns})


def _check_names(names: pd.Index, what: str) -> None:
    if isinstance(names, pd.MultiIndex):
        raise DataError(
            f"{what} has column names of {names.nlevels} parts, as {names[0]!r}. Give "
            "each column one name, as in data.columns = ['_'.join(map(str, name)) for name in "
            "data.columns]."
        )
    twice = names[names.duplicated()]
    if len(twice):
        raise DataError(
            f"Column '{twice[0]}' appears more than once in {what}; rename one of them."
        )
    for name in names:
        if isinstance(name, str) and not name.isascii() and has_surrogate(name):
            raise DataError(
                f"The column name {name!a} of {what} holds half a character (a lone surrogate), "
                "which cannot be written as text. Rename it; its file was read in a wrong encoding."
            )


def has_surrogate(text: str) -> bool:
    """Tell whether a text holds half a character, which no encoding can write."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _plain_labels(index: pd.Index, columns: pd.Index) -> pd.Index:
    """Return row labels in one level, none of them twice, under no column's name."""
    if isinstance(index, pd.MultiIndex):
        names = tuple(index.names)
        index = index.to_flat_index()
        index.name = names
    name = index.name if index.name is None or index.name not in columns else None
    if not index.is_unique:
        return pd.RangeIndex(len(index), name=name)
    return index if name is index.name else index.rename(name)


def _plain_values(values: pd.Series) -> pd.Series | None:
    """Return a column as numpy has it, or None where it may stay as it is."""
    dtype = values.dtype
    plain: npt.NDArray[np.generic] | pd.Series | None
    if isinstance(dtype, pd.CategoricalDtype):
        categories = dtype.categories.to_series()
        plain_categories = _plain_values(categories)
        if plain_categories is None:
            return None
        return values.cat.rename_categories(
            pd.Index(plain_categories, dtype=plain_categories.dtype)
        )
    if isinstance(dtype, _KEPT_TYPES):
        return None
    if isinstance(dtype, np.dtype):
        if dtype.kind == "O":
            _refuse_endless(values)
            return numbers_of_objects(values)
        return None if _is_plain(dtype) else _widened(values)
    if isinstance(dtype, pd.SparseDtype):
        plain = pd.Series(np.asarray(values), index=values.index)
        further = numbers_of_objects(plain) if plain.dtype.kind == "O" else None
        return plain if further is None else further
    return _without_extension(values)


def _refuse_endless(values: pd.Series) -> None:
    """Refuse whole numbers that no double comes near: pandas cannot compare them with others."""
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        return
    for row, cell in values.items():
        if isinstance(cell, int) and abs(cell) > _LARGEST:
            raise DataError(
                f"Column '{values.name}' holds a whole number of more than 300 digits in row "
                f"{row}. Correct it, or write it as text."
            )


def _is_plain(dtype: object) -> bool:
    """Tell whether a column stays as it is: numpy's own numbers of eight bytes, or no numbers."""
    if not isinstance(dtype, np.dtype) or dtype.kind == "O" or not dtype.isnative:
        return False
    return dtype.kind not in "iuf" or dtype.itemsize == 8


def _widened(values: pd.Series) -> pd.Series:
    """Return numbers of other bytes as those in which no difference overflows or is cut."""
    dtype = values.dtype
    if dtype.kind in "iuf" and dtype.itemsize != 8:
        return values.astype(np.float64 if dtype.kind == "f" else np.int64)
    return values.astype(dtype.newbyteorder("="))


def _without_extension(values: pd.Series) -> pd.Series:
    """Return the values of a nullable, Arrow or text type as numpy's own."""
    dtype, gaps = values.dtype, bool(values.isna().any())
    kind = getattr(getattr(dtype, "numpy_dtype", None), "kind", "O")
    if kind == "f":
        return pd.Series(values.to_numpy(np.float64, na_value=np.nan), index=values.index)
    if kind in "biu" and not gaps:
        return pd.Series(values.to_numpy(dtype.numpy_dtype), index=values.index)
    if kind in "iu" and not (values.abs() > _LARGEST_EXACT).any():
        return pd.Series(values.to_numpy(np.float64, na_value=np.nan), index=values.index)
    cells = pd.Series(values.to_numpy(object, na_value=np.nan), index=values.index, dtype=object)
    if kind in "mM":
        return cells.where(cells.notna(), None).infer_objects()
    further = numbers_of_objects(cells)
    return cells if further is None else further


def numbers_of_objects(values: pd.Series) -> pd.Series | None:
    """Return a column of objects as numbers or truth values if it holds nothing else, else None.

    Whole numbers that floats could not tell apart, and truth values beside missing ones, stay.
    """
    cells = values.to_numpy()
    if not isinstance(_first_present(cells), Number | np.bool_):
        return None
    kind = pd.api.types.infer_dtype(cells, skipna=True)
    missing = pd.isna(cells)
    if kind == "boolean":
        return None if missing.any() else values.astype(bool)
    known = cells[~missing]
    if kind.startswith("mixed") and all(_is_number(cell) for cell in known):
        kind = "decimal"  # beside other numbers
    if kind not in ("integer", "floating", "mixed-integer-float", "decimal"):
        return None
    if any(isinstance(cell, Integral) and abs(int(cell)) > _LARGEST_EXACT for cell in known):
        return None
    if kind == "integer" and not missing.any():
        return values.astype(np.int64)
    floats = np.full(len(cells), np.nan)
    floats[~missing] = known.astype(np.float64)
    return pd.Series(floats, index=values.index)


def _is_number(cell: object) -> bool:
    return isinstance(cell, Real | Decimal) and not isinstance(cell, bool | np.bool_)


def _first_present(cells: Iterable[object]) -> object:
    for cell in cells:
        absent = cell is None or cell is pd.NA or cell is pd.NaT
        if not absent and not (isinstance(cell, float) and math.isnan(cell)):
            return cell
    return None
