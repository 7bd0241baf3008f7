"""Successful and unsuccessful alliances, from the data to what the report shows."""

import math

import pytest
from scipy import stats

from analyses import successful_alliance
from analyses.simulated import families_of
from tests.end_to_end.fragments import check_document, check_figures, numbers_of, rows_of

NAME = "successful_alliance"


@pytest.fixture(scope="module")
def numbers(demo):
    return numbers_of(demo.folder / NAME)


@pytest.fixture(scope="module")
def study():
    return successful_alliance.load()


def test_every_figure_is_written_with_its_numbers(demo):
    small = ("flow", "themes", "transitions")
    whole = ("balance", "course", "last", "raincloud", "rules")
    check_figures(
        demo.folder / NAME,
        {f"fig-small-{name}" for name in small} | {f"fig-success-{name}" for name in whole},
    )


def test_the_document_shows_every_fragment_and_every_reference_resolves(demo):
    whole = check_document(NAME, demo.folder)
    assert "The example study is simulated" in whole
    assert "describes and estimates nothing; no number here is a result of it" in whole


def test_thirteen_of_seventeen_are_seen_again(numbers):
    assert (numbers["interviewed"], numbers["interviewed_again"]) == (17, 13)
    low, high = stats.binomtest(13, 17).proportion_ci(method="exact")
    assert numbers["retention_low"] == pytest.approx(low)
    assert numbers["retention_high"] == pytest.approx(high)


def test_the_smallest_p_of_six_against_seven_is_fishers(demo):
    """Where six of thirteen voiced a theme, nothing is more extreme than 6 of 6 against 0 of 7."""
    rows = rows_of(demo.folder / NAME / "tbl-small-themes.csv")
    row = next(row for row in rows if row["Theme"] == "Positive aspects")
    assert (row["Successful"], row["Unsuccessful"]) == ("5 of 6", "1 of 7")
    smallest = stats.fisher_exact([[6, 0], [0, 7]]).pvalue
    assert row["Smallest p"] == f"{smallest:.4f}"[1:]
    assert row["p"] == f"{stats.fisher_exact([[5, 1], [1, 6]]).pvalue:.4f}"[1:]


def test_first_and_last_scores_are_the_members_means_by_hand(study):
    families = families_of(study)
    assert len(families) == 240
    for row in families.head(3).itertuples():
        own = study.sessions[study.sessions["family"] == row.family]
        first = own[own["session"] == own["session"].min()]
        last = own[own["session"] == own["session"].max()]
        assert row.first_symptoms == pytest.approx(first["symptoms"].mean())
        assert row.last_symptoms == pytest.approx(last["symptoms"].mean())
        assert row.last_alliance == pytest.approx(last["alliance"].mean(), nan_ok=True)


def test_the_rule_of_the_description_is_the_comparison_of_the_whole_study(numbers, study):
    comparisons, counts, _ = successful_alliance.under_rules(study)
    first = comparisons.tidy().iloc[0]
    assert first["rule"] == "As the parent described it"
    assert first["estimate"] == pytest.approx(numbers["last_symptoms_difference"])
    assert (counts[["successful", "unsuccessful", "undecided"]].sum(axis=1) == 240).all()
    both = counts.loc["Described so, and did not drop out", "successful"]
    families = families_of(study)
    kept = families["ending"].isin(["planned", "ongoing"])
    assert both == ((families["parent_alliance"] == "successful") & kept).sum()


def test_every_caption_says_that_the_data_are_simulated(demo):
    fragments = sorted((demo.folder / NAME).glob("_fig-*.qmd"))
    fragments += sorted((demo.folder / NAME).glob("_tbl-*.qmd"))
    assert len(fragments) == 11
    for fragment in fragments:
        assert "simulated" in fragment.read_text(encoding="utf-8").lower(), fragment.name


def test_numbers_are_finite(numbers):
    assert all(value is not None and math.isfinite(value) for value in numbers.values())
