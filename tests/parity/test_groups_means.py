"""Means, their tests and g against base R, effectsize and emmeans."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.effect_sizes import cohens_d, hedges_g, hedges_g_paired
from alliance_stats.groups import adjusted_p, compare_groups, detectable_g
from tests.parity.reference import load_reference, r_data

CLOSED_FORM = 1e-7  # same formula on both sides; R's JSON carries 15 digits
EFFECTSIZE_OPTIM = 2e-6  # effectsize 0.8.3 finds its limits with optim(abstol = 1e-9)

REFERENCE = load_reference("groups_means")


@pytest.fixture(scope="module")
def anorexia():
    return r_data("MASS", "anorexia")


@pytest.fixture(scope="module")
def two(anorexia):
    return anorexia[anorexia["Treat"] != "Cont"]


def check_row(row, reference, names=None):
    for name in names or reference:
        assert row[name] == pytest.approx(reference[name], rel=CLOSED_FORM), name


T_ROW = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]


@pytest.mark.parametrize("test", ["welch", "student"])
def test_independent_t_tests_are_those_of_t_test(two, test):
    tidy = compare_groups(two, outcomes="Postwt", group="Treat", test=test).tidy()
    check_row(tidy.iloc[0], REFERENCE[test])


def test_welch_interval_at_another_level(two):
    tidy = compare_groups(two, outcomes="Postwt", group="Treat").tidy(conf_level=0.90)
    check_row(tidy.iloc[0], REFERENCE["welch90"])
    check_row(
        tidy.iloc[0].rename({"hedges_g_low": "low", "hedges_g_high": "high"}),
        {
            "low": REFERENCE["g"]["tight90"]["conf_low"],
            "high": REFERENCE["g"]["tight90"]["conf_high"],
        },
    )


def test_paired_t_test_is_that_of_t_test():
    sleep = r_data("datasets", "sleep")
    shuffled = sleep.sample(frac=1, random_state=3)
    tidy = compare_groups(shuffled, outcomes="extra", group="group", paired="ID").tidy()
    check_row(tidy.iloc[0], REFERENCE["paired"])
    g = REFERENCE["g_paired"]["tight"]
    assert tidy["hedges_g"][0] == pytest.approx(g["estimate"], rel=CLOSED_FORM)
    assert tidy["hedges_g_low"][0] == pytest.approx(g["conf_low"], rel=CLOSED_FORM)


def test_hedges_g_is_effectsizes(two):
    x, y = (two.loc[two["Treat"] == t, "Postwt"] for t in ("CBT", "FT"))
    ours = hedges_g(x, y)
    for source, tolerance in (("tight", CLOSED_FORM), ("effectsize", EFFECTSIZE_OPTIM)):
        for name, value in REFERENCE["g"][source].items():
            assert getattr(ours, name) == pytest.approx(value, rel=tolerance, abs=tolerance), name


def test_paired_g_is_effectsizes():
    sleep = r_data("datasets", "sleep")
    x, y = (sleep.loc[sleep["group"].astype(int) == k, "extra"].to_numpy() for k in (1, 2))
    ours = hedges_g_paired(x, y)
    for source, tolerance in (("tight", CLOSED_FORM), ("effectsize", EFFECTSIZE_OPTIM)):
        for name, value in REFERENCE["g_paired"][source].items():
            assert getattr(ours, name) == pytest.approx(value, rel=tolerance, abs=tolerance), name


def test_cohens_d_is_effectsizes(two):
    x, y = (two.loc[two["Treat"] == t, "Postwt"] for t in ("CBT", "FT"))
    reference = REFERENCE["d"]
    ours = cohens_d(x, y)
    assert ours.estimate == pytest.approx(reference["Cohens_d"][0], rel=CLOSED_FORM)
    assert ours.conf_low == pytest.approx(reference["CI_low"][0], rel=EFFECTSIZE_OPTIM)


def test_ancova_of_two_groups_is_lm_and_emmeans(two):
    tidy = compare_groups(two, outcomes="Postwt", group="Treat", baseline="Prewt").tidy()
    check_row(tidy.iloc[0], REFERENCE["ancova_two"], T_ROW)
    assert tidy["estimate"][0] == pytest.approx(REFERENCE["ancova_two"]["emmeans"], rel=CLOSED_FORM)


def test_ancova_of_three_groups_is_lm(anorexia):
    tidy = compare_groups(anorexia, outcomes="Postwt", group="Treat", baseline="Prewt").tidy()
    check_row(tidy.iloc[0], REFERENCE["ancova_three"])


@pytest.mark.parametrize("test", ["welch_anova", "anova"])
def test_analyses_of_variance_are_base_rs(anorexia, test):
    tidy = compare_groups(anorexia, outcomes="Postwt", group="Treat", test=test).tidy()
    check_row(tidy.iloc[0], REFERENCE[test])


@pytest.mark.parametrize("method", ["holm", "fdr"])
def test_adjusted_p_is_p_adjust(method):
    reference = REFERENCE["p_adjust"]
    ours = adjusted_p([*reference["p"], np.nan], adjust=method)
    np.testing.assert_allclose(ours[:-1], reference[method], rtol=CLOSED_FORM)
    assert np.isnan(ours[-1])


def test_detectable_effect_is_power_t_test():
    reference = REFERENCE["detectable"]
    assert detectable_g(6, 7) == pytest.approx(reference["n6_7"], rel=CLOSED_FORM)
    assert detectable_g(29, 17) == pytest.approx(reference["n29_17"], rel=CLOSED_FORM)
    assert detectable_g(20, 20) == pytest.approx(reference["n20_20"], rel=CLOSED_FORM)
    # power.t.test iterates to its own, looser tolerance
    assert detectable_g(20, 20) == pytest.approx(reference["r_20_20"], rel=1e-5)


def test_a_categorical_group_turns_the_contrast_round(two):
    turned = two.assign(Treat=pd.Categorical(two["Treat"], ["FT", "CBT"]))
    tidy = compare_groups(turned, outcomes="Postwt", group="Treat").tidy()
    assert tidy["contrast"][0] == "FT - CBT"
    assert tidy["estimate"][0] == pytest.approx(-REFERENCE["welch"]["estimate"], rel=CLOSED_FORM)
