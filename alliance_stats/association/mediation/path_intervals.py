"""Intervals of functions of paths: by the fall of the likelihood, by the bootstrap of units.

A limit is the largest (or smallest) value of the effect among all parameters whose deviance is at
most a chi-squared quantile above its minimum (Neale & Miller 1997, doi:10.1023/A:1025681223921):
the profile interval, found directly. For a product it is not symmetric, and includes or excludes
zero as the likelihood-ratio test does. Arrays only.
"""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from alliance_stats.association.mediation.two_levels import PathsOf, TwoLevels
from alliance_stats.checks import group_codes
from alliance_stats.errors import ConvergenceWarning, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import format_count

__all__ = ["Block", "Levels", "Rise", "limits", "p_value", "resampled", "said_of_lost"]

_MOST_BENT = 8  # coordinates, up to which searches start along curvature too
_STEP = 1e-5
_NEAR = 1e-5  # of the bound, within which a limit lies on it


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Coefficients of least squares whose deviance is ``n log(1 + d' C^-1 d / df)``.

    Attributes
    ----------
    places
        Their positions among the paths.
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
class Levels:
    """A two-level model, in coordinates in which its deviance is nearly a sphere.

    Attributes
    ----------
    model, of, modelled
        The model, its paths, and their positions among all.
    centre, half
        The estimates, and what turns coordinates into steps from them.
    lowest
        The deviance there.
    """

    model: TwoLevels
    of: PathsOf
    modelled: Integers
    centre: Array
    half: Array
    lowest: float

    @classmethod
    def at(cls, model: TwoLevels, of: PathsOf, modelled: Integers) -> "Levels":
        """Take the estimates as the centre, and the curvature there as the measure."""
        centre, deviance = model.unbounded(), model.deviance.unbounded
        steps = _STEP * np.eye(len(centre))
        H = np.array([deviance(centre + h)[1] - deviance(centre - h)[1] for h in steps])
        root = linalg.cholesky((H + H.T) / (8.0 * _STEP))
        half = linalg.solve_triangular(root, np.eye(len(centre)))
        return cls(model, of, modelled, centre, half, deviance(centre)[0])


@dataclass(frozen=True, slots=True, eq=False)
class Rise:
    """How far the deviance rises above its minimum, in coordinates in which it is nearly a sphere.

    Attributes
    ----------
    estimate
        All paths.
    blocks
        Independent blocks of least squares.
    levels
        An accompanying two-level model, or None.
    """

    estimate: Array
    blocks: tuple[Block, ...]
    levels: Levels | None

    @property
    def dimension(self) -> int:
        """Number of coordinates: those of the two-level model first."""
        return self._first + sum(len(block.places) for block in self.blocks)

    @property
    def _first(self) -> int:
        return 0 if self.levels is None else len(self.levels.centre)

    def _parts(self, z: Array) -> list[tuple[Block, Array]]:
        ends = np.cumsum([self._first, *(len(block.places) for block in self.blocks)])
        pairs = itertools.pairwise(ends)
        return [(b, z[..., i:j]) for b, (i, j) in zip(self.blocks, pairs, strict=True)]

    def of(self, z: Array) -> tuple[float, Array]:
        """Return the rise at coordinates, and its slopes."""
        value, slopes = 0.0, []
        if self.levels is not None:
            own, deviance = self.levels, self.levels.model.deviance.unbounded
            found, slope = deviance(own.centre + own.half @ z[: self._first])
            value += found - own.lowest
            slopes.append(own.half.T @ slope)
        for block, part in self._parts(z):
            q = float(part @ part) / block.df
            value += block.n * np.log1p(q)
            slopes.append(2.0 * block.n / block.df * part / (1.0 + q))
        return value, np.concatenate(slopes)

    def paths(self, z: Array) -> Array:
        """Return the paths at coordinates, (..., dimension) -> (..., paths)."""
        found = np.broadcast_to(self.estimate, (*z.shape[:-1], len(self.estimate))).copy()
        for block, part in self._parts(z):
            found[..., list(block.places)] += part @ linalg.cholesky(block.covariance)
        if self.levels is not None:
            own = self.levels
            at = own.centre + z[..., : self._first] @ own.half.T
            found[..., own.modelled] = own.model.at_unbounded(at, own.of)
        return found

    def bound(self, conf_level: float) -> float:
        """Return the rise that an interval allows: a chi-squared quantile.

        Of least squares alone it is the one at which a single coefficient has the limits of t.
        """
        if self.levels is not None:
            return float(stats.chi2.ppf(conf_level, 1))
        t = stats.t.ppf(0.5 + conf_level / 2.0, self._fewest.df)
        return float(self._fewest.n * np.log1p(t**2 / self._fewest.df))

    def level_of(self, value: float) -> float:
        """Return the confidence level whose bound a rise is."""
        if self.levels is not None:
            return float(stats.chi2.cdf(value, 1))
        t = np.sqrt(np.expm1(value / self._fewest.n) * self._fewest.df)
        return float(2.0 * stats.t.cdf(t, self._fewest.df) - 1.0)

    @property
    def _fewest(self) -> Block:
        return min(self.blocks, key=lambda block: block.df)


def limits(rise: Rise, effect: Callable[[Array], Array], conf_level: float) -> tuple[float, float]:
    """Return the limits of an effect of the paths."""
    bound = rise.bound(conf_level)
    return tuple(_furthest(rise, effect, bound, sign) for sign in (-1.0, 1.0))  # type: ignore[return-value]


def p_value(rise: Rise, effect: Callable[[Array], Array], null: float) -> float:
    """Return the likelihood-ratio test's p-value for an effect equal to `null`."""
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


_MOST_LOST = 0.5


def resampled(
    frame: pd.DataFrame,
    refit: Callable[[pd.DataFrame], Array],
    *,
    by: str | None,
    units: str | None,
    n: int,
    rng: np.random.Generator,
) -> tuple[Array, int]:
    """Draw clusters with replacement and evaluate each resample.

    Parameters
    ----------
    frame
        The rows.
    refit
        Rows -> the quantities wanted.
    by
        Column of the units drawn; None for rows.
    units
        Column of units within `by`: a unit that is drawn twice becomes two.
    n
        Resamples.
    rng
        Draws.

    Returns
    -------
    draws, lost
        (kept, k), and how many resamples could not be fitted.

    Raises
    ------
    NotIdentifiedError
        If half of the resamples cannot be fitted.
    """
    codes = np.arange(len(frame)) if by is None else group_codes(frame[by])[0]
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    ids = None if units is None else group_codes(frame[units])[0]
    G, found, lost = len(rows), [], 0
    for _ in range(n):
        drawn = [rows[k] for k in rng.integers(0, G, G)]
        place = np.concatenate(drawn)
        copy = np.repeat(np.arange(G), [len(own) for own in drawn])
        again = frame.iloc[place].reset_index(drop=True)
        if by is not None:
            again[by] = copy
        if ids is not None and units is not None:
            again[units] = copy * (int(ids.max()) + 1) + ids[place]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                found.append(refit(again))
        except (NotIdentifiedError, ConvergenceWarning, np.linalg.LinAlgError):
            lost += 1
    if lost > _MOST_LOST * n:
        raise NotIdentifiedError(
            f"{format_count(lost)} of {format_count(n)} resamples could not be fitted: a bootstrap "
            "has nothing to stand on. Ask for ci_method='monte_carlo'."
        )
    return np.array(found), lost


def said_of_lost(lost: int, n: int) -> tuple[str, ...]:
    """Say how many resamples are missing from the intervals."""
    if lost == 0:
        return ()
    return (
        f"{format_count(lost)} of {format_count(n)} resamples could not be fitted and are left "
        "out of the intervals.",
    )
