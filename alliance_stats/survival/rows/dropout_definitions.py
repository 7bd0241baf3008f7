"""What counts as dropout: four definitions used in the field, which give different rates."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.study import Study

__all__ = [
    "BeforeReliableChange",
    "CodedEnding",
    "Definition",
    "FewerSessionsThan",
    "MissedLastScheduled",
    "ended",
]


def ended(units: pd.DataFrame, study: Study) -> "pd.Series[bool]":
    """Return whether each unit's treatment had ended, in whatever way."""
    return units[study.roles["ending"]].astype(object) != "ongoing"


class Definition(Protocol):
    """What counts as dropout: adds the column ``dropout`` (bool) to one row per unit."""

    def __call__(self, units: pd.DataFrame, study: Study, unit: str) -> "pd.Series[bool]":
        """Return, for each row of `units`, whether it dropped out."""
        ...

    @property
    def words(self) -> str:
        """The definition, as the end of a sentence."""
        ...


@dataclass(frozen=True, slots=True)
class CodedEnding:
    """Dropout as coded in the study's ending column (usually the therapist's judgement)."""

    cause: str = "dropout"

    @property
    def words(self) -> str:
        """The definition, as the end of a sentence."""
        return f"the ending is coded '{self.cause}'"

    def __call__(self, units: pd.DataFrame, study: Study, unit: str) -> "pd.Series[bool]":  # noqa: ARG002
        """Return whether each unit's ending is the one named."""
        return units[study.roles["ending"]] == self.cause


@dataclass(frozen=True, slots=True)
class FewerSessionsThan:
    """Dropout means having ended, however it is coded, before the session numbered `sessions`.

    Sessions are counted by their numbers, not by the rows of the table: where every fourth session
    is rated, rows 1, 5, 9, 13 are thirteen sessions. An intake numbered 0 is not one of them.
    """

    sessions: int

    @property
    def words(self) -> str:
        """The definition, as the end of a sentence."""
        return f"treatment ended before session number {self.sessions}"

    def __call__(self, units: pd.DataFrame, study: Study, unit: str) -> "pd.Series[bool]":  # noqa: ARG002
        """Return whether each unit ended before its session number `sessions`."""
        if self.sessions < 2:
            raise ValueError(f"sessions must be at least 2; got {self.sessions}.")
        return ended(units, study) & (units["last_session"] < self.sessions)


@dataclass(frozen=True, slots=True)
class MissedLastScheduled:
    """Dropout means having missed the last scheduled session.

    Attributes
    ----------
    attended
        Column of true/false: which of the study's rows, one per scheduled session, were
        attended.
    """

    attended: str

    @property
    def words(self) -> str:
        """The definition, as the end of a sentence."""
        return "the last scheduled session was missed"

    def __call__(self, units: pd.DataFrame, study: Study, unit: str) -> "pd.Series[bool]":
        """Return whether each unit's last scheduled session came after its last attended one."""
        data, session = study.sessions, study.roles["session"]
        scheduled = data.groupby(unit, observed=True)[session].max()
        return ended(units, study) & (units[unit].map(scheduled) > units["last_session"])


@dataclass(frozen=True, slots=True)
class BeforeReliableChange:
    """Dropout means having ended before the outcome improved reliably.

    The improvement from the first to the last rating is reliable where it is larger than
    ``criterion * sd_before * sqrt(2 (1 - reliability))`` (Jacobson & Truax 1991,
    doi:10.1037/0022-006X.59.1.12). A unit without two ratings did not improve reliably.

    Attributes
    ----------
    sd_before, reliability
        Of the outcome, before treatment.
    better
        ``"lower"`` where lower outcomes are better (symptoms), else ``"higher"``.
    criterion
        1.96 for a 5% two-sided error.
    """

    sd_before: float
    reliability: float
    better: str = "lower"
    criterion: float = 1.96

    @property
    def words(self) -> str:
        """The definition, as the end of a sentence."""
        return "treatment ended before the outcome had improved reliably"

    def __call__(self, units: pd.DataFrame, study: Study, unit: str) -> "pd.Series[bool]":
        """Return whether each unit ended without reliable improvement."""
        self._check()
        if unit != study.roles["person"]:
            raise DataError(
                "Reliable change is a person's: a family has several outcomes. Use "
                "endings(study, definition, unit='person'), or another definition."
            )
        roles = study.roles
        if "outcome" not in roles:
            raise DataError("This study has no outcome column: give outcome= when it is made.")
        data = study.sessions.sort_values(roles["session"], kind="stable")
        data = data[data[roles["outcome"]].notna()]
        scores = data.groupby(unit, observed=True)[roles["outcome"]]
        change = scores.last() - scores.first()
        gain = -change if self.better == "lower" else change
        least = self.criterion * self.sd_before * np.sqrt(2.0 * (1.0 - self.reliability))
        improved = units[unit].map(gain > least).fillna(value=False).astype(bool)
        return ended(units, study) & ~improved

    def _check(self) -> None:
        if not self.sd_before > 0 or not 0 < self.reliability < 1:
            raise ValueError(
                "sd_before must be above 0 and reliability between 0 and 1; got "
                f"{self.sd_before} and {self.reliability}."
            )
        if self.better not in ("lower", "higher"):
            raise ValueError(f"better must be 'lower' or 'higher'; got {self.better!r}.")
