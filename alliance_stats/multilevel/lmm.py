"""Linear mixed models: from a formula and a frame to a fit."""

from collections.abc import Sequence

import pandas as pd

from alliance_stats.design.design import build_design, check_column_names
from alliance_stats.design.formula import MixedFormula
from alliance_stats.design.residual import ResidualStructure, as_structures, columns_of
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.multilevel.linear_fit import fit_linear
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.residual_structure import read_structure

__all__ = ["lmm"]


def lmm(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    reml: bool = True,
    weights: str | None = None,
    residual: ResidualStructure | Sequence[ResidualStructure] | None = None,
    known_variance: str | None = None,
) -> LinearMixedModel:
    """Fit a linear mixed model.

    Parameters
    ----------
    formula
        lme4's language: ``"alliance ~ session + role + (1 | therapist/family/person)"``. Random
        terms ``(1 | a/b)``, ``(1 + x | g)``, ``(1 + x || g)``, ``(0 + x | g)``, ``(1 | a:b)``,
        nested or crossed. ``+ - * : / ^ %in%`` are R's; a formula evaluates named transforms of
        columns only (``C``, ``I``, ``log``, ``sqrt``, ``scale``, ``poly``, ``bs``, ``cr``, ...),
        ``^`` is power, ``offset(x)`` enters with coefficient 1. What ``scale``, ``poly`` and
        splines learn (mean, SD, knots) they learn, as in R, from all rows in which their column
        is there, also those set aside for another. Any other name goes between back-ticks.
    data
        One row an observation. Rows in which a needed column is missing are set aside and counted
        in ``result.rows``.
    reml
        Restricted (default) or ordinary maximum likelihood.
    weights
        Column of precision weights as in lme4: row i has residual variance ``sigma^2 / w_i``.
    residual
        ``VarianceBy("role")``: a residual SD a stratum; ``AR1("session", within="person")`` or
        ``CAR1("time", within="person")``: correlation that fades with distance; or one of each in
        a list. With a structure the formula may do without a random term.
    known_variance
        Column of known sampling variances (meta-analysis); the residual variance is then not
        estimated. Not together with `weights`.

    Returns
    -------
    LinearMixedModel
        With ``tidy()``, ``glance()``, ``summary()``, ``vcov()``, ``rows`` ...

    Raises
    ------
    FormulaError
        The formula cannot be read, has no random term, or names an unknown column.
    DataError
        No usable row, an infinite or non-numeric outcome, weights that are not positive, dates or
        lists among the predictors, a `residual` that is no structure.
    NotIdentifiedError
        A constant outcome, a factor with one level, a grouping with one unit, as many random
        effects as rows.

    Notes
    -----
    The outcome is ``y = X beta + Z b + e`` with ``b`` of covariance ``sigma^2 Lambda Lambda'`` in
    each unit and ``e`` of variance ``sigma^2``. The (restricted) likelihood is that of lme4 (Bates,
    Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01), minimised over unbounded theta by
    L-BFGS with analytic gradients. Linearly dependent fixed columns are dropped as in R (the first
    of a set stays) and reported with NaN estimates.
    """
    if not isinstance(reml, bool):
        raise TypeError(f"reml must be True or False; got {reml!r}.")
    check_column_names(weights=weights, known_variance=known_variance)
    if weights is not None and known_variance is not None:
        raise DataError("Give weights= or known_variance=, not both: they say the same thing.")
    named = columns_of(residual)
    if named and known_variance is not None:
        raise DataError("known_variance= fixes the residuals; residual= cannot estimate them too.")
    design, used = build_design(
        formula, data, weights=weights, known_variance=known_variance, also=named
    )
    shape = read_structure(residual, design, used)
    if not design.groupings and shape is None:
        text = design.formula.text
        raise FormulaError(
            f"{text!r} has no random term such as '(1 | person)'; without one it is an ordinary "
            "regression (alliance_stats.regression). Whether a model needs its only random term "
            f"says likelihood_ratio_test({text!r}, model)."
        )
    return LinearMixedModel(
        fit_linear(
            design,
            reml=reml,
            known=known_variance is not None,
            shape=shape,
            structures=as_structures(residual),
        )
    )
