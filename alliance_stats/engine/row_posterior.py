"""From units back to rows: how sure one is of what the random effects add to each of them.

The slope of a generalized model's deviance needs the posterior variance ``z' K z`` of the linear
predictor's random part row by row. In a chain ``K`` is the joint posterior
covariance of a leaf unit's effects with those of its ancestors, nearest first; the crossed effects
follow as one dense block.
"""

import numpy as np
from scipy import linalg

from alliance_stats.engine.blocks import Layout
from alliance_stats.engine.elimination import Elimination, multiply
from alliance_stats.engine.row_sums import Rows
from alliance_stats.estimates import Array

__all__ = ["predictors", "row_variances"]


def predictors(layout: Layout, up: Elimination) -> list[Array]:
    """``Z_u' V^-1 [X y]`` of every unit, (q, p + 1, units), chain first, then crossed.

    The downward pass without its covariances: what a step towards the mode needs.
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
        B = multiply(np.swapaxes(G, 0, 1), multiply(G, residual))
        found.append(residual - multiply(up.A[k], B))
        if k:
            B_above = np.concatenate([B, np.broadcast_to(B_above, (a, *B.shape[1:]))])
    found.reverse()
    return found + _by_factor(layout, dense_H)


def row_variances(layout: Layout, up: Elimination, rows: Rows) -> Array:
    """Posterior variance of each row's random part, given the coefficients, (n,)."""
    K, K_cross, dense_K = _joint_covariance(layout, up)
    F = np.concatenate(rows.factors)
    at_leaf = np.einsum("ai,abn,bj->ijn", F, K, F, optimize=True)
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
        P = multiply(np.swapaxes(G, 0, 1), G)
        own = P
        side, cross = np.empty((len(P), 0, P.shape[2])), np.empty((len(P), 0, P.shape[2]))
        if a:
            slope = multiply(P, C_above)  # how a unit's effects fall as its ancestors' rise
            side = -multiply(slope, K)
            own = own - multiply(side, np.swapaxes(slope, 0, 1))
        if c:
            slope_dense = multiply(P, C_dense)
            cross = -np.einsum("qcn,cd->qdn", slope_dense, dense_K, optimize=True)
            if a:
                side = side - np.einsum("qcn,acn->qan", slope_dense, K_cross, optimize=True)
                cross = cross - multiply(slope, K_cross)
                own = P - multiply(side, np.swapaxes(slope, 0, 1))
            own = own - multiply(cross, np.swapaxes(slope_dense, 0, 1))
            K_cross = np.concatenate([cross, K_cross]) if a else cross
        else:
            K_cross = cross
        if a:
            K = np.concatenate(
                [
                    np.concatenate([own, side], axis=1),
                    np.concatenate([np.swapaxes(side, 0, 1), K], axis=1),
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
