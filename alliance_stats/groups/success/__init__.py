"""What counts as success: rules, cases sorted by them, and how far rules agree."""

from alliance_stats.groups.success.classification import (
    Classification,
    Multiverse,
    RuleAgreement,
    classify,
    classify_many,
)
from alliance_stats.groups.success.success_rules import (
    SuccessRule,
    cut_point,
    judged,
    reliable_change,
    retained,
)

__all__ = [
    "Classification",
    "Multiverse",
    "RuleAgreement",
    "SuccessRule",
    "classify",
    "classify_many",
    "cut_point",
    "judged",
    "reliable_change",
    "retained",
]
