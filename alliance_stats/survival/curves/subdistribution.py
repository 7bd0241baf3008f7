"""Weighted risk sets of the Fine-Gray model. Arrays in, arrays out.

At each time t of the ending, those under observation without any ending yet count 1, and those with
another ending at T < t count W(t) / W(T): the probability of being under observation at t given
that at T. ``W(t) = prod over s < t of (1 - c(s) / Y(s)) / (1 - e(s) / R(s))``: of the Y(s) at risk
at s, c(s) are censored; of the R(s) under observation just after s, e(s) entered then (Geskus 2011,
doi:10.1111/j.1541-0420.2010.01420.x). Where all were seen from the start, W is the Kaplan-Meier
curve of being uncensored (Fine & Gray 1999, doi:10.1080/01621459.1999.10474144).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.survival.rows.time_at_risk import Intervals

__all__ = ["Subdistribution", "WeightedSets", "subdistribution"]


@dataclass(frozen=True, slots=True, eq=False)
class WeightedSets:
    """The weighted risk sets at one linear predictor.

    Attributes
    ----------
    log_lik
        Log pseudo-likelihood; -inf where it overflows.
    weight
        (n,) exp(eta), times the row's weight.
    share
        (k,) endings over the size of the risk set: the steps of the baseline hazard.
    mean
        (k, p) mean covariates of each risk set.
    """

    log_lik: float
    weight: Array
    share: Array
    mean: Array


@dataclass(frozen=True, slots=True, eq=False)
class Subdistribution:
    """The risk sets at the k times of the ending.

    Attributes
    ----------
    X
        (p, n) covariates, one row per covariate.
    time, n_event
        (k,) times, and endings (their weights) at each.
    entry, exit
        (n,) every row's times.
    case
        (n,) weight of each row.
    own, other, censored
        (n,) how the row ended.
    observed
        (k,) W(t) at each time.
    observed_at_exit
        (n,) W(T) at each row's own time.
    offset
        (n,) added to each linear predictor; None without.
    """

    X: Array
    time: Array
    n_event: Array
    entry: Array
    exit: Array
    case: Array
    own: Booleans
    other: Booleans
    censored: Booleans
    observed: Array
    observed_at_exit: Array
    offset: Array | None

    @property
    def counted(self) -> Integers:
        """(k,) unweighted number of rows with the ending at each time."""
        place = np.searchsorted(self.time, self.exit[self.own])
        return np.bincount(place, minlength=len(self.time)).astype(np.int64)

    def at(self, beta: Array) -> WeightedSets:
        """Evaluate the pseudo-likelihood and the sums that its derivatives need."""
        eta = beta @ self.X
        if self.offset is not None:
            eta = eta + self.offset
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            weight = self.case * np.exp(eta)
            total, mean = self._sums(weight)
            value = float(
                self.case[self.own] @ eta[self.own] - (self.n_event * np.log(total)).sum()
            )
            share = self.n_event / total
        return WeightedSets(value if np.isfinite(value) else -np.inf, weight, share, mean)

    def derivatives(self, at: WeightedSets) -> tuple[Array, Array]:
        """Return the score (p,) and minus the second derivative (p, p)."""
        expected = at.weight * self._lived(at.share)
        outer = (at.mean * self.n_event[:, None]).T @ at.mean
        score = self.X @ (self.case * self.own - expected)
        return score, np.asarray((self.X * expected) @ self.X.T - outer)

    def spans(self) -> tuple[tuple[Integers, Integers], tuple[Integers, Integers]]:
        """Return the times (n,) between which each row counts, and who (e,) ended when.

        Rows with another ending count to the end.
        """
        last = np.searchsorted(self.time, self.exit, side="right")
        dead = np.flatnonzero(self.own)
        until = np.where(self.other, len(self.time), last)
        return (np.searchsorted(self.time, self.entry, side="right"), until), (dead, last[dead] - 1)

    def influence(self, at: WeightedSets) -> Array:
        """Return each row's share (p, n) of the score, allowing for estimation of the weights.

        eta_i + psi_i of Fine & Gray (1999), section 3 and appendix; with late entry, the same for
        the distribution of entering, whose product runs backwards in time.
        """
        return self._influence(self.X, at, at.mean)

    def residuals(self, at: WeightedSets) -> Array:
        """Return each row's events minus those expected of it, at its weight: (n,)."""
        return np.asarray(self.case * self.own - at.weight * self._lived(at.share))

    def baseline_influence(self, at: WeightedSets, times: Array) -> Array:
        """Return each row's influence (t, n) on the cumulative baseline hazard at `times`.

        At given coefficients: ``sum over i of integral to t of dM_i / S0``, as if one over the size
        of the risk set were a mean.
        """
        until = (self.time[:, None] <= times).astype(np.float64)
        size = self.n_event / at.share
        nothing = np.zeros((len(times), self.X.shape[1]))
        return self._influence(nothing, at, -until / size[:, None])

    def _influence(self, X: Array, at: WeightedSets, mean: Array) -> Array:
        weight = at.weight
        position = np.searchsorted(self.time, self.exit[self.own])
        eta = weight * self._lived(at.share[:, None] * mean).T
        eta -= X * (weight * self._lived(at.share))
        eta[:, self.own] += (X[:, self.own] - mean[position].T) * self.case[self.own]
        eta += self._weights_influence(X, at, mean, (self.exit, self.censored, 1.0))
        late = self.entry > 0.0
        if late.any():
            eta += self._weights_influence(X, at, mean, (self.entry, late, -1.0))
        return np.asarray(eta)

    def _sums(self, weight: Array) -> tuple[Array, Array]:
        """Return the weighted size (k,) of each risk set and its covariate means (k, p)."""
        rows = np.concatenate((np.ones((1, self.X.shape[1])), self.X)) * weight
        late = self.entry > 0.0
        present = _from(rows, self.exit, self.time)
        if late.any():
            present = present - _from(rows[:, late], self.entry[late], self.time)
        sums = present + self.observed * self._gone(rows, self.time)
        return sums[0], (sums[1:] / sums[0]).T

    def _gone(self, rows: Array, times: Array, *, inclusive: bool = False) -> Array:
        """Sum (p, n) values of rows with another ending before (or at) `times`, over W then."""
        own, when = rows[:, self.other] / self.observed_at_exit[self.other], self.exit[self.other]
        order = np.argsort(when, kind="stable")
        sums = _running(own[:, order].T)
        return sums[np.searchsorted(when[order], times, side="right" if inclusive else "left")].T

    def _lived(self, steps: Array) -> Array:
        """Sum steps (k, ...) over the time each row is at risk, at its weight then."""
        plain = _running(steps)
        before = np.searchsorted(self.time, self.exit, side="right")
        lived = plain[before] - plain[np.searchsorted(self.time, self.entry, side="right")]
        later = _running((self.observed * steps.T).T)
        rest = later[-1] - later[before[self.other]]
        lived[self.other] += (rest.T / self.observed_at_exit[self.other]).T
        return np.asarray(lived)

    def _weights_influence(
        self, X: Array, at: WeightedSets, mean: Array, moves: tuple[Array, Booleans, float]
    ) -> Array:
        """Return psi (p, n): what the variation of one factor of W itself adds.

        Parameters
        ----------
        X, mean
            (p, n) covariates and their (k, p) means in the risk sets.
        moves
            (n,) times of the factor's events; (n,) who has one, censored at the exit or entered;
            and 1 for censoring, by whose product W falls, -1 for entering, by whose it rises.
        """
        when, moved, sign = moves
        times = np.unique(when[moved])
        if not len(times):
            return np.zeros_like(X)
        rows = np.concatenate((np.ones((1, X.shape[1])), X)) * at.weight
        # who ended otherwise at T changes weight by all moves from T on
        gone = self._gone(rows, times, inclusive=sign < 0)
        steps = self.observed * at.share
        first = np.searchsorted(self.time, times, side="right" if sign < 0 else "left")
        ahead, ahead_mean = _running(steps), _running(steps[:, None] * mean)
        q = gone[1:] * (ahead[-1] - ahead[first]) - (ahead_mean[-1] - ahead_mean[first]).T * gone[0]
        return self.of_moves(q, times, moves)

    def of_moves(self, q: Array, times: Array, moves: tuple[Array, Booleans, float]) -> Array:
        """Return psi (p, n) from what a move at each of `times` would change, q (p, times)."""
        when, moved, sign = moves
        position = np.searchsorted(times, when[moved])
        n_moved = np.bincount(position, weights=self.case[moved], minlength=len(times))
        risk = _could(self.entry, self.exit, self.case, times, sign)
        lost = _running((q * (n_moved / risk**2)).T).T
        began, ended = (
            np.searchsorted(times, edge, side="right" if sign > 0 else "left")
            for edge in (self.entry, self.exit)
        )
        psi = lost[:, began] - lost[:, ended]
        psi[:, moved] += (q / risk)[:, position]
        return sign * np.asarray(psi * self.case)


def _could(entry: Array, exit_: Array, case: Array, times: Array, sign: float) -> Array:
    """Sum weights at risk of censoring, ``entry < t <= exit``, or in, ``entry <= t < exit``."""

    def later(edges: Array, own: Array) -> Array:
        order = np.argsort(-edges, kind="stable")
        sums = np.concatenate(([0.0], np.cumsum(own[order])))
        side: Literal["left", "right"] = "left" if sign > 0 else "right"
        return np.asarray(sums[len(edges) - np.searchsorted(np.sort(edges), times, side=side)])

    late = entry > 0.0
    return later(exit_, case) - later(entry[late], case[late]) if late.any() else later(exit_, case)


def subdistribution(X: Array, intervals: Intervals, number: int) -> Subdistribution:
    """Prepare the risk sets of ending `number`.

    Raises
    ------
    NotIdentifiedError
        If at some time after an ending of another kind all under observation had just entered:
        the probability that earlier ones would be seen then is unknown.
    """
    own = intervals.event == number
    censored = intervals.event == 0
    other = ~own & ~censored
    entry, exit_ = intervals.entry, intervals.exit
    case = np.ones(len(exit_)) if intervals.weight is None else intervals.weight
    time, place = np.unique(exit_[own], return_inverse=True)
    n_event = np.bincount(place, weights=case[own], minlength=len(time))
    grid = np.unique(np.concatenate((exit_, entry)))
    # weights depend on what is between the first other ending and the last of this kind
    matters = (grid >= exit_[other].min(initial=np.inf)) & (grid < time[-1])
    rows = (entry, exit_, case)
    lost = np.where(matters, _share(exit_, censored, rows, grid, 1.0), 0.0)
    joined = np.where(matters, _share(entry, entry > 0.0, rows, grid, -1.0), 0.0)
    emptied = (lost == 1.0) | (joined == 1.0)
    if emptied.any():
        raise NotIdentifiedError(
            f"At time {grid[emptied][0]:g} nobody was left under observation who had been there "
            "before: how likely those who ended otherwise were to be seen later cannot be told. "
            "Start the clock later, and leave out the rows before."
        )
    curve = np.concatenate(([1.0], np.cumprod((1.0 - lost) / (1.0 - joined))))
    return Subdistribution(
        X=X,
        time=time,
        n_event=n_event.astype(np.float64),
        entry=entry,
        exit=exit_,
        case=case,
        own=own,
        other=other,
        censored=censored,
        observed=curve[np.searchsorted(grid, time, side="left")],
        observed_at_exit=curve[np.searchsorted(grid, exit_, side="left")],
        offset=intervals.offset,
    )


def _share(
    when: Array, moved: Booleans, rows: tuple[Array, Array, Array], grid: Array, sign: float
) -> Array:
    """Return the share moved at each time of `grid` among those who could be: 1 where all were."""
    entry, exit_, case = rows
    place = np.searchsorted(grid, when[moved])
    weight = np.bincount(place, weights=case[moved], minlength=len(grid))
    count = np.bincount(place, minlength=len(grid))
    risk = _could(entry, exit_, case, grid, sign)
    n_risk = _could(entry, exit_, np.ones(len(case)), grid, sign)
    share = np.divide(weight, risk, out=np.zeros(len(grid)), where=risk > 0)
    return np.where((count == n_risk) & (count > 0), 1.0, share)


def _running(steps: Array) -> Array:
    return np.concatenate((np.zeros((1, *steps.shape[1:])), np.cumsum(steps, axis=0)))


def _from(rows: Array, when: Array, times: Array) -> Array:
    """Sum (p, n) values over rows with ``when >= t``, for each of `times`."""
    order = np.argsort(-when, kind="stable")
    sums = _running(rows[:, order].T)
    return sums[len(when) - np.searchsorted(np.sort(when), times, side="left")].T
