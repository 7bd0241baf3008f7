"""The partial likelihood with one penalised log frailty per group. Arrays in, arrays out.

The curvature is an arrow: a diagonal over groups, less a part of low rank (two columns per event
time), bordered by the covariates. It is solved by Woodbury's identity where the event times are
few (sessions), and by a dense Cholesky factor over groups where they are many.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.cox.partial_likelihood import (
    RiskWeights,
    covariate_sums,
    information,
    log_likelihood,
    risk_weights,
)
from alliance_stats.survival.cox.risk_sets import RiskSets

__all__ = [
    "Arrow",
    "FrailtyState",
    "Penalty",
    "Pull",
    "gamma_penalty",
    "maximise",
    "normal_penalty",
]


# As in cox_fit: the log-likelihood still to be gained, times two.
_CONVERGED = 1e-16
_MAX_STEPS = 100
_MAX_HALVINGS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """A penalty at some log frailties.

    Attributes
    ----------
    value, slope
        The penalty and its slope (q,).
    curvature, shared
        Its second derivative: ``diag(curvature) - shared'shared``, (q,) and (t, q); no rows of
        `shared` where groups are independent.
    """

    value: float
    slope: Array
    curvature: Array
    shared: Array


Penalty = Callable[[Array], Pull]
"""Log frailties (q,) -> the penalty there."""


def gamma_penalty(theta: float) -> Penalty:
    """Return ``sum(exp(b) - 1 - b) / theta``: frailties exp(b) gamma, mean 1, variance theta."""

    def penalty(b: Array) -> Pull:
        # b shrinks with theta: exp(b) - 1 would lose the digits that the division brings up
        excess = np.expm1(b)
        value = float((excess - b).sum()) / theta
        return Pull(value, excess / theta, (excess + 1.0) / theta, np.empty((0, len(b))))

    return penalty


def normal_penalty(theta: float) -> Penalty:
    """Return ``sum(b^2) / (2 theta)``: log frailties normal with mean 0 and variance theta."""

    def penalty(b: Array) -> Pull:
        value, curvature = float(b @ b) / (2.0 * theta), np.full(len(b), 1.0 / theta)
        return Pull(value, b / theta, curvature, np.empty((0, len(b))))

    return penalty


@dataclass(frozen=True, slots=True, eq=False)
class Arrow:
    """The penalised information, factored.

    Attributes
    ----------
    inverse_border
        (q, p) the group block's inverse times the border.
    schur
        (p, p) information on the covariates, allowing for frailties.
    trace
        Trace of the group block of the whole inverse.
    log_det_groups
        Log determinant of the group block.
    solve
        (q, ...) -> the group block's inverse times it.
    """

    inverse_border: Array
    schur: Array
    trace: float
    log_det_groups: float
    solve: Callable[[Array], Array]


@dataclass(frozen=True, slots=True, eq=False)
class FrailtyState:
    """The penalised maximum for one spread of the frailties.

    Attributes
    ----------
    beta, b
        (p,) coefficients of the standardised covariates and (q,) log frailties.
    at
        The evaluation there; ``at.log_lik`` is not penalised.
    penalty
        The penalty there.
    arrow
        The factored information there.
    n_event
        (q,) events of each group.
    expected
        (q,) events expected of each group.
    steps, gradient
        Newton steps taken, largest slope left.
    """

    beta: Array
    b: Array
    at: RiskWeights
    penalty: float
    arrow: Arrow
    n_event: Array
    expected: Array
    steps: int
    gradient: float


def maximise(
    X: Array, sets: RiskSets, penalty: Penalty, start: tuple[Array, Array]
) -> FrailtyState:
    """Maximise the penalised partial likelihood by Newton's method from `start` (beta, b)."""
    beta, b = start
    dead = np.zeros(X.shape[1])
    dead[sets.dead] = 1.0
    n_groups = len(b)
    n_event = _by_group(sets, sets.cell_sums(dead), n_groups)
    at = risk_weights(_eta(X, sets, beta, b), sets)
    pull = penalty(b)
    converged = False
    for steps in range(1, _MAX_STEPS + 1):
        expected = _by_group(sets, sets.cell_sums(at.expected), n_groups)
        arrow = _factor(X, at, sets, expected, pull)
        score_beta = X @ (dead - at.expected)
        score_b = n_event - expected - pull.slope
        gradient = float(max(np.abs(score_beta).max(), np.abs(score_b).max()))
        if converged:
            return FrailtyState(
                beta, b, at, pull.value, arrow, n_event, expected, steps - 1, gradient
            )
        step_b = arrow.solve(score_b)
        free = score_beta - arrow.inverse_border.T @ score_b
        step: Array = np.asarray(np.linalg.solve(arrow.schur, free), dtype=np.float64)
        step_b = step_b - arrow.inverse_border @ step
        converged = bool(
            score_beta @ step + score_b @ step_b < _CONVERGED * max(1.0, n_event.sum())
        )
        beta, b, at, pull = _climb(
            X, sets, penalty, place=(beta, b), step=(step, step_b), current=at.log_lik - pull.value
        )
    raise NotIdentifiedError(
        f"The frailty model did not settle in {_MAX_STEPS} Newton steps: a covariate separates "
        "those with the event, or a group's frailty runs away. Fit the model without frailty first."
    )


def _eta(X: Array, sets: RiskSets, beta: Array, b: Array) -> Array:
    return np.asarray(beta @ X + sets.to_rows(b[sets.group]))


def _climb(
    X: Array,
    sets: RiskSets,
    penalty: Penalty,
    *,
    place: tuple[Array, Array],
    step: tuple[Array, Array],
    current: float,
) -> tuple[Array, Array, RiskWeights, Pull]:
    """Take the step, halved until the penalised likelihood does not fall (beyond rounding)."""
    size = 1.0
    for _ in range(_MAX_HALVINGS):
        beta, b = place[0] + size * step[0], place[1] + size * step[1]
        eta = _eta(X, sets, beta, b)
        if eta.max() < 500.0 or log_likelihood(eta, sets) > -np.inf:
            at = risk_weights(eta, sets)
            pulled = penalty(b)
            if at.log_lik - pulled.value >= current - 1e-12 * abs(current):
                break
        size /= 2.0
    return beta, b, at, pulled


def _by_group(sets: RiskSets, cell_values: Array, n_groups: int) -> Array:
    summed = np.bincount(sets.group, weights=cell_values, minlength=n_groups)
    return summed.astype(np.float64)


def _factor(X: Array, at: RiskWeights, sets: RiskSets, expected: Array, pull: Pull) -> Arrow:
    """Factor the penalised information; see the module's docstring."""
    n_groups = len(expected)
    risk, tied = covariate_sums(X, at, sets)
    border = np.stack(
        [_by_group(sets, row, n_groups) for row in sets.weighted_cell_sums(X, at.expected)], axis=1
    )
    low, low_covariates = _low_rank(at, sets, n_groups, risk, tied)
    border -= low.T @ low_covariates
    diagonal = expected + pull.curvature
    solve, trace, log_det = _invert(diagonal, np.concatenate((low, pull.shared)))
    inverse_border = solve(border)
    schur = information(X, at, sets, sums=(risk, tied)) - border.T @ inverse_border
    trace += float(np.trace(np.linalg.solve(schur, inverse_border.T @ inverse_border)))
    return Arrow(inverse_border, schur, trace, log_det, solve)


def _low_rank(
    at: RiskWeights, sets: RiskSets, n_groups: int, risk: Array, tied: Array
) -> tuple[Array, Array]:
    """Return W (2k or k, q) and its counterpart (.., p): the information lacks W'W.

    At each time the steps' sum of ``(s - f t)(s - f t)'`` over squared denominators is ``[s t] Q [s
    t]'`` with a 2 x 2 matrix Q; its Cholesky factor turns risk-set and tied sums into W.
    """
    n_times = len(sets.time)
    by_group = _group_sums(at, sets, n_groups)
    q1, q2, q3 = at.squares
    first = np.sqrt(q1)
    cross = -q2 / first
    second = np.sqrt(np.maximum(q3 - cross**2, 0.0))
    use = second > 0
    dead_weight = np.zeros((n_times, n_groups))
    groups = np.repeat(sets.group, sets.cell_size)[sets.dead]
    np.add.at(dead_weight, (sets.dead_at, groups), at.weight[sets.dead])
    low = first[:, None] * by_group + cross[:, None] * dead_weight
    low_covariates = first[:, None] * risk + cross[:, None] * tied
    return (
        np.concatenate((low, second[use, None] * dead_weight[use])),
        np.concatenate((low_covariates, second[use, None] * tied[use])),
    )


def _group_sums(at: RiskWeights, sets: RiskSets, n_groups: int) -> Array:
    """Return (k, q): each group's weight at risk at each event time."""
    n_times = len(sets.time)
    weights = sets.cell_sums(at.weight)
    change: Array = np.bincount(
        (sets.last - 1) * n_groups + sets.group, weights=weights, minlength=n_times * n_groups
    ).astype(np.float64)
    start = sets.bounds[np.searchsorted(sets.bounds, sets.last - 1, side="right") - 1]
    late = sets.first > start
    change -= np.bincount(
        (sets.first[late] - 1) * n_groups + sets.group[late],
        weights=weights[late],
        minlength=n_times * n_groups,
    )
    return sets.from_the_end(change.reshape(n_times, n_groups))


def _invert(diagonal: Array, low: Array) -> tuple[Callable[[Array], Array], float, float]:
    """Return a solver for ``diag - low'low``, the trace of its inverse, and its log determinant."""
    if len(low) < len(diagonal):
        scaled = low / diagonal
        factor = linalg.cho_factor(np.eye(len(low)) - scaled @ low.T)

        def woodbury(values: Array) -> Array:
            own = (values.T / diagonal).T
            return np.asarray(own + scaled.T @ linalg.cho_solve(factor, low @ own))

        trace = (1.0 / diagonal).sum() + np.sum(scaled * linalg.cho_solve(factor, scaled))
        log_det = np.log(diagonal).sum() + 2.0 * np.log(np.diag(factor[0])).sum()
        return woodbury, float(trace), float(log_det)
    dense = np.diag(diagonal) - low.T @ low
    whole = linalg.cho_factor(dense)

    def cholesky(values: Array) -> Array:
        return np.asarray(linalg.cho_solve(whole, values))

    trace = np.trace(linalg.cho_solve(whole, np.eye(len(dense))))
    return cholesky, float(trace), float(2.0 * np.log(np.diag(whole[0])).sum())
