"""Likelihood intervals of functions of paths: how far they go before the likelihood falls.

A limit is the largest (or smallest) value of the effect among all parameters whose deviance is at
most a chi-squared quantile above its minimum (Neale & Miller 1997, doi:10.1023/A:1025681223921):
the profile interval, found directly. Of a product it is not symmetric, and holds or leaves out zero
as the likelihood-ratio test does. Arrays only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, stats

from alliance_stats.association.mediation.two_levels import PathsOf, TwoLevels
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["Block", "Rise", "limits", "of_blocks", "of_levels", "p_value"]

_MOST_BENT = 8  # coordinates, up to which searches start along curvature too
_STEP = 1e-5
_NEAR = 1e-5  # of the bound, within which a limit lies on it


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Coefficients of least squares whose deviance is ``n log(1 + d' C^-1 d / df)``.

    Attributes
    ----------
    places
        Where they stand among the paths.
    covariance
        (k, k) their covariance.
    n, df
        Rows, and residual degrees of freedom.
    """

    places: tuple[int, ...]
    covariance: Array
    n: int
    df: float


@dataclass(frozen=True, slots=True, eq=False)
class Rise:
    """How far the deviance rises above its minimum, in coordinates in which it is nearly a sphere.

    Attributes
    ----------
    dimension
        Number of coordinates.
    of
        Coordinates -> the rise and its slopes.
    paths
        Coordinates -> the paths.
    bound
        Confidence level -> the rise that the interval allows.
    level_of
        A rise -> the probability of less.
    """

    dimension: int
    of: Callable[[Array], tuple[float, Array]]
    paths: Callable[[Array], Array]
    bound: Callable[[float], float]
    level_of: Callable[[float], float]


def of_blocks(estimate: Array, blocks: list[Block]) -> Rise:
    """Return the rise of independent blocks of least squares.

    The bound is the one at which the limits of a single coefficient are those of t.
    """
    halves = [linalg.cholesky(block.covariance, lower=True) for block in blocks]
    ends = np.cumsum([0, *(len(block.places) for block in blocks)])
    fewest = min(blocks, key=lambda block: block.df)

    def rise(z: Array) -> tuple[float, Array]:
        value, slopes = 0.0, np.zeros(len(z))
        for block, start, stop in zip(blocks, ends[:-1], ends[1:], strict=True):
            own = z[start:stop]
            q = float(own @ own) / block.df
            value += block.n * np.log1p(q)
            slopes[start:stop] = 2.0 * block.n / block.df * own / (1.0 + q)
        return value, slopes

    def paths(z: Array) -> Array:
        found = np.broadcast_to(estimate, (*z.shape[:-1], len(estimate))).copy()
        for block, half, start, stop in zip(blocks, halves, ends[:-1], ends[1:], strict=True):
            found[..., list(block.places)] += z[..., start:stop] @ half.T
        return found

    def bound(conf_level: float) -> float:
        t = stats.t.ppf(0.5 + conf_level / 2.0, fewest.df)
        return float(fewest.n * np.log1p(t**2 / fewest.df))

    def level_of(value: float) -> float:
        t = np.sqrt(np.expm1(value / fewest.n) * fewest.df)
        return float(2.0 * stats.t.cdf(t, fewest.df) - 1.0)

    return Rise(int(ends[-1]), rise, paths, bound, level_of)


def of_levels(
    model: TwoLevels,
    of: PathsOf,
    modelled: npt.NDArray[np.int64],
    estimate: Array,
    blocks: list[Block],
) -> Rise:
    """Return the rise of a two-level model, and of blocks of least squares of units beside it.

    Parameters
    ----------
    model, of, modelled
        The model, its paths, and where they stand among all.
    estimate
        All paths.
    blocks
        Of those that are not the model's.
    """
    centre = model.unbounded()
    lowest = model.deviance.unbounded(centre)[0]
    steps = _STEP * np.eye(len(centre))
    H = np.array(
        [model.deviance.unbounded(centre + h)[1] - model.deviance.unbounded(centre - h)[1]
         for h in steps]
    ) / (4.0 * _STEP)  # fmt: skip
    half = linalg.solve_triangular(linalg.cholesky((H + H.T) / 2.0), np.eye(len(centre)))
    beside, k = of_blocks(estimate, blocks) if blocks else None, len(centre)

    def rise(z: Array) -> tuple[float, Array]:
        value, slope = model.deviance.unbounded(centre + half @ z[:k])
        more, own = (0.0, np.zeros(0)) if beside is None else beside.of(z[k:])
        return value - lowest + more, np.concatenate([half.T @ slope, own])

    def paths(z: Array) -> Array:
        found = np.broadcast_to(estimate, (*z.shape[:-1], len(estimate))).copy()
        if beside is not None:
            found = beside.paths(z[..., k:])
        found[..., modelled] = model.at_unbounded(centre + z[..., :k] @ half.T, of)
        return found

    one = stats.chi2(1)
    dimension = k + (0 if beside is None else beside.dimension)
    return Rise(
        dimension, rise, paths, lambda level: float(one.ppf(level)), lambda d: float(one.cdf(d))
    )


def limits(rise: Rise, effect: Callable[[Array], Array], conf_level: float) -> tuple[float, float]:
    """Return the limits of an effect of the paths."""
    bound = rise.bound(conf_level)
    return tuple(_furthest(rise, effect, bound, sign) for sign in (-1.0, 1.0))  # type: ignore[return-value]


def p_value(rise: Rise, effect: Callable[[Array], Array], null: float) -> float:
    """Return the likelihood-ratio test's p-value of an effect's being `null`."""
    unit = _unit(rise, effect)
    found = [
        optimize.minimize(
            rise.of, start, jac=True, method="SLSQP",
            constraints={"type": "eq", "fun": lambda z: (effect(rise.paths(z)) - null) / unit,
                         "jac": lambda z: _slope(rise, effect, z) / unit},
            options={"ftol": 1e-9, "maxiter": 60},
        )
        for start in _starts(rise, effect)
    ]  # fmt: skip
    kept = [r.fun for r in found if abs(effect(rise.paths(r.x)) - null) < _NEAR * unit]
    if not kept:
        return np.nan
    return 1.0 - rise.level_of(max(min(kept), 0.0))


def _starts(rise: Rise, effect: Callable[[Array], Array]) -> list[Array]:
    """Return where searches start: along the effect's slope both ways, and where it bends most.

    At two paths of zero a product has no slope: there the way out is along its curvature.
    """
    k = rise.dimension
    slope = _slope(rise, effect, np.zeros(k))
    size = float(np.linalg.norm(slope))
    along = [slope / size, -slope / size] if size > 0 else []
    if k > _MOST_BENT and size > 0:
        return along
    ahead = [_slope(rise, effect, h) - _slope(rise, effect, -h) for h in 0.5 * np.eye(k)]
    bends = np.linalg.eigh(np.array(ahead) + np.array(ahead).T)[1]
    return [*along, *(sign * bends[:, i] for i in (0, -1) for sign in (1.0, -1.0))]


def _unit(rise: Rise, effect: Callable[[Array], Array]) -> float:
    """Return a size of the effect's changes."""
    centre = float(effect(rise.paths(np.zeros(rise.dimension))))
    found = effect(rise.paths(np.array(_starts(rise, effect))))
    unit = float(np.abs(found - centre).max())
    if unit == 0.0:
        raise NotIdentifiedError("The effect does not change with the paths: it has no profile.")
    return unit


def _slope(rise: Rise, effect: Callable[[Array], Array], z: Array) -> Array:
    steps = _STEP * np.eye(len(z))
    ahead, behind = effect(rise.paths(z + steps)), effect(rise.paths(z - steps))
    return np.asarray((ahead - behind) / (2.0 * _STEP))


def _furthest(rise: Rise, effect: Callable[[Array], Array], bound: float, sign: float) -> float:
    """Return the most extreme effect whose rise is within the bound."""
    centre = float(effect(rise.paths(np.zeros(rise.dimension))))
    starts = _starts(rise, effect)
    unit = _unit(rise, effect)

    def target(z: Array) -> tuple[float, Array]:
        value = float(effect(rise.paths(z)) - centre) / unit
        return -sign * value, -sign * _slope(rise, effect, z) / unit

    best = -np.inf
    for start in starts:
        found = optimize.minimize(
            target, np.sqrt(bound) * start, jac=True, method="SLSQP",
            constraints={"type": "ineq", "fun": lambda z: bound - rise.of(z)[0],
                         "jac": lambda z: -rise.of(z)[1]},
            options={"ftol": 1e-9, "maxiter": 60},
        )  # fmt: skip
        if rise.of(found.x)[0] <= bound * (1.0 + _NEAR):
            best = max(best, -found.fun)
    if not np.isfinite(best):
        raise NotIdentifiedError("A profile did not settle: ask for other intervals.")
    return float(centre + sign * best * unit)
