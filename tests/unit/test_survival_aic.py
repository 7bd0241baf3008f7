"""AIC is twice the parameters less twice the log-likelihood, whatever the model."""

import pandas as pd
import pytest

from alliance_stats.survival import competing_hazards, cox_ph, discrete_hazard
from tests.fuzz.frames import frames

UNITS, PERIODS = frames()["units"], frames()["periods"]
ROWS = {"session": "session", "unit": "unit", "baseline": "polynomial", "baseline_df": 2}


def glances() -> list[tuple[pd.Series, int]]:
    cox = cox_ph("barriers + group", UNITS, time="time", event="event")
    hazard = discrete_hazard("barriers", PERIODS, event="left", random=None, **ROWS)
    causes = competing_hazards("barriers", PERIODS, event="ended", censored="none", **ROWS)
    return [(m.glance().iloc[0], k) for m, k in ((cox, 2), (hazard, 4), (causes, 8))]


@pytest.mark.parametrize("place", range(3), ids=["Cox", "hazard", "competing hazards"])
def test_aic(place: int) -> None:
    glance, n_parameters = glances()[place]
    assert glance["aic"] == pytest.approx(2.0 * n_parameters - 2.0 * glance["log_lik"], rel=1e-12)
