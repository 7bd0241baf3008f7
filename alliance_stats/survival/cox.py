"""Cox's proportional-hazards model of time to an ending."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, two_sided_p, wald_interval
from alliance_stats.formatting import format_interval, format_number, p_phrase, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.cox_design import CoxDesign, cox_design, formula_variables
from alliance_stats.survival.cox_fit import (
    CoxFit,
    cluster_covariance,
    fit_cox,
    refuse_without_events,
)
from alliance_stats.survival.cox_prediction import (
    augmented,
    baseline_hazard,
    dfbeta,
    linear_predictor,
    predicted_survival,
)
from alliance_stats.survival.frailty import FrailtyFit, fit_frailty
from alliance_stats.survival.intervals import Intervals, few_clusters_warning, read_intervals
from alliance_stats.survival.lag_discipline import refuse_overlaps, refuse_the_future
from alliance_stats.survival.risk_sets import RiskSets, risk_sets

__all__ = ["CoxModel", "cox_ph"]


@dataclass(frozen=True, slots=True, eq=False)
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
    """

    design: CoxDesign
    intervals: Intervals
    sets: RiskSets
    fit: CoxFit
    beta: Array
    covariance: Array
    model_covariance: Array
    ties: str
    frailty: FrailtyFit | None

    @property
    def rows(self) -> RowLedger:
        """The row ledger."""
        return self.intervals.rows

    @property
    def n_clusters(self) -> int | None:
        """Clusters behind the standard errors; None where these are the model's."""
        robust = self.intervals.cluster is not None and self.frailty is None
        return self.intervals.n_clusters if robust else None

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the log hazard ratios, labelled by term."""
        return pd.DataFrame(self.covariance, index=self.design.terms, columns=self.design.terms)

    def tidy(self, *, effects: str = "fixed", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row an estimate.

        Parameters
        ----------
        effects
            ``"fixed"``: log hazard ratios, with normal-theory tests and intervals.
            ``"ran_pars"``: the frailty's spread, with its profile interval.
            ``"ran_vals"``: each group's log frailty.
        conf_level
            Coverage of the intervals.

        Returns
        -------
        DataFrame
            fixed: ``effect, term, estimate, std_error, statistic, p_value, conf_low, conf_high``;
            others: ``effect, group, (level,) term, estimate, ...``.
        """
        check_choice(effects, ("fixed", "ran_pars", "ran_vals"), name="effects")
        if effects != "fixed":
            if self.frailty is None:
                raise ValueError(f"effects={effects!r} needs a model with frailty=.")
            if effects == "ran_pars":
                return self.frailty.tidy_spread(conf_level=conf_level)
            return self.frailty.tidy_groups()
        std_error = np.sqrt(np.diag(self.covariance))
        low, high = wald_interval(self.beta, std_error, conf_level=conf_level)
        return pd.DataFrame(
            {
                "effect": "fixed",
                "term": self.design.terms,
                "estimate": self.beta,
                "std_error": std_error,
                "statistic": self.beta / std_error,
                "p_value": two_sided_p(self.beta / std_error),
                "conf_low": low,
                "conf_high": high,
            }
        )

    def hazard_ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, conf_low, conf_high, p_value`` on the hazard-ratio scale."""
        tidy = self.tidy(conf_level=conf_level)
        columns = ["estimate", "conf_low", "conf_high"]
        return tidy[["term", *columns, "p_value"]].assign(
            **{column: np.exp(tidy[column]) for column in columns}
        )

    def predict(self, newdata: pd.DataFrame, *, scale: str = "linear") -> Array:
        """Return each row's log hazard ratio against a row of zeros (``"linear"``), or the ratio.

        Parameters
        ----------
        newdata
            Rows with the formula's columns; NaN is returned where one is missing.
        scale
            ``"linear"`` or ``"hazard_ratio"``. A frailty is not in it.
        """
        check_choice(scale, ("linear", "hazard_ratio"), name="scale")
        linear = linear_predictor(self, newdata)
        return linear if scale == "linear" else np.exp(linear)

    def survival(
        self,
        newdata: pd.DataFrame,
        *,
        times: Sequence[float] | None = None,
        conf_level: float = 0.95,
        conf_type: str = "log-log",
    ) -> pd.DataFrame:
        """Return the survival of rows whose covariates stay as they are.

        Returns
        -------
        DataFrame
            ``row, time, estimate, std_error, conf_low, conf_high`` on the probability scale, at
            `times` (or all event times) for each row of `newdata`.
        """
        return predicted_survival(self, newdata, times, conf_level=conf_level, conf_type=conf_type)

    def baseline(self) -> pd.DataFrame:
        """Return the baseline hazard; see :func:`baseline_hazard`."""
        return baseline_hazard(self)

    def augment(self) -> pd.DataFrame:
        """Return the rows used with martingale and deviance residuals; see :func:`augmented`."""
        return augmented(self)

    def dfbeta(self) -> pd.DataFrame:
        """Return each row's influence on the log hazard ratios; see :func:`dfbeta`."""
        return dfbeta(self)

    def glance(self) -> pd.DataFrame:
        """Return one row a fit.

        Returns
        -------
        DataFrame
            ``nobs, n_event, n_clusters, ties, log_lik, log_lik_null, statistic, df, p_value, aic,
            converged, n_steps, gradient``. ``log_lik`` is the log partial likelihood (integrated
            over a frailty where there is one); ``statistic`` compares it with the model without
            covariates (and without frailty: no p-value is given then). ``gradient`` is the largest
            slope left, per covariate SD.
        """
        log_lik, df = self.fit.at.log_lik, float(len(self.beta))
        if self.frailty is not None:
            log_lik, df = self.frailty.log_lik, df + 1
        statistic = 2.0 * (log_lik - self.fit.log_lik_null)
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
                "statistic": [statistic],
                "df": [df],
                "p_value": [p_value],
                "aic": [2.0 * (df - log_lik)],
                "converged": [convergence.converged],
                "n_steps": [convergence.steps],
                "gradient": [convergence.gradient],
            }
        )

    def summary(self) -> str:
        """Return the model in words: warnings, hazard ratios, frailty, rows."""
        lines = [
            *self._warnings(),
            f"Cox model of {plural(int(self.intervals.event.sum()), 'event')}",
        ]
        if self.n_clusters is not None:
            lines[-1] += f", standard errors over {plural(self.n_clusters, 'cluster')}"
        for _, row in self.hazard_ratios().iterrows():
            interval = format_interval(row["conf_low"], row["conf_high"])
            lines.append(
                f"{row['term']}: hazard ratio {format_number(row['estimate'])}, 95% CI {interval}, "
                f"{p_phrase(row['p_value'])}"
            )
        if self.frailty is not None:
            lines.append(self.frailty.summary())
        return "\n".join([*lines, str(self.rows)])

    def _warnings(self) -> Iterator[str]:
        if not self.fit.convergence.converged:
            yield (
                "WARNING: the fit did not converge; the largest slope left is "
                f"{self.fit.convergence.gradient:.2g}."
            )
        if self.n_clusters is not None:
            yield from few_clusters_warning(self.n_clusters)
        empty = [self.intervals.strata[k] for k in np.flatnonzero(np.diff(self.sets.bounds) == 0)]
        if empty:
            yield (
                f"WARNING: nobody had the event in {plural(len(empty), 'stratum', 'strata')} "
                f"({', '.join(empty[:5])}): their rows say nothing about the hazard ratios."
            )
        few = int(self.intervals.event.sum()) / len(self.beta)
        if few < 10:
            yield (
                f"WARNING: {format_number(few, 1)} events per covariate: estimates and intervals "
                "are unreliable below about 10."
            )


def cox_ph(
    formula: str,
    data: pd.DataFrame,
    *,
    event: Hashable,
    time: Hashable | None = None,
    start: Hashable | None = None,
    stop: Hashable | None = None,
    person: Hashable | None = None,
    strata: Hashable | Sequence[Hashable] | None = None,
    cluster: Hashable | None = None,
    frailty: Hashable | None = None,
    frailty_distribution: str = "gamma",
    ties: str = "efron",
) -> CoxModel:
    """Fit ``hazard(t) = h0(t) exp(x(t) beta)``, the proportional-hazards model of Cox (1972).

    Parameters
    ----------
    formula
        The covariates, as in ``"alliance + role"``.
    data
        A row a unit (with `time`), or a row an interval ``(start, stop]`` (with `start` and
        `stop`), on which the covariates are constant; a unit may have several, and several events.
    event
        Column: 1 or True where the row ends with the event.
    time, start, stop
        Columns; either `time` alone, or both others. Who starts at t is not at risk at t.
    person
        Column: whose rows they are. With it, overlapping rows of one person and covariates that
        know the future (a mean over the whole course) are refused.
    strata
        Column or columns: each value has a baseline hazard of its own.
    cluster
        Column: standard errors are robust, from score residuals summed over its values
        (Lin & Wei 1989).
    frailty
        Column: each of its values multiplies the hazard by a random effect of its own.
    frailty_distribution
        ``"gamma"`` (mean 1; integrated likelihood) or ``"lognormal"`` (log frailty normal with
        mean 0; restricted maximum likelihood).
    ties
        ``"efron"`` or ``"breslow"``.

    Returns
    -------
    CoxModel
        Its estimates are log hazard ratios per unit of the covariate.

    Raises
    ------
    DataError
        Impossible or overlapping intervals, a covariate that knows the future.
    FormulaError
        A formula that cannot be read.
    NotIdentifiedError
        No events, a group without events, separation, covariates that do not vary.
    """
    check_choice(ties, ("efron", "breslow"), name="ties")
    check_choice(frailty_distribution, ("gamma", "lognormal"), name="frailty_distribution")
    if frailty is not None and cluster is not None:
        raise ValueError(
            "frailty= and cluster= cannot go together: a frailty models the dependence that robust "
            "standard errors allow for. Choose one."
        )
    entry, exit_ = _clock(time, start, stop)
    intervals = read_intervals(
        data,
        time=exit_,
        event=event,
        entry=entry,
        strata=strata,
        cluster=frailty if cluster is None else cluster,
        also=[] if person is None else [person],
    )
    if intervals.cluster is not None and intervals.n_clusters < 2:
        raise DataError(
            f"Column '{frailty if cluster is None else cluster}' holds one value: clusters and "
            "frailty groups must be at least two."
        )
    if person is not None:
        refuse_overlaps(intervals, person)
        refuse_the_future(intervals, formula_variables(formula), person=person, session=exit_)
    design, intervals = cox_design(formula, intervals)
    refuse_without_events(design, intervals)
    if frailty is not None:
        return _with_frailty(design, intervals, ties, (str(frailty), frailty_distribution))
    sets = risk_sets(intervals, ties=ties)
    X = np.ascontiguousarray(design.X[:, sets.order])
    fit = fit_cox(X, sets, design.terms)
    model_covariance: Array = np.asarray(np.linalg.inv(fit.information), dtype=np.float64)
    covariance = model_covariance
    if intervals.cluster is not None:
        covariance = cluster_covariance(X, fit, sets, intervals.cluster, intervals.n_clusters)
    return _model((design, intervals, sets), fit, (covariance, model_covariance), ties=ties)


def _clock(
    time: Hashable | None, start: Hashable | None, stop: Hashable | None
) -> tuple[Hashable | None, Hashable]:
    if time is not None and start is None and stop is None:
        return None, time
    if time is None and start is not None and stop is not None:
        return start, stop
    raise ValueError("Give either time=, for a row a unit, or start= and stop=, for intervals.")


def _model(
    arrays: tuple[CoxDesign, Intervals, RiskSets],
    fit: CoxFit,
    covariances: tuple[Array, Array],
    *,
    ties: str,
    frailty: FrailtyFit | None = None,
) -> CoxModel:
    design, intervals, sets = arrays
    unscale = np.outer(design.scale, design.scale)
    covariance, model_covariance = covariances
    return CoxModel(
        design=design,
        intervals=intervals,
        sets=sets,
        fit=fit,
        beta=fit.beta / design.scale,
        covariance=covariance / unscale,
        model_covariance=model_covariance / unscale,
        ties=ties,
        frailty=frailty,
    )


def _with_frailty(
    design: CoxDesign, intervals: Intervals, ties: str, frailty: tuple[str, str]
) -> CoxModel:
    sets = risk_sets(intervals, ties=ties, group=intervals.cluster)
    X = np.ascontiguousarray(design.X[:, sets.order])
    fit, covariance, result = fit_frailty(X, sets, intervals, design.terms, frailty)
    return _model(
        (design, intervals, sets), fit, (covariance, covariance), ties=ties, frailty=result
    )
