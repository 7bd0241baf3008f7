"""Residual structures: the columns that they name, read into the engine's shape."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from alliance_stats.checks import describe_rows, finite_or_missing
from alliance_stats.design.design import Design
from alliance_stats.design.groupings import unit_labels
from alliance_stats.design.residual import (
    AR1,
    CAR1,
    CompoundSymmetry,
    Correlated,
    ResidualStructure,
    Toeplitz,
    Unstructured,
    Variance,
    VarianceBy,
    VariancePower,
    as_structures,
)
from alliance_stats.engine.residual_correlation import Correlation, Serial, Visits, patterns_of
from alliance_stats.engine.residual_shape import Covariate, ResidualShape, Strata
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers

__all__ = ["read_structure"]

# Visits beyond which a correlation for each pair, or for each distance, is no model.
MOST_VISITS = 60


def read_structure(
    structures: ResidualStructure | Sequence[ResidualStructure] | None,
    design: Design,
    used: pd.DataFrame,
) -> ResidualShape | None:
    """Read the columns that the structures name.

    Raises
    ------
    DataError
        Times that are missing, not whole (AR1, Toeplitz) or appear twice in a unit; a unit whose
        rows lie in several units of a grouping factor; a power of zero.
    NotIdentifiedError
        A stratum with a single row, a covariate of one value, units for correlation that never
        have two rows, or visits that never occur together.
    """
    asked = as_structures(structures)
    if not asked:
        return None
    spreads = [_spread(s, used) for s in asked if isinstance(s, Variance)]
    correlation: Correlation | None = None
    for structure in asked:
        if isinstance(structure, Unstructured):
            spreads.insert(0, _strata((structure.time,), used, "Unstructured"))
        if isinstance(structure, Correlated):
            correlation = _correlation(structure, design, used)
    return ResidualShape(len(used), tuple(spreads), correlation)


def _spread(structure: Variance, used: pd.DataFrame) -> Strata | Covariate:
    if isinstance(structure, VarianceBy):
        return _strata(structure.columns, used, "VarianceBy")
    power, name = isinstance(structure, VariancePower), type(structure).__name__
    x = finite_or_missing(used, structure.of)
    if power and (x == 0).any():
        raise DataError(
            f"VariancePower needs '{structure.of}' other than 0, which it is in "
            f"{describe_rows(x == 0, used.index)}. Use VarianceExponential."
        )
    z = np.log(np.abs(x)) if power else x
    if np.ptp(z) == 0.0:
        raise NotIdentifiedError(f"'{structure.of}' is the same in all rows: no SD follows it.")
    unit = float(z.std())
    label = f"{name}({structure.of})"
    return Covariate(label, structure.of, power, float(z.mean()), unit, (z - z.mean()) / unit)


def _strata(columns: tuple[str, ...], used: pd.DataFrame, name: str) -> Strata:
    codes, labels, keys = unit_labels(columns, used)
    counts = np.bincount(codes)
    if len(labels) < 2 or counts.min() < 2:
        few = labels[int(counts.argmin())]
        shown = ", ".join(f"'{column}'" for column in columns)
        raise NotIdentifiedError(
            f"{name}({shown}) needs two or more values with two or more rows each; '{few}' has "
            f"{counts.min()} of {len(used)} rows."
        )
    return Strata(columns, labels, keys, codes)


def _correlation(structure: Correlated, design: Design, used: pd.DataFrame) -> Correlation:
    """Find each row's unit and position in it, and the correlation structure."""
    name = type(structure).__name__
    units = _units(structure, design, used)
    if isinstance(structure, CompoundSymmetry):
        order = np.argsort(units, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(units[order]) > 0])
        places = np.empty(len(units), dtype=np.int64)
        places[order] = np.arange(len(units)) - np.repeat(
            starts, np.diff(np.r_[starts, len(units)])
        )
        labels = tuple(map(str, range(int(places.max()) + 1)))
        return Visits(f"{name}({structure.within})", "common", labels, units, places,
                      patterns_of(units, places))  # fmt: skip
    label = f"{name}({structure.time})"
    if isinstance(structure, Unstructured):
        visits, names, _ = unit_labels((structure.time,), used)
        _order_of_times(structure, units, visits.astype(np.float64), used)
        _check_visits(structure, units, visits, [f"'{n}'" for n in names])
        return Visits(label, "unstructured", tuple(map(str, names)), units, visits,
                      patterns_of(units, visits))  # fmt: skip
    times = _times(structure, used)
    order, same = _order_of_times(structure, units, times, used)
    before = np.full(len(units), -1)
    before[order[same]] = order[np.flatnonzero(same) - 1]
    gaps = (times - times[before])[before >= 0]
    if isinstance(structure, Toeplitz):
        step = float(np.gcd.reduce(gaps.astype(np.int64)))
        places = np.round((times - times.min()) / step).astype(np.int64)
        spread = max(int(np.ptp(places[units == u])) for u in np.unique(units[before >= 0]))
        first = np.full(int(units.max()) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, units, places)
        places -= first[units]  # of Toeplitz only distances matter
        labels = tuple(str(k) for k in range(spread + 1))
        _check_distances(structure, units, places, spread)
        return Visits(label, "toeplitz", labels, units, places, patterns_of(units, places))
    # what all gaps are multiples of (AR1), or the median gap (CAR1), counts as 1
    whole = isinstance(structure, AR1)
    step = float(np.gcd.reduce(gaps.astype(np.int64)) if whole else np.median(gaps))
    return Serial(label, whole, units, times / step, before.astype(np.int64), step)


def _units(structure: Correlated, design: Design, used: pd.DataFrame) -> Integers:
    """Return the unit of each row; refuse units that lie in several units of a grouping."""
    name = type(structure).__name__
    own = [g for g in design.groupings if g.columns == (structure.within,)]
    units, labels = (
        (own[0].codes, own[0].labels) if own else unit_labels((structure.within,), used)[:2]
    )
    if np.bincount(units).max() < 2:
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
    return units


def _times(structure: AR1 | CAR1 | Toeplitz, used: pd.DataFrame) -> Array:
    times = finite_or_missing(used, structure.time)
    bad = times != np.round(times)
    if not isinstance(structure, CAR1) and bad.any():
        raise DataError(
            f"{type(structure).__name__} counts whole steps, but '{structure.time}' is not a whole "
            f"number in {describe_rows(bad, used.index)}. Use CAR1 for continuous time."
        )
    return times


def _order_of_times(
    structure: AR1 | CAR1 | Toeplitz | Unstructured,
    units: Integers,
    times: Array,
    used: pd.DataFrame,
) -> tuple[Integers, Booleans]:
    """Sort the rows by unit and time, and mark those that follow another of the same unit."""
    order = np.lexsort([times, units])
    same = np.r_[False, units[order][1:] == units[order][:-1]]
    twice = same & np.r_[False, times[order][1:] == times[order][:-1]]
    if twice.any():
        mask = np.zeros(len(units), dtype=bool)
        mask[order[twice]] = True
        raise DataError(
            f"{type(structure).__name__} needs one row a '{structure.within}' and "
            f"'{structure.time}'; the same time stands again in {describe_rows(mask, used.index)}."
        )
    return order, same


def _check_visits(
    structure: Unstructured, units: Integers, visits: Integers, names: Sequence[str]
) -> None:
    """Refuse pairs of visits that no unit has, or too many visits for a correlation per pair."""
    T = len(names)
    if T > MOST_VISITS:
        raise DataError(
            f"Unstructured('{structure.time}') would have {T * (T - 1) // 2} correlations of {T} "
            "visits. Use AR1 or CAR1."
        )
    present = np.zeros((int(units.max()) + 1, T))
    present[units, visits] = 1.0
    never = np.argwhere(np.triu(present.T @ present < 2, 1))
    if len(never):
        i, j = never[0]
        more = f", nor {len(never) - 1} other pairs" if len(never) > 1 else ""
        raise NotIdentifiedError(
            f"Fewer than two '{structure.within}' have both '{structure.time}' {names[i]} and "
            f"{names[j]}{more}: their correlation is not identified. Use Toeplitz, AR1 or CAR1, or "
            "leave out what few have."
        )


def _check_distances(structure: Toeplitz, units: Integers, places: Integers, spread: int) -> None:
    """Refuse distances that never occur."""
    if spread + 1 > MOST_VISITS:
        raise DataError(
            f"Toeplitz('{structure.time}') would have {spread} correlations. Use AR1 or CAR1."
        )
    present = np.zeros((int(units.max()) + 1, spread + 1))
    present[units, places] = 1.0
    counts = [(present[:, k:] * present[:, : spread + 1 - k]).sum() for k in range(1, spread + 1)]
    if min(counts) < 2:
        lag = int(np.argmin(counts)) + 1
        raise NotIdentifiedError(
            f"'{structure.time}' of one '{structure.within}' lie {lag} apart in "
            f"{int(min(counts))} case(s): that correlation is not identified. Use AR1 or CAR1."
        )
