"""What must always hold of family indices and splits."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from alliance_stats.family import Reliability, family_indices, split_alliance

NAMES = {"family": "family", "person": "person", "session": "session", "score": "alliance"}
SCALE = Reliability(0.8, sd=1.0, seed=5, n_resamples=50)
# adding a constant moves the last bits of a difference
ROUNDING = 1e-9

SCORES = st.one_of(st.integers(10, 70).map(lambda tenth: tenth / 10), st.just(float("nan")))


@st.composite
def families(draw) -> pd.DataFrame:
    rows = []
    for family in range(draw(st.integers(1, 3))):
        for member in range(draw(st.integers(1, 4))):
            for session in range(1, draw(st.integers(1, 4)) + 1):
                rows.append((f"F{family}", f"F{family}-{member}", session, draw(SCORES)))
    data = pd.DataFrame(rows, columns=["family", "person", "session", "alliance"])
    data.loc[0, "alliance"], data.loc[len(data)] = 4.0, ("F0", "F0-x", 1, 4.7)
    return data


def numbers(data: pd.DataFrame) -> pd.DataFrame:
    indices = family_indices(data, reliability=SCALE, **NAMES)
    split = split_alliance(indices, threshold=1, sd="sample").table
    return indices.table.select_dtypes("number").join(split[["width", "limit", "split", "chance"]])


@given(families(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_row_order_changes_nothing(data, random):
    order = list(range(len(data)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(numbers(data), numbers(data.iloc[order]))


@given(families())
@settings(max_examples=20, deadline=None)
def test_relabelled_members_change_nothing(data):
    names = {p: f"{i:03d}" for i, p in enumerate(sorted(data["person"].unique(), reverse=True))}
    pd.testing.assert_frame_equal(
        numbers(data), numbers(data.assign(person=data["person"].map(names)))
    )


@given(families(), st.floats(-3, 3))
@settings(max_examples=20, deadline=None)
def test_a_constant_added_to_everyone_leaves_spread_and_splits(data, constant):
    before, after = numbers(data), numbers(data.assign(alliance=data["alliance"] + constant))
    for column in ("range", "sd", "range_se", "sd_se", "limit", "split", "chance"):
        np.testing.assert_allclose(after[column], before[column], atol=ROUNDING, err_msg=column)
    np.testing.assert_allclose(after["level"], before["level"] + constant, atol=ROUNDING)


@given(families(), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_nothing_after_a_session_changes_a_row_at_it(data, until):
    whole = numbers(data).query("session <= @until")
    so_far = numbers(data[data["session"] <= until])
    pd.testing.assert_frame_equal(whole.reset_index(drop=True), so_far, check_exact=True)


def test_no_later_session_moves_the_last_digit_of_an_earlier_limit():
    families = ["F0"] * 3 + ["F1"] + ["F2"] * 8 + ["F0"]
    members = [0, 1, 2, 0, 0, 0, 1, 1, 2, 2, 3, 3, "x"]
    data = pd.DataFrame(
        {
            "family": families,
            "person": [f"{f}-{m}" for f, m in zip(families, members, strict=True)],
            "session": [1, 1, 1, 1, 1, 2, 1, 2, 1, 2, 1, 2, 1],
            "alliance": [4.0, 1.0, None, 5.6, None, 1.0, 1.0, 1.0, 1.0, 1.0, 1.9, 1.0, 4.7],
        }
    )
    whole = numbers(data).query("session <= 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(whole, numbers(data[data["session"] <= 1]), check_exact=True)
