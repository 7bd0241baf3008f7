"""Where the model's difference and the printed means disagree, the row says so."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.figures import estimation_figure
from alliance_stats.groups import compare_groups

NOTED = "difference of the members' means"


def families(sizes: dict[str, list[int]], centres: dict[str, list[float]]) -> pd.DataFrame:
    spread = np.array([-0.1, 0.1])
    return pd.DataFrame(
        [
            {"group": g, "family": f"{g}{i}", "score": centre + spread[member % 2]}
            for g in sizes
            for i, (size, centre) in enumerate(zip(sizes[g], centres[g], strict=True))
            for member in range(size)
        ]
    )


@pytest.fixture
def opposite() -> pd.DataFrame:
    # family means: a (1, 1, 5) against b (3, 3, 3): one large family pulls a's members above b
    sizes = {"a": [2, 2, 20], "b": [2, 2, 2]}
    return families(sizes, {"a": [1.0, 1.2, 5.0], "b": [2.9, 3.0, 3.1]})


def test_opposite_signs_are_noted_in_row_summary_and_figure(opposite):
    comparison = compare_groups(opposite, outcomes="score", group="group", cluster="family")
    row = comparison.tidy().iloc[0]
    assert row["estimate"] < 0 < row["mean_1"] - row["mean_2"]
    assert row["hedges_g"] < 0  # it is the model's difference, standardised
    assert NOTED in row["note"]
    assert "of the opposite sign" in row["note"]
    assert "hedges_g" not in row["note"]
    assert comparison.summary().startswith("Warning: score: the model's difference")
    figure = estimation_figure(comparison, outcome="score", label="fig-x")
    assert "he model's difference, −" in figure.note


def test_a_difference_that_is_more_than_a_quarter_off_is_noted():
    frame = families(
        {"a": [2, 2, 20], "b": [2, 2, 2]}, {"a": [4.0, 4.2, 6.0], "b": [2.9, 3.0, 3.1]}
    )
    row = compare_groups(frame, outcomes="score", group="group", cluster="family").tidy().iloc[0]
    raw = row["mean_1"] - row["mean_2"]
    assert 0 < row["estimate"] < 0.75 * raw
    assert NOTED in row["note"]
    assert "opposite" not in row["note"]


def test_families_of_one_size_need_no_note():
    frame = families({"a": [2, 2, 2], "b": [2, 2, 2]}, {"a": [4.0, 4.2, 6.0], "b": [2, 3, 3.1]})
    row = compare_groups(frame, outcomes="score", group="group", cluster="family").tidy().iloc[0]
    assert row["estimate"] == pytest.approx(row["mean_1"] - row["mean_2"])
    assert row["note"] == ""


def test_a_note_under_the_estimation_figure_opens_with_a_capital():
    frame = families({"a": [2, 4], "b": [2, 4]}, {"a": [4.0, 4.5], "b": [3.0, 3.4]})
    frame["family"] = np.tile([f"F{i}" for i in range(6)], 2)
    comparison = compare_groups(frame, outcomes="score", group="group", cluster="family")
    figure = estimation_figure(comparison, outcome="score", label="fig-x")
    assert "Clusters lie in both groups" in figure.note


def test_a_test_on_hardly_any_degrees_of_freedom_says_so():
    sizes = [1, 2, 4, 30]
    frame = families({"a": sizes, "b": sizes}, {"a": [1.0] * 4, "b": [1.0] * 4})
    row = compare_groups(frame, outcomes="score", group="group", cluster="family").tidy().iloc[0]
    assert row["df"] < 1
    assert (
        "the variance between clusters was estimated as 0 (and counts as estimated)" in row["note"]
    )
    assert row["note"].endswith(
        "with 0.2 degrees of freedom the model can hardly tell anything: a permutation of whole "
        "clusters (test='permutation') needs none"
    )
    assert NOTED not in row["note"]  # 0.00 is not far from 0.00
    crossed = frame.assign(group=np.resize(["a", "b"], len(frame)))
    row = compare_groups(crossed, outcomes="score", group="group", cluster="family").tidy().iloc[0]
    assert "permutation" not in row["note"]
