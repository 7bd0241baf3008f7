"""Ruptures of the alliance and their repair, by stated rules, and beyond chance."""

from alliance_stats.family.ruptures.beyond_chance import (
    FalseAlarms,
    FamilyRuptures,
    expected_false_alarms,
    family_ruptures,
)
from alliance_stats.family.ruptures.finding_ruptures import Repair, Ruptures, ruptures
from alliance_stats.family.ruptures.rupture_rule import (
    ControlChart,
    DropBelowRunningMean,
    RuptureRule,
    VShape,
)
from alliance_stats.family.ruptures.sudden_change import SuddenGain, SuddenLoss

__all__ = [
    "ControlChart",
    "DropBelowRunningMean",
    "FalseAlarms",
    "FamilyRuptures",
    "Repair",
    "RuptureRule",
    "Ruptures",
    "SuddenGain",
    "SuddenLoss",
    "VShape",
    "expected_false_alarms",
    "family_ruptures",
    "ruptures",
]
