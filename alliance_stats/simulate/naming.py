"""The true parameters by name, so that fitted ones can be laid beside them."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from alliance_stats.simulate.truth import (
    COMPOSITIONS,
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
    AllianceTruth,
    EndingTruth,
    InterviewTruth,
    SymptomTruth,
)

__all__ = ["TRUTH_SCALES", "truth_of"]

TRUTH_SCALES: Mapping[str, str] = MappingProxyType(
    {
        "alliance": "points of the 1-7 alliance score, given every predictor; intercept at "
        "session 0, mother, experience 0, usual framework and no barrier; sd__ are SDs",
        "alliance_plain": "points of the 1-7 alliance score, for alliance ~ session + role: the "
        "predictors left out are averaged over in the intercept and stand in the SDs",
        "symptoms": "points of the symptom score; within: per point of a rating's deviation from "
        "the person's true level; between: per point of that level; intercept at session 0 and "
        "a level of 5 with no deviation; sd__ are SDs",
        "dropout": "log odds of dropping out against going on, after an attended session; "
        "alliance_so_far: per point of the family's running mean; intercept at session 0 and a "
        "running mean of 5; sd__ is an SD of log odds",
        "planned": "log odds of a planned ending against going on; intercept at session 0",
        "transferred": "log odds of a transfer against going on, the same after every session",
        "successful": "log odds of a successful parent alliance; parent_level: per point of the "
        "parents' mean true level, intercept at a level of 5",
        "theme": "probability that an interviewed parent voices the theme, by parent alliance; "
        "became_ themes given that an early problem was voiced",
    }
)
"""Model -> the scale of its true parameters (the part of a truth's name before the dot)."""


def truth_of(
    alliance: AllianceTruth,
    symptoms: SymptomTruth,
    endings: EndingTruth,
    interviews: InterviewTruth,
) -> Mapping[str, float]:
    """Name every true parameter as ``model.term``; :data:`TRUTH_SCALES` gives each model's scale.

    Terms are those of the fitted models: ``alliance.session`` beside the coefficient ``session`` of
    ``alliance ~ session + ...``, ``alliance.sd__family`` beside the SD of the family effect.
    """
    named = {f"alliance.{term}": value for term, value in _alliance_terms(alliance).items()}
    named |= {f"alliance_plain.{term}": value for term, value in _plain_terms(alliance).items()}
    named |= {
        "symptoms.(Intercept)": symptoms.intercept,
        "symptoms.session": symptoms.session,
        "symptoms.within": symptoms.within,
        "symptoms.between": symptoms.between,
        "symptoms.sd__therapist": symptoms.sd_therapist,
        "symptoms.sd__family": symptoms.sd_family,
        "symptoms.sd__person": symptoms.sd_person,
        "symptoms.sd__Observation": symptoms.sd_residual,
        "dropout.(Intercept)": endings.dropout,
        "dropout.session": endings.session,
        "dropout.alliance_so_far": endings.alliance_so_far,
        "dropout.investment": endings.investment,
        "dropout.parent_trauma": endings.parent_trauma,
        "dropout.therapist_emotion": endings.therapist_emotion,
        "dropout.sd__therapist": endings.sd_therapist,
        "planned.(Intercept)": endings.planned,
        "planned.session": endings.planned_session,
        "transferred.(Intercept)": endings.transferred,
        "successful.(Intercept)": interviews.successful,
        "successful.parent_level": interviews.parent_level,
    }
    for theme, (successful, unsuccessful) in interviews.themes.items():
        named[f"theme.{theme}.successful"] = successful
        named[f"theme.{theme}.unsuccessful"] = unsuccessful
    return MappingProxyType(named)


def _alliance_terms(truth: AllianceTruth) -> dict[str, float]:
    # a member stands apart in a share of families, one member each: mean zero, uncorrelated
    # between members, and on average over persons of variance p * size^2 / members per family
    split = truth.split_probability * truth.split_size**2 / _mean_family_size()
    rupture = truth.rupture_rate * (1.0 - truth.rupture_rate) * truth.rupture_depth**2
    return {
        "(Intercept)": truth.intercept,
        "session": truth.session,
        "role[T.father]": truth.father,
        "role[T.child]": truth.child,
        "role[T.partner]": truth.partner,
        "experience": truth.experience,
        "framework[T.trauma-informed]": truth.trauma_informed,
        "investment": truth.investment,
        "parent_trauma": truth.parent_trauma,
        "therapist_emotion": truth.therapist_emotion,
        "parent_trauma:framework[T.trauma-informed]": truth.parent_trauma_by_trauma_informed,
        "sd__therapist": truth.sd_therapist,
        "sd__family": truth.sd_family,
        "sd__person": math.sqrt(truth.sd_person**2 + split),
        "sd__growth": truth.sd_growth,
        "sd__Observation": math.sqrt(truth.sd_residual**2 + rupture),
    }


def _plain_terms(truth: AllianceTruth) -> dict[str, float]:
    """Average over the predictors left out: means to the intercept, variances to their level."""
    low, high = EXPERIENCE_YEARS
    share, trauma = FRAMEWORK_SHARE, TRAUMA_SHARE
    moderation = truth.parent_trauma_by_trauma_informed
    full = _alliance_terms(truth)
    intercept = (
        truth.intercept
        + truth.experience * (low + high) / 2
        + truth.trauma_informed * share
        + trauma * (truth.parent_trauma + moderation * share)
    )
    therapist = (
        truth.sd_therapist**2
        + truth.experience**2 * ((high - low + 1) ** 2 - 1) / 12
        + share * (1 - share) * (truth.trauma_informed + trauma * moderation) ** 2
    )
    trauma_effects = (1 - share) * truth.parent_trauma**2 + share * (
        truth.parent_trauma + moderation
    ) ** 2
    family = (
        truth.sd_family**2
        + truth.investment**2
        + truth.therapist_emotion**2
        + trauma * (1 - trauma) * trauma_effects
    )
    kept = ("session", "role[T.father]", "role[T.child]", "role[T.partner]")
    return {
        "(Intercept)": intercept,
        **{term: full[term] for term in kept},
        "sd__therapist": math.sqrt(therapist),
        "sd__family": math.sqrt(family),
        "sd__person": full["sd__person"],
        "sd__Observation": full["sd__Observation"],
    }


def _mean_family_size() -> float:
    return sum(len(roles) * share for roles, share in COMPOSITIONS.items())
