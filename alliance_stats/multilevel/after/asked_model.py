"""The interface a fitted model needs for means, contrasts, slopes, regions and R2."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from alliance_stats.arguments import kind_of
from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import LINK_WORDS, Array, link_words
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
    "IMPLIED",
    "FittedModel",
    "GeneralizedModel",
    "JudgesItself",
    "Link",
    "caveats",
    "implied_variance",
    "infer",
    "link_of",
    "require_fitted",
]


class FittedModel(Protocol):
    """The interface a model needs for any computation after its fit."""

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
        """How the optimiser ended."""
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
    """A fitted model with its own standard errors: cluster-robust regression or an imported fit.

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
        What ``exp`` of a difference in ``eta`` is (``"odds ratio"``), or ``None``.
    called
        The name of ``eta``, where the link alone does not determine it.
    """

    name: str
    mean: Callable[[Array], Array]
    mean_slope: Callable[[Array], Array]
    ratio: str | None
    called: str | None = None

    @property
    def scale(self) -> str:
        """The name of ``eta``, e.g. ``"log odds"``; the name of the link if it has none."""
        words = LINK_WORDS.get(self.name)
        return self.called or (self.name if words is None else words.scale)

    @property
    def mean_of_scale(self) -> str:
        """What an estimated mean of ``eta`` is called, such as ``"mean log odds"``."""
        if self.name == "identity":
            return "mean"
        return self.scale if "mean" in self.scale else f"mean {self.scale}"


IDENTITY = Link("identity", np.asarray, np.ones_like, None)


def link_of(model: FittedModel) -> Link:
    """Return the link of a model: the identity for a linear one."""
    own = getattr(model, "link", None)
    if isinstance(own, Link):
        return own
    if not isinstance(model, GeneralizedModel):
        return IDENTITY
    family = model.family
    words = link_words(family.link, family.support)
    return Link(family.link, family.mean, family.mean_slope, words.ratio, words.scale)


IMPLIED = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}
"""Link of a yes or no, whose means are probabilities -> variance of its latent residual."""


def implied_variance(model: GeneralizedModel) -> float:
    """Return the variance of a row on the scale of the link.

    For a binary outcome it is that of the latent residual. With a log link it is ``log(1 + V /
    mu^2)`` for the family's variance V at the outcome's mean mu: Poisson counts have ``log(1 + 1 /
    mu)``, negative binomial ones ``log(1 + 1 / mu + 1 / theta)``, gamma times ``log(1 + 1 / nu)``
    (Nakagawa, Johnson & Schielzeth 2017, doi:10.1098/rsif.2017.0213).

    Raises
    ------
    NotIdentifiedError
        A family with no agreed definition of this variance, or a dispersion that varies across
        rows.
    """
    family, fit = model.family, _fit_of(model)
    if isinstance(fit, OrdinalFit) and fit.nominal:
        raise NotIdentifiedError(
            "Effects that differ from threshold to threshold are on no one scale of the link, so "
            "that there are no shares of its variance."
        )
    dispersion = np.empty(0)
    if family.dispersion is not None and isinstance(fit, GeneralizedFit):
        dispersion = np.array([fit.one_dispersion])
    no_scale = (
        family.name == "beta-binomial"
        or family.support in ("shares", "positive counts")
        or family.link not in (*IMPLIED, "log")
    )
    if no_scale or np.isnan(dispersion).any():
        why = "is not defined" if no_scale else "differs between rows, as the dispersion does"
        raise NotIdentifiedError(
            f"The variance of a row on the {family.link} scale {why} in the {family.name} family, "
            "so that there are no shares of it. Report the SDs of the random effects themselves."
        )
    if family.link in IMPLIED:
        return float(IMPLIED[family.link])
    mean = float(model.design.y.mean())
    at = np.array([np.log(mean)])
    return float(np.log1p(family.variance(at, np.ones(1), dispersion)[0] / mean**2))


def require_fitted(model: object) -> None:
    """Refuse anything but a fit of ``lmm``, ``glmm`` or ``regression`` or an imported model.

    An imported model that does not support this gives the reason when its design is accessed.
    """
    if isinstance(_fit_of(model), OrdinalFit):
        raise DataError(
            "Ratings in steps have no mean, but a probability of each step: ask the model for "
            "step_probabilities(newdata), or predict(newdata)."
        )
    if not isinstance(model, JudgesItself) and _fit_of(model) is None:
        raise DataError(
            f"A model fitted by lmm, glmm or regression is needed; got {kind_of(model)}."
        )


def caveats(model: FittedModel) -> tuple[str, ...]:
    """Return the caveats that apply to all of this model's results."""
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
