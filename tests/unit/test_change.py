"""Reliable change: the published example, the formulas by hand, what is refused."""

import math

import numpy as np
import pytest

from alliance_stats.change import (
    ChangeReference,
    classify_change,
    cut_off,
    least_reliable_change,
    reliable_change_index,
)
from alliance_stats.errors import DataError, NotIdentifiedError

EXACT = 1e-12  # hand arithmetic in doubles
PRINTED = 5e-3  # two printed decimals

# Jacobson & Truax (1991, p. 13-14): clinical 40 (7.5), functional 60 (7.5), r = .80, 32.5 -> 47.5
JT = ChangeReference(sd_before=7.5)


def test_jacobson_and_truax_own_example():
    index = reliable_change_index([32.5], [47.5], reliability=0.80, reference=JT)
    assert index[0] == pytest.approx(3.16, abs=PRINTED)
    populations = {"clinical": (40.0, 7.5), "functional": (60.0, 7.5)}
    assert cut_off("c", better="higher", **populations) == pytest.approx(50.0, rel=EXACT)
    assert cut_off("a", better="higher", **populations) == pytest.approx(55.0, rel=EXACT)
    assert cut_off("b", better="higher", **populations) == pytest.approx(45.0, rel=EXACT)


def test_cut_offs_where_lower_is_better():
    populations = {"clinical": (30.0, 6.0), "functional": (10.0, 4.0)}
    assert cut_off("a", better="lower", **populations) == 18.0
    assert cut_off("b", better="lower", **populations) == 18.0
    assert cut_off("c", better="lower", **populations) == pytest.approx(18.0, rel=EXACT)


def test_least_reliable_change_is_where_the_index_is_critical():
    least = least_reliable_change(sd=7.5, reliability=0.8)
    index = reliable_change_index([40.0], [40.0 + least], reliability=0.8, reference=JT)
    assert index[0] == pytest.approx(1.96, rel=EXACT)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("gulliksen-lord-novick", (48 - 40 - 0.8 * (30 - 40)) / (5 * 0.6)),
        ("edwards-nunnally", (48 - 40 - 0.8 * (30 - 40)) / (5 * math.sqrt(0.2))),
    ],
)
def test_methods_that_regress_to_the_mean(method, expected):
    reference = ChangeReference(sd_before=5.0, mean_before=40.0)
    index = reliable_change_index([30], [48], reliability=0.8, reference=reference, method=method)
    assert index[0] == pytest.approx(expected, rel=EXACT)


def test_hageman_and_arrindell_by_hand():
    reference = ChangeReference(5.0, 40.0, 46.0, 6.0, 0.5)
    error2 = 25 * 0.2
    r_d = (25 + 36 - 2 * error2 - 2 * 15) / (25 + 36 - 2 * 15)
    expected = ((48 - 30) * r_d + 6 * (1 - r_d)) / (math.sqrt(r_d) * math.sqrt(2 * error2))
    index = reliable_change_index(
        [30], [48], reliability=0.8, reference=reference, method="hageman-arrindell"
    )
    assert index[0] == pytest.approx(expected, rel=EXACT)


def test_missing_scores_stay_missing_and_do_not_touch_the_reference():
    before, after = [1.0, 2, 4, np.nan], [2.0, 2, 8, 3]
    with_missing = reliable_change_index(before, after, reliability=0.9)
    without = reliable_change_index(before[:3], after[:3], reliability=0.9)
    np.testing.assert_array_equal(with_missing[:3], without)
    assert np.isnan(with_missing[3])


def test_change_in_words():
    before, after = [35, 35, 55, 50, 40, np.nan], [60, 48, 75, 30, 42, 50]
    labels = classify_change(
        before, after, reliability=0.8, better="higher", cut=50.0, reference=JT
    )
    assert labels.tolist() == [
        "recovered",
        "improved",
        "improved",
        "deteriorated",
        "unchanged",
        None,
    ]


def test_the_better_direction_turns_the_words_round():
    labels = classify_change([60], [35], reliability=0.8, better="lower", cut=50, reference=JT)
    assert labels.tolist() == ["recovered"]
    labels = classify_change([60], [35], reliability=0.8, better="higher", reference=JT)
    assert labels.tolist() == ["deteriorated"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: reliable_change_index([1], [2], reliability=1.0, reference=JT),
            DataError,
            "strictly between 0 and 1; got 1.0",
        ),
        (
            lambda: reliable_change_index([1, 2], [2], reliability=0.8, reference=JT),
            DataError,
            "before has 2 scores and after 1",
        ),
        (
            lambda: reliable_change_index([1, 2], [2, np.inf], reliability=0.8, reference=JT),
            DataError,
            "after holds an infinite score",
        ),
        (
            lambda: reliable_change_index([[1]], [[2]], reliability=0.8, reference=JT),
            DataError,
            "before must be one-dimensional",
        ),
        (
            lambda: reliable_change_index([1, 2], [2, 4], reliability=0.8),
            NotIdentifiedError,
            "2 cases with both scores",
        ),
        (
            lambda: reliable_change_index([1], [2], reliability=0.8, reference=JT, method="jt"),
            ValueError,
            "method must be one of 'jacobson-truax'",
        ),
        (
            lambda: reliable_change_index(
                [1], [2], reliability=0.8, reference=JT, method="edwards-nunnally"
            ),
            DataError,
            "needs mean_before",
        ),
        (
            lambda: reliable_change_index(
                [1],
                [2],
                reliability=0.8,
                reference=ChangeReference(7.5, 40.0),
                method="hageman-arrindell",
            ),
            DataError,
            "needs mean_after, sd_after and correlation",
        ),
        (
            lambda: reliable_change_index(
                [1],
                [2],
                reliability=0.5,
                reference=ChangeReference(5.0, 4.0, 5.0, 5.0, 0.9),
                method="hageman-arrindell",
            ),
            NotIdentifiedError,
            "vary no more than measurement error alone",
        ),
        (lambda: ChangeReference(0.0), DataError, "must be a positive number; got 0.0"),
        (lambda: cut_off("d", better="higher"), ValueError, "criterion must be one of"),
        (lambda: cut_off("a", better="up", clinical=(1, 1)), ValueError, "better must be one of"),
        (
            lambda: cut_off("a", better="higher"),
            DataError,
            r"Cut-off a needs clinical=\(mean, SD\)",
        ),
        (
            lambda: cut_off("c", better="lower", clinical=(40, 7), functional=(60, 7)),
            DataError,
            "functional mean 60 is not on that side of the clinical mean 40",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
