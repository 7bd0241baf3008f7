"""What summaries say of designs with few units is what simulated studies of them found."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import glmm, lmm, ordinal
from alliance_stats.formatting import format_percent
from alliance_stats.multilevel.few_units import ROBUST, covered, rejection_rates
from tests.simulation.family_coverage import study as family_study
from tests.simulation.few_therapists import PAGE, page, study

# Studies that a rate in print must rest on.
STUDIES = 2000


def notes(data: pd.DataFrame, formula: str = "", **how) -> list[str]:
    model = lmm(formula or "y ~ experience + treated + (1 | therapist/person)", data, **how)
    return [note for note in model.notes if "told" in note]


@pytest.mark.parametrize(("n", "nearest"), [(4, 6), (7, 8), (12, 15), (30, 30)])
@pytest.mark.parametrize("balanced", [True, False])
def test_the_nearest_design_is_quoted(n, nearest, balanced):
    own, within = notes(study(np.random.default_rng(3), n, balanced=balanced))
    table = rejection_rates()
    table = table[table["sizes"] == ("equal" if balanced else "2 to 20")]
    cell = table[(table["effect"] == "experience") & (table["therapists"] == nearest)]
    for method, name in (("Satterthwaite", "Satterthwaite's"), ("permutation", "permutation_test")):
        row = cell[cell["method"] == method].iloc[0]
        assert f"{name} in {format_percent(row['rejected'] / row['studies'], 1)}" in own
    assert own.startswith(f"experience: told by {n} units of therapist")
    assert ("fewer than were simulated" in own) is (n < 6)
    assert within.startswith(f"treated: told within {n} units of therapist")


def test_a_test_that_rejects_too_often_is_not_trusted():
    own, _ = notes(study(np.random.default_rng(3), 6, balanced=False))
    assert "Satterthwaite's" not in own.split("trust")[1]
    assert "permutation_test" in own.split("trust")[1]


def test_only_tests_on_offer_are_named():
    data = study(np.random.default_rng(3), 8, balanced=True)
    assert not any("Kenward" in note for note in notes(data, reml=False))
    crossed = data.assign(room=np.random.default_rng(1).integers(0, 9, len(data)))
    found = notes(crossed, "y ~ experience + treated + (1 | therapist) + (1 | room)")
    assert found
    assert not any("permutation" in note or "CR2" in note for note in found)


def test_many_units_need_no_advice():
    data = study(np.random.default_rng(3), 31, balanced=True)
    assert notes(data) == []


def test_the_page_shows_the_table():
    assert PAGE.read_text(encoding="utf-8") == page(rejection_rates())


def test_every_rate_rests_on_many_studies():
    table = rejection_rates()
    assert table["studies"].min() >= STUDIES
    assert (table["undefined"] == 0).all()


def test_generalized_models_of_few_units_say_what_was_simulated():
    data = family_study("poisson", 9, 4)
    model = glmm("y ~ x + own + (1 | unit)", data, family="poisson")
    counts = covered()
    own = counts[counts["effect"] == "between"].sum(numeric_only=True)
    note = model.notes[-1]
    assert note.startswith(
        f"9 units of unit: in {own['studies']:,.0f} simulated studies of 15 units"
    )
    assert "of an effect of units (own) held the truth in " in note
    assert f"in {100 * own['held_0.95'] / own['studies']:.0f}%, those at the 98% level" in note
    assert "those of vcov=CR2('unit') in 97%, 95%, 95% with 10, 15, 30 units; 95% profile" in note
    alone = glmm("y ~ x + (1 | unit)", data, family="poisson")
    assert "effect of units" not in alone.notes[-1]
    steps = ordinal("y ~ x + own + (1 | unit)", family_study("ordinal", 9, 4))
    assert steps.notes[-1] == note
    many = glmm("y ~ x + own + (1 | unit)", family_study("poisson", 21, 4), family="poisson")
    wide = counts[counts["effect"] != ROBUST].filter(like="held_")
    assert not any("simulated" in said for said in many.notes)
    assert (wide.diff(axis=1) >= 0).iloc[:, 1:].all(axis=None)
