"""What goes with what: correlations, regression, analysis of variance."""

from alliance_stats.association.anova import AnalysisOfVariance, anova
from alliance_stats.association.correlations import (
    CorrelationDifference,
    Correlations,
    correlation_difference,
    correlations,
)

__all__ = [
    "AnalysisOfVariance",
    "CorrelationDifference",
    "Correlations",
    "anova",
    "correlation_difference",
    "correlations",
]
