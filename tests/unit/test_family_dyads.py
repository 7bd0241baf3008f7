"""Dyads: closed forms of both models, k, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.family import apim, one_with_many

NAMES = {"dyad": "dyad", "member": "role", "outcome": "y", "predictors": "x"}
MANY = {
    "therapist": "therapist",
    "client": "client",
    "by_client": "by_client",
    "by_therapist": "by_therapist",
}
# both sides solve the same equations; ours stops where its gradient is flat
CLOSED_FORM = 1e-5
# 200,000 draws leave a quantile good to about half a percent of the interval's width
MONTE_CARLO = 0.01


def couples(n: int = 40, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], n)
    e = rng.multivariate_normal([0, 0], [[0.5, 0.2], [0.2, 0.5]], n)
    y = 4 + 0.6 * x + 0.3 * x[:, ::-1] + e
    frame = pd.DataFrame({"dyad": np.repeat(np.arange(n), 2), "role": ["child", "mother"] * n})
    return frame.assign(x=x.ravel(), y=y.ravel(), therapist=np.repeat(np.arange(n) % 5, 2))


def many(n_therapists: int = 15, n_clients: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    t = rng.multivariate_normal([0, 0], [[0.5, 0.2], [0.2, 0.5]], n_therapists)
    e = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 0.6]], (n_therapists, n_clients))
    y = (5 + t[:, None] + e).reshape(-1, 2)
    return pd.DataFrame(
        {
            "therapist": np.repeat(np.arange(n_therapists), n_clients),
            "client": np.arange(len(y)),
            "by_client": y[:, 0],
            "by_therapist": y[:, 1],
        }
    )


def test_indistinguishable_effects_are_those_of_sums_and_differences():
    data = couples()
    wide = data.pivot_table(index="dyad", columns="role", values=["x", "y"])
    x, y = wide["x"].to_numpy(), wide["y"].to_numpy()
    together = np.polyfit(x.sum(axis=1), y.sum(axis=1), 1)[0]  # a + p
    dx, dy = x[:, 0] - x[:, 1], y[:, 0] - y[:, 1]
    apart = (dx @ dy) / (dx @ dx)  # a - p
    found = apim(data, distinguishable=False, **NAMES).tidy().set_index("effect")["estimate"]
    assert found["actor"] == pytest.approx((together + apart) / 2, rel=CLOSED_FORM)
    assert found["partner"] == pytest.approx((together - apart) / 2, rel=CLOSED_FORM)


def test_roles_may_be_named_otherwise_and_rows_stand_in_any_order():
    data = couples()
    first = apim(data, **NAMES).tidy()
    renamed = data.sample(frac=1, random_state=2).replace(
        {"mother": "a mother", "child": "x child"}
    )
    second = apim(renamed, **NAMES).tidy()
    swapped = second.iloc[[3, 4, 5, 0, 1, 2]]["estimate"]
    np.testing.assert_allclose(first["estimate"], swapped, rtol=CLOSED_FORM)


def test_k_is_the_ratio_with_a_monte_carlo_interval_against_fieller():
    model = apim(couples(200), distinguishable=False, **NAMES)
    k = model.k(seed=1, n_resamples=200_000).iloc[0]
    beta, V = model.model.beta, model.model.vcov().to_numpy()
    a, p = beta["actor_x"], beta["partner_x"]
    assert k["estimate"] == pytest.approx(p / a)
    # Fieller's limits: roots of (p - k a)^2 = z^2 (V_pp - 2 k V_ap + k^2 V_aa)
    z2 = 1.959964**2
    Vaa, Vap, Vpp = V[1, 1], V[1, 2], V[2, 2]
    roots = np.roots([a**2 - z2 * Vaa, -2 * (a * p - z2 * Vap), p**2 - z2 * Vpp])
    width = np.ptp(roots)
    assert k["conf_low"] == pytest.approx(roots.min(), abs=MONTE_CARLO * width)
    assert k["conf_high"] == pytest.approx(roots.max(), abs=MONTE_CARLO * width)
    pd.testing.assert_series_equal(k, model.k(seed=1, n_resamples=200_000).iloc[0])


def test_k_is_not_defined_where_there_is_no_actor_effect():
    data = couples()
    data["y"] = np.random.default_rng(5).standard_normal(len(data))
    k = apim(data, **NAMES).k(seed=1)
    assert not k["defined"].any()
    assert k[["estimate", "conf_low", "conf_high"]].isna().all(axis=None)


def test_a_member_without_partner_stays_out_and_is_counted():
    data = couples()
    found = apim(data.drop(index=3), **NAMES)
    assert found.rows.n_set_aside == 1
    assert found.glance()["n_dyads"].tolist() == [39]
    assert "Residual correlation" in found.summary()


def test_a_duplicated_index_and_covariates_do_no_harm():
    data = couples().assign(age=lambda d: np.sin(d["dyad"]))
    doubled = data.set_index(np.zeros(len(data), dtype=int))
    first = apim(data, covariates=["age"], **NAMES).tidy()
    second = apim(doubled, covariates=["age"], **NAMES).tidy()
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.concat([couples(), couples().head(1)]), "'0' has several rows of 'child'"),
        (
            couples().assign(role=["child", "mother", "father", "mother"] * 20),
            "found 'child', 'father'",
        ),
        (
            couples().assign(dyad=np.arange(80) // 4, role=np.arange(80), therapist=1),
            "has 4 members",
        ),
        (couples().assign(therapist=np.arange(80)), "'therapist' differs within 'dyad' '0'"),
        (couples().assign(dyad=None), "'dyad' is missing"),
    ],
)
def test_bad_dyads_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        apim(data.reset_index(drop=True), therapist="therapist", **NAMES)


def test_a_predictor_of_the_dyad_has_no_actor_and_partner_effect():
    data = couples().assign(x=lambda d: np.cos(d["dyad"]))
    with pytest.raises(NotIdentifiedError, match=r"partner_x.*give it with covariates="):
        apim(data, **NAMES)


def test_people_without_roles_have_no_test_of_distinguishability():
    data = couples().assign(role=lambda d: "member " + d.index.astype(str))
    with pytest.raises(DataError, match="no roles that could make a difference"):
        apim(data, distinguishable=False, **NAMES).distinguishability()


def test_balanced_one_with_many_is_the_analysis_of_variance():
    data, n = many(), 4
    y = data[["by_client", "by_therapist"]].to_numpy().reshape(15, n, 2)
    means = y.mean(axis=1)
    left = (y - means[:, None]).reshape(-1, 2)
    within = left.T @ left / (15 * (n - 1))
    between = np.cov(means.T) - within / n
    found = one_with_many(data, **MANY)
    table = found.tidy().set_index(["source", "level"])
    assert table.loc[("client", "therapist"), "estimate"] == pytest.approx(
        between[0, 0], rel=CLOSED_FORM
    )
    assert table.loc[("therapist", "dyad"), "estimate"] == pytest.approx(
        within[1, 1], rel=CLOSED_FORM
    )
    assert table.loc[("both", "therapist"), "estimate"] == pytest.approx(
        between[0, 1] / np.sqrt(between[0, 0] * between[1, 1]), rel=CLOSED_FORM
    )
    assert table.loc[("both", "dyad"), "estimate"] == pytest.approx(
        within[0, 1] / np.sqrt(within[0, 0] * within[1, 1]), rel=CLOSED_FORM
    )
    share = between[0, 0] / (between[0, 0] + within[0, 0])
    assert table.loc[("client", "therapist"), "share"] == pytest.approx(share, rel=CLOSED_FORM)


def test_tests_of_reciprocity_and_bootstrap_intervals():
    found = one_with_many(many(), **MANY)
    dyadic = found.dyadic_reciprocity_test()
    assert (dyadic.df, dyadic.reference) == (1, "chi-squared with 1 df")
    general = found.generalized_reciprocity_test()
    assert (general.df, general.reference) == (1, "chi-squared with 1 df")
    drawn = found.bootstrap(seed=1, n_resamples=20).tidy().set_index("term")
    low, high = drawn.loc["dyadic reciprocity", ["conf_low", "conf_high"]]
    assert low < found.tidy()["estimate"].iloc[-1] < high
    assert "dyadic reciprocity" in found.summary()


def test_a_fit_on_the_boundary_says_so():
    data = many()
    data["by_client"] -= data.groupby("therapist")["by_client"].transform("mean")
    found = one_with_many(data, **MANY)
    assert found.tidy()["boundary"].tolist() == [True, False, True, False, True, False]
    assert found.summary().startswith("Boundary (singular) fit")
    assert not one_with_many(many(), **MANY).tidy()["boundary"].any()


def test_bad_one_with_many_data_are_refused():
    data = many()
    with pytest.raises(DataError, match=r"'0' \(column 'client'\) has several rows"):
        one_with_many(pd.concat([data, data.head(1)], ignore_index=True), **MANY)
    with pytest.raises(NotIdentifiedError, match="Every 'therapist' has one client"):
        one_with_many(data.assign(therapist=data["client"]), **MANY)
    with pytest.raises(DataError, match="'therapist' is missing in row 0"):
        one_with_many(data.assign(therapist=data["therapist"].where(data.index > 0)), **MANY)
