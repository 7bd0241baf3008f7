"""The alliance as a family system: indices, splits, balance, dyads, rupture and repair."""

from alliance_stats.family.actor_partner import APIM, apim
from alliance_stats.family.balance import FamilyBalance, family_balance
from alliance_stats.family.coherence import WithinFamilyICC, within_family_icc
from alliance_stats.family.flagged_sessions import RuleAgreement, rule_agreement
from alliance_stats.family.indices import FamilyIndices, RoleDifference, family_indices
from alliance_stats.family.measurement_error import Reliability
from alliance_stats.family.one_with_many import OneWithMany, one_with_many
from alliance_stats.family.ruptures import (
    ControlChart,
    DropBelowRunningMean,
    FalseAlarms,
    FamilyRuptures,
    Repair,
    RuptureRule,
    Ruptures,
    SuddenGain,
    SuddenLoss,
    VShape,
    expected_false_alarms,
    family_ruptures,
    ruptures,
)
from alliance_stats.family.splits import SplitAlliance, split_alliance

__all__ = [
    "APIM",
    "ControlChart",
    "DropBelowRunningMean",
    "FalseAlarms",
    "FamilyBalance",
    "FamilyIndices",
    "FamilyRuptures",
    "OneWithMany",
    "Reliability",
    "Repair",
    "RoleDifference",
    "RuleAgreement",
    "RuptureRule",
    "Ruptures",
    "SplitAlliance",
    "SuddenGain",
    "SuddenLoss",
    "VShape",
    "WithinFamilyICC",
    "apim",
    "expected_false_alarms",
    "family_balance",
    "family_indices",
    "family_ruptures",
    "one_with_many",
    "rule_agreement",
    "ruptures",
    "split_alliance",
    "within_family_icc",
]
