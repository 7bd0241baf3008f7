"""Ids that cannot be, each refused with where it is and what to do."""

import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.study import Study


def message(data: pd.DataFrame, **roles: object) -> str:
    with pytest.raises(DataError) as error:
        Study.from_frame(data, **roles)
    return str(error.value)


def test_an_empty_table_is_refused():
    text = message(pd.DataFrame({"person": []}), person="person")
    assert text == "data has no rows: there is nothing to compute from."


def test_what_is_not_a_frame_is_refused():
    assert "must be a pandas DataFrame; got dict" in message({"person": [1]}, person="person")


def test_a_column_that_is_not_there_is_named_with_the_nearest():
    data = pd.DataFrame({"person": [1], "Alliance": [4.0]})
    text = message(data, person="person", alliance="aliance")
    assert text == "data has no column 'aliance'. Did you mean 'Alliance'?"


def test_one_column_in_two_roles_is_refused():
    data = pd.DataFrame({"person": [1], "x": [4.0]})
    assert message(data, person="person", alliance="x", outcome="x") == (
        "Column 'x' was given as both alliance= and outcome=. A column has one role; name another, "
        "or copy it if it really serves both."
    )


def test_a_role_is_the_name_of_one_column():
    text = message(pd.DataFrame({"person": [1]}), person=["person"])
    assert text == "person= must be the name of one column; got ['person']."


def test_a_missing_id_is_refused():
    data = pd.DataFrame({"person": ["a", "b", None], "family": ["F", None, "F"]})
    assert message(data, person="person", family="family") == (
        "Column 'family' is missing in row 1, but it is needed to know the family. "
        "Fill it in, or leave those rows out yourself."
    )


def test_a_blank_id_is_refused_as_missing():
    data = pd.DataFrame({"person": ["a", "  ", ""]})
    assert message(data, person="person") == (
        "Column 'person' is blank in rows 1, 2, but it is needed to know the person. "
        "Fill it in, or leave those rows out yourself."
    )


@pytest.mark.parametrize("odd", [1.5, True, pd.Timestamp("2024-01-01"), 2.0**60, (1, 2)])
def test_ids_that_are_neither_text_nor_whole_numbers_are_refused(odd: object):
    data = pd.DataFrame({"person": pd.Series(["a", odd], dtype=object)})
    text = message(data, person="person")
    assert text.startswith(f"Column 'person' (person) holds {odd!r} in row 1. Ids must be text or")


def test_a_person_in_two_families_is_refused():
    data = pd.DataFrame(
        {"person": ["a", "b", "a", "c"], "family": ["F1", "F1", "F2", "F2"], "s": [1, 1, 2, 1]}
    )
    assert message(data, person="person", family="family", session="s") == (
        "Person 'a' (column 'person') stands in 2 families (column 'family': 'F1', 'F2') in rows "
        "0, 2. If ids are numbered anew in each family, declare local_ids=('person',). If one "
        "person is treated in two families, give the person an id of its own in each, or keep the "
        "rows of one family."
    )


def test_every_further_clash_is_counted():
    data = pd.DataFrame({"person": list("abcabc"), "family": [1, 1, 1, 2, 2, 2]})
    text = message(data, person="person", family="family")
    assert "in rows 0, 3, and 2 more persons likewise. If ids" in text


def test_co_therapy_is_refused_with_what_to_do():
    data = pd.DataFrame(
        {"person": ["a", "b"], "family": ["F", "F"], "therapist": ["T1", "T2"], "s": [1, 1]}
    )
    text = message(data, person="person", family="family", therapist="therapist", session="s")
    assert text == (
        "Family 'F' (column 'family') stands under 2 therapists (column 'therapist': 'T1', 'T2') "
        "in rows 0, 1. If ids are numbered anew under each therapist, declare "
        "local_ids=('family',). It was seen by both in one session (co-therapy): name the pair as "
        "one therapist, as in 'T1+T2', or keep the ratings of one."
    )


def test_a_change_of_therapist_is_refused_with_what_to_do():
    data = pd.DataFrame(
        {"person": ["a", "a"], "family": ["F", "F"], "therapist": ["T1", "T2"], "s": [1, 2]}
    )
    text = message(data, person="person", family="family", therapist="therapist", session="s")
    assert "If the therapist changed, keep the rows under the first therapist with the ending " in (
        text
    )
    assert "'transferred', or treat the second course as a unit with an id of its own" in text


def test_a_person_under_two_therapists_is_refused_where_there_is_no_family():
    data = pd.DataFrame({"person": [7, 7], "therapist": ["T1", "T2"], "s": [1, 2]})
    text = message(data, person="person", therapist="therapist", session="s")
    assert text.startswith(
        "Person '7' (column 'person') stands under 2 therapists (column 'therapist': 'T1', 'T2') "
        "in rows 0, 1. If ids are numbered anew under each therapist, declare local_ids=('person',)"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("F1", "F1 "),
        ("F1", "f1"),
        (1, "1"),
        ("1", "01"),
        ("1", "1.0"),
        ("F01", "F1"),
        ("Jose\u0301", "Jos\u00e9"),  # composed and decomposed accents
        ("A  B", "A B"),
    ],
)
def test_two_spellings_of_what_looks_like_one_unit_are_refused(one: object, other: object):
    data = pd.DataFrame({"person": pd.Series([one, "zz", other], dtype=object)})
    assert message(data, person="person") == (
        f"Column 'person' spells what looks like one unit in 2 ways: {one!a} (row 0), {other!a} "
        "(row 2). Spell it in one way; if they are different units, rename one."
    )


@pytest.mark.parametrize(
    "ids", [["F1", "F10", "F100"], ["1.1", "1.10", "1.01"], [10, 1, 100], ["0", "00a", "000b"]]
)
def test_different_units_are_not_taken_for_one(ids: list[object]):
    assert Study.from_frame(pd.DataFrame({"person": ids}), person="person").rows.units(
        "person"
    ) == (3)


@pytest.mark.parametrize(
    "ids",
    [
        ["Ana María", "Łukasz", "李"],
        [3, 1, 2],
        [3.0, 1.0, 2.0],
        pd.Categorical(["b", "a", "c"], categories=["z", "c", "b", "a"]),
        pd.Categorical([3, 1, 2]),
        pd.array(["x", "y y", "z"], dtype="string"),
        pd.array([1, 2, 3], dtype="Int64"),
        [1, "b", "3c"],
    ],
)
def test_ids_of_every_legal_kind(ids: object):
    data = pd.DataFrame({"person": ids, "alliance": [1.0, 2.0, 3.0]})
    before = data.copy(deep=True)
    study = Study.from_frame(data, person="person", alliance="alliance")
    assert study.rows.units("person") == 3
    assert [str(value) for value in study.persons["person"]] == [
        str(int(value)) if isinstance(value, float) else str(value) for value in ids
    ]
    assert study.persons["person"].dtype in ("int64", object)
    pd.testing.assert_frame_equal(data, before)


def test_numbers_too_long_for_an_integer_are_refused():
    data = pd.DataFrame({"person": pd.Series([2**63 + 1, 1], dtype="uint64")})
    text = message(data, person="person")
    assert text.startswith("Column 'person' (person) holds 9223372036854775809 in row 0. Ids must")


def test_mixed_ids_become_text_and_the_study_says_so():
    study = Study.from_frame(pd.DataFrame({"person": [1, "b", 3.0]}), person="person")
    assert study.persons["person"].tolist() == ["1", "b", "3"]
    assert study.notes == ("Column 'person' mixed numbers and text; its ids are all text now.",)


@pytest.fixture
def local() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "therapist": ["T01", "T01", "T01", "T02"],
            "family": [1, 1, 2, 1],
            "person": ["mother", "child", "mother", "mother"],
        }
    )


def test_local_ids_are_made_global_and_the_study_says_so(local: pd.DataFrame):
    study = Study.from_frame(
        local,
        person="person",
        family="family",
        therapist="therapist",
        local_ids=("family", "person"),
    )
    assert study.sessions["family"].tolist() == ["T01/1", "T01/1", "T01/2", "T02/1"]
    assert study.sessions["person"].tolist() == [
        "T01/1/mother",
        "T01/1/child",
        "T01/2/mother",
        "T02/1/mother",
    ]
    assert study.notes == (
        "Family ids are local to the therapist: column 'family' now reads as in 'T01/1'.",
        "Person ids are local to the family: column 'person' now reads as in 'T01/1/mother'.",
    )
    assert study.rows.tidy().loc[0, ["n_person", "n_family", "n_therapist"]].tolist() == [4, 3, 2]
    assert local["family"].tolist() == [1, 1, 2, 1]


def test_without_the_declaration_they_are_refused_and_the_message_names_it(local: pd.DataFrame):
    text = message(
        local, person="person", family="family", therapist="therapist", local_ids=("person",)
    )
    assert text.startswith("Family '1' (column 'family') stands under 2 therapists")
    assert "declare local_ids=('family',)" in text


def test_spellings_are_compared_within_a_parent_where_ids_are_local():
    data = pd.DataFrame({"family": ["F", "G"], "person": ["Mother", "mother"]})
    study = Study.from_frame(data, person="person", family="family", local_ids=["person"])
    assert study.persons["person"].tolist() == ["F/Mother", "G/mother"]


@pytest.mark.parametrize(
    ("local_ids", "text"),
    [
        ("person", "local_ids must be a sequence such as ('person',); got a string."),
        (("therapist",), "local_ids may name 'family' and 'person'; got 'therapist'."),
        (("family",), "local_ids names 'family', but no column was given as family=."),
        (
            ("person",),
            "local_ids says that person ids are numbered anew in each unit above, but no column "
            "was given as family= or therapist=. Name it, or leave 'person' out of local_ids.",
        ),
    ],
)
def test_a_local_id_needs_a_parent(local_ids: object, text: str):
    data = pd.DataFrame({"person": ["a"]})
    assert message(data, person="person", local_ids=local_ids) == text


def test_slashes_that_would_make_two_units_one_are_refused():
    data = pd.DataFrame({"family": ["A", "A/1"], "person": ["1/2", "2"]})
    assert message(data, person="person", family="family", local_ids=("person",)) == (
        "Ids in 'family' and 'person' contain '/', and two different units would both read "
        "'A/1/2'. Take the '/' out of the ids."
    )
