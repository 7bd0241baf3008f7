"""What must not predict an ending: means that were taken over the whole course."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from alliance_stats.checks import require_columns
from alliance_stats.errors import DataError

__all__ = ["refuse_the_future", "whole_course_means"]

_SAME = 1e-6  # a mean that was written to a file and read again is still that mean


def whole_course_means(data: pd.DataFrame, *, unit: str, session: str) -> list[str]:
    """Return the columns that are, or were made from, a mean over each unit's whole course.

    Such a column knows when the unit left and must not predict it. Found are the components that
    :func:`decompose` made (by their names) and any numeric column that equals the units' means of a
    score that changes from session to session (by its values, to a relative 1e-6, where the score
    changes in at least two units).

    Parameters
    ----------
    data
        Long table; not changed.
    unit, session
        Id column of what ends treatment, and column of session numbers.
    """
    require_columns(data, [unit, session])
    names = [str(name) for name in data.columns]
    made = [name for name in names if _made_by_decompose(name, names)]
    numbers = data.select_dtypes("number")
    units = data[unit].to_numpy(dtype=object)
    means = numbers.groupby(units).mean()
    level = numbers.groupby([units, data[session].to_numpy()]).mean().groupby(level=0)
    moves = (level.max() - level.min()) > _SAME * means.abs()
    by_unit = numbers.groupby(units)
    constant = ((by_unit.max() == by_unit.min()) | means.isna()).all()
    own = by_unit.first().loc[:, constant]
    scores = [name for name in numbers if moves[name].sum() >= 2]
    equal = [name for name in own if any(_equal(means[score], own[name]) for score in scores)]
    return [name for name in names if name in made or name in equal]


def _made_by_decompose(name: str, names: Sequence[str]) -> bool:
    for column in names:
        rest = name.removeprefix(f"{column}_")
        if rest == name:
            continue
        inner, between, outer = rest.partition("_in_")
        if (
            rest.removeprefix("within_") in names
            or (rest.endswith("_mean") and rest.removesuffix("_mean") in names)
            or (between and inner in names and outer in names)
        ):
            return True
    return False


def _equal(means: pd.Series, constants: pd.Series) -> bool:
    both = means.notna() & constants.notna()
    return bool(both.sum() >= 2 and np.allclose(means[both], constants[both], rtol=_SAME, atol=0))


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
