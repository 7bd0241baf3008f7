"""Standardised differences of members nested in clusters, from sums of squares or from a model."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.effect_sizes.standardised import EffectSize, finite_sample, hedges_correction
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = [
    "ClusteredEffect",
    "anova_icc",
    "cluster_corrected_g",
    "model_based_g",
    "total_variance_df",
]


@dataclass(frozen=True, slots=True)
class ClusteredEffect(EffectSize):
    """A cluster-corrected effect size.

    Attributes
    ----------
    std_error
        Standard error of g, in SDs.
    icc
        Intraclass correlation within groups used for the correction, in [0, 1].
    df
        Degrees of freedom of the interval's t quantile: clusters - 2.
    """

    std_error: float = math.nan
    icc: float = math.nan
    df: float = math.nan


def anova_icc(values: npt.ArrayLike, clusters: npt.ArrayLike, groups: npt.ArrayLike) -> float:
    """Return the intraclass correlation of clusters nested in groups, by analysis of variance.

    ``(MSB - MSW) / (MSB + (n_0 - 1) MSW)``, mean squares between and within clusters inside
    groups, and ``n_0`` the weighted cluster size; a negative value is returned as 0
    (Donner & Koval 1980, doi:10.2307/2529987).

    Examples
    --------
    >>> from alliance_stats.effect_sizes import anova_icc
    >>> values = [5.0, 5.5, 3.0, 3.4, 6.1, 5.8]
    >>> round(anova_icc(values, ["a", "a", "b", "b", "c", "c"], ["g"] * 6), 3)
    0.96
    """
    y = finite_sample(values, "values")
    codes, sizes, cluster_group = _nesting(np.asarray(clusters), np.asarray(groups))
    n_clusters = sizes.size
    n_groups = np.unique(cluster_group).size
    if n_clusters <= n_groups:
        raise NotIdentifiedError(
            f"{n_clusters} clusters in {n_groups} groups: the variance between clusters needs "
            "a group with at least two."
        )
    if y.size == n_clusters:
        raise NotIdentifiedError(
            "Every cluster has one member: the intraclass correlation is not identified."
        )
    means = np.bincount(codes, weights=y) / sizes
    group_n = np.bincount(cluster_group, weights=sizes)
    group_means = np.bincount(cluster_group, weights=sizes * means) / group_n
    ss_between = float(np.sum(sizes * (means - group_means[cluster_group]) ** 2))
    ss_within = float(np.sum((y - means[codes]) ** 2))
    ms_between = ss_between / (n_clusters - n_groups)
    ms_within = ss_within / (y.size - n_clusters)
    squares = np.bincount(cluster_group, weights=sizes.astype(float) ** 2)
    typical = (y.size - float(np.sum(squares / group_n))) / (n_clusters - n_groups)
    total = ms_between + (typical - 1.0) * ms_within
    if total == 0:
        raise NotIdentifiedError("The values do not vary within groups: no intraclass correlation.")
    return min(max(0.0, (ms_between - ms_within) / total), 1.0)


def cluster_corrected_g(
    values: npt.ArrayLike,
    groups: npt.ArrayLike,
    clusters: npt.ArrayLike,
    *,
    icc: float | None = None,
    conf_level: float = 0.95,
) -> ClusteredEffect:
    """Return Hedges' g of two groups of whole clusters, in SDs of the **total** variance.

    With ``V = (1 - icc) I + icc B`` the correlation of members (``B`` one within a cluster) and
    ``M`` the projection off the group means, ``S^2 = SS / tr(MV)`` is unbiased for the total
    variance, with ``h = tr(MV)^2 / tr(MVMV)`` degrees of freedom; ``g = J(h) (mean_1 - mean_2)/S``
    and ``se^2 = J^2 (sum_g [icc sum n_i^2 / N_g^2 + (1 - icc)/N_g] + d^2 / (2 h))``. With equal
    clusters this is d_T of Hedges (2007), doi:10.3102/1076998606298043; unequal sizes are exact.

    Parameters
    ----------
    values, groups, clusters
        One entry per member: outcome, group (0 for the first, 1 for the second) and cluster.
        A cluster lies in one group.
    icc
        Intraclass correlation; estimated with :func:`anova_icc` if not given.
    conf_level
        Coverage of the interval, which uses t with clusters - 2 degrees of freedom.

    Examples
    --------
    >>> import numpy as np
    >>> from alliance_stats.effect_sizes import cluster_corrected_g
    >>> values = [5.0, 5.5, 3.0, 3.4, 6.1, 5.8, 2.0, 2.6]
    >>> groups = np.array([0, 0, 1, 1] * 2)
    >>> clusters = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    >>> round(cluster_corrected_g(values, groups, clusters).estimate, 2)
    3.5
    """
    check_conf_level(conf_level)
    y = finite_sample(values, "values")
    group = np.asarray(groups)
    _, sizes, cluster_group = _nesting(np.asarray(clusters), group)
    if not np.array_equal(np.unique(cluster_group), [0, 1]):
        raise DataError(
            "groups must hold 0 for the first and 1 for the second group, both present."
        )
    if sizes.size < 4:
        raise NotIdentifiedError(
            f"{sizes.size} clusters: a cluster-corrected g needs at least 4 (clusters - 2 > 1)."
        )
    rho = anova_icc(y, clusters, groups) if icc is None else icc
    if not 0.0 <= rho <= 1.0:
        raise ValueError(f"icc must lie between 0 and 1; got {rho}.")
    n = np.bincount(cluster_group, weights=sizes)
    means = np.bincount(group, weights=y) / n
    ss_total = float(np.sum((y - means[group]) ** 2))
    if ss_total == 0:
        raise NotIdentifiedError("Neither group varies: the total SD is 0, g has no denominator.")
    trace, h = _total_variance_df(sizes.astype(float), cluster_group, rho)
    d = float(means[0] - means[1]) / math.sqrt(ss_total / trace)
    squares = np.bincount(cluster_group, weights=sizes.astype(float) ** 2)
    variance = float(np.sum(rho * squares / n**2 + (1.0 - rho) / n)) + d**2 / (2.0 * h)
    scale = hedges_correction(h)
    error = scale * math.sqrt(variance)
    df = float(sizes.size - 2)
    half = float(stats.t.isf((1.0 - conf_level) / 2.0, df)) * error
    return ClusteredEffect(
        scale * d, scale * d - half, scale * d + half, conf_level, error, rho, df
    )


def _total_variance_df(sizes: Array, cluster_group: Integers, rho: float) -> tuple[float, float]:
    """Return ``tr(MV)`` and ``tr(MV)^2 / tr(MVMV)``, closed form over clusters."""
    row_sum = 1.0 - rho + rho * sizes
    trace = square = 0.0
    for group in np.unique(cluster_group):
        inside = cluster_group == group
        n_i, v_i = sizes[inside], row_sum[inside]
        n = float(n_i.sum())
        one_v_one = float(np.sum(n_i * v_i))
        one_vv_one = float(np.sum(n_i * v_i**2))
        trace_vv = (
            n * (1.0 - rho) ** 2 + 2.0 * rho * (1.0 - rho) * n + rho**2 * float(np.sum(n_i**2))
        )
        trace += n - one_v_one / n
        square += trace_vv - 2.0 * one_vv_one / n + (one_v_one / n) ** 2
    return trace, trace**2 / square


def _nesting(
    clusters: npt.NDArray[np.generic], groups: npt.NDArray[np.generic]
) -> tuple[Integers, Integers, Integers]:
    """Return each member's cluster code, each cluster's size and each cluster's group code."""
    labels, first, codes = np.unique(clusters, return_index=True, return_inverse=True)
    group_codes = np.unique(groups, return_inverse=True)[1]
    cluster_group = group_codes[first]
    crossing = np.unique(codes[group_codes != cluster_group[codes]])
    if crossing.size:
        raise DataError(
            f"Cluster {labels[crossing[0]]!s} has members in more than one group; "
            "this effect size needs clusters that lie wholly in one group."
        )
    return codes, np.bincount(codes), cluster_group


_INFORMATIVE = 1e-12  # relative determinant of an information matrix below which it is singular


def model_based_g(
    difference: float,
    std_error: float,
    *,
    between: float,
    within: float,
    variance_df: float,
    df: float,
    conf_level: float = 0.95,
) -> ClusteredEffect:
    """Return a mixed model's difference as Hedges' g, in SDs of the **total** variance.

    ``d = b / S`` with ``S^2`` the sum of the variances between and within clusters, ``g = J(h) d``
    and, by the delta method, ``se^2 = J^2 (se(b)^2 / S^2 + d^2 / (2 h))``, ``h`` being the degrees
    of freedom of ``S^2`` (:func:`total_variance_df`); the interval uses t with the df of ``b``.
    With equal clusters d is that of Hedges (2007), doi:10.3102/1076998606298043; the same ratio is
    used by Taylor, Pigott & Williams (2022), doi:10.3102/0013189X211051319.

    Parameters
    ----------
    difference, std_error, df
        The model's difference b, in units of the outcome, its standard error and df.
    between, within
        Variances between and within clusters, in squared units of the outcome.
    variance_df
        Degrees of freedom of their sum.
    conf_level
        Coverage of the interval.

    Examples
    --------
    >>> from alliance_stats.effect_sizes import model_based_g
    >>> found = model_based_g(2.0, 0.8, between=2.0, within=7.0, variance_df=35.0, df=12.0)
    >>> round(found.estimate, 3)
    0.652
    """
    check_conf_level(conf_level)
    total = between + within
    if not total > 0.0:
        raise NotIdentifiedError("The model finds no variance: g has no denominator.")
    d = difference / math.sqrt(total)
    scale = hedges_correction(variance_df)
    error = scale * math.sqrt(std_error**2 / total + d**2 / (2.0 * variance_df))
    half = float(stats.t.isf((1.0 - conf_level) / 2.0, df)) * error
    g = scale * d
    return ClusteredEffect(g, g - half, g + half, conf_level, error, between / total, df)


def total_variance_df(X: Array, clusters: Integers, *, between: float, within: float) -> float:
    """Return ``2 S^4 / Var(S^2)`` of the total variance ``S^2`` of a random-intercept REML fit.

    ``Var(S^2)`` is the sum of all entries of the inverse of the expected information on the two
    variances, ``I_ij = tr(P V_i P V_j) / 2`` (Searle, Casella & McCulloch 1992, Variance
    Components, section 6.6), closed form over clusters.

    Parameters
    ----------
    X
        Columns of the fixed effects, (n, p).
    clusters
        Number of each row's cluster, (n,).
    between, within
        The fitted variances; a between-cluster variance of 0 still counts as estimated.

    Examples
    --------
    >>> import numpy as np
    >>> from alliance_stats.effect_sizes import total_variance_df
    >>> X = np.ones((6, 1))
    >>> clusters = np.array([0, 0, 1, 1, 2, 2])
    >>> round(total_variance_df(X, clusters, between=1.0, within=2.0), 2)
    3.86
    """
    codes = np.unique(clusters, return_inverse=True)[1]
    n = np.bincount(codes).astype(float)
    sums = np.zeros((n.size, X.shape[1]))
    np.add.at(sums, codes, X)
    centred = X - (sums / n[:, None])[codes]
    a = within + n * between  # the eigenvalue of a cluster's V along its members' sum

    def weighed(k: Array) -> Array:
        return np.asarray((sums * k[:, None]).T @ sums)

    def power(k: float) -> Array:  # X' V^-k X
        return np.asarray(centred.T @ centred / within**k + weighed(a**-k / n))

    Phi = np.linalg.inv(power(1.0))
    P = (weighed(a**-2.0), power(2.0))  # X' V^-1 V_i V^-1 X: between, within
    Q = ((weighed(n * a**-3.0), weighed(a**-3.0)), (weighed(a**-3.0), power(3.0)))
    within_trace = float(np.sum((n - 1.0) / within**2 + a**-2.0))
    crossed_trace = float(np.sum(n * a**-2.0))
    traces = ((float(np.sum((n / a) ** 2)), crossed_trace), (crossed_trace, within_trace))
    information = np.array(
        [
            [
                traces[i][j] - 2.0 * np.trace(Phi @ Q[i][j]) + np.trace(Phi @ P[i] @ Phi @ P[j])
                for j in (0, 1)
            ]
            for i in (0, 1)
        ]
    )
    determinant = float(np.linalg.det(information))
    if not determinant > _INFORMATIVE * float(np.prod(np.diag(information))):
        raise NotIdentifiedError(
            "The clusters do not tell the variance between them from the one within: the total SD "
            "has no degrees of freedom."
        )
    variance = 2.0 * float(np.linalg.inv(information).sum())
    return 2.0 * (between + within) ** 2 / variance
