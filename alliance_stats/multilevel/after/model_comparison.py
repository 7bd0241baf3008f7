"""AIC and BIC of several models side by side, on the same rows and comparable likelihoods."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.multilevel import linear_fit
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.model_likelihood import HasLikelihood, side_by_side

__all__ = [
    "as_mixed",
    "by_ml",
    "compare_models",
    "described",
    "deviance",
    "require_same_rows",
    "span_differs",
    "within",
]


def compare_models(*models: LinearMixedModel | HasLikelihood) -> pd.DataFrame:
    """Compare models fitted to the same rows: mixed models, ordinary regressions, hazard models.

    Returns
    -------
    DataFrame
        One row per model: ``formula`` (with its residual structure), ``n_parameters, log_lik, aic,
        delta_aic, bic, delta_bic, reml, singular``, best AIC first. REML fits whose fixed effects
        differ are refitted by maximum likelihood (``reml`` is then False). Hazard models (Cox,
        Fine-Gray, discrete, competing) have no ``reml`` or ``singular``; the BIC of a Cox or
        Fine-Gray model uses the number of events as n (Volinsky & Raftery 2000,
        doi:10.1111/j.0006-341X.2000.00256.x).

    Raises
    ------
    DataError
        If there is no model, one was not fitted by ``lmm``, or they used different rows or
        outcomes.

    Examples
    --------
    >>> from alliance_stats import compare_models, example_study, lmm
    >>> sessions = example_study().sessions
    >>> line = lmm("alliance ~ session + (1 | person)", sessions)
    >>> curve = lmm("alliance ~ poly(session, 2) + (1 | person)", sessions)
    >>> compare_models(line, curve)[["formula", "n_parameters", "delta_aic"]].round(1)
                                          formula  n_parameters  delta_aic
    0           alliance ~ session + (1 | person)             4        0.0
    1  alliance ~ poly(session, 2) + (1 | person)             5        1.9
    """
    if not models:
        raise DataError("compare_models needs fitted models, as in compare_models(one, other).")
    models = tuple(as_mixed(model) for model in models)
    others = [model for model in models if isinstance(model, HasLikelihood)]
    if len(others) == len(models):
        return side_by_side([model.likelihood() for model in others])
    for model in models:
        require_linear(model, asked="compare_models compares")
    linear = [model for model in models if isinstance(model, LinearMixedModel)]
    require_same_rows(linear)
    differ = any(span_differs(linear[0], m) for m in linear)
    mixed = len({m.reml for m in linear}) > 1
    fits = [by_ml(m) for m in linear] if differ or mixed else linear
    table = pd.concat([m.glance().assign(formula=described(m)) for m in fits], ignore_index=True)
    for column in ("aic", "bic"):  # on a footing that no coding of the fixed effects changes
        table[column] += [deviance(m) - m.fit.deviance for m in fits]
    table["delta_aic"] = table["aic"] - table["aic"].min()
    table["delta_bic"] = table["bic"] - table["bic"].min()
    columns = "formula n_parameters log_lik aic delta_aic bic delta_bic reml singular".split()  # noqa: SIM905
    return table[columns].sort_values("aic", ignore_index=True)


def as_mixed(model: Any) -> Any:
    """Return an ordinary regression as the mixed model without random terms that it is."""
    fit = getattr(model, "fit", None)
    if isinstance(model, HasLikelihood) or not isinstance(fit, LinearFit | GeneralizedFit):
        return model
    return LinearMixedModel(fit) if isinstance(fit, LinearFit) else GeneralizedLinearMixedModel(fit)


def described(model: LinearMixedModel) -> str:
    """Return the formula with the residual structure, which it does not show."""
    structures = model.fit.structures
    if not structures:
        return model.formula
    written = ", ".join(map(str, structures))
    return f"{model.formula}, residual={written if len(structures) == 1 else f'[{written}]'}"


def by_ml(model: LinearMixedModel) -> LinearMixedModel:
    """Fit the same model by maximum likelihood."""
    return LinearMixedModel(linear_fit.ml_refit(model.fit)) if model.reml else model


def require_same_rows(models: Sequence[LinearMixedModel]) -> None:
    """Refuse models of other rows, another outcome or another offset."""
    first = models[0]
    for other in models[1:]:
        if (
            not first.design.index.equals(other.design.index)
            or not np.array_equal(first.design.y, other.design.y)
            or not np.array_equal(_offset(first), _offset(other))
        ):
            raise DataError(
                f"The models did not use the same rows and outcome: {first.formula} used "
                f"{first.nobs}, {other.formula} used {other.nobs}. Leave out rows with missing "
                "predictors first, and fit both to what remains."
            )


def _offset(model: LinearMixedModel) -> Array:
    offset = model.design.offset
    return np.zeros(1) if offset is None or not offset.any() else offset


def deviance(model: LinearMixedModel) -> float:
    """Deviance without ``log|X'X|``, which a restricted likelihood takes from the coding of X."""
    return model.fit.deviance - (model.design.fixed.log_det if model.reml else 0.0)


def within(inner: Array, outer: Array) -> bool:
    """Whether the columns in `inner` (as rows) lie in the span of those in `outer`."""
    if not len(inner):
        return True
    if not len(outer):
        return False
    fitted = np.linalg.lstsq(outer.T, inner.T, rcond=None)[0]
    left = inner.T - outer.T @ fitted
    return bool((np.linalg.norm(left, axis=0) < 1e-7 * np.linalg.norm(inner, axis=1)).all())


def span_differs(model: LinearMixedModel, other: LinearMixedModel) -> bool:
    """Whether the fixed columns of two models span different spaces, whatever their scale."""
    Q, other_Q = model.design.Q, other.design.Q
    return len(Q) != len(other_Q) or not within(Q, other_Q)
