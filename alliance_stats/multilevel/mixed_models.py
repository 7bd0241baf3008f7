"""Linear, generalized and ordinal mixed models: from a formula and a frame to a fit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, check_column_names, check_frame, finite_or_missing
from alliance_stats.design.design import build_design
from alliance_stats.design.formula import (
    CONSTANT,
    MixedFormula,
    Terms,
    bound_terms,
    parse_terms,
    variables_of,
)
from alliance_stats.design.residual import ResidualStructure, as_structures, columns_of
from alliance_stats.engine.families import Family, family_of
from alliance_stats.engine.ordered import ORDERED_LINKS
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.multilevel.generalized_data import pair_of_counts, read_dispersion
from alliance_stats.multilevel.generalized_fit import (
    GeneralizedFit,
    fit_generalized,
    with_enough_nodes,
)
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_fit import fit_linear
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.ordinal_fit import fit_ordinal
from alliance_stats.multilevel.ordinal_mixed_model import KINDS, OrdinalMixedModel
from alliance_stats.multilevel.outcome_checks import successes_of
from alliance_stats.multilevel.residual_structure import read_structure

__all__ = ["FamilyName", "glmm", "lmm", "ordinal"]

FamilyName = Literal[
    "binomial",
    "beta-binomial",
    "poisson",
    "negative binomial",
    "linear negative binomial",
    "truncated poisson",
    "truncated negative binomial",
    "truncated linear negative binomial",
    "gamma",
    "beta",
]


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
        lme4's syntax: ``"alliance ~ session + role + (1 | therapist/family/person)"``. Random terms
        ``(1 | a/b)``, ``(1 + x | g)``, ``(1 + x || g)``, ``(0 + x | g)``, ``(1 | a:b)``, nested or
        crossed. ``+ - * : / ^ %in%`` are R's; a formula evaluates named transforms of columns only
        (``C``, ``I``, ``log``, ``sqrt``, ``scale``, ``poly``, ``bs``, ``cr``, ...), ``^`` is power,
        ``offset(x)`` enters with coefficient 1. As in R, ``scale``, ``poly`` and splines take their
        mean, SD or knots from all rows in which their column is not missing, including rows set
        aside for another column. Any other name goes between back-ticks.
    data
        One row per observation. Rows in which a needed column is missing are set aside and counted
        in ``result.rows``.
    reml
        Restricted (default) or ordinary maximum likelihood.
    weights
        Column of precision weights as in lme4: row i has residual variance ``sigma^2 / w_i``.
    residual
        Structure of residual SDs and correlations, singly or in a list. SDs:
        ``VarianceBy("role")``, one SD per stratum; ``VariancePower("dose")`` or
        ``VarianceExponential("dose")``. Correlation within units, the same as those of a random
        term or lying within them: ``Unstructured("session", within="person")`` (one SD per visit
        and one correlation per pair; without random terms, the mixed model for repeated measures
        used in trials), ``Toeplitz("session", within="person")``,
        ``CompoundSymmetry(within="person")``, ``AR1("session", within="person")``, ``CAR1("time",
        within="person")``. With one of these the formula needs no random term;
        ``[Toeplitz(...), VarianceBy("session")]`` is the heterogeneous form.
    known_variance
        Column of known sampling variances (meta-analysis); the residual variance is then not
        estimated. Cannot be combined with `weights`.

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
        lists among the predictors, a `residual` that is not a residual structure.
    NotIdentifiedError
        A constant outcome, a factor with one level, a grouping with one unit, as many random
        effects as rows.

    Notes
    -----
    The outcome is ``y = X beta + Z b + e`` with ``b`` of covariance ``sigma^2 Lambda Lambda'`` in
    each unit and ``e`` of variance ``sigma^2``. The (restricted) likelihood is that of lme4 (Bates,
    Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01), minimised over unbounded theta by
    L-BFGS with analytic gradients. Linearly dependent fixed columns are dropped as in R (the first
    of a set is kept) and reported with NaN estimates.

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
    check_column_names({"weights": weights, "known_variance": known_variance}, data)
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
    family: FamilyName = "binomial",
    link: Literal["logit", "cloglog", "probit", "log"] | None = None,
    nodes: int | Literal["enough"] = 1,
    weights: str | None = None,
    offset: str | None = None,
    dispersion: str = "~ 1",
) -> GeneralizedLinearMixedModel:
    """Fit a generalized linear mixed model.

    Parameters
    ----------
    formula
        lme4's syntax, as in :func:`lmm`:
        ``"event ~ session + alliance + (1 | therapist/family)"``. Successes and failures are
        a pair on the left: ``"cbind(kept, missed) ~ ..."``.
    data
        One row per observation. Rows in which a needed column is missing are set aside and counted
        in ``result.rows``.
    family
        ``"binomial"``: the outcome is 0/1, or a count of successes (or their share) with `weights`
        as trials. ``"beta-binomial"``: the same with correlated trials within a row, with variance
        ``n p (1 - p) (phi + n) / (phi + 1)``. ``"poisson"``: counts. ``"negative binomial"``:
        counts with variance ``mu + mu^2 / theta``; ``"linear negative binomial"``: with variance
        ``mu (1 + phi)``. ``"truncated poisson"``, ``"truncated negative binomial"``, ``"truncated
        linear negative binomial"``: counts of at least 1, where zeros are not observed;
        coefficients refer to the rate with zeros included, means and predictions to the observed
        counts. ``"gamma"``: times and amounts above 0, with variance ``mu^2 / nu``. ``"beta"``:
        proportions strictly between 0 and 1, with variance ``mu (1 - mu) / (1 + phi)``.
    link
        Binomial ``"logit"`` (default), ``"cloglog"`` (log hazards of grouped survival times) or
        ``"probit"``; beta and beta-binomial ``"logit"``; counts and gamma ``"log"``.
    nodes
        1 for the Laplace approximation; more for adaptive Gauss-Hermite quadrature with that many
        nodes per effect, which corrects the error of Laplace's approximation for small units with
        few events; available for one or two random effects (9 nodes or more) of one grouping
        factor, or one for each of two nested ones. ``"enough"`` adds nodes until the log-likelihood
        is stable to within 0.0001.
    weights
        Column of trials of a binomial or beta-binomial outcome.
    offset
        Column added to the linear predictor (log exposure of a rate).
    dispersion
        Predictors of the logarithm of theta, phi or nu: ``"~ role"``. Estimated jointly with all
        other parameters, where the family has one.

    Returns
    -------
    GeneralizedLinearMixedModel
        With ``tidy()`` (``tidy(effects="dispersion")`` too), ``glance()``, ``summary()``,
        ``predict()``, ``median_ratios()`` ...

    Raises
    ------
    FormulaError
        The formula cannot be read, has no random term, or names an unknown column.
    DataError
        No usable row, an outcome that the family cannot have (counts with decimals, a proportion of
        0 or 1), fewer trials than successes.
    NotIdentifiedError
        An outcome that never varies; separation (the fixed effects, or a group in them, predict the
        outcome without error); a random term whose units have one 0/1 row each or never vary
        within; a random-effects SD that diverges; a dispersion that diverges in some rows only.
    ValueError
        A family or link that does not exist; ``nodes`` where it is not defined; a `dispersion` for
        a family that has none.

    Notes
    -----
    The deviance is that of lme4's ``glmer`` with ``nAGQ = 1`` and of glmmTMB, with the observed
    information in the Laplace approximation (so cloglog and probit are glmmTMB's; glmer takes the
    expected information there), minimised over theta and beta together. Standard errors come from
    the Hessian in both. Sources: Tierney & Kadane 1986, doi:10.1080/01621459.1986.10478240; Bates,
    Maechler, Bolker & Walker 2015, doi:10.18637/jss.v067.i01; Pinheiro & Chao 2006,
    doi:10.1198/106186006X96962 (quadrature).

    Dispersions are those of glmmTMB. Where theta tends to infinity (phi to 0) the counts are not
    overdispersed: the Poisson model is then fitted, as reported in ``notes``.

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
    check_column_names({"weights": weights, "offset": offset}, data)
    if weights is not None and chosen.support != "trials":
        raise ValueError(
            "weights= are trials of a binomial or beta-binomial outcome; a rate has an offset=."
        )
    data = check_frame(data)
    terms = _dispersion_terms(dispersion, chosen, data)
    formula, data, trials_of = pair_of_counts(formula, data, chosen, weights)
    also = [*variables_of(terms), *([] if offset is None else [offset])]
    extra = also if trials_of is None else [*also, trials_of]
    design, used = build_design(formula, data, also=extra, residual_variance=False)
    if not design.groupings:
        raise FormulaError(
            f"{design.formula.text!r} has no random term such as '(1 | person)'; without one it is "
            "an ordinary generalized linear model (alliance_stats.regression has logistic and "
            "Poisson ones)."
        )
    trials = np.ones(len(used)) if trials_of is None else finite_or_missing(used, trials_of)
    if weights is not None:
        design = replace(design, y=successes_of(design, trials, weights))
    # prediction and refits need the offset beside the formula's columns
    known = pd.Index([*design.frame.columns, *extra]).unique()
    part = None if chosen.dispersion is None else read_dispersion(terms, used, data)
    design = replace(design, frame=used[known])

    def fitted(k: int) -> GeneralizedFit:
        return fit_generalized(
            design,
            chosen,
            trials,
            nodes=k,
            weights=None if trials_of is None else str(trials_of),
            offset=offset,
            dispersion=part,
        )

    return GeneralizedLinearMixedModel(
        with_enough_nodes(fitted) if nodes == "enough" else fitted(nodes)
    )


def _dispersion_terms(dispersion: str, family: Family, data: pd.DataFrame) -> Terms:
    """Read the right-hand side of the dispersion, if the family has one that may depend on it."""
    terms = bound_terms(parse_terms(dispersion), list(data.columns))
    if terms != CONSTANT and family.dispersion is None:
        raise ValueError(
            f"The {family.name} family has no dispersion parameter: leave dispersion= out."
        )
    if terms != CONSTANT and family.settled is not None:
        raise ValueError(
            f"dispersion= is not offered for the {family.name} family, whose mean would depend on "
            "it: leave it out."
        )
    return terms


def ordinal(
    formula: str,
    data: pd.DataFrame,
    *,
    link: Literal["logit", "probit", "cloglog"] = "logit",
    thresholds: Literal["flexible", "symmetric", "equidistant"] = "flexible",
    nominal: str | None = None,
    nodes: int | Literal["enough"] = 1,
) -> OrdinalMixedModel:
    """Fit a cumulative link mixed model to ordinal ratings.

    Parameters
    ----------
    formula
        lme4's syntax: ``"rating ~ session + role + (1 | therapist/family/person)"``; several
        terms, nested or crossed, with slopes. Thresholds take the place of the intercept.
    data
        One row per rating. The outcome is an ordered categorical, or numbers in the order of the
        steps; the distances between them do not matter.
    link
        ``"logit"`` (proportional odds), ``"probit"`` or ``"cloglog"`` (proportional hazards of
        stopping at a step).
    thresholds
        ``"flexible"``: unrestricted. ``"symmetric"``: at equal distances above and below the
        middle. ``"equidistant"``: equally spaced.
    nominal
        Terms of the formula whose effect differs from threshold to threshold (partial proportional
        odds): ``"~ role"``. :meth:`OrdinalMixedModel.proportional_odds` tests whether it does.
    nodes
        1 for the Laplace approximation; more for adaptive Gauss-Hermite quadrature with that many
        nodes per effect, which corrects the error of Laplace's approximation for small units with
        few events; available for one or two random effects (9 nodes or more) of one grouping
        factor, or one for each of two nested ones. ``"enough"`` adds nodes until the log-likelihood
        is stable to within 0.0001.

    Returns
    -------
    OrdinalMixedModel
        With ``tidy()``, ``glance()``, ``summary()``, ``predict()``, ``step_probabilities()`` ...

    Raises
    ------
    FormulaError
        The formula cannot be read, has no random term or no intercept.
    DataError
        Unordered categories, text, an outcome with only two steps or too many values.
    NotIdentifiedError
        An outcome that never varies, units of one row, predictors that separate the steps
        perfectly, a random-effects SD that diverges.

    Notes
    -----
    ``P(y <= j) = F(t_j - X beta - Z b)`` with b normal (McCullagh 1980,
    doi:10.1111/j.2517-6161.1980.tb01109.x; Hedeker & Gibbons 1994, doi:10.2307/2533433). The
    likelihood is the Laplace approximation, on the observed information, minimised over thresholds,
    coefficients and covariances together; standard errors come from the Hessian in all of them. A
    step with no rows has no threshold of its own; it keeps its place on the scale with probability
    0, as ``notes`` report.

    Examples
    --------
    >>> from alliance_stats import example_study
    >>> from alliance_stats.multilevel import ordinal
    >>> sessions = example_study().sessions
    >>> rated = sessions.assign(rating=sessions["alliance"].round())
    >>> model = ordinal("rating ~ session + role + (1 | family/person)", rated)
    >>> model.tidy()["term"].tolist()
    ['session', 'role[T.father]', 'role[T.mother]', 'role[T.partner]']
    """
    check_choice(link, ORDERED_LINKS, name="link")
    check_choice(thresholds, KINDS, name="thresholds")
    return OrdinalMixedModel(
        fit_ordinal(
            formula, check_frame(data), link=link, kind=thresholds, nodes=nodes, nominal=nominal
        )
    )
