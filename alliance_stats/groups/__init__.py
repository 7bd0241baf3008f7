"""Two or more groups: effects before tests, and what the design can show at all."""

from alliance_stats.groups.agreement import CoderAgreement, coder_agreement
from alliance_stats.groups.classification import Classification, classify
from alliance_stats.groups.comparing import compare_groups
from alliance_stats.groups.comparison import GroupComparison, OutcomeComparison
from alliance_stats.groups.kappa import cohen_kappa, krippendorff_alpha
from alliance_stats.groups.multiplicity import adjusted_p
from alliance_stats.groups.power import detectable_g, detectable_h, smallest_p_of_design
from alliance_stats.groups.rule_agreement import Multiverse, RuleAgreement, classify_many
from alliance_stats.groups.rules import SuccessRule, cut_point, judged, reliable_change, retained
from alliance_stats.groups.table_one import TableOne, table_one
from alliance_stats.groups.themes import ThemeComparison, compare_themes
from alliance_stats.groups.trajectories import TrajectoryComparison, compare_trajectories
from alliance_stats.groups.transitions import ThemeTransitions, theme_transitions

__all__ = [
    "Classification",
    "CoderAgreement",
    "GroupComparison",
    "Multiverse",
    "OutcomeComparison",
    "RuleAgreement",
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
    "table_one",
    "theme_transitions",
]
