"""How much units of a generalized model differ, as a ratio of odds, hazards or rates."""

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.design.formula import INTERCEPT
from alliance_stats.design.groupings import back_transform
from alliance_stats.estimates import LINK_WORDS, wald_interval
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.model_profiles import sd_limits

__all__ = ["median_ratio_table"]


def median_ratio_table(fit: GeneralizedFit, *, method: str, conf_level: float) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.median_ratios`."""
    link = fit.family.link
    ratio = LINK_WORDS[link].ratio
    if ratio is None:
        raise ValueError(
            f"The {link} link has no ratio between units; median ratios are defined for logit "
            "(odds), cloglog (hazards) and log (rates)."
        )
    quartile = np.sqrt(2.0) * stats.norm.ppf(0.75)
    rows = []
    for f, grouping in enumerate(fit.design.groupings):
        if INTERCEPT not in grouping.names:
            continue
        position = grouping.names.index(INTERCEPT)
        sd, log_sd_error = _sd_with_error(fit, f, position)
        if method == "wald":
            limits = np.ravel(wald_interval(0.0, log_sd_error, conf_level=conf_level))
            low, high = sd * np.exp(limits)
        else:
            unit = abs(float(back_transform(grouping.terms)[0, 0]))
            relative = sd_limits(fit, f, conf_level=conf_level)
            low, high = unit * np.array(relative)
        rows.append(
            {
                "group": grouping.name,
                "term": f"median {ratio}",
                "estimate": np.exp(quartile * sd),
                "conf_low": np.exp(quartile * low),
                "conf_high": np.exp(quartile * high),
            }
        )
    return pd.DataFrame(rows, columns=["group", "term", "estimate", "conf_low", "conf_high"])


def _sd_with_error(fit: GeneralizedFit, f: int, position: int) -> tuple[float, float]:
    """SD of one random effect (as given) and the standard error of its logarithm.

    The variance is ``t'Lambda Lambda't`` for a row t of the back-transformation, so its slope in
    Lambda is ``2 t t' Lambda``.
    """
    t = back_transform(fit.design.groupings[f].terms)[position]
    half = t @ fit.Lambda[f]
    variance = float(half @ half)
    if variance == 0.0:
        return 0.0, np.nan
    slopes = [np.zeros_like(Lambda) for Lambda in fit.Lambda]
    slopes[f] = 2.0 * np.outer(t, half)
    gradient = fit.template.theta(slopes) / (2.0 * variance)
    k = len(gradient)
    error = float(gradient @ fit.minimum.covariance[:k, :k] @ gradient)
    return float(np.sqrt(variance)), float(np.sqrt(max(error, 0.0)))
