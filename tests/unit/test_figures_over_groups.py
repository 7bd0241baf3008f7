"""Transition diagrams and trajectories of groups: what is drawn and said is what was found."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from alliance_stats.figures.axes import add_axes
from alliance_stats.figures.group_trajectories import group_trajectory_figure
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.style import new_figure
from alliance_stats.figures.transitions import draw_transitions, transition_figure
from alliance_stats.groups import (
    ThemeTransitions,
    TrajectoryComparison,
    compare_trajectories,
    theme_transitions,
)
from tests.figure_lint.cases import LONG, OTHER_SCRIPTS
from tests.figure_lint.lint import lint

CASES = pd.DataFrame(  # early, rupture, strength, group
    [(1, 1, 0, "broken")] * 3
    + [(1, 0, 0, "broken"), (0, 0, 0, "broken")]
    + [(1, 0, 1, "lasting")] * 4
    + [(0, 0, 0, "lasting")] * 2,
    columns=["early", "rupture", "strength", "group"],
)


def transitions(
    cases: pd.DataFrame = CASES, *, states: tuple[str, str] = ("rupture", "strength")
) -> ThemeTransitions:
    later = dict(zip(states, ("rupture", "strength"), strict=True))
    return theme_transitions(cases, early="early", later=later, group="group")


def drawn(name: str = "early problem", **changes) -> ReportFigure:
    return transition_figure(transitions(**changes), early_label=name)


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
    figure = drawn().figure
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["broken (n = 5)", "lasting (n = 6)"]
    broken = " ".join(" ".join(words(figure, 0)).split())
    assert "early problem $n$ = 4" in broken
    assert "no early problem $n$ = 1" in broken
    assert "rupture 3 of 4 with 0 of 1 without" in broken
    assert "strength 0 of 4 with 0 of 1 without" in broken
    assert "neither 1 of 4 with 1 of 1 without" in broken


def test_caption_and_note_hold_the_shares_and_the_test() -> None:
    result, report = transitions(), drawn()
    assert "broken: rupture 3 of 4 (75% [19%, 99%])" in report.caption
    assert "lasting: rupture 0 of 4 (0% [0%, 60%]), strength 4 of 4 (100%" in report.caption
    p_value = result.glance().set_index("early").loc[True, "p_value"]
    assert f"{p_value:.3f}"[1:] in report.note
    pd.testing.assert_frame_equal(report.data, result.tidy())


def test_an_early_theme_of_one_group_only_is_not_tested_and_says_so() -> None:
    cases = CASES[(CASES["group"] == "broken") | (CASES["early"] == 0)]
    assert "no test: one group or one later state only" in drawn(cases=cases).note


@pytest.mark.parametrize(
    "figure",
    [
        drawn,
        lambda: drawn(LONG, states=(LONG, OTHER_SCRIPTS[2])),
        lambda: drawn(cases=CASES.iloc[[0, -1]]),
        lambda: drawn(cases=pd.concat([CASES.assign(group=f"group {i}") for i in range(4)])),
        lambda: drawn(cases=pd.concat([CASES] * 40)),
    ],
)
def test_transitions_pass_the_lint(figure) -> None:
    assert lint(figure()) == []


def compared(labels: tuple[str, str] = ("lasting", "broken")) -> TrajectoryComparison:
    rng = np.random.default_rng(8)
    person = np.repeat(np.arange(30), 6)
    time = np.tile(np.arange(1, 7), 30)
    first = person % 2 == 0
    y = 4 + 0.3 * first * time + rng.normal(size=30)[person] * 0.5 + rng.normal(size=180) * 0.5
    data = pd.DataFrame({"person": person, "session": time, "alliance": y})
    data["group"] = pd.Categorical(np.where(first, *labels), list(labels))
    return compare_trajectories(
        data.iloc[1:],
        outcome="alliance",
        time="session",
        group="group",
        person="person",
        random_slope=False,
    )


def trajectories(result: TrajectoryComparison) -> ReportFigure:
    return group_trajectory_figure(result, outcome_label="Alliance (WAI points)")


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


def test_the_caption_says_who_and_from_when_on() -> None:
    result = compared()
    caption = trajectories(result).caption
    assert "lasting: 15 persons; broken: 15 persons" in caption
    assert f"From {result.differ_from():g} on the simultaneous band leaves out 0" in caption
    last = result.differences().iloc[-1]
    assert (
        f"{last['estimate']:.2f} [{last['band_low']:.2f}, {last['band_high']:.2f}] at 6" in caption
    )


@pytest.mark.parametrize("labels", [("lasting", "broken"), (LONG, OTHER_SCRIPTS[1])])
def test_trajectories_pass_the_lint(labels: tuple[str, str]) -> None:
    assert lint(trajectories(compared(labels))) == []
