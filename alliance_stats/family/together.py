"""Who in a family ruptured: one member alone, or several together."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.family.ruptures import Ruptures
from alliance_stats.formatting import format_number, p_phrase
from alliance_stats.ledger import RowLedger

__all__ = ["FamilyRuptures", "family_ruptures"]

PATTERNS = ("none", "alone", "together", "one member judged")
"""No member flagged; one of several judged; two or more; fewer than two members judged."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FamilyRuptures:
    """Ruptures by family and session. Made by :func:`family_ruptures`.

    Attributes
    ----------
    table
        A row a family x session: the caller's columns, ``n_judged``, ``n_ruptured``, ``who`` and
        ``pattern`` (:data:`PATTERNS`). Nothing in a row depends on a later session.
    null
        Sessions with ruptures together in each shuffle.
    rule
        The rule in words.
    family
        The caller's column.
    rows
        The row ledger.
    """

    table: pd.DataFrame
    null: Array
    rule: str
    family: str
    rows: RowLedger

    __repr__ = one_line

    @property
    def n_together(self) -> int:
        """Family sessions in which two or more members ruptured."""
        return int((self.table["pattern"] == "together").sum())

    def tidy(self) -> pd.DataFrame:
        """Return ``term, n, of, estimate``: family sessions by pattern.

        Shares are of sessions with two or more members judged.
        """
        counts = self.table["pattern"].value_counts()
        of = int(counts.drop(PATTERNS[3], errors="ignore").sum())
        rows = [{"term": term, "n": int(counts.get(term, 0)), "of": of} for term in PATTERNS[:3]]
        frame = pd.DataFrame(rows)
        return frame.assign(estimate=frame["n"] / of if of else np.nan)

    def glance(self) -> pd.DataFrame:
        """Return one row: ruptures together, as many as shuffled sessions give, and p.

        ``p_value``: one-sided, share of shuffles (the data among them) with as many or more.
        """
        n = self.n_together
        return pd.DataFrame(
            [
                {
                    "rule": self.rule,
                    "n_together": n,
                    "expected": float(self.null.mean()),
                    "p_value": float((1 + (self.null >= n).sum()) / (1 + len(self.null))),
                    "n_shuffles": len(self.null),
                }
            ]
        )

    def summary(self) -> str:
        """Return the patterns, and whether members rupture together more than by chance."""
        g = self.glance().iloc[0]
        return (
            f"{g['n_together']} family sessions with ruptures of several members; "
            f"{format_number(g['expected'], 1)} expected if members ruptured independently "
            f"(sessions shuffled within members, {p_phrase(g['p_value'])}, one-sided).\n\n"
            f"{self.tidy().to_string(index=False)}"
        )


def family_ruptures(found: Ruptures, *, seed: int, shuffles: int = 1000) -> FamilyRuptures:
    """Say for each family and session who ruptured, alone or together.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.family.ruptures.ruptures` with ``family=``.
    seed, shuffles
        Of the shuffles: each member's flags change places among the sessions that could be judged,
        independently of the other members'. Where flags pile up early or late in all courses,
        members coincide for that reason too.

    Raises
    ------
    DataError
        If the ruptures know no family, or no family session has two members judged.
    """
    if shuffles < 1:
        raise DataError(f"shuffles counts shuffles and is at least 1; got {shuffles}.")
    if found.family is None:
        raise DataError("These ruptures know no family: name its column with ruptures(family=...).")
    own = found.table[[found.family, found.person, found.session, "rupture"]]
    keys = [found.family, found.session]
    judged = own["rupture"].notna()
    hit = own["rupture"] == 1.0
    grouped = own.assign(judged=judged, hit=hit).groupby(keys, sort=True, observed=True)
    table = grouped.agg(n_judged=("judged", "sum"), n_ruptured=("hit", "sum")).reset_index()
    names = own[hit].groupby(keys, observed=True)[found.person].agg(_listed)
    table["who"] = names.reindex(pd.MultiIndex.from_frame(table[keys])).fillna("").to_numpy()
    table["pattern"] = np.select(
        [table["n_judged"] < 2, table["n_ruptured"] == 0, table["n_ruptured"] == 1],
        [PATTERNS[3], "none", "alone"],
        "together",
    )
    if not (table["n_judged"] > 1).any():
        raise DataError("In no family session could two members be judged by the rule.")
    cells = grouped.ngroup()[judged].to_numpy()
    null = _shuffled(
        own.loc[judged, found.person].to_numpy(),
        hit[judged].to_numpy(),
        cells,
        np.random.default_rng(seed),
        shuffles,
    )
    return FamilyRuptures(table, null, found.rule, found.family, found.rows)


def _listed(persons: pd.Series) -> str:
    return ", ".join(sorted(map(str, persons)))


def _shuffled(
    persons: np.ndarray, hit: np.ndarray, cells: np.ndarray, rng: np.random.Generator, n: int
) -> Array:
    """Cells with two or more flags, a number a shuffle of the flags within persons."""
    codes = pd.factorize(persons)[0]
    order = np.argsort(codes, kind="stable")
    codes, hit, cells = codes[order], hit[order], cells[order]
    _, cells = np.unique(cells, return_inverse=True)
    found = np.empty(n)
    for i in range(n):
        mixed = hit[np.lexsort([rng.random(len(codes)), codes])]
        found[i] = (np.bincount(cells[mixed]) > 1).sum()
    return found
