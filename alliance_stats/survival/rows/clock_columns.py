"""Columns of a survival table, read: times, events, endings, groups. A frame in, arrays out."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_spelling,
    describe_rows,
    did_you_mean,
    finite_or_missing,
    group_codes,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = [
    "Groups",
    "IntArray",
    "as_columns",
    "read_endings",
    "read_event",
    "read_labels",
    "read_times",
    "same_times",
]

IntArray = npt.NDArray[np.int64]

# Times nearer than this (absolutely, or relative to the mean time) are one time: 0.1 + 0.2 and 0.3
# must tie. The square root of the double's precision, as in R's survival::aeqSurv.
_SAME_TIME = float(np.sqrt(np.finfo(np.float64).eps))

_CENSORED_LABELS = ("ongoing", "censored")


def as_columns(
    data: pd.DataFrame, columns: Hashable | Sequence[Hashable] | None
) -> tuple[Hashable, ...]:
    """Return one column or several as a tuple (a tuple that names a column is one column)."""
    if columns is None:
        return ()
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        return (columns,)
    if isinstance(columns, tuple) and columns in data.columns:
        return (columns,)
    return tuple(columns)


def read_times(data: pd.DataFrame, time: Hashable, entry: Hashable | None) -> tuple[Array, Array]:
    """Return entry and exit, refusing intervals that are no time at all or lie before 0."""
    stop = finite_or_missing(data, time)
    start = np.zeros_like(stop) if entry is None else finite_or_missing(data, entry)
    for column, values in ((time, stop), (entry, start)):
        if (values < 0).any():
            raise DataError(
                f"Column '{column}' is negative in {describe_rows(values < 0, data.index)}. "
                "Time counts from the start of treatment, which is 0."
            )
    start, stop = _merge_near_ties(start, stop)
    empty = stop <= start
    if empty.any():
        found = describe_rows(empty, data.index)
        if entry is None:
            raise DataError(
                f"Column '{time}' is 0 in {found}: nobody is at risk for no time at all. "
                "Count those who never began apart, and say so, or start the clock earlier."
            )
        raise DataError(
            f"'{time}' does not come after '{entry}' in {found}: an interval has an end "
            "later than its start. Correct the dates, or leave those rows out yourself."
        )
    return start, stop


def _merge_near_ties(start: Array, stop: Array) -> tuple[Array, Array]:
    """Give times that differ by floating-point dust the earlier one's value."""
    distinct = np.sort(np.union1d(pd.unique(start), pd.unique(stop)))
    if (distinct == np.floor(distinct)).all():  # whole numbers hold no dust, however large
        return start, stop
    gaps = np.diff(distinct)
    near = (gaps <= _SAME_TIME) | (gaps <= _SAME_TIME * np.mean(np.abs(distinct)))
    if not near.any():
        return start, stop
    kept = distinct[np.concatenate(([True], ~near))]
    return (
        kept[np.searchsorted(kept, start, side="right") - 1],
        kept[np.searchsorted(kept, stop, side="right") - 1],
    )


def same_times(asked: Array, known: Array) -> Array:
    """Return times that were asked for, each that is a known one but for dust as that one."""
    times = np.sort(known)
    place = np.searchsorted(times, asked)
    found = np.array(asked, dtype=np.float64)
    for at in (np.maximum(place - 1, 0), np.minimum(place, len(times) - 1)):
        near = np.abs(asked - times[at]) <= _SAME_TIME * np.maximum(1.0, np.abs(asked))
        found = np.where(near, times[at], found)
    return found


def read_event(data: pd.DataFrame, event: Hashable) -> IntArray:
    """Return 0 for censored and 1 for the event, refusing anything else."""
    values = data[event]
    allowed = values.isin([0, 1]).to_numpy()
    if not allowed.all():
        found = ", ".join(repr(value) for value in pd.unique(values[~allowed])[:5].tolist())
        raise DataError(
            f"Column '{event}' must be 0 (censored) or 1 (event), or boolean; it holds {found} "
            f"in {describe_rows(~allowed, data.index)}. Say which value is the event, as in "
            f"data.assign(left=data['{event}'] == value) and event='left'."
        )
    return np.asarray(values.to_numpy(), dtype=np.int64)


def read_endings(
    data: pd.DataFrame, event: Hashable, censored: object | None
) -> tuple[IntArray, tuple[str, ...]]:
    """Return each row's ending (0 for censored, else from 1), and the endings' names."""
    check_spelling(data[event], kind="ending")
    codes, labels = group_codes(data[event])
    if censored is None:
        censored = _censored_value(event, labels)
    elif censored != () and censored not in labels:
        raise DataError(
            f"Column '{event}' does not hold {censored!r}, the value that means censored. "
            f"{did_you_mean(censored, labels)} If nobody is censored, give censored=()."
        )
    ends = [k for k, label in enumerate(labels) if label != censored]
    if not ends:
        raise DataError(f"Column '{event}' holds no ending: every row is {censored!r} (censored).")
    number = np.zeros(len(labels), dtype=np.int64)
    number[ends] = np.arange(1, len(ends) + 1)
    return number[codes], tuple(str(_plain(labels[k])) for k in ends)


def _censored_value(event: Hashable, labels: pd.Index) -> object:
    if pd.api.types.is_bool_dtype(labels):
        return False
    if pd.api.types.is_numeric_dtype(labels):
        found: list[object] = [0] if 0 in labels else []
    else:
        found = [label for label in _CENSORED_LABELS if label in labels]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(repr(_plain(label)) for label in labels.tolist()[:6])
    kind = "labels" if labels.dtype == object else "codes"
    raise DataError(
        f"Column '{event}' holds the {kind} {shown}. Say which of them means that treatment had "
        f"not ended, as in censored={_plain(labels.tolist()[0])!r}; if everyone's has, give "
        "censored=()."
    )


def _plain(label: object) -> object:
    """Return a whole float as an integer, so that ending 1.0 is called '1'."""
    if isinstance(label, float | np.floating) and float(label).is_integer():
        return int(label)
    return label


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups that one column or several together make.

    Attributes
    ----------
    codes
        (n,) number of each row's group, from 0 in sorted order.
    keys
        The columns' values that make each group: by these, groups are told apart.
    labels
        Their names in print: ``"a, b"`` for several columns, with the values in quotes where two
        groups would have one name.
    """

    codes: IntArray
    keys: tuple[tuple[object, ...], ...]
    labels: tuple[str, ...]


def read_labels(data: pd.DataFrame, columns: Hashable | Sequence[Hashable]) -> Groups:
    """Return the groups that one column or several together make."""
    first, *others = as_columns(data, columns)
    for column in (first, *others):
        check_spelling(data[column], kind="group")
    codes, labels = group_codes(data[first])
    keys = [(_plain(label),) for label in labels.tolist()]
    for column in others:
        more, further = group_codes(data[column])
        values = further.tolist()
        joint, codes = np.unique(codes * len(further) + more, return_inverse=True)
        keys = [(*keys[j // len(values)], _plain(values[j % len(values)])) for j in joint]
    names = [", ".join(map(str, key)) for key in keys]
    if len(set(names)) < len(names):
        names = [", ".join(map(repr, key)) for key in keys]
    return Groups(codes.astype(np.int64), tuple(keys), tuple(names))
