"""The registry of published numbers, from its files to what the report shows."""

import math

import pytest
from scipy import stats

from alliance_stats.evidence import published
from analyses import published_comparisons
from tests.end_to_end.fragments import check_document, check_figures, numbers_of, rows_of

NAME = "published_comparisons"


@pytest.fixture(scope="module")
def numbers(demo):
    return numbers_of(demo.folder / NAME)


def test_the_figure_is_written_with_its_numbers(demo):
    check_figures(demo.folder / NAME, {"fig-published-families"})


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "none is about an author" in whole
    assert "is not itself significant" in whole


def test_the_six_estimates_are_those_printed(demo):
    rows = rows_of(demo.folder / NAME / "tbl-published-families.csv")
    assert [row["r"] for row in rows] == [".183", ".106", ".316", ".281", ".297", ".278"]
    assert [row["95% CI"] for row in rows] == [
        "[.100, .265]",
        "[−.124, .327]",
        "–",
        "[−.023, .538]",
        "–",
        "[.256, .299]",
    ]
    assert all(row["DOI"].startswith("10.") for row in rows)


def test_the_interval_of_one_split_estimate_contains_the_other(numbers):
    assert numbers["split_contains_the_other"] == 1
    assert numbers["welmers2018_split_low"] < 0 < numbers["welmers2018_split_high"]


def test_every_printed_number_has_one_verdict(demo, numbers):
    verdicts = ("reproduced", "not_reproduced", "not_checkable")
    assert sum(numbers[name] for name in verdicts) == numbers["printed"]
    assert numbers["records"] == len(published())
    rows = rows_of(demo.folder / NAME / "tbl-published-registry.csv")
    assert len(rows) == numbers["printed"]
    assert all(row["Rests on"] for row in rows)
    failed = rows_of(demo.folder / NAME / "tbl-published-failed.csv")
    assert len(failed) == numbers["not_reproduced"]
    sources = rows_of(demo.folder / NAME / "tbl-published-sources.csv")
    for name in verdicts:
        heading = name.replace("_", " ").capitalize()
        assert sum(int(row[heading]) for row in sources) == numbers[name]


@pytest.mark.parametrize(("side", "printed"), [(-1, 0.100), (1, 0.265)])
def test_a_limit_called_reproduced_is_one_by_hand(side, printed):
    """r = .183 and SE(z) = .044 over 329 effects: tanh(atanh r -+ t SE), rounding and all."""
    verdicts = published_comparisons.load().tidy()
    own = verdicts[verdicts["record"] == "welmers2018/level"].set_index("quantity")
    assert own.loc["conf_low" if side < 0 else "conf_high", "verdict"] == "reproduced"
    t = stats.t.ppf(0.975, 328)
    corners = [
        math.tanh(math.atanh(r) + side * t * se)
        for r in (0.1825, 0.1835)
        for se in (0.0435, 0.0445)
    ]
    assert min(corners) <= printed + 0.0005
    assert max(corners) >= printed - 0.0005


def test_no_reason_accuses_anyone(demo):
    text = (demo.folder / NAME / "tbl-published-failed.html").read_text(encoding="utf-8").lower()
    for word in ("wrong", "mistake", "incorrect", "error by"):
        assert word not in text
