"""Time to an ending: who leaves, when, and what foretells it."""

from alliance_stats.survival.kaplan_meier import KaplanMeier, kaplan_meier
from alliance_stats.survival.log_rank import LogRank, log_rank

__all__ = ["KaplanMeier", "LogRank", "kaplan_meier", "log_rank"]
