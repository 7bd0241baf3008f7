"""Means of a transformed outcome in its own units, new units, slopes of within effects."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import estimated_means, example_study, lmm, within_between
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError

# 400,000 draws of a lognormal with SD below 1: the mean is good to half a percent.
SIMULATED = 0.01


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    person = np.repeat(np.arange(60), 6)
    arm = np.where(person % 2 == 0, "a", "b")
    eta = 1.0 + 0.4 * (arm == "b") + 0.5 * rng.normal(size=60)[person] + 0.4 * rng.normal(size=360)
    return pd.DataFrame(
        {
            "wait": np.exp(eta),
            "arm": arm,
            "person": person,
            "therapist": person // 6,
            "session": np.tile(np.arange(6.0), 60),
        }
    )


@pytest.mark.parametrize("transform", ["log", "log2", "log10", "log1p", "sqrt", "np.log"])
def test_means_and_medians_are_those_of_new_units(data, transform):
    model = lmm(f"{transform}(wait) ~ arm + (1 | person)", data)
    means = estimated_means(model, "arm")
    rng = np.random.default_rng(3)
    eta = means.tidy()["estimate"].to_numpy()
    sd = np.sqrt(model.sigma**2 + model.covariances()["person"].iloc[0, 0])
    drawn = eta + sd * rng.standard_normal((400_000, 1))
    back = {
        "log": np.exp, "log2": np.exp2, "log10": lambda x: 10**x, "log1p": np.expm1,
        "sqrt": np.square, "np.log": np.exp,
    }[transform](drawn)  # fmt: skip
    median, mean = (means.tidy(scale=scale) for scale in ("median", "mean"))
    np.testing.assert_allclose(mean["estimate"], back.mean(axis=0), rtol=SIMULATED)
    if transform != "sqrt":  # a root below zero has no median of its own here
        np.testing.assert_allclose(median["estimate"], np.median(back, axis=0), rtol=SIMULATED)
    for table in (median, mean):
        assert (table["conf_low"] < table["estimate"]).all()
        assert (table["estimate"] < table["conf_high"]).all()


def test_the_standard_error_is_the_delta_methods(data):
    model = lmm("log(wait) ~ arm + (1 | person)", data)
    link, mean = (estimated_means(model, "arm").tidy(scale=s) for s in ("link", "mean"))
    np.testing.assert_allclose(mean["std_error"], mean["estimate"] * link["std_error"], rtol=1e-12)


def test_what_has_no_way_back_is_refused(data):
    plain = estimated_means(lmm("wait ~ arm + (1 | person)", data), "arm")
    with pytest.raises(FormulaError, match="not a transform that can be undone"):
        plain.tidy(scale="mean")
    both = estimated_means(lmm("log(wait + session) ~ arm + (1 | person)", data), "arm")
    with pytest.raises(FormulaError, match="not a transform that can be undone"):
        both.tidy(scale="median")
    weighted = lmm(
        "log(wait) ~ arm + (1 | person)", data.assign(w=data["session"] + 1), weights="w"
    )
    with pytest.raises(NotIdentifiedError, match="no one bias term"):
        estimated_means(weighted, "arm").tidy(scale="mean")


def test_a_new_unit_has_the_effects_of_its_known_levels(data):
    model = lmm("wait ~ arm + (1 | therapist/person)", data)
    new = pd.DataFrame(
        {"arm": ["a", "a", "b"], "therapist": [0, 0, 99], "person": [0, 500, 501]},
        index=list("xyz"),
    )
    with pytest.raises(DataError, match="has not seen"):
        model.predict(new, level="conditional")
    found = model.predict(new, level="conditional", new_units="average", interval="confidence")
    known = model.predict(new.iloc[:1], level="conditional", interval="confidence")
    pd.testing.assert_frame_equal(found.iloc[:1], known)
    effects = model.random_effects().set_index(["group", "level"])["estimate"]
    fixed = model.predict(new)["estimate"]
    assert found.loc["y", "estimate"] == pytest.approx(
        fixed["y"] + effects["therapist", 0], rel=1e-9
    )
    assert found.loc["z", "estimate"] == pytest.approx(fixed["z"], rel=1e-12)
    # a person never seen is at least as uncertain as persons are different
    person = model.covariances()["therapist:person"].iloc[0, 0]
    assert found.loc["y", "std_error"] ** 2 > person
    dense = dense_variance(model, new)
    np.testing.assert_allclose(found["std_error"] ** 2, dense, rtol=1e-6)


def dense_variance(model, new):
    """Prediction error of x'beta + z'b from the joint covariance of outcomes and effects."""
    D = {name: c.iloc[0, 0] for name, c in model.covariances().items()}
    frame, X = model.design.frame, model.design.X
    C = np.zeros((len(new), len(frame)))
    own = np.zeros((len(new), len(new)))
    V = model.sigma**2 * np.eye(len(frame))
    for name, columns in (
        ("therapist", ["therapist"]),
        ("therapist:person", ["therapist", "person"]),
    ):
        a = frame[columns].astype(str).agg(":".join, axis=1).to_numpy()
        b = new[columns].astype(str).agg(":".join, axis=1).to_numpy()
        V = V + D[name] * (a[:, None] == a)
        C = C + D[name] * (b[:, None] == a)
        own = own + D[name] * (b[:, None] == b)
    W = np.linalg.inv(V)
    M = np.linalg.inv(X.T @ W @ X)
    x = np.column_stack([np.ones(len(new)), new["arm"] == "b"])
    gap = x - C @ W @ X
    return np.diag(own - C @ W @ C.T + gap @ M @ gap.T)


def test_a_within_effect_may_vary_over_units():
    sessions = example_study().sessions
    asked = {"outcome": "symptoms", "predictor": "alliance", "levels": ["person", "family"]}
    fixed = within_between(sessions, **asked)
    varying = within_between(sessions, **asked, slopes=["person"])
    names = varying.model.design.groupings[-1].names
    assert any(len(g.names) == 2 for g in varying.model.design.groupings), names
    one, other = (m.tidy().set_index("term") for m in (fixed, varying))
    assert other.loc["within person", "std_error"] >= one.loc["within person", "std_error"] * 0.99
    assert "varying over family:person" in varying.summary()
    with pytest.raises(DataError, match="Did you mean 'person'"):
        within_between(sessions, **asked, slopes=["persons"])
    with pytest.raises(DataError, match="a list of levels"):
        within_between(sessions, **asked, slopes="person")
