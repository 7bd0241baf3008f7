"""The outcome of an early problem: rupture, strength, both or neither, by group."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level, check_frame, group_codes, require_columns
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.groups.comparing.comparison_rows import drawn_tables
from alliance_stats.groups.comparing.count_tests import TableTest, table_test
from alliance_stats.groups.comparing.finding import TestOptions
from alliance_stats.groups.comparing.group_samples import grouped
from alliance_stats.groups.theme_comparison import (
    binary_theme,
    check_one_row_a_unit,
    proportion_limits,
    with_cases,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.seeds import Seed, whole_seed
from alliance_stats.spelling import check_spelling

__all__ = ["ThemeTransitions", "theme_transitions"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ThemeTransitions:
    """Transitions from an early theme to later states; returned by :func:`theme_transitions`.

    Attributes
    ----------
    early
        Name of the early theme.
    labels, states
        Groups and later states, in order.
    counts
        (groups, early absent / present, states).
    rows
        Ledger of the cases.
    n_resamples, seed
        Tables drawn for the tests where their margins allow too many for an exact one, and the
        seed of the draws (None: a fixed one, which the method names).
    """

    early: str
    labels: tuple[str, ...]
    states: tuple[str, ...]
    counts: Array
    rows: RowLedger
    n_resamples: int = 9999
    seed: int | None = None

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per group, early state and later state.

        ``group, early`` (whether the early theme was present), ``later, count, n`` (cases of that
        group and early state), ``estimate, conf_low, conf_high``: the share of n, exact limits.
        """
        check_conf_level(conf_level)
        rows = []
        sizes = self.counts.sum(axis=2)
        shares: dict[tuple[int, int], tuple[float, float, float]] = {}
        for g, early, s in np.ndindex(self.counts.shape):
            count, n = int(self.counts[g, early, s]), int(sizes[g, early])
            if (count, n) not in shares:
                shares[count, n] = proportion_limits(count, n, conf_level)
            limits = shares[count, n]
            rows.append(
                {
                    "group": self.labels[g],
                    "early": bool(early),
                    "later": self.states[s],
                    "count": count,
                    "n": n,
                    "estimate": limits[0],
                    "conf_low": limits[1],
                    "conf_high": limits[2],
                }
            )
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row per early state: cases, and the exact test that groups do not differ.

        ``early, n, p_value, p_smallest, method``: Fisher's exact test of groups by later states
        (Freeman & Halton 1951, doi:10.1093/biomet/38.1-2.141), by drawn tables where there are too
        many to enumerate (`method` says so); NaN where no cases or only one group had that early
        state.
        """
        rows = []
        for early in (1, 0):
            table = self.counts[:, early, :]
            table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
            found = TableTest(math.nan, math.nan, "not tested")
            if min(table.shape, default=0) >= 2:
                found = table_test(table, TestOptions(self.n_resamples, self.seed))
            rows.append(
                {
                    "early": bool(early),
                    "n": int(table.sum()),
                    "p_value": found.p_value,
                    "p_smallest": found.p_smallest,
                    "method": found.method,
                }
            )
        return pd.DataFrame(rows)

    @property
    def method(self) -> str:
        """What was counted, in a phrase."""
        return f"What became of '{self.early}', by group"

    @property
    def notes(self) -> tuple[str, ...]:
        """None: the counts need no cautions."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the counts that are not empty, and the tests between groups, as data."""
        tidy = self.tidy(conf_level=conf_level)
        tidy = tidy[tidy["n"] > 0]
        early = {True: f"with {self.early}", False: f"without {self.early}"}
        counts = Section(
            "Group",
            with_cases(tidy).assign(early=tidy["early"].map(early)),
            names=("group", "early", "later"),
            measure="share",
            kind="share",
            columns={"cases": Column("cases", "text")},
            conf_level=conf_level,
        )
        tests = self.glance()
        tests = tests[tests["p_value"].notna()]
        tested = Section(
            "Test between groups",
            tests.assign(cases=tests["early"].map(early)),
            names=("cases", "method"),
            columns={"n": Column("n", "count")},
        )
        sizes = {"cases": int(self.counts.sum()), "groups": len(self.labels)}
        sections, drawn = (counts, tested), drawn_tables(*tests["method"])
        return Account.of(self, sizes, sections, drawn=drawn)

    summary = summary_of
    _repr_html_ = html_of


def theme_transitions(
    data: pd.DataFrame,
    *,
    early: str,
    later: Mapping[str, str] | str,
    group: str,
    unit: str | None = None,
    n_resamples: int = 9999,
    seed: Seed = None,
) -> ThemeTransitions:
    """Count what an early theme turned into, by group.

    Parameters
    ----------
    data
        One row per case.
    early
        0/1 column of the early theme, as a problem early on.
    later
        A mapping from a state's name to its 0/1 column, as ``{"rupture": "theme_became_rupture",
        "strength": "theme_became_strength"}``: cases with several are called "rupture and
        strength", cases with none "neither" (or "not ..." for a single state). Or one column that
        names the later state.
    group
        Column of group labels.
    unit
        Column of the case's id (person or family): a unit in more than one row is refused, since
        the exact tests assume independent rows.
    n_resamples, seed
        Tables that are drawn where there are too many for an exact test, and their seed (or a
        generator); without one a fixed seed, which the test's method names.

    Raises
    ------
    DataError
        If a theme is not 0/1, a unit appears more than once, or a column is missing.

    Examples
    --------
    >>> from alliance_stats import example_themes, theme_transitions
    >>> moved = theme_transitions(
    ...     example_themes(), early="theme_early_problem", later="theme_became_rupture",
    ...     group="parent_alliance",
    ... )
    >>> moved.tidy().iloc[:, :4].head(3)
            group  early later  count
    0  successful  False     0      3
    1  successful  False     1      0
    2  successful   True     0     10
    """
    data = check_frame(data)
    columns = list(later.values()) if isinstance(later, Mapping) else [later]
    require_columns(data, [early, *columns, group, *([] if unit is None else [unit])])
    if unit is not None:
        check_one_row_a_unit(data, unit)
    before = binary_theme(data, early)
    after, states = _later_states(data, later)
    rows = RowLedger.start(data)
    kept, rows = rows.keep(data, data[group].notna(), reason=f"'{group}' is missing")
    complete = before.notna() & (after >= 0)
    kept, rows = rows.keep(
        kept, complete[data[group].notna()], reason="the early theme or a later state is missing"
    )
    if kept.empty:
        raise NotIdentifiedError(f"No case has its group, '{early}' and its later state.")
    codes, labels = grouped(kept, group)
    used = (data[group].notna() & complete).to_numpy()
    counts = np.zeros((len(labels), 2, len(states)))
    np.add.at(counts, (codes, before[used].to_numpy(int), after[used].to_numpy(int)), 1.0)
    return ThemeTransitions(early, labels, states, counts, rows, n_resamples, whole_seed(seed))


def _later_states(
    data: pd.DataFrame, later: Mapping[str, str] | str
) -> tuple[pd.Series, tuple[str, ...]]:
    """Return each case's later state as a number (-1 where missing), and the states' names."""
    if not isinstance(later, Mapping):
        check_spelling(data[later])
        codes, index = group_codes(data[later])
        return pd.Series(codes, index=data.index), tuple(str(label) for label in index)
    if not later:
        raise DataError("later is empty: name at least one later state and its column.")
    names = list(later)
    flags = np.column_stack([binary_theme(data, column) for column in later.values()])
    known = ~np.isnan(flags).any(axis=1)
    # patterns that occur, in order: those with the first state before those without it
    patterns, codes = np.unique(1.0 - flags[known], axis=0, return_inverse=True)
    after = np.full(len(data), -1)
    after[known] = codes.ravel()
    labels = tuple(_combination(names, tuple(1.0 - pattern)) for pattern in patterns)
    return pd.Series(after, index=data.index), labels


def _combination(names: list[str], pattern: tuple[float, ...]) -> str:
    there = [name for name, flag in zip(names, pattern, strict=True) if flag]
    if there:
        return " and ".join(there)
    return f"not {names[0]}" if len(names) == 1 else "neither" if len(names) == 2 else "none"
