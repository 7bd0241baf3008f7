"""Do the intervals of indirect effects hold? See ``mediation_coverage``.

``docs/coverage/mediation.md`` has the studies of ``mediation_coverage``. Here a few of each row are
drawn, half a minute of them, and what is asked of them is asked of rows put together.
"""

import itertools
from math import sqrt

import pandas as pd
import pytest

from tests.simulation.mediation_coverage import COLUMNS, DESIGNS, PATHS, UNITS, one, rates

pytestmark = pytest.mark.slow

# Studies a row; profiles and bootstraps of one study take the time of ten others.
REPEATS = 10
FEWER = {"persons, profile": 3, "clusters, bootstrap": 6}
# What the rows of the page show of themselves: the bootstrap of 15 therapists covers 92 to 94%.
NARROW = 0.02


def margin(studies: int) -> float:
    """Return 4 binomial standard errors of a share of .05."""
    return 4.0 * sqrt(0.05 * 0.95 / studies)


@pytest.fixture(scope="module")
def counts() -> pd.DataFrame:
    rows = []
    for design, paths, units in itertools.product(DESIGNS, PATHS, UNITS):
        n = FEWER.get(design, REPEATS)
        found = [one(design, paths, units, seed) for seed in range(n)]
        told = [each for each in found if each is not None]
        covered, not_zero = (sum(each[k] for each in told) for k in (0, 1))
        rows.append((design, paths, units, n, covered, not_zero, n - len(told)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def together(table: pd.DataFrame, *keys: str) -> pd.DataFrame:
    """Add the counts of rows up by these columns, or all of them."""
    by = table.groupby(list(keys)) if keys else table.groupby(lambda _: "all rows")
    return rates(by[["studies", "covered", "not_zero", "not_fitted"]].sum())


@pytest.mark.parametrize("keys", [("design",), ("units",), ()])
def test_a_path_that_is_not_there_is_seldom_found(counts: pd.DataFrame, keys: tuple[str, ...]):
    null = together(counts[counts["paths"] != "both"], *keys)
    fitted = null["studies"] - null["not_fitted"]
    assert (null["found"] < 0.05 + fitted.map(margin)).all()


@pytest.mark.parametrize("keys", [("design",), ("paths",), ("units",), ()])
def test_the_interval_of_an_indirect_effect_covers(counts: pd.DataFrame, keys: tuple[str, ...]):
    found = together(counts, *keys)
    fitted = found["studies"] - found["not_fitted"]
    assert (found["coverage"] > 0.95 - NARROW - fitted.map(margin)).all()


def test_an_effect_of_two_paths_is_found_with_more_units(counts: pd.DataFrame):
    both = together(counts[counts["paths"] == "both"], "units")
    # on the page 29 and 75% of them: five standard errors of two shares of 59 studies
    assert both.loc[40, "found"] > both.loc[15, "found"] + 0.1
    assert (together(counts)["not_fitted"] < 0.1 * together(counts)["studies"]).all()
