"""The family as a system, from the example study to what the report shows."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.simulate import AllianceTruth, EndingTruth
from analyses import systemic_alliance
from tests.end_to_end.fragments import check_document, check_figures, numbers_of

NAME = "systemic_alliance"


@pytest.fixture(scope="module")
def numbers(demo):
    return numbers_of(demo.folder / NAME)


def test_every_figure_is_written_with_its_numbers(demo):
    check_figures(
        demo.folder / NAME,
        {
            "fig-systemic-splits",
            "fig-systemic-strips",
            "fig-systemic-rupture",
            "fig-systemic-leaving",
            "fig-systemic-dyads",
        },
    )


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "The example study is simulated" in whole
    assert "no number here is a result of theirs" in whole


def test_every_caption_says_that_the_data_are_simulated(demo):
    fragments = sorted((demo.folder / NAME).glob("_fig-*.qmd"))
    fragments += sorted((demo.folder / NAME).glob("_tbl-*.qmd"))
    assert len(fragments) == 7
    for fragment in fragments:
        assert "simulated" in fragment.read_text(encoding="utf-8").lower(), fragment.name


def test_the_intervals_hold_what_was_built_in(numbers):
    endings, alliance = EndingTruth(), AllianceTruth()
    informed = alliance.parent_trauma + alliance.parent_trauma_by_trauma_informed
    truth = {
        "experience_level": alliance.experience,
        "experience_gap": 0.0,
        "alliance_log_odds": endings.alliance_so_far,
        "split_log_odds": 0.0,
        "lasting_experience": 0.0,
        "indirect_usual": alliance.parent_trauma * endings.alliance_so_far,
        "indirect_informed": informed * endings.alliance_so_far,
        "partner_child": 0.0,
    }
    for name, value in truth.items():
        assert numbers[f"{name}_low"] <= value <= numbers[f"{name}_high"], name
    # nothing was built in for ruptures either; the text says that this interval leaves out 0
    assert abs(numbers["rupture_z"]) < 3


def test_predictors_of_leaving_know_nothing_of_later_sessions():
    study = systemic_alliance.load()
    until = 4
    early = study.sessions["session"].le(until).to_numpy()
    cut = study.keep(early, reason="later session")

    def known(data):
        splits = systemic_alliance.split_of(data)
        found = systemic_alliance.ruptures_of(data)
        table = systemic_alliance.periods_of(data, splits, found)
        columns = ["family", "session", "alliance_running_mean", "split_so_far", "rupture_so_far"]
        table = table.loc[table["session"] <= until, columns]
        return table.sort_values(["family", "session"], ignore_index=True)

    pd.testing.assert_frame_equal(known(study), known(cut))


def test_the_indirect_effect_is_the_product_of_its_paths():
    study = systemic_alliance.load()
    splits, found = systemic_alliance.split_of(study), systemic_alliance.ruptures_of(study)
    periods = systemic_alliance.periods_of(study, splits, found)
    first, second = systemic_alliance.mediator(periods), systemic_alliance.hazard(periods)
    table = systemic_alliance.indirect_effects(first, second, seed=1, draws=20_000)
    fixed = second.tidy().set_index("term")
    path = fixed.loc["alliance_running_mean"]
    a = first.beta["parent_trauma"]
    assert table["estimate"][0] == pytest.approx(a * path["estimate"])
    # Sobel's first-order error is near the Monte Carlo interval's half width
    se = np.hypot(
        a * path["std_error"],
        path["estimate"] * np.sqrt(first.vcov().loc["parent_trauma", "parent_trauma"]),
    )
    half = (table["conf_high"][0] - table["conf_low"][0]) / 2
    assert half == pytest.approx(1.96 * se, rel=0.15)
