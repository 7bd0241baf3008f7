"""A hazard ratio that changes over time: how it changes, and whether it does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, Integers, exponentiated, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.named import named
from alliance_stats.survival.cox.cluster_errors import cluster_sums
from alliance_stats.survival.cox.cox_fit import (
    Ascent,
    CoxFit,
    ascend,
    cluster_errors,
    fit_cox,
    refuse_indefinite,
)
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.fine_gray_model import FineGrayModel
from alliance_stats.survival.cox.risk_sets import RiskSets, refuse_weights, risk_sets
from alliance_stats.survival.cox.term_tests import robust_wald
from alliance_stats.survival.cox.varying_subdistribution import VaryingSubdistribution
from alliance_stats.survival.curves.life_table import asked_times
from alliance_stats.survival.rows.time_at_risk import Intervals

__all__ = [
    "FORMS",
    "VaryingCoefficient",
    "basis_of",
    "change_names",
    "read_term",
    "varying_in_cox",
    "varying_in_fine_gray",
]

Basis = Callable[[Array], Array]

FORMS = ("log", "linear", "spline")
MOST = 4e7  # numbers in the rows split at every event time
_CONVERGED = 1e-16


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VaryingCoefficient:
    """A hazard model in which one coefficient is a function of time.

    Attributes
    ----------
    term
        The coefficient that changes.
    form, basis
        The function of time: its name, and times (t,) -> its columns (t, 1 + q), the constant
        first.
    names
        Names of all coefficients: those of the model, then the q changes over time.
    beta, covariance
        (p + q,) log hazard ratios, and their covariance.
    place
        Positions of the term's coefficients: its constant, then its changes.
    time
        (k,) event times.
    statistic, df, p_value, test
        Test of no change over time: likelihood ratio, or with clusters the robust Wald statistic.
    n_clusters
        Clusters behind the standard errors; None without.
    rows
        What happened to the rows.
    kind, ratio
        The type of model, and of its exponentiated coefficients, in a phrase.
    state
        The ending whose coefficient it is; None for a model of one event.
    """

    term: str
    form: str
    basis: Basis
    names: tuple[str, ...]
    beta: Array
    covariance: Array
    place: Integers
    time: Array
    statistic: float
    df: int
    test: str
    n_clusters: int | None
    rows: RowLedger
    kind: str
    ratio: str
    state: str | None

    __repr__ = one_line

    @property
    def p_value(self) -> float:
        """P-value of no change over time."""
        return float(stats.chi2.sf(self.statistic, self.df))

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per coefficient.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``: log hazard
            ratios, normal theory. The term's own row is its value where the function of time is 0.
        """
        return Coefficients(self.names, self.beta, self.covariance).table(conf_level=conf_level)

    def curve(
        self, times: Sequence[float] | None = None, *, conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return the coefficient at chosen times (all event times if None).

        Returns
        -------
        DataFrame
            ``time, estimate, std_error, statistic, p_value, conf_low, conf_high``: the log hazard
            ratio per unit of the covariate at that time, with pointwise limits. NaN outside the
            event times, where nothing was observed.
        """
        asked = self.time if times is None else asked_times(times)
        seen = (asked >= self.time[0]) & (asked <= self.time[-1])
        L = np.full((len(asked), len(self.place)), np.nan)
        L[seen] = self.basis(asked[seen])
        own = self.covariance[np.ix_(self.place, self.place)]
        found = Coefficients(
            [f"{time:g}" for time in asked], L @ self.beta[self.place], L @ own @ L.T
        ).table(conf_level=conf_level)
        found.insert(0, "time", asked)
        return found.drop(columns=["term", "df"])

    def glance(self) -> pd.DataFrame:
        """Return ``term, statistic, df, p_value, method`` of no change over time, in one row."""
        return pd.DataFrame(
            {
                "term": [self.term],
                "statistic": [self.statistic],
                "df": [float(self.df)],
                "p_value": [self.p_value],
                "method": [self.test],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        change = {
            "log": "changes with the logarithm of time",
            "linear": "changes with time",
            "spline": f"is a natural spline of time ({self.df} columns beside the constant)",
        }[self.form]
        over = "" if self.n_clusters is None else f", over {plural(self.n_clusters, 'cluster')}"
        return f"{self.kind} in which the coefficient of '{self.term}' {change}{over}"

    @property
    def notes(self) -> tuple[str, ...]:
        """No notes."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the hazard ratio at five times and the test, as data."""
        shares = (0.0, 0.25, 0.5, 0.75, 1.0)
        times = np.unique(np.quantile(self.time, shares, method="nearest"))
        curve = self.curve(times.tolist(), conf_level=conf_level)
        columns = ["estimate", "conf_low", "conf_high"]
        ratios = exponentiated(curve)
        at = Section(
            "Over time",
            ratios[["time", *columns]],
            names=("time",),
            measure=f"{self.ratio} of {self.term}",
            kind="ratio",
            conf_level=conf_level,
        )
        test = Section(
            "No change over time",
            self.glance(),
            names=("term",),
            statistic=f"{self.test} chi-squared",
        )
        return Account.of(
            self, {"rows": self.rows.n_used}, (at, test), sources=("cox1972", "therneau2000")
        )

    summary = summary_of
    _repr_html_ = html_of


def read_term(term: str, terms: Sequence[str], form: str, form_df: int) -> None:
    """Refuse a coefficient that is not in the model, and an unknown function of time."""
    check_choice(form, FORMS, name="form")
    if term not in terms:
        raise DataError(f"The model has no coefficient '{term}'. {did_you_mean(term, terms)}")
    if form == "spline" and form_df < 2:
        raise ValueError(f"form_df must be 2 or more for a spline; got {form_df}.")


def basis_of(form: str, event_times: Array, form_df: int) -> tuple[Basis, Array]:
    """Return the function's columns, and the times of events; refuse too few of them."""
    times = np.unique(event_times)
    basis = _basis(form, np.sort(event_times), form_df)
    columns = basis(times)
    q = columns.shape[1] - 1
    if len(times) <= q or np.linalg.matrix_rank(columns) <= q:
        raise NotIdentifiedError(
            f"There are events at {plural(len(times), 'time')}: a coefficient that changes in "
            f"{plural(q, 'way')} needs more."
        )
    return basis, times


def varying_in_cox(model: CoxModel, *, term: str, form: str, form_df: int) -> VaryingCoefficient:
    """Refit a Cox model with each row cut at every event time."""
    refuse_weights(model.sets, "A coefficient that changes with time")
    if model.frailty is not None:
        raise ValueError("The model has a frailty; fit it with cluster= instead.")
    terms, sets = model.design.terms, model.sets
    read_term(term, terms, form, form_df)
    basis, times = basis_of(form, np.repeat(sets.time, sets.n_event), form_df)
    q = basis(times).shape[1] - 1
    cut, row = _cut_at_events(model, q)
    split = risk_sets(cut, ties=model.ties)
    own = terms.index(term)
    x = model.design.X[own] * model.design.scale[own]  # its centre cancels in every risk set
    changes = (basis(cut.exit)[:, 1:] * x[row][:, None]).T
    X = np.vstack((model.design.X[:, row], changes))
    centre, scale = X.mean(axis=1), X.std(axis=1)
    names = (*terms, *change_names(term, form, q))
    ordered = ((X - centre[:, None]) / scale[:, None]).take(split.order, axis=1)
    fit = fit_cox(ordered, split, names)
    scale[: len(terms)] *= model.design.scale
    covariance, test, statistic = _errors(model, fit, (ordered, split, cut), q)
    return VaryingCoefficient(
        term=term,
        form=form,
        basis=basis,
        names=names,
        beta=fit.beta / scale,
        covariance=covariance / np.outer(scale, scale),
        place=np.array([own, *range(len(terms), len(names))]),
        time=times,
        statistic=statistic,
        df=q,
        test=test,
        n_clusters=model.n_clusters,
        rows=model.rows,
        kind="Cox model",
        ratio="hazard ratio",
        state=None,
    )


def varying_in_fine_gray(
    model: FineGrayModel, *, term: str, form: str, form_df: int
) -> VaryingCoefficient:
    """Refit a Fine-Gray model, with the covariate's value at each time of the ending."""
    sets, terms = model.sets, model.design.terms
    read_term(term, terms, form, form_df)
    basis, times = basis_of(form, np.repeat(sets.time, sets.counted), form_df)
    G = basis(times)[:, 1:]
    p, q, own = len(terms), G.shape[1], terms.index(term)
    spread = G.std(axis=0)
    names = (*terms, *change_names(term, form, q))
    # centred columns; what that takes away is part of the constant coefficient
    whole, found = _climbed(model, own, (G - G.mean(axis=0)) / spread, names)
    influence = np.linalg.solve(found.curvature, whole.influence(found.at))
    back = np.eye(p + q)
    back[own, p:] = -G.mean(axis=0) / spread
    back[p:, p:] /= spread[:, None]
    scale = np.concatenate((model.design.scale, np.full(q, model.design.scale[own])))
    back /= scale[:, None]
    rows = cluster_sums(model.intervals.cluster, np.asarray(back @ influence, dtype=np.float64))
    beta, covariance = back @ found.beta, rows @ rows.T
    return VaryingCoefficient(
        term=term,
        form=form,
        basis=basis,
        names=names,
        beta=beta,
        covariance=covariance,
        place=np.array([own, *range(p, p + q)]),
        time=times,
        statistic=robust_wald(beta[p:], covariance[p:, p:]),
        df=q,
        test="robust Wald",
        n_clusters=model.n_clusters,
        rows=model.rows,
        kind=f"Fine-Gray model of '{model.cause}'",
        ratio="subdistribution hazard ratio",
        state=model.cause,
    )


def _climbed(
    model: FineGrayModel, own: int, changes: Array, names: tuple[str, ...]
) -> tuple[VaryingSubdistribution, Ascent]:
    """Maximise the pseudo-likelihood with a coefficient that has these changes (k, q) in time."""
    sets = model.sets
    if sets.X.shape[1] * len(changes) * len(names) > MOST:
        raise DataError(
            f"{plural(sets.X.shape[1], 'row')} at {plural(len(changes), 'time')} of the ending are "
            "too many. Take a random part of the rows, or group the clock into whole weeks."
        )
    whole = VaryingSubdistribution(sets, sets.X[own], changes)
    start = np.concatenate((model.fit.beta, np.zeros(changes.shape[1])))
    found = ascend(whole, start, done=_CONVERGED)
    if not found.converged:
        refuse_indefinite(found.curvature, names)
        raise NotIdentifiedError(
            f"The coefficient of '{names[own]}' did not settle as a function of time: too few "
            "endings tell how it changes."
        )
    return whole, found


def _errors(
    model: CoxModel, fit: CoxFit, arrays: tuple[Array, RiskSets, Intervals], q: int
) -> tuple[Array, str, float]:
    """Return the covariance at SD 1, and the test of no change with its statistic."""
    X, sets, cut = arrays
    if cut.cluster is None:
        rise = 2.0 * (fit.at.log_lik - model.fit.at.log_lik)
        return np.asarray(np.linalg.inv(fit.information)), "likelihood ratio", max(rise, 0.0)
    covariance = cluster_errors(X, fit, sets, cut.cluster, cut.n_clusters, vcov="robust").covariance
    return covariance, "robust Wald", robust_wald(fit.beta[-q:], covariance[-q:, -q:])


def change_names(term: str, form: str, q: int) -> list[str]:
    """Return the names of the coefficients of the changes."""
    if form == "spline":
        return [f"{term}:spline(time)[{k + 1}]" for k in range(q)]
    return [f"{term}:log(time)" if form == "log" else f"{term}:time"]


def _cut_at_events(model: CoxModel, q: int) -> tuple[Intervals, Integers]:
    """Cut each row at every event time of its stratum at which it was at risk."""
    sets, intervals = model.sets, model.intervals
    first, last = sets.to_rows(sets.first), sets.to_rows(sets.last)
    pieces = last - first
    if pieces.sum() * (len(model.beta) + q) > MOST:
        raise DataError(
            f"Cut at every event time, {plural(len(pieces), 'row')} make "
            f"{plural(int(pieces.sum()), 'row')}: too many. Take a random part of the rows, or "
            "group the clock into whole sessions or weeks."
        )
    row = np.repeat(sets.order, pieces)
    ends = np.repeat(np.cumsum(pieces), pieces)
    at = np.repeat(last, pieces) - (ends - np.arange(len(row)))
    is_last = np.append(row[1:] != row[:-1], True)
    exit_ = sets.time[at]
    before = np.concatenate(([0.0], sets.time))[at]
    starts = np.isin(at, sets.bounds)
    return (
        replace(
            intervals,
            entry=np.where(starts, 0.0, before),
            exit=exit_,
            event=np.where(is_last, intervals.event[row], 0) * (exit_ == intervals.exit[row]),
            stratum=intervals.stratum[row],
            cluster=None if intervals.cluster is None else intervals.cluster[row],
            offset=None if intervals.offset is None else intervals.offset[row],
        ),
        row,
    )


def _basis(form: str, event_times: Array, df: int) -> Basis:
    if form in ("log", "linear"):
        return partial(_straight, log=form == "log")
    knots = np.unique(np.quantile(event_times, np.linspace(0.0, 1.0, df + 1)))
    return partial(_natural_spline, knots=knots)


@named
def _straight(time: Array, *, log: bool) -> Array:
    return np.column_stack((np.ones(len(time)), np.log(time) if log else time))


@named
def _natural_spline(time: Array, *, knots: Array) -> Array:
    """Return 1, t and the cubic columns (t, knots) that are straight beyond the knots.

    Times are scaled to 0 at the first knot and 1 at the last (Hastie, Tibshirani & Friedman 2009,
    equations 5.4 and 5.5).
    """
    low, high = knots[0], knots[-1]
    width = high - low if high > low else 1.0
    t, k = (time - low) / width, (knots - low) / width
    cubes = np.maximum(t[:, None] - k, 0.0) ** 3
    if len(k) < 3:
        return np.column_stack((np.ones(len(t)), t))
    slopes = (cubes[:, :-1] - cubes[:, -1:]) / (k[-1] - k[:-1])
    return np.column_stack((np.ones(len(t)), t, slopes[:, :-1] - slopes[:, -1:]))
