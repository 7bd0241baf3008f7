"""Methods that refit a model many times: bootstrap, profiles, and without each cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import estimate_columns, one_line
from alliance_stats.formatting import format_count
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import cluster_codes
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.generalized_profiles import profile_generalized
from alliance_stats.multilevel.linear_functions import inference_on
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.model_profiles import Profile, profile_fit
from alliance_stats.multilevel.ordinal_fit import OrdinalFit
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel
from alliance_stats.multilevel.parameter_tables import ran_pars_table
from alliance_stats.multilevel.refits import Fit, refit_without
from alliance_stats.multilevel.refitted_intervals import Bootstrap, all_parameters, bootstrap_fit
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["LeaveOneOut", "leave_one_out", "parametric_bootstrap", "profile"]

Model = LinearMixedModel | GeneralizedLinearMixedModel | OrdinalMixedModel
Statistic = Callable[[Any], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _OfModel:
    """A statistic of the model as a function of its fit; a class, so that it can be pickled."""

    statistic: Statistic
    kind: type[Any]

    def __call__(self, fit: Fit) -> Mapping[str, float]:
        return self.statistic(self.kind(fit))


def _require_model(model: object, *, asked: str) -> None:
    if not isinstance(model, GeneralizedLinearMixedModel | OrdinalMixedModel):
        require_linear(model, asked=asked, fitted="lmm, glmm or ordinal")


@renamed(n="n_resamples", n_jobs="workers")
def parametric_bootstrap(
    model: Model,
    statistic: Statistic | None = None,
    *,
    n_resamples: int = 1000,
    seed: Seed,
    workers: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Simulate from the fit, refit, and record a statistic each time.

    Parameters
    ----------
    model
        A fit of ``lmm``, ``glmm`` or ``ordinal`` to simulate from; new random effects are drawn
        each time.
    statistic
        Function from a fitted model to named numbers; by default all coefficients, SDs and
        correlations.
    n_resamples
        Number of simulated data sets.
    seed
        Every data set has its own random stream (children of this seed), so the draws do not depend
        on the number of workers or on the joblib backend. Draws are made row by row, so the same
        rows in another order give other draws.
    workers
        Number of workers; None uses the setting of ``joblib.parallel_config``, one by default.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Bootstrap
        Draws, with ``tidy(conf_level=...)`` for percentile intervals.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, parametric_bootstrap
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | family/person)", sessions)
    >>> table = parametric_bootstrap(model, n_resamples=20, seed=1).tidy()
    >>> table[["term", "estimate"]].round(2).head(2)
              term  estimate
    0  (Intercept)      4.35
    1      session      0.03
    """
    _require_model(model, asked="parametric_bootstrap simulates from")
    measure = all_parameters if statistic is None else _OfModel(statistic, type(model))
    return bootstrap_fit(
        model.fit, measure, n=n_resamples, seed=seed, workers=workers, progress=progress
    )


def profile(
    model: Model,
    *,
    terms: Sequence[str] | None = None,
    likelihood: str | None = None,
) -> Profile:
    """Profile the deviance of SDs, correlations and coefficients.

    Parameters
    ----------
    model
        A fitted ``lmm`` without residual structure, ``glmm`` or ``ordinal``.
    terms
        Names of parameters: coefficients as in ``tidy()``; random parameters as
        ``"group|sd__(Intercept)"`` and ``"group|cor__(Intercept).session"``, the residual SD as
        ``"Residual|sd__Observation"``; for other families the coefficients of the log dispersion as
        ``"dispersion|(Intercept)"``, for ordinal models the thresholds as ``"2|3"``. By default all
        that can be profiled.
    likelihood
        ``"ML"`` or ``"REML"``. By default the fit's own for random parameters; coefficients have an
        ML profile only (the restricted likelihood is free of them), and a REML fit is refitted by
        ML for them. (lme4's ``profile`` of a REML fit is the ML profile.) For ``glmm`` and
        ``ordinal`` it is the likelihood that was maximised, by Laplace approximation or quadrature.

    Returns
    -------
    Profile
        With ``tidy(conf_level=...)``.

    Raises
    ------
    DataError
        An unknown parameter; a coefficient under REML.
    NotIdentifiedError
        A linear model with a residual structure, known variances, or a term of three or more
        correlated effects; a dispersion at its limit: ask for a parametric bootstrap. A correlation
        with an SD of zero. A profile that finds a better fit.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, profile
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | family/person)", sessions)
    >>> profile(model).tidy()[["term", "estimate", "conf_low", "conf_high"]].round(2)
                                term  estimate  conf_low  conf_high
    0         family|sd__(Intercept)      0.44      0.38       0.50
    1  family:person|sd__(Intercept)      0.44      0.40       0.47
    2       Residual|sd__Observation      0.44      0.43       0.44
    """
    _require_model(model, asked="profile takes")
    if likelihood is not None:
        check_choice(likelihood, ("ML", "REML"), name="likelihood")
    if isinstance(terms, str):
        raise TypeError(f"terms takes a list of names, as [{terms!r}]; got {terms!r}.")
    if isinstance(model, LinearMixedModel):
        return profile_fit(model.fit, terms=terms, likelihood=likelihood)
    if likelihood == "REML":
        raise DataError("There is no restricted likelihood of a generalized model: leave it out.")
    return profile_generalized(model.fit, terms=terms)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LeaveOneOut:
    """A model refitted without each cluster in turn, made by :func:`leave_one_out`.

    Attributes
    ----------
    cluster
        What was left out.
    whole
        The model fitted to all rows: ``term, estimate, std_error, df``.
    fixed
        ``level, n, term, estimate, std_error, df`` of each refit.
    random
        ``level, n, group, term, estimate`` of each refit.
    formula
        The model's formula.
    rows
        The ledger of the fit's rows.
    """

    cluster: str
    whole: pd.DataFrame
    fixed: pd.DataFrame
    random: pd.DataFrame
    formula: str
    rows: RowLedger

    __repr__ = one_line

    def tidy(
        self, *, effects: Literal["fixed", "ran_pars"] = "fixed", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return one row per cluster and estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients. ``"ran_pars"``: SDs and correlations of the random effects,
            and the residual SD.
        conf_level
            Coverage of the intervals of coefficients.

        Returns
        -------
        DataFrame
            ``level`` (the cluster left out), ``n`` (its rows), ``term, estimate, std_error,
            statistic, df, p_value, conf_low, conf_high`` (Satterthwaite) of the model without it,
            and ``change`` (that estimate minus the whole model's, in the whole model's standard
            errors); for random effects ``level, n, group, term, estimate``. NaN where the remaining
            rows do not determine the coefficients.
        """
        check_choice(effects, ("fixed", "ran_pars"), name="effects")
        check_conf_level(conf_level)
        if effects == "ran_pars":
            return self.random.copy()
        own = self.fixed
        estimates = own["estimate"].to_numpy()
        table = estimate_columns(
            estimates, own["std_error"].to_numpy(), df=own["df"].to_numpy(), conf_level=conf_level
        )
        whole = self.whole.set_index("term").loc[own["term"]]
        table["change"] = (estimates - whole["estimate"].to_numpy()) / whole["std_error"].to_numpy()
        return pd.concat([own[["level", "n", "term"]], table], axis=1)

    def glance(self) -> pd.DataFrame:
        """Return one row per coefficient: range of estimates and most influential cluster."""
        found = []
        for term, own in self.tidy().groupby("term", sort=False):
            known = own.dropna(subset="change")
            most = known.loc[known["change"].abs().idxmax()] if len(known) else None
            found.append(
                {
                    "term": term,
                    "lowest": own["estimate"].min(),
                    "highest": own["estimate"].max(),
                    "most_by": None if most is None else most["level"],
                    "change": np.nan if most is None else most["change"],
                }
            )
        return pd.DataFrame(found)

    @property
    def n_clusters(self) -> int:
        """How many clusters were left out, one at a time."""
        return int(self.fixed["level"].nunique())

    @property
    def method(self) -> str:
        """What was done."""
        return (
            f"model refitted {format_count(self.n_clusters)} times, each time without one "
            f"{self.cluster} ({self.formula})"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Clusters on which a coefficient depends entirely."""
        lost = self.fixed.loc[self.fixed["estimate"].isna(), "level"].drop_duplicates()
        if not len(lost):
            return ()
        return (
            f"Without {', '.join(map(str, lost))} the rest does not determine the coefficients.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the range of each coefficient and its most influential cluster."""
        found = Section(
            "Coefficients without one",
            self.glance().rename(columns={"most_by": "changed most without"}),
            names=("term", "changed most without"),
            columns={
                "lowest": Column("lowest"),
                "highest": Column("highest"),
                "change": Column("change in SE"),
            },
            measure="",
        )
        sizes = {"rows": self.rows.n_used, self.cluster: self.n_clusters}
        return Account.of(self, sizes, (found,))

    summary = summary_of
    _repr_html_ = html_of


def leave_one_out(
    model: LinearMixedModel | GeneralizedLinearMixedModel | OrdinalMixedModel, cluster: str
) -> LeaveOneOut:
    """Refit a model with each cluster left out in turn: variances and coefficients.

    Parameters
    ----------
    model
        A fitted ``lmm``, ``glmm`` or ``ordinal``.
    cluster
        A grouping factor of the model. Other random effects may lie within it or cross it: all rows
        of a unit are left out, whatever other units they belong to.

    Returns
    -------
    LeaveOneOut
        With ``tidy()`` (one row per cluster and coefficient), ``tidy(effects="ran_pars")`` and
        ``glance()`` (the most influential cluster); drawn by ``figures.leave_one_out_figure``.

    Raises
    ------
    DataError
        A cluster that is not a grouping factor.
    NotIdentifiedError
        Fewer than three clusters.

    Examples
    --------
    >>> from alliance_stats import example_study, leave_one_out, lmm
    >>> early = example_study().sessions.query("session <= 3")
    >>> model = lmm("alliance ~ experience + (1 | therapist/person)", early)
    >>> leave_one_out(model, "therapist").glance()[["term", "lowest", "highest"]].round(2)
              term  lowest  highest
    0  (Intercept)    4.21     4.30
    1   experience    0.01     0.01
    """
    if not isinstance(model, GeneralizedLinearMixedModel | OrdinalMixedModel):
        require_linear(model, asked="leave_one_out refits", fitted="lmm, glmm or ordinal")
    fit = model.fit
    codes = cluster_codes(fit, cluster)
    found = [g for g in fit.design.groupings if g.name == str(cluster)]
    if not found:
        raise DataError(f"'{cluster}' has no random effect: leave_one_out leaves out such units.")
    labels = found[0].labels
    if len(labels) < 3:
        raise NotIdentifiedError(f"leave_one_out needs three units of '{cluster}' or more.")
    fixed, random = [], []
    for unit, label in enumerate(labels):
        kept = codes != unit
        who = {"level": label, "n": int((~kept).sum())}
        try:
            left = refit_without(fit, kept)
        except (np.linalg.LinAlgError, NotIdentifiedError):
            # the unit alone determines a coefficient, or alone keeps it finite
            fixed.append(_coefficients(fit, None).assign(**who))
            continue
        fixed.append(_coefficients(fit, left).assign(**who))
        random.append(_variances(left).assign(**who))
    columns = ["level", "n", "group", "term", "estimate"]
    return LeaveOneOut(
        cluster,
        _coefficients(fit, fit),
        pd.concat(fixed, ignore_index=True),
        pd.concat(random, ignore_index=True)[columns] if random else pd.DataFrame(columns=columns),
        model.formula,
        model.rows,
    )


def _coefficients(fit: Fit, left: Fit | None) -> pd.DataFrame:
    """Return a refit's coefficients under the fit's names; NaN if there is no refit."""
    names = [fit.design.fixed.names[i] for i in fit.design.fixed.kept]
    if left is None:
        values = {c: np.full(len(names), np.nan) for c in ("estimate", "std_error", "df")}
    else:
        values = {
            "estimate": left.beta,
            "std_error": np.sqrt(np.diag(left.vcov)),
            "df": inference_on(left).df(np.eye(len(names))),
        }
    table = pd.DataFrame({"term": names, **values})
    # thresholds take the place of an intercept, and of effects that differ between them
    own = fit.located[1:] if isinstance(fit, OrdinalFit) else slice(None)
    return table.iloc[own].reset_index(drop=True)


def _variances(left: Fit) -> pd.DataFrame:
    table = ran_pars_table(left)
    stratum = [f"[{level}]" if level is not None else "" for level in table["level"]]
    return table[["group", "estimate"]].assign(term=table["term"] + stratum)
