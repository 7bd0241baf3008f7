"""The meaning of no difference: what a design can show, equivalence tests, Bayes factors."""

import math

from scipy import optimize, special, stats

from alliance_stats.checks import check_choice
from alliance_stats.effect_sizes import noncentral_t_cdf, pooled_sd
from alliance_stats.errors import DataError
from alliance_stats.groups.comparing.finding import Finding, TestOptions
from alliance_stats.groups.comparing.group_samples import Outcome
from alliance_stats.groups.comparing.means_and_ranks import paired_t, student

__all__ = [
    "bayes_factor_row",
    "detectable_g",
    "detectable_h",
    "detectable_ratio",
    "equivalence_row",
    "jzs_bayes_factor",
    "smallest_p_of_design",
]


def smallest_p_of_design(n_1: int, n_2: int) -> float:
    """Return the smallest two-sided p that Fisher's or a permutation test can reach.

    Of the ``C(n_1 + n_2, n_1)`` arrangements the most extreme has probability one over their
    number; with equal groups its mirror image is as extreme. .029 with 4 against 4, .0006 with 6
    against 7.

    Examples
    --------
    >>> from alliance_stats.groups import smallest_p_of_design
    >>> round(smallest_p_of_design(4, 4), 3)
    0.029
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

    Examples
    --------
    >>> from alliance_stats.groups import detectable_g
    >>> round(detectable_g(13, 13), 2)
    1.15
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

    Examples
    --------
    >>> from alliance_stats.groups import detectable_h
    >>> round(detectable_h(13, 13), 2)
    1.1
    """
    root = math.sqrt(1.0 / n_1 + 1.0 / n_2)
    critical = float(stats.norm.isf(alpha / 2.0))

    def shortfall(z: float) -> float:
        return float(stats.norm.sf(critical - z) + stats.norm.cdf(-critical - z)) - power

    return float(optimize.brentq(shortfall, 0.0, critical + 20.0, xtol=1e-12)) * root


def equivalence_row(
    outcome: Outcome, finding: Finding, margin: float, *, scale: str, alpha: float
) -> dict[str, object]:
    """Return two one-sided tests of a difference against ``-+ margin`` (Schuirmann 1987).

    doi:10.1007/BF01068419. With the finding's own estimate, standard error and df; equivalent if
    the ``1 - 2 alpha`` interval lies inside the margins, that is, if the larger p is below alpha.
    """
    check_choice(scale, ("raw", "sd"), name="scale")
    if not (math.isfinite(margin) and margin > 0):
        raise DataError(
            f"The margin of '{outcome.name}' must be a positive number: the smallest difference "
            f"that would matter; got {margin}."
        )
    if not (math.isfinite(finding.std_error) and math.isfinite(finding.df)):
        raise DataError(
            f"Outcome '{outcome.name}' was compared by '{finding.method}', which has no t to test "
            "against a margin. Use a t test, ANCOVA or the mixed model."
        )
    raw = margin
    if scale == "sd":
        x, y = outcome.of(0), outcome.of(1)
        raw = margin * pooled_sd(float(x.std(ddof=1)), float(y.std(ddof=1)), x.size, y.size)
    above = float(stats.t.sf((finding.estimate + raw) / finding.std_error, finding.df))
    below = float(stats.t.cdf((finding.estimate - raw) / finding.std_error, finding.df))
    low, high = finding.interval(1.0 - 2.0 * alpha)
    p_value = max(above, below)
    return {
        "outcome": outcome.name,
        "estimate": finding.estimate,
        "margin": raw,
        "conf_level": 1.0 - 2.0 * alpha,
        "conf_low": low,
        "conf_high": high,
        "p_above_lower": above,
        "p_below_upper": below,
        "p_value": p_value,
        "equivalent": bool(p_value < alpha),
    }


def bayes_factor_row(outcome: Outcome, prior_scale: float) -> dict[str, object]:
    """Return the JZS Bayes factor of a t test (Rouder et al. 2009, doi:10.3758/PBR.16.2.225).

    ``bf10`` is how much better a Cauchy(0, `prior_scale`) prior on the standardised difference
    predicts the data than no difference; Student's t, computed by pingouin.
    """
    if outcome.kind != "continuous" or outcome.design not in {"independent", "paired"}:
        raise DataError(
            f"Outcome '{outcome.name}': the Bayes factor is that of a t test, for a continuous "
            "outcome of independent or paired cases."
        )
    if not (math.isfinite(prior_scale) and prior_scale > 0):
        raise DataError(f"prior_scale must be a positive number; got {prior_scale}.")
    paired = outcome.design == "paired"
    t = (paired_t if paired else student)(outcome, TestOptions()).statistic
    n_1, n_2 = outcome.n
    bf10 = jzs_bayes_factor(t, n_1, n_2, paired=paired, prior_scale=prior_scale)
    return {
        "outcome": outcome.name,
        "statistic": t,
        "prior_scale": prior_scale,
        "bf10": bf10,
        "bf01": 1.0 / bf10,
    }


def jzs_bayes_factor(
    t: float, n_1: int, n_2: int, *, paired: bool = False, prior_scale: float = math.sqrt(0.5)
) -> float:
    """Return the JZS Bayes factor for a difference from an observed t, by pingouin."""
    from pingouin import bayesfactor_ttest  # loads matplotlib: only when asked for

    return float(bayesfactor_ttest(t, n_1, n_2, paired=paired, r=prior_scale))
