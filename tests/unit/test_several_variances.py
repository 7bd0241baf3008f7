"""Tests of several variances at once by their mixture of chi-squared distributions."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import VarianceBy, likelihood_ratio_test, lmm
from alliance_stats.errors import DataError
from alliance_stats.multilevel.after import likelihood_ratio, model_comparison
from alliance_stats.multilevel.after.model_comparison import chi_bar

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
    weights = chi_bar(small, large, 2).weights
    np.testing.assert_allclose(weights, [0.25, 0.5, 0.25], atol=WEIGHT)
    found = likelihood_ratio_test("y ~ x", large)
    assert "mixture of chi-squared with 0 to 2 df" in found.summary()
    t = found.statistic
    expected = weights @ [float(t <= 0), stats.chi2.sf(t, 1), stats.chi2.sf(t, 2)]
    assert found.p_value == pytest.approx(expected)


@pytest.mark.slow
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
    weights = chi_bar(small, large, 2).weights
    assert weights[0] == pytest.approx(zero, abs=SIMULATED)
    assert mixture.p_value == pytest.approx(exact.p_value, abs=SIMULATED)


def grown(seed=3, n=60, each=5):
    """A study without effects of persons, and one whose persons differ in their means."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), each)
    x = np.tile(np.linspace(-1.0, 1.0, each), n)
    data = pd.DataFrame(
        {"person": person, "clinic": person % 15, "x": x, "w": rng.normal(size=n * each)}
    )
    return data.assign(y=rng.normal(size=n * each))


def test_the_cone_of_two_by_two_matrices_is_a_cap_of_45_degrees():
    metric = np.diag([1.0, 2.0, 1.0])  # distances of matrices
    draws = np.random.default_rng(6).standard_normal((10_000, 3)) / np.sqrt(np.diag(metric))
    nearest = model_comparison._nearest(draws, metric, [2])
    cap = (1.0 - np.sqrt(0.5)) / 2.0
    expected = [cap, 0.5 - cap, 0.5 - cap, cap]
    found = model_comparison._weights(draws, nearest, metric)
    np.testing.assert_allclose(found, expected, atol=WEIGHT)


@pytest.mark.slow
def test_an_intercept_and_a_slope_at_once_have_the_weights_of_simulated_studies():
    data = grown()
    large = lmm("y ~ x + (1 + x | person)", data)
    simulated = likelihood_ratio_test("y ~ x", large, n_resamples=200, seed=2)
    weights = chi_bar(likelihood_ratio._without_random_terms("y ~ x", large), large, 3).weights
    assert weights[0] == pytest.approx((simulated.null < 1e-6).mean(), abs=SIMULATED)
    at = np.quantile(simulated.null, 0.8)
    p = weights[1:] @ stats.chi2.sf(at, [1, 2, 3])
    assert p == pytest.approx(0.2, abs=SIMULATED)


@pytest.mark.parametrize(
    ("small", "large", "free", "n_weights"),
    [
        ("y ~ x + (1 | person)", "y ~ x + (1 + x | person)", 1, 2),
        ("y ~ x + (1 | person)", "y ~ x + (1 + x + w | person)", 2, 4),
        ("y ~ x + (0 + x | person)", "y ~ x + (1 + x | person)", 1, 2),
        ("y ~ x + (1 | person) + (0 + x | person)", "y ~ x + (1 + x | person)", 1, 1),
        ("y ~ x + (1 | person)", "y ~ x + (1 + x | person) + (1 | clinic)", 1, 3),
        ("y ~ 1 + (1 | person)", "y ~ x + w + (1 + x | person)", 3, 2),
        ("y ~ x + (1 | clinic)", "y ~ x + (1 | clinic) + (1 + x | person)", 0, 4),
    ],
)
def test_what_may_be_negative_counts_in_full(small, large, free, n_weights):
    data = grown()
    rng = np.random.default_rng(9)
    data["y"] += (
        0.7 * rng.normal(size=60)[data["person"]]
        + 0.5 * rng.normal(size=60)[data["person"]] * data["x"]
        + 0.6 * rng.normal(size=15)[data["clinic"]]
    )
    one, other = (lmm(formula, data, reml=False) for formula in (small, large))
    found = likelihood_ratio_test(one, other)
    most = free + n_weights - 1
    if n_weights == 1:
        assert found.reference == f"chi-squared with {free} df"
    else:
        assert f"chi-squared with {free}" in found.reference
        assert f"{most} df" in found.reference
    assert most <= found.df


def test_correlated_effects_are_no_special_case_of_uncorrelated_ones():
    data = grown()
    one = lmm("y ~ x + (1 + x | person)", data)
    other = lmm("y ~ x + (1 | person) + (0 + x | person) + (1 | clinic) + (0 + x | clinic)", data)
    with pytest.raises(DataError, match="correlated in the smaller"):
        likelihood_ratio_test(one, other)


def test_a_structure_beside_variances_stays_with_the_bootstrap():
    data = grown()
    data["y"] += np.random.default_rng(4).normal(size=60)[data["person"]]
    one = lmm("y ~ x + (1 | clinic)", data)
    other = lmm("y ~ x + (1 | clinic) + (1 | person)", data, residual=VarianceBy("x"))
    found = likelihood_ratio_test(one, other)
    assert "conservative" in found.reference
    assert "n_resamples=" in found.reference


def test_a_mixture_is_called_cautious_with_few_units():
    data = grown()
    data["y"] += np.random.default_rng(4).normal(size=60)[data["person"]]
    one = lmm("y ~ x + (1 | person)", data)
    few = likelihood_ratio_test(one, lmm("y ~ x + (1 | person) + (1 | clinic)", data))
    assert "with 15 units of clinic it rejects too rarely" in few.summary()
    many = likelihood_ratio_test(one, lmm("y ~ x + (1 + x | person)", data))
    assert many.notes == ()
    fixed = likelihood_ratio_test(one, lmm("y ~ x + w + (1 | person)", data))
    assert "rejects too rarely" not in fixed.summary()
    simulated = likelihood_ratio_test(
        one, lmm("y ~ x + (1 | person) + (1 | clinic)", data), n_resamples=20, seed=1
    )
    assert simulated.notes == ()
