"""Groups compared on several outcomes: effects before tests, and what the design can show."""

from alliance_stats.groups.comparing.finding import adjusted_p
from alliance_stats.groups.comparing.group_comparison import (
    GroupComparison,
    OutcomeComparison,
    compare_groups,
)
from alliance_stats.groups.comparing.no_difference import (
    detectable_g,
    detectable_h,
    smallest_p_of_design,
)

__all__ = [
    "GroupComparison",
    "OutcomeComparison",
    "adjusted_p",
    "compare_groups",
    "detectable_g",
    "detectable_h",
    "smallest_p_of_design",
]
