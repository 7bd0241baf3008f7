"""Do joint models of outcome and leaving find the truth again? See ``joint_coverage``.

A few studies of each design are drawn, and what is asked of them is asked of designs together.
"""

from math import sqrt

import pandas as pd
import pytest

from tests.simulation.joint_coverage import COLUMNS, DESIGNS, one, summed

pytestmark = pytest.mark.slow

REPEATS = 8


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    rows = [row for name in DESIGNS for seed in range(REPEATS) for row in one(name, seed)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_estimates_lie_around_the_truth(found: pd.DataFrame) -> None:
    table = summed(found)
    joint = table[~table["quantity"].str.startswith("at random")]
    # 4 standard errors of a mean, by the reported errors; the bias of a log odds of some 70 endings
    slack = 4.0 * joint["std_error"] / joint["studies"].map(sqrt) + 0.05 * joint["truth"].abs()
    assert ((joint["mean"] - joint["truth"]).abs() < slack).all()


def test_intervals_cover(found: pd.DataFrame) -> None:
    told = found[found["fitted"].astype(bool)]
    told = told[~told["quantity"].str.startswith("at random")]
    covered = told.groupby("design")["covered"].agg(lambda c: c.astype(float).mean())
    studies = told.groupby("design")["seed"].nunique()
    # quantities of one study are not independent: counted as one
    assert (covered > 0.95 - 4.0 * (0.05 * 0.95 / studies).map(sqrt)).all()
    assert found["fitted"].astype(bool).mean() > 0.8


def test_who_leaves_by_a_slope_biases_the_mixed_model(found: pd.DataFrame) -> None:
    table = summed(found).set_index(["design", "quantity"])["mean"]
    assert table["effects", "at random: time"] < table["effects", "outcome: time"]
