"""Shared frailty: how far groups' hazards differ beyond their covariates.

The likelihood of a frailty's variance: its slope, profile and maximum.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import optimize, stats

from alliance_stats.account import Phrase, Section
from alliance_stats.checks import check_conf_level, group_codes
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import (
    LOG_MEDIAN_RATIO,
    Array,
    one_line,
)
from alliance_stats.formatting import p_phrase, plural
from alliance_stats.survival.cox.cox_fit import Convergence, CoxFit, fit_cox
from alliance_stats.survival.cox.frailty_likelihood import (
    FrailtyState,
    gamma_penalty,
    maximise,
    normal_penalty,
)
from alliance_stats.survival.cox.risk_sets import RiskSets
from alliance_stats.survival.rows.time_at_risk import Intervals

__all__ = [
    "FACTOR",
    "SMALLEST",
    "FrailtyFit",
    "crossing",
    "few_groups_warning",
    "fit_frailty",
    "fit_of",
    "median_hazard_ratio",
]

# Below this a spread of groups is little more than a guess (a convention: with 50 groups or fewer
# the errors of such spreads come out too small even in linear models; Maas & Hox 2005,
# doi:10.1027/1614-2241.1.3.86).
_FEW_GROUPS = 10
SMALLEST, _LARGEST = 1e-7, 1e3  # variances between which the estimate is looked for
FACTOR = 4.0  # step of the bracketing search
_LOG_TOLERANCE = 1e-10  # of log variance, at the root


@dataclass(slots=True, eq=False)
class FrailtyProblem:
    """One frailty model; remembers the last maximum, from which the next search starts.

    Attributes
    ----------
    X
        (n, p) standardised covariates.
    sets
        Who was at risk when.
    n_groups, distribution
        Groups that share a frailty, and its distribution: ``"gamma"`` or ``"lognormal"``.
    beta
        (p,) coefficients without frailty.
    """

    X: Array
    sets: RiskSets
    n_groups: int
    distribution: str
    beta: Array
    _start: tuple[Array, Array] = field(init=False)
    _known: dict[float, FrailtyState] = field(init=False)

    def __post_init__(self) -> None:
        self._start = (self.beta, np.zeros(self.n_groups))
        self._known = {}

    @property
    def _gamma(self) -> bool:
        return self.distribution == "gamma"

    def state(self, variance: float) -> FrailtyState:
        """Return the penalised maximum at this variance."""
        if variance not in self._known:
            penalty = gamma_penalty if self._gamma else normal_penalty
            state = maximise(self.X, self.sets, penalty(variance), self._start)
            self._start = (state.beta, state.b)
            self._known = {variance: state}
        return self._known[variance]

    def slope(self, variance: float) -> float:
        """Return a function of the variance that falls through 0 at the estimate."""
        state = self.state(variance)
        if not self._gamma:
            fixed_point = (state.b @ state.b + state.arrow.trace) / len(state.b)
            return float(fixed_point / variance - 1.0)
        nu, d = 1.0 / variance, state.n_event
        gain = state.b + _summed(1.0 / (nu + _before(d)), d) - np.log1p(d / nu)
        return float(-gain.sum() * nu)

    def log_lik(self, variance: float) -> float:
        """Return the log-likelihood with the frailties integrated out (lognormal: Laplace's)."""
        state = self.state(variance)
        value = state.at.log_lik - state.penalty
        if self._gamma:
            return value + _gamma_correction(state.n_event, 1.0 / variance)
        q = len(state.b)
        return float(value - (q * np.log(variance) + state.arrow.log_det_groups) / 2.0)

    def profile(self, variance: float) -> float:
        """Return the criterion whose drop makes the interval."""
        variance = max(SMALLEST, variance)
        if self._gamma:
            return self.log_lik(variance)
        log_det = float(np.linalg.slogdet(self.state(variance).arrow.schur)[1])
        return self.log_lik(variance) - log_det / 2.0


def _gamma_correction(d: Array, nu: float) -> float:
    """Return what the integral over gamma frailties adds to the penalised likelihood.

    ``sum over groups of d - (nu + d) log(1 + d/nu) + sum over i < d of log(1 + i/nu)``.
    """
    rising = _summed(np.log1p(_before(d) / nu), d)
    return float((d - (nu + d) * np.log1p(d / nu) + rising).sum())


def _before(d: Array) -> Array:
    """Return 0, 1, ..., max(d) - 1 for the counts d."""
    return np.arange(d.max(), dtype=np.float64)


def _summed(values: Array, d: Array) -> Array:
    """Return, for each of the counts d, the sum of the first d values.

    With ``1 / (nu + i)`` it is digamma(nu + d) - digamma(nu), whose own difference loses every
    digit where the variance is small and nu large.
    """
    return np.concatenate(([0.0], np.cumsum(values)))[d.astype(np.int64)]


def solve_variance(problem: FrailtyProblem) -> float:
    """Return the variance at which the slope is 0; 0 where it falls from the start."""
    here = 0.25
    there = here
    rising = problem.slope(here) > 0
    while (problem.slope(there) > 0) == rising:
        here, there = there, there * (FACTOR if rising else 1.0 / FACTOR)
        if there < SMALLEST:
            return 0.0
        if there > _LARGEST:
            raise NotIdentifiedError(
                f"The frailty's variance runs past {_LARGEST:g}: groups differ without bound, as "
                "where each group has only events or none. Use strata= instead."
            )
    return _root(problem.slope, here, there, _LOG_TOLERANCE)


def peak(profile: Callable[[float], float], near: float) -> float:
    """Return the variance at which the profile is highest, searched for around `near`."""
    found = optimize.minimize_scalar(
        lambda log_variance: -profile(float(np.exp(log_variance))),
        bounds=(max(np.log(near) - 6.0, np.log(SMALLEST)), np.log(max(near, 0.1)) + 3.0),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def crossing(
    profile: Callable[[float], float],
    target: float,
    start: float,
    factor: float,
    *,
    tolerance: float = 1e-8,
) -> float:
    """Return the variance beyond `start` at which the profile falls to `target`.

    `tolerance` is of its logarithm.
    """
    here, there = start, start * factor
    while profile(there) > target:
        here, there = there, there * factor
        if there < SMALLEST:
            return 0.0
        if there > _LARGEST:
            return float("inf")
    return _root(lambda variance: profile(variance) - target, here, there, tolerance)


def _root(function: Callable[[float], float], here: float, there: float, tolerance: float) -> float:
    """Return the variance between two at which a function is 0, searched for on the log scale."""
    root = optimize.brentq(
        lambda log_variance: function(float(np.exp(log_variance))),
        np.log(min(here, there)),
        np.log(max(here, there)),
        xtol=tolerance,
    )
    return float(np.exp(root))


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

    def tidy_groups(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return each group's log frailty: ``effect, group, level, term, estimate, conf_low``...

        The limits ``conf_low, conf_high`` take the variance, the coefficients and the baseline
        hazard as known. Given those, a gamma frailty is gamma again, of shape ``events + 1/theta``;
        a lognormal one's logarithm is normal, near its mode, with precision ``expected events +
        1/variance``.
        """
        low, high = self._limits(check_conf_level(conf_level))
        return pd.DataFrame(
            {
                "effect": "ran_vals",
                "group": self.group,
                "level": self.levels,
                "term": "(Intercept)",
                "estimate": self.b,
                "conf_low": low,
                "conf_high": high,
            }
        )

    def _limits(self, conf_level: float) -> tuple[Array, Array]:
        if self.variance == 0.0:
            return self.b, self.b
        state, tail = self.problem.state(self.variance), (1.0 - conf_level) / 2.0
        if self.distribution == "gamma":
            shape = state.n_event + 1.0 / self.variance
            below, above = (np.log(stats.gamma.ppf(q, shape) / shape) for q in (tail, 1.0 - tail))
            return self.b + below, self.b + above
        half = stats.norm.isf(tail) / np.sqrt(state.expected + 1.0 / self.variance)
        return self.b - half, self.b + half

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
        return float(np.exp(LOG_MEDIAN_RATIO * np.sqrt(variance)))
    return float(stats.f.ppf(0.75, 2.0 / variance, 2.0 / variance))


def fit_frailty(
    X: Array,
    sets: RiskSets,
    intervals: Intervals,
    terms: tuple[str, ...],
    frailty: tuple[Hashable, str],
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
        log_lik = problem.log_lik(variance)
        fit, covariance = fit_of(state, plain), _inverse(state.arrow.schur)
    result = FrailtyFit(
        group=str(group),
        distribution=distribution,
        variance=variance,
        levels=levels,
        b=b,
        log_lik=log_lik,
        log_lik_without=plain.at.log_lik,
        problem=problem,
    )
    return fit, covariance, result


def fit_of(state: FrailtyState, plain: CoxFit) -> CoxFit:
    """Return the penalised maximum as a fit, beside that without frailty."""
    return CoxFit(
        beta=state.beta,
        information=state.arrow.schur,
        at=state.at,
        log_lik_null=plain.log_lik_null,
        convergence=Convergence(state.steps, state.gradient, converged=True),
    )


def _inverse(matrix: Array) -> Array:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
