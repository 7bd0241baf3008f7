"""Figures of mixed models: caterpillar, residual checks, variance shares, slopes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.figures.caterpillar import caterpillar_figure
from alliance_stats.figures.left_out import leave_one_out_figure
from alliance_stats.figures.levels import slopes_figure, variance_partition_figure
from alliance_stats.figures.model_means import estimated_means_figure
from alliance_stats.figures.residuals import normal_quantiles, residual_figure
from alliance_stats.multilevel import (
    estimated_means,
    glmm,
    leave_one_out,
    lmm,
    simple_slopes,
    variance_partition,
    within_between,
)
from tests.figure_lint.cases import CASES
from tests.figure_lint.cases.data import ratings
from tests.figure_lint.cases.models import fitted

MODEL = fitted()


def test_caterpillar_draws_the_predicted_effects_in_order() -> None:
    report = caterpillar_figure(MODEL, group="therapist", conf_level=0.9)
    table = MODEL.tidy(effects="ran_vals", conf_level=0.9)
    own = table[table["group"] == "therapist"].sort_values("estimate")
    ax = report.figure.axes[0]
    drawn = [line for line in ax.lines if line.get_gid() == "estimate"]
    assert [float(line.get_xdata()[0]) for line in drawn] == own["estimate"].tolist()
    limits = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
    np.testing.assert_array_equal(limits, own[["conf_low", "conf_high"]])
    assert [text.get_text() for text in ax.texts] == own["level"].tolist()
    sd = MODEL.tidy(effects="ran_pars").query("group == 'therapist'")["estimate"].iloc[0]
    apart = ((own["conf_low"] > 0) | (own["conf_high"] < 0)).sum()
    assert f"estimated SD between them {sd:.2f}" in report.caption
    assert f"{apart} of 8 intervals leave out 0" in report.alt


def test_caterpillar_of_many_therapists_leaves_their_names_to_the_data() -> None:
    report = CASES["caterpillar, 200 therapists"]()
    assert len(report.figure.axes[0].texts) == 0
    assert "200 therapists" in report.caption
    assert report.data["level"].nunique() == 200


@pytest.mark.parametrize(
    ("group", "term", "message"),
    [
        ("therapists", "(Intercept)", "no grouping factor 'therapists'. Did you mean 'therapist'"),
        ("therapist", "session", "'therapist' has no random effect 'session'"),
    ],
)
def test_caterpillar_refuses(group: str, term: str, message: str) -> None:
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        caterpillar_figure(MODEL, group=group, term=term)


def test_normal_quantiles_of_three_values() -> None:
    table = normal_quantiles(np.array([3.0, 1.0, 2.0]))
    assert table["estimate"].tolist() == [1.0, 2.0, 3.0]
    # medians of uniform order statistics of three: 1 - 2^(-1/3), 1/2, 2^(-1/3)
    expected = stats.norm.ppf([1 - 0.5 ** (1 / 3), 0.5, 0.5 ** (1 / 3)])
    np.testing.assert_allclose(table["theoretical"], expected, atol=1e-12)
    # the largest of three lies below x with probability Phi(x)^3
    np.testing.assert_allclose(stats.norm.cdf(table["conf_high"].iloc[2]) ** 3, 0.975)
    np.testing.assert_allclose(stats.norm.cdf(table["conf_low"].iloc[2]) ** 3, 0.025)


def test_band_holds_its_share_of_normal_samples() -> None:
    rng = np.random.default_rng(5)
    tables = [normal_quantiles(rng.normal(size=25)) for _ in range(400)]
    outside = np.mean(
        [((t["estimate"] < t["conf_low"]) | (t["estimate"] > t["conf_high"])) for t in tables]
    )
    # 10,000 draws; neighbours go together, so that the error is some 0.005
    assert outside == pytest.approx(0.05, abs=0.02)


def test_residual_panels_hold_the_models_values() -> None:
    report = residual_figure(MODEL, outcome_label="alliance")
    rows = MODEL.augment()
    first, second, *_ = report.figure.axes
    points = next(line for line in first.lines if line.get_gid() == "values")
    np.testing.assert_array_equal(points.get_xdata(), rows["fitted"])
    np.testing.assert_array_equal(points.get_ydata(), rows["residual_standardised"])
    drawn = next(line for line in second.lines if line.get_gid() == "values")
    values = np.sort(rows["residual_standardised"])
    np.testing.assert_allclose(drawn.get_ydata(), (values - values.mean()) / values.std(ddof=1))
    assert "outside the band; Therapist: " in report.alt
    assert "outside the band; Person of therapist: " in report.alt
    assert f"{len(rows)} rows" in report.note


def test_variance_bars_and_words() -> None:
    found = variance_partition(MODEL, ci_method="bootstrap", n_resamples=20, seed=1)
    shares = found.tidy(conf_level=0.9)
    report = variance_partition_figure(found, conf_level=0.9, words={"Residual": "sessions"})
    ax = report.figure.axes[0]
    assert [bar.get_width() for bar in ax.patches] == shares["estimate"].tolist()
    drawn = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
    np.testing.assert_array_equal(drawn, shares[["conf_low", "conf_high"]])
    assert f"sessions: {100 * shares['estimate'].iloc[-1]:.1f}% [" in report.alt
    assert "intervals by bootstrap" in report.note
    assert f"{MODEL.nobs} rows" in report.caption.replace(",", "")


def test_slopes_run_through_the_origin_as_far_as_they_reach() -> None:
    data = ratings(sessions=8)
    found = within_between(data, outcome="alliance", predictor="session", levels=["person"])
    own = found.tidy().set_index("term").loc[["within person", "between person"]]
    rows = found.model.design.frame
    for reach, wide in (("unit", [1, 1]), ("sd", [rows[c].std() for c in found.components])):
        report = slopes_figure(found, reach=reach)  # type: ignore[arg-type]
        lines = [x for x in report.figure.axes[0].lines if str(x.get_gid()).startswith("slope")]
        for line, slope, far in zip(lines, own["estimate"], wide, strict=True):
            np.testing.assert_allclose(line.get_xdata(), [-far, 0, far])
            np.testing.assert_allclose(line.get_ydata(), slope * np.array([-far, 0, far]))
        assert report.data["reach"].tolist() == pytest.approx(wide)
    assert "2 slopes with 95% confidence bands" in report.caption
    assert "contextual" not in report.alt


def test_simple_slopes_are_drawn_at_each_value_of_their_moderator() -> None:
    fit = lmm("alliance ~ session * role + (1 | person)", ratings(sessions=8))
    found = simple_slopes(fit, "session", by="role")
    report = slopes_figure(found)
    assert report.data["term"].tolist() == ["child", "father", "mother"]
    np.testing.assert_allclose(report.data["estimate"], found.tidy()["estimate"])


@pytest.mark.parametrize("draw", [slopes_figure, variance_partition_figure])
def test_levels_are_drawn_from_the_result_alone(draw: Any) -> None:
    frame = pd.DataFrame({"term": ["a"], "estimate": [1.0]})
    with pytest.raises(TypeError, match="has no argument 'method' any more: give the result"):
        draw(frame, method="REML")
    with pytest.raises(WrongObjectError, match=rf"^{draw.__name__} draws a result of .*DataFrame"):
        draw(frame)


def test_each_refit_is_drawn_beside_the_whole_model() -> None:
    found = leave_one_out(MODEL, "therapist")
    report = leave_one_out_figure(found, term="session", conf_level=0.9)
    own = found.tidy(conf_level=0.9).query("term == 'session'").sort_values("estimate")
    ax = report.figure.axes[0]
    drawn = [line for line in ax.lines if line.get_gid() == "estimate"]
    assert [float(line.get_xdata()[0]) for line in drawn] == own["estimate"].tolist()
    limits = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
    np.testing.assert_array_equal(limits, own[["conf_low", "conf_high"]])
    whole = MODEL.tidy(conf_level=0.9).set_index("term").loc["session"]
    (band,) = [patch for patch in ax.patches if patch.get_gid() == "whole"]
    np.testing.assert_allclose(
        band.get_window_extent().transformed(ax.transData.inverted()).intervalx,
        whole[["conf_low", "conf_high"]].astype(float),
    )
    assert report.data["level"].tolist() == own["level"].tolist()
    assert f"highest without {own['level'].iloc[-1]}" in report.alt


def test_a_coefficient_that_is_not_there_is_not_drawn() -> None:
    with pytest.raises(DataError, match="Did you mean 'session'"):
        leave_one_out_figure(leave_one_out(MODEL, "therapist"), term="sesion")


def test_means_are_drawn_in_rows_or_over_a_numeric_predictor() -> None:
    fit = lmm("alliance ~ session * role + (1 | person)", ratings(sessions=8))
    rows = estimated_means(fit, "role")
    report = estimated_means_figure(rows, conf_level=0.9)
    ax, tidy = report.figure.axes[0], rows.tidy(conf_level=0.9)
    drawn = [float(line.get_xdata()[0]) for line in ax.lines if line.get_gid() == "mean"]
    assert drawn == tidy["estimate"].tolist()
    limits = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
    np.testing.assert_allclose(limits, tidy[["conf_low", "conf_high"]])
    pd.testing.assert_frame_equal(report.data, tidy)
    assert f"{fit.nobs} rows" in report.caption.replace(",", "")
    over = estimated_means(fit, "role", by="session", at={"session": [1, 4, 8]})
    ax = estimated_means_figure(over).figure.axes[0]
    lines = {str(line.get_gid()): line.get_ydata() for line in ax.lines}
    for role, own in over.tidy().groupby("role"):
        np.testing.assert_allclose(lines[f"means {role}"], own["estimate"])


def test_means_of_a_chance_are_drawn_on_the_scale_asked_for() -> None:
    data = ratings(sessions=6).dropna()
    fit = glmm("low ~ role + (1 | person)", data.assign(low=1 * (data["alliance"] < 4)))
    found = estimated_means(fit, "role")
    chance, link = (estimated_means_figure(found, scale=s) for s in ("response", "link"))
    pd.testing.assert_frame_equal(chance.data, found.tidy(scale="response"))
    pd.testing.assert_frame_equal(link.data, found.tidy(scale="link"))
    assert "brought back from the logit scale, random effects at zero" in chance.note
    assert "mean log odds" in link.caption


def test_means_name_their_outcome() -> None:
    data = ratings(sessions=6)
    found = estimated_means(lmm("log(alliance) ~ role + (1 | person)", data), "role")
    report, median = (estimated_means_figure(found, scale=s) for s in ("response", "median"))
    assert report.caption.startswith("Log(alliance), mean by role")
    assert median.caption.startswith("Alliance, median by role")
    assert "alliance, median" in median.alt
    assert "alliance, median" in median.figure.axes[0].get_xlabel()
    worded = estimated_means_figure(found, scale="median", words={"alliance": "bond (1-7)"})
    assert worded.caption.startswith("Bond (1-7), median by role")
    assert estimated_means_figure(found, outcome_label="ln WAI").caption.startswith("Ln WAI, mean")


def test_lines_that_cannot_be_told_apart_are_refused() -> None:
    data = ratings(tuple("abcdefgh"), sessions=6)
    fit = lmm("alliance ~ session * role + (1 | person)", data)
    found = estimated_means(fit, "role", by="session", at={"session": [1, 3, 5]})
    with pytest.raises(DataError, match="8 lines cannot be told apart; at most 7"):
        estimated_means_figure(found)


def test_slopes_of_a_chance_are_said_to_be_log_odds() -> None:
    data = ratings(sessions=6).dropna()
    fit = glmm("low ~ session + (1 | person)", data.assign(low=1 * (data["alliance"] < 4)))
    report = slopes_figure(simple_slopes(fit, "session"))
    assert report.caption.startswith("Log odds of low per unit of session: 1 slope")
    assert report.figure.axes[0].get_ylabel() == "Difference in log odds of low"
    plain = slopes_figure(simple_slopes(lmm("alliance ~ session + (1 | person)", data), "session"))
    assert plain.caption.startswith("Alliance per unit of session: 1 slope")
