"""Who is at risk when, as sums that cost a pass over the rows. Arrays in, arrays out.

Rows that enter and leave between the same two event times of a stratum (and share a frailty group)
form a cell: their weights are summed once, and every risk-set sum is then a running sum over cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from alliance_stats.estimates import Array, Integers
from alliance_stats.survival.rows.time_at_risk import Intervals

__all__ = ["RiskSets", "refuse_weights", "risk_sets"]


Number = TypeVar("Number", bound=np.generic)

_BLOCK = 2**14

_RADIX_LIMIT = 2**16  # numpy sorts 16-bit integers by radix, several times faster than wider ones


@dataclass(frozen=True, slots=True, eq=False)
class RiskSets:
    """The risk sets at the k distinct event times (a time in two strata counts twice).

    Attributes
    ----------
    order
        (r,) the rows that are at risk at some event time, sorted by cell.
    cell_start, cell_size
        (m,) where each cell's rows begin among these, and how many there are.
    first, last
        (m,) a cell is at risk at the event times ``first <= k < last``.
    group, stratum
        (m,) frailty group of each cell (0 without), and its stratum.
    change
        (k, m) sparse: +1 where a cell is last at risk, -1 just before it is first at risk.
    bounds
        (strata + 1,) event times of stratum s are ``bounds[s]:bounds[s + 1]``.
    time, n_event
        (k,) the times, and the events at each.
    dead, dead_at
        (e,) positions of the event rows in `order`, and the number of their time.
    step_at, step_share
        (e,) or fewer: Efron's steps, one for each tied event: number of the time, and the share
        of the tied events' weight that has left the risk set (0 throughout for Breslow).
    case_weight
        (r,) case weight of each row; None where each is 1.
    step_weight
        (e,) mean of these over the tied events of a step.
    offset
        (r,) added to the linear predictor of each row; None without.
    """

    order: Integers
    cell_start: Integers
    cell_size: Integers
    first: Integers
    last: Integers
    group: Integers
    stratum: Integers
    change: sparse.csr_array
    bounds: Integers
    time: Array
    n_event: Integers
    dead: Integers
    dead_at: Integers
    step_at: Integers
    step_share: Array
    case_weight: Array | None
    step_weight: Array
    offset: Array | None

    def cell_sums(self, values: Array) -> Array:
        """Sum ``(..., r)`` row values over cells, giving ``(..., m)``."""
        return np.add.reduceat(values, self.cell_start, axis=-1)

    def weighted_cell_sums(self, X: Array, weight: Array) -> Array:
        """Sum ``X * weight``, (p, r) times (r,), over cells, giving ``(p, m)``."""
        total = np.zeros((len(X), len(self.first)))
        for rows in self.blocks():
            cells = slice(
                int(np.searchsorted(self.cell_start, rows.start, side="right")) - 1,
                int(np.searchsorted(self.cell_start, rows.stop, side="left")),
            )
            starts = np.maximum(self.cell_start[cells] - rows.start, 0)
            total[:, cells] += np.add.reduceat(X[:, rows] * weight[rows], starts, axis=1)
        return total

    def blocks(self) -> Iterator[slice]:
        """Yield slices of the r rows, small enough for products of them to stay in the cache."""
        for start in range(0, len(self.order), _BLOCK):
            yield slice(start, min(start + _BLOCK, len(self.order)))

    def at_risk(self, cell_values: Array) -> Array:
        """Sum ``(m,)`` or ``(m, p)`` cell values over risk sets, giving ``(k,)`` or ``(k, p)``."""
        return self.from_the_end(self.change @ cell_values)

    def from_the_end(self, change: Array) -> Array:
        """Sum changes (k, ...) backwards in time within each stratum.

        Backwards, so that without delayed entry nothing is ever subtracted; each stratum afresh,
        so that a small one does not lose digits to a large one.
        """
        total = np.empty_like(change)
        for start, stop in pairwise(self.bounds):
            np.cumsum(change[start:stop][::-1], axis=0, out=total[start:stop][::-1])
        return total

    def to_rows(self, cell_values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Give each of the r rows its cell's value."""
        return np.repeat(cell_values, self.cell_size, axis=0)

    def spans(self) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
        """Return the event times at which each row (r,) is at risk, and who (e,) ended when."""
        return (self.to_rows(self.first), self.to_rows(self.last)), (self.dead, self.dead_at)

    def over_time(self, increments: Array) -> Array:
        """Sum increments ``(k,)`` or ``(k, p)`` over the times at which each cell is at risk.

        Each stratum from its own start: hazards of two strata may be powers of ten apart.
        """
        n_strata = len(self.bounds) - 1
        running = np.zeros((len(increments) + n_strata, *increments.shape[1:]))
        for s, (start, stop) in enumerate(pairwise(self.bounds)):
            np.cumsum(increments[start:stop], 0, out=running[start + s + 1 : stop + s + 1])
        return np.asarray(running[self.last + self.stratum] - running[self.first + self.stratum])

    @property
    def dead_weight(self) -> Array:
        """(e,) case weight of the event rows."""
        return np.ones(len(self.dead)) if self.case_weight is None else self.case_weight[self.dead]

    def dead_sums(self, values: Array) -> Array:
        """Sum values (e,) or (p, e) of the event rows over each event time: (k,) or (p, k)."""
        if values.ndim == 1:
            summed = np.bincount(self.dead_at, weights=values, minlength=len(self.time))
            return summed.astype(np.float64)
        order = np.argsort(self.dead_at, kind="stable")
        starts = np.searchsorted(self.dead_at[order], np.arange(len(self.time)))
        return np.asarray(np.add.reduceat(values[:, order], starts, axis=1))


def risk_sets(
    intervals: Intervals, *, ties: str, group: Integers | None = None, weight: Array | None = None
) -> RiskSets:
    """Sort the rows into cells.

    Parameters
    ----------
    intervals
        Checked rows, `event` 0 or 1.
    ties
        ``"efron"`` or ``"breslow"``.
    group
        (n,) frailty group of each row.
    weight
        (n,) case weight of each row; ones if None.
    """
    time, bounds, first, last = _event_times(intervals)
    n_times = len(time)
    own = np.zeros(len(first), dtype=np.int64) if group is None else group
    key = (own * (n_times + 1) + last) * (n_times + 1) + first
    if key.max() < _RADIX_LIMIT:
        key = key.astype(np.uint16)
    order = np.argsort(key, kind="stable")
    absent = np.count_nonzero(last == first)
    if absent:
        order = order[(last > first)[order]]
    key = key[order]
    start = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
    head = order[start]
    first_of_cell, last_of_cell = first[head], last[head]
    dead = np.flatnonzero(intervals.event[order] > 0)
    dead_at = last[order[dead]] - 1
    n_event = np.bincount(dead_at, minlength=n_times)
    step_at, share = _steps(n_event, ties)
    case_weight = None if weight is None else weight[order]
    step_weight = np.ones(len(step_at))
    if case_weight is not None:
        total = np.bincount(dead_at, weights=case_weight[dead], minlength=n_times)
        step_weight = (total / np.maximum(n_event, 1))[step_at]
    return RiskSets(
        order=order,
        cell_start=start,
        cell_size=np.diff(np.append(start, len(order))),
        first=first_of_cell,
        last=last_of_cell,
        group=own[head],
        stratum=intervals.stratum[head],
        change=_changes(first_of_cell, last_of_cell, bounds[intervals.stratum[head]], n_times),
        bounds=bounds,
        time=time,
        n_event=n_event,
        dead=dead,
        dead_at=dead_at,
        step_at=step_at,
        step_share=share,
        case_weight=case_weight,
        step_weight=step_weight,
        offset=None if intervals.offset is None else intervals.offset[order],
    )


def _steps(n_event: Integers, ties: str) -> tuple[Integers, Array]:
    """Return the time of each event's step, and which share of its ties has left before it."""
    step_at = np.repeat(np.arange(len(n_event)), n_event)
    if ties != "efron":
        return step_at, np.zeros(len(step_at))
    rank = np.arange(len(step_at)) - np.repeat(np.cumsum(n_event) - n_event, n_event)
    return step_at, rank / n_event[step_at]


def _event_times(intervals: Intervals) -> tuple[Array, Integers, Integers, Integers]:
    n_strata = len(intervals.strata)
    if n_strata == 1:
        time = np.unique(intervals.exit[intervals.event > 0])
        first = np.searchsorted(time, intervals.entry, side="right")
        last = np.searchsorted(time, intervals.exit, side="right")
        return time, np.array([0, len(time)]), first, last
    first = np.empty(len(intervals.exit), dtype=np.int64)
    last = np.empty_like(first)
    order = np.argsort(intervals.stratum, kind="stable")
    edges = np.searchsorted(intervals.stratum[order], np.arange(n_strata + 1))
    times, bounds = [], [0]
    for start, stop in pairwise(edges):
        rows = order[start:stop]
        own = np.unique(intervals.exit[rows][intervals.event[rows] > 0])
        first[rows] = bounds[-1] + np.searchsorted(own, intervals.entry[rows], side="right")
        last[rows] = bounds[-1] + np.searchsorted(own, intervals.exit[rows], side="right")
        times.append(own)
        bounds.append(bounds[-1] + len(own))
    return np.concatenate(times), np.array(bounds), first, last


def _changes(
    first: Integers, last: Integers, stratum_start: Integers, n_times: int
) -> sparse.csr_array:
    cells = np.arange(len(first))
    late = first > stratum_start
    rows = np.concatenate((last - 1, first[late] - 1))
    columns = np.concatenate((cells, cells[late]))
    signs = np.concatenate((np.ones(len(cells)), -np.ones(int(late.sum()))))
    return sparse.csr_array((signs, (rows, columns)), shape=(n_times, len(first)))


def refuse_weights(sets: RiskSets, what: str) -> None:
    """Refuse what is not offered where rows have weights."""
    if sets.case_weight is not None:
        raise ValueError(f"{what} is not offered for a model with weights=.")
