"""Adaptive Gauss-Hermite quadrature of two effects: of one unit, or of a unit and one around it.

Around the joint mode the effects of a unit are approximately normal, with the inverse Hessian as
covariance (Pinheiro & Chao 2006, doi:10.1198/106186006X96962). Two effects of one unit are
integrated on the product of two rules, turned and scaled by the Cholesky factor of that. Where
inner units lie in an outer one, the outer effect is integrated with all inner ones integrated at
each of its nodes, with their nodes placed around their mode there.

The deviance's gradient is minus twice the mean, over the nodes, of what it is at known effects
(Fisher's identity; Louis 1982, doi:10.1111/j.2517-6161.1982.tb01203.x). In a unit's covariance D it
is ``-E[s s' - Z'WZ]`` for ``s = Z'g``. Both equal the derivatives of the computed sum when there
are enough nodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from alliance_stats.engine.laplace import GeneralizedProblem, LaplaceSlopes, Mode, find_mode
from alliance_stats.estimates import Array

__all__ = ["quadrature_of_two"]

ROOT_TWO, LOG_TWO_PI = float(np.sqrt(2.0)), float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """Nodes of the normal's integral: ``sum w f(x)`` for ``f exp(-x^2 / 2)`` over the line."""

    x: Array
    log_w: Array

    @classmethod
    def of(cls, nodes: int) -> "_Rule":
        x, w = special.roots_hermite(nodes)
        return cls(ROOT_TWO * x, np.log(w) + x * x + np.log(ROOT_TWO))


@dataclass(frozen=True, slots=True, eq=False)
class _Means:
    """Means over the nodes of the components of the gradient.

    Attributes
    ----------
    log
        Log of the integral of each outermost unit.
    score
        Of each row.
    shape
        Slopes of each row's log-density in its further parameters, (k, n).
    D
        ``E[Z'WZ - s s']`` of each grouping factor, in the order of the layout.
    """

    log: Array
    score: Array
    shape: Array
    D: list[Array]


def quadrature_of_two(
    nodes: int,
    problem: GeneralizedProblem,
    Lambda: Sequence[Array],
    gamma: Array,
    start: Sequence[Array],
) -> LaplaceSlopes:
    """Return the deviance with this many nodes per effect, and its gradient."""
    factors = problem.arranged(Lambda)
    mode = find_mode(problem, factors, gamma, start)
    fixed = problem.offset + gamma @ problem.Q
    find = _nested if len(problem.layout.levels) == 2 else _of_one_unit
    found = find(problem, factors, mode, fixed, _Rule.of(nodes))
    deviance = -2.0 * float(found.log.sum()) - 2.0 * problem.outcome.constant
    return LaplaceSlopes(
        deviance,
        -2.0 * problem.Q @ found.score,
        problem.by_factor(found.D),
        mode,
        -2.0 * found.shape,
    )


def _columns(problem: GeneralizedProblem, level: int) -> Array:
    """Random-effects columns of a level of the chain, (q, n)."""
    rows = problem.rows
    bases = [np.ones(problem.n) if base is None else base for base in rows.bases]
    return np.asarray(rows.factors[level] @ np.stack(bases))


def _shape_density(problem: GeneralizedProblem, eta: Array) -> Array:
    if problem.family.shape_slopes is None:
        return np.empty((0, problem.n))
    return problem.family.shape_slopes(eta, problem.outcome)[0]


def _of_one_unit(
    problem: GeneralizedProblem, factors: list[Array], mode: Mode, fixed: Array, rule: _Rule
) -> _Means:
    """Integrate q effects of each unit on the product of q rules."""
    rows, Z, factor = problem.rows, _columns(problem, 0), factors[0]
    q, starts, leaf = len(Z), rows.starts, rows.leaf
    H = np.eye(q)[:, :, None] + np.einsum("ki,kln,lj->ijn", factor, mode.products.A[0], factor)
    # columns of the inverse transposed factor turn and scale the nodes
    turn = np.linalg.inv(np.linalg.cholesky(H.transpose(2, 0, 1))).transpose(0, 2, 1)
    grid = np.stack(np.meshgrid(*[rule.x] * q, indexing="ij")).reshape(q, -1)
    log_w = np.sum(np.meshgrid(*[rule.log_w] * q, indexing="ij"), axis=0).ravel()
    u = mode.u[0][:, None, :] + np.einsum("nij,jk->ikn", turn, grid)
    h, parts = np.empty((grid.shape[1], len(starts))), []
    for k in range(grid.shape[1]):
        b = factor @ u[:, k]
        eta = fixed + (Z * b[:, leaf]).sum(axis=0)
        log_density, score, weight = problem.family.slopes(eta, problem.outcome)
        h[k] = np.add.reduceat(log_density, starts) - 0.5 * (u[:, k] ** 2).sum(axis=0)
        s = np.add.reduceat(Z * score, starts, axis=1)
        information = np.add.reduceat(Z[:, None] * Z[None] * weight, starts, axis=2)
        parts.append((score, information - s[:, None] * s[None], _shape_density(problem, eta)))
    log, share = _shares(log_w[:, None] + h)
    log += np.log(np.abs(np.linalg.det(turn))) - 0.5 * q * LOG_TWO_PI
    by_row = share[:, leaf]
    return _Means(
        log,
        np.asarray(sum(w * part[0] for w, part in zip(by_row, parts, strict=True))),
        np.asarray(sum(w * part[2] for w, part in zip(by_row, parts, strict=True))),
        [np.asarray(sum((w * part[1]).sum(axis=2) for w, part in zip(share, parts, strict=True)))],
    )


def _shares(exponent: Array) -> tuple[Array, Array]:
    """Return the log of the sum over the first axis, and each term's share in it."""
    total = special.logsumexp(exponent, axis=0)
    return total, np.exp(exponent - total)


def _nested(
    problem: GeneralizedProblem, factors: list[Array], mode: Mode, fixed: Array, rule: _Rule
) -> _Means:
    """Integrate one effect of each inner unit at each node of its outer unit's, then those."""
    rows, n_nodes = problem.rows, len(rule.x)
    z, size = [_columns(problem, level)[0] for level in (0, 1)], [f[0, 0] for f in factors]
    starts, leaf, outer = rows.starts, rows.leaf, rows.ancestors[1]
    first = np.flatnonzero(np.r_[True, np.diff(outer) != 0])
    cross = size[0] * size[1] * np.add.reduceat(z[0] * z[1] * mode.weight, starts)
    own = 1.0 + size[0] ** 2 * np.add.reduceat(z[0] ** 2 * mode.weight, starts)
    above = np.add.reduceat(np.add.reduceat(z[1] ** 2 * mode.weight, starts), first)
    left = 1.0 + size[1] ** 2 * above - np.add.reduceat(cross**2 / own, first)
    spread, inner_spread = 1.0 / np.sqrt(left), 1.0 / np.sqrt(own)
    u = mode.u[1][0] + spread * rule.x[:, None]
    inner_log = np.empty((n_nodes, len(starts)))
    inner = []
    for k in range(n_nodes):
        moved = (u[k] - mode.u[1][0])[outer]
        middle = mode.u[0][0] - cross / own * moved
        known = fixed + size[1] * z[1] * u[k][outer][leaf]
        log, means = _inner(
            problem, z, size[0], known, middle=middle, spread=inner_spread, rule=rule
        )
        inner_log[k] = log
        inner.append(means)
    h = np.add.reduceat(inner_log, first, axis=1) - 0.5 * u * u
    log, share = _shares(rule.log_w[:, None] + h)
    log += np.log(spread) - 0.5 * LOG_TWO_PI
    slopes = np.zeros(2)
    score, shape = np.zeros(problem.n), np.zeros_like(inner[0].shape)
    for w, means in zip(share, inner, strict=True):
        at_leaf = w[outer]
        score += at_leaf[leaf] * means.score
        shape += at_leaf[leaf] * means.shape
        slopes[0] += float(at_leaf @ (means.weight[0] - means.square[0]))
        # given the outer effect inner units are independent: squares of sums from their moments
        total = np.add.reduceat(means.sum, first)
        variance = np.add.reduceat(means.square[1] - means.sum**2, first)
        slopes[1] += float(w @ (np.add.reduceat(means.weight[1], first) - total**2 - variance))
    return _Means(log, score, shape, [np.array([[slope]]) for slope in slopes])


@dataclass(frozen=True, slots=True, eq=False)
class _Inner:
    """Means over an inner unit's nodes, the outer effect given.

    Attributes
    ----------
    score, shape
        Of each row.
    sum
        Of the outer column times the scores, a value per inner unit.
    square, weight
        Of the squared sums of inner and outer column times scores, and of their information.
    """

    score: Array
    shape: Array
    sum: Array
    square: Array
    weight: Array


def _inner(
    problem: GeneralizedProblem,
    z: Sequence[Array],
    size: float,
    known: Array,
    *,
    middle: Array,
    spread: Array,
    rule: _Rule,
) -> tuple[Array, _Inner]:
    """Integrate the inner units' effects given the rest of the predictor."""
    starts, leaf = problem.rows.starts, problem.rows.leaf
    v = middle + spread * rule.x[:, None]
    h, parts = np.empty_like(v), []
    for k in range(len(v)):
        eta = known + size * z[0] * v[k][leaf]
        log_density, score, weight = problem.family.slopes(eta, problem.outcome)
        h[k] = np.add.reduceat(log_density, starts) - 0.5 * v[k] ** 2
        sums = np.stack([np.add.reduceat(column * score, starts) for column in z])
        weights = np.stack([np.add.reduceat(column**2 * weight, starts) for column in z])
        parts.append((score, _shape_density(problem, eta), sums, weights))
    log, share = _shares(rule.log_w[:, None] + h)
    by_row = share[:, leaf]
    return log + np.log(spread) - 0.5 * LOG_TWO_PI, _Inner(
        np.asarray(sum(w * part[0] for w, part in zip(by_row, parts, strict=True))),
        np.asarray(sum(w * part[1] for w, part in zip(by_row, parts, strict=True))),
        np.asarray(sum(w * part[2][1] for w, part in zip(share, parts, strict=True))),
        np.asarray(sum(w * part[2] ** 2 for w, part in zip(share, parts, strict=True))),
        np.asarray(sum(w * part[3] for w, part in zip(share, parts, strict=True))),
    )
