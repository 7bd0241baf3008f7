"""Several outcomes at once: what is found, said and refused."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import lmm
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.panel import several_outcomes
from alliance_stats.sentences import report
from tests.unit.test_panel_cross_lagged import simulate

SEARCH = 2e-6  # relative: two searches end within this of one another
NAMES = {"outcomes": ["alliance", "symptoms"], "person": "person", "session": "session"}
DATA = simulate(phi=np.zeros((2, 2)), n=150, seed=11)


@pytest.fixture(scope="module")
def found():
    return several_outcomes(DATA, nested_in=["therapist"], **NAMES)


def test_a_correlation_for_each_level(found):
    table = found.tidy()
    assert table["level"].tolist() == ["within person", "person", "therapist"]
    assert (table["conf_low"] < table["estimate"]).all()
    assert (table["estimate"] < table["conf_high"]).all()
    covariances = found.random_effects().set_index(["level", "outcome", "other"])
    between = covariances.loc[("person", "symptoms", "alliance")]
    assert table.set_index("level").loc["person", "estimate"] == pytest.approx(
        between["correlation"]
    )


def test_outcomes_that_have_nothing_in_common_are_two_mixed_models():
    rng = np.random.default_rng(2)
    apart = DATA.dropna().assign(symptoms=lambda d: rng.normal(size=len(d)))
    one_by_one = [
        lmm(f"{name} ~ 0 + C(session) + (1 | therapist/person)", apart) for name in ("alliance",)
    ]
    both = several_outcomes(apart, nested_in=["therapist"], **NAMES)
    alone = one_by_one[0].tidy()["estimate"].to_numpy()
    means = both.means().query("outcome == 'alliance'")["estimate"].to_numpy()
    np.testing.assert_allclose(means, alone, atol=0.02)


def test_restricted_likelihood_does_not_depend_on_units(found):
    other = several_outcomes(
        DATA.assign(symptoms=1000 * DATA["symptoms"] - 3), nested_in=["therapist"], **NAMES
    )
    n, means = DATA["symptoms"].notna().sum(), DATA["session"].nunique()
    assert other.model.log_lik == pytest.approx(
        found.model.log_lik - (n - means) * np.log(1000), rel=1e-10
    )
    for column in ("estimate", "conf_low", "std_error"):
        np.testing.assert_allclose(other.tidy()[column], found.tidy()[column], rtol=SEARCH)


def test_swapped_outcomes_permute(found):
    swapped = several_outcomes(
        DATA, nested_in=["therapist"], **{**NAMES, "outcomes": ["symptoms", "alliance"]}
    )
    np.testing.assert_allclose(swapped.tidy()["estimate"], found.tidy()["estimate"], rtol=SEARCH)
    assert swapped.model.log_lik == pytest.approx(found.model.log_lik, rel=1e-10)


def test_a_session_that_nobody_rated_has_no_mean():
    without = DATA[DATA["session"] != 3]
    for reml in (True, False):
        gap = several_outcomes(without, reml=reml, **NAMES)
        closed = several_outcomes(
            without.assign(session=without["session"] - (without["session"] > 3)),
            reml=reml, **NAMES,
        )  # fmt: skip
        assert gap.model.log_lik == pytest.approx(closed.model.log_lik, rel=1e-10)
        assert len(gap.means()) == len(closed.means()) == 10


def test_two_sessions_are_enough_where_nothing_carries_over():
    early = DATA[DATA["session"] <= 2]
    assert several_outcomes(early, **NAMES).glance()["converged"].item()
    with pytest.raises(NotIdentifiedError, match="one session"):
        several_outcomes(DATA[DATA["session"] == 1], **NAMES)


def test_growth_has_slopes_that_go_together():
    rng = np.random.default_rng(4)
    slope = rng.normal(size=150) * 0.5
    of_person = slope[DATA["person"]] * (DATA["session"] - 1)
    growing = DATA.assign(
        alliance=DATA["alliance"] + of_person, symptoms=DATA["symptoms"] - of_person
    )
    table = several_outcomes(growing, growth="linear", means="linear", **NAMES).tidy()
    pair = table[
        (table["outcome"] == "symptoms per session") & (table["other"] == "alliance per session")
    ]
    assert pair["estimate"].item() < -0.8


def test_a_level_without_variance_has_no_correlation():
    rng = np.random.default_rng(1)
    flat = DATA.assign(alliance=rng.normal(size=len(DATA)), symptoms=rng.normal(size=len(DATA)))
    found = several_outcomes(flat, nested_in=["therapist"], **NAMES)
    assert found.glance()["singular"].item()
    assert any("boundary" in note for note in found.notes)
    assert "nan" not in report(found).lower()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"outcomes": ["alliance"]}, NotIdentifiedError, "One outcome"),
        ({"outcomes": ["alliance", "simptoms"]}, DataError, "symptoms"),
        ({"growth": "quadratic"}, ValueError, "growth must be one of"),
        ({"means": "weekly"}, ValueError, "means must be one of"),
        ({"outcomes": ["alliance", "alliance"]}, DataError, "two roles"),
    ],
)
def test_refused(options, error, message):
    with pytest.raises(error, match=message):
        several_outcomes(DATA, **{**NAMES, **options})


def test_an_empty_table_is_refused():
    with pytest.raises(DataError):
        several_outcomes(DATA.head(0), **NAMES)


def test_summary_and_report_name_the_levels(found):
    assert "within person" in found.summary()
    assert "therapist" in report(found)
    assert isinstance(found.glance(), pd.DataFrame)
