"""CR2: standard errors that stay right when the random part of the model is not.

The bias-reduced linearisation estimator (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018,
doi:10.1080/07350015.2016.1247004) corrects each cluster's residuals so that the estimator would be
unbiased if the fitted covariance were true, with Satterthwaite df for every contrast.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import linalg

from alliance_stats.checks import did_you_mean
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array

if TYPE_CHECKING:
    from alliance_stats.design.groupings import Grouping
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["CR2", "ClusterRobust", "cluster_robust"]

# Eigenvalues of a cluster's adjustment under this share of the largest count as zero.
_RANK = 1e-10


@dataclass(frozen=True, slots=True)
class CR2:
    """Ask for CR2 standard errors clustered by a grouping factor of the model.

    Attributes
    ----------
    cluster
        Name of the grouping factor, ``"therapist"``. Every random effect must lie within it.
    """

    cluster: str


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
        """Satterthwaite degrees of freedom of each row of `C` under the fitted covariance."""
        return np.array([self._df(row) for row in C])

    def _df(self, c: Array) -> float:
        own = [half @ c for half in self.halves]
        variances = np.array([a @ (V @ c) for a, V in zip(own, self.weighted, strict=True)])
        pulled = np.array([X.T @ a for X, a in zip(self.X, own, strict=True)])
        products = -pulled @ self.M @ pulled.T
        products[np.diag_indices_from(products)] += variances
        return float(np.trace(products) ** 2 / (products**2).sum())


def cluster_robust(model: "LinearMixedModel", request: CR2) -> ClusterRobust:
    """Compute CR2 for a fitted model.

    Raises
    ------
    DataError
        If the cluster is not a grouping factor of the model, or a random effect crosses it.
    NotIdentifiedError
        If there are fewer than two clusters.
    """
    with one_blas_thread():  # clusters are small: threads would cost more than they bring
        return _cluster_robust(model, _clusters(model, request.cluster))


def _cluster_robust(model: "LinearMixedModel", clusters: npt.NDArray[np.int64]) -> ClusterRobust:
    design = model.design
    X_all = design.X
    residual = design.y - X_all @ model.beta.to_numpy()[design.fixed.kept]
    rows = [np.flatnonzero(clusters == u) for u in range(int(clusters.max()) + 1)]
    covariances = [_covariance(model, own) for own in rows]
    weights = [linalg.inv(V) for V in covariances]
    X = [X_all[own] for own in rows]
    M = linalg.inv(sum(x.T @ w @ x for x, w in zip(X, weights, strict=True)))
    halves, weighted = [], []
    meat = np.zeros_like(M)
    for own, V, W, x in zip(rows, covariances, weights, X, strict=True):
        half = _adjusted(V, W, x, M)
        score = half.T @ residual[own]
        meat += np.outer(score, score)
        halves.append(half)
        weighted.append(V @ half)
    return ClusterRobust(meat, tuple(halves), tuple(weighted), tuple(X), M)


def _adjusted(V: Array, W: Array, X: Array, M: Array) -> Array:
    """Return ``A W X M`` with ``A = D'(D (V - X M X')D')^(-1/2) D``, ``V = D'D``."""
    D = linalg.cholesky(V)
    values, vectors = linalg.eigh(D @ (V - X @ M @ X.T) @ D.T)
    kept = values > _RANK * max(values.max(), 0.0)
    root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
    return np.asarray((D.T @ root @ D).T @ W @ X @ M)


def _clusters(model: "LinearMixedModel", name: str) -> npt.NDArray[np.int64]:
    groupings = {g.name: g for g in model.design.groupings}
    if name not in groupings:
        raise DataError(
            f"'{name}' is not a grouping factor of the model. {did_you_mean(name, groupings)}"
        )
    codes = groupings[name].codes
    for other in groupings.values():
        home = np.full(len(other.labels), -1)
        home[other.codes] = codes
        if not np.array_equal(home[other.codes], codes):
            raise DataError(
                f"Units of '{other.name}' have rows in several units of '{name}': their outcomes "
                f"are correlated across clusters. Cluster by a factor that contains all others."
            )
    if len(groupings[name].labels) < 2:
        raise NotIdentifiedError(f"CR2 needs at least two clusters; '{name}' has one.")
    return codes


def _covariance(model: "LinearMixedModel", own: npt.NDArray[np.intp]) -> Array:
    """Fitted covariance of the outcomes in some rows, on the outcome's scale squared."""
    roots = model.design.root_weights[own]
    shape, order = model.problem.shape, model.problem.layout.order
    V = np.eye(len(own))
    if shape is not None:
        V = shape.covariance(np.argsort(order)[own], model.fit.eta)
    V = V * model.sigma**2 / np.outer(roots, roots)
    for grouping, Lambda in zip(model.design.groupings, model.fit.Lambda, strict=True):
        V += _shared(grouping, Lambda, own, model.sigma) / np.outer(roots, roots)
    return V


def _shared(grouping: "Grouping", Lambda: Array, own: npt.NDArray[np.intp], sigma: float) -> Array:
    half = sigma * Lambda.T @ grouping.Z[:, own]
    same = grouping.codes[own][:, None] == grouping.codes[own][None]
    return np.asarray((half.T @ half) * same)
