"""Quadrature of two effects against dense integration, and against what must hold."""

import numpy as np
import pandas as pd
import pytest
from scipy import special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.multilevel import glmm, ordinal

# The dense grid's own error, and that of 25 nodes, summed over units.
INTEGRAL = 1e-6
# What nodes="enough" promises of the log-likelihood.
STANDS = 1e-4
GRID = np.linspace(-7.0, 7.0, 181)
PRIOR = np.exp(-0.5 * GRID**2) / np.sqrt(2.0 * np.pi) * (GRID[1] - GRID[0])


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    # unequal numbers of families a therapist and of rows a family
    families = np.repeat(np.arange(9), [2, 3, 4, 5, 6, 8, 9, 11, 14])
    rows = rng.integers(1, 7, len(families))
    family, therapist = np.repeat(np.arange(len(families)), rows), np.repeat(families, rows)
    n = len(family)
    x = rng.normal(size=n)
    u = (0.8 * rng.normal(size=9))[therapist] + (1.2 * rng.normal(size=len(families)))[family]
    slope = 0.4 * rng.normal(size=9)[therapist]
    eta = -0.3 + 0.5 * x + u
    return pd.DataFrame(
        {
            "therapist": therapist,
            "family": family,
            "x": x,
            "event": (rng.random(n) < special.expit(eta)).astype(int),
            "count": rng.poisson(np.exp(0.2 + (0.2 + slope) * x + 0.5 * u)),
            "rating": np.digitize(eta + rng.logistic(size=n), [-0.8, 0.4]),
        }
    )


def test_two_nested_factors_end_at_the_integral(data):
    model = glmm("event ~ x + (1 | therapist/family)", data, nodes=25)
    sd = model.tidy(effects="ran_pars").set_index("group")["estimate"]
    b = model.beta.to_numpy()
    total = 0.0
    for _, own in data.groupby("therapist"):
        inner = np.ones(len(GRID))
        for _, rows in own.groupby("family"):
            fixed = (b[0] + b[1] * rows["x"].to_numpy())[:, None, None]
            eta = fixed + sd["therapist"] * GRID[:, None] + sd["therapist:family"] * GRID
            signed = np.where(rows["event"].to_numpy()[:, None, None] == 1, eta, -eta)
            inner = inner * (special.expit(signed).prod(axis=0) @ PRIOR)
        total += np.log(inner @ PRIOR)
    assert model.log_lik == pytest.approx(total, abs=INTEGRAL)
    assert model.convergence.converged


def test_two_effects_of_one_factor_end_at_the_integral(data):
    model = glmm("count ~ x + (1 + x | therapist)", data, family="poisson", nodes=25)
    half = np.linalg.cholesky(model.covariances()["therapist"].to_numpy())
    b = model.beta.to_numpy()
    u = half @ np.stack(np.meshgrid(GRID, GRID, indexing="ij")).reshape(2, -1)
    prior = np.outer(PRIOR, PRIOR).ravel()
    total = 0.0
    for _, own in data.groupby("therapist"):
        x, y = own["x"].to_numpy()[:, None], own["count"].to_numpy()[:, None]
        eta = b[0] + u[0] + (b[1] + u[1]) * x
        log = (y * eta - np.exp(eta) - special.gammaln(y + 1.0)).sum(axis=0)
        total += np.log(np.exp(log - log.max()) @ prior) + log.max()
    assert model.log_lik == pytest.approx(total, abs=INTEGRAL)


@pytest.mark.parametrize("random", ["(1 | therapist/family)", "(1 + x | therapist)"])
@pytest.mark.parametrize(
    "options", [{"family": "poisson"}, {"family": "negative binomial"}], ids=lambda o: o["family"]
)
def test_the_minimum_is_one_of_the_deviance_as_computed(data, random, options):
    model = glmm(f"count ~ x + {random}", data, nodes=15, **options)
    fit, at = model.fit, model.fit.minimum
    for change in (1e-3, -1e-3):
        moved = fit.gamma.copy()
        moved[0] += change
        found = fit.approximation(fit.problem, list(at.Lambda), moved, at.memory)
        assert found.deviance > fit.deviance
        for f in np.flatnonzero([own.any() for own in at.Lambda]):
            wider = [own * (1.0 + change) if k == f else own for k, own in enumerate(at.Lambda)]
            found = fit.approximation(fit.problem, wider, fit.gamma, at.memory)
            assert found.deviance > fit.deviance


def test_a_factor_of_no_variance_leaves_the_other_alone(data):
    # families of one therapist's share nothing: the second factor's variance goes to zero
    rng = np.random.default_rng(3)
    told = data.assign(event=(rng.random(len(data)) < 0.4).astype(int))
    both = glmm("event ~ x + (1 | therapist/family)", told, nodes=15)
    alone = [
        glmm(f"event ~ x + (1 | {group})", told.assign(tf=told["family"]), nodes=15).log_lik
        for group in ("therapist", "tf")
    ]
    assert both.log_lik >= max(alone) - 1e-6
    if both.singular:
        assert both.log_lik == pytest.approx(max(alone), abs=1e-5)


def test_nodes_are_raised_until_the_likelihood_stands(data):
    for random in ("(1 | family)", "(1 | therapist/family)"):
        formula = f"event ~ x + {random}"
        enough = glmm(formula, data, nodes="enough")
        assert enough.nodes in (15, 25, 41)
        more = glmm(formula, data, nodes=41)
        assert enough.log_lik == pytest.approx(more.log_lik, abs=STANDS)
        assert f"quadrature with {enough.nodes} nodes" in enough.method
    steps = ordinal("rating ~ x + (1 | therapist)", data, nodes="enough")
    more = ordinal("rating ~ x + (1 | therapist)", data, nodes=41)
    assert steps.log_lik == pytest.approx(more.log_lik, abs=STANDS)


def test_a_runaway_names_the_quadrature_that_there_is():
    rng = np.random.default_rng(5)
    rows = [
        (family % 7, family, session, int(session == last and family % 3 > 0))
        for family, last in enumerate(rng.integers(1, 7, 60))
        for session in range(1, last + 1)
        for _member in range(6)
    ]
    copies = pd.DataFrame(rows, columns=["therapist", "family", "session", "event"])
    with pytest.raises(NotIdentifiedError, match="fit again with nodes=25 first"):
        glmm("event ~ session + (1 | therapist/family)", copies, link="cloglog")
