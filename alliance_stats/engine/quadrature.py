"""Adaptive Gauss-Hermite quadrature: one random effect per unit, or two.

For each unit the integral over its effect u is taken at nodes placed around the mode and scaled by
the curvature there (Pinheiro & Bates 1995, doi:10.1080/10618600.1995.10474663; Pinheiro & Chao
2006, doi:10.1198/106186006X96962):

    I = sqrt(2) s sum_k w_k exp(x_k^2 + h(u + sqrt(2) s x_k)) / sqrt(2 pi)

with ``h`` the log of density times prior, ``u`` its mode, ``s = (-h'')^(-1/2)`` and Gauss-Hermite
nodes x and weights w. One node is the Laplace approximation. The gradient is that of the sum as
computed: the nodes move with the parameters, and are followed by the implicit function theorem.

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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from alliance_stats.engine.laplace import (
    GeneralizedProblem,
    LaplaceSlopes,
    Mode,
    find_mode,
    laplace,
)
from alliance_stats.estimates import Array

__all__ = ["adaptive_quadrature", "check_node_count", "criterion_of"]

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


def _quadrature_of_two(
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


MOST_NODES = 100
# A relative SD under which the unit's integral is that of a constant.
NO_SPREAD = 1e-5


def check_node_count(nodes: object, *, most: int = MOST_NODES) -> None:
    """Refuse what is no number of nodes from 1 to `most`."""
    if not isinstance(nodes, int) or not 1 <= nodes <= most:
        raise ValueError(f"nodes must be a whole number from 1 to {most}; got {nodes!r}.")


def criterion_of(
    nodes: int,
) -> Callable[[GeneralizedProblem, Sequence[Array], Array, Sequence[Array]], LaplaceSlopes]:
    """Return the Laplace approximation for one node, quadrature for more."""
    if nodes == 1:
        return laplace
    of_one = adaptive_quadrature(nodes)

    def criterion(
        problem: GeneralizedProblem, Lambda: Sequence[Array], gamma: Array, start: Sequence[Array]
    ) -> LaplaceSlopes:
        if [len(factor) for factor in Lambda] == [1]:
            return of_one(problem, Lambda, gamma, start)
        return _quadrature_of_two(nodes, problem, Lambda, gamma, start)

    return criterion


def adaptive_quadrature(
    nodes: int,
) -> Callable[[GeneralizedProblem, Sequence[Array], Array, Sequence[Array]], LaplaceSlopes]:
    """Return a criterion with this many nodes, to replace the Laplace approximation."""
    x, w = special.roots_hermite(nodes)

    def criterion(
        problem: GeneralizedProblem, Lambda: Sequence[Array], gamma: Array, start: Sequence[Array]
    ) -> LaplaceSlopes:
        size = float(Lambda[0][0, 0])
        mode = find_mode(problem, Lambda, gamma, start)
        fixed = problem.offset + gamma @ problem.Q
        found = _integrate(problem, size, mode, fixed, (x, np.log(w)))
        return _slopes(problem, size, mode, found, x)

    return criterion


@dataclass(frozen=True, slots=True, eq=False)
class _Integral:
    """Sums over nodes, one value per unit.

    Attributes
    ----------
    log
        Log of the integral.
    share
        Each node's share in it, (nodes, units).
    u
        Positions of the nodes, (nodes, units).
    pull
        ``h'`` at the nodes, (nodes, units).
    score
        Shares times the rows' scores, summed over nodes, (n,).
    along
        ``sum_i z_i score_i`` at the nodes, (nodes, units).
    shape
        Shares times the slopes of the rows' log-densities in their further parameters, (k, n).
    """

    log: Array
    share: Array
    u: Array
    pull: Array
    score: Array
    along: Array
    shape: Array


def _column(problem: GeneralizedProblem) -> Array:
    base = problem.rows.bases[0]
    multiple = float(problem.rows.factors[0][0, 0])
    return np.full(problem.n, multiple) if base is None else multiple * base


def _spread_of(size: float, mode: Mode) -> Array:
    return np.asarray(1.0 / np.sqrt(1.0 + size**2 * mode.products.A[0][0, 0]))


def _integrate(
    problem: GeneralizedProblem, size: float, mode: Mode, fixed: Array, rule: tuple[Array, Array]
) -> _Integral:
    x, log_w = rule
    rows, z = problem.rows, _column(problem)
    starts, counts = rows.starts, rows.counts
    s = _spread_of(size, mode)
    u = mode.u[0][0] + np.sqrt(2.0) * s * x[:, None]
    h, along, scores, shapes = np.empty_like(u), np.empty_like(u), [], []
    for k in range(len(x)):
        eta = fixed + size * z * np.repeat(u[k], counts)
        if problem.family.shape_slopes is not None:
            shapes.append(problem.family.shape_slopes(eta, problem.outcome)[0])
        log_density, score, _ = problem.family.slopes(eta, problem.outcome)
        h[k] = np.add.reduceat(log_density, starts) - u[k] ** 2 / 2.0
        along[k] = np.add.reduceat(z * score, starts)
        scores.append(score)
    exponent = log_w[:, None] + x[:, None] ** 2 + h
    total = special.logsumexp(exponent, axis=0)
    share = np.exp(exponent - total)
    mean_score = sum(np.repeat(share[k], counts) * score for k, score in enumerate(scores))
    mean_shape = sum(np.repeat(share[k], counts) * own for k, own in enumerate(shapes))
    log = total + np.log(s) - np.log(np.pi) / 2.0
    pull = size * along - u
    return _Integral(log, share, u, pull, np.asarray(mean_score), along, np.asarray(mean_shape))


def _slopes(
    problem: GeneralizedProblem, size: float, mode: Mode, found: _Integral, x: Array
) -> LaplaceSlopes:
    """Differentiate: through the integrand, through the mode, and through the nodes' spread."""
    rows, z = problem.rows, _column(problem)
    starts, counts = rows.starts, rows.counts
    third = problem.family.third(mode.eta, problem.outcome)
    information = mode.products.A[0][0, 0]
    s = _spread_of(size, mode)
    u = mode.u[0][0]
    cubed = np.add.reduceat(z**3 * third, starts)
    # slopes of log I in s, in s^-2 and, both ways counted, in the mode
    in_s = (found.share * found.pull * np.sqrt(2.0) * x[:, None]).sum(axis=0) + 1.0 / s
    in_curvature = -0.5 * s**3 * in_s
    in_mode = (found.share * found.pull).sum(axis=0) + in_curvature * size**3 * cubed

    by_row = found.score
    by_row = by_row - np.repeat(in_mode * size * s**2, counts) * z * mode.weight
    by_row = by_row + np.repeat(in_curvature * size**2, counts) * z * z * third
    shape = np.empty((0, problem.n))
    if problem.family.shape_slopes is not None:
        _, by_score, by_weight = problem.family.shape_slopes(mode.eta, problem.outcome)
        shape = found.shape + np.repeat(in_mode * size * s**2, counts) * z * by_score
        shape = -2.0 * (shape + np.repeat(in_curvature * size**2, counts) * z * z * by_weight)
    deviance = -2.0 * float(found.log.sum()) - 2.0 * problem.outcome.constant
    along_mode = np.add.reduceat(z * mode.score, starts)
    if abs(size) < NO_SPREAD:
        slope = float((information - along_mode**2).sum())
    else:
        mode_in_size = s**2 * (along_mode - size * information * u)
        in_size = (found.share * found.u * found.along).sum(axis=0)
        in_size = in_size + in_mode * mode_in_size
        in_size = in_size + in_curvature * (2.0 * size * information + size**2 * cubed * u)
        slope = -float(in_size.sum()) / size
    return LaplaceSlopes(deviance, -2.0 * problem.Q @ by_row, [np.array([[slope]])], mode, shape)
