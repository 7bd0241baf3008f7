"""What the model expects: fitted values, predictions with intervals, residuals, new outcomes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from alliance_stats.checks import check_frame, describe_rows, did_you_mean, require_columns
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, wald_interval
from alliance_stats.multilevel.coding import columns_as_read
from alliance_stats.multilevel.criterion import posteriors
from alliance_stats.multilevel.degrees_of_freedom import KenwardRoger
from alliance_stats.multilevel.design import Design, all_fixed_columns, fixed_columns
from alliance_stats.multilevel.formula import variables_of
from alliance_stats.multilevel.groupings import Grouping, random_columns, units_of
from alliance_stats.multilevel.inference import back_transform, small_sample, working_contrasts

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["NewRows", "augmented", "code_new_rows", "predicted", "random_parts", "simulated"]


class NewRows(NamedTuple):
    """New data coded as the fit's were.

    Attributes
    ----------
    X
        Estimated fixed columns, (n, p).
    Z
        For each grouping factor, its random columns as given, (n, q).
    units
        For each grouping factor, the fitted unit of each row, -1 where unknown.
    """

    X: Array
    Z: list[Array]
    units: list[npt.NDArray[np.int64]]


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


def code_new_rows(design: Design, newdata: pd.DataFrame, *, with_units: bool) -> NewRows:
    """Code new rows; refuse missing values and, if units are asked for, unknown units."""
    check_frame(newdata, what="newdata")
    specs = [design.fixed.spec, *(b.spec for g in design.groupings for b in g.terms)]
    needed = dict.fromkeys(
        name for spec in specs for name in variables_of(spec.terms, design.frame)
    )
    require_columns(newdata, list(needed), what="newdata")
    for column in needed:
        _check_values(design.frame[column], newdata[column])
    newdata = columns_as_read(newdata, list(needed))
    X = _estimable_columns(design, newdata)
    Z = [np.hstack([random_columns(b, newdata) for b in g.terms]) for g in design.groupings]
    units = [_known_units(g, newdata) for g in design.groupings] if with_units else []
    return NewRows(X, Z, units)


def _estimable_columns(design: Design, newdata: pd.DataFrame) -> Array:
    """Code the estimated fixed columns; refuse rows on which an aliased coefficient bears."""
    X = fixed_columns(design, newdata)
    if not design.fixed.aliased:
        return X
    fitted = all_fixed_columns(design, design.frame)
    aliased = np.setdiff1d(np.arange(len(design.fixed.names)), design.fixed.kept)
    rule = np.linalg.lstsq(design.X, fitted[:, aliased], rcond=None)[0]
    off = np.abs(all_fixed_columns(design, newdata)[:, aliased] - X @ rule)
    bad = (off > 1e-7 * np.abs(fitted[:, aliased]).max(axis=0)).any(axis=1)
    if bad.any():
        raise DataError(
            f"newdata: {describe_rows(bad, newdata.index)} cannot be predicted, since the fit's "
            f"data do not determine {', '.join(design.fixed.aliased)}: the combination does not "
            "occur there."
        )
    return X


def _check_values(seen: pd.Series, new: pd.Series) -> None:
    """Refuse missing predictors and categories that the fit has not seen."""
    missing = new.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"newdata: '{new.name}' is missing in {describe_rows(missing, new.index)}; "
            "a prediction needs it."
        )
    if pd.api.types.is_numeric_dtype(seen) and not pd.api.types.is_numeric_dtype(
        new.infer_objects()
    ):
        raise DataError(
            f"newdata: '{new.name}' must be numeric, as in the fit; its values are of type "
            f"{new.dtype}. Convert it first."
        )
    if not pd.api.types.is_numeric_dtype(seen):
        unseen = ~new.astype(object).isin(set(seen.dropna().unique())).to_numpy()
        if unseen.any():
            raise DataError(
                f"newdata: '{new.name}' is '{new[unseen].iloc[0]}' in "
                f"{describe_rows(unseen, new.index)}, which the fit has not seen. "
                f"{did_you_mean(new[unseen].iloc[0], sorted(map(str, seen.dropna().unique())))}"
            )


def _known_units(grouping: Grouping, newdata: pd.DataFrame) -> npt.NDArray[np.int64]:
    require_columns(newdata, grouping.columns, what="newdata")
    units = units_of(grouping, newdata)
    unknown = units < 0
    if unknown.any():
        names = newdata.loc[unknown, list(grouping.columns)].drop_duplicates()
        shown = ", ".join(":".join(map(str, row)) for row in names.head(5).to_numpy())
        raise DataError(
            f"newdata has {len(names)} unit(s) of '{grouping.name}' that the fit has not seen "
            f"({shown}), in {describe_rows(unknown, newdata.index)}. Their own effects are "
            "unknown: predict with level='population'."
        )
    return units


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
