"""Slopes compared within levels of a moderator, against emmeans."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats import contrasts, lmm, simple_slopes
from tests.parity.reference import load_reference

REFERENCE = load_reference("after_fit_slopes")
FAMILIES = {"pairwise": "pairwise", "trt.vs.ctrl": "reference", "consec": "consecutive"}
# lme4's optimum is good to about 1e-6 of the variances, and lmerTest differentiates numerically.
ESTIMATE = 1e-5
DF = 1e-4


@pytest.fixture(scope="module")
def model():
    return lmm("y ~ arm * visit * sex + (1 + visit | person)", pd.DataFrame(REFERENCE["data"]))


@pytest.mark.parametrize("order", [["arm", "sex"], ["sex", "arm"]])
@pytest.mark.parametrize("table", REFERENCE["tables"], ids=lambda t: f"{t['ddf']} {t['adjust']}")
def test_slopes_within_levels_as_emmeans_compares_them(model, table, order):
    slopes = simple_slopes(model, "visit", by=order, df_method=table["ddf"])
    found = contrasts(slopes, FAMILIES[table["family"]], by="sex", adjust=table["adjust"])
    ours = found.tidy()
    assert list(ours["sex"]) == table["sex"]
    # emmeans signs consecutive differences as these are: later minus earlier
    assert_allclose(ours["estimate"], table["estimate"], rtol=ESTIMATE, atol=ESTIMATE)
    assert_allclose(ours["std_error"], table["std_error"], rtol=ESTIMATE)
    assert_allclose(ours["df"], table["df"], rtol=DF)
    for column in ("conf_low", "conf_high", "p_value"):
        assert_allclose(ours[column], table[column], rtol=DF, atol=DF)
    assert len(found.glance()) == len(set(table["sex"]))
    assert np.isfinite(found.glance()["p_value"]).all()
