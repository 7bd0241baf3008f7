"""Interview themes by group, what became of them, and how far their coders agree."""

from alliance_stats.groups.themes.agreement_coefficients import cohen_kappa, krippendorff_alpha
from alliance_stats.groups.themes.coders import CoderAgreement, coder_agreement
from alliance_stats.groups.themes.theme_comparison import ThemeComparison, compare_themes
from alliance_stats.groups.themes.theme_transitions import ThemeTransitions, theme_transitions

__all__ = [
    "CoderAgreement",
    "ThemeComparison",
    "ThemeTransitions",
    "coder_agreement",
    "cohen_kappa",
    "compare_themes",
    "krippendorff_alpha",
    "theme_transitions",
]
