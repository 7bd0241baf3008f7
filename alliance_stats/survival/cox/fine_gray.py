"""The Fine-Gray model: covariates of one ending's cumulative incidence."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import (
    check_frame,
    describe_rows,
    did_you_mean,
    require_columns,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, named_covariance, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import ModelLikelihood
from alliance_stats.survival.cox.cox_design import (
    CoxDesign,
    cox_design,
    formula_variables,
    new_covariates,
    new_offset,
    predicted_ratios,
)
from alliance_stats.survival.cox.cox_fit import CoxFit, climb
from alliance_stats.survival.cox.term_tests import containing, test_table, wald_terms
from alliance_stats.survival.curves.life_table import asked_times, probability_interval
from alliance_stats.survival.curves.subdistribution import Subdistribution, subdistribution
from alliance_stats.survival.rows.hazard_rows import refuse_outcomes
from alliance_stats.survival.rows.time_at_risk import (
    Intervals,
    few_clusters_warning,
    read_intervals,
    same_times,
    weighted_rows,
)

__all__ = ["FineGrayModel", "fine_gray"]

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

        In a column ``estimate``, under the rows' own labels; probabilities: :meth:`incidence`.

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
            later than the last row was seen. The standard error is that of the summed influence of
            each row (or cluster) on coefficients and baseline, the weights' estimation allowed for.
        """
        X = new_covariates(self.design, check_frame(newdata, what="newdata"))
        asked = self.time if times is None else asked_times(times)
        Z = (X - self.design.centre[0]) / self.design.scale
        frames = []
        offsets = new_offset(self.design, newdata)
        for label, z, offset in zip(newdata.index, Z, offsets, strict=True):
            estimate, root = self.averaged(z[None], asked, offset=offset[None])
            std_error = np.sqrt((root**2).sum(axis=1))
            low, high = probability_interval(
                estimate, std_error, conf_level=conf_level, conf_type=conf_type
            )
            frames.append(
                pd.DataFrame(
                    {
                        "row": label,
                        "time": asked,
                        "estimate": estimate,
                        "std_error": std_error,
                        "conf_low": low,
                        "conf_high": high,
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def averaged(self, Z: Array, times: Array, *, offset: Array) -> tuple[Array, Array]:
        """Return the mean incidence (t,) of standardised rows (n, p), and its influences (t, c).

        `offset` (n,) is what is added to each row's linear predictor.
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
        if intervals.cluster is not None:
            influence = np.stack([np.bincount(intervals.cluster, weights=row) for row in influence])
        estimate = 1.0 - np.exp(-H * ratio).mean(axis=1)
        unknown = times > intervals.exit.max()
        estimate[unknown] = influence[unknown] = np.nan
        return estimate, influence

    def anova(self) -> pd.DataFrame:
        """Test each term given all terms that do not contain it, by robust Wald statistics.

        ``term, statistic, df, p_value, method``, chi-squared. The pseudo-likelihood has no ratio
        test: its weights are estimated.
        """
        above = containing(self.design.coding.terms)
        found = wald_terms(self.design.term_columns, above, self.beta, self.covariance)
        return test_table(found, "robust Wald")

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
            refusal=(
                "a Fine-Gray model has a pseudo-likelihood, whose weights are estimated: its ratio "
                "has no known distribution. Test terms by anova()."
            ),
        )

    @property
    def _n_own(self) -> int:
        number = self.intervals.states.index(self.cause) + 1
        return int((self.intervals.event == number).sum())

    def glance(self) -> pd.DataFrame:
        """Return one row.

        ``nobs, n_event, n_competing, n_clusters, log_lik, log_lik_null, aic, bic, converged,
        n_steps, gradient``; AIC and BIC of the pseudo-likelihood, the n of BIC that of the events.
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
        """What to know before any number."""
        return tuple(self._warnings())

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the subdistribution hazard ratios, as data."""
        tidy = self.tidy(conf_level=conf_level)
        columns = ["estimate", "conf_low", "conf_high"]
        with np.errstate(over="ignore"):
            ratios = {name: np.exp(tidy[name].astype(float)) for name in columns}
        section = Section(
            "Predictors",
            tidy.assign(**ratios).drop(columns="std_error"),
            names=("state", "term") if "state" in tidy else ("term",),
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
        return Account(
            self.method, self.notes, sizes, (section,), rows=self.rows, sources=("fine1999",)
        )

    summary = summary_of
    _repr_html_ = html_of

    def _warnings(self) -> Iterator[str]:
        if not self.fit.convergence.converged:
            left = f"{self.fit.convergence.gradient:.2g}"
            yield f"The fit did not converge (slope left: {left})."
        if self.n_clusters is not None:
            yield from few_clusters_warning(self.n_clusters)


def fine_gray(
    formula: str,
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    cause: object,
    censored: object | None = None,
    entry: Hashable | None = None,
    cluster: Hashable | None = None,
    person: Hashable | None = None,
    weights: Hashable | None = None,
) -> FineGrayModel:
    """Fit the proportional subdistribution hazards model of Fine & Gray (1999).

    ``1 - F(t | x) = (1 - F0(t))^exp(x beta)`` for the cumulative incidence F of one ending
    (doi:10.1080/01621459.1999.10474144): who ended otherwise stays at risk, with the probability of
    being uncensored by t given that at the own ending. Standard errors allow for that weight's
    estimation; with `cluster` the contributions are summed over clusters first (Zhou et al. 2012,
    doi:10.1093/biostatistics/kxr032). Ties are Breslow's, as in R's ``cmprsk::crr``.

    Covariates must be fixed: after an ending, a time-varying one (the alliance of this session)
    would need values that do not exist, yet whoever ended otherwise is still counted as at risk.
    Use the value of the first session here, or :func:`cox_ph` for the hazard of the ending.

    Parameters
    ----------
    formula
        The covariates, as in ``"alliance + role"``. What stands in ``offset(...)`` is added to the
        log subdistribution hazard as it is.
    data
        A row per unit.
    time, event, censored
        As in :func:`cumulative_incidence`.
    cause
        The ending to model, a value of `event`.
    entry
        Column: time from which the row was at risk (delayed entry), as in :func:`kaplan_meier`. Who
        ended otherwise is then weighted by the chance of having entered as well (Geskus 2011,
        doi:10.1111/j.1541-0420.2010.01420.x), as in R's ``survival::finegray``.
    cluster
        Column: units that are not independent.
    person
        Column: whose row it is; a second row of one person is refused.
    weights
        Column of positive weights, as in :func:`kaplan_meier`; they count in the probability of
        being seen as well.

    Returns
    -------
    FineGrayModel
        Its estimates are log subdistribution hazard ratios per unit of the covariate.

    Raises
    ------
    DataError
        Several rows of a person (time-varying covariates), an unknown cause, impossible times, a
        covariate that is the outcome itself (as in :func:`cox_ph`).
    NotIdentifiedError
        No ending of this cause, separation, covariates that do not vary; with `entry`, a time at
        which nobody was left under observation who had been there before.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, fine_gray
    >>> families = endings(example_study()).units
    >>> model = fine_gray(
    ...     "parent_trauma", families, time="time", event="state", cause="dropout",
    ...     censored="ongoing",
    ... )
    >>> model.tidy()[["term", "estimate", "std_error"]].round(3)
                term  estimate  std_error
    0  parent_trauma     0.433      0.227
    """
    data = check_frame(data)
    if person is not None:
        _refuse_several_rows(data, person)
    intervals = read_intervals(
        data,
        time=time,
        event=event,
        entry=entry,
        cluster=cluster,
        also=[] if weights is None else [weights],
        competing=True,
        censored=censored,
    )
    refuse_outcomes(
        intervals.frame.columns, formula_variables(formula, offset=True), outcomes=(time, event)
    )
    name = str(int(cause)) if isinstance(cause, float) and cause.is_integer() else str(cause)
    if name not in intervals.states:
        raise DataError(
            f"Column '{event}' has no ending {cause!r}. {did_you_mean(name, intervals.states)}"
        )
    if intervals.cluster is not None and intervals.n_clusters < 2:
        raise DataError(f"Column '{cluster}' holds one cluster; at least two are needed.")
    design, intervals = cox_design(formula, intervals)
    intervals = weighted_rows(intervals, weights)
    number = intervals.states.index(name) + 1
    if not (intervals.event == number).any():
        raise NotIdentifiedError(
            f"None of {plural(len(intervals.event), 'row')} with all variables ended as '{name}'."
        )
    sets = subdistribution(design.X, intervals, number)
    fit = climb(sets, design.terms, done=_CONVERGED)
    influence = np.linalg.solve(fit.information, sets.influence(fit.at))
    influence /= design.scale[:, None]
    if intervals.cluster is not None:
        influence = np.stack([np.bincount(intervals.cluster, weights=row) for row in influence])
    beta = fit.beta / design.scale
    return FineGrayModel(
        design=design,
        intervals=intervals,
        cause=name,
        fit=fit,
        beta=beta,
        covariance=influence @ influence.T,
        sets=sets,
    )


def _refuse_several_rows(data: pd.DataFrame, person: Hashable) -> None:
    require_columns(data, [person])
    again = data[person].duplicated(keep=False).to_numpy()
    if again.any():
        raise DataError(
            f"Column '{person}' has several rows of one person ({describe_rows(again, data.index)})"
            ": the Fine-Gray model takes fixed covariates only. Who ended otherwise stays in its "
            "risk set, where an alliance that changes from session to session has no value. Use "
            "the first session's alliance, or cox_ph for the hazard of the ending."
        )
