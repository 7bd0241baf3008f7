"""From items and factors to a moment structure: its numbered parameters, its observed moments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.scales.moment_structure import Block, Component

__all__ = [
    "EQUAL",
    "Factors",
    "ItemMoments",
    "Parameter",
    "build_components",
    "check_factors",
    "grouped_moments",
    "independent",
    "levelled_moments",
]

EQUAL = ("loadings", "intercepts", "residuals")
"""What can be held equal over groups or times, in the order in which it is asked for."""

_SHARE = 0.5  # of an item's variance that the start gives to its factor


class Parameter(NamedTuple):
    """A parameter's meaning: kind, what it refers to, and the component (group, level)."""

    about: str
    term: str
    component: int
    number: int


@dataclass(frozen=True, slots=True)
class Factors:
    """Which items measure which factor, and what is held equal.

    Attributes
    ----------
    items
        All items, in order.
    of
        Factor -> its items.
    equal
        What is held equal, of :data:`EQUAL`: over components or, where `repeated`, over factors.
    free
        Kind -> the items for which it is not held equal.
    pairs
        Pairs of items whose residuals are correlated.
    repeated
        Whether the factors are one factor at several times, so that their k-th items are the same
        item.
    """

    items: tuple[str, ...]
    of: Mapping[str, tuple[str, ...]]
    equal: tuple[str, ...] = ()
    free: Mapping[str, tuple[str, ...]] | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    repeated: bool = False

    def is_equal(self, kind: str, item: str) -> bool:
        """Return whether this parameter of an item is held equal."""
        return kind in self.equal and item not in (self.free or {}).get(kind, ())

    def same_as(self, kind: str, item: str) -> str:
        """Return the item whose parameter an item shares: of the first factor, where repeated."""
        if not self.repeated or not self.is_equal(kind, item):
            return item
        first, *others = self.of.values()
        return next((first[own.index(item)] for own in others if item in own), item)


def check_factors(
    factors: Mapping[str, Sequence[str]],
    *,
    equal: Sequence[str],
    free: Mapping[str, Sequence[str]],
    repeated: bool,
) -> Factors:
    """Return the factors, checked.

    Raises
    ------
    DataError
        If a factor has too few items, or a named item does not exist.
    """
    if not isinstance(factors, Mapping) or not factors:
        raise DataError(
            f"factors must be names with their items, as {{'bond': [...]}}; got {factors!r}."
        )
    of = {}
    for name, own in factors.items():
        if isinstance(own, str) or len(own) < 2 or len(set(own)) < len(own):
            raise DataError(f"Factor '{name}' needs two or more items, each once; got {own!r}.")
        of[str(name)] = tuple(own)
    if len(of) == 1 and len(next(iter(of.values()))) < 3:
        raise DataError("One factor needs three items: two have one covariance for two loadings.")
    if repeated and len({len(own) for own in of.values()}) > 1:
        raise DataError("Factors that are compared have the same items, in the same order.")
    for kind in (*equal, *free):
        check_choice(kind, EQUAL, name="equal")
    items = tuple(dict.fromkeys(item for own in of.values() for item in own))
    for item in (i for own in free.values() for i in own):
        if item not in items:
            raise DataError(f"'{item}' is no item of the factors. {did_you_mean(item, items)}")
    matched = tuple(zip(*of.values(), strict=True)) if repeated else ()
    crossed = tuple((a, b) for own in matched for i, a in enumerate(own) for b in own[i + 1 :])
    kept = {kind: tuple(own) for kind, own in free.items()}
    return Factors(items, of, tuple(equal), kept, crossed, repeated)


class _Numbers:
    """Numbers parameters as they are named: the same key gives the same parameter."""

    def __init__(self) -> None:
        self.known: dict[object, int] = {}

    def __getitem__(self, key: object) -> int:
        return self.known.setdefault(key, len(self.known))


def build_components(
    factors: Factors, moments: Sequence[tuple[Array, Array]], *, means: Sequence[bool]
) -> tuple[tuple[Component, ...], tuple[Parameter, ...]]:
    """Return a component for each group (or level) and what its parameters are.

    Parameters
    ----------
    moments
        Mean and covariance of the items in each, for the starts.
    means
        Whether the component has means: in two levels only the upper one has.

    Notes
    -----
    Variances of factors are 1 and their means 0 where that sets the scale: in the first group, and
    in the others unless equal loadings (intercepts) set it; likewise over repeated factors.
    """
    numbers, listed, components = _Numbers(), list[Parameter](), []
    for place, ((mean, covariance), has_mean) in enumerate(zip(moments, means, strict=True)):
        own = _Structure(factors, place, numbers, np.diag(covariance))
        L, L_at = own.loadings(covariance)
        P, P_at = own.factor_covariances(L, covariance)
        T, T_at = own.residuals()
        nu, nu_at = own.intercepts(mean) if has_mean else (mean * 0.0, own.none(len(mean)))
        a, a_at = own.factor_means(has_mean=has_mean)
        components.append(Component((L, P, T, nu, a), (L_at, P_at, T_at, nu_at, a_at)))
        listed += own.listed
    return tuple(components), tuple(listed)


@dataclass(slots=True)
class _Structure:
    """Builds the five matrices of one component."""

    factors: Factors
    place: int
    numbers: _Numbers
    variances: Array
    listed: list[Parameter] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.listed = []

    @staticmethod
    def none(*shape: int) -> Integers:
        return np.full(shape, -1, dtype=np.int64)

    def number(self, about: str, term: str, key: tuple[object, ...]) -> int:
        number = self.numbers[(about, *key)]
        self.listed.append(Parameter(about, term, self.place, number))
        return number

    def key(self, kind: str, item: str) -> tuple[object, ...]:
        """Return what an item's parameter is numbered by: with its group, unless held equal."""
        shared = self.factors.is_equal(kind, item) and not self.factors.repeated
        return self.factors.same_as(kind, item), None if shared else self.place

    def rank(self, name: str, kind: str) -> bool:
        """Return whether equal loadings (intercepts) elsewhere set a factor's scale (origin)."""
        first = name == next(iter(self.factors.of)) if self.factors.repeated else self.place == 0
        return kind in self.factors.equal and not first

    def loadings(self, covariance: Array) -> tuple[Array, Integers]:
        items, of = self.factors.items, self.factors.of
        L, at = np.zeros((len(items), len(of))), self.none(len(items), len(of))
        for f, (name, own) in enumerate(of.items()):
            first = items.index(own[0])
            for item in own:
                i = items.index(item)
                item_key, group = self.key("loadings", item)
                factor = next(iter(of)) if item_key != item else name
                at[i, f] = self.number("loading", f"{name} -> {item}", (factor, item_key, group))
                sign = -1.0 if covariance[i, first] < 0.0 else 1.0
                L[i, f] = sign * np.sqrt(_SHARE * self.variances[i])
        return L, at

    def factor_covariances(self, L: Array, covariance: Array) -> tuple[Array, Integers]:
        names = list(self.factors.of)
        P, at = np.eye(len(names)), self.none(len(names), len(names))
        signs = np.sign(L)
        for f, name in enumerate(names):
            if self.rank(name, "loadings"):
                at[f, f] = self.number("factor variance", name, (name, self.place))
            for h in range(f):
                key = (names[h], name, self.place)
                at[f, h] = at[h, f] = self.number("factor covariance", f"{names[h]} ~ {name}", key)
                P[f, h] = P[h, f] = _SHARE * np.sign(signs[:, f] @ covariance @ signs[:, h])
        return P, at

    def residuals(self) -> tuple[Array, Integers]:
        items = self.factors.items
        T, at = np.diag((1.0 - _SHARE) * self.variances), self.none(len(items), len(items))
        for i, item in enumerate(items):
            at[i, i] = self.number("residual variance", item, self.key("residuals", item))
        for one, other in self.factors.pairs:
            i, j = items.index(one), items.index(other)
            key = (one, other, self.place)
            at[i, j] = at[j, i] = self.number("residual covariance", f"{one} ~ {other}", key)
        return T, at

    def intercepts(self, mean: Array) -> tuple[Array, Integers]:
        items = self.factors.items
        at = [self.number("intercept", item, self.key("intercepts", item)) for item in items]
        return mean, np.array(at, dtype=np.int64)

    def factor_means(self, *, has_mean: bool) -> tuple[Array, Integers]:
        names = list(self.factors.of)
        at = self.none(len(names))
        for f, name in enumerate(names):
            if has_mean and self.rank(name, "intercepts"):
                at[f] = self.number("factor mean", name, (name, self.place))
        return np.zeros(len(names)), at


def independent(
    moments: Sequence[tuple[Array, Array]], *, means: Sequence[bool]
) -> tuple[Component, ...]:
    """Return components without any covariance: the baseline of a model's fit."""
    numbers, components = _Numbers(), []
    for place, ((mean, covariance), has_mean) in enumerate(zip(moments, means, strict=True)):
        p = len(mean)
        T = np.full((p, p), -1, dtype=np.int64)
        np.fill_diagonal(T, [numbers[("T", place, i)] for i in range(p)])
        nu = np.array([numbers[("nu", place, i)] if has_mean else -1 for i in range(p)])
        empty = np.empty(0, dtype=np.int64)
        components.append(
            Component(
                (np.empty((p, 0)), np.empty((0, 0)), np.diag(np.diag(covariance)),
                 mean if has_mean else mean * 0.0, np.empty(0)),
                (empty.reshape(p, 0), empty.reshape(0, 0), T, nu, empty),
            )
        )  # fmt: skip
    return tuple(components)


_LEAST_BETWEEN = 0.1  # of the variance within, where the means vary less than chance makes them


@dataclass(frozen=True, slots=True, eq=False)
class ItemMoments:
    """Blocks of observations, and starting values for their moments.

    Attributes
    ----------
    blocks
        What was seen.
    starts
        Mean and covariance of each component.
    means
        Whether each component has a mean.
    nobs
        Rows.
    has_holes
        Whether an answer is missing.
    clustered
        Whether rows are not independent.
    levels
        Whether there are two levels.
    """

    blocks: tuple[Block, ...]
    starts: tuple[tuple[Array, Array], ...]
    means: tuple[bool, ...]
    nobs: int
    has_holes: bool
    clustered: bool
    levels: bool

    @property
    def n_items(self) -> int:
        """Number of items, p."""
        return len(self.starts[0][0])

    @property
    def n_free(self) -> int:
        """Number of means, variances and covariances of the components."""
        p = self.n_items
        return len(self.starts) * p * (p + 1) // 2 + p * sum(self.means)

    def of(self, component: int) -> tuple[Block, ...]:
        """Return the blocks of a group."""
        return tuple(block for block in self.blocks if component in block.weights)


def grouped_moments(
    values: Array, groups: Integers, units: Integers, *, clustered: bool
) -> ItemMoments:
    """Return blocks by group and pattern of missing answers.

    Parameters
    ----------
    values
        (n, p) answers, NaN where missing; each row has at least one.
    groups, units
        (n,) codes.
    """
    n_groups = int(groups.max()) + 1
    starts, blocks = [], list[Block]()
    for group in range(n_groups):
        own = values[groups == group]
        if len(own) <= values.shape[1]:
            raise NotIdentifiedError(
                f"{len(own)} forms of a group are too few for {values.shape[1]} items."
            )
        starts.append((np.nanmean(own, axis=0), _pairwise(own)))
        blocks += _patterns(own, units[groups == group], group)
    holes = bool(np.isnan(values).any())
    return ItemMoments(
        tuple(blocks), tuple(starts), (True,) * n_groups, len(values), holes, clustered, False
    )


def _pairwise(values: Array) -> Array:
    """Return covariances from the rows that have both, with divisor n."""
    centred = values - np.nanmean(values, axis=0)
    seen = (~np.isnan(centred)).astype(np.float64)
    filled = np.nan_to_num(centred)
    return np.asarray((filled.T @ filled) / np.maximum(seen.T @ seen, 1.0))


def _patterns(values: Array, units: Integers, group: int) -> Iterator[Block]:
    patterns, which = np.unique(~np.isnan(values), axis=0, return_inverse=True)
    for place, pattern in enumerate(patterns):
        rows = values[which.ravel() == place][:, pattern]
        mean = rows.mean(axis=0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        yield Block(
            len(rows), covariance, mean, {group: 1.0}, np.flatnonzero(pattern), centre=group,
            rows=rows, units=units[which.ravel() == place],
        )  # fmt: skip


def levelled_moments(values: Array, units: Integers) -> ItemMoments:
    """Return the blocks of rows in units: deviations within, and means by the units' sizes.

    Raises
    ------
    NotIdentifiedError
        If there are too few units, or no unit has two rows.
    """
    sizes = np.bincount(units)
    n, p, n_units = len(values), values.shape[1], len(sizes)
    if n_units <= p or n - n_units <= p:
        raise NotIdentifiedError(
            f"{n} rows of {n_units} units are too few for {p} items at two levels: there must be "
            "more units, and more further rows, than items."
        )
    means = np.column_stack([np.bincount(units, column) for column in values.T]) / sizes[:, None]
    within = values - means[units]
    pooled = within.T @ within / (n - n_units)
    every = np.arange(p)
    blocks = [Block(n - n_units, pooled, None, {0: 1.0}, every)]
    for size in np.unique(sizes):
        own = means[sizes == size]
        centre = own.mean(axis=0)
        spread = size * (own - centre).T @ (own - centre) / len(own)
        root = float(np.sqrt(size))
        blocks.append(
            Block(
                len(own), spread, root * centre, {0: 1.0, 1: float(size)}, every, centre=1,
                scale=root,
            )
        )  # fmt: skip
    between = np.cov(means, rowvar=False) - pooled / sizes.mean()
    least = _LEAST_BETWEEN * np.diag(pooled)
    start = np.diag(np.maximum(np.diag(between), least))
    starts = (
        (np.zeros(p), pooled),
        (means.mean(axis=0), start + between - np.diag(np.diag(between))),
    )
    return ItemMoments(tuple(blocks), starts, (False, True), n, False, False, True)
