"""Compare two or more groups on several outcomes: effects first, then the design's test."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, html_of, summary_of
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import one_line
from alliance_stats.groups.comparing.choice_of_test import choose_test, pairwise_table, sources_of
from alliance_stats.groups.comparing.comparison_rows import (
    comparison_row,
    comparison_sections,
    contrast_of,
    describe_group,
    drawn_tables,
)
from alliance_stats.groups.comparing.finding import Finding, TestOptions, adjusted_p, not_tested
from alliance_stats.groups.comparing.group_samples import (
    CLUSTERS,
    Outcome,
    check_varies,
    read_outcome,
    read_samples,
)
from alliance_stats.groups.comparing.no_difference import bayes_factor_row, equivalence_row
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["GroupComparison", "OutcomeComparison", "Roles", "compare_groups", "compare_outcomes"]


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeComparison:
    """One outcome's complete cases and what its test found."""

    outcome: Outcome
    finding: Finding

    @property
    def contrast(self) -> str:
        """Return what is subtracted from what."""
        return contrast_of(self.outcome)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GroupComparison:
    """Groups compared on several outcomes; returned by :func:`compare_groups`.

    Attributes
    ----------
    group, labels
        The grouping column and its groups in order; differences are first minus second.
    comparisons
        One record per outcome.
    rows
        With one outcome its ledger; with several, the rows that any of them uses: each outcome's
        own steps are in :meth:`ledgers`.
    """

    group: str
    labels: tuple[str, ...]
    comparisons: tuple[OutcomeComparison, ...]
    rows: RowLedger

    __repr__ = one_line

    def __getitem__(self, outcome: str) -> OutcomeComparison:
        """Return one outcome's record."""
        for comparison in self.comparisons:
            if comparison.outcome.name == outcome:
                return comparison
        names = [comparison.outcome.name for comparison in self.comparisons]
        raise DataError(f"'{outcome}' was not compared. {did_you_mean(outcome, names)}")

    @property
    def method(self) -> str:
        """The tests, in a phrase."""
        tests = dict.fromkeys(
            c.finding.method for c in self.comparisons if c.finding.test != "none"
        )
        how = f"compared by {', '.join(tests)}" if tests else "described"
        return f"groups of '{self.group}' {how}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the numbers."""
        return tuple(
            f"Warning: {comparison.outcome.name}: {comparison.finding.note}."
            for comparison in self.comparisons
            if comparison.finding.note
        )

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per outcome.

        Columns: ``outcome, contrast, estimand, estimate, std_error, conf_low, conf_high,
        interval_method, method, statistic_name, statistic, df, df1, df2, p_value, p_holm, p_fdr,
        p_smallest``; with two groups ``hedges_g, hedges_g_low, hedges_g_high, hedges_g_scale, icc,
        superiority(_low, _high), odds_ratio(_low, _high), detectable, detectable_scale``; then per
        group i ``group_i, n_i, missing_i, mean_i, sd_i`` (the mean of a 0/1 outcome is its
        proportion) and, with `cluster`, ``clusters_i``; and ``note``. ``p_holm`` and ``p_fdr``
        correct over the rows of this table.
        """
        check_conf_level(conf_level)
        frame = pd.DataFrame(
            [comparison_row(c.outcome, c.finding, conf_level) for c in self.comparisons]
        )
        p = frame["p_value"].to_numpy()
        after = int(frame.columns.get_indexer(["p_value"])[0]) + 1
        frame.insert(after, "p_holm", adjusted_p(p, adjust="holm"))
        frame.insert(after + 1, "p_fdr", adjusted_p(p, adjust="fdr"))
        return frame

    def describe(self) -> pd.DataFrame:
        """Return one row per outcome and group.

        ``outcome, kind, group, n, n_missing, mean, sd, median, q1, q3, minimum, maximum, count,
        n_clusters``:
        quartiles by linear interpolation (R's type 7); ``count`` is the number of ones of a 0/1
        outcome; ordinal outcomes are summarised by category number from 0, without mean and SD.
        """
        return pd.DataFrame(
            [
                describe_group(c.outcome, g)
                for c in self.comparisons
                for g in range(len(c.outcome.labels))
            ]
        )

    def ledgers(self) -> pd.DataFrame:
        """Return one row per outcome and step: ``outcome, reason, rows_set_aside, rows_left``...

        Each outcome uses its own complete cases (complete pairs, where they are matched).
        """
        tables = [c.outcome.rows.tidy().assign(outcome=c.outcome.name) for c in self.comparisons]
        frame = pd.concat(tables, ignore_index=True)
        return frame[["outcome", *(c for c in frame.columns if c != "outcome")]]

    def pairwise(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per outcome and pair of groups, for more than two groups.

        Games-Howell after Welch's analysis of variance, Tukey-Kramer after analysis of variance
        and covariance: ``p_value`` and interval hold for all pairs jointly. Otherwise Mann-Whitney,
        Fisher or the mixed model: those of one pair, with ``p_holm`` for all. No p-value here is
        corrected for several outcomes. Outcomes that were described but not tested have no row.
        """
        tested = [c for c in self.comparisons if c.finding.test != "none"]
        chosen = tested or self.comparisons  # with none tested, the first says why
        tables = [pairwise_table(c.outcome, c.finding, conf_level) for c in chosen]
        return pd.concat(tables, ignore_index=True)

    def equivalence(
        self, *, margin: float | Mapping[str, float], scale: str = "raw", alpha: float = 0.05
    ) -> pd.DataFrame:
        """Return two one-sided tests of each outcome against a margin that would matter.

        Parameters
        ----------
        margin
            In units of the outcome (``scale="raw"``) or in pooled SDs (``scale="sd"``); one for
            all outcomes, or a mapping that names those to test.
        alpha
            Level of each one-sided test; the interval shown is the ``1 - 2 alpha`` one.
        """
        names = [c.outcome.name for c in self.comparisons]
        margins = margin if isinstance(margin, Mapping) else dict.fromkeys(names, margin)
        rows = []
        for name, value in margins.items():
            one = self[name]
            rows.append(equivalence_row(one.outcome, one.finding, value, scale=scale, alpha=alpha))
        return pd.DataFrame(rows)

    def bayes_factors(self, *, prior_scale: float = math.sqrt(0.5)) -> pd.DataFrame:
        """Return the JZS Bayes factor of each outcome's t test: ``bf10`` for a difference.

        `prior_scale` is the scale of the Cauchy prior on the standardised difference.
        """
        return pd.DataFrame([bayes_factor_row(c.outcome, prior_scale) for c in self.comparisons])

    def glance(self) -> pd.DataFrame:
        """Return one row: design, groups, outcomes, rows used, clusters."""
        first = self.comparisons[0].outcome
        return pd.DataFrame(
            {
                "design": [first.design],
                "n_groups": [len(self.labels)],
                "n_outcomes": [len(self.comparisons)],
                "nobs": [self.rows.n_used],
                "n_set_aside": [self.rows.n_set_aside],
                "n_clusters": [self.rows.steps[-1].units_left.get(CLUSTERS, math.nan)],
            }
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return groups, differences, effect sizes and what the design can show, as data."""
        sections = comparison_sections(self.tidy(conf_level=conf_level), conf_level=conf_level)
        sizes: dict[str, float] = {"rows": self.rows.n_used, "groups": len(self.labels)}
        clusters = self.rows.steps[-1].units_left.get(CLUSTERS)
        sizes |= {} if clusters is None else {"clusters": clusters}
        drawn = drawn_tables(self.method)
        return Account.of(
            self,
            sizes,
            sections,
            drawn=drawn,
            sources=sources_of(c.finding.test for c in self.comparisons),
        )

    summary = summary_of
    _repr_html_ = html_of


@dataclass(frozen=True, slots=True)
class Roles:
    """The role of each column."""

    group: str
    cluster: str | Sequence[str] | None = None
    baseline: str | None = None
    paired: str | None = None


@renamed(n_permutations="n_resamples")
def compare_groups(
    data: pd.DataFrame,
    *,
    outcomes: Sequence[str] | str,
    group: str,
    cluster: str | Sequence[str] | None = None,
    baseline: str | None = None,
    paired: str | None = None,
    test: str | Mapping[str, str] = "auto",
    n_resamples: int = 9999,
    seed: Seed = None,
) -> GroupComparison:
    """Compare groups on one or more outcomes.

    Parameters
    ----------
    data
        One row per case (a member where `cluster` is given). It is not changed.
    outcomes
        Numeric columns (continuous; binary where they hold 0 and 1 only) or ordered categories.
        Each outcome uses its own complete cases.
    group
        Column of group labels. Differences are first minus second in sorted order; a categorical
        column's order is kept, so use one to reverse a contrast.
    cluster
        Column of the cluster (family) that members are nested in; or several, outermost first
        (``["therapist", "family"]``), inner ids being read within outer ones. The mixed model has
        an intercept for each; everything else uses the outermost, and g is given for one level
        only.
    baseline
        Numeric column of the outcome's baseline: analysis of covariance.
    paired
        Column that identifies matched pairs.
    test
        ``"auto"``, the name of a test, or a mapping from outcome to name. The default follows
        from the outcome's type and the design and is named in the row.
    n_resamples, seed
        Monte Carlo permutation tests: draws, and the seed or generator they need.

    Returns
    -------
    GroupComparison

    Raises
    ------
    DataError
        If a column is missing or of the wrong type, there are fewer than two groups, labels look
        alike or are blank, the only outcome is constant, or the test does not fit.
    NotIdentifiedError
        If the data hold no information on what the test of the only outcome needs, such as a
        variance. Among several outcomes, such an outcome is described, and its row says why it was
        not tested.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import compare_groups
    >>> data = pd.DataFrame(
    ...     {"group": ["a"] * 5 + ["b"] * 5, "score": [4, 5, 6, 5, 7, 2, 4, 3, 5, 3]}
    ... )
    >>> found = compare_groups(data, outcomes=["score"], group="group")
    >>> found.tidy()[["contrast", "estimate", "conf_low", "conf_high", "p_value"]].round(3)
      contrast  estimate  conf_low  conf_high  p_value
    0    a - b       2.0     0.337      3.663    0.024
    """
    return compare_outcomes(
        data,
        [outcomes] if isinstance(outcomes, str) else list(outcomes),
        Roles(group, cluster, baseline, paired),
        test=test,
        options=TestOptions(n_resamples=n_resamples, seed=seed),
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
    """Compare groups on `names`.

    One outcome that cannot be tested (it is empty, or constant) is an error unless it may be
    described; among several it is described, and its row says why it was not tested.
    """
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
        if len(names) == 1 and not (describe_constant and outcome.values.size):
            check_varies(outcome)
        compare = _compare if len(names) == 1 else _compare_or_describe
        comparisons.append(compare(outcome, asked.get(name, "auto"), options))
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
    return _described(outcome, note)


def _compare_or_describe(outcome: Outcome, asked: str, options: TestOptions) -> OutcomeComparison:
    """Compare one of several outcomes; where its test is not identified, say why instead."""
    try:
        return _compare(outcome, asked, options)
    except NotIdentifiedError as found:
        return _described(outcome, f"described, not tested. {str(found).rstrip('.')}")


def _described(outcome: Outcome, note: str) -> OutcomeComparison:
    difference = math.nan
    if len(outcome.labels) == 2 and min(outcome.n) > 0:
        difference = float(outcome.of(0).mean() - outcome.of(1).mean())
    estimand = "risk difference" if outcome.kind == "binary" else "mean difference"
    if outcome.kind == "ordinal":
        difference, estimand = math.nan, "Cliff's delta"
    return OutcomeComparison(outcome, not_tested(estimand, difference, note))


def _too_few(outcome: Outcome) -> str:
    """Return why an outcome can be described only, or nothing."""
    if outcome.values.size == 0:
        return "no complete case: not tested"
    if np.ptp(outcome.values) == 0:
        return (
            f"all {outcome.values.size} values are {outcome.value_in_words}: described, not tested"
        )
    units, unit = outcome.n, "case"
    if outcome.cluster is not None and not outcome.clusters_cross:
        # whole clusters are in one group or the other: they, not members, are what is compared
        units, unit = outcome.n_clusters, "cluster"
    small = next((g for g, n in enumerate(units) if n < 2), None)
    if small is None:
        return ""
    found = f"one {unit}" if units[small] else f"no {unit}"
    return f"group '{outcome.labels[small]}' has {found}: described, not tested"
