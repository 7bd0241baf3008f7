"""A planned study of families and therapists, described in the field's terms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pandas as pd

from alliance_stats.arguments import require_kind
from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.power.assumptions import (
    assumption_table,
    check_count,
    check_finite,
    check_share,
    varied,
)
from alliance_stats.simulate import (
    AllianceTruth,
    EndingTruth,
    FamilyTruth,
    InterviewTruth,
    SymptomTruth,
    simulate_study,
)
from alliance_stats.simulate.naming import truth_of
from alliance_stats.simulate.truth import COMPOSITIONS
from alliance_stats.study import Study

__all__ = ["StudyDesign"]

_TRUTHS: Mapping[str, type] = {
    "alliance": AllianceTruth,
    "symptoms": SymptomTruth,
    "endings": EndingTruth,
    "interviews": InterviewTruth,
    "family": FamilyTruth,
}

_V = TypeVar("_V")

_ALLIANCE_ICC = {"therapist": 0.1, "family": 0.2, "person": 0.2}
_SYMPTOMS_ICC = {"therapist": 0.05, "family": 0.2, "person": 0.4}
_LEVELS = ("therapist", "family", "person")
_SDS = (*(f"sd_{level}" for level in _LEVELS), "sd_residual")

# A word of `of_shares` -> the assumptions it sets, for their sources
_SET_BY: Mapping[str, tuple[str, ...]] = {
    **{
        f"{model}_{word}": tuple(f"{model}.{sd}" for sd in _SDS)
        for model in ("alliance", "symptoms")
        for word in ("sd", "icc")
    },
    "members": ("family.compositions",),
    "within": ("symptoms.within",),
    "lagged": ("symptoms.before",),
    "between": ("symptoms.between",),
    "dropout": ("endings.dropout", "endings.by_session", "endings.session"),
    "success": ("interviews.successful",),
    "split_families": ("alliance.split_probability",),
    "correlations": ("family.correlations",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDesign:
    """A study of families who come to therapists session by session, until they leave.

    Attributes
    ----------
    therapists, families
        Their numbers; at least one family per therapist, and two each if there are enough.
    missing_rating
        Probability that a rating after the first session is missing.
    alliance, symptoms, endings, interviews, family
        True parameters of ratings, symptoms, endings, the alliance's success, and family
        composition; see :class:`~alliance_stats.simulate.AllianceTruth` and its like.
    sources
        Assumption -> source, for :meth:`assumptions`.
    """

    therapists: int = 30
    families: int = 240
    missing_rating: float = 0.08
    alliance: AllianceTruth = field(default_factory=AllianceTruth)
    symptoms: SymptomTruth = field(default_factory=SymptomTruth)
    endings: EndingTruth = field(default_factory=EndingTruth)
    interviews: InterviewTruth = field(default_factory=InterviewTruth)
    family: FamilyTruth = field(default_factory=FamilyTruth)
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an impossible study."""
        for name in ("therapists", "families"):
            check_count(name, getattr(self, name), 2)
        if self.families < self.therapists:
            raise DataError(
                f"A therapist sees a family at least: {self.therapists} therapists need "
                f"{self.therapists} families; got {self.families}."
            )
        check_share("missing_rating", self.missing_rating)
        for name, kind in _TRUTHS.items():
            require_kind(
                getattr(self, name), kind, asked=f"{name}= of a design is of {kind.__name__}"
            )

    @classmethod
    def of_shares(
        cls,
        *,
        therapists: int = 30,
        families: int = 240,
        members: int | None = None,
        alliance_sd: float = 0.7,
        alliance_icc: Mapping[str, float] | None = None,
        symptoms_sd: float = 9.0,
        symptoms_icc: Mapping[str, float] | None = None,
        within: float = -3.0,
        lagged: float = 0.0,
        between: float = -4.5,
        dropout: float | Sequence[float] = 0.02,
        success: float = 0.8,
        missing_rating: float = 0.08,
        split_families: float = 0.15,
        correlations: Mapping[str, float] | None = None,
        also: Mapping[str, object] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> "StudyDesign":
        """Return a design described in the field's terms.

        Parameters
        ----------
        members
            Members of every family, 1 (a mother alone) to 4; families of several kinds, if None.
        alliance_sd, symptoms_sd
            SD of a rating given the predictors.
        alliance_icc, symptoms_icc
            Share of that variance at each level, ``{"therapist": .08, "family": .18, "person":
            .18}``; the rest is residual. By default 10, 20 and 20% of the alliance, 5, 20
            and 40% of symptoms; of shares that are given, a level without one has none.
        within, lagged, between
            Symptom points per point of the alliance's deviation in this session, of that in the
            session before, and of the person's level.
        dropout
            Hazard of dropping out after a session, for a family with an alliance of 5 and no
            barrier: one for all sessions, or one each for sessions 1, 2, ..., with the last for all
            further ones.
        success
            Share of families with a successful alliance, of those whose parents' level is 5.
        split_families
            Share of families in which one member stands apart.
        correlations
            Of a family's barriers, ``{"investment:parent_trauma": -.3}``.
        also
            Further assumptions by name, ``{"alliance.experience": .03, "alliance.sd_growth":
            .05}``.
        sources
            Assumption, or parameter of this call -> source. A number from
            :func:`~alliance_stats.power.printed_value` brings its source.

        Raises
        ------
        DataError
            If a number is impossible, or shares of variance leave nothing within persons.

        Examples
        --------
        >>> from alliance_stats.power import StudyDesign
        >>> design = StudyDesign.of_shares(therapists=15, families=60, dropout=[0.05, 0.04, 0.03])
        >>> len(design.endings.by_session)
        3
        """
        a_icc = _named("alliance_icc", _ALLIANCE_ICC if alliance_icc is None else alliance_icc)
        s_icc = _named("symptoms_icc", _SYMPTOMS_ICC if symptoms_icc is None else symptoms_icc)
        also, sources = _named("also", also), _named("sources", sources)
        a = _sds("alliance", alliance_sd, a_icc)
        s = _sds("symptoms", symptoms_sd, s_icc)
        check_share("success", success, open_ended=True)
        made = cls(
            therapists=therapists,
            families=families,
            missing_rating=missing_rating,
            alliance=varied(AllianceTruth(split_probability=split_families), a),
            symptoms=varied(SymptomTruth(within=within, before=lagged, between=between), s),
            endings=_endings(dropout),
            interviews=InterviewTruth(successful=_log_odds(success)),
            family=FamilyTruth(
                compositions=_of_size(members), correlations=_named("correlations", correlations)
            ),
        )
        given: dict[str, object] = {
            "alliance_sd": alliance_sd,
            "symptoms_sd": symptoms_sd,
            "within": within,
        }
        given |= {"lagged": lagged, "between": between, "dropout": dropout, "success": success}
        given |= {"missing_rating": missing_rating, "split_families": split_families}
        given |= {f"alliance_icc.{level}": share for level, share in a_icc.items()}
        given |= {f"symptoms_icc.{level}": share for level, share in s_icc.items()}
        given |= also
        said = {name: str(v.source) for name, v in given.items() if hasattr(v, "source")}
        return varied(made, {**also, "sources": _sources({**said, **sources})})

    @property
    def truth(self) -> Mapping[str, float]:
        """Parameter -> true value, named as ``simulate_study(...).truth`` does."""
        return truth_of(self.alliance, self.symptoms, self.endings, self.interviews, self.family)

    def draw(self, rng: np.random.Generator) -> Study:
        """Draw one study."""
        return simulate_study(
            therapists=self.therapists,
            families=self.families,
            interviewed=0,
            missing_rating=self.missing_rating,
            alliance=self.alliance,
            symptoms=self.symptoms,
            endings=self.endings,
            interviews=self.interviews,
            family=self.family,
            seed=rng,
        ).study

    def closed_form(self, alpha: float) -> Mapping[str, float]:  # noqa: ARG002  as designs are asked
        """Nothing: the analysis says what has a formula, as ``ModelEffect.closed_form``."""
        return {}

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``: what a proposal has to state."""
        return assumption_table(self, self.sources)


def _named(argument: str, given: Mapping[str, _V] | None) -> dict[str, _V]:
    """Return what was given by names; nothing, where it is None."""
    if given is not None and not isinstance(given, Mapping):
        raise DataError(f"{argument} is given by names, as {{name: value}}; got {given!r}.")
    return dict(given or {})


def _log_odds(share: float) -> float:
    """Return ``log(share / (1 - share))``."""
    return math.log(share / (1.0 - share))


def _endings(dropout: float | Sequence[float]) -> EndingTruth:
    """Return endings with this hazard of dropping out, the same or session by session."""
    if isinstance(dropout, Sequence | np.ndarray | pd.Series) and not isinstance(dropout, str):
        hazards = list(dropout)
    else:
        hazards = [dropout]
    if not hazards:
        raise DataError("dropout= needs a hazard, or one for each session.")
    for place, hazard in enumerate(hazards, start=1):
        called = "dropout" if len(hazards) == 1 else f"dropout after session {place}"
        check_share(called, hazard, open_ended=True)
    first = _log_odds(hazards[0])
    later = tuple(_log_odds(hazard) - first for hazard in hazards) if len(hazards) > 1 else ()
    return EndingTruth(dropout=first, session=0.0, by_session=later)


def _of_size(members: int | None) -> Mapping[tuple[str, ...], float]:
    """Return the kinds of families with that many members, and their frequencies."""
    if members is None:
        return COMPOSITIONS
    check_count("members", members, 1)
    if members == 1:
        return {("mother",): 1.0}
    found = {roles: share for roles, share in COMPOSITIONS.items() if len(roles) == members}
    if not found:
        most = max(map(len, COMPOSITIONS))
        raise DataError(
            f"members = {members} is more than families have: they have {most} members at most "
            "(mother, father, partner, child). Leave members= out, or name who comes in family="
            "FamilyTruth(compositions=...)."
        )
    return found


def _sources(said: Mapping[str, str]) -> dict[str, str]:
    """Return the sources by the names of the assumptions; parameters of `of_shares` give theirs."""
    found: dict[str, str] = {}
    for name, source in said.items():
        word, _, level = name.partition(".")
        if word in _SET_BY and word.endswith("_icc") and level:
            own: tuple[str, ...] = (f"{word.removesuffix('_icc')}.sd_{level}",)
        else:
            own = _SET_BY.get(name, (name,))
        for one in own:
            found[one] = f"{found[one]}; {source}" if one in found else source
    return found


def _sds(name: str, sd: float, shares: Mapping[str, float]) -> dict[str, float]:
    """Return the SD of each level and of the residual."""
    check_finite(f"{name}_sd", sd, positive=True)
    for level, share in shares.items():
        if level not in _LEVELS:
            raise DataError(f"{name}_icc has no level '{level}'. {did_you_mean(level, _LEVELS)}")
        check_share(f"{name}_icc of {level}", share)
    left = 1.0 - sum(shares.values())
    if left <= 0.0:
        raise DataError(
            f"The shares in {name}_icc sum to {sum(shares.values()):g}: nothing is left within "
            "persons. They must sum to less than 1."
        )
    found = {f"sd_{level}": sd * math.sqrt(shares.get(level, 0.0)) for level in _LEVELS}
    return found | {"sd_residual": sd * math.sqrt(left)}
