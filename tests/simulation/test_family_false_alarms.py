"""Shuffled sessions give ruptures at the false-alarm rate and no more."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.family import DropBelowRunningMean, expected_false_alarms, ruptures

pytestmark = pytest.mark.slow

# 3,000 persons x 6 judged sessions, flags of a person nearly independent: share good to 3 SE
SHARE = 3 * np.sqrt(0.06 * 0.94 / 18_000)


def test_shuffled_sessions_of_trending_courses_give_false_alarms_only():
    rng = np.random.default_rng(12)
    n_persons, n_sessions = 3000, 10
    # true alliances fall, so that the order matters until it is shuffled
    level = rng.normal(5, 0.6, (n_persons, 1)) - 0.15 * np.arange(n_sessions)
    scores = level + 0.4 * rng.standard_normal(level.shape)
    rule = DropBelowRunningMean(k=2, sd="own", min_before=4)

    def shares(values):
        data = pd.DataFrame(values).melt(ignore_index=False, var_name="session", value_name="score")
        data = data.rename_axis("person").reset_index().astype({"session": int})
        found = ruptures(data, rule=rule, person="person", session="session", score="score")
        alarms = expected_false_alarms(found, error=0.4)
        return alarms.observed / alarms.of, alarms.expected / alarms.of

    ordered, expected = shares(scores)
    shuffled, _ = shares(rng.permuted(scores, axis=1))
    assert ordered > expected + 10 * SHARE
    # shuffled falling courses are exchangeable, not normal: a uniform part of SD .43 is added
    assert shuffled == pytest.approx(expected, abs=0.015)
    constant, _ = shares(
        rng.permuted(level[:, :1] + 0.4 * rng.standard_normal(level.shape), axis=1)
    )
    assert constant == pytest.approx(expected, abs=SHARE)
