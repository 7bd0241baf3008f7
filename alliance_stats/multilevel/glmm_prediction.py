"""What a generalized mixed model expects: of a population, a typical unit, or known units."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special, stats

from alliance_stats.checks import (
    check_choice,
    check_conf_level,
    check_frame,
    describe_rows,
    require_columns,
)
from alliance_stats.design.groupings import back_transform
from alliance_stats.design.new_rows import NewRows, code_new_rows
from alliance_stats.engine.families import Family
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.glmm_problem import numbers
from alliance_stats.multilevel.glmm_reports import working_effects

if TYPE_CHECKING:
    from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel

__all__ = ["augmented", "linear_predictors", "population_mean", "predicted", "simulated"]

# Points of the trapezoidal rule over +-9 SDs: its error for these smooth integrands is below 1e-9
# for SDs on the link's scale up to 6.
POINTS = 241
REACH = 9.0


def population_mean(family: Family, eta: Array, sd: Array) -> tuple[Array, Array]:
    """Average the mean over a normal random effect, by the trapezoidal rule on the line.

    (Trefethen & Weideman 2014, doi:10.1137/130932132; in closed form for probit and Poisson.)

    Parameters
    ----------
    family
        Family and link.
    eta, sd
        Linear predictor and SD of what is random in it.

    Returns
    -------
    mean, slope
        ``E g^-1(eta + sd U)`` for standard normal U, and its derivative in `eta`.
    """
    if family.name == "poisson":
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


def predicted(
    model: "GeneralizedLinearMixedModel",
    newdata: pd.DataFrame,
    *,
    level: str,
    interval: str | None,
    conf_level: float,
) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.predict`."""
    rows = _code(model, newdata, with_units=level == "conditional")
    eta = _fixed_part(model, rows, newdata)
    family = model.family
    if level == "conditional":
        for b, Z, units in zip(_effects(model), rows.Z, rows.units, strict=True):
            eta = eta + np.einsum("nq,qn->n", Z, b[:, units])
    mean, slope = (
        population_mean(family, eta, _total_sd(model, rows))
        if level == "population"
        else (family.mean(eta), family.mean_slope(eta))
    )
    table = pd.DataFrame({"estimate": mean}, index=newdata.index)
    if interval is None:
        return table
    check_choice(interval, ("confidence",), name="interval")
    if level == "conditional":
        raise ValueError(
            "Intervals are offered at the population and the typical level; at the conditional "
            "level the predicted effects' own uncertainty would have to be added."
        )
    error = slope * np.sqrt(np.einsum("np,pq,nq->n", rows.X, model.vcov().to_numpy(), rows.X))
    # symmetric on the scale of the link, so that the limits stay probabilities (or rates)
    centre = family.predictor(mean)
    half = stats.norm.isf((1.0 - check_conf_level(conf_level)) / 2.0) * (
        error / family.mean_slope(centre)
    )
    return table.assign(
        std_error=error, conf_low=family.mean(centre - half), conf_high=family.mean(centre + half)
    )


def linear_predictors(model: "GeneralizedLinearMixedModel", newdata: pd.DataFrame) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.linear_predictor`."""
    rows = _code(model, newdata, with_units=False)
    sds = {f"sd_{name}": np.sqrt(v) for name, v in _variances(model, rows).items()}
    return pd.DataFrame({"estimate": _fixed_part(model, rows, newdata), **sds}, index=newdata.index)


def augmented(model: "GeneralizedLinearMixedModel") -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.augment`."""
    design, problem = model.design, model.problem
    eta, trials = np.empty((2, model.nobs))
    trials[problem.layout.order] = problem.outcome.trials
    eta[problem.layout.order] = problem.offset + model.fit.gamma @ problem.Q
    for grouping, b in zip(design.groupings, working_effects(model), strict=True):
        eta += (grouping.Z * b[:, grouping.codes]).sum(axis=0)
    mean = model.family.mean(eta)
    fitted = trials * mean
    spread = fitted if model.family.name == "poisson" else fitted * (1.0 - mean)
    residual = design.y - fitted
    return pd.DataFrame(
        {
            "outcome": design.y,
            "fitted": fitted,
            "linear_predictor": eta,
            "residual": residual,
            "residual_pearson": residual / np.sqrt(spread),
        },
        index=design.index,
    )


def simulated(model: "GeneralizedLinearMixedModel", rng: np.random.Generator) -> Array:
    """Draw one new outcome for the rows used: (n,)."""
    design, problem = model.design, model.problem
    eta, trials = np.empty((2, model.nobs))
    trials[problem.layout.order] = problem.outcome.trials
    eta[problem.layout.order] = problem.offset + model.fit.gamma @ problem.Q
    for grouping, Lambda in zip(design.groupings, model.fit.Lambda, strict=True):
        b = Lambda @ rng.standard_normal((len(Lambda), len(grouping.labels)))
        eta += (grouping.Z * b[:, grouping.codes]).sum(axis=0)
    mean = model.family.mean(eta)
    if model.family.name == "poisson":
        return np.asarray(rng.poisson(mean), dtype=np.float64)
    return np.asarray(rng.binomial(trials.astype(np.int64), mean), dtype=np.float64)


def _code(
    model: "GeneralizedLinearMixedModel", newdata: pd.DataFrame, *, with_units: bool
) -> NewRows:
    check_frame(newdata, what="newdata")
    if model.offset is not None:
        require_columns(newdata, [model.offset], what="newdata")
    return code_new_rows(model.design, newdata, with_units=with_units)


def _fixed_part(
    model: "GeneralizedLinearMixedModel", rows: NewRows, newdata: pd.DataFrame
) -> Array:
    eta: Array = rows.X @ model.beta.to_numpy()[model.design.fixed.kept]
    if model.offset is None:
        return eta
    known = numbers(newdata, model.offset)
    missing = np.isnan(known)
    if missing.any():
        raise DataError(
            f"newdata: '{model.offset}' is missing in {describe_rows(missing, newdata.index)}; "
            "a prediction needs it."
        )
    return np.asarray(eta + known)


def _variances(model: "GeneralizedLinearMixedModel", rows: NewRows) -> dict[str, Array]:
    return {
        name: np.einsum("ni,ij,nj->n", Z, covariance.to_numpy(), Z)
        for (name, covariance), Z in zip(model.covariances().items(), rows.Z, strict=True)
    }


def _total_sd(model: "GeneralizedLinearMixedModel", rows: NewRows) -> Array:
    return np.asarray(np.sqrt(np.sum(list(_variances(model, rows).values()), axis=0)))


def _effects(model: "GeneralizedLinearMixedModel") -> list[Array]:
    """Predicted effects of each grouping factor's columns as given, by label."""
    return [
        back_transform(grouping.terms) @ b
        for grouping, b in zip(model.design.groupings, working_effects(model), strict=True)
    ]
