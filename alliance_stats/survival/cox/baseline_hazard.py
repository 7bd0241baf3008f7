"""The baseline hazard of a Cox model, the sources of its error, and the survival that follows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.estimates import Array
from alliance_stats.survival.cox.cox_design import CoxDesign, new_covariates, new_offset, new_strata
from alliance_stats.survival.cox.cox_fit import CoxFit
from alliance_stats.survival.cox.partial_likelihood import RiskWeights, covariate_sums
from alliance_stats.survival.cox.risk_sets import RiskSets
from alliance_stats.survival.curves.life_table import probability_rows
from alliance_stats.survival.rows.time_at_risk import Intervals, same_times

__all__ = ["Baseline", "baseline_at", "baseline_rows", "survival_rows"]


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


def survival_rows(
    newdata: pd.DataFrame,
    times: Sequence[float] | None,
    model: tuple[CoxDesign, Intervals, RiskSets, CoxFit],
    covariance: Array,
    *,
    conf_level: float,
    conf_type: str,
) -> pd.DataFrame:
    """Return the survival of rows whose covariates stay as they are; see ``CoxModel.survival``.

    `covariance` (p, p) is that of the coefficients of standardised covariates.
    """
    design, intervals, sets, fit = model
    covariates, offset = new_covariates(design, newdata), new_offset(design, newdata)
    X = design.X.take(sets.order, axis=1)
    frames = []
    for row, number in enumerate(new_strata(intervals, newdata)):
        seen = intervals.exit[intervals.stratum == number]
        own = sets.time[sets.bounds[number] : sets.bounds[number + 1]]
        at = same_times(own if times is None else np.asarray(times, dtype=np.float64), seen)
        z = (covariates[row] - design.centre[number]) / design.scale
        base = baseline_at(X, sets, fit.at, int(number), at)
        survival, std_error = base.survival(z, fit.beta, covariance, offset=float(offset[row]))
        survival[at > seen.max()] = std_error[at > seen.max()] = np.nan
        names = {"row": newdata.index[row], "time": at}
        frames.append(
            probability_rows(names, survival, std_error, conf_level=conf_level, conf_type=conf_type)
        )
    return pd.concat(frames, ignore_index=True)


def baseline_rows(
    sets: RiskSets, strata: Sequence[str], hazard: Array, shift: Array
) -> pd.DataFrame:
    """Return the hazard of a row of zeros at each event time; see ``CoxModel.baseline``.

    `hazard` (k,) is that of a row at its stratum's means, ``exp(shift)`` (strata,) times as high.
    """
    frames = []
    for number, label in enumerate(strata):
        at = slice(sets.bounds[number], sets.bounds[number + 1])
        own = hazard[at] * float(np.exp(-shift[number]))
        frames.append(
            pd.DataFrame(
                {
                    "strata": label,
                    "time": sets.time[at],
                    "n_event": sets.n_event[at],
                    "hazard": own,
                    "cumulative_hazard": np.cumsum(own),
                    "survival": np.exp(-np.cumsum(own)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
