"""Block elimination: from cross-products and relative covariances to likelihood and its slopes.

With ``V = I + Z D Z'`` (everything relative to the residual variance), two passes over the levels
give all that a linear mixed model needs:

- :func:`eliminate`, leaf first, gives ``log|V|`` and ``R = [X y]' V^-1 [X y]``. At each level the
  units' own effects are integrated out: with ``P = (A + D^-1)^-1 = G'G`` the Schur complement
  ``C'PC`` leaves the ancestors' blocks. Written through ``D = Lambda Lambda'``, nothing is inverted
  that a zero variance makes singular.
- :func:`descend`, top first, gives for every unit the best linear predictor of its effects for
  each column of ``[X y]``, its posterior covariance, and ``Z'V^-1[X y]`` and ``Z'V^-1Z``. The last
  two are the derivatives: ``d log|V| / dD = sum_u (Z'V^-1Z)_uu`` and
  ``dR / dD_ab = -sum_u h_a h_b'`` with ``h = Z_u'V^-1[X y]``.

The scheme is the block form of Bates, Maechler, Bolker & Walker 2015 (doi:10.18637/jss.v067.i01);
the derivatives are those of Harville 1977 (doi:10.1080/01621459.1977.10480998).
Arrays have the unit index last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.estimates import Array
from alliance_stats.multilevel.blocks import CrossProducts, Layout

__all__ = ["Descent", "Elimination", "LevelPosterior", "descend", "eliminate"]


@dataclass(frozen=True, slots=True, eq=False)
class Elimination:
    """What the upward pass leaves.

    Attributes
    ----------
    log_det
        ``log|V|``.
    R
        ``[X y]' V^-1 [X y]``, (p + 1, p + 1).
    A, C
        Per level of the chain, the cross-products with all lower levels integrated out.
    G
        Per level, ``G'G = P = Lambda (Lambda' A Lambda + I)^-1 Lambda'``.
    dense_A, dense_C, dense_G
        The same for the crossed block (no unit index).
    Lambda, crossed_Lambda
        The relative covariance factors it was done with.
    """

    log_det: float
    R: Array
    A: tuple[Array, ...]
    C: tuple[Array, ...]
    G: tuple[Array, ...]
    dense_A: Array
    dense_C: Array
    dense_G: Array
    Lambda: tuple[Array, ...]
    crossed_Lambda: tuple[Array, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LevelPosterior:
    """One factor's units after the downward pass (q effects, p + 1 columns, n units).

    Attributes
    ----------
    D
        Covariance of a unit's effects, relative to the residual variance: (q, q).
    P
        Their posterior covariance given the effects of the unit's ancestors: (q, q, n).
    spread
        Covariance that the ancestors' effects lend to that residual: (q, q, n).
    H
        ``Z_u' V^-1 [X y]``: (q, p + 1, n).
    S
        ``Z_u' V^-1 Z_u`` summed over units: (q, q).
    """

    D: Array
    P: Array
    spread: Array
    H: Array
    S: Array

    @property
    def B(self) -> Array:
        """Best linear predictors of the effects for each column of ``[X y]``: (q, p + 1, n)."""
        return np.asarray(np.einsum("ij,jrn->irn", self.D, self.H))

    @property
    def K(self) -> Array:
        """Posterior covariance of the effects given the coefficients, relative: (q, q, n)."""
        return self.P + multiply(multiply(self.P, self.spread), self.P)


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """The downward pass: a posterior per level of the chain and per crossed factor."""

    levels: tuple[LevelPosterior, ...]
    crossed: tuple[LevelPosterior, ...]


def eliminate(
    layout: Layout,
    products: CrossProducts,
    Lambda: Sequence[Array],
    crossed_Lambda: Sequence[Array],
) -> Elimination:
    """Integrate the random effects out, leaf first.

    Parameters
    ----------
    layout, products
        From :mod:`alliance_stats.multilevel.blocks`.
    Lambda, crossed_Lambda
        Lower-triangular relative covariance factors of the chain's levels and of the crossed
        factors, each (q, q).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is not positive definite, which finite input rules out.
    """
    log_det = 0.0
    As: list[Array] = []
    Cs: list[Array] = []
    Gs: list[Array] = []
    Ws: list[Array] = []
    for k, _level in enumerate(layout.levels):
        A, C = products.A[k], products.C[k]
        if k:
            A, C = A.copy(), C.copy()
        for d in range(k):
            first = sum(layout.levels[j].q for j in range(d + 1, k))
            starts = layout.levels[d].starts_above[k - d - 1]
            _subtract_schur(A, C, Ws[d][:, first:], starts)
        G, log_det_k = _precision_factor(A, Lambda[k])
        log_det += log_det_k
        As.append(A)
        Cs.append(C)
        Gs.append(G)
        Ws.append(multiply(G, C))
    R = products.R.copy()
    for k, W in enumerate(Ws):
        root = W[:, layout.above(k) :]
        for row in root:
            R -= row @ row.T
    c = layout.n_crossed
    dense_A, dense_C = R[:c, :c], R[:c, c:]
    dense_G = np.empty((0, 0))
    R = R[c:, c:]
    if c:
        wide = linalg.block_diag(
            *(
                np.kron(np.eye(n), factor)
                for n, factor in zip(layout.crossed_n, crossed_Lambda, strict=True)
            )
        )
        dense_G, log_det_c = _precision_factor(dense_A[:, :, None], wide)
        dense_G = dense_G[:, :, 0]
        log_det += log_det_c
        root = dense_G @ dense_C
        R = R - root.T @ root
    return Elimination(
        log_det,
        R,
        tuple(As),
        tuple(Cs),
        tuple(Gs),
        dense_A,
        dense_C,
        dense_G,
        tuple(Lambda),
        tuple(crossed_Lambda),
    )


def multiply(left: Array, right: Array) -> Array:
    """Matrix product for every unit: (i, j, n) times (j, k, n) -> (i, k, n)."""
    return np.asarray(np.einsum("ijn,jkn->ikn", left, right))


def _subtract_schur(A: Array, C: Array, W: Array, starts: np.ndarray) -> None:
    """Take a descendant's ``W'W`` out of an ancestor's ``A`` and ``C``, in place."""
    q = len(A)
    for a in range(q):
        product = (W[:, a, None, :] * W).sum(axis=0)
        summed = np.add.reduceat(product, starts, axis=-1)
        A[a] -= summed[:q]
        C[a] -= summed[q:]


def _precision_factor(A: Array, Lambda: Array) -> tuple[Array, float]:
    """``G`` with ``G'G = Lambda (Lambda'A Lambda + I)^-1 Lambda'`` and the log-determinant."""
    q, _, n = A.shape
    if q == 1:
        scaled = Lambda[0, 0] ** 2 * A + 1.0
        return Lambda[0, 0] / np.sqrt(scaled), float(np.log(scaled).sum())
    if n == 1:
        factor = linalg.cholesky(Lambda.T @ A[:, :, 0] @ Lambda + np.eye(q), lower=True)
        G = linalg.solve_triangular(factor, Lambda.T, lower=True)
        return G[:, :, None], 2.0 * float(np.log(np.diag(factor)).sum())
    half = (Lambda.T @ A.reshape(q, -1)).reshape(A.shape)
    inner = np.einsum("ikn,kl->iln", half, Lambda)
    inner[np.arange(q), np.arange(q)] += 1.0
    L = np.zeros_like(inner)
    G = np.empty_like(inner)
    log_det = 0.0
    for i in range(q):  # Cholesky and forward substitution, row by row, for all units at once
        for j in range(i):
            L[i, j] = (inner[i, j] - (L[i, :j] * L[j, :j]).sum(axis=0)) / L[j, j]
        pivot = inner[i, i] - (L[i, :i] ** 2).sum(axis=0)
        L[i, i] = np.sqrt(pivot)
        log_det += float(np.log(pivot).sum())
        G[i] = (Lambda[:, i, None] - (L[i, :i, None] * G[:i]).sum(axis=0)) / L[i, i]
    return G, log_det


def descend(layout: Layout, up: Elimination) -> Descent:
    """Go back from the top: predictors, posterior covariances and derivatives for every unit."""
    c = layout.n_crossed
    dense_B, dense_K, crossed = _dense_posterior(layout, up)
    levels: list[LevelPosterior] = []
    # what a unit's children need: predictors and covariances of the unit and all its ancestors
    B_above = np.empty((0, up.R.shape[0], 1))
    K_above = np.empty((0, 0, 1))
    K_cross = np.empty((0, c, 1))
    for k in reversed(range(len(layout.levels))):
        parent = layout.levels[k].parent
        if len(parent):
            B_above, K_above, K_cross = (x[..., parent] for x in (B_above, K_above, K_cross))
        a = layout.above(k)
        G, A, C = up.G[k], up.A[k], up.C[k]
        C_above, C_dense, C_root = C[:, :a], C[:, a : a + c], C[:, a + c :]
        P = multiply(np.swapaxes(G, 0, 1), G)
        E = -multiply(P, A)
        E[np.arange(len(E)), np.arange(len(E))] += 1.0

        residual = C_root.copy()
        T_above, T_dense = np.zeros_like(C_above), np.zeros_like(C_dense)
        if a:
            residual -= multiply(C_above, B_above)
            T_above += multiply(C_above, K_above)
            if c:
                T_dense += multiply(C_above, K_cross)
        if c:
            residual -= np.einsum("qcn,cr->qrn", C_dense, dense_B, optimize=True)
            T_dense += np.einsum("qcn,cd->qdn", C_dense, dense_K, optimize=True)
            if a:
                T_above += np.einsum("qcn,acn->qan", C_dense, K_cross, optimize=True)
        spread = np.zeros_like(A)
        if a:
            spread += multiply(T_above, np.swapaxes(C_above, 0, 1))
        if c:
            spread += np.einsum("qcn,rcn->qrn", T_dense, C_dense, optimize=True)

        E_t = np.swapaxes(E, 0, 1)
        S = multiply(A, E).sum(axis=-1)  # numpy's sum is pairwise, einsum's is not
        if a or c:
            S -= multiply(multiply(E_t, spread), E).sum(axis=-1)
        D = up.Lambda[k] @ up.Lambda[k].T
        own = LevelPosterior(D, P, spread, multiply(E_t, residual), S)
        levels.append(own)

        if k:
            to_above, to_dense = -multiply(P, T_above) if a else T_above, T_dense
            if c:
                to_dense = -multiply(P, T_dense)
            B_above = np.concatenate([own.B, np.broadcast_to(B_above, (a, *own.B.shape[1:]))])
            K_above = _bordered(own.K, to_above, K_above)
            K_cross = np.concatenate([to_dense, K_cross]) if a else to_dense
    return Descent(tuple(reversed(levels)), crossed)


def _bordered(K: Array, side: Array, corner: Array) -> Array:
    """Stack ``[[K, side], [side', corner]]`` for every unit."""
    if side.shape[1] == 0:
        return K
    top = np.concatenate([K, side], axis=1)
    bottom = np.concatenate([np.swapaxes(side, 0, 1), corner], axis=1)
    return np.concatenate([top, bottom])


def _dense_posterior(
    layout: Layout, up: Elimination
) -> tuple[Array, Array, tuple[LevelPosterior, ...]]:
    """Predictors and covariance of the crossed block, and its pieces factor by factor."""
    K = up.dense_G.T @ up.dense_G
    B = K @ up.dense_C
    H = up.dense_C - up.dense_A @ B
    AK = up.dense_A @ K
    pieces, offset = [], 0
    for q, n, factor in zip(layout.crossed_q, layout.crossed_n, up.crossed_Lambda, strict=True):
        own = np.arange(offset, offset + q * n).reshape(n, q).T
        S = np.empty((q, q))
        K_own = np.empty((q, q, n))
        for a in range(q):
            for b in range(q):
                K_own[a, b] = K[own[a], own[b]]
                S[a, b] = up.dense_A[own[a], own[b]].sum() - np.einsum(
                    "ij,ij->", AK[own[a]], up.dense_A[own[b]]
                )
        width = B.shape[1]
        pieces.append(
            LevelPosterior(
                factor @ factor.T,
                K_own,
                np.zeros_like(K_own),
                H[own.ravel()].reshape(q, n, width).swapaxes(1, 2),
                S,
            )
        )
        offset += q * n
    return B, K, tuple(pieces)
