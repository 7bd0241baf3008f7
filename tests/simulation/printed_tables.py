"""Rows of tables as papers print them, from numbers that truly belong together.

Each kind draws exact numbers, which are then rounded as papers round, half up or half to even,
with a number of decimals drawn for each column; some columns are left out. Nothing here uses the
package.
"""

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
from scipy import stats

Row = dict[str, float | int | str]
Rng = np.random.Generator
Kind = Callable[[Rng], Row]

COUNTS = {
    "n", "n1", "n2", "k", "items", "df1", "n_effects", "k_studies", "n_total", "events", "events1",
    "events2",
}  # fmt: skip
STARS = {
    "usual": ((0.001, "***"), (0.01, "**"), (0.05, "*")),
    "plus": ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.10, "+")),
    "two": ((0.01, "**"), (0.05, "*")),
    "economics": ((0.01, "***"), (0.05, "**"), (0.10, "*")),
}
Q = float(stats.norm.isf(0.025))


def p_of(t: float, df: float = math.inf) -> float:
    return float(2 * stats.t.sf(abs(t), df))


def stars_of(p: float, legend: str = "usual") -> str:
    return next((symbol for level, symbol in STARS[legend] if p < level), "none")


def coefficient(rng: Rng) -> tuple[float, float]:
    scale = 10 ** rng.uniform(-1, 1.5)
    return scale * rng.normal(0.5, 1.0), scale * rng.uniform(0.15, 0.8)


# --- coefficients --------------------------------------------------------------------------------


def wald(b: float, se: float, df: float = math.inf) -> Row:
    q = float(stats.t.isf(0.025, df))
    return {"estimate": b, "std_error": se, "conf_low": b - q * se, "conf_high": b + q * se,
            "p_value": p_of(b / se, df)}  # fmt: skip


def regression(rng: Rng) -> Row:
    b, se = coefficient(rng)
    df = int(rng.integers(3, 300))
    return {**wald(b, se, df), "t": b / se, "df": df}


def regression_z(rng: Rng) -> Row:
    b, se = coefficient(rng)
    return {**wald(b, se), "z": b / se}


def mixed_model(rng: Rng) -> Row:
    b, se = coefficient(rng)
    df = rng.uniform(4, 200)
    return {**wald(b, se, df), "t": b / se, "df": df}


def t_without_df(rng: Rng) -> Row:
    b, se = coefficient(rng)
    return {**wald(b, se, int(rng.integers(3, 200))), "t": b / se}


def statistic_without_df(rng: Rng) -> Row:
    b, se = coefficient(rng)
    row = wald(b, se, int(rng.integers(3, 200)))
    return {**row, "statistic": b / se}


def coefficient_with_stars(rng: Rng) -> Row:
    b, se = coefficient(rng)
    df = int(rng.integers(20, 200))
    return {"estimate": b, "std_error": se, "stars": stars_of(p_of(b / se, df))}


def logistic(rng: Rng) -> Row:
    b, se = rng.normal(0, 0.8), rng.uniform(0.1, 0.7)
    return {
        "estimate": b, "std_error": se, "wald": (b / se) ** 2, "df": 1, "p_value": p_of(b / se),
        "odds_ratio": math.exp(b), "conf_low": math.exp(b - Q * se),
        "conf_high": math.exp(b + Q * se),
    }  # fmt: skip


def odds_ratio(rng: Rng) -> Row:
    b, se = rng.normal(0, 0.8), rng.uniform(0.1, 0.7)
    return {
        "odds_ratio": math.exp(b), "conf_low": math.exp(b - Q * se),
        "conf_high": math.exp(b + Q * se), "z": b / se, "p_value": p_of(b / se),
    }  # fmt: skip


def odds_ratio_delta(rng: Rng) -> Row:
    row = odds_ratio(rng)
    b = math.log(row["odds_ratio"])
    return {**row, "std_error": b / row["z"] * row["odds_ratio"]}


def hazard(rng: Rng) -> Row:
    b, se = rng.normal(0, 0.6), rng.uniform(0.08, 0.5)
    return {
        "hazard_ratio": math.exp(b), "std_error": se, "wald": (b / se) ** 2,
        "conf_low": math.exp(b - Q * se), "conf_high": math.exp(b + Q * se),
        "p_value": p_of(b / se),
    }  # fmt: skip


def exponentiated(rng: Rng) -> Row:
    b, se = rng.normal(0, 0.6), rng.uniform(0.08, 0.5)
    p = p_of(b / se)
    return {"estimate": b, "std_error": se, "exp_b": math.exp(b), "p_value": p,
            "stars": stars_of(p)}  # fmt: skip


def bootstrapped(rng: Rng) -> Row:
    b, se = coefficient(rng)
    low, high = (Q * se * rng.uniform(0.8, 1.3) for _ in range(2))
    return {**wald(b, se), "z": b / se, "conf_low": b - low, "conf_high": b + high}


def cluster_robust(rng: Rng) -> Row:
    b, se = coefficient(rng)
    half = stats.t.isf(0.025, int(rng.integers(5, 40))) * se * rng.uniform(0.7, 1.3)
    return {**wald(b, se), "z": b / se, "conf_low": b - half, "conf_high": b + half}


def profiled_odds_ratio(rng: Rng) -> Row:
    b, se = rng.normal(0, 0.8), rng.uniform(0.1, 0.7)
    low, high = (Q * se * rng.uniform(0.85, 1.2) for _ in range(2))
    return {
        "estimate": b, "std_error": se, "odds_ratio": math.exp(b), "conf_low": math.exp(b - low),
        "conf_high": math.exp(b + high), "p_value": p_of(b / se),
    }  # fmt: skip


# --- correlations --------------------------------------------------------------------------------


def simple_r(rng: Rng) -> Row:
    r, n = rng.uniform(-0.9, 0.9), int(rng.integers(5, 500))
    half = Q / math.sqrt(n - 3)
    t = r * math.sqrt((n - 2) / (1 - r * r))
    return {
        "r": r, "n": n, "df": n - 2, "t": t, "p_value": p_of(t, n - 2),
        "conf_low": math.tanh(math.atanh(r) - half), "conf_high": math.tanh(math.atanh(r) + half),
    }  # fmt: skip


def starred_r(rng: Rng) -> Row:
    row = simple_r(rng)
    legend = str(rng.choice(["usual", "plus", "two"]))
    return {"r": row["r"], "n": row["n"], "stars": stars_of(row["p_value"], legend)}


def partial_r(rng: Rng) -> Row:
    r, n = rng.uniform(-0.8, 0.8), int(rng.integers(25, 300))
    df = n - 2 - int(rng.integers(1, 9))
    t = r * math.sqrt(df / (1 - r * r))
    return {"r": r, "n": n, "df": df, "t": t, "p_value": p_of(t, df)}


def r_beside_coefficient(rng: Rng) -> Row:
    b, se = coefficient(rng)
    n = int(rng.integers(40, 300))
    df = n - int(rng.integers(3, 9))
    own = wald(b, se, df)
    return {"r": rng.uniform(-0.7, 0.7), "n": n, "df": df, "estimate": b, "std_error": se,
            "t": b / se, "p_value": own["p_value"]}  # fmt: skip


def pooled_r(rng: Rng) -> Row:
    z, se, effects = rng.normal(0.2, 0.2), rng.uniform(0.02, 0.1), int(rng.integers(4, 300))
    half = stats.t.isf(0.025, effects - 1) * se
    return {
        "r": math.tanh(z), "se_z": se, "n_effects": effects, "p_value": p_of(z / se, effects - 1),
        "conf_low": math.tanh(z - half), "conf_high": math.tanh(z + half),
    }  # fmt: skip


def pooled_r_normal(rng: Rng) -> Row:
    z, se = rng.normal(0.2, 0.2), rng.uniform(0.02, 0.1)
    return {
        "r": math.tanh(z), "z": z / se, "p_value": p_of(z / se),
        "conf_low": math.tanh(z - Q * se), "conf_high": math.tanh(z + Q * se),
    }  # fmt: skip


def two_r(rng: Rng) -> Row:
    r1, r2 = rng.uniform(-0.8, 0.8, 2)
    n1, n2 = rng.integers(10, 300, 2)
    z = (math.atanh(r1) - math.atanh(r2)) / math.sqrt(1 / (n1 - 3) + 1 / (n2 - 3))
    return {"r1": r1, "n1": int(n1), "r2": r2, "n2": int(n2), "z": z, "p_value": p_of(z)}


def correlation_matrix(rng: Rng, size: int) -> np.ndarray:
    loadings = rng.normal(size=(size, 2))
    sigma = loadings @ loadings.T + np.eye(size)
    scale = np.sqrt(np.diag(sigma))
    return sigma / np.outer(scale, scale)


def dependent_r(rng: Rng) -> Row:
    r, n = correlation_matrix(rng, 3), int(rng.integers(20, 300))
    r12, r13, r23 = r[0, 1], r[0, 2], r[1, 2]
    below = 2 * np.linalg.det(r) * (n - 1) / (n - 3) + (r12 + r13) ** 2 / 4 * (1 - r23) ** 3
    t = float((r12 - r13) * np.sqrt((n - 1) * (1 + r23) / below))
    return {"r12": r12, "r13": r13, "r23": r23, "n": n, "t": t, "p_value": p_of(t, n - 3)}


def three_r(rng: Rng) -> Row:
    r = correlation_matrix(rng, 3)
    return {"r12": r[0, 1], "r13": r[0, 2], "r23": r[1, 2]}


# --- means ---------------------------------------------------------------------------------------


def two_groups(rng: Rng) -> tuple[float, float, int, float, float, int]:
    m, s = rng.uniform(1, 60), rng.uniform(0.3, 12)
    return (
        m, s, int(rng.integers(5, 120)), m + s * rng.normal(0, 0.8), s * rng.uniform(0.6, 1.6),
        int(rng.integers(5, 120)),
    )  # fmt: skip


def pooled_means(rng: Rng) -> Row:
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    df = n1 + n2 - 2
    sp = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    d = (m1 - m2) / sp
    t = d / math.sqrt(1 / n1 + 1 / n2)
    return {
        "mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2, "n": n1 + n2, "t": t,
        "df": df, "p_value": p_of(t, df), "d": d, "g": d * (1 - 3 / (4 * df - 1)),
    }  # fmt: skip


def welch(rng: Rng) -> Row:
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    a, b = s1**2 / n1, s2**2 / n2
    t, df = (m1 - m2) / math.sqrt(a + b), (a + b) ** 2 / (a**2 / (n1 - 1) + b**2 / (n2 - 1))
    sp = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))
    return {
        "mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2, "t": t, "df": df,
        "p_value": p_of(t, df), "d": (m1 - m2) / sp,
    }  # fmt: skip


def welch_whole_df(rng: Rng) -> Row:
    row = welch(rng)
    return {**row, "df": f"{row['df']:.0f}"}


def second_minus_first(rng: Rng) -> Row:
    row = pooled_means(rng)
    return {**row, **{name: -row[name] for name in ("t", "d", "g")}}


def paired(rng: Rng) -> Row:
    m1, s1, n, m2, s2, _ = two_groups(rng)
    r = rng.uniform(0.1, 0.9)
    change = math.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2)
    t = (m1 - m2) * math.sqrt(n) / change
    return {
        "mean1": m1, "sd1": s1, "mean2": m2, "sd2": s2, "n": n, "r_paired": r, "t": t,
        "p_value": p_of(t, n - 1), "d": (m1 - m2) / change,
    }  # fmt: skip


def paired_sizes_twice(rng: Rng) -> Row:
    row = paired(rng)
    n = row.pop("n")
    return {name: row[name] for name in ("mean1", "sd1", "mean2", "sd2", "t", "p_value")} | {
        "n1": n, "n2": n, "df": n - 1,
    }  # fmt: skip


def control_sd(rng: Rng) -> Row:
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    return {"mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2,
            "d": (m1 - m2) / s2}  # fmt: skip


def subgroups(rng: Rng) -> Row:
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    n = n1 + n2
    squares = (n1 - 1) * s1**2 + (n2 - 1) * s2**2 + n1 * n2 / n * (m1 - m2) ** 2
    return {
        "mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2, "n": n,
        "mean": (n1 * m1 + n2 * m2) / n, "sd": math.sqrt(squares / (n - 1)),
    }  # fmt: skip


def one_mean(rng: Rng) -> Row:
    m, s, n, *_ = two_groups(rng)
    se = s / math.sqrt(n)
    q = stats.t.isf(0.025, n - 1) if rng.random() < 0.5 else Q
    return {"mean": m, "sd": s, "n": n, "std_error": se, "conf_low": m - q * se,
            "conf_high": m + q * se}  # fmt: skip


def whole_scores(rng: Rng) -> Row:
    n, items = int(rng.integers(5, 120)), int(rng.integers(1, 5))
    return {"mean": rng.integers(0, 7 * n * items) / (n * items), "n": n, "items": items}


def effect_size(rng: Rng) -> Row:
    name = str(rng.choice(["d", "g"]))
    n1, n2 = rng.integers(10, 120, 2)
    d = rng.normal(0.3, 0.5)
    se = math.sqrt(1 / n1 + 1 / n2 + d * d / (2 * (n1 + n2)))
    skew = rng.uniform(0.95, 1.08) if rng.random() < 0.5 else 1.0
    return {name: d, "std_error": se, "z": d / se, "p_value": p_of(d / se),
            "conf_low": d - Q * se, "conf_high": d + skew * Q * se}  # fmt: skip


def d_of_t(rng: Rng) -> Row:
    n1, n2 = rng.integers(5, 120, 2)
    n1 = n2 if rng.random() < 0.5 else n1
    df = int(n1 + n2 - 2)
    t = rng.normal(1, 2)
    d = t * math.sqrt(1 / n1 + 1 / n2)
    return {"t": t, "df": df, "p_value": p_of(t, df), "d": d, "g": d * (1 - 3 / (4 * df - 1))}


def unequal_d_r(rng: Rng) -> Row:
    n1, n2 = (int(n) for n in rng.integers(8, 200, 2))
    d = rng.normal(0.4, 0.5)
    a = (n1 + n2) ** 2 / (n1 * n2)
    return {"r": d / math.sqrt(d * d + a), "d": d, "n1": n1, "n2": n2}


# --- tests, models, counts -----------------------------------------------------------------------


def f_test(rng: Rng) -> Row:
    df1, df2 = int(rng.integers(1, 6)), int(rng.integers(5, 300))
    f = float(rng.exponential(3))
    return {"f": f, "df1": df1, "df2": df2, "p_value": float(stats.f.sf(f, df1, df2))}


def f_and_t(rng: Rng) -> Row:
    t, df = rng.normal(0, 2.2), int(rng.integers(5, 300))
    return {"t": t, "df": df, "f": t * t, "df1": 1, "df2": df, "p_value": p_of(t, df)}


def chi_squared(rng: Rng) -> Row:
    df = int(rng.integers(1, 12))
    x = float(rng.exponential(df + 2))
    return {"chi2": x, "df": df, "p_value": float(stats.chi2.sf(x, df))}


def chi_squared_z(rng: Rng) -> Row:
    z = rng.normal(0, 2)
    return {"z": z, "chi2": z * z, "df": 1, "p_value": p_of(z)}


def whole_model(rng: Rng) -> Row:
    k = int(rng.integers(1, 8))
    n = int(rng.integers(k + 8, 300))
    r2, df2 = rng.uniform(0.02, 0.7), n - k - 1
    f = (r2 / k) / ((1 - r2) / df2)
    return {"r_squared": r2, "k": k, "n": n, "f": f, "df1": k, "df2": df2,
            "p_value": float(stats.f.sf(f, k, df2))}  # fmt: skip


def last_step(rng: Rng) -> Row:
    k = int(rng.integers(2, 8))
    n = int(rng.integers(k + 8, 300))
    r2, df2, df1 = rng.uniform(0.05, 0.7), n - k - 1, int(rng.integers(1, k))
    f = (r2 * rng.uniform(0.05, 0.9) / df1) / ((1 - r2) / df2)
    return {"r_squared": r2, "k": k, "n": n, "f": f, "df1": df1, "df2": df2,
            "p_value": float(stats.f.sf(f, df1, df2))}  # fmt: skip


def fourfold(rng: Rng) -> Row:
    n1, n2 = (int(n) for n in rng.integers(8, 90, 2))
    a, c = int(rng.integers(1, n1)), int(rng.integers(1, n2))
    table = [[a, n1 - a], [c, n2 - c]]
    kind = str(rng.choice(["pearson", "yates", "fisher", "ratio"]))
    row: Row = {"events1": a, "n1": n1, "events2": c, "n2": n2, "n": n1 + n2,
                "odds_ratio": a * (n2 - c) / ((n1 - a) * c), "proportion1": a / n1,
                "proportion2": c / n2}  # fmt: skip
    if kind == "fisher":
        return {**row, "p_value": float(stats.fisher_exact(table).pvalue)}
    found = stats.chi2_contingency(
        table, correction=kind == "yates",
        lambda_="log-likelihood" if kind == "ratio" else None,
    )  # fmt: skip
    return {**row, "chi2": float(found.statistic), "df": 1, "p_value": float(found.pvalue)}


def share(rng: Rng) -> Row:
    n = int(rng.integers(8, 300))
    events = int(rng.integers(1, n))
    method = str(rng.choice(["wilson", "exact"]))
    interval = stats.binomtest(events, n).proportion_ci(method=method)
    return {"events": events, "n": n, "proportion": events / n, "conf_low": interval.low,
            "conf_high": interval.high}  # fmt: skip


def heterogeneity(rng: Rng) -> Row:
    k = int(rng.integers(3, 60))
    q = float(stats.chi2.rvs(k - 1, random_state=rng) * rng.uniform(0.7, 5))
    return {"k_studies": k, "q": q, "df": k - 1, "i_squared": max(0.0, (q - k + 1) / q),
            "p_value": float(stats.chi2.sf(q, k - 1))}  # fmt: skip


def heterogeneity_reml(rng: Rng) -> Row:
    row = heterogeneity(rng)
    return {**row, "i_squared": min(0.97, max(0.0, row["i_squared"] + rng.normal(0, 0.08)))}


def adjusted_means(rng: Rng) -> Row:
    """Raw means and SDs beside the test of an analysis of covariance or a mixed model."""
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    t, covariates = rng.normal(1, 1.8), int(rng.integers(1, 5))
    df = n1 + n2 - 2 - covariates
    return {"mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2, "t": t, "df": df,
            "p_value": p_of(t, df)}  # fmt: skip


def means_and_ranks(rng: Rng) -> Row:
    """Raw means and SDs beside the p of a rank test."""
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    return {"mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2,
            "p_value": float(rng.uniform() ** 2)}  # fmt: skip


def adjusted_odds_ratio(rng: Rng) -> Row:
    row = {key: value for key, value in fourfold(rng).items() if key[:6] in ("events", "n1", "n2")}
    b, se = rng.normal(0, 0.8), rng.uniform(0.15, 0.7)
    return {**row, "odds_ratio": math.exp(b), "conf_low": math.exp(b - Q * se),
            "conf_high": math.exp(b + Q * se), "p_value": p_of(b / se)}  # fmt: skip


def tested_variance(rng: Rng) -> Row:
    """A likelihood-ratio test of a variance, or of a random slope with its covariance."""
    chi2, df = float(rng.chisquare(1) * 3), int(rng.integers(1, 3))
    tails = [float(stats.chi2.sf(chi2, k)) for k in (df, df - 1) if k > 0]
    return {"chi2": chi2, "df": df, "p_value": sum(tails) / 2}


def one_tailed(rng: Rng) -> Row:
    t, df = rng.normal(1, 1.5), int(rng.integers(5, 120))
    return {"t": t, "df": df, "p_value": float(stats.t.sf(t, df)), "tails": "one"}


def legends(rng: Rng) -> Row:
    z = rng.normal(0, 2.2)
    legend = str(rng.choice(list(STARS)))
    return {"z": z, "p_value": p_of(z), "stars": stars_of(p_of(z), legend)}


KINDS: tuple[Kind, ...] = (
    regression, regression_z, mixed_model, t_without_df, statistic_without_df,
    coefficient_with_stars, logistic, odds_ratio, odds_ratio_delta, hazard, exponentiated,
    bootstrapped, cluster_robust, profiled_odds_ratio, simple_r, starred_r, partial_r,
    r_beside_coefficient, pooled_r, pooled_r_normal, two_r, dependent_r, three_r, pooled_means,
    welch, welch_whole_df, second_minus_first, paired, paired_sizes_twice, control_sd, subgroups,
    one_mean, whole_scores, effect_size, d_of_t, unequal_d_r, f_test, f_and_t, chi_squared,
    chi_squared_z, whole_model, last_step, fourfold, share, heterogeneity, heterogeneity_reml,
    one_tailed, legends, adjusted_means, means_and_ranks, adjusted_odds_ratio, tested_variance,
)  # fmt: skip

# Without these a row of the kind would be one of another kind: an r and a p that are not one
# another's have to be told apart by the coefficient or the df printed with them.
KEPT = {
    "r_beside_coefficient": {"df", "n"}, "second_minus_first": {"mean1", "mean2"},
    "adjusted_odds_ratio": {"odds_ratio", "conf_low", "conf_high"},
    "paired_sizes_twice": {"df"}, "one_tailed": {"tails"}, "whole_scores": {"n", "items"},
    "larger_table": {"n"}, "adjusted_p_said": {"tests"},
    "of_those_who_answered": {"proportion1", "proportion2"}, "exact_ranks": {"n", "n1", "n2"},
    "adjusted_r_squared": {"f", "df1", "df2"},
    "glass_beside_t": {"mean1", "sd1", "n1", "mean2", "sd2", "n2"},
    "kendall_beside_its_z": {"z"}, "signed_ranks": {"mean1", "n"},
    "coefficient_beside_its_model": {"t"}, "pooled_effect_beside_q": {"r"},
    "over_strata": {"chi2", "df", "p_value"}, "adjusted_d": {"df2"},
    "degrees_of_clusters": {"n1", "n2"}, "ratio_beside_chi_squared": {"chi2"},
}  # fmt: skip


# --- print ---------------------------------------------------------------------------------------


def as_printed(value: float, decimals: int, mode: str) -> str:
    """Round the exact binary value, half up or half to even, as exact arithmetic would."""
    text = f"{Decimal(float(value)).quantize(Decimal(1).scaleb(-decimals), mode):f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def p_printed(value: float, rng: Rng, mode: str) -> str:
    decimals = int(rng.integers(2, 5))
    limit = 10.0 ** -min(decimals, 3)
    if value < limit:
        return as_printed(value, decimals, mode) if rng.random() < 0.3 else f"<{limit:g}"
    style = rng.random()
    if style < 0.1:
        return "<.05" if value < 0.05 else "ns"
    return as_printed(value, decimals, mode).removeprefix("0" if style < 0.6 else "-")


def decimals_of(value: float, rng: Rng) -> int:
    """Draw decimals so that a number keeps two to four figures, as papers print them."""
    size = math.floor(math.log10(abs(value))) if abs(value) > 1e-8 else 0
    return int(np.clip(rng.integers(1, 4) - min(size, 1), 1, 4))


def print_row(kind: Kind, rng: Rng, *, leave_out: float = 0.25) -> dict[str, str]:
    """Return a row as printed, some of its columns left out."""
    numbers = kind(rng)
    mode = ROUND_HALF_UP if rng.random() < 0.5 else ROUND_HALF_EVEN
    kept = KEPT.get(kind.__name__, set())
    percent = rng.random() < 0.3
    row: dict[str, str] = {}
    for name, value in numbers.items():
        if name not in kept and rng.random() < leave_out:
            continue
        if isinstance(value, str):
            row[name] = value
        elif name in COUNTS or (name == "df" and isinstance(value, (int, np.integer))):
            row[name] = str(int(value))
        elif name == "p_value":
            row[name] = p_printed(value, rng, mode)
        elif name in ("i_squared", "proportion", "proportion1", "proportion2") and percent:
            row[name] = as_printed(100 * value, 1, mode) + ("%" if rng.random() < 0.3 else "")
        else:
            row[name] = as_printed(value, decimals_of(float(value), rng), mode)
    if "proportion" in row and percent:
        for name in ("conf_low", "conf_high"):
            if name in row:
                row[name] = as_printed(100 * float(numbers[name]), 1, mode)
    return row
