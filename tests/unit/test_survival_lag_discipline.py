"""What knows when a unit left is refused as a predictor of it; what was known in time passes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.study import Study
from alliance_stats.survival import cox_ph, discrete_hazard, endings, fine_gray
from alliance_stats.transforms import baseline, running_mean, whole_course_means

Rescale = Callable[..., pd.Series]
FUTURE = "comes from a mean over the whole course"


def courses(seed: int, families: int = 40, drift: float = 0.1) -> pd.DataFrame:
    """Families of two persons, rated in each of 1 to 12 sessions with a drifting alliance."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 13, families)
    pairs = [np.tile([2 * f, 2 * f + 1], t) for f, t in enumerate(lengths)]
    rows = pd.DataFrame(
        {
            "family": np.repeat(np.arange(families), 2 * lengths),
            "person": np.concatenate(pairs),
            "session": np.concatenate([np.repeat(np.arange(1, t + 1), 2) for t in lengths]),
        }
    )
    level = rng.normal(5.0, 0.7, 2 * families)[rows["person"]]
    alliance = level + drift * rows["session"] + rng.normal(0.0, 0.5, len(rows))
    alliance = alliance.round(2).where(rng.random(len(rows)) > 0.1)
    ending = rng.choice(["dropout", "planned"], families)[rows["family"]]
    return rows.assign(alliance=alliance, ending=ending)


def study_of(rows: pd.DataFrame) -> Study:
    return Study.from_frame(
        rows,
        person="person",
        family="family",
        session="session",
        alliance="alliance",
        ending="ending",
    )


def family_means(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("family")["alliance"].transform("mean")


def session_means(rows: pd.DataFrame) -> pd.Series:
    level = rows.groupby(["family", "session"])["alliance"].mean().groupby("family").mean()
    return rows["family"].map(level)


def z_scored(values: pd.Series) -> pd.Series:
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize("mean_of", [family_means, session_means])
@pytest.mark.parametrize(
    "rescale",
    [
        lambda mean: mean,
        lambda mean: mean - mean.mean(),
        z_scored,
        lambda mean: z_scored(mean).round(2),
        lambda mean: mean.round(2),
        lambda mean: mean.round(1),
        lambda mean: (mean * 10).round(),
        lambda mean: 100.0 * (7.0 - mean) / 6.0,
    ],
)
def test_a_rescaled_mean_over_the_course_is_refused(mean_of: Rescale, rescale: Rescale) -> None:
    rows = courses(1)
    leaky = rows.assign(level=rescale(mean_of(rows)))
    assert whole_course_means(leaky, unit="family", session="session") == ["level"]
    with pytest.raises(DataError, match=f"Column 'level' {FUTURE}"):
        endings(study_of(leaky))
    # the same in a hazard model that is told whose rows they are
    events = leaky.dropna().groupby(["family", "session"], as_index=False).mean(numeric_only=True)
    last = events.groupby("family")["session"].transform("max") == events["session"]
    events = events.assign(start=events["session"] - 1, left=(last & (events["family"] % 2)))
    own = events.assign(level=rescale(events.groupby("family")["alliance"].transform("mean")))
    with pytest.raises(DataError, match="Covariate 'level' is, or comes from, a mean over all"):
        cox_ph("level", own, start="start", stop="session", event="left", person="family")


def test_four_units_need_an_exact_line() -> None:
    rows = courses(3, families=6)
    mean = family_means(rows)
    for leak in (mean - 4.0, 2.0 * mean):
        found = whole_course_means(rows.assign(level=leak), unit="family", session="session")
        assert found == ["level"]
    rounded = rows.assign(level=mean.round(2) - 4.0)
    assert whole_course_means(rounded, unit="family", session="session") == []


def known_in_time(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Add covariates that were known when treatment began, or by the session of the row."""
    family = rows["family"]
    families = int(family.max()) + 1
    first = rows["alliance"].where(rows["session"] == 1).groupby(family).transform("mean")
    age = rng.uniform(20.0, 60.0, families)
    day = rng.integers(0, 3000, families)
    kept = running_mean(rows, "alliance", person="person", session="session")
    return baseline(kept, "alliance", person="person", session="session").assign(
        intake=first.fillna(5.0),
        intake_rounded=first.fillna(5.0).round(1),
        investment=rng.normal(size=families)[family],
        trauma=rng.integers(0, 2, families)[family],
        children=rng.integers(1, 5, families)[family],
        therapist=(np.arange(families) % 7)[family],
        age_at_intake=np.floor(age)[family],
        age=age[family] + rows["session"] / 52.0,
        intake_day=day[family],
        day=(day + rng.integers(0, 30, families))[family] + 7 * rows["session"],
        # correlates with the alliance as strongly as another scale could
        other_scale=(family_means(rows) + rng.normal(0.0, 0.15, families)[family]).fillna(0.0),
        trait=rng.normal(5.0, 2.0, families)[family],
    )


def test_what_was_known_in_time_is_never_refused() -> None:
    alarms = []
    for seed in range(30):
        rng = np.random.default_rng(1000 + seed)
        rows = courses(seed, families=int(rng.integers(3, 80)), drift=float(rng.choice([0.0, 0.1])))
        known = known_in_time(rows, rng)
        alarms += whole_course_means(known, unit="family", session="session")
        alarms += whole_course_means(known, unit="person", session="session")
    assert alarms == []


def test_a_name_made_of_two_columns_is_no_component_of_decompose() -> None:
    rows = courses(2).assign(parent=1, parent_alliance=lambda d: d["family"] % 2)
    assert whole_course_means(rows, unit="family", session="session") == []


def test_endings_carries_family_covariates_and_nothing_over_its_own_columns() -> None:
    rows = courses(4)
    found = endings(study_of(known_in_time(rows, np.random.default_rng(4))))
    assert {"intake", "investment", "age_at_intake", "other_scale"} <= set(found.units.columns)
    with pytest.raises(DataError, match="A new column 'time' would be written over"):
        endings(study_of(rows.assign(time=1)))


@pytest.mark.parametrize("outcome", ["n_sessions", "last_session", "state", "time", "event"])
def test_what_endings_knows_of_the_end_is_no_covariate(outcome: str) -> None:
    units = endings(study_of(courses(5))).units
    with pytest.raises(DataError, match=f"'{outcome}' says when or how the unit ended"):
        cox_ph(outcome, units, time="time", event="event")
    with pytest.raises(DataError, match=f"'{outcome}' says when or how the unit ended"):
        fine_gray(outcome, units, time="time", event="state", cause="dropout", censored=())
    fit = cox_ph("family", units, time="time", event="event")
    assert fit.rows.n_used == len(units)


def test_the_outcome_is_no_covariate_whatever_its_name() -> None:
    rng = np.random.default_rng(6)
    rows = pd.DataFrame(
        {"months": rng.integers(1, 9, 50), "left": rng.integers(0, 2, 50), "n_sessions": range(50)}
    )
    with pytest.raises(DataError, match="'months' says when or how"):
        cox_ph("np.log(months)", rows, time="months", event="left")
    # without first_session beside it, the name alone says nothing
    assert cox_ph("n_sessions", rows, time="months", event="left").rows.n_used == 50


@pytest.mark.parametrize("decimals", [2, 3, 8])
def test_a_rounded_deviation_from_the_whole_course_is_refused(decimals: int) -> None:
    rows = courses(7).dropna()
    person = rows.groupby("person")["alliance"]
    rows = rows.assign(
        start=rows["session"] - 1,
        left=(rows["session"] == person.transform("size")).astype(int),
        deviation=(rows["alliance"] - person.transform("mean")).round(decimals),
        change=rows["alliance"] - person.transform("first"),
        step=person.diff().fillna(0.0),
    )
    options = {"start": "start", "stop": "session", "event": "left", "person": "person"}
    with pytest.raises(DataError, match="'deviation' sums to zero over the rows of each 'person'"):
        cox_ph("deviation", rows, **options)
    for known in ("change", "step", "alliance"):
        assert cox_ph(known, rows, **options).rows.n_used == len(rows)


def couples(seed: int, *, n_sessions: int) -> pd.DataFrame:
    """Return ratings of couples of whom now one comes, now the other, now both."""
    rng = np.random.default_rng(seed)
    rows = []
    for case in range(60):
        age = 40.0 + 8.0 * rng.normal() + rng.normal(size=2)
        for session in range(1, n_sessions + 1):
            for member in np.flatnonzero(rng.random(2) < 0.7) if session > 1 else (0, 1):
                rows.append((f"F{case}", case, 10 * case + member, "mf"[member], session))
                rows[-1] += (age[member], age.mean(), rng.normal(4.0 + case % 3, 0.5))
    names = ["family", "case", "person", "role", "session", "age", "mean_age", "alliance"]
    return pd.DataFrame(rows, columns=names)


@pytest.mark.parametrize("n_sessions", [2, 3, 8])
def test_what_members_bring_along_is_no_rating(n_sessions: int) -> None:
    # a couple's mean age, and the number of its case, against the ages and ids of who came
    for seed in range(10):
        rows = couples(seed, n_sessions=n_sessions)
        assert whole_course_means(rows, unit="family", session="session") == []
        no_role = rows.drop(columns="role")
        assert whole_course_means(no_role, unit="family", session="session") == []


def test_the_mean_of_one_member_is_a_mean_over_the_course() -> None:
    rows = couples(1, n_sessions=6)
    mothers = rows[rows["role"] == "m"].groupby("family")["alliance"].agg(["mean", "first"])
    known = rows.assign(mothers=rows["family"].map(mothers["mean"]).round(2))
    known["mothers_first"] = rows["family"].map(mothers["first"])
    own = rows.groupby("person")["alliance"].transform("mean")
    known["own"] = ((own - 5.0) / 2.0).round(2)
    known["own_first"] = rows.groupby("person")["alliance"].transform("first")
    assert whole_course_means(known, unit="family", session="session") == ["mothers", "own"]


def test_what_is_known_of_single_sessions_is_no_mean_over_a_course() -> None:
    rows = couples(2, n_sessions=4)
    rows = rows[(rows["session"] == 1) | (rows["case"] > 20)]
    level = rows.groupby("family")["alliance"].transform("mean").where(rows["case"] <= 20)
    once = rows.assign(screening=level)
    assert whole_course_means(once, unit="family", session="session") == []


def crossover() -> pd.DataFrame:
    """Two rows per person, under one condition and the other, and a score that was centred."""
    rng = np.random.default_rng(7)
    person = np.repeat(np.arange(40), 2)
    first = np.tile([0, 1], 40)
    condition = np.where((person % 2) == first, 0.5, -0.5)
    score = rng.normal(size=80)
    centred = score - pd.Series(score).groupby(person).transform("mean").to_numpy()
    event = (first == 1) & (rng.random(80) < 0.7)
    return pd.DataFrame(
        {
            "person": person,
            "start": first,
            "stop": first + 1,
            "event": event.astype(int),
            "condition": condition,
            "dose": centred,
        }
    )


def test_a_contrast_of_a_crossover_is_no_look_ahead() -> None:
    columns = {"start": "start", "stop": "stop", "event": "event", "person": "person"}
    frame = crossover()
    fit = cox_ph("condition", frame, **columns)
    assert fit.tidy()["estimate"].notna().all()
    with pytest.raises(DataError, match=r"known_before=\['dose'\]"):
        cox_ph("dose", frame, **columns)
    planned = cox_ph("dose", frame, **columns, known_before=["dose"])
    assert planned.tidy()["estimate"].notna().all()
    with pytest.raises(DataError, match="no column 'doze'"):
        cox_ph("dose", frame, **columns, known_before=["doze"])


def test_a_therapist_nobody_asked_for_is_named_as_the_default() -> None:
    frame = crossover().assign(session=lambda d: d["stop"])
    with pytest.raises(DataError, match=r"unless something else is.*random=None"):
        discrete_hazard("condition", frame, session="session", event="event", unit="person")
