"""Calls of figures, each of what its result is made of."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from alliance_stats import figures
from tests.fuzz.further_calls import FURTHER
from tests.fuzz.model_calls import MODELS

__all__ = ["FIGURES"]

Draw = Callable[[Any], object]


def _of(call: str, draw: Draw) -> tuple[str, Draw]:
    """Return the call that draws what another call finds."""
    base, found = {**MODELS, **FURTHER}[call]
    return base, lambda data: draw(found(data))


def _forest(found: Any) -> object:
    table = found.tidy().assign(label=lambda d: d["term"])
    return figures.forest_figure(
        table, estimate_label="log hazard ratio", method="Cox", scale="difference"
    )


FIGURES: dict[str, tuple[str, Draw]] = {
    "actor_partner_figure": _of(
        "apim", lambda r: figures.actor_partner_figure(r, outcome_label="symptoms")
    ),
    "coefficients_figure": (
        MODELS["lmm"][0],
        lambda d: figures.coefficients_figure(
            {"one": MODELS["lmm"][1](d), "two": MODELS["lmm"][1](d)}
        ),
    ),
    "panel": _of(
        "lmm",
        lambda r: figures.panel(
            [figures.residual_figure(r, outcome_label="symptoms")] * 2, layout="AB"
        ),
    ),
    "specification_figure": (
        FURTHER["classify_many"][0],
        lambda d: figures.specification_figure(
            FURTHER["classify_many"][1](d).compare(outcomes=["before"]), outcome="before"
        ),
    ),
    "calibration_figure": _of("risk_accuracy", figures.calibration_figure),
    "landmark_figure": _of(
        "landmark_chance",
        lambda r: figures.landmark_figure(r, pd.DataFrame({"barriers": [0.0, 1.0]})),
    ),
    "adjusted_curves_figure": _of("adjusted_curves", figures.adjusted_curves_figure),
    "curve_differences_figure": _of("kaplan_meier", figures.curve_differences_figure),
    "martingale_figure": _of("cox_ph", figures.martingale_figure),
    "predicted_curves_figure": _of(
        "fine_gray",
        lambda r: figures.predicted_curves_figure(r, pd.DataFrame({"barriers": [0.0, 1.0]})),
    ),
    "restricted_mean_figure": _of("restricted_mean", figures.restricted_mean_figure),
    "schoenfeld_figure": _of("cox_ph", figures.schoenfeld_figure),
    "varying_coefficient_figure": _of("varying_coefficient", figures.varying_coefficient_figure),
    "stage_figure": _of("stage_transitions", figures.stage_figure),
    "participant_flow_figure": _of("participant_flow", figures.participant_flow_figure),
    "study_overview_figure": _of("describe", figures.study_overview_figure),
    "correlation_figure": _of("correlations", figures.correlation_figure),
    "deviations_figure": _of("cross_lagged", figures.deviations_figure),
    "lagged_paths_figure": _of("cross_lagged", figures.lagged_paths_figure),
    "reliability_figure": _of(
        "cross_lagged", lambda r: figures.reliability_figure(r, reliabilities=(1.0, 0.9))
    ),
    "impulse_response_figure": _of("cross_lagged", figures.impulse_response_figure),
    "forest_figure": _of("cox_ph", _forest),
    "group_trajectory_figure": _of(
        "compare_trajectories",
        lambda r: figures.group_trajectory_figure(r, outcome_label="alliance"),
    ),
    "hazard_caterpillar_figure": _of(
        "discrete_hazard random",
        lambda r: figures.hazard_caterpillar_figure(r, group="therapist"),
    ),
    "hazard_figure": _of(
        "discrete_hazard",
        lambda r: figures.hazard_figure(r, pd.DataFrame({"barriers": [0.0]}), of="no barriers"),
    ),
    "johnson_neyman_figure": _of(
        "johnson_neyman",
        lambda r: figures.johnson_neyman_figure(
            r, effect_label="effect of alliance", moderator_label="session"
        ),
    ),
    "leave_one_out_figure": _of(
        "leave_one_out", lambda r: figures.leave_one_out_figure(r, term="session")
    ),
    "mediation_figure": _of("mediation by arms", figures.mediation_figure),
    "conditional_effects_figure": _of("mediation, moderated", figures.conditional_effects_figure),
    "ranks_figure": _of("unit_ranks", figures.ranks_figure),
    "one_with_many_figure": _of("one_with_many", figures.one_with_many_figure),
    "residual_checks_figure": _of("residual_checks", figures.residual_checks_figure),
    "step_figure": _of("step_means", figures.step_figure),
    "residual_figure": _of("lmm", lambda r: figures.residual_figure(r, outcome_label="symptoms")),
    "residual_figure of a regression": _of(
        "regression", lambda r: figures.residual_figure(r, outcome_label="after")
    ),
    "rupture_chart_figure": _of(
        "ruptures",
        lambda r: figures.rupture_chart_figure(r, person="T0F0m", score_label="alliance"),
    ),
    "split_map_figure": _of("split_alliance", figures.split_map_figure),
    "theme_figure": _of("compare_themes", figures.theme_figure),
    "tipping_point_figure": _of(
        "dropout_sensitivity",
        lambda r: figures.tipping_point_figure(
            r, estimate_label="slope", shift_label="shift in points"
        ),
    ),
    "tipping_region_figure": _of(
        "sensitivity_by_group",
        lambda r: figures.tipping_region_figure(
            r, estimate_label="slope", shift_label="shift in points"
        ),
    ),
    "transition_figure": _of(
        "theme_transitions", lambda r: figures.transition_figure(r, early_label="early")
    ),
    "estimated_means_figure": _of("estimated_means", figures.estimated_means_figure),
    "slopes_figure": _of("within_between", figures.slopes_figure),
    "slopes_figure of simple slopes": _of("simple_slopes", figures.slopes_figure),
    "variance_partition_figure": _of("variance_partition", figures.variance_partition_figure),
}
