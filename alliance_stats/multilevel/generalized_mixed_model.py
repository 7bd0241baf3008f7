"""What one asks of a fitted generalized linear mixed model, and how it is fitted to a design."""

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.engine.generalized_search import Criterion, GeneralizedFit, minimise_jointly
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.engine.quadrature import criterion_of
from alliance_stats.engine.search import Convergence
from alliance_stats.engine.starting import glm_coefficients
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import ConvergenceWarning, DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import glmm_prediction, glmm_reports
from alliance_stats.multilevel.glmm_problem import (
    check_not_runaway,
    check_outcome,
    check_scalar,
    check_units_vary,
    make_generalized_problem,
    numbers,
)
from alliance_stats.multilevel.separation import check_not_separated
from alliance_stats.multilevel.tidy_frames import effect_covariances

__all__ = ["GeneralizedLinearMixedModel", "fit_design"]

Effects = Literal["fixed", "ran_pars", "ran_vals"]
PredictionLevel = Literal["population", "typical", "conditional"]


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class GeneralizedLinearMixedModel:
    """A fitted generalized linear mixed model.

    Made by :func:`~alliance_stats.multilevel.glmm`. What is stored is what was read (`design`), the
    arrays of the criterion (`problem`) and where its minimum lies (`fit`); everything else is
    derived.

    Attributes
    ----------
    design
        Arrays, names and the row ledger.
    problem
        The data as the deviance sees them.
    fit
        The minimum and how it was found.
    nodes
        Quadrature nodes; 1 is the Laplace approximation.
    weights, offset
        Columns of trials and of the offset, if any.
    """

    design: Design
    problem: GeneralizedProblem
    fit: GeneralizedFit
    nodes: int
    weights: str | None
    offset: str | None

    __repr__ = one_line

    # -- what was fitted ---------------------------------------------------------------------

    @property
    def formula(self) -> str:
        """The formula as the caller wrote it."""
        return self.design.formula.text

    @property
    def family(self) -> Family:
        """The family with its link."""
        return self.problem.family

    @property
    def criterion(self) -> Criterion:
        """The deviance with its slopes, as a function of covariances and coefficients."""
        return criterion_of(self.nodes)

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.design.rows

    @property
    def convergence(self) -> Convergence:
        """How the optimiser got where it stopped."""
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
        fixed = self.design.fixed
        values = np.full(len(fixed.names), np.nan)
        values[fixed.kept] = linalg.solve_triangular(fixed.R, self.fit.gamma)
        return pd.Series(values, index=list(fixed.names), name="estimate")

    @property
    def log_lik(self) -> float:
        """Log-likelihood: the Laplace approximation to it, or that of the quadrature."""
        return -self.fit.deviance / 2.0

    def vcov(self) -> pd.DataFrame:
        """Return the covariance matrix of the estimated coefficients.

        The coefficients' block of the inverse of the observed information of coefficients and
        random-effects parameters together, so it owns up to the variances being estimated. NaN
        where the information is not positive definite (the fit has then not converged).
        """
        fixed = self.design.fixed
        names = [fixed.names[i] for i in fixed.kept]
        back = linalg.inv(fixed.R)
        k = self.fit.template.n_theta
        covariance = back @ self.fit.covariance[k:, k:] @ back.T
        return pd.DataFrame(covariance, index=names, columns=names)

    def covariances(self) -> dict[str, pd.DataFrame]:
        """Return, for each grouping factor, the covariance of its random effects (as given)."""
        return effect_covariances(self.design.groupings, self.fit.Lambda, 1.0)

    def random_effects(self) -> pd.DataFrame:
        """Return the predicted random effects: ``tidy(effects="ran_vals")``."""
        return self.tidy(effects="ran_vals")

    def median_ratios(
        self, *, method: Literal["profile", "wald"] = "profile", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return how much units differ, as a ratio of odds, hazards or rates.

        Of two units drawn at random, with everything else equal, the higher odds (logit), hazard
        (cloglog) or rate (log) is in the median so many times the lower one:
        ``exp(sqrt(2 sigma^2) q)`` with q the upper quartile of the standard normal (Larsen & Merlo
        2005, doi:10.1093/aje/kwi017). In a hazard model the variance is per session: it is not on
        one footing with that of a model of the final outcome.

        Parameters
        ----------
        method
            ``"profile"``: limits of the SD's profile likelihood, for grouping factors with a single
            random effect; it takes some refits, and has an upper limit where the SD is estimated as
            zero too. ``"wald"``: symmetric on the log SD (as glmmTMB); NaN where the SD is zero.
        conf_level
            Coverage of the interval.

        Returns
        -------
        DataFrame
            ``group, term, estimate, conf_low, conf_high``, a row a random intercept (``term`` says
            of which ratio it is the median). In a term with slopes the intercept is the unit's
            effect where the slopes' variables are zero.

        Raises
        ------
        ValueError
            If the link has no ratio (probit), or profile limits are asked for with slopes.
        """
        check_choice(method, ("profile", "wald"), name="method")
        return glmm_reports.median_ratio_table(self, method=method, conf_level=conf_level)

    # -- predictions -------------------------------------------------------------------------

    def predict(
        self,
        newdata: pd.DataFrame,
        *,
        level: PredictionLevel = "population",
        interval: Literal["confidence"] | None = None,
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return the expected probability (or rate) of new rows.

        Parameters
        ----------
        newdata
            Rows with the predictors and the offset; at the conditional level with the grouping
            columns too.
        level
            ``"population"``: the mean over units, random effects integrated out; what is seen in
            the share of a population. ``"typical"``: a unit whose random effects are zero, the
            median unit. ``"conditional"``: the units of the fit, at their predicted effects; an
            unknown unit is refused. With a curved link the first two differ: with an intercept SD
            of 1.5 on the logit scale a typical unit's 5% is the population's 10%.
        interval
            ``"confidence"`` for the interval of the expectation (delta method on the scale of the
            link, random-effects variances taken as known); not at the conditional level.
        conf_level
            Coverage of the interval.

        Returns
        -------
        DataFrame
            ``estimate`` and, with an interval, ``std_error, conf_low, conf_high``: probabilities of
            one trial, or rates with their offset, indexed as `newdata`.

        Notes
        -----
        A survival curve is not the product of population hazards: the units still at risk are
        those of low hazard. Integrate each unit's whole curve instead; :meth:`linear_predictor`
        gives what that needs.
        """
        check_choice(level, ("population", "typical", "conditional"), name="level")
        return glmm_prediction.predicted(
            self, newdata, level=level, interval=interval, conf_level=conf_level
        )

    def linear_predictor(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return the linear predictor of new rows and the SD of what is random in it.

        Returns
        -------
        DataFrame
            ``estimate`` (``X beta + offset``) and ``sd_<group>`` for each grouping factor (SD of
            its ``z'b`` over units), on the scale of the link, indexed as `newdata`.
        """
        return glmm_prediction.linear_predictors(self, newdata)

    def augment(self) -> pd.DataFrame:
        """Return the rows used with fitted values and residuals.

        Columns ``outcome``, ``fitted`` (expected outcome at the predicted random effects, in units
        of the outcome: counts where there are trials), ``linear_predictor``, ``residual`` (their
        difference) and ``residual_pearson`` (over its conditional SD). Indexed as the caller's
        rows.
        """
        return glmm_prediction.augmented(self)

    def simulate(self, seed: int | np.random.Generator, *, n: int = 1) -> pd.DataFrame:
        """Draw new outcomes for the rows used, new random effects each time: (rows, n)."""
        if n < 1:
            raise ValueError(f"n must be a number of outcomes to draw, at least 1; got {n}.")
        rng = np.random.default_rng(seed)
        draws = np.column_stack([glmm_prediction.simulated(self, rng) for _ in range(n)])
        return pd.DataFrame(draws, index=self.design.index)

    def refit(self, y: npt.ArrayLike) -> "GeneralizedLinearMixedModel":
        """Fit the same model to another outcome of the same rows."""
        values = np.asarray(y, dtype=np.float64)
        if values.shape != self.design.y.shape:
            raise DataError(
                f"The new outcome has shape {values.shape}; the model used {self.nobs} rows."
            )
        trials = np.empty(self.nobs)
        trials[self.problem.layout.order] = self.problem.outcome.trials
        return fit_design(
            replace(self.design, y=values),
            self.family,
            trials,
            nodes=self.nodes,
            weights=self.weights,
            offset=self.offset,
        )

    # -- the result protocol -----------------------------------------------------------------

    def tidy(self, *, effects: Effects = "fixed", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row an estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients with z tests. ``"ran_pars"``: SDs (``sd__``) and correlations
            (``cor__``) of random effects. ``"ran_vals"``: predicted random effects (modes) with
            their conditional SDs (given theta and beta, as lme4's ``condVar``).
        conf_level
            Coverage of the Wald intervals.

        Returns
        -------
        DataFrame
            Columns ``effect, group, level, term, estimate, std_error, statistic, df, p_value,
            conf_low, conf_high``, on the scale of the link (log odds, log hazards, log rates).
        """
        check_choice(effects, ("fixed", "ran_pars", "ran_vals"), name="effects")
        if effects == "fixed":
            return glmm_reports.fixed_table(self, conf_level=conf_level)
        if effects == "ran_pars":
            return glmm_reports.ran_pars_table(self)
        return glmm_reports.ran_vals_table(self, conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, fit statistics, convergence."""
        return glmm_reports.glance_table(self)

    def summary(self) -> str:
        """Return the fit in words and numbers; a boundary or a failed convergence comes first."""
        return glmm_reports.summary_text(self)


def fit_design(
    design: Design,
    family: Family,
    trials: Array,
    *,
    nodes: int,
    weights: str | None,
    offset: str | None,
) -> GeneralizedLinearMixedModel:
    """Check what was observed, fit, and look at what came out."""
    check_outcome(design, family, trials, weights)
    check_units_vary(design, family, trials)
    if nodes != 1:
        check_scalar(design, nodes)
    known = np.zeros(len(trials)) if offset is None else numbers(design.frame, offset)
    problem = make_generalized_problem(design, family, trials, known)
    with one_blas_thread():
        gamma, eta = glm_coefficients(problem)
        check_not_separated(design, problem, eta)
        fit = minimise_jointly(problem, criterion_of(nodes), gamma)
    check_not_runaway(design, fit)
    if not fit.convergence.converged:
        warnings.warn(
            f"The fit of {design.formula.text!r} has not converged "
            f"({fit.convergence.message}); do not use its numbers.",
            ConvergenceWarning,
            stacklevel=3,
        )
    return GeneralizedLinearMixedModel(design, problem, fit, nodes, weights, offset)
