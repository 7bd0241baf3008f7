"""The alliance as a family system: indices, splits, balance, dyads, rupture and repair."""

from alliance_stats.family.agreement import RuleAgreement, rule_agreement
from alliance_stats.family.indices import FamilyIndices, RoleDifference, family_indices
from alliance_stats.family.reliability import Reliability
from alliance_stats.family.splits import SplitAlliance, split_alliance

__all__ = [
    "FamilyIndices",
    "Reliability",
    "RoleDifference",
    "RuleAgreement",
    "SplitAlliance",
    "family_indices",
    "rule_agreement",
    "split_alliance",
]
