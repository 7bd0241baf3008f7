"""The search for a generalized mixed model: its start, its coordinates, its end.

Coefficients, covariance factors and further parameters of the density (dispersions, thresholds) are
searched jointly, in coordinates in which the deviance curves about equally in all directions; a
Newton step with the Hessian ends the search and gives the standard errors (see
:mod:`alliance_stats.engine.search`).

Without random effects the coefficients are those of a generalized linear model (iteratively
reweighted least squares; McCullagh & Nelder 1989, doi:10.1201/9780203753736, section 2.5). With
covariances given, the joint mode of coefficients and random effects (``nAGQ = 0`` of lme4's
``glmer``) is a good start, and its information matrix a good scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import linalg, optimize

from alliance_stats.engine.descent import descend, predictors
from alliance_stats.engine.elimination import eliminate
from alliance_stats.engine.laplace import RAN_AWAY, GeneralizedProblem, LaplaceSlopes
from alliance_stats.engine.row_sums import random_part, weighted_products
from alliance_stats.engine.search import Convergence, Minimum, Options, polished, search
from alliance_stats.engine.template import Coordinates, Slopes, Template
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "Deviance",
    "GeneralizedCriterion",
    "dispersed_start",
    "glm_coefficients",
    "joint_mode",
    "minimise_jointly",
    "plain_minimum",
]

Deviance = Callable[[GeneralizedProblem, Sequence[Array], Array, Sequence[Array]], LaplaceSlopes]

# First relative SD of every random effect.
FIRST_SD = 0.5
# Where the search is begun again if it ended at no minimum.
OTHER_SDS = (0.1, 0.25, 2.0)
GLM_STEPS = 60
# Relative fall of the deviance at which the start is good enough.
GLM_DONE = 1e-10
JOINT_STEPS = 2
MAX_HALVINGS = 30
# Share of its size that negative information of a row counts as positive.
LEAST_WEIGHT = 0.1
# Log dispersions that are looked at for a start, and rounds of that and of the coefficients.
FIRST_DISPERSIONS = (-6.0, 12.0)
DISPERSION_ROUNDS = 2
# Log dispersion at which counts without zeros have a finite rate, whatever they are.
LITTLE = -1.0
# Fall of the deviance that a last Newton step without random effects still predicts.
PLAIN_DONE = 1e-20


@dataclass(frozen=True, slots=True, eq=False)
class GeneralizedCriterion:
    """The deviance in (theta, gamma, psi); the memory holds the previous modes.

    Psi are the density's further parameters.

    Attributes
    ----------
    problem
        The data.
    deviance
        :func:`~alliance_stats.engine.laplace.laplace` or adaptive quadrature.
    joint_steps
        Newton steps in coefficients and random effects at the start of a run.
    """

    problem: GeneralizedProblem
    deviance: Deviance
    joint_steps: int = JOINT_STEPS

    @property
    def template(self) -> Template:
        """Shape of the covariance factors at full rank."""
        return self.problem.template

    @property
    def n(self) -> int:
        """Rows."""
        return self.problem.n

    def evaluate(self, Lambda: Sequence[Array], other: Array, memory: Any) -> Slopes:
        """Evaluate, raising an error at extreme points where the computation breaks down."""
        p = self.problem.p
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                at = self.problem.at(other[p:])
                found = self.deviance(at, Lambda, other[:p], memory)
            except NotIdentifiedError:  # with its own reason
                raise
            except (linalg.LinAlgError, ValueError) as broken:
                raise NotIdentifiedError(RAN_AWAY) from broken
            slopes = np.r_[found.gamma, at.shape.gradient(at.outcome, found.shape)]
        if not (np.isfinite(found.deviance) and np.isfinite(slopes).all()):
            raise NotIdentifiedError(RAN_AWAY)
        by_factor = [2.0 * D @ L for D, L in zip(found.D, Lambda, strict=True)]
        return Slopes(found.deviance, by_factor, slopes, found.D, found.mode.u)

    def value(self, Lambda: Sequence[Array], other: Array, memory: Any) -> float:
        """Return the deviance alone."""
        return self.evaluate(Lambda, other, memory).deviance

    def coordinates(
        self, template: Template, Lambda: Sequence[Array], other: Array, memory: Any
    ) -> Coordinates:
        """Scale theta by its expected information at the joint mode, beta by its covariance there.

        For one unit with information S on its relative variance D, -2 log-likelihood curves like
        S^2 in D, hence like ``4 theta^2 S^2`` in theta.
        """
        p, k = self.problem.p, template.n_theta
        problem = self.problem.at(other[p:])
        begin = joint_mode(problem, Lambda, other[:p], memory, steps=self.joint_steps)
        scale = np.zeros((k + len(other), k + len(other)))
        between = 0.0
        for i, (f, row, column) in enumerate(template.entries):
            size = max(abs(Lambda[f][column, column]), 0.1)
            per_unit = np.sqrt(begin.S[f][row, row] * begin.S[f][column, column] / begin.units[f])
            scale[i, i] = 1.0 / max(2.0 * size * per_unit, 1e-3)
            between += size**2 / begin.units[f] if row == column == 0 else 0.0
        own = slice(k, k + p)
        if p:
            factor = linalg.cholesky(2.0 * begin.XX, lower=True)
            scale[own, own] = linalg.solve_triangular(factor, np.eye(p), lower=True).T
        eta = problem.offset + begin.gamma @ problem.Q
        scale[k + p :, k + p :] = problem.shape.scale(problem.family, eta, problem.outcome, between)
        origin = np.r_[template.theta(Lambda), begin.gamma, other[p:]]
        return Coordinates(template, origin, scale, begin.u)


def minimise_jointly(problem: GeneralizedProblem, deviance: Deviance, other: Array) -> Minimum:
    """Minimise the deviance over positive semi-definite covariances and all other parameters.

    Parameters
    ----------
    problem
        The data; its template is of full rank.
    deviance
        :func:`~alliance_stats.engine.laplace.laplace` or adaptive quadrature.
    other
        Where to start from: working coefficients of a fit without random effects, and the density's
        further parameters.
    """
    criterion = GeneralizedCriterion(problem, deviance)
    found = _minimised(criterion, FIRST_SD, other)
    for size in OTHER_SDS:  # where steps too far ended the search away from a minimum
        if found.convergence.converged:
            break
        try:
            again = _minimised(criterion, size, other)
        except NotIdentifiedError:  # that start leads nowhere
            continue
        if again.convergence.converged or again.deviance < found.deviance:
            found = again
    return found


def _minimised(criterion: GeneralizedCriterion, size: float, other: Array) -> Minimum:
    """Search from SDs of one size."""
    first = criterion.template.factors(np.zeros(criterion.template.n_theta))
    for factor in first:
        np.fill_diagonal(factor, size)
    memory = criterion.problem.no_effects()
    return polished(criterion, search(criterion, first, other, memory, options=Options()))


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A joint mode and the information there.

    Attributes
    ----------
    gamma
        Working coefficients.
    u
        Spherical random effects, in the order of the layout.
    XX
        ``X'V^-1X`` in the working basis.
    S
        ``Z'V^-1Z`` summed over units, one per grouping factor.
    units
        Units of each grouping factor.
    """

    gamma: Array
    u: list[Array]
    XX: Array
    S: list[Array]
    units: list[int]


def glm_coefficients(problem: GeneralizedProblem) -> tuple[Array, Array]:
    """Fit without random effects.

    Returns
    -------
    gamma, eta
        Working coefficients and linear predictors. With separated outcomes they are large but
        finite.
    """
    family, outcome = problem.family, problem.outcome
    first = family.first_guess(outcome.y, outcome.trials)
    # a plain least-squares fit to the first guess
    gamma = problem.Q @ (first - problem.offset) / problem.n
    eta = problem.offset + gamma @ problem.Q
    log_density, score, weight = family.slopes(eta, outcome)
    value = -2.0 * float(log_density.sum())
    for _ in range(GLM_STEPS):
        # a row far out can have negative information, which is no scale to step by
        XX = (problem.Q * np.maximum(weight, LEAST_WEIGHT * np.abs(weight))) @ problem.Q.T
        try:
            step = linalg.cho_solve(linalg.cho_factor(XX), problem.Q @ score)
        except linalg.LinAlgError:  # separated so far that nothing is known any more
            break
        share = 1.0
        for _ in range(MAX_HALVINGS):
            eta = problem.offset + (gamma + share * step) @ problem.Q
            log_density, score, weight = family.slopes(eta, outcome)
            new = -2.0 * float(log_density.sum())
            if new <= value + GLM_DONE * (1.0 + abs(value)):
                break
            share /= 2.0
        gamma = gamma + share * step
        fall, value = value - new, new
        if fall < GLM_DONE * (1.0 + abs(value)):
            break
    return gamma, eta


def dispersed_start(problem: GeneralizedProblem) -> tuple[float, Array]:
    """Fit coefficients and one dispersion for all rows in turn, without random effects.

    Returns
    -------
    log_dispersion, gamma
        The logarithm, the same for all rows, and working coefficients.
    """
    family, outcome = problem.family, problem.outcome

    def at(log_dispersion: float) -> GeneralizedProblem:
        own = np.full(problem.n, np.exp(log_dispersion))
        return replace(problem, outcome=family.outcome(outcome.y, outcome.trials, own))

    if family.settled is not None:
        # of counts without zeros, at a dispersion too large for them, the rate would run to 0
        return LITTLE, glm_coefficients(at(LITTLE))[0]
    best = 0.0
    for _ in range(DISPERSION_ROUNDS):
        eta = glm_coefficients(at(best))[1]

        def deviance(value: float, eta: Array = eta) -> float:
            own = at(value).outcome
            return -2.0 * (float(family.log_density(eta, own).sum()) + own.constant)

        found = optimize.minimize_scalar(
            deviance, bounds=FIRST_DISPERSIONS, method="bounded", options={"xatol": 0.05}
        )
        best = float(found.x)
    return best, glm_coefficients(at(best))[0]


def plain_minimum(problem: GeneralizedProblem, gamma: Array) -> Minimum:
    """Finish a fit without random effects from coefficients near its minimum, by Newton's steps."""
    family, outcome = problem.family, problem.outcome
    for evaluations in range(1, GLM_STEPS + 1):  # noqa: B007
        log_density, score, weight = family.slopes(problem.offset + gamma @ problem.Q, outcome)
        slope, information = problem.Q @ score, (problem.Q * weight) @ problem.Q.T
        step = linalg.cho_solve(linalg.cho_factor(information), slope)
        gamma = gamma + step
        if float(step @ slope) < PLAIN_DONE:
            break
    norm = float(np.abs(slope).max(initial=0.0))
    settled = float(step @ slope) < PLAIN_DONE
    record = Convergence(settled, evaluations, norm, 0, "Newton's steps")
    deviance = -2.0 * (float(log_density.sum()) + outcome.constant)
    return Minimum(Template.full([]), (), gamma, deviance, record, [], 2.0 * information)


def joint_mode(
    problem: GeneralizedProblem,
    Lambda: Sequence[Array],
    gamma: Array,
    u: Sequence[Array],
    *,
    steps: int = JOINT_STEPS,
) -> Start:
    """Take some joint Newton steps in coefficients and random effects from a start.

    Parameters
    ----------
    problem, Lambda
        Data and covariance factors (one per grouping factor).
    gamma
        Working coefficients to begin with.
    u
        Random effects to begin with.
    steps
        Number of steps; with 0, only the information at the start is computed.
    """
    factors = problem.arranged(Lambda)
    depth, p = len(problem.layout.levels), problem.p
    state = _look(problem, factors, gamma, u)
    for step in range(steps + 1):
        # for a start and a scale, rows of negative information count as none
        weight = np.maximum(state.weight, 0.0)
        pulls = weight * (state.eta - problem.offset) + state.score
        products = weighted_products(problem.layout, problem.rows, weight, pulls, problem.Q)
        up = eliminate(problem.layout, products, factors[:depth], factors[depth:])
        if step == steps:
            break
        target = (
            linalg.cho_solve(linalg.cho_factor(up.R[:p, :p]), up.R[:p, p]) if p else np.empty(0)
        )
        v = np.append(-target, 1.0)
        target_u = [
            L.T @ np.einsum("qrn,r->qn", H, v)
            for L, H in zip(factors, predictors(problem.layout, up), strict=True)
        ]
        state = _towards(problem, factors, state, target, target_u)
    down = descend(problem.layout, up)
    S = [post.S for post in (*down.levels, *down.crossed)]
    return Start(
        state.gamma,
        state.u,
        up.R[:p, :p],
        problem.by_factor(S),
        [int(x.shape[1]) for x in problem.by_factor(state.u)],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    gamma: Array
    u: list[Array]
    eta: Array
    score: Array
    weight: Array
    objective: float


def _look(
    problem: GeneralizedProblem, factors: Sequence[Array], gamma: Array, u: Sequence[Array]
) -> _Look:
    eta = problem.offset + gamma @ problem.Q
    effects = [L @ x for L, x in zip(factors, u, strict=True)]
    eta = eta + random_part(problem.layout, problem.rows, effects)
    log_density, score, weight = problem.family.slopes(eta, problem.outcome)
    objective = -2.0 * float(log_density.sum()) + sum(float((x * x).sum()) for x in u)
    return _Look(gamma, list(u), eta, score, weight, objective)


def _towards(
    problem: GeneralizedProblem,
    factors: Sequence[Array],
    state: _Look,
    gamma: Array,
    u: Sequence[Array],
) -> _Look:
    """Go to a joint target, halving the step until the objective does not rise."""
    share = 1.0
    for _ in range(MAX_HALVINGS):
        new = _look(
            problem,
            factors,
            state.gamma + share * (gamma - state.gamma),
            [a + share * (b - a) for a, b in zip(state.u, u, strict=True)],
        )
        if new.objective <= state.objective + GLM_DONE * (1.0 + abs(state.objective)):
            return new
        share /= 2.0
    return state
