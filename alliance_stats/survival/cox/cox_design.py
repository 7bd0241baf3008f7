"""From a formula and a frame to the covariates of a hazard model."""

import re
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from formulaic.errors import DataMismatchWarning, FormulaicError

from alliance_stats.checks import describe_rows, did_you_mean
from alliance_stats.design.coding import columns_as_read
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.survival.rows.time_at_risk import Intervals, missing_reason

__all__ = ["CoxDesign", "cox_design", "formula_variables", "new_covariates"]

# A covariate whose spread within strata is below this share of its size is constant there, up to
# the rounding of its own mean.
_CONSTANT = 1e-10
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
        (p, n) covariates, a row a covariate, centred within strata and scaled to SD 1.
    centre, scale
        (strata, p) what was subtracted, and (p,) what the columns were divided by.
    variables
        Columns of the frame that the formula names.
    spec
        formulaic's frozen specification, which gives new data the same coding.
    """

    formula: str
    terms: tuple[str, ...]
    term_columns: dict[str, tuple[int, ...]]
    X: Array
    centre: Array
    scale: Array
    variables: frozenset[str]
    spec: object


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
    parsed = _parse(formula)
    named = _named(parsed, formula)
    variables = [name for name in intervals.frame.columns if name in named]
    intervals = _keep_complete(intervals, variables)
    frame = columns_as_read(intervals.frame, variables)  # whose messages name the caller's rows
    frame = frame.set_axis(pd.RangeIndex(len(frame)), axis=0, copy=False)
    matrix = _materialise(parsed, frame, formula)
    spec = matrix.model_spec
    valued = np.isin(np.arange(len(frame)), matrix.index)
    intervals = _keep(intervals, valued, "a term of the formula has no value")
    columns = [k for k, name in enumerate(matrix.columns) if name != "Intercept"]
    if not columns:
        raise FormulaError(
            f"The formula {formula!r} names no covariate. For the baseline hazard alone use "
            "kaplan_meier."
        )
    X = np.empty((len(columns), len(matrix)))
    for row, k in zip(X, columns, strict=True):
        row[:] = matrix.iloc[:, k]
    terms = tuple(str(matrix.columns[k]) for k in columns)
    _refuse_infinite(X, terms, intervals)
    centre, scale = _standardise(X, terms, intervals)
    return (
        CoxDesign(
            formula=formula,
            terms=terms,
            term_columns=_term_columns(spec, columns),
            X=X,
            centre=centre,
            scale=scale,
            variables=frozenset(named.intersection(map(str, frame.columns))),
            spec=spec,
        ),
        intervals,
    )


def formula_variables(formula: str) -> set[str]:
    """Return the names that a right-hand side refers to."""
    return _named(_parse(formula), formula)


def _named(parsed: object, formula: str) -> set[str]:
    # formulaic reads `ph.ecog` in backquotes as the name 'ph'
    quoted = set(re.findall(r"`([^`]+)`", formula))
    return quoted | {str(name) for name in parsed.required_variables}  # type: ignore[attr-defined]


def new_covariates(design: CoxDesign, newdata: pd.DataFrame) -> Array:
    """Return the covariates (n, p) of new rows, neither centred nor scaled, NaN where missing."""
    frame = newdata.set_axis(pd.RangeIndex(len(newdata)), axis=0)
    spec = design.spec
    for variable in sorted(design.variables):
        if variable not in frame.columns:
            raise DataError(
                f"newdata has no column '{variable}'. {did_you_mean(variable, frame.columns)}"
            )
    X = np.full((len(frame), len(design.terms)), np.nan)
    variables = sorted(design.variables)
    frame = frame[frame[variables].notna().all(axis=1)]
    if not len(frame):
        return X
    frame = columns_as_read(frame, variables)
    with warnings.catch_warnings():
        # formulaic would take a level that the fit has not seen for the reference
        warnings.simplefilter("error", DataMismatchWarning)
        try:
            matrix = spec.get_model_matrix(frame, context={})  # type: ignore[attr-defined]
        except (DataMismatchWarning, FormulaicError) as complaint:
            raise DataError(
                f"Cannot code newdata as the fit's rows: {str(complaint).splitlines()[0]}"
            ) from complaint
    X[matrix.index] = matrix[list(design.terms)].to_numpy(dtype=np.float64)
    return X


def _parse(formula: str) -> object:
    import formulaic
    from formulaic.errors import FormulaParsingError

    if "~" in formula:
        raise FormulaError(
            f"The formula {formula!r} has a left-hand side. Write the covariates alone, as in "
            "'alliance + role'; time and event are arguments of their own."
        )
    if "|" in formula:
        raise FormulaError(
            f"The formula {formula!r} has a bar. A random effect on the hazard is asked for with "
            "frailty='therapist', not with (1 | therapist)."
        )
    if re.search(r"\blag\s*\(", formula):
        raise FormulaError(
            f"The formula {formula!r} has lag(), which takes the row before, whoever's it is. "
            "Make a column with alliance_stats.lag(data, column, person=, session=) instead."
        )
    argument = re.search(r"\b(strata|cluster|frailty)\s*\(", formula)
    if argument:
        name = argument.group(1)
        raise FormulaError(
            f"The formula {formula!r} has {name}(): give {name}='column' as an argument of its own."
        )
    try:
        return formulaic.Formula(formula)
    except FormulaParsingError as error:
        raise FormulaError(f"The formula {formula!r} cannot be read: {error}") from error


def _materialise(parsed: object, frame: pd.DataFrame, formula: str) -> pd.DataFrame:
    from formulaic.errors import FactorEncodingError, FactorEvaluationError

    try:
        # what a logarithm of 0 makes of a row is refused by name afterwards
        with np.errstate(divide="ignore", invalid="ignore"):
            return parsed.get_model_matrix(frame, context={})  # type: ignore[attr-defined]
    except (FactorEvaluationError, FactorEncodingError) as error:
        unknown = re.search(r"NameError: `(.+?)` is not present", str(error))
        if unknown:
            name = unknown.group(1)
            raise FormulaError(
                f"The formula {formula!r} names '{name}', but data have no such column. "
                f"{did_you_mean(name, frame.columns)}"
            ) from error
        raise FormulaError(f"The formula {formula!r} cannot be evaluated: {error}") from error


def _keep_complete(intervals: Intervals, variables: Sequence[Hashable]) -> Intervals:
    """Keep the rows that have every variable, saying of each how many rows and events it cost."""
    for variable in variables:
        present = intervals.frame[variable].notna().to_numpy()
        lost = int((intervals.event[~present] > 0).sum())
        what = "an ending" if len(intervals.states) > 1 else "the event"
        intervals = _keep(intervals, present, missing_reason(variable, lost, event=what))
    return intervals


def _keep(intervals: Intervals, kept: npt.NDArray[np.bool_], reason: str) -> Intervals:
    if kept.all():
        return intervals
    frame, rows = intervals.rows.keep(intervals.frame, kept, reason=reason)
    if not kept.any():
        raise DataError(f"No row has all of the formula's variables. {rows}")
    return replace(
        intervals,
        entry=intervals.entry[kept],
        exit=intervals.exit[kept],
        event=intervals.event[kept],
        stratum=intervals.stratum[kept],
        cluster=None if intervals.cluster is None else intervals.cluster[kept],
        frame=frame,
        rows=rows,
    )


def _term_columns(spec: object, columns: Sequence[int]) -> dict[str, tuple[int, ...]]:
    place = {column: number for number, column in enumerate(columns)}
    found = {}
    for term, where in spec.term_slices.items():  # type: ignore[attr-defined]
        mine = tuple(place[k] for k in range(where.start, where.stop) if k in place)
        if mine:
            found[str(term)] = mine
    return found


def _refuse_infinite(X: Array, terms: Sequence[str], intervals: Intervals) -> None:
    for name, values in zip(terms, X, strict=True):
        if not np.isfinite(values.sum()):
            odd = ~np.isfinite(values)
            raise DataError(
                f"Covariate '{name}' is infinite or undefined in "
                f"{describe_rows(odd, intervals.frame.index)}. Correct the values, or set them to "
                "missing."
            )


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
    scale = np.sqrt(np.einsum("ij,ij->i", X, X) / X.shape[1])
    for name, spread, largest in zip(terms, scale, size, strict=True):
        if spread <= _CONSTANT * max(largest, np.finfo(np.float64).tiny):
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
