"""Curves averaged over covariates: by other sums, by dense inverses and by differences."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import (
    adjusted_curves,
    competing_hazards,
    cox_ph,
    discrete_hazard,
    fine_gray,
)
from tests.parity.reference import load_reference
from tests.properties.test_survival_competing_laws import courses

REFERENCE = load_reference("survival_readings")
LUNG = pd.DataFrame(REFERENCE["lung"]).dropna(subset=["age", "sex", "ph.karno"])
WHEN = {"time": "time", "event": "left"}
TIMES = [100, 250, 500]
# The same sums in another order, through Newton's last digits.
ROUNDING = 1e-7
# Central differences of a smooth function.
DIFFERENCES = 1e-5


def test_averages_of_a_cox_model_are_those_of_survfit() -> None:
    fit = cox_ph("age + C(sex) + `ph.karno`", LUNG, **WHEN)
    found = adjusted_curves(fit, variable="sex", times=TIMES).tidy()
    assert found["group"].tolist() == [1, 1, 1, 2, 2, 2]
    assert_allclose(found["estimate"], np.ravel(REFERENCE["adjusted"]), rtol=ROUNDING)


def test_of_one_row_it_is_that_rows_survival() -> None:
    fit = cox_ph("age + C(sex)", LUNG, **WHEN, cluster="inst")
    row = pd.DataFrame({"age": [60.0], "sex": [1]})
    found = adjusted_curves(fit, variable="sex", data=row, values=[1], times=TIMES).tidy()
    own = fit.survival(row, times=TIMES)
    for column in ("estimate", "std_error", "conf_low", "conf_high"):
        assert_allclose(found[column], own[column], rtol=ROUNDING)


def test_errors_are_those_of_the_whole_likelihood() -> None:
    """Coefficients and every step of the hazard as parameters; their dense information inverted."""
    data = LUNG.iloc[:70]
    fit = cox_ph("age + C(sex)", data, **WHEN, ties="breslow")
    X = np.column_stack([data["age"], data["sex"] == 2]).astype(float)
    time, dead = data["time"].to_numpy(), data["left"].to_numpy() == 1
    steps = np.unique(time[dead])
    at_risk = (time[:, None] >= steps).astype(float)
    ratio = np.exp(X @ fit.beta)
    d = np.array([(dead & (time == t)).sum() for t in steps])
    hazard = d / (ratio @ at_risk)
    lived = ratio * (at_risk @ hazard)
    cross = (X * ratio[:, None]).T @ at_risk
    information = np.block([[(X.T * lived) @ X, cross], [cross.T, np.diag(d / hazard**2)]])
    covariance = np.linalg.inv(information)

    def mean(parameters: np.ndarray, sex: int) -> np.ndarray:
        rows = np.column_stack([data["age"], np.full(len(data), sex == 2)]).astype(float)
        H = np.array([parameters[2:][steps <= t].sum() for t in TIMES])
        return np.exp(-np.outer(H, np.exp(rows @ parameters[:2]))).mean(axis=1)

    at = np.r_[fit.beta, hazard]
    slopes = {}
    for sex in (1, 2):
        step = np.abs(at) * 1e-5
        slopes[sex] = np.stack(
            [
                (mean(at + h * e, sex) - mean(at - h * e, sex)) / (2 * h)
                for h, e in zip(step, np.eye(len(at)), strict=True)
            ],
            axis=1,
        )
    found = adjusted_curves(fit, variable="sex", times=TIMES)
    tidy = found.tidy()
    for sex, G in slopes.items():
        errors = np.sqrt(np.diag(G @ covariance @ G.T))
        assert_allclose(tidy.loc[tidy["group"] == sex, "std_error"], errors, rtol=DIFFERENCES)
    G = slopes[2] - slopes[1]
    errors = np.sqrt(np.diag(G @ covariance @ G.T))
    assert_allclose(found.differences()["std_error"], errors, rtol=DIFFERENCES)


def test_strata_keep_their_baselines() -> None:
    data = LUNG.dropna(subset=["inst"]).assign(big=lambda d: d["inst"] > 11)
    fit = cox_ph("age + C(sex)", data, **WHEN, strata="big")
    found = adjusted_curves(fit, variable="sex", times=TIMES).tidy()
    for sex in (1, 2):
        each = fit.survival(data.assign(sex=sex), times=TIMES)
        own = each.groupby("time")["estimate"].mean()
        assert_allclose(found.loc[found["group"] == sex, "estimate"], own, rtol=ROUNDING)


@pytest.fixture(scope="module")
def periods() -> pd.DataFrame:
    data = courses(11)
    rng = np.random.default_rng(2)
    families = data["family"].unique()
    arms = dict(zip(families, rng.choice(["a", "b"], len(families)), strict=True))
    fixed = data.groupby("family")["x"].transform("first")
    return data.assign(arm=data["family"].map(arms), x=fixed)


COLUMNS = {"session": "session", "event": "event", "unit": "family"}


@pytest.mark.parametrize("random", [None, "(1 | therapist)"])
def test_averages_of_a_discrete_hazard_are_those_of_its_courses(
    periods: pd.DataFrame, random: str | None
) -> None:
    data = periods.assign(event=(periods["ending"] == "dropout").astype(float))
    fit = discrete_hazard(
        "x + arm", data, **COLUMNS, random=random, baseline="polynomial", baseline_df=1
    )
    found = adjusted_curves(fit, variable="arm")
    units = data.drop_duplicates("family")
    for g, arm in enumerate(("a", "b")):
        each = [
            fit.curve(pd.DataFrame({"x": [x], "arm": [arm]}))["survival"].to_numpy()
            for x in units["x"]
        ]
        assert_allclose(found.estimate[g, 0], np.mean(each, axis=0), rtol=ROUNDING)
    one = adjusted_curves(fit, variable="arm", data=units.iloc[[0]], values=["a"]).tidy()
    own = fit.curve(units.iloc[[0]].assign(arm="a"))
    assert_allclose(one["conf_low"], own["survival_low"], rtol=ROUNDING)
    assert_allclose(one["conf_high"], own["survival_high"], rtol=ROUNDING)


@pytest.mark.parametrize("random", [None, "(1 | therapist)"])
@pytest.mark.parametrize("baseline", ["dummies", "polynomial"])
def test_slopes_of_competing_incidences_are_their_differences(
    periods: pd.DataFrame, random: str | None, baseline: str
) -> None:
    fit = competing_hazards(
        "x + arm", periods, session="session", event="ending", unit="family", censored="none",
        random=random, baseline=baseline, baseline_df=1,
    )  # fmt: skip
    row = pd.DataFrame({"x": [0.4], "arm": ["b"]})
    _, slope = fit.course(row, level="population")
    counted = np.flatnonzero(~np.isnan(fit.beta.ravel()))
    for place, k in enumerate(counted):
        moved = []
        for sign in (1.0, -1.0):
            beta = fit.beta.copy()
            beta.ravel()[k] += sign * 1e-5
            other = dataclasses.replace(fit, beta=beta)
            moved.append(other.course(row, level="population")[0].incidence)
        assert_allclose(slope[:, :, place], (moved[0] - moved[1]) / 2e-5, atol=1e-8)
    curve = fit.curve(row)
    assert (curve["conf_low"] < curve["estimate"]).all()
    assert (curve["estimate"] < curve["conf_high"]).all()
    averaged = adjusted_curves(fit, variable="arm").tidy()
    assert averaged["state"].unique().tolist() == list(fit.states)
    whole = adjusted_curves(fit, variable="arm", data=row, values=["b"]).tidy()
    assert_allclose(whole["std_error"], curve["std_error"], rtol=ROUNDING)


def test_incidences_of_a_fine_gray_model_are_averaged(periods: pd.DataFrame) -> None:
    units = periods.groupby("family").tail(1)
    fit = fine_gray("x + arm", units, time="session", event="ending", cause="dropout",
                    censored="none")  # fmt: skip
    found = adjusted_curves(fit, variable="arm", times=[2, 4]).tidy()
    each = fit.incidence(units.assign(arm="b"), times=[2, 4]).groupby("time")["estimate"].mean()
    assert_allclose(found.loc[found["group"] == "b", "estimate"], each, rtol=ROUNDING)


def test_it_speaks_and_refuses() -> None:
    fit = cox_ph("age + C(sex)", LUNG, **WHEN)
    found = adjusted_curves(fit, variable="sex", times=TIMES)
    text = found.summary()
    assert (
        "survival by 'sex' from a Cox model, averaged over the covariates of" in text.lower()
        or ("Survival by 'sex' from a Cox model" in text)
    )
    assert "Difference" in text
    assert found.glance()["n_groups"].item() == 2
    with pytest.raises(DataError, match="formula has no 'inst'"):
        adjusted_curves(fit, variable="inst")
    with pytest.raises(DataError, match="has no column 'sx'. Did you mean 'sex'"):
        adjusted_curves(fit, variable="sx")
    with pytest.raises(DataError, match="say which to compare"):
        adjusted_curves(fit, variable="age")
    spells = LUNG.assign(start=1.0, stop=LUNG["time"] + 1.0)
    late = cox_ph("age + C(sex)", spells, start="start", stop="stop", event="left")
    with pytest.raises(DataError, match="give data= with one row per person"):
        adjusted_curves(late, variable="sex")


@pytest.mark.parametrize("strata", [None, "sex"])
def test_nothing_is_said_behind_the_last_row(strata: str | None) -> None:
    formula = "age + C(group)" if strata else "age + C(group) + C(sex)"
    data = LUNG.assign(group=np.resize(["a", "b"], len(LUNG)))
    fit = cox_ph(formula, data, **WHEN, strata=strata)
    last = data.groupby("sex")["time"].max().min() if strata else data["time"].max()
    found = adjusted_curves(fit, variable="group", times=[250, last, last + 1]).tidy()
    assert found["estimate"].isna().tolist() == [False, False, True] * 2
    assert found["conf_low"].isna().tolist() == [False, False, True] * 2
    assert adjusted_curves(fit, variable="group").tidy()["estimate"].notna().all()


def test_fewer_clusters_than_coefficients_have_a_covariance(periods: pd.DataFrame) -> None:
    few = periods.assign(
        clinic=periods["family"].str[1:].astype(int) % 3,
        event=(periods["ending"] == "dropout").astype(float),
    )
    fit = discrete_hazard("x + arm", few, **COLUMNS, random=None, cluster="clinic")
    people = few.drop_duplicates("family")
    curve, X = fit.whole_course(people.iloc[[0]].assign(arm="b"), level="population")
    of_one = adjusted_curves(fit, variable="arm", data=people.iloc[[0]]).tidy()
    slope = curve.survival_slope @ X
    expected = np.sqrt(np.einsum("tp,pq,tq->t", slope, fit.covariance, slope))
    assert_allclose(of_one.loc[of_one["group"] == "b", "std_error"], expected, rtol=ROUNDING)


def test_weighted_models_ask_for_the_people_to_average_over(periods: pd.DataFrame) -> None:
    weighted = periods.assign(weight=1.0 + periods["x"] ** 2)
    fit = competing_hazards("x + arm", weighted, session="session", event="ending", unit="family",
                            censored="none", weights="weight")  # fmt: skip
    units = weighted.groupby("family").tail(1)
    other = fine_gray("x + arm", units, time="session", event="ending", cause="dropout",
                      censored="none", weights="weight")  # fmt: skip
    for model in (fit, other):
        with pytest.raises(DataError, match="unlike numbers of people"):
            adjusted_curves(model, variable="arm")
