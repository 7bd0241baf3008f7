"""Compare two or more groups on several outcomes: effects first, then the design's test."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.groups.comparison import GroupComparison, OutcomeComparison
from alliance_stats.groups.finding import Seed, TestOptions, not_tested
from alliance_stats.groups.reading import check_varies, read_outcome, read_samples
from alliance_stats.groups.registry import choose_test
from alliance_stats.groups.samples import Outcome

__all__ = ["Roles", "compare_groups", "compare_outcomes"]


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column plays which part."""

    group: str
    cluster: str | Sequence[str] | None = None
    baseline: str | None = None
    paired: str | None = None


def compare_groups(
    data: pd.DataFrame,
    *,
    outcomes: Sequence[str] | str,
    group: str,
    cluster: str | Sequence[str] | None = None,
    baseline: str | None = None,
    paired: str | None = None,
    test: str | Mapping[str, str] = "auto",
    n_permutations: int = 9999,
    seed: Seed = None,
) -> GroupComparison:
    """Compare groups on one or more outcomes.

    Parameters
    ----------
    data
        One row a case (a member where `cluster` is given). It is not changed.
    outcomes
        Numeric columns (continuous; binary where they hold 0 and 1 only) or ordered categories.
        Each outcome uses its own complete cases.
    group
        Column of group labels. Differences are first minus second in sorted order; a categorical
        column's order is kept, so that is how to turn a contrast round.
    cluster
        Column of the cluster (family) that members are nested in; or several, outermost first
        (``["therapist", "family"]``), inner ids being read within outer ones. The mixed model has
        an intercept for each; all else goes by the outermost, and g is given for one level only.
    baseline
        Numeric column of the outcome's baseline: analysis of covariance.
    paired
        Column that says which two cases are matched.
    test
        ``"auto"``, the name of a test, or a mapping from outcome to name. The default follows
        from the outcome's type and the design and is named in the row.
    n_permutations, seed
        Monte Carlo permutation tests: draws, and the seed or generator they need.

    Returns
    -------
    GroupComparison

    Raises
    ------
    DataError
        If a column is missing or of the wrong type, there are fewer than two groups, labels look
        alike or are blank, an outcome is constant, or the test does not fit.
    NotIdentifiedError
        If the data hold no information on what the test needs, as a variance.
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1; got {n_permutations}.")
    return compare_outcomes(
        data,
        [outcomes] if isinstance(outcomes, str) else list(outcomes),
        Roles(group, cluster, baseline, paired),
        test=test,
        options=TestOptions(n_permutations=n_permutations, seed=seed),
    )


def compare_outcomes(
    data: pd.DataFrame,
    names: list[str],
    roles: Roles,
    *,
    test: str | Mapping[str, str],
    options: TestOptions,
    describe_constant: bool = False,
) -> GroupComparison:
    """Compare groups on `names`; a constant outcome is an error unless it may be described."""
    samples = read_samples(
        data,
        outcomes=names,
        group=roles.group,
        cluster=roles.cluster,
        baseline=roles.baseline,
        paired=roles.paired,
    )
    asked = dict.fromkeys(names, test) if isinstance(test, str) else dict(test)
    unknown = next((name for name in asked if name not in names), None)
    if unknown is not None:
        raise DataError(
            f"test= names '{unknown}', which is not an outcome. {did_you_mean(unknown, names)}"
        )
    comparisons = []
    for name in names:
        outcome = read_outcome(samples, name)
        if not (describe_constant and outcome.values.size):
            check_varies(outcome)
        comparisons.append(_compare(outcome, asked.get(name, "auto"), options))
    rows = comparisons[0].outcome.rows
    if len(names) > 1:
        used = np.zeros(len(samples.data), dtype=bool)
        for one in comparisons:
            used[one.outcome.places] = True
        _, rows = samples.rows.keep(samples.data, used, reason="complete for none of the outcomes")
    return GroupComparison(samples.group_column, samples.labels, tuple(comparisons), rows)


def _compare(outcome: Outcome, asked: str, options: TestOptions) -> OutcomeComparison:
    _, chosen = choose_test(outcome, asked)
    note = _too_few(outcome)
    if not note:
        return OutcomeComparison(outcome, chosen.run(outcome, options))
    difference = math.nan
    if len(outcome.labels) == 2 and min(outcome.n) > 0:
        difference = float(outcome.of(0).mean() - outcome.of(1).mean())
    estimand = "risk difference" if outcome.kind == "binary" else "mean difference"
    if outcome.kind == "ordinal":
        difference, estimand = math.nan, "Cliff's delta"
    return OutcomeComparison(outcome, not_tested(estimand, difference, note))


def _too_few(outcome: Outcome) -> str:
    """Return why an outcome can be described only, or nothing."""
    if np.ptp(outcome.values) == 0:
        return f"all {outcome.values.size} values are {outcome.values[0]:g}: described, not tested"
    units, unit = outcome.n, "case"
    if outcome.cluster is not None and not outcome.clusters_cross:
        # whole clusters are in one group or the other: they, not members, are what is compared
        units, unit = outcome.n_clusters, "cluster"
    small = next((g for g, n in enumerate(units) if n < 2), None)
    if small is None:
        return ""
    found = f"one {unit}" if units[small] else f"no {unit}"
    return f"group '{outcome.labels[small]}' has {found}: described, not tested"
