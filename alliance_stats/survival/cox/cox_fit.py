"""Newton's method for the partial likelihood, and what it refuses to call an estimate."""

from dataclasses import dataclass

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.survival.cox.cox_design import CoxDesign
from alliance_stats.survival.cox.monotone_likelihood import Watch, named_combination
from alliance_stats.survival.cox.partial_likelihood import (
    RiskSets,
    RiskWeights,
    derivatives,
    log_likelihood,
    risk_weights,
    score_sums,
)
from alliance_stats.survival.rows.time_at_risk import IntArray, Intervals

__all__ = [
    "Convergence",
    "CoxFit",
    "cluster_covariance",
    "fit_cox",
    "is_definite",
    "refuse_flat",
    "refuse_indefinite",
    "refuse_without_events",
]

# The Newton decrement is twice the log-likelihood still to be gained: below this, one more step
# leaves the estimates within 1e-6 squared of a standard error.
_CONVERGED = 1e-12
_MAX_STEPS = 60
_MAX_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Convergence:
    """How an iterative fit ended: Newton steps, and the largest slope left (per covariate SD)."""

    steps: int
    gradient: float
    converged: bool


@dataclass(frozen=True, slots=True, eq=False)
class CoxFit:
    """The maximum of the partial likelihood, for covariates at SD 1.

    Attributes
    ----------
    beta
        (p,) coefficients of the standardised covariates.
    information
        (p, p) minus second derivative there.
    at
        The evaluation there.
    log_lik_null
        The log partial likelihood at beta = 0.
    convergence
        How Newton's method ended.
    """

    beta: Array
    information: Array
    at: RiskWeights
    log_lik_null: float
    convergence: Convergence


def fit_cox(X: Array, sets: RiskSets, terms: tuple[str, ...]) -> CoxFit:
    """Maximise the partial likelihood over (p, r) standardised covariates.

    Raises
    ------
    NotIdentifiedError
        If the likelihood rises for ever in some direction (separation).
    """
    beta = np.zeros(len(X))
    at = risk_weights(beta @ X, sets)
    log_lik_null = at.log_lik
    at_zero, curvature = derivatives(X, at, sets)
    refuse_flat(curvature, terms)
    score, steps, converged = at_zero, 0, False
    watch = Watch(X, sets.spans, at_zero, terms)
    while not converged and steps < _MAX_STEPS and is_definite(curvature):
        steps += 1
        step: Array = np.asarray(np.linalg.solve(curvature, score), dtype=np.float64)
        converged = bool(score @ step < _CONVERGED)
        beta, at = _climb(X, sets, beta, step, at)
        watch.at(beta)
        score, curvature = derivatives(X, at, sets)
    converged = converged and is_definite(curvature)
    watch.at(beta, end=True, converged=converged)
    refuse_indefinite(curvature, terms)
    gradient = float(np.abs(score).max())
    return CoxFit(beta, curvature, at, log_lik_null, Convergence(steps, gradient, converged))


def is_definite(curvature: Array) -> bool:
    """Tell whether an information matrix is positive definite beyond rounding."""
    size = np.linalg.eigvalsh(curvature)
    return bool(size[0] > np.finfo(np.float64).eps * len(size) * max(size[-1], 1.0))


def refuse_indefinite(curvature: Array, terms: tuple[str, ...]) -> None:
    """Refuse a likelihood that is flat up to rounding where its maximum should be."""
    if not is_definite(curvature):
        raise NotIdentifiedError(
            f"{named_combination(np.linalg.eigh(curvature)[1][:, 0], terms)} all but separates "
            "those who had the event from those at risk who had not: the likelihood is too flat "
            "for its maximum to be found. Merge groups, or leave out the covariate."
        )


def _climb(
    X: Array, sets: RiskSets, beta: Array, step: Array, at: RiskWeights
) -> tuple[Array, RiskWeights]:
    """Take the step, halved until the likelihood does not fall (beyond rounding)."""
    slack = 1e-12 * abs(at.log_lik)
    for _ in range(_MAX_HALVINGS):
        eta = (beta + step) @ X
        # an overflowing step has log-likelihood -inf here, where risk_weights would warn
        if eta.max(initial=0.0) < 500.0 or log_likelihood(eta, sets) > -np.inf:
            new = risk_weights(eta, sets)
            if new.log_lik >= at.log_lik - slack:
                return beta + step, new
        step = step / 2.0
    return beta, at


def refuse_flat(curvature: Array, terms: tuple[str, ...]) -> None:
    """Refuse covariates that never vary within a risk set at which there was an event."""
    size = np.linalg.eigvalsh(curvature)
    if size[0] <= 1e-10 * max(size[-1], 1.0):
        direction = np.linalg.eigh(curvature)[1][:, 0]
        raise NotIdentifiedError(
            f"{named_combination(direction, terms)} did not vary among those at risk whenever "
            "someone had the event: no hazard ratio can be estimated. Leave out the covariate, or "
            "widen the strata."
        )


def refuse_without_events(design: CoxDesign, intervals: Intervals) -> None:
    """Refuse a model without events, and a group in which nobody had the event."""
    dead = intervals.event > 0
    if not dead.any():
        raise NotIdentifiedError(
            f"None of {plural(len(dead), 'row')} has the event: a hazard model needs events. A "
            "curve without any is fine (kaplan_meier)."
        )
    for name, values in zip(design.terms, design.X, strict=True):
        # two values at most: a group's indicator. Within strata they are shifted.
        if len(intervals.strata) > 1:
            break
        low, high = values.min(), values.max()
        if not ((values == low) | (values == high)).all():
            continue
        for value, side in ((high, "1"), (low, "0")):
            if not (values[dead] == value).any():
                raise NotIdentifiedError(
                    f"None of {plural(int((values == value).sum()), 'row')} where '{name}' is at "
                    f"its {'higher' if side == '1' else 'lower'} value has the event, of "
                    f"{plural(int(dead.sum()), 'event')} in all: its hazard ratio is without bound."
                    " Merge the group with another, or leave it out."
                )


def cluster_covariance(
    X: Array, fit: CoxFit, sets: RiskSets, cluster: IntArray, n_clusters: int
) -> Array:
    """Return the robust covariance (p, p) from score residuals summed over clusters.

    ``I^-1 (sum over clusters of u_c u_c') I^-1`` (Lin & Wei 1989,
    doi:10.1080/01621459.1989.10478874), with no small-sample factor.
    """
    summed = score_sums(X, fit.at, sets, cluster[sets.order], n_clusters)
    influence = np.linalg.solve(fit.information, summed)
    return np.asarray(influence @ influence.T)
