"""The fitted generalized linear mixed model and its results."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, html_of, summary_of
from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.engine.search import Convergence
from alliance_stats.estimates import named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import CR2
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.generalized_profiles import likelihood_ratio_anova
from alliance_stats.multilevel.linear_functions import KINDS, anova_table
from alliance_stats.multilevel.median_ratios import median_ratio_table
from alliance_stats.multilevel.model_likelihood import ModelLikelihood
from alliance_stats.multilevel.model_words import (
    generalized_account,
    generalized_glance,
    generalized_method,
    generalized_notes,
)
from alliance_stats.multilevel.parameter_tables import (
    dispersion_table,
    effect_covariances,
    fixed_table,
    named_coefficients,
    ran_pars_table,
    ran_vals_table,
)
from alliance_stats.multilevel.predictions import (
    generalized_augmented,
    generalized_predicted,
    generalized_simulated,
    linear_predictors,
)
from alliance_stats.multilevel.refits import refit
from alliance_stats.multilevel.refitted_intervals import (
    CI_METHODS,
    CiMethod,
    check_one_inference,
    with_intervals,
)
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of

__all__ = ["GeneralizedLinearMixedModel"]

Effects = Literal["fixed", "dispersion", "ran_pars", "ran_vals"]
PredictionLevel = Literal["population", "typical", "conditional"]
TESTS = ("wald", "likelihood-ratio")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GeneralizedLinearMixedModel:
    """A fitted generalized linear mixed model, made by :func:`~alliance_stats.multilevel.glmm`.

    Attributes
    ----------
    fit
        What was read, the data as the deviance sees them, and its minimum; everything here is
        derived from it.
    """

    fit: GeneralizedFit

    __repr__ = one_line

    # -- what was fitted ---------------------------------------------------------------------

    @property
    def design(self) -> Design:
        """Arrays, names and the row ledger."""
        return self.fit.design

    @property
    def problem(self) -> GeneralizedProblem:
        """The data as the deviance sees them."""
        return self.fit.problem

    @property
    def nodes(self) -> int:
        """Quadrature nodes; 1 is the Laplace approximation."""
        return self.fit.nodes

    @property
    def weights(self) -> str | None:
        """Column of trials, if any."""
        return self.fit.weights

    @property
    def offset(self) -> str | None:
        """Column added to the linear predictor, if any."""
        return self.fit.offset

    @property
    def formula(self) -> str:
        """The formula as the caller wrote it."""
        return self.design.formula.text

    @property
    def family(self) -> Family:
        """The family with its link."""
        return self.problem.family

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
    def beta(self) -> pd.Series:
        """Coefficients on the scale of the linear predictor; aliased ones are NaN."""
        return named_coefficients(self.design, self.fit.beta)

    @property
    def log_lik(self) -> float:
        """Log-likelihood: the Laplace approximation to it, or that of the quadrature."""
        return -self.fit.deviance / 2.0

    def vcov(self) -> pd.DataFrame:
        """Return the covariance matrix of the estimated coefficients.

        The coefficients' block of the inverse of the observed information of coefficients and
        random-effects parameters together, so it accounts for the estimation of the variances. NaN
        where the information is not positive definite (the fit has then not converged).
        """
        names = [self.design.fixed.names[i] for i in self.design.fixed.kept]
        return named_covariance(self.fit.vcov, names)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return, for each grouping factor, the covariance of its random effects (as given)."""
        return effect_covariances(self.fit)

    def anova(
        self,
        *,
        kind: Literal["III", "II", "I", "marginal"] = "III",
        test: Literal["wald", "likelihood-ratio"] = "wald",
    ) -> pd.DataFrame:
        """Return joint tests, one row per term, of the kinds of :meth:`LinearMixedModel.anova`.

        The statistic is the test's chi-squared divided by ``df1``; ``df2`` is infinite. The
        likelihood ratio compares with the same model with the term's functions of the coefficients
        held at zero and everything else re-estimated.
        """
        check_choice(kind, KINDS, name="kind")
        check_choice(test, TESTS, name="test")
        if test == "wald":
            return anova_table(self.fit, kind=kind)
        return likelihood_ratio_anova(self.fit, kind=kind)

    def likelihood(self) -> ModelLikelihood:
        """Return what ``likelihood_ratio_test`` and ``compare_models`` need.

        Models of the same type of outcome are of one kind: counts may be Poisson or negative
        binomial, where the limit of theta (or phi) is a boundary like that of a variance.
        """
        design, fit = self.design, self.fit
        nodes = "" if fit.nodes == 1 else f", {fit.nodes} nodes"
        at_boundary = fit.asked.dispersion is not None and fit.asked.dispersion.limit is not None
        return ModelLikelihood(
            formula=f"{self.formula}, {fit.asked.name}",
            kind=f"mixed model of {fit.family.support} ({fit.family.link} link{nodes})",
            log_lik=self.log_lik,
            n_parameters=fit.n_parameters,
            n=self.nobs,
            columns=pd.DataFrame(design.X, index=design.index),
            outcome=(design.index.to_numpy(), design.y, fit.trials),
            rows=self.rows,
            offset=fit.known_part,
            n_variances=sum(len(grouping.names) for grouping in design.groupings) + at_boundary,
        )

    def random_effects(self) -> pd.DataFrame:
        """Return the predicted random effects: ``tidy(effects="ran_vals")``."""
        return self.tidy(effects="ran_vals")

    @renamed(method="ci_method")
    def median_ratios(
        self, *, ci_method: Literal["profile", "wald"] = "profile", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return how much units differ, as a ratio of odds, hazards or rates.

        For two units drawn at random, with everything else equal, the ratio is the median of the
        higher odds (logit), hazard (cloglog) or rate (log) over the lower one: ``exp(sqrt(2
        sigma^2) q)`` with q the upper quartile of the standard normal (Larsen & Merlo 2005,
        doi:10.1093/aje/kwi017). In a hazard model the variance is per session and is not comparable
        with that of a model of the final outcome.

        Parameters
        ----------
        ci_method
            ``"profile"``: limits of the SD's profile likelihood, for grouping factors with a single
            random effect; it takes some refits, and has an upper limit even where the SD is
            estimated as zero. ``"wald"``: symmetric on the log SD (as glmmTMB); NaN where the SD is
            zero.
        conf_level
            Coverage of the interval.

        Returns
        -------
        DataFrame
            ``group, term, estimate, conf_low, conf_high``, one row per random intercept (``term``
            names the ratio whose median it is). In a term with slopes the intercept is the unit's
            effect where the slopes' variables are zero.

        Raises
        ------
        ValueError
            If the link has no ratio (probit), or profile limits are requested with slopes.
        """
        check_choice(ci_method, ("profile", "wald"), name="ci_method")
        return median_ratio_table(self.fit, method=ci_method, conf_level=conf_level)

    # -- predictions -------------------------------------------------------------------------

    def predict(
        self,
        newdata: pd.DataFrame,
        *,
        level: PredictionLevel = "population",
        interval: Literal["confidence"] | None = None,
        conf_level: float = 0.95,
        new_units: Literal["refuse", "average"] = "refuse",
    ) -> pd.DataFrame:
        """Return the expected probability (or rate) of new rows.

        Parameters
        ----------
        newdata
            Rows with the predictors, the offset and, at the conditional level, the grouping
            columns.
        level
            ``"population"``: the mean over units, random effects integrated out, as observed in a
            population proportion. ``"typical"``: a unit whose random effects are zero, the median
            unit. ``"conditional"``: the units of the fit, at their predicted effects. With a curved
            link the first two differ: with an intercept SD of 1.5 on the logit scale a typical
            unit's 5% is the population's 10%.
        interval
            ``"confidence"`` for the interval of the expectation (delta method on the scale of the
            link, random-effects variances taken as known); at the conditional level that of the
            unit's own expectation, its effect's uncertainty included.
        conf_level
            Coverage of the interval.
        new_units
            For units that were not in the fit, at the conditional level: ``"refuse"``, or
            ``"average"`` over the distribution of such a unit's effects (those of known larger
            units are kept); its interval is then for the expectation of one such unit.

        Returns
        -------
        DataFrame
            ``estimate`` and, with an interval, ``std_error, conf_low, conf_high``: probabilities of
            one trial, or rates with their offset, indexed as `newdata`.

        Notes
        -----
        A survival curve is not the product of population hazards: the units still at risk are those
        with low hazards. Integrate each unit's whole curve instead; :meth:`linear_predictor` gives
        what that needs.
        """
        check_choice(level, ("population", "typical", "conditional"), name="level")
        if interval is not None:
            check_choice(interval, ("confidence",), name="interval")
        check_choice(new_units, ("refuse", "average"), name="new_units")
        return generalized_predicted(
            self.fit,
            newdata,
            level=level,
            interval=interval,
            conf_level=conf_level,
            new_units=new_units,
        )

    def linear_predictor(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return the linear predictor of new rows and the SD of its random part.

        Returns
        -------
        DataFrame
            ``estimate`` (``X beta + offset``) and ``sd_<group>`` for each grouping factor (SD of
            its ``z'b`` over units), on the scale of the link, indexed as `newdata`.
        """
        return linear_predictors(self.fit, newdata)

    def augment(self) -> pd.DataFrame:
        """Return the rows used with fitted values and residuals.

        Columns ``outcome``, ``fitted`` (expected outcome at the predicted random effects, in units
        of the outcome: counts where there are trials), ``linear_predictor``, ``residual`` (their
        difference) and ``residual_pearson`` (over its conditional SD); then the columns of the
        data that the formula names. Indexed as the caller's rows.
        """
        return generalized_augmented(self.fit)

    def design_matrix(self) -> pd.DataFrame:
        """Return the columns of the fixed effects by name, one row per row used."""
        return self.design.matrix()

    def residuals(self, kind: Literal["response", "pearson"] = "response") -> pd.Series:
        """Return the outcome minus its fitted value, optionally divided by its conditional SD."""
        check_choice(kind, ("response", "pearson"), name="kind")
        return self.augment()["residual" if kind == "response" else "residual_pearson"]

    def simulate(self, seed: Seed, *, n: int = 1) -> pd.DataFrame:
        """Draw new outcomes for the rows used, with new random effects each time: (rows, n)."""
        if n < 1:
            raise ValueError(f"n must be a number of outcomes to draw, at least 1; got {n}.")
        rng = generator_of(seed)
        draws = np.column_stack([generalized_simulated(self.fit, rng) for _ in range(n)])
        return pd.DataFrame(draws, index=self.design.index)

    def refit(self, y: npt.ArrayLike) -> "GeneralizedLinearMixedModel":
        """Fit the same model to another outcome of the same rows."""
        again = refit(self.fit, np.asarray(y, dtype=np.float64))
        assert isinstance(again, GeneralizedFit)
        return GeneralizedLinearMixedModel(again)

    # -- the result protocol -----------------------------------------------------------------

    def tidy(
        self,
        *,
        effects: Effects = "fixed",
        conf_level: float = 0.95,
        vcov: CR2 | None = None,
        ci_method: CiMethod = "wald",
        seed: Seed = None,
    ) -> pd.DataFrame:
        """Return one row per estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients with z tests. ``"dispersion"``: coefficients of the log
            dispersion (none where the family has none; infinite where the dispersion is at its
            limit). ``"ran_pars"``: SDs (``sd__``) and correlations (``cor__``) of random effects.
            ``"ran_vals"``: predicted random effects (modes) with their conditional SDs (given theta
            and beta, as lme4's ``condVar``).
        conf_level
            Coverage of the intervals.
        vcov
            ``CR2("therapist")`` for cluster-robust standard errors of coefficients, with
            Satterthwaite df for few clusters (Kauermann & Carroll 2001,
            doi:10.1198/016214501753382309).
        ci_method
            ``"wald"``; ``"profile"``: limits of the profile likelihood, also for SDs;
            ``"bootstrap"``: percentiles of 1,000 data sets drawn from the model. Tests stay Wald's.
        seed
            Seed of the bootstrap.

        Returns
        -------
        DataFrame
            Columns ``effect, group, level, term, estimate, std_error, statistic, df, p_value,
            conf_low, conf_high``, on the scale of the link (log odds, log hazards, log rates).

        Raises
        ------
        ValueError
            An unknown choice, or one that does not go with another.
        """
        check_choice(effects, ("fixed", "dispersion", "ran_pars", "ran_vals"), name="effects")
        check_choice(ci_method, CI_METHODS, name="ci_method")
        check_one_inference(effects, ci_method, vcov=vcov)
        if effects == "ran_vals":
            return ran_vals_table(self.fit, conf_level=conf_level)
        if effects == "fixed":
            table = fixed_table(self.fit, vcov=vcov, conf_level=conf_level)
        elif effects == "dispersion":
            table = dispersion_table(self.fit, conf_level=conf_level)
        else:
            table = ran_pars_table(self.fit)
        if ci_method == "wald" or not len(table):
            return table
        return with_intervals(self.fit, table, ci_method, conf_level=conf_level, seed=seed)

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, fit statistics, convergence."""
        return generalized_glance(self.fit)

    @property
    def method(self) -> str:
        """How the model was fitted, in a phrase."""
        return generalized_method(self.fit)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before any number: no convergence, a boundary, what is not estimable."""
        return generalized_notes(self.fit)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the model's results as data; `conf_level` as in `tidy`."""
        return generalized_account(self.fit, conf_level=conf_level)

    summary = summary_of
    _repr_html_ = html_of
