"""What is needed to compare models of any kind by their likelihoods."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.ledger import RowLedger

__all__ = ["HasLikelihood", "ModelLikelihood", "refer_ratio", "side_by_side"]

# A fall of the log-likelihood relatively smaller than this is none: searches end within it.
DUST = 1e-9
# Of a column, what may lie outside the span of others that hold it.
OUTSIDE = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class ModelLikelihood:
    """A fitted model as a comparison sees it.

    Attributes
    ----------
    formula, kind
        Its formula, and what kind of model it is; only models of one kind are compared.
    log_lik, n_parameters, n
        Log-likelihood, how many parameters it has, and the n of its BIC.
    columns
        Its columns, (n, p), whose span determines whether models are nested.
    outcome
        The observed outcome, which compared models must share.
    n_boundary
        Parameters at their limit that `n_parameters` leaves out (sessions with a hazard of exactly
        0 or 1): counted only in comparison with a model without them.
    n_variances
        Variances of random effects among the parameters.
    offset
        The offset added to the linear predictors, (n,); None without one.
    refusal
        Why likelihoods of this model cannot be compared by a test; empty if they can.
    rows
        The row ledger.
    """

    formula: str
    kind: str
    log_lik: float
    n_parameters: int
    n: int
    columns: pd.DataFrame
    outcome: tuple[npt.NDArray[Any], ...]
    rows: RowLedger
    n_boundary: int = 0
    n_variances: int = 0
    offset: Array | None = None
    refusal: str = ""


@runtime_checkable
class HasLikelihood(Protocol):
    """A model that provides what a comparison needs."""

    def likelihood(self) -> ModelLikelihood:
        """Return what a comparison of models needs."""
        ...


def refer_ratio(
    one: ModelLikelihood, other: ModelLikelihood
) -> tuple[ModelLikelihood, ModelLikelihood, float, int, float, str]:
    """Test the smaller of two nested models by their likelihoods.

    Returns
    -------
    small, large, statistic, df, p_value, reference
        Twice the difference of the log-likelihoods, referred to chi-squared; with one variance at
        its boundary under the smaller model, to the equal mixture with k and k + 1 df (Self & Liang
        1987, doi:10.1080/01621459.1987.10478472).

    Raises
    ------
    DataError
        Different rows or outcomes, models that are not nested or of the same size, and models whose
        likelihood is not that of their rows.
    """
    _comparable([one, other])
    for model in (one, other):
        if model.refusal:
            raise DataError(f"{model.formula}: {model.refusal}")
    counted = _parameters([one, other])
    if counted[0] == counted[1]:
        raise DataError(
            f"Both models have {counted[0]} parameters: neither is larger, so there is nothing to "
            "test. compare_models sets their AIC side by side."
        )
    small, large = (one, other) if counted[0] < counted[1] else (other, one)
    _nested(small, large)
    statistic = 2.0 * (large.log_lik - small.log_lik)
    if statistic < -1e-6 * max(1.0, abs(small.log_lik)):
        raise DataError(
            f"{large.formula} has more parameters but fits worse than {small.formula}: the models "
            "are not nested."
        )
    if statistic <= DUST * max(1.0, abs(small.log_lik)):
        statistic = 0.0
    df, variances = abs(counted[1] - counted[0]), large.n_variances - small.n_variances
    p_value = float(stats.chi2.sf(statistic, df))
    reference = f"chi-squared with {df} df"
    if variances == 1:
        below = float(stats.chi2.sf(statistic, df - 1)) if df > 1 else float(statistic <= 0.0)
        p_value = (below + p_value) / 2.0
        reference = f"equal mixture of chi-squared with {df - 1} and {df} df"
    elif variances > 1:
        reference += f", conservative since {variances} variances are tested at their boundary"
    return small, large, statistic, df, p_value, reference


def side_by_side(models: Sequence[ModelLikelihood]) -> pd.DataFrame:
    """Return one row per model, best AIC first; see :func:`compare_models`."""
    _comparable(models)
    counted = np.array(_parameters(models))
    log_lik = np.array([model.log_lik for model in models])
    aic = 2.0 * (counted - log_lik)
    bic = np.log([model.n for model in models]) * counted - 2.0 * log_lik
    table = pd.DataFrame(
        {
            "formula": [model.formula for model in models],
            "n_parameters": counted,
            "log_lik": log_lik,
            "aic": aic,
            "delta_aic": aic - aic.min(),
            "bic": bic,
            "delta_bic": bic - bic.min(),
        }
    )
    return table.sort_values("aic", ignore_index=True)


def _parameters(models: Sequence[ModelLikelihood]) -> list[int]:
    """Count parameters, those at their limit too where models differ in them."""
    differ = len({model.n_boundary for model in models}) > 1
    return [model.n_parameters + differ * model.n_boundary for model in models]


def _comparable(models: Sequence[ModelLikelihood]) -> None:
    first = models[0]
    for other in models[1:]:
        if other.kind != first.kind:
            raise DataError(
                f"{first.formula} is a {first.kind}, {other.formula} a {other.kind}: likelihoods "
                "of different kinds of models cannot be compared."
            )
        same = len(first.outcome) == len(other.outcome) and all(
            np.array_equal(a, b) for a, b in zip(first.outcome, other.outcome, strict=True)
        )
        if not same:
            raise DataError(
                f"The models did not use the same rows and outcome: {first.formula} used "
                f"{first.rows.n_used}, {other.formula} used {other.rows.n_used}. Leave out rows "
                "with missing predictors first, and fit both to what remains."
            )


def _nested(small: ModelLikelihood, large: ModelLikelihood) -> None:
    """Refuse models of which the smaller is not a special case of the larger."""
    missing = large.columns.index.difference(small.columns.index)
    inner = small.columns.loc[large.columns.index] if not len(missing) else None
    if inner is None or not _within(inner.to_numpy(), large.columns.to_numpy()):
        raise DataError(
            f"{small.formula} is not nested in {large.formula}: its columns are not among the "
            "larger model's. compare_models sets models that are not nested side by side."
        )
    if not _same_offset(small.offset, large.offset):
        raise DataError(
            f"{small.formula} is not nested in {large.formula}: what offset() adds is not the same "
            "in both. compare_models sets models that are not nested side by side."
        )
    if small.n_variances > large.n_variances:
        raise DataError(
            f"{small.formula} is not nested in {large.formula}: it has random effects that the "
            "larger model has not."
        )


def _same_offset(one: Array | None, other: Array | None) -> bool:
    first, second = (np.zeros(1) if given is None else given for given in (one, other))
    return bool(np.allclose(first, second, rtol=1e-12, atol=0.0))


def _within(inner: Array, outer: Array) -> bool:
    """Whether the columns of `inner` lie in the span of `outer`'s, constants aside."""
    inner, outer = inner / _sizes(inner), outer / _sizes(outer)
    left = inner - outer @ np.linalg.lstsq(outer, inner, rcond=None)[0]
    return bool((np.linalg.norm(left, axis=0) < OUTSIDE).all())


def _sizes(X: Array) -> Array:
    return np.asarray(np.maximum(np.linalg.norm(X, axis=0), np.finfo(np.float64).tiny))
