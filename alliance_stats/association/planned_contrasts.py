"""Planned contrasts of one factor's means: arrays of persons' cells."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, estimate_columns

__all__ = ["Cells", "planned_contrasts"]

Weights = Mapping[object, float]


class Cells(NamedTuple):
    """Each person's score in each cell.

    Attributes
    ----------
    scores
        (persons, cells).
    groups
        Combination of the between factors of each person.
    within
        Levels of the within factors of each cell.
    """

    scores: Array
    groups: pd.DataFrame
    within: pd.DataFrame


def planned_contrasts(
    cells: Cells, factor: str, weights: Mapping[str, Weights], *, conf_level: float
) -> pd.DataFrame:
    """Return ``contrast`` and the columns of estimates, each contrast with its own error.

    Other factors are averaged with equal weights.

    Raises
    ------
    DataError
        A factor or a level that is not in the design, or weights that do not sum to 0.
    """
    if factor not in cells.groups and factor not in cells.within:
        raise DataError(f"'{factor}' is not a factor of this analysis.")
    inside = factor in cells.within
    levels = list(pd.unique((cells.within if inside else cells.groups)[factor]))
    for name, given in weights.items():
        _check(name, factor, given, levels)
    codes = np.zeros(len(cells.scores), dtype=np.int64)
    if len(cells.groups.columns):
        by = list(cells.groups.columns)
        codes = cells.groups.groupby(by, observed=True).ngroup().to_numpy()
    one = _within if inside else _between
    found = np.array(
        [_tested(*one(cells, factor, own, codes, len(levels)), codes) for own in weights.values()]
    )
    estimate, error, df = found.T
    table = estimate_columns(estimate, error, df=df, conf_level=conf_level)
    table.insert(0, "contrast", list(weights))
    return table


def _check(name: str, factor: str, given: Weights, levels: Sequence[object]) -> None:
    unknown = [level for level in given if level not in levels]
    if unknown or abs(sum(given.values())) > 1e-9 * max(map(abs, given.values()), default=1.0):
        raise DataError(
            f"Contrast '{name}' of '{factor}' must weigh levels among {list(levels)}, summing to "
            f"0; got {dict(given)}."
        )


def _within(
    cells: Cells, factor: str, given: Weights, codes: npt.NDArray[np.int64], n_levels: int
) -> tuple[Array, Array]:
    """Return each person's score of the contrast, and the weight of each group's mean."""
    share = len(cells.within) / n_levels
    c = cells.within[factor].map(lambda level: given.get(level, 0.0)).to_numpy(float)
    n_groups = int(codes.max()) + 1
    return np.asarray(cells.scores @ (c / share)), np.full(n_groups, 1.0 / n_groups)


def _between(
    cells: Cells, factor: str, given: Weights, codes: npt.NDArray[np.int64], n_levels: int
) -> tuple[Array, Array]:
    """Return each person's mean, and the weight of each group's."""
    del n_levels
    first = cells.groups.groupby(codes)[factor].first()
    per_level = first.value_counts()
    weight = np.array([given.get(level, 0.0) / per_level[level] for level in first])
    return np.asarray(cells.scores.mean(axis=1)), weight


def _tested(
    scores: Array, weight: Array, codes: npt.NDArray[np.int64]
) -> tuple[float, float, float]:
    """Return estimate, standard error and df of a weighted sum of groups' mean scores."""
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=scores) / sizes
    left = scores - means[codes]
    df = len(scores) - len(sizes)
    variance = float(left @ left) / df * float((weight**2 / sizes).sum())
    return float(weight @ means), float(np.sqrt(variance)), float(df)
