"""Exact likelihood-ratio tests of a model's only variance against RLRsim."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import likelihood_ratio_test, lmm
from alliance_stats.errors import DataError, FormulaError
from tests.parity.reference import load_reference

CASES = load_reference("lmm_exact_lrt")["cases"]
STATISTIC = 1e-5
# Monte Carlo: 20,000 draws of ours and 200,000 of theirs, four standard errors of a p of .5 and
# less; besides, RLRsim looks at its own grid of variances.
P_VALUE = 4.0 * 0.5 * np.sqrt(1 / 20_000 + 1 / 200_000)


@pytest.fixture(params=CASES, ids=range(len(CASES)))
def case(request):
    return request.param


def test_restricted(case):
    data = pd.DataFrame(case["data"])
    test = likelihood_ratio_test("y ~ x + z", lmm("y ~ x + z + (1 | therapist)", data))
    assert test.statistic == pytest.approx(case["rlrt"], abs=STATISTIC, rel=1e-4)
    assert test.p_value == pytest.approx(case["rlrt_p"], abs=P_VALUE)
    assert test.reference == "exact null distribution, 20000 draws"
    assert test.df == 1


def test_ordinary(case):
    data = pd.DataFrame(case["data"])
    large = lmm("y ~ x + z + (1 | therapist)", data, reml=False)
    test = likelihood_ratio_test(large, "y ~ x + z")
    assert test.statistic == pytest.approx(case["lrt"], abs=STATISTIC, rel=1e-4)
    assert test.p_value == pytest.approx(case["lrt_p"], abs=P_VALUE)
    # without a fixed effect too
    both = likelihood_ratio_test("y ~ x", large)
    assert both.statistic == pytest.approx(case["fixed"], abs=STATISTIC, rel=1e-4)
    assert both.p_value == pytest.approx(case["fixed_p"], abs=P_VALUE)


def test_rounding_dust_is_no_evidence():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 5), "x": rng.normal(size=40)})
    noise = rng.normal(size=40)
    data["y"] = noise - pd.Series(noise).groupby(data["g"]).transform("mean") + 0.1 * data["x"]
    large = lmm("y ~ x + (1 | g)", data)
    assert large.singular
    test = likelihood_ratio_test("y ~ x", large)
    assert (test.statistic, test.p_value) == (0.0, 1.0)
    # beside another factor the mixture has half its mass at zero: the value itself is p = 1
    data["h"] = np.tile(np.arange(5), 8)
    data["y"] += 0.8 * rng.normal(size=5)[data["h"]]
    two = lmm("y ~ x + (1 | g) + (1 | h)", data)
    beside = likelihood_ratio_test(lmm("y ~ x + (1 | h)", data), two)
    assert (beside.statistic, beside.p_value) == (0.0, 1.0)


def test_weights_and_what_is_refused():
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 5), "weight": rng.uniform(1, 3, 40)})
    data["y"] = rng.normal(size=8)[data["g"]] + rng.normal(size=40)
    large = lmm("y ~ 1 + (1 | g)", data, weights="weight")
    assert 0.0 < likelihood_ratio_test("y ~ 1", large).p_value < 0.05
    with pytest.raises(DataError, match="has random terms: fit it by lmm"):
        likelihood_ratio_test("y ~ 1 + (1 | g)", large)
    with pytest.raises(FormulaError, match=r"likelihood_ratio_test\('y ~ 1', model\)"):
        lmm("y ~ 1", data)
