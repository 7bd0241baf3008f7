"""Proportions: of cases, of their differences, and of pairs in which one outranks the other."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.effect_sizes.standardised import EffectSize, finite_sample
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = [
    "cliffs_delta",
    "clopper_pearson",
    "newcombe_difference",
    "newcombe_paired_difference",
    "odds_ratio",
    "probability_of_superiority",
    "tango_difference",
    "wilson",
]


def clopper_pearson(count: int, n: int, *, conf_level: float = 0.95) -> EffectSize:
    """Return a proportion with its exact interval (Clopper & Pearson 1934, doi:10.2307/2331986).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import clopper_pearson
    >>> found = clopper_pearson(10, 13)
    >>> round(found.conf_low, 3), round(found.conf_high, 3)
    (0.462, 0.95)
    """
    alpha = 1.0 - check_conf_level(conf_level)
    _check_count(count, n)
    low = float(stats.beta.ppf(alpha / 2.0, count, n - count + 1)) if count > 0 else 0.0
    high = float(stats.beta.isf(alpha / 2.0, count + 1, n - count)) if count < n else 1.0
    return EffectSize(count / n, low, high, conf_level)


def wilson(count: int, n: int, *, conf_level: float = 0.95) -> EffectSize:
    """Return a proportion with its score interval (Wilson 1927, doi:10.2307/2276774).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import wilson
    >>> found = wilson(10, 13)
    >>> round(found.conf_low, 3), round(found.conf_high, 3)
    (0.497, 0.918)
    """
    alpha = 1.0 - check_conf_level(conf_level)
    _check_count(count, n)
    z = float(stats.norm.isf(alpha / 2.0))
    p = count / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low = centre - half if count > 0 else 0.0  # exactly, where rounding leaves 1e-18
    high = centre + half if count < n else 1.0
    return EffectSize(p, max(0.0, low), min(1.0, high), conf_level)


def newcombe_difference(
    count_1: int, n_1: int, count_2: int, n_2: int, *, conf_level: float = 0.95
) -> EffectSize:
    """Return the difference of two independent proportions with Newcombe's interval.

    Hybrid of two Wilson intervals (method 10 of Newcombe 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import newcombe_difference
    >>> found = newcombe_difference(10, 13, 5, 13)
    >>> round(found.estimate, 3), round(found.conf_low, 3), round(found.conf_high, 3)
    (0.385, 0.008, 0.64)
    """
    one = wilson(count_1, n_1, conf_level=conf_level)
    two = wilson(count_2, n_2, conf_level=conf_level)
    difference = one.estimate - two.estimate
    below = math.hypot(one.estimate - one.conf_low, two.conf_high - two.estimate)
    above = math.hypot(one.conf_high - one.estimate, two.estimate - two.conf_low)
    return EffectSize(difference, difference - below, difference + above, conf_level)


def newcombe_paired_difference(
    both: int, first_only: int, second_only: int, neither: int, *, conf_level: float = 0.95
) -> EffectSize:
    """Return the difference of two proportions on matched cases with Newcombe's interval.

    Hybrid of two Wilson intervals with the phi correlation, continuity-corrected where positive
    (method 10 of Newcombe 1998,
    doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import newcombe_paired_difference
    >>> round(newcombe_paired_difference(8, 4, 1, 7).estimate, 3)
    0.15
    """
    n = both + first_only + second_only + neither
    one = wilson(both + first_only, n, conf_level=conf_level)
    two = wilson(both + second_only, n, conf_level=conf_level)
    margins = (
        (both + first_only)
        * (second_only + neither)
        * (both + second_only)
        * (first_only + neither)
    )
    cross = both * neither - first_only * second_only
    phi = 0.0
    if margins > 0:
        phi = (max(cross - n / 2.0, 0.0) if cross > 0 else cross) / math.sqrt(margins)
    difference = one.estimate - two.estimate
    low_1, high_1 = one.estimate - one.conf_low, one.conf_high - one.estimate
    low_2, high_2 = two.estimate - two.conf_low, two.conf_high - two.estimate
    below = math.sqrt(max(0.0, low_1**2 - 2 * phi * low_1 * high_2 + high_2**2))
    above = math.sqrt(max(0.0, high_1**2 - 2 * phi * high_1 * low_2 + low_2**2))
    return EffectSize(difference, difference - below, difference + above, conf_level)


def tango_difference(
    first_only: int, second_only: int, n: int, *, conf_level: float = 0.95
) -> EffectSize:
    """Return ``(first_only - second_only) / n`` of n matched pairs with Tango's score interval.

    The limits solve ``|b - c - n D| = z sqrt(n (2 q + D (1 - D)))``, q the restricted
    maximum-likelihood probability of a `second_only` pair; pairs that do not differ count in n
    alone (Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import tango_difference
    >>> found = tango_difference(4, 1, 20)
    >>> round(found.conf_low, 3), round(found.conf_high, 3)
    (-0.087, 0.383)
    """
    alpha = 1.0 - check_conf_level(conf_level)
    b, c = first_only, second_only
    if min(b, c) < 0 or b + c > n or n < 1:
        raise DataError(f"{b} and {c} differing pairs cannot be had from {n} pairs.")
    z = float(stats.norm.isf(alpha / 2.0))
    estimate = (b - c) / n

    def excess(difference: float) -> float:
        linear = (2 * n - b + c) * difference - b - c
        product = -c * difference * (1.0 - difference)
        root = math.sqrt(max(0.0, linear**2 - 8 * n * product))
        q = (root - linear) / (4 * n)
        variance = max(0.0, n * (2.0 * q + difference * (1.0 - difference)))
        return (b - c - n * difference) ** 2 - z**2 * variance

    # the excess is positive at -1 and 1 and negative beside the estimate; at the estimate itself
    # it is 0 where no pair differs or all do, hence the step aside
    low = high = estimate
    if estimate > -1.0:
        low = float(optimize.brentq(excess, -1.0, estimate - 1e-10, xtol=1e-14))
    if estimate < 1.0:
        high = float(optimize.brentq(excess, estimate + 1e-10, 1.0, xtol=1e-14))
    return EffectSize(estimate, low, high, conf_level)


def odds_ratio(
    count_1: int, n_1: int, count_2: int, n_2: int, *, conf_level: float = 0.95
) -> EffectSize:
    """Return the conditional maximum-likelihood odds ratio with its exact interval.

    Estimate and interval are those of R's ``fisher.test`` (0 or infinity where a cell is empty; NaN
    where a margin is empty: no odds to compare).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import odds_ratio
    >>> round(odds_ratio(10, 13, 5, 13).estimate, 2)
    4.97
    """
    alpha = 1.0 - check_conf_level(conf_level)
    _check_count(count_1, n_1)
    _check_count(count_2, n_2)
    if count_1 + count_2 in (0, n_1 + n_2):
        return EffectSize(math.nan, 0.0, math.inf, conf_level)
    total = count_1 + count_2
    counts = np.arange(max(0, total - n_2), min(n_1, total) + 1.0)
    place = count_1 - int(counts[0])
    log_weights = -(
        special.gammaln(counts + 1.0)
        + special.gammaln(n_1 - counts + 1.0)
        + special.gammaln(total - counts + 1.0)
        + special.gammaln(n_2 - total + counts + 1.0)
    )
    deviations = counts - count_1

    def probabilities(log_odds: float) -> Array:
        logs = log_weights + log_odds * deviations
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    def root(excess: Callable[[float], float]) -> float:
        """Return the odds at which a rising function of the log odds ratio is zero."""
        reach = 1.0
        while excess(-reach) > 0.0 or excess(reach) < 0.0:
            reach *= 2.0
        return math.exp(optimize.brentq(excess, -reach, reach, xtol=1e-14))

    lowest, highest = place == 0, place == counts.size - 1
    estimate = 0.0 if lowest else math.inf
    if not (lowest or highest):
        estimate = root(lambda t: float(probabilities(t) @ deviations))
    low = 0.0 if lowest else root(lambda t: float(probabilities(t)[place:].sum()) - alpha / 2.0)
    high = math.inf
    if not highest:
        high = root(lambda t: alpha / 2.0 - float(probabilities(t)[: place + 1].sum()))
    return EffectSize(estimate, low, high, conf_level)


def _check_count(count: int, n: int) -> None:
    if n < 1 or not 0 <= count <= n:
        raise DataError(f"A proportion needs 0 <= count <= n and n >= 1; got {count} of {n}.")


def probability_of_superiority(
    x: npt.ArrayLike, y: npt.ArrayLike, *, conf_level: float = 0.95
) -> EffectSize:
    """Return ``P(X > Y) + P(X = Y)/2`` with Newcombe's interval (his method 5).

    The limits solve ``|estimate - theta| = z sqrt(V(theta))`` with
    ``V = theta (1 - theta) [1 + N (1 - theta)/(2 - theta) + N theta/(1 + theta)] / (n_1 n_2)`` and
    ``N = (n_1 + n_2)/2 - 1``; they stay inside [0, 1] and have positive width where the samples do
    not overlap (Newcombe 2006, doi:10.1002/sim.2324).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import probability_of_superiority
    >>> x, y = [5.0, 6.0, 7.0, 6.5, 5.5], [4.0, 5.0, 4.5, 6.0, 3.5]
    >>> round(probability_of_superiority(x, y).estimate, 3)
    0.88
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

    Examples
    --------
    >>> from alliance_stats.effect_sizes import cliffs_delta
    >>> x, y = [5.0, 6.0, 7.0, 6.5, 5.5], [4.0, 5.0, 4.5, 6.0, 3.5]
    >>> round(cliffs_delta(x, y).estimate, 3)
    0.76
    """
    ps = probability_of_superiority(x, y, conf_level=conf_level)
    return EffectSize(
        2.0 * ps.estimate - 1.0, 2.0 * ps.conf_low - 1.0, 2.0 * ps.conf_high - 1.0, conf_level
    )
