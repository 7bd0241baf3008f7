"""Power by formula beside the simulated power of a study."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.figures import power_figure
from alliance_stats.power import (
    LevelEffects,
    ModelEffect,
    Power,
    StudyDesign,
    UncertainDesign,
    varied,
)
from alliance_stats.power.drawn_studies import Plan
from alliance_stats.power.formula_powers import _ratings_of_person
from alliance_stats.simulate import AllianceTruth, EndingTruth, FamilyTruth, SymptomTruth

BY_HAND = 1e-9  # the noncentral t of scipy and ours
DRAWN = 0.05  # 2,000 drawn families; ratings that leave by chance are not integrated out
NEVER = EndingTruth(
    dropout=-30.0, planned=-30.0, transferred=-30.0, session=0.0, planned_session=0.0,
    available_sessions=(4, 4),
)  # fmt: skip
PLAIN = AllianceTruth(
    intercept=4.0, experience=0.03, trauma_informed=0.0, investment=0.0, parent_trauma=0.0,
    therapist_emotion=0.0, parent_trauma_by_trauma_informed=0.0, split_probability=0.0,
    rupture_rate=0.0,
)  # fmt: skip
BALANCED = StudyDesign(
    therapists=10, families=20, missing_rating=0.0, alliance=PLAIN, endings=NEVER,
    family=FamilyTruth(compositions={("mother", "child"): 1.0}),
)  # fmt: skip
EFFECT = ModelEffect(
    formula="alliance ~ session + experience + (1 | therapist/family/person)",
    term="experience", parameter="alliance.experience",
)  # fmt: skip


def by_hand(effect, variance, df):
    shift, critical = effect / math.sqrt(variance), stats.t.isf(0.025, df)
    return stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)


def test_the_formula_of_a_balanced_study_is_that_of_therapists_means():
    family = 0.3**2 + (0.3**2 + 0.4**2 / 4) / 2
    variance = (0.2**2 + family / 2) / (9 * (25**2 - 1) / 12)
    found = EFFECT.closed_form(BALANCED, 0.05)
    assert found == {"experience": pytest.approx(by_hand(0.03, variance, 8), abs=BY_HAND)}
    null = varied(BALANCED, {"alliance.experience": 0.0})
    assert EFFECT.closed_form(null, 0.05)["experience"] == pytest.approx(0.05, abs=BY_HAND)


def test_what_a_model_leaves_out_is_in_its_variances():
    barred = varied(BALANCED, {"alliance.investment": 0.4})
    with_it = ModelEffect(formula=EFFECT.formula.replace("+ exp", "+ investment + exp"),
                          term="experience")  # fmt: skip
    left_out, known = (one.closed_form(barred, 0.05)["experience"] for one in (EFFECT, with_it))
    assert left_out < known
    assert known == pytest.approx(EFFECT.closed_form(BALANCED, 0.05)["experience"], abs=BY_HAND)


def test_two_groups_of_therapists_are_known_by_their_numbers():
    design = varied(BALANCED, {"alliance.trauma_informed": 0.5})
    model = ModelEffect(
        formula="alliance ~ framework + (1 | therapist) + (1 | family) + (1 | person)",
        term="framework[T.trauma-informed]",
    )
    years = 0.03**2 * (25**2 - 1) / 12  # experience is left out
    variance = 0.2**2 + years + (0.3**2 + (0.3**2 + 0.4**2 / 4) / 2) / 2
    informed = (design.draw(np.random.default_rng(1)).sessions
                .drop_duplicates("therapist")["framework"].eq("trauma-informed").sum())  # fmt: skip
    expected = by_hand(0.5, variance * (1 / informed + 1 / (10 - informed)), 8)
    assert model.closed_form(design, 0.05)[model.term] == pytest.approx(expected, abs=BY_HAND)


@pytest.mark.parametrize(
    ("formula", "term"),
    [
        ("alliance ~ session * experience + (1 | therapist)", "experience"),
        ("alliance ~ session + experience + (1 | family)", "experience"),
        ("symptoms ~ session + experience + (1 | therapist)", "experience"),
        ("alliance ~ session + experience + (1 | therapist)", "session"),
        ("alliance ~ symptoms + experience + (1 | therapist)", "experience"),
        ("alliance ~ parent_alliance + experience + (1 | therapist)", "experience"),
        ("alliance ~ session + log(experience) + (1 | therapist)", "experience"),
    ],
)
def test_what_has_no_formula_has_none(formula, term):
    assert ModelEffect(formula=formula, term=term).closed_form(BALANCED, 0.05) == {}


def test_effects_within_persons_are_known_by_their_deviations():
    design = varied(BALANCED, {"symptoms.within": -0.8})
    beyond = 40 * 3
    variance = 5.0**2 / (beyond * 0.4**2)
    found = LevelEffects().closed_form(design, 0.05)
    expected = by_hand(-0.8, variance, beyond - 1)
    assert found == {"within person": pytest.approx(expected, abs=BY_HAND)}
    carried = varied(design, {"symptoms": SymptomTruth(before=-1.0)})
    assert LevelEffects().closed_form(carried, 0.05) == {}
    for other in ({"predictor": "investment"}, {"covariates": None}, {"levels": ("family",)}):
        assert LevelEffects(**other).closed_form(design, 0.05) == {}


@pytest.mark.parametrize(
    "design",
    [StudyDesign(), StudyDesign.of_shares(dropout=[0.1, 0.05, 0.02], missing_rating=0.2)],
)
def test_the_ratings_to_be_expected_are_those_that_are_drawn(design):
    ratings, chances = _ratings_of_person(design)
    assert chances.sum() == pytest.approx(1.0, abs=1e-12)
    many = varied(design, {"therapists": 200, "families": 2000})
    drawn = many.draw(np.random.default_rng(1)).sessions.groupby("person")["session"].size()
    sessions = 1.0 + (ratings - 1.0) / (1.0 - design.missing_rating)
    assert chances @ sessions == pytest.approx(drawn.mean(), rel=DRAWN)
    assert chances @ (1 / sessions) == pytest.approx((1 / drawn).mean(), rel=DRAWN)


def found_by(design, analysis=EFFECT):
    """Return a result in which one study of each cell found the effect."""
    row = {"study": 0, "term": "experience", "truth": 0.03, "estimate": 0.02, "p_value": 0.01}
    row |= {"conf_low": 0.01, "conf_high": 0.03, "singular": False, "failed": ""}
    cells = ({"families": 20}, {"families": 40})
    studies = pd.DataFrame([{"cell": 0, **row}, {"cell": 1, **row}])
    return Power(Plan(design, analysis, 1), cells, 0.05, studies)


def test_the_formula_stands_beside_the_simulated_power_and_has_a_name():
    found = found_by(BALANCED)
    closed = found.tidy()["closed_form"]
    assert closed.iloc[0] == EFFECT.closed_form(BALANCED, 0.05)["experience"] < closed.iloc[1]
    assert "Closed form: noncentral t of therapists' means." in found.notes
    assert "by formula (noncentral t of therapists' means)" in power_figure(found).caption
    sets = pd.DataFrame({"alliance.experience": [0.0, 0.03]})
    both = found_by(UncertainDesign(BALANCED, sets)).tidy()["closed_form"]
    assert both.iloc[0] == pytest.approx((0.05 + closed.iloc[0]) / 2, abs=BY_HAND)
