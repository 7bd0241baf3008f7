"""Adaptive Gauss-Hermite quadrature for one random effect per unit.

For each unit the integral over its effect u is taken at nodes placed around the mode and scaled by
the curvature there (Pinheiro & Bates 1995, doi:10.1080/10618600.1995.10474663; Pinheiro & Chao
2006, doi:10.1198/106186006X96962):

    I = sqrt(2) s sum_k w_k exp(x_k^2 + h(u + sqrt(2) s x_k)) / sqrt(2 pi)

with ``h`` the log of density times prior, ``u`` its mode, ``s = (-h'')^(-1/2)`` and Gauss-Hermite
nodes x and weights w. One node is the Laplace approximation. The gradient is that of the sum as
computed: the nodes move with the parameters, and are followed by the implicit function theorem.
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
from alliance_stats.engine.several_quadrature import quadrature_of_two
from alliance_stats.estimates import Array

__all__ = ["adaptive_quadrature", "criterion_of"]

MOST_NODES = 100
# A relative SD under which the unit's integral is that of a constant.
NO_SPREAD = 1e-5


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
        return quadrature_of_two(nodes, problem, Lambda, gamma, start)

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
    problem: GeneralizedProblem,
    size: float,
    mode: Mode,
    fixed: Array,
    rule: tuple[Array, Array],
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
