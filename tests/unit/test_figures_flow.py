"""The participant flow shows the ledger, whole."""

import itertools

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from alliance_stats.figures.flow import draw_flow, flow_figure, flow_height
from alliance_stats.figures.style import house_style
from alliance_stats.ledger import RowLedger
from tests.figure_lint.cases.data import LONG, ledger


def boxes(report_figure: Figure) -> list[Rectangle]:
    return [patch for patch in report_figure.axes[0].patches if isinstance(patch, Rectangle)]


def test_boxes_say_what_the_ledger_says() -> None:
    data = pd.DataFrame({"family": [1, 1, 2, 3], "ok": [True, False, False, True]})
    rows = RowLedger.start(data, {"family": ("family",)})
    _, rows = rows.keep(data, data["ok"], reason="not ok")
    report = flow_figure(rows)
    words = [text.get_text() for text in report.figure.axes[0].texts if text.get_text()]
    assert words == [
        "Came in: 4 rows",
        "family: 3",
        "Used: 2 rows",
        "family: 2",
        "Set aside: 2 rows",
        "not ok",
        "family: −1",
    ]
    assert report.caption == ("Flow of rows and units: 2 rows of 4 were used, 2 rows set aside.")
    assert str(rows) in report.alt
    pd.testing.assert_frame_equal(report.data, rows.tidy())


def test_steps_that_set_nothing_aside_are_passed_over() -> None:
    data = pd.DataFrame({"x": [1, 2]})
    _, rows = RowLedger.start(data).keep(data, [True, True], reason="nothing")
    report = flow_figure(rows)
    assert len(boxes(report.figure)) == 2
    words = [text.get_text() for text in report.figure.axes[0].texts]
    assert words == ["", "Came in: 2 rows", "Used: 2 rows"]  # the arrow has no words
    assert "2 rows of 2 were used, none set aside." in report.caption


def test_boxes_never_overlap_and_hold_their_text() -> None:
    report = flow_figure(ledger(LONG * 4, "b", "x" * 200, "d"))
    figure = report.figure
    with house_style():  # words as wide as in print
        figure.draw_without_rendering()
        found = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    placed = [box.get_window_extent() for box in boxes(figure)]
    assert len(placed) == 9
    for one, other in itertools.combinations(placed, 2):
        assert not one.overlaps(other)
    for at in found:
        inside = [
            b for b in placed if b.x0 <= at.x0 and b.x1 >= at.x1 and b.y0 <= at.y0 and b.y1 >= at.y1
        ]
        assert len(inside) == 1


def test_axes_that_are_too_low_are_refused() -> None:
    rows = ledger("one", "two")
    figure = Figure(figsize=(5, 1.0))
    with pytest.raises(ValueError, match=r"needs axes .* in high at this width"):
        draw_flow(figure.add_axes((0, 0, 1, 1)), rows)
    enough = Figure(figsize=(5, flow_height(rows, 5.0)))
    draw_flow(enough.add_axes((0, 0, 1, 1)), rows)
