"""compare_groups: the door, the row, the words."""

import math

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.groups import compare_groups
from alliance_stats.sentences import report

EXACT = 1e-12  # hand arithmetic in doubles


@pytest.fixture
def four():
    return pd.DataFrame({"score": [1.0, 3.0, 4.0, 6.0], "group": ["a", "a", "b", "b"]})


@pytest.fixture
def thirteen():
    return pd.DataFrame(
        {
            "family": [f"F{i}" for i in range(14)],
            "alliance": [5.5, 6, 5, 6.5, 5, 4.5, np.nan, 3, 4, 5, 2.5, 3.5, 4, 4.5],
            "kept": [1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 1, 0],
            "baseline": [4.0, 5, 4, 5, 3, 4, 4, 3, 4, 4, 3, 2, 4, 5],
            "side": ["successful"] * 6 + ["unsuccessful"] * 7 + [None],
        }
    )


def test_welch_on_four_rows(four):
    row = compare_groups(four, outcomes="score", group="group").tidy().iloc[0]
    # means 2 and 5, variances 2: se = sqrt(2/2 + 2/2), df = 2
    assert row["estimate"] == -3
    assert row["std_error"] == pytest.approx(math.sqrt(2), rel=EXACT)
    assert row["df"] == pytest.approx(2, rel=EXACT)
    assert row["contrast"] == "a - b"
    assert row["method"] == "Welch t test"
    assert row["detectable_scale"] == "SD"


def test_a_row_counts_cases_and_missing_of_each_group(thirteen):
    comparison = compare_groups(thirteen, outcomes=["alliance"], group="side")
    row = comparison.tidy().iloc[0]
    assert (row["n_1"], row["n_2"], row["missing_1"], row["missing_2"]) == (6, 6, 0, 1)
    assert comparison.rows.n_in == 14
    assert comparison.rows.n_used == 12
    reasons = comparison.rows.tidy()["reason"].tolist()
    assert reasons == ["came in", "'side' is missing", "'alliance' is missing"]


def test_with_several_outcomes_each_uses_its_own_cases(thirteen):
    comparison = compare_groups(thirteen, outcomes=["alliance", "baseline"], group="side")
    assert comparison.rows.n_used == 13
    assert comparison["alliance"].outcome.rows.n_used == 12
    assert comparison["baseline"].outcome.rows.n_used == 13


def test_describe_gives_quartiles_of_each_group(four):
    described = compare_groups(four, outcomes="score", group="group").describe()
    assert described["median"].tolist() == [2.0, 5.0]
    assert described["q1"].tolist() == [1.5, 4.5]


def test_the_callers_frame_is_not_changed(thirteen):
    before = thirteen.copy(deep=True)
    compare_groups(thirteen, outcomes="alliance", group="side", baseline="baseline").summary()
    pd.testing.assert_frame_equal(thirteen, before)


def test_a_group_of_one_is_described_and_not_tested(four):
    alone = pd.concat([four, pd.DataFrame({"score": [9.0], "group": ["c"]})])
    pair = alone[alone["group"] != "b"]
    comparison = compare_groups(pair, outcomes="score", group="group")
    row = comparison.tidy().iloc[0]
    assert row["method"] == "not tested"
    assert math.isnan(row["p_value"])
    assert row["estimate"] == -7
    assert row["note"] == "group 'c' has one case: described, not tested"
    assert comparison.summary().startswith("Warning: score: group 'c' has one case")


def test_an_outcome_missing_in_a_whole_group_is_not_tested(four):
    data = four.assign(score=[1.0, 2.0, np.nan, np.nan])
    row = compare_groups(data, outcomes="score", group="group").tidy().iloc[0]
    assert row["note"] == "group 'b' has no case: described, not tested"
    assert math.isnan(row["estimate"])


def test_corrected_p_values_stand_beside_the_raw_ones(thirteen):
    tidy = compare_groups(thirteen, outcomes=["alliance", "baseline"], group="side").tidy()
    assert tidy["p_holm"].min() == pytest.approx(2 * tidy["p_value"].min(), rel=EXACT)
    assert (tidy["p_fdr"] >= tidy["p_value"]).all()


def test_summary_says_groups_difference_effect_and_test(four):
    found = compare_groups(four, outcomes="score", group="group")
    lines = [line.split() for line in found.summary().splitlines()]
    assert ["score", "a", "2", "2.00", "1.41"] in lines
    assert ["score", "b", "2", "5.00", "1.41"] in lines
    tested = "score a - b mean difference −3.00 1.41 2 t −2.12 .168 [−9.08, 3.08] Welch t test"
    assert tested.split() in lines
    said = "score, a - b: mean difference = −3.00, 95% CI [−9.08, 3.08], t(2) = −2.12, p = .168"
    assert said in report(found)


def test_an_unknown_outcome_of_the_result_is_named(four):
    comparison = compare_groups(four, outcomes="score", group="group")
    with pytest.raises(DataError, match=r"'scores' was not compared. Did you mean 'score'\?"):
        comparison["scores"]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda d: d.head(2), {}, "holds only the group 'a'; a comparison needs at least two"),
        (lambda d: d.assign(group=None), {}, "holds no group at all"),
        (lambda d: d.head(0), {}, "data has no rows"),
        (lambda d: d.assign(score=2.0), {}, "'score' is constant: all 4 values are 2"),
        (lambda d: d.assign(score=np.nan), {}, "'score' has no complete case"),
        (lambda d: d.assign(score=list("wxyz")), {}, "'score' is not numeric"),
        (lambda d: d.assign(score=[1, 2, 3, np.inf]), {}, "'score' is infinite in row 3"),
        (
            lambda d: d.assign(group=["Good", "good ", "bad", "bad"]),
            {},
            "'group' spells what looks like one label in 2 ways: 'Good' .row 0., 'good ' .row 1.",
        ),
        (
            lambda d: d.assign(group=["good", "good", " ", "bad"]),
            {},
            "'group' is blank in row 2, and a blank is no label.",
        ),
        (
            lambda d: d.assign(family=["F1", "f1", "F2", "F2"]),
            {"cluster": "family"},
            "'family' spells what looks like one cluster in 2 ways: 'F1' .row 0., 'f1' .row 1.",
        ),
        (
            lambda d: d.assign(site=["a", "a", "b", "b"], family=["1", "01", "1", "2"]),
            {"cluster": ["site", "family"]},
            "'family' spells what looks like one cluster in 2 ways: '1' .row 0., '01' .row 1.",
        ),
        (
            lambda d: d.assign(match=["1", "2", "1", "2 "]),
            {"paired": "match"},
            "'match' spells what looks like one pair in 2 ways: '2' .row 1., '2 ' .row 3.",
        ),
        (lambda d: d, {"outcomes": ["scroe"]}, "no column 'scroe'. Did you mean 'score'"),
        (lambda d: d, {"outcomes": []}, "outcomes is empty"),
        (lambda d: d, {"outcomes": ["score", "score"]}, "'score' is given twice"),
        (lambda d: d, {"outcomes": ["group"]}, "'group' is given twice"),
        (lambda d: d, {"test": "welsh"}, "There is no test 'welsh'. Did you mean 'welch'"),
        (
            lambda d: d,
            {"test": "paired_t"},
            r"test='paired_t' does not fit outcome 'score' \(continuous\) in independent groups "
            r"\(2 groups\). Fitting tests: welch",
        ),
        (lambda d: d, {"test": {"skore": "welch"}}, "test= names 'skore', which is not an outcome"),
        (
            lambda d: d.assign(pair=[1, 1, 1, 2]),
            {"paired": "pair"},
            "A pair of 'pair' has more than one row in the same group, in rows 0, 1",
        ),
        (
            lambda d: d.assign(pair=[1, 2, 1, 2], group=["a", "b", "c", "c"]),
            {"paired": "pair"},
            "needs exactly two groups to match; got 3: a, b, c",
        ),
        (
            lambda d: d.assign(pair=[1, 2, 1, 2], base=1.0),
            {"paired": "pair", "baseline": "base"},
            "paired= cannot be combined with baseline=",
        ),
    ],
)
def test_bad_input_is_named(four, change, arguments, message):
    given = {"outcomes": ["score"], "group": "group"} | arguments
    with pytest.raises(DataError, match=message):
        compare_groups(change(four), **given)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda d: d.assign(score=[4, 4, 2, 2]), {}, "does not vary within any group"),
        (
            lambda d: d.assign(score=[4, 4, 2, 2]),
            {"test": "student"},
            "'score' does not vary within any group",
        ),
        (lambda d: d.assign(base=1.0), {"baseline": "base"}, "the baseline is constant"),
        (
            lambda d: d.assign(base=[1, 2, 3, 4]).head(3).assign(group=["a", "b", "b"]),
            {"baseline": "base"},
            None,
        ),
        (
            lambda d: d.assign(pair=[1, 2, 1, 2]),
            {"paired": "pair"},
            "all 2 paired differences equal -3",
        ),
    ],
)
def test_what_is_not_identified_is_refused(four, change, arguments, message):
    given = {"outcomes": ["score"], "group": "group"} | arguments
    if message is None:  # a group of one falls out before its model is tried
        row = compare_groups(change(four), **given).tidy().iloc[0]
        assert row["method"] == "not tested"
        return
    with pytest.raises(NotIdentifiedError, match=message):
        compare_groups(change(four), **given)


def test_welch_anova_names_the_group_that_does_not_vary():
    data = pd.DataFrame({"y": [1.0, 1, 2, 3, 4, 6], "g": list("aabbcc")})
    with pytest.raises(NotIdentifiedError, match="'y' does not vary in group 'a'"):
        compare_groups(data, outcomes="y", group="g")


def test_several_outcomes_have_a_ledger_each_and_rows_that_any_uses():
    data = pd.DataFrame(
        {
            "x": [1.0, 2, 4, 3, np.nan, 5, 7, 9],
            "y": [1.0, np.nan, 4, 3, np.nan, 6, 7, 9],
            "g": list("abababab"),
            "pair": [1, 1, 2, 2, 3, 3, 4, 5],
        }
    )
    comparison = compare_groups(data, outcomes=["x", "y"], group="g", paired="pair")
    ledgers = comparison.ledgers()
    last = ledgers.groupby("outcome").tail(1)
    assert last[["outcome", "reason", "rows_set_aside", "rows_left"]].to_numpy().tolist() == [
        ["x", "'x' is missing in one or both of a pair", 2, 4],
        ["y", "'y' is missing in one or both of a pair", 4, 2],
    ]
    steps = comparison.rows.tidy().set_index("reason")["rows_set_aside"]
    assert steps["its pair has no case in the other group"] == 2  # nothing is missing there
    assert steps["complete for none of the outcomes"] == 2
    assert comparison.rows.n_used == 4


def test_several_outcomes_with_a_baseline_count_the_rows_used():
    data = pd.DataFrame(
        {
            "x": [1.0, 2, 4, 3, 5, np.nan],
            "y": [2.0, 2, 5, np.nan, 5, 1],
            "base": [1.0, 2, 2, 1, np.nan, 1],
            "g": list("aaabbb"),
        }
    )
    assert (
        compare_groups(data, outcomes=["x", "y"], group="g", baseline="base", test={}).rows.n_used
        == 5
    )


def test_pairs_that_match_nothing_are_refused(four):
    with pytest.raises(DataError, match="No value of 'id' is in both groups"):
        compare_groups(four.assign(id=range(4)), outcomes="score", group="group", paired="id")


def test_incomplete_pairs_are_set_aside_and_counted():
    data = pd.DataFrame(
        {
            "y": [1.0, 2, 4, 3, np.nan, 5],
            "g": list("ababab"),
            "pair": [1, 1, 2, 2, 3, 3],
        }
    )
    comparison = compare_groups(data, outcomes="y", group="g", paired="pair")
    row = comparison.tidy().iloc[0]
    assert (row["n_1"], row["n_2"], row["missing_1"], row["missing_2"]) == (2, 2, 1, 0)
    assert (
        comparison.rows.tidy()["reason"].tolist()[-1] == "'y' is missing in one or both of a pair"
    )
    assert row["estimate"] == 0.0
