"""The Fine-Gray pseudo-likelihood with a coefficient that changes with time. Arrays only.

Units with another ending stay at risk with fixed covariates: multiplied by a function of time these
have a value at each time of the ending, which the sums over risk sets take one by one.
"""

from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.survival.curves.subdistribution import Subdistribution, WeightedSets

__all__ = ["VaryingSubdistribution"]


@dataclass(frozen=True, slots=True, eq=False)
class VaryingSubdistribution:
    """The risk sets, one covariate, and the function of time that its coefficient is.

    Attributes
    ----------
    sets
        Risk sets with the (p, n) covariates of constant coefficients.
    x
        (n,) the covariate whose coefficient changes.
    G
        (k, q) the function's columns at the times of the ending, the constant left out.
    """

    sets: Subdistribution
    x: Array
    G: Array

    @property
    def _seen(self) -> Array:
        """(k, n) weight of each row at each time: its own times the probability of being seen."""
        sets, time = self.sets, self.sets.time[:, None]
        there = (sets.entry < time) & (time <= sets.exit)
        gone = sets.other & (sets.exit < time)
        return sets.case * (there + gone * sets.observed[:, None] / sets.observed_at_exit)

    def _eta(self, beta: Array) -> Array:
        p = len(self.sets.X)
        eta = beta[:p] @ self.sets.X
        if self.sets.offset is not None:
            eta = eta + self.sets.offset
        return np.asarray(eta + (self.G @ beta[p:])[:, None] * self.x)

    def _own(self) -> tuple[Integers, Integers]:
        """Return the rows with the ending, and the number of their time."""
        own = np.flatnonzero(self.sets.own)
        return own, np.searchsorted(self.sets.time, self.sets.exit[own]).astype(np.int64)

    def at(self, beta: Array) -> WeightedSets:
        """Evaluate: ``weight`` is (k, n) here."""
        sets, eta = self.sets, self._eta(beta)
        own, place = self._own()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            weight = self._seen * np.exp(eta)
            total = weight.sum(axis=1)
            value = float(sets.case[own] @ eta[place, own] - sets.n_event @ np.log(total))
            mean = np.hstack((weight @ sets.X.T, (weight @ self.x)[:, None] * self.G))
            mean = mean / total[:, None]
            share = sets.n_event / total
        return WeightedSets(value if np.isfinite(value) else -np.inf, weight, share, mean)

    def derivatives(self, at: WeightedSets) -> tuple[Array, Array]:
        """Return the score (p + q,) and minus the second derivative."""
        sets, (own, place) = self.sets, self._own()
        seen = np.concatenate((sets.X[:, own], self.x[own] * self.G[place].T)) @ sets.case[own]
        expected = at.share[:, None] * at.weight
        lived = expected.sum(axis=0)
        cross = (sets.X * self.x) @ (expected.T @ self.G)
        late = (self.G * (expected @ self.x**2)[:, None]).T @ self.G
        gram = np.block([[(sets.X * lived) @ sets.X.T, cross], [cross.T, late]])
        outer = (at.mean * sets.n_event[:, None]).T @ at.mean
        return seen - sets.n_event @ at.mean, np.asarray(gram - outer)

    def influence(self, at: WeightedSets) -> Array:
        """Return each row's share (p + q, n) of the score, allowing for estimated weights."""
        sets, (own, place) = self.sets, self._own()
        expected = at.share[:, None] * at.weight
        eta = at.mean.T @ expected
        eta[: len(sets.X)] -= sets.X * expected.sum(axis=0)
        eta[len(sets.X) :] -= self.x * (self.G.T @ expected)
        values = np.concatenate((sets.X[:, own], self.x[own] * self.G[place].T))
        eta[:, own] += (values - at.mean[place].T) * sets.case[own]
        eta += self._moved(at, (sets.exit, sets.censored, 1.0))
        late = sets.entry > 0.0
        if late.any():
            eta += self._moved(at, (sets.entry, late, -1.0))
        return np.asarray(eta)

    def _moved(self, at: WeightedSets, moves: tuple[Array, Booleans, float]) -> Array:
        """Return what the variation of one factor of the weights adds (p + q, n)."""
        sets, (when, moved, sign) = self.sets, moves
        times = np.unique(when[moved])
        rows = np.zeros((at.mean.shape[1], len(sets.exit)))
        if not len(times):
            return rows
        others = np.flatnonzero(sets.other)
        others = others[np.argsort(sets.exit[others], kind="stable")]
        side_of_exit = "right" if sign < 0 else "left"
        gone = np.searchsorted(sets.exit[others], times, side=side_of_exit)  # type: ignore[call-overload]
        first = np.searchsorted(sets.time, times, side=side_of_exit)  # type: ignore[call-overload]
        expected = (at.share[:, None] * at.weight)[:, others]
        q = np.empty((at.mean.shape[1], len(times)))
        for j in range(len(q)):
            value = (
                sets.X[j, others]
                if j < len(sets.X)
                else self.G[:, [j - len(sets.X)]] * self.x[others]
            )
            part = expected * (value - at.mean[:, [j]])
            sums = np.zeros((part.shape[0] + 1, part.shape[1] + 1))
            sums[:-1, 1:] = np.cumsum(np.cumsum(part[::-1], axis=0)[::-1], axis=1)
            q[j] = sums[first, gone]
        return sets.of_moves(q, times, moves)
