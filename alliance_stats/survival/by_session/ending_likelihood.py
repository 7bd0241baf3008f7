"""The likelihood of competing endings whose groups differ in each, with its gradient.

A group has one effect per ending, ``b = Lambda u`` with ``u ~ N(0, I)``, and its row i has

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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from alliance_stats.engine.template import Coordinates, Slopes, Template
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.survival.by_session.ending_logit import EndingRows

__all__ = [
    "EndingCriterion",
    "EndingSlopes",
    "GroupedRows",
    "deviance",
    "find_mode",
    "group_rows",
    "rule_of",
]

# Log odds of an ending that cannot come: its probability is exactly 0, without infinities.
_NEVER = -1e300
_MODE_STEPS = 60
_MODE_HALVINGS = 30
# Squared length of a mode's Newton step, in SDs, after which the next is rounding.
_MODE_DONE = 1e-24


@dataclass(frozen=True, slots=True, eq=False)
class GroupedRows:
    """Rows in the order of their groups.

    Attributes
    ----------
    X
        (n, p).
    came
        (endings, n): 1 where the ending occurred.
    blocked
        (endings, n): added to the log odds; 0 where the ending is possible.
    starts, sizes
        (groups,) first row and number of rows of each.
    """

    X: Array
    came: Array
    blocked: Array
    starts: Integers
    sizes: Integers

    def sums(self, values: Array) -> Array:
        """Sum (..., n) over each group's rows."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1))

    def spread(self, values: Array) -> Array:
        """Give each row its group's value: (groups, k) to (k, n)."""
        return np.repeat(values.T, self.sizes, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Mode:
    """Most likely effects of each group, and the likelihood about them.

    Attributes
    ----------
    u
        (groups, q) spherical effects.
    height
        (groups,) log of density times prior.
    P
        (endings, n) probabilities.
    score
        (groups, endings) slopes of the log density.
    information
        (groups, endings, endings) minus its curvature.
    A
        (groups, q, q) minus the curvature of ``height`` in u.
    """

    u: Array
    height: Array
    P: Array
    score: Array
    information: Array
    A: Array


def group_rows(rows: EndingRows, group: Integers) -> GroupedRows:
    """Bring rows into the order of their groups, numbered 0, 1, ... without gaps."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    return GroupedRows(
        rows.X[order],
        np.ascontiguousarray(rows.came[order, 1:].T),
        np.ascontiguousarray(np.where(rows.possible[order], 0.0, _NEVER).T),
        np.cumsum(sizes) - sizes,
        sizes,
    )


def find_mode(rows: GroupedRows, fixed: Array, L: Array, u: Array) -> Mode:
    """Climb to every group's mode by Newton's method: the function is strictly concave.

    Parameters
    ----------
    fixed
        (endings, n) log odds without effects.
    L
        (endings, q) factor.
    u
        (groups, q) start.
    """
    at = _mode_at(rows, fixed, L, u)
    for _ in range(_MODE_STEPS):
        slope = at.score @ L - at.u
        step = np.linalg.solve(at.A, slope[:, :, None])[:, :, 0]
        share = np.ones((len(step), 1))
        for _ in range(_MODE_HALVINGS):
            new = _mode_at(rows, fixed, L, at.u + share * step)
            worse = new.height < at.height - 1e-12 * (1.0 + np.abs(at.height))
            if not worse.any():
                break
            share[worse] /= 2.0
        at = new
        if float(np.max((step * slope).sum(axis=1), initial=0.0)) < _MODE_DONE:
            return at
    raise NotIdentifiedError(
        "The effects of a group could not be computed: the spread between groups ran away."
    )


def _mode_at(rows: GroupedRows, fixed: Array, L: Array, u: Array) -> Mode:
    log_density, P = densities(rows, fixed + rows.spread(u @ L.T))
    height = rows.sums(log_density) - (u**2).sum(axis=1) / 2.0
    score = rows.sums(rows.came - P).T
    k = len(P)
    information = np.empty((len(u), k, k))
    for a in range(k):
        for b in range(a + 1):
            information[:, a, b] = information[:, b, a] = rows.sums(P[a] * ((a == b) - P[b]))
    A = np.eye(L.shape[1]) + L.T @ information @ L
    return Mode(u, height, P, score, information, A)


def densities(rows: GroupedRows, eta: Array) -> tuple[Array, Array]:
    """Return each row's log probability of what came (n,), and of each ending (endings, n)."""
    top = np.maximum(eta.max(axis=0), 0.0)
    odds = np.exp(eta - top)
    total = np.exp(-top) + odds.sum(axis=0)
    return (rows.came * eta).sum(axis=0) - top - np.log(total), odds / total


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A product rule for the standard normal: points (nodes, q), logs of weights times density."""

    x: Array
    log_weight: Array


@dataclass(frozen=True, slots=True, eq=False)
class EndingSlopes:
    """-2 log-likelihood with its slopes in beta (endings, p) and Lambda (endings, endings)."""

    deviance: float
    beta: Array
    Lambda: Array
    u: Array


@functools.cache
def rule_of(nodes: int, dimensions: int) -> Rule:
    """Return the product rule with the given number of nodes per dimension."""
    x, w = special.roots_hermitenorm(nodes)
    log_weight = np.log(w / w.sum()) + x**2 / 2.0
    points = np.array(list(itertools.product(x, repeat=dimensions))).reshape(
        len(x) ** dimensions, dimensions
    )
    logs = np.array(list(itertools.product(log_weight, repeat=dimensions)))
    return Rule(points, logs.reshape(len(points), dimensions).sum(axis=1))


def deviance(rows: GroupedRows, beta: Array, Lambda: Array, u: Array, nodes: int) -> EndingSlopes:
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
        Nodes per dimension; 1 for the Laplace approximation.
    """
    own = np.flatnonzero(Lambda.any(axis=0))
    L = Lambda[:, own]
    fixed = beta @ rows.X.T + rows.blocked
    mode = find_mode(rows, fixed, L, u[:, own])
    found = _integrate(rows, fixed, L, mode, rule_of(nodes, len(own)))
    by_row, by_factor = _slopes(rows, L, mode, found)
    slopes, modes = np.zeros_like(Lambda), np.zeros_like(u)
    slopes[:, own], modes[:, own] = -2.0 * by_factor, mode.u
    return EndingSlopes(-2.0 * float(found.log.sum()), -2.0 * by_row @ rows.X, slopes, modes)


@dataclass(frozen=True, slots=True, eq=False)
class _Integral:
    """Sums over nodes, each node with its share of the group's integral.

    Attributes
    ----------
    log
        (groups,) log of the integral.
    residual
        (endings, n) what came minus its probability.
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


_RAN_AWAY = (
    "The likelihood of the competing endings could not be computed: the spread between groups, or "
    "a coefficient, ran away. Leave a term out, or join endings."
)


@dataclass(frozen=True, slots=True, eq=False)
class EndingCriterion:
    """The deviance in (theta, coefficients); the memory is where the modes were.

    Attributes
    ----------
    rows
        The data in the order of the groups.
    counts
        (endings, p): whether the ending has a coefficient of that column.
    scale
        Root of half the coefficients' covariance, near which the deviance curves like |x|^2 / 2.
    nodes
        Quadrature nodes per dimension; 1 for the Laplace approximation.
    template
        Which entries of the factor are free, at full rank.
    """

    rows: GroupedRows
    counts: Booleans
    scale: Array
    nodes: int
    template: Template

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.rows.X)

    def evaluate(self, Lambda: Sequence[Array], other: Array, memory: Array) -> Slopes:
        """Evaluate; far out, where numbers break down, say that there is no fit there."""
        beta = np.zeros(self.counts.shape)
        beta[self.counts] = other
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                found = deviance(self.rows, beta, Lambda[0], memory, self.nodes)
            except linalg.LinAlgError as broken:
                raise NotIdentifiedError(_RAN_AWAY) from broken
        if not (np.isfinite(found.deviance) and np.isfinite(found.beta).all()):
            raise NotIdentifiedError(_RAN_AWAY)
        return Slopes(found.deviance, [found.Lambda], found.beta[self.counts], None, found.u)

    def value(self, Lambda: Sequence[Array], other: Array, memory: Array) -> float:
        """Return the deviance alone."""
        return self.evaluate(Lambda, other, memory).deviance

    def coordinates(
        self, template: Template, Lambda: Sequence[Array], other: Array, memory: Array
    ) -> Coordinates:
        """Scale an SD by its error were effects known, coefficients by theirs without effects."""
        about = np.eye(template.n_theta) / np.sqrt(2.0 * len(self.rows.sizes))
        scale = linalg.block_diag(about, self.scale)
        return Coordinates(template, np.r_[template.theta(Lambda), other], scale, memory)
