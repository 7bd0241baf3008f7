"""Outcomes after leaving as a reference arm's: the normal formulas, and shares of an effect."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError, FormulaError
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.survival import ReferenceImputation, reference_imputation
from alliance_stats.survival.unseen.outcome_imputation import imputations
from alliance_stats.survival.unseen.reference_imputation import _moves

DRAWS = 400
# 4 Monte Carlo standard errors of a mean of that many draws, in their SDs.
MONTE_CARLO = 4.0 / np.sqrt(DRAWS)
TERM = "time:arm[T.new arm]"


def drawn(n: int = 240, effect: float = -4.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw two arms with three waves, of which a third misses the last or the last two."""
    rng = np.random.default_rng(15)
    person = np.repeat(np.arange(n), 3)
    time = np.tile([0.0, 1.0, 2.0], n)
    arm = np.where(person % 2 == 0, "new arm", "usual")
    own = rng.normal(0, 3, n)[person]
    y = 50 + own - time + effect * time * (arm == "new arm") / 2 + rng.normal(0, 2, 3 * n)
    data = pd.DataFrame({"person": [f"P {p}" for p in person], "arm": arm, "time": time, "y": y})
    data["arm"] = pd.Categorical(data["arm"], ["usual", "new arm"])
    last = rng.choice([0.0, 1.0, 2.0], n, p=[0.15, 0.2, 0.65])[person]
    there = time <= last
    return data[there].reset_index(drop=True), data[~there].drop(columns="y").reset_index(drop=True)


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    return drawn()


@pytest.fixture(scope="module")
def model(frames: tuple[pd.DataFrame, pd.DataFrame]) -> LinearMixedModel:
    return lmm("y ~ time * arm + (1 | person)", frames[0])


def asked(model: LinearMixedModel, unseen: pd.DataFrame, **changed: object) -> ReferenceImputation:
    options = {
        "term": TERM, "group": "arm", "reference": "usual", "time": "time", "unit": "person",
        "seed": 3, "n_imputations": 30,
    }  # fmt: skip
    return reference_imputation(model, unseen, **(options | changed))


def test_drawn_outcomes_have_the_means_of_the_normal_formulas(model, frames) -> None:
    """E(unseen | seen) = reference mean + V_us V_ss^-1 (seen - own mean), by a dense inverse."""
    seen, unseen = frames
    moves, _ = _moves(model, unseen, ("arm", "usual"), "time", "person")
    draws = list(imputations(model, unseen, m=DRAWS, seed=8))
    beta = model.beta.to_numpy()
    variance = model.fit.Lambda[0][0, 0] ** 2 * model.sigma**2

    def mean(frame: pd.DataFrame, arm: object) -> np.ndarray:
        new = np.broadcast_to(np.asarray(arm) == "new arm", len(frame)).astype(float)
        t = frame["time"].to_numpy()
        return beta[0] + beta[1] * t + beta[2] * new + beta[3] * t * new

    expected = np.empty((2, len(unseen)))
    for person, rows in unseen.groupby("person"):
        own = seen[seen["person"] == person]
        V = np.full((len(own), len(own)), variance) + np.eye(len(own)) * model.sigma**2
        pull = (
            variance
            * np.ones((len(rows), len(own)))
            @ np.linalg.solve(V, own["y"].to_numpy() - mean(own, own["arm"]))
        )
        at = own.tail(1)
        parted = mean(at, at["arm"]) - mean(at, "usual")
        expected[0, rows.index] = mean(rows, "usual") + parted + pull
        expected[1, rows.index] = mean(rows, "usual") + pull
    for k, move in enumerate(moves[1:]):
        values = np.array([y + move @ b for y, b in draws])
        apart = (values.mean(axis=0) - expected[k]) / values.std(axis=0)
        assert_allclose(apart, 0.0, atol=1.3 * MONTE_CARLO)


def test_the_reference_arm_stays_at_random(model, frames) -> None:
    moves, moved = _moves(model, frames[1], ("arm", "usual"), "time", "person")
    usual = (frames[1]["arm"] == "usual").to_numpy()
    assert not moved[usual].any()
    for move in moves:
        assert_allclose(move[usual], 0.0)


def test_of_an_effect_that_left_only_part_stays(model, frames) -> None:
    found = asked(model, frames[1]).tidy().set_index("method")["estimate"]
    assert found["missing at random"] < found["copy increments"] < found["jump to reference"] < 0
    # at random it is what the likelihood of the seen outcomes says
    plain = model.tidy().set_index("term").loc[TERM, "estimate"]
    assert_allclose(found["missing at random"], plain, atol=0.15)


def test_with_two_waves_it_is_the_share_of_those_who_stayed() -> None:
    """Jump: (stayed x last difference) - first; copy: stayed x (last difference - first)."""
    seen, unseen = drawn(600)
    seen, unseen = (d[d["time"] != 1.0].reset_index(drop=True) for d in (seen, unseen))
    model = lmm("y ~ time * arm + (1 | person)", seen)
    found = asked(model, unseen).tidy().set_index("method")["estimate"]
    beta = model.beta
    first, last = beta["arm[T.new arm]"], beta["arm[T.new arm]"] + 2 * beta[TERM]
    n = (seen["arm"] == "new arm") & (seen["time"] == 2.0)
    stayed = n.sum() / ((seen["arm"] == "new arm") & (seen["time"] == 0.0)).sum()
    assert_allclose(found["jump to reference"], (stayed * last - first) / 2, atol=0.2)
    assert_allclose(found["copy increments"], stayed * (last - first) / 2, atol=0.2)


def test_refusals(model, frames) -> None:
    unseen = frames[1]
    with pytest.raises(DataError, match="no 'usuel'"):
        asked(model, unseen, reference="usuel")
    with pytest.raises(FormulaError, match="no coefficient 'arm'"):
        asked(model, unseen, term="arm")
    with pytest.raises(FormulaError, match="no 'clinic'"):
        asked(model, unseen.assign(clinic=1), group="clinic")
    crossed = unseen.copy()
    crossed["arm"] = crossed["arm"].cat.rename_categories({"usual": "new arm", "new arm": "usual"})
    with pytest.raises(DataError, match="several values of 'arm'"):
        asked(model, crossed)
    with pytest.raises(ValueError, match="at least 2"):
        asked(model, unseen, n_imputations=1)


def test_the_seed_decides(model, frames) -> None:
    one, two = (asked(model, frames[1], n_imputations=3).tidy() for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
