"""Residual structures: the columns that they name, read into the engine's shape."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import describe_rows, finite_or_missing
from alliance_stats.design.design import Design
from alliance_stats.design.groupings import unit_labels
from alliance_stats.design.residual import AR1, CAR1, ResidualStructure, VarianceBy, as_structures
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["read_structure"]


def read_structure(
    structures: ResidualStructure | Sequence[ResidualStructure] | None,
    design: Design,
    used: pd.DataFrame,
) -> ResidualShape | None:
    """Read the columns that the structures name.

    Raises
    ------
    DataError
        Times that are missing, not whole (AR1) or stand twice in a
        unit; a unit whose rows lie in several units of a grouping factor.
    NotIdentifiedError
        A stratum with a single row, or a unit for correlation that never has two rows.
    """
    asked = as_structures(structures)
    if not asked:
        return None
    variances = [s for s in asked if isinstance(s, VarianceBy)]
    correlations = [s for s in asked if isinstance(s, AR1 | CAR1)]
    n = len(used)
    strata, labels = np.zeros(n, dtype=np.int64), pd.Index(["all"])
    if variances:
        strata, labels, _ = unit_labels((variances[0].by,), used)
        counts = np.bincount(strata)
        if len(labels) < 2 or counts.min() < 2:
            few = labels[int(counts.argmin())]
            raise NotIdentifiedError(
                f"VarianceBy('{variances[0].by}') needs two or more values with two or more rows "
                f"each; '{few}' has {counts.min()} of {n} rows."
            )
    units, times, before = np.zeros(n, dtype=np.int64), np.zeros(n), np.full(n, -1)
    step = 1.0
    if correlations:
        units, times, before = _series(correlations[0], design, used)
        step = _step(correlations[0], times, before)
    return ResidualShape(
        strata,
        labels,
        variances[0].by if variances else None,
        f"{type(correlations[0]).__name__}({correlations[0].time})" if correlations else None,
        bool(correlations) and isinstance(correlations[0], AR1),
        units,
        times / step,
        before.astype(np.int64),
        step,
    )


def _series(
    structure: AR1 | CAR1, design: Design, used: pd.DataFrame
) -> tuple[npt.NDArray[np.int64], Array, npt.NDArray[np.int64]]:
    """Find the unit and time of each row, and the row before it."""
    name = type(structure).__name__
    units, labels, _ = unit_labels((structure.within,), used)
    times = finite_or_missing(used, structure.time)
    if isinstance(structure, AR1) and (times != np.round(times)).any():
        bad = times != np.round(times)
        raise DataError(
            f"AR1 counts whole steps, but '{structure.time}' is not a whole number in "
            f"{describe_rows(bad, used.index)}. Use CAR1 for continuous time."
        )
    order = np.lexsort([times, units])
    same = np.r_[False, units[order][1:] == units[order][:-1]]
    twice = same & np.r_[False, times[order][1:] == times[order][:-1]]
    if twice.any():
        mask = np.zeros(len(units), dtype=bool)
        mask[order[twice]] = True
        raise DataError(
            f"{name} needs one row a '{structure.within}' and '{structure.time}'; the same time "
            f"stands again in {describe_rows(mask, used.index)}."
        )
    if not same.any():
        raise NotIdentifiedError(
            f"{name} needs units with two or more rows; every '{structure.within}' has one."
        )
    for grouping in design.groupings:
        home = np.full(len(labels), -1)
        home[units] = grouping.codes
        if not np.array_equal(home[units], grouping.codes):
            raise DataError(
                f"The rows of one '{structure.within}' lie in several units of '{grouping.name}'; "
                f"{name} needs them in one."
            )
    before = np.full(len(units), -1)
    before[order[same]] = order[np.flatnonzero(same) - 1]
    return units, times, before


def _step(structure: AR1 | CAR1, times: Array, before: npt.NDArray[np.int64]) -> float:
    """Distance to count as 1: what all gaps are multiples of (AR1), or the median gap (CAR1)."""
    gaps = (times - times[before])[before >= 0]
    if isinstance(structure, AR1):
        return float(np.gcd.reduce(gaps.astype(np.int64)))
    return float(np.median(gaps))
