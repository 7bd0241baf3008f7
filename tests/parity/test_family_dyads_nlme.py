"""Actor-partner and one-with-many models against nlme."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alliance_stats.family import apim, one_with_many
from tests.parity.reference import load_reference

NLME = load_reference("family_dyads")
COUPLES = pd.DataFrame(NLME["couples"])
NAMES = {"dyad": "dyad", "member": "role", "outcome": "y", "predictors": "x"}

LOG_LIK = 1e-7
# nlme stops where its own iterations no longer move: estimates in SEs, the others relative
ESTIMATE, STD_ERROR, SHAPE = 1e-4, 2e-4, 1e-3

ACITELLI = Path(__file__).parents[3] / "shared" / "data" / "acipair_wide.csv"


def check(model, reference):
    table = model.tidy(df_method="normal")
    np.testing.assert_allclose(
        (table["estimate"] - reference["estimate"]) / reference["std_error"], 0, atol=ESTIMATE
    )
    np.testing.assert_allclose(table["std_error"], reference["std_error"], rtol=STD_ERROR)
    assert model.model.log_lik == pytest.approx(reference["log_lik"], rel=LOG_LIK)
    assert model.residual_correlation == pytest.approx(reference["correlation"], rel=SHAPE)
    if reference["relative_sd"]:
        pars = model.model.tidy(effects="ran_pars").set_index(["term", "level"])["estimate"]
        for role, relative in reference["relative_sd"].items():
            ours = pars["sd__Observation", role]
            assert ours == pytest.approx(reference["sigma"] * relative, rel=SHAPE)


def test_distinguishable_couples_with_missing_ratings():
    model = apim(COUPLES, **NAMES)
    check(model, NLME["apim"])
    # one rating lost with x of couple 9 for either member, three outcomes
    assert model.rows.n_set_aside == 5
    assert model.glance()["n_dyads"].tolist() == [59]


def test_indistinguishable_couples():
    check(apim(COUPLES, distinguishable=False, **NAMES), NLME["indistinguishable"])


def test_couples_under_therapists():
    model = apim(COUPLES, therapist="therapist", **NAMES)
    check(model, NLME["with_therapist"])
    pars = model.model.tidy(effects="ran_pars").set_index("group")
    ours = pars.loc["therapist", "estimate"]
    assert ours == pytest.approx(NLME["with_therapist"]["sd_therapist"], rel=SHAPE)


@pytest.mark.parametrize("distinguishable", [True, False])
def test_distinguishability(distinguishable):
    test = apim(COUPLES, distinguishable=distinguishable, **NAMES).distinguishability()
    reference = NLME["distinguishability"]
    assert test.statistic == pytest.approx(reference["statistic"], rel=1e-6)
    assert test.p_value == pytest.approx(reference["p_value"], rel=1e-5)
    assert test.df == reference["df"]
    assert test.refitted


def test_one_with_many_with_missing_ratings():
    data, reference = pd.DataFrame(NLME["many"]), NLME["one_with_many"]
    found = one_with_many(
        data,
        therapist="therapist",
        client="client",
        by_client="by_client",
        by_therapist="by_therapist",
    )
    assert found.model.log_lik == pytest.approx(reference["log_lik"], rel=LOG_LIK)
    fixed = found.model.tidy(df_method="normal")
    np.testing.assert_allclose(fixed["estimate"], reference["mean"], rtol=ESTIMATE)
    np.testing.assert_allclose(fixed["std_error"], reference["std_error"], rtol=STD_ERROR)
    table = found.tidy().set_index(["source", "level"])["estimate"]
    between = table.loc[[("client", "therapist"), ("therapist", "therapist")]]
    within = table.loc[[("client", "dyad"), ("therapist", "dyad")]]
    np.testing.assert_allclose(between, reference["between"], rtol=SHAPE)
    np.testing.assert_allclose(np.sqrt(within), reference["sd_dyad"], rtol=SHAPE)
    assert table["both", "therapist"] == pytest.approx(reference["generalized"], abs=SHAPE)
    assert table["both", "dyad"] == pytest.approx(reference["dyadic"], rel=SHAPE)
    assert found.rows.n_set_aside == 3


@pytest.mark.skipif(not ACITELLI.exists(), reason=f"the couples' data are not at {ACITELLI}")
def test_acitellis_couples():
    """Satisfaction by seeing the other positively; numbers from nlme::gls as in family_dyads.R."""
    wide = pd.read_csv(ACITELLI)
    data = pd.concat(
        [
            pd.DataFrame(
                {
                    "dyad": wide["CoupleID"],
                    "role": str(own),
                    "y": wide[f"Satisfaction_A.{own}"],
                    "x": wide[f"OtherPos_A.{own}"],
                }
            )
            for own in (1, 2)
        ],
        ignore_index=True,
    )
    model = apim(data, **NAMES)
    reference = {
        "estimate": [0.61124846, 0.37769996, 0.32147818, 0.69045888, 0.42438663, 0.26164977],
        "std_error": [0.412819489, 0.073922156, 0.081522531, 0.342903423, 0.067715686, 0.061402529],
        "log_lik": -150.1107998,
        "correlation": 0.47510923,
        "relative_sd": None,
    }
    check(model, reference)
    test = model.distinguishability()
    assert test.statistic == pytest.approx(7.277053, rel=1e-6)
    assert test.p_value == pytest.approx(0.122, abs=5e-4)
    assert len(wide) == model.glance()["n_dyads"].iloc[0] == 148
