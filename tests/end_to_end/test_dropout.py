"""Who leaves: from the two data sets to what the report shows."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.datasets import example_study
from alliance_stats.simulate import simulate_study
from analyses import beat_the_blues, dropout
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


def test_the_first_alliance_survives_the_imputation(numbers):
    assert abs(numbers["early_imputed"] - numbers["early_seen"]) < 0.3
    assert numbers["early_seen"] < 0


def test_unseen_sessions_come_after_the_last_and_belong_to_dropouts():
    study = dropout.load().study
    _, unseen = dropout.early_alliance(study)
    facts = study.sessions.groupby("family").agg(last=("session", "max"), how=("ending", "first"))
    own = facts.loc[unseen["family"]]
    assert (own["how"] == "dropout").all()
    assert (unseen["session"].to_numpy() > own["last"].to_numpy()).all()
    one = unseen[unseen["person"] == unseen["person"].iloc[0]]
    assert one["session"].max() == dropout.LAST
    assert not one["session"].duplicated().any()


def test_patients_of_the_trial_leave_after_the_visit_seen_last():
    trial = beat_the_blues.load()
    rows = dropout.trial_periods(trial)
    months = list(beat_the_blues.MONTHS.values())
    seen = trial.set_index("patient")[months].notna()
    for patient, own in list(rows.groupby("patient"))[:20]:
        last = np.flatnonzero(seen.loc[patient].to_numpy())[-1] + 1
        assert own["visit"].tolist() == list(range(1, min(last, 4) + 1))
        assert own["left"].sum() == float(last < 5)
    assert pd.notna(rows["last_score"]).all()
