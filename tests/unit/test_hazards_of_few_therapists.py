"""The simulation of clustered hazard models: its studies, its tests, its page."""

import itertools

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import AllianceStatsWarning
from tests.simulation.hazards_of_few_therapists import COLUMNS, METHODS, p_values, page, study


@pytest.mark.filterwarnings(f"ignore::{AllianceStatsWarning.__module__}.AllianceStatsWarning")
def test_a_study_is_tested_by_every_method() -> None:
    data = study(np.random.default_rng(2), 10, balanced=False)
    assert data["therapist"].value_counts().min() >= 2
    assert len(data) == pytest.approx(80, abs=8)
    found = p_values(data)
    assert len(found) == 2 * 2 * len(METHODS)
    assert all(0.0 <= p <= 1.0 or np.isnan(p) for p in found.values())


def test_the_page_holds_a_row_a_cell() -> None:
    cells = itertools.product(
        (10, 15, 30), ("equal", "2 to 20"), ("experience", "treated"), ("Cox", "discrete"), METHODS
    )
    counts = pd.DataFrame([(*cell, 200, 10, 0) for cell in cells], columns=list(COLUMNS))
    text = page(counts)
    assert text.count("| 0.050 |") > 0
    assert sum(line.startswith(("| therapist's", "| family's")) for line in text.splitlines()) == 24
