"""Mean time until an ending, up to a horizon that everyone could have reached."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Coefficients, estimate_columns, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.curves.life_table import (
    LifeTable,
    greenwood,
    life_table,
    product_limit,
    survival_influence,
)
from alliance_stats.survival.rows.time_at_risk import (
    IntArray,
    Intervals,
    read_intervals,
    refuse_single_clusters,
    same_times,
)

__all__ = ["RestrictedMean", "restricted_mean"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RestrictedMean:
    """Area under each stratum's Kaplan-Meier curve up to a horizon.

    Attributes
    ----------
    strata
        Names of the s strata.
    nobs
        (s,) rows of each.
    estimate, covariance
        (s,) means, in the caller's time unit, and their (s, s) covariance (diagonal without
        clusters that reach over strata).
    until
        The horizon.
    intervals
        The rows used.
    """

    strata: tuple[str, ...]
    nobs: IntArray
    estimate: Array
    covariance: Array
    until: float
    intervals: Intervals

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.intervals.rows

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``strata, nobs, estimate, std_error, conf_low, conf_high``, a row per stratum.

        Intervals are normal, in the caller's time unit.
        """
        std_error = np.sqrt(np.diag(self.covariance))
        found = estimate_columns(self.estimate, std_error, conf_level=conf_level)
        found = found[["estimate", "std_error", "conf_low", "conf_high"]]
        found.insert(0, "strata", self.strata)
        found.insert(1, "nobs", self.nobs)
        return found

    def differences(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the difference of every pair of strata, later minus earlier in sorted order.

        Returns
        -------
        DataFrame
            ``contrast, estimate, std_error, statistic, p_value, conf_low, conf_high``; normal
            theory.
        """
        if len(self.strata) < 2:
            raise DataError("There is one stratum: a difference needs strata= with two or more.")
        pairs = list(combinations(range(len(self.strata)), 2))
        first, second = np.array(pairs).T
        estimate = self.estimate[second] - self.estimate[first]
        variance = np.diag(self.covariance)
        std_error = np.sqrt(
            variance[first] + variance[second] - 2.0 * self.covariance[first, second]
        )
        found = estimate_columns(estimate, std_error, conf_level=conf_level).drop(columns="df")
        found.insert(0, "contrast", [f"{self.strata[b]} - {self.strata[a]}" for a, b in pairs])
        return found

    def ratios(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the ratio of every pair of strata's means, later over earlier in sorted order.

        Returns
        -------
        DataFrame
            ``contrast, estimate, std_error, statistic, p_value, conf_low, conf_high``: the ratio,
            its delta-method standard error, and the test and limits of its logarithm (normal).
        """
        if len(self.strata) < 2:
            raise DataError("There is one stratum: a ratio needs strata= with two or more.")
        pairs = list(combinations(range(len(self.strata)), 2))
        L = np.zeros((len(pairs), len(self.strata)))
        for row, (a, b) in enumerate(pairs):
            L[row, [a, b]] = -1.0 / self.estimate[a], 1.0 / self.estimate[b]
        logs = np.log(self.estimate)
        found = Coefficients(
            [f"{self.strata[b]} / {self.strata[a]}" for a, b in pairs],
            np.array([logs[b] - logs[a] for a, b in pairs]),
            L @ self.covariance @ L.T,
        ).ratios(conf_level=conf_level)
        return found.rename(columns={"term": "contrast"}).drop(columns="df")

    def glance(self) -> pd.DataFrame:
        """Return ``until, n_strata, nobs`` in one row."""
        return pd.DataFrame(
            {"until": [self.until], "n_strata": [len(self.strata)], "nobs": [self.rows.n_used]}
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return f"mean time up to {self.until:g} (area under the Kaplan-Meier curve)"

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing to know beforehand."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the means and their differences, as data."""
        means = Section(
            "Curve",
            self.tidy(conf_level=conf_level),
            names=("strata",),
            measure="mean",
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
        return Account(
            self.method,
            self.notes,
            {"rows": self.rows.n_used},
            tuple(sections),
            rows=self.rows,
            sources=("royston2013",),
        )

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
) -> RestrictedMean:
    """Estimate the mean of ``min(T, until)``: sessions attended out of the first so many, say.

    The area under the Kaplan-Meier curve from 0 to `until`. Its variance is ``sum over t <= until
    of A(t)^2 d(t) / (n(t) (n(t) - d(t)))`` with A(t) the area from t on (Irwin 1949; Royston &
    Parmar 2013, doi:10.1186/1471-2288-13-152); with `cluster`, the summed squared influence of each
    cluster, which also gives the covariance of strata that share clusters.

    Parameters
    ----------
    data
        A row per unit that can end (or, with `entry`, a row per interval at risk).
    time, event, entry, strata, cluster
        Columns, as in :func:`kaplan_meier`.
    until
        The horizon, in the unit of `time`; the same for all strata.

    Returns
    -------
    RestrictedMean

    Raises
    ------
    DataError
        If a stratum's curve is not known up to `until`.

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
        data, time=time, event=event, entry=entry, strata=strata, cluster=cluster
    )
    refuse_single_clusters(intervals, cluster)
    until = float(same_times(np.array([until]), intervals.exit)[0])
    n_strata = len(intervals.strata)
    estimate = np.zeros(n_strata)
    covariance = np.zeros((n_strata, n_strata))
    influence = np.zeros((n_strata, intervals.n_clusters))
    for number, label in enumerate(intervals.strata):
        spells = intervals.spells(number)
        table = life_table(spells)
        survival = product_limit(table)
        _refuse_beyond(until, label, table, survival)
        widths, first = _widths(table.time, until)
        areas = survival * widths
        estimate[number] = first + areas.sum()
        if spells.cluster is None:
            covariance[number, number] = _variance(table, areas, until)
            continue
        for clusters, part in survival_influence(spells, table, survival):
            influence[number, clusters] = part @ widths
    if intervals.cluster is not None:
        covariance = influence @ influence.T
    return RestrictedMean(
        strata=intervals.strata,
        nobs=np.bincount(intervals.stratum, minlength=n_strata),
        estimate=estimate,
        covariance=covariance,
        until=float(until),
        intervals=intervals,
    )


def _widths(time: Array, until: float) -> tuple[Array, float]:
    """Return how long each step lasts before `until`, and the time before the first step."""
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
