"""Cox models, frailty, diagnostics and Fine-Gray models equal those of survival and cmprsk."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from alliance_stats.survival import (
    CoxModel,
    concordance,
    cox_ph,
    fine_gray,
    proportional_hazards_test,
    schoenfeld_residuals,
)
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("survival_cox")
COMPETING = load_reference("survival_competing")

# Newton's method on both sides, R's with eps = 1e-12 on the log-likelihood.
COEF_TOLERANCE = 1e-7
SE_TOLERANCE = 1e-7
LOG_LIK_TOLERANCE = 1e-10
# Counts of pairs are exact; the rest is a ratio of them, at R's fitted ranks.
CONCORDANCE_TOLERANCE = 1e-9
# Score tests and predictions inherit the coefficients' last digits.
DERIVED_TOLERANCE = 1e-7
# R's search over the variance stops once its criterion moves by 1e-12 (relatively): the variance
# is then good to about 1e-6 (gamma); the fixed point of the normal one is solved to 1e-12.
VARIANCE_TOLERANCE = 1e-5
FRAILTY_COEF_TOLERANCE = 2e-7


@cache
def data(name: str) -> pd.DataFrame:
    if name in ("sessions", "lung"):
        return pd.DataFrame(REFERENCE[name])
    return r_data("survival", name)


TIME = {"time": "time", "event": "status"}
SPELLS = {"start": "start", "stop": "stop"}

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "veteran": ("karno + celltype + age", "veteran", TIME),
    "veteran_strata": ("karno + age", "veteran", {**TIME, "strata": "celltype"}),
    "lung": ("age + sex + `ph.ecog` + `wt.loss`", "lung", {"time": "time", "event": "left"}),
    "heart": (
        "age + year + surgery + transplant",
        "heart",
        {**SPELLS, "event": "event", "cluster": "id"},
    ),
    "bladder": (
        "rx + size + number",
        "bladder2",
        {**SPELLS, "event": "event", "strata": "enum", "cluster": "id"},
    ),
    "ovarian": ("age + rx", "ovarian", {"time": "futime", "event": "fustat"}),
    "sessions": (
        "alliance + barrier",
        "sessions",
        {**SPELLS, "event": "left", "cluster": "therapist"},
    ),
    "sessions_strata": (
        "alliance + barrier",
        "sessions",
        {**SPELLS, "event": "left", "cluster": "therapist", "strata": "site"},
    ),
}


@cache
def model(name: str, ties: str = "efron") -> CoxModel:
    formula, table, options = MODELS[name]
    return cox_ph(formula, data(table), ties=ties, **options)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("name", list(MODELS))
def test_estimates_equal_coxph(name: str, ties: str) -> None:
    fit, reference = model(name, ties), REFERENCE["fits"][name][ties]
    tidy, glance = fit.tidy(), fit.glance().loc[0]
    assert_allclose(tidy["estimate"], reference["coef"], rtol=COEF_TOLERANCE, atol=COEF_TOLERANCE)
    model_se = np.sqrt(np.diag(fit.model_covariance))
    assert_allclose(model_se, reference["se"], rtol=SE_TOLERANCE)
    assert_allclose(tidy["std_error"], reference["robust"] or reference["se"], rtol=SE_TOLERANCE)
    assert_allclose(glance["log_lik_null"], reference["loglik"][0], rtol=LOG_LIK_TOLERANCE)
    assert_allclose(glance["log_lik"], reference["loglik"][1], rtol=LOG_LIK_TOLERANCE)
    assert glance["converged"]


@pytest.mark.parametrize("name", list(MODELS))
def test_concordance_equals_survival(name: str) -> None:
    found = concordance(model(name))
    estimate, std_error, *counts = REFERENCE["fits"][name]["efron"]["concordance"]
    assert_allclose(found.estimate, estimate, rtol=CONCORDANCE_TOLERANCE)
    assert_allclose(found.std_error, std_error, rtol=CONCORDANCE_TOLERANCE)
    if "strata" not in MODELS[name][2]:  # R gives counts by stratum there
        assert [found.concordant, found.discordant, found.tied] == counts


@pytest.mark.parametrize("transform", ["km", "rank", "identity", "log"])
@pytest.mark.parametrize("name", ["veteran", "veteran_strata", "sessions"])
def test_proportional_hazards_tests_equal_cox_zph(name: str, transform: str) -> None:
    tidy = proportional_hazards_test(model(name), transform=transform).tidy()
    reference = REFERENCE["zph"][name][transform]
    assert tidy["term"].tolist() == reference["term"]
    assert_allclose(tidy["statistic"], reference["chisq"], rtol=DERIVED_TOLERANCE)
    assert_array_equal(tidy["df"], reference["df"])


@pytest.mark.parametrize(
    ("name", "rows", "times", "conf_type"),
    [
        ("veteran", [0, 50], [30, 100, 200], "log-log"),
        ("veteran_strata", [0, 50], [10, 60, 120], "log"),
        ("sessions", [0, 39], [2, 6, 12], "log-log"),
    ],
)
def test_predicted_survival_equals_survfit(
    name: str, rows: list[int], times: list[float], conf_type: str
) -> None:
    newdata = data(MODELS[name][1]).iloc[rows]
    predicted = model(name).survival(newdata, times=times, conf_type=conf_type)
    reference = REFERENCE["survival"][name]
    for column, key in (
        ("estimate", "surv"),
        ("std_error", "se"),
        ("conf_low", "lower"),
        ("conf_high", "upper"),
    ):
        assert_allclose(predicted[column], reference[key], rtol=DERIVED_TOLERANCE, err_msg=column)


def test_baseline_equals_basehaz() -> None:
    baseline = model("sessions").baseline()
    reference = pd.DataFrame(REFERENCE["baseline"])
    reference = reference[reference["time"].isin(baseline["time"])]
    assert_allclose(baseline["cumulative_hazard"], reference["hazard"], rtol=DERIVED_TOLERANCE)


def test_residuals_equal_those_of_coxph() -> None:
    fit, reference = model("sessions"), REFERENCE["residuals"]
    augmented = fit.augment()
    assert_allclose(augmented["martingale"], reference["martingale"], atol=DERIVED_TOLERANCE)
    assert_allclose(augmented["deviance_residual"], reference["deviance"], atol=DERIVED_TOLERANCE)
    assert_allclose(fit.dfbeta(), reference["dfbeta"], atol=DERIVED_TOLERANCE)
    schoenfeld = schoenfeld_residuals(fit)
    n = len(schoenfeld) // 2
    for column, key in (("residual", "schoenfeld"), ("scaled", "scaled")):
        ours = schoenfeld[column].to_numpy().reshape(n, 2)
        theirs = np.array(reference[key])
        # within a time R keeps another order of the rows
        for values in (ours, theirs):
            values[:] = values[np.lexsort((values[:, 1], values[:, 0]))]
        assert_allclose(ours, theirs, atol=DERIVED_TOLERANCE)


FRAILTY: dict[str, tuple[str, str, dict[str, Any]]] = {
    "kidney": ("age + sex", "kidney", {**TIME, "frailty": "id"}),
    "retinopathy": (
        "age + trt + risk",
        "retinopathy",
        {"time": "futime", "event": "status", "frailty": "id"},
    ),
    "sessions": (
        "alliance + barrier",
        "sessions",
        {**SPELLS, "event": "left", "frailty": "therapist"},
    ),
    "sessions_strata": (
        "alliance + barrier",
        "sessions",
        {**SPELLS, "event": "left", "frailty": "therapist", "strata": "site"},
    ),
}


@pytest.mark.parametrize("distribution", ["gamma", "lognormal"])
@pytest.mark.parametrize("name", list(FRAILTY))
def test_frailty_equals_coxph(name: str, distribution: str) -> None:
    formula, table, options = FRAILTY[name]
    fit = cox_ph(formula, data(table), frailty_distribution=distribution, **options)
    reference = REFERENCE["frailty"][name][distribution]
    assert fit.frailty is not None
    assert_allclose(fit.frailty.variance, reference["theta"], rtol=VARIANCE_TOLERANCE)
    assert_allclose(fit.beta, reference["coef"], rtol=1e-5, atol=FRAILTY_COEF_TOLERANCE)
    assert_allclose(fit.tidy()["std_error"], reference["se"], rtol=1e-5)
    assert_allclose(fit.frailty.b, reference["b"], atol=1e-5)
    if distribution == "gamma":
        assert_allclose(fit.frailty.log_lik, reference["loglik"], rtol=LOG_LIK_TOLERANCE)


@pytest.mark.parametrize("cause", [1, 2, 3])
@pytest.mark.parametrize("table", ["endings", "continuous"])
def test_fine_gray_equals_crr(table: str, cause: int) -> None:
    fit = fine_gray(
        "framework + C(site)",
        pd.DataFrame(COMPETING[table]),
        time="time",
        event="ending",
        cause=cause,
    )
    reference = REFERENCE["fine_gray"][table][cause - 1]
    assert_allclose(fit.beta, reference["coef"], rtol=COEF_TOLERANCE)
    assert_allclose(fit.tidy()["std_error"], reference["se"], rtol=SE_TOLERANCE)
    assert_allclose(fit.log_lik, reference["loglik"], rtol=LOG_LIK_TOLERANCE)
    assert_allclose(fit.hazard.sum(), reference["cumhaz"], rtol=DERIVED_TOLERANCE)
