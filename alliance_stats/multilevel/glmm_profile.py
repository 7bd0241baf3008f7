"""Profile likelihood of one random-effects SD of a generalized mixed model.

The deviance is minimised over everything else at fixed values of one SD; the interval is where it
exceeds its minimum by less than a chi-squared quantile on one degree of freedom (Venzon &
Moolgavkar 1988, doi:10.2307/2347496). With few units this is a better interval than one from the
curvature, and it exists where the SD is estimated as zero.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.engine.generalized_search import (
    TOO_FAR,
    Criterion,
    GeneralizedFit,
    coordinates_at,
)
from alliance_stats.engine.laplace import GeneralizedProblem, laplace
from alliance_stats.engine.starting import joint_mode
from alliance_stats.errors import AllianceStatsWarning, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["profile_limits"]

# Limits are found to this many relative SDs.
LIMIT = 1e-6
# Other SDs start from at least this: from exactly zero no search can leave.
AWAY_FROM_ZERO = 0.1
# Beyond this relative SD there is no upper limit to speak of.
LARGEST = 20.0
# By how much a profile may dip under the minimum before the fit was not the minimum.
LOWER = 1e-5
# A search that fell by less than this is at its minimum.
AGAIN = 1e-6


@dataclass(slots=True)
class _Profile:
    """The deviance minimised over all but one entry of theta, warm from its last minimum."""

    problem: GeneralizedProblem
    criterion: Criterion
    entry: int
    Lambda: list[Array]
    gamma: Array
    u: Sequence[Array]

    def deviance(self, size: float) -> float:
        template = self.problem.template
        theta = template.theta(self.Lambda)
        diagonal = template.entries[:, 1] == template.entries[:, 2]
        theta = np.where(diagonal & (np.abs(theta) < AWAY_FROM_ZERO), AWAY_FROM_ZERO, theta)
        theta[self.entry] = size
        Lambda = template.factors(theta)
        begin = joint_mode(self.problem, Lambda, self.gamma, self.u, steps=0)
        coordinates = coordinates_at(template, Lambda, begin)
        free = np.arange(len(coordinates.origin)) != self.entry
        best = _Seen(np.inf, np.zeros(len(free)), self.u)

        def objective(x: Array) -> tuple[float, Array]:
            nonlocal best
            full = np.zeros(len(free))
            full[free] = x
            Lambda, gamma = coordinates.split(full)
            try:
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    slopes = self.criterion(self.problem, Lambda, gamma, best.u)
            except (NotIdentifiedError, linalg.LinAlgError):
                if best.deviance == np.inf:
                    raise
                # a step of the line search went too far: make it come back
                return best.deviance + TOO_FAR, np.zeros(len(x))
            if slopes.deviance < best.deviance:
                best = _Seen(slopes.deviance, full, slopes.mode.u)
            return slopes.deviance, coordinates.gradient(Lambda, slopes)[free]

        while True:  # again where a search ended at such a step
            before = best.deviance
            optimize.minimize(
                objective,
                best.x[free],
                jac=True,
                method="L-BFGS-B",
                options={"ftol": 1e-13, "gtol": 1e-5, "maxiter": 200},
            )
            if before - best.deviance < AGAIN:
                break
        self.Lambda, self.gamma = coordinates.split(best.x)
        self.u = best.u
        return best.deviance


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The lowest deviance seen, its coordinates, and the modes there."""

    deviance: float
    x: Array
    u: Sequence[Array]


def profile_limits(
    problem: GeneralizedProblem,
    criterion: Criterion,
    fit: GeneralizedFit,
    factor: int,
    *,
    conf_level: float,
) -> tuple[float, float]:
    """Return the limits of a grouping factor's single relative SD.

    Raises
    ------
    ValueError
        If the factor has more than one random effect.
    NotIdentifiedError
        If the profile shows a lower deviance than the fit.

    Warns
    -----
    AllianceStatsWarning
        If it does so above the estimate, under the Laplace approximation: with few units of extreme
        outcomes that has a second minimum at large SDs, which the integral itself has not.
    """
    if sum(problem.template.blocks[factor]) != 1:
        raise ValueError(
            "Profile limits are for a grouping factor with a single random effect; with slopes "
            "use method='wald'."
        )
    entry = int(np.flatnonzero(problem.template.entries[:, 0] == factor)[0])
    estimate = abs(float(fit.Lambda[factor][0, 0]))
    allowed = fit.deviance + stats.chi2.ppf(check_conf_level(conf_level), 1)

    def search() -> _Profile:
        return _Profile(problem, criterion, entry, list(fit.Lambda), fit.gamma, fit.u)

    lowest = (fit.deviance, estimate)

    def excess(size: float, profile: _Profile) -> float:
        nonlocal lowest
        value = profile.deviance(size)
        if value < fit.deviance - LOWER:
            if criterion is not laplace or size < estimate:
                raise NotIdentifiedError(
                    f"The profile found a deviance {fit.deviance - value:.1e} under that of the "
                    "fit; do not use the fit."
                )
            lowest = min(lowest, (value, size))
        return float(value - allowed)

    down, up = search(), search()
    low = 0.0
    if estimate > 0.0 and excess(0.0, down) > 0.0:
        down = search()
        low = float(optimize.brentq(excess, 0.0, estimate, args=(down,), xtol=LIMIT))
    above = max(1.5 * estimate, estimate + 0.2)
    high = np.inf
    while excess(above, up) < 0.0:
        above *= 1.5
        if above > LARGEST:
            break
    else:
        high = float(optimize.brentq(excess, estimate, above, args=(up,), xtol=LIMIT))
    if lowest[1] > estimate:
        warnings.warn(_second_minimum(estimate, fit.deviance, lowest), AllianceStatsWarning, 2)
    return low, high


def _second_minimum(estimate: float, deviance: float, lowest: tuple[float, float]) -> str:
    value, size = lowest
    return (
        f"The Laplace deviance at an SD of {size:.1f} is {deviance - value:.2f} below that of the "
        f"fit (SD {estimate:.2f}): few units with extreme outcomes are more than the approximation "
        "can tell apart. The interval holds both; fit again with nodes=15 before you use the SD."
    )
