"""Results whose numbers statsmodels, lifelines and pingouin do not have, and why."""

from collections.abc import Mapping

__all__ = ["why_not"]

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
