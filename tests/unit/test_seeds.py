"""A seed is a whole number, a generator or None, wherever something is drawn."""

import numpy as np
import pytest

from alliance_stats import example_study, lmm, parametric_bootstrap, permutation_test
from alliance_stats.seeds import generator_of, whole_seed

FIRST = example_study().sessions.query("session == 1")
MODEL = lmm("alliance ~ experience + (1 | therapist/family)", FIRST)


def test_a_whole_number_stays_and_a_generator_is_drawn_from():
    assert whole_seed(3) == 3
    assert whole_seed(None) is None
    assert whole_seed(np.random.default_rng(3)) == whole_seed(np.random.default_rng(3))


def test_a_sequence_of_seeds_gives_a_generator():
    one, again = (generator_of(np.random.SeedSequence([3, 1])).random() for _ in range(2))
    assert one == again


@pytest.mark.parametrize(
    "draws",
    [
        lambda seed: parametric_bootstrap(MODEL, n_resamples=3, seed=seed).draws,
        lambda seed: (
            permutation_test(MODEL, "experience", "therapist", n_resamples=20, seed=seed).drawn
        ),
    ],
)
def test_every_kind_of_seed_is_taken(draws):
    one, again = draws(np.random.default_rng(5)), draws(np.random.default_rng(5))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(draws(5), draws(5))
    assert not np.array_equal(draws(None), draws(None))
