"""Meta-analysis, and comparison of your own estimate with published ones."""

from alliance_stats.evidence.meta.beside_published import (
    Comparison,
    compare_with,
    published_effects,
)
from alliance_stats.evidence.meta.meta_analysis import (
    funnel_asymmetry,
    leave_one_study_out,
    meta_analysis,
    robust_tests,
)
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis

__all__ = [
    "Comparison",
    "MetaAnalysis",
    "compare_with",
    "funnel_asymmetry",
    "leave_one_study_out",
    "meta_analysis",
    "published_effects",
    "robust_tests",
]
