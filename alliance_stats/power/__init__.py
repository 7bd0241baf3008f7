"""Planning a study by simulating it: its families, its therapists, its analysis."""

from alliance_stats.power.planned_analyses import (
    ArmDifference,
    DropoutEffect,
    GroupDifference,
    LaggedEffect,
    LevelEffects,
    ModelEffect,
    ThemeDifference,
)
from alliance_stats.power.power_by_simulation import Power, SmallestDesign, power, smallest_design
from alliance_stats.power.study_designs import ClusterTrial, InterviewDesign, StudyDesign

__all__ = [
    "ArmDifference",
    "ClusterTrial",
    "DropoutEffect",
    "GroupDifference",
    "InterviewDesign",
    "LaggedEffect",
    "LevelEffects",
    "ModelEffect",
    "Power",
    "SmallestDesign",
    "StudyDesign",
    "ThemeDifference",
    "power",
    "smallest_design",
]
