"""Coefficients that change with time, against coxph with tt() and with rows cut by survSplit."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.survival import cox_ph, varying_coefficient
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_varying")
# Newton's method on both sides, R's with eps = 1e-12 on the log-likelihood.
FIT = 1e-6
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
