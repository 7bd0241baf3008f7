"""Exact tests of counts: Fisher, Fisher's mid-p, Boschloo, McNemar, tables larger than 2 x 2."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from alliance_stats.effect_sizes import newcombe_difference, newcombe_paired_difference
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import format_count
from alliance_stats.groups.comparing.finding import Finding, TestOptions
from alliance_stats.groups.comparing.group_samples import Outcome
from alliance_stats.named import named
from alliance_stats.seeds import generator_of

__all__ = [
    "TABLES_SEED",
    "TableTest",
    "boschloo",
    "boschloo_p",
    "fisher",
    "fisher_mid_p",
    "fisher_p",
    "freeman_halton",
    "freeman_halton_p",
    "mcnemar",
    "mcnemar_mid_p",
    "mcnemar_p",
    "table_test",
]

_AS_LIKELY = 1.0 + 1e-7  # tables as probable as the observed one, up to rounding (R's fisher.test)
_GRID = 1001  # nuisance values at which Boschloo's maximum is first looked for
_MOST_TABLES = 4_000_000  # 2 x 2 tables that Boschloo's test runs through at most; some seconds
_STEPS = 400_000  # cells that an exact test may fill while it extends tables; a second or two
_VECTOR = 2_000  # kinds of tables that are extended at once as fast as one
_KINDS = 4_000_000  # kinds of tables that are extended at most; a second or two
_ONE_SUM = 1e-9  # sums of log factorials nearer than this are one sum
_CELLS = 2_000_000  # cells of drawn tables held at once

TABLES_SEED = 20
"""Seed of drawn tables where the caller gave none; the row's method names it."""


def fisher(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Fisher's exact test, two-sided by summing the tables no more probable than the observed."""
    a, n_1, b, n_2 = _counts(outcome)
    p_value, smallest = fisher_p(a, n_1, b, n_2)
    return _risk_finding(outcome, "fisher", "Fisher exact test", p_value, smallest)


def fisher_mid_p(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Fisher's mid-p: the two-sided p less half the probability of the observed table.

    Lydersen, Fagerland & Laake (2009), doi:10.1002/sim.3531. Not guaranteed to hold its level.
    """
    a, n_1, b, n_2 = _counts(outcome)
    p_value, smallest = fisher_p(a, n_1, b, n_2, mid=True)
    return _risk_finding(outcome, "fisher_mid_p", "Fisher mid-p test", p_value, smallest)


def boschloo(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Boschloo's unconditional exact test, uniformly more powerful than Fisher's.

    Boschloo (1970), doi:10.1111/j.1467-9574.1970.tb00104.x.
    """
    a, n_1, b, n_2 = _counts(outcome)
    p_value, smallest = boschloo_p(a, n_1, b, n_2)
    return _risk_finding(outcome, "boschloo", "Boschloo exact test", p_value, smallest)


def mcnemar(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """McNemar's test, exact: the binomial test of the discordant pairs."""
    return _paired_finding(outcome, "mcnemar", "McNemar exact test", mid=False)


def mcnemar_mid_p(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """McNemar's mid-p test (Fagerland, Lydersen & Laake 2013, doi:10.1186/1471-2288-13-91)."""
    return _paired_finding(outcome, "mcnemar_mid_p", "McNemar mid-p test", mid=True)


def fisher_p(
    count_1: int, n_1: int, count_2: int, n_2: int, *, mid: bool = False
) -> tuple[float, float]:
    """Return Fisher's two-sided p and the smallest p that tables with these margins can give.

    With `mid` both are mid-p: less half the probability of the table itself.
    """
    total = count_1 + count_2
    lowest = max(0, total - n_2)
    pmf = _margin_pmf(n_1, n_2, total)
    p_values = _fisher_all(pmf) - (0.5 * pmf if mid else 0.0)
    return float(p_values[count_1 - lowest]), float(p_values.min())


def boschloo_p(count_1: int, n_1: int, count_2: int, n_2: int) -> tuple[float, float]:
    """Return Boschloo's two-sided p and the smallest p that groups of these sizes can give.

    The p is the largest probability, over the common proportion, of the tables whose Fisher p is
    at most the observed one. Given the number of successes t that probability is a constant r_t, so
    it is ``sum_t r_t Binomial(t; n_1 + n_2, pi)``: one smooth function of pi, maximised on a grid
    and refined.
    """
    n = n_1 + n_2
    if (n_1 + 1) * (n_2 + 1) > _MOST_TABLES:
        raise NotIdentifiedError(
            f"Boschloo's test of {format_count(n_1)} against {format_count(n_2)} cases would run "
            f"through {format_count((n_1 + 1) * (n_2 + 1))} tables, more than "
            f"{format_count(_MOST_TABLES)}. Use test='fisher' or test='fisher_mid_p'."
        )
    margins = [_margin_pmf(n_1, n_2, total) for total in range(n + 1)]
    fisher_values = [_fisher_all(pmf) for pmf in margins]
    total = count_1 + count_2
    observed = float(fisher_values[total][count_1 - max(0, total - n_2)])
    least = min(float(values.min()) for values in fisher_values)
    return (
        _largest_over_nuisance(margins, fisher_values, observed),
        _largest_over_nuisance(margins, fisher_values, least),
    )


def mcnemar_p(first_only: int, second_only: int, *, mid: bool = False) -> float:
    """Return the exact (or mid-p) two-sided p of discordant pairs; 1 if there are none."""
    n = first_only + second_only
    if n == 0:
        return 1.0
    p_value = float(stats.binomtest(first_only, n).pvalue)
    if not mid:
        return p_value
    point = float(stats.binom.pmf(first_only, n, 0.5))
    return 1.0 - point / 2.0 if first_only == second_only else p_value - point


def _margin_pmf(n_1: int, n_2: int, total: int) -> Array:
    """Return the probabilities of the first group's counts given `total` successes in all."""
    counts = np.arange(max(0, total - n_2), min(n_1, total) + 1)
    logs = _log_choose(n_1, counts) + _log_choose(n_2, total - counts)
    return np.asarray(np.exp(logs - _log_choose(n_1 + n_2, total)))


def _log_choose(n: int, k: npt.ArrayLike) -> Array:
    k = np.asarray(k, dtype=np.float64)
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))


def _fisher_all(pmf: Array) -> Array:
    """Return the two-sided Fisher p of each table with these margins."""
    ascending = np.sort(pmf)
    summed = np.cumsum(ascending)
    last = np.searchsorted(ascending, pmf * _AS_LIKELY, side="right") - 1
    return np.asarray(np.minimum(summed[last], 1.0))


def _largest_over_nuisance(
    margins: list[Array], fisher_values: list[Array], observed: float
) -> float:
    n = len(margins) - 1
    inside = np.array(
        [
            float(pmf[values <= observed * _AS_LIKELY].sum())
            for pmf, values in zip(margins, fisher_values, strict=True)
        ]
    )
    if inside.min() > 1.0 - 1e-12:  # every table is as extreme
        return 1.0
    successes = np.arange(n + 1.0)
    log_choose = _log_choose(n, successes)

    def reached(pi: npt.ArrayLike) -> Array:
        at = np.asarray(pi, dtype=np.float64)[..., None]
        log_pmf = log_choose + special.xlogy(successes, at) + special.xlog1py(n - successes, -at)
        return np.asarray(np.exp(log_pmf) @ inside)

    grid = np.linspace(0.0, 1.0, _GRID)
    heights = reached(grid)
    best = float(heights.max())
    # every local maximum within 1% of the grid's best may hide the true one between grid points
    padded = np.concatenate([[-1.0], heights, [-1.0]])
    peaks = (heights >= padded[:-2]) & (heights >= padded[2:]) & (heights >= 0.99 * best)
    for i in np.flatnonzero(peaks).tolist():
        bounds = (grid[max(i - 1, 0)], grid[min(i + 1, _GRID - 1)])
        peak = optimize.minimize_scalar(
            lambda pi: -float(reached(pi)),
            bounds=bounds,
            method="bounded",
            options={"xatol": 1e-10},
        )
        best = max(best, -float(peak.fun))
    return min(best, 1.0)


def _counts(outcome: Outcome) -> tuple[int, int, int, int]:
    x, y = outcome.of(0), outcome.of(1)
    return int(x.sum()), x.size, int(y.sum()), y.size


def _risk_finding(
    outcome: Outcome, test: str, method: str, p_value: float, smallest: float
) -> Finding:
    a, n_1, b, n_2 = _counts(outcome)
    return Finding(
        test=test,
        method=method,
        estimand="risk difference",
        estimate=a / n_1 - b / n_2,
        p_value=p_value,
        interval=partial(_newcombe_limits, a, n_1, b, n_2),
        interval_method="Newcombe",
        p_smallest=smallest,
    )


@named
def _newcombe_limits(a: int, n_1: int, b: int, n_2: int, conf_level: float) -> tuple[float, float]:
    effect = newcombe_difference(a, n_1, b, n_2, conf_level=conf_level)
    return effect.conf_low, effect.conf_high


def _paired_finding(outcome: Outcome, test: str, method: str, *, mid: bool) -> Finding:
    x, y = outcome.of(0), outcome.of(1)
    first_only, second_only = int((x > y).sum()), int((y > x).sum())
    both = int(((x == 1) & (y == 1)).sum())
    cells = (both, first_only, second_only, x.size - both - first_only - second_only)
    discordant = first_only + second_only
    smallest = mcnemar_p(discordant, 0, mid=mid)
    return Finding(
        test=test,
        method=method,
        estimand="risk difference",
        estimate=(first_only - second_only) / x.size,
        p_value=mcnemar_p(first_only, second_only, mid=mid),
        interval=partial(_paired_limits, *cells),
        interval_method="Newcombe (paired)",
        p_smallest=smallest if discordant else math.nan,
        note="" if discordant else "no pair differs",
    )


@named
def _paired_limits(
    both: int, first_only: int, second_only: int, neither: int, conf_level: float
) -> tuple[float, float]:
    effect = newcombe_paired_difference(
        both, first_only, second_only, neither, conf_level=conf_level
    )
    return effect.conf_low, effect.conf_high


def freeman_halton(outcome: Outcome, options: TestOptions) -> Finding:
    """Fisher's exact test of a 0/1 outcome in more than two groups."""
    ones = [float(outcome.of(g).sum()) for g in range(len(outcome.labels))]
    table = np.array([ones, [n - one for n, one in zip(outcome.n, ones, strict=True)]])
    found = table_test(table, options)
    return Finding(
        test="freeman_halton",
        method=found.method,
        estimand="differences among proportions",
        p_value=found.p_value,
        p_smallest=found.p_smallest,
    )


@dataclass(frozen=True, slots=True)
class TableTest:
    """Fisher's test of a table: p, the smallest p with its margins, and how both were found."""

    p_value: float
    p_smallest: float
    method: str


def table_test(table: Array, options: TestOptions) -> TableTest:
    """Test a table of counts exactly where that takes a second or so, else by drawing tables.

    The exact test is :func:`freeman_halton_p`. Where it would take too long, tables are drawn with
    the observed margins and ``p = (b + 1) / (m + 1)`` with b of m draws as improbable as the
    observed one (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585); the method names the draws and
    the seed, which is :data:`TABLES_SEED` where none was given.
    """
    found = freeman_halton_p(table)
    if found is not None:
        return TableTest(*found, "Fisher exact test (Freeman-Halton)")
    seed = TABLES_SEED if options.seed is None else options.seed
    m = options.n_resamples
    p_value = _drawn_table_p(np.asarray(table), m, generator_of(seed))
    by = "the given generator" if isinstance(seed, np.random.Generator) else f"seed {seed}"
    method = f"Fisher test (Freeman-Halton, Monte Carlo, {format_count(m)} tables, {by})"
    return TableTest(p_value, 1.0 / (m + 1.0), method)


def freeman_halton_p(table: Array) -> tuple[float, float] | None:
    """Return Fisher's exact p of an r x c table and the smallest p with its margins.

    The p-value sums the probabilities of all tables with the observed margins that are no more
    probable than the observed one (Freeman & Halton 1951, doi:10.1093/biomet/38.1-2.141). Tables
    are built up column by column; those that leave the same row totals and are equally probable so
    far are merged. None where there are still too many.
    """
    table = np.asarray(table)
    if table.shape[0] > table.shape[1]:
        table = table.T  # few rows, many columns: few totals to keep
    rows, cols = table.sum(axis=1).astype(int), table.sum(axis=0).astype(int)
    log_factorial = special.gammaln(np.arange(int(rows.sum()) + 1) + 1.0)
    constant = log_factorial[rows].sum() + log_factorial[cols].sum() - log_factorial[-1]
    observed = constant - log_factorial[table.astype(int)].sum()
    # row totals still free -> log factorials so far and in how many ways, for each kind of table
    partial = {tuple(rows.tolist()): (np.zeros(1), np.ones(1))}
    steps = kinds = 0
    for total in cols[:-1].tolist():
        filled: dict[tuple[int, ...], list[tuple[Array, Array]]] = {}
        for free, (sums, ways) in partial.items():
            for column in _fillings(free, total):
                steps += len(free) + sums.size // _VECTOR
                kinds += sums.size
                if steps > _STEPS or kinds > _KINDS:
                    return None
                left = tuple(f - c for f, c in zip(free, column, strict=True))
                added = sum(log_factorial[c] for c in column)
                filled.setdefault(left, []).append((sums + added, ways))
        partial = {left: _merged(parts) for left, parts in filled.items()}
    logs, counts = zip(
        *(
            (constant - sums - log_factorial[list(left)].sum(), ways)
            for left, (sums, ways) in partial.items()
        ),
        strict=True,
    )
    log_p, ways = np.concatenate(logs), np.concatenate(counts)
    probabilities = ways * np.exp(log_p)
    slack = math.log(_AS_LIKELY)
    p_value = float(probabilities[log_p <= observed + slack].sum())
    smallest = float(probabilities[log_p <= log_p.min() + slack].sum())
    return min(p_value, 1.0), min(smallest, 1.0)


def _merged(parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Return sums and ways, with equal sums merged."""
    sums, ways = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(sums)
    sums, ways = sums[order], ways[order]
    first = np.flatnonzero(np.append(True, np.diff(sums) > _ONE_SUM))
    return sums[first], np.add.reduceat(ways, first)


def _fillings(free: tuple[int, ...], total: int) -> Iterator[tuple[int, ...]]:
    """Yield every column of counts with this total that fits under the free row totals."""
    if len(free) == 1:
        if total <= free[0]:
            yield (total,)
        return
    room = sum(free[1:])
    for first in range(max(0, total - room), min(free[0], total) + 1):
        for rest in _fillings(free[1:], total - first):
            yield (first, *rest)


def _drawn_table_p(table: Array, m: int, rng: np.random.Generator) -> float:
    """Return the Monte Carlo p of a table among `m` drawn with its margins."""
    rows, cols = table.sum(axis=1).astype(int), table.sum(axis=0).astype(int)
    n = int(rows.sum())
    draw = _drawn_cells if n > table.size else _drawn_cases
    reached = float(special.gammaln(table + 1.0).sum()) - math.log(_AS_LIKELY)
    block = max(1, _CELLS // min(n, table.size))
    sizes = [min(block, m - start) for start in range(0, m, block)]
    # the more log factorials a table has, the less probable it is
    count = sum(int((draw(rows, cols, size, rng) >= reached).sum()) for size in sizes)
    return (count + 1.0) / (m + 1.0)


def _drawn_cells(rows: Integers, cols: Integers, m: int, rng: np.random.Generator) -> Array:
    """Return the sums of log factorials of `m` drawn tables of few cells."""
    log_factorial = special.gammaln(np.arange(int(rows.sum()) + 1) + 1.0)
    drawn = stats.random_table(rows, cols).rvs(size=m, random_state=rng)
    return np.asarray(log_factorial[np.asarray(drawn, dtype=np.intp)].sum(axis=(-2, -1)))


def _drawn_cases(rows: Integers, cols: Integers, m: int, rng: np.random.Generator) -> Array:
    """Return the sums of log factorials of `m` drawn tables of few cases in many cells."""
    row, col = np.repeat(np.arange(rows.size), rows), np.repeat(np.arange(cols.size), cols)
    cells = np.sort(row * cols.size + rng.permuted(np.tile(col, (m, 1)), axis=1), axis=1)
    place = np.broadcast_to(np.arange(row.size), cells.shape)
    begins = np.diff(cells, axis=1, prepend=-1) != 0
    # log k! of a cell is the sum of log 1, ..., log k over its cases
    nth = place - np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    return np.asarray(np.log(np.arange(row.size) + 1.0)[nth].sum(axis=1))
