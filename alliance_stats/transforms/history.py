"""What a score is made of, and what is known by a session: components, running means, lags."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_choice,
    check_frame,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
    row_units,
    units_with_several,
)
from alliance_stats.door import with_columns
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.spelling import check_spelling
from alliance_stats.study.ratings import whole_sessions

__all__ = ["baseline", "decompose", "lag", "running_mean"]


def decompose(
    data: pd.DataFrame, column: str, *, levels: Sequence[str], mean_of: str = "rows"
) -> pd.DataFrame:
    """Split a score into its deviation from the innermost level's mean and the means of the levels.

    For ``levels=["person", "family", "therapist"]``::

        x = (x - person mean) + (person mean - family mean)
          + (family mean - therapist mean) + therapist mean

    .. warning::
       **A mean over the whole course uses the future**: it depends on when the unit left. Such
       means belong in models of outcome, never among the predictors of a dropout hazard; use
       :func:`running_mean` or :func:`baseline` there.

    Observed means also carry their sampling error, which pulls a between effect towards the within
    effect (Luedtke et al. 2008, doi:10.1037/a0012869).

    Parameters
    ----------
    data
        Long table; not changed.
    column
        Numeric score.
    levels
        One or more id columns, from the innermost to the outermost; any subset of the levels is
        allowed. Each unit must belong to one unit of the next level (a
        :class:`~alliance_stats.study.Study` ensures this).
    mean_of
        What the mean of an outer level is taken over. ``"rows"``: all rows of the unit that have a
        score, so that members with more sessions have more weight; each component then sums to zero
        over the rows of the unit it is a deviation from. ``"units"``: the means of the units of the
        level below (family mean = mean of its persons' means), so that each member has the same
        weight. They agree where all units have the same number of scores.

    Returns
    -------
    DataFrame
        The caller's columns and one per component, in the units of the score:
        ``<column>_within_<level 1>``, ``<column>_<level 1>_in_<level 2>``, ...,
        ``<column>_<last level>_mean``. They add up to the score, to within a few units in the
        last place of the largest number involved (floating-point subtraction rounds once per
        component). Means use the available scores. If a row's score is missing, its ``within``
        component is missing and its means are given; if a unit has no score at all, its means
        are missing.

    Raises
    ------
    DataError
        If a column does not exist, an id is missing, levels are not nested in the order given, or a
        new column would overwrite an existing one.

    References
    ----------
    Enders & Tofighi (2007), doi:10.1037/1082-989X.12.2.121 (centring).

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import decompose
    >>> data = pd.DataFrame(
    ...     {"person": ["P1", "P1", "P2", "P2"], "alliance": [4.0, 5.0, 2.0, 3.0]}
    ... )
    >>> decompose(data, "alliance", levels=["person"])
      person  alliance  alliance_within_person  alliance_person_mean
    0     P1       4.0                    -0.5                   4.5
    1     P1       5.0                     0.5                   4.5
    2     P2       2.0                    -0.5                   2.5
    3     P2       3.0                     0.5                   2.5
    """
    frame = check_frame(data)
    names = _checked_levels(frame, levels)
    require_columns(frame, [column, *names])
    check_choice(mean_of, ("rows", "units"), name="mean_of")
    _check_nested(frame, names)
    score = pd.Series(finite_or_missing(frame, column))
    means = _means(frame, score, names, mean_of)
    components = {f"{column}_within_{names[0]}": score - means[0]}
    steps = zip(pairwise(names), pairwise(means), strict=True)
    for (inner, outer), (inner_mean, outer_mean) in steps:
        components[f"{column}_{inner}_in_{outer}"] = inner_mean - outer_mean
    components[f"{column}_{names[-1]}_mean"] = means[-1]
    return with_columns(data, {name: np.asarray(values) for name, values in components.items()})


def _checked_levels(data: pd.DataFrame, levels: Sequence[str]) -> list[str]:
    if isinstance(levels, str) or not len(levels):
        raise DataError(
            f"levels must be a list of id columns, innermost first, as in ['person', 'family']; "
            f"got {levels!r}."
        )
    if len(set(levels)) < len(levels):
        raise DataError(f"levels names a column twice: {list(levels)}.")
    require_columns(data, list(levels))
    for level in levels:
        require_present(data, level, why="to know which unit a row belongs to")
        check_spelling(data[level], kind="unit")
    return list(levels)


def _check_nested(data: pd.DataFrame, levels: list[str]) -> None:
    for inner, outer in pairwise(levels):
        clash = units_with_several(data, unit=inner, column=outer)
        if len(clash):
            mask = (data[inner] == clash[0]).to_numpy()
            found = ", ".join(f"'{unit}'" for unit in data.loc[mask, outer].unique()[:5])
            raise DataError(
                f"'{inner}' is not nested in '{outer}': '{clash[0]}' stands under {found} in "
                f"{describe_rows(mask, data.index)}. levels go from the innermost to the "
                "outermost; ids that are numbered anew in each parent are made unique by "
                "Study.from_frame(..., local_ids=...)."
            )


def _means(
    data: pd.DataFrame, score: pd.Series, levels: list[str], mean_of: str
) -> list[pd.Series]:
    """Return, per level, each row's unit mean."""
    means: list[pd.Series] = []
    values, first_of_unit = score, pd.Series(np.ones(len(data), dtype=bool))
    for level in levels:
        ids = data[level].reset_index(drop=True)
        counted = values.where(first_of_unit)
        mean = counted.groupby(ids, observed=True).transform("mean")
        means.append(mean)
        if mean_of == "units":
            # the next level averages this one's means, each counted once
            values, first_of_unit = mean, ~ids.duplicated()
    return means


def running_mean(
    data: pd.DataFrame, column: str, *, person: str, session: str, rater: str | None = None
) -> pd.DataFrame:
    """Add the mean of all ratings up to and including each session, and the deviation from it.

    It uses nothing later than the session, so it may predict the dropout hazard in the interval
    after that session, whereas a mean of the whole course may not (see :func:`decompose`).

    Parameters
    ----------
    data
        Long table, a row per person x session (x rater), in any order; not changed.
    column
        Numeric score.
    person, session
        Id column and column of whole session numbers. `person` may be any unit with one row per
        session, such as the family in a :func:`person_period` table.
    rater
        If a session was rated by several, the column that identifies them; each rater's ratings
        have a separate mean.

    Returns
    -------
    DataFrame
        The caller's columns and, in the units of the score, ``<column>_running_mean`` (the mean of
        the ratings so far; a missing rating is ignored, and before the first rating the mean is
        missing) and ``<column>_deviation`` (score - running mean; missing where the score is).

    Raises
    ------
    DataError
        If a column does not exist, an id or session is missing, or a session appears twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import running_mean
    >>> data = pd.DataFrame({"person": "P1", "session": [1, 2, 3], "alliance": [4.0, 5.0, 3.0]})
    >>> running_mean(data, "alliance", person="person", session="session")
      person  session  alliance  alliance_running_mean  alliance_deviation
    0     P1        1       4.0                    4.0                 0.0
    1     P1        2       5.0                    4.5                 0.5
    2     P1        3       3.0                    4.0                -1.0
    """
    course = _in_order(data, column, person=person, session=session, rater=rater)
    known = ~np.isnan(course.scores)
    total = pd.Series(np.where(known, course.scores, 0.0)).groupby(course.series).cumsum()
    counted = np.cumsum(known)
    n = counted - (counted - known)[course.first]
    mean = np.divide(total.to_numpy(), n, out=np.full(len(n), np.nan), where=n > 0)
    return with_columns(
        data,
        {
            f"{column}_running_mean": course.unordered(mean),
            f"{column}_deviation": course.unordered(course.scores - mean),
        },
    )


def baseline(
    data: pd.DataFrame, column: str, *, person: str, session: str, rater: str | None = None
) -> pd.DataFrame:
    """Add each series' first rating, and the change since then.

    Parameters
    ----------
    data, column, person, session, rater
        As in :func:`running_mean`.

    Returns
    -------
    DataFrame
        The caller's columns and, in the units of the score, ``<column>_baseline`` (the first
        rating that is not missing; missing in earlier rows, where it is not yet known) and
        ``<column>_change`` (score - baseline; 0 at the baseline itself, missing where the score
        is).

    Raises
    ------
    DataError
        As :func:`running_mean`.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.transforms import baseline
    >>> data = pd.DataFrame({"person": "P1", "session": [1, 2], "alliance": [4.0, 5.0]})
    >>> baseline(data, "alliance", person="person", session="session")
      person  session  alliance  alliance_baseline  alliance_change
    0     P1        1       4.0                4.0              0.0
    1     P1        2       5.0                4.0              1.0
    """
    course = _in_order(data, column, person=person, session=session, rater=rater)
    rows = np.arange(len(course.scores))
    known = np.where(np.isnan(course.scores), len(rows), rows)
    own = np.minimum.reduceat(known, np.unique(course.first))[course.series]
    first = np.where(rows >= own, np.append(course.scores, np.nan)[own], np.nan)
    return with_columns(
        data,
        {
            f"{column}_baseline": course.unordered(first),
            f"{column}_change": course.unordered(course.scores - first),
        },
    )


def lag(
    data: pd.DataFrame,
    column: str,
    *,
    person: str,
    session: str,
    rater: str | None = None,
    bridge_gaps: bool = False,
) -> pd.DataFrame:
    """Add the score of the previous session.

    Parameters
    ----------
    data, column, person, session, rater
        As in :func:`running_mean`.
    bridge_gaps
        False: the score at exactly ``session - 1``, missing where that session has no row or no
        rating. True: the latest earlier rating there is, however long ago.

    Returns
    -------
    DataFrame
        The caller's columns and ``<column>_lag1``, in the units of the score.

    Raises
    ------
    DataError
        As :func:`running_mean`.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import lag
    >>> data = pd.DataFrame({"person": "P1", "session": [1, 2, 4], "alliance": [4.0, 5.0, 3.0]})
    >>> lag(data, "alliance", person="person", session="session")
      person  session  alliance  alliance_lag1
    0     P1        1       4.0            NaN
    1     P1        2       5.0            4.0
    2     P1        4       3.0            NaN
    """
    course = _in_order(data, column, person=person, session=session, rater=rater)
    rows = np.arange(len(course.scores))
    before = rows - 1
    if bridge_gaps:
        rated = np.where(np.isnan(course.scores), -1, rows)
        before = np.append(-1, np.maximum.accumulate(rated)[:-1])
    has_one = before >= course.first
    if not bridge_gaps:
        has_one &= course.sessions - course.sessions[before] == 1
    return with_columns(
        data,
        {f"{column}_lag1": course.unordered(np.where(has_one, course.scores[before], np.nan))},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _InOrder:
    """Scores of n rows, series by series and in order of time.

    Attributes
    ----------
    order
        (n,) the rows' places in the table.
    series
        (n,) code of the series.
    first
        (n,) where the row's series begins.
    sessions, scores
        (n,).
    """

    order: Integers
    series: Integers
    first: Integers
    sessions: Integers
    scores: Array

    def unordered(self, values: Array) -> Array:
        """Put values into the table's order."""
        found = np.empty(len(values))
        found[self.order] = values
        return found


def _in_order(
    data: pd.DataFrame, column: str, *, person: str, session: str, rater: str | None
) -> _InOrder:
    """Check the rows and bring their scores into order."""
    data = check_frame(data)
    require_columns(data, [column, person, session, rater])
    units = [person, *([rater] if rater else [])]
    for unit in units:
        require_present(data, unit, why="to know whose rating a row is")
        check_spelling(data[unit], kind="unit")
    series = row_units(data, units)
    sessions = whole_sessions(data, session).to_numpy()
    order = np.lexsort((sessions, series))
    sessions, series = sessions[order], series[order]
    another = np.append(True, series[1:] != series[:-1])
    again = np.append(False, (sessions[1:] == sessions[:-1]) & ~another[1:])
    if again.any():
        twice = np.empty(len(data), dtype=bool)
        twice[order] = again | np.append(again[1:], False)
        first = data.loc[twice].iloc[0]
        raise DataError(
            f"'{first[person]}' has several rows of session {first[session]} (of "
            f"{describe_rows(twice, data.index)}): the order in time is not defined. "
            "Name the column that tells raters apart with rater=, or average them first."
        )
    starts = np.flatnonzero(another)
    scores = finite_or_missing(data, column)[order]
    return _InOrder(order, series, starts[series], sessions, scores)
