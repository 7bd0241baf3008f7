import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from alliance_stats.account import as_sentences
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.survival import (
    accuracy_of_risks,
    cumulative_incidence,
    gray_test,
    restricted_mean,
)

FOUR = pd.DataFrame(
    {
        "time": [1, 2, 3, 4],
        "ending": ["dropout", "planned", "ongoing", "dropout"],
        "group": ["a", "b", "a", "b"],
    },
    index=[10, 11, 12, 13],
)
COLUMNS = {"time": "time", "event": "ending"}


def test_four_rows_by_hand() -> None:
    result = cumulative_incidence(FOUR, **COLUMNS)
    tidy = result.tidy()
    assert result.states == ("dropout", "planned")
    dropout = tidy[tidy["state"] == "dropout"]
    planned = tidy[tidy["state"] == "planned"]
    assert_allclose(dropout["estimate"], [1 / 4, 1 / 4, 1 / 4, 3 / 4])
    assert_allclose(planned["estimate"], [0, 1 / 4, 1 / 4, 1 / 4])
    # with nobody censored yet, a binomial proportion
    assert_allclose(dropout["std_error"].iloc[:2], np.sqrt(1 / 4 * 3 / 4 / 4))
    assert_array_equal(dropout["n_event"], [1, 0, 0, 1])
    assert_array_equal(planned["n_censor"], [0, 0, 1, 0])


def test_summary_and_glance() -> None:
    result = cumulative_incidence(FOUR.iloc[:3], **COLUMNS, strata="group")
    assert result.glance().to_dict("records") == [
        {"nobs": 3, "n_event": 2, "n_states": 2, "n_strata": 2, "n_clusters": None}
    ]
    lines = result.summary().splitlines()
    assert lines[0] == "Nobody of 'a' ended as 'planned'."
    assert lines[2] == "Nobody of 'b' ended as 'dropout'."
    assert lines[4] == "Cumulative incidence of competing endings (Aalen-Johansen)."
    assert lines[-1] == "3 rows came in. 3 used."
    text = as_sentences(result.account())
    assert "a, dropout: 1 event, ended so = 50.0%, 95% CI [" in text
    assert "b, dropout: 0 events, ended so = 0.0%, by time = 2." in text
    assert "a: not ended 50.0%. b: not ended 0.0%." in text


def test_what_censored_means() -> None:
    numbers = FOUR.assign(ending=[1.0, 2.0, 0.0, 1.0])
    assert cumulative_incidence(numbers, **COLUMNS).states == ("1", "2")
    renamed = FOUR.replace({"ending": {"ongoing": "still here"}})
    assert cumulative_incidence(renamed, **COLUMNS, censored="still here").states == (
        "dropout",
        "planned",
    )
    with pytest.raises(DataError, match="'planned', 'still here'"):
        cumulative_incidence(renamed, **COLUMNS)
    with pytest.raises(DataError, match="holds no ending: every row is 'ongoing'"):
        cumulative_incidence(FOUR.assign(ending="ongoing"), **COLUMNS)
    with pytest.raises(DataError, match="'ending' does not hold 'kept'"):
        cumulative_incidence(FOUR, **COLUMNS, censored="kept")
    everyone = FOUR[FOUR["ending"] != "ongoing"]
    assert cumulative_incidence(everyone, **COLUMNS, censored=()).states == ("dropout", "planned")


def test_restricted_mean_by_hand() -> None:
    data = pd.DataFrame({"time": [1, 2, 3, 4], "left": [1, 1, 0, 1]})
    result = restricted_mean(data, time="time", event="left", until=3)
    # 1 + 3/4 + 1/2; Var: (5/4)^2 / 12 + (1/2)^2 / 6
    assert_allclose(result.estimate, 9 / 4)
    assert_allclose(result.tidy()["std_error"], np.sqrt(25 / 16 / 12 + 1 / 4 / 6))
    assert result.summary().splitlines()[0] == (
        "Mean time up to 3 (area under the Kaplan-Meier curve)."
    )
    assert result.glance().loc[0, "until"] == 3.0
    with pytest.raises(DataError, match="There is one stratum"):
        result.differences()


def test_restricted_mean_is_not_extrapolated() -> None:
    data = pd.DataFrame({"time": [1, 2, 3], "left": [1, 1, 0], "g": ["a", "a", "b"]})
    with pytest.raises(DataError, match=r"until=5 lies beyond the last time of stratum 'b' \(3\)"):
        restricted_mean(data, time="time", event="left", strata="g", until=5)
    with pytest.raises(ValueError, match="until must be above 0"):
        restricted_mean(data, time="time", event="left", until=0)
    with pytest.raises(DataError, match="'g' holds one cluster in stratum 'a'"):
        restricted_mean(data, time="time", event="left", strata="g", until=2, cluster="g")
    with pytest.raises(DataError, match="'g' holds one cluster in stratum 'a'"):
        cumulative_incidence(data, time="time", event="left", strata="g", cluster="g")
    # a curve that reached 0 is known for ever
    ended = restricted_mean(data.iloc[:2], time="time", event="left", until=5)
    assert_allclose(ended.estimate, 3 / 2)


def test_gray_refuses() -> None:
    with pytest.raises(DataError, match=r"holds one group \('a'\)"):
        gray_test(FOUR.assign(group="a"), **COLUMNS, group="group")
    with pytest.raises(ValueError, match="rho must be 0 or above"):
        gray_test(FOUR, **COLUMNS, group="group", rho=-1)
    apart = FOUR.assign(site=FOUR["group"])
    with pytest.raises(NotIdentifiedError, match="cannot be compared in ending 'dropout'"):
        gray_test(apart, **COLUMNS, group="group", strata="site")


def test_gray_summary() -> None:
    lines = gray_test(FOUR, **COLUMNS, group="group").summary().splitlines()
    assert lines[0] == "Gray's test of equal cumulative incidence in a, b."
    assert lines[2].split() == ["Ending", "df", "chi-squared", "p"]
    assert lines[3].split()[:2] == ["dropout", "1"]


def test_a_last_time_at_which_all_at_risk_ended_is_told() -> None:
    data = pd.DataFrame(
        {"time": [1, 2, 3, 3, 4, 4], "event": ["drop", "no", "no", "no", "done", "drop"]}
    )
    found = cumulative_incidence(data, time="time", event="event", censored="no")
    assert found.notes == (
        "All 2 of 'all' still at risk at time 4 ended then, after 3 whose ending is not known had "
        "left the risk set: read the curves up to the time before.",
    )


@pytest.mark.parametrize("cause", [1, 1.0, "1", np.int64(1)])
def test_an_ending_that_is_a_number_is_found_whatever_its_type(cause: object) -> None:
    draw = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "time": draw.integers(1, 20, 80),
            "state": draw.integers(0, 3, 80),
            "risk": draw.uniform(size=80),
        }
    )
    columns = {"time": "time", "event": "state"}
    judged = accuracy_of_risks(data, **columns, cause=cause, risks={8: "risk"}).tidy()
    spent = restricted_mean(data, **columns, cause=cause, until=10.0).tidy()
    pd.testing.assert_frame_equal(
        judged, accuracy_of_risks(data, **columns, cause="1", risks={8: "risk"}).tidy()
    )
    pd.testing.assert_frame_equal(
        spent, restricted_mean(data, **columns, cause="1", until=10.0).tidy()
    )
