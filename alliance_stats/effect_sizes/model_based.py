"""The difference of a mixed model in SDs of the total variance that the model finds."""

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from alliance_stats.checks import check_conf_level
from alliance_stats.effect_sizes.clustered import ClusteredEffect
from alliance_stats.effect_sizes.standardised import hedges_correction
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["model_based_g", "total_variance_df"]

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
    With equal clusters d is that of Hedges (2007), doi:10.3102/1076998606298043; the same ratio
    stands in Taylor, Pigott & Williams (2022), doi:10.3102/0013189X211051319.

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


def total_variance_df(
    X: Array, clusters: npt.NDArray[np.int64], *, between: float, within: float
) -> float:
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
        The fitted variances; one between clusters of 0 still counts as estimated.
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
