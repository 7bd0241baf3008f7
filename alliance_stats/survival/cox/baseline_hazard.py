"""The cumulative baseline hazard of a Cox model, and the sources of its error. Arrays only."""

from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.survival.cox.partial_likelihood import RiskWeights, covariate_sums
from alliance_stats.survival.cox.risk_sets import RiskSets

__all__ = ["Baseline", "baseline_at"]


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """One stratum's hazard, of a row whose standardised covariates are 0, at t times.

    Attributes
    ----------
    cumulative
        (t,) hazard up to each time.
    mean
        (t, p) minus its slope in the coefficients: the risk sets' means, summed over the hazard.
    root
        (t, k) whose products are the covariances at given coefficients (Tsiatis 1981,
        doi:10.1214/aos/1176345335).
    """

    cumulative: Array
    mean: Array
    root: Array

    def survival(
        self, z: Array, beta: Array, covariance: Array, *, offset: float = 0.0
    ) -> tuple[Array, Array]:
        """Return the survival (t,) of one standardised row, and its standard error."""
        relative = float(np.exp(z @ beta + offset))
        slope = self.cumulative[:, None] * z - self.mean
        variance = (self.root**2).sum(axis=1)
        variance = variance + np.einsum("kp,pq,kq->k", slope, covariance, slope)
        survival = np.exp(-relative * self.cumulative)
        return survival, np.asarray(survival * relative * np.sqrt(variance))


def baseline_at(
    X: Array, sets: RiskSets, weights: RiskWeights, number: int, times: Array
) -> Baseline:
    """Return the baseline hazard of stratum `number` by each of `times`."""
    at = slice(sets.bounds[number], sets.bounds[number + 1])
    risk, tied = covariate_sums(X, weights, sets)
    q1, q2 = weights.squares[0][at], weights.squares[1][at]
    mean = np.cumsum(q1[:, None] * risk[at] - q2[:, None] * tied[at], axis=0)
    place = np.searchsorted(sets.time[at], times, side="right")
    hazard = np.concatenate(([0.0], np.cumsum(weights.hazard[at])))
    until = sets.time[at] <= np.asarray(times)[:, None]
    return Baseline(hazard[place], np.vstack((np.zeros(len(X)), mean))[place], until * np.sqrt(q1))
