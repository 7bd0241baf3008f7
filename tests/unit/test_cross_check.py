"""Numbers beside those of other libraries: every class that has a counterpart."""

import dataclasses
import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import alliance_stats as als
from alliance_stats.cross_check.cross_check import CHECKS, WITH_ROWS, why_not
from alliance_stats.cross_check.r_answers import r_is_installed
from alliance_stats.cross_check.second_answer import (
    AGREES,
    DEFINITION,
    DIFFERS,
    FAULT,
    NOT_ASKED,
    both,
    by_definition,
)
from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.scales import reliability
from tests.fuzz.frames import frames
from tests.unit.test_result_contract import _results

F = frames(seed=4)
UNITS, FORMS, THEMES, SESSIONS = F["units"], F["forms"], F["themes"], F["sessions"]
DUE = {"time": "time", "event": "event"}
LATE = UNITS.assign(entry=np.where(UNITS.index % 3 == 0, UNITS["time"] // 2, 0))
UNTIED = UNITS.assign(time=UNITS["time"] + np.linspace(0.0, 0.5, len(UNITS)))
WHOLE = THEMES.assign(before=np.arange(24) * 1.1 % 7, after=np.arange(24) * 1.7 % 5)
CODES = pd.DataFrame({name: np.random.default_rng(i).integers(1, 4, 30) for i, name in
                      enumerate(["a", "b", "c"])})  # fmt: skip


def _clients() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    person = np.repeat(np.arange(40), 6)
    therapist = person // 5
    x = rng.normal(size=240)
    y = 3.0 + 0.5 * x + rng.normal(size=8)[therapist] + rng.normal(size=40)[person]
    frame = pd.DataFrame({"therapist": therapist, "person": person, "x": x})
    frame["arm"] = np.where(therapist % 2, "a", "b")
    return frame.assign(y=y + rng.normal(size=240), time=np.tile(np.arange(6), 40),
                        won=(y > y.mean()).astype(int))  # fmt: skip


CLIENTS = _clients()
FORMULA = "y ~ x + arm + (1 | therapist/person)"


def _made(make: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():  # small samples warn; other libraries' warnings must not leak
        warnings.simplefilter("ignore")
        return make()


def _two(outcomes: list[str], data: pd.DataFrame = THEMES, **options: Any) -> Any:
    return als.compare_groups(data, outcomes=outcomes, group="group", **options)


# name -> what is checked, and the verdicts that it gives
CASES: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "lmm": (lambda: als.lmm(FORMULA, CLIENTS), {AGREES}),
    "lmm, ml, slope": (
        lambda: als.lmm("y ~ x + (1 + x | therapist)", CLIENTS, reml=False),
        {AGREES, DEFINITION},
    ),
    "lmm AR1": (
        lambda: als.lmm("y ~ x + (1 | person)", CLIENTS, residual=als.AR1("time", within="person")),
        {NOT_ASKED},
    ),
    "lmm crossed": (lambda: als.lmm("y ~ x + (1 | person) + (1 | time)", CLIENTS), {NOT_ASKED}),
    "within_between": (
        lambda: als.within_between(CLIENTS, outcome="y", predictor="x", levels=["person"]),
        {AGREES},
    ),
    "trajectories": (
        lambda: als.compare_trajectories(
            SESSIONS, outcome="alliance", time="session", group="role", person="person"
        ),
        {AGREES},
    ),
    "apim": (
        lambda: als.apim(
            SESSIONS[SESSIONS["session"] == 1],
            dyad="family",
            member="role",
            outcome="symptoms",
            predictors="alliance",
        ),
        {NOT_ASKED},
    ),
    "one_with_many": (
        lambda: als.one_with_many(
            SESSIONS[SESSIONS["session"] == 1],
            therapist="therapist",
            client="person",
            by_client="alliance",
            by_therapist="felt",
        ),
        {NOT_ASKED},
    ),
    "glmm": (
        lambda: als.glmm(
            "won ~ x + (1 | person)", CLIENTS.assign(won=(CLIENTS["y"] > 3).astype(int))
        ),
        {DEFINITION},
    ),
    "hazard": (
        lambda: als.discrete_hazard(
            "barriers",
            F["periods"],
            session="session",
            event="left",
            unit="unit",
            random=None,
            baseline="polynomial",
            baseline_df=2,
            link="logit",
        ),
        {AGREES},
    ),
    "hazard cloglog": (
        lambda: als.discrete_hazard(
            "barriers",
            F["periods"],
            session="session",
            event="left",
            unit="unit",
            random=None,
            baseline="polynomial",
            baseline_df=2,
        ),
        {AGREES, DEFINITION},
    ),
    "endings": (
        lambda: als.competing_hazards(
            "barriers",
            F["periods"],
            session="session",
            event="ended",
            unit="unit",
            censored="none",
            baseline="polynomial",
            baseline_df=2,
        ),
        {AGREES},
    ),
    "curves": (lambda: als.kaplan_meier(UNITS, **DUE, strata="group"), {AGREES}),
    "curves, late entry": (lambda: als.kaplan_meier(LATE, **DUE, entry="entry"), {AGREES}),
    "curves, weights": (
        lambda: als.kaplan_meier(UNITS.assign(w=UNITS["age"] / 40), **DUE, weights="w"),
        {AGREES, NOT_ASKED},
    ),
    "means": (
        lambda: als.restricted_mean(UNITS, **DUE, until=5, strata="group"),
        {AGREES, NOT_ASKED},
    ),
    "log-rank": (lambda: als.log_rank(UNITS, **DUE, group="group"), {AGREES}),
    "log-rank, strata": (
        lambda: als.log_rank(LATE, **DUE, group="group", entry="entry"),
        {AGREES, NOT_ASKED},
    ),
    "log-rank, weights": (
        lambda: als.log_rank(UNITS, **DUE, group="group", rho=1.0, gamma=0.5),
        {AGREES},
    ),
    "log-rank, Gehan": (
        lambda: als.log_rank(UNITS, **DUE, group="group", weights="gehan-breslow"),
        {AGREES},
    ),
    "incidence, ties": (
        lambda: als.cumulative_incidence(
            UNITS, time="time", event="state", censored="none", strata="group"
        ),
        {AGREES, NOT_ASKED},
    ),
    "incidence": (
        lambda: als.cumulative_incidence(UNTIED, time="time", event="state", censored="none"),
        {AGREES},
    ),
    "Cox": (lambda: als.cox_ph("barriers + group", UNITS, **DUE), {AGREES}),
    "Cox, strata": (lambda: als.cox_ph("barriers + age", UNITS, **DUE, strata="group"), {AGREES}),
    "Cox, clusters": (
        lambda: als.cox_ph("barriers", UNITS, **DUE, cluster="therapist"),
        {AGREES, NOT_ASKED},
    ),
    "Cox, Breslow": (
        lambda: als.cox_ph("barriers", UNITS, **DUE, ties="breslow"),
        {AGREES, NOT_ASKED},
    ),
    "Cox, frailty": (
        lambda: als.cox_ph("barriers", UNITS, **DUE, frailty="therapist"),
        {NOT_ASKED},
    ),
    "Cox, start-stop": (
        lambda: als.cox_ph(
            "barriers",
            F["periods"].assign(start=F["periods"]["session"] - 1),
            start="start",
            stop="session",
            event="left",
        ),
        {AGREES},
    ),
    "Welch": (lambda: _two(["before"]), {AGREES, DEFINITION}),
    "Student": (lambda: _two(["before"], test="student"), {AGREES, DEFINITION}),
    "ranks": (lambda: _two(["before"], WHOLE, test="mann_whitney"), {AGREES}),
    "ranks, ties": (lambda: _two(["coder_a"], test="mann_whitney"), {AGREES, DEFINITION}),
    "baseline": (lambda: _two(["after"], baseline="before"), {AGREES}),
    "shares": (lambda: _two(["trust"]), {AGREES, DEFINITION}),
    "three groups": (lambda: als.compare_groups(FORMS, outcomes=["after"], group="site"), {AGREES}),
    "three groups, equal variances": (
        lambda: als.compare_groups(FORMS, outcomes=["after"], group="site", test="anova"),
        {AGREES},
    ),
    "three groups, ranks": (
        lambda: als.compare_groups(FORMS, outcomes=["after"], group="site", test="kruskal_wallis"),
        {AGREES},
    ),
    "clusters": (
        lambda: als.compare_groups(CLIENTS, outcomes=["y"], group="arm", cluster="therapist"),
        {AGREES},
    ),
    "clusters, robust": (
        lambda: als.compare_groups(
            CLIENTS, outcomes=["y"], group="arm", cluster="therapist", test="cluster_robust"
        ),
        {AGREES, DEFINITION},
    ),
    "themes": (
        lambda: als.compare_themes(THEMES, themes=["trust", "blame"], group="group"),
        {AGREES, DEFINITION},
    ),
    "correlations": (lambda: als.correlations(FORMS, ["before", "after", "sessions"]), {AGREES}),
    "Kendall": (lambda: als.correlations(FORMS, ["before", "after"], method="kendall"), {AGREES}),
    "partial": (
        lambda: als.correlations(FORMS, ["before", "after"], method="spearman", partial="sessions"),
        {AGREES},
    ),
    "within": (
        lambda: als.correlations(SESSIONS, ["alliance", "symptoms"], within="person"),
        {AGREES, NOT_ASKED},
    ),
    "regression": (lambda: als.regression("after ~ before + arm", FORMS), {AGREES}),
    # robust errors of years and their squares: once wrong in the fourth digit here
    "regression, years": (
        lambda: als.regression(
            "y ~ x + year + I(year^2)", CLIENTS.assign(year=2015 + 2 * CLIENTS["time"])
        ),
        {AGREES},
    ),
    "regression, clusters": (
        lambda: als.regression("after ~ before + arm", FORMS, cluster="site"),
        {AGREES, DEFINITION},
    ),
    "logistic": (lambda: als.regression("well ~ before + arm", FORMS, family="logistic"), {AGREES}),
    "counts": (
        lambda: als.regression("sessions ~ before", FORMS, family="poisson", cluster="site"),
        {AGREES, DEFINITION},
    ),
    "ordinal": (lambda: als.regression("rated ~ before + arm", FORMS, family="ordinal"), {AGREES}),
    "anova": (lambda: als.anova(FORMS, outcome="after", between=["arm", "site"]), {AGREES}),
    "anova within": (
        lambda: als.anova(SESSIONS, outcome="alliance", within="session", person="person"),
        {AGREES},
    ),
    "anova mixed": (
        lambda: als.anova(
            SESSIONS, outcome="alliance", within="session", between="role", person="person"
        ),
        {AGREES},
    ),
    "anova beside its model": (
        lambda: als.mixed_anova(
            als.anova(SESSIONS, outcome="alliance", within="session", person="person")
        ),
        {AGREES},
    ),
    "alpha": (
        lambda: reliability(FORMS, items=[f"q{i}" for i in range(1, 7)]),
        {AGREES, NOT_ASKED},
    ),
    "coders": (
        lambda: als.coder_agreement(
            CODES, coders=["a", "b", "c"], measurement="ordinal", n_resamples=0
        ),
        {AGREES, NOT_ASKED},
    ),
    "pooled": (
        lambda: als.meta_analysis(F["studies"], estimate="yi", variance="vi", method="DL"),
        {AGREES, DEFINITION},
    ),
    "pooled, moderators": (
        lambda: als.meta_analysis(F["studies"], r="r", n="n", moderators="year"),
        {AGREES},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_agree_or_their_difference_is_explained(case: str) -> None:
    make, verdicts = CASES[case]
    check = als.cross_check(_made(make))
    table = check.tidy()
    assert set(table["verdict"]) <= verdicts, table[~table["verdict"].isin(verdicts)].to_string()
    assert (AGREES in verdicts) == (table["verdict"] == AGREES).any()
    explained = table[table["verdict"].isin([DEFINITION, FAULT, NOT_ASKED])]
    assert (explained["reason"] != "").all()
    assert check.agrees
    assert check.notes == ()
    assert not table["term"].eq("").any()


def test_every_class_with_a_counterpart_is_checked() -> None:
    made = {type(_made(make)) for make, _ in CASES.values()}
    assert set(CHECKS) - made == set()
    assert len(WITH_ROWS) == 1


def test_a_mediation_is_checked_with_its_rows() -> None:
    found = als.mediation(FORMS, treatment="sessions", mediator="before", outcome="after",
                          n_resamples=100, seed=1)  # fmt: skip
    with pytest.raises(DataError, match="does not hold its rows"):
        als.cross_check(found)
    table = als.cross_check(found, FORMS).tidy()
    assert (table["verdict"] == AGREES).sum() >= 2


def _wrong_curve(result: Any) -> Any:
    (curve,) = result.curves
    return dataclasses.replace(
        result, curves=(dataclasses.replace(curve, survival=curve.survival * 0.999),)
    )


def _wrong_finding(result: Any) -> Any:
    (one,) = result.comparisons
    finding = dataclasses.replace(one.finding, p_value=one.finding.p_value * 1.01)
    return dataclasses.replace(result, comparisons=(dataclasses.replace(one, finding=finding),))


def _changed(result: Any, **by: Callable[[Any], Any]) -> Any:
    return dataclasses.replace(result, **{k: new(getattr(result, k)) for k, new in by.items()})


WRONG: dict[str, Callable[[], Any]] = {
    "curve": lambda: _wrong_curve(als.kaplan_meier(UNITS, **DUE)),
    "p": lambda: _wrong_finding(_two(["before"])),
    "mean": lambda: _changed(
        als.restricted_mean(UNITS, **DUE, until=5), estimate=lambda m: m + 0.01
    ),
    "hazard ratio": lambda: _changed(als.cox_ph("barriers", UNITS, **DUE), beta=lambda b: b + 0.02),
    "score": lambda: _changed(als.log_rank(UNITS, **DUE, group="group"), score=lambda s: 1.01 * s),
    "F": lambda: _changed(
        als.anova(FORMS, outcome="after", between=["arm"]),
        effects=lambda own: tuple(dataclasses.replace(e, ss=1.01 * e.ss) for e in own),
    ),
    "pooled": lambda: _changed(
        als.meta_analysis(F["studies"], r="r", n="n"),
        fit=lambda fit: _changed(fit, beta=lambda b: b + 0.01),
    ),
    "rows of a model": lambda: _changed(
        als.regression("after ~ before", FORMS),
        fit=lambda fit: dataclasses.replace(
            fit, design=_changed(fit.design, y=lambda y: y + 0.1 * np.arange(len(y)))
        ),
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_number_is_found(wrong: str) -> None:
    check = als.cross_check(_made(WRONG[wrong]))
    assert not check.agrees
    assert check.summary().startswith("DIFFERENT from another library")
    assert check.glance()["n_differ"].item() > 0


def test_a_definition_explains_no_more_than_it_can() -> None:
    said = {"known": by_definition("by another formula", explains=0.1)}
    assert both("t", "e", 1.0, 1.05, "x", **said).verdict == DEFINITION
    assert both("t", "e", 1.0, 1.2, "x", **said).verdict == DIFFERS
    assert both("t", "e", 1.0, np.nan, "x").verdict == DIFFERS
    assert both("t", "e", np.nan, np.nan, "x").verdict == AGREES
    assert both("t", "e", 0.0, 0.0, "x").verdict == AGREES


def test_every_result_class_has_a_counterpart_or_a_reason_why_not() -> None:
    taken = {kind.__name__ for kind in (*CHECKS, *WITH_ROWS)}
    left = why_not()
    assert taken | set(left) == {kind.__name__ for kind in _results()}
    assert taken & set(left) == set()
    assert all(len(reason) > 30 for reason in left.values())


def test_the_page_names_every_class() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods" / "cross_check.md").read_text("utf-8")
    named = set(re.findall(r"\w+", page))
    assert {kind.__name__ for kind in (*CHECKS, *WITH_ROWS)} - named == set()
    assert set(why_not()) - named == set()


def test_what_has_no_counterpart_is_refused() -> None:
    gray = als.gray_test(UNITS, time="time", event="state", censored="none", group="group")
    with pytest.raises(WrongObjectError, match="no counterpart of a GrayTest, because .*cmprsk"):
        als.cross_check(gray)
    with pytest.raises(WrongObjectError, match="no counterpart of a DataFrame"):
        als.cross_check(UNITS)


def test_the_callers_state_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    als.cross_check(als.correlations(FORMS, ["before", "after"]))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="Rscript"):
        als.cross_check(als.cox_ph("barriers", UNITS, **DUE), ask_r=True)


@pytest.mark.slow
@pytest.mark.skipif(not r_is_installed(), reason="needs R")
@pytest.mark.parametrize(
    "make",
    [
        lambda: als.lmm(FORMULA, CLIENTS),
        lambda: als.lmm("y ~ x + (1 + x | therapist) + (1 | time)", CLIENTS, reml=False),
        lambda: als.glmm("won ~ x + (1 | therapist)", CLIENTS),
        lambda: als.cox_ph("barriers + age", UNITS, **DUE, strata="group", cluster="therapist"),
        lambda: als.meta_analysis(F["studies"], r="r", n="n", moderators="year"),
        lambda: als.meta_analysis(F["studies"], estimate="yi", variance="vi", method="PM"),
    ],
    ids=["lmm", "crossed", "glmm", "Cox", "moderators", "PM"],
)
def test_r_agrees(make: Callable[[], Any]) -> None:
    table = als.cross_check(_made(make), ask_r=True).tidy()
    asked = table[table["library"].str.startswith("R, ")]
    assert len(asked) >= 3
    assert (asked["verdict"] == AGREES).all(), asked.to_string()
