"""What must hold of endings, and of who is at risk when, whatever the study."""

import warnings

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from alliance_stats.errors import AllianceStatsWarning
from alliance_stats.study import Study
from alliance_stats.survival import Endings, cox_ph, endings, kaplan_meier

ROUNDING = 1e-12  # products of a few dozen ratios of counts
NEWTON = 1e-8  # Newton's method stops within 1e-12 of a standard error
CODES = ["dropout", "planned", "transferred", "ongoing"]

courses = st.lists(
    st.tuples(
        st.sampled_from(CODES),
        st.sets(st.integers(0, 9), min_size=1, max_size=6),
    ),
    min_size=3,
    max_size=20,
)
seeds = st.integers(0, 2**32 - 1)


def rows_of(drawn: list[tuple[str, set[int]]]) -> pd.DataFrame:
    """Persons with gaps between sessions, some first seen late."""
    return pd.DataFrame(
        [
            {"person": f"P{number:02}", "session": session, "ending": ending}
            for number, (ending, sessions) in enumerate(drawn)
            for session in sorted(sessions)
        ]
    )


def found_in(rows: pd.DataFrame) -> Endings:
    study = Study.from_frame(rows, person="person", session="session", ending="ending")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AllianceStatsWarning)  # late entry is part of the law
        return endings(study)


@settings(deadline=None, max_examples=30)
@given(courses, seeds)
def test_row_order_and_names_do_not_matter(drawn: list, seed: int) -> None:
    rows = rows_of(drawn)
    columns = ["entry", "time", "event", "state", "n_sessions"]
    units = found_in(rows).units.set_index("person")[columns]
    shuffled = rows.sample(frac=1.0, random_state=seed % 1000)
    renamed = shuffled.assign(person=shuffled["person"].map(lambda name: f"Zoë {name[1:]}"))
    other = found_in(renamed).units
    other = other.set_index("person")[columns].rename(index=lambda name: f"P{name[4:]}")
    pd.testing.assert_frame_equal(units, other.loc[units.index])


@settings(deadline=None, max_examples=30)
@given(courses)
def test_relabelled_endings_permute(drawn: list) -> None:
    swapped = {"dropout": "planned", "planned": "dropout"}
    one = found_in(rows_of(drawn)).units
    other = found_in(rows_of([(swapped.get(code, code), s) for code, s in drawn])).units
    assert_array_equal(one["time"], other["time"])
    assert_array_equal(one["ending"] == "planned", other["event"] == 1)
    assert_array_equal(one["state"] == "ongoing", other["state"] == "ongoing")


@settings(deadline=None, max_examples=30)
@given(courses)
def test_units_and_periods_are_the_same_people_at_risk(drawn: list) -> None:
    found = found_in(rows_of(drawn))
    units = found.units
    assume(units["event"].any())
    assert (units["entry"] < units["time"]).all()
    periods = found.periods()
    assert_allclose(periods["event"].sum(), units["event"].sum())
    seen = periods.dropna(subset="event")
    assert len(seen) == (units["time"] - units["entry"]).sum()
    whole = kaplan_meier(units, time="time", event="event", entry="entry").tidy()
    split = kaplan_meier(seen, time="stop", event="event", entry="start").tidy()
    split = split[split["time"].isin(whole["time"])]
    assert_array_equal(whole["n_risk"], split["n_risk"])
    assert_allclose(whole["estimate"], split["estimate"], atol=ROUNDING)


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_who_enters_at_an_event_is_not_at_risk_of_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 30
    data = pd.DataFrame({"start": 0.0, "stop": rng.integers(1, 6, n), "x": rng.normal(size=n)})
    data["left"] = (rng.random(n) < 0.6).astype(int)
    assume(data["left"].sum() > 3)
    last = float(data.loc[data["left"] == 1, "stop"].max())
    late = pd.DataFrame({"start": last, "stop": last + 1.0, "x": rng.normal(size=9), "left": 0})
    both = pd.concat([data, late], ignore_index=True)
    spells = {"start": "start", "stop": "stop", "event": "left"}
    one, other = cox_ph("x", data, **spells), cox_ph("x", both, **spells)
    assert_allclose(one.beta, other.beta, atol=NEWTON)
    assert_allclose(one.covariance, other.covariance, atol=NEWTON)
    curves = [
        kaplan_meier(d, time="stop", event="left", entry="start").tidy().query("n_event > 0")
        for d in (data, both)
    ]
    assert_array_equal(curves[0]["n_risk"], curves[1]["n_risk"])
    assert_allclose(curves[0]["estimate"], curves[1]["estimate"], atol=ROUNDING)
