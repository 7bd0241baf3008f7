"""A simulated study: same seed same study, stated sizes and scales, and effects that act."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.simulate import (
    TRUTH_SCALES,
    AllianceTruth,
    EndingTruth,
    InterviewTruth,
    SymptomTruth,
    TherapistRatingTruth,
    simulate_study,
)
from alliance_stats.simulate.draws import alliance_so_far
from alliance_stats.study import Study
from data.make_example import FOLDER, SEED, frames, main

NEVER = -40.0  # log odds at which an ending does not happen in any study
ALWAYS = 40.0


@pytest.fixture(scope="module")
def simulated():
    return simulate_study(seed=7)


def one_a_family(sessions: pd.DataFrame) -> pd.DataFrame:
    return sessions.groupby("family").agg(
        n_sessions=("session", "max"), ending=("ending", "first"), therapist=("therapist", "first")
    )


def dropout_share(**changes: float) -> float:
    endings = EndingTruth(planned=NEVER, transferred=NEVER, **changes)
    sessions = simulate_study(families=400, endings=endings, seed=1).study.sessions
    return float((one_a_family(sessions)["ending"] == "dropout").mean())


def test_same_seed_same_study(simulated):
    again = simulate_study(seed=7)
    pd.testing.assert_frame_equal(simulated.study.sessions, again.study.sessions)
    pd.testing.assert_frame_equal(simulated.themes, again.themes)
    pd.testing.assert_frame_equal(simulated.latent, again.latent)
    assert dict(simulated.truth) == dict(again.truth)


def test_a_generator_serves_as_seed(simulated):
    again = simulate_study(seed=np.random.default_rng(7))
    pd.testing.assert_frame_equal(simulated.study.sessions, again.study.sessions)


def test_another_seed_another_study(simulated):
    other = simulate_study(seed=8)
    mine, theirs = simulated.study.sessions["alliance"], other.study.sessions["alliance"]
    assert not mine.head(100).equals(theirs.head(100))


def test_a_simulated_study_is_what_the_checks_of_a_frame_make_of_it(simulated):
    study = simulated.study
    checked = Study.from_frame(
        study.sessions, person="person", family="family", therapist="therapist",
        session="session", role="role", alliance="alliance", outcome="symptoms", ending="ending",
        score_range=(1.0, 7.0),
    )  # fmt: skip
    pd.testing.assert_frame_equal(study.sessions, checked.sessions)
    for name in ("roles", "unit", "rows", "notes", "_limits", "_scores"):
        assert getattr(study, name) == getattr(checked, name)


def test_symptoms_beyond_all_numbers_are_refused():
    with pytest.raises(DataError, match="run beyond all numbers"):
        simulate_study(seed=1, therapists=2, families=4, interviewed=0,
                       symptoms=SymptomTruth(sd_person=1e308, sd_family=1e308, sd_residual=1e308,
                                             within=-1e308))  # fmt: skip


def test_units_are_as_many_as_asked_for(simulated):
    sessions = simulated.study.sessions
    assert sessions["therapist"].nunique() == 30
    assert sessions["family"].nunique() == 240
    members = sessions.groupby("family")["person"].nunique()
    assert members.between(2, 4).all()
    families = sessions.groupby("therapist")["family"].nunique()
    assert families.min() >= 2
    assert sessions.groupby("person")["family"].nunique().eq(1).all()
    assert sessions.groupby("family")["therapist"].nunique().eq(1).all()


def test_every_member_has_every_session_of_the_family(simulated):
    by_person = simulated.study.sessions.groupby(["family", "person"])["session"]
    assert (by_person.max() == by_person.size()).all()
    assert (by_person.min() == 1).all()
    last = by_person.max().groupby("family")
    assert (last.max() == last.min()).all()


def test_scores_stay_on_their_scales(simulated):
    sessions = simulated.study.sessions
    rated = sessions["alliance"].dropna()
    assert rated.between(1, 7).all()
    # held at a limit, a score is no longer what the model says: it must stay rare
    assert rated.isin([1.0, 7.0]).mean() < 0.005
    assert sessions["symptoms"].between(-10, 110).all()
    assert set(sessions["parent_trauma"]) == {0, 1}
    assert set(sessions["framework"]) == {"trauma-informed", "usual"}
    assert sessions["experience"].between(1, 25).all()


def test_first_ratings_are_never_missing_and_later_ones_at_the_stated_rate(simulated):
    sessions = simulated.study.sessions
    first = sessions["session"] == 1
    assert sessions.loc[first, "alliance"].notna().all()
    # 4 binomial standard errors around 0.08 in some 5,000 ratings
    assert sessions.loc[~first, "alliance"].isna().mean() == pytest.approx(0.08, abs=0.016)


def test_a_share_of_zero_leaves_no_rating_missing():
    sessions = simulate_study(missing_rating=0.0, seed=2).study.sessions
    assert sessions["alliance"].notna().all()


def test_latent_rows_are_the_sessions_rows(simulated):
    sessions, latent = simulated.study.sessions, simulated.latent
    keys = ["family", "person", "session"]
    pd.testing.assert_frame_equal(sessions[keys], latent[keys])
    rated = sessions["alliance"].notna()
    assert (sessions.loc[rated, "alliance"] == latent.loc[rated, "alliance"]).all()
    assert latent["alliance"].notna().all()
    assert not latent.loc[latent["session"] == 1, "rupture"].any()
    apart = latent.drop_duplicates("person").groupby("family")["apart"].sum()
    assert apart.max() == 1


def test_endings_are_constant_in_a_family_and_of_the_four_kinds(simulated):
    sessions = simulated.study.sessions
    assert sessions.groupby("family")["ending"].nunique().eq(1).all()
    assert set(sessions["ending"]) == {"dropout", "planned", "ongoing", "transferred"}


def test_without_endings_everyone_is_ongoing_at_the_last_available_session():
    endings = EndingTruth(
        dropout=NEVER, planned=NEVER, transferred=NEVER, available_sessions=(5, 5)
    )
    families = one_a_family(simulate_study(endings=endings, seed=3).study.sessions)
    assert (families["ending"] == "ongoing").all()
    assert (families["n_sessions"] == 5).all()


def test_certain_dropout_follows_the_first_session():
    families = one_a_family(
        simulate_study(endings=EndingTruth(dropout=ALWAYS), seed=3).study.sessions
    )
    assert (families["ending"] == "dropout").all()
    assert (families["n_sessions"] == 1).all()


def test_the_hazard_responds_to_its_intercept():
    assert dropout_share(dropout=-5.0) < dropout_share(dropout=-3.0) - 0.2


def test_the_hazard_responds_to_the_alliance_so_far():
    endings = EndingTruth(alliance_so_far=-3.0, planned=NEVER, transferred=NEVER)
    sessions = simulate_study(families=400, endings=endings, seed=4).study.sessions
    first = sessions[sessions["session"] == 1].groupby("family")["alliance"].mean()
    left = one_a_family(sessions)["ending"] == "dropout"
    assert first[left].mean() < first[~left].mean() - 0.3


def test_the_hazard_responds_to_a_barrier():
    endings = EndingTruth(alliance_so_far=0.0, parent_trauma=3.0)
    sessions = simulate_study(families=400, endings=endings, seed=5).study.sessions
    families = sessions.groupby("family").agg(
        trauma=("parent_trauma", "first"), ending=("ending", "first")
    )
    left = (families["ending"] == "dropout").groupby(families["trauma"]).mean()
    assert left[1] > left[0] + 0.3


def test_alliance_so_far_is_the_mean_of_session_means_by_hand():
    recorded = np.array([[4.0, 6.0, np.nan], [2.0, np.nan, np.nan], [5.0, np.nan, 3.0]])
    so_far = alliance_so_far(recorded, np.array([0, 0, 1]), 2)
    # family 0: session means 3, 6, none; family 1: 5, none, 3
    np.testing.assert_allclose(so_far, [[3.0, 4.5, 4.5], [5.0, 5.0, 4.0]])


def test_truth_names_every_model_and_gives_its_scale(simulated):
    assert {name.split(".")[0] for name in simulated.truth} == set(TRUTH_SCALES)
    assert simulated.truth["alliance.session"] == AllianceTruth().session
    assert simulated.truth["symptoms.between"] == SymptomTruth().between
    assert simulated.truth["dropout.alliance_so_far"] == EndingTruth().alliance_so_far
    assert simulated.truth["theme.positive_aspects.successful"] == 0.85


def test_truth_cannot_be_changed(simulated):
    with pytest.raises(TypeError):
        simulated.truth["alliance.session"] = 0.0


def test_implied_sds_by_hand():
    truth = simulate_study(
        alliance=AllianceTruth(
            sd_person=0.3, split_probability=0.2, split_size=1.0, sd_residual=0.4,
            rupture_rate=0.1, rupture_depth=2.0, sd_family=0.5, investment=0.3,
            therapist_emotion=-0.2, parent_trauma=-0.4, parent_trauma_by_trauma_informed=0.4,
            sd_therapist=0.2, experience=0.01, trauma_informed=0.1, intercept=4.5,
        ),
        seed=1,
    ).truth  # fmt: skip
    # families have 0.45 * 2 + 0.42 * 3 + 0.13 * 4 = 2.68 members on average
    assert truth["alliance.sd__person"] == pytest.approx(sqrt(0.09 + 0.2 / 2.68))
    assert truth["alliance.sd__Observation"] == pytest.approx(sqrt(0.16 + 0.1 * 0.9 * 4))
    # trauma acts by -0.4 under half of the therapists: variance 0.4 * 0.6 * 0.16 / 2
    assert truth["alliance_plain.sd__family"] == pytest.approx(
        sqrt(0.25 + 0.09 + 0.04 + 0.24 * 0.16 / 2)
    )
    # years 1..25 have variance 52; the framework adds 0.1 + 0.4 * 0.4 under half
    assert truth["alliance_plain.sd__therapist"] == pytest.approx(
        sqrt(0.04 + 52e-4 + 0.25 * 0.26**2)
    )
    assert truth["alliance_plain.(Intercept)"] == pytest.approx(
        4.5 + 0.13 + 0.05 + 0.4 * (-0.4 + 0.2)
    )


def test_ratings_have_the_stated_spread_and_growth():
    endings = EndingTruth(
        dropout=NEVER, planned=NEVER, transferred=NEVER, available_sessions=(10, 10)
    )
    truth = AllianceTruth(intercept=4.0)
    simulated = simulate_study(
        therapists=100, families=2000, alliance=truth, endings=endings, seed=6
    )
    latent = simulated.latent
    residual = latent["alliance"] - latent["level"] - truth.session * latent["session"]
    # about 54,000 residuals: 4 standard errors of their mean and SD lie below 0.01
    assert residual.mean() == pytest.approx(0.0, abs=0.01)
    assert residual.std() == pytest.approx(simulated.truth["alliance.sd__Observation"], abs=0.01)
    by_session = residual.groupby(latent["session"]).mean()
    assert by_session.abs().max() < 0.03
    level = latent.drop_duplicates("person").set_index(["family", "person"])["level"]
    person = (level - level.groupby("family").transform("mean")).to_numpy()
    roles = np.var([0.0, -0.2, -0.35, -0.1])
    assert person.std() < sqrt(simulated.truth["alliance.sd__person"] ** 2 + roles)


def test_whatever_therapists_rate_the_rest_of_the_study_stays():
    harsh = AllianceTruth(by_therapist=TherapistRatingTruth(intercept=3.0, sd_person=0.0))
    mine = simulate_study(seed=7).study.sessions
    theirs = simulate_study(seed=7, alliance=harsh).study.sessions
    column = "therapist_alliance"
    pd.testing.assert_frame_equal(mine.drop(columns=column), theirs.drop(columns=column))
    assert theirs[column].mean() == pytest.approx(mine[column].mean() - 1.4, abs=0.05)


def test_therapists_rate_every_member_at_every_session_on_the_same_scale(simulated):
    rated = simulated.study.sessions["therapist_alliance"]
    assert rated.notna().all()
    assert rated.between(1, 7).all()
    assert rated.isin([1.0, 7.0]).mean() < 0.005


def many_therapists(alliance: AllianceTruth) -> tuple[pd.DataFrame, dict[str, float]]:
    endings = EndingTruth(available_sessions=(2, 2))
    made = simulate_study(
        therapists=1500, families=6000, alliance=alliance, endings=endings, seed=11
    )
    return made.study.sessions.query("session == 1 and role == 'mother'"), dict(made.truth)


def test_mothers_and_therapists_agree_as_the_stated_reciprocities_say():
    mothers, truth = many_therapists(AllianceTruth())
    pairs = mothers[["alliance", "therapist_alliance"]]
    therapists = mothers["therapist"]
    n = therapists.value_counts()
    within = pairs - pairs.groupby(therapists).transform("mean")
    # one-way analysis of (co)variance: unbiased moments within and between therapists
    dyad = within.T @ within / (len(pairs) - len(n))
    means = pairs.groupby(therapists).mean() - pairs.mean()
    between = (means.T * n.loc[means.index].to_numpy()) @ means / (len(n) - 1)
    size = (n.sum() - (n**2).sum() / n.sum()) / (len(n) - 1)
    therapist = ((between - dyad) / size).to_numpy()
    dyad = dyad.to_numpy()
    found = {
        "client|therapist": therapist[0, 0],
        "client|dyad": dyad[0, 0],
        "therapist|therapist": therapist[1, 1],
        "therapist|dyad": dyad[1, 1],
        "generalized reciprocity": therapist[0, 1] / sqrt(therapist[0, 0] * therapist[1, 1]),
        "dyadic reciprocity": dyad[0, 1] / sqrt(dyad[0, 0] * dyad[1, 1]),
    }
    # 1,500 therapists: a correlation's standard error is about .03 where effects are estimated
    # from four clients each, a variance's below .015
    for name, value in found.items():
        margin = 0.12 if name == "generalized reciprocity" else 0.05
        assert value == pytest.approx(truth[f"one_with_many.{name}"], abs=margin), name


def test_without_reciprocity_the_two_ratings_of_a_dyad_are_unrelated():
    alone = TherapistRatingTruth(generalized_reciprocity=0.0, dyadic_reciprocity=0.0)
    mothers, truth = many_therapists(AllianceTruth(by_therapist=alone))
    # some 5,600 pairs: four standard errors
    assert abs(mothers["alliance"].corr(mothers["therapist_alliance"])) < 0.055
    assert truth["one_with_many.dyadic reciprocity"] == 0.0


def test_where_members_do_not_differ_there_is_nothing_to_return():
    flat = AllianceTruth(sd_person=0.0, split_probability=0.0)
    made = simulate_study(alliance=flat, seed=3)
    assert made.study.sessions["therapist_alliance"].notna().all()


def test_interviewed_parents_come_from_both_groups_evenly(simulated):
    themes = simulated.themes
    assert len(themes) == 26
    assert themes["family"].is_unique
    assert themes["parent_alliance"].value_counts().to_dict() == {
        "successful": 13,
        "unsuccessful": 13,
    }
    sessions = simulated.study.sessions.drop_duplicates("person").set_index("person")
    assert set(sessions.loc[themes["person"], "role"]) <= {"mother", "father"}
    described = sessions.loc[themes["person"], "parent_alliance"].to_numpy()
    assert (described == themes["parent_alliance"].to_numpy()).all()


def test_an_early_problem_becomes_at_most_one_thing():
    themes = simulate_study(interviewed=200, seed=9).themes
    became = themes["theme_became_rupture"] + themes["theme_became_strength"]
    assert became.max() == 1
    assert (became <= themes["theme_early_problem"]).all()


def test_themes_are_voiced_as_often_as_stated():
    interviews = InterviewTruth(themes={"everyone": (1.0, 1.0), "successful_only": (1.0, 0.0)})
    themes = simulate_study(interviews=interviews, seed=10).themes
    assert themes["theme_everyone"].eq(1).all()
    assert (themes["theme_successful_only"] == (themes["parent_alliance"] == "successful")).all()


def test_nobody_need_be_interviewed():
    assert simulate_study(interviewed=0, seed=1).themes.empty


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"therapists": 1}, "at least 2 therapists and a family for each"),
        ({"families": 29}, "got 30 therapists and 29 families"),
        ({"missing_rating": 1.0}, r"missing_rating must lie in \[0, 1\); got 1.0"),
        ({"interviewed": 241}, "between 0 and 240; got 241"),
    ],
)
def test_impossible_sizes_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        simulate_study(seed=1, **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AllianceTruth(sd_family=-0.1), "AllianceTruth.sd_family is an SD"),
        (lambda: AllianceTruth(rupture_rate=1.2), "rupture_rate must lie between 0 and 1; got 1.2"),
        (lambda: SymptomTruth(within=float("nan")), "SymptomTruth.within must be finite"),
        (lambda: TherapistRatingTruth(sd_family=-1.0), "TherapistRatingTruth.sd_family is an SD"),
        (
            lambda: TherapistRatingTruth(dyadic_reciprocity=1.2),
            "dyadic_reciprocity is a correlation and must lie between -1 and 1; got 1.2",
        ),
        (lambda: EndingTruth(available_sessions=(9, 8)), "lowest first; got \\(9, 8\\)"),
        (
            lambda: InterviewTruth(themes={"x": (0.5, 1.5)}),
            "theme 'x' must lie between 0 and 1; got 1.5",
        ),
        (
            lambda: InterviewTruth(
                themes={"became_rupture": (0.6, 0.1), "became_strength": (0.6, 0.1)}
            ),
            "exclude one another",
        ),
    ],
)
def test_impossible_truths_are_refused(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_the_committed_example_is_what_its_script_makes(tmp_path):
    for path in main(tmp_path):
        assert path.read_bytes() == (FOLDER / path.name).read_bytes()


def test_the_example_is_of_the_stated_size():
    sessions = frames(simulate_study(seed=SEED))["sessions"]
    assert len(sessions) == pytest.approx(6000, rel=0.1)
    assert sessions["person"].nunique() == pytest.approx(650, rel=0.05)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.csv")) < 1_000_000
