"""From a frame to the input of a test: one outcome's complete cases, its groups, its design."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    check_magnitude,
    describe_rows,
    finite_or_missing,
    group_codes,
    not_a_number,
    require_columns,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import DUST, Array, Booleans, Integers
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling

__all__ = [
    "CLUSTERS",
    "Design",
    "Kind",
    "Outcome",
    "Samples",
    "check_varies",
    "grouped",
    "read_outcome",
    "read_samples",
    "tied",
]

CLUSTERS = "cluster"  # the ledger's name of the level that members are nested in

Kind = Literal["continuous", "ordinal", "binary"]
Design = Literal["independent", "covariate", "paired", "clustered"]


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The rows whose group is known, and their structure.

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
    group: Integers
    labels: tuple[str, ...]
    cluster: Integers | None
    inner: tuple[Integers, ...]
    pair: Integers | None
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
    """Return `values`, with neighbours no further apart than `dust` merged.

    0.1 + 0.2 and 0.3, or 4.1 - 4.0 and 1.1 - 1.0, are one value: they must tie in ranks, and do not
    vary where nothing else does.
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
        sample's rows, one entry per row. In a paired design rows are sorted by pair, each pair's
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
    group: Integers
    places: Integers
    n_missing: tuple[int, ...]
    baseline: Array | None
    cluster: Integers | None
    inner: tuple[Integers, ...]
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
    def value_in_words(self) -> str:
        """The first value, as a category where it is one."""
        value = self.values[0]
        return self.categories[int(value)] if self.categories else f"{value:g}"

    @property
    def dust(self) -> float:
        """The size of floating-point errors for values of this size."""
        return DUST * float(np.abs(self.values).max(initial=0.0))

    @property
    def differences(self) -> Array:
        """First group minus second within pairs; equal ones are equal to the last digit."""
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


def read_samples(
    data: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    group: str,
    cluster: str | Sequence[str] | None = None,
    baseline: str | None = None,
    paired: str | None = None,
) -> Samples:
    """Check the frame, number its groups, and set aside rows whose group is not known."""
    data = check_frame(data)
    given: list[Any] = list(cluster) if isinstance(cluster, list | tuple) else [cluster]
    nesting = [name for name in given if name is not None]
    require_columns(data, [*outcomes, group, *nesting, baseline, paired])
    _check_roles(outcomes, group, nesting, baseline, paired)
    units = [*nesting, *([] if paired is None else [paired])]
    levels: dict[str, tuple[str, ...]] = {} if paired is None else {"pair": (paired,)}
    if nesting:
        levels[CLUSTERS] = (nesting[0],)
    levels |= {name: tuple(nesting[: i + 1]) for i, name in enumerate(nesting) if i > 0}
    rows = RowLedger.start(data, levels)
    for column in [group, *units]:
        data, rows = rows.keep(data, data[column].notna(), reason=f"'{column}' is missing")
    codes, labels = grouped(data, group)
    for i, column in enumerate(nesting):
        outer = pd.Series(_within(data, nesting[:i]), index=data.index) if i else None
        check_spelling(data[column], kind="cluster", within=outer)
    if paired is not None:
        whole = _in_whole_pairs(data, paired, codes, labels)
        data, rows = rows.keep(data, whole, reason="its pair has no case in the other group")
        codes = codes[whole]
    return Samples(
        data=data,
        group_column=group,
        group=codes,
        labels=labels,
        cluster=group_codes(data[nesting[0]])[0] if nesting else None,
        inner=tuple(_within(data, nesting[: i + 1]) for i in range(1, len(nesting))),
        pair=None if paired is None else group_codes(data[paired])[0],
        baseline=baseline,
        rows=rows,
    )


def read_outcome(samples: Samples, name: str) -> Outcome:
    """Take one outcome's complete cases and count what is missing in each group."""
    values, kind, categories = _read_values(samples.data, name)
    if samples.cluster is not None:
        check_magnitude(values, name, power=4)
    complete = ~np.isnan(values)
    baseline = None
    reason = f"'{name}' is missing"
    if samples.baseline is not None:
        baseline = finite_or_missing(samples.data, samples.baseline)
        check_magnitude(baseline, samples.baseline)
        complete &= ~np.isnan(baseline)
        reason = f"'{name}' or '{samples.baseline}' is missing"
    observed = complete
    if samples.pair is not None:
        full = np.bincount(samples.pair, weights=complete) == len(samples.labels)
        complete = complete & full[samples.pair]
        reason = f"'{name}' is missing in one or both of a pair"
    _, rows = samples.rows.keep(samples.data, complete, reason=reason)
    order = np.flatnonzero(complete)
    if samples.pair is not None:
        order = order[np.lexsort((samples.group[order], samples.pair[order]))]
    outcome = Outcome(
        name=name,
        kind=kind,
        design=samples.design,
        labels=samples.labels,
        values=values[order],
        group=samples.group[order],
        places=order,
        n_missing=tuple(
            int((~observed[samples.group == g]).sum()) for g in range(len(samples.labels))
        ),
        baseline=None if baseline is None else baseline[order],
        cluster=None if samples.cluster is None else samples.cluster[order],
        inner=tuple(codes[order] for codes in samples.inner),
        categories=categories,
        rows=rows,
    )
    return outcome


def _read_values(data: pd.DataFrame, name: str) -> tuple[Array, Kind, tuple[str, ...]]:
    column = data[name]
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        check_spelling(column)
        codes = column.cat.codes.to_numpy().astype(float)
        codes[codes < 0] = np.nan
        return codes, "ordinal", tuple(str(label) for label in column.cat.categories)
    if not _holds_numbers(column):
        words = sorted(map(str, column.dropna().unique()))
        one = f": (data['{name}'] == '{words[-1]}').astype(int)" if len(words) == 2 else ""
        raise DataError(
            f"Outcome '{name}' is not numeric; its values are of type {column.dtype}"
            f"{not_a_number(column)}. Give a numeric column, a 0/1 column{one}, or an ordered "
            "category (pandas.Categorical(..., ordered=True))."
        )
    values = check_magnitude(finite_or_missing(data, name), name)
    observed = values[~np.isnan(values)]
    values = tied(values, dust=DUST * float(np.abs(observed).max(initial=0.0)))
    binary = bool(np.isin(observed, (0.0, 1.0)).all())
    return values, "binary" if binary else "continuous", ()


def _holds_numbers(column: pd.Series) -> bool:
    """Distinguish numbers (including true and false) from text, categories and dates."""
    if column.dtype != object:
        return bool(pd.api.types.is_numeric_dtype(column.dtype))
    kinds = ("boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty")
    return pd.api.types.infer_dtype(column, skipna=True) in kinds


def check_varies(outcome: Outcome) -> None:
    """Raise if the outcome has no complete case or one value throughout."""
    if outcome.values.size == 0:
        raise DataError(
            f"Outcome '{outcome.name}' has no complete case: it is missing in every row "
            f"({outcome.rows})."
        )
    if np.ptp(outcome.values) == 0:
        raise DataError(
            f"Outcome '{outcome.name}' is constant: all {outcome.values.size} values are "
            f"{outcome.value_in_words}. There is nothing to compare; leave it out."
        )


def _check_roles(
    outcomes: Sequence[str],
    group: str,
    nesting: Sequence[str],
    baseline: str | None,
    paired: str | None,
) -> None:
    if not outcomes:
        raise DataError("outcomes is empty: name at least one outcome column.")
    named = [*outcomes, group, *nesting, *(c for c in (baseline, paired) if c is not None)]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"Column '{twice}' is given twice; outcomes, group, cluster, baseline and paired "
            "must be different columns."
        )
    if paired is not None and (nesting or baseline is not None):
        other = "cluster" if nesting else "baseline"
        raise DataError(
            f"paired= cannot be combined with {other}=: compare the pairs' differences, or fit a "
            "mixed model with lmm."
        )


def grouped(data: pd.DataFrame, group: str) -> tuple[Integers, tuple[str, ...]]:
    """Return each row's group as a number (-1 where missing), and at least two groups' names."""
    check_spelling(data[group])
    codes, index = group_codes(data[group])
    labels = tuple(str(label) for label in index)
    if len(labels) < 2:
        found = f"only the group '{labels[0]}'" if labels else "no group at all"
        raise DataError(f"Column '{group}' holds {found}; a comparison needs at least two groups.")
    return codes, labels


def _within(data: pd.DataFrame, columns: list[str]) -> Integers:
    """Return the number of each row's unit, units being what the columns together identify."""
    return np.asarray(data.groupby(columns, observed=True, sort=True).ngroup(), dtype=np.int64)


def _in_whole_pairs(
    data: pd.DataFrame, paired: str, group: Integers, labels: tuple[str, ...]
) -> Booleans:
    """Return which rows have their match in the other group; refuse anything that is not a pair."""
    if len(labels) != 2:
        raise DataError(
            f"paired='{paired}' needs exactly two groups to match; got {len(labels)}: "
            + ", ".join(labels)
            + "."
        )
    check_spelling(data[paired], kind="pair")
    pairs = group_codes(data[paired])[0]
    twice = pd.DataFrame({"pair": pairs, "group": group}).duplicated(keep=False).to_numpy()
    if twice.any():
        raise DataError(
            f"A pair of '{paired}' has more than one row in the same group, in "
            f"{describe_rows(twice, data.index)}; a pair is one case of each group."
        )
    whole: Booleans = (np.bincount(pairs) == 2)[pairs]
    if not whole.any():
        raise DataError(
            f"No value of '{paired}' is in both groups, so nothing is matched. Give both cases "
            "of a pair the same value, or leave paired= out."
        )
    return whole
