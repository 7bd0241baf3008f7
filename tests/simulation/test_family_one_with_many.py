"""Recovery by the one-with-many model: bias of its parameters, size of its tests."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.family import one_with_many

pytestmark = pytest.mark.slow

BETWEEN = np.array([[0.30, 0.15], [0.15, 0.40]])
WITHIN = np.array([[1.0, 0.30], [0.30, 0.60]])
DRAWS = 150


def simulate(rng, between, within) -> pd.DataFrame:
    sizes = rng.integers(2, 7, 60)
    therapist = np.repeat(np.arange(60), sizes)
    t = rng.multivariate_normal([0, 0], between, 60)[therapist]
    y = 5 + t + rng.multivariate_normal([0, 0], within, len(therapist))
    return pd.DataFrame(
        {"therapist": therapist, "client": np.arange(len(y)), "c": y[:, 0], "t": y[:, 1]}
    )


def fit(data):
    return one_with_many(
        data, therapist="therapist", client="client", by_client="c", by_therapist="t"
    )


def test_parameters_are_recovered():
    rng = np.random.default_rng(30)
    found = np.array([fit(simulate(rng, BETWEEN, WITHIN)).tidy()["estimate"] for _ in range(DRAWS)])
    truth = [0.30, 1.0, 0.40, 0.60]
    mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(DRAWS)
    np.testing.assert_array_less(np.abs(mean[:4] - truth), 3.5 * error[:4])
    # correlations are a little biased in 60 therapists: medians within a tenth
    generalized, dyadic = np.nanmedian(found[:, 4:], axis=0)
    assert generalized == pytest.approx(0.15 / np.sqrt(0.12), abs=0.1)
    assert dyadic == pytest.approx(0.30 / np.sqrt(0.60), abs=0.02)


def test_the_test_of_dyadic_reciprocity_keeps_its_size():
    rng = np.random.default_rng(31)
    null = np.diag(np.diag(WITHIN))
    rejected = sum(
        fit(simulate(rng, BETWEEN, null)).dyadic_reciprocity_test().p_value < 0.05
        for _ in range(DRAWS)
    )
    # binomial: 150 x .05, three SDs
    assert abs(rejected - 7.5) <= 3 * np.sqrt(150 * 0.05 * 0.95)
