"""What a study gives back."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest

from alliance_stats.account import Result
from alliance_stats.datasets import example_study, example_themes
from alliance_stats.errors import DataError
from alliance_stats.estimates import GLOSSARY
from alliance_stats.study import Study

ROLES = {
    "person": "who",
    "family": "fam",
    "therapist": "ther",
    "session": "s",
    "role": "role",
    "alliance": "wai",
    "ending": "end",
}


@pytest.fixture
def data() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ther": ["T1"] * 5 + ["T2"],
            "fam": ["F1"] * 3 + ["F2"] * 2 + ["F3"],
            "who": ["a", "a", "b", "c", "c", "d"],
            "s": [1, 2, 1, 1, 2, 1],
            "role": ["mother", "mother", "child", "mother", "mother", "father"],
            "wai": [4.0, np.nan, 6.0, 2.0, 3.0, np.nan],
            "end": ["dropout"] * 3 + ["planned"] * 2 + ["dropout"],
            "barrier": [1.0, 1.0, 1.0, np.nan, np.nan, 0.5],
            "partly": [1.0, np.nan, 1.0, 1.0, 1.0, 1.0],
        },
        index=list("uvwxyz"),
    )


@pytest.fixture
def study(data: pd.DataFrame) -> Study:
    return Study.from_frame(data, **ROLES)


def test_sessions_are_the_table_under_the_callers_names(data: pd.DataFrame, study: Study):
    pd.testing.assert_frame_equal(study.sessions, data, check_dtype=False)  # text as objects
    assert study.roles == ROLES


def test_neither_the_callers_frame_nor_the_study_can_be_changed(data: pd.DataFrame, study: Study):
    before = data.copy(deep=True)
    own = study.sessions
    own["wai"] = 0.0
    study.roles["person"] = "x"
    data["wai"] = 7.0
    pd.testing.assert_frame_equal(study.sessions, before, check_dtype=False)
    assert study.roles["person"] == "who"
    with pytest.raises(AttributeError):
        study.unit = "person"  # type: ignore[misc]


def test_persons_have_the_columns_that_are_constant_in_every_person(study: Study):
    assert study.persons.columns.tolist() == [
        "ther",
        "fam",
        "who",
        "role",
        "end",
        "barrier",
        "partly",
    ]
    assert study.persons["who"].tolist() == ["a", "b", "c", "d"]
    assert study.persons["role"].tolist() == ["mother", "child", "mother", "father"]


def test_families_and_therapists_likewise(study: Study):
    expected = pd.DataFrame(
        {
            "ther": ["T1", "T1", "T2"],
            "fam": ["F1", "F2", "F3"],
            "end": ["dropout", "planned", "dropout"],
            "barrier": [1.0, np.nan, 0.5],
            "partly": [1.0, 1.0, 1.0],
        }
    )
    pd.testing.assert_frame_equal(study.families, expected, check_dtype=False)
    assert study.therapists.columns.tolist() == ["ther", "partly"]


def test_a_value_that_one_row_lacks_is_not_lost_to_the_family(study: Study):
    table = study.describe().tidy()
    completed = table[table["about"] == "completed"]
    assert completed[["term", "n", "of"]].to_numpy().tolist() == [
        ["person partly", 1, 6],
        ["family partly", 1, 6],
        ["therapist partly", 1, 6],
    ]
    assert (
        "partly of the family: missing in 1 of 6 rows, where other rows of it have it"
        in study.describe().summary()
    )


def test_a_value_that_a_whole_person_or_family_lacks_is_left_out_and_said(data: pd.DataFrame):
    study = Study.from_frame(data.assign(site=["x", "x", None, "y", "y", "z"]), **ROLES)
    assert study.persons["site"].fillna("?").tolist() == ["x", "?", "y", "z"]
    assert "site" not in study.families  # is it the mother's, or the family's?
    assert "barrier" not in study.therapists  # one family's is not another's
    summary = study.describe().summary()
    assert (
        "site is left out of the table of families: 1 of 4 units below the family without any "
        "value, the others agree" in summary
    )
    assert (
        "barrier is left out of the table of therapists: 1 of 3 units below the therapist without "
        "any value, the others agree" in summary
    )


def test_a_score_is_never_taken_for_the_persons_own():
    data = pd.DataFrame(
        {"who": ["a", "a", "b"], "s": [1, 2, 1], "wai": [4.0, np.nan, 5.0], "pre": [1, np.nan, 2]}
    )
    study = Study.from_frame(data, person="who", session="s", alliance="wai")
    assert study.persons.columns.tolist() == ["who", "pre"]
    assert study.persons["pre"].tolist() == [1.0, 2.0]
    assert Study.from_frame(data[:1], person="who", alliance="wai").persons["wai"].tolist() == [4.0]


def test_a_level_that_was_not_given_is_refused(data: pd.DataFrame):
    study = Study.from_frame(data.drop_duplicates("who"), person="who")
    with pytest.raises(DataError, match="This study has no family column; give family= when"):
        _ = study.families
    assert len(study.persons) == 4
    assert repr(study) == "<Study: 4 rows, 4 persons>"


def test_the_ledger_counts_units_and_what_was_set_aside(study: Study):
    rated = study.keep(study.sessions["wai"].notna(), reason="alliance not rated")
    assert str(rated.rows) == (
        "6 rows came in (person: 4, family: 3, therapist: 2). 2 set aside: alliance not rated. "
        "4 used (person: 3, family: 2, therapist: 1)."
    )
    assert repr(rated) == "<Study: 4 rows, 3 persons, 2 families, 1 therapist>"
    assert len(study.sessions) == 6


@pytest.mark.parametrize("kept", [[True], [1, 1, 1, 1, 1, 1], True])
def test_keep_wants_one_truth_value_a_row(study: Study, kept: object):
    with pytest.raises(DataError, match=r"kept must hold one true/false per row \(6\); got shape"):
        study.keep(kept, reason="x")


def test_keep_refuses_to_leave_nothing(study: Study):
    with pytest.raises(DataError, match="No row is left after: too short"):
        study.keep(np.zeros(6, dtype=bool), reason="too short")


def test_description_counts_by_hand(study: Study):
    table = study.describe().tidy()
    table = table[table["role"].isna() & table["session"].isna()].set_index(["about", "term"])
    assert table["n"].to_dict() == {
        ("units", "rows"): 6,
        ("units", "persons"): 4,
        ("units", "families"): 3,
        ("units", "therapists"): 2,
        ("size", "sessions per person"): 4,
        ("size", "persons per family"): 3,
        ("size", "families per therapist"): 2,
        ("missing", "person"): 0,
        ("missing", "family"): 0,
        ("missing", "therapist"): 0,
        ("missing", "session"): 0,
        ("missing", "role"): 0,
        ("missing", "alliance"): 2,
        ("missing", "ending"): 0,
        ("completed", "person partly"): 1,
        ("completed", "family partly"): 1,
        ("left out", "therapist barrier"): 1,
        ("completed", "therapist partly"): 1,
        ("score", "alliance"): 4,
        ("ending", "dropout"): 2,
        ("ending", "planned"): 1,
    }
    numbers = ["mean", "sd", "minimum", "median", "maximum"]
    assert table.loc[("size", "sessions per person"), numbers].tolist() == pytest.approx(
        [1.5, np.sqrt(1 / 3), 1, 1.5, 2]
    )
    assert table.loc[("score", "alliance"), numbers].tolist() == pytest.approx(
        [3.75, np.sqrt((0.25**2 + 2.25**2 + 1.75**2 + 0.75**2) / 3), 2, 3.5, 6]
    )


def test_a_first_look_by_hand():
    data = pd.DataFrame(
        {
            "who": ["a", "a", "a", "b", "b", "c"],
            "role": ["mother", "mother", "mother", "child", "child", "child"],
            "s": [1, 2, 3, 1, 2, 1],
            "wai": [7, 5, np.nan, 1, 3, 7],
            "phq": [10, 14, 11, 20, np.nan, 12],
        }
    )
    study = Study.from_frame(
        data, person="who", session="s", role="role", alliance="wai", outcome="phq",
        score_range=(1, 7),
    )  # fmt: skip
    table = study.describe().tidy()
    ends = table[table["role"].isna() & table["session"].isna()].set_index(["about", "term"])
    assert ends.loc[("floor", "alliance"), ["n", "of"]].tolist() == [1, 5]
    assert ends.loc[("ceiling", "alliance"), ["n", "of"]].tolist() == [2, 5]
    assert ("floor", "outcome") not in ends.index  # no range was declared
    # pairs: a (7, 10), (5, 14); b (1, 20); c (7, 12): within a the deviations are opposite
    within = ends.loc[("within persons", "alliance with outcome")]
    assert within[["n", "correlation"]].tolist() == [4, pytest.approx(-1.0)]
    between = ends.loc[("between persons", "alliance with outcome")]
    by_hand = np.corrcoef([6.0, 1.0, 7.0], [12.0, 20.0, 12.0])[0, 1]
    assert between[["n", "correlation"]].tolist() == [3, pytest.approx(by_hand)]
    rated = table[(table["about"] == "rated") & (table["term"] == "alliance")]
    assert rated[["role", "session", "n", "of"]].to_numpy().tolist() == [
        ["child", 1, 2, 2], ["child", 2, 1, 2], ["mother", 1, 1, 1], ["mother", 2, 1, 1],
    ]  # fmt: skip


def test_no_correlation_where_persons_have_one_rating():
    data = pd.DataFrame({"who": [1, 2, 3], "wai": [1.1, 2.2, 3.3], "phq": [3.3, 2.2, 1.1]})
    table = Study.from_frame(data, person="who", alliance="wai", outcome="phq").describe().tidy()
    assert "within persons" not in set(table["about"])
    assert table.loc[table["about"] == "between persons", "correlation"].item() == pytest.approx(-1)


def test_description_is_a_result_with_glossed_columns(study: Study):
    description = study.describe()
    assert isinstance(description, Result)
    assert set(description.tidy().columns) <= set(GLOSSARY)
    assert description.glance().iloc[0].to_dict() == {
        "n_rows": 6,
        "n_persons": 4,
        "n_families": 3,
        "n_therapists": 2,
    }


def test_description_in_words(study: Study):
    lines = [" ".join(line.split()) for line in study.describe().summary().splitlines() if line]
    assert lines == [
        "Description of the study as it came in.",
        "Sizes and scores n mean SD minimum median maximum",
        "sessions per person 4 1.50 0.58 1.00 1.50 2.00",
        "persons per family 3 1.33 0.58 1.00 1.00 2.00",
        "families per therapist 2 1.50 0.71 1.00 1.50 2.00",
        "alliance 4 3.75 1.71 2.00 3.50 6.00",
        "Missing n in all share",
        "alliance 2 6 33.3%",
        "Missing by role role n in all share",
        "alliance father 1 1 100.0%",
        "alliance mother 1 4 25.0%",
        "Missing by session session n in all share",
        "alliance 1 1 4 25.0%",
        "alliance 2 1 2 50.0%",
        "Endings by family n in all share",
        "dropout 2 3 66.7%",
        "planned 1 3 33.3%",
        "6 rows, 4 persons, 3 families, 2 therapists.",
        "partly of the person: missing in 1 of 6 rows, where other rows of it have it.",
        "partly of the family: missing in 1 of 6 rows, where other rows of it have it.",
        "barrier is left out of the table of therapists: 1 of 3 units below the therapist without "
        "any value, the others agree.",
        "partly of the therapist: missing in 1 of 6 rows, where other rows of it have it.",
        "6 rows came in (person: 4, family: 3, therapist: 2). 6 used (person: 4, family: 3, "
        "therapist: 2).",
    ]


def test_a_study_of_unrated_rows_can_be_described(data: pd.DataFrame):
    study = Study.from_frame(data.assign(wai=np.nan), **{**ROLES, "ending": None})
    assert re.search(r"\nalliance +0 +– +– +– +– +–\n", study.describe().summary())


def test_a_study_can_be_sent_to_another_process(study: Study):
    again = pickle.loads(pickle.dumps(study))
    pd.testing.assert_frame_equal(again.sessions, study.sessions)
    assert again.roles == study.roles
    assert again.rows == study.rows


def test_row_labels_may_repeat(data: pd.DataFrame):
    data.index = [0] * len(data)
    study = Study.from_frame(data, **ROLES)
    assert study.families["fam"].tolist() == ["F1", "F2", "F3"]


def test_the_example_study_is_there():
    study = example_study()
    families = study.families
    assert study.unit == "family"
    assert set(families["ending"]) <= {"dropout", "planned", "ongoing", "transferred"}
    assert {"experience", "framework", "parent_trauma"} <= set(families.columns)
    assert study.sessions["alliance"].between(1, 7).sum() == study.sessions["alliance"].count()
    themes = example_themes()
    assert set(themes["person"]) <= set(study.persons["person"])


@pytest.mark.parametrize("name", ["role", "rater"])
def test_roles_that_look_alike_or_are_blank_are_refused(name: str):
    data = pd.DataFrame({"person": [1, 2, 3], "who": ["mother", "Mother", "child"]})
    with pytest.raises(DataError, match=f"'who' spells what looks like one {name} in 2 ways"):
        Study.from_frame(data, person="person", **{name: "who"})
    with pytest.raises(DataError, match=f"'who' is blank in row 1, and a blank is no {name}"):
        Study.from_frame(data.assign(who=["a", " ", "b"]), person="person", **{name: "who"})


def test_a_column_of_lists_is_carried_and_left_out_of_the_tables_of_units(data: pd.DataFrame):
    study = Study.from_frame(data.assign(notes=[["x"], None, {}, [], [], []]), **ROLES)
    assert "notes" in study.sessions
    assert "notes" not in study.families
    assert "notes" not in study.describe().summary()


def test_missing_scores_are_counted_by_row_role_and_session():
    frame = pd.DataFrame(
        {
            "person": ["a", "a", "b", "b"],
            "role": ["mother", "mother", "child", "child"],
            "session": [1, 2, 1, 2],
            "wai": [4.0, None, 5.0, None],
            "phq": [None, None, 3.0, 2.0],
        }
    )
    study = Study.from_frame(
        frame, person="person", role="role", session="session", alliance="wai", scores={"phq": None}
    )
    table = study.describe().tidy()
    found = table[table["about"].str.startswith("missing")].fillna({"role": "", "session": 0})
    counted = {
        (row.about, row.term, row.role or int(row.session)): (row.n, row.of)
        for row in found.itertuples()
        if row.term in ("alliance", "phq", "any score", "every score")
    }
    assert counted == {
        ("missing", "alliance", 0): (2, 4),
        ("missing", "phq", 0): (2, 4),
        ("missing", "any score", 0): (3, 4),
        ("missing", "every score", 0): (1, 4),
        ("missing by role", "alliance", "child"): (1, 2),
        ("missing by role", "alliance", "mother"): (1, 2),
        ("missing by role", "phq", "child"): (0, 2),
        ("missing by role", "phq", "mother"): (2, 2),
        ("missing by session", "alliance", 1): (0, 2),
        ("missing by session", "alliance", 2): (2, 2),
        ("missing by session", "phq", 1): (1, 2),
        ("missing by session", "phq", 2): (1, 2),
    }
    said = study.describe().summary()
    assert "Missing by role" in said
    assert "Missing by session" in said
