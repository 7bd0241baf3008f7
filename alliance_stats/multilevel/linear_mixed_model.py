"""The fitted linear mixed model and its results."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, html_of, summary_of
from alliance_stats.arguments import kind_of
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.design.design import Design
from alliance_stats.engine.criterion import Problem
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import DataError
from alliance_stats.estimates import named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import CR2, cooks_distances
from alliance_stats.multilevel.linear_fit import LinearFit, refitted
from alliance_stats.multilevel.linear_functions import KINDS, DfMethod, anova_table
from alliance_stats.multilevel.model_words import (
    DF_WORDS,
    linear_account,
    linear_glance,
    linear_method,
    linear_notes,
)
from alliance_stats.multilevel.parameter_tables import (
    effect_covariances,
    fixed_table,
    named_coefficients,
    ran_pars_table,
    ran_vals_table,
)
from alliance_stats.multilevel.predictions import augmented, predicted, simulated
from alliance_stats.multilevel.refitted_intervals import check_one_inference, with_intervals
from alliance_stats.seeds import Seed, generator_of

__all__ = ["LinearMixedModel", "require_linear"]

Effects = Literal["fixed", "ran_pars", "ran_vals"]
CiMethod = Literal["wald", "profile", "bootstrap"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LinearMixedModel:
    """A fitted linear mixed model, made by :func:`~alliance_stats.multilevel.lmm`.

    Attributes
    ----------
    fit
        What was read, the criterion and its minimum; everything here is derived from it.
    """

    fit: LinearFit

    __repr__ = one_line

    # -- what was fitted ---------------------------------------------------------------------

    @property
    def design(self) -> Design:
        """Arrays, names and the row ledger."""
        return self.fit.design

    @property
    def problem(self) -> Problem:
        """The deviance as a function of theta."""
        return self.fit.problem

    @property
    def formula(self) -> str:
        """The formula as the caller wrote it."""
        return self.design.formula.text

    @property
    def reml(self) -> bool:
        """Whether variances were estimated by restricted maximum likelihood."""
        return self.problem.reml

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.design.rows

    @property
    def convergence(self) -> Convergence:
        """How the optimiser ended."""
        return self.fit.convergence

    @property
    def singular(self) -> bool:
        """Whether a variance or a correlation sits on its boundary."""
        return self.fit.singular

    # -- estimates ---------------------------------------------------------------------------

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.problem.n

    @property
    def sigma(self) -> float:
        """Residual SD, in units of the outcome (1 where the residual variances are known)."""
        return self.fit.sigma

    @property
    def beta(self) -> pd.Series:
        """Coefficients; aliased ones are NaN."""
        return named_coefficients(self.design, self.fit.beta)

    @property
    def log_lik(self) -> float:
        """Log-likelihood (restricted where `reml` is true)."""
        return -self.fit.deviance / 2.0

    def vcov(self) -> pd.DataFrame:
        """Return the covariance matrix of the estimated coefficients, ``sigma^2 (X'V^-1X)^-1``."""
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        return named_covariance(self.fit.vcov, names)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return, for each grouping factor, the covariance of its random effects (as given)."""
        return effect_covariances(self.fit)

    def anova(
        self,
        *,
        kind: Literal["III", "II", "I", "marginal"] = "III",
        df_method: DfMethod = "satterthwaite",
    ) -> pd.DataFrame:
        """Return joint F tests, one row per term.

        Parameters
        ----------
        kind
            ``"III"`` (default, as lmerTest): each term given all others, cell means weighted
            equally; does not depend on the coding of factors. ``"II"``: each term given all that do
            not contain it. ``"I"``: each term given those before it (as ``anova(lm)`` in R).
            ``"marginal"``: all coefficients of the term are zero as they were coded; with treatment
            coding and an interaction, a main effect is then the effect at the reference.
        df_method
            As in :meth:`tidy`.

        Returns
        -------
        DataFrame
            ``term, statistic`` (F), ``df1, df2, p_value, method`` (which type, which df). A term
            that is not estimable at all is left out.
        """
        check_choice(kind, KINDS, name="kind")
        return anova_table(self.fit, kind=kind, df_method=df_method)

    def predict(
        self,
        newdata: pd.DataFrame,
        *,
        level: Literal["population", "conditional"] = "population",
        interval: Literal["confidence", "prediction"] | None = None,
        new_units: Literal["refuse", "average"] = "refuse",
        df_method: DfMethod = "satterthwaite",
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return the expected outcome of new rows.

        Parameters
        ----------
        newdata
            Rows with the predictors and, at the conditional level, the grouping columns.
        level
            ``"population"``: over units (``X beta``). ``"conditional"``: for the units of the fit
            (``X beta + Z b``).
        interval
            ``"confidence"`` for the expected outcome, ``"prediction"`` for a new observation (of a
            new unit at the population level; with residual weight 1 or, with known variances, the
            true effect without sampling error; normal quantiles, theta taken as known). At the
            conditional level both take theta as known.
        new_units
            How to treat, at the conditional level, a unit that was not in the fit: ``"refuse"``, or
            ``"average"``: its own effects are set to zero (those of known higher-level units to
            their predictions), and intervals include their variance.
        df_method
            Method for the population-level confidence interval.
        conf_level
            Coverage of the interval.

        Returns
        -------
        DataFrame
            ``estimate`` and, with an interval, ``std_error, df, conf_low, conf_high``, in units
            of the outcome, indexed as `newdata`.
        """
        check_choice(level, ("population", "conditional"), name="level")
        check_choice(new_units, ("refuse", "average"), name="new_units")
        if interval is not None:
            check_choice(interval, ("confidence", "prediction"), name="interval")
        return predicted(
            self.fit,
            newdata,
            level=level,
            interval=interval,
            df_method=df_method,
            conf_level=conf_level,
            new_units=new_units,
        )

    def augment(self) -> pd.DataFrame:
        """Return the rows used with fitted values and residuals, in units of the outcome.

        Columns ``outcome, fitted, fitted_marginal, residual, residual_marginal,
        residual_standardised``: fitted with and without the predicted random effects; the
        standardised residual is the conditional one over its SD; then the columns of the data that
        the formula names. Indexed as the caller's rows.
        """
        return augmented(self.fit)

    def design_matrix(self) -> pd.DataFrame:
        """Return the columns of the fixed effects by name, one row per row used."""
        return self.design.matrix()

    def residuals(
        self, kind: Literal["conditional", "marginal", "standardised"] = "conditional"
    ) -> pd.Series:
        """Return the outcome minus its fitted value, with or without the random effects.

        ``"standardised"``: the conditional ones over their SDs.
        """
        check_choice(kind, ("conditional", "marginal", "standardised"), name="kind")
        column = {"conditional": "residual"}.get(kind, f"residual_{kind}")
        return self.augment()[column]

    def cooks_distance(self, cluster: str) -> pd.DataFrame:
        """Return how far the coefficients move when a cluster is left out, with theta held fixed.

        Parameters
        ----------
        cluster
            A grouping factor of the model.

        Returns
        -------
        DataFrame
            ``group, level, n, cooks_distance``, one row per cluster. The distance is
            ``d' V(beta)^-1 d / p`` for the change ``d`` (Demidenko & Stukel 2005,
            doi:10.1002/sim.1974).
        """
        return cooks_distances(self.fit, cluster)

    def simulate(self, seed: Seed, *, n: int = 1) -> pd.DataFrame:
        """Draw new outcomes for the rows used, with new random effects each time: (rows, n)."""
        if n < 1:
            raise ValueError(f"n must be a number of outcomes to draw, at least 1; got {n}.")
        rng = generator_of(seed)
        draws = np.column_stack([simulated(self.fit, rng) for _ in range(n)])
        return pd.DataFrame(draws, index=self.design.index)

    def refit(self, y: npt.ArrayLike) -> "LinearMixedModel":
        """Fit the same model to another outcome of the same rows, from the present theta.

        A Series must have the index of the rows used (as :meth:`simulate` gives it); an array is in
        their order.
        """
        if isinstance(y, pd.Series) and not y.index.equals(self.design.index):
            raise DataError(
                "The new outcome's index is not that of the rows used, in their order; align it "
                "first, or give an array."
            )
        return LinearMixedModel(refitted(self.fit, np.asarray(y, dtype=np.float64)))

    def random_effects(self) -> pd.DataFrame:
        """Return the predicted random effects: ``tidy(effects="ran_vals")``."""
        return self.tidy(effects="ran_vals")

    # -- the result protocol -----------------------------------------------------------------

    def tidy(
        self,
        *,
        effects: Effects = "fixed",
        df_method: DfMethod = "satterthwaite",
        vcov: CR2 | None = None,
        ci_method: CiMethod = "wald",
        conf_level: float = 0.95,
        seed: Seed = None,
    ) -> pd.DataFrame:
        """Return one row per estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients with t tests. ``"ran_pars"``: SDs (``sd__``) and correlations
            (``cor__``) of random effects, and the residual SD. ``"ran_vals"``: predicted random
            effects with their conditional SDs (given theta and beta, as lme4's ``condVar``).
        df_method
            ``"satterthwaite"`` (as lmerTest), ``"kenward-roger"`` (as pbkrtest; it corrects the
            standard errors too, and needs a REML fit), or ``"normal"`` (infinite df). For a
            boundary (singular) fit Satterthwaite's method is that of the model without the terms at
            zero, while Kenward and Roger's still counts them as estimated: with few units far fewer
            df, and the safer test (see the page on lmm).
        vcov
            ``CR2("therapist")`` for cluster-robust standard errors with their own Satterthwaite
            df (Pustejovsky & Tipton 2018) in place of `df_method`; for ``effects="fixed"``.
        ci_method
            ``"wald"``; ``"profile"`` (see :func:`~alliance_stats.multilevel.profile`; ML for
            coefficients, the fit's own likelihood for SDs and correlations); ``"bootstrap"``
            (parametric, percentile, 1,000 draws from `seed`). SDs and correlations have no Wald
            interval, predicted random effects no other. The limits replace the Wald limits and the
            test stays Satterthwaite's, so that neither goes with Kenward-Roger or CR2, whose
            standard errors are not comparable: that is refused.
        conf_level
            Coverage of the intervals.
        seed
            Seed of the bootstrap.

        Returns
        -------
        DataFrame
            Columns ``effect, group, level, term, estimate, std_error, statistic, df, p_value,
            conf_low, conf_high``, in units of the outcome per unit of the predictor.

        Raises
        ------
        ValueError
            An unknown choice, or one that does not go with another (see `ci_method`).
        """
        check_choice(effects, ("fixed", "ran_pars", "ran_vals"), name="effects")
        check_choice(ci_method, ("wald", "profile", "bootstrap"), name="ci_method")
        check_conf_level(conf_level)
        check_one_inference(effects, ci_method, vcov=vcov, df_method=df_method)
        if effects == "ran_vals":
            return ran_vals_table(self.fit, conf_level=conf_level)
        table = (
            fixed_table(self.fit, df_method=df_method, vcov=vcov, conf_level=conf_level)
            if effects == "fixed"
            else ran_pars_table(self.fit)
        )
        if ci_method == "wald":
            return table
        return with_intervals(self.fit, table, ci_method, conf_level=conf_level, seed=seed)

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, fit statistics, convergence."""
        return linear_glance(self.fit)

    @property
    def method(self) -> str:
        """How the model was fitted, in a phrase."""
        return linear_method(self.fit)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before any number: no convergence, a boundary, what is not estimable."""
        return linear_notes(self.fit, {})

    def notes_in(self, words: Mapping[str, str]) -> tuple[str, ...]:
        """Return the notes with other names for coefficients and random effects."""
        return linear_notes(self.fit, words)

    def account(
        self, *, df_method: DfMethod = "satterthwaite", conf_level: float = 0.95
    ) -> Account:
        """Return the model's results as data; `df_method` and `conf_level` as in `tidy`."""
        check_choice(df_method, tuple(DF_WORDS), name="df_method")
        return linear_account(self.fit, df_method=df_method, conf_level=conf_level)

    summary = summary_of
    _repr_html_ = html_of


def require_linear(model: object, *, asked: str, fitted: str = "lmm") -> None:
    """Refuse anything but a linear mixed model.

    The message begins with what was `asked` and names the function that fits a suitable model.
    """
    if isinstance(model, LinearMixedModel):
        return
    several = isinstance(model, list | tuple)
    raise DataError(
        f"{asked} a model fitted by {fitted}; got {kind_of(model)}."
        + (" Give the models one by one, or as *models." if several else "")
    )
