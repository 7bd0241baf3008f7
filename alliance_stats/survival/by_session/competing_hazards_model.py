"""Fitted hazards of competing endings, and their summaries.

From the log odds of endings by session to hazards and cumulative incidences.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_frame, require_columns
from alliance_stats.design.design import Design, code_new_rows
from alliance_stats.errors import DataError
from alliance_stats.estimates import (
    Array,
    Booleans,
    Integers,
    estimate_columns,
    exponentiated,
    named_covariance,
    one_line,
)
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import ModelLikelihood, tidy_frame
from alliance_stats.survival.by_session.ending_effects import EndingEffects
from alliance_stats.survival.by_session.ending_logit import EndingRows
from alliance_stats.survival.by_session.session_courses import EndingTerms, Incidence, incidence
from alliance_stats.survival.cox.term_tests import (
    OVER_CLUSTERS,
    containing,
    refuse_shared_columns,
    refuse_test,
    tested_terms,
)
from alliance_stats.survival.curves.life_table import probability_rows
from alliance_stats.survival.rows.hazard_rows import Periods, baseline_columns, term_places
from alliance_stats.survival.rows.time_at_risk import few_clusters_warning

__all__ = ["CompetingHazards"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CompetingHazards:
    """Hazards of competing endings that sum to at most one.

    Attributes
    ----------
    states
        The endings, in order.
    design
        Coding of the columns.
    beta
        (endings, p) log odds ratios, NaN where a column does not count for an ending.
    covariance
        Of the coefficients, ending by ending; robust where there are clusters.
    log_lik
        Log-likelihood.
    periods
        Rows used.
    observed
        ``session, n_risk`` and a count for each ending, one row per session.
    formula, baseline, n_clusters
        As given, and how many clusters (or units, of rows with weights).
    effects
        Effects of groups on each ending, if any.
    ending_rows, cluster
        The data as arrays, and (n,) the number of each row's cluster; None without clusters.
    weights
        Column of weights; None without.
    counted
        As `observed`, with rows counted as often as their weights (of mean 1) say.
    """

    states: tuple[str, ...]
    design: Design
    beta: Array
    covariance: Array
    log_lik: float
    periods: Periods
    observed: pd.DataFrame
    formula: str
    baseline: str
    n_clusters: int | None
    effects: EndingEffects | None
    ending_rows: EndingRows
    cluster: Integers | None
    weights: str | None
    counted: pd.DataFrame

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.periods.rows

    def tidy(self, *, effects: str = "fixed", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per estimate, on the scale of log odds against no ending.

        Parameters
        ----------
        effects
            ``"fixed"``: log odds ratios, the baseline terms first in each state. ``"ran_pars"``:
            the SD of groups' effects on each ending (``state``), with limits of its profile
            likelihood, and their correlations (``cor__dropout.planned``), with limits by Fisher's z
            (NaN on the boundary). ``"ran_vals"``: predicted effects of each group on each ending,
            with their conditional SDs (coefficients and spreads taken as known).
        conf_level
            Coverage of the intervals.

        Returns
        -------
        DataFrame
            ``effect, group, level, state, term, estimate, std_error, statistic, df, p_value,
            conf_low, conf_high``.
        """
        check_choice(effects, ("fixed", "ran_pars", "ran_vals"), name="effects")
        if effects == "fixed":
            table = self._fixed(conf_level)
        elif self.effects is None:
            table = self._fixed(conf_level)[:0]
        elif effects == "ran_pars":
            table = self.effects.parameters(conf_level=conf_level)
        else:
            table = self.effects.predicted(conf_level=conf_level)
        columns = [column for column in table if column != "state"]
        columns.insert(columns.index("term"), "state")
        return table[columns]

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the log odds ratios, labelled ``ending:term``."""
        known = self._fixed(0.95).dropna(subset="std_error")
        return named_covariance(self.covariance, known["state"], known["term"])

    def _fixed(self, conf_level: float) -> pd.DataFrame:
        fixed = self.design.fixed
        shown = np.zeros((len(self.states), len(fixed.names)), dtype=bool)
        shown[:, fixed.kept] = ~np.isnan(self.beta)
        estimate, std_error = np.full((2, *shown.shape), np.nan)
        estimate[:, fixed.kept] = self.beta
        std_error[shown] = np.sqrt(np.diag(self.covariance))
        # a column that others determine has a row without an estimate
        shown[:, np.delete(np.arange(len(fixed.names)), fixed.kept)] = True
        names = np.broadcast_to(np.array(fixed.names, dtype=object), shown.shape)
        columns = estimate_columns(estimate[shown], std_error[shown], conf_level=conf_level)
        return tidy_frame("fixed", {"term": names[shown], **columns.to_dict("series")}).assign(
            state=np.repeat(np.array(self.states, dtype=object), shown.sum(axis=1))
        )

    def odds_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``state, term, estimate, conf_low, conf_high, p_value`` of the covariates.

        With random effects: for units with the same effects.
        """
        table = self.tidy(conf_level=conf_level)
        own = set(self.design.fixed.names[baseline_columns(self.design, self.baseline) :])
        table = table[table["term"].isin(own)].reset_index(drop=True)
        columns = ["state", "term", "estimate", "conf_low", "conf_high", "p_value"]
        return exponentiated(table[columns])

    def anova(self, *, test: str = "wald") -> pd.DataFrame:
        """Test each covariate's term, in each ending and in all together.

        Parameters
        ----------
        test
            ``"wald"``, ``"likelihood-ratio"`` or ``"score"``, as in :meth:`DiscreteHazard.anova`.

        Returns
        -------
        DataFrame
            ``state, term, statistic, df, p_value, method``, chi-squared: given all terms that do
            not contain it, and the other endings' terms; ``state`` is None for the joint test
            of all endings.

        Raises
        ------
        DataError
            A test that the model lacks; a term whose coefficients stand for another's columns too.
        """
        clustered = self.n_clusters is not None
        refuse_test(test, clustered=clustered, effects="random effects" if self.effects else "")
        counts = ~np.isnan(self.beta)
        place = np.full(counts.shape, -1)
        place[counts] = np.arange(int(counts.sum()))
        own = term_places(self.design, baseline_columns(self.design, self.baseline))
        above = containing(self.design.fixed.coding.terms)
        refuse_shared_columns(self.design, own, above)
        found = []
        for state, rows in [*zip(self.states, place[:, None], strict=True), (None, place)]:
            columns = {
                term: [int(k) for k in rows[:, list(at)].ravel() if k >= 0]
                for term, at in own.items()
            }
            tests = tested_terms(
                test,
                (columns, above),
                (self.beta[counts], self.covariance),
                EndingTerms(self.ending_rows, self.cluster),
                clustered=clustered,
            )
            found.append(tests.assign(state=state))
        table = pd.concat(found, ignore_index=True)
        return table[["state", *table.columns.drop("state")]]

    def likelihood(self) -> ModelLikelihood:
        """Return what `likelihood_ratio_test` and `compare_models` need.

        As in :meth:`DiscreteHazard.likelihood`; where everyone ended after a session but in several
        ways, the share of each way is a parameter, and adds to the log-likelihood.
        """
        own, effects = int((~np.isnan(self.beta)).sum()), self.effects
        columns = plural(baseline_columns(self.design, self.baseline), "column")
        log_lik, n_shares, n_boundary = self._of_certain_sessions()
        return ModelLikelihood(
            formula=f"{self.formula} ({self.baseline} baseline, {columns})",
            kind="model of competing hazards",
            log_lik=self.log_lik + log_lik,
            n_parameters=n_shares + (own if effects is None else effects.n_parameters),
            n=int(self.observed["n_risk"].sum()),
            columns=pd.DataFrame(self.design.X, index=self.design.index),
            outcome=tuple(self.observed.to_numpy(dtype=np.float64).T),
            rows=self.rows,
            n_boundary=n_boundary,
            n_variances=0 if effects is None else len(self.states),
            refusal="" if self.n_clusters is None else OVER_CLUSTERS,
        )

    def _of_certain_sessions(self) -> tuple[float, int, int]:
        """Return what sessions that are not modelled add under dummies.

        The log-likelihood and the parameters of shares of endings where everyone ended, and the
        parameters at a limit: of endings that did not occur, and of ending at all.
        """
        if self.baseline != "dummies":
            return 0.0, 0, 0
        counts = self.counted[list(self.states)].to_numpy(dtype=np.float64)
        modelled = self.counted["session"].isin(self.periods.frame[self.periods.session])
        everyone = ~modelled.to_numpy() & (counts > 0.0).any(axis=1)
        own = counts[everyone]
        log_lik = special.xlogy(own, own / own.sum(axis=1, keepdims=True)).sum()
        n_shares = int((own > 0.0).sum()) - len(own)
        return float(log_lik), n_shares, int((counts == 0.0).sum()) + len(own)

    def median_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the median odds ratio between two groups for each ending.

        ``exp(.6745 sqrt(2) SD)`` (Larsen & Merlo 2005, doi:10.1093/aje/kwi017), of odds against no
        ending at a session, with limits of the SD's profile likelihood; columns ``group, state,
        term, estimate, conf_low, conf_high``.

        Raises
        ------
        ValueError
            If the model has no random effects.
        """
        if self.effects is None:
            raise ValueError("The model has no random effects: give random='(1 | therapist)'.")
        return self.effects.median_ratios(conf_level=conf_level)

    def curve(
        self,
        newdata: pd.DataFrame | None = None,
        *,
        level: str = "population",
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return hazards and cumulative incidences by session.

        Parameters
        ----------
        newdata
            One row of covariates that hold at every session; not needed without covariates.
        level
            ``"population"``: averaged over all groups, each keeping its effects over the whole
            course (the hazard is that of those still in treatment). ``"typical"``: a group whose
            effects are 0. The two agree without random effects.
        conf_level
            Coverage of the pointwise intervals, by the log-log transformation; delta method, with
            the variances of random effects and hazards of exactly 0 or 1 taken as known.

        Returns
        -------
        DataFrame
            ``state, time, n_risk, n_event, hazard, estimate, std_error, conf_low, conf_high``: the
            probability of ending in this way in the interval, for those still in treatment, and
            of having done so by then (cumulative incidence). At each session the hazards sum to
            at most 1; the cumulative incidences and the share still in treatment sum to 1.
        """
        check_choice(level, ("population", "typical"), name="level")
        found, by_beta = self.course(newdata, level=level)
        frames = []
        for k, state in enumerate(self.states):
            estimate, slope = found.incidence[:, k], by_beta[:, k]
            variance = np.einsum("tm,mn,tn->t", slope, self.covariance, slope)
            std_error = np.sqrt(np.maximum(variance, 0.0))
            names = {
                "state": state,
                "time": self.observed["session"],
                "n_risk": self.observed["n_risk"],
                "n_event": self.observed[state],
                "hazard": found.hazard[:, k],
            }
            frames.append(probability_rows(names, estimate, std_error, conf_level=conf_level))
        return pd.concat(frames, ignore_index=True)

    def course(self, newdata: pd.DataFrame | None, *, level: str) -> tuple[Incidence, Array]:
        """Return a course's incidences, and their slopes (sessions, endings, m) in coefficients."""
        X, eta, shares, modelled = self._courses(newdata)
        spread = np.zeros((len(self.states), len(self.states)))
        if self.effects is not None and level == "population":
            spread = self.effects.covariance
        found = incidence(eta, shares, modelled, spread)
        by_beta = np.einsum("tksj,sp->tkjp", found.slope, X)
        return found, by_beta[:, :, ~np.isnan(self.beta)]

    def predict(self, newdata: pd.DataFrame) -> pd.DataFrame:
        """Return the hazard of each ending, one column per ending, for rows at their sessions.

        The probability of ending in this way at the session, for those still in treatment in groups
        whose random effects are 0, under the rows' own labels. For a whole course, with intervals,
        see :meth:`curve`.

        Parameters
        ----------
        newdata
            Rows with the session and the covariates.
        """
        session = self.periods.session
        newdata = check_frame(newdata, what="newdata")
        require_columns(newdata, [session], what="newdata")
        counts = self.counted.set_index("session")
        shares = counts[list(self.states)].div(counts["n_risk"], axis=0)
        modelled = np.ones(len(newdata), dtype=bool)
        if self.baseline == "dummies":
            unknown = newdata[session][~newdata[session].isin(counts.index)]
            if len(unknown):
                raise DataError(f"Nobody was at risk in session {unknown.iloc[0]}.")
            modelled = newdata[session].isin(self.periods.frame[session]).to_numpy()
        X = code_new_rows(self.design, newdata[modelled], with_units=False).X
        odds = np.exp(X @ np.nan_to_num(self.beta).T)
        if self.baseline == "dummies":
            odds[counts.loc[newdata[session][modelled], list(self.states)].to_numpy() == 0] = 0.0
        found = np.empty((len(newdata), len(self.states)))
        found[modelled] = odds / (1.0 + odds.sum(axis=1, keepdims=True))
        found[~modelled] = shares.reindex(newdata[session][~modelled]).to_numpy()
        return pd.DataFrame(found, index=newdata.index, columns=list(self.states))

    def _courses(self, newdata: pd.DataFrame | None) -> tuple[Array, Array, Array, Booleans]:
        """Return columns, modelled log odds, observed shares, and which sessions are modelled."""
        session = self.periods.session
        if newdata is None and self.formula.strip() != "1":
            raise DataError(
                f"The hazards depend on {self.formula!r}: give newdata= with one row of covariates."
            )
        if newdata is not None and len(newdata) != 1:
            raise DataError(f"newdata must have one row; it has {len(newdata)}.")
        numbers = self.observed["session"].to_numpy()
        counts = self.counted[list(self.states)].to_numpy(dtype=np.float64)
        shares = counts / self.counted["n_risk"].to_numpy()[:, None]
        modelled = np.ones(len(numbers), dtype=bool)
        if self.baseline == "dummies":
            modelled = np.isin(numbers, self.periods.frame[session])
        course = pd.DataFrame({session: numbers[modelled]})
        if newdata is not None:
            constant = newdata.drop(columns=[session], errors="ignore").reset_index(drop=True)
            course = course.join(constant.loc[[0] * len(course)].reset_index(drop=True))
        X = code_new_rows(self.design, course, with_units=False).X
        eta = X @ np.nan_to_num(self.beta).T
        if self.baseline == "dummies":
            eta = np.where(counts[modelled] > 0, eta, -np.inf)
        return X, eta, shares, modelled

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, events of each ending, log-likelihood, AIC."""
        effects = self.effects
        n_parameters = len(self.covariance) if effects is None else effects.n_parameters
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_units": [self.rows.units(self.periods.unit)],
                **{f"n_event_{state}": [int(self.observed[state].sum())] for state in self.states},
                "n_clusters": [self.n_clusters],
                **({} if effects is None else {f"n_{effects.group}": [len(effects.labels)]}),
                "baseline": [self.baseline],
                "nodes": [1 if effects is None else effects.fit.criterion.nodes],
                "log_lik": [self.log_lik],
                "n_parameters": [n_parameters],
                "aic": [2.0 * n_parameters - 2.0 * self.log_lik],
                "bic": [np.log(self.rows.n_used) * n_parameters - 2.0 * self.log_lik],
                "converged": [effects is None or effects.fit.convergence.converged],
                "singular": [effects is not None and effects.fit.minimum.singular],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        clusters = ""
        if self.n_clusters is not None:
            units = self.weights and self.n_clusters == self.rows.units(self.periods.unit)
            number = plural(self.n_clusters, "unit" if units else "cluster")
            clusters = f", standard errors over {number}"
        weighted = "" if self.weights is None else "weighted "
        return (
            f"{weighted}hazards of competing endings in discrete time, in one likelihood "
            f"(multinomial logit){clusters}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number: convergence, a boundary, few clusters."""
        few = () if self.n_clusters is None else few_clusters_warning(self.n_clusters)
        return (*few, *([] if self.effects is None else self.effects.doubts()))

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return events by ending, odds ratios, and differences between groups, as data."""
        happened = [int(self.observed[state].sum()) for state in self.states]
        counts = pd.DataFrame({"state": list(self.states), "n_event": happened})
        columns = {"n_event": Column("events", "count")}
        sections = [Section("Ending", counts, names=("state",), columns=columns)]
        keys = ["state", "term"]
        tests = self.tidy(conf_level=conf_level)[[*keys, "statistic"]]
        ratios = self.odds_ratios(conf_level=conf_level)
        predictors = Section(
            "Predictors",
            ratios.merge(tests, on=keys, how="left", validate="one_to_one"),
            names=("state", "term"),
            measure="odds ratio",
            kind="ratio",
            conf_level=conf_level,
        )
        sections.append(predictors)
        remarks: tuple[str, ...] = ()
        sizes = {"rows": self.rows.n_used}
        if self.effects is not None:
            sizes[self.effects.group] = len(self.effects.labels)
            sections += self.effects.sections(conf_level=conf_level)
            remarks = self.effects.remarks()
        source = ("tutz2016",)
        return Account.of(self, sizes, sections, remarks, sources=source)

    summary = summary_of
    _repr_html_ = html_of
