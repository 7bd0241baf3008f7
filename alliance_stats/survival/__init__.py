"""Time to an ending: who leaves, when, and what foretells it."""

from alliance_stats.survival.competing_hazards import competing_hazards
from alliance_stats.survival.competing_hazards_model import CompetingHazards
from alliance_stats.survival.concordance import Concordance, concordance
from alliance_stats.survival.cox import cox_ph
from alliance_stats.survival.cox_model import CoxModel
from alliance_stats.survival.cumulative_incidence import CumulativeIncidence, cumulative_incidence
from alliance_stats.survival.discrete_hazard import discrete_hazard
from alliance_stats.survival.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.dropout_sensitivity import DropoutSensitivity, dropout_sensitivity
from alliance_stats.survival.ending_definitions import (
    BeforeReliableChange,
    CodedEnding,
    FewerSessionsThan,
    MissedLastScheduled,
)
from alliance_stats.survival.endings import Endings, endings, under_definitions
from alliance_stats.survival.fine_gray import FineGrayModel, fine_gray
from alliance_stats.survival.gray_test import GrayTest, gray_test
from alliance_stats.survival.kaplan_meier import KaplanMeier, kaplan_meier
from alliance_stats.survival.log_rank import LogRank, log_rank
from alliance_stats.survival.pattern_mixture import PatternMixture, pattern_mixture
from alliance_stats.survival.proportional_hazards import (
    ProportionalHazardsTest,
    proportional_hazards_test,
    schoenfeld_residuals,
)
from alliance_stats.survival.restricted_mean import RestrictedMean, restricted_mean
from alliance_stats.survival.shared_parameter import SharedParameterModel, shared_parameter

__all__ = [
    "BeforeReliableChange",
    "CodedEnding",
    "CompetingHazards",
    "Concordance",
    "CoxModel",
    "CumulativeIncidence",
    "DiscreteHazard",
    "DropoutSensitivity",
    "Endings",
    "FewerSessionsThan",
    "FineGrayModel",
    "GrayTest",
    "KaplanMeier",
    "LogRank",
    "MissedLastScheduled",
    "PatternMixture",
    "ProportionalHazardsTest",
    "RestrictedMean",
    "SharedParameterModel",
    "competing_hazards",
    "concordance",
    "cox_ph",
    "cumulative_incidence",
    "discrete_hazard",
    "dropout_sensitivity",
    "endings",
    "fine_gray",
    "gray_test",
    "kaplan_meier",
    "log_rank",
    "pattern_mixture",
    "proportional_hazards_test",
    "restricted_mean",
    "schoenfeld_residuals",
    "shared_parameter",
    "under_definitions",
]
