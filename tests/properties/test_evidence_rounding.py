"""Rounding, by brute force.

Exact numbers are drawn, every number that follows from them is computed by formulas written here
(not the package's), all are printed with one convention of rounding, and the row is checked:
nothing in it may be called not reproduced. Then one number is moved outside the feasible set that
its neighbours leave, and must always be called so.
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.consistency import consistency_check, recompute

MODES = {"half-up": ROUND_HALF_UP, "half-even": ROUND_HALF_EVEN, "truncated": ROUND_DOWN}
COUNTS = {"n", "n1", "n2", "df", "df1", "df2", "k", "k_studies", "n_effects", "n_total",
          "events", "events1", "events2", "items"}  # fmt: skip

Numbers = Mapping[str, float]


def two_sided(t: float, df: float = np.inf) -> float:
    return float(2.0 * stats.t.cdf(-abs(t), df))


def wald_on_df(draw: st.DrawFn) -> Numbers:
    b, se = draw(st.floats(-9, 9)), draw(st.floats(0.02, 4))
    df = draw(st.integers(1, 400))
    q = stats.t.ppf(0.975, df)
    return {
        "estimate": b, "std_error": se, "df": df, "statistic": b / se,
        "conf_low": b - q * se, "conf_high": b + q * se, "p_value": two_sided(b / se, df),
    }  # fmt: skip


def wald_normal(draw: st.DrawFn) -> Numbers:
    b, se = draw(st.floats(-9, 9)), draw(st.floats(0.02, 4))
    half = 1.959963984540054 * se
    return {
        "estimate": b, "std_error": se, "statistic": b / se, "conf_low": b - half,
        "conf_high": b + half, "p_value": two_sided(b / se), "wald": (b / se) ** 2,
    }  # fmt: skip


def correlation(draw: st.DrawFn) -> Numbers:
    r, n = draw(st.floats(-0.97, 0.97)), draw(st.integers(4, 900))
    t = r * np.sqrt((n - 2) / (1 - r**2))
    half = 1.959963984540054 / np.sqrt(n - 3)
    return {
        "r": r, "n": n, "t": t, "p_value": two_sided(t, n - 2),
        "conf_low": np.tanh(np.arctanh(r) - half), "conf_high": np.tanh(np.arctanh(r) + half),
    }  # fmt: skip


def pooled_correlation(draw: st.DrawFn) -> Numbers:
    z, se, effects = (
        draw(st.floats(-1.5, 1.5)),
        draw(st.floats(0.01, 0.3)),
        draw(st.integers(2, 400)),
    )
    half = stats.t.ppf(0.975, effects - 1) * se
    return {
        "r": np.tanh(z), "se_z": se, "n_effects": effects, "conf_low": np.tanh(z - half),
        "conf_high": np.tanh(z + half), "p_value": two_sided(z / se, effects - 1),
    }  # fmt: skip


def two_correlations(draw: st.DrawFn) -> Numbers:
    r1, r2 = draw(st.floats(-0.95, 0.95)), draw(st.floats(-0.95, 0.95))
    n1, n2 = draw(st.integers(5, 300)), draw(st.integers(5, 300))
    z = (np.arctanh(r1) - np.arctanh(r2)) / np.sqrt(1 / (n1 - 3) + 1 / (n2 - 3))
    return {"r1": r1, "r2": r2, "n1": n1, "n2": n2, "z": z, "p_value": two_sided(z)}


def dependent_correlations(draw: st.DrawFn) -> Numbers:
    loadings = np.array([[draw(st.floats(-1, 1)) for _ in range(2)] for _ in range(3)])
    sigma = loadings @ loadings.T + np.eye(3)
    scale = np.sqrt(np.diag(sigma))
    r = sigma / np.outer(scale, scale)
    n = draw(st.integers(5, 300))
    r12, r13, r23 = r[0, 1], r[0, 2], r[1, 2]
    below = 2 * np.linalg.det(r) * (n - 1) / (n - 3) + (r12 + r13) ** 2 / 4 * (1 - r23) ** 3
    t = (r12 - r13) * np.sqrt((n - 1) * (1 + r23) / below)
    return {"r12": r12, "r13": r13, "r23": r23, "n": n, "t": t, "p_value": two_sided(t, n - 3)}


def four_correlations(draw: st.DrawFn) -> Numbers:
    loadings = np.array([[draw(st.floats(-1, 1)) for _ in range(2)] for _ in range(4)])
    sigma = loadings @ loadings.T + np.eye(4)
    scale = np.sqrt(np.diag(sigma))
    r = sigma / np.outer(scale, scale)
    n, m = draw(st.integers(5, 300)), (r[0, 1] + r[2, 3]) / 2
    r13, r14, r23, r24 = r[0, 2], r[0, 3], r[1, 2], r[1, 3]
    shared = (
        (r13 - m * r23) * (r24 - r23 * m) + (r14 - r13 * m) * (r23 - m * r13)
        + (r13 - r14 * m) * (r24 - m * r14) + (r14 - m * r24) * (r23 - r24 * m)
    ) / (2 * (1 - m**2) ** 2)  # fmt: skip
    z = (np.arctanh(r[0, 1]) - np.arctanh(r[2, 3])) * np.sqrt((n - 3) / (2 - 2 * shared))
    return {
        "r12": r[0, 1], "r34": r[2, 3], "r13": r13, "r14": r14, "r23": r23, "r24": r24, "n": n,
        "z": z, "p_value": two_sided(z),
    }  # fmt: skip


def _groups(draw: st.DrawFn) -> tuple[float, float, float, float, int, int]:
    return (
        draw(st.floats(-50, 50)), draw(st.floats(0.1, 20)),
        draw(st.floats(-50, 50)), draw(st.floats(0.1, 20)),
        draw(st.integers(2, 120)), draw(st.integers(2, 120)),
    )  # fmt: skip


def pooled_means(draw: st.DrawFn) -> Numbers:
    m1, s1, m2, s2, n1, n2 = _groups(draw)
    df = n1 + n2 - 2
    sp = np.sqrt(((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / df)
    t = (m1 - m2) / (sp * np.sqrt(1 / n1 + 1 / n2))
    d = (m1 - m2) / sp
    return {
        "mean1": m1, "sd1": s1, "mean2": m2, "sd2": s2, "n1": n1, "n2": n2, "t": t, "df": df,
        "p_value": two_sided(t, df), "d": d, "g": d * (1 - 3 / (4 * df - 1)),
    }  # fmt: skip


def welch_means(draw: st.DrawFn) -> Numbers:
    m1, s1, m2, s2, n1, n2 = _groups(draw)
    a, b = s1**2 / n1, s2**2 / n2
    t, df = (m1 - m2) / np.sqrt(a + b), (a + b) ** 2 / (a**2 / (n1 - 1) + b**2 / (n2 - 1))
    return {
        "mean1": m1, "sd1": s1, "mean2": m2, "sd2": s2, "n1": n1, "n2": n2, "t": t,
        "welch_df": df, "p_value": two_sided(t, df),
    }  # fmt: skip


def paired_means(draw: st.DrawFn) -> Numbers:
    m1, s1, m2, s2, n, _ = _groups(draw)
    r = draw(st.floats(-0.99, 0.99))
    t = (m1 - m2) * np.sqrt(n) / np.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2)
    return {
        "mean1": m1, "sd1": s1, "mean2": m2, "sd2": s2, "n": n, "r_paired": r, "t": t,
        "p_value": two_sided(t, n - 1),
    }  # fmt: skip


def f_test(draw: st.DrawFn) -> Numbers:
    f, df1, df2 = draw(st.floats(0, 40)), draw(st.integers(1, 30)), draw(st.integers(1, 300))
    return {"f": f, "df1": df1, "df2": df2, "p_value": float(stats.f.sf(f, df1, df2))}


def chi_squared(draw: st.DrawFn) -> Numbers:
    x, df = draw(st.floats(0, 60)), draw(st.integers(1, 40))
    return {"chi2": x, "df": df, "p_value": float(stats.chi2.sf(x, df))}


def regression(draw: st.DrawFn) -> Numbers:
    r2, k = draw(st.floats(0.001, 0.98)), draw(st.integers(1, 12))
    n = draw(st.integers(k + 2, 400))
    f = (r2 / k) / ((1 - r2) / (n - k - 1))
    return {
        "r_squared": r2, "k": k, "n": n, "f": f, "df1": k, "df2": n - k - 1,
        "p_value": float(stats.f.sf(f, k, n - k - 1)),
    }  # fmt: skip


def odds(draw: st.DrawFn) -> Numbers:
    b, se = draw(st.floats(-3, 3)), draw(st.floats(0.05, 1.5))
    half = 1.959963984540054 * se
    return {
        "estimate": b, "odds_ratio": np.exp(b), "conf_low": np.exp(b - half),
        "conf_high": np.exp(b + half), "std_error": se, "p_value": two_sided(b / se),
    }  # fmt: skip


def hazard(draw: st.DrawFn) -> Numbers:
    b, se = draw(st.floats(-3, 3)), draw(st.floats(0.05, 1.5))
    half = 1.959963984540054 * se
    wald = (b / se) ** 2
    return {
        "hazard_ratio": np.exp(b), "conf_low": np.exp(b - half), "conf_high": np.exp(b + half),
        "std_error": se, "wald": wald, "p_value": float(stats.chi2.sf(wald, 1)),
    }  # fmt: skip


def conversions(draw: st.DrawFn) -> Numbers:
    r = draw(st.floats(-0.9, 0.9))
    d = 2 * r / np.sqrt(1 - r**2)
    return {"r": r, "d": d, "odds_ratio": np.exp(d * np.pi / np.sqrt(3))}


def whole_scores(draw: st.DrawFn) -> Numbers:
    n, items = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    total = draw(st.integers(-3 * n * items, 7 * n * items))
    return {"n": n, "items": items, "mean": total / (n * items)}


def shares(draw: st.DrawFn) -> Numbers:
    n1, n2 = draw(st.integers(2, 99)), draw(st.integers(2, 99))
    a, c = draw(st.integers(1, n1 - 1)), draw(st.integers(1, n2 - 1))
    table = [[a, n1 - a], [c, n2 - c]]
    chi2 = float(stats.chi2_contingency(table, correction=draw(st.booleans())).statistic)
    return {
        "events1": a, "n1": n1, "events2": c, "n2": n2, "chi2": chi2, "df": 1,
        "odds_ratio": a * (n2 - c) / ((n1 - a) * c), "p_value": float(stats.chi2.sf(chi2, 1)),
        "events": a, "n": n1, "proportion": a / n1,
    }  # fmt: skip


def heterogeneity(draw: st.DrawFn) -> Numbers:
    k, q = draw(st.integers(2, 90)), draw(st.floats(0.1, 400))
    return {
        "k_studies": k, "q": q, "i_squared": max(0.0, (q - k + 1) / q),
        "p_value": float(stats.chi2.sf(q, k - 1)),
    }  # fmt: skip


CASES: tuple[Callable[[st.DrawFn], Numbers], ...] = (
    wald_on_df, wald_normal, correlation, pooled_correlation, two_correlations,
    dependent_correlations, four_correlations, pooled_means, welch_means, paired_means, f_test,
    chi_squared, regression, odds, hazard, conversions, whole_scores, shares, heterogeneity,
)  # fmt: skip


def examples(case: Callable[[st.DrawFn], Numbers], usual: int) -> int:
    """Enclosing thousands of cells for each number takes its time: fewer of those."""
    return usual // 4 if case in (dependent_correlations, four_correlations) else usual


def as_printed(value: float, decimals: int, mode: str) -> str:
    """Round the exact binary value, as exact arithmetic would."""
    return f"{Decimal(float(value)).quantize(Decimal(1).scaleb(-decimals), MODES[mode]):f}"


@st.composite
def printed_rows(draw: st.DrawFn, case: Callable[[st.DrawFn], Numbers]) -> dict[str, str]:
    numbers = case(draw)
    mode = draw(st.sampled_from(sorted(MODES)))
    row = {}
    for name, value in numbers.items():
        if name in COUNTS:
            row[name] = str(int(value))
        elif name == "p_value" and value < 0.001 and draw(st.booleans()):
            row[name] = "<.001"
        elif name == "welch_df":
            row["df"] = as_printed(value, draw(st.integers(1, 3)), mode)
        else:
            row[name] = as_printed(value, draw(st.integers(1, 4)), mode)
    return row


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_number_that_follows_is_never_called_not_reproduced(case) -> None:
    @settings(max_examples=examples(case, 40), deadline=None)
    @given(printed_rows(case))
    def check(row: dict[str, str]) -> None:
        verdicts = consistency_check(pd.DataFrame([row])).tidy()
        wrong = verdicts[verdicts["verdict"] == "not reproduced"]
        assert wrong.empty, (row, wrong[["quantity", "relation", "reason"]].to_dict("records"))

    check()


# How far outside, as a share of what lies between: far enough that double arithmetic is no matter.
OUTSIDE = 1e-6


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_number_moved_outside_its_feasible_set_is_always_called_so(case) -> None:
    @settings(max_examples=examples(case, 25), deadline=None)
    @given(printed_rows(case), st.data())
    def check(row: dict[str, str], data: st.DataObject) -> None:
        before = consistency_check(pd.DataFrame([row]), tails="two").tidy()
        checkable = before[(before["verdict"] == "reproduced") & ~before["quantity"].isin(COUNTS)]
        if checkable.empty:
            return
        name = data.draw(st.sampled_from(sorted(checkable["quantity"])))
        relation = checkable.set_index("quantity").loc[name, "relation"]
        text = outside(row, name, relation, upwards=data.draw(st.booleans()))
        if text is None:
            return
        moved = row | {name: text}
        named = pd.DataFrame([moved | {"relation": relation}])
        after = consistency_check(named, tails="two").tidy().set_index("quantity").loc[name]
        # only another reading of the row (df that were rounded), or what the row does not say (an
        # adjustment), can let it hold, and is named
        told = after["verdict"] in ("not reproduced", "holds only if")
        assert told or "(read: " in after["reason"], moved
        # with every relation admitted the number is still not reproduced, unless an alternative
        # for the same numbers (pooled for Welch, normal for t) yields it
        every = consistency_check(pd.DataFrame([moved]), tails="two").tidy()
        own = every.set_index("quantity").loc[name]
        assert (
            own["verdict"] in ("not reproduced", "holds only if")
            or own["relation"] != relation
            or "(read: " in own["reason"]
            # one finding: what fails for this number is told of another one of the row
            or (every["verdict"] == "not reproduced").any()
        )

    check()


def outside(row: dict[str, str], name: str, relation: str, *, upwards: bool) -> str | None:
    """Return a number just outside what any convention allows; none if all numbers are allowed."""
    inputs = {key: text for key, text in row.items() if key != "relation"}
    try:
        sets = [recompute(relation, inputs, rounding=mode) for mode in ("nearest", "truncated")]
    except NotIdentifiedError:  # a zero that was cut may be of either sign: it allows any number
        return None
    low, high = min(s.low for s in sets), max(s.high for s in sets)
    if relation.endswith("grim"):
        step = int(row["n"]) * int(row.get("items", "1"))
        return f"{high + 0.5 / step:.9f}" if step > 1 else f"{high + 0.5:.1f}"
    upwards = upwards or not np.isfinite(low)
    if not np.isfinite(high if upwards else low):
        upwards = not upwards
    end = high if upwards else low
    if not np.isfinite(end):
        return None
    # the printed text itself stands for an interval of one unit: keep that outside too
    unit = Decimal(1).scaleb(-9)
    step = Decimal(OUTSIDE * max(1.0, abs(end), high - low if np.isfinite(high - low) else 1.0))
    moved = Decimal(end) + (step + unit if upwards else -step - unit)
    return f"{moved.quantize(unit):f}"
