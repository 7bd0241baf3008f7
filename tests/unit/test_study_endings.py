"""Endings that cannot be, and rows after them."""

import warnings

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.study import Study

ROLES = {
    "person": "person",
    "family": "family",
    "session": "session",
    "alliance": "wai",
    "ending": "ending",
}


@pytest.fixture
def data() -> pd.DataFrame:
    """Two members of one family, three sessions each."""
    return pd.DataFrame(
        {
            "family": "F",
            "person": ["a"] * 3 + ["b"] * 3,
            "session": [1, 2, 3] * 2,
            "wai": [4.0, 5.0, 6.0, 3.0, 3.0, 3.0],
            "ending": "dropout",
        }
    )


def message(data: pd.DataFrame, **roles: object) -> str:
    with pytest.raises(DataError) as error:
        Study.from_frame(data, **{**ROLES, **roles})
    return str(error.value)


def test_an_unknown_ending_is_refused_with_the_nearest(data: pd.DataFrame):
    assert message(data.assign(ending="Drop-out")) == (
        "Column 'ending' holds the unknown ending 'Drop-out' in rows 0, 1, 2, 3, 4 and 1 more row. "
        "Did you mean 'dropout'? Endings are ongoing, dropout, planned, transferred; say what "
        "yours stand for, as in endings={'Drop-out': 'dropout'}."
    )


def test_members_with_different_endings_are_refused_where_the_family_ends(data: pd.DataFrame):
    data["ending"] = ["dropout"] * 3 + ["planned"] * 3
    assert message(data) == (
        "Family 'F' has different endings in column 'ending': dropout in rows 0, 1, 2, planned in "
        "rows 3, 4, 5. unit='family' says that a family ends as one: write its final ending in "
        "every row, or say unit='person' if members end separately."
    )
    study = Study.from_frame(data, **ROLES, unit="person")
    assert study.unit == "person"
    assert study.persons["ending"].tolist() == ["dropout", "planned"]


def test_a_person_with_different_endings_is_refused(data: pd.DataFrame):
    data["ending"] = ["dropout", "planned", "planned"] + ["planned"] * 3
    assert message(data, unit="person") == (
        "Person 'a' has different endings in column 'ending': dropout in row 0, planned in rows 1, "
        "2. Write the final ending in every row of the unit."
    )


def test_an_ending_that_is_missing_in_some_rows_is_refused(data: pd.DataFrame):
    data["ending"] = [None, None, "dropout", None, None, "dropout"]
    text = message(data)
    assert "different endings in column 'ending': missing in rows 0, 1, 3, 4, dropout in rows" in (
        text
    )
    assert "write its final ending in every row" in text


def test_an_ending_may_be_unknown_for_a_whole_unit(data: pd.DataFrame):
    data["ending"] = None
    table = Study.from_frame(data, **ROLES).describe().tidy()
    row = table[table["about"] == "ending"].iloc[0]
    assert (row["term"], row["n"], row["of"]) == ("missing", 1, 1)


def test_rows_after_a_row_that_names_the_ending_are_refused(data: pd.DataFrame):
    data["ending"] = ["ongoing", "dropout", "ongoing"] * 2
    assert message(data) == (
        "Sessions after the ending: a family has 'ending' = 'dropout' at session 2, but later "
        "sessions in rows 2, 5. Write the final ending in every row of the family, and leave out "
        "rows later than it."
    )


def test_sessions_after_the_declared_ending_are_refused(data: pd.DataFrame):
    data["last"] = 2
    assert message(data, ending_session="last") == (
        "Sessions after the ending: rows 2, 5 (family 'F') have a 'session' later than 'last'. "
        "Correct the numbers; keep follow-up ratings in a frame of their own, and leave out rows "
        "that were only filled in."
    )
    assert Study.from_frame(data.assign(last=3), **ROLES, ending_session="last").rows.n_used == 6
    unknown = data.assign(last=np.nan)
    assert Study.from_frame(unknown, **ROLES, ending_session="last").rows.n_used == 6


def test_the_ending_session_is_one_whole_number_per_unit(data: pd.DataFrame):
    assert message(data.assign(last=[3, 3, 3, 4, 4, 4]), ending_session="last") == (
        "Family 'F' has several values of 'last' in rows 0, 1, 2, 3, 4 and 1 more row. The last "
        "session before the ending is one number per unit: write it in every row."
    )
    assert message(data.assign(last=3.5), ending_session="last") == (
        "Column 'last' (ending_session) must hold whole session numbers; see rows 0, 1, 2, 3, 4 "
        "and 1 more row."
    )


def test_the_ending_session_needs_sessions(data: pd.DataFrame):
    one_row = data.iloc[[0, 3]].assign(last=1)
    text = message(one_row, session=None, ending_session="last")
    assert text == "ending_session= needs session=: name the column of session numbers."


def test_the_unit_is_the_family_where_there_is_one_else_the_person(data: pd.DataFrame):
    assert Study.from_frame(data, **ROLES).unit == "family"
    assert Study.from_frame(data, **{**ROLES, "family": None}).unit == "person"


def test_a_unit_needs_its_column(data: pd.DataFrame):
    assert message(data, family=None, unit="family") == (
        "unit='family' says that the family is what ends treatment, but no column was given as "
        "family=. Name it, or say unit='person'."
    )
    assert message(data, unit="therapist") == (
        "unit must be 'family' or 'person'; got 'therapist'."
    )


def test_rows_that_look_filled_in_after_the_ending_are_warned_of(data: pd.DataFrame):
    data["wai"] = [4.0, np.nan, np.nan] * 2
    with pytest.warns(AllianceStatsWarning, match=r"In 1 unit\(s\) that ended .*'F'.* 2 or more"):
        Study.from_frame(data, **ROLES)


@pytest.mark.parametrize(
    "change",
    [
        {"ending": "ongoing"},  # has not ended
        {"wai": [4.0, 5.0, np.nan] * 2},  # one missing rating at the end is nothing odd
        {"wai": [4.0, np.nan, np.nan, 3.0, 3.0, 3.0]},  # another member was rated
        {"wai": [np.nan, np.nan, 4.0] * 2},  # a later session was rated
    ],
)
def test_ordinary_missing_ratings_raise_no_warning(data: pd.DataFrame, change: dict):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Study.from_frame(data.assign(**change), **ROLES)


def test_the_declared_ending_vouches_for_unrated_sessions(data: pd.DataFrame):
    data = data.assign(wai=[4.0, np.nan, np.nan] * 2, last=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Study.from_frame(data, **ROLES, ending_session="last")
