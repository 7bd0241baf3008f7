"""Ratings that cannot be, each refused with where it is and what to do."""

import re

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.study import Study

ROLES = {"person": "person", "session": "session", "alliance": "wai"}


@pytest.fixture
def data() -> pd.DataFrame:
    return pd.DataFrame(
        {"person": ["a", "a", "b", "b"], "session": [1, 2, 1, 2], "wai": [4.0, np.nan, 5.0, 6.0]}
    )


def message(data: pd.DataFrame, **roles: object) -> str:
    with pytest.raises(DataError) as error:
        Study.from_frame(data, **{**ROLES, **roles})
    return str(error.value)


def test_missing_scores_are_legal_and_counted(data: pd.DataFrame):
    table = Study.from_frame(data, **ROLES).describe().tidy()
    row = table[(table["about"] == "missing") & (table["term"] == "alliance")].iloc[0]
    assert (row["n"], row["of"]) == (1, 4)


def test_sessions_become_whole_numbers(data: pd.DataFrame):
    study = Study.from_frame(data.assign(session=[0.0, 1.0, 1.0, 2.0]), **ROLES)
    assert study.sessions["session"].tolist() == [0, 1, 1, 2]
    assert study.sessions["session"].dtype == "int64"


def test_negative_sessions_are_refused(data: pd.DataFrame):
    assert message(data.assign(session=[1, -1, 1, -2])) == (
        "Column 'session' is negative in rows 1, 3 (-1, -2). Count sessions from 0 (intake) or 1; "
        "correct or leave out those rows."
    )


def test_sessions_that_are_not_whole_are_refused(data: pd.DataFrame):
    assert message(data.assign(session=[1, 1.5, 1, 2])) == (
        "Column 'session' is not a whole number in row 1 (1.5). Sessions are counted 1, 2, 3, ...; "
        "a continuous time goes to time= instead."
    )


def test_a_missing_session_is_refused(data: pd.DataFrame):
    text = message(data.assign(session=[1, None, 1, 2]))
    assert text.startswith("Column 'session' is missing in row 1, but it is needed to know which")


def test_an_infinite_session_is_refused(data: pd.DataFrame):
    assert "Column 'session' is infinite in row 1" in message(
        data.assign(session=[1, np.inf, 1, 2])
    )


def test_a_negative_or_missing_time_is_refused(data: pd.DataFrame):
    days = data.assign(days=[0.0, -3.5, 0.0, 1.0])
    assert message(days, session=None, time="days") == (
        "Column 'days' is negative in row 1 (-3.5). Time is counted from the first assessment; "
        "move its origin there."
    )
    text = message(days.assign(days=[0, np.nan, 0, 1]), session=None, time="days")
    assert text.startswith("Column 'days' is missing in row 1, but it is needed to know when")


DATED = pd.DataFrame(
    {
        "family": [1, 1, 1, 2],
        "person": ["a", "a", "b", "c"],
        "session": [1, 2, 2, 1],
        "date": ["1.3.2024", "15.03.2024", "15.03.2024", "29.2.2024"],
    }
)
OF_DATES = {"person": "person", "family": "family", "session": "session", "time": "date"}


@pytest.mark.parametrize(
    "dates",
    [
        DATED["date"],
        ["2024-03-01", "2024-03-15", "2024-03-15 16:30", "2024-02-29T09:00:00"],
        pd.to_datetime(
            ["2024-03-01 18:00", "2024-03-15 09:00", "2024-03-15", "2024-02-29"], format="ISO8601"
        ),
        pd.Series(pd.to_datetime(DATED["date"], dayfirst=True, format="mixed"), dtype=object),
        pd.to_datetime(DATED["date"], dayfirst=True, format="mixed").dt.tz_localize("Asia/Tokyo"),
        [
            pd.Timestamp(d, tz="Asia/Tokyo")
            for d in ("2024-03-01", "2024-03-15", "2024-03-15", "2024-02-29")
        ],
    ],
)
def test_dates_beside_sessions_give_days_since_the_first_of_the_unit(dates: object):
    study = Study.from_frame(DATED.assign(date=dates), **OF_DATES)
    assert study.roles["time"] == "date_days"
    # b comes later into the family: its time runs from the family's first date
    assert study.sessions["date_days"].tolist() == [0, 14, 14, 0]
    assert study.sessions["date"].dt.strftime("%d.%m.").tolist() == [
        "01.03.", "15.03.", "15.03.", "29.02.",
    ]  # fmt: skip
    assert study.notes == (
        "'date' holds dates: time is counted in days from the first date of each family, in the "
        "new column 'date_days'.",
    )
    alone = Study.from_frame(DATED.assign(date=dates), **OF_DATES, unit="person")
    assert alone.sessions["date_days"].tolist() == [0, 14, 0, 0]


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (["3/4/2024"] * 4, "in which day and month cannot be told apart"),
        (["1.3.2024", "15.3.24", "15.3.2024", "1.3.2024"], "'15.3.24' in row 1, which is no date"),
        (["1.3.2024", "31.2.2024", "15.3.2024", "1.3.2024"], "'31.2.2024' in row 1, which is no"),
        (["1.3.2024", None, "15.3.2024", "1.3.2024"], "is missing in row 1"),
        ([45352, 45366, 45366, 45351], "dates as a spreadsheet counts them"),
        (["15.3.2024", "1.3.2024", "1.3.2024", "1.3.2024"], "Time runs backwards for 'a'"),
    ],
)
def test_what_is_no_date_is_refused(dates: list[object], message: str):
    with pytest.raises(DataError, match=re.escape(message)):
        Study.from_frame(DATED.assign(date=dates), **OF_DATES)


def test_time_that_runs_backwards_is_refused(data: pd.DataFrame):
    assert message(data.assign(days=[7.0, 0.0, 0.0, 7.0]), time="days") == (
        "Time runs backwards for 'a': session 2 (column 'session') has 'days' = 0, earlier than "
        "the session before it, in row 1. Correct one of the two columns."
    )


def test_a_duplicated_person_x_session_is_refused(data: pd.DataFrame):
    assert message(data.assign(session=[1, 1, 1, 2])) == (
        "Person x session is not unique: rows 0, 1 all have person = a, session = 1. Keep one of "
        "them; or, if they come from several raters, name that column with rater=."
    )


def test_a_duplicated_person_x_session_x_rater_is_refused(data: pd.DataFrame):
    rated = data.assign(session=1, rater=["self", "self", "x", "y"])
    assert message(rated, rater="rater") == (
        "Person x session x rater is not unique: rows 0, 1 all have person = a, session = 1, "
        "rater = self. Keep one of them."
    )
    both = data.assign(session=1, rater=["x", "y", "x", "y"])
    assert Study.from_frame(both, **ROLES, rater="rater").rows.n_used == 4


def test_a_missing_rater_is_refused(data: pd.DataFrame):
    text = message(data.assign(rater=["x", None, "x", "x"]), rater="rater")
    assert text.startswith("Column 'rater' is missing in row 1, but it is needed to know who rated")


def test_repeated_rows_with_nothing_to_tell_them_apart_are_refused(data: pd.DataFrame):
    assert message(data, session=None) == (
        "Person is not unique: rows 0, 1 all have person = a (1 more such duplicates). Keep one of "
        "them; or name the column that tells them apart: session= (whole numbers) or time=; or, if "
        "they come from several raters, name that column with rater=."
    )


@pytest.mark.parametrize("role", ["alliance", "outcome"])
def test_infinite_scores_are_refused(data: pd.DataFrame, role: str):
    text = message(data.assign(x=[1.0, np.inf, 2.0, -np.inf]), **{role: "x"})
    assert text == (
        "Column 'x' is infinite in rows 1, 3. Correct the values, or set them to missing."
    )


def test_scores_outside_the_declared_range_are_refused(data: pd.DataFrame):
    assert message(data.assign(wai=[4.0, 99.0, 0.5, np.nan]), score_range=(1, 7)) == (
        "Column 'wai' is outside its declared range 1 to 7 in rows 1, 2 (99, 0.5). Correct them; "
        "say which numbers are codes for a missing rating, as in missing=(-9, 99)."
    )
    edges = data.assign(wai=[1.0, 7.0, np.nan, 4.0])
    assert Study.from_frame(edges, **ROLES, score_range=(1, 7)).rows.n_used == 4


def test_a_range_may_be_declared_for_each_score(data: pd.DataFrame):
    ranges = {"alliance": (1, 7), "outcome": (0, 100)}
    text = message(data.assign(oq=[1, 2, 3, 999]), outcome="oq", score_range=ranges)
    assert text.startswith("Column 'oq' is outside its declared range 0 to 100 in row 3 (999).")


@pytest.mark.parametrize(
    ("score_range", "text"),
    [
        (
            ("1", "7"),
            "score_range of alliance must be (low, high) with low < high; got ('1', '7').",
        ),
        (7, "score_range of alliance must be (low, high) with low < high; got 7."),
        ((7, 1), "score_range of alliance must be (low, high) with low < high; got (7, 1)."),
        ((1, 2, 7), "score_range of alliance must be (low, high) with low < high; got (1, 2, 7)."),
        (
            (1, np.inf),
            "score_range of alliance must be (low, high) with low < high; got (1, inf).",
        ),
        (
            {"outcome": (0, 1)},
            "score_range names 'outcome', but no column was given as outcome=. It may name "
            "'alliance' and 'outcome'.",
        ),
    ],
)
def test_a_range_must_make_sense(data: pd.DataFrame, score_range: object, text: str):
    assert message(data, score_range=score_range) == text


def test_text_among_scores_is_named(data: pd.DataFrame):
    assert message(data.assign(wai=["4", "n/a", "5", None])) == (
        "Column 'wai' must be numeric, but holds 'n/a' in row 1. Correct those values, or set them "
        "to missing."
    )


def test_decimal_commas_are_recognised(data: pd.DataFrame):
    assert message(data.assign(wai=["4,5", "3,0", "5", None])) == (
        "Column 'wai' must be numeric, but holds '4,5', '3,0' in rows 0, 1. Those are decimal "
        "commas: read the file with decimal=','."
    )


def test_numbers_that_were_read_as_text_are_refused_too(data: pd.DataFrame):
    assert "Column 'wai' must be numeric; its values are of type object" in message(
        data.assign(wai=["4", "3", "5", None])
    )


def test_numbers_in_a_column_of_objects_are_numbers(data: pd.DataFrame):
    mixed = data.assign(wai=pd.Series([4, None, 5.5, np.nan], dtype=object))
    study = Study.from_frame(mixed, **ROLES)
    np.testing.assert_array_equal(study.sessions["wai"], [4.0, np.nan, 5.5, np.nan])


def test_dates_are_no_scores(data: pd.DataFrame):
    text = message(data.assign(wai=pd.Timestamp("2024-01-01")))
    assert text.startswith("Column 'wai' must be numeric")


def test_truth_values_are_no_scores(data: pd.DataFrame):
    text = message(data.assign(wai=[True, False, True, True]))
    assert text.startswith("Column 'wai' holds true/false, not numbers.")


def test_a_person_has_one_role(data: pd.DataFrame):
    text = message(data.assign(role=["mother", "therapist", "child", "child"]), role="role")
    assert text == (
        "Person 'a' has several values of 'role' ('mother', 'therapist'). A person has one role in "
        "the family; who gave a rating goes to rater=."
    )
