"""Newton's method for the partial likelihood, with a check that a maximum exists.

A partial likelihood has no maximum where some combination ``d`` of the covariates is, at every
event, at least as high in whoever has it as in all who are at risk, and somewhere higher (Bryson &
Johnson 1981, doi:10.1080/00401706.1981.10487683; Jacobsen 1989): along d the likelihood rises for
ever, whatever an iteration that stops on the way reports. Such a d is sought by a linear programme

    maximise score(0) d    subject to    (x_i - x_j) d >= 0  for every event i and j at risk,

with only those constraints added that the solution so far breaks: the riskiest row of
each risk set. A penalty on frailties changes nothing here, because it bounds them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import optimize

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import plural
from alliance_stats.survival.cox.cluster_errors import ClusterErrors, bias_reduced
from alliance_stats.survival.cox.cox_design import CoxDesign
from alliance_stats.survival.cox.partial_likelihood import (
    PartialLikelihood,
    cluster_information,
    score_sums,
)
from alliance_stats.survival.cox.risk_sets import RiskSets
from alliance_stats.survival.rows.time_at_risk import Intervals

__all__ = [
    "Ascent",
    "Convergence",
    "CoxFit",
    "Watch",
    "ascend",
    "climb",
    "cluster_errors",
    "fit_cox",
    "refuse_flat",
    "refuse_indefinite",
    "refuse_without_events",
    "rising_direction",
]

# Log hazard ratio between two rows from which an estimate may be one on its way to infinity. Where
# the likelihood rises for ever, Newton's decrement falls below 1e-12 only when the ratio of every
# rising pair lies above 1e12 over the number of rows: e^10 holds for ten million of them.
_WIDE = 10.0
_FAR = 50.0  # the same, while the iteration is still on its way
# Covariates are at SD 1 and |d| at most 1: differences below this are rounding.
_EQUAL = 1e-9
# The programme's own tolerance, the narrowest that its solver takes, and a gain that exceeds it.
_FEASIBLE = 1e-10
_GAIN = 1e-7
# Constraints added a round, the most violated first, and rounds.
_ADDED = 500
_ROUNDS = 500


class Watch:
    """Looks at a likelihood's rise where an iteration goes far, and at its end where it went wide.

    Parameters
    ----------
    X, score
        As in :func:`rising_direction`.
    spans
        Gives `at_risk` and `events` of :func:`rising_direction`, which few fits need.
    terms
        (p,) names of the covariates.
    """

    def __init__(
        self,
        X: Array,
        spans: Callable[[], tuple[tuple[Integers, Integers], tuple[Integers, Integers]]],
        score: Array,
        terms: tuple[str, ...],
    ) -> None:
        self._X, self._spans, self._score, self._terms = X, spans, score, terms
        self._looked = False

    def at(self, beta: Array, *, end: bool = False, converged: bool = True) -> None:
        """Refuse a likelihood that rises for ever, if `beta` gives a reason to look."""
        if self._looked:
            return
        width = np.ptp(beta @ self._X)
        if width > _FAR or (end and (width > _WIDE or not converged)):
            self._looked = True
            direction = rising_direction(self._X, *self._spans(), self._score)
            if direction is not None:
                raise NotIdentifiedError(
                    f"{_named_combination(direction, self._terms)} separates those who had the "
                    "event from those at risk who had not: the likelihood rises for ever and the "
                    "hazard ratio is without bound. Merge groups, or leave out the covariate."
                )


def rising_direction(
    X: Array, at_risk: tuple[Integers, Integers], events: tuple[Integers, Integers], score: Array
) -> Array | None:
    """Return a direction (p,) along which the partial likelihood rises for ever, or None.

    Parameters
    ----------
    X
        (p, n) covariates at SD 1.
    at_risk
        (n,) and (n,): each row is at risk at the event times ``first <= k < last``.
    events
        (e,) and (e,): rows that have an event, and the number of its time.
    score
        (p,) slope of the log partial likelihood at 0: positive along any such direction.
    """
    dead, dead_at = events
    size = float(np.abs(score).max())
    if size == 0.0:
        return None
    constraints = np.empty((0, len(X)))
    for _ in range(_ROUNDS):
        direction = _steepest(score / size, constraints)
        if score @ direction <= _GAIN * size:
            return None
        value = direction @ X
        riskiest = _riskiest(value, *at_risk)[dead_at]
        excess = value[riskiest] - value[dead]
        broken = np.flatnonzero(excess > _EQUAL)
        if not len(broken):
            return direction
        broken = broken[np.argsort(-excess[broken], kind="stable")[:_ADDED]]
        rows = (X[:, dead[broken]] - X[:, riskiest[broken]]).T
        rows /= np.abs(rows).max(axis=1, keepdims=True)
        known = len(constraints)
        constraints = np.unique(np.vstack([constraints, rows]), axis=0)
        if len(constraints) == known:  # what is broken still is within the solver's tolerance
            return direction
    return None


def _steepest(slope: Array, constraints: Array) -> Array:
    """Maximise ``slope d`` over ``constraints d >= 0`` and ``|d| <= 1``."""
    if not len(constraints):
        return np.asarray(np.sign(slope))
    found = optimize.linprog(
        -slope,
        A_ub=-constraints,
        b_ub=np.zeros(len(constraints)),
        bounds=(-1.0, 1.0),
        method="highs",
        options={
            "primal_feasibility_tolerance": _FEASIBLE,
            "dual_feasibility_tolerance": _FEASIBLE,
        },
    )
    return np.asarray(found.x if found.x is not None else np.zeros(len(slope)))


def _riskiest(value: Array, first: Integers, last: Integers) -> Integers:
    """Return, for each event time, the row at risk then with the largest value.

    Each row's span of times is covered by two blocks whose length is a power of 2; the largest
    value of each block is then handed down to its halves.
    """
    order = np.argsort(value, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    present = last > first
    rank, first, last = rank[present], first[present], last[present]
    level = np.frexp((last - first).astype(np.float64))[1].astype(np.int64) - 1
    best = np.full((int(level.max()) + 1, int(last.max())), -1, dtype=np.int64)
    np.maximum.at(best, (level, first), rank)
    np.maximum.at(best, (level, last - (1 << level)), rank)
    for k in range(len(best) - 1, 0, -1):
        half = 1 << (k - 1)
        np.maximum(best[k - 1], best[k], out=best[k - 1])
        np.maximum(best[k - 1][half:], best[k][:-half], out=best[k - 1][half:])
    return np.asarray(order[best[0]])


def _named_combination(direction: Array, terms: tuple[str, ...]) -> str:
    """Name the covariates that a direction moves."""
    size = np.abs(direction)
    names = [f"'{terms[k]}'" for k in np.flatnonzero(size > 0.05 * size.max())]
    if len(names) == 1:
        return f"Covariate {names[0]}"
    return f"A combination of the covariates {', '.join(names)}"


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
    at: Any
    log_lik_null: float
    convergence: Convergence


class Climbable(Protocol):
    """A concave log-likelihood of (p,) coefficients that Newton's method can climb."""

    def at(self, beta: Array) -> Any:
        """Return an evaluation, whose ``log_lik`` is -inf where it overflows."""
        ...

    def derivatives(self, at: Any) -> tuple[Array, Array]:
        """Return the score (p,) and the information (p, p) there."""
        ...


class Likelihood(Climbable, Protocol):
    """A log-likelihood of times to an ending that can be checked for an endless rise."""

    @property
    def X(self) -> Array:
        """Covariates (p, n), at SD 1."""
        ...

    def spans(self) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
        """Return when each row was at risk, and who ended when; see :func:`rising_direction`."""
        ...


def climb(likelihood: Likelihood, terms: tuple[str, ...], *, done: float = _CONVERGED) -> CoxFit:
    """Maximise a likelihood over standardised covariates.

    Parameters
    ----------
    likelihood, terms
        What is maximised, and the covariates' names.
    done
        Newton decrement at which the maximum is reached.

    Raises
    ------
    NotIdentifiedError
        If the likelihood rises for ever in some direction (separation).
    """
    X = likelihood.X
    at = likelihood.at(np.zeros(len(X)))
    score, curvature = likelihood.derivatives(at)
    refuse_flat(curvature, terms)
    watch = Watch(X, likelihood.spans, score, terms)
    found = ascend(likelihood, np.zeros(len(X)), done=done, look=watch.at)
    watch.at(found.beta, end=True, converged=found.converged)
    refuse_indefinite(found.curvature, terms)
    convergence = Convergence(found.steps, float(np.abs(found.score).max()), found.converged)
    return CoxFit(found.beta, found.curvature, found.at, at.log_lik, convergence)


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """Where Newton's method ended: coefficients, evaluation, score, information, steps taken."""

    beta: Array
    at: Any
    score: Array
    curvature: Array
    steps: int
    converged: bool


def ascend(
    likelihood: Climbable, beta: Array, *, done: float, look: Callable[[Array], None] | None = None
) -> Ascent:
    """Climb a concave likelihood by Newton's method with halved steps.

    Parameters
    ----------
    likelihood, beta
        What is maximised, and from where.
    done
        Newton decrement at which the maximum is reached.
    look
        Is shown the coefficients after each step.
    """
    at = likelihood.at(beta)
    score, curvature = likelihood.derivatives(at)
    steps, converged = 0, False
    while not converged and steps < _MAX_STEPS and _is_definite(curvature):
        steps += 1
        step: Array = np.asarray(np.linalg.solve(curvature, score), dtype=np.float64)
        converged = bool(score @ step < done)
        slack = 1e-12 * abs(at.log_lik)
        for _ in range(_MAX_HALVINGS):  # until the likelihood does not fall (beyond rounding)
            new = likelihood.at(beta + step)
            if new.log_lik >= at.log_lik - slack:
                beta, at = beta + step, new
                break
            step = step / 2.0
        if look is not None:
            look(beta)
        score, curvature = likelihood.derivatives(at)
    return Ascent(beta, at, score, curvature, steps, converged and _is_definite(curvature))


def fit_cox(X: Array, sets: RiskSets, terms: tuple[str, ...]) -> CoxFit:
    """Maximise the partial likelihood over (p, r) standardised covariates; see :func:`climb`.

    Case weights are climbed at mean 1, so that their size does not say when the maximum is reached.
    """
    whole = PartialLikelihood(X, sets)
    if sets.case_weight is None:
        return climb(whole, terms)
    size = sets.case_weight.mean()
    even = replace(sets, case_weight=sets.case_weight / size, step_weight=sets.step_weight / size)
    found = climb(PartialLikelihood(X, even), terms)
    at, null = whole.at(found.beta), whole.at(np.zeros(len(X)))
    return replace(found, at=at, information=whole.derivatives(at)[1], log_lik_null=null.log_lik)


def _is_definite(curvature: Array) -> bool:
    """Tell whether an information matrix is positive definite beyond rounding."""
    size = np.linalg.eigvalsh(curvature)
    return bool(size[0] > np.finfo(np.float64).eps * len(size) * max(size[-1], 1.0))


def refuse_indefinite(curvature: Array, terms: tuple[str, ...]) -> None:
    """Refuse a likelihood that is flat up to rounding where its maximum should be."""
    if not _is_definite(curvature):
        raise NotIdentifiedError(
            f"{_named_combination(np.linalg.eigh(curvature)[1][:, 0], terms)} all but separates "
            "those who had the event from those at risk who had not: the likelihood is too flat "
            "for its maximum to be found. Merge groups, or leave out the covariate."
        )


def refuse_flat(curvature: Array, terms: tuple[str, ...]) -> None:
    """Refuse covariates that never vary within a risk set at which there was an event."""
    size = np.linalg.eigvalsh(curvature)
    if size[0] <= 1e-10 * max(size[-1], 1.0):
        direction = np.linalg.eigh(curvature)[1][:, 0]
        raise NotIdentifiedError(
            f"{_named_combination(direction, terms)} did not vary among those at risk whenever "
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
                    " Merge the group with another, leave it out, or ask for firth_cox, whose "
                    "penalised estimate is finite."
                )


def cluster_errors(
    X: Array, fit: CoxFit, sets: RiskSets, cluster: Integers, n_clusters: int, *, vcov: str
) -> ClusterErrors:
    """Return the covariance over clusters of the coefficients, robust or bias-reduced."""
    own = cluster[sets.order]
    scores = score_sums(X, fit.at, sets, own, n_clusters)
    if vcov == "robust":
        influence = np.linalg.solve(fit.information, scores)
        covariance = np.asarray(influence @ influence.T)
        return ClusterErrors(covariance, np.full(len(X), np.inf), n_clusters, cluster, None)
    informations = cluster_information(X, fit.at, sets, own, n_clusters)
    reduced = bias_reduced(scores, informations, fit.information)
    return ClusterErrors(reduced.vcov, reduced.df(np.eye(len(X))), n_clusters, cluster, reduced)
