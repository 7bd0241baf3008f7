"""A fitted model of several outcomes, with or without lags, in the ratings' own units.

The interface for arrays: ratings by session, outcome and person (or dyad, or family), NaN where
missing; separate fixed effects for each outcome; higher levels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from scipy import linalg

from alliance_stats.engine.lag_criterion import (
    LagProblem,
    evaluate,
    information_on_means,
    subset,
)
from alliance_stats.engine.lag_filter import Ratings, Residual
from alliance_stats.engine.lag_fit import LagFit, fit_lags
from alliance_stats.engine.lag_parameters import LagOptions, LagParameters, lag_parameters
from alliance_stats.engine.lag_table import (
    LagTable,
    first_coefficients,
    n_common,
    n_groups,
    outcome_scales,
    parameter_units,
    scaled_errors,
    standardised,
    start_near,
    start_of,
)
from alliance_stats.estimates import Array, Booleans, Integers, one_line

__all__ = ["FittedLags", "fit_model", "refit"]


# Half-width of the differences that carry standard errors to functions of the parameters.
WIDTH = 1e-5
# Below this smallest eigenvalue of the information a second start is tried, too.
DOUBTFUL = 1e-3


Table = TypeVar("Table", bound=LagTable)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FittedLags(Generic[Table]):
    """A fitted model in the ratings' own units.

    Attributes
    ----------
    table, options
        The ratings and the options requested.
    parameters, theta, vcov
        Positions of the parameters, the estimates (P,) and their covariance (P, P).
    scaled
        Positions of the parameters for ratings in SDs.
    coefficients, coefficient_vcov
        Fixed effects (G, M, K) and their covariance, in the order group, effect, outcome.
    log_lik
        The log-likelihood.
    fit
        The fit on ratings in SDs.
    problem
        The problem that was fitted, in SDs.
    unit
        Factors that convert parameters for ratings in SDs: (P,).
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
        """Number of parameters estimated, including means and those at boundaries."""
        held = int(_held(self.parameters, self.options).sum())
        rated = ~_never_rated(self.problem)
        means = int((self.problem.fold(rated.astype(np.float64)) > 0.0).sum())
        return self.parameters.size - held + means

    def residual(self, theta: Array, g: int) -> Residual:
        """Return the residual's parameters in group `g` at (R, P) parameter points."""
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

    def small_sample(self) -> tuple[Array, Array, Array]:
        """Return the quantities Satterthwaite's method needs, for ratings in SDs.

        The covariance of the coefficients (of what they are tied to), its derivatives by the free
        parameters, and the covariance of these.
        """
        free = np.flatnonzero(self.fit.free)
        steps = WIDTH * np.eye(len(self.fit.theta))[free]

        def covariance(step: Array) -> Array:
            points = (self.fit.theta + step)[None], self.fit.coefficients[None]
            found = information_on_means(self.problem, self.scaled, *points)[0]
            return np.asarray(linalg.inv(found))

        slopes = [(covariance(step) - covariance(-step)) / (2.0 * WIDTH) for step in steps]
        spread = self.fit.vcov()[np.ix_(free, free)]
        return covariance(0.0 * self.fit.theta), np.array(slopes), spread

    def robust_vcov(self, codes: Integers) -> Array:
        """Return the sandwich covariance of the parameters over independent clusters.

        ``A^-1 (sum s s') A^-1 n / (n - 1)`` with A the observed information and s a cluster's
        derivatives, coefficients among them (White 1982, doi:10.2307/1912526).
        """
        fit = self.fit
        found = []
        for code in np.unique(codes):
            part = subset(self.problem, codes == code)
            at = evaluate(part, self.scaled, fit.theta[None], fit.coefficients[None])
            own = part.fold(at.coefficients[0].ravel())
            found.append(np.r_[at.theta[0][fit.free], own])
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
    """Fit by maximum likelihood, from a default start or near another fit."""
    sd, centre = outcome_scales(table.y, options)
    to_given, standard = standardised(table, options)
    problem = _problem(table, options, (table.y - centre[:, None]) / sd[:, None], standard)
    scaled = replace(options, errors=scaled_errors(options.errors, sd))
    parameters = _parameters(table, scaled)
    free = ~_held(parameters, options)
    starts = [start_of(parameters, 0.4, 0.2), start_of(parameters, 0.05, 0.5)]
    if near is not None:
        starts = [start_near(parameters, near.scaled, near.fit.theta), *starts]
        coefficients = near.fit.coefficients
        if coefficients.shape[1] != problem.groups[0].basis.shape[1] + table.covariates.shape[1]:
            coefficients = first_coefficients(problem)
    else:
        coefficients = first_coefficients(problem)
    starts = [np.where(free, start, 0.0) for start in starts]
    fit = fit_lags(problem, parameters, theta=starts[0], coefficients=coefficients, free=free)
    for start in starts[1:]:
        certain = fit.lowest > DOUBTFUL and not fit.at_zero.any()
        if fit.converged and (certain if near is None else fit.identified):
            break
        other = fit_lags(problem, parameters, theta=start, coefficients=coefficients, free=free)
        if not fit.log_lik >= other.log_lik - 1e-6:  # also where the first one is not a number
            fit = other
    return _in_units(
        table, options, problem, parameters, fit=fit, sd=sd, centre=centre, to_given=to_given
    )


def _held(parameters: LagParameters, options: LagOptions) -> Booleans:
    """Mark parameters that are held at zero."""
    held = np.zeros(parameters.size, bool)
    for k, j in options.zero:
        held[parameters.phi[:, :, k, j]] = True
    if not options.persons:
        held[parameters.person[parameters.person >= 0]] = True
    beside = ~np.eye(parameters.error.shape[1], dtype=bool)
    levels = [parameters.innovation, *parameters.above]
    for level in options.uncorrelated:
        index = levels[level][..., beside]
        held[index[index >= 0]] = True
    return held


def refit(model: FittedLags[Table], options: LagOptions) -> FittedLags[Table]:
    """Fit the same ratings under other options, starting from this fit."""
    return fit_model(model.table, options, near=model)


def _problem(table: LagTable, options: LagOptions, given: Array, covariates: Array) -> LagProblem:
    T, K, _ = table.y.shape
    seen = np.isfinite(given)
    y = np.where(seen, given, 0.0)
    since = np.arange(T, dtype=np.float64)
    basis = {
        "session": np.eye(T),
        "linear": np.stack([np.ones(T), since], axis=1),
        "none": np.zeros((T, 0)),
    }[options.means]
    loadings = np.broadcast_to(np.eye(K), (T, K, K))
    if options.trends == "linear":
        loadings = np.concatenate([loadings, since[:, None, None] * loadings], axis=2)
    groups = []
    for g in range(n_groups(table)):
        own = table.group_of == g
        groups.append(
            Ratings(
                np.ascontiguousarray(y[..., own]),
                np.ascontiguousarray(seen[..., own], dtype=np.float64),
                np.ascontiguousarray(loadings),
                basis,
                np.ascontiguousarray(covariates[..., own]),
            )
        )
    tying = None
    if options.tied:
        tying = (np.array(options.tied)[:, None] == np.arange(max(options.tied) + 1)) * 1.0
    return LagProblem(tuple(groups), table.levels, options.reml, tying)


def _parameters(table: LagTable, options: LagOptions) -> LagParameters:
    T, K, _ = table.y.shape
    return lag_parameters(
        options,
        n_groups=n_groups(table),
        n_sessions=T,
        n_outcomes=K,
        n_above=len(table.levels),
    )


def _in_units(
    table: Table,
    options: LagOptions,
    problem: LagProblem,
    parameters: LagParameters,
    *,
    fit: LagFit,
    sd: Array,
    centre: Array,
    to_given: Array,
) -> FittedLags[Table]:
    unit = parameter_units(parameters, sd)
    n_seen = sum(ratings.seen.sum(axis=(0, 2)) for ratings in problem.groups)
    coefficients = to_given @ fit.coefficients * sd
    coefficients[:, : 1 if options.means == "linear" else n_common(table, options)] += centre
    of_coefficient = np.tile(sd, fit.coefficients.size // len(sd))
    own = problem.unfold(problem.unfold(fit.vcov_of_coefficients()).T)
    back = np.kron(np.eye(len(coefficients)), np.kron(to_given, np.eye(len(sd))))
    coefficient_vcov = back @ own @ back.T * np.outer(of_coefficient, of_coefficient)
    empty = _never_rated(problem)
    coefficient_vcov[empty] = coefficient_vcov[:, empty] = 0.0
    log_unit = float(n_seen @ np.log(sd))
    if options.reml:  # each coefficient takes the unit of a rating out of the likelihood
        counted = (~empty).astype(np.float64)
        units = problem.fold(counted * np.log(of_coefficient))
        log_unit -= float((units / np.maximum(problem.fold(counted), 1.0)).sum())
        log_unit -= len(sd) * float(np.log(np.diag(to_given)).sum())
    return FittedLags(
        table=table,
        options=options,
        parameters=parameters.in_units(sd),
        scaled=parameters,
        theta=fit.theta * unit,
        vcov=fit.vcov() * np.outer(unit, unit),
        coefficients=coefficients,
        coefficient_vcov=coefficient_vcov,
        log_lik=fit.log_lik - log_unit,
        fit=fit,
        problem=problem,
        unit=unit,
        sd=sd,
    )


def _never_rated(problem: LagProblem) -> Booleans:
    """Mark coefficients, in the order group, effect, outcome, to which no rating refers."""
    found = []
    for ratings in problem.groups:
        common = (np.abs(ratings.basis).T @ ratings.seen.sum(axis=2)) == 0
        M = ratings.covariates.shape[1]
        found.append(np.concatenate([common, np.zeros((M, common.shape[1]), bool)]).ravel())
    return np.concatenate(found)
