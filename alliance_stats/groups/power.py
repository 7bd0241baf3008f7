"""What a design can show at all: the smallest p it can reach, the effect it would detect."""

import math

from scipy import optimize, special, stats

from alliance_stats.effect_sizes import noncentral_t_cdf
from alliance_stats.errors import DataError

__all__ = ["detectable_g", "detectable_h", "detectable_ratio", "smallest_p_of_design"]


def smallest_p_of_design(n_1: int, n_2: int) -> float:
    """Return the smallest two-sided p that Fisher's or a permutation test can reach.

    Of the ``C(n_1 + n_2, n_1)`` arrangements the most extreme has probability one over their
    number; with equal groups its mirror image is as extreme. .029 with 4 against 4, .0006 with 6
    against 7.
    """
    if min(n_1, n_2) < 1:
        raise DataError(f"Both groups need a case; got n = {n_1} and {n_2}.")
    mirrored = 2.0 if n_1 == n_2 else 1.0
    return min(1.0, mirrored / float(special.comb(n_1 + n_2, n_1)))


def detectable_g(n_1: int, n_2: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the standardised difference that a two-sided t test detects with `power`.

    In population SDs: the root of ``P(|T| > t_crit) = power`` with T noncentral t on
    ``n_1 + n_2 - 2`` df and noncentrality ``delta / sqrt(1/n_1 + 1/n_2)``
    (Cohen 1988, Statistical power analysis, ch. 2; as R's ``power.t.test(strict = TRUE)``).
    """
    if min(n_1, n_2) < 2:
        return math.nan
    root = math.sqrt(1.0 / n_1 + 1.0 / n_2)
    return detectable_ratio(n_1 + n_2 - 2.0, power=power, alpha=alpha) * root


def detectable_ratio(df: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the ratio of a true effect to its standard error that a two-sided t test detects.

    The noncentrality at which ``P(|T| > t_crit) = power``. Times the standard error that a design
    gives to an estimate, it is the effect which that design detects.
    """
    critical = float(stats.t.isf(alpha / 2.0, df))

    def shortfall(ncp: float) -> float:
        missed = noncentral_t_cdf(critical, df, ncp) - noncentral_t_cdf(-critical, df, ncp)
        return 1.0 - missed - power

    return float(optimize.brentq(shortfall, 0.0, critical + 20.0, xtol=1e-12))


def detectable_h(n_1: int, n_2: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the difference of two proportions, as Cohen's h, that is detected with `power`.

    ``h = |2 asin sqrt(p_1) - 2 asin sqrt(p_2)|``, by the normal approximation
    (Cohen 1988, ch. 6; as R's ``pwr.2p2n.test``). Exact tests of small groups need more.
    """
    root = math.sqrt(1.0 / n_1 + 1.0 / n_2)
    critical = float(stats.norm.isf(alpha / 2.0))

    def shortfall(z: float) -> float:
        return float(stats.norm.sf(critical - z) + stats.norm.cdf(-critical - z)) - power

    return float(optimize.brentq(shortfall, 0.0, critical + 20.0, xtol=1e-12)) * root
