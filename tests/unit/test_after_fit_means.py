"""Estimated means, contrasts, slopes and comparisons: by hand, and what they refuse."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from alliance_stats.engine.multiple_tests import JointT, holm, range_sf, tukey_critical
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import (
    comparisons,
    contrasts,
    estimated_means,
    glmm,
    johnson_neyman,
    lmm,
    simple_slopes,
)

# 2^17 fixed directions give joint p-values to a few parts in ten thousand.
JOINT = 5e-4


def _balanced():
    """Six persons rated in three roles: the mixed model is the repeated-measures ANOVA."""
    rng = np.random.default_rng(2)
    person = np.repeat(np.arange(6), 3)
    role = np.tile(["mother", "father", "child"], 6)
    rating = 4 + rng.normal(size=6)[person] + 0.5 * rng.normal(size=18)
    rating = rating + np.array([0.8, 0.0, 0.4] * 6)
    return pd.DataFrame({"person": person, "role": role, "rating": rating})


@pytest.fixture(scope="module")
def balanced():
    return _balanced()


@pytest.fixture(scope="module")
def model(balanced):
    return lmm("rating ~ role + (1 | person)", balanced)


def _anova(balanced):
    wide = balanced.pivot(index="person", columns="role", values="rating")
    residual = (
        wide.to_numpy()
        - wide.mean(axis=0).to_numpy()
        - wide.mean(axis=1).to_numpy()[:, None]
        + wide.to_numpy().mean()
    )
    n, k = wide.shape
    mse = (residual**2).sum() / ((n - 1) * (k - 1))
    ms_person = k * wide.mean(axis=1).var(ddof=1)
    return wide.mean(axis=0), mse, ms_person, n, k


def test_means_of_a_balanced_design(balanced, model):
    cells, mse, ms_person, n, k = _anova(balanced)
    table = estimated_means(model, "role").tidy().set_index("role")
    np.testing.assert_allclose(table["estimate"], cells[table.index], rtol=1e-9)
    # Var(mean) = (s_person + s_e) / n with s_person = (MS_person - MSE) / k
    variance = ((ms_person - mse) / k + mse) / n
    np.testing.assert_allclose(table["std_error"], np.sqrt(variance), rtol=1e-6)
    # Satterthwaite 1946 for MS_person / k + MSE (k - 1) / k
    parts = np.array([ms_person / k, mse * (k - 1) / k])
    df = parts.sum() ** 2 / (parts**2 / np.array([n - 1, (n - 1) * (k - 1)])).sum()
    np.testing.assert_allclose(table["df"], df, rtol=1e-4)


def test_pairwise_contrasts_of_a_balanced_design(balanced, model):
    cells, mse, _, n, k = _anova(balanced)
    table = contrasts(estimated_means(model, "role"), adjust="tukey").tidy()
    assert list(table["contrast"]) == ["child - father", "child - mother", "father - mother"]
    np.testing.assert_allclose(table["estimate"][0], cells["child"] - cells["father"], rtol=1e-9)
    np.testing.assert_allclose(table["std_error"], np.sqrt(2 * mse / n), rtol=1e-6)
    df = (n - 1) * (k - 1)
    np.testing.assert_allclose(table["df"], df, rtol=1e-5)
    tukey = stats.studentized_range.sf(np.sqrt(2) * np.abs(table["statistic"]), k, df)
    np.testing.assert_allclose(table["p_value"], tukey, rtol=1e-5)
    joint = contrasts(estimated_means(model, "role")).tidy()
    np.testing.assert_allclose(joint["p_value"], tukey, rtol=1e-4)  # the two are one here
    np.testing.assert_allclose(joint["conf_low"], table["conf_low"], rtol=1e-4)


def test_joint_test_is_the_anova_f(balanced, model):
    cells, mse, _, n, _ = _anova(balanced)
    found = contrasts(estimated_means(model, "role")).glance().iloc[0]
    F = n * cells.var(ddof=1) / mse
    assert found["statistic"] == pytest.approx(F, rel=1e-6)
    assert (found["df1"], found["df2"]) == (2.0, pytest.approx(10.0, rel=1e-5))
    assert found["p_value"] == pytest.approx(stats.f.sf(F, 2, 10), rel=1e-5)
    normal = contrasts(estimated_means(model, "role", df_method="normal")).glance().iloc[0]
    assert normal["p_value"] == pytest.approx(stats.chi2.sf(2 * F, 2), rel=1e-5)


def test_contrasts_with_a_reference_and_custom(model, balanced):
    cells = balanced.groupby("role")["rating"].mean()
    means = estimated_means(model, "role")
    table = contrasts(means, "reference", reference="mother").tidy()
    assert list(table["contrast"]) == ["child - mother", "father - mother"]
    own = contrasts(means, {"parents - child": [-1, 0.5, 0.5]}).tidy()
    expected = (cells["father"] + cells["mother"]) / 2 - cells["child"]
    assert own["estimate"][0] == pytest.approx(expected, rel=1e-9)
    # one contrast alone is not adjusted
    assert own["p_value"][0] == pytest.approx(
        2 * stats.t.sf(abs(own["statistic"][0]), own["df"][0]), rel=1e-12
    )


def test_holm_by_hand():
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, np.nan, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8]))[0] == 1.0


def test_joint_t_at_its_ends():
    one = JointT.of(np.array([[1.0, -1.0], [-1.0, 1.0]]))  # the same statistic twice
    assert one.p_value(2.1, 9.5) == pytest.approx(2 * stats.t.sf(2.1, 9.5), rel=1e-12)
    assert one.critical(9.5, 0.95) == pytest.approx(stats.t.isf(0.025, 9.5), rel=1e-9)
    free = JointT.of(np.eye(3))
    expected = 1 - (1 - 2 * stats.norm.sf(2.0)) ** 3  # independent normal statistics
    assert free.p_value(2.0, np.inf) == pytest.approx(expected, rel=JOINT)
    assert np.isnan(free.p_value(np.nan, 5.0))
    assert free.p_value(0.0, 5.0) == pytest.approx(1.0)


@pytest.mark.parametrize("n_means", [2, 3, 8])
@pytest.mark.parametrize("df", [1.0, 2.7, 40.0, 800.0, np.inf])
def test_studentized_range(n_means, df):
    q = np.array([0.4, 2.0, 4.5, 9.0])
    expected = stats.studentized_range.sf(q, n_means, df)
    found = [range_sf(value, n_means, df) for value in q]
    np.testing.assert_allclose(found, expected, atol=1e-10)


# -- what cannot be estimated ---------------------------------------------------------------------


def _with_empty_cell():
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "therapist": np.repeat(np.arange(12), 12),
            "role": np.tile(["mother", "father", "child"], 48),
            "framework": np.repeat(np.tile(["usual", "informed"], 6), 12),
            "session": rng.integers(1, 13, 144),
        }
    )
    frame["y"] = rng.normal(size=144) + (frame["role"] == "child")
    return frame[~((frame["role"] == "father") & (frame["framework"] == "informed"))]


@pytest.fixture(scope="module")
def holed():
    return lmm("y ~ role * framework + session + (1 | therapist)", _with_empty_cell())


def test_an_empty_cell_is_named_and_left_empty(holed):
    means = estimated_means(holed, "role", by="framework")
    table = means.tidy()
    empty = (table["role"] == "father") & (table["framework"] == "informed")
    assert table.loc[empty, "estimate"].isna().all()
    assert table.loc[~empty, "estimate"].notna().all()
    assert means.not_estimable.to_dict("records") == [{"framework": "informed", "role": "father"}]
    assert means.glance()["n_not_estimable"][0] == 1
    assert means.summary().startswith(
        "Not estimable from these data (mean left empty): framework = informed, role = father."
    )


def test_a_mean_over_an_empty_cell_is_not_estimable_unless_weighted_by_cells(holed):
    equal = estimated_means(holed, "role")
    assert list(equal.not_estimable["role"]) == ["father"]
    cells = estimated_means(holed, "role", weights="cells")
    assert len(cells.not_estimable) == 0
    usual = estimated_means(holed, "role", at={"framework": "usual"}).tidy()
    assert cells.tidy()["estimate"][1] == pytest.approx(usual["estimate"][1])


def test_contrasts_keep_what_the_data_determine(holed):
    found = contrasts(estimated_means(holed, "role", by="framework"))
    table = found.tidy()
    holes = table["estimate"].isna()
    assert list(table.loc[holes, "contrast"]) == ["child - father", "father - mother"]
    assert set(table.loc[holes, "framework"]) == {"informed"}
    left = table[(table["framework"] == "informed") & ~holes].iloc[0]
    # the only contrast left in its family stands by itself
    assert left["p_value"] == pytest.approx(2 * stats.t.sf(abs(left["statistic"]), left["df"]))
    assert found.summary().startswith("Not estimable from these data (contrast left empty)")
    assert len(found.glance()) == 2
    assert found.glance()["df1"].tolist() == [1.0, 2.0]


def test_a_joint_adjustment_passes_over_what_is_empty():
    """The estimable contrasts of a family are adjusted as if they had been asked for alone."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "g": np.repeat(np.arange(10), 16),
            "dose": np.tile(["a", "b", "c", "d"], 40),
            "arm": np.tile(np.repeat(["x", "y"], 4), 20),
        }
    )
    frame["y"] = rng.normal(size=160) + (frame["dose"] == "d")
    frame = frame[~((frame["dose"] == "b") & (frame["arm"] == "y"))]
    means = estimated_means(lmm("y ~ dose * arm + (1 | g)", frame), "dose", at={"arm": "y"})
    table = contrasts(means).tidy()
    known = table["estimate"].notna()
    own = contrasts(
        means, {"a-c": [1, 0, -1, 0], "a-d": [1, 0, 0, -1], "c-d": [0, 0, 1, -1]}
    ).tidy()
    np.testing.assert_allclose(table.loc[known, "p_value"], own["p_value"], rtol=1e-9)


def test_an_estimable_contrast_of_means_that_are_not():
    """Two columns that move together: levels cannot be told apart, their common change can."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "x": rng.normal(size=48)})
    frame["z"] = 2 * frame["x"]
    frame["arm"] = np.tile(["a", "b"], 24)
    frame["y"] = rng.normal(size=48) + (frame["arm"] == "b")
    model = lmm("y ~ arm + x + z + (1 | g)", frame)
    with pytest.raises(NotIdentifiedError, match="None of these means is determined by the data"):
        estimated_means(model, "arm", at={"x": 1.0, "z": 0.0})
    mixed = estimated_means(model, ["arm", "x"], at={"x": [0.0, 1.0], "z": 0.0})
    assert len(mixed.not_estimable) == 2
    table = contrasts(mixed, {"b - a at x = 1": [0, -1, 0, 1]}).tidy()
    assert np.isfinite(table["estimate"][0])


def test_nothing_estimable_is_an_error(holed):
    with pytest.raises(NotIdentifiedError, match="None of these means is determined by the data"):
        estimated_means(holed, [], at={"role": "father", "framework": "informed"})
    with pytest.raises(NotIdentifiedError, match="None of these means is determined"):
        estimated_means(holed, [])


def test_an_average_over_values_of_what_is_not_shown_is_said(holed):
    at = {"session": [2, 8], "framework": "usual"}
    found = estimated_means(holed, "role", at=at)
    each = estimated_means(holed, "role", by="session", at=at)
    said = "Averaged over session = 2, 8: name 'session' in by= for a result at each."
    assert said in found.notes
    assert said not in each.notes
    own = each.tidy().groupby("role", sort=False)["estimate"].mean()
    assert found.tidy()["estimate"].tolist() == pytest.approx(own.tolist())
    slopes = simple_slopes(holed, "session", at={"role": ["mother", "father"]})
    assert slopes.notes[0].startswith("Averaged over role = mother, father")
    with pytest.raises(DataError, match="'role' several values, and there is one effect"):
        johnson_neyman(holed, "framework", moderator="session", at={"role": ["child", "mother"]})


# -- words and refusals ---------------------------------------------------------------------------


def test_extrapolation_is_said_first(holed):
    means = estimated_means(holed, "session", at={"session": [1, 40], "framework": "usual"})
    assert means.summary().startswith(
        "Extrapolation: session = 40.00 lies outside the data (1.00 to 12.00)."
    )
    found = contrasts(means)
    assert found.summary().startswith("Extrapolation")
    assert list(found.tidy()["contrast"]) == ["1 - 40"]


def test_tables_in_words(model):
    text = estimated_means(model, "role").summary()
    assert "Estimated means.\n\nrole" in text
    assert "18 used (person: 6)" in text
    text = contrasts(estimated_means(model, "role"), adjust="holm").summary()
    assert "p-values adjusted by Holm's steps, intervals by Bonferroni's" in text


def test_what_means_refuse(holed):
    with pytest.raises(FormulaError, match=r"'rol' is not among the fixed effects.*Did you mean"):
        estimated_means(holed, "rol")
    with pytest.raises(NotIdentifiedError, match=r"'session' is numeric \(12 values from 1 to 12"):
        estimated_means(holed, "session")
    with pytest.raises(DataError, match=r"'role' has no level 'aunt'.*There are"):
        estimated_means(holed, "framework", at={"role": "aunt"})
    with pytest.raises(DataError, match="'session' is numeric; at= gave 'late'"):
        estimated_means(holed, "framework", at={"session": "late"})
    with pytest.raises(FormulaError, match=r"'visit' is not among .* There are: .*'session'"):
        estimated_means(holed, "framework", at={"visit": 1})
    for wrong in (None, [[1, 2]], "late"):
        with pytest.raises(DataError, match="'session' is numeric; at= gave"):
            estimated_means(holed, "framework", at={"session": wrong})
    with pytest.raises(DataError, match=r"one or more different values; got \[2, 2\]"):
        estimated_means(holed, "role", at={"session": [2, 2]})
    with pytest.raises(FormulaError, match="'role' cannot be in variables and in by"):
        estimated_means(holed, "role", by="role")
    with pytest.raises(FormulaError, match="'role' is given twice"):
        estimated_means(holed, ["role", "role"])
    with pytest.raises(ValueError, match="weights must be one of 'equal', 'proportional', 'cells'"):
        estimated_means(holed, "role", weights="outer")
    with pytest.raises(ValueError, match="scale must be one of"):
        estimated_means(holed, "role").tidy(scale="odds")
    with pytest.raises(DataError, match="would have 110000 combinations"):
        estimated_means(
            holed, "framework", at={"session": list(np.linspace(1, 12, 55000)), "role": "mother"}
        )


def test_what_contrasts_refuse(model, holed):
    means = estimated_means(model, "role")
    with pytest.raises(FormulaError, match="'parents' has 2 coefficients for 3 means"):
        contrasts(means, {"parents": [1, -1]})
    with pytest.raises(DataError, match="'nothing' needs finite coefficients, not all zero"):
        contrasts(means, {"nothing": [0, 0, 0]})
    with pytest.raises(FormulaError, match=r"no mean of 'mothre'\. Did you mean 'mother'"):
        contrasts(means, "reference", reference="mothre")
    with pytest.raises(FormulaError, match="adjust='tukey' is for pairwise contrasts"):
        contrasts(means, "reference", adjust="tukey")
    with pytest.raises(ValueError, match="adjust must be one of 'mvt', 'tukey', 'dunnett', 'holm'"):
        contrasts(means, adjust="scheffe")
    with pytest.raises(ValueError, match="method must be one of 'pairwise', 'reference'"):
        contrasts(means, "helmert")
    with pytest.raises(DataError, match="one mean to a family"):
        contrasts(estimated_means(model, []))
    with pytest.raises(ValueError, match="no log ratios: use scale='link'"):
        contrasts(means).tidy(scale="ratio")
    with pytest.raises(FormulaError, match="mapping of contrasts is empty"):
        contrasts(means, {})


def test_slopes_and_what_they_refuse(holed):
    frame = _with_empty_cell().assign(experience=lambda d: d["therapist"] * 1.5)
    model = lmm("y ~ session * experience + session * role + (1 | therapist)", frame)
    table = simple_slopes(model, "session", by="experience", unit="therapist").tidy()
    values = np.arange(12) * 1.5
    np.testing.assert_allclose(
        table["experience"],
        [values.mean() - values.std(ddof=1), values.mean(), values.mean() + values.std(ddof=1)],
    )
    b = model.beta
    middle = b["session"] + b["session:experience"] * values.mean()
    middle += (b["session:role[T.father]"] + b["session:role[T.mother]"]) / 3
    assert table["estimate"][1] == pytest.approx(middle, rel=1e-8)
    assert "Slopes of session" in simple_slopes(model, "session", by="role").summary()
    with pytest.raises(FormulaError, match="'role' is a factor and has no slope"):
        simple_slopes(model, "role")
    with pytest.raises(DataError, match="'session' varies within 'therapist'"):
        simple_slopes(model, "experience", by="session", unit="therapist")
    with pytest.raises(DataError, match="no column 'clinic'"):
        simple_slopes(model, "session", by="experience", unit="clinic")


def test_differences_between_slopes_are_the_interaction():
    frame = _with_empty_cell()
    model = lmm("y ~ session * framework + (1 | therapist)", frame)
    slopes = simple_slopes(model, "session", by="framework")
    difference = slopes.differences()
    row = model.tidy().set_index("term").loc["session:framework[T.usual]"]
    assert difference.estimate[0] == pytest.approx(-row["estimate"], rel=1e-8)
    assert difference.std_error[0] == pytest.approx(row["std_error"], rel=1e-8)
    assert difference.df[0] == pytest.approx(row["df"], rel=1e-6)


def test_slope_through_a_transform():
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"g": np.repeat(np.arange(10), 8), "x": rng.uniform(1, 9, 80)})
    frame["y"] = np.log(frame["x"]) + rng.normal(size=80)
    model = lmm("y ~ np.log(x) + (1 | g)", frame)
    table = simple_slopes(model, "x", by="x", at={"x": [2.0, 5.0]}).tidy()
    np.testing.assert_allclose(
        table["estimate"], model.beta["np.log(x)"] / np.array([2.0, 5.0]), rtol=1e-8
    )


# -- comparisons ----------------------------------------------------------------------------------


def test_a_linear_comparison_is_the_coefficient(model, balanced):
    table = comparisons(model, "role").tidy()
    rows = model.tidy().set_index("term")
    assert list(table["contrast"]) == ["father - child", "mother - child"]
    for i, level in enumerate(["father", "mother"]):
        row = rows.loc[f"role[T.{level}]"]
        for column in ("estimate", "std_error", "df", "p_value", "conf_low", "conf_high"):
            assert table[column][i] == pytest.approx(row[column], rel=1e-8)
    means = balanced.groupby("role")["rating"].mean()
    np.testing.assert_allclose(table["expected_from"], means["child"], rtol=1e-9)
    ratio = comparisons(model, "role", scale="ratio", values=("child", "mother")).tidy()
    assert ratio["contrast"][0] == "mother / child"
    assert ratio["estimate"][0] == pytest.approx(means["mother"] / means["child"], rel=1e-9)
    assert ratio["conf_low"][0] < ratio["estimate"][0] < ratio["conf_high"][0]


def test_one_unit_more_by_group(holed):
    frame = _with_empty_cell()
    model = lmm("y ~ session * framework + (1 | therapist)", frame)
    table = comparisons(model, "session", by="framework").tidy()
    slopes = simple_slopes(model, "session", by="framework").tidy()
    assert list(table["contrast"]) == ["+1", "+1"]
    np.testing.assert_allclose(table["estimate"], slopes["estimate"], rtol=1e-8)
    np.testing.assert_allclose(table["std_error"], slopes["std_error"], rtol=1e-8)
    assert "averaged over the rows used (delta method)" in comparisons(model, "session").summary()


def test_simulation_is_repeatable(model):
    one = comparisons(model, "role", n_resamples=200, seed=1).tidy()
    two = comparisons(model, "role", n_resamples=200, seed=1).tidy()
    other = comparisons(model, "role", n_resamples=200, seed=2).tidy()
    pd.testing.assert_frame_equal(one, two)
    assert (one["conf_low"] != other["conf_low"]).any()
    assert comparisons(model, "role", n_resamples=200, seed=1).glance()["n_resamples"][0] == 200


def test_counts_with_an_offset():
    rng = np.random.default_rng(9)
    frame = pd.DataFrame({"g": np.repeat(np.arange(40), 6), "arm": np.tile(["a", "b"], 120)})
    frame["log_time"] = np.log(rng.uniform(0.5, 3, 240))
    rate = np.exp(0.3 + 0.5 * (frame["arm"] == "b") + frame["log_time"])
    frame["y"] = rng.poisson(rate * np.exp(0.3 * rng.normal(size=40))[frame["g"]])
    model = glmm("y ~ arm + (1 | g)", frame, family="poisson", offset="log_time")
    row = comparisons(model, "arm", scale="ratio").tidy().iloc[0]
    b = model.tidy().set_index("term").loc["arm[T.b]"]
    # a log link with no interaction: the ratio is exp(b), whatever is averaged over
    assert row["estimate"] == pytest.approx(np.exp(b["estimate"]), rel=1e-8)
    assert row["statistic"] == pytest.approx(b["statistic"], rel=1e-6)
    u = model.covariances()["g"].iloc[0, 0]
    expected = np.exp(model.beta["(Intercept)"] + frame["log_time"] + u / 2).mean()
    assert row["expected_from"] == pytest.approx(expected, rel=1e-8)
    means = estimated_means(model, "arm")
    assert "The offset 'log_time' stands at 0" in means.summary()
    assert contrasts(means).tidy(scale="ratio")["estimate"][0] == pytest.approx(
        np.exp(-b["estimate"]), rel=1e-8
    )


def test_what_comparisons_refuse(model, holed):
    with pytest.raises(FormulaError, match="'roles' is not among the fixed effects"):
        comparisons(model, "roles")
    with pytest.raises(DataError, match=r"two different values \(a, b\); got \('child', 'child'\)"):
        comparisons(model, "role", values=("child", "child"))
    with pytest.raises(DataError, match="'role' has no level 'aunt' in the rows used; it has"):
        comparisons(model, "role", values=("child", "aunt"))
    with pytest.raises(NotIdentifiedError, match="Changing 'role' takes rows to combinations"):
        comparisons(holed, "role", values=("child", "father"))
    with pytest.raises(DataError, match="have no ratio: both must be positive"):
        comparisons(
            lmm("rating ~ role + (1 | person)", _balanced().assign(rating=lambda d: d.rating - 20)),
            "role",
            scale="ratio",
        )
    with pytest.raises(ValueError, match="needs a seed= and at least 100 draws"):
        comparisons(model, "role", n_resamples=500)
    with pytest.raises(DataError, match="no column 'clinic'"):
        comparisons(model, "role", by="clinic")
    with pytest.raises(DataError, match="'session' is numeric; values= gave"):
        comparisons(holed, "session", values=("early", "late"))


def test_df_methods_of_a_generalized_model():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(np.arange(20), 10), "arm": np.tile(["a", "b"], 100)})
    frame["y"] = rng.integers(0, 2, 200)
    model = glmm("y ~ arm + (1 | g)", frame)
    with pytest.raises(ValueError, match="df_method='satterthwaite' is defined for linear mixed"):
        estimated_means(model, "arm", df_method="satterthwaite")
    assert np.isinf(estimated_means(model, "arm", df_method="normal").tidy()["df"]).all()
    ml = lmm("y ~ arm + (1 | g)", frame.assign(y=rng.normal(size=200)), reml=False)
    with pytest.raises(ValueError, match="Kenward-Roger inference is defined for REML fits"):
        estimated_means(ml, "arm", df_method="kenward-roger")


@pytest.mark.parametrize(
    "name", ["method", "group", "time", "level", "estimate", "std_error", "term", "df", "p", "self"]
)
def test_columns_named_like_results_keep_their_names(balanced, name):
    model = lmm("rating ~ role + (1 | person)", balanced)
    renamed = lmm(f"rating ~ {name} + (1 | person)", balanced.rename(columns={"role": name}))
    for ask in (estimated_means, lambda m, by: contrasts(estimated_means(m, by))):
        expected, found = ask(model, "role"), ask(renamed, name)
        assert_allclose(found.tidy()["estimate"], expected.tidy()["estimate"])
        assert_allclose(found.tidy()["std_error"], expected.tidy()["std_error"])
        assert all(level in found.summary() for level in balanced["role"].unique())


def test_frames_are_left_alone(balanced):
    before = balanced.copy()
    model = lmm("rating ~ role + (1 | person)", balanced)
    comparisons(model, "role")
    contrasts(estimated_means(model, "role"))
    pd.testing.assert_frame_equal(balanced, before)


def test_critical_values_of_many_df_lie_on_one_curve():
    df = np.linspace(3.0, 90.0, 60)
    found = tukey_critical(df, 12, 0.95)
    some = df[[0, 7, 30, 59]]
    assert found[[0, 7, 30, 59]] == pytest.approx(tukey_critical(some, 12, 0.95), rel=1e-9)
