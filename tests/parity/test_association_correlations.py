"""Correlations agree with base R and psych."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from alliance_stats.association import correlation_difference, correlations
from alliance_stats.association.correlation_estimates import _pearson_filon
from tests.parity.reference import load_reference

REFERENCE = load_reference("association_correlations")
DATA = pd.DataFrame(REFERENCE["data"])
EXACT = 1e-10  # both sides are closed forms in doubles
KENDALL_P = 1e-10
PSYCH_Z = 2e-2  # psych's dependent test does not pool the two r, ours does


@pytest.mark.parametrize("case", REFERENCE["plain"], ids=lambda c: f"{c['method']}-{c['pair']}")
def test_as_cor_test(case: dict[str, Any]) -> None:
    row = correlations(DATA, case["pair"], method=case["method"]).tidy().iloc[0]
    assert row["estimate"] == pytest.approx(case["r"], rel=EXACT)
    if case["method"] == "pearson":
        assert row["statistic"] == pytest.approx(case["statistic"], rel=EXACT)
        assert row["p_value"] == pytest.approx(case["p"], rel=1e-8)  # a tail: few digits less
        assert row["conf_low"] == pytest.approx(case["low"], rel=EXACT)
        assert row["conf_high"] == pytest.approx(case["high"], rel=EXACT)
    if case["method"] == "spearman":  # R's p without ties is Edgeworth's; the t test is ours
        assert row["p_value"] == pytest.approx(case["p"], rel=1e-6)
    if case["method"] == "kendall":
        assert row["p_value"] == pytest.approx(case["p"], rel=KENDALL_P)


@pytest.mark.parametrize("case", REFERENCE["partial"], ids=lambda c: f"{c['method']}-{c['pair']}")
def test_partial_correlations_are_those_of_residuals(case: dict[str, Any]) -> None:
    found = correlations(DATA, case["pair"], method=case["method"], partial="e")
    row = found.tidy().iloc[0]
    assert row["estimate"] == pytest.approx(case["r"], rel=EXACT)
    assert row["statistic"] == pytest.approx(case["t"], rel=EXACT)
    assert row["p_value"] == pytest.approx(case["p"], rel=1e-8)


def test_within_units_is_the_test_of_an_analysis_of_covariance() -> None:
    data = DATA.assign(h=np.repeat(np.arange(12), 5))
    row = correlations(data, ["b", "c"], within="h").tidy().iloc[0]
    assert row["statistic"] == pytest.approx(REFERENCE["within"]["t"], rel=EXACT)
    assert row["df"] == REFERENCE["within"]["df"]
    assert row["p_value"] == pytest.approx(REFERENCE["within"]["p"], rel=1e-8)


def test_differences_as_psych() -> None:
    row = correlation_difference(DATA, ("a", "b"), group="g").tidy().iloc[0]
    assert abs(row["statistic"]) == pytest.approx(REFERENCE["independent"]["z"], rel=EXACT)
    row = correlation_difference(DATA, ("a", "b"), ("c", "e")).tidy().iloc[0]
    assert abs(row["statistic"]) == pytest.approx(abs(REFERENCE["far"]["z"]), rel=PSYCH_Z)


@pytest.mark.parametrize(
    ("first", "second"), [((0, 1), (2, 3)), ((0, 1), (0, 2)), ((1, 2), (3, 2))]
)
def test_covariance_of_two_correlations_is_that_of_their_influence(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    R = DATA[["a", "b", "c", "e"]].corr().to_numpy()

    def fourth(j: int, k: int, h: int, m: int) -> float:  # of a normal distribution
        return float(R[j, k] * R[h, m] + R[j, h] * R[k, m] + R[j, m] * R[k, h])

    def influence(pair: tuple[int, int]) -> list[tuple[float, int, int]]:
        j, k = pair
        return [(1.0, j, k), (-R[j, k] / 2.0, j, j), (-R[j, k] / 2.0, k, k)]

    expected = sum(
        a * b * fourth(*p, *q) for a, *p in influence(first) for b, *q in influence(second)
    )
    assert _pearson_filon(R, first, second) == pytest.approx(expected, rel=EXACT)
