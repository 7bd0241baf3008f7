"""What must not predict an ending: means taken over the whole course."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    comparable,
    finite_or_missing,
    pair_codes,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.spelling import check_spelling

__all__ = ["refuse_the_future", "whole_course_means"]


_SAME = 1e-6  # a mean that was written to a file and read again is still that mean
# A rescaled mean is a straight line of the mean, up to its rounding: one decimal of a score whose
# units' means have an SD of 0.7 leaves .0017 of its variance. (2e-3 is a correlation of .999.)
_ROUNDED = 2e-3
_UNITS_NEEDED = 10
_MOVING_UNITS = 2
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


def whole_course_means(
    data: pd.DataFrame,
    *,
    unit: Hashable,
    session: Hashable,
    columns: Collection[str] | None = None,
) -> list[str]:
    """Return the columns that are, or were made from, a mean over each unit's whole course.

    Such a column reflects when the unit left and must not predict it. Detected are

    - the components that :func:`decompose` made, by their names;
    - a numeric column, constant within units, that equals the units' means of a score that changes
      from session to session (to a relative 1e-6, where it changes in at least two units);
    - one that is such a mean centred, z-scored, rescaled or rounded: over the units in which the
      score changes it correlates with their means (of rows, or of sessions) at .999 or above (at
      least ten units; an exact line in four to nine), and the score's first value explains less of
      it;
    - the same for one role's rows (a mother's mean, constant in her family), and for each member's
      own (a person's mean, where the unit is the family).

    Fixed characteristics of members (age, id, schooling) are not scores: their family mean changes
    only with attendance.

    Not detected are a mean that was split at a cut-point, rounded to few values or standardised
    within groups, a mean over a therapist's whole courses, and other summaries of a whole course (a
    last value, a maximum, a slope): leave them out of hazard models yourself. A table without the
    sessions cannot be checked: join it to them first, as in
    ``whole_course_means(study.sessions.merge(units), unit="family", session="session")``.

    Parameters
    ----------
    data
        Long table; not changed.
    unit, session
        Id column of what ends treatment, and column of session numbers.
    columns
        Those to be checked; all if None.

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
    return _leaks(data, unit=unit, session=session, columns=columns)


def _leaks(
    data: pd.DataFrame, *, unit: Hashable, session: Hashable, columns: Collection[str] | None
) -> list[str]:
    """Return what :func:`whole_course_means` does, for a checked frame."""
    require_present(data, session, why="to know which session a row belongs to")
    sessions = finite_or_missing(data, session)
    if not comparable(data[unit]):
        check_spelling(data[unit], kind="unit")  # names the list or dict that is no unit
    names = [str(name) for name in data.columns]
    asked = names if columns is None else columns
    found = {name for name in names if _made_by_decompose(name, names)}
    units = pd.factorize(data[unit])[0]
    cells = pair_codes(units, pd.factorize(sessions)[0])
    others = [name for name in data.columns if name not in (unit, session)]
    labels = _labels_of_members(data, others, units, cells)
    numbers = {
        str(name): data[name].to_numpy(dtype=np.float64)
        for name, dtype in data.dtypes.items()
        if isinstance(dtype, np.dtype) and dtype.kind in "iuf" and name != unit
    }
    rows = _Rows(tuple(numbers), np.array([*numbers.values()]), units, sessions)
    found |= _found(rows, asked, labels)
    for codes in labels.values():
        found |= _found(replace(rows, units=pair_codes(units, codes)), asked, {})
    return [name for name in names if name in asked and name in found]


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Numeric columns of n rows.

    Attributes
    ----------
    names
        Of the k columns.
    values
        Shape (k, n).
    units, sessions
        Shape (n,): codes of units, -1 where there is none, and session numbers.
    """

    names: tuple[str, ...]
    values: Array
    units: Integers
    sessions: Array

    def with_columns(self, kept: Booleans) -> "_Rows":
        """Return the rows with some of their columns, (k,)."""
        names = tuple(name for name, own in zip(self.names, kept, strict=True) if own)
        return replace(self, names=names, values=self.values[kept])


def _found(
    rows: _Rows,
    asked: Collection[str],
    labels: Mapping[Hashable, Integers],
) -> set[str]:
    """Return columns constant within units that are the mean of one that changes in two or more."""
    if not len(rows.names) or not (rows.units >= 0).any():
        return set()
    fixed = _constants(rows)
    constants = {name: values for name, values in fixed.items() if name in asked}
    if not constants:
        return set()
    others = np.array([name not in fixed for name in rows.names])
    changing = _changing(rows.with_columns(others), labels.values())
    parts = [np.ones(len(rows.units), dtype=bool)]
    for codes in labels.values():
        if codes.max() < _MOST_ROLES:
            parts += [codes == role for role in range(codes.max() + 1)]
    n_units = int(rows.units.max()) + 1
    scores = [score for part in parts for score in _scores(changing, part, n_units)]
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
    moves: Booleans

    def is_behind(self, constant: Array) -> bool:
        """Return whether a constant (u,) is the mean of this score, unchanged or rescaled."""
        return any(
            _equal(mean, constant, self.moves)
            or _rescaled(constant[self.moves], mean[self.moves], self.first[self.moves])
            for mean in self.means
        )


def _constants(rows: _Rows) -> dict[str, Array]:
    """Return the columns that are constant within units, one value per unit."""
    order, starts = _groups(rows.units)
    values = rows.values[:, order]
    least, most = (bound.reduceat(values, starts, axis=1) for bound in (np.fmin, np.fmax))
    constant = ((least == most) | np.isnan(least)).all(axis=1)
    names = [name for name, kept in zip(rows.names, constant, strict=True) if kept]
    return dict(zip(names, least[constant], strict=True))


def _changing(rows: _Rows, labels: Iterable[Integers]) -> _Rows:
    """Return the rows without columns that never change in any member, as some label tells them.

    Members bring those along: ages, ids, schooling.
    """
    kept = np.ones(len(rows.names), dtype=bool)
    for codes in labels:
        order, starts = _groups(pair_codes(rows.units, codes))
        values = rows.values[:, order]
        change = np.fmax.reduceat(values, starts, axis=1) - np.fmin.reduceat(values, starts, axis=1)
        kept &= (change > _SAME * np.abs(_means(values, starts))).any(axis=1)
    return rows.with_columns(kept)


def _scores(rows: _Rows, part: Booleans, n_units: int) -> list[_Score]:
    """Return the columns that move, in this part of the rows, in two or more units."""
    own = np.flatnonzero(part & (rows.units >= 0))
    if not len(own) or not len(rows.names):
        return []
    own = own[np.lexsort((rows.sessions[own], rows.units[own]))]
    values, units, sessions = rows.values.take(own, axis=1), rows.units[own], rows.sessions[own]
    firsts, cells = _starts(units), _starts(units, sessions)
    by_session = _means(values, cells)
    of_cell = _starts(units[cells])
    means, level = _means(values, firsts), _means(by_session, of_cell)
    most, least = (b.reduceat(by_session, of_cell, axis=1) for b in (np.fmax, np.fmin))
    moves = most - least > _SAME * np.abs(means)
    place = np.where(np.isnan(by_session), by_session.shape[1], np.arange(by_session.shape[1]))
    first = np.minimum.reduceat(place, of_cell, axis=1)
    padded = np.pad(by_session, ((0, 0), (0, 1)), constant_values=np.nan)
    first_seen = np.take_along_axis(padded, first, axis=1)
    moving, present = np.flatnonzero(moves.sum(axis=1) >= _MOVING_UNITS), units[firsts]

    def of_all(found: Array, empty: float = np.nan) -> Array:
        whole = np.full(n_units, empty)
        whole[present] = found
        return whole

    return [
        _Score(
            means=(of_all(means[k]), of_all(level[k])),
            first=of_all(first_seen[k]),
            moves=of_all(moves[k], 0.0) == 1.0,
        )
        for k in moving
    ]


def _starts(*codes: npt.NDArray[np.generic]) -> Integers:
    """Return where sorted rows take a new value of any of these."""
    another = np.zeros(len(codes[0]), dtype=bool)
    another[0] = True
    for own in codes:
        another[1:] |= own[1:] != own[:-1]
    return np.flatnonzero(another)


def _groups(codes: Integers) -> tuple[Integers, Integers]:
    """Return an order of rows by group, without those in none, and where each group starts."""
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    return order, _starts(codes[order])


def _means(values: Array, starts: Integers) -> Array:
    """Return the means of groups of columns over known values; missing if there are none."""
    known = ~np.isnan(values)
    count = np.add.reduceat(known, starts, axis=1, dtype=np.float64)
    total = np.add.reduceat(np.where(known, values, 0.0), starts, axis=1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0.0)


def _may_be_ids(numbers: pd.Series, first: Integers) -> bool:
    """Tell whether numbers are whole, and differ from that in the `first` row of some unit."""
    floats = numbers.to_numpy(dtype=np.float64)
    gap = np.isnan(floats)
    own = floats[first]
    if ((floats == own) | (gap & gap[first])).all():
        return False
    return bool(((floats == np.floor(floats)) | gap).all())


def _labels_of_members(
    data: pd.DataFrame, names: Sequence[Hashable], units: Integers, cells: Integers
) -> dict[Hashable, Integers]:
    """Return the columns that distinguish a unit's members, coded: roles, ids as text or numbers.

    They differ within a session of a unit (`cells`), and come again in its other sessions. Of
    numbers this could be said of coarse ratings, which other units share as they do not share ids.
    """
    if not len(cells) or cells.max() + 1 == (cells >= 0).sum():
        return {}
    found = {}
    first = np.zeros(units.max() + 2, dtype=np.int64)
    first[units[::-1]] = np.arange(len(units))[::-1]
    first = first[units]
    for name in names:
        values = data[name]
        number = pd.api.types.is_numeric_dtype(values.dtype)
        if number and (values.dtype.kind in "bc" or not _may_be_ids(values, first)):
            continue
        if not comparable(values):
            continue
        codes = pd.factorize(values)[0]
        if (codes == codes[first]).all():  # the same for all members
            continue
        known = (codes >= 0) & (cells >= 0)
        members, of_cells = pair_codes(units, codes), pair_codes(cells, codes)
        n_members, n_cells = members.max() + 1, of_cells.max() + 1
        ids = n_members == len(pd.unique(codes[known]))  # no unit shares one with another
        if number and not ids:
            continue
        in_one_session = n_cells > len(pd.unique(cells[known]))
        if in_one_session and n_cells >= _SESSIONS_AGAIN * n_members:
            found[name] = codes
    return found


def _equal(means: Array, constants: Array, moves: Booleans) -> bool:
    both = ~np.isnan(means) & ~np.isnan(constants)
    if (both & moves).sum() < 2:
        return False
    mean, constant = means[both], constants[both]
    near = np.isfinite(constant) & (np.abs(mean - constant) <= _SAME * np.abs(constant))
    return bool((near | (mean == constant)).all())


def _rescaled(constants: Array, means: Array, first: Array) -> bool:
    known = ~np.isnan(constants) & ~np.isnan(means)
    values = constants[known]
    if len(values) < _UNITS_FOR_A_LINE:
        return False
    left = _unexplained(values, means[known])
    if left > (_ROUNDED if len(values) >= _UNITS_NEEDED else _EXACT) or len(np.unique(values)) < 3:
        return False
    return _unexplained(values, first[known]) >= _CLOSER * left + _EXACT


def _unexplained(values: Array, by: Array) -> float:
    """Return the share of the values' variance not explained by a straight line."""
    # in units in which nothing exceeds 1: squares of 1e160 are beyond a double
    x, y = (d / (np.abs(d).max() or 1.0) for d in (by - by.mean(), values - values.mean()))
    size = float((x @ x) * (y @ y))
    return 1.0 - float(x @ y) ** 2 / size if size > 0.0 else 1.0


def refuse_the_future(
    data: pd.DataFrame, carried: Sequence[str], *, unit: str, session: str
) -> None:
    """Refuse columns that :func:`whole_course_means` finds among those to be carried forward."""
    leaks = _leaks(data, unit=unit, session=session, columns=carried)
    if leaks:
        raise DataError(
            f"Column '{leaks[0]}' comes from a mean over the whole course, or from its length. It "
            "knows when the unit left, and would predict that in a model of these intervals though "
            "nothing else did. Leave it out; running_mean and baseline use only what was known by "
            "a session. A last session attended is given as ending_session= when a study is made."
        )
