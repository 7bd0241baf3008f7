"""Whole alliance studies with known truth."""

from alliance_stats.simulate.naming import TRUTH_SCALES
from alliance_stats.simulate.study import SimulatedStudy, simulate_study
from alliance_stats.simulate.truth import (
    AllianceTruth,
    EndingTruth,
    InterviewTruth,
    SymptomTruth,
)

__all__ = [
    "TRUTH_SCALES",
    "AllianceTruth",
    "EndingTruth",
    "InterviewTruth",
    "SimulatedStudy",
    "SymptomTruth",
    "simulate_study",
]
