"""The true parameters by name, to be compared with fitted ones."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from types import MappingProxyType

import numpy as np

from alliance_stats.simulate.truth import (
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
    AllianceTruth,
    EndingTruth,
    FamilyTruth,
    InterviewTruth,
    SymptomTruth,
)

__all__ = ["TRUTH_SCALES", "plain_terms", "truth_of"]

TRUTH_SCALES: Mapping[str, str] = MappingProxyType(
    {
        "alliance": "points of the 1-7 alliance score, given every predictor; intercept at "
        "session 0, mother, experience 0, usual framework and no barrier; sd__ are SDs",
        "alliance_plain": "points of the 1-7 alliance score, for alliance ~ session + role: the "
        "predictors left out are averaged over in the intercept and stand in the SDs",
        "therapist_alliance": "points of the therapist's 1-7 rating of the alliance with a member, "
        "intercept at session 0; sd__ are SDs; the reciprocities are correlations with the "
        "therapist's, family's and person's part of the member's own alliance",
        "one_with_many": "variances in squared points, and correlations, of mothers' and their "
        "therapists' ratings at the first session, with no predictor: named as one_with_many() "
        "names them",
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
    families: FamilyTruth,
) -> Mapping[str, float]:
    """Name every true parameter as ``model.term``; :data:`TRUTH_SCALES` gives each model's scale.

    Terms are those of the fitted models: ``alliance.session`` beside the coefficient ``session`` of
    ``alliance ~ session + ...``, ``alliance.sd__family`` beside the SD of the family effect.
    """
    named = {
        f"alliance.{term}": value for term, value in _alliance_terms(alliance, families).items()
    }
    plain = plain_terms(alliance, families)
    named |= {f"alliance_plain.{term}": value for term, value in plain.items()}
    named |= {f"therapist_alliance.{term}": v for term, v in _therapist_terms(alliance).items()}
    mothers = _first_ratings_of_mothers(alliance, families)
    named |= {f"one_with_many.{term}": v for term, v in mothers.items()}
    named |= {
        "symptoms.(Intercept)": symptoms.intercept,
        "symptoms.session": symptoms.session,
        "symptoms.within": symptoms.within,
        "symptoms.before": symptoms.before,
        "symptoms.carried": symptoms.carried,
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


def _alliance_terms(truth: AllianceTruth, families: FamilyTruth) -> dict[str, float]:
    # a member stands apart in a share of families, one member each: mean zero, uncorrelated
    # between members, and on average over persons of variance p * size^2 / members per family
    split = truth.split_probability * truth.split_size**2 / families.mean_size
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
        **({"cor__growth": truth.cor_growth} if truth.cor_growth else {}),
        "sd__Observation": math.sqrt(truth.sd_residual**2 + rupture),
    }


def plain_terms(truth: AllianceTruth, families: FamilyTruth) -> dict[str, float]:
    """Return the terms of ``alliance ~ session + role``, averaged over the predictors left out.

    Their means enter the intercept, their variances the SD of their level.
    """
    low, high = EXPERIENCE_YEARS
    share, trauma = FRAMEWORK_SHARE, TRAUMA_SHARE
    moderation = truth.parent_trauma_by_trauma_informed
    full = _alliance_terms(truth, families)
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
        + _shared_by_barriers(truth, families)
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


def _shared_by_barriers(truth: AllianceTruth, families: FamilyTruth) -> float:
    """Return what correlations between barriers add to the variance of families."""
    if not families.correlations:
        return 0.0
    traumatised = truth.parent_trauma + truth.parent_trauma_by_trauma_informed * FRAMEWORK_SHARE
    # a cut of a normal score at the share p goes with a normal score as r * density at the cut
    cut = NormalDist()
    effects = np.array([truth.investment, traumatised, truth.therapist_emotion])
    effects[1] *= cut.pdf(cut.inv_cdf(TRAUMA_SHARE))
    apart = families.matrix() - np.eye(len(effects))
    return float(effects @ apart @ effects)


def _therapist_terms(truth: AllianceTruth) -> dict[str, float]:
    own = truth.by_therapist
    return {
        "(Intercept)": own.intercept,
        "session": own.session,
        "sd__therapist": own.sd_therapist,
        "sd__family": own.sd_family,
        "sd__person": own.sd_person,
        "sd__Observation": own.sd_residual,
        "generalized_reciprocity": own.generalized_reciprocity,
        "dyadic_reciprocity": own.dyadic_reciprocity,
    }


def _first_ratings_of_mothers(truth: AllianceTruth, families: FamilyTruth) -> dict[str, float]:
    """Return the parameters of a one-with-many model of mothers at the first session."""
    own, plain = truth.by_therapist, plain_terms(truth, families)
    mothers = {r: share for r, share in families.compositions.items() if "mother" in r and share}
    # which member stands apart is drawn evenly, so a mother does in one of as many families as
    # it has members; first ratings hold no rupture
    asked = sum(mothers.values()) or math.nan
    apart = sum(share / len(roles) for roles, share in mothers.items()) / asked
    client = (
        plain["sd__family"] ** 2
        + truth.sd_person**2
        + truth.sd_growth**2
        + truth.split_probability * truth.split_size**2 * apart
        + truth.sd_residual**2
    )
    therapist = own.sd_family**2 + own.sd_person**2 + own.sd_residual**2
    shared = own.dyadic_reciprocity * (
        plain["sd__family"] * own.sd_family + truth.sd_person * own.sd_person
    )
    defined = plain["sd__therapist"] > 0.0 and own.sd_therapist > 0.0
    return {
        "client|therapist": plain["sd__therapist"] ** 2,
        "client|dyad": client,
        "therapist|therapist": own.sd_therapist**2,
        "therapist|dyad": therapist,
        "generalized reciprocity": own.generalized_reciprocity if defined else math.nan,
        "dyadic reciprocity": shared / math.sqrt(client * therapist),
    }
