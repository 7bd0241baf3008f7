"""Profile limits of random-effects SDs and correlations against lme4's."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.multilevel import glmm, profile
from tests.parity.reference import load_reference
from tests.parity.test_glmm_glmmtmb import _cbpp, _ticks

REFERENCE = load_reference("glmm_profile")

# lme4 interpolates its profile with a spline through steps of 0.05 in the signed root deviance.
LIMIT = 2e-4
# With lme4's default steps.
COARSE = 5e-4


def _sd(ratio: float) -> float:
    return float(np.log(ratio) / (np.sqrt(2.0) * stats.norm.ppf(0.75)))


def test_profile_limits_equal_lme4():
    cbpp = glmm("incidence ~ period + (1 | herd)", _cbpp(), weights="size")
    ticks = glmm("TICKS ~ YEAR + cHEIGHT + (1 | BROOD)", _ticks(), family="poisson")
    for model, case in ((cbpp, "cbpp"), (ticks, "grouse_brood")):
        row = model.median_ratios().iloc[0]
        assert row.group == REFERENCE[case]["group"]
        assert _sd(row.conf_low) == pytest.approx(REFERENCE[case]["low"], abs=LIMIT)
        assert _sd(row.conf_high) == pytest.approx(REFERENCE[case]["high"], abs=LIMIT)


def test_profile_limits_of_a_correlation_equal_lme4():
    asked = REFERENCE["slope"]
    data = pd.DataFrame({"y": asked["y"], "x": asked["x"], "g": np.repeat(np.arange(20), 12)})
    model = glmm("y ~ x + (1 + x | g)", data, family="poisson")
    ours = profile(model).tidy().set_index("term")
    theirs = {"sd_(Intercept)|g": "g|sd__(Intercept)", "sd_x|g": "g|sd__x",
              "cor_x.(Intercept)|g": "g|cor__(Intercept).x"}  # fmt: skip
    for name, low, high in zip(asked["names"], asked["low"], asked["high"], strict=True):
        row = ours.loc[theirs[name]]
        assert row["conf_low"] == pytest.approx(low, abs=COARSE)
        assert row["conf_high"] == pytest.approx(high, abs=COARSE)
