"""Alliance and symptoms, from the example study to what the report shows."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.simulate import SymptomTruth
from analyses import alliance_outcome, session_before, session_to_session
from tests.end_to_end.fragments import check_document, check_figures, numbers_of, rows_of

NAME = "alliance_outcome"
FLOATING = 1e-12  # the same sums in another order


@pytest.fixture(scope="module")
def numbers(demo):
    return numbers_of(demo.folder / NAME)


def test_every_figure_is_written_with_its_numbers(demo):
    names = ("trajectories", "variance", "therapists", "flow", "slopes", "paths", "checks")
    check_figures(demo.folder / NAME, {f"fig-outcome-{name}" for name in names})


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    assert "The example study is simulated" in check_document(NAME, demo.folder)


def test_the_intervals_hold_what_was_built_in(numbers):
    assert numbers["same_within_low"] <= SymptomTruth().within <= numbers["same_within_high"]
    assert numbers["before_beside_same_low"] <= 0 <= numbers["before_beside_same_high"]
    assert numbers["before_within_low"] <= numbers["centring_bias"] <= numbers["before_within_high"]


def test_the_likelihood_finds_what_was_built_in_where_centring_does_not(numbers):
    truth = session_to_session.BUILT_IN
    assert numbers["example_before_low"] <= 0.0 <= numbers["example_before_high"]
    assert numbers["lagged_low"] <= truth.before <= numbers["lagged_high"]
    assert numbers["carried_centred"] < truth.carried - 0.1


def test_shares_sum_to_one_and_lie_in_their_intervals(numbers):
    levels = ("therapists", "families", "members", "sessions")
    assert sum(numbers[f"share_{level}"] for level in levels) == pytest.approx(1.0)
    for level in levels:
        low, high = (numbers[f"share_{level}_{end}"] for end in ("low", "high"))
        assert 0 <= low <= numbers[f"share_{level}"] <= high <= 1


def test_the_flow_ends_in_the_rows_of_the_model(numbers):
    sessions, rows = session_before.with_the_session_before(alliance_outcome.load())
    fit = session_before.effect_of(sessions, session_before.BEFORE)
    assert rows.n_used == len(sessions) == fit.model.nobs == numbers["rows"]
    assert fit.rows.n_set_aside == 0
    first, unrated = (step.rows_set_aside for step in rows.steps[1:])
    assert first == rows.steps[0].units_left["member"]
    assert first + unrated == rows.n_set_aside


def test_centring_bias_is_the_exact_expectation():
    """Regress b x_t on the centred rating before it: expectations from the covariance of x."""
    effect, lengths = -3.0, [2, 3, 7]
    top = bottom = 0.0
    for n in lengths:
        centre = np.eye(n) - 1.0 / n  # acts on ratings 1..n, which stand before sessions 2..n+1
        top += effect * np.trace(centre, offset=1)  # with the next rating; n+1 stands in no mean
        bottom += np.trace(centre)
    found = session_before.centring_bias(pd.Series(lengths), effect)
    assert found == pytest.approx(top / bottom, rel=FLOATING)


def test_the_table_says_what_was_built_in(demo):
    rows = rows_of(demo.folder / NAME / "tbl-outcome-effects.csv")
    before, same, both = (
        [row["Built in"] for row in rows[a:b]] for a, b in ((0, 7), (7, 11), (11, 13))
    )
    assert before == ["0.00", "−4.50", "−4.50", "−4.50", "−4.50", "0.00", "0.00"]
    assert same == ["−3.00", "−4.50", "−4.50", "−4.50"]
    assert both == ["−3.00", "0.00"]
