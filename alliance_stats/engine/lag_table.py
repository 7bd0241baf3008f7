"""The data of a model of several outcomes: units of the search, starting values.

The search works on ratings in SDs and standardised covariates, so that no start, step or limit
depends on the original units.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import linalg

from alliance_stats.engine.lag_criterion import LagProblem
from alliance_stats.engine.lag_parameters import LagOptions, LagParameters, take
from alliance_stats.engine.stacked_levels import Level
from alliance_stats.estimates import Array, Integers, one_line

__all__ = [
    "LagArrays",
    "LagTable",
    "first_coefficients",
    "n_common",
    "n_groups",
    "outcome_scales",
    "parameter_units",
    "scaled_errors",
    "standardised",
    "start_near",
    "start_of",
]


class LagTable(Protocol):
    """What is fitted: ratings, covariates, groups, levels, as :class:`LagArrays` has them."""

    @property
    def y(self) -> Array:
        """Ratings, NaN where missing: (T, K, N)."""

    @property
    def covariates(self) -> Array:
        """Covariates: (T, M, N)."""

    @property
    def group_of(self) -> Integers:
        """Each person's group, persons of a group side by side: (N,)."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels above persons, innermost first."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LagArrays:
    """Ratings and the data that belong to them, as arrays.

    Attributes
    ----------
    y
        Ratings, NaN where missing: (T, K, N).
    covariates
        Values at a session, with an effect on each outcome: (T, M, N).
    group_of
        Each person's group, 0, 1, ..., persons of a group side by side: (N,).
    levels
        Levels above persons, innermost first.
    """

    y: Array
    covariates: Array
    group_of: Integers
    levels: tuple[Level, ...] = field(default=())

    __repr__ = one_line


def n_groups(table: LagTable) -> int:
    """Return the number of groups with separate parameters."""
    return int(table.group_of.max()) + 1


def outcome_scales(y: Array, options: LagOptions) -> tuple[Array, Array]:
    """Return each outcome's SD around session means, and its mean; or common ones if requested."""
    seen = np.isfinite(y)
    n = np.maximum(seen.sum(axis=2), 1)
    filled = np.where(seen, y, 0.0)
    session_mean = filled.sum(axis=2) / n
    around = np.where(seen, y - session_mean[:, :, None], 0.0)
    count = seen.sum(axis=(0, 2))
    square, total = (around**2).sum(axis=(0, 2)), filled.sum(axis=(0, 2))
    if options.one_unit:
        square, total, count = (np.full(len(count), each.sum()) for each in (square, total, count))
    return np.sqrt(square / count), total / count * (options.means != "none")


def standardised(table: LagTable, options: LagOptions) -> tuple[Array, Array]:
    """Return standardised covariates, and what takes coefficients back to the given ones.

    The matrix is (P + M, P + M); coefficients that are tied have covariates left as they are.
    """
    X, P = table.covariates, n_common(table, options)
    M = X.shape[1]
    to_given = np.eye(P + M)
    if options.tied or not M:
        return to_given, X
    rated = X.transpose(1, 0, 2)[:, np.isfinite(table.y).any(axis=1)]
    mean = rated.mean(axis=1) * (options.means != "none")
    sd = rated.std(axis=1)
    sd = np.where(sd > 0.0, sd, 1.0)
    constant = [0] if options.means == "linear" else list(range(P))
    to_given[constant, P:] = -mean / sd
    to_given[P:, P:] = np.diag(1.0 / sd)
    return to_given, (X - mean[:, None]) / sd[:, None]


def n_common(table: LagTable, options: LagOptions) -> int:
    """Return the number of fixed effects of each outcome other than those of covariates."""
    return {"session": len(table.y), "linear": 2, "none": 0}[options.means]


def scaled_errors(errors: tuple[float | None, ...], sd: Array) -> tuple[float | None, ...]:
    """Return error variances of ratings in SDs; those to be estimated stay None."""
    return tuple(
        None if error is None else error / float(s) ** 2
        for error, s in zip(errors, sd, strict=bool(errors))
    )


def parameter_units(parameters: LagParameters, sd: Array) -> Array:
    """Return the factor that converts each parameter for ratings in SDs."""
    unit = np.ones(parameters.size)
    ratio = sd[:, None] / sd[None, :]
    for index in (parameters.phi, parameters.pull):
        _put(unit, index, np.broadcast_to(ratio, index.shape))
    for index in (parameters.innovation, parameters.first, *parameters.above):
        _put(unit, index, np.broadcast_to(sd[:, None], index.shape))
    _put(unit, parameters.error, np.broadcast_to(sd, parameters.error.shape))
    rows = np.tile(sd, parameters.person.shape[1] // len(sd))
    _put(unit, parameters.person, np.broadcast_to(rows[:, None], parameters.person.shape))
    return unit


# Largest root of the lagged effects from which a search for a stationary model starts.
STEADY = 0.9


def start_of(parameters: LagParameters, stable: float, carry: float) -> Array:
    """Return a start: shares of stable differences and of lagged effects, nothing else."""
    theta = np.zeros(parameters.size)
    K = parameters.error.shape[1]
    moving = 0.9 - stable
    for k in range(K):
        _put(theta, parameters.phi[:, :, k, k], carry)
        _put(theta, parameters.innovation[:, :, k, k], np.sqrt(moving * (1 - carry**2)))
        _put(theta, parameters.first[:, k, k], np.sqrt(moving))
        _put(theta, parameters.person[:, k, k], np.sqrt(stable))
        _put(theta, parameters.error[:, k], 0.3)
        for index in parameters.above:
            _put(theta, index[k, k], 0.2)
    for j in range(K, parameters.person.shape[1]):
        _put(theta, parameters.person[:, j, j], 0.05)
    return theta


def _put(theta: Array, index: Integers, value: float | Array) -> None:
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
        _put(theta, parameters.phi[g], phi)
        _put(theta, parameters.innovation[g], _factor(take(at, old.innovation[g])[0]))
        first = linalg.cholesky(found.first[0] + 1e-6 * np.eye(found.first.shape[1]), lower=True)
        _put(theta, parameters.first[g], _factor(first))
        _put(theta, parameters.pull[g], found.pull[0])
        _put(theta, parameters.error[g], np.maximum(np.sqrt(found.error[0]), 0.2))
        q = min(parameters.person.shape[1], old.person.shape[1])
        person = take(at, old.person[g])[0][:q, :q]
        _put(theta, parameters.person[g][:q, :q], _factor(person))
    for new, index in zip(parameters.above, old.above, strict=True):
        _put(theta, new, _factor(take(at, index)[0]))
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
