"""Endings in days and weeks beside sessions: counted by hand, and put to the curves and models."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.study import Study
from alliance_stats.survival import (
    CodedEnding,
    FewerSessionsThan,
    cox_ph,
    cumulative_incidence,
    endings,
    fine_gray,
    kaplan_meier,
    under_definitions,
)

# Sessions of four persons: days since the first, and how each ended.
COURSES = {
    "a 1": ([0, 7, 13], "dropout"),
    "b 2": ([0, 3, 21, 40], "planned"),
    "c": ([0], "dropout"),
    "d": ([0, 6, 15], "ongoing"),
}


def table(courses: dict[str, tuple[list[int], str]]) -> pd.DataFrame:
    """Return the rows of courses, with dates and with days."""
    rows = [
        (who, k + 1, day, ending, 4.0)
        for who, (days, ending) in courses.items()
        for k, day in enumerate(days)
    ]
    data = pd.DataFrame(rows, columns=["person", "session", "day", "ending", "alliance"])
    starts = pd.Series(pd.Timestamp("2024-02-20"), index=data.index)
    starts += pd.to_timedelta(pd.factorize(data["person"])[0] * 11, unit="D")
    return data.assign(
        date=(starts + pd.to_timedelta(data["day"], unit="D")).dt.strftime("%Y-%m-%d")
    )


def study(
    courses: dict[str, tuple[list[int], str]] = COURSES, *, time: str | None = "date"
) -> Study:
    return Study.from_frame(
        table(courses), person="person", session="session", time=time, ending="ending",
        alliance="alliance",
    )  # fmt: skip


@pytest.mark.parametrize("time", ["date", "day"])
@pytest.mark.parametrize(
    ("clock", "expected"),
    # day 13 is the 14th that was begun, and lies in the 2nd week; of d, seen on day 15 and still in
    # treatment, 15 days and 2 weeks were over
    [("days", [14.0, 41.0, 1.0, 15.0]), ("weeks", [2.0, 6.0, 1.0, 2.0])],
)
def test_days_and_weeks_that_were_begun_are_counted(
    time: str, clock: str, expected: list[float]
) -> None:
    found = endings(study(time=time), clock=clock)
    assert found.units["time"].tolist() == expected
    assert found.units["event"].tolist() == [1, 0, 1, 0]
    assert found.units["entry"].tolist() == [0.0] * 4
    assert f"time in {clock} from the first" in found.summary()
    sessions = endings(study(time=time)).units
    assert sessions["time"].tolist() == [3.0, 4.0, 1.0, 2.0]
    same = [name for name in sessions if name not in ("time", "entry")]
    pd.testing.assert_frame_equal(found.units[same], sessions[same])


def test_sessions_a_day_apart_are_counted_alike_on_both_clocks() -> None:
    daily = {who: (list(range(len(days))), ending) for who, (days, ending) in COURSES.items()}
    by_day = endings(study(daily), clock="days").units
    pd.testing.assert_frame_equal(by_day, endings(study(daily)).units)


def test_who_was_seen_for_less_than_a_week_and_goes_on_is_set_aside_and_counted() -> None:
    courses = COURSES | {"e": ([0, 5], "ongoing")}
    found = endings(study(courses), clock="weeks")
    assert "e" not in found.units["person"].tolist()
    assert "still in treatment after the first week" in str(found.rows)
    assert "e" in endings(study(courses), clock="days").units["person"].tolist()


def test_curves_and_models_take_them() -> None:
    rng = np.random.default_rng(3)
    courses = {}
    for k in range(90):
        days = np.concatenate(([0], np.cumsum(rng.integers(3, 15, rng.integers(1, 14)))))
        courses[f"P {k:02d}"] = (days.tolist(), ["dropout", "planned", "ongoing"][k % 3])
    units = endings(study(courses), clock="weeks").units.assign(x=lambda d: np.arange(len(d)) % 4)
    curve = kaplan_meier(units, time="time", event="event")
    last = table(courses).groupby("person")["day"].max()
    dropped = last[[who for who, (_, ending) in courses.items() if ending == "dropout"]]
    by_hand = (dropped // 7 + 1).value_counts().sort_index()  # ties of a week are one step
    tidy = curve.tidy().query("n_event > 0").set_index("time")["n_event"]
    assert tidy.to_dict() == by_hand.to_dict()
    assert len(cox_ph("x", units, time="time", event="event").tidy()) == 1
    assert len(fine_gray("x", units, time="time", event="state", cause="dropout").tidy()) == 1
    assert len(cumulative_incidence(units, time="time", event="state").at([4, 8])) == 4


def test_time_since_the_start_of_treatment_tells_when_late_units_entered() -> None:
    data = table(COURSES)
    own = data["person"] == "b 2"
    data.loc[own, "session"] += 3
    data.loc[own, "day"] += 20
    given = {"person": "person", "session": "session", "ending": "ending", "alliance": "alliance"}
    late = Study.from_frame(data, **given, time="day")
    with pytest.warns(AllianceStatsWarning, match=r"first seen after the first day"):
        units = endings(late, clock="days").units.set_index("person")
    assert units.loc["b 2", ["entry", "time"]].tolist() == [20.0, 61.0]
    with pytest.warns(AllianceStatsWarning, match=r"first seen after the first week"):
        units = endings(late, clock="weeks").units.set_index("person")
    assert units.loc["b 2", ["entry", "time"]].tolist() == [2.0, 9.0]
    dated = Study.from_frame(data, **given, time="date")
    with pytest.raises(DataError, match="'b 2'.*not known when they began"):
        endings(dated, clock="days")


@pytest.mark.parametrize("unit", ["person", "family"])
def test_a_family_is_counted_from_its_own_first_date(unit: str) -> None:
    # the father joins at the second session and alone comes to the third
    seen = [("m", 1, "2024-03-01"), ("m", 2, "2024-03-08"), ("f", 2, "2024-03-08"),
            ("f", 3, "2024-03-15")]  # fmt: skip
    data = pd.DataFrame(seen, columns=["role", "session", "date"]).assign(
        family="F 1", ending="dropout", alliance=4.0
    )
    made = Study.from_frame(
        data.assign(person=data["family"] + data["role"]).iloc[::-1], person="person",
        family="family", session="session", time="date", ending="ending", alliance="alliance",
        unit=unit,
    )  # fmt: skip
    for clock, time in (("days", 15.0), ("weeks", 3.0)):
        assert endings(made, unit="family", clock=clock).units["time"].tolist() == [time]


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(DataError, match="give time= when the study is made"):
        endings(study(time=None), clock="days")
    with pytest.raises(ValueError, match="clock"):
        endings(study(), clock="months")
    with pytest.raises(DataError, match="intervals of the clock of sessions"):
        endings(study(), clock="days").periods()
    stated = table(COURSES).assign(last=lambda d: d.groupby("person")["session"].transform("max"))
    stated.loc[stated["person"] == "a 1", "last"] = 5
    later = Study.from_frame(
        stated, person="person", session="session", time="date", ending="ending",
        ending_session="last",
    )  # fmt: skip
    with pytest.raises(DataError, match="When 'a 1' had its session 5 is not known"):
        endings(later, clock="days")


def test_tiny_and_broken_days_are_whole_ones_that_were_begun() -> None:
    data = table(COURSES).assign(day=lambda d: d["day"] + 0.4)
    given = {"person": "person", "session": "session", "ending": "ending", "alliance": "alliance"}
    found = endings(Study.from_frame(data, **given, time="day"), clock="days")
    assert found.units["time"].tolist() == [14.0, 41.0, 1.0, 15.0]
    thirds = table({"a": ([0, 7, 21], "dropout"), "b": ([0, 7], "planned")})
    dust = thirds.assign(day=thirds["day"] - 1e-9 * (thirds["day"] > 0))
    found = endings(Study.from_frame(dust, **given, time="day"), clock="weeks")
    assert_allclose(found.units["time"], [4.0, 2.0])


def test_several_definitions_are_counted_on_one_clock() -> None:
    found = under_definitions(
        study(), {"coded": CodedEnding(), "few": FewerSessionsThan(2)},
        lambda units: pd.DataFrame({"last": [units["time"].max()]}), clock="weeks",
    )  # fmt: skip
    assert found["last"].tolist() == [6.0, 6.0]
