"""Correlations, regression, analysis of variance and mediation, put to pingouin and statsmodels."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd

from alliance_stats.association.analysis_of_variance import AnalysisOfVariance
from alliance_stats.association.correlations import Correlations
from alliance_stats.association.mediation.mediation_result import Mediation
from alliance_stats.association.ordered_regression import OrderedRegression
from alliance_stats.association.regression_model import GeneralizedRegression, LinearRegression
from alliance_stats.cross_check.model_answers import generalized_answers
from alliance_stats.cross_check.second_answer import (
    ITERATED,
    Answer,
    both,
    by_definition,
    known_names,
    library,
    not_asked,
)
from alliance_stats.estimates import Array

__all__ = [
    "of_anova",
    "of_correlations",
    "of_generalized_regression",
    "of_linear_regression",
    "of_mediation",
    "of_ordered_regression",
]

_P = 1e-6
_CR2 = (
    "CR2 here (Bell & McCaffrey 2002), which allows for few clusters; theirs is the sandwich of "
    "Liang & Zeger (1986, doi:10.1093/biomet/73.1.13), too small with few"
)
_CLUSTERS = "pingouin has no correlations over clusters"
_MEANS = "pingouin has no correlations of units' means"


def of_correlations(result: Correlations) -> Iterator[Answer]:
    """Check each correlation and its p."""
    asked, table = result.asked, result.tidy()
    for i, (level, one, other, r) in enumerate(result.pairs):
        label = f"{one}, {other}" + (f" ({level})" if level else "")
        if asked.method == "model" or (level and "within" not in level):
            yield not_asked(label, "estimate", r.r, "pingouin", _MEANS)
            continue
        who, theirs, p = _correlation(asked, one, other)
        yield both(label, "estimate", r.r, theirs, who)
        if asked.cluster is not None:
            yield not_asked(label, "p_value", table["p_value"].iloc[i], who, _CLUSTERS)
        elif asked.method == "pearson" or asked.given:
            yield both(label, "p_value", r.p_value, p, who, close=_P)


def _correlation(asked: Any, one: str, other: str) -> tuple[str, float, float]:
    import pingouin

    data = asked.columns
    if asked.within is not None:
        kept = data[[one, other, asked.within]].dropna()
        found = pingouin.rm_corr(kept, x=one, y=other, subject=asked.within)
        row = known_names(found).iloc[0]
        return library("pingouin", "rm_corr"), row["r"], row["pval"]
    if asked.given:
        kept = data[[one, other, *asked.given]].dropna()
        found = pingouin.partial_corr(kept, one, other, list(asked.given), method=asked.method)
        row = known_names(found).iloc[0]
        return library("pingouin", "partial_corr"), row["r"], row["p_val"]
    kept = data[[one, other]].dropna()
    found = pingouin.corr(kept[one], kept[other], method=asked.method)
    row = known_names(found).iloc[0]
    return library("pingouin", "corr"), row["r"], row["p_val"]


def of_linear_regression(result: LinearRegression) -> Iterator[Answer]:
    """Check coefficients, errors, R2 and log-likelihood by OLS (WLS with weights)."""
    import statsmodels.api as sm

    design = result.design
    terms = [design.fixed.names[i] for i in design.fixed.kept]
    weights = np.asarray(design.root_weights) ** 2
    y = design.y if design.offset is None else design.y - design.offset
    Z, turn = _centred(design.X, terms)
    model = sm.WLS(y, Z, weights=weights) if np.ptp(weights) else sm.OLS(y, Z)
    theirs = model.fit()
    who = library("statsmodels", type(model).__name__)
    classical = np.sqrt(np.diag(result.vcov("classical")))
    found, errors = turn @ theirs.params, _errors(theirs.cov_params(), turn)
    for i, term in enumerate(terms):
        yield both(term, "estimate", result.beta.iloc[i], found[i], who, scale=classical[i])
        yield both(term, "std_error", classical[i], errors[i], who)
    clustered = result.clusters is not None
    kind: Literal["CR2", "HC3"] = "CR2" if clustered else "HC3"
    own = np.sqrt(np.diag(result.vcov(kind)))
    if result.clusters is not None:
        groups = {"groups": result.clusters.codes}
        errors = _errors(model.fit(cov_type="cluster", cov_kwds=groups).cov_params(), turn)
    else:
        errors = _errors(theirs.cov_HC3, turn)
    for i, term in enumerate(terms):
        yield both(
            term, f"std_error, {kind}", own[i], errors[i], who,
            known=by_definition(_CR2 if clustered else "", explains=1.0),
        )  # fmt: skip
    glance = result.glance().iloc[0]
    if "(Intercept)" in terms and design.offset is None:
        yield both("model", "r2", glance["r2"], theirs.rsquared, who)
    if not np.ptp(weights):
        yield both("model", "log_lik", glance["log_lik"], theirs.llf, who, scale=1.0)


def _centred(X: Array, terms: list[str]) -> tuple[Array, Array]:
    """Return the columns centred (if there is a constant) and scaled, and the back-transformation.

    statsmodels squares the condition number of the columns, and loses digits of its robust errors
    with years and their squares.
    """
    constant = terms.index("(Intercept)") if "(Intercept)" in terms else None
    middle = X.mean(axis=0) if constant is not None else np.zeros(X.shape[1])
    size = np.sqrt(((X - middle) ** 2).mean(axis=0))
    if constant is not None:
        middle[constant], size[constant] = 0.0, 1.0
    turn = np.diag(1.0 / size)
    if constant is not None:
        turn[constant] -= np.where(np.arange(len(size)) == constant, 0.0, middle / size)
    return (X - middle) / size, turn


def _errors(covariance: Array, turn: Array) -> Array:
    return np.asarray(np.sqrt(np.diag(turn @ np.asarray(covariance) @ turn.T)))


def of_generalized_regression(result: GeneralizedRegression) -> Iterator[Answer]:
    """Check by GLM, with clusters by GEE."""
    classical = result.vcov("classical").to_numpy()
    yield from generalized_answers(result.fit, classical)
    if result.clusters is None:
        return
    from statsmodels.genmod.generalized_estimating_equations import GEE

    from alliance_stats.cross_check.model_answers import family_of_theirs

    design = result.design
    theirs = GEE(
        design.y, design.X, result.clusters.codes,
        family=family_of_theirs(result.fit), offset=design.offset,
    ).fit()  # fmt: skip
    own = np.sqrt(np.diag(result.vcov("CR2")))
    who = library("statsmodels", "GEE")
    for i, term in enumerate(design.fixed.names[j] for j in design.fixed.kept):
        yield both(
            term,
            "std_error, CR2",
            own[i],
            theirs.bse[i],
            who,
            known=by_definition(_CR2, explains=1.0),
        )


def of_ordered_regression(result: OrderedRegression) -> Iterator[Answer]:
    """Check coefficients, thresholds and log-likelihood by OrderedModel."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    design = result.design
    kept = [str(design.fixed.names[i]) for i in design.fixed.kept]
    own = [i for i, name in enumerate(kept) if name != "(Intercept)"]
    endog = np.unique(design.y, return_inverse=True)[1]
    theirs = OrderedModel(endog, design.X[:, own], distr="logit").fit(
        method="bfgs", disp=0, gtol=1e-8
    )
    who = library("statsmodels", "OrderedModel")
    errors = np.sqrt(np.diag(result.vcov("classical")))
    for i, column in enumerate(own):
        yield both(kept[column], "estimate", result.beta[i], theirs.params[i], who,
                   close=ITERATED, scale=errors[i])  # fmt: skip
        yield both(kept[column], "std_error", errors[i], theirs.bse[i], who, close=5 * ITERATED)
    bounds = theirs.model.transform_threshold_params(theirs.params)[1:-1]
    for i, bound in enumerate(bounds):
        label = f"{result.categories[i]}|{result.categories[i + 1]}"
        yield both(label, "threshold", result.thresholds[i], bound, who,
                   close=ITERATED, scale=errors[len(own) + i])  # fmt: skip
    yield both("model", "log_lik", result.log_lik, theirs.llf, who, close=1e-4, scale=1.0)


def of_anova(result: AnalysisOfVariance) -> Iterator[Answer]:
    """Check F, p and partial eta squared: between persons, within, or one of each."""
    who, found = _anova(result)
    table = result.tidy(correction="none").set_index("term")
    if found is None:
        for term, row in table.iterrows():
            yield not_asked(str(term), "statistic", row["statistic"], "pingouin", who)
        return
    for term, row in table.iterrows():
        theirs = found.loc[str(term)]
        yield both(str(term), "statistic", row["statistic"], theirs["F"], who)
        yield both(str(term), "p_value", row["p_value"], theirs["p_unc"], who, close=_P)
        if "np2" in theirs:
            yield both(str(term), "eta2_partial", row["eta2_partial"], theirs["np2"], who)
        eps = theirs.get("eps", np.nan)
        if np.isfinite(eps) and row["df1"] > 1:
            yield both(str(term), "epsilon_gg", row["epsilon_gg"], eps, who)


def _anova(result: AnalysisOfVariance) -> tuple[str, pd.DataFrame | None]:
    """Return pingouin's table by term, or why there is none."""
    import pingouin

    between, within = result.between, result.within
    if result.covariates:
        return "pingouin's ancova has type II sums of squares of one factor only", None
    squares = {"I": 1, "II": 2, "III": 3}[result.kind]
    sizes = result.groups.value_counts() if between else []
    if squares != 2 and within and len(set(sizes)) > 1:
        return "with groups of unequal size pingouin's mixed_anova has type II only", None
    if not within:
        frame = result.groups.assign(outcome__=result.scores[:, 0])
        found = pingouin.anova(frame, dv="outcome__", between=list(between), ss_type=squares)
        names = {" * ".join(between): ":".join(between)}
        table = known_names(found).assign(Source=lambda t: t["Source"].replace(names))
        pairs = table["Source"].str.replace(" * ", ":", regex=False)
        return library("pingouin", "anova"), table.set_index(pairs)
    if len(within) > 1 or len(between) > 1:
        return "pingouin's mixed_anova takes one factor between and one within", None
    n, k = result.scores.shape
    long = pd.DataFrame(
        {
            "outcome__": result.scores.ravel(),
            "person__": np.repeat(np.arange(n), k),
            "within__": np.tile(np.arange(k), n),
        }
    )
    if not between:
        found = known_names(pingouin.rm_anova(
            long, dv="outcome__", within="within__", subject="person__", detailed=True,
            effsize="np2",
        ))  # fmt: skip
        table = found.assign(Source=found["Source"].replace({"within__": within[0]}))
        return library("pingouin", "rm_anova"), table.set_index("Source")
    groups = result.groups.iloc[:, 0].to_numpy()
    long["between__"] = np.repeat(groups, k)
    found = known_names(pingouin.mixed_anova(
        long, dv="outcome__", within="within__", subject="person__", between="between__"
    ))  # fmt: skip
    names = {"within__": within[0], "between__": between[0],
             "Interaction": f"{between[0]}:{within[0]}"}  # fmt: skip
    table = found.assign(Source=found["Source"].replace(names))
    return library("pingouin", "mixed_anova"), table.set_index("Source")


def of_mediation(result: Mediation, data: pd.DataFrame) -> Iterator[Answer]:
    """Check the paths by mediation_analysis, for one treatment at one level without a moderator."""
    import pingouin

    asked = result.asked
    who = library("pingouin", "mediation_analysis")
    plain = not asked.serial and asked.moderator is None and len(set(result.paths["level"])) == 1
    rows = result.paths
    if not plain or ("linear" not in result.how and "least squares" not in result.how.lower()):
        for row in rows.to_dict("records"):
            yield not_asked(f"{row['from']} to {row['to']}", "estimate", row["estimate"], who,
                            "it has simple linear mediation at one level only")  # fmt: skip
        return
    columns = [asked.treatment, *asked.mediators, asked.outcome, *asked.covariates]
    kept = data[columns].dropna()
    found = known_names(pingouin.mediation_analysis(
        kept, x=asked.treatment, m=list(asked.mediators), y=asked.outcome,
        covar=list(asked.covariates) or None, n_boot=10, seed=1,
    )).set_index("path")  # fmt: skip
    for row in rows.to_dict("records"):
        if row["to"] in asked.mediators:
            path = f"{row['to']} ~ X"
        elif row["from"] in asked.mediators:
            path = f"Y ~ {row['from']}"
        else:
            path = "Direct"
        if path in found.index and path != f"Y ~ {row['from']}":
            yield both(f"{row['from']} to {row['to']}", "estimate", row["estimate"],
                       found.loc[path, "coef"], who)  # fmt: skip
