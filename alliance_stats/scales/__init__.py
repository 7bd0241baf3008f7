"""Questionnaires: items into scores, by a key that is stated, and their reliability."""

from alliance_stats.scales.reliability import Reliability, reliability
from alliance_stats.scales.scale import INSTRUMENTS, Scale, instrument, score

__all__ = ["INSTRUMENTS", "Reliability", "Scale", "instrument", "reliability", "score"]
