"""Offsets in Cox and Fine-Gray models, and weights by session, equal survival's and survey's."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats import compare_models, likelihood_ratio_test
from alliance_stats.errors import DataError
from alliance_stats.survival import (
    adjusted_curves,
    concordance,
    cox_ph,
    discrete_hazard,
    fine_gray,
    firth_cox,
    proportional_hazards_test,
    risk_accuracy,
    varying_coefficient,
)
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_offset")
DATA = pd.DataFrame(REFERENCE["data"])
TIED = DATA.assign(time=np.ceil(DATA["time"]))
ROWS = pd.DataFrame(REFERENCE["rows"])
WHEN = {"time": "time", "event": "event"}
FORMULA = "x + trained + offset(np.log(days))"
NEW = pd.DataFrame({"x": [0.3, -1.0], "trained": [1, 0], "days": [9, 4]})
# Newton's method on both sides.
TOLERANCE = 1e-7
# The same moved coefficient, climbed to from another start.
MOVED = 1e-6
MODELS = {
    "efron": {}, "breslow": {"ties": "breslow"}, "clustered": {"cluster": "therapist"},
    "strata": {"strata": "clinic"},
}  # fmt: skip


@pytest.mark.parametrize("name", list(MODELS))
def test_cox_models_equal_coxph(name: str) -> None:
    fit, reference = cox_ph(FORMULA, TIED, **WHEN, **MODELS[name]), REFERENCE["cox"][name]
    assert_allclose(fit.beta, reference["coef"], rtol=TOLERANCE)
    assert_allclose(fit.tidy()["std_error"], reference["se"], rtol=TOLERANCE)
    assert_allclose([fit.fit.log_lik_null, fit.fit.at.log_lik], reference["loglik"], rtol=TOLERANCE)
    assert_allclose(fit.augment()["martingale"], reference["martingale"], atol=TOLERANCE)


def test_what_is_asked_of_a_model_with_an_offset_equals_survival() -> None:
    fit = cox_ph(FORMULA, TIED, **WHEN)
    curve = fit.survival(NEW, times=[2, 5]).sort_values(["row", "time"])
    for column in ("estimate", "std_error", "conf_low", "conf_high"):
        assert_allclose(curve[column], REFERENCE["survival"][column], rtol=TOLERANCE)
    smaller = cox_ph("x + offset(np.log(days))", TIED, **WHEN)
    ratio = likelihood_ratio_test(smaller, fit).statistic
    assert_allclose(ratio, REFERENCE["ratio"], rtol=MOVED)
    assert_allclose(
        fit.anova(test="likelihood-ratio").set_index("term").loc["trained", "statistic"], ratio,
        rtol=MOVED,
    )  # fmt: skip
    strata = cox_ph(FORMULA, TIED, **WHEN, strata="clinic")
    tests = proportional_hazards_test(strata, transform="identity").tidy()["statistic"]
    assert_allclose(tests, REFERENCE["zph"], rtol=1e-5)  # cox.zph stops at its own tolerance
    agreed = concordance(strata).tidy()
    assert_allclose(agreed[["estimate", "std_error"]].iloc[0], REFERENCE["concordance"], rtol=1e-9)
    change = varying_coefficient(fit, term="x").tidy()
    assert_allclose(change["estimate"], REFERENCE["change"]["coef"], rtol=MOVED)
    assert_allclose(change["std_error"], REFERENCE["change"]["se"], rtol=MOVED)


def test_fine_gray_equals_finegray() -> None:
    fit = fine_gray(FORMULA, DATA, time="time", event="state", cause=1)
    assert_allclose(fit.beta, REFERENCE["fine_gray"]["coef"], rtol=TOLERANCE)
    assert_allclose(
        [fit.fit.log_lik_null, fit.log_lik], REFERENCE["fine_gray"]["loglik"], rtol=TOLERANCE
    )
    curve = fit.incidence(NEW, times=[2, 5]).sort_values(["row", "time"])
    assert_allclose(curve["estimate"], REFERENCE["fine_gray"]["incidence"], rtol=TOLERANCE)


@pytest.mark.parametrize("kind", ["cox", "frailty", "fine_gray"])
def test_it_moves_a_coefficient_and_nothing_else(kind: str) -> None:
    moved = TIED.assign(o=0.3 * TIED["x"] - 2.0, arm=TIED["trained"])

    def fitted(formula: str):
        if kind == "fine_gray":
            return fine_gray(formula, moved, time="time", event="state", cause=1)
        frailty = {"frailty": "therapist"} if kind == "frailty" else {}
        return cox_ph(formula, moved, **WHEN, **frailty)

    one, two = fitted("x + arm"), fitted("x + arm + offset(o)")
    assert_allclose(two.beta, one.beta - [0.3, 0.0], rtol=MOVED, atol=MOVED)
    assert_allclose(two.covariance, one.covariance, rtol=1e-5, atol=MOVED)
    if kind == "frailty":
        return
    columns = ["estimate", "std_error"]
    curves = [adjusted_curves(m, variable="arm", times=[3, 6]).tidy()[columns] for m in (one, two)]
    assert_allclose(*curves, rtol=1e-5)
    left_out = {"times": [4], "leave_out": "therapist", "n_folds": 3}
    assert_allclose(
        *(risk_accuracy(m, **left_out).tidy()["estimate"] for m in (one, two)), rtol=1e-5
    )


def test_a_penalised_model_takes_it_too() -> None:
    zero = TIED.assign(o=0.0)
    one, two = (firth_cox(f, zero, **WHEN).tidy() for f in ("x + trained", FORMULA))
    assert abs(two["estimate"][0] - one["estimate"][0]) > 1e-3
    same = firth_cox("x + trained + offset(o)", zero, **WHEN).tidy()
    assert_allclose(same["estimate"], one["estimate"], rtol=1e-9)


@pytest.mark.parametrize("case", REFERENCE["by_session"], ids=str)
def test_weighted_hazards_by_session_equal_svyglm(case: dict) -> None:
    found = by_session("x + offset(np.log(days))" if case["offset"] else "x", case).tidy()
    assert_allclose(found["estimate"], case["coef"], rtol=TOLERANCE)
    assert_allclose(found["std_error"], case["se"], rtol=TOLERANCE)


def by_session(formula: str, case: dict, rows: pd.DataFrame = ROWS, **options):
    over = {"cluster": "therapist"} if case["ids"] == "therapist" else {}
    given = {"random": None, "baseline": "log", "weights": "w"} | over | options
    return discrete_hazard(
        formula, rows, session="session", event="left", unit="unit", link=case["link"], **given
    )


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_the_size_of_weights_changes_nothing(size: float) -> None:
    case = {"ids": "unit", "link": "logit"}
    one, two = (by_session("x", case, ROWS.assign(w=ROWS["w"] * k)) for k in (1.0, size))
    assert_allclose(two.tidy()["std_error"], one.tidy()["std_error"], rtol=MOVED)
    assert_allclose(two.fit.log_lik, one.fit.log_lik, rtol=MOVED)


def test_what_weights_by_session_cannot_do_is_refused() -> None:
    case = {"ids": "unit", "link": "logit"}
    fit = by_session("x", case)
    assert "weighted discrete-time hazard" in fit.method
    assert "over 90 units" in fit.method
    with pytest.raises(DataError, match="over clusters"):
        likelihood_ratio_test(by_session("1", case), fit)
    with pytest.raises(ValueError, match="random=None"):
        by_session("x", case, random="(1 | therapist)")
    with pytest.raises(DataError, match="'w' is not above 0 in row 3"):
        by_session("x", case, ROWS.assign(w=ROWS["w"].where(ROWS.index != 3, -1.0)))
    with pytest.raises(DataError, match="unlike numbers of people"):
        adjusted_curves(by_session("x + therapist", case), variable="therapist", values=[1, 2])


def test_models_with_other_offsets_are_not_nested() -> None:
    plain, other = cox_ph("x", TIED, **WHEN), cox_ph(FORMULA, TIED, **WHEN)
    with pytest.raises(DataError, match=r"what offset\(\) adds"):
        likelihood_ratio_test(plain, other)
    assert len(compare_models(plain, other)) == 2
