"""Types I, II and III of a linear mixed model's terms against lmerTest."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats import glmm, lmm
from tests.parity.reference import load_reference

CASES = load_reference("lmm_anova")["cases"]
# lme4's optimum is good to about 1e-6 of the variances, and lmerTest differentiates numerically.
F = 2e-4
DF = 2e-4


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case["name"])
def case(request):
    return request.param


@pytest.fixture(scope="module")
def data(case):
    found = pd.DataFrame(case["data"])
    if "phase" in found:
        levels = ["pre", "post", "fup"]
        found["phase"] = pd.Categorical(found["phase"], categories=levels)
    return found


@pytest.fixture(scope="module")
def model(case, data):
    return lmm(case["formula"], data)


def test_terms_as_lmertest_tests_them(case, model):
    for table in case["tables"]:
        if case["name"] == "no intercept" and table["kind"] == "II":
            continue  # nothing contains a term there, so II is III; lmerTest has another number
        method = {"Satterthwaite": "satterthwaite", "Kenward-Roger": "kenward-roger"}[table["ddf"]]
        ours = model.anova(kind=table["kind"], df_method=method).set_index("term")
        theirs = pd.DataFrame(
            {k: np.atleast_1d(table[k]) for k in ("term", "f", "df1", "df2", "p")}
        )
        theirs = theirs.set_index("term").dropna()
        assert set(ours.index) == set(theirs.index), (table["kind"], table["ddf"])
        ours = ours.loc[theirs.index]
        note = f"type {table['kind']}, {table['ddf']}"
        assert_allclose(ours["df1"], theirs["df1"], err_msg=note)
        assert_allclose(ours["statistic"], theirs["f"], rtol=F, err_msg=note)
        assert_allclose(ours["df2"], theirs["df2"], rtol=DF, err_msg=note)
        assert_allclose(ours["p_value"], theirs["p"], rtol=1e-2, atol=1e-8, err_msg=note)
        assert (ours["method"] == f"type {table['kind']} F, {table['ddf']}").all()


def test_the_coding_of_factors_changes_no_type(case, data, model):
    recoded = case["formula"]
    for name in ("treatment", "gender", "phase", "role", "arm"):
        if name in data:
            recoded = recoded.replace(name, f"C({name}, contr.sum)")
    other = lmm(recoded, data)
    for kind in ("I", "II", "III"):
        assert_allclose(
            other.anova(kind=kind)["statistic"], model.anova(kind=kind)["statistic"], rtol=1e-5
        )


def test_the_published_test_of_treatment():
    # O'Brien and Kaiser (1985): treatment and gender between, phase within persons
    case = next(one for one in CASES if one["name"] == "OBrienKaiser")
    data = pd.DataFrame(case["data"])
    means = data.groupby(["id", "treatment", "gender", "phase"], as_index=False)["y"].mean()
    found = lmm("y ~ treatment * phase + gender * phase + (1 | id)", means).anova().iloc[0]
    assert found["term"] == "treatment"
    assert (found["df1"], round(found["df2"], 3)) == (2.0, 12.0)
    assert round(found["statistic"], 2) == 3.54
    assert round(found["p_value"], 3) == 0.062


def test_a_generalized_model_has_walds(data, case):
    if "arm" not in data:
        return
    counted = data.assign(y=(data["y"] > 0).astype(int))
    table = glmm("y ~ role * x + (1 | person)", counted).anova()
    assert list(table["term"]) == ["role", "x", "role:x"]
    assert (table["df2"] == float("inf")).all()
    assert (table["method"] == "type III F, Wald").all()
