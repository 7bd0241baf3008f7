"""Estimated means, contrasts and simple slopes against emmeans, and the joint t against mvtnorm."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.engine.multiple_tests import JointT
from alliance_stats.multilevel import contrasts, estimated_means, lmm, simple_slopes
from tests.parity.reference import load_reference

REFERENCE = load_reference("after_fit_means")

# Both sides solve the same equations; lme4's optimum is good to 1e-6 of theta.
ESTIMATE, STD_ERROR = 1e-5, 1e-5
# lmerTest differentiates numerically, and its variances of variances inherit lme4's optimum.
DF = 2e-3
# Limits inherit the df.
LIMIT = 1e-3
P_VALUE = 1e-3
# emmeans takes 25,000 points at an absolute error of 1e-3 and whole df for "mvt".
P_JOINT = 6e-3
# With infinite df only mvtnorm's integration error is left.
P_JOINT_NORMAL = 1.5e-3
# mvtnorm at an absolute error of 1e-5, our fixed directions at about 1e-4 of the p-value.
P_DIRECTIONS = 3e-5

METHODS = {
    "satterthwaite": "satterthwaite",
    "kenward-roger": "kenward-roger",
    "asymptotic": "normal",
}


def _frame(name):
    data = pd.DataFrame(REFERENCE["frames"][name])
    for column, levels in REFERENCE["levels"][name].items():
        data[column] = pd.Categorical(data[column], categories=np.atleast_1d(levels))
    return data


def _fit(case):
    formula = case["formula"].replace("yield", "`yield`")
    return lmm(formula, _frame(case["data"]), reml=case.get("reml", True))


def _at(case):
    return {name: list(values) for name, values in (case["at"] or {}).items()}


def _means(case):
    return estimated_means(
        _fit(case),
        list(reversed(case["variables"])),  # emmeans turns its first predictor fastest
        by=list(case["by"]),
        at=_at(case),
        weights=case["weights"],
        df_method=METHODS[case["df_method"]],
    )


SHOWN = [case for case in REFERENCE["cases"] if case["variables"]]
OVERALL = next(case for case in REFERENCE["cases"] if not case["variables"])


@pytest.fixture(scope="module", params=SHOWN, ids=lambda c: c["id"].replace(" ", "-"))
def case_and_means(request):
    return request.param, _means(request.param)


def _as_in_r(table, reference, names):
    """Our rows in the order of emmeans', which turns the first predictor fastest."""
    wanted = pd.DataFrame({n: np.atleast_1d(reference[n]) for n in names}).astype(str)
    ours = table[names].copy()
    for n in names:
        numeric = pd.api.types.is_numeric_dtype(ours[n])
        ours[n] = ours[n].astype(float).map(lambda v: f"{v:g}") if numeric else ours[n].astype(str)
        wanted[n] = wanted[n].map(lambda v: f"{float(v):g}") if numeric else wanted[n]
    position = {tuple(row): i for i, row in enumerate(ours.to_numpy())}
    return table.iloc[[position[tuple(row)] for row in wanted.to_numpy()]].reset_index(drop=True)


def _numbers(reference, *names):
    for name in names:
        if name in reference:
            return np.atleast_1d(np.array(reference[name], dtype=float))
    raise KeyError(names)


def test_means(case_and_means):
    case, means = case_and_means
    reference = case["means"]
    table = _as_in_r(means.tidy(), reference, [*case["by"], *case["variables"]])
    np.testing.assert_allclose(table["estimate"], _numbers(reference, "emmean"), rtol=ESTIMATE)
    np.testing.assert_allclose(table["std_error"], _numbers(reference, "SE"), rtol=STD_ERROR)
    low, high = (
        _numbers(reference, "lower.CL", "asymp.LCL"),
        _numbers(reference, "upper.CL", "asymp.UCL"),
    )
    spread = np.abs(high - low)
    np.testing.assert_array_less(np.nan_to_num(np.abs(table["conf_low"] - low) / spread), LIMIT)
    np.testing.assert_array_less(np.nan_to_num(np.abs(table["conf_high"] - high) / spread), LIMIT)
    if case["df_method"] == "asymptotic":
        assert np.isinf(table["df"]).all()
    else:
        np.testing.assert_allclose(table["df"], _numbers(reference, "df"), rtol=DF)
    assert table["estimate"].isna().sum() == len(means.not_estimable)


def _contrast_rows(case, means, method, adjust, reference):
    """Contrasts in emmeans' order: its families follow its own order of `by`."""
    table = contrasts(means, method, adjust=adjust).tidy()
    by = list(case["by"])
    n = len(table) // max(table[by].drop_duplicates().shape[0] if by else 1, 1)
    if not by:
        return table
    heads = table.iloc[::n][by].reset_index(drop=True)
    heads["start"] = np.arange(len(heads)) * n
    first = {name: np.atleast_1d(reference[name])[::n] for name in by}
    ordered = _as_in_r(heads, first, by)
    rows = np.concatenate([np.arange(n) + start for start in ordered["start"]])
    return table.iloc[rows].reset_index(drop=True)


def test_overall_mean():
    table = _means(OVERALL).tidy()
    reference = OVERALL["means"]
    assert table["estimate"][0] == pytest.approx(reference["emmean"][0], rel=ESTIMATE)
    assert table["std_error"][0] == pytest.approx(reference["SE"][0], rel=STD_ERROR)
    assert table["df"][0] == pytest.approx(reference["df"][0], rel=DF)


@pytest.mark.parametrize("adjust", ["none", "holm", "tukey", "mvt"])
def test_pairwise_contrasts(case_and_means, adjust):
    case, means = case_and_means
    reference = case["pairs"][adjust]
    _compare(case, _contrast_rows(case, means, "pairwise", adjust, reference), reference, adjust)


@pytest.mark.parametrize("adjust", ["none", "holm", "mvt"])
def test_contrasts_with_the_first(case_and_means, adjust):
    case, means = case_and_means
    reference = case["reference"][adjust]
    _compare(case, _contrast_rows(case, means, "reference", adjust, reference), reference, adjust)


def _compare(case, table, reference, adjust):
    estimate = _numbers(reference, "estimate")
    np.testing.assert_array_equal(table["estimate"].isna(), np.isnan(estimate))
    error = np.abs(table["estimate"] - estimate) / table["std_error"]
    np.testing.assert_array_less(np.nan_to_num(error), 10 * ESTIMATE)
    np.testing.assert_allclose(table["std_error"], _numbers(reference, "SE"), rtol=STD_ERROR)
    if case["df_method"] != "asymptotic":
        np.testing.assert_allclose(table["df"], _numbers(reference, "df"), rtol=DF)
    p, low = _numbers(reference, "p.value"), _numbers(reference, "lower.CL", "asymp.LCL")
    # emmeans gives up on a family's joint distribution where one contrast is not estimable, and
    # then counts that contrast in its Bonferroni and Tukey families: ours are compared elsewhere
    whole = ~np.isnan(_family_sums(table, list(case["by"])))
    joint = P_JOINT_NORMAL if case["df_method"] == "asymptotic" else P_JOINT
    tolerance = joint if adjust == "mvt" else P_VALUE
    np.testing.assert_allclose(table["p_value"][whole], p[whole], atol=tolerance, rtol=P_VALUE)
    half = (table["estimate"] - table["conf_low"]) / table["std_error"]
    theirs = (estimate - low) / _numbers(reference, "SE")
    wide = 0.02 if adjust == "mvt" else LIMIT  # whole df and 1e-3 of coverage, in critical values
    np.testing.assert_allclose(half[whole], theirs[whole], rtol=wide)


def _family_sums(table, by):
    if not by:
        return np.full(len(table), table["estimate"].sum(skipna=False))
    return (
        table.groupby(by, observed=True)["estimate"]
        .transform(lambda v: v.sum(skipna=False))
        .to_numpy()
    )


@pytest.mark.parametrize("case", REFERENCE["slopes"], ids=lambda c: c["id"].replace(" ", "-"))
def test_simple_slopes(case):
    formula = case["formula"].replace("yield", "`yield`")
    model = lmm(formula, _frame(case["data"]))
    slopes = simple_slopes(
        model,
        case["variable"],
        by=case["by"],
        at=_at(case),
        df_method=METHODS[case["df_method"]],
    )
    table, reference = slopes.tidy(), case["slopes"]
    np.testing.assert_allclose(table["estimate"], reference["estimate"], rtol=10 * ESTIMATE)
    np.testing.assert_allclose(table["std_error"], reference["std_error"], rtol=10 * STD_ERROR)
    np.testing.assert_allclose(table["df"], reference["df"], rtol=DF)
    np.testing.assert_allclose(table["p_value"], reference["p_value"], rtol=5e-3, atol=1e-12)
    np.testing.assert_allclose(table["conf_low"], reference["conf_low"], rtol=5e-3)


@pytest.mark.parametrize(
    "case", REFERENCE["joints"], ids=lambda c: f"{len(c['correlation'])}-df{c['df']}"
)
def test_joint_probability(case):
    joint = JointT.of(np.array(case["correlation"]))
    df = case["df"] or np.inf
    ours = [joint.p_value(c, df) for c in case["at"]]
    np.testing.assert_allclose(ours, case["p_value"], atol=P_DIRECTIONS)
