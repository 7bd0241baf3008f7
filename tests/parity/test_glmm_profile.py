"""Profile limits of random-effects SDs against lme4's."""

import numpy as np
import pytest
from scipy import stats

from alliance_stats.multilevel import glmm
from tests.parity.reference import load_reference
from tests.parity.test_glmm_glmmtmb import _cbpp, _ticks

REFERENCE = load_reference("glmm_profile")

# lme4 interpolates its profile with a spline through steps of 0.05 in the signed root deviance.
LIMIT = 2e-4


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
