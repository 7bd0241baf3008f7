"""The simulation of clustered hazard models: its studies, its tests, its page."""

import itertools

import numpy as np
import pandas as pd
import pytest

from alliance_stats import cox_ph, discrete_hazard
from alliance_stats.errors import AllianceStatsWarning
from alliance_stats.survival.cox.cluster_errors import rejection_rates
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


def fitted(n: int, **options: object):
    data = study(np.random.default_rng(n), n, balanced=options.pop("balanced", True))
    given = {"time": "time", "event": "event", "cluster": "therapist"} | options
    return cox_ph("experience + treated", data, **given)


def test_notes_say_what_was_simulated() -> None:
    table = rejection_rates().set_index(["therapists", "sizes", "effect", "model", "method"])
    own = table.loc[(10, "equal", "experience", "Cox", "robust")]
    note = fitted(11).notes[0]
    share = 100.0 * own["rejected"] / own["studies"]
    assert note.startswith("Standard errors over 11 clusters: below about 40 they tend to be too")
    assert f"At .05, {share:.1f}% of tests of clusters' own covariates" in note
    assert f"in {own['studies']:,} simulated studies of 10 clusters of equal size" in note
    assert "of 10 clusters of unequal size" in fitted(10, balanced=False).notes[0]
    assert fitted(12, vcov="CR2").notes[0].startswith("Under CR2 ")
    assert not [note for note in fitted(60, vcov="CR2").notes if "clusters" in note]
    assert "simulated" not in " ".join(fitted(35).notes)


def test_nothing_is_told_of_weights_that_was_not_simulated() -> None:
    data = study(np.random.default_rng(3), 12, balanced=True)
    data["weight"] = 1.0 + data["family"] % 2
    weighted = cox_ph("treated", data, time="time", event="event", cluster="therapist",
                      weights="weight")  # fmt: skip
    assert (
        weighted.notes[0]
        == "Standard errors over 12 clusters: below about 40 they tend to be too small."
    )


def test_sizes_of_clusters_are_their_units_and_not_their_rows() -> None:
    lengths = np.array([[6, 6], [1, 1], [5, 5], [2, 3], [4, 3], [2, 2], [6, 5], [3, 3]])
    families = [
        {"family": f"{t}-{k}", "therapist": t, "session": s, "left": float(s == n and n < 6)}
        for t, own in enumerate(lengths)
        for k, n in enumerate(own)
        for s in range(1, n + 1)
    ]
    data = pd.DataFrame(families)
    asked = {"session": "session", "event": "left", "unit": "family", "random": None}
    model = discrete_hazard("1", data, **asked, cluster="therapist", baseline="constant")
    assert "simulated studies of 10 clusters of equal size" in model.notes[0]
    weighted = discrete_hazard(
        "1", data.assign(weight=2.0), **asked, weights="weight", baseline="constant"
    )
    assert "simulated" not in " ".join(weighted.notes)


def test_robust_errors_reject_too_often_and_reduced_ones_do_not() -> None:
    table = rejection_rates()
    sums = table.groupby(["effect", "method"])[["studies", "rejected"]].sum()
    rates = sums["rejected"] / sums["studies"]
    assert rates["experience", "robust"] > 0.08
    assert rates["experience", "CR2"] < 0.06
    assert (table.groupby("method")["studies"].min() >= 200).all()
