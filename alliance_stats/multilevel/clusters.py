"""Cluster-robust standard errors (CR2), and the influence of single clusters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from alliance_stats.checks import did_you_mean
from alliance_stats.design.design import Design
from alliance_stats.design.groupings import Grouping
from alliance_stats.design.residual import Correlated
from alliance_stats.engine.array_door import sorted_rows
from alliance_stats.engine.criterion import at_eta, pulled_rows, solve
from alliance_stats.engine.generalized_search import GeneralizedCriterion, joint_mode
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.engine.linear_search import minimise
from alliance_stats.engine.residual_shape import ResidualShape
from alliance_stats.engine.sandwich import ClusterRobust, RowVariances, cr2, turned
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.engine.wild_bootstrap import ClusterSums, cluster_sums
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.multilevel.generalized_data import make_generalized_problem
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit, make_problem, working_columns

__all__ = [
    "CR2",
    "cluster_codes",
    "cluster_robust",
    "cluster_scores",
    "clusters_of",
    "cooks_distances",
    "generalized_robust",
    "part_of",
    "problem_of",
    "refitted_without",
    "sums_by_cluster",
]


# Least share of the information that a cluster is taken to have of any direction.
LEAST_SHARE = 1e-10
# Steps of differences of slopes, in standard errors.
NEAR = 1e-3


@dataclass(frozen=True, slots=True)
class CR2:
    """Request CR2 standard errors clustered by a grouping factor of the model.

    Attributes
    ----------
    cluster
        Name of the grouping factor, such as ``"therapist"``, or of the unit within which residuals
        are correlated. Every random effect must lie within it.
    """

    cluster: str


def cluster_robust(fit: LinearFit, request: CR2) -> ClusterRobust:
    """Compute CR2 for a fit, with the fitted covariance as the working covariance.

    Raises
    ------
    DataError
        If the cluster is not a grouping factor of the model, or is crossed with a random effect.
    NotIdentifiedError
        If there are fewer than two clusters.
    """
    clusters = clusters_of(fit, request.cluster)
    residual = fit.design.y - fit.fixed_part
    rows = [np.flatnonzero(clusters == u) for u in range(int(clusters.max()) + 1)]
    with one_blas_thread():  # clusters are small: threads would cost more than they bring
        return cr2(
            [fit.design.X[own] for own in rows],
            [residual[own] for own in rows],
            [_covariance(fit, own) for own in rows],
        )


def cluster_scores(fit: GeneralizedFit, cluster: str) -> tuple[Array, Array]:
    """Return each cluster's contribution to the score and information of a generalized fit.

    Returns
    -------
    scores
        Derivatives of the cluster's log-likelihood in theta and the other parameters of the search,
        (clusters, k); they sum to 0.
    information
        Expected information of coefficients at the mode, or, where there are effects on single
        thresholds, that observed in all parameters beside theta; of the rest the clusters' equal
        shares: (clusters, k, k).
    """
    codes = clusters_of(fit, cluster)
    template, n_clusters = fit.template, int(codes.max()) + 1
    t, p = template.n_theta, fit.problem.p
    share = linalg.inv(fit.minimum.covariance) / n_clusters
    scores, information = [], []
    for unit in range(n_clusters):
        own = problem_of(fit, codes == unit)
        criterion = GeneralizedCriterion(own, fit.approximation)
        slopes = criterion.evaluate(fit.Lambda, fit.minimum.other, own.no_effects())
        scores.append(-0.5 * np.r_[template.theta(slopes.Lambda), slopes.other])
        at = own.at(fit.minimum.other[p:])
        mode = joint_mode(at, fit.Lambda, fit.gamma, slopes.memory, steps=0)
        found = _observed(fit, own) if fit.by_threshold else mode.XX
        told = slice(t, t + len(found))
        block = share.copy()
        block[told, :] = block[:, told] = 0.0
        block[told, told] = found
        information.append(block)
    return np.array(scores), np.array(information)


def _observed(fit: GeneralizedFit, own: GeneralizedProblem) -> Array:
    """Observed information of some clusters in all parameters beside theta, by differences."""
    criterion, other = GeneralizedCriterion(own, fit.approximation), fit.minimum.other
    steps = NEAR * np.sqrt(np.diag(fit.minimum.covariance)[fit.template.n_theta :])

    def slope(move: Array) -> Array:
        return criterion.evaluate(fit.Lambda, other + move, own.no_effects()).other

    found = np.array([(slope(h) - slope(-h)) / h.max() for h in np.diag(steps)]) / 4.0
    return (found + found.T) / 2.0


def problem_of(
    fit: GeneralizedFit,
    kept: Booleans,
    groupings: Mapping[int, Grouping] | None = None,
) -> GeneralizedProblem:
    """Return the problem for the deviance of some rows, in the fit's working basis.

    With only some grouping factors and other columns, if these are given by their positions.
    """
    whole, n = fit.problem, len(kept)
    order = whole.layout.order
    Q, offset, place = np.empty((whole.p, n)), np.empty(n), np.empty(n, dtype=np.int64)
    Q[:, order], offset[order], place[order] = whole.Q, whole.offset, np.arange(n)
    part = replace(part_of(fit.design, kept), Q=Q[:, kept])
    chosen = [(groupings or {}).get(f, grouping) for f, grouping in enumerate(part.groupings)]
    own = make_generalized_problem(
        replace(part, groupings=tuple(chosen)), fit.family, fit.trials[kept], offset[kept]
    )
    return replace(own, shape=whole.shape.of_rows_at(place[kept][own.layout.order]))


def generalized_robust(
    fit: GeneralizedFit, request: CR2, *, into: Array | None = None
) -> ClusterRobust:
    """Compute CR2 of a generalized fit's coefficients.

    Or of other linear functions (m, k) `into` of theta and the search's other parameters.

    In coordinates in which the covariance is the identity, a cluster with the share H of the
    information has scores of covariance H (I - H) at the estimates, so that ``(I - H)^(-1/2)``
    corrects them (Kauermann & Carroll 2001, doi:10.1198/016214501753382309); df are Satterthwaite's
    under that model.
    """
    scores, information = cluster_scores(fit, request.cluster)
    root = linalg.cholesky(fit.minimum.covariance, lower=True)
    shares = root.T @ information @ root
    values, vectors = linalg.eigh(shares.sum(axis=0))
    even = (vectors / np.sqrt(values)) @ vectors.T
    columns, left = [], []
    for score, share in zip(scores @ root, even @ shares @ even, strict=True):
        values, vectors = linalg.eigh(share)
        half = np.sqrt(np.maximum(values, LEAST_SHARE))
        columns.append((vectors * half) @ vectors.T)
        left.append((vectors / half) @ vectors.T @ score)
    found = cr2(columns, left, [np.eye(len(root))] * len(columns))
    return turned(found, (fit.from_search if into is None else into) @ root)


def cooks_distances(fit: LinearFit, cluster: str) -> pd.DataFrame:
    """Return how far leaving a cluster out moves the coefficients, with theta held fixed.

    NaN where a coefficient depends on a single cluster.
    """
    grouping = _grouping(fit, cluster)
    full, p = fit.solution, fit.problem.p
    distances = np.full(len(grouping.labels), np.nan)
    for unit in range(len(grouping.labels)):
        try:
            change = full.beta - _beta_without(fit, grouping.codes != unit)
        except np.linalg.LinAlgError:  # the unit alone determines a coefficient
            continue
        moved = ((full.XX_factor.T @ change) ** 2).sum()
        distances[unit] = moved / (p * fit.relative_sigma**2)
    return pd.DataFrame(
        {
            "group": cluster,
            "level": list(grouping.labels),
            "n": np.bincount(grouping.codes, minlength=len(grouping.labels)),
            "cooks_distance": distances,
        }
    )


def sums_by_cluster(fit: LinearFit, cluster: str) -> ClusterSums:
    """Return each cluster's contribution to the fit's normal equations, in its working basis.

    Raises
    ------
    DataError, NotIdentifiedError
        As :func:`cluster_robust`.
    """
    clusters = clusters_of(fit, cluster)
    problem = fit.problem
    rows = problem.white
    if rows is None:
        rows = sorted_rows(problem.layout, *working_columns(fit.design, fit.units))
    pulled = pulled_rows(problem, rows, fit.minimum.Lambda)
    return cluster_sums(rows.Xy, pulled, clusters[problem.layout.order])


def refitted_without(fit: LinearFit, kept: Booleans) -> LinearFit:
    """Fit the model to some of the rows, whole clusters left out, from the fitted theta.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the remaining rows do not determine every coefficient.
    """
    part = part_of(fit.design, kept)
    if np.linalg.matrix_rank(part.Q) < len(part.Q):
        raise np.linalg.LinAlgError("The rows left do not determine every coefficient.")
    known, shape = fit.problem.known, _shape_of(fit, kept)
    problem = make_problem(part, fit.units, reml=fit.problem.reml, known=known, shape=shape)
    start = [factor + 1e-2 * np.eye(len(factor)) for factor in fit.minimum.Lambda]
    minimum = minimise(problem, start, fit.eta)
    return replace(fit, design=part, problem=at_eta(problem, minimum.other), minimum=minimum)


def _shape_of(fit: LinearFit, kept: Booleans) -> ResidualShape | None:
    """Return the residual shape of some rows, in the order of the design."""
    shape = fit.problem.shape
    if shape is None:
        return None
    return shape.sorted(np.argsort(fit.problem.layout.order)).keep(kept)


def _beta_without(fit: LinearFit, kept: Booleans) -> Array:
    """Coefficients in the working basis from some rows, theta held fixed, in the fit's units."""
    part, shape = part_of(fit.design, kept), _shape_of(fit, kept)
    problem = make_problem(part, fit.units, reml=False, known=fit.problem.known, shape=shape)
    return solve(at_eta(problem, fit.eta), fit.minimum.Lambda).beta


def part_of(design: Design, kept: Booleans) -> Design:
    """Return the design of some of the rows, in the same working basis."""
    groupings = []
    for g in design.groupings:
        left, codes = np.unique(g.codes[kept], return_inverse=True)
        groupings.append(
            replace(g, codes=codes, Z=g.Z[:, kept], labels=g.labels[left], keys=g.keys[left])
        )
    return replace(
        design,
        index=design.index[kept],
        y=design.y[kept],
        X=design.X[kept],
        Q=design.Q[:, kept],
        residual=design.residual[kept],
        root_weights=design.root_weights[kept],
        groupings=tuple(groupings),
        frame=design.frame[kept],
        offset=None if design.offset is None else design.offset[kept],
    )


def _grouping(fit: LinearFit | GeneralizedFit, name: str) -> Grouping:
    groupings = {g.name: g for g in fit.design.groupings}
    name = str(name)
    if name not in groupings:
        raise DataError(
            f"'{name}' is not a grouping factor of the model. {did_you_mean(name, groupings)}"
        )
    return groupings[name]


def cluster_codes(fit: LinearFit | GeneralizedFit, name: str) -> Integers:
    """Return each row's unit of a grouping factor or of the residual correlation."""
    if isinstance(fit, GeneralizedFit):
        return _grouping(fit, name).codes
    name = str(name)
    shape = fit.problem.shape
    within = {s.within for s in fit.structures if isinstance(s, Correlated)}
    named = [g.name for g in fit.design.groupings]
    if name in within - set(named) and shape is not None and shape.correlation is not None:
        return shape.correlation.units[np.argsort(fit.problem.layout.order)]
    if name not in named:
        raise DataError(
            f"'{name}' is not a grouping factor of the model. "
            f"{did_you_mean(name, [*named, *sorted(within)])}"
        )
    return _grouping(fit, name).codes


def clusters_of(fit: LinearFit | GeneralizedFit, name: str) -> Integers:
    """Return the cluster of each row; refuse a cluster that does not contain all random effects."""
    codes = cluster_codes(fit, name)
    for other in fit.design.groupings:
        home = np.full(len(other.labels), -1)
        home[other.codes] = codes
        if not np.array_equal(home[other.codes], codes):
            raise DataError(
                f"Units of '{other.name}' have rows in several units of '{name}': their outcomes "
                "are correlated across clusters. Cluster by a factor that contains all others, or "
                "keep the model's own tests (df_method='kenward-roger', parametric_bootstrap)."
            )
    if codes.max() < 1:
        raise NotIdentifiedError(
            f"Two clusters or more are needed; '{name}' has one. Use df_method= of tidy instead."
        )
    return codes


def _covariance(fit: LinearFit, own: npt.NDArray[np.intp]) -> Array | RowVariances:
    """Fitted covariance of the outcomes in some rows, on the outcome's scale squared."""
    scale = fit.sigma / fit.design.root_weights[own]
    shape, places = fit.problem.shape, np.argsort(fit.problem.layout.order)[own]
    effects = [
        scale[:, None] * _effects(grouping, Lambda, own)
        for grouping, Lambda in zip(fit.design.groupings, fit.Lambda, strict=True)
    ]
    if shape is None or shape.correlation is None:
        if shape is not None:
            scale = scale * shape.row_sd(fit.eta)[places]
        return RowVariances(scale**2, np.hstack([np.empty((len(own), 0)), *effects]))
    V = shape.covariance(places, fit.eta) * np.outer(scale, scale)
    return np.asarray(V + sum(half @ half.T for half in effects))


def _effects(grouping: Grouping, Lambda: Array, own: npt.NDArray[np.intp]) -> Array:
    """Return the columns of random effects of the units in some rows, in relative SDs."""
    half = grouping.Z[:, own].T @ Lambda
    units, codes = np.unique(grouping.codes[own], return_inverse=True)
    found = np.zeros((len(own), len(units), half.shape[1]))
    found[np.arange(len(own)), codes] = half
    return found.reshape(len(own), -1)
