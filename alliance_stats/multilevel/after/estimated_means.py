"""Estimated marginal means over a reference grid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice
from alliance_stats.design.grammar import Call, Column
from alliance_stats.design.groupings import random_columns
from alliance_stats.errors import FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, named_covariance, one_line
from alliance_stats.formatting import format_number
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import (
    FittedModel,
    GeneralizedModel,
    caveats,
    infer,
    link_of,
    require_fitted,
)
from alliance_stats.multilevel.after.reference_grid import (
    At,
    Weights,
    grid_columns,
    names_of,
    reference_grid,
)
from alliance_stats.multilevel.linear_functions import DfMethod, Inference, LinearEstimates
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["EstimatedMeans", "estimated_means", "outcome_on"]

Scale = Literal["link", "response", "median", "mean"]

# What undoes an outcome's transform: the value, its slope, and the mean given a variance v.
_LN2, _LN10 = np.log(2.0), np.log(10.0)
BACK: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array], float]] = {
    "log": (np.exp, np.exp, 1.0),
    "log2": (np.exp2, lambda x: _LN2 * np.exp2(x), _LN2),
    "log10": (lambda x: 10.0**x, lambda x: _LN10 * 10.0**x, _LN10),
    "log1p": (np.expm1, np.exp, 1.0),
    "sqrt": (np.square, lambda x: 2.0 * x, 0.0),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EstimatedMeans:
    """Means that a model expects, made by :func:`estimated_means`.

    Attributes
    ----------
    model
        The fitted model.
    inference
        Its coefficients and df method.
    labels
        What each mean refers to: one column per predictor shown, those of `by` first.
    by
        The predictors within whose levels comparisons are made.
    estimates
        The means on the scale of the linear predictor.
    notes
        What to know before reading.
    spread
        For a linear mixed model, the variance of a new observation of a new unit at each mean,
        averaged in the same way as the mean; NaN where residual variances differ or are known.
    """

    model: FittedModel
    inference: Inference
    labels: pd.DataFrame
    by: tuple[str, ...]
    estimates: LinearEstimates
    notes: tuple[str, ...]
    spread: Array

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.model.rows

    @property
    def not_estimable(self) -> pd.DataFrame:
        """Combinations whose mean is not estimable from the data."""
        return self.labels[~self.estimates.estimable].reset_index(drop=True)

    def tidy(self, *, scale: Scale = "link", conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per mean.

        Parameters
        ----------
        scale
            ``"link"``: the scale of the linear predictor (that of the outcome for a linear model).
            ``"response"``: the expected response at random effects of zero; the limits are those of
            the link scale transformed, the standard error is the delta method's. ``"median"`` and
            ``"mean"``, of an outcome that the formula transforms (``log(y)``, ``log2``, ``log10``,
            ``log1p``, ``sqrt``): back in its own units, the median of a new observation of a new
            unit, and its mean, which adds a term for the variance v of the random effects and the
            residual: ``exp(eta + v / 2)`` for a logarithm, ``eta^2 + v`` for a root (normal on the
            model's scale; v taken as known in the standard error).
        conf_level
            Coverage of each interval separately.

        Returns
        -------
        DataFrame
            The predictors shown, then ``estimate, std_error, df, conf_low, conf_high``. NaN where
            the mean is not estimable.
        """
        check_choice(scale, ("link", "response", "median", "mean"), name="scale")
        table = self.estimates.columns(conf_level=conf_level)
        if scale in ("median", "mean"):
            table = _back_transformed(self.model, table, self.spread if scale == "mean" else None)
        if scale == "response":
            table = _on_response_scale(self.model, table)
        shown = ["estimate", "std_error", "df", "conf_low", "conf_high"]
        return pd.concat([self.labels, table[shown]], axis=1)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the means, on the scale of the link, named as their rows."""
        labels = self.labels
        return named_covariance(self.estimates.covariance, *(labels[name] for name in labels))

    def glance(self) -> pd.DataFrame:
        """Return one row: how many means, how many not estimable, the df method, the scale."""
        return pd.DataFrame(
            [
                {
                    "n_means": len(self.labels),
                    "n_not_estimable": int((~self.estimates.estimable).sum()),
                    "df_method": self.inference.df_method,
                    "link": link_of(self.model).name,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What the means are, in a phrase."""
        link = link_of(self.model).name
        return "estimated means" + (
            "" if link == "identity" else f" on the {link} scale, random effects at zero"
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the means as data, opening with what is not estimable or extrapolated."""
        names = tuple(self.labels.columns)
        link = link_of(self.model)
        means = Section(
            "" if names else "Overall mean",
            self.tidy(conf_level=conf_level),
            names=names,
            measure=link.mean_of_scale,
            conf_level=conf_level,
        )
        notes = (*self.notes, *naming(self.not_estimable, "mean"))
        return Account(
            self.method,
            notes,
            {"rows": self.rows.n_used},
            (means,),
            rows=self.rows,
            sources=("searle1980",),
        )

    summary = summary_of
    _repr_html_ = html_of


def estimated_means(
    model: FittedModel,
    variables: str | Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    at: At | None = None,
    weights: Weights = "equal",
    df_method: DfMethod | None = None,
) -> EstimatedMeans:
    """Estimate the means that a model expects at combinations of predictor values.

    Parameters
    ----------
    model
        A fitted ``lmm`` or ``glmm``.
    variables
        Predictors with a separate mean at each value; an empty sequence gives the overall mean.
    by
        Predictors within whose values comparisons are to be made.
    at
        Predictor -> one or more values. Over several values of one that is not shown, means are
        averaged, as R's emmeans does, and a note says so: name it in `by` for a mean at each.
        Numeric predictors that are not named are set to their mean over the rows used; numeric ones
        in `variables` or `by` need values here, unless they take only two in the data.
    weights
        How to average over the factors that are not shown: ``"equal"`` (every combination of levels
        equally, as if the design were balanced), ``"proportional"`` (by its frequency in the rows
        used) or ``"cells"`` (by its frequency among the rows of the shown combination).
    df_method
        ``"satterthwaite"`` (default for a linear mixed model), ``"kenward-roger"`` or ``"normal"``.

    Returns
    -------
    EstimatedMeans
        With ``tidy()``, ``glance()``, ``summary()``; use :func:`contrasts` for differences.

    Raises
    ------
    FormulaError
        A name that is not a predictor of the fixed effects.
    DataError
        A level that the data do not have, or values that are not numbers.
    NotIdentifiedError
        A numeric predictor with no values, or none of the means is estimable from the data.

    Notes
    -----
    A mean is ``L beta`` with L the average of the grid's rows (Searle, Speed & Milliken 1980,
    doi:10.1080/00031305.1980.10483031). Where an empty cell or an aliased column leaves L outside
    the row space of the design, the mean is not estimable: it is NaN in ``tidy()``, listed in
    ``not_estimable``, and named first in ``summary()``. An offset is set to zero. The method is
    that of R's emmeans, except that a numeric predictor with two values is set to its mean unless
    it is shown.

    Examples
    --------
    >>> from alliance_stats import estimated_means, example_study, lmm
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + role + (1 | family/person)", sessions)
    >>> table = estimated_means(model, "role").tidy()
    >>> table[["role", "estimate", "conf_low", "conf_high"]].round(2)
          role  estimate  conf_low  conf_high
    0    child      4.34      4.26       4.43
    1   father      4.46      4.36       4.57
    2   mother      4.73      4.65       4.81
    3  partner      4.65      4.53       4.77
    """
    within, names = names_of(by), names_of(variables)
    shared = sorted(set(within) & set(names))
    if shared:
        raise FormulaError(f"'{shared[0]}' cannot be in variables and in by.")
    require_fitted(model)
    grid = reference_grid(model.design, [*within, *names], at)
    inference = infer(model, df_method)
    L_rows = grid_columns(model.design, grid)
    L = grid.average(L_rows, weights)
    estimates = inference.of(L)
    if not estimates.estimable.any():
        raise NotIdentifiedError(
            "None of these means is determined by the data: in each, a combination of predictors "
            "that no row has (or a column that others determine) is averaged in. Use "
            "weights='cells', fix predictors with at=, or leave the interaction out."
        )
    notes = (*caveats(model), *grid.notes, *offset_note(model))
    spread = grid.average(_variances(model, grid.frame, len(L_rows))[:, None], weights)[:, 0]
    return EstimatedMeans(model, inference, grid.labels, within, estimates, notes, spread)


def _variances(model: FittedModel, frame: pd.DataFrame, n: int) -> Array:
    """Variance of a new observation of a new unit at each row of the grid; NaN where unknown."""
    if not isinstance(model, LinearMixedModel) or model.problem.known:
        return np.full(n, np.nan)
    fit = model.fit
    if np.ptp(fit.design.root_weights) > 0 or (fit.problem.shape and fit.problem.shape.spreads):
        return np.full(n, np.nan)
    total = np.full(n, fit.sigma**2)
    for grouping, covariance in zip(fit.design.groupings, fit.covariances, strict=True):
        needed = {name for basis in grouping.terms for name in basis.coding.variables}
        if not needed <= set(frame.columns):
            return np.full(n, np.nan)
        if needed:
            Z = np.hstack([random_columns(basis, frame) for basis in grouping.terms])
        else:
            Z = np.ones((n, 1))
        total = total + np.einsum("ni,ij,nj->n", Z, covariance, Z)
    return np.asarray(total)


def outcome_on(result: EstimatedMeans, scale: Scale) -> str:
    """Return the outcome as the formula has it; of medians and means, without its transform."""
    tree = result.model.design.formula.outcome
    undone = scale in ("median", "mean") and isinstance(tree, Call) and len(tree.arguments) == 1
    inner = tree.arguments[0] if undone and isinstance(tree, Call) else None
    return str(inner.name) if isinstance(inner, Column) else result.model.design.formula.response


def _back_transformed(
    model: FittedModel, table: pd.DataFrame, spread: Array | None
) -> pd.DataFrame:
    """Bring means of a transformed outcome into its own units: medians, or means."""
    tree = model.design.formula.outcome
    name = tree.function.removeprefix("np.") if isinstance(tree, Call) else ""
    if (
        not isinstance(tree, Call)
        or name not in BACK
        or len(tree.arguments) != 1
        or not isinstance(tree.arguments[0], Column)
    ):
        raise FormulaError(
            f"The outcome '{model.design.formula.response}' is not a transform that can be undone: "
            f"scale='median' and 'mean' are for {', '.join(f'{known}(y)' for known in BACK)}."
        )
    back, slope, unit = BACK[name]
    factor, added = np.ones(len(table)), np.zeros(len(table))
    if spread is not None:
        if np.isnan(spread).any():
            raise NotIdentifiedError(
                "The variance of the outcome differs between rows (weights, strata or random "
                "slopes of what the means do not show), so that the mean has no one bias term. Ask "
                "for scale='median'."
            )
        if unit:
            factor = np.exp(unit**2 * spread / 2.0)
        else:
            added = spread

    def mean(column: str) -> Array:
        eta = table[column].to_numpy()
        if name == "sqrt":  # a root is not below zero
            eta = np.maximum(eta, 0.0)
        if name == "log1p":
            return np.asarray(np.exp(eta) * factor - 1.0)
        return np.asarray(back(eta) * factor + added)

    eta = table["estimate"].to_numpy()
    return table.assign(
        estimate=mean("estimate"),
        std_error=table["std_error"] * np.abs(slope(eta)) * factor,
        conf_low=mean("conf_low"),
        conf_high=mean("conf_high"),
    )


def _on_response_scale(model: FittedModel, table: pd.DataFrame) -> pd.DataFrame:
    link = link_of(model)
    eta: Array = table["estimate"].to_numpy()
    return table.assign(
        estimate=link.mean(eta),
        std_error=table["std_error"] * link.mean_slope(eta),
        conf_low=link.mean(table["conf_low"].to_numpy()),
        conf_high=link.mean(table["conf_high"].to_numpy()),
    )


def offset_note(model: FittedModel) -> tuple[str, ...]:
    """State the value of the offset, for a model that has one."""
    if isinstance(model, GeneralizedModel) and model.offset is not None:
        return (f"The offset '{model.offset}' stands at 0: rates are per unit of exposure.",)
    if model.design.offset is not None:
        return ("The formula's offset() stands at 0.",)
    return ()


def naming(labels: pd.DataFrame, what: str) -> list[str]:
    """Say which combinations are not estimable; empty if all are."""
    if len(labels) == 0:
        return []
    named = "; ".join(
        ", ".join(f"{name} = {cell(value)}" for name, value in row.items())
        for row in labels.to_dict("records")
    )
    return [f"Not estimable from these data ({what} left empty): {named}."]


def cell(value: object) -> str:
    """Format a predictor's value for display: numbers without needless decimals."""
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() else format_number(number, 2)
    return str(value)
