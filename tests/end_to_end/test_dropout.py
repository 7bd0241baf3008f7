"""Who leaves: from the two data sets to what the report shows."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.datasets import example_study
from alliance_stats.errors import AllianceStatsWarning
from alliance_stats.simulate import simulate_study
from alliance_stats.study import Study
from alliance_stats.survival import endings, log_rank
from analyses import beat_the_blues, dropout
from analyses.leaving.curves import who_leaves
from analyses.leaving.finding import LAST, early_alliance
from analyses.leaving.hazards import FORMULA, hazard_of, periods, what_predicts
from analyses.leaving.therapists import CATERPILLAR, what_lies_with_therapists
from analyses.leaving.trial import trial_periods
from tests.end_to_end.fragments import check_document, check_figures, numbers_of, rows_of

NAME = "dropout"


@pytest.fixture(scope="module")
def numbers(demo):
    return numbers_of(demo.folder / NAME)


def test_every_figure_is_written_with_its_numbers(demo):
    check_figures(
        demo.folder / NAME,
        {
            "fig-dropout-curves",
            "fig-dropout-incidence",
            "fig-dropout-hazard",
            "fig-dropout-ratios",
            "fig-dropout-therapists",
            "fig-dropout-endings",
            "fig-dropout-tipping",
            "fig-dropout-trial",
            "fig-dropout-trial-tipping",
        },
    )


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "The example study is simulated" in whole


def test_every_caption_says_whether_the_data_are_simulated(demo):
    for fragment in sorted((demo.folder / NAME).glob("_fig-*.qmd")):
        text = fragment.read_text(encoding="utf-8")
        said = "real data" if "trial" in fragment.name else "Simulated data"
        assert said in text, fragment.name


def test_the_hazard_counts_each_family_once_and_its_interval_holds_what_was_built_in(demo, numbers):
    families = example_study().families
    drawn = rows_of(demo.folder / NAME / "fig-dropout-hazard.csv")
    assert sum(float(row["n_event"]) for row in drawn) == (families["ending"] == "dropout").sum()
    assert float(drawn[0]["n_risk"]) == len(families)
    truth = simulate_study(seed=1).truth["dropout.alliance_so_far"]
    assert np.log(numbers["ratio_level_low"]) < truth < np.log(numbers["ratio_level_high"])


def test_the_therapists_stand_in_order_with_their_families(demo, numbers):
    drawn = rows_of(demo.folder / NAME / f"{CATERPILLAR}.csv")
    families = example_study().families
    assert len(drawn) == families["therapist"].nunique()
    ratios = [float(row["estimate"]) for row in drawn]
    assert ratios == sorted(ratios)
    counts = families.groupby("therapist").size()
    assert all(int(row["n_units"]) <= counts[row["level"]] for row in drawn)
    left = sum(int(row["n_event"]) for row in drawn)
    assert 0 < left <= (families["ending"] == "dropout").sum()
    truth = simulate_study(seed=1).truth["dropout.sd__therapist"]
    median = np.exp(np.sqrt(2.0) * 0.6744897501960817 * truth)
    assert numbers["median_hazard_ratio_low"] < median < numbers["median_hazard_ratio_high"]


def test_the_endings_compete_in_one_model(demo, numbers):
    drawn = rows_of(demo.folder / NAME / "fig-dropout-endings.csv")
    assert {row["state"] for row in drawn} == {"dropout", "planned", "transferred"}
    by_state = {row["state"]: row for row in drawn if row["term"].endswith("alliance so far")}
    for state, row in by_state.items():
        assert float(row["estimate"]) == pytest.approx(numbers[f"odds_ratio_level_{state}"])
        assert numbers[f"median_odds_ratio_{state}"] >= 1.0


def test_therapists_who_are_all_alike_are_not_put_in_order():
    study = dropout.load().study
    table = periods(study)
    last = table.groupby("family").tail(1).sort_values(["session", "event", "family"])
    dealt = {family: f"T{i % 30:02}" for i, family in enumerate(last["family"])}
    alike = table.assign(therapist=table["family"].map(dealt))
    section, numbers = what_lies_with_therapists(study, alike, hazard_of(alike, dropout.FORMULA))
    assert numbers["median_hazard_ratio"] == 1.0
    assert [part.label for part in section.parts] == ["fig-dropout-endings"]
    assert f"@{CATERPILLAR}" not in section.text
    assert "no order of them is drawn" in section.text


def test_families_first_seen_late_are_not_at_risk_before():
    sessions = example_study().sessions
    first = sessions.groupby("family")["session"].transform("max")
    late = sessions["family"].isin(["F002", "F003"]) & (first > 3)
    some = sessions[~(late & (sessions["session"] <= 2))]
    seen_late = int(some.loc[late, "family"].nunique())
    assert seen_late > 0
    study = Study.from_frame(
        some, person="person", family="family", therapist="therapist", session="session",
        alliance="alliance", outcome="symptoms", ending="ending",
    )  # fmt: skip
    with pytest.warns(AllianceStatsWarning, match="were first seen after session 1"):
        section, numbers = who_leaves(study)
    incidence = section.parts[1].data
    at_start = incidence[incidence["time"] == 1]["n_risk"].max()
    assert at_start == numbers["families"] - seen_late


def test_the_first_alliance_survives_the_imputation(numbers):
    assert abs(numbers["early_imputed"] - numbers["early_seen"]) < 0.3
    assert numbers["early_seen"] < 0


def test_unseen_sessions_come_after_the_last_and_belong_to_dropouts():
    study = dropout.load().study
    _, unseen = early_alliance(study)
    facts = study.sessions.groupby("family").agg(last=("session", "max"), how=("ending", "first"))
    own = facts.loc[unseen["family"]]
    assert (own["how"] == "dropout").all()
    assert (unseen["session"].to_numpy() > own["last"].to_numpy()).all()
    one = unseen[unseen["person"] == unseen["person"].iloc[0]]
    assert one["session"].max() == LAST
    assert not one["session"].duplicated().any()


def test_patients_of_the_trial_leave_after_the_visit_seen_last():
    trial = beat_the_blues.load()
    rows = trial_periods(trial)
    months = list(beat_the_blues.MONTHS.values())
    seen = trial.set_index("patient")[months].notna()
    for patient, own in list(rows.groupby("patient"))[:20]:
        last = np.flatnonzero(seen.loc[patient].to_numpy())[-1] + 1
        assert own["visit"].tolist() == list(range(1, min(last, 4) + 1))
        assert own["left"].sum() == float(last < 5)
    assert pd.notna(rows["last_score"]).all()


def test_frameworks_of_therapists_are_compared_over_whole_therapists(numbers):
    units = endings(example_study()).units
    names = {"time": "time", "event": "event", "entry": "entry", "group": "framework"}
    whole = log_rank(units, **names, cluster="therapist", seed=2024)
    assert numbers["log_rank_p"] == whole.p_value
    assert numbers["log_rank_p"] != log_rank(units, **names).p_value


def test_dropouts_lost_to_missing_ratings_are_said() -> None:
    table = periods(example_study())
    last = table.index[table["event"] == 1][:4]
    table.loc[last, "alliance_deviation"] = np.nan
    section, _ = what_predicts(table, hazard_of(table, FORMULA))
    assert (
        "no rating of the alliance at that session (4 of them the last of a dropout); 98, after"
        in (section.text)
    )
