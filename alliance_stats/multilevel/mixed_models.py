"""Linear and generalized linear mixed models: from a formula and a frame to a fit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.design.design import build_design, check_column_names
from alliance_stats.design.formula import MixedFormula
from alliance_stats.design.residual import ResidualStructure, as_structures, columns_of
from alliance_stats.engine.families import family_of
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.multilevel.generalized_fit import fit_generalized, numbers
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_fit import fit_linear
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.residual_structure import read_structure

__all__ = ["glmm", "lmm"]


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
        How residuals differ and hang together, alone or in a list. SDs: ``VarianceBy("role")``, an
        SD a stratum; ``VariancePower("dose")`` or ``VarianceExponential("dose")``. Correlation
        within units, the same as those of a random term or lying within them:
        ``Unstructured("session", within="person")`` (an SD a visit, a correlation a pair; without
        random terms the mixed model for repeated measures of trials),
        ``Toeplitz("session", within="person")``, ``CompoundSymmetry(within="person")``,
        ``AR1("session", within="person")``, ``CAR1("time", within="person")``. With one of these
        the formula may do without a random term; ``[Toeplitz(...), VarianceBy("session")]`` is the
        heterogeneous form.
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

    Examples
    --------
    >>> from alliance_stats import example_study, lmm
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | therapist/family/person)", sessions)
    >>> model.tidy()[["term", "estimate", "std_error", "df"]].round(2)
              term  estimate  std_error       df
    0  (Intercept)      4.34       0.06    30.18
    1      session      0.03       0.00  5039.23
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


def glmm(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    family: Literal["binomial", "poisson"] = "binomial",
    link: Literal["logit", "cloglog", "probit", "log"] | None = None,
    nodes: int = 1,
    weights: str | None = None,
    offset: str | None = None,
) -> GeneralizedLinearMixedModel:
    """Fit a generalized linear mixed model.

    Parameters
    ----------
    formula
        lme4's language, as in :func:`~alliance_stats.multilevel.mixed_models`:
        ``"event ~ session + alliance + (1 | therapist/family)"``.
    data
        One row an observation. Rows in which a needed column is missing are set aside and counted
        in ``result.rows``.
    family
        ``"binomial"``: the outcome is 0/1, or a count of successes with `weights` as trials.
        ``"poisson"``: the outcome is a count.
    link
        Binomial ``"logit"`` (default), ``"cloglog"`` (log hazards of grouped survival times) or
        ``"probit"``; Poisson ``"log"``.
    nodes
        1 for the Laplace approximation. More for adaptive Gauss-Hermite quadrature with so many
        nodes, for a single grouping factor with a single random effect; it corrects what Laplace
        gets wrong for small units with few events.
    weights
        Column of trials of a binomial count.
    offset
        Column added to the linear predictor (log exposure of a rate).

    Returns
    -------
    GeneralizedLinearMixedModel
        With ``tidy()``, ``glance()``, ``summary()``, ``predict()``, ``median_ratios()`` ...

    Raises
    ------
    FormulaError
        The formula cannot be read, has no random term, or names an unknown column.
    DataError
        No usable row, an outcome that is not 0/1 or counts, trials that are fewer than successes.
    NotIdentifiedError
        An outcome that never varies; separation (the fixed effects, or a group in them, tell the
        outcome without error); a random term whose units have one 0/1 row each or never vary
        within; a random-effects SD that runs away.
    ValueError
        A family or link that does not exist; ``nodes > 1`` with more than one random effect.

    Notes
    -----
    The deviance is that of lme4's ``glmer`` with ``nAGQ = 1`` and of glmmTMB, with the observed
    information in the Laplace approximation (so cloglog and probit are glmmTMB's; glmer takes the
    expected information there), minimised over theta and beta together. Standard errors come from
    the Hessian in both. Sources: Tierney & Kadane 1986, doi:10.1080/01621459.1986.10478240; Bates,
    Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01; Pinheiro & Chao 2006,
    doi:10.1198/106186006X96962 (quadrature).

    Examples
    --------
    >>> from alliance_stats import example_study, glmm
    >>> sessions = example_study().sessions.assign(low=lambda d: 1 * (d["alliance"] < 4))
    >>> model = glmm("low ~ session + (1 | therapist/person)", sessions)
    >>> model.tidy()[["term", "estimate", "std_error"]].round(2)
              term  estimate  std_error
    0  (Intercept)     -1.37       0.22
    1      session     -0.12       0.01
    """
    chosen = family_of(family, link)
    check_column_names(weights=weights, offset=offset)
    if weights is not None and family == "poisson":
        raise ValueError("weights= are trials of a binomial count; a Poisson rate has an offset=.")
    extra = [column for column in (weights, offset) if column is not None]
    design, used = build_design(formula, data, also=extra, residual_variance=False)
    if not design.groupings:
        raise FormulaError(
            f"{design.formula.text!r} has no random term such as '(1 | person)'; without one it is "
            "an ordinary generalized linear model (statsmodels' glm)."
        )
    trials = np.ones(len(used)) if weights is None else numbers(used, weights)
    # prediction and refits need the offset beside the formula's columns
    known = pd.Index([*design.frame.columns, *extra]).unique()
    fit = fit_generalized(
        replace(design, frame=used[known]),
        chosen,
        trials,
        nodes=nodes,
        weights=weights,
        offset=offset,
    )
    return GeneralizedLinearMixedModel(fit)
