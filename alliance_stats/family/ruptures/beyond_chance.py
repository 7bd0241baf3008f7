"""Ruptures beyond chance: false alarms of measurement error, members who rupture together."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.door import require_new, with_columns
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line
from alliance_stats.family.ruptures.finding_ruptures import Ruptures
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of

__all__ = ["FalseAlarms", "FamilyRuptures", "expected_false_alarms", "family_ruptures"]

_CHUNK = 2_000_000  # simulated ratings held at once


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FalseAlarms:
    """Expected and observed flags of a rule. Returned by :func:`expected_false_alarms`.

    Attributes
    ----------
    rule
        The rule in words.
    error
        Standard error of measurement, in points.
    of
        Sessions at which the rule could be applied, including those after a last session at which a
        waiting rule would have responded.
    observed, expected
        Flagged sessions: found, and expected from measurement error alone.
    std_error
        Monte Carlo error of `expected`; 0 for a closed form.
    method
        ``"closed form"`` or ``"Monte Carlo"``.
    rows
        The row ledger.
    """

    rule: str
    error: float
    of: int
    observed: int
    expected: float
    std_error: float
    method: str
    rows: RowLedger

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return ``term, n, of, estimate, std_error, method``: shares of sessions judged.

        ``std_error`` is only Monte Carlo error.
        """
        share = self.expected / self.of
        ratio = self.expected / self.observed if self.observed else math.nan
        columns = ["term", "n", "of", "estimate", "std_error", "method"]
        rows = [
            ("found", self.observed, self.of, self.observed / self.of, math.nan, "rule"),
            (
                "expected from measurement error",
                self.expected,
                self.of,
                share,
                self.std_error / self.of,
                self.method,
            ),
            ("expected / found", math.nan, math.nan, ratio, math.nan, self.method),
        ]
        return pd.DataFrame(rows, columns=columns)

    def glance(self) -> pd.DataFrame:
        """Return one row: the rule, the error and both counts."""
        return pd.DataFrame(
            [
                {
                    "rule": self.rule,
                    "error": self.error,
                    "of": self.of,
                    "observed": self.observed,
                    "expected": self.expected,
                    "method": self.method,
                }
            ]
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """None: the counts need no cautions."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return both counts as data; Monte Carlo error is not a sampling interval."""
        del conf_level
        shown = self.tidy().rename(columns={"n": "flagged"})
        table = Section(
            "Sessions flagged",
            shown.iloc[:2].drop(columns="std_error"),
            names=("term",),
            measure="share",
            kind="share",
            columns={"flagged": Column("sessions flagged")},
        )
        said = Phrase(
            "{}: {} of {} sessions flagged; measurement error of {} points alone would flag {} "
            "({}).",
            (
                self.rule,
                str(self.observed),
                str(self.of),
                float(self.error),
                (self.expected, 1),
                self.method,
            ),
        )
        sizes = {"sessions": self.of}
        how = f"False alarms expected from measurement error alone ({self.method})"
        drawn = self.method == "Monte Carlo"
        return Account(
            how,
            self.notes,
            sizes,
            (table,),
            (said,),
            self.rows,
            drawn=drawn,
            sources=("phipson2010",),
        )

    summary = summary_of
    _repr_html_ = html_of


@renamed(draws="n_resamples")
def expected_false_alarms(
    found: Ruptures, *, error: float, seed: Seed = None, n_resamples: int = 500
) -> FalseAlarms:
    """Return how many flags a constant alliance, measured with error, would give.

    Each person's true alliance is held constant, at the person's mean, over the sessions that were
    rated; the error is normal and independent from session to session; SDs that all persons share
    are held at their values in the data. Rounding of ratings is not simulated.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.family.ruptures`.
    error
        Standard error of measurement in points: ``SD sqrt(1 - reliability)``.
    seed, n_resamples
        For the Monte Carlo of rules without a closed form, where the seed is required.

    Returns
    -------
    FalseAlarms
        ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    DataError
        An error that is not positive, no session that could be judged, or no seed where one is
        needed.

    Examples
    --------
    >>> from alliance_stats import example_study, ruptures
    >>> from alliance_stats.family import DropBelowRunningMean, expected_false_alarms
    >>> sessions = example_study().sessions
    >>> rule = DropBelowRunningMean(k=2.0, sd="within", min_before=3)
    >>> found = ruptures(
    ...     sessions, person="person", session="session", score="alliance", rule=rule
    ... )
    >>> expected_false_alarms(found, error=0.3, n_resamples=50, seed=1).tidy().shape
    (3, 6)
    """
    require_kind(found, Ruptures, asked="expected_false_alarms takes a result of ruptures")
    if not (math.isfinite(error) and error > 0):
        raise DataError(
            f"error is the standard error of measurement, a positive number; got {error}."
        )
    if n_resamples < 2:
        raise DataError(
            f"n_resamples counts simulated courses and is at least 2; got {n_resamples}."
        )
    rule, scores, shared = found.rule_object, found.scores, found.shared
    flag = rule.scan(scores, shared).flag
    judged = np.isfinite(flag)
    of = int(judged.sum())
    if of == 0:
        raise DataError(f"No session could be judged by the rule ({rule.words}).")
    closed = rule.false_alarms(scores, shared, error)
    if closed is not None:
        expected, std_error, method = float(closed[judged].sum()), 0.0, "closed form"
    else:
        if seed is None:
            raise DataError("This rule has no closed form: give seed= for the Monte Carlo.")
        totals = _simulate(found, error, generator_of(seed), n_resamples)
        expected, method = float(totals.mean()), "Monte Carlo"
        std_error = float(totals.std(ddof=1) / math.sqrt(n_resamples))
    observed = int((flag == 1.0).sum())
    return FalseAlarms(rule.words, error, of, observed, expected, std_error, method, found.rows)


def _simulate(found: Ruptures, error: float, rng: np.random.Generator, draws: int) -> Array:
    """Return the number of flags from all persons' errors, one per draw."""
    scores, shared = found.scores, found.shared
    rated = np.isfinite(scores)
    some = rated.any(axis=1)
    scores, shared, rated = scores[some], shared[some], rated[some]
    order = np.lexsort(np.nan_to_num(scores, nan=np.inf).T)  # whatever persons are called
    scores, shared, rated = scores[order], shared[order], rated[order]
    level = np.where(rated, scores, 0.0).sum(axis=1) / rated.sum(axis=1)
    still = np.where(rated, level[:, None], np.nan)
    totals = np.empty(draws)
    step = max(1, _CHUNK // scores.size)
    for start in range(0, draws, step):
        n = min(step, draws - start)
        drawn = np.tile(still, (n, 1))
        drawn += error * rng.standard_normal(drawn.shape)
        drawn = np.maximum(drawn, found.rule_object.lowest)
        flag = found.rule_object.scan(drawn, np.tile(shared, (n, 1))).flag
        totals[start : start + n] = np.nansum(flag.reshape(n, -1), axis=1)
    return totals


PATTERNS = ("none", "alone", "together", "one member judged")
"""No member flagged; one of several judged; two or more; fewer than two members judged."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FamilyRuptures:
    """Ruptures by family and session. Returned by :func:`family_ruptures`.

    Attributes
    ----------
    table
        One row per family x session: the caller's columns, ``n_judged``, ``n_ruptured``, ``who``
        and ``pattern`` (:data:`PATTERNS`). Nothing in a row depends on a later session.
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

    @property
    def method(self) -> str:
        """What was counted, in a phrase."""
        return f"Ruptures by family and session ({self.rule})"

    @property
    def notes(self) -> tuple[str, ...]:
        """None: the counts need no cautions."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the patterns, and whether members rupture together by chance, as data."""
        del conf_level
        found = self.glance().iloc[0]
        patterns = Section(
            "Family sessions",
            self.tidy(),
            names=("term",),
            measure="share",
            kind="share",
            columns={"n": Column("n", "count")},
            undefined="no share",
        )
        together = Section(
            "Several members at once",
            pd.DataFrame(
                {
                    "test": ["sessions shuffled within members, one-sided"],
                    "found": [found["n_together"]],
                    "expected": [found["expected"]],
                    "p_value": [found["p_value"]],
                }
            ),
            names=("test",),
            columns={"found": Column("found", "count"), "expected": Column("expected by chance")},
        )
        sizes = {"sessions": int(self.tidy()["of"].iloc[0])}
        said = Phrase(
            f"{plural(self.n_together, 'family session')} with ruptures of several members; {{}} "
            "expected if members ruptured independently.",
            ((float(found["expected"]), 1),),
        )
        tables = (patterns, together)
        return Account.of(self, sizes, tables, (said,), drawn=True, sources=("phipson2010",))

    summary = summary_of
    _repr_html_ = html_of


@renamed(shuffles="n_resamples")
def family_ruptures(found: Ruptures, *, seed: Seed, n_resamples: int = 1000) -> FamilyRuptures:
    """Return who ruptured in each family and session, alone or together.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.family.ruptures` with ``family=``.
    seed, n_resamples
        For the shuffles: each member's flags are permuted among the sessions that could be judged,
        independently of the other members'. Draws belong to persons sorted by id. If flags cluster
        early or late in all courses, members also coincide for that reason.

    Raises
    ------
    DataError
        If the ruptures have no family, or no family session has two members judged.

    Examples
    --------
    >>> from alliance_stats import example_study, ruptures
    >>> from alliance_stats.family import DropBelowRunningMean, family_ruptures
    >>> sessions = example_study().sessions
    >>> rule = DropBelowRunningMean(k=2.0, sd="within", min_before=3)
    >>> found = ruptures(
    ...     sessions, person="person", session="session", score="alliance", rule=rule,
    ...     family="family",
    ... )
    >>> family_ruptures(found, n_resamples=20, seed=1).glance().shape
    (1, 5)
    """
    require_kind(found, Ruptures, asked="family_ruptures takes a result of ruptures")
    if n_resamples < 1:
        raise DataError(f"n_resamples counts shuffles and is at least 1; got {n_resamples}.")
    if found.family is None:
        raise DataError("These ruptures know no family: name its column with ruptures(family=...).")
    table, rupture = found.table, found.table["rupture"].to_numpy()
    person = table[found.person].astype(str).to_numpy()
    when = table[found.session].to_numpy()
    keys = pd.DataFrame({"family": table[found.family].to_numpy(object), "session": when})
    groups = keys.groupby(["family", "session"], sort=True)
    cell, cells = groups.ngroup().to_numpy(), groups.size().reset_index()[["family", "session"]]
    judged, hit = np.isfinite(rupture), rupture == 1.0
    n_judged = np.bincount(cell, judged, len(cells)).astype(np.int64)
    n_ruptured = np.bincount(cell, hit, len(cells)).astype(np.int64)
    if not (n_judged > 1).any():
        raise DataError("In no family session could two members be judged by the rule.")
    who = [""] * len(cells)
    for place, name in sorted(zip(cell[hit].tolist(), person[hit].tolist(), strict=True)):
        who[place] = f"{who[place]}, {name}" if who[place] else name
    pattern = np.select(
        [n_judged < 2, n_ruptured == 0, n_ruptured == 1], [PATTERNS[3], "none", "alone"], "together"
    )
    columns: dict[str, npt.ArrayLike] = {
        "n_judged": n_judged,
        "n_ruptured": n_ruptured,
        "who": who,
        "pattern": pattern,
    }
    require_new(list(columns), [found.family, found.session])
    ids = cells.set_axis([found.family, found.session], axis=1)
    order = np.lexsort([when, person])
    order = order[judged[order]]
    rng = generator_of(seed)
    null = _shuffled(person[order], hit[order], cell[order], rng, n_resamples)
    table = with_columns(ids, columns)
    return FamilyRuptures(table, null, found.rule, found.family, found.rows)


def _shuffled(
    persons: np.ndarray, hit: np.ndarray, cells: np.ndarray, rng: np.random.Generator, n: int
) -> Array:
    """Cells with two or more flags, a number per shuffle of the flags within (sorted) persons."""
    codes = pd.factorize(persons)[0]
    _, cells = np.unique(cells, return_inverse=True)
    found = np.empty(n)
    for i in range(n):
        mixed = hit[np.lexsort([rng.random(len(codes)), codes])]
        found[i] = (np.bincount(cells[mixed]) > 1).sum()
    return found
