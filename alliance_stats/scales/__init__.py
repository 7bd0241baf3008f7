"""Questionnaires: scores from items, by a stated key; reliability and factor models."""

from alliance_stats.scales.factor_model import FactorModel, factor_model
from alliance_stats.scales.invariance import Invariance, measurement_invariance
from alliance_stats.scales.reliability import ScaleReliability, reliability
from alliance_stats.scales.scale import INSTRUMENTS, Scale, instrument, score, score_study

__all__ = [
    "INSTRUMENTS",
    "FactorModel",
    "Invariance",
    "Scale",
    "ScaleReliability",
    "factor_model",
    "instrument",
    "measurement_invariance",
    "reliability",
    "score",
    "score_study",
]
