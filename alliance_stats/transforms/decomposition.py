"""Within and between: a score as the sum of its components at each level."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_choice,
    check_frame,
    check_spelling,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
    units_with_several,
)
from alliance_stats.door import with_columns
from alliance_stats.errors import DataError

__all__ = ["decompose"]


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
