"""Cross-products of the rows by unit, the only form in which the criterion uses the data.

The grouping factors form a *chain* (session rows < person < family < therapist), with every unit
nested in one unit of the next level, and possibly some *crossed* factors, whose random effects are
kept together in one dense block. For level ``k`` of the chain and each of its units ``u``

    A_k[u] = Z_k' W Z_k               (q_k x q_k)
    C_k[u] = Z_k' W [Z_above X y]     (q_k x m_k)

where ``W`` holds the row weights and ``Z_above`` the columns of the unit's ancestors, nearest
first. Once these are summed, the cost of evaluating the criterion does not depend on the number of
rows. Arrays have the unit index last, so that operations on small matrices run for all units at
once.

Products of the leaf with the crossed random effects are stored as sparse matrices. As a person is
rated by only a few of a thousand raters, the products ``Z_leaf' W Z_crossed`` are nearly all zero,
and so are the products of two crossed columns within a unit. Both patterns are fixed, so what every
evaluation of the criterion needs from them is a few sparse sums.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from alliance_stats.estimates import Array, Integers

__all__ = [
    "CrossProducts",
    "Crossing",
    "Layout",
    "Level",
    "RowArrays",
    "by_label",
    "cross_products",
    "lay_out",
    "with_outcome",
]


# Pairs of crossed columns within units that are written out; beyond it they are multiplied anew.
MAX_PAIRS = 30_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """Sparse cross-products of the leaf's effects with the crossed columns.

    Attributes
    ----------
    C
        For each of the leaf's q effects, (units, crossed columns), all of one pattern.
    rows, columns
        Unit and column of each stored entry.
    pairs
        For each pair of effects (i, j), the products ``C_i[u, a] C_j[u, b]`` as a matrix of
        ``a * columns + b`` by u; empty where there would be too many.
    """

    C: tuple[sparse.csr_array, ...]
    rows: Integers
    columns: Integers
    pairs: tuple[tuple[sparse.csr_array, ...], ...]

    @classmethod
    def build(
        cls, unit: Integers, columns: list[tuple[Integers, Array]], Z: Array, n_columns: int
    ) -> "Crossing":
        """Sum the products over rows.

        Parameters
        ----------
        unit
            The leaf unit of each row.
        columns
            For each crossed effect of a row, its column and its value.
        Z
            The leaf's columns, (q, rows).
        n_columns
            Number of crossed columns.
        """
        n_units = int(unit[-1]) + 1
        where = np.concatenate([unit * n_columns + column for column, _ in columns])
        places, back = np.unique(where, return_inverse=True)
        rows, cols = places // n_columns, places % n_columns
        indptr = np.searchsorted(rows, np.arange(n_units + 1))
        C = []
        for z in Z:
            values = np.concatenate([z * value for _, value in columns])
            data = np.bincount(back, weights=values, minlength=len(places))
            C.append(sparse.csr_array((data, cols, indptr), shape=(n_units, n_columns)))
        return cls(tuple(C), rows, cols, _pairs(C, rows, cols, indptr, n_columns))

    def gram(self, P: Array) -> Array:
        """``sum_u C[u]' P[u] C[u]``: (columns, columns)."""
        q, n_columns = len(self.C), self.C[0].shape[1]
        if self.pairs:
            flat = sum(self.pairs[i][j] @ P[i, j] for i in range(q) for j in range(q))
            return np.asarray(flat).reshape(n_columns, n_columns)
        found = np.zeros((n_columns, n_columns))
        for i in range(q):
            for j in range(q):
                found += (self.C[i].T @ self._scaled(j, P[i, j])).toarray()
        return found

    def quadratic(self, K: Array) -> Array:
        """``C[u] K C[u]'`` for every unit: (q, q, units)."""
        q = len(self.C)
        found = np.empty((q, q, self.C[0].shape[0]))
        flat = np.ascontiguousarray(K).ravel()
        for i in range(q):
            half = None if self.pairs else self.C[i] @ K
            for j in range(q):
                found[i, j] = (
                    self.pairs[i][j].T @ flat
                    if half is None
                    else np.bincount(
                        self.rows,
                        weights=self.C[j].data * half[self.rows, self.columns],
                        minlength=found.shape[-1],
                    )
                )
        return found

    def times(self, B: Array) -> Array:
        """``C[u] B`` for every unit: (q, columns of B, units)."""
        return np.stack([(C @ B).T for C in self.C])

    def back(self, Y: Array) -> Array:
        """``sum_u C[u]' Y[u]`` for Y of (q, r, units): (columns, r)."""
        return np.asarray(sum(C.T @ y.T for C, y in zip(self.C, Y, strict=True)))

    def gathered(self, y: Array, home: Integers, n_homes: int) -> Array:
        """``sum over units of C[u]' y[u]`` by the ancestor each unit lies in: (columns, homes)."""
        n_columns = self.C[0].shape[1]
        weights = sum(C.data * own[self.rows] for C, own in zip(self.C, y, strict=True))
        flat = np.bincount(
            self.columns * n_homes + home[self.rows],
            weights=weights,
            minlength=n_columns * n_homes,
        )
        return np.asarray(flat, dtype=np.float64).reshape(n_columns, n_homes)

    def against(self, K_cross: Array, home: Integers) -> Array:
        """``K_cross[home of u] C[u]'`` for K_cross of (a, columns, homes): (a, q, units)."""
        picked = K_cross[:, self.columns, home[self.rows]]
        n_units = self.C[0].shape[0]
        return np.stack(
            [
                [np.bincount(self.rows, weights=k * C.data, minlength=n_units) for C in self.C]
                for k in picked
            ]
        )

    def _scaled(self, j: int, p: Array) -> sparse.csr_array:
        scaled = self.C[j].copy()
        scaled.data = scaled.data * p[self.rows]
        return scaled


def _pairs(
    C: list[sparse.csr_array], rows: Integers, cols: Integers, indptr: Integers, n_columns: int
) -> tuple[tuple[sparse.csr_array, ...], ...]:
    """Write out the products of every two entries of a unit, if they are not too many."""
    counts = np.diff(indptr)
    if int((counts.astype(np.int64) ** 2).sum()) * len(C) ** 2 > MAX_PAIRS:
        return ()
    partners = counts[rows]
    left = np.repeat(np.arange(len(rows)), partners)
    ends = np.cumsum(partners)
    right = np.arange(len(left)) - np.repeat(ends - partners, partners) + indptr[rows[left]]
    shape = (n_columns * n_columns, C[0].shape[0])
    places = cols[left] * n_columns + cols[right]
    return tuple(
        tuple(
            sparse.csr_array(
                sparse.coo_array((Ci.data[left] * Cj.data[right], (places, rows[left])), shape)
            )
            for Cj in C
        )
        for Ci in C
    )


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One level of the chain.

    Attributes
    ----------
    factor
        Position of the grouping factor in the design.
    q
        Random effects per unit.
    units
        Old unit number of each unit, in the chain's order.
    row_starts
        First sorted row of each unit.
    parent
        Unit of the next level that each unit lies in (empty for the top level).
    starts_above
        For each higher level, the first of this level's units in each of its units.
    """

    factor: int
    q: int
    units: Integers
    row_starts: Integers
    parent: Integers
    starts_above: tuple[Integers, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How rows and random effects are arranged for elimination.

    Attributes
    ----------
    order
        Permutation that makes the rows of each unit adjacent, at every level.
    levels
        The chain, leaf first.
    crossed
        Positions of the crossed factors in the design.
    crossed_q, crossed_n
        Their random effects per unit, and their numbers of units.
    """

    order: Integers
    levels: tuple[Level, ...]
    crossed: tuple[int, ...]
    crossed_q: tuple[int, ...]
    crossed_n: tuple[int, ...]

    @property
    def n_crossed(self) -> int:
        """Columns of the dense block."""
        return sum(map(operator.mul, self.crossed_q, self.crossed_n))

    def above(self, k: int) -> int:
        """Return how many random-effects columns the ancestors of level `k` have."""
        return sum(level.q for level in self.levels[k + 1 :])


@dataclass(frozen=True, slots=True, eq=False)
class RowArrays:
    """Sorted, weighted rows.

    Attributes
    ----------
    Z
        For each level of the chain, its random-effects columns, ``(q, n_rows)``.
    crossed_Z, crossed_codes
        The same for the crossed factors, with the unit of each row.
    Xy
        Fixed-effects columns and the outcome, ``(p + 1, n_rows)``.
    """

    Z: tuple[Array, ...]
    crossed_Z: tuple[Array, ...]
    crossed_codes: tuple[Integers, ...]
    Xy: Array


@dataclass(frozen=True, slots=True, eq=False)
class CrossProducts:
    """Sums over rows: ``A[k]`` is (q, q, units), ``C[k]`` is (q, m, units), ``R`` is square.

    The columns of ``C[k]`` are those of the ancestors, of the crossed factors (unit by unit), and
    of ``[X y]``; those of ``R`` are the crossed factors' and ``[X y]``. Where `crossing` is given,
    it holds the leaf's products with the crossed factors, and ``C[0]`` does not.
    """

    A: tuple[Array, ...]
    C: tuple[Array, ...]
    R: Array
    crossing: Crossing | None = None


def lay_out(codes: Sequence[Integers], q: Sequence[int], n_rows: int) -> Layout:
    """Find the chain of nested factors and the order of rows that keeps its units together.

    The factor with the most units is the leaf; the chain is then the longest run of factors that
    each contain the one before; the remaining factors are crossed.

    Parameters
    ----------
    codes
        For each grouping factor, the unit (0, 1, ...) of each row.
    q
        For each grouping factor, its number of random effects per unit.
    n_rows
        Number of rows (there may be no grouping factor).
    """
    counts = [int(code.max()) + 1 for code in codes]
    by_size = sorted(range(len(codes)), key=lambda f: -counts[f])
    chain = [by_size[0]] if by_size else []
    crossed = []
    for factor in by_size[1:]:
        if _is_nested(codes[chain[-1]], codes[factor], counts[chain[-1]]):
            chain.append(factor)
        else:
            crossed.append(factor)
    order = np.lexsort([codes[f] for f in chain]) if chain else np.arange(n_rows)
    starts, units = [], []
    for factor in chain:
        sorted_codes = codes[factor][order]
        first = np.flatnonzero(np.r_[True, sorted_codes[1:] != sorted_codes[:-1]])
        starts.append(first)
        units.append(sorted_codes[first])
    levels = []
    for k, factor in enumerate(chain):
        above = tuple(np.searchsorted(starts[k], starts[g]) for g in range(k + 1, len(chain)))
        parent = (
            np.searchsorted(starts[k + 1], starts[k], side="right") - 1
            if k + 1 < len(chain)
            else np.empty(0, dtype=np.int64)
        )
        levels.append(Level(factor, q[factor], units[k], starts[k], parent, above))
    return Layout(
        order.astype(np.int64),
        tuple(levels),
        tuple(crossed),
        tuple(q[f] for f in crossed),
        tuple(counts[f] for f in crossed),
    )


def cross_products(layout: Layout, rows: RowArrays) -> CrossProducts:
    """Sum the products of columns over the rows of each unit.

    Parameters
    ----------
    layout
        From :func:`lay_out`.
    rows
        Columns in the layout's order of rows, each already multiplied by the square root of the
        row's weight.
    """
    A, C = [], []
    columns = np.concatenate([*rows.Z, rows.Xy])
    for k, level in enumerate(layout.levels):
        sums = np.empty((level.q, len(columns), len(level.row_starts)))
        for a in range(level.q):
            for b in range(len(columns)):
                if b < a:
                    sums[a, b] = sums[b, a]
                else:
                    np.add.reduceat(columns[a] * columns[b], level.row_starts, out=sums[a, b])
        A.append(np.ascontiguousarray(sums[:, : level.q]))
        if k == 0:  # the leaf's are kept sparse
            dense = np.empty((level.q, 0, len(level.row_starts)))
        else:
            dense = _times_crossed(layout, rows, k)
        above = level.q + layout.above(k)
        C.append(np.concatenate([sums[:, level.q : above], dense, sums[:, above:]], axis=1))
        columns = columns[level.q :]
    return CrossProducts(tuple(A), tuple(C), _root(layout, rows), _crossing(layout, rows))


def by_label(layout: Layout, values: Sequence[Array]) -> list[Array]:
    """Bring arrays of units, the last axis, from the chain's order into that of the labels."""
    units = {level.factor: level.units for level in layout.levels}
    return [own[..., np.argsort(units[f])] if f in units else own for f, own in enumerate(values)]


def with_outcome(layout: Layout, products: CrossProducts, rows: RowArrays) -> CrossProducts:
    """Replace the outcome (the last of ``rows.Xy``) in the cross-products."""
    y = rows.Xy[-1]
    C = []
    for k, level in enumerate(layout.levels):
        column = np.add.reduceat(rows.Z[k] * y, level.row_starts, axis=1)
        C.append(np.concatenate([products.C[k][:, :-1], column[:, None]], axis=1))
    c = layout.n_crossed
    R = products.R.copy()
    R[c:, -1] = rows.Xy @ y
    R[:c, -1] = 0.0
    for column, values in _crossed_columns(layout, rows):
        R[:c, -1] += np.bincount(column, weights=values * y, minlength=c)
    R[-1, :] = R[:, -1]
    return CrossProducts(products.A, tuple(C), R, products.crossing)


def _is_nested(inner: Integers, outer: Integers, n_inner: int) -> bool:
    """Whether every unit of `inner` lies in one unit of `outer`."""
    home = np.empty(n_inner, dtype=np.int64)
    home[inner] = outer
    return bool(np.array_equal(home[inner], outer))


def _crossing(layout: Layout, rows: RowArrays) -> Crossing | None:
    """Sum the leaf's products with the crossed factors."""
    if not layout.crossed or not layout.levels:
        return None
    unit = _unit_of_row(layout, 0, rows.Xy.shape[1])
    return Crossing.build(unit, _crossed_columns(layout, rows), rows.Z[0], layout.n_crossed)


def _unit_of_row(layout: Layout, k: int, n_rows: int) -> Integers:
    starts = layout.levels[k].row_starts
    return np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, n_rows]))


def _times_crossed(layout: Layout, rows: RowArrays, k: int) -> Array:
    """``Z_k' Z_crossed`` for each unit of level `k`: (q, crossed columns, units)."""
    level = layout.levels[k]
    n_units, n_rows = len(level.row_starts), rows.Xy.shape[1]
    out = np.zeros((level.q, layout.n_crossed, n_units))
    if not layout.crossed:
        return out
    unit = _unit_of_row(layout, k, n_rows)
    for a in range(level.q):
        for column, values in _crossed_columns(layout, rows):
            flat = np.bincount(
                column * n_units + unit,
                weights=rows.Z[k][a] * values,
                minlength=layout.n_crossed * n_units,
            )
            out[a] += flat.reshape(layout.n_crossed, n_units)
    return out


def _crossed_columns(layout: Layout, rows: RowArrays) -> list[tuple[Integers, Array]]:
    """For each crossed random effect of a row: its column in the dense block, and its value."""
    found, offset = [], 0
    for f, (q, n) in enumerate(zip(layout.crossed_q, layout.crossed_n, strict=True)):
        found += [(offset + rows.crossed_codes[f] * q + j, rows.crossed_Z[f][j]) for j in range(q)]
        offset += q * n
    return found


def _root(layout: Layout, rows: RowArrays) -> Array:
    """``[Z_crossed X y]' [Z_crossed X y]``."""
    c, width = layout.n_crossed, len(rows.Xy)
    R = np.empty((c + width, c + width))
    R[c:, c:] = rows.Xy @ rows.Xy.T
    columns = _crossed_columns(layout, rows)
    R[:c, :] = 0.0
    for column, values in columns:
        for other, other_values in columns:
            flat = np.bincount(column * c + other, weights=values * other_values, minlength=c * c)
            R[:c, :c] += flat.reshape(c, c)
        for b in range(width):
            R[:c, c + b] += np.bincount(column, weights=values * rows.Xy[b], minlength=c)
    R[c:, :c] = R[:c, c:].T
    return R
