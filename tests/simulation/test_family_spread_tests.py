"""Tests of equal spread under heavy tails: one keeps its size, the other is known not to."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.family import family_balance

pytestmark = pytest.mark.slow

DRAWS = 120


def test_absolute_deviations_keep_their_size_under_heavy_tails():
    rng = np.random.default_rng(50)
    ids = pd.MultiIndex.from_product([range(60), ("child", "mother"), range(5)])
    data = pd.DataFrame(list(ids), columns=["family", "role", "session"])
    data["person"] = data["family"].astype(str) + data["role"]
    data["framework"] = np.where(data["family"] % 2, "a", "b")
    person, _ = pd.factorize(data["person"])
    rejected = {"lasting": 0, "momentary": 0, "likelihood ratio": 0}
    for _ in range(DRAWS):
        own = 0.5 * rng.standard_normal(120)[person] + 0.4 * rng.standard_normal(60)[data["family"]]
        found = family_balance(
            "y ~ role", data.assign(y=own + 0.4 * rng.standard_t(4, len(data))),
            family="family", person="person", spread_by="framework",
        )  # fmt: skip
        p_values = found.deviations().set_index("term")["p_value"]
        for kind in ("lasting", "momentary"):
            rejected[kind] += p_values[kind] < 0.05
        rejected["likelihood ratio"] += found.test().p_value < 0.05
    # binomial: 120 x .05, three SDs
    allowed = 3 * np.sqrt(DRAWS * 0.05 * 0.95)
    assert abs(rejected["lasting"] - 6) <= allowed
    assert abs(rejected["momentary"] - 6) <= allowed
    assert rejected["likelihood ratio"] > 6 + allowed
