"""Residual structures: small-sample inference by dense algebra and known cases, and refusals."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import (
    AR1,
    CAR1,
    CR2,
    CompoundSymmetry,
    Toeplitz,
    Unstructured,
    VarianceBy,
    VarianceExponential,
    VariancePower,
    leave_one_out,
    lmm,
    variance_partition,
    wild_bootstrap,
)
from alliance_stats.errors import AllianceStatsError, DataError, NotIdentifiedError

# Both searches end at a relative gradient of 1e-7; df are quotients of second derivatives there.
SAME_FIT, SAME_DF = 1e-5, 1e-3
# Second differences of a dense deviance, step 1e-4.
DENSE = 2e-3


def visits(n=30, T=4, *, seed=4, missing=0.15):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(T, T))
    y = rng.multivariate_normal(np.zeros(T), np.eye(T) + 0.3 * A @ A.T + 0.5, size=n)
    frame = pd.DataFrame(
        {
            "person": np.repeat([f"P {i}" for i in range(n)], T),
            "visit": np.tile(np.arange(1, T + 1), n),
            "arm": np.repeat(["a", "b"], n // 2 * T),
            "y": y.ravel(),
        }
    )
    return frame[rng.random(len(frame)) >= missing].reset_index(drop=True)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger"])
def test_one_common_correlation_is_a_random_intercept(method):
    """A positive common correlation is the covariance of a random intercept."""
    data = visits()
    ours = lmm("y ~ visit * arm", data, residual=CompoundSymmetry(within="person"))
    theirs = lmm("y ~ visit * arm + (1 | person)", data)
    assert ours.log_lik == pytest.approx(theirs.log_lik, rel=1e-9)
    one, other = (m.tidy(df_method=method) for m in (ours, theirs))
    np.testing.assert_allclose(one["std_error"], other["std_error"], rtol=SAME_FIT)
    np.testing.assert_allclose(one["df"], other["df"], rtol=SAME_DF)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger"])
def test_complete_visits_have_the_df_of_the_t_test(method):
    """Without missing visits a contrast of arms at a visit is a t test on n - 2 df."""
    data = visits(missing=0.0)
    model = lmm("y ~ 0 + C(visit) + C(visit):arm", data, residual=Unstructured("visit", "person"))
    table = model.tidy(df_method=method).set_index("term")
    np.testing.assert_allclose(table["df"], 28.0, rtol=SAME_DF)
    last = data[data["visit"] == 4]
    groups = [own["y"].to_numpy() for _, own in last.groupby("arm")]
    pooled = np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in groups) / 28 * (2 / 15))
    row = table.loc["C(visit)[4]:arm[T.b]"]
    assert row["std_error"] == pytest.approx(pooled, rel=SAME_FIT)
    assert row["estimate"] == pytest.approx(groups[1].mean() - groups[0].mean(), rel=1e-9)


def dense(model, data, structure):
    """Kenward and Roger's and Satterthwaite's df of each coefficient, from n x n matrices."""
    shape = model.problem.shape
    basis = shape.linear_entries()
    at = data["visit"].to_numpy() - 1
    same = data["person"].to_numpy()[:, None] == data["person"].to_numpy()[None]
    X, y = model.design.X, model.design.y
    V_i = [np.where(same, E[np.ix_(at, at)], 0.0) for E in basis]
    Sigma = model.sigma**2 * shape.covariance_of_visits(model.fit.eta)
    tau = np.linalg.lstsq(basis.reshape(len(basis), -1).T, Sigma.ravel(), rcond=None)[0]

    def pieces(values):
        V = sum(t * v for t, v in zip(values, V_i, strict=True))
        W = np.linalg.inv(V)
        return W, np.linalg.inv(X.T @ W @ X)

    def deviance(values):
        W, Phi = pieces(values)
        r = y - X @ Phi @ X.T @ W @ y
        return -np.linalg.slogdet(W)[1] - np.linalg.slogdet(Phi)[1] + r @ W @ r

    W, Phi = pieces(tau)
    k = len(tau)
    P = [-X.T @ W @ v @ W @ X for v in V_i]
    Q = [[X.T @ W @ a @ W @ b @ W @ X for b in V_i] for a in V_i]
    info = np.array(
        [
            [
                np.trace(W @ V_i[i] @ W @ V_i[j])
                - np.trace(2 * Phi @ Q[i][j] - Phi @ P[i] @ Phi @ P[j])
                for j in range(k)
            ]
            for i in range(k)
        ]
    )
    cov = 2 * np.linalg.inv(info)
    inner = sum(cov[i, j] * (Q[i][j] - P[i] @ Phi @ P[j]) for i in range(k) for j in range(k))
    adjusted = Phi + 2 * Phi @ inner @ Phi
    step, H = 1e-4, np.empty((k, k))
    e = np.eye(k) * step
    for i in range(k):
        for j in range(k):
            H[i, j] = (
                deviance(tau + e[i] + e[j]) - deviance(tau + e[i] - e[j])
                - deviance(tau - e[i] + e[j]) + deviance(tau - e[i] - e[j])
            ) / (4 * step**2)  # fmt: skip
    slopes = np.array([np.diag(-Phi @ p @ Phi) for p in P])
    observed = 2 * np.linalg.inv(H)
    satterthwaite = 2 * np.diag(Phi) ** 2 / np.einsum("ip,ij,jp->p", slopes, observed, slopes)
    return np.sqrt(np.diag(adjusted)), satterthwaite


@pytest.mark.parametrize(
    "structure", [Unstructured("visit", "person"), Toeplitz("visit", "person")], ids=str
)
def test_small_sample_inference_is_that_of_dense_algebra(structure):
    data = visits(n=24, T=3)
    model = lmm("y ~ visit * arm", data, residual=structure)
    std_error, df = dense(model, data, structure)
    np.testing.assert_allclose(model.tidy(df_method="satterthwaite")["df"], df, rtol=DENSE)
    kr = model.tidy(df_method="kenward-roger")
    np.testing.assert_allclose(kr["std_error"], std_error, rtol=DENSE)
    assert ((kr["df"] > 5) & (kr["df"] < 100)).all()


def test_kenward_roger_is_refused_where_the_covariance_is_not_linear():
    model = lmm("y ~ arm", visits(), residual=[Toeplitz("visit", "person"), VarianceBy("visit")])
    with pytest.raises(ValueError, match="linear in its parameters"):
        model.tidy(df_method="kenward-roger")


def test_persons_may_be_the_clusters_of_their_visits():
    data = visits()
    model = lmm("y ~ visit * arm", data, residual=Unstructured("visit", within="person"))
    twin = lmm("y ~ visit * arm", data, residual=CompoundSymmetry(within="person"))
    as_random = lmm("y ~ visit * arm + (1 | person)", data)
    one, other = (m.tidy(vcov=CR2("person")) for m in (twin, as_random))
    np.testing.assert_allclose(one["std_error"], other["std_error"], rtol=SAME_FIT)
    assert model.tidy(vcov=CR2("person"))["std_error"].notna().all()
    assert (
        wild_bootstrap(model, "person", n_resamples=99, seed=1)
        .tidy()["p_value"]
        .between(0, 1)
        .all()
    )
    assert len(model.random_effects()) == 0
    with pytest.raises(DataError, match="Did you mean 'person'"):
        model.tidy(vcov=CR2("persn"))
    with pytest.raises(DataError, match="no random effect"):
        leave_one_out(model, "person")


def test_draws_have_the_fitted_covariance():
    data = visits(n=40, T=3, missing=0.0)
    model = lmm("y ~ 1", data, residual=Unstructured("visit", "person"))
    draws = model.simulate(3, n=4000).to_numpy().reshape(40, 3, 4000)
    found = np.mean([np.cov(unit) for unit in draws], axis=0)
    wanted = model.sigma**2 * model.problem.shape.covariance_of_visits(model.fit.eta)
    np.testing.assert_allclose(found, wanted, rtol=0.03, atol=0.03)  # 160,000 draws an entry


def test_new_rows_take_the_sd_of_their_stratum_and_covariate():
    data = visits()
    model = lmm("y ~ arm", data, residual=[VarianceBy(("arm", "visit")), VariancePower("visit")])
    new = pd.DataFrame({"arm": ["a", "b"], "visit": [1, 3]})
    assert np.isfinite(model.predict(new, interval="prediction")["std_error"]).all()
    with pytest.raises(DataError, match="residual variance is unknown"):
        model.predict(pd.DataFrame({"arm": ["a"], "visit": [9]}), interval="prediction")
    apart = lmm("y ~ arm + (1 | person)", data, residual=VarianceExponential("visit"))
    with pytest.raises(DataError, match="say for which value"):
        variance_partition(apart)
    assert variance_partition(apart, at={"visit": 2}).tidy()["estimate"].notna().any()


def test_a_correlation_at_its_bound_is_named_and_changes_nothing():
    """Residuals that go up and down by turns: a correlation that cannot be negative is 0."""
    data = visits(T=6).assign(time=lambda d: d["visit"] + 0.1)
    data["y"] += data["visit"] % 2 * 2.0
    model = lmm("y ~ arm + (1 | person)", data, residual=CAR1("time", within="person"))
    without = lmm("y ~ arm + (1 | person)", data)
    assert model.log_lik == pytest.approx(without.log_lik, abs=1e-6)
    ours, theirs = (m.tidy()[["estimate", "std_error", "df"]] for m in (model, without))
    np.testing.assert_allclose(ours, theirs, rtol=SAME_FIT)
    assert any("CAR1(time) is at its lower bound, 0" in note for note in model.notes)
    either = lmm("y ~ arm + (1 | person)", data, residual=AR1("visit", within="person"))
    assert not any("bound" in note for note in either.notes)
    assert either.log_lik > model.log_lik


def test_what_cannot_be_is_refused():
    data = visits()
    formula = "y ~ arm"
    with pytest.raises(DataError, match="same time stands again"):
        lmm(formula, pd.concat([data, data.iloc[:1]], ignore_index=True),
            residual=Unstructured("visit", "person"))  # fmt: skip
    apart = data[~((data["visit"] == 1) & data["person"].isin(data["person"].unique()[:26]))]
    apart = apart[~((apart["visit"] == 4) & apart["person"].isin(apart["person"].unique()[26:]))]
    with pytest.raises(NotIdentifiedError, match="have both 'visit' '1' and '4'"):
        lmm(formula, apart, residual=Unstructured("visit", "person"))
    with pytest.raises(DataError, match="at most one of AR1"):
        lmm(formula, data, residual=[AR1("visit", "person"), CompoundSymmetry("person")])
    with pytest.raises(DataError, match="an SD for each 'visit' already"):
        lmm(formula, data, residual=[Unstructured("visit", "person"), VarianceBy("visit")])
    with pytest.raises(DataError, match="other than 0"):
        lmm(formula, data.assign(dose=0.0), residual=VariancePower("dose"))
    with pytest.raises(AllianceStatsError, match="Did you mean 'visit'"):
        lmm(formula, data, residual=Unstructured("visits", "person"))
    with pytest.raises(NotIdentifiedError, match="the same in all rows"):
        lmm(formula, data.assign(dose=2.0), residual=VarianceExponential("dose"))
