"""A fitted hazard in discrete time, and its summaries."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.estimates import (
    LINK_WORDS,
    LOG_MEDIAN_RATIO,
    Array,
    Coefficients,
    exponentiated,
    named_covariance,
    one_line,
)
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import (
    GeneralizedLinearMixedModel,
    ModelLikelihood,
    all_coefficients,
    tidy_frame,
)
from alliance_stats.survival.by_session.session_courses import (
    Curve,
    RegressionTerms,
    SessionCourses,
)
from alliance_stats.survival.cox.cluster_errors import ClusterErrors, few_cluster_notes
from alliance_stats.survival.cox.term_tests import (
    OVER_CLUSTERS,
    containing,
    reduced_terms,
    refuse_shared_columns,
    refuse_test,
    tested_terms,
)
from alliance_stats.survival.rows.hazard_rows import Periods, baseline_columns, term_places
from alliance_stats.survival.rows.time_at_risk import few_events_warning

__all__ = ["DiscreteHazard"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DiscreteHazard:
    """A hazard model in discrete time.

    Attributes
    ----------
    fit
        The generalized model, without groupings where there are no random effects.
    periods
        The rows, and what was observed at each session.
    formula
        The covariates as given.
    baseline
        One of :data:`BASELINES`.
    errors
        The covariance over clusters, or over units where rows have weights; None without.
    weights
        Column of weights; None without.
    """

    fit: GeneralizedLinearMixedModel
    periods: Periods
    formula: str
    baseline: str
    errors: ClusterErrors | None = None
    weights: str | None = None

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.periods.rows

    @property
    def link(self) -> str:
        """``"cloglog"`` or ``"logit"``."""
        return self.fit.family.link

    @property
    def nodes(self) -> int:
        """Quadrature nodes; 1 is the Laplace approximation, or no integral at all."""
        return self.fit.nodes

    @property
    def has_effects(self) -> bool:
        """Whether there are random effects."""
        return bool(self.fit.design.groupings)

    @property
    def n_clusters(self) -> int | None:
        """Clusters behind the standard errors; None where these are the model's."""
        return None if self.errors is None else self.errors.n_clusters

    @property
    def covariance(self) -> Array:
        """Covariance of the estimated coefficients: over clusters where there are any."""
        return self.fit.vcov().to_numpy() if self.errors is None else self.errors.covariance

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the coefficients, labelled by term: over clusters, if any."""
        fixed = self.fit.design.fixed
        return named_covariance(self.covariance, [fixed.names[k] for k in fixed.kept])

    @property
    def n_event(self) -> int:
        """Events in the rows used."""
        return int(self.periods.sessions["n_event"].sum()) - self._certain_events()

    def _certain_events(self) -> int:
        if self.baseline != "dummies":
            return 0
        table = self.periods.sessions
        return int(table.loc[table["n_event"] == table["n_risk"], "n_event"].sum())

    def tidy(self, *, effects: str = "fixed", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per estimate, on the scale of the link.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients, baseline first. ``"ran_pars"``: SDs of the random
            effects, with the intervals of :meth:`median_ratios` for intercepts (NaN otherwise).
            ``"ran_vals"``: predicted effects of each unit, with their intervals.
        conf_level
            Coverage of the intervals.

        Returns
        -------
        DataFrame
            ``effect, group, level, term, estimate, std_error, statistic, df, p_value, conf_low,
            conf_high``; log hazard ratios (cloglog) or log odds ratios (logit) per unit of the
            covariate.
        """
        check_choice(effects, ("fixed", "ran_pars", "ran_vals"), name="effects")
        if effects == "fixed" and self.errors is not None:
            design = self.fit.design
            vcov = np.full((len(design.fixed.names),) * 2, np.nan)
            vcov[np.ix_(design.fixed.kept, design.fixed.kept)] = self.covariance
            df = all_coefficients(design, self.errors.df)
            found = Coefficients(design.fixed.names, self.fit.beta.to_numpy(), vcov, df)
            return tidy_frame("fixed", found.table(conf_level=conf_level))
        if effects == "fixed":
            return self.fit.tidy(conf_level=conf_level)
        if not self.has_effects:
            return self.fit.tidy()[:0]
        if effects == "ran_vals":
            return self.fit.tidy(effects="ran_vals", conf_level=conf_level)
        table = self.fit.tidy(effects="ran_pars")
        ratios = self.median_ratios(conf_level=conf_level).set_index("group")
        intercept = table["term"] == "sd__(Intercept)"
        for column in ("conf_low", "conf_high"):
            limits = np.log(table["group"].map(ratios[column]).astype(np.float64))
            limits /= LOG_MEDIAN_RATIO
            table[column] = limits.where(intercept)
        return table

    def hazard_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the covariates' hazard ratios, for a complementary log-log link.

        ``term, estimate, conf_low, conf_high, p_value``, for units with the same random effects.

        Raises
        ------
        ValueError
            If the link is the logit, whose ratios are of odds: :meth:`odds_ratios`.
        """
        self._refuse_link("logit", "odds_ratios")
        return self._ratios(conf_level)

    def odds_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the covariates' odds ratios, for a logit link: columns as in `hazard_ratios`.

        Raises
        ------
        ValueError
            If the link is another, whose ratios are of hazards: :meth:`hazard_ratios`.
        """
        self._refuse_link("cloglog", "hazard_ratios")
        return self._ratios(conf_level)

    def _refuse_link(self, other: str, method: str) -> None:
        if self.link == other:
            raise ValueError(
                f"The link is {other}: exponentiated coefficients are {method.replace('_', ' ')}. "
                f"Ask for {method}()."
            )

    def _ratios(self, conf_level: float) -> pd.DataFrame:
        first = baseline_columns(self.fit.design, self.baseline)
        table = self.tidy(conf_level=conf_level).iloc[first:].reset_index(drop=True)
        return exponentiated(table[["term", "estimate", "conf_low", "conf_high", "p_value"]])

    def anova(self, *, test: str = "wald") -> pd.DataFrame:
        """Test each covariate's term given all terms that do not contain it (type II).

        Parameters
        ----------
        test
            ``"wald"``, ``"likelihood-ratio"`` or ``"score"`` (Rao's, by the expected information).
            With clusters or weights, Wald and score tests are robust, and there is no likelihood
            ratio; with random effects there is only Wald's.

        Returns
        -------
        DataFrame
            ``term, statistic, df, p_value, method``, chi-squared; the baseline is not among the
            terms. Wald's tests under CR2 are F tests of each term given all others, with ``df2``
            beside ``df``.

        Raises
        ------
        DataError
            A test that the model lacks; a term whose coefficients stand for another's columns too.
        """
        design, clustered = self.fit.design, self.errors is not None
        refuse_test(test, clustered=clustered, effects="random effects" if self.has_effects else "")
        n_baseline = baseline_columns(design, self.baseline)
        columns, above = term_places(design, n_baseline), containing(design.fixed.coding.terms)
        beta = self.fit.beta.dropna().to_numpy()
        reduced = None if self.errors is None else self.errors.reduced
        given_all = test == "wald" and reduced is not None
        refuse_shared_columns(design, columns, dict.fromkeys(above, ()) if given_all else above)
        if test == "wald" and reduced is not None:
            return reduced_terms(columns, beta, reduced)
        cluster = None if self.errors is None else self.errors.cluster
        own = RegressionTerms(self.fit.problem, design.X, cluster)
        estimates = beta, self.covariance
        return tested_terms(test, (columns, above), estimates, own, clustered=clustered)

    def likelihood(self) -> ModelLikelihood:
        """Return what `likelihood_ratio_test` and `compare_models` need.

        In comparisons with a smooth baseline, which has none, sessions with hazard 0 or 1 under
        dummies count as parameters at their limit: their rows add nothing to the log-likelihood.
        """
        design, table = self.fit.design, self.periods.sessions
        certain = (table["n_event"] == 0) | (table["n_event"] == table["n_risk"])
        columns = plural(baseline_columns(design, self.baseline), "column")
        return ModelLikelihood(
            formula=f"{self.formula} ({self.baseline} baseline, {columns})",
            kind=f"discrete-time hazard ({self.link} link)",
            log_lik=self.fit.log_lik,
            n_parameters=self.fit.fit.n_parameters,
            n=int(table["n_risk"].sum()),
            columns=pd.DataFrame(design.X, index=design.index),
            outcome=tuple(table.to_numpy(dtype=np.float64).T),
            rows=self.rows,
            offset=design.offset,
            n_boundary=int(certain.sum()) if self.baseline == "dummies" else 0,
            n_variances=self.fit.fit.problem.template.n_theta,
            refusal="" if self.errors is None else OVER_CLUSTERS,
        )

    def median_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the median hazard (or odds) ratio between two units of each grouping.

        ``exp(.6745 sqrt(2) SD)`` (Larsen & Merlo 2005, doi:10.1093/aje/kwi017), with limits of the
        SD's profile likelihood (of a Wald interval of its logarithm where a grouping has slopes).
        The variance is per session: it is not comparable with that of a model of the final
        outcome.
        """
        if not self.has_effects:
            raise ValueError("The model has no random effects: units do not differ in it.")
        scalar = all(len(grouping.names) == 1 for grouping in self.fit.design.groupings)
        return self.fit.median_ratios(
            ci_method="profile" if scalar else "wald", conf_level=conf_level
        )

    def observed(self, newdata: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return the numbers at risk and leaving: ``time, n_risk, n_event``, one row per session.

        Parameters
        ----------
        newdata
            Covariates of the course, as in :meth:`curve`: only rows with exactly these values
            count. All rows if None.
        """
        if newdata is None:
            return self.periods.sessions.rename(columns={"session": "time"})
        return self._courses.observed(newdata)

    def curve(
        self,
        newdata: pd.DataFrame | None = None,
        *,
        level: str = "population",
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return hazard and survival by session.

        Parameters
        ----------
        newdata
            Covariates of the course: one row that holds at every session, or one row per
            session (with the session column). Not needed for a model without covariates.
        level
            ``"population"``: averaged over all units of the groupings, each keeping its effect over
            the whole course (comparable with Kaplan-Meier: the hazard is that of those still
            there). ``"typical"``: a unit whose random effects are 0.
        conf_level
            Coverage of the pointwise intervals: on the log(-log) scale for survival, the logit
            scale for hazards; variances of random effects are taken as known.

        Returns
        -------
        DataFrame
            ``time, n_risk, n_event, hazard, hazard_low, hazard_high, survival, survival_low,
            survival_high``, one row per session at which units were at risk; probabilities.
            A hazard of exactly 0 or 1 (dummies) has no interval.
        """
        check_choice(level, ("population", "typical"), name="level")
        check_conf_level(conf_level)
        return self._courses.curve(newdata, level=level, conf_level=conf_level)

    def whole_course(self, newdata: pd.DataFrame | None, *, level: str) -> tuple[Curve, Array]:
        """Return a course's hazard and survival, and its columns (k, p), 0 where all is certain."""
        return self._courses.whole_course(newdata, level=level)

    @property
    def _courses(self) -> SessionCourses:
        return SessionCourses(self.fit, self.periods, self.formula, self.baseline, self.covariance)

    def predict(
        self, newdata: pd.DataFrame, *, scale: str = "response", conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return the hazard of new rows at their sessions, for units whose random effects are 0.

        For survival over a course, and for a population, see :meth:`curve`.

        Parameters
        ----------
        newdata
            Rows with the session and the covariates.
        scale
            ``"response"``: the probability of the event at the session, for those still there.
            ``"link"``: the linear predictor.
        conf_level
            Coverage of the intervals.

        Returns
        -------
        DataFrame
            ``estimate, std_error, conf_low, conf_high`` under the rows' own labels: by the delta
            method, with limits of a hazard on the logit scale as in :meth:`curve`. A hazard of
            exactly 0 or 1 (dummies) has no interval.
        """
        check_choice(scale, ("link", "response"), name="scale")
        check_conf_level(conf_level)
        return self._courses.predict(newdata, scale=scale, conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, events, link, log-likelihood, AIC, BIC, convergence."""
        n_parameters = self.fit.fit.n_parameters
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_units": [self.rows.units(self.periods.unit)],
                "n_event": [self.n_event],
                "n_clusters": [self.n_clusters],
                "link": [self.link],
                "nodes": [self.nodes],
                "baseline": [self.baseline],
                "log_lik": [self.fit.log_lik],
                "n_parameters": [n_parameters],
                "aic": [2.0 * n_parameters - 2.0 * self.fit.log_lik],
                "bic": [np.log(self.rows.n_used) * n_parameters - 2.0 * self.fit.log_lik],
                "converged": [self.fit.convergence.converged],
                "singular": [self.fit.singular],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        clusters = ""
        if self.errors is not None:
            units = self.weights and self.n_clusters == self.rows.units(self.periods.unit)
            number = plural(self.errors.n_clusters, "unit" if units else "cluster")
            clusters = f", standard errors over {number}{self.errors.words}"
        weighted = "" if self.weights is None else "weighted "
        return (
            f"{weighted}discrete-time hazard of '{self.periods.event}' ({self.link} link, "
            f"{self.baseline} baseline){clusters}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number: convergence, a boundary, few events."""
        found = []
        if not self.fit.convergence.converged:
            found.append(f"The fit did not converge ({self.fit.convergence.message}).")
        if self.fit.singular:
            found.append("A variance of random effects is at zero (boundary fit).")
        if self.errors is not None:
            units = ~self.periods.frame[self.periods.unit].duplicated().to_numpy()
            sizes = None if self.weights else np.bincount(self.errors.cluster[units])
            found += few_cluster_notes(self.errors, "discrete", sizes)
        n_covariates = len(self.fit.vcov()) - baseline_columns(self.fit.design, self.baseline)
        return (*found, *few_events_warning(self.n_event, n_covariates))

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the covariates' ratios and the spread between units, as data."""
        tidy = self.tidy(conf_level=conf_level)
        ratios = self._ratios(conf_level)
        own = tidy.iloc[len(tidy) - len(ratios) :]  # the baseline's coefficients stand first
        predictors = Section(
            "Predictors",
            ratios.assign(statistic=own["statistic"].to_numpy()),
            names=("term",),
            measure=LINK_WORDS[self.link].ratio or "",
            kind="ratio",
            conf_level=conf_level,
        )
        sections = [predictors]
        if self.has_effects:
            integral = "Laplace" if self.nodes == 1 else f"quadrature with {self.nodes} nodes"
            name = f"Between units (per session; {integral})"
            between = Section(
                name,
                self.median_ratios(conf_level=conf_level),
                names=("group", "term"),
                measure="",
                kind="ratio",
                conf_level=conf_level,
                lead=name,
            )
            sections.append(between)
        sizes = {
            "rows": self.rows.n_used,
            self.periods.unit: self.rows.units(self.periods.unit),
            "events": self.n_event,
        }
        if self.has_effects:
            sizes |= {group.name: len(group.labels) for group in self.fit.design.groupings}
        sources = ("prentice1978", "singer1993")
        return Account.of(self, sizes, sections, sources=sources)

    summary = summary_of
    _repr_html_ = html_of
