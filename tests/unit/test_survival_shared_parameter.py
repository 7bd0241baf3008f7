"""The shared-parameter model: its likelihood by brute force, its limits, what it refuses."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from alliance_stats.errors import DataError
from alliance_stats.multilevel import lmm
from alliance_stats.survival import discrete_hazard, shared_parameter
from alliance_stats.survival.unseen.shared_likelihood import log_likelihoods, shared_data
from alliance_stats.survival.unseen.shared_parameter import _start

COLUMNS = {"session": "session", "event": "event", "unit": "id"}
GROWTH = "y ~ time + (1 + time | id)"


def study(n: int = 60, seed: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    outcomes, periods = [], []
    for i in range(n):
        b0, b1 = rng.normal(0, 2.0), rng.normal(0, 0.6)
        for session in range(1, 7):
            y = 20 + b0 + (b1 - 1) * (session - 1) + rng.normal(0, 1.5)
            outcomes.append((f"P{i:02}", session - 1, y))
            if session == 6:
                break
            left = float(rng.random() < -np.expm1(-np.exp(-2.0 + 0.4 * b0)))
            periods.append((f"P{i:02}", session, left))
            if left:
                break
    return (
        pd.DataFrame(outcomes, columns=["id", "time", "y"]),
        pd.DataFrame(periods, columns=["id", "session", "event"]),
    )


@pytest.fixture(scope="module")
def both() -> tuple[pd.DataFrame, pd.DataFrame]:
    return study()


def pieces(both, *, nodes: int = 15):
    outcomes, periods = both
    growth = lmm(GROWTH, outcomes, reml=False)
    leaving = discrete_hazard(
        "1", periods, **COLUMNS, random=None, baseline="polynomial", baseline_df=1
    )
    return growth, leaving, shared_data(growth, leaving, "id", nodes)


def test_without_association_the_likelihoods_multiply(both) -> None:
    growth, leaving, arrays = pieces(both)
    start = _start(growth, leaving)
    total = log_likelihoods(start, arrays).sum()
    assert_allclose(total, growth.log_lik + leaving.fit.log_lik, rtol=1e-10)


def test_likelihood_equals_brute_force_integration(both) -> None:
    growth, leaving, arrays = pieces(both)
    at = _start(growth, leaving)
    at[-2:] = 0.4, -0.9
    found = log_likelihoods(at, arrays)
    D = growth.covariances()["id"].to_numpy()
    b0, b1 = np.meshgrid(np.linspace(-16, 16, 801), np.linspace(-5, 5, 801), indexing="ij")
    cell = (b0[1, 0] - b0[0, 0]) * (b1[0, 1] - b1[0, 0])
    prior = stats.multivariate_normal([0, 0], D).pdf(np.stack([b0, b1], axis=-1))
    beta, gamma = growth.beta.to_numpy(), leaving.fit.beta.to_numpy()
    for person in (0, 7, 23):
        density = prior.copy()
        for row in np.flatnonzero(arrays.unit == person):
            z = arrays.Z[row]
            mean = arrays.X[row] @ beta + z[0] * b0 + z[1] * b1
            density *= stats.norm.pdf(arrays.y[row], mean, growth.sigma)
        for row in np.flatnonzero(arrays.at_risk == person):
            eta = arrays.W[row] @ gamma + 0.4 * b0 - 0.9 * b1
            stay = np.exp(-np.exp(eta))
            density *= (1 - stay) if arrays.event[row] else stay
        assert_allclose(found[person], np.log(density.sum() * cell), atol=1e-5)


def test_it_finds_who_leaves_and_more_nodes_change_nothing(both) -> None:
    outcomes, periods = both
    fit = shared_parameter("y ~ time + (1 | id)", "1", outcomes, periods, **COLUMNS, baseline_df=1)
    assert fit.converged
    row = fit.tidy().query("part == 'association'").iloc[0]
    assert row["conf_low"] < 0.4 < row["conf_high"]
    assert fit.log_lik > fit.log_lik_separate
    finer = shared_parameter(
        "y ~ time + (1 | id)", "1", outcomes, periods, **COLUMNS, baseline_df=1, nodes=21
    )
    assert_allclose(finer.log_lik, fit.log_lik, atol=1e-4)
    assert "association" in fit.summary()
    assert fit.glance()["p_value"].item() < 0.05


def test_refusals(both) -> None:
    outcomes, periods = both
    with pytest.raises(DataError, match="needs one random term, of 'id'"):
        shared_parameter(
            "y ~ time + (1 | group/id)", "1", outcomes.assign(group="a"), periods, **COLUMNS
        )
    with pytest.raises(DataError, match="'P00' has rows at risk but no outcome"):
        shared_parameter(
            "y ~ time + (1 | id)", "1", outcomes[outcomes["id"] != "P00"], periods, **COLUMNS
        )


def test_nodes_are_raised_until_the_answer_stands() -> None:
    # few outcomes a unit and a strong association: what leaving says of an effect lies far from
    # what its outcomes say, and nodes placed by these miss it
    rng = np.random.default_rng(4)
    outcomes, periods = [], []
    for i in range(60):
        level = rng.normal()
        outcomes += [(i, t, level + rng.normal() * 2.0) for t in (0.0, 6.0)]
        for t in range(1, 13):
            left = int(rng.random() < 1.0 - np.exp(-np.exp(-2.5 + 1.6 * level)))
            periods.append((i, t, left))
            if left:
                break
    outcomes = pd.DataFrame(outcomes, columns=["id", "time", "y"])
    periods = pd.DataFrame(periods, columns=["id", "session", "event"])
    asked = ("y ~ time + (1 | id)", "1", outcomes, periods)
    few = shared_parameter(*asked, **COLUMNS, baseline_df=1, nodes=3)
    many = shared_parameter(*asked, **COLUMNS, baseline_df=1, nodes=65)
    assert few.nodes > 3
    assert few.notes == many.notes == ()
    for column in ("estimate", "std_error"):
        one, other = few.tidy().iloc[-1][column], many.tidy().iloc[-1][column]
        # two hundredths of a standard error, and those again for what is left of the search
        assert abs(one - other) < 0.04 * many.tidy().iloc[-1]["std_error"]
