"""What must hold of the analyses of outcomes that were not seen, whatever the data."""

from functools import cache

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from alliance_stats.multilevel import lmm
from alliance_stats.survival import (
    DropoutSensitivity,
    dropout_sensitivity,
    pattern_mixture,
    shared_parameter,
)

# Optimisers stop within about 1e-6 of a standard error, from starts that row order moves.
OPTIMISER = 2e-5
# Refits to imputed data carry that over; outcomes times a factor move the search's path.
IMPUTED = 1e-4

seeds = st.integers(0, 40)


@cache
def courses(seed: int) -> pd.DataFrame:
    """24 persons of 6 therapists, rated up to 5 times, who leave after bad sessions."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(24):
        level, gone = rng.normal(0.0, 1.5) + 0.5 * (person % 6), False
        for time in range(5):
            y = 10.0 + level - 0.4 * time - 0.6 * (person % 2) * time + rng.normal(0.0, 1.2)
            rows.append((f"P{person:02}", f"T{person % 6}", person % 2, time, y, gone))
            gone = gone or (time > 0 and rng.random() < 1 / (1 + np.exp(3.0 - 0.2 * y)))
    return pd.DataFrame(rows, columns=["person", "therapist", "arm", "time", "y", "gone"])


def sensitivity(data: pd.DataFrame, deltas: list[float], term: str = "time") -> DropoutSensitivity:
    model = lmm("y ~ time + arm + (1 | person)", data[~data["gone"]])
    unseen = data[data["gone"]].drop(columns="y")
    return dropout_sensitivity(model, unseen, term=term, deltas=deltas, seed=3, n_imputations=3)


@settings(deadline=None, max_examples=6)
@given(seeds, st.floats(-50.0, 50.0), st.sampled_from([0.5, 4.0]))
def test_imputed_estimates_follow_the_outcomes_unit_and_origin(
    seed: int, shift: float, factor: float
) -> None:
    data = courses(seed)
    one = sensitivity(data, [-1.0, 2.0])
    moved = data.assign(y=data["y"] * factor + shift)
    other = sensitivity(moved, [-factor, 2.0 * factor])
    assert_allclose(other.deltas, one.deltas * factor)
    assert_allclose(
        other.completed.estimates, one.completed.estimates * factor, rtol=IMPUTED, atol=IMPUTED
    )
    assert_allclose(
        other.completed.variances, one.completed.variances * factor**2, rtol=100 * IMPUTED
    )


@settings(deadline=None, max_examples=6)
@given(seeds)
def test_higher_unseen_outcomes_raise_the_mean_in_every_imputation(seed: int) -> None:
    found = sensitivity(courses(seed), [-6.0, -3.0, 3.0, 6.0])
    # those who left are unseen late: higher outcomes there make the slope over time steeper
    assert (np.diff(found.completed.estimates, axis=0) > 0).all()
    assert (np.diff(found.tidy()["estimate"]) > 0).all()


@settings(deadline=None, max_examples=4)
@given(seeds)
def test_names_that_keep_their_order_change_no_imputation(seed: int) -> None:
    data = courses(seed)
    renamed = data.assign(person="Zoë " + data["person"])
    one, other = sensitivity(data, [1.0]), sensitivity(renamed, [1.0])
    assert_allclose(one.completed.estimates, other.completed.estimates, rtol=1e-12)


def shuffled_and_renamed(data: pd.DataFrame, seed: int) -> pd.DataFrame:
    other = data.sample(frac=1.0, random_state=seed)
    return other.assign(person=other["person"].map(lambda name: f"{99 - int(name[1:])}"))


@settings(deadline=None, max_examples=6)
@given(seeds, st.floats(-50.0, 50.0), st.floats(0.2, 5.0))
def test_pattern_mixture_knows_no_order_names_or_units(
    seed: int, shift: float, factor: float
) -> None:
    data = courses(seed)
    seen = data[~data["gone"]]
    length = seen.groupby("person")["time"].transform("max")
    seen = seen.assign(left=np.where(length < 4, "early", "stayed"))
    options = {"pattern": "left", "unit": "person"}
    formula = "y ~ time + arm + (1 | person)"
    one = pattern_mixture(formula, seen, **options).tidy()
    other = shuffled_and_renamed(seen, seed).assign(y=lambda d: d["y"] * factor + shift)
    other = other.assign(left=other["left"].map({"early": "z", "stayed": "a"}))
    two = pattern_mixture(formula, other, **options).tidy()
    expected = one["estimate"] * factor + np.where(one["term"] == "(Intercept)", shift, 0.0)
    assert_allclose(two["estimate"], expected, rtol=OPTIMISER, atol=OPTIMISER)
    assert_allclose(two["std_error"], one["std_error"] * factor, rtol=OPTIMISER)


@settings(deadline=None, max_examples=2)
@given(seeds)
def test_a_shared_parameter_model_knows_no_order_or_names(seed: int) -> None:
    data = courses(seed)
    seen = data[~data["gone"]]
    last = seen.groupby("person")["time"].transform("max")
    rows = seen.assign(session=seen["time"] + 1, left=((seen["time"] == last) & (last < 4)) * 1.0)
    rows = rows[rows["time"] < 4]
    options = {"session": "session", "event": "left", "unit": "person"}
    options |= {"baseline_df": 1, "nodes": 5}
    formula = "y ~ time + (1 | person)"
    one = shared_parameter(formula, "1", seen, rows, **options)
    two = shared_parameter(
        formula,
        "1",
        shuffled_and_renamed(seen, seed),
        shuffled_and_renamed(rows, seed + 1),
        **options,
    )
    assert_allclose(two.log_lik, one.log_lik, rtol=1e-8)
    errors = one.tidy()["std_error"]
    # of a standard error: the search stops at a slope of 1e-3 of one
    assert_allclose(two.tidy()["estimate"] / errors, one.tidy()["estimate"] / errors, atol=5e-3)
