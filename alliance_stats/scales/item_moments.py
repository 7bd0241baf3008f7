"""Observed moments of items: blocks of rows that share a pattern of answers, or a size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.scales.moment_structure import Block

__all__ = ["ItemMoments", "grouped_moments", "levelled_moments"]

_Index = npt.NDArray[np.int64]
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
    values: Array, groups: _Index, units: _Index, *, clustered: bool
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


def _patterns(values: Array, units: _Index, group: int) -> Iterator[Block]:
    patterns, which = np.unique(~np.isnan(values), axis=0, return_inverse=True)
    for place, pattern in enumerate(patterns):
        rows = values[which.ravel() == place][:, pattern]
        mean = rows.mean(axis=0)
        covariance = (rows - mean).T @ (rows - mean) / len(rows)
        yield Block(
            len(rows), covariance, mean, {group: 1.0}, np.flatnonzero(pattern), centre=group,
            rows=rows, units=units[which.ravel() == place],
        )  # fmt: skip


def levelled_moments(values: Array, units: _Index) -> ItemMoments:
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
