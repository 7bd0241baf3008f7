"""From a frame to a generalized model's data: pairs of counts, the dispersion's columns, arrays."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import finite_or_missing, require_columns
from alliance_stats.design.coding import Coding, code_terms, independent_columns
from alliance_stats.design.design import Design
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
from alliance_stats.engine.blocks import lay_out
from alliance_stats.engine.families import Family
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.engine.row_sums import arrange_rows
from alliance_stats.engine.template import Template
from alliance_stats.errors import FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["DispersionPart", "make_generalized_problem", "pair_of_counts", "read_dispersion"]


@dataclass(frozen=True, slots=True, eq=False)
class DispersionPart:
    """How the logarithm of the dispersion depends on columns.

    Attributes
    ----------
    coding
        How the columns were coded.
    D
        Working basis of the columns, (m, n), in the design's order.
    R
        From coefficients of the columns as given to those of the basis, (m, m).
    """

    coding: Coding
    D: Array
    R: Array

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.coding.names


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


def make_generalized_problem(
    design: Design, family: Family, trials: Array, offset: Array
) -> GeneralizedProblem:
    """Arrange the design's rows for elimination."""
    groupings = design.groupings
    n = len(design.y)
    layout = lay_out([g.codes for g in groupings], [len(g.Z) for g in groupings], n)
    order = layout.order
    return GeneralizedProblem(
        layout,
        Template.full([[len(basis.names) for basis in g.terms] for g in groupings]),
        arrange_rows(layout, [g.Z for g in groupings], [g.codes for g in groupings], n),
        design.Q.take(order, axis=1),
        offset[order],
        family,
        family.outcome(
            design.y[order], trials[order], None if family.dispersion is None else np.ones(n)
        ),
    )
