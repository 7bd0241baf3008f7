"""What each cluster contributes to a curve (infinitesimal jackknife). Arrays in, arrays out."""

from collections.abc import Iterator

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.survival.intervals import IntArray, Spells
from alliance_stats.survival.life_table import LifeTable

__all__ = ["cluster_blocks", "survival_influence", "survival_steps"]

# Cells of a clusters-by-times table held at once while a robust variance is summed.
_CELLS_AT_ONCE = 4_000_000


def survival_influence(
    spells: Spells, table: LifeTable, survival: Array
) -> Iterator[tuple[IntArray, Array]]:
    """Yield the derivative of S(t) with respect to the weight of each cluster, in blocks.

    ``dS(t)/dw = S(t) * sum over s <= t of (y(s) d(s) / n(s) - e(s)) / (n(s) - d(s))`` for a
    cluster with y(s) at risk and e(s) events. Where all at risk end (n = d), S is 0 whatever the
    weights are, and so is its derivative.

    Yields
    ------
    clusters, influence
        (c,) cluster numbers and (c, k) derivatives.
    """
    for clusters, n_risk, n_event in cluster_blocks(spells, table.time):
        yield clusters, survival_steps(n_risk, n_event[0], table, survival)


def survival_steps(n_risk: Array, n_event: Array, table: LifeTable, survival: Array) -> Array:
    """Return the influence (c, k) on S(t) of clusters with `n_risk` and `n_event` (c, k)."""
    remaining = (table.n_risk - table.n_event).astype(np.float64)
    alive = (remaining > 0) & (survival > 0)
    step = n_risk * (table.n_event / table.n_risk) - n_event
    step = np.divide(step, remaining, out=np.zeros_like(step), where=alive)
    return np.asarray(np.where(alive, survival, 0.0) * np.cumsum(step, axis=1))


def cluster_blocks(
    spells: Spells, time: Array, *, n_states: int = 1
) -> Iterator[tuple[IntArray, Array, Array]]:
    """Yield, block by block of clusters, who of each cluster was at risk and who ended at `time`.

    Without clusters each spell is its own.

    Yields
    ------
    clusters, n_risk, n_event
        The clusters' numbers (c,), and the counts (c, k) at each of the k times. `n_event` is
        (n_states, c, k) with one slice for each ending number from 1.
    """
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
