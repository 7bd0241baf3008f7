"""Rows of a generalized mixed model: sums over them, reweighted at every step.

A linear mixed model sums its rows once; here the weights change with every step, so each step needs
passes over the rows, and this module keeps these few. Random-effects columns that are multiples of
one another (the intercepts of all levels; a slope at two levels) share one *base*: level k's
columns are ``Z_k = F_k @ bases``, rows are summed base by base into the leaf units only, and the
other levels' sums are sums of those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alliance_stats.engine.blocks import CrossProducts, Layout
from alliance_stats.estimates import Array, Integers

__all__ = ["Rows", "arrange_rows", "in_columns", "random_part", "weighted_products"]


# Columns whose ratio varies relatively less than this are multiples of one another.
SAME = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Random-effects columns of the rows, in the layout's order.

    Attributes
    ----------
    bases
        Distinct columns of the chain, (n,) each; ``None`` denotes a column of ones.
    factors
        For each level of the chain, (q, bases): its columns are ``factor @ bases``.
    counts, starts
        Rows of each leaf unit, and where they begin.
    leaf
        Leaf unit of each row.
    ancestors
        For each level of the chain, the unit that each leaf unit lies in.
    crossed
        For each column of a crossed factor, its position in the dense block row by row, and its
        values.
    """

    bases: tuple[Array | None, ...]
    factors: tuple[Array, ...]
    counts: Integers
    starts: Integers
    leaf: Integers
    ancestors: tuple[Integers, ...]
    crossed: tuple[tuple[Integers, Array], ...]

    def sums(self, values: Array) -> Array:
        """Sum ``base * values`` over the rows of each leaf unit: (bases, leaf units)."""
        sums = [np.add.reduceat(_times(b, values), self.starts, axis=-1) for b in self.bases]
        return np.array(sums)

    def pair_sums(self, values: Array) -> Array:
        """Sum ``base * base * values``: (bases, bases, leaf units)."""
        n, starts = len(self.bases), self.starts
        out = np.empty((n, n, len(starts)))
        for i in range(n):
            once = _times(self.bases[i], values)
            for j in range(i + 1):
                out[i, j] = out[j, i] = np.add.reduceat(_times(self.bases[j], once), starts)
        return out

    def spread(self, coefficients: Array) -> Array:
        """``sum_i base_i * coefficients_i`` of each row, from (bases, leaf units)."""
        parts = [
            _times(base, np.repeat(values, self.counts))
            for base, values in zip(self.bases, coefficients, strict=True)
        ]
        return np.asarray(sum(parts[1:], start=parts[0]) if parts else np.zeros(len(self.leaf)))


def arrange_rows(
    layout: Layout, Z: Sequence[Array], codes: Sequence[Integers], n_rows: int
) -> Rows:
    """Bring each grouping factor's columns and units into the layout's order and find the bases.

    Parameters
    ----------
    layout
        The arrangement of the rows.
    Z, codes
        For each grouping factor, its columns (q, n) and the unit of each row, in the frame's order.
    n_rows
        Rows.
    """
    order = layout.order
    bases: list[Array | None] = []
    factors = []
    for level in layout.levels:
        found = [_place(column, bases) for column in Z[level.factor][:, order]]
        factors.append(found)
    wide = [np.zeros((len(found), len(bases))) for found in factors]
    for factor, found in zip(wide, factors, strict=True):
        for row, (position, multiple) in enumerate(found):
            factor[row, position] = multiple
    # without random effects all rows are one leaf
    starts = layout.levels[0].row_starts if layout.levels else np.zeros(1, dtype=np.int64)
    counts = np.diff(np.r_[starts, n_rows])
    ancestors = [np.arange(len(starts))]
    for level in layout.levels[:-1]:
        ancestors.append(level.parent[ancestors[-1]])
    crossed, offset = [], 0
    for f, q, n in zip(layout.crossed, layout.crossed_q, layout.crossed_n, strict=True):
        unit = codes[f][order]
        crossed += [(offset + unit * q + j, Z[f][j][order]) for j in range(q)]
        offset += q * n
    return Rows(
        tuple(bases),
        tuple(wide),
        counts,
        starts,
        np.repeat(np.arange(len(starts)), counts),
        tuple(ancestors),
        tuple(crossed),
    )


def random_part(layout: Layout, rows: Rows, effects: Sequence[Array]) -> Array:
    """``Z b`` of each row, for effects (q, units) of the chain's levels, then the crossed ones."""
    depth = len(rows.factors)
    at_leaf = sum(
        (factor.T @ b)[:, unit]
        for factor, b, unit in zip(rows.factors, effects[:depth], rows.ancestors, strict=True)
    )
    out = rows.spread(np.asarray(at_leaf))
    if layout.crossed:
        dense = np.concatenate([b.T.ravel() for b in effects[depth:]])
        for column, z in rows.crossed:
            out += z * dense[column]
    return out


def weighted_products(
    layout: Layout, rows: Rows, weight: Array, pulls: Array, X: Array | None = None
) -> CrossProducts:
    """Sum weighted products of columns: what :func:`~.blocks.cross_products` gives.

    Parameters
    ----------
    layout, rows
        The arrangement.
    weight
        Weight of each row.
    pulls
        Weight times the outcome, (n,): finite even where a weight vanishes.
    X
        Fixed columns, (p, n), if wanted. The outcome's own square, which elimination only passes
        on, is left out of ``R``.
    """
    columns = pulls[None] if X is None else np.concatenate([X * weight, pulls[None]])
    pairs = rows.pair_sums(weight)
    sums = rows.sums(columns) if X is not None else rows.sums(pulls)[:, None]
    c = layout.n_crossed
    dense = _leaf_by_crossed(rows, weight, c)
    A, C = [], []
    for k, factor in enumerate(rows.factors):
        own_pairs, own_sums, own_dense = (
            x if k == 0 else np.add.reduceat(x, layout.levels[0].starts_above[k - 1], axis=-1)
            for x in (pairs, sums, dense)
        )
        half = in_columns(factor, own_pairs).swapaxes(0, 1)
        wide = [in_columns(other, half).swapaxes(0, 1) for other in rows.factors[k:]]
        A.append(wide[0])
        beside = [in_columns(factor, sums_of) for sums_of in (own_dense, own_sums)]
        C.append(np.concatenate([*wide[1:], *beside], axis=1))
    return CrossProducts(tuple(A), tuple(C), _root(rows, weight, columns, X, c))


def in_columns(factor: Array, sums: Array) -> Array:
    """Return ``factor`` times what has the bases first: sums, (bases, ..., units), of columns."""
    if factor.size == 1:
        return np.asarray(factor[0, 0] * sums)
    return np.tensordot(factor, sums, axes=1)


def _root(rows: Rows, weight: Array, columns: Array, X: Array | None, c: int) -> Array:
    p = len(columns) - 1
    R = np.zeros((c + p + 1, c + p + 1))
    if X is not None:
        R[c : c + p, c : c + p] = columns[:p] @ X.T
        R[c : c + p, -1] = R[-1, c : c + p] = X @ columns[p]
    for position, z in rows.crossed:
        weighted = z * weight
        for other, other_z in rows.crossed:
            flat = np.bincount(position * c + other, weights=weighted * other_z, minlength=c * c)
            R[:c, :c] += flat.reshape(c, c)
        for j, column in enumerate(columns):
            R[:c, c + j] += np.bincount(position, weights=z * column, minlength=c)
    R[c:, :c] = R[:c, c:].T
    return R


def _leaf_by_crossed(rows: Rows, weight: Array, c: int) -> Array:
    """Products of the bases with the crossed columns: (bases, crossed columns, leaf units)."""
    n_leaves = len(rows.counts)
    out = np.zeros((len(rows.bases), c, n_leaves))
    for position, z in rows.crossed:
        weighted = z * weight
        for i, base in enumerate(rows.bases):
            flat = np.bincount(
                position * n_leaves + rows.leaf,
                weights=_times(base, weighted),
                minlength=c * n_leaves,
            )
            out[i] += flat.reshape(c, n_leaves)
    return out


def _times(base: Array | None, values: Array) -> Array:
    return values if base is None else base * values


def _place(column: Array, bases: list[Array | None]) -> tuple[int, float]:
    """Find the base that a column is a multiple of, or make it one; give position and multiple."""
    for position, base in enumerate(bases):
        multiple = _multiple(column, base)
        if multiple is not None:
            return position, multiple
    multiple = _multiple(column, None)
    if multiple is not None:
        bases.append(None)
        return len(bases) - 1, multiple
    bases.append(np.ascontiguousarray(column))
    return len(bases) - 1, 1.0


def _multiple(column: Array, base: Array | None) -> float | None:
    """Return ``m`` with ``column = m * base``, ``None`` if there is none."""
    if base is None:
        m, largest = float(column[0]), float(np.abs(column).max())
        return m if np.abs(column - m).max() <= SAME * largest else None
    m = float(column @ base) / float(base @ base)
    off = np.abs(column - m * base).max()
    return m if off <= SAME * float(np.abs(column).max()) else None
