"""Hazards by session and tipping points: what is drawn and said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from alliance_stats.errors import DataError
from alliance_stats.figures.caterpillar import caterpillar_figure
from alliance_stats.figures.incidence import draw_hazard, hazard_figure
from alliance_stats.survival import discrete_hazard
from tests.figure_lint.cases.survival import hazard, sensitivity, tipping
from tests.figure_lint.lint import lint


def test_hazard_figure_shows_the_curve_and_the_shares() -> None:
    fit = hazard("spline")
    report = hazard_figure(fit)
    pd.testing.assert_frame_equal(report.data, fit.curve())
    ax = report.figure.axes[0]
    line = next(line for line in ax.lines if line.get_gid() == "model")
    np.testing.assert_allclose(line.get_ydata(), report.data["hazard"])
    seen = next(c for c in ax.collections if c.get_gid() == "seen").get_offsets()
    np.testing.assert_allclose(seen[:, 1], report.data["n_event"] / report.data["n_risk"])
    assert "74 events in 2,252 rows, 60 rows set aside" in report.note


def test_an_interval_between_sessions_without_one_is_drawn() -> None:
    curve = hazard("spline").curve().head(3).assign(n_risk=9, n_event=1)
    curve.loc[[0, 2], ["hazard_low", "hazard_high"]] = np.nan
    ax = Figure().subplots()
    draw_hazard(ax, curve)
    (line,) = (c for c in ax.collections if c.get_gid() == "interval")
    (ends,) = line.get_segments()
    np.testing.assert_allclose(ends[:, 1], curve.loc[1, ["hazard_low", "hazard_high"]].tolist())


def test_tipping_point_stands_where_the_limit_meets_zero() -> None:
    report = tipping(sensitivity())
    tips = sensitivity().tipping_points().set_index("direction")["delta"]
    assert np.isnan(tips["below 0"])
    drawn = [line for line in report.figure.axes[0].lines if line.get_gid() == "tipping point"]
    assert [line.get_xdata()[0] for line in drawn] == [tips["above 0"]]
    assert "no shift downwards to −10 overturns that; a shift upwards of" in report.alt
    assert "no shift upwards to 10" in tipping(sensitivity(0.0)).alt


def test_therapists_on_the_hazard_scale_make_a_caterpillar() -> None:
    rng = np.random.default_rng(8)
    rows = []
    for t in range(20):
        chance = 1 - np.exp(-np.exp(-1.5 + rng.normal(0, 0.8)))
        for i in range(15):
            for session in range(1, 7):
                left = float(rng.random() < chance)
                rows.append((f"T{t:02}", f"F{t}-{i}", session, left))
                if left:
                    break
    data = pd.DataFrame(rows, columns=["therapist", "family", "session", "event"])
    fit = discrete_hazard("1", data, session="session", event="event", unit="family")
    report = caterpillar_figure(
        fit.fit, group="therapist", effect_label="Therapist's log hazard ratio"
    )
    assert len(report.data) == 20
    assert lint(report) == []


def test_what_was_not_tried_or_found_is_not_said_to_be_there() -> None:
    found = sensitivity(0.0)
    small = replace(found, deltas=found.deltas[found.deltas >= 0.0][:2])
    kept = np.isin(found.deltas, small.deltas)
    completed = found.completed
    small = replace(
        small,
        completed=replace(
            completed,
            estimates=completed.estimates[kept],
            variances=completed.variances[kept],
            df=completed.df[kept],
        ),
    )
    report = tipping(small)
    assert "no shift downwards was tried" in report.alt
    assert "Dotted" not in report.caption + str(report.note)
    none = replace(small, deltas=small.deltas[:1])
    with pytest.raises(DataError, match="a shift beside none"):
        tipping(none)
