"""Tests of several variances at once by their mixture of chi-squared distributions."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import likelihood_ratio_test, lmm
from alliance_stats.multilevel.after import chi_bar_squared, likelihood_ratio

# 10,000 draws behind the weights; information of crossed factors is not quite diagonal.
WEIGHT = 0.02
# 200 simulated studies: three binomial standard errors.
SIMULATED = 0.11


def crossed(seed=1, n=24):
    rng = np.random.default_rng(seed)
    a, b = (x.ravel() for x in np.meshgrid(np.arange(n), np.arange(n)))
    return pd.DataFrame({"y": rng.normal(size=n * n), "a": a, "b": b, "x": rng.normal(size=n * n)})


def test_two_crossed_variances_have_a_quarter_a_half_and_a_quarter():
    data = crossed()
    large = lmm("y ~ x + (1 | a) + (1 | b)", data)
    small = likelihood_ratio._without_random_terms("y ~ x", large)
    weights = chi_bar_squared.chi_bar_weights(small, large, [0, 1])
    np.testing.assert_allclose(weights, [0.25, 0.5, 0.25], atol=WEIGHT)
    found = likelihood_ratio_test("y ~ x", large)
    assert "mixture of chi-squared with 0 to 2 df" in found.summary()
    t = found.statistic
    expected = weights @ [float(t <= 0), stats.chi2.sf(t, 1), stats.chi2.sf(t, 2)]
    assert found.p_value == pytest.approx(expected)


def test_nested_variances_have_the_weights_of_simulated_studies():
    rng = np.random.default_rng(4)
    person = np.repeat(np.arange(120), 4)
    therapist, clinic = person // 4, person // 20
    data = pd.DataFrame(
        {"clinic": clinic, "therapist": therapist, "person": person, "y": rng.normal(size=480)}
    )
    data["y"] += 0.8 * rng.normal(size=120)[person]
    frame = data.assign(x=np.tile([-1.0, 0.0, 1.0, 2.0], 120))
    small = lmm("y ~ 1 + (1 | therapist:person)", frame)
    large = lmm("y ~ 1 + (1 | therapist/person) + (0 + x | therapist:person)", frame)
    exact = likelihood_ratio_test(small, large, n_resamples=200, seed=2)
    mixture = likelihood_ratio_test(small, large)
    assert "weights" in mixture.reference
    zero = float((exact.null < 1e-5).mean())
    weights = chi_bar_squared.chi_bar_weights(
        small, large, chi_bar_squared.scalar_terms(small, large)
    )
    assert weights[0] == pytest.approx(zero, abs=SIMULATED)
    assert mixture.p_value == pytest.approx(exact.p_value, abs=SIMULATED)


def test_covariances_among_what_is_tested_stay_with_the_bootstrap():
    data = crossed()
    large = lmm("y ~ x + (1 + x | a) + (1 | b)", data)
    found = likelihood_ratio_test("y ~ x", large)
    assert "conservative" in found.reference
