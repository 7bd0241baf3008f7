"""Where the search for a generalized mixed model begins.

Without random effects the coefficients are those of a generalized linear model (iteratively
reweighted least squares; McCullagh & Nelder 1989, doi:10.1201/9780203753736, section 2.5). With
covariances given, the joint mode of coefficients and random effects (``nAGQ = 0`` of lme4's
``glmer``) is a good start, and its information matrix a good scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.engine.descent import descend
from alliance_stats.engine.elimination import eliminate
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.engine.row_posterior import predictors
from alliance_stats.engine.row_sums import random_part, weighted_products
from alliance_stats.estimates import Array

__all__ = ["Start", "glm_coefficients", "joint_mode"]

GLM_STEPS = 60
# Relative fall of the deviance at which the start is good enough.
GLM_DONE = 1e-10
JOINT_STEPS = 2
MAX_HALVINGS = 30


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
        ``Z'V^-1Z`` summed over units, one a grouping factor.
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
        Working coefficients and linear predictors. Where outcomes are separated they have run far
        out, not to infinity; :mod:`alliance_stats.multilevel.separation` looks into that.
    """
    family, outcome = problem.family, problem.outcome
    first = (
        np.log(outcome.y + 0.5)
        if family.name == "poisson"
        else family.predictor((outcome.y + 0.5) / (outcome.trials + 1.0))
    )
    # a plain least-squares fit to the first guess
    gamma = problem.Q @ (first - problem.offset) / problem.n
    eta = problem.offset + gamma @ problem.Q
    log_density, score, weight = family.slopes(eta, outcome)
    value = -2.0 * float(log_density.sum())
    for _ in range(GLM_STEPS):
        XX = (problem.Q * weight) @ problem.Q.T
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
        Data and covariance factors (one a grouping factor).
    gamma
        Working coefficients to begin with.
    u
        Random effects to begin with.
    steps
        How many steps; with none, only the information at the start is computed.
    """
    factors = problem.arranged(Lambda)
    depth, p = len(problem.layout.levels), problem.p
    state = _look(problem, factors, gamma, u)
    for step in range(steps + 1):
        pulls = state.weight * (state.eta - problem.offset) + state.score
        products = weighted_products(problem.layout, problem.rows, state.weight, pulls, problem.Q)
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
