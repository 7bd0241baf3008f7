"""A penalised likelihood's maximum and profile: tests and limits where Wald's fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Booleans

__all__ = ["Penalised", "PenalisedFit", "maximise_penalised"]

# The Newton decrement, twice the gain still to be had: estimates are then within 1e-6 SE.
_CONVERGED = 1e-12
_NEAR_ENOUGH = 1e-10  # the same along a profile, whose fall is then known to 1e-10
_ON_TARGET = 1e-7  # how near the root of a fall comes to its target: limits are within 1e-7 SE
_NEAR = 1e-2  # decrement from which the curvature is learnt from the steps
_MAX_STEPS = 500
_MAX_HALVINGS = 40
_LONGEST = 5.0  # step of a standardised covariate's coefficient
_DOUBLINGS = 40  # of the distance, in which a limit is looked for


@dataclass(frozen=True, slots=True, eq=False)
class Penalised:
    """A penalised log-likelihood at one place: its value, slope (p,) and information (p, p)."""

    value: float
    slope: Array
    information: Array


Criterion = Callable[[Array], Penalised]
# A coefficient's value, the root of the fall there, all coefficients, and the evaluation.
_Place = tuple[float, float, Array, Penalised]


@dataclass(frozen=True, slots=True, eq=False)
class PenalisedFit:
    """The maximum of a penalised log-likelihood, and its profile.

    Attributes
    ----------
    criterion
        (p,) coefficients of the scaled covariates -> what is maximised.
    beta
        (p,) the coefficients, scaled.
    at
        The evaluation there.
    scale
        (p,) what the covariates were divided by.
    steps
        How often it was climbed.
    """

    criterion: Criterion
    beta: Array
    at: Penalised
    scale: Array
    steps: int

    def drop(self, places: Sequence[int]) -> float:
        """Return twice the fall of the maximum where some coefficients are held at 0."""
        start = self.beta.copy()
        start[list(places)] = 0.0
        free = ~np.isin(np.arange(len(start)), places)
        return (
            self._root(maximise_penalised(self.criterion, start, free, done=_NEAR_ENOUGH)[1]) ** 2
        )

    def _root(self, at: Penalised) -> float:
        """Return the root of twice the fall to another place: nearly linear in a coefficient."""
        return float(np.sqrt(max(2.0 * (self.at.value - at.value), 0.0)))

    def _moved(self, place: int, value: float, start: Array, at: Penalised) -> _Place:
        """Climb with one coefficient held, starting the others where they would follow it."""
        free = np.arange(len(start)) != place
        along = np.linalg.solve(at.information[np.ix_(free, free)], at.information[free, place])
        held = start.copy()
        held[free] -= along * (value - start[place])
        held[place] = value
        there = self.criterion(held)
        if not there.value > at.value - 50.0:  # too far for a straight line
            held[free] = start[free]
        else:
            at = there
        found, at, _ = maximise_penalised(
            self.criterion, held, free, done=_NEAR_ENOUGH, now=at if at is there else None
        )
        return value, self._root(at), found, at

    def limits(self, place: int, height: float) -> tuple[float, float]:
        """Return limits within which twice the fall is under `height`, on the original scale."""
        error = float(np.sqrt(np.linalg.inv(self.at.information)[place, place]))
        target, ends = float(np.sqrt(height)), []
        for sign in (-1.0, 1.0):
            inside: _Place = (float(self.beta[place]), 0.0, self.beta, self.at)
            reach = sign * error * target
            for _ in range(_DOUBLINGS):
                outside = self._moved(place, inside[0] + reach, *inside[2:])
                if outside[1] >= target:
                    ends.append(self._between(place, inside, outside, target))
                    break
                inside, reach = outside, 1.5 * reach
            else:
                ends.append(sign * np.inf)
        return ends[0] / self.scale[place], ends[1] / self.scale[place]

    def _between(self, place: int, inside: _Place, outside: _Place, target: float) -> float:
        """Return where the root of the fall is `target`: false position, halved where it sticks."""
        low, high, last = inside[1] - target, outside[1] - target, 0.0
        for _ in range(_MAX_STEPS):
            share = low / (low - high)
            near = inside if share < 0.5 else outside
            value = inside[0] + share * (outside[0] - inside[0])
            found = self._moved(place, value, *near[2:])
            off = found[1] - target
            if abs(off) < _ON_TARGET or value in (inside[0], outside[0]):
                return float(value)
            if off < 0.0:
                inside, low, high = found, off, high / 2.0 if last < 0.0 else high
            else:
                outside, high, low = found, off, low / 2.0 if last > 0.0 else low
            last = off
        return float(value)


def maximise_penalised(
    criterion: Criterion,
    start: Array,
    free: Booleans,
    *,
    done: float = _CONVERGED,
    now: Penalised | None = None,
) -> tuple[Array, Penalised, int]:
    """Climb from `start` in the free coefficients; returns place, evaluation and steps.

    `done` is the Newton decrement at which the maximum is reached, `now` the evaluation at `start`.

    Raises
    ------
    NotIdentifiedError
        If it does not converge.
    """
    beta, now = start, criterion(start) if now is None else now
    own = np.ix_(free, free)
    inverse: Array | None = None
    for steps in range(1, _MAX_STEPS + 1):
        slope = now.slope[free]
        if inverse is None:
            inverse = np.asarray(np.linalg.inv(now.information[own]))
        move = inverse @ slope
        gain = float(slope @ move)
        if gain < done:
            return beta, now, steps
        move *= min(1.0, _LONGEST / np.abs(move).max())
        place, new = beta, now
        for _ in range(_MAX_HALVINGS):
            place = beta.copy()
            place[free] += move
            new = criterion(place)
            if new.value >= now.value - 1e-13 * abs(now.value):
                break
            move = move / 2.0
        fall = slope - new.slope[free]
        # far away the information there is the better curvature, near the end what was met
        near = gain < _NEAR and fall @ move > 0.0
        inverse = _updated(inverse, move, fall) if near else None
        beta, now = place, new
    raise NotIdentifiedError(
        f"The penalised likelihood did not settle in {_MAX_STEPS} steps. Leave out covariates that "
        "nearly repeat one another."
    )


def _updated(inverse: Array, move: Array, fall: Array) -> Array:
    """Return the inverse curvature that maps this fall of the slope to this move (BFGS)."""
    rate = 1.0 / float(fall @ move)
    turn = np.eye(len(move)) - rate * np.outer(move, fall)
    return np.asarray(turn @ inverse @ turn.T + rate * np.outer(move, move))
