"""Coefficients that change with time, against coxph's tt(), survSplit, crr's tf and glm."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.survival import (
    competing_hazards,
    cox_ph,
    discrete_hazard,
    fine_gray,
    varying_coefficient,
)
from alliance_stats.survival.cox.cox_fit import ascend
from alliance_stats.survival.cox.varying_subdistribution import VaryingSubdistribution
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_varying")
# Newton's method on both sides, R's with eps = 1e-12 on the log-likelihood.
FIT = 1e-6
# crr stops at its own gradient, and its variance is of single steps.
FINE_FIT = 1e-5
# The same sums in another order.
ROUNDING = 1e-9


def veteran() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["veteran"])


def late() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["late"])


@pytest.mark.parametrize(("form", "ties"), [("log", "efron"), ("linear", "breslow")])
def test_changes_equal_those_of_tt(form: str, ties: str) -> None:
    model = cox_ph("trt + karno", veteran(), time="time", event="status", ties=ties)
    found = varying_coefficient(model, term="karno", form=form)
    reference = REFERENCE[form]
    assert_allclose(found.beta, reference["coef"], rtol=FIT)
    assert_allclose(found.covariance, reference["vcov"], rtol=FIT)
    rise = 2.0 * (reference["loglik"][1] - REFERENCE[f"{form}_base"])
    assert_allclose(found.statistic, rise, rtol=FIT)
    assert found.df == 1


def test_delayed_entry_and_strata_equal_rows_cut_by_hand() -> None:
    model = cox_ph("x + g", late(), start="start", stop="stop", event="left", strata="h")
    found = varying_coefficient(model, term="x")
    assert_allclose(found.beta, REFERENCE["late_log"]["coef"], rtol=FIT)
    assert_allclose(found.covariance, REFERENCE["late_log"]["vcov"], rtol=FIT)


def test_robust_errors_and_test_over_clusters() -> None:
    model = cox_ph("x + g", late(), start="start", stop="stop", event="left", cluster="clinic")
    found = varying_coefficient(model, term="x", form="linear")
    beta, vcov = (np.array(REFERENCE["late_robust"][name]) for name in ("coef", "vcov"))
    assert_allclose(found.beta, beta, rtol=FIT)
    assert_allclose(found.covariance, vcov, rtol=FIT)
    assert_allclose(found.statistic, beta[2] ** 2 / vcov[2, 2], rtol=FIT)
    assert found.test == "robust Wald"


def test_the_curve_is_the_coefficient_at_a_time() -> None:
    model = cox_ph("trt + karno", veteran(), time="time", event="status")
    found = varying_coefficient(model, term="karno")
    row = found.curve([100.0]).iloc[0]
    beta, vcov = (np.array(REFERENCE["log"][name]) for name in ("coef", "vcov"))
    L = np.array([0.0, 1.0, np.log(100.0)])
    assert_allclose(row["estimate"], L @ beta, rtol=FIT)
    assert_allclose(row["std_error"], np.sqrt(L @ vcov @ L), rtol=FIT)
    assert found.curve([0.5, 5000.0])["estimate"].isna().all()


def test_a_spline_with_all_of_time_in_two_knots_is_a_line() -> None:
    model = cox_ph("trt + karno", veteran(), time="time", event="status")
    line = varying_coefficient(model, term="karno", form="linear")
    spline = varying_coefficient(model, term="karno", form="spline", form_df=4)
    assert spline.df == 4
    assert spline.statistic > line.statistic - ROUNDING


def test_the_unit_of_time_changes_nothing_that_is_asked() -> None:
    days = veteran()
    years = days.assign(time=days["time"] / 365.25)
    for form in ("linear", "spline"):
        a, b = (
            varying_coefficient(
                cox_ph("trt + karno", data, time="time", event="status"), term="karno", form=form
            )
            for data in (days, years)
        )
        assert_allclose(a.statistic, b.statistic, rtol=FIT)
        assert_allclose(a.curve()["conf_low"], b.curve()["conf_low"], rtol=1e-5)


def test_refusals_say_what_is_asked_of_whom() -> None:
    model = cox_ph("trt + karno", veteran(), time="time", event="status")
    with pytest.raises(DataError, match="no coefficient 'karnoo'. Did you mean 'karno'"):
        varying_coefficient(model, term="karnoo")
    with pytest.raises(ValueError, match="2 or more"):
        varying_coefficient(model, term="karno", form="spline", form_df=1)
    once = veteran().assign(time=lambda d: np.where(d["status"] == 1, 5.0, 9.0))
    with pytest.raises(NotIdentifiedError, match="1 time"):
        varying_coefficient(cox_ph("trt", once, time="time", event="status"), term="trt")


FINE = pd.DataFrame(REFERENCE["fine"])
ENDED = {"time": "time", "event": "state", "cause": 1}
ROWS = pd.DataFrame(REFERENCE["rows"])
BY_SESSION = {"session": "session", "event": "left", "unit": "id", "random": None}


def test_fine_gray_equals_crr_with_a_function_of_time() -> None:
    model = fine_gray("x + z", FINE, **ENDED)
    found, reference = varying_coefficient(model, term="x"), REFERENCE["fine_log"]
    assert_allclose(found.beta, reference["coef"], rtol=FINE_FIT)
    assert_allclose(found.covariance, reference["vcov"], rtol=FINE_FIT, atol=1e-9)
    assert found.glance()["method"][0] == "robust Wald"
    assert "subdistribution hazard ratio of x" in found.summary()


def test_several_functions_of_time_equal_crr() -> None:
    model = fine_gray("x + z", FINE, **ENDED)
    sets, reference = model.sets, REFERENCE["fine_square"]
    t = sets.time[:, None]
    scaled = VaryingSubdistribution(sets, sets.X[0], np.hstack((t, t**2)))
    found = ascend(scaled, np.zeros(4), done=1e-20)
    beta = found.beta / model.design.scale[[0, 1, 0, 0]]
    assert_allclose(beta, reference["coef"], rtol=FINE_FIT)
    own = np.linalg.solve(found.curvature, scaled.influence(found.at))
    errors = np.sqrt((own**2).sum(axis=1)) / model.design.scale[[0, 1, 0, 0]]
    assert_allclose(errors, np.sqrt(np.diag(reference["vcov"])), rtol=FINE_FIT)


@pytest.mark.parametrize("kind", ["late", "weighted", "offset", "tied"])
def test_without_a_change_all_sums_are_those_of_the_plain_model(kind: str) -> None:
    rng = np.random.default_rng(2)
    data = FINE.assign(w=rng.uniform(0.3, 3.0, len(FINE)), o=rng.normal(size=len(FINE)))
    data["entry"] = np.where(np.arange(len(data)) % 3 == 0, 0.6 * data["time"], 0.0)
    if kind == "tied":
        data["time"], data["entry"] = np.ceil(data["time"]), np.floor(data["entry"] / 2.0)
    formula = "x + z + offset(o)" if kind == "offset" else "x + z"
    given = {"late": {"entry": "entry"}, "weighted": {"weights": "w"}, "tied": {"entry": "entry"}}
    model = fine_gray(formula, data, **ENDED, **given.get(kind, {}))
    sets, beta = model.sets, model.fit.beta + 0.2
    time = sets.time[:, None]
    varying = VaryingSubdistribution(sets, sets.X[0], time)
    at, plain = varying.at(np.append(beta, 0.0)), sets.at(beta)
    assert_allclose(at.log_lik, plain.log_lik, rtol=1e-10)
    for mine, theirs in zip(varying.derivatives(at), sets.derivatives(plain), strict=True):
        assert_allclose(mine[..., :2][:2], theirs, rtol=1e-8, atol=1e-9)
    assert_allclose(varying.influence(at)[:2], sets.influence(plain), rtol=1e-8, atol=1e-9)
    step = 1e-5 * np.eye(3)
    slopes = [
        (
            varying.at(np.append(beta, 0.1) + e).log_lik
            - varying.at(np.append(beta, 0.1) - e).log_lik
        )
        / 2e-5
        for e in step
    ]
    score, information = varying.derivatives(varying.at(np.append(beta, 0.1)))
    assert_allclose(score, slopes, rtol=1e-6, atol=1e-6)
    second = [
        (
            varying.derivatives(varying.at(np.append(beta, 0.1) - e))[0]
            - varying.derivatives(varying.at(np.append(beta, 0.1) + e))[0]
        )
        / 2e-5
        for e in step
    ]
    assert_allclose(information, second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_by_session_it_equals_glm(link: str) -> None:
    model = discrete_hazard("x", ROWS, **BY_SESSION, link=link)
    found, reference = varying_coefficient(model, term="x"), REFERENCE["session"][link]
    assert_allclose(found.beta[-2:], reference["large"]["coef"][-2:], rtol=FIT)
    fall = reference["small"]["deviance"] - reference["large"]["deviance"]
    assert_allclose(found.statistic, fall, rtol=1e-5)
    assert found.glance()["method"][0] == "likelihood ratio"
    at = found.curve([1, 5])["estimate"]
    b = reference["large"]["coef"]
    assert_allclose(at, [b[-2], b[-2] + b[-1] * np.log(5.0)], rtol=FIT)
    clustered = discrete_hazard("x", ROWS, **BY_SESSION, link=link, cluster="clinic")
    robust = varying_coefficient(clustered, term="x")
    written = discrete_hazard(
        "x + change", ROWS.assign(change=ROWS["x"] * np.log(ROWS["session"])), **BY_SESSION,
        link=link, cluster="clinic",
    )  # fmt: skip
    assert_allclose(robust.covariance[-2:, -2:], written.covariance[-2:, -2:], rtol=1e-6)
    assert_allclose(robust.statistic, written.anova()["statistic"].iloc[1], rtol=1e-6)


def test_with_therapists_it_is_the_interaction_written_out() -> None:
    given = BY_SESSION | {"random": "(1 | clinic)", "baseline": "log"}
    found = varying_coefficient(discrete_hazard("x", ROWS, **given), term="x", form="linear")
    written = discrete_hazard(
        "x + change", ROWS.assign(change=ROWS["x"] * ROWS["session"]), **given
    )
    assert_allclose(found.beta, written.fit.beta, rtol=1e-4, atol=1e-5)


def test_one_of_competing_endings_changes_and_the_other_does_not() -> None:
    """Beside the multinomial likelihood written out and climbed by scipy."""
    given = {"session": "session", "event": "ending", "unit": "id", "baseline": "constant"}
    model = competing_hazards("x", ROWS, **given)
    found = varying_coefficient(model, term="x", state="1")
    x, log_t, ending = (ROWS["x"], np.log(ROWS["session"]), ROWS["ending"].to_numpy())

    def minus(b: np.ndarray) -> float:
        eta = np.column_stack([0.0 * x, b[0] + (b[1] + b[2] * log_t) * x, b[3] + b[4] * x])
        own = eta[np.arange(len(eta)), ending]
        return -float((own - np.log(np.exp(eta).sum(axis=1))).sum())

    best = optimize.minimize(minus, np.array([-2.0, 0.0, 0.0, -2.0, 0.0]), tol=1e-10)
    assert_allclose(found.beta, best.x, rtol=1e-4, atol=1e-5)
    assert_allclose(found.statistic, 2.0 * (-best.fun - model.log_lik), rtol=1e-5)
    assert found.names == ("1: (Intercept)", "1: x", "1: x:log(time)", "2: (Intercept)", "2: x")
    with pytest.raises(DataError, match="state=None is no ending"):
        varying_coefficient(model, term="x")
    with pytest.raises(ValueError, match="competing hazards; leave it out"):
        varying_coefficient(fine_gray("x", FINE, **ENDED), term="x", state="1")
