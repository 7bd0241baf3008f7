"""Published comparisons: recomputation, registry, meta-analysis."""

from alliance_stats.evidence.compare import Comparison, compare_with, published_effects
from alliance_stats.evidence.consistency import ConsistencyCheck, consistency_check
from alliance_stats.evidence.meta import meta_analysis
from alliance_stats.evidence.meta_result import MetaAnalysis
from alliance_stats.evidence.recompute import Recomputed, recompute, relations
from alliance_stats.evidence.reproduction import Reproduction, published, reproduce
from alliance_stats.evidence.sensitivity import funnel_asymmetry, leave_one_out, robust_tests

__all__ = [
    "Comparison",
    "ConsistencyCheck",
    "MetaAnalysis",
    "Recomputed",
    "Reproduction",
    "compare_with",
    "consistency_check",
    "funnel_asymmetry",
    "leave_one_out",
    "meta_analysis",
    "published",
    "published_effects",
    "recompute",
    "relations",
    "reproduce",
    "robust_tests",
]
