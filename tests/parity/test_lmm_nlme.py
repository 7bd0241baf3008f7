"""Residual structures against nlme; CR2 against clubSandwich."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import AR1, CAR1, CR2, VarianceBy, lmm
from tests.parity.reference import load_reference

NLME = load_reference("lmm_nlme")
SANDWICH = load_reference("lmm_cr2")

LOG_LIK = 1e-7
# nlme stops where its own iterations no longer move; its parameters are good to about 1e-5.
ESTIMATE, STD_ERROR, SIGMA, SHAPE = 1e-4, 1e-4, 1e-3, 1e-3
# clubSandwich takes lme4's tightened fit; both sides are algebra from there.
SANDWICH_SE, SANDWICH_DF = 1e-5, 1e-4
# Two maxima: a serial correlation can take the whole variance between units. lme stops at the lower
# one; gls, which is the same model with an SD of 0 between units, finds the higher.
LOWER_MAXIMUM = {"rats-both": "rats-both-gls"}


def _frame(case) -> pd.DataFrame:
    data = pd.DataFrame(case["data"])
    for column, levels in case["levels"].items():
        data[column] = pd.Categorical(data[column].astype(str), categories=levels)
    return data


def _structure(text: str):
    kinds = {"VarianceBy": VarianceBy, "AR1": AR1, "CAR1": CAR1}
    return [kinds[part.split(":")[0]](*part.split(":")[1:]) for part in text.split()]


@pytest.mark.parametrize("case", NLME["fits"], ids=lambda case: case["name"])
def test_residual_structures(case):
    data = _frame(case)
    model = lmm(case["formula"], data, reml=case["reml"], residual=_structure(case["structure"]))
    if case["name"] in LOWER_MAXIMUM:
        assert model.log_lik > case["log_lik"] + 0.1
        higher = LOWER_MAXIMUM[case["name"]]
        case = next(one for one in NLME["fits"] if one["name"] == higher)
    assert model.log_lik == pytest.approx(case["log_lik"], rel=LOG_LIK)
    table = model.tidy(df_method="normal")
    np.testing.assert_allclose(
        (table["estimate"] - case["estimate"]) / case["std_error"], 0.0, atol=ESTIMATE
    )
    np.testing.assert_allclose(table["std_error"], case["std_error"], rtol=STD_ERROR)
    pars = model.tidy(effects="ran_pars").query("group == 'Residual'").set_index(["term", "level"])
    if case["relative_sd"]:
        ours = pars["estimate"]["sd__Observation"]
        # nlme's reference stratum is the first in the data, with relative SD 1
        for stratum, relative in case["relative_sd"].items():
            assert ours[stratum] == pytest.approx(case["sigma"] * relative, rel=SIGMA)
    else:
        assert model.sigma == pytest.approx(case["sigma"], rel=SIGMA)
    if case["phi"] is not None:
        phi = pars["estimate"][next(t for t, _ in pars.index if t.startswith("phi__"))].iloc[0]
        assert phi == pytest.approx(case["phi"], rel=SHAPE)


@pytest.mark.parametrize("case", SANDWICH["cases"], ids=lambda case: case["formula"])
def test_cr2(case):
    model = lmm(case["formula"], _frame(case))
    table = model.tidy(vcov=CR2(case["cluster"]))
    np.testing.assert_allclose(table["std_error"], case["std_error"], rtol=SANDWICH_SE)
    np.testing.assert_allclose(table["df"], case["df"], rtol=SANDWICH_DF)
    np.testing.assert_allclose(table["p_value"], case["p_value"], rtol=1e-3)
