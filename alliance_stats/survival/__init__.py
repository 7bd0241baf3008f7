"""Time to an ending: who drops out, when, and what predicts it."""

from alliance_stats.survival.by_session.adjusted_curves import AdjustedCurves, adjusted_curves
from alliance_stats.survival.by_session.coefficients_over_sessions import varying_coefficient
from alliance_stats.survival.by_session.competing_hazards import competing_hazards
from alliance_stats.survival.by_session.competing_hazards_model import CompetingHazards
from alliance_stats.survival.by_session.discrete_hazard import discrete_hazard
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.by_session.firth_discrete_hazard import firth_discrete_hazard
from alliance_stats.survival.cox.concordance import Concordance, concordance
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.cox_ph import cox_ph
from alliance_stats.survival.cox.fine_gray import fine_gray
from alliance_stats.survival.cox.fine_gray_model import FineGrayModel
from alliance_stats.survival.cox.firth import FirthHazards, firth_cox
from alliance_stats.survival.cox.proportional_hazards import (
    ProportionalHazardsTest,
    proportional_hazards_test,
    schoenfeld_residuals,
)
from alliance_stats.survival.cox.varying_coefficient import VaryingCoefficient
from alliance_stats.survival.curves.cumulative_incidence import (
    CumulativeIncidence,
    cumulative_incidence,
)
from alliance_stats.survival.curves.gray_test import GrayTest, gray_test
from alliance_stats.survival.curves.kaplan_meier import KaplanMeier, kaplan_meier
from alliance_stats.survival.curves.log_rank import LogRank, log_rank
from alliance_stats.survival.curves.restricted_mean import RestrictedMean, restricted_mean
from alliance_stats.survival.prediction.cross_validation import accuracy_of_risks, risk_accuracy
from alliance_stats.survival.prediction.landmark_chance import landmark_accuracy, landmark_chance
from alliance_stats.survival.prediction.landmark_model import LandmarkModel
from alliance_stats.survival.prediction.risk_accuracy import RiskAccuracy
from alliance_stats.survival.rows.dropout_definitions import (
    BeforeReliableChange,
    CodedEnding,
    FewerSessionsThan,
    MissedLastScheduled,
)
from alliance_stats.survival.rows.unit_endings import Endings, endings, under_definitions
from alliance_stats.survival.unseen.dropout_sensitivity import (
    DropoutSensitivity,
    dropout_sensitivity,
)
from alliance_stats.survival.unseen.pattern_mixture import PatternMixture, pattern_mixture
from alliance_stats.survival.unseen.reference_imputation import (
    ReferenceImputation,
    reference_imputation,
)
from alliance_stats.survival.unseen.sensitivity_by_group import (
    SensitivityByGroup,
    sensitivity_by_group,
)
from alliance_stats.survival.unseen.shared_parameter import shared_parameter
from alliance_stats.survival.unseen.shared_parameter_model import SharedParameterModel

__all__ = [
    "AdjustedCurves",
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
    "FirthHazards",
    "GrayTest",
    "KaplanMeier",
    "LandmarkModel",
    "LogRank",
    "MissedLastScheduled",
    "PatternMixture",
    "ProportionalHazardsTest",
    "ReferenceImputation",
    "RestrictedMean",
    "RiskAccuracy",
    "SensitivityByGroup",
    "SharedParameterModel",
    "VaryingCoefficient",
    "accuracy_of_risks",
    "adjusted_curves",
    "competing_hazards",
    "concordance",
    "cox_ph",
    "cumulative_incidence",
    "discrete_hazard",
    "dropout_sensitivity",
    "endings",
    "fine_gray",
    "firth_cox",
    "firth_discrete_hazard",
    "gray_test",
    "kaplan_meier",
    "landmark_accuracy",
    "landmark_chance",
    "log_rank",
    "pattern_mixture",
    "proportional_hazards_test",
    "reference_imputation",
    "restricted_mean",
    "risk_accuracy",
    "schoenfeld_residuals",
    "sensitivity_by_group",
    "shared_parameter",
    "under_definitions",
    "varying_coefficient",
]
