"""An offset in hazards by session: beside a library's regression, and what it moves exactly."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

from alliance_stats.errors import FormulaError
from alliance_stats.survival import (
    DiscreteHazard,
    adjusted_curves,
    competing_hazards,
    discrete_hazard,
    pattern_mixture,
    shared_parameter,
)

# Both sides stop where the deviance no longer changes.
FIT = 1e-6


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(14)
    found = []
    for unit in range(120):
        x, days = rng.normal(), rng.integers(3, 21)
        for session in range(1, 8):
            left = float(rng.random() < 1 - np.exp(-0.02 * days * np.exp(0.4 * x)))
            found.append((f"F {unit}", f"T {unit % 9}", session, x, float(days), left))
            if left:
                break
    return pd.DataFrame(found, columns=["unit", "therapist", "session", "x", "days", "left"])


def fitted(formula: str, rows: pd.DataFrame, **options: object) -> DiscreteHazard:
    given = {"random": None, "baseline": "log"} | options
    return discrete_hazard(formula, rows, session="session", event="left", unit="unit", **given)


def test_it_equals_statsmodels(rows: pd.DataFrame) -> None:
    found = fitted("x + offset(np.log(days))", rows).tidy()
    X = np.column_stack((np.ones(len(rows)), np.log(rows["session"]), rows["x"]))
    family = sm.families.Binomial(link=sm.families.links.CLogLog())
    fit = sm.GLM(rows["left"], X, family=family, offset=np.log(rows["days"]))
    assert_allclose(found["estimate"], fit.fit(tol=1e-12, maxiter=100).params, rtol=FIT)


@pytest.mark.parametrize("how", ["model", "robust", "CR2", "therapists"])
def test_it_moves_a_coefficient_and_nothing_else(rows: pd.DataFrame, how: str) -> None:
    options = {
        "model": {},
        "robust": {"cluster": "therapist"},
        "CR2": {"cluster": "therapist", "vcov": "CR2"},
        "therapists": {"random": "(1 | therapist)"},
    }[how]
    moved = rows.assign(o=0.3 * rows["x"] - 2.0)
    plain = fitted("x", rows, **options)
    other = fitted("x + offset(o)", moved, **options)
    one, two = plain.tidy().set_index("term"), other.tidy().set_index("term")
    assert_allclose(two.loc["x", "estimate"], one.loc["x", "estimate"] - 0.3, rtol=1e-4)
    level = two.loc["(Intercept)", "estimate"] - one.loc["(Intercept)", "estimate"]
    assert_allclose(level, 2.0, rtol=1e-4)
    assert_allclose(two["std_error"], one["std_error"], rtol=1e-4)
    # and courses are the same
    course = pd.DataFrame({"x": [0.7], "o": [0.3 * 0.7 - 2.0]})
    columns = ["hazard", "hazard_low", "survival", "survival_high"]
    assert_allclose(other.curve(course)[columns], plain.curve(course)[columns], rtol=1e-4)


def test_averaged_curves_have_it_too(rows: pd.DataFrame) -> None:
    arm = rows["unit"].str[-1].isin(list("02468")).astype(int)
    data = rows.assign(arm=arm, o=0.3 * rows["x"])
    one = adjusted_curves(fitted("x + arm", data), variable="arm").tidy()
    two = adjusted_curves(fitted("x + arm + offset(o)", data), variable="arm").tidy()
    columns = ["estimate", "std_error"]
    assert_allclose(two[columns], one[columns], rtol=1e-4)


def test_rows_without_it_are_set_aside(rows: pd.DataFrame) -> None:
    first = rows["unit"] == "F 3"
    holes = rows.assign(days=rows["days"].mask(first))
    assert fitted("x + offset(days)", holes).rows.n_used == len(rows) - first.sum()


def test_competing_hazards_refuse_it(rows: pd.DataFrame) -> None:
    several = rows.assign(code=rows["left"] * (1 + (rows["days"] > 9)))
    with pytest.raises(FormulaError, match="this model does not take"):
        competing_hazards(
            "x + offset(days)", several, session="session", event="code", unit="unit", random=None
        )


def test_a_joint_model_refuses_it(rows: pd.DataFrame) -> None:
    scores = rows.assign(y=np.arange(len(rows)) % 7)
    with pytest.raises(FormulaError, match="this model does not take"):
        shared_parameter(
            "y ~ session + (1 | unit)", "x + offset(days)", scores, rows, session="session",
            event="left", unit="unit",
        )  # fmt: skip


def test_an_offset_of_the_outcome_is_taken_off_in_a_joint_model_and_in_patterns() -> None:
    """No column spans it: left in, it would be taken for growth and for noise."""
    rng = np.random.default_rng(5)
    person, time = np.repeat(np.arange(60), 4), np.tile(np.arange(4.0), 60)
    o = 3.0 * (time - 1.0) ** 2
    less = 10.0 - time + rng.normal(0, 2.0, 60)[person] + rng.normal(0, 1.0, 240)
    data = pd.DataFrame({"id": person, "time": time, "o": o, "y": less + o, "less": less})
    data["left"] = np.where(person % 3 == 0, "early", "stayed")
    periods = data.assign(session=time + 1.0, event=(time == 2.0) & (person % 3 == 0))
    periods = periods[~((time == 3.0) & (person % 3 == 0))].astype({"event": float})
    asked = {"session": "session", "event": "event", "unit": "id", "baseline": "log"}
    formulas = ("y ~ time + offset(o) + (1 | id)", "less ~ time + (1 | id)")
    joint = [shared_parameter(formula, "1", data, periods, **asked) for formula in formulas]
    assert_allclose(joint[0].log_lik, joint[1].log_lik, rtol=FIT)
    assert_allclose(joint[0].parameters, joint[1].parameters, rtol=1e-4, atol=1e-4)
    mixed = [pattern_mixture(f, data, pattern="left", unit="id").tidy() for f in formulas]
    for column in ("estimate", "std_error"):
        assert_allclose(mixed[0][column], mixed[1][column], rtol=FIT)
