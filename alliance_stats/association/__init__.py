"""Correlations, regression, analysis of variance, mediation."""

from alliance_stats.association.analysis_of_variance import AnalysisOfVariance
from alliance_stats.association.anova import anova
from alliance_stats.association.brought_models import BroughtModel, from_lifelines
from alliance_stats.association.correlation_difference import (
    CorrelationDifference,
    correlation_difference,
)
from alliance_stats.association.correlations import Correlations, correlations
from alliance_stats.association.mediation import HazardOutcome, Mediation, indirect_path, mediation
from alliance_stats.association.mixed_anova import MixedAnova, mixed_anova
from alliance_stats.association.ordered_regression import OrderedRegression
from alliance_stats.association.regression import regression
from alliance_stats.association.regression_model import GeneralizedRegression, LinearRegression
from alliance_stats.association.statsmodels_models import from_statsmodels

__all__ = [
    "AnalysisOfVariance",
    "BroughtModel",
    "CorrelationDifference",
    "Correlations",
    "GeneralizedRegression",
    "HazardOutcome",
    "LinearRegression",
    "Mediation",
    "MixedAnova",
    "OrderedRegression",
    "anova",
    "correlation_difference",
    "correlations",
    "from_lifelines",
    "from_statsmodels",
    "indirect_path",
    "mediation",
    "mixed_anova",
    "regression",
]
