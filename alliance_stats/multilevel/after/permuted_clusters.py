"""Permutation test of a cluster-level predictor."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import did_you_mean
from alliance_stats.engine.array_door import arranged, sorted_rows
from alliance_stats.engine.criterion import at_eta, pulled_rows, solve
from alliance_stats.engine.linear_search import minimise
from alliance_stats.engine.wild_bootstrap import (
    ClusterSums,
    cluster_sums,
)
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import clusters_of
from alliance_stats.multilevel.linear_fit import LinearFit, working_columns
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.seeds import Seed, generator_of

__all__ = ["PermutationTest", "permutation_test"]

# Relative spread within clusters that is rounding.
CONSTANT = 1e-9


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PermutationTest:
    """A permutation test of a cluster-level predictor, made by :func:`permutation_test`.

    Attributes
    ----------
    term
        The coefficient.
    cluster
        What was permuted.
    estimate, statistic
        The coefficient, with the random effects of the null model, and its t.
    drawn
        Its t in each permutation.
    n_clusters
        Number of clusters.
    rows
        The ledger of the fit's rows.
    """

    term: str
    cluster: str
    estimate: float
    statistic: float
    drawn: Array
    n_clusters: int
    rows: RowLedger

    __repr__ = one_line

    @property
    def p_value(self) -> float:
        """Share of permutations (including the observed one) with a t at least as far from zero."""
        far = np.abs(self.drawn) >= abs(self.statistic) * (1.0 - 1e-10)
        return float((1 + far.sum()) / (1 + len(far)))

    def tidy(self) -> pd.DataFrame:
        """Return one row: ``term, estimate, statistic, p_value``."""
        return pd.DataFrame(
            [
                {
                    "term": self.term,
                    "estimate": self.estimate,
                    "statistic": self.statistic,
                    "p_value": self.p_value,
                }
            ]
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: clusters and permutations."""
        return pd.DataFrame([{"n_clusters": self.n_clusters, "n_resamples": len(self.drawn)}])

    @property
    def method(self) -> str:
        """What was permuted, and how often."""
        return (
            f"permutation of the values of {self.term} over "
            f"{plural(self.n_clusters, self.cluster)}, {format_count(len(self.drawn))} times"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading: nothing."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the test as data; it has no interval."""
        found = Section("", self.tidy(), names=("term",), measure="b", statistic="b / SE")
        sizes = {"rows": self.rows.n_used, self.cluster: self.n_clusters}
        return Account.of(self, sizes, (found,), sources=("good2005", "phipson2010"))

    summary = summary_of
    _repr_html_ = html_of


def permutation_test(
    model: LinearMixedModel, term: str, cluster: str, *, n_resamples: int = 9999, seed: Seed
) -> PermutationTest:
    """Test a cluster-level predictor by permuting its values over the clusters.

    Parameters
    ----------
    model
        A fitted ``lmm``.
    term
        A coefficient whose column is constant within clusters, such as ``"experience"`` of
        therapists.
    cluster
        A grouping factor of the model that contains every random effect.
    n_resamples
        Number of permutations.
    seed
        Seed of the permutations.

    Returns
    -------
    PermutationTest
        With ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    FormulaError
        A term that the model does not have.
    DataError
        A column that varies within clusters, or a cluster crossed with a random effect.
    NotIdentifiedError
        A column that is a linear combination of the other columns.

    Notes
    -----
    The model without the term gives the covariance; the statistic is t of the term added to it. If
    the values were assigned to clusters independently of everything else (at random, say), all
    permutations are equally likely, and the p-value is exact whatever the distribution and the
    sizes of the clusters; with other cluster-level predictors it is exact only so far as these are
    unrelated to the term (Good 2005, doi:10.1007/b138696).

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, permutation_test
    >>> sessions = example_study().sessions.query("session == 1")
    >>> model = lmm("alliance ~ experience + (1 | therapist/family)", sessions)
    >>> test = permutation_test(model, "experience", "therapist", n_resamples=99, seed=1)
    >>> test.tidy()[["p_value"]].shape
    (1, 1)
    """
    require_linear(model, asked="permutation_test tests a coefficient of")
    fit, design = model.fit, model.design
    known = [design.fixed.names[i] for i in design.fixed.kept]
    if term not in known:
        raise FormulaError(f"The model estimates no '{term}'. {did_you_mean(term, known)}")
    clusters = clusters_of(fit, cluster)
    x = design.X[:, known.index(term)]
    first = np.unique(clusters, return_index=True)[1]
    z = x[first]
    if np.abs(x - z[clusters]).max() > CONSTANT * np.abs(x).max():
        raise DataError(
            f"'{term}' varies within units of '{cluster}': it is no property of the {cluster} that "
            "could be given to another."
        )
    sums, sigma = _null_sums(fit, known.index(term), clusters)
    rng = generator_of(seed)
    permuted = np.array([z, *(rng.permutation(z) for _ in range(n_resamples))])
    estimates, t = _added(sums, permuted)
    t = t / sigma
    if not np.isfinite(t[0]):
        raise NotIdentifiedError(f"Other columns determine '{term}': it has no effect of its own.")
    drawn = t[1:][np.isfinite(t[1:])]
    return PermutationTest(
        term, cluster, float(estimates[0]), float(t[0]), drawn, len(z), model.rows
    )


def _null_sums(fit: LinearFit, j: int, clusters: Integers) -> tuple[ClusterSums, float]:
    """Fit the model without a column; sum columns, a constant and outcome over clusters.

    Returns the sums, V relative to the residual variance, and the null model's residual SD.
    """
    design, problem = fit.design, fit.problem
    roots = design.root_weights
    others = np.delete(design.X, j, axis=1) * roots[:, None]
    n = len(others)
    Q = np.ascontiguousarray(linalg.qr(others, mode="economic")[0].T) * np.sqrt(n)
    y = (design.y if design.offset is None else design.y - design.offset) * roots
    left = y - Q.T @ (Q @ y / n)
    shape = problem.shape
    if shape is not None:
        shape = shape.sorted(np.argsort(problem.layout.order))
    columns = working_columns(design, fit.units)[1]
    Xy = np.concatenate([Q, left[None] / fit.units.outcome])
    null = arranged(Xy, columns, reml=problem.reml, known=problem.known, shape=shape)
    start = [factor + 1e-2 * np.eye(len(factor)) for factor in fit.minimum.Lambda]
    minimum = minimise(null, start, fit.eta)
    wide = np.concatenate([Q, roots[None], y[None]])
    more = arranged(wide, columns, reml=False, known=True, shape=shape)
    more = at_eta(more, minimum.other)
    rows = more.white
    if rows is None:
        rows = sorted_rows(more.layout, wide, columns)
    pulled = pulled_rows(more, rows, minimum.Lambda)
    found = at_eta(null, minimum.other)
    rss = solve(found, minimum.Lambda).rss
    sigma = 1.0 if null.known else fit.units.outcome * float(np.sqrt(rss / null.N))
    return cluster_sums(rows.Xy, pulled, clusters[more.layout.order]), sigma


def _added(sums: ClusterSums, z: Array) -> tuple[Array, Array]:
    """Coefficient and t of cluster values (draws, clusters), added to the null model's columns.

    The last column of the sums is the constant of each cluster, weighted as its rows are.
    """
    F = sums.A.sum(axis=0)[:-1, :-1]
    b, q, r = sums.A[:, :-1, -1], sums.A[:, -1, -1], sums.u[:, -1]
    cross = z @ b
    explained = np.linalg.solve(F, cross.T).T if F.size else cross
    spread = z**2 @ q - (cross * explained).sum(axis=1)
    pull = z @ r - explained @ sums.u[:, :-1].sum(axis=0)
    known = spread > 1e-10 * (z**2 @ q)
    spread = np.where(known, spread, np.nan)
    return pull / spread, pull / np.sqrt(spread)
