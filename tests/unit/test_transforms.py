"""Transforms on a few rows, worked out by hand."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.transforms import (
    ENDING_CODES,
    baseline,
    decompose,
    lag,
    last_session,
    person_period,
    running_mean,
    whole_course_means,
)

NAN = np.nan


def refused(transform, *arguments: object, **options: object) -> str:
    with pytest.raises(DataError) as error:
        transform(*arguments, **options)
    return str(error.value)


# ---- decompose -----------------------------------------------------------------------------------


@pytest.fixture
def nested() -> pd.DataFrame:
    """Two families under one therapist; in the first, `a` has three rows and `b` one."""
    return pd.DataFrame(
        {
            "therapist": "T",
            "family": ["F"] * 4 + ["G"] * 2,
            "person": ["a", "a", "a", "b", "c", "c"],
            "x": [1.0, 2.0, 3.0, 6.0, 4.0, NAN],
        },
        index=[9, 8, 7, 6, 5, 4],
    )


def test_means_over_rows(nested: pd.DataFrame):
    parts = decompose(nested, "x", levels=["person", "family", "therapist"])
    assert parts.columns.tolist() == [
        *nested.columns,
        "x_within_person",
        "x_person_in_family",
        "x_family_in_therapist",
        "x_therapist_mean",
    ]
    np.testing.assert_allclose(parts["x_within_person"], [-1, 0, 1, 0, 0, NAN])
    np.testing.assert_allclose(parts["x_person_in_family"], [-1, -1, -1, 3, 0, 0])
    np.testing.assert_allclose(parts["x_family_in_therapist"], [-0.2] * 4 + [0.8] * 2)
    np.testing.assert_allclose(parts["x_therapist_mean"], 16 / 5)


def test_means_over_units(nested: pd.DataFrame):
    parts = decompose(nested, "x", levels=["person", "family", "therapist"], mean_of="units")
    np.testing.assert_allclose(parts["x_person_in_family"], [-2, -2, -2, 2, 0, 0])
    np.testing.assert_allclose(parts["x_family_in_therapist"], 0)  # (2 + 6) / 2 = 4 and 4
    np.testing.assert_allclose(parts["x_therapist_mean"], 4)


def test_any_subset_of_levels(nested: pd.DataFrame):
    parts = decompose(nested, "x", levels=["family"])
    np.testing.assert_allclose(parts["x_within_family"], [-2, -1, 0, 3, 0, NAN])
    np.testing.assert_allclose(parts["x_family_mean"], [3] * 4 + [4] * 2)
    assert "x_person_in_therapist" in decompose(nested, "x", levels=["person", "therapist"])


def test_the_callers_frame_and_row_labels_stay(nested: pd.DataFrame):
    before = nested.copy(deep=True)
    parts = decompose(nested, "x", levels=["person"])
    pd.testing.assert_frame_equal(nested, before)
    pd.testing.assert_frame_equal(parts[before.columns], before)


def test_a_unit_with_no_score_has_no_mean(nested: pd.DataFrame):
    parts = decompose(nested.assign(x=[NAN] * 4 + [4.0, 5.0]), "x", levels=["person", "family"])
    assert parts.loc[[9, 8, 7, 6], "x_family_mean"].isna().all()
    assert parts.loc[[5, 4], "x_family_mean"].tolist() == [4.5, 4.5]


@pytest.mark.parametrize("mean_of", ["rows", "units"])
def test_ids_may_be_categories(nested: pd.DataFrame, mean_of: str):
    levels = ["person", "family", "therapist"]
    categories = nested.astype(dict.fromkeys(levels, "category"))
    new = [column for column in decompose(nested, "x", levels=levels) if column not in nested]
    pd.testing.assert_frame_equal(
        decompose(categories, "x", levels=levels, mean_of=mean_of)[new],
        decompose(nested, "x", levels=levels, mean_of=mean_of)[new],
    )


def test_levels_that_are_not_nested_are_refused(nested: pd.DataFrame):
    assert refused(decompose, nested, "x", levels=["family", "person"]) == (
        "'family' is not nested in 'person': 'F' stands under 'a', 'b' in rows 9, 8, 7, 6. levels "
        "go from the innermost to the outermost; ids that are numbered anew in each parent are "
        "made unique by Study.from_frame(..., local_ids=...)."
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"levels": "person"},
            "levels must be a list of id columns, innermost first, as in ['person', 'family']; "
            "got 'person'.",
        ),
        (
            {"levels": []},
            "levels must be a list of id columns, innermost first, as in ['person', 'family']; "
            "got [].",
        ),
        (
            {"levels": ["person", "person"]},
            "levels names a column twice: ['person', 'person'].",
        ),
        ({"levels": ["persn"]}, "data has no column 'persn'. Did you mean 'person'?"),
    ],
)
def test_levels_that_make_no_sense_are_refused(nested: pd.DataFrame, options: dict, text: str):
    assert refused(decompose, nested, "x", **options) == text


def test_other_bad_input_to_decompose_is_refused(nested: pd.DataFrame):
    assert refused(decompose, nested, "y", levels=["person"]).startswith("data has no column 'y'.")
    assert "infinite in row 9" in refused(
        decompose, nested.assign(x=[np.inf, 1, 1, 1, 1, 1]), "x", levels=["person"]
    )
    missing = nested.assign(person=["a", None, "a", "b", "c", "c"])
    assert refused(decompose, missing, "x", levels=["person"]).startswith(
        "Column 'person' is missing in row 8, but it is needed to know which unit a row belongs to."
    )
    with pytest.raises(ValueError, match="mean_of must be one of 'rows', 'units'; got 'cells'"):
        decompose(nested, "x", levels=["person"], mean_of="cells")


def test_nothing_is_written_over(nested: pd.DataFrame):
    twice = decompose(nested, "x", levels=["person"])
    assert refused(decompose, twice, "x", levels=["person"]) == (
        "A new column 'x_within_person' would be written over the one that is there. Drop or "
        "rename that one first."
    )


# ---- running mean, baseline, lag -----------------------------------------------------------------


@pytest.fixture
def course() -> pd.DataFrame:
    """Out of order; `a` misses session 3, and its first rating."""
    return pd.DataFrame(
        {
            "who": ["a", "b", "a", "a", "b", "a"],
            "s": [4, 2, 1, 2, 1, 5],
            "x": [6.0, 3.0, NAN, 2.0, 5.0, NAN],
        },
        index=list("uvwxyz"),
    )


def test_running_mean_uses_nothing_later(course: pd.DataFrame):
    new = running_mean(course, "x", person="who", session="s")
    np.testing.assert_allclose(new["x_running_mean"], [4, 4, NAN, 2, 5, 4])
    np.testing.assert_allclose(new["x_deviation"], [2, -1, NAN, 0, 0, NAN])
    assert new.index.tolist() == list("uvwxyz")


def test_baseline_is_the_first_rating_there_is(course: pd.DataFrame):
    new = baseline(course, "x", person="who", session="s")
    np.testing.assert_allclose(new["x_baseline"], [2, 5, NAN, 2, 5, 2])
    np.testing.assert_allclose(new["x_change"], [4, -2, NAN, 0, 0, NAN])


def test_lag_does_not_bridge_gaps(course: pd.DataFrame):
    new = lag(course, "x", person="who", session="s")
    np.testing.assert_allclose(new["x_lag1"], [NAN, 5, NAN, NAN, NAN, 6])


def test_lag_bridges_gaps_and_missing_ratings_when_asked(course: pd.DataFrame):
    new = lag(course, "x", person="who", session="s", bridge_gaps=True)
    np.testing.assert_allclose(new["x_lag1"], [2, 5, NAN, NAN, NAN, 6])
    later = pd.DataFrame({"who": "a", "s": [1, 2, 3], "x": [1.0, NAN, 3.0]})
    kept = lag(later, "x", person="who", session="s", bridge_gaps=True)
    np.testing.assert_allclose(kept["x_lag1"], [NAN, 1, 1])


@pytest.mark.parametrize("transform", [running_mean, baseline, lag])
def test_raters_have_histories_of_their_own(transform):
    rated = pd.DataFrame(
        {"who": "a", "rater": ["p", "q"] * 2, "s": [1, 1, 2, 2], "x": [1.0, 10.0, 3.0, 30.0]}
    )
    assert refused(transform, rated, "x", person="who", session="s") == (
        "'a' has several rows of session 1 (of rows 0, 1, 2, 3): the order in time is not defined. "
        "Name the column that tells raters apart with rater=, or average them first."
    )
    both = transform(rated, "x", person="who", session="s", rater="rater")
    alone = transform(rated[rated["rater"] == "q"], "x", person="who", session="s")
    pd.testing.assert_frame_equal(both[both["rater"] == "q"], alone)


@pytest.mark.parametrize("transform", [running_mean, baseline, lag])
def test_histories_refuse_what_has_no_order(transform, course: pd.DataFrame):
    text = refused(transform, course.assign(s=[4, 2, 1, 2.5, 1, 5]), "x", person="who", session="s")
    assert text.startswith("Column 's' is not a whole number in row x (2.5).")
    missing = course.assign(who=["a", None, "a", "a", "b", "a"])
    assert refused(transform, missing, "x", person="who", session="s").startswith(
        "Column 'who' is missing in row v, but it is needed to know whose rating a row is."
    )
    before = course.copy(deep=True)
    transform(course, "x", person="who", session="s")
    pd.testing.assert_frame_equal(course, before)


# ---- last session and person-period --------------------------------------------------------------


@pytest.fixture
def treatment() -> pd.DataFrame:
    """Family D drops out after 3 (no row of session 2), P ends as planned after 2, O goes on."""
    return pd.DataFrame(
        {
            "fam": ["D"] * 4 + ["P"] * 2 + ["O"] * 2,
            "who": ["m", "c", "m", "c", "p", "p", "o", "o"],
            "s": [1, 1, 3, 3, 1, 2, 1, 2],
            "wai": [4.0, 6.0, NAN, 3.0, 5.0, NAN, 2.0, 1.0],
            "end": ["dropout"] * 4 + ["planned"] * 2 + ["ongoing"] * 2,
            "site": ["x"] * 4 + ["y"] * 4,
        }
    )


ROLES = {"unit": "fam", "session": "s", "ending": "end"}


def test_one_row_a_unit_with_its_last_session(treatment: pd.DataFrame):
    expected = pd.DataFrame(
        {
            "fam": ["D", "P", "O"],
            "end": ["dropout", "planned", "ongoing"],
            "site": ["x", "y", "y"],
            "first_session": [1, 1, 1],
            "last_session": [3, 2, 2],
            "n_sessions": [2, 2, 2],
            "event": [1, 0, 0],
            "ending_code": [1, 2, 0],
            "last_interval": [3, 2, 1],  # whether O comes back after session 2 is not known
        }
    )
    pd.testing.assert_frame_equal(last_session(treatment, **ROLES), expected, check_dtype=False)


def test_last_session_without_endings(treatment: pd.DataFrame):
    units = last_session(treatment, unit="fam", session="s")
    assert units.columns[-3:].tolist() == ["first_session", "last_session", "n_sessions"]
    assert "event" not in units


def test_person_period_by_hand(treatment: pd.DataFrame):
    expected = pd.DataFrame(
        {
            "fam": ["D", "D", "D", "P", "P", "O", "O"],
            "site": ["x", "x", "x", "y", "y", "y", "y"],
            "s": [1, 2, 3, 1, 2, 1, 2],
            "wai": [5.0, NAN, 3.0, 5.0, NAN, 2.0, 1.0],
            "wai_n": [2, 0, 1, 1, 0, 1, 1],
            "observed": [True, False, True, True, True, True, True],
            "event": [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, NAN],
            "ending_code": [0.0, 0.0, 1.0, 0.0, 2.0, 0.0, NAN],
        }
    )
    pd.testing.assert_frame_equal(
        person_period(treatment.assign(came=1), **ROLES, scores=["wai"], attended="came"),
        expected,
        check_dtype=False,
    )


def test_a_course_ends_with_its_last_rating_unless_said_otherwise(treatment: pd.DataFrame):
    """A wide file made long has a row for every wave: those after leaving are empty."""
    with pytest.warns(AllianceStatsWarning, match=r"1 unit of 'fam' \('P'\) hold no rating"):
        periods = person_period(treatment, **ROLES, scores=["wai"])
    assert periods["fam"].tolist() == ["D"] * 3 + ["P"] + ["O"] * 2
    assert periods["ending_code"].dropna().tolist() == [0, 0, 1, 2, 0]
    also = treatment.assign(other=[1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 1.0, 5.0])
    assert len(person_period(also, **ROLES, scores=["wai"])) == 7
    planned = treatment.assign(week=treatment["s"] * 7)  # the same for all: no rating
    with pytest.warns(AllianceStatsWarning, match="hold no rating"):
        assert len(person_period(planned, **ROLES, scores=["wai"])) == 6


def test_another_ending_may_be_the_event(treatment: pd.DataFrame):
    periods = person_period(treatment, **ROLES, cause="planned")
    np.testing.assert_array_equal(periods["event"], [0, 0, 0, 0, 1, 0, NAN])
    assert last_session(treatment, **ROLES, cause="planned")["event"].tolist() == [0, 1, 0]
    with pytest.raises(
        ValueError, match="cause must be one of 'dropout', 'planned', 'transferred'"
    ):
        person_period(treatment, **ROLES, cause="ongoing")


def test_codes_of_the_endings():
    assert dict(ENDING_CODES) == {"ongoing": 0, "dropout": 1, "planned": 2, "transferred": 3}


def test_persons_may_end_separately(treatment: pd.DataFrame):
    treatment["end"] = ["planned", "dropout"] * 2 + ["planned"] * 2 + ["ongoing"] * 2
    treatment["came"] = True
    periods = person_period(
        treatment, unit="who", session="s", ending="end", scores=["wai"], attended="came"
    )
    assert periods["who"].tolist() == ["m"] * 3 + ["c"] * 3 + ["p"] * 2 + ["o"] * 2
    np.testing.assert_array_equal(periods["ending_code"], [0, 0, 2, 0, 0, 1, 0, 2, 0, NAN])
    assert periods.columns[:3].tolist() == ["fam", "who", "site"]
    assert refused(person_period, treatment, **ROLES).startswith(
        "Fam 'D' has different endings in column 'end': planned in rows 0, 2, dropout in rows 1, 3."
    )


def test_the_last_session_may_be_stated(treatment: pd.DataFrame):
    treatment["stated"] = [4] * 4 + [2] * 2 + [NAN] * 2
    units = last_session(treatment, **ROLES, ending_session="stated")
    assert units["last_session"].tolist() == [4, 2, 2]
    periods = person_period(treatment, **ROLES, ending_session="stated")
    first = periods[periods["fam"] == "D"]
    assert first["s"].tolist() == [1, 2, 3, 4]
    assert first["event"].tolist() == [0, 0, 0, 1]
    assert first["observed"].tolist() == [True, False, True, False]
    assert refused(
        person_period, treatment.assign(stated=[2] * 8), **ROLES, ending_session="stated"
    ).startswith("Sessions after the ending: rows 2, 3 (fam 'D') have a 's' later than 'stated'.")


def test_planned_sessions_that_were_not_attended_do_not_count(treatment: pd.DataFrame):
    treatment["came"] = [1, 1, 0, 0, 1, 1, 0, 1]
    units = last_session(treatment, **ROLES, attended="came")
    assert units["last_session"].tolist() == [1, 2, 2]
    assert units["first_session"].tolist() == [1, 1, 2]
    assert units["n_sessions"].tolist() == [1, 2, 1]
    periods = person_period(treatment, **ROLES, attended="came", scores=["wai"])
    assert periods["fam"].tolist() == ["D", "P", "P", "O"]
    np.testing.assert_array_equal(periods["event"], [1, 0, 0, NAN])


def test_attended_says_yes_or_no_and_each_unit_came_once(treatment: pd.DataFrame):
    odd = treatment.assign(came=[1, 1, NAN, 2, 1, 1, 1, 1])
    assert refused(last_session, odd, **ROLES, attended="came") == (
        "Column 'came' must say true or false (or 1 or 0) in every row; see rows 2, 3."
    )
    never = treatment.assign(came=[True] * 6 + [False] * 2)
    assert refused(last_session, never, **ROLES, attended="came") == (
        "'O' attended no session (column 'came'), so it has no last one. Leave out units that "
        "never began."
    )


@pytest.mark.parametrize("transform", [last_session, person_period])
def test_bad_endings_are_refused(transform, treatment: pd.DataFrame):
    missing = treatment.assign(end=["dropout"] * 4 + [None] * 2 + ["ongoing"] * 2)
    assert refused(transform, missing, **ROLES) == (
        "Column 'end' is missing in rows 4, 5. A unit that is still in treatment is 'ongoing'; "
        "leave out units whose ending is not known, and say how many."
    )
    unknown = treatment.replace({"end": {"planned": "completed"}})
    assert "unknown ending 'completed' in rows 4, 5" in refused(transform, unknown, **ROLES)
    negative = treatment.assign(s=[1, 1, 3, 3, -1, 2, 1, 2])
    assert "Column 's' is negative in row 4" in refused(transform, negative, **ROLES)


@pytest.mark.parametrize("transform", [last_session, person_period])
def test_units_may_be_categories_and_the_frame_is_not_changed(transform, treatment: pd.DataFrame):
    categories = treatment.astype({"fam": "category", "end": "category"})
    before = categories.copy(deep=True)
    result = transform(categories, **ROLES)
    pd.testing.assert_frame_equal(categories, before)
    pd.testing.assert_frame_equal(
        result.astype({"fam": object, "end": object} if "end" in result else {"fam": object}),
        transform(treatment, **ROLES),
    )


def test_numbers_stay_numbers_where_units_are_categories():
    data = pd.DataFrame({"u": [7, 7, 3], "s": [1, 2, 1], "end": ["dropout"] * 2 + ["planned"]})
    units = person_period(data.astype({"u": "category"}), unit="u", session="s", ending="end")["u"]
    assert units.dtype == np.int64
    assert units.tolist() == [7, 7, 3]


def test_existing_columns_are_not_written_over(treatment: pd.DataFrame):
    text = refused(last_session, treatment.assign(event=1), **ROLES)
    assert text.startswith("A new column 'event' would be written over the one that is there.")
    text = refused(person_period, treatment.assign(observed=1), **ROLES)
    assert text.startswith("A new column 'observed' would be written over the one that is there.")


# ---- means that know the future ------------------------------------------------------------------


@pytest.fixture
def courses() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "fam": ["A"] * 4 + ["B"] * 4 + ["C"] * 2,
            "who": ["a", "b"] * 2 + ["c", "d"] * 2 + ["e"] * 2,
            "s": [1, 1, 2, 2, 1, 1, 2, 2, 1, 2],
            "wai": [1.0, 4.0, 2.0, 8.0, 3.0, 3.0, 5.0, 6.0, 4.0, NAN],
            "age": [40, 10, 40, 10, 35, 8, 35, 8, 50, 50],
            "end": ["dropout"] * 4 + ["planned"] * 4 + ["ongoing"] * 2,
        }
    )


FUTURE = "comes from a mean over the whole course, or from its length. It knows when the unit left"


def test_components_of_decompose_are_recognised_by_name(courses: pd.DataFrame):
    parts = decompose(courses, "wai", levels=["who", "fam"], mean_of="units")
    assert whole_course_means(parts, unit="fam", session="s") == [
        "wai_within_who",
        "wai_who_in_fam",
        "wai_fam_mean",
    ]
    text = refused(person_period, parts, **ROLES)
    assert text.startswith(f"Column 'wai_fam_mean' {FUTURE}")
    assert "Column 'wai_within_who'" in refused(
        person_period, parts.drop(columns="wai_fam_mean"), **ROLES, scores=["wai_within_who"]
    )


def test_a_mean_of_the_callers_own_is_recognised_by_its_values(courses: pd.DataFrame):
    own = courses.assign(level=courses.groupby("fam")["wai"].transform("mean"))
    assert whole_course_means(own, unit="fam", session="s") == ["level"]
    assert whole_course_means(own, unit="fam", session="s", columns=["score"]) == []
    assert whole_course_means(own, unit="fam", session="s", columns=["level"]) == ["level"]
    assert refused(person_period, own, **ROLES).startswith(f"Column 'level' {FUTURE}")


def test_what_was_known_in_time_is_not_taken_for_the_future(courses: pd.DataFrame):
    known = running_mean(courses, "wai", person="who", session="s")
    known = baseline(known, "wai", person="who", session="s")
    known["mean_age"] = courses.groupby("fam")["age"].transform("mean")  # does not move with time
    known["intake"] = courses.groupby("fam")["wai"].transform("first")
    assert whole_course_means(known, unit="fam", session="s") == []
    carried = ["wai", "wai_running_mean", "wai_change"]
    periods = person_period(known, **ROLES, scores=carried)
    assert {"mean_age", "intake"} <= set(periods.columns)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: decompose(d, "x", levels=["person"]),
        lambda d: lag(d, "x", person="person", session="session"),
        lambda d: running_mean(d, "x", person="person", session="session"),
        lambda d: last_session(d, unit="person", session="session"),
        lambda d: person_period(d, unit="person", session="session", ending="ending"),
    ],
)
def test_ids_that_look_alike_are_refused(call):
    data = pd.DataFrame(
        {"person": ["a", "a ", "b"], "session": [1, 2, 1], "x": [1.0, 2, 3], "ending": "planned"}
    )
    with pytest.raises(DataError, match="'person' spells what looks like one unit in 2 ways"):
        call(data)


# ---- hard frames ---------------------------------------------------------------------------------


COURSE = pd.DataFrame(
    {
        "person": ["a", "a", "b", "b"],
        "session": [1, 2, 1, 2],
        "alliance": [4.0, 5.0, 3.0, 2.0],
        "ending": ["dropout", "dropout", "ongoing", "ongoing"],
    }
)


@pytest.mark.parametrize(
    "name", ["event", "ending_code", "observed", "alliance_n", "last_session", "attended", "self"]
)
def test_no_column_of_the_result_is_written_over_a_score(name: str):
    data = COURSE.rename(columns={"alliance": name})
    options = {"unit": "person", "session": "session", "ending": "ending", "scores": [name]}
    if name in ("event", "ending_code", "observed"):
        with pytest.raises(DataError, match=f"A new column '{name}' would be written over"):
            person_period(data, **options)
        return
    assert person_period(data, **options)[name].tolist() == [4.0, 5.0, 3.0, 2.0]


@pytest.mark.parametrize("name", ["last_session", "first_session", "n_sessions", "attended"])
def test_the_session_may_have_any_name(name: str):
    data = COURSE.rename(columns={"session": name})
    periods = person_period(data, unit="person", session=name, ending="ending")
    assert periods[name].tolist() == [1, 2, 1, 2]
    np.testing.assert_array_equal(periods["event"], [0.0, 1.0, 0.0, np.nan])


def test_a_session_named_as_a_new_column_is_refused():
    data = COURSE.rename(columns={"session": "event"})
    with pytest.raises(DataError, match="A new column 'event' would be written over"):
        person_period(data, unit="person", session="event", ending="ending")


def test_lists_in_a_column_nobody_asked_for_do_no_harm():
    data = COURSE.assign(themes=[["a"]] * 4)
    options = {"unit": "person", "session": "session", "ending": "ending"}
    expected = person_period(COURSE, **options)
    pd.testing.assert_frame_equal(person_period(data, **options), expected)
    expected = last_session(COURSE, **options)
    pd.testing.assert_frame_equal(last_session(data, **options), expected)


@pytest.mark.parametrize(
    "spelled",
    [
        lambda data: data.set_index(["person", "session"], drop=False),
        lambda data: data.convert_dtypes(dtype_backend="pyarrow"),
        lambda data: data.set_axis([7, 7, 7, 7]),
        lambda data: data.assign(session=pd.Series(data["session"].to_numpy().astype(">i8"))),
    ],
)
def test_every_kind_of_frame_gives_what_a_plain_one_gives(spelled):
    data = spelled(COURSE)
    options = {"unit": "person", "session": "session", "ending": "ending", "scores": ["alliance"]}
    pd.testing.assert_frame_equal(person_period(data, **options), person_period(COURSE, **options))
    for add in (lag, running_mean, baseline):
        found = add(data, "alliance", person="person", session="session")
        expected = add(COURSE, "alliance", person="person", session="session")
        new = expected.columns.difference(COURSE.columns)
        np.testing.assert_array_equal(found[new], expected[new])
        assert found.index.equals(data.index)
    found = decompose(data, "alliance", levels=["person"])
    expected = decompose(COURSE, "alliance", levels=["person"])
    np.testing.assert_array_equal(found.iloc[:, -2:], expected.iloc[:, -2:])


def test_session_numbers_with_an_endless_gap_are_refused():
    data = COURSE.assign(session=[1, 1_000_000, 1, 2])
    with pytest.raises(DataError, match="runs from 1 to 1000000 for 'a': a row for every session"):
        person_period(data, unit="person", session="session", ending="ending")


@pytest.mark.parametrize("odd", [[1], {"a": 1}, 1e160, b"x", pd.Timestamp("2024-01-01"), 1 + 2j])
def test_cells_that_are_no_session_are_refused_in_words(odd: object):
    data = COURSE.assign(session=pd.Series([1, 2, odd, 2], dtype=object))
    options = {"person": "person", "session": "session"}
    assert "'session'" in refused(lag, data, "alliance", **options)
    options = {"unit": "person", "session": "session"}
    assert "'session'" in refused(person_period, data, **options, ending="ending")


def test_the_guard_looks_past_what_it_cannot_reckon_with(courses: pd.DataFrame):
    """Time spans, complex cells and 1e160 in a column beside are no fault of the others."""
    n = len(courses)
    mixed = pd.Series([1, 1j, 2, *["x"] * (n - 3)], index=courses.index, dtype=object)
    odd = courses.assign(
        wait=pd.to_timedelta(np.arange(n), unit="D"),
        odd=mixed,
        far=np.arange(n) * 1e160,
        turned=np.arange(n) * 1j,
    )
    found = whole_course_means(odd, unit="fam", session="s")
    assert found == whole_course_means(courses, unit="fam", session="s")


def filled_in(**columns: object) -> pd.DataFrame:
    """Three families of two, of whom everyone has a row for every wave; rated to 3, 5 and 2."""
    rows = [
        (family, 10 * family + member, wave, float((7 * wave * family + member) % 5), ending)
        for family, ending in ((1, "dropout"), (2, "planned"), (3, "dropout"))
        for member in (1, 2)
        for wave in range(1, 7)
    ]
    data = pd.DataFrame(rows, columns=["fam", "who", "s", "wai", "end"], index=range(5, 77, 2))
    data["wai"] = data["wai"].where(data["s"] <= data["fam"].map({1: 3, 2: 5, 3: 2}))
    return data.assign(**columns)


@pytest.mark.parametrize(
    "column",
    [
        lambda d: 20.0 * (d["who"] % 10) + d["fam"] + d["s"] / 52,  # exact ages
        lambda d: np.floor(20.0 * (d["who"] % 10) + d["fam"] / 3 + d["s"] / 4),  # whole years
        lambda d: np.arange(len(d)),  # a running number
        lambda d: 1e5 + 7 * d["s"] + d["fam"],  # days
        lambda d: 100 - d["s"] * 1e-4 - d["fam"],  # what is left
        lambda d: d["wai"] > 2,  # made from the score
        lambda d: (d["wai"] > 2).astype(int),
        lambda d: np.where(d["wai"].notna(), d["s"] % 2 + d["fam"] / 7, 0.0),  # weights
        lambda d: d["s"].map({1: 2, 2: 1, 3: 4, 4: 4, 5: 0, 6: 3}).where(d["who"] != 11),
        lambda d: (d["wai"] * 2).astype(str),
    ],
)
def test_what_filled_in_rows_have_too_is_no_rating(column: Callable[[pd.DataFrame], object]):
    """Numbers of persons, ages, running numbers and flags stand also where nobody came."""
    data = filled_in()
    with pytest.warns(AllianceStatsWarning, match="3 units of 'fam' .'1' and others. hold no rat"):
        periods = person_period(data.assign(x=column(data)), **ROLES, scores=["wai"])
    assert periods.groupby("fam")["s"].max().to_dict() == {1: 3, 2: 5, 3: 2}
    assert periods.loc[periods["event"] == 1.0, ["fam", "s"]].to_numpy().tolist() == [
        [1, 3],
        [3, 2],
    ]


@pytest.mark.parametrize("label", ["who", "rater", "text"])
@pytest.mark.parametrize(
    "column",
    [
        lambda d: d["who"] * 1.0,  # ids of members
        lambda d: d["who"] % 10,  # codes of raters
        lambda d: 20.0 * (d["who"] % 10) + d["fam"] + d["s"] / 52,  # ages
    ],
)
def test_labels_and_ages_of_members_are_no_ratings_where_some_have_no_row(
    label: str, column: Callable[[pd.DataFrame], object]
):
    """Their means over the rows that there are go up and down."""
    labels = {"who": lambda d: d["who"], "rater": lambda d: d["who"] % 10}
    data = filled_in(x=column)
    data["label"] = labels[label](data) if label in labels else "member " + data["who"].astype(str)
    first, second = data["who"] % 10 == 1, data["who"] % 10 == 2
    data = data[~((second & (data["s"] == 2)) | (first & (data["s"] == 6)))]
    with pytest.warns(AllianceStatsWarning, match="3 units of 'fam' .'1' and others. hold no rat"):
        periods = person_period(data.drop(columns="who"), **ROLES, scores=["wai"])
    assert periods.groupby("fam")["s"].max().to_dict() == {1: 3, 2: 5, 3: 2}


def test_names_of_members_tell_their_rows_apart_in_few_sessions_too():
    """Numbers might differ by luck in so few; names are no ratings."""
    data = filled_in(age=lambda d: 20.0 * (d["who"] % 10) + d["s"] / 52)
    data["who"] = "member " + data["who"].astype(str)
    alone = data["who"].str.endswith("2") & ((data["s"] % 2 == 1) | (data["fam"] != 1))
    with pytest.warns(AllianceStatsWarning, match="3 units of 'fam' .'1' and others. hold no rat"):
        periods = person_period(data[~alone], **ROLES, scores=["wai"])
    assert periods.groupby("fam")["s"].max().to_dict() == {1: 3, 2: 5, 3: 2}


def test_ratings_by_members_some_of_whom_have_no_row_are_ratings():
    data = filled_in(mood=lambda d: ((5 * d["s"] + d["who"]) % 7).where(d["s"] < 6))
    data = data[~((data["who"] % 10 == 2) & (data["s"] == 2))]
    with pytest.warns(AllianceStatsWarning, match="3 units of 'fam' .'1' and others. hold no rat"):
        periods = person_period(data, **ROLES, scores=["wai"])
    assert periods.groupby("fam")["s"].max().to_dict() == {1: 5, 2: 5, 3: 5}


def test_units_without_any_rating_keep_their_rows_and_are_named():
    data = filled_in(wai=lambda d: d["wai"].where(d["fam"] != 2))
    with pytest.warns(AllianceStatsWarning) as told:
        periods = person_period(data, **ROLES, scores=["wai"])
    assert periods.groupby("fam")["s"].max().to_dict() == {1: 3, 2: 6, 3: 2}
    assert "1 unit of 'fam' ('2') hold no rating at all" in str(told[1].message)


def test_warnings_stand_at_the_line_of_the_caller():
    with pytest.warns(AllianceStatsWarning) as told:
        person_period(filled_in(), **ROLES, scores=["wai"])
    assert [one.filename for one in told] == [__file__]
