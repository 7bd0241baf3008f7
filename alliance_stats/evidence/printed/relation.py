"""Sets of numbers that a printed one can represent, and relations between them.

A printed number represents an interval, so a formula of printed numbers has a *feasible set*: every
value it takes while each input runs through its interval. Where the formula is monotone in each
input while the others are held constant (at any values), its least and greatest value lie at
corners of the box of inputs, and :func:`corners` is exact. Elsewhere :func:`enclose` gives a set
that is never too narrow, by interval arithmetic: each operation of a formula is done on whole spans
at once (Moore 1966), so the result holds every value the formula takes. It is too wide where an
input appears more than once; cutting the box of inputs into small cells and joining the cells'
results makes the excess shrink with the cell size. It is too wide by about a hundredth of its width
where correlations are printed with two decimals, by a fifth where they hardly fit together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "OWNERS",
    "Box",
    "Image",
    "Interval",
    "Relation",
    "Setting",
    "Span",
    "any_df",
    "corners",
    "enclose",
    "loosened",
    "magnitude",
    "no_df",
    "p_relations",
    "point",
    "quotient",
    "row_df",
    "stars_twin",
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
        Takes as many numbers as there are inputs; continuous, and monotone in each while the others
        are held constant.
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
    estimate; ``"other"`` is one minus that. All are monotone in |t| and in df, so
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


# What an interval in a row can be the interval of.
OWNERS = (
    "estimate", "r", "d", "g", "odds_ratio", "hazard_ratio", "exp_b", "mean", "proportion"
)  # fmt: skip
# quantity -> what its printed text stands for
Box = Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a row is read: coverage of its interval and tails of its p-value.

    `tails` is ``"two"``, ``"one"`` (the tail on the side of the estimate) or ``"other"``.
    """

    conf_level: float = 0.95
    tails: str = "two"


# inputs' intervals and the row's setting -> the feasible set of the target
Image = Callable[[Box, Setting], Interval]


@dataclass(frozen=True, slots=True)
class Relation:
    """A formula that yields one printed number from others printed with it.

    Attributes
    ----------
    name
        Its name in records and reports.
    target
        The quantity it yields.
    inputs
        The quantities it needs.
    image
        Inputs' intervals -> the feasible set of the target. Never narrower than the true set.
    formula
        In words and symbols.
    source
        Author, year, DOI.
    path
        Relations of one target with the same path are alternatives for the same numbers (pooled
        or Welch; t or normal): one that reproduces is enough.
    exact
        Whether `image` is the feasible set itself; otherwise it encloses it.
    fallback
        Whether the relation is used only where no other applies.
    leaves_open
        For a relation with something unprinted in it: says which values of that would agree.
        The printed number is then not checkable, though it can be found impossible.
    unless
        Quantities that must not be printed, because they would settle what is left open.
    about_interval
        Whether what is left open is how the interval was made.
    is_exception
        Whether the printed number holds under it only if something uncommon and unstated was done
        (corrected degrees of freedom, an exact p beside chi-squared): the reader is told.
    """

    name: str
    target: str
    inputs: tuple[str, ...]
    image: Image
    formula: str
    source: str
    path: str
    exact: bool = True
    fallback: bool = False
    leaves_open: Callable[[Box, Setting], str] | None = None
    unless: tuple[str, ...] = ()
    about_interval: bool = False
    is_exception: bool = False

    @property
    def is_firm(self) -> bool:
        """Whether the relation leaves nothing open."""
        return self.leaves_open is None


def loosened(
    relation: Relation,
    image: Image,
    said: str,
    *,
    name: str,
    also: tuple[str, ...] = (),
    unless: tuple[str, ...] = (),
    about_interval: bool = False,
    is_exception: bool = False,
) -> Relation:
    """Return a relation in which something is left open, described in words.

    Parameters
    ----------
    relation
        What it is an alternative to: it yields the same target on the same path.
    image
        What it allows.
    said
        What would have to hold for the printed number to follow.
    name
        Of the new relation.
    also, unless
        Quantities that must be printed too, and that must not be.
    about_interval
        Whether it is the making of the interval that is left open.
    is_exception
        Whether the reader is told of it as of a condition under which alone the number holds.
    """
    return replace(
        relation,
        name=name,
        image=image,
        inputs=(*relation.inputs, *also),
        formula=f"{relation.formula} ({said})",
        exact=False,
        fallback=False,
        leaves_open=lambda box, setting: (  # noqa: ARG005
            f"it does not follow under {relation.formula}; "
            f"it {'holds only' if is_exception else 'could'} if {said}"
        ),
        unless=unless,
        about_interval=about_interval,
        is_exception=is_exception,
    )


def row_df(box: Box) -> Interval | None:
    """Return the degrees of freedom printed in the row."""
    return box["df"]


def no_df(_: Box) -> None:
    """Return ``None``: the statistic is referred to the normal distribution."""


def any_df(_: Box) -> Interval:
    """Return all degrees of freedom: a t whose df are not printed."""
    return Interval(1.0, np.inf)


def p_relations(
    relation: Relation, *, name: str, df: Callable[[Box], Interval | None]
) -> tuple[Relation, Relation]:
    """Return the p-value, and the stars, that follow from a relation for a t or z statistic.

    The p is found from the feasible set of the statistic (and of df, where it is not fixed), so
    it is exact if the statistic's set is and df does not depend on the same rounded inputs.
    """

    def image(box: Box, setting: Setting) -> Interval:
        return tail_probability(relation.image(box, setting), df(box), setting.tails)

    p_value = replace(
        relation,
        name=name,
        target="p_value",
        image=image,
        formula=f"p of {relation.formula}",
        path=f"p {relation.path}",
    )
    return p_value, stars_twin(p_value)


def stars_twin(relation: Relation) -> Relation:
    """Return the relation that yields the stars for the p that `relation` yields."""
    return replace(
        relation,
        name=f"stars_from_{relation.name}",
        target="stars",
        formula=f"stars for {relation.formula}",
    )
