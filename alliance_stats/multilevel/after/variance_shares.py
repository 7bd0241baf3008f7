"""The share of the variance at each level."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, overload

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.design.groupings import random_columns
from alliance_stats.engine.residual_shape import Strata
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.latent_shares import LatentPartition, latent_partition
from alliance_stats.multilevel.after.reference_grid import check_at
from alliance_stats.multilevel.after.resampling import parametric_bootstrap
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.model_profiles import Profile, profile_shares
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel
from alliance_stats.multilevel.predictions import new_residual_variance
from alliance_stats.multilevel.refitted_intervals import Bootstrap
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, repeatable

__all__ = ["VariancePartition", "variance_partition"]

CiMethod = Literal["profile", "bootstrap", "wald"]
AT_WEIGHT_ONE = "at weight 1: a row of weight w has the residual variance over w"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VariancePartition:
    """Variance of each level, and its share of the sum.

    Attributes
    ----------
    variances
        Variance of the random part of each grouping factor and of the residual, in squared units
        of the outcome.
    at
        Covariate values at which random slopes were evaluated.
    intervals
        Draws or profiles of the shares, or None.
    weighted
        Whether rows have weights; the residual variance is then that of a row of weight 1.
    rows
        The fit's row ledger.
    """

    variances: pd.Series
    at: Mapping[str, object]
    intervals: Bootstrap | Profile | None
    weighted: bool
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per level.

        Returns
        -------
        DataFrame
            ``group, variance, estimate`` (share, 0 to 1, of the variance not explained by the fixed
            effects), ``conf_low, conf_high`` (NaN if none were requested) and ``note``.
        """
        check_conf_level(conf_level)
        share = self.variances / self.variances.sum()
        note = f"shares are {AT_WEIGHT_ONE}" if self.weighted else ""
        table = pd.DataFrame(
            {
                "group": list(self.variances.index),
                "variance": self.variances.to_numpy(),
                "estimate": share.to_numpy(),
                "conf_low": np.nan,
                "conf_high": np.nan,
                "note": note,
            }
        )
        if self.intervals is not None:
            found = self.intervals.tidy(conf_level=conf_level).set_index("term")
            for end in ("conf_low", "conf_high"):
                table[end] = found.loc[table["group"], end].to_numpy()
        return table

    def glance(self) -> pd.DataFrame:
        """Return one row: the total variance, how intervals were made, number of draws."""
        boot = self.intervals if isinstance(self.intervals, Bootstrap) else None
        method = "none" if self.intervals is None else "bootstrap"
        if isinstance(self.intervals, Profile):
            method = f"profile ({self.intervals.likelihood})"
        return pd.DataFrame(
            [
                {
                    "total_variance": self.variances.sum(),
                    "method": method,
                    "n_resamples": 0 if boot is None else len(boot.draws),
                }
            ]
        )

    @property
    def method(self) -> str:
        """What the shares are of, and how their intervals were made."""
        intervals = {"none": ""}.get(
            method := str(self.glance()["method"].iloc[0]), f", intervals by {method}"
        )
        return f"shares of the variance that the fixed effects leave{intervals}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading: what went wrong in a bootstrap."""
        return self.intervals.notes if isinstance(self.intervals, Bootstrap) else ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the shares as data."""
        shares = Section(
            "",
            self.tidy(conf_level=conf_level).drop(columns="note"),
            names=("group",),
            measure="share",
            kind="share",
            columns={"variance": Column("variance")},
            conf_level=conf_level,
        )
        remarks = [Phrase("At {} {}.", (name, value)) for name, value in self.at.items()]
        remarks += [Phrase(f"Shares are {AT_WEIGHT_ONE}.")] if self.weighted else []
        sizes = {"rows": self.rows.n_used}
        drawn = isinstance(self.intervals, Bootstrap)
        return Account.of(self, sizes, (shares,), remarks, drawn=drawn, sources=("goldstein2002",))

    summary = summary_of
    _repr_html_ = html_of


class _Holds(Protocol):
    """A result containing a generalized mixed model, such as a discrete hazard model."""

    @property
    def fit(self) -> GeneralizedLinearMixedModel:
        """The model."""
        ...


Partitioned = LinearMixedModel | GeneralizedLinearMixedModel | OrdinalMixedModel | _Holds


@overload
def variance_partition(
    model: LinearMixedModel,
    *,
    at: Mapping[str, object] | None = ...,
    ci_method: CiMethod | None = ...,
    n_resamples: int = ...,
    seed: Seed = ...,
    workers: int | None = ...,
) -> VariancePartition: ...


@overload
def variance_partition(
    model: GeneralizedLinearMixedModel | OrdinalMixedModel | _Holds,
    *,
    at: Mapping[str, object] | None = ...,
    ci_method: CiMethod | None = ...,
) -> LatentPartition: ...


@renamed(n="n_resamples", n_jobs="workers")
def variance_partition(
    model: Partitioned,
    *,
    at: Mapping[str, object] | None = None,
    ci_method: CiMethod | None = None,
    n_resamples: int = 1000,
    seed: Seed = None,
    workers: int | None = None,
) -> VariancePartition | LatentPartition:
    """Partition the variance not explained by the fixed effects among the levels.

    Parameters
    ----------
    model
        A fitted linear, generalized or ordinal mixed model, or discrete hazard model.
    at
        Values of the covariates with random slopes, and of the column of ``VarianceBy``: the
        variance of a level depends on them.
    ci_method
        None, ``"profile"`` (of the fit's own likelihood; for models of random intercepts) or
        ``"bootstrap"`` (parametric, percentile intervals; for any model). For a generalized model
        ``"profile"`` (one grouping factor with a random intercept) or ``"wald"`` (symmetric on the
        logit of the share).
    n_resamples, seed, workers
        Settings of the bootstrap.

    Returns
    -------
    VariancePartition
        With ``tidy(conf_level=...)``. For a model of random intercepts the shares are the
        intraclass correlations of each level (Raudenbush & Bryk 2002). With weights the residual
        variance, and so every share, is that of a row of weight 1, and the result says so.
    LatentPartition
        For a generalized model or a hazard: shares on the latent scale and on the outcome's, and
        ``median_ratios()``.

    Raises
    ------
    DataError
        If a covariate with a random slope has no value in `at`, or `at` names a column on which the
        variances do not depend.
    NotIdentifiedError
        If profiles are requested for a model with random slopes or a residual structure.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, variance_partition
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | therapist/family/person)", sessions)
    >>> variance_partition(model).tidy().iloc[:, :3]
                         group  variance  estimate
    0                therapist  0.088842  0.156198
    1         therapist:family  0.098306  0.172836
    2  therapist:family:person  0.191885  0.337363
    3                 Residual  0.189747  0.333603
    """
    at = dict(check_at(at) or {})
    held = model if isinstance(model, GeneralizedLinearMixedModel) else getattr(model, "fit", None)
    if isinstance(model, OrdinalMixedModel):
        held = model
    if isinstance(held, GeneralizedLinearMixedModel | OrdinalMixedModel):
        if not held.design.groupings:
            raise NotIdentifiedError("The model has no random effects: no level to share with.")
        _check_values(held, at, ())
        return latent_partition(held, at, ci_method)  # type: ignore[arg-type]
    require_linear(model, asked="variance_partition takes", fitted="lmm, glmm or ordinal")
    assert isinstance(model, LinearMixedModel)
    if model.problem.known:
        raise DataError(
            "With known_variance= every row has a residual variance of its own, so there is no one "
            "share of the levels. meta_analysis gives I2 by level for a typical sampling variance."
        )
    shape = model.problem.shape
    _check_values(model, at, () if shape is None else tuple(map(str, shape.columns)))
    variances = _variances(model, at)
    intervals: Bootstrap | Profile | None = None
    if ci_method is not None:
        check_choice(ci_method, ("profile", "bootstrap"), name="ci_method")
    if ci_method == "profile":
        intervals = profile_shares(model.fit)
    if ci_method == "bootstrap":
        shares = partial(_shares, at=at)
        intervals = parametric_bootstrap(
            model, shares, n_resamples=n_resamples, seed=repeatable(seed), workers=workers
        )
    weighted = bool(np.ptp(model.design.root_weights) > 0)
    return VariancePartition(variances, at, intervals, weighted, model.rows)


def _shares(model: LinearMixedModel, at: Mapping[str, object]) -> Mapping[str, float]:
    variances = _variances(model, at)
    shares = variances / variances.sum()
    return {str(group): float(share) for group, share in shares.items()}


def _variances(model: LinearMixedModel, at: Mapping[str, object]) -> pd.Series:
    point = pd.DataFrame([dict(at)]) if at else pd.DataFrame(index=[0])
    found = {}
    for grouping, covariance in zip(
        model.design.groupings, model.covariances().values(), strict=True
    ):
        z = np.concatenate([random_columns(basis, point)[0] for basis in grouping.terms])
        found[grouping.name] = float(z @ covariance.to_numpy() @ z)
    found["Residual"] = _residual(model, at)
    return pd.Series(found)


def _check_values(
    model: LinearMixedModel | GeneralizedLinearMixedModel | OrdinalMixedModel,
    at: Mapping[str, object],
    strata: tuple[str, ...],
) -> None:
    """Refuse covariates without a value, values without a covariate, and more than one value."""
    slopes = {
        name: None
        for grouping in model.design.groupings
        for basis in grouping.terms
        for name in map(str, basis.coding.variables)
    }
    for name in slopes:
        if name not in at:
            raise DataError(
                f"The variance of a level depends on '{name}', which has a random slope: say at "
                f"which value, at={{'{name}': ...}}."
            )
    depends = [*slopes, *strata]
    for name, value in at.items():
        if name not in depends:
            raise DataError(
                f"at= names '{name}', on which no variance of this model depends. "
                + (did_you_mean(name, depends) if depends else "Leave at= out.")
            )
        numeric = (
            pd.api.types.is_numeric_dtype(model.design.frame[name]) if name in slopes else False
        )
        if not np.isscalar(value) or (numeric and isinstance(value, str)):
            raise DataError(
                f"at= must give '{name}' one {'number' if numeric else 'value'}; got {value!r}."
            )


def _residual(model: LinearMixedModel, at: Mapping[str, object]) -> float:
    shape = model.problem.shape
    if shape is None or not shape.spreads:
        return model.sigma**2
    for column in shape.columns:
        if column not in at:
            raise DataError(
                f"The residual variance depends on '{column}': say for which value, "
                f"at={{'{column}': ...}}."
            )
    for spread in [spread for spread in shape.spreads if isinstance(spread, Strata)]:
        for position, column in enumerate(spread.columns):
            known = set(spread.keys.get_level_values(position))
            if at[column] not in known:
                raise DataError(
                    f"'{column}' is never {at[column]!r}. {did_you_mean(at[column], known)}"
                )
    row = pd.DataFrame({column: [at[column]] for column in shape.columns})
    return float(new_residual_variance(model.fit, row)[0])
