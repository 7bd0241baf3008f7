"""Mediation agrees with lavaan, on one level and on two, and with closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from alliance_stats import mediation
from alliance_stats.association.mediation.equations import Effect, Paths
from tests.parity.reference import load_reference

REFERENCE = load_reference("association_mediation")
DATA, LEVELS = pd.DataFrame(REFERENCE["data"]), pd.DataFrame(REFERENCE["levels"])
EXACT = 1e-6  # lavaan's search on the other side
TWO_LEVEL = 2e-4  # lavaan's EM steps end before ours
TWO_LEVEL_SE = 1e-3
LARGE = 0.02  # 20,000 draws: an error of a quantile of 1% of a standard error
N = len(DATA)


def _reference(case: str) -> pd.DataFrame:
    expected = REFERENCE[case]
    names = ("lhs", "op", "rhs", "level", "estimate", "se")
    return pd.DataFrame({name: expected[name] for name in names})


def test_one_mediator_as_lavaan() -> None:
    found = mediation(DATA, treatment="x", mediator="m1", outcome="y", covariates="z", seed=1)
    expected = _reference("single").set_index(["lhs", "rhs"])
    for row in found.paths.itertuples():
        lavaan = expected.loc[(row.to, row[2])]
        assert row.estimate == pytest.approx(lavaan["estimate"], rel=EXACT)
        # lavaan divides by n, least squares by its df
        assert row.std_error == pytest.approx(lavaan["se"] * np.sqrt(N / row.df), rel=EXACT)
    table = found.tidy().set_index("term")["estimate"]
    assert table["indirect through m1"] == pytest.approx(
        expected.loc[("indirect", "a*b"), "estimate"], rel=EXACT
    )
    assert table["total"] == pytest.approx(expected.loc[("total", "a*b+c"), "estimate"], rel=EXACT)


@pytest.mark.parametrize(
    ("case", "serial", "names"),
    [
        ("parallel", False, {"one": "indirect through m1", "two": "indirect through m2",
                             "both": "indirect"}),
        ("serial", True, {"long": "indirect through m1 and m2", "all": "indirect"}),
    ],
)  # fmt: skip
def test_several_mediators_as_lavaan(case: str, serial: bool, names: dict[str, str]) -> None:
    found = mediation(
        DATA, treatment="x", mediator=["m1", "m2"], outcome="y", serial=serial, seed=1
    )
    expected = _reference(case).set_index("lhs")
    table = found.sobel().set_index("term")
    for theirs, ours in names.items():
        lavaan = expected.loc[theirs]
        assert table.loc[ours, "estimate"] == pytest.approx(lavaan["estimate"], rel=EXACT)
        # df of 156 to 158 against n = 160: within 1.3% of the ratio
        assert table.loc[ours, "std_error"] == pytest.approx(lavaan["se"], rel=0.013)


@pytest.mark.parametrize(("case", "treatment"), [("one_one_one", "x"), ("two_one_one", "x2")])
def test_two_levels_as_lavaan(case: str, treatment: str) -> None:
    found = mediation(
        LEVELS, treatment=treatment, mediator="m", outcome="y", nested_in="unit", seed=1
    )
    expected = _reference(case)
    level = {"within": 1, "between": 2}
    for row in found.paths.itertuples():
        lavaan = expected[
            (expected["lhs"] == row.to)
            & (expected["rhs"] == row[2])
            & (expected["level"] == level[row.level])
        ].iloc[0]
        assert row.estimate == pytest.approx(lavaan["estimate"], rel=TWO_LEVEL)
        assert row.std_error == pytest.approx(lavaan["se"], rel=TWO_LEVEL_SE)
    table = found.sobel().set_index(["level", "term"])
    names = {"iw": ("within", "indirect through m"), "ib": ("between", "indirect through m")}
    for row in expected[expected["op"] == ":="].itertuples():
        ours = table.loc[names[row.lhs]]
        assert ours["estimate"] == pytest.approx(row.estimate, rel=TWO_LEVEL)
        assert ours["std_error"] == pytest.approx(row.se, rel=TWO_LEVEL_SE)


def test_the_interval_of_a_product_of_two_normals_has_a_closed_form() -> None:
    """The density of a product of standard normals is ``K0(|z|) / pi``."""
    paths = Paths(np.zeros(2), np.diag([4.0, 0.25]), np.full(2, np.inf))
    product = Effect("indirect", "", np.nan, ((1.0, (0, 1)),))
    drawn = product.of(paths.draws(400_000, np.random.default_rng(3)))
    high = float(np.quantile(drawn, 0.975))
    tail, _ = integrate.quad(lambda z: special.k0(z) / np.pi, high, np.inf)
    assert tail == pytest.approx(0.025, rel=LARGE)


def test_natural_effects_by_brute_force() -> None:
    """Linear mediator, 0/1 outcome, interaction: every row integrated by quadrature of scipy."""
    rng = np.random.default_rng(5)
    n = 120
    data = pd.DataFrame({"x": np.tile([0, 1], n // 2), "z": rng.normal(size=n)})
    data["m"] = 0.5 * data["x"] + 0.3 * data["z"] + rng.normal(size=n)
    eta = -0.3 + 0.4 * data["x"] + 0.6 * data["m"] - 0.3 * data["x"] * data["m"]
    data["y"] = (rng.uniform(size=n) < special.expit(eta)).astype(int)
    found = mediation(
        data, treatment="x", mediator="m", outcome="y", covariates="z",
        outcome_family="logistic", interaction=True, seed=1, n_resamples=2000,
    )  # fmt: skip
    from alliance_stats import regression

    m, y = (
        regression("m ~ x + z", data),
        regression("y ~ x + m + x:m + z", data, family="logistic"),
    )
    b = y.beta

    def mean(x: float, other: float) -> float:
        centre = m.beta["(Intercept)"] + m.beta["x"] * other + m.beta["z"] * data["z"]
        rest = b["(Intercept)"] + b["x"] * x + b["z"] * data["z"]
        slope = b["m"] + b["x:m"] * x
        return float(
            np.mean(
                [
                    integrate.quad(
                        lambda v, c=c, r=r: (
                            stats.norm.pdf(v, c, m.sigma) * special.expit(r + slope * v)
                        ),
                        c - 12 * m.sigma,
                        c + 12 * m.sigma,
                    )[0]
                    for c, r in zip(centre, rest, strict=True)
                ]
            )
        )

    table = found.tidy().set_index("term")["estimate"]
    assert table["total"] == pytest.approx(mean(1, 1) - mean(0, 0), abs=1e-7)
    assert table["natural direct"] == pytest.approx(mean(1, 0) - mean(0, 0), abs=1e-7)
    assert table["natural indirect"] == pytest.approx(mean(1, 1) - mean(1, 0), abs=1e-7)


def test_natural_effects_of_linear_models_are_products() -> None:
    options = {"treatment": "x", "mediator": "m1", "outcome": "y", "seed": 1, "n_resamples": 2000}
    product = mediation(DATA, interaction=True, **options)
    paths = product.paths.set_index(["from", "to"])["estimate"]
    frame = DATA.assign(product=DATA["x"] * DATA["m1"])
    X = np.column_stack([np.ones(N), frame[["x", "m1", "product"]]])
    h = np.linalg.lstsq(X, frame["y"], rcond=None)[0][3]
    table = product.tidy().set_index("term")["estimate"]
    expected = paths["x", "m1"] * (paths["m1", "y"] + h)
    assert table["natural indirect"] == pytest.approx(expected, rel=1e-8)
