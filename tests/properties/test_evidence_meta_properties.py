"""What must hold for every meta-analysis."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alliance_stats.evidence.meta.meta_analysis import meta_analysis, robust_tests

# Shifts and scales are done in floating point before the fit; sums over a dozen effects and a
# root found to machine precision leave about 1e-10 of the spread. Three-level fits end at the
# engine's own criterion, good to about 1e-5 in the variances.
EXACT, ENGINE = 1e-8, 1e-3

METHODS = st.sampled_from(["fixed", "REML", "DL", "PM"])


@st.composite
def frames(draw: st.DrawFn, smallest: int = 4) -> pd.DataFrame:
    k = draw(st.integers(smallest, 12))
    y = draw(arrays(float, k, elements=st.floats(-2, 2, width=16), unique=True))
    v = draw(arrays(float, k, elements=st.floats(0.0078125, 1, width=16)))
    return pd.DataFrame({"y": y, "v": v})


def numbers(data: pd.DataFrame, method: str, **options: object) -> np.ndarray:
    model = meta_analysis(
        data, estimate="y", variance="v", method=method, test="normal", **options
    )  # fmt: skip
    row = model.tidy().iloc[0]
    return np.array([row["estimate"], row["std_error"], np.sqrt(model.tau2)])


@settings(max_examples=25, deadline=None)
@given(frames(), METHODS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(data, method, random) -> None:
    order = list(range(len(data)))
    random.shuffle(order)
    np.testing.assert_allclose(
        numbers(data, method), numbers(data.iloc[order], method), rtol=1e-6, atol=EXACT
    )


@settings(max_examples=25, deadline=None)
@given(frames(), METHODS, st.floats(-3, 3), st.floats(0.2, 5))
def test_shifting_and_scaling_carry_through(data, method, shift, scale) -> None:
    moved = data.assign(y=shift + scale * data["y"], v=scale**2 * data["v"])
    estimate, std_error, tau = numbers(data, method)
    expected = [shift + scale * estimate, scale * std_error, scale * tau]
    np.testing.assert_allclose(numbers(moved, method), expected, rtol=1e-6, atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(frames())
def test_no_heterogeneity_is_the_fixed_model(data) -> None:
    for method in ("REML", "DL", "PM"):
        found = numbers(data, method)
        if found[2] == 0.0:
            np.testing.assert_allclose(found[:2], numbers(data, "fixed")[:2], rtol=EXACT)


@settings(max_examples=25, deadline=None)
@given(frames())
def test_pooled_lies_among_the_estimates_and_weights_sum(data) -> None:
    model = meta_analysis(data, estimate="y", variance="v")
    assert data["y"].min() <= model.tidy()["estimate"].iloc[0] <= data["y"].max()
    assert model.augment()["weight"].sum() == pytest.approx(100.0)
    inner, outer = model.tidy().iloc[0], model.prediction().iloc[0]
    assert outer["conf_low"] <= inner["conf_low"] <= inner["conf_high"] <= outer["conf_high"]


@settings(max_examples=25, deadline=None)
@given(frames())
def test_each_effect_its_own_cluster_leaves_the_estimate(data) -> None:
    model = meta_analysis(data, estimate="y", variance="v", test="normal")
    found = robust_tests(model, cluster=pd.Series(range(len(data)), index=data.index)).iloc[0]
    assert found["estimate"] == model.tidy()["estimate"].iloc[0]
    assert 0.0 < found["df"] <= len(data) - 1 + EXACT


@settings(max_examples=8, deadline=None)
@given(frames(smallest=6), st.randoms(use_true_random=False))
def test_relabelled_studies_change_nothing(data, random) -> None:
    labels = [f"s{i // 2}" for i in range(len(data))]
    names = sorted(set(labels))
    shuffled = list(names)
    random.shuffle(shuffled)
    other = dict(zip(names, shuffled, strict=True))
    first = numbers(data.assign(s=labels), "REML", study="s")
    second = numbers(data.assign(s=[other[name] for name in labels]), "REML", study="s")
    np.testing.assert_allclose(first, second, rtol=ENGINE, atol=ENGINE)


@pytest.mark.parametrize("unit", [1e-12, 0.002, 3e4, 1e9])
@pytest.mark.parametrize("study", [None, "study"])
@pytest.mark.parametrize("method", ["fixed", "REML", "DL", "PM"])
def test_the_unit_of_measurement_does_not_matter(unit: float, study, method: str) -> None:
    if study and method != "REML":
        return
    rng = np.random.default_rng(4)
    v = rng.uniform(0.02, 0.2, 24)
    data = pd.DataFrame(
        {
            "y": 0.4 + np.repeat(rng.normal(0, 0.3, 6), 4) + rng.normal(0, np.sqrt(v + 0.02)),
            "v": v,
            "study": np.repeat(list("abcdef"), 4),
        }
    )
    moved = data.assign(y=unit * data["y"], v=unit**2 * data["v"])
    options = {} if study is None else {"study": study}
    as_is, scaled = numbers(data, method, **options), numbers(moved, method, **options)
    np.testing.assert_allclose(scaled, unit * as_is, rtol=1e-6)
    model = meta_analysis(moved, estimate="y", variance="v", method=method, **options)
    assert model.converged
    np.testing.assert_allclose(
        model.glance()["i_squared"],
        meta_analysis(data, estimate="y", variance="v", method=method, **options).glance()[
            "i_squared"
        ],
        rtol=1e-6,
    )
