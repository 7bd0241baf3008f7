"""Power by simulation against a loop of lme4 and lmerTest of its own."""

import math

import pandas as pd
import pytest

from alliance_stats.power import ArmDifference, ClusterTrial, power
from tests.parity.reference import load_reference

REFERENCE = load_reference("power_cluster_trial")
CELLS = pd.DataFrame(REFERENCE["cells"])

# Monte Carlo standard errors of a difference of two shares: beyond by chance once in 16,000
APART = 4.0
N_STUDIES = 150


@pytest.mark.parametrize("place", range(len(CELLS)))
def test_the_share_rejected_is_that_of_rs_loop(place):
    cell = CELLS.iloc[place]
    trial = ClusterTrial(
        clusters=REFERENCE["clusters"],
        members=REFERENCE["members"],
        icc=float(cell["icc"]),
        effect=float(cell["effect"]),
    )
    found = power(trial, ArmDifference(), n_studies=N_STUDIES, seed=place).tidy().iloc[0]
    n = REFERENCE["n_studies"]
    for ours, theirs in (
        (found["estimate"], cell["rejected"] / n),
        (found["n_singular"] / N_STUDIES, cell["singular"] / n),
    ):
        error = math.sqrt(theirs * (1.0 - theirs) * (1.0 / n + 1.0 / N_STUDIES))
        assert abs(ours - theirs) < APART * error + 1.0 / N_STUDIES  # a step of our own share
    closed = trial.closed_form(0.05)["difference"]
    error = math.sqrt(closed * (1.0 - closed) / n)
    # where the variance is often zero, the mixed model's df are more than the closed form's
    assert abs(cell["rejected"] / n - closed) < APART * error + 0.02
