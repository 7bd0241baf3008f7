"""No number of a linear mixed model depends on the unit of the outcome, weights or time of day."""

import threading

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from numpy.testing import assert_allclose

from alliance_stats import (
    AR1,
    CAR1,
    VarianceBy,
    likelihood_ratio_test,
    lmm,
    parametric_bootstrap,
    profile,
)

# The search ends where the deviance is flat to 1e-13 of itself, hence estimates to about 1e-7 of
# their standard errors; ends of profiles are looked for to 1e-6 of the parameter's own scale.
FIT = 1e-5
PROFILE = 1e-4
SCALES = (1e-150, 1e-8, 1e-3, 1e8)
RESIDUALS = {
    "alike": None,
    "by role": VarianceBy("role"),
    "AR1": AR1("session", within="person"),
    "CAR1": CAR1("session", within="person"),
}


def ratings() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(15), 12)
    x = rng.normal(size=180)
    error = rng.normal(size=(15, 12))
    for session in range(1, 12):  # correlated .5 with the session before
        error[:, session] = 0.5 * error[:, session - 1] + 0.87 * error[:, session]
    return pd.DataFrame(
        {
            "person": person,
            "x": x,
            "session": np.tile(np.arange(12.0), 15),
            "role": np.tile(["child", "mother"], 90),
            "y": 3.0
            + 0.5 * x
            + 0.7 * rng.normal(size=15)[person]
            + 0.4 * rng.normal(size=15)[person] * x
            + error.ravel(),
            "w": rng.uniform(0.5, 2.0, 180),
        }
    )


def numbers(model, unit: float, df_method: str = "satterthwaite") -> np.ndarray:
    table = model.tidy(df_method=df_method)
    return np.r_[table.estimate / unit, table.std_error / unit, table.df, model.sigma / unit]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", RESIDUALS)
def test_the_unit_of_the_outcome(scale, kind):
    data = ratings()
    formula = "y ~ x + (1 + x | person)" if kind == "alike" else "y ~ x + (1 | person)"
    one = lmm(formula, data, residual=RESIDUALS[kind])
    other = lmm(formula, data.assign(y=scale * data["y"]), residual=RESIDUALS[kind])
    assert_allclose(numbers(other, scale), numbers(one, 1.0), rtol=FIT)
    shift = 2.0 * (one.nobs - 2) * np.log(scale)
    assert_allclose(other.fit.deviance - shift, one.fit.deviance, atol=1e-6 + 1e-12 * abs(shift))
    if kind == "alike":
        methods = [numbers(m, s, "kenward-roger") for m, s in ((other, scale), (one, 1.0))]
        assert_allclose(*methods, rtol=FIT)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("likelihood", ["ML", "REML"])
def test_the_unit_of_a_profile_and_of_a_bootstrap(scale, likelihood):
    data = ratings()
    one, other = (
        lmm("y ~ x + (1 + x | person)", data.assign(y=unit * data["y"])) for unit in (1.0, scale)
    )
    plain = profile(one, likelihood=likelihood).tidy().set_index("term")
    scaled = profile(other, likelihood=likelihood).tidy().set_index("term")
    unit = np.where(plain.index.str.contains("cor__"), 1.0, scale)
    for end in ("conf_low", "conf_high"):
        assert_allclose(scaled[end] / unit, plain[end], rtol=PROFILE, atol=PROFILE)
    drawn = [parametric_bootstrap(m, n_resamples=4, seed=1).draws for m in (one, other)]
    unit = np.where(drawn[0].columns.str.contains("cor__"), 1.0, scale)
    assert_allclose(drawn[1] / unit, drawn[0], rtol=PROFILE, atol=PROFILE)


@pytest.mark.parametrize("scale", [1e-12, 1e-10, 1e10])
def test_the_unit_of_weights(scale):
    data = ratings()
    one = lmm("y ~ x + (1 + x | person)", data, weights="w")
    other = lmm("y ~ x + (1 + x | person)", data.assign(w=scale * data["w"]), weights="w")
    table, scaled = one.tidy(), other.tidy()
    assert_allclose(
        scaled[["estimate", "std_error", "df"]], table[["estimate", "std_error", "df"]], rtol=FIT
    )
    assert_allclose(other.sigma, one.sigma * np.sqrt(scale), rtol=FIT)
    assert_allclose(other.fit.deviance, one.fit.deviance, rtol=1e-10)
    for group, covariance in one.covariances().items():
        assert_allclose(other.covariances()[group], covariance, rtol=1e-4)


@pytest.mark.parametrize("scale", [3e-4, 3e4, 1e9])
def test_the_unit_of_known_variances(scale):
    # the sampling variances of ten studies and their effects, in other units
    rng = np.random.default_rng(3)
    v = rng.uniform(0.02, 0.4, 10)
    data = pd.DataFrame({"study": list("abcdefghij"), "v": v})
    data["d"] = 0.4 + rng.normal(size=10) * 0.8 + rng.normal(size=10) * np.sqrt(v)
    one = lmm("d ~ 1 + (1 | study)", data, known_variance="v")
    moved = data.assign(d=scale * data["d"], v=scale**2 * data["v"])
    other = lmm("d ~ 1 + (1 | study)", moved, known_variance="v")
    tau = [m.tidy(effects="ran_pars").estimate[0] for m in (one, other)]
    assert tau[0] > 0.3
    assert_allclose(tau[1] / scale, tau[0], rtol=FIT)
    assert_allclose(other.tidy().std_error / scale, one.tidy().std_error, rtol=FIT)


def test_the_unit_of_a_likelihood_ratio():
    data = ratings()
    found = []
    for unit in (1.0, 1e-8, 1e8):
        moved = data.assign(y=unit * data["y"])
        small, large = (lmm(f"y ~ x + ({term} | person)", moved) for term in ("1", "1 + x"))
        found.append(likelihood_ratio_test(small, large).statistic)
    assert_allclose(found[1:], found[0], atol=1e-6)


def test_blas_threads_come_back_after_fits_in_threads():
    data = ratings()
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        before = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        fits = [
            threading.Thread(target=lambda: lmm("y ~ x + (1 | person)", data)) for _ in range(8)
        ]
        for one in fits:
            one.start()
        for one in fits:
            one.join()
        assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == before


def test_the_callers_error_state_stands():
    data = ratings()
    with np.errstate(divide="raise", over="ignore", under="raise", invalid="raise"):
        before = np.geterr()
        lmm("y ~ x + (1 + x | person)", data).summary()
        assert np.geterr() == before
