"""A wrong object is refused with the sentence that names the right function."""

import numpy as np
import pandas as pd
import pytest

import alliance_stats as als
from alliance_stats import figures, tables
from alliance_stats.errors import WrongObjectError
from alliance_stats.evidence import (
    compare_with,
    funnel_asymmetry,
    leave_one_study_out,
    robust_tests,
)
from alliance_stats.family import expected_false_alarms, family_ruptures, split_alliance
from alliance_stats.groups import compare_groups
from alliance_stats.multilevel import lmm
from alliance_stats.sentences import methods_paragraph, report
from alliance_stats.survival import (
    cox_ph,
    dropout_sensitivity,
    kaplan_meier,
    reference_imputation,
    under_definitions,
)

RNG = np.random.default_rng(5)
DATA = pd.DataFrame(
    {
        "g": np.repeat(["a", "b"], 20),
        "y": RNG.normal(size=40),
        "x": RNG.normal(size=40),
        "h": np.arange(40) % 8,
        "t": RNG.integers(1, 12, 40),
        "e": RNG.integers(0, 2, 40),
    }
)


@pytest.fixture(scope="module")
def made() -> dict[str, object]:
    return {
        "LinearMixedModel": lmm("y ~ x + (1 | h)", DATA),
        "CoxModel": cox_ph("x", DATA, time="t", event="e"),
        "KaplanMeier": kaplan_meier(DATA, time="t", event="e"),
        "GroupComparison": compare_groups(DATA, outcomes="y", group="g"),
        "DataFrame": DATA,
        "NoneType": None,
    }


FIGURES = {
    "caterpillar_figure": ({"group": "h"}, {"LinearMixedModel"}),
    "residual_checks_figure": ({"outcome_label": "y"}, set()),
    "step_figure": ({}, set()),
    "residual_figure": ({"outcome_label": "y"}, {"LinearMixedModel"}),
    "leave_one_out_figure": ({"term": "x"}, set()),
    "estimation_figure": ({"outcome": "y"}, {"GroupComparison"}),
    "raincloud_figure": ({"outcome": "y"}, {"GroupComparison"}),
    "kaplan_meier_figure": ({}, {"KaplanMeier"}),
    "cumulative_incidence_figure": ({}, set()),
    "adjusted_curves_figure": ({}, set()),
    "calibration_figure": ({}, set()),
    "landmark_figure": ({"newdata": None}, set()),
    "predicted_curves_figure": ({"newdata": None}, {"CoxModel"}),
    "curve_differences_figure": ({}, {"KaplanMeier"}),
    "restricted_mean_figure": ({}, set()),
    "varying_coefficient_figure": ({}, set()),
    "schoenfeld_figure": ({}, {"CoxModel"}),
    "martingale_figure": ({}, {"CoxModel"}),
    "hazard_figure": ({}, set()),
    "hazard_caterpillar_figure": ({"group": "h"}, {"CoxModel"}),
    "johnson_neyman_figure": ({"effect_label": "a", "moderator_label": "b"}, set()),
    "tipping_point_figure": ({"estimate_label": "a", "shift_label": "b"}, set()),
    "transition_figure": ({"early_label": "a"}, set()),
    "split_map_figure": ({}, set()),
    "rupture_chart_figure": ({"person": 1, "score_label": "s"}, set()),
    "group_trajectory_figure": ({"outcome_label": "y"}, set()),
    "actor_partner_figure": ({"outcome_label": "y"}, set()),
    "one_with_many_figure": ({}, set()),
    "comparison_figure": ({}, set()),
    "slopes_figure": ({}, set()),
    "estimated_means_figure": ({}, set()),
    "theme_figure": ({}, set()),
    "variance_partition_figure": ({}, set()),
    "flow_figure": ({}, set()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_refuses_what_it_does_not_draw(name, made):
    options, takes = FIGURES[name]
    for kind, value in made.items():
        if kind in takes:
            continue
        with pytest.raises(WrongObjectError, match=rf"^{name} draws a.*; got {kind}\.") as refused:
            getattr(figures, name)(value, **options)
        if kind == "CoxModel":
            assert "For a CoxModel: forest_figure, " in str(refused.value)


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("model_table", ("LinearMixedModel", "CoxModel")),
        ("group_table", ("GroupComparison",)),
        ("sample_table", ()),
    ],
)
def test_a_table_names_the_table_that_prints_the_object(name, takes, made):
    right = {"LinearMixedModel": "model_table", "CoxModel": "model_table"}
    for kind, value in made.items():
        if kind in takes:
            continue
        with pytest.raises(WrongObjectError, match=rf"^{name} prints .*; got {kind}\.") as refused:
            getattr(tables, name)(value, label="tbl-a", caption="c")
        if kind in right:
            assert f"For a {kind}: {right[kind]}." in str(refused.value)


def test_sentences_say_what_they_take(made):
    with pytest.raises(TypeError, match=r"report\(\) .* DataFrame"):
        report(DATA)
    with pytest.raises(WrongObjectError, match="methods_paragraph takes a mapping"):
        methods_paragraph(made["LinearMixedModel"])
    with pytest.raises(WrongObjectError, match="got DataFrame"):
        methods_paragraph({"a": DATA})


STUDY = als.example_study()
NAMED = {"label": "tbl-a", "caption": "c"}
ASKED = {
    "panel": lambda found: figures.panel(found, layout="A"),
    "coefficients_figure": lambda found: figures.coefficients_figure({"m": found}),
    "forest_figure": figures.forest_figure,
    "lagged_paths_figure": figures.lagged_paths_figure,
    "The figure draws a result of meta_analysis": figures.meta_forest_figure,
    "model_table": lambda found: tables.model_table(found, **NAMED),
    "compare_with": lambda found: compare_with(found, scale="r"),
    "leave_one_study_out": leave_one_study_out,
    "funnel_asymmetry": funnel_asymmetry,
    "robust_tests": robust_tests,
    "split_alliance": lambda found: split_alliance(found, threshold=1.0, sd="sample"),
    "family_ruptures": lambda found: family_ruptures(found, seed=1),
    "expected_false_alarms": lambda found: expected_false_alarms(found, error=1.0, seed=1),
    "definition": lambda found: als.endings(STUDY, found),
    "endings": als.endings,
    "under_definitions": lambda found: under_definitions(STUDY, found, len),
    "dropout_sensitivity": lambda found: dropout_sensitivity(
        found, DATA, term="x", deltas=[1.0], seed=1
    ),
    "reference_imputation": lambda found: reference_imputation(
        found, DATA, term="x", group="g", reference="a", time="x", unit="h", seed=1
    ),
    "indirect_path": lambda found: als.indirect_path(found, found, "x", "x", seed=1),
    "unit_ranks": lambda found: als.unit_ranks(found, "h"),
    "report": report,
}


@pytest.mark.parametrize("asked", ASKED)
def test_no_function_of_a_result_fails_from_inside(asked, made):
    drawn = figures.kaplan_meier_figure(made["KaplanMeier"])
    for found in ("model", type(made["CoxModel"]), drawn, [drawn, "model"], 3):
        with pytest.raises(WrongObjectError, match=rf"^{asked}.*; got ") as refused:
            ASKED[asked](found)
        if isinstance(found, type) and asked != "panel":
            assert "; got the class CoxModel." in str(refused.value)
