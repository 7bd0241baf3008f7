"""Arrays, columns, labels and frames as JSON and back, with their types and every digit kept.

Numbers are written as numbers (with enough digits to distinguish them from every other), so that
any program can read them; what JSON cannot write as a number is ``"nan"``, ``"inf"`` or ``"-inf"``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_extension_array_dtype
from scipy import sparse

from alliance_stats.errors import DataError

__all__ = ["array_of", "frame_of", "index_of", "read_columns", "series_of", "sparse_of"]

Json = Any
Code = Callable[[object], Json]
_ODD = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}


def array_of(values: npt.NDArray[Any], code: Code) -> Json:
    """Return an array: its type, shape and values row by row; ``order`` is its memory layout."""
    kind = values.dtype.kind
    if kind in "OV" and values.dtype.names is None:
        flat = [code(value) for value in values.ravel()]
    elif kind in "mM":
        flat = values.ravel().astype(np.int64).tolist()
    elif kind in "biuU":
        flat = values.ravel().tolist()
    elif kind == "f":
        flat = [x if np.isfinite(x) else str(x) for x in values.ravel().astype(np.float64).tolist()]
    else:
        raise DataError(f"An array of {values.dtype} cannot be written as JSON.")
    found = {"is": "array", "dtype": str(values.dtype), "shape": list(values.shape), "of": flat}
    by_columns = values.flags.f_contiguous and not values.flags.c_contiguous
    return found | ({"order": "F"} if by_columns else {})


def _array(document: Mapping[str, Json], decode: Code) -> npt.NDArray[Any]:
    dtype, flat = np.dtype(document["dtype"]), document["of"]
    if dtype.kind == "O":
        found = np.empty(len(flat), dtype=object)
        found[:] = [decode(value) for value in flat]
    elif dtype.kind == "f":
        found = np.array([_ODD[x] if isinstance(x, str) else x for x in flat], dtype=dtype)
    elif dtype.kind in "mM":
        found = np.array(flat, dtype=np.int64).view(dtype)
    else:
        found = np.array(flat, dtype=dtype)
    shaped = found.reshape(document["shape"])
    return np.asfortranarray(shaped) if document.get("order") == "F" else shaped


def index_of(labels: pd.Index, code: Code) -> Json:
    """Return labels of rows or columns with their names."""
    if isinstance(labels, pd.RangeIndex):
        steps = [labels.start, labels.stop, labels.step]
        return {"is": "range", "of": steps, "name": code(labels.name)}
    if isinstance(labels, pd.MultiIndex):
        levels = [code(level) for level in labels.levels]
        codes = [np.asarray(own).tolist() for own in labels.codes]
        return {"is": "levels", "of": levels, "codes": codes, "names": code(tuple(labels.names))}
    return {"is": "labels", "of": _column(labels.array, code), "name": code(labels.name)}


def _range(document: Mapping[str, Json], decode: Code) -> pd.RangeIndex:
    return pd.RangeIndex(*document["of"], name=decode(document["name"]))


def _levels(document: Mapping[str, Json], decode: Code) -> pd.MultiIndex:
    levels = [decode(level) for level in document["of"]]
    return pd.MultiIndex(levels, document["codes"], names=list(decode(document["names"])))


def _labels(document: Mapping[str, Json], decode: Code) -> pd.Index:
    values = _values(document["of"], decode)
    return pd.Index(values, dtype=values.dtype, name=decode(document["name"]))


def series_of(column: pd.Series, code: Code) -> Json:
    """Return a column with its labels and name."""
    named = {"index": code(column.index), "name": code(column.name)}
    return {"is": "series", "of": _column(column.array, code)} | named


def _series(document: Mapping[str, Json], decode: Code) -> pd.Series:
    index, name = decode(document["index"]), decode(document["name"])
    values = _values(document["of"], decode)
    return pd.Series(values, index=index, name=name, dtype=values.dtype)


def frame_of(frame: pd.DataFrame, code: Code) -> Json:
    """Return a frame column by column, with its labels."""
    found = {"is": "frame", "columns": code(frame.columns), "index": code(frame.index)}
    columns = []
    for i, name in enumerate(frame.columns):
        try:
            columns.append(_column(frame.iloc[:, i].array, code))
        except DataError as reason:
            raise DataError(f"Column '{name}': {reason}") from reason
    return found | {"of": columns} | ({"attrs": code(frame.attrs)} if frame.attrs else {})


def _frame(document: Mapping[str, Json], decode: Code) -> pd.DataFrame:
    columns, index = decode(document["columns"]), decode(document["index"])
    values = [_values(column, decode) for column in document["of"]]
    found = pd.DataFrame(
        {i: pd.Series(own, index=index, dtype=own.dtype) for i, own in enumerate(values)},
        index=index,
    )
    found.columns = columns
    if "attrs" in document:
        found.attrs = decode(document["attrs"])
    return found


def sparse_of(matrix: sparse.csr_array, code: Code) -> Json:
    """Return a sparse matrix by its rows: values, columns, and where each row begins."""
    parts = [code(matrix.data), code(matrix.indices), code(matrix.indptr)]
    return {"is": "sparse", "of": parts, "shape": list(matrix.shape)}


def _sparse(document: Mapping[str, Json], decode: Code) -> sparse.csr_array:
    return sparse.csr_array(
        tuple(decode(part) for part in document["of"]), shape=tuple(document["shape"])
    )


def _column(values: Any, code: Code) -> Json:
    """Return a column's values: those of numpy as an array, those of pandas by their own type."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        own = {"categories": code(values.categories), "ordered": bool(values.ordered)}
        return {"is": "categories", "of": np.asarray(values.codes).tolist()} | own
    if isinstance(dtype, pd.DatetimeTZDtype):
        stamps = values.asi8.tolist()
        return {"is": "moments", "of": stamps, "unit": dtype.unit, "zone": str(dtype.tz)}
    if isinstance(dtype, pd.StringDtype) or isinstance(values, pd.core.arrays.BaseMaskedArray):
        text = isinstance(dtype, pd.StringDtype)
        listed = [None if x is pd.NA or (text and x != x) else x for x in values.tolist()]  # noqa: PLR0124
        if dtype.kind == "f":
            listed = [x if x is None or np.isfinite(x) else str(x) for x in listed]
        storage = {"storage": dtype.storage} if text else {}
        if text and dtype.na_value is not pd.NA:  # the text of pandas 3
            storage["missing"] = "nan"
        return {"is": "nullable", "dtype": dtype.name, "of": listed} | storage
    if is_extension_array_dtype(dtype) and not isinstance(
        values, pd.arrays.NumpyExtensionArray | pd.arrays.DatetimeArray | pd.arrays.TimedeltaArray
    ):
        raise DataError(f"values of type {dtype} cannot be written as JSON; turn them into text.")
    return array_of(np.asarray(values), code)


def _values(document: Mapping[str, Json], decode: Code) -> Any:
    kind = document["is"]
    if kind == "array":
        return _array(document, decode)
    if kind == "categories":
        return pd.Categorical.from_codes(
            document["of"], categories=decode(document["categories"]), ordered=document["ordered"]
        )
    if kind == "moments":
        stamps = np.array(document["of"], dtype=np.int64).view(f"M8[{document['unit']}]")
        return pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(document["zone"]).array
    dtype = document["dtype"]
    own = dtype
    if "missing" in document:
        own = pd.StringDtype(document["storage"], na_value=np.nan)
    elif "storage" in document:
        own = pd.StringDtype(document["storage"])
    listed = [_ODD[x] if dtype.startswith("Float") and isinstance(x, str) else x
              for x in document["of"]]  # fmt: skip
    return pd.array([pd.NA if x is None else x for x in listed], dtype=own)


read_columns: Mapping[str, Callable[[Mapping[str, Json], Code], object]] = {
    "array": _array,
    "range": _range,
    "levels": _levels,
    "labels": _labels,
    "series": _series,
    "frame": _frame,
    "sparse": _sparse,
}
"""What ``is`` says -> how it is read."""
