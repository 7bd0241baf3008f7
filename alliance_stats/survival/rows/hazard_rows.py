"""Rows of a hazard, one per unit and session, none of which may know the future."""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    differs_within,
    finite_or_missing,
    require_columns,
    require_present,
    row_units,
)
from alliance_stats.design.design import Design
from alliance_stats.design.formula import CONSTANT, Terms, transformed
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.rows.time_at_risk import Intervals, rows_with_all
from alliance_stats.transforms import whole_course_means

__all__ = [
    "BASELINES",
    "Periods",
    "baseline_columns",
    "baseline_terms",
    "check_baseline",
    "read_periods",
    "refuse_copies",
    "refuse_outcomes",
    "refuse_overlaps",
    "refuse_the_future",
    "term_places",
]

# Groups in which all units end together before it cannot be chance.
_GROUPS_NEEDED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """Rows at risk, and the sessions about which nothing is left to estimate.

    Attributes
    ----------
    frame
        The rows, with whole session numbers.
    session, event, unit
        Names of the columns.
    sessions
        ``session, n_risk, n_event``, one row per session with rows at risk, ascending.
    rows
        The ledger.
    """

    frame: pd.DataFrame
    session: str
    event: str
    unit: str
    sessions: pd.DataFrame
    rows: RowLedger

    def without_certain_sessions(self) -> "Periods":
        """Set aside the sessions after which no one, or everyone, left.

        With its own baseline, such a session has hazard 0 (or 1) whatever the covariates: its
        rows have likelihood 1 and say nothing about anything else.
        """
        table = self.sessions.set_index("session")
        never = table.index[table["n_event"] == 0]
        always = table.index[table["n_event"] == table["n_risk"]]
        frame, rows = self.frame, self.rows
        for found, what in ((never, "no one left: hazard 0"), (always, "everyone left: hazard 1")):
            if len(found):
                listed = ", ".join(str(number) for number in found)
                frame, rows = rows.keep(
                    frame,
                    ~frame[self.session].isin(found),
                    reason=f"after session{'s' if len(found) > 1 else ''} {listed} {what}",
                )
        if len(frame) == 0:
            raise NotIdentifiedError(
                "After every session either no one or everyone left: no hazard lies between 0 and "
                f"1, and there is nothing to model. {rows}"
            )
        return replace(self, frame=frame, rows=rows)


def read_periods(
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    needed: Sequence[str],
    causes: bool = False,
) -> Periods:
    """Check person-period rows and set aside those without an outcome or a predictor.

    Parameters
    ----------
    data
        One row per unit and session, as ``person_period`` and ``endings(...).periods()`` make them.
    session, event, unit
        Columns: session number, 1 where the unit ended in the interval after it (NaN where that
        interval has not been observed), and the id of the unit.
    needed
        Further columns that a row needs to be used.
    causes
        Whether `event` holds several endings (anything that is not 0 is one).

    Raises
    ------
    DataError
        Sessions that are not whole numbers, two rows of a unit at a session, a missing session in
        between, rows after an ending, an unknown event.
    NotIdentifiedError
        No events.
    """
    require_columns(check_frame(data), [session, event, unit, *needed])
    require_present(data, unit, why="to know what ends")
    require_present(data, session, why="as the clock")
    number = finite_or_missing(data, session)
    odd = number != np.floor(number)
    if odd.any():
        raise DataError(
            f"Column '{session}' must hold whole session numbers; see "
            f"{describe_rows(odd, data.index)}."
        )
    happened = _happened(data, event, causes=causes)
    _check_course(data, number, happened, (unit, session, event))
    frame = replaced(data, {session: number.astype(np.int64)})
    rows = RowLedger.start(frame, {unit: (unit,)})
    frame, rows = rows.keep(
        frame, ~np.isnan(happened), reason="whether the unit came back is not known yet"
    )
    ended = happened[~np.isnan(happened)]
    frame, rows, kept = rows_with_all(
        frame, needed, rows, ended == 1.0, event="an ending" if causes else "the event"
    )
    ended = ended[kept]
    if not ended.any():
        raise NotIdentifiedError(
            f"None of {plural(len(frame), 'row')} ends with the event '{event}': there is no "
            f"hazard to model. {rows}"
        )
    sessions, of_session = np.unique(frame[session].to_numpy(), return_inverse=True)
    n_risk = np.bincount(of_session)
    n_event = np.bincount(of_session[ended == 1.0], minlength=len(sessions))
    table = pd.DataFrame({"session": sessions, "n_risk": n_risk, "n_event": n_event})
    return Periods(frame, session, event, unit, table, rows)


def refuse_copies(periods: Periods, groups: Sequence[tuple[str, ...]]) -> None:
    """Refuse a random effect of groups that have only one ending each.

    A group with a single unit ends once: its effect and the randomness of that ending
    are the same thing, and the variance diverges without warning. The rows of units that all end
    together are copies of one event.
    """
    frame, unit = periods.frame, periods.unit
    at_end = _last_rows(frame, unit, periods.session)
    session = frame[periods.session].to_numpy()[at_end]
    event = pd.factorize(frame[periods.event].take(at_end))[0]
    labels = {str(label): label for label in frame.columns}
    for named in groups:
        columns = [labels.get(name, name) for name in named]
        require_columns(frame, columns)
        name = ":".join(map(str, columns))
        of_group = row_units(frame, columns)[at_end]
        sizes = np.bincount(of_group[of_group >= 0])
        if sizes.max() == 1:
            raise NotIdentifiedError(
                f"Each '{name}' ends once: a variance between them cannot be "
                "told from chance (such fits run to SDs in the hundreds and call it "
                "convergence). Leave the term out; a coarser grouping, such as the therapist, can "
                "have one."
            )
        apart = differs_within(of_group, session) | differs_within(of_group, event)
        together = np.bincount(of_group[apart], minlength=len(sizes))[sizes > 1] == 0
        if len(together) >= _GROUPS_NEEDED and together.all():
            raise DataError(
                f"All '{unit}' rows of a '{name}' end in the same session and in the same way, in "
                f"each of {len(together)}: they are copies of one event and would be counted as "
                f"many. Keep one row a '{name}' and session, with unit='{name}'."
            )


def _last_rows(frame: pd.DataFrame, unit: str, session: str) -> Integers:
    """Return the position of each unit's last session."""
    codes = pd.factorize(frame[unit])[0]
    order = np.lexsort((frame[session].to_numpy(), codes))
    return np.asarray(order[np.append(codes[order][1:] != codes[order][:-1], True)])


def _happened(data: pd.DataFrame, event: str, *, causes: bool) -> Array:
    """Return 1 where an ending occurred, 0 where none did, NaN where that is not known."""
    if causes:
        values = data[event]
        came = ~values.astype(object).isin([0, 0.0, "0", False]).to_numpy()
        return np.asarray(np.where(values.isna(), np.nan, came.astype(np.float64)))
    values_as_numbers = finite_or_missing(data, event)
    odd = ~np.isin(values_as_numbers, (0.0, 1.0)) & ~np.isnan(values_as_numbers)
    if odd.any():
        raise DataError(
            f"Column '{event}' must be 1 (the event came in the interval after the session), 0, or "
            f"missing; see {describe_rows(odd, data.index)}."
        )
    return np.asarray(values_as_numbers)


def _check_course(
    data: pd.DataFrame, number: Array, happened: Array, names: tuple[str, str, str]
) -> None:
    """Refuse impossible courses of a unit."""
    unit, session, event = names
    codes = pd.factorize(data[unit])[0]
    order = np.lexsort((number, codes))
    same = np.diff(codes[order]) == 0
    step = np.diff(number[order])
    earlier, later = order[:-1], order[1:]
    who = data[unit].to_numpy()

    def refuse(bad: Booleans, problem: str, advice: str) -> None:
        if bad.any():
            rows = np.zeros(len(data), dtype=bool)
            rows[earlier[bad]] = rows[later[bad]] = True
            raise DataError(
                f"'{who[earlier[bad][0]]}' (column '{unit}') {problem}: "
                f"{describe_rows(rows, data.index)}. {advice}"
            )

    refuse(
        same & (step == 0),
        f"has several rows of one '{session}'",
        "A unit ends once: keep one row per unit and session (person_period makes such rows; where "
        "members end together, the family is the unit).",
    )
    refuse(
        same & (happened[earlier] == 1.0),
        f"goes on after its ending (column '{event}')",
        "Nothing that happens after an ending can be at risk of it.",
    )
    refuse(
        same & np.isnan(happened[earlier]),
        f"has rows after one whose '{event}' is missing",
        "Who came back had not left: write 0.",
    )
    refuse(
        same & (step > 1),
        f"has a gap in '{session}'",
        "It was in treatment, and at risk, in between: person_period makes those rows.",
    )


BASELINES = ("dummies", "spline", "polynomial", "log", "constant")
"""Forms of a hazard's baseline over sessions."""


def check_baseline(baseline: str, df: int, n_sessions: int) -> None:
    """Refuse a smooth baseline with more columns than the sessions can identify."""
    if baseline in ("spline", "polynomial") and not 1 <= df < n_sessions:
        raise ValueError(
            f"baseline_df={df} columns beside the constant need more than {df} sessions, and one "
            f"at least; there are {n_sessions}. Change baseline_df, or take baseline='dummies'."
        )


def baseline_terms(kind: str, periods: Periods, df: int) -> Terms:
    """Return the terms of a baseline: its columns hold the constant.

    Parameters
    ----------
    kind
        ``"dummies"`` (one level per session), ``"spline"`` (natural cubic spline) or
        ``"polynomial"`` (orthogonal), ``"log"`` (of the session), ``"constant"``.
    periods
        Rows to model. A single session has one level: a constant.
    df
        Columns of a spline or a polynomial, not counting the constant.
    """
    session = periods.session
    if kind == "dummies":
        several = len(periods.frame[session].unique()) > 1
        return transformed("C", session) if several else CONSTANT
    if kind == "spline":
        return transformed("cr", session, df=df + 1)
    if kind == "constant":
        return CONSTANT
    if kind == "log":
        if (periods.frame[session] < 1).any():
            raise DataError(
                f"Column '{session}' holds a session before 1, which has no logarithm: take "
                "another baseline, or count sessions from 1."
            )
        return CONSTANT + transformed("log", session)
    return CONSTANT + transformed("poly", session, degree=df)


def baseline_columns(design: Design, kind: str) -> int:
    """Return how many leading columns are the baseline's, in a formula that begins with it."""
    terms = design.fixed.coding.terms
    return int(terms[1 if kind in ("polynomial", "log") else 0].columns.stop)


def term_places(design: Design, n_baseline: int) -> dict[str, list[int]]:
    """Return, for each term besides the baseline, where its kept coefficients are."""
    place = {int(column): i for i, column in enumerate(design.fixed.kept)}
    found = {}
    for term in design.fixed.coding.terms:
        if term.columns.start >= n_baseline:
            at = range(term.columns.start, term.columns.stop)
            found[term.name] = [place[k] for k in at if k in place]
    return {name: own for name, own in found.items() if own}


# Persons whose values change, before it cannot be chance that they all sum to zero.
_PERSONS_NEEDED = 3
# A sum is zero up to this share of the values summed: what a file's decimals leave.
_ZERO = 1e-6
# Deviations that were rounded to two decimals leave about a hundred-thousandth of their sum of
# squares to the persons' means; independent values, one in so many as a person has rows.
_PERSONS_NEEDED_ROUNDED = 10
_ROUNDED = 1e-4
# Values that a contrast fixed by design takes (-.5 and .5); a centred yes-or-no takes three.
_DESIGNED = 2
# What `endings` makes beside ``first_session``: when, and how, the unit ended.
_OF_ENDINGS = frozenset(
    {"last_session", "last_interval", "n_sessions", "time", "event", "state", "ending_code"}
)


def refuse_outcomes(
    columns: Collection[Hashable],
    variables: Collection[str],
    *,
    outcomes: Collection[Hashable],
) -> None:
    """Refuse covariates that are the outcome: the ending, its time, or what `endings` made of them.

    Parameters
    ----------
    columns
        Of the frame; where ``first_session`` is among them, it comes from `endings`.
    variables
        What the formula names.
    outcomes
        The model's columns of time and event.
    """
    known_to_end = {str(name) for name in outcomes}
    if "first_session" in columns:
        known_to_end |= _OF_ENDINGS
    found = sorted(known_to_end.intersection(variables))
    if found:
        raise DataError(
            f"Covariate '{found[0]}' says when or how the unit ended, which is what the model "
            "explains. Leave it out of the formula."
        )


def refuse_overlaps(intervals: Intervals, person: Hashable) -> None:
    """Refuse rows of one person (within a stratum) that share time."""
    codes = row_units(intervals.frame, [person])
    order = np.lexsort((intervals.entry, codes, intervals.stratum))
    same = (np.diff(codes[order]) == 0) & (np.diff(intervals.stratum[order]) == 0)
    overlap = same & (intervals.entry[order][1:] < intervals.exit[order][:-1])
    if overlap.any():
        first = int(np.flatnonzero(overlap)[0])
        rows = np.zeros(len(order), dtype=bool)
        rows[order[[first, first + 1]]] = True
        who = intervals.frame[person].to_numpy()[order[first]]
        raise DataError(
            f"Rows of '{who}' (column '{person}') overlap in time: "
            f"{describe_rows(rows, intervals.frame.index)}. Each moment of a person belongs to one "
            "row; several clocks at once are told apart by strata=."
        )


def refuse_the_future(
    frame: pd.DataFrame,
    variables: set[str],
    *,
    person: Hashable,
    session: Hashable,
    known_before: Collection[Hashable] = (),
) -> None:
    """Refuse a covariate that is a person's mean over the whole course, or centred on one.

    The length of the course is the outcome: a mean over it is known only once it has ended, and
    with a drifting alliance it predicts dropout even if nothing does. Both are found by value: a
    covariate that is every person's mean of a column that changes over the person's rows, as it is
    or rescaled (:func:`~alliance_stats.transforms.whole_course_means`), or that changes over them
    and sums to zero for everyone (within what rounding to two decimals leaves). Columns in
    `known_before` were fixed by design, as the caller states; so is a two-valued column that sums
    to zero over every course (a crossover contrast): deviations from means have more values.
    """
    require_columns(frame, list(known_before))
    variables = variables - {str(name) for name in known_before}
    if not variables or not frame[person].duplicated().any():
        return
    leaks = sorted(whole_course_means(frame, unit=person, session=session, columns=variables))
    if leaks:
        raise DataError(
            f"Covariate '{leaks[0]}' is, or comes from, a mean over all rows of each '{person}': "
            "such a mean knows when the course ended, which is what the model explains. Use the "
            "first session's value and the change since (baseline), or the running mean up to the "
            "last attended session and the deviation from it (running_mean). If it was fixed by "
            f"design before treatment began, say known_before=['{leaks[0]}']."
        )
    persons = pd.factorize(frame[person])[0]
    for column in sorted(variables):
        if column in frame and pd.api.types.is_numeric_dtype(frame[column].dtype):
            _refuse_centred(frame[column], persons, str(person))


def _refuse_centred(column: pd.Series, persons: Integers, person: str) -> None:
    """Refuse a column that sums to zero over the rows of each person (codes, -1 for none)."""
    floats = column.to_numpy(dtype=np.float64)
    known = ~np.isnan(floats) & (persons >= 0)
    values, codes = floats[known], persons[known]
    if not len(values) or len(pd.unique(floats)) <= _DESIGNED:
        return
    counts, sums, sizes, squares = (
        np.bincount(codes, weights) for weights in (None, values, np.abs(values), values**2)
    )
    low, high = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
    np.minimum.at(low, codes, values)
    np.maximum.at(high, codes, values)
    changing = high > low
    exactly = (np.abs(sums) <= _ZERO * sizes).all()
    between = (sums[changing] ** 2 / counts[changing]).sum()
    squares = squares[changing].sum()
    if (changing.sum() >= _PERSONS_NEEDED and exactly) or (
        changing.sum() >= _PERSONS_NEEDED_ROUNDED and between <= _ROUNDED * squares
    ):
        raise DataError(
            f"Covariate '{column.name}' sums to zero over the rows of each '{person}': it is "
            "a deviation from a mean over the whole course, which is known only once the course "
            "has ended. Use the deviation from the running mean (running_mean), or the change "
            "since the first session (baseline). If it was fixed by design before treatment began, "
            f"say known_before=['{column.name}']."
        )
