"""Permutation of group labels over whole clusters, for scores that add up over rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod

import numpy as np

from alliance_stats.arguments import whole_number
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import format_count, format_p, plural
from alliance_stats.seeds import Seed, generator_of

__all__ = ["PermutationTest", "permute_clusters"]

# Two statistics this near (relatively) are the same allocation's, computed in another order.
_SAME_STATISTIC = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PermutationTest:
    """The observed statistic compared with those of permuted clusters.

    Attributes
    ----------
    statistic
        ``(C - 1) / sum_c a_c^2 * sum_g A_g^2 / m_g`` with a_c a cluster's score, A_g the sum over
        the m_g clusters of group g: chi-squared with groups - 1 df for many clusters.
    p_value
        Share of allocations with a statistic at least as large, including the observed one.
    n_allocations
        Number of allocations compared.
    exact
        Whether these were all possible allocations.
    n_clusters
        Clusters permuted.
    """

    statistic: float
    p_value: float
    n_allocations: int
    exact: bool
    n_clusters: int
    n_possible: int

    @property
    def p_smallest(self) -> float:
        """The smallest p-value that this many allocations can give."""
        return 1.0 / self.n_allocations

    def warnings(self) -> Iterator[str]:
        """Say where the design cannot reach significance."""
        if self.p_smallest > 0.05:
            yield (
                f"{plural(self.n_clusters, 'cluster')} allow {self.n_possible} "
                f"allocations: no p-value below {format_p(self.p_smallest)} can occur."
            )

    def __str__(self) -> str:
        """Say how many allocations were compared."""
        kind = "all" if self.exact else "random"
        return (
            f"{format_count(self.n_allocations)} allocations of "
            f"{plural(self.n_clusters, 'cluster')} ({kind}); smallest p-value they can give: "
            f"{format_p(self.p_smallest)}."
        )


def permute_clusters(
    row_score: Array,
    group: Integers,
    cluster: Integers,
    *,
    names: tuple[str, str],
    n_permutations: int,
    seed: Seed,
) -> PermutationTest:
    """Permute the groups of whole clusters.

    Parameters
    ----------
    row_score
        (n,) what each row adds to its group's score; sums to 0.
    group, cluster
        (n,) group and cluster numbers from 0.
    names
        Names of the group and of the cluster column, for messages.
    n_permutations
        All allocations are compared where they are at most this many.
    seed
        Needed where allocations are drawn at random.
    """
    whole_number(n_permutations, name="n_resamples", least=1, of="allocations")
    owner = _group_of_cluster(group, cluster, names)
    scores: Array = np.bincount(cluster, weights=row_score, minlength=len(owner)).astype(np.float64)
    sizes: Array = np.bincount(owner).astype(np.float64)
    scale = (len(owner) - 1) / (scores @ scores)
    n_possible = factorial(len(owner)) // prod(factorial(int(size)) for size in sizes)
    exact = n_possible <= n_permutations
    if exact:
        draws = _all_allocations(len(owner), sizes)
    else:
        if seed is None:
            raise ValueError(
                f"{n_permutations} of {n_possible:.3g} allocations of clusters are drawn at "
                "random: give seed= (a whole number), so that the p-value can be had again."
            )
        generator = generator_of(seed)
        draws = (generator.permutation(owner) for _ in range(n_permutations - 1))
    observed = _statistic(scores, owner, sizes)
    at_least = np.fromiter(
        (_statistic(scores, draw, sizes) >= observed * (1.0 - _SAME_STATISTIC) for draw in draws),
        dtype=np.bool_,
    )
    extra = 0 if exact else 1  # the observed allocation is one of the random ones
    return PermutationTest(
        statistic=float(observed * scale),
        p_value=(int(at_least.sum()) + extra) / (len(at_least) + extra),
        n_allocations=len(at_least) + extra,
        exact=exact,
        n_clusters=len(owner),
        n_possible=n_possible,
    )


def _statistic(scores: Array, owner: Integers, sizes: Array) -> float:
    totals = np.bincount(owner, weights=scores, minlength=len(sizes))
    return float((totals**2 / sizes).sum())


def _group_of_cluster(group: Integers, cluster: Integers, names: tuple[str, str]) -> Integers:
    n_clusters = int(cluster.max()) + 1
    lowest = np.full(n_clusters, np.iinfo(np.int64).max)
    highest = np.full(n_clusters, -1)
    np.minimum.at(lowest, cluster, group)
    np.maximum.at(highest, cluster, group)
    mixed = int((lowest != highest).sum())
    if mixed:
        raise DataError(
            f"'{names[0]}' varies within {plural(mixed, 'cluster')} of '{names[1]}': only groups "
            "that whole clusters belong to can be permuted over clusters. Where a cluster holds "
            "several groups, use strata= with the clusters' column instead."
        )
    return highest


def _all_allocations(n_clusters: int, sizes: Array) -> Iterator[Integers]:
    """Yield every way to give `n_clusters` clusters groups of these sizes."""

    def fill(free: tuple[int, ...], g: int, owner: Integers) -> Iterator[Integers]:
        if g == len(sizes) - 1:
            complete = owner.copy()
            complete[list(free)] = g
            yield complete
            return
        for chosen in combinations(free, int(sizes[g])):
            further = owner.copy()
            further[list(chosen)] = g
            yield from fill(tuple(c for c in free if c not in chosen), g + 1, further)

    yield from fill(tuple(range(n_clusters)), 0, np.zeros(n_clusters, dtype=np.int64))
