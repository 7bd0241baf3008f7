"""Questionnaires: items into scores, by a key that is stated."""

from alliance_stats.scales.scale import INSTRUMENTS, Scale, instrument, score

__all__ = ["INSTRUMENTS", "Scale", "instrument", "score"]
