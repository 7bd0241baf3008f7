"""How the units of the leaf level meet the crossed random effects, kept sparse.

A person is rated by a few of a thousand raters: the products ``Z_leaf' W Z_crossed`` are nearly all
zero, and so are the products of two crossed columns within a unit. Both patterns are fixed, so what
every evaluation of the criterion needs from them is a few sparse sums.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from alliance_stats.estimates import Array

__all__ = ["Crossing"]

Index = npt.NDArray[np.int64]

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
    rows: Index
    columns: Index
    pairs: tuple[tuple[sparse.csr_array, ...], ...]

    @classmethod
    def build(
        cls, unit: Index, columns: list[tuple[Index, Array]], Z: Array, n_columns: int
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

    def gathered(self, y: Array, home: Index, n_homes: int) -> Array:
        """``sum over units of C[u]' y[u]`` by the ancestor each unit lies in: (columns, homes)."""
        n_columns = self.C[0].shape[1]
        weights = sum(C.data * own[self.rows] for C, own in zip(self.C, y, strict=True))
        flat = np.bincount(
            self.columns * n_homes + home[self.rows],
            weights=weights,
            minlength=n_columns * n_homes,
        )
        return np.asarray(flat, dtype=np.float64).reshape(n_columns, n_homes)

    def against(self, K_cross: Array, home: Index) -> Array:
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
    C: list[sparse.csr_array], rows: Index, cols: Index, indptr: Index, n_columns: int
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
