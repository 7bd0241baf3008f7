"""Summaries of a fitted Cox model: ratios, tests, baseline hazard, survival, residuals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_frame
from alliance_stats.estimates import Array, Coefficients, named_covariance, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import ModelLikelihood
from alliance_stats.survival.cox.baseline_hazard import baseline_rows, survival_rows
from alliance_stats.survival.cox.cluster_errors import ClusterErrors, few_cluster_notes
from alliance_stats.survival.cox.cox_design import CoxDesign, predicted_ratios
from alliance_stats.survival.cox.cox_fit import CoxFit
from alliance_stats.survival.cox.frailty import FrailtyFit, few_groups_warning
from alliance_stats.survival.cox.nested_frailty import NestedFrailty
from alliance_stats.survival.cox.partial_likelihood import event_residuals, score_residuals
from alliance_stats.survival.cox.risk_sets import RiskSets, refuse_weights
from alliance_stats.survival.cox.term_tests import (
    OVER_CLUSTERS,
    CoxTerms,
    containing,
    reduced_terms,
    refuse_test,
    robust_wald,
    tested_terms,
)
from alliance_stats.survival.rows.time_at_risk import Intervals, few_events_warning

__all__ = ["CoxModel"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CoxModel:
    """A fitted Cox model.

    Attributes
    ----------
    design, intervals, sets
        Covariates, checked rows and risk sets.
    fit
        The maximum for standardised covariates.
    beta, covariance
        (p,) log hazard ratios and their (p, p) covariance: robust where clusters were given.
    model_covariance
        (p, p) the covariance under the model (the inverse information).
    ties
        ``"efron"`` or ``"breslow"``.
    frailty
        The frailty's fit; None without.
    errors
        The covariance over clusters, for standardised covariates; None without.
    """

    design: CoxDesign
    intervals: Intervals
    sets: RiskSets
    fit: CoxFit
    beta: Array
    covariance: Array
    model_covariance: Array
    ties: str
    frailty: FrailtyFit | NestedFrailty | None
    errors: ClusterErrors | None

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The row ledger."""
        return self.intervals.rows

    @property
    def X(self) -> Array:
        """Standardised covariates (p, r) in the order of the risk sets."""
        return self.design.X.take(self.sets.order, axis=1)

    @property
    def n_clusters(self) -> int | None:
        """Clusters behind the standard errors; None where these are the model's."""
        robust = self.intervals.cluster is not None and self.frailty is None
        return self.intervals.n_clusters if robust else None

    @property
    def weighted(self) -> bool:
        """Whether rows had weights."""
        return self.sets.case_weight is not None

    @property
    def _n_spreads(self) -> int:
        return 0 if self.frailty is None else self.frailty.n_parameters

    @property
    def _case_weight(self) -> Array:
        given = self.sets.case_weight
        return np.ones(len(self.sets.order)) if given is None else given

    @property
    def _standardised(self) -> Array:
        """The covariance of the coefficients of standardised covariates."""
        return self.covariance * np.outer(self.design.scale, self.design.scale)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the log hazard ratios, labelled by term."""
        return named_covariance(self.covariance, self.design.terms)

    def tidy(self, *, effects: str = "fixed", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: log hazard ratios, with normal-theory tests and intervals.
            ``"ran_pars"``: the frailty's spread, with its profile interval.
            ``"ran_vals"``: each group's log frailty, with limits that take the spread and the
            coefficients as known.
        conf_level
            Coverage of the intervals.

        Returns
        -------
        DataFrame
            fixed: ``effect, term, estimate, std_error, statistic, df, p_value, conf_low,
            conf_high``; others: ``effect, group, (level,) term, estimate, ...``.
        """
        check_choice(effects, ("fixed", "ran_pars", "ran_vals"), name="effects")
        if effects != "fixed":
            if self.frailty is None:
                raise ValueError(f"effects={effects!r} needs a model with frailty=.")
            if effects == "ran_pars":
                return self.frailty.tidy_spread(conf_level=conf_level)
            return self.frailty.tidy_groups(conf_level=conf_level)
        found = self._coefficients.table(conf_level=conf_level)
        found.insert(0, "effect", "fixed")
        return found

    @property
    def _coefficients(self) -> Coefficients:
        df = np.inf if self.errors is None else self.errors.df
        return Coefficients(self.design.terms, self.beta, self.covariance, df)

    def hazard_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, conf_low, conf_high, p_value`` on the hazard-ratio scale."""
        found = self._coefficients.ratios(conf_level=conf_level)
        return found[["term", "estimate", "conf_low", "conf_high", "p_value"]]

    def anova(self, *, test: str = "wald") -> pd.DataFrame:
        """Test each term given all terms that do not contain it (type II).

        Parameters
        ----------
        test
            ``"wald"``, ``"likelihood-ratio"`` or ``"score"``; with clusters, Wald and score tests
            are robust, and there is no likelihood ratio.

        Returns
        -------
        DataFrame
            ``term, statistic, df, p_value, method``, chi-squared, one row per term of the formula.
            NaN where there are fewer clusters than coefficients. Wald's tests under CR2 are F tests
            of each term given all others, with ``df2`` beside ``df``.

        Raises
        ------
        DataError
            A likelihood ratio with clusters; any test but Wald's with a frailty.
        """
        clustered = self.n_clusters is not None
        reduced = None if self.errors is None else self.errors.reduced
        refuse_test(test, clustered=clustered, effects="a frailty" if self.frailty else "")
        columns, above = self.design.term_columns, containing(self.design.coding.terms)
        if test == "wald" and reduced is not None:
            return reduced_terms(columns, self.fit.beta, reduced)
        cluster = self.intervals.cluster if clustered else None
        own = CoxTerms(self.X, self.sets, self.design.terms, cluster, self.intervals.n_clusters)
        estimates = self.beta, self.covariance
        return tested_terms(test, (columns, above), estimates, own, clustered=clustered)

    def likelihood(self) -> ModelLikelihood:
        """Return what `likelihood_ratio_test` and `compare_models` need."""
        log_lik, refusal, intervals = self.fit.at.log_lik, "", self.intervals
        kind = f"Cox model with {self.ties.capitalize()}'s ties"
        if self.frailty is not None:
            log_lik = self.frailty.log_lik
            if self.frailty.distribution == "lognormal":
                refusal = (
                    "lognormal frailties are estimated by restricted likelihood, which models with "
                    "other covariates do not share. Test terms by anova()."
                )
        if self.n_clusters is not None:
            refusal = OVER_CLUSTERS
        return ModelLikelihood(
            formula=self.design.formula,
            kind=kind,
            log_lik=log_lik,
            n_parameters=len(self.beta) + self._n_spreads,
            n=int(intervals.event.sum()),
            columns=pd.DataFrame(self.design.X.T, index=intervals.frame.index),
            outcome=(intervals.entry, intervals.exit, intervals.event, intervals.stratum),
            rows=self.rows,
            offset=intervals.offset,
            n_variances=self._n_spreads,
            refusal=refusal,
        )

    def predict(self, newdata: pd.DataFrame, *, scale: str = "link") -> pd.DataFrame:
        """Return each row's log hazard ratio against a row of zeros (``"link"``), or the ratio.

        In a column ``estimate``, under the rows' own labels.

        Parameters
        ----------
        newdata
            Rows with the formula's columns; NaN is returned where one is missing.
        scale
            ``"link"`` or ``"ratio"``. Frailties are not included.
        """
        return predicted_ratios(self.design, self.beta, newdata, scale=scale)

    def survival(
        self,
        newdata: pd.DataFrame,
        *,
        times: Sequence[float] | None = None,
        conf_level: float = 0.95,
        conf_type: str = "log-log",
    ) -> pd.DataFrame:
        """Return the survival of rows whose covariates stay as they are.

        ``exp(-H0(t) exp(x beta))``; its standard error follows Tsiatis (1981,
        doi:10.1214/aos/1176345335), with Efron's sums under Efron's ties and the robust covariance
        where the model has one.

        Returns
        -------
        DataFrame
            ``row, time, estimate, std_error, conf_low, conf_high`` on the probability scale, at
            `times` (or all event times) for each row of `newdata`; NaN after the last
            time observed in its stratum.
        """
        refuse_weights(self.sets, "The standard error of a predicted survival")
        if self.frailty is not None:
            raise ValueError(
                "Survival under a frailty model depends on the group's frailty, whose uncertainty "
                "this method does not carry. Fit with cluster= instead, or use predict for hazard "
                "ratios."
            )
        newdata = check_frame(newdata, what="newdata")
        return survival_rows(
            newdata,
            times,
            (self.design, self.intervals, self.sets, self.fit),
            self._standardised,
            conf_level=conf_level,
            conf_type=conf_type,
        )

    def baseline(self) -> pd.DataFrame:
        """Return the cumulative hazard of a row whose covariates are all 0.

        Efron's estimate under Efron's ties (each tied event leaves the risk set in turn), Breslow's
        under Breslow's.

        Returns
        -------
        DataFrame
            ``strata, time, n_event, hazard, cumulative_hazard, survival``, one row per event time.
        """
        shift = self.design.centre @ self.beta
        return baseline_rows(self.sets, self.intervals.strata, self.fit.at.hazard, shift)

    def design_matrix(self) -> pd.DataFrame:
        """Return the covariates of the rows used, less their means in each stratum."""
        scaled = (self.design.X * self.design.scale[:, None]).T
        return pd.DataFrame(scaled, index=self.intervals.frame.index, columns=self.design.terms)

    def augment(self) -> pd.DataFrame:
        """Return the rows used, with the model's linear predictor and residuals.

        Returns
        -------
        DataFrame
            The caller's columns and ``linear_predictor`` (log hazard ratio against a row of zeros),
            ``expected`` (events expected of the row), ``martingale`` (event - expected) and
            ``deviance_residual`` (Therneau, Grambsch & Fleming 1990, doi:10.1093/biomet/77.1.147).
        """
        intervals, design = self.intervals, self.design
        expected = np.zeros(len(intervals.exit))
        expected[self.sets.order] = self.fit.at.expected / self._case_weight
        martingale, deviance = event_residuals(intervals.event, expected)
        centred = design.X.T @ self.fit.beta + (design.centre @ self.beta)[intervals.stratum]
        if intervals.offset is not None:
            centred = centred + intervals.offset
        return intervals.frame.assign(
            linear_predictor=centred,
            expected=expected,
            martingale=martingale,
            deviance_residual=deviance,
        )

    def dfbeta(self) -> pd.DataFrame:
        """Return approximately how much each log hazard ratio would change without each row.

        Returns
        -------
        DataFrame
            One row per row used (indexed as the caller's frame), one column per term.
        """
        if self.frailty is not None:
            raise ValueError(
                "dfbeta is not defined for a frailty model; fit with cluster= instead."
            )
        score = score_residuals(self.X, self.fit.at, self.sets)
        change = np.zeros((len(self.intervals.exit), len(self.beta)))
        change[self.sets.order] = np.linalg.solve(self.fit.information, score).T / self.design.scale
        return pd.DataFrame(change, index=self.intervals.frame.index, columns=self.design.terms)

    def glance(self) -> pd.DataFrame:
        """Return one row per fit.

        Returns
        -------
        DataFrame
            ``nobs, n_event, n_clusters, ties, log_lik, log_lik_null, test, statistic, df, p_value,
            aic, bic, converged, n_steps, gradient``. ``log_lik`` is the log partial likelihood
            (integrated over a frailty where there is one). ``test`` names the joint test of the
            covariates: the likelihood ratio, or with clusters (where the rows are dependent) the
            robust Wald statistic (NaN where there are too few clusters for it). With a frailty
            the ratio has no known distribution, and no p-value. ``gradient`` is the
            largest slope left, per covariate SD.
        """
        log_lik, n_parameters = self.fit.at.log_lik, float(len(self.beta))
        if self.frailty is not None:
            log_lik, n_parameters = self.frailty.log_lik, n_parameters + self._n_spreads
        test, statistic, df = self._test(log_lik, n_parameters)
        p_value = stats.chi2.sf(statistic, df) if self.frailty is None else np.nan
        convergence = self.fit.convergence
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_event": [int(self.intervals.event.sum())],
                "n_clusters": [self.n_clusters],
                "ties": [self.ties],
                "log_lik": [log_lik],
                "log_lik_null": [self.fit.log_lik_null],
                "test": [test],
                "statistic": [statistic],
                "df": [df],
                "p_value": [p_value],
                "aic": [2.0 * (n_parameters - log_lik)],
                "bic": [np.log(self.intervals.event.sum()) * n_parameters - 2.0 * log_lik],
                "converged": [convergence.converged],
                "n_steps": [convergence.steps],
                "gradient": [convergence.gradient],
            }
        )

    def _test(self, log_lik: float, n_parameters: float) -> tuple[str, float, float]:
        """Return the joint test of all covariates, its statistic and df."""
        if self.n_clusters is None:
            return "likelihood ratio", 2.0 * (log_lik - self.fit.log_lik_null), n_parameters
        statistic = robust_wald(self.beta * self.design.scale, self._standardised)
        return "robust Wald", statistic, n_parameters

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        columns = " and ".join(str(name) for name in self.intervals.strata_columns)
        n = plural(len(self.intervals.strata), "stratum", "strata")
        what = "row" if self.weighted and self.n_clusters == self.rows.n_used else "cluster"
        name = f"{'Weighted ' * self.weighted}Cox model"
        parts = [f"{name} with {self.ties.capitalize()}'s method for ties"]
        parts += [f"stratified by {columns} ({n})"] if columns else []
        if self.frailty is not None:
            parts.append(f"{self.frailty.distribution} frailty of {self.frailty.group}")
        parts.append(
            "model-based standard errors"
            if self.n_clusters is None
            else f"standard errors over {plural(self.n_clusters, what)}"
            f"{'' if self.errors is None else self.errors.words}"
        )
        return ", ".join(parts)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return tuple(self._warnings())

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the hazard ratios and the frailty, as data."""
        ratios = self.hazard_ratios(conf_level=conf_level)
        section = Section(
            "Predictors",
            ratios.assign(statistic=self.tidy()["statistic"].to_numpy()),
            names=("term",),
            measure="hazard ratio",
            kind="ratio",
            conf_level=conf_level,
        )
        sections, remarks = [section], []
        if self.frailty is not None:
            sections.append(self.frailty.section(conf_level=conf_level))
            remarks.append(self.frailty.verdict())
        sizes = {"rows": self.rows.n_used, "events": int(self.intervals.event.sum())}
        return Account.of(self, sizes, sections, remarks, sources=self._sources())

    def _sources(self) -> tuple[str, ...]:
        ties = ("efron1977",) if self.ties == "efron" else ()
        errors = () if self.n_clusters is None else ("lin1989",)
        return ("cox1972", *ties, *errors, *(() if self.frailty is None else ("therneau2003",)))

    summary = summary_of
    _repr_html_ = html_of

    def _warnings(self) -> Iterator[str]:
        if not self.fit.convergence.converged:
            yield (
                "The fit did not converge; the largest slope left is "
                f"{self.fit.convergence.gradient:.2g}."
            )
        if self.errors is not None:
            sizes = None if self.weighted else np.bincount(self.errors.cluster)
            yield from few_cluster_notes(self.errors, "Cox", sizes)
        if self.frailty is not None:
            yield from few_groups_warning(self.frailty.group, self.frailty.levels)
        empty = [self.intervals.strata[k] for k in np.flatnonzero(np.diff(self.sets.bounds) == 0)]
        if empty:
            yield (
                f"Nobody had the event in {plural(len(empty), 'stratum', 'strata')} "
                f"({', '.join(empty[:5])}): their rows say nothing about the hazard ratios."
            )
        yield from few_events_warning(int(self.intervals.event.sum()), len(self.beta))
