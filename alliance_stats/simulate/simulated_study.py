"""A whole simulated study: sessions, endings and interviews, with the truth behind them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.ledger import LedgerStep, RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of
from alliance_stats.simulate.draws import (
    Courses,
    Ratings,
    Units,
    draw_courses,
    draw_ratings,
    draw_symptoms,
    draw_units,
)
from alliance_stats.simulate.naming import truth_of
from alliance_stats.simulate.truth import (
    ALLIANCE_CENTRE,
    SCORE_RANGE,
    AllianceTruth,
    EndingTruth,
    FamilyTruth,
    InterviewTruth,
    SymptomTruth,
)
from alliance_stats.study import Study
from alliance_stats.study.entry import Entered

__all__ = ["SimulatedStudy", "simulate_study"]

_PARENTS = ("mother", "father")
_ROLES = {"session": "session", "role": "role", "alliance": "alliance", "outcome": "symptoms",
          "ending": "ending"}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedStudy:
    """A simulated study and its true values.

    Attributes
    ----------
    study
        The study as an analyst gets it: one row per person and session.
    truth
        Parameter name (``model.term``) -> true value; scales in
        :data:`~alliance_stats.simulate.TRUTH_SCALES`.
    themes
        A row per interviewed parent: ``family, person, parent_alliance`` and ``theme_*`` columns
        of 0 and 1.
    latent
        A row per person and session, as in ``study.sessions``, with what no analyst sees:
        ``family, person, session, level`` (expected rating at session 0), ``alliance`` (the rating
        before it may have gone missing), ``apart`` (whether the person stands apart from a split
        family) and ``rupture``.
    """

    study: Study
    truth: Mapping[str, float]
    themes: pd.DataFrame
    latent: pd.DataFrame


@renamed(n_therapists="therapists", n_families="families", n_interviewed="interviewed")
def simulate_study(
    *,
    therapists: int = 30,
    families: int = 240,
    interviewed: int = 26,
    missing_rating: float = 0.08,
    alliance: AllianceTruth | None = None,
    symptoms: SymptomTruth | None = None,
    endings: EndingTruth | None = None,
    interviews: InterviewTruth | None = None,
    family: FamilyTruth | None = None,
    seed: Seed,
) -> SimulatedStudy:
    """Simulate a study of the alliance in family treatment, with known truth.

    Families of two to four members come to their therapist together, session by session; every
    member rates the alliance and their symptoms each time, and the therapist rates the alliance
    with each member. After each attended session the family
    may drop out, end as planned, be transferred, or go on; the odds of dropping out follow the
    family's alliance so far, the barriers (parents' investment, parental trauma, the therapist's
    emotion) and the therapist. A whole family ends together.

    Parameters
    ----------
    therapists, families
        At least two therapists, and a family for each; two for each, if there are enough.
    interviewed
        How many families have one parent interviewed about the alliance, half of them with a
        successful and half with an unsuccessful one if there are enough.
    missing_rating
        Probability that an alliance rating after the first session is missing, whatever its value.
    alliance, symptoms, endings, interviews, family
        The true parameters; the defaults are those of the example study.
    seed
        Seed or generator of everything that is drawn.

    Returns
    -------
    SimulatedStudy
        Columns of its sessions: ``therapist, family, person, role, session, alliance`` (1-7),
        ``symptoms``, ``ending``, ``experience`` (years), ``framework``, ``investment``,
        ``parent_trauma``, ``therapist_emotion``, ``parent_alliance``, ``therapist_alliance``
        (1-7, the therapist's rating of the alliance with this member).

    Raises
    ------
    DataError
        If the sizes or probabilities are impossible.

    Examples
    --------
    >>> from alliance_stats import simulate_study
    >>> simulated = simulate_study(seed=1, therapists=5, families=40, interviewed=8)
    >>> simulated.study.families["therapist"].nunique()
    5
    """
    _check_sizes(families, interviewed, missing_rating)
    alliance, symptoms = alliance or AllianceTruth(), symptoms or SymptomTruth()
    endings, interviews = endings or EndingTruth(), interviews or InterviewTruth()
    family = family or FamilyTruth()
    rng = generator_of(seed)
    # a stream of its own: whatever therapists' ratings draw, the rest of the study stays as it is
    of_therapists = rng.spawn(1)[0]
    units = draw_units(therapists, families, family, rng)
    ratings = draw_ratings(
        units,
        alliance,
        families=family,
        n_sessions=endings.available_sessions[1],
        missing_rating=missing_rating,
        rng=rng,
        rng_of_therapists=of_therapists,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        scores = draw_symptoms(units, ratings, symptoms, rng)
    if not np.isfinite(scores).all():
        raise DataError(
            "The symptoms run beyond all numbers: make SDs and effects in symptoms= smaller."
        )
    courses = draw_courses(units, ratings, endings, rng)
    parent_alliance = _draw_parent_alliance(units, ratings, interviews, rng)
    themes = _draw_themes(units, parent_alliance, interviewed, interviews, rng)
    sessions, latent = _assemble(units, ratings, scores, courses, parent_alliance)
    study = Study(*_known_to_be_right(sessions, units))
    truth = truth_of(alliance, symptoms, endings, interviews, family)
    return SimulatedStudy(study, truth, themes, latent)


def _check_sizes(n_families: int, n_interviewed: int, missing_rating: float) -> None:
    if isinstance(n_families, FamilyTruth):
        raise TypeError("families= is how many families there are: the FamilyTruth is family= now.")
    if not 0.0 <= missing_rating < 1.0:
        raise DataError(f"missing_rating must lie in [0, 1); got {missing_rating}.")
    if not 0 <= n_interviewed <= n_families:
        raise DataError(
            "The interviewed families are chosen among all, so `interviewed` lies between 0 and "
            f"{n_families}; got {n_interviewed}."
        )


def _assemble(
    units: Units, ratings: Ratings, scores: Array, courses: Courses, parent_alliance: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make one row per person and attended session: the recorded and the latent values."""
    n_sessions = courses.n_sessions[units.family_of]
    row = np.repeat(np.arange(len(n_sessions)), n_sessions)
    column = np.arange(len(row)) - np.repeat(np.cumsum(n_sessions) - n_sessions, n_sessions)
    place = row * scores.shape[1] + column  # of the rating, row by row
    family = units.family_of[row]
    of_therapist = _at(units.therapists, units.therapist_of[family])
    of_family, of_person = _at(units.families, family), _at(units.persons, row)
    keys = {"family": of_family["family"], "person": of_person["person"], "session": column + 1}
    sessions = pd.DataFrame(
        {
            "therapist": of_therapist["therapist"],
            "family": keys["family"],
            "person": keys["person"],
            "role": of_person["role"],
            "session": keys["session"],
            "alliance": ratings.recorded.take(place),
            "symptoms": scores.take(place),
            "ending": courses.ending.astype(object).take(family),
            "experience": of_therapist["experience"],
            "framework": of_therapist["framework"],
            "investment": of_family["investment"],
            "parent_trauma": of_family["parent_trauma"],
            "therapist_emotion": of_family["therapist_emotion"],
            "parent_alliance": parent_alliance.to_numpy().take(family),
            "therapist_alliance": ratings.by_therapist.take(place),
        }
    )
    latent = pd.DataFrame(
        {
            **keys,
            "level": ratings.levels.expected[row],
            "alliance": ratings.complete.take(place),
            "apart": ratings.levels.apart[row],
            "rupture": ratings.rupture.take(place),
        }
    )
    return sessions, latent


def _at(units: pd.DataFrame, place: Integers) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns of units, repeated for the rows of each unit."""
    return {str(name): units[name].to_numpy().take(place) for name in units}


def _known_to_be_right(sessions: pd.DataFrame, units: Units) -> Entered:
    """Return what ``Study.from_frame`` makes of the rows, without its checks, which must pass."""
    frames = {"person": units.persons, "family": units.families, "therapist": units.therapists}
    levels = {level: (level,) for level in frames}
    came = LedgerStep("came in", 0, len(sessions), {level: len(f) for level, f in frames.items()})
    roles = {**{level: level for level in frames}, **_ROLES}
    ledger = RowLedger(levels, (came,))
    return Entered(sessions, roles, (), {"alliance": SCORE_RANGE}, "family", ledger, ())


def _draw_parent_alliance(
    units: Units, ratings: Ratings, truth: InterviewTruth, rng: np.random.Generator
) -> pd.Series:
    """Describe each family's parent alliance as successful or not, by its parents' mean level."""
    parents = units.persons["role"].isin(_PARENTS).to_numpy()
    family = units.family_of[parents]
    level = np.bincount(family, ratings.levels.expected[parents]) / np.bincount(family)
    log_odds = truth.successful + truth.parent_level * (level - ALLIANCE_CENTRE)
    successful = rng.random(len(log_odds)) < 1.0 / (1.0 + np.exp(-log_odds))
    return pd.Series(np.where(successful, "successful", "unsuccessful"))


def _draw_themes(
    units: Units,
    parent_alliance: pd.Series,
    n_interviewed: int,
    truth: InterviewTruth,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Interview one parent in some families, as evenly over the two groups as possible."""
    groups = parent_alliance.to_numpy()
    order = rng.permutation(len(groups))
    successes = groups[order] == "successful"
    # the k-th of either group is asked before the (k+1)-th of the other
    turn = np.where(successes, successes.cumsum(), (~successes).cumsum())
    chosen = np.sort(order[np.argsort(turn, kind="stable")[:n_interviewed]])
    parents = np.flatnonzero(units.persons["role"].isin(_PARENTS))
    first = parents[np.searchsorted(units.family_of[parents], chosen)]
    group = groups[chosen]
    voiced = _voice(truth.themes, group == "successful", rng)
    return pd.DataFrame(
        {
            "family": units.families["family"].to_numpy()[chosen],
            "person": units.persons["person"].to_numpy()[first],
            "parent_alliance": group,
            **{f"theme_{theme}": values.astype(np.int64) for theme, values in voiced.items()},
        }
    )


def _voice(
    themes: Mapping[str, tuple[float, float]],
    successful: Booleans,
    rng: np.random.Generator,
) -> dict[str, Booleans]:
    """Draw who voices which theme; one uniform number decides what an early problem became."""
    chance = {theme: np.where(successful, *pair) for theme, pair in themes.items()}
    draw = {theme: rng.random(len(successful)) for theme in themes}
    voiced = {theme: draw[theme] < chance[theme] for theme in themes}
    if "became_rupture" in themes and "became_strength" in themes:
        rupture, turn = chance["became_rupture"], draw["became_rupture"]
        strength = (turn >= rupture) & (turn < rupture + chance["became_strength"])
        voiced["became_strength"] = strength
    early = voiced.get("early_problem", np.ones(len(successful), dtype=bool))
    for theme in ("became_rupture", "became_strength"):
        if theme in voiced:
            voiced[theme] = voiced[theme] & early
    return voiced
