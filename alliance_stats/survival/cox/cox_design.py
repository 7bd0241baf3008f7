"""From a formula and a frame to the covariates of a hazard model."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, check_frame, did_you_mean
from alliance_stats.design.coding import Coding, code_terms, independent_columns
from alliance_stats.design.formula import CONSTANT, Terms, bound_terms, parse_formula, variables_of
from alliance_stats.design.rows import columns_as_read
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.survival.rows.time_at_risk import (
    Intervals,
    read_labels,
    rows_with_all,
)

__all__ = [
    "CoxDesign",
    "cox_design",
    "formula_variables",
    "new_covariates",
    "new_offset",
    "new_strata",
    "predicted_ratios",
]

# A covariate whose spread within strata is below this share of its size is constant there, up to
# the rounding of its own mean.
_CONSTANT = 1e-10
# Squares of values below this, and the variance of their estimate, leave what a double can hold.
_SMALLEST = 1e-140
# A covariate of which the others leave less than this share of its variance is their combination.
_COLLINEAR = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class CoxDesign:
    """Covariates of a hazard model.

    Attributes
    ----------
    formula
        The right-hand side as given.
    terms
        (p,) names of the covariate columns.
    term_columns
        Formula term -> the columns it makes (several for a factor).
    X
        (p, n) covariates, one row per covariate, centred within strata and scaled to SD 1.
    centre, scale
        (strata, p) what was subtracted, and (p,) what the columns were divided by.
    variables
        Columns of the frame that the formula names.
    coding
        How the formula's terms, and new data, are coded.
    columns
        Which of its columns are the covariates.
    """

    formula: str
    terms: tuple[str, ...]
    term_columns: dict[str, tuple[int, ...]]
    X: Array
    centre: Array
    scale: Array
    variables: frozenset[str]
    coding: Coding
    columns: tuple[int, ...]


def cox_design(formula: str, intervals: Intervals) -> tuple[CoxDesign, Intervals]:
    """Code the right-hand side of a formula on the rows that have all its variables.

    Returns
    -------
    design, intervals
        The covariates, and the intervals without the rows in which a variable was missing.

    Raises
    ------
    FormulaError
        A formula that cannot be read, or names an unknown column.
    NotIdentifiedError
        A covariate that does not vary within strata, or is a combination of others.
    """
    parsed = _covariates(formula, offset=True)
    terms = bound_terms(parsed, list(intervals.frame.columns))
    variables = variables_of(terms)
    learn = intervals.frame
    intervals = _keep_complete(intervals, variables)
    frame = columns_as_read(intervals.frame, variables)
    coding, matrix = code_terms(terms, frame, learn=learn)
    if coding.offset:
        intervals = replace(intervals, offset=coding.offsets(frame))
    columns = _columns_beside_the_baseline(coding, matrix)
    if not columns:
        raise FormulaError(
            f"The formula {formula!r} names no covariate. For the baseline hazard alone use "
            "kaplan_meier."
        )
    X = np.ascontiguousarray(matrix[:, columns].T)
    names = tuple(coding.names[k] for k in columns)
    centre, scale = _standardise(X, names, intervals)
    return (
        CoxDesign(
            formula=formula,
            terms=names,
            term_columns=_term_columns(coding, columns),
            X=X,
            centre=centre,
            scale=scale,
            variables=frozenset(map(str, variables)),
            coding=coding,
            columns=tuple(columns),
        ),
        intervals,
    )


def formula_variables(formula: str, *, offset: bool = False) -> set[str]:
    """Return the names that a right-hand side refers to; an ``offset()`` only where it is taken."""
    return set(map(str, variables_of(_covariates(formula, offset=offset))))


def new_covariates(design: CoxDesign, newdata: pd.DataFrame) -> Array:
    """Return the covariates (n, p) of new rows, neither centred nor scaled, NaN where missing."""
    variables = list(design.coding.variables)
    for variable in variables:
        if variable not in newdata.columns:
            raise DataError(
                f"newdata has no column '{variable}'. {did_you_mean(variable, newdata.columns)}"
            )
    X = np.full((len(newdata), len(design.terms)), np.nan)
    known = newdata[variables].notna().all(axis=1).to_numpy()
    if known.any():
        frame = columns_as_read(newdata.loc[known], variables)
        X[known] = design.coding.columns(frame)[:, list(design.columns)]
    return X


def predicted_ratios(
    design: CoxDesign, beta: Array, newdata: pd.DataFrame, *, scale: str
) -> pd.DataFrame:
    """Return each row's (log) hazard ratio against a row of zeros, in a column ``estimate``."""
    check_choice(scale, ("link", "ratio"), name="scale")
    newdata = check_frame(newdata, what="newdata")
    linear: Array = np.asarray(new_covariates(design, newdata) @ beta)
    linear = linear + new_offset(design, newdata)
    with np.errstate(over="ignore"):
        values = linear if scale == "link" else np.exp(linear)
    return pd.DataFrame({"estimate": values}, index=newdata.index)


def new_offset(design: CoxDesign, newdata: pd.DataFrame) -> Array:
    """Return what the formula's ``offset()`` adds for new rows (n,): 0 without, NaN if missing."""
    found = np.zeros(len(newdata))
    if not design.coding.offset:
        return found
    variables = list(design.coding.variables)
    known = newdata[variables].notna().all(axis=1).to_numpy()
    found[known] = design.coding.offsets(columns_as_read(newdata.loc[known], variables))
    found[~known] = np.nan
    return found


def new_strata(intervals: Intervals, newdata: pd.DataFrame) -> Integers:
    """Return the number of each new row's stratum."""
    columns = intervals.strata_columns
    if not columns:
        return np.zeros(len(newdata), dtype=np.int64)
    for column in columns:
        if column not in newdata.columns:
            raise DataError(f"newdata has no column '{column}', whose strata the model has.")
    groups = read_labels(newdata, columns)
    known = {key: number for number, key in enumerate(intervals.strata_keys)}
    for key, label in zip(groups.keys, groups.labels, strict=True):
        if key not in known:
            raise DataError(
                f"newdata holds the stratum '{label}', which the model was not fitted to. "
                f"{did_you_mean(label, intervals.strata)}"
            )
    return np.array([known[key] for key in groups.keys])[groups.codes]


def _covariates(formula: str, *, offset: bool = False) -> Terms:
    """Read the covariates of a hazard; its baseline replaces the constant, requested or not."""
    parsed = parse_formula(formula, needs_response=False)
    if parsed.outcome is not None:
        raise FormulaError(
            f"The formula {formula!r} has a left-hand side. Write the covariates alone, as in "
            "'alliance + role'; time and event are arguments of their own."
        )
    if parsed.random:
        raise FormulaError(
            f"The formula {formula!r} has a bar. A random effect on the hazard is asked for with "
            "frailty='therapist', not with (1 | therapist)."
        )
    if parsed.fixed.offset and not offset:
        raise FormulaError(
            f"The formula {formula!r} has an offset(), which this model does not take: what is "
            "added to a log hazard as it is belongs into cox_ph, fine_gray or discrete_hazard."
        )
    return CONSTANT + parsed.fixed


def _columns_beside_the_baseline(coding: Coding, matrix: Array) -> list[int]:
    """Return the columns without the constant and any spline column it makes redundant."""
    spline = {
        k
        for term in coding.terms
        if any(len(factor.fields or ()) > 1 for factor in term.factors)
        for k in range(term.columns.start, term.columns.stop)
    }
    independent = set(independent_columns(matrix).tolist()) if spline else set()
    return [k for k in range(1, len(coding.names)) if k not in spline or k in independent]


def _keep_complete(intervals: Intervals, variables: Sequence[Hashable]) -> Intervals:
    """Keep the rows that have every variable, recording how many rows and events each cost."""
    frame, rows, kept = rows_with_all(
        intervals.frame,
        variables,
        intervals.rows,
        intervals.event > 0,
        event="an ending" if len(intervals.states) > 1 else "the event",
    )
    if kept.all():
        return intervals
    return replace(intervals.where(kept), frame=frame, rows=rows)


def _term_columns(coding: Coding, columns: Sequence[int]) -> dict[str, tuple[int, ...]]:
    place = {column: number for number, column in enumerate(columns)}
    found = {}
    for term in coding.terms:
        where = range(term.columns.start, term.columns.stop)
        mine = tuple(place[k] for k in where if k in place)
        if mine:
            found[term.name] = mine
    return found


def _standardise(X: Array, terms: Sequence[str], intervals: Intervals) -> tuple[Array, Array]:
    """Centre X within strata and scale it to SD 1, in place; refuse what cannot be estimated."""
    n_strata = len(intervals.strata)
    size = np.maximum(X.max(axis=1), -X.min(axis=1))
    if n_strata == 1:
        centre = X.mean(axis=1)[None, :]
        X -= centre.T
    else:
        count = np.bincount(intervals.stratum, minlength=n_strata)
        sums = [np.bincount(intervals.stratum, weights=row, minlength=n_strata) for row in X]
        centre = (np.array(sums) / np.maximum(count, 1)).T
        X -= centre[intervals.stratum].T
    with np.errstate(over="ignore"):  # refused by name below
        scale = np.sqrt(np.einsum("ij,ij->i", X, X) / X.shape[1])
    for name, spread, largest in zip(terms, scale, size, strict=True):
        if not np.isfinite(spread):
            raise DataError(
                f"Covariate '{name}' is too large to be squared (up to {largest:.3g}). Give it in "
                "another unit."
            )
        if 0.0 < largest < _SMALLEST:
            raise DataError(
                f"Covariate '{name}' is too small to be squared (up to {largest:.3g}). Give it in "
                "another unit."
            )
        if spread <= _CONSTANT * largest:
            within = " within strata" if n_strata > 1 else ""
            raise NotIdentifiedError(
                f"Covariate '{name}' does not vary{within}: it has no hazard ratio. Leave it out."
            )
    X /= scale[:, None]
    _refuse_collinear(X @ X.T / X.shape[1], terms)
    return centre, scale


def _refuse_collinear(correlation: Array, terms: Sequence[str]) -> None:
    """Refuse the first column that those before it determine."""
    for k in range(1, len(terms)):
        before = correlation[:k, :k]
        explained = correlation[k, :k] @ np.linalg.lstsq(before, correlation[:k, k], rcond=None)[0]
        if 1.0 - explained < _COLLINEAR:
            raise NotIdentifiedError(
                f"Covariate '{terms[k]}' is a combination of those before it "
                f"({', '.join(terms[:k])}): its hazard ratio cannot be told apart. Leave one out."
            )
