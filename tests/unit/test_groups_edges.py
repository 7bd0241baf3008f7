"""Groups at their edges: hundreds of groups, empty outcomes, small numbers, any order of rows."""

import math
import time

import numpy as np
import pandas as pd
import pytest

from alliance_stats.change import ChangeReference, classify_change, least_reliable_change
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.groups import (
    classify,
    classify_many,
    coder_agreement,
    compare_groups,
    compare_themes,
    cut_point,
    reliable_change,
    table_one,
    theme_transitions,
)
from alliance_stats.sentences import report

EXACT = 1e-12  # the same arithmetic in doubles
AT_ONCE = 60.0  # seconds: the slowest takes two on an idle machine, never answering took hours


def binary(groups, each, seed=1):
    rng = np.random.default_rng(seed)
    labels = np.repeat([f"g{i:03d}" for i in range(groups)], each)
    return pd.DataFrame({"g": labels, "y": (rng.random(labels.size) < 0.4) * 1})


@pytest.mark.parametrize(("groups", "each"), [(8, 200), (300, 4), (3, 30_000)])
def test_a_binary_outcome_of_many_groups_is_tested_by_drawn_tables(groups, each):
    data, start = binary(groups, each), time.monotonic()
    found = compare_groups(data, outcomes="y", group="g")
    row = found.tidy().iloc[0]
    assert row["method"] == "Fisher test (Freeman-Halton, Monte Carlo, 9,999 tables, seed 20)"
    assert 0.0 < row["p_value"] <= 1.0
    assert row["p_smallest"] == pytest.approx(1e-4, rel=EXACT)
    assert "Monte Carlo" in found.summary()
    again = compare_groups(data, outcomes="y", group="g", seed=5, n_resamples=999).tidy().iloc[0]
    assert again["method"].endswith("999 tables, seed 5)")
    given = compare_groups(data, outcomes="y", group="g", seed=np.random.default_rng(5))
    assert given.tidy()["method"].item().endswith("the given generator)")
    themes = compare_themes(data, themes="y", group="g")
    assert themes.tidy()["p_value"].item() == row["p_value"]
    assert time.monotonic() - start < AT_ONCE


@pytest.mark.parametrize("each", [565, 100_000])
def test_large_groups_have_a_summary_and_no_square_of_themselves(each):
    found = compare_groups(binary(2, each), outcomes="y", group="g")
    row = found.tidy().iloc[0]
    assert row["odds_ratio_low"] < row["odds_ratio"] < row["odds_ratio_high"]
    assert "smallest p" not in found.summary()  # it limits nobody


def test_boschloos_test_says_what_it_would_have_to_run_through():
    with pytest.raises(NotIdentifiedError, match="4,004,001 tables.*test='fisher'"):
        compare_groups(binary(2, 2000), outcomes="y", group="g", test="boschloo")


def test_transitions_between_hundreds_of_states_are_counted_and_tested():
    rng, start = np.random.default_rng(3), time.monotonic()
    n = 800
    data = pd.DataFrame(
        {
            "g": rng.integers(0, 150, n).astype(str),
            "early": (rng.random(n) < 0.5) * 1,
            "later": [f"state {i}" for i in rng.integers(0, 200, n)],
        }
    )
    found = theme_transitions(data, early="early", later="later", group="g")
    assert found.tidy()["count"].sum() == n
    tests = found.glance()
    assert tests["method"].str.contains("Monte Carlo").all()
    seeded = theme_transitions(
        data, early="early", later="later", group="g", n_resamples=99, seed=4
    )
    assert seeded.glance()["p_smallest"].tolist() == pytest.approx([0.01, 0.01], rel=EXACT)
    assert time.monotonic() - start < AT_ONCE


def test_twenty_later_states_are_those_combinations_that_occur():
    rng = np.random.default_rng(3)
    states = {f"s{i}": f"s{i}" for i in range(20)}
    data = pd.DataFrame((rng.random((40, 20)) < 0.2) * 1, columns=list(states))
    data = data.assign(g=["a", "b"] * 20, e=1)
    found = theme_transitions(data, early="e", later=states, group="g")
    patterns = data[list(states)].drop_duplicates()
    assert len(found.states) == len(patterns)
    assert found.counts.sum() == 40


def test_one_empty_or_constant_outcome_does_not_take_the_others_along():
    data = pd.DataFrame(
        {
            "g": list("aaaabbbb"),
            "ok": [1.0, 2, 3, 4, 2, 3, 4, 6],
            "same": 3.0,
            "none": np.nan,
            "apart": [1.0] * 4 + [2.0] * 4,
        }
    )
    found = compare_groups(data, outcomes=["same", "ok", "none", "apart"], group="g")
    alone = compare_groups(data, outcomes="ok", group="g").tidy()
    tidy = found.tidy().set_index("outcome")
    assert tidy.loc["ok", "p_value"] == alone["p_value"].item()
    assert tidy.loc["ok", "p_holm"] == alone["p_value"].item()
    assert tidy["p_value"].isna().tolist() == [True, False, True, True]
    assert tidy.loc["same", "note"] == "all 8 values are 3: described, not tested"
    assert tidy.loc["none", "note"] == "no complete case: not tested"
    assert tidy.loc["apart", "note"].startswith("described, not tested. Outcome 'apart' does not")
    assert tidy.loc["apart", "estimate"] == -1.0
    lines = [line.split() for line in found.summary().splitlines()]
    assert ["none", "a", "0", "4", "–", "–"] in lines
    for name, error in (("same", DataError), ("none", DataError), ("apart", NotIdentifiedError)):
        with pytest.raises(error, match=f"'{name}'"):
            compare_groups(data, outcomes=name, group="g")


def test_pairs_of_groups_that_are_all_alike_are_not_tested():
    data = pd.DataFrame({"g": np.repeat(list("abc"), 6), "y": [0] * 12 + [1] * 6, "still": 1.0})
    found = compare_groups(data, outcomes=["y", "still"], group="g")
    pairs = found.pairwise().set_index("contrast")
    assert pairs.loc["a - b", "method"] == "not tested (all alike)"
    assert math.isnan(pairs.loc["a - b", "p_value"])
    assert pairs.loc["a - c", "p_holm"] == pytest.approx(2 * pairs.loc["a - c", "p_value"])
    assert set(pairs["outcome"]) == {"y"}


def test_true_false_and_none_are_a_binary_outcome():
    values = [True, False, None, True, False, False, True, True]
    data = pd.DataFrame({"g": list("aaaabbbb"), "y": pd.Series(values, dtype=object)})
    plain = data.assign(y=pd.Series([1.0, 0, np.nan, 1, 0, 0, 1, 1]))
    one = compare_groups(data, outcomes="y", group="g").tidy()
    two = compare_groups(plain, outcomes="y", group="g").tidy()
    pd.testing.assert_frame_equal(one, two)


def test_numbers_of_type_object_are_numbers_in_table_one():
    data = pd.DataFrame({"g": list("aaabbb"), "x": pd.Series([1, 2, 3, 2, None, 5], dtype=object)})
    tidy = table_one(data, variables="x", group="g").tidy()
    assert tidy["kind"].tolist() == ["continuous", "continuous"]
    assert tidy["mean"].tolist() == [2.0, 3.5]


def test_the_standardised_difference_of_three_categories_is_yang_and_daltons():
    # shares .5, .3, .2 and .2, .3, .5: d' [(S1 + S2) / 2]^-1 d over the first two categories
    data = pd.DataFrame(
        {
            "kind": ["a"] * 5 + ["b"] * 3 + ["c"] * 2 + ["a"] * 2 + ["b"] * 3 + ["c"] * 5,
            "g": ["x"] * 10 + ["y"] * 10,
        }
    )
    first, second = np.array([0.5, 0.3]), np.array([0.2, 0.3])
    spread = sum(np.diag(p) - np.outer(p, p) for p in (first, second)) / 2.0
    expected = np.sqrt((first - second) @ np.linalg.solve(spread, first - second))
    smd = table_one(data, variables="kind", group="g").tidy()["smd"].iloc[0]
    assert smd == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e5])
def test_the_standardised_difference_does_not_depend_on_the_unit(scale):
    rng = np.random.default_rng(4)
    y = np.r_[rng.normal(0, 1, 30), rng.normal(0.2, 1, 30)]
    data = pd.DataFrame({"g": ["a"] * 30 + ["b"] * 30, "y": y * scale})
    x, z = y[:30], y[30:]
    expected = abs(x.mean() - z.mean()) / math.sqrt((x.var(ddof=1) + z.var(ddof=1)) / 2)
    smd = table_one(data, variables="y", group="g").tidy()["smd"].iloc[0]
    assert smd == pytest.approx(expected, rel=1e-9)


def test_small_numbers_are_printed_with_the_decimals_that_they_need():
    y = np.r_[np.arange(10), np.arange(10) + 3] * 1e-4
    data = pd.DataFrame({"g": ["a"] * 10 + ["b"] * 10, "y": y})
    found = compare_groups(data, outcomes="y", group="g")
    lines = [line.split() for line in found.summary().splitlines()]
    assert ["y", "a", "10", "0.00045", "0.00030"] in lines
    assert "y, a: n = 10, M = 0.00045, SD = 0.00030" in report(found)
    assert "−0.00030, 95% CI [−0.00058, −0.00002]" in report(found)
    large = compare_groups(data.assign(y=y * 1e9), outcomes="y", group="g")
    assert "y, a: n = 10, M = 450,000, SD = 302,765" in report(large)
    assert "0.00045 (0.00030)" in table_one(data, variables="y", group="g").summary()


def test_a_change_of_exactly_the_critical_value_is_not_reliable_wherever_it_begins():
    least = least_reliable_change(sd=7.5, reliability=0.5)
    reference = ChangeReference(sd_before=7.5)
    begins = np.array([0.0, 20.0, 40.0, 1000.3])
    for sign, word in ((1.0, "improved"), (-1.0, "deteriorated")):
        for factor, expected in ((1.0, "unchanged"), (1.0001, word)):
            words = classify_change(
                begins,
                begins + sign * factor * least,
                reliability=0.5,
                better="higher",
                reference=reference,
            )
            assert words.tolist() == [expected] * 4


def test_a_mean_of_items_at_the_cut_off_is_at_the_cut_off():
    mean = np.mean([[3.8, 3.8, 3.8]], axis=1)
    assert mean[0] != 3.8  # that is the point
    reference = ChangeReference(sd_before=0.2)
    words = classify_change(
        mean, [6.0], reliability=0.9, better="higher", cut=3.8, reference=reference
    )
    assert words.tolist() == ["improved"]
    data = pd.DataFrame({"b": [0.8, 0.7 + 0.1], "a": [1.5, 1.5]})
    rule = reliable_change(
        "b", "a", reliability=0.9, better="higher", cut_off=0.8, reference=reference
    )
    assert rule(data).tolist() == [False, False]
    assert cut_point("b", 0.8, better="higher")(data).tolist() == [True, True]


def test_whose_sd_it_is_is_said_where_not_all_have_both_scores():
    data = pd.DataFrame({"b": [10.0, 14, 12, 18, 30, 2], "a": [16.0, 20, 13, 30, np.nan, np.nan]})
    found = classify(data, reliable_change("b", "a", reliability=0.8, better="higher"))
    assert "the 4 cases with both scores, 3.42; all 6 had 9.33" in found.summary()
    whole = classify(data.dropna(), reliable_change("b", "a", reliability=0.8, better="higher"))
    assert "Note" not in whole.summary()
    combined = ~reliable_change("b", "a", reliability=0.8, better="higher") & cut_point(
        "a", 15, better="higher"
    )
    assert "both scores" in classify(data, combined).summary()


def test_no_column_is_written_over_where_rules_are_compared():
    data = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6, 7, 8], "the rule": [3.0, 1, 4, 1, 5, 9, 2, 6]})
    rules = {"a": cut_point("x", 4, better="higher"), "b": cut_point("x", 5, better="higher")}
    found = classify_many(data, rules).compare(outcomes="the rule").tidy()
    plain = classify_many(data.rename(columns={"the rule": "y"}), rules).compare(outcomes="y")
    assert found["estimate"].tolist() == plain.tidy()["estimate"].tolist()


@pytest.mark.parametrize("level", ["interval", "ordinal"])
def test_coders_who_agree_fully_have_an_intraclass_correlation_of_one(level):
    data = pd.DataFrame({"a": [1, 2, 3, 4, 2], "b": [1, 2, 3, 4, 2]})
    tidy = coder_agreement(data, coders=["a", "b"], measurement=level, n_resamples=0).tidy()
    icc = tidy[tidy["term"].str.startswith("ICC")]
    assert icc["estimate"].tolist() == [1.0] * 6
    assert icc["conf_low"].isna().all()
    shifted = data.assign(b=data["b"] + 0.1)
    tidy = coder_agreement(shifted, coders=["a", "b"], measurement="interval", n_resamples=0).tidy()
    icc = tidy.set_index("term")
    assert icc.loc["ICC(C,1)", "estimate"] == 1.0
    assert icc.loc["ICC(A,1)", "estimate"] < 1.0
    assert math.isnan(icc.loc["ICC(C,1)", "conf_low"])
    assert icc.loc["ICC(A,1)", "conf_low"] < icc.loc["ICC(A,1)", "estimate"]


def test_codes_that_floating_point_dust_parts_are_one_code():
    data = pd.DataFrame({"a": [0.3, 0.5, 0.3], "b": [0.1 + 0.2, 0.5, 0.3]})
    tidy = coder_agreement(data, coders=["a", "b"], measurement="nominal", n_resamples=0).tidy()
    assert tidy.set_index("term").loc["Cohen kappa", "estimate"] == pytest.approx(1.0, rel=EXACT)


def test_draws_do_not_depend_on_the_order_of_rows_or_on_the_ids():
    rng = np.random.default_rng(8)
    n = 60
    data = pd.DataFrame(
        {
            "g": np.repeat(["a", "b"], n // 2),
            "h": np.tile(["a", "b", "c"], n // 3),
            "y": rng.normal(size=n).round(2),
            "c": np.repeat(np.arange(n // 2), 2),
            "p": np.tile(np.arange(n // 2), 2),
            "one": rng.integers(1, 5, n),
            "two": rng.integers(1, 5, n),
        }
    )
    other = data.assign(c=1000 - data["c"], p=500 - 3 * data["p"]).sample(frac=1, random_state=2)

    def p_values(frame):
        designs = [{"group": "g"}, {"group": "h"}, {"group": "g", "cluster": "c"}]
        designs.append({"group": "g", "paired": "p"})
        found = [
            compare_groups(
                frame, outcomes="y", test="permutation", n_resamples=199, seed=3, **design
            )
            .tidy()["p_value"]
            .item()
            for design in designs
        ]
        agreement = coder_agreement(
            frame, coders=["one", "two"], measurement="ordinal", n_resamples=50, seed=3
        )
        return [*found, *agreement.tidy()["conf_low"]]

    assert p_values(data) == pytest.approx(p_values(other), rel=EXACT, nan_ok=True)


def test_coders_who_never_vary_but_differ_have_no_limits_of_agreement():
    data = pd.DataFrame({"a": [1, 1, 1], "b": [2, 2, 2]})
    tidy = coder_agreement(data, coders=["a", "b"], measurement="interval", n_resamples=0).tidy()
    assert math.isnan(tidy.set_index("term").loc["ICC(A,1)", "conf_low"])


@pytest.mark.parametrize("options", [{}, {"test": "anova"}, {"cluster": "family"}])
def test_forty_groups_are_compared_in_pairs_at_once_and_hundreds_are_refused(options):
    rng, start = np.random.default_rng(3), time.monotonic()
    data = pd.DataFrame({"g": np.repeat([f"g{i:02d}" for i in range(40)], 4)})
    data = data.assign(y=rng.normal(size=160), family=np.arange(160) // 2)
    pairs = compare_groups(data, outcomes="y", group="g", **options).pairwise()
    assert len(pairs) == 780
    assert (pairs["conf_low"] < pairs["conf_high"]).all()
    assert time.monotonic() - start < AT_ONCE
    many = pd.DataFrame({"g": np.repeat(np.arange(120), 2), "y": rng.normal(size=240)})
    with pytest.raises(DataError, match="120 groups make 7,140 pairs; pairwise.. compares at most"):
        compare_groups(many, outcomes="y", group="g").pairwise()


def test_a_variable_that_nobody_has_does_not_take_table_one_along():
    data = pd.DataFrame({"g": list("aabb"), "x": np.nan, "y": [1.0, 2, 3, 4]})
    found = table_one(data, variables=["x", "y"], group="g")
    assert found.frame()["a (n = 2)"].tolist() == ["–", "1.50 (0.71)"]
    assert "x: missing for 2 in a, 2 in b" in found.summary()


def test_an_outcome_of_two_words_is_refused_with_the_way_to_make_it_0_and_1():
    data = pd.DataFrame({"g": ["a", "b"] * 4, "ok": ["yes", "no", "no", "yes"] * 2})
    with pytest.raises(DataError, match=r"0/1 column: \(data\['ok'\] == 'yes'\).astype\(int\)"):
        compare_groups(data, outcomes="ok", group="g")
