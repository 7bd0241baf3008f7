"""Are the intervals of group comparisons honest, and are permutation p-values uniform?

The table is kept in ``docs/coverage/effect_sizes.md``.
"""

from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.effect_sizes import (
    cluster_corrected_g,
    hedges_correction,
    hedges_g,
    probability_of_superiority,
)
from alliance_stats.groups import compare_groups

pytestmark = pytest.mark.slow

REPEATS = 2000
NESTED_REPEATS = 2000
MODEL_REPEATS = 400
N_PERMUTED = 300
CHECKED = 20  # rows on which the short cut is held to the package's interval
# 4 binomial standard errors of a coverage of .95: one table cell in 16,000 lies beyond by chance
MARGIN = 4.0 * sqrt(0.95 * 0.05 / REPEATS)
MODEL_MARGIN = 4.0 * sqrt(0.95 * 0.05 / MODEL_REPEATS)
# an intraclass correlation of 0 is estimated as something above 0: the interval is then too wide
CONSERVATIVE = 0.04
# normal and exponential outcomes alike stay this near to nominal for the rank-based interval
RANK_MARGIN = 0.025
SIZES = {13: (6, 7), 40: (20, 20), 200: (100, 100)}
MEMBERS = (2, 3, 4)
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "effect_sizes.md"


def independent(n: int, delta: float, shape: str, rng: np.random.Generator) -> dict[str, float]:
    n_1, n_2 = SIZES[n]
    x = _draw(shape, (REPEATS, n_1), rng) + delta
    y = _draw(shape, (REPEATS, n_2), rng)
    true = _superiority(shape, delta)
    wins = 0
    for a, b in zip(x, y, strict=True):
        superiority = probability_of_superiority(a, b)
        wins += superiority.conf_low <= true <= superiority.conf_high
    g, hit = g_and_hits(x, y, delta)
    return {
        "n": n,
        "delta": delta,
        "outcome": shape,
        "mean_g": g.mean(),
        "coverage_g": hit.mean(),
        "coverage_superiority": wins / REPEATS,
    }


def g_and_hits(x: np.ndarray, y: np.ndarray, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return g of each row's two samples and whether its interval holds delta.

    The limits are where P(T <= t; noncentrality) is .975 and .025, so an interval holds delta if
    that probability, at delta's noncentrality, lies between: one evaluation instead of two roots.
    """
    n_1, n_2 = x.shape[1], y.shape[1]
    df, root = n_1 + n_2 - 2, sqrt(1 / n_1 + 1 / n_2)
    sd = np.sqrt(((n_1 - 1) * x.var(axis=1, ddof=1) + (n_2 - 1) * y.var(axis=1, ddof=1)) / df)
    d = (x.mean(axis=1) - y.mean(axis=1)) / sd
    scale = hedges_correction(df)
    reached = stats.nct.cdf(d / root, df, delta / (scale * root))
    hit = (reached >= 0.025) & (reached <= 0.975)
    for row in range(CHECKED):  # the short cut is what the package's own interval does
        own = hedges_g(x[row], y[row])
        assert own.estimate == pytest.approx(scale * d[row], rel=1e-10)
        assert hit[row] == (own.conf_low <= delta <= own.conf_high)
    return scale * d, hit


def _draw(shape: str, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return values of variance 1."""
    return rng.normal(size=size) if shape == "normal" else rng.exponential(size=size)


def _superiority(shape: str, delta: float) -> float:
    """Return the true P(X + delta > Y)."""
    if shape == "normal":
        return float(stats.norm.cdf(delta / sqrt(2)))
    return 1.0 - np.exp(-delta) / 2.0


def families(n: int, icc: float, delta: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return members of n families of 2 to 4, total variance 1, family in one of two groups."""
    cluster = np.repeat(np.arange(n), rng.choice(MEMBERS, n))
    first = cluster < SIZES[n][0]
    y = sqrt(icc) * rng.normal(size=n)[cluster] + sqrt(1 - icc) * rng.normal(size=cluster.size)
    return pd.DataFrame({"y": y + delta * first, "g": np.where(first, "a", "b"), "family": cluster})


def nested(n: int, icc: float, delta: float, rng: np.random.Generator) -> dict[str, float]:
    hit = naive = 0
    draws = np.empty(NESTED_REPEATS)
    for i in range(NESTED_REPEATS):
        data = families(n, icc, delta, rng)
        second = (data["g"] == "b").to_numpy(int)
        g = cluster_corrected_g(data["y"], second, data["family"])
        draws[i] = g.estimate
        hit += g.conf_low <= delta <= g.conf_high
        values = data["y"].to_numpy()
        naive += naive_hit(values[second == 0], values[second == 1], delta)
    return {
        "families": n,
        "icc": icc,
        "delta": delta,
        "mean_g": draws.mean(),
        "coverage": hit / NESTED_REPEATS,
        "coverage_if_members_counted": naive / NESTED_REPEATS,
    }


def naive_hit(x: np.ndarray, y: np.ndarray, delta: float) -> bool:
    """Return whether the interval that counts members holds delta, by the same short cut."""
    df, root = x.size + y.size - 2, sqrt(1 / x.size + 1 / y.size)
    sd = sqrt(((x.size - 1) * x.var(ddof=1) + (y.size - 1) * y.var(ddof=1)) / df)
    noncentrality = delta / (hedges_correction(df) * root)
    reached = stats.nct.cdf((x.mean() - y.mean()) / sd / root, df, noncentrality)
    return bool(0.025 <= reached <= 0.975)


def models(n: int, icc: float, rng: np.random.Generator) -> dict[str, float]:
    delta = 0.5
    hits = {"mixed_model": 0, "cluster_robust": 0}
    for _ in range(MODEL_REPEATS):
        data = families(n, icc, delta, rng)
        for test in hits:
            comparison = compare_groups(
                data, outcomes="y", group="g", cluster="family", test=test
            ).comparisons[0]
            low, high = comparison.finding.interval(0.95)
            hits[test] += low <= delta <= high
    return {"families": n, "icc": icc} | {t: k / MODEL_REPEATS for t, k in hits.items()}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(2024)
    found = {
        "independent": pd.DataFrame(
            [
                independent(n, delta, shape, rng)
                for n in SIZES
                for shape in ("normal", "exponential")
                for delta in (0.0, 0.5, 1.0)
            ]
        ),
        "nested": pd.DataFrame(
            [
                nested(n, icc, d, rng)
                for n in SIZES
                for icc in (0.0, 0.1, 0.3, 0.6)
                for d in (0.0, 0.8)
            ]
        ),
        "models": pd.DataFrame([models(n, icc, rng) for n in (13, 40) for icc in (0.0, 0.3)]),
    }
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(as_page(found), encoding="utf-8", newline="\n")
    return found


def as_page(tables: dict[str, pd.DataFrame]) -> str:
    return f"""# Are the intervals of effect sizes honest?

Coverage of 95% intervals over simulated studies with a known standardised difference `delta`
(binomial SE {sqrt(0.95 * 0.05 / REPEATS):.4f}). Made by `tests/simulation/test_groups_coverage.py`.

## Independent cases

Hedges' g with its noncentral-t interval and the probability of superiority with Newcombe's,
{REPEATS} studies a row: 13 cases are 6 against 7, 40 and 200 are halves. Exponential outcomes are
skewed (2) with the same variance in both groups; the noncentral-t interval assumes normal ones.

{_markdown(tables["independent"])}

## Members nested in families

Cluster-corrected g (Hedges 2007; intraclass correlation estimated, t with families - 2 degrees of
freedom), {NESTED_REPEATS} studies a row, families of 2 to 4 members in two groups. The last column
is the interval that counts members as if they were independent.

{_markdown(tables["nested"])}

## Differences of nested members

The mixed model's difference with Kenward and Roger's degrees of freedom and the least-squares
difference with CR2 standard errors, {MODEL_REPEATS} studies a row (binomial SE
{sqrt(0.95 * 0.05 / MODEL_REPEATS):.4f}), delta 0.5.

{_markdown(tables["models"])}
"""


def _markdown(table: pd.DataFrame) -> str:
    head = "| " + " | ".join(str(c) for c in table.columns) + " |"
    rule = "|" + "|".join("--:" if table[c].dtype != object else "---" for c in table.columns) + "|"
    rows = [
        "| " + " | ".join(_cell(name, row[name]) for name in table.columns) + " |"
        for _, row in table.iterrows()
    ]
    return "\n".join([head, rule, *rows])


def _cell(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if name in {"n", "families"}:
        return f"{int(value)}"
    return f"{value:.1f}" if name in {"icc", "delta"} else f"{value:.3f}"


def test_g_of_normal_outcomes_covers(tables):
    normal = tables["independent"].query("outcome == 'normal'")
    assert (normal["coverage_g"] - 0.95).abs().max() < MARGIN


def test_g_is_unbiased_for_normal_outcomes(tables):
    normal = tables["independent"].query("outcome == 'normal'")
    spread = np.sqrt(4.0 / normal["n"]) * 1.3  # SD of g at 13 cases, by its large-sample formula
    z = (normal["mean_g"] - normal["delta"]) / (spread / sqrt(REPEATS))
    assert z.abs().max() < 4.0


def test_superiority_covers_whatever_the_shape(tables):
    assert (tables["independent"]["coverage_superiority"] - 0.95).abs().max() < RANK_MARGIN


def test_cluster_corrected_g_covers_and_is_at_worst_wide(tables):
    coverage = tables["nested"]["coverage"]
    assert coverage.min() > 0.95 - MARGIN
    assert coverage.max() < 0.95 + MARGIN + CONSERVATIVE


def test_counting_members_does_not_cover(tables):
    strong = tables["nested"].query("icc == 0.6")
    assert strong["coverage_if_members_counted"].max() < 0.85


def test_model_based_differences_cover(tables):
    models = tables["models"]
    for test in ("mixed_model", "cluster_robust"):
        assert models[test].min() > 0.95 - MODEL_MARGIN, test
        assert models[test].max() < 0.95 + MODEL_MARGIN + CONSERVATIVE, test


@pytest.mark.parametrize("clustered", [False, True])
def test_permutation_p_is_uniform_under_the_null(clustered):
    rng = np.random.default_rng(11)
    options = {"cluster": "family"} if clustered else {}
    p_values = []
    for _ in range(N_PERMUTED):
        data = families(13, 0.5, 0.0, rng)
        if not clustered:
            data = data.drop_duplicates("family")
        comparison = compare_groups(data, outcomes="y", group="g", test="permutation", **options)
        p_values.append(comparison.comparisons[0].finding.p_value)
    # 1716 arrangements of 13: as good as continuous
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
