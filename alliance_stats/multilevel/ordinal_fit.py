"""A fitted mixed model of ordinal ratings as a record, and what cannot be fitted."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.checks import check_frame, did_you_mean, finite_or_missing, require_columns
from alliance_stats.design.design import Design, build_design
from alliance_stats.design.formula import (
    INTERCEPT,
    bound_formula,
    parse_formula,
    parse_terms,
    printed,
)
from alliance_stats.door import replaced
from alliance_stats.engine.generalized_search import minimise_jointly
from alliance_stats.engine.ordered import ordered_family
from alliance_stats.engine.ordered_search import Thresholds, ordered_coefficients
from alliance_stats.engine.quadrature import criterion_of
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.multilevel.generalized_data import make_generalized_problem
from alliance_stats.multilevel.generalized_fit import (
    GeneralizedFit,
    warn_not_converged,
    with_enough_nodes,
)
from alliance_stats.multilevel.outcome_checks import (
    SUSPICIOUS,
    check_nodes,
    check_not_runaway,
    check_offset,
    check_steps_not_separated,
)

__all__ = ["OrdinalFit", "fit_ordinal", "fit_steps", "proportionality_table", "read_steps"]

# A scale of more values is no scale of steps.
MOST_STEPS = 50
# Predictors or thresholds as far apart as this on the link's scale are looked at for separation.
FAR = 8.0


@dataclass(frozen=True, eq=False, repr=False)
class OrdinalFit(GeneralizedFit):
    """A fit and what is derived from it, as arrays.

    Attributes
    ----------
    steps
        Labels of the steps used, lowest first.
    scale
        Labels of all steps, also of those without a row, lowest first.
    kind
        ``"flexible"``, ``"symmetric"`` or ``"equidistant"`` thresholds.
    J
        From the search's parameters to the thresholds between ratings' centred predictors.
    nominal
        Positions among the design's columns of those with an effect on each threshold.
    R
        From the coefficients of the other columns to the working ones.
    """

    steps: tuple[Hashable, ...]
    scale: tuple[Hashable, ...]
    kind: str
    J: Array
    nominal: tuple[int, ...]
    R: Array

    @property
    def unused(self) -> tuple[Hashable, ...]:
        """Labels of steps without a row."""
        return tuple(label for label in self.scale if label not in self.steps)

    @property
    def by_threshold(self) -> bool:
        """Whether some effects differ from threshold to threshold."""
        return bool(self.nominal)

    @property
    def located(self) -> list[int]:
        """Positions of the columns with one effect, the intercept (0 in the fit) first."""
        return [i for i in range(self.design.X.shape[1]) if i not in self.nominal]

    @cached_property
    def back(self) -> Array:
        """From the search's parameters to coefficients without intercept, thresholds and moves."""
        R = linalg.inv(self.R)[:, 1:]
        p, (n, m), k = self.problem.p, self.J.shape, len(self.nominal)
        out = np.zeros((p + n + k * n, p + m + k * n))
        out[:p, :p], out[p : p + n, :p], out[p : p + n, p : p + m] = R[1:], -R[0], self.J
        middle, size = _centre_and_size(self.design.X[:, list(self.nominal)])
        for column in range(k):
            own, there = slice(p + n + column * n, p + n + (column + 1) * n), p + m + column * n
            out[own, there : there + n] = np.eye(n) / size[column]
            out[p : p + n, there : there + n] = -np.eye(n) * middle[column] / size[column]
        return out

    @cached_property
    def _given(self) -> Array:
        return np.asarray(self.back @ self.minimum.other)

    @property
    def beta(self) -> Array:
        """Coefficients in the design's columns; 0 for the intercept and what moves thresholds."""
        found = np.zeros(self.design.X.shape[1])
        found[self.located[1:]] = self._given[: self.problem.p]
        return found

    @property
    def thresholds(self) -> Array:
        """Thresholds at predictors of zero."""
        return self._given[self.problem.p :][: len(self.J)]

    @property
    def moves(self) -> Array:
        """How much higher the thresholds are for a unit of each nominal column: (k, J - 1)."""
        return self._given[self.problem.p + len(self.J) :].reshape(len(self.nominal), len(self.J))

    def thresholds_at(self, X: Array) -> Array:
        """Return the thresholds of rows, (n, J - 1)."""
        return np.asarray(self.thresholds + X[:, list(self.nominal)] @ self.moves)

    @cached_property
    def joint_vcov(self) -> Array:
        """Covariance of (coefficients without intercept, thresholds, moves)."""
        k = self.template.n_theta
        return np.asarray(self.back @ self.minimum.covariance[k:, k:] @ self.back.T)

    @property
    def from_search(self) -> Array:
        """Linear map from theta and the search's other parameters to :attr:`beta`."""
        back = np.zeros((self.design.X.shape[1], len(self.minimum.covariance)))
        back[self.located[1:], self.template.n_theta :] = self.back[: self.problem.p]
        return back

    @cached_property
    def vcov(self) -> Array:
        """Covariance of the coefficients; zeros where :attr:`beta` is 0 by definition."""
        p, own = self.problem.p, self.located[1:]
        out = np.zeros((self.design.X.shape[1],) * 2)
        out[np.ix_(own, own)] = self.joint_vcov[:p, :p]
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
        Unordered categories, text, or more values than an ordinal scale has.
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
    formula: str,
    data: pd.DataFrame,
    *,
    link: str,
    kind: str,
    nodes: int | Literal["enough"] = 1,
    nominal: str | None = None,
) -> OrdinalFit:
    """Check the ratings, fit, and check the result."""
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
    columns = nominal_columns(design, nominal, kind)

    def fitted(k: int) -> OrdinalFit:
        return fit_steps(design, link, kind, steps, nodes=k, nominal=columns)

    fit = with_enough_nodes(fitted) if nodes == "enough" else fitted(nodes)
    return replace(fit, scale=labels)


def fit_steps(
    design: Design,
    link: str,
    kind: str,
    steps: tuple[Hashable, ...],
    *,
    nodes: int,
    nominal: tuple[int, ...] = (),
) -> OrdinalFit:
    """Fit a design whose outcome numbers the steps from 0.

    Raises
    ------
    NotIdentifiedError
        A step without a row (its thresholds would coincide), a random-effects SD that diverges.
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
    check_offset(design, known)
    located = [i for i in range(design.X.shape[1]) if i not in nominal]  # the intercept first
    Q, R = design.Q, design.fixed.R
    if nominal:
        check_steps_not_separated(design, located[1:], J, nominal)
        Q, R = linalg.qr(design.X[:, located], mode="economic")
        scale = np.sqrt(len(design.y))
        Q, R = np.ascontiguousarray(Q.T) * scale, R / scale
    # the first working column is the intercept's; the others have mean zero
    problem = make_generalized_problem(
        replace(design, Q=Q[1:]), ordered_family(link), np.ones(len(design.y)), known
    )
    middle, size = _centre_and_size(design.X[:, list(nominal)])
    W = np.ascontiguousarray(((design.X[:, list(nominal)] - middle) / size).T)
    with one_blas_thread():
        plain = replace(problem, shape=Thresholds(J, np.empty((0, problem.n))))
        start = np.concatenate(ordered_coefficients(plain))
        problem = replace(problem, shape=Thresholds(J, W[:, problem.layout.order]))
        moves = np.zeros(len(nominal) * len(J))
        try:
            minimum = minimise_jointly(problem, criterion_of(nodes), np.r_[start, moves])
        except linalg.LinAlgError as flat:
            check_steps_not_separated(design, located[1:], J, nominal)
            raise NotIdentifiedError(
                f"{len(located)} fixed effects from {len(design.y)} ratings hardly tell the "
                f"thresholds of '{design.formula.response}' apart. Leave terms out, or convert a "
                "column of numbers that is read as categories (pandas.to_numeric)."
            ) from flat
    at_end = problem.at(minimum.other[problem.p :])
    fit = OrdinalFit(
        design, at_end, minimum, nodes, None, None, at_end.family, None,
        steps=steps, scale=steps, kind=kind, J=J, nominal=nominal, R=R,
    )  # fmt: skip
    if not nominal and (not minimum.convergence.converged or _is_suspicious(fit)):
        check_steps_not_separated(design, located[1:], J)
    check_not_runaway(design, minimum, nodes)
    if not minimum.convergence.converged:
        warn_not_converged(design, minimum)
    return fit


def _is_suspicious(fit: OrdinalFit) -> bool:
    """Whether the ends of the scale lie far apart, or an effect is hardly identified."""
    if max(np.ptp(fit.fixed_part), np.abs(fit.thresholds).max()) > FAR:
        return True
    sizes = np.abs(fit.design.X).max(axis=0)
    most = np.r_[sizes[fit.located[1:]], np.ones(len(fit.J))]
    return not (np.sqrt(np.diag(fit.joint_vcov).clip(0.0)) * most < SUSPICIOUS).all()


def _centre_and_size(columns: Array) -> tuple[Array, Array]:
    """Return the mean and the SD of each column."""
    return columns.mean(axis=0), columns.std(axis=0)


def nominal_columns(design: Design, nominal: str | None, kind: str) -> tuple[int, ...]:
    """Return the positions of the columns of the terms named by a right-hand side.

    Raises
    ------
    FormulaError
        A term that is not among the model's, or thresholds that are not flexible.
    """
    if nominal is None:
        return ()
    if kind != "flexible":
        raise FormulaError(
            f"nominal= gives every threshold its own effect, and {kind} thresholds are tied to one "
            "another: leave thresholds= out."
        )
    place = {int(column): i for i, column in enumerate(design.fixed.kept)}
    terms = {t.name: t for t in design.fixed.coding.terms if t.factors}
    found: list[int] = []
    for term in parse_terms(nominal).terms:
        name = ":".join(map(printed, term))
        if term and name not in terms:
            raise FormulaError(
                f"nominal= names {name}, which is no term of {design.formula.text!r}. "
                f"{did_you_mean(name, list(terms))}"
            )
        own = terms[name].columns if term else range(0)
        columns = range(own.start, own.stop) if isinstance(own, slice) else own
        found += [place[c] for c in columns if c in place]
    if not found:
        raise FormulaError("nominal= names no term; write the terms, as in nominal='~ role'.")
    return tuple(found)


def threshold_basis(n: int, kind: str) -> Array:
    """Return the matrix from parameters to thresholds: (n, m).

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


def proportionality_table(fit: OrdinalFit) -> pd.DataFrame:
    """See :meth:`OrdinalMixedModel.proportional_odds`."""
    design, found = fit.design, []
    place = {int(column): i for i, column in enumerate(design.fixed.kept)}
    for term in design.fixed.coding.terms:
        own = [place[c] for c in range(term.columns.start, term.columns.stop) if c in place]
        if not term.factors or not own or set(own) & set(fit.nominal) or len(fit.J) < 2:
            continue
        df = len(own) * (len(fit.J) - 1)
        try:
            freed = fit_steps(
                design, fit.family.link, fit.kind, fit.steps, nodes=fit.nodes,
                nominal=(*fit.nominal, *own),
            )  # fmt: skip
            statistic = max(fit.deviance - freed.deviance, 0.0)
        except NotIdentifiedError:
            statistic = np.nan
        found.append(
            {
                "term": term.name,
                "statistic": statistic,
                "df": float(df),
                "p_value": float(stats.chi2.sf(statistic, df)),
                "method": "likelihood ratio against an effect on each threshold",
            }
        )
    return pd.DataFrame(found, columns=["term", "statistic", "df", "p_value", "method"])
