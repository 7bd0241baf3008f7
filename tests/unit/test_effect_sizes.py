"""Effect sizes by hand, published worked examples, and what they refuse."""

import math

import numpy as np
import pytest

from alliance_stats.effect_sizes import (
    anova_icc,
    cliffs_delta,
    clopper_pearson,
    cluster_corrected_g,
    cohens_d,
    covariate_adjusted_g,
    hedges_correction,
    hedges_g,
    hedges_g_from_summary,
    hedges_g_paired,
    newcombe_difference,
    newcombe_paired_difference,
    noncentral_t_cdf,
    noncentral_t_interval,
    odds_ratio,
    pooled_sd,
    probability_of_superiority,
    tango_difference,
    wilson,
)
from alliance_stats.errors import DataError, NotIdentifiedError

EXACT = 1e-12  # hand arithmetic in doubles
PRINTED = 5e-5  # four printed decimals


def test_d_and_g_of_four_numbers():
    # means 2 and 5, both SDs sqrt 2, pooled sqrt 2, d = -3 / sqrt 2; J(2) = sqrt(pi) / ... = 0.5642
    assert cohens_d([1, 3], [4, 6]).estimate == pytest.approx(-3 / math.sqrt(2), rel=EXACT)
    assert hedges_correction(2) == pytest.approx(1 / math.sqrt(math.pi), rel=EXACT)
    assert hedges_g([1, 3], [4, 6]).estimate == pytest.approx(
        -3 / math.sqrt(2 * math.pi), rel=EXACT
    )


def test_pooled_sd_weighs_by_degrees_of_freedom():
    assert pooled_sd(1, 3, 2, 4) == pytest.approx(math.sqrt((1 + 27) / 4), rel=EXACT)


def test_g_from_summary_is_g_from_samples():
    x, y = np.array([1.0, 4, 2, 8, 5]), np.array([3.0, 3, 9, 1])
    summary = hedges_g_from_summary(
        mean_1=x.mean(), mean_2=y.mean(), sd_1=x.std(ddof=1), sd_2=y.std(ddof=1), n_1=5, n_2=4
    )
    assert summary.estimate == pytest.approx(hedges_g(x, y).estimate, rel=EXACT)
    assert summary.conf_low == pytest.approx(hedges_g(x, y).conf_low, rel=1e-10)


def test_noncentral_t_limits_put_the_statistic_at_its_quantiles():
    low, high = noncentral_t_interval(2.2, 11, conf_level=0.9)
    assert noncentral_t_cdf(2.2, 11, low) == pytest.approx(0.95, rel=1e-10)
    assert noncentral_t_cdf(2.2, 11, high) == pytest.approx(0.05, rel=1e-10)


@pytest.mark.parametrize("statistic", [-60.0, -3.0, 0.0, 1e-9, 8.0, 900.0])
@pytest.mark.parametrize("df", [2, 11, 10_000])
def test_noncentral_t_limits_exist_and_mirror(statistic, df):
    low, high = noncentral_t_interval(statistic, df)
    assert low < statistic < high
    mirrored = noncentral_t_interval(-statistic, df)
    assert mirrored == pytest.approx((-high, -low), rel=1e-7, abs=1e-7)


def test_noncentral_t_cdf_where_scipy_underflows():
    assert noncentral_t_cdf(-2.0, 10, 37.0) == 0.0
    assert noncentral_t_cdf(2.0, 10, -37.0) == 1.0


def test_paired_g_standardises_by_the_differences():
    # differences 1, 2, 3: mean 2, SD 1, J(2) = 1 / sqrt(pi)
    effect = hedges_g_paired([2, 4, 6], [1, 2, 3])
    assert effect.estimate == pytest.approx(2 / math.sqrt(math.pi), rel=EXACT)


def test_covariate_adjusted_g_by_hand():
    effect = covariate_adjusted_g(2.0, 0.5, 4.0, 30.0)
    scale = hedges_correction(30.0)
    error = scale * math.sqrt((0.5 / 4) ** 2 + 0.5**2 / 60)
    assert effect.estimate == pytest.approx(scale * 0.5, rel=EXACT)
    assert (effect.conf_high - effect.conf_low) / 2 == pytest.approx(2.0422724563 * error, rel=1e-9)


def test_superiority_counts_pairs_and_halves_ties():
    # (3 v 1, 2, 3): 2 wins and a tie; (1 v 1, 2, 3): a tie and 2 losses -> 3 of 6
    assert probability_of_superiority([3, 1], [1, 2, 3]).estimate == pytest.approx(0.5, rel=EXACT)
    assert cliffs_delta([3, 4], [1, 3]).estimate == pytest.approx(0.75, rel=EXACT)


def test_superiority_without_overlap_keeps_a_width():
    effect = probability_of_superiority([4, 5, 6], [1, 2, 3])
    assert effect.estimate == 1.0
    assert effect.conf_high == 1.0
    assert 0.4 < effect.conf_low < 0.6


def test_superiority_interval_solves_newcombes_equation():
    effect = probability_of_superiority([3, 5, 6, 8], [1, 2, 4, 4, 7])
    size = 4.5 - 1
    for limit in (effect.conf_low, effect.conf_high):
        spread = 1 + size * ((1 - limit) / (2 - limit) + limit / (1 + limit))
        error = math.sqrt(limit * (1 - limit) * spread / 20)
        assert abs(effect.estimate - limit) / error == pytest.approx(1.959963985, rel=1e-8)


def test_newcombe_difference_reproduces_his_table():
    # Newcombe 1998 (SIM779), Table II, contrast a: 56/70 - 48/80, method 10
    effect = newcombe_difference(56, 70, 48, 80)
    assert effect.estimate == pytest.approx(0.2, rel=EXACT)
    assert (effect.conf_low, effect.conf_high) == pytest.approx((0.0524, 0.3339), abs=PRINTED)


def test_newcombe_difference_of_empty_cells_reproduces_his_table():
    # the same table, contrasts d and h: 5/56 - 0/29 and 10/10 - 0/10
    assert newcombe_difference(5, 56, 0, 29).conf_low == pytest.approx(-0.0381, abs=PRINTED)
    assert newcombe_difference(5, 56, 0, 29).conf_high == pytest.approx(0.1926, abs=PRINTED)
    assert newcombe_difference(10, 10, 0, 10).conf_low == pytest.approx(0.6075, abs=PRINTED)


def test_newcombe_paired_difference_reproduces_his_table():
    # Newcombe 1998 (SIM954), Table III: 36, 12, 2, 0, method 10
    effect = newcombe_paired_difference(36, 12, 2, 0)
    assert (effect.conf_low, effect.conf_high) == pytest.approx((0.0569, 0.3404), abs=PRINTED)


def test_newcombe_paired_difference_without_discordance_keeps_a_width():
    effect = newcombe_paired_difference(5, 0, 0, 5)
    assert effect.estimate == 0
    assert effect.conf_high > 0.05


def test_tango_difference_at_its_ends():
    # without discordance the limits are z^2 / (n + z^2), as Wilson's of nothing in n
    none = tango_difference(0, 0, 10)
    assert none.conf_high == pytest.approx(1.959963985**2 / (10 + 1.959963985**2), rel=1e-7)
    assert none.conf_low == pytest.approx(-none.conf_high, rel=1e-7)
    every = tango_difference(10, 0, 10)
    assert every.estimate == every.conf_high == 1.0
    assert 0 < every.conf_low < 1
    with pytest.raises(DataError, match="6 and 5 differing pairs cannot be had from 10 pairs"):
        tango_difference(6, 5, 10)


def test_proportions_at_their_ends():
    assert clopper_pearson(0, 10).conf_low == 0.0
    assert clopper_pearson(0, 10).conf_high == pytest.approx(1 - 0.025 ** (1 / 10), rel=1e-10)
    assert clopper_pearson(10, 10).conf_high == 1.0
    assert wilson(0, 10).conf_low == pytest.approx(0.0, abs=EXACT)


def test_odds_ratio_with_an_empty_margin_is_not_a_number():
    assert math.isnan(odds_ratio(0, 4, 0, 5).estimate)
    assert odds_ratio(4, 4, 0, 5).estimate == math.inf


def test_icc_of_clusters_without_inner_variance_is_one():
    values = [1.0, 1, 3, 3, 2, 2, 6, 6]
    clusters, groups = [0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 0, 0, 1, 1, 1, 1]
    assert anova_icc(values, clusters, groups) == pytest.approx(1.0, rel=EXACT)


def test_icc_by_hand_and_never_negative():
    # one group, clusters (0, 2), (4, 6): MSB = 16, MSW = 2, n0 = 2 -> 14 / 18
    assert anova_icc([0, 2, 4, 6], [0, 0, 1, 1], [0] * 4) == pytest.approx(14 / 18, rel=EXACT)
    assert anova_icc([0, 6, 0, 6], [0, 0, 1, 1], [0] * 4) == 0.0


def test_cluster_corrected_g_with_no_clustering_is_hedges_g():
    rng = np.random.default_rng(4)
    y, groups = rng.normal(size=24), np.repeat([0, 1], 12)
    effect = cluster_corrected_g(y, groups, np.repeat(np.arange(8), 3), icc=0.0)
    assert effect.estimate == pytest.approx(hedges_g(y[:12], y[12:]).estimate, rel=1e-12)


def test_cluster_corrected_g_is_hedges_2007_with_equal_clusters():
    # d_T = d sqrt(1 - 2 (n - 1) icc / (N - 2)) and its variance, Hedges (2007), equal cluster sizes
    rng = np.random.default_rng(8)
    n, clusters, rho = 4, 10, 0.3
    N = n * clusters
    y = rng.normal(size=N)
    groups = np.repeat([0, 1], N // 2)
    effect = cluster_corrected_g(y, groups, np.repeat(np.arange(clusters), n), icc=rho)
    shrink = 1 - 2 * (n - 1) * rho / (N - 2)
    d = cohens_d(y[: N // 2], y[N // 2 :]).estimate * math.sqrt(shrink)
    spread = (N - 2) * (1 - rho) ** 2 + n * (N - 2 * n) * rho**2
    spread += 2 * (N - 2 * n) * rho * (1 - rho)
    h = (N - 2 - 2 * (n - 1) * rho) ** 2 / spread
    variance = 4 / N * (1 + (n - 1) * rho) + d**2 / (2 * h)
    scale = hedges_correction(h)
    assert effect.estimate == pytest.approx(scale * d, rel=1e-12)
    assert effect.std_error == pytest.approx(scale * math.sqrt(variance), rel=1e-12)
    assert effect.df == clusters - 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hedges_g([1, 1], [2, 2]), NotIdentifiedError, "Neither group varies"),
        (lambda: hedges_g([1], [2, 3]), DataError, "at least 2 values; x has 1"),
        (lambda: hedges_g([1, np.nan], [2, 3]), DataError, "x has 1 missing or infinite value;"),
        (lambda: hedges_g([[1, 2]], [2, 3]), DataError, "must be one-dimensional"),
        (lambda: hedges_g([1, 2], [2, 3], conf_level=95), ValueError, "between 0 and 1"),
        (
            lambda: hedges_g_from_summary(mean_1=1, mean_2=2, sd_1=1, sd_2=1, n_1=1, n_2=4),
            DataError,
            "at least 2 cases a group; got n = 1 and 4",
        ),
        (
            lambda: hedges_g_from_summary(mean_1=1, mean_2=2, sd_1=-1, sd_2=1, n_1=3, n_2=4),
            DataError,
            "cannot be negative",
        ),
        (lambda: hedges_g_paired([1, 2], [1, 2, 3]), DataError, "one value per pair; got 2 and 3"),
        (lambda: hedges_g_paired([1, 2], [0, 1]), NotIdentifiedError, "differences are equal"),
        (lambda: hedges_correction(1.0), NotIdentifiedError, "more than 1 degree of freedom"),
        (lambda: probability_of_superiority([], [1]), DataError, "a value in each group"),
        (lambda: wilson(5, 4), DataError, "got 5 of 4"),
        (
            lambda: anova_icc([1, 2, 3], ["a", "b", "c"], [0, 0, 1]),
            NotIdentifiedError,
            "Every cluster has one member",
        ),
        (
            lambda: anova_icc([1, 2, 3, 4], [1, 1, 2, 2], [0, 0, 1, 1]),
            NotIdentifiedError,
            "a group with at least two",
        ),
        (
            lambda: anova_icc([5, 5, 5, 5], [1, 1, 2, 2], [0, 0, 0, 0]),
            NotIdentifiedError,
            "do not vary within groups",
        ),
        (
            lambda: cluster_corrected_g([1, 2, 3], [0, 1, 1], ["a", "a", "b"]),
            DataError,
            "Cluster a has members in more than one group",
        ),
        (
            lambda: cluster_corrected_g([1, 2, 3], [0, 1, 1], ["a", "b", "b"]),
            NotIdentifiedError,
            "2 clusters: a cluster-corrected g needs at least 4",
        ),
        (
            lambda: cluster_corrected_g([1, 2, 3], [0, 0, 0], ["a", "b", "b"]),
            DataError,
            "both present",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


DUSTY = ([4.1, 1.1, 2.3], [4.0, 1.0, 2.2])  # every difference 0.1, but not in binary


@pytest.mark.parametrize(
    "effect", [lambda: hedges_g([0.7] * 3, [0.1 + 0.2, 0.3, 0.3]), lambda: hedges_g_paired(*DUSTY)]
)
def test_floating_point_dust_is_no_standard_deviation(effect):
    with pytest.raises(NotIdentifiedError, match="SD is 0"):
        effect()
