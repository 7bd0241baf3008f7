"""Figures of published comparisons and meta-analyses: what is drawn is what was computed."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.evidence import Comparison, MetaAnalysis, compare_with, meta_analysis
from alliance_stats.figures.funnel import funnel_figure
from alliance_stats.figures.meta_forest import comparison_figure, meta_forest_figure
from tests.parity.reference import load_reference

REFERENCE = load_reference("evidence_meta")
BCG = pd.DataFrame(REFERENCE["bcg"]["data"])
TWO = ["welmers2018/split", "friedlander2018/split"]


def bcg(**options: Any) -> MetaAnalysis:
    return meta_analysis(BCG, estimate="estimate", variance="variance", **options)


def correlations(**options: Any) -> MetaAnalysis:
    data = pd.DataFrame({"r": [0.2, 0.4, np.nan, 0.1, 0.6], "n": [50, 80, 30, 40, 25]})
    data["study"] = ["a", "a", "b", "b", "c"]
    return meta_analysis(data, r="r", n="n", **options)


def compared(**options: Any) -> Comparison:
    return compare_with(correlations(), scale="fisher_z", records=TWO, **options)


def lines(ax: Axes, gid: str) -> list[list[float]]:
    return [
        np.asarray(line.get_xdata(), dtype=float).tolist()
        for line in ax.lines
        if line.get_gid() == gid
    ]


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_comparison_draws_every_estimate_and_says_where_no_interval_was_printed() -> None:
    comparison = compared()
    made = comparison_figure(comparison)
    ax, tidy = made.figure.axes[0], comparison.tidy()
    assert [x for (x,) in lines(ax, "estimate")] == tidy["estimate"].tolist()
    known = tidy[["conf_low", "conf_high"]].dropna()
    np.testing.assert_array_equal(lines(ax, "interval"), known)
    split = {"welmers2018/split": ".106 [−.124, .327]"}
    split["friedlander2018/split"] = ".316 (no interval printed)"
    for key, told in split.items():
        row = tidy.set_index("label").loc[key]
        assert f"{key}: {row['about']}: {told}" in made.alt
        assert told in made.alt
        assert told in words(ax)
    assert "2 published estimates, 1 of them with no interval printed" in made.caption
    pd.testing.assert_frame_equal(made.data, tidy)


def test_own_estimate_is_told_by_marker_and_colour() -> None:
    ax = comparison_figure(compared()).figure.axes[0]
    marks = [line for line in ax.lines if line.get_gid() == "estimate"]
    assert [mark.get_marker() for mark in marks] == ["o", "s", "s"]
    assert marks[0].get_color() != marks[1].get_color()


def test_ratios_stand_on_a_log_axis_around_one() -> None:
    made = comparison_figure(compared(on="odds_ratio", label="Ours"), digits=2)
    ax = made.figure.axes[0]
    assert ax.get_xscale() == "log"
    assert "line at 1" in made.alt
    own = made.data.iloc[0]
    assert f"Ours: (Intercept): {own['estimate']:.2f} [{own['conf_low']:.2f}, " in made.alt


def test_comparison_names_the_level_of_the_own_interval() -> None:
    assert "with its 90% CI" in comparison_figure(compared(conf_level=0.90)).note


def test_comparison_refuses() -> None:
    with pytest.raises(WrongObjectError, match="a result of compare_with; got MetaAnalysis"):
        comparison_figure(correlations())  # type: ignore[arg-type]
    comparison = compared()
    endless = comparison.tidy().assign(estimate=[0.1, np.inf, 0.2])
    with pytest.raises(DataError, match=r"no place on the axis \(\S+: inf\)"):
        comparison_figure(Comparison("d", 0.95, endless))
    below = comparison.tidy().assign(estimate=[0.1, 0.0, 0.2])
    with pytest.raises(DataError, match=r"no place on the axis \(\S+: 0.0\)"):
        comparison_figure(Comparison("odds_ratio", 0.95, below))


def test_forest_of_bcg_shows_what_metafor_computes() -> None:
    made = meta_forest_figure(bcg(), names="Trial " + BCG["year"].astype(str))
    ax, fit = made.figure.axes[0], REFERENCE["bcg"]["fits"]["REML knha"]
    diamond = next(patch for patch in ax.patches if isinstance(patch, Polygon)).get_xy()[:, 0]
    expected = [fit["conf_low"], fit["conf_high"]]
    np.testing.assert_allclose([diamond.min(), diamond.max()], expected, rtol=1e-6)
    assert [x for (x,) in lines(ax, "estimate")] == BCG["estimate"].tolist()
    half = 1.959963984540054 * np.sqrt(BCG["variance"])
    drawn = np.array(lines(ax, "interval"))
    np.testing.assert_allclose(drawn.T, [BCG["estimate"] - half, BCG["estimate"] + half])
    own = 1 / (BCG["variance"] + fit["tau2"])
    shares = [f"{100 * weight:.1f}%" for weight in own / own.sum()]
    assert [word for word in words(ax) if word.endswith("%")] == [*shares, "100.0%"]
    assert "Trial 1948" in words(ax)
    tau2, q = f"τ² = {fit['tau2']:.2f}", f"Q(12) = {fit['q']:.2f}, p < .001"
    assert tau2 in made.note
    assert f"I² = {fit['i_squared']:.1f}%, {q}" in made.note


def test_labels_of_the_meta_analysis_name_the_rows_and_names_go_before_them() -> None:
    data = BCG.assign(trial="Trial " + BCG["year"].astype(str))
    model = meta_analysis(data, estimate="estimate", variance="variance", label="trial")
    assert meta_forest_figure(model).data["term"].tolist()[:13] == data["trial"].tolist()
    assert funnel_figure(model).data["term"].tolist() == data["trial"].tolist()
    other = meta_forest_figure(model, names=BCG["year"]).data["term"]
    assert other.tolist()[:13] == BCG["year"].astype(str).tolist()


def test_prediction_interval_is_a_bar_of_its_own_and_in_words() -> None:
    model = bcg()
    made = meta_forest_figure(model)
    (bar,) = lines(made.figure.axes[0], "prediction")
    expected = model.prediction().iloc[0]
    assert bar == [expected["conf_low"], expected["conf_high"]]
    low, high = (f"{x:.2f}".replace("-", "−") for x in bar)
    assert f"Prediction interval: [{low}, {high}]" in made.alt
    assert made.data["kind"].tolist() == ["study"] * 13 + ["pooled", "prediction"]


def test_ratios_and_correlations_are_turned_back() -> None:
    ratios, logs = meta_forest_figure(bcg(), scale="ratio"), meta_forest_figure(bcg())
    limits = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(ratios.data[limits], np.exp(logs.data[limits]))
    assert ratios.figure.axes[0].get_xscale() == "log"
    back = meta_forest_figure(correlations(), scale="r").data
    np.testing.assert_allclose(back["estimate"][:4], [0.2, 0.4, 0.1, 0.6])


def test_fixed_effect_has_no_prediction_and_no_tau2() -> None:
    made = meta_forest_figure(bcg(method="fixed"))
    assert "prediction" not in set(made.data["kind"])
    assert "τ²" not in made.note
    assert "inverse of sampling variance." in made.note


def test_three_levels_are_named_and_rows_set_aside_counted() -> None:
    made = meta_forest_figure(correlations(study="study"))
    assert "forest plot of 4 estimates of 3 studies" in made.caption
    assert made.data["term"].tolist()[:3] == ["a (row 0)", "a (row 1)", "b (row 3)"]
    assert "1 row set aside" in made.note
    assert "τ² (study) = " in made.note
    assert "Estimates of one study are correlated" in made.note


def test_what_to_beware_of_opens_the_note() -> None:
    alike = pd.DataFrame({"y": [0.2, 0.21, 0.19], "v": [0.1, 0.1, 0.2]})
    model = meta_analysis(alike, estimate="y", variance="v", test="normal")
    for made in (meta_forest_figure(model), funnel_figure(model)):
        assert made.note.startswith("The variance at level effect is at zero.")


@pytest.mark.parametrize("draw", [meta_forest_figure, funnel_figure])
def test_meta_figures_refuse(draw: Any) -> None:
    with pytest.raises(TypeError, match="a result of meta_analysis; got DataFrame"):
        draw(BCG)
    with pytest.raises(NotIdentifiedError, match="moderators .*year"):
        draw(bcg(moderators="year"))
    with pytest.raises(DataError, match="names must be a Series indexed as the data"):
        draw(bcg(), names=["a"] * 13)
    with pytest.raises(DataError, match="names has none for the estimate in row"):
        draw(bcg(), names=BCG["year"].iloc[:12])
    with pytest.raises(ValueError, match="conf_level"):
        draw(bcg(), conf_level=95)


def test_forest_refuses_scales_that_do_not_fit() -> None:
    with pytest.raises(NotIdentifiedError, match="Only a meta-analysis of r= and n="):
        meta_forest_figure(bcg(), scale="r")
    with pytest.raises(NotIdentifiedError, match="Fisher z are no logarithms"):
        meta_forest_figure(correlations(), scale="ratio")
    with pytest.raises(ValueError, match="scale must be one of 'fitted', 'r', 'ratio'"):
        meta_forest_figure(bcg(), scale="exp")


def test_funnel_draws_estimates_against_errors_downwards_with_metafors_egger_test() -> None:
    made = funnel_figure(bcg())
    ax, egger = made.figure.axes[0], REFERENCE["bcg"]["sensitivity"]["egger"]
    drawn = next(line for line in ax.lines if line.get_gid() == "studies")
    points = np.asarray(drawn.get_xydata())
    np.testing.assert_allclose(points.T, [BCG["estimate"], np.sqrt(BCG["variance"])])
    assert ax.yaxis_inverted()
    told = f"t({egger['df']}) = {egger['statistic']:.2f}, p = {egger['p']:.3f}"
    assert told.replace("-", "−").replace("= 0.", "= .") in made.note
    pooled = REFERENCE["bcg"]["fits"]["REML knha"]["coefficients"]
    half = 1.959963984540054 * np.sqrt(BCG["variance"])
    outside = int((np.abs(BCG["estimate"] - pooled) > half).sum())
    assert f"{outside} of 13 estimates outside the 95% limits" in made.caption
    np.testing.assert_allclose(made.data["limit_high"] - made.data["pooled"], half)


def test_funnel_says_why_there_is_no_test_and_when_it_has_little_power() -> None:
    three = funnel_figure(correlations(study="study"))
    assert "No test of asymmetry: Effects of one study are not independent" in three.note
    few = funnel_figure(correlations())
    assert "With 4 estimates this test has little power." in few.note
    assert few.figure.axes[0].get_xlabel() == "Correlation (Fisher z)"
