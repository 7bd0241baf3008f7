"""The likelihood of outcomes and leaving that share effects. Arrays in, arrays out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alliance_stats.design.groupings import back_transform
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard

__all__ = ["SharedData", "log_likelihoods", "shared_data"]


@dataclass(frozen=True, slots=True, eq=False)
class SharedData:
    """What the joint likelihood needs.

    Attributes
    ----------
    y, X, Z, unit
        Outcome rows: (n,), (n, p), (n, q) and (n,) numbers of units.
    W, event, at_risk
        Rows at risk: (m, h), (m,) and (m,) numbers of units.
    mean
        Inverse link.
    points, weights
        (q, nodes) standard normal quadrature and (nodes,) weights.
    n_units
        Units.
    """

    y: Array
    X: Array
    Z: Array
    unit: npt.NDArray[np.int64]
    W: Array
    event: Array
    at_risk: npt.NDArray[np.int64]
    mean: Callable[[Array], Array]
    points: Array
    weights: Array
    n_units: int

    @property
    def n_outcome(self) -> int:
        """Outcome coefficients."""
        return int(self.X.shape[1])

    @property
    def n_effects(self) -> int:
        """Shared effects."""
        return int(self.Z.shape[1])

    @property
    def n_hazard(self) -> int:
        """Hazard coefficients."""
        return int(self.W.shape[1])


def shared_data(
    growth: LinearMixedModel, leaving: DiscreteHazard, unit: str, nodes: int
) -> SharedData:
    """Put both models' rows side by side; refuse units of one of them only."""
    design, grouping = growth.design, growth.design.groupings[0]
    other = leaving.fit.design
    ids = leaving.periods.frame.loc[other.index, unit]
    at_risk = grouping.keys.get_indexer(ids.astype(object))
    if (at_risk < 0).any():
        raise DataError(
            f"'{ids[at_risk < 0].iloc[0]}' has rows at risk but no outcome: its effects are not "
            "tied to anything. Leave such units out yourself, and say how many."
        )
    # the working columns are an invertible mixture of those given
    T = back_transform(grouping.terms)
    Z: Array = np.asarray(np.linalg.solve(T.T, grouping.Z).T, dtype=np.float64)
    q = Z.shape[1]
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    grid = np.meshgrid(*[x] * q, indexing="ij")
    weights = np.prod(np.meshgrid(*[w] * q, indexing="ij"), axis=0).ravel().astype(np.float64)
    return SharedData(
        design.y,
        design.X,
        Z,
        grouping.codes,
        other.X,
        other.y,
        at_risk.astype(np.int64),
        leaving.fit.family.mean,
        np.stack([axis.ravel() for axis in grid]).astype(np.float64),
        weights,
        len(grouping.labels),
    )


def log_likelihoods(parameters: Array, data: SharedData) -> Array:
    """Return each unit's log-likelihood.

    Parameters
    ----------
    parameters
        Outcome coefficients, packed Cholesky factor of D (log diagonal), log residual SD, hazard
        coefficients, associations.
    """
    p, q, h, n = data.n_outcome, data.n_effects, data.n_hazard, data.n_units
    beta, rest = parameters[:p], parameters[p:]
    k = q * (q + 1) // 2
    L = np.zeros((q, q))
    L[np.tril_indices(q)] = rest[:k]
    L[np.diag_indices(q)] = np.exp(np.diag(L))
    sigma = np.exp(rest[k])
    gamma, alpha = rest[k + 1 : k + 1 + h], rest[k + 1 + h :]
    residual = data.y - data.X @ beta
    # u ~ N(0, I), b = L u; of each unit A = I + (ZL)'ZL / sigma^2
    ZL = data.Z @ L
    A = np.empty((n, q, q))
    c = np.empty((n, q))
    for i in range(q):
        c[:, i] = np.bincount(data.unit, ZL[:, i] * residual, minlength=n) / sigma**2
        for j in range(q):
            A[:, i, j] = np.bincount(data.unit, ZL[:, i] * ZL[:, j], minlength=n) / sigma**2
    A += np.eye(q)
    count = np.bincount(data.unit, minlength=n)
    square = np.bincount(data.unit, residual**2, minlength=n) / sigma**2
    centre = np.linalg.solve(A, c[:, :, None])[:, :, 0]
    log_y = -0.5 * (
        count * np.log(2 * np.pi * sigma**2)
        + np.linalg.slogdet(A)[1]
        + square
        - (c * centre).sum(axis=1)
    )
    # nodes at u given y: centre + A^-1/2 x
    root = np.linalg.inv(np.linalg.cholesky(A)).transpose(0, 2, 1)
    u = centre[:, :, None] + root @ data.points
    shift = np.einsum("j,iju->iu", L.T @ alpha, u)
    hazard = data.mean((data.W @ gamma)[:, None] + shift[data.at_risk])
    hazard = np.clip(hazard, 1e-300, 1.0 - 1e-16)
    log_p = np.where(data.event[:, None] == 1.0, np.log(hazard), np.log1p(-hazard))
    each = np.zeros((n, len(data.weights)))
    np.add.at(each, data.at_risk, log_p)
    top = each.max(axis=1, keepdims=True)
    return np.asarray(log_y + top[:, 0] + np.log(np.exp(each - top) @ data.weights))
