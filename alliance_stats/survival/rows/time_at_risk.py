"""Rows of a frame as intervals of time at risk: the door of every survival function.

A row says that someone was under observation on the half-open interval ``(entry, time]`` and
whether an event closed it. Who enters at t is not at risk at t; who leaves at t still is.
"""

import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    check_spelling,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.rows.clock_columns import (
    Groups,
    IntArray,
    as_columns,
    read_endings,
    read_event,
    read_labels,
    read_times,
)

__all__ = [
    "WHOLE_SAMPLE",
    "IntArray",
    "Intervals",
    "Spells",
    "few_clusters_warning",
    "missing_reason",
    "read_intervals",
    "refuse_late_entry",
    "refuse_single_clusters",
]

WHOLE_SAMPLE = "all"
"""Label of the one stratum where no strata were asked for."""

# Below this, standard errors over clusters are known to be too small (Cameron & Miller 2015).
_FEW_CLUSTERS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Spells:
    """Times at risk as arrays of length n; what the pure functions work on.

    Attributes
    ----------
    entry, exit
        The interval ``(entry, exit]``; ``entry`` is 0 without delay.
    event
        0 where the spell is censored, else the number of its ending, from 1.
    cluster
        Number of each spell's cluster; None where no clusters were given.
    """

    entry: Array
    exit: Array
    event: IntArray
    cluster: IntArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Checked rows as arrays, all of length n.

    Attributes
    ----------
    entry, exit
        The interval ``(entry, exit]`` in the caller's time unit; ``entry`` is 0 without delay.
    event
        0 where the row is censored, else the number of its ending, from 1.
    states
        Names of the endings; ``states[event - 1]`` names a row's.
    stratum, strata
        Number of each row's stratum, and the strata's names.
    strata_keys, strata_columns
        The values that make each stratum, and of which columns.
    cluster, n_clusters
        Number of each row's cluster; None and 0 where no clusters were given.
    frame
        The rows that were kept, with all columns the caller's frame has.
    rows
        What happened to the rows.
    """

    entry: Array
    exit: Array
    event: IntArray
    states: tuple[str, ...]
    stratum: IntArray
    strata: tuple[str, ...]
    strata_keys: tuple[tuple[object, ...], ...]
    strata_columns: tuple[Hashable, ...]
    cluster: IntArray | None
    n_clusters: int
    frame: pd.DataFrame
    rows: RowLedger

    def spells(self, number: int) -> Spells:
        """Return the spells of one stratum."""
        pick = self.stratum == number
        return Spells(
            entry=self.entry[pick],
            exit=self.exit[pick],
            event=self.event[pick],
            cluster=None if self.cluster is None else self.cluster[pick],
        )


def read_intervals(
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    entry: Hashable | None = None,
    strata: Hashable | Sequence[Hashable] | None = None,
    cluster: Hashable | None = None,
    also: Sequence[Hashable] = (),
    competing: bool = False,
    censored: object | None = None,
) -> Intervals:
    """Check the columns that survival functions share and turn them into arrays.

    Parameters
    ----------
    data
        A row an interval.
    time, event, entry, strata, cluster
        Columns; `strata` may be several.
    also
        Further columns that must be present in every row that is kept.
    competing
        Whether `event` tells several endings apart.
    censored
        With `competing`: the value of `event` that means "not ended".

    Raises
    ------
    DataError
        A column that is not there, an interval of no or negative length, a negative time, an
        event that is neither 0 nor 1, or no rows left.
    """
    data = check_frame(data)
    strata_columns = as_columns(data, strata)
    columns = [time, event, entry, *strata_columns, cluster, *also]
    require_columns(data, columns)
    levels = {str(cluster): (cluster,)} if cluster is not None else {}
    rows = RowLedger.start(data, levels)  # type: ignore[arg-type]
    for column in dict.fromkeys(column for column in columns if column is not None):
        present = data[column].notna().to_numpy()
        if not present.all():
            happened = np.zeros(len(data), dtype=bool)
            if not competing:
                happened = data[event].isin([1]).to_numpy()
            reason = missing_reason(column, int((happened & ~present).sum()))
            data, rows = rows.keep(data, present, reason=reason)
    if not len(data):
        raise DataError(f"No row has all of the columns it needs. {rows}")

    start, stop = read_times(data, time, entry)
    if entry is None:
        _warn_of_late_entry(data, time)
    if competing:
        codes, states = read_endings(data, event, censored)
    else:
        codes, states = read_event(data, event), (str(event),)
    groups = Groups(np.zeros(len(data), dtype=np.int64), ((),), (WHOLE_SAMPLE,))
    if strata_columns:
        groups = read_labels(data, strata_columns)
    clusters, cluster_labels = (None, pd.Index([]))
    if cluster is not None:
        check_spelling(data[cluster], kind="cluster")
        clusters, cluster_labels = group_codes(data[cluster])
    return Intervals(
        entry=start,
        exit=stop,
        event=codes,
        states=states,
        stratum=groups.codes,
        strata=groups.labels,
        strata_keys=groups.keys,
        strata_columns=strata_columns,
        cluster=clusters,
        n_clusters=len(cluster_labels),
        frame=data,
        rows=rows,
    )


def missing_reason(column: Hashable, n_event: int, *, event: str = "the event") -> str:
    """Return why rows were set aside, with the events that went with them."""
    lost = f", {n_event} of them with {event}" if n_event else ""
    return f"'{column}' missing{lost}"


def refuse_late_entry(data: pd.DataFrame, entry: Hashable | None, *, method: str) -> None:
    """Refuse units seen from later on, also where `endings` says so and nobody asked."""
    if entry is None and {"first_session", "entry"} <= set(check_frame(data).columns):
        entry = "entry"
    if entry is None:
        return
    require_columns(check_frame(data), [entry])
    late = finite_or_missing(data, entry) > 0.0
    if late.any():
        raise DataError(
            f"Column '{entry}' is above 0 in {describe_rows(late, data.index)}: {method} takes "
            "units seen from the start, and these could not have been seen to leave before. For "
            "the hazard of one ending make a column of it, as in data.assign(left=data['state'] "
            f"== 'dropout'), and use cox_ph with start='{entry}', stop='time', event='left'; for "
            f"the curves of all endings, cumulative_incidence with entry='{entry}'."
        )


def _warn_of_late_entry(data: pd.DataFrame, time: Hashable) -> None:
    """Warn where `endings` knows that units were seen from later on, and nobody asked."""
    if time != "time" or not {"first_session", "entry"} <= set(data.columns):
        return
    late = int((finite_or_missing(data, "entry") > 0.0).sum())
    if late:
        warnings.warn(
            f"Column 'entry' is above 0 in {plural(late, 'row')}, which count as at risk from the "
            "start although they could not have been seen to leave before: give entry='entry' "
            "(Cox: start='entry', stop='time').",
            AllianceStatsWarning,
            stacklevel=4,
        )


def refuse_single_clusters(intervals: Intervals, cluster: Hashable | None) -> None:
    """Refuse a curve whose rows all belong to one cluster: its standard error would come out 0."""
    if intervals.cluster is None:
        return
    for number, label in enumerate(intervals.strata):
        own = intervals.cluster[intervals.stratum == number]
        if (own == own[0]).all():
            where = "" if label == WHOLE_SAMPLE else f" in stratum '{label}'"
            raise DataError(
                f"Column '{cluster}' holds one cluster{where}: a standard error over clusters "
                "needs at least two. Leave out cluster=, and say that the rows were taken as "
                "independent."
            )


def few_clusters_warning(n_clusters: int) -> Iterator[str]:
    """Yield a warning where standard errors rest on few clusters."""
    if n_clusters < _FEW_CLUSTERS:
        yield (
            f"Standard errors over {n_clusters} clusters: below about {_FEW_CLUSTERS} "
            "they tend to be too small."
        )
