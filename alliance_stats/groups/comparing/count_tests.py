"""Exact tests of counts: Fisher, Fisher's mid-p, Boschloo, McNemar, tables larger than 2 x 2."""

import math
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from alliance_stats.effect_sizes import newcombe_difference, newcombe_paired_difference
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.groups.comparing.finding import Finding, TestOptions
from alliance_stats.groups.comparing.group_samples import Outcome

__all__ = [
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
]

_AS_LIKELY = 1.0 + 1e-7  # tables as probable as the observed one, up to rounding (R's fisher.test)
_GRID = 1001  # nuisance values at which Boschloo's maximum is first looked for


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
    no_more_likely = pmf[None, :] <= pmf[:, None] * _AS_LIKELY
    return np.asarray(np.minimum((no_more_likely * pmf[None, :]).sum(axis=1), 1.0))


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


def _paired_limits(
    both: int, first_only: int, second_only: int, neither: int, conf_level: float
) -> tuple[float, float]:
    effect = newcombe_paired_difference(
        both, first_only, second_only, neither, conf_level=conf_level
    )
    return effect.conf_low, effect.conf_high


_TABLES = 2_000_000  # tables that are enumerated at most; some seconds


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
