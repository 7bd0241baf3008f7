"""Published comparisons: recomputation, registry, meta-analysis."""

from alliance_stats.evidence.meta import (
    Comparison,
    MetaAnalysis,
    compare_with,
    funnel_asymmetry,
    leave_one_study_out,
    meta_analysis,
    published_effects,
    robust_tests,
)
from alliance_stats.evidence.printed import (
    ConsistencyCheck,
    Recomputed,
    Reproduction,
    consistency_check,
    published,
    recompute,
    relations,
    reproduce,
)

__all__ = [
    "Comparison",
    "ConsistencyCheck",
    "MetaAnalysis",
    "Recomputed",
    "Reproduction",
    "compare_with",
    "consistency_check",
    "funnel_asymmetry",
    "leave_one_study_out",
    "meta_analysis",
    "published",
    "published_effects",
    "recompute",
    "relations",
    "reproduce",
    "robust_tests",
]
