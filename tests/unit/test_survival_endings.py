import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from alliance_stats.account import as_sentences
from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.study import Study
from alliance_stats.survival import (
    BeforeReliableChange,
    CodedEnding,
    FewerSessionsThan,
    MissedLastScheduled,
    cox_ph,
    endings,
    kaplan_meier,
    under_definitions,
)

# family: sessions attended, ending
COURSES = {"F1": (3, "dropout"), "F2": (4, "planned"), "F3": (2, "ongoing"), "F4": (1, "ongoing")}


def study(unit: str = "family") -> Study:
    rows = [
        {
            "family": family,
            "person": f"{family}-{role}",
            "session": session,
            "alliance": 5.0 + 0.1 * session,
            "symptoms": 60.0 - 5.0 * session * (family == "F2"),
            "attended": True,
            "ending": ending,
        }
        for family, (sessions, ending) in COURSES.items()
        for role in ("mother", "father")
        for session in range(1, sessions + 1)
    ]
    return Study.from_frame(
        pd.DataFrame(rows),
        person="person",
        family="family",
        session="session",
        alliance="alliance",
        outcome="symptoms",
        ending="ending",
        unit=unit,
    )


def test_one_row_a_family_on_the_clock() -> None:
    found = endings(study())
    units = found.units.set_index("family")
    assert_array_equal(units.index, ["F1", "F2", "F3"])
    # F3 is still in treatment after session 2: only the interval after session 1 was observed
    assert_array_equal(units["time"], [3.0, 4.0, 1.0])
    assert_array_equal(units["event"], [1, 0, 0])
    assert_array_equal(units["state"], ["dropout", "other ending", "ongoing"])
    assert "1 set aside: still in treatment after the first session" in str(found.rows)
    text = as_sentences(found.account())
    assert text == "Dropout: the ending is coded 'dropout'. 1 of 3 families dropped out (33.3%)."
    assert found.glance().loc[0, "n_event"] == 1
    assert found.tidy()["n"].tolist() == [1, 1, 1]


def test_periods_agree_with_units() -> None:
    found = endings(study())
    periods = found.periods(scores=("alliance",))
    rows = periods[["family", "start", "stop", "event"]]
    assert_array_equal(rows.loc[rows["family"] == "F1", "event"], [0, 0, 1])
    assert_array_equal(rows.loc[rows["family"] == "F2", "event"], [0, 0, 0, 0])
    assert_array_equal(rows.loc[rows["family"] == "F3", "event"], [0, np.nan])
    whole = kaplan_meier(found.units, time="time", event="event").tidy()
    split = kaplan_meier(periods, time="stop", event="event", entry="start").tidy()
    split = split[split["time"].isin(whole["time"])]
    assert_array_equal(whole["n_risk"], split["n_risk"])
    assert_array_equal(whole["estimate"], split["estimate"])


def test_definitions_differ() -> None:
    one = study(unit="person")
    coded = endings(one).units.set_index("person")["event"]
    few = endings(one, FewerSessionsThan(5)).units.set_index("person")["event"]
    change = BeforeReliableChange(sd_before=10.0, reliability=0.9)
    unchanged = endings(one, change).units.set_index("person")["event"]
    assert_array_equal(coded[["F1-mother", "F2-mother", "F3-mother"]], [1, 0, 0])
    assert_array_equal(few[["F1-mother", "F2-mother", "F3-mother"]], [1, 1, 0])
    # F2 gained 15 points, more than 1.96 * 10 * sqrt(0.2) = 8.8
    assert_array_equal(unchanged[["F1-mother", "F2-mother", "F3-mother"]], [1, 0, 0])


def test_missed_last_scheduled_session() -> None:
    frame = study().sessions
    frame["attended"] = ~((frame["family"] == "F2") & (frame["session"] == 4))
    one = Study.from_frame(
        frame, person="person", family="family", session="session", ending="ending"
    )
    units = endings(one, MissedLastScheduled("attended")).units.set_index("family")
    assert_array_equal(units.loc[["F1", "F2"], "event"], [0, 1])
    assert units.loc["F2", "time"] == 3.0


def test_one_analysis_under_several_definitions() -> None:
    table = under_definitions(
        study(),
        {"coded": CodedEnding(), "fewer than 5": FewerSessionsThan(5)},
        lambda units: kaplan_meier(units, time="time", event="event").glance(),
    )
    assert table["definition"].tolist() == ["coded", "fewer than 5"]
    assert table["n_dropout"].tolist() == table["n_event"].tolist() == [1, 2]


def test_refusals() -> None:
    with pytest.raises(DataError, match="members' rows are copies of one event"):
        endings(study(), unit="person")
    with pytest.raises(DataError, match="Reliable change is a person's"):
        endings(study(), BeforeReliableChange(10.0, 0.9))
    shared = endings(study(), BeforeReliableChange(10.0, 0.9), unit="person")
    assert shared.summary().startswith("Members of a family share its ending")
    with pytest.raises(ValueError, match="unit must be 'family' or 'person'"):
        endings(study(), unit="couple")
    with pytest.raises(ValueError, match="sessions must be at least 2"):
        endings(study(), FewerSessionsThan(1))
    with pytest.raises(ValueError, match="reliability between 0 and 1"):
        endings(study("person"), BeforeReliableChange(10.0, 1.0))
    with pytest.raises(ValueError, match="better must be"):
        endings(study("person"), BeforeReliableChange(10.0, 0.9, better="down"))
    frame = study().sessions.drop(columns="ending")
    bare = Study.from_frame(frame, person="person", family="family", session="session")
    with pytest.raises(DataError, match="has no ending column: give ending="):
        endings(bare)
    lost = study().sessions.assign(ending=lambda d: d["ending"].where(d["family"] != "F1"))
    unknown = Study.from_frame(
        lost, person="person", family="family", session="session", ending="ending"
    )
    with pytest.raises(DataError, match="'ending' is missing"):
        endings(unknown)


def test_a_therapist_seen_once_is_kept() -> None:
    rng = np.random.default_rng(3)
    units = pd.DataFrame(
        {
            "time": rng.integers(1, 9, 41).astype(float),
            "event": rng.integers(0, 2, 41),
            "x": rng.normal(size=41),
            "therapist": [*(np.arange(40) % 5), 99],
        }
    )
    fit = cox_ph("x", units, time="time", event="event", frailty="therapist")
    assert fit.rows.units("therapist") == 6
    assert len(fit.tidy(effects="ran_vals")) == 6


def courses(*spec: tuple[str, list[int], str]) -> Study:
    """Persons with the session numbers at which they were rated."""
    rows = [
        {"person": person, "session": session, "ending": ending}
        for person, sessions, ending in spec
        for session in sessions
    ]
    return Study.from_frame(pd.DataFrame(rows), person="person", session="session", ending="ending")


def test_leaving_after_the_intake_is_an_event() -> None:
    found = endings(
        courses(
            ("a", [0], "dropout"),
            ("b", [0, 1], "dropout"),
            ("c", [0, 1], "planned"),
            ("d", [0], "ongoing"),
            ("e", [0, 1], "ongoing"),
        )
    )
    units = found.units.set_index("person")
    assert_array_equal(units.index, ["a", "b", "c", "e"])
    # the clock starts at session 0: the interval after it is the first
    assert_array_equal(units["time"], [1.0, 2.0, 2.0, 1.0])
    assert_array_equal(units["event"], [1, 1, 0, 0])
    periods = found.periods()
    own = periods.set_index(["person", "session"])
    assert own.loc[("a", 0), "event"] == 1.0
    assert_array_equal(own.loc[("a", 0), ["start", "stop"]].astype(float), [0.0, 1.0])
    assert_array_equal(own.loc["b", "event"], [0.0, 1.0])
    assert_array_equal(own.loc["e", "event"], [0.0, np.nan])
    whole = kaplan_meier(found.units, time="time", event="event").tidy()
    split = kaplan_meier(periods, time="stop", event="event", entry="start").tidy()
    assert_array_equal(whole["n_risk"], split["n_risk"])
    # 4 at risk of leaving after the intake, one did
    assert whole.loc[0, "estimate"] == pytest.approx(0.75, abs=1e-15)


def test_periods_of_a_unit_that_is_not_among_the_units_are_refused() -> None:
    found = endings(study())
    fewer = dataclasses.replace(found, units=found.units[found.units["family"] != "F1"])
    with pytest.raises(DataError, match="'F1' is not among the units"):
        fewer.periods()


def test_fewer_sessions_goes_by_the_number_of_the_last_one() -> None:
    # rated at every fourth session only: four ratings, thirteen sessions
    rated = courses(("a", [1, 5, 9, 13], "planned"), ("b", [1, 2], "dropout"))
    definition = FewerSessionsThan(6)
    units = endings(rated, definition).units.set_index("person")
    assert_array_equal(units.loc[["a", "b"], "event"], [0, 1])
    assert definition.words == "treatment ended before session number 6"


def test_units_first_seen_later_enter_later() -> None:
    late = courses(("a", [1, 2], "dropout"), ("b", [5, 6], "dropout"), ("c", [1, 2, 3], "planned"))
    with pytest.warns(AllianceStatsWarning, match="1 of 3 persons were first seen after session 1"):
        found = endings(late)
    units = found.units
    assert_array_equal(units.set_index("person").loc[["a", "b", "c"], "entry"], [0.0, 4.0, 0.0])
    assert found.summary().startswith("1 of 3 persons were first seen after session 1")
    whole = kaplan_meier(units, time="time", event="event", entry="entry").tidy()
    # b was not at risk before session 5: two at risk after session 2, not three
    assert whole.set_index("time").loc[2.0, "n_risk"] == 2
    split = kaplan_meier(found.periods(), time="stop", event="event", entry="start").tidy()
    split = split[split["time"].isin(whole["time"])]
    assert_array_equal(whole["n_risk"], split["n_risk"])


def test_late_entry_that_nobody_asked_for_is_said_again() -> None:
    late = courses(("a", [1, 2], "dropout"), ("b", [5, 6], "dropout"), ("c", [1, 2, 3], "planned"))
    with pytest.warns(AllianceStatsWarning, match="were first seen after session 1"):
        units = endings(late).units
    clock = {"time": "time", "event": "event"}
    with pytest.warns(AllianceStatsWarning, match="above 0 in 1 row, .* give entry='entry'"):
        ignored = kaplan_meier(units, **clock).tidy().set_index("time")
    asked = kaplan_meier(units, **clock, entry="entry").tidy().set_index("time")
    # after session 2 one left: of three, or of the two who could have been seen to
    assert ignored.loc[2.0, "estimate"] == pytest.approx(2 / 3)
    assert asked.loc[2.0, "estimate"] == pytest.approx(1 / 2)
    own = units.rename(columns={"time": "until", "first_session": "began"})
    kaplan_meier(own, time="until", event="event")  # a column of this name is no one's entry


def test_no_word_of_late_entry_where_all_begin_together() -> None:
    found = endings(study())
    assert_array_equal(found.units["entry"], [0.0, 0.0, 0.0])
    assert "first seen" not in found.summary()


def melted(last_rated: dict[str, int], waves: int) -> pd.DataFrame:
    """A wide file turned to rows: one per person and wave, empty after the person left."""
    return pd.DataFrame(
        [
            (person, wave, 5.0 if wave <= last else np.nan, True, "dropout")
            for person, last in last_rated.items()
            for wave in range(1, waves + 1)
        ],
        columns=["person", "wave", "alliance", "came", "ending"],
    )


def test_rows_after_the_last_rating_are_no_attendance() -> None:
    frame = melted({"A": 1, "B": 2, "C": 2, "D": 3}, waves=3)
    frame = frame[~((frame["person"] == "A") & (frame["wave"] == 3))]  # one empty wave each
    roles = {"person": "person", "session": "wave", "alliance": "alliance", "ending": "ending"}
    made = Study.from_frame(frame, **roles, unit="person")
    with pytest.warns(AllianceStatsWarning, match=r"3 persons \('A' and others\) hold no score"):
        found = endings(made)
    assert found.units["time"].tolist() == [1.0, 2.0, 2.0, 3.0]
    periods = found.periods(("alliance",))
    assert periods.groupby("person")["event"].agg(["size", "sum"]).to_numpy().tolist() == [
        [1, 1.0],
        [2, 1.0],
        [2, 1.0],
        [3, 1.0],
    ]
    assert endings(made, attended="came").units["time"].tolist() == [2.0, 3.0, 3.0, 3.0]
    with pytest.raises(ValueError, match="give one of them"):
        endings(made, MissedLastScheduled("came"), attended="alliance")


def test_a_unit_without_any_score_is_taken_at_its_rows() -> None:
    frame = melted({"A": 0, "B": 2}, waves=2)
    roles = {"person": "person", "session": "wave", "alliance": "alliance", "ending": "ending"}
    with pytest.warns(AllianceStatsWarning, match="hold no score at all"):
        made = Study.from_frame(frame, **roles, unit="person")
    assert endings(made).units["time"].tolist() == [2.0, 2.0]


def one_row(ending: str) -> Study:
    data = pd.DataFrame({"id": [1], "session": [1], "alliance": [5.0], "ending": [ending]})
    return Study.from_frame(
        data, person="id", session="session", alliance="alliance", ending="ending", unit="person"
    )


def test_one_row_is_one_unit_or_none_that_can_be_judged() -> None:
    found = endings(one_row("dropout"))
    assert found.units[["time", "event"]].to_numpy().tolist() == [[1.0, 1.0]]
    assert found.periods(("alliance",))["event"].tolist() == [1.0]
    with pytest.raises(DataError, match="Every unit is still in treatment after its first session"):
        endings(one_row("ongoing"))


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_nullable_columns_give_what_plain_ones_give(backend: str) -> None:
    plain = study().sessions
    roles = {"person": "person", "family": "family", "session": "session", "alliance": "alliance"}
    other = Study.from_frame(
        plain.convert_dtypes(dtype_backend=backend), ending="ending", unit="family", **roles
    )
    one = Study.from_frame(plain, ending="ending", unit="family", **roles)
    columns = ["family", "session", "alliance", "start", "stop", "event"]
    expected = endings(one).periods(("alliance",))[columns]
    found = endings(other).periods(("alliance",))[columns]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_scores_without_a_role_cut_no_course_and_lose_no_event() -> None:
    """Which sessions were attended is settled by `endings`, for `periods` too."""
    courses = {"a": (3, "dropout"), "b": (4, "dropout"), "c": (5, "planned")}
    rows = pd.DataFrame(
        [
            (person, session, session % 3 if session < last else np.nan, ending)
            for person, (last, ending) in courses.items()
            for session in range(1, last + 1)
        ],
        columns=["person", "session", "mood", "ending"],
    )
    own = Study.from_frame(rows, person="person", session="session", ending="ending")
    found = endings(own)
    table = found.periods(scores=("mood",))
    assert table["event"].sum() == found.units["event"].sum() == 2
    assert table.groupby("person")["session"].max().to_dict() == {"a": 3, "b": 4, "c": 5}
