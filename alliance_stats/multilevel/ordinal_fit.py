"""A fitted mixed model of ratings in steps as a record, and what cannot be fitted."""

import warnings
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import check_frame, finite_or_missing, require_columns
from alliance_stats.design.design import Design, build_design
from alliance_stats.design.formula import INTERCEPT, bound_formula, parse_formula
from alliance_stats.door import replaced
from alliance_stats.engine.generalized_search import minimise_jointly
from alliance_stats.engine.ordered import ordered_family
from alliance_stats.engine.ordered_search import Thresholds, ordered_coefficients
from alliance_stats.engine.quadrature import criterion_of
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import ConvergenceWarning, DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.multilevel.generalized_fit import (
    GeneralizedFit,
    check_nodes,
    check_not_runaway,
    make_generalized_problem,
)

__all__ = ["OrdinalFit", "fit_ordinal", "fit_steps", "read_steps"]

# A scale of more values is no scale of steps.
MOST_STEPS = 50


@dataclass(frozen=True, eq=False, repr=False)
class OrdinalFit(GeneralizedFit):
    """A fit and what is derived from it, as arrays.

    Attributes
    ----------
    steps
        Labels of the steps that were rated, lowest first.
    unused
        Labels of steps that no row used has.
    kind
        ``"flexible"``, ``"symmetric"`` or ``"equidistant"`` thresholds.
    J
        From the search's parameters to the thresholds between ratings' centred predictors.
    """

    steps: tuple[Hashable, ...]
    unused: tuple[Hashable, ...]
    kind: str
    J: Array

    @cached_property
    def _back(self) -> Array:
        """From (gamma, psi) to (coefficients without intercept, thresholds)."""
        R = linalg.inv(self.design.fixed.R)[:, 1:]
        p, (n, m) = self.problem.p, self.J.shape
        out = np.zeros((p + n, p + m))
        out[:p, :p], out[p:, :p], out[p:, p:] = R[1:], -R[0], self.J
        return out

    @property
    def beta(self) -> Array:
        """Coefficients in the design's columns; the intercept is 0, thresholds take its place."""
        return np.concatenate([[0.0], (self._back @ self.minimum.other)[: self.problem.p]])

    @property
    def thresholds(self) -> Array:
        """Thresholds at predictors of zero."""
        return np.asarray((self._back @ self.minimum.other)[self.problem.p :])

    @cached_property
    def joint_vcov(self) -> Array:
        """Covariance of (coefficients without intercept, thresholds)."""
        k = self.template.n_theta
        return np.asarray(self._back @ self.minimum.covariance[k:, k:] @ self._back.T)

    @cached_property
    def vcov(self) -> Array:
        """Covariance of the coefficients; zeros for the intercept."""
        p = self.problem.p
        out = np.zeros((p + 1, p + 1))
        out[1:, 1:] = self.joint_vcov[:p, :p]
        return out

    @property
    def fixed_part(self) -> Array:
        """Linear predictor without random effects of each row used, the offset included."""
        known = 0.0 if self.design.offset is None else self.design.offset
        return np.asarray(self.design.X @ self.beta + known)


def read_steps(data: pd.DataFrame, response: Hashable) -> tuple[Array, tuple[Hashable, ...]]:
    """Return each row's step, counted from 0 and NaN where missing, and the steps' labels.

    Raises
    ------
    DataError
        Categories without an order, text, or more values than a scale of steps has.
    """
    column = data[response]
    if isinstance(column.dtype, pd.CategoricalDtype):
        if not column.cat.ordered:
            raise DataError(
                f"'{response}' has categories without an order. Make it "
                "pd.Categorical(..., categories=[lowest, ..., highest], ordered=True)."
            )
        codes = column.cat.codes.to_numpy(dtype=np.float64)
        return np.where(codes < 0, np.nan, codes), tuple(column.cat.categories)
    if not pd.api.types.is_numeric_dtype(column):
        raise DataError(
            f"'{response}' is text, and text has no order of steps. Make it "
            "pd.Categorical(..., categories=[lowest, ..., highest], ordered=True), or numbers."
        )
    values = finite_or_missing(data, response)
    seen = np.isfinite(values)
    labels = np.unique(values[seen])
    if len(labels) > MOST_STEPS:
        raise DataError(
            f"'{response}' has {len(labels)} different values: that is no scale of steps. Fit it "
            "by lmm."
        )
    codes = np.where(seen, np.searchsorted(labels, np.where(seen, values, 0.0)), np.nan)
    return codes, tuple(int(v) if v == int(v) else float(v) for v in labels)


def fit_ordinal(
    formula: str, data: pd.DataFrame, *, link: str, kind: str, nodes: int = 1
) -> OrdinalFit:
    """Check what was rated, fit, and look at what came out."""
    data = check_frame(data)
    parsed = bound_formula(parse_formula(formula), list(data.columns))
    response = next((c for c in data.columns if str(c) == parsed.response), None)
    if response is None:
        require_columns(data, [parsed.response])
    codes, labels = read_steps(data, response)
    design, _ = build_design(formula, replaced(data, {response: codes}), residual_variance=False)
    if not design.groupings:
        raise FormulaError(
            f"{design.formula.text!r} has no random term such as '(1 | person)'; without one it is "
            "an ordinal regression (alliance_stats.regression)."
        )
    if not len(design.fixed.names) or design.fixed.names[0] != INTERCEPT:
        raise FormulaError(
            f"{design.formula.text!r} leaves the intercept out, but thresholds take its place "
            "anyway. Write the formula without '0 +' or '- 1'."
        )
    used = np.unique(design.y).astype(np.int64)
    steps = tuple(labels[i] for i in used)
    _check_steps(design, steps)
    design = replace(design, y=np.searchsorted(used, design.y).astype(np.float64))
    unused = tuple(label for i, label in enumerate(labels) if i not in set(used.tolist()))
    return replace(fit_steps(design, link, kind, steps, nodes=nodes), unused=unused)


def fit_steps(
    design: Design, link: str, kind: str, steps: tuple[Hashable, ...], *, nodes: int
) -> OrdinalFit:
    """Fit a design whose outcome counts the steps that were rated from 0.

    Raises
    ------
    NotIdentifiedError
        A step that no row has (its thresholds would be one), a random-effects SD that runs away.
    """
    rated = np.bincount(design.y.astype(np.int64), minlength=len(steps)) > 0
    if not rated.all():
        missing = next(step for step, has in zip(steps, rated, strict=True) if not has)
        raise NotIdentifiedError(
            f"No row is in the step {missing} of '{design.formula.response}': its thresholds "
            "cannot be told apart."
        )
    if nodes != 1:
        check_nodes(design, nodes)
    J = threshold_basis(len(steps) - 1, kind)
    known = np.zeros(len(design.y)) if design.offset is None else design.offset
    # the first working column is the intercept's; the others have mean zero
    centred = replace(design, Q=design.Q[1:])
    problem = make_generalized_problem(centred, ordered_family(link), np.ones(len(design.y)), known)
    problem = replace(problem, shape=Thresholds(J))
    with one_blas_thread():
        start = np.concatenate(ordered_coefficients(problem))
        minimum = minimise_jointly(problem, criterion_of(nodes), start)
    check_not_runaway(design, minimum, nodes)
    if not minimum.convergence.converged:
        warnings.warn(
            f"The fit of {design.formula.text!r} has not converged "
            f"({minimum.convergence.message}); do not use its numbers.",
            ConvergenceWarning,
            stacklevel=4,
        )
    at_end = problem.at(minimum.other[problem.p :])
    return OrdinalFit(
        design, at_end, minimum, nodes, None, None, at_end.family, None,
        steps=steps, unused=(), kind=kind, J=J,
    )  # fmt: skip


def threshold_basis(n: int, kind: str) -> Array:
    """Return what makes thresholds of their parameters: (n, m).

    Equidistant: the first threshold and the distance. Symmetric: the middle and the distances from
    it of thresholds on both sides.
    """
    if kind == "equidistant" and n > 1:
        return np.vander(np.arange(n, dtype=np.float64), 2, increasing=True)
    if kind == "symmetric" and n > 1:
        half = n // 2
        away = np.zeros((n, half))
        for k in range(half):
            away[half - 1 - k, k], away[n - half + k, k] = -1.0, 1.0
        return np.concatenate([np.ones((n, 1)), away], axis=1)
    return np.eye(n)


def _check_steps(design: Design, steps: tuple[Hashable, ...]) -> None:
    name = design.formula.response
    if len(steps) == 1:
        raise NotIdentifiedError(
            f"'{name}' is {steps[0]} in all {plural(len(design.y), 'row')} used: nothing "
            "distinguishes them."
        )
    if len(steps) == 2:
        raise DataError(
            f"'{name}' has two steps in the rows used ({steps[0]}, {steps[1]}). A yes or no is "
            "fitted by glmm."
        )
    for grouping in design.groupings:
        if np.bincount(grouping.codes).max() == 1:
            raise NotIdentifiedError(
                f"Every unit of '{grouping.name}' has one row: its variance cannot be told from "
                "that of the latent value. Leave the term out."
            )
