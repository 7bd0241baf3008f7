"""Therapists' effects on competing endings equal those of the same likelihood written in TMB."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.survival import CompetingHazards, competing_hazards
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_competing_effects")
ROWS = pd.DataFrame(REFERENCE["data"])
TERMS = {"correlated": "(1 | therapist)", "independent": "(1 || therapist)"}

# Newton on gradients on both sides, TMB's by automatic differentiation.
LOG_LIK = 1e-8
# In standard errors.
ESTIMATE = 1e-6
SD = 1e-6
# Differences of gradients on both sides.
STD_ERROR = 1e-5
# Newton to rounding on both sides, at estimates that differ by ESTIMATE standard errors.
MODE = 1e-7


def fitted(kind: str) -> CompetingHazards:
    return competing_hazards(
        "alliance + barrier",
        ROWS,
        session="session",
        event="ending",
        unit="family",
        random=TERMS[kind],
        baseline="polynomial",
        baseline_df=2,
    )


@pytest.mark.parametrize("kind", list(TERMS))
def test_effects_on_endings_equal_tmb(kind: str) -> None:
    model, r = fitted(kind), REFERENCE[kind]
    table = model.tidy()
    se = np.ravel(np.transpose(r["se"]))
    assert_allclose(model.log_lik, r["log_lik"], atol=LOG_LIK)
    distance = (table["estimate"] - np.ravel(np.transpose(r["beta"]))) / se
    assert_allclose(distance, 0.0, atol=ESTIMATE)
    assert_allclose(table["std_error"], se, rtol=STD_ERROR)
    spreads = model.tidy(effects="ran_pars")
    assert_allclose(spreads["estimate"][:2], r["sd"], rtol=SD)
    if kind == "correlated":
        assert_allclose(spreads["estimate"][2], r["cor"], rtol=SD)
    # profile limits: not symmetric, but near the Wald ones of the log SD
    half = 1.959963984540054 * np.array(r["log_sd_se"])
    assert_allclose(np.log(spreads["conf_low"][:2] / r["sd"]), -half, atol=0.15)
    assert_allclose(np.log(spreads["conf_high"][:2] / r["sd"]), half, atol=0.15)
    effects = model.tidy(effects="ran_vals")
    assert_allclose(effects["estimate"], np.ravel(np.transpose(r["modes"])), atol=MODE)
