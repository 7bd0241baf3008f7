"""Johnson-Neyman regions: for which values of a moderator an effect can be told from zero."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design
from alliance_stats.errors import FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.effect_along_moderator import Control, Effect, JohnsonNeyman
from alliance_stats.multilevel.estimated_means import cell
from alliance_stats.multilevel.fitted_model import FittedModel, require_fitted
from alliance_stats.multilevel.linear_functions import DfMethod, Inference, infer
from alliance_stats.multilevel.reference_grid import (
    At,
    Predictor,
    Weights,
    check_at,
    grid_columns,
    predictors,
    reference_grid,
    require_predictor,
)
from alliance_stats.multilevel.simple_slopes import numeric_predictor, slope_rows, values_by_unit

__all__ = ["JohnsonNeyman", "johnson_neyman"]

# An effect is a straight line in the moderator if its middle is off by less, relatively.
STRAIGHT = 1e-9


def johnson_neyman(
    model: FittedModel,
    variable: str,
    *,
    moderator: str,
    levels: tuple[object, object] | None = None,
    unit: str | None = None,
    at: At | None = None,
    weights: Weights = "equal",
    df_method: DfMethod | None = None,
    control: Control = "none",
) -> JohnsonNeyman:
    """Find for which values of a numeric moderator an effect can be told from zero.

    Parameters
    ----------
    model
        A fitted ``lmm`` or ``glmm`` with an interaction of `variable` and `moderator`.
    variable
        A numeric predictor (its slope is followed) or a factor (a difference of two levels is).
    moderator
        A numeric predictor.
    levels
        For a factor the two levels ``(a, b)`` of the difference ``a - b``; by default the second
        minus the first where it has two.
    unit
        Grouping column that the moderator belongs to, as ``"therapist"`` for a therapist's
        experience: the share of units in each region is counted in it. By default rows are counted.
    at, weights
        Where other predictors stand; see :func:`estimated_means`.
    df_method
        See :func:`estimated_means`. Satterthwaite's and Kenward and Roger's df change along the
        moderator and are followed.
    control
        ``"fdr"`` controls the false discovery rate over the distinct observed values of the
        moderator (Esarey & Sumner 2018, doi:10.1177/0010414017730080).

    Returns
    -------
    JohnsonNeyman
        ``tidy()`` gives the regions, ``band()`` the effect with its band, ``boundaries()`` the
        bounds.

    Raises
    ------
    FormulaError
        A name that is not a predictor, a moderator that is no number, levels that do not exist, or
        no interaction of the two.
    DataError
        A moderator that varies within `unit`.
    NotIdentifiedError
        The data do not determine the effect.
    """
    check_choice(control, ("none", "fdr"), name="control")
    require_fitted(model)
    known = predictors(model.design)
    focal = require_predictor(variable, known)
    numeric_predictor(known, moderator)
    if moderator == variable or moderator in (check_at(at) or {}):
        raise FormulaError(
            f"'{moderator}' is the moderator: it cannot be the predictor too, or stand in at=."
        )
    pair = None if focal.numeric else _pair(focal, levels)
    effect = _effect(model.design, focal, pair, Elsewhere(moderator, dict(at or {}), weights))
    support = np.sort(values_by_unit(model.design, moderator, unit))
    ends = np.array([support[0], (support[0] + support[-1]) / 2.0, support[-1]])
    L = effect(ends)
    inference = infer(model, df_method)
    _check_effect(inference, L, variable, moderator)
    off = np.abs(L[1] - (L[0] + L[2]) / 2.0).max()
    straight = bool(off <= STRAIGHT * np.abs(L).max())
    name = variable if pair is None else f"{cell(pair[0])} - {cell(pair[1])}"
    line = _line(support, L[0], L[2]) if straight else effect
    return JohnsonNeyman(
        model, inference, name, moderator, line, straight, support, unit or "row", control
    )


def _check_effect(inference: Inference, L: Array, variable: str, moderator: str) -> None:
    if np.abs(L - L[0]).max() <= STRAIGHT * np.abs(L).max():
        raise FormulaError(
            f"The effect of '{variable}' does not depend on '{moderator}' in this model; the "
            f"formula needs their interaction, '{variable} * {moderator}'."
        )
    if not inference.estimable(L).all():
        raise NotIdentifiedError(
            f"The data do not determine the effect of '{variable}' along '{moderator}': it is "
            "averaged over combinations that no row has, or other columns determine it. Fix other "
            "predictors with at=, or leave an interaction out."
        )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The moderator, and where the predictors besides it and the focal one stand."""

    moderator: str
    at: dict[str, Any]
    weights: Weights


def _effect(
    design: Design, focal: Predictor, pair: tuple[object, object] | None, other: Elsewhere
) -> Effect:
    name = other.moderator

    def slope(values: Array) -> Array:
        grid = reference_grid(design, [name], {**other.at, name: list(values)})
        return grid.average(slope_rows(design, grid.frame, focal), other.weights)

    def difference(values: Array) -> Array:
        where = {**other.at, name: list(values), focal.name: list(pair or ())}
        grid = reference_grid(design, [focal.name, name], where)
        first, second = np.split(grid.average(grid_columns(design, grid), other.weights), 2)
        return np.asarray(first - second)

    return slope if pair is None else difference


def _line(support: Array, first: Array, last: Array) -> Effect:
    low, width = support[0], support[-1] - support[0]

    def line(values: Array) -> Array:
        u = ((np.asarray(values) - low) / width)[:, None]
        return np.asarray((1.0 - u) * first + u * last)

    return line


def _pair(focal: Predictor, levels: tuple[object, object] | None) -> tuple[object, object]:
    found = focal.levels or ()
    if levels is None:
        if len(found) == 2:
            return found[1], found[0]
        raise FormulaError(
            f"'{focal.name}' has {len(found)} levels ({', '.join(map(str, found))}): say which two "
            "to compare with levels=(a, b)."
        )
    if len(set(levels)) != 2 or not set(levels) <= set(found):
        raise FormulaError(
            f"levels= must name two of the levels of '{focal.name}' "
            f"({', '.join(map(str, found))}); got {levels!r}."
        )
    return levels
