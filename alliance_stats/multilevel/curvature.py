"""First and second derivatives of the likelihood's parts, in parameters that enter V linearly.

The covariance of the outcome is ``V = s I + Z D Z'``. Every term's ``D`` is written as
``L M L'`` with ``L`` a factor of the fitted ``D`` and ``M = I`` at the fit, so the parameters are
the entries of ``M`` and the residual variance ``s``, in units in which the fitted residual variance
is 1. Where a fitted covariance is singular, ``L`` has as many columns as its rank: the random
effects are reduced to the directions that vary, taken as known, and inference is that of the
reduced model.

Parameters of a residual shape (relative SDs, a correlation) stand behind those of ``D``; they do
not enter linearly.

All that Satterthwaite's and Kenward and Roger's methods need are ``log|V|`` and
``G = [X y]'V^-1[X y]`` with their derivatives. The first are analytic (one pass up and one down the
levels), the second central differences of the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.estimates import Array
from alliance_stats.multilevel.criterion import Problem, at_eta, posteriors, solve
from alliance_stats.multilevel.descent import descend

__all__ = ["Curvature", "curvature"]

# Step in M (whose fitted value is I): error of the difference 1e-8, of rounding about 1e-10.
STEP = 1e-4
# A direction in which the relative SD is smaller than this has left the model.
NO_VARIANCE = 1e-9
# Step in a residual shape's parameters, which are differentiated twice by differences: rounding
# of the second difference about 1e-13 / step^2 of the criterion's scale.
ETA_STEP = 1e-3


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


@dataclass(frozen=True, slots=True, eq=False)
class _Direction:
    """One parameter: entry (a, b) of M of one term, whose columns of L are `L`."""

    factor: int
    rows: slice
    L: Array
    a: int
    b: int


def curvature(problem: Problem, Lambda: Sequence[Array], sigma: float) -> Curvature:
    """Differentiate at the fit.

    Parameters
    ----------
    problem
        The fitted problem.
    Lambda
        Relative covariance factors at the fit.
    sigma
        Residual SD at the fit (1 where it is known).
    """
    directions, bases = _directions(problem, Lambda)
    scale = np.ones(problem.p + 1)
    scale[-1] = 1.0 / sigma
    k = len(directions)

    def first_order(step: Array) -> tuple[Array, Array]:
        moved = _moved(problem, step[k:])
        log_det_1, R_1 = _first_order(moved, bases, directions, step[:k])
        slopes = _eta_slopes(moved, _factors_at(problem, bases, step[:k]))
        return np.append(log_det_1, slopes[0]), np.concatenate([R_1, slopes[1]])

    n_eta = 0 if problem.eta is None else len(problem.eta)
    log_det_1, R_1 = first_order(np.zeros(k + n_eta))
    log_det_2 = np.empty((k + n_eta, k + n_eta))
    R_2 = np.empty((k + n_eta, *R_1.shape))
    for j in range(k + n_eta):
        step = np.zeros(k + n_eta)
        step[j] = STEP if j < k else ETA_STEP
        ahead, behind = first_order(step), first_order(-step)
        log_det_2[:, j] = (ahead[0] - behind[0]) / (2.0 * step[j])
        R_2[:, j] = (ahead[1] - behind[1]) / (2.0 * step[j])
    log_det_2 = (log_det_2 + log_det_2.T) / 2.0
    R_2 = (R_2 + R_2.swapaxes(0, 1)) / 2.0
    outer = np.outer(scale, scale)
    R = solve(problem, _factors_at(problem, bases, np.zeros(k))).up.R
    relative = Curvature(
        R * outer, R_1 * outer, R_2 * outer, log_det_1, log_det_2, linear=n_eta == 0
    )
    if problem.known:
        return relative
    at_fit = np.append([float(d.a == d.b) for d in directions], np.zeros(n_eta))
    scales = np.append(np.ones(k), np.zeros(n_eta))
    return _with_residual_variance(relative, at_fit, scales, problem.n)


def _moved(problem: Problem, step: Array) -> Problem:
    """Move the residual shape's parameters; nothing is summed anew where they stay."""
    if problem.eta is None or not step.any():
        return problem
    return at_eta(problem, problem.eta + step)


def _eta_slopes(problem: Problem, Lambda: Sequence[Array]) -> tuple[Array, Array]:
    """Central differences of ``log|V|`` and ``R`` in the residual shape's parameters."""
    width = problem.p + 1
    if problem.eta is None or problem.shape is None:
        return np.empty(0), np.empty((0, width, width))
    log_det, R = np.empty(len(problem.eta)), np.empty((len(problem.eta), width, width))
    for j in range(len(problem.eta)):
        step = np.zeros(len(problem.eta))
        step[j] = ETA_STEP
        ends = []
        for sign in (1.0, -1.0):
            moved = at_eta(problem, problem.eta + sign * step)
            up = solve(moved, Lambda).up
            ends.append((up.log_det + problem.shape.log_det(problem.eta + sign * step), up.R))
        log_det[j] = (ends[0][0] - ends[1][0]) / (2.0 * ETA_STEP)
        R[j] = (ends[0][1] - ends[1][1]) / (2.0 * ETA_STEP)
    return log_det, R


def _directions(
    problem: Problem, Lambda: Sequence[Array]
) -> tuple[list[_Direction], list[tuple[int, slice, Array]]]:
    directions, bases = [], []
    for f, rows in problem.template.terms():
        U, s, _ = linalg.svd(Lambda[f][rows, rows])
        varies = s > NO_VARIANCE
        L = U[:, varies] * s[varies]
        bases.append((f, rows, L))
        directions += [
            _Direction(f, rows, L, a, b) for b in range(L.shape[1]) for a in range(b, L.shape[1])
        ]
    return directions, bases


def _factors_at(
    problem: Problem, bases: Sequence[tuple[int, slice, Array]], step: Array
) -> list[Array]:
    """Covariance factors at ``M = I + step``."""
    Lambda = [np.zeros((sum(sizes), sum(sizes))) for sizes in problem.template.blocks]
    position = 0
    for f, rows, L in bases:
        r = L.shape[1]
        M = np.eye(r)
        for b in range(r):
            for a in range(b, r):
                M[a, b] += step[position]
                if a != b:
                    M[b, a] = M[a, b]
                position += 1
        if r:
            Lambda[f][rows, rows.start : rows.start + r] = L @ linalg.cholesky(M, lower=True)
    return Lambda


def _first_order(
    problem: Problem,
    bases: Sequence[tuple[int, slice, Array]],
    directions: Sequence[_Direction],
    step: Array,
) -> tuple[Array, Array]:
    """Differentiate ``log|V|`` and ``R`` at ``M = I + step`` and residual SD 1."""
    solution = solve(problem, _factors_at(problem, bases, step))
    found = posteriors(problem, descend(problem.layout, solution.up))
    log_det = np.empty(len(directions))
    R_1 = np.empty((len(directions), *solution.up.R.shape))
    for i, d in enumerate(directions):
        post = found[d.factor]
        S = d.L.T @ post.S[d.rows, d.rows] @ d.L
        h_a = np.einsum("q,qrn->rn", d.L[:, d.a], post.H[d.rows])
        h_b = np.einsum("q,qrn->rn", d.L[:, d.b], post.H[d.rows]) if d.a != d.b else h_a
        product = h_a @ h_b.T
        if d.a == d.b:
            log_det[i], R_1[i] = S[d.a, d.a], -product
        else:
            log_det[i], R_1[i] = 2.0 * S[d.a, d.b], -(product + product.T)
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
    log_det_2 = np.empty((k + 1, k + 1))
    log_det_2[:k, :k], log_det_2[:k, k], log_det_2[k, :k] = rel.log_det_2, ld_js, ld_js
    log_det_2[k, k] = ld_ss
    return Curvature(
        rel.G,
        np.concatenate([rel.G_1, G_s[None]]),
        G_2,
        np.append(rel.log_det_1, n - ld_M),
        log_det_2,
        rel.linear,
    )
