"""Mean time until an ending, or lost to one, up to a horizon that everyone could have reached."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.errors import DataError
from alliance_stats.estimates import (
    Array,
    Booleans,
    Coefficients,
    Integers,
    estimate_columns,
    one_line,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.curves.cumulative_incidence import (
    incidence_curves,
    incidence_influence,
)
from alliance_stats.survival.curves.life_table import (
    LifeTable,
    greenwood,
    group_pairs,
    life_table,
    product_limit,
    survival_influence,
)
from alliance_stats.survival.rows.dropout_definitions import ending_named
from alliance_stats.survival.rows.time_at_risk import (
    Intervals,
    Spells,
    read_intervals,
    refuse_single_clusters,
    same_times,
    weighted_rows,
)

__all__ = ["RestrictedMean", "restricted_mean"]

_ROUNDING = 1e-9  # of the horizon: a standard error below it is what rounding left


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RestrictedMean:
    """Area under each stratum's Kaplan-Meier (or cumulative incidence) curve up to a horizon.

    Attributes
    ----------
    strata
        Names of the s strata.
    nobs
        (s,) rows of each.
    estimate, covariance
        (s,) means, in the caller's time unit, and their (s, s) covariance (diagonal without
        clusters that span strata).
    until
        The horizon.
    intervals
        The rows used.
    cause
        The ending to which time is lost; None for the time until the event.
    """

    strata: tuple[str, ...]
    nobs: Integers
    estimate: Array
    covariance: Array
    until: float
    intervals: Intervals
    cause: str | None

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.intervals.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``strata, nobs, estimate, std_error, conf_low, conf_high``, one row per stratum.

        Intervals are normal, in the caller's time unit; NaN, as the standard error, where nothing
        in the stratum varied (nobody had the event before the horizon, or all at one time).
        """
        std_error = self._errors(np.eye(len(self.strata)))
        found = estimate_columns(self.estimate, std_error, conf_level=conf_level)
        found = found[["estimate", "std_error", "conf_low", "conf_high"]]
        found.insert(0, "strata", self.strata)
        found.insert(1, "nobs", self.nobs)
        return found

    def differences(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the difference between each pair of strata, later minus earlier in sorted order.

        Returns
        -------
        DataFrame
            ``contrast, estimate, std_error, statistic, p_value, conf_low, conf_high``; normal
            theory. NaN but for the estimate, where the mean of one of the two has no error.
        """
        pairs = group_pairs(self.strata, what="difference")
        L = np.zeros((len(pairs), len(self.strata)))
        for row, (a, b) in enumerate(pairs):
            L[row, [a, b]] = -1.0, 1.0
        found = estimate_columns(L @ self.estimate, self._errors(L), conf_level=conf_level)
        found = found.drop(columns="df")
        found.insert(0, "contrast", [f"{self.strata[b]} - {self.strata[a]}" for a, b in pairs])
        return found

    def ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the ratio of means for each pair of strata, later over earlier in sorted order.

        Returns
        -------
        DataFrame
            ``contrast, estimate, std_error, statistic, p_value, conf_low, conf_high``: the ratio,
            its delta-method standard error, and the test and limits of its logarithm (normal).
        """
        pairs = group_pairs(self.strata, what="ratio")
        L = np.zeros((len(pairs), len(self.strata)))
        empty = [name for name, mean in zip(self.strata, self.estimate, strict=True) if mean == 0.0]
        if empty:
            raise DataError(
                f"No time is lost in stratum '{empty[0]}': a ratio to 0 has no logarithm. Ask for "
                "differences()."
            )
        for row, (a, b) in enumerate(pairs):
            L[row, [a, b]] = -1.0 / self.estimate[a], 1.0 / self.estimate[b]
        logs = np.log(self.estimate)
        found = Coefficients(
            [f"{self.strata[b]} / {self.strata[a]}" for a, b in pairs],
            np.array([logs[b] - logs[a] for a, b in pairs]),
            L @ self.covariance @ L.T,
        ).ratios(conf_level=conf_level)
        numbers = ["std_error", "statistic", "p_value", "conf_low", "conf_high"]
        found.loc[np.isnan(self._errors(L)), numbers] = np.nan
        return found.rename(columns={"term": "contrast"}).drop(columns="df")

    @property
    def without_error(self) -> tuple[str, ...]:
        """Strata in which nothing varied, so that the data show no error of their mean."""
        return tuple(np.asarray(self.strata, dtype=object)[self._certain])

    @property
    def _certain(self) -> Booleans:
        return np.asarray(np.diag(self.covariance) <= (_ROUNDING * self.until) ** 2)

    def _errors(self, L: Array) -> Array:
        """Return the standard errors of ``L @ estimate``, NaN where a mean in it has none."""
        variance = np.einsum("ij,jk,ik->i", L, self.covariance, L)
        unknown = (L[:, self._certain] != 0.0).any(axis=1)
        return np.where(unknown, np.nan, np.sqrt(np.maximum(variance, 0.0)))

    def glance(self) -> pd.DataFrame:
        """Return ``until, n_strata, nobs`` in one row."""
        return pd.DataFrame(
            {"until": [self.until], "n_strata": [len(self.strata)], "nobs": [self.rows.n_used]}
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        area = "the Kaplan-Meier curve" if self.cause is None else "its cumulative incidence"
        lost = "" if self.cause is None else f" lost to '{self.cause}'"
        weighted = "weighted " * (self.intervals.weight is not None)
        return f"{weighted}mean time{lost} up to {self.until:g} (area under {area})"

    @property
    def notes(self) -> tuple[str, ...]:
        """Which strata's means have no error that the data could show."""
        if not self.without_error:
            return ()
        named = ", ".join(f"'{name}'" for name in self.without_error)
        return (
            f"No standard error and no interval of stratum {named}: there nobody had the event "
            f"before {self.until:g}, or all at one time, so that nothing varied.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the means and their differences, as data."""
        means = Section(
            "Curve",
            self.tidy(conf_level=conf_level),
            names=("strata",),
            measure="mean" if self.cause is None else "mean lost",
            conf_level=conf_level,
        )
        sections = [means]
        if len(self.strata) > 1:
            sections.append(
                Section(
                    "Difference",
                    self.differences(conf_level=conf_level),
                    names=("contrast",),
                    measure="difference",
                    conf_level=conf_level,
                )
            )
        return Account.of(self, {"rows": self.rows.n_used}, sections, sources=("royston2013",))

    summary = summary_of
    _repr_html_ = html_of


def restricted_mean(
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    until: float,
    entry: Hashable | None = None,
    strata: Hashable | Sequence[Hashable] | None = None,
    cluster: Hashable | None = None,
    cause: object | None = None,
    censored: object | None = None,
    weights: Hashable | None = None,
) -> RestrictedMean:
    """Estimate the mean of ``min(T, until)``: such as sessions attended out of a fixed number.

    With `cause`, the mean time lost to one of several endings before `until`: the area under its
    cumulative incidence (Andersen 2013, doi:10.1002/sim.5903); the times lost to all endings and
    the time attended add up to `until`.

    The area under the Kaplan-Meier curve from 0 to `until`. Its variance is ``sum over t <= until
    of A(t)^2 d(t) / (n(t) (n(t) - d(t)))`` with A(t) the area from t on (Irwin 1949; Royston &
    Parmar 2013, doi:10.1186/1471-2288-13-152); with `cluster`, the summed squared influence of each
    cluster, which also gives the covariance of strata that share clusters.

    Parameters
    ----------
    data
        One row per unit that can end (or, with `entry`, per interval at risk).
    time, event, entry, strata, cluster
        Columns, as in :func:`kaplan_meier`.
    until
        The horizon, in the unit of `time`; the same for all strata.
    cause, censored
        The ending to which time is lost, a value of `event`, which then distinguishes several
        endings, and the value that means "not ended", as in :func:`cumulative_incidence`.
    weights
        Column of positive weights, as in :func:`kaplan_meier`.

    Returns
    -------
    RestrictedMean

    Raises
    ------
    DataError
        If a stratum's curve is not known up to `until`; a cause that does not occur in `event`.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, restricted_mean
    >>> families = endings(example_study()).units
    >>> means = restricted_mean(
    ...     families, time="time", event="event", until=12, strata="parent_trauma"
    ... )
    >>> means.tidy().round(2)
      strata  nobs  estimate  std_error  conf_low  conf_high
    0      0   145     10.10       0.29      9.53      10.66
    1      1    95      9.31       0.41      8.50      10.12
    """
    if not 0.0 < until < np.inf:
        raise ValueError(f"until must be above 0 and finite; got {until}.")
    intervals = read_intervals(
        data, time=time, event=event, entry=entry, strata=strata, cluster=cluster,
        also=[] if weights is None else [weights], competing=cause is not None, censored=censored,
    )  # fmt: skip
    number = None
    if cause is not None:
        number = intervals.states.index(ending_named(cause, intervals.states, event))
    refuse_single_clusters(intervals, cluster)
    intervals = weighted_rows(intervals, weights)
    until = float(same_times(np.array([until]), intervals.exit)[0])
    n_strata = len(intervals.strata)
    estimate = np.zeros(n_strata)
    covariance = np.zeros((n_strata, n_strata))
    influence = np.zeros((n_strata, intervals.n_clusters))
    for k, label in enumerate(intervals.strata):
        spells = intervals.spells(k)
        if number is None:
            found = _attended(spells, label, until)
        else:
            found = _lost(spells, label, until, len(intervals.states), number)
        estimate[k], covariance[k, k], by_cluster = found
        if intervals.cluster is not None:
            influence[k, : len(by_cluster)] = by_cluster
    if intervals.cluster is not None:
        covariance = influence @ influence.T
    return RestrictedMean(
        strata=intervals.strata,
        nobs=np.bincount(intervals.stratum, minlength=n_strata),
        estimate=estimate,
        covariance=covariance,
        until=float(until),
        intervals=intervals,
        cause=None if number is None else intervals.states[number],
    )


def _attended(spells: Spells, label: str, until: float) -> tuple[float, float, Array]:
    """Return the area under S, its variance without clusters, and each cluster's influence."""
    table = life_table(spells)
    survival = product_limit(table)
    _refuse_beyond(until, label, table, survival)
    widths, first = _widths(table.time, until)
    areas = survival * widths
    by_cluster = np.zeros(0 if spells.cluster is None else int(spells.cluster.max()) + 1)
    if spells.cluster is not None:
        for clusters, part in survival_influence(spells, table, survival):
            by_cluster[clusters] = part @ widths
    return first + float(areas.sum()), _variance(table, areas, until), by_cluster


def _lost(
    spells: Spells, label: str, until: float, n_states: int, number: int
) -> tuple[float, float, Array]:
    """Return the area under F of one ending, its variance, and each cluster's influence."""
    curve = incidence_curves(spells, label, n_states)
    table, survival = curve.table, curve.survival
    _refuse_beyond(until, label, table, survival)
    widths, _ = _widths(table.time, until)
    by_cluster = np.zeros(0 if spells.cluster is None else int(spells.cluster.max()) + 1)
    variance = 0.0
    for clusters, copies, _, influence in incidence_influence(
        spells, table, survival, curve.hazard
    ):
        own = influence[number] @ widths
        variance += float(copies @ own**2)
        if spells.cluster is not None:
            by_cluster[clusters] = own
    return float(curve.incidence[number] @ widths), variance, by_cluster


def _widths(time: Array, until: float) -> tuple[Array, float]:
    """Return the length of each step before `until`, and the time before the first step."""
    edges = np.minimum(np.concatenate((time, [until])), until)
    return np.maximum(np.diff(edges), 0.0), float(edges[0])


def _variance(table: LifeTable, areas: Array, until: float) -> float:
    to_the_right = np.cumsum(areas[::-1])[::-1]
    step = greenwood(table.n_risk, table.n_event)
    # Where all at risk end, the curve is 0 from then on: no area is left to vary.
    use = (table.time <= until) & np.isfinite(step)
    return float((to_the_right[use] ** 2 * step[use]).sum())


def _refuse_beyond(until: float, label: str, table: LifeTable, survival: Array) -> None:
    last = table.time[-1]
    if until > last and survival[-1] > 0:
        raise DataError(
            f"until={until:g} lies beyond the last time of stratum '{label}' ({last:g}), where "
            f"{survival[-1]:.3f} had not ended: the curve is unknown there. Choose until={last:g} "
            "or less."
        )
