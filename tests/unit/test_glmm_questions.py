"""What is asked of a generalized model: ratios, AIC, checks, bootstrap, who carries it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import (
    compare_models,
    leave_one_out,
    likelihood_ratio_test,
    lmm,
    ordinal,
    parametric_bootstrap,
    residual_checks,
)
from alliance_stats.errors import DataError
from alliance_stats.multilevel import glmm

# Searches from other starts end within this of one another.
SEARCH = 1e-6


def simulated(seed=2):
    rng = np.random.default_rng(seed)
    n, g, f = 600, np.repeat(np.arange(12), 50), np.repeat(np.arange(60), 10)
    u, x = 0.5 * rng.normal(size=12), rng.normal(size=n)
    mu = np.exp(0.7 + 0.3 * x + u[g])
    calm = rng.poisson(mu)
    return pd.DataFrame(
        {
            "g": [f"T {i}" for i in g],
            "f": f,
            "x": x,
            "wild": rng.negative_binomial(1.5, 1.5 / (1.5 + mu)),
            "calm": calm,
            "zeros": np.where(rng.random(n) < 0.3, 0, calm),
            "rating": np.digitize(0.5 * x + u[g] + rng.logistic(size=n), [-1.0, 0.0, 1.3]),
        }
    )


DATA = simulated()


@pytest.fixture(scope="module")
def negative():
    return glmm("wild ~ x + (1 | g/f)", DATA, family="negative binomial")


@pytest.fixture(scope="module")
def poisson():
    return glmm("wild ~ x + (1 | g/f)", DATA, family="poisson")


def test_poisson_against_negative_binomial_is_a_test_at_a_boundary(negative, poisson):
    test = likelihood_ratio_test(negative, poisson)
    wanted = 2.0 * (negative.log_lik - poisson.log_lik)
    assert test.statistic == pytest.approx(wanted)
    assert test.df == 1
    assert test.p_value == pytest.approx(stats.chi2.sf(wanted, 1) / 2.0)
    assert "mixture of chi-squared with 0 and 1" in test.reference


def test_models_at_the_limit_are_tied():
    plain, limit = (
        glmm("calm ~ x + (1 | g)", DATA.assign(calm=DATA["calm"].clip(upper=2)), family=family)
        for family in ("poisson", "negative binomial")
    )
    assert likelihood_ratio_test(limit, plain).p_value == 1.0


def test_fixed_effects_variances_and_dispersions_are_tested(negative):
    fewer = glmm("wild ~ 1 + (1 | g/f)", DATA, family="negative binomial")
    test = likelihood_ratio_test(negative, fewer)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 1))
    outer = glmm("wild ~ x + (1 | g)", DATA, family="negative binomial")
    assert "0 and 1 df" in likelihood_ratio_test(negative, outer).reference
    by_x = glmm("wild ~ x + (1 | g/f)", DATA, family="negative binomial", dispersion="~ x")
    test = likelihood_ratio_test(by_x, negative)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 1))


def test_models_side_by_side(negative, poisson):
    linear = glmm("wild ~ x + (1 | g/f)", DATA, family="linear negative binomial")
    table = compare_models(poisson, negative, linear)
    assert table["formula"].iloc[0].endswith("negative binomial")
    assert table["aic"].tolist() == pytest.approx(
        sorted(float(m.glance().loc[0, "aic"]) for m in (poisson, negative, linear))
    )
    yes = glmm("some ~ x + (1 | g)", DATA.assign(some=1 * (DATA["wild"] > 0)))
    with pytest.raises(DataError, match="different kinds"):
        compare_models(yes, poisson)
    with pytest.raises(DataError, match="same rows"):
        compare_models(poisson, glmm("wild ~ x + (1 | g/f)", DATA[1:], family="poisson"))


def test_checks_find_what_was_put_in_and_nothing_else(negative, poisson):
    found = residual_checks(poisson, n_resamples=100, seed=1)
    table = found.tidy().set_index("term")
    assert table.loc["scatter within units", "p_value"] < 0.03
    assert table.loc["scatter within units", "ratio"] > 1.5
    assert found.notes[0].startswith("Overdispersion")
    assert "negative binomial" in found.notes[0]
    right = residual_checks(negative, n_resamples=100, seed=1)
    assert (right.tidy()["p_value"] > 0.2).all()
    assert right.notes == ()
    zeros = residual_checks(
        glmm("zeros ~ x + (1 | g/f)", DATA, family="negative binomial"), n_resamples=100, seed=1
    )
    row = zeros.tidy().set_index("term").loc["zeros"]
    assert row["observed"] == (DATA["zeros"] == 0).sum()
    assert row["p_value"] < 0.05
    assert any(note.startswith("Excess zeros") for note in zeros.notes)


def test_the_family_that_is_advised_is_one_that_the_outcome_may_have():
    seen = DATA[DATA["wild"] > 0]
    found = residual_checks(
        glmm("wild ~ x + (1 | g)", seen, family="truncated poisson"), n_resamples=40, seed=1
    )
    assert found.notes[0].endswith('Try family="truncated negative binomial".')


def test_checks_take_every_mixed_model_and_their_seed():
    fits = [
        ordinal("rating ~ x + (1 | g)", DATA),
        lmm("x ~ 1 + (1 | g)", DATA),
        glmm("some ~ x + (1 | g)", DATA.assign(some=1 * (DATA["wild"] > 0))),
    ]
    for model in fits:
        one, two, other = (residual_checks(model, n_resamples=40, seed=seed) for seed in (1, 1, 2))
        assert one.tidy().equals(two.tidy())
        assert not one.residuals["residual"].equals(other.residuals["residual"])
        assert one.residuals["residual"].between(0.0, 1.0).all()
        assert one.tidy().iloc[-1]["p_value"] > 0.05
    with pytest.raises(ValueError, match="at least 20"):
        residual_checks(fits[0], n_resamples=3, seed=1)
    with pytest.raises(DataError, match="residual_checks takes a model fitted by lmm, glmm"):
        residual_checks(DATA, seed=1)


def test_p_values_of_checks_are_not_too_small_where_the_model_is_right():
    # of 15 data sets 4 or more are below .05 with probability .005
    below = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(8), 12)
        y = rng.poisson(np.exp(0.4 + 0.6 * rng.normal(size=8)[g]))
        model = glmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": y}), family="poisson")
        table = residual_checks(model, n_resamples=60, seed=seed).tidy().set_index("term")
        below += table.loc["scatter within units", "p_value"] < 0.05
    assert below <= 3


def test_bootstrap_draws_every_parameter(negative):
    model = glmm("wild ~ x + (1 | g)", DATA, family="negative binomial")
    table = parametric_bootstrap(model, n_resamples=10, seed=3).tidy().set_index("term")
    assert set(table.index) == {
        "(Intercept)", "x", "g|sd__(Intercept)", "dispersion|(Intercept)",
    }  # fmt: skip
    se = model.tidy().set_index("term").loc["x", "std_error"]
    # the SD of 10 draws is within 60% of the truth with probability .99
    assert table.loc["x", "std_error"] == pytest.approx(se, rel=0.6)
    steps = ordinal("rating ~ x + (1 | g)", DATA)
    drawn = parametric_bootstrap(steps, n_resamples=2, seed=3).tidy()
    assert drawn["term"].tolist() == ["x", "0|1", "1|2", "2|3", "g|sd__(Intercept)"]
    own = parametric_bootstrap(
        steps, lambda m: {"log_lik": m.log_lik}, n_resamples=2, seed=3
    ).tidy()
    assert own.loc[0, "estimate"] == steps.log_lik


def test_an_aliased_coefficient_is_no_failure_of_the_bootstrap(monkeypatch):
    monkeypatch.setattr("alliance_stats.multilevel.refitted_intervals.DRAWS", 10)
    data = DATA.assign(twice=2.0 * DATA["x"])
    for model in (lmm("zeros ~ x + twice + (1 | g)", data),
                  glmm("calm ~ x + twice + (1 | g)", data, family="poisson")):  # fmt: skip
        table = model.tidy(ci_method="bootstrap", seed=1)  # a warning would be an error
        assert (table["conf_low"].isna() == table["estimate"].isna()).all()
        assert table["estimate"].isna().any()


@pytest.mark.parametrize("kind", ["glmm", "ordinal"])
def test_leaving_one_out_is_fitting_without_it(kind):
    if kind == "glmm":
        options = {"family": "negative binomial", "dispersion": "~ x"}
        model = glmm("wild ~ x + (1 | g)", DATA, **options)
        direct = glmm("wild ~ x + (1 | g)", DATA[DATA["g"] != "T 3"], **options)
    else:
        model = ordinal("rating ~ x + (1 | g)", DATA)
        direct = ordinal("rating ~ x + (1 | g)", DATA[DATA["g"] != "T 3"])
    without = leave_one_out(model, "g")
    table = without.tidy()
    row = table[(table["level"] == "T 3") & (table["term"] == "x")].iloc[0]
    wanted = direct.tidy().set_index("term").loc["x"]
    assert row["estimate"] == pytest.approx(wanted["estimate"], abs=SEARCH)
    assert row["std_error"] == pytest.approx(wanted["std_error"], rel=1e-4)
    assert "(Intercept)" in table["term"].tolist() or kind == "ordinal"
    sds = without.tidy(effects="ran_pars")
    sd = sds[sds["level"] == "T 3"]["estimate"].iloc[0]
    assert sd == pytest.approx(direct.tidy(effects="ran_pars").loc[0, "estimate"], abs=1e-5)


def nested_counts():
    rng = np.random.default_rng(2)
    t, f = np.repeat(np.arange(5), 24), np.repeat(np.arange(20), 6)
    x = rng.normal(size=120)
    eta = 0.3 + 0.3 * x + (0.5 * rng.normal(size=5))[t] + (0.4 * rng.normal(size=20))[f]
    return pd.DataFrame({"t": t, "f": f, "x": x, "y": rng.poisson(np.exp(eta))})


def test_intervals_of_units_are_those_of_the_joint_information():
    data = nested_counts()
    model = glmm("y ~ x + (1 | t/f)", data, family="poisson")
    found = model.predict(data, level="conditional", interval="confidence", conf_level=0.9)
    sd = model.tidy(effects="ran_pars").set_index("group")["estimate"]
    # minus the second derivatives of the joint log-density in coefficients and effects, by hand
    A = np.c_[np.ones(120), data["x"], np.eye(5)[data["t"]], np.eye(20)[data["f"]]]
    eta = model.augment()["linear_predictor"].to_numpy()
    H = A.T @ (np.exp(eta)[:, None] * A)
    H[2:, 2:] += np.diag(np.r_[np.full(5, sd["t"] ** -2), np.full(20, sd["t:f"] ** -2)])
    error = np.sqrt(np.einsum("ip,pq,iq->i", A, np.linalg.inv(H), A))
    z = stats.norm.ppf(0.95)
    assert found["estimate"].to_numpy() == pytest.approx(np.exp(eta), rel=1e-8)
    assert found["conf_low"].to_numpy() == pytest.approx(np.exp(eta - z * error), rel=1e-7)
    assert found["conf_high"].to_numpy() == pytest.approx(np.exp(eta + z * error), rel=1e-7)


def test_new_units_are_averaged_over_and_known_ones_stay():
    data = nested_counts()
    model = glmm("y ~ x + (1 | t/f)", data, family="poisson")
    new = data.iloc[[0, 30]].assign(f=[0, 99])
    with pytest.raises(DataError, match="not seen"):
        model.predict(new, level="conditional")
    found = model.predict(new, level="conditional", interval="confidence", new_units="average")
    known = model.predict(data.iloc[[0]], level="conditional", interval="confidence")
    assert found.iloc[0].to_numpy() == pytest.approx(known.iloc[0].to_numpy())
    table = model.tidy(effects="ran_vals")
    own = table[(table["group"] == "t") & (table["level"].astype(str) == "1")]["estimate"].iloc[0]
    sd = model.tidy(effects="ran_pars").set_index("group").loc["t:f", "estimate"]
    fixed = model.beta["(Intercept)"] + model.beta["x"] * data["x"].iloc[30]
    assert found["estimate"].iloc[1] == pytest.approx(np.exp(fixed + own + sd**2 / 2.0))
    width = np.log(found["conf_high"] / found["conf_low"])
    assert width.iloc[1] > 2 * 1.96 * sd
