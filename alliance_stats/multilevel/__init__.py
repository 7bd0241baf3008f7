"""Multilevel models: formula and frame -> arrays -> criterion -> fit -> inference -> results."""

from alliance_stats.multilevel.cluster_robust import CR2
from alliance_stats.multilevel.comparisons import Comparisons, comparisons
from alliance_stats.multilevel.contrasts import Contrasts, contrasts
from alliance_stats.multilevel.estimated_means import EstimatedMeans, estimated_means
from alliance_stats.multilevel.glmm import GeneralizedLinearMixedModel, glmm
from alliance_stats.multilevel.johnson_neyman import JohnsonNeyman, johnson_neyman
from alliance_stats.multilevel.lmm import LinearMixedModel, lmm
from alliance_stats.multilevel.r_squared import RSquared, r_squared
from alliance_stats.multilevel.residual import AR1, CAR1, VarianceBy
from alliance_stats.multilevel.simple_slopes import SimpleSlopes, simple_slopes

__all__ = [
    "AR1",
    "CAR1",
    "CR2",
    "Comparisons",
    "Contrasts",
    "EstimatedMeans",
    "GeneralizedLinearMixedModel",
    "JohnsonNeyman",
    "LinearMixedModel",
    "RSquared",
    "SimpleSlopes",
    "VarianceBy",
    "comparisons",
    "contrasts",
    "estimated_means",
    "glmm",
    "johnson_neyman",
    "lmm",
    "r_squared",
    "simple_slopes",
]
