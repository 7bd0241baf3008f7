"""Who is at risk when, as sums that cost a pass over the rows. Arrays in, arrays out.

Rows that enter and leave between the same two event times of a stratum (and share a frailty group)
form a cell: their weights are summed once, and every risk-set sum is then a running sum over cells.

Cox's partial likelihood with Efron's or Breslow's ties: value, slope, curvature, residuals.

``log L = sum over events of eta_i - sum over steps of log(S0(t) - f D0(t))``: S0 sums exp(eta) over
the risk set, D0 over the events tied at t, and f = 0, 1/d, ..., (d - 1)/d (Efron 1977,
doi:10.1080/01621459.1977.10480613) or 0 (Breslow 1974).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from alliance_stats.estimates import Array
from alliance_stats.survival.rows.time_at_risk import IntArray, Intervals

__all__ = [
    "PartialLikelihood",
    "RiskSets",
    "RiskWeights",
    "cluster_information",
    "information",
    "log_likelihood",
    "risk_sets",
    "risk_weights",
    "score_residuals",
    "score_sums",
]


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
        (m,) where each cell's rows begin among these, and how many they are.
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
    """

    order: IntArray
    cell_start: IntArray
    cell_size: IntArray
    first: IntArray
    last: IntArray
    group: IntArray
    stratum: IntArray
    change: sparse.csr_array
    bounds: IntArray
    time: Array
    n_event: IntArray
    dead: IntArray
    dead_at: IntArray
    step_at: IntArray
    step_share: Array

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

    def spans(self) -> tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]:
        """Return between which event times each row (r,) is at risk, and who (e,) ended when."""
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

    def dead_sums(self, values: Array) -> Array:
        """Sum values (e,) of the event rows over each event time, giving (k,)."""
        summed = np.bincount(self.dead_at, weights=values, minlength=len(self.time))
        return summed.astype(np.float64)


def risk_sets(intervals: Intervals, *, ties: str, group: IntArray | None = None) -> RiskSets:
    """Sort the rows into cells.

    Parameters
    ----------
    intervals
        Checked rows, `event` 0 or 1.
    ties
        ``"efron"`` or ``"breslow"``.
    group
        (n,) frailty group of each row.
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
    step_at = np.repeat(np.arange(n_times), n_event)
    rank = np.arange(len(step_at)) - np.repeat(np.cumsum(n_event) - n_event, n_event)
    share = rank / n_event[step_at] if ties == "efron" else np.zeros(len(step_at))
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
    )


def _event_times(intervals: Intervals) -> tuple[Array, IntArray, IntArray, IntArray]:
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
    first: IntArray, last: IntArray, stratum_start: IntArray, n_times: int
) -> sparse.csr_array:
    cells = np.arange(len(first))
    late = first > stratum_start
    rows = np.concatenate((last - 1, first[late] - 1))
    columns = np.concatenate((cells, cells[late]))
    signs = np.concatenate((np.ones(len(cells)), -np.ones(int(late.sum()))))
    return sparse.csr_array((signs, (rows, columns)), shape=(n_times, len(first)))


@dataclass(frozen=True, slots=True, eq=False)
class RiskWeights:
    """Everything at one linear predictor; rows are those of ``RiskSets.order``.

    Attributes
    ----------
    log_lik
        The log partial likelihood.
    weight
        (r,) exp(eta).
    expected
        (r,) events expected of each row: its weight times the hazard it lived through.
    hazard, tied_hazard
        (k,) sums over steps of 1 / denominator, and of f / denominator.
    squares
        (3, k) sums over steps of 1, f and f^2 over the squared denominator.
    """

    log_lik: float
    weight: Array
    expected: Array
    hazard: Array
    tied_hazard: Array
    squares: Array


def log_likelihood(eta: Array, sets: RiskSets) -> float:
    """Return the log partial likelihood at the linear predictor eta (r,), -inf if it overflows."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        weight = np.exp(eta)
        value = eta[sets.dead].sum() - np.log(_denominators(weight, sets)).sum()
    return float(value) if np.isfinite(value) else -np.inf


def _denominators(weight: Array, sets: RiskSets) -> Array:
    total = sets.at_risk(sets.cell_sums(weight))
    tied = sets.dead_sums(weight[sets.dead])
    return np.asarray(total[sets.step_at] - sets.step_share * tied[sets.step_at])


def risk_weights(eta: Array, sets: RiskSets) -> RiskWeights:
    """Evaluate the partial likelihood and the sums its derivatives need at eta (r,)."""
    weight = np.exp(eta)
    inverse = 1.0 / _denominators(weight, sets)
    f = sets.step_share

    def over_steps(values: Array) -> Array:
        summed = np.bincount(sets.step_at, weights=values, minlength=len(sets.time))
        return summed.astype(np.float64)

    hazard, tied_hazard = over_steps(inverse), over_steps(f * inverse)
    lived = sets.to_rows(sets.over_time(hazard))
    lived[sets.dead] -= tied_hazard[sets.dead_at]
    lived *= weight
    return RiskWeights(
        log_lik=float(eta[sets.dead].sum() + np.log(inverse).sum()),
        weight=weight,
        expected=lived,
        hazard=hazard,
        tied_hazard=tied_hazard,
        squares=np.stack([over_steps(f**power * inverse**2) for power in range(3)]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PartialLikelihood:
    """Cox's partial likelihood of (p, r) covariates, as something to be climbed."""

    X: Array
    sets: RiskSets

    def at(self, beta: Array) -> RiskWeights:
        """Evaluate; the log-likelihood of a step that overflows is -inf, without a warning."""
        eta = beta @ self.X
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = risk_weights(eta, self.sets)
        return found if np.isfinite(found.log_lik) else replace(found, log_lik=-np.inf)

    def derivatives(self, at: RiskWeights) -> tuple[Array, Array]:
        """Return the score (p,) and the information (p, p) in one pass over the rows."""
        return derivatives(self.X, at, self.sets)

    def spans(self) -> tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]:
        """Return when each row was at risk, and who ended when."""
        return self.sets.spans()


def information(
    X: Array, at: RiskWeights, sets: RiskSets, *, per_time: Array | None = None
) -> Array:
    """Return minus the second derivative (p, p) of the log partial likelihood.

    Parameters
    ----------
    X
        (p, r) covariates, a row a covariate.
    at, sets
        The evaluation and the risk sets.
    per_time
        (k,) factor on each event time's share (for tests of proportional hazards); ones if None.
    """
    expected, squares = at.expected, at.squares
    if per_time is not None:
        lived = sets.to_rows(sets.over_time(per_time * at.hazard))
        lived[sets.dead] -= (per_time * at.tied_hazard)[sets.dead_at]
        expected, squares = at.weight * lived, squares * per_time
    _, gram = _expected_moments(X, expected, sets)
    return gram - _between_means(X, at, sets, squares)


def derivatives(X: Array, at: RiskWeights, sets: RiskSets) -> tuple[Array, Array]:
    """Return the score (p,) and the information (p, p) in one pass over the rows."""
    total, gram = _expected_moments(X, at.expected, sets)
    score = X[:, sets.dead].sum(axis=1) - total
    return score, gram - _between_means(X, at, sets, at.squares)


def _expected_moments(X: Array, expected: Array, sets: RiskSets) -> tuple[Array, Array]:
    """Return the sums of X (p,) and of its products (p, p), weighted by expected events."""
    total, gram = np.zeros(len(X)), np.zeros((len(X), len(X)))
    for rows in sets.blocks():
        part = X[:, rows] * expected[rows]
        total += part.sum(axis=1)
        gram += part @ X[:, rows].T
    return total, gram


def _between_means(X: Array, at: RiskWeights, sets: RiskSets, squares: Array) -> Array:
    """Return the steps' sum of outer products (p, p) of risk-set means."""
    risk, tied = covariate_sums(X, at, sets)
    outer = (risk * squares[0][:, None]).T @ risk + (tied * squares[2][:, None]).T @ tied
    cross = (risk * squares[1][:, None]).T @ tied
    return np.asarray(outer - cross - cross.T)


def covariate_sums(X: Array, at: RiskWeights, sets: RiskSets) -> tuple[Array, Array]:
    """Return weighted covariate sums (k, p) over the risk sets and over the tied events."""
    risk = sets.at_risk(sets.weighted_cell_sums(X, at.weight).T)
    dead = X[:, sets.dead] * at.weight[sets.dead]
    tied = np.stack([sets.dead_sums(row) for row in dead], axis=1)
    return risk, tied


def score_residuals(X: Array, at: RiskWeights, sets: RiskSets) -> Array:
    """Return each row's share (p, r) of the score, which sums to 0 at the estimate.

    See :func:`score_sums`.
    """
    return score_sums(X, at, sets, np.arange(len(sets.order)), len(sets.order))


def cluster_information(
    X: Array, at: RiskWeights, sets: RiskSets, cluster: IntArray, n_clusters: int
) -> Array:
    """Return each cluster's expected information (c, p, p).

    ``sum over its rows of integral (x_i - xbar(t)) (x_i - xbar(t))' Y_i(t) exp(eta_i) dH(t)``, ties
    as Breslow's.
    """
    risk, tied = covariate_sums(X, at, sets)
    mean = (at.hazard[:, None] * risk - at.tied_hazard[:, None] * tied) / sets.n_event[:, None]

    def lived(increments: Array) -> Array:
        return np.asarray(at.weight * sets.to_rows(sets.over_time(increments)))

    plain, own = lived(at.hazard), [lived(at.hazard * column) for column in mean.T]
    found = np.empty((n_clusters, len(X), len(X)))
    for a in range(len(X)):
        for b in range(a + 1):
            rows = X[a] * X[b] * plain - X[a] * own[b] - X[b] * own[a]
            rows += lived(at.hazard * mean[:, a] * mean[:, b])
            summed = np.bincount(cluster, weights=rows, minlength=n_clusters)
            found[:, a, b] = found[:, b, a] = summed
    return found


def score_sums(
    X: Array, at: RiskWeights, sets: RiskSets, cluster: IntArray, n_clusters: int
) -> Array:
    """Sum the rows' shares of the score over clusters, giving (p, c).

    A row's share is ``integral of (x_i - xbar(t)) dM_i(t)``, the tied events' part as in Efron's
    likelihood (Therneau & Grambsch 2000, section 4.6, doi:10.1007/978-1-4757-3294-8).
    """
    risk, tied = covariate_sums(X, at, sets)
    squares = at.squares[:, :, None]
    mean_hazard = squares[0] * risk - squares[1] * tied
    mean_tied_hazard = squares[1] * risk - squares[2] * tied
    mean = (at.hazard[:, None] * risk - at.tied_hazard[:, None] * tied) / sets.n_event[:, None]
    lived = sets.over_time(mean_hazard).T
    total = np.empty((len(X), n_clusters))
    for own, x, past in zip(total, X, lived, strict=True):
        share = at.weight * sets.to_rows(past) - x * at.expected
        own[:] = np.bincount(cluster, weights=share, minlength=n_clusters)
    at_event = X[:, sets.dead] - mean[sets.dead_at].T
    at_event -= at.weight[sets.dead] * mean_tied_hazard[sets.dead_at].T
    for own, share in zip(total, at_event, strict=True):
        np.add.at(own, cluster[sets.dead], share)
    return total
