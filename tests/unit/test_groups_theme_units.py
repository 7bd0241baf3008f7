"""Themes count interviewed cases: a unit that appears twice is refused where unit= is named."""

import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.groups import compare_themes, theme_transitions


@pytest.fixture
def interviews() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "family": ["F1", "F2", "F3", "F4", "F5", "F6"],
            "pair": [1, 2, 3, 1, 2, 3],
            "group": ["a", "a", "a", "b", "b", "b"],
            "split": [1, 1, 0, 0, 0, 1],
            "early": [1, 0, 1, 1, 0, 1],
            "later": ["rupture", "strength", "rupture", "strength", "rupture", "strength"],
        }
    )


@pytest.fixture
def twice(interviews) -> pd.DataFrame:
    return interviews.assign(family=["F1", "F1", "F3", "F4", "F5", "F6"])


MESSAGE = r"'family' F1 stands in rows 0, 1.*one row per unit"


def test_themes_refuse_a_unit_that_stands_twice(twice):
    with pytest.raises(DataError, match=MESSAGE):
        compare_themes(twice, themes=["split"], group="group", unit="family")


def test_transitions_refuse_a_unit_that_stands_twice(twice):
    with pytest.raises(DataError, match=MESSAGE):
        theme_transitions(twice, early="early", later="later", group="group", unit="family")


def test_each_unit_once_changes_nothing(interviews):
    plain = compare_themes(interviews, themes=["split"], group="group")
    asked = compare_themes(interviews, themes=["split"], group="group", unit="family")
    pd.testing.assert_frame_equal(plain.tidy(), asked.tidy())
    assert asked.rows.n_used == 6
    counted = theme_transitions(
        interviews, early="early", later="later", group="group", unit="family"
    )
    assert counted.rows.n_used == 6


def test_a_pair_may_be_one_unit_seen_in_both_groups_but_not_twice_in_one(interviews, twice):
    before_and_after = interviews.assign(family=["F1", "F2", "F3", "F1", "F2", "F3"])
    found = compare_themes(
        before_and_after, themes=["split"], group="group", paired="pair", unit="family"
    )
    assert found.rows.n_used == 6
    with pytest.raises(DataError, match=MESSAGE):
        compare_themes(twice, themes=["split"], group="group", paired="pair", unit="family")


def test_a_missing_id_is_refused(interviews):
    interviews.loc[2, "family"] = None
    with pytest.raises(DataError, match="'family' is missing in row 2"):
        compare_themes(interviews, themes=["split"], group="group", unit="family")


def test_a_unit_column_that_is_not_there_is_named(interviews):
    with pytest.raises(DataError, match="famly"):
        compare_themes(interviews, themes=["split"], group="group", unit="famly")
