"""Competing endings: the probability of each ending by each time."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.curves.life_table import (
    LifeTable,
    asked_times,
    cluster_blocks,
    events_since,
    life_table,
    n_at_risk,
    own_roots,
    pairwise_differences,
    places_at,
    probability_rows,
    product_limit,
    step_values,
    survival_steps,
)
from alliance_stats.survival.rows.time_at_risk import (
    Spells,
    read_intervals,
    refuse_single_clusters,
    weighted_rows,
)

__all__ = [
    "CumulativeIncidence",
    "IncidenceCurves",
    "cumulative_incidence",
    "incidence_curves",
    "incidence_influence",
]


@dataclass(frozen=True, slots=True, eq=False)
class IncidenceCurves:
    """One stratum's curves.

    Attributes
    ----------
    label
        The stratum's name.
    table
        Counts at each of k times, all endings together.
    n_event, hazard
        (states, k) events of each ending, and their share of those at risk.
    incidence, std_error
        (states, k) probability of each ending by each time, and its standard error.
    survival, survival_std_error
        (k,) probability of not having ended at all.
    spells
        The rows, for estimates at other times.
    """

    label: str
    table: LifeTable
    n_event: Integers
    hazard: Array
    incidence: Array
    std_error: Array
    survival: Array
    survival_std_error: Array
    spells: Spells


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CumulativeIncidence:
    """Cumulative incidence of competing endings (Aalen-Johansen).

    Attributes
    ----------
    states
        Names of the endings.
    curves
        The strata's curves, in sorted order.
    n_clusters
        Clusters behind the standard errors; None where each row is its own.
    rows
        What happened to the rows.
    """

    states: tuple[str, ...]
    curves: tuple[IncidenceCurves, ...]
    n_clusters: int | None
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95, conf_type: str = "log-log") -> pd.DataFrame:
        """Return one row per stratum, ending and time.

        Returns
        -------
        DataFrame
            ``strata, state, time, n_risk, n_event, n_censor, estimate, std_error, conf_low,
            conf_high``: `estimate` is the probability of having ended as `state` says by `time`;
            `n_event` counts that ending; all on the probability scale. With ``conf_type="log"``
            the limits are R's default.
        """
        frames = []
        for curve in self.curves:
            for number, state in enumerate(self.states):
                estimate, std_error = curve.incidence[number], curve.std_error[number]
                names = {
                    "strata": curve.label,
                    "state": state,
                    "time": curve.table.time,
                    "n_risk": curve.table.n_risk,
                    "n_event": curve.n_event[number],
                    "n_censor": curve.table.n_censor,
                }
                rows = probability_rows(
                    names, estimate, std_error, conf_level=conf_level, conf_type=conf_type
                )
                frames.append(rows)
        return pd.concat(frames, ignore_index=True)

    def at(
        self, times: Sequence[float], *, conf_level: float = 0.95, conf_type: str = "log-log"
    ) -> pd.DataFrame:
        """Return the incidences at chosen times, as R's ``summary(survfit(...), times = )`` does.

        Returns
        -------
        DataFrame
            ``strata, state, time, n_risk, n_event, estimate, std_error, conf_low, conf_high``, as
            in :meth:`KaplanMeier.at`; NaN after the last time observed in a stratum, unless
            all had ended.
        """
        asked = asked_times(times)
        found = []
        for curve in self.curves:
            place = places_at(curve.table.time, curve.survival, asked)
            n_risk = n_at_risk(curve.spells, asked)
            for number, state in enumerate(self.states):
                estimate = step_values(curve.incidence[number], place, start=0.0)
                std_error = step_values(curve.std_error[number], place, start=0.0)
                names = {
                    "strata": curve.label,
                    "state": state,
                    "time": asked,
                    "n_risk": n_risk,
                    "n_event": events_since(curve.n_event[number], place),
                }
                rows = probability_rows(
                    names, estimate, std_error, conf_level=conf_level, conf_type=conf_type
                )
                found.append(rows)
        return pd.concat(found, ignore_index=True)

    def differences(self, times: Sequence[float], *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return differences in incidence between pairs of strata at chosen times.

        Returns
        -------
        DataFrame
            ``contrast, state, time, estimate, std_error, statistic, p_value, conf_low, conf_high``:
            the later stratum in sorted order minus the earlier, as in
            :meth:`KaplanMeier.differences`.
        """
        asked = asked_times(times)
        places = [places_at(c.table.time, c.survival, asked) for c in self.curves]
        pairs = list(zip(self.curves, places, strict=True))
        values = np.stack([step_values(c.incidence, at, start=0.0) for c, at in pairs])
        if self.n_clusters is None:
            root = own_roots(np.stack([step_values(c.std_error, p, start=0.0) for c, p in pairs]))
        else:
            root = np.stack([self._influence_at(c, p, self.n_clusters) for c, p in pairs])
        names = [curve.label for curve in self.curves]
        return pairwise_differences(names, self.states, asked, values, root, conf_level=conf_level)

    def _influence_at(self, curve: IncidenceCurves, place: Integers, n_clusters: int) -> Array:
        """Return each cluster's influence (states, times, clusters) on a curve."""
        own = np.zeros((len(self.states), len(place), n_clusters))
        for clusters, _, _, part in incidence_influence(
            curve.spells, curve.table, curve.survival, curve.hazard
        ):
            own[:, :, clusters] = step_values(part, place, start=0.0).transpose(0, 2, 1)
        own[:, place < 0] = np.nan
        return own

    def glance(self) -> pd.DataFrame:
        """Return ``nobs, n_event, n_states, n_strata, n_clusters`` in one row."""
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_event": [sum(int(curve.n_event.sum()) for curve in self.curves)],
                "n_states": [len(self.states)],
                "n_strata": [len(self.curves)],
                "n_clusters": [self.n_clusters],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        errors = (
            ""
            if self.n_clusters is None
            else (f", standard errors over {plural(self.n_clusters, 'cluster')}")
        )
        return f"cumulative incidence of competing endings (Aalen-Johansen){errors}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return tuple(self._warnings())

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the incidence of each ending by the last time, as data."""
        tidy = self.tidy(conf_level=conf_level)
        groups = ["strata", "state"]
        ends = tidy.groupby(groups, sort=False).tail(1).drop(columns="n_event")
        counts = tidy.groupby(groups, sort=False, as_index=False)["n_event"].sum()
        section = Section(
            "Curve",
            ends.merge(counts, on=groups),
            names=("strata", "state"),
            measure="ended so",
            kind="share",
            columns={"n_event": Column("events", "count"), "time": Column("by time", "time")},
            conf_level=conf_level,
        )
        not_ended = tuple(
            Phrase("{}: not ended {}.", (curve.label, (float(curve.survival[-1]), "share")))
            for curve in self.curves
        )
        return Account.of(
            self, {"rows": self.rows.n_used}, (section,), not_ended, sources=("aalen1978",)
        )

    summary = summary_of
    _repr_html_ = html_of

    def _warnings(self) -> Iterator[str]:
        for curve in self.curves:
            for number, state in enumerate(self.states):
                if not curve.n_event[number].any():
                    yield f"Nobody of '{curve.label}' ended as '{state}'."
            emptied = np.flatnonzero(curve.survival == 0)
            if len(emptied) and emptied[0] < len(curve.survival) - 1:
                yield (
                    f"All of '{curve.label}' at risk at time "
                    f"{curve.table.time[emptied[0]]:g} ended then: the curves stay flat although "
                    "others enter later."
                )
            elif len(emptied) and curve.table.n_censor.sum() > 0 and curve.table.n_risk[-1] > 1:
                yield (
                    f"All {format_count(int(curve.table.n_risk[-1]))} of '{curve.label}' still at "
                    f"risk at time {curve.table.time[-1]:g} ended then, after "
                    f"{format_count(int(curve.table.n_censor.sum()))} whose ending is not known "
                    "had left the risk set: read the curves up to the time before."
                )


def cumulative_incidence(
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    entry: Hashable | None = None,
    strata: Hashable | Sequence[Hashable] | None = None,
    cluster: Hashable | None = None,
    censored: object | None = None,
    weights: Hashable | None = None,
) -> CumulativeIncidence:
    """Estimate the probability of each of several endings by each time.

    ``F_j(t) = sum over s <= t of S(s-) d_j(s) / n(s)`` with S the probability of not having ended
    at all (Aalen & Johansen 1978, Scandinavian Journal of Statistics 5:141-150). One minus
    Kaplan-Meier with the other endings censored answers another question: what would happen if
    there were no other endings.

    The standard errors are those of the infinitesimal jackknife, the summed squared influence of
    each row, or with `cluster` of each cluster, as in R's ``survival::survfit``.

    Parameters
    ----------
    data
        One row per unit that can end (or, with `entry`, per interval at risk).
    time, entry, strata, cluster
        Columns, as in :func:`kaplan_meier`.
    event
        Column: numbers, 0 for censored, or labels of the endings.
    censored
        The value of `event` that means "not ended"; detected where it is 0, False,
        ``"ongoing"`` or ``"censored"``.
    weights
        Column of positive weights, as in :func:`kaplan_meier`.

    Returns
    -------
    CumulativeIncidence

    Raises
    ------
    DataError
        Impossible times, labels none of which is known to mean "not ended", no ending at all.

    Examples
    --------
    >>> from alliance_stats import cumulative_incidence, endings, example_study
    >>> families = endings(example_study()).units
    >>> curves = cumulative_incidence(families, time="time", event="state", censored="ongoing")
    >>> curves.tidy().groupby("state")["estimate"].last().round(3)
    state
    dropout         0.327
    other ending    0.673
    Name: estimate, dtype: float64
    """
    intervals = read_intervals(
        data,
        time=time,
        event=event,
        entry=entry,
        strata=strata,
        cluster=cluster,
        also=[] if weights is None else [weights],
        competing=True,
        censored=censored,
    )
    refuse_single_clusters(intervals, cluster)
    intervals = weighted_rows(intervals, weights)
    n_states = len(intervals.states)
    return CumulativeIncidence(
        states=intervals.states,
        curves=tuple(
            incidence_curves(intervals.spells(number), label, n_states)
            for number, label in enumerate(intervals.strata)
        ),
        n_clusters=None if intervals.cluster is None else intervals.n_clusters,
        rows=intervals.rows,
    )


def incidence_curves(spells: Spells, label: str, n_states: int) -> IncidenceCurves:
    """Estimate one stratum's incidences, with their standard errors."""
    table = life_table(spells)
    position = np.searchsorted(table.time, spells.exit)
    n_event = np.stack(
        [
            np.bincount(position[spells.event == state], minlength=len(table.time))
            for state in range(1, n_states + 1)
        ]
    )
    survival = product_limit(table)
    before = np.concatenate(([1.0], survival[:-1]))
    weight = np.ones(len(position)) if spells.weight is None else spells.weight
    weighted = np.stack(
        [
            np.bincount(position, weights=weight * (spells.event == state), minlength=len(survival))
            for state in range(1, n_states + 1)
        ]
    )
    hazard = weighted / table.risk
    squares = np.zeros((n_states + 1, len(table.time)))
    for numbers, copies, lost, influence in incidence_influence(spells, table, survival, hazard):
        del numbers
        squares[0] += copies @ lost**2
        squares[1:] += np.einsum("c,sck->sk", copies, influence**2)
    std_error = np.sqrt(squares)
    return IncidenceCurves(
        label=label,
        table=table,
        n_event=n_event,
        hazard=hazard,
        incidence=np.cumsum(before * hazard, axis=1),
        std_error=std_error[1:],
        survival=survival,
        survival_std_error=std_error[0],
        spells=spells,
    )


def incidence_influence(
    spells: Spells, table: LifeTable, survival: Array, hazard: Array
) -> Iterator[tuple[Integers, Array, Array, Array]]:
    """Yield the derivatives of S(t) and F(t) in the weight of each cluster, in blocks.

    Parameters
    ----------
    spells, table, survival
        The rows, their counts, and S (k,).
    hazard
        (states, k) of each ending.

    Yields
    ------
    clusters, copies, lost, influence
        (c,) numbers, and how many identical units each represents (1 with clusters); (c, k)
        derivatives of S; (states, c, k) of the incidences.
    """
    units, copies = _units(spells)
    before = np.concatenate(([1.0], survival[:-1]))
    for numbers, n_risk, ended in cluster_blocks(units, table.time, n_states=len(hazard)):
        lost = survival_steps(n_risk, ended.sum(axis=0), table, survival)
        lost_before = np.concatenate((np.zeros((len(lost), 1)), lost[:, :-1]), axis=1)
        own = before * (ended - n_risk * hazard[:, None]) / table.risk
        influence = np.cumsum(lost_before * hazard[:, None] + own, axis=2)
        yield numbers, copies[numbers], lost, influence


def _units(spells: Spells) -> tuple[Spells, Array]:
    """Return the independent units and how many identical units each represents.

    Without clusters every row is a unit, and rows with the same interval and ending (many, where
    time counts sessions) have the same influence.
    """
    if spells.cluster is not None:
        return spells, np.ones(int(spells.cluster.max()) + 1)
    rows = np.stack((spells.entry, spells.exit, spells.event.astype(np.float64)), axis=1)
    alike, copies = np.unique(rows, axis=0, return_counts=True)
    units = Spells(alike[:, 0], alike[:, 1], alike[:, 2].astype(np.int64), np.arange(len(alike)))
    return units, copies.astype(np.float64)
