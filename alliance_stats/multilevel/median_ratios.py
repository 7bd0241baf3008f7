"""Median ratios between units, and the profile limits of the relative SD that they rest on."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.design.formula import INTERCEPT
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.generalized_search import GeneralizedCriterion
from alliance_stats.engine.laplace import laplace
from alliance_stats.engine.likelihood_rise import HeldProfile, reach
from alliance_stats.errors import AllianceStatsWarning, NotIdentifiedError
from alliance_stats.estimates import LOG_MEDIAN_RATIO, link_words, wald_interval
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.generalized_profiles import LARGEST, LOWER

__all__ = ["median_ratio_table"]


def median_ratio_table(fit: GeneralizedFit, *, method: str, conf_level: float) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.median_ratios`."""
    link = fit.family.link
    ratio = link_words(link, fit.family.support).ratio
    if ratio is None:
        raise ValueError(
            f"The {link} link has no ratio between units; median ratios are defined for logit "
            "(odds), cloglog (hazards) and log (rates)."
        )
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
            relative = _sd_limits(fit, f, conf_level=conf_level)
            low, high = unit * np.array(relative)
        rows.append(
            {
                "group": grouping.name,
                "term": f"median {ratio}",
                "estimate": np.exp(LOG_MEDIAN_RATIO * sd),
                "conf_low": np.exp(LOG_MEDIAN_RATIO * low),
                "conf_high": np.exp(LOG_MEDIAN_RATIO * high),
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


def _sd_limits(fit: GeneralizedFit, factor: int, *, conf_level: float) -> tuple[float, float]:
    """Return the limits of a grouping factor's single relative SD in a generalized model.

    Raises
    ------
    ValueError
        If the factor has more than one random effect.
    NotIdentifiedError
        If the profile shows a lower deviance than the fit.

    Warns
    -----
    AllianceStatsWarning
        If it does so above the estimate under the Laplace approximation, which with few units of
        extreme outcomes has a second minimum at large SDs that the integral itself lacks.
    """
    template = fit.problem.template
    if sum(template.blocks[factor]) != 1:
        raise ValueError(
            "Profile limits are for a grouping factor with a single random effect; with slopes "
            "use method='wald'."
        )
    entry = int(np.flatnonzero(template.entries[:, 0] == factor)[0])
    estimate, low = abs(float(fit.Lambda[factor][0, 0])), 0.0
    bound = float(stats.chi2.ppf(check_conf_level(conf_level), 1))
    if estimate > 0.0:
        rise = _RelativeSd.of(fit, entry, estimate).rise
        low = reach(rise, estimate, 0.0, bound=bound, unit=1.0, stride=estimate)
    up = _RelativeSd.of(fit, entry, estimate)
    stride = max(0.5 * estimate, 0.2)
    high = reach(up.rise, estimate, np.inf, bound=bound, unit=1.0, stride=stride, furthest=LARGEST)
    if up.lowest[1] > estimate:
        warnings.warn(_second_minimum(estimate, fit.deviance, up.lowest), AllianceStatsWarning, 2)
    return low, high


@dataclass(slots=True, eq=False)
class _RelativeSd:
    """The deviance along a relative SD, followed outwards, and the lowest point seen."""

    fit: GeneralizedFit
    estimate: float
    held: HeldProfile
    lowest: tuple[float, float]

    @classmethod
    def of(cls, fit: GeneralizedFit, entry: int, estimate: float) -> "_RelativeSd":
        """Begin at the fit."""
        criterion = GeneralizedCriterion(fit.problem, fit.approximation, joint_steps=0)
        direction = np.eye(1, fit.problem.template.n_theta + len(fit.minimum.other), entry)
        held = HeldProfile(
            criterion, direction, list(fit.Lambda), fit.minimum.other, fit.minimum.memory
        )
        return cls(fit, estimate, held, (fit.deviance, estimate))

    def rise(self, size: float) -> float:
        """Return the rise at a size; a fall only above the estimate of a Laplace fit."""
        value = self.held.deviance(size)
        fall = self.fit.deviance - value
        if fall > LOWER:
            if self.fit.approximation is not laplace or size < self.estimate:
                raise NotIdentifiedError(
                    f"The profile found a deviance {fall:.1e} under that of the fit; do not use "
                    "the fit."
                )
            self.lowest = min(self.lowest, (value, size))
        return max(-fall, 0.0)


def _second_minimum(estimate: float, deviance: float, lowest: tuple[float, float]) -> str:
    value, size = lowest
    return (
        f"The Laplace deviance at an SD of {size:.1f} is {deviance - value:.2f} below that of the "
        f"fit (SD {estimate:.2f}): few units with extreme outcomes are more than the approximation "
        "can tell apart. The interval holds both; fit again with nodes=15 before you use the SD."
    )
