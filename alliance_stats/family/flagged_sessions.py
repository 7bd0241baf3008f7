"""Sessions that a rule flags: how many, and whether two rules flag the same."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line, wald_interval
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of

__all__ = ["Flagged", "RuleAgreement", "clustered_share", "rule_agreement"]


def clustered_share(
    flags: Array, clusters: npt.NDArray[np.generic], *, conf_level: float
) -> dict[str, float]:
    """Return a share of flagged cells with its interval over clusters.

    ``p = sum y_c / sum n_c``; its variance is that of a ratio, ``C/(C - 1) sum (y_c - p n_c)^2 /
    (sum n_c)^2`` (Cochran 1977, Sampling Techniques, 3rd ed., ch. 6), with t on C - 1 df.

    Parameters
    ----------
    flags
        1, 0, or NaN where the rule could not be applied (such cells do not count).
    clusters
        Family or person of each cell.

    Returns
    -------
    dict
        ``n`` (flagged), ``of`` (cells), ``estimate, std_error, conf_low, conf_high`` (limits cut at
        0 and 1). Error and limits are NaN with fewer than two clusters, and where all or no cells
        are flagged: clusters that do not differ give no basis for judging their spread.
    """
    known = np.isfinite(flags)
    y, of = float(flags[known].sum()), int(known.sum())
    found = {"n": int(y), "of": of, "estimate": math.nan, "std_error": math.nan}
    found |= {"conf_low": math.nan, "conf_high": math.nan}
    if of == 0:
        return found
    share = y / of
    _, codes = np.unique(clusters[known].astype(str), return_inverse=True)
    C = int(codes.max()) + 1
    found["estimate"] = share
    if C < 2 or y in (0.0, of):
        return found
    left = np.bincount(codes, flags[known] - share, minlength=C)
    found["std_error"] = math.sqrt(C / (C - 1) * float(left @ left)) / of
    low, high = wald_interval(share, found["std_error"], df=C - 1, conf_level=conf_level)
    return {**found, "conf_low": max(float(low), 0.0), "conf_high": min(float(high), 1.0)}


_KEYS = ["unit", "session", "rater"]


class Flagged(Protocol):
    """Anything with a rule and flags: split alliances and ruptures."""

    @property
    def rule(self) -> str:
        """The rule in words."""
        ...

    @property
    def flags(self) -> pd.DataFrame:
        """``unit, session, rater, cluster, flag``."""
        ...

    @property
    def rows(self) -> RowLedger:
        """The row ledger."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RuleAgreement:
    """Agreement of every pair of rules. Returned by :func:`rule_agreement`.

    Attributes
    ----------
    pairs
        One row per pair: ``first, second, of, n_first, n_second, n_both, agreement, estimate``.
    draws
        Bootstrap values of kappa, pairs x draws.
    rows
        The row ledger of the first result.
    """

    pairs: pd.DataFrame
    draws: Array
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per pair of rules: the counts, ``agreement`` and kappa as ``estimate``.

        The percentile interval resamples whole clusters; draws in which a rule flags all or nothing
        have no kappa and are omitted.
        """
        alpha = 1.0 - check_conf_level(conf_level)
        low, high = [], []
        for own in self.draws:
            defined = own[np.isfinite(own)]
            limits = (
                np.quantile(defined, [alpha / 2, 1 - alpha / 2]) if defined.size else [np.nan] * 2
            )
            low.append(float(limits[0]))
            high.append(float(limits[1]))
        return self.pairs.assign(conf_low=low, conf_high=high)

    def glance(self) -> pd.DataFrame:
        """Return one row: pairs, bootstrap draws, and draws without a kappa."""
        return pd.DataFrame(
            [
                {
                    "n_pairs": len(self.pairs),
                    "n_resamples": self.draws.shape[1],
                    "n_undefined": int((~np.isfinite(self.draws)).sum()),
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was measured, in a phrase."""
        return "Agreement of rules on the same sessions, intervals by resampling clusters"

    @property
    def notes(self) -> tuple[str, ...]:
        """None: the kappas need no cautions."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return each pair's kappa and counts as data."""
        tidy = self.tidy(conf_level=conf_level)
        pairs = Section(
            "Rules",
            tidy.assign(
                pair=[Phrase("{} | {}", (row.first, row.second)) for row in tidy.itertuples()]
            ),
            names=("pair",),
            measure="kappa",
            kind="bounded",
            columns={
                "n_first": Column("first", "count"),
                "n_second": Column("second", "count"),
                "n_both": Column("both", "count"),
                "of": Column("of", "count"),
            },
            conf_level=conf_level,
            undefined="kappa not defined",
        )
        sizes = {"pairs": len(tidy)}
        return Account.of(self, sizes, (pairs,), drawn=True, sources=("cohen1960",))

    summary = summary_of
    _repr_html_ = html_of


@renamed(n="n_resamples")
def rule_agreement(*results: Flagged, seed: Seed, n_resamples: int = 2000) -> RuleAgreement:
    """Compare rules that were applied to the same sessions.

    Parameters
    ----------
    results
        Two or more split alliances, or two or more ruptures.
    seed, n_resamples
        Seed and draws of the bootstrap over clusters (families for splits; families where known,
        else persons, for ruptures): a person's sessions are not independent.

    Returns
    -------
    RuleAgreement
        Cohen's kappa ``(p_o - p_e) / (1 - p_e)`` (Cohen 1960, doi:10.1177/001316446002000104) over
        sessions that both rules could judge; NaN where neither distinguishes sessions.

    Raises
    ------
    DataError
        Fewer than two results, or results of different sessions.

    Examples
    --------
    >>> from alliance_stats import example_study, ruptures
    >>> from alliance_stats.family import DropBelowRunningMean, rule_agreement
    >>> sessions = example_study().sessions
    >>> def flagged(k):
    ...     rule = DropBelowRunningMean(k=k, sd="within", min_before=3)
    ...     return ruptures(
    ...         sessions, person="person", session="session", score="alliance", rule=rule
    ...     )
    >>> rule_agreement(flagged(2.0), flagged(1.5), n_resamples=50, seed=1).tidy().shape
    (1, 10)
    """
    if len(results) < 2:
        raise DataError(f"Agreement needs two rules or more; got {len(results)}.")
    if n_resamples < 1:
        raise DataError(f"n_resamples counts bootstrap draws and is at least 1; got {n_resamples}.")
    rng = generator_of(seed)
    rows, draws = [], []
    for first, second in combinations(results, 2):
        counts = _counts(first, second)
        counts = counts[np.lexsort(counts.T)]  # draws do not depend on how clusters are called
        weights = rng.multinomial(
            len(counts), np.full(len(counts), 1 / len(counts)), size=n_resamples
        )
        draws.append(_kappa(weights @ counts))
        both, only_first, only_second, neither = total = counts.sum(axis=0)
        rows.append(
            {
                "first": first.rule,
                "second": second.rule,
                "of": int(total.sum()),
                "n_first": int(both + only_first),
                "n_second": int(both + only_second),
                "n_both": int(both),
                "agreement": float((both + neither) / total.sum()),
                "estimate": float(_kappa(total[None])[0]),
            }
        )
    return RuleAgreement(pd.DataFrame(rows), np.asarray(draws), results[0].rows)


def _counts(first: Flagged, second: Flagged) -> Array:
    """Both, first only, second only, neither: one row per cluster."""
    a, b = first.flags.set_index(_KEYS), second.flags.set_index(_KEYS)
    if len(a) != len(b) or not a.index.isin(b.index).all():
        raise DataError(
            f"'{first.rule}' and '{second.rule}' were not applied to the same sessions "
            f"({len(a)} and {len(b)}): apply both to one table."
        )
    x, y = a["flag"].to_numpy(), b["flag"].reindex(a.index).to_numpy()
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise DataError("No session could be judged by both rules.")
    x, y = x[known] == 1.0, y[known] == 1.0
    _, codes = np.unique(a["cluster"].to_numpy()[known].astype(str), return_inverse=True)
    cells: Sequence[Array] = (x & y, x & ~y, ~x & y, ~x & ~y)
    return np.column_stack([np.bincount(codes, cell) for cell in cells]).astype(np.float64)


def _kappa(counts: Array) -> Array:
    both, first, second, neither = counts.T
    n = counts.sum(axis=1)
    observed = (both + neither) / n
    p, q = (both + first) / n, (both + second) / n
    expected = p * q + (1 - p) * (1 - q)
    kappa = np.full(len(n), np.nan)
    np.divide(observed - expected, 1 - expected, out=kappa, where=expected < 1 - 1e-12)
    return kappa
