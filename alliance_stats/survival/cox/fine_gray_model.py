"""A fitted Fine-Gray model, and its summaries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_frame
from alliance_stats.errors import DataError
from alliance_stats.estimates import (
    Array,
    Coefficients,
    Integers,
    exponentiated,
    named_covariance,
    one_line,
)
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import ModelLikelihood
from alliance_stats.survival.cox.cluster_errors import cluster_sums
from alliance_stats.survival.cox.cox_design import (
    CoxDesign,
    new_covariates,
    new_offset,
    predicted_ratios,
)
from alliance_stats.survival.cox.cox_fit import CoxFit, climb
from alliance_stats.survival.cox.partial_likelihood import event_residuals
from alliance_stats.survival.cox.term_tests import Score, containing, refuse_test, tested_terms
from alliance_stats.survival.curves.life_table import asked_times, probability_rows
from alliance_stats.survival.curves.subdistribution import Subdistribution
from alliance_stats.survival.rows.time_at_risk import (
    Intervals,
    few_clusters_warning,
    same_times,
)

__all__ = ["FineGrayModel"]

_PSEUDO = (
    "a Fine-Gray model has a pseudo-likelihood, whose weights are estimated: its ratio has no "
    "known distribution. Test terms by anova()."
)
# As in cox_fit: twice the log-likelihood still to be gained.
_CONVERGED = 1e-16


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FineGrayModel:
    """A fitted Fine-Gray model.

    Attributes
    ----------
    design, intervals
        Covariates and checked rows.
    cause
        The ending that is modelled.
    fit
        The maximum of the pseudo-likelihood for standardised covariates.
    beta, covariance
        (p,) log subdistribution hazard ratios and their (p, p) robust covariance.
    sets
        The weighted risk sets.
    """

    design: CoxDesign
    intervals: Intervals
    cause: str
    fit: CoxFit
    beta: Array
    covariance: Array
    sets: Subdistribution

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The row ledger."""
        return self.intervals.rows

    @property
    def time(self) -> Array:
        """(k,) times of the ending."""
        return self.sets.time

    @property
    def hazard(self) -> Array:
        """(k,) steps of the baseline subdistribution hazard (all covariates 0)."""
        shift = float(np.exp(-self.design.centre[0] @ self.beta))
        return np.asarray(self.fit.at.share * shift)

    @property
    def log_lik(self) -> float:
        """Log pseudo-likelihood at the estimate."""
        return float(self.fit.at.log_lik)

    @property
    def n_clusters(self) -> int | None:
        """Clusters behind the standard errors; None where each row is its own."""
        return None if self.intervals.cluster is None else self.intervals.n_clusters

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the estimates, labelled by term."""
        return named_covariance(self.covariance, self.design.terms)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per term.

        Returns
        -------
        DataFrame
            ``effect, state, term, estimate, std_error, statistic, df, p_value, conf_low,
            conf_high``; log subdistribution hazard ratios, normal theory.
        """
        found = Coefficients(self.design.terms, self.beta, self.covariance).table(
            conf_level=conf_level
        )
        found.insert(0, "effect", "fixed")
        found.insert(1, "state", self.cause)
        return found

    def predict(self, newdata: pd.DataFrame, *, scale: str = "link") -> pd.DataFrame:
        """Return each row's log subdistribution hazard ratio against a row of zeros, or the ratio.

        In a column ``estimate``, under the rows' own labels; for probabilities, see
        :meth:`incidence`.

        Parameters
        ----------
        newdata
            Rows with the formula's columns; NaN is returned where one is missing.
        scale
            ``"link"`` or ``"ratio"``.
        """
        return predicted_ratios(self.design, self.beta, newdata, scale=scale)

    def incidence(
        self,
        newdata: pd.DataFrame,
        *,
        times: Sequence[float] | None = None,
        conf_level: float = 0.95,
        conf_type: str = "log-log",
    ) -> pd.DataFrame:
        """Return the cumulative incidence of rows: ``1 - exp(-H0(t) exp(x beta))``.

        Parameters
        ----------
        newdata
            Rows with the formula's columns.
        times
            Ascending; the ending's times if None.
        conf_level, conf_type
            As in :meth:`CumulativeIncidence.tidy`.

        Returns
        -------
        DataFrame
            ``row, time, estimate, std_error, conf_low, conf_high`` on the probability scale; NaN
            after the last time observed. The standard error is from the summed influence of each
            row (or cluster) on coefficients and baseline, allowing for estimation of the weights.
        """
        X = new_covariates(self.design, check_frame(newdata, what="newdata"))
        asked = self.time if times is None else asked_times(times)
        Z = (X - self.design.centre[0]) / self.design.scale
        frames = []
        offsets = new_offset(self.design, newdata)
        for label, z, offset in zip(newdata.index, Z, offsets, strict=True):
            estimate, root = self.averaged(z[None], asked, offset=offset[None])
            std_error = np.sqrt((root**2).sum(axis=1))
            names = {"row": label, "time": asked}
            frames.append(
                probability_rows(
                    names, estimate, std_error, conf_level=conf_level, conf_type=conf_type
                )
            )
        return pd.concat(frames, ignore_index=True)

    def averaged(self, Z: Array, times: Array, *, offset: Array) -> tuple[Array, Array]:
        """Return the mean incidence (t,) of standardised rows (n, p), and its influences (t, c).

        `offset` (n,) is added to each row's linear predictor.
        """
        at, intervals = self.fit.at, self.intervals
        times = same_times(times, intervals.exit)
        place = np.searchsorted(self.time, times, side="right")
        H = np.concatenate(([0.0], np.cumsum(at.share)))[place][:, None]
        M = np.vstack((np.zeros(len(self.beta)), np.cumsum(at.share[:, None] * at.mean, axis=0)))
        ratio = np.exp(Z @ self.fit.beta + offset)
        left = np.exp(-H * ratio) * ratio
        by_beta = np.stack([left @ Z[:, k] for k in range(Z.shape[1])], axis=1) / len(Z) * H
        by_beta -= left.mean(axis=1)[:, None] * M[place]
        beta = np.linalg.solve(self.fit.information, self.sets.influence(at))
        influence = by_beta @ beta
        influence += left.mean(axis=1)[:, None] * self.sets.baseline_influence(at, times)
        influence = cluster_sums(intervals.cluster, influence)
        estimate = 1.0 - np.exp(-H * ratio).mean(axis=1)
        unknown = times > intervals.exit.max()
        estimate[unknown] = influence[unknown] = np.nan
        return estimate, influence

    def anova(self, *, test: str = "wald") -> pd.DataFrame:
        """Test each term given all terms that do not contain it (type II), robustly.

        Parameters
        ----------
        test
            ``"wald"`` or ``"score"``: from the slopes where only the other terms are fitted, over
            rows or clusters, allowing for estimation of the weights.

        Returns
        -------
        DataFrame
            ``term, statistic, df, p_value, method``, chi-squared. NaN where there are fewer
            clusters than coefficients.

        Raises
        ------
        DataError
            A likelihood ratio: the pseudo-likelihood has none, since its weights are estimated.
        """
        if test == "likelihood-ratio":
            raise DataError(f"There is no ratio: {_PSEUDO}")
        refuse_test(test, clustered=False)
        columns, above = self.design.term_columns, containing(self.design.coding.terms)
        own = PseudoTerms(self.sets, self.design.terms, self.intervals.cluster)
        estimates = self.beta, self.covariance
        return tested_terms(test, (columns, above), estimates, own, clustered=True)

    def likelihood(self) -> ModelLikelihood:
        """Return what `compare_models` needs: AIC and BIC of the pseudo-likelihood.

        (Kuk & Varadhan 2013, doi:10.1002/sim.5762.)
        """
        intervals = self.intervals
        return ModelLikelihood(
            formula=self.design.formula,
            kind=f"Fine-Gray model of '{self.cause}'",
            log_lik=self.log_lik,
            n_parameters=len(self.beta),
            n=self._n_own,
            columns=pd.DataFrame(self.design.X.T, index=intervals.frame.index),
            outcome=(intervals.entry, intervals.exit, intervals.event),
            rows=self.rows,
            offset=intervals.offset,
            refusal=_PSEUDO,
        )

    def augment(self) -> pd.DataFrame:
        """Return the rows used, with the model's linear predictor and residuals.

        Returns
        -------
        DataFrame
            The caller's columns and ``linear_predictor``, ``expected`` (expected endings of the
            modelled kind, with the row counting on after another ending), ``martingale`` and
            ``deviance_residual``, as in :meth:`CoxModel.augment`.
        """
        sets, design = self.sets, self.design
        ended = sets.own.astype(np.int64)
        expected = ended - sets.residuals(self.fit.at) / sets.case
        martingale, deviance = event_residuals(ended, expected)
        linear = design.X.T @ self.fit.beta + design.centre[0] @ self.beta
        if self.intervals.offset is not None:
            linear = linear + self.intervals.offset
        return self.intervals.frame.assign(
            linear_predictor=linear,
            expected=expected,
            martingale=martingale,
            deviance_residual=deviance,
        )

    @property
    def _n_own(self) -> int:
        number = self.intervals.states.index(self.cause) + 1
        return int((self.intervals.event == number).sum())

    def glance(self) -> pd.DataFrame:
        """Return one row.

        ``nobs, n_event, n_competing, n_clusters, log_lik, log_lik_null, aic, bic, converged,
        n_steps, gradient``; AIC and BIC of the pseudo-likelihood, with the number of events as the
        n of BIC.
        """
        number = self.intervals.states.index(self.cause) + 1
        event = self.intervals.event
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_event": [int((event == number).sum())],
                "n_competing": [int(((event > 0) & (event != number)).sum())],
                "n_clusters": [self.n_clusters],
                "log_lik": [self.fit.at.log_lik],
                "log_lik_null": [self.fit.log_lik_null],
                "aic": [2.0 * (len(self.beta) - self.log_lik)],
                "bic": [np.log(self._n_own) * len(self.beta) - 2.0 * self.log_lik],
                "converged": [self.fit.convergence.converged],
                "n_steps": [self.fit.convergence.steps],
                "gradient": [self.fit.convergence.gradient],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        weighted = self.intervals.weight is not None
        name = f"{'Weighted ' * weighted}Fine-Gray model of '{self.cause}'"
        if self.n_clusters is None:
            return name
        what = "row" if weighted and self.n_clusters == self.rows.n_used else "cluster"
        return f"{name}, standard errors over {plural(self.n_clusters, what)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return tuple(self._warnings())

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the subdistribution hazard ratios, as data."""
        tidy = self.tidy(conf_level=conf_level)
        with np.errstate(over="ignore"):
            ratios = exponentiated(tidy)
        section = Section(
            "Predictors",
            ratios.drop(columns="std_error"),
            names=("state", "term"),
            measure="subdistribution hazard ratio",
            kind="ratio",
            conf_level=conf_level,
        )
        counts = self.glance().iloc[0]
        sizes = {
            "rows": int(counts["nobs"]),
            "events": int(counts["n_event"]),
            "competing endings": int(counts["n_competing"]),
        }
        return Account.of(self, sizes, (section,), sources=("fine1999",))

    summary = summary_of
    _repr_html_ = html_of

    def _warnings(self) -> Iterator[str]:
        if not self.fit.convergence.converged:
            left = f"{self.fit.convergence.gradient:.2g}"
            yield f"The fit did not converge (slope left: {left})."
        if self.n_clusters is not None:
            yield from few_clusters_warning(self.n_clusters)


@dataclass(frozen=True, slots=True, eq=False)
class PseudoTerms:
    """The pseudo-likelihood for tests of terms; clusters None where rows are independent."""

    sets: Subdistribution
    terms: tuple[str, ...]
    cluster: Integers | None

    def _highest(self, columns: list[int]) -> Array:
        X = self.sets.X[columns]
        names = tuple(self.terms[k] for k in columns)
        return climb(replace(self.sets, X=X), names, done=_CONVERGED).beta if columns else X[:, 0]

    def log_lik(self, columns: list[int]) -> float:
        """Return the maximum over the coefficients of these columns."""
        return float(replace(self.sets, X=self.sets.X[columns]).at(self._highest(columns)).log_lik)

    def score(self, others: list[int], tested: list[int]) -> Score:
        """Return the slopes at the maximum over the others."""
        sets = replace(self.sets, X=self.sets.X[[*others, *tested]])
        at = sets.at(np.concatenate((self._highest(others), np.zeros(len(tested)))))
        slope, curvature = sets.derivatives(at)
        return Score(slope, curvature, cluster_sums(self.cluster, sets.influence(at)))
