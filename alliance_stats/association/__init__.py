"""What goes with what: correlations, regression, analysis of variance."""

from alliance_stats.association.correlations import (
    CorrelationDifference,
    Correlations,
    correlation_difference,
    correlations,
)

__all__ = ["CorrelationDifference", "Correlations", "correlation_difference", "correlations"]
