"""Outcomes after leaving as a reference arm's: the normal formulas, and shares of an effect."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError, FormulaError
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.survival import ReferenceImputation, reference_imputation
from alliance_stats.survival.unseen.completed_analyses import _of_means
from alliance_stats.survival.unseen.outcome_imputation import OutcomeImputer, imputations
from alliance_stats.survival.unseen.reference_imputation import _assumptions

DRAWS = 400
# 4 Monte Carlo standard errors of a mean of that many draws, in their SDs.
MONTE_CARLO = 4.0 / np.sqrt(DRAWS)
# Dense inverses of small, well-conditioned matrices.
EXACT = 1e-8
# Each leave-one-out fit stops within about 1e-6 of its variances.
SEARCH = 1e-4
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


def by_dense_algebra(
    model: LinearMixedModel, seen: pd.DataFrame, unseen: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return (4, n) means of the unseen given the seen, and the coefficients of data so completed.

    ``E(unseen | seen) = mean + V_us V_ss^-1 (seen - mean)``, by a dense inverse a person.
    """
    beta, s2 = model.beta.to_numpy(), model.sigma**2
    variance = model.fit.Lambda[0][0, 0] ** 2 * s2

    def mean(frame: pd.DataFrame, arm: object) -> np.ndarray:
        new = np.broadcast_to(np.asarray(arm) == "new arm", len(frame)).astype(float)
        t = frame["time"].to_numpy()
        return beta[0] + beta[1] * t + beta[2] * new + beta[3] * t * new

    expected = np.empty((4, len(unseen)))
    for person, rows in unseen.groupby("person"):
        own = seen[seen["person"] == person]
        V = np.full((len(own), len(own)), variance) + np.eye(len(own)) * s2
        weight = variance * np.ones((len(rows), len(own))) @ np.linalg.inv(V)
        pull = weight @ (own["y"].to_numpy() - mean(own, own["arm"]))
        at = own.tail(1)
        parted = mean(at, at["arm"]) - mean(at, "usual")
        usual = mean(rows, "usual")
        expected[0, rows.index] = mean(rows, rows["arm"]) + pull
        expected[1, rows.index] = usual + parted + pull
        expected[2, rows.index] = usual + weight @ (own["y"].to_numpy() - mean(own, "usual"))
        expected[3, rows.index] = usual + pull
    whole = pd.concat([seen, unseen], ignore_index=True)
    new = (whole["arm"] == "new arm").to_numpy(dtype=float)
    t = whole["time"].to_numpy()
    X = np.column_stack([np.ones(len(whole)), t, new, t * new])
    same = whole["person"].to_numpy()[:, None] == whole["person"].to_numpy()
    W = np.linalg.inv(variance * same + s2 * np.eye(len(whole)))
    y = np.array([np.concatenate([seen["y"], e]) for e in expected])
    return expected, np.linalg.solve(X.T @ W @ X, X.T @ W @ y.T).T


def test_conditional_means_and_the_estimate_are_those_of_dense_algebra(model, frames) -> None:
    seen, unseen = frames
    expected, beta = by_dense_algebra(model, seen, unseen)
    means = OutcomeImputer(model, unseen).expected()
    for k, assumption in enumerate(_assumptions(model, unseen, ("arm", "usual"), "time", "person")):
        assert_allclose(assumption.outcomes(means), expected[k], rtol=EXACT)
    found = _of_means(
        model, unseen, lambda m, u: _assumptions(m, u, ("arm", "usual"), "time", "person"), TERM
    )
    assert_allclose(found, beta[:, 3], rtol=EXACT)
    # at random, what is imputed adds nothing to what was seen
    assert_allclose(found[0], model.beta[TERM], rtol=EXACT)


def test_with_random_slopes_a_copied_reference_is_that_of_dense_algebra() -> None:
    seen, unseen = drawn(80)
    # slopes that differ, so that they are not estimated as zero
    tilt = seen["person"].str[2:].astype(int) % 7 - 3.0
    seen = seen.assign(y=seen["y"] + tilt * seen["time"])
    model = lmm("y ~ time * arm + (1 + time | person)", seen)
    D, beta = model.covariances()["person"].to_numpy(), model.beta.to_numpy()

    def usual(frame: pd.DataFrame) -> np.ndarray:
        return beta[0] + beta[1] * frame["time"].to_numpy()

    expected = np.empty(len(unseen))
    for person, rows in unseen.groupby("person"):
        own = seen[seen["person"] == person]
        Z, Z_new = (np.column_stack([np.ones(len(f)), f["time"]]) for f in (own, rows))
        V = Z @ D @ Z.T + model.sigma**2 * np.eye(len(own))
        lead = np.linalg.solve(V, own["y"].to_numpy() - usual(own))
        expected[rows.index] = usual(rows) + Z_new @ D @ Z.T @ lead
    copied = _assumptions(model, unseen, ("arm", "usual"), "time", "person")[2]
    found = copied.outcomes(OutcomeImputer(model, unseen).expected())
    assert_allclose(found, expected, rtol=EXACT)


def test_drawn_outcomes_have_the_means_of_the_normal_formulas(model, frames) -> None:
    seen, unseen = frames
    expected, _ = by_dense_algebra(model, seen, unseen)
    draws = list(imputations(model, unseen, m=DRAWS, seed=8))
    for k, assumption in enumerate(_assumptions(model, unseen, ("arm", "usual"), "time", "person")):
        values = np.array([assumption.outcomes(drawn) for drawn in draws])
        apart = (values.mean(axis=0) - expected[k]) / values.std(axis=0)
        assert_allclose(apart, 0.0, atol=1.3 * MONTE_CARLO)


def test_the_jackknife_is_that_of_persons_left_out() -> None:
    seen, unseen = drawn(24)
    model = lmm("y ~ time * arm + (1 | person)", seen)
    found = asked(model, unseen, variance="conditional mean")
    others = []
    for person in seen["person"].unique():
        rest = [f[f["person"] != person].reset_index(drop=True) for f in (seen, unseen)]
        again = lmm("y ~ time * arm + (1 | person)", rest[0])
        others.append(by_dense_algebra(again, *rest)[1][:, 3])
    spread = np.array(others)
    expected = np.sqrt(23 / 24 * ((spread - spread.mean(axis=0)) ** 2).sum(axis=0))
    table = found.tidy()
    assert_allclose(table["std_error"], expected, rtol=SEARCH)
    assert (table["df"] == 23).all()
    assert table["missing_information"].isna().all()
    assert "a jackknife's, over 24 values of 'person'" in found.summary()


def test_an_arm_that_nobody_left_changes_nothing(model, frames) -> None:
    unseen = frames[1][frames[1]["arm"] == "usual"]
    found = asked(model, unseen, n_imputations=2)
    assert found.n_moved == 0
    assert found.notes[1].startswith("Nothing is unseen but in arm = usual")
    assert_allclose(found.tidy()["estimate"], found.tidy()["estimate"][0])


def test_who_was_never_rated_jumps_by_every_method(model, frames) -> None:
    """Nothing was seen of them, so that there is no lead to keep, and no own course."""
    never = pd.DataFrame({"person": ["new"] * 3, "arm": "new arm", "time": [0.0, 1.0, 2.0]})
    never["arm"] = never["arm"].astype(frames[0]["arm"].dtype)
    means = OutcomeImputer(model, never).expected()
    found = [
        assumption.outcomes(means)
        for assumption in _assumptions(model, never, ("arm", "usual"), "time", "person")
    ]
    usual = model.beta["(Intercept)"] + model.beta["time"] * np.arange(3.0)
    for outcomes in found[1:]:
        assert_allclose(outcomes, usual, rtol=EXACT)


def test_the_reference_arm_stays_at_random(model, frames) -> None:
    usual = (frames[1]["arm"] == "usual").to_numpy()
    found = _assumptions(model, frames[1], ("arm", "usual"), "time", "person")
    for assumption in found[1:]:
        assert_allclose(assumption.moves[usual], 0.0)
    swapped = (frames[0]["arm"] == "usual").to_numpy()
    assert_allclose(found[2].swapped[swapped], 0.0)


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


def test_what_was_missed_before_the_last_outcome_seen_stays_at_random() -> None:
    """Who came back had not left; those who left later are treated as having left then."""
    seen, unseen = drawn(60)
    came_back = seen["person"].isin([f"P {p}" for p in range(0, 60, 3)]) & (seen["time"] == 1.0)
    back = came_back & seen["person"].isin(seen.loc[seen["time"] == 2.0, "person"])
    both = pd.concat([unseen, seen[back].drop(columns="y")]).sample(frac=1.0, random_state=1)
    fit = lmm("y ~ time * arm + (1 | person)", seen[~back])
    found = asked(fit, both, variance="conditional mean")
    without = asked(fit, unseen, variance="conditional mean")
    # at random, completing adds nothing: so between rows at random change the others but little
    table, other = found.tidy(), without.tidy()
    assert_allclose(table["estimate"][0], other["estimate"][0], rtol=EXACT)
    assert found.n_between == back.sum()
    assert found.n_moved == without.n_moved
    assert f"{back.sum()} unseen outcomes before the last one seen" in found.summary()
    means = OutcomeImputer(fit, both).expected()
    between = both["person"].isin(seen.loc[back, "person"]).to_numpy()
    methods = _assumptions(fit, both, ("arm", "usual"), "time", "person")
    for assumption in methods[1:]:
        assert_allclose(assumption.outcomes(means)[between], means.y[between], rtol=EXACT)
    only = asked(fit, both[between], n_imputations=2)
    assert_allclose(only.tidy()["estimate"], only.tidy()["estimate"][0], rtol=EXACT)


def test_the_jackknife_leaves_out_who_was_never_seen_too() -> None:
    seen, unseen = drawn(24)
    never = seen["person"].isin(["P 2", "P 8", "P 11"])
    unseen = pd.concat([unseen, seen[never].drop(columns="y")], ignore_index=True)
    unseen = unseen[~unseen["person"].isin(["P 2", "P 8", "P 11"]) | (unseen["time"] == 2.0)]
    unseen = unseen.reset_index(drop=True)
    seen = seen[~never].reset_index(drop=True)
    model = lmm("y ~ time * arm + (1 | person)", seen)
    found = asked(model, unseen, variance="conditional mean", term="arm[T.new arm]")
    options = lambda m, u: _assumptions(m, u, ("arm", "usual"), "time", "person")  # noqa: E731
    everyone = pd.unique(pd.concat([seen["person"], unseen["person"]]))
    spread = np.array(
        [
            _of_means(
                lmm("y ~ time * arm + (1 | person)", seen[seen["person"] != person]),
                unseen[unseen["person"] != person],
                options,
                "arm[T.new arm]",
            )
            for person in everyone
        ]
    )
    n = len(everyone)
    expected = np.sqrt((n - 1) / n * ((spread - spread.mean(axis=0)) ** 2).sum(axis=0))
    assert_allclose(found.tidy()["std_error"], expected, rtol=SEARCH)
    assert (found.tidy()["df"] == n - 1).all()


def test_ids_that_repeat_in_families_are_read_as_the_model_nests_them() -> None:
    seen, unseen = drawn(60)
    model = lmm("y ~ time * arm + (1 | person)", seen)
    inside = [
        f.assign(
            family=f["person"].str[2:].astype(int) // 2,
            role=np.where(f["person"].str[2:].astype(int) % 2, "mother of one", "child"),
        ).drop(columns="person")
        for f in (seen, unseen)
    ]
    # the same arms as before, so that one role is in one arm and its ids repeat unnoticed
    nested = lmm("y ~ time * arm + (1 | family:role)", inside[0])
    options = {"variance": "rubin", "n_imputations": 3}
    expected = _assumptions(model, unseen, ("arm", "usual"), "time", "person")
    found = _assumptions(nested, inside[1], ("arm", "usual"), "time", "role")
    for one, two in zip(expected[1:], found[1:], strict=True):
        assert_allclose(two.moves, one.moves)
    assert asked(nested, inside[1], unit="role", **options).n_moved > 0


def test_an_unseen_row_without_an_id_is_refused(model, frames) -> None:
    with pytest.raises(DataError, match="'person'"):
        asked(model, frames[1].assign(person=None))
