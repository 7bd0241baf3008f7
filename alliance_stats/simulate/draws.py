"""The draws behind a simulated study: arrays in, arrays out, one generator for all of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.simulate.truth import (
    ALLIANCE_CENTRE,
    COMPOSITIONS,
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
    AllianceTruth,
    EndingTruth,
    SymptomTruth,
)

__all__ = [
    "Courses",
    "Ratings",
    "Units",
    "draw_courses",
    "draw_ratings",
    "draw_symptoms",
    "draw_units",
]

SCORE_RANGE = (1.0, 7.0)
"""Lowest and highest possible rating."""

_SCORE_DECIMALS = 2
_FEWEST_FAMILIES_EACH = 2

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


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """The alliance of every person at every session that could take place.

    Attributes
    ----------
    level
        Expected rating at session 0 given every random effect but growth, shape (persons,).
    apart
        Whether the person stands apart from a split family, shape (persons,).
    rupture
        Whether the session is a rupture, shape (persons, sessions).
    complete
        Ratings before any goes missing, rounded and held in the score's range,
        shape (persons, sessions).
    recorded
        The same with missing ratings as NaN.
    """

    level: Array
    apart: Bools
    rupture: Bools
    complete: Array
    recorded: Array


@dataclass(frozen=True, slots=True, eq=False)
class Courses:
    """How long each family came, and how it ended.

    Attributes
    ----------
    n_sessions
        Attended sessions, shape (families,).
    ending
        dropout, planned, transferred or ongoing, shape (families,).
    """

    n_sessions: Ints
    ending: npt.NDArray[np.str_]


def draw_units(n_therapists: int, n_families: int, rng: np.random.Generator) -> Units:
    """Draw therapists, their families and the families' members."""
    fewest = _FEWEST_FAMILIES_EACH * n_therapists
    if n_therapists < 2 or n_families < fewest:
        raise DataError(
            "A study needs at least 2 therapists and 2 families for each of them; "
            f"got {n_therapists} therapists and {n_families} families."
        )
    extra = rng.integers(n_therapists, size=n_families - fewest)
    every = np.repeat(np.arange(n_therapists), _FEWEST_FAMILIES_EACH)
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
    families = pd.DataFrame(
        {
            "family": _ids("F", n_families),
            "investment": rng.standard_normal(n_families).round(2),
            "parent_trauma": (rng.random(n_families) < TRAUMA_SHARE).astype(np.int64),
            "therapist_emotion": rng.standard_normal(n_families).round(2),
        }
    )
    persons, family_of = _draw_persons(families["family"].to_list(), rng)
    return Units(therapists, families, persons, therapist_of, family_of)


def draw_ratings(
    units: Units,
    truth: AllianceTruth,
    *,
    n_sessions: int,
    missing_rating: float,
    rng: np.random.Generator,
) -> Ratings:
    """Draw the alliance of every person over `n_sessions` sessions, as `truth` says.

    A first rating is never missing; each later one is, with chance `missing_rating`, whatever its
    value.
    """
    level, apart = _draw_levels(units, truth, rng)
    shape = (len(level), n_sessions)
    session = np.arange(1, n_sessions + 1)
    growth = truth.session + truth.sd_growth * rng.standard_normal(shape[0])
    rupture = (rng.random(shape) < truth.rupture_rate) & (session > 1)
    shift = truth.rupture_depth * (truth.rupture_rate * (session > 1) - rupture)
    noise = truth.sd_residual * rng.standard_normal(shape)
    raw = level[:, None] + growth[:, None] * session + shift + noise
    complete = np.clip(raw.round(_SCORE_DECIMALS), *SCORE_RANGE)
    missing = (rng.random(shape) < missing_rating) & (session > 1)
    return Ratings(level, apart, rupture, complete, np.where(missing, np.nan, complete))


def draw_symptoms(
    units: Units, ratings: Ratings, truth: SymptomTruth, rng: np.random.Generator
) -> Array:
    """Draw the symptom scores that go with the ratings, shape (persons, sessions)."""
    therapist = truth.sd_therapist * rng.standard_normal(len(units.therapists))
    family = truth.sd_family * rng.standard_normal(len(units.families))
    person = truth.sd_person * rng.standard_normal(len(units.persons))
    stable = person + (family + therapist[units.therapist_of])[units.family_of]
    session = np.arange(1, ratings.complete.shape[1] + 1)
    level = ratings.level[:, None]
    expected = (
        truth.intercept
        + truth.session * session
        + truth.within * (ratings.complete - level)
        + truth.between * (level - ALLIANCE_CENTRE)
    )
    noise = truth.sd_residual * rng.standard_normal(expected.shape)
    symptoms: Array = (expected + stable[:, None] + noise).round(1)
    return symptoms


def draw_courses(
    units: Units, ratings: Ratings, truth: EndingTruth, rng: np.random.Generator
) -> Courses:
    """Draw after which session each family left, and how, as `truth` says."""
    low, high = truth.available_sessions
    n_families = len(units.families)
    session = np.arange(1, high + 1)
    barriers = units.families
    therapist = truth.sd_therapist * rng.standard_normal(len(units.therapists))
    stable = (
        truth.dropout
        + truth.investment * barriers["investment"].to_numpy()
        + truth.parent_trauma * barriers["parent_trauma"].to_numpy()
        + truth.therapist_emotion * barriers["therapist_emotion"].to_numpy()
        + therapist[units.therapist_of]
    )
    so_far = alliance_so_far(ratings.recorded[:, :high], units.family_of, n_families)
    dropout = (
        stable[:, None]
        + truth.session * session
        + truth.alliance_so_far * (so_far - ALLIANCE_CENTRE)
    )
    planned = np.broadcast_to(truth.planned + truth.planned_session * session, dropout.shape)
    odds = np.exp([dropout, planned, np.full(dropout.shape, truth.transferred)])
    # one uniform number a family and session picks among three endings and going on
    limits = np.cumsum(odds / (1.0 + odds.sum(axis=0)), axis=0)
    which = (rng.random(dropout.shape) >= limits).sum(axis=0)
    available = rng.integers(low, high + 1, size=n_families)
    which[np.arange(n_families), available - 1] = 3
    stops = which < 3
    stops[np.arange(n_families), available - 1] = True
    last = stops.argmax(axis=1)
    endings = np.array(["dropout", "planned", "transferred", "ongoing"])
    return Courses(last.astype(np.int64) + 1, endings[which[np.arange(n_families), last]])


def alliance_so_far(recorded: Array, family_of: Ints, n_families: int) -> Array:
    """Return each family's running mean alliance up to and including every session.

    The mean over its rated members at each session, then the mean of these over the sessions so
    far; sessions that no member rated do not count. Shape (families, sessions).
    """
    rated = np.isfinite(recorded)
    total = np.zeros((n_families, recorded.shape[1]))
    count = np.zeros_like(total)
    np.add.at(total, family_of, np.where(rated, recorded, 0.0))
    np.add.at(count, family_of, rated)
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    so_far: Array = mean.cumsum(axis=1) / (count > 0).cumsum(axis=1)
    return so_far


def _draw_persons(families: list[str], rng: np.random.Generator) -> tuple[pd.DataFrame, Ints]:
    shares = np.array(list(COMPOSITIONS.values()))
    drawn = rng.choice(len(COMPOSITIONS), size=len(families), p=shares / shares.sum())
    compositions = list(COMPOSITIONS)
    members = [
        (position, f"{family}-{role}", role)
        for position, (family, which) in enumerate(zip(families, drawn, strict=True))
        for role in compositions[which]
    ]
    frame = pd.DataFrame(members, columns=["position", "person", "role"])
    return frame[["person", "role"]], frame["position"].to_numpy(dtype=np.int64)


def _draw_levels(
    units: Units, truth: AllianceTruth, rng: np.random.Generator
) -> tuple[Array, Bools]:
    """Draw every person's expected rating at session 0, and who stands apart in a split family."""
    informed = (units.therapists["framework"] == "trauma-informed").to_numpy().astype(float)
    therapist = (
        truth.experience * units.therapists["experience"].to_numpy()
        + truth.trauma_informed * informed
        + truth.sd_therapist * rng.standard_normal(len(informed))
    )
    barriers = units.families
    trauma_effect = (
        truth.parent_trauma + truth.parent_trauma_by_trauma_informed * informed[units.therapist_of]
    )
    family = (
        therapist[units.therapist_of]
        + truth.investment * barriers["investment"].to_numpy()
        + trauma_effect * barriers["parent_trauma"].to_numpy()
        + truth.therapist_emotion * barriers["therapist_emotion"].to_numpy()
        + truth.sd_family * rng.standard_normal(len(barriers))
    )
    apart, shift = _draw_splits(units, truth, rng)
    role = np.array([truth.role(role) for role in units.persons["role"]])
    person = truth.sd_person * rng.standard_normal(len(role))
    level: Array = truth.intercept + role + family[units.family_of] + person + shift
    return level, apart


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


def _ids(letter: str, count: int) -> list[str]:
    width = 2 if letter == "T" else 3
    width = max(width, len(str(count)))
    return [f"{letter}{number:0{width}d}" for number in range(1, count + 1)]
