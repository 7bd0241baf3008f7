"""Tests of a hazard model's terms: Wald's for any model, likelihood ratio and score for Cox's."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_choice
from alliance_stats.design.coding import CodedTerm
from alliance_stats.engine.sandwich import ClusterRobust
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.survival.cox.cox_fit import CoxFit, fit_cox
from alliance_stats.survival.cox.partial_likelihood import (
    PartialLikelihood,
    information,
    score_sums,
)
from alliance_stats.survival.cox.risk_sets import RiskSets
from alliance_stats.survival.rows.time_at_risk import IntArray

__all__ = [
    "OVER_CLUSTERS",
    "TESTS",
    "containing",
    "cox_terms",
    "reduced_terms",
    "refuse_test",
    "test_table",
    "wald_terms",
]

OVER_CLUSTERS = (
    "its standard errors are over clusters, which the likelihood takes no account of. Test terms "
    "by anova(), whose tests are robust."
)
"""Why likelihoods of such a model are not compared by a test."""

TESTS = ("wald", "likelihood-ratio", "score")
_COLUMNS = ["term", "statistic", "df", "p_value", "method"]


def containing(terms: Sequence[CodedTerm]) -> dict[str, list[str]]:
    """Return, for each term, those that contain it: an interaction contains its main effects."""
    return {
        term.name: [
            other.name
            for other in terms
            if other.name != term.name and all(factor in other.factors for factor in term.factors)
        ]
        for term in terms
    }


def test_table(found: Sequence[tuple[str, float, float]], method: str) -> pd.DataFrame:
    """Return ``term, statistic, df, p_value, method`` from chi-squared statistics."""
    rows = [(term, value, df, stats.chi2.sf(value, df), method) for term, value, df in found]
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"df": np.float64})


def wald_terms(
    columns: Mapping[str, Sequence[int]],
    above: Mapping[str, Sequence[str]],
    beta: Array,
    covariance: Array,
) -> list[tuple[str, float, float]]:
    """Return each term's Wald statistic given all terms that do not contain it, and its df.

    What containing terms (interactions) add is taken off: ``W(term and above) - W(above)``, the
    statistic of type II (Fox & Weisberg 2019, ISBN 9781544336473, section 6.4), which no coding of
    factors changes.

    Parameters
    ----------
    columns
        Term -> places of its coefficients.
    above
        Term -> the terms that contain it.
    beta, covariance
        Coefficients and their covariance.
    """

    def wald(use: Sequence[int]) -> float:
        at = list(use)
        part = covariance[np.ix_(at, at)]
        if not at:
            return 0.0
        if np.linalg.matrix_rank(_unit(part), hermitian=True) < len(at):
            return float("nan")  # fewer clusters than coefficients
        return float(beta[at] @ np.linalg.solve(part, beta[at]))

    found = []
    for term, own in columns.items():
        higher = [k for other in above[term] for k in columns.get(other, ())]
        statistic = wald([*own, *higher]) - wald(higher)
        found.append((term, statistic, float(len(own))))
    return found


def reduced_terms(
    columns: Mapping[str, Sequence[int]], beta: Array, reduced: ClusterRobust
) -> pd.DataFrame:
    """Return F tests of each term given all others, under CR2 (HTZ; Pustejovsky & Tipton 2018)."""
    rows = []
    for term, own in columns.items():
        test = reduced.f_test(np.eye(len(beta))[list(own)], beta)
        p_value = stats.f.sf(test.statistic, test.df1, test.df2)
        rows.append((term, test.statistic, test.df1, test.df2, p_value, "F, CR2"))
    return pd.DataFrame(rows, columns=["term", "statistic", "df", "df2", "p_value", "method"])


def _unit(covariance: Array) -> Array:
    sizes = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(sizes, sizes))


def cox_terms(
    fit: CoxFit,
    X: Array,
    sets: RiskSets,
    terms: tuple[str, ...],
    places: tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[str]]],
    *,
    test: str,
    cluster: tuple[IntArray, int] | None,
) -> list[tuple[str, float, float]]:
    """Return each term's likelihood-ratio or score statistic, and its df.

    Parameters
    ----------
    fit, X, sets, terms
        The model, its standardised covariates (p, r), risk sets and names of columns.
    places
        Term -> its columns, and term -> the terms that contain it: they are left out of both
        models that are compared.
    test
        ``"likelihood-ratio"`` or ``"score"``.
    cluster
        (r,) number of each row's cluster, and how many: the score test is then robust, from scores
        summed over clusters (Lin & Wei 1989, doi:10.1080/01621459.1989.10478874; Boos 1992,
        doi:10.1080/00031305.1992.10475921).
    """
    columns, above = places
    check_choice(test, TESTS[1:], name="test")
    found = []
    for term, own in columns.items():
        higher = {k for other in above[term] for k in columns.get(other, ())}
        large = [k for k in range(len(X)) if k not in higher]
        small = [k for k in large if k not in own]
        below = _restricted(X, sets, terms, small)
        if test == "score":
            beta = np.zeros(len(large))
            beta[[large.index(k) for k in small]] = below.beta
            tested = [large.index(k) for k in own]
            statistic = _score(PartialLikelihood(X[large], sets), beta, tested, cluster)
        else:
            full = fit if not higher else _restricted(X, sets, terms, large)
            statistic = 2.0 * (full.at.log_lik - below.at.log_lik)
        found.append((term, max(statistic, 0.0), float(len(own))))
    return found


def _restricted(X: Array, sets: RiskSets, terms: tuple[str, ...], keep: list[int]) -> CoxFit:
    """Fit the model with some of the columns."""
    if keep:
        return fit_cox(X[keep], sets, tuple(terms[k] for k in keep))
    nothing = PartialLikelihood(X[:0], sets)
    at = nothing.at(np.zeros(0))
    return CoxFit(np.zeros(0), np.zeros((0, 0)), at, at.log_lik, None)  # type: ignore[arg-type]


def _score(
    likelihood: PartialLikelihood,
    beta: Array,
    tested: list[int],
    cluster: tuple[IntArray, int] | None,
) -> float:
    """Return ``U'V^-1 U`` of the tested coefficients' score, the others' estimation allowed for."""
    X, sets = likelihood.X, likelihood.sets
    at = likelihood.at(beta)
    score, _ = likelihood.derivatives(at)
    curvature = information(X, at, sets)
    others = [k for k in range(len(X)) if k not in tested]
    taken = curvature[np.ix_(tested, others)] @ np.linalg.pinv(curvature[np.ix_(others, others)])
    if cluster is None:
        spread = curvature[np.ix_(tested, tested)] - taken @ curvature[np.ix_(others, tested)]
    else:
        summed = score_sums(X, at, sets, cluster[0][sets.order], cluster[1])
        own = summed[tested] - taken @ summed[others]
        spread = own @ own.T
        if np.linalg.matrix_rank(spread, hermitian=True) < len(tested):
            return float("nan")
    return float(score[tested] @ np.linalg.solve(spread, score[tested]))


def refuse_test(test: str, *, clustered: bool, frailty: bool) -> None:
    """Refuse a test that the model has not."""
    check_choice(test, TESTS, name="test")
    if test == "likelihood-ratio" and clustered:
        raise DataError(
            "With cluster= the likelihood takes rows as independent, and its ratio has no known "
            "distribution. Ask for test='wald' or test='score', which are robust."
        )
    if test != "wald" and frailty:
        raise DataError(
            "With a frailty ask for test='wald', or compare models by likelihood_ratio_test (gamma "
            "frailties)."
        )
