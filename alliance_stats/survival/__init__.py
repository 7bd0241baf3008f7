"""Time to an ending: who leaves, when, and what foretells it."""

from alliance_stats.survival.cumulative_incidence import CumulativeIncidence, cumulative_incidence
from alliance_stats.survival.gray_test import GrayTest, gray_test
from alliance_stats.survival.kaplan_meier import KaplanMeier, kaplan_meier
from alliance_stats.survival.log_rank import LogRank, log_rank
from alliance_stats.survival.restricted_mean import RestrictedMean, restricted_mean

__all__ = [
    "CumulativeIncidence",
    "GrayTest",
    "KaplanMeier",
    "LogRank",
    "RestrictedMean",
    "cumulative_incidence",
    "gray_test",
    "kaplan_meier",
    "log_rank",
    "restricted_mean",
]
