"""Simple slopes: the slope of a predictor at given values of its moderators."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import require_columns, units_with_several
from alliance_stats.design.design import Design, all_fixed_columns
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.after.asked_model import (
    FittedModel,
    caveats,
    infer,
    link_of,
    require_fitted,
)
from alliance_stats.multilevel.after.estimated_means import naming
from alliance_stats.multilevel.after.reference_grid import (
    At,
    Predictor,
    Weights,
    check_at,
    names_of,
    predictors,
    reference_grid,
    require_predictor,
)
from alliance_stats.multilevel.linear_functions import DfMethod, Inference, LinearEstimates

__all__ = ["SimpleSlopes", "numeric_predictor", "simple_slopes", "slope_rows", "values_by_unit"]

# Steps of the five-point difference, in SDs of the predictor. It is exact for polynomials up to
# the fourth degree; for smooth others the error is of the order of the step's fourth power.
STEP = 1e-3
STENCIL = ((-2.0, 1.0 / 12.0), (-1.0, -2.0 / 3.0), (1.0, 2.0 / 3.0), (2.0, -1.0 / 12.0))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SimpleSlopes:
    """Slopes of a predictor, made by :func:`simple_slopes`.

    Attributes
    ----------
    model
        The fitted model.
    inference
        Its coefficients and df method.
    variable
        The predictor whose slope it is.
    labels
        Values of the moderators, one column each.
    estimates
        The slopes, in units of the linear predictor per unit of the predictor.
    notes
        What to know before reading.
    """

    model: FittedModel
    inference: Inference
    variable: str
    labels: pd.DataFrame
    estimates: LinearEstimates
    notes: tuple[str, ...]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """The ledger of the fit's rows."""
        return self.model.rows

    @property
    def not_estimable(self) -> pd.DataFrame:
        """Combinations whose slope is not estimable from the data."""
        return self.labels[~self.estimates.estimable].reset_index(drop=True)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per slope.

        Returns
        -------
        DataFrame
            The moderators' columns, then ``term, estimate, std_error, statistic, df, p_value,
            conf_low, conf_high``: change of the linear predictor (of the outcome for a linear
            model) per unit of `term`; tests and intervals are each slope's own.
        """
        table = self.estimates.columns(conf_level=conf_level)
        table.insert(0, "term", self.variable)
        return pd.concat([self.labels, table], axis=1)

    def differences(self) -> LinearEstimates:
        """Each slope minus each later one (the interaction), in the order of pairs."""
        i, j = np.triu_indices(len(self.labels), k=1)
        return self.inference.of(self.estimates.L[i] - self.estimates.L[j])

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the slopes, on the scale of the link, named as their rows."""
        labels = self.labels
        return named_covariance(self.estimates.covariance, *(labels[name] for name in labels))

    def glance(self) -> pd.DataFrame:
        """Return one row: how many slopes, how many not estimable, the df method, the scale."""
        return pd.DataFrame(
            [
                {
                    "term": self.variable,
                    "n_slopes": len(self.labels),
                    "n_not_estimable": int((~self.estimates.estimable).sum()),
                    "df_method": self.inference.df_method,
                    "link": link_of(self.model).name,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What the slopes are, in a phrase."""
        link = link_of(self.model).name
        return f"slopes of {self.variable}" + (
            "" if link == "identity" else f" on the {link} scale"
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the slopes as data, opening with what is not estimable or extrapolated."""
        names = tuple(self.labels.columns)
        slopes = Section(
            "" if names else f"Slope of {self.variable}",
            self.tidy(conf_level=conf_level),
            names=names,
            measure="slope",
            conf_level=conf_level,
        )
        empty = naming(self.not_estimable, "slope")
        notes = (*self.notes, *empty)
        return Account(
            self.method,
            notes,
            {"rows": self.rows.n_used},
            (slopes,),
            rows=self.rows,
            sources=("bauer2005",),
        )

    summary = summary_of
    _repr_html_ = html_of


def simple_slopes(
    model: FittedModel,
    variable: str,
    *,
    by: str | Sequence[str] | None = None,
    at: At | None = None,
    unit: str | None = None,
    weights: Weights = "equal",
    df_method: DfMethod | None = None,
) -> SimpleSlopes:
    """Estimate the slope of a numeric predictor at values of its moderators.

    Parameters
    ----------
    model
        A fitted ``lmm`` or ``glmm``.
    variable
        The numeric predictor.
    by
        Its moderators.
    at
        Moderator (or any other predictor) -> one or more values; over several of one that is not
        in `by`, slopes are averaged, and a note says so. A factor in `by` takes its levels;
        a numeric moderator without given values takes its two values if it has only two, else its
        mean and one SD to either side (Aiken & West 1991).
    unit
        Grouping column over whose units that mean and SD are taken, such as ``"therapist"`` for a
        therapist's experience; by default over the rows used.
    weights
        How to average over factors that are not in `by`; see :func:`estimated_means`.
    df_method
        See :func:`estimated_means`.

    Returns
    -------
    SimpleSlopes
        With ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    FormulaError
        A name that is not a predictor of the fixed effects, or a predictor that is not numeric.
    DataError
        A moderator that varies within `unit`.
    NotIdentifiedError
        None of the slopes is estimable from the data.

    Notes
    -----
    The slope is the derivative of the linear predictor by `variable`, with other predictors held at
    their values in the reference grid; with transforms (``np.log(x)``, ``poly(x, 2)``) it is the
    slope at the value of `variable` itself, which is set to its mean unless given in `at` or `by`.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, simple_slopes
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session * role + (1 | family/person)", sessions)
    >>> table = simple_slopes(model, "session", by="role").tidy()
    >>> table[["role", "estimate", "p_value"]].round(3)
          role  estimate  p_value
    0    child     0.030      0.0
    1   father     0.027      0.0
    2   mother     0.028      0.0
    3  partner     0.031      0.0
    """
    require_fitted(model)
    known = predictors(model.design)
    numeric_predictor(known, variable)
    moderators, values = names_of(by), dict(check_at(at) or {})
    for name in moderators:
        moderator = require_predictor(name, known)
        if moderator.numeric and name not in values and moderator.values.nunique() > 2:
            center, spread = _center_and_spread(model.design, name, unit)
            values[name] = [center - spread, center, center + spread]
    grid = reference_grid(model.design, moderators, values)
    inference = infer(model, df_method)
    L = grid.average(slope_rows(model.design, grid.frame, known[variable]), weights)
    estimates = inference.of(L)
    if not estimates.estimable.any():
        raise NotIdentifiedError(
            f"The data determine no slope of '{variable}' here: other columns determine it, or it "
            "is averaged over combinations that no row has."
        )
    notes = (*caveats(model), *grid.notes)
    return SimpleSlopes(model, inference, variable, grid.labels, estimates, notes)


def slope_rows(design: Design, frame: pd.DataFrame, predictor: Predictor) -> Array:
    """Differentiate the fixed columns by a numeric predictor at each row of `frame`."""
    step = STEP * (float(predictor.values.std(ddof=0)) or 1.0)
    total = np.zeros((len(frame), len(design.fixed.names)))
    for shift, weight in STENCIL:
        moved = replaced(frame, {predictor.name: frame[predictor.name] + shift * step})
        total += (weight / step) * all_fixed_columns(design, moved)
    return total


def numeric_predictor(known: dict[str, Predictor], name: str) -> Predictor:
    """Return the numeric predictor of that name, or raise with advice for a factor."""
    predictor = require_predictor(name, known)
    if not predictor.numeric:
        raise FormulaError(
            f"'{name}' is a factor and has no slope: compare its levels with "
            f"contrasts(estimated_means(model, '{name}', by=...))."
        )
    return predictor


def values_by_unit(design: Design, name: str, unit: str | None) -> Array:
    """Return a numeric column's values: one per row used, or one per unit of a grouping column.

    Raises
    ------
    DataError
        If there is no such column in the model, or the values vary within a unit.
    """
    frame = design.frame
    if unit is None:
        return np.asarray(frame[name].to_numpy(dtype=np.float64))
    require_columns(frame, [unit], what="the model's data")
    varying = units_with_several(frame, unit=unit, column=name)
    if len(varying):
        raise DataError(
            f"'{name}' varies within '{unit}' ('{varying[0]}'"
            + (f" and {len(varying) - 1} more" if len(varying) > 1 else "")
            + f"): it is not a property of the {unit}. Name another unit, or leave unit= out."
        )
    return np.asarray(frame.groupby(unit, observed=True)[name].first().to_numpy(dtype=np.float64))


def _center_and_spread(design: Design, name: str, unit: str | None) -> tuple[float, float]:
    values = values_by_unit(design, name, unit)
    return float(values.mean()), float(values.std(ddof=1))
