"""The likelihood of a frailty's variance: its slope, its profile, and where it is highest."""

from collections.abc import Callable

import numpy as np
from scipy import optimize

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.cox_fit import CoxFit
from alliance_stats.survival.penalised import (
    FrailtyState,
    gamma_penalty,
    maximise,
    normal_penalty,
)
from alliance_stats.survival.risk_sets import RiskSets

__all__ = ["FACTOR", "SMALLEST", "FrailtyProblem", "crossing", "peak", "solve_variance"]

SMALLEST, _LARGEST = 1e-7, 1e3  # variances between which the estimate is looked for
FACTOR = 4.0  # step of the bracketing search
_LOG_TOLERANCE = 1e-10  # of log variance, at the root


class FrailtyProblem:
    """One frailty model; remembers the last maximum, from which the next search starts."""

    def __init__(
        self, X: Array, sets: RiskSets, n_groups: int, distribution: str, plain: CoxFit
    ) -> None:
        self._X, self._sets, self._plain = X, sets, plain
        self._penalty = gamma_penalty if distribution == "gamma" else normal_penalty
        self._gamma = distribution == "gamma"
        self._start = (plain.beta, np.zeros(n_groups))
        self._known: dict[float, FrailtyState] = {}

    def state(self, variance: float) -> FrailtyState:
        """Return the penalised maximum at this variance."""
        if variance not in self._known:
            state = maximise(self._X, self._sets, self._penalty(variance), self._start)
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
    """Return 0, 1, ..., the largest of the counts d less one."""
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
    root = optimize.brentq(
        lambda log_variance: problem.slope(float(np.exp(log_variance))),
        np.log(min(here, there)),
        np.log(max(here, there)),
        xtol=_LOG_TOLERANCE,
    )
    return float(np.exp(root))


def peak(profile: Callable[[float], float], near: float) -> float:
    """Return the variance at which the profile is highest, looked for around `near`."""
    found = optimize.minimize_scalar(
        lambda log_variance: -profile(float(np.exp(log_variance))),
        bounds=(max(np.log(near) - 6.0, np.log(SMALLEST)), np.log(max(near, 0.1)) + 3.0),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def crossing(
    profile: Callable[[float], float], target: float, start: float, factor: float
) -> float:
    """Return the variance beyond `start` at which the profile falls to `target`."""
    here, there = start, start * factor
    while profile(there) > target:
        here, there = there, there * factor
        if there < SMALLEST:
            return 0.0
        if there > _LARGEST:
            return float("inf")
    root = optimize.brentq(
        lambda log_variance: profile(float(np.exp(log_variance))) - target,
        np.log(min(here, there)),
        np.log(max(here, there)),
        xtol=1e-8,
    )
    return float(np.exp(root))
