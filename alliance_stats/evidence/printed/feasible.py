"""Intervals of real numbers, and what a formula makes of them.

A printed number stands for an interval, so a formula of printed numbers has a *feasible set*: every
value it takes while each input runs through its interval. The functions here give that set.
Where the formula is monotone in each input while the others are held (at any values), its least
and greatest value lie at corners of the box of inputs, and :func:`corners` is exact. Elsewhere
:func:`enclose` gives a set that is never too narrow, by interval arithmetic: each operation of a
formula is done on whole spans at once (Moore 1966), so the result holds every value the formula
takes. It is too wide where an input stands more than once; cutting the box of inputs into small
cells and joining the cells' results makes the excess shrink with the cell size. It is too wide by
about a hundredth of its width where correlations are printed with two decimals, by a fifth where
they hardly fit together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "Interval",
    "Span",
    "corners",
    "enclose",
    "magnitude",
    "point",
    "quotient",
    "tail_probability",
]

# Two ends that agree to this relative difference are the same end: double arithmetic in the
# formulas is good to about 1e-14, and no printed number has ten digits.
_SLACK = 1e-10


@dataclass(frozen=True, slots=True)
class Interval:
    """All numbers from `low` to `high`, ends included; ``low == high`` is a single number."""

    low: float
    high: float

    def meets(self, other: "Interval") -> bool:
        """Say whether the two intervals have a number in common (ends count)."""
        return self.gap(other) == 0.0

    def gap(self, other: "Interval") -> float:
        """Return the distance between the nearest ends, 0 where the intervals meet."""
        if self.low > other.high:
            near, far = other.high, self.low
        elif other.low > self.high:
            near, far = self.high, other.low
        else:
            return 0.0
        if np.isinf(far - near):
            return np.inf
        return 0.0 if far - near <= _SLACK * max(abs(near), abs(far)) else far - near

    def within(self, low: float, high: float) -> "Interval | None":
        """Return the part between `low` and `high`; ``None`` where there is none."""
        if self.low > high or self.high < low:
            return None
        return Interval(max(self.low, low), min(self.high, high))


def point(value: float) -> Interval:
    """Return the interval that holds only `value`."""
    return Interval(value, value)


def corners(
    formula: Callable[..., float], *inputs: Interval, turns: Sequence[Sequence[float]] = ()
) -> Interval:
    """Return the exact feasible set of a formula that is monotone in each input.

    Where a corner is indeterminate (0/0, a difference of infinities) the printed digits leave the
    result open, and the set is the whole line.

    Parameters
    ----------
    formula
        Takes as many numbers as there are inputs; continuous, and monotone in each while the
        others are held.
    inputs
        The intervals.
    turns
        For each input, places where the direction changes whatever the other inputs are; those
        inside the interval are evaluated as well.
    """
    ends = []
    for position, interval in enumerate(inputs):
        inside = turns[position] if position < len(turns) else ()
        extra = [turn for turn in inside if interval.low < turn < interval.high]
        ends.append(sorted({interval.low, interval.high, *extra}))
    # as numpy numbers, so that an end at a pole gives infinity
    with np.errstate(all="ignore"):
        values = [float(formula(*map(np.float64, corner))) for corner in product(*ends)]
    if any(np.isnan(value) for value in values):
        return Interval(-np.inf, np.inf)
    return Interval(min(values), max(values))


def quotient(numerator: Interval, denominator: Interval) -> Interval:
    """Return the feasible set of a ratio whose denominator is not negative (0 at most an end)."""
    if denominator.high <= 0.0:
        raise NotIdentifiedError("the relation divides by a number printed as zero")
    if denominator.low > 0.0:
        return corners(lambda a, b: a / b, numerator, denominator)
    low = numerator.low / denominator.high if numerator.low >= 0.0 else -np.inf
    high = numerator.high / denominator.high if numerator.high <= 0.0 else np.inf
    return Interval(low, high)


def magnitude(interval: Interval) -> Interval:
    """Return the absolute values of an interval."""
    return corners(abs, interval, turns=((0.0,),))


def _t_tail(t: float, df: float) -> float:
    """Return ``P(T > t)``; scipy's distribution objects take many times as long for one number."""
    return float(special.ndtr(-t) if np.isinf(df) else special.stdtr(df, -t))


def tail_probability(statistic: Interval, df: Interval | None, tails: str) -> Interval:
    """Return the feasible p of a t statistic (normal where `df` is ``None``).

    ``tails="two"`` is ``2 P(T > |t|)``; ``"one"`` is ``P(T > |t|)``, the tail on the side of the
    estimate; ``"other"`` is one minus that. All change one way as |t| grows and as df grows, so
    corners are exact.
    """
    factor = 2.0 if tails == "two" else 1.0
    size = magnitude(statistic)
    degrees = df or point(np.inf)
    if degrees.high <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    degrees = Interval(max(degrees.low, np.finfo(float).tiny), degrees.high)
    if tails == "other":
        return corners(lambda t, nu: _t_tail(-t, nu), size, degrees)
    return corners(lambda t, nu: factor * _t_tail(t, nu), size, degrees)


# The box is cut into about this many cells, alike along each input that is not a single number.
_CELLS = 5_000


class Span:
    """Many intervals side by side: ``low[i]`` to ``high[i]``, with the arithmetic of sets."""

    __slots__ = ("high", "low")

    def __init__(self, low: Array, high: Array) -> None:
        self.low = np.asarray(low, dtype=np.float64)
        self.high = np.asarray(high, dtype=np.float64)

    def __add__(self, other: "Span | float") -> "Span":
        other = _span(other)
        return Span(self.low + other.low, self.high + other.high)

    def __radd__(self, other: float) -> "Span":
        return self + other

    def __sub__(self, other: "Span | float") -> "Span":
        other = _span(other)
        return Span(self.low - other.high, self.high - other.low)

    def __rsub__(self, other: float) -> "Span":
        return _span(other) - self

    def __mul__(self, other: "Span | float") -> "Span":
        other = _span(other)
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Span(np.minimum.reduce(ends), np.maximum.reduce(ends))

    def __truediv__(self, other: "Span | float") -> "Span":
        other = _span(other)
        if np.any(other.low <= 0.0):
            raise NotIdentifiedError("the relation may divide by zero within the printed rounding")
        return self * Span(1.0 / other.high, 1.0 / other.low)

    def square(self) -> "Span":
        """Return the squares (narrower than the span times itself)."""
        ends = self.low**2, self.high**2
        low = np.where((self.low < 0.0) & (self.high > 0.0), 0.0, np.minimum(*ends))
        return Span(low, np.maximum(*ends))

    def cube(self) -> "Span":
        """Return the cubes."""
        return Span(self.low**3, self.high**3)

    def increasing(self, function: Callable[[Array], Array]) -> "Span":
        """Return the values of an increasing function."""
        return Span(function(self.low), function(self.high))

    def root(self) -> "Span":
        """Return the square roots of a span that is not negative."""
        return Span(np.sqrt(self.low), np.sqrt(self.high))

    def at_least(self, bound: float) -> "Span":
        """Return the part not below `bound` (where it is known that nothing lies below)."""
        return Span(np.maximum(self.low, bound), np.maximum(self.high, bound))


def _span(value: "Span | float") -> Span:
    return value if isinstance(value, Span) else Span(np.asarray(value), np.asarray(value))


def enclose(formula: Callable[..., Span], *inputs: Interval) -> Interval:
    """Return an interval that holds every value of `formula` over the box of `inputs`."""
    open_inputs = sum(interval.low < interval.high for interval in inputs)
    cells = int(_CELLS ** (1.0 / max(open_inputs, 1)))
    edges = [_edges(interval, cells) for interval in inputs]
    lows = [part.ravel() for part in np.meshgrid(*(edge[:-1] for edge in edges))]
    highs = [part.ravel() for part in np.meshgrid(*(edge[1:] for edge in edges))]
    values = formula(*(Span(low, high) for low, high in zip(lows, highs, strict=True)))
    return Interval(float(np.min(values.low)), float(np.max(values.high)))


def _edges(interval: Interval, cells: int) -> Array:
    if interval.low == interval.high:
        return np.array([interval.low, interval.high])
    return np.linspace(interval.low, interval.high, cells + 1)
