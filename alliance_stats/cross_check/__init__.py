"""The same question put to other libraries, with their answer beside each number."""

from alliance_stats.cross_check.cross_check import CrossCheck, cross_check, why_not

__all__ = ["CrossCheck", "cross_check", "why_not"]
