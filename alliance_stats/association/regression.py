"""Ordinary regression from a formula and a frame: linear, logistic, Poisson, ordinal."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Literal, overload

import numpy as np
import pandas as pd

from alliance_stats.association.ordered_regression import OrderedRegression, fit_ordered
from alliance_stats.association.regression_model import GeneralizedRegression, LinearRegression
from alliance_stats.association.regression_questions import Clusters
from alliance_stats.checks import (
    check_choice,
    check_column_names,
    check_frame,
    group_codes,
    require_columns,
)
from alliance_stats.design.design import build_design
from alliance_stats.design.formula import (
    MixedFormula,
    OwnColumn,
    Terms,
    bound_formula,
    bound_terms,
    formula_of,
    parse_formula,
    parse_terms,
    variables_of,
)
from alliance_stats.design.rows import complete_rows
from alliance_stats.door import replaced
from alliance_stats.engine.families import family_of
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Integers
from alliance_stats.multilevel import GeneralizedFit, LinearFit, fit_generalized, fit_linear
from alliance_stats.spelling import check_spelling, plain_number

__all__ = ["RegressionFamily", "regression"]

RegressionFamily = Literal["linear", "logistic", "poisson", "ordinal"]
_MOST_CATEGORIES = 30
_FAMILIES = ("linear", "logistic", "poisson", "ordinal")


@overload
def regression(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    family: Literal["linear"] = ...,
    cluster: str | None = ...,
    steps: Sequence[str] | None = ...,
    weights: str | None = ...,
) -> LinearRegression: ...


@overload
def regression(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    family: Literal["logistic", "poisson"],
    cluster: str | None = ...,
    steps: Sequence[str] | None = ...,
    weights: str | None = ...,
) -> GeneralizedRegression: ...


@overload
def regression(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    family: Literal["ordinal"],
    cluster: str | None = ...,
    steps: Sequence[str] | None = ...,
    weights: str | None = ...,
) -> OrderedRegression: ...


@overload
def regression(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    family: RegressionFamily,
    cluster: str | None = ...,
    steps: Sequence[str] | None = ...,
    weights: str | None = ...,
) -> LinearRegression | GeneralizedRegression | OrderedRegression: ...


def regression(
    formula: str | MixedFormula,
    data: pd.DataFrame,
    *,
    family: RegressionFamily = "linear",
    cluster: str | None = None,
    steps: Sequence[str] | None = None,
    weights: str | None = None,
) -> LinearRegression | GeneralizedRegression | OrderedRegression:
    """Fit an ordinary regression.

    Parameters
    ----------
    formula
        ``"symptoms ~ alliance * experience"``, without random terms (see ``lmm`` and ``glmm``).
        Transforms, ``C()``, interactions and ``poly`` as there; in logistic and Poisson regression
        also ``offset(log_weeks)``: rates per week from counts over several weeks.
    data
        One row per case. Rows in which a needed column is missing are set aside and counted.
    family
        ``"linear"``; ``"logistic"`` (an outcome of 0 and 1); ``"poisson"`` (counts); ``"ordinal"``
        (proportional odds of categories that have an order: numbers, or an ordered categorical).
    cluster
        Column of therapists or families: errors then allow for similarity of cases within a cluster
        (CR2 of Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004, with Satterthwaite
        df). For logistic and Poisson regression it is that of the working linear model.
    steps
        Blocks of terms in the order in which they enter, as ``["age", "alliance"]``; formula terms
        in no block enter last. All steps use the rows of the whole model.
    weights
        Column of precision weights, for a linear regression.

    Returns
    -------
    LinearRegression, GeneralizedRegression or OrderedRegression
        With ``tidy()``, ``glance()``, ``summary()``, ``predict()`` and more;
        ``estimated_means``, ``contrasts``, ``simple_slopes``, ``johnson_neyman``, ``comparisons``
        take it as they take a mixed model.

    Raises
    ------
    FormulaError
        A formula that cannot be read, has a random term, or names an unknown column; a step that
        is not part of it.
    DataError
        No usable row, infinite values, weights that are not positive.
    NotIdentifiedError
        A constant outcome or factor, fewer rows than coefficients, a 0/1 outcome that a predictor
        separates perfectly, one cluster.

    Examples
    --------
    >>> from alliance_stats import example_study, regression
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> model = regression("symptoms ~ alliance + experience", last, cluster="therapist")
    >>> list(model.tidy()["term"])
    ['(Intercept)', 'alliance', 'experience']
    """
    check_choice(family, _FAMILIES, name="family")
    data = check_frame(data)
    check_column_names({"cluster": cluster, "weights": weights}, data)
    require_columns(data, [cluster, weights])
    if weights is not None and family != "linear":
        raise FormulaError("weights= are for a linear regression.")
    parsed = parse_formula(formula)
    if parsed.random:
        raise FormulaError(
            f"{formula!r} has the random term {parsed.random[0]}: fit it with lmm or glmm."
        )
    bound = bound_formula(parsed, list(data.columns))
    if bound.fixed.offset and family not in ("logistic", "poisson"):
        raise FormulaError(
            f"offset() is for logistic and Poisson regression; this one is {family}. Subtract it "
            "from a linear outcome."
        )
    used = [*variables_of(bound.outcome), *variables_of(bound.fixed)]
    also = tuple(dict.fromkeys([*used, *([] if cluster is None else [cluster])]))
    if family == "ordinal":
        return _ordered(bound, data, cluster, steps)
    fits = [
        (name, _fit(each, data, family, weights, also))
        for name, each in _models(bound, steps, list(data.columns))
    ]
    fit = fits[-1][1]
    clusters = None if cluster is None else _clusters(cluster, data, also, weights)
    if isinstance(fit, LinearFit):
        own = tuple((name, each) for name, each in fits if isinstance(each, LinearFit))
        return LinearRegression(fit, clusters, own if steps else ())
    other = tuple((name, each) for name, each in fits if isinstance(each, GeneralizedFit))
    return GeneralizedRegression(fit, clusters, other if steps else ())


def _ordered(
    bound: MixedFormula, data: pd.DataFrame, cluster: str | None, steps: Sequence[str] | None
) -> OrderedRegression:
    """Fit a regression on ordered categories."""
    if steps:
        raise FormulaError("steps= are for linear, logistic and Poisson regression.")
    if not bound.fixed.has_intercept:
        raise FormulaError(
            f"{bound.text!r} leaves the intercept out, but thresholds take its place anyway. Write "
            "the formula without '0 +' or '- 1'."
        )
    names = variables_of(bound.outcome)
    if len(names) != 1 or bound.response != str(names[0]):
        raise FormulaError(f"An ordinal outcome is one column as it is; got '{bound.response}'.")
    also = tuple(variables_of(bound.fixed)) + (() if cluster is None else (cluster,))
    used, rows = complete_rows(data, [names[0], *also], {})
    codes, categories = _places(used[names[0]])
    own = OwnColumn(str(names[0]))
    coded = replaced(used, {own: codes.astype(np.float64)})
    design, _ = build_design(formula_of(own, bound.fixed), coded, residual_variance=False)
    design = replace(design, formula=bound, rows=rows)
    clusters = None if cluster is None else _clusters(cluster, used, also, None)
    return fit_ordered(design, categories, clusters)


def _places(values: pd.Series) -> tuple[Integers, tuple[Hashable, ...]]:
    """Return each value's position among the categories used, and these in order."""
    if isinstance(values.dtype, pd.CategoricalDtype) and values.cat.ordered:
        used = values.cat.remove_unused_categories()
        codes, categories = used.cat.codes.to_numpy(dtype=np.int64), tuple(used.cat.categories)
    elif pd.api.types.is_numeric_dtype(values.dtype):
        found, labels = group_codes(values)
        codes, categories = found, tuple(map(plain_number, labels))
    else:
        raise DataError(
            f"Column '{values.name}' is text without an order. Make it an ordered categorical: "
            "pd.Categorical(values, categories=[...], ordered=True)."
        )
    if len(categories) < 3:
        raise NotIdentifiedError(
            f"'{values.name}' has {len(categories)} categories in the rows used; an ordinal "
            "regression needs three or more. Two are family='logistic' on 0 and 1."
        )
    if len(categories) > _MOST_CATEGORIES:
        raise DataError(
            f"'{values.name}' has {len(categories)} different values, which are more than "
            f"{_MOST_CATEGORIES} categories: fit it with family='linear'."
        )
    return codes, categories


def _models(
    parsed: MixedFormula, steps: Sequence[str] | None, columns: Sequence[Hashable]
) -> list[tuple[str, MixedFormula]]:
    """Return the models of the steps, the whole one last."""
    if not steps:
        return [("", parsed)]
    if isinstance(steps, str):
        raise FormulaError(f"steps= is a list of blocks, as ['age', 'alliance']; got {steps!r}.")
    outcome, whole = parsed.outcome, parsed.fixed
    assert outcome is not None  # parse_formula has asked for one
    start = Terms(((),) if whole.has_intercept else (), whole.offset)
    found: list[tuple[str, MixedFormula]] = []
    for block in steps:
        added = bound_terms(parse_terms(block), columns).without_intercept()
        unknown = [term for term in added.terms if term not in whole.terms]
        if unknown:
            raise FormulaError(
                f"The step {block!r} has a term that {parsed.text!r} does not have; every step is "
                "a part of the formula."
            )
        start = start + added
        found.append((block, formula_of(outcome, start)))
    left = Terms(tuple(term for term in whole.terms if term not in start.terms))
    if left.terms:
        found.append((str(left.without_intercept()).removeprefix("0 + "), parsed))
    else:
        found[-1] = (found[-1][0], parsed)
    return found


def _fit(
    formula: MixedFormula,
    data: pd.DataFrame,
    family: str,
    weights: str | None,
    also: tuple[Hashable, ...],
) -> LinearFit | GeneralizedFit:
    if family == "linear":
        design, _ = build_design(formula, data, weights=weights, also=also)
        return fit_linear(design, reml=True)
    design, used = build_design(formula, data, also=also, residual_variance=False)
    kind = family_of("binomial" if family == "logistic" else "poisson", None)
    return fit_generalized(design, kind, np.ones(len(used)), nodes=1, weights=None, offset=None)


def _clusters(
    name: str, data: pd.DataFrame, also: tuple[Hashable, ...], weights: str | None
) -> Clusters:
    used, _ = complete_rows(data, [*also, *([] if weights is None else [weights])], {})
    codes, labels = group_codes(used[name])
    check_spelling(used[name], kind="cluster")
    if len(labels) < 2:
        raise NotIdentifiedError(
            f"cluster='{name}' has one cluster in the rows used ('{labels[0]}'): no error can be "
            "had from it. Leave cluster= out."
        )
    return Clusters(name, codes)
