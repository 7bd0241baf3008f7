"""Ranks of units: the closed form of two, and what the draws must obey."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import lmm, unit_ranks
from alliance_stats.errors import DataError

# four binomial standard errors of 10,000 draws
DRAWN = 4.0 * 0.5 / np.sqrt(10_000)


def _model(units: int = 8):
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(units), 6)
    y = rng.normal(0.0, 1.0, units)[unit] + rng.normal(size=6 * units)
    data = pd.DataFrame({"unit": [f"U {i}" for i in unit], "y": y})
    return lmm("y ~ 1 + (1 | unit)", data)


def test_the_order_of_two_units_is_a_normal_probability() -> None:
    found = unit_ranks(_model(), "unit", seed=1)
    first, last = found.units.iloc[0], found.units.iloc[5]
    above = (found.ranks[:, 0] > found.ranks[:, 5]).mean()
    z = (first["estimate"] - last["estimate"]) / np.hypot(first["std_error"], last["std_error"])
    assert above == pytest.approx(stats.norm.cdf(z), abs=DRAWN)


def test_each_draw_ranks_every_unit_once() -> None:
    found = unit_ranks(_model(9), "unit", seed=1)
    table = found.tidy()
    assert table["highest"].sum() == pytest.approx(3.0)
    assert table["lowest"].sum() == pytest.approx(3.0)
    assert table["rank"].mean() == pytest.approx(5.0)
    assert table["estimate"].is_monotonic_increasing
    assert "tell no order" in found.summary()


@pytest.mark.parametrize(
    ("match", "asked"),
    [("no grouping factor", {"unit": "unti"}), ("no effect of", {"term": "x"}),
     ("at most 0.5", {"share": 0.8})],
)  # fmt: skip
def test_what_cannot_be_ranked(match: str, asked: dict[str, object]) -> None:
    with pytest.raises(DataError, match=match):
        unit_ranks(_model(), **({"unit": "unit"} | asked))
