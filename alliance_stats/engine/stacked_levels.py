"""Random effects of persons, families and therapists: elimination upwards, recovery downwards.

A unit enters with ``A = [r Z X]' V^-1 [r Z X]`` of its own rows. A random effect ``u ~ N(0, L L')``
on ``Z`` is taken out one column of ``L`` at a time: each column ``l`` is an independent effect of
variance 1, so ``A`` becomes ``A - A l l'A / (1 + l'A l)`` and ``log|V|`` grows by ``log(1 + l'A
l)`` (Sherman-Morrison). Summed over the units of the next level, the same step continues, and a
variance of zero is simply a column of zeros. On the way down, ``W`` is the second moment, given
everything, of the columns' multipliers: (1, -effects, -coefficients).

Arrays have the unit last and, first, the parameter points evaluated in one call (R).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alliance_stats.estimates import Array, Integers

__all__ = ["Level", "LevelStep", "climb", "factor_gradient", "step_down", "thin_climb"]


class LevelStep(NamedTuple):
    """One level eliminated.

    ``columns`` (R, C, m) are its factor's columns, ``slopes`` and ``scales`` what each column's
    step used (``A l``: (R, C, n), ``1 + l'A l``: (R, n)), ``products`` (R, C, C, n) what is left,
    ``log_det`` (R,) what was added to ``log|V|``.
    """

    columns: Array
    slopes: tuple[Array, ...]
    scales: tuple[Array, ...]
    products: Array
    log_det: Array


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The units of a level above persons: which of the units below belong to each.

    Attributes
    ----------
    order
        Puts the units below in the order of their parents: (n_below,).
    starts
        Where each parent's units begin in that order: (n,).
    """

    order: Integers
    starts: Integers

    @classmethod
    def from_codes(cls, codes: Integers) -> "Level":
        """Return the level whose unit ``codes[i]`` (0, 1, ... all taken) holds unit ``i`` below."""
        order = np.argsort(codes, kind="stable")
        return cls(order, np.searchsorted(codes[order], np.arange(int(codes.max()) + 1)))

    def gather(self, below: Array) -> Array:
        """Sum the last axis over the units of each parent."""
        return np.asarray(np.add.reduceat(below[..., self.order], self.starts, axis=-1))

    def spread(self, above: Array) -> Array:
        """Repeat each parent's values for its units, in the order of the units below."""
        sizes = np.diff(np.append(self.starts, len(self.order)))
        out = np.empty((*above.shape[:-1], len(self.order)))
        out[..., self.order] = np.repeat(above, sizes, axis=-1)
        return out


def climb(products: Array, columns: Array) -> LevelStep:
    """Eliminate a level's random effects from its units' ``products`` (R, C, C, n)."""
    R, C, _, n = products.shape
    A = products
    slopes, scales = [], []
    log_det = np.zeros(R)
    for j in range(columns.shape[2]):
        column = columns[:, :, j]
        slope = (column[:, None] @ A.reshape(R, C, C * n)).reshape(R, C, n)
        scale = 1.0 + np.einsum("rc,rcn->rn", column, slope)
        A = A - slope[:, :, None] * (slope / scale[:, None])[:, None]
        log_det += np.log(scale).sum(axis=-1)
        slopes.append(slope)
        scales.append(scale)
    return LevelStep(columns, tuple(slopes), tuple(scales), A, log_det)


def thin_climb(products: Array, factor: Array) -> Array:
    """Eliminate a level's random effects from its units' products with only the columns ``[r Z]``.

    Parameters
    ----------
    products
        (C, 1 + q, n), of one parameter point; changed in place to what is left.
    factor
        (m, m), of effects on the first m columns of Z.

    Returns
    -------
    Array
        The reduction in the sum over units of all their products: (C, C).
    """
    lost = np.zeros((len(products), len(products)))
    thin = products.shape[1]
    for column in factor.T:
        slope = np.einsum("cmn,m->cn", products[:, 1 : 1 + len(column)], column)
        scaled = slope / (1.0 + column @ slope[1 : 1 + len(column)])
        products -= slope[:, None] * scaled[:thin]
        lost += slope @ scaled.T
    return lost


def step_down(step: LevelStep, W: Array) -> Array:
    """Return ``W`` of the units below a level's effects, from ``W`` (R, C, C, n) above them."""
    for j in reversed(range(step.columns.shape[2])):
        column, slope, scale = step.columns[:, :, j], step.slopes[j], step.scales[j]
        # the effect is slope'c / scale on what stands above, with variance 1 / scale
        expected = np.einsum("rcn,rcdn->rdn", slope, W) / scale[:, None]
        square = np.einsum("rdn,rdn->rn", expected, slope) / scale + 1.0 / scale
        lone = column[:, :, None, None] * expected[:, None]
        W = W - lone - np.swapaxes(lone, 1, 2)
        W += (column[:, :, None] * column[:, None])[..., None] * square[:, None, None]
    return np.asarray(W)


def factor_gradient(step: LevelStep, W: Array, where: Sequence[int]) -> Array:
    """Return the log-likelihood's derivative by a level's covariance matrix: (R, m, m).

    Parameters
    ----------
    W
        Second moments above the level's effects: (R, C, C, n).
    where
        The columns that the level's effects act on.
    """
    part = step.products[:, list(where)]
    spread = np.einsum("ricn,rcdn->ridn", part, W)
    quadratic = np.einsum("ridn,rjdn->rij", spread, part)
    return np.asarray(0.5 * (quadratic - part[:, :, list(where)].sum(axis=-1)))
