"""Whether a partial likelihood has a maximum at all. Arrays in, arrays out.

It has none where some combination ``d`` of the covariates is, at every event, at least as high in
whoever has it as in all who are at risk, and somewhere higher (Bryson & Johnson 1981,
doi:10.1080/00401706.1981.10487683; Jacobsen 1989): along d the likelihood rises for ever, whatever
an iteration says that stops on its way. Such a d is looked for by a linear programme

    maximise score(0) d    subject to    (x_i - x_j) d >= 0  for every event i and j at risk,

of whose constraints only those are written down that a solution so far breaks: the riskiest row of
each risk set. A penalty on frailties leaves all this as it is, for it bounds them.
"""

from collections.abc import Callable

import numpy as np
from scipy import optimize

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.rows.clock_columns import IntArray

__all__ = ["Watch", "named_combination", "rising_direction"]

# Log hazard ratio between two rows from which an estimate may be one on its way to infinity. Where
# the likelihood rises for ever, Newton's decrement falls below 1e-12 only when the ratio of every
# rising pair lies above 1e12 over the number of rows: e^10 holds for ten million of them.
_WIDE = 10.0
_FAR = 50.0  # the same, while the iteration is still on its way
# Covariates are at SD 1 and |d| at most 1: differences below this are rounding.
_EQUAL = 1e-9
# The programme's own tolerance, the narrowest that its solver takes, and a gain that exceeds it.
_FEASIBLE = 1e-10
_GAIN = 1e-7
# Constraints added a round, the most violated first, and rounds.
_ADDED = 500
_ROUNDS = 500


class Watch:
    """Looks at a likelihood's rise where an iteration goes far, and at its end where it went wide.

    Parameters
    ----------
    X, score
        As in :func:`rising_direction`.
    spans
        Gives `at_risk` and `events` of :func:`rising_direction`, which few fits need.
    terms
        (p,) names of the covariates.
    """

    def __init__(
        self,
        X: Array,
        spans: Callable[[], tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]],
        score: Array,
        terms: tuple[str, ...],
    ) -> None:
        self._X, self._spans, self._score, self._terms = X, spans, score, terms
        self._looked = False

    def at(self, beta: Array, *, end: bool = False, converged: bool = True) -> None:
        """Refuse a likelihood that rises for ever, if `beta` gives a reason to look."""
        if self._looked:
            return
        width = np.ptp(beta @ self._X)
        if width > _FAR or (end and (width > _WIDE or not converged)):
            self._looked = True
            direction = rising_direction(self._X, *self._spans(), self._score)
            if direction is not None:
                raise NotIdentifiedError(
                    f"{named_combination(direction, self._terms)} separates those who had the "
                    "event from those at risk who had not: the likelihood rises for ever and the "
                    "hazard ratio is without bound. Merge groups, or leave out the covariate."
                )


def rising_direction(
    X: Array,
    at_risk: tuple[IntArray, IntArray],
    events: tuple[IntArray, IntArray],
    score: Array,
) -> Array | None:
    """Return a direction (p,) along which the partial likelihood rises for ever, or None.

    Parameters
    ----------
    X
        (p, n) covariates at SD 1.
    at_risk
        (n,) and (n,): each row is at risk at the event times ``first <= k < last``.
    events
        (e,) and (e,): rows that have an event, and the number of its time.
    score
        (p,) slope of the log partial likelihood at 0: positive along any such direction.
    """
    dead, dead_at = events
    size = float(np.abs(score).max())
    if size == 0.0:
        return None
    constraints = np.empty((0, len(X)))
    for _ in range(_ROUNDS):
        direction = _steepest(score / size, constraints)
        if score @ direction <= _GAIN * size:
            return None
        value = direction @ X
        riskiest = _riskiest(value, *at_risk)[dead_at]
        excess = value[riskiest] - value[dead]
        broken = np.flatnonzero(excess > _EQUAL)
        if not len(broken):
            return direction
        broken = broken[np.argsort(-excess[broken], kind="stable")[:_ADDED]]
        rows = (X[:, dead[broken]] - X[:, riskiest[broken]]).T
        rows /= np.abs(rows).max(axis=1, keepdims=True)
        known = len(constraints)
        constraints = np.unique(np.vstack([constraints, rows]), axis=0)
        if len(constraints) == known:  # what is broken still is within the solver's tolerance
            return direction
    return None


def _steepest(slope: Array, constraints: Array) -> Array:
    """Maximise ``slope d`` over ``constraints d >= 0`` and ``|d| <= 1``."""
    if not len(constraints):
        return np.asarray(np.sign(slope))
    found = optimize.linprog(
        -slope,
        A_ub=-constraints,
        b_ub=np.zeros(len(constraints)),
        bounds=(-1.0, 1.0),
        method="highs",
        options={
            "primal_feasibility_tolerance": _FEASIBLE,
            "dual_feasibility_tolerance": _FEASIBLE,
        },
    )
    return np.asarray(found.x if found.x is not None else np.zeros(len(slope)))


def _riskiest(value: Array, first: IntArray, last: IntArray) -> IntArray:
    """Return, for each event time, the row at risk then with the largest value.

    Each row's span of times is covered by two blocks whose length is a power of 2; the largest
    value of each block is then handed down to its halves.
    """
    order = np.argsort(value, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    present = last > first
    rank, first, last = rank[present], first[present], last[present]
    level = np.frexp((last - first).astype(np.float64))[1].astype(np.int64) - 1
    best = np.full((int(level.max()) + 1, int(last.max())), -1, dtype=np.int64)
    np.maximum.at(best, (level, first), rank)
    np.maximum.at(best, (level, last - (1 << level)), rank)
    for k in range(len(best) - 1, 0, -1):
        half = 1 << (k - 1)
        np.maximum(best[k - 1], best[k], out=best[k - 1])
        np.maximum(best[k - 1][half:], best[k][:-half], out=best[k - 1][half:])
    return np.asarray(order[best[0]])


def named_combination(direction: Array, terms: tuple[str, ...]) -> str:
    """Name the covariates that a direction moves."""
    size = np.abs(direction)
    names = [f"'{terms[k]}'" for k in np.flatnonzero(size > 0.05 * size.max())]
    if len(names) == 1:
        return f"Covariate {names[0]}"
    return f"A combination of the covariates {', '.join(names)}"
