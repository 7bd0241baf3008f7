"""Survival and incidence over whole courses, for units that keep their effects."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from alliance_stats.engine.families import Family
from alliance_stats.estimates import Array
from alliance_stats.survival.by_session.ending_likelihood import rule_of

__all__ = ["Curve", "Incidence", "incidence", "population_curve"]

# Points of the trapezoidal rule over +-9 SDs: its error for these smooth integrands is below 1e-9
# for SDs up to 6 on the link's scale (Trefethen & Weideman 2014, doi:10.1137/130932132).
_POINTS = 241
_REACH = 9.0
# Points a dimension of the integral over groups, for one, two, three and more endings: the error of
# these smooth integrands is then below 1e-7 for SDs up to 1.5.
_POINTS_OF = (61, 31, 21, 13)


@dataclass(frozen=True, slots=True, eq=False)
class Incidence:
    """Hazards and incidences over a course.

    Attributes
    ----------
    hazard, incidence
        (sessions, endings) hazards of those still there, and cumulative incidences.
    survival
        (sessions,) share still there.
    slope
        (sessions, endings, modelled sessions, endings) derivative of the incidence at t of ending k
        in the log odds at s of ending j.
    """

    hazard: Array
    incidence: Array
    survival: Array
    slope: Array


def incidence(
    eta: Array, certain: Array, modelled: npt.NDArray[np.bool_], covariance: Array
) -> Incidence:
    """Integrate whole courses over the effects that a group keeps throughout.

    ``F_k(t) = E sum_{s <= t} S(s - 1) h_k(s)`` and ``h_k(t)`` that of those still there. With
    ``dh_k / d eta_j = h_k ((j = k) - h_j)`` and ``d log(1 - sum h) / d eta_j = -h_j``,

        dF_k(t) / d eta_j(s) = E S(s - 1) h_k(s) ((j = k) - h_j(s))
                               - sum_{s < u <= t} E h_j(s) S(u - 1) h_k(u)      for s <= t.

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
    rule = rule_of(_POINTS_OF[max(min(q, len(_POINTS_OF)), 1) - 1], q)
    b = rule.x @ (vectors[:, own] * np.sqrt(values[own])).T
    weight = np.exp(rule.log_weight - (rule.x**2).sum(axis=1) / 2.0)
    hazard = np.broadcast_to(certain[:, None, :], (len(certain), *b.shape)).copy()
    shifted = eta[:, None, :] + b
    top = np.maximum(shifted.max(axis=2, keepdims=True, initial=0.0), 0.0)
    odds = np.exp(shifted - top)
    hazard[modelled] = odds / (np.exp(-top) + odds.sum(axis=2, keepdims=True))
    survival = np.cumprod(1.0 - hazard.sum(axis=2), axis=0)
    before = np.vstack((np.ones(len(b)), survival[:-1]))
    ends = before[:, :, None] * hazard  # (sessions, points, endings)
    left = np.einsum("q,tqk->tk", weight, ends)
    there = before @ weight
    there = np.where(there > 0.0, there, np.nan)
    return Incidence(
        left / there[:, None],
        np.cumsum(left, axis=0),
        survival @ weight,
        _slopes(weight, hazard[modelled], ends, np.flatnonzero(modelled)),
    )


def _slopes(weight: Array, hazard: Array, ends: Array, at: npt.NDArray[np.int64]) -> Array:
    """Differentiate the incidences; see :func:`incidence`."""
    T, _, K = ends.shape
    slope = np.zeros((T, K, len(at), K))
    for s, session in enumerate(at):
        own = np.einsum("q,qk,qj->kj", weight, ends[session], hazard[s])
        first = np.diag(weight @ ends[session]) - own
        later = np.einsum("q,uqk,qj->ukj", weight, ends[session + 1 :], hazard[s])
        lost = np.concatenate((np.zeros((1, K, K)), np.cumsum(later, axis=0)))
        slope[session:, :, s, :] = first - lost
    return slope


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Hazard and survival of one course, with their slopes in the linear predictors.

    Attributes
    ----------
    hazard, survival
        (k,) probability of ending in the interval, if still there, and of being there after it.
    hazard_slope, survival_slope
        (k, k) derivatives: row t in the linear predictor of interval s.
    """

    hazard: Array
    survival: Array
    hazard_slope: Array
    survival_slope: Array


def population_curve(family: Family, eta: Array, sd: float) -> Curve:
    """Integrate each unit's whole curve over a normal effect that it keeps throughout.

    ``S(t) = E prod_{s <= t} (1 - h_s(b))`` and ``h(t) = 1 - S(t) / S(t-1)``: those still there
    have low hazards, so that a population's hazard falls away from that of its typical unit.

    Parameters
    ----------
    family
        Binomial, with its link.
    eta
        (k,) linear predictors, -inf where the hazard is 0 and +inf where it is 1.
    sd
        SD of the effect; 0 for the typical unit.
    """
    points, weights = np.zeros(1), np.ones(1)
    if sd > 0:
        points = np.linspace(-_REACH, _REACH, _POINTS) * sd
        weights = stats.norm.pdf(points / sd)
        weights /= weights.sum()
    finite = np.isfinite(eta)
    shifted = np.where(finite, eta, 0.0)[:, None] + points
    hazard = np.where(finite[:, None], family.mean(shifted), (eta == np.inf)[:, None])
    slope = np.where(finite[:, None], family.mean_slope(shifted), 0.0)
    survival = np.cumprod(1.0 - hazard, axis=0)
    each = np.divide(slope, 1.0 - hazard, out=np.zeros_like(slope), where=hazard < 1.0)
    S = survival @ weights
    k = len(eta)
    S_slope = -np.einsum("q,tq,sq->ts", weights, survival, each) * np.tri(k)
    before = np.concatenate([[1.0], S[:-1]])
    before_slope = np.vstack([np.zeros(k), S_slope[:-1]])
    there = before > 0
    ratio = np.divide(S, before, out=np.full(k, np.nan), where=there)
    divisor = np.where(there, before, np.nan)[:, None]
    h_slope = -(S_slope - ratio[:, None] * before_slope) / divisor
    return Curve(1.0 - ratio, S, h_slope, S_slope)
