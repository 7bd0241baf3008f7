"""Bounds of a Johnson-Neyman region: where a confidence limit is exactly zero.

With an effect ``theta(m)`` of variance ``V(m)`` and critical value t, the bounds are the roots of
``theta(m)^2 = t^2 V(m)`` (Johnson & Neyman 1936; Bauer & Curran 2005,
doi:10.1207/s15327906mbr4003_5). For a linear effect with constant df this is a quadratic; where the
df, and so t, change along m, the roots are found numerically.
"""

from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from alliance_stats.estimates import Array
from alliance_stats.multilevel.linear_functions import LinearEstimates

__all__ = ["region_bounds"]

# Points of the search, from one data range below the data to one above; neighbours between which
# the test only just touches its limit are looked into.
SCAN = 601
# df that differ relatively less are one df.
SAME_DF = 1e-9


def region_bounds(
    along: Callable[[Array], LinearEstimates],
    low: float,
    high: float,
    *,
    alpha: float,
    straight: bool,
    within: tuple[float, float] | None = None,
) -> Array:
    """Return the moderator's values at which the two-sided p-value equals `alpha`, sorted.

    Parameters
    ----------
    along
        Values of the moderator -> estimates of the effect there.
    low, high
        The data's range.
    alpha
        Level of the test.
    straight
        Whether the effect is a straight line in the moderator.
    within
        Where the effect is defined; one data range to either side of the data if not given.

    Returns
    -------
    ndarray
        All roots if the effect is straight and the df are the same everywhere, else those `within`.
    """
    first, last = (2.0 * low - high, 2.0 * high - low) if within is None else within
    points = np.linspace(first, last, SCAN)
    df = along(points).df
    if straight and (np.isinf(df).all() or np.ptp(df) <= SAME_DF * df[0]):
        return _quadratic(along, low, high, critical=float(stats.t.isf(alpha / 2.0, df[0])))
    return _searched(along, points, alpha=alpha)


def _quadratic(
    along: Callable[[Array], LinearEstimates], low: float, high: float, *, critical: float
) -> Array:
    """Solve for ``theta(m) = theta_0 + u theta_1`` with ``u = (m - centre) / unit``."""
    centre, unit = (low + high) / 2.0, (high - low) / 2.0
    ends = along(np.array([low, high]))
    turn = np.array([[0.5, 0.5], [-0.5, 0.5]])
    theta, V = turn @ ends.estimate, turn @ ends.covariance @ turn.T
    quadratic = np.outer(theta, theta) - critical**2 * V
    c, b, a = quadratic[0, 0], 2.0 * quadratic[0, 1], quadratic[1, 1]
    discriminant = b * b - 4.0 * a * c
    if discriminant < 0:
        return np.empty(0)
    # the form that does not subtract nearly equal numbers
    q = -0.5 * (b + np.copysign(np.sqrt(discriminant), b))
    u = [top / bottom for top, bottom in ((q, a), (c, q)) if bottom != 0.0]
    return np.unique(centre + unit * np.array(u))


def _searched(along: Callable[[Array], LinearEstimates], points: Array, *, alpha: float) -> Array:
    def excess(values: Array) -> Array:
        found = along(values)
        limit = stats.t.isf(alpha / 2.0, found.df)
        return np.asarray(np.abs(found.estimate) / found.std_error - limit)

    def at(value: float) -> float:
        return float(excess(np.array([value]))[0])

    knots = np.union1d(points, _touching(points, excess(points), at))
    heights = excess(knots)
    crossed = np.flatnonzero((heights[:-1] < 0) != (heights[1:] < 0))
    roots = [optimize.brentq(at, knots[i], knots[i + 1], xtol=1e-12, rtol=1e-13) for i in crossed]
    return np.array(roots, dtype=np.float64)


def _touching(points: Array, heights: Array, at: Callable[[float], float]) -> list[float]:
    """Points between the given ones where the height changes sign twice: its hidden extremes."""
    found = []
    for i in range(1, len(points) - 1):
        near, sign = heights[i - 1 : i + 2], np.sign(heights[i])
        if (np.sign(near) == sign).all() and np.abs(near).argmin() == 1:
            extreme = optimize.minimize_scalar(
                lambda value, sign=sign: sign * at(value),
                bounds=(points[i - 1], points[i + 1]),
                method="bounded",
            )
            if extreme.fun < 0:
                found.append(float(extreme.x))
    return found
