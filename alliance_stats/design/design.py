"""From a formula and a frame to arrays: outcome, fixed-effects columns, random-effects columns.

Rows that cannot be used are counted in the ledger. The fixed columns are replaced by an orthonormal
basis and the outcome by its residual on it (what ordinary least squares leaves), and the columns of
each random term by a basis of their own; coefficients and covariances are taken back at the end.
So an outcome of 1e7 plus noise, or a calendar year with its square, loses nothing that a QR-based
fit would keep, although the engine works on cross-products.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from formulaic import ModelSpec
from scipy import linalg

from alliance_stats.checks import check_frame, describe_rows, did_you_mean, finite_or_missing
from alliance_stats.design.coding import (
    check_finite,
    check_hashable,
    check_levels,
    coded_columns,
    column_names,
    columns_as_read,
    evaluate,
    independent_columns,
)
from alliance_stats.design.formula import (
    MixedFormula,
    RandomTerm,
    parse_formula,
    read_terms,
    variables_of,
)
from alliance_stats.design.groupings import Grouping, build_grouping, check_distinct
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger

__all__ = [
    "Design",
    "FixedBasis",
    "all_fixed_columns",
    "build_design",
    "check_column_names",
    "fixed_columns",
]

# An outcome whose residual is relatively smaller than this is explained without error.
EXACT_FIT = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class FixedBasis:
    """The fixed columns and their working basis.

    Attributes
    ----------
    names
        All coefficients, aliased ones included.
    kept
        Positions of those that are estimated.
    R
        ``X[:, kept] = sqrt(n) Q R`` on the weighted rows, (p, p).
    offset
        Ordinary (weighted) least-squares coefficients; the engine estimates what is added to them.
    spec
        formulaic's record of the coding.
    """

    names: tuple[str, ...]
    kept: npt.NDArray[np.int64]
    R: Array
    offset: Array
    spec: ModelSpec

    @property
    def aliased(self) -> tuple[str, ...]:
        """Names of the coefficients that other columns determine."""
        return tuple(name for i, name in enumerate(self.names) if i not in set(self.kept.tolist()))

    @property
    def log_det(self) -> float:
        """``log|X'X|`` of the raw columns minus that of the working ones."""
        return 2.0 * float(np.log(np.abs(np.diag(self.R))).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Everything a fit needs, on the rows that are used.

    Attributes
    ----------
    formula
        The parsed formula.
    index
        Index labels of the rows used, in the caller's order.
    y
        The outcome as given.
    X
        Estimated fixed columns as given, (n, p).
    Q
        Working basis of the weighted fixed columns, (p, n).
    residual
        What the weighted outcome leaves on that basis, (n,).
    root_weights
        Square roots of the row weights, (n,).
    groupings
        The grouping factors.
    fixed
        How the fixed columns were coded.
    rows
        The row ledger.
    frame
        The columns that the formula names, on the rows used, as the caller gave them.
    """

    formula: MixedFormula
    index: pd.Index
    y: Array
    X: Array
    Q: Array
    residual: Array
    root_weights: Array
    groupings: tuple[Grouping, ...]
    fixed: FixedBasis
    rows: RowLedger
    frame: pd.DataFrame


def build_design(
    formula: str,
    data: pd.DataFrame,
    *,
    weights: str | None = None,
    known_variance: str | None = None,
    also: Sequence[str] = (),
    residual_variance: bool = True,
) -> tuple[Design, pd.DataFrame]:
    """Read the formula, set unusable rows aside, and build the arrays.

    Parameters
    ----------
    formula
        lme4's language.
    data
        One row an observation.
    weights
        Column of row weights.
    known_variance
        Column of known residual variances; the weights are then their reciprocals.
    also
        Further columns without which a row is not used.
    residual_variance
        Whether the outcome has a residual variance of its own; if not (a count, a yes or no), an
        outcome without one is left to the caller to judge, and `residual` to ignore.

    Returns
    -------
    design, used
        The arrays, and the rows used with all the caller's columns.

    Raises
    ------
    FormulaError, DataError, NotIdentifiedError
        See :func:`alliance_stats.multilevel.lmm`.
    """
    check_frame(data)
    _check_plain_names(data)
    parsed = parse_formula(formula)
    fixed = read_terms(f"{parsed.response} ~ {parsed.fixed}", formula)
    by_group = _by_group(parsed.random)
    for grouping in by_group:
        for column in grouping:
            if column not in data.columns:
                raise FormulaError(
                    f"The formula groups by '{column}', but the data have no such column. "
                    f"{did_you_mean(column, data.columns)}"
                )
            if data[column].dtype == object:
                check_hashable(data[column])
    needed = _needed_columns(parsed, fixed, data)
    used, rows = _usable_rows(
        data, [*needed, *(c for c in (weights, known_variance, *also) if c)], by_group
    )
    predictors = _predictors(parsed, fixed, data)
    used = columns_as_read(used, predictors)
    root_weights = _positive_roots(used, weights)
    if known_variance is not None:
        root_weights = 1.0 / _positive_roots(used, known_variance)
    free_residual = known_variance is None and residual_variance
    y, X_all, spec = _fixed_arrays(fixed, used, parsed)
    kept, X, Q, R = _orthonormal(X_all, root_weights)
    if residual_variance:
        _check_varies(y, parsed.response)
    offset, residual = _least_squares(Q, R, y * root_weights)
    if residual_variance:
        _check_not_explained(residual, y * root_weights, parsed.response)
    groupings = tuple(
        build_grouping(columns, terms, used, root_weights, free_residual=free_residual)
        for columns, terms in by_group.items()
    )
    check_distinct(groupings)
    basis = FixedBasis(column_names(spec), kept, R, offset, spec)
    design = Design(
        parsed, used.index, y, X, Q, residual, root_weights, groupings, basis, rows, used[needed]
    )
    return design, used


def check_column_names(**names: object) -> None:
    """Refuse a Series, an array or a number where the name of a column belongs."""
    for argument, name in names.items():
        if name is not None and not isinstance(name, str):
            raise DataError(
                f"{argument}= takes the name of a column of data; got {type(name).__name__}. "
                "Put the values into a column first."
            )


def fixed_columns(design: Design, newdata: pd.DataFrame) -> Array:
    """Code new rows as the fit's were: the estimated fixed columns, (n, p)."""
    return coded_columns(design.fixed.spec, newdata)[:, design.fixed.kept]


def all_fixed_columns(design: Design, newdata: pd.DataFrame) -> Array:
    """Code new rows as the fit's were, aliased columns included, (n, all)."""
    return coded_columns(design.fixed.spec, newdata)


def _check_plain_names(data: pd.DataFrame) -> None:
    if isinstance(data.columns, pd.MultiIndex):
        raise DataError(
            f"data has column names of {data.columns.nlevels} parts, as {data.columns[0]!r}; a "
            "formula needs single names. Join them first: "
            "data.columns = ['_'.join(map(str, name)) for name in data.columns]."
        )


def _by_group(random: tuple[RandomTerm, ...]) -> dict[tuple[str, ...], list[RandomTerm]]:
    found: dict[tuple[str, ...], list[RandomTerm]] = {}
    for term in random:
        same = next((g for g in found if set(g) == set(term.grouping)), term.grouping)
        found.setdefault(same, []).append(term)
    return found


def _needed_columns(parsed: MixedFormula, fixed: Any, data: pd.DataFrame) -> list[str]:
    groups = [column for term in parsed.random for column in term.grouping]
    return list(dict.fromkeys([*_predictors(parsed, fixed, data), *groups]))


def _predictors(parsed: MixedFormula, fixed: Any, data: pd.DataFrame) -> list[str]:
    """Columns that the outcome, the fixed part and the random columns use."""
    found = [*variables_of(fixed.lhs, data), *variables_of(fixed.rhs, data)]
    for term in parsed.random:
        found += variables_of(read_terms(term.columns, parsed.text), data)
    return list(dict.fromkeys(found))


def _usable_rows(
    data: pd.DataFrame, needed: list[str], by_group: dict[tuple[str, ...], list[RandomTerm]]
) -> tuple[pd.DataFrame, RowLedger]:
    """Set aside rows in which a needed column is missing, column by column."""
    rows = RowLedger.start(data, {":".join(columns): columns for columns in by_group})
    used = data
    for column in dict.fromkeys(needed):
        missing = used[column].isna().to_numpy()
        if missing.any():
            used, rows = rows.keep(used, ~missing, reason=f"'{column}' is missing")
    if len(used) == 0:
        raise DataError(f"No row has all of {', '.join(repr(c) for c in needed)}: {rows}")
    return used, rows


def _positive_roots(used: pd.DataFrame, weights: str | None) -> Array:
    if weights is None:
        return np.ones(len(used))
    values = finite_or_missing(used, weights)
    bad = ~(values > 0)
    if bad.any():
        raise DataError(
            f"Column '{weights}' must be positive and finite; it is not in "
            f"{describe_rows(bad, used.index)}. Leave rows of no weight out yourself."
        )
    return np.asarray(np.sqrt(values))


def _fixed_arrays(
    fixed: Any, used: pd.DataFrame, parsed: MixedFormula
) -> tuple[Array, Array, ModelSpec]:
    matrices = evaluate(fixed, used, parsed.text)
    if matrices.lhs.shape[1] != 1:
        raise DataError(
            f"The outcome '{parsed.response}' must be one numeric column; it was read as "
            f"{matrices.lhs.shape[1]} ({', '.join(map(str, matrices.lhs.columns[:3]))}...). "
            "Text cannot be an outcome of a linear model."
        )
    check_finite(matrices.lhs, used)
    check_finite(matrices.rhs, used)
    y = matrices.lhs.to_numpy(dtype=np.float64)[:, 0]
    check_levels(matrices.rhs.model_spec)
    return y, matrices.rhs.to_numpy(dtype=np.float64), matrices.rhs.model_spec


def _check_varies(y: Array, response: str) -> None:
    if np.ptp(y) == 0.0:
        raise NotIdentifiedError(
            f"The outcome '{response}' is {y[0]:g} in all {len(y)} rows used: "
            "there is no variance to model."
        )


def _check_not_explained(residual: Array, y: Array, response: str) -> None:
    if np.linalg.norm(residual) <= EXACT_FIT * np.linalg.norm(y):
        raise NotIdentifiedError(
            f"The fixed effects explain '{response}' without error: no variance is left to model."
        )


def _orthonormal(
    X_all: Array, root_weights: Array
) -> tuple[npt.NDArray[np.int64], Array, Array, Array]:
    """Find the estimable columns and a basis ``Q`` with ``Q'Q = n I`` of the weighted ones."""
    n = len(X_all)
    weighted = X_all * root_weights[:, None]
    kept = independent_columns(weighted)
    if len(kept) >= n:
        raise NotIdentifiedError(
            f"{plural(len(kept), 'fixed effect')} (the intercept counts) from {plural(n, 'row')}: "
            "nothing is left to estimate a variance from."
        )
    if len(kept) == 0:
        return kept, X_all[:, kept], np.empty((0, n)), np.empty((0, 0))
    Q, R = linalg.qr(weighted[:, kept], mode="economic", check_finite=False)
    scale = np.sqrt(n)
    return kept, X_all[:, kept], np.ascontiguousarray(Q.T) * scale, R / scale


def _least_squares(Q: Array, R: Array, y: Array) -> tuple[Array, Array]:
    n = len(y)
    first = Q @ y / n
    residual = y - Q.T @ first
    again = Q @ residual / n
    residual -= Q.T @ again
    offset = linalg.solve_triangular(R, first + again) if len(first) else first
    return offset, residual
