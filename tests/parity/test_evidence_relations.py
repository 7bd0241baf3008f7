"""Each relation at exact numbers, against R (base, psych, metafor)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from alliance_stats.evidence.printed.catalogue import CATALOGUE
from alliance_stats.evidence.printed.relation import Setting, point
from tests.parity.reference import load_reference

# Both sides evaluate the same closed forms in double precision; R's tail functions and scipy's
# agree to about 1e-13 relative, sums over made samples in R to about 1e-12.
CLOSED_FORM = 1e-10

REFERENCE = load_reference("evidence_relations")


def value(relation: str, numbers: dict[str, float], *, tails: str = "two") -> float:
    """Return a relation's target at exact inputs: its feasible set must be one number."""
    chosen = CATALOGUE[relation]
    box = {name: point(float(numbers[name])) for name in chosen.inputs}
    found = chosen.image(box, Setting(tails=tails))
    assert found.low == pytest.approx(found.high, rel=1e-12)
    return found.low


def each_row(columns: dict[str, list[float]]) -> list[dict[str, float]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def agrees(relation: str, rows: Sequence[dict[str, float]], column: str, **options: Any) -> None:
    found = [value(relation, row, **options) for row in rows]
    np.testing.assert_allclose(found, [row[column] for row in rows], rtol=CLOSED_FORM)


@pytest.mark.parametrize(
    ("table", "relation", "column", "tails"),
    [
        ("t", "p_t", "two", "two"),
        ("t", "p_t", "one", "one"),
        ("z", "p_z", "two", "two"),
        ("f", "p_f", "p", "two"),
        ("chi2", "p_chi2", "p", "two"),
    ],
)
def test_statistics_to_p(table: str, relation: str, column: str, tails: str) -> None:
    agrees(relation, each_row(REFERENCE["tests"][table]), column, tails=tails)


def test_wald_chi_squared_is_on_one_df_unless_printed_otherwise() -> None:
    rows = [row for row in each_row(REFERENCE["tests"]["chi2"]) if row["df"] == 1]
    agrees("p_wald", [{**row, "wald": row["chi2"]} for row in rows], "p")


@pytest.mark.parametrize(
    ("table", "relation", "column"),
    [
        ("correlations", "t_r", "t"),
        ("correlations", "p_r", "p"),
        ("correlations", "conf_low_r", "low"),
        ("correlations", "conf_high_r", "high"),
        ("two_r", "z_two_r", "z"),
        ("two_r", "p_two_r", "p"),
        ("dependent", "t_williams", "t"),
        ("dependent", "p_williams", "p"),
        ("four", "z_steiger", "z"),
        ("four", "p_steiger", "p"),
        ("means", "t_welch", "welch"),
        ("means", "p_welch", "welch_p"),
        ("means", "t_pooled", "pooled"),
        ("means", "p_pooled", "pooled_p"),
        ("means", "d_pooled", "d"),
        ("means", "g_means_exact", "g"),
        ("means", "g_d_exact", "g"),
        ("paired", "t_paired", "t"),
        ("paired", "p_paired", "p"),
        ("conversions", "d_r", "d"),
        ("conversions", "r_d", "r"),
        ("conversions", "odds_ratio_d", "odds_ratio"),
        ("conversions", "d_odds_ratio", "d"),
        ("tables", "odds_ratio_counts", "odds_ratio"),
        ("tables", "chi2_counts", "chi2"),
        ("tables", "chi2_counts_yates", "yates"),
        ("tables", "chi2_counts_ratio", "ratio"),
        ("tables", "p_counts", "chi2_p"),
        ("tables", "p_counts_yates", "yates_p"),
        ("tables", "p_counts_fisher", "fisher_p"),
        ("totals", "mean_total", "mean"),
        ("totals", "sd_total", "sd"),
        ("one_mean", "se_mean", "std_error"),
        ("one_mean", "conf_low_mean_t_sd", "low"),
        ("one_mean", "conf_high_mean_t_sd", "high"),
        ("heterogeneity", "i_squared", "i_squared"),
        ("heterogeneity", "p_q", "p"),
    ],
)
def test_closed_forms(table: str, relation: str, column: str) -> None:
    agrees(relation, each_row(REFERENCE[table]), column)


def test_the_p_of_the_other_tail() -> None:
    agrees("p_t", each_row(REFERENCE["greater"]), "p", tails="other")


@pytest.mark.parametrize("law", ["exact", "wilson"])
def test_limits_of_a_proportion(law: str) -> None:
    rows = [
        {**row, "proportion": row["events"] / row["n"]} for row in each_row(REFERENCE["shares"])
    ]
    for end in ("low", "high"):
        found = [value(f"conf_{end}_share_{law}", row) for row in rows]
        expected = [row[f"{law}_{end}"] for row in rows]
        np.testing.assert_allclose(found, expected, rtol=CLOSED_FORM, atol=CLOSED_FORM)


def test_f_and_p_of_r_squared_on_printed_df() -> None:
    fit = REFERENCE["regression"]
    row = {"r_squared": fit["r_squared"], "df1": fit["k"], "df2": fit["df"], "f": fit["f"]}
    agrees("f_r_squared_df", [row], "f")
    agrees("r_squared_f", [row], "r_squared")
    agrees("p_r_squared_df", [row | {"p": fit["p"]}], "p")


def test_welch_df() -> None:
    rows = [{**row, "t": row["welch"]} for row in each_row(REFERENCE["means"])]
    agrees("df_welch", rows, "welch_df")


def test_t_and_r_with_their_df() -> None:
    rows = [{**row, "df": row["n"] - 2} for row in each_row(REFERENCE["correlations"])]
    agrees("r_t", rows, "r")


def test_a_regression_of_mtcars() -> None:
    fit = REFERENCE["regression"]
    whole = {name: fit[name] for name in ("r_squared", "k", "n", "f", "p")}
    agrees("f_r_squared", [whole], "f")
    agrees("p_r_squared", [whole], "p")
    columns = ("estimate", "std_error", "t", "p_value", "conf_low", "conf_high")
    rows = [
        {**dict(zip(columns, row, strict=True)), "df": fit["df"]}
        for row in zip(*(fit[name] for name in columns), strict=True)
    ]
    agrees("t_wald", rows, "t")
    agrees("p_wald_t", rows, "p_value")
    agrees("p_interval_t", rows, "p_value")
    agrees("conf_low_t", rows, "conf_low")
    agrees("conf_high_t", rows, "conf_high")
    agrees("se_t_interval", rows, "std_error")
    agrees("midpoint_estimate", rows, "estimate")
