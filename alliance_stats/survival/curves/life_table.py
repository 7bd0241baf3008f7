"""Who was at risk, who ended and who was censored at each time. Arrays in, arrays out.

The product-limit curve, confidence intervals for a probability that changes with time, quantiles of
a curve, and what each cluster contributes to it (infinitesimal jackknife).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers, estimate_columns
from alliance_stats.survival.rows.time_at_risk import Spells, same_times

__all__ = [
    "CONF_TYPES",
    "LifeTable",
    "asked_times",
    "at_risk",
    "cluster_blocks",
    "crossing_time",
    "events_since",
    "greenwood",
    "group_pairs",
    "life_table",
    "n_at_risk",
    "own_roots",
    "pairwise_differences",
    "places_at",
    "probability_interval",
    "probability_rows",
    "product_limit",
    "step_values",
    "survival_influence",
    "survival_steps",
]


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
    risk, events
        (k,) weight at risk, and of those with an event: the counts where rows have no weights.
    """

    time: Array
    n_risk: Integers
    n_event: Integers
    n_censor: Integers
    risk: Array
    events: Array


def life_table(spells: Spells) -> LifeTable:
    """Count rows at risk, with an event and censored at each distinct exit time."""
    time, position = np.unique(spells.exit, return_inverse=True)
    ended = np.bincount(position, minlength=len(time))
    dead = spells.event > 0
    n_event = np.bincount(position[dead], minlength=len(time))
    n_risk = at_risk(np.sort(spells.entry), np.sort(spells.exit), time)
    risk, events = n_risk.astype(np.float64), n_event.astype(np.float64)
    if spells.weight is not None:
        risk = _weight_at_risk(spells, time)
        weights = spells.weight[dead]
        events = np.bincount(position[dead], weights, len(time)).astype(np.float64)
    return LifeTable(
        time=time,
        n_risk=n_risk,
        n_event=n_event.astype(np.int64),
        n_censor=(ended - n_event).astype(np.int64),
        risk=risk,
        events=events,
    )


def _weight_at_risk(spells: Spells, times: Array) -> Array:
    """Sum the weights of the spells with ``entry < t <= exit`` for each of `times` above 0.

    From the end backwards, so that without delayed entry nothing is subtracted.
    """
    weight = np.ones(len(spells.exit)) if spells.weight is None else spells.weight

    def later(edges: Array, own: Array) -> Array:
        order = np.argsort(-edges, kind="stable")
        sums = np.concatenate(([0.0], np.cumsum(own[order])))
        return sums[len(edges) - np.searchsorted(np.sort(edges), times, side="left")]

    late = spells.entry > 0.0
    if not late.any():
        return later(spells.exit, weight)
    return later(spells.exit, weight) - later(spells.entry[late], weight[late])


def at_risk(entries: Array, exits: Array, times: Array) -> Integers:
    """Count rows with ``entry < t <= exit`` for each of `times`, from sorted entries and exits.

    Rows that enter at 0 are there from the start, so the count at 0 is the count that began.
    """
    entered = np.searchsorted(entries, times, side="left")
    entered = np.maximum(entered, np.searchsorted(entries, 0.0, side="right"))
    left = np.searchsorted(exits, times, side="left")
    return (entered - left).astype(np.int64)


def greenwood(n_risk: Integers, n_event: Integers) -> Array:
    """Return the steps d / (n (n - d)) of Var(log S) (Greenwood 1926), infinite where n = d."""
    with np.errstate(divide="ignore"):
        return np.asarray(n_event / (n_risk * (n_risk - n_event).astype(np.float64)))


def product_limit(table: LifeTable) -> Array:
    """Return the Kaplan-Meier estimate of S(t) (Kaplan & Meier 1958) at the table's times.

    Parameters
    ----------
    table
        Counts at risk and of events.

    Returns
    -------
    Array
        (k,) survival just after each time of the table.
    """
    return np.asarray(np.cumprod(_left(table) / table.risk))


def _left(table: LifeTable) -> Array:
    """Return the weight (k,) that is left at risk after the events: exactly 0 where all ended."""
    return np.where(table.n_event == table.n_risk, 0.0, table.risk - table.events)


def n_at_risk(spells: Spells, times: Array) -> Integers:
    """Count the spells at risk at each of `times`, ignoring rounding errors at their ends."""
    exits = np.sort(spells.exit)
    return at_risk(np.sort(spells.entry), exits, same_times(times, exits))


def asked_times(times: Sequence[float]) -> Array:
    """Return the requested times, refusing what is not a time."""
    asked = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if asked.ndim != 1 or not len(asked) or not (np.isfinite(asked) & (asked >= 0.0)).all():
        raise ValueError(f"times must be numbers, 0 or later, in one list; got {times!r}.")
    if (np.diff(asked) < 0.0).any():
        raise ValueError(f"times must ascend; got {times!r}.")
    return asked


def places_at(time: Array, survival: Array, asked: Array) -> Integers:
    """Return how many steps lie at or before each time; -1 where the curve is not known."""
    asked = same_times(asked, time)
    place = np.searchsorted(time, asked, side="right")
    unknown = (asked > time[-1]) & (survival[-1] > 0.0)
    return np.where(unknown, -1, place).astype(np.int64)


def step_values(values: Array, place: Integers, *, start: float) -> Array:
    """Return a step function's values (..., k) at places, `start` before its first step."""
    first = np.full((*values.shape[:-1], 1), start)
    found = np.concatenate((first, values), axis=-1)[..., np.maximum(place, 0)]
    return np.asarray(np.where(place < 0, np.nan, found))


def events_since(n_event: Array | Integers, place: Integers) -> Integers:
    """Return the events (k,) from each place to the next; -1 is behind the last row."""
    counted = np.concatenate(([0], np.cumsum(n_event))).astype(np.int64)
    return np.diff(counted[np.where(place < 0, len(n_event), place)], prepend=0)


CONF_TYPES = ("log-log", "log", "plain")

# A curve this near to the level counts as lying on it (R: the square root of the precision).
_ON_THE_LEVEL = float(np.sqrt(np.finfo(np.float64).eps))


def probability_interval(
    probability: Array, std_error: Array, *, conf_level: float, conf_type: str
) -> tuple[Array, Array]:
    """Return pointwise limits of a survival probability or a cumulative incidence.

    Parameters
    ----------
    probability, std_error
        (k,) the estimate and its standard error, both on the probability scale.
    conf_level
        Pointwise coverage.
    conf_type
        ``"log-log"``: symmetric on log(-log p); stays between 0 and 1. ``"log"``: symmetric on
        log p, cut at 1. ``"plain"``: symmetric on p, cut at 0 and 1.
        (Kalbfleisch & Prentice 2002, section 1.4, doi:10.1002/9781118032985.)

    Returns
    -------
    low, high
        (k,) NaN where the scale is undefined: everywhere p is 0 with no standard error, and for
        ``"log-log"`` also where p is 1.
    """
    check_choice(conf_type, CONF_TYPES, name="conf_type")
    z = stats.norm.isf((1.0 - check_conf_level(conf_level)) / 2.0)
    if conf_type == "plain":
        half = z * std_error
        return np.maximum(probability - half, 0.0), np.minimum(probability + half, 1.0)
    inside = (probability > 0) & ((probability < 1) | (conf_type == "log"))
    log_p = np.log(probability, out=np.full_like(probability, np.nan), where=inside)
    relative = np.divide(std_error, probability, out=np.full_like(log_p, np.nan), where=inside)
    if conf_type == "log":
        return np.exp(log_p - z * relative), np.minimum(np.exp(log_p + z * relative), 1.0)
    half = z * relative / log_p  # negative, as log p is
    return np.exp(log_p * np.exp(-half)), np.exp(log_p * np.exp(half))


def probability_rows(
    names: Mapping[str, object],
    probability: Array,
    std_error: Array,
    *,
    conf_level: float,
    conf_type: str = "log-log",
) -> pd.DataFrame:
    """Return `names` (columns), ``estimate, std_error, conf_low, conf_high``: a row a probability.

    Limits are those of :func:`probability_interval`.
    """
    low, high = probability_interval(
        probability, std_error, conf_level=conf_level, conf_type=conf_type
    )
    return pd.DataFrame(
        {
            **names,
            "estimate": probability,
            "std_error": std_error,
            "conf_low": low,
            "conf_high": high,
        }
    )


def crossing_time(time: Array, curve: Array, level: float) -> float:
    """Return the first time at which a falling curve lies below `level`, NaN if it never does.

    Where the curve is flat at the level, the middle of the flat piece is returned; a NaN in the
    curve (an undefined limit) is passed over.
    """
    low = np.flatnonzero(curve < level + _ON_THE_LEVEL)
    if not len(low):
        return float("nan")
    first = low[0]
    if abs(curve[first] - level) < _ON_THE_LEVEL:
        below = low[curve[low] < curve[first]]
        if len(below):
            return float((time[first] + time[below[0]]) / 2.0)
    return float(time[first])


def group_pairs(names: Sequence[object], *, what: str) -> list[tuple[int, int]]:
    """Return all pairs of groups, the earlier first; refuse a single group."""
    if len(names) < 2:
        raise DataError(f"There is one stratum: a {what} needs strata= with two or more.")
    return list(combinations(range(len(names)), 2))


def pairwise_differences(
    names: Sequence[object],
    states: Sequence[str],
    time: Array,
    estimate: Array,
    root: Array,
    *,
    conf_level: float,
) -> pd.DataFrame:
    """Return differences between all pairs of groups' curves at chosen times, later minus earlier.

    Parameters
    ----------
    names, states
        Of the g groups, and of their endings; no states where each has one curve.
    time, estimate
        (t,) times, and (g, max(states, 1), t) values there.
    root
        (g, max(states, 1), t, m) whose products are covariances.

    Returns
    -------
    DataFrame
        ``contrast, (state,) time, estimate, std_error, statistic, p_value, conf_low, conf_high``;
        normal theory.
    """
    found = []
    for a, b in group_pairs(names, what="difference"):
        for k in range(estimate.shape[1]):
            std_error = np.sqrt(((root[b, k] - root[a, k]) ** 2).sum(axis=-1))
            apart = estimate[b, k] - estimate[a, k]
            columns = estimate_columns(apart, std_error, conf_level=conf_level)
            columns.insert(0, "contrast", f"{names[b]} - {names[a]}")
            if states:
                columns.insert(1, "state", states[k])
            columns.insert(columns.columns.get_loc("estimate"), "time", time)
            found.append(columns.drop(columns="df"))
    return pd.concat(found, ignore_index=True)


def own_roots(std_error: Array) -> Array:
    """Return roots (g, ..., g) of groups' curves (g, ...) that have nothing in common."""
    own = np.eye(len(std_error)).reshape(len(std_error), *[1] * (std_error.ndim - 1), -1)
    return np.asarray(std_error[..., None] * own)


# Cells of a clusters-by-times table held at once while a robust variance is summed.
_CELLS_AT_ONCE = 4_000_000


def survival_influence(
    spells: Spells, table: LifeTable, survival: Array
) -> Iterator[tuple[Integers, Array]]:
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
    remaining = _left(table)
    alive = (remaining > 0) & (survival > 0)
    step = n_risk * (table.events / table.risk) - n_event
    step = np.divide(step, remaining, out=np.zeros_like(step), where=alive)
    return np.asarray(np.where(alive, survival, 0.0) * np.cumsum(step, axis=1))


def cluster_blocks(
    spells: Spells, time: Array, *, n_states: int = 1
) -> Iterator[tuple[Integers, Array, Array]]:
    """Yield, block by block of clusters, who of each cluster was at risk and who ended at `time`.

    Without clusters each spell is its own.

    Yields
    ------
    clusters, n_risk, n_event
        The clusters' numbers (c,), and the counts, or weights, (c, k) at each of the k times.
        `n_event` is (n_states, c, k) with one slice for each ending number from 1.
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
        own_weight = np.ones(len(pick)) if spells.weight is None else spells.weight[pick]
        change = _count(row, enters, shape, own_weight) - _count(row, leaves, shape, own_weight)
        n_risk = np.cumsum(change, axis=1)[:, :-1]
        n_event = np.stack(
            [
                _count(
                    row[event == state],
                    leaves[event == state] - 1,
                    shape,
                    own_weight[event == state],
                )[:, :-1]
                for state in range(1, n_states + 1)
            ]
        )
        yield present[first:last], n_risk, n_event


def _count(row: Integers, column: Integers, shape: tuple[int, int], weight: Array) -> Array:
    flat = np.bincount(row * shape[1] + column, weights=weight, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)
