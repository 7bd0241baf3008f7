"""What is planned: closed forms against published powers, pilots, printed and uncertain numbers."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.power import (
    ClusterTrial,
    InterviewDesign,
    StudyDesign,
    UncertainDesign,
    hazard_of_dropout,
    pilot_design,
    power,
    printed_value,
    varied,
)
from alliance_stats.power.assumptions import changed
from alliance_stats.simulate import AllianceTruth, EndingTruth, FamilyTruth, simulate_study
from alliance_stats.study import Study

BY_HAND = 1e-12  # the same arithmetic
PRINTED = 0.0006  # powers are printed with three decimals, and some cut off
LARGE_PILOT = 4.0  # standard errors: beyond by chance once in 16,000

# Heo, Litwin, Blackstock, Kim & Arnsten 2017 (doi:10.1177/0962280214547381), Table 2: effect, ICC,
# groups of the clustered arm, members of each, power by the normal approximation; as many persons
# on their own in the other arm.
GROUPS_AND_PERSONS = [
    (0.4, 0.025, 5, 26, 0.807),
    (0.4, 0.050, 5, 37, 0.802),
    (0.4, 0.075, 5, 69, 0.800),
    (0.5, 0.025, 5, 15, 0.811),
    (0.5, 0.050, 5, 18, 0.809),
    (0.5, 0.075, 5, 22, 0.800),
    (0.6, 0.025, 5, 10, 0.816),
    (0.6, 0.050, 5, 11, 0.811),
    (0.6, 0.075, 5, 12, 0.800),
]


def variance_of(trial):
    """Return the variance of the arms' difference, taken back from the closed form's shift."""
    k, m = trial.clusters, trial.members
    inside = trial.member_icc + (1 - trial.icc - trial.member_icc) / trial.ratings
    arm = (trial.icc + inside / m) / k
    return arm + (inside / (k * m) if trial.partially_nested else arm)


@pytest.mark.parametrize(("effect", "icc", "k", "m", "printed"), GROUPS_AND_PERSONS)
def test_groups_against_persons_have_the_published_power(effect, icc, k, m, printed):
    trial = ClusterTrial(clusters=k, members=m, icc=icc, effect=effect, partially_nested=True)
    normal = stats.norm.cdf(effect / math.sqrt(variance_of(trial)) - stats.norm.isf(0.025))
    assert normal == pytest.approx(printed, abs=PRINTED)
    own = trial.closed_form(0.05)["difference"]
    assert own < normal  # five groups give few df, which the normal approximation does not know
    wide = ClusterTrial(
        clusters=400 * k, members=m, icc=icc, effect=effect / 20, partially_nested=True
    )
    assert wide.closed_form(0.05)["difference"] == pytest.approx(normal, abs=0.001)


def test_therapists_of_a_longitudinal_trial_have_the_published_power():
    """Four therapists an arm with 10 patients each, 11 weeks: 58% on 6 df, as powerlmm prints it.

    Its vignette on three-level models (version of 2018-08-12; Magnusson, Andersson & Carlbring
    2018, doi:10.1037/ccp0000333): half of the variance at baseline between patients, slopes' over
    residual variance .02, 5% of the slopes' between therapists, d = .8 of baseline SDs at the end.
    A slope is known from 11 weeks with a variance of 1 / 110 of the residual's.
    """
    residual = 1.0
    slopes = 0.02 * residual
    between, patients = 0.05 * slopes, 0.95 * slopes + residual / 110
    a_week = 0.8 * math.sqrt(2.0 * residual) / 10
    total = between + patients
    trial = ClusterTrial(
        clusters=4, members=10, icc=between / total, effect=a_week / math.sqrt(total)
    )
    assert trial.closed_form(0.05)["difference"] == pytest.approx(0.58, abs=0.005)


# Killip, Mahfoud & Pearce 2004 (doi:10.1370/afm.141), Table 2: physicians in all, half an arm,
# patients of each, design effect at an ICC of .017, effective sample size as printed
PHYSICIANS = [(4, 10, 1.153, 34), (4, 20, 1.323, 60), (4, 40, 1.663, 96), (4, 80, 2.343, 136)]


@pytest.mark.parametrize(("k", "m", "design_effect", "effective"), PHYSICIANS)
def test_patients_of_physicians_have_the_published_effective_size(k, m, design_effect, effective):
    trial = ClusterTrial(clusters=k // 2, members=m, icc=0.017, effect=0.5)
    variance = variance_of(trial)  # of a difference of two means of `size` independent persons
    size = 2.0 / variance * 2.0
    assert size == pytest.approx(k * m / design_effect, rel=1e-3)
    assert math.floor(size) in (effective, effective - 1)


def test_three_levels_are_cluster_means_of_members_means():
    trial = ClusterTrial(clusters=9, members=4, icc=0.1, member_icc=0.3, ratings=5, effect=0.7)
    shift = 0.7 / math.sqrt(2 * (0.1 + (0.3 + 0.6 / 5) / 4) / 9)
    critical = stats.t.isf(0.025, 16)
    by_hand = stats.nct.sf(critical, 16, shift) + stats.nct.cdf(-critical, 16, shift)
    assert trial.closed_form(0.05)["difference"] == pytest.approx(by_hand, rel=1e-9)
    two = ClusterTrial(clusters=9, members=4, icc=0.1, effect=0.7)
    equal = ClusterTrial(clusters=9, members=4, icc=0.1, effect=0.7, size_cv=0.0)
    unequal = ClusterTrial(clusters=9, members=4, icc=0.1, effect=0.7, size_cv=0.8)
    assert two.closed_form(0.05) == equal.closed_form(0.05)
    assert unequal.closed_form(0.05)["difference"] < two.closed_form(0.05)["difference"]
    null = ClusterTrial(clusters=9, members=4, effect=0.0, size_cv=0.5, partially_nested=True)
    assert null.closed_form(0.05)["difference"] == pytest.approx(0.05, abs=1e-9)


def test_drawn_clusters_have_the_stated_variances_and_sizes():
    trial = ClusterTrial(
        clusters=4000, members=6, icc=0.2, member_icc=0.3, ratings=3, effect=0.0, size_cv=0.5
    )
    data = trial.draw(np.random.default_rng(1))
    sizes = data.groupby("cluster")["member"].nunique()
    assert sizes.mean() == pytest.approx(6, rel=0.03)
    assert sizes.std() / sizes.mean() == pytest.approx(0.5, rel=0.05)
    assert sizes.min() >= 1
    members = data.groupby(["cluster", "member"])["outcome"].mean()
    assert data.groupby("member")["outcome"].var().mean() == pytest.approx(0.5, rel=0.02)
    assert members.groupby("cluster").var().mean() == pytest.approx(0.3 + 0.5 / 3, rel=0.03)
    assert data["outcome"].var() == pytest.approx(1.0, rel=0.03)


def test_a_large_pilot_gives_back_what_it_was_made_from():
    pilot = simulate_study(
        seed=11,
        therapists=80,
        families=700,
        interviewed=0,
        alliance=AllianceTruth(split_probability=0.0, rupture_rate=0.0),
        endings=EndingTruth(planned=-4.5, planned_session=0.1),
    ).study
    design = pilot_design(pilot, therapists=15, families=60, n_sets=20, seed=1)
    truth = StudyDesign(
        alliance=AllianceTruth(split_probability=0.0, rupture_rate=0.0),
        endings=EndingTruth(planned=-4.5, planned_session=0.1),
    )
    real = truth.assumptions().set_index("assumption")["value"]
    for name in design.sets:
        spread = design.sets[name].std()
        found = design.assumptions().set_index("assumption").loc[name, "value"]
        assert abs(found - real[name]) < LARGE_PILOT * spread, name
    assert design.design.missing_rating == pytest.approx(0.08, abs=0.01)
    assert design.design.family.compositions.keys() == {
        tuple(sorted(roles, key=["mother", "father", "child", "partner"].index))
        for roles in FamilyTruth().compositions
    }
    table = design.assumptions().set_index("assumption")
    assert "corrected for a reliability of means" in table.loc["symptoms.between", "source"]
    assert table.loc["alliance.split_probability", "source"].endswith("held in its SDs")


def test_planned_endings_at_one_session_alone_are_no_rate_by_session():
    # a therapy of fixed length: the log odds per session would be infinite
    sessions = simulate_study(seed=2, therapists=5, families=40, interviewed=0).study.sessions
    sessions["ending"] = sessions["ending"].replace("planned", "ongoing")
    sessions = sessions[sessions["session"] <= 8]
    stayed = sessions.groupby("family")["session"].transform("max").eq(8)
    sessions.loc[stayed, "ending"] = "planned"
    study = Study.from_frame(
        sessions, person="person", family="family", therapist="therapist", session="session",
        role="role", alliance="alliance", ending="ending",
    )  # fmt: skip
    with pytest.raises(NotIdentifiedError, match="assumptions about the ending 'planned'"):
        pilot_design(study, therapists=5, families=30, n_sets=2, seed=1)


def test_a_pilot_of_other_words_and_fewer_columns_is_read():
    sessions = simulate_study(seed=2, therapists=5, families=20, interviewed=0).study.sessions
    other = sessions.rename(columns={"alliance": "WAI", "person": "who"}).drop(
        columns=["experience", "symptoms", "ending", "framework"]
    )
    other["role"] = other["role"].replace({"child": "youth"})
    study = Study.from_frame(
        other, person="who", family="family", therapist="therapist", session="session",
        role="role", alliance="WAI",
    )  # fmt: skip
    with pytest.raises(DataError, match="the role 'youth': say with roles="):
        pilot_design(study, therapists=5, families=30, n_sets=2, seed=1)
    design = pilot_design(
        study, therapists=5, families=30, roles={"youth": "child"}, n_sets=3, seed=1
    )
    table = design.assumptions().set_index("assumption")
    assert table.loc["alliance.experience", "source"] == "not in the pilot, taken for 0"
    assert table.loc["symptoms.within", "source"] == "assumed"
    alone = Study.from_frame(sessions, person="person", session="session", alliance="alliance")
    with pytest.raises(DataError, match="it has no therapist"):
        pilot_design(alone, therapists=5, families=30, seed=1)


def test_a_pilot_of_few_units_is_refused_in_the_words_of_the_pilot():
    def pilot(therapists: int, families: int, without: tuple[str, ...] = ()) -> Study:
        made = simulate_study(seed=1, therapists=therapists, families=families, interviewed=0)
        return Study.from_frame(
            made.study.sessions.drop(columns=list(without)), person="person", family="family",
            therapist="therapist", session="session", role="role", alliance="alliance",
        )  # fmt: skip

    few = (
        r"has 3 therapists, too few .*\('experience', 'framework'\).*alliance.experience': \[\.\.\."
    )
    with pytest.raises(NotIdentifiedError, match=few):
        pilot_design(pilot(3, 6), therapists=15, families=90, n_sets=2, seed=1)
    with pytest.raises(NotIdentifiedError, match="has 6 families, too few to tell .* 'investment'"):
        pilot_design(pilot(6, 6), therapists=15, families=90, n_sets=2, seed=1)
    told = pilot(3, 6, ("experience", "framework"))
    design = pilot_design(told, therapists=15, families=90, n_sets=2, seed=1)
    made = changed(design, {"alliance.experience": 0.02})
    assert made.design.truth["alliance.experience"] == 0.02


def test_uncertain_assumptions_are_drawn_anew_for_every_study():
    trial = ClusterTrial(clusters=8, members=5, effect=0.5)
    sets = pd.DataFrame({"effect": [0.2, 0.8], "icc": [0.02, 0.1]})
    design = UncertainDesign(trial, sets)
    found = power(design, first_arm, n_studies=60, seed=1)
    assert set(found.studies["truth"]) == {0.2, 0.8}
    row = found.tidy().iloc[0]
    assert row["what"] == "expected power"
    assert row["bias"] == pytest.approx(
        (found.studies["estimate"] - found.studies["truth"]).mean(), rel=1e-9
    )
    each = [varied(trial, dict(one)).closed_form(0.05)["difference"] for _, one in sets.iterrows()]
    assert row["closed_form"] == pytest.approx(np.mean(each), rel=BY_HAND)
    known = changed(design, {"effect": 0.5})
    assert power(known, first_arm, n_studies=4, seed=1).tidy()["what"].item() == "expected power"
    assert list(known.sets) == ["icc"]
    assert changed(design, {"effect": 0.5, "icc": 0.1}) == varied(
        trial, {"effect": 0.5, "icc": 0.1}
    )
    assert repr(design) == repr(UncertainDesign(trial, sets.copy()))
    assert repr(design) != repr(UncertainDesign(trial, sets + 0.01))
    with pytest.raises(DataError, match="icc is a share"):
        UncertainDesign(trial, pd.DataFrame({"icc": [0.1, 1.2]}))
    with pytest.raises(DataError, match="at least 2 rows"):
        UncertainDesign(trial, sets.head(1))


def first_arm(trial):
    """Compare the arms' means by t, clusters set aside: an analysis of a user's own."""
    first = trial["treated"] == 1.0
    found = stats.ttest_ind(trial.loc[first, "outcome"], trial.loc[~first, "outcome"])
    difference = trial.loc[first, "outcome"].mean() - trial.loc[~first, "outcome"].mean()
    return pd.DataFrame({"term": ["difference"], "estimate": difference, "p_value": found.pvalue})


def test_printed_numbers_bring_their_sources():
    share = printed_value("swift2012/overall", "proportion")
    hazard = hazard_of_dropout(share, sessions=12)
    assert (1 - hazard) ** 12 == pytest.approx(1 - 0.197, rel=BY_HAND)
    family = printed_value("welmers-ch4-icc/T1", "icc")
    design = StudyDesign.of_shares(
        dropout=hazard,
        alliance_icc={"family": family, "therapist": 0.08},
        sources={"alliance_icc.therapist": "own pilot", "within": "a guess"},
    )
    table = design.assumptions().set_index("assumption")["source"]
    assert "doi:10.1037/a0028226" in table["endings.dropout"]
    assert "spread evenly over 12 sessions" in table["endings.dropout"]
    assert "icc = 0.12" in table["alliance.sd_family"]
    assert table["alliance.sd_therapist"] == "own pilot"
    assert table["symptoms.within"] == "a guess"
    assert design.alliance.sd_family == pytest.approx(0.7 * math.sqrt(0.12), rel=BY_HAND)
    again = pickle.loads(pickle.dumps(share))
    assert (again, again.source) == (share, share.source)
    with pytest.raises(DataError, match="no record 'swift2012/over'. Did you mean"):
        printed_value("swift2012/over", "proportion")
    with pytest.raises(DataError, match="prints no 'icc'"):
        printed_value("swift2012/overall", "icc")
    with pytest.raises(DataError, match="a limit, and no number to plan with"):
        printed_value("welmers-ch4-icc/T1", "p_value")


def test_hazards_of_sessions_are_those_that_were_said():
    design = StudyDesign.of_shares(therapists=2, families=40_000, members=1, dropout=[0.2, 0.1])
    still = {"investment": 0.0, "parent_trauma": 0.0, "therapist_emotion": 0.0}
    changes = {f"endings.{name}": 0.0 for name in (*still, "sd_therapist", "alliance_so_far")}
    changes |= {
        "endings.planned": -30.0,
        "endings.planned_session": 0.0,
        "endings.transferred": -30.0,
    }
    study = varied(design, changes).draw(np.random.default_rng(1))
    last = study.sessions.groupby("family")["session"].max()
    for session, hazard in ((1, 0.2), (2, 0.1), (5, 0.1)):
        there = last >= session
        left = (last == session) & there
        n = int(there.sum())
        assert left.sum() / n == pytest.approx(hazard, abs=4 * math.sqrt(hazard / n))
    assert study.sessions["role"].unique().tolist() == ["mother"]


def test_correlations_of_barriers_and_of_growth_are_those_that_were_said():
    design = StudyDesign.of_shares(
        therapists=2,
        families=20_000,
        members=2,
        correlations={"investment:therapist_emotion": -0.5, "investment:parent_trauma": 0.4},
        also={"alliance.sd_growth": 0.1, "alliance.cor_growth": -0.6},
    )
    families = design.draw(np.random.default_rng(3)).families
    assert families["investment"].corr(families["therapist_emotion"]) == pytest.approx(
        -0.5, abs=0.03
    )
    cut = stats.norm.pdf(stats.norm.isf(0.4)) / math.sqrt(0.4 * 0.6)  # a cut score's correlation
    assert families["investment"].corr(families["parent_trauma"]) == pytest.approx(
        0.4 * cut, abs=0.03
    )
    assert families["parent_trauma"].mean() == pytest.approx(0.4, abs=0.02)
    assert design.truth["alliance.cor__growth"] == -0.6


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: StudyDesign.of_shares(members=5), "members = 5 is more than families have"),
        (lambda: StudyDesign.of_shares(dropout=[0.1, 1.2]), "dropout after session 2 is a share"),
        (lambda: StudyDesign.of_shares(dropout=[]), "dropout= needs a hazard"),
        (lambda: StudyDesign.of_shares(dropout="high"), "dropout must be a number; got .high"),
        (
            lambda: ClusterTrial(clusters=4, members=5, partially_nested="no"),
            "partially_nested must be True or False; got 'no'",
        ),
        (lambda: StudyDesign.of_shares(dropout=None), "dropout must be a number; got None"),
        (lambda: StudyDesign.of_shares(success=1.0), "success is a share"),
        (
            lambda: StudyDesign.of_shares(alliance_icc=0.1),
            "alliance_icc is given by names, as .*0.1",
        ),
        (lambda: StudyDesign.of_shares(correlations=[]), "correlations is given by names"),
        (
            lambda: StudyDesign.of_shares(within="-3"),
            "SymptomTruth.within must be a number; got '-3'",
        ),
        (lambda: StudyDesign.of_shares(lagged=[0.1]), "SymptomTruth.before must be a number"),
        (lambda: StudyDesign.of_shares(between=True), "SymptomTruth.between must be a number"),
        (lambda: StudyDesign.of_shares(split_families="few"), "split_probability must be a number"),
        (
            lambda: StudyDesign.of_shares(also={"endings.by_session": ("a",)}),
            "by_session must be a",
        ),
        (lambda: StudyDesign.of_shares(also={"interviews.successful": math.nan}), "must be finite"),
        (
            lambda: StudyDesign.of_shares(correlations={"investment:parent_trauma": "strong"}),
            "correlation of 'investment:parent_trauma' must be a number; got 'strong'",
        ),
        (
            lambda: StudyDesign.of_shares(
                correlations={
                    "investment:parent_trauma": 0.9,
                    "investment:therapist_emotion": 0.9,
                    "parent_trauma:therapist_emotion": -0.9,
                }
            ),
            "make no correlation matrix",
        ),
        (
            lambda: StudyDesign.of_shares(correlations={"investment:parent_traum": 0.1}),
            "Did you mean 'parent_trauma'",
        ),
        (
            lambda: StudyDesign.of_shares(correlations={"investment:parent_trauma": 1.4}),
            "between -1",
        ),
        (
            lambda: StudyDesign.of_shares(sources={"alliance_ic": "x"}).assumptions(),
            "which is no assumption",
        ),
        (lambda: StudyDesign.of_shares(also={"alliance.cor_growth": 2.0}), "between -1 and 1"),
        (lambda: FamilyTruth(compositions={("child",): 1.0}), "needs a mother or a father"),
        (lambda: FamilyTruth(compositions={("mother", "mother"): 1.0}), "each once"),
        (lambda: ClusterTrial(clusters=4, members=3, member_icc=0.2), "give ratings="),
        (lambda: ClusterTrial(clusters=4, members=3, size_cv=-0.1), "cannot be negative"),
        (
            lambda: ClusterTrial(clusters=4, members=3, icc=0.6, member_icc=0.4, ratings=2),
            "nothing is left within members",
        ),
        (lambda: ClusterTrial(clusters=4, members=3, icc="0.1"), "icc must be a number"),
        (lambda: InterviewDesign(shares=(0.5,)), "one share for each of two groups"),
        (lambda: hazard_of_dropout(1.0, sessions=3), "share is a share"),
    ],
)
def test_designs_that_cannot_be_are_refused(ask, message):
    with pytest.raises(DataError, match=message):
        ask()


def test_levels_without_a_share_have_none():
    assert StudyDesign.of_shares(alliance_icc={}).alliance.sd_therapist == 0.0
    assert StudyDesign.of_shares(alliance_icc={}, alliance_sd=0.6).alliance.sd_residual == 0.6


def test_what_is_no_design_is_refused():
    with pytest.raises(WrongObjectError, match="endings= of a design is of EndingTruth; got NoneT"):
        StudyDesign(endings=None)
    with pytest.raises(WrongObjectError, match="The design is the class ClusterTrial"):
        power(ClusterTrial, first_arm, n_studies=2, seed=1)
    with pytest.raises(WrongObjectError, match="has no truth"):
        power(pd.DataFrame(), first_arm, n_studies=2, seed=1)
    with pytest.raises(WrongObjectError, match="is a function of a drawn study"):
        power(ClusterTrial(clusters=3, members=3), "lmm", n_studies=2, seed=1)
