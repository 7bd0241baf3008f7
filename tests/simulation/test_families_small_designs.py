"""Small random designs of every family, half near a boundary: no fit ends above another start's."""

import warnings

import numpy as np
import pandas as pd
import pytest

from alliance_stats.engine.generalized_search import GeneralizedCriterion
from alliance_stats.engine.search import Options, search
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.multilevel import glmm, ordinal

pytestmark = pytest.mark.slow

DESIGNS = 30
# Two searches end within this of the same minimum.
SAME = 1e-5
SIZES, SHIFTS = (0.05, 0.4, 1.5), (-1.5, 0.0, 1.5)
FAMILIES = (
    "negative binomial",
    "linear negative binomial",
    "beta-binomial",
    "gamma",
    "beta",
    "truncated poisson",
    "ordinal",
)


def drawn(family: str, rng: np.random.Generator) -> pd.DataFrame:
    """Draw a design; in every second one units do not differ, or rows scatter no more than said."""
    near = rng.random() < 0.5
    units = int(rng.integers(4, 13))
    unit = np.repeat(np.arange(units), rng.integers(2, 9, units))
    n, x = len(unit), rng.normal(size=len(unit))
    sd = 0.0 if near and rng.random() < 0.5 else rng.uniform(0.2, 1.2)
    eta = rng.normal(0.3, 0.5) + 0.3 * x + (sd * rng.normal(size=units))[unit]
    wide = 1e3 if near else rng.uniform(0.8, 5.0)
    mu, p = np.exp(eta), 1.0 / (1.0 + np.exp(-eta))
    trials = rng.integers(2, 9, n)
    y = {
        "negative binomial": lambda: rng.poisson(mu * rng.gamma(wide, size=n) / wide),
        "linear negative binomial": lambda: rng.poisson(rng.gamma(mu * wide) / wide),
        "beta-binomial": lambda: rng.binomial(trials, rng.beta(wide * p, wide * (1 - p))),
        "gamma": lambda: rng.gamma(min(wide, 8.0), mu / min(wide, 8.0)),
        "beta": lambda: np.clip(rng.beta(4.0 * p, 4.0 * (1.0 - p)), 1e-4, 1.0 - 1e-4),
        "truncated poisson": lambda: np.maximum(rng.poisson(mu), 1),
        "ordinal": lambda: np.digitize(eta + rng.logistic(size=n), [-0.7, 0.4, 1.2]),
    }[family]()
    return pd.DataFrame({"unit": unit, "x": x, "y": y, "trials": trials})


@pytest.mark.parametrize("family", FAMILIES)
def test_no_fit_ends_above_another_start(family):
    fitted = 0
    for seed in range(DESIGNS):
        data = drawn(family, np.random.default_rng(seed))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                if family == "ordinal":
                    fit = ordinal("y ~ x + (1 | unit)", data).fit
                else:
                    weights = "trials" if family == "beta-binomial" else None
                    fit = glmm("y ~ x + (1 | unit)", data, family=family, weights=weights).fit
        except (NotIdentifiedError, DataError):  # refused in words
            continue
        fitted += 1
        criterion = GeneralizedCriterion(fit.problem, fit.approximation)
        for size, shift in zip(SIZES, SHIFTS, strict=True):
            other = fit.minimum.other.copy()
            if family != "ordinal" and fit.problem.shape.size:
                other[-1] += shift
            start = [size * np.eye(len(own)) for own in fit.Lambda]
            try:
                stop = search(criterion, start, other, fit.problem.no_effects(), options=Options())
            except NotIdentifiedError:  # that start leads nowhere
                continue
            assert fit.deviance <= stop.deviance + SAME, (seed, size)
    assert fitted >= DESIGNS // 2
