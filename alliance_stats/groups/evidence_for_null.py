"""Evidence that groups are alike: equivalence tests and Bayes factors."""

import math

from scipy import stats

from alliance_stats.checks import check_choice
from alliance_stats.effect_sizes import pooled_sd
from alliance_stats.errors import DataError
from alliance_stats.groups.finding import Finding, TestOptions
from alliance_stats.groups.means import paired_t, student
from alliance_stats.groups.samples import Outcome

__all__ = ["bayes_factor_row", "equivalence_row", "jzs_bayes_factor"]


def equivalence_row(
    outcome: Outcome, finding: Finding, margin: float, *, scale: str, alpha: float
) -> dict[str, object]:
    """Return two one-sided tests of a difference against ``-+ margin`` (Schuirmann 1987).

    doi:10.1007/BF01068419. With the finding's own estimate, standard error and df; equivalent if
    the ``1 - 2 alpha`` interval lies inside the margins, which is if the larger p is below alpha.
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
