"""Several outcomes at once against lavaan (ML, persons), nlme and glmmTMB (REML, therapists)."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.panel import several_outcomes
from tests.parity.reference import load_reference

R = load_reference("panel_several")
DATA = pd.DataFrame(R["data"]).astype(float)
IDS = {"person": "person", "session": "session"}
LOG_LIK = 1e-8
ESTIMATE = 1e-5  # where lavaan's search ends, in standard errors where these are large
STD_ERROR = 1e-4  # lavaan differentiates its gradient by Richardson's rule
NLME = 1e-5  # lme's covariances, on which means depend, stop where these are within this
NLME_SE = 3e-5  # and standard errors of means within this
TMB = 4e-4  # glmmTMB's residual SD of 1e-4 beside the outcomes' own, and its search
OF_MODELS = {
    "intercepts": {},
    "growth": {"growth": "linear"},
    "linear_growth": {"growth": "linear", "means": "linear"},
}


def found_by_label(found):
    values = {}
    for row in found.random_effects().to_dict("records"):
        name = "_".join(
            ("t" if "per session" in row[which] else "b") + row[which][1]
            for which in ("outcome", "other")
        )
        values[f"B_{name}"] = (row["estimate"], row["std_error"])
    for row in found.residual_covariances().to_dict("records"):
        values[f"E{row['outcome'][1]}{row['other'][1]}"] = (row["estimate"], row["std_error"])
    return values


@pytest.mark.parametrize("name", OF_MODELS)
def test_persons_alone_are_lavaans(name):
    found = several_outcomes(DATA, outcomes=["y1", "y2"], reml=False, **IDS, **OF_MODELS[name])
    reference = R["lavaan"][name]
    assert found.model.log_lik == pytest.approx(reference["log_lik"], rel=LOG_LIK)
    assert found.model.n_parameters == reference["n_parameters"]
    ours, compared = found_by_label(found), 0
    for label, estimate, std_error in zip(
        reference["label"], reference["estimate"], reference["std_error"], strict=True
    ):
        if label in ours:
            compared += 1
            assert ours[label][0] == pytest.approx(estimate, abs=ESTIMATE * max(std_error, 1)), (
                label
            )
            assert ours[label][1] == pytest.approx(std_error, rel=STD_ERROR), label
    assert compared == len(ours)


def test_intercepts_and_slopes_of_growth_are_lavaans():
    found = several_outcomes(
        DATA, outcomes=["y1", "y2"], reml=False, **IDS, **OF_MODELS["linear_growth"]
    )
    reference = R["lavaan"]["linear_growth"]
    values = zip(reference["estimate"], reference["std_error"], strict=True)
    by_label = dict(zip(reference["label"], values, strict=True))
    letter = {"(Intercept)": "m", "session": "g"}
    for row in found.means().itertuples():
        estimate, std_error = by_label[f"{letter[row.term]}{row.outcome[1]}"]
        assert row.estimate == pytest.approx(estimate, rel=ESTIMATE)
        assert row.std_error == pytest.approx(std_error, rel=STD_ERROR)


@pytest.mark.parametrize(
    ("name", "options"),
    [("session", {}), ("linear", {"means": "linear"}), ("ml", {"reml": False})],
)
def test_persons_in_therapists_are_nlmes(name, options):
    found = several_outcomes(DATA, outcomes=["y1", "y2"], nested_in=["therapist"], **IDS, **options)
    reference = R["nlme"][name]
    assert found.model.log_lik == pytest.approx(reference["log_lik"], rel=LOG_LIK)
    means, se = (found.means()[column].to_numpy() for column in ("estimate", "std_error"))
    if name == "linear":  # lme counts sessions from 0, we from the first
        slopes = slice(2, None)
        np.testing.assert_allclose(means[slopes], reference["fixed"][slopes], rtol=NLME)
        np.testing.assert_allclose(se[slopes], reference["fixed_se"][slopes], rtol=NLME_SE)
        np.testing.assert_allclose(means[:2] - means[2:], reference["fixed"][:2], rtol=NLME)
    else:
        np.testing.assert_allclose(means, reference["fixed"], rtol=NLME)
        if name != "ml":  # lme's are of the expected information then, ours of the observed
            np.testing.assert_allclose(se, reference["fixed_se"], rtol=NLME_SE)


@pytest.mark.parametrize("name", ["session", "linear", "three"])
def test_covariances_of_every_level_are_those_of_stacked_outcomes(name):
    outcomes = ["y1", "y2", "y3"] if name == "three" else ["y1", "y2"]
    options = {"means": "linear"} if name == "linear" else {}
    found = several_outcomes(DATA, outcomes=outcomes, nested_in=["therapist"], **IDS, **options)
    reference = R["glmmTMB"][name]
    assert found.model.log_lik == pytest.approx(reference["log_lik"], abs=2e-6)
    assert found.model.log_lik > reference["log_lik"]
    low = np.tril_indices(len(outcomes))
    effects = found.random_effects()
    for level in ("person", "therapist"):
        own = effects[effects["level"] == level]["estimate"]
        np.testing.assert_allclose(own, np.array(reference[level])[low], atol=TMB)
    np.testing.assert_allclose(
        found.residual_covariances()["estimate"], np.array(reference["row"])[low], atol=TMB
    )
    correlations = found.tidy()
    for level, key in (("within person", "row"), ("person", "person"), ("therapist", "therapist")):
        V = np.array(reference[key])
        r = (V / np.sqrt(np.outer(np.diag(V), np.diag(V))))[np.tril_indices(len(V), -1)]
        own = correlations[correlations["level"] == level]["estimate"]
        np.testing.assert_allclose(own, r, atol=TMB)
