"""A difference of two groups with a bias-reduced cluster-robust standard error (CR2)."""

import math
from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.groups.samples import Codes, Outcome

__all__ = ["ClusterRobustFit", "cluster_robust_difference"]


@dataclass(frozen=True, slots=True)
class ClusterRobustFit:
    """Difference (first minus second), CR2 standard error, Satterthwaite df."""

    estimate: float
    std_error: float
    df: float


def cluster_robust_difference(outcome: Outcome) -> ClusterRobustFit | None:
    """Fit the difference by least squares, with the baseline as covariate if there is one.

    CR2 of Bell & McCaffrey (2002) with identity working model and Satterthwaite df, as in
    clubSandwich (Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004). None where the
    clusters hold no information on the error.
    """
    assert outcome.cluster is not None  # asked for only where the design is clustered
    columns = [(outcome.group == 0).astype(float), np.ones(outcome.values.size)]
    if outcome.baseline is not None:
        columns.append(outcome.baseline)
    X = np.column_stack(columns)
    if np.linalg.matrix_rank(X) < X.shape[1]:
        return None
    beta = np.linalg.lstsq(X, outcome.values, rcond=None)[0]
    error, df = _cr2(X, outcome.values - X @ beta, outcome.cluster)
    if not error > 0:
        return None
    return ClusterRobustFit(float(beta[0]), error, df)


def _cr2(X: Array, residual: Array, cluster: Codes) -> tuple[float, float]:
    """Return the CR2 standard error of the first coefficient and its Satterthwaite df."""
    bread = np.linalg.inv(X.T @ X)
    rows = [np.flatnonzero(cluster == code) for code in np.unique(cluster)]
    # the estimate is bread[0] X' y, so each cluster's weights are bread[0] X_i' A_i
    weights = [
        _inverse_root(np.eye(r.size) - X[r] @ bread @ X[r].T) @ (X[r] @ bread[0]) for r in rows
    ]
    variance = sum(float(w @ residual[r]) ** 2 for w, r in zip(weights, rows, strict=True))
    # p_ij = w_i' (I - H)_ij w_j under the identity working model
    inner = np.array([X[r].T @ w for w, r in zip(weights, rows, strict=True)])
    P = -inner @ bread @ inner.T
    P[np.diag_indices_from(P)] += [float(w @ w) for w in weights]
    total = float(np.sum(P**2))
    df = float(np.trace(P)) ** 2 / total if total > 0 else math.nan
    return math.sqrt(variance), df


def _inverse_root(matrix: Array) -> Array:
    """Return the symmetric inverse square root; directions without variance stay out."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-12
    return np.asarray((vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T)
