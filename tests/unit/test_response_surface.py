"""The surface's parameters are those of its five coefficients, at any origin and coding."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import lmm, regression, response_surface
from alliance_stats.errors import FormulaError

ROUNDING = 1e-8  # sums and differences of columns at whole steps
RNG = np.random.default_rng(4)
N = 160
DATA = pd.DataFrame(
    {
        "client": RNG.normal(4.5, 1.0, N).round(1),
        "helper": RNG.normal(4.2, 1.1, N).round(1),
        "role": np.resize(["mother", "father", "child"], N),
        "therapist": np.resize([f"T{i}" for i in range(16)], N),
    }
)
DATA["x"], DATA["y"] = DATA["client"] - 4.0, DATA["helper"] - 4.0
DATA["out"] = (
    50 + 2 * DATA["x"] + DATA["y"] - (DATA["x"] - DATA["y"]) ** 2 + RNG.normal(0, 3, N)
).round(2)
TERMS = "{0} + {1} + I({0}^2) + {0}:{1} + I({1}^2)"
C = np.array(
    [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, -1, 0, 0, 0], [0, 0, 1, -1, 1], [0, 0, 1, 0, -1]]
)


def _by_hand(model) -> tuple[np.ndarray, np.ndarray]:
    names = ["x", "y", "I(x^2)", "x:y", "I(y^2)"]
    names = [
        next(n for n in model.beta.index if n.replace("**", "^").replace(" ", "") == k)
        for k in names
    ]
    beta, V = model.beta[names].to_numpy(), model.vcov().loc[names, names].to_numpy()
    return C @ beta, np.sqrt(np.diag(C @ V @ C.T))


@pytest.mark.parametrize("cluster", [None, "therapist"])
def test_parameters_are_combinations_of_the_coefficients(cluster: str | None) -> None:
    model = regression(f"out ~ {TERMS.format('x', 'y')} + role", DATA, cluster=cluster)
    table = response_surface(model, "x", "y").tidy()
    estimate, error = _by_hand(model)
    assert table["estimate"].to_numpy() == pytest.approx(estimate, rel=ROUNDING)
    assert table["std_error"].to_numpy() == pytest.approx(error, rel=ROUNDING)


def test_an_origin_is_as_good_as_centring() -> None:
    centred = regression(f"out ~ {TERMS.format('x', 'y')}", DATA)
    raw = regression(f"out ~ {TERMS.format('client', 'helper')}", DATA)
    one = response_surface(centred, "x", "y").tidy().drop(columns=["term", "meaning"])
    two = response_surface(raw, "client", "helper", origin=4.0).tidy()[one.columns]
    np.testing.assert_allclose(one, two, rtol=1e-6)
    a, b = (
        response_surface(m, *names, origin=o).glance().iloc[0]
        for m, names, o in ((centred, ("x", "y"), 0.0), (raw, ("client", "helper"), 4.0))
    )
    assert b["stationary_x"] == pytest.approx(a["stationary_x"] + 4.0, rel=1e-5)
    assert b["axis_slope"] == pytest.approx(a["axis_slope"], rel=1e-5)


def test_a_mixed_model_takes_its_own_degrees_of_freedom() -> None:
    model = lmm(f"out ~ {TERMS.format('x', 'y')} + (1 | therapist)", DATA)
    surface = response_surface(model, "x", "y")
    estimate, error = _by_hand(model)
    assert surface.tidy()["estimate"].to_numpy() == pytest.approx(estimate, rel=ROUNDING)
    assert surface.tidy()["std_error"].to_numpy() == pytest.approx(error, rel=ROUNDING)
    assert np.isfinite(surface.tidy()["df"]).all()
    assert "curvature along disagreement" in surface.summary()


@pytest.mark.parametrize(
    "formula", ["out ~ x + y", "out ~ x * y", "out ~ x + y + I(x^2) + x:y + I(y^2) + I(x^3)"]
)
def test_another_surface_is_refused(formula: str) -> None:
    with pytest.raises(FormulaError, match="second degree"):
        response_surface(regression(formula, DATA), "x", "y")


def test_a_name_that_is_none() -> None:
    model = regression(f"out ~ {TERMS.format('x', 'y')}", DATA)
    with pytest.raises(FormulaError, match="z"):
        response_surface(model, "x", "z")
