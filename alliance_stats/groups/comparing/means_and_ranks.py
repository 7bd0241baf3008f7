"""Tests of means, ranks and signs.

Small samples of ranks get the exact distribution given the ties, by a recursion over ranks; no
distribution is assumed symmetric.
"""

import math
from functools import partial

import numpy as np
from scipy import stats

from alliance_stats.effect_sizes import cliffs_delta, pooled_sd, tango_difference
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, two_sided_p
from alliance_stats.groups.comparing.finding import Finding, TestOptions, t_interval
from alliance_stats.groups.comparing.group_samples import Outcome
from alliance_stats.named import named

__all__ = [
    "EXACT_RANKS",
    "adjusted_means",
    "ancova",
    "anova",
    "kruskal_wallis",
    "mann_whitney",
    "paired_t",
    "sign_test",
    "student",
    "welch",
    "welch_anova",
    "welch_df",
    "wilcoxon",
]


def welch(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001  registry signature
    """Welch's t test (Welch 1947, doi:10.1093/biomet/34.1-2.28), unequal variances."""
    x, y = outcome.of(0), outcome.of(1)
    error, df = welch_df(x, y)
    if error <= outcome.dust:
        raise _constant_within(outcome)
    return _t_finding("welch", "Welch t test", float(x.mean() - y.mean()), error, df)


def student(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Student's t test, equal variances assumed."""
    x, y = outcome.of(0), outcome.of(1)
    sd = pooled_sd(float(x.std(ddof=1)), float(y.std(ddof=1)), x.size, y.size)
    if sd <= outcome.dust:
        raise _constant_within(outcome)
    error = sd * math.sqrt(1.0 / x.size + 1.0 / y.size)
    return _t_finding(
        "student", "Student t test", float(x.mean() - y.mean()), error, x.size + y.size - 2.0
    )


def paired_t(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Student's t test of the differences within pairs."""
    differences = outcome.differences
    n = differences.size
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    if error <= outcome.dust:
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}': all {n} paired differences equal {differences[0]:g}, so "
            "they have no standard error. test='sign' or test='permutation' needs none."
        )
    return _t_finding("paired_t", "paired t test", float(differences.mean()), error, n - 1.0)


def ancova(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Analysis of covariance: groups compared at the same baseline, common slope."""
    means, covariance, df = adjusted_means(outcome)
    k = means.size
    contrasts = np.column_stack([np.eye(k - 1), -np.ones(k - 1)])
    b, V = contrasts @ means, contrasts @ covariance @ contrasts.T
    if k == 2:
        return _t_finding(
            "ancova",
            "analysis of covariance",
            float(b[0]),
            math.sqrt(V[0, 0]),
            df,
            estimand="adjusted mean difference",
        )
    f = float(b @ np.linalg.solve(V, b)) / (k - 1)
    return _f_finding("ancova", "analysis of covariance", f, k - 1.0, df)


def adjusted_means(outcome: Outcome) -> tuple[Array, Array, float]:
    """Return the groups' means at the mean baseline, their covariance matrix and residual df."""
    assert outcome.baseline is not None  # the registry asks for this design only with a baseline
    if np.ptp(outcome.baseline) == 0:
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}': the baseline is constant, so it adjusts nothing. "
            "Leave baseline= out."
        )
    k = len(outcome.labels)
    dummies = [(outcome.group == g).astype(float) for g in range(k)]
    X = np.column_stack([*dummies, outcome.baseline - outcome.baseline.mean()])
    df = float(X.shape[0] - X.shape[1])
    if df < 1 or np.linalg.matrix_rank(X) < X.shape[1]:
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}': {X.shape[0]} cases cannot carry an analysis of covariance "
            f"with {X.shape[1]} coefficients (the baseline may not vary within the groups)."
        )
    q, r = np.linalg.qr(X)
    beta = np.linalg.solve(r, q.T @ outcome.values)
    residual = outcome.values - X @ beta
    rss = float(residual @ residual)
    if rss <= np.finfo(float).eps * float(np.sum(outcome.values**2)):
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}': groups and baseline explain every value, so that nothing "
            "is left to set a difference against. Is the baseline a copy of the outcome?"
        )
    inverse = np.linalg.inv(r)
    return beta[:k], (rss / df * (inverse @ inverse.T))[:k, :k], df


def anova(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """One-way analysis of variance, equal variances assumed."""
    groups = [outcome.of(g) for g in range(len(outcome.labels))]
    if all(np.ptp(values) == 0 for values in groups):
        raise _constant_within(outcome)
    k, n = len(groups), outcome.values.size
    f = float(stats.f_oneway(*groups).statistic)
    return _f_finding("anova", "one-way analysis of variance", f, k - 1.0, float(n - k))


def welch_anova(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Welch's analysis of variance (Welch 1951, doi:10.1093/biomet/38.3-4.330)."""
    groups = [outcome.of(g) for g in range(len(outcome.labels))]
    n = np.array([values.size for values in groups], dtype=float)
    variances = np.array([values.var(ddof=1) for values in groups])
    if (variances == 0).any():
        still = outcome.labels[int(np.argmin(variances))]
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}' does not vary in group '{still}': Welch's analysis of "
            "variance weighs by 1/variance. Use test='permutation' or test='kruskal_wallis'."
        )
    means = np.array([values.mean() for values in groups])
    k = len(groups)
    w = n / variances
    centre = float(np.sum(w * means) / w.sum())
    shift = float(np.sum((1.0 - w / w.sum()) ** 2 / (n - 1.0)))
    between = float(np.sum(w * (means - centre) ** 2)) / (k - 1)
    f = between / (1.0 + 2.0 * (k - 2.0) * shift / (k**2 - 1.0))
    df2 = (k**2 - 1.0) / (3.0 * shift)
    return _f_finding("welch_anova", "Welch analysis of variance", f, k - 1.0, df2)


def welch_df(x: Array, y: Array) -> tuple[float, float]:
    """Return the standard error of a mean difference and its Welch-Satterthwaite df."""
    v_x, v_y = float(x.var(ddof=1)) / x.size, float(y.var(ddof=1)) / y.size
    total = v_x + v_y
    if total == 0:
        return 0.0, math.nan
    a, b = v_x / total, v_y / total  # shares, since squares of small variances are 0
    return math.sqrt(total), 1.0 / (a**2 / (x.size - 1) + b**2 / (y.size - 1))


def _t_finding(
    test: str,
    method: str,
    difference: float,
    error: float,
    df: float,
    *,
    estimand: str = "mean difference",
) -> Finding:
    t = difference / error
    return Finding(
        test=test,
        method=method,
        estimand=estimand,
        estimate=difference,
        std_error=error,
        statistic_name="t",
        statistic=t,
        df=df,
        p_value=float(two_sided_p(t, df=df)),
        interval=t_interval(difference, error, df),
        interval_method="t",
    )


def _f_finding(test: str, method: str, f: float, df1: float, df2: float) -> Finding:
    return Finding(
        test=test,
        method=method,
        estimand="differences among means",
        statistic_name="F",
        statistic=f,
        df1=df1,
        df2=df2,
        p_value=float(stats.f.sf(f, df1, df2)),
    )


def _constant_within(outcome: Outcome) -> NotIdentifiedError:
    return NotIdentifiedError(
        f"Outcome '{outcome.name}' does not vary within any group, so a difference of means has "
        "no standard error. test='permutation' or test='mann_whitney' needs none."
    )


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
        interval=partial(_cliff_limits, x, y),
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


@named
def _tango_limits(above: int, below: int, n: int, conf_level: float) -> tuple[float, float]:
    effect = tango_difference(above, below, n, conf_level=conf_level)
    return effect.conf_low, effect.conf_high


@named
def _cliff_limits(x: Array, y: Array, conf_level: float) -> tuple[float, float]:
    effect = cliffs_delta(x, y, conf_level=conf_level)
    return effect.conf_low, effect.conf_high


def _exact_rank_sum(ranks: Array, n_1: int) -> tuple[float, float]:
    """Return the two-sided p of the first `n_1` ranks' sum and the smallest possible p.

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
    """Return the two-sided p of the sum of positive ranks and the smallest possible p."""
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
