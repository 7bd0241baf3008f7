"""Random slopes as in a stacked model of nlme, moderated levels as in lavaan; as published."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import mediation
from tests.parity.reference import load_reference

REFERENCE = load_reference("association_mediation_slopes")
SLOPES, LEVELS = pd.DataFrame(REFERENCE["slopes"]), pd.DataFrame(REFERENCE["levels"])
STACKED = 2e-4  # nlm on a dense likelihood, on the other side
STACKED_SE = 2e-3  # second differences of it
NLME = 5e-3  # nlme stops early where intercepts hardly vary; the covariance most
TWO_LEVEL = 2e-4  # lavaan's EM steps end before ours
TWO_LEVEL_SE = 1e-3
PRINTED = 5e-5  # four decimals


def _frame(case: str) -> pd.DataFrame:
    names = ("lhs", "op", "rhs", "level", "estimate", "se")
    return pd.DataFrame({name: REFERENCE[case][name] for name in names})


@pytest.mark.parametrize(
    ("case", "options"), [("plain", {}), ("moderated", {"moderator": "w", "at": [0.0, 1.0]})]
)
def test_random_slopes_as_the_stacked_model(case: str, options: dict[str, object]) -> None:
    found = mediation(
        SLOPES, treatment="x", mediator="m", outcome="y", nested_in="unit",
        random_slopes=("a", "b"), seed=1, **options,
    )  # fmt: skip
    expected = REFERENCE[case]
    estimate = dict(zip(expected["names"], expected["estimate"], strict=True))
    error = dict(zip(expected["names"], expected["se"], strict=True))
    names = {"x": "a", "m": "b", "x x w": "aw"}
    for row in found.paths.itertuples():
        name = "c" if (row[2], row.to) == ("x", "y") else names.get(row[2], "cov")
        assert row.estimate == pytest.approx(estimate[name], rel=STACKED)
        assert row.std_error == pytest.approx(error[name], rel=STACKED_SE)
    nlme = dict(zip(expected["names"], expected["nlme"], strict=True))
    assert found.paths["estimate"].iloc[0] == pytest.approx(nlme["a"], rel=NLME)
    indirect = found.tidy().query("term == 'indirect through m'")["estimate"].to_numpy()
    a = estimate["a"] + np.array(options.get("at", [0.0])) * estimate.get("aw", 0.0)
    assert indirect == pytest.approx(a * estimate["b"] + estimate["cov"], rel=STACKED)


@pytest.mark.parametrize(
    ("case", "mediator", "moderates"),
    [("two_one_one", "m", ("a", "c")), ("two_two_one", "m2", ("a",))],
)
def test_moderated_levels_as_lavaan(case: str, mediator: str, moderates: tuple[str, ...]) -> None:
    found = mediation(
        LEVELS, treatment="x", mediator=mediator, outcome="y", nested_in="unit", moderator="w",
        moderates=moderates, seed=1,
    )  # fmt: skip
    expected = _frame(case)
    defined = expected[expected["op"] == ":="].set_index("lhs")
    table = found.sobel()
    own = table[table["level"] == "between"]
    rows = {"at0": own[own["at"] == 0.0], "at1": own[own["at"] == 1.0]}
    for name, part in rows.items():
        row = part[part["term"] == f"indirect through {mediator}"].iloc[0]
        assert row["estimate"] == pytest.approx(defined.loc[name, "estimate"], abs=TWO_LEVEL)
    index = own[own["term"] == "index of moderated mediation"].iloc[0]
    assert index["estimate"] == pytest.approx(defined.loc["index", "estimate"], abs=TWO_LEVEL)
    # least squares of 80 units divide by 76, lavaan by 80
    tolerance = TWO_LEVEL_SE if case == "two_one_one" else 0.03
    assert index["std_error"] == pytest.approx(defined.loc["index", "se"], rel=tolerance)


def test_therapy_and_satisfaction_as_published() -> None:
    """Preacher & Hayes 2004, doi:10.3758/BF03206553, data of 30 persons as R's psych has them.

    Of their numbers the introduction to psych (Revelle) prints the total effect, .76, and the
    indirect one, .33; the further decimals and the paths are those of R's ``lm``.
    """
    data = pd.DataFrame(REFERENCE["sobel"])
    found = mediation(data, treatment="therapy", mediator="attrib", outcome="satis", seed=1)
    paths = found.paths.set_index(["from", "to"])["estimate"]
    assert paths["therapy", "attrib"] == pytest.approx(0.8186, abs=PRINTED)
    assert paths["attrib", "satis"] == pytest.approx(0.4039, abs=PRINTED)
    assert paths["therapy", "satis"] == pytest.approx(0.4334, abs=PRINTED)
    effects = found.tidy().set_index("term")["estimate"]
    assert effects["total"] == pytest.approx(0.7640, abs=PRINTED)
    assert effects["indirect through attrib"] == pytest.approx(0.3306, abs=PRINTED)


def test_random_slopes_are_recovered_by_simulation() -> None:
    """A large study: ``E(a_j b_j) = a b + cov``, which the product of the means misses."""
    rng = np.random.default_rng(1)
    J, n = 1500, 8
    unit = np.repeat(np.arange(J), n)
    slopes = rng.multivariate_normal([0.4, 0.5], [[0.2, 0.15], [0.15, 0.2]], J)
    x = rng.normal(size=J * n) + rng.normal(size=J)[unit]
    m = slopes[unit, 0] * x + rng.normal(size=J)[unit] + rng.normal(size=J * n)
    y = slopes[unit, 1] * m + 0.2 * x + rng.normal(size=J)[unit] + rng.normal(size=J * n)
    data = pd.DataFrame({"unit": unit, "x": x, "m": m, "y": y})
    found = mediation(
        data, treatment="x", mediator="m", outcome="y", nested_in="unit", random_slopes=("a", "b"),
        seed=1,
    )  # fmt: skip
    row = found.tidy().iloc[0]
    truth = float((slopes[:, 0] * slopes[:, 1]).mean())
    assert abs(row["estimate"] - truth) < 4.0 * row["std_error"]
    assert row["conf_low"] > 0.4 * 0.5  # the product alone


def test_a_profile_is_the_one_of_a_grid() -> None:
    """One mediator: ``min over a of n log(1 + t_a^2 / df) + n log(1 + t_(d/a)^2 / df)``."""
    data = pd.DataFrame(REFERENCE["sobel"])
    found = mediation(
        data, treatment="therapy", mediator="attrib", outcome="satis", ci_method="profile", seed=1
    )
    paths = found.paths.set_index(["from", "to"])
    a, b = paths.loc[("therapy", "attrib")], paths.loc[("attrib", "satis")]
    n = len(data)
    values = np.concatenate([np.linspace(-4, -1e-4, 200_001), np.linspace(1e-4, 4, 200_001)])
    row = found.tidy().iloc[0]
    bound = n * np.log1p(stats.t.ppf(0.975, b["df"]) ** 2 / b["df"])
    for limit in (row["conf_low"], row["conf_high"]):
        rise = n * np.log1p(((values - a["estimate"]) / a["std_error"]) ** 2 / a["df"])
        rise += n * np.log1p(((limit / values - b["estimate"]) / b["std_error"]) ** 2 / b["df"])
        assert rise.min() == pytest.approx(bound, rel=1e-4)  # of the search
    # of no effect: one of the paths is zero
    least = min(n * np.log1p((p["estimate"] / p["std_error"]) ** 2 / p["df"]) for p in (a, b))
    t = np.sqrt(np.expm1(least / n) * b["df"])
    assert row["p_value"] == pytest.approx(2.0 * stats.t.sf(t, b["df"]), rel=1e-4)
    # a single coefficient has the limits of t
    direct = found.tidy().set_index("term").loc["direct"]
    c = paths.loc[("therapy", "satis")]
    reach = stats.t.ppf(0.975, c["df"]) * c["std_error"]
    assert direct["conf_high"] == pytest.approx(c["estimate"] + reach, rel=1e-5)
