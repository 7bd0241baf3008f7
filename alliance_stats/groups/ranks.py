"""Tests of ranks and signs: Mann-Whitney, Kruskal-Wallis, Wilcoxon, sign test.

Small samples get the exact distribution given the ties, by a recursion over ranks; no
distribution is assumed symmetric.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from alliance_stats.effect_sizes import cliffs_delta, tango_difference
from alliance_stats.estimates import Array
from alliance_stats.groups.finding import Finding, TestOptions
from alliance_stats.groups.samples import Outcome

__all__ = ["EXACT_RANKS", "kruskal_wallis", "mann_whitney", "sign_test", "wilcoxon"]

EXACT_RANKS = 60  # up to so many cases (or pairs) the exact distribution takes milliseconds
_TIE = 1e-9  # two sums of half-integer ranks are equal or differ by at least 1/2


def mann_whitney(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Mann-Whitney U test, exact given ties up to ``EXACT_RANKS`` cases.

    U counts the pairs in which the first group is higher, ties half (R's W). The exact two-sided p
    is ``P(|U - mn/2| >= |u - mn/2|)`` over all arrangements; above that size the normal
    approximation with tie and continuity correction (Mann & Whitney 1947,
    doi:10.1214/aoms/1177730491; Hollander, Wolfe & Chicken 2014, ch. 4).
    """
    x, y = outcome.of(0), outcome.of(1)
    delta = cliffs_delta(x, y)
    u = (delta.estimate + 1.0) / 2.0 * x.size * y.size
    smallest = math.nan
    if outcome.values.size <= EXACT_RANKS:
        p_value, smallest = _exact_rank_sum(stats.rankdata(np.concatenate([x, y])), x.size)
        method = "Mann-Whitney test (exact)"
    else:
        p_value = float(stats.mannwhitneyu(x, y, method="asymptotic").pvalue)
        method = "Mann-Whitney test (normal approximation)"
    return Finding(
        test="mann_whitney",
        method=method,
        estimand="Cliff's delta",
        estimate=delta.estimate,
        statistic_name="U",
        statistic=u,
        p_value=p_value,
        interval=_cliff_interval(x, y),
        interval_method="Newcombe (2006), method 5",
        p_smallest=smallest,
    )


def kruskal_wallis(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Kruskal-Wallis test, corrected for ties (Kruskal & Wallis 1952, doi:10.2307/2280779)."""
    groups = [outcome.of(g) for g in range(len(outcome.labels))]
    result = stats.kruskal(*groups)
    return Finding(
        test="kruskal_wallis",
        method="Kruskal-Wallis test",
        estimand="differences among rank distributions",
        statistic_name="H",
        statistic=float(result.statistic),
        df=len(groups) - 1.0,
        p_value=float(result.pvalue),
    )


def wilcoxon(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Wilcoxon signed-rank test; pairs without difference are set aside (Wilcoxon's own rule).

    Exact given ties up to ``EXACT_RANKS`` differing pairs, else the normal approximation with tie
    and continuity correction (Wilcoxon 1945, doi:10.2307/3001968).
    """
    differences = outcome.differences
    moved = differences[differences != 0]
    ranks = stats.rankdata(np.abs(moved)) if moved.size else np.zeros(0)
    v = float(ranks[moved > 0].sum())
    smallest = math.nan
    if moved.size <= EXACT_RANKS:
        p_value, smallest = _exact_signed_rank(ranks, v)
        method = "Wilcoxon signed-rank test (exact)"
    else:
        p_value = float(stats.wilcoxon(moved, method="approx", correction=True).pvalue)
        method = "Wilcoxon signed-rank test (normal approximation)"
    return _signed_finding("wilcoxon", method, differences, ("V", v), (p_value, smallest))


def sign_test(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Sign test: exact binomial test of the pairs that differ."""
    differences = outcome.differences
    above, below = int((differences > 0).sum()), int((differences < 0).sum())
    p_value = float(stats.binomtest(above, above + below).pvalue) if above + below else 1.0
    smallest = min(1.0, 2.0 * 0.5 ** (above + below))
    return _signed_finding(
        "sign", "sign test (exact)", differences, ("S", float(above)), (p_value, smallest)
    )


def _signed_finding(
    test: str,
    method: str,
    differences: Array,
    statistic: tuple[str, float],
    p_values: tuple[float, float],
) -> Finding:
    p_value, smallest = p_values
    above, below = int((differences > 0).sum()), int((differences < 0).sum())
    n = differences.size
    tied = n - above - below
    return Finding(
        test=test,
        method=method,
        estimand="share of pairs above minus share below",
        estimate=(above - below) / n,
        statistic_name=statistic[0],
        statistic=statistic[1],
        p_value=p_value,
        interval=partial(_tango_limits, above, below, n),
        interval_method="Tango score",
        p_smallest=smallest,
        note=f"{tied} of {n} pairs do not differ" if tied else "",
    )


def _tango_limits(above: int, below: int, n: int, conf_level: float) -> tuple[float, float]:
    effect = tango_difference(above, below, n, conf_level=conf_level)
    return effect.conf_low, effect.conf_high


def _cliff_interval(x: Array, y: Array) -> Callable[[float], tuple[float, float]]:
    return partial(_cliff_limits, x, y)


def _cliff_limits(x: Array, y: Array, conf_level: float) -> tuple[float, float]:
    effect = cliffs_delta(x, y, conf_level=conf_level)
    return effect.conf_low, effect.conf_high


def _exact_rank_sum(ranks: Array, n_1: int) -> tuple[float, float]:
    """Return the two-sided p of the first `n_1` ranks' sum and the smallest p there is.

    ``ways[k, s]`` counts the subsets of k ranks with doubled sum s, built up rank by rank.
    """
    doubled = np.rint(2.0 * ranks).astype(np.int64)
    ways = np.zeros((n_1 + 1, int(doubled.sum()) + 1))
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    probabilities = ways[n_1] / ways[n_1].sum()
    centre = n_1 * float(ranks.mean())
    return _two_sided(probabilities, centre, float(ranks[:n_1].sum()))


def _exact_signed_rank(ranks: Array, v: float) -> tuple[float, float]:
    """Return the two-sided p of the sum of positive ranks and the smallest p there is."""
    doubled = np.rint(2.0 * ranks).astype(np.int64)
    ways = np.zeros(int(doubled.sum()) + 1)
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] += ways[: ways.size - rank].copy()
    return _two_sided(ways / ways.sum(), float(ranks.sum()) / 2.0, v)


def _two_sided(probabilities: Array, centre: float, observed: float) -> tuple[float, float]:
    """Return P(|S - centre| >= |observed - centre|) and its smallest value; S = 0, 1/2, 1, ..."""
    distance = np.abs(np.arange(probabilities.size) / 2.0 - centre)
    possible = probabilities > 0
    p_value = float(probabilities[distance >= abs(observed - centre) - _TIE].sum())
    furthest = float(distance[possible].max())
    smallest = float(probabilities[distance >= furthest - _TIE].sum())
    return min(p_value, 1.0), min(smallest, 1.0)
