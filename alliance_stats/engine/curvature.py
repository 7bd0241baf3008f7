"""First and second derivatives of the likelihood's parts, in parameters that enter V linearly.

The covariance of the outcome is ``V = s I + Z D Z'``. Every term's ``D`` is written as ``L M L'``
with ``L`` a factor of the fitted ``D`` and ``M = I`` at the fit, so the parameters are the entries
of ``M`` and the residual variance ``s``, in units in which the fitted residual variance is 1. Where
a fitted covariance is singular, ``L`` has as many columns as its rank: the random effects are
reduced to the directions that vary, taken as known, and inference is that of the reduced model.
Kenward and Roger's method can instead still count parameters estimated at their boundary: the
parameters of such a term are then weights of rank-one matrices ``u u'`` that span its covariances,
and differences run forward only, since ``D`` cannot go below zero.

Parameters of a residual shape (relative SDs, a correlation) come after those of ``D``; they do not
enter linearly.

All Satterthwaite's and Kenward and Roger's methods need are ``log|V|`` and
``G = [X y]'V^-1[X y]`` with their derivatives. The first are analytic (one pass up and one down the
levels), the second central differences of the first; in a chain of nested factors those of G are
analytic too: with ``B_i = V_i V^-1 [X y]``, a sum of random effects, ``G_ij = B_i'V^-1 B_j +
B_j'V^-1 B_i`` takes one more pass up with the columns of all ``B``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import linalg

from alliance_stats.engine.blocks import CrossProducts
from alliance_stats.engine.criterion import (
    TWICE_STEP,
    Problem,
    Solution,
    at_eta,
    by_factor,
    eta_slopes,
    of_effects,
    posteriors,
    solve,
)
from alliance_stats.engine.descent import LevelPosterior, descend
from alliance_stats.engine.elimination import eliminate, multiply
from alliance_stats.engine.template import trapezoid
from alliance_stats.estimates import Array, Booleans

__all__ = ["Curvature", "covariance_curvature", "curvature", "entries_of_terms"]

# Step in M (whose fitted value is I): error of the difference 1e-8, of rounding about 1e-10.
STEP = 1e-4
# Forward step of a covariance at its boundary, in units in which it doubles what it adds to V; the
# difference of four points errs by 1e-9, rounding about 1e-10.
BOUNDARY_STEP = 1e-3
FORWARD = np.array([-11.0, 18.0, -9.0, 2.0]) / 6.0
# A direction in which the relative SD is smaller than this has left the model.
NO_VARIANCE = 1e-9
# Numbers in the columns of B beyond which differences take less memory.
LARGEST = 20_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """``G`` and ``log|V|`` with derivatives in k covariance parameters, at residual SD 1.

    Attributes
    ----------
    G
        ``[X y]'V^-1[X y]``, (p + 1, p + 1).
    G_1, G_2
        Its first (k, p + 1, p + 1) and second (k, k, p + 1, p + 1) derivatives.
    log_det_1, log_det_2
        Those of ``log|V|``: (k,) and (k, k).
    linear
        Whether every parameter enters V linearly.
    """

    G: Array
    G_1: Array
    G_2: Array
    log_det_1: Array
    log_det_2: Array
    linear: bool


class _Direction(NamedTuple):
    """One parameter: how far D of one term has gone along ``u v' + v u'`` (``u u'`` if alike)."""

    factor: int
    rows: slice
    u: Array
    v: Array

    @property
    def alike(self) -> bool:
        """Whether it is ``u u'``."""
        return self.u is self.v

    @property
    def entry(self) -> Array:
        """What a step along it adds to D, (q, q)."""
        one_way = np.outer(self.u, self.v)
        return one_way if self.alike else one_way + one_way.T

    def along(self, H: Array) -> tuple[Array, Array]:
        """Return ``u'H`` and ``v'H`` of every unit, for (q, width, units) numbers of its factor."""
        h_u = np.einsum("q,qrn->rn", self.u, H[self.rows])
        return h_u, h_u if self.alike else np.einsum("q,qrn->rn", self.v, H[self.rows])


class _Term(NamedTuple):
    """A term's factor ``L`` (q, rank) of its fitted D, its parameters, and their values there."""

    factor: int
    rows: slice
    L: Array
    directions: tuple[_Direction, ...]
    at_fit: Array
    boundary: bool


def curvature(
    problem: Problem,
    Lambda: Sequence[Array],
    sigma: float,
    *,
    boundary: bool = False,
    solution: Solution | None = None,
) -> Curvature:
    """Differentiate at the fit.

    Parameters
    ----------
    problem
        The fitted problem.
    Lambda
        Relative covariance factors at the fit.
    sigma
        Residual SD at the fit (1 where it is known).
    boundary
        Whether variances estimated as zero (and correlations of -1 or 1) still count as estimated;
        if not, the random effects are reduced to those that vary.
    solution
        The linear algebra at the fit, where it is known already.
    """
    terms = _terms(problem, Lambda, boundary=boundary)
    k = sum(len(term.directions) for term in terms)
    forward = np.array([term.boundary for term in terms for _ in term.directions], dtype=bool)
    n_eta = 0 if problem.eta is None else len(problem.eta)

    if n_eta == 0 and not forward.any() and _is_small_chain(problem, k):
        relative = _of_chain(problem, terms, Lambda, solution or solve(problem, Lambda))
    else:
        relative = _by_differences(problem, terms, k, forward)
    scale = np.append(np.ones(problem.p), 1.0 / sigma)
    outer = np.outer(scale, scale)
    G, G_1, G_2 = (own * outer for own in (relative.G, relative.G_1, relative.G_2))
    relative = replace(relative, G=G, G_1=G_1, G_2=G_2)
    if problem.known:
        return relative
    at_fit = np.concatenate([*(term.at_fit for term in terms), np.zeros(n_eta)])
    scales = np.append(np.ones(k), np.zeros(n_eta))
    return _with_residual_variance(relative, at_fit, scales, problem.n)


def _by_differences(
    problem: Problem, terms: Sequence[_Term], k: int, forward: Booleans
) -> Curvature:
    """Differentiate the first derivatives by differences, forward for covariances at a boundary."""
    n_eta = 0 if problem.eta is None else len(problem.eta)

    def first_order(step: Array) -> tuple[Array, Array, Array]:
        moved = problem
        if problem.eta is not None and step[k:].any():  # else no sum changes
            moved = at_eta(problem, problem.eta + step[k:])
        factors = _factors_at(problem, terms, step[:k])
        solution = solve(moved, factors)
        found = posteriors(moved, descend(moved.layout, solution.up))
        log_det_1, R_1 = _first_order(terms, found, moved.p + 1)
        slopes = eta_slopes(moved, factors, solution)
        R_1 = np.concatenate([R_1, slopes[1]])
        return np.append(log_det_1, slopes[0]), R_1, solution.up.R

    origin = first_order(np.zeros(k + n_eta))
    log_det_1, R_1, R = origin
    log_det_2 = np.empty((k + n_eta, k + n_eta))
    R_2 = np.empty((k + n_eta, *R_1.shape))
    for j in range(k + n_eta):
        unit = np.eye(k + n_eta)[j]
        if j < k and forward[j]:
            points = [origin, *(first_order(i * BOUNDARY_STEP * unit) for i in (1, 2, 3))]
            weights = FORWARD / BOUNDARY_STEP
        else:
            step = STEP if j < k else TWICE_STEP
            points = [first_order(-step * unit), first_order(step * unit)]
            weights = np.array([-0.5, 0.5]) / step
        log_det_2[:, j] = sum(w * point[0] for w, point in zip(weights, points, strict=True))
        R_2[:, j] = sum(w * point[1] for w, point in zip(weights, points, strict=True))
    log_det_2 = (log_det_2 + log_det_2.T) / 2.0
    R_2 = (R_2 + R_2.swapaxes(0, 1)) / 2.0
    return Curvature(R, R_1, R_2, log_det_1, log_det_2, linear=n_eta == 0)


def _is_small_chain(problem: Problem, k: int) -> bool:
    """Return whether factors are nested, and the columns of B, if any, fit into memory."""
    levels = problem.layout.levels
    width = k * (problem.p + 1)
    return (
        k > 0
        and not problem.layout.crossed
        and all(level.q * width * len(level.row_starts) <= LARGEST for level in levels)
    )


def _of_chain(
    problem: Problem, terms: Sequence[_Term], Lambda: Sequence[Array], solution: Solution
) -> Curvature:
    """Differentiate for nested factors: differences of ``log|V|``'s slopes alone."""
    found = posteriors(problem, descend(problem.layout, solution.up))
    log_det_1, R_1 = _first_order(terms, found, problem.p + 1)
    k, m = len(log_det_1), problem.p + 1
    R = _between_B(problem, terms, found, Lambda).reshape(k, m, k, m).swapaxes(1, 2)
    effects = of_effects(problem)

    def slopes(step: Array) -> Array:
        factors = by_factor(problem, _factors_at(problem, terms, step))
        down = descend(problem.layout, eliminate(problem.layout, effects, *factors))
        return _first_order(terms, posteriors(problem, down), 0)[0]

    differences = [slopes(step) - slopes(-step) for step in STEP * np.eye(k)]
    log_det_2 = np.column_stack(differences) / (2.0 * STEP)
    log_det_2 = (log_det_2 + log_det_2.T) / 2.0
    return Curvature(solution.up.R, R_1, R + R.swapaxes(2, 3), log_det_1, log_det_2, linear=True)


def _between_B(
    problem: Problem,
    terms: Sequence[_Term],
    found: Sequence[LevelPosterior],
    Lambda: Sequence[Array],
) -> Array:
    """Return ``B'V^-1 B``, (k m, k m), from one pass up; m columns for each of the k parameters."""
    layout, products = problem.layout, problem.products
    directions = [direction for term in terms for direction in term.directions]
    place = {level.factor: number for number, level in enumerate(layout.levels)}
    effects = []  # of each parameter: its level, and effects b, (q, m, units), with B = Z b
    for d in directions:
        H = found[d.factor].H
        b = np.zeros_like(H)
        h_u, h_v = d.along(H)
        b[d.rows] = d.u[:, None, None] * h_v + (0.0 if d.alike else d.v[:, None, None] * h_u)
        effects.append((place[d.factor], b))
    C, pulls = [], []
    for k in range(len(layout.levels)):
        pulls.append(np.concatenate([_pulled_by(problem, k, at, b) for at, b in effects], axis=1))
        C.append(np.concatenate([products.C[k][:, : layout.above(k)], pulls[k]], axis=1))
    R = np.concatenate([np.tensordot(b, pulls[at], axes=([0, 2], [0, 2])) for at, b in effects])
    ready = CrossProducts(products.A, tuple(C), R)
    return eliminate(layout, ready, *by_factor(problem, Lambda)).R


def _pulled_by(problem: Problem, k: int, at: int, b: Array) -> Array:
    """Return ``Z_k'Z b`` of every unit of level k, for effects b of the units of level `at`."""
    layout, products = problem.layout, problem.products
    if k == at:
        return multiply(products.A[k], b)
    inner, outer = min(k, at), max(k, at)
    first = sum(level.q for level in layout.levels[inner + 1 : outer])
    between = products.C[inner][:, first : first + layout.levels[outer].q]
    if k == inner:
        home = np.arange(len(layout.levels[k].row_starts))
        for level in layout.levels[inner:outer]:
            home = level.parent[home]
        return multiply(between, b[..., home])
    starts = layout.levels[inner].starts_above[outer - inner - 1]
    return np.add.reduceat(multiply(between.swapaxes(0, 1), b), starts, axis=-1)


def entries_of_terms(problem: Problem, Lambda: Sequence[Array]) -> list[list[Array]]:
    """Return, for each term, the contribution of each parameter at the boundary to D, (q, q)."""
    terms = _terms(problem, Lambda, boundary=True)
    return [[direction.entry for direction in term.directions] for term in terms]


def covariance_curvature(problem: Problem, sigma: float) -> Curvature | None:
    """Differentiate in the entries of a covariance by visits, which enter V linearly.

    Parameters
    ----------
    problem
        The fitted problem.
    sigma
        Residual SD at the fit.

    Returns
    -------
    Curvature or None
        None where V is not linear in the parameters of the residuals, or also has random terms.
    """
    shape, rows, eta = problem.shape, problem.rows, problem.eta
    entries = None if shape is None or problem.layout.levels else shape.linear_entries()
    if entries is None or shape is None or rows is None or eta is None:
        return None
    whole = shape.covariance_of_visits(eta)
    Xy = rows.Xy * np.append(np.ones(problem.p), 1.0 / sigma)[:, None]
    m, k = len(Xy), len(entries)
    G, G_1, G_2 = np.zeros((m, m)), np.zeros((k, m, m)), np.zeros((k, k, m, m))
    log_det_1, log_det_2 = np.zeros(k), np.zeros((k, k))
    for pattern in shape.patterns:
        at = np.ix_(pattern.visits, pattern.visits)
        inverse = np.linalg.inv(whole[at])
        E = entries[:, pattern.visits[:, None], pattern.visits[None]]
        t, n = len(pattern.visits), len(pattern.rows)
        wide = Xy[:, pattern.rows].transpose(2, 0, 1).reshape(t * m, n)
        W = (wide @ wide.T).reshape(t, m, t, m).transpose(0, 2, 1, 3).reshape(t * t, m * m)
        half = inverse @ E
        first = half @ inverse
        second = np.einsum("kab,lbc->klac", half, first)
        second = second + second.swapaxes(2, 3)
        G += (inverse.ravel() @ W).reshape(m, m)
        G_1 -= (first.reshape(k, -1) @ W).reshape(k, m, m)
        G_2 += (second.reshape(k * k, -1) @ W).reshape(k, k, m, m)
        log_det_1 += n * np.trace(half, axis1=1, axis2=2)
        log_det_2 -= n * np.einsum("kab,lba->kl", half, half)
    return Curvature(G, G_1, G_2, log_det_1, log_det_2, linear=True)


def _terms(problem: Problem, Lambda: Sequence[Array], *, boundary: bool) -> list[_Term]:
    """Choose each term's parameters."""
    posterior = (
        posteriors(problem, descend(problem.layout, solve(problem, Lambda).up)) if boundary else []
    )
    found = []
    for f, rows in problem.template.terms():
        U, s, _ = linalg.svd(Lambda[f][rows, rows])
        varies = s > NO_VARIANCE
        L = U[:, varies] * s[varies]
        if boundary and not varies.all():
            n_units = posterior[f].H.shape[-1]
            found.append(_whole_term(f, rows, L, posterior[f].S[rows, rows] / n_units))
            continue
        columns = [L[:, a] for a in range(L.shape[1])]
        pairs = [(a, b) for b in range(len(columns)) for a in range(b, len(columns))]
        directions = tuple(_Direction(f, rows, columns[a], columns[b]) for a, b in pairs)
        at_fit = np.array([float(a == b) for a, b in pairs])
        found.append(_Term(f, rows, L, directions, at_fit, boundary=False))
    return found


def _whole_term(f: int, rows: slice, L: Array, S: Array) -> _Term:
    """Span all covariances of a term by ``u u'`` of a size that tells in V: ``u'Su`` is about 1."""
    T = linalg.inv(linalg.cholesky(S))
    q = len(T)
    u = [T[:, a] for a in range(q)]
    u += [T[:, a] + T[:, b] for a in range(q) for b in range(a)]
    lower = np.tril_indices(q)
    spanned = np.column_stack([np.outer(x, x)[lower] for x in u])
    at_fit = linalg.solve(spanned, (L @ L.T)[lower])
    return _Term(f, rows, L, tuple(_Direction(f, rows, x, x) for x in u), at_fit, boundary=True)


def _factors_at(problem: Problem, terms: Sequence[_Term], step: Array) -> list[Array]:
    """Covariance factors a step away from the fit."""
    Lambda = problem.template.factors(np.zeros(problem.template.n_theta))
    position = 0
    for term in terms:
        own = step[position : position + len(term.directions)]
        position += len(own)
        half = _boundary_factor(term, own) if term.boundary else _interior_factor(term, own)
        Lambda[term.factor][term.rows, term.rows][:, : half.shape[1]] = half
    return Lambda


def _interior_factor(term: _Term, step: Array) -> Array:
    """``L`` times the root of ``M = I + step``."""
    r = term.L.shape[1]
    if r == 1:
        return np.asarray(term.L * np.sqrt(1.0 + step[0]))
    M = np.eye(r)
    pairs = [(a, b) for b in range(r) for a in range(b, r)]
    for (a, b), moved in zip(pairs, step, strict=True):
        M[a, b] += moved
        M[b, a] = M[a, b]
    return term.L @ linalg.cholesky(M, lower=True) if r else term.L


def _boundary_factor(term: _Term, step: Array) -> Array:
    """Lower-triangular root of ``D`` plus the steps along ``u u'``."""
    more = [np.sqrt(t) * d.u for t, d in zip(step, term.directions, strict=True) if t > 0.0]
    return trapezoid(np.column_stack([term.L, *more]))


def _first_order(
    terms: Sequence[_Term], found: Sequence[LevelPosterior], width: int
) -> tuple[Array, Array]:
    """Differentiate ``log|V|`` and ``R``, of `width` columns, at residual SD 1."""
    directions = [direction for term in terms for direction in term.directions]
    log_det = np.empty(len(directions))
    R_1 = np.empty((len(directions), width, width))
    for i, d in enumerate(directions):
        post = found[d.factor]
        S = float(d.u @ post.S[d.rows, d.rows] @ d.v)
        h_u, h_v = d.along(post.H)
        product = h_u @ h_v.T
        log_det[i] = S if d.alike else 2.0 * S
        R_1[i] = -product if d.alike else -(product + product.T)
    return log_det, R_1


def _with_residual_variance(rel: Curvature, M: Array, scales: Array, n: int) -> Curvature:
    """Add the residual variance s as the last parameter, at s = 1.

    ``G(M, s) = F(M / s) / s`` and ``log|V| = n log s + ld(M / s)``, differentiated at s = 1;
    `scales` is 1 for the parameters that are divided by s and 0 for those of the residual shape.
    """
    F_M = np.tensordot(M, rel.G_1, axes=1)
    F_jM = np.tensordot(M, rel.G_2, axes=1)
    F_MM = np.tensordot(M, F_jM, axes=1)
    G_s = -rel.G - F_M
    G_js = -(1.0 + scales)[:, None, None] * rel.G_1 - F_jM
    G_ss = 2.0 * rel.G + 4.0 * F_M + F_MM
    ld_M = float(M @ rel.log_det_1)
    ld_js = -scales * rel.log_det_1 - rel.log_det_2 @ M
    ld_ss = -n + 2.0 * ld_M + float(M @ rel.log_det_2 @ M)
    k = len(M)
    G_2 = np.empty((k + 1, k + 1, *rel.G.shape))
    G_2[:k, :k], G_2[:k, k], G_2[k, :k], G_2[k, k] = rel.G_2, G_js, G_js, G_ss
    log_det_2 = np.block([[rel.log_det_2, ld_js[:, None]], [ld_js, np.array(ld_ss)]])
    return Curvature(
        rel.G,
        np.concatenate([rel.G_1, G_s[None]]),
        G_2,
        np.append(rel.log_det_1, n - ld_M),
        log_det_2,
        rel.linear,
    )
