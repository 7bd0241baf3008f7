"""Shares of variance for binary outcomes, counts and hazards, on the link's and outcome's scales.

A generalized model has no residual variance of its own, so its shares depend on a scale; the two in
use give different numbers (Goldstein, Browne & Rasbash 2002, doi:10.1207/S15328031US0104_02).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import special

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.design.groupings import back_transform, random_columns
from alliance_stats.engine.ordered import cumulative
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import (
    LOG_MEDIAN_RATIO,
    Array,
    one_line,
    wald_interval,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import implied_variance
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.median_ratios import median_ratio_table
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel

__all__ = ["LatentPartition", "latent_partition"]

Moment = Callable[[Array], Array]

_NODES = 40
_LOG_STEP = 0.02  # of log variances, in the slopes of shares
_MOST_ROWS = 400  # different fixed parts that are integrated; more are taken by their quantiles


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LatentPartition:
    """Shares of a generalized model's variance, made by :func:`variance_partition`.

    Attributes
    ----------
    model
        The fitted model.
    at
        Covariate values at which random slopes were evaluated.
    variances
        Variance of each grouping factor on the scale of the link.
    implied
        Variance that the family implies there for the residual.
    log_covariance
        Covariance of the logarithms of `variances`.
    observed
        Share of each grouping factor on the scale of the outcome.
    ci_method
        ``"profile"``, ``"wald"`` or None.
    """

    model: GeneralizedLinearMixedModel | OrdinalMixedModel
    at: Mapping[str, object]
    variances: pd.Series
    implied: float
    log_covariance: Array
    observed: pd.Series
    ci_method: str | None

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.model.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per level and scale.

        Returns
        -------
        DataFrame
            ``scale`` (``latent``: of the linear predictor with the residual variance that the link
            implies, pi^2/3 for logit, pi^2/6 for cloglog, 1 for probit, ``log(1 + 1/mean)`` for
            counts; ``observation``: of the outcome itself, averaged over the rows) ``, group,
            variance`` (latent only) ``, estimate`` (the share) ``, conf_low, conf_high`` (of the
            observed ones with the fixed parts taken as known).
        """
        check_conf_level(conf_level)
        total = float(self.variances.sum()) + self.implied
        low, high = self._limits(conf_level)
        k = len(self.variances)
        latent = pd.DataFrame(
            {
                "scale": "latent",
                "group": [*self.variances.index, "Residual"],
                "variance": [*self.variances, self.implied],
                "estimate": [*(self.variances / total), self.implied / total],
                "conf_low": [*low[:k], np.nan],
                "conf_high": [*high[:k], np.nan],
            }
        )
        observed = pd.DataFrame(
            {
                "scale": "observation",
                "group": [*self.observed.index, "Residual"],
                "estimate": [*self.observed, 1.0 - float(self.observed.sum())],
                "conf_low": [*low[k:], np.nan],
                "conf_high": [*high[k:], np.nan],
            }
        )
        return pd.concat([latent, observed], ignore_index=True)

    def _limits(self, conf_level: float) -> tuple[Array, Array]:
        """Return limits of the latent shares, then of the observed ones: (2 groups,) each."""
        k = len(self.variances)
        nothing = np.full(2 * k, np.nan)
        if self.ci_method is None:
            return nothing, nothing
        if self.ci_method == "profile":
            assert isinstance(self.model, GeneralizedLinearMixedModel)
            table = self.model.median_ratios(ci_method="profile", conf_level=conf_level)
            logs = np.log(table[["conf_low", "conf_high"]].to_numpy())
            low, high = (self._shares(sd**2) for sd in (logs / LOG_MEDIAN_RATIO).T)
            return low, high
        v = self.variances.to_numpy()
        there = v > 0
        if not there.any():  # no log of a variance to be symmetric on
            return nothing, nothing
        shares, both = self._shares(v), np.tile(there, 2)

        def logits(step: Array) -> Array:
            return np.asarray(special.logit(self._shares(v * np.exp(step))[both]))

        steps = _LOG_STEP * np.eye(k)[there]  # of the log variances
        slopes = np.array([logits(h) - logits(-h) for h in steps]).T / (2.0 * _LOG_STEP)
        C = self.log_covariance[np.ix_(there, there)]
        error = np.sqrt(np.einsum("gi,ij,gj->g", slopes, C, slopes))
        middle = special.logit(shares[both])
        low, high = nothing, nothing.copy()
        below, above = wald_interval(middle, error, conf_level=conf_level)
        low[both], high[both] = special.expit(below), special.expit(above)
        return low, high

    def _shares(self, variances: Array) -> Array:
        """Return latent and observed shares at some variances, fixed parts as estimated."""
        latent = variances / (variances.sum() + self.implied)
        return np.concatenate([latent, _observed(self.model, variances)])

    def median_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return median odds, hazard or rate ratios of units, as the model's own method does."""
        return median_ratio_table(self.model.fit, method="wald", conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: total latent variance, its implied part, how intervals were made."""
        return pd.DataFrame(
            [
                {
                    "total_variance": float(self.variances.sum()) + self.implied,
                    "implied_variance": self.implied,
                    "method": self.ci_method or "none",
                }
            ]
        )

    @property
    def method(self) -> str:
        """What the shares are of."""
        family = self.model.family
        by = {"wald": "the delta method", "profile": "profile likelihood"}.get(self.ci_method or "")
        drawn = by is not None and (self.ci_method == "profile" or (self.variances > 0).any())
        intervals = f", intervals by {by}" if drawn else ""
        name = "an outcome in steps" if family.name == "ordered" else f"a {family.name} outcome"
        return f"shares of the variance of {name} ({family.link} link){intervals}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading."""
        return self.model.notes

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the shares as data."""
        shares = Section(
            "", self.tidy(conf_level=conf_level), names=("scale", "group"), measure="share",
            kind="share", columns={"variance": Column("variance")}, conf_level=conf_level,
        )  # fmt: skip
        remarks = [Phrase("At {} {}.", (name, value)) for name, value in self.at.items()]
        remarks.append(
            Phrase(
                "Latent: of a tendency behind the outcome, with the residual that the link "
                "implies; observation: of the outcome itself, most of whose variance is chance."
            )
        )
        sizes = {"rows": self.rows.n_used}
        return Account.of(self, sizes, (shares,), remarks, sources=("goldstein2002",))

    summary = summary_of
    _repr_html_ = html_of


def latent_partition(
    model: GeneralizedLinearMixedModel | OrdinalMixedModel,
    at: Mapping[str, object],
    ci_method: Literal["profile", "wald"] | None,
) -> LatentPartition:
    """See :func:`alliance_stats.variance_partition`."""
    if ci_method is not None:
        check_choice(ci_method, ("profile", "wald"), name="ci_method")
    fit, design = model.fit, model.design
    if ci_method == "profile" and isinstance(model, OrdinalMixedModel):
        raise NotIdentifiedError("Of ratings in steps ask for ci_method='wald'.")
    if ci_method == "profile" and (len(design.groupings) > 1 or len(fit.Lambda[0]) > 1):
        raise NotIdentifiedError(
            "Profiles of shares are for one grouping factor with a random intercept; ask for "
            "ci_method='wald'."
        )
    point = pd.DataFrame([dict(at)]) if at else pd.DataFrame(index=[0])
    halves = []
    for grouping, Lambda in zip(design.groupings, fit.Lambda, strict=True):
        z = np.concatenate([random_columns(basis, point)[0] for basis in grouping.terms])
        halves.append((z @ back_transform(grouping.terms), Lambda))
    variances = np.array([float(((t @ Lambda) ** 2).sum()) for t, Lambda in halves])
    names = [grouping.name for grouping in design.groupings]
    covariance = np.full((len(names), len(names)), np.nan)
    there = np.flatnonzero(variances > 0)
    if len(there) and fit.minimum.covariance is not None:
        gradients = []
        for f in there:
            t, Lambda = halves[f]
            slopes = [np.zeros_like(own) for own in fit.Lambda]
            slopes[f] = 2.0 * np.outer(t, t @ Lambda)
            gradients.append(fit.template.theta(slopes) / variances[f])
        G = np.array(gradients)
        k = G.shape[1]
        covariance[np.ix_(there, there)] = G @ fit.minimum.covariance[:k, :k] @ G.T
    observed = _observed(model, variances)
    return LatentPartition(
        model, at, pd.Series(variances, index=names), implied_variance(model), covariance,
        pd.Series(observed, index=names), ci_method,
    )  # fmt: skip


def _moments(
    model: GeneralizedLinearMixedModel | OrdinalMixedModel,
) -> tuple[Moment, Moment]:
    """Return mean and variance of an outcome as functions of its predictor."""
    family = model.family
    if isinstance(model, GeneralizedLinearMixedModel):
        own = model.fit.dispersions[:1]
        return family.mean, lambda eta: family.variance(eta, np.ones(1), own)
    scores, thresholds = model.scores, model.fit.thresholds

    def moment(power: int) -> Moment:
        rises = np.diff(scores**power)
        return lambda eta: (
            scores[-1] ** power
            - sum(
                rise * cumulative(family.link, t - eta)
                for rise, t in zip(rises, thresholds, strict=True)
            )
        )

    first, second = moment(1), moment(2)
    return first, lambda eta: second(eta) - first(eta) ** 2


def _observed(
    model: GeneralizedLinearMixedModel | OrdinalMixedModel,
    variances: Array,
) -> Array:
    """Return shares of the outcome's variance, averaged over the rows' fixed parts.

    Larger units first: each level's contribution to the variance of the expected outcome, divided
    by that of the outcome, ``Var E(y|u) + E Var(y|u)``, by Gauss-Hermite quadrature.
    """
    order = np.argsort([len(g.labels) for g in model.design.groupings], kind="stable")
    eta = np.sort(model.fit.fixed_part)
    if len(eta) > _MOST_ROWS:
        eta = np.quantile(eta, (np.arange(_MOST_ROWS) + 0.5) / _MOST_ROWS)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    mean, variance = _moments(model)

    def expected(known: float, rest: float) -> Array:
        """Return the mean of squares of ``E(y | known part)`` for each row."""
        x = eta[:, None] + np.sqrt(known) * nodes
        inner = mean(x[:, :, None] + np.sqrt(rest) * nodes) @ weights
        return np.asarray((inner**2) @ weights)

    total = float(variances.sum())
    p = mean(eta[:, None] + np.sqrt(total) * nodes)
    chance = variance(eta[:, None] + np.sqrt(total) * nodes)
    first = (p @ weights) ** 2
    whole = float(((p**2) @ weights - first + chance @ weights).mean())
    found, known, before = np.zeros(len(variances)), 0.0, first
    for f in order:
        if variances[f] == 0.0:
            continue
        known += float(variances[f])
        now = expected(known, max(total - known, 0.0))
        found[f] = float((now - before).mean()) / whole
        before = now
    return found
