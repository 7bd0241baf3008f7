"""Inference and prediction against dense algebra written out here."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.engine import curvature
from alliance_stats.errors import DataError
from alliance_stats.multilevel import (
    AR1,
    CR2,
    VarianceBy,
    compare_models,
    likelihood_ratio_test,
    lmm,
)

# Both sides differentiate numerically: central differences with steps of 1e-4 relative.
DIFFERENCES = 1e-3
# Plain linear algebra at a common theta.
ALGEBRA = 1e-7


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    n_family, members, sessions = 12, 3, 5
    family = np.repeat(np.arange(n_family), members * sessions)
    person = np.repeat(np.arange(n_family * members), sessions)
    session = np.tile(np.arange(sessions), n_family * members)
    role = np.array(["mother", "father", "child"])[person % 3]
    x = rng.normal(size=len(person))
    spread = np.where(role == "child", 1.4, 0.7)
    y = (
        1 + 0.4 * x + 0.2 * session
        + rng.normal(size=n_family)[family]
        + 0.6 * rng.normal(size=n_family * members)[person]
        + spread * rng.normal(size=len(person))
    )  # fmt: skip
    frame = pd.DataFrame(
        {"y": y, "x": x, "family": family, "person": person, "session": session, "role": role}
    )
    return frame.drop(index=[3, 17, 40, 41]).reset_index(drop=True)


def dense_covariance(data, parameters):
    """V of a family effect, a person effect, role-wise residuals and AR(1) within person."""
    family_sd, person_sd, sigma, *log_ratios, eta = parameters
    labels = sorted(data["role"].unique())
    ratios = dict(zip(labels, np.exp([0.0, *log_ratios]), strict=True))
    sd = sigma * data["role"].map(ratios).to_numpy()
    same_family = data["family"].to_numpy()[:, None] == data["family"].to_numpy()[None]
    same_person = data["person"].to_numpy()[:, None] == data["person"].to_numpy()[None]
    gap = np.abs(data["session"].to_numpy()[:, None] - data["session"].to_numpy()[None])
    C = np.where(same_person, np.tanh(eta) ** gap, 0.0)
    return family_sd**2 * same_family + person_sd**2 * same_person + np.outer(sd, sd) * C


def restricted_deviance(data, X, parameters):
    V = dense_covariance(data, parameters)
    inverse = np.linalg.inv(V)
    F = X.T @ inverse @ X
    beta = np.linalg.solve(F, X.T @ inverse @ data["y"])
    e = data["y"] - X @ beta
    return (
        np.linalg.slogdet(V)[1] + np.linalg.slogdet(F)[1] + e @ inverse @ e
        + (len(X) - X.shape[1]) * np.log(2 * np.pi)
    ), np.linalg.inv(F)  # fmt: skip


def test_satterthwaite_under_a_residual_structure(data):
    model = lmm(
        "y ~ x + session + (1 | family/person)",
        data,
        residual=[VarianceBy("role"), AR1("session", within="person")],
    )
    X = np.column_stack([np.ones(len(data)), data["x"], data["session"]])
    sds = [np.sqrt(c.iloc[0, 0]) for c in model.covariances().values()]
    at = np.array([*sds, model.sigma, *model.fit.eta])
    assert restricted_deviance(data, X, at)[0] == pytest.approx(model.fit.deviance, rel=ALGEBRA)

    k = len(at)
    h = 1e-3 * np.maximum(np.abs(at), 0.1)
    hessian, slopes = np.empty((k, k)), np.empty((k, X.shape[1]))
    for i in range(k):
        ei = np.eye(k)[i] * h
        slopes[i] = (
            np.diag(restricted_deviance(data, X, at + ei)[1])
            - np.diag(restricted_deviance(data, X, at - ei)[1])
        ) / (2 * h[i])
        for j in range(k):
            ej = np.eye(k)[j] * h
            hessian[i, j] = sum(
                s * t * restricted_deviance(data, X, at + s * ei + t * ej)[0]
                for s in (1, -1)
                for t in (1, -1)
            ) / (4 * h[i] * h[j])
    W = 2 * np.linalg.inv(hessian)
    variance = np.diag(restricted_deviance(data, X, at)[1])
    df = 2 * variance**2 / np.einsum("ip,ij,jp->p", slopes, W, slopes)
    table = model.tidy()
    np.testing.assert_allclose(table["std_error"], np.sqrt(variance), rtol=1e-5)
    np.testing.assert_allclose(table["df"], df, rtol=DIFFERENCES * 10)


@pytest.mark.parametrize(
    "random",
    ["(1 | family/person)", "(1 + x | family) + (1 + session | family:person)"],
)
def test_second_derivatives_of_nested_factors(data, random, monkeypatch):
    """The analytic ones against differences of the first, for intercepts and for slopes."""
    fit = lmm(f"y ~ x + session + {random}", data).fit
    at_fit = fit.problem, fit.minimum.Lambda, fit.relative_sigma
    analytic = curvature.curvature(*at_fit)
    monkeypatch.setattr(curvature, "LARGEST", 0)
    differences = curvature.curvature(*at_fit)
    for name in ("G", "G_1", "G_2", "log_det_1", "log_det_2"):
        own, other = getattr(analytic, name), getattr(differences, name)
        assert np.allclose(own, other, rtol=0.0, atol=ALGEBRA * np.abs(other).max()), name


def test_conditional_interval_is_the_variance_of_the_prediction_error(data):
    model = lmm("y ~ x + (1 + x | family) + (1 | family:person)", data)
    new = data.iloc[[0, 20, 100]]
    found = model.predict(new, level="conditional", interval="confidence")
    X = np.column_stack([np.ones(len(data)), data["x"]])
    covariances = list(model.covariances().values())
    person = data["family"].astype(str) + ":" + data["person"].astype(str)

    def random_part(rows, columns):
        same_f = rows["family"].to_numpy()[:, None] == columns["family"].to_numpy()[None]
        same_p = person[rows.index].to_numpy()[:, None] == person[columns.index].to_numpy()[None]
        left = np.column_stack([np.ones(len(rows)), rows["x"]])
        right = np.column_stack([np.ones(len(columns)), columns["x"]])
        D = covariances[0].to_numpy()
        return (left @ D @ right.T) * same_f + covariances[1].iloc[0, 0] * same_p

    V = random_part(data, data) + model.sigma**2 * np.eye(len(data))
    inverse = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ inverse @ X)
    c = random_part(new, data)
    x_new = np.column_stack([np.ones(3), new["x"]])
    d = x_new - c @ inverse @ X
    variance = np.diag(random_part(new, new) - c @ inverse @ c.T + d @ Phi @ d.T)
    np.testing.assert_allclose(found["std_error"], np.sqrt(variance), rtol=ALGEBRA * 10)
    np.testing.assert_allclose(found["estimate"], model.augment()["fitted"].iloc[[0, 20, 100]])


def test_population_prediction_interval(data):
    model = lmm("y ~ x + (1 + x | family)", data)
    new = pd.DataFrame({"x": [0.5]})
    found = model.predict(new, interval="prediction").iloc[0]
    x = np.array([1.0, 0.5])
    D = model.covariances()["family"].to_numpy()
    variance = x @ (model.vcov().to_numpy() + D) @ x + model.sigma**2
    assert found["std_error"] == pytest.approx(np.sqrt(variance), rel=ALGEBRA)


def test_cooks_distance_is_leaving_a_cluster_out(data):
    model = lmm("y ~ x + (1 | family)", data)
    X = np.column_stack([np.ones(len(data)), data["x"]])
    tau2, sigma2 = model.covariances()["family"].iloc[0, 0], model.sigma**2

    def gls(rows):
        same = rows["family"].to_numpy()[:, None] == rows["family"].to_numpy()[None]
        inverse = np.linalg.inv(tau2 * same + sigma2 * np.eye(len(rows)))
        x = X[rows.index]
        F = x.T @ inverse @ x
        return np.linalg.solve(F, x.T @ inverse @ rows["y"]), F

    beta, F = gls(data)
    left_out = gls(data[data["family"] != 4])[0]
    expected = (beta - left_out) @ F @ (beta - left_out) / 2
    found = model.cooks_distance("family").set_index("level")["cooks_distance"]
    assert found[4] == pytest.approx(expected, rel=1e-6)


def test_cr2_refuses_random_effects_that_cross_its_clusters(data):
    model = lmm("y ~ x + (1 | family) + (1 | role)", data)
    with pytest.raises(DataError, match="correlated across clusters"):
        model.tidy(vcov=CR2("family"))


def test_singular_fit_has_the_inference_of_the_reduced_model():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "h": np.tile(np.arange(24), 2)})
    frame["x"] = rng.normal(size=48)
    frame["y"] = frame["x"] + rng.normal(size=48)
    frame["y"] -= frame.groupby("g")["y"].transform("mean")  # nothing is left between g
    frame["y"] += rng.normal(size=24)[frame["h"]]
    frame["y"] -= frame.groupby("g")["y"].transform("mean") * 0.98
    model = lmm("y ~ x + (1 | g) + (1 | h)", frame)
    reduced = lmm("y ~ x + (1 | h)", frame)
    assert model.singular
    assert not reduced.singular
    assert model.glance()["singular"].iloc[0]
    assert model.summary().startswith("Boundary (singular) fit: the variance is zero for")
    ours, theirs = model.tidy(), reduced.tidy()
    np.testing.assert_allclose(ours["std_error"], theirs["std_error"], rtol=1e-5)
    np.testing.assert_allclose(ours["df"], theirs["df"], rtol=1e-4)


def test_correlation_at_its_boundary_is_one_dimension():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(np.arange(10), 5), "x": np.tile(np.arange(5.0), 10)})
    frame["y"] = (
        1 + 0.3 * frame["x"]
        + rng.normal(size=10)[frame["g"]] * (1 + 0.4 * frame["x"])
        + 0.5 * rng.normal(size=50)
    )  # fmt: skip
    model = lmm("y ~ x + (1 + x | g)", frame)
    assert model.fit.template.ranks == ((1,),)  # the seed was chosen for a correlation at 1
    D = model.covariances()["g"].to_numpy()
    direction = D[:, 0] / np.sqrt(D[0, 0])
    reduced = lmm("y ~ x + (0 + z | g)", frame.assign(z=direction[0] + direction[1] * frame["x"]))
    ours, theirs = model.tidy(), reduced.tidy()
    np.testing.assert_allclose(ours["std_error"], theirs["std_error"], rtol=1e-4)
    np.testing.assert_allclose(ours["df"], theirs["df"], rtol=1e-3)
    assert "vary in 1 direction only" in model.summary()


def dense_kenward_roger(X, V, derivatives):
    """Adjusted covariance and df of each coefficient, by the formulas on matrices of size n."""
    inverse = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ inverse @ X)
    half = inverse @ X
    P = [-half.T @ D @ half for D in derivatives]
    Q = [[half.T @ D @ inverse @ E @ half for E in derivatives] for D in derivatives]
    solved = [inverse @ D for D in derivatives]
    k = len(derivatives)
    information = np.array(
        [
            [
                np.sum(solved[i] * solved[j].T) - 2 * np.trace(Phi @ Q[i][j])
                + np.trace(Phi @ P[i] @ Phi @ P[j])
                for j in range(k)
            ]
            for i in range(k)
        ]
    )  # fmt: skip
    W = 2.0 * np.linalg.inv(information)
    inner = sum(W[i, j] * (Q[i][j] - P[i] @ Phi @ P[j]) for i in range(k) for j in range(k))
    slopes = np.array([np.diag(Phi @ p @ Phi) for p in P])
    return Phi + 2 * Phi @ inner @ Phi, 2 * np.diag(Phi) ** 2 / np.diag(slopes.T @ W @ slopes)


def test_kenward_roger_counts_what_is_at_its_boundary():
    rng = np.random.default_rng(5)
    n_g, n_h, per = 7, 14, 6
    h = np.repeat(np.arange(n_h), per)
    frame = pd.DataFrame({"h": h, "g": h // 2, "t": np.tile(np.arange(per), n_h)})
    frame["x"] = rng.normal(size=n_g)[frame["g"]]
    e = rng.normal(size=len(frame))
    # nothing between g in level or slope: each g's residuals are made orthogonal to both
    Z = np.column_stack([np.ones(len(e)), frame["t"]])
    for unit in range(n_g):
        own = (frame["g"] == unit).to_numpy()
        e[own] -= Z[own] @ np.linalg.lstsq(Z[own], e[own], rcond=None)[0]
    frame["y"] = e + 0.8 * np.tile([1.0, -1.0], n_g)[h] * (1 + 0.1 * rng.normal(size=n_h))[h]
    model = lmm("y ~ x + t + (1 + t | g) + (1 | h)", frame)
    assert model.fit.template.ranks == ((0,), (1,))
    in_g = np.equal.outer(frame["g"].to_numpy(), frame["g"].to_numpy()).astype(float)
    in_h = np.equal.outer(h, h).astype(float)
    t = frame["t"].to_numpy(dtype=float)
    derivatives = [
        in_g, in_g * np.outer(t, t), in_g * (t[:, None] + t[None]), in_h, np.eye(len(t)),
    ]  # fmt: skip
    V = model.sigma**2 * np.eye(len(t)) + model.covariances()["h"].iloc[0, 0] * in_h
    covariance, df = dense_kenward_roger(model.design.X, V, derivatives)
    table = model.tidy(df_method="kenward-roger")
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(covariance)), rtol=ALGEBRA)
    np.testing.assert_allclose(table["df"], df, rtol=1e-6)  # forward differences
    assert f"x {table['df'].iloc[1]:.1f} instead of" in model.summary()
    assert (table["df"].iloc[:2] < 0.5 * model.tidy()["df"].iloc[:2]).all()


def test_likelihood_ratio_tests(data):
    large = lmm("y ~ x + session + (1 + session | person)", data)
    small = lmm("y ~ x + session + (1 | person)", data)
    fixed = lmm("y ~ x + (1 + session | person)", data)
    test = likelihood_ratio_test(large, small)
    from scipy import stats

    mixture = 0.5 * stats.chi2.sf(test.statistic, 1) + 0.5 * stats.chi2.sf(test.statistic, 2)
    assert test.p_value == pytest.approx(mixture, rel=1e-12)
    assert not test.refitted
    refitted = likelihood_ratio_test(fixed, large)
    assert refitted.refitted
    by_ml = [lmm(m.formula, data, reml=False) for m in (fixed, large)]
    assert refitted.statistic == pytest.approx(
        by_ml[0].fit.deviance - by_ml[1].fit.deviance, abs=1e-6
    )
    with pytest.raises(DataError, match="did not use the same rows"):
        likelihood_ratio_test(large, lmm("y ~ x + (1 | person)", data.iloc[:-5]))
    with pytest.raises(DataError, match="neither is larger"):
        likelihood_ratio_test(large, large)
    table = compare_models(large, small, fixed)
    assert table["delta_aic"].iloc[0] == 0.0
    assert not table["reml"].any()


def test_simulated_null_agrees_with_the_mixture(data):
    large = lmm("y ~ x + (1 | family/person)", data)
    small = lmm("y ~ x + (1 | family)", data)
    exact = likelihood_ratio_test(large, small)
    simulated = likelihood_ratio_test(large, small, n_resamples=99, seed=1)
    assert simulated.p_value == pytest.approx(max(exact.p_value, 0.01), abs=0.05)
    again = likelihood_ratio_test(large, small, n_resamples=99, seed=1)
    np.testing.assert_array_equal(simulated.null, again.null)
    assert (simulated.null == 0).mean() == pytest.approx(0.5, abs=0.2)  # the boundary's half


def test_known_variances_without_heterogeneity_leave_nothing_to_estimate():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"g": np.repeat(np.arange(6), 5), "arm": np.tile(list("abcde"), 6)})
    frame["y"] = rng.normal(size=30)
    frame["y"] -= frame.groupby("g")["y"].transform("mean")
    frame["v"] = 1.0
    model = lmm("y ~ arm + (1 | g)", frame, known_variance="v")
    assert model.singular
    table = model.tidy()
    assert np.isinf(table["df"]).all()
    # the inverse of X'X, since every variance is 1
    X = np.column_stack([np.ones(30), *(frame["arm"] == a for a in "bcde")])
    np.testing.assert_allclose(
        table["std_error"], np.sqrt(np.diag(np.linalg.inv(X.T @ X))), rtol=1e-9
    )
    # Kenward and Roger's method counts the variance at zero; contrasts within g do not need it
    counted = model.tidy(df_method="kenward-roger")["df"]
    assert np.isinf(counted.iloc[1:]).all()
    assert np.isfinite(counted.iloc[0])
    assert np.isinf(model.anova()["df2"]).all()
    frame["y"] += np.repeat(rng.normal(size=6), 5)  # balanced: within-g contrasts need no tau2
    balanced = lmm("y ~ arm + (1 | g)", frame, known_variance="v").tidy()
    assert np.isinf(balanced["df"].iloc[1:]).all()
    assert np.isfinite(balanced["df"].iloc[0])
