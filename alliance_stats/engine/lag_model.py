"""A model of several outcomes, from session to session or not: fitted, in the ratings' own units.

The door for rooms that have arrays: ratings by session, outcome and person (or dyad, or family),
NaN where missing; fixed effects that each outcome has of its own; levels above.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import linalg

from alliance_stats.engine.lag_criterion import LagProblem, evaluate, subset
from alliance_stats.engine.lag_filter import Ratings, Residual
from alliance_stats.engine.lag_fit import LagFit, fit_lags
from alliance_stats.engine.lag_parameters import LagParameters, lag_parameters, take
from alliance_stats.engine.stacked_levels import Level
from alliance_stats.estimates import Array, one_line

__all__ = ["FittedLags", "LagArrays", "LagOptions", "LagTable", "fit_model", "refit"]

Index = npt.NDArray[np.int64]

# Half-width of the differences that carry standard errors to functions of the parameters.
WIDTH = 1e-5
# Below this smallest eigenvalue of the information a second start is tried, too.
DOUBTFUL = 1e-3


class LagTable(Protocol):
    """What is fitted: ratings, covariates, groups, levels, as :class:`LagArrays` has them."""

    @property
    def y(self) -> Array:
        """Ratings, NaN where missing: (T, K, N)."""

    @property
    def covariates(self) -> Array:
        """Covariates: (T, M, N)."""

    @property
    def group_of(self) -> Index:
        """Each person's group, persons of a group side by side: (N,)."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels above persons, innermost first."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LagArrays:
    """Ratings and all that belongs to them, as arrays.

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
    group_of: Index
    levels: tuple[Level, ...] = field(default=())

    __repr__ = one_line


Table = TypeVar("Table", bound=LagTable)


@dataclass(frozen=True, slots=True)
class LagOptions:
    """What is asked for.

    Attributes
    ----------
    means
        ``"session"`` (a mean for each) or ``"linear"``.
    trends
        ``None`` or ``"linear"``: whether persons have slopes of their own.
    start
        ``"free"``, ``"stationary"`` or ``"correlated"``.
    lags
        ``"equal"`` over sessions or ``"free"``.
    groups_equal
        Whether lagged effects are the same in each group.
    lagged
        Whether anything carries over.
    persons
        Whether persons have random effects, beside what they have at one session.
    errors
        For each outcome the error's variance, or None to estimate it.
    zero
        Lagged effects (outcome, predictor) that are held at 0.
    reml
        Restricted likelihood; only where nothing carries over.
    """

    means: str = "session"
    trends: str | None = None
    start: str = "free"
    lags: str = "equal"
    groups_equal: bool = False
    lagged: bool = True
    persons: bool = True
    errors: tuple[float | None, ...] = ()
    zero: tuple[tuple[int, int], ...] = ()
    reml: bool = False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FittedLags(Generic[Table]):
    """A fitted model in the ratings' own units.

    Attributes
    ----------
    table, options
        The ratings and what was asked for.
    parameters, theta, vcov
        Where each parameter stands, the estimates (P,) and their covariance (P, P).
    scaled
        Where each parameter of ratings in SDs stands.
    coefficients, coefficient_vcov
        Fixed effects (G, M, K) and their covariance, in the order group, effect, outcome.
    log_lik
        The log-likelihood.
    fit
        The fit on ratings in SDs.
    problem
        What was fitted, in SDs.
    unit
        What a parameter of ratings in SDs is multiplied with: (P,).
    sd
        The SDs: (K,).
    """

    table: Table
    options: LagOptions
    parameters: LagParameters
    scaled: LagParameters
    theta: Array
    vcov: Array
    coefficients: Array
    coefficient_vcov: Array
    log_lik: float
    fit: LagFit
    problem: LagProblem
    unit: Array
    sd: Array

    __repr__ = one_line

    @property
    def n_parameters(self) -> int:
        """How many parameters were estimated, means among them; boundaries count."""
        held = int(_held(self.parameters, self.options).sum())
        means = self.coefficients.size - int((np.diag(self.coefficient_vcov) == 0).sum())
        return self.parameters.size - held + means

    def residual(self, theta: Array, g: int) -> Residual:
        """Return what governs the residual of group `g` at (R, P) parameter points."""
        return self.parameters.residual(theta, g)

    def delta(
        self, function: Callable[[Array], Array], vcov: Array | None = None
    ) -> tuple[Array, Array]:
        """Return the values of a function of the parameters and their covariance.

        Parameters
        ----------
        function
            Maps (R, P) parameter points to (R, m) values.
        """
        value = function(self.theta[None])[0]
        free = np.flatnonzero(self.fit.free)
        step = np.zeros((len(free), len(self.theta)))
        width = WIDTH * self.unit[free]
        step[np.arange(len(free)), free] = width
        J = (function(self.theta + step) - function(self.theta - step)) / (2 * width[:, None])
        V = (self.vcov if vcov is None else vcov)[np.ix_(free, free)]
        return value, np.asarray(J.T @ V @ J)

    def robust_vcov(self, codes: Index) -> Array:
        """Return the sandwich covariance of the parameters over independent clusters.

        ``A^-1 (sum s s') A^-1 n / (n - 1)`` with A the observed information and s a cluster's
        derivatives, coefficients among them (White 1982, doi:10.2307/1912526).
        """
        fit = self.fit
        found = []
        for code in np.unique(codes):
            part = subset(self.problem, codes == code)
            at = evaluate(part, self.scaled, fit.theta[None], fit.coefficients[None])
            found.append(np.r_[at.theta[0][fit.free], at.coefficients[0].ravel()])
        scores = np.array(found)
        n = len(scores)
        half = linalg.solve(fit.information, scores.T)
        whole = half @ half.T * n / (n - 1)
        out = np.zeros((len(self.theta), len(self.theta)))
        k = int(fit.free.sum())
        out[np.ix_(fit.free, fit.free)] = whole[:k, :k]
        return np.asarray(out * np.outer(self.unit, self.unit))


def fit_model(
    table: Table, options: LagOptions, *, near: FittedLags[Table] | None = None
) -> FittedLags[Table]:
    """Fit by maximum likelihood, from a start of its own or near another fit."""
    sd, centre = _scales(table.y)
    problem = _problem(table, options, sd, centre)
    scaled = replace(options, errors=_scaled_errors(options.errors, sd))
    parameters = _parameters(table, scaled)
    free = ~_held(parameters, options)
    if near is not None:
        starts = [_theta_near(parameters, near)]
        coefficients = near.fit.coefficients
        if coefficients.shape[1] != problem.groups[0].basis.shape[1] + table.covariates.shape[1]:
            coefficients = _first_coefficients(problem)
    else:
        starts = [_theta_start(parameters, 0.4, 0.2), _theta_start(parameters, 0.05, 0.5)]
        coefficients = _first_coefficients(problem)
    starts = [np.where(free, start, 0.0) for start in starts]
    fit = fit_lags(problem, parameters, theta=starts[0], coefficients=coefficients, free=free)
    for start in starts[1:]:
        if fit.converged and fit.lowest > DOUBTFUL and not fit.at_zero.any():
            break
        other = fit_lags(problem, parameters, theta=start, coefficients=coefficients, free=free)
        if other.log_lik > fit.log_lik + 1e-6:
            fit = other
    return _in_units(table, options, problem, parameters, fit=fit, sd=sd, centre=centre)


def _held(parameters: LagParameters, options: LagOptions) -> npt.NDArray[np.bool_]:
    """Mark parameters that are held at zero."""
    held = np.zeros(parameters.size, bool)
    for k, j in options.zero:
        held[parameters.phi[:, :, k, j]] = True
    if not options.persons:
        held[parameters.person[parameters.person >= 0]] = True
    return held


def refit(model: FittedLags[Table], options: LagOptions) -> FittedLags[Table]:
    """Fit the same ratings under other options, starting from what was found."""
    return fit_model(model.table, options, near=model)


def _n_groups(table: LagTable) -> int:
    return int(table.group_of.max()) + 1


def _scales(y: Array) -> tuple[Array, Array]:
    """Return each outcome's SD around session means, and its mean."""
    seen = np.isfinite(y)
    n = np.maximum(seen.sum(axis=2), 1)
    filled = np.where(seen, y, 0.0)
    session_mean = filled.sum(axis=2) / n
    around = np.where(seen, y - session_mean[:, :, None], 0.0)
    count = seen.sum(axis=(0, 2))
    return np.sqrt((around**2).sum(axis=(0, 2)) / count), filled.sum(axis=(0, 2)) / count


def _problem(table: LagTable, options: LagOptions, sd: Array, centre: Array) -> LagProblem:
    T, K, _ = table.y.shape
    seen = np.isfinite(table.y)
    y = np.where(seen, (table.y - centre[:, None]) / sd[:, None], 0.0)
    since = np.arange(T, dtype=np.float64)
    basis = np.eye(T) if options.means == "session" else np.stack([np.ones(T), since], axis=1)
    loadings = np.broadcast_to(np.eye(K), (T, K, K))
    if options.trends == "linear":
        loadings = np.concatenate([loadings, since[:, None, None] * loadings], axis=2)
    groups = []
    for g in range(_n_groups(table)):
        own = table.group_of == g
        groups.append(
            Ratings(
                np.ascontiguousarray(y[..., own]),
                np.ascontiguousarray(seen[..., own], dtype=np.float64),
                np.ascontiguousarray(loadings),
                basis,
                np.ascontiguousarray(table.covariates[..., own]),
            )
        )
    return LagProblem(tuple(groups), table.levels, options.reml)


def _parameters(table: LagTable, options: LagOptions) -> LagParameters:
    T, K, _ = table.y.shape
    return lag_parameters(
        n_groups=_n_groups(table),
        n_sessions=T,
        n_outcomes=K,
        n_effects=K if options.trends is None else 2 * K,
        n_above=len(table.levels),
        start=options.start,
        lags_equal=options.lags == "equal",
        groups_equal=options.groups_equal,
        lagged=options.lagged,
        errors=options.errors,
    )


def _scaled_errors(errors: tuple[float | None, ...], sd: Array) -> tuple[float | None, ...]:
    return tuple(
        None if error is None else error / float(s) ** 2
        for error, s in zip(errors, sd, strict=bool(errors))
    )


def _theta_start(parameters: LagParameters, stable: float, carry: float) -> Array:
    """Return a start: shares of stable differences and of what carries over, nothing else."""
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


def _put(theta: Array, index: Index, value: float | Array) -> None:
    """Set parameters; what is none (-1) is passed over."""
    index = np.atleast_1d(index)
    values = np.broadcast_to(value, index.shape)
    theta[index[index >= 0]] = values[index >= 0]


def _theta_near(parameters: LagParameters, near: FittedLags[Table]) -> Array:
    """Carry another fit's matrices over, in SDs, away from zero where they stand on it."""
    theta = _theta_start(parameters, 0.2, 0.2)
    old, at = near.scaled, near.fit.theta[None]
    for g in range(parameters.n_groups):
        found = old.residual(at, g)
        _put(theta, parameters.phi[g], found.phi[0])
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


def _first_coefficients(problem: LagProblem) -> Array:
    """Return each group's session means by least squares, no effect of covariates: (G, M, K)."""
    found = []
    for ratings in problem.groups:
        n = ratings.seen.sum(axis=2)
        mean = ratings.y.sum(axis=2) / np.maximum(n, 1)
        basis, M = ratings.basis, ratings.covariates.shape[1]
        weight = np.sqrt(n)
        start = np.zeros((basis.shape[1] + M, mean.shape[1]))
        for k in range(mean.shape[1]):
            solved = linalg.lstsq(basis * weight[:, k : k + 1], mean[:, k] * weight[:, k])[0]
            start[: basis.shape[1], k] = solved
        found.append(start)
    return np.array(found)


def _units(parameters: LagParameters, sd: Array) -> Array:
    """Return what each parameter of ratings in SDs is multiplied with."""
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


def _in_units(
    table: Table,
    options: LagOptions,
    problem: LagProblem,
    parameters: LagParameters,
    *,
    fit: LagFit,
    sd: Array,
    centre: Array,
) -> FittedLags[Table]:
    unit = _units(parameters, sd)
    n_seen = sum(ratings.seen.sum(axis=(0, 2)) for ratings in problem.groups)
    coefficients = fit.coefficients * sd
    n_common = problem.groups[0].basis.shape[1] if options.means == "session" else 1
    coefficients[:, :n_common] += centre
    of_coefficient = np.tile(sd, fit.coefficients.size // len(sd))
    coefficient_vcov = fit.vcov_of_coefficients() * np.outer(of_coefficient, of_coefficient)
    empty = _never_rated(problem)
    coefficient_vcov[empty] = coefficient_vcov[:, empty] = 0.0
    if options.reml:  # each coefficient takes the unit of a rating out of the likelihood
        n_seen = n_seen - (~empty).reshape(-1, len(sd)).sum(axis=0)
    return FittedLags(
        table=table,
        options=options,
        parameters=parameters.in_units(sd),
        scaled=parameters,
        theta=fit.theta * unit,
        vcov=fit.vcov() * np.outer(unit, unit),
        coefficients=coefficients,
        coefficient_vcov=coefficient_vcov,
        log_lik=fit.log_lik - float(n_seen @ np.log(sd)),
        fit=fit,
        problem=problem,
        unit=unit,
        sd=sd,
    )


def _never_rated(problem: LagProblem) -> npt.NDArray[np.bool_]:
    """Mark coefficients, in the order group, effect, outcome, that no rating speaks of."""
    found = []
    for ratings in problem.groups:
        common = (np.abs(ratings.basis).T @ ratings.seen.sum(axis=2)) == 0
        M = ratings.covariates.shape[1]
        found.append(np.concatenate([common, np.zeros((M, common.shape[1]), bool)]).ravel())
    return np.concatenate(found)
