"""Ways in which a frame can be wrong, odd or hard: each takes a frame and gives another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Mutation = Callable[[pd.DataFrame, np.random.Generator], Any]


def _column(frame: pd.DataFrame, rng: np.random.Generator) -> Any:
    return frame.columns[int(rng.integers(frame.shape[1]))]


def _numeric(frame: pd.DataFrame, rng: np.random.Generator) -> Any:
    names = list(frame.select_dtypes("number").columns)
    return names[int(rng.integers(len(names)))]


def _with(frame: pd.DataFrame, name: Any, values: Any) -> pd.DataFrame:
    new = frame.copy()
    new[name] = values
    return new


def _some(frame: pd.DataFrame, name: Any, value: object, rng: np.random.Generator) -> pd.DataFrame:
    values = frame[name].astype(object).to_numpy(copy=True)
    values[int(rng.integers(len(values)))] = value
    return _with(frame, name, pd.Series(values, index=frame.index, dtype=object))


def _cell(value: object) -> Mutation:
    return lambda frame, rng: _some(frame, _column(frame, rng), value, rng)


def _number(value: float) -> Mutation:
    def put(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        name = _numeric(frame, rng)
        values = frame[name].to_numpy(dtype=np.float64, copy=True)
        values[int(rng.integers(len(values)))] = value
        return _with(frame, name, values)

    return put


def _whole(make: Callable[[pd.Series], Any], *, numeric: bool = False) -> Mutation:
    def change(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        name = _numeric(frame, rng) if numeric else _column(frame, rng)
        return _with(frame, name, make(frame[name]))

    return change


def _stuttering(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    name = _column(frame, rng)
    return pd.concat([frame, frame[[name]]], axis=1)


def _parted(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    return frame.set_axis(pd.MultiIndex.from_tuples([(c, "x") for c in frame.columns]), axis=1)


def _indexed(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.set_index(_column(frame, rng), drop=False)


def _many(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return _with(frame, _column(frame, rng), [f"v{i}" for i in range(len(frame))])


def _attrs(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    new = frame.copy()
    new.attrs["source"] = pd.DataFrame({"a": [1]})
    return new


def _holes(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    name = _column(frame, rng)
    keep = pd.Series(rng.random(len(frame)) < 0.6, index=frame.index)
    return _with(frame, name, frame[name].where(keep))


def _twice(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    return pd.concat([frame, frame])


def _shuffled(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.iloc[rng.permutation(len(frame))]


def _few(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.iloc[rng.choice(len(frame), size=min(len(frame), 3), replace=False)]


def _big_endian(column: pd.Series) -> Any:
    return column.to_numpy().astype(column.dtype.newbyteorder(">"))


MUTATIONS: dict[str, Mutation] = {
    "as it is": lambda frame, _: frame,
    "a path": lambda _, __: "sessions.csv",
    "None": lambda _, __: None,
    "a Series": lambda frame, _: frame.iloc[:, 0],
    "a dict": lambda frame, _: frame.to_dict("list"),
    "an array": lambda frame, _: frame.to_numpy(dtype=object),
    "no rows": lambda frame, _: frame.iloc[:0],
    "no columns": lambda frame, _: frame[[]],
    "one row": lambda frame, _: frame.iloc[:1],
    "three rows": _few,
    "a column twice": _stuttering,
    "names in two parts": _parted,
    "rows named like a column": _indexed,
    "repeated row labels": lambda frame, _: frame.set_axis(np.zeros(len(frame), int), axis=0),
    "attributes": _attrs,
    "every row twice": _twice,
    "shuffled": _shuffled,
    "a column lost": lambda frame, rng: frame.drop(columns=_column(frame, rng)),
    "a column renamed": lambda frame, rng: frame.rename(
        columns={(name := _column(frame, rng)): f"{name} `x`"}
    ),
    "numbers as names": lambda frame, _: frame.set_axis(range(frame.shape[1]), axis=1),
    "a list in a cell": _cell([1, 2]),
    "a tuple in a cell": _cell((1, 2)),
    "a dict in a cell": _cell({"a": 1}),
    "text in a cell": _cell("unknown"),
    "a blank in a cell": _cell(" "),
    "a half sign in a cell": _cell("\ud800"),
    "a zero-width sign in a cell": _cell("\u200b"),
    "true in a cell": _cell(True),
    "a date in a cell": _cell(pd.Timestamp("2020-01-01")),
    "missing in a cell": _cell(None),
    "pd.NA in a cell": _cell(pd.NA),
    "a complex number in a cell": _cell(1 + 2j),
    "infinity": _number(np.inf),
    "1e160": _number(1e160),
    "1e-160": _number(1e-160),
    "1e300": _number(1e300),
    "-1": _number(-1.0),
    "a million": _number(1e6),
    "holes": _holes,
    "all missing": _whole(lambda column: np.full(len(column), np.nan)),
    "all None": _whole(lambda column: pd.Series([None] * len(column), index=column.index)),
    "constant": _whole(lambda column: [column.iloc[0]] * len(column)),
    "zero": _whole(lambda column: np.zeros(len(column)), numeric=True),
    "huge numbers": _whole(lambda column: column * 1e150, numeric=True),
    "tiny numbers": _whole(lambda column: column * 1e-150, numeric=True),
    "dates": _whole(lambda column: pd.date_range("2020-01-01", periods=len(column))),
    "time spans": _whole(lambda column: pd.to_timedelta(np.arange(len(column)), unit="D")),
    "a column as text": _whole(lambda column: column.astype(str)),
    "objects": _whole(lambda column: column.astype(object)),
    "categories": _whole(
        lambda column: column.astype("category").cat.add_categories(["never used"])
    ),
    "nullable": _whole(lambda column: column.convert_dtypes()),
    "Arrow": _whole(lambda column: column.convert_dtypes(dtype_backend="pyarrow")),
    "big endian": _whole(_big_endian, numeric=True),
    "true and false": _whole(
        lambda column: np.resize([True, False, None], len(column)).astype(object)
    ),
    "an id a row": _many,
    "numbers as text": _whole(lambda column: [f"{i},5" for i in range(len(column))]),
    "sparse": _whole(lambda column: pd.arrays.SparseArray(column.to_numpy()), numeric=True),
    "periods": _whole(lambda column: pd.period_range("2020-01", periods=len(column), freq="M")),
}
