"""Starting values for models of several outcomes."""

import numpy as np
import numpy.typing as npt
from scipy import linalg

from alliance_stats.engine.lag_criterion import LagProblem
from alliance_stats.engine.lag_parameters import LagParameters, take
from alliance_stats.estimates import Array

__all__ = ["first_coefficients", "put", "start_near", "start_of"]

Index = npt.NDArray[np.int64]

# Largest root of the lagged effects from which a search for a stationary model starts.
STEADY = 0.9


def start_of(parameters: LagParameters, stable: float, carry: float) -> Array:
    """Return a start: shares of stable differences and of lagged effects, nothing else."""
    theta = np.zeros(parameters.size)
    K = parameters.error.shape[1]
    moving = 0.9 - stable
    for k in range(K):
        put(theta, parameters.phi[:, :, k, k], carry)
        put(theta, parameters.innovation[:, :, k, k], np.sqrt(moving * (1 - carry**2)))
        put(theta, parameters.first[:, k, k], np.sqrt(moving))
        put(theta, parameters.person[:, k, k], np.sqrt(stable))
        put(theta, parameters.error[:, k], 0.3)
        for index in parameters.above:
            put(theta, index[k, k], 0.2)
    for j in range(K, parameters.person.shape[1]):
        put(theta, parameters.person[:, j, j], 0.05)
    return theta


def put(theta: Array, index: Index, value: float | Array) -> None:
    """Set parameters; positions of -1 are skipped."""
    index = np.atleast_1d(index)
    values = np.broadcast_to(value, index.shape)
    theta[index[index >= 0]] = values[index >= 0]


def start_near(parameters: LagParameters, old: LagParameters, at: Array) -> Array:
    """Carry another fit's matrices over, in SDs, away from zero where they stand on it."""
    theta = start_of(parameters, 0.2, 0.2)
    at = at[None]
    for g in range(parameters.n_groups):
        found = old.residual(at, g)
        phi = found.phi[0]
        if parameters.stationary:  # what does not die out has no state that it tends to
            radius = np.abs(np.linalg.eigvals(phi)).max(axis=-1, keepdims=True)[..., None]
            phi = phi * np.minimum(1.0, STEADY / np.maximum(radius, STEADY))
        put(theta, parameters.phi[g], phi)
        put(theta, parameters.innovation[g], _factor(take(at, old.innovation[g])[0]))
        first = linalg.cholesky(found.first[0] + 1e-6 * np.eye(found.first.shape[1]), lower=True)
        put(theta, parameters.first[g], _factor(first))
        put(theta, parameters.pull[g], found.pull[0])
        put(theta, parameters.error[g], np.maximum(np.sqrt(found.error[0]), 0.2))
        q = min(parameters.person.shape[1], old.person.shape[1])
        person = take(at, old.person[g])[0][:q, :q]
        put(theta, parameters.person[g][:q, :q], _factor(person))
    for new, index in zip(parameters.above, old.above, strict=True):
        put(theta, new, _factor(take(at, index)[0]))
    return theta


def _factor(L: Array) -> Array:
    """Lift diagonals of a factor off zero, from where a search does not start."""
    where = np.arange(L.shape[-1])
    L = L.copy()
    diagonal = L[..., where, where]
    L[..., where, where] = np.where(np.abs(diagonal) < 0.05, 0.05, diagonal)
    return L


def first_coefficients(problem: LagProblem) -> Array:
    """Return each group's session means by least squares, no effect of covariates: (G, M, K)."""
    found = []
    for ratings in problem.groups:
        n = ratings.seen.sum(axis=2)
        mean = ratings.y.sum(axis=2) / np.maximum(n, 1)
        basis, M = ratings.basis, ratings.covariates.shape[1]
        weight = np.sqrt(n)
        start = np.zeros((basis.shape[1] + M, mean.shape[1]))
        for k in range(mean.shape[1]):
            if basis.shape[1]:
                solved = linalg.lstsq(basis * weight[:, k : k + 1], mean[:, k] * weight[:, k])[0]
                start[: basis.shape[1], k] = solved
        found.append(start)
    each = np.array(found)
    shared = np.maximum(problem.fold(np.ones(each.size)), 1.0)
    return problem.unfold(problem.fold(each.ravel()) / shared).reshape(each.shape)
