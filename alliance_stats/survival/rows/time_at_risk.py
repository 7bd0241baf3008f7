"""Rows of a frame as intervals of time at risk: the input of every survival function.

A row says that someone was under observation on the half-open interval ``(entry, time]`` and
whether it ended with an event. A row that enters at t is not at risk at t; one that leaves at t is.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.design.rows import complete_rows
from alliance_stats.errors import AllianceStatsWarning, DataError, warn
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.formatting import format_number, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling, plain_number
from alliance_stats.survival.rows.dropout_definitions import read_endings, read_event

__all__ = [
    "WHOLE_SAMPLE",
    "Groups",
    "Intervals",
    "Spells",
    "as_columns",
    "few_clusters_warning",
    "few_events_warning",
    "read_compared",
    "read_intervals",
    "read_labels",
    "read_weights",
    "refuse_single_clusters",
    "rows_with_all",
    "same_times",
    "weighted_rows",
]


# Times nearer than this (absolutely, or relative to the mean time) are one time: 0.1 + 0.2 and 0.3
# must tie. The square root of the double's precision, as in R's survival::aeqSurv.
_SAME_TIME = float(np.sqrt(np.finfo(np.float64).eps))


def as_columns(
    data: pd.DataFrame, columns: Hashable | Sequence[Hashable] | None
) -> tuple[Hashable, ...]:
    """Return one column or several as a tuple (a tuple that names a column is one column)."""
    if columns is None:
        return ()
    if isinstance(columns, str) or not isinstance(columns, Sequence):
        return (columns,)
    if isinstance(columns, tuple) and columns in data.columns:
        return (columns,)
    return tuple(columns)


def _read_times(data: pd.DataFrame, time: Hashable, entry: Hashable | None) -> tuple[Array, Array]:
    """Return entry and exit, refusing intervals that are empty or start before 0."""
    stop = finite_or_missing(data, time)
    start = np.zeros_like(stop) if entry is None else finite_or_missing(data, entry)
    for column, values in ((time, stop), (entry, start)):
        if (values < 0).any():
            raise DataError(
                f"Column '{column}' is negative in {describe_rows(values < 0, data.index)}. "
                "Time counts from the start of treatment, which is 0."
            )
    start, stop = _merge_near_ties(start, stop)
    empty = stop <= start
    if empty.any():
        found = describe_rows(empty, data.index)
        if entry is None:
            raise DataError(
                f"Column '{time}' is 0 in {found}: nobody is at risk for no time at all. "
                "Count those who never began apart, and say so, or start the clock earlier."
            )
        raise DataError(
            f"'{time}' does not come after '{entry}' in {found}: an interval has an end "
            "later than its start. Correct the dates, or leave those rows out yourself."
        )
    return start, stop


def _merge_near_ties(start: Array, stop: Array) -> tuple[Array, Array]:
    """Give times that differ only by rounding the value of the earlier one."""
    distinct = np.sort(np.union1d(pd.unique(start), pd.unique(stop)))
    if (distinct == np.floor(distinct)).all():  # whole numbers hold no dust, however large
        return start, stop
    gaps = np.diff(distinct)
    near = (gaps <= _SAME_TIME) | (gaps <= _SAME_TIME * np.mean(np.abs(distinct)))
    if not near.any():
        return start, stop
    kept = distinct[np.concatenate(([True], ~near))]
    return (
        kept[np.searchsorted(kept, start, side="right") - 1],
        kept[np.searchsorted(kept, stop, side="right") - 1],
    )


def same_times(asked: Array, known: Array) -> Array:
    """Return the requested times, replacing any that equal a known one but for rounding."""
    times = np.sort(known)
    place = np.searchsorted(times, asked)
    found = np.array(asked, dtype=np.float64)
    for at in (np.maximum(place - 1, 0), np.minimum(place, len(times) - 1)):
        near = np.abs(asked - times[at]) <= _SAME_TIME * np.maximum(1.0, np.abs(asked))
        found = np.where(near, times[at], found)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups formed by one or several columns.

    Attributes
    ----------
    codes
        (n,) number of each row's group, from 0 in sorted order.
    keys
        The columns' values that define each group.
    labels
        Their printed names: ``"a, b"`` for several columns, with the values in quotes where two
        groups would share a name.
    """

    codes: Integers
    keys: tuple[tuple[object, ...], ...]
    labels: tuple[str, ...]


def read_labels(data: pd.DataFrame, columns: Hashable | Sequence[Hashable]) -> Groups:
    """Return the groups formed by one or several columns."""
    first, *others = as_columns(data, columns)
    for column in (first, *others):
        check_spelling(data[column], kind="group")
    codes, labels = group_codes(data[first])
    keys = [(plain_number(label),) for label in labels.tolist()]
    for column in others:
        more, further = group_codes(data[column])
        values = further.tolist()
        joint, codes = np.unique(codes * len(further) + more, return_inverse=True)
        keys = [(*keys[j // len(values)], plain_number(values[j % len(values)])) for j in joint]
    names = [", ".join(map(str, key)) for key in keys]
    if len(set(names)) < len(names):
        names = [", ".join(map(repr, key)) for key in keys]
    return Groups(codes.astype(np.int64), tuple(keys), tuple(names))


def read_compared(data: pd.DataFrame, group: Hashable) -> tuple[Integers, tuple[str, ...]]:
    """Return each row's group and the groups' names, refusing a column with one group."""
    found = read_labels(data, group)
    if len(found.labels) < 2:
        raise DataError(
            f"Column '{group}' holds one group ('{found.labels[0]}'): there is nothing to compare "
            "it to."
        )
    return found.codes, found.labels


WHOLE_SAMPLE = "all"
"""Label of the one stratum where no strata were asked for."""

# Below this, standard errors over clusters are known to be too small (Cameron & Miller 2015).
_FEW_CLUSTERS = 40
_FEW_EVENTS = 10


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
    weight
        Weight of each; None where each is 1.
    """

    entry: Array
    exit: Array
    event: Integers
    cluster: Integers | None
    weight: Array | None = None


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
        The values that define each stratum, and their columns.
    cluster, n_clusters
        Number of each row's cluster; None and 0 where no clusters were given.
    frame
        The rows that were kept, with all columns the caller's frame has.
    rows
        What happened to the rows.
    weight
        Weight of each row; None where each is 1.
    offset
        Added to each row's linear predictor; None without.
    """

    entry: Array
    exit: Array
    event: Integers
    states: tuple[str, ...]
    stratum: Integers
    strata: tuple[str, ...]
    strata_keys: tuple[tuple[object, ...], ...]
    strata_columns: tuple[Hashable, ...]
    cluster: Integers | None
    n_clusters: int
    frame: pd.DataFrame
    rows: RowLedger
    weight: Array | None = None
    offset: Array | None = None

    def where(self, kept: Booleans) -> "Intervals":
        """Return some of the rows; the ledger stays that of all."""
        return replace(
            self,
            entry=self.entry[kept],
            exit=self.exit[kept],
            event=self.event[kept],
            stratum=self.stratum[kept],
            cluster=None if self.cluster is None else self.cluster[kept],
            weight=None if self.weight is None else self.weight[kept],
            offset=None if self.offset is None else self.offset[kept],
            frame=self.frame.loc[kept],
        )

    def spells(self, number: int) -> Spells:
        """Return the spells of one stratum."""
        pick = self.stratum == number
        return Spells(
            entry=self.entry[pick],
            exit=self.exit[pick],
            event=self.event[pick],
            cluster=None if self.cluster is None else self.cluster[pick],
            weight=None if self.weight is None else self.weight[pick],
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
        One row per interval.
    time, event, entry, strata, cluster
        Columns; `strata` may be several.
    also
        Further columns that must be present in every row that is kept.
    competing
        Whether `event` distinguishes several endings.
    censored
        With `competing`: the value of `event` that means "not ended".

    Raises
    ------
    DataError
        A missing column, an interval of no or negative length, a negative time, an
        event that is neither 0 nor 1, or no rows left.
    """
    data = check_frame(data)
    strata_columns = as_columns(data, strata)
    columns = [time, event, entry, *strata_columns, cluster, *also]
    require_columns(data, columns)
    levels = {str(cluster): (cluster,)} if cluster is not None else {}
    rows = RowLedger.start(data, levels)  # type: ignore[arg-type]
    needed = [column for column in columns if column is not None]
    happened = np.zeros(len(data), dtype=bool) if competing else data[event].isin([1]).to_numpy()
    data, rows, _ = rows_with_all(data, needed, rows, happened)

    start, stop = _read_times(data, time, entry)
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


def weighted_rows(intervals: Intervals, column: Hashable | None) -> Intervals:
    """Give the rows their weights, checked; without clusters each row is its own cluster.

    Weights are not counts: standard errors of weighted rows are always robust.
    """
    if column is None:
        return intervals
    values = read_weights(intervals.frame, column)
    if intervals.cluster is None:
        rows = np.arange(len(values))
        return replace(intervals, weight=values, cluster=rows, n_clusters=len(rows))
    return replace(intervals, weight=values)


def read_weights(frame: pd.DataFrame, column: Hashable) -> Array:
    """Return the weight of each row, refusing invalid weights."""
    values: Array = finite_or_missing(frame, column)
    if (values <= 0.0).any():
        raise DataError(
            f"Column '{column}' is not above 0 in {describe_rows(values <= 0.0, frame.index)}: a "
            "weight says how many rows one stands for. Leave rows without weight out yourself."
        )
    return values


def rows_with_all(
    data: pd.DataFrame,
    columns: Sequence[Hashable],
    rows: RowLedger,
    happened: Booleans,
    *,
    event: str = "the event",
) -> tuple[pd.DataFrame, RowLedger, Booleans]:
    """Keep complete rows, recording how many events each column's missing rows cost.

    Parameters
    ----------
    data, columns, rows
        As in :func:`~alliance_stats.design.rows.complete_rows`.
    happened
        (n,) whether a row has an event, called `event`.

    Returns
    -------
    used, rows, kept
        The rows, the ledger, and (n,) which rows were kept.
    """
    kept, reasons = np.ones(len(data), dtype=bool), {}
    for column in dict.fromkeys(columns):
        present = ~np.asarray(pd.isna(data[column].array))
        lost = int((happened & kept & ~present).sum())
        reasons[column] = f"'{column}' is missing" + (f", {lost} of them with {event}" * bool(lost))
        kept &= present
    used, rows = complete_rows(data, columns, rows=rows, reasons=reasons)
    return used, rows, kept


def _warn_of_late_entry(data: pd.DataFrame, time: Hashable) -> None:
    """Warn where `endings` knows of late entry but no `entry` is given."""
    if time != "time" or not {"first_session", "entry"} <= set(data.columns):
        return
    late = int((finite_or_missing(data, "entry") > 0.0).sum())
    if late:
        warn(
            f"Column 'entry' is above 0 in {plural(late, 'row')}, which count as at risk from the "
            "start although they could not have been seen to leave before: give entry='entry' "
            "(Cox: start='entry', stop='time').",
            AllianceStatsWarning,
        )


def refuse_single_clusters(intervals: Intervals, cluster: Hashable | None) -> None:
    """Refuse a curve whose rows all belong to one cluster: its standard error would be 0."""
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


def few_events_warning(n_events: int, n_covariates: int) -> Iterator[str]:
    """Yield a warning where there are few events for each covariate."""
    if n_covariates > 0 and n_events / n_covariates < _FEW_EVENTS:
        yield (
            f"{format_number(n_events / n_covariates, 1)} events per covariate: estimates and "
            f"intervals are unreliable below about {_FEW_EVENTS}."
        )


def few_clusters_warning(n_clusters: int) -> Iterator[str]:
    """Yield a warning where standard errors are from few clusters."""
    if n_clusters < _FEW_CLUSTERS:
        yield (
            f"Standard errors over {n_clusters} clusters: below about {_FEW_CLUSTERS} "
            "they tend to be too small."
        )
