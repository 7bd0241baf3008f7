"""Analyses of variance agree with car, anova() and effectsize."""

from typing import Any

import pandas as pd
import pytest

from alliance_stats.association import anova
from alliance_stats.association.variance_analysis import eta_interval
from tests.parity.reference import load_reference

REFERENCE = load_reference("association_anova")
LONG, WIDE = pd.DataFrame(REFERENCE["long"]), pd.DataFrame(REFERENCE["wide"])
EXACT = 1e-8  # least squares on both sides
EPSILON = 1e-8
TAIL = 1e-6  # p-values lose digits in the tail
CELLS = 0.05  # car has the number of cells for that of contrasts in a term of the second order
LIMITS = 1e-4  # effectsize searches its noncentrality to about that


def _key(term: str) -> frozenset[str]:
    return frozenset(term.split(":"))


@pytest.mark.parametrize("case", REFERENCE["repeated"], ids=lambda c: f"{c['formula']} {c['type']}")
def test_repeated_measures_as_car(case: dict[str, Any]) -> None:
    covariates = ["age"] if "age" in case["formula"] else []
    between = ["treatment"] if covariates else ["treatment", "gender"]
    found = anova(
        LONG,
        outcome="value",
        between=between,
        within=["phase", "hour"],
        person="id",
        covariates=covariates,
        kind=case["type"],
    )
    plain = found.tidy(correction="none")
    table = {
        _key(term): row for term, (_, row) in zip(plain["term"], plain.iterrows(), strict=True)
    }
    corrected = found.tidy()
    p_gg = {_key(t): p for t, p in zip(corrected["term"], corrected["p_value"], strict=True)}
    seen = 0
    for place, term in enumerate(case["term"]):
        if term == "(Intercept)":
            continue
        row = table[_key(term)]
        for ours, theirs in (
            ("ss", "ss"),
            ("df1", "df1"),
            ("ss_error", "ss_error"),
            ("df2", "df2"),
        ):
            assert row[ours] == pytest.approx(case[theirs][place], rel=EXACT, abs=1e-9), term
        assert row["statistic"] == pytest.approx(case["f"][place], rel=EXACT)
        assert row["p_value"] == pytest.approx(case["p"][place], rel=TAIL)
        seen += 1
    assert seen == len(plain)
    for term, w, p in zip(*(case["sphericity"][k] for k in ("term", "w", "p")), strict=True):
        assert table[_key(term)]["mauchly_w"] == pytest.approx(w, rel=EXACT)
        assert table[_key(term)]["mauchly_p"] == pytest.approx(p, rel=CELLS, abs=1e-12)
    adjusted = case["adjusted"]
    for term, gg, p, hf in zip(*(adjusted[k] for k in ("term", "gg", "p_gg", "hf")), strict=True):
        assert table[_key(term)]["epsilon_gg"] == pytest.approx(gg, rel=EPSILON)
        assert table[_key(term)]["epsilon_hf"] == pytest.approx(min(1.0, hf), rel=EPSILON)
        assert p_gg[_key(term)] == pytest.approx(p, rel=TAIL)


@pytest.mark.parametrize("case", REFERENCE["between"], ids=lambda c: c["type"])
def test_factors_between_with_a_covariate(case: dict[str, Any]) -> None:
    found = anova(
        WIDE, outcome="pre.1", between=["treatment", "gender"], covariates="age", kind=case["type"]
    )
    table = found.tidy().set_index("term")
    for place, term in enumerate(case["term"]):
        if term in {"(Intercept)", "Residuals"}:
            continue
        assert table.loc[term, "ss"] == pytest.approx(case["ss"][place], rel=EXACT)
        assert table.loc[term, "statistic"] == pytest.approx(case["f"][place], rel=EXACT)
        assert table.loc[term, "p_value"] == pytest.approx(case["p"][place], rel=TAIL)


def test_partial_eta_squared_as_effectsize() -> None:
    eta = REFERENCE["eta"]
    for f, df1, df2, low, high in zip(
        *(eta[k] for k in ("f", "df1", "df2", "low", "high")), strict=True
    ):
        ours = eta_interval(f, df1, df2, conf_level=0.95)
        assert ours == pytest.approx((low, high), abs=LIMITS)
