"""Who was at risk, who ended and who was censored at each time. Arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.survival.intervals import IntArray, Spells

__all__ = ["LifeTable", "at_risk", "greenwood", "life_table"]


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
