"""What must hold of means, contrasts, regions and R2 whatever the data are."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alliance_stats.engine.multiple_tests import JointT, holm
from alliance_stats.multilevel import (
    comparisons,
    contrasts,
    estimated_means,
    glmm,
    johnson_neyman,
    lmm,
    r_squared,
    simple_slopes,
)

# Refits of the same likelihood end within the optimiser's tolerance of one another.
REFIT = 1e-5
FORMULA = "y ~ role * x + (1 | therapist)"

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 10_000)


def _study(seed, n=90):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "therapist": rng.integers(0, 9, n),
            "role": rng.choice(["mother", "father", "child"], n),
            "x": rng.normal(size=n),
        }
    )
    effect = frame["role"].map({"mother": 0.0, "father": 0.4, "child": 0.9})
    frame["y"] = effect + 0.5 * frame["x"] + rng.normal(size=9)[frame["therapist"]]
    frame["y"] += rng.normal(size=n)
    return frame


@few
@given(seeds)
def test_row_order_and_names_do_not_matter(seed):
    frame = _study(seed)
    shuffled = frame.sample(frac=1.0, random_state=seed).assign(
        therapist=lambda d: "T" + d["therapist"].astype(str)
    )
    one = contrasts(estimated_means(lmm(FORMULA, frame), "role"), adjust="holm").tidy()
    two = contrasts(estimated_means(lmm(FORMULA, shuffled), "role"), adjust="holm").tidy()
    np.testing.assert_allclose(one["estimate"], two["estimate"], rtol=REFIT, atol=REFIT)
    np.testing.assert_allclose(one["p_value"], two["p_value"], rtol=1e-3, atol=1e-9)


@few
@given(seeds, st.floats(-50, 50), st.floats(0.1, 20))
def test_units_of_a_covariate_do_not_matter(seed, shift, scale):
    frame = _study(seed)
    moved = frame.assign(x=shift + scale * frame["x"])
    one, two = lmm(FORMULA, frame), lmm(FORMULA, moved)
    a, b = estimated_means(one, "role").tidy(), estimated_means(two, "role").tidy()
    np.testing.assert_allclose(a["estimate"], b["estimate"], rtol=REFIT, atol=1e-4)
    np.testing.assert_allclose(a["std_error"], b["std_error"], rtol=1e-4)
    slope_one = simple_slopes(one, "x", by="role").tidy()
    slope_two = simple_slopes(two, "x", by="role").tidy()
    np.testing.assert_allclose(
        slope_one["estimate"], scale * slope_two["estimate"], rtol=1e-4, atol=1e-4
    )
    left = johnson_neyman(one, "role", moderator="x", values=("child", "mother")).boundaries()
    right = johnson_neyman(two, "role", moderator="x", values=("child", "mother")).boundaries()
    inside, same = left.query("within_data"), right.query("within_data")
    np.testing.assert_allclose(
        shift + scale * inside["value"], same["value"], rtol=1e-3, atol=1e-3 * scale
    )


@few
@given(seeds, st.floats(0.1, 30), st.floats(-100, 100))
def test_units_of_the_outcome_scale_what_they_should(seed, scale, shift):
    frame = _study(seed)
    other = frame.assign(y=shift + scale * frame["y"])
    one, two = lmm(FORMULA, frame), lmm(FORMULA, other)
    a, b = contrasts(estimated_means(one, "role")), contrasts(estimated_means(two, "role"))
    np.testing.assert_allclose(
        scale * a.tidy()["estimate"], b.tidy()["estimate"], rtol=1e-4, atol=1e-4 * scale
    )
    np.testing.assert_allclose(a.tidy()["p_value"], b.tidy()["p_value"], rtol=1e-3, atol=1e-9)
    for name in ("marginal", "conditional"):
        assert getattr(r_squared(one), name) == pytest.approx(
            getattr(r_squared(two), name), rel=1e-4, abs=1e-6
        )


@few
@given(seeds)
def test_contrasts_add_up_and_adjusted_p_values_lie_between_their_bounds(seed):
    means = estimated_means(lmm(FORMULA, _study(seed)), "role")
    table = contrasts(means).tidy().set_index("contrast")
    total = table["estimate"]["child - father"] + table["estimate"]["father - mother"]
    assert table["estimate"]["child - mother"] == pytest.approx(total, rel=1e-8, abs=1e-10)
    raw = contrasts(means, adjust="none").tidy()
    for adjust in ("mvt", "tukey", "holm"):
        p = contrasts(means, adjust=adjust).tidy()["p_value"].to_numpy()
        assert (p >= raw["p_value"] - 1e-12).all()
        assert (p <= np.minimum(3 * raw["p_value"], 1.0) * (1 + 1e-3)).all()
    # an interval that leaves zero out and a p-value below its level are the same finding
    joint = contrasts(means).tidy()
    outside = (joint["conf_low"] > 0) | (joint["conf_high"] < 0)
    assert (outside == (joint["p_value"] < 0.05)).all()


@few
@given(seeds)
def test_weights_agree_where_the_design_is_balanced(seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "g": np.repeat(np.arange(8), 6),
            "role": np.tile(["a", "b", "c"], 16),
            "arm": np.tile(np.repeat(["x", "y"], 3), 8),
        }
    )
    frame["y"] = rng.normal(size=48)
    model = lmm("y ~ role * arm + (1 | g)", frame)
    found = [
        estimated_means(model, "role", weights=w).tidy() for w in ("equal", "proportional", "cells")
    ]
    pd.testing.assert_frame_equal(found[0], found[1])
    pd.testing.assert_frame_equal(found[0], found[2])
    np.testing.assert_allclose(found[0]["estimate"], frame.groupby("role")["y"].mean(), atol=1e-9)


@few
@given(seeds)
def test_r2_parts_the_whole(seed):
    frame = _study(seed)
    model = lmm("y ~ role + x + (1 + x | therapist)", frame)
    whole, parted = r_squared(model), r_squared(model, cluster="therapist")
    for found in (whole, parted):
        parts = found.partition()
        assert parts["share"].sum() == pytest.approx(1.0)
        assert (parts["variance"] >= -1e-12).all()
    assert whole.partition()["variance"].sum() == pytest.approx(
        parted.partition()["variance"].sum(), rel=1e-9
    )
    assert 0 <= whole.marginal <= whole.conditional <= 1
    shares = parted.tidy()["estimate"]
    assert shares.between(0, 1 + 1e-12).all()


@few
@given(seeds)
def test_comparisons_flip_with_their_values(seed):
    frame = _study(seed)
    frame["event"] = (frame["y"] > frame["y"].median()).astype(int)
    model = glmm("event ~ role + x + (1 | therapist)", frame)
    up = comparisons(model, "role", values=("mother", "child")).tidy().iloc[0]
    down = comparisons(model, "role", values=("child", "mother")).tidy().iloc[0]
    assert up["estimate"] == pytest.approx(-down["estimate"])
    assert up["conf_low"] == pytest.approx(-down["conf_high"])
    assert -1 < up["estimate"] < 1
    ratio = comparisons(model, "role", values=("mother", "child"), scale="ratio").tidy().iloc[0]
    back = comparisons(model, "role", values=("child", "mother"), scale="ratio").tidy().iloc[0]
    assert ratio["estimate"] * back["estimate"] == pytest.approx(1.0)
    assert ratio["conf_low"] * back["conf_high"] == pytest.approx(1.0)


@few
@given(seeds)
def test_population_and_typical_agree_without_variance_and_shrink_with_it(seed):
    frame = _study(seed)
    frame["event"] = (frame["y"] > frame["y"].median()).astype(int)
    model = glmm("event ~ role + (1 | therapist)", frame)
    population = comparisons(model, "role", values=("mother", "child")).tidy()["estimate"][0]
    typical = comparisons(model, "role", values=("mother", "child"), level="typical").tidy()
    sd = np.sqrt(model.covariances()["therapist"].iloc[0, 0])
    if sd < 1e-6:
        assert population == pytest.approx(typical["estimate"][0], rel=1e-6)
    else:
        assert np.sign(population) == np.sign(typical["estimate"][0])


@few
@given(seeds, st.integers(2, 6))
def test_joint_distribution(seed, m):
    A = np.random.default_rng(seed).normal(size=(m, m + 1))
    covariance = A @ A.T
    scale = np.sqrt(np.diag(covariance))
    joint = JointT.of(covariance / np.outer(scale, scale))
    p = [joint.p_value(c, 8.5) for c in (0.5, 1.5, 3.0, 6.0)]
    assert all(first > second for first, second in itertools.pairwise(p))
    critical = joint.critical(8.5, 0.9)
    assert joint.p_value(critical, 8.5) == pytest.approx(0.1, abs=1e-8)
    raw = np.random.default_rng(seed).uniform(size=m)
    adjusted = holm(raw)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(m * raw, 1.0) + 1e-12).all()
    assert adjusted.min() == adjusted[np.argmin(raw)]
