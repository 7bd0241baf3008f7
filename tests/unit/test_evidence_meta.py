"""Meta-analysis on a few effects by hand, what is said of it, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alliance_stats.account import Result
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.evidence.meta.meta_analysis import (
    funnel_asymmetry,
    leave_one_study_out,
    meta_analysis,
    robust_tests,
)
from alliance_stats.evidence.meta.sampled_effects import profile_interval, reml

FOUR = pd.DataFrame(
    {
        "y": [0.1, 0.3, 0.5, 0.9],
        "v": [0.04, 0.02, 0.04, 0.10],
        "x": [0.0, 2.0, 1.0, 4.0],
        "lab": ["a", "a", "b", "b"],
    },
    index=["w", "x", "y", "z"],
)


def pooled(**options: object):
    return meta_analysis(FOUR, estimate="y", variance="v", **options)


def test_fixed_effects_by_hand() -> None:
    w = np.array([25.0, 50.0, 25.0, 10.0])
    expected = (w * FOUR["y"]).sum() / w.sum()
    row = pooled(method="fixed").tidy().iloc[0]
    assert row["estimate"] == pytest.approx(expected)
    assert row["std_error"] == pytest.approx(w.sum() ** -0.5)
    assert np.isinf(row["df"])


def test_dersimonian_and_laird_by_hand() -> None:
    w = np.array([25.0, 50.0, 25.0, 10.0])
    mean = (w * FOUR["y"]).sum() / w.sum()
    q = (w * (FOUR["y"] - mean) ** 2).sum()
    tau2 = (q - 3) / (w.sum() - (w**2).sum() / w.sum())
    assert pooled(method="DL").tau2 == pytest.approx(tau2)
    assert pooled(method="DL").glance()["q"].iloc[0] == pytest.approx(q)


def test_equal_variances_make_reml_the_sample_variance_less_sampling() -> None:
    y, v = np.array([0.0, 1.0, 2.0, 5.0]), np.full(4, 0.25)
    assert reml(y, v, np.ones((4, 1))) == pytest.approx(np.var(y, ddof=1) - 0.25, rel=1e-10)


def test_labels_are_kept_where_rows_and_effects_are_left_out() -> None:
    data = FOUR.assign(author=["Ng 1998", "Ng 1998", None, "Øst 2004"], v=[0.04, 0.02, np.nan, 0.1])
    model = meta_analysis(data, estimate="y", variance="v", label="author")
    assert model.effects.labels == ("Ng 1998", "Ng 1998", "Øst 2004")
    assert model.augment()["label"].tolist() == ["Ng 1998", "Ng 1998", "Øst 2004"]
    assert model.effects.without(1).labels == ("Ng 1998", "Øst 2004")
    assert leave_one_study_out(model)["label"].tolist() == ["Ng 1998", "Ng 1998", "Øst 2004"]
    plain = meta_analysis(data, estimate="y", variance="v")
    pd.testing.assert_frame_equal(model.tidy(), plain.tidy())
    assert "label" not in plain.augment()
    complete = data.assign(v=FOUR["v"])
    with pytest.raises(DataError, match=r"'author' is missing in row y"):
        meta_analysis(complete, estimate="y", variance="v", label="author")
    with pytest.raises(DataError, match="no column 'auhtor'. Did you mean 'author'"):
        meta_analysis(data, estimate="y", variance="v", label="auhtor")


def test_the_result_speaks_the_house_language() -> None:
    model = pooled()
    assert isinstance(model, Result)
    assert list(model.tidy().columns) == [
        "term", "estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high",
    ]  # fmt: skip
    assert list(model.augment().index) == ["w", "x", "y", "z"]
    assert model.augment()["weight"].sum() == pytest.approx(100.0)
    assert list(leave_one_study_out(model).index) == ["w", "x", "y", "z"]


def test_summary_of_correlations() -> None:
    data = pd.DataFrame({"r": [0.2, 0.3, 0.4, 0.1], "n": [50, 80, 40, 120]})
    text = meta_analysis(data, r="r", n="n").summary()
    # numbers as metafor 3.8-1 gives them
    lines = [line for line in text.splitlines() if line]
    assert lines[1:] == [
        "Random-effects meta-analysis (REML), tests by Knapp and Hartung.",
        "Coefficient  Fisher's z    SE  df     t     p        95% CI",
        "(Intercept)        0.23  0.07   3  3.36  .044  [0.01, 0.45]",
        "Expected      Fisher's z         95% CI",
        "a new effect        0.23  [−0.09, 0.55]",
        "As a correlation    r       95% CI",
        "pooled            .23   [.01, .42]",
        "a new effect      .23  [−.09, .50]",
        "4 estimates.",
        "tau2 = 0.006, I2 = 26.4%, Q(3) = 3.84, p = .279.",
        "4 rows came in. 4 used.",
    ]


def test_beware_comes_first() -> None:
    alike = FOUR.assign(y=[0.30, 0.31, 0.32, 0.33])
    lines = meta_analysis(alike, estimate="y", variance="v").summary().splitlines()
    assert lines[0] == "The variance at level effect is at zero."
    assert lines[2].startswith("The Knapp-Hartung standard errors are smaller")


def test_adhoc_is_never_narrower_than_normal() -> None:
    alike = FOUR.assign(y=[0.30, 0.31, 0.32, 0.33])
    adhoc = meta_analysis(alike, estimate="y", variance="v", test="knapp-hartung-adhoc").tidy()
    normal = meta_analysis(alike, estimate="y", variance="v", test="normal").tidy()
    assert adhoc["std_error"].iloc[0] == pytest.approx(normal["std_error"].iloc[0])


def test_the_set_of_tau2_is_empty_where_estimates_differ_less_than_chance() -> None:
    y, v = np.full(20, 0.3) + np.linspace(0, 1e-3, 20), np.full(20, 0.1)
    assert np.isnan(profile_interval(y, v, np.ones((20, 1)), 0.95)).all()


def test_missing_rows_are_counted_and_the_frame_is_left_alone() -> None:
    data = FOUR.assign(y=[0.1, np.nan, 0.5, 0.9], x=[0.0, 1.0, np.nan, 4.0])
    before = data.copy()
    assert meta_analysis(data, estimate="y", variance="v").rows.n_set_aside == 1
    model = meta_analysis(data, estimate="y", variance="v", moderators="x", method="fixed")
    assert [step.reason for step in model.rows.steps[1:] if step.rows_set_aside] == [
        "'y' is missing",
        "'x' is missing",
    ]
    pd.testing.assert_frame_equal(data, before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"estimate": "y"}, DataError, r"Give either estimate= and variance="),
        ({"estimate": "y", "variance": "v", "r": "y"}, DataError, "Give either estimate= and"),
        ({"estimate": "yy", "variance": "v"}, DataError, "data has no column 'yy'. Did you mean"),
        ({"estimate": "lab", "variance": "v"}, DataError, "Column 'lab' must be numeric"),
        ({"estimate": "y", "variance": "x"}, DataError, "'x' must be above zero .*not in row w"),
        (
            {"r": "x", "n": "v"},
            DataError,
            "'x' must lie between -1 and 1, ends excluded; .* rows x",
        ),
        ({"r": "y", "n": "x"}, DataError, "'x' must be above 3 .* rows w, x, y"),
        (
            {"estimate": "y", "variance": "v", "moderators": "~ x"},
            FormulaError,
            "must be a right-hand side such as 'year . design', without '~'",
        ),
        (
            {"estimate": "y", "variance": "v", "moderators": "xx"},
            FormulaError,
            "uses 'xx', but the data have no such column. Did you mean 'x'",
        ),
        (
            {"estimate": "y", "variance": "v", "moderators": "x +* 2"},
            FormulaError,
            "Cannot read moderators='x .. 2'",
        ),
        (
            {"estimate": "y", "variance": "v", "moderators": "x + I(2 * x)"},
            NotIdentifiedError,
            "The 3 coefficients .* cannot be told apart",
        ),
        (
            {"estimate": "y", "variance": "v", "moderators": "C(x)"},
            NotIdentifiedError,
            "4 estimates and 4 coefficients leave nothing to estimate the variance between",
        ),
        (
            {"estimate": "y", "variance": "v", "method": "fixed", "test": "knapp-hartung"},
            ValueError,
            "test='knapp-hartung' is for random effects at two levels; use test='normal'",
        ),
        (
            {"estimate": "y", "variance": "v", "study": "lab", "method": "DL"},
            ValueError,
            "With study= the variances are estimated by REML; method='DL'",
        ),
        (
            {"estimate": "y", "variance": "v", "study": "lab", "test": "knapp-hartung"},
            ValueError,
            r"use test='t', or robust_tests\(result\)",
        ),
        ({"estimate": "y", "variance": "v", "method": "ML"}, ValueError, "method must be one of"),
        ({"estimate": "y", "variance": "v", "test": "z"}, ValueError, "test must be one of"),
    ],
)
def test_what_cannot_be_pooled_is_refused(options, error, message) -> None:
    with pytest.raises(error, match=message):
        meta_analysis(FOUR, **options)


def test_an_infinite_estimate_is_refused() -> None:
    with pytest.raises(DataError, match="Column 'y' is infinite in row w"):
        meta_analysis(FOUR.assign(y=[np.inf, 0.3, 0.5, 0.9]), estimate="y", variance="v")


def test_no_row_left_is_refused() -> None:
    with pytest.raises(DataError, match="No row has all of 'y', 'v'"):
        meta_analysis(FOUR.assign(y=np.nan), estimate="y", variance="v")


def test_equal_estimates_have_no_knapp_hartung_error() -> None:
    with pytest.raises(
        NotIdentifiedError, match="The estimates are all equal, or lie exactly on the"
    ):
        meta_analysis(FOUR.assign(y=0.3), estimate="y", variance="v")


def test_one_estimate_can_only_be_fixed() -> None:
    one = FOUR.iloc[:1]
    with pytest.raises(NotIdentifiedError, match="1 estimate and 1 coefficient leave nothing"):
        meta_analysis(one, estimate="y", variance="v")
    model = meta_analysis(one, estimate="y", variance="v", method="fixed")
    assert model.tidy()["estimate"].iloc[0] == 0.1
    assert np.isnan(model.glance()["q_p"].iloc[0])
    assert "nan" not in model.summary()


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (["a"] * 4, "All estimates come from one study"),
        (["a", "b", "c", "d"], "Every study has one estimate"),
    ],
)
def test_studies_that_tell_nothing_are_refused(study: list[str], message: str) -> None:
    with pytest.raises(NotIdentifiedError, match=message):
        meta_analysis(FOUR.assign(s=study), estimate="y", variance="v", study="s")


def test_what_needs_a_pooled_estimate_says_so() -> None:
    model = pooled(moderators="x")
    with pytest.raises(NotIdentifiedError, match="A prediction interval needs one pooled estimate"):
        model.prediction()
    with pytest.raises(NotIdentifiedError, match="Leaving one out needs a pooled estimate"):
        leave_one_study_out(model)
    with pytest.raises(NotIdentifiedError, match="Only a meta-analysis of r= and n= can be turned"):
        pooled().tidy(scale="r")
    with pytest.raises(NotIdentifiedError, match="A fixed-effect model has no effects of other"):
        pooled(method="fixed").prediction()
    with pytest.raises(ValueError, match="scale must be one of 'fitted', 'r'"):
        pooled().tidy(scale="d")


def test_a_funnel_needs_different_standard_errors_and_independent_effects() -> None:
    with pytest.raises(NotIdentifiedError, match="All effects have the same standard error"):
        funnel_asymmetry(meta_analysis(FOUR.assign(v=0.1), estimate="y", variance="v"))
    with pytest.raises(NotIdentifiedError, match="2 effects are too few"):
        funnel_asymmetry(meta_analysis(FOUR.iloc[:2], estimate="y", variance="v"))
    with pytest.raises(NotIdentifiedError, match="Effects of one study are not independent"):
        funnel_asymmetry(pooled(study="lab"))
    with pytest.raises(ValueError, match="method must be one of 'egger', 'mixed'"):
        funnel_asymmetry(pooled(), method="begg")


def test_clusters_must_be_known_and_contain_studies() -> None:
    with pytest.raises(NotIdentifiedError, match="A two-level model has no studies to cluster by"):
        robust_tests(pooled())
    with pytest.raises(DataError, match="cluster must be a Series indexed as the data"):
        robust_tests(pooled(), cluster=["a"])
    with pytest.raises(DataError, match="cluster has no value for the effects in rows z"):
        robust_tests(pooled(), cluster=FOUR["lab"].iloc[:3])
    with pytest.raises(DataError, match="A study has effects in several clusters"):
        robust_tests(pooled(study="lab"), cluster=FOUR["y"])
    with pytest.raises(NotIdentifiedError, match="CR2 needs at least two clusters"):
        robust_tests(pooled(), cluster=FOUR["lab"].replace("b", "a"))


EXTRA = os.environ.get("ALLIANCE_STATS_EXTRA_DATA", "")


@pytest.mark.skipif(not EXTRA, reason="ALLIANCE_STATS_EXTRA_DATA names no folder of further data")
@pytest.mark.parametrize(
    ("file", "printed"),
    [
        ("meta_congruence_kolden2011.csv", (".24", ".12", ".36")),  # doi:10.1037/a0022064
        ("meta_positive_regard_farber2011.csv", (".27", None, None)),  # doi:10.1037/a0022141
    ],
)
def test_which_estimator_gives_the_printed_correlations(file, printed) -> None:
    """Pooled on the scale of r itself with variance (1 - r^2)/(n - 2), random effects by REML."""
    data = pd.read_csv(Path(EXTRA) / file)
    data = data.assign(v=(1 - data["r_reported"] ** 2) / (data["n_reported"] - 2))
    model = meta_analysis(data, estimate="r_reported", variance="v", test="normal")
    row = model.tidy().iloc[0]
    # half a unit of print, and what rounding the r that went in to two decimals does at least
    half_a_unit = 0.005 + 1e-4
    for column, text in zip(("estimate", "conf_low", "conf_high"), printed, strict=True):
        assert text is None or abs(row[column] - float(text)) <= half_a_unit
    fisher = meta_analysis(data, r="r_reported", n="n_reported", test="normal").tidy(scale="r")
    assert abs(fisher["estimate"].iloc[0] - float(printed[0])) > half_a_unit


@pytest.mark.parametrize(
    ("year", "message"),
    [
        (["1990", "1995", "2001", "2007"], r"whole numbers written as text \('1990'\)"),
        (["1990,0", "1995,5", "2001,0", "2007,0"], r"numbers written as text \('1990,0'\)"),
        ([1990, 1995, "2001", 2007], "neither numbers nor categories"),
        ([[1990], [1995], [2001], [2007]], "holds a list"),
    ],
)
def test_numbers_written_as_text_are_no_categories(year, message) -> None:
    data = FOUR.assign(year=pd.Series(year, index=FOUR.index, dtype=object))
    with pytest.raises(DataError, match=message):
        meta_analysis(data, estimate="y", variance="v", moderators="year", method="fixed")


def test_numbers_of_type_object_are_numbers() -> None:
    data = FOUR.assign(year=[1990, 1995, 2001, 2007])
    loose = data.assign(year=data["year"].astype(object))
    options = {"estimate": "y", "variance": "v", "moderators": "year", "method": "fixed"}
    pd.testing.assert_frame_equal(
        meta_analysis(loose, **options).tidy(), meta_analysis(data, **options).tidy()
    )


def test_a_moderator_is_never_evaluated_as_code(tmp_path) -> None:
    name = "` + I(C.__globals__['__builtins__']['open']('" + str(tmp_path / "made") + "', 'w')) + `"
    with pytest.raises(FormulaError):
        meta_analysis(
            FOUR.assign(**{name: 1.0}), estimate="y", variance="v", moderators=f"`{name}`"
        )
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("change", [{"y": 1e160}, {"v": 1e300}, {"v": 1e-160}])
def test_numbers_whose_squares_overflow_are_refused(change) -> None:
    data = FOUR.assign(**{name: FOUR[name] * by for name, by in change.items()})
    with pytest.raises(DataError, match="Give them in another unit"):
        meta_analysis(data, estimate="y", variance="v")
