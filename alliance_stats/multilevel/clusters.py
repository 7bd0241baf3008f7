"""What clusters decide: robust standard errors (CR2), and how far one moves the estimates."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.design.groupings import Grouping
from alliance_stats.engine.criterion import at_eta, solve
from alliance_stats.engine.sandwich import ClusterRobust, cr2
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.linear_fit import LinearFit, make_problem

__all__ = ["CR2", "cluster_robust", "cooks_distances"]


@dataclass(frozen=True, slots=True)
class CR2:
    """Ask for CR2 standard errors clustered by a grouping factor of the model.

    Attributes
    ----------
    cluster
        Name of the grouping factor, ``"therapist"``. Every random effect must lie within it.
    """

    cluster: str


def cluster_robust(fit: LinearFit, request: CR2) -> ClusterRobust:
    """Compute CR2 for a fit, with the fitted covariance as the working one.

    Raises
    ------
    DataError
        If the cluster is not a grouping factor of the model, or a random effect crosses it.
    NotIdentifiedError
        If there are fewer than two clusters.
    """
    clusters = _clusters(fit, request.cluster)
    residual = fit.design.y - fit.fixed_part
    rows = [np.flatnonzero(clusters == u) for u in range(int(clusters.max()) + 1)]
    with one_blas_thread():  # clusters are small: threads would cost more than they bring
        return cr2(
            [fit.design.X[own] for own in rows],
            [residual[own] for own in rows],
            [_covariance(fit, own) for own in rows],
        )


def cooks_distances(fit: LinearFit, cluster: str) -> pd.DataFrame:
    """Return how far leaving a cluster out moves the coefficients, theta held.

    NaN where a coefficient rests on one cluster alone.
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


def _beta_without(fit: LinearFit, kept: npt.NDArray[np.bool_]) -> Array:
    """Coefficients in the working basis from some of the rows, theta held, in the fit's units."""
    design = fit.design
    groupings = tuple(
        replace(g, codes=np.unique(g.codes[kept], return_inverse=True)[1], Z=g.Z[:, kept])
        for g in design.groupings
    )
    part = replace(
        design,
        y=design.y[kept],
        Q=design.Q[:, kept],
        residual=design.residual[kept],
        root_weights=design.root_weights[kept],
        groupings=groupings,
    )
    shape = fit.problem.shape
    if shape is not None:
        back = np.argsort(fit.problem.layout.order)
        shape = shape.sorted(back).keep(kept)
    problem = make_problem(part, fit.units, reml=False, known=fit.problem.known, shape=shape)
    return solve(at_eta(problem, fit.eta), fit.minimum.Lambda).beta


def _grouping(fit: LinearFit, name: str) -> Grouping:
    groupings = {g.name: g for g in fit.design.groupings}
    if name not in groupings:
        raise DataError(
            f"'{name}' is not a grouping factor of the model. {did_you_mean(name, groupings)}"
        )
    return groupings[name]


def _clusters(fit: LinearFit, name: str) -> npt.NDArray[np.int64]:
    grouping = _grouping(fit, name)
    codes = grouping.codes
    for other in fit.design.groupings:
        home = np.full(len(other.labels), -1)
        home[other.codes] = codes
        if not np.array_equal(home[other.codes], codes):
            raise DataError(
                f"Units of '{other.name}' have rows in several units of '{name}': their outcomes "
                f"are correlated across clusters. Cluster by a factor that contains all others."
            )
    if len(grouping.labels) < 2:
        raise NotIdentifiedError(f"CR2 needs at least two clusters; '{name}' has one.")
    return codes


def _covariance(fit: LinearFit, own: npt.NDArray[np.intp]) -> Array:
    """Fitted covariance of the outcomes in some rows, on the outcome's scale squared."""
    roots = fit.design.root_weights[own]
    shape, order = fit.problem.shape, fit.problem.layout.order
    V = np.eye(len(own))
    if shape is not None:
        V = shape.covariance(np.argsort(order)[own], fit.eta)
    for grouping, Lambda in zip(fit.design.groupings, fit.Lambda, strict=True):
        half = Lambda.T @ grouping.Z[:, own]
        same = grouping.codes[own][:, None] == grouping.codes[own][None]
        V = V + (half.T @ half) * same
    return np.asarray(V * fit.sigma**2 / np.outer(roots, roots))
