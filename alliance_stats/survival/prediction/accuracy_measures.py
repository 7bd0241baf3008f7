"""How close predicted probabilities are to outcomes, with censoring. Arrays only.

Those censored before the horizon t are represented by those who were not: rows whose ending by
t is known count ``1 / G``, with G the probability of not being censored before it (Graf et al.
1999, doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5). Endings come
before censorings of the same time, so that of the n(s) at risk at s those who end then cannot be
censored then. A case has had the ending of interest by t; all others known are controls, including
those with another ending (Blanche, Dartigues & Jacqmin-Gadda 2013, doi:10.1002/sim.5958).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alliance_stats.estimates import Array
from alliance_stats.survival.rows.time_at_risk import IntArray

__all__ = ["Predicted", "jackknife_error", "measures"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What was predicted for one horizon, and what happened; arrays of length n.

    Attributes
    ----------
    risk, null
        The predicted probability of the ending of interest by the horizon, and the probability
        predicted from the others' endings alone.
    time, state
        When each ended, and how: 0 censored, 1 the ending of interest, 2 another.
    horizon
        The time by which endings are predicted.
    group
        Rows with the same censoring distribution (landmarks); zeros if all share one.
    """

    risk: Array
    null: Array
    time: Array
    state: IntArray
    horizon: float
    group: IntArray

    def where(self, kept: Mask) -> "Predicted":
        """Return some of the rows."""
        return Predicted(
            self.risk[kept], self.null[kept], self.time[kept], self.state[kept], self.horizon,
            self.group[kept],
        )  # fmt: skip

    @property
    def case(self) -> Mask:
        """Rows with the ending of interest by the horizon."""
        return np.asarray((self.state == 1) & (self.time <= self.horizon))

    @property
    def weight(self) -> Array:
        """Weight of each row; 0 where its ending by the horizon is not known."""
        found = np.zeros(len(self.time))
        for group in np.unique(self.group):
            own = self.group == group
            found[own] = known_weights(self.time[own], self.state[own], self.horizon)
        return found


def known_weights(time: Array, state: IntArray, horizon: float) -> Array:
    """Return 1 / G(T-) for endings by the horizon, 1 / G(horizon) for rows seen beyond it."""
    times, place = np.unique(time, return_inverse=True)
    n_ended = np.bincount(place, weights=state > 0, minlength=len(times))
    n_censored = np.bincount(place, weights=state == 0, minlength=len(times))
    leaving = n_ended + n_censored
    at_risk = np.cumsum(leaving[::-1])[::-1] - n_ended
    share = np.divide(n_censored, at_risk, out=np.zeros(len(times)), where=at_risk > 0)
    after = np.cumprod(1.0 - share)
    before = np.concatenate(([1.0], after[:-1]))
    beyond = np.concatenate(([1.0], after))[np.searchsorted(times, horizon, side="right")]
    chance = np.where(time > horizon, beyond, before[place])
    known = (time > horizon) | (state > 0)
    return np.divide(1.0, chance, out=np.zeros(len(time)), where=known & (chance > 0.0))


def measures(predicted: Predicted) -> dict[str, float]:
    """Return the accuracy of the predictions for one horizon.

    ``auc``: the share of case-control pairs in which the case had the higher probability,
    ties half. ``brier``: the mean squared difference between probability and ending; ``brier_null``
    that of `null`; ``scaled_brier`` one minus their ratio. ``observed``, ``predicted`` and their
    ratio ``observed_to_predicted``: calibration in the large.
    """
    weight, case = predicted.weight, predicted.case
    n = len(weight)
    brier, null = (
        float(weight @ (case - chance) ** 2) / n for chance in (predicted.risk, predicted.null)
    )
    observed, mean = float(weight @ case) / n, float(predicted.risk.mean())
    return {
        "auc": _area(predicted.risk, weight, case),
        "brier": brier,
        "brier_null": null,
        "scaled_brier": 1.0 - brier / null if null > 0.0 else np.nan,
        "observed": observed,
        "predicted": mean,
        "observed_to_predicted": observed / mean if mean > 0.0 else np.nan,
    }


def _area(risk: Array, weight: Array, case: Mask) -> float:
    """Return the weighted share of concordant pairs; NaN without cases or controls."""
    levels, place = np.unique(risk, return_inverse=True)
    cases = np.bincount(place, weights=weight * case, minlength=len(levels))
    controls = np.bincount(place, weights=weight * ~case, minlength=len(levels))
    pairs = cases.sum() * controls.sum()
    if pairs == 0.0:
        return float("nan")
    below = np.cumsum(controls) - controls
    return float(cases @ (below + controls / 2.0) / pairs)


def jackknife_error(predicted: Predicted, cluster: IntArray) -> dict[str, float]:
    """Return each measure's standard error by leaving out one cluster at a time.

    The probabilities stay fixed; the censoring weights are recomputed.
    """
    numbers = np.unique(cluster)
    found = [measures(predicted.where(cluster != number)) for number in numbers]
    n = len(numbers)
    return {
        name: float(np.sqrt((n - 1.0) / n * ((own - own.mean()) ** 2).sum()))
        for name in found[0]
        for own in [np.array([each[name] for each in found])]
    }
