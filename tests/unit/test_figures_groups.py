"""Themes by group, rainclouds and cumulative incidence."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.figures.incidence import cumulative_incidence_figure
from alliance_stats.figures.raincloud import raincloud_figure
from alliance_stats.figures.themes import theme_figure
from alliance_stats.groups import compare_groups
from alliance_stats.survival import cumulative_incidence
from tests.figure_lint.cases.data import competing, scores
from tests.figure_lint.cases.groups import voiced

VOICED = voiced(("heard", "told"))


def test_theme_dots_stand_at_their_share() -> None:
    report = theme_figure(VOICED, unit="parents")
    ax, shares = report.figure.axes[0], VOICED.prevalence()
    drawn = sorted(float(x.get_xdata()[0]) for x in ax.lines if x.get_gid() == "dot")
    assert drawn == sorted(shares["estimate"])
    written = [text.get_text() for text in ax.texts]
    for row in shares.itertuples():
        assert f"{row.group}: {row.count} of 7" in written
        assert f"{row.group} {row.count} of 7 (" in report.alt
    assert "(Clopper-Pearson)" in report.caption


def test_themes_are_drawn_from_the_result_alone() -> None:
    with pytest.raises(TypeError, match=r"the result of compare_themes\(\), which knows it"):
        theme_figure(VOICED.prevalence(), method="exact")
    with pytest.raises(WrongObjectError, match="draws a result of compare_themes; got DataFrame"):
        theme_figure(VOICED.prevalence())


def test_raincloud_draws_every_value_and_the_quartiles() -> None:
    data = scores(("a", "b"))
    compared = compare_groups(data, outcomes="alliance", group="group")
    report = raincloud_figure(compared, outcome="alliance")
    ax = report.figure.axes[0]
    clouds = [c for c in ax.collections if isinstance(c, PathCollection)]
    for cloud, name in zip(clouds, ("a", "b"), strict=True):
        own = data.loc[data["group"] == name, "alliance"]
        np.testing.assert_array_equal(np.sort(cloud.get_offsets()[:, 0]), np.sort(own))
        low, middle, high = own.quantile([0.25, 0.5, 0.75])
        words = f"{name}: median {middle:.2f}, quartiles {low:.2f} and {high:.2f}, n = 30"
        assert words in report.alt


def test_raincloud_refuses_what_has_no_density() -> None:
    data = scores(("a", "b")).assign(left=[0, 1] * 30)
    compared = compare_groups(data, outcomes="left", group="group")
    with pytest.raises(DataError, match="'left' is binary; a density needs a continuous one"):
        raincloud_figure(compared, outcome="left")
    few = compare_groups(scores(("a", "b"), 3), outcomes="alliance", group="group")
    assert (
        "No density from fewer than 5 values: a, b"
        in raincloud_figure(few, outcome="alliance").note
    )


def test_incidence_curves_are_the_estimates_and_n_is_the_life_tables() -> None:
    data = competing(("a", "b"))
    result = cumulative_incidence(data, time="time", event="ending", strata="group")
    report = cumulative_incidence_figure(result)
    tidy = result.tidy()
    for ax, group in zip(report.figure.axes, ("a", "b"), strict=True):
        for state in result.states:
            own = tidy[(tidy["strata"] == group) & (tidy["state"] == state)]
            curve = next(x for x in ax.lines if x.get_gid() == f"incidence {state}")
            np.testing.assert_array_equal(curve.get_xdata()[1:], own["time"])
            np.testing.assert_array_equal(curve.get_ydata()[1:], own["estimate"])
            assert (curve.get_xdata()[0], curve.get_ydata()[0]) == (0, 0)
            assert curve.get_drawstyle() == "steps-post"
        times = data.loc[data["group"] == group, "time"]
        for tick, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True):
            # nobody ends before session 2: until then the curve does not say who has entered
            count = (times >= tick).sum() if tick >= times.min() else ""
            assert label.get_text() == f"{tick:g}\n{count}"


def test_incidence_with_delayed_entry_prints_no_counts_it_does_not_know() -> None:
    data = competing(("a",))
    data["entry"] = np.where(np.arange(len(data)) % 2, 0.0, 5.0)
    data = data[data["time"] > data["entry"]]
    result = cumulative_incidence(data, time="time", event="ending", entry="entry")
    report = cumulative_incidence_figure(result)
    ax = report.figure.axes[0]
    assert all("\n" not in label.get_text() for label in ax.get_xticklabels())
    assert "number at risk" not in ax.get_xlabel()
    assert "n = " not in report.caption
