"""Mediation at the door, and laws that its effects obey."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import example_study, indirect_path, lmm, mediation, regression, report
from alliance_stats.errors import DataError, NotIdentifiedError


def _rows(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(6)
    therapist = np.arange(n) % 12
    x = rng.integers(0, 2, n).astype(float)
    w = rng.normal(size=n)
    m = 0.5 * x + 0.3 * x * w + rng.normal(size=n)
    data = pd.DataFrame(
        {
            "x": x,
            "w": w,
            "m": m,
            "y": 0.6 * m + 0.2 * x + rng.normal(size=n),
            "therapist": [f"T {i}" for i in therapist],
            "x2": (therapist % 2).astype(float),
            "flat": 3.0,
            "twice": 2.0 * x + 1.0,
            "when_m": 2,
            "when_y": np.where(np.arange(n) == 7, 1, 3),
        }
    )
    data["hit"] = (rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-data["m"]))).astype(int)
    data["count"] = rng.poisson(np.exp(0.2 * data["m"]))
    return data


DATA = _rows()
NAMED = {"treatment": "x", "mediator": "m", "outcome": "y", "seed": 1, "n_resamples": 2000}


def test_direct_and_indirect_add_up_to_the_effect_without_the_mediator() -> None:
    table = mediation(DATA, **NAMED).tidy().set_index("term")["estimate"]
    total = regression("y ~ x", DATA).beta["x"]
    assert table["total"] == pytest.approx(total, rel=1e-10)
    assert table["direct"] + table["indirect through m"] == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("factor", [1e-4, 1e5])
def test_units_of_measurement_turn_with_the_effects(factor: float) -> None:
    plain = mediation(DATA, **NAMED).tidy()
    other = mediation(DATA.assign(y=DATA["y"] * factor + 7e3 * factor), **NAMED).tidy()
    for column in ("estimate", "conf_low", "conf_high"):
        assert other[column].to_numpy() == pytest.approx(
            plain[column].to_numpy() * factor, rel=1e-6
        )


def test_the_seed_decides_the_draws() -> None:
    one, two = (mediation(DATA, **NAMED).tidy() for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_moderated_effects_are_the_products_at_the_moderators_values() -> None:
    found = mediation(DATA, moderator="w", moderates="a", at=[0.0, 2.0], **NAMED)
    a = regression("m ~ x + w + x:w", DATA).beta
    b = regression("y ~ x + m + w", DATA).beta["m"]
    table = found.tidy().set_index(["term", "at"])["estimate"]
    for w in (0.0, 2.0):
        assert table["indirect through m", w] == pytest.approx((a["x"] + w * a["x:w"]) * b)
    index = found.tidy().query("term == 'index of moderated mediation'")["estimate"].iloc[0]
    assert index == pytest.approx(a["x:w"] * b, rel=1e-10)


def test_clusters_widen_what_therapists_share() -> None:
    named = NAMED | {"treatment": "x2"}
    shared = DATA.assign(m=DATA["m"] + 2.0 * np.sin(pd.factorize(DATA["therapist"])[0] * 5.0))
    plain = mediation(shared, **named).paths.set_index(["from", "to"])["std_error"]
    robust = mediation(shared, cluster="therapist", **named).paths.set_index(["from", "to"])
    assert robust.loc[("x2", "m"), "std_error"] > 1.5 * plain["x2", "m"]
    assert robust.loc[("x2", "m"), "df"] < 12


def test_the_bootstrap_agrees_with_monte_carlo_where_both_hold() -> None:
    monte_carlo = mediation(DATA, **NAMED).tidy()
    bootstrap = mediation(DATA, ci_method="bootstrap", **NAMED).tidy()
    for column in ("conf_low", "conf_high"):
        assert bootstrap[column].to_numpy() == pytest.approx(
            monte_carlo[column].to_numpy(), abs=0.12
        )


def test_an_unmeasured_cause_of_that_strength_explains_the_effect_away() -> None:
    found = mediation(DATA, **NAMED)
    table = found.sensitivity(correlations=[0.0]).set_index("correlation")["estimate"]
    plain = found.tidy()["estimate"].iloc[0]
    assert table[0.0] == pytest.approx(plain, rel=1e-10)
    assert table.iloc[-1] == pytest.approx(0.0, abs=1e-12)


def test_natural_effects_as_ratios_multiply_and_have_e_values() -> None:
    found = mediation(
        DATA, outcome_family="logistic", scale="ratio", **(NAMED | {"outcome": "hit"})
    )
    table = found.tidy().set_index("term")["estimate"]
    product = table["natural direct"] * table["natural indirect"]
    assert table["total"] == pytest.approx(product, rel=1e-10)
    assert (found.e_value()["estimate"] >= 1.0).all()
    with pytest.raises(NotIdentifiedError, match="no Sobel test"):
        found.sobel()


def test_natural_effects_of_counts_by_way_of_yes_and_no() -> None:
    found = mediation(
        DATA, mediator_family="logistic", outcome_family="poisson",
        **(NAMED | {"mediator": "hit", "outcome": "count"}),
    )  # fmt: skip
    m = regression("hit ~ x", DATA, family="logistic").beta
    y = regression("count ~ x + hit", DATA, family="poisson").beta
    p = {x: 1.0 / (1.0 + np.exp(-(m["(Intercept)"] + m["x"] * x))) for x in (0, 1)}

    def mean(x: int, other: int) -> float:
        rate = np.exp(y["(Intercept)"] + y["x"] * x)
        return float(rate * (1.0 - p[other] + p[other] * np.exp(y["hit"])))

    table = found.tidy().set_index("term")["estimate"]
    assert table["natural indirect"] == pytest.approx(mean(1, 1) - mean(1, 0), rel=1e-8)
    assert table["total"] == pytest.approx(mean(1, 1) - mean(0, 0), rel=1e-8)


def test_a_mediator_of_the_units_gives_paths_between_alone() -> None:
    rng = np.random.default_rng(2)
    unit = np.repeat(np.arange(40), 6)
    x = rng.normal(size=40)
    m = 0.5 * x + rng.normal(size=40)
    y = (0.4 * m + 0.7 * rng.normal(size=40))[unit] + rng.normal(size=240)
    data = pd.DataFrame({"unit": unit, "x": x[unit], "m": m[unit], "y": y})
    found = mediation(data, treatment="x", mediator="m", outcome="y", nested_in="unit", seed=1)
    assert "2-2-1" in found.method
    assert set(found.paths["level"]) == {"between"}
    a = np.polyfit(x, m, 1)[0]
    own = lmm("y ~ x + m + (1 | unit)", data, reml=False).beta
    table = found.paths.set_index(["from", "to"])["estimate"]
    assert table["x", "m"] == pytest.approx(a, rel=1e-8)
    assert table["m", "y"] == pytest.approx(own["m"], rel=1e-5)


def test_the_path_of_two_models_is_their_product() -> None:
    first, second = regression("m ~ x", DATA), regression("y ~ x + m", DATA)
    table = indirect_path(first, "x", second, "m", seed=1).set_index("term")
    found = mediation(DATA, **(NAMED | {"n_resamples": 50_000})).tidy().iloc[0]
    assert table.loc["indirect", "estimate"] == pytest.approx(found["estimate"], rel=1e-10)
    assert table.loc["indirect", "conf_low"] == pytest.approx(found["conf_low"], abs=0.02)
    with pytest.raises(DataError, match="no coefficient of the LinearRegression"):
        indirect_path(first, "w", second, "m")


def test_it_speaks() -> None:
    found = mediation(DATA, **NAMED)
    assert "indirect through m" in report(found)
    assert "never the third" in found.summary()


@pytest.mark.parametrize(
    ("error", "match", "asked"),
    [
        (DataError, "no column 'alliace'", {"mediator": "alliace"}),
        (DataError, "two parts", {"mediator": "x"}),
        (NotIdentifiedError, "'flat' is the same in all", {"mediator": "flat"}),
        (DataError, "measured after 'y'", {"times": {"m": "when_m", "y": "when_y"}}),
        (DataError, "not of the model", {"times": {"z": "when_m"}}),
        (DataError, "needs two mediators", {"serial": True}),
        (ValueError, "names paths", {"moderator": "w", "moderates": "d"}),
        (
            NotIdentifiedError,
            "for one mediator",
            {"mediator": ["m", "w"], "interaction": True, "serial": True},
        ),
        (
            NotIdentifiedError,
            "for one mediator",
            {"mediator": ["hit", "m"], "mediator_family": "logistic"},
        ),
        (NotIdentifiedError, "linear, without", {"nested_in": "therapist", "interaction": True}),
        (NotIdentifiedError, "no profile", {"interaction": True, "ci_method": "profile"}),
        (NotIdentifiedError, "independent rows", {"cluster": "therapist", "ci_method": "profile"}),
        (ValueError, "among 'a', 'b' and 'c'", {"nested_in": "therapist", "random_slopes": "d"}),
        (DataError, "give nested_in", {"random_slopes": "a"}),
        (DataError, "of natural effects", {"scale": "ratio"}),
        (DataError, "per unit of the treatment", {"values": (0, 2)}),
        (DataError, "give moderator", {"at": [1.0]}),
        (DataError, "list of values", {"moderator": "w", "at": []}),
        (ValueError, "at least 100", {"n_resamples": 10}),
        (DataError, "has 12 values", {"treatment": "therapist"}),
        (DataError, "never is", {"treatment": "therapist", "values": ("T 1", "T 99")}),
        (NotIdentifiedError, "tell 'x x twice'", {"moderator": "twice"}),
        (DataError, "has no rows", {"data": DATA.head(0)}),
    ],
)
def test_what_cannot_be_is_refused(error: type, match: str, asked: dict[str, object]) -> None:
    with pytest.raises(error, match=match):
        mediation(**({"data": DATA} | NAMED | asked))


def test_levels_that_do_not_fit_are_refused_with_what_to_do() -> None:
    named = NAMED | {"nested_in": "therapist"}
    with pytest.raises(DataError, match="belongs to the units"):
        mediation(DATA, **(named | {"outcome": "x2"}))
    with pytest.raises(DataError, match="Average 'x' over"):
        mediation(DATA, **(named | {"mediator": "x2"}))
    with pytest.raises(NotIdentifiedError, match="no paths between"):
        mediation(DATA, **named)  # therapists do not differ


def test_units_are_one_column_by_name_or_in_a_list():
    sessions = example_study().sessions.query("session <= 3")
    asked = {"treatment": "investment", "mediator": "alliance", "outcome": "symptoms", "seed": 1}
    one = mediation(sessions, **asked, nested_in="family").tidy()
    pd.testing.assert_frame_equal(mediation(sessions, **asked, nested_in=["family"]).tidy(), one)
    with pytest.raises(DataError, match="one level of units apart; got \\['person', 'family'\\]"):
        mediation(sessions, **asked, nested_in=["person", "family"])


@pytest.mark.parametrize(
    "options",
    [
        {"cluster": "therapist"},
        {"ci_method": "bootstrap"},
        {"ci_method": "bootstrap", "cluster": "therapist"},
        {"ci_method": "profile"},
        {"interaction": True, "values": (0, 1)},
    ],
)
def test_columns_of_very_different_size_are_no_trouble(options: dict[str, object]) -> None:
    plain = mediation(DATA, **(NAMED | options)).tidy()
    scaled = DATA.assign(x=DATA["x"] * 1e5, m=DATA["m"] * 1e-4)
    asked = NAMED | options | ({"values": (0, 1e5)} if "values" in options else {})
    factor = 1.0 if "values" in options else 1e5
    other = mediation(scaled, **asked).tidy()
    for column in ("estimate", "conf_low", "conf_high"):
        assert other[column].to_numpy() * factor == pytest.approx(
            plain[column].to_numpy(), rel=1e-4, nan_ok=True
        )


@pytest.mark.parametrize("name", ["m", "hit", "w"])
def test_words_where_numbers_belong_are_refused_with_how_to_code_them(name: str) -> None:
    data = DATA.assign(**{name: np.where(DATA["m"] > 0, "yes", "no")})
    asked = NAMED | {"moderator": "w"} | ({"outcome": "hit"} if name == "hit" else {})
    with pytest.raises(DataError, match=rf"'{name}' holds words \('no', 'yes'\).*== 'yes'"):
        mediation(data, **asked)


def test_a_treatment_of_one_word_is_no_treatment() -> None:
    with pytest.raises(NotIdentifiedError, match="'x' is the same in all"):
        mediation(DATA.assign(x="family"), **NAMED)


def test_paths_that_mix_two_levels_are_said() -> None:
    shared = DATA.assign(m=DATA["m"] + 2.0 * np.sin(pd.factorize(DATA["therapist"])[0] * 5.0))
    found = mediation(shared, cluster="therapist", **NAMED)
    assert any("Paths of 'm' mix what differs within" in note for note in found.notes)
    assert mediation(DATA, cluster="therapist", **NAMED).notes == ()  # therapists do not differ
    own = shared.assign(m=shared.groupby("therapist")["m"].transform("mean"))
    assert mediation(own, cluster="therapist", **NAMED).notes == ()  # all of it is theirs
