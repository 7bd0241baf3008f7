"""Correlations and analyses of variance at the door and on numbers done by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import (
    anova,
    correlation_difference,
    correlations,
    estimated_means,
    mixed_anova,
    r_squared,
    regression,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.figures import correlation_figure, residual_figure
from alliance_stats.tables import correlation_table

DATA = pd.DataFrame(
    {
        "a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "b": [2.0, 1.0, 4.0, 3.0, 6.0, 5.0],
        "c": [1.0, np.nan, 2.0, 2.0, 3.0, 5.0],
        "flat": [3.0] * 6,
        "g": ["x", "x", "x", "y", "y", "y"],
    }
)
HAND = 1e-12  # a closed form on both sides


def test_pairs_use_their_own_complete_rows() -> None:
    table = correlations(DATA, ["a", "b", "c"]).tidy()
    assert list(table["n"]) == [6, 5, 5]
    assert table["estimate"].iloc[0] == pytest.approx(29.0 / 35.0, rel=HAND)
    listwise = correlations(DATA, ["a", "b", "c"], missing="listwise")
    assert list(listwise.tidy()["n"]) == [5, 5, 5]
    assert listwise.rows.n_set_aside == 1


def test_true_scores_correlate_by_the_root_of_both_reliabilities() -> None:
    row = correlations(DATA, ["a", "b"], reliability={"a": 0.81, "b": 0.64}).tidy().iloc[0]
    assert row["disattenuated"] == pytest.approx(row["estimate"] / 0.72, rel=HAND)


def test_the_unit_of_measurement_does_not_matter() -> None:
    plain = correlations(DATA, ["a", "b"]).tidy()
    for factor in (1e-200, 1e-4, 1e5, 1e150):
        other = correlations(DATA.assign(a=DATA["a"] * factor), ["a", "b"]).tidy()
        pd.testing.assert_frame_equal(plain, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("error", "match", "asked"),
    [
        (DataError, "no column 'alliace'", {"variables": ["a", "alliace"]}),
        (DataError, "two variables or more", {"variables": ["a"]}),
        (DataError, "named twice", {"variables": ["a", "a"]}),
        (NotIdentifiedError, "'flat' is 3 in all", {"variables": ["a", "flat"]}),
        (DataError, "must be numeric", {"variables": ["a", "g"]}),
        (DataError, "Kendall", {"variables": ["a", "b"], "method": "kendall", "partial": "c"}),
        (ValueError, "method must be", {"variables": ["a", "b"], "method": "pearsons"}),
        (DataError, "reliability", {"variables": ["a", "b"], "reliability": {"a": 1.2}}),
    ],
)
def test_what_cannot_be_is_refused(error: type, match: str, asked: dict[str, object]) -> None:
    with pytest.raises(error, match=match):
        correlations(DATA, **asked)


def test_two_groups_or_two_pairs() -> None:
    with pytest.raises(DataError, match="not both"):
        correlation_difference(DATA, ("a", "b"))
    with pytest.raises(NotIdentifiedError, match="complete pairs"):
        correlation_difference(DATA, ("a", "b"), group="g")
    with pytest.raises(DataError, match="the same correlation"):
        correlation_difference(DATA, ("a", "b"), ("b", "a"))


LONG = pd.DataFrame(
    {
        "person": np.repeat(["p1", "p2", "p3", "p4"], 2),
        "time": ["before", "after"] * 4,
        "group": np.repeat(["x", "y"], 4),
        "score": [5.0, 3.0, 6.0, 5.0, 4.0, 4.0, 7.0, 4.0],
    }
)


def test_two_occasions_are_a_paired_t_test() -> None:
    found = anova(LONG, outcome="score", within="time", person="person")
    d = np.array([-2.0, -1.0, 0.0, -3.0])
    t = d.mean() / (d.std(ddof=1) / 2.0)
    assert found.tidy()["statistic"].iloc[0] == pytest.approx(t**2, rel=1e-12)
    planned = found.planned("time", {"change": {"after": 1, "before": -1}}).iloc[0]
    assert planned["estimate"] == pytest.approx(d.mean(), rel=HAND)
    assert planned["statistic"] == pytest.approx(t, rel=1e-12)


def test_a_person_without_a_cell_is_set_aside_whole_and_said() -> None:
    found = anova(LONG.iloc[:-1], outcome="score", within="time", person="person")
    assert len(found.scores) == 3
    assert "mixed model" in found.summary().splitlines()[0]
    assert found.rows.n_used == 6


@pytest.mark.parametrize(
    ("error", "match", "asked"),
    [
        (DataError, "at least one factor", {}),
        (DataError, "need person=", {"within": "time"}),
        (DataError, "two parts", {"within": "time", "between": "time", "person": "person"}),
        (DataError, "several rows", {"between": "group", "person": "person"}),
        (DataError, "appears twice", {"within": "group", "person": "group2"}),
        (NotIdentifiedError, "one level", {"between": "one"}),
    ],
)
def test_designs_that_cannot_be(error: type, match: str, asked: dict[str, object]) -> None:
    data = LONG.assign(one="a", group2=["q", "q", "r", "r"] * 2)
    with pytest.raises(error, match=match):
        anova(data, outcome="score", **asked)


def test_a_combination_of_levels_without_a_person_is_refused() -> None:
    data = pd.DataFrame(
        {
            "u": ["a", "a", "a", "b", "b", "b"],
            "v": ["c", "c", "d", "d", "d", "d"],
            "y": [1.0, 2.0, 4.0, 3.0, 6.0, 5.0],
        }
    )
    with pytest.raises(NotIdentifiedError, match="combination of levels has no person"):
        anova(data, outcome="y", between=["u", "v"])


ROWS = pd.DataFrame(
    {
        "y": [1.0, 2.0, 2.5, 4.0, 5.5, 5.0, 7.0, 8.5],
        "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
        "z": [2.0, np.nan, 1.0, 4.0, 3.0, 5.0, 2.0, 1.0],
        "hit": [0, 0, 0, 0, 1, 1, 1, 1],
        "one": ["a"] * 8,
        "g": ["p", "p", "q", "q", "r", "r", "s", "s"],
    }
)


def test_all_steps_use_the_rows_of_the_whole_model() -> None:
    table = regression("y ~ x + z", ROWS, steps=["x", "z"]).step_table()
    alone = regression("y ~ x", ROWS.dropna()).glance()["r2"].iloc[0]
    assert table["r2"].iloc[0] == pytest.approx(alone, rel=1e-10)


@pytest.mark.parametrize(
    ("error", "match", "asked"),
    [
        (FormulaError, "random term", {"formula": "y ~ x + (1 | g)"}),
        (FormulaError, "no such column", {"formula": "y ~ xx"}),
        (FormulaError, "does not have", {"formula": "y ~ x", "steps": ["z"]}),
        (FormulaError, "list of blocks", {"formula": "y ~ x", "steps": "x"}),
        (NotIdentifiedError, "Separation", {"formula": "hit ~ x", "family": "logistic"}),
        (NotIdentifiedError, "one cluster", {"formula": "y ~ x", "cluster": "one"}),
        (NotIdentifiedError, "one level", {"formula": "y ~ one"}),
        (DataError, "no column 'gg'", {"formula": "y ~ x", "cluster": "gg"}),
        (DataError, "0 or 1|0/1", {"formula": "y ~ x", "family": "logistic"}),
        (ValueError, "family must be", {"formula": "y ~ x", "family": "normal"}),
    ],
)
def test_regressions_that_cannot_be(error: type, match: str, asked: dict[str, object]) -> None:
    options = dict(asked)
    with pytest.raises(error, match=match):
        regression(str(options.pop("formula")), ROWS, **options)


def test_a_regression_with_clusters_refuses_what_it_has_not() -> None:
    model = regression("y ~ x", ROWS)
    with pytest.raises(ValueError, match="give cluster="):
        model.tidy(vcov="CR2")
    with pytest.raises(ValueError, match="linear mixed models"):
        estimated_means(model, "x", at={"x": [2.0]}, df_method="kenward-roger")


@pytest.mark.parametrize(
    ("error", "match", "outcome"),
    [
        (DataError, "without an order", "text"),
        (NotIdentifiedError, "three or more", "hit"),
        (FormulaError, "one column as it is", "log(y)"),
        (NotIdentifiedError, "runs off", "told"),
    ],
)
def test_outcomes_that_have_no_order(error: type, match: str, outcome: str) -> None:
    data = ROWS.assign(text=list("abcabcab"), told=[1, 1, 1, 2, 2, 3, 3, 3])
    with pytest.raises(error, match=match):
        regression(f"{outcome} ~ x", data, family="ordinal")


def test_categories_that_nobody_used_are_no_thresholds() -> None:
    order = ["never", "low", "middle", "high"]
    values = pd.Categorical(
        ["low", "middle", "low", "high", "middle", "low", "high", "middle"], order, ordered=True
    )
    model = regression("c ~ x", ROWS.assign(c=values), family="ordinal")
    assert model.categories == ("low", "middle", "high")
    assert list(model.predict(ROWS).columns) == ["low", "middle", "high"]


def test_the_table_of_correlations_prints_both_levels_and_reliabilities() -> None:
    plain = correlations(DATA, ["a", "b", "c"], reliability={"a": 0.9})
    table = correlation_table(plain, label="tbl-r", caption="Ratings")
    assert list(table.frame.columns) == ["Variable", "n", "M", "SD", "1", "2"]
    assert table.frame["1"].tolist()[0] == "(.90)"
    assert table.frame["1"].tolist()[1].startswith(".83")
    assert "* p < .05" in table.note
    exact = correlation_table(plain, label="tbl-r", caption="Ratings", p_values="exact")
    assert "(.0" in exact.frame["1"].iloc[1]
    units = pd.DataFrame({"u": np.repeat(list("pqrs"), 3), "x": np.arange(12.0) % 5})
    units["y"] = np.arange(12.0) % 7
    both = correlations(units, ["x", "y"], within="u")
    shown = correlation_table(both, label="tbl-b", caption="Levels")
    assert shown.frame.loc[0, "2"]
    assert shown.frame.loc[1, "1"]
    assert "Below the diagonal within u, above it between u." in shown.note


def test_an_offset_is_refused_and_steps_without_a_constant_count_their_df() -> None:
    with pytest.raises(FormulaError, match=r"offset\(\) is for logistic and Poisson"):
        regression("y ~ x + offset(z)", ROWS)
    table = regression("y ~ 0 + x + z", ROWS, steps=["x", "z"]).step_table()
    assert list(table["df1"]) == [1.0, 1.0]


def test_residuals_of_a_regression_are_drawn_in_residual_sds() -> None:
    model = regression("y ~ x", ROWS)
    drawn = residual_figure(model, outcome_label="y (points)").data
    own = drawn[drawn["part"] == "residual"]["estimate"].to_numpy(dtype=float)
    left = model.augment()["residual"].to_numpy()
    assert own == pytest.approx(left / model.sigma, rel=HAND)


def test_the_map_of_correlations_tells_levels_apart() -> None:
    data = pd.DataFrame(
        {
            "person": np.repeat(list("abcde"), 3),
            "x": [1.0, 2, 3, 2, 4, 3, 5, 5, 6, 1, 3, 2, 7, 6, 8],
            "y": [3.0, 2, 2, 4, 5, 4, 2, 3, 1, 6, 5, 7, 1, 2, 1],
        }
    )
    cells = correlation_figure(correlations(data, ["x", "y"], within="person")).data
    assert list(cells["row"]) == [1, 0]
    assert list(cells["level"]) == ["within person", "between person"]


def test_r_squared_of_a_regression_has_its_own_measures() -> None:
    found = r_squared(regression("y ~ x", ROWS))
    r = np.corrcoef(ROWS["x"], ROWS["y"])[0, 1]
    assert list(found.tidy()["measure"]) == ["r2", "r2_adjusted"]
    assert found.tidy()["estimate"].iloc[0] == pytest.approx(r**2, rel=1e-10)
    assert found.partition()["share"].sum() == pytest.approx(1.0, rel=HAND)
    with pytest.raises(FormulaError, match="no random effects"):
        r_squared(regression("y ~ x", ROWS), cluster="g")


def test_latent_r_squared_of_a_logistic_regression_is_mckelvey_and_zavoinas() -> None:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=200)})
    data["hit"] = (rng.uniform(size=200) < 1 / (1 + np.exp(-data["x"]))).astype(int)
    model = regression("hit ~ x", data, family="logistic")
    found = r_squared(model).tidy().set_index("measure")["estimate"]
    spread = model.beta["x"] ** 2 * data["x"].var()
    assert found["latent"] == pytest.approx(spread / (spread + np.pi**2 / 3), rel=1e-8)
    assert found["tjur"] == pytest.approx(model.glance()["r2_tjur"].iloc[0])


def test_an_offset_explains_no_latent_variance() -> None:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=200), "log_weeks": rng.normal(size=200)})
    data["visits"] = rng.poisson(np.exp(0.3 * data["x"] + data["log_weeks"]))
    model = regression("visits ~ x + offset(log_weeks)", data, family="poisson")
    found = r_squared(model).tidy().set_index("measure")["estimate"]
    spread = model.beta["x"] ** 2 * data["x"].var()
    rest = np.log1p(1.0 / data["visits"].mean())
    assert found["latent"] == pytest.approx(spread / (spread + rest), rel=1e-8)


def _cells(n: int = 18) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    level = rng.normal(size=(n, 1))
    Y = (
        level
        + rng.normal(size=(n, 4)) * np.array([0.5, 1.0, 1.5, 2.0])
        + np.array([0, 0.3, 0.6, 0.5])
    )
    return pd.DataFrame(
        {
            "person": np.repeat([f"p {i}" for i in range(n)], 4),
            "time": np.tile([1, 2, 3, 4], n),
            "group": np.repeat(np.where(np.arange(n) % 3 == 0, "x", "y"), 4),
            "score": 1e4 + Y.ravel(),
        }
    )


# the share of the variance that is each rating's own, and the end of the search
UNSTRUCTURED = 1e-4


def test_the_mixed_model_beside_repeated_measures_is_hotellings_test() -> None:
    data = _cells()
    found = mixed_anova(anova(data, outcome="score", within="time", person="person"))
    Y = data["score"].to_numpy().reshape(-1, 4)
    n, k = Y.shape
    C = np.diff(np.eye(k), axis=0)
    z = C @ Y.mean(axis=0)
    T2 = n * z @ np.linalg.solve(C @ np.cov(Y.T) @ C.T, z)
    test = found.tests.iloc[0]
    expected = T2 * (n - k + 1) / ((n - 1) * (k - 1))
    assert test["statistic"] == pytest.approx(expected, rel=UNSTRUCTURED)
    assert test["df2"] == pytest.approx(n - k + 1, rel=UNSTRUCTURED)
    assert "vary alike" in found.summary()


def test_with_two_cells_and_two_groups_both_ways_agree() -> None:
    data = _cells().query("time < 3")
    found = mixed_anova(
        anova(data, outcome="score", between="group", within="time", person="person")
    ).tidy()
    plain, mixed = (part.set_index("term") for _, part in found.groupby("method"))
    # a contrast of two cells needs no sphericity: both are the same t tests
    for term in ("group", "time", "group:time"):
        assert mixed.loc[term, "statistic"] == pytest.approx(
            plain.loc[term, "statistic"], rel=UNSTRUCTURED
        )
        assert mixed.loc[term, "df2"] == pytest.approx(plain.loc[term, "df2"], rel=1e-3)


def test_persons_who_lack_a_cell_stay_in_the_mixed_model() -> None:
    data = _cells().drop(index=[1, 9, 30])
    found = mixed_anova(anova(data, outcome="score", within="time", person="person"))
    assert found.n_persons == 18
    assert found.glance()["n_persons_anova"].iloc[0] == 15
    assert "3 persons more" in found.summary()


def test_a_mixed_model_needs_a_factor_within_and_persons_enough() -> None:
    with pytest.raises(NotIdentifiedError, match="analysis of variance itself"):
        mixed_anova(anova(_cells().query("time == 1"), outcome="score", between="group"))
    few = anova(_cells(5), outcome="score", within="time", person="person")
    with pytest.raises(NotIdentifiedError, match="too few"):
        mixed_anova(few)


def test_latent_correlations_of_complete_ratings_have_a_closed_form() -> None:
    rng = np.random.default_rng(8)
    n, k = 40, 5
    level = rng.multivariate_normal([0, 0], [[1.0, 0.6], [0.6, 1.0]], n)
    Y = level[:, None, :] + rng.multivariate_normal([0, 0], [[1.0, -0.4], [-0.4, 1.5]], (n, k))
    data = pd.DataFrame(Y.reshape(-1, 2), columns=["a", "b"]).assign(
        person=np.repeat(np.arange(n), k), session=np.tile(np.arange(k), n)
    )
    found = correlations(data, ["a", "b"], within="person", session="session")
    means = Y.mean(axis=1)
    left = Y - means[:, None, :] - Y.mean(axis=0) + Y.mean(axis=(0, 1))
    W = np.einsum("nki,nkj->ij", left, left) / ((n - 1) * (k - 1))
    B = np.cov(means.T) - W / k
    r = found.tidy().set_index("level")["estimate"]
    for level_name, S in (("within person", W), ("between person", B)):
        assert r[level_name] == pytest.approx(S[0, 1] / np.sqrt(S[0, 0] * S[1, 1]), abs=1e-5)
    with pytest.raises(DataError, match="needs within="):
        correlations(data, ["a", "b"], session="session")


def test_a_left_hand_side_is_arithmetic_as_in_r() -> None:
    total = regression("y + x ~ z", ROWS)
    assert total.nobs == 7
    same = regression("I(y + x) ~ z", ROWS)
    np.testing.assert_array_equal(total.tidy()["estimate"], same.tidy()["estimate"])


def test_outcomes_that_cannot_be_squared_are_refused():
    for factor in (1e300, 1e-200):
        with pytest.raises(DataError, match="'score' has values too far from its mean"):
            anova(
                LONG.assign(score=LONG["score"] * factor),
                outcome="score",
                within="time",
                person="person",
            )


@pytest.mark.parametrize("method", ["spearman", "kendall"])
def test_rank_correlations_have_the_limits_of_their_formulas(method):
    """Errors on Fisher's scale by Bonett & Wright (2000, doi:10.1007/BF02294183)."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=30)
    data = pd.DataFrame({"x": x, "y": x + rng.normal(size=30)})
    row = correlations(data, ["x", "y"], method=method).tidy().iloc[0]
    r = stats.spearmanr(data["x"], data["y"])[0]
    error = np.sqrt((1.0 + r**2 / 2.0) / 27.0)
    if method == "kendall":
        r, error = stats.kendalltau(data["x"], data["y"])[0], np.sqrt(0.437 / 26.0)
    reach = stats.norm.ppf(0.975) * error
    limits = np.tanh([np.arctanh(r) - reach, np.arctanh(r) + reach])
    np.testing.assert_allclose(row[["conf_low", "conf_high"]].astype(float), limits, rtol=1e-10)


def test_the_error_over_clusters_is_that_of_the_influences():
    """With u and v standardised (divisor n), each pair moves r by u v - r (u^2 + v^2) / 2."""
    rng = np.random.default_rng(4)
    cluster = np.repeat(np.arange(12), 4)
    x = rng.normal(size=48) + rng.normal(size=12)[cluster]
    data = pd.DataFrame({"x": x, "y": x + rng.normal(size=48), "site": cluster})
    row = correlations(data, ["x", "y"], cluster="site").tidy().iloc[0]
    u, v = ((data[c] - data[c].mean()) / data[c].std(ddof=0) for c in ("x", "y"))
    r = float((u * v).mean())
    moved = (u * v - r * (u**2 + v**2) / 2.0).groupby(data["site"]).sum()
    error = np.sqrt((moved**2).sum() * 12 / 11) / 48
    reach = stats.t.ppf(0.975, 11) * error / (1.0 - r**2)
    limits = np.tanh([np.arctanh(r) - reach, np.arctanh(r) + reach])
    np.testing.assert_allclose(row[["conf_low", "conf_high"]].astype(float), limits, rtol=1e-9)
