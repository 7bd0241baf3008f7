"""Cluster-robust covariance of generalized least squares, with small-sample corrections.

The bias-reduced linearisation estimator CR2 (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018,
doi:10.1080/07350015.2016.1247004) corrects each cluster's residuals so that the estimator would be
unbiased if the working covariance were true, with Satterthwaite df for every contrast.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from alliance_stats.engine.degrees_of_freedom import FTest
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["ClusterRobust", "cr2", "turned"]

# Eigenvalues of a cluster's adjustment under this share of the largest count as zero.
_RANK = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class ClusterRobust:
    """The CR2 covariance and what its df need.

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
            With too few clusters for so many functions at once.
        """
        C = independent_rows(C, self.vcov)
        q = len(C)
        eta = self._wishart_df(C)
        left = eta - q + 1.0
        if not left > 0.0:
            raise NotIdentifiedError(
                f"{len(self.X)} clusters (worth {eta:.1f} for these functions) are too few to test "
                f"{q} functions at once. Ask for each by itself, adjusted for their number."
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


def independent_rows(C: Array, covariance: Array) -> Array:
    """Return independent combinations of the rows of `C`, whose covariance can be inverted."""
    values, vectors = linalg.eigh(C @ covariance @ C.T)
    return np.asarray(vectors[:, values > values.max() * _RANK].T @ C)


def cr2(X: Sequence[Array], residuals: Sequence[Array], V: Sequence[Array]) -> ClusterRobust:
    """Compute CR2 from each cluster's columns, residuals and working covariance.

    Parameters
    ----------
    X
        For each cluster, its rows of the estimated columns, (rows, p).
    residuals
        For each cluster, the outcome minus ``X beta`` of generalized least squares under `V`.
    V
        For each cluster, the working covariance of its outcomes, (rows, rows).
    """
    weights = [linalg.inv(own) for own in V]
    M = linalg.inv(sum(x.T @ w @ x for x, w in zip(X, weights, strict=True)))
    halves = [_adjusted(v, w, x, M) for v, w, x in zip(V, weights, X, strict=True)]
    scores = np.array([half.T @ e for half, e in zip(halves, residuals, strict=True)])
    weighted = tuple(v @ half for v, half in zip(V, halves, strict=True))
    return ClusterRobust(scores.T @ scores, tuple(halves), weighted, tuple(X), M)


def _adjusted(V: Array, W: Array, X: Array, M: Array) -> Array:
    """Return ``A W X M`` with ``A = D'(D (V - X M X')D')^(-1/2) D``, ``V = D'D``."""
    D = linalg.cholesky(V)
    values, vectors = linalg.eigh(D @ (V - X @ M @ X.T) @ D.T)
    kept = values > _RANK * max(values.max(), 0.0)
    root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    return np.asarray((D.T @ root @ D).T @ W @ X @ M)
