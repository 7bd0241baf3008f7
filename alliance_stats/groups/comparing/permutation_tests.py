"""Permutation tests: of cases, of signs within pairs, of whole clusters.

All arrangements are enumerated where they are at most ``ENUMERATED``; otherwise a seeded sample of
them is drawn and ``p = (b + 1) / (m + 1)`` (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585).
Draws are assigned to units in order of their values: row order and ids do not matter.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from scipy import special, stats

from alliance_stats.effect_sizes import cliffs_delta
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Booleans
from alliance_stats.groups.comparing.cluster_tests import cluster_robust_difference
from alliance_stats.groups.comparing.finding import Finding, TestOptions, no_interval, t_interval
from alliance_stats.groups.comparing.group_samples import Outcome
from alliance_stats.groups.comparing.means_and_ranks import welch_df
from alliance_stats.seeds import generator_of

__all__ = ["ENUMERATED", "permutation"]

ENUMERATED = 200_000  # arrangements: 10 against 10 is 184,756
_HELD = 4_000_000  # units of Monte Carlo draws held in memory at a time
_ROUNDING = 1e-10  # statistics closer than this share of the largest possible one count as tied

Statistics = Callable[[Booleans], Array]


def permutation(outcome: Outcome, options: TestOptions) -> Finding:
    """Permutation test for the design: cases, pairs (signs), whole clusters, or many groups."""
    if outcome.kind == "ordinal":
        if outcome.design == "paired":
            raise DataError(
                f"Outcome '{outcome.name}' is ordinal: differences within pairs have a direction "
                "but no size to permute. Use test='sign'."
            )
        ranked = replace(outcome, values=stats.rankdata(outcome.values))
        finding = _PERMUTE[outcome.design](ranked, options)
        return _as_cliffs_delta(outcome, finding)
    return _PERMUTE[outcome.design](outcome, options)


def _of_cases(outcome: Outcome, options: TestOptions) -> Finding:
    if len(outcome.labels) > 2:
        return _of_many(outcome, options)
    order = np.lexsort([outcome.group, outcome.values])
    y, first = outcome.values[order], outcome.group[order] == 0
    centre = first.sum() * y.mean()

    def distances(chosen: Booleans) -> Array:
        return np.asarray(np.abs(chosen @ y - centre))

    p_value, smallest, how = _two_sample_p(distances, first, options)
    return _difference_finding(outcome, f"permutation test ({how})", p_value, smallest)


def _of_clusters(outcome: Outcome, options: TestOptions) -> Finding:
    assert outcome.cluster is not None  # the design is clustered
    if outcome.clusters_cross:
        instead = "" if outcome.kind == "binary" else "test='mixed_model' or "
        raise DataError(
            f"Outcome '{outcome.name}': a cluster lies in both groups, so whole clusters cannot be "
            f"permuted. Use {instead}test='cluster_robust'."
        )
    if outcome.baseline is not None or len(outcome.labels) > 2:
        raise DataError(
            "The permutation of whole clusters compares two groups without a baseline; use "
            "test='mixed_model'."
        )
    codes = np.unique(outcome.cluster, return_inverse=True)[1]
    sizes = np.bincount(codes).astype(float)
    sums = np.bincount(codes, weights=outcome.values)
    first = np.zeros(sizes.size, dtype=bool)
    first[codes[outcome.group == 0]] = True
    order = np.lexsort([first, sums, sizes])
    sizes, sums, first = sizes[order], sums[order], first[order]
    n, total = sizes.sum(), sums.sum()

    def distances(chosen: Booleans) -> Array:
        n_1, sum_1 = chosen @ sizes, chosen @ sums
        return np.asarray(np.abs(sum_1 / n_1 - (total - sum_1) / (n - n_1)))

    p_value, smallest, how = _two_sample_p(distances, first, options)
    unit = f"permutation of {sizes.size} whole clusters ({how})"
    return _difference_finding(outcome, unit, p_value, smallest)


def _of_signs(outcome: Outcome, options: TestOptions) -> Finding:
    differences = outcome.differences
    moved = np.sort(differences[differences != 0])

    def distances(flipped: Booleans) -> Array:
        return np.asarray(np.abs((1.0 - 2.0 * flipped) @ moved))

    n = moved.size
    observed = np.zeros(n, dtype=bool)
    if 2.0**n <= ENUMERATED:
        p_value, smallest = _exact_p(distances, observed, _all_signs(n))
        how = "exact"
    else:
        rng = _generator(options)
        draws = (rng.random((m, n)) < 0.5 for m in _blocks(options.n_resamples, n))
        p_value, smallest = _monte_carlo_p(distances, observed, draws, options)
        how = _drawn(options)
    return _difference_finding(outcome, f"permutation of signs ({how})", p_value, smallest)


def _of_many(outcome: Outcome, options: TestOptions) -> Finding:
    """Permute the labels of more than two groups: the statistic is the sum of squares between."""
    n = np.array(outcome.n, dtype=float)
    order = np.lexsort([outcome.values, outcome.group])
    indicator = (outcome.group[order, None] == np.arange(n.size)).astype(np.float64)
    y = outcome.values[order] - outcome.values.mean()

    def between(values: Array) -> Array:
        return np.asarray(((values @ indicator) ** 2 / n).sum(axis=-1))

    rng = _generator(options)
    observed = float(between(y))
    count = sum(
        int((between(rng.permuted(np.tile(y, (m, 1)), axis=1)) >= observed * (1 - _ROUNDING)).sum())
        for m in _blocks(options.n_resamples, y.size)
    )
    return Finding(
        test="permutation",
        method=f"permutation test ({_drawn(options)})",
        estimand="differences among means",
        statistic_name="SS between",
        statistic=observed,
        p_value=(count + 1.0) / (options.n_resamples + 1.0),
        p_smallest=1.0 / (options.n_resamples + 1.0),
    )


_PERMUTE: dict[str, Callable[[Outcome, TestOptions], Finding]] = {
    "independent": _of_cases,
    "clustered": _of_clusters,
    "paired": _of_signs,
}


def _two_sample_p(
    distances: Statistics, first: Booleans, options: TestOptions
) -> tuple[float, float, str]:
    """Return p, the smallest possible p, and how it was found, for units in two groups."""
    n, n_1 = first.size, int(first.sum())
    if special.comb(n, n_1) <= ENUMERATED:
        p_value, smallest = _exact_p(distances, first, _all_choices(n, n_1))
        return p_value, smallest, "exact"
    rng = _generator(options)
    draws = (rng.permuted(np.tile(first, (m, 1)), axis=1) for m in _blocks(options.n_resamples, n))
    p_value, smallest = _monte_carlo_p(distances, first, draws, options)
    return p_value, smallest, _drawn(options)


def _exact_p(
    distances: Statistics, observed: Booleans, arrangements: Booleans
) -> tuple[float, float]:
    values = distances(arrangements)
    slack = _ROUNDING * float(values.max())
    p_value = float((values >= float(distances(observed[None, :])[0]) - slack).mean())
    return p_value, float((values >= float(values.max()) - slack).mean())


def _monte_carlo_p(
    distances: Statistics,
    observed: Booleans,
    draws: Iterable[Booleans],
    options: TestOptions,
) -> tuple[float, float]:
    reached = float(distances(observed[None, :])[0]) * (1.0 - _ROUNDING)
    count = sum(int((distances(block) >= reached).sum()) for block in draws)
    return (count + 1.0) / (options.n_resamples + 1.0), 1.0 / (options.n_resamples + 1.0)


def _all_choices(n: int, n_1: int) -> Booleans:
    """Return every choice of `n_1` out of `n` units as a row of booleans."""
    picks = np.fromiter(
        itertools.chain.from_iterable(itertools.combinations(range(n), n_1)), dtype=np.int64
    ).reshape(-1, n_1)
    chosen = np.zeros((picks.shape[0], n), dtype=bool)
    np.put_along_axis(chosen, picks, values=True, axis=1)
    return chosen


def _all_signs(n: int) -> Booleans:
    """Return every pattern of `n` signs as a row of booleans."""
    return np.asarray((np.arange(2**n)[:, None] >> np.arange(n)) & 1, dtype=bool)


def _blocks(n_permutations: int, n: int) -> list[int]:
    """Return how many draws of `n` units are made at a time; the draws do not depend on it."""
    block = min(n_permutations, max(1, _HELD // n))
    whole, rest = divmod(n_permutations, block)
    return [block] * whole + [rest] * (rest > 0)


def _drawn(options: TestOptions) -> str:
    return f"Monte Carlo, {options.n_resamples} draws"


def _generator(options: TestOptions) -> np.random.Generator:
    if options.seed is None:
        raise DataError(
            f"More than {ENUMERATED:,} arrangements: they must be sampled. Give seed= (a whole "
            "number), so that the p-value can be had again."
        )
    return generator_of(options.seed)


def _difference_finding(outcome: Outcome, method: str, p_value: float, smallest: float) -> Finding:
    """Return the difference of means (or proportions) with an interval that fits the design."""
    x, y = outcome.of(0), outcome.of(1)
    difference = float(x.mean() - y.mean())
    interval_method = "Welch t"
    if outcome.design == "clustered":
        fit = cluster_robust_difference(outcome)
        error, df = (math.nan, math.nan) if fit is None else (fit.std_error, fit.df)
        interval_method = "cluster-robust t (CR2)"
    elif outcome.design == "paired":
        error, df = float((x - y).std(ddof=1)) / math.sqrt(x.size), x.size - 1.0
        interval_method = "t of differences"
    else:
        error, df = welch_df(x, y)
    known = error > 0
    return Finding(
        test="permutation",
        method=method,
        estimand="risk difference" if outcome.kind == "binary" else "mean difference",
        estimate=difference,
        std_error=error if known else math.nan,
        p_value=p_value,
        interval=t_interval(difference, error, df) if known else no_interval,
        interval_method=interval_method if known else "",
        p_smallest=smallest,
    )


def _as_cliffs_delta(outcome: Outcome, finding: Finding) -> Finding:
    """Return a permutation test of mean ranks with its effect on a rank-based scale."""
    if len(outcome.labels) > 2:
        return replace(finding, estimand="differences among mean ranks")
    delta = cliffs_delta(outcome.of(0), outcome.of(1)).estimate
    return replace(
        finding,
        method=finding.method.replace("permutation", "rank permutation", 1),
        estimand="Cliff's delta",
        estimate=delta,
        std_error=math.nan,
        interval=no_interval,
        interval_method="",
    )
