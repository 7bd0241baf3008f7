"""What must hold of every comparison of groups."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alliance_stats.effect_sizes import (
    cluster_corrected_g,
    hedges_g,
    newcombe_difference,
    odds_ratio,
    probability_of_superiority,
)
from alliance_stats.groups import adjusted_p, compare_groups, krippendorff_alpha
from alliance_stats.groups.comparing.count_tests import boschloo_p, fisher_p
from alliance_stats.multilevel import lmm

ROUNDING = 1e-8  # arithmetic on values of order 1 to 100
SETTINGS = settings(max_examples=40, deadline=None)

scores = st.lists(st.integers(-60, 60).map(lambda v: v / 4), min_size=3, max_size=12)
counts = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(0, n[1]), st.just(n[1]))
)


def frame(x, y):
    return pd.DataFrame({"v": [*x, *y], "g": ["a"] * len(x) + ["b"] * len(y)})


def swapped(data):
    return data.assign(g=data["g"].map({"a": "b", "b": "a"}))


def row(data, **options):
    return compare_groups(data, outcomes="v", group="g", **options).tidy().iloc[0]


def varies(*samples):
    return all(np.ptp(s) > 0 for s in samples)


FLIPPED = [("estimate", "estimate"), ("conf_low", "conf_high"), ("hedges_g_low", "hedges_g_high")]


@SETTINGS
@given(scores, scores, st.sampled_from(["welch", "student", "mann_whitney", "permutation"]))
def test_swapping_groups_flips_the_sign(x, y, test):
    assume(varies(x, y) and not set(np.unique([*x, *y])) <= {0, 1})
    data = frame(x, y)
    one, two = row(data, test=test, seed=1), row(swapped(data), test=test, seed=1)
    for here, there in FLIPPED:
        assert one[here] == pytest.approx(-two[there], rel=ROUNDING, abs=ROUNDING)
    if "Monte Carlo" not in one["method"]:
        assert one["p_value"] == pytest.approx(two["p_value"], rel=ROUNDING)
    assert one["superiority"] == pytest.approx(1 - two["superiority"], abs=ROUNDING)


@SETTINGS
@given(scores, scores, st.floats(0.1, 50), st.floats(-100, 100))
def test_a_linear_change_of_units_leaves_g(x, y, scale, shift):
    assume(varies(x, y))
    one = hedges_g(x, y)
    two = hedges_g(scale * np.array(x) + shift, scale * np.array(y) + shift)
    assert two.estimate == pytest.approx(one.estimate, rel=1e-6, abs=1e-6)
    assert two.conf_low == pytest.approx(one.conf_low, rel=1e-6, abs=1e-6)
    assert one.conf_low < one.estimate < one.conf_high or one.estimate == 0


@SETTINGS
@given(scores, scores)
def test_rows_may_come_in_any_order(x, y):
    assume(varies(x, y) and not set(np.unique([*x, *y])) <= {0, 1})
    data = frame(x, y)
    one, two = row(data), row(data.sample(frac=1, random_state=1))
    for name in ("estimate", "p_value", "hedges_g", "superiority"):
        assert one[name] == pytest.approx(two[name], rel=ROUNDING, abs=ROUNDING)


@SETTINGS
@given(scores, scores)
def test_a_monotone_change_leaves_ranks(x, y):
    assume(varies(x, y) and not set(np.unique([*x, *y])) <= {0, 1})
    data = frame(x, y)
    one = row(data, test="mann_whitney")
    two = row(data.assign(v=np.exp(data["v"] / 20) + 2), test="mann_whitney")
    assert one["p_value"] == pytest.approx(two["p_value"], rel=ROUNDING)
    assert one["estimate"] == pytest.approx(two["estimate"], abs=ROUNDING)


@SETTINGS
@given(counts)
def test_tables_mirror(table):
    a, n_1, b, n_2 = table
    turned = (b, n_2, a, n_1)
    assert fisher_p(*table)[0] == pytest.approx(fisher_p(*turned)[0], rel=ROUNDING)
    assert boschloo_p(*table)[0] == pytest.approx(boschloo_p(*turned)[0], rel=1e-6)
    assert boschloo_p(*table)[0] <= fisher_p(*table)[0] * (1 + 1e-6)
    assert fisher_p(*table, mid=True)[0] <= fisher_p(*table)[0]
    assert fisher_p(*table)[0] >= fisher_p(*table)[1] * (1 - ROUNDING)
    one, two = newcombe_difference(*table), newcombe_difference(*turned)
    assert one.conf_low == pytest.approx(-two.conf_high, abs=ROUNDING)
    assert -1 <= one.conf_low <= one.estimate <= one.conf_high <= 1
    odds, inverse = odds_ratio(*table), odds_ratio(*turned)
    if 0 < odds.estimate < math.inf:
        assert odds.estimate == pytest.approx(1 / inverse.estimate, rel=1e-5)


@SETTINGS
@given(scores, scores)
def test_superiority_stays_inside_its_bounds(x, y):
    effect = probability_of_superiority(x, y)
    assert 0 <= effect.conf_low <= effect.estimate <= effect.conf_high <= 1
    assert effect.conf_high - effect.conf_low > 0.01


@SETTINGS
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrections_never_shrink_a_p(p_values):
    holm, fdr = adjusted_p(p_values, adjust="holm"), adjusted_p(p_values, adjust="fdr")
    assert (holm >= np.array(p_values) - ROUNDING).all()
    assert (fdr >= np.array(p_values) - ROUNDING).all()
    assert (fdr <= holm + ROUNDING).all()


def nested(seed, n_clusters=10):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 5, n_clusters)
    cluster = np.repeat(np.arange(n_clusters), sizes)
    value = rng.normal(size=n_clusters)[cluster] * rng.uniform(0, 2) + rng.normal(size=cluster.size)
    return pd.DataFrame(
        {"v": value, "g": np.where(cluster < n_clusters // 2, "a", "b"), "cl": cluster}
    )


@settings(max_examples=8, deadline=None)  # two mixed models each
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_duplicated_members_do_not_shrink_cluster_aware_intervals(seed, times):
    data = nested(seed)
    copied = pd.concat([data] * times)
    # a model that finds no variance between clusters is wider than the clusters' own means warrant:
    # copies, which show those means more sharply, may take it down to them and no further
    singular = lmm("v ~ g + (1 | cl)", data).singular
    means = data.groupby(["g", "cl"], as_index=False)["v"].mean()
    for test in ("mixed_model", "cluster_robust"):
        one, two = (row(d, cluster="cl", test=test) for d in (data, copied))
        before = one["conf_high"] - one["conf_low"]
        after = two["conf_high"] - two["conf_low"]
        if singular and test == "mixed_model":
            of_means = row(means, test="student")
            before = min(before, of_means["conf_high"] - of_means["conf_low"])
        # the mixed model weighs clusters by their reliability, which copies raise towards 1
        slack = 0.15 if test == "mixed_model" else 1e-6
        assert after >= before * (1 - slack)
    naive = [row(d)["conf_high"] - row(d)["conf_low"] for d in (data, copied)]
    assert naive[1] < naive[0] * 0.8  # what the naive interval does with copies


@SETTINGS
@given(st.integers(0, 10_000))
def test_cluster_robust_difference_ignores_copies_exactly(seed):
    data = nested(seed)
    one, two = (row(d, cluster="cl", test="cluster_robust") for d in (data, pd.concat([data] * 3)))
    for name in ("estimate", "std_error", "df", "p_value"):
        assert one[name] == pytest.approx(two[name], rel=1e-6)


@SETTINGS
@given(st.integers(0, 10_000), st.floats(0.1, 20), st.floats(-50, 50))
def test_cluster_corrected_g_has_no_units(seed, scale, shift):
    data = nested(seed)
    groups = (data["g"] == "b").astype(int)
    one = cluster_corrected_g(data["v"], groups, data["cl"])
    two = cluster_corrected_g(scale * data["v"] + shift, groups, data["cl"])
    relabelled = cluster_corrected_g(data["v"], groups, "family " + data["cl"].astype(str))
    for other in (two, relabelled):
        assert other.estimate == pytest.approx(one.estimate, rel=1e-6, abs=1e-6)
        assert other.conf_high == pytest.approx(one.conf_high, rel=1e-6, abs=1e-6)


@SETTINGS
@given(st.integers(0, 10_000))
def test_alpha_forgets_the_order_of_coders_and_cases(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (8, 3)).astype(float)
    codes[rng.random((8, 3)) < 0.15] = np.nan
    for level in ("nominal", "ordinal", "interval"):
        one = krippendorff_alpha(codes, measurement=level)
        two = krippendorff_alpha(rng.permutation(codes)[:, [2, 0, 1]], measurement=level)
        assert one == pytest.approx(two, rel=1e-10, nan_ok=True)
