"""Intervals of the within-family intraclass correlation with unequal families and roles."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.family import within_family_icc

pytestmark = pytest.mark.slow

DRAWS = 400


@pytest.mark.parametrize("icc", [0.1, 0.4])
def test_unequal_families_and_roles_keep_the_coverage(icc):
    rng, covered = np.random.default_rng(40), 0
    roles = np.array(["mother", "father", "child", "partner"])
    for _ in range(DRAWS):
        sizes = rng.integers(2, 5, 50)
        family = np.repeat(np.arange(50), sizes)
        role = np.concatenate([roles[:n] for n in sizes])
        y = np.sqrt(icc) * rng.standard_normal(50)[family]
        y += np.sqrt(1 - icc) * rng.standard_normal(len(family)) + 0.5 * (role == "mother")
        data = pd.DataFrame({"family": family, "role": role, "session": 1, "y": y})
        data["person"] = np.arange(len(data))
        found = within_family_icc(
            data, family="family", person="person", session="session", score="y", role="role"
        ).tidy()
        covered += bool(found["conf_low"][0] <= icc <= found["conf_high"][0])
    # binomial error of 400 draws at .95 is .011
    assert covered / DRAWS == pytest.approx(0.95, abs=0.033)
