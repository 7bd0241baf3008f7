"""The row ledger: what came in, what was used, what was set aside at which step, and why.

A ledger is a value. It starts from a frame and grows by one step at a time; every result carries
the ledger of its own rows as ``result.rows``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import nested_codes, value_codes
from alliance_stats.formatting import format_count, plural

__all__ = ["LedgerStep", "RowLedger"]


@dataclass(frozen=True, slots=True)
class LedgerStep:
    """One line of the ledger: the state after a step.

    Attributes
    ----------
    reason
        Why rows were set aside at this step (``"came in"`` for the first).
    rows_set_aside
        How many rows this step took away.
    rows_left
        How many rows were left after it.
    units_left
        Per level, how many distinct units still had at least one row.
    """

    reason: str
    rows_set_aside: int
    rows_left: int
    units_left: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RowLedger:
    """How many rows and units came in, were used, were set aside, and why.

    Attributes
    ----------
    levels
        Level name -> the columns that together identify a unit of that level.
    steps
        The states, the first being what came in.
    """

    levels: Mapping[str, tuple[str, ...]]
    steps: tuple[LedgerStep, ...]

    @classmethod
    def start(
        cls, data: pd.DataFrame, levels: Mapping[str, tuple[str, ...]] | None = None
    ) -> "RowLedger":
        """Open a ledger on `data`.

        Parameters
        ----------
        data
            The rows that came in.
        levels
            Level name -> identifying columns, as in ``{"family": ("therapist", "family")}``.
        """
        levels = dict(levels or {})
        step = LedgerStep("came in", 0, len(data), _count_units(data, levels))
        return cls(levels, (step,))

    def keep(
        self, data: pd.DataFrame, kept: npt.ArrayLike, *, reason: str
    ) -> tuple[pd.DataFrame, "RowLedger"]:
        """Keep the rows of `data` where `kept` is true and write down why the others went.

        Returns
        -------
        frame, ledger
            The kept rows (the same object if none went) and the ledger with one step more.
        """
        mask = np.asarray(kept, dtype=bool)
        left = data if mask.all() else data.loc[mask]
        step = LedgerStep(reason, int((~mask).sum()), len(left), _count_units(left, self.levels))
        return left, RowLedger(self.levels, (*self.steps, step))

    @property
    def n_in(self) -> int:
        """Rows that came in."""
        return self.steps[0].rows_left

    @property
    def n_used(self) -> int:
        """Rows left after the last step."""
        return self.steps[-1].rows_left

    @property
    def n_set_aside(self) -> int:
        """Rows set aside over all steps."""
        return self.n_in - self.n_used

    def units(self, level: str) -> int:
        """Return how many units of `level` were used."""
        return self.steps[-1].units_left[level]

    def tidy(self) -> pd.DataFrame:
        """Return one row per step: ``reason, rows_set_aside, rows_left, n_<level>...``."""
        return pd.DataFrame(
            [
                {
                    "reason": step.reason,
                    "rows_set_aside": step.rows_set_aside,
                    "rows_left": step.rows_left,
                    **{f"n_{level}": n for level, n in step.units_left.items()},
                }
                for step in self.steps
            ]
        )

    def __str__(self) -> str:
        """Say in one paragraph what happened to the rows."""
        came = plural(self.n_in, "row")
        parts = [f"{came} came in{_units_in_words(self.steps[0].units_left)}."]
        parts += [
            f"{format_count(step.rows_set_aside)} set aside: {step.reason}."
            for step in self.steps[1:]
            if step.rows_set_aside
        ]
        parts.append(
            f"{format_count(self.n_used)} used{_units_in_words(self.steps[-1].units_left)}."
        )
        return " ".join(parts)


def _units_in_words(units: Mapping[str, int]) -> str:
    if not units:
        return ""
    return " (" + ", ".join(f"{level}: {format_count(n)}" for level, n in units.items()) + ")"


def _count_units(data: pd.DataFrame, levels: Mapping[str, tuple[str, ...]]) -> Mapping[str, int]:
    columns = dict.fromkeys(column for named in levels.values() for column in named)
    own = {column: value_codes(data[column]) for column in columns}
    numbered: dict[tuple[str, ...], npt.NDArray[np.int64]] = {}  # each part of nested levels once
    for named in levels.values():
        for depth, column in enumerate(named, start=1):
            if named[:depth] in numbered:
                continue
            codes = own[column]
            if depth > 1:
                codes = nested_codes(numbered[named[: depth - 1]], codes)
            numbered[named[:depth]] = codes
    return {level: int(numbered[named].max(initial=-1)) + 1 for level, named in levels.items()}
