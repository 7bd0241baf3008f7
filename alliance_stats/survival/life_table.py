"""Counts at each time, and what one cluster contributes to a curve. Arrays in, arrays out."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.survival.intervals import IntArray, Spells

__all__ = ["LifeTable", "at_risk", "cluster_blocks", "greenwood", "life_table"]

# Cells of a clusters-by-times table held at once while a robust variance is summed.
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class LifeTable:
    """What happened at each distinct time at which a row ended.

    Attributes
    ----------
    time
        (k,) distinct exit times, ascending.
    n_risk
        (k,) rows with ``entry < time <= exit``.
    n_event, n_censor
        (k,) rows that end at `time` with an event, and without.
    """

    time: Array
    n_risk: IntArray
    n_event: IntArray
    n_censor: IntArray


def life_table(spells: Spells) -> LifeTable:
    """Count rows at risk, with an event and censored at each distinct exit time."""
    time, position = np.unique(spells.exit, return_inverse=True)
    ended = np.bincount(position, minlength=len(time))
    n_event = np.bincount(position[spells.event > 0], minlength=len(time))
    return LifeTable(
        time=time,
        n_risk=at_risk(np.sort(spells.entry), np.sort(spells.exit), time),
        n_event=n_event.astype(np.int64),
        n_censor=(ended - n_event).astype(np.int64),
    )


def at_risk(entries: Array, exits: Array, times: Array) -> IntArray:
    """Count rows with ``entry < t <= exit`` for each of `times`, from sorted entries and exits.

    Who enters at 0 is there from the start, so that the count at 0 is the count that began.
    """
    entered = np.searchsorted(entries, times, side="left")
    entered = np.maximum(entered, np.searchsorted(entries, 0.0, side="right"))
    left = np.searchsorted(exits, times, side="left")
    return (entered - left).astype(np.int64)


def greenwood(n_risk: IntArray, n_event: IntArray) -> Array:
    """Return the steps d / (n (n - d)) of Var(log S) (Greenwood 1926), infinite where n = d."""
    with np.errstate(divide="ignore"):
        return np.asarray(n_event / (n_risk * (n_risk - n_event).astype(np.float64)))


def cluster_blocks(spells: Spells, time: Array) -> Iterator[tuple[IntArray, Array, Array]]:
    """Yield, block by block of clusters, who of each cluster was at risk and who ended at `time`.

    Without clusters each spell is its own.

    Yields
    ------
    clusters, n_risk, n_event
        The clusters' numbers (c,), and the counts (c, k) at each of the k times. `n_event` is
        (states, c, k) with one slice for each ending number from 1.
    """
    n_states = int(spells.event.max(initial=1))
    own = np.arange(len(spells.exit)) if spells.cluster is None else spells.cluster
    present, codes = np.unique(own, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(present) + 1))
    per_block = max(1, _CELLS_AT_ONCE // (len(time) * (n_states + 1)))
    for first in range(0, len(present), per_block):
        last = min(first + per_block, len(present))
        pick = order[bounds[first] : bounds[last]]
        shape = (last - first, len(time) + 1)
        row = codes[pick] - first
        event = spells.event[pick]
        leaves = np.searchsorted(time, spells.exit[pick], side="right")
        enters = np.searchsorted(time, spells.entry[pick], side="right")
        change = _count(row, enters, shape) - _count(row, leaves, shape)
        n_risk = np.cumsum(change, axis=1)[:, :-1]
        n_event = np.stack(
            [
                _count(row[event == state], leaves[event == state] - 1, shape)[:, :-1]
                for state in range(1, n_states + 1)
            ]
        )
        yield present[first:last], n_risk, n_event


def _count(row: IntArray, column: IntArray, shape: tuple[int, int]) -> Array:
    flat = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)
