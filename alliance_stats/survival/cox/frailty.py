"""Shared frailty: how far groups' hazards differ beyond their covariates."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Phrase, Section
from alliance_stats.checks import check_conf_level, group_codes
from alliance_stats.estimates import Array, one_line
from alliance_stats.formatting import p_phrase, plural
from alliance_stats.survival.cox.cox_fit import Convergence, CoxFit, fit_cox
from alliance_stats.survival.cox.frailty_likelihood import (
    FACTOR,
    SMALLEST,
    FrailtyProblem,
    crossing,
    peak,
    solve_variance,
)
from alliance_stats.survival.cox.risk_sets import RiskSets
from alliance_stats.survival.rows.time_at_risk import Intervals

__all__ = ["FrailtyFit", "few_groups_warning", "fit_frailty", "median_hazard_ratio"]

# Below this a spread of groups is little more than a guess (a convention: with 50 groups or fewer
# the errors of such spreads come out too small even in linear models; Maas & Hox 2005,
# doi:10.1027/1614-2241.1.3.86).
_FEW_GROUPS = 10


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FrailtyFit:
    """The estimated spread of a shared frailty.

    Attributes
    ----------
    group
        Name of the grouping column.
    distribution
        ``"gamma"`` or ``"lognormal"``.
    variance
        Of the frailty (gamma, mean 1), or of its logarithm (lognormal).
    levels, b
        (q,) the groups, and their log frailties.
    log_lik
        Gamma: log-likelihood with the frailties integrated out. Lognormal: its Laplace
        approximation.
    log_lik_without
        Log partial likelihood without frailty.
    problem
        Gives the profile for the intervals: the gamma log-likelihood, or the restricted Laplace
        log-likelihood, up to a constant.
    """

    group: str
    distribution: str
    variance: float
    levels: pd.Index
    b: Array
    log_lik: float
    log_lik_without: float
    problem: FrailtyProblem

    __repr__ = one_line

    @property
    def n_parameters(self) -> int:
        """Variances."""
        return 1

    def interval(self, *, conf_level: float = 0.95) -> tuple[float, float]:
        """Return the variance's profile-likelihood interval (from 0 if it extends so far)."""
        drop = stats.chi2.isf(1.0 - check_conf_level(conf_level), 1) / 2.0
        best = max(self.variance, 10.0 * SMALLEST)
        if self.distribution == "lognormal" or self.variance == 0.0:
            best = peak(self.problem.profile, best)
        target = self.problem.profile(best) - drop
        return crossing(self.problem.profile, target, best, 1.0 / FACTOR), crossing(
            self.problem.profile, target, best, FACTOR
        )

    def tidy_spread(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the spread with its profile interval.

        Returns
        -------
        DataFrame
            ``effect, group, term, estimate, conf_low, conf_high``: ``var__frailty`` (gamma) or
            ``sd__(Intercept)`` of the log hazard (lognormal), and ``median_hazard_ratio``: for two
            otherwise equal units from two groups drawn at random, the median ratio of the higher
            hazard to the lower.
        """
        low, high = self.interval(conf_level=conf_level)
        values = np.array([self.variance, low, high])
        name, spread = "var__frailty", values
        if self.distribution == "lognormal":
            name, spread = "sd__(Intercept)", np.sqrt(values)
        ratios = [median_hazard_ratio(value, self.distribution) for value in values]
        return pd.DataFrame(
            {
                "effect": "ran_pars",
                "group": self.group,
                "term": [name, "median_hazard_ratio"],
                "estimate": [spread[0], ratios[0]],
                "conf_low": [spread[1], ratios[1]],
                "conf_high": [spread[2], ratios[2]],
            }
        )

    def tidy_groups(self) -> pd.DataFrame:
        """Return ``effect, group, level, term, estimate``: each group's log frailty."""
        return pd.DataFrame(
            {
                "effect": "ran_vals",
                "group": self.group,
                "level": self.levels,
                "term": "(Intercept)",
                "estimate": self.b,
            }
        )

    def section(self, *, conf_level: float = 0.95) -> Section:
        """Return the spread and the median ratio, as data."""
        what = "variance" if self.distribution == "gamma" else "SD of the log hazard"
        spread = self.tidy_spread(conf_level=conf_level)
        names = [
            Phrase("{}, " + what, (self.group,)),
            Phrase("{}, median hazard ratio", (self.group,)),
        ]
        n_groups = plural(len(self.levels), "group")
        lead = f"{self.distribution} frailty over {n_groups} of {self.group}"
        return Section(
            lead,
            spread.assign(parameter=names, kind=["number", "ratio"]),
            names=("parameter",),
            measure="",
            kind="kind",
            conf_level=conf_level,
            lead=lead,
        )

    def verdict(self) -> str:
        """Return the test against no frailty in words (half a chi-squared(1))."""
        if self.variance == 0.0:
            return "The frailty's variance is at its lower bound: no spread was found."
        gain = 2.0 * max(self.log_lik - self.log_lik_without, 0.0)
        p_value = float(stats.chi2.sf(gain, 1)) / 2.0
        return f"The frailty against none: {p_phrase(p_value)}."


def few_groups_warning(group: str, levels: pd.Index) -> Iterator[str]:
    """Yield a warning where a frailty's variance is estimated from few groups."""
    n = len(levels)
    if n < _FEW_GROUPS:
        yield (
            f"A frailty over {n} groups of {group}: below about {_FEW_GROUPS} "
            "groups their spread is hardly known. With so few, strata= gives each a baseline of "
            "its own."
        )


def median_hazard_ratio(variance: float, distribution: str) -> float:
    """Return the median ratio of the higher to the lower hazard of two random groups.

    Lognormal: ``exp(sqrt(2 variance) z(.75))`` (Larsen & Merlo 2005, doi:10.1093/aje/kwi017);
    gamma: the upper quartile of F(2/variance, 2/variance), the ratio of two such frailties.
    """
    if variance == 0.0:
        return 1.0
    if distribution == "lognormal":
        return float(np.exp(np.sqrt(2.0 * variance) * stats.norm.ppf(0.75)))
    return float(stats.f.ppf(0.75, 2.0 / variance, 2.0 / variance))


def fit_frailty(
    X: Array,
    sets: RiskSets,
    intervals: Intervals,
    terms: tuple[str, ...],
    frailty: tuple[str, str],
) -> tuple[CoxFit, Array, FrailtyFit]:
    """Fit a Cox model with one random effect per group.

    Gamma: the variance maximises the likelihood with the frailties integrated out (Nielsen et al.
    1992; Therneau, Grambsch & Pankratz 2003, doi:10.1198/1061860031365). Lognormal: restricted
    maximum likelihood, ``variance = (b'b + trace of their posterior covariance) / groups``
    (McGilchrist 1993, doi:10.2307/2532615), as in R's ``frailty.gaussian``.

    Returns
    -------
    fit, covariance, result
        The covariates' fit, their covariance (p, p) allowing for the frailties, and the variance.
    """
    group, distribution = frailty
    plain = fit_cox(X, sets, terms)
    problem = FrailtyProblem(X, sets, intervals.n_clusters, distribution, plain.beta)
    variance = solve_variance(problem)
    levels = group_codes(intervals.frame[group])[1]
    if variance == 0.0:
        b = np.zeros(len(levels))
        fit, covariance, log_lik = plain, _inverse(plain.information), plain.at.log_lik
    else:
        state = problem.state(variance)
        b = state.b
        covariance = _inverse(state.arrow.schur)
        log_lik = problem.log_lik(variance)
        fit = CoxFit(
            beta=state.beta,
            information=state.arrow.schur,
            at=state.at,
            log_lik_null=plain.log_lik_null,
            convergence=Convergence(state.steps, state.gradient, converged=True),
        )
    result = FrailtyFit(
        group=group,
        distribution=distribution,
        variance=variance,
        levels=levels,
        b=b,
        log_lik=log_lik,
        log_lik_without=plain.at.log_lik,
        problem=problem,
    )
    return fit, covariance, result


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
