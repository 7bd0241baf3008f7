"""The two real trials as the analyses read them, beside lme4, lmerTest, survival and base R."""

import numpy as np
import pytest

from alliance_stats.survival import kaplan_meier, log_rank
from analyses import beat_the_blues, family_therapy
from tests.parity.reference import load_reference

# lme4 stops a little before the very optimum; its side limits the agreement
MODEL_RTOL = 1e-5
# lmerTest differentiates numerically
DF_RTOL = 1e-3
# closed forms on both sides
CLOSED_RTOL = 1e-10


@pytest.fixture(scope="module")
def reference():
    return load_reference("trial_analyses")


def test_blues_model_is_lme4s(reference):
    theirs = reference["blues_model"]
    fit = beat_the_blues.model(beat_the_blues.load())
    mine = fit.tidy().set_index("term")
    names = [
        "(Intercept)",
        "bdi_before",
        "since",
        "treatment[T.Beat the Blues]",
        "drug[T.Yes]",
        "length[T.>6m]",
        "since:treatment[T.Beat the Blues]",
    ]
    assert len(theirs["term"]) == len(mine) == len(names)
    np.testing.assert_allclose(mine.loc[names, "estimate"], theirs["estimate"], rtol=1e-4)
    np.testing.assert_allclose(mine.loc[names, "std_error"], theirs["std_error"], rtol=MODEL_RTOL)
    np.testing.assert_allclose(mine.loc[names, "df"], theirs["df"], rtol=DF_RTOL)
    spread = fit.tidy(effects="ran_pars").set_index("group")["estimate"]
    assert spread["patient"] == pytest.approx(theirs["sd_patient"], rel=MODEL_RTOL)
    assert fit.sigma == pytest.approx(theirs["sigma"], rel=MODEL_RTOL)
    assert fit.nobs == theirs["nobs"]


def test_blues_dropout_is_survivals(reference):
    theirs = reference["blues_dropout"]
    patients = beat_the_blues.last_seen(beat_the_blues.load())
    mine = kaplan_meier(patients, time="month", event="left", strata="treatment").tidy()
    lengths = dict(zip(theirs["strata"], theirs["strata_length"], strict=True))
    start = 0
    for arm, name in (("TAU", "Usual treatment"), ("BtheB", "Beat the Blues")):
        stop = start + lengths[f"treatment={arm}"]
        own = mine[mine["strata"] == name]
        for column, key in (
            ("time", "time"),
            ("estimate", "survival"),
            ("n_risk", "n_risk"),
            ("n_event", "n_event"),
        ):
            np.testing.assert_allclose(own[column], theirs[key][start:stop], rtol=CLOSED_RTOL)
        start = stop
    test = log_rank(patients, time="month", event="left", group="treatment")
    assert test.statistic == pytest.approx(theirs["chisq"], rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("arm", ["FT", "CBT"])
def test_anorexia_comparisons_are_rs(reference, arm):
    theirs = reference["anorexia"][arm]
    data, name = family_therapy.load(), family_therapy.ARMS[arm]
    change = family_therapy.against_control(data, name).tidy().iloc[0]
    assert change["estimate"] == pytest.approx(theirs["difference"], rel=CLOSED_RTOL)
    assert [change["conf_low"], change["conf_high"]] == pytest.approx(theirs["conf"], rel=1e-8)
    assert change["p_value"] == pytest.approx(theirs["p"], rel=1e-8)
    assert change["df"] == pytest.approx(theirs["df"], rel=CLOSED_RTOL)
    assert change["hedges_g"] == pytest.approx(theirs["g"], rel=1e-6)
    given = family_therapy.against_control(data, name, "weight_before").tidy().iloc[0]
    assert given["estimate"] == pytest.approx(theirs["adjusted"], rel=CLOSED_RTOL)
    assert [given["conf_low"], given["conf_high"]] == pytest.approx(
        theirs["adjusted_conf"], rel=1e-8
    )
