"""What is planned: a study of families and therapists, a trial in clusters, interviews.

A design is a frozen record of assumptions that can draw a study of its kind. What is to be varied
is named by its field, those of a truth behind a point: ``"therapists"``, ``"alliance.experience"``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import did_you_mean
from alliance_stats.effect_sizes import noncentral_t_cdf
from alliance_stats.errors import DataError
from alliance_stats.simulate import (
    AllianceTruth,
    EndingTruth,
    InterviewTruth,
    SymptomTruth,
    simulate_study,
)
from alliance_stats.simulate.naming import truth_of
from alliance_stats.study import Study

__all__ = ["ClusterTrial", "Design", "InterviewDesign", "StudyDesign", "varied"]

_ALLIANCE_ICC = {"therapist": 0.1, "family": 0.2, "person": 0.2}
_SYMPTOMS_ICC = {"therapist": 0.05, "family": 0.2, "person": 0.4}
_D = TypeVar("_D")


class Design(Protocol):
    """What can be planned: it draws a study and knows what is true in it."""

    @property
    def truth(self) -> Mapping[str, float]:
        """Name of a parameter -> its true value."""
        ...

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one study of this design."""
        ...

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the power of terms for which there is a formula."""
        ...

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``."""
        ...


def varied(design: _D, changes: Mapping[str, object]) -> _D:
    """Return the design with other values of some assumptions.

    Raises
    ------
    DataError
        If the design has no such assumption, or cannot be with that value.
    """
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        own = [one.name for one in fields(design)]  # type: ignore[arg-type]
        if head not in own:
            raise DataError(f"The design has no '{name}' to vary. {did_you_mean(name, own)}")
        held = getattr(design, head)
        if rest and not is_dataclass(held):
            raise DataError(f"'{head}' is one value and has no '{rest}'.")
        design = replace(design, **{head: varied(held, {rest: value}) if rest else value})  # type: ignore[type-var]
    return design


def _assumptions(record: Any, sources: Mapping[str, str], prefix: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, value in asdict(record).items():
        if name == "sources":
            continue
        called = f"{prefix}{name}"
        if is_dataclass(getattr(record, name)):
            rows += _assumptions(getattr(record, name), sources, f"{called}.")
            continue
        source = sources.get(called, sources.get(called.partition(".")[0], "assumed"))
        rows.append({"assumption": called, "value": value, "source": source})
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDesign:
    """A study of families who come to therapists session by session, until they leave.

    Attributes
    ----------
    therapists, families
        How many; at least two families a therapist.
    missing_rating
        Chance that a rating after the first session is missing.
    alliance, symptoms, endings
        What is taken for true of ratings, symptoms and leaving; see
        :class:`~alliance_stats.simulate.AllianceTruth` and its like.
    sources
        Assumption -> where it is from, for :meth:`assumptions`.
    """

    therapists: int = 30
    families: int = 240
    missing_rating: float = 0.08
    alliance: AllianceTruth = field(default_factory=AllianceTruth)
    symptoms: SymptomTruth = field(default_factory=SymptomTruth)
    endings: EndingTruth = field(default_factory=EndingTruth)
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a study that cannot be."""
        for name in ("therapists", "families"):
            _check_count(name, getattr(self, name), 2)
        if self.families < 2 * self.therapists:
            raise DataError(
                f"A therapist sees two families at least: {self.therapists} therapists need "
                f"{2 * self.therapists} families; got {self.families}."
            )
        _check_share("missing_rating", self.missing_rating)

    @classmethod
    def of_shares(
        cls,
        *,
        therapists: int = 30,
        families: int = 240,
        alliance_sd: float = 0.7,
        alliance_icc: Mapping[str, float] | None = None,
        symptoms_sd: float = 9.0,
        symptoms_icc: Mapping[str, float] | None = None,
        within: float = -3.0,
        lagged: float = 0.0,
        between: float = -4.5,
        dropout: float = 0.02,
        missing_rating: float = 0.08,
        split_families: float = 0.15,
        sources: Mapping[str, str] | None = None,
    ) -> "StudyDesign":
        """Return a design said in the field's words.

        Parameters
        ----------
        alliance_sd, symptoms_sd
            SD of a rating given the predictors.
        alliance_icc, symptoms_icc
            Share of that variance at each level, ``{"therapist": .08, "family": .18, "person":
            .18}``; the rest is the residual's. Not given: 10, 20 and 20% of the alliance, 5, 20
            and 40% of symptoms.
        within, lagged, between
            Symptom points a point of the alliance's deviation in this session, of that in the
            session before, and of the person's level.
        dropout
            Hazard of dropping out after a session, of a family with an alliance of 5.
        split_families
            Share of families of whom one member stands apart.
        """
        _check_share("dropout", dropout, open_ended=True)
        a = _sds("alliance", alliance_sd, alliance_icc or _ALLIANCE_ICC)
        s = _sds("symptoms", symptoms_sd, symptoms_icc or _SYMPTOMS_ICC)
        return cls(
            therapists=therapists,
            families=families,
            missing_rating=missing_rating,
            alliance=varied(AllianceTruth(split_probability=split_families), a),
            symptoms=varied(SymptomTruth(within=within, before=lagged, between=between), s),
            endings=EndingTruth(dropout=math.log(dropout / (1.0 - dropout))),
            sources=dict(sources or {}),
        )

    @property
    def truth(self) -> Mapping[str, float]:
        """Parameter -> true value, named as ``simulate_study(...).truth`` does."""
        return truth_of(self.alliance, self.symptoms, self.endings, InterviewTruth())

    def draw(self, rng: np.random.Generator) -> Study:
        """Draw one study."""
        return simulate_study(
            n_therapists=self.therapists,
            n_families=self.families,
            n_interviewed=0,
            missing_rating=self.missing_rating,
            alliance=self.alliance,
            symptoms=self.symptoms,
            endings=self.endings,
            seed=rng,
        ).study

    def closed_form(self, alpha: float) -> Mapping[str, float]:  # noqa: ARG002  as designs are asked
        """Nothing: families that leave have no formula."""
        return {}

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``: what a proposal has to state."""
        return pd.DataFrame(_assumptions(self, self.sources))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTrial:
    """A trial of two arms with members in clusters (patients of a therapist, a group, a site).

    Attributes
    ----------
    clusters, members
        Clusters an arm, and members each.
    icc
        Share of variance between clusters of an arm.
    effect
        Difference of the arms in total SDs of a clustered arm.
    partially_nested
        Whether the second arm has no clusters: `clusters` times `members` persons on their own.
    sources
        Assumption -> where it is from.
    """

    clusters: int
    members: int
    icc: float = 0.05
    effect: float = 0.5
    partially_nested: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a trial that cannot be."""
        _check_count("clusters", self.clusters, 2)
        _check_count("members", self.members, 2)
        _check_share("icc", self.icc)
        if not math.isfinite(self.effect):
            raise DataError(f"effect must be finite; got {self.effect}.")

    @property
    def truth(self) -> Mapping[str, float]:
        """``difference``: the effect."""
        return {"difference": self.effect}

    def draw(self, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``arm`` (0, 1), ``treated`` (1 in the first arm), ``cluster``, ``outcome``."""
        k, m = self.clusters, self.members
        cluster = np.repeat(np.arange(2 * k), m)
        treated = (cluster < k).astype(np.float64)
        between = math.sqrt(self.icc) * rng.standard_normal(2 * k)[cluster]
        within = math.sqrt(1.0 - self.icc) * rng.standard_normal(2 * k * m)
        if self.partially_nested:  # persons of the second arm: clusters of their own, no effect
            alone = treated == 0.0
            between[alone] = 0.0
            cluster = np.where(alone, k + np.arange(2 * k * m), cluster)
        outcome = self.effect * treated + between + within
        return pd.DataFrame({"treated": treated, "cluster": cluster, "outcome": outcome})

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the power of the t test of cluster means on ``2 (k - 1)`` df.

        Noncentral t with ``delta / sqrt(2 (icc + (1 - icc) / m) / k)`` (Donner & Klar 2000, Design
        and analysis of cluster randomization trials, ch. 5); none where an arm has no clusters.
        """
        if self.partially_nested:
            return {}
        variance = 2.0 * (self.icc + (1.0 - self.icc) / self.members) / self.clusters
        df = 2.0 * (self.clusters - 1.0)
        critical = float(stats.t.isf(alpha / 2.0, df))
        shift = self.effect / math.sqrt(variance)
        below = noncentral_t_cdf(critical, df, shift) - noncentral_t_cdf(-critical, df, shift)
        return {"difference": 1.0 - below}

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``."""
        return pd.DataFrame(_assumptions(self, self.sources))


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewDesign:
    """Interviews in two groups, coded for a theme.

    Attributes
    ----------
    first, second
        Cases interviewed in each group.
    shares
        How often the theme is voiced in each.
    sources
        Assumption -> where it is from.
    """

    first: int = 6
    second: int = 7
    shares: tuple[float, float] = (0.85, 0.30)
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse groups of nobody and impossible shares."""
        _check_count("first", self.first, 1)
        _check_count("second", self.second, 1)
        for share in self.shares:
            _check_share("shares", share, closed=True)

    @property
    def truth(self) -> Mapping[str, float]:
        """``difference``: of the two shares."""
        return {"difference": self.shares[0] - self.shares[1]}

    def draw(self, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``group`` (first, second) and ``theme`` (0, 1)."""
        sizes = (self.first, self.second)
        voiced = rng.random(sum(sizes)) < np.repeat(self.shares, sizes)
        return pd.DataFrame(
            {"group": np.repeat(["first", "second"], sizes), "theme": voiced.astype(np.int64)}
        )

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the power of Fisher's exact test, over all tables that can come."""
        rows = np.arange(self.first + 1), np.arange(self.second + 1)
        chance = np.outer(
            stats.binom.pmf(rows[0], self.first, self.shares[0]),
            stats.binom.pmf(rows[1], self.second, self.shares[1]),
        )
        rejected = [
            [
                stats.fisher_exact([[a, self.first - a], [b, self.second - b]]).pvalue < alpha
                for b in rows[1]
            ]
            for a in rows[0]
        ]
        return {"difference": float((chance * np.array(rejected)).sum())}

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``."""
        return pd.DataFrame(_assumptions(self, self.sources))


def _sds(name: str, sd: float, shares: Mapping[str, float]) -> dict[str, float]:
    """Return the SD of each level and of the residual."""
    levels: Sequence[str] = ("therapist", "family", "person")
    for level, share in shares.items():
        if level not in levels:
            raise DataError(f"{name}_icc has no level '{level}'. {did_you_mean(level, levels)}")
        _check_share(f"{name}_icc of {level}", share)
    left = 1.0 - sum(shares.values())
    if left <= 0.0:
        raise DataError(
            f"The shares in {name}_icc sum to {sum(shares.values()):g}: nothing is left within "
            "persons. They must sum to less than 1."
        )
    if not (math.isfinite(sd) and sd > 0.0):
        raise DataError(f"{name}_sd must be a positive number; got {sd}.")
    found = {f"sd_{level}": sd * math.sqrt(shares.get(level, 0.0)) for level in levels}
    return found | {"sd_residual": sd * math.sqrt(left)}


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{name} must be a whole number, at least {least}; got {value!r}.")


def _check_share(
    name: str, value: float, *, open_ended: bool = False, closed: bool = False
) -> None:
    low = value > 0.0 if open_ended else value >= 0.0
    if not (low and (value <= 1.0 if closed else value < 1.0)):
        raise DataError(f"{name} is a share and must lie between 0 and 1; got {value}.")
