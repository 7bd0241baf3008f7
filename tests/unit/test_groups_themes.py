"""Themes, transitions, coder agreement, table one, trajectories: shapes, words, refusals."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.groups import (
    classify,
    coder_agreement,
    cohen_kappa,
    compare_themes,
    compare_trajectories,
    judged,
    krippendorff_alpha,
    table_one,
    theme_transitions,
)
from alliance_stats.groups.comparing.count_tests import freeman_halton_p
from alliance_stats.sentences import report

EXACT = 1e-12  # hand arithmetic in doubles


@pytest.fixture
def interviews():
    return pd.DataFrame(
        {
            "case": [1, 2, 3, 4, 1, 2, 3, 4],
            "side": ["good"] * 4 + ["poor"] * 4,
            "early": [1, 1, 1, 0, 1, 1, 1, 1],
            "rupture": [0, 0, 0, 0, 1, 1, 1, 0],
            "strength": [1, 1, 0, 0, 0, 0, 0, 1],
            "never": [0] * 8,
            "yes": [True, True, True, True, False, False, False, False],
            "coded": [1, 1, np.nan, 1, 0, 0, 0, np.nan],
        }
    )


# themes ------------------------------------------------------------------------------------------


def test_four_against_four_reaches_its_smallest_p(interviews):
    row = compare_themes(interviews, themes=["yes"], group="side").tidy().iloc[0]
    assert row["p_value"] == pytest.approx(2 / 70, rel=1e-10)
    assert row["p_smallest"] == pytest.approx(2 / 70, rel=1e-10)
    assert (row["count_1"], row["count_2"]) == (4, 0)
    assert row["prevalence_1_low"] == pytest.approx(0.025**0.25, rel=1e-10)
    assert row["prevalence_2_high"] == pytest.approx(1 - 0.025**0.25, rel=1e-10)


def test_a_theme_that_nobody_has_is_described(interviews):
    themes = compare_themes(interviews, themes=["never", "rupture"], group="side")
    row = themes.tidy().iloc[0]
    assert row["note"] == "all 8 values are 0: described, not tested"
    assert math.isnan(row["p_value"])
    assert row["prevalence_1_high"] > 0.3
    # Holm counts the tested theme alone
    assert themes.tidy()["p_holm"].iloc[1] == themes.tidy()["p_value"].iloc[1]


def test_cases_that_were_not_coded_are_counted(interviews):
    row = compare_themes(interviews, themes=["coded"], group="side").tidy().iloc[0]
    assert (row["n_1"], row["missing_1"], row["n_2"], row["missing_2"]) == (3, 1, 3, 1)


def test_matched_cases_get_mcnemar(interviews):
    row = compare_themes(interviews, themes=["rupture"], group="side", paired="case").tidy().iloc[0]
    assert row["method"] == "McNemar exact test"
    assert row["p_value"] == pytest.approx(0.25, rel=EXACT)


def test_prevalence_is_a_row_a_theme_and_group(interviews):
    prevalence = compare_themes(interviews, themes=["early", "yes"], group="side").prevalence()
    assert prevalence["theme"].tolist() == ["early", "early", "yes", "yes"]
    assert (prevalence["estimate"] == prevalence["count"] / prevalence["n"]).all()


def test_themes_in_words(interviews):
    themes = compare_themes(interviews, themes=["early", "yes"], group="side")
    text = report(themes)
    assert re.search(r"yes, good: share = 100.0%, 95% CI \[39.8%, 100.0%\], 4 of 4\.", text)
    assert "yes, poor: share = 0.0%, 95% CI [0.0%, 60.2%], 0 of 4." in text
    assert "smallest p possible = .029" in text
    assert themes.glance().loc[0, "n_themes"] == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1, 2, 0, 1, 0, 1, 0], "Theme 'early' is not 0/1: it holds 2 in row 2"),
        (["yes"] * 8, "Theme 'early' is not 0/1: it holds 'yes' in rows 0, 1, 2, 3, 4 and 3 more"),
    ],
)
def test_a_theme_that_is_not_0_or_1_is_named(interviews, values, message):
    with pytest.raises(DataError, match=message):
        compare_themes(interviews.assign(early=values), themes=["early"], group="side")


def test_an_unknown_theme_is_named(interviews):
    with pytest.raises(DataError, match="no column 'erly'. Did you mean 'early'"):
        compare_themes(interviews, themes=["erly"], group="side")


# transitions -------------------------------------------------------------------------------------

LATER = {"rupture": "rupture", "strength": "strength"}


def test_transitions_count_what_became_of_an_early_problem(interviews):
    transitions = theme_transitions(interviews, early="early", later=LATER, group="side")
    assert transitions.states == ("rupture", "strength", "neither")
    tidy = transitions.tidy().set_index(["group", "early", "later"])["count"]
    assert tidy["good", True].to_dict() == {"rupture": 0, "strength": 2, "neither": 1}
    assert tidy["poor", True].to_dict() == {"rupture": 3, "strength": 1, "neither": 0}
    assert tidy["good", False].to_dict() == {"rupture": 0, "strength": 0, "neither": 1}


def test_transitions_are_tested_exactly(interviews):
    glance = theme_transitions(interviews, early="early", later=LATER, group="side").glance()
    # margins 3, 4 by 3, 3, 1: all tables counted by hand. P(obs) = 3! 4! 3! 3! 1! / 7! / (2! 3!)
    observed = 6 * 24 * 6 * 6 / 5040 / (2 * 6)
    assert glance.loc[0, "p_value"] >= observed
    assert glance.loc[0, "n"] == 7
    assert math.isnan(glance.loc[1, "p_value"])


def test_two_by_two_freeman_halton_is_fisher():
    assert freeman_halton_p(np.array([[4, 0], [0, 4]]))[0] == pytest.approx(2 / 70, rel=1e-10)


def test_transitions_to_one_named_column(interviews):
    data = interviews.assign(later=["strength"] * 3 + ["none"] + ["rupture"] * 4)
    transitions = theme_transitions(data, early="early", later="later", group="side")
    assert transitions.states == ("none", "rupture", "strength")


def test_transitions_in_words(interviews):
    found = theme_transitions(interviews, early="early", later=LATER, group="side")
    lines = [" ".join(line.split()) for line in found.summary().splitlines()]
    assert lines[0] == "What became of 'early', by group."
    assert any(line.startswith("good with early rupture 0.0%") for line in lines)
    strength = next(line for line in lines if line.startswith("good with early strength 66.7%"))
    assert strength.endswith("2 of 3")
    assert any(line.startswith("with early Fisher exact test (Freeman-Halton)") for line in lines)


def test_transitions_set_missing_cases_aside(interviews):
    data = interviews.assign(rupture=[np.nan, *interviews["rupture"][1:]])
    rows = theme_transitions(data, early="early", later=LATER, group="side").rows
    assert rows.n_set_aside == 1
    with pytest.raises(DataError, match="later is empty"):
        theme_transitions(data, early="early", later={}, group="side")
    with pytest.raises(NotIdentifiedError, match="No case has its group"):
        theme_transitions(data.assign(early=np.nan), early="early", later=LATER, group="side")


# coders ------------------------------------------------------------------------------------------


def test_a_test_of_three_groups_is_of_no_pair():
    data = pd.DataFrame({"group": list("aaabbbccc"), "trust": [1, 1, 1, 0, 0, 1, 0, 0, 0]})
    found = compare_themes(data, themes=["trust"], group="group")
    assert "a - b" not in found.summary()
    said = report(found)
    assert "p = .143" in said
    assert "not estimable" not in said


def test_kappa_by_hand():
    # 2 x 2: 4, 1, 2, 3 -> p_o = .7, p_e = .5 * .6 + .5 * .4 = .5 -> .4
    a = [1] * 5 + [0] * 5
    b = [1, 1, 1, 1, 0, 1, 1, 0, 0, 0]
    assert cohen_kappa(a, b).estimate == pytest.approx(0.4, rel=EXACT)


def test_perfect_agreement_has_no_sampling_error_to_show():
    effect = cohen_kappa([1, 2, 3], [1, 2, 3])
    assert effect.estimate == pytest.approx(1.0, rel=EXACT)
    assert math.isnan(effect.conf_low)
    assert math.isnan(cohen_kappa([1, 1], [1, 1]).estimate)


def test_unused_categories_widen_the_weights():
    narrow = cohen_kappa([1, 2, 2, 1], [1, 2, 1, 1], weights="linear")
    wide = cohen_kappa([1, 2, 2, 1], [1, 2, 1, 1], weights="linear", categories=[1, 2, 3])
    assert narrow.estimate == pytest.approx(wide.estimate, rel=EXACT)  # kappa is scale-free here
    with pytest.raises(DataError, match="Code 2 is not among the categories"):
        cohen_kappa([1, 2], [1, 1], categories=[0, 1])
    with pytest.raises(DataError, match="must code the same cases; got 2 and 1"):
        cohen_kappa([1, 2], [1])


def test_alpha_of_random_codes_is_near_zero_and_of_equal_codes_one():
    rng = np.random.default_rng(1)
    assert abs(krippendorff_alpha(rng.integers(0, 3, (4000, 2)).astype(float))) < 0.05
    same = np.repeat(rng.integers(0, 3, (20, 1)), 3, axis=1).astype(float)
    assert krippendorff_alpha(same, measurement="interval") == pytest.approx(1.0, rel=EXACT)
    assert math.isnan(krippendorff_alpha(np.ones((4, 2))))


def test_words_numbers_and_missing_codes():
    data = pd.DataFrame({"A": ["x", "y", "x", None, "z"], "B": ["x", "y", "y", "x", None]})
    result = coder_agreement(data, coders=["A", "B"], measurement="nominal", n_resamples=50, seed=1)
    assert result.rows.n_used == 3
    tidy = result.tidy().set_index("term")
    assert tidy.loc["share of cases that all code alike", "estimate"] == pytest.approx(2 / 3)
    # 3 cases: p_o = 2/3; margins x 2/3, y 1/3 and x 1/3, y 2/3 -> p_e = 4/9 -> .4
    assert tidy.loc["Cohen kappa", "estimate"] == pytest.approx(0.4, rel=1e-10)
    assert "resamples of cases" in tidy.loc["Krippendorff alpha, nominal", "method"]
    assert result.glance().loc[0, "n_coders"] == 2
    assert "2 coders, nominal codes." in result.summary()


def test_draws_repeat_with_their_seed():
    data = pd.DataFrame({"A": [1, 2, 3, 1, 2, 3, 1], "B": [1, 2, 3, 1, 2, 1, 2]})
    one, two = (
        coder_agreement(
            data, coders=["A", "B"], measurement="nominal", n_resamples=40, seed=5
        ).tidy()
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, two)


def test_incomplete_ratings_get_icc_through_the_mixed_model():
    data = pd.DataFrame(
        {"A": [9, 6, 8, 7, 10, 6], "B": [2, 1, 4, 1, 5, np.nan], "C": [5, 3, 6, np.nan, 6, 4]}
    )
    result = coder_agreement(
        data, coders=["A", "B", "C"], measurement="interval", n_resamples=10, seed=1
    )
    tidy = result.tidy().set_index("term")
    assert tidy.loc["ICC(C,1)", "estimate"] > tidy.loc["ICC(A,1)", "estimate"]
    assert tidy.loc["ICC(A,k)", "conf_low"] <= tidy.loc["ICC(A,k)", "conf_high"]
    assert "simulated ratings" in tidy.loc["ICC(A,1)", "method"]


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        ({"A": [1, 2]}, {"coders": ["A"]}, DataError, "at least two coders, each once; got"),
        ({"A": [1, 2], "B": [1, 2]}, {"seed": None}, DataError, "give seed="),
        ({"A": [1, 1], "B": [1, 1]}, {}, NotIdentifiedError, "1 different codes in use"),
        ({"A": [1, None], "B": [None, 2]}, {}, NotIdentifiedError, "0 cases with two codes"),
        (
            {"A": ["x", "y"], "B": ["x", "x"]},
            {"measurement": "interval"},
            DataError,
            "interval codes must be numbers, or ordered categories",
        ),
        (
            {"A": [1, 2], "B": [1, 2]},
            {"measurement": "ratio"},
            ValueError,
            "measurement must be one of",
        ),
    ],
)
def test_what_coders_cannot_be_asked(frame, options, error, message):
    given = {"coders": ["A", "B"], "measurement": "nominal", "seed": 1, "n_resamples": 10} | options
    with pytest.raises(error, match=message):
        coder_agreement(pd.DataFrame(frame), **given)


def test_ratings_without_error_cannot_be_modelled():
    data = pd.DataFrame({"A": [1, 2, 3, 4], "B": [1, 2, 3, np.nan], "C": [1, np.nan, 3, 4]})
    with pytest.raises(NotIdentifiedError, match="give the same rating to each case"):
        coder_agreement(data, coders=["A", "B", "C"], measurement="interval", n_resamples=0).tidy()


# table one ---------------------------------------------------------------------------------------


@pytest.fixture
def study():
    return pd.DataFrame(
        {
            "family": ["f1", "f1", "f2", "f3", "f4", "f4"],
            "side": ["good", "good", "good", "poor", "poor", "poor"],
            "age": [30.0, 30, 40, 50, np.nan, np.nan],
            "trauma": [1, 1, 0, 1, 1, 1],
            "school": ["low", "low", "high", "low", "low", "low"],
            "role": ["mother", "father", "mother", "mother", "mother", "father"],
        }
    )


def test_each_unit_counts_once(study):
    table = table_one(study, variables=["age", "trauma", "school"], group="side", unit="family")
    assert table.sizes == (2, 2)
    assert table.rows.n_used == 4
    frame = table.frame().set_index("Variable")
    assert frame.columns.tolist() == ["good (n = 2)", "poor (n = 2)", "SMD"]
    assert frame.loc["age, mean (SD)", "good (n = 2)"] == "35.00 (7.07)"
    assert frame.loc["trauma, n (%)", "poor (n = 2)"] == "2 (100%)"
    assert frame.loc["school: low", "good (n = 2)"] == "1 (50%)"
    assert "The unit is the family: each counts once." in table.footnotes()
    assert any(note.startswith("age: missing for 1 in poor") for note in table.footnotes())


def test_standardised_difference_of_a_proportion_by_hand(study):
    table = table_one(study, variables=["trauma"], group="side", unit="family")
    # .5 against 1: .5 / sqrt((.25 + 0) / 2)
    assert table.tidy()["smd"].iloc[0] == pytest.approx(0.5 / math.sqrt(0.125), rel=EXACT)
    assert table.glance().loc[0, "largest_smd"] == table.tidy()["smd"].max()


def test_a_variable_that_differs_within_a_unit_is_refused(study):
    with pytest.raises(DataError, match="'role' differs within family 'f1'"):
        table_one(study, variables=["role"], group="side", unit="family")
    rows = table_one(study, variables=["role"], group="side", unit_name="member")
    assert rows.footnotes()[0] == "The unit is the member: each counts once."


def test_table_one_names_what_is_wrong(study):
    with pytest.raises(DataError, match="variables is empty"):
        table_one(study, variables=[], group="side")
    with pytest.raises(DataError, match="'school' is missing in every row"):
        table_one(study.assign(school=None), variables=["school"], group="side")
    with pytest.raises(DataError, match="'side' spells what looks like one label"):
        table_one(study.assign(side=["A", "a"] * 3), variables=["age"], group="side")


# trajectories ------------------------------------------------------------------------------------


@pytest.fixture
def sessions():
    rng = np.random.default_rng(2)
    person, session = np.divmod(np.arange(20 * 6), 6)
    side = np.where(person < 10, "good", "poor")
    score = 4 + 0.3 * session * (person < 10) + rng.normal(size=20)[person]
    return pd.DataFrame(
        {
            "person": [f"P{p}" for p in person],
            "therapist": person // 4,
            "session": session + 1,
            "side": side,
            "score": score
            + 0.5 * rng.normal(size=120)
            + 0.1 * rng.normal(size=20)[person] * session,
        }
    )


def trajectories(data, **options):
    given = {"outcome": "score", "time": "session", "group": "side", "person": "person"}
    return compare_trajectories(data, **(given | options))


def test_the_band_is_wider_than_the_interval_of_one_session(sessions):
    result = trajectories(sessions)
    table = result.differences()
    assert (table["band_low"] < table["conf_low"]).all()
    assert table["time"].tolist() == [1, 2, 3, 4, 5, 6]
    apart = (table["band_low"] > 0) | (table["band_high"] < 0)
    assert apart.iloc[-1]
    assert result.differ_from() == table.loc[apart, "time"].min()
    assert f"From session {result.differ_from():g} on" in result.summary()


def test_groups_that_do_not_differ_have_no_session(sessions):
    same = sessions.assign(side=np.where(sessions["therapist"] % 2 == 0, "good", "poor"))
    flat = trajectories(same.assign(score=sessions["score"] - 0.3 * sessions["session"]))
    if math.isnan(flat.differ_from()):
        assert "At no stretch of time" in flat.summary()
    assert flat.means()["group"].tolist() == ["good"] * 6 + ["poor"] * 6


def test_levels_above_the_person_enter_the_model(sessions):
    result = trajectories(sessions, nested_in=["therapist"])
    assert result.model.formula.count("|") == 2
    assert result.tidy()["contrast"].tolist() == ["good", "poor", "good - poor"]


def test_missing_outcomes_are_counted_under_the_callers_names(sessions):
    holes = sessions.assign(score=sessions["score"].where(sessions.index % 7 != 0))
    rows = trajectories(holes).rows
    assert rows.tidy()["reason"].tolist()[1] == "'score' is missing"
    assert rows.n_set_aside == 18


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda d: d.assign(side=list("abc") * 40),
            DataError,
            "compares two groups; 'side' holds 3",
        ),
        (lambda d: d.assign(side=["a", "b"] * 60), DataError, "20 persons are in both groups"),
        (lambda d: d.assign(session=1), NotIdentifiedError, "at least two different times"),
        (
            lambda d: d[(d["side"] == "good") | (d["person"] == "P10")],
            NotIdentifiedError,
            "Group 'poor' has fewer than two persons",
        ),
        (lambda d: d.assign(score="x"), DataError, "Column 'score' must be numeric"),
    ],
)
def test_trajectories_that_cannot_be_compared(sessions, change, error, message):
    with pytest.raises(error, match=message):
        trajectories(change(sessions))


@pytest.mark.parametrize(
    ("call", "column"),
    [
        (lambda d: compare_themes(d, themes=["early"], group="side"), "side"),
        (lambda d: compare_themes(d, themes=["early"], group="known", unit="side"), "side"),
        (lambda d: table_one(d, variables=["side"], group="known"), "side"),
        (lambda d: table_one(d, variables=["early"], group="known", unit="side"), "side"),
        (lambda d: theme_transitions(d, early="early", later="side", group="known"), "side"),
        (lambda d: theme_transitions(d, early="early", later="known", group="side"), "side"),
        (
            lambda d: coder_agreement(
                d, coders=["side", "known"], measurement="nominal", n_resamples=0
            ),
            "",
        ),
        (lambda d: classify(d, judged("early"), labels=("good", "Good ")), "labels"),
        (
            lambda d: compare_trajectories(
                d, outcome="early", time="early", group="side", person="known"
            ),
            "side",
        ),
        (
            lambda d: compare_trajectories(
                d, outcome="early", time="early", group="known", person="side"
            ),
            "side",
        ),
    ],
)
def test_look_alikes_are_refused_wherever_labels_enter(call, column):
    data = pd.DataFrame(
        {"early": [0, 1, 0, 1], "known": list("abab"), "side": ["usual", "usual\u00a0", "b", "b"]}
    )
    with pytest.raises(DataError, match=f"{column}.* spells what looks like one"):
        call(data)


def test_units_are_told_apart_within_their_own_parent_only():
    data = pd.DataFrame(
        {
            "therapist": ["T1"] * 8 + ["T2"] * 8,
            "person": ["a", "b", "c", "d"] * 2 + ["A", "B", "C", "D"] * 2,
            "time": [0, 0, 0, 0, 1, 1, 1, 1] * 2,
            "score": [1.0, 2, 3, 4, 3, 3, 5, 5, 2, 2, 4, 3, 4, 2, 6, 5],
            "side": ["x", "x", "y", "y"] * 4,
        }
    )
    roles = {"outcome": "score", "time": "time", "group": "side", "person": "person"}
    result = compare_trajectories(data, **roles, nested_in=["therapist"], random_slope=False)
    assert result.rows.n_used == 16
    with pytest.raises(DataError, match="'person' spells what looks like one unit in 2 ways"):
        compare_trajectories(data, **roles, random_slope=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: table_one(d, variables=["x", "x"], group="g"), "'x' is given twice"),
        (lambda d: table_one(d, variables=["g"], group="g"), "'g' is given twice"),
        (
            lambda d: table_one(d.assign(x=np.nan), variables="x", group="g"),
            "'x' is missing in every row",
        ),
        (
            lambda d: table_one(
                d.assign(x=pd.date_range("2020-01-01", periods=len(d))), variables="x", group="g"
            ),
            "'x' holds dates or durations",
        ),
        (lambda d: compare_themes(d, themes=[], group="g"), "themes is empty"),
        (
            lambda d: coder_agreement(
                d, coders=["x", "x", "t"], measurement="nominal", n_resamples=0
            ),
            "at least two coders, each once",
        ),
        (
            lambda d: coder_agreement(
                d.assign(x=np.inf), coders=["x", "t"], measurement="interval", n_resamples=0
            ),
            "'x' is infinite in rows 0, 1",
        ),
        (
            lambda d: compare_trajectories(
                pd.concat([d, d]), outcome="x", time="t", group="g", person="p"
            ),
            "A person has several rows at one 't' .rows 8, 9, 10, 11, 12 and 3 more rows repeat",
        ),
    ],
)
def test_what_would_count_twice_or_says_nothing_is_refused(call, message):
    data = pd.DataFrame(
        {
            "x": [1.0, 2, 3, 5, 4, 6, 2, 7],
            "t": [0, 1] * 4,
            "g": list("aaaabbbb"),
            "p": [1, 1, 2, 2, 3, 3, 4, 4],
        }
    )
    with pytest.raises(DataError, match=message):
        call(data)
