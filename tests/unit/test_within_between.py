import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.multilevel import lmm, within_between

# The same model in another basis: only rounding and the optimiser's last digits differ.
SAME = 1e-6
# Monte Carlo: a seeded study of this size leaves standard errors of about .05.
RECOVERED = 0.2


def study(seed=1, n_family=60):
    rng = np.random.default_rng(seed)
    rows = []
    for family in range(n_family):
        f = rng.normal()
        for member in range(3):
            p = rng.normal()
            for session in range(rng.integers(3, 8)):
                w = rng.normal()
                rows.append(
                    (f"t{family % 10}", f"f{family}", f"f{family}-{member}", session, f, p, w)
                )
    data = pd.DataFrame(rows, columns=["therapist", "family", "person", "session", "f", "p", "w"])
    data["x"] = data["f"] + data["p"] + data["w"]
    data["y"] = 0.5 * data["w"] + 1.0 * data["p"] + 2.0 * data["f"] + rng.normal(size=len(data))
    return data


def test_equals_the_model_with_raw_predictor_and_means():
    data = study()
    found = within_between(data, outcome="y", predictor="x", levels=["person", "family"])
    table = found.tidy().set_index("term")
    by_hand = data.assign(
        pm=data.groupby("person")["x"].transform("mean"),
        fm=data.groupby("family")["x"].transform("mean"),
    )
    # with the raw predictor in the model, the coefficients of the means are the contextual effects
    other = lmm("y ~ x + pm + fm + (1 | family/person)", by_hand).tidy().set_index("term")
    for ours, theirs in [
        ("within person", "x"),
        ("contextual person", "pm"),
        ("contextual family", "fm"),
    ]:
        for column in ("estimate", "std_error", "df"):
            assert table.loc[ours, column] == pytest.approx(other.loc[theirs, column], rel=SAME)
    assert table.loc["between family", "estimate"] == pytest.approx(
        other["estimate"][["x", "pm", "fm"]].sum(), rel=SAME
    )


def test_recovers_the_within_effect_and_the_order_of_levels():
    table = within_between(study(), outcome="y", predictor="x", levels=["person", "family"]).tidy()
    effects = table.set_index("term")["estimate"]
    assert effects["within person"] == pytest.approx(0.5, abs=RECOVERED)
    assert effects["within person"] < effects["between person"] < effects["between family"]
    assert list(table["effect"]) == ["within", *["between"] * 2, *["contextual"] * 2]


def test_reliability_is_the_formula_for_equal_cluster_sizes():
    rng = np.random.default_rng(4)
    data = pd.DataFrame(
        {"person": np.repeat(np.arange(40), 5), "family": np.repeat(np.arange(20), 10)}
    )
    data["x"] = (
        rng.normal(size=20)[data["family"]]
        + rng.normal(size=40)[data["person"]]
        + rng.normal(size=200)
    )
    data["y"] = data["x"] + rng.normal(size=200)
    found = within_between(data, outcome="y", predictor="x", levels=["person", "family"])
    model = lmm("x ~ 1 + (1 | family/person)", data)
    family, person = (c.iloc[0, 0] for c in model.covariances().values())
    residual = model.sigma**2
    reliable = found.reliability.set_index("level")["mean"]
    assert reliable["person"] == pytest.approx(person / (person + residual / 5), rel=SAME)
    assert reliable["family"] == pytest.approx(
        family / (family + person / 2 + residual / 10), rel=SAME
    )


def test_says_what_is_missing():
    data = study(n_family=12)
    with pytest.raises(DataError, match="no column 'alience'"):
        within_between(data, outcome="y", predictor="alience", levels=["person"])
    with pytest.raises(DataError, match="at least one id column"):
        within_between(data, outcome="y", predictor="x", levels=[])
    text = within_between(data, outcome="y", predictor="x", levels=["person"]).summary()
    assert "Reliability of observed means" in text
