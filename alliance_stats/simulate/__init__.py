"""Whole alliance studies with known truth."""

from alliance_stats.simulate.naming import TRUTH_SCALES
from alliance_stats.simulate.simulated_study import SimulatedStudy, simulate_study
from alliance_stats.simulate.truth import (
    AllianceTruth,
    EndingTruth,
    FamilyTruth,
    InterviewTruth,
    SymptomTruth,
    TherapistRatingTruth,
)

__all__ = [
    "TRUTH_SCALES",
    "AllianceTruth",
    "EndingTruth",
    "FamilyTruth",
    "InterviewTruth",
    "SimulatedStudy",
    "SymptomTruth",
    "TherapistRatingTruth",
    "simulate_study",
]
