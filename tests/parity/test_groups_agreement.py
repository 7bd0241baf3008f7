"""Coder agreement, larger tables and standardised differences against psych, vcd, lme4, base R."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.groups import coder_agreement, cohen_kappa, krippendorff_alpha, table_one
from alliance_stats.groups.agreement_coefficients import (
    FORMS,
    fleiss_kappa,
    variance_components,
)
from alliance_stats.groups.comparing.count_tests import freeman_halton_p
from alliance_stats.groups.table_one import standardised_difference
from tests.parity.reference import load_reference, r_data

CLOSED_FORM = 1e-7  # same formula on both sides
REML = 1e-4  # lmer stops at a theta that is good to some 1e-5
PRINTED = 5e-4  # three printed decimals

REFERENCE = load_reference("groups_agreement")
PSYCH_NAMES = {  # psych's names (Shrout & Fleiss) of McGraw and Wong's forms
    "ICC(1,1)": "ICC1",
    "ICC(A,1)": "ICC2",
    "ICC(C,1)": "ICC3",
    "ICC(1,k)": "ICC1k",
    "ICC(A,k)": "ICC2k",
    "ICC(C,k)": "ICC3k",
}


@pytest.mark.parametrize(
    ("weights", "name"), [("none", "kappa"), ("linear", "linear"), ("quadratic", "quadratic")]
)
def test_cohen_kappa_is_psychs_and_vcds(weights, name):
    reference = REFERENCE[name]
    ours = cohen_kappa(REFERENCE["a"], REFERENCE["b"], weights=weights)
    assert ours.estimate == pytest.approx(reference["estimate"], rel=CLOSED_FORM)
    half = 1.959963984540054 * reference["std_error"]
    assert ours.conf_low == pytest.approx(reference["estimate"] - half, rel=CLOSED_FORM)
    assert ours.conf_high == pytest.approx(reference["estimate"] + half, rel=CLOSED_FORM)


def test_fleiss_kappa_is_its_definition():
    codes = np.column_stack([REFERENCE["a"], REFERENCE["b"], REFERENCE["third"]])
    assert fleiss_kappa(codes) == pytest.approx(REFERENCE["fleiss"], rel=CLOSED_FORM)


@pytest.mark.parametrize("level", ["nominal", "interval"])
def test_krippendorff_alpha_is_its_definition_over_all_pairs(level):
    ratings = pd.DataFrame(REFERENCE["alpha"]["holes"]).to_numpy(dtype=float)
    ours = krippendorff_alpha(ratings, measurement=level)
    assert ours == pytest.approx(REFERENCE["alpha"][level], rel=CLOSED_FORM)


def test_krippendorff_alpha_is_his_worked_example():
    # Krippendorff (2011), Computing Krippendorff's alpha-reliability, section E: 4 coders, 12 units
    n = np.nan
    data = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, n, n, n],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, n, 3],
            [n, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, n],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, n],
        ]
    ).T
    assert krippendorff_alpha(data, measurement="nominal") == pytest.approx(0.743, abs=PRINTED)
    assert krippendorff_alpha(data, measurement="ordinal") == pytest.approx(0.815, abs=PRINTED)
    assert krippendorff_alpha(data, measurement="interval") == pytest.approx(0.849, abs=PRINTED)


def test_intraclass_correlations_of_complete_ratings_are_psychs():
    data = pd.DataFrame(REFERENCE["sf"], columns=["J1", "J2", "J3", "J4"])
    agreement = coder_agreement(data, coders=list(data), measurement="interval", n_resamples=0)
    tidy = agreement.tidy().set_index("term")
    reference = pd.DataFrame(REFERENCE["icc"]).set_index("type")
    for form in FORMS:
        ours, theirs = tidy.loc[form], reference.loc[PSYCH_NAMES[form]]
        assert ours["estimate"] == pytest.approx(theirs["estimate"], rel=CLOSED_FORM), form
        assert ours["conf_low"] == pytest.approx(theirs["low"], rel=CLOSED_FORM), form
        assert ours["conf_high"] == pytest.approx(theirs["high"], rel=CLOSED_FORM), form


def test_variance_components_of_incomplete_ratings_are_lmers():
    ratings = np.array(REFERENCE["sf"], dtype=float)
    flat = ratings.T.ravel()
    flat[[2, 10, 19]] = np.nan
    (case_1, error_1), (case, coder, error) = variance_components(flat.reshape(4, 6).T)
    reference = REFERENCE["icc_missing"]
    assert case == pytest.approx(reference["case"], rel=REML)
    assert coder == pytest.approx(reference["coder"], rel=REML)
    assert error == pytest.approx(reference["error"], rel=REML)
    assert error_1 == pytest.approx(reference["error_1"], rel=REML)
    # here the one-way case variance sits at 0 in lmer; ours may be a rounding error off it
    assert case_1 == pytest.approx(reference["case_1"], rel=REML, abs=1e-6)


@pytest.mark.parametrize("reference", REFERENCE["tables"], ids=["2x3", "3x4", "3x2"])
def test_larger_tables_are_fisher_test(reference):
    p_value, smallest = freeman_halton_p(np.array(reference["t"]))
    assert p_value == pytest.approx(reference["p"], rel=CLOSED_FORM)
    assert 0 < smallest <= p_value


def test_standardised_differences_are_their_formulas():
    anorexia = r_data("MASS", "anorexia")
    two = anorexia[anorexia["Treat"] != "Cont"]
    table = table_one(two, variables=["Prewt"], group="Treat")
    assert table.tidy()["smd"].iloc[0] == pytest.approx(REFERENCE["smd"]["mean"], rel=CLOSED_FORM)
    for name, p, q in (
        ("categories", [0.2, 0.5], [0.4, 0.4]),
        ("binary", [0.25], [0.4]),
    ):
        moments = [(np.array(s), np.diag(s) - np.outer(s, s)) for s in (p, q)]
        ours = standardised_difference(*moments)
        assert ours == pytest.approx(REFERENCE["smd"][name], rel=CLOSED_FORM), name
