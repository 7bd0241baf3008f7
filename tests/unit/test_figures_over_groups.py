"""Transition diagrams and trajectories of groups: what is drawn and said is what was found."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from alliance_stats.figures.axes import add_axes
from alliance_stats.figures.style import new_figure
from alliance_stats.figures.themes import draw_transitions
from tests.figure_lint.cases.groups import INTERVIEWS, transitions, turned
from tests.figure_lint.cases.trajectories import compared
from tests.figure_lint.cases.trajectories import groups as trajectories


def words(figure: Figure, place: int) -> list[str]:
    return [text.get_text() for text in figure.axes[place].texts]


def test_a_ribbon_is_as_wide_as_its_count() -> None:
    counts = np.array([[3.0, 0.0, 1.0], [0.0, 0.0, 2.0]])
    figure = new_figure(5.0, 2.0, placed_by_hand=True)
    ax = add_axes(figure, 0, 0, 360, 126)
    draw_transitions(ax, counts, names=("early", "not"), states=("rupture", "strength", "neither"))
    ribbons = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    widths = [
        path.vertices[-1][1] - path.vertices[7][1] for path in (r.get_path() for r in ribbons)
    ]
    per_case = (126 - 2 * 10.0) / 6
    np.testing.assert_allclose(np.abs(widths), per_case * np.array([3, 1, 2]))


def test_every_count_is_written() -> None:
    figure = transitions().figure
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["broken (n = 5)", "lasting (n = 6)"]
    broken = " ".join(" ".join(words(figure, 0)).split())
    assert "early problem $n$ = 4" in broken
    assert "no early problem $n$ = 1" in broken
    assert "rupture 3 of 4 with 0 of 1 without" in broken
    assert "strength 0 of 4 with 0 of 1 without" in broken
    assert "neither 1 of 4 with 1 of 1 without" in broken


def test_caption_and_note_hold_the_shares_and_the_test() -> None:
    result, report = turned(), transitions()
    assert "broken: rupture 3 of 4 (75% [19%, 99%])" in report.alt
    assert "lasting: rupture 0 of 4 (0% [0%, 60%]), strength 4 of 4 (100%" in report.alt
    p_value = result.glance().set_index("early").loc[True, "p_value"]
    assert f"{p_value:.3f}"[1:] in report.note
    pd.testing.assert_frame_equal(report.data, result.tidy())


def test_an_early_theme_of_one_group_only_is_not_tested_and_says_so() -> None:
    cases = INTERVIEWS[(INTERVIEWS["group"] == "broken") | (INTERVIEWS["early"] == 0)]
    assert "no test: one group or one later state only" in transitions(cases).note


def test_lines_are_the_model_means_and_differences() -> None:
    result = compared()
    left, right = trajectories(result).figure.axes
    means = result.means()
    for name, own in means.groupby("group"):
        line = next(line for line in left.lines if line.get_gid() == f"mean {name}")
        np.testing.assert_array_equal(line.get_ydata(), own["estimate"])
    differences = result.differences()
    line = next(line for line in right.lines if line.get_gid() == "difference")
    np.testing.assert_array_equal(line.get_ydata(), differences["estimate"])
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5, 6])


def test_the_words_say_who_and_from_when_on() -> None:
    result = compared()
    report = trajectories(result)
    caption = report.alt
    assert "lasting: 15 persons; broken: 15 persons" in report.caption
    assert "lasting: 15 persons; broken: 15 persons" in caption
    assert f"From {result.differ_from():g} on the simultaneous band leaves out 0" in caption
    last = result.differences().iloc[-1]
    assert (
        f"{last['estimate']:.2f} [{last['band_low']:.2f}, {last['band_high']:.2f}] at 6" in caption
    )
