"""Tests of means: Student, Welch, paired t, ANCOVA, (Welch) analysis of variance."""

import math

import numpy as np
from scipy import stats

from alliance_stats.effect_sizes import pooled_sd
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, two_sided_p
from alliance_stats.groups.finding import Finding, TestOptions, t_interval
from alliance_stats.groups.samples import Outcome

__all__ = [
    "adjusted_means",
    "ancova",
    "anova",
    "paired_t",
    "student",
    "welch",
    "welch_anova",
    "welch_df",
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
    return math.sqrt(total), total**2 / (v_x**2 / (x.size - 1) + v_y**2 / (y.size - 1))


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
