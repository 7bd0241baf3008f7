"""The likelihood of several outcomes with lags against one dense normal distribution."""

import numpy as np
import pytest

from alliance_stats.engine.lag_criterion import (
    LagProblem,
    evaluate,
    information_on_means,
    person_effects,
    stacked_columns,
)
from alliance_stats.engine.lag_filter import Ratings
from alliance_stats.engine.lag_model import fit_model
from alliance_stats.engine.lag_parameters import (
    LagOptions,
    lag_parameters,
    squares,
    stationary_covariance,
    take,
)
from alliance_stats.engine.lag_table import LagArrays
from alliance_stats.engine.stacked_levels import Level

DENSE = 1e-9  # relative; sums of 200 terms in another order
DIFFERENCES = 2e-6  # central differences with half-width 1e-5, relative to the largest derivative
T, N = 5, 9

CASES = {
    "persons": {},
    "errors": {"errors": (0.2, None), "levels": 1},
    "free lags, trends, two groups": {
        "lags": "free",
        "trends": True,
        "groups": 2,
        "levels": 2,
    },
    "stationary, three outcomes": {"start": "stationary", "K": 3, "levels": 1, "groups": 2},
    "off equilibrium, families in therapists": {"start": "correlated", "levels": 2},
    "restricted likelihood": {
        "K": 3,
        "levels": 2,
        "trends": True,
        "lagged": False,
        "reml": True,
    },
    "one outcome": {"K": 1, "levels": 1},
    "nothing carries over": {"lagged": False, "levels": 1, "reml": True},
}


def made(K=2, levels=0, groups=1, trends=False, reml=False, **options):
    """Return a problem, parameters, theta and coefficients, all drawn."""
    rng = np.random.default_rng(7)
    q = 2 * K if trends else K
    loadings = np.zeros((T, K, q))
    for k in range(K):
        loadings[:, k, k] = 1.0
        if trends:
            loadings[:, k, K + k] = np.arange(T)
    found = []
    for _ in range(groups):
        seen = (rng.random((T, K, N)) < 0.8).astype(float)
        y = rng.normal(size=(T, K, N)) * seen
        found.append(Ratings(y, seen, loadings, np.eye(T), rng.normal(size=(T, 1, N))))
    above = [Level.from_codes(rng.permutation(np.arange(N * groups) % 5))] if levels else []
    above += [Level.from_codes(np.arange(5) % 2)] if levels == 2 else []
    problem = LagProblem(tuple(found), tuple(above), reml)
    asked = LagOptions(trends="linear" if trends else None, **options)
    parameters = lag_parameters(asked, n_groups=groups, n_sessions=T, n_outcomes=K, n_above=levels)
    theta = 0.3 * rng.normal(size=parameters.size)
    for index in (parameters.innovation, parameters.first):
        for k in range(K):
            where = index[..., k, k]
            theta[where[where >= 0]] += 0.8
    coefficients = 0.5 * rng.normal(size=(groups, T + 1, K))
    return problem, parameters, theta, coefficients


def parents(level):
    """Return each unit's parent."""
    return level.spread(np.arange(len(level.starts), dtype=float)).astype(int)


def dense(problem, parameters, theta, coefficients):
    """Return V, the deviations and X of all ratings that were made, person after person."""
    point = theta[None]
    blocks, deviations, columns, loadings, group_of = [], [], [], [], []
    for g, ratings in enumerate(problem.groups):
        residual = parameters.residual(point, g)
        K, q = ratings.loadings.shape[1:]
        now = [residual.first[0]]
        for s in range(T - 1):
            phi = residual.phi[0, s]
            now.append(phi @ now[-1] @ phi.T + residual.innovation[0, s])
        R = np.zeros((T, K, T, K))
        Z = ratings.loadings.copy()
        pulled = residual.pull[0]
        for s in range(T):
            carried = now[s]
            Z[s, :, :K] += pulled
            for t in range(s, T):
                R[t, :, s], R[s, :, t] = carried, carried.T
                carried = residual.phi[0, min(t, T - 2)] @ carried
            pulled = residual.phi[0, min(s, T - 2)] @ pulled
        R = R.reshape(T * K, T * K) + np.diag(np.tile(residual.error[0], T))
        Z = Z.reshape(T * K, q)
        r = ratings.residuals(coefficients[None, g])[:, 0]
        for n in range(N):
            seen = ratings.seen[:, :, n].ravel() > 0
            blocks.append(R[np.ix_(seen, seen)])
            loadings.append(Z[seen])
            deviations.append(r[:, :, n].ravel()[seen])
            X = stacked_columns(ratings)[..., n].reshape(T * K, -1)[seen]
            wide = np.zeros((len(X), len(problem.groups), X.shape[1]))
            wide[:, g] = X
            columns.append(wide.reshape(len(X), -1))
            group_of.append(g)
    person = np.repeat(np.arange(len(blocks)), [len(b) for b in blocks])
    V = np.zeros((len(person), len(person)))
    Z = np.concatenate(loadings)
    for i, block in enumerate(blocks):
        V[np.ix_(person == i, person == i)] = block
        G = take(point, parameters.person[group_of[i]])[0]
        Zi = loadings[i] @ G
        V[np.ix_(person == i, person == i)] += Zi @ Zi.T
    unit = person
    for level, index in zip(problem.levels, parameters.above, strict=True):
        unit = parents(level)[unit]
        factor = take(point, index)[0]
        shared = Z[:, : len(factor)] @ factor
        V += (shared @ shared.T) * (unit[:, None] == unit[None, :])
    return V, np.concatenate(deviations), np.concatenate(columns)


def dense_log_lik(problem, parameters, theta, coefficients):
    V, r, X = dense(problem, parameters, theta, coefficients)
    value = -0.5 * (
        len(r) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
    )
    if problem.reml:
        XX, Xr = X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, r)
        value += 0.5 * (Xr @ np.linalg.solve(XX, Xr) - np.linalg.slogdet(XX)[1])
        value += 0.5 * X.shape[1] * np.log(2 * np.pi)
    return value


@pytest.mark.parametrize("case", CASES)
def test_log_likelihood_is_that_of_one_dense_normal(case):
    problem, parameters, theta, coefficients = made(**CASES[case])
    found = evaluate(problem, parameters, theta[None], coefficients[None]).log_lik[0]
    assert found == pytest.approx(
        dense_log_lik(problem, parameters, theta, coefficients), rel=DENSE
    )


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_differences(case):
    problem, parameters, theta, coefficients = made(**CASES[case])
    at = evaluate(problem, parameters, theta[None], coefficients[None])
    h = 1e-5
    points = theta + h * np.concatenate([np.eye(len(theta)), -np.eye(len(theta))])
    many = evaluate(
        problem, parameters, points, np.repeat(coefficients[None], len(points), axis=0)
    ).log_lik
    slopes = (many[: len(theta)] - many[len(theta) :]) / (2 * h)
    np.testing.assert_allclose(at.theta[0], slopes, atol=DIFFERENCES * np.abs(slopes).max())
    if problem.reml:
        return
    size = coefficients.size
    steps = h * np.concatenate([np.eye(size), -np.eye(size)]).reshape(-1, *coefficients.shape)
    many = evaluate(
        problem, parameters, np.repeat(theta[None], 2 * size, axis=0), coefficients + steps
    ).log_lik
    slopes = ((many[:size] - many[size:]) / (2 * h)).reshape(coefficients.shape)
    np.testing.assert_allclose(at.coefficients[0], slopes, atol=DIFFERENCES * np.abs(slopes).max())


@pytest.mark.parametrize("case", CASES)
def test_information_on_means_is_that_of_generalised_least_squares(case):
    problem, parameters, theta, coefficients = made(**CASES[case])
    V, r, X = dense(problem, parameters, theta, coefficients)
    XX, Xr = information_on_means(problem, parameters, theta[None], coefficients[None])
    scale = np.abs(XX).max()
    np.testing.assert_allclose(XX, X.T @ np.linalg.solve(V, X), atol=DENSE * scale)
    np.testing.assert_allclose(Xr, X.T @ np.linalg.solve(V, r), atol=DENSE * scale)


def test_predicted_effects_are_conditional_expectations():
    problem, parameters, theta, coefficients = made(levels=2)
    V, r, _ = dense(problem, parameters, theta, coefficients)
    found = person_effects(problem, parameters, theta, coefficients)
    ratings = problem.groups[0]
    person = np.repeat(np.arange(N), ratings.seen.sum(axis=(0, 1)).astype(int))
    outcome = np.concatenate(
        [np.tile([0, 1], T)[ratings.seen[:, :, n].ravel() > 0] for n in range(N)]
    )
    Z = np.eye(2)[outcome]
    units = [np.arange(N), parents(problem.levels[0])]
    units.append(parents(problem.levels[1])[units[1]])
    expected = np.zeros((2, N))
    for unit, index in zip(units, [parameters.person[0], *parameters.above], strict=True):
        L = take(theta[None], index)[0]
        for n in range(N):
            same = unit[person] == unit[n]
            expected[:, n] += L @ L.T @ (Z * same[:, None]).T @ np.linalg.solve(V, r)
    np.testing.assert_allclose(found, expected, atol=DENSE)


def test_stationary_covariance_stays_as_it_is():
    phi = np.array([[[0.4, -0.2], [-0.3, 0.5]], [[1.1, 0.0], [0.0, 0.2]]])
    new = np.array([[[1.0, 0.2], [0.2, 0.7]]] * 2)
    found = stationary_covariance(phi, new)
    np.testing.assert_allclose(phi[0] @ found[0] @ phi[0].T + new[0], found[0], rtol=1e-12)
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("reml", [False, True])
def test_one_session_without_persons_is_multivariate_regression(reml):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 80))
    y = np.array([[1.0, 0.5], [-0.3, 2.0]]) @ x + rng.normal(size=(2, 80)) + 4.0
    arrays = LagArrays(y[None], x[None], np.zeros(80, dtype=np.int64))
    fit = fit_model(arrays, LagOptions(lagged=False, persons=False, reml=reml))
    X = np.column_stack([np.ones(80), x.T])
    beta = np.linalg.lstsq(X, y.T)[0]
    left = y.T - X @ beta
    covariance = left.T @ left / (80 - 3 * reml)
    np.testing.assert_allclose(fit.coefficients[0], beta, rtol=1e-7)
    found = fit.parameters.residual(fit.theta[None], 0).innovation[0, 0]
    np.testing.assert_allclose(found, covariance, rtol=1e-6)
    assert fit.n_parameters == 3 + 6
    std_error = np.sqrt(np.outer(np.diag(np.linalg.inv(X.T @ X)), np.diag(covariance)))
    np.testing.assert_allclose(np.sqrt(np.diag(fit.coefficient_vcov)), std_error.ravel(), rtol=1e-6)


def test_dyads_in_therapists_are_a_mixed_model_without_a_level_of_persons():
    rng = np.random.default_rng(6)
    therapist = np.arange(90) % 9
    y = rng.normal(size=(2, 9))[:, therapist] + rng.normal(size=(2, 90))
    y[0, rng.random(90) < 0.1] = np.nan
    arrays = LagArrays(
        y[None], np.zeros((1, 0, 90)), np.zeros(90, dtype=np.int64), (Level.from_codes(therapist),)
    )
    fit = fit_model(arrays, LagOptions(lagged=False, persons=False))
    L = fit.parameters.residual(fit.theta[None], 0).innovation[0, 0]
    G = squares(take(fit.theta[None], fit.parameters.above[0]))[0]
    V = np.kron(G, np.equal.outer(therapist, therapist)) + np.kron(L, np.eye(90))
    seen = np.isfinite(y.ravel())
    r = (y - fit.coefficients[0].T).ravel()[seen]
    V = V[np.ix_(seen, seen)]
    log_lik = -0.5 * (
        len(r) * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
    )
    assert fit.log_lik == pytest.approx(log_lik, rel=DENSE)
