"""lmm against lme4, lmerTest and pbkrtest, over a matrix of models and data sets."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import LinearMixedModel, lmm
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("lmm_lme4")

# lme4 with bobyqa at rhoend 1e-10: its deviance is exact to rounding.
LOG_LIK = 1e-7
# A flat optimum leaves lme4's own theta uncertain in the 6th digit; estimates inherit less of it.
ESTIMATE, STD_ERROR, SD, CORRELATION = 1e-5, 1e-4, 1e-3, 1e-3
# lmerTest differentiates numerically.
DF = 1e-3
# Where lme4 stops with a variance within 1e-4 of zero, ours is exactly zero.
ZERO_SD = 2e-3
RANEF = 1e-3


def _id(case):
    kind = "REML" if case["reml"] else "ML"
    return f"{case['name']}-{kind}-{case['formula']}".replace(" ", "")


def _fit(case) -> LinearMixedModel:
    data = pd.DataFrame(case["data"]) if case["data"] else r_data(case["package"], case["name"])
    for column, levels in case["levels"].items():  # R's order of levels decides the contrasts
        values = data[column].astype(str)
        data[column] = pd.Categorical(values, categories=np.atleast_1d(levels))
    return lmm(case["formula"], data, reml=case["reml"], weights="w__" if case["weights"] else None)


@pytest.fixture(scope="module", params=REFERENCE["cases"], ids=_id)
def case_and_fit(request):
    return request.param, _fit(request.param)


def test_log_likelihood_and_fit_statistics(case_and_fit):
    case, model = case_and_fit
    assert model.log_lik == pytest.approx(case["log_lik"], rel=LOG_LIK)
    assert model.log_lik > case["log_lik"] - LOG_LIK * abs(case["log_lik"])  # never worse
    glance = model.glance().iloc[0]
    assert glance["aic"] == pytest.approx(case["aic"], rel=LOG_LIK)
    assert glance["bic"] == pytest.approx(case["bic"], rel=LOG_LIK)
    assert glance["singular"] == case["singular"]
    assert glance["converged"]


def test_coefficients_and_standard_errors(case_and_fit):
    case, model = case_and_fit
    table = model.tidy()
    scale = np.abs(np.atleast_1d(case["std_error"]))
    np.testing.assert_array_less(
        np.abs(table["estimate"] - np.atleast_1d(case["estimate"])) / scale, ESTIMATE
    )
    np.testing.assert_allclose(table["std_error"], case["std_error"], rtol=STD_ERROR)


def test_satterthwaite(case_and_fit):
    case, model = case_and_fit
    if case["singular"]:
        pytest.skip("lmerTest differentiates at the boundary; ours is the reduced model's df")
    table = model.tidy()
    np.testing.assert_allclose(table["df"], case["satterthwaite_df"], rtol=DF)
    np.testing.assert_allclose(table["p_value"], case["satterthwaite_p"], rtol=0.02, atol=1e-12)


def test_kenward_roger(case_and_fit):
    case, model = case_and_fit
    if case["kenward_roger"] is None:
        pytest.skip("no pbkrtest reference: ML, weighted, singular or too large for pbkrtest")
    table = model.tidy(df_method="kenward-roger")
    np.testing.assert_allclose(
        table["std_error"], case["kenward_roger"]["std_error"], rtol=STD_ERROR
    )
    np.testing.assert_allclose(table["df"], case["kenward_roger"]["df"], rtol=DF)


def test_variance_components(case_and_fit):
    case, model = case_and_fit
    found = model.tidy(effects="ran_pars").set_index(["group", "term"])["estimate"]
    assert model.sigma == pytest.approx(case["sigma"], rel=SD)
    for group, var1, var2, value in zip(
        case["var_group"], case["var1"], case["var2"], case["sdcor"], strict=True
    ):
        if group == "Residual":
            continue
        ours = _our_entry(found, group, var1, var2)
        if var2 is None:
            assert ours == pytest.approx(value, rel=SD, abs=ZERO_SD * model.sigma)
        elif not case["singular"]:
            assert ours == pytest.approx(value, abs=CORRELATION)


def _our_entry(found: pd.Series, group: str, var1: str, var2: str | None) -> float:
    def same_factor(ours: str, theirs: str) -> bool:
        base = theirs if theirs.count(".") == 0 else theirs.rsplit(".", 1)[0]
        return set(ours.split(":")) in ({*theirs.split(":")}, {*base.split(":")})

    def plain(name: str) -> str:
        for mark in ("[T.", "[", "]", "**", "^", " "):
            name = name.replace(mark, "")
        return name

    wanted = f"sd__{plain(var1)}" if var2 is None else f"cor__{plain(var1)}.{plain(var2)}"
    rows = [
        value
        for (ours, term), value in found.items()
        if same_factor(ours, group) and plain(term) == wanted
    ]
    assert len(rows) == 1, (group, wanted, list(found.index))
    return rows[0]


def test_random_effects(case_and_fit):
    case, model = case_and_fit
    theirs = case["ranef"]
    if theirs is None or case["singular"]:
        pytest.skip("too many to store, or a singular fit")
    ours = model.random_effects()
    assert len(ours) == len(theirs["value"])
    # both orders: sort by value within group size is fragile, so compare the sorted values
    np.testing.assert_allclose(
        np.sort(ours["estimate"]), np.sort(theirs["value"]), atol=RANEF * max(theirs["sd"])
    )
    np.testing.assert_allclose(np.sort(ours["std_error"]), np.sort(theirs["sd"]), rtol=RANEF)
