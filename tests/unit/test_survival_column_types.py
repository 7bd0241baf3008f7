"""Text, nullable and categorical columns give the numbers that plain ones give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.errors import DataError
from alliance_stats.survival import (
    competing_hazards,
    cox_ph,
    cumulative_incidence,
    discrete_hazard,
    fine_gray,
    gray_test,
    kaplan_meier,
    log_rank,
)

RNG = np.random.default_rng(1)
N = 120
PLAIN = pd.DataFrame(
    {
        "time": RNG.integers(1, 10, N),
        "event": RNG.integers(0, 2, N),
        "alliance": RNG.normal(5.0, 1.0, N).round(2),
        "barriers": RNG.integers(0, 3, N),
        "late": RNG.integers(0, 2, N).astype(bool),
        "role": RNG.choice(["child", "father", "mother"], N),
        "therapist": RNG.integers(0, 12, N),
        "state": RNG.choice(["ongoing", "dropout", "planned"], N),
    }
)
FORMULA = "alliance + barriers + late + role"
WHEN: dict[str, Any] = {"time": "time", "event": "event"}
ENDED: dict[str, Any] = {"time": "time", "event": "state"}

TYPES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "nullable": lambda d: d.convert_dtypes(dtype_backend="numpy_nullable"),
    "text": lambda d: d.assign(role=d["role"].astype("string"), state=d["state"].astype("string")),
    "category": lambda d: d.astype(
        {"role": "category", "state": "category", "therapist": "category"}
    ),
    "unused category": lambda d: d.assign(
        role=pd.Categorical(d["role"], ["aunt", "child", "father", "mother", "uncle"])
    ),
    "nullable event": lambda d: d.astype({"event": "boolean"}),
    "float event": lambda d: d.astype({"event": float}),
    "numbers of type object": lambda d: d.astype({"alliance": object, "barriers": object}),
}

ANALYSES: dict[str, Callable[[pd.DataFrame], npt.ArrayLike]] = {
    "cox": lambda d: cox_ph(FORMULA, d, **WHEN, cluster="therapist").tidy()["std_error"],
    "cox by strata": lambda d: cox_ph("alliance", d, **WHEN, strata="role").beta,
    "frailty": lambda d: cox_ph("alliance", d, **WHEN, frailty="therapist").beta,
    "prediction": lambda d: cox_ph(FORMULA, d, **WHEN).predict(d)["estimate"].to_numpy(),
    "curve": lambda d: kaplan_meier(d, **WHEN, strata="role", cluster="therapist").tidy()[
        "std_error"
    ],
    "log-rank": lambda d: log_rank(d, **WHEN, group="role", strata="barriers").statistic,
    "fine-gray": lambda d: fine_gray(FORMULA, d, **ENDED, cause="dropout").tidy()["std_error"],
    "incidence": lambda d: cumulative_incidence(d, **ENDED, strata="role").tidy()["std_error"],
    "gray": lambda d: gray_test(d, **ENDED, group="role").tidy()["statistic"],
}


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("kind", TYPES)
def test_a_columns_type_changes_no_number(kind: str, analysis: str) -> None:
    run = ANALYSES[analysis]
    # the same arithmetic on the same values
    assert_allclose(np.array(run(TYPES[kind](PLAIN))), np.array(run(PLAIN)), rtol=1e-12)


@pytest.mark.parametrize("kind", ["nullable", "text", "unused category"])
@pytest.mark.parametrize("column", ["alliance", "role", "event", "time", "therapist"])
def test_missing_values_of_any_type_are_rows_set_aside(kind: str, column: str) -> None:
    holes = TYPES[kind](PLAIN)
    if holes[column].dtype in (np.dtype(int), np.dtype(bool)):
        holes[column] = holes[column].astype("float64")
    holes.loc[[3, 50], column] = None
    run = ANALYSES["cox"]
    expected = run(PLAIN.drop(index=[3, 50]))
    assert_allclose(np.array(run(holes)), np.array(expected), rtol=1e-12)
    predicted = cox_ph(FORMULA, PLAIN, **WHEN).predict(holes)["estimate"].to_numpy()
    lost = np.isnan(predicted)
    assert lost.sum() == (2 if column in FORMULA else 0)


def test_the_ledger_says_how_many_events_went_with_the_missing_values() -> None:
    with_event, without = PLAIN.index[PLAIN["event"] == 1], PLAIN.index[PLAIN["event"] == 0]
    data = PLAIN.copy()
    data.loc[[*with_event[:2], without[0]], "alliance"] = np.nan
    data["therapist"] = data["therapist"].astype(float)
    data.loc[[with_event[5], without[5]], "therapist"] = np.nan
    fit = cox_ph("alliance", data, **WHEN, cluster="therapist")
    assert "3 set aside: 'alliance' is missing, 2 of them with the event." in fit.summary()
    assert "2 set aside: 'therapist' is missing, 1 of them with the event." in fit.summary()
    curve = kaplan_meier(data, **WHEN, cluster="therapist")
    assert "2 set aside: 'therapist' is missing, 1 of them with the event." in str(curve.rows)
    data.loc[without[:4], "barriers"] = None
    assert "4 set aside: 'barriers' is missing." in cox_ph("barriers", data, **WHEN).summary()
    ended = PLAIN.assign(alliance=PLAIN["alliance"].where(PLAIN["state"] != "planned"))
    ended.loc[ended.index[ended["state"] == "planned"][0], "alliance"] = 5.0
    model = fine_gray("alliance", ended, **ENDED, cause="dropout")
    assert f"missing, {model.rows.n_set_aside} of them with an ending." in model.summary()


def test_numbers_written_as_text_are_refused() -> None:
    text = PLAIN.assign(alliance=PLAIN["alliance"].astype(str))
    with pytest.raises(DataError, match="'alliance' holds numbers written as text"):
        cox_ph("alliance", text, **WHEN)
    with pytest.raises(DataError, match="'time' must be numeric"):
        kaplan_meier(PLAIN.assign(time=PLAIN["time"].astype(str)), **WHEN)


@pytest.mark.parametrize("kind", ["int8", "uint8", "float16", "Int8"])
def test_squares_of_small_integers_do_not_overflow(kind: str) -> None:
    wide = PLAIN.assign(score=PLAIN["barriers"] * 60)
    narrow = wide.assign(score=wide["score"].clip(upper=120).astype(kind))
    expected = cox_ph("I(score * score)", wide.assign(score=wide["score"].clip(upper=120)), **WHEN)
    fit = cox_ph("I(score * score)", narrow, **WHEN)
    assert_allclose(fit.beta, expected.beta, rtol=1e-10)
    assert_allclose(fit.predict(narrow), expected.predict(narrow), rtol=1e-10)
    below = cox_ph("I(score - 100)", narrow, **WHEN)
    assert_allclose(below.beta, cox_ph("score", narrow, **WHEN).beta, rtol=1e-10)


def test_prediction_refuses_a_level_and_a_type_that_the_fit_has_not_seen() -> None:
    fit = cox_ph(FORMULA, PLAIN, **WHEN)
    with pytest.raises(DataError, match="newdata: 'role' is 'aunt'"):
        fit.predict(PLAIN.assign(role="aunt"))
    with pytest.raises(DataError, match="Cannot code the new data as the fit's"):
        fit.survival(PLAIN.iloc[:1].assign(alliance="high"))


def test_the_outcome_is_no_group() -> None:
    for outcome in ("time", "event"):
        with pytest.raises(ValueError, match=f"group='{outcome}' is the outcome itself"):
            log_rank(PLAIN, **WHEN, group=outcome)


@pytest.mark.parametrize("kind", ["Int8", "Float32"])
def test_rows_to_predict_may_all_lack_a_value(kind: str) -> None:
    fit = cox_ph("barriers", PLAIN, **WHEN)
    nothing = pd.DataFrame({"barriers": pd.array([None, None], dtype=kind)})
    assert fit.predict(nothing)["estimate"].isna().all()


@pytest.mark.parametrize("cell", [[1], {"a": 1}, np.arange(2)])
def test_a_cell_that_is_no_one_ending_is_refused(cell: object):
    events = PLAIN["event"].astype(object).to_list()
    data = PLAIN.assign(event=pd.Series([cell, *events[1:]], dtype=object))
    with pytest.raises(DataError, match="Column 'event' holds a .* in row 0"):
        kaplan_meier(data, **WHEN)
    periods = data.assign(session=1, unit=range(N))
    with pytest.raises(DataError, match="Column 'event' holds a .* in row 0"):
        discrete_hazard("alliance", periods, session="session", event="event", unit="unit")
    with pytest.raises(DataError, match="Column 'event' holds a .* in row 0"):
        competing_hazards("alliance", periods, session="session", event="event", unit="unit")
