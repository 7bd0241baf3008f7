"""Who takes part in a simulated study, and the expected alliance of each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.simulate.truth import (
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
    AllianceTruth,
    FamilyTruth,
)

__all__ = ["Bools", "Ints", "Levels", "Units", "draw_levels", "draw_units"]

_FEWEST_FAMILIES_EACH = 2  # as far as there are enough

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Who takes part: three frames, each naming its parent by position.

    Attributes
    ----------
    therapists
        ``therapist, experience, framework``.
    families
        ``family, investment, parent_trauma, therapist_emotion``.
    persons
        ``person, role``.
    therapist_of, family_of
        Position of each family's therapist, shape (families,); of each person's family, shape
        (persons,), not decreasing.
    """

    therapists: pd.DataFrame
    families: pd.DataFrame
    persons: pd.DataFrame
    therapist_of: Ints
    family_of: Ints


def draw_units(
    n_therapists: int, n_families: int, truth: FamilyTruth, rng: np.random.Generator
) -> Units:
    """Draw therapists, their families and the families' members."""
    if n_therapists < 2 or n_families < n_therapists:
        raise DataError(
            "A study needs at least 2 therapists and a family for each of them; "
            f"got {n_therapists} therapists and {n_families} families."
        )
    each = min(_FEWEST_FAMILIES_EACH, n_families // n_therapists)
    extra = rng.integers(n_therapists, size=n_families - each * n_therapists)
    every = np.repeat(np.arange(n_therapists), each)
    therapist_of = np.sort(np.concatenate([every, extra]))
    informed = np.zeros(n_therapists, dtype=bool)
    informed[: round(FRAMEWORK_SHARE * n_therapists)] = True
    low, high = EXPERIENCE_YEARS
    therapists = pd.DataFrame(
        {
            "therapist": _ids("T", n_therapists),
            "experience": rng.integers(low, high + 1, size=n_therapists),
            "framework": np.where(rng.permutation(informed), "trauma-informed", "usual"),
        }
    )
    families = _draw_barriers(n_families, truth, rng)
    persons, family_of = _draw_persons(families["family"].to_list(), truth, rng)
    return Units(therapists, families, persons, therapist_of, family_of)


def _draw_barriers(n_families: int, truth: FamilyTruth, rng: np.random.Generator) -> pd.DataFrame:
    """Draw the families' barriers; trauma occurs where a uniform number is small."""
    investment = rng.standard_normal(n_families)
    trauma = rng.random(n_families)
    emotion = rng.standard_normal(n_families)
    if truth.correlations:
        apart = np.column_stack([investment, -stats.norm.ppf(trauma), emotion])
        together = apart @ np.linalg.cholesky(truth.matrix()).T
        investment, emotion = together[:, 0], together[:, 2]
        trauma = stats.norm.cdf(-together[:, 1])
    return pd.DataFrame(
        {
            "family": _ids("F", n_families),
            "investment": investment.round(2),
            "parent_trauma": (trauma < TRAUMA_SHARE).astype(np.int64),
            "therapist_emotion": emotion.round(2),
        }
    )


def _draw_persons(
    families: list[str], truth: FamilyTruth, rng: np.random.Generator
) -> tuple[pd.DataFrame, Ints]:
    shares = np.array(list(truth.compositions.values()))
    drawn = rng.choice(len(shares), size=len(families), p=shares / shares.sum())
    compositions = list(truth.compositions)
    members = [
        (position, f"{family}-{role}", role)
        for position, (family, which) in enumerate(zip(families, drawn, strict=True))
        for role in compositions[which]
    ]
    frame = pd.DataFrame(members, columns=["position", "person", "role"])
    return frame[["person", "role"]], frame["position"].to_numpy(dtype=np.int64)


def _ids(letter: str, count: int) -> list[str]:
    width = 2 if letter == "T" else 3
    width = max(width, len(str(count)))
    return [f"{letter}{number:0{width}d}" for number in range(1, count + 1)]


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
        How far all families of a therapist deviate from those of others, by experience, framework
        and the therapist effect, shape (therapists,).
    family
        How far a family deviates from others of its therapist, by its barriers and the family
        effect, shape (families,).
    person
        How far the person deviates from the rest of the family, apart from role and split,
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
