"""Two or more groups: effect sizes before tests, and what the design can detect at all."""

from alliance_stats.groups.agreement_coefficients import cohen_kappa, krippendorff_alpha
from alliance_stats.groups.classification import (
    Classification,
    Classifications,
    Multiverse,
    classify,
    classify_many,
)
from alliance_stats.groups.coders import CoderAgreement, coder_agreement
from alliance_stats.groups.comparing import (
    GroupComparison,
    OutcomeComparison,
    adjusted_p,
    compare_groups,
    detectable_g,
    detectable_h,
    smallest_p_of_design,
)
from alliance_stats.groups.stage_transitions import StageTransitions, stage_transitions
from alliance_stats.groups.success_rules import (
    SuccessRule,
    cut_point,
    judged,
    reliable_change,
    retained,
)
from alliance_stats.groups.table_one import TableOne, table_one
from alliance_stats.groups.theme_comparison import ThemeComparison, compare_themes
from alliance_stats.groups.theme_transitions import ThemeTransitions, theme_transitions
from alliance_stats.groups.trajectory_comparison import TrajectoryComparison, compare_trajectories

__all__ = [
    "Classification",
    "Classifications",
    "CoderAgreement",
    "GroupComparison",
    "Multiverse",
    "OutcomeComparison",
    "StageTransitions",
    "SuccessRule",
    "TableOne",
    "ThemeComparison",
    "ThemeTransitions",
    "TrajectoryComparison",
    "adjusted_p",
    "classify",
    "classify_many",
    "coder_agreement",
    "cohen_kappa",
    "compare_groups",
    "compare_themes",
    "compare_trajectories",
    "cut_point",
    "detectable_g",
    "detectable_h",
    "judged",
    "krippendorff_alpha",
    "reliable_change",
    "retained",
    "smallest_p_of_design",
    "stage_transitions",
    "table_one",
    "theme_transitions",
]
