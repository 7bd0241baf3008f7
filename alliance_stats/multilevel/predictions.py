"""Fitted values, predictions with intervals, residuals and simulated outcomes of a fit."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import linalg, special, stats

from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    describe_rows,
    finite_or_missing,
    require_columns,
)
from alliance_stats.design.design import NewRows, code_new_rows
from alliance_stats.design.groupings import back_transform, places_of
from alliance_stats.engine.families import Family
from alliance_stats.engine.residual_shape import Covariate
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers, wald_interval
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_functions import inference_on
from alliance_stats.multilevel.parameter_tables import effects_as_given

__all__ = [
    "DENSE_LIMIT",
    "augmented",
    "generalized_augmented",
    "generalized_predicted",
    "generalized_simulated",
    "linear_predictors",
    "new_residual_variance",
    "population_mean",
    "predicted",
    "random_predictor",
    "simulated",
    "spread",
    "step_predictors",
    "unknown_variance",
]

# Henderson's matrix is kept dense for conditional intervals.
DENSE_LIMIT = 6000
# Points of the trapezoidal rule over +-9 SDs: its error for these smooth integrands is below 1e-9
# for SDs on the link's scale up to 6.
POINTS = 241
REACH = 9.0


def predicted(
    fit: LinearFit,
    newdata: pd.DataFrame,
    *,
    level: str,
    interval: str | None,
    df_method: str,
    conf_level: float,
    new_units: str = "refuse",
) -> pd.DataFrame:
    """See :meth:`LinearMixedModel.predict`."""
    conditional, average = level == "conditional", new_units == "average"
    rows = code_new_rows(fit.design, newdata, with_units=conditional, new_units=average)
    estimate = rows.X @ fit.beta + rows.offset
    for b, Z, units in zip(effects_as_given(fit), rows.Z, rows.units, strict=False):
        own = np.where(units >= 0, b[:, units], 0.0)
        estimate = estimate + np.einsum("nq,qn->n", Z, own)
    table = pd.DataFrame({"estimate": estimate}, index=newdata.index)
    if interval is None:
        return table
    if level == "population":
        inference = inference_on(fit, df_method)
        variance, df = inference.variances(rows.X), inference.df(rows.X)
    else:
        variance, df = _conditional_variance(fit, rows)
        for covariance, Z, units in zip(fit.covariances, rows.Z, rows.units, strict=True):
            variance = variance + (units < 0) * np.einsum("ni,ij,nj->n", Z, covariance, Z)
    if interval == "prediction":
        variance = variance + new_residual_variance(fit, newdata)
        if level == "population":
            for covariance, Z in zip(fit.covariances, rows.Z, strict=True):
                variance = variance + np.einsum("ni,ij,nj->n", Z, covariance, Z)
            df = np.full(len(estimate), np.inf)
    std_error = np.sqrt(variance)
    low, high = wald_interval(estimate, std_error, df=df, conf_level=conf_level)
    return table.assign(std_error=std_error, df=df, conf_low=low, conf_high=high)


def augmented(fit: LinearFit) -> pd.DataFrame:
    """See :meth:`LinearMixedModel.augment`."""
    design = fit.design
    marginal = fit.fixed_part
    fitted = marginal.copy()
    for grouping, b in zip(design.groupings, fit.working_effects, strict=True):
        # Z carries the root weights of the criterion; fitted values are on the outcome's scale
        fitted += (grouping.Z * b[:, grouping.codes]).sum(axis=0) / design.root_weights
    found = pd.DataFrame(
        {
            "outcome": design.y,
            "fitted": fitted,
            "fitted_marginal": marginal,
            "residual": design.y - fitted,
            "residual_marginal": design.y - marginal,
            "residual_standardised": (design.y - fitted) / residual_sd(fit),
        },
        index=design.index,
    )
    return design.beside(found)


def simulated(fit: LinearFit, rng: np.random.Generator) -> Array:
    """Draw one new outcome for the rows used: (n,)."""
    design = fit.design
    y = fit.fixed_part
    shape, order = fit.problem.shape, fit.problem.layout.order
    for grouping, Lambda in zip(design.groupings, fit.Lambda, strict=True):
        spherical = rng.standard_normal((len(Lambda), len(grouping.labels)))
        effects = fit.sigma * Lambda @ spherical
        y = y + (grouping.Z * effects[:, grouping.codes]).sum(axis=0) / design.root_weights
    residual = rng.standard_normal(len(y))
    if shape is not None:
        residual[order] = shape.colour(residual[order], fit.eta)
    return np.asarray(y + fit.sigma * residual / design.root_weights)


def residual_sd(fit: LinearFit) -> Array:
    """Residual SD of each row used, in units of the outcome."""
    sd = fit.sigma / fit.design.root_weights
    shape, order = fit.problem.shape, fit.problem.layout.order
    if shape is not None:
        sd[order] *= shape.row_sd(fit.eta)
    return np.asarray(sd)


def new_residual_variance(fit: LinearFit, newdata: pd.DataFrame) -> Array:
    """Residual variance of new rows of weight 1."""
    shape = fit.problem.shape
    if fit.problem.known:  # a new unit's true effect: its sampling variance is not in newdata
        return np.zeros(len(newdata))
    log_sd = np.full(len(newdata), np.log(fit.sigma))
    if shape is None:
        return np.asarray(np.exp(2.0 * log_sd))
    require_columns(newdata, shape.columns, what="newdata")
    for spread, own in zip(shape.spreads, shape.parts(fit.eta), strict=False):
        if isinstance(spread, Covariate):
            log_sd += spread.log_sd_at(finite_or_missing(newdata, spread.column), own)
            continue
        strata = places_of(spread.keys, spread.columns, newdata)
        if (strata < 0).any():
            raise DataError(
                f"newdata: '{':'.join(spread.columns)}' has a value whose residual variance is "
                f"unknown in {describe_rows(strata < 0, newdata.index)}. "
                f"Known are {', '.join(map(str, spread.labels))}."
            )
        log_sd += np.log(spread.of_each(own))[strata]
    return np.asarray(np.exp(2.0 * log_sd))


def _conditional_variance(fit: LinearFit, rows: NewRows) -> tuple[Array, Array]:
    """Variance of the error of ``x'beta + z'b`` for known units, by the mixed-fit equations.

    With M the inverse of Henderson's coefficient matrix, the variance is ``sigma^2 c'Mc`` for
    ``c = (x, z)`` (Henderson 1975, doi:10.2307/2529430). Theta is taken as known.
    """
    design, whiten = fit.design, _whitener(fit)
    effects = [whiten(design.Q).T]
    for grouping, Lambda in zip(design.groupings, fit.Lambda, strict=True):
        own = Lambda.T @ whiten(grouping.Z)
        effects.append(spread(own, grouping.codes, len(grouping.labels)))
    variance = _error_variance(fit, rows, effects, np.ones(len(design.y)))
    return fit.sigma**2 * variance, np.full(len(rows.X), np.inf)


def _error_variance(
    fit: LinearFit | GeneralizedFit, rows: NewRows, effects: list[Array], weight: Array
) -> Array:
    """Return ``c'Mc`` with M the inverse of Henderson's matrix of weighted columns."""
    design = fit.design
    p = len(design.fixed.kept)
    size = p + sum(len(g.labels) * len(g.Z) for g in design.groupings)
    if size > DENSE_LIMIT:
        raise DataError(
            f"Conditional intervals need a dense matrix of {size} effects, more than "
            f"{DENSE_LIMIT}. Ask for level='population', or for no interval."
        )
    c = [linalg.solve_triangular(design.fixed.R.T, rows.X.T, lower=True).T]
    for grouping, Lambda, Z, units in zip(
        design.groupings, fit.Lambda, rows.Z, rows.units, strict=True
    ):
        working = Lambda.T @ (Z @ back_transform(grouping.terms)).T
        c.append(spread(working * (units >= 0), units, len(grouping.labels)))
    W = np.hstack(effects)
    coefficient = W.T @ (weight[:, None] * W)
    coefficient[np.arange(p, len(coefficient)), np.arange(p, len(coefficient))] += 1.0
    factor = linalg.cholesky(coefficient, lower=True)
    half = linalg.solve_triangular(factor, np.hstack(c).T, lower=True)
    return np.asarray((half**2).sum(axis=0))


def _generalized_variance(fit: GeneralizedFit, rows: NewRows) -> Array:
    """Variance of the error of a predictor at predicted effects; variances taken as known.

    As for a linear model with the observed information at the mode as weights (Booth & Hobert 1998,
    doi:10.1080/01621459.1998.10474121, section 3); an unknown unit adds its whole variance.
    """
    design, order = fit.design, fit.problem.layout.order
    eta = fit.fixed_part
    for grouping, b in zip(design.groupings, fit.working_effects, strict=True):
        eta = eta + (grouping.Z * b[:, grouping.codes]).sum(axis=0)
    weight = np.empty(len(eta))
    weight[order] = fit.family.slopes(eta[order], fit.problem.outcome)[2]
    effects = [design.Q.T]
    for grouping, Lambda in zip(design.groupings, fit.Lambda, strict=True):
        effects.append(spread(Lambda.T @ grouping.Z, grouping.codes, len(grouping.labels)))
    return _error_variance(fit, rows, effects, weight) + unknown_variance(fit, rows)


def unknown_variance(fit: GeneralizedFit, rows: NewRows) -> Array:
    """Variance contributed by the effects of units that were not in the fit, (n,)."""
    found = np.zeros(len(rows.X))
    for covariance, Z, units in zip(fit.covariances, rows.Z, rows.units, strict=True):
        found += (units < 0) * np.einsum("ni,ij,nj->n", Z, covariance, Z)
    return found


def _whitener(fit: LinearFit) -> Callable[[Array], Array]:
    """Return a function that whitens columns (m, n) in the design's order of rows."""
    shape, order = fit.problem.shape, fit.problem.layout.order
    if shape is None:
        return lambda columns: columns
    back = np.argsort(order)

    def whiten(columns: Array) -> Array:
        return shape.whiten(columns[:, order], fit.eta)[:, back]

    return whiten


def spread(Z: Array, units: Integers, n_units: int) -> Array:
    """Spherical random-effects columns, one block per unit: (n, q * units)."""
    q, n = Z.shape
    out = np.zeros((n, n_units, q))
    for j in range(q):
        out[np.arange(n), units, j] = Z[j]
    return out.reshape(n, n_units * q)


def population_mean(family: Family, eta: Array, sd: Array) -> tuple[Array, Array]:
    """Average the mean over a normal random effect, by the trapezoidal rule on the line.

    (Trefethen & Weideman 2014, doi:10.1137/130932132; in closed form for probit and for a mean of
    ``exp(eta)``.)

    Parameters
    ----------
    family
        Family and link.
    eta, sd
        Linear predictor and SD of its random part.

    Returns
    -------
    mean, slope
        ``E g^-1(eta + sd U)`` for standard normal U, and its derivative in `eta`.
    """
    if family.link == "log" and family.support != "positive counts":
        mean = family.mean(eta + sd**2 / 2.0)
        return mean, mean
    if family.link == "probit":
        scale = np.sqrt(1.0 + sd**2)
        return special.ndtr(eta / scale), family.mean_slope(eta / scale) / scale
    points = np.linspace(-REACH, REACH, POINTS)
    weights = stats.norm.pdf(points)
    weights /= weights.sum()
    mean, slope = np.zeros((2, len(eta)))
    for point, weight in zip(points, weights, strict=True):
        mean += weight * family.mean(eta + point * sd)
        slope += weight * family.mean_slope(eta + point * sd)
    return mean, slope


def generalized_predicted(
    fit: GeneralizedFit,
    newdata: pd.DataFrame,
    *,
    level: str,
    interval: str | None,
    conf_level: float,
    new_units: str = "refuse",
) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.predict`."""
    conditional, average = level == "conditional", new_units == "average"
    rows = _code(fit, newdata, with_units=conditional, new_units=average)
    eta = _fixed_part(fit, rows, newdata)
    family = fit.family
    sd = _total_sd(fit, rows) if level == "population" else np.zeros(len(eta))
    if conditional:
        eta, sd = eta + _unit_part(fit, rows), np.sqrt(unknown_variance(fit, rows))
    mean, slope = (
        population_mean(family, eta, sd) if sd.any() else (family.mean(eta), family.mean_slope(eta))
    )
    table = pd.DataFrame({"estimate": mean}, index=newdata.index)
    if interval is None:
        return table
    z = stats.norm.isf((1.0 - check_conf_level(conf_level)) / 2.0)
    if conditional:
        error = np.sqrt(_generalized_variance(fit, rows))
        centre, half = eta, z * error
        error = family.mean_slope(eta) * error
    else:
        error = slope * np.sqrt(np.einsum("np,pq,nq->n", rows.X, fit.vcov, rows.X))
        # symmetric on the scale of the link, so that the limits stay probabilities (or rates)
        centre = family.predictor(mean)
        half = z * error / family.mean_slope(centre)
    return table.assign(
        std_error=error, conf_low=family.mean(centre - half), conf_high=family.mean(centre + half)
    )


def linear_predictors(fit: GeneralizedFit, newdata: pd.DataFrame) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.linear_predictor`."""
    rows = _code(fit, newdata, with_units=False)
    sds = {f"sd_{name}": np.sqrt(v) for name, v in _random_variances(fit, rows).items()}
    return pd.DataFrame({"estimate": _fixed_part(fit, rows, newdata), **sds}, index=newdata.index)


def step_predictors(
    fit: GeneralizedFit, newdata: pd.DataFrame, *, level: str, new_units: str = "refuse"
) -> tuple[Array, Array, Array]:
    """Return predictors of new rows, the SD of their random part, and the fixed columns.

    At the conditional level the units' effects are added, and the SD is that of unknown units.
    """
    average = new_units == "average"
    rows = _code(fit, newdata, with_units=level == "conditional", new_units=average)
    eta = _fixed_part(fit, rows, newdata)
    if level == "conditional":
        return eta + _unit_part(fit, rows), np.sqrt(unknown_variance(fit, rows)), rows.X
    sd = _total_sd(fit, rows) if level == "population" else np.zeros(len(eta))
    return eta, sd, rows.X


def generalized_augmented(fit: GeneralizedFit) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.augment`."""
    design = fit.design
    eta, trials = fit.fixed_part, fit.trials
    for grouping, b in zip(design.groupings, fit.working_effects, strict=True):
        eta += (grouping.Z * b[:, grouping.codes]).sum(axis=0)
    fitted = trials * fit.family.mean(eta)
    spread = fit.family.variance(eta, trials, fit.dispersions)
    residual = design.y - fitted
    found = pd.DataFrame(
        {
            "outcome": design.y,
            "fitted": fitted,
            "linear_predictor": eta,
            "residual": residual,
            "residual_pearson": residual / np.sqrt(spread),
        },
        index=design.index,
    )
    return design.beside(found)


def random_predictor(fit: GeneralizedFit, rng: np.random.Generator) -> Array:
    """Return the rows' linear predictors with new random effects: (n,)."""
    design = fit.design
    eta = fit.fixed_part
    for grouping, Lambda in zip(design.groupings, fit.Lambda, strict=True):
        b = Lambda @ rng.standard_normal((len(Lambda), len(grouping.labels)))
        eta += (grouping.Z * b[:, grouping.codes]).sum(axis=0)
    return np.asarray(eta)


def generalized_simulated(fit: GeneralizedFit, rng: np.random.Generator) -> Array:
    """Draw one new outcome for the rows used: (n,)."""
    return fit.family.draw(rng, random_predictor(fit, rng), fit.trials, fit.dispersions)


def _code(
    fit: GeneralizedFit, newdata: pd.DataFrame, *, with_units: bool, new_units: bool = False
) -> NewRows:
    check_frame(newdata, what="newdata")
    if fit.offset is not None:
        require_columns(newdata, [fit.offset], what="newdata")
    return code_new_rows(fit.design, newdata, with_units=with_units, new_units=new_units)


def _fixed_part(fit: GeneralizedFit, rows: NewRows, newdata: pd.DataFrame) -> Array:
    eta: Array = rows.X @ fit.beta + rows.offset
    if fit.offset is None:
        return eta
    known = finite_or_missing(newdata, fit.offset)
    missing = np.isnan(known)
    if missing.any():
        raise DataError(
            f"newdata: '{fit.offset}' is missing in {describe_rows(missing, newdata.index)}; "
            "a prediction needs it."
        )
    return np.asarray(eta + known)


def _unit_part(fit: GeneralizedFit, rows: NewRows) -> Array:
    """Return the contribution of the units' predicted effects to the linear predictor."""
    parts = [
        np.einsum("nq,qn->n", Z, np.where(units >= 0, b[:, units], 0.0))
        for b, Z, units in zip(effects_as_given(fit), rows.Z, rows.units, strict=True)
    ]
    return np.asarray(np.sum(parts, axis=0))


def _random_variances(fit: GeneralizedFit, rows: NewRows) -> dict[str, Array]:
    return {
        grouping.name: np.einsum("ni,ij,nj->n", Z, covariance, Z)
        for grouping, covariance, Z in zip(
            fit.design.groupings, fit.covariances, rows.Z, strict=True
        )
    }


def _total_sd(fit: GeneralizedFit, rows: NewRows) -> Array:
    return np.asarray(np.sqrt(np.sum(list(_random_variances(fit, rows).values()), axis=0)))
