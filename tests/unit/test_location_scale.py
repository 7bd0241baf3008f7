"""Location-scale models: against brute-force integrals, other models of this package, and truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import VarianceExponential, lmm, location_scale
from alliance_stats.engine.location_scale_likelihood import ScaleProblem
from alliance_stats.errors import AllianceStatsError, FormulaError, NotIdentifiedError

# Trapezoidal rules on the line, on both sides.
INTEGRAL = 1e-7
# Differences of the deviance, whose rounding is 1e-12 of 1e3.
GRADIENT = 1e-5
# Two searches of one likelihood.
SEARCH = 1e-4
# 40 studies of 80 persons: three standard errors of their mean.
BIAS = 0.05


def diary(seed=1, n_persons=80, n_days=10, *, scale_sd=0.4):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_persons), n_days)
    both = rng.standard_normal((2, n_persons))
    omega = scale_sd * (0.5 * both[0] + np.sqrt(0.75) * both[1])
    day = np.tile(np.arange(n_days) / 10.0, n_persons)
    x = rng.normal(size=len(person))
    y = 4.0 + 0.5 * x + 0.8 * both[0][person]
    y += np.exp(-0.3 + 0.6 * day + omega[person]) * rng.standard_normal(len(person))
    return pd.DataFrame({"y": y, "x": x, "day": day, "person": [f"p {i}" for i in person]})


def problem(data, *, varying=True):
    one = np.ones(len(data))
    codes = pd.factorize(data["person"], sort=True)[0]
    X, Z = np.column_stack([one, data["x"]]), np.column_stack([one, data["day"]])
    return ScaleProblem(data["y"].to_numpy(), X, Z, codes, varying)


def test_the_likelihood_is_that_of_a_double_integral():
    small = problem(diary(n_persons=4, n_days=5))
    theta = np.array([3.9, 0.4, -0.2, 0.5, np.log(0.7), np.log(0.5), 0.4])
    sd_b, sd_w, rho = 0.7, 0.5, np.tanh(0.4)
    grid = np.linspace(-8.0, 8.0, 401)
    u, v = np.meshgrid(grid, grid)
    b, omega = sd_b * (rho * u + np.sqrt(1 - rho**2) * v), sd_w * u
    prior = stats.norm.pdf(u) * stats.norm.pdf(v) * (grid[1] - grid[0]) ** 2
    total = 0.0
    for unit in range(4):
        log_f = np.zeros_like(u)
        for row in np.flatnonzero(small.units == unit):
            mean = small.X[row] @ theta[:2] + b
            sd = np.exp(small.Z[row] @ theta[2:4] + omega)
            log_f += stats.norm.logpdf(small.y[row], mean, sd)
        total += np.log((np.exp(log_f) * prior).sum())
    assert small.value_and_gradient(theta)[0] == pytest.approx(-2.0 * total, rel=INTEGRAL)


@pytest.mark.parametrize("varying", [True, False])
def test_the_gradient_is_that_of_differences(varying):
    own = problem(diary(), varying=varying)
    theta = np.array([3.9, 0.4, -0.2, 0.5, np.log(0.7), np.log(0.5), 0.4])[: 7 if varying else 5]
    step = 1e-5 * np.eye(len(theta))
    ends = [[own.value_and_gradient(theta + s * d)[0] for s in (1, -1)] for d in step]
    differences = [(a - b) / 2e-5 for a, b in ends]
    scale = np.abs(differences).max()
    gradient = own.value_and_gradient(theta)[1]
    np.testing.assert_allclose(gradient, differences, atol=GRADIENT * scale)


def test_without_spreads_of_their_own_it_is_the_exponential_variance_function():
    data = diary(scale_sd=0.0)
    ours = location_scale("y ~ x + (1 | person)", data, scale="day", varying=False)
    theirs = lmm("y ~ x + (1 | person)", data, residual=VarianceExponential("day"), reml=False)
    assert ours.log_lik == pytest.approx(theirs.log_lik, rel=1e-9)
    table = ours.tidy().set_index(["effect", "term"])
    np.testing.assert_allclose(ours.beta, theirs.fit.beta, rtol=SEARCH)
    pars = theirs.tidy(effects="ran_pars").set_index("term")["estimate"]
    delta = pars["delta__VarianceExponential(day)"]
    assert table.loc[("scale", "day"), "estimate"] == pytest.approx(delta, rel=1e-3)
    sd = ours.spreads().set_index("term").loc["sd__(Intercept)", "estimate"]
    assert sd == pytest.approx(pars["sd__(Intercept)"], rel=1e-3)


def test_units_of_measurement_do_not_matter():
    data = diary()
    one = location_scale("y ~ x + (1 | person)", data, scale="day")
    scaled = data.assign(y=1e5 * data["y"], day=1e-4 * data["day"])
    other = location_scale("y ~ x + (1 | person)", scaled, scale="day")
    np.testing.assert_allclose(other.beta, 1e5 * one.beta, rtol=SEARCH)
    assert other.tau[0] == pytest.approx(one.tau[0] + np.log(1e5), rel=SEARCH)
    assert other.tau[1] == pytest.approx(1e4 * one.tau[1], rel=SEARCH)
    np.testing.assert_allclose(
        other.spreads()["estimate"] / [1e5, 1, 1], one.spreads()["estimate"], rtol=1e-3
    )
    text = one.summary()
    assert "log SD within person: 1 + day" in text or "log SD within person: day" in text
    assert len(one.vcov()) == 4


@pytest.mark.slow
def test_the_truth_is_recovered():
    found = []
    for seed in range(40):
        model = location_scale("y ~ x + (1 | person)", diary(seed), scale="day")
        found.append([*model.beta, *model.tau, *model.spreads()["estimate"]])
    truth = [4.0, 0.5, -0.3, 0.6, 0.8, 0.4, 0.5]
    np.testing.assert_allclose(np.mean(found, axis=0), truth, atol=BIAS)


def test_a_spread_that_does_not_vary_is_a_boundary():
    model = location_scale("y ~ x + (1 | person)", diary(3, scale_sd=0.0), scale="day")
    assert model.glance()["converged"].item()
    sd = model.spreads().set_index("term").loc["sd__log_sd", "estimate"]
    assert sd < 0.15


def test_wrong_questions_are_refused():
    data = diary(n_persons=12)
    with pytest.raises(FormulaError, match="one random intercept"):
        location_scale("y ~ x + (1 + x | person)", data)
    with pytest.raises(AllianceStatsError, match="Did you mean 'day'"):
        location_scale("y ~ x + (1 | person)", data, scale="days")
    with pytest.raises(NotIdentifiedError, match="not independent"):
        location_scale("y ~ x + (1 | person)", data.assign(twice=2 * data["day"]),
                       scale="day + twice")  # fmt: skip
    two = data.groupby("person").head(2)
    with pytest.raises(NotIdentifiedError, match="three rows or more"):
        location_scale("y ~ x + (1 | person)", two)
    with pytest.raises(TypeError, match="varying must be"):
        location_scale("y ~ x + (1 | person)", data, varying="yes")
