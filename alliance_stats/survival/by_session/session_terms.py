"""Likelihoods of hazards by session, as tests of their terms ask for them. Arrays only."""

from dataclasses import dataclass, replace

import numpy as np

from alliance_stats.engine.generalized_search import glm_coefficients
from alliance_stats.engine.laplace import GeneralizedProblem
from alliance_stats.estimates import Array
from alliance_stats.survival.by_session.ending_logit import (
    EndingLikelihood,
    EndingRows,
    evened,
    highest,
    row_scores,
)
from alliance_stats.survival.cox.cluster_errors import cluster_sums
from alliance_stats.survival.cox.term_tests import Score
from alliance_stats.survival.rows.time_at_risk import IntArray

__all__ = ["EndingTerms", "RegressionTerms"]


@dataclass(frozen=True, slots=True, eq=False)
class RegressionTerms:
    """The likelihood of rows by session as tests of terms ask for it.

    Attributes
    ----------
    problem
        The rows as the fit has them.
    X
        (n, p) columns that were kept, in the design's order.
    cluster
        (n,) number of each row's cluster; None where rows are independent.
    """

    problem: GeneralizedProblem
    X: Array
    cluster: IntArray | None

    def _basis(self, columns: list[int]) -> Array:
        """Return an orthonormal basis (p, n), in the problem's order, that keeps theirs."""
        X = self.X[self.problem.layout.order][:, columns]
        return np.ascontiguousarray(np.linalg.qr(X)[0].T * np.sqrt(len(X)))

    def _highest(self, Q: Array) -> Array:
        return glm_coefficients(replace(self.problem, Q=Q))[0]

    def log_lik(self, columns: list[int]) -> float:
        """Return the maximum over the coefficients of these columns."""
        Q, problem = self._basis(columns), self.problem
        eta = problem.offset + self._highest(Q) @ Q
        return float(problem.family.slopes(eta, problem.outcome)[0].sum())

    def score(self, others: list[int], tested: list[int]) -> Score:
        """Return the slopes at the maximum over the others, by the expected information."""
        Q, problem = self._basis([*others, *tested]), self.problem
        eta = problem.offset + self._highest(Q[: len(others)]) @ Q[: len(others)]
        mean, slope = problem.family.mean(eta), problem.family.mean_slope(eta)
        weight = problem.outcome.trials
        pull = slope / (mean * (1.0 - mean))
        rows = Q * (pull * (problem.outcome.y - weight * mean))
        by_cluster = None
        if self.cluster is not None:
            own = self.cluster[problem.layout.order]
            by_cluster = cluster_sums(own, rows)
        return Score(rows.sum(axis=1), (Q * (weight * pull * slope)) @ Q.T, by_cluster)


@dataclass(frozen=True, slots=True, eq=False)
class EndingTerms:
    """The likelihood of competing endings; columns are coefficients that count, in their order.

    Attributes
    ----------
    rows
        The data.
    cluster
        (n,) number of each row's cluster; None where rows are independent.
    """

    rows: EndingRows
    cluster: IntArray | None

    def _keeping(self, columns: list[int]) -> EndingRows:
        counts = np.zeros(self.rows.counts.size, dtype=bool)
        counts[np.flatnonzero(self.rows.counts)[columns]] = True
        rows, _ = evened(self.rows)
        return replace(rows, counts=counts.reshape(rows.counts.shape))

    def log_lik(self, columns: list[int]) -> float:
        """Return the maximum over the coefficients of these columns."""
        return float(highest(self._keeping(columns)).at.log_lik)

    def score(self, others: list[int], tested: list[int]) -> Score:
        """Return the slopes at the maximum over the others."""
        at = highest(self._keeping(others)).at
        everything = [*others, *tested]
        order = np.argsort(np.argsort(everything))
        rows = self._keeping(everything)
        slope, curvature = EndingLikelihood(rows).derivatives(at)
        by_cluster = None
        if self.cluster is not None:
            by_cluster = cluster_sums(self.cluster, row_scores(rows, at)[order])
        return Score(slope[order], curvature[np.ix_(order, order)], by_cluster)
