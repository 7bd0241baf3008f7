"""Is the mixed model's difference of two groups honest with few clusters, and is its g?

The table is kept in ``docs/coverage/mixed_difference.md``.
"""

from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.effect_sizes import cluster_corrected_g
from alliance_stats.groups import compare_groups
from tests.simulation.mixed_difference import Studies, fitted, model_g, studies

pytestmark = pytest.mark.slow

REPEATS = 4000
MEMBER_REPEATS = 1000  # the members' own g is computed study by study
CHECKED = 4  # studies of a row on which the grid is held to the package's fits
# neighbouring ratios on the grid lie 3% apart: what a fit between two of them can differ by
GRID = 0.02
DELTA = 0.5
# 4 binomial standard errors: one cell in 16,000 lies beyond by chance
MARGIN = 4.0 * sqrt(0.95 * 0.05 / REPEATS)
# Kenward and Roger's approximation itself, as measured here
APPROXIMATE = 0.005
# bias of g in SDs; its Monte Carlo error is below .01
UNBIASED = 0.025
SIZES = {
    "4 each": lambda m: [4] * (2 * m),
    "2 to 12": lambda m: [*_spread(m), *_spread(m)[::-1]],
    "1 to 30": lambda m: [1, 2, 4, 30] * (m // 2),
}
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "mixed_difference.md"


def _spread(m: int) -> list[int]:
    return np.resize([2, 3, 4, 12, 3, 2, 6, 3, 2, 4], m).tolist()


def one_row(sizes: str, m: int, icc: float, rng: np.random.Generator) -> dict[str, object]:
    drawn = studies(SIZES[sizes](m), m, icc=icc, delta=DELTA, n=REPEATS, rng=rng)
    fit = fitted(drawn)
    g = model_g(fit, fit["df"])
    hold_to_the_package(drawn, fit, g, rng)
    members = [_members_g(drawn, study, rng) for study in range(MEMBER_REPEATS)]
    found, hit = (np.array(column) for column in zip(*members, strict=True))

    def rejected(error: str, df: str) -> float:
        t = (fit["b"] - DELTA).abs() / fit[error]
        return float((2.0 * stats.t.sf(t, fit[df]) < 0.05).mean())

    return {
        "sizes": sizes,
        "m": m,
        "icc": icc,
        "at_zero": float((fit["ratio"] == 0.0).mean()),
        "type_1": rejected("se", "df"),
        "type_1_reduced": rejected("se_reduced", "df_reduced"),
        "median_df": float(fit["df"].median()),
        "g_model": g["g"].mean(),
        "rmse_model": sqrt(((g["g"] - DELTA) ** 2).mean()),
        "covers_model": ((g["g"] - DELTA).abs() <= g["half"]).mean(),
        "g_members": found.mean(),
        "rmse_members": sqrt(((found - DELTA) ** 2).mean()),
        "covers_members": hit.mean(),
    }


def _members_g(drawn: Studies, study: int, rng: np.random.Generator) -> tuple[float, bool]:
    data = drawn.members(study, rng)
    g = cluster_corrected_g(data["y"], (data["g"] == "b").to_numpy(int), data["family"])
    return g.estimate, g.conf_low <= DELTA <= g.conf_high


def hold_to_the_package(
    drawn: Studies, fit: pd.DataFrame, g: pd.DataFrame, rng: np.random.Generator
) -> None:
    for study in range(CHECKED):
        own = compare_groups(
            drawn.members(study, rng), outcomes="y", group="g", cluster="family"
        ).tidy()
        row = own.iloc[0]
        assert row["estimate"] == pytest.approx(fit["b"][study], abs=GRID)
        assert row["std_error"] == pytest.approx(fit["se"][study], rel=GRID)
        assert row["hedges_g"] == pytest.approx(g["g"][study], abs=GRID)
        if row["df"] > 2.0:  # below, the t quantile magnifies every difference
            width = row["hedges_g_high"] - row["hedges_g_low"]
            assert width == pytest.approx(2.0 * g["half"][study], rel=3.0 * GRID)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(31)
    found = pd.DataFrame(
        [
            one_row(sizes, m, icc, rng)
            for sizes in SIZES
            for m in (4, 6, 8, 10)
            for icc in (0.0, 0.05, 0.15, 0.3)
        ]
    )
    PAGE.write_text(as_page(found), encoding="utf-8", newline="\n")
    return found


def as_page(table: pd.DataFrame) -> str:
    test = ["sizes", "m", "icc", "at_zero", "median_df", "type_1", "type_1_reduced"]
    effect = ["sizes", "m", "icc", "g_model", "rmse_model", "covers_model"]
    effect += ["g_members", "rmse_members", "covers_members"]
    return f"""# The mixed model's difference of two groups, and its g

`y ~ group + (1 | family)`, {REPEATS} simulated studies a row of m families in each group, a true
difference of {DELTA} total SDs (binomial SE of a level of .05: {sqrt(0.05 * 0.95 / REPEATS):.4f}).
Made by `tests/simulation/test_groups_mixed_difference.py`. Families have 4 members each, 2 to 12,
or 1, 2, 4 and 30.

## Level of the test

`at_zero`: share of studies in which the variance between families is estimated as zero. `type_1`:
Kenward and Roger's test as `compare_groups` makes it, a variance at zero counted as estimated.
`type_1_reduced`: the same where such a fit is taken for one of independent members: with sizes
that are very unequal it rejects too often. The price is paid in the same rows: where sizes are very
unequal and families few, `median_df` falls below 3 and the test hardly ever rejects;
`test="permutation"` of whole families needs no degrees of freedom.

{_markdown(table[test])}

## Effect size

`model`: the model's difference over its total SD, the interval by the delta method with the
difference's df. `members`: difference of the members' means over their total SD (Hedges 2007;
{MEMBER_REPEATS} studies), as the tests that compare members' means show it.

{_markdown(table[effect])}
"""


def _markdown(table: pd.DataFrame) -> str:
    head = "| " + " | ".join(table.columns) + " |"
    rule = "|" + "|".join("---" if c == "sizes" else "--:" for c in table.columns) + "|"
    rows = [
        "| " + " | ".join(_cell(name, row[name]) for name in table.columns) + " |"
        for _, row in table.iterrows()
    ]
    return "\n".join([head, rule, *rows])


def _cell(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if name == "m":
        return f"{int(value)}"
    return (
        f"{value:.1f}"
        if name == "median_df"
        else f"{value:.2f}"
        if name == "icc"
        else f"{value:.3f}"
    )


def test_the_level_is_held_also_where_the_variance_is_estimated_as_zero(table):
    assert table["type_1"].max() < 0.05 + MARGIN + APPROXIMATE


def test_taking_members_for_independent_at_zero_rejects_too_often(table):
    assert table["type_1_reduced"].max() > 0.08


def test_g_of_the_model_is_unbiased_and_covers(table):
    assert (table["g_model"] - DELTA).abs().max() < UNBIASED
    assert table["covers_model"].min() > 0.95 - MARGIN - APPROXIMATE


def test_g_of_the_model_is_nearer_to_the_truth_where_sizes_differ_and_clusters_too(table):
    unequal = table.query("sizes != '4 each' and icc >= 0.15")
    assert (unequal["rmse_model"] < unequal["rmse_members"] + 0.02).all()
    assert (
        table.query("sizes == '1 to 30' and icc == 0.3")
        .eval("rmse_model < 0.85 * rmse_members")
        .all()
    )
