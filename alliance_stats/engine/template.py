"""The free entries of covariance factors, coordinates over them, and the way to their boundary."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from alliance_stats.estimates import Array, Integers

__all__ = ["NEARLY_ZERO", "Coordinates", "Slopes", "Template", "reduce_rank", "trapezoid"]

# A relative SD under this is tried at zero; it stays there if the deviance does not mind.
NEARLY_ZERO = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """The free entries of the covariance factors.

    Attributes
    ----------
    blocks
        For each grouping factor, the sizes of its terms: a factor's Lambda is block-diagonal.
    ranks
        For each term, how many columns of its triangle are free (all of them, unless the
        covariance was found to be singular).
    entries
        Columns ``factor, row, column`` of each element of theta.
    """

    blocks: tuple[tuple[int, ...], ...]
    ranks: tuple[tuple[int, ...], ...]
    entries: Integers

    @classmethod
    def full(cls, blocks: Sequence[Sequence[int]]) -> "Template":
        """Leave every lower triangle free."""
        return cls.of_rank(blocks, blocks)

    @classmethod
    def of_rank(cls, blocks: Sequence[Sequence[int]], ranks: Sequence[Sequence[int]]) -> "Template":
        """Leave the first `ranks` columns of each lower triangle free."""
        entries = []
        for f, (sizes, free) in enumerate(zip(blocks, ranks, strict=True)):
            offset = 0
            for size, rank in zip(sizes, free, strict=True):
                entries += [
                    (f, offset + i, offset + j) for j in range(rank) for i in range(j, size)
                ]
                offset += size
        return cls(
            tuple(tuple(sizes) for sizes in blocks),
            tuple(tuple(free) for free in ranks),
            np.array(entries, dtype=np.int64).reshape(-1, 3),
        )

    @property
    def n_theta(self) -> int:
        """Length of theta."""
        return len(self.entries)

    def factors(self, theta: Array) -> list[Array]:
        """Return Lambda of each grouping factor."""
        Lambda = [np.zeros((sum(sizes), sum(sizes))) for sizes in self.blocks]
        for (f, i, j), value in zip(self.entries, theta, strict=True):
            Lambda[f][i, j] = value
        return Lambda

    def theta(self, Lambda: Sequence[Array]) -> Array:
        """Read theta off the factors."""
        return np.array([Lambda[f][i, j] for f, i, j in self.entries], dtype=np.float64)

    def terms(self) -> list[tuple[int, slice]]:
        """Return the factor and the rows of each term."""
        found = []
        for f, sizes in enumerate(self.blocks):
            edges = np.cumsum([0, *sizes])
            found += [(f, slice(int(a), int(b))) for a, b in itertools.pairwise(edges)]
        return found


class Slopes(NamedTuple):
    """A deviance and its derivatives.

    Attributes
    ----------
    deviance
        -2 log-likelihood.
    Lambda
        Derivative in each grouping factor's covariance factor.
    other
        Derivative in the other parameters.
    D
        Derivative in each factor's covariance ``Lambda Lambda'``, where it is known.
    memory
        Information that speeds up the next evaluation nearby (the previous modes).
    """

    deviance: float
    Lambda: Sequence[Array]
    other: Array
    D: Sequence[Array] | None
    memory: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """``(theta, other) = origin + scale @ x``: the deviance then curves about like |x|^2 / 2.

    Values whose row of `scale` is zero stay as they are.
    """

    template: Template
    origin: Array
    scale: Array = field(repr=False)
    memory: Any = None

    def split(self, x: Array) -> tuple[list[Array], Array]:
        """Return covariance factors and other parameters at a point."""
        values = self.origin + self.scale @ x
        k = self.template.n_theta
        return self.template.factors(values[:k]), values[k:]

    def gradient(self, slopes: Slopes) -> Array:
        """Return the deviance's gradient in these coordinates."""
        return np.asarray(self.scale.T @ np.r_[self.template.theta(slopes.Lambda), slopes.other])

    def holding(self, directions: Array) -> "Coordinates":
        """Return the same coordinates with linear functions of the values, (m, k), held."""
        return replace(self, scale=self.scale @ linalg.null_space(directions @ self.scale))


def reduce_rank(template: Template, Lambda: Sequence[Array]) -> tuple[Template, list[Array]]:
    """Drop the nearly zero dimensions of every term's covariance."""
    ranks = [list(free) for free in template.ranks]
    reduced = [factor.copy() for factor in Lambda]
    position = dict.fromkeys(range(len(ranks)), 0)
    for f, rows in template.terms():
        t = position[f]
        position[f] += 1
        block = Lambda[f][rows, rows]
        U, s, _ = linalg.svd(block)
        rank = min(ranks[f][t], int((s > NEARLY_ZERO).sum()))
        if rank < ranks[f][t]:
            ranks[f][t] = rank
            reduced[f][rows, rows] = trapezoid(U[:, :rank] * s[:rank])
    return Template.of_rank(template.blocks, ranks), reduced


def trapezoid(B: Array) -> Array:
    """Return the lower-trapezoidal square ``Lambda`` with ``Lambda Lambda' = B B'``."""
    q, r = B.shape
    out = np.zeros((q, q))
    if r:
        upper = linalg.qr(B.T, mode="r")[0]
        signs = np.where(np.diag(upper[:, :r]) < 0, -1.0, 1.0)
        out[:, : len(upper)] = (signs[:, None] * upper).T
    return out
