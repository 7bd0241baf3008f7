"""The anorexia trial, from its data to what the report shows."""

import pytest

from analyses import family_therapy
from tests.end_to_end.fragments import check_document, check_figures, numbers_of, rows_of

NAME = "family_therapy"


def test_every_figure_is_written_with_its_numbers(demo):
    names = ("flow", "change", "spread")
    check_figures(demo.folder / NAME, {f"fig-anorexia-{name}" for name in names})


def test_change_differs_more_within_arms_than_between_them_as_the_text_says():
    change = family_therapy.load().groupby("treatment", observed=True)["change"]
    assert change.std().min() > change.mean().std()


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "Real data" in whole
    assert "The trial holds no alliance ratings" in whole


def test_the_arms_are_those_published():
    data = family_therapy.load()
    assert data["treatment"].value_counts().to_dict() == {
        "CBT": 29,
        "Control": 26,
        "Family therapy": 17,
    }
    assert data["change"].equals(data["weight_after"] - data["weight_before"])


def test_numbers_are_those_of_the_raw_means(demo):
    numbers = numbers_of(demo.folder / NAME)
    means = family_therapy.load().groupby("treatment", observed=True)["change"].mean()
    assert numbers["family_therapy_difference"] == pytest.approx(
        means["Family therapy"] - means["Control"]
    )
    assert numbers["cbt_difference"] == pytest.approx(means["CBT"] - means["Control"])


def test_the_table_prints_both_comparisons_twice(demo):
    rows = rows_of(demo.folder / NAME / "tbl-anorexia-change.csv")
    assert [row["Weight"] for row in rows] == ["Change", "After, given weight before"] * 2
    assert [row["n treated"] for row in rows] == ["17", "17", "29", "29"]


def test_the_figures_intervals_are_the_joint_ones_that_the_text_says_they_are(demo):
    note = (demo.folder / NAME / "_fig-anorexia-change.qmd").read_text(encoding="utf-8")
    assert "Games-Howell" in note
    drawn = rows_of(demo.folder / NAME / "fig-anorexia-change.csv")
    own = [
        row for row in drawn if "Family therapy" in row["contrast"] and "Cont" in row["contrast"]
    ]
    numbers = numbers_of(demo.folder / NAME)
    assert float(own[0]["conf_low"]) < numbers["family_therapy_low"]
    assert float(own[0]["conf_high"]) > numbers["family_therapy_high"]
