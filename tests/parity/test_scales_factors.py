"""Factor models agree with lavaan: estimates, errors and fit; groups, clusters, levels, dyads."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from alliance_stats.scales import FactorModel, factor_model, measurement_invariance
from tests.parity.reference import load_reference

REFERENCE = load_reference("scales_factors")
TWO = {"task": ["i1", "i2", "i3"], "bond": ["i4", "i5", "i6"]}
ONE = {"task": ["i1", "i2", "i3", "i4", "i5", "i6"]}
DYAD = {"mother": ["m1", "m2", "m3"], "father": ["f1", "f2", "f3"]}
FITTED = 2e-5  # lavaan stops its search at relative changes of 1e-10 of the objective
ERRORS = 1e-4  # relative: second derivatives lose half of those digits
MEASURES = {
    "log_lik": "logl", "chi2": "chisq", "df": "df", "p_value": "pvalue", "cfi": "cfi",
    "tli": "tli", "rmsea": "rmsea", "rmsea_low": "rmsea.ci.lower", "rmsea_high": "rmsea.ci.upper",
    "srmr": "srmr", "aic": "aic", "bic": "bic", "n_parameters": "npar",
}  # fmt: skip
ROBUST = MEASURES | {
    "chi2": "chisq.scaled", "p_value": "pvalue.scaled", "cfi": "cfi.robust", "tli": "tli.robust",
    "rmsea": "rmsea.robust", "rmsea_low": "rmsea.ci.lower.robust",
    "rmsea_high": "rmsea.ci.upper.robust", "scaling": "chisq.scaling.factor",
}  # fmt: skip


def frame(data: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(data)


def told(row: pd.Series, model: FactorModel) -> tuple[str, str, str]:
    """Return lavaan's row as (about, term, group) of ours."""
    left, operator, right = row["lhs"], row["op"], row["rhs"]
    factors = set(model.factors.of)
    group = ""
    if len(model.components) > 1:
        place = row["level"] if "level" in row.index else row["group"]
        group = model.components[int(place) - 1]
    match operator:
        case "=~":
            return "loading", f"{left} -> {right}", group
        case "~1":
            return "factor mean" if left in factors else "intercept", left, group
    kind = "factor" if left in factors else "residual"
    if left == right:
        return f"{kind} variance", left, group
    return f"{kind} covariance", f"{left} ~ {right}", group


def agree(model: FactorModel, reference: dict[str, Any], measures: dict[str, str]) -> None:
    found = model.glance().iloc[0]
    for own, name in measures.items():
        value = reference["fit"][name]
        assert found[own] == pytest.approx(value, rel=ERRORS, abs=ERRORS), name
    ours = model.tidy().set_index(["about", "term", "group"])
    theirs = pd.DataFrame(reference["parameters"])
    theirs = theirs[(theirs["se"] > 0) & theirs["op"].isin(["=~", "~1", "~~"])]
    assert len(theirs) == len(ours)
    for _, row in theirs.iterrows():
        own = ours.loc[told(row, model)]
        assert own["estimate"] == pytest.approx(row["est"], abs=FITTED), told(row, model)
        assert own["std_error"] == pytest.approx(row["se"], rel=ERRORS), told(row, model)


def test_one_and_two_factors() -> None:
    whole = REFERENCE["whole"]
    agree(factor_model(frame(whole["data"]), TWO), whole["two"], MEASURES)
    agree(factor_model(frame(whole["data"]), ONE), whole["one"], MEASURES)


def test_missing_answers_by_full_information() -> None:
    whole = REFERENCE["whole"]
    holes = frame(whole["holes"]).astype(np.float64)
    agree(factor_model(holes, TWO), whole["missing"], MEASURES)


@pytest.mark.parametrize("name", ["configural", "metric", "scalar", "strict"])
def test_groups_compared(name: str) -> None:
    groups = REFERENCE["groups"]
    found = measurement_invariance(frame(groups["data"]), TWO, group="who")
    agree(found.models[name], groups[name], MEASURES)


def test_partial_invariance() -> None:
    groups = REFERENCE["groups"]
    free = {"intercepts": ["i3"]}
    found = measurement_invariance(frame(groups["data"]), TWO, group="who", free=free)
    agree(found.models["scalar"], groups["partial"], MEASURES)


def test_clusters() -> None:
    clustered = REFERENCE["clustered"]
    agree(
        factor_model(frame(clustered["data"]), TWO, cluster="family"), clustered["complete"], ROBUST
    )
    # of measures beside missing answers lavaan corrects CFI, TLI and RMSEA in another way
    kept = {
        k: v
        for k, v in ROBUST.items()
        if k not in {"cfi", "tli", "rmsea", "rmsea_low", "rmsea_high"}
    }
    holes = frame(clustered["holes"]).astype(np.float64)
    agree(factor_model(holes, TWO, cluster="family"), clustered["missing"], kept)


def test_two_levels() -> None:
    levels = REFERENCE["two_level"]
    model = factor_model(frame(levels["data"]), {"f": ["i1", "i2", "i3", "i4"]}, nested_in="person")
    reference = levels["fit"]
    # lavaan names the factor of each level; its free model stops .0003 short of the maximum
    names = pd.DataFrame(reference["parameters"])
    names["lhs"] = names["lhs"].replace({"fw": "f", "fb": "f"})
    chi2 = model.glance()["chi2"].iloc[0]
    assert chi2 == pytest.approx(reference["fit"]["chisq"], abs=1e-3)
    assert chi2 >= reference["fit"]["chisq"]
    kept = {k: v for k, v in MEASURES.items() if k not in {"chi2", "p_value", "srmr"}}
    agree(model, {**reference, "parameters": names.to_dict("list")}, kept)


@pytest.mark.parametrize("name", ["configural", "metric", "scalar"])
def test_members_of_one_family_compared(name: str) -> None:
    dyads = REFERENCE["dyads"]
    found = measurement_invariance(frame(dyads["data"]), DYAD)
    agree(found.models[name], dyads[name], MEASURES)
