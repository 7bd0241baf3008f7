"""Rank, permutation and 2 x 2 tests against base R, coin and enumeration written out in R."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.effect_sizes import (
    clopper_pearson,
    odds_ratio,
    probability_of_superiority,
    tango_difference,
    wilson,
)
from alliance_stats.groups import compare_groups
from alliance_stats.groups.comparing.count_tests import boschloo_p, fisher_p, mcnemar_p
from tests.parity.reference import load_reference

CLOSED_FORM = 1e-7  # same formula or the same enumeration on both sides
FISHER_UNIROOT = 2e-3  # fisher.test finds its odds ratio with uniroot's default tolerance

REFERENCE = load_reference("groups_exact")


def two_samples(reference):
    x, y = reference["x"], reference["y"]
    return pd.DataFrame({"v": [*x, *y], "g": ["a"] * len(x) + ["b"] * len(y)})


def pairs(reference):
    data = two_samples(reference)
    return data.assign(pair=[*range(len(reference["x"]))] * 2)


def row(data, **options):
    return compare_groups(data, outcomes="v", group="g", **options).tidy().iloc[0]


@pytest.mark.parametrize("name", ["no_ties", "ties", "big"])
def test_mann_whitney_is_wilcox_test_and_coin(name):
    reference = REFERENCE["mann_whitney"][name]
    ours = row(two_samples(reference), test="mann_whitney")
    assert ours["statistic"] == pytest.approx(reference["U"], rel=CLOSED_FORM)
    assert ours["p_value"] == pytest.approx(reference["p_value"], rel=CLOSED_FORM)


def test_exact_mann_whitney_is_wilcox_test_without_ties():
    reference = REFERENCE["mann_whitney"]["no_ties"]
    ours = row(two_samples(reference), test="mann_whitney")
    assert ours["p_value"] == pytest.approx(reference["wilcox"], rel=CLOSED_FORM)
    assert ours["p_smallest"] == pytest.approx(2 / 1716, rel=CLOSED_FORM)


def test_kruskal_wallis_is_kruskal_test():
    reference = REFERENCE["kruskal"]
    groups = reference["groups"]
    data = pd.DataFrame(
        [(v, g) for g, values in groups.items() for v in values], columns=["v", "g"]
    )
    ours = row(data, test="kruskal_wallis")
    for name in ("statistic", "df", "p_value"):
        assert ours[name] == pytest.approx(reference[name], rel=CLOSED_FORM)


@pytest.mark.parametrize("name", ["no_ties", "ties", "big"])
def test_wilcoxon_is_wilcox_test_and_coin(name):
    reference = REFERENCE["wilcoxon"][name]
    ours = row(pairs(reference), paired="pair", test="wilcoxon")
    assert ours["p_value"] == pytest.approx(reference["p_value"], rel=CLOSED_FORM)
    if "V" in reference:
        assert ours["statistic"] == pytest.approx(reference["V"], rel=CLOSED_FORM)


def test_sign_test_is_binom_test():
    ours = row(pairs(REFERENCE["wilcoxon"]["ties"]), paired="pair", test="sign")
    assert ours["p_value"] == pytest.approx(REFERENCE["sign"]["p_value"], rel=CLOSED_FORM)


@pytest.mark.parametrize("name", ["no_ties", "ties"])
def test_permutation_of_cases_is_enumeration_and_coin(name):
    reference = REFERENCE["permutation"][name]
    ours = row(two_samples(REFERENCE["mann_whitney"][name]), test="permutation")
    assert ours["p_value"] == pytest.approx(reference["p_value"], rel=CLOSED_FORM)
    assert ours["p_value"] == pytest.approx(reference["coin"], rel=CLOSED_FORM)
    assert ours["p_smallest"] == pytest.approx(reference["smallest"], rel=CLOSED_FORM)


def test_permutation_of_signs_is_enumeration():
    ours = row(pairs(REFERENCE["wilcoxon"]["no_ties"]), paired="pair", test="permutation")
    assert ours["p_value"] == pytest.approx(REFERENCE["permutation"]["flips"], rel=CLOSED_FORM)


def test_permutation_of_whole_clusters_is_enumeration():
    reference = REFERENCE["permutation"]["clusters"]
    data = pd.DataFrame({name: reference[name] for name in ("v", "cl", "g")})
    ours = row(data, cluster="cl", test="permutation")
    assert ours["p_value"] == pytest.approx(reference["p_value"], rel=CLOSED_FORM)
    assert ours["p_smallest"] == pytest.approx(reference["smallest"], rel=CLOSED_FORM)


TABLES = REFERENCE["tables"]
IDS = ["/".join(map(str, t["table"])) for t in TABLES]


@pytest.mark.parametrize("reference", TABLES, ids=IDS)
def test_fisher_is_fisher_test(reference):
    p_value, smallest = fisher_p(*reference["table"])
    assert p_value == pytest.approx(reference["fisher"], rel=CLOSED_FORM)
    assert smallest == pytest.approx(reference["smallest"], rel=CLOSED_FORM)
    assert fisher_p(*reference["table"], mid=True)[0] == pytest.approx(
        reference["mid"], rel=CLOSED_FORM
    )


@pytest.mark.parametrize("reference", TABLES, ids=IDS)
def test_boschloo_is_its_definition_enumerated(reference):
    p_value, smallest = boschloo_p(*reference["table"])
    assert p_value == pytest.approx(reference["boschloo"], rel=CLOSED_FORM)
    assert smallest == pytest.approx(reference["boschloo_smallest"], rel=CLOSED_FORM)
    assert p_value <= reference["fisher"] * (1 + CLOSED_FORM)


@pytest.mark.parametrize("reference", TABLES, ids=IDS)
def test_odds_ratio_is_the_conditional_likelihoods(reference):
    ours = odds_ratio(*reference["table"])
    odds = reference["odds"]
    assert ours.estimate == pytest.approx(float(odds["estimate"]), rel=CLOSED_FORM)
    assert ours.conf_low == pytest.approx(float(odds["low"]), rel=CLOSED_FORM)
    assert ours.conf_high == pytest.approx(float(odds["high"]), rel=CLOSED_FORM)
    assert ours.estimate == pytest.approx(float(reference["fisher_or"]), rel=FISHER_UNIROOT)


@pytest.mark.parametrize("reference", REFERENCE["mcnemar"], ids=lambda r: f"{r['b']}/{r['c']}")
def test_mcnemar_is_binom_test(reference):
    b, c = reference["b"], reference["c"]
    assert mcnemar_p(b, c) == pytest.approx(reference["p_value"], rel=CLOSED_FORM)
    assert mcnemar_p(b, c, mid=True) == pytest.approx(reference["mid"], rel=CLOSED_FORM)


@pytest.mark.parametrize("reference", REFERENCE["proportions"], ids=lambda r: str(r["k"]))
def test_intervals_of_one_proportion_are_base_rs(reference):
    exact = clopper_pearson(*reference["k"])
    score = wilson(*reference["k"])
    ours = [exact.conf_low, exact.conf_high, score.conf_low, score.conf_high]
    np.testing.assert_allclose(
        ours, [*reference["ci"], *reference["wilson"]], rtol=CLOSED_FORM, atol=1e-12
    )


@pytest.mark.parametrize("reference", REFERENCE["tango"], ids=lambda r: str(r["k"]))
def test_tango_interval_is_the_restricted_likelihoods(reference):
    ours = tango_difference(*reference["k"])
    assert [ours.conf_low, ours.conf_high] == pytest.approx(reference["ci"], rel=CLOSED_FORM)


@pytest.mark.parametrize("name", ["no_ties", "ties", "big"])
def test_probability_of_superiority_is_newcombes_method_5(name):
    samples = REFERENCE["mann_whitney"][name]
    ours = probability_of_superiority(samples["x"], samples["y"])
    found = [ours.estimate, ours.conf_low, ours.conf_high]
    assert found == pytest.approx(REFERENCE["superiority"][name], rel=CLOSED_FORM)
