"""What the model expects: fitted values, predictions with intervals, residuals, new outcomes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from alliance_stats.checks import describe_rows, require_columns
from alliance_stats.design.groupings import back_transform
from alliance_stats.design.new_rows import NewRows, code_new_rows
from alliance_stats.engine.criterion import posteriors
from alliance_stats.engine.degrees_of_freedom import KenwardRoger
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, wald_interval
from alliance_stats.multilevel.inference import small_sample, working_contrasts

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["augmented", "predicted", "random_parts", "simulated"]


def predicted(
    model: "LinearMixedModel",
    newdata: pd.DataFrame,
    *,
    level: str,
    interval: str | None,
    df_method: str,
    conf_level: float,
) -> pd.DataFrame:
    """See :meth:`LinearMixedModel.predict`."""
    rows = code_new_rows(model.design, newdata, with_units=level == "conditional")
    beta = model.beta.to_numpy()[model.design.fixed.kept]
    estimate = rows.X @ beta
    if level == "conditional":
        for b, Z, units in zip(random_parts(model), rows.Z, rows.units, strict=True):
            estimate = estimate + np.einsum("nq,qn->n", Z, b[:, units])
    table = pd.DataFrame({"estimate": estimate}, index=newdata.index)
    if interval is None:
        return table
    variance, df = (
        _population_variance(model, rows, df_method=df_method)
        if level == "population"
        else _conditional_variance(model, rows)
    )
    if interval == "prediction":
        variance = variance + _new_residual_variance(model, newdata)
        if level == "population":
            for covariance, Z in zip(model.covariances().values(), rows.Z, strict=True):
                variance = variance + np.einsum("ni,ij,nj->n", Z, covariance.to_numpy(), Z)
            df = np.full(len(estimate), np.inf)
    std_error = np.sqrt(variance)
    low, high = wald_interval(estimate, std_error, df=df, conf_level=conf_level)
    return table.assign(std_error=std_error, df=df, conf_low=low, conf_high=high)


def augmented(model: "LinearMixedModel") -> pd.DataFrame:
    """See :meth:`LinearMixedModel.augment`."""
    design = model.design
    beta = model.beta.to_numpy()[design.fixed.kept]
    marginal = design.X @ beta
    fitted = marginal.copy()
    for grouping, b in zip(design.groupings, _working_effects(model), strict=True):
        # Z carries the root weights of the criterion; fitted values are on the outcome's scale
        fitted += (grouping.Z * b[:, grouping.codes]).sum(axis=0) / design.root_weights
    return pd.DataFrame(
        {
            "outcome": design.y,
            "fitted": fitted,
            "fitted_marginal": marginal,
            "residual": design.y - fitted,
            "residual_marginal": design.y - marginal,
            "residual_standardised": (design.y - fitted) / residual_sd(model),
        },
        index=design.index,
    )


def simulated(model: "LinearMixedModel", rng: np.random.Generator) -> Array:
    """Draw one new outcome for the rows used: (n,)."""
    design = model.design
    beta = model.beta.to_numpy()[design.fixed.kept]
    y = design.X @ beta
    shape, order = model.problem.shape, model.problem.layout.order
    for grouping, Lambda in zip(design.groupings, model.fit.Lambda, strict=True):
        spherical = rng.standard_normal((len(Lambda), len(grouping.labels)))
        effects = model.sigma * Lambda @ spherical
        y = y + (grouping.Z * effects[:, grouping.codes]).sum(axis=0) / design.root_weights
    residual = rng.standard_normal(len(y))
    if shape is not None:
        residual[order] = shape.colour(residual[order], model.fit.eta)
    return np.asarray(y + model.sigma * residual / design.root_weights)


def residual_sd(model: "LinearMixedModel") -> Array:
    """Residual SD of each row used, in units of the outcome."""
    sd = model.sigma / model.design.root_weights
    shape, order = model.problem.shape, model.problem.layout.order
    if shape is not None:
        sd[order] *= shape.relative_sd(model.fit.eta)[shape.strata]
    return np.asarray(sd)


def _new_residual_variance(model: "LinearMixedModel", newdata: pd.DataFrame) -> Array:
    """Residual variance of new rows of weight 1."""
    shape = model.problem.shape
    if model.problem.known:  # a new unit's true effect: its sampling variance is not in newdata
        return np.zeros(len(newdata))
    variance = np.full(len(newdata), model.sigma**2)
    if shape is None or shape.column is None:
        return variance
    require_columns(newdata, [shape.column], what="newdata")
    strata = shape.labels.get_indexer(newdata[shape.column].astype(object))
    if (strata < 0).any():
        raise DataError(
            f"newdata: '{shape.column}' has a value whose residual variance is unknown in "
            f"{describe_rows(strata < 0, newdata.index)}. "
            f"Known are {', '.join(map(str, shape.labels))}."
        )
    return np.asarray(variance * shape.relative_sd(model.fit.eta)[strata] ** 2)


def random_parts(model: "LinearMixedModel") -> list[Array]:
    """Predicted effects of each grouping factor's columns as given: (q, units), by label."""
    return [
        back_transform(grouping.terms) @ b
        for grouping, b in zip(model.design.groupings, _working_effects(model), strict=True)
    ]


def _working_effects(model: "LinearMixedModel") -> list[Array]:
    """Predicted effects of the working columns, units in the order of the labels."""
    v = np.append(-model.solution.beta, 1.0)
    units = {level.factor: level.units for level in model.problem.layout.levels}
    found = []
    for f, post in enumerate(posteriors(model.problem, model.descent)):
        b = np.einsum("qrn,r->qn", post.B, v)
        ordered = np.empty_like(b)
        ordered[:, units.get(f, np.arange(b.shape[1]))] = b
        found.append(ordered)
    return found


def _population_variance(
    model: "LinearMixedModel", rows: NewRows, *, df_method: str
) -> tuple[Array, Array]:
    method = small_sample(model, df_method)
    if method is None:
        V = model.vcov().to_numpy()
        return np.einsum("np,pq,nq->n", rows.X, V, rows.X), np.full(len(rows.X), np.inf)
    C = working_contrasts(model, rows.X)
    Phi = method.adjusted if isinstance(method, KenwardRoger) else method.Phi
    return model.sigma**2 * np.einsum("np,pq,nq->n", C, Phi, C), method.df(C)


def _conditional_variance(model: "LinearMixedModel", rows: NewRows) -> tuple[Array, Array]:
    """Variance of the error of ``x'beta + z'b`` for known units, by the mixed-model equations.

    With M the inverse of Henderson's coefficient matrix, the variance is ``sigma^2 c'Mc`` for
    ``c = (x, z)`` (Henderson 1975, doi:10.2307/2529430). Theta is taken as known.
    """
    design = model.design
    p = len(design.fixed.kept)
    widths = [len(g.labels) * len(g.Z) for g in design.groupings]
    if p + sum(widths) > _DENSE_LIMIT:
        raise DataError(
            f"Conditional intervals need a dense matrix of {p + sum(widths)} effects, more than "
            f"{_DENSE_LIMIT}. Ask for level='population', or for no interval."
        )
    whiten = _whitener(model)
    effects = [whiten(design.Q).T]
    c = [working_contrasts(model, rows.X)]
    for grouping, Lambda, Z, units in zip(
        design.groupings, model.fit.Lambda, rows.Z, rows.units, strict=True
    ):
        n_units = len(grouping.labels)
        working = Z @ back_transform(grouping.terms)
        effects.append(_spread(Lambda.T @ whiten(grouping.Z), grouping.codes, n_units))
        c.append(_spread(Lambda.T @ working.T, units, n_units))
    W = np.hstack(effects)
    coefficient = W.T @ W
    coefficient[np.arange(p, len(coefficient)), np.arange(p, len(coefficient))] += 1.0
    factor = linalg.cholesky(coefficient, lower=True)
    half = linalg.solve_triangular(factor, np.hstack(c).T, lower=True)
    return model.sigma**2 * (half**2).sum(axis=0), np.full(len(rows.X), np.inf)


def _whitener(model: "LinearMixedModel") -> Callable[[Array], Array]:
    """Return a function that whitens columns (m, n) in the design's order of rows."""
    shape, order = model.problem.shape, model.problem.layout.order
    if shape is None:
        return lambda columns: columns
    back = np.argsort(order)

    def whiten(columns: Array) -> Array:
        return shape.whiten(columns[:, order], model.fit.eta)[:, back]

    return whiten


# Henderson's matrix is kept dense for conditional intervals.
_DENSE_LIMIT = 6000


def _spread(Z: Array, units: npt.NDArray[np.int64], n_units: int) -> Array:
    """Spherical random-effects columns, one block a unit: (n, q * units)."""
    q, n = Z.shape
    out = np.zeros((n, n_units, q))
    for j in range(q):
        out[np.arange(n), units, j] = Z[j]
    return out.reshape(n, n_units * q)
