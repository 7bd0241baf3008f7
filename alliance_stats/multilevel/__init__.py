"""Multilevel models: formula and frame -> arrays -> criterion -> fit -> inference -> results."""

from alliance_stats.multilevel.lmm import LinearMixedModel, lmm

__all__ = ["LinearMixedModel", "lmm"]
