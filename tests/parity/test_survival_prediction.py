"""Predicted chances against riskRegression, mets, models refitted by hand, and pairs counted."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.survival import (
    accuracy_of_risks,
    cox_ph,
    cumulative_incidence,
    fine_gray,
    landmark_accuracy,
    landmark_chance,
    risk_accuracy,
)
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_prediction")
# The same sums in another order.
ROUNDING = 1e-9
# A jackknife over rows beside riskRegression's influence functions: apart by about 1 / n.
JACKKNIFE = 0.06
# Newton's method on both sides; binreg stops at a gradient of 1e-7 or so.
FIT = 1e-5


def sample(name: str) -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["samples"][name])


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("kind", ["endings", "alone", "coarse"])
def test_auc_and_brier_equal_riskregression(name: str, kind: str) -> None:
    data = sample(name).assign(left=lambda d: (d["state"] == 1).astype(int))
    options = {"event": "left"} if kind == "alone" else {"event": "state", "cause": 1}
    column = "coarse" if kind == "coarse" else "risk"
    found = accuracy_of_risks(data, risks={4: column}, time="time", **options).tidy()
    found = found.set_index("term")
    reference = REFERENCE[kind][name]
    assert_allclose(found.loc["auc", "estimate"], reference["auc"], rtol=ROUNDING)
    assert_allclose(found.loc["brier", "estimate"], reference["brier"], rtol=ROUNDING)
    assert_allclose(found.loc["brier_null", "estimate"], reference["null"], rtol=ROUNDING)
    assert_allclose(found.loc["auc", "std_error"], reference["auc_se"], rtol=JACKKNIFE)
    assert_allclose(found.loc["brier", "std_error"], reference["brier_se"], rtol=JACKKNIFE)


def test_the_share_that_left_is_aalen_johansens() -> None:
    data = sample("one")
    found = accuracy_of_risks(
        data, risks={3: "risk", 6: "risk"}, time="time", event="state", cause=1
    ).tidy()
    curves = cumulative_incidence(data, time="time", event="state").at([3, 6])
    own = found.loc[found["term"] == "observed", "estimate"]
    assert_allclose(own, curves.loc[curves["state"] == "1", "estimate"], rtol=ROUNDING)


def test_without_censoring_pairs_are_counted() -> None:
    data = sample("two").assign(left=1)
    found = accuracy_of_risks(data, risks={5: "coarse"}, time="time", event="left").tidy()
    case = data["time"] <= 5
    pairs = [
        0.5 if a == b else float(a > b)
        for a, b in itertools.product(data.loc[case, "coarse"], data.loc[~case, "coarse"])
    ]
    assert_allclose(found["estimate"].iloc[0], np.mean(pairs), rtol=ROUNDING)
    brier = ((case - data["coarse"]) ** 2).mean()
    assert_allclose(found["estimate"].iloc[1], brier, rtol=ROUNDING)


def with_therapists(name: str = "one") -> pd.DataFrame:
    data = sample(name)
    return data.assign(therapist=[f"T {k % 9}" for k in range(len(data))])


def test_left_out_therapists_are_predicted_by_the_others() -> None:
    data = with_therapists().assign(left=lambda d: (d["state"] == 1).astype(int))
    model = cox_ph("x", data, time="time", event="left")
    found = risk_accuracy(model, times=[4], leave_out="therapist")
    risk = np.empty(len(data))
    for therapist in set(data["therapist"]):
        own = (data["therapist"] == therapist).to_numpy()
        fit = cox_ph("x", data[~own], time="time", event="left")
        risk[own] = 1.0 - fit.survival(data[own], times=[4])["estimate"]
    by_hand = accuracy_of_risks(
        data.assign(risk=risk), risks={4: "risk"}, time="time", event="left", cluster="therapist"
    ).tidy()
    own = found.tidy()
    for term in ("auc", "brier", "observed_to_predicted"):
        one, other = (t.loc[t["term"] == term].iloc[0] for t in (own, by_hand))
        assert_allclose(one["estimate"], other["estimate"], rtol=1e-6)
        assert_allclose(one["std_error"], other["std_error"], rtol=1e-6)


def test_a_fine_gray_model_left_out_by_hand_and_in_folds() -> None:
    data = with_therapists()
    options = {"time": "time", "event": "state", "cause": 1}
    model = fine_gray("x", data, **options)
    found = risk_accuracy(model, times=[3], leave_out="therapist", n_folds=3)
    fold = np.array([int(t[2:]) % 3 for t in data["therapist"]])
    risk = np.empty(len(data))
    for k in range(3):
        fit = fine_gray("x", data[fold != k], **options)
        risk[fold == k] = fit.incidence(data[fold == k], times=[3])["estimate"]
    assert_allclose(found.parts[3.0].risk, risk, rtol=1e-6)


def test_chances_of_the_rows_themselves_say_so() -> None:
    data = with_therapists()
    model = fine_gray("x", data, time="time", event="state", cause=1)
    found = risk_accuracy(model, times=[3])
    assert "saw these rows" in found.notes[0]
    risk = model.incidence(data, times=[3])["estimate"]
    assert_allclose(found.parts[3.0].risk, risk, rtol=1e-6)
    groups = found.calibration(groups=3)
    assert groups["nobs"].sum() == len(data)
    assert groups["predicted"].is_monotonic_increasing


def periods(data: pd.DataFrame) -> pd.DataFrame:
    """Return rows a unit and session: the interval after session t is (t - 1, t]."""
    rows = data.loc[data.index.repeat(data["time"])].copy()
    rows["session"] = rows.groupby("unit").cumcount() + 1
    last = rows["session"] == rows["time"]
    rows["code"] = np.where(last, rows["state"], 0).astype(float)
    # censored at time t: known to have come back from interval t
    return rows.reset_index(drop=True)


@pytest.mark.parametrize("name", ["one", "two"])
def test_one_landmark_equals_binreg(name: str) -> None:
    data = sample(name)
    model = landmark_chance(
        "x", periods(data), session="session", event="code", unit="unit", horizon=4, landmarks=[1]
    )
    reference = REFERENCE["landmark"][name]
    assert_allclose(model.beta, reference["coef"], rtol=FIT)
    n = model.n_clusters
    error = np.sqrt(np.diag(model.covariance) * (n - 1.0) / n)
    assert_allclose(error, reference["se"], rtol=FIT)


def test_an_interval_not_seen_to_its_end_is_one_less() -> None:
    """A last row of NaN says less than a last row of 0: the interval after it is not known."""
    rows = periods(sample("one"))
    last = rows["session"] == rows["time"]
    unknown = rows.assign(code=rows["code"].mask(last & (rows["state"] == 0)))
    options = {
        "session": "session",
        "event": "code",
        "unit": "unit",
        "horizon": 4,
        "landmarks": [1],
    }
    # who came back from no interval says nothing, beyond standing for nobody
    shorter = rows[~(last & (rows["state"] == 0))]
    one, other = (landmark_chance("x", each, **options) for each in (unknown, shorter))
    assert_allclose(one.beta, other.beta, rtol=FIT)
    assert one.rows.n_used > other.rows.n_used


def test_without_censoring_it_is_the_logistic_regression_of_each_landmark() -> None:
    data = sample("one").query("state > 0").reset_index(drop=True)
    rows = periods(data)
    model = landmark_chance(
        "x", rows, session="session", event="code", unit="unit", horizon=2, landmarks=[1, 2, 3],
        form="dummies",
    )  # fmt: skip
    shares = model.observed_shares()
    for s, share in zip(shares["time"], shares["estimate"], strict=True):
        there = data[data["time"] >= s]
        left = (there["state"] == 1) & (there["time"] < s + 2)
        assert_allclose(share, left.mean(), rtol=ROUNDING)
    # the score of each landmark's level is 0: predicted and observed shares agree
    at = rows.query("session <= 3")
    chance = model.predict(at)
    means = chance.groupby("time")["estimate"].mean()
    assert_allclose(means, shares["estimate"], rtol=1e-6)


def test_landmarks_left_out_by_hand() -> None:
    rows = periods(with_therapists())
    options = {
        "session": "session", "event": "code", "unit": "unit", "horizon": 3, "landmarks": [1, 2, 4],
        "form": "dummies", "cluster": "therapist",
    }  # fmt: skip
    model = landmark_chance("x", rows, **options)
    found = landmark_accuracy(model, leave_out="therapist")
    assert list(found.parts) == [1.0, 2.0, 4.0]
    out = rows["therapist"] == "T 3"
    # the weights stay those of all rows: without censoring in the horizon both are the same
    kept = model.observed.frame["therapist"] != "T 3"
    assert found.clusters[1.0].max() == 8
    assert (~kept).sum() == out.sum() - (rows[out]["session"].isin([1, 2, 4]) == 0).sum()
    assert found.tidy().query("term == 'auc'")["estimate"].between(0.3, 1.0).all()


def test_refusals_name_what_is_wrong() -> None:
    data = with_therapists()
    model = fine_gray("x", data, time="time", event="state", cause=1)
    with pytest.raises(DataError, match="beyond the last time"):
        risk_accuracy(model, times=[500])
    with pytest.raises(DataError, match="no column 'therapis'"):
        risk_accuracy(model, times=[3], leave_out="therapis")
    with pytest.raises(DataError, match="leaves 0 to 1"):
        accuracy_of_risks(data, risks={3: "x"}, time="time", event="state", cause=1)
    with pytest.raises(DataError, match="no ending 'left'"):
        accuracy_of_risks(data, risks={3: "risk"}, time="time", event="state", cause="left")
    rows = periods(data)
    options = {"session": "session", "event": "code", "unit": "unit"}
    with pytest.raises(ValueError, match="whole number"):
        landmark_chance("x", rows, horizon=0, **options)
    with pytest.raises(NotIdentifiedError, match="No unit's course ends with 7"):
        landmark_chance("x", rows, horizon=2, cause=7, **options)
    with pytest.raises(DataError, match="nobody with all variables was there"):
        landmark_chance("x", rows, horizon=2, landmarks=[900], **options)
    with pytest.raises(DataError, match="was no landmark"):
        landmark_chance("x", rows, horizon=2, landmarks=[1, 3, 4, 5], **options).predict(
            pd.DataFrame({"session": [40], "x": [0.0]})
        )


def written_out(time: np.ndarray, state: np.ndarray, risk: np.ndarray, t: float):
    """Return AUC and Brier score by loops over all pairs and an own censoring curve."""

    def uncensored(moment: float) -> float:
        """Return the chance of not having been censored before a moment; endings go first."""
        kept = 1.0
        for s in sorted(set(time[(state == 0) & (time < moment)])):
            there = np.sum(time >= s) - np.sum((time == s) & (state > 0))
            kept *= 1.0 - np.sum((time == s) & (state == 0)) / there
        return kept

    weight = np.zeros(len(time))
    for i, (own, how) in enumerate(zip(time, state, strict=True)):
        if how > 0 and own <= t:
            weight[i] = 1.0 / uncensored(own)
        elif own > t:  # stands for those censored at t as well
            weight[i] = 1.0 / uncensored(t + 1e-9)
    case = (state == 1) & (time <= t)
    above = total = 0.0
    for i in np.flatnonzero(case):
        for j in np.flatnonzero(~case):
            pair = weight[i] * weight[j]
            above += pair * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
            total += pair
    return above / total, float(np.mean(weight * (case - risk) ** 2))


@pytest.mark.parametrize("seed", [1, 2])
def test_uneven_clinics_and_tied_times_equal_loops_over_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 90
    clinic = np.repeat([f"clinic {k}" for k in range(6)], [50, 20, 10, 6, 3, 1])
    data = pd.DataFrame({"clinic": clinic, "time": rng.integers(1, 13, n).astype(float)})
    data["state"] = rng.choice([0, 1, 2], n, p=[0.35, 0.4, 0.25])
    data["risk"] = np.round(rng.uniform(size=n), 1)  # ties among chances
    for t in (4.0, 7.5):
        found = accuracy_of_risks(
            data, risks={t: "risk"}, time="time", event="state", cause=1, cluster="clinic"
        ).tidy()
        expected = written_out(
            data["time"].to_numpy(), data["state"].to_numpy(), data["risk"].to_numpy(), t
        )
        got = found.set_index("term")["estimate"]
        assert_allclose([got["auc"], got["brier"]], expected, rtol=1e-10)


def test_a_covariate_that_repeats_another_changes_no_chance() -> None:
    rows = periods(sample("one")).assign(
        twice=lambda d: 2.0 * d["x"], z=lambda d: np.cos(7.0 * d.groupby("unit").ngroup())
    )
    options = {
        "session": "session", "event": "code", "unit": "unit", "horizon": 2,
        "landmarks": [1, 2, 3], "form": "dummies",
    }  # fmt: skip
    plain = landmark_chance("x + z", rows, **options)
    again = landmark_chance("x + twice + z", rows, **options)
    early = rows[rows["session"] <= 3]
    assert_allclose(again.predict(early), plain.predict(early), rtol=FIT)
    one, other = (landmark_accuracy(m).tidy()["estimate"] for m in (plain, again))
    assert_allclose(one, other, rtol=FIT)
