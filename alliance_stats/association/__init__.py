"""What goes with what: correlations, regression, analysis of variance."""

from alliance_stats.association.anova import AnalysisOfVariance, anova
from alliance_stats.association.correlations import (
    CorrelationDifference,
    Correlations,
    correlation_difference,
    correlations,
)
from alliance_stats.association.ordered_regression import OrderedRegression
from alliance_stats.association.regression import (
    GeneralizedRegression,
    LinearRegression,
    regression,
)

__all__ = [
    "AnalysisOfVariance",
    "CorrelationDifference",
    "Correlations",
    "GeneralizedRegression",
    "LinearRegression",
    "OrderedRegression",
    "anova",
    "correlation_difference",
    "correlations",
    "regression",
]
