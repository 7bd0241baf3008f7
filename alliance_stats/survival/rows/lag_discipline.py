"""What a hazard model may know: nothing from after the last attended session."""

from collections.abc import Collection, Hashable

import numpy as np
import pandas as pd

from alliance_stats.checks import describe_rows, require_columns
from alliance_stats.errors import DataError
from alliance_stats.survival.rows.time_at_risk import Intervals
from alliance_stats.transforms import whole_course_means

__all__ = ["refuse_outcomes", "refuse_overlaps", "refuse_the_future"]

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
    codes = intervals.frame.groupby(person, sort=False, observed=True).ngroup().to_numpy()
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

    How long the course lasted is the outcome: a mean over it is known only once it has ended, and
    with a drifting alliance it foretells leaving although nothing does. Both are found by value: a
    covariate that is every person's mean of a column that changes over the person's rows, as it is
    or rescaled (:func:`~alliance_stats.transforms.whole_course_means`), or that changes over them
    and sums to zero for everyone (within what rounding to two decimals leaves). Columns in
    `known_before` were fixed by design, the caller says; so is one of two values that sums to zero
    over every course, a contrast of a crossover: deviations from means take more.
    """
    require_columns(frame, list(known_before))
    variables = variables - {str(name) for name in known_before}
    if not frame[person].duplicated().any():
        return
    means = whole_course_means(frame, unit=str(person), session=str(session))
    leaks = sorted(variables.intersection(means))
    if leaks:
        raise DataError(
            f"Covariate '{leaks[0]}' is, or comes from, a mean over all rows of each '{person}': "
            "such a mean knows when the course ended, which is what the model explains. Use the "
            "first session's value and the change since (baseline), or the running mean up to the "
            "last attended session and the deviation from it (running_mean). If it was fixed by "
            f"design before treatment began, say known_before=['{leaks[0]}']."
        )
    persons = frame[person]
    for column in sorted(variables):
        if column in frame and pd.api.types.is_numeric_dtype(frame[column].dtype):
            _refuse_centred(frame[column].astype(np.float64), persons)


def _refuse_centred(values: pd.Series, persons: pd.Series) -> None:
    if len(values.unique()) <= _DESIGNED:
        return
    by_person = values.groupby(persons.to_numpy())
    changing = by_person.max() > by_person.min()
    size = values.abs().groupby(persons.to_numpy()).sum()
    exactly = (by_person.sum().abs() <= _ZERO * size).all()
    between = (by_person.sum() ** 2 / by_person.count())[changing].sum()
    squares = (values**2).groupby(persons.to_numpy()).sum()[changing].sum()
    if (changing.sum() >= _PERSONS_NEEDED and exactly) or (
        changing.sum() >= _PERSONS_NEEDED_ROUNDED and between <= _ROUNDED * squares
    ):
        raise DataError(
            f"Covariate '{values.name}' sums to zero over the rows of each '{persons.name}': it is "
            "a deviation from a mean over the whole course, which is known only once the course "
            "has ended. Use the deviation from the running mean (running_mean), or the change "
            "since the first session (baseline). If it was fixed by design before treatment began, "
            f"say known_before=['{values.name}']."
        )
