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


EXCEPTIONS: tuple[Kind, ...] = (
    greenhouse_geisser, fisher_beside_chi_squared, fisher_beside_chi_squared_alone, larger_table,
    mcnemar_exact, adjusted_p, adjusted_p_said, of_those_who_answered, exact_ranks,
    adjusted_r_squared, glass_beside_t, d_without_sign, conditional_odds_ratio,
)  # fmt: skip
