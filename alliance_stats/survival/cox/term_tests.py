"""Tests of a hazard model's terms: Wald's, likelihood ratio and score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_choice
from alliance_stats.design.coding import CodedTerm, independent_columns
from alliance_stats.design.design import Design
from alliance_stats.engine.sandwich import ClusterRobust
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.survival.cox.cox_fit import fit_cox
from alliance_stats.survival.cox.partial_likelihood import (
    PartialLikelihood,
    RiskWeights,
    information,
    score_sums,
)
from alliance_stats.survival.cox.risk_sets import RiskSets

__all__ = [
    "OVER_CLUSTERS",
    "TESTS",
    "CoxTerms",
    "Score",
    "TermLikelihood",
    "containing",
    "reduced_terms",
    "refuse_shared_columns",
    "refuse_test",
    "robust_wald",
    "test_table",
    "tested_terms",
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


def refuse_shared_columns(
    design: Design, columns: Mapping[str, Sequence[int]], above: Mapping[str, Sequence[str]]
) -> None:
    """Refuse a term whose coefficients stand for another term's columns as well.

    Of columns that determine each other the first are kept: without them the later ones would not
    be combinations any more, and what the term adds to those is less than its coefficients.
    """
    fixed = design.fixed
    if len(fixed.kept) == len(fixed.names):
        return
    X = fixed.coding.columns(design.frame)
    for term in columns:
        own = {term, *above[term]}
        others = [
            k
            for other in fixed.coding.terms
            if other.name not in own
            for k in range(other.columns.start, other.columns.stop)
        ]
        added = np.setdiff1d(np.array(others)[independent_columns(X[:, others])], fixed.kept)
        if len(added):
            raise DataError(
                f"'{fixed.names[int(added[0])]}' is a combination of columns of '{term}' and "
                f"others, and has no coefficient: what '{term}' adds to it is not told by this "
                "model. Leave one of the two out of the formula."
            )


def test_table(found: Sequence[tuple[str, float, float]], method: str) -> pd.DataFrame:
    """Return ``term, statistic, df, p_value, method`` from chi-squared statistics."""
    rows = [(term, value, df, stats.chi2.sf(value, df), method) for term, value, df in found]
    return pd.DataFrame(rows, columns=_COLUMNS).astype({"df": np.float64})


def robust_wald(beta: Array, covariance: Array) -> float:
    """Return Wald's statistic of several coefficients; NaN with fewer clusters than those."""
    if np.linalg.matrix_rank(covariance, hermitian=True) < len(beta):
        return float("nan")
    return float(beta @ np.linalg.solve(covariance, beta))


def _wald_terms(
    columns: Mapping[str, Sequence[int]],
    above: Mapping[str, Sequence[str]],
    beta: Array,
    covariance: Array,
) -> list[tuple[str, float, float]]:
    """Return each term's Wald statistic given all terms that do not contain it, and its df.

    The part due to containing terms (interactions) is subtracted: ``W(term and above) - W(above)``,
    the statistic of type II (Fox & Weisberg 2019, ISBN 9781544336473, section 6.4), which no coding
    of factors changes.

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


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """A likelihood's slopes at its maximum with the tested coefficients at 0.

    Attributes
    ----------
    score, information
        (p,) and (p, p): the other coefficients first, then those tested.
    by_cluster
        (p, c) the score of each cluster; None where rows are independent.
    """

    score: Array
    information: Array
    by_cluster: Array | None


class TermLikelihood(Protocol):
    """A likelihood that can be maximised over some of a model's columns."""

    def log_lik(self, columns: list[int]) -> float:
        """Return its maximum over the coefficients of these columns, the others at 0."""
        ...

    def score(self, others: list[int], tested: list[int]) -> Score:
        """Return its slopes at the maximum over the others."""
        ...


def _likelihood_terms(
    likelihood: TermLikelihood,
    places: tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[str]]],
    always: Sequence[int],
    *,
    test: str,
) -> list[tuple[str, float, float]]:
    """Return each term's likelihood-ratio or score statistic, and its df.

    The score test is ``U'V^-1 U``, allowing for estimation of the others; with clusters it is
    robust, from scores summed over them (Lin & Wei 1989, doi:10.1080/01621459.1989.10478874; Boos
    1992, doi:10.1080/00031305.1992.10475921).

    Parameters
    ----------
    likelihood
        What is maximised.
    places
        Term -> its columns, and term -> the terms that contain it, which are left out of both
        models compared.
    always
        Columns outside all terms that every model keeps: a baseline's, or other endings'.
    test
        ``"likelihood-ratio"`` or ``"score"``.
    """
    columns, above = places
    check_choice(test, TESTS[1:], name="test")
    everything = [*always, *(k for own in columns.values() for k in own)]
    found = []
    for term, own in columns.items():
        higher = {k for other in above[term] for k in columns.get(other, ())}
        others = [k for k in everything if k not in higher and k not in own]
        if test == "score":
            statistic = _score(likelihood.score(others, list(own)), len(others))
        else:
            large = likelihood.log_lik([*others, *own])
            statistic = 2.0 * (large - likelihood.log_lik(others))
        found.append((term, max(statistic, 0.0), float(len(own))))
    return found


def _score(found: Score, n_others: int) -> float:
    """Return the statistic of the coefficients that follow the others."""
    other, tested = slice(0, n_others), slice(n_others, None)
    curvature = found.information
    taken = curvature[tested, other] @ np.linalg.pinv(curvature[other, other])
    if found.by_cluster is None:
        spread = curvature[tested, tested] - taken @ curvature[other, tested]
    else:
        own = found.by_cluster[tested] - taken @ found.by_cluster[other]
        spread = own @ own.T
        if np.linalg.matrix_rank(_unit(spread), hermitian=True) < len(spread):
            return float("nan")  # fewer clusters than coefficients
    slope = found.score[tested]
    return float(slope @ np.linalg.solve(spread, slope))


def refuse_test(test: str, *, clustered: bool, effects: str = "") -> None:
    """Refuse a test that the model lacks; `effects` says which random effects it has."""
    check_choice(test, TESTS, name="test")
    if test == "likelihood-ratio" and clustered:
        raise DataError(
            "With cluster= or weights= the likelihood takes rows as independent and alike, and its "
            "ratio has no known distribution. Ask for test='wald' or test='score', which are "
            "robust."
        )
    if test != "wald" and effects:
        raise DataError(
            f"With {effects} ask for test='wald', or compare models by likelihood_ratio_test."
        )


def tested_terms(
    test: str,
    places: tuple[Mapping[str, Sequence[int]], Mapping[str, Sequence[str]]],
    estimates: tuple[Array, Array],
    likelihood: TermLikelihood,
    *,
    clustered: bool,
) -> pd.DataFrame:
    """Return the table of a test of each term given all terms that do not contain it.

    Parameters
    ----------
    test
        One of :data:`TESTS`.
    places
        Term -> its columns, and term -> the terms that contain it.
    estimates
        Coefficients and their covariance, for Wald's test.
    likelihood
        What the others maximise; columns outside all terms (a baseline's) are in every model.
    clustered
        Whether the test is robust.
    """
    if test == "wald":
        found = _wald_terms(*places, *estimates)
    else:
        named = {k for own in places[0].values() for k in own}
        always = [k for k in range(len(estimates[0])) if k not in named]
        found = _likelihood_terms(likelihood, places, always, test=test)
    words = f"{'robust ' * clustered}{test.replace('-', ' ').replace('wald', 'Wald')}"
    return test_table(found, words)


@dataclass(frozen=True, slots=True, eq=False)
class CoxTerms:
    """The partial likelihood for tests of terms.

    Attributes
    ----------
    X, sets, terms
        Standardised covariates (p, r), risk sets, and names of the columns.
    cluster, n_clusters
        (n,) number of each row's cluster; None where rows are independent.
    """

    X: Array
    sets: RiskSets
    terms: tuple[str, ...]
    cluster: Integers | None
    n_clusters: int

    def _restricted(self, keep: list[int]) -> tuple[Array, RiskWeights]:
        """Return the coefficients of the model with some of the columns, and the evaluation."""
        if not keep:
            return np.zeros(0), PartialLikelihood(self.X[:0], self.sets).at(np.zeros(0))
        fit = fit_cox(self.X[keep], self.sets, tuple(self.terms[k] for k in keep))
        return fit.beta, fit.at

    def log_lik(self, columns: list[int]) -> float:
        """Return the maximum over the coefficients of these columns."""
        return float(self._restricted(columns)[1].log_lik)

    def score(self, others: list[int], tested: list[int]) -> Score:
        """Return the slopes at the maximum over the others."""
        X = self.X[[*others, *tested]]
        at = self._restricted(others)[1]
        slope, _ = PartialLikelihood(X, self.sets).derivatives(at)
        by_cluster = None
        if self.cluster is not None:
            own = self.cluster[self.sets.order]
            by_cluster = score_sums(X, at, self.sets, own, self.n_clusters)
        return Score(slope, information(X, at, self.sets), by_cluster)
