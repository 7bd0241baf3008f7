"""``offset()`` in a formula: what is known is added, everywhere."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats import CR2, comparisons, glmm, likelihood_ratio_test, lmm

SAME = 1e-9


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 10)
    frame = pd.DataFrame({"g": g, "x": rng.normal(size=120), "known": rng.normal(5.0, 3.0, 120)})
    frame["y"] = (
        1 + frame["known"] + 0.5 * frame["x"] + rng.normal(size=12)[g] + rng.normal(size=120)
    )
    frame["count"] = rng.poisson(np.exp(0.2 * frame["x"] + 0.2 * frame["known"]))
    return frame


def test_a_linear_model_of_what_the_offset_leaves(data):
    model = lmm("y ~ x + offset(known) + (1 | g)", data)
    less = lmm("less ~ x + (1 | g)", data.assign(less=data["y"] - data["known"]))
    assert list(model.beta.index) == ["(Intercept)", "x"]
    pd.testing.assert_frame_equal(model.tidy(), less.tidy(), rtol=SAME)
    pd.testing.assert_frame_equal(model.tidy(vcov=CR2("g")), less.tidy(vcov=CR2("g")), rtol=SAME)
    assert_allclose(model.augment()["residual"], less.augment()["residual"], atol=1e-9)
    assert_allclose(model.augment()["fitted"], less.augment()["fitted"] + data["known"])
    for level in ("population", "conditional"):
        theirs = less.predict(data, level=level)["estimate"] + data["known"]
        assert_allclose(model.predict(data, level=level)["estimate"], theirs)
    drawn = model.simulate(1)[0].to_numpy() - less.simulate(1)[0].to_numpy()
    assert_allclose(drawn, data["known"], atol=1e-8)
    again = model.refit(model.simulate(2)[0])
    assert_allclose(again.beta, less.refit(less.simulate(2)[0]).beta, rtol=1e-6)
    means = comparisons(model, "x").tidy()
    assert means["expected_from"][0] == pytest.approx(model.fit.fixed_part.mean())
    test = likelihood_ratio_test("y ~ x + offset(known)", model)
    assert test.statistic == pytest.approx(
        likelihood_ratio_test("less ~ x", less).statistic, rel=1e-6
    )


def test_a_rate_with_its_exposure(data):
    column = glmm("count ~ x + (1 | g)", data, family="poisson", offset="known")
    formula = glmm("count ~ x + offset(known) + (1 | g)", data, family="poisson")
    pd.testing.assert_frame_equal(formula.tidy(), column.tidy(), rtol=1e-6)
    assert_allclose(formula.predict(data)["estimate"], column.predict(data)["estimate"], rtol=1e-6)
    assert_allclose(
        comparisons(formula, "x").tidy()["estimate"],
        comparisons(column, "x").tidy()["estimate"],
        rtol=1e-6,
    )
