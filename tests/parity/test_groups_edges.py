"""Tests and indices at their edges against R: many groups, large groups, unused categories."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.change import classify_change
from alliance_stats.effect_sizes import odds_ratio
from alliance_stats.groups import coder_agreement, compare_groups, table_one
from alliance_stats.groups.comparing.count_tests import fisher_p, freeman_halton_p, table_test
from alliance_stats.groups.comparing.finding import TestOptions
from tests.parity.reference import load_reference

CLOSED_FORM = 1e-7  # same formula on both sides
LARGE = 1e-6  # R's uniroot stops at odds that are good to 1e-7 and log factorials of 1e5 to 1e-9
R_ROOT = 1.3e-4  # R finds the odds, or one over them, by uniroot to within 1.22e-4

REFERENCE = load_reference("groups_edges")


@pytest.mark.parametrize("reference", REFERENCE["tables"], ids=["2x8", "2x6", "3x4"])
def test_tables_of_many_groups_are_fisher_test(reference):
    table = np.array(reference["t"])
    found = freeman_halton_p(table)
    assert found is not None
    assert found[0] == pytest.approx(reference["p"], rel=CLOSED_FORM)
    turned = freeman_halton_p(table.T[::-1])
    assert turned == pytest.approx(found, rel=CLOSED_FORM)


def test_drawn_tables_agree_with_the_exact_test_within_their_own_error(monkeypatch):
    from alliance_stats.groups.comparing import count_tests

    monkeypatch.setattr(count_tests, "_STEPS", 0)
    m = 20_000
    for reference in REFERENCE["tables"]:
        table = np.array(reference["t"])
        drawn = table_test(table, TestOptions(n_resamples=m, seed=3))
        error = np.sqrt(reference["p"] * (1 - reference["p"]) / m)
        assert drawn.p_value == pytest.approx(reference["p"], abs=4 * error)
        sparse = count_tests._drawn_cases
        monkeypatch.setattr(count_tests, "_drawn_cells", sparse)
        by_cases = table_test(table, TestOptions(n_resamples=m, seed=3))
        assert by_cases.p_value == pytest.approx(reference["p"], abs=4 * error)
        monkeypatch.undo()
        monkeypatch.setattr(count_tests, "_STEPS", 0)


@pytest.mark.parametrize("reference", REFERENCE["large"], ids=["565", "rare", "200,000"])
def test_large_groups_are_fisher_test(reference):
    counts = [reference[name] for name in ("a", "n_1", "b", "n_2")]
    p_value, _ = fisher_p(*counts)
    assert p_value == pytest.approx(reference["p"], rel=LARGE)
    odds = odds_ratio(*counts)
    assert odds.estimate == pytest.approx(reference["odds"], abs=R_ROOT)
    assert odds.conf_low == pytest.approx(reference["low"], abs=R_ROOT)
    assert odds.conf_high == pytest.approx(reference["high"], abs=R_ROOT)


def test_limits_of_the_odds_ratio_have_half_alpha_beyond_them():
    from scipy import stats

    reference = REFERENCE["large"][1]
    counts = [reference[name] for name in ("a", "n_1", "b", "n_2")]
    a, n_1, b, n_2 = counts
    odds = odds_ratio(*counts)
    at_high = stats.nchypergeom_fisher(n_1 + n_2, n_1, a + b, odds.conf_high)
    at_low = stats.nchypergeom_fisher(n_1 + n_2, n_1, a + b, odds.conf_low)
    assert at_high.cdf(a) == pytest.approx(0.025, rel=CLOSED_FORM)
    assert at_low.sf(a - 1) == pytest.approx(0.025, rel=CLOSED_FORM)


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_weights_of_kappa_know_the_declared_category_that_nobody_used(weights):
    coders = REFERENCE["coders"]
    kind = pd.CategoricalDtype([1, 2, 3, 4, 5], ordered=True)
    data = pd.DataFrame({name: pd.Series(coders[name]).astype(kind) for name in ("a", "b")})
    tidy = coder_agreement(data, coders=["a", "b"], measurement="ordinal", n_resamples=0).tidy()
    row = tidy.set_index("term").loc[f"Cohen kappa, {weights} weights"]
    assert row["estimate"] == pytest.approx(coders[weights]["estimate"], rel=CLOSED_FORM)
    half = 1.959963984540054 * coders[weights]["std_error"]
    assert row["conf_low"] == pytest.approx(row["estimate"] - half, rel=CLOSED_FORM)


@pytest.mark.parametrize("case", ["four", "three"])
def test_the_standardised_difference_of_categories_is_its_definition(case):
    reference = REFERENCE["smd"][case]
    data = pd.DataFrame({"x": reference["x"], "g": reference["g"]})
    smd = table_one(data, variables="x", group="g").tidy()["smd"]
    assert smd.to_numpy() == pytest.approx(reference["smd"], rel=CLOSED_FORM)


def test_recovered_by_hageman_and_arrindell_is_by_both_their_indices():
    reference = REFERENCE["change"]
    words = classify_change(
        reference["pre"],
        reference["post"],
        reliability=reference["reliability"],
        better="lower",
        cut=reference["cut"],
        method="hageman-arrindell",
    )
    assert words.tolist() == reference["words"]
    assert {"recovered", "improved", "unchanged"} <= set(words)


def test_eight_groups_of_ten_are_compared_exactly_and_at_once():
    ones = np.array(REFERENCE["tables"][0]["t"])[0]
    y = np.concatenate([np.repeat([1, 0], [k, 10 - k]) for k in ones])
    data = pd.DataFrame({"g": np.repeat(list("abcdefgh"), 10), "y": y})
    row = compare_groups(data, outcomes="y", group="g").tidy().iloc[0]
    assert row["p_value"] == pytest.approx(REFERENCE["tables"][0]["p"], rel=CLOSED_FORM)
    assert row["method"] == "Fisher exact test (Freeman-Halton)"
