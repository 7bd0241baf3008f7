"""Clustered members against clubSandwich, lmerTest and matrices; pairs and Bayes factors."""

import pandas as pd
import pytest

from alliance_stats.effect_sizes import anova_icc, cluster_corrected_g, hedges_correction
from alliance_stats.groups import compare_groups
from tests.parity.reference import load_reference, r_data

CLOSED_FORM = 1e-7  # same formula on both sides
MIXED = 1e-4  # lmer stops at a theta that is good to some 1e-5; ours is tighter
MIXED_DF = 1e-3  # Kenward-Roger df move with theta
BAYES = 1e-5  # both sides integrate numerically; pingouin's quad is the looser
TUKEY = 2e-6  # ptukey carries about 1e-10, SciPy's studentized range some 1e-7 relative

REFERENCE = load_reference("groups_clustered")


def data(name):
    return pd.DataFrame(REFERENCE[name])


def row(frame, outcome="y", **options):
    return (
        compare_groups(frame, outcomes=outcome, group="g", cluster="cl", **options).tidy().iloc[0]
    )


@pytest.mark.parametrize(
    ("name", "frame", "options"),
    [
        ("cr2_nested", "nested", {}),
        ("cr2_crossed", "crossed", {}),
        ("cr2_baseline", "nested", {"baseline": "base"}),
        ("cr2_binary", "nested", {"outcome": "z"}),
    ],
)
def test_cluster_robust_difference_is_club_sandwich(name, frame, options):
    ours = row(data(frame), test="cluster_robust", **options)
    for column, value in REFERENCE[name].items():
        assert ours[column] == pytest.approx(value, rel=CLOSED_FORM), column


@pytest.mark.parametrize(
    ("name", "frame", "options"),
    [
        ("kr_nested", "nested", {}),
        ("kr_crossed", "crossed", {}),
        ("kr_baseline", "nested", {"baseline": "base"}),
    ],
)
def test_mixed_model_difference_is_lmer_tests(name, frame, options):
    ours = row(data(frame), **options)
    assert ours["method"] == "mixed model (Kenward-Roger)"
    for column, value in REFERENCE[name].items():
        assert ours[column] == pytest.approx(value, rel=MIXED_DF if column == "df" else MIXED)


def test_mixed_model_of_two_levels_is_lmer_tests():
    frame = data("two_levels")
    # inner ids local to their outer cluster must not matter
    local = frame.assign(cl=frame["cl"] % 2)
    for levels in (frame, local):
        comparison = compare_groups(levels, outcomes="y", group="g", cluster=["top", "cl"])
        ours = comparison.tidy().iloc[0]
        for column, value in REFERENCE["kr_two_levels"].items():
            tolerance = MIXED_DF if column == "df" else MIXED
            assert ours[column] == pytest.approx(value, rel=tolerance), column
        assert comparison.rows.units("cl") == 14
        assert "clusters lie in both groups" in ours["note"]


def test_mixed_model_of_three_groups_is_lmer_tests_and_emmeans():
    comparison = compare_groups(data("three"), outcomes="y", group="g", cluster="cl")
    ours = comparison.tidy().iloc[0]
    for column, value in REFERENCE["kr_three"].items():
        assert ours[column] == pytest.approx(value, rel=MIXED_DF), column
    pairs, reference = comparison.pairwise(), REFERENCE["kr_pairs"]
    assert pairs["contrast"].tolist() == reference["contrast"]
    for column, name, tolerance in (
        ("estimate", "estimate", MIXED),
        ("std_error", "SE", MIXED),
        ("df", "df", MIXED_DF),
        ("conf_low", "lower.CL", MIXED_DF),
        ("p_value", "p.value", MIXED_DF),
    ):
        assert pairs[column].tolist() == pytest.approx(reference[name], rel=tolerance), column


def test_cluster_corrected_g_is_hedges_2007_in_matrices():
    ours = row(data("nested"), test="cluster_robust")
    reference = REFERENCE["g"]
    assert ours["icc"] == pytest.approx(reference["icc"], rel=CLOSED_FORM)
    assert ours["hedges_g"] == pytest.approx(reference["estimate"], rel=CLOSED_FORM)
    assert ours["hedges_g_low"] == pytest.approx(reference["conf_low"], rel=CLOSED_FORM)
    assert ours["hedges_g_high"] == pytest.approx(reference["conf_high"], rel=CLOSED_FORM)
    assert ours["hedges_g_scale"] == "total SD of members, cluster-corrected"


@pytest.mark.parametrize("name", ["nested", "crossed", "balanced", "baseline"])
def test_g_of_the_mixed_model_is_lmers_by_matrices(name):
    options = {"baseline": "base"} if name == "baseline" else {}
    ours = row(data("nested" if name == "baseline" else name), **options)
    reference = REFERENCE[f"model_g_{name}"]
    for column in ("icc", "hedges_g", "hedges_g_low", "hedges_g_high"):
        assert ours[column] == pytest.approx(reference[column], rel=MIXED_DF), column
    assert ours["hedges_g"] / hedges_correction(reference["h"]) == pytest.approx(
        reference["d"], rel=MIXED
    )
    assert ours["hedges_g_scale"].startswith("total SD of the mixed model")
    assert ("without the baseline" in ours["hedges_g_scale"]) == (name == "baseline")


def test_with_equal_clusters_both_gs_are_hedges_2007():
    frame, reference = data("balanced"), REFERENCE["hedges_2007"]
    model, members = row(frame), row(frame, test="cluster_robust")
    assert model["icc"] == pytest.approx(reference["icc"], rel=MIXED)
    assert members["icc"] == pytest.approx(reference["icc"], rel=CLOSED_FORM)
    h = REFERENCE["model_g_balanced"]["h"]
    assert model["hedges_g"] / hedges_correction(h) == pytest.approx(reference["d"], rel=MIXED)


def test_cluster_corrected_g_with_a_known_icc():
    frame = data("nested")
    groups = (frame["g"] == "b").astype(int)
    ours = cluster_corrected_g(frame["y"], groups, frame["cl"], icc=0.25)
    for name, value in REFERENCE["g_known"].items():
        assert getattr(ours, name) == pytest.approx(value, rel=CLOSED_FORM), name
    assert anova_icc(frame["y"], frame["cl"], groups) == pytest.approx(
        REFERENCE["g"]["icc"], rel=CLOSED_FORM
    )


def test_pairs_after_ancova_are_emmeans():
    anorexia = r_data("MASS", "anorexia")
    ours = compare_groups(anorexia, outcomes="Postwt", group="Treat", baseline="Prewt").pairwise()
    reference = REFERENCE["adjusted_pairs"]
    assert ours["contrast"].tolist() == reference["contrast"]
    for column, name in {
        "estimate": "estimate",
        "std_error": "SE",
        "df": "df",
        "conf_low": "lower.CL",
        "conf_high": "upper.CL",
        "p_value": "p.value",
    }.items():
        assert ours[column].tolist() == pytest.approx(reference[name], rel=TUKEY), column


@pytest.mark.parametrize(("test", "name"), [("welch_anova", "games_howell"), ("anova", "tukey")])
def test_pairs_after_analysis_of_variance(test, name):
    anorexia = r_data("MASS", "anorexia")
    ours = compare_groups(anorexia, outcomes="Postwt", group="Treat", test=test).pairwise()
    reference = pd.DataFrame(load_reference("groups_means")[name])
    if name == "tukey":  # TukeyHSD subtracts the earlier level from the later
        flipped = reference.assign(
            estimate=-reference["estimate"],
            conf_low=-reference["conf_high"],
            conf_high=-reference["conf_low"],
        )
        reference = flipped
    for column in ("estimate", "conf_low", "conf_high", "p_value"):
        assert ours[column].tolist() == pytest.approx(reference[column].tolist(), rel=TUKEY), column


@pytest.mark.parametrize(("margin", "name"), [(6.0, "tost"), (1.0, "tost_narrow")])
def test_equivalence_is_two_t_tests(margin, name):
    anorexia = r_data("MASS", "anorexia")
    two = anorexia[anorexia["Treat"] != "Cont"]
    comparison = compare_groups(two, outcomes="Postwt", group="Treat")
    ours = comparison.equivalence(margin=margin).iloc[0]
    reference = load_reference("groups_means")[name]
    assert ours["p_above_lower"] == pytest.approx(reference["p_low"], rel=CLOSED_FORM)
    assert ours["p_below_upper"] == pytest.approx(reference["p_high"], rel=CLOSED_FORM)
    assert [ours["conf_low"], ours["conf_high"]] == pytest.approx(
        reference["ci90"], rel=CLOSED_FORM
    )


@pytest.mark.parametrize("reference", REFERENCE["bayes"], ids=lambda r: f"t={r['t']:.1f}")
def test_bayes_factor_is_that_of_the_bayes_factor_package(reference):
    from alliance_stats.groups.comparing.no_difference import jzs_bayes_factor

    ours = jzs_bayes_factor(
        reference["t"],
        reference["n_1"],
        reference["n_2"],
        paired=reference.get("paired", False),
        prior_scale=reference["r"],
    )
    assert ours == pytest.approx(reference["bf"], rel=BAYES)
