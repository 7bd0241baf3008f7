"""What a ``seed=`` may be, everywhere: a whole number, a numpy generator, or None."""

from numbers import Integral

import numpy as np

__all__ = ["Seed", "generator_of", "repeatable", "whole_seed"]

Seed = int | np.random.Generator | None
"""A whole number repeats the draws; a generator is drawn from; with None no two runs are alike."""


_STREAMS = (np.random.Generator, np.random.SeedSequence)  # the second: one of a planned series


def generator_of(seed: Seed) -> np.random.Generator:
    """Return the generator that a seed stands for."""
    whole = isinstance(seed, Integral) and not isinstance(seed, bool) and int(seed) >= 0
    if not (whole or seed is None or isinstance(seed, _STREAMS)):
        raise ValueError(
            "seed must be a whole number, 0 or more, or a numpy Generator, as in seed=2024; got "
            f"{seed!r}."
        )
    return np.random.default_rng(seed)


def whole_seed(seed: Seed) -> int | None:
    """Return a seed that can be used again: the whole number itself, or one that is drawn."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**32))
    return seed


def repeatable(seed: Seed) -> Seed:
    """Return the seed of a bootstrap, which must be given."""
    if seed is None:
        raise ValueError("A bootstrap needs seed=, so that it can be repeated.")
    return seed
