"""A column may have any name in the functions that make a formula of their own."""

from collections.abc import Callable, Hashable, Mapping

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats import (
    anova,
    apim,
    compare_groups,
    competing_hazards,
    cox_ph,
    discrete_hazard,
    factor_model,
    fine_gray,
    landmark_chance,
    leave_one_out,
    lmm,
    location_scale,
    mediation,
    ordinal,
    person_period,
    regression,
    simple_slopes,
    within_between,
)
from alliance_stats.design.grammar import quoted
from alliance_stats.errors import NotIdentifiedError

N = 240
RNG = np.random.default_rng(3)
LONG = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "person": np.repeat([f"p{i}" for i in range(40)], 6),
        "therapist": np.repeat([f"t{i}" for i in range(8)], 30),
        "session": np.tile(np.arange(1, 7), 40),
    }
)
# the first ran code that stood in a column's name
HOSTILE = (
    "` + I(C.__globals__['__builtins__']['__import__']('os').system('false')) + `",
    "y` + `x", "T+P", "a/b", "site:nr", "1", "(1 | g)", "a`", "lambda",
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("role", ["y", "x", "person", "therapist"])
def test_within_between(name: str, role: str) -> None:
    def fitted(data: pd.DataFrame, **names: str) -> pd.DataFrame:
        used = {c: names.get(c, c) for c in ("y", "x", "person", "therapist")}
        return within_between(
            data, outcome=used["y"], predictor=used["x"], levels=[used["person"], used["therapist"]]
        ).tidy()

    found = fitted(LONG.rename(columns={role: name}), **{role: name})
    assert_allclose(found["estimate"], fitted(LONG)["estimate"], rtol=1e-6)


def test_within_between_beside_columns_called_as_its_components() -> None:
    asked = {"outcome": "y", "predictor": "x", "levels": ["person"]}
    components = within_between(LONG, **asked).components
    beside = LONG.assign(**dict.fromkeys(components, 7.0))
    assert_allclose(
        within_between(beside, **asked).tidy()["estimate"],
        within_between(LONG, **asked).tidy()["estimate"],
    )


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("role", ["session", "unit", "x"])
def test_discrete_hazard(name: str, role: str) -> None:
    ending = LONG["person"].str[1:].astype(int) % 3
    data = LONG.assign(ending=ending.map({0: "dropout", 1: "planned", 2: "dropout"}), unit=1)
    data = data[data["session"] <= LONG["person"].str[1:].astype(int) % 5 + 2].drop(columns="unit")
    periods = person_period(
        data, unit="person", session="session", ending="ending", scores=["x"]
    ).rename(columns={"person": "unit"})

    def fitted(frame: pd.DataFrame, **names: str) -> pd.Series:
        return discrete_hazard(
            quoted(names.get("x", "x")), frame, session=names.get("session", "session"),
            event="event", unit=names.get("unit", "unit"), random=None,
        ).tidy()["estimate"]  # fmt: skip

    found = fitted(periods.rename(columns={role: name}), **{role: name})
    assert_allclose(found, fitted(periods), rtol=1e-6)


DYADS = pd.DataFrame(
    {
        "dyad": np.repeat(np.arange(40), 2),
        "role": np.tile(["w", "h"], 40),
        "x": RNG.normal(size=80),
        "y": RNG.normal(size=80),
        "cov": RNG.normal(size=80),
        "kind": np.where(np.repeat(np.arange(40), 2) % 2, "b", "a"),
        "t": np.repeat(np.arange(8), 10),
    }
)
ASKED = {"dyad": "dyad", "member": "role", "outcome": "y", "predictors": "x"}


@pytest.mark.parametrize("distinguishable", [True, False])
@pytest.mark.parametrize("name", ["mean_w", "actor_x_w", "actor_x", "position_", "mean_", *HOSTILE])
def test_covariates_of_dyads_keep_their_names(name: str, distinguishable: bool) -> None:
    def fitted(data: pd.DataFrame, covariate: str) -> pd.Series:
        model = apim(data, **ASKED, covariates=[covariate], distinguishable=distinguishable)
        return model.tidy()["estimate"]

    found = fitted(DYADS.rename(columns={"cov": name}), name)
    assert_allclose(found, fitted(DYADS, "cov"), rtol=1e-5)


def test_text_may_be_a_covariate_of_dyads() -> None:
    number = DYADS.assign(kind=(DYADS["kind"] == "b") * 1.0)
    found = apim(DYADS, **ASKED, covariates=["kind"]).tidy()
    expected = apim(number, **ASKED, covariates=["kind"]).tidy()
    assert_allclose(found["estimate"], expected["estimate"], rtol=1e-5)


@pytest.mark.parametrize("name", ["Therapeut/in", "Therapeut:in", *HOSTILE])
def test_therapists_of_dyads(name: str) -> None:
    found = apim(DYADS.rename(columns={"t": name}), **ASKED, therapist=name).tidy()
    assert_allclose(found["estimate"], apim(DYADS, **ASKED, therapist="t").tidy()["estimate"])


TIMES = pd.DataFrame(
    {
        "time": RNG.exponential(size=90) + 0.01,
        "state": RNG.choice([0, 1, 2], 90, p=[0.2, 0.4, 0.4]),
        "age": RNG.normal(40, 10, 90),
        "site": ["A"] * 60 + ["B"] * 30,
    }
)
TIMES["event"] = (TIMES["state"] == 1).astype(int)


def test_a_level_that_no_row_used_has_is_refused_in_hazards() -> None:
    data = TIMES.assign(age=TIMES["age"].where(TIMES["site"] == "A"))
    with pytest.raises(NotIdentifiedError, match="'site' has one level in the rows used"):
        cox_ph("age + site", data, time="time", event="event")
    with pytest.raises(NotIdentifiedError, match="'site' has one level in the rows used"):
        fine_gray("age + site", data, time="time", event="state", cause=2, censored=0)


def test_a_spline_gives_up_the_column_that_the_baseline_hazard_holds() -> None:
    # three columns span what a spline of four columns spans beside a constant
    cox = cox_ph("cr(age, df=4)", TIMES, time="time", event="event")
    assert len(cox.tidy()) == 3
    assert (
        len(
            fine_gray(
                "cr(age, df=4)", TIMES, time="time", event="state", cause=2, censored=0
            ).tidy()
        )
        == 3
    )


# a table of sessions side by side has numbers, or dates, for names; a point alone is a name too
LABELS = (3, 2.5, ".", "🙂 mood", "a -> b", "n", "mean")
END = LONG["person"].str[1:].astype(int) % 6 + 1
WIDE = LONG.assign(
    other=RNG.normal(size=N),
    group=np.where(RNG.random(N) < 0.5, "a", "b"),
    flag=RNG.random(N) < 0.5,
    stays=LONG["session"] <= END,
    late=np.where(LONG["session"] == END, RNG.choice([0, 1, 2], N), 0),
    time=RNG.exponential(size=N) + 0.01,
    step=np.tile([1, 2, 3], 80),
)
Call = Callable[[pd.DataFrame, Mapping[str, Hashable]], object]
NAMED: dict[str, tuple[tuple[str, ...], Call]] = {
    "regression": (
        ("y", "x", "person"),
        lambda d, n: regression(f"{quoted(n['y'])} ~ {quoted(n['x'])}", d, cluster=n["person"]),
    ),
    "simple_slopes": (
        ("x", "group"),
        lambda d, n: simple_slopes(
            regression(f"{quoted(n['y'])} ~ {quoted(n['x'])} * {quoted(n['group'])}", d),
            n["x"], by=n["group"],
        ),
    ),
    "anova": (
        ("group", "x"),
        lambda d, n: anova(d, outcome=n["y"], between=n["group"], covariates=[n["x"]]),
    ),
    "mediation": (
        ("flag", "x"),
        lambda d, n: mediation(d, treatment=n["flag"], mediator=n["x"], outcome=n["y"]),
    ),
    "location_scale": (
        ("group", "person"),
        lambda d, n: location_scale(
            f"{quoted(n['y'])} ~ 1 + (1 | {quoted(n['person'])})", d, scale=quoted(n["group"])
        ),
    ),
    "leave_one_out": (
        ("therapist",),
        lambda d, n: leave_one_out(
            lmm(f"{quoted(n['y'])} ~ {quoted(n['x'])} + (1 | {quoted(n['therapist'])})", d),
            n["therapist"],
        ),
    ),
    "competing_hazards": (
        ("session", "person", "x"),
        lambda d, n: competing_hazards(
            quoted(n["x"]), d[d["stays"]], session=n["session"], event=n["late"], unit=n["person"],
            baseline="polynomial", baseline_df=1,
        ),
    ),
    "landmark_chance": (
        ("person", "late", "x"),
        lambda d, n: landmark_chance(
            quoted(n["x"]), d[d["stays"]], session=n["session"], event=n["late"],
            unit=n["person"], horizon=3,
        ),
    ),
    "ordinal": (
        ("x", "person"),
        lambda d, n: ordinal(
            f"{quoted(n['step'])} ~ {quoted(n['x'])} + (1 | {quoted(n['person'])})", d,
            nominal=quoted(n["x"]),
        ),
    ),
    "compare_groups": (
        ("therapist", "y"),
        lambda d, n: compare_groups(
            d, outcomes=[n["y"]], group=n["group"], cluster=n["person"], seed=1
        ),
    ),
}  # fmt: skip


def _numbers(result: object) -> pd.Series:
    table = result.tidy()  # type: ignore[attr-defined]
    return table[next(name for name in ("estimate", "statistic", "highest") if name in table)]


@pytest.mark.filterwarnings("ignore::alliance_stats.errors.AllianceStatsWarning")
@pytest.mark.parametrize(
    ("asked", "role"), [(name, role) for name, (roles, _) in NAMED.items() for role in roles]
)
def test_any_label_is_a_column(asked: str, role: str) -> None:
    call = NAMED[asked][1]
    names = {str(name): name for name in WIDE.columns}
    expected = _numbers(call(WIDE, names))
    for label in LABELS:
        found = call(WIDE.rename(columns={role: label}), names | {role: label})
        assert_allclose(_numbers(found), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("label", [0, 3, 2.5])
def test_predictors_of_dyads_and_units_of_hazards_have_any_label(label: Hashable) -> None:
    found = apim(DYADS.rename(columns={"x": label}), **{**ASKED, "predictors": [label]}).tidy()
    assert_allclose(found["estimate"], apim(DYADS, **ASKED).tidy()["estimate"], rtol=1e-6)
    data = WIDE[WIDE["stays"]].assign(left=WIDE["late"] > 0)
    asked = {"session": "session", "event": "left", "unit": "person", "baseline": "polynomial"}
    expected = discrete_hazard("x", data, random="(1 | therapist)", **asked).tidy()
    renamed = data.rename(columns={"therapist": label})
    hazard = discrete_hazard("x", renamed, random=f"(1 | `{label}`)", **asked).tidy()
    assert_allclose(hazard["estimate"], expected["estimate"], rtol=1e-4)


@pytest.mark.parametrize("label", ["a -> b", "a ~ b", 3, 2.5])
def test_items_of_any_label_are_standardised(label: Hashable) -> None:
    trait = RNG.normal(size=120)
    items = pd.DataFrame({f"i{k}": trait + RNG.normal(size=120) for k in range(4)})
    names = {"F": [label, "i1", "i2", "i3"]}
    found = factor_model(items.rename(columns={"i0": label}), names).tidy()
    expected = factor_model(items, {"F": list(items)}).tidy()
    assert_allclose(found["standardized"], expected["standardized"], rtol=1e-6)
