"""Figures of session to session: what is drawn is what was estimated."""

import numpy as np
import pytest

from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.figures import (
    deviations_figure,
    impulse_response_figure,
    lagged_paths_figure,
    reliability_figure,
)
from alliance_stats.figures.numbers import interval_of
from alliance_stats.panel import cross_lagged
from tests.unit.test_panel_cross_lagged import DATA, NAMES


@pytest.fixture(scope="module")
def found():
    return cross_lagged(DATA, order=["symptoms", "alliance"], **NAMES)


def test_every_lagged_effect_has_an_arrow_and_its_number(found):
    figure = lagged_paths_figure(found)
    ax = figure.figure.axes[0]
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == len(found.tidy()) == 4
    written = " ".join(text.get_text() for text in ax.texts)
    for estimate in found.tidy()["estimate"]:
        assert f"{abs(estimate):.2f}" in written
    assert "alliance on symptoms" in figure.alt


def test_deviations_and_the_next_ones_have_the_lagged_effects_as_slopes(found):
    figure = deviations_figure(found)
    slopes = [
        line.get_ydata()[1] / line.get_xdata()[1]
        for ax in figure.figure.axes
        for line in ax.lines
        if line.get_gid() == "estimate"
    ]
    np.testing.assert_allclose(slopes, found.tidy()["estimate"])
    own = found.deviations().set_index(["person", "session"])
    row = figure.data.query("outcome == 'symptoms' and predictor == 'alliance'").iloc[0]
    before, after = (own.loc[(row["person"], row["session"] - lag)] for lag in (1, 0))
    phi = found.tidy().set_index(["outcome", "predictor"])["estimate"]
    assert row["before"] == before["alliance"]
    assert row["after"] == pytest.approx(
        after["symptoms"] - phi["symptoms", "symptoms"] * before["symptoms"]
    )


def test_responses_are_drawn_as_they_are(found):
    figure = impulse_response_figure(found, horizon=3)
    table = found.impulse_responses(horizon=3)
    drawn = [line.get_ydata() for ax in figure.figure.axes for line in ax.lines if line.get_gid()]
    np.testing.assert_allclose(np.concatenate(drawn), table["estimate"])
    assert "symptoms, then alliance" in figure.note


def test_the_curve_goes_over_the_reliabilities(found):
    figure = reliability_figure(found, reliabilities=[1.0, 0.8])
    last = figure.data.query("predictor == 'alliance' and outcome == 'alliance'").iloc[-1]
    assert last["reliability"] == 1.0  # the last point on the axis is the one told of
    assert f"alliance on alliance: {interval_of(last)}" in figure.alt
    assert len(figure.figure.axes) == 4
    assert sorted(figure.data["reliability"].unique()) == [0.8, 1.0]


def test_groups_and_free_lags_have_no_single_figure(found):
    free = cross_lagged(DATA, lags="free", **NAMES)
    with pytest.raises(DataError, match="one group"):
        lagged_paths_figure(free)
    with pytest.raises(DataError, match="one group and lags equal"):
        reliability_figure(free, reliabilities=[1.0, 0.9])
    with pytest.raises(WrongObjectError, match="draws a model of cross_lagged"):
        reliability_figure(found.tidy())
