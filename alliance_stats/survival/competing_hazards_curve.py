"""From the log odds of endings by session to hazards and cumulative incidences."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alliance_stats.estimates import Array
from alliance_stats.survival.multinomial_effects import rule_of

__all__ = ["Incidence", "incidence"]

# Points a dimension of the integral over groups, for one, two, three and more endings: the error of
# these smooth integrands is then below 1e-7 for SDs up to 1.5.
_POINTS = (61, 31, 21, 13)


@dataclass(frozen=True, slots=True, eq=False)
class Incidence:
    """(sessions, endings) hazards and cumulative incidences, (sessions,) share still there."""

    hazard: Array
    incidence: Array
    survival: Array


def incidence(
    eta: Array, certain: Array, modelled: npt.NDArray[np.bool_], covariance: Array
) -> Incidence:
    """Integrate whole courses over the effects that a group keeps throughout.

    ``F_k(t) = E sum_{s <= t} S(s - 1) h_k(s)`` and ``h_k(t)`` that of those still there.

    Parameters
    ----------
    eta
        (modelled sessions, endings) log odds against no ending, -inf where it cannot come.
    certain
        (sessions, endings) hazards to take where the model has none.
    modelled
        (sessions,) where it has.
    covariance
        (endings, endings) of the effects; zeros for the typical group.
    """
    values, vectors = np.linalg.eigh(covariance)
    own = values > 1e-14
    q = int(own.sum())
    rule = rule_of(_POINTS[max(min(q, len(_POINTS)), 1) - 1], q)
    b = rule.x @ (vectors[:, own] * np.sqrt(values[own])).T
    weight = np.exp(rule.log_weight - (rule.x**2).sum(axis=1) / 2.0)
    there = np.ones(len(b))
    found = Incidence(np.empty_like(certain), np.empty_like(certain), np.empty(len(certain)))
    total, own_row = np.zeros(certain.shape[1]), 0
    for t, (fixed, in_model) in enumerate(zip(certain, modelled, strict=True)):
        hazard = np.broadcast_to(fixed, b.shape)
        if in_model:
            shifted = eta[own_row] + b
            top = np.maximum(shifted.max(axis=1, keepdims=True), 0.0)
            odds = np.exp(shifted - top)
            hazard = odds / (np.exp(-top) + odds.sum(axis=1, keepdims=True))
            own_row += 1
        left = (weight * there) @ hazard
        found.hazard[t] = left / (weight @ there) if weight @ there > 0 else np.nan
        total = total + left
        there = there * (1.0 - hazard.sum(axis=1))
        found.incidence[t], found.survival[t] = total, weight @ there
    return found
