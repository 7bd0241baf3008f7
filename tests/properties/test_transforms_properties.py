"""What must hold of the transforms, whatever the data."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter

from alliance_stats.transforms import (
    baseline,
    decompose,
    lag,
    last_session,
    person_period,
    running_mean,
)

LEVELS = ["person", "family", "therapist"]
# Sums taken in another order, or of rescaled scores, differ in the last few of 53 bits.
SUMMATION = 1e-12
# Each of the three subtractions and three additions rounds once, by half a unit in the last place.
ROUNDINGS = 3
SERIES = {"person": "person", "session": "session"}
COURSE = {"unit": "family", "session": "session", "ending": "ending"}
ENDINGS = ["ongoing", "dropout", "planned", "transferred"]

# Each example builds frames, which takes tens of milliseconds.
few = settings(max_examples=25, deadline=None)


@st.composite
def studies(draw: st.DrawFn, scale: float = 1.0) -> pd.DataFrame:
    """Return a small study of families with gaps, missing ratings and shuffled rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = []
    for family in range(draw(st.integers(1, 8))):
        ending = draw(st.sampled_from(ENDINGS))
        first, length = draw(st.integers(0, 2)), draw(st.integers(1, 6))
        for member in range(draw(st.integers(1, 3))):
            attended = rng.random(length) < 0.8
            attended[-1] |= not attended.any()
            rows += [
                (f"T{family % 3}", f"F{family}", f"F{family}-{member}", first + i, ending)
                for i in np.flatnonzero(attended)
            ]
    data = pd.DataFrame(rows, columns=["therapist", "family", "person", "session", "ending"])
    data["x"] = rng.normal(3.0, 1.0, len(data)) * scale
    data.loc[rng.random(len(data)) < 0.2, "x"] = np.nan
    return data.sample(frac=1.0, random_state=int(rng.integers(2**31)))


def new_columns(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    return after[[column for column in after if column not in before]]


@pytest.mark.parametrize("mean_of", ["rows", "units"])
@few
@given(data=studies(scale=1e6), n_levels=st.integers(1, 3))
def test_components_add_up_to_the_score(data: pd.DataFrame, n_levels: int, mean_of: str):
    parts = new_columns(data, decompose(data, "x", levels=LEVELS[:n_levels], mean_of=mean_of))
    total = parts.to_numpy().sum(axis=1)
    gap = np.abs(total - data["x"].to_numpy())
    np.testing.assert_array_equal(np.isnan(gap), data["x"].isna())
    largest = parts.join(data["x"]).abs().max(axis=None, skipna=True)
    assert (gap[~np.isnan(gap)] <= 2 * ROUNDINGS * np.spacing(largest)).all()


@few
@given(data=studies())
def test_components_over_rows_sum_to_zero_within_the_next_level(data: pd.DataFrame):
    rated = data.fillna({"x": 0.0})
    parts = decompose(rated, "x", levels=LEVELS)
    for component, unit in zip(
        ["x_within_person", "x_person_in_family", "x_family_in_therapist"], LEVELS, strict=True
    ):
        np.testing.assert_allclose(parts.groupby(unit)[component].sum(), 0, atol=1e-10)


@few
@given(data=studies(), a=st.sampled_from([-2.0, 0.5, 10.0]), b=st.sampled_from([-5.0, 0.0, 100.0]))
def test_components_follow_a_change_of_scale(data: pd.DataFrame, a: float, b: float):
    parts = new_columns(data, decompose(data, "x", levels=LEVELS))
    moved = decompose(data.assign(x=a * data["x"] + b), "x", levels=LEVELS)
    expected = a * parts
    expected["x_therapist_mean"] += b
    pd.testing.assert_frame_equal(new_columns(data, moved), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mean_of", ["rows", "units"])
@few
@given(data=studies(), seed=st.integers(0, 1000))
def test_components_do_not_depend_on_row_order_or_names(
    data: pd.DataFrame, seed: int, mean_of: str
):
    parts = new_columns(data, decompose(data, "x", levels=LEVELS, mean_of=mean_of))
    other = data.sample(frac=1.0, random_state=seed)
    other[LEVELS] = other[LEVELS].map(lambda name: name[::-1])
    again = new_columns(data, decompose(other, "x", levels=LEVELS, mean_of=mean_of))
    pd.testing.assert_frame_equal(again.loc[parts.index], parts, rtol=SUMMATION, atol=SUMMATION)


def _by_hand(data: pd.DataFrame) -> pd.DataFrame:
    """Return the histories row by row, in the plainest way."""
    records = []
    for _, row in data.iterrows():
        mine = data[data["person"] == row["person"]].dropna(subset="x").sort_values("session")
        so_far = mine[mine["session"] <= row["session"]]["x"]
        earlier = mine[mine["session"] < row["session"]]["x"]
        previous = mine[mine["session"] == row["session"] - 1]["x"]
        records.append(
            {
                "x_running_mean": so_far.mean(),
                "x_baseline": so_far.iloc[0] if len(so_far) else np.nan,
                "x_lag1": previous.iloc[0] if len(previous) else np.nan,
                "bridged": earlier.iloc[-1] if len(earlier) else np.nan,
            }
        )
    return pd.DataFrame(records, index=data.index)


@few
@given(data=studies())
def test_histories_are_what_a_plain_loop_gives(data: pd.DataFrame):
    expected = _by_hand(data)
    mean = running_mean(data, "x", **SERIES)
    first = baseline(data, "x", **SERIES)
    close = {"rtol": SUMMATION, "atol": SUMMATION}
    np.testing.assert_allclose(mean["x_running_mean"], expected["x_running_mean"], **close)
    np.testing.assert_allclose(mean["x_deviation"], data["x"] - expected["x_running_mean"], **close)
    np.testing.assert_array_equal(first["x_baseline"], expected["x_baseline"])
    np.testing.assert_array_equal(first["x_change"], data["x"] - expected["x_baseline"])
    np.testing.assert_array_equal(lag(data, "x", **SERIES)["x_lag1"], expected["x_lag1"])
    bridged = lag(data, "x", **SERIES, bridge_gaps=True)["x_lag1"]
    np.testing.assert_array_equal(bridged, expected["bridged"])


@pytest.mark.parametrize("transform", [running_mean, baseline, lag])
@few
@given(data=studies(), now=st.integers(0, 7))
def test_histories_do_not_know_the_future(transform, data: pd.DataFrame, now: int):
    past = data[data["session"] <= now]
    if not len(past):
        return
    full = new_columns(data, transform(data, "x", **SERIES))
    pd.testing.assert_frame_equal(
        new_columns(data, transform(past, "x", **SERIES)), full.loc[past.index]
    )


@few
@given(data=studies())
def test_full_course_means_do_know_the_future(data: pd.DataFrame):
    """The warning in the docstring is true: a later score moves an earlier row's mean."""
    rated = data.fillna({"x": 0.0})
    last = rated.groupby("person")["session"].transform("max")
    many = rated.groupby("person")["session"].transform("nunique") > 1
    later = rated.assign(x=rated["x"] + 10.0 * (rated["session"] == last))
    moved = decompose(later, "x", levels=["person"])["x_person_mean"]
    stayed = decompose(rated, "x", levels=["person"])["x_person_mean"]
    early = many & (rated["session"] < last)
    assert (moved[early] - stayed[early] > 1.0).all()


@few
@given(data=studies(), seed=st.integers(0, 1000))
def test_periods_are_counted_once_each(data: pd.DataFrame, seed: int):
    data, course = data.assign(came=1), {**COURSE, "attended": "came"}
    units = last_session(data, **course)
    periods = person_period(data, **course, scores=["x"])
    assert len(periods) == (units["last_session"] - units["first_session"] + 1).sum()
    assert not periods.duplicated(["family", "session"]).any()
    assert periods["event"].sum() == (units["ending"] == "dropout").sum()
    assert periods["event"].isna().sum() == (units["ending"] == "ongoing").sum()
    codes = periods.loc[periods["ending_code"] > 0, "ending_code"]
    assert len(codes) == (units["ending"] != "ongoing").sum()
    shuffled = person_period(data.sample(frac=1.0, random_state=seed), **course, scores=["x"])
    pd.testing.assert_frame_equal(
        *(
            table.sort_values(["family", "session"], ignore_index=True)
            for table in (periods, shuffled)
        ),
        rtol=SUMMATION,
    )


@few
@given(data=studies())
def test_periods_hold_every_rating_up_to_the_last_session(data: pd.DataFrame):
    data = data.assign(came=1)
    periods = person_period(data, **COURSE, scores=["x"], attended="came")
    assert periods["x_n"].sum() == data["x"].notna().sum()
    total = (periods["x"].fillna(0) * periods["x_n"]).sum()
    assert total == pytest.approx(data["x"].sum(), rel=1e-9, abs=1e-9)


@few
@given(data=studies())
def test_the_hazard_of_the_periods_gives_lifelines_kaplan_meier(data: pd.DataFrame):
    """One clock in both: S(t) = product of 1 - hazard over the intervals up to t."""
    # all enter at session 1: lifelines refuses late entries that leave nobody at risk early on
    entry = data.groupby("family")["session"].transform("min")
    data = data.assign(session=data["session"] - entry + 1)
    periods = person_period(data, **COURSE).dropna(subset="event")
    if not len(periods):
        return
    hazard = periods.groupby("session")["event"].mean()
    units = last_session(data, **COURSE)
    # a unit still in treatment that came once has no observed interval
    seen = units[units["last_interval"] >= 1]
    curve = KaplanMeierFitter().fit(seen["last_interval"], seen["event"])
    expected = curve.survival_function_at_times(hazard.index).to_numpy()
    np.testing.assert_allclose((1.0 - hazard).cumprod(), expected, atol=SUMMATION)
