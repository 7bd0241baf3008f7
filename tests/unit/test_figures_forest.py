"""Forest and funnel plots: what is drawn is what was given, on a scale that fits."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from alliance_stats import figures
from alliance_stats.evidence import meta_analysis
from alliance_stats.figures.forest import draw_forest, forest_figure
from alliance_stats.figures.funnel import funnel_figure
from alliance_stats.multilevel import lmm
from alliance_stats.survival.cox.cox_ph import cox_ph
from tests.figure_lint.cases import CASES
from tests.figure_lint.cases.data import endings, hazard_ratios, ratings

THREE = hazard_ratios("a", "b", "c")
STUDIES = pd.DataFrame({"estimate": [0.0, 0.5, 0.26], "std_error": [0.1, 0.1, 0.3]})
STUDIES["v"] = STUDIES["std_error"] ** 2


def report(estimates: pd.DataFrame, scale: str = "ratio") -> Figure:
    return forest_figure(
        estimates,
        estimate_label="Hazard ratio",
        method="Cox",
        scale=scale,  # type: ignore[arg-type]
    )


def test_rows_intervals_and_line_are_where_the_numbers_are() -> None:
    ax = Figure().add_subplot()
    draw_forest(ax, THREE)
    assert ax.get_xscale() == "log"
    drawn = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
    np.testing.assert_array_equal(drawn, THREE[["conf_low", "conf_high"]])
    marks = [line for line in ax.lines if line.get_gid() == "estimate"]
    assert [float(mark.get_xdata()[0]) for mark in marks] == THREE["estimate"].tolist()
    heights = [float(mark.get_ydata()[0]) for mark in marks]
    assert heights == sorted(heights)
    assert ax.yaxis_inverted()  # the first row stands on top
    assert any(np.all(np.asarray(line.get_xdata()) == 1.0) for line in ax.lines)


def test_words_hold_every_number() -> None:
    made = report(THREE)
    for row in THREE.itertuples():
        words = f"{row.term}: {row.estimate:.2f} [{row.conf_low:.2f}, {row.conf_high:.2f}]"
        assert words in made.alt
    pd.testing.assert_frame_equal(made.data, THREE)


def test_a_level_is_not_rounded() -> None:
    made = forest_figure(THREE, estimate_label="Hazard ratio", method="Cox", conf_level=0.975)
    assert "97.5% CI" in made.caption
    assert "98%" not in made.caption + made.alt + made.figure.axes[0].get_xlabel()


def test_a_row_without_an_interval_says_so_and_words_are_the_callers() -> None:
    frame = pd.DataFrame(
        {"term": ["a", "b"], "estimate": [0.265, 0.3], "conf_low": [0.1, np.nan]}
    ).assign(conf_high=[0.4, np.nan])
    made = forest_figure(
        frame,
        estimate_label="Correlation (r)",
        method="as printed",
        scale="difference",
        kind="bounded",
    )
    assert "a: .26 [.10, .40]; b: .30 (no interval)" in made.alt
    drawn = {text.get_text() for text in made.figure.axes[0].texts}
    assert {".26 [.10, .40]", ".30 (no interval)"} <= drawn


def test_small_numbers_are_not_printed_as_no_effect() -> None:
    frame = pd.DataFrame({"term": ["a", "b"], "estimate": [0.0004, 0.3]})
    frame = frame.assign(conf_low=[0.00021, 0.004], conf_high=[0.00059, 0.6])
    caption = report(frame, "difference").caption
    assert "a: 0.0004 [0.0002, 0.0006]; b: 0.300 [0.004, 0.600]." in caption
    ratios = pd.DataFrame({"term": ["a"], "estimate": [1.2], "conf_low": [1.004]})
    assert "a: 1.200 [1.004, 1.400]" in report(ratios.assign(conf_high=1.4)).caption


def test_no_end_of_an_interval_reaches_beyond_its_limit() -> None:
    ax = CASES["forest, pooled"]().figure.axes[0]
    lines = [line for line in ax.lines if line.get_gid() in {"interval", "prediction"}]
    assert len(lines) == 13
    assert {line.get_solid_capstyle() for line in lines} == {"butt"}


def test_on_a_narrow_page_intervals_stand_below_estimates_and_leave_the_axis_its_room() -> None:
    far = hazard_ratios("Großmutter väterlicherseits", "b").assign(
        estimate=[-0.00011, 0.00002], conf_low=[-0.00016, -0.00004], conf_high=[-0.00006, 0.00007]
    )
    made = forest_figure(far, estimate_label="b", method="lmm", scale="difference", width=89)
    ax = made.figure.axes[0]
    assert ax.get_position().width * 89.0 > 25.0  # mm
    assert "−0.00011\n[−0.00016, −0.00006]" in [text.get_text() for text in ax.texts]


def test_the_note_names_coefficients_as_the_rows_do() -> None:
    fit = lmm("alliance ~ session + role + (1 | therapist)", ratings(sessions=3))
    made = forest_figure(fit)
    assert "role: mother: told within 8 units" in made.note
    assert "[T." not in made.note


def test_without_any_interval_none_is_named() -> None:
    frame = pd.DataFrame(
        {"term": ["a"], "estimate": [0.3], "conf_low": np.nan, "conf_high": np.nan}
    )
    made = report(frame, "difference")
    assert made.caption == "Hazard ratio with no intervals. a: 0.30."
    assert made.figure.axes[0].get_xlabel() == "Hazard ratio (0: none)"


def test_endless_intervals_end_in_arrows_and_are_not_printed_as_zero() -> None:
    made = report(THREE.assign(conf_low=[1e-6, 0.5, 0.8], conf_high=[2.0, np.inf, 3.0]))
    ax = made.figure.axes[0]
    assert sum(line.get_gid() == "beyond" for line in ax.lines) == 2
    assert "0.60 [< 0.01, 2.00]" in made.alt
    assert "∞]" in made.alt


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.99, 1.03, 3), (0.8, 1.2, 3), (0.5, 2.0, 3), (0.01, 30.0, 3), (0.3, 0.9, 2), (1.2, 9.0, 2)],
)
def test_ratio_axis_has_round_ticks_and_one(low: float, high: float, ticks: int) -> None:
    middle = (low * high) ** 0.5
    frame = pd.DataFrame({"term": ["a"], "estimate": middle, "conf_low": low, "conf_high": high})
    ax = report(frame).figure.axes[0]
    inside = [tick for tick in ax.get_xticks() if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
    assert len(inside) >= ticks
    assert 1.0 in inside


def test_pooled_rows_are_diamonds_as_wide_as_their_interval() -> None:
    made = CASES["forest, pooled"]()
    ax = made.figure.axes[0]
    diamond = next(patch for patch in ax.patches if isinstance(patch, Polygon))
    across = diamond.get_xy()[:, 0]
    assert (across.min(), across.max()) == (0.18, 0.32)
    squares = [line for line in ax.lines if line.get_gid() == "estimate"]
    weights = made.data.query("kind == 'study'")["weight"]
    sides = np.maximum(9.0 * np.sqrt(weights / weights.max()), 2.0)
    np.testing.assert_allclose([line.get_markersize() for line in squares], sides)


def test_hazard_ratios_of_a_cox_model_can_be_given_as_they_are() -> None:
    data = endings(("a", "b"))
    data["x"] = (data["group"] == "b").astype(float)
    ratios = cox_ph("x", data, time="time", event="event").hazard_ratios()
    made = report(ratios)
    assert f"{ratios['estimate'].iloc[0]:.2f}" in made.caption


@pytest.mark.parametrize(
    ("frame", "scale", "message"),
    [
        (THREE.drop(columns="conf_low"), "ratio", "estimates has no column 'conf_low'"),
        (THREE.assign(estimate=[1, np.nan, 2]), "ratio", "'estimate' is missing in row 1"),
        (THREE.assign(conf_low=-0.2), "ratio", "is not above 0, and has no place on a log axis"),
        (THREE.assign(kind="total"), "ratio", "kind must be one of 'study'"),
        (THREE, "logs", "scale must be one of 'ratio', 'difference'"),
        (THREE.head(0), "ratio", "estimates has no rows"),
    ],
)
def test_forest_refuses(frame: pd.DataFrame, scale: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report(frame, scale)


def test_funnel_counts_who_is_outside() -> None:
    # pooled 0.2505; limits of the first two: 0.25 -+ 0.196, of the third 0.25 -+ 0.588
    made = funnel_figure(meta_analysis(STUDIES, estimate="estimate", variance="v", method="fixed"))
    assert "2 of 3 estimates outside the 95% limits" in made.caption
    ax = made.figure.axes[0]
    drawn = next(line for line in ax.lines if line.get_gid() == "studies")
    np.testing.assert_allclose(drawn.get_xydata(), STUDIES[["estimate", "std_error"]])
    assert ax.yaxis_inverted()


def test_a_study_of_one_huge_error_does_not_press_the_others_together() -> None:
    data = pd.DataFrame({"d": [0.1, 0.2, 0.3, 0.4, 0.2], "v": [0.01, 0.02, 0.03, 0.02, 1e4]})
    made = funnel_figure(meta_analysis(data, estimate="d", variance="v"))
    (ax,) = made.figure.axes
    assert ax.get_ylim()[0] < 0.2
    (arrow,) = [line for line in ax.lines if line.get_gid() == "beyond"]
    assert arrow.get_xydata().tolist() == [[0.2, ax.get_ylim()[0]]]
    assert "1 estimate of a larger error" in made.note


def test_funnel_of_a_frame_is_refused_with_what_draws_it() -> None:
    with pytest.raises(TypeError, match=r"the result of meta_analysis\(\), which knows it"):
        funnel_figure(STUDIES, pooled=0.0, effect_label="z", method="REML")
    with pytest.raises(TypeError, match="a result of meta_analysis; got DataFrame"):
        funnel_figure(STUDIES)
    with pytest.raises(TypeError, match=r"is called funnel_figure\(\) now"):
        figures.meta_funnel_figure(STUDIES)
