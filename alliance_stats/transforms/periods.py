"""Who was at risk when: person-period tables and last sessions.

**The clock.** A unit that attended sessions 1..T and then left has its event in the interval after
session T. What was recorded at session T is known before that event; anything later is not.
Intervals are counted from the study's first session number, 0 where any session is 0 (an intake),
else 1: whoever left after it has its event in interval 1.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_choice,
    check_frame,
    comparable,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
    value_codes,
)
from alliance_stats.door import replaced, require_new
from alliance_stats.errors import AllianceStatsWarning, DataError, warn
from alliance_stats.estimates import Booleans, Integers
from alliance_stats.renaming import renamed
from alliance_stats.spelling import check_spelling
from alliance_stats.study.courses import ENDINGS, check_endings, check_rows_after
from alliance_stats.study.ratings import truth, up_to_the_last_rating, whole_sessions
from alliance_stats.study.units import each_label_once
from alliance_stats.transforms.future import refuse_the_future

__all__ = ["ENDING_CODES", "last_session", "person_period", "session_origin"]

_MOST_SESSIONS = 100_000  # three sessions a day for ninety years

ENDING_CODES: Mapping[str, int] = MappingProxyType(
    {ending: code for code, ending in enumerate(ENDINGS)}
)
"""Ending -> its code as a competing event: ongoing 0, dropout 1, planned 2, transferred 3."""


@renamed(event="cause")
def last_session(
    data: pd.DataFrame,
    *,
    unit: str,
    session: str,
    ending: str | None = None,
    cause: str = "dropout",
    ending_session: str | None = None,
    attended: str | None = None,
) -> pd.DataFrame:
    """Return one row per unit: its first and last attended session, and how it ended.

    Survival methods take such rows with ``time="last_interval", event="event"``: whether a unit
    still in treatment after session T returns is not yet known, so its last observed interval is
    the one before T. Units still in treatment that were seen once have no interval yet; exclude and
    count them.

    Parameters
    ----------
    data
        Long table, in any order; not changed.
    unit
        Id column of what ends treatment: the family where its members leave together, the person
        where they leave one by one. Members' rows that share one ending are copies of one event;
        use the family in that case.
    session
        Column of whole session numbers. A row is an attended session, rated or not: leave out
        rows that were only filled in after the ending, or mark them by `attended`.
    ending
        Column of endings (ongoing, dropout, planned, transferred), the same in all rows of a unit.
    cause
        The ending that counts as the event; no other ending is.
    ending_session
        Column with the last session that the unit attended, if that may be later than its last row
        (an attended session without a row).
    attended
        Column of true/false (or 1/0) that says which rows are attended sessions, for tables that
        have a row for every planned session. The last session is then the last attended one.

    Returns
    -------
    DataFrame
        The columns that are constant within every unit, then ``first_session``, ``last_session``,
        ``n_sessions`` (sessions with an attended row) and, where `ending` is given, ``event`` (1 or
        0), ``ending_code`` (:data:`ENDING_CODES`) and ``last_interval``: the last interval between
        sessions whose outcome was observed, counted from 1 (see :func:`session_origin`): with
        sessions 1, 2, ... the last session T for a unit that ended and T - 1 for one that is still
        in treatment (whether it comes back after T is not known yet); with an intake numbered 0,
        one more.
        Units are in order of first appearance.

    Raises
    ------
    DataError
        If an ending is missing or unknown, differs within a unit, or a session is later than it.

    Examples
    --------
    >>> from alliance_stats import example_study, last_session
    >>> sessions = example_study().sessions
    >>> last = last_session(sessions, unit="family", session="session", ending="ending")
    >>> last[["family", "last_interval", "ending", "event"]].head(3)
      family  last_interval   ending  event
    0   F001             16  planned      0
    1   F002             12  ongoing      0
    2   F003             19  planned      0
    """
    data = check_frame(data)
    columns = _Columns(unit, session, ending, ending_session, attended)
    require_columns(data, [*columns])
    courses = _read_courses(data, columns, cause)
    units = data[courses.kept].take(courses.first_row).reset_index(drop=True)
    return replaced(units, courses.found)


class _Columns(NamedTuple):
    """The columns that say who was where when; see :func:`last_session`."""

    unit: str
    session: str
    ending: str | None
    ending_session: str | None
    attended: str | None


@dataclass(frozen=True, slots=True, eq=False)
class _Courses:
    """The courses of u units in n rows.

    Attributes
    ----------
    coded
        The rows, text as categories.
    units
        (n,) code of each row's unit, in order of first appearance.
    sessions
        (n,) whole session numbers.
    first_row
        (u,) where each unit appears first.
    kept
        Columns that are constant within every unit.
    found
        What is new about each unit, (u,) arrays by name; see :func:`last_session`.
    told
        What to warn of.
    """

    coded: pd.DataFrame
    units: Integers
    sessions: Integers
    first_row: Integers
    kept: list[Hashable]
    found: dict[Hashable, Integers]
    told: list[str]


def _read_courses(
    data: pd.DataFrame, columns: _Columns, cause: str, scores: Sequence[str] = ()
) -> _Courses:
    """Check the rows of a checked frame, and find each unit's first and last session."""
    coded = each_label_once(data, list(data.columns))
    unit, session, ending, ending_session, attended = columns
    sessions, went = _attendance(data, coded, columns)
    check_choice(cause, ENDINGS[1:], name="cause")
    units, labels = pd.factorize(coded[unit])
    first_row = np.full(len(labels), -1)
    first_row[units[::-1]] = np.arange(len(data))[::-1]
    kept = [
        name
        for name in data.columns
        if name not in (session, attended)
        and (name == unit or _constant(coded[name], units, first_row))
    ]
    told: list[str] = []
    if scores and attended is None and ending_session is None:
        varying = data.drop(columns=[name for name in (*kept, session) if name not in scores])
        went, told = up_to_the_last_rating(varying, data[unit], sessions, units, scores)
    first, last, n_sessions = _first_and_last(units[went], sessions[went])
    if ending_session is not None:
        stated = data[ending_session].groupby(units).first()
        last = stated.fillna(pd.Series(last)).to_numpy(dtype=np.int64)
    found: dict[Hashable, Integers] = {
        "first_session": first,
        "last_session": last,
        "n_sessions": n_sessions,
    }
    if ending is not None:
        endings = data[ending].take(first_row)
        code = np.array([ENDING_CODES[word] for word in endings], dtype=np.int64)
        interval = last - _origin(sessions) + 1 - (code == 0)
        event = (code == ENDING_CODES[cause]).astype(np.int64)
        found |= {"event": event, "ending_code": code, "last_interval": interval}
    require_new(kept, [str(name) for name in found])
    return _Courses(coded, units, sessions, first_row, kept, found, told)


def _constant(values: pd.Series, units: Integers, first_row: Integers) -> bool:
    """Tell whether a column has one value in each unit; lists and dicts have none to compare."""
    if not comparable(values):
        return False
    codes: npt.NDArray[np.generic]
    first = first_row[units]
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.array.codes
    elif isinstance(values.dtype, np.dtype) and values.dtype.kind in "iubf":
        codes = values.to_numpy()
        if values.dtype.kind == "f":
            gap = np.isnan(codes)
            return bool(((codes == codes[first]) | (gap & gap[first])).all())
    else:
        codes = pd.factorize(values)[0]
    return bool((codes == codes[first]).all())


def _first_and_last(units: Integers, sessions: Integers) -> list[Integers]:
    """Return the first and the last session of each unit, and how many different ones it has."""
    order = np.lexsort((sessions, units))
    own, ordered = units[order], sessions[order]
    starts = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
    ends = np.append(starts[1:], len(own)) - 1
    another = np.append(True, (own[1:] != own[:-1]) | (ordered[1:] != ordered[:-1]))
    return [ordered[starts], ordered[ends], np.add.reduceat(another.astype(np.int64), starts)]


def session_origin(data: pd.DataFrame, session: str) -> int:
    """Return the number from which a study counts its sessions: 0 if any session is 0, else 1.

    The interval after session t is ``(t - origin, t - origin + 1]``. Use a whole study: a subset of
    its rows may lack the intake.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.transforms import session_origin
    >>> session_origin(pd.DataFrame({"session": [1, 2, 3]}), "session")
    1
    """
    return _origin(whole_sessions(data, session).to_numpy())


def _origin(sessions: Integers) -> int:
    return 0 if bool((sessions == 0).any()) else 1


@renamed(event="cause")
def person_period(
    data: pd.DataFrame,
    *,
    unit: str,
    session: str,
    ending: str,
    cause: str = "dropout",
    scores: Sequence[str] = (),
    ending_session: str | None = None,
    attended: str | None = None,
) -> pd.DataFrame:
    """Return one row per unit and interval between sessions in which it was at risk of ending.

    The row of session t stands for the interval after it. A unit has a row for every session from
    its first to its last attended one, even if it has no row for a session in between, when it was
    still in treatment.

    Running means of a family are taken on this table, which has one row per family x session:
    ``running_mean(periods, "alliance", person="family", session="session")``.

    Parameters
    ----------
    data, unit, session, ending, cause, ending_session, attended
        As in :func:`last_session`; but with `scores` a unit's course ends with the last session
        that holds any rating, with a warning, unless `attended` or `ending_session` says which
        sessions were attended. Any other number that differs within units is a rating too, but for
        what rows have that were only filled in: clocks (ages, days, running numbers), numbers and
        ids of members, what is the same for all at a session, and what is one number in all rows
        without a score. A unit without any rating keeps its rows, with a warning.
    scores
        Time-varying numeric columns to be carried forward; each is the mean of the unit's ratings
        at the session (over members, if the unit is a family; select raters beforehand).

    Returns
    -------
    DataFrame
        The columns that are constant within every unit (but not `ending`, which is known only
        afterwards), `session`, and per score its mean and ``<score>_n``, the number of ratings it
        averages. Then

        ``observed``
            whether the unit has a row of that session;
        ``event``
            1.0 if the ending named by `cause` came in the interval after the session, else 0.0
            (planned endings and transfers are not dropout). At the last session of a unit that is
            still in treatment it is NaN: that interval has not been observed, and a model excludes
            the row and counts it.
        ``ending_code``
            which ending came in the interval (:data:`ENDING_CODES`; 0.0 none), NaN as above.

        Units are in order of first appearance, sessions ascending.

    Raises
    ------
    DataError
        As :func:`last_session`; if a score is not numeric; and if a column to be carried forward
        is, or derives from, a mean over the whole course (see :func:`whole_course_means`).

    References
    ----------
    Singer & Willett (1993), doi:10.3102/10769986018002155 (person-period data).

    Examples
    --------
    >>> from alliance_stats import example_study, person_period
    >>> sessions = example_study().sessions
    >>> periods = person_period(
    ...     sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    ... )
    >>> periods[["family", "session", "event", "alliance"]].round(2).head(3)
      family  session  event  alliance
    0   F001        1    0.0      4.41
    1   F001        2    0.0      4.60
    2   F001        3    0.0      4.74
    """
    data = check_frame(data)
    roles = _Columns(unit, session, ending, ending_session, attended)
    require_columns(data, [*roles, *scores])
    courses = _read_courses(data, roles, cause, scores)
    found, first_row = courses.found, courses.first_row
    first, last = found["first_session"], found["last_session"]
    n_rows = last - first + 1
    _refuse_endless_courses(data[unit].take(first_row), first, last, session)
    before = np.cumsum(n_rows) - n_rows
    own = np.repeat(np.arange(len(n_rows)), n_rows)
    moments = np.arange(len(own)) + (first - before)[own]
    at_end = moments == last[own]
    unobserved = at_end & (found["ending_code"] == 0)[own]
    outcome: dict[Hashable, npt.NDArray[np.float64]] = {
        name: np.where(unobserved, np.nan, np.where(at_end, found[name][own], 0.0))
        for name in ("event", "ending_code")
    }
    constant = [name for name in courses.kept if name not in (ending, ending_session, *scores)]
    refuse_the_future(courses.coded, [*map(str, constant), *scores], unit=unit, session=session)
    for words in courses.told:
        warn(words, AllianceStatsWarning)
    counts = [f"{score}_n" for score in scores]
    require_new([*constant, session, *scores], [*counts, "observed", "event", "ending_code"])
    units = courses.units
    since = courses.sessions - first[units]
    place = np.where((since >= 0) & (since < n_rows[units]), before[units] + since, -1)
    ratings = _ratings(data, place, len(own), scores)
    taken = {name: data[name].array.take(first_row[own]) for name in constant}
    columns: dict[Hashable, object] = {
        name: np.asarray(values) if name == unit else values for name, values in taken.items()
    }
    columns |= {session: moments, **ratings, **outcome}
    return pd.DataFrame(columns)


def _refuse_endless_courses(
    labels: pd.Series,
    first: Integers,
    last: Integers,
    session: str,
) -> None:
    longest = int((last - first).argmax())
    n_rows = last[longest] - first[longest] + 1
    if n_rows > _MOST_SESSIONS:
        raise DataError(
            f"Column '{session}' runs from {first[longest]} to {last[longest]} for "
            f"'{labels.iloc[longest]}': a row for every session between them would be {n_rows} "
            "rows. Sessions are counted 1, 2, 3, ...; dates, ids and codes such as 999999 are no "
            "session numbers."
        )


def _ratings(
    data: pd.DataFrame, place: Integers, n_periods: int, scores: Sequence[str]
) -> dict[Hashable, npt.NDArray[np.generic]]:
    """Return mean and number of ratings, and whether there was any row, of each period.

    `place` is the period that a row belongs to, -1 for none.
    """
    found: dict[Hashable, npt.NDArray[np.generic]] = {}
    for score in scores:
        ratings = finite_or_missing(data, score)
        known = (place >= 0) & ~np.isnan(ratings)
        count = np.bincount(place[known], minlength=n_periods)
        total = np.bincount(place[known], ratings[known], minlength=n_periods)
        mean = np.divide(total, count, out=np.full(n_periods, np.nan), where=count > 0)
        found |= {score: mean, f"{score}_n": count}
    return {**found, "observed": np.bincount(place[place >= 0], minlength=n_periods) > 0}


def _attendance(
    data: pd.DataFrame, coded: pd.DataFrame, columns: _Columns
) -> tuple[Integers, Booleans]:
    """Check the rows, and return their whole sessions and whether each was attended."""
    unit, session, ending, ending_session, attended = columns
    require_present(coded, unit, why="to know which unit a row belongs to")
    check_spelling(coded[unit], kind="unit")
    sessions = whole_sessions(data, session)
    went = np.ones(len(data), dtype=bool)
    if attended is not None:
        went = truth(data, attended)
        units = value_codes(coded[unit])
        never = np.bincount(units, weights=went)[units] == 0.0
        if never.any():
            raise DataError(
                f"'{data.loc[never, unit].iloc[0]}' attended no session (column '{attended}'), so "
                "it has no last one. Leave out units that never began."
            )
    if ending is not None:
        _check_endings_known(coded, ending)
        check_endings(coded, ending=ending, unit=unit, unit_column=unit, session=session)
    if ending_session is not None:
        check_rows_after(
            replaced(data, {session: sessions}).loc[went],
            session=session,
            ending_session=ending_session,
            unit=unit,
            unit_column=unit,
        )
    return sessions.to_numpy(), went


def _check_endings_known(data: pd.DataFrame, ending: str) -> None:
    missing = data[ending].isna().to_numpy()
    if missing.any():
        raise DataError(
            f"Column '{ending}' is missing in {describe_rows(missing, data.index)}. A unit that "
            "is still in treatment is 'ongoing'; leave out units whose ending is not known, and "
            "say how many."
        )
