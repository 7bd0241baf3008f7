"""The alliance as a family system: indices, splits, balance, dyads, rupture and repair."""

from alliance_stats.family.agreement import RuleAgreement, rule_agreement
from alliance_stats.family.apim import apim
from alliance_stats.family.apim_model import APIM
from alliance_stats.family.balance import FamilyBalance, family_balance
from alliance_stats.family.coherence import WithinFamilyICC, within_family_icc
from alliance_stats.family.drops import ControlChart, DropBelowRunningMean, VShape
from alliance_stats.family.episodes import Repair
from alliance_stats.family.false_alarms import FalseAlarms, expected_false_alarms
from alliance_stats.family.indices import FamilyIndices, family_indices
from alliance_stats.family.one_with_many import OneWithMany, one_with_many
from alliance_stats.family.reliability import Reliability
from alliance_stats.family.role_differences import RoleDifference
from alliance_stats.family.rule import RuptureRule
from alliance_stats.family.ruptures import Ruptures, ruptures
from alliance_stats.family.splits import SplitAlliance, split_alliance
from alliance_stats.family.sudden_change import SuddenGain, SuddenLoss
from alliance_stats.family.together import FamilyRuptures, family_ruptures

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
