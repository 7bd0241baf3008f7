"""A set that encloses all values of a formula that is not monotone: interval arithmetic.

Each operation of a formula is done on whole spans at once (Moore 1966), so the result holds every
value the formula takes. It is too wide where an input stands more than once; cutting the box of
inputs into small cells and joining the cells' results makes the excess shrink with the cell size.

Guarantee: the set is never too narrow, so a number it excludes cannot have come from the printed
ones. It is too wide by about a hundredth of its width where correlations are printed with two
decimals, by a fifth where they hardly fit together.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.evidence.intervals import Interval

__all__ = ["Span", "enclose"]

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
    lows = np.array(list(product(*(edge[:-1] for edge in edges)))).T
    highs = np.array(list(product(*(edge[1:] for edge in edges)))).T
    values = formula(*(Span(low, high) for low, high in zip(lows, highs, strict=True)))
    return Interval(float(np.min(values.low)), float(np.max(values.high)))


def _edges(interval: Interval, cells: int) -> Array:
    if interval.low == interval.high:
        return np.array([interval.low, interval.high])
    return np.linspace(interval.low, interval.high, cells + 1)
