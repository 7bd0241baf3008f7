"""The example study, from its file to what the report shows."""

import math

import pandas as pd
import pytest

from alliance_stats.datasets import example_study
from alliance_stats.multilevel import lmm
from alliance_stats.simulate import simulate_study
from alliance_stats.study import Study
from analyses import family_alliance
from tests.end_to_end.fragments import check_document, check_figures, numbers_of, rows_of

NAME = "family_alliance"


@pytest.fixture(scope="module")
def numbers(demo):
    return numbers_of(demo.folder / NAME)


def test_every_figure_is_written_with_its_numbers(demo):
    check_figures(
        demo.folder / NAME,
        {
            "fig-alliance-flow",
            "fig-alliance-families",
            "fig-alliance-endings",
            "fig-alliance-trajectories",
            "fig-alliance-dropout",
            "fig-alliance-last",
        },
    )


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "The example study is simulated" in whole


def test_every_caption_says_that_the_data_are_simulated(demo):
    fragments = sorted((demo.folder / NAME).glob("_fig-*.qmd"))
    fragments += sorted((demo.folder / NAME).glob("_tbl-*.qmd"))
    assert len(fragments) == 8
    for fragment in fragments:
        assert "simulated" in fragment.read_text(encoding="utf-8").lower(), fragment.name


def test_the_growth_interval_holds_what_was_built_in(numbers):
    truth = simulate_study(seed=1).truth["alliance.session"]
    assert numbers["growth_low"] <= truth <= numbers["growth_high"]


def test_variance_shares_sum_to_one(numbers):
    shares = [value for name, value in numbers.items() if name.startswith("share_")]
    assert len(shares) == 4
    assert math.isclose(sum(shares), 1.0)


def test_dropout_is_below_one_minus_kaplan_meier_and_counts_families_once(demo, numbers):
    assert 0 < numbers["dropout_by_end"] < numbers["one_minus_kaplan_meier"] < 1
    drawn = rows_of(demo.folder / NAME / "fig-alliance-dropout.csv")
    events = sum(float(row["n_event"]) for row in drawn if row["part"] == "curve")
    families = example_study().families
    assert events == (families["ending"] == "dropout").sum()


def test_the_flow_ends_in_the_rows_of_the_model():
    study = family_alliance.load()
    fit = family_alliance.growth_model(study)
    assert family_alliance.rated(study).rows.n_used == fit.nobs
    assert fit.rows.n_set_aside == 0


def test_families_still_in_treatment_leave_the_risk_set_before_their_last_session(demo):
    families = family_alliance.families_of(family_alliance.load())
    drawn = rows_of(demo.folder / NAME / "fig-alliance-dropout.csv")
    curve = [row for row in drawn if row["part"] == "curve"]
    for stratum in {row["strata"] for row in curve}:
        own = families[families["barrier"] == stratum]
        ongoing = own["ending"] == "ongoing"
        for row in (row for row in curve if row["strata"] == stratum):
            when = float(row["time"])
            # who attended session t and is not known to come back is not at risk after it
            expected = (own["last_session"] >= when).sum() - (
                ongoing & (own["last_session"] == when)
            ).sum()
            assert float(row["n_risk"]) == expected


def study_of(sessions: pd.DataFrame) -> Study:
    return Study.from_frame(sessions, **example_study().roles, unit="family")


def test_a_family_still_in_treatment_and_seen_once_is_left_out_and_named():
    sessions = example_study().sessions
    once = sessions.iloc[[0]].assign(family="F999", person="F999-mother", ending="ongoing")
    kept, rows = family_alliance.at_risk(study_of(pd.concat([sessions, once], ignore_index=True)))
    assert len(kept) == 240
    assert "F999" not in set(kept["family"])
    assert rows.steps[-1].rows_set_aside == 1
    assert "after the first session" in rows.steps[-1].reason


@pytest.mark.filterwarnings(
    "ignore:.*first seen after session 1:alliance_stats.errors.AllianceStatsWarning"
)
def test_a_family_first_seen_late_is_not_at_risk_before():
    sessions = example_study().sessions
    late = sessions["family"].isin([f"F{number:03d}" for number in range(1, 61)])
    seen = study_of(sessions[~late | (sessions["session"] >= 4)])
    section, numbers = family_alliance.dropout(seen)
    families, _ = family_alliance.at_risk(seen)
    curve = section.parts[2].data
    curve = curve[curve["part"] == "curve"]
    first, entry = families.set_index("family")["first_session"], families["entry"]
    assert (entry.to_numpy() == first.to_numpy() - 1).all()
    for row in curve.itertuples():
        own = families[families["barrier"] == row.strata]
        at_risk = ((own["entry"] < row.time) & (own["time"] >= row.time)).sum()
        assert row.n_risk == at_risk
    assert numbers["families_at_risk"] == len(families)


def test_no_caption_names_a_raw_column(demo):
    for fragment in (demo.folder / NAME).glob("_*.qmd"):
        assert "\\_" not in fragment.read_text(encoding="utf-8"), fragment.name


def test_the_incidences_drawn_sum_with_those_still_in_treatment_to_one_at_most(demo, numbers):
    drawn = rows_of(demo.folder / NAME / "fig-alliance-endings.csv")
    last = max(float(row["time"]) for row in drawn)
    ends = {row["state"]: float(row["estimate"]) for row in drawn if float(row["time"]) == last}
    assert set(ends) == {"dropout", "planned", "transferred"}
    assert sum(ends.values()) <= 1.0
    assert ends["dropout"] == pytest.approx(numbers["dropout_by_end"])


def test_the_last_alliance_is_compared_by_the_mixed_model(numbers):
    families = family_alliance.families_of(example_study())
    model = lmm(
        "last_alliance ~ trauma + (1 | therapist)",
        families.assign(trauma=-families["parent_trauma"]),
    )
    row = model.tidy(df_method="kenward-roger").iloc[1]
    assert numbers["last_alliance_difference"] == pytest.approx(row["estimate"], rel=1e-6)
    assert numbers["last_alliance_low"] == pytest.approx(row["conf_low"], rel=1e-6)
