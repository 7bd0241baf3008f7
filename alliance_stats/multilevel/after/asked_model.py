"""What a fitted model must offer to be asked for means, contrasts, slopes, regions and R2."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import DataError
from alliance_stats.estimates import LINK_WORDS, Array
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_functions import (
    DfMethod,
    Inference,
    inference_on,
    require_covariance,
)
from alliance_stats.multilevel.ordinal_fit import OrdinalFit

__all__ = [
    "FittedModel",
    "GeneralizedModel",
    "JudgesItself",
    "Link",
    "caveats",
    "infer",
    "link_of",
    "require_fitted",
]


class FittedModel(Protocol):
    """What a model must offer to be asked anything after its fit."""

    @property
    def design(self) -> Design:
        """Arrays, coding and frame of the rows used."""
        ...

    @property
    def beta(self) -> pd.Series:
        """All coefficients on the scale of the linear predictor; aliased ones are NaN."""
        ...

    @property
    def rows(self) -> RowLedger:
        """The row ledger."""
        ...

    @property
    def convergence(self) -> Convergence:
        """How the optimiser got where it stopped."""
        ...

    def vcov(self) -> pd.DataFrame:
        """Return the covariance matrix of the estimated coefficients."""
        ...

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return, for each grouping factor, the covariance of its random effects."""
        ...


@runtime_checkable
class GeneralizedModel(FittedModel, Protocol):
    """A fitted model whose expected response is a function of its linear predictor."""

    @property
    def family(self) -> Family:
        """The family with its link."""
        ...

    @property
    def offset(self) -> str | None:
        """Column added to the linear predictor, if any."""
        ...


@runtime_checkable
class JudgesItself(Protocol):
    """A fitted model with errors of its own: a cluster-robust regression, one brought here.

    If its expected response is not its linear predictor, ``link`` is a :class:`Link`.
    """

    def inference(self, df_method: str | None = None) -> Inference:
        """Prepare inference on its coefficients."""
        ...


@dataclass(frozen=True, slots=True)
class Link:
    """From linear predictor to response.

    Attributes
    ----------
    name
        ``"identity"``, ``"logit"``, ``"cloglog"``, ``"probit"`` or ``"log"``.
    mean, mean_slope
        ``eta`` -> expected response, and its derivative.
    ratio
        What ``exp`` of a difference in ``eta`` is (``"odds ratio"``); ``None`` if nothing.
    """

    name: str
    mean: Callable[[Array], Array]
    mean_slope: Callable[[Array], Array]
    ratio: str | None


IDENTITY = Link("identity", np.asarray, np.ones_like, None)


def link_of(model: FittedModel) -> Link:
    """Return the link of a model: the identity for a linear one."""
    own = getattr(model, "link", None)
    if isinstance(own, Link):
        return own
    if not isinstance(model, GeneralizedModel):
        return IDENTITY
    family = model.family
    return Link(family.link, family.mean, family.mean_slope, LINK_WORDS[family.link].ratio)


def require_fitted(model: object) -> None:
    """Refuse what was not fitted by ``lmm``, ``glmm`` or ``regression``, nor brought here.

    A brought model of which nothing can be asked says why when its design is wanted.
    """
    if isinstance(_fit_of(model), OrdinalFit):
        raise DataError(
            "Ratings in steps have no mean, but a probability of each step: ask the model for "
            "step_probabilities(newdata), or predict(newdata)."
        )
    if not isinstance(model, JudgesItself) and _fit_of(model) is None:
        raise DataError(
            f"A model fitted by lmm, glmm or regression is needed; got {type(model).__name__}."
        )


def caveats(model: FittedModel) -> tuple[str, ...]:
    """Say what every reader of this model's numbers must know first."""
    if model.convergence.converged:
        return ()
    return ("NOT CONVERGED: the fit stopped before its optimum; do not use these numbers.",)


def infer(model: FittedModel, df_method: DfMethod | None = None) -> Inference:
    """Prepare inference on linear functions of a fitted model's coefficients.

    Parameters
    ----------
    model
        A fitted model.
    df_method
        As in ``LinearMixedModel.tidy``; ``None`` is Satterthwaite's for a linear mixed model and
        the normal approximation for a generalized one.

    Raises
    ------
    ValueError
        If the method is unknown, or not defined for this model.
    NotIdentifiedError
        If the coefficients have no covariance, since the fit did not converge.
    """
    if isinstance(model, JudgesItself):
        return require_covariance(model.inference(df_method))
    require_fitted(model)
    fit = _fit_of(model)
    assert fit is not None
    return require_covariance(inference_on(fit, df_method))


def _fit_of(model: object) -> LinearFit | GeneralizedFit | None:
    fit = getattr(model, "fit", None)
    return fit if isinstance(fit, LinearFit | GeneralizedFit) else None
