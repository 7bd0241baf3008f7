"""The checks of a study, in the order in which they are made."""

from collections.abc import Mapping, Sequence

import pandas as pd

from alliance_stats.checks import check_spelling, units_with_several
from alliance_stats.errors import DataError
from alliance_stats.study.endings import check_endings, check_rows_after, warn_of_padded_rows
from alliance_stats.study.ids import check_nesting, global_ids
from alliance_stats.study.ratings import (
    check_one_rating_each,
    check_order,
    check_range,
    check_time,
    scores,
    whole_sessions,
)

__all__ = ["checked", "distinct_roles"]


def distinct_roles(given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the roles that were given, refusing one column under two of them."""
    roles = {role: column for role, column in given.items() if column is not None}
    holder: dict[str, str] = {}
    for role, column in roles.items():
        if not isinstance(column, str):
            raise DataError(f"{role}= must be the name of one column; got {column!r}.")
        if column in holder:
            raise DataError(
                f"Column '{column}' was given as both {holder[column]}= and {role}=. A column has "
                "one role; name another, or copy it if it really serves both."
            )
        holder[column] = role
    return roles


def checked(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    *,
    unit: str,
    ranges: Mapping[str, tuple[float, float]],
    local_ids: Sequence[str],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the frame with plain ids, whole sessions and numeric scores, and notes on changes."""
    frame, notes = global_ids(frame, roles, local_ids)
    check_nesting(frame, roles)
    for role in ("role", "rater"):
        if role in roles:
            check_spelling(frame[roles[role]], kind=role)
    frame = _checked_ratings(frame, roles, ranges)
    _check_constant_role(frame, roles)
    _check_course(frame, roles, unit)
    return frame, notes


def _checked_ratings(
    frame: pd.DataFrame, roles: Mapping[str, str], ranges: Mapping[str, tuple[float, float]]
) -> pd.DataFrame:
    if "session" in roles:
        frame = frame.assign(**{roles["session"]: whole_sessions(frame, roles["session"])})
    if "time" in roles:
        check_time(frame, roles["time"])
    check_one_rating_each(frame, roles)
    if "session" in roles and "time" in roles:
        check_order(
            frame,
            person=roles["person"],
            session=roles["session"],
            time=roles["time"],
            rater=roles.get("rater"),
        )
    for role in ("alliance", "outcome"):
        if role in roles:
            frame = frame.assign(**{roles[role]: scores(frame, roles[role])})
    for role, (low, high) in ranges.items():
        check_range(frame, roles[role], low=low, high=high)
    return frame


def _check_constant_role(frame: pd.DataFrame, roles: Mapping[str, str]) -> None:
    if "role" not in roles:
        return
    clash = units_with_several(frame, unit=roles["person"], column=roles["role"])
    if len(clash):
        mask = frame[roles["person"]] == clash[0]
        values = ", ".join(f"'{value}'" for value in frame.loc[mask, roles["role"]].unique())
        raise DataError(
            f"Person '{clash[0]}' has several values of '{roles['role']}' ({values}). A person "
            "has one role in the family; who gave a rating goes to rater=."
        )


def _check_course(frame: pd.DataFrame, roles: Mapping[str, str], unit: str) -> None:
    """Check how treatment ended, and that no row is later."""
    session, ending = roles.get("session"), roles.get("ending")
    column = roles[unit]
    if ending is not None:
        check_endings(frame, ending=ending, unit=unit, unit_column=column, session=session)
    if "ending_session" in roles:
        if session is None:
            raise DataError("ending_session= needs session=: name the column of session numbers.")
        check_rows_after(
            frame,
            session=session,
            ending_session=roles["ending_session"],
            unit=unit,
            unit_column=column,
        )
        return
    scored = [roles[role] for role in ("alliance", "outcome") if role in roles]
    if ending is not None and session is not None and scored:
        warn_of_padded_rows(
            frame, ending=ending, session=session, unit_column=column, scored=scored
        )
