"""The likelihood of competing endings whose groups differ in each, with its gradient.

A group has one effect an ending, ``b = Lambda u`` with ``u ~ N(0, I)``, and row i of it

    log P(k) / P(none) = x_i beta_k + b_k.

Each group's integral over u is taken by adaptive Gauss-Hermite quadrature, a product rule centred
at the mode and scaled by the curvature there (Pinheiro & Bates 1995,
doi:10.1080/10618600.1995.10474663; multinomial: Hartzel, Agresti & Caffo 2001,
doi:10.1177/1471082X0100100201): with g the log of density times prior, ``A = -g''`` at the mode and
``C C' = A^-1``,

    I = |C| sum_k w_k exp(g(u + C x_k) + |x_k|^2 / 2).

One node is the Laplace approximation. The gradient is that of the sum as computed: nodes move with
the parameters, and are followed through the mode and through the Cholesky factor.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from scipy import special

from alliance_stats.estimates import Array
from alliance_stats.survival.by_session.ending_logit import GroupedRows, Mode, densities, find_mode

__all__ = ["Rule", "Slopes", "deviance", "rule_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A product rule for the standard normal: points (nodes, q), logs of weights times density."""

    x: Array
    log_weight: Array


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """-2 log-likelihood with its slopes in beta (endings, p) and Lambda (endings, endings)."""

    deviance: float
    beta: Array
    Lambda: Array
    u: Array


@functools.cache
def rule_of(nodes: int, dimensions: int) -> Rule:
    """Return the product rule with so many nodes a dimension."""
    x, w = special.roots_hermitenorm(nodes)
    log_weight = np.log(w / w.sum()) + x**2 / 2.0
    points = np.array(list(itertools.product(x, repeat=dimensions))).reshape(
        len(x) ** dimensions, dimensions
    )
    logs = np.array(list(itertools.product(log_weight, repeat=dimensions)))
    return Rule(points, logs.reshape(len(points), dimensions).sum(axis=1))


def deviance(rows: GroupedRows, beta: Array, Lambda: Array, u: Array, nodes: int) -> Slopes:
    """Integrate over every group's effects.

    Parameters
    ----------
    rows
        The data.
    beta
        (endings, p), 0 where a column does not count.
    Lambda
        (endings, endings) factor of the effects' covariance; columns of zeros are not integrated.
    u
        (groups, endings) where to begin the search of the modes.
    nodes
        A dimension; 1 for the Laplace approximation.
    """
    own = np.flatnonzero(Lambda.any(axis=0))
    L = Lambda[:, own]
    fixed = beta @ rows.X.T + rows.blocked
    mode = find_mode(rows, fixed, L, u[:, own])
    found = _integrate(rows, fixed, L, mode, rule_of(nodes, len(own)))
    by_row, by_factor = _slopes(rows, L, mode, found)
    slopes, modes = np.zeros_like(Lambda), np.zeros_like(u)
    slopes[:, own], modes[:, own] = -2.0 * by_factor, mode.u
    return Slopes(-2.0 * float(found.log.sum()), -2.0 * by_row @ rows.X, slopes, modes)


@dataclass(frozen=True, slots=True, eq=False)
class _Integral:
    """Sums over nodes, each node with its share of the group's integral.

    Attributes
    ----------
    log
        (groups,) log of the integral.
    residual
        (endings, n) what came less its probability.
    pull
        (groups, q) slope of the log integrand.
    stretch
        (groups, q, q) the same times the node.
    along
        (endings, q) the rows' scores times where the node lies, summed over groups.
    C
        (groups, q, q) upper triangle with ``C C' = A^-1``.
    """

    log: Array
    residual: Array
    pull: Array
    stretch: Array
    along: Array
    C: Array


def _integrate(rows: GroupedRows, fixed: Array, L: Array, mode: Mode, rule: Rule) -> _Integral:
    C = np.linalg.inv(np.linalg.cholesky(mode.A)).transpose(0, 2, 1)
    total, residual = np.zeros(len(mode.u)), np.zeros_like(mode.P)
    pull, stretch = np.zeros_like(mode.u), np.zeros_like(C)
    along = np.zeros((len(mode.u), *L.shape))
    for x, log_weight in zip(rule.x, rule.log_weight, strict=True):
        u = mode.u + C @ x
        log_density, P = densities(rows, fixed + rows.spread(u @ L.T))
        g = rows.sums(log_density) - (u**2).sum(axis=1) / 2.0
        weight = np.exp(log_weight + g - mode.height)  # the mode is highest: no overflow
        off = rows.came - P
        score = rows.sums(off).T
        slope = weight[:, None] * (score @ L - u)
        total += weight
        residual += np.repeat(weight, rows.sizes) * off
        pull += slope
        stretch += slope[:, :, None] * x
        along += weight[:, None, None] * score[:, :, None] * u[:, None, :]
    log = mode.height + np.log(total) + np.log(np.einsum("gii->gi", C)).sum(axis=1)
    return _Integral(
        log,
        residual / np.repeat(total, rows.sizes),
        pull / total[:, None],
        stretch / total[:, None, None],
        (along / total[:, None, None]).sum(axis=0),
        C,
    )


def _slopes(rows: GroupedRows, L: Array, mode: Mode, found: _Integral) -> tuple[Array, Array]:
    """Differentiate the log integrals by each row's log odds (endings, n), and by L.

    Backwards: through the integrand, through C (``dC = -C Phi(C' dA C)'`` with Phi the lower
    triangle, its diagonal halved), through A, and through the mode.
    """
    C = found.C
    lower = np.tril(found.stretch.transpose(0, 2, 1) @ C)
    by_C = (np.tril(lower, -1) + np.tril(lower, -1).transpose(0, 2, 1)) / 2.0
    by_C += np.eye(L.shape[1]) * (lower + 1.0) / 2.0
    by_A = -C @ by_C @ C.transpose(0, 2, 1)
    by_factor = found.along + 2.0 * (mode.information @ L @ by_A).sum(axis=0)
    # the information's slope in a row's log odds: W (diag S - 2 S P)
    S = L @ by_A @ L.T
    off = rows.spread(np.einsum("gaa->ga", S)) - 2.0 * _times(rows, S, mode.P)
    third = mode.P * off - mode.P * (mode.P * off).sum(axis=0)
    moved = rows.sums(third).T
    by_factor += moved.T @ mode.u
    # the mode moves by A^-1 of how its equation L'score = u is pushed
    push = np.linalg.solve(mode.A, (found.pull + moved @ L)[:, :, None])[:, :, 0]
    by_factor += mode.score.T @ push
    by_factor -= np.einsum("gab,gb->ga", mode.information, push @ L.T).T @ mode.u
    shift = rows.spread(push @ L.T)
    followed = mode.P * shift - mode.P * (mode.P * shift).sum(axis=0)
    return found.residual + third - followed, by_factor


def _times(rows: GroupedRows, S: Array, P: Array) -> Array:
    """Multiply each row's (endings,) by its group's (endings, endings)."""
    return np.stack(
        [(np.repeat(S[:, a, :].T, rows.sizes, axis=1) * P).sum(axis=0) for a in range(len(P))]
    )
