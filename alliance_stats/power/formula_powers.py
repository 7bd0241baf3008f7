"""Power by formula: designs with a closed form, differences of therapists, effects in persons.

Ratings are nested: sessions in persons, persons in families, families in therapists. A person's
mean has the variance ``sd_person^2 + sd_residual^2 / n``; the weights of means add up level by
level, as generalised least squares has them for known variances. An effect of therapists is known
by the k therapists' means: noncentral t on ``k - 1 - q`` df, q of them for therapist-level
predictors (Snijders & Bosker 1993, doi:10.3102/10769986018003237; Moerbeek, van Breukelen & Berger
2000, doi:10.3102/10769986025003271). Families end treatment: n follows from the hazards at the
average alliance, with the effects of families and therapists integrated out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import special, stats

from alliance_stats.design.formula import parse_formula, printed, variables_of
from alliance_stats.effect_sizes import noncentral_t_cdf
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.power.assumptions import (
    assumption_table,
    check_count,
    check_finite,
    check_share,
    varied,
)
from alliance_stats.power.study_designs import StudyDesign
from alliance_stats.simulate.naming import plain_terms
from alliance_stats.simulate.truth import (
    ALLIANCE_CENTRE,
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
)

__all__ = ["ClusterTrial", "InterviewDesign", "therapist_effect_power", "within_effect_power"]


def _power_of_t(effect: float, variance: float, df: float, alpha: float) -> float:
    """Return the power of a two-sided t test: noncentral t with ``effect / sqrt(variance)``."""
    shift = effect / math.sqrt(variance)
    if math.isinf(df):
        critical = float(stats.norm.isf(alpha / 2.0))
        return float(stats.norm.cdf(shift - critical) + stats.norm.cdf(-shift - critical))
    critical = float(stats.t.isf(alpha / 2.0, df))
    below = noncentral_t_cdf(critical, df, shift) - noncentral_t_cdf(-critical, df, shift)
    return 1.0 - below


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTrial:
    """A trial of two arms with members in clusters: families of a therapist, patients of a site.

    Attributes
    ----------
    clusters, members
        Clusters per arm, and members per cluster; on average, if `size_cv` is not 0.
    icc
        Share of variance between clusters within an arm.
    effect
        Difference of the arms in total SDs of a clustered arm.
    ratings, member_icc
        Ratings of each member (persons of a family, sessions of a person), and the share of
        variance between the members of a cluster: a third level.
    size_cv
        SD of the clusters' sizes over their mean; 0 for clusters of one size. Sizes are drawn from
        a gamma distribution and rounded, at least 1.
    partially_nested
        Whether the second arm has no clusters: `clusters` times `members` independent persons.
    sources
        Assumption -> source.
    """

    clusters: int
    members: int
    icc: float = 0.05
    effect: float = 0.5
    ratings: int = 1
    member_icc: float = 0.0
    size_cv: float = 0.0
    partially_nested: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an impossible trial."""
        check_count("clusters", self.clusters, 2)
        check_count("members", self.members, 1)
        check_count("ratings", self.ratings, 1)
        check_share("icc", self.icc)
        check_share("member_icc", self.member_icc)
        check_finite("effect", self.effect)
        check_finite("size_cv", self.size_cv)
        if self.size_cv < 0.0:
            raise DataError(
                f"size_cv is an SD over a mean and cannot be negative; got {self.size_cv}."
            )
        if not isinstance(self.partially_nested, bool):
            raise DataError(
                f"partially_nested must be True or False; got {self.partially_nested!r}."
            )
        if self.icc + self.member_icc >= 1.0:
            raise DataError(
                f"icc and member_icc sum to {self.icc + self.member_icc:g}: nothing is left within "
                "members. They must sum to less than 1."
            )
        if self.member_icc and self.ratings == 1:
            raise DataError(
                "member_icc is told from the rest by several ratings of a member: give ratings=, "
                "or leave it out."
            )

    @property
    def truth(self) -> Mapping[str, float]:
        """``difference``: the effect."""
        return {"difference": self.effect}

    def draw(self, rng: np.random.Generator) -> pd.DataFrame:
        """Draw ``treated`` (1 in the first arm), ``cluster``, ``outcome``; ``member``, if rated."""
        k = self.clusters
        cluster = np.repeat(np.arange(2 * k), self._sizes(rng))
        treated = (cluster < k).astype(np.float64)
        between = math.sqrt(self.icc) * rng.standard_normal(2 * k)[cluster]
        if self.partially_nested:  # persons of the second arm: clusters of their own, no effect
            alone = treated == 0.0
            between[alone] = 0.0
            cluster = np.where(alone, k + np.arange(len(cluster)), cluster)
        left = 1.0 - self.icc - self.member_icc
        if self.ratings == 1:
            outcome = between + math.sqrt(left) * rng.standard_normal(len(cluster))
            outcome += self.effect * treated
            return pd.DataFrame({"treated": treated, "cluster": cluster, "outcome": outcome})
        member = np.repeat(np.arange(len(cluster)), self.ratings)
        own = between + math.sqrt(self.member_icc) * rng.standard_normal(len(cluster))
        outcome = (own + self.effect * treated)[member]
        outcome += math.sqrt(left) * rng.standard_normal(len(member))
        parts = {"treated": treated[member], "cluster": cluster[member], "member": member}
        return pd.DataFrame({**parts, "outcome": outcome})

    @property
    def closed_form_name(self) -> str:
        """Name of the closed form."""
        welch = ", Welch's df" if self.partially_nested else ""
        return f"noncentral t of cluster means{welch}"

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the power of the t test of cluster means.

        Noncentral t with ``effect / sqrt(V1 + V2)`` on ``2 (k - 1)`` df. An arm of k clusters of m
        members with n ratings each has the variance
        ``(icc (1 + cv^2) + (member_icc + (1 - icc - member_icc) / n) / m) / k`` (Donner & Klar
        2000, Design and analysis of cluster randomization trials, ch. 5; Heo & Leon 2008,
        doi:10.1111/j.1541-0420.2008.00993.x; unequal sizes: Eldridge, Ashby & Kerry 2006,
        doi:10.1093/ije/dyl129). An arm without clusters has that of its k m persons (Heo et al.
        2017, doi:10.1177/0962280214547381), and the df are Welch's of the two variances.
        """
        k, m = self.clusters, self.members
        of_member = self.member_icc + (1.0 - self.icc - self.member_icc) / self.ratings
        clustered = (self.icc * (1.0 + self.size_cv**2) + of_member / m) / k
        other, df = clustered, 2.0 * (k - 1.0)
        if self.partially_nested:
            other = of_member / (k * m)
            df = (clustered + other) ** 2 / (
                clustered**2 / (k - 1.0) + other**2 / max(k * m - 1.0, 1.0)
            )
        return {"difference": _power_of_t(self.effect, clustered + other, df, alpha)}

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``."""
        return assumption_table(self, self.sources)

    def _sizes(self, rng: np.random.Generator) -> Integers:
        """Return how many members each cluster has, shape (2 clusters,)."""
        if self.size_cv == 0.0:
            return np.full(2 * self.clusters, self.members)
        shape = self.size_cv**-2
        drawn = rng.gamma(shape, self.members / shape, size=2 * self.clusters)
        return np.maximum(1, np.round(drawn)).astype(np.int64)


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
        Assumption -> source.
    """

    first: int = 6
    second: int = 7
    shares: tuple[float, float] = (0.85, 0.30)
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse groups of nobody and impossible shares."""
        check_count("first", self.first, 1)
        check_count("second", self.second, 1)
        if isinstance(self.shares, str | float) or len(self.shares) != 2:
            raise DataError(f"shares has one share for each of two groups; got {self.shares!r}.")
        for share in self.shares:
            check_share("shares", share, closed=True)

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

    closed_form_name = "Fisher's test over all tables"

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
        return assumption_table(self, self.sources)


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_FRAMEWORK = "framework[T.trauma-informed]"
_OF_TRUTH = {
    "experience": "experience",
    "framework": "trauma_informed",
    "investment": "investment",
    "parent_trauma": "parent_trauma",
    "therapist_emotion": "therapist_emotion",
}


def therapist_effect_power(
    design: StudyDesign, formula: str, term: str, alpha: float, *, normal: bool = False
) -> Mapping[str, float]:
    """Return the power of ``experience`` or ``framework`` in a mixed model of the alliance.

    Nothing for other terms, for models without therapists or with predictors correlated with the
    rating itself (symptoms), and if the term's variable is in an interaction.
    """
    parsed = parse_formula(formula)
    variable = term.partition("[")[0]
    of_fixed = [{str(c) for tree in one for c in variables_of(tree)} for one in parsed.fixed.terms]
    groups = {column for random in parsed.random for column in random.grouping}
    itself = [one for one, own in zip(parsed.fixed.terms, of_fixed, strict=True) if variable in own]
    if term not in ("experience", _FRAMEWORK) or parsed.response != "alliance":
        return {}
    if [[printed(tree) for tree in one] for one in itself] != [[variable]]:
        return {}
    included = set().union(*of_fixed)
    if "therapist" not in groups or not included <= {*_OF_TRUTH, "session", "role"}:
        return {}
    k = design.therapists
    n_of_therapists = len(included & {"experience", "framework"})
    df = math.inf if normal else k - 1.0 - n_of_therapists
    if df <= 0.0:
        return {}
    truth = design.alliance
    effect, squares = truth.experience, (k - 1.0) * _variance_of_years()
    if term == _FRAMEWORK:
        informed = round(FRAMEWORK_SHARE * k)
        effect = truth.trauma_informed + TRAUMA_SHARE * truth.parent_trauma_by_trauma_informed
        squares = informed * (k - informed) / k
    squares *= (k - n_of_therapists) / (k - 1.0)  # what the other one leaves of it
    with np.errstate(divide="ignore"):  # of ratings without any variance
        weight = _weight_of_therapist(design, included)
    if squares <= 0.0 or math.isinf(weight):
        return {}
    return {term: _power_of_t(effect, 1.0 / (weight * squares), df, alpha)}


def within_effect_power(design: StudyDesign, term: str, alpha: float) -> Mapping[str, float]:
    """Return the power of the effect of a deviation from a person's mean on symptoms.

    ``sd_residual^2`` over the squares of the deviations, on as many df as there are ratings beyond
    the persons'. Nothing if symptoms also depend on the session before.
    """
    own = design.symptoms
    if own.before or own.carried:
        return {}
    ratings, chances = _ratings_of_person(design)
    persons = design.families * design.family.mean_size
    beyond = persons * float(chances @ (ratings - 1.0))
    spread = plain_terms(design.alliance, design.family)["sd__Observation"] ** 2
    if beyond <= 1.0 or spread == 0.0 or own.sd_residual == 0.0:
        return {}
    variance = own.sd_residual**2 / (beyond * spread)
    return {term: _power_of_t(own.within, variance, beyond - 1.0, alpha)}


def _variance_of_years() -> float:
    low, high = EXPERIENCE_YEARS
    return ((high - low + 1) ** 2 - 1) / 12.0


def _weight_of_therapist(design: StudyDesign, included: set[str]) -> float:
    """Return the mean weight of a therapist's mean rating: the reciprocal of its variance."""
    left_out = {own: 0.0 for name, own in _OF_TRUTH.items() if name in included}
    truth = varied(design.alliance, left_out)
    sds = plain_terms(truth, design.family)
    ratings, chances = _ratings_of_person(design)
    middle = (1.0 + float(chances @ ratings)) / 2.0  # session up to which persons have grown
    person = sds["sd__person"] ** 2 + (truth.sd_growth * middle) ** 2
    sizes, shares = _sizes(design)
    of_person = person + sds["sd__Observation"] ** 2 / ratings
    of_family = sds["sd__family"] ** 2 + of_person[:, None] / sizes
    family = float(chances @ (1.0 / of_family) @ shares)
    k = design.therapists
    each = min(2, design.families // k)
    further = np.arange(design.families - each * k + 1)
    drawn = stats.binom.pmf(further, len(further) - 1, 1.0 / k)
    of_therapist = sds["sd__therapist"] ** 2 + 1.0 / ((each + further) * family)
    return float(drawn @ (1.0 / of_therapist))


def _sizes(design: StudyDesign) -> tuple[Array, Array]:
    """Return members of families of each kind, and the kinds' shares."""
    kinds = design.family.compositions
    shares = np.array(list(kinds.values()), dtype=np.float64)
    return np.array([len(roles) for roles in kinds], dtype=np.float64), shares / shares.sum()


def _ratings_of_person(design: StudyDesign) -> tuple[Array, Array]:
    """Return the number of ratings of persons who attend 1, 2, ... sessions, and their frequencies.

    The log odds of dropping out vary normally between families, as far as their predictors do.
    """
    truth, rated = design.endings, plain_terms(design.alliance, design.family)
    low, high = truth.available_sessions
    session = np.arange(1, high + 1)
    trauma = TRAUMA_SHARE * (1.0 - TRAUMA_SHARE) * truth.parent_trauma**2
    levels = rated["sd__therapist"] ** 2 + rated["sd__family"] ** 2
    spread = math.sqrt(
        truth.sd_therapist**2
        + truth.investment**2
        + truth.therapist_emotion**2
        + trauma
        + truth.alliance_so_far**2 * levels
    )
    roles = sum(
        share * sum(design.alliance.role(role) for role in kind) / len(kind)
        for kind, share in design.family.compositions.items()
    ) / sum(design.family.compositions.values())
    so_far = rated["(Intercept)"] + roles + rated["session"] * (session + 1.0) / 2.0
    dropout = truth.dropout + truth.session * session + TRAUMA_SHARE * truth.parent_trauma
    dropout = dropout + truth.alliance_so_far * (so_far - ALLIANCE_CENTRE)
    if truth.by_session:
        dropout += np.array(truth.by_session)[np.minimum(session, len(truth.by_session)) - 1]
    planned = truth.planned + truth.planned_session * session
    others = np.logaddexp(planned, truth.transferred)
    ending = special.expit(np.logaddexp(dropout + spread * _NODES[:, None], others))
    staying = np.cumprod(1.0 - ending, axis=1)
    going_on = (_WEIGHTS / _WEIGHTS.sum()) @ np.c_[np.ones(len(_NODES)), staying[:, :-1]]
    available = np.clip((high + 1.0 - session) / (high + 1.0 - low), 0.0, 1.0)
    at_least = going_on * available  # still there for this session, and it can take place
    chances = at_least - np.append(at_least[1:], 0.0)
    ratings = 1.0 + (1.0 - design.missing_rating) * (session - 1.0)
    return np.asarray(ratings, dtype=np.float64), np.asarray(chances, dtype=np.float64)
