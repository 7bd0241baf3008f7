"""Columns of a formula: evaluated, checked, and coded again for new rows."""

import re
import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from formulaic import ModelSpec
from formulaic.errors import DataMismatchWarning, FormulaicError
from scipy import linalg

from alliance_stats.checks import check_spelling, describe_rows
from alliance_stats.design.formula import INTERCEPT
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = [
    "check_finite",
    "check_hashable",
    "check_levels",
    "coded_columns",
    "column_names",
    "columns_as_read",
    "evaluate",
    "independent_columns",
]

# A column whose part not explained by the columns before it is relatively smaller is aliased.
ALIASED = 1e-9
LARGE_INTEGER = 2**20  # whose cube is the largest that integers of 64 bits hold
_DECIMAL = re.compile(r"[-+−]?\d*[.,]?\d+")


def evaluate(text: Any, used: pd.DataFrame, formula: str) -> Any:
    """Build a model matrix; an expression that fails becomes a :class:`FormulaError`."""
    try:
        with np.errstate(all="ignore"):  # log(-1) and its like are named by check_finite
            return text.get_model_matrix(used, context={}, na_action="ignore", output="pandas")
    except FormulaicError as complaint:
        first_line = str(complaint).splitlines()[0]
        raise FormulaError(f"Cannot evaluate {formula!r}: {first_line}") from complaint


def check_finite(matrix: pd.DataFrame, used: pd.DataFrame) -> None:
    """Refuse columns that are not finite numbers, naming the rows."""
    found = _not_finite(matrix, used)
    if found is not None:
        raise DataError(f"{found}. Correct those values, or set them to missing.")


def _not_finite(matrix: pd.DataFrame, frame: pd.DataFrame) -> str | None:
    """Name the first column that is not a finite number everywhere, and its rows."""
    for name in matrix.columns:
        bad = ~np.isfinite(matrix[name].to_numpy(dtype=np.float64))
        if bad.any():
            return f"'{name}' is not a finite number in {describe_rows(bad, frame.index)}"
    return None


def check_levels(spec: ModelSpec) -> None:
    """Refuse a factor with a single level: its effect is not in the data."""
    for factor, state in spec.factor_contrasts.items():
        if len(state.levels) < 2:
            seen = ", ".join(map(str, state.levels))
            raise NotIdentifiedError(
                f"'{factor.expr}' has one level in the rows used ('{seen}'): its effect cannot be "
                "estimated. Leave it out of the formula."
            )


def column_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the coded columns, the intercept as ``(Intercept)``."""
    return tuple(INTERCEPT if name == "Intercept" else name for name in spec.column_names)


def coded_columns(spec: ModelSpec, newdata: pd.DataFrame) -> Array:
    """Code new rows as `spec` did the fitted ones, (n, columns).

    Raises
    ------
    DataError
        New values of another kind than the fit's, or such as give no finite number (``log(0)``).
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", DataMismatchWarning)
        try:
            matrix = spec.get_model_matrix(newdata, context={}, na_action="ignore", output="pandas")
        except (DataMismatchWarning, FormulaicError) as complaint:
            raise DataError(
                f"Cannot code the new data as the fit's: {str(complaint).splitlines()[0]}"
            ) from complaint
    found = _not_finite(matrix, newdata)
    if found is not None:
        raise DataError(f"newdata: {found}, so that nothing can be predicted there.")
    coded: Array = matrix.to_numpy(dtype=np.float64)
    return coded


def independent_columns(X: Array) -> npt.NDArray[np.int64]:
    """Positions of the columns that are not combinations of the columns before them.

    As in R, the first of a dependent set stays. The triangle of a QR decomposition has the same
    inner products as X, so the columns are compared there.
    """
    if X.shape[1] == 0:
        return np.empty(0, dtype=np.int64)
    triangle = linalg.qr(X, mode="r", check_finite=False)[0][: X.shape[1]]
    basis: list[Array] = []
    kept = []
    for j in range(X.shape[1]):
        column = triangle[:, j].copy()
        length = float(np.linalg.norm(column))
        for _ in range(2):  # twice is enough
            for direction in basis:
                column -= (direction @ column) * direction
        left = float(np.linalg.norm(column))
        if length > 0 and left > ALIASED * length:
            basis.append(column / left)
            kept.append(j)
    return np.array(kept, dtype=np.int64)


def columns_as_read(used: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Bring a formula's columns to what formulaic reads rightly; the caller's frame stays.

    Categories that no row has are dropped (as R does), so that an absent one is never the
    reference; pandas' nullable types become numpy's, and narrow numbers wide ones, since 60 * 60
    is 16 among integers of eight bits.

    Raises
    ------
    DataError
        If two categories look alike or one is blank, as ``check_spelling`` says; if a column holds
        what is neither a number nor a category: decimal numbers written as text (each would be a
        category), dates and time spans (their unit would be a nanosecond), complex numbers, lists.
    """
    changed = {}
    for name in names:
        column = used[name].infer_objects()
        _check_readable(column)
        if column.dtype != used[name].dtype:
            changed[name] = column
        if isinstance(column.dtype, pd.CategoricalDtype):
            changed[name] = column.cat.remove_unused_categories()
            check_spelling(changed[name], kind="category")
            continue
        if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
            plain = getattr(column.dtype, "numpy_dtype", column.dtype)  # of pandas' nullable types
            wide = _wide(plain, column)
            if wide != column.dtype:
                changed[name] = column.astype(wide)
        elif pd.api.types.is_string_dtype(column.dtype):
            changed[name] = column.astype(object)
            _check_not_numbers_as_text(changed[name])
            check_spelling(changed[name], kind="category")
    if not changed:
        return used
    return used.assign(**{str(name): column for name, column in changed.items()})


def _wide(kind: np.dtype[Any], column: pd.Series) -> Any:
    """Return the type in which squares and cubes of a column do not overflow."""
    if kind.kind == "f":
        return np.float64
    if kind.kind not in "iu":
        return kind
    small = max(abs(int(column.min())), abs(int(column.max()))) <= LARGE_INTEGER
    return np.int64 if small else np.float64


def _check_readable(column: pd.Series) -> None:
    """Refuse what a model cannot take as a number or a category."""
    kind = column.dtype.kind
    if kind in "mM" or isinstance(column.dtype, pd.PeriodDtype | pd.IntervalDtype):
        raise DataError(
            f"Column '{column.name}' holds {column.dtype} values, which have no unit in a formula. "
            "Make a number of them first, in the unit you want to report: days are "
            "(data['date'] - data['date'].min()).dt.days."
        )
    if kind == "c":
        raise DataError(f"Column '{column.name}' holds complex numbers; a model takes real ones.")
    if column.dtype == object:
        check_hashable(column)


def check_hashable(column: pd.Series) -> None:
    """Refuse cells that hold lists or the like: they are neither numbers nor categories."""
    if all(issubclass(kind, Hashable) for kind in set(map(type, column))):
        return
    bad = np.array([not isinstance(value, Hashable) for value in column], dtype=bool)
    if bad.any():
        what = type(column[bad].iloc[0]).__name__
        raise DataError(
            f"Column '{column.name}' holds a {what} in {describe_rows(bad, column.index)}; a cell "
            "must be one number or one category."
        )


def _check_not_numbers_as_text(column: pd.Series) -> None:
    values = pd.unique(column)
    texts = [str(value).strip() for value in values]
    if all(_DECIMAL.fullmatch(text) for text in texts) and any(
        "." in text or "," in text for text in texts
    ):
        raise DataError(
            f"Column '{column.name}' holds numbers written as text ('{texts[0]}'): each would be "
            "a category of its own. Convert it first (pandas.to_numeric; for a decimal comma "
            "replace it by a point before)."
        )
