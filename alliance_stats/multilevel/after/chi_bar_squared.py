"""Which mixture of chi-squared distributions a test of several variances is referred to."""

from collections.abc import Sequence

import numpy as np
from scipy import linalg, optimize

from alliance_stats.design.groupings import Grouping, TermBasis
from alliance_stats.engine.curvature import curvature
from alliance_stats.engine.degrees_of_freedom import variance_of_variances
from alliance_stats.estimates import Array
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["chi_bar_weights", "scalar_terms"]

# Draws behind the weights: good to half a percent.
CHI_BAR_DRAWS = 10_000


def scalar_terms(small: LinearMixedModel, large: LinearMixedModel) -> list[int]:
    """Return the larger model's terms of one column that the smaller lacks, by their numbers.

    Empty where the other terms of the two differ, or the residuals do.
    """
    if len(small.fit.eta) or len(large.fit.eta) or small.problem.known:
        return []
    own = [_term(g, basis) for g in small.design.groupings for basis in g.terms]
    of_large = [_term(g, basis) for g in large.design.groupings for basis in g.terms]
    tested = [i for i, term in enumerate(of_large) if term not in own]
    if any(len(of_large[i][1]) > 1 for i in tested) or not set(own) <= set(of_large):
        return []
    return tested


def _term(grouping: Grouping, basis: TermBasis) -> tuple[frozenset[str], tuple[str, ...]]:
    return frozenset(grouping.columns), basis.names


def chi_bar_weights(
    small: LinearMixedModel, large: LinearMixedModel, tested: Sequence[int]
) -> Array:
    """Share of draws in which 0, 1, ... of the variances are estimated above zero.

    For many units the estimates under the null hypothesis are those of a normal draw brought onto
    the orthant by the information that the data hold (Self & Liang 1987; Shapiro 1988,
    doi:10.2307/1403361).
    """
    factors = {}
    for grouping, Lambda in zip(small.design.groupings, small.fit.minimum.Lambda, strict=True):
        start = 0
        for basis in grouping.terms:
            own = slice(start, start + len(basis.names))
            start = own.stop
            factors[_term(grouping, basis)] = Lambda[own, own]
    whole = [
        linalg.block_diag(
            *(factors.get(_term(g, b), np.zeros((len(b.names), len(b.names)))) for b in g.terms)
        )
        for g in large.design.groupings
    ]
    unit = large.fit.units.outcome
    curve = curvature(large.problem, whole, small.sigma / unit, boundary=True)
    W = variance_of_variances(curve, reml=large.reml)
    sizes = [len(b.names) for g in large.design.groupings for b in g.terms]
    starts = np.cumsum([0, *(q * (q + 1) // 2 for q in sizes)])
    places = [int(starts[i]) for i in tested]
    root = linalg.cholesky(linalg.inv(W[np.ix_(places, places)]))
    z = np.random.default_rng(1).standard_normal((CHI_BAR_DRAWS, len(places)))
    positive = [int((optimize.nnls(root, own)[0] > 0.0).sum()) for own in z]
    return np.bincount(positive, minlength=len(places) + 1) / CHI_BAR_DRAWS
