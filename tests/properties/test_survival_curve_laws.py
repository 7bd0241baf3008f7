"""What must hold of every curve, whatever the data."""

import numpy as np
import pandas as pd
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.survival import cumulative_incidence, kaplan_meier, log_rank

ROUNDING = 1e-10  # sums of at most 60 products of doubles

rows = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 3), st.integers(0, 4), st.booleans()),
    min_size=4,
    max_size=60,
)


def frame(drawn: list[tuple[int, int, int, bool]]) -> pd.DataFrame:
    time, ending, late, group = zip(*drawn, strict=True)
    data = pd.DataFrame({"time": time, "ending": ending, "group": group})
    data["entry"] = np.maximum(data["time"] - 1 - np.array(late), 0)
    data["left"] = data["ending"] > 0
    return data


def not_ended(data: pd.DataFrame) -> object:
    """The code of those who had not ended; none where everyone has."""
    return 0 if (data["ending"] == 0).any() else ()


@settings(deadline=None, max_examples=40)
@given(rows)
def test_incidences_and_survival_sum_to_one(drawn: list) -> None:
    data = frame(drawn)
    if not data["left"].any():
        return
    (curve,) = cumulative_incidence(
        data, time="time", event="ending", entry="entry", censored=not_ended(data)
    ).curves
    assert_allclose(curve.incidence.sum(axis=0) + curve.survival, 1.0, atol=ROUNDING)


@settings(deadline=None, max_examples=40)
@given(rows)
def test_without_censoring_the_curve_is_the_empirical_one(drawn: list) -> None:
    data = frame(drawn).assign(left=1)
    tidy = kaplan_meier(data, time="time", event="left").tidy()
    share = [(data["time"] > time).mean() for time in tidy["time"]]
    assert_allclose(tidy["estimate"], share, atol=ROUNDING)


@settings(deadline=None, max_examples=40)
@given(rows, st.randoms(use_true_random=False))
def test_rows_may_be_split_and_shuffled(drawn: list, random: object) -> None:
    data = frame(drawn)
    whole = kaplan_meier(data, time="time", event="left", entry="entry").tidy()
    longer = data["time"] - data["entry"] > 1
    middle = data["entry"] + 1
    first = data[longer].assign(time=middle[longer], left=False)
    second = data.assign(entry=np.where(longer, middle, data["entry"]))
    split = pd.concat([first, second]).sample(frac=1.0, random_state=random.randrange(1000))
    tidy = kaplan_meier(split, time="time", event="left", entry="entry").tidy()
    common = tidy[tidy["time"].isin(whole["time"])]
    assert_array_equal(common["n_risk"], whole["n_risk"])
    assert_allclose(common["estimate"], whole["estimate"], atol=ROUNDING)


@settings(deadline=None, max_examples=30)
@given(rows)
def test_relabelled_endings_permute(drawn: list) -> None:
    data = frame(drawn)
    if not data["left"].any():
        return
    relabelled = data.assign(ending=data["ending"].map({0: 0, 1: 3, 2: 1, 3: 2}))
    first = cumulative_incidence(data, time="time", event="ending", censored=not_ended(data)).tidy()
    second = cumulative_incidence(
        relabelled, time="time", event="ending", censored=not_ended(relabelled)
    ).tidy()
    second = second.assign(state=second["state"].map({"3": "1", "1": "2", "2": "3"}))
    columns = ["state", "time", "n_event", "estimate", "std_error"]
    pd.testing.assert_frame_equal(
        first[columns].sort_values(["state", "time"], ignore_index=True),
        second[columns].sort_values(["state", "time"], ignore_index=True),
        atol=ROUNDING,
    )


@settings(deadline=None, max_examples=30)
@given(rows, st.floats(0.1, 100.0))
def test_log_rank_does_not_depend_on_the_unit_of_time(drawn: list, factor: float) -> None:
    data = frame(drawn)
    if data["group"].nunique() < 2:
        return
    try:
        one = log_rank(data, time="time", event="left", group="group")
    except NotIdentifiedError:  # never at risk together, or all at risk ended at once
        reject()
    rescaled = data.assign(time=data["time"] * factor)
    other = log_rank(rescaled, time="time", event="left", group="group")
    assert_allclose(one.statistic, other.statistic, rtol=ROUNDING, atol=ROUNDING)
    swapped = log_rank(data.assign(group=~data["group"]), time="time", event="left", group="group")
    assert_allclose(one.score, swapped.score[::-1], atol=ROUNDING)


@settings(deadline=None, max_examples=30)
@given(rows)
def test_singleton_clusters_are_near_greenwood(drawn: list) -> None:
    # Without delayed entry or ties the two differ by the factor (n - d) / n at each time only.
    data = frame(drawn).assign(person=np.arange(len(drawn)))
    plain = kaplan_meier(data.assign(left=1), time="time", event="left").tidy()
    jackknife = kaplan_meier(
        data.assign(left=1), time="time", event="left", cluster="person"
    ).tidy()
    alive = plain["estimate"] > 0
    # uncensored: both are the binomial standard error
    assert_allclose(plain.loc[alive, "std_error"], jackknife.loc[alive, "std_error"], atol=ROUNDING)
