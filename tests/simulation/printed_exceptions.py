"""Right rows in which p, d or a share is uncommon, and nothing in the row says so.

They are not to be accused. Some follow all the same; for the others the condition is named under
which alone they hold. Nothing here uses the package.
"""

import math

import numpy as np
from scipy import stats

from tests.simulation.printed_tables import Kind, Rng, Row, coefficient, p_of, two_groups

# Counts are tables that papers print chi-squared of: no expected count below this.
EXPECTED = 1.0


def greenhouse_geisser(rng: Rng) -> Row:
    """F of a within factor, or of its interaction with groups, on its plain df."""
    levels, groups = int(rng.integers(3, 7)), int(rng.integers(1, 5))
    n = groups * int(rng.integers(5, 40))
    within = levels - 1
    df1 = within * (groups - 1) if groups > 1 and rng.random() < 0.5 else within
    df2, f = within * (n - groups), float(rng.exponential(3))
    epsilon = 1 / within if rng.random() < 0.2 else rng.uniform(1 / within, 1)
    return {"f": f, "df1": df1, "df2": str(df2), "n": n, "r_squared": f * df1 / (f * df1 + df2),
            "p_value": float(stats.f.sf(f, epsilon * df1, epsilon * df2))}  # fmt: skip


def table_of_counts(rng: Rng, most: int = 60) -> np.ndarray:
    while True:
        n1, n2 = rng.integers(6, most, 2)
        a, c = rng.binomial([n1, n2], rng.uniform(0.1, 0.9, 2))
        table = np.array([[a, n1 - a], [c, n2 - c]])
        expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
        if expected.min() >= EXPECTED and 0 < a < n1 and 0 < c < n2:
            return table


def counts_of(table: np.ndarray) -> Row:
    (a, b), (c, d) = table.tolist()
    return {"events1": a, "n1": a + b, "events2": c, "n2": c + d, "n": a + b + c + d}


def fisher_beside_chi_squared(rng: Rng) -> Row:
    table = table_of_counts(rng)
    found = stats.chi2_contingency(table, correction=False)
    p = float(stats.fisher_exact(table).pvalue)
    if rng.random() < 0.3:
        p = float(stats.chi2_contingency(table, correction=True).pvalue)
    return {**counts_of(table), "chi2": float(found.statistic), "df": 1, "p_value": p}


def fisher_beside_chi_squared_alone(rng: Rng) -> Row:
    row = fisher_beside_chi_squared(rng)
    kept = {"n"} if rng.random() < 0.5 else set()
    return {name: row[name] for name in row if name in {"chi2", "df", "p_value", *kept}}


def larger_table(rng: Rng) -> Row:
    """Chi-squared of a table on more df, with an exact or Monte Carlo p."""
    while True:
        rows, columns = int(rng.integers(2, 5)), int(rng.integers(3, 6))
        joint = np.outer(rng.dirichlet(np.full(rows, 6.0)), rng.dirichlet(np.full(columns, 6.0)))
        joint *= np.exp(rng.normal(0, 0.4, joint.shape))
        n = int(rng.integers(30, 120))
        table = rng.multinomial(n, (joint / joint.sum()).ravel()).reshape(rows, columns)
        expected = np.outer(table.sum(1), table.sum(0)) / n
        if expected.min() >= 1.5:
            break
    chi2 = float(((table - expected) ** 2 / expected).sum())
    sampled = stats.random_table(table.sum(1), table.sum(0)).rvs(2_000, random_state=rng)
    as_far = (((sampled - expected) ** 2 / expected).sum((1, 2)) >= chi2 - 1e-9).sum()
    return {"chi2": chi2, "df": (rows - 1) * (columns - 1), "n": n,
            "p_value": float((as_far + 1) / 2_001)}  # fmt: skip


def mcnemar_exact(rng: Rng) -> Row:
    changed = int(rng.integers(6, 40))
    more = int(rng.integers(changed // 2 + 1, changed + 1))
    corrected = int(rng.random() < 0.5)
    return {"chi2": (2 * more - changed - corrected) ** 2 / changed, "df": 1,
            "n": changed + int(rng.integers(5, 80)),
            "p_value": float(stats.binomtest(more, changed).pvalue)}  # fmt: skip


def adjusted_p(rng: Rng) -> Row:
    """The p of one of up to six tests, or of the pairs of three or four groups."""
    b, se = coefficient(rng)
    df = int(rng.integers(8, 200))
    t, tests = b / se, int(rng.integers(2, 7))
    plain = p_of(t, df)
    groups = int(rng.integers(3, 5))
    found = {
        "bonferroni": min(1.0, tests * plain),
        "sidak": 1 - (1 - plain) ** tests,
        "tukey": float(stats.studentized_range.sf(abs(t) * math.sqrt(2), groups, df)),
    }[str(rng.choice(["bonferroni", "sidak", "tukey"]))]
    decimals = max(2, 1 - math.floor(math.log10(max(found, 1e-12))))  # of two figures
    return {"estimate": b, "std_error": se, "t": t, "df": df, "p_value": f"{found:.{decimals}f}"}


def adjusted_p_said(rng: Rng) -> Row:
    """The p of one of many tests, whose number is said."""
    z, tests = rng.normal(2, 1.2), int(rng.integers(3, 30))
    plain = p_of(z)
    found = tests * plain / (1 if rng.random() < 0.5 else int(rng.integers(1, tests)))
    return {"z": z, "p_value": min(1.0, found), "tests": str(tests)}


def of_those_who_answered(rng: Rng) -> Row:
    """Shares and a test of those who answered, beside the n of all."""
    table = table_of_counts(rng)
    counts = counts_of(table)
    asked = {name: counts[name] + int(rng.integers(0, 5)) for name in ("n1", "n2")}
    found = stats.chi2_contingency(table, correction=False)
    return {
        "events1": counts["events1"], **asked, "events2": counts["events2"],
        "proportion1": counts["events1"] / counts["n1"],
        "proportion2": counts["events2"] / counts["n2"],
        "chi2": float(found.statistic), "df": 1, "p_value": float(found.pvalue),
    }  # fmt: skip


def exact_ranks(rng: Rng) -> Row:
    """The z of a rank test of few persons beside its exact p."""
    if rng.random() < 0.5:
        n = int(rng.integers(6, 26))
        x = rng.normal(0.5, 1, n)
        found = stats.wilcoxon(x, mode="exact")
        ranks = stats.rankdata(np.abs(x))[x > 0].sum()
        z = (ranks - n * (n + 1) / 4) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return {"z": z, "n": n, "p_value": float(found.pvalue)}
    n1, n2 = (int(n) for n in rng.integers(4, 20, 2))
    found = stats.mannwhitneyu(rng.normal(0.7, 1, n1), rng.normal(0, 1, n2), method="exact")
    z = (found.statistic - n1 * n2 / 2) / math.sqrt(n1 * n2 * (n1 + n2 + 1) / 12)
    return {"z": z, "n1": n1, "n2": n2, "p_value": float(found.pvalue)}


def adjusted_r_squared(rng: Rng) -> Row:
    """Adjusted R squared or omega squared of a whole model."""
    k = int(rng.integers(1, 8))
    n = int(rng.integers(k + 20, 300))
    df2 = n - k - 1
    r2 = rng.uniform(0.1, 0.7)
    f = (r2 / k) / ((1 - r2) / df2)
    omega = k * (f - 1) / (k * (f - 1) + n)
    share = 1 - (1 - r2) * (n - 1) / df2 if rng.random() < 0.6 else omega
    return {"r_squared": max(share, 0.0), "k": k, "n": n, "f": f, "df1": k, "df2": df2,
            "p_value": float(stats.f.sf(f, k, df2))}  # fmt: skip


def glass_beside_t(rng: Rng) -> Row:
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    df = n1 + n2 - 2
    sp = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    t = (m1 - m2) / sp / math.sqrt(1 / n1 + 1 / n2)
    return {"mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2, "t": t, "df": df,
            "p_value": p_of(t, df), "d": (m1 - m2) / s2}  # fmt: skip


def d_without_sign(rng: Rng) -> Row:
    n1, n2 = (int(n) for n in rng.integers(5, 120, 2))
    df, t = n1 + n2 - 2, -abs(rng.normal(1, 2))
    d = -t * math.sqrt(1 / n1 + 1 / n2)
    return {"t": t, "df": df, "n1": n1, "n2": n2, "p_value": p_of(t, df), "d": d,
            "g": d * (1 - 3 / (4 * df - 1))}  # fmt: skip


def conditional_odds_ratio(rng: Rng) -> Row:
    table = table_of_counts(rng)
    ratio = stats.contingency.odds_ratio(table, kind="conditional")
    interval = ratio.confidence_interval(0.95)
    p = float(stats.fisher_exact(table).pvalue)
    return {**counts_of(table), "odds_ratio": float(ratio.statistic), "conf_low": interval.low,
            "conf_high": interval.high, "p_value": p}  # fmt: skip


def kendall_beside_its_z(rng: Rng) -> Row:
    """Kendall's tau, printed as r, of scores with and without ties."""
    n = int(rng.integers(8, 80))
    x, noise = rng.normal(size=n), rng.normal(size=n)
    y = 0.5 * x + noise
    if rng.random() < 0.5:
        x, y = np.round(x * rng.uniform(1, 3)), np.round(y * rng.uniform(1, 3))
    found = stats.kendalltau(x, y, method="asymptotic")
    if not 0.0 < found.pvalue < 1.0:
        return kendall_beside_its_z(rng)
    z = float(np.sign(found.statistic) * stats.norm.isf(found.pvalue / 2))
    return {"r": float(found.statistic), "n": n, "z": z, "p_value": float(found.pvalue)}


def signed_ranks(rng: Rng) -> Row:
    """Two times, their signed-rank test, and z over the root of n or of 2 n without its sign."""
    n = int(rng.integers(10, 60))
    before = rng.normal(4, 1, n)
    after = 0.5 * before + rng.normal(2.4, 0.8, n)
    found = stats.wilcoxon(after, before, method="approx")
    times = 1 if rng.random() < 0.5 else 2
    return {"mean1": before.mean(), "sd1": before.std(ddof=1), "mean2": after.mean(),
            "sd2": after.std(ddof=1), "n": n, "z": float(found.zstatistic),
            "p_value": float(found.pvalue),
            "r": float(abs(found.zstatistic) / math.sqrt(times * n))}  # fmt: skip


def coefficient_beside_its_model(rng: Rng) -> Row:
    """The t and p of a coefficient beside F and R squared of the model."""
    k = int(rng.integers(2, 6))
    n = int(rng.integers(k + 20, 200))
    df2 = n - k - 1
    t = float(rng.normal(2, 1))
    f = (t**2 + float(rng.exponential(6)) * (k - 1)) / k
    return {"t": t, "p_value": p_of(t, df2), "f": f, "df1": k, "df2": df2,
            "r_squared": f * k / (f * k + df2), "k": k, "n": n}  # fmt: skip


def pooled_effect_beside_q(rng: Rng) -> Row:
    """A pooled r with its interval and p, beside Q."""
    k, size, heterogeneous = int(rng.integers(5, 25)), rng.integers(20, 150), rng.uniform(0, 0.2)
    n = rng.integers(size // 2 + 10, size + 20, k)
    z = rng.normal(0.3, heterogeneous, k) + rng.normal(size=k) / np.sqrt(n - 3)
    plain = n - 3.0
    q = float((plain * (z - np.average(z, weights=plain)) ** 2).sum())
    scale = plain.sum() - (plain**2).sum() / plain.sum()
    w = 1 / (1 / plain + max(0.0, (q - k + 1) / scale))
    pooled, se = float(np.average(z, weights=w)), float(w.sum() ** -0.5)
    return {"r": math.tanh(pooled), "conf_low": math.tanh(pooled - 1.959964 * se),
            "conf_high": math.tanh(pooled + 1.959964 * se), "p_value": p_of(pooled / se),
            "k_studies": k, "n_total": int(n.sum()), "q": q,
            "i_squared": max(0.0, (q - k + 1) / q)}  # fmt: skip


def half_a_case_added(rng: Rng) -> Row:
    table = table_of_counts(rng)
    (a, b), (c, d) = (table + 0.5).tolist()
    log, se = math.log(a * d / (b * c)), math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    return {**counts_of(table), "odds_ratio": math.exp(log),
            "conf_low": math.exp(log - 1.959964 * se),
            "conf_high": math.exp(log + 1.959964 * se)}  # fmt: skip


def over_strata(rng: Rng) -> Row:
    """The counts of all, beside Mantel and Haenszel's chi-squared over strata."""
    strata = [table_of_counts(rng, 40) for _ in range(int(rng.integers(2, 4)))]
    shares = rng.uniform(0.2, 0.5) + np.linspace(-0.1, 0.1, len(strata))
    for table, share in zip(strata, shares, strict=True):
        sizes = table.sum(1)
        table[:, 0] = np.clip(rng.binomial(sizes, [share, min(share + 0.2, 0.9)]), 1, sizes - 1)
        table[:, 1] = sizes - table[:, 0]
    n = np.array([table.sum() for table in strata])
    a, rows, columns = (
        np.array(part)
        for part in zip(*((t[0, 0], t[0].sum(), t[:, 0].sum()) for t in strata), strict=True)
    )
    variance = rows * (n - rows) * columns * (n - columns) / (n**2 * (n - 1.0))
    gap = max(abs(float((a - rows * columns / n).sum())) - 0.5 * int(rng.random() < 0.5), 0.0)
    chi2 = gap**2 / float(variance.sum())
    return {**counts_of(np.sum(strata, axis=0)), "chi2": chi2, "df": 1,
            "p_value": float(stats.chi2.sf(chi2, 1))}  # fmt: skip


def adjusted_d(rng: Rng) -> Row:
    """Means as they are, beside F and d of an analysis of covariance."""
    m1, s1, n1, m2, s2, n2 = two_groups(rng)
    df2 = n1 + n2 - 3
    sp = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))
    d = (m1 - m2) / sp + float(np.clip(rng.normal(0, 0.2), -0.6, 0.6))
    f = (d * rng.uniform(1.0, 1.6)) ** 2 / (1 / n1 + 1 / n2)
    return {"mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2, "f": f, "df1": 1,
            "df2": df2, "p_value": float(stats.f.sf(f, 1, df2)),
            "d": abs(d) if rng.random() < 0.5 else d}  # fmt: skip


def degrees_of_clusters(rng: Rng) -> Row:
    """Two groups of persons in clusters: t on clusters less two."""
    m1, s1, _, m2, s2, _ = two_groups(rng)
    clusters = int(rng.integers(3, 12))
    n1, n2 = (clusters * int(rng.integers(4, 10)) for _ in range(2))
    sp = math.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2))
    t = (m1 - m2) / sp / math.sqrt(1 / n1 + 1 / n2) / rng.uniform(1.0, 2.0)
    df = 2 * clusters - 2
    return {"mean1": m1, "sd1": s1, "n1": n1, "mean2": m2, "sd2": s2, "n2": n2, "t": t,
            "df": str(df), "p_value": p_of(t, df)}  # fmt: skip


def ratio_beside_chi_squared(rng: Rng) -> Row:
    """A ratio and its interval, beside chi-squared and p of a likelihood ratio without df."""
    b, se = rng.normal(0.5, 0.4), rng.uniform(0.1, 0.4)
    chi2 = (abs(b / se) * rng.uniform(0.9, 1.1)) ** 2
    return {"hazard_ratio": math.exp(b), "conf_low": math.exp(b - 1.959964 * se),
            "conf_high": math.exp(b + 1.959964 * se), "chi2": chi2,
            "p_value": float(stats.chi2.sf(chi2, 1))}  # fmt: skip


EXCEPTIONS: tuple[Kind, ...] = (
    greenhouse_geisser, fisher_beside_chi_squared, fisher_beside_chi_squared_alone, larger_table,
    mcnemar_exact, adjusted_p, adjusted_p_said, of_those_who_answered, exact_ranks,
    adjusted_r_squared, glass_beside_t, d_without_sign, conditional_odds_ratio,
    kendall_beside_its_z, signed_ranks, coefficient_beside_its_model, pooled_effect_beside_q,
    half_a_case_added, over_strata, adjusted_d, degrees_of_clusters, ratio_beside_chi_squared,
)  # fmt: skip
