"""Do groups end at different rates? Log-rank tests, with the nesting kept."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_choice
from alliance_stats.engine.multiple_tests import adjusted_p
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.named import named
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, whole_seed
from alliance_stats.survival.curves.cluster_permutation import PermutationTest, permute_clusters
from alliance_stats.survival.rows.time_at_risk import (
    Intervals,
    Spells,
    read_compared,
    read_intervals,
)

__all__ = ["LogRank", "log_rank"]


Weight = Callable[[Array, Array], Array]
"""At risk (k,) and events (k,) of all groups together -> weight of each time (k,)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LogRank:
    """A log-rank test of equal hazards.

    Attributes
    ----------
    groups
        Names of the g groups.
    nobs, observed, expected
        (g,) rows, events, and events expected were the hazards equal (unweighted).
    score, covariance
        (g,) weighted observed - expected, and its (g, g) hypergeometric covariance.
    method
        Which test.
    permutation
        The permutation test where whole clusters were permuted, else None.
    intervals, codes
        The rows used, and the group of each.
    weight
        Function from the numbers at risk and of events to the weight of each time.
    """

    groups: tuple[str, ...]
    nobs: Integers
    observed: Array
    expected: Array
    score: Array
    covariance: Array
    method: str
    permutation: PermutationTest | None
    intervals: Intervals
    codes: Integers
    weight: Weight
    _columns: tuple[Hashable, Hashable | None]
    _permutations: tuple[int, int | None]

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        return self.intervals.rows

    @property
    def statistic(self) -> float:
        """Chi-squared statistic; of the permutation test where clusters were permuted."""
        if self.permutation is not None:
            return self.permutation.statistic
        # One group's score follows from the others', so the last is left out.
        score, covariance = self.score[:-1], self.covariance[:-1, :-1]
        return float(score @ np.linalg.solve(covariance, score))

    @property
    def df(self) -> int:
        """Groups minus one."""
        return len(self.groups) - 1

    @property
    def p_value(self) -> float:
        """P-value: from chi-squared(df), or the share of permutations at least as extreme."""
        if self.permutation is not None:
            return self.permutation.p_value
        return float(stats.chi2.sf(self.statistic, self.df))

    def tidy(self) -> pd.DataFrame:
        """Return ``group, nobs, n_event, n_expected``, one row per group."""
        return pd.DataFrame(
            {
                "group": self.groups,
                "nobs": self.nobs,
                "n_event": self.observed.astype(np.int64),
                "n_expected": self.expected,
            }
        )

    def pairwise(self, *, adjust: str = "holm") -> pd.DataFrame:
        """Test each pair of groups, using only the rows of these two.

        Parameters
        ----------
        adjust
            ``"holm"`` (1979, Scandinavian Journal of Statistics 6:65-70), ``"bonferroni"`` or
            ``"none"``, over the pairs.

        Returns
        -------
        DataFrame
            ``contrast, statistic, df, p_value, p_adjusted``, one row per pair. With clusters, those
            of the two groups are permuted.

        Raises
        ------
        NotIdentifiedError
            Two groups that were never at risk together when an event happened.
        """
        check_choice(adjust, ("holm", "bonferroni", "none"), name="adjust")
        pairs = list(combinations(range(len(self.groups)), 2))
        tests = [_of_two(self, a, b) for a, b in pairs]
        p_value = np.array([test.p_value for test in tests])
        return pd.DataFrame(
            {
                "contrast": [f"{self.groups[b]} - {self.groups[a]}" for a, b in pairs],
                "statistic": [test.statistic for test in tests],
                "df": [float(test.df) for test in tests],
                "p_value": p_value,
                "p_adjusted": p_value if adjust == "none" else adjusted_p(p_value, adjust),
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return ``method, statistic, df, p_value, p_smallest, nobs, n_event`` in one row.

        ``p_smallest`` is the smallest p-value the design can reach (0 for the chi-squared test).
        """
        return pd.DataFrame(
            {
                "method": [self.method],
                "statistic": [self.statistic],
                "df": [self.df],
                "p_value": [self.p_value],
                "p_smallest": [0.0 if self.permutation is None else self.permutation.p_smallest],
                "nobs": [self.rows.n_used],
                "n_event": [int(self.observed.sum())],
            }
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return () if self.permutation is None else tuple(self.permutation.warnings())

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return events by group and the test, as data; there are no intervals."""
        del conf_level
        columns = {
            "nobs": Column("rows", "count"),
            "n_event": Column("events", "count"),
            "n_expected": Column("expected"),
        }
        counted = Section("Group", self.tidy(), names=("group",), columns=columns)
        tested = Section("Test", self.glance(), names=(), statistic="chi-squared")
        sizes = {"rows": self.rows.n_used, "events": int(np.sum(self.observed))}
        remarks = () if self.permutation is None else (str(self.permutation),)
        drawn = self.permutation is not None and not self.permutation.exact
        sources = ("mantel1966",) if self.permutation is None else ("mantel1966", "phipson2010")
        parts = (counted, tested)
        return Account.of(self, sizes, parts, remarks, drawn=drawn, sources=sources)

    summary = summary_of
    _repr_html_ = html_of


@renamed(n_permutations="n_resamples")
def log_rank(
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    group: Hashable,
    entry: Hashable | None = None,
    strata: Hashable | Sequence[Hashable] | None = None,
    rho: float = 0.0,
    gamma: float = 0.0,
    weights: str = "fleming-harrington",
    cluster: Hashable | None = None,
    n_resamples: int = 9999,
    seed: Seed = None,
) -> LogRank:
    """Test whether groups share one hazard.

    The score of a group is ``sum over t of w(t) (d_g(t) - d(t) n_g(t) / n(t))`` with its
    hypergeometric covariance (Mantel 1966), summed over `strata`; ``w(t) = S(t-)^rho (1 -
    S(t-))^gamma`` with S the Kaplan-Meier curve of all groups together within the stratum
    (Fleming & Harrington 1991, doi:10.1002/9781118150672). ``rho=0, gamma=0`` is the log-rank
    test; ``gamma=1`` looks at late differences, ``rho=1`` at early ones.

    With `cluster`, the groups belong to whole clusters (the framework of a therapist, say), whose
    members are not independent: the p-value comes from permuting the group labels of whole
    clusters, all allocations where they are at most `n_resamples`, else `n_resamples` random
    ones, including the observed one.

    Parameters
    ----------
    data
        One row per unit that can end (or, with `entry`, per interval at risk).
    time, event, entry
        Columns, as in :func:`kaplan_meier`.
    group
        Column: the groups to compare.
    strata
        Column or columns: the test compares within their values only.
    rho, gamma
        Exponents of the weights, 0 or above.
    weights
        ``"fleming-harrington"`` (by `rho` and `gamma`), ``"gehan-breslow"`` (the number at risk:
        early differences count most; Breslow 1970, doi:10.1093/biomet/57.3.579) or
        ``"tarone-ware"`` (its square root; Tarone & Ware 1977, doi:10.1093/biomet/64.1.156). The
        last two depend on who is censored when.
    cluster
        Column: whole clusters are permuted.
    n_resamples, seed
        For random permutations; `seed` is then required.

    Returns
    -------
    LogRank

    Raises
    ------
    DataError
        Fewer than two groups, a cluster whose members are in several groups, impossible times.
    NotIdentifiedError
        No event at a time at which two groups were at risk.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, log_rank
    >>> families = endings(example_study()).units
    >>> test = log_rank(families, time="time", event="event", group="parent_trauma")
    >>> test.tidy().round(3)
      group  nobs  n_event  n_expected
    0     0   145       38       46.47
    1     1    95       36       27.53
    """
    if rho < 0 or gamma < 0:
        raise ValueError(f"rho and gamma must be 0 or above; got {rho} and {gamma}.")
    check_choice(weights, _WEIGHTS, name="weights")
    if weights != "fleming-harrington" and (rho or gamma):
        raise ValueError(
            f"rho and gamma belong to Fleming and Harrington's weights, not {weights!r}."
        )
    if group in (time, event):
        raise ValueError(f"group={group!r} is the outcome itself: it cannot be compared by it.")
    if cluster is not None and strata is not None:
        raise ValueError(
            "strata= and cluster= cannot go together: whole clusters are permuted over the whole "
            "sample. Test within one stratum at a time, or without clusters."
        )
    intervals = read_intervals(
        data, time=time, event=event, entry=entry, strata=strata, cluster=cluster, also=[group]
    )
    if not intervals.event.any():
        raise NotIdentifiedError(
            f"None of {plural(len(intervals.event), 'row')} has the event '{event}': there are no "
            "hazards to compare."
        )
    codes, labels = read_compared(intervals.frame, group)
    return _test(
        intervals,
        codes,
        labels,
        (group, cluster),
        weight=_weight(weights, rho, gamma),
        method=_method(weights, (rho, gamma), strata is not None),
        permutations=(n_resamples, seed),
    )


def _test(
    intervals: Intervals,
    codes: Integers,
    labels: tuple[str, ...],
    columns: tuple[Hashable, Hashable | None],
    *,
    weight: Weight,
    method: str,
    permutations: tuple[int, Seed],
) -> LogRank:
    group, cluster = columns
    n_groups = len(labels)
    row_score = np.zeros(len(codes))
    parts = []
    for number in range(len(intervals.strata)):
        pick = intervals.stratum == number
        parts.append(_stratum_score(intervals.spells(number), codes[pick], n_groups, weight))
        row_score[pick] = parts[-1].row_score
    covariance = np.sum([part.covariance for part in parts], axis=0)
    _refuse_no_comparison(covariance, group, labels)
    permutation = None
    if intervals.cluster is not None:
        permutation = permute_clusters(
            row_score,
            codes,
            intervals.cluster,
            names=(str(group), str(cluster)),
            n_permutations=permutations[0],
            seed=permutations[1],
        )
    return LogRank(
        groups=labels,
        nobs=np.bincount(codes, minlength=n_groups),
        observed=np.sum([part.observed for part in parts], axis=0),
        expected=np.sum([part.expected for part in parts], axis=0),
        score=np.sum([part.score for part in parts], axis=0),
        covariance=covariance,
        method=method if permutation is None else f"{method}, whole clusters permuted",
        permutation=permutation,
        intervals=intervals,
        codes=codes,
        weight=weight,
        _columns=columns,
        _permutations=(permutations[0], whole_seed(permutations[1])),
    )


def _of_two(test: LogRank, a: int, b: int) -> LogRank:
    own = (test.codes == a) | (test.codes == b)
    rows = test.intervals.where(own)
    if rows.cluster is not None:
        rows = replace(rows, cluster=np.unique(rows.cluster, return_inverse=True)[1])
    return _test(
        rows,
        (test.codes[own] == b).astype(np.int64),
        (test.groups[a], test.groups[b]),
        test._columns,
        weight=test.weight,
        method=test.method.removesuffix(", whole clusters permuted"),
        permutations=test._permutations,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _StratumScore:
    observed: Array
    expected: Array
    score: Array
    covariance: Array
    row_score: Array


def _stratum_score(
    spells: Spells, group: Integers, n_groups: int, weight_of: Weight
) -> _StratumScore:
    entry, exit_, event = spells.entry, spells.exit, spells.event > 0
    times = np.unique(exit_[event])
    n_group = np.zeros((n_groups, len(times)))
    d_group = np.zeros((n_groups, len(times)))
    for g in range(n_groups):
        mine = group == g
        entered = np.searchsorted(np.sort(entry[mine]), times, side="left")
        left = np.searchsorted(np.sort(exit_[mine]), times, side="left")
        n_group[g] = entered - left
        position = np.searchsorted(times, exit_[mine & event])
        d_group[g] = np.bincount(position, minlength=len(times))
    n, d = n_group.sum(axis=0), d_group.sum(axis=0)
    weight = weight_of(n, d)
    share = n_group / n
    # Hypergeometric variance of d_g given the margins; a single unit at risk leaves none.
    spread = weight**2 * d * np.divide(n - d, n - 1, out=np.zeros_like(n), where=n > 1)
    covariance = np.diag((share * spread).sum(axis=1)) - (share * spread) @ share.T
    # What a row adds to the score of its group: its event, less its share of the hazard.
    hazard = np.concatenate(([0.0], np.cumsum(weight * d / n)))
    leaves = np.searchsorted(times, exit_, side="right")
    row_score = hazard[np.searchsorted(times, entry, side="right")] - hazard[leaves]
    row_score[event] += weight[leaves[event] - 1]
    return _StratumScore(
        observed=d_group.sum(axis=1),
        expected=(share * d).sum(axis=1),
        score=(weight * (d_group - share * d)).sum(axis=1),
        covariance=covariance,
        row_score=row_score,
    )


@named
def _fleming_harrington(n: Array, d: Array, *, rho: float, gamma: float) -> Array:
    survival = np.cumprod(1.0 - d / n)
    before = np.concatenate(([1.0], survival[:-1])) if len(n) else survival
    return np.asarray(before**rho * (1.0 - before) ** gamma)


@named
def _at_risk(n: Array, d: Array, *, root: bool) -> Array:
    return np.sqrt(n + 0.0 * d) if root else np.asarray(n + 0.0 * d)


_WEIGHTS = ("fleming-harrington", "gehan-breslow", "tarone-ware")


def _weight(weights: str, rho: float, gamma: float) -> Weight:
    if weights == "fleming-harrington":
        return partial(_fleming_harrington, rho=rho, gamma=gamma)
    return partial(_at_risk, root=weights == "tarone-ware")


def _refuse_no_comparison(covariance: Array, group: Hashable, labels: tuple[str, ...]) -> None:
    alone = np.flatnonzero(np.diag(covariance) <= 0)
    if len(alone):
        raise NotIdentifiedError(
            f"Group '{labels[alone[0]]}' of column '{group}' was never at risk together with "
            "another group when an event happened (with the weights asked for), so its hazard "
            "cannot be compared."
        )
    if np.linalg.matrix_rank(covariance, hermitian=True) < len(labels) - 1:
        raise NotIdentifiedError(
            f"The groups of column '{group}' fall into sets that were never at risk together "
            "(in the same stratum, at the time of an event): their hazards cannot be compared. "
            "Test the sets apart."
        )


def _method(weights: str, exponents: tuple[float, float], stratified: bool) -> str:
    name = {"gehan-breslow": "Gehan-Breslow test", "tarone-ware": "Tarone-Ware test"}.get(
        weights, "log-rank test"
    )
    if any(exponents):
        name = "Fleming-Harrington test (rho = {:g}, gamma = {:g})".format(*exponents)
    return f"stratified {name}" if stratified else name
