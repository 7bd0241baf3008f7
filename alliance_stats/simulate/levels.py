"""The members' expected alliance: what belongs to the therapist, the family and the person."""

from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array
from alliance_stats.simulate.truth import (
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
    AllianceTruth,
)
from alliance_stats.simulate.units import Bools, Units

__all__ = ["Levels", "draw_levels"]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Members' expected ratings at session 0 and the parts, each of mean zero, behind them.

    Attributes
    ----------
    expected
        Expected rating at session 0 given every random effect but growth, shape (persons,).
    apart
        Whether the person stands apart from a split family, shape (persons,).
    therapist
        How far all families of a therapist lie from those of others, by experience, framework and
        the therapist alone, shape (therapists,).
    family
        How far a family lies from others of its therapist, by its barriers and the family alone,
        shape (families,).
    person
        How far the person lies from the rest of the family, role and split set aside,
        shape (persons,).
    """

    expected: Array
    apart: Bools
    therapist: Array
    family: Array
    person: Array


def draw_levels(units: Units, truth: AllianceTruth, rng: np.random.Generator) -> Levels:
    """Draw every person's expected rating at session 0, and who stands apart in a split family."""
    informed = (units.therapists["framework"] == "trauma-informed").to_numpy().astype(float)
    years = units.therapists["experience"].to_numpy()
    therapist = (
        truth.experience * years
        + truth.trauma_informed * informed
        + truth.sd_therapist * rng.standard_normal(len(informed))
    )
    trauma_effect = (
        truth.parent_trauma + truth.parent_trauma_by_trauma_informed * informed[units.therapist_of]
    )
    barriers = units.families
    own = (
        truth.investment * barriers["investment"].to_numpy()
        + trauma_effect * barriers["parent_trauma"].to_numpy()
        + truth.therapist_emotion * barriers["therapist_emotion"].to_numpy()
        + truth.sd_family * rng.standard_normal(len(barriers))
    )
    apart, shift = _draw_splits(units, truth, rng)
    role = np.array([truth.role(role) for role in units.persons["role"]])
    person = truth.sd_person * rng.standard_normal(len(role))
    family = therapist[units.therapist_of] + own
    # what trauma does on average to a therapist's families belongs to the therapist
    moderation = truth.parent_trauma_by_trauma_informed * TRAUMA_SHARE
    mean = (
        truth.experience * sum(EXPERIENCE_YEARS) / 2
        + (truth.trauma_informed + moderation) * FRAMEWORK_SHARE
    )
    return Levels(
        expected=truth.intercept + role + family[units.family_of] + person + shift,
        apart=apart,
        therapist=therapist + moderation * informed - mean,
        family=own - TRAUMA_SHARE * trauma_effect,
        person=person,
    )


def _draw_splits(
    units: Units, truth: AllianceTruth, rng: np.random.Generator
) -> tuple[Bools, Array]:
    """Let one member of some families stand apart, up or down."""
    n_families = len(units.families)
    split = rng.random(n_families) < truth.split_probability
    sizes = np.bincount(units.family_of, minlength=n_families)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    chosen = first + rng.integers(sizes)
    direction = np.where(rng.random(n_families) < 0.5, -1.0, 1.0)
    apart = np.zeros(len(units.family_of), dtype=bool)
    apart[chosen[split]] = True
    shift = np.where(apart, truth.split_size * direction[units.family_of], 0.0)
    return apart, shift
