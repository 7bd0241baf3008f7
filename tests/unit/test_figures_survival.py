"""Kaplan-Meier figures: the drawn curves and the risk table are the life table's."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from alliance_stats.figures.survival_curves import (
    draw_kaplan_meier,
    kaplan_meier_figure,
    risk_table,
)
from alliance_stats.survival.curves.kaplan_meier import KaplanMeier, kaplan_meier
from tests.figure_lint.cases.data import endings
from tests.parity.reference import r_data

FOUR = pd.DataFrame({"time": [2.0, 3.0, 3.0, 5.0], "event": [1, 0, 1, 1]})


def fitted(data: pd.DataFrame = FOUR, strata: str | None = None) -> KaplanMeier:
    return kaplan_meier(data, time="time", event="event", strata=strata)


def test_risk_table_by_hand() -> None:
    table = risk_table(fitted(), [0.0, 2.0, 3.0, 4.0, 5.0])
    assert table["n_risk"].tolist() == [4, 4, 3, 1, 1]
    assert table["n_censor"].tolist() == [0, 0, 0, 1, 1]
    assert table["n_event"].tolist() == [0, 0, 1, 2, 2]


def test_risk_table_adds_up_at_every_time_of_the_life_table() -> None:
    result = fitted(endings(("a", "b")), "group")
    tidy = result.tidy()
    for name in tidy["strata"].unique():
        part = tidy.loc[tidy["strata"] == name]
        table = risk_table(result, part["time"].tolist())
        table = table.loc[table["strata"] == name]
        np.testing.assert_array_equal(table["n_risk"], part["n_risk"])
        assert (table[["n_risk", "n_censor", "n_event"]].sum(axis=1) == 90).all()


# R 4.2, survival: summary(survfit(Surv(time, status) ~ sex, lung), extend = TRUE,
# times = c(0, 250, 500, 750, 1000)), its n.event summed; nobody ends at those days themselves
LUNG_N_RISK = [138, 62, 20, 7, 2, 90, 53, 21, 3, 0]
LUNG_N_EVENT = [0, 65, 96, 109, 112, 0, 24, 42, 52, 53]


def test_risk_table_is_that_of_r_on_lung() -> None:
    lung = r_data("survival", "cancer")  # lung, under its other name
    lung["event"] = lung["status"] - 1
    result = kaplan_meier(lung, time="time", event="event", strata="sex")
    table = risk_table(result, [0, 250, 500, 750, 1000])
    assert table["n_risk"].tolist() == LUNG_N_RISK
    assert table["n_event"].tolist() == LUNG_N_EVENT


def test_drawn_curve_starts_at_one_and_steps_through_the_estimates() -> None:
    result = fitted()
    ax = Figure().add_subplot()
    draw_kaplan_meier(ax, result.tidy(), result.medians())
    curve = next(line for line in ax.lines if str(line.get_gid()).startswith("curve"))
    assert curve.get_drawstyle() == "steps-post"
    np.testing.assert_array_equal(curve.get_xdata(), [0, 2, 3, 5])
    np.testing.assert_allclose(curve.get_ydata(), [1, 0.75, 0.5, 0], atol=1e-15)
    marks = next(line for line in ax.lines if str(line.get_gid()).startswith("censored"))
    np.testing.assert_allclose([marks.get_xdata(), marks.get_ydata()], [[3], [0.5]])


def test_words_hold_medians_numbers_and_method() -> None:
    result = fitted(endings(("a", "b")), "group")
    report = kaplan_meier_figure(result)
    medians = result.medians()
    for row in medians.itertuples():
        words = (
            f"{row.strata} (n = 90, {row.n_event} dropped out): "
            f"median {row.estimate:.0f} [{row.conf_low:.0f}, {row.conf_high:.0f}]"
        )
        assert words in report.alt
        assert words in report.alt
    assert "log-log" in report.note
    assert "Greenwood" in report.note
    assert "censored" in report.note
    curves = report.data.query("part == 'curve'")
    np.testing.assert_array_equal(curves["estimate"], result.tidy()["estimate"])


def test_written_cells_are_the_risk_table() -> None:
    report = kaplan_meier_figure(fitted(endings(("a", "b")), "group"))
    below = report.figure.axes[1]
    written = {text.get_text() for text in below.texts}
    for row in report.data.query("part == 'risk'").itertuples():
        assert f"{row.n_risk:.0f} ({row.n_censor:.0f}; {row.n_event:.0f})" in written
    columns = {text.get_position()[0] for text in below.texts if ";" in text.get_text()[1:9]}
    assert report.figure.axes[0].get_xlim() == below.get_xlim()
    assert set(report.figure.axes[0].get_xticks()) <= columns


def test_clustered_errors_are_named() -> None:
    data = endings(("a",))
    data["therapist"] = np.arange(len(data)) % 12
    result = kaplan_meier(data, time="time", event="event", cluster="therapist")
    note = kaplan_meier_figure(result).note
    assert "infinitesimal jackknife standard errors over 12 clusters" in note
    assert "Greenwood" not in note


def test_other_event_and_level() -> None:
    report = kaplan_meier_figure(fitted(), event_label="ended as planned", conf_level=0.9)
    assert "not having ended as planned" in report.caption
    assert "90%" in report.caption
    assert "(censored; ended as planned)" in " ".join(
        text.get_text() for text in report.figure.axes[1].texts
    )
    with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
        kaplan_meier_figure(fitted(), conf_level=95)
