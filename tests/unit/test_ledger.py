"""The row ledger: what came in, what went, why."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.ledger import LedgerStep, RowLedger


@pytest.fixture
def data() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "therapist": ["A", "A", "B", "B"],
            "family": [1, 2, 1, 1],  # numbered anew under each therapist
            "score": [1.0, np.nan, 3.0, np.nan],
        }
    )


@pytest.fixture
def ledger(data: pd.DataFrame) -> RowLedger:
    return RowLedger.start(data, {"family": ("therapist", "family"), "therapist": ("therapist",)})


def test_units_are_counted_by_all_columns_that_identify_them(ledger: RowLedger):
    assert ledger.steps == (LedgerStep("came in", 0, 4, {"family": 3, "therapist": 2}),)


def test_a_step_says_how_many_went_and_who_is_left(data: pd.DataFrame, ledger: RowLedger):
    kept, after = ledger.keep(data, data["score"].notna(), reason="missing score")
    assert kept.index.tolist() == [0, 2]
    assert (after.n_in, after.n_used, after.n_set_aside) == (4, 2, 2)
    assert after.units("family") == 2
    assert after.units("therapist") == 2
    assert ledger.n_used == 4  # a ledger is a value


def test_where_nothing_goes_the_frame_is_the_same_object(data: pd.DataFrame, ledger: RowLedger):
    kept, after = ledger.keep(data, np.ones(4, dtype=bool), reason="none")
    assert kept is data
    assert after.steps[-1] == LedgerStep("none", 0, 4, {"family": 3, "therapist": 2})


def test_steps_follow_one_another(data: pd.DataFrame, ledger: RowLedger):
    kept, ledger = ledger.keep(data, data["score"].notna(), reason="missing score")
    _, ledger = ledger.keep(kept, kept["therapist"] == "A", reason="other site")
    expected = pd.DataFrame(
        {
            "reason": ["came in", "missing score", "other site"],
            "rows_set_aside": [0, 2, 1],
            "rows_left": [4, 2, 1],
            "n_family": [3, 2, 1],
            "n_therapist": [2, 2, 1],
        }
    )
    pd.testing.assert_frame_equal(ledger.tidy(), expected)
    assert str(ledger) == (
        "4 rows came in (family: 3, therapist: 2). 2 set aside: missing score. "
        "1 set aside: other site. 1 used (family: 1, therapist: 1)."
    )


def test_a_ledger_needs_no_levels(data: pd.DataFrame):
    _, ledger = RowLedger.start(data).keep(data, [True, False, True, True], reason="why not")
    assert str(ledger) == "4 rows came in. 1 set aside: why not. 3 used."


def test_rows_without_an_id_are_no_unit():
    data = pd.DataFrame({"family": ["a", None, "a"]})
    assert RowLedger.start(data, {"family": ("family",)}).units("family") == 1
