"""A result's numbers beside those of well-known libraries, and which have no counterpart."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.association.analysis_of_variance import AnalysisOfVariance
from alliance_stats.association.correlations import Correlations
from alliance_stats.association.mediation.mediation_result import Mediation
from alliance_stats.association.mixed_anova import MixedAnova
from alliance_stats.association.ordered_regression import OrderedRegression
from alliance_stats.association.regression_model import GeneralizedRegression, LinearRegression
from alliance_stats.cross_check import (
    association_answers,
    group_answers,
    model_answers,
    r_answers,
    survival_answers,
)
from alliance_stats.cross_check.second_answer import (
    AGREES,
    DEFINITION,
    DIFFERS,
    FAULT,
    NOT_ASKED,
    Answer,
    quiet,
)
from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.estimates import one_line
from alliance_stats.evidence import MetaAnalysis
from alliance_stats.family import APIM, OneWithMany
from alliance_stats.formatting import plural
from alliance_stats.groups import (
    CoderAgreement,
    GroupComparison,
    ThemeComparison,
    TrajectoryComparison,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel, WithinBetween
from alliance_stats.scales import ScaleReliability
from alliance_stats.survival import (
    CompetingHazards,
    CoxModel,
    CumulativeIncidence,
    DiscreteHazard,
    KaplanMeier,
    LogRank,
    RestrictedMean,
)

__all__ = ["CHECKS", "CrossCheck", "cross_check", "why_not"]

_OF_A_MODEL = (
    "it is computed from the coefficients and variances of a model, which cross_check takes "
    "itself: cross_check(model); of the libraries, R's emmeans and performance go further"
)
_REFITS = (
    "it refits or redraws a model many times: cross_check(model) checks the model that it starts "
    "from, and another library's random numbers are others"
)
_IN_R_ALONE = "of the libraries named here only R has it ({})"
_UNSEEN = (
    "what is assumed of outcomes that were not seen is the question itself; cross_check(model) "
    "checks the model of the seen ones"
)
_OF_FAMILIES = (
    "it is defined by the literature on families and their alliances, and no library has it"
)
_COUNTS = "it counts and describes rows, and estimates nothing"
_PLANS = "it simulates whole studies: cross_check takes the result of one analysis"
_PRINTED = "it recomputes numbers that others printed, of which there are no rows"
_MANY = "it holds one result under each of several rules: cross_check takes each of them"

_WHY: Mapping[str, tuple[str, ...]] = {
    _OF_A_MODEL: (
        "Comparisons",
        "Contrasts",
        "EstimatedMeans",
        "JohnsonNeyman",
        "LatentPartition",
        "LikelihoodRatioTest",
        "Profile",
        "RSquared",
        "ResponseSurface",
        "SimpleSlopes",
        "StandardisedCoefficients",
        "StepMeans",
        "UnitRanks",
        "VariancePartition",
    ),
    _REFITS: ("Bootstrap", "LeaveOneOut", "PermutationTest", "ResidualChecks", "WildBootstrap"),
    _IN_R_ALONE.format("ordinal"): ("OrdinalMixedModel",),
    _IN_R_ALONE.format("cmprsk"): ("FineGrayModel", "GrayTest"),
    _IN_R_ALONE.format("brglm2"): ("FirthHazards",),
    _IN_R_ALONE.format("lavaan"): ("CrossLagged", "FactorModel", "Invariance", "SeveralOutcomes"),
    _IN_R_ALONE.format("nlme"): ("FamilyBalance",),
    _IN_R_ALONE.format("survival"): ("VaryingCoefficient",),
    "it holds pairs that were counted, not the rows that lifelines' concordance_index takes, which "
    "knows neither late entry nor strata nor a standard error; R's survival does": ("Concordance",),
    _IN_R_ALONE.format("riskRegression"): ("AdjustedCurves", "RiskAccuracy"),
    _IN_R_ALONE.format("cocor"): ("CorrelationDifference",),
    _IN_R_ALONE.format("JM"): ("SharedParameterModel",),
    "lifelines computes the approximation of 1994 where this is the exact score test of R's "
    "survival 3 (cox.zph)": ("ProportionalHazardsTest",),
    "none of the libraries has this model; truth is found again in simulations": (
        "LandmarkModel",
        "LocationScaleModel",
    ),
    "it is made of counts too few for more than an exact test, which is scipy's own": (
        "ThemeTransitions",
    ),
    _UNSEEN: ("DropoutSensitivity", "PatternMixture", "ReferenceImputation", "SensitivityByGroup"),
    _OF_FAMILIES: (
        "FalseAlarms",
        "FamilyIndices",
        "FamilyRuptures",
        "RuleAgreement",
        "Ruptures",
        "SplitAlliance",
        "WithinFamilyICC",
    ),
    _COUNTS: (
        "Classification",
        "Endings",
        "ParticipantFlow",
        "StageTransitions",
        "StudyDescription",
        "TableOne",
    ),
    _MANY: ("Classifications", "Multiverse"),
    _PRINTED: ("Comparison", "ConsistencyCheck", "Reproduction"),
    _PLANS: ("Power", "Sensitivity", "SmallestDesign"),
    "another library made it: every number is that library's": ("BroughtModel", "CrossCheck"),
}  # fmt: skip


def why_not() -> dict[str, str]:
    """Return class of a result -> why the other libraries have no counterpart of it.

    Examples
    --------
    >>> from alliance_stats.cross_check import why_not
    >>> why_not()["GrayTest"]
    'of the libraries named here only R has it (cmprsk)'
    """
    return {name: reason for reason, names in _WHY.items() for name in names}


CHECKS: Mapping[type, Callable[[Any], Iterator[Answer]]] = {
    APIM: model_answers.of_inner_model,
    AnalysisOfVariance: association_answers.of_anova,
    MixedAnova: lambda result: association_answers.of_anova(result.analysis),
    CoderAgreement: group_answers.of_coders,
    CompetingHazards: model_answers.of_competing_hazards,
    Correlations: association_answers.of_correlations,
    CoxModel: survival_answers.of_cox,
    CumulativeIncidence: survival_answers.of_incidence,
    DiscreteHazard: model_answers.of_discrete_hazard,
    GeneralizedLinearMixedModel: model_answers.of_generalized_mixed,
    GeneralizedRegression: association_answers.of_generalized_regression,
    GroupComparison: group_answers.of_groups,
    KaplanMeier: survival_answers.of_kaplan_meier,
    LinearMixedModel: model_answers.of_linear_mixed,
    LinearRegression: association_answers.of_linear_regression,
    LogRank: survival_answers.of_log_rank,
    MetaAnalysis: group_answers.of_meta_analysis,
    OneWithMany: model_answers.of_inner_model,
    OrderedRegression: association_answers.of_ordered_regression,
    RestrictedMean: survival_answers.of_restricted_mean,
    ScaleReliability: group_answers.of_reliability,
    ThemeComparison: group_answers.of_themes,
    TrajectoryComparison: model_answers.of_inner_model,
    WithinBetween: model_answers.of_inner_model,
}
"""Class of a result -> what is asked of the other libraries about it."""

WITH_ROWS: Mapping[type, Callable[[Any, pd.DataFrame], Iterator[Answer]]] = {
    Mediation: association_answers.of_mediation
}
"""Results that do not hold the rows they were made of."""

IN_R: Mapping[type, Callable[[Any], Iterator[Answer]]] = {
    CoxModel: r_answers.of_cox_in_r,
    GeneralizedLinearMixedModel: r_answers.of_mixed_in_r,
    LinearMixedModel: r_answers.of_mixed_in_r,
    MetaAnalysis: r_answers.of_meta_in_r,
}
"""Class of a result -> what is asked of R about it."""


_FLOATING = 1e-13  # of a number: a difference that arithmetic alone makes
_SHOWN = 1e-4  # of a number: what its last digits show


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CrossCheck:
    """A result's numbers beside those of other libraries, made by :func:`cross_check`.

    Attributes
    ----------
    checked
        Class of the result that was checked.
    answers
        Pairs of one number of ours and one of theirs.
    rows
        The result's own ledger.
    """

    checked: str
    answers: tuple[Answer, ...]
    rows: RowLedger

    __repr__ = one_line

    @property
    def agrees(self) -> bool:
        """Whether every requested number agrees or differs for a known reason."""
        return not self._of(DIFFERS)

    def _of(self, verdict: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.verdict == verdict]

    def tidy(self) -> pd.DataFrame:
        """Return one row per number.

        Returns
        -------
        DataFrame
            ``term, quantity, estimate`` (ours), ``theirs, difference`` (ours minus theirs),
            ``library, verdict`` and ``reason`` (of a difference, with its source; empty where the
            numbers agree).
        """
        return pd.DataFrame(
            [
                {
                    "term": answer.term,
                    "quantity": answer.measure,
                    "estimate": answer.ours,
                    "theirs": answer.theirs,
                    "difference": answer.ours - answer.theirs,
                    "library": answer.library,
                    "verdict": answer.verdict,
                    "reason": "" if answer.verdict in (AGREES, DIFFERS) else answer.reason,
                }
                for answer in self.answers
            ]
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: how many numbers agree, differ (by reason), or were not requested."""
        return pd.DataFrame(
            {
                "n_numbers": [len(self.answers)],
                "n_agree": [len(self._of(AGREES))],
                "n_by_definition": [len(self._of(DEFINITION))],
                "n_fault_of_theirs": [len(self._of(FAULT))],
                "n_not_asked": [len(self._of(NOT_ASKED))],
                "n_differ": [len(self._of(DIFFERS))],
            }
        )

    @property
    def method(self) -> str:
        """What was compared, as a phrase."""
        asked = dict.fromkeys(a.library for a in self.answers if a.verdict != NOT_ASKED)
        who = "; ".join(asked) or "nobody, as nothing could be asked"
        return f"numbers of {self.checked} beside those of {who}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Numbers that differ without a known reason."""
        differ = self._of(DIFFERS)
        if not differ:
            return ()
        named = ", ".join(f"{answer.measure} of {answer.term}" for answer in differ[:4])
        more = f" and {len(differ) - 4} more" if len(differ) > 4 else ""
        return (
            f"DIFFERENT from another library without a known reason: {named}{more}. Use neither "
            "number before you know why.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the numbers side by side, and the reasons, as data."""
        del conf_level  # nothing here has an interval
        table = self.tidy().drop(columns="reason").rename(columns={"estimate": "ours"})
        dust = table["difference"].abs() <= _FLOATING * table["ours"].abs()
        table.loc[dust, "difference"] = 0.0
        table["spread"] = _SHOWN * table["ours"].abs().clip(lower=_SHOWN)
        columns = {
            name: Column(name, spread="spread") for name in ("ours", "theirs", "difference")
        } | {"library": Column("library", "text"), "verdict": Column("verdict", "text")}
        shown = Section("Number", table, names=("term", "quantity"), columns=columns)
        reasons = dict.fromkeys(
            f"{answer.verdict}: {answer.reason}."
            for answer in self.answers
            if answer.reason and answer.verdict not in (AGREES, DIFFERS)
        )
        counted = self.glance().iloc[0]
        said = (
            f"Of {plural(counted['n_numbers'], 'number')} {counted['n_agree']} agree, "
            f"{counted['n_by_definition']} differ by definition, {counted['n_fault_of_theirs']} by "
            f"a fault of theirs, {counted['n_not_asked']} were not asked, and "
            f"{counted['n_differ']} differ without a known reason."
        )
        remarks = (said, *(f"{text[:1].upper()}{text[1:]}" for text in reasons))
        sizes = {"numbers": len(self.answers)}
        return Account.of(self, sizes, (shown,), remarks)

    summary = summary_of
    _repr_html_ = html_of


def cross_check(
    result: object, data: pd.DataFrame | None = None, *, ask_r: bool = False
) -> CrossCheck:
    """Have other libraries answer the same question as a result.

    Each number is requested from statsmodels, lifelines or pingouin, and optionally from R, for the
    rows that the result used, in the form that the library is known to get right. What it lacks or
    is known to get wrong is not requested, and the table says why.

    Parameters
    ----------
    result
        A model, curves, a comparison, correlations, a reliability, a pooled effect.
    data
        The rows, for results that do not contain them (a mediation).
    ask_r
        Whether R is used too (lme4, survival, metafor), where ``Rscript`` is on the path.

    Returns
    -------
    CrossCheck
        ``tidy()`` has a row per number: ours, theirs, their difference and the verdict: ``agrees``
        (closed forms within 1e-7 of the number, searches within 0.002 standard errors), ``differs
        by definition`` (which, with source), ``differs by a fault of theirs`` (with its address),
        ``not asked`` (why), or ``differs``: without a known reason; ``summary()`` opens with these.

    Raises
    ------
    WrongObjectError
        If none of the libraries has a counterpart of the result.
    DataError
        If the result needs `data` and has none, or R is requested but not installed.

    Examples
    --------
    >>> from alliance_stats import cross_check, endings, example_study, kaplan_meier
    >>> families = endings(example_study()).units
    >>> curves = kaplan_meier(families, time="time", event="event", strata="parent_trauma")
    >>> check = cross_check(curves)
    >>> bool(check.agrees)
    True
    """
    kind = type(result)
    if kind not in CHECKS and kind not in WITH_ROWS:
        names = ", ".join(sorted(one.__name__ for one in (*CHECKS, *WITH_ROWS)))
        reason = why_not().get(kind.__name__)
        raise WrongObjectError(
            f"statsmodels, lifelines and pingouin have no counterpart of a {kind.__name__}"
            f"{f', because {reason}' if reason else ''}. cross_check takes: {names}."
        )
    if ask_r and not r_answers.r_is_installed():
        raise DataError("ask_r= needs R: no 'Rscript' is on the path. Install R, or leave it out.")
    with quiet():
        if kind in CHECKS:
            answers = list(CHECKS[kind](result))
        elif data is None:
            raise DataError(
                f"A {kind.__name__} does not hold its rows: cross_check(result, data) with the "
                "frame that it was made of."
            )
        else:
            answers = list(WITH_ROWS[kind](result, data))
        if ask_r and kind in IN_R:
            answers += list(IN_R[kind](result))
    rows: RowLedger = result.rows  # type: ignore[attr-defined]
    return CrossCheck(kind.__name__, tuple(answers), rows)
