"""The parameters of a simulated study, on their scales."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Real
from types import MappingProxyType

import numpy as np

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = [
    "ALLIANCE_CENTRE",
    "COMPOSITIONS",
    "EXPERIENCE_YEARS",
    "FRAMEWORK_SHARE",
    "SCORE_DECIMALS",
    "SCORE_RANGE",
    "TRAUMA_SHARE",
    "AllianceTruth",
    "EndingTruth",
    "FamilyTruth",
    "InterviewTruth",
    "SymptomTruth",
    "TherapistRatingTruth",
]

ALLIANCE_CENTRE = 5.0
"""Alliance score at which the intercepts of the symptom and ending models stand."""

SCORE_RANGE = (1.0, 7.0)
"""Lowest and highest possible rating of the alliance."""

SCORE_DECIMALS = 2
"""Decimals of a rating."""

COMPOSITIONS: Mapping[tuple[str, ...], float] = MappingProxyType(
    {
        ("mother", "child"): 0.28,
        ("father", "child"): 0.07,
        ("mother", "partner"): 0.10,
        ("mother", "father", "child"): 0.30,
        ("mother", "partner", "child"): 0.12,
        ("mother", "father", "partner", "child"): 0.13,
    }
)
"""Who comes to treatment together, and how often."""

EXPERIENCE_YEARS = (1, 25)
"""Range of the therapists' experience, whole years, evenly drawn."""

TRAUMA_SHARE = 0.4
"""Share of families with a traumatised parent."""

FRAMEWORK_SHARE = 0.5
"""Share of therapists who work within a trauma-informed framework."""


_ROLES = ("mother", "father", "partner", "child")
_BARRIERS = ("investment", "parent_trauma", "therapist_emotion")


@dataclass(frozen=True, slots=True, kw_only=True)
class TherapistRatingTruth:
    """How therapists rate the alliance with each member, in points of the same 1-7 score.

    ``rating = intercept + session * session number + v_therapist + v_family + v_person + e``: the
    reciprocal one-with-many design beside the members' own ratings (Marcus, Kashy & Baldwin 2009,
    Journal of Counseling Psychology 56, 537-548). Therapists see neither who stands apart in a
    split family nor ruptures.

    Attributes
    ----------
    sd_therapist
        SD of the perceiver effect: some therapists rate every alliance higher than others do.
    generalized_reciprocity
        Correlation across therapists of `v_therapist` with how their families rate them: with the
        therapist's part of the members' alliance, experience and framework included.
    dyadic_reciprocity
        Correlation over a therapist's families of `v_family` with the family's part of the
        members' alliance, barriers included, and over a family's members of `v_person` with
        `u_person`.
    """

    intercept: float = 4.4
    session: float = 0.03
    sd_therapist: float = 0.40
    sd_family: float = 0.30
    sd_person: float = 0.30
    sd_residual: float = 0.35
    generalized_reciprocity: float = 0.40
    dyadic_reciprocity: float = 0.60

    def __post_init__(self) -> None:
        """Refuse negative SDs and impossible correlations."""
        _check_fields(self)
        for name in ("generalized_reciprocity", "dyadic_reciprocity"):
            _check_correlation(f"TherapistRatingTruth.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class AllianceTruth:
    """How ratings of the alliance arise, in points of the 1-7 score.

    ``alliance = intercept + fixed effects + u_therapist + u_family + u_person + split + (session +
    g_person) * session number + rupture + e``, all random terms of mean zero and, except `u_person`
    and `g_person`, independent. Mother, no experience, usual framework and no barrier are the
    reference.

    Attributes
    ----------
    split_probability, split_size
        Share of families in which one member, drawn at random, stands apart from the others for
        the whole course, and by how much (up or down with equal probability).
    rupture_rate, rupture_depth
        Probability of a rupture at each session from the second on, and the drop of that session's
        rating; the next rating is back. Ratings are raised by ``rate * depth`` from the second
        session on, so that growth stays the stated line. First ratings, which contain no rupture,
        vary a little less than ``sd__Observation`` says.
    sd_growth, cor_growth
        SD between persons of the growth per session, and its correlation with `u_person`.
    by_therapist
        How the therapist rates the alliance with each member.
    """

    intercept: float = 4.5
    session: float = 0.03
    father: float = -0.20
    child: float = -0.35
    partner: float = -0.10
    experience: float = 0.01
    trauma_informed: float = 0.10
    investment: float = 0.15
    parent_trauma: float = -0.35
    therapist_emotion: float = -0.10
    parent_trauma_by_trauma_informed: float = 0.25
    sd_therapist: float = 0.20
    sd_family: float = 0.30
    sd_person: float = 0.30
    sd_growth: float = 0.0
    cor_growth: float = 0.0
    sd_residual: float = 0.40
    split_probability: float = 0.15
    split_size: float = 1.0
    rupture_rate: float = 0.03
    rupture_depth: float = 1.0
    by_therapist: TherapistRatingTruth = field(default_factory=TherapistRatingTruth)

    def __post_init__(self) -> None:
        """Refuse negative SDs and impossible probabilities."""
        _check_fields(self, probabilities=("split_probability", "rupture_rate"))
        _check_correlation("AllianceTruth.cor_growth", self.cor_growth)

    def role(self, role: str) -> float:
        """Return the effect of a role against mothers."""
        effects = {
            "mother": 0.0,
            "father": self.father,
            "child": self.child,
            "partner": self.partner,
        }
        return effects[role]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymptomTruth:
    """How symptoms follow the alliance, in points of the symptom score (higher is worse).

    ``symptoms = intercept + session * session number + within * (rating - level) + before * (last
    rating - level) + between * (level - 5) + v_therapist + v_family + v_person + carried * (last
    symptoms minus what of them is stable) + e``; a person's level is the expected rating at session
    0, and nothing comes before the first session. The rating that acts is the one that would have
    been recorded, whether or not it is missing. Stable is everything that is in neither `within`,
    `before`, `carried` nor e.
    """

    intercept: float = 55.0
    session: float = -0.6
    within: float = -3.0
    before: float = 0.0
    carried: float = 0.0
    between: float = -4.5
    sd_therapist: float = 2.0
    sd_family: float = 4.0
    sd_person: float = 6.0
    sd_residual: float = 5.0

    def __post_init__(self) -> None:
        """Refuse negative SDs, and symptoms that would grow without bound."""
        _check_fields(self)
        if not -1.0 < self.carried < 1.0:
            raise DataError(
                "SymptomTruth.carried is the part of a deviation that is left a session later and "
                f"must lie between -1 and 1; got {self.carried}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingTruth:
    """How treatments end, as competing log odds against going on after an attended session.

    After session t the probabilities of dropout, planned ending, transfer and going on are
    ``exp(eta_k) / (1 + sum exp(eta))``, so that among families that either dropped out or went on
    the dropout follows a logistic regression with exactly these coefficients. ``alliance_so_far``
    acts on the running mean, over sessions 1..t, of the family's mean recorded rating. A family
    that has attended `available_sessions` sessions is still in treatment when the study ends; that
    number is drawn uniformly from the stated range. `by_session` adds to the log odds of dropping
    out after sessions 1, 2, ..., its last number after all further ones: a hazard of any shape.

    Published shares of therapists in the variance of dropout as a whole, 5.7% (Zimmermann 2017),
    9.5% (Xiao 2017) and 12.6% (Saxon 2017), are SDs of 0.45 to 0.69 on the logit scale of one
    binary outcome per client, by share = SD^2 / (SD^2 + pi^2 / 3); `sd_therapist` is of that size,
    although it acts at every session.
    """

    dropout: float = -3.9
    session: float = -0.04
    alliance_so_far: float = -0.9
    investment: float = -0.25
    parent_trauma: float = 0.35
    therapist_emotion: float = 0.20
    sd_therapist: float = 0.55
    planned: float = -5.5
    planned_session: float = 0.27
    transferred: float = -5.8
    available_sessions: tuple[int, int] = (8, 24)
    by_session: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a negative SD and an empty range of sessions."""
        _check_fields(self)
        for value in self.by_session:
            _check_number("EndingTruth.by_session", value)
        low, high = self.available_sessions
        if not 1 <= low <= high:
            raise DataError(
                "available_sessions must be a range of at least one session, lowest first; "
                f"got {self.available_sessions}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTruth:
    """Who attends together, and how a family's barriers are correlated.

    Attributes
    ----------
    compositions
        Roles of a family's members -> how often; each with a mother or a father, of mother,
        father, partner and child, none twice.
    correlations
        Pair of ``investment``, ``parent_trauma`` and ``therapist_emotion`` -> correlation, as in
        ``{"investment:parent_trauma": -0.3}``; other pairs are uncorrelated. That of
        `parent_trauma` is the correlation with the normal score that is dichotomised into trauma.
    """

    compositions: Mapping[tuple[str, ...], float] = field(default_factory=lambda: COMPOSITIONS)
    correlations: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Refuse impossible families and incompatible correlations."""
        for roles, share in self.compositions.items():
            if not set(roles) <= set(_ROLES) or len(set(roles)) < len(roles):
                raise DataError(
                    f"Members of a family are of {', '.join(_ROLES)}, each once; got "
                    f"{', '.join(roles)}."
                )
            if not {"mother", "father"} & set(roles):
                raise DataError(f"A family needs a mother or a father; got {', '.join(roles)}.")
            _check_number(f"The share of families of {', '.join(roles)}", share)
            if share < 0.0:
                raise DataError(f"A share of families cannot be {share}.")
        if not sum(self.compositions.values()) > 0.0:
            raise DataError("compositions= must name the members of some families.")
        smallest = float(np.linalg.eigvalsh(self.matrix())[0])
        if smallest <= 0.0:
            raise DataError(
                "correlations= make no correlation matrix: not all of "
                f"{', '.join(f'{a} = {r:g}' for a, r in self.correlations.items())} can hold "
                f"(smallest eigenvalue {smallest:.3g}; it must be positive)."
            )

    def matrix(self) -> Array:
        """Return the correlations of the three barriers, shape (3, 3)."""
        found = np.eye(len(_BARRIERS))
        for pair, correlation in self.correlations.items():
            names = [name.strip() for name in str(pair).split(":")]
            for name in names:
                if name not in _BARRIERS:
                    raise DataError(
                        f"correlations= has '{pair}'; a pair is of two barriers, as "
                        f"'investment:parent_trauma'. {did_you_mean(name, _BARRIERS)}"
                    )
            if len(names) != 2 or names[0] == names[1]:
                raise DataError(f"correlations= are of pairs of two barriers; got '{pair}'.")
            _check_correlation(f"The correlation of '{pair}'", correlation)
            a, b = (_BARRIERS.index(name) for name in names)
            found[a, b] = found[b, a] = correlation
        return found

    @property
    def mean_size(self) -> float:
        """Members of a family, on average."""
        total = sum(self.compositions.values())
        return sum(len(roles) * share for roles, share in self.compositions.items()) / total


def _default_themes() -> Mapping[str, tuple[float, float]]:
    return MappingProxyType(
        {
            "early_problem": (0.70, 0.70),
            "became_rupture": (0.10, 0.65),
            "became_strength": (0.65, 0.10),
            "positive_aspects": (0.85, 0.30),
            "unresolved_issues": (0.50, 0.55),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewTruth:
    """What interviewed parents say.

    Attributes
    ----------
    successful, parent_level
        Log odds that a family's parent alliance is described as successful, at a mean true level
        of its parents of 5, and per point of that level.
    themes
        Theme -> probabilities among (successful, unsuccessful). The two ``became_`` themes exclude
        one another and are voiced only after an early problem.
    """

    successful: float = 1.4
    parent_level: float = 3.0
    themes: Mapping[str, tuple[float, float]] = field(default_factory=_default_themes)

    def __post_init__(self) -> None:
        """Refuse impossible probabilities."""
        _check_fields(self)
        for theme, pair in self.themes.items():
            for probability in pair:
                _check_probability(f"theme '{theme}'", probability)
        became = [self.themes.get(f"became_{what}", (0.0, 0.0)) for what in ("rupture", "strength")]
        if any(a + b > 1.0 for a, b in zip(*became, strict=True)):
            raise DataError(
                "became_rupture and became_strength exclude one another, so their probabilities "
                f"must sum to at most 1 in each group; got {became[0]} and {became[1]}."
            )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise DataError(f"{name} must be a number; got {value!r}.")
    if not math.isfinite(value):
        raise DataError(f"{name} must be finite; got {value}.")


def _check_probability(name: str, value: float) -> None:
    _check_number(f"The probability of {name}", value)
    if not 0.0 <= value <= 1.0:
        raise DataError(f"The probability of {name} must lie between 0 and 1; got {value}.")


def _check_correlation(name: str, value: float) -> None:
    _check_number(name, value)
    if not -1.0 <= value <= 1.0:
        raise DataError(f"{name} is a correlation and must lie between -1 and 1; got {value}.")


def _check_fields(
    truth: AllianceTruth | EndingTruth | InterviewTruth | SymptomTruth | TherapistRatingTruth,
    probabilities: tuple[str, ...] = (),
) -> None:
    for item in fields(truth):
        value = getattr(truth, item.name)
        if item.type not in (float, int):  # a range, or a truth that has checked itself
            continue
        _check_number(f"{type(truth).__name__}.{item.name}", value)
        if item.name.startswith("sd_") and value < 0:
            raise DataError(
                f"{type(truth).__name__}.{item.name} is an SD and cannot be negative; got {value}."
            )
        if item.name in probabilities:
            _check_probability(item.name, value)
