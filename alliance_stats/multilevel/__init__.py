"""Multilevel models: formula and frame -> arrays -> criterion -> fit -> inference -> results."""

from alliance_stats.multilevel.cluster_robust import CR2
from alliance_stats.multilevel.lmm import LinearMixedModel, lmm
from alliance_stats.multilevel.residual import AR1, CAR1, VarianceBy

__all__ = ["AR1", "CAR1", "CR2", "LinearMixedModel", "VarianceBy", "lmm"]
