"""The Beat the Blues trial, from its data to what the report shows."""

import numpy as np
import pandas as pd
import pytest

from analyses import beat_the_blues
from tests.end_to_end.fragments import check_document, check_figures, numbers_of

NAME = "beat_the_blues"


@pytest.fixture(scope="module")
def data():
    return beat_the_blues.load()


def test_every_figure_is_written_with_its_numbers(demo):
    check_figures(demo.folder / NAME, {"fig-blues-flow", "fig-blues-course", "fig-blues-dropout"})


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "Real data" in whole
    assert "The trial holds no alliance ratings" in whole


def test_the_axis_holds_months_and_the_words_say_so(demo):
    folder = demo.folder / NAME
    fragment = (folder / "_fig-blues-course.qmd").read_text(encoding="utf-8")
    assert "session" not in fragment
    assert "Month 8" in fragment
    svg = (folder / "fig-blues-course.svg").read_text(encoding="utf-8")
    assert "Month, and under it the number of ratings" in svg
    assert "Session" not in svg


def test_a_hundred_patients_and_the_missing_visits_are_counted(data):
    assert len(data) == 100
    # the counts of missing scores at months 2, 3, 5 and 8 in the published data
    assert data[[2, 3, 5, 8]].isna().sum().tolist() == [3, 27, 42, 48]
    seen, rows = beat_the_blues.follow_up(data)
    assert rows.n_in == 400
    assert rows.n_set_aside == 120
    assert rows.units("patient") == 97
    assert len(seen) == 280


def test_the_time_of_leaving_is_the_first_visit_missed_for_good_by_hand():
    nan = np.nan
    data = pd.DataFrame(
        {
            "treatment": ["Usual treatment"] * 4,
            0: [20.0, 20.0, 20.0, 20.0],
            2: [nan, 15.0, nan, 15.0],
            3: [nan, 14.0, 14.0, 14.0],
            5: [nan, nan, nan, 13.0],
            8: [nan, nan, 12.0, nan],
        }
    )
    last = beat_the_blues.last_seen(data)
    # never after the start; last at 3; back at 8 after two gaps; last at 5
    assert last["month"].tolist() == [2, 5, 8, 8]
    assert last["left"].tolist() == [1, 1, 0, 1]


def test_numbers_are_kept(demo):
    numbers = numbers_of(demo.folder / NAME)
    assert numbers["patients"] == 100
    assert numbers["left"] == 48
    assert numbers["difference_low"] < numbers["difference_at_end"] < numbers["difference_high"]
