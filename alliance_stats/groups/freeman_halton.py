"""Fisher's exact test of tables larger than 2 x 2."""

import math

import numpy as np
from scipy import special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.groups.finding import Finding, TestOptions
from alliance_stats.groups.samples import Outcome

__all__ = ["freeman_halton", "freeman_halton_p"]

_TABLES = 2_000_000  # tables that are enumerated at most; some seconds
_AS_LIKELY = 1.0 + 1e-7  # tables as probable as the observed one, up to rounding


def freeman_halton(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Fisher's exact test of a 0/1 outcome in more than two groups."""
    ones = [float(outcome.of(g).sum()) for g in range(len(outcome.labels))]
    table = np.array([ones, [n - one for n, one in zip(outcome.n, ones, strict=True)]])
    p_value, smallest = freeman_halton_p(table)
    return Finding(
        test="freeman_halton",
        method="Fisher exact test (Freeman-Halton)",
        estimand="differences among proportions",
        p_value=p_value,
        p_smallest=smallest,
    )


def freeman_halton_p(table: Array) -> tuple[float, float]:
    """Return Fisher's exact p of an r x c table and the smallest p with its margins.

    All tables with the observed margins are enumerated, row by row; the p-value sums those no more
    probable than the observed one (Freeman & Halton 1951, doi:10.1093/biomet/38.1-2.141).
    """
    table = np.asarray(table)
    if table.shape[0] > table.shape[1]:
        table = table.T  # fewer rows: fewer levels of the enumeration
    rows, cols = table.sum(axis=1).astype(int), table.sum(axis=0).astype(int)
    constant = float(
        special.gammaln(rows + 1).sum()
        + special.gammaln(cols + 1).sum()
        - special.gammaln(rows.sum() + 1)
    )
    observed = math.exp(constant - float(special.gammaln(table + 1).sum()))
    # columns still free -> sum of log factorials so far, for every way to fill the rows above
    partial = {tuple(cols.tolist()): np.zeros(1)}
    for total in rows[:-1].tolist():
        filled: dict[tuple[int, ...], list[Array]] = {}
        for free, sums in partial.items():
            for row in _rows_with_total(free, total):
                left = tuple(f - r for f, r in zip(free, row, strict=True))
                filled.setdefault(left, []).append(
                    sums + float(special.gammaln(np.add(row, 1)).sum())
                )
        partial = {left: np.concatenate(sums) for left, sums in filled.items()}
        if sum(sums.size for sums in partial.values()) > _TABLES:
            raise NotIdentifiedError(
                f"More than {_TABLES:,} tables have these margins; use test='permutation' with a "
                "seed."
            )
    logs = np.concatenate(
        [sums + float(special.gammaln(np.add(left, 1)).sum()) for left, sums in partial.items()]
    )
    probabilities = np.sort(np.exp(constant - logs))
    p_value = float(probabilities[probabilities <= observed * _AS_LIKELY].sum())
    least = probabilities[0] * _AS_LIKELY
    return min(p_value, 1.0), float(probabilities[probabilities <= least].sum())


def _rows_with_total(free: tuple[int, ...], total: int) -> list[tuple[int, ...]]:
    """Return every row of counts with this total that fits under the free column totals."""
    if len(free) == 1:
        return [(total,)] if total <= free[0] else []
    return [
        (first, *rest)
        for first in range(min(free[0], total) + 1)
        for rest in _rows_with_total(free[1:], total - first)
    ]
