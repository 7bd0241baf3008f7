"""Kenward-Roger inference on boundary fits against pbkrtest, which keeps variances at zero."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import lmm
from tests.parity.reference import load_reference

CASES = load_reference("lmm_singular")["cases"]
# Both criteria are exact; lme4's optimum is good to 1e-10 relative.
DEVIANCE = 1e-8
# lme4 stops its boundary variances at 1e-8 to 1e-6 rather than at zero, which moves what is left.
STD_ERROR = 1e-4
DF = 1e-3


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case["name"])
def case(request):
    return request.param


@pytest.fixture(scope="module")
def model(case):
    return lmm(case["formula"], pd.DataFrame(case["data"]))


def in_their_order(case, model, table):
    ours = [term.replace("arm", "arm[T.") + "]" if term.startswith("arm") else term
            for term in case["terms"]]  # fmt: skip
    return table.set_index("term").loc[ours]


def test_the_same_boundary(case, model):
    assert model.singular
    assert model.fit.deviance == pytest.approx(case["deviance"], rel=DEVIANCE)


def test_kenward_roger_keeps_variances_at_zero(case, model):
    table = in_their_order(case, model, model.tidy(df_method="kenward-roger"))
    np.testing.assert_allclose(table["std_error"], case["std_error"], rtol=STD_ERROR)
    np.testing.assert_allclose(table["df"], case["df"], rtol=DF)


def test_joint_tests(case, model):
    table = model.anova(df_method="kenward-roger").set_index("term")
    for term, statistic, df in zip(case["f_terms"], case["f"], case["f_df"], strict=True):
        if f"{term}:" in str(case["f_terms"]) or f":{term}" in str(case["f_terms"]):
            continue  # R's type III of a main effect beside an interaction is another hypothesis
        ours = table.loc[term]
        assert ours["statistic"] == pytest.approx(statistic, rel=DF)
        assert ours["df2"] == pytest.approx(df, rel=DF)
