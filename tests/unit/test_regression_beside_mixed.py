"""An ordinary regression is the mixed model without random terms, and is compared as one."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import compare_models, glmm, likelihood_ratio_test, lmm, regression
from alliance_stats.errors import DataError

EXACT = 1e-12  # the same likelihood of the same fit


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat([f"T{i}" for i in range(12)], 10)})
    frame["x"] = rng.normal(size=120)
    frame["y"] = 0.5 * frame["x"] + np.repeat(rng.normal(size=12), 10) + rng.normal(size=120)
    frame["b"] = (frame["y"] > 0).astype(int)
    frame.loc[[4, 50], "y"] = np.nan
    return frame


def test_a_regression_is_tested_as_its_formula_is(data):
    mixed = lmm("y ~ x + (1 | g)", data)
    by_formula = likelihood_ratio_test("y ~ x", mixed).tidy()
    for plain in (regression("y ~ x", data), regression("y ~ x", data, cluster="g")):
        for pair in ((plain, mixed), (mixed, plain)):
            pd.testing.assert_frame_equal(likelihood_ratio_test(*pair).tidy(), by_formula)


def test_a_logistic_regression_is_tested_against_the_mixed_one(data):
    plain, mixed = (
        regression("b ~ x", data, family="logistic"),
        glmm("b ~ x + (1 | g)", data, family="binomial"),
    )
    found = likelihood_ratio_test(plain, mixed).tidy().iloc[0]
    gap = 2.0 * (mixed.log_lik - plain.glance()["log_lik"].iloc[0])
    assert found["statistic"] == pytest.approx(gap, rel=EXACT)
    table = compare_models(plain, mixed).set_index("formula")
    assert table.loc["b ~ x, binomial", "n_parameters"] == 2


def test_regressions_are_tested_against_one_another_by_maximum_likelihood(data):
    small, large = regression("y ~ 1", data), regression("y ~ x", data)
    known = data.dropna(subset=["y"])
    left = [np.sum((known["y"] - fit) ** 2) for fit in (
        known["y"].mean(), np.polyval(np.polyfit(known["x"], known["y"], 1), known["x"]),
    )]  # fmt: skip
    gap = len(known) * np.log(left[0] / left[1])
    found = likelihood_ratio_test(small, large).tidy().iloc[0]
    assert found["statistic"] == pytest.approx(gap, rel=1e-9)


def test_models_of_other_kinds_are_not_compared(data):
    with pytest.raises(DataError, match="different kinds"):
        likelihood_ratio_test(regression("b ~ x", data), glmm("b ~ x + (1 | g)", data))


# Tests of the same columns in other units: least squares on them keep this many digits.
OTHER_UNITS = 1e-6


@pytest.mark.parametrize(
    ("family", "clustered"),
    [("linear", True), ("linear", False), ("logistic", True), ("poisson", True)],
)
def test_joint_tests_do_not_depend_on_units(family: str, clustered: bool) -> None:
    """A column of 1e5 beside one of 1e-4 once lost a coefficient from the test, and its df."""
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(14), [1, 1, 2, 2, 3, 4, 5, 7, 9, 12, 20, 3, 6, 8])
    rows = pd.DataFrame(rng.normal(size=(len(group), 3)), columns=["x", "z", "v"]).assign(g=group)
    latent = 0.5 * rows["x"] + rng.normal(size=len(rows))
    made = {"linear": latent, "logistic": (latent > 0).astype(int), "poisson": rng.poisson(2, 83)}
    rows["y"] = made[family]
    other = rows.assign(x=rows["x"] * 1e5, z=rows["z"] * 1e-4)

    def tested(frame: pd.DataFrame) -> list[np.ndarray]:
        cluster = "g" if clustered else None
        model = regression(
            "y ~ z + x + v", frame, family=family, cluster=cluster, steps=["z + x", "v"]
        )
        joint = model.joint_test("z", "x", "v")
        numbers = ["statistic", "df1", "df2", "p_value"]
        return [t[numbers].to_numpy() for t in (model.glance(), model.step_table(), joint)]

    for own, others in zip(tested(rows), tested(other), strict=True):
        np.testing.assert_allclose(own, others, rtol=OTHER_UNITS)
