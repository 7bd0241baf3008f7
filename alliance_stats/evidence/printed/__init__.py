"""Printed numbers: what a text means, what follows from what, and whether it does."""

from alliance_stats.evidence.printed.consistency import (
    ConsistencyCheck,
    Recomputed,
    consistency_check,
    recompute,
    relations,
)
from alliance_stats.evidence.printed.numerals import read_printed
from alliance_stats.evidence.printed.reproduction import Reproduction, published, reproduce

__all__ = [
    "ConsistencyCheck",
    "Recomputed",
    "Reproduction",
    "consistency_check",
    "published",
    "read_printed",
    "recompute",
    "relations",
    "reproduce",
]
