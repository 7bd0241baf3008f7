"""Power by formula for two analyses: differences between therapists, and effects within persons.

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

import numpy as np
from scipy import special, stats

from alliance_stats.design.formula import parse_formula, printed, variables_of
from alliance_stats.estimates import Array
from alliance_stats.power.assumptions import varied
from alliance_stats.power.study_designs import StudyDesign
from alliance_stats.power.trial_designs import power_of_t
from alliance_stats.simulate.naming import plain_terms
from alliance_stats.simulate.truth import (
    ALLIANCE_CENTRE,
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
)

__all__ = ["therapist_effect_power", "within_effect_power"]

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
    return {term: power_of_t(effect, 1.0 / (weight * squares), df, alpha)}


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
    return {term: power_of_t(own.within, variance, beyond - 1.0, alpha)}


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
