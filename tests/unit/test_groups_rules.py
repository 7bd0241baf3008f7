"""Success rules, their logic, classification, agreement of rules, the multiverse."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.change import ChangeReference
from alliance_stats.errors import DataError
from alliance_stats.groups import (
    classify,
    classify_many,
    compare_groups,
    cut_point,
    judged,
    reliable_change,
    retained,
)

EXACT = 1e-12  # hand arithmetic in doubles


@pytest.fixture
def families():
    return pd.DataFrame(
        {
            "wai": [5.5, 6.0, np.nan, 4.0, 3.0, 5.0, 6.5, 2.0],
            "before": [40.0, 60, 50, 50, 30, 45, np.nan, 52],
            "after": [60.0, 40, 20, 50, 31, 20, 20, 50],
            "ending": [
                "planned",
                "dropout",
                "ongoing",
                "dropout",
                "transferred",
                "planned",
                None,
                "dropout",
            ],
            "resolved": [True, True, False, False, None, True, True, False],
            "later": [7.0, 5, 6, 4, 5, 6, 7, 3],
        }
    )


def verdicts(rule, data):
    return [None if v is pd.NA else bool(v) for v in rule(data)]


def test_a_cut_point_is_inclusive_and_leaves_missing_undecided(families):
    rule = cut_point("wai", 5.0, better="higher")
    assert verdicts(rule, families) == [True, True, None, False, False, True, True, False]
    assert rule.name == "wai >= 5"
    beyond = cut_point("wai", 5.0, better="higher", inclusive=False)
    assert verdicts(beyond, families)[5] is False
    lower = cut_point("wai", 5.0, better="lower")
    assert verdicts(lower, families)[:2] == [False, False]


def test_reliable_change_follows_direction_and_cut(families):
    reference = ChangeReference(sd_before=7.5)
    rule = reliable_change("before", "after", reliability=0.8, better="lower", reference=reference)
    # least reliable change: 1.96 * 7.5 * sqrt(2 * .2) = 9.30
    assert verdicts(rule, families) == [False, True, True, False, False, True, None, False]
    across = reliable_change(
        "before", "after", reliability=0.8, better="lower", cut_off=46.0, reference=reference
    )
    assert verdicts(across, families) == [False, True, True, False, False, False, None, False]
    assert across.name == "reliably better after than before (Jacobson-Truax) across 46"


def test_retention_leaves_transferred_and_unknown_undecided(families):
    assert verdicts(retained(), families) == [
        True,
        False,
        True,
        False,
        None,
        True,
        None,
        False,
    ]


def test_judgement_takes_booleans_and_words(families):
    assert verdicts(judged("resolved"), families)[4] is None
    words = judged("ending", success=["planned"], failure=["dropout", "ongoing", "transferred"])
    assert verdicts(words, families)[0] is True


def test_rules_combine_by_three_valued_logic(families):
    high, stayed = cut_point("wai", 5.0, better="higher"), retained()
    assert verdicts(high & stayed, families) == [
        True,
        False,
        None,
        False,
        False,
        True,
        None,
        False,
    ]
    assert verdicts(high | stayed, families) == [
        True,
        True,
        True,
        False,
        None,
        True,
        True,
        False,
    ]
    assert verdicts(~high, families) == [False, False, None, True, True, False, False, True]
    assert (high & ~stayed).name == "(wai >= 5 and not retained (ending))"


def test_classification_counts_and_keeps_the_undecided_apart(families):
    result = classify(families, cut_point("wai", 5.0, better="higher"), name="class")
    assert result.column.name == "class"
    assert result.column.isna().tolist() == [False, False, True] + [False] * 5
    tidy = result.tidy().set_index("label")
    assert tidy["n"].to_dict() == {"successful": 4, "unsuccessful": 3, "undecided": 1}
    assert tidy.loc["successful", "share"] == pytest.approx(4 / 7, rel=EXACT)
    assert result.rows.n_set_aside == 1
    assert result.summary().startswith("Warning: the rule leaves 1 case undecided.")
    assert result.glance().loc[0, "nobs"] == 7


def test_a_classification_feeds_a_comparison(families):
    result = classify(families, cut_point("wai", 5.0, better="higher"))
    data = families.assign(**{result.column.name: result.column})
    comparison = compare_groups(data, outcomes="later", group="alliance_class")
    assert comparison.tidy()["contrast"][0] == "successful - unsuccessful"
    assert comparison.rows.tidy()["rows_set_aside"].tolist() == [0, 1, 0]


def test_agreement_of_rules(families):
    many = classify_many(
        families, {"score": cut_point("wai", 5.0, better="higher"), "stayed": retained()}
    )
    row = many.tidy().iloc[0]
    # both decide rows 0, 1, 3, 5, 7
    assert (row["n"], row["both"], row["first_only"]) == (5, 2, 1)
    assert (row["second_only"], row["neither"]) == (0, 2)
    assert row["agreement"] == pytest.approx(0.8, rel=EXACT)
    # p_e = (3/5)(2/5) + (2/5)(3/5) = .48 -> (.8 - .48) / .52
    assert row["kappa"] == pytest.approx(0.32 / 0.52, rel=EXACT)
    assert many.counts()["undecided"].tolist() == [1, 2]
    assert many.glance().loc[0, "n_alike"] == 4
    kappa = next(line for line in many.summary().splitlines() if line.startswith("score and"))
    assert kappa.split()[4] == ".62"
    assert "80.0%" in kappa
    assert "All rules agree on 4 of 8 cases." in many.summary()
    assert many.rows.n_used == 8


def test_the_multiverse_runs_one_comparison_under_each_rule(families):
    many = classify_many(
        families, {"score": cut_point("wai", 5.0, better="higher"), "stayed": retained()}
    )
    multiverse = many.compare(outcomes="later")
    tidy = multiverse.tidy()
    assert tidy["rule"].tolist() == ["score", "stayed"]
    glance = multiverse.glance().iloc[0]
    assert glance["n_rules"] == 2
    assert glance["estimate_min"] <= glance["estimate_max"]
    assert "Rule stayed:" in multiverse.summary()
    assert multiverse.rows.n_in == 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda d: classify(d, cut_point("way", 5, better="higher")),
            "no column 'way'. Did you mean 'wai'",
        ),
        (
            lambda d: classify(d, retained(left=())),
            "Column 'ending' holds 'dropout' in rows 1, 3, 7, which the rule does not know",
        ),
        (lambda d: classify(d, cut_point("ending", 5, better="higher")), "must be numeric"),
        (lambda _: cut_point("wai", np.nan, better="higher"), "must be a finite number"),
        (
            lambda _: judged("resolved", success=[1], failure=[1]),
            "'1' cannot be both success and failure",
        ),
        (
            lambda d: classify(d, retained(), labels=("a", "a")),
            "labels must be two different names",
        ),
        (lambda d: classify_many(d, {"one": retained()}), "at least two rules; got 1"),
    ],
)
def test_bad_rules_are_named(families, call, message):
    with pytest.raises(DataError, match=message):
        call(families)


def test_the_better_direction_must_be_said(families):
    with pytest.raises(ValueError, match="better must be one of 'higher', 'lower'"):
        cut_point("wai", 5, better="up")
    with pytest.raises(ValueError, match="method must be one of"):
        reliable_change("before", "after", reliability=0.8, better="lower", method="jt")


def test_the_callers_frame_is_not_changed(families):
    before = families.copy(deep=True)
    many = classify_many(
        families, {"score": cut_point("wai", 5.0, better="higher"), "stayed": retained()}
    )
    many.compare(outcomes="later")
    pd.testing.assert_frame_equal(families, before)


@pytest.mark.parametrize(
    ("better", "inclusive", "passes"), [("higher", True, True), ("lower", False, False)]
)
def test_a_mean_that_is_the_cut_but_for_its_last_digit_is_the_cut(better, inclusive, passes):
    data = pd.DataFrame({"score": [0.7 + 0.1, 0.8, 0.8 + 1e-9 * (1 if passes else -1)]})
    rule = cut_point("score", 0.8, better=better, inclusive=inclusive)
    assert rule(data).tolist() == [passes, passes, True]
