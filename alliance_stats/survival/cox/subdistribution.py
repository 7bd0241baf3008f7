"""Weighted risk sets of the Fine-Gray model. Arrays in, arrays out.

At each time t of the ending, those without any ending yet count 1, and those who ended otherwise at
T < t count G(t-) / G(T-), with G the Kaplan-Meier curve of being uncensored.
"""

from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.survival.rows.time_at_risk import IntArray, Intervals

__all__ = ["Subdistribution", "subdistribution"]


@dataclass(frozen=True, slots=True, eq=False)
class Subdistribution:
    """The risk sets at the k times of the ending.

    Attributes
    ----------
    time, n_event
        (k,) times, and endings at each.
    exit
        (n,) every row's time.
    own, other, censored
        (n,) bool: how the row ended.
    uncensored
        (k,) G(t-) at each time.
    uncensored_at_exit
        (n,) G(T-) at each row's own time.
    """

    time: Array
    n_event: IntArray
    exit: Array
    own: np.ndarray[tuple[int], np.dtype[np.bool_]]
    other: np.ndarray[tuple[int], np.dtype[np.bool_]]
    censored: np.ndarray[tuple[int], np.dtype[np.bool_]]
    uncensored: Array
    uncensored_at_exit: Array

    def derivatives(self, X: Array, beta: Array) -> tuple[float, Array, Array]:
        """Return log pseudo-likelihood, score (p,) and minus second derivative (p, p).

        X is (p, n), a row a covariate.
        """
        eta = beta @ X
        weight = np.exp(eta)
        total, mean = self._sums(X, weight)
        share = self.n_event / total
        value = float(eta[self.own].sum() - (self.n_event * np.log(total)).sum())
        expected = weight * self._lived(share)
        score = X @ (self.own - expected)
        outer = (mean * self.n_event[:, None]).T @ mean
        return value, score, np.asarray((X * expected) @ X.T - outer)

    def spans(self) -> tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]:
        """Return between which times (n,) each row counts, and who (e,) ended when.

        Who ended otherwise counts to the end.
        """
        last = np.searchsorted(self.time, self.exit, side="right")
        last[self.other] = len(self.time)
        dead = np.flatnonzero(self.own)
        return (np.zeros_like(last), last), (dead, last[dead] - 1)

    def hazard(self, X: Array, beta: Array) -> Array:
        """Return the steps (k,) of the baseline subdistribution hazard (X at 0)."""
        total, _ = self._sums(X, np.exp(beta @ X))
        return np.asarray(self.n_event / total)

    def influence(self, X: Array, beta: Array) -> Array:
        """Return each row's share (p, n) of the score, the estimated weights allowed for.

        eta_i + psi_i of Fine & Gray (1999), section 3 and appendix.
        """
        weight = np.exp(beta @ X)
        total, mean = self._sums(X, weight)
        share = self.n_event / total
        position = np.searchsorted(self.time, self.exit[self.own])
        eta = weight * self._lived(share[:, None] * mean).T - X * (weight * self._lived(share))
        eta[:, self.own] += X[:, self.own] - mean[position].T
        return np.asarray(eta + self._censoring_influence(X, weight, share, mean))

    def _sums(self, X: Array, weight: Array) -> tuple[Array, Array]:
        """Return the weighted size (k,) of each risk set and its covariate means (k, p)."""
        rows = np.concatenate((np.ones((1, X.shape[1])), X)) * weight
        present = _from(rows, self.exit, self.time)
        gone = _before(
            rows[:, self.other] / self.uncensored_at_exit[self.other],
            self.exit[self.other],
            self.time,
        )
        sums = present + self.uncensored * gone
        return sums[0], (sums[1:] / sums[0]).T

    def _lived(self, steps: Array) -> Array:
        """Sum steps (k, ...) over the time each row is at risk, at its weight then."""
        plain = _running(steps)
        before = np.searchsorted(self.time, self.exit, side="right")
        lived = plain[before]
        later = _running((self.uncensored * steps.T).T)
        rest = later[-1] - later[before[self.other]]
        lived[self.other] += (rest.T / self.uncensored_at_exit[self.other]).T
        return np.asarray(lived)

    def _censoring_influence(self, X: Array, weight: Array, share: Array, mean: Array) -> Array:
        """Return psi (p, n): what the censoring curve's own variation adds."""
        times = np.unique(self.exit[self.censored])
        if not len(times):
            return np.zeros_like(X)
        rows = np.concatenate((np.ones((1, X.shape[1])), X)) * weight
        gone = _before(
            rows[:, self.other] / self.uncensored_at_exit[self.other], self.exit[self.other], times
        )
        steps = self.uncensored * share
        first = np.searchsorted(self.time, times, side="left")
        ahead = _running(steps)
        ahead_mean = _running(steps[:, None] * mean)
        q = gone[1:] * (ahead[-1] - ahead[first]) - (ahead_mean[-1] - ahead_mean[first]).T * gone[0]
        at_risk = len(self.exit) - np.searchsorted(np.sort(self.exit), times, side="left")
        position = np.searchsorted(times, self.exit[self.censored])
        n_censored = np.bincount(position, minlength=len(times))
        lost = _running((q * (n_censored / at_risk**2)).T).T
        psi = -lost[:, np.searchsorted(times, self.exit, side="right")]
        psi[:, self.censored] += (q / at_risk)[:, position]
        return np.asarray(psi)


def subdistribution(intervals: Intervals, number: int) -> Subdistribution:
    """Prepare the risk sets of ending `number` from rows without delayed entry."""
    own = intervals.event == number
    censored = intervals.event == 0
    time, n_event = np.unique(intervals.exit[own], return_counts=True)
    grid, position = np.unique(intervals.exit, return_inverse=True)
    at_risk = len(intervals.exit) - np.searchsorted(np.sort(intervals.exit), grid, side="left")
    n_censored = np.bincount(position[censored], minlength=len(grid))
    curve = np.concatenate(([1.0], np.cumprod(1.0 - n_censored / at_risk)))
    return Subdistribution(
        time=time,
        n_event=n_event,
        exit=intervals.exit,
        own=own,
        other=~own & ~censored,
        censored=censored,
        uncensored=curve[np.searchsorted(grid, time, side="left")],
        uncensored_at_exit=curve[position],
    )


def _running(steps: Array) -> Array:
    return np.concatenate((np.zeros((1, *steps.shape[1:])), np.cumsum(steps, axis=0)))


def _from(rows: Array, when: Array, times: Array) -> Array:
    """Sum (p, n) values over rows with ``when >= t``, for each of `times`."""
    order = np.argsort(-when, kind="stable")
    sums = _running(rows[:, order].T)
    return sums[len(when) - np.searchsorted(np.sort(when), times, side="left")].T


def _before(rows: Array, when: Array, times: Array) -> Array:
    """Sum (p, n) values over rows with ``when < t``, for each of `times`."""
    order = np.argsort(when, kind="stable")
    sums = _running(rows[:, order].T)
    return sums[np.searchsorted(when[order], times, side="left")].T
