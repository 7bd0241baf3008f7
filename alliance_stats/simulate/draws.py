"""The draws behind a simulated study: who takes part, ratings, symptoms and endings."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.simulate.naming import plain_terms
from alliance_stats.simulate.truth import (
    ALLIANCE_CENTRE,
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    SCORE_DECIMALS,
    SCORE_RANGE,
    TRAUMA_SHARE,
    AllianceTruth,
    EndingTruth,
    FamilyTruth,
    SymptomTruth,
)

__all__ = [
    "Courses",
    "Levels",
    "Ratings",
    "Units",
    "draw_courses",
    "draw_ratings",
    "draw_symptoms",
    "draw_units",
]

_FEWEST_FAMILIES_EACH = 2  # as far as there are enough


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
    therapist_of: Integers
    family_of: Integers


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
) -> tuple[pd.DataFrame, Integers]:
    shares = np.array(list(truth.compositions.values()))
    drawn = rng.choice(len(shares), size=len(families), p=shares / shares.sum())
    compositions = list(truth.compositions)
    roles = [compositions[which] for which in drawn]
    persons = {
        "person": [
            f"{family}-{role}" for family, own in zip(families, roles, strict=True) for role in own
        ],
        "role": [role for own in roles for role in own],
    }
    return pd.DataFrame(persons), np.repeat(np.arange(len(roles)), [len(own) for own in roles])


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
    apart: Booleans
    therapist: Array
    family: Array
    person: Array


def _draw_levels(units: Units, truth: AllianceTruth, rng: np.random.Generator) -> Levels:
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
    of_role = {role: truth.role(role) for role in units.persons["role"].unique()}
    role = np.array([of_role[role] for role in units.persons["role"]])
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
) -> tuple[Booleans, Array]:
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


def _draw_therapist_ratings(
    units: Units,
    levels: Levels,
    truth: AllianceTruth,
    *,
    families: FamilyTruth,
    n_sessions: int,
    rng: np.random.Generator,
) -> Array:
    """Draw the therapist's rating of every member at every session, shape (persons, sessions).

    None is missing. Each part is correlated with the part of the members' alliance at the same
    level according to the reciprocities of ``truth.by_therapist``.
    """
    own, members = truth.by_therapist, plain_terms(truth, families)
    across, within = own.generalized_reciprocity, own.dyadic_reciprocity
    therapist = own.sd_therapist * _returned(
        levels.therapist, members["sd__therapist"], across, rng
    )
    family = own.sd_family * _returned(levels.family, members["sd__family"], within, rng)
    person = own.sd_person * _returned(levels.person, truth.sd_person, within, rng)
    stable = person + (family + therapist[units.therapist_of])[units.family_of]
    session = np.arange(1, n_sessions + 1)
    noise = own.sd_residual * rng.standard_normal((len(stable), n_sessions))
    raw = own.intercept + own.session * session + stable[:, None] + noise
    ratings: Array = np.clip(raw.round(SCORE_DECIMALS), *SCORE_RANGE)
    return ratings


def _returned(part: Array, sd: float, correlation: float, rng: np.random.Generator) -> Array:
    """Draw effects of SD 1 with the stated correlation with `part`, whose SD is `sd`."""
    fresh = rng.standard_normal(len(part))
    if sd == 0.0:  # nothing there to go with
        return fresh
    returned: Array = correlation * part / sd + math.sqrt(1.0 - correlation**2) * fresh
    return returned


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """The alliance of every person at every session that could take place.

    Attributes
    ----------
    levels
        Expected ratings at session 0, and the parts they are made of.
    rupture
        Whether the session is a rupture, shape (persons, sessions).
    complete
        Ratings before missingness, rounded and kept within the score's range,
        shape (persons, sessions).
    recorded
        The same with missing ratings as NaN.
    by_therapist
        The therapist's ratings of the alliance with each person, shape (persons, sessions).
    """

    levels: Levels
    rupture: Booleans
    complete: Array
    recorded: Array
    by_therapist: Array


@dataclass(frozen=True, slots=True, eq=False)
class Courses:
    """How long each family attended, and how treatment ended.

    Attributes
    ----------
    n_sessions
        Attended sessions, shape (families,).
    ending
        dropout, planned, transferred or ongoing, shape (families,).
    """

    n_sessions: Integers
    ending: npt.NDArray[np.str_]


def draw_ratings(
    units: Units,
    truth: AllianceTruth,
    *,
    families: FamilyTruth,
    n_sessions: int,
    missing_rating: float,
    rng: np.random.Generator,
    rng_of_therapists: np.random.Generator,
) -> Ratings:
    """Draw the alliance of every person over `n_sessions` sessions, according to `truth`.

    A first rating is never missing; each later one is, with probability `missing_rating`, whatever
    its value.
    """
    levels = _draw_levels(units, truth, rng)
    shape = (len(levels.expected), n_sessions)
    session = np.arange(1, n_sessions + 1)
    apart = _returned(levels.person, truth.sd_person, truth.cor_growth, rng)
    growth = truth.session + truth.sd_growth * apart
    rupture = (rng.random(shape) < truth.rupture_rate) & (session > 1)
    shift = truth.rupture_depth * (truth.rupture_rate * (session > 1) - rupture)
    noise = truth.sd_residual * rng.standard_normal(shape)
    raw = levels.expected[:, None] + growth[:, None] * session + shift + noise
    complete = np.clip(raw.round(SCORE_DECIMALS), *SCORE_RANGE)
    missing = (rng.random(shape) < missing_rating) & (session > 1)
    return Ratings(
        levels,
        rupture,
        complete,
        recorded=np.where(missing, np.nan, complete),
        by_therapist=_draw_therapist_ratings(
            units, levels, truth, families=families, n_sessions=n_sessions, rng=rng_of_therapists
        ),
    )


def draw_symptoms(
    units: Units, ratings: Ratings, truth: SymptomTruth, rng: np.random.Generator
) -> Array:
    """Draw the symptom scores that accompany the ratings, shape (persons, sessions)."""
    therapist = truth.sd_therapist * rng.standard_normal(len(units.therapists))
    family = truth.sd_family * rng.standard_normal(len(units.families))
    person = truth.sd_person * rng.standard_normal(len(units.persons))
    stable = person + (family + therapist[units.therapist_of])[units.family_of]
    session = np.arange(1, ratings.complete.shape[1] + 1)
    level = ratings.levels.expected[:, None]
    steady = (
        truth.intercept
        + truth.session * session
        + truth.between * (level - ALLIANCE_CENTRE)
        + stable[:, None]
    )
    noise = truth.sd_residual * rng.standard_normal(steady.shape)
    moved = truth.within * (ratings.complete - level) + noise
    moved[:, 1:] += truth.before * (ratings.complete - level)[:, :-1]
    for s in range(1, moved.shape[1]):
        moved[:, s] += truth.carried * moved[:, s - 1]
    symptoms: Array = (steady + moved).round(1)
    return symptoms


def draw_courses(
    units: Units, ratings: Ratings, truth: EndingTruth, rng: np.random.Generator
) -> Courses:
    """Draw after which session each family left, and how, according to `truth`."""
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
    if truth.by_session:
        dropout += np.array(truth.by_session)[np.minimum(session, len(truth.by_session)) - 1]
    planned = np.broadcast_to(truth.planned + truth.planned_session * session, dropout.shape)
    odds = np.exp([dropout, planned, np.full(dropout.shape, truth.transferred)])
    # one uniform number per family and session picks among three endings and going on
    limits = np.cumsum(odds / (1.0 + odds.sum(axis=0)), axis=0)
    which = (rng.random(dropout.shape) >= limits).sum(axis=0)
    available = rng.integers(low, high + 1, size=n_families)
    which[np.arange(n_families), available - 1] = 3
    stops = which < 3
    stops[np.arange(n_families), available - 1] = True
    last = stops.argmax(axis=1)
    endings = np.array(["dropout", "planned", "transferred", "ongoing"])
    return Courses(last.astype(np.int64) + 1, endings[which[np.arange(n_families), last]])


def alliance_so_far(recorded: Array, family_of: Integers, n_families: int) -> Array:
    """Return each family's running mean alliance up to and including every session.

    The mean over its rated members at each session, then the mean of these over the sessions so
    far; sessions that no member rated are ignored. Shape (families, sessions).
    """
    rated = np.isfinite(recorded)
    first = np.searchsorted(family_of, np.arange(n_families))  # members stand together
    total = np.add.reduceat(np.where(rated, recorded, 0.0), first)
    count = np.add.reduceat(rated, first, dtype=np.float64)
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    so_far: Array = mean.cumsum(axis=1) / (count > 0).cumsum(axis=1)
    return so_far
