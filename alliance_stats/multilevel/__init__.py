"""Multilevel models: formula and frame -> arrays -> criterion -> fit -> inference -> results."""

from alliance_stats.multilevel.cluster_robust import CR2
from alliance_stats.multilevel.lmm import LinearMixedModel, lmm

__all__ = ["CR2", "LinearMixedModel", "lmm"]
