"""Do groups differ in the cumulative incidence of an ending? Gray's test."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.seeds import Seed
from alliance_stats.survival.curves.cluster_permutation import PermutationTest, permute_clusters
from alliance_stats.survival.curves.life_table import at_risk
from alliance_stats.survival.curves.subdistribution import subdistribution
from alliance_stats.survival.rows.time_at_risk import (
    Intervals,
    Spells,
    read_compared,
    read_intervals,
)

__all__ = ["GrayTest", "gray_test"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GrayTest:
    """Gray's test, one for each ending.

    Attributes
    ----------
    states
        Names of the endings.
    groups
        Names of the g groups.
    score, covariance
        (states, g) weighted score of each group and its (states, g, g) covariance.
    rows
        What happened to the rows.
    permutations
        A permutation test for each ending, where whole clusters were permuted.
    """

    states: tuple[str, ...]
    groups: tuple[str, ...]
    score: Array
    covariance: Array
    rows: RowLedger
    permutations: tuple[PermutationTest, ...] = ()

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return ``state, statistic, df, p_value``, one row per ending; chi-squared statistics.

        With clusters, statistics and p-values are those of permuted clusters.
        """
        df = len(self.groups) - 1
        if self.permutations:
            return pd.DataFrame(
                {
                    "state": self.states,
                    "statistic": [test.statistic for test in self.permutations],
                    "df": df,
                    "p_value": [test.p_value for test in self.permutations],
                }
            )
        # One group's score follows from the others', so the last is left out.
        statistic = np.array(
            [
                score[:-1] @ np.linalg.solve(covariance[:-1, :-1], score[:-1])
                for score, covariance in zip(self.score, self.covariance, strict=True)
            ]
        )
        return pd.DataFrame(
            {
                "state": self.states,
                "statistic": statistic,
                "df": df,
                "p_value": stats.chi2.sf(statistic, df),
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return ``nobs, n_groups, n_states`` in one row."""
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_groups": [len(self.groups)],
                "n_states": [len(self.states)],
            }
        )

    @property
    def method(self) -> str:
        """What was tested, in a phrase."""
        few = len(self.groups) <= 4
        where = ", ".join(self.groups) if few else plural(len(self.groups), "group")
        permuted = ", whole clusters permuted" if self.permutations else ""
        return f"Gray's test of equal cumulative incidence in {where}{permuted}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Where permuted clusters cannot reach significance."""
        return tuple(self.permutations[0].warnings()) if self.permutations else ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the tests as data; there are no intervals."""
        del conf_level
        tests = Section("Ending", self.tidy(), names=("state",), statistic="chi-squared")
        sizes = {"rows": self.rows.n_used, "groups": len(self.groups)}
        remarks = (str(self.permutations[0]),) if self.permutations else ()
        return Account.of(
            self,
            sizes,
            (tests,),
            remarks,
            sources=("gray1988", "phipson2010") if self.permutations else ("gray1988",),
        )

    summary = summary_of
    _repr_html_ = html_of


def gray_test(
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    group: Hashable,
    entry: Hashable | None = None,
    strata: Hashable | Sequence[Hashable] | None = None,
    censored: object | None = None,
    rho: float = 0.0,
    cluster: Hashable | None = None,
    n_resamples: int = 9999,
    seed: Seed = None,
) -> GrayTest:
    """Test, for each ending, whether groups share one cumulative incidence.

    The k-sample test of Gray (1988, doi:10.1214/aos/1176350951), with weights ``(1 - F(t-))^rho``
    and tied endings treated as in his ``cmprsk``. With late entry, those at risk at t are those
    who have entered: in ``Y(t) (1 - F(t-)) / S(t-)``, the size of Gray's risk set, both curves and
    the count then allow for it, and so does the martingale variance (Andersen, Borgan, Gill &
    Keiding 1993, doi:10.1007/978-1-4612-4348-9, section III.3).

    Parameters
    ----------
    data
        One row per unit that can end (or, with `entry`, per interval at risk).
    time, event, entry, censored
        As in :func:`cumulative_incidence`.
    group
        Column: the groups to compare.
    strata
        Column or columns: the test compares within their values only.
    rho
        Exponent of the weights, 0 or above.
    cluster, n_resamples, seed
        As in :func:`log_rank`: the groups belong to whole clusters, whose labels are permuted. A
        row then adds to its group's score its endings minus those expected under one common
        subdistribution hazard (the score of :func:`fine_gray` at no difference); only with
        rho 0 and without strata.

    Returns
    -------
    GrayTest

    Raises
    ------
    DataError
        Fewer than two groups, impossible times, no ending at all; a cluster whose members are in
        several groups.
    NotIdentifiedError
        An ending for which the groups were never at risk together; a group in which all at
        risk ended before its other members entered.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, gray_test
    >>> families = endings(example_study()).units
    >>> test = gray_test(
    ...     families, time="time", event="state", censored="ongoing", group="parent_trauma"
    ... )
    >>> test.tidy().round(3)
              state  statistic  df  p_value
    0       dropout      3.515   1    0.061
    1  other ending      0.403   1    0.526
    """
    if rho < 0:
        raise ValueError(f"rho must be 0 or above; got {rho}.")
    if cluster is not None and (strata is not None or rho):
        raise ValueError(
            "With cluster= whole clusters are permuted over the whole sample, with weights of 1: "
            "leave strata= and rho= out."
        )
    intervals = read_intervals(
        data,
        time=time,
        event=event,
        entry=entry,
        strata=strata,
        cluster=cluster,
        also=[group],
        competing=True,
        censored=censored,
    )
    codes, groups = read_compared(intervals.frame, group)
    score, covariance = _scores(intervals, codes, groups, rho)
    for name, matrix in zip(intervals.states, covariance, strict=True):
        if np.linalg.matrix_rank(matrix, hermitian=True) < len(groups) - 1:
            raise NotIdentifiedError(
                f"The groups of column '{group}' cannot be compared in ending '{name}': they were "
                "never at risk together when it happened."
            )
    permutations: tuple[PermutationTest, ...] = ()
    if intervals.cluster is not None:
        names = str(group), str(cluster)
        permutations = _permuted(intervals, codes, intervals.cluster, names, (n_resamples, seed))
    return GrayTest(intervals.states, groups, score, covariance, intervals.rows, permutations)


def _scores(
    intervals: Intervals, codes: Integers, groups: tuple[str, ...], rho: float
) -> tuple[Array, Array]:
    """Return each ending's score (states, g) and covariance (states, g, g), over strata."""
    n_states = len(intervals.states)
    score = np.zeros((n_states, len(groups)))
    covariance = np.zeros((n_states, len(groups), len(groups)))
    for number in range(len(intervals.strata)):
        counts = _count(intervals.spells(number), codes[intervals.stratum == number], groups)
        for state in range(n_states):
            part, spread = _score(counts, state + 1, rho)
            score[state] += part
            covariance[state] += spread
    return score, covariance


def _permuted(
    intervals: Intervals,
    codes: Integers,
    clusters: Integers,
    names: tuple[str, str],
    drawn: tuple[int, Seed],
) -> tuple[PermutationTest, ...]:
    """Permute the groups of whole clusters, once for each ending."""
    tests = []
    for state in range(len(intervals.states)):
        sets = subdistribution(np.empty((0, len(codes))), intervals, state + 1)
        own = sets.residuals(sets.at(np.empty(0)))
        tests.append(
            permute_clusters(
                own, codes, clusters, names=names, n_permutations=drawn[0], seed=drawn[1]
            )
        )
    return tuple(tests)


@dataclass(frozen=True, slots=True, eq=False)
class _GroupCounts:
    """(k, g) numbers at risk and (states, k, g) events, at the k times of any event."""

    n_risk: Array
    n_event: Array


def _count(spells: Spells, group: Integers, groups: tuple[str, ...]) -> _GroupCounts:
    times = np.unique(spells.exit[spells.event > 0])
    n_states, n_groups = int(spells.event.max(initial=1)), len(groups)
    n_risk = np.zeros((len(times), n_groups))
    n_event = np.zeros((n_states, len(times), n_groups))
    for g in range(n_groups):
        exits = spells.exit[group == g]
        n_risk[:, g] = at_risk(np.sort(spells.entry[group == g]), np.sort(exits), times)
        for state in range(1, n_states + 1):
            position = np.searchsorted(times, exits[spells.event[group == g] == state])
            n_event[state - 1, :, g] = np.bincount(position, minlength=len(times))
    emptied = (n_event.sum(axis=0) == n_risk) & (n_risk > 0)
    for k, g in np.argwhere(emptied):
        if (spells.exit[group == g] > times[k]).any():
            raise NotIdentifiedError(
                f"All of group '{groups[g]}' at risk at time {times[k]:g} ended then, and others "
                "of it entered later: its incidence is not known from there on. Start the clock "
                "later, and leave out the rows before."
            )
    return _GroupCounts(n_risk, n_event)


def _score(counts: _GroupCounts, state: int, rho: float) -> tuple[Array, Array]:
    """Return one ending's score (g,) and covariance (g, g) within one stratum.

    In Gray's notation h_r = Y_r / S_r(t-), R_r = h_r (1 - F_r(t-)), K_r = (1 - F(t-))^rho R_r.
    The score is a sum of martingale integrals; its covariance adds up, over groups k and times,
    squares of the weights that the increments of group k's own and other endings carry.
    """
    n = counts.n_risk
    if state > len(counts.n_event) or not len(n):
        return np.zeros(n.shape[1]), np.zeros((n.shape[1], n.shape[1]))
    own = counts.n_event[state - 1]
    other = counts.n_event.sum(axis=0) - own
    present = n > 0
    inverse_n = np.divide(1.0, n, out=np.zeros_like(n), where=present)
    survival = np.cumprod(1.0 - (own + other) * inverse_n, axis=0)
    before = _lagged(survival, 1.0)
    incidence_before = _lagged(np.cumsum(before * own * inverse_n, axis=0), 0.0)
    h = np.divide(n, before, out=np.zeros_like(n), where=present)
    h_total, own_total = h.sum(axis=1), own.sum(axis=1)
    pooled = np.cumsum(own_total / h_total)
    pooled_before = _lagged(pooled, 0.0)
    weight = (1.0 - pooled_before) ** rho
    at_stake = h * (1.0 - incidence_before)
    expected = own_total[:, None] * at_stake / at_stake.sum(axis=1, keepdims=True)
    score = (weight[:, None] * (own - expected)).sum(axis=0)

    share = h / h_total[:, None]
    n_groups = n.shape[1]
    a = weight[:, None, None] * h[:, :, None] * (np.eye(n_groups) - share[:, None, :])
    step = own_total / (h_total * (1.0 - pooled_before))
    c = np.cumsum(a * step[:, None, None], axis=0)
    c_after = c[-1] - c  # (k, g, g): what is still to come
    ratio = np.divide(
        (1.0 - pooled)[:, None], survival, out=np.zeros_like(survival), where=survival > 0
    )
    # Tied endings: variance of a draw without replacement, under the null for the ending itself
    per_head = h_total[:, None] * before
    ties_own = np.where(
        own_total[:, None] > 1, 1.0 - _divide(own_total[:, None] - 1.0, per_head - 1.0), 1.0
    )
    spread_own = ties_own * before * own_total[:, None] / h_total[:, None] * inverse_n
    weights_own = a + (1.0 - ratio)[:, None, :] * c_after
    ties_other = np.where(other > 1, 1.0 - _divide(other - 1.0, n - 1.0), 1.0)
    spread_other = ties_other * before**2 * other * inverse_n**2 * (survival > 0)
    weights_other = ratio[:, None, :] * c_after
    covariance = np.einsum("tik,tjk,tk->ij", weights_own, weights_own, spread_own)
    covariance += np.einsum("tik,tjk,tk->ij", weights_other, weights_other, spread_other)
    return score, covariance


def _lagged(values: Array, first: float) -> Array:
    head = np.full((1, *values.shape[1:]), first)
    return np.concatenate((head, values[:-1]))


def _divide(top: Array, bottom: Array) -> Array:
    safe = np.broadcast_to(bottom, np.broadcast_shapes(top.shape, bottom.shape))
    return np.divide(top, safe, out=np.zeros(safe.shape), where=safe > 0)
