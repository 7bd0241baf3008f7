"""Power by simulation and by formula against loops of lme4 and lmerTest of their own."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import lmm
from alliance_stats.power import ArmDifference, ClusterTrial, ModelEffect, StudyDesign, power
from alliance_stats.power.assumptions import assumption_table
from alliance_stats.simulate import AllianceTruth, EndingTruth, FamilyTruth, SymptomTruth
from alliance_stats.transforms import lag
from tests.parity.reference import load_reference

REFERENCE = load_reference("power_cluster_trial")
CELLS = pd.DataFrame(REFERENCE["cells"])
STUDIES = load_reference("power_studies")
OF_STUDIES = pd.DataFrame(STUDIES["cells"])

# Monte Carlo standard errors of a difference of two shares: beyond by chance once in 16,000
APART = 4.0
N_STUDIES = 80
N_SLOW = 400
# where a variance is often zero, the mixed model's df are more than the closed form's; and what
# therapists differ in is drawn anew in each study, where the formula takes its variance as known
FORMULA = 0.03
NEVER = EndingTruth(
    dropout=-30.0, planned=-30.0, transferred=-30.0, session=0.0, planned_session=0.0,
    available_sessions=(4, 4),
)  # fmt: skip
PLAIN = AllianceTruth(
    intercept=4.0, experience=0.0, trauma_informed=0.0, investment=0.0, parent_trauma=0.0,
    therapist_emotion=0.0, parent_trauma_by_trauma_informed=0.0, split_probability=0.0,
    rupture_rate=0.0,
)  # fmt: skip
MOTHERS = StudyDesign(
    therapists=12, families=48, missing_rating=0.0, alliance=PLAIN, endings=NEVER,
    family=FamilyTruth(compositions={("mother",): 1.0}),
)  # fmt: skip
EXPERIENCE = ModelEffect(
    formula="alliance ~ session + experience + (1 | therapist/family)",
    term="experience", parameter="alliance.experience",
)  # fmt: skip
NUMBERS = ["estimate", "p_value", "conf_low", "conf_high"]


def close(ours, n_ours, theirs, n_theirs, allowed):
    """Hold one share against another."""
    error = math.sqrt(theirs * (1.0 - theirs) * (1.0 / n_theirs + (1.0 / n_ours if n_ours else 0)))
    assert abs(ours - theirs) < APART * error + allowed


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
    n, step = REFERENCE["n_studies"], 1.0 / N_STUDIES  # a step of our own share
    close(found["estimate"], N_STUDIES, cell["rejected"] / n, n, step)
    close(found["n_singular"] / N_STUDIES, N_STUDIES, cell["singular"] / n, n, step)
    close(trial.closed_form(0.05)["difference"], 0, cell["rejected"] / n, n, FORMULA)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupByTime:
    """Patients of therapists in two arms, rated weekly: how their courses differ.

    ``y = intercept + (effect * treated + v_therapist + v_patient) * week + e``, SDs 1, .1, .2, 1.
    """

    therapists: int = 4
    patients: int = 6
    weeks: int = 6
    effect: float = 0.0
    sources: dict = field(default_factory=dict)

    @property
    def truth(self):
        return {"difference": self.effect}

    def draw(self, rng):
        k, m, weeks = 2 * self.therapists, self.patients, self.weeks
        person = np.repeat(np.arange(k * m), weeks)
        therapist, week = person // m, np.tile(np.arange(weeks, dtype=float), k * m)
        treated = (therapist < self.therapists).astype(float)
        slope = self.effect * treated + 0.1 * rng.standard_normal(k)[therapist]
        slope += 0.2 * rng.standard_normal(k * m)[person]
        y = rng.standard_normal(k * m)[person] + slope * week + rng.standard_normal(len(week))
        parts = {"y": y, "week": week, "treated": treated, "therapist": therapist}
        return pd.DataFrame({**parts, "person": person})

    def closed_form(self, alpha):
        """Slopes of patients, known to 1 / sum((week - mean)^2), are averaged by therapist."""
        known = 1.0 / ((self.weeks**2 - 1) * self.weeks / 12)
        total = 0.1**2 + 0.2**2 + known
        slopes = ClusterTrial(
            clusters=self.therapists, members=self.patients, icc=0.1**2 / total,
            effect=self.effect / math.sqrt(total),
        )  # fmt: skip
        return slopes.closed_form(alpha)

    def assumptions(self):
        return assumption_table(self, self.sources)


def course(data):
    """Estimate how the arms' courses differ."""
    model = lmm(
        "y ~ week * treated + (0 + week | therapist) + (1 | person) + (0 + week | person)", data
    )
    found = model.tidy().set_index("term").loc[["week:treated"], NUMBERS]
    return found.set_axis(["difference"]).rename_axis("term").reset_index().assign(
        parameter="difference", singular=model.singular
    )  # fmt: skip


def before(study):
    """Estimate what the alliance of the session before does to symptoms."""
    data = lag(study.sessions, "alliance", person="person", session="session")
    model = lmm("symptoms ~ session + alliance + alliance_lag1 + (1 | therapist/family)", data)
    found = model.tidy().set_index("term").loc[["alliance_lag1"], NUMBERS]
    return found.rename_axis("term").reset_index().assign(
        parameter="symptoms.before", singular=model.singular
    )  # fmt: skip


def asked(design, effect):
    """Return our design and analysis of one of R's loops."""
    if design == "therapist":
        truth = AllianceTruth(**{name: getattr(PLAIN, name) for name in PLAIN.__slots__}
                              | {"experience": effect})  # fmt: skip
        return StudyDesign(
            therapists=12, families=48, missing_rating=0.0, alliance=truth, endings=NEVER,
            family=MOTHERS.family,
        ), EXPERIENCE  # fmt: skip
    if design == "lagged":
        symptoms = SymptomTruth(within=-3.0, before=effect, between=effect - 3.0)
        endings = EndingTruth(
            dropout=-30.0, planned=-30.0, transferred=-30.0, session=0.0, planned_session=0.0,
            available_sessions=(6, 6),
        )  # fmt: skip
        return StudyDesign(
            therapists=10, families=40, missing_rating=0.0, alliance=PLAIN, symptoms=symptoms,
            endings=endings, family=MOTHERS.family,
        ), before  # fmt: skip
    if design == "levels":
        trial = ClusterTrial(
            clusters=6, members=4, ratings=3, icc=0.1, member_icc=0.3, effect=effect
        )
        return trial, ArmDifference()
    return GroupByTime(effect=effect), course


@pytest.mark.parametrize("place", range(len(OF_STUDIES)))
def test_what_has_a_formula_has_the_power_of_rs_loop(place):
    cell, n = OF_STUDIES.iloc[place], STUDIES["n_studies"]
    design, analysis = asked(cell["design"], float(cell["effect"]))
    own = getattr(analysis, "closed_form", None)
    found = own(design, 0.05) if own else design.closed_form(0.05)
    assert len(found) == (cell["design"] != "lagged")
    for share in found.values():
        close(share, 0, cell["rejected"] / n, n, FORMULA)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(OF_STUDIES)))
def test_whole_studies_have_the_power_of_rs_loop(place):
    cell, n = OF_STUDIES.iloc[place], STUDIES["n_studies"]
    design, analysis = asked(cell["design"], float(cell["effect"]))
    found = power(design, analysis, n_studies=N_SLOW, seed=place)
    row = found.tidy().iloc[0]
    close(row["estimate"], N_SLOW, cell["rejected"] / n, n, 1.0 / N_SLOW)
    close(row["n_singular"] / N_SLOW, N_SLOW, cell["singular"] / n, n, 1.0 / N_SLOW)
    estimates = found.studies["estimate"]
    error = cell["sd"] * math.sqrt(1.0 / n + 1.0 / N_SLOW)
    assert abs(estimates.mean() - cell["mean"]) < APART * error
    ratio = estimates.std() / cell["sd"]
    assert abs(math.log(ratio)) < APART * math.sqrt(0.5 / n + 0.5 / N_SLOW)
