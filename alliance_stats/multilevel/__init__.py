"""Multilevel models: fitting them, and everything that follows a fit."""

from alliance_stats.design.residual import (
    AR1,
    CAR1,
    CompoundSymmetry,
    Toeplitz,
    Unstructured,
    VarianceBy,
    VarianceExponential,
    VariancePower,
)
from alliance_stats.multilevel.after.asked_model import Link, infer
from alliance_stats.multilevel.after.comparisons import Comparisons, comparisons
from alliance_stats.multilevel.after.contrasts import Contrasts, contrasts
from alliance_stats.multilevel.after.estimated_means import EstimatedMeans, estimated_means
from alliance_stats.multilevel.after.few_clusters import WildBootstrap, wild_bootstrap
from alliance_stats.multilevel.after.latent_shares import LatentPartition
from alliance_stats.multilevel.after.likelihood_ratio import (
    LikelihoodRatioTest,
    likelihood_ratio_test,
)
from alliance_stats.multilevel.after.model_comparison import compare_models
from alliance_stats.multilevel.after.permuted_clusters import PermutationTest, permutation_test
from alliance_stats.multilevel.after.r_squared import RSquared, r_squared
from alliance_stats.multilevel.after.regions import JohnsonNeyman, johnson_neyman
from alliance_stats.multilevel.after.resampling import (
    LeaveOneOut,
    leave_one_out,
    parametric_bootstrap,
    profile,
)
from alliance_stats.multilevel.after.residual_checks import ResidualChecks, residual_checks
from alliance_stats.multilevel.after.response_surface import ResponseSurface, response_surface
from alliance_stats.multilevel.after.simple_slopes import SimpleSlopes, simple_slopes
from alliance_stats.multilevel.after.standardised_coefficients import (
    StandardisedCoefficients,
    standardised_coefficients,
)
from alliance_stats.multilevel.after.step_means import StepMeans, step_means
from alliance_stats.multilevel.after.unit_ranks import UnitRanks, unit_ranks
from alliance_stats.multilevel.after.variance_shares import VariancePartition, variance_partition
from alliance_stats.multilevel.after.within_between import WithinBetween, within_between
from alliance_stats.multilevel.clusters import CR2
from alliance_stats.multilevel.generalized_data import make_generalized_problem
from alliance_stats.multilevel.generalized_fit import GeneralizedFit, fit_generalized
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_fit import LinearFit, fit_linear, ml_refit
from alliance_stats.multilevel.linear_functions import (
    DfMethod,
    Inference,
    LinearEstimates,
    inference_on,
)
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.location_scale import LocationScaleModel, location_scale
from alliance_stats.multilevel.mixed_models import glmm, lmm, ordinal
from alliance_stats.multilevel.model_likelihood import ModelLikelihood
from alliance_stats.multilevel.model_profiles import Profile
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel
from alliance_stats.multilevel.outcome_checks import check_not_separated
from alliance_stats.multilevel.parameter_tables import (
    all_coefficients,
    coefficients,
    named_coefficients,
    tidy_frame,
)
from alliance_stats.multilevel.refits import refit_without
from alliance_stats.multilevel.refitted_intervals import Bootstrap, Redrawn, redraw

__all__ = [
    "AR1",
    "CAR1",
    "CR2",
    "Bootstrap",
    "Comparisons",
    "CompoundSymmetry",
    "Contrasts",
    "DfMethod",
    "EstimatedMeans",
    "GeneralizedFit",
    "GeneralizedLinearMixedModel",
    "Inference",
    "JohnsonNeyman",
    "LatentPartition",
    "LeaveOneOut",
    "LikelihoodRatioTest",
    "LinearEstimates",
    "LinearFit",
    "LinearMixedModel",
    "Link",
    "LocationScaleModel",
    "ModelLikelihood",
    "OrdinalMixedModel",
    "PermutationTest",
    "Profile",
    "RSquared",
    "Redrawn",
    "ResidualChecks",
    "ResponseSurface",
    "SimpleSlopes",
    "StandardisedCoefficients",
    "StepMeans",
    "Toeplitz",
    "UnitRanks",
    "Unstructured",
    "VarianceBy",
    "VarianceExponential",
    "VariancePartition",
    "VariancePower",
    "WildBootstrap",
    "WithinBetween",
    "all_coefficients",
    "check_not_separated",
    "coefficients",
    "compare_models",
    "comparisons",
    "contrasts",
    "estimated_means",
    "fit_generalized",
    "fit_linear",
    "glmm",
    "infer",
    "inference_on",
    "johnson_neyman",
    "leave_one_out",
    "likelihood_ratio_test",
    "lmm",
    "location_scale",
    "make_generalized_problem",
    "ml_refit",
    "named_coefficients",
    "ordinal",
    "parametric_bootstrap",
    "permutation_test",
    "profile",
    "r_squared",
    "redraw",
    "refit_without",
    "residual_checks",
    "response_surface",
    "simple_slopes",
    "standardised_coefficients",
    "step_means",
    "tidy_frame",
    "unit_ranks",
    "variance_partition",
    "wild_bootstrap",
    "within_between",
]
