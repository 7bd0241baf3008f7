"""Covariances and predictions are labelled tables, in every model that has them."""

import numpy as np
import pandas as pd
import pytest

import alliance_stats as als
from tests.fuzz.frames import frames
from tests.fuzz.further_calls import FURTHER
from tests.fuzz.model_calls import MODELS
from tests.fuzz.question_calls import QUESTIONS

CALLS = {**MODELS, **FURTHER, **QUESTIONS}
FRAMES = frames()
SAME = 1e-8  # a standard error is the root of the diagonal: the same sums, in another order

# A call of each model with coefficients: what has a covariance.
WITH_COVARIANCE = [
    "lmm", "lmm slope", "lmm AR1", "glmm", "glmm negative binomial", "ordinal", "location_scale",
    "cox_ph", "cox_ph clusters", "cox_ph frailty", "fine_gray", "firth_cox", "discrete_hazard",
    "discrete_hazard random", "firth_discrete_hazard", "competing_hazards", "landmark_chance",
    "regression", "regression logistic", "regression counts", "regression ordinal",
    "cross_lagged", "several_outcomes", "within_between", "apim", "factor_model",
    "factor_model nested", "meta_analysis", "meta_analysis r", "pattern_mixture",
    "shared_parameter", "mediation", "mediation by arms", "mediation, moderated",
    "mediation in units", "estimated_means", "contrasts", "simple_slopes",
]  # fmt: skip
# Those whose rows can be predicted from covariates.
WITHOUT_PREDICTION = {
    "cross_lagged", "several_outcomes", "within_between", "apim", "factor_model",
    "factor_model nested", "pattern_mixture", "shared_parameter", "mediation",
    "mediation by arms", "mediation, moderated", "mediation in units",
    "estimated_means", "contrasts", "simple_slopes",
}  # fmt: skip
BY_CATEGORY = {"ordinal", "regression ordinal", "competing_hazards"}


pytestmark = pytest.mark.filterwarnings("ignore::alliance_stats.errors.AllianceStatsWarning")


@pytest.fixture(scope="module", params=WITH_COVARIANCE)
def called(request):
    frame, call = CALLS[request.param]
    return request.param, FRAMES[frame].copy(), call(FRAMES[frame].copy())


def test_a_covariance_is_labelled_and_holds_the_standard_errors(called):
    _, _, result = called
    vcov = result.vcov()
    assert isinstance(vcov, pd.DataFrame)
    assert vcov.index.equals(vcov.columns)
    assert vcov.index.is_unique
    errors = result.tidy()["std_error"].dropna()
    # thresholds of ordinal models stand behind the coefficients
    np.testing.assert_allclose(np.sqrt(np.diag(vcov))[: len(errors)], errors, rtol=SAME)
    np.testing.assert_allclose(vcov, vcov.T, atol=SAME * np.abs(vcov.to_numpy()).max())


def test_a_prediction_has_the_rows_of_newdata(called):
    name, data, result = called
    if name in WITHOUT_PREDICTION:
        assert not hasattr(result, "predict")
        return
    newdata = data.dropna().head(3).set_axis(["a", "b", "c"])
    found = result.predict(newdata)
    assert isinstance(found, pd.DataFrame)
    assert found.index.tolist() == ["a", "b", "c"]
    if name in BY_CATEGORY:
        assert (found.sum(axis=1) <= 1.0 + SAME).all()
    else:
        assert found["estimate"].notna().all()
    pd.testing.assert_frame_equal(result.predict(newdata.tail(1)), found.tail(1))


@pytest.mark.parametrize("called", ["discrete_hazard", "discrete_hazard random"], indirect=True)
def test_a_predicted_hazard_is_that_of_the_typical_course(called):
    _, data, model = called
    one = data.dropna().head(1)
    curve = model.curve(one, level="typical")
    rows = one.loc[one.index.repeat(len(curve))].assign(session=curve["time"].to_numpy())
    found = model.predict(rows)
    for column, beside in (("estimate", "hazard"), ("conf_low", "hazard_low")):
        np.testing.assert_allclose(found[column], curve[beside], rtol=SAME)


@pytest.mark.parametrize("options", [{}, {"baseline": "polynomial", "baseline_df": 1}])
def test_predicted_hazards_of_endings_are_those_of_the_typical_course(options):
    model = als.competing_hazards(
        "barriers", FRAMES["periods"], session="session", event="ended", unit="unit",
        censored="none", **options,
    )  # fmt: skip
    one = FRAMES["periods"].dropna().head(1)
    curve = model.curve(one, level="typical").pivot(index="time", columns="state", values="hazard")
    rows = one.loc[one.index.repeat(len(curve))].assign(session=curve.index)
    np.testing.assert_allclose(model.predict(rows)[list(curve)], curve, rtol=SAME)


def test_a_predicted_effect_of_studies_is_the_pooled_one():
    pooled = als.meta_analysis(FRAMES["studies"], r="r", n="n")
    anything = pd.DataFrame({"year": [2000]})
    for scale in ("fitted", "r"):
        limits = ["estimate", "conf_low", "conf_high"]
        pd.testing.assert_frame_equal(
            pooled.predict(anything, scale=scale)[limits], pooled.tidy(scale=scale)[limits]
        )
        pd.testing.assert_frame_equal(
            pooled.predict(anything, interval="prediction", scale=scale)[limits],
            pooled.prediction(scale=scale)[limits],
        )


def test_a_meta_regression_predicts_its_line():
    pooled = als.meta_analysis(FRAMES["studies"], estimate="yi", variance="vi", moderators="year")
    beta, vcov = pooled.tidy()["estimate"].to_numpy(), pooled.vcov().to_numpy()
    found, x = pooled.predict(pd.DataFrame({"year": [2005.0]})).iloc[0], np.array([1.0, 2005.0])
    assert found["estimate"] == pytest.approx(x @ beta)
    assert found["std_error"] == pytest.approx(np.sqrt(x @ vcov @ x))


def test_a_meta_regression_of_correlations_predicts_correlations():
    found = als.meta_analysis(FRAMES["studies"], r="r", n="n", moderators="year")
    new = pd.DataFrame({"year": [2001, 2020]})
    z, r = found.predict(new), found.predict(new, scale="r")
    for column in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_allclose(r[column], np.tanh(z[column]))
    assert r["std_error"].isna().all()


def test_ratios_are_exponentials_and_a_hazard_is_a_probability():
    units, periods = FRAMES["units"], FRAMES["periods"]
    for fit in (als.firth_cox, als.cox_ph):
        model = fit("barriers", units, time="time", event="event")
        slope = model.tidy()["estimate"].item()
        new = pd.DataFrame({"barriers": [0.0, 2.0]})
        np.testing.assert_allclose(model.predict(new)["estimate"], [0.0, 2.0 * slope])
        np.testing.assert_allclose(
            model.predict(new, scale="ratio")["estimate"], [1.0, np.exp(2.0 * slope)]
        )
    _, call = CALLS["firth_discrete_hazard"]
    found = call(periods)
    link = found.predict(periods.dropna().head(2))["estimate"]
    hazard = found.predict(periods.dropna().head(2), scale="response")["estimate"]
    np.testing.assert_allclose(hazard, 1.0 - np.exp(-np.exp(link)))


def test_location_scale_predicts_mean_and_sd():
    model = als.location_scale(
        "symptoms ~ session + (1 | person)", FRAMES["sessions"], scale="session"
    )
    beta = model.tidy().set_index(["effect", "term"])["estimate"]
    found = model.predict(pd.DataFrame({"session": [3.0]})).iloc[0]
    mean, log_sd = (
        beta[e, "(Intercept)"] + 3.0 * beta[e, "session"] for e in ("location", "scale")
    )
    assert found.tolist() == pytest.approx([mean, np.exp(log_sd)])


def test_a_subdistribution_ratio_raises_the_share_that_stays_to_its_power():
    _, call = CALLS["fine_gray"]
    model = call(FRAMES["units"])
    new = pd.DataFrame({"barriers": [0.0, 1.5]})
    stays = 1.0 - model.incidence(new).pivot(index="time", columns="row", values="estimate")
    ratio = model.predict(new, scale="ratio")["estimate"].iloc[1]
    np.testing.assert_allclose(stays[1], stays[0] ** ratio)
