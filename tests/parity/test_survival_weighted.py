"""Weighted curves and Fine-Gray models against survfit, repeated rows and changed weights."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import cumulative_incidence, fine_gray, kaplan_meier
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_weighted")
TIMES = [1, 3, 6]
# The same sums in another order.
ROUNDING = 1e-9
# Newton's method on both sides.
FIT = 1e-6
# Central differences of refitted models, steps of 1e-4.
DIFFERENCES = 2e-3


def sample(name: str) -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["samples"][name])


def clock(name: str) -> dict[str, object]:
    return {"time": "exit", "entry": "entry"} if name == "late" else {"time": "exit"}


@pytest.mark.parametrize("name", ["ties", "late"])
@pytest.mark.parametrize("clustered", [False, True])
def test_weighted_curves_equal_survfit(name: str, clustered: bool) -> None:
    data = sample(name).assign(event=lambda d: (d["state"] > 0).astype(int))
    found = kaplan_meier(
        data, event="event", strata="g", weights="w", cluster="clinic" if clustered else None,
        **clock(name),
    ).at(TIMES)  # fmt: skip
    reference = REFERENCE["clustered" if clustered else "curves"][name]
    assert_allclose(found["estimate"], reference["estimate"], rtol=ROUNDING)
    assert_allclose(found["std_error"], reference["std_error"], rtol=ROUNDING)


@pytest.mark.parametrize("name", ["ties", "late"])
def test_weighted_incidence_equals_survfit(name: str) -> None:
    found = cumulative_incidence(sample(name), event="state", weights="w", **clock(name)).at(TIMES)
    for column in ("estimate", "std_error"):
        expected = np.array(REFERENCE["states"][name][column]).T.ravel()
        assert_allclose(found[column], expected, rtol=ROUNDING)


@pytest.mark.parametrize("name", ["ties", "late"])
def test_errors_over_clusters_are_those_of_changed_weights(name: str) -> None:
    data = sample(name)
    options = {"event": "state", "weights": "w", **clock(name)}
    moves = []
    for clinic in sorted(set(data["clinic"])):
        step = np.where(data["clinic"] == clinic, 1e-4, 0.0)
        up, down = (
            cumulative_incidence(data.assign(w=data["w"] * (1 + sign * step)), **options).at(TIMES)
            for sign in (1.0, -1.0)
        )
        moves.append((up["estimate"] - down["estimate"]) / 2e-4)
    found = cumulative_incidence(data, cluster="clinic", **options).at(TIMES)
    assert_allclose(found["std_error"], np.sqrt((np.array(moves) ** 2).sum(axis=0)), rtol=1e-6)


def test_weights_of_one_are_no_weights() -> None:
    data = sample("late").assign(event=lambda d: (d["state"] > 0).astype(int), one=1.0)
    data["row"] = [f"r {k}" for k in range(len(data))]
    weighted = kaplan_meier(data, time="exit", entry="entry", event="event", weights="one")
    own = kaplan_meier(data, time="exit", entry="entry", event="event", cluster="row")
    pd.testing.assert_frame_equal(weighted.tidy(), own.tidy(), rtol=ROUNDING)


@pytest.mark.parametrize("name", ["ties", "late"])
def test_a_row_of_weight_three_is_three_rows(name: str) -> None:
    rng = np.random.default_rng(9)
    data = sample(name).assign(w=lambda d: rng.integers(1, 4, len(d)))
    many = data.loc[data.index.repeat(data["w"])].reset_index(drop=True)
    options = {"event": "state", "cause": 1, "censored": 0, **clock(name)}
    one, other = (
        fine_gray("x + g", data, weights="w", **options),
        fine_gray("x + g", many, **options),
    )
    assert_allclose(one.beta, other.beta, rtol=FIT)
    assert_allclose(one.log_lik, other.log_lik, rtol=FIT)
    who = pd.DataFrame({"x": [0.5], "g": ["c"]})
    assert_allclose(
        one.incidence(who, times=TIMES)["estimate"], other.incidence(who, times=TIMES)["estimate"]
    )


def test_weighted_errors_are_those_of_changed_weights() -> None:
    """Each row's influence is how the estimate moves with its weight, the chances' move in it."""
    data = sample("late").head(60).reset_index(drop=True)

    def beta(weights: np.ndarray) -> np.ndarray:
        fit = fine_gray(
            "x", data.assign(w=weights), time="exit", entry="entry", event="state", cause=1,
            censored=0, weights="w",
        )  # fmt: skip
        return fit.beta

    w = data["w"].to_numpy()
    moves = np.empty(len(w))
    for k in range(len(w)):
        step = np.where(np.arange(len(w)) == k, 1e-4, 0.0)
        moves[k] = (beta(w * (1 + step)) - beta(w * (1 - step)))[0] / 2e-4
    fit = fine_gray(
        "x", data, time="exit", entry="entry", event="state", cause=1, censored=0, weights="w"
    )
    assert_allclose(np.sqrt((moves**2).sum()), fit.tidy()["std_error"].iloc[0], rtol=DIFFERENCES)


def test_a_weight_is_above_0() -> None:
    data = sample("ties").assign(event=1)
    data.loc[data.index[3], "w"] = 0.0
    with pytest.raises(DataError, match="not above 0"):
        kaplan_meier(data, time="exit", event="event", weights="w")
    with pytest.raises(DataError, match="not above 0"):
        cumulative_incidence(data, time="exit", event="state", weights="w")


def test_rows_without_weight_are_set_aside_and_counted() -> None:
    data = sample("ties").assign(event=1)
    data.loc[data.index[:2], "w"] = np.nan
    curve = kaplan_meier(data, time="exit", event="event", weights="w")
    assert curve.rows.n_used == len(data) - 2
