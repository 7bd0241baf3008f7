"""No helper column of the family models meets a name of the caller's."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.family import (
    DropBelowRunningMean,
    apim,
    expected_false_alarms,
    family_balance,
    family_indices,
    family_ruptures,
    one_with_many,
    rule_agreement,
    ruptures,
    split_alliance,
)

SAME = 1e-9  # the same model under other names


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(11)
    n = 40
    dyad = np.repeat(range(n), 2)
    x = rng.normal(4, 1, 2 * n).round(2)
    partner = x.reshape(-1, 2)[:, ::-1].ravel()
    y = 1 + 0.5 * x + 0.3 * partner + np.repeat(rng.normal(0, 1, n), 2) + rng.normal(0, 1, 2 * n)
    return pd.DataFrame(
        {
            "dyad": dyad,
            "role": np.tile(["w", "h"], n),
            "x": x,
            "y": y.round(3),
            "cov": rng.normal(size=2 * n).round(2),
            "kind": np.where(dyad % 2, "married", "not"),
            "t": dyad // 5,
        }
    )


def effects(data, **given):
    asked = {"dyad": "dyad", "member": "role", "outcome": "y", "predictors": "x"} | given
    return apim(data, **asked).tidy().set_index(["effect", "role"])["estimate"]


@pytest.mark.parametrize("name", ["mean_w", "actor_x_w", "partner_x_h", "position_", "c`d", "a:b"])
def test_a_covariate_of_any_name_is_a_covariate(pairs, name):
    expected = effects(pairs, covariates=["cov"])
    found = effects(pairs.rename(columns={"cov": name}), covariates=[name])
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=SAME)
    together = effects(
        pairs.rename(columns={"cov": "actor_x"}), covariates=["actor_x"], distinguishable=False
    )
    plain = effects(pairs, covariates=["cov"], distinguishable=False)
    assert together.to_numpy() == pytest.approx(plain.to_numpy(), rel=SAME)


def test_a_text_covariate_is_its_levels(pairs):
    numbers = pairs.assign(kind=(pairs["kind"] == "married") * 1)
    by_number, by_text = (effects(d, covariates=["kind"]) for d in (numbers, pairs))
    kept = ["actor", "partner"]
    assert by_text[kept].to_numpy() == pytest.approx(by_number[kept].to_numpy(), rel=SAME)
    model = apim(
        pairs, dyad="dyad", member="role", outcome="y", predictors="x", covariates=["kind"]
    ).model
    assert "kind[T.not]" in model.beta.index


@pytest.mark.parametrize("name", ["Therapeut/in", "Therapeut:in", "t|u", "a `b`", "1"])
def test_therapists_are_grouped_by_a_column_of_any_name(pairs, name):
    expected = effects(pairs, therapist="t").to_numpy()
    found = effects(pairs.rename(columns={"t": name}), therapist=name)
    assert found.to_numpy() == pytest.approx(expected, rel=SAME)


def test_two_predictors_and_roles_that_spell_the_same_helper_stay_two():
    rng = np.random.default_rng(2)
    data = pd.DataFrame(rng.normal(size=(60, 3)), columns=["x", "x_w", "y"]).round(3)
    data = data.assign(d=np.repeat(range(30), 2), r=["w_h", "h"] * 30)
    found = apim(data, dyad="d", member="r", outcome="y", predictors=["x", "x_w"])
    names = list(found.names.values())
    assert len(set(names)) == len(names) == 10
    plain = data.rename(columns={"x_w": "z"})
    other = apim(plain, dyad="d", member="r", outcome="y", predictors=["x", "z"])
    assert found.tidy()["estimate"].to_numpy() == pytest.approx(
        other.tidy()["estimate"].to_numpy(), rel=1e-6
    )


def test_one_with_many_groups_by_columns_of_any_name(pairs):
    data = pairs.assign(client=range(len(pairs)))
    plain = one_with_many(data, therapist="t", client="client", by_client="x", by_therapist="y")
    odd = data.rename(columns={"t": "Therapeut/in", "client": "K`lient"})
    found = one_with_many(
        odd, therapist="Therapeut/in", client="K`lient", by_client="x", by_therapist="y"
    )
    pd.testing.assert_frame_equal(found.tidy(), plain.tidy())
    for name in ("generalized_reciprocity_test", "dyadic_reciprocity_test"):
        assert getattr(found, name)().p_value == getattr(plain, name)().p_value


def test_family_balance_writes_over_no_column(pairs):
    rng = np.random.default_rng(5)
    data = pairs.assign(person=range(len(pairs)), in_1_=rng.normal(size=len(pairs)))
    data = pd.concat([data, data.assign(y=data["y"] + rng.normal(size=len(data)))])
    asked = {"family": "dyad", "person": "person", "spread_by": "kind"}
    plain = family_balance("y ~ x + cov", data, **asked)
    odd = data.rename(columns={"cov": "in_1_", "in_1_": "cov", "x": "person_"})
    found = family_balance("y ~ person_ + in_1_", odd, **asked)
    assert found.tidy()["estimate"].to_numpy() == pytest.approx(
        plain.tidy()["estimate"].to_numpy(), rel=SAME
    )
    assert found.deviations()["estimate"].to_numpy() == pytest.approx(
        plain.deviations()["estimate"].to_numpy(), rel=SAME
    )


def courses(seed=3):
    rng = np.random.default_rng(seed)
    rows = [
        (f"f{f}", f"f{f}-{m}", s, round(float(rng.normal(5, 1)), 1))
        for f in range(12)
        for m in "ab"
        for s in range(1, 9)
    ]
    return pd.DataFrame(rows, columns=["family", "person", "session", "score"])


def found_in(data, **names):
    asked = {"person": "person", "session": "session", "score": "score", "family": "family"}
    rule = DropBelowRunningMean(k=1, sd="within", min_before=2)
    return ruptures(data, rule=rule, **(asked | names))


def test_family_ruptures_take_categories_and_any_order_of_rows():
    data = courses()
    expected = family_ruptures(found_in(data), seed=1, n_resamples=40)
    for other in (
        data.astype({"person": "category", "family": "category"}),
        data.sample(frac=1, random_state=4),
    ):
        found = family_ruptures(found_in(other), seed=1, n_resamples=40)
        pd.testing.assert_frame_equal(found.tidy(), expected.tidy())
        assert found.null.tolist() == expected.null.tolist()
        assert found.table["who"].tolist() == expected.table["who"].tolist()


@pytest.mark.parametrize("name", ["judged", "hit"])
def test_a_family_column_of_any_name_is_the_family(name):
    expected = family_ruptures(found_in(courses()), seed=1, n_resamples=20).tidy()
    renamed = courses().rename(columns={"family": name})
    found = family_ruptures(found_in(renamed, family=name), seed=1, n_resamples=20)
    pd.testing.assert_frame_equal(found.tidy(), expected)


def test_names_of_a_tables_own_columns_are_refused():
    data = courses().rename(columns={"family": "split"})
    indices = family_indices(
        data, family="split", person="person", session="session", score="score"
    )
    with pytest.raises(DataError, match="'split'"):
        split_alliance(indices, threshold=1, sd="sample")
    data = courses().rename(columns={"family": "estimate"})
    with pytest.raises(DataError, match="'estimate'"):
        family_indices(data, family="estimate", person="person", session="session", score="score")


def test_draws_belong_to_persons_and_not_to_rows():
    data = courses()
    other = data.sample(frac=1, random_state=4)
    from alliance_stats.family import VShape

    rule = VShape(drop=1, back=0.5, within=2, sd="within")
    asked = {"person": "person", "session": "session", "score": "score", "family": "family"}
    one, two = (ruptures(d, rule=rule, **asked) for d in (data, other))
    alarms = [
        expected_false_alarms(r, error=0.5, seed=1, n_resamples=20).expected for r in (one, two)
    ]
    assert alarms[0] == alarms[1]
    agreement = [
        rule_agreement(found_in(d), r, seed=1, n_resamples=50)
        .tidy()[["conf_low", "conf_high"]]
        .to_numpy()
        for d, r in ((data, one), (other, two))
    ]
    assert agreement[0] == pytest.approx(agreement[1], rel=SAME)
