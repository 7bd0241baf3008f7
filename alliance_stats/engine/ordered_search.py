"""The search for a mixed model of ratings in steps: thresholds beside coefficients and covariances.

A threshold changes the log-density, the score and the information of the rows that it bounds. The
Laplace deviance follows by the rule that serves coefficients
(:mod:`alliance_stats.engine.laplace`): minus twice the log-density's slope, plus the row's
posterior variance times the information's, plus what the score's slope does through the mode.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import linalg

from alliance_stats.engine.generalized_search import FIRST_SD, joint_mode
from alliance_stats.engine.laplace import RAN_AWAY, GeneralizedProblem, with_mode
from alliance_stats.engine.ordered import Steps, ThresholdSlopes, quantile, threshold_slopes
from alliance_stats.engine.search import Coordinates, Minimum, Options, Slopes, polished, search
from alliance_stats.engine.template import Template
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["OrderedCriterion", "minimise_ordered", "ordered_coefficients"]

STEPS = 60
MAX_HALVINGS = 30
DONE = 1e-10
# A predictor's SD, in the latent value's own, from which on steps are told without error.
SEPARATED = 25.0


@dataclass(frozen=True, slots=True, eq=False)
class OrderedCriterion:
    """The deviance in (theta, gamma, psi), thresholds being ``J psi``.

    Attributes
    ----------
    problem
        The data; its working columns have mean zero, since thresholds take the place of intercepts.
    J
        From parameters to thresholds: (thresholds, m).
    """

    problem: GeneralizedProblem
    J: Array

    @property
    def template(self) -> Template:
        """Shape of the covariance factors at full rank."""
        return self.problem.template

    @property
    def n(self) -> int:
        """Rows."""
        return self.problem.n

    def at(self, psi: Array) -> GeneralizedProblem:
        """Return the data between the thresholds of `psi`."""
        thresholds = self.J @ psi
        if not (np.diff(thresholds) > 0.0).all():
            raise NotIdentifiedError("Thresholds cross.")
        return replace(self.problem, outcome=Steps.of(self.problem.outcome.y, thresholds))

    def evaluate(self, Lambda: Sequence[Array], other: Array, memory: Any) -> Slopes:
        """Evaluate; where thresholds cross or numbers break down there is no fit."""
        p = self.problem.p
        problem = self.at(other[p:])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                found, variances, through = with_mode(problem, Lambda, other[:p], memory)
            except (linalg.LinAlgError, ValueError) as broken:
                raise NotIdentifiedError(RAN_AWAY) from broken
            psi = self._threshold_gradient(problem, found.mode.eta, variances, through)
        slopes = np.r_[found.gamma, psi]
        if not (np.isfinite(found.deviance) and np.isfinite(slopes).all()):
            raise NotIdentifiedError(RAN_AWAY)
        by_factor = [2.0 * D @ L for D, L in zip(found.D, Lambda, strict=True)]
        return Slopes(found.deviance, by_factor, slopes, found.D, found.mode.u)

    def _threshold_gradient(
        self, problem: GeneralizedProblem, eta: Array, variances: Array, through: Array
    ) -> Array:
        outcome = _steps(problem)
        slope = threshold_slopes(problem.family.link, eta, outcome)
        upper = -2.0 * slope.density_a + variances * slope.weight_a + through * slope.score_a
        lower = -2.0 * slope.density_b + variances * slope.weight_b + through * slope.score_b
        return np.asarray(self.J.T @ _by_threshold(outcome, upper, lower))

    def coordinates(
        self, template: Template, Lambda: Sequence[Array], other: Array, memory: Any
    ) -> Coordinates:
        """Scale theta and gamma as for other outcomes, psi by its information given the effects.

        All thresholds move together as an intercept does, by as much more as units differ.
        """
        p, k, m = self.problem.p, template.n_theta, self.J.shape[1]
        problem = self.at(other[p:])
        begin = joint_mode(problem, Lambda, other[:p], memory)
        scale = np.zeros((k + p + m, k + p + m))
        together = 0.0
        for i, (f, row, column) in enumerate(template.entries):
            size = max(abs(Lambda[f][column, column]), 0.1)
            per_unit = np.sqrt(begin.S[f][row, row] * begin.S[f][column, column] / begin.units[f])
            scale[i, i] = 1.0 / max(2.0 * size * per_unit, 1e-3)
            together += size**2 / begin.units[f] if row == column == 0 else 0.0
        if p:
            factor = linalg.cholesky(2.0 * begin.XX, lower=True)
            own = slice(k, k + p)
            scale[own, own] = linalg.solve_triangular(factor, np.eye(p), lower=True).T
        eta = problem.offset + begin.gamma @ problem.Q
        slope = threshold_slopes(problem.family.link, eta, _steps(problem))
        information = self.J.T @ _threshold_information(_steps(problem), slope) @ self.J
        along = linalg.lstsq(self.J, np.ones(len(self.J)))[0]
        covariance = linalg.inv(information) + together * np.outer(along, along)
        scale[k + p :, k + p :] = linalg.cholesky(covariance / 2.0, lower=True)
        origin = np.r_[template.theta(Lambda), begin.gamma, other[p:]]
        return Coordinates(template, origin, scale, begin.u)


def _steps(problem: GeneralizedProblem) -> Steps:
    assert isinstance(problem.outcome, Steps)
    return problem.outcome


def _by_threshold(outcome: Steps, upper: Array, lower: Array) -> Array:
    """Sum rows by the threshold that is their upper, and their lower end."""
    step, n = outcome.y.astype(np.int64), len(outcome.thresholds)
    return np.asarray(np.bincount(step, upper, n + 1)[:n] + np.bincount(step, lower, n + 1)[1:])


def _threshold_information(outcome: Steps, slope: ThresholdSlopes) -> Array:
    """Return minus the second derivatives in the thresholds, predictors known: tridiagonal."""
    n = len(outcome.thresholds)
    out = np.diag(_by_threshold(outcome, -slope.second_aa, -slope.second_bb))
    beside = np.bincount(outcome.y.astype(np.int64), -slope.second_ab, n + 1)[1:n]
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
    out[p:, p:] = J.T @ _threshold_information(outcome, slope) @ J
    return out


def ordered_coefficients(criterion: OrderedCriterion) -> tuple[Array, Array]:
    """Fit without random effects by Newton's steps: gamma and psi.

    Raises
    ------
    NotIdentifiedError
        If the predictors tell steps without error, and coefficients run away.
    """
    problem, J = criterion.problem, criterion.J
    link, p = problem.family.link, problem.p
    counts = np.bincount(problem.outcome.y.astype(np.int64))
    psi = linalg.lstsq(J, quantile(link, np.cumsum(counts)[:-1] / counts.sum()))[0]
    gamma = np.zeros(p)
    value, at = _plain(criterion, gamma, psi)
    for _ in range(STEPS):
        eta = problem.offset + gamma @ problem.Q
        slope = threshold_slopes(link, eta, _steps(at))
        _, score, weight = at.family.slopes(eta, at.outcome)
        gradient = np.r_[
            problem.Q @ score, J.T @ _by_threshold(_steps(at), slope.density_a, slope.density_b)
        ]
        information = _whole_information(at, J, slope, weight)
        step = linalg.solve(information, gradient, assume_a="sym")
        share, fall = 1.0, 0.0
        for _ in range(MAX_HALVINGS):
            new = gamma + share * step[:p], psi + share * step[p:]
            try:
                new_value, new_at = _plain(criterion, *new)
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
    criterion: OrderedCriterion, gamma: Array, psi: Array
) -> tuple[float, GeneralizedProblem]:
    at = criterion.at(psi)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = at.family.log_density(at.offset + gamma @ at.Q, at.outcome)
    return -2.0 * float(log_p.sum()), at


def minimise_ordered(criterion: OrderedCriterion) -> Minimum:
    """Minimise the Laplace deviance over covariances, coefficients and thresholds."""
    gamma, psi = ordered_coefficients(criterion)
    problem = criterion.problem
    first = problem.template.factors(np.zeros(problem.template.n_theta))
    for factor in first:
        np.fill_diagonal(factor, FIRST_SD)
    stop = search(criterion, first, np.r_[gamma, psi], problem.no_effects(), options=Options())
    return polished(criterion, stop)
