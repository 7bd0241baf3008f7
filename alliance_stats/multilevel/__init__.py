"""Multilevel models: formula and frame -> arrays -> criterion -> fit -> inference -> results."""

from alliance_stats.design.residual import AR1, CAR1, VarianceBy
from alliance_stats.multilevel.bootstrap import Bootstrap, parametric_bootstrap
from alliance_stats.multilevel.cluster_robust import CR2
from alliance_stats.multilevel.comparison import (
    LikelihoodRatioTest,
    compare_models,
    likelihood_ratio_test,
)
from alliance_stats.multilevel.comparisons import Comparisons, comparisons
from alliance_stats.multilevel.contrasts import Contrasts, contrasts
from alliance_stats.multilevel.estimated_means import EstimatedMeans, estimated_means
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.glmm import glmm
from alliance_stats.multilevel.johnson_neyman import JohnsonNeyman, johnson_neyman
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.lmm import lmm
from alliance_stats.multilevel.profile import Profile, profile
from alliance_stats.multilevel.r_squared import RSquared, r_squared
from alliance_stats.multilevel.simple_slopes import SimpleSlopes, simple_slopes
from alliance_stats.multilevel.variance_partition import VariancePartition, variance_partition
from alliance_stats.multilevel.within_between import WithinBetween, within_between

__all__ = [
    "AR1",
    "CAR1",
    "CR2",
    "Bootstrap",
    "Comparisons",
    "Contrasts",
    "EstimatedMeans",
    "GeneralizedLinearMixedModel",
    "JohnsonNeyman",
    "LikelihoodRatioTest",
    "LinearMixedModel",
    "Profile",
    "RSquared",
    "SimpleSlopes",
    "VarianceBy",
    "VariancePartition",
    "WithinBetween",
    "compare_models",
    "comparisons",
    "contrasts",
    "estimated_means",
    "glmm",
    "johnson_neyman",
    "likelihood_ratio_test",
    "lmm",
    "parametric_bootstrap",
    "profile",
    "r_squared",
    "simple_slopes",
    "variance_partition",
    "within_between",
]
