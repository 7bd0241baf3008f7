"""Wide tables made long: what becomes a row, what does not, and what is said of it."""

import re

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.study import Study
from alliance_stats.study.wide import recognised_pattern

NAN = np.nan
PERSONS = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "site": ["x", "x", "y"],
        "wai_3_s1": [4.0, 5.0, NAN],
        "wai_3_s2": [NAN, 6.0, NAN],
        "wai_3_s10": [5.0, NAN, NAN],
        "phq_s1": [10.0, 12.0, NAN],
        "phq_s2": [NAN, 11.0, NAN],
    }
)


def test_repeated_columns_become_rows_and_what_was_never_observed_is_counted():
    study = Study.from_wide(
        PERSONS,
        wide="{score}_s{session}",
        person="id",
        alliance="wai_3",
        outcome="phq",
        score_range=(1, 7),
    )
    expected = pd.DataFrame(
        {
            "id": ["a", "a", "b", "b"],
            "site": ["x", "x", "x", "x"],
            "session": [1, 10, 1, 2],
            "wai_3": [4.0, 5.0, 5.0, 6.0],
            "phq": [10.0, NAN, 12.0, 11.0],
        }
    )
    pd.testing.assert_frame_equal(study.sessions, expected, check_dtype=False)
    assert study.notes == (
        "Made long as wide='{score}_s{session}' says: columns 'wai_3', 'phq'; sessions 1, 2, 10.",
        "Made long: 5 sessions without a value made no row, 1 after the last that has one, 1 "
        "before it (whether they took place, the table does not say), 3 of 1 person "
        "without any value.",
    )


def test_a_row_per_family_makes_person_ids_of_family_and_role():
    families = pd.DataFrame(
        {
            "fam": [1, 2],
            "mother_bond_1": [4, 5],
            "mother_bond_2": [5, 6],
            "father_bond_1": [3, NAN],
            "father_goal_1": [2, NAN],
        }
    )
    study = Study.from_wide(
        families,
        wide="{role}_{item}_{session}",
        family="fam",
        scores={"bond": (1, 7), "goal": None},
    )
    rows = study.sessions[["person", "role", "session", "bond", "goal"]].values.tolist()
    shown = [[None if pd.isna(value) else value for value in row] for row in rows]
    assert shown == [
        ["1/mother", "mother", 1, 4.0, None],
        ["1/mother", "mother", 2, 5.0, None],
        ["1/father", "father", 1, 3.0, 2.0],
        ["2/mother", "mother", 1, 5.0, None],
        ["2/mother", "mother", 2, 6.0, None],
    ]
    table = (
        study.describe().tidy().query("role.isna() and session.isna()").set_index(["about", "term"])
    )
    assert table.loc[("score", "bond"), ["n", "mean"]].tolist() == [5, 4.6]
    with pytest.raises(DataError, match="'goal' is outside its declared range 3 to 7 in row 2"):
        Study.from_wide(
            families, wide="{role}_{item}_{session}", family="fam", scores={"goal": (3, 7)}
        )


def test_long_to_wide_to_long_is_the_same():
    draw = np.random.default_rng(8)
    long = pd.DataFrame(
        [(p, s) for p in range(1, 9) for s in range(1, draw.integers(2, 7))],
        columns=["person", "session"],
    )
    long = long.assign(wai=draw.normal(5, 1, len(long)).round(2), phq=draw.normal(9, 3, len(long)))
    wide = long.pivot(index="person", columns="session", values=["wai", "phq"])
    wide.columns = [f"{score}.t{session}" for score, session in wide.columns]
    shuffled = wide.reset_index().iloc[:, draw.permutation(wide.shape[1] + 1)]
    study = Study.from_wide(
        shuffled, wide="{score}.t{session}", person="person", scores={"wai": None, "phq": None}
    )
    found = study.sessions[["person", "session", "wai", "phq"]]
    pd.testing.assert_frame_equal(found, long, check_dtype=False)


@pytest.mark.parametrize(
    ("wide", "message"),
    [
        ("{score}_{time}", "must name {session} and {score} or"),
        ("{score}_s", "must name {session} and {score} or"),
        ("{score}_{score}_{session}", "must name {session} and {score} or"),
        ("{score}-{session}", r"No column is named as wide='{score}-{session}' says. The columns "),
    ],
)
def test_patterns_that_say_nothing_are_refused(wide: str, message: str):
    with pytest.raises(DataError, match=message):
        Study.from_wide(PERSONS, wide=wide, person="id")


def test_tables_that_cannot_be_made_long_are_refused():
    pattern = "{score}_s{session}"
    with pytest.raises(DataError, match=r"two columns 'site'"):
        Study.from_wide(PERSONS.assign(site_s1=1), wide=pattern, person="id")
    with pytest.raises(
        DataError, match="'a' has several rows in a table that is said to have a row"
    ):
        Study.from_wide(PERSONS.assign(id="a"), wide=pattern, person="id")
    with pytest.raises(DataError, match="says the same session of 'phq' as another column"):
        Study.from_wide(PERSONS.assign(phq_s01=1.0), wide=pattern, person="id")
    with pytest.raises(DataError, match="hold no value at all"):
        Study.from_wide(PERSONS.iloc[2:], wide=pattern, person="id")
    with pytest.raises(DataError, match=r"Name family=, and leave out person= and role="):
        Study.from_wide(PERSONS, wide="{role}_{score}_s{session}", person="id")
    with pytest.raises(DataError, match="was given as alliance= and in scores="):
        Study.from_wide(PERSONS, wide=pattern, person="id", alliance="phq", scores={"phq": None})


def test_a_wide_file_is_read_by_its_pattern(tmp_path):
    path = tmp_path / "wide.csv"
    PERSONS.to_csv(path, index=False, sep=";", decimal=",")
    roles = {"person": "id", "alliance": "wai_3", "separator": ";", "decimal": ","}
    study = Study.from_file(path, wide="{score}_s{session}", **roles)
    assert len(study.sessions) == 4
    with pytest.raises(DataError, match="session= and wide= exclude each other"):
        Study.from_file(path, wide="{score}_s{session}", session="site", **roles)


@pytest.mark.parametrize(
    ("columns", "pattern"),
    [
        (["id", "wai_s1", "wai_s2", "wai_s3"], "{score}_s{session}"),
        (["id", "wai.1", "wai.2", "wai.3", "phq.1"], "{score}.{session}"),
        (["id", "m_wai_t1", "m_wai_t2", "m_wai_t10"], "{score}_t{session}"),
        (
            [f"{who}_wai{k}_s{s}" for who in ("client", "ther") for k in (1, 2) for s in (1, 2, 3)],
            "{rater}_{score}_s{session}",
        ),
        (
            [f"{q}_{k}_s{s}" for q in ("wai", "phq") for k in (1, 2) for s in (1, 2, 3)],
            "{score}_s{session}",
        ),
        ([f"t{s}_wai{k}" for s in (1, 2, 3) for k in range(1, 13)], "t{session}_{score}"),
        ([f"Zeit {s} WAI" for s in (1, 2, 3)], "Zeit {session} {score}"),
        ([f"WAI (Séance {s})" for s in (1, 2, 3)], "{score} (Séance {session})"),
        ([f"client_alliance{s}" for s in (1, 2, 3)], None),
        ([f"WAI{s}[SQ00{k}]" for s in (1, 2, 3) for k in (1, 2)], "WAI{session}[{item}]"),
        (
            [f"{q}{s}[SQ001]. Wie [ging] es? [a]" for q in ("WAI", "PHQ") for s in (1, 2, 3)],
            "{score}{session}[{item}]. {any}",
        ),
        ([f"G0{s}Q0{s + 4}[SQ001]" for s in (1, 2, 3)], "G{session}Q{any}[{item}]"),
        (["id", "session", "wai", "phq9"], None),
        (["id", "q1", "q2"], None),
    ],
)
def test_the_pattern_of_repeated_columns_is_recognised(columns: list[str], pattern: str | None):
    assert recognised_pattern(columns) == pattern


def test_a_score_spelt_in_two_ways_is_refused():
    named = PERSONS.rename(columns={"phq_s2": "PHQ_s2"})
    with pytest.raises(
        DataError, match="looks like one score in 2 ways: 'phq' .*'PHQ' .row PHQ_s2"
    ):
        Study.from_wide(named, wide="{score}_s{session}", person="id", alliance="wai_3")


REDCAP = pd.DataFrame(
    {
        "record_id": [1, 1, 1, 2, 2, 3],
        "redcap_repeat_instrument": [None, "visit", "visit", None, "visit", None],
        "redcap_repeat_instance": [NAN, 1, 2, NAN, 1, NAN],
        "wai": [NAN, 4, 5, NAN, 4, NAN],
        "gender": [2, NAN, NAN, 1, NAN, 1],
        "place": ["x", NAN, "y", NAN, NAN, NAN],
    }
)
VISITS = {"redcap_repeat_instrument": "visit"}
OF_REDCAP = {"person": "record_id", "session": "redcap_repeat_instance", "alliance": "wai"}


def test_what_redcap_says_of_a_person_stands_beside_the_sessions():
    study = Study.from_frame(REDCAP, **OF_REDCAP, repeated=VISITS)
    found = study.sessions
    assert found.index.tolist() == [1, 2, 4]
    assert found["gender"].tolist() == [2, 2, 1]
    assert study.notes == (
        "Put beside each person's sessions: 'gender', from rows that are none.",
        "Not used, since rows of sessions have them too: 'place' in row 0.",
        "1 person without a session left out: row 5.",
    )


def test_rows_of_persons_that_disagree_are_refused():
    twice = pd.concat([REDCAP, REDCAP.head(1).assign(gender=1, place=NAN)], ignore_index=True)
    with pytest.raises(DataError, match=r"different things of '1' in column 'gender' \(2.0, 1.0\)"):
        Study.from_frame(twice, **OF_REDCAP, repeated=VISITS)


@pytest.mark.parametrize(
    ("repeated", "message"),
    [
        ({"redcap_repeat_instrument": "visits"}, "Did you mean 'visit'?"),
        ({"event": "visit"}, "no column 'event'"),
        ("visit", "one column with its value"),
    ],
)
def test_repeated_rows_are_named_by_column_and_value(repeated: object, message: str):
    with pytest.raises(DataError, match=re.escape(message)):
        Study.from_frame(REDCAP, **OF_REDCAP, repeated=repeated)  # type: ignore[arg-type]


def test_an_unknown_ending_is_named_by_the_row_of_the_wide_table(tmp_path):
    path = tmp_path / "wide.csv"
    PERSONS.assign(end=["dropout", "Abbruch", "planned"]).to_csv(path, index=False)
    with pytest.raises(DataError, match="unknown ending 'Abbruch' in row 3"):
        Study.from_file(
            path, wide="{score}_s{session}", person="id", alliance="wai_3", ending="end"
        )


def test_a_session_is_all_digits_of_its_number():
    data = pd.DataFrame({"id": [1], **{f"wai{s}": [float(s)] for s in range(1, 13)}})
    study = Study.from_wide(data, wide="{score}{session}", person="id", alliance="wai")
    assert study.sessions["session"].tolist() == list(range(1, 13))
    assert study.sessions["wai"].tolist() == list(range(1, 13))


@pytest.mark.parametrize("name", ["wai_3_S4", "wai_3 s4", "wai_3_s 4", "wai_3s4"])
def test_a_column_that_is_nearly_named_so_is_refused(name: str):
    with pytest.raises(DataError, match=f"'{name}' is not named as .* but nearly so, as 'wai_3_s1"):
        Study.from_wide(
            PERSONS.assign(**{name: 1.0}), wide="{score}_s{session}", person="id", alliance="wai_3"
        )


LIME = [f"{q}{s}[SQ00{k}]" for s in (1, 2) for q in ("WAI", "PHQ") for k in (1, 2)]


@pytest.mark.parametrize("header_rows", [1, 2])
def test_codes_of_limesurvey_are_read_with_or_without_its_questions(tmp_path, header_rows: int):
    path = tmp_path / "results-survey.csv"
    questions = [["Antwort ID", "Zugangscode", *(f"Wie, [{name[-4:-1]}]?" for name in LIME)]]
    answers = [[i, f"tok{i}", *(i + k for k in range(8))] for i in (1, 2, 3)]
    rows = [["id", "token", *LIME], *questions[: header_rows - 1], *answers]
    lines = [";".join(f'"{cell}"' for cell in row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    study = Study.from_file(
        path, person="token", wide="{score}{session}[{item}]", separator=";",
        header_rows=header_rows,
    )  # fmt: skip
    found = study.sessions.set_index(["token", "session"])
    assert found.loc[("tok1", 1), "WAI_SQ001":"PHQ_SQ002"].tolist() == [1, 2, 3, 4]
    assert found.loc[("tok3", 2), "WAI_SQ001":"PHQ_SQ002"].tolist() == [7, 8, 9, 10]
    if header_rows == 2:
        with pytest.raises(DataError, match="Pass header_rows=2"):
            Study.from_file(path, person="token", wide="{score}{session}[{item}]", separator=";")


def test_codes_with_their_questions_and_numbers_in_between_are_read():
    names = ["G1Q02[SQ1]. Als [Klient]. Gut? [a]", "G2Q07[SQ1]. Als [Klient]. Gut? [a]"]
    data = pd.DataFrame([["x", 3, 4]], columns=["id", *names])
    study = Study.from_wide(
        data, wide="G{session}Q{any}[{item}]. {any}", person="id", scores={"SQ1": (1, 5)}
    )
    assert study.sessions[["session", "SQ1"]].values.tolist() == [[1, 3], [2, 4]]
    twice = data.assign(**{"G2Q08[SQ1]. Als? [a]": 5})
    with pytest.raises(DataError, match="says the same session of 'SQ1' as another"):
        Study.from_wide(twice, wide="G{session}Q{any}[{item}]. {any}", person="id")


def test_forms_of_one_session_are_put_into_one_row():
    forms = pd.DataFrame(
        {
            "record_id": [1, 1, 1, 2, 2],
            "redcap_repeat_instrument": [None, "client", "therapist", "therapist", None],
            "redcap_repeat_instance": [NAN, 1, 1, 1, NAN],
            "wai_c": [NAN, 4, NAN, NAN, NAN],
            "wai_t": [NAN, NAN, 5, 6, NAN],
            "gender": [2, NAN, NAN, NAN, 1],
        }
    )
    both = {"redcap_repeat_instrument": ["client", "therapist"]}
    roles = {"person": "record_id", "session": "redcap_repeat_instance", "alliance": "wai_c"}
    study = Study.from_frame(forms, **roles, scores={"wai_t": (1, 7)}, repeated=both)
    found = study.sessions
    assert found["wai_c"].fillna(0).tolist() == [4, 0]
    assert found["wai_t"].tolist() == [5, 6]
    assert found["gender"].tolist() == [2, 1]
    assert (
        study.notes[0]
        == "Rows of 'client', 'therapist' were put into one per session: 3 rows into 2."
    )
    again = pd.concat([forms, forms.iloc[[2]].assign(wai_t=3)], ignore_index=True)
    with pytest.raises(DataError, match=r"say different things in column 'wai_t', rows 1, 2, 5"):
        Study.from_frame(again, **roles, repeated=both)
    with pytest.raises(DataError, match="name session="):
        Study.from_frame(forms, person="record_id", time="redcap_repeat_instance", repeated=both)


def test_a_number_may_tell_the_rows_of_sessions():
    data = pd.DataFrame({"id": [1, 1], "kind": [0.0, 1.0], "s": [NAN, 1], "age": [40, NAN]})
    study = Study.from_frame(data, person="id", session="s", repeated={"kind": 1})
    assert study.sessions["age"].tolist() == [40]


def test_dates_repeat_beside_scores():
    data = pd.DataFrame(
        {"id": [1], "date_s1": ["2024-01-01"], "date_s2": ["2024-01-09"], "wai_s1": [5.0]}
    )
    study = Study.from_wide(
        data, wide="{score}_s{session}", person="id", alliance="wai", time="date"
    )
    # a session that has a date took place, rated or not
    assert study.sessions[["session", "date_days"]].values.tolist() == [[1, 0], [2, 8]]


def test_codes_for_missing_are_no_ratings(tmp_path):
    path = tmp_path / "sosci.csv"
    path.write_text("id,age,wai_s1,wai_s2\n1,-9,4,-9\n2,30,-1,5\n-9,40,3,-9\n", encoding="utf-8")
    read = {"wide": "{score}_s{session}", "person": "id", "alliance": "wai"}
    study = Study.from_file(path, **read, missing=(-9, -1), score_range=(1, 7))
    assert study.sessions[["id", "session", "wai"]].values.tolist() == [
        [1, 1, 4], [2, 2, 5], [-9, 1, 3],
    ]  # fmt: skip
    assert np.isnan(study.sessions["age"].iloc[0])
    assert study.notes[0] == (
        "Read as missing, as missing= says: 4 values in 'age', 'wai_s1', 'wai_s2'."
    )
    with pytest.raises(DataError, match=r"missing= names 5, which is a score that 'alliance' may"):
        Study.from_file(path, **read, missing=(-9, 5), score_range=(1, 7))
    with pytest.raises(DataError, match=r"missing= names 5, which is a score that 'wai' may"):
        Study.from_frame(
            pd.DataFrame({"p": [1], "wai": [5]}), person="p", scores={"wai": (1, 7)}, missing=[5]
        )


def test_a_role_of_two_words_is_not_cut():
    names = [f"{who}_{score}_1" for who in ("step_mother", "father") for score in ("wai", "goal_2")]
    data = pd.DataFrame([[1, 2, 3, 4, 5]], columns=["fam", *names])
    with pytest.raises(DataError, match="role 'step' has 'mother_wai' where 'father' has 'wai'"):
        Study.from_wide(data, wide="{role}_{score}_{session}", family="fam")
