"""Ordinal dominance: how often a case of one group outranks a case of the other."""

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.effect_sizes.record import EffectSize, finite_sample
from alliance_stats.errors import DataError

__all__ = ["cliffs_delta", "probability_of_superiority"]


def probability_of_superiority(
    x: npt.ArrayLike, y: npt.ArrayLike, *, conf_level: float = 0.95
) -> EffectSize:
    """Return ``P(X > Y) + P(X = Y)/2`` with Newcombe's interval (his method 5).

    The limits solve ``|estimate - theta| = z sqrt(V(theta))`` with
    ``V = theta (1 - theta) [1 + N (1 - theta)/(2 - theta) + N theta/(1 + theta)] / (n_1 n_2)`` and
    ``N = (n_1 + n_2)/2 - 1``; they stay inside [0, 1] and have width where the samples do not
    overlap (Newcombe 2006, doi:10.1002/sim.2324).
    """
    alpha = 1.0 - check_conf_level(conf_level)
    first, second = finite_sample(x, "x"), finite_sample(y, "y")
    if min(first.size, second.size) == 0:
        raise DataError("The probability of superiority needs a value in each group.")
    order = np.sort(second)
    below = np.searchsorted(order, first, side="left")
    not_above = np.searchsorted(order, first, side="right")
    theta = float((below + not_above).sum()) / (2.0 * first.size * second.size)
    z = float(stats.norm.isf(alpha / 2.0))
    # the interval of 1 - theta is the mirror image, so one solver serves both ends
    low = _newcombe_superiority_low(theta, first.size, second.size, z)
    high = 1.0 - _newcombe_superiority_low(1.0 - theta, first.size, second.size, z)
    return EffectSize(theta, low, high, conf_level)


def _newcombe_superiority_low(theta: float, n_1: int, n_2: int, z: float) -> float:
    if theta == 0.0:
        return 0.0
    size = (n_1 + n_2) / 2.0 - 1.0

    def excess(limit: float) -> float:
        spread = 1.0 + size * ((1.0 - limit) / (2.0 - limit) + limit / (1.0 + limit))
        return theta - limit - z * math.sqrt(limit * (1.0 - limit) * spread / (n_1 * n_2))

    # at 0 the excess is theta > 0 and just below theta it is negative (at 1 it may be 0 again)
    upper = theta if theta < 1.0 else 1.0 - 1e-12
    return float(optimize.brentq(excess, 0.0, upper, xtol=1e-14, rtol=1e-14))


def cliffs_delta(x: npt.ArrayLike, y: npt.ArrayLike, *, conf_level: float = 0.95) -> EffectSize:
    """Return ``P(X > Y) - P(X < Y)``, in [-1, 1].

    The interval is that of :func:`probability_of_superiority`, doubled and shifted by -1.
    """
    ps = probability_of_superiority(x, y, conf_level=conf_level)
    return EffectSize(
        2.0 * ps.estimate - 1.0, 2.0 * ps.conf_low - 1.0, 2.0 * ps.conf_high - 1.0, conf_level
    )
