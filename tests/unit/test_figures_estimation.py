"""Estimation plots draw the comparison's own values and difference."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from alliance_stats.errors import DataError
from alliance_stats.figures.axes import swarm
from alliance_stats.figures.group_values import draw_groups, estimation_figure
from alliance_stats.formatting import format_interval, format_number
from alliance_stats.groups import compare_groups
from tests.figure_lint.cases import CASES
from tests.figure_lint.cases.data import scores

TWO = scores(("a", "b"))


def test_every_value_is_drawn_once() -> None:
    compared = compare_groups(TWO, outcomes="alliance", group="group")
    ax = Figure().add_subplot()
    draw_groups(ax, compared["alliance"].outcome)
    drawn = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    for place, name in enumerate(("a", "b")):
        own = TWO.loc[TWO["group"] == name, "alliance"]
        np.testing.assert_array_equal(np.sort(drawn[place][:, 1]), np.sort(own))
        assert np.abs(drawn[place][:, 0] - place).max() < 0.5


def test_difference_and_zero_line_stand_where_the_numbers_are() -> None:
    compared = compare_groups(TWO, outcomes="alliance", group="group")
    row = compared.tidy().iloc[0]
    left, right = estimation_figure(compared, outcome="alliance").figure.axes
    point = next(line for line in right.lines if line.get_gid() == "difference")
    interval = next(line for line in right.lines if line.get_gid() == "interval")
    assert point.get_ydata()[0] == row["estimate"]
    assert list(interval.get_ydata()) == [row["conf_low"], row["conf_high"]]
    # 0 of the difference is the second mean on the axis of the values, in the same scale
    shift = np.subtract(left.get_ylim(), right.get_ylim())
    np.testing.assert_allclose(shift, row["mean_2"], rtol=1e-12)


def test_names_of_many_groups_stand_upright_and_stay_whole() -> None:
    names = tuple(f"Großmutter mütterlicherseits {i}" for i in range(12))
    compared = compare_groups(scores(names, 3), outcomes="alliance", group="group")
    ax = Figure().subplots()
    draw_groups(ax, compared["alliance"].outcome, name_width=15.0)
    labels = ax.get_xticklabels()
    assert {label.get_rotation() for label in labels} == {90.0}
    found = [label.get_text().replace("\u00a0", " ") for label in labels]
    assert sorted(found) == sorted(f"{name}, $n$ = 3" for name in names)


def test_differences_of_many_groups_with_long_names_are_told_apart() -> None:
    many = pd.DataFrame(
        {"group": [f"therapists of centre number {i}" for i in range(10)] * 4, "y": range(40)}
    )
    report = estimation_figure(compare_groups(many, outcomes=["y"], group="group"), outcome="y")
    right = report.figure.axes[1]
    names = [label.get_text() for label in right.get_xticklabels()]
    assert len(set(names)) == 9
    assert not any("…" in name for name in names)
    assert "number 9" in " ".join(right.get_ylabel().split())


def test_words_are_the_comparisons() -> None:
    compared = compare_groups(TWO, outcomes="alliance", group="group")
    row = compared.tidy(conf_level=0.9).iloc[0]
    report = estimation_figure(compared, outcome="alliance", conf_level=0.9)
    words = (
        f"a − b: {format_number(row['estimate'])}, "
        f"90% CI {format_interval(row['conf_low'], row['conf_high'])}"
    )
    mean = f"a: M = {format_number(row['mean_1'])}, SD = {format_number(row['sd_1'])}, n = 30"
    assert words in report.alt
    assert mean in report.alt
    assert words.removeprefix("a − b: ").replace(", 90% CI", "") in report.caption
    assert "Welch t test" in report.note
    assert (report.data["part"] == "value").sum() == 60


def test_more_groups_have_the_comparisons_pairwise_differences() -> None:
    three = compare_groups(scores(("a", "b", "c")), outcomes="alliance", group="group")
    report = estimation_figure(three, outcome="alliance")
    found = report.data.query("part == 'difference'")
    assert found["contrast"].tolist() == ["a − b", "a − c", "b − c"]
    pairwise = three.pairwise()
    for column in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_array_equal(found[column], pairwise[column])
    assert pairwise["method"].iloc[0] in report.note


def test_many_groups_are_compared_with_the_last() -> None:
    four = compare_groups(scores(("a", "b", "c", "d")), outcomes="alliance", group="group")
    found = estimation_figure(four, outcome="alliance").data.query("part == 'difference'")
    assert found["contrast"].tolist() == ["a − d", "b − d", "c − d"]
    pairwise = four.pairwise().set_index("contrast")["estimate"]
    np.testing.assert_array_equal(found["estimate"], pairwise[["a - d", "b - d", "c - d"]])


def test_pairs_are_joined() -> None:
    data = scores(("first", "last"), 13)
    compared = compare_groups(data, outcomes="alliance", group="group", paired="pair")
    left = estimation_figure(compared, outcome="alliance").figure.axes[0]
    joined = [line.get_ydata() for line in left.lines if len(line.get_ydata()) == 2][:13]
    wide = data.pivot(index="pair", columns="group", values="alliance")
    np.testing.assert_array_equal(joined, wide[["first", "last"]])


def test_missing_values_are_counted() -> None:
    data = TWO.copy()
    data.loc[[0, 40], "alliance"] = np.nan
    compared = compare_groups(data, outcomes="alliance", group="group")
    assert "2 missing values not drawn" in estimation_figure(compared, outcome="alliance").note


def test_a_group_of_one_has_no_interval() -> None:
    compared = compare_groups(TWO.iloc[29:], outcomes="alliance", group="group")
    report = estimation_figure(compared, outcome="alliance")
    assert "(no interval)" in report.alt
    assert "Group 'a' has one case" in report.note


def test_refuses_another_outcome() -> None:
    compared = compare_groups(TWO, outcomes="alliance", group="group")
    with pytest.raises(DataError, match=r"'aliance' was not compared\. Did you mean 'alliance'"):
        estimation_figure(compared, outcome="aliance")


def test_swarm_sets_equal_values_apart_and_depends_on_values_alone() -> None:
    values = np.array([1.0, 1.0, 1.0, 5.0])
    offsets = swarm(values)
    assert len(set(offsets[:3])) == 3
    assert offsets[:3].sum() == pytest.approx(0.0)
    assert offsets[3] == 0.0
    rng = np.random.default_rng(1)
    many = rng.normal(size=500)
    order = rng.permutation(500)
    np.testing.assert_array_equal(swarm(many)[order], swarm(many[order]))
    assert np.abs(swarm(np.zeros(900))).max() <= 0.3
    assert swarm(np.array([])).size == 0


def test_ordinal_outcomes_keep_their_categories() -> None:
    words = pd.Categorical(["low", "high", "mid"] * 20, ["low", "mid", "high"], ordered=True)
    data = TWO.assign(level=words)
    compared = compare_groups(data, outcomes="level", group="group")
    report = estimation_figure(compared, outcome="level")
    left = report.figure.axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["low", "mid", "high"]
    assert "median category" in report.alt


def test_the_axis_holds_means_and_sds_that_reach_beyond_the_values() -> None:
    ax = CASES["estimation, nearly equal"]().figure.axes[0]
    low, high = ax.get_ylim()
    sds = [line.get_ydata() for line in ax.lines if line.get_gid() == "sd"]
    assert len(sds) == 2
    assert all(low < start and end < high for start, end in sds)
