"""Ratings whose steps a predictor tells without error have no finite estimate."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import ordinal
from alliance_stats.errors import NotIdentifiedError

N = 200


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"role": rng.choice(["father", "mother"], N), "x": rng.normal(size=N)})
    frame["therapist"] = np.repeat([f"T{i}" for i in range(20)], 10)
    father = frame["role"] == "father"
    frame["lowest"] = np.where(father, 1, rng.integers(1, 5, N))
    frame["apart"] = np.where(father, rng.integers(1, 3, N), rng.integers(3, 5, N))
    frame["middle"] = np.where(father, 2, rng.integers(1, 5, N))
    frame["any"] = rng.integers(1, 5, N)
    frame["steep"] = np.digitize(4.0 * frame["x"] + rng.logistic(size=N), [-4.0, 0.0, 4.0])
    return frame


@pytest.mark.parametrize("outcome", ["lowest", "apart"])
@pytest.mark.parametrize(
    "options",
    [{}, {"link": "probit"}, {"link": "cloglog"}, {"thresholds": "symmetric"},
     {"thresholds": "equidistant"}, {"nominal": "role"}],
    ids=str,
)  # fmt: skip
def test_a_group_at_one_end_of_the_scale_is_refused(data, outcome, options):
    with pytest.raises(NotIdentifiedError, match=r"role\[T.mother\]"):
        ordinal(f"{outcome} ~ role + x + (1 | therapist)", data, **options)


def test_a_group_in_one_middle_step_is_refused_where_it_has_thresholds_of_its_own(data):
    assert np.isfinite(ordinal("middle ~ role + (1 | therapist)", data).tidy()["std_error"]).all()
    with pytest.raises(NotIdentifiedError, match="Separation"):
        ordinal("middle ~ role + (1 | therapist)", data, nominal="role")


@pytest.mark.parametrize("outcome", ["any", "steep"])
def test_what_is_not_separated_is_fitted(data, outcome):
    found = ordinal(f"{outcome} ~ x + (1 | therapist)", data).tidy()
    assert (found["std_error"] < 1.0).all()
