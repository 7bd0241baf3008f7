"""The wild cluster bootstrap-t of generalized least squares, from sums by cluster.

Each cluster's residuals under the null hypothesis are multiplied by a random sign (Cameron, Gelbach
& Miller 2008, doi:10.1162/rest.90.3.414; Liu 1988 for single rows); the statistic is t with a
cluster-robust standard error, in the data and in every draw. A coefficient changes by ``M sum_g w_g
s_g`` with the scores ``s_g = X_g' V_g^-1 e_g``, and its variance also needs ``A_g = X_g' V_g^-1
X_g``: no draw needs operations by row.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from alliance_stats.estimates import Array, Integers

__all__ = ["ClusterSums", "cluster_sums", "cluster_weights", "wild_interval", "wild_p_value"]

# Six points of Webb's weights: with few clusters two points give few distinct draws.
WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))
# An observed statistic counts among the draws that reproduce it to rounding.
ROUNDING = 1e-10
# Standard errors within which an end of an interval is looked for, and how near it is found.
FURTHEST, NEAR = 1e3, 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class ClusterSums:
    """Each cluster's contribution to the normal equations.

    Attributes
    ----------
    A
        ``X_g' V_g^-1 X_g``, (clusters, p, p).
    u
        ``X_g' V_g^-1 y_g``, (clusters, p).
    """

    A: Array
    u: Array

    @property
    def M(self) -> Array:
        """``(X'V^-1X)^-1``."""
        return np.asarray(np.linalg.inv(self.A.sum(axis=0)))

    @property
    def beta(self) -> Array:
        """Coefficients, (p,)."""
        return np.asarray(self.M @ self.u.sum(axis=0))


def cluster_sums(Xy: Array, pulled: Array, clusters: Integers) -> ClusterSums:
    """Sum ``X'V^-1[X y]`` over the rows of each cluster.

    Parameters
    ----------
    Xy, pulled
        Fixed columns and outcome, and ``V^-1`` times them, in (whitened) rows, (p + 1, n).
    clusters
        Cluster of each row.
    """
    order = np.argsort(clusters, kind="stable")
    ends = np.searchsorted(clusters[order], np.arange(int(clusters.max()) + 2))
    found = np.array(
        [Xy[:-1, order[a:b]] @ pulled[:, order[a:b]].T for a, b in itertools.pairwise(ends)]
    )
    return ClusterSums(found[:, :, :-1], found[:, :, -1])


def cluster_weights(n_clusters: int, n: int, kind: str, rng: np.random.Generator) -> Array:
    """Return weights, one row per draw and one column per cluster.

    ``"rademacher"``: random signs, or every combination once if there are no more than `n`.
    ``"webb"``: six points (Webb 2023, doi:10.1111/caje.12661).
    """
    if kind == "webb":
        points = np.concatenate([-WEBB, WEBB])
        return points[rng.integers(0, 6, size=(n, n_clusters))]
    if 2**n_clusters <= n:
        places = np.arange(2**n_clusters)[:, None] >> np.arange(n_clusters)
        return np.where(places & 1, -1.0, 1.0)
    return np.where(rng.integers(0, 2, size=(n, n_clusters)), -1.0, 1.0)


def robust_t(sums: ClusterSums, c: Array, null: float) -> tuple[float, float]:
    """Return t of ``c'beta = null`` and the standard error in it (no small-sample factor)."""
    a, beta = sums.M @ c, sums.beta
    error = float(np.sqrt((((sums.u - sums.A @ beta) @ a) ** 2).sum()))
    return float((c @ beta - null) / error), error


def wild_p_value(sums: ClusterSums, c: Array, null: float, weights: Array) -> float:
    """Return the two-sided p-value of ``c'beta = null``, with the null imposed on the draws."""
    M, beta = sums.M, sums.beta
    a = M @ c
    restricted = beta - a * (c @ beta - null) / (c @ a)
    scores = sums.u - sums.A @ restricted
    moved = weights @ (scores @ M)
    own = weights * (scores @ a) - moved @ (sums.A @ a).T
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.abs(moved @ c) / np.sqrt((own**2).sum(axis=1))
    observed = abs(robust_t(sums, c, null)[0])
    above = int((np.nan_to_num(drawn, nan=0.0) >= observed * (1.0 - ROUNDING)).sum())
    n, G = weights.shape
    every = n == 2**G and np.abs(np.abs(weights) - 1.0).max() == 0.0
    return float(above / n if every else (1 + above) / (1 + n))


def wild_interval(
    sums: ClusterSums, c: Array, weights: Array, conf_level: float
) -> tuple[float, float]:
    """Return the values of ``c'beta`` that the bootstrap does not reject; infinite if unbounded.

    With few clusters no value can be rejected at all.
    """
    alpha, centre, error = 1.0 - conf_level, float(c @ sums.beta), robust_t(sums, c, 0.0)[1]

    def excess(distance: float, sign: float) -> float:
        return wild_p_value(sums, c, centre + sign * distance * error, weights) - alpha

    ends = []
    for sign in (-1.0, 1.0):
        far = 2.0
        while far < FURTHEST and excess(far, sign) > 0.0:
            far *= 1.5
        if far >= FURTHEST:
            ends.append(sign * np.inf)
            continue
        end = optimize.bisect(excess, 0.0, far, args=(sign,), xtol=NEAR)
        ends.append(centre + sign * float(end) * error)
    return ends[0], ends[1]
