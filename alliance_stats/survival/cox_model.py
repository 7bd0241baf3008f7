"""What a fitted Cox model can say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_choice
from alliance_stats.estimates import Array, one_line, two_sided_p, wald_interval
from alliance_stats.formatting import format_interval, format_number, p_phrase, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.cox_design import CoxDesign
from alliance_stats.survival.cox_fit import CoxFit
from alliance_stats.survival.cox_prediction import (
    augmented,
    baseline_hazard,
    dfbeta,
    linear_predictor,
    predicted_survival,
)
from alliance_stats.survival.frailty import FrailtyFit
from alliance_stats.survival.intervals import Intervals, few_clusters_warning
from alliance_stats.survival.risk_sets import RiskSets

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

    __repr__ = one_line

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
