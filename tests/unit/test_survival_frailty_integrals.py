"""The frailty likelihoods against integrals done by brute force on small data."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats

from alliance_stats.formatting import format_p
from alliance_stats.survival import cox_ph
from alliance_stats.survival.cox.cox_design import cox_design
from alliance_stats.survival.cox.frailty_likelihood import maximise, normal_penalty
from alliance_stats.survival.cox.partial_likelihood import log_likelihood
from alliance_stats.survival.cox.risk_sets import RiskSets, risk_sets
from alliance_stats.survival.rows.time_at_risk import read_intervals

# Laplace's method leaves a relative error of order 1 / events per group (here some 25).
LAPLACE_TOLERANCE = 0.02
QUADRATURE_TOLERANCE = 1e-6  # 40 nodes a dimension: doubling them moves the eighth digit
POSTERIOR_TOLERANCE = 1e-4  # of a probability: the frailties stop within their own search


def small(n_groups: int = 3, per_group: int = 30) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(n_groups), per_group)
    x = rng.normal(size=len(group)).round(3)
    rate = np.exp(0.5 * x + np.array([-0.6, 0.1, 0.7])[group])
    time = rng.exponential(1 / rate).round(4) + 0.001
    return pd.DataFrame(
        {"time": time, "left": (rng.random(len(group)) < 0.85) * 1, "x": x, "therapist": group}
    )


def arrays(data: pd.DataFrame) -> tuple[np.ndarray, RiskSets]:
    intervals = read_intervals(data, time="time", event="left", cluster="therapist")
    design, intervals = cox_design("x", intervals)
    sets = risk_sets(intervals, ties="breslow", group=intervals.cluster)
    return design.X[:, sets.order], sets


@pytest.mark.parametrize("theta", [0.1, 0.5, 1.5])
def test_laplace_equals_the_integral_over_normal_frailties(theta: float) -> None:
    X, sets = arrays(small())
    state = maximise(X, sets, normal_penalty(theta), (np.zeros(1), np.zeros(3)))
    laplace = state.at.log_lik - state.penalty
    laplace -= (3 * np.log(theta) + state.arrow.log_det_groups) / 2.0

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    mass = np.einsum("i,j,k->ijk", weights, weights, weights).ravel() / (2 * np.pi) ** 1.5
    fixed = state.beta @ X
    keep = mass > mass.max() * 1e-14
    values = np.array(
        [
            log_likelihood(fixed + sets.to_rows((np.sqrt(theta) * node)[sets.group]), sets)
            for node in grid[keep]
        ]
    )
    exact = np.log(mass[keep] @ np.exp(values - values.max())) + values.max()
    assert_allclose(laplace, exact, atol=LAPLACE_TOLERANCE)


def test_the_groups_block_is_the_second_derivative() -> None:
    X, sets = arrays(small())
    penalty = normal_penalty(0.7)
    state = maximise(X, sets, penalty, (np.zeros(1), np.zeros(3)))

    def objective(b: np.ndarray) -> float:
        eta = state.beta @ X + sets.to_rows(b[sets.group])
        return log_likelihood(eta, sets) - penalty(b).value

    h = 1e-3
    hessian = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            ei, ej = h * np.eye(3)[i], h * np.eye(3)[j]
            hessian[i, j] = (
                objective(state.b + ei + ej)
                - objective(state.b + ei - ej)
                - objective(state.b - ei + ej)
                + objective(state.b - ei - ej)
            ) / (4 * h * h)
    assert_allclose(state.arrow.solve(np.eye(3)), np.linalg.inv(-hessian), rtol=1e-4)
    assert_allclose(state.arrow.log_det_groups, np.linalg.slogdet(-hessian)[1], rtol=1e-4)


def test_the_gamma_likelihood_is_the_integral_given_the_baseline() -> None:
    """With the fitted baseline hazard fixed, each group's frailty is integrated by quadrature."""
    data = small()
    fit = cox_ph("x", data, time="time", event="left", frailty="therapist", ties="breslow")
    assert fit.frailty is not None
    theta = fit.frailty.variance
    baseline = fit.baseline()
    step = np.searchsorted(baseline["time"], data["time"], side="right")
    cumulative = np.concatenate(([0.0], baseline["cumulative_hazard"]))[step]
    relative = np.exp(fit.beta[0] * data["x"].to_numpy())
    lived = np.bincount(data["therapist"], weights=cumulative * relative)
    events = np.bincount(data["therapist"], weights=data["left"])
    total = 0.0
    for d, burden in zip(events, lived, strict=True):
        value, _ = integrate.quad(
            lambda z, d=d, burden=burden: (
                z**d * np.exp(-z * burden) * stats.gamma.pdf(z, 1 / theta, scale=theta)
            ),
            0.0,
            np.inf,
        )
        total += np.log(value)
    hazards = baseline["hazard"].to_numpy()[np.searchsorted(baseline["time"], data["time"])]
    dead = data["left"] == 1
    total += np.log(hazards[dead] * relative[dead]).sum()
    # the partial likelihood leaves out the constant -events of Breslow's baseline
    assert_allclose(fit.frailty.log_lik, total + events.sum(), rtol=QUADRATURE_TOLERANCE)


@pytest.mark.parametrize("distribution", ["gamma", "lognormal"])
def test_limits_of_frailties_are_those_of_their_posterior(distribution: str) -> None:
    """Given the fitted baseline: a gamma's quantiles, and the curvature of a log-normal's."""
    data = small()
    fit = cox_ph("x", data, time="time", event="left", frailty="therapist", ties="breslow",
                 frailty_distribution=distribution)  # fmt: skip
    assert fit.frailty is not None
    found = fit.tidy(effects="ran_vals", conf_level=0.9)
    baseline = fit.baseline()
    step = np.searchsorted(baseline["time"], data["time"], side="right")
    cumulative = np.concatenate(([0.0], baseline["cumulative_hazard"]))[step]
    relative = np.exp(fit.beta[0] * data["x"].to_numpy())
    lived = np.bincount(data["therapist"], weights=cumulative * relative)
    events = np.bincount(data["therapist"], weights=data["left"])
    theta, h = fit.frailty.variance, 1e-3
    for row, d, burden in zip(found.itertuples(), events, lived, strict=True):
        if distribution == "gamma":
            weight = lambda z, d=d, m=burden: (  # noqa: E731
                z**d * np.exp(-z * m) * stats.gamma.pdf(z, 1 / theta, scale=theta)
            )
            whole = integrate.quad(weight, 0.0, np.inf)[0]
            for limit, share in ((row.conf_low, 0.05), (row.conf_high, 0.95)):
                below = integrate.quad(weight, 0.0, np.exp(limit))[0] / whole
                assert below == pytest.approx(share, abs=POSTERIOR_TOLERANCE)
        else:
            log_density = lambda b, d=d, m=burden: (  # noqa: E731
                d * b - m * np.exp(b) - b**2 / theta / 2
            )
            at = row.estimate
            bent = (log_density(at + h) - 2 * log_density(at) + log_density(at - h)) / h**2
            half = stats.norm.isf(0.05) / np.sqrt(-bent)
            assert row.conf_high - at == pytest.approx(half, rel=1e-4)
            assert at - row.conf_low == pytest.approx(half, rel=1e-4)


def test_profile_limits_lie_where_the_likelihood_has_dropped() -> None:
    data = small()
    fit = cox_ph("x", data, time="time", event="left", frailty="therapist")
    assert fit.frailty is not None
    low, high = fit.frailty.interval(conf_level=0.9)
    drop = stats.chi2.isf(0.1, 1) / 2
    top = fit.frailty.problem.profile(fit.frailty.variance)
    for limit in (low, high):
        assert_allclose(top - fit.frailty.problem.profile(limit), drop, rtol=1e-5)
    assert low < fit.frailty.variance < high


@pytest.mark.parametrize("distribution", ["gamma", "lognormal"])
def test_a_frailty_is_tested_by_half_a_chi_squared(distribution: str) -> None:
    found = cox_ph(
        "x",
        small(per_group=12),
        time="time",
        event="left",
        frailty="therapist",
        frailty_distribution=distribution,
    )
    spread = found.frailty
    gain = 2.0 * (spread.log_lik - spread.log_lik_without)
    p = format_p(stats.chi2.sf(gain, 1) / 2.0)
    assert f"The frailty against none: p {p if '<' in p else f'= {p}'}." in found.summary()
    assert 0.0 < gain < 10.0  # so that half and whole print apart
