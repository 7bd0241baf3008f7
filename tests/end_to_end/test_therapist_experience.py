"""Experience, barriers and framework, from the example study to what the report shows."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.simulate import AllianceTruth, SymptomTruth
from analyses import therapist_experience
from analyses.simulated import chance
from tests.end_to_end.fragments import check_document, check_figures, numbers_of, rows_of

NAME = "therapist_experience"
FLOATING = 1e-12  # sums of a few ratings in another order


@pytest.fixture(scope="module")
def numbers(demo):
    return numbers_of(demo.folder / NAME)


def test_every_figure_is_written_with_its_numbers(demo):
    check_figures(
        demo.folder / NAME,
        {
            "fig-experience-slopes",
            "fig-experience-region",
            "fig-barrier-slopes",
            "fig-barrier-region",
        },
    )


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "The example study is simulated" in whole
    assert "no number here is a result of theirs" in whole


def test_the_intervals_hold_what_was_built_in(numbers):
    truth = {
        "shared_interaction": 0.0,
        "own_interaction": 0.0,
        "shared_at_mean": SymptomTruth().within,
        "own_at_mean": SymptomTruth().within,
        "parent_trauma_interaction": AllianceTruth().parent_trauma_by_trauma_informed,
        "investment_interaction": 0.0,
        "therapist_emotion_interaction": 0.0,
    }
    for name, value in truth.items():
        assert numbers[f"{name}_low"] <= value <= numbers[f"{name}_high"], name


def test_shared_and_own_parts_by_hand():
    sessions = therapist_experience.shared_and_own(therapist_experience.load())
    family = sessions["family"].iloc[0]
    own = sessions[sessions["family"] == family]
    deviation = own["alliance"] - own.groupby("person")["alliance"].transform("mean")
    shared = deviation.groupby(own["session"]).transform("mean")
    np.testing.assert_allclose(own["shared"], shared, atol=FLOATING)
    np.testing.assert_allclose(own["own"], deviation - shared, atol=FLOATING)


def test_simple_slopes_of_a_factor_differ_by_the_interaction(numbers):
    difference = numbers["trauma_informed"] - numbers["trauma_usual"]
    assert difference == pytest.approx(numbers["parent_trauma_interaction"])


def test_a_slope_variance_of_zero_is_said(demo):
    table = rows_of(demo.folder / NAME / "tbl-barrier-model.csv")
    flat = [row["Term"] for row in table if "SD of" in row["Term"] and row["Estimate"] == "0.000"]
    note = (demo.folder / NAME / "_tbl-barrier-model.qmd").read_text(encoding="utf-8")
    assert flat
    assert "variance between therapists was estimated as zero" in note


def test_the_rug_has_a_tick_a_therapist(demo):
    drawn = rows_of(demo.folder / NAME / "fig-experience-region.csv")
    assert sum(row["part"] == "unit" for row in drawn) == 30


def test_an_interval_that_misses_what_was_built_in_is_called_chance():
    holds = pd.Series({"conf_low": -0.1, "conf_high": 0.2})
    misses = pd.Series({"conf_low": 0.01, "conf_high": 0.2})
    assert chance(holds, holds) == ""
    assert "what chance gives one time in 20" in chance(holds, misses)
    assert chance(pd.Series({"conf_low": 0.8, "conf_high": 1.2}), nothing=1.0) == ""


def test_the_text_promises_no_absence_of_an_interaction(demo):
    text = (demo.folder / NAME / "_sec-experience-family.qmd").read_text(encoding="utf-8")
    assert "no interaction was built in" in text
    assert "should be found" not in text
