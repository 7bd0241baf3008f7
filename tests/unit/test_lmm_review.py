"""Cases that once gave a wrong number without a word."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import (
    AR1,
    CAR1,
    compare_models,
    likelihood_ratio_test,
    lmm,
    profile,
    variance_partition,
)

SAME = 1e-6  # two optimisations of one deviance


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(30), 6)
    frame = pd.DataFrame({"t": person // 6, "p": person, "s": np.tile(np.arange(6.0), 30)})
    frame["x"] = rng.normal(size=180)
    frame["role"] = rng.choice(["mother", "father", "child"], 180)
    e = rng.normal(size=180)
    for row in range(1, 180):
        if person[row] == person[row - 1]:
            e[row] = 0.7 * e[row - 1] + np.sqrt(1 - 0.49) * e[row]
    frame["y"] = 0.3 * frame["x"] + 0.4 * rng.normal(size=5)[frame["t"]] + e
    return frame


@pytest.mark.parametrize("structure", [AR1, CAR1])
@pytest.mark.parametrize("days", [7, 14])
def test_the_unit_of_time_does_not_matter(data, structure, days):
    weeks = lmm("y ~ x + (1 | t)", data, residual=structure("s", within="p"))
    other = lmm("y ~ x + (1 | t)", data.assign(d=days * data["s"]), residual=structure("d", "p"))
    assert other.log_lik == pytest.approx(weeks.log_lik, abs=SAME)
    phi = [m.tidy(effects="ran_pars")["estimate"].iloc[-1] for m in (weeks, other)]
    assert phi[1] == pytest.approx(phi[0] ** (1 / days), rel=1e-4)
    np.testing.assert_allclose(other.tidy()["std_error"], weeks.tidy()["std_error"], rtol=1e-4)


def test_restricted_likelihoods_do_not_depend_on_the_coding(data):
    small = lmm("y ~ x + (1 | p)", data)
    large = lmm("y ~ k + (1 + s | p)", data.assign(k=1000 * data["x"]))
    same = lmm("y ~ x + (1 + s | p)", data)
    ours, plain = likelihood_ratio_test(small, large), likelihood_ratio_test(small, same)
    assert not ours.refitted
    assert ours.statistic == pytest.approx(plain.statistic, abs=1e-5)
    table = compare_models(
        lmm("y ~ s + I(s**2) + (1 | p)", data), lmm("y ~ poly(s, 2) + (1 | p)", data)
    )
    np.testing.assert_allclose(table["delta_aic"], 0.0, atol=1e-5)


def test_models_that_are_not_nested_are_refused(data):
    pairs = [
        ("y ~ x + (1 | p)", "y ~ s + role + (1 | p)", "fixed effects"),
        ("y ~ x + (1 | t)", "y ~ x + s + (1 | p)", "random effects of 't'"),
    ]
    for small, large, what in pairs:
        with pytest.raises(DataError, match=what):
            likelihood_ratio_test(lmm(small, data), lmm(large, data))
    weighted = lmm("y ~ x + s + (1 | p)", data.assign(w=1 + data["s"]), weights="w")
    with pytest.raises(DataError, match="weights"):
        likelihood_ratio_test(lmm("y ~ x + (1 | p)", data), weighted)


def test_a_profile_leaves_the_boundary():
    rng = np.random.default_rng(17)
    frame = pd.DataFrame({"g": np.repeat(np.arange(6), 4)})
    frame["z"] = rng.normal(size=6)[frame["g"]]
    frame["y"] = frame["z"] * 0.3 + rng.normal(size=24)
    model = lmm("y ~ z + (1 | g)", frame, reml=False)
    rise = profile(model, terms=["z"]).rise("z", [2.0])[0]
    held = lmm("w ~ 1 + (1 | g)", frame.assign(w=frame["y"] - 2.0 * frame["z"]), reml=False)
    assert rise == pytest.approx(held.fit.deviance - model.fit.deviance, abs=1e-5)


def test_known_variances_are_not_a_residual_variance(data):
    model = lmm("y ~ 1 + (1 | p)", data.assign(v=0.5), known_variance="v")
    with pytest.raises(DataError, match="known_variance"):
        variance_partition(model)
    found = model.predict(data.head(1), interval="prediction").iloc[0]
    tau2 = model.covariances()["p"].iloc[0, 0]
    assert found["std_error"] ** 2 == pytest.approx(tau2 + model.vcov().iloc[0, 0], rel=1e-9)


def test_back_ticks_hold_marks_together(data):
    odd = data.rename(columns={"t": "a:b", "p": "th/er"})
    for formula, plain in [
        ("y ~ x + (1 | `a:b`)", "y ~ x + (1 | t)"),
        ("y ~ x + (1 | `a:b`/`th/er`)", "y ~ x + (1 | t/p)"),
    ]:
        assert lmm(formula, odd).log_lik == pytest.approx(lmm(plain, data).log_lik, abs=SAME)


def test_what_the_data_do_not_determine_is_not_predicted(data):
    doubled = data.assign(x2=2 * data["x"])
    model = lmm("y ~ x + x2 + (1 | p)", doubled)
    assert len(model.predict(doubled.head(2))) == 2
    with pytest.raises(DataError, match="do not determine x2"):
        model.predict(pd.DataFrame({"x": [0.0], "x2": [5.0]}))


def test_one_column_in_two_terms_of_a_factor(data):
    with pytest.raises(FormulaError, match="varies over 'p' in two terms"):
        lmm("y ~ x + (1 | p) + (1 + s | p)", data)


def test_integers_in_object_columns_are_numbers(data):
    one = lmm("y ~ s + (1 | p)", data)
    other = lmm("y ~ s + (1 | p)", data.assign(s=data["s"].astype(int).astype(object)))
    assert list(other.beta.index) == ["(Intercept)", "s"]
    assert other.beta["s"] == pytest.approx(one.beta["s"], abs=SAME)


def test_refit_looks_at_the_outcome(data):
    model = lmm("y ~ x + (1 | p)", data)
    with pytest.raises(DataError, match="index is not that of the rows used"):
        model.refit(data["y"].sample(frac=1.0, random_state=1))
    with pytest.raises(NotIdentifiedError, match="same in all rows"):
        model.refit(np.ones(len(data)))
