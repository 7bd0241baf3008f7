"""Planning a study by simulating it: its families, its therapists, its analysis."""

from alliance_stats.power.assumptions import (
    PrintedValue,
    UncertainDesign,
    hazard_of_dropout,
    printed_value,
    varied,
)
from alliance_stats.power.formula_powers import ClusterTrial, InterviewDesign
from alliance_stats.power.pilot_designs import pilot_design
from alliance_stats.power.planned_analyses import (
    ArmDifference,
    DropoutEffect,
    GroupDifference,
    LaggedEffect,
    LevelEffects,
    ModelEffect,
    ThemeDifference,
)
from alliance_stats.power.power_by_simulation import Power, power
from alliance_stats.power.power_sensitivity import Sensitivity, power_sensitivity
from alliance_stats.power.smallest_designs import SmallestDesign, smallest_design
from alliance_stats.power.study_designs import StudyDesign

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
    "PrintedValue",
    "Sensitivity",
    "SmallestDesign",
    "StudyDesign",
    "ThemeDifference",
    "UncertainDesign",
    "hazard_of_dropout",
    "pilot_design",
    "power",
    "power_sensitivity",
    "printed_value",
    "smallest_design",
    "varied",
]
