"""Cluster-robust covariance of generalized least squares, with small-sample corrections.

The bias-reduced linearisation estimator CR2 (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018,
doi:10.1080/07350015.2016.1247004) corrects each cluster's residuals so that the estimator would be
unbiased if the working covariance were true, with Satterthwaite df for every contrast.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from alliance_stats.estimates import Array

__all__ = ["ClusterRobust", "cr2"]

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

    def _df(self, c: Array) -> float:
        own = [half @ c for half in self.halves]
        variances = np.array([a @ (V @ c) for a, V in zip(own, self.weighted, strict=True)])
        pulled = np.array([X.T @ a for X, a in zip(self.X, own, strict=True)])
        products = -pulled @ self.M @ pulled.T
        products[np.diag_indices_from(products)] += variances
        return float(np.trace(products) ** 2 / (products**2).sum())


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
