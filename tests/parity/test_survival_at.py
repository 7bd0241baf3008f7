"""Curves at chosen times, their differences and areas equal those of survfit, on six data sets."""

import functools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import cumulative_incidence, kaplan_meier, restricted_mean
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_at")
# The same sums in another order.
ROUNDING = 1e-9
# Squared influences of hundreds of rows, where weights make sums that cancel.
SUMMED = 1e-7
KINDS = {
    "plain": {},
    "weighted": {"weights": "w"},
    "clustered": {"cluster": "site"},
    "both": {"weights": "w", "cluster": "site"},
}


def floats(values: object) -> np.ndarray:
    """Return numbers of a reference, NaN where R had none."""
    return np.array(values, dtype=np.float64)


@functools.cache
def curves(name: str, kind: str):
    data, late = (
        pd.DataFrame(REFERENCE["curves"][name]),
        {"entry": "start"} if name == "late" else {},
    )
    return kaplan_meier(data, time="stop", event="event", strata="group", **late, **KINDS[kind])


@functools.cache
def incidences(name: str, kind: str):
    data = pd.DataFrame(REFERENCE["states"][name])
    late = {"entry": "start"} if name == "entered" else {}
    return cumulative_incidence(
        data, time="stop", event="ending", strata="group", **late, **KINDS[kind]
    )


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("name", list(REFERENCE["curves"]))
def test_curves_at_times_are_survfits_summary(name: str, kind: str) -> None:
    found = curves(name, kind).at(REFERENCE["times"][name])
    for (_, own), theirs in zip(
        found.groupby("strata", sort=False), REFERENCE["survival"][name][kind], strict=True
    ):
        seen = own[own["time"].isin(np.atleast_1d(theirs["time"]))]
        assert own.loc[~own["time"].isin(np.atleast_1d(theirs["time"])), "estimate"].isna().all()
        assert_allclose(seen["estimate"], floats(theirs["estimate"]), rtol=ROUNDING, atol=1e-15)
        assert_allclose(seen["std_error"], floats(theirs["se"]), rtol=SUMMED, atol=1e-12)
        inside = floats(theirs["estimate"]) > 0.0  # survfit has no limits where nobody is left
        for column, limit in (("conf_low", "low"), ("conf_high", "high")):
            assert_allclose(seen[column][inside], floats(theirs[limit])[inside], rtol=SUMMED)
        if "weights" not in KINDS[kind]:  # theirs are sums of weights, ours stay counts of rows
            assert seen["n_risk"].tolist() == theirs["n_risk"]
            assert seen["n_event"].tolist() == theirs["n_event"]


@pytest.mark.parametrize("kind", ["plain", "weighted"])
@pytest.mark.parametrize("name", list(REFERENCE["states"]))
def test_incidences_at_times_are_survfits_summary(name: str, kind: str) -> None:
    found = incidences(name, kind).at(REFERENCE["times"][name])
    for (_, stratum), theirs in zip(
        found.groupby("strata", sort=False), REFERENCE["incidence"][name][kind], strict=True
    ):
        for k, (_, own) in enumerate(stratum.groupby("state")):
            estimate = floats(theirs["estimate"])[:, k]
            assert_allclose(own["estimate"], estimate, rtol=ROUNDING, atol=1e-15)
            assert_allclose(own["std_error"], floats(theirs["se"])[:, k], rtol=SUMMED, atol=1e-12)
            some = estimate > 0.0
            for column, limit in (("conf_low", "low"), ("conf_high", "high")):
                assert_allclose(own[column][some], floats(theirs[limit])[some, k], rtol=SUMMED)
            if "weights" not in KINDS[kind]:
                assert own["n_risk"].tolist() == theirs["n_risk"]
                assert own["n_event"].tolist() == floats(theirs["n_event"])[:, k].tolist()


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("name", list(REFERENCE["states"]))
def test_differences_and_times_lost_rest_on_survfits_influence(name: str, kind: str) -> None:
    reference = REFERENCE["differences"][name][kind]
    found = incidences(name, kind).differences(REFERENCE["times"][name])
    at = incidences(name, kind).at(REFERENCE["times"][name])
    for k, (state, own) in enumerate(found.groupby("state")):
        assert_allclose(own["std_error"], floats(reference["se"])[:, k], rtol=SUMMED, atol=1e-12)
        first, second = (
            part["estimate"].to_numpy() for _, part in at[at["state"] == state].groupby("strata")
        )
        assert_allclose(own["estimate"], second - first, atol=1e-15)
        for alone, (_, part) in zip(
            reference["alone"], at[at["state"] == state].groupby("strata"), strict=True
        ):
            assert_allclose(part["std_error"], floats(alone)[:, k], rtol=SUMMED, atol=1e-12)
        late = {"entry": "start"} if name == "entered" else {}
        lost = restricted_mean(
            pd.DataFrame(REFERENCE["states"][name]), time="stop", event="ending", cause=k + 1,
            until=REFERENCE["until"][name], strata="group", **late, **KINDS[kind],
        )  # fmt: skip
        assert_allclose(lost.estimate, floats(reference["lost"])[:, k], rtol=ROUNDING)
        assert_allclose(lost.tidy()["std_error"], floats(reference["lost_se"])[:, k], rtol=SUMMED)
        apart = lost.differences()["std_error"]
        assert_allclose(apart, reference["lost_apart"][k], rtol=SUMMED)


@pytest.mark.parametrize("kind", list(KINDS))
def test_times_lost_and_the_time_attended_add_up(kind: str) -> None:
    data = pd.DataFrame(REFERENCE["states"]["entered"])
    given = {"time": "stop", "entry": "start", "until": 120.0, "strata": "group", **KINDS[kind]}
    lost = [restricted_mean(data, event="ending", cause=k, **given).estimate for k in (1, 2)]
    attended = restricted_mean(data.assign(any=data["ending"] > 0), event="any", **given)
    assert_allclose(attended.estimate + lost[0] + lost[1], 120.0, rtol=1e-12)


def test_differences_are_those_of_clusters_left_out() -> None:
    # infinitesimal jackknife: what a little more weight of a cluster does, by brute force
    data = pd.DataFrame(REFERENCE["states"]["tied"])
    step, moved = 1e-4, []
    for site in data["site"].unique():
        values = []
        for sign in (1.0, -1.0):
            weight = data["w"] * np.where(data["site"] == site, 1.0 + sign * step, 1.0)
            curve = cumulative_incidence(
                data.assign(w=weight), time="stop", event="ending", strata="group", weights="w"
            )
            values.append(curve.differences([5, 15])["estimate"].to_numpy())
        moved.append((values[0] - values[1]) / (2.0 * step))
    found = incidences("tied", "both").differences([5, 15])
    assert_allclose(found["std_error"], np.sqrt((np.array(moved) ** 2).sum(axis=0)), rtol=1e-5)


def test_what_has_no_difference_or_cause_is_refused() -> None:
    data = pd.DataFrame(REFERENCE["states"]["bone"])
    with pytest.raises(DataError, match="one stratum"):
        cumulative_incidence(data, time="stop", event="ending").differences([12])
    with pytest.raises(DataError, match="no ending 'pcm'"):
        restricted_mean(data, time="stop", event="ending", until=60, cause="pcm")
    first = data.assign(ending=data["ending"].where(data["group"] == "F", 0))
    lost = restricted_mean(first, time="stop", event="ending", until=60, cause=1, strata="group")
    with pytest.raises(DataError, match="No time is lost in stratum 'M'"):
        lost.ratios()
