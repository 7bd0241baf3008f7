"""What a frame must fulfil at the door.

:func:`check_frame` brings whatever table a caller has to plain columns, once. Each other function
looks at one thing, raises a :class:`~alliance_stats.errors.DataError` that names the column and the
rows, and gives back what the caller needs next. Nothing here changes the caller's frame.
"""

import difflib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from numbers import Number, Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.door import numbers_of_objects, plain_frame
from alliance_stats.errors import DataError

__all__ = [
    "check_choice",
    "check_column_names",
    "check_comparable",
    "check_conf_level",
    "check_frame",
    "check_magnitude",
    "check_not_empty",
    "comparable",
    "describe_rows",
    "did_you_mean",
    "differs_within",
    "finite_or_missing",
    "group_codes",
    "nested_codes",
    "not_a_number",
    "only_used",
    "pair_codes",
    "require_columns",
    "require_present",
    "row_units",
    "units_with_several",
    "value_codes",
]

_ROWS_SHOWN = 5
_TABLE = 4  # places a row of a table in which whole numbers are ticked off, at most
_LETTERS_SHOWN = 60
_MOST_DIGITS = 302  # a double holds six more, for sums


def did_you_mean(name: object, candidates: Iterable[object]) -> str:
    """Return a sentence that proposes the nearest name, or lists what there is.

    Parameters
    ----------
    name
        The name that was not found.
    candidates
        The names that exist.

    Returns
    -------
    str
        ``"Did you mean 'alliance'?"``, or ``"There are: 'a', 'b'."`` where nothing is near; of
        no candidates ``"There are none."``
    """
    names = [str(candidate) for candidate in candidates]
    if not names:
        return "There are none."
    lowered = {candidate.lower(): candidate for candidate in reversed(names)}
    near = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{lowered[near[0]]}'?"
    return "There are: " + ", ".join(f"'{candidate}'" for candidate in names) + "."


def describe_rows(mask: npt.ArrayLike, index: pd.Index) -> str:
    """Name the rows a boolean mask picks, by the frame's own index labels.

    Returns
    -------
    str
        ``"row 3"``, ``"rows 3, 4"``, or the first five ``"and 12 more rows"``.
    """
    labels = list(index[np.asarray(mask, dtype=bool)])
    shown = ", ".join(str(label) for label in labels[:_ROWS_SHOWN])
    more = len(labels) - _ROWS_SHOWN
    if more > 0:
        return f"rows {shown} and {more} more row{'s' if more > 1 else ''}"
    return f"row{'s' if len(labels) != 1 else ''} {shown}"


def check_frame(data: object, *, what: str = "data") -> pd.DataFrame:
    """Return a table of any kind as a DataFrame of plain columns, ready to be computed with.

    Parameters
    ----------
    data
        A pandas DataFrame, or a table that can be turned into one (polars, Arrow). Never changed.
    what
        What the table is called in messages.

    Returns
    -------
    DataFrame
        `data` itself where nothing needs mending, so that a frame is looked at once. Else a frame
        that shares what could be left alone, in which nullable, Arrow, sparse, big-endian and
        short (float32, int8) columns are numpy's of eight bytes (missing: NaN; whole numbers with
        gaps: floats, where those tell them apart), columns of objects that are all numbers or
        truth values are numbers or truth values, an index that shares a name with a column has
        none, repeated row labels are counted from 0 instead, several levels of row labels are one,
        and ``attrs`` are gone. Categories stay categories.

    Raises
    ------
    DataError
        If it is no table, has no rows, its columns have several levels of names, or a name appears
        twice or cannot be written as text.
    """
    return check_not_empty(plain_frame(data, what=what), what=what)


def check_not_empty(data: pd.DataFrame, *, what: str = "data") -> pd.DataFrame:
    """Return `data` if it has a row, else raise."""
    if len(data) == 0:
        raise DataError(f"{what} has no rows: there is nothing to compute from.")
    return data


def require_columns(
    data: pd.DataFrame, columns: Sequence[Hashable | None], *, what: str = "data"
) -> None:
    """Raise, with the nearest name, for the first of `columns` that `data` does not have.

    So for one in which a cell holds a list or the like, which can be held against nothing.
    ``None`` entries (roles that were not given) are passed over.
    """
    for column in columns:
        if not isinstance(column, Hashable):
            raise DataError(f"A column is called by one name; got {column!r}.")
        if column is not None and column not in data.columns:
            name = data.index.name
            if column == name or (isinstance(name, tuple) and column in name):
                raise DataError(
                    f"{what} has no column '{column}': it is the index. data.reset_index() makes "
                    "it a column."
                )
            raise DataError(
                f"{what} has no column '{column}'. {did_you_mean(column, data.columns)}"
            )
        if column is not None and data[column].ndim == 1:
            if data[column].dtype.kind == "c":
                raise DataError(f"Column '{column}' holds complex numbers, which have no order.")
            check_comparable(data[column])


def check_column_names(names: Mapping[str, object], data: object) -> None:
    """Refuse a Series, an array or a number in place of a column's name: argument -> name."""
    labels = set(getattr(data, "columns", ()))
    for argument, name in names.items():
        known = isinstance(name, Hashable) and (isinstance(name, str) or name in labels)
        if name is not None and not known:
            raise DataError(
                f"{argument}= takes the name of a column of data; got {type(name).__name__}. "
                "Put the values into a column first."
            )


def require_present(data: pd.DataFrame, column: Hashable, *, why: str) -> None:
    """Raise if `column` has a missing value; `why` ends the sentence with what it is needed for."""
    missing = np.asarray(pd.isna(data[column].array))
    if missing.any():
        raise DataError(
            f"Column '{column}' is missing in {describe_rows(missing, data.index)}, "
            f"but it is needed {why}. Fill it in, or leave those rows out yourself."
        )


def finite_or_missing(data: pd.DataFrame, column: Hashable) -> npt.NDArray[np.float64]:
    """Return a numeric column as floats, NaN where it is missing.

    Raises
    ------
    DataError
        If the column is not numeric, or holds an infinite value.
    """
    values = data[column]
    if values.dtype == object:
        values = _as_truth_or_numbers(values)
    numeric = pd.api.types.is_numeric_dtype(values.dtype)
    if not numeric or pd.api.types.is_complex_dtype(values.dtype):
        raise DataError(
            f"Column '{column}' must be numeric; its values are of type {values.dtype}"
            f"{not_a_number(values)}. "
            "Convert it first (pandas.to_numeric names what it cannot read)."
        )
    floats: npt.NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = np.isinf(floats)
    if infinite.any():
        raise DataError(
            f"Column '{column}' is infinite in {describe_rows(infinite, data.index)}. "
            "Correct the values, or set them to missing."
        )
    return floats


def check_magnitude(
    numbers: npt.NDArray[np.float64], name: object, *, power: int = 2
) -> npt.NDArray[np.float64]:
    """Return numbers whose powers (and sums of them) a double holds; refuse others, naming them."""
    size = float(np.nanmax(np.abs(numbers), initial=0.0))
    if size and not -_MOST_DIGITS < power * np.log10(size) < _MOST_DIGITS:
        raise DataError(
            f"Column '{name}' holds numbers of a size of {size:.3g}, whose squares cannot be "
            "computed with. Give it in another unit."
        )
    return numbers


def _as_truth_or_numbers(values: pd.Series) -> pd.Series:
    """Return a column of objects as numbers where each is one; true is 1, false 0."""
    if pd.api.types.infer_dtype(values, skipna=True) == "boolean":
        return values.map({True: 1.0, False: 0.0}).astype(np.float64)
    numbers = numbers_of_objects(values)
    return values if numbers is None else numbers


def not_a_number(values: pd.Series) -> str:
    """Name the first cell that keeps a column of objects from being numbers."""
    if values.dtype != object:
        return ""
    written = [
        ""
        if (isinstance(value, Number) and not isinstance(value, bool))
        or value is None
        or value is pd.NA
        or value is pd.NaT
        else repr(value)
        for value in values.array
    ]
    first = next(filter(None, written), "")
    if not first:
        return ""
    same = np.array([text == first for text in written])
    shown = first if len(first) <= _LETTERS_SHOWN else f"{first[:_LETTERS_SHOWN]}..."
    return f", as {shown} in {describe_rows(same, values.index)}"


def comparable(values: pd.Series) -> bool:
    """Tell whether values can be held against each other; lists and dicts cannot."""
    if not pd.api.types.is_object_dtype(values.dtype):
        return True
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        return True
    return all(pd.api.types.is_hashable(value) for value in values)


def check_comparable(values: pd.Series) -> None:
    """Refuse a column in which a cell is a list or the like, which cannot be one of anything."""
    if not comparable(values):
        odd = np.array([not pd.api.types.is_hashable(value) for value in values])
        kind = type(values[odd].iloc[0]).__name__
        raise DataError(
            f"Column '{values.name}' holds a {kind} in {describe_rows(odd, values.index)}, where "
            "one value is needed. Give each cell one value, text or a number."
        )


def only_used(values: pd.Series) -> pd.Series:
    """Return a column of categories without those that no row has; the same where all occur."""
    occurs = np.zeros(len(values.array.categories) + 1, dtype=bool)  # at its end a missing one
    occurs[values.array.codes] = True
    return values if occurs[:-1].all() else values.cat.remove_unused_categories()


def group_codes(values: pd.Series) -> tuple[npt.NDArray[np.int64], pd.Index]:
    """Give each group of a column its number in sorted order, -1 where the value is missing.

    Strings, integers and categories are all read by value; unused categories do not count.

    Returns
    -------
    codes, labels
        ``labels[codes]`` gives the values back.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = only_used(values)
    whole = _close_together(values)
    if whole is not None:
        codes = _without_gaps(*whole)
        labels = np.empty(codes.max() + 1, dtype=np.int64)
        labels[codes] = values.to_numpy()
        return codes, pd.Index(labels)
    check_comparable(values)
    if values.dtype.kind == "c":
        raise DataError(f"Column '{values.name}' holds complex numbers, which have no order.")
    try:
        codes, labels = pd.factorize(values, sort=True)
    except TypeError as error:  # numbers and text have an order, bytes beside them have none
        kinds = ", ".join(sorted({type(value).__name__ for value in values.dropna()}))
        raise DataError(
            f"Column '{values.name}' holds values that have no order ({kinds}). Give all its cells "
            "one type."
        ) from error
    return codes.astype(np.int64), pd.Index(labels)


def value_codes(values: pd.Series) -> npt.NDArray[np.int64]:
    """Give each value of a column a number, without gaps, in any order; -1 where it is missing.

    Whole numbers close together are ticked off in a table, which is faster than looking each up.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.array.codes.astype(np.int64)
        return _without_gaps(codes, len(values.array.categories))
    whole = _close_together(values)
    return pd.factorize(values)[0] if whole is None else _without_gaps(*whole)


def nested_codes(
    outer: npt.NDArray[np.int64], inner: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Give each pair of codes a number, without gaps, in order; -1 where either is missing.

    Codes that have no gaps themselves never multiply to more than a number can hold.
    """
    n_inner = int(inner.max(initial=-1)) + 1
    known = (outer >= 0) & (inner >= 0)
    if known.all():
        home = np.empty(n_inner, dtype=np.int64)
        home[inner] = outer
        if (home[inner] == outer).all():  # truly nested: to know the inner one is enough
            place = np.empty(n_inner, dtype=np.int64)
            place[np.argsort(home, kind="stable")] = np.arange(n_inner)
            return place[inner]
    codes = np.full(len(known), -1)
    codes[known] = pd.factorize(outer[known] * n_inner + inner[known], sort=True)[0]
    return codes


def _without_gaps(codes: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Renumber codes below `size` in their order, leaving no number out; -1 (missing) stays."""
    occurs = np.zeros(size + 1, dtype=bool)  # at its end is the place of -1
    occurs[codes] = True
    if occurs[:-1].all():
        return codes
    number = np.cumsum(occurs) - 1
    number[-1] = -1
    return number[codes]


def _close_together(values: pd.Series) -> tuple[npt.NDArray[np.int64], int] | None:
    """Return whole numbers less the least one, and their range; None for other columns."""
    if values.dtype != np.int64 or len(values) == 0:
        return None
    numbers = values.to_numpy()
    low, size = int(numbers.min()), int(numbers.max()) - int(numbers.min()) + 1
    return (numbers - low, size) if size <= _TABLE * len(numbers) else None


def row_units(data: pd.DataFrame, columns: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    """Give each combination of values a number in order of appearance, -1 where one is missing."""
    codes, *further = (pd.factorize(data[column])[0] for column in columns)
    for own in further:
        codes = pair_codes(codes, own)
    return np.asarray(codes)


def pair_codes(outer: npt.NDArray[np.int64], inner: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return codes of pairs of codes in order of appearance, -1 where either is missing."""
    known = (outer >= 0) & (inner >= 0)
    codes = np.full(len(known), -1)
    pairs = outer[known] * (int(inner.max(initial=0)) + 1) + inner[known]
    codes[known] = pd.factorize(pairs)[0]
    return codes


def check_conf_level(conf_level: float) -> float:
    """Return `conf_level` if it lies strictly between 0 and 1."""
    if not isinstance(conf_level, Real) or not 0.0 < conf_level < 1.0:
        raise ValueError(
            f"conf_level must lie between 0 and 1 (0.95 for a 95% interval); got {conf_level!r}."
        )
    return conf_level


def check_choice(value: str, choices: Sequence[str], *, name: str) -> str:
    """Return `value` if it is one of `choices`, else raise naming the argument and the choices."""
    if value not in choices:
        listed = ", ".join(f"'{choice}'" for choice in choices)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}.")
    return value


def units_with_several(data: pd.DataFrame, *, unit: Hashable, column: Hashable) -> pd.Index:
    """Return the units in which `column` takes more than one value, in order of appearance.

    A missing value counts as a value of its own; rows with a missing unit are passed over.
    """
    if unit == column:
        return pd.Index([])
    units, values = (
        data[name].array.codes
        if isinstance(data[name].dtype, pd.CategoricalDtype)
        else pd.factorize(data[name])[0]
        for name in (unit, column)
    )
    other = differs_within(units, values)
    return pd.Index(data.loc[other, unit].unique() if other.any() else [])


def differs_within(
    units: npt.NDArray[np.int64], values: npt.NDArray[np.generic]
) -> npt.NDArray[np.bool_]:
    """Return which of n rows hold another value than their unit's first; none without a unit (-1).

    Missing values are to be coded as a value of their own.
    """
    first = np.zeros(int(units.max(initial=-1)) + 2, dtype=np.int64)
    first[units[::-1]] = np.arange(len(units))[::-1]
    return np.asarray((values[first[units]] != values) & (units >= 0))
