"""What must always hold of ruptures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alliance_stats.family import (
    ControlChart,
    DropBelowRunningMean,
    SuddenGain,
    SuddenLoss,
    VShape,
    ruptures,
)

NAMES = {"person": "person", "session": "session", "score": "score"}
RULES = [
    DropBelowRunningMean(k=1, sd="own", min_before=2),
    DropBelowRunningMean(k=1, sd="within", min_before=1),
    DropBelowRunningMean(k=1, sd="between", min_before=1),
    VShape(drop=0.5, back=0.5, within=2, sd="within"),
    ControlChart(autocorrelation=0.3, min_before=2, multiplier=1.0),
    SuddenGain(cut_off=0.5, better="higher", share=0.1),
    SuddenLoss(cut_off=0.5, better="higher", share=0.1),
]
LOCAL = [rule for rule in RULES if not isinstance(rule, SuddenGain | SuddenLoss)]

# irrational steps: no rating lies on a limit, where adding a constant could tip it
SCORES = st.one_of(st.integers(10, 70).map(lambda n: n**0.5), st.just(float("nan")))


@st.composite
def courses(draw) -> pd.DataFrame:
    rows = [
        (f"p{person}", session, draw(SCORES))
        for person in range(draw(st.integers(1, 3)))
        for session in range(1, draw(st.integers(2, 8)) + 1)
    ]
    data = pd.DataFrame(rows, columns=["person", "session", "score"])
    data.loc[0, "score"] = 4.0
    return data


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.words)
@given(data=courses(), until=st.integers(1, 7))
@settings(max_examples=15, deadline=None)
def test_nothing_after_a_session_changes_what_was_known_at_it(rule, data, until):
    whole = ruptures(data, rule=rule, **NAMES).table.query("session <= @until")
    so_far = ruptures(data[data["session"] <= until], rule=rule, **NAMES).table
    pd.testing.assert_frame_equal(whole, so_far, check_exact=True)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.words)
@given(data=courses(), random=st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_row_order_and_names_change_nothing(rule, data, random):
    order = list(range(len(data)))
    random.shuffle(order)
    mixed = data.iloc[order].replace({"p0": "z", "p1": "a"})
    before = ruptures(data, rule=rule, **NAMES).table["rupture"]
    after = ruptures(mixed, rule=rule, **NAMES).table["rupture"].sort_index()
    pd.testing.assert_series_equal(before, after)


@pytest.mark.parametrize("rule", LOCAL, ids=lambda rule: rule.words)
@given(data=courses(), constant=st.floats(-3, 3))
@settings(max_examples=10, deadline=None)
def test_a_constant_added_to_everyone_changes_no_flag(rule, data, constant):
    before = ruptures(data, rule=rule, **NAMES).table["rupture"]
    after = ruptures(data.assign(score=data["score"] + constant), rule=rule, **NAMES).table
    pd.testing.assert_series_equal(before, after["rupture"])


@given(data=courses())
@settings(max_examples=15, deadline=None)
def test_gains_turned_round_are_losses(data):
    gain = ruptures(data, rule=SuddenGain(0.5, "higher", share=0.0), **NAMES).table["rupture"]
    turned = data.assign(score=10 - data["score"])
    loss = ruptures(turned, rule=SuddenLoss(0.5, "higher", share=0.0), **NAMES).table["rupture"]
    np.testing.assert_array_equal(gain, loss)
