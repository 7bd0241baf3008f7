"""Units: distinct and nested ids, and what a unit's rows agree on."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    comparable,
    describe_rows,
    only_used,
    require_present,
    units_with_several,
)
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.estimates import Booleans
from alliance_stats.spelling import check_spelling

__all__ = [
    "LEVELS",
    "check_nesting",
    "each_label_once",
    "global_ids",
    "is_categorical",
    "n_completed",
    "n_without",
    "one_row_per",
    "plain_ids",
]

LEVELS = ("person", "family", "therapist")
"""The levels that carry ids, innermost first."""

_PLURALS = {"person": "persons", "family": "families", "therapist": "therapists"}
_LARGEST_EXACT = 2**53  # beyond it a float no longer tells neighbouring whole numbers apart


def plain_ids(frame: pd.DataFrame, column: str, *, role: str) -> pd.Series:
    """Return an id column as plain values: all whole numbers, or all text.

    Categories are read by value, whole floats become integers, and a column that mixes numbers and
    text becomes text.

    Raises
    ------
    DataError
        If an id is missing or blank, or is neither text nor a whole number.
    """
    if pd.api.types.is_signed_integer_dtype(frame[column].dtype):
        return frame[column].astype(np.int64)
    values = frame[column].astype(object)
    if _all_text(values):
        _refuse_blanks(values, role)
        return values
    require_present(frame, column, why=f"to know the {role}")
    texts = np.array([isinstance(value, str) for value in values])
    whole = np.array([_is_whole(value) for value in values])
    odd = ~(texts | whole)
    if odd.any():
        raise DataError(
            f"Column '{column}' ({role}) holds {values[odd].iloc[0]!r} in "
            f"{describe_rows(odd, frame.index)}. Ids must be text or whole numbers of at most 15 "
            "digits; give each unit such an id (longer numbers as text)."
        )
    if whole.all():
        return values.astype(np.int64)
    _refuse_blanks(values, role)
    return values.map(_as_text)


def is_categorical(values: pd.Series) -> bool:
    """Say whether a column is one of categories."""
    return isinstance(values.dtype, pd.CategoricalDtype)


def each_label_once(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the frame with columns of text as categories, in order of first appearance.

    A check then looks at each label instead of each row.
    """
    new: dict[Hashable, object] = {}
    for name in columns:
        values = frame[name]
        if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) == "string":
            codes, labels = pd.factorize(values)
            once = pd.Categorical.from_codes(codes, pd.Index(labels, dtype=object))
            new[name] = pd.Series(once, index=frame.index)
    return replaced(frame, new)


def _is_known_text(values: pd.Series) -> bool:
    """Say whether a column of categories holds a text that is not blank in every row."""
    if not is_categorical(values) or values.isna().any():
        return False
    labels = only_used(values).cat.categories.to_series()
    return _all_text(labels) and all(map(str.strip, labels))


def _refuse_blanks(values: pd.Series, role: str) -> None:
    blanks = [v for v in values.unique() if isinstance(v, str) and not v.strip()]
    if blanks:
        raise DataError(
            f"Column '{values.name}' is blank in "
            f"{describe_rows(values.isin(blanks), values.index)}, but it is needed "
            f"to know the {role}. Fill it in, or leave those rows out yourself."
        )


def global_ids(
    frame: pd.DataFrame, roles: Mapping[str, str], local_ids: Sequence[str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the frame with checked, globally unique ids, and notes on what was changed.

    An id that is local to its parent becomes ``"<parent>/<id>"``.
    """
    _check_local_ids(roles, local_ids)
    ids: dict[str, pd.Series] = {}
    notes: list[str] = []
    parent: str | None = None
    for level in reversed(
        LEVELS
    ):  # therapist first: a parent's id is settled before its children's
        if level not in roles:
            continue
        column = roles[level]
        local = level in local_ids
        own = frame[column]
        if not _is_known_text(own):
            own = plain_ids(frame, column, role=level)
        check_spelling(frame[column], kind="unit", within=ids[parent] if local and parent else None)
        ids[level] = own
        if local and parent is not None:
            ids[level] = _joined(ids[parent], own, column=column, parent_column=roles[parent])
            notes.append(
                f"{level.capitalize()} ids are local to the {parent}: column '{column}' now reads "
                f"as in '{ids[level].iloc[0]}'."
            )
        elif pd.api.types.is_object_dtype(own) and not _all_text(frame[column]):
            notes.append(f"Column '{column}' mixed numbers and text; its ids are all text now.")
        parent = level
    return replaced(frame, {roles[level]: ids[level] for level in ids}), tuple(notes)


def check_nesting(frame: pd.DataFrame, roles: Mapping[str, str]) -> None:
    """Refuse a person in two families, and a family (or person) under two therapists."""
    levels = [level for level in LEVELS if level in roles]
    for inner, outer in pairwise(levels):
        clash = units_with_several(frame, unit=roles[inner], column=roles[outer])
        if len(clash):
            raise DataError(_nesting_message(frame, roles, inner, outer, clash))


def _check_local_ids(roles: Mapping[str, str], local_ids: Sequence[str]) -> None:
    if isinstance(local_ids, str):
        raise DataError(f"local_ids must be a sequence such as ('{local_ids}',); got a string.")
    for level in local_ids:
        if level not in ("person", "family"):
            raise DataError(f"local_ids may name 'family' and 'person'; got {level!r}.")
        if level not in roles:
            raise DataError(f"local_ids names '{level}', but no column was given as {level}=.")
        above = LEVELS[LEVELS.index(level) + 1 :]
        if not any(parent in roles for parent in above):
            needed = " or ".join(f"{parent}=" for parent in above)
            raise DataError(
                f"local_ids says that {level} ids are numbered anew in each unit above, but no "
                f"column was given as {needed}. Name it, or leave '{level}' out of local_ids."
            )


def _is_whole(value: object) -> bool:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return False
    if isinstance(value, Integral):
        return abs(int(value)) < np.iinfo(np.int64).max
    return float(value).is_integer() and abs(float(value)) < _LARGEST_EXACT


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(int(value))  # type: ignore[call-overload]


def _all_text(values: pd.Series) -> bool:
    return bool(pd.api.types.infer_dtype(values.astype(object), skipna=False) == "string")


def _joined(parent: pd.Series, own: pd.Series, *, column: str, parent_column: str) -> pd.Series:
    """Return ``"<parent>/<own>"``, refusing if two different pairs would look the same."""
    joined = pd.Series(
        [f"{above}/{below}" for above, below in zip(parent, own, strict=True)], index=own.index
    )
    pairs = pd.DataFrame({"joined": joined, "parent": parent, "own": own}).drop_duplicates()
    twice = pairs["joined"].duplicated()
    if twice.any():
        raise DataError(
            f"Ids in '{parent_column}' and '{column}' contain '/', and two different units would "
            f"both read '{pairs.loc[twice, 'joined'].iloc[0]}'. Take the '/' out of the ids."
        )
    return joined


def _nesting_message(
    frame: pd.DataFrame, roles: Mapping[str, str], inner: str, outer: str, clash: pd.Index
) -> str:
    column = roles[inner]
    mask = (frame[column] == clash[0]).to_numpy()
    units = frame.loc[mask, roles[outer]].unique()
    listed = ", ".join(f"'{unit}'" for unit in units)
    preposition = "in" if outer == "family" else "under"
    found = (
        f"{inner.capitalize()} '{clash[0]}' (column '{column}') stands {preposition} {len(units)} "
        f"{_PLURALS[outer]} (column '{roles[outer]}': {listed}) in "
        f"{describe_rows(mask, frame.index)}"
    )
    more = len(clash) - 1
    others = f", and {more} more {_PLURALS[inner] if more > 1 else inner} likewise" if more else ""
    numbered = f"If ids are numbered anew {preposition} each {outer}, declare " + (
        f"local_ids=('{inner}',). "
    )
    return f"{found}{others}. {numbered}{_what_to_do(frame, roles, mask, outer)}"


def _what_to_do(frame: pd.DataFrame, roles: Mapping[str, str], mask: Booleans, outer: str) -> str:
    if outer == "family":
        return (
            "If one person is treated in two families, give the person an id of its own in each, "
            "or keep the rows of one family."
        )
    together = False
    if "session" in roles:
        sessions = frame.loc[mask, [roles["session"], roles[outer]]].drop_duplicates()
        together = bool(sessions[roles["session"]].duplicated().any())
    if together:
        return (
            "It was seen by both in one session (co-therapy): name the pair as one therapist, as "
            "in 'T1+T2', or keep the ratings of one."
        )
    return (
        "If the therapist changed, keep the rows under the first therapist with the ending "
        "'transferred', or treat the second course as a unit with an id of its own; if two "
        "therapists worked together (co-therapy), name the pair as one therapist, as in 'T1+T2'."
    )


def one_row_per(
    frame: pd.DataFrame, unit: str, *, inner: str | None = None, measured: Collection[str] = ()
) -> pd.DataFrame:
    """Return a row per unit, in order of first appearance, with the columns constant within units.

    Parameters
    ----------
    frame
        Rows of units; ids are not missing.
    unit, inner
        Columns of the ids of the unit and of the level below it, if there is one.
    measured
        Columns that belong to a row and not to a unit (scores, times): they are shown only where
        every row of every unit has the same value, a missing one counting as a value.

    Returns
    -------
    DataFrame
        `unit`, and each column whose known values are the same within every unit; missing where
        none of the unit's rows has a value. Lists and dicts are left out. A row may lack a value
        that others of its inner unit have; an inner unit without any value may truly have none (a
        family's barrier is not its therapist's), so that such a column is left out.
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

    None if the rows of a unit disagree: the column then does not belong to the unit.
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
