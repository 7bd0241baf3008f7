"""Multiple tests: adjusted p-values, Tukey's range, and the exact multivariate t.

For statistics ``T = A Z / s`` with unit rows of ``A`` (m, r), Z standard normal in r dimensions and
``s^2`` an independent mean square on ``df`` degrees of freedom, Z has a direction u independent of
its length, and ``|Z|^2 / (r s^2)`` is F(r, df). So

    P(max|T| > c) = E_u[ P( F(r, df) > c^2 / (r h(u)^2) ) ],   h(u) = max_i |a_i'u|,

which needs an average over directions only, holds for linearly dependent statistics (all pairwise
differences have r = k - 1), and keeps its relative accuracy far in the tail. The directions are a
fixed point set, so results are reproducible: exact for two or three means, and accurate to a few
parts in ten thousand of the p-value for more.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import linalg, optimize, special, stats
from scipy.stats import qmc

from alliance_stats.estimates import Array

__all__ = [
    "SIMPLE",
    "Adjust",
    "JointT",
    "adjusted_p",
    "bonferroni_critical",
    "holm",
    "simple_critical",
    "tukey_critical",
    "tukey_p",
]

Adjust = Literal["mvt", "tukey", "dunnett", "holm", "bonferroni", "sidak", "fdr", "none"]
SIMPLE = ("holm", "bonferroni", "sidak", "fdr")
"""Adjustments that look at p-values alone."""

# Directions: equally spaced angles for two dimensions, a Sobol set of 2^17 points for more.
LOG2_POINTS = 17
# Points with neighbouring h are summed up by their mean: 2^11 of them keep eight digits.
LOG2_SUMMARY = 11
# Directions of the correlation relatively smaller than this are combinations of the others.
DEPENDENT = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class JointT:
    """The distribution of ``max|T|`` of correlated t statistics with a common denominator.

    Attributes
    ----------
    rank
        Dimension r of the statistics.
    h_squared
        Squared ``h(u)`` over equally likely directions, sorted and summed up.
    """

    rank: int
    h_squared: Array

    @classmethod
    def of(cls, correlation: Array) -> "JointT":
        """Prepare from the correlation matrix of the statistics, (m, m)."""
        values, vectors = linalg.eigh(correlation)
        kept = values > values.max() * DEPENDENT
        A = vectors[:, kept] * np.sqrt(values[kept])
        A /= np.linalg.norm(A, axis=1, keepdims=True)
        rank = A.shape[1]
        if rank == 1:
            return cls(1, np.ones(1))
        h = np.zeros(2**LOG2_POINTS)
        u = _directions(rank)
        for a in A:
            np.maximum(h, np.abs(u @ a), out=h)
        h.sort()
        return cls(rank, (h**2).reshape(2**LOG2_SUMMARY, -1).mean(axis=1))

    def p_value(self, statistic: float, df: float) -> float:
        """Return ``P(max|T| > |statistic|)``."""
        if np.isnan(statistic):
            return np.nan
        with np.errstate(over="ignore"):
            f = statistic**2 / (self.rank * self.h_squared)
        tail = (
            special.chdtrc(self.rank, self.rank * f)
            if np.isinf(df)
            else special.fdtrc(self.rank, df, f)
        )
        return float(tail.mean())

    def critical(self, df: float, conf_level: float) -> float:
        """Return c with ``P(max|T| > c) = 1 - conf_level``."""
        if np.isnan(df):
            return np.nan
        alpha = 1.0 - conf_level
        low = float(stats.t.isf(alpha / 2.0, df))
        high = max(2.0 * low, 1.0)
        while self.p_value(high, df) > alpha:
            high *= 2.0
        if self.p_value(low, df) <= alpha:
            return low
        return float(optimize.brentq(lambda c: self.p_value(c, df) - alpha, low, high, xtol=1e-10))


def holm(p_values: Array) -> Array:
    """Holm's step-down adjusted p-values (1979, doi:10.2307/4615733); NaN entries are ignored."""
    adjusted = np.full(len(p_values), np.nan)
    present = np.flatnonzero(~np.isnan(p_values))
    order = present[np.argsort(p_values[present], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted


def adjusted_p(p_values: Array, how: str) -> Array:
    """Adjust p-values by one of :data:`SIMPLE`; NaN entries are ignored."""
    if how == "holm":
        return holm(p_values)
    present = np.flatnonzero(~np.isnan(p_values))
    adjusted, n = np.full(len(p_values), np.nan), len(present)
    own = p_values[present]
    if how == "bonferroni":
        adjusted[present] = np.minimum(n * own, 1.0)
    elif how == "sidak":
        adjusted[present] = -np.expm1(n * np.log1p(-own))
    else:
        order = np.argsort(own, kind="stable")[::-1]
        steps = own[order] * n / np.arange(n, 0, -1)
        adjusted[present[order]] = np.minimum(np.minimum.accumulate(steps), 1.0) if n else steps
    return adjusted


def simple_critical(how: str, df: Array, n: int, conf_level: float) -> Array:
    """Two-sided critical values that go with one of :data:`SIMPLE`: Bonferroni's for Holm's steps.

    The false discovery rate has no adjusted intervals: each contrast keeps its own.
    """
    if how == "sidak":
        return bonferroni_critical(df, 1, conf_level ** (1.0 / max(n, 1)))
    return bonferroni_critical(df, 1 if how == "fdr" else n, conf_level)


def bonferroni_critical(df: Array, n: int, conf_level: float) -> Array:
    """Two-sided critical values that hold for `n` intervals jointly."""
    return np.asarray(stats.t.isf((1.0 - conf_level) / (2.0 * max(n, 1)), df))


def tukey_p(statistic: Array, df: Array, n_means: int) -> Array:
    """P-values of t statistics by the studentized range of `n_means` means (Tukey; Kramer 1956)."""
    return np.array(
        [
            np.nan if np.isnan(t) else range_sf(np.sqrt(2.0) * abs(t), n_means, v)
            for t, v in zip(statistic, df, strict=True)
        ]
    )


def tukey_critical(df: Array, n_means: int, conf_level: float) -> Array:
    """Critical values for ``|t|`` from the studentized range of `n_means` means."""
    distinct = np.unique(df[~np.isnan(df)])
    many = distinct[distinct >= _SMOOTH_FROM]
    if len(many) <= 2 * _NODES:
        found = {v: _range_critical(v, n_means, conf_level) for v in distinct}
    else:
        found = {v: _range_critical(v, n_means, conf_level) for v in distinct if v not in many}
        # c is a smooth function of 1 / df: Chebyshev's polynomial through few points has 9 digits
        ends = (1.0 / many[-1], 1.0 / many[0])
        curve = np.polynomial.Chebyshev.interpolate(
            lambda x: np.array([_range_critical(1.0 / v, n_means, conf_level) for v in x]),
            _NODES - 1,
            domain=ends,
        )
        found |= dict(zip(many, curve(1.0 / many), strict=True))
    return np.array([found.get(v, np.nan) for v in df])


_NODES = 16  # of the polynomial where there are many different df
_SMOOTH_FROM = 3.0  # df from which on it is one


def _range_critical(df: float, n_means: int, conf_level: float) -> float:
    alpha = 1.0 - conf_level
    low = float(stats.t.isf(alpha / 2.0, df))  # one pair of means
    high = float(stats.t.isf(alpha / (n_means * (n_means - 1.0)), df))  # Bonferroni's bound
    return float(
        optimize.brentq(
            lambda c: range_sf(np.sqrt(2.0) * c, n_means, df) - alpha,
            0.99 * low,
            1.01 * high,
            xtol=1e-9,
        )
    )


# Steps in log s: at .05 the range's probability has 13 digits, whatever the df and the means.
_LOG_STEP = 0.05


def range_sf(q: float, n_means: int, df: float) -> float:
    """Return the probability that the studentized range exceeds `q`, to about 1e-13.

    ``E_s[1 - k int phi(z) (Phi(z) - Phi(z - q s))^(k-1) dz]`` with ``df s^2`` chi-squared, by the
    trapezoidal rule in z and in log s; both integrands are analytic and die out, so it converges
    geometrically (Trefethen & Weideman 2014, doi:10.1137/130932132). scipy's ``studentized_range``
    gives the same numbers but is a hundred times slower.
    """
    scales, weights = np.ones(1), np.ones(1)
    if np.isfinite(df):
        # where df (t - exp(2 t) / 2 + 1 / 2), the log density of t = log s, exceeds -42
        left = 42.0 / df + 0.5 if df < 150.0 else np.sqrt(84.0 / df)
        right = np.sqrt(42.0 / df)
        t = np.linspace(-left, right, int(np.clip((left + right) / _LOG_STEP, 61, 401)))
        weights = np.exp(df * (t - np.exp(2.0 * t) / 2.0 + 0.5))
        scales, weights = np.exp(t), weights / weights.sum()
    z = np.linspace(-8.5, 8.5, 171)[:, None]
    inside = special.ndtr(z) - special.ndtr(z - q * scales)
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi) * (z[1] - z[0])
    cdf = n_means * (density * inside ** (n_means - 1)).sum(axis=0)
    return float(weights @ np.clip(1.0 - cdf, 0.0, 1.0))


def _directions(rank: int) -> Array:
    """Equally likely unit vectors up to sign, (2^LOG2_POINTS, rank)."""
    n = 2**LOG2_POINTS
    if rank == 2:
        angles = np.pi * (np.arange(n) + 0.5) / n
        return np.column_stack([np.cos(angles), np.sin(angles)])
    points = qmc.Sobol(rank, scramble=False).random_base2(LOG2_POINTS)
    normal = special.ndtri(points + 0.5 / n)
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True))
