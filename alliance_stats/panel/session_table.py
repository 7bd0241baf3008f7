"""From a long table to ratings by session, outcome and person: the room's only entry point."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
    require_present,
    units_with_several,
)
from alliance_stats.engine.lag_model import FittedLags
from alliance_stats.engine.stacked_levels import Level
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.panel.session_covariates import (
    check_no_rating,
    check_told_apart,
    coded_covariates,
)

__all__ = ["LaggedModel", "SessionTable", "check_consecutive", "read_sessions"]


# Beyond so many sessions a number is hardly a count of sessions, but of days or a date.
MOST_SESSIONS = 150


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SessionTable:
    """Ratings by session, outcome and person, persons of a group side by side.

    Attributes
    ----------
    outcomes
        The outcomes' columns.
    names
        What the columns are called: ``person``, ``session``, and ``group`` and ``cluster`` if any.
    nested_in
        Columns of the levels above persons, innermost first.
    groups
        The compared groups; one, named ``""``, without them.
    sessions
        The session numbers from the first to the last that anybody rated: (T,).
    persons
        The persons, in the order of the arrays.
    group_of
        Each person's group: (N,).
    y
        Ratings, NaN where missing: (T, K, N).
    covariates
        Values of the coded covariates: (T, M, N).
    covariate_names
        What they are called.
    levels
        Levels above persons, innermost first.
    units
        For each level above persons, and ``cluster`` if given, each person's unit: (N,).
    rows
        Ledger of the rows used and set aside.
    """

    outcomes: tuple[str, ...]
    names: dict[str, str]
    nested_in: tuple[str, ...]
    groups: tuple[object, ...]
    sessions: Integers
    persons: pd.Index
    group_of: Integers
    y: Array
    covariates: Array
    covariate_names: tuple[str, ...]
    levels: tuple[Level, ...]
    units: dict[str, Integers]
    rows: RowLedger

    @property
    def sizes(self) -> dict[str, float]:
        """Rows, persons, and units of each level above them."""
        counts = {level: len(np.unique(self.units[level])) for level in self.nested_in}
        return {"rows": self.rows.n_used, "persons": len(self.persons), **counts}


LaggedModel = FittedLags[SessionTable]


def read_sessions(
    data: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    person: str,
    session: str,
    nested_in: Sequence[str] = (),
    group: str | None = None,
    cluster: str | None = None,
    covariates: str | None = None,
    means: str = "session",
    fewest: int = 3,
) -> SessionTable:
    """Check a long table once and lay it out by session, outcome and person.

    Session numbers are taken as they are: a number that a person skips is a session without a
    rating, and a lagged effect runs from one number to the next.

    Raises
    ------
    DataError
        A missing column, a person twice at one session or in two units, a session that is not a
        whole number, an outcome that does not vary within any person or is its own covariate.
    NotIdentifiedError
        Fewer than `fewest` sessions; a level with one unit, or as many as the level below.
    """
    frame = check_frame(data)
    columns = _check_names(outcomes, nested_in, person, session, group, cluster)
    require_columns(frame, columns)
    levels = {"person": (person,), **{level: (level,) for level in nested_in}}
    ledger = RowLedger.start(frame, levels)
    values = np.array([finite_or_missing(frame, outcome) for outcome in outcomes])
    _check_sessions(frame, person, session)
    rated = np.isfinite(values).any(axis=0)
    if not rated.any():
        raise DataError(f"No row has a value of {_listed(outcomes)}.")
    used, ledger = ledger.keep(frame, rated, reason=f"no value of {_listed(outcomes, 'or')}")
    used, values = used.reset_index(drop=True), values[:, rated]
    X = np.zeros((len(used), 0))
    covariate_names: tuple[str, ...] = ()
    if covariates:
        used, ledger, X, covariate_names = coded_covariates(used, ledger, covariates, outcomes)
        values = values[:, used.index]
    roles = _Roles(tuple(outcomes), person, session, tuple(nested_in), group, cluster)
    table = _laid_out(used, (values, X, covariate_names), roles, ledger, fewest=fewest)
    _check_group_sizes(table)
    rated_at = np.asarray(np.isfinite(table.y).any(axis=1))
    for g, name in enumerate(table.groups):
        own = table.group_of == g
        check_told_apart(
            table.covariates[..., own], covariate_names, rated_at[:, own],
            linear=means == "linear", of=f" in group '{name}'" if len(table.groups) > 1 else "",
        )  # fmt: skip
    return table


class _Roles(NamedTuple):
    """The columns that a table of sessions is laid out by."""

    outcomes: tuple[str, ...]
    person: str
    session: str
    nested_in: tuple[str, ...]
    group: str | None
    cluster: str | None

    @property
    def named(self) -> dict[str, str]:
        """Role -> column, of those that were given."""
        roles = ("person", "session", "group", "cluster")
        return {role: own for role in roles if (own := getattr(self, role)) is not None}


def _laid_out(
    used: pd.DataFrame,
    numbers: tuple[Array, Array, tuple[str, ...]],
    roles: _Roles,
    ledger: RowLedger,
    *,
    fewest: int,
) -> SessionTable:
    """Put the used rows into arrays."""
    (values, X, covariate_names), (outcomes, person, session, nested_in, group, cluster) = (
        numbers,
        roles,
    )
    codes, persons = group_codes(used[person])
    first_row = np.full(len(persons), -1, dtype=np.int64)
    first_row[codes[::-1]] = np.arange(len(codes))[::-1]
    of_person = used.iloc[first_row]
    for column in (*nested_in, group, cluster):
        if column is not None:
            _check_one_unit(used, person, column)
    group_of, groups = np.zeros(len(persons), dtype=np.int64), pd.Index([""])
    if group is not None:
        group_of, groups = group_codes(of_person[group])
        if len(groups) == 1:
            raise DataError(
                f"Column '{group}' has one value ({groups[0]}) in the rows used: there are no "
                "groups to compare. Leave group= out."
            )
    order = np.argsort(group_of, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    stated = used[session].to_numpy(dtype=np.float64)
    _check_length(stated, session, fewest)
    number = stated.astype(np.int64)
    sessions = np.arange(number.min(), number.max() + 1)
    at = (number - number.min(), slice(None), place[codes])
    y = np.full((len(sessions), len(outcomes), len(persons)), np.nan)
    y[at] = values.T
    covariate_values = np.zeros((len(sessions), X.shape[1], len(persons)))
    covariate_values[at] = X
    _check_varies(y, outcomes)
    _check_no_copy(values, outcomes)
    check_no_rating(covariate_values, covariate_names, y, outcomes)
    units = {column: group_codes(of_person[column])[0][order] for column in nested_in}
    _check_nested({person: np.arange(len(persons)), **units}, (person, *nested_in))
    levels = _levels([np.arange(len(persons)), *units.values()])
    if cluster is not None:
        units[cluster] = group_codes(of_person[cluster])[0][order]
    return SessionTable(
        outcomes, roles.named, nested_in, tuple(groups), sessions, persons[order],
        group_of[order], y, covariate_values, covariate_names, levels, units, ledger,
    )  # fmt: skip


def _levels(units: Sequence[Integers]) -> tuple[Level, ...]:
    """Return the levels of which `units` has each person's unit, persons themselves first."""
    levels = []
    for below, own in pairwise(units):
        parent = np.zeros(int(below.max()) + 1, dtype=np.int64)
        parent[below] = own
        levels.append(Level.from_codes(parent))
    return tuple(levels)


def _check_names(
    outcomes: Sequence[str], nested_in: Sequence[str], *others: str | None
) -> list[str]:
    if isinstance(outcomes, str) or isinstance(nested_in, str):
        given = outcomes if isinstance(outcomes, str) else nested_in
        name = "outcomes" if isinstance(outcomes, str) else "nested_in"
        raise TypeError(f"{name} takes a list of columns, as [{given!r}]; got {given!r}.")
    if not outcomes:
        raise DataError("outcomes= needs at least one column, as in outcomes=['alliance'].")
    columns = [*outcomes, *nested_in, *(column for column in others if column is not None)]
    twice = [c for i, c in enumerate(columns) if c in columns[:i]]
    if twice:
        raise DataError(
            f"Column '{twice[0]}' is named for two roles (outcomes, person, session, nested_in, "
            "group, cluster). Each role takes a column of its own."
        )
    return columns


def _check_sessions(frame: pd.DataFrame, person: str, session: str) -> None:
    require_present(frame, person, why="to know whose rating it is")
    require_present(frame, session, why="to know which rating came before which")
    number = finite_or_missing(frame, session)
    broken = number != np.round(number)
    if broken.any():
        raise DataError(
            f"Column '{session}' must count sessions in whole numbers, but is not whole in "
            f"{describe_rows(broken, frame.index)}."
        )
    twice = frame.duplicated([person, session], keep=False).to_numpy()
    if twice.any():
        at = int(np.flatnonzero(twice)[0])
        who, when = frame[person].iloc[at], frame[session].iloc[at]
        same = ((frame[person] == who) & (frame[session] == when)).to_numpy()
        raise DataError(
            f"Person '{who}' has {int(same.sum())} rows at session {when:g} "
            f"({describe_rows(same, frame.index)}). Keep one row per person and session; an id "
            "that is used again in another family needs a name of its own."
        )


def _check_one_unit(used: pd.DataFrame, person: str, column: str) -> None:
    require_present(used, column, why="to know where each person belongs")
    several = units_with_several(used, unit=person, column=column)
    if len(several):
        raise DataError(
            f"Person '{several[0]}' has more than one value of '{column}' "
            f"({plural(len(several), 'such person')}). A person belongs to one; an id that is used "
            "again elsewhere needs a name of its own."
        )


def _check_nested(units: dict[str, Integers], nested_in: Sequence[str]) -> None:
    for inner, outer in pairwise(nested_in):
        pairs = np.unique(np.stack([units[inner], units[outer]]), axis=1)
        if pairs.shape[1] > len(np.unique(units[inner])):
            raise DataError(
                f"Some '{inner}' lie in more than one '{outer}'; nested_in goes from the innermost "
                f"level to the outermost, each unit in one unit of the next. If ids of '{inner}' "
                "are used again, give each a name of its own."
            )
        n = len(np.unique(units[outer]))
        if n == 1:
            raise NotIdentifiedError(
                f"All persons are of one '{outer}': a variance between units cannot be estimated. "
                "Leave it out of nested_in."
            )
        if n == len(np.unique(units[inner])):
            raise NotIdentifiedError(
                f"Each '{outer}' has one '{inner}', so the two levels cannot be told apart. Leave "
                f"'{outer}' out of nested_in."
            )


def _check_length(number: Array, session: str, fewest: int) -> None:
    n = len(np.unique(number))
    if n == 1:
        raise NotIdentifiedError(
            f"All ratings are of one session ({number[0]:g}): how persons differ and what happens "
            f"within them is told apart by at least {fewest} sessions."
        )
    if n < fewest:
        raise NotIdentifiedError(
            "There are two sessions. They identify the sessions' means, variances and the "
            "covariance between them, but not how much of it is stable differences between "
            "persons and how much carries over: three sessions are the least."
        )
    n_sessions = float(np.ptp(number)) + 1.0  # before a row is made for each
    if n_sessions > MOST_SESSIONS:
        raise DataError(
            f"Column '{session}' runs from {number.min():.15g} to {number.max():.15g}. Count "
            "sessions (1, 2, 3...): a lagged effect reaches from a number to the next."
        )


def _check_varies(y: Array, outcomes: Sequence[str]) -> None:
    seen = np.isfinite(y)
    highest = np.where(seen, y, -np.inf).max(axis=0)
    lowest = np.where(seen, y, np.inf).min(axis=0)
    flat = ~(highest > lowest).any(axis=1)
    if flat.any():
        name = outcomes[int(np.flatnonzero(flat)[0])]
        raise DataError(
            f"Outcome '{name}' is the same at all of a person's sessions, for everybody, so "
            "nothing moves within persons. A characteristic of persons belongs in covariates=."
        )


def _check_no_copy(values: Array, outcomes: Sequence[str]) -> None:
    """Refuse an outcome that follows from those before it: (K, rows) ratings."""
    both = values[:, np.isfinite(values).all(axis=0)].T
    if len(both) <= len(outcomes) + 1:
        return
    X = np.ones((len(both), 1))
    for name, own in zip(outcomes, both.T, strict=True):
        left = own - X @ np.linalg.lstsq(X, own)[0]
        if left.std() <= 1e-9 * own.std():
            raise DataError(
                f"Outcome '{name}' follows from {_listed([o for o in outcomes if o != name])} in "
                "all rows that have both. An outcome and a copy of it, or a total and its parts, "
                "have no lagged effects on one another; leave one out."
            )
        X = np.column_stack([X, own])


def check_consecutive(table: SessionTable) -> None:
    """Refuse sessions if nobody was rated at two in a row: no lagged effect is observed there.

    An effect over two sessions is the square of one over a single session; it has several roots.
    """
    seen = np.asarray(np.isfinite(table.y).any(axis=1))
    for g, group in enumerate(table.groups):
        if not (seen[1:] & seen[:-1])[:, table.group_of == g].any():
            among = f" in group '{group}'" if len(table.groups) > 1 else ""
            held = table.sessions[seen.any(axis=1)]
            numbers = ", ".join(map(str, held[:6])) + ("..." if len(held) > 6 else "")
            raise NotIdentifiedError(
                f"Nobody{among} was rated at two sessions in a row by the numbers in "
                f"'{table.names['session']}' ({numbers}). A lagged effect "
                "reaches from a number to the next: number the sessions 1, 2, 3..., if those in "
                "between were never to be rated."
            )


def _check_group_sizes(table: SessionTable) -> None:
    """Refuse a group of so few persons that their covariances must be zero somewhere."""
    needed = len(table.outcomes) + 2
    n = np.bincount(table.group_of)
    if n.min() < needed:
        group = table.groups[int(n.argmin())]
        where = f"Group '{group}' has" if len(n) > 1 else "There are"
        raise NotIdentifiedError(
            f"{where} {plural(int(n.min()), 'person')} with ratings. Covariances of "
            f"{plural(len(table.outcomes), 'outcome')} between persons need {needed} at the least, "
            "and far more to be worth reading."
        )


def _listed(names: Sequence[str], word: str = "and") -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"
