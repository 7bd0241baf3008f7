"""Cluster-robust covariance of generalized least squares, with small-sample corrections.

The bias-reduced linearisation estimator CR2 (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018,
doi:10.1080/07350015.2016.1247004) corrects each cluster's residuals so that the estimator would be
unbiased if the working covariance were true, with Satterthwaite df for every contrast.

A cluster's adjustment ``A`` solves ``A (V - X M X') A = V``. Where rows have their own variances
and share few effects, ``V = diag(v) + U U'``, it is the identity outside the span of the columns of
X and U, split by rows of equal variance: the matrices are then of the size of the number of those
columns, not of the cluster's rows. Rows of unequal variances without effects need the inverse
square root of a diagonal minus a few columns, which is an integral of resolvents.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

from alliance_stats.engine.degrees_of_freedom import FTest, independent_rows
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["ClusterRobust", "RowVariances", "cr2", "turned"]

# Eigenvalues of a cluster's adjustment under this share of the largest count as zero.
_RANK = 1e-10
# Singular values of columns under this share of the largest are rounding.
_DUST = 1e-13
# Rows up to which a dense matrix is as quick as anything else.
_FEW = 50
# Share of a direction's information in one cluster from which the cluster alone determines it.
_ALONE = 1.0 - 1e-6
# Nodes of the integral: its error is exp(-2 pi^2 nodes / (6 + log of the condition number)).
_NODES = 48


@dataclass(frozen=True, slots=True, eq=False)
class RowVariances:
    """A cluster's working covariance ``diag(variances) + effects effects'``.

    Attributes
    ----------
    variances
        Variances of the rows, (rows,).
    effects
        Columns of random effects times their SDs, (rows, effects); None where there are none.
    """

    variances: Array
    effects: Array | None = None

    def dense(self) -> Array:
        """Return the whole matrix."""
        V = np.diag(self.variances)
        return V if self.effects is None else np.asarray(V + self.effects @ self.effects.T)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterRobust:
    """The CR2 covariance and the quantities its df need.

    Attributes
    ----------
    vcov
        Covariance of the estimated coefficients, (p, p).
    halves
        For each cluster, ``A W X M``: (rows, p).
    weighted
        For each cluster, ``V`` times that, (rows, p).
    X
        For each cluster, its fixed columns.
    M
        ``(X'V^-1X)^-1``.
    """

    vcov: Array
    halves: tuple[Array, ...]
    weighted: tuple[Array, ...]
    X: tuple[Array, ...]
    M: Array

    def df(self, C: Array) -> Array:
        """Satterthwaite degrees of freedom of each row of `C` under the working covariance."""
        return np.array([self._df(row) for row in C])

    def f_test(self, C: Array, beta: Array) -> FTest:
        """Test ``C beta = 0`` jointly by the approximate Hotelling test.

        ``F = (eta - q + 1) / (eta q) Wald``, on q and ``eta - q + 1`` df, where the Wishart with
        eta df has the total variance of the (standardised) covariance under the working model
        (Pustejovsky & Tipton 2018, section 3.2; "HTZ" in clubSandwich).

        Raises
        ------
        NotIdentifiedError
            With too few clusters for this many functions.
        """
        C = independent_rows(C, self.vcov)
        q = len(C)
        eta = self._wishart_df(C)
        left = eta - q + 1.0
        if not left > 0.0:
            raise NotIdentifiedError(
                f"{len(self.X)} clusters (worth {eta:.1f} for these functions) are too few to test "
                f"{q} functions at once. Ask for each separately, adjusted for their number."
            )
        estimate = C @ beta
        wald = float(estimate @ linalg.solve(C @ self.vcov @ C.T, estimate, assume_a="sym"))
        return FTest(left / (eta * q) * wald, float(q), left)

    def _wishart_df(self, C: Array) -> float:
        """Return ``q (q + 1) / sum of the variances`` of the elements of the covariance."""
        q = len(C)
        own = np.array([C @ half.T @ weighted @ C.T for half, weighted in
                        zip(self.halves, self.weighted, strict=True)])  # fmt: skip
        root = linalg.cholesky(self.M, lower=True)
        pulled = np.array([C @ (half.T @ X) @ root for half, X in
                           zip(self.halves, self.X, strict=True)])  # fmt: skip
        # cov(w_i, w_j) = [i = j] own_i - pulled_i pulled_j', w_i a cluster's share of C beta
        expected = own.sum(axis=0) - np.einsum("isk,itk->st", pulled, pulled)
        values, vectors = linalg.eigh(expected)
        half = (vectors / np.sqrt(values)) @ vectors.T
        own, pulled = half @ own @ half, half @ pulled
        both = np.einsum("isk,itk->ist", pulled, pulled)
        inner = np.einsum("isk,itl->stkl", pulled, pulled)
        total = 0.0
        for s in range(q):
            for t in range(q):
                A = inner[s, t]
                total += float((A * A).sum() + (A * A.T).sum())
                one, two = own[:, s, s], own[:, t, t]
                total += float((one * two - one * both[:, t, t] - two * both[:, s, s]).sum())
                cross = own[:, s, t]
                total += float((cross**2 - 2.0 * cross * both[:, s, t]).sum())
        return q * (q + 1.0) / total

    def _df(self, c: Array) -> float:
        own = [half @ c for half in self.halves]
        variances = np.array([a @ (V @ c) for a, V in zip(own, self.weighted, strict=True)])
        pulled = np.array([X.T @ a for X, a in zip(self.X, own, strict=True)])
        products = -pulled @ self.M @ pulled.T
        products[np.diag_indices_from(products)] += variances
        return float(np.trace(products) ** 2 / (products**2).sum())


def turned(robust: ClusterRobust, T: Array) -> ClusterRobust:
    """Return CR2 of the coefficients ``T b``."""
    return replace(
        robust,
        vcov=T @ robust.vcov @ T.T,
        halves=tuple(half @ T.T for half in robust.halves),
        weighted=tuple(half @ T.T for half in robust.weighted),
    )


def cr2(
    X: Sequence[Array], residuals: Sequence[Array], V: Sequence[Array | RowVariances]
) -> ClusterRobust:
    """Compute CR2 from each cluster's columns, residuals and working covariance.

    Parameters
    ----------
    X
        For each cluster, its rows of the estimated columns, (rows, p).
    residuals
        For each cluster, the outcome minus ``X beta`` of generalized least squares under `V`.
    V
        For each cluster, the working covariance of its outcomes, (rows, rows) or its components,
        which is much faster for large clusters.
    """
    working = [_spanned(x, v) for x, v in zip(X, V, strict=True)]
    M = linalg.inv(sum(own.X.T @ own.pulled for own in working))
    halves, weighted = [], []
    for own in working:
        half = _adjusted(own, M)
        times = own.V @ half if own.V.ndim == 2 else own.V[:, None] * half
        halves.append(half if own.basis is None else own.basis @ half)
        weighted.append(times if own.basis is None else own.basis @ times)
    scores = np.array([half.T @ e for half, e in zip(halves, residuals, strict=True)])
    return ClusterRobust(scores.T @ scores, tuple(halves), tuple(weighted), tuple(X), M)


@dataclass(frozen=True, slots=True, eq=False)
class _Working:
    """A cluster's columns and covariance in a basis, (rows, k); None is the rows themselves."""

    X: Array
    V: Array  # (k, k), or the diagonal
    basis: Array | None = None

    @property
    def pulled(self) -> Array:
        """``V^-1 X``."""
        if self.V.ndim == 1:
            return np.asarray(self.X / self.V[:, None])
        return np.asarray(linalg.solve(self.V, self.X, assume_a="pos"))


def _spanned(X: Array, V: Array | RowVariances) -> _Working:
    """Bring a cluster into the span of its columns at rows of equal variance, if smaller."""
    if not isinstance(V, RowVariances):
        return _Working(X, V)
    v = V.variances
    if len(v) <= _FEW:
        return _Working(X, V.dense())
    columns = X if V.effects is None else np.hstack([X, V.effects])
    values, strata = np.unique(v, return_inverse=True)
    if max(len(values), columns.shape[1]) * 2 <= len(v):
        basis = _basis(columns, strata)
        if 2 * basis.shape[1] <= len(v):
            inner = basis.T @ (v[:, None] * basis)
            if V.effects is not None:
                half = basis.T @ V.effects
                inner += half @ half.T
            return _Working(basis.T @ X, inner, basis)
    return _Working(X, v if V.effects is None else V.dense())


def _basis(columns: Array, strata: npt.NDArray[np.intp]) -> Array:
    """Orthonormal columns, each within one stratum, whose span holds the columns cut at strata."""
    sizes = np.linalg.norm(columns, axis=0)
    unit = columns / np.where(sizes > 0.0, sizes, 1.0)
    parts = []
    for stratum in range(int(strata.max()) + 1):
        rows = np.flatnonzero(strata == stratum)
        left, s, _ = linalg.svd(unit[rows], full_matrices=False)
        own = left[:, s > _DUST]
        whole = np.zeros((len(columns), own.shape[1]))
        whole[rows] = own
        parts.append(whole)
    return np.hstack(parts)


def _adjusted(own: _Working, M: Array) -> Array:
    """Return ``A W X M`` with ``A = D'(D (V - X M X')D')^(-1/2) D``, ``V = D'D``."""
    V, X = own.V, own.X
    if V.ndim == 1:
        root = linalg.cholesky(M, lower=True)
        if np.linalg.norm((X / np.sqrt(V)[:, None]) @ root, 2) ** 2 < _ALONE:
            return _of_diagonal(V, X, M, root)
        V = np.diag(V)
    D = linalg.cholesky(V)
    values, vectors = linalg.eigh(D @ (V - X @ M @ X.T) @ D.T)
    kept = values > _RANK * max(values.max(), 0.0)
    half = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    return np.asarray((D.T @ half @ D).T @ linalg.solve(V, X, assume_a="pos") @ M)


def _of_diagonal(v: Array, X: Array, M: Array, root: Array) -> Array:
    """Return the same for rows of unequal variances.

    ``B^(-1/2) = 2 / pi times the integral of (B + s^2)^-1 over s from 0`` for ``B = diag(v^2) - Y
    Y'``, by the midpoint rule in the elliptic variable that makes it converge geometrically (Hale,
    Higham & Trefethen 2008, doi:10.1137/070700607).
    """
    roots = np.sqrt(v)[:, None]
    Y = roots * (X @ root)
    right = (X / roots) @ M
    share = np.linalg.norm(Y / v[:, None], 2) ** 2  # of a direction's information, at most
    low, high = float((v**2).min() * (1.0 - share)), float((v**2).max())
    half_period = float(special.ellipkm1(low / high))
    places = (np.arange(_NODES) + 0.5) * half_period / _NODES
    sn, cn, dn, _ = special.ellipj(places, 1.0 - low / high)
    found = np.zeros_like(X)
    for s2, step in zip(low * (sn / cn) ** 2, np.sqrt(low) * dn / cn**2, strict=True):
        diagonal = 1.0 / (v**2 + s2)[:, None]
        first = diagonal * right
        inner = np.eye(Y.shape[1]) - Y.T @ (diagonal * Y)
        found += step * (first + diagonal * Y @ linalg.solve(inner, Y.T @ first, assume_a="pos"))
    return np.asarray(2.0 / np.pi * half_period / _NODES * roots * found)
