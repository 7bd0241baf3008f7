"""Profile likelihood of one random-effects SD of a generalized mixed model.

The deviance is minimised over everything else at fixed values of one SD; the interval is where it
exceeds its minimum by less than a chi-squared quantile on one degree of freedom (Venzon &
Moolgavkar 1988, doi:10.2307/2347496). With few units this is a better interval than one from the
curvature, and it exists where the SD is estimated as zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from alliance_stats.checks import check_conf_level
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.glmm_fit import Criterion, GeneralizedFit, coordinates_at
from alliance_stats.multilevel.laplace import GeneralizedProblem
from alliance_stats.multilevel.starting import joint_mode

__all__ = ["profile_limits"]

# Limits are found to this many relative SDs.
LIMIT = 1e-6
# Other SDs start from at least this: from exactly zero no search can leave.
AWAY_FROM_ZERO = 0.1
# Beyond this relative SD there is no upper limit to speak of.
LARGEST = 20.0
# By how much a profile may dip under the minimum before the fit was not the minimum.
LOWER = 1e-5


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

        def objective(x: Array) -> tuple[float, Array]:
            full = np.zeros(len(free))
            full[free] = x
            Lambda, gamma = coordinates.split(full)
            slopes = self.criterion(self.problem, Lambda, gamma, self.u)
            self.u = slopes.mode.u
            return slopes.deviance, coordinates.gradient(Lambda, slopes)[free]

        found = optimize.minimize(
            objective,
            np.zeros(int(free.sum())),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-13, "gtol": 1e-5, "maxiter": 200},
        )
        full = np.zeros(len(free))
        full[free] = found.x
        self.Lambda, self.gamma = coordinates.split(full)
        return float(found.fun)


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

    def excess(size: float, profile: _Profile) -> float:
        value = profile.deviance(size)
        if value < fit.deviance - LOWER:
            raise NotIdentifiedError(
                f"The profile found a deviance {fit.deviance - value:.1e} under that of the fit; "
                "do not use the fit."
            )
        return float(value - allowed)

    down, up = search(), search()
    low = 0.0
    if estimate > 0.0 and excess(0.0, down) > 0.0:
        down = search()
        low = float(optimize.brentq(excess, 0.0, estimate, args=(down,), xtol=LIMIT))
    above = max(1.5 * estimate, estimate + 0.2)
    while excess(above, up) < 0.0:
        above *= 1.5
        if above > LARGEST:
            return low, np.inf
    high = float(optimize.brentq(excess, estimate, above, args=(up,), xtol=LIMIT))
    return low, high
