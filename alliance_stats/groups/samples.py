"""What a test sees: one outcome, its groups, its design."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.effect_sizes.record import DUST
from alliance_stats.estimates import Array
from alliance_stats.ledger import RowLedger

__all__ = ["CLUSTERS", "Codes", "Design", "Kind", "Outcome", "Samples", "tied"]

CLUSTERS = "cluster"  # the ledger's name of the level that members are nested in

Codes = npt.NDArray[np.int64]
Kind = Literal["continuous", "ordinal", "binary"]
Design = Literal["independent", "covariate", "paired", "clustered"]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The rows whose group is known, and how they hang together.

    Attributes
    ----------
    data
        The kept rows of the caller's frame.
    group, labels
        Group of each row as a number, and the groups' names in order.
    cluster, inner, pair
        Outermost cluster of each row, clusters nested in it from outer to inner (each numbered
        within its outer one), and matched pair, as numbers; None (empty) where not given.
    baseline
        Name of the baseline column, or None.
    rows
        Ledger up to here.
    """

    data: pd.DataFrame
    group_column: str
    group: Codes
    labels: tuple[str, ...]
    cluster: Codes | None
    inner: tuple[Codes, ...]
    pair: Codes | None
    baseline: str | None
    rows: RowLedger

    @property
    def design(self) -> Design:
        """Return which family of tests this design needs."""
        if self.pair is not None:
            return "paired"
        if self.cluster is not None:
            return "clustered"
        return "covariate" if self.baseline is not None else "independent"


def tied(values: Array, *, dust: float) -> Array:
    """Return `values`, neighbours no further apart than `dust` made one.

    0.1 + 0.2 and 0.3, or 4.1 - 4.0 and 1.1 - 1.0, are one value: they have to tie where ranks are
    given, and do not vary where nothing else does.
    """
    known = ~np.isnan(values)
    distinct = np.unique(values[known])
    apart = np.diff(distinct) > dust
    if apart.all():
        return values
    kept = distinct[np.append(True, apart)]
    merged = values.copy()
    merged[known] = kept[np.searchsorted(kept, values[known], side="right") - 1]
    return merged


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One outcome's complete cases.

    Attributes
    ----------
    values, group, places
        Outcome (category numbers where ordinal, 0/1 where binary), group, and place among the
        sample's rows, one entry a row. In a paired design rows are sorted by pair, each pair's
        first group first.
    n_missing
        Per group, rows without this outcome (or without its baseline).
    categories
        Names of an ordinal outcome's categories, in order; empty otherwise.
    """

    name: str
    kind: Kind
    design: Design
    labels: tuple[str, ...]
    values: Array
    group: Codes
    places: Codes
    n_missing: tuple[int, ...]
    baseline: Array | None
    cluster: Codes | None
    inner: tuple[Codes, ...]
    categories: tuple[str, ...]
    rows: RowLedger

    @property
    def n(self) -> tuple[int, ...]:
        """Complete cases per group."""
        return tuple(int((self.group == g).sum()) for g in range(len(self.labels)))

    @property
    def n_clusters(self) -> tuple[int, ...]:
        """Clusters with a complete case per group (zeros without clusters)."""
        if self.cluster is None:
            return (0,) * len(self.labels)
        return tuple(
            int(np.unique(self.cluster[self.group == g]).size) for g in range(len(self.labels))
        )

    def of(self, group: int) -> Array:
        """Return the values of one group (in pair order where paired)."""
        values: Array = self.values[self.group == group]
        return values

    def between(self, first: int, second: int) -> "Outcome":
        """Return the same outcome for two of the groups."""
        chosen = (first, second)
        kept = np.isin(self.group, chosen)
        return replace(
            self,
            labels=tuple(self.labels[g] for g in chosen),
            values=self.values[kept],
            group=np.where(self.group[kept] == first, 0, 1).astype(np.int64),
            places=self.places[kept],
            n_missing=tuple(self.n_missing[g] for g in chosen),
            baseline=None if self.baseline is None else self.baseline[kept],
            cluster=None if self.cluster is None else self.cluster[kept],
            inner=tuple(codes[kept] for codes in self.inner),
        )

    @property
    def dust(self) -> float:
        """What floating-point arithmetic alone can make of values of this size."""
        return DUST * float(np.abs(self.values).max())

    @property
    def differences(self) -> Array:
        """First group less second within pairs; equal ones are equal to the last digit."""
        apart: Array = self.of(0) - self.of(1)
        sizes = tied(np.append(np.abs(apart), 0.0), dust=self.dust)
        return np.copysign(sizes[:-1], apart)

    @property
    def clusters_cross(self) -> bool:
        """Whether a cluster has members in more than one group."""
        if self.cluster is None:
            return False
        seen = pd.DataFrame({"cluster": self.cluster, "group": self.group}).drop_duplicates()
        return bool(seen["cluster"].duplicated().any())
