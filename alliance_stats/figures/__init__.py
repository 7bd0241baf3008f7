"""Figures for reports: each ``*_figure`` returns a :class:`ReportFigure`, ready to save.

``x_figure(result, ..., label=)`` returns a :class:`ReportFigure`: the picture with its label,
caption, text alternative, note and the numbers drawn. ``draw_x(ax, ...)`` puts the same marks on
the caller's Axes and returns nothing. Importing this room loads matplotlib.
"""

from alliance_stats.figures.across_models import (
    coefficients_figure,
    draw_coefficients,
    specification_figure,
)
from alliance_stats.figures.axes import draw_band, draw_beyond, draw_intervals
from alliance_stats.figures.caterpillar import (
    caterpillar_figure,
    draw_caterpillar,
    hazard_caterpillar_figure,
)
from alliance_stats.figures.conditional_effects import (
    conditional_effects_figure,
    draw_conditional_effects,
)
from alliance_stats.figures.correlation_map import correlation_figure, draw_correlations
from alliance_stats.figures.curve_contrasts import (
    curve_differences_figure,
    draw_curve_differences,
    restricted_mean_figure,
)
from alliance_stats.figures.dyads import (
    actor_partner_figure,
    draw_variance_bars,
    one_with_many_figure,
)
from alliance_stats.figures.family_maps import draw_split_map, split_map_figure
from alliance_stats.figures.family_strips import draw_family_strip, family_strips_figure
from alliance_stats.figures.flow import draw_flow, flow_figure
from alliance_stats.figures.forest import draw_forest, forest_figure
from alliance_stats.figures.funnel import draw_funnel, funnel_figure
from alliance_stats.figures.funnel import meta_funnel_figure as meta_funnel_figure
from alliance_stats.figures.group_trajectories import (
    draw_difference_over_time,
    draw_group_means,
    group_trajectory_figure,
)
from alliance_stats.figures.group_values import (
    draw_differences,
    draw_groups,
    estimation_figure,
)
from alliance_stats.figures.hazard_checks import (
    draw_varying_coefficient,
    martingale_figure,
    schoenfeld_figure,
    varying_coefficient_figure,
)
from alliance_stats.figures.incidence import (
    cumulative_incidence_figure,
    draw_cumulative_incidence,
    draw_hazard,
    hazard_figure,
)
from alliance_stats.figures.johnson_neyman import draw_johnson_neyman, johnson_neyman_figure
from alliance_stats.figures.lagged_paths import draw_lagged_paths, lagged_paths_figure
from alliance_stats.figures.left_out import draw_leave_one_out, leave_one_out_figure
from alliance_stats.figures.levels import (
    draw_slopes,
    draw_variance_partition,
    slopes_figure,
    variance_partition_figure,
)
from alliance_stats.figures.mediation_paths import (
    draw_effect_draws,
    draw_mediation_paths,
    mediation_figure,
)
from alliance_stats.figures.meta_forest import comparison_figure, meta_forest_figure
from alliance_stats.figures.model_curves import (
    adjusted_curves_figure,
    draw_steps,
    predicted_curves_figure,
)
from alliance_stats.figures.model_means import (
    draw_means_along,
    draw_means_in_rows,
    estimated_means_figure,
)
from alliance_stats.figures.panels import panel
from alliance_stats.figures.participants import draw_participants, participant_flow_figure
from alliance_stats.figures.power_curves import (
    draw_power_curves,
    interval_width_figure,
    power_figure,
)
from alliance_stats.figures.power_maps import (
    draw_power_map,
    power_map_figure,
    power_sensitivity_figure,
)
from alliance_stats.figures.prediction import (
    calibration_figure,
    draw_calibration,
    draw_landmarks,
    landmark_figure,
)
from alliance_stats.figures.raincloud import draw_raincloud, raincloud_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.residuals import (
    draw_quantiles,
    draw_residuals,
    residual_checks_figure,
    residual_figure,
)
from alliance_stats.figures.rupture_chart import draw_rupture_chart, rupture_chart_figure
from alliance_stats.figures.session_to_session import (
    deviations_figure,
    draw_bands,
    draw_next_deviations,
    impulse_response_figure,
    reliability_figure,
)
from alliance_stats.figures.stages import draw_stages, stage_figure
from alliance_stats.figures.steps import draw_stacked_steps, step_figure
from alliance_stats.figures.study_overview import draw_rated, study_overview_figure
from alliance_stats.figures.style import Theme, themed
from alliance_stats.figures.survival_curves import (
    draw_kaplan_meier,
    draw_risk_table,
    kaplan_meier_figure,
)
from alliance_stats.figures.themes import (
    draw_themes,
    draw_transitions,
    theme_figure,
    transition_figure,
)
from alliance_stats.figures.tipping_points import (
    draw_tipping_point,
    draw_tipping_region,
    tipping_point_figure,
    tipping_region_figure,
)
from alliance_stats.figures.trajectories import draw_trajectories, trajectory_figure
from alliance_stats.figures.unit_rank_chances import (
    draw_rank_chances,
    draw_ranks,
    ranks_figure,
)

__all__ = [
    "ReportFigure",
    "Theme",
    "actor_partner_figure",
    "adjusted_curves_figure",
    "calibration_figure",
    "caterpillar_figure",
    "coefficients_figure",
    "comparison_figure",
    "conditional_effects_figure",
    "correlation_figure",
    "cumulative_incidence_figure",
    "curve_differences_figure",
    "deviations_figure",
    "draw_band",
    "draw_bands",
    "draw_beyond",
    "draw_calibration",
    "draw_caterpillar",
    "draw_coefficients",
    "draw_conditional_effects",
    "draw_correlations",
    "draw_cumulative_incidence",
    "draw_curve_differences",
    "draw_difference_over_time",
    "draw_differences",
    "draw_effect_draws",
    "draw_family_strip",
    "draw_flow",
    "draw_forest",
    "draw_funnel",
    "draw_group_means",
    "draw_groups",
    "draw_hazard",
    "draw_intervals",
    "draw_johnson_neyman",
    "draw_kaplan_meier",
    "draw_lagged_paths",
    "draw_landmarks",
    "draw_leave_one_out",
    "draw_means_along",
    "draw_means_in_rows",
    "draw_mediation_paths",
    "draw_next_deviations",
    "draw_participants",
    "draw_power_curves",
    "draw_power_map",
    "draw_quantiles",
    "draw_raincloud",
    "draw_rank_chances",
    "draw_ranks",
    "draw_rated",
    "draw_residuals",
    "draw_risk_table",
    "draw_rupture_chart",
    "draw_slopes",
    "draw_split_map",
    "draw_stacked_steps",
    "draw_stages",
    "draw_steps",
    "draw_themes",
    "draw_tipping_point",
    "draw_tipping_region",
    "draw_trajectories",
    "draw_transitions",
    "draw_variance_bars",
    "draw_variance_partition",
    "draw_varying_coefficient",
    "estimated_means_figure",
    "estimation_figure",
    "family_strips_figure",
    "flow_figure",
    "forest_figure",
    "funnel_figure",
    "group_trajectory_figure",
    "hazard_caterpillar_figure",
    "hazard_figure",
    "impulse_response_figure",
    "interval_width_figure",
    "johnson_neyman_figure",
    "kaplan_meier_figure",
    "lagged_paths_figure",
    "landmark_figure",
    "leave_one_out_figure",
    "martingale_figure",
    "mediation_figure",
    "meta_forest_figure",
    "one_with_many_figure",
    "panel",
    "participant_flow_figure",
    "power_figure",
    "power_map_figure",
    "power_sensitivity_figure",
    "predicted_curves_figure",
    "raincloud_figure",
    "ranks_figure",
    "reliability_figure",
    "residual_checks_figure",
    "residual_figure",
    "restricted_mean_figure",
    "rupture_chart_figure",
    "schoenfeld_figure",
    "slopes_figure",
    "specification_figure",
    "split_map_figure",
    "stage_figure",
    "step_figure",
    "study_overview_figure",
    "theme_figure",
    "themed",
    "tipping_point_figure",
    "tipping_region_figure",
    "trajectory_figure",
    "transition_figure",
    "variance_partition_figure",
    "varying_coefficient_figure",
]
