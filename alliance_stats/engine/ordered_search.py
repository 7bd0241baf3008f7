"""The search for an ordinal mixed model: thresholds, coefficients and covariances.

A threshold changes the log-density, the score and the information of the rows that it bounds. The
deviance follows the same rule as for every further parameter of a density
(:mod:`alliance_stats.engine.laplace`).
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.engine.laplace import BEYOND, GeneralizedProblem
from alliance_stats.engine.ordered import Steps, ThresholdSlopes, quantile, threshold_slopes
from alliance_stats.engine.outcomes import Family, Outcome
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["Thresholds", "ordered_coefficients"]

STEPS = 60
MAX_HALVINGS = 30
DONE = 1e-10
# A predictor's SD, in the latent value's own, from which on steps are told without error.
SEPARATED = 25.0


CROSSING = (
    "Thresholds cross in some rows: effects on each threshold (nominal=) would leave a step a "
    "probability below 0 there. Name fewer terms, or none of a number with a wide range."
)


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """Thresholds ``J psi`` between the steps, psi the search's parameters, and what moves them.

    Attributes
    ----------
    J
        From parameters to thresholds: (thresholds, m).
    W
        Columns with an effect on each threshold, (k, n), in the layout's order. Their effects come
        after psi, all thresholds of a column together.
    """

    J: Array
    W: Array

    @property
    def size(self) -> int:
        """Parameters."""
        return int(self.J.shape[1] + len(self.W) * len(self.J))

    def outcome(self, family: Family, observed: Outcome, values: Array) -> Outcome:  # noqa: ARG002
        """Return the ratings between the thresholds of `values`."""
        m = self.J.shape[1]
        thresholds = self.J @ values[:m]
        moved = values[m:].reshape(len(self.W), len(self.J)).T @ self.W
        if not (np.diff(thresholds[:, None] + moved, axis=0) > 0.0).all():
            raise NotIdentifiedError(CROSSING)
        return Steps.of(observed.y, thresholds, moved if len(self.W) else None)

    def of_rows_at(self, places: Integers) -> "Thresholds":
        """Return the same of some rows."""
        return Thresholds(self.J, self.W[:, places])

    def gradient(self, outcome: Outcome, by_row: Array) -> Array:
        """Take derivatives in each row's upper and lower threshold to the parameters."""
        assert isinstance(outcome, Steps)
        own = [_by_threshold(outcome, *(by_row * w)) for w in self.W]
        return np.concatenate([self.J.T @ _by_threshold(outcome, *by_row), *own])

    def scale(self, family: Family, eta: Array, outcome: Outcome, between: float) -> Array:
        """Scale by the information given the effects.

        All thresholds move together as an intercept does, and more the more units differ.
        """
        assert isinstance(outcome, Steps)
        slope = threshold_slopes(family.link, eta, outcome)
        columns = [np.ones(len(eta)), *self.W]
        whole = np.block(
            [[_threshold_information(outcome, slope, a * b) for a in columns] for b in columns]
        )
        J = linalg.block_diag(self.J, np.eye(len(self.W) * len(self.J)))
        along = np.zeros(self.size)
        along[: self.J.shape[1]] = linalg.lstsq(self.J, np.ones(len(self.J)))[0]
        covariance = linalg.inv(J.T @ whole @ J) + between * np.outer(along, along)
        return np.asarray(linalg.cholesky(covariance / 2.0, lower=True))


def _steps(problem: GeneralizedProblem) -> Steps:
    assert isinstance(problem.outcome, Steps)
    return problem.outcome


def _thresholds(problem: GeneralizedProblem) -> Thresholds:
    assert isinstance(problem.shape, Thresholds)
    return problem.shape


def _by_threshold(outcome: Steps, upper: Array, lower: Array) -> Array:
    """Sum rows by the threshold that is their upper, and their lower end."""
    step, n = outcome.y.astype(np.int64), len(outcome.thresholds)
    return np.asarray(np.bincount(step, upper, n + 1)[:n] + np.bincount(step, lower, n + 1)[1:])


def _threshold_information(outcome: Steps, slope: ThresholdSlopes, weight: Array) -> Array:
    """Return minus the second derivatives in the thresholds, predictors known: tridiagonal."""
    n = len(outcome.thresholds)
    aa, ab, bb = (-weight * x for x in (slope.second_aa, slope.second_ab, slope.second_bb))
    out = np.diag(_by_threshold(outcome, aa, bb))
    beside = np.bincount(outcome.y.astype(np.int64), ab, n + 1)[1:n]
    return np.asarray(out + np.diag(beside, 1) + np.diag(beside, -1))


def _whole_information(
    at: GeneralizedProblem, J: Array, slope: ThresholdSlopes, weight: Array
) -> Array:
    """Return minus the second derivatives in (gamma, psi) without random effects."""
    p, outcome = at.p, _steps(at)
    across = [_by_threshold(outcome, q * slope.score_a, q * slope.score_b) for q in at.Q]
    out = np.zeros((p + J.shape[1], p + J.shape[1]))
    out[:p, :p] = (at.Q * weight) @ at.Q.T
    if p:
        out[:p, p:] = -np.array(across) @ J
        out[p:, :p] = out[:p, p:].T
    out[p:, p:] = J.T @ _threshold_information(outcome, slope, np.ones(at.n)) @ J
    return out


def ordered_coefficients(problem: GeneralizedProblem) -> tuple[Array, Array]:
    """Fit without random effects by Newton's steps: gamma and psi.

    Raises
    ------
    NotIdentifiedError
        If the predictors separate the steps perfectly, and coefficients diverge.
    """
    J = _thresholds(problem).J
    link, p = problem.family.link, problem.p
    counts = np.bincount(problem.outcome.y.astype(np.int64))
    first = quantile(link, np.cumsum(counts)[:-1] / counts.sum()) + problem.offset.mean()
    psi = linalg.lstsq(J, first)[0]
    gamma = np.zeros(p)
    value, at = _plain(problem, gamma, psi)
    for _ in range(STEPS):
        eta = problem.offset + gamma @ problem.Q
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            slope = threshold_slopes(link, eta, _steps(at))
            _, score, weight = at.family.slopes(eta, at.outcome)
        gradient = np.r_[
            problem.Q @ score, J.T @ _by_threshold(_steps(at), slope.density_a, slope.density_b)
        ]
        information = _whole_information(at, J, slope, weight)
        if not (np.isfinite(information).all() and np.isfinite(gradient).all()):
            raise NotIdentifiedError(BEYOND)
        step = linalg.solve(information, gradient, assume_a="sym")
        share, fall = 1.0, 0.0
        for _ in range(MAX_HALVINGS):
            new = gamma + share * step[:p], psi + share * step[p:]
            try:
                new_value, new_at = _plain(problem, *new)
            except NotIdentifiedError:
                new_value = np.inf
            if new_value <= value + DONE * (1.0 + abs(value)):
                (gamma, psi), fall, value, at = new, value - new_value, new_value, new_at
                break
            share /= 2.0
        if np.std(gamma @ problem.Q) > SEPARATED:
            raise NotIdentifiedError(
                "The predictors tell the steps without error (separation): coefficients grow "
                "without end. Look for a group whose ratings are all in the first or the last step."
            )
        if fall < DONE * (1.0 + abs(value)):
            break
    return gamma, psi


def _plain(
    problem: GeneralizedProblem, gamma: Array, psi: Array
) -> tuple[float, GeneralizedProblem]:
    at = problem.at(psi)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = at.family.log_density(at.offset + gamma @ at.Q, at.outcome)
    return -2.0 * float(log_p.sum()), at
