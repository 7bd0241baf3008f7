"""Ways in which a frame can be wrong, odd or hard: each takes a frame and gives another."""

from collections.abc import Callable
from decimal import Decimal
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


def _unsigned(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    name = _numeric(frame, rng)
    small = frame[name].astype("uint8")
    if not (small == frame[name]).all():
        raise ValueError(f"{name} does not fit")
    return _with(frame, name, small)


def _worded(frame: pd.DataFrame, rng: np.random.Generator, **how: Any) -> pd.DataFrame:
    names = list(frame.select_dtypes(exclude="number").columns)
    name = names[int(rng.integers(len(names)))]
    return _with(frame, name, frame[name].astype(pd.CategoricalDtype(**how)))


def _marked(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    """Return labels that other languages would read: formats, mathematics, markup, formulas."""
    marks = "{0.__class__} {} $\\frac$ `x` [T.b]:y <b> | * _z_ %s {{< env HOME >}}"
    words = frame.select_dtypes(exclude="number").columns
    return frame.assign(**{name: frame[name].map(lambda v: f"{v} {marks}") for name in words})


def _renamed(value: object) -> Mutation:
    return lambda frame, rng: frame.rename(columns={_column(frame, rng): value})


# the values stay what they are: so must the answer
SAME = {
    "rows named like a column",
    "repeated row labels",
    "attributes",
    "shuffled",
    "objects",
    "nullable",
    "Arrow",
    "big endian",
    "sparse",
    "unsigned",
    "decimals",
    "words as categories",
    "words as ordered categories",
    "names as categories",
    "names as Arrow text",
    "row labels of many levels",
    "a column more",
    "read only",
}


def _read_only(frame: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    columns = {name: frame[name].to_numpy(copy=True) for name in frame.columns}
    for values in columns.values():
        values.flags.writeable = False
    return pd.DataFrame(columns, copy=False)


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
    "labels full of marks": _marked,
    "unsigned": _unsigned,
    "decimals": _whole(lambda column: [Decimal(str(v)) for v in column], numeric=True),
    "words as categories": _worded,
    "words as ordered categories": lambda frame, rng: _worded(frame, rng, ordered=True),
    "names as categories": lambda frame, _: frame.set_axis(
        pd.CategoricalIndex(frame.columns), axis=1
    ),
    "names as Arrow text": lambda frame, _: frame.set_axis(
        pd.Index(frame.columns, dtype="string[pyarrow]"), axis=1
    ),
    "row labels of many levels": lambda frame, _: frame.set_axis(
        pd.MultiIndex.from_arrays([np.arange(len(frame)), np.zeros(len(frame))]), axis=0
    ),
    "a column more": lambda frame, _: frame.assign(**{"C": None, "person_mean": "x", "1": 2}),
    "read only": _read_only,
    "a column named None": _renamed(None),
    "a column named nan": _renamed(np.nan),
    "a column named by a pair": _renamed(("a", "b")),
    "a column named nothing": _renamed(""),
    "a column named by a date": _renamed(pd.Timestamp("2020-01-01")),
    "bytes in a cell": _cell(b"x"),
    "a set in a cell": _cell(frozenset({1})),
    "an array in a cell": _cell(np.arange(2)),
    "an interval in a cell": _cell(pd.Interval(0, 1)),
    "a long text in a cell": _cell("long " * 2000),
    "a number beyond floats in a cell": _cell(10**400),
    "half floats": _whole(lambda column: column.astype("float16"), numeric=True),
    "complex numbers": _whole(lambda column: column.astype(complex), numeric=True),
    "a zone of time": _whole(
        lambda column: pd.date_range("2020-01-01", periods=len(column), tz="Europe/Zurich")
    ),
    "minus infinity": _number(-np.inf),
    "a fraction of a session": _number(1.5),
    "intervals": _whole(lambda column: pd.interval_range(0, len(column))),
}
