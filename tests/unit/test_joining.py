"""Families beside their sessions."""

import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.study.joining import join_families


@pytest.fixture
def sessions():
    return pd.DataFrame({"family": ["B", "A", "B"], "alliance": [1.0, 2.0, 3.0]}, index=[7, 8, 9])


@pytest.fixture
def families():
    return pd.DataFrame({"family": ["A", "B", "C"], "group": ["x", None, "y"], "n": [1, 2, 3]})


def test_each_session_gets_its_familys_values_in_the_sessions_order(sessions, families):
    before = sessions.copy(), families.copy()
    frame, rows = join_families(sessions, families, family="family")
    expected = sessions.assign(group=[None, "x", None], n=[2, 1, 2])
    pd.testing.assert_frame_equal(frame, expected)
    assert (rows.n_in, rows.n_used) == (3, 2)
    assert rows.steps[-1].reason == "family without a session"
    pd.testing.assert_frame_equal(sessions, before[0])
    pd.testing.assert_frame_equal(families, before[1])


def test_whole_numbers_join_whatever_their_type(sessions, families):
    sessions["family"], families["family"] = [2, 1, 2], [1.0, 2.0, 3.0]
    frame, _ = join_families(sessions, families, family="family")
    assert frame["n"].tolist() == [2, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": ["A", "A", "B"]}, "Family 'A' .column 'family'. has 2 rows .* .rows 0, 1"),
        ({"family": ["A", "b ", "C"]}, "no row for 'B' .*rows 7, 9 of the sessions"),
        ({"family": [1, 2, 3]}, "holds text in the sessions .*'B'.* and numbers .*1"),
        ({"alliance": 1}, "Column 'alliance' stands in both tables"),
        ({"family": ["A", None, "C"]}, "Column 'family' is missing in row 1"),
    ],
)
def test_what_does_not_fit_is_refused(sessions, families, change, message):
    with pytest.raises(DataError, match=message):
        join_families(sessions, families.assign(**change), family="family")


def test_a_misspelt_family_gets_the_nearest_name(sessions, families):
    sessions["family"] = ["Brown", "A", "Brown"]
    families["family"] = ["A", "Browne", "C"]
    with pytest.raises(DataError, match="no row for 'Brown' .*Did you mean 'Browne'"):
        join_families(sessions, families, family="family")


def test_no_other_number_is_proposed_for_a_number(sessions, families):
    sessions["family"], families["family"] = [3, 1, 3], [1, 13, 2]
    with pytest.raises(DataError, match="no row for '3' ") as raised:
        join_families(sessions, families, family="family")
    assert "Did you mean" not in str(raised.value)


def test_an_empty_or_headless_table_is_refused(sessions, families):
    with pytest.raises(DataError, match="families has no rows"):
        join_families(sessions, families.head(0), family="family")
    with pytest.raises(DataError, match="families has no column 'family'"):
        join_families(sessions, families.rename(columns={"family": "Familie"}), family="family")
