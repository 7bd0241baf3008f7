"""Families nested in therapists against coxph with ridge penalties, and what has to hold."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import CoxModel, cox_ph
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_nested_frailty")
# Newton's method on both sides, R's with eps = 1e-13 on the log-likelihood.
FIT = 1e-6
# optim's simplex ends where the criterion no longer changes: variances are good to its root.
SEARCH = 2e-3
LEVELS = ["family", "therapist"]


def data(name: str) -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["samples"]["late" if name == "late" else "right"])


def fitted(frame: pd.DataFrame, *, ties: str = "efron", **options: object) -> CoxModel:
    return cox_ph(
        "x", frame, start="start", stop="stop", event="left", frailty=LEVELS,
        frailty_distribution="lognormal", ties=ties, **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["right", "breslow", "late"])
def test_the_restricted_likelihood_and_its_maximum(name: str) -> None:
    model = fitted(data(name), ties="breslow" if name == "breslow" else "efron")
    reference = REFERENCE[name]
    problem = model.frailty.problem
    state = problem.state(0.3, 0.2)
    held = reference["held"]
    assert_allclose(state.beta / model.design.scale, held["beta"], rtol=FIT)
    assert_allclose(problem.log_lik(state, 0.3, 0.2), held["laplace"], rtol=FIT)
    # on standardised covariates the information is that of the covariate, over its variance
    scaled = problem.restricted(0.3, 0.2) - np.log(model.design.scale[0])
    assert_allclose(scaled, held["restricted"], rtol=FIT)
    assert_allclose(model.frailty.variances, reference["variances"], rtol=SEARCH, atol=1e-5)
    assert_allclose(model.beta, reference["beta"], rtol=SEARCH)
    assert_allclose(np.sqrt(model.covariance[0, 0]), reference["se"], rtol=SEARCH)
    assert model.frailty.heights[0] >= max(model.frailty.heights[1:])


def test_predicted_frailties_are_those_of_the_dummies() -> None:
    model = fitted(data("right"))
    found = model.tidy(effects="ran_vals")
    families = np.sort(found.loc[found["group"] == "family", "estimate"])
    theirs = np.sort(found.loc[found["group"] == "therapist", "estimate"])
    b = np.array(REFERENCE["right"]["b"])
    assert_allclose(families, np.sort(b[: len(families)]), atol=0.01)
    assert_allclose(theirs, np.sort(b[len(families) :]), atol=0.01)


def test_order_of_rows_and_names_change_nothing() -> None:
    frame = data("late")
    other = frame.sample(frac=1.0, random_state=3).assign(
        family=lambda d: "x " + d["family"], therapist=lambda d: d["therapist"].str[::-1]
    )
    one, two = fitted(frame), fitted(other)
    assert_allclose(one.frailty.variances, two.frailty.variances, rtol=1e-4, atol=1e-6)
    assert_allclose(one.beta, two.beta, rtol=1e-6)


def test_where_families_do_not_differ_it_is_the_model_of_therapists() -> None:
    rng = np.random.default_rng(12)
    therapist = np.repeat(np.arange(15), 12)
    x = rng.normal(size=180)
    time = rng.exponential(np.exp(-0.5 * x - rng.normal(0, 0.8, 15)[therapist]))
    frame = pd.DataFrame(
        {"x": x, "start": 0, "stop": np.ceil(20 * time) + 1, "left": 1, "therapist": therapist}
    )
    frame["family"] = [f"{t}/{k % 6}" for k, t in enumerate(therapist)]
    model = fitted(frame)
    one = cox_ph(
        "x", frame, start="start", stop="stop", event="left", frailty="therapist",
        frailty_distribution="lognormal",
    )  # fmt: skip
    if model.frailty.variances[0] == 0.0:
        # the one-level fit solves McGilchrist's equation, not the restricted Laplace likelihood
        assert_allclose(model.frailty.variances[1], one.frailty.variance, rtol=0.1)
    assert_allclose(model.beta, one.beta, rtol=0.05)
    assert "lower bound" in model.frailty.verdict() or model.frailty.variances[0] > 0.0


def test_spreads_have_intervals_around_them() -> None:
    found = fitted(data("right")).tidy(effects="ran_pars")
    assert list(found["group"]) == ["family", "family", "therapist", "therapist"]
    assert (found["conf_low"] <= found["estimate"]).all()
    assert (found["conf_high"] >= found["estimate"]).all()


def test_refusals() -> None:
    frame = data("right")
    reused = frame.assign(family=frame.groupby("therapist").cumcount())
    with pytest.raises(DataError, match="stands under two values of 'therapist'"):
        fitted(reused)
    with pytest.raises(ValueError, match="lognormal"):
        cox_ph("x", frame, time="stop", event="left", frailty=LEVELS)
    with pytest.raises(ValueError, match="3 levels"):
        cox_ph(
            "x", frame, time="stop", event="left", frailty=[*LEVELS, "x"],
            frailty_distribution="lognormal",
        )  # fmt: skip
    with pytest.raises(DataError, match="inner level first"):
        cox_ph(
            "x", frame.assign(family=frame["therapist"]), time="stop", event="left",
            frailty=LEVELS, frailty_distribution="lognormal",
        )  # fmt: skip
