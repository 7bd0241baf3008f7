"""Two or more groups: effects before tests, and what the design can show at all."""

from alliance_stats.groups.comparison import GroupComparison, OutcomeComparison, compare_groups
from alliance_stats.groups.multiplicity import adjusted_p
from alliance_stats.groups.power import detectable_g, detectable_h, smallest_p_of_design

__all__ = [
    "GroupComparison",
    "OutcomeComparison",
    "adjusted_p",
    "compare_groups",
    "detectable_g",
    "detectable_h",
    "smallest_p_of_design",
]
