"""What a printed text stands for."""

import numpy as np
import pytest

from alliance_stats.errors import DataError
from alliance_stats.evidence.printed.numerals import read_printed, read_stars
from alliance_stats.evidence.printed.relation import Interval, corners, magnitude, point, quotient


@pytest.mark.parametrize(
    ("text", "nearest", "truncated"),
    [
        (".03", (0.025, 0.035), (0.03, 0.04)),
        (".10", (0.095, 0.105), (0.10, 0.11)),
        (".1", (0.05, 0.15), (0.1, 0.2)),
        ("-.03", (-0.035, -0.025), (-0.04, -0.03)),
        ("\u22121.27", (-1.275, -1.265), (-1.28, -1.27)),
        ("0.00", (-0.005, 0.005), (-0.01, 0.01)),
        ("<.001", (-np.inf, 0.001), (-np.inf, 0.001)),
        ("< .05", (-np.inf, 0.05), (-np.inf, 0.05)),
        (">.05", (0.05, np.inf), (0.05, np.inf)),
        ("=.04", (0.035, 0.045), (0.04, 0.05)),
        ("20.6%", (0.2055, 0.2065), (0.206, 0.207)),
        ("1.2e-5", (1.15e-5, 1.25e-5), (1.2e-5, 1.3e-5)),
        (".23 to .31", (0.225, 0.315), (0.23, 0.32)),
        (".75 to .37", (0.365, 0.755), (0.37, 0.76)),
        ("27", (26.5, 27.5), (27.0, 28.0)),
    ],
)
def test_a_printed_number_is_an_interval_with_its_ends(text, nearest, truncated) -> None:
    assert read_printed(text).stands_for("nearest") == Interval(*nearest)
    assert read_printed(text).stands_for("truncated") == Interval(*truncated)


def test_counts_are_exact_and_thousands_are_read() -> None:
    assert read_printed("1,301").stands_for(exact=True) == point(1301.0)
    assert read_printed("50").is_whole
    assert not read_printed("43.2").is_whole


@pytest.mark.parametrize("text", ["", "n.r.", "0,05", ".03*", "1..2", "--1", "1,30", "two", "nan"])
def test_what_is_not_a_printed_number_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"is not a printed number\. Write it as it was printed"):
        read_printed(text)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("***", 0.0, 0.001),
        ("**", 0.001, 0.01),
        ("*", 0.01, 0.05),
        ("+", 0.05, 0.10),
        ("none", 0.10, 1.0),
        ("ns", 0.10, 1.0),
    ],
)
def test_stars_stand_for_p_between_their_level_and_the_next(text, low, high) -> None:
    assert read_stars(text) == Interval(low, high)


def test_stars_of_another_legend() -> None:
    assert read_stars("a", {"a": 0.05}) == Interval(0.0, 0.05)
    with pytest.raises(
        DataError, match=r"'\*\*\*\*' is not a known significance symbol. Known: '\+'"
    ):
        read_stars("****")


def test_intervals_that_share_an_end_meet() -> None:
    assert Interval(0.025, 0.035).meets(Interval(0.035, 1.0))
    assert Interval(0.025, 0.035).gap(Interval(0.045, 1.0)) == pytest.approx(0.01)
    assert Interval(0.045, 1.0).gap(Interval(0.025, 0.035)) == pytest.approx(0.01)
    assert Interval(np.inf, np.inf).gap(point(1.0)) == np.inf
    assert Interval(0.0, 1.0).within(0.5, 2.0) == Interval(0.5, 1.0)
    assert Interval(0.0, 1.0).within(1.5, 2.0) is None


def test_corners_with_a_turn_inside() -> None:
    assert magnitude(Interval(-2.0, 1.0)) == Interval(0.0, 2.0)
    assert corners(lambda a, b: a * b, Interval(-1, 2), Interval(3, 5)) == Interval(-5.0, 10.0)


def test_a_ratio_whose_denominator_may_be_zero_is_open() -> None:
    assert quotient(Interval(1.0, 2.0), Interval(0.0, 0.5)) == Interval(2.0, np.inf)
    assert quotient(Interval(-1.0, 2.0), Interval(0.0, 0.5)) == Interval(-np.inf, np.inf)


def test_an_indeterminate_corner_leaves_the_set_open() -> None:
    assert corners(lambda a, b: a / b, point(0.0), point(0.0)) == Interval(-np.inf, np.inf)
