"""From a frame to a generalized model's inputs: pairs of counts, columns of the dispersion."""

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import finite_or_missing, require_columns
from alliance_stats.design.coding import code_terms, independent_columns
from alliance_stats.design.formula import (
    MixedFormula,
    OwnColumn,
    Terms,
    bound_formula,
    parse_formula,
    variables_of,
)
from alliance_stats.design.grammar import Call, Column
from alliance_stats.design.rows import columns_as_read
from alliance_stats.engine.families import Family
from alliance_stats.errors import FormulaError, NotIdentifiedError
from alliance_stats.multilevel.generalized_fit import DispersionPart

__all__ = ["pair_of_counts", "read_dispersion"]


def pair_of_counts(
    formula: str | MixedFormula, data: pd.DataFrame, family: Family, weights: str | None
) -> tuple[MixedFormula, pd.DataFrame, Hashable | None]:
    """Read ``cbind(successes, failures) ~ ...``; any other formula is returned unchanged.

    Returns
    -------
    formula, data, trials
        The formula and data with the successes as outcome, and the label of a column of trials.
    """
    parsed, columns = parse_formula(formula), list(data.columns)
    pair = parsed.outcome
    if not (isinstance(pair, Call) and pair.function == "cbind"):
        return parsed, data, weights
    if len(pair.arguments) != 2 or pair.named:
        raise FormulaError(
            "cbind() takes a column of successes and one of failures: cbind(kept, missed) ~ ..."
        )
    if family.support != "trials" or weights is not None:
        raise FormulaError(
            "cbind(successes, failures) is an outcome of the binomial and the beta-binomial "
            "family, and brings its trials: leave weights= out."
        )
    both = [bound_formula(replace(parsed, outcome=each), columns) for each in pair.arguments]
    names = [each.outcome.name for each in both if isinstance(each.outcome, Column)]
    if len(names) != 2:
        raise FormulaError("cbind() takes two columns as they are; make others beforehand.")
    require_columns(data, names)
    trials = OwnColumn(f"{names[0]} + {names[1]}")
    data = data.copy(deep=False)
    data[trials] = sum(finite_or_missing(data, name) for name in names)
    return replace(parsed, outcome=Column(names[0], ticked=True)), data, trials


def read_dispersion(terms: Terms, used: pd.DataFrame, data: pd.DataFrame) -> DispersionPart:
    """Code the columns of the log dispersion, on a basis with mean square 1.

    Raises
    ------
    FormulaError
        If there is an offset.
    NotIdentifiedError
        If columns are linearly dependent.
    """
    if terms.offset:
        raise FormulaError("dispersion= has no offset().")
    coding, X = code_terms(terms, columns_as_read(used, variables_of(terms)), learn=data)
    if len(independent_columns(X)) < X.shape[1]:
        raise NotIdentifiedError(
            f"The columns of dispersion= ({', '.join(coding.names)}) are not independent of one "
            "another."
        )
    Q, R = linalg.qr(X, mode="economic")
    scale = np.sqrt(len(X))
    return DispersionPart(coding, np.ascontiguousarray(Q.T) * scale, R / scale)
