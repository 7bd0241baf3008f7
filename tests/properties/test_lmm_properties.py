"""What must hold for every linear mixed model."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alliance_stats.multilevel import lmm

# Two optimisations of one smooth deviance: their minima agree to the optimiser's tolerance.
ESTIMATE, SPREAD = 1e-6, 1e-4
seeds = st.integers(0, 10_000)
FORMULA = "y ~ x + role + (1 + x | therapist) + (1 | therapist:family)"


def study(seed):
    rng = np.random.default_rng(seed)
    therapist = np.repeat(np.arange(6), 20)
    family = np.tile(np.repeat(np.arange(4), 5), 6)
    frame = pd.DataFrame({"therapist": therapist, "family": family})
    frame["role"] = rng.choice(["mother", "father", "child"], 120)
    frame["x"] = rng.normal(size=120)
    frame["y"] = (
        0.5 * frame["x"]
        + rng.normal(size=6)[therapist] * (1 + 0.5 * frame["x"])
        + rng.normal(size=24)[therapist * 4 + family]
        + rng.normal(size=120)
    )
    return frame


def fit(frame, formula=FORMULA):
    return lmm(formula, frame)


def same(one, other, *, factor=1.0):
    np.testing.assert_allclose(
        one.tidy()["std_error"] * factor, other.tidy()["std_error"], rtol=SPREAD
    )
    np.testing.assert_allclose(
        one.beta * factor, other.beta, atol=ESTIMATE * factor * one.tidy()["std_error"].max() * 100
    )
    assert one.sigma * factor == pytest.approx(other.sigma, rel=SPREAD)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_row_order_does_not_matter(seed):
    frame = study(seed)
    shuffled = frame.sample(frac=1.0, random_state=seed)
    one, other = fit(frame), fit(shuffled)
    same(one, other)
    pd.testing.assert_series_equal(
        one.augment()["fitted"], other.augment()["fitted"].sort_index(), rtol=1e-4, atol=1e-5
    )


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_ids_are_only_names(seed):
    frame = study(seed)
    named = frame.assign(
        therapist="Thérapeute " + (5 - frame["therapist"]).astype(str),
        family=pd.Categorical((frame["family"] + 7).astype(str)),
    )
    same(fit(frame), fit(named))


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from([1e-3, 1.0, 250.0]), st.sampled_from([0.0, 1e3, 1e7]))
def test_outcome_on_another_scale(seed, a, b):
    frame = study(seed)
    one, other = fit(frame), fit(frame.assign(y=a * frame["y"] + b))
    np.testing.assert_allclose(
        one.tidy()["std_error"] * a, other.tidy()["std_error"], rtol=SPREAD * max(1.0, b * 1e-7 / a)
    )
    assert one.sigma * a == pytest.approx(other.sigma, rel=SPREAD * max(1.0, b * 1e-7 / a))
    slopes = one.beta.drop("(Intercept)") * a
    np.testing.assert_allclose(slopes, other.beta.drop("(Intercept)"), atol=1e-4 * a + 1e-8 * b)


@settings(max_examples=15, deadline=None)
@given(seeds, st.sampled_from([1e-4, 1e4]))
def test_a_covariate_in_other_units(seed, unit):
    frame = study(seed)
    one, other = fit(frame), fit(frame.assign(x=frame["x"] * unit))
    assert one.log_lik == pytest.approx(other.log_lik + np.log(unit), abs=1e-6)
    assert one.beta["x"] == pytest.approx(other.beta["x"] * unit, rel=1e-4, abs=1e-6)
    ours = one.tidy(effects="ran_pars").set_index(["group", "term"])["estimate"]
    theirs = other.tidy(effects="ran_pars").set_index(["group", "term"])["estimate"]
    assert ours[("therapist", "sd__x")] == pytest.approx(
        theirs[("therapist", "sd__x")] * unit, rel=1e-3, abs=1e-6
    )


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_calendar_years_and_their_square(seed):
    frame = study(seed)
    rng = np.random.default_rng(seed)
    frame["since"] = rng.integers(0, 10, len(frame)).astype(float)
    frame["year"] = 2015.0 + frame["since"]
    one = lmm("y ~ since + I(since**2) + (1 + since | therapist)", frame)
    other = lmm("y ~ year + I(year**2) + (1 + year | therapist)", frame)
    assert one.log_lik == pytest.approx(other.log_lik, abs=1e-5)
    last = one.tidy().iloc[-1], other.tidy().iloc[-1]
    assert last[0]["estimate"] == pytest.approx(last[1]["estimate"], rel=1e-5, abs=1e-8)
    assert last[0]["std_error"] == pytest.approx(last[1]["std_error"], rel=1e-5)
    np.testing.assert_allclose(one.augment()["fitted"], other.augment()["fitted"], atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_two_spellings_of_one_model(seed):
    frame = study(seed)
    frame["unique"] = frame["therapist"].astype(str) + "/" + frame["family"].astype(str)
    spellings = [
        "y ~ x + (1 | therapist/family)",
        "y ~ x + (1 | therapist) + (1 | therapist:family)",
        "y ~ 1 + x + (1 | unique) + (1 | therapist)",
    ]
    first, *others = [lmm(formula, frame) for formula in spellings]
    for other in others:
        assert other.log_lik == pytest.approx(first.log_lik, abs=1e-7)
        same(first, other)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_without_variance_between_units_it_is_least_squares(seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"g": np.repeat(np.arange(8), 5), "x": rng.normal(size=40)})
    e = rng.normal(size=40)
    frame["y"] = frame["x"] + e - frame.assign(e=e).groupby("g")["e"].transform("mean")
    model = lmm("y ~ x + (1 | g)", frame)
    if not model.singular:
        return  # the regression on x may leave something between units
    X = np.column_stack([np.ones(40), frame["x"]])
    beta, rss, *_ = np.linalg.lstsq(X, frame["y"], rcond=None)
    np.testing.assert_allclose(model.beta, beta, atol=1e-9)
    assert model.sigma == pytest.approx(np.sqrt(rss[0] / 38), rel=1e-9)
    np.testing.assert_allclose(model.tidy()["df"], 38, rtol=1e-6)
