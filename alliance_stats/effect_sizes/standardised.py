"""The effect-size class, and differences of means in standard deviations."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import DUST, Array

__all__ = [
    "EffectSize",
    "cohens_d",
    "covariate_adjusted_g",
    "finite_sample",
    "hedges_correction",
    "hedges_g",
    "hedges_g_from_summary",
    "hedges_g_paired",
    "noncentral_t_cdf",
    "noncentral_t_interval",
    "pooled_sd",
]


@dataclass(frozen=True, slots=True)
class EffectSize:
    """An effect and its interval, on the scale that the function's docstring states.

    Attributes
    ----------
    estimate, conf_low, conf_high
        Point estimate and the limits of its confidence interval.
    conf_level
        Nominal coverage of the interval.
    """

    estimate: float
    conf_low: float
    conf_high: float
    conf_level: float = 0.95

    def negated(self) -> "EffectSize":
        """Return the effect with the groups exchanged, for scales where that flips the sign."""
        return EffectSize(-self.estimate, -self.conf_high, -self.conf_low, self.conf_level)


def finite_sample(values: npt.ArrayLike, name: str) -> Array:
    """Return `values` as a one-dimensional float array; missing and infinite values are refused."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} must be one-dimensional; it has {array.ndim} dimensions.")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise DataError(
            f"{name} has {bad} missing or infinite value{'s' if bad > 1 else ''}; "
            "leave them out and count them first."
        )
    return array


def pooled_sd(sd_1: float, sd_2: float, n_1: int, n_2: int) -> float:
    """Return ``sqrt(((n_1 - 1) sd_1^2 + (n_2 - 1) sd_2^2) / (n_1 + n_2 - 2))``.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import pooled_sd
    >>> round(pooled_sd(1.1, 1.3, 13, 13), 3)
    1.204
    """
    return math.sqrt(((n_1 - 1) * sd_1**2 + (n_2 - 1) * sd_2**2) / (n_1 + n_2 - 2))


def hedges_correction(df: float) -> float:
    """Return J(df), which makes a standardised mean difference unbiased under normality.

    ``J = Gamma(df/2) / (sqrt(df/2) Gamma((df - 1)/2))``, exact, not the approximation
    ``1 - 3/(4 df - 1)`` (Hedges 1981, doi:10.3102/10769986006002107). Needs ``df > 1``.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import hedges_correction
    >>> round(hedges_correction(24), 4)
    0.9684
    """
    if not df > 1:
        raise NotIdentifiedError(
            f"Hedges' correction needs more than 1 degree of freedom; got {df}. "
            "Two groups of at least 2 cases each are required."
        )
    return math.exp(
        special.gammaln(df / 2) - special.gammaln((df - 1) / 2) - 0.5 * math.log(df / 2)
    )


def noncentral_t_interval(
    statistic: float, df: float, *, conf_level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of the noncentrality parameter given an observed t.

    The limits are the noncentralities at which the observed t is the upper and the lower
    ``(1 - conf_level)/2`` quantile (Steiger & Fouladi 1997; Cumming & Finch 2001,
    doi:10.1177/0013164401614002).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import noncentral_t_interval
    >>> low, high = noncentral_t_interval(2.5, 24.0)
    >>> round(low, 3), round(high, 3)
    (0.395, 4.559)
    """
    alpha = 1.0 - check_conf_level(conf_level)
    return (
        _noncentrality(statistic, df, 1.0 - alpha / 2.0),
        _noncentrality(statistic, df, alpha / 2.0),
    )


def noncentral_t_cdf(statistic: float, df: float, ncp: float) -> float:
    """Return ``P(T <= statistic)`` for noncentral t, also where SciPy's underflows to NaN.

    SciPy gives NaN where the probability is below the smallest double (or its complement is).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import noncentral_t_cdf
    >>> round(noncentral_t_cdf(2.0, 24.0, 1.0), 4)
    0.8267
    """
    probability = float(stats.nct.cdf(statistic, df, ncp))
    if math.isnan(probability):
        return 0.0 if ncp > statistic else 1.0
    return probability


def _noncentrality(statistic: float, df: float, probability: float) -> float:
    """Return the noncentrality at which ``P(T <= statistic) = probability``."""

    def excess(ncp: float) -> float:
        return noncentral_t_cdf(statistic, df, ncp) - probability

    # sd of T about its noncentrality is near sqrt(1 + t^2 / 2 df): start there and widen
    step = 4.0 * math.sqrt(1.0 + statistic**2 / (2.0 * df))
    low, high = statistic - step, statistic + step
    while excess(low) < 0:
        low -= step
    while excess(high) > 0:
        high += step
    return float(optimize.brentq(excess, low, high, xtol=1e-12, rtol=1e-14))


def cohens_d(x: npt.ArrayLike, y: npt.ArrayLike, *, conf_level: float = 0.95) -> EffectSize:
    """Return Cohen's d: mean difference over the pooled SD, with its noncentral-t interval.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import cohens_d
    >>> x, y = [5.0, 6.0, 7.0, 6.5, 5.5], [4.0, 5.0, 4.5, 6.0, 3.5]
    >>> round(cohens_d(x, y).estimate, 3)
    1.59
    """
    return _standardised(_moments(x, "x"), _moments(y, "y"), correct=False, conf_level=conf_level)


def hedges_g(x: npt.ArrayLike, y: npt.ArrayLike, *, conf_level: float = 0.95) -> EffectSize:
    """Return Hedges' g of two independent samples: ``J (mean x - mean y) / pooled SD``.

    Parameters
    ----------
    x, y
        Samples without missing values, at least two values each.
    conf_level
        Coverage of the interval.

    Returns
    -------
    EffectSize
        In pooled standard deviations, J at ``n_1 + n_2 - 2`` df. The interval is the noncentral-t
        one, which assumes normal
        outcomes with equal variances, multiplied by J as in R's effectsize.

    Raises
    ------
    DataError
        If a sample has fewer than two values or a value that is not finite.
    NotIdentifiedError
        If neither sample varies.

    References
    ----------
    Hedges (1981), doi:10.3102/10769986006002107.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import hedges_g
    >>> x, y = [5.0, 6.0, 7.0, 6.5, 5.5], [4.0, 5.0, 4.5, 6.0, 3.5]
    >>> g = hedges_g(x, y)
    >>> round(g.estimate, 3), round(g.conf_low, 3), round(g.conf_high, 3)
    (1.436, 0.089, 2.719)
    """
    return _standardised(_moments(x, "x"), _moments(y, "y"), correct=True, conf_level=conf_level)


def hedges_g_from_summary(
    *,
    mean_1: float,
    mean_2: float,
    sd_1: float,
    sd_2: float,
    n_1: int,
    n_2: int,
    conf_level: float = 0.95,
) -> EffectSize:
    """Return Hedges' g from reported means, SDs and group sizes, as :func:`hedges_g`.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import hedges_g_from_summary
    >>> g = hedges_g_from_summary(mean_1=5.0, mean_2=4.2, sd_1=1.1, sd_2=1.3, n_1=13, n_2=13)
    >>> round(g.estimate, 3)
    0.643
    """
    if min(n_1, n_2) < 2:
        raise DataError(f"Hedges' g needs at least 2 cases a group; got n = {n_1} and {n_2}.")
    if min(sd_1, sd_2) < 0:
        raise DataError(f"A standard deviation cannot be negative; got {sd_1} and {sd_2}.")
    return _standardised(
        (mean_1, sd_1, n_1), (mean_2, sd_2, n_2), correct=True, conf_level=conf_level
    )


def hedges_g_paired(x: npt.ArrayLike, y: npt.ArrayLike, *, conf_level: float = 0.95) -> EffectSize:
    """Return g of matched pairs in SDs **of the differences** (d_z, corrected with J(n - 1)).

    It is not on the scale of :func:`hedges_g`: closely matched pairs have small SDs of
    differences, hence a larger value for the same raw difference.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import hedges_g_paired
    >>> x, y = [5.0, 6.0, 7.0, 6.5, 5.5], [4.0, 5.0, 4.5, 6.0, 3.5]
    >>> round(hedges_g_paired(x, y).estimate, 3)
    1.36
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if first.shape != second.shape:
        raise DataError(
            f"Paired samples must have one value per pair; got {first.size} and {second.size}."
        )
    mean, sd, n = _moments(first - second, "the differences")
    if sd <= DUST * float(max(np.abs(first).max(), np.abs(second).max())):
        raise NotIdentifiedError(
            "All paired differences are equal: their SD is 0 and g has no denominator."
        )
    low, high = noncentral_t_interval(mean / sd * math.sqrt(n), n - 1, conf_level=conf_level)
    scale = hedges_correction(n - 1)
    root = math.sqrt(n)
    return EffectSize(scale * mean / sd, scale * low / root, scale * high / root, conf_level)


def covariate_adjusted_g(
    difference: float, std_error: float, sd: float, df: float, *, conf_level: float = 0.95
) -> EffectSize:
    """Return a covariate-adjusted difference in SDs of the raw outcome.

    ``g = J(df) b / S`` with standard error ``J sqrt((se/S)^2 + d^2 / (2 df))`` by the delta method
    and a t interval (What Works Clearinghouse 2022, Procedures and Standards 5.0, appendix E).

    Parameters
    ----------
    difference, std_error
        The adjusted difference and its standard error, in units of the outcome.
    sd
        Pooled SD of the unadjusted outcome.
    df
        Residual degrees of freedom of the adjusted model.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import covariate_adjusted_g
    >>> round(covariate_adjusted_g(2.0, 0.8, 3.1, 40.0).estimate, 3)
    0.633
    """
    check_conf_level(conf_level)
    scale = hedges_correction(df)
    d = difference / sd
    error = scale * math.sqrt((std_error / sd) ** 2 + d**2 / (2.0 * df))
    half = float(stats.t.isf((1.0 - conf_level) / 2.0, df)) * error
    return EffectSize(scale * d, scale * d - half, scale * d + half, conf_level)


def _standardised(
    first: tuple[float, float, int],
    second: tuple[float, float, int],
    *,
    correct: bool,
    conf_level: float,
) -> EffectSize:
    (mean_1, sd_1, n_1), (mean_2, sd_2, n_2) = first, second
    sd = pooled_sd(sd_1, sd_2, n_1, n_2)
    if sd <= DUST * max(abs(mean_1), abs(mean_2)):
        raise NotIdentifiedError(
            "Neither group varies: the pooled SD is 0 and a standardised difference "
            "has no denominator."
        )
    df = n_1 + n_2 - 2
    d = (mean_1 - mean_2) / sd
    root = math.sqrt(1.0 / n_1 + 1.0 / n_2)
    low, high = noncentral_t_interval(d / root, df, conf_level=conf_level)
    scale = hedges_correction(df) if correct else 1.0
    return EffectSize(scale * d, scale * low * root, scale * high * root, conf_level)


def _moments(values: npt.ArrayLike, name: str) -> tuple[float, float, int]:
    array = finite_sample(values, name)
    if array.size < 2:
        raise DataError(f"A standard deviation needs at least 2 values; {name} has {array.size}.")
    return float(array.mean()), float(array.std(ddof=1)), int(array.size)
