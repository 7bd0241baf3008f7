"""Who is who: ids that can be told apart, made globally unique, and properly nested."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_spelling,
    describe_rows,
    require_present,
    units_with_several,
)
from alliance_stats.errors import DataError

__all__ = ["LEVELS", "check_nesting", "global_ids", "plain_ids"]

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
    require_present(frame, column, why=f"to know the {role}")
    if pd.api.types.is_signed_integer_dtype(frame[column].dtype):
        return frame[column].astype(np.int64)
    values = frame[column].astype(object)
    blank = values.isin(
        [value for value in values.unique() if isinstance(value, str) and not value.strip()]
    )
    if blank.any():
        raise DataError(
            f"Column '{column}' is blank in {describe_rows(blank, frame.index)}, but it is needed "
            f"to know the {role}. Fill it in, or leave those rows out yourself."
        )
    if _all_text(values):
        return values.astype(str).astype(object)
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
    return values.map(_as_text)


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
    return frame.assign(**{roles[level]: values for level, values in ids.items()}), tuple(notes)


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
    """Return ``"<parent>/<own>"``, refusing where two different pairs would read the same."""
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


def _what_to_do(
    frame: pd.DataFrame, roles: Mapping[str, str], mask: npt.NDArray[np.bool_], outer: str
) -> str:
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
