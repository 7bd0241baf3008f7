"""The upward pass: random effects integrated out block by block, leaf first.

With ``V = I + Z D Z'`` (everything relative to the residual variance), :func:`eliminate` gives
``log|V|`` and ``R = [X y]' V^-1 [X y]``. At each level the units' own effects are integrated out:
with ``P = (A + D^-1)^-1 = G'G`` the Schur complement ``C'PC`` leaves the ancestors' blocks. Written
through ``D = Lambda Lambda'``, no matrix is inverted that a zero variance makes singular. The
scheme is the block form of Bates, Maechler, Bolker & Walker 2015 (doi:10.18637/jss.v067.i01).
Arrays have the unit index last.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from alliance_stats.engine.blocks import Crossing, CrossProducts, Layout
from alliance_stats.estimates import Array, Integers

__all__ = ["Elimination", "eliminate", "multiply"]

_NOTHING_CROSSED = sparse.csr_array((0, 0))


class Elimination(NamedTuple):
    """The result of the upward pass.

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
    dense_A, dense_C
        The same for the crossed block (no unit index).
    dense_L
        Lower Cholesky factor of ``Lambda' A Lambda + I`` of the crossed block.
    dense_Lambda
        Covariance factor of the whole crossed block.
    crossing
        The leaf's products with the crossed block, if they are kept sparse.
    Lambda, crossed_Lambda
        The relative covariance factors used.
    """

    log_det: float
    R: Array
    A: tuple[Array, ...]
    C: tuple[Array, ...]
    G: tuple[Array, ...]
    dense_A: Array
    dense_C: Array
    dense_L: Array
    dense_Lambda: sparse.csr_array
    crossing: Crossing | None
    Lambda: tuple[Array, ...]
    crossed_Lambda: tuple[Array, ...]

    @property
    def dense_G(self) -> Array:
        """``G'G`` is the posterior covariance of the crossed effects given the coefficients."""
        if not len(self.dense_L):
            return self.dense_L
        transposed = self.dense_Lambda.T.toarray()
        return np.asarray(linalg.solve_triangular(self.dense_L, transposed, lower=True))


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
        From :mod:`alliance_stats.engine.blocks`.
    Lambda, crossed_Lambda
        Lower-triangular relative covariance factors of the chain's levels and of the crossed
        factors, each (q, q).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block is not positive definite, which finite input rules out.
    """
    chain = _eliminate_chain(layout, products, Lambda)
    R = _root_after_chain(layout, products, chain)
    c = layout.n_crossed
    dense_A, dense_C, corner = R[:c, :c], R[:c, c:], R[c:, c:]
    wide = _block_diagonal(layout, crossed_Lambda)
    dense_L, log_det = np.empty((0, 0)), chain.log_det
    if c:
        inner = wide.T @ (wide.T @ dense_A).T
        inner[np.arange(c), np.arange(c)] += 1.0
        dense_L = linalg.cholesky(inner, lower=True, overwrite_a=True, check_finite=False)
        log_det += 2.0 * float(np.log(np.diag(dense_L)).sum())
        root = linalg.solve_triangular(dense_L, wide.T @ dense_C, lower=True, check_finite=False)
        corner = corner - root.T @ root
    return Elimination(
        log_det,
        corner,
        tuple(chain.A),
        tuple(chain.C),
        tuple(chain.G),
        dense_A,
        dense_C,
        dense_L,
        wide,
        products.crossing,
        tuple(Lambda),
        tuple(crossed_Lambda),
    )


class _Chain(NamedTuple):
    """The chain's levels eliminated: as in :class:`Elimination`, with ``W = G C``."""

    log_det: float
    A: list[Array]
    C: list[Array]
    G: list[Array]
    W: list[Array]


def _eliminate_chain(layout: Layout, products: CrossProducts, Lambda: Sequence[Array]) -> _Chain:
    """Go up the chain, first removing what each level's descendants explain."""
    done = _Chain(0.0, [], [], [], [])
    for k, factor in enumerate(Lambda):
        A, C = products.A[k].copy(), products.C[k].copy()
        for d in range(k):
            first = sum(layout.levels[j].q for j in range(d + 1, k))
            starts = layout.levels[d].starts_above[k - d - 1]
            W = done.W[d][:, first:]
            columns: slice | Integers = slice(None)
            if d == 0 and products.crossing is not None:
                dense = slice(layout.above(k), layout.above(k) + layout.n_crossed)
                columns = np.delete(np.arange(C.shape[1]), dense)
                Y = multiply(done.G[0].swapaxes(0, 1), W[:, : len(A)])
                _subtract_crossing(C[:, dense], products.crossing, Y, starts)
            _subtract_schur(A, C, W, starts, columns)
        G, log_det = _precision_factor(A, factor)
        done = done._replace(log_det=done.log_det + log_det)
        for store, value in zip(done[1:], (A, C, G, multiply(G, C)), strict=True):
            store.append(value)
    return done


def _root_after_chain(layout: Layout, products: CrossProducts, chain: _Chain) -> Array:
    """Remove what the chain explains from the products of the crossed columns and ``[X y]``."""
    R, c = products.R.copy(), layout.n_crossed
    for k, W in enumerate(chain.W):
        root = W[:, layout.above(k) :]
        crossing = products.crossing if k == 0 else None
        corner = R if crossing is None else R[c:, c:]
        for row in root:
            corner -= row @ row.T
        if crossing is not None:
            _subtract_sparse_leaf(R, crossing, chain.G[0], root)
    return R


def multiply(left: Array, right: Array) -> Array:
    """Matrix product for every unit: (i, j, n) times (j, k, n) -> (i, k, n)."""
    if len(right) == 1:
        return left * right
    return np.asarray(np.einsum("ijn,jkn->ikn", left, right))


def _subtract_schur(
    A: Array, C: Array, W: Array, starts: Integers, columns: slice | Integers
) -> None:
    """Subtract a descendant's ``W'W`` from an ancestor's ``A`` and ``C``, in place.

    `columns` are the positions in ``C`` of W's columns beyond the ancestor's own.
    """
    q = len(A)
    for a in range(q):
        product = W[0, a] * W[0] if len(W) == 1 else (W[:, a, None, :] * W).sum(axis=0)
        summed = np.add.reduceat(product, starts, axis=-1)
        A[a] -= summed[:q]
        C[a, columns] -= summed[q:]


def _subtract_crossing(C_dense: Array, crossing: Crossing, Y: Array, starts: Integers) -> None:
    """Subtract the leaf's part from an ancestor's products with the crossed columns, in place.

    `Y` is ``P C_a`` of the leaf for the ancestor's effects a: (q, ancestor's q, leaf units).
    """
    n_homes = len(starts)
    home = np.repeat(np.arange(n_homes), np.diff(np.r_[starts, Y.shape[-1]]))
    for a in range(len(C_dense)):
        C_dense[a] -= crossing.gathered(Y[:, a], home, n_homes)


def _subtract_sparse_leaf(R: Array, crossing: Crossing, G: Array, root: Array) -> None:
    """Subtract the leaf's part from the crossed block and its products with ``[X y]``, in place."""
    c = crossing.C[0].shape[1]
    R[:c, :c] -= crossing.gram(multiply(G.swapaxes(0, 1), G))
    R[:c, c:] -= crossing.back(multiply(G.swapaxes(0, 1), root))
    R[c:, :c] = R[:c, c:].T


def _block_diagonal(layout: Layout, crossed_Lambda: Sequence[Array]) -> sparse.csr_array:
    """Covariance factor of all crossed effects: each factor's, once per unit."""
    if not layout.crossed:
        return _NOTHING_CROSSED
    indices, indptr = _block_pattern(tuple(layout.crossed_q), tuple(layout.crossed_n))
    data = np.concatenate(
        [
            np.tile(factor.ravel(), n)
            for n, factor in zip(layout.crossed_n, crossed_Lambda, strict=True)
        ]
    )
    return sparse.csr_array((data, indices, indptr), shape=(layout.n_crossed, layout.n_crossed))


@functools.lru_cache(maxsize=8)
def _block_pattern(sizes: tuple[int, ...], counts: tuple[int, ...]) -> tuple[Integers, Integers]:
    """Column of each entry, and where each row begins: the same at every evaluation."""
    indices, widths, offset = [], [], 0
    for q, n in zip(sizes, counts, strict=True):
        first = offset + q * np.arange(n)
        indices.append((first[:, None, None] + np.arange(q)).repeat(q, axis=1).ravel())
        widths.append(np.full(q * n, q))
        offset += q * n
    return np.concatenate(indices), np.concatenate([[0], np.cumsum(np.concatenate(widths))])


def _precision_factor(A: Array, Lambda: Array) -> tuple[Array, float]:
    """``G`` with ``G'G = Lambda (Lambda'A Lambda + I)^-1 Lambda'`` and the log-determinant."""
    q = len(A)
    if q == 1:
        scaled = Lambda[0, 0] ** 2 * A + 1.0
        return Lambda[0, 0] / np.sqrt(scaled), float(np.log(scaled).sum())
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
