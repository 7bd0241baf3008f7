"""The downward pass: predictors, posterior covariances and derivatives for every unit, top first.

For each unit :func:`descend` gives the best linear predictor of its effects for each column of ``[X
y]``, their posterior covariance, and ``Z'V^-1[X y]`` and ``Z'V^-1Z``. The last two are the
derivatives: ``d log|V| / dD = sum_u (Z'V^-1Z)_uu``, ``dR / dD_ab = -sum_u h_a h_b'`` with ``h =
Z_u'V^-1[X y]`` (Harville 1977, doi:10.1080/01621459.1977.10480998). Arrays have the unit index
last.

Back at the rows, the slope of a generalized model's deviance needs the posterior variance ``z' K
z`` of the linear predictor's random part row by row. In a chain ``K`` is the joint posterior
covariance of a leaf unit's effects with those of its ancestors, nearest first; the crossed effects
follow as one dense block.
"""

from typing import NamedTuple

import numpy as np
from scipy import linalg

from alliance_stats.engine.blocks import Crossing, Layout
from alliance_stats.engine.elimination import Elimination, multiply
from alliance_stats.engine.row_sums import Rows, in_columns
from alliance_stats.estimates import Array, Integers

__all__ = [
    "Descent",
    "LevelPosterior",
    "chain_covariance",
    "descend",
    "predictors",
    "row_variances",
]


# Smallest singular value of a relative factor by which one may divide twice: 1e-16 / 1e-6.
WELL_CONDITIONED = 1e-3


class LevelPosterior(NamedTuple):
    """One factor's units after the downward pass (q effects, p + 1 columns, n units).

    Attributes
    ----------
    D
        Covariance of a unit's effects, relative to the residual variance: (q, q).
    P
        Their posterior covariance given the effects of the unit's ancestors: (q, q, n).
    spread
        Covariance that the ancestors' effects add to that residual: (q, q, n).
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


class Descent(NamedTuple):
    """The downward pass: a posterior per level of the chain and per crossed factor."""

    levels: tuple[LevelPosterior, ...]
    crossed: tuple[LevelPosterior, ...]


class _Above(NamedTuple):
    """The ancestors of a unit (a effects, nearest first): predictors and covariances.

    ``B`` is (a, p + 1, n), ``K`` (a, a, n), ``K_cross`` (a, crossed columns, n).
    """

    B: Array
    K: Array
    K_cross: Array


class _Dense(NamedTuple):
    """Predictors (c, p + 1) and posterior covariance (c, c) of the crossed block."""

    B: Array
    K: Array


class _Pull(NamedTuple):
    """Contributions of ancestors and crossed effects to a level's units.

    ``residual`` (q, p + 1, n) is the residual of the columns, ``spread`` (q, q, n) the covariance
    they add to it, ``T_above`` and ``T_dense`` the level's products with their covariance.
    """

    residual: Array
    spread: Array
    T_above: Array
    T_dense: Array


def descend(layout: Layout, up: Elimination) -> Descent:
    """Go back from the top: predictors, posterior covariances and derivatives for every unit."""
    dense, crossed = _dense_posterior(layout, up)
    levels: list[LevelPosterior] = []
    above = _Above(
        np.empty((0, up.R.shape[0], 1)), np.empty((0, 0, 1)), np.empty((0, layout.n_crossed, 1))
    )
    for k in reversed(range(len(layout.levels))):
        parent, G, A = layout.levels[k].parent, up.G[k], up.A[k]
        P = multiply(G.swapaxes(0, 1), G)
        E = -multiply(P, A)
        for i in range(len(E)):
            E[i, i] += 1.0
        E_t = E.swapaxes(0, 1)
        if k == 0 and up.crossing is not None:
            pull = _sparse_pull(up.C[0], up.crossing, above, parent, dense)
        else:
            if len(parent):
                above = _Above(*(x.take(parent, axis=-1) for x in above))
            pull = _dense_pull(up.C[k], above, dense)
        S = multiply(A, E).sum(axis=-1)  # numpy's sum is pairwise, einsum's is not
        S -= multiply(multiply(E_t, pull.spread), E).sum(axis=-1)
        D = up.Lambda[k] @ up.Lambda[k].T
        own = LevelPosterior(D, P, pull.spread, multiply(E_t, pull.residual), S)
        levels.append(own)
        if k:
            above = _stacked(own, above, pull)
    return Descent(tuple(reversed(levels)), crossed)


def _dense_pull(C: Array, above: _Above, dense: _Dense) -> _Pull:
    """Pull on a level whose products with the crossed block are kept dense."""
    a, c = len(above.K), len(dense.K)
    C_above, C_dense = C[:, :a], C[:, a : a + c]
    residual = C[:, a + c :].copy()
    spread = np.zeros((len(C), len(C), C.shape[-1]))
    T_above, T_dense = C_above, C_dense  # of no columns, where there is nothing to multiply
    if a:
        residual -= multiply(C_above, above.B)
        T_above = multiply(C_above, above.K)
    if c:
        residual -= np.einsum("qcn,cr->qrn", C_dense, dense.B, optimize=True)
        T_dense = np.einsum("qcn,cd->qdn", C_dense, dense.K, optimize=True)
    if a and c:
        T_above += np.einsum("qcn,acn->qan", C_dense, above.K_cross, optimize=True)
        T_dense += multiply(C_above, above.K_cross)
    if a:
        spread += multiply(T_above, C_above.swapaxes(0, 1))
    if c:
        spread += np.einsum("qcn,rcn->qrn", T_dense, C_dense, optimize=True)
    return _Pull(residual, spread, T_above, T_dense)


def _sparse_pull(
    C: Array, crossing: Crossing, above: _Above, parent: Integers, dense: _Dense
) -> _Pull:
    """Pull on the leaf; it has no children, so products with covariances are not kept."""
    a = len(above.K)
    residual = C[:, a:] - crossing.times(dense.B)
    spread = crossing.quadratic(dense.K)
    if a:
        C_above = C[:, :a]
        residual -= multiply(C_above, above.B[..., parent])
        side = multiply(C_above, crossing.against(above.K_cross, parent))
        spread += side + side.swapaxes(0, 1)
        inner = multiply(C_above, above.K[..., parent])
        spread += multiply(inner, C_above.swapaxes(0, 1))
    return _Pull(residual, spread, C[:, :0], C[:, :0])


def _stacked(own: LevelPosterior, above: _Above, pull: _Pull) -> _Above:
    """Put a level on top of its ancestors, for its children."""
    to_dense = -multiply(own.P, pull.T_dense) if pull.T_dense.shape[1] else pull.T_dense
    if not len(above.K):
        return _Above(own.B, own.K, to_dense)
    B = np.concatenate([own.B, above.B])
    K = _bordered(own.K, -multiply(own.P, pull.T_above), above.K)
    return _Above(B, K, np.concatenate([to_dense, above.K_cross]))


def _bordered(K: Array, side: Array, corner: Array) -> Array:
    """Stack ``[[K, side], [side', corner]]`` for every unit."""
    top = np.concatenate([K, side], axis=1)
    bottom = np.concatenate([side.swapaxes(0, 1), corner], axis=1)
    return np.concatenate([top, bottom])


def _inverse(L: Array) -> Array:
    """Inverse of ``L L'``."""
    lower, info = linalg.lapack.dpotri(L, lower=1)
    if info:
        raise np.linalg.LinAlgError(f"LAPACK dpotri: {info}")
    lower = np.tril(lower)
    return np.asarray(lower + np.tril(lower, -1).T)


def _crossed_S(up: Elimination, K: Array, own: Integers, factor: Array, shrunk: Array) -> Array:
    """``Z_u'V^-1 Z_u`` summed over the units of one crossed factor.

    As ``Lambda' Z_u'V^-1 Z_u Lambda = I - (Lambda'A Lambda + I)^-1`` unit by unit, nothing of the
    size of the block is multiplied, unless Lambda is nearly singular.
    """
    if np.linalg.svd(factor, compute_uv=False).min() > WELL_CONDITIONED:
        half = np.linalg.solve(factor.T, shrunk)
        return np.asarray(np.linalg.solve(factor.T, half.T).T)
    S = np.empty_like(factor)
    for a in range(len(factor)):
        AK = up.dense_A[own[a]] @ K
        for b in range(len(factor)):
            S[a, b] = up.dense_A[own[a], own[b]].sum() - np.einsum(
                "ij,ij->", AK, up.dense_A[own[b]]
            )
    return S


def _dense_posterior(layout: Layout, up: Elimination) -> tuple[_Dense, tuple[LevelPosterior, ...]]:
    """Predictors and covariance of the crossed block, and its pieces factor by factor."""
    if not layout.crossed:
        return _Dense(np.empty((0, up.R.shape[0])), np.empty((0, 0))), ()
    wide = up.dense_Lambda
    inverse = _inverse(up.dense_L)
    K = wide @ (wide @ inverse).T
    B = K @ up.dense_C
    H = up.dense_C - up.dense_A @ B
    pieces, offset = [], 0
    for q, n, factor in zip(layout.crossed_q, layout.crossed_n, up.crossed_Lambda, strict=True):
        own = np.arange(offset, offset + q * n).reshape(n, q).T
        S = np.empty((q, q))
        K_own = np.empty((q, q, n))
        shrunk = np.empty((q, q))
        for a in range(q):
            for b in range(q):
                K_own[a, b] = K[own[a], own[b]]
                shrunk[a, b] = (n if a == b else 0.0) - inverse[own[a], own[b]].sum()
        S = _crossed_S(up, K, own, factor, shrunk)
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
    return _Dense(B, K), tuple(pieces)


def predictors(layout: Layout, up: Elimination) -> list[Array]:
    """``Z_u' V^-1 [X y]`` of every unit, (q, p + 1, units), chain first, then crossed.

    The downward pass without its covariances, as needed for a step towards the mode.
    """
    c = layout.n_crossed
    dense_B = np.empty((0, up.R.shape[0]))
    if c:
        spherical = linalg.cho_solve((up.dense_L, True), up.dense_Lambda.T @ up.dense_C)
        dense_B = up.dense_Lambda @ spherical
    dense_H = up.dense_C - up.dense_A @ dense_B if c else dense_B
    found: list[Array] = []
    B_above = np.empty((0, up.R.shape[0], 1))
    for k in reversed(range(len(layout.levels))):
        parent = layout.levels[k].parent
        if len(parent):
            B_above = B_above[..., parent]
        a = layout.above(k)
        residual = up.C[k][:, a + c :].copy()
        if a:
            residual -= multiply(up.C[k][:, :a], B_above)
        if c:
            residual -= np.einsum("qcn,cr->qrn", up.C[k][:, a : a + c], dense_B, optimize=True)
        G = up.G[k]
        B = multiply(G.swapaxes(0, 1), multiply(G, residual))
        found.append(residual - multiply(up.A[k], B))
        if k:
            B_above = np.concatenate([B, np.broadcast_to(B_above, (a, *B.shape[1:]))])
    found.reverse()
    return found + _by_factor(layout, dense_H)


def row_variances(layout: Layout, up: Elimination, rows: Rows) -> Array:
    """Posterior variance of each row's random part, given the coefficients, (n,)."""
    K, K_cross, dense_K = _joint_covariance(layout, up)
    F = np.concatenate(rows.factors)
    at_leaf = in_columns(F.T, in_columns(F.T, K).swapaxes(0, 1)).swapaxes(0, 1)
    out = np.zeros(len(rows.leaf))
    for i, base in enumerate(rows.bases):
        part = at_leaf[i].copy()
        part[:i] = 0.0
        part[i + 1 :] *= 2.0
        inner = rows.spread(part)
        out += inner if base is None else base * inner
    if not layout.crossed:
        return out
    across = np.einsum("ai,acn->icn", F, K_cross, optimize=True)
    for number, (column, z) in enumerate(rows.crossed):
        for i, base in enumerate(rows.bases):
            covariance = across[i, column, rows.leaf]
            out += 2.0 * z * (covariance if base is None else base * covariance)
        out += z * z * dense_K[column, column]
        for other, other_z in rows.crossed[:number]:
            out += 2.0 * z * other_z * dense_K[column, other]
    return out


def chain_covariance(layout: Layout, up: Elimination) -> Array:
    """Posterior covariance of a leaf unit's and its ancestors' effects: (Q, Q, leaf units)."""
    return _joint_covariance(layout, up)[0]


def _joint_covariance(layout: Layout, up: Elimination) -> tuple[Array, Array, Array]:
    """Posterior covariance of each leaf unit's and its ancestors' effects, and the crossed ones.

    Returns
    -------
    K, K_cross, dense_K
        (Q, Q, leaf units) with Q the effects of a whole chain, (Q, c, leaf units) and (c, c).
    """
    c = layout.n_crossed
    dense_G = up.dense_G
    dense_K = dense_G.T @ dense_G
    K = np.empty((0, 0, 1))
    K_cross = np.empty((0, c, 1))
    for k in reversed(range(len(layout.levels))):
        parent = layout.levels[k].parent
        if len(parent):
            K, K_cross = K[..., parent], K_cross[..., parent]
        a = layout.above(k)
        G, C_above, C_dense = up.G[k], up.C[k][:, :a], up.C[k][:, a : a + c]
        P = multiply(G.swapaxes(0, 1), G)
        own = P
        side, cross = np.empty((len(P), 0, P.shape[2])), np.empty((len(P), 0, P.shape[2]))
        if a:
            slope = multiply(P, C_above)  # how a unit's effects fall as its ancestors' rise
            side = -multiply(slope, K)
            own = own - multiply(side, slope.swapaxes(0, 1))
        if c:
            slope_dense = multiply(P, C_dense)
            cross = -np.einsum("qcn,cd->qdn", slope_dense, dense_K, optimize=True)
            if a:
                side = side - np.einsum("qcn,acn->qan", slope_dense, K_cross, optimize=True)
                cross = cross - multiply(slope, K_cross)
                own = P - multiply(side, slope.swapaxes(0, 1))
            own = own - multiply(cross, slope_dense.swapaxes(0, 1))
            K_cross = np.concatenate([cross, K_cross]) if a else cross
        else:
            K_cross = cross
        if a:
            K = np.concatenate(
                [
                    np.concatenate([own, side], axis=1),
                    np.concatenate([side.swapaxes(0, 1), K], axis=1),
                ]
            )
        else:
            K = own
    return K, K_cross, dense_K


def _by_factor(layout: Layout, dense: Array) -> list[Array]:
    """Cut rows of the dense block into (q, columns, units), factor by factor."""
    found, offset = [], 0
    for q, n in zip(layout.crossed_q, layout.crossed_n, strict=True):
        found.append(dense[offset : offset + q * n].reshape(n, q, -1).transpose(1, 2, 0))
        offset += q * n
    return found
