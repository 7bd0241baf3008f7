"""Closed-form effect sizes and their intervals.

Every function takes samples, summaries or counts and returns an :class:`EffectSize`. Effects are
the first argument minus the second: a positive effect means that the first group is higher.
"""

from alliance_stats.effect_sizes.clustered import (
    ClusteredEffect,
    anova_icc,
    cluster_corrected_g,
    model_based_g,
    total_variance_df,
)
from alliance_stats.effect_sizes.proportions import (
    cliffs_delta,
    clopper_pearson,
    newcombe_difference,
    newcombe_paired_difference,
    odds_ratio,
    probability_of_superiority,
    tango_difference,
    wilson,
)
from alliance_stats.effect_sizes.standardised import (
    EffectSize,
    cohens_d,
    covariate_adjusted_g,
    hedges_correction,
    hedges_g,
    hedges_g_from_summary,
    hedges_g_paired,
    noncentral_t_cdf,
    noncentral_t_interval,
    pooled_sd,
)

__all__ = [
    "ClusteredEffect",
    "EffectSize",
    "anova_icc",
    "cliffs_delta",
    "clopper_pearson",
    "cluster_corrected_g",
    "cohens_d",
    "covariate_adjusted_g",
    "hedges_correction",
    "hedges_g",
    "hedges_g_from_summary",
    "hedges_g_paired",
    "model_based_g",
    "newcombe_difference",
    "newcombe_paired_difference",
    "noncentral_t_cdf",
    "noncentral_t_interval",
    "odds_ratio",
    "pooled_sd",
    "probability_of_superiority",
    "tango_difference",
    "total_variance_df",
    "wilson",
]
