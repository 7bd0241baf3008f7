"""Which test a design gets, what its row says, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.groups import (
    compare_groups,
    detectable_g,
    detectable_h,
    smallest_p_of_design,
)
from alliance_stats.groups.comparing.count_tests import fisher_p, mcnemar_p
from alliance_stats.sentences import report

EXACT = 1e-12  # hand arithmetic in doubles
PRINTED = 5e-4  # printed digits


@pytest.fixture
def members():
    """Eight families of two or three members, four in each group."""
    rng = np.random.default_rng(12)
    family = np.repeat(np.arange(8), [3, 2, 3, 2, 3, 2, 2, 3])
    data = pd.DataFrame({"family": [f"F{f}" for f in family]})
    data["group"] = np.where(family < 4, "a", "b")
    data["score"] = rng.normal(size=8)[family] + rng.normal(size=family.size) + (family < 4)
    data["kept"] = (data["score"] > 0.3).astype(int)
    data["level"] = pd.Categorical(
        np.where(data["score"] > 1, "high", np.where(data["score"] > 0, "mid", "low")),
        ["low", "mid", "high"],
        ordered=True,
    )
    data["base"] = rng.normal(size=family.size)
    return data


def first(data, outcome="score", **options):
    return compare_groups(data, outcomes=outcome, group="group", **options).tidy().iloc[0]


@pytest.mark.parametrize(
    ("outcome", "options", "method"),
    [
        ("score", {}, "Welch t test"),
        ("level", {}, "Mann-Whitney test (exact)"),
        ("kept", {}, "Fisher exact test"),
        ("score", {"baseline": "base"}, "analysis of covariance"),
        ("score", {"cluster": "family"}, "mixed model (Kenward-Roger)"),
        ("kept", {"cluster": "family"}, "cluster-robust t test (CR2)"),
        ("level", {"cluster": "family"}, "rank permutation of 8 whole clusters (exact)"),
    ],
)
def test_the_default_follows_from_type_and_design(members, outcome, options, method):
    assert first(members, outcome, **options)["method"] == method


def test_defaults_of_matched_pairs():
    data = pd.DataFrame(
        {
            "pair": [1, 2, 3, 4] * 2,
            "group": ["a"] * 4 + ["b"] * 4,
            "score": [1.0, 2, 4, 8, 2, 2, 3, 5],
            "kept": [1, 1, 1, 0, 0, 1, 0, 0],
        }
    )
    data["level"] = pd.Categorical(data["score"].astype(int), range(9), ordered=True)
    for outcome, method in (
        ("score", "paired t test"),
        ("kept", "McNemar exact test"),
        ("level", "sign test (exact)"),
    ):
        assert first(data, outcome, paired="pair")["method"] == method
    with pytest.raises(DataError, match="'level' is ordinal: differences within pairs have a"):
        first(data, "level", paired="pair", test="permutation")


def test_defaults_of_three_groups(members):
    three = members.assign(group=["a", "b", "c", "b"] * 5)
    assert first(three)["method"] == "Welch analysis of variance"
    assert first(three, "level")["method"] == "Kruskal-Wallis test"
    assert first(three, "kept")["method"] == "Fisher exact test (Freeman-Halton)"
    assert "group_3" in compare_groups(three, outcomes="score", group="group").tidy()


def test_the_smallest_p_of_small_designs():
    assert smallest_p_of_design(4, 4) == pytest.approx(0.029, abs=PRINTED)
    assert smallest_p_of_design(6, 7) == pytest.approx(0.0006, abs=5e-5)
    assert smallest_p_of_design(4, 4) == pytest.approx(fisher_p(4, 4, 0, 4)[0], rel=EXACT)
    assert smallest_p_of_design(6, 7) == pytest.approx(fisher_p(6, 6, 0, 7)[0], rel=EXACT)


def test_detectable_effects_of_cohens_tables():
    # Cohen (1988): n = 64 a group detects d = .5, and n = 63 detects h = .5, with power .80
    assert detectable_g(64, 64) == pytest.approx(0.5, abs=5e-3)
    assert detectable_h(63, 63) == pytest.approx(0.5, abs=5e-3)
    assert math.isnan(detectable_g(1, 5))


def test_mann_whitney_of_three_against_three():
    data = pd.DataFrame({"group": list("aaabbb"), "score": [4.0, 5, 6, 1, 2, 3]})
    row = first(data, test="mann_whitney")
    assert row["statistic"] == 9
    assert row["p_value"] == pytest.approx(2 / 20, rel=EXACT)
    assert row["p_smallest"] == pytest.approx(2 / 20, rel=EXACT)
    assert row["estimate"] == 1.0  # Cliff's delta


def test_permutation_of_six_against_seven_counts_arrangements():
    data = pd.DataFrame(
        {"group": ["a"] * 6 + ["b"] * 7, "score": [20.0, 8, 7, 6, 5, 4.5, 4, 3, 2, 1, 0, -1, -2]}
    )
    row = first(data, test="permutation")
    assert row["p_value"] == pytest.approx(1 / 1716, rel=EXACT)
    assert row["method"] == "permutation test (exact)"
    assert row["interval_method"] == "Welch t"


def test_constant_groups_can_be_permuted_and_have_no_interval():
    data = pd.DataFrame({"group": list("aaaabbbb"), "score": [4.0] * 4 + [2.0] * 4})
    row = first(data, test="permutation")
    assert row["p_value"] == pytest.approx(2 / 70, rel=EXACT)
    assert math.isnan(row["conf_low"])
    assert math.isnan(row["hedges_g"])


def test_monte_carlo_needs_a_seed_and_repeats_with_it():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"group": ["a", "b"] * 30, "score": rng.normal(size=60)})
    with pytest.raises(DataError, match="More than 200,000 arrangements.*Give seed="):
        first(data, test="permutation")
    with pytest.raises(ValueError, match="n_resamples must be a whole number .* 1; got 0"):
        first(data, test="permutation", seed=4, n_resamples=0)
    one = first(data, test="permutation", seed=4, n_resamples=4999)
    two = first(data, test="permutation", seed=4, n_resamples=4999)
    assert one["p_value"] == two["p_value"]
    assert one["method"] == "permutation test (Monte Carlo, 4999 draws)"
    assert one["p_smallest"] == pytest.approx(1 / 5000, rel=EXACT)


def test_monte_carlo_agrees_with_enumeration_within_its_own_error():
    from alliance_stats.groups.comparing import permutation_tests
    from alliance_stats.groups.comparing.finding import TestOptions

    rng = np.random.default_rng(3)
    y, chosen = rng.normal(size=13), np.arange(13) < 6
    centre = 6 * y.mean()

    def distances(arrangements):
        return np.abs(arrangements @ y - centre)

    exact, _, _ = permutation_tests._two_sample_p(distances, chosen, TestOptions())
    m = 20_000
    draws = [np.random.default_rng(9).permuted(np.tile(chosen, (m, 1)), axis=1)]
    options = TestOptions(n_resamples=m, seed=9)
    drawn, _ = permutation_tests._monte_carlo_p(distances, chosen, draws, options)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / m))


def test_three_groups_are_permuted_by_monte_carlo():
    data = pd.DataFrame({"group": list("aaabbbccc"), "score": [1.0, 2, 3, 4, 5, 6, 7, 8, 9]})
    row = first(data, test="permutation", seed=2, n_resamples=999)
    assert row["statistic_name"] == "SS between"
    # 9!/(3!)^3 = 1680 arrangements, 6 as extreme: p = .0036, seen through 999 draws
    assert row["p_value"] == pytest.approx(6 / 1680, abs=4 * math.sqrt(6 / 1680 / 999) + 1e-3)


def test_whole_clusters_are_never_split(members):
    row = first(members, cluster="family", test="permutation")
    assert row["p_smallest"] >= 1 / 70
    assert row["method"] == "permutation of 8 whole clusters (exact)"
    assert row["interval_method"] == "cluster-robust t (CR2)"


def test_clusters_that_lie_in_both_groups_are_said_so(members):
    crossed = members.assign(group=["a", "b"] * 10)
    row = first(crossed, cluster="family")
    assert row["method"] == "mixed model (Kenward-Roger)"
    assert "clusters lie in both groups" in row["note"]
    assert row["hedges_g"] * row["estimate"] > 0  # the model's own difference, standardised
    assert math.isnan(row["detectable"])
    robust = first(crossed, cluster="family", test="cluster_robust")
    assert math.isnan(robust["hedges_g"])
    assert "no cluster-corrected g is given" in robust["note"]
    with pytest.raises(DataError, match="a cluster lies in both groups, so whole clusters cannot"):
        first(crossed, cluster="family", test="permutation")


def test_a_group_of_one_cluster_is_described_and_not_tested(members):
    one = members[members["family"].isin(["F0", "F4", "F5"])]
    row = first(one, cluster="family")
    assert row["note"] == "group 'a' has one cluster: described, not tested"
    assert math.isnan(row["p_value"])


def test_clusters_of_one_say_nothing(members):
    with pytest.raises(NotIdentifiedError, match="every cluster has one member"):
        first(members.assign(family=range(len(members))), cluster="family")


def test_clustered_rows_give_no_interval_that_takes_members_for_independent(members):
    row = first(members, cluster="family")
    assert row["hedges_g_scale"] == "total SD of the mixed model"
    robust = first(members, cluster="family", test="cluster_robust")
    assert robust["hedges_g_scale"] == "total SD of members, cluster-corrected"
    assert 0 <= row["icc"] <= 1
    assert math.isnan(row["superiority_low"])
    plain = first(members)
    assert row["detectable"] > plain["detectable"]
    assert row["detectable_scale"] == "total SD, at the estimated ICC"
    assert (
        row["hedges_g_high"] - row["hedges_g_low"] > plain["hedges_g_high"] - plain["hedges_g_low"]
    )


def test_permuting_clusters_with_a_baseline_is_refused(members):
    with pytest.raises(DataError, match="compares two groups without a baseline"):
        first(members, cluster="family", baseline="base", test="permutation")


def test_tied_pairs_are_counted_in_the_note():
    data = pd.DataFrame(
        {"pair": [1, 2, 3] * 2, "group": list("aaabbb"), "score": [1.0, 2, 3, 1, 1, 1]}
    )
    row = first(data, paired="pair", test="wilcoxon")
    assert row["note"] == "1 of 3 pairs do not differ"
    assert row["p_value"] == pytest.approx(0.5, rel=EXACT)
    assert first(data, paired="pair", test="sign")["p_value"] == pytest.approx(0.5, rel=EXACT)


def test_pairs_that_never_differ():
    data = pd.DataFrame(
        {"pair": [1, 2, 3] * 2, "group": list("aaabbb"), "kept": [1, 0, 1, 1, 0, 1]}
    )
    row = first(data, "kept", paired="pair")
    assert row["p_value"] == 1.0
    assert row["note"] == "no pair differs"
    assert mcnemar_p(0, 0) == 1.0


def test_mid_p_of_equal_discordance_is_less_than_one():
    # Fagerland, Lydersen & Laake (2013): 1 - P(b) / 2 where b = c
    assert mcnemar_p(1, 1, mid=True) == pytest.approx(1 - 0.5 / 2, rel=EXACT)


def test_equivalence_needs_a_t_and_a_margin(members):
    comparison = compare_groups(members, outcomes="score", group="group")
    row = comparison.equivalence(margin={"score": 9.0}).iloc[0]
    assert row["equivalent"]
    assert row["conf_level"] == pytest.approx(0.90, rel=EXACT)
    in_sds = comparison.equivalence(margin=0.5, scale="sd").iloc[0]
    assert in_sds["margin"] > 0
    with pytest.raises(DataError, match="must be a positive number"):
        comparison.equivalence(margin=-1.0)
    with pytest.raises(DataError, match="'scores' was not compared"):
        comparison.equivalence(margin={"scores": 1.0})
    ranked = compare_groups(members, outcomes="score", group="group", test="mann_whitney")
    with pytest.raises(DataError, match="has no t to test against a margin"):
        ranked.equivalence(margin=1.0)
    with pytest.raises(ValueError, match="scale must be one of"):
        comparison.equivalence(margin=1.0, scale="z")


def test_bayes_factors_of_t_tests(members):
    comparison = compare_groups(members, outcomes="score", group="group")
    row = comparison.bayes_factors().iloc[0]
    assert row["bf10"] * row["bf01"] == pytest.approx(1.0, rel=EXACT)
    with pytest.raises(DataError, match="prior_scale must be a positive number"):
        comparison.bayes_factors(prior_scale=0)
    binary = compare_groups(members, outcomes="kept", group="group")
    with pytest.raises(DataError, match="the Bayes factor is that of a t test"):
        binary.bayes_factors()


def test_pairs_of_three_groups(members):
    three = members.assign(group=["a", "b", "c", "b"] * 5)
    for outcome, method in (
        ("score", "Games-Howell (p and interval hold for all 3 pairs together)"),
        ("level", "Mann-Whitney (p and interval of one pair; p_holm for all 3)"),
        ("kept", "Fisher (p and interval of one pair; p_holm for all 3)"),
    ):
        pairs = compare_groups(three, outcomes=outcome, group="group").pairwise()
        assert pairs["contrast"].tolist() == ["a - b", "a - c", "b - c"]
        assert (pairs["method"] == method).all()
        assert ("p_holm" in pairs) == (outcome != "score")
    with pytest.raises(DataError, match=r"has two groups: its one pair is in tidy\(\)"):
        compare_groups(members, outcomes="score", group="group").pairwise()


def test_a_test_for_each_outcome(members):
    tidy = compare_groups(
        members, outcomes=["score", "base"], group="group", test={"base": "student"}
    ).tidy()
    assert tidy["method"].tolist() == ["Welch t test", "Student t test"]


def test_an_ordinal_outcome_has_no_mean(members):
    described = compare_groups(members, outcomes="level", group="group").describe()
    assert described["mean"].isna().all()
    assert described["median"].between(0, 2).all()


def test_odds_ratio_and_newcombe_stand_in_a_binary_row(members):
    row = first(members, "kept", test="boschloo")
    assert row["estimand"] == "risk difference"
    assert row["interval_method"] == "Newcombe"
    assert row["odds_ratio_low"] < row["odds_ratio"] < row["odds_ratio_high"]
    assert row["detectable_scale"] == "Cohen's h"


@pytest.mark.parametrize(
    ("outcome", "options", "message"),
    [
        ("kept", {"baseline": "base"}, "'kept' is binary, and there is no test for that"),
        ("score", {"test": "fisher"}, r"test='fisher' does not fit outcome 'score' \(continuous\)"),
        ("level", {"test": "welch"}, r"test='welch' does not fit outcome 'level' \(ordinal\)"),
        ("score", {"test": "welch", "cluster": "family"}, "in groups with clusters"),
    ],
)
def test_a_test_that_does_not_fit_is_refused(members, outcome, options, message):
    with pytest.raises(DataError, match=message):
        first(members, outcome, **options)


def test_a_clustered_row_counts_its_clusters(members):
    comparison = compare_groups(members, outcomes="score", group="group", cluster="family")
    row = comparison.tidy().iloc[0]
    assert (row["n_1"], row["clusters_1"], row["n_2"], row["clusters_2"]) == (10, 4, 10, 4)
    assert comparison.glance().loc[0, "n_clusters"] == 8
    assert "n = 10, 4 clusters" in report(comparison)
    assert comparison.rows.units("cluster") == 8


def test_small_designs_say_what_no_exact_test_can_go_below():
    data = pd.DataFrame({"group": ["a"] * 6 + ["b"] * 7, "score": np.arange(13.0) ** 2})
    found = compare_groups(data, outcomes="score", group="group")
    assert "smallest p of an exact test = .0006," in report(found)


def test_detectable_effect_of_whole_clusters_is_that_of_their_means():
    # five families of two a group whose members are copies: ten cases, not twenty
    data = pd.DataFrame(
        {
            "group": np.repeat(["a", "b"], 10),
            "family": np.repeat(np.arange(10), 2),
            "score": np.repeat([1.0, 4, 2, 8, 5, 3, 9, 2, 7, 6], 2),
        }
    )
    row = first(data, cluster="family", test="cluster_robust")
    assert row["icc"] == pytest.approx(1.0, rel=EXACT)
    assert row["detectable"] == pytest.approx(detectable_g(5, 5), rel=1e-9)


def test_an_ordinal_outcome_has_no_detectable_difference_in_sds(members):
    assert math.isnan(first(members, "level")["detectable"])


def test_an_outcome_that_its_baseline_copies_is_refused(members):
    with pytest.raises(NotIdentifiedError, match="Is the baseline a copy of the outcome"):
        first(members.assign(base=members["score"]), baseline="base")


def test_an_outcome_of_clusters_and_not_of_members_is_refused(members):
    whole = members.assign(score=members["family"].str[1:].astype(int) ** 2.0)
    with pytest.raises(NotIdentifiedError, match="'score' is the same for all members of every"):
        first(whole, cluster="family")


def pairs_in_tenths() -> pd.DataFrame:
    """Whole numbers and the same as tenths, whose differences are not equal in binary."""
    rng = np.random.default_rng(7)
    before = rng.integers(10, 70, 14)
    points = np.concatenate([before, before + rng.integers(-2, 4, 14)])
    return pd.DataFrame(
        {
            "time": np.repeat(["after", "before"], 14),
            "person": np.tile(np.arange(14), 2),
            "points": points,
            "tenths": points / 10 + 0.1,
        }
    )


@pytest.mark.parametrize("test", ["wilcoxon", "sign", "permutation"])
def test_equal_differences_of_decimals_tie(test: str):
    data = pairs_in_tenths()
    options = {"group": "time", "paired": "person", "test": test, "seed": 1}
    whole, tenths = (
        compare_groups(data, outcomes=[name], **options).tidy().iloc[0]
        for name in ("points", "tenths")
    )
    assert tenths["p_value"] == whole["p_value"]
    assert tenths["note"] == whole["note"]


def test_equal_decimals_tie_however_they_were_computed():
    scores = [0.1 + 0.2, 0.3, 0.5, 0.2, 0.3, 0.6, 0.7, 0.1 + 0.7 - 0.1]
    data = pd.DataFrame({"group": list("aaaabbbb"), "score": scores})
    data["exact"] = [3, 3, 5, 2, 3, 6, 7, 7]
    found, exact = (
        compare_groups(data, outcomes=[name], group="group", test="mann_whitney").tidy().iloc[0]
        for name in ("score", "exact")
    )
    assert found["p_value"] == exact["p_value"]
    assert found["estimate"] == exact["estimate"]


@pytest.mark.parametrize("test", ["welch", "student"])
def test_floating_point_dust_is_no_variance(test: str):
    data = pd.DataFrame({"group": list("aaabbb"), "score": [0.1 + 0.2, 0.3, 0.3, 0.7, 0.7, 0.7]})
    with pytest.raises(NotIdentifiedError, match="'score'"):
        compare_groups(data, outcomes=["score"], group="group", test=test)


def test_small_differences_about_a_large_number_are_kept():
    data = pd.DataFrame(
        {"group": list("aaabbb"), "score": 1e9 + np.array([1, 2, 3, 2, 3, 4]) / 1e4}
    )
    small = data.assign(score=[1, 2, 3, 2, 3, 4])
    found, exact = (
        compare_groups(table, outcomes=["score"], group="group", test="welch").tidy().iloc[0]
        for table in (data, small)
    )
    assert found["p_value"] == pytest.approx(exact["p_value"], rel=1e-2)  # 1e9 has 1e-7 to a digit


def test_welch_has_its_df_in_any_unit(members):
    plain = first(members)
    for factor in (1e-120, 1e120):
        small = first(members.assign(score=members["score"] * factor))
        assert small["df"] == pytest.approx(plain["df"], rel=1e-9)
        assert small["p_value"] == pytest.approx(plain["p_value"], rel=1e-9)
