"""R2 against performance; means, odds ratios and comparisons of a logit model against R."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import (
    comparisons,
    contrasts,
    estimated_means,
    glmm,
    lmm,
    r_squared,
    simple_slopes,
)
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("after_fit_response")
LOGIT = REFERENCE["logit"]

# lme4's optimum leaves 1e-5 of a variance, which R2 inherits.
R2 = 2e-5
# glmer's optimum (numerical derivatives) against ours; standard errors from its finite Hessian.
ESTIMATE, STD_ERROR = 2e-4, 2e-3
# Its gradient by central differences of 1e-4, on top of the fit's own error.
COMPARISON, COMPARISON_SE = 5e-4, 2e-3


def _contraception():
    data = r_data("mlmRev", "Contraception")
    return data.assign(y=(data["use"] == "Y").astype(int))


@pytest.fixture(scope="module")
def model():
    return glmm(LOGIT["formula"], _contraception())


@pytest.fixture(scope="module")
def small_model():
    return glmm(LOGIT["formula"], _contraception().iloc[LOGIT["small"]])


@pytest.mark.parametrize("case", REFERENCE["linear"], ids=lambda c: f"{c['name']}-{c['formula']}")
def test_nakagawa_r2(case):
    formula = case["formula"].replace("yield", "`yield`")
    found = r_squared(lmm(formula, r_data(case["package"], case["name"])))
    assert found.marginal == pytest.approx(case["marginal"], rel=R2)
    assert found.conditional == pytest.approx(case["conditional"], rel=R2)
    glance = found.glance().iloc[0]
    assert glance["r2_marginal"] == found.marginal
    assert glance["r2_conditional"] == found.conditional


def test_nakagawa_r2_of_a_logit_model(model):
    found = r_squared(model)
    assert found.marginal == pytest.approx(LOGIT["marginal"], rel=1e-3)
    assert found.conditional == pytest.approx(LOGIT["conditional"], rel=1e-3)


@pytest.fixture(scope="module")
def means(model):
    return estimated_means(model, "livch", by="urban", at={"age": 5})


def test_means_on_the_link_scale(means):
    table, reference = means.tidy(), LOGIT["link"]
    np.testing.assert_array_equal(table["livch"], reference["livch"])
    np.testing.assert_allclose(table["estimate"], reference["emmean"], rtol=ESTIMATE, atol=1e-4)
    np.testing.assert_allclose(table["std_error"], reference["SE"], rtol=STD_ERROR)
    np.testing.assert_allclose(table["conf_low"], reference["asymp.LCL"], atol=2e-3)
    assert np.isinf(table["df"]).all()


def test_means_on_the_response_scale(means):
    table, reference = means.tidy(scale="response"), LOGIT["response"]
    np.testing.assert_allclose(table["estimate"], reference["prob"], rtol=ESTIMATE)
    np.testing.assert_allclose(table["std_error"], reference["SE"], rtol=STD_ERROR)
    np.testing.assert_allclose(table["conf_low"], reference["asymp.LCL"], rtol=STD_ERROR)
    np.testing.assert_allclose(table["conf_high"], reference["asymp.UCL"], rtol=STD_ERROR)


def test_odds_ratios(means):
    table = contrasts(means, adjust="none").tidy(scale="ratio")
    reference = LOGIT["ratios"]
    np.testing.assert_allclose(table["estimate"], reference["odds.ratio"], rtol=ESTIMATE)
    np.testing.assert_allclose(table["std_error"], reference["SE"], rtol=STD_ERROR)
    np.testing.assert_allclose(table["statistic"], reference["z.ratio"], rtol=STD_ERROR)
    np.testing.assert_allclose(table["p_value"], reference["p.value"], rtol=2e-2)
    np.testing.assert_allclose(table["conf_high"], reference["asymp.UCL"], rtol=STD_ERROR)


def test_slopes_on_the_link_scale(model):
    table, reference = simple_slopes(model, "age", by="urban").tidy(), LOGIT["slopes"]
    np.testing.assert_allclose(table["estimate"], reference["age.trend"], rtol=1e-3)
    np.testing.assert_allclose(table["std_error"], reference["SE"], rtol=STD_ERROR)
    np.testing.assert_allclose(table["p_value"], reference["p.value"], rtol=2e-2)


def _compared(case, model, compare):
    found = comparisons(
        model,
        case["column"],
        values=(case["a"], case["b"]),
        level=case["level"],
        scale=compare,
    )
    return found.tidy().iloc[0]


CASES = pytest.mark.parametrize(
    "case", LOGIT["comparisons"], ids=lambda c: f"{c['column']}-{c['level']}"
)


@CASES
def test_differences_of_expected_responses(case, small_model):
    row = _compared(case, small_model, "difference")
    assert [row["expected_from"], row["expected_to"]] == pytest.approx(
        case["means"], rel=COMPARISON
    )
    assert row["estimate"] == pytest.approx(case["difference"], rel=2 * COMPARISON)
    assert row["std_error"] == pytest.approx(case["difference_se"], rel=COMPARISON_SE)


@CASES
def test_ratios_of_expected_responses(case, small_model):
    row = _compared(case, small_model, "ratio")
    assert row["estimate"] == pytest.approx(case["ratio"], rel=COMPARISON)
    assert row["std_error"] == pytest.approx(
        case["ratio"] * case["log_ratio_se"], rel=COMPARISON_SE
    )
    z = np.log(case["ratio"]) / case["log_ratio_se"]
    assert row["statistic"] == pytest.approx(z, rel=2 * COMPARISON_SE)
    half = 1.959963984540054 * case["log_ratio_se"]
    assert row["conf_high"] == pytest.approx(case["ratio"] * np.exp(half), rel=COMPARISON_SE)


@CASES
def test_simulation_agrees_with_the_delta_method(case, small_model):
    delta = _compared(case, small_model, "difference")
    simulated = comparisons(
        small_model,
        case["column"],
        values=(case["a"], case["b"]),
        level=case["level"],
        n_resamples=4000,
        seed=20,
    ).tidy()
    # the SD of 4,000 draws is good to 1 / sqrt(8000), 1.1%; the rest is the curvature of the
    # response over the wide coefficients of 242 rows, which the delta method leaves out
    assert simulated["std_error"][0] == pytest.approx(delta["std_error"], rel=0.05)
    assert simulated["conf_low"][0] == pytest.approx(
        delta["conf_low"], abs=0.25 * delta["std_error"]
    )
    assert pd.isna(simulated["p_value"][0])
