"""A hazard ratio that changes as time goes on: how it changes, and whether it does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice, did_you_mean, require_kind
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.named import named
from alliance_stats.survival.cox.cox_fit import CoxFit, cluster_errors, fit_cox
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.risk_sets import RiskSets, refuse_weights, risk_sets
from alliance_stats.survival.curves.life_table import asked_times
from alliance_stats.survival.rows.time_at_risk import IntArray, Intervals

__all__ = ["VaryingCoefficient", "varying_coefficient"]

Basis = Callable[[Array], Array]

_FORMS = ("log", "linear", "spline")
_MOST = 4e7  # numbers in the rows split at every event time


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VaryingCoefficient:
    """A Cox model in which one coefficient is a function of time.

    Attributes
    ----------
    term
        The coefficient that changes.
    form, basis
        What function of time it is: its name, and times (t,) -> its columns (t, 1 + q), the
        constant first.
    names
        Names of all coefficients: those of the model and, behind them, the q changes over time.
    beta, covariance
        (p + q,) log hazard ratios, and their covariance.
    place
        Where the term's coefficients stand among them: its constant, then its changes.
    time
        (k,) event times.
    statistic, df, p_value, test
        Of no change over time: the likelihood ratio; with clusters the robust Wald statistic.
    n_clusters
        Clusters behind the standard errors; None without.
    rows
        What happened to the rows.
    """

    term: str
    form: str
    basis: Basis
    names: tuple[str, ...]
    beta: Array
    covariance: Array
    place: IntArray
    time: Array
    statistic: float
    df: int
    test: str
    n_clusters: int | None
    rows: RowLedger

    __repr__ = one_line

    @property
    def p_value(self) -> float:
        """Of no change over time."""
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
            event times, where nothing was seen.
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
        return f"Cox model in which the coefficient of '{self.term}' {change}{over}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing to know beforehand."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the hazard ratio at five times and the test, as data."""
        shares = (0.0, 0.25, 0.5, 0.75, 1.0)
        times = np.unique(np.quantile(self.time, shares, method="nearest"))
        curve = self.curve(times.tolist(), conf_level=conf_level)
        columns = ["estimate", "conf_low", "conf_high"]
        ratios = curve.assign(**{name: np.exp(curve[name]) for name in columns})
        at = Section(
            "Over time",
            ratios[["time", *columns]],
            names=("time",),
            measure=f"hazard ratio of {self.term}",
            kind="ratio",
            conf_level=conf_level,
        )
        test = Section(
            "No change over time",
            self.glance(),
            names=("term",),
            statistic=f"{self.test} chi-squared",
        )
        return Account(
            self.method,
            self.notes,
            {"rows": self.rows.n_used},
            (at, test),
            rows=self.rows,
            sources=("cox1972", "therneau2000"),
        )

    summary = summary_of
    _repr_html_ = html_of


def varying_coefficient(
    model: CoxModel, *, term: str, form: str = "log", form_df: int = 3
) -> VaryingCoefficient:
    """Let one coefficient of a Cox model change with time: ``beta(t) = b0 + g(t) b``.

    The model is fitted anew with ``x g(t)`` beside its covariates, each row cut at every event time
    (Therneau & Grambsch 2000, section 6.5, doi:10.1007/978-1-4757-3294-8): what R's ``coxph`` does
    for ``tt(x)``. Where :func:`proportional_hazards_test` finds that a ratio does not stay the
    same, this says what it is when.

    Parameters
    ----------
    model
        From :func:`cox_ph`, without weights or frailty; its clusters, strata and ties are kept.
    term
        The coefficient, by its name in ``model.tidy()``.
    form
        g(t): ``"log"``, ``"linear"`` or ``"spline"`` (natural cubic, knots at quantiles of the
        times of events).
    form_df
        Columns of the spline beside the constant.

    Returns
    -------
    VaryingCoefficient

    Raises
    ------
    DataError
        A term that the model does not have; too many rows to be cut at every event time.
    NotIdentifiedError
        Events at fewer times than the function needs; separation.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study, varying_coefficient
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> found = varying_coefficient(model, term="investment")
    >>> found.curve([2, 8]).round(2)[["time", "estimate", "conf_low", "conf_high"]]
       time  estimate  conf_low  conf_high
    0   2.0     -0.51     -0.82      -0.19
    1   8.0      0.09     -0.22       0.41
    """
    require_kind(model, CoxModel, asked="varying_coefficient takes a model of cox_ph")
    check_choice(form, _FORMS, name="form")
    refuse_weights(model.sets, "A coefficient that changes with time")
    if model.frailty is not None:
        raise ValueError("The model has a frailty; fit it with cluster= instead.")
    terms = model.design.terms
    if term not in terms:
        raise DataError(f"The model has no coefficient '{term}'. {did_you_mean(term, terms)}")
    if form == "spline" and form_df < 2:
        raise ValueError(f"form_df must be 2 or more for a spline; got {form_df}.")
    sets = model.sets
    event_times = np.sort(np.repeat(sets.time, sets.n_event))
    times = np.unique(event_times)
    basis = _basis(form, event_times, form_df)
    columns = basis(times)
    q = columns.shape[1] - 1
    if len(times) <= q or np.linalg.matrix_rank(columns) <= q:
        raise NotIdentifiedError(
            f"There are events at {plural(len(times), 'time')}: a coefficient that changes in "
            f"{plural(q, 'way')} needs more."
        )
    cut, row = _cut_at_events(model, q)
    split = risk_sets(cut, ties=model.ties)
    own = terms.index(term)
    x = model.design.X[own] * model.design.scale[own]  # its centre cancels in every risk set
    changes = (basis(cut.exit)[:, 1:] * x[row][:, None]).T
    X = np.vstack((model.design.X[:, row], changes))
    centre, scale = X.mean(axis=1), X.std(axis=1)
    names = (*terms, *_names(term, form, q))
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
    )


def _errors(
    model: CoxModel, fit: CoxFit, arrays: tuple[Array, RiskSets, Intervals], q: int
) -> tuple[Array, str, float]:
    """Return the covariance at SD 1, and how and how strongly no change is refused."""
    X, sets, cut = arrays
    if cut.cluster is None:
        rise = 2.0 * (fit.at.log_lik - model.fit.at.log_lik)
        return np.asarray(np.linalg.inv(fit.information)), "likelihood ratio", max(rise, 0.0)
    covariance = cluster_errors(X, fit, sets, cut.cluster, cut.n_clusters, vcov="robust").covariance
    change, own = fit.beta[-q:], covariance[-q:, -q:]
    if np.linalg.matrix_rank(own, hermitian=True) < q:
        return covariance, "robust Wald", float("nan")
    return covariance, "robust Wald", float(change @ np.linalg.solve(own, change))


def _names(term: str, form: str, q: int) -> list[str]:
    if form == "spline":
        return [f"{term}:spline(time)[{k + 1}]" for k in range(q)]
    return [f"{term}:log(time)" if form == "log" else f"{term}:time"]


def _cut_at_events(model: CoxModel, q: int) -> tuple[Intervals, IntArray]:
    """Cut each row at every event time of its stratum at which it was at risk."""
    sets, intervals = model.sets, model.intervals
    first, last = sets.to_rows(sets.first), sets.to_rows(sets.last)
    pieces = last - first
    if pieces.sum() * (len(model.beta) + q) > _MOST:
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

    Of times brought to 0 at the first knot and 1 at the last (Hastie, Tibshirani & Friedman 2009,
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
