"""Generalized linear mixed models: from a formula and a frame to a fit."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.design.design import build_design, check_column_names
from alliance_stats.design.formula import MixedFormula
from alliance_stats.engine.families import family_of
from alliance_stats.errors import FormulaError
from alliance_stats.multilevel.generalized_fit import fit_generalized, numbers
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel

__all__ = ["glmm"]


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
        lme4's language, as in :func:`~alliance_stats.multilevel.lmm`:
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
