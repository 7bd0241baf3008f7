"""Do the intervals of indirect effects hold? See ``mediation_coverage``.

``docs/coverage/mediation.md`` has the studies of ``mediation_coverage``; here a part of them runs.
"""

import itertools
from math import sqrt
from pathlib import Path

import pandas as pd
import pytest

from tests.simulation.mediation_coverage import COLUMNS, DESIGNS, PATHS, UNITS, main, rates

pytestmark = pytest.mark.slow

REPEATS = 60
# 4 binomial standard errors of a coverage of .95
MARGIN = 4.0 * sqrt(0.05 * 0.95 / REPEATS)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path: Path = tmp_path_factory.mktemp("mediation") / "counts.csv"
    main(REPEATS, path)
    table = pd.read_csv(path)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(list(itertools.product(DESIGNS, PATHS, UNITS)))
    return rates(table)


def test_a_path_that_is_not_there_is_seldom_found(found: pd.DataFrame) -> None:
    null = found[found["paths"] != "both"]
    assert (null["found"] < 0.05 + MARGIN + 0.02).all()


def test_the_interval_of_an_indirect_effect_covers(found: pd.DataFrame) -> None:
    assert (found["coverage"] > 0.95 - MARGIN - 0.04).all()  # 15 units are told roughly
    many = found[(found["paths"] == "both") & (found["units"] == 40)]
    assert (many["coverage"] > 0.95 - MARGIN - 0.02).all()
