"""Hazards by session and tipping points: what is drawn, said and lint-free."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.datasets import example_study
from alliance_stats.figures.caterpillar import caterpillar_figure
from alliance_stats.figures.hazard import hazard_figure
from alliance_stats.figures.tipping_point import tipping_point_figure
from alliance_stats.ledger import RowLedger
from alliance_stats.survival import DropoutSensitivity, discrete_hazard, endings
from tests.figure_lint.lint import lint


def model(baseline: str = "dummies"):
    rows = endings(example_study()).periods()
    return discrete_hazard(
        "1", rows, session="session", event="event", unit="family", baseline=baseline
    )


def sensitivity(slope: float = 0.1) -> DropoutSensitivity:
    deltas = np.array([-10.0, -5.0, 0.0, 5.0, 10.0])
    rng = np.random.default_rng(1)
    return DropoutSensitivity(
        term="arm",
        deltas=deltas,
        estimates=-1.0 + slope * deltas[:, None] + rng.normal(0, 0.1, 20),
        variances=np.full((5, 20), 0.09),
        df_complete=np.full(5, 60.0),
        seen=pd.Series({"estimate": -1.0}),
        n_seen=200,
        n_unseen=40,
        rows=RowLedger.start(pd.DataFrame({"x": [1]})),
    )


def tipping(slope: float = 0.1):
    return tipping_point_figure(
        sensitivity(slope),
        estimate_label="Arms apart (points)",
        shift_label="Shift of unseen scores (points)",
    )


@pytest.mark.parametrize("baseline", ["dummies", "spline"])
def test_hazard_figure_has_no_finding(baseline: str) -> None:
    assert lint(hazard_figure(model(baseline))) == []


@pytest.mark.parametrize("slope", [0.1, 0.0])
def test_tipping_point_figure_has_no_finding(slope: float) -> None:
    assert lint(tipping(slope)) == []


def test_hazard_figure_shows_the_curve_and_the_shares() -> None:
    fit = model("spline")
    report = hazard_figure(fit)
    pd.testing.assert_frame_equal(report.data, fit.curve())
    ax = report.figure.axes[0]
    line = next(line for line in ax.lines if line.get_gid() == "model")
    np.testing.assert_allclose(line.get_ydata(), report.data["hazard"])
    seen = next(c for c in ax.collections if c.get_gid() == "seen").get_offsets()
    np.testing.assert_allclose(seen[:, 1], report.data["n_event"] / report.data["n_risk"])
    assert "74 events in 2,252 rows, 60 rows set aside" in report.note


def test_tipping_point_stands_where_the_limit_meets_zero() -> None:
    report = tipping()
    tips = sensitivity().tipping_points().set_index("direction")["delta"]
    assert np.isnan(tips["below 0"])
    drawn = [line for line in report.figure.axes[0].lines if line.get_gid() == "tipping point"]
    assert [line.get_xdata()[0] for line in drawn] == [tips["above 0"]]
    assert "no shift downwards to −10.0 overturns that; a shift upwards of" in report.caption
    assert "no shift upwards to 10.0" in tipping(0.0).caption


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
