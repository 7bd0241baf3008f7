"""From a formula and a frame to arrays: outcome, fixed-effects columns, random-effects columns.

Rows that cannot be used are counted in the ledger. The fixed columns are replaced by an orthonormal
basis and the outcome by its residual on it (from ordinary least squares), and the columns of each
random term by their own basis; coefficients and covariances are transformed back at the end. So an
outcome of 1e7 plus noise, or a calendar year with its square, loses no more precision than in a
QR-based fit, although the engine works on cross-products.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    did_you_mean,
    finite_or_missing,
    require_columns,
)
from alliance_stats.design.coding import Coding, code_terms, independent_columns, numeric_values
from alliance_stats.design.formula import (
    MixedFormula,
    RandomTerm,
    bound_formula,
    parse_formula,
    variables_of,
)
from alliance_stats.design.grammar import Expression
from alliance_stats.design.groupings import (
    Grouping,
    build_groupings,
    check_not_fixed,
    random_columns,
    units_of,
)
from alliance_stats.design.rows import (
    check_hashable,
    columns_as_read,
    complete_rows,
    looked_up,
    text_again,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger

__all__ = [
    "Design",
    "FixedBasis",
    "NewRows",
    "all_fixed_columns",
    "build_design",
    "code_new_rows",
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
    coding
        How the columns were coded, and new rows are.
    """

    names: tuple[str, ...]
    kept: Integers
    R: Array
    offset: Array
    coding: Coding

    @property
    def aliased(self) -> tuple[str, ...]:
        """Names of the aliased coefficients."""
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
        Residual of the weighted outcome on that basis, (n,).
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
    offset
        What the formula's ``offset()`` adds to the linear predictor, (n,); None without one. The
        residual is of the outcome minus the offset.
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
    offset: Array | None = None

    def matrix(self) -> pd.DataFrame:
        """Return the estimated fixed columns with their names, indexed as the caller's rows."""
        names = [self.fixed.names[place] for place in self.fixed.kept]
        return pd.DataFrame(self.X, index=self.index, columns=names)

    def beside(self, new: pd.DataFrame) -> pd.DataFrame:
        """Return columns of the rows used, with the caller's columns behind them.

        A caller's column with the name of a new one becomes ``"... (data)"``.
        """
        own = self.frame.rename(columns=lambda name: f"{name} (data)" if name in new else name)
        return pd.concat([new, own.set_axis(new.index)], axis="columns")


def build_design(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    weights: str | None = None,
    known_variance: str | None = None,
    also: Sequence[Hashable] = (),
    residual_variance: bool = True,
) -> tuple[Design, pd.DataFrame]:
    """Read the formula, set unusable rows aside, and build the arrays.

    Parameters
    ----------
    formula
        lme4's syntax.
    data
        One row per observation.
    weights
        Column of row weights.
    known_variance
        Column of known residual variances; the weights are then their reciprocals.
    also
        Further columns that must not be missing in a row used.
    residual_variance
        Whether the outcome has a residual variance of its own; if not (a count, a binary outcome),
        an outcome without one is left to the caller to judge, and `residual` to ignore.

    Returns
    -------
    design, used
        The arrays, and the rows used with all the caller's columns.

    Raises
    ------
    FormulaError, DataError, NotIdentifiedError
        See :func:`~alliance_stats.multilevel.lmm`.
    """
    data = check_frame(data)
    parsed = bound_formula(parse_formula(formula), list(data.columns))
    by_group = _by_group(parsed.random)
    predictors = _predictors(parsed)
    ids = list(dict.fromkeys(column for columns in by_group for column in columns))
    needed = list(dict.fromkeys([*predictors, *ids]))
    further = [column for column in (weights, known_variance, *also) if column is not None]
    require_columns(data, further)
    read, text = looked_up(data, needed)
    for column in ids:
        if read[column].dtype == object:
            check_hashable(read[column])
        if read[column].dtype.kind == "c":
            raise DataError(f"Column '{column}' holds complex numbers, which are no units.")
    coded, rows = complete_rows(
        read, [*needed, *further], {":".join(map(str, columns)): columns for columns in by_group}
    )
    coded = columns_as_read(coded, predictors, text=text)
    used = text_again(coded, text)
    root_weights = _root_weights(used, weights, known_variance)
    y = numeric_values(_outcome(parsed), coded, learn=read)
    coding, X_all = code_terms(parsed.fixed, coded, learn=read)
    offset = coding.offsets(coded) if coding.offset else None
    kept, X, Q, R = _orthonormal(X_all, root_weights)
    if residual_variance:
        _check_varies(y, parsed)
    left = y if offset is None else y - offset
    start, residual = _least_squares(Q, R, left * root_weights)
    if residual_variance:
        _check_not_explained(residual, y * root_weights, parsed)
    free = known_variance is None and residual_variance
    groupings = build_groupings(by_group, coded, root_weights, free_residual=free, learn=read)
    check_not_fixed(groupings, Q, root_weights)
    basis = FixedBasis(coding.names, kept, R, start, coding)
    design = Design(
        parsed, used.index, y, X, Q, residual, root_weights, groupings, basis, rows, used[needed],
        offset,
    )  # fmt: skip
    return design, used


def fixed_columns(design: Design, newdata: pd.DataFrame) -> Array:
    """Code new rows as the fit's were: the estimated fixed columns, (n, p)."""
    return design.fixed.coding.columns(newdata)[:, design.fixed.kept]


def all_fixed_columns(design: Design, newdata: pd.DataFrame) -> Array:
    """Code new rows as the fit's were, aliased columns included, (n, all)."""
    return design.fixed.coding.columns(newdata)


def _by_group(
    random: tuple[RandomTerm, ...],
) -> dict[tuple[str, ...], list[RandomTerm]]:
    found: dict[tuple[str, ...], list[RandomTerm]] = {}
    for term in random:
        same = next((g for g in found if set(g) == set(term.grouping)), term.grouping)
        found.setdefault(same, []).append(term)
    return found


def _predictors(parsed: MixedFormula) -> list[Hashable]:
    """Columns that the outcome, the fixed part and the random columns use."""
    found = [*variables_of(parsed.outcome), *variables_of(parsed.fixed)]
    for term in parsed.random:
        found += variables_of(term.terms)
    return list(dict.fromkeys(found))


def _outcome(parsed: MixedFormula) -> Expression:
    if parsed.outcome is None:
        raise FormulaError(f"The formula {parsed.text!r} has no outcome.")
    return parsed.outcome


def _root_weights(used: pd.DataFrame, weights: str | None, known_variance: str | None) -> Array:
    if known_variance is not None:
        return 1.0 / _positive_roots(used, known_variance)
    return np.ones(len(used)) if weights is None else _positive_roots(used, weights)


def _positive_roots(used: pd.DataFrame, weights: str) -> Array:
    values = finite_or_missing(used, weights)
    bad = ~(values > 0)
    if bad.any():
        raise DataError(
            f"Column '{weights}' must be positive and finite; it is not in "
            f"{describe_rows(bad, used.index)}. Leave rows of no weight out yourself."
        )
    return np.asarray(np.sqrt(values))


def _check_varies(y: Array, formula: MixedFormula) -> None:
    if np.ptp(y) == 0.0:
        raise NotIdentifiedError(
            f"The outcome '{formula.response}' is {y[0]:g} in all {len(y)} rows used: "
            "there is no variance to model."
        )


def _check_not_explained(residual: Array, y: Array, formula: MixedFormula) -> None:
    if np.linalg.norm(residual) <= EXACT_FIT * np.linalg.norm(y):
        raise NotIdentifiedError(
            f"The fixed effects explain '{formula.response}' without error: no variance is left to "
            "model."
        )


def _orthonormal(X_all: Array, root_weights: Array) -> tuple[Integers, Array, Array, Array]:
    """Find the estimable columns and a basis ``Q`` with ``Q'Q = n I`` of the weighted ones."""
    n = len(X_all)
    weighted = X_all * root_weights[:, None]
    Q, R = linalg.qr(weighted, mode="economic", overwrite_a=True, check_finite=False)
    kept = independent_columns(R)
    if len(kept) >= n:
        raise NotIdentifiedError(
            f"{plural(len(kept), 'fixed effect')} (the intercept counts) from {plural(n, 'row')}: "
            "nothing is left to estimate a variance from."
        )
    if len(kept) == 0:
        return kept, X_all[:, kept], np.empty((0, n)), np.empty((0, 0))
    if len(kept) < X_all.shape[1]:
        weighted = X_all[:, kept] * root_weights[:, None]
        Q, R = linalg.qr(weighted, mode="economic", check_finite=False)
    scale = np.sqrt(n)
    return kept, X_all[:, kept], np.multiply(Q.T, scale, order="C"), R / scale


def _least_squares(Q: Array, R: Array, y: Array) -> tuple[Array, Array]:
    n = len(y)
    first = Q @ y / n
    residual = y - Q.T @ first
    again = Q @ residual / n
    residual -= Q.T @ again
    offset = linalg.solve_triangular(R, first + again) if len(first) else first
    return offset, residual


class NewRows(NamedTuple):
    """New data coded as the fit's were.

    Attributes
    ----------
    X
        Estimated fixed columns, (n, p).
    Z
        For each grouping factor, its random columns as given, (n, q).
    units
        For each grouping factor, the fitted unit of each row, -1 where unknown.
    offset
        What the formula's ``offset()`` adds, (n,); zero where it has none.
    """

    X: Array
    Z: list[Array]
    units: list[Integers]
    offset: Array


def code_new_rows(
    design: Design, newdata: pd.DataFrame, *, with_units: bool, new_units: bool = False
) -> NewRows:
    """Code new rows; refuse missing values and, unless they are allowed, unknown units."""
    newdata = check_frame(newdata, what="newdata")
    codings = [design.fixed.coding, *(b.coding for g in design.groupings for b in g.terms)]
    needed = dict.fromkeys(name for coding in codings for name in coding.variables)
    require_columns(newdata, list(needed), what="newdata")
    for column in needed:
        _check_values(design.frame[column], newdata[column])
    newdata = columns_as_read(newdata, list(needed))
    X = _estimable_columns(design, newdata)
    Z = [np.hstack([random_columns(b, newdata) for b in g.terms]) for g in design.groupings]
    units = [_known_units(g, newdata, new_units=new_units) for g in design.groupings if with_units]
    return NewRows(X, Z, units, design.fixed.coding.offsets(newdata))


def _estimable_columns(design: Design, newdata: pd.DataFrame) -> Array:
    """Code the estimated fixed columns; refuse rows that depend on an aliased coefficient."""
    X = fixed_columns(design, newdata)
    if not design.fixed.aliased:
        return X
    fitted = all_fixed_columns(design, design.frame)
    aliased = np.setdiff1d(np.arange(len(design.fixed.names)), design.fixed.kept)
    rule = np.linalg.lstsq(design.X, fitted[:, aliased], rcond=None)[0]
    off = np.abs(all_fixed_columns(design, newdata)[:, aliased] - X @ rule)
    bad = (off > 1e-7 * np.abs(fitted[:, aliased]).max(axis=0)).any(axis=1)
    if bad.any():
        raise DataError(
            f"newdata: {describe_rows(bad, newdata.index)} cannot be predicted, since the fit's "
            f"data do not determine {', '.join(design.fixed.aliased)}: the combination does not "
            "occur there."
        )
    return X


def _check_values(seen: pd.Series, new: pd.Series) -> None:
    """Refuse missing predictors and categories that were not in the fit."""
    missing = new.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"newdata: '{new.name}' is missing in {describe_rows(missing, new.index)}; "
            "a prediction needs it."
        )
    if pd.api.types.is_numeric_dtype(seen) and not pd.api.types.is_numeric_dtype(
        new.infer_objects()
    ):
        raise DataError(
            f"newdata: '{new.name}' must be numeric, as in the fit; its values are of type "
            f"{new.dtype}. Convert it first."
        )
    if not pd.api.types.is_numeric_dtype(seen):
        unseen = ~new.astype(object).isin(set(seen.dropna().unique())).to_numpy()
        if unseen.any():
            raise DataError(
                f"newdata: '{new.name}' is '{new[unseen].iloc[0]}' in "
                f"{describe_rows(unseen, new.index)}, which the fit has not seen. "
                f"{did_you_mean(new[unseen].iloc[0], sorted(map(str, seen.dropna().unique())))}"
            )


def _known_units(grouping: Grouping, newdata: pd.DataFrame, *, new_units: bool) -> Integers:
    require_columns(newdata, grouping.columns, what="newdata")
    units = units_of(grouping, newdata)
    unknown = units < 0
    if unknown.any() and not new_units:
        names = newdata.loc[unknown, list(grouping.columns)].drop_duplicates()
        shown = ", ".join(":".join(map(str, row)) for row in names.head(5).to_numpy())
        raise DataError(
            f"newdata has {len(names)} unit(s) of '{grouping.name}' that the fit has not seen "
            f"({shown}), in {describe_rows(unknown, newdata.index)}. Their own effects are "
            "unknown: predict with level='population' or new_units='average'."
        )
    return units
