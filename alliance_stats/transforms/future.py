"""What must not predict an ending: means that were taken over the whole course."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    check_spelling,
    comparable,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["refuse_the_future", "whole_course_means"]

_SAME = 1e-6  # a mean that was written to a file and read again is still that mean
# A rescaled mean is a straight line of the mean, up to its rounding: one decimal of a score whose
# units' means have an SD of 0.7 leaves .0017 of its variance. (2e-3 is a correlation of .999.)
_ROUNDED = 2e-3
_UNITS_NEEDED = 10
# In fewer units a high correlation says little; an exact line through four still does.
_EXACT = 1e-10
_UNITS_FOR_A_LINE = 4
# What was known at the first session is no leak: the mean must leave at most a quarter of what the
# first session's value leaves.
_CLOSER = 4.0
# A column that tells members apart is about the same ones again in so many sessions on average,
# and its values (mother, father, ...) are roles rather than persons where they are at most so many.
_SESSIONS_AGAIN = 1.25
_MOST_ROLES = 10


def whole_course_means(data: pd.DataFrame, *, unit: str, session: str) -> list[str]:
    """Return the columns that are, or were made from, a mean over each unit's whole course.

    Such a column knows when the unit left and must not predict it. Found are

    - the components that :func:`decompose` made, by their names;
    - a numeric column, constant within units, that equals the units' means of a score that changes
      from session to session (to a relative 1e-6, where it changes in at least two units);
    - one that is such a mean centred, z-scored, rescaled or rounded: over the units in which the
      score changes it correlates with their means (of rows, or of sessions) at .999 or above (at
      least ten units; an exact line in four to nine), and the score's first value explains it less;
    - the same of one role's rows (a mother's mean, constant in her family), and of each member's
      own (a person's mean, where the unit is the family).

    What members bring along is no score: their ages, ids or schooling, whose family mean changes
    only with who came.

    Not found are a mean that was split at a cut-point, rounded to few values or standardised within
    groups, a mean over a therapist's whole courses, and other summaries of a whole course (a last
    value, a maximum, a slope): leave them out of hazard models yourself. A table without the
    sessions cannot be asked: join it to them first, as in
    ``whole_course_means(study.sessions.merge(units), unit="family", session="session")``.

    Parameters
    ----------
    data
        Long table; not changed.
    unit, session
        Id column of what ends treatment, and column of session numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.transforms import whole_course_means
    >>> data = pd.DataFrame(
    ...     {"unit": ["a", "a", "b", "b"], "session": [1, 2, 1, 2], "score": [4.0, 5.0, 2.0, 3.0]}
    ... )
    >>> data["mean"] = data.groupby("unit")["score"].transform("mean")
    >>> whole_course_means(data, unit="unit", session="session")
    ['mean']
    """
    data = check_frame(data)
    require_columns(data, [unit, session])
    require_present(data, session, why="to know which session a row belongs to")
    finite_or_missing(data, session)
    if not comparable(data[unit]):
        check_spelling(data[unit], kind="unit")  # names the list or dict that is no unit
    names = [str(name) for name in data.columns]
    made = {name for name in names if _made_by_decompose(name, names)}
    labels = _labels_of_members(data, unit, session)
    found = made | _found(data, unit, session, labels)
    for label in labels:
        own = data[data[label].notna()]
        member = own.groupby([unit, label], observed=True, sort=False).ngroup()
        found |= _found(replaced(own, {unit: member}), unit, session, [])
    return [name for name in names if name in found]


def _found(data: pd.DataFrame, unit: str, session: str, labels: Sequence[str]) -> set[str]:
    constants, scores = _courses(data, unit, session, labels)
    return {
        name
        for name, values in constants.items()
        if any(score.is_behind(values) for score in scores)
    }


def _made_by_decompose(name: str, names: Sequence[str]) -> bool:
    for column in names:
        rest = name.removeprefix(f"{column}_")
        if rest == name:
            continue
        inner, between, outer = rest.partition("_in_")
        if (
            (rest.startswith("within_") and rest.removeprefix("within_") in names)
            or (rest.endswith("_mean") and rest.removesuffix("_mean") in names)
            or (between and inner in names and outer in names)
        ):
            return True
    return False


@dataclass(frozen=True, slots=True, eq=False)
class _Score:
    """A column that changes from session to session, over the u units.

    Attributes
    ----------
    means
        Two (u,) means: of the rows, and of the sessions' means.
    first
        (u,) the mean at the first session at which the unit has a value.
    moves
        (u,) whether it changes within the unit.
    """

    means: tuple[Array, Array]
    first: Array
    moves: npt.NDArray[np.bool_]

    def is_behind(self, constant: Array) -> bool:
        """Return whether a constant (u,) is the mean of this score, as it is or rescaled."""
        return any(
            _equal(mean, constant, self.moves)
            or _rescaled(constant[self.moves], mean[self.moves], self.first[self.moves])
            for mean in self.means
        )


def _courses(
    data: pd.DataFrame, unit: str, session: str, labels: Sequence[str]
) -> tuple[dict[str, Array], list[_Score]]:
    """Return the columns that are constant within units, and those that move in two or more."""
    numbers = data.drop(columns=unit).select_dtypes("number", exclude=["timedelta", "complex"])
    numbers = numbers.astype(np.float64)
    units = data[unit].to_numpy(dtype=object)
    by_unit = numbers.groupby(units)
    means, least, most = by_unit.mean(), by_unit.min(), by_unit.max()
    constants = {
        str(name): means[name].to_numpy()
        for name in numbers
        if ((least[name] == most[name]) | means[name].isna()).all()
    }
    changing = numbers.drop(columns=_brought_along(numbers, units, [data[c] for c in labels]))
    parts = [np.ones(len(data), dtype=bool)]
    for name in labels:
        if data[name].nunique() <= _MOST_ROLES:
            parts += [(data[name] == role).to_numpy(dtype=bool) for role in data[name].unique()]
    sessions = data[session].to_numpy()
    scores = [
        score
        for own in parts
        for score in _scores(changing[own], units[own], sessions[own], means.index)
    ]
    return constants, scores


def _scores(
    numbers: pd.DataFrame,
    units: npt.NDArray[np.object_],
    sessions: npt.NDArray[np.generic],
    order: pd.Index,
) -> list[_Score]:
    """Return the columns that move in two or more units, with the units in this order."""
    means = numbers.groupby(units).mean()
    by_session = numbers.groupby([units, sessions]).mean().groupby(level=0)
    moves = (by_session.max() - by_session.min()) > _SAME * means.abs()
    level, first = by_session.mean().reindex(order), by_session.first().reindex(order)
    moving = [name for name in numbers if moves[name].sum() >= 2]
    means, moves = means.reindex(order), moves.reindex(order, fill_value=False)
    return [
        _Score(
            means=(means[name].to_numpy(), level[name].to_numpy()),
            first=first[name].to_numpy(),
            moves=moves[name].to_numpy(),
        )
        for name in moving
    ]


def _labels_of_members(data: pd.DataFrame, unit: str, session: str) -> list[str]:
    """Return the columns that tell a unit's members apart: roles, and ids as text or numbers.

    They differ within a session of a unit, and come again in its other sessions. Of numbers this
    could be said of coarse ratings, which other units share as they do not share ids.
    """
    if not data.duplicated([unit, session]).any():
        return []
    found = []
    for name in data.columns.difference([unit, session], sort=False):
        if not comparable(data[name]):
            continue
        values = data[name].dropna()
        if pd.api.types.is_bool_dtype(values.dtype):
            continue
        cells = data[[unit, session, name]].dropna().drop_duplicates()
        members = cells[[unit, name]].drop_duplicates()
        if pd.api.types.is_numeric_dtype(values.dtype) and (
            values.dtype.kind == "c" or (values % 1 != 0).any() or members.duplicated(name).any()
        ):
            continue
        again = len(cells) >= _SESSIONS_AGAIN * len(members)
        if again and cells.duplicated([unit, session]).any():
            found.append(str(name))
    return found


def _brought_along(
    numbers: pd.DataFrame, units: npt.NDArray[np.object_], labels: Sequence[pd.Series]
) -> list[str]:
    """Return the columns that never change in any member, as some label tells members apart."""
    found: set[str] = set()
    for label in labels:
        by_member = numbers.groupby([units, label.to_numpy(dtype=object)], sort=False)
        change = (by_member.max() - by_member.min()) > _SAME * by_member.mean().abs()
        found |= {str(name) for name in numbers if not change[name].any()}
    return [name for name in numbers if str(name) in found]


def _equal(means: Array, constants: Array, moves: npt.NDArray[np.bool_]) -> bool:
    both = ~np.isnan(means) & ~np.isnan(constants)
    return bool(
        (both & moves).sum() >= 2 and np.allclose(means[both], constants[both], rtol=_SAME, atol=0)
    )


def _rescaled(constants: Array, means: Array, first: Array) -> bool:
    known = ~np.isnan(constants) & ~np.isnan(means)
    values = constants[known]
    if len(values) < _UNITS_FOR_A_LINE or len(np.unique(values)) < 3:
        return False
    left = _unexplained(values, means[known])
    left_by_first = _unexplained(values, first[known])
    limit = _ROUNDED if len(values) >= _UNITS_NEEDED else _EXACT
    return left <= limit and left_by_first >= _CLOSER * left + _EXACT


def _unexplained(values: Array, by: Array) -> float:
    """Return the share of the values' variance that a straight line leaves."""
    # in units in which nothing exceeds 1: squares of 1e160 are beyond a double
    x, y = (d / (np.abs(d).max() or 1.0) for d in (by - by.mean(), values - values.mean()))
    size = float((x @ x) * (y @ y))
    return 1.0 - float(x @ y) ** 2 / size if size > 0.0 else 1.0


def refuse_the_future(
    data: pd.DataFrame, carried: Sequence[str], *, unit: str, session: str
) -> None:
    """Refuse columns that :func:`whole_course_means` finds among those to be carried."""
    known = whole_course_means(data, unit=unit, session=session)
    leaks = [name for name in carried if name in known]
    if leaks:
        raise DataError(
            f"Column '{leaks[0]}' comes from a mean over the whole course. It knows when the unit "
            "left, and would predict that in a model of these intervals though nothing else did. "
            "Leave it out; running_mean and baseline use only what was known by a session."
        )
