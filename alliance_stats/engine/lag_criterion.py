"""The likelihood of several outcomes over sessions, with random effects at each level.

One call gives the log-likelihood and its derivatives at R parameter points: whiten each person's
columns (lag_filter), eliminate random effects upwards and find their second moments again
downwards (stacked_levels), carry derivatives back to the parameters (lag_parameters).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from alliance_stats.engine.lag_filter import LagPass, Ratings, Residual, backward, forward
from alliance_stats.engine.lag_parameters import LagParameters, take
from alliance_stats.engine.lag_restricted import restricted_part
from alliance_stats.engine.stacked_levels import (
    Level,
    LevelStep,
    climb,
    factor_gradient,
    step_down,
    thin_climb,
)
from alliance_stats.estimates import Array, Booleans

__all__ = [
    "Evaluation",
    "LagProblem",
    "evaluate",
    "information_on_means",
    "person_effects",
    "subset",
]

# Parameter points times persons that are looked at in one go: what fits a processor's cache.
LANES = 6000


@dataclass(frozen=True, slots=True, eq=False)
class LagProblem:
    """Ratings and the nesting of persons.

    Attributes
    ----------
    groups
        The ratings of each group.
    levels
        Levels above persons, innermost first, over the persons of all groups one after another.
    reml
        Whether coefficients are integrated out (restricted likelihood); for one group, where
        nothing carries over.
    tying
        Which of B coefficients each one equals, as 1 in its row: (G (P + M) K, B), in the order
        group, effect, outcome. A row of zeros is a coefficient held fixed. By default all are
        distinct.
    """

    groups: tuple[Ratings, ...]
    levels: tuple[Level, ...]
    reml: bool = False
    tying: Array | None = None

    @property
    def n_seen(self) -> int:
        """Number of ratings."""
        return int(sum(ratings.seen.sum() for ratings in self.groups))

    def fold(self, values: Array) -> Array:
        """Add values of all coefficients (..., G (P + M) K) up over what is one: (..., B)."""
        return values if self.tying is None else np.asarray(values @ self.tying)

    def unfold(self, values: Array) -> Array:
        """Return for each coefficient the value (..., B) of the one it is tied to."""
        return values if self.tying is None else np.asarray(values @ self.tying.T)

    def columns(self, g: int) -> Array:
        """Return the columns that group `g`'s coefficients multiply: (T, K, B, N)."""
        own = stacked_columns(self.groups[g])
        if self.tying is None:
            return own
        size = own.shape[2]
        return np.asarray(np.einsum("tkcn,cb->tkbn", own, self.tying[g * size : (g + 1) * size]))


class Evaluation(NamedTuple):
    """Log-likelihood (R,), derivatives by theta (R, P), and by coefficients (R, G, M, K)."""

    log_lik: Array
    theta: Array
    coefficients: Array


class _Climbed(NamedTuple):
    """The way up: each group's residual, pass and persons' step, the levels above, the top."""

    residuals: list[Residual]
    passes: list[LagPass]
    persons: list[LevelStep]
    above: list[LevelStep]
    total: Array
    log_det: Array


def evaluate(
    problem: LagProblem, parameters: LagParameters, theta: Array, coefficients: Array
) -> Evaluation:
    """Return the log-likelihood and its derivatives at R points.

    Parameters
    ----------
    theta
        (R, P).
    coefficients
        Fixed effects of each group and outcome: (R, G, M, K). Under the restricted likelihood they
        only set the origin of deviations, and have no derivative.
    """
    n = sum(ratings.n_persons for ratings in problem.groups)
    step = max(1, LANES // n)
    at = _restricted if problem.reml else _evaluate
    parts = [
        at(problem, parameters, theta[i : i + step], coefficients[i : i + step])
        for i in range(0, len(theta), step)
    ]
    if len(parts) == 1:
        return parts[0]
    return Evaluation(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _restricted(
    problem: LagProblem, parameters: LagParameters, theta: Array, coefficients: Array
) -> Evaluation:
    """Return the likelihood at the best coefficients, less half of ``log|X'V^-1X|``."""
    if not parameters.unlagged:
        raise ValueError(
            "The restricted likelihood is made for models in which nothing carries over."
        )
    (ratings,) = problem.groups
    r = ratings.residuals(coefficients[:1, 0])[:, 0]
    part = restricted_part(
        ratings, problem.columns(0), r, levels=problem.levels, parameters=parameters, theta=theta
    )
    best = coefficients[:1] + problem.unfold(part.move).reshape(coefficients.shape)
    found = _evaluate(problem, parameters, theta, best)
    log_lik = found.log_lik - 0.5 * (part.log_det - part.n_rated * np.log(2.0 * np.pi))
    return Evaluation(log_lik, found.theta - 0.5 * part.slope, np.zeros_like(coefficients))


def _evaluate(
    problem: LagProblem, parameters: LagParameters, theta: Array, coefficients: Array
) -> Evaluation:
    up = _climb(problem, parameters, theta, coefficients)
    R, C = up.total.shape[:2]
    q = parameters.person.shape[1]
    top = np.zeros((R, C))
    top[:, 0] = 1.0
    log_lik = -0.5 * (problem.n_seen * np.log(2.0 * np.pi) + up.log_det + up.total[:, 0, 0])
    gradients, persons, above = [], [], []
    W = (top[:, :, None] * top[:, None])[..., None]
    for level, step in zip(reversed(problem.levels), reversed(up.above), strict=True):
        K = step.columns.shape[2]
        above.append(factor_gradient(step, W, range(1, 1 + K)))
        W = level.spread(step_down(step, W))
    at = 0
    d_coefficients = np.zeros_like(coefficients)
    for g, ratings in enumerate(problem.groups):
        n = ratings.n_persons
        own = W[..., at : at + n] if problem.levels else W
        own = np.broadcast_to(own, (R, C, C, n))
        at += n
        persons.append(factor_gradient(up.persons[g], own, range(1, 1 + q)))
        down = step_down(up.persons[g], own)
        gradient = backward(ratings, up.residuals[g], up.passes[g], down)
        gradients.append(gradient)
        d_coefficients[:, g] = gradient.coefficients
    d_theta = parameters.pull_back(theta, gradients, persons, above[::-1])
    return Evaluation(log_lik, d_theta, d_coefficients)


def _climb(
    problem: LagProblem, parameters: LagParameters, theta: Array, coefficients: Array
) -> _Climbed:
    residuals, passes, persons = [], [], []
    R = len(theta)
    log_det = np.zeros(R)
    for g, ratings in enumerate(problem.groups):
        residual = parameters.residual(theta, g)
        r = ratings.residuals(coefficients[:, g])
        kept = forward(ratings, residual, r)
        step = climb(kept.products, _padded(take(theta, parameters.person[g]), kept))
        residuals.append(residual)
        passes.append(kept)
        persons.append(step)
        log_det += kept.log_det + step.log_det
    A = np.concatenate([step.products for step in persons], axis=-1)
    above = []
    for level, index in zip(problem.levels, parameters.above, strict=True):
        step = climb(level.gather(A), _padded(take(theta, index), passes[0]))
        above.append(step)
        log_det += step.log_det
        A = step.products
    return _Climbed(residuals, passes, persons, above, A.sum(axis=-1), log_det)


def _padded(factor: Array, kept: LagPass) -> Array:
    """Place a factor's columns (R, m, m) at its effects' positions among all columns: (R, C, m)."""
    R, C = kept.products.shape[:2]
    m = factor.shape[1]
    columns = np.zeros((R, C, m))
    columns[:, 1 : 1 + m] = factor
    return columns


def stacked_columns(ratings: Ratings) -> Array:
    """Return the fixed effects' columns, outcome by outcome within effect: (T, K, (P + M) K, N)."""
    T, K, N = ratings.y.shape
    P, M = ratings.basis.shape[1], ratings.covariates.shape[1]
    out = np.zeros((T, K, P + M, K, N))
    for k in range(K):
        out[:, k, :P, k] = ratings.basis[:, :, None]
        out[:, k, P:, k] = ratings.covariates
    return out.reshape(T, K, (P + M) * K, N)


def information_on_means(
    problem: LagProblem, parameters: LagParameters, theta: Array, coefficients: Array
) -> tuple[Array, Array]:
    """Return ``X'V^-1X`` and ``X'V^-1 r`` of all groups' coefficients at one point.

    Both are in the order group, effect, outcome (or that of the tied coefficients). With levels
    above persons, groups share units, so the columns of all groups are placed side by side.
    """
    q = parameters.person.shape[1]
    size, tying = coefficients[0, 0].size, problem.tying
    C = 1 + q + (size * len(problem.groups) if tying is None else tying.shape[1])
    total, parts = np.zeros((C, C)), []
    for g, ratings in enumerate(problem.groups):
        where = np.r_[0 : 1 + q, 1 + q + g * size : 1 + q + (g + 1) * size]
        if tying is not None:
            where = np.arange(C)
        own, thin = _means_of_group(problem, g, parameters.residual(theta, g), coefficients[:, g])
        lost = thin_climb(thin, take(theta, parameters.person[g])[0])
        total[np.ix_(where, where)] += own - lost
        part = np.zeros((C, 1 + q, ratings.n_persons))
        part[where] = thin
        parts.append(part)
    thin = np.concatenate(parts, axis=-1)
    for level, index in zip(problem.levels, parameters.above, strict=True):
        thin = level.gather(thin)
        total -= thin_climb(thin, take(theta, index)[0])
    XX, Xr = total[1 + q :, 1 + q :], total[1 + q :, 0]
    empty = np.diag(XX) <= 0.0  # the mean of a session that nobody rated: it stays where it is
    XX[empty, empty] = 1.0
    return XX, Xr


def _means_of_group(
    problem: LagProblem, g: int, residual: Residual, coefficients: Array
) -> tuple[Array, Array]:
    """Return products of whitened columns ``[r Z X]``: all summed over persons, and of ``[r Z]``.

    The first is (C, C), the second (C, 1 + q, N).
    """
    ratings, columns = problem.groups[g], problem.columns(g)
    q, K = ratings.loadings.shape[2], ratings.y.shape[1]
    begins = np.argmax(columns.any(axis=(1, 3)), axis=0)  # nothing but zero before it: no cost
    order = np.argsort(begins, kind="stable")
    begun = np.searchsorted(begins[order], np.arange(len(ratings.y)), side="right")
    extra = columns[:, :, order]
    kept = forward(ratings, residual, ratings.residuals(coefficients), extra, begun=begun.tolist())
    C = 1 + q + len(order)
    total, thin = np.zeros((C, C)), np.zeros((C, 1 + q, ratings.n_persons))
    for s, n in enumerate(1 + q + begun):
        for k in range(K):
            v = kept.innovations[s, k, 0, :n]
            weighted = v * kept.precisions[s, k, 0]
            total[:n, :n] += weighted @ v.T
            thin[:n] += weighted[:, None] * v[: 1 + q]
    back = np.r_[0 : 1 + q, 1 + q + np.argsort(order)]
    return total[np.ix_(back, back)], thin[back]


def subset(problem: LagProblem, persons: Booleans) -> LagProblem:
    """Return the problem of some persons, who make up complete units of every level above.

    Parameters
    ----------
    persons
        Over the persons of all groups one after another: (N,).
    """
    groups, at = [], 0
    for ratings in problem.groups:
        own = persons[at : at + ratings.n_persons]
        at += ratings.n_persons
        groups.append(
            replace(
                ratings,
                y=ratings.y[..., own],
                seen=ratings.seen[..., own],
                covariates=ratings.covariates[..., own],
            )
        )
    levels, kept = [], persons
    for level in problem.levels:
        codes = level.spread(np.arange(len(level.starts), dtype=np.float64))[kept]
        found, own_codes = np.unique(codes, return_inverse=True)
        levels.append(Level.from_codes(own_codes.astype(np.int64)))
        kept = np.isin(np.arange(len(level.starts)), found)
    return replace(problem, groups=tuple(groups), levels=tuple(levels))


def person_effects(
    problem: LagProblem, parameters: LagParameters, theta: Array, coefficients: Array
) -> Array:
    """Return each person's predicted random effects, those of all levels added up: (q, N)."""
    up = _climb(problem, parameters, theta[None], coefficients[None])
    C, q = up.total.shape[1], parameters.person.shape[1]
    W = np.zeros((1, C, C, 1))
    W[:, 0, 0] = 1.0
    for level, step in zip(reversed(problem.levels), reversed(up.above), strict=True):
        W = level.spread(step_down(step, W))
    found, at = [], 0
    for g, ratings in enumerate(problem.groups):
        n = ratings.n_persons
        own = W[..., at : at + n] if problem.levels else np.broadcast_to(W, (1, C, C, n))
        at += n
        found.append(-step_down(up.persons[g], own)[0, 0, 1 : 1 + q])
    return np.concatenate(found, axis=-1)
