"""What counts as an ending: a column of endings, four definitions of dropout, and their clock.

Days and weeks are counted like sessions: from 1, each one begun counting as a whole. Day 1 is the
day on which the clock is at 0, week 1 the first seven days. A unit that ended has as many as it had
begun when last seen; for one still in treatment the last is not over, and it was seen to stay
through all earlier ones.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from alliance_stats.checks import check_choice, describe_rows, did_you_mean, group_codes
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import plural
from alliance_stats.spelling import check_spelling, plain_number
from alliance_stats.study import Study

__all__ = [
    "CLOCKS",
    "BeforeReliableChange",
    "CodedEnding",
    "Definition",
    "FewerSessionsThan",
    "MissedLastScheduled",
    "clock_words",
    "ended",
    "ending_named",
    "on_the_calendar",
    "read_endings",
    "read_event",
]

CLOCKS = ("sessions", "days", "weeks")
_CENSORED_LABELS = ("ongoing", "censored")
_DAYS = {"days": 1.0, "weeks": 7.0}
# A time this little (relatively) under a whole day or week is that one.
_DUST = 1e-9


def clock_words(clock: str) -> str:
    """Return what the clock counts, as the end of a sentence; empty for sessions."""
    return {
        "sessions": "",
        "days": "time in days from the first, each one that was begun",
        "weeks": "time in weeks from the first day, each one that was begun (endings in one week "
        "are tied)",
    }[clock]


def on_the_calendar(
    sessions: pd.DataFrame,
    units: pd.DataFrame,
    roles: Mapping[str, str],
    column: str,
    *,
    clock: str,
    attended: str | None,
) -> tuple[Array, Array, Array]:
    """Return entry, last interval and whether any was seen, of each unit (n,).

    Parameters
    ----------
    sessions, roles
        The study's rows, with a time (dates, or days since the start of treatment), and its roles.
    units
        One row per unit: `column`, ``first_session``, ``last_session`` and the study's ending.
    column
        The units' ids.
    clock
        ``"days"`` or ``"weeks"``.
    attended
        Column of true/false of the study's sessions; None where all rows were attended.

    Returns
    -------
    entry, time, seen
        Days (weeks) that were over when the unit was first seen; those it had begun when it ended,
        less one for units still in treatment; and whether that leaves any time at risk.

    Raises
    ------
    DataError
        A study without time; sessions of which no time is known; units first seen later
        than others, on dates, which do not say when their treatment began.
    """
    check_choice(clock, CLOCKS, name="clock")
    if "time" not in roles:
        raise DataError(
            f"clock={clock!r} needs to know when sessions took place: give time= when the study is "
            "made (dates, or days since the start of treatment)."
        )
    session, time = roles["session"], roles["time"]
    if column == roles.get("family"):
        sessions = _from_the_first_of_each(sessions, column, time)
    went = sessions if attended is None else sessions[sessions[attended].astype(bool)]
    days = [
        _day_of(went, units, (column, session, time), which, latest=which == "last_session")
        for which in ("first_session", "last_session")
    ]
    origin = units["first_session"].min()
    late = (units["first_session"] > origin).to_numpy() & (days[0] == 0.0)
    if late.any():
        raise DataError(
            f"'{units[column].to_numpy()[late][0]}' (column '{column}') was first seen at session "
            f"{units['first_session'].to_numpy()[late][0]}, and its time begins there: "
            f"{plural(int(late.sum()), 'unit')} of whom it is not known when they began. Give "
            "time= as days since the start of treatment, or take clock='sessions'."
        )
    size = _DAYS[clock]
    first, last = (np.floor(day / size * (1.0 + _DUST) + _DUST) for day in days)
    ongoing = (units[roles["ending"]].astype(object) == "ongoing").to_numpy()
    stop = last + 1.0 - ongoing
    return first, stop, stop > first


def _from_the_first_of_each(sessions: pd.DataFrame, column: str, time: str) -> pd.DataFrame:
    """Return the sessions with the days that a study counted from dates counted from each unit's.

    In a study of persons they are counted from each person's first date, and members of one
    family begin on several.
    """
    written = time.removesuffix("_days")
    if written == time or written not in sessions or not is_datetime64_any_dtype(sessions[written]):
        return sessions
    dates = sessions[written]
    first = dates.groupby(sessions[column], observed=True).transform("min")
    return replaced(sessions, {time: (dates - first).dt.days.to_numpy(np.float64)})


def _day_of(
    went: pd.DataFrame,
    units: pd.DataFrame,
    columns: tuple[str, str, str],
    which: str,
    *,
    latest: bool,
) -> Array:
    """Return the time of each unit's first or last session, the outermost of several rows."""
    column, session, time = columns
    wanted = units.set_index(column)[which]
    own = went[went[session].to_numpy() == went[column].map(wanted).to_numpy(dtype=np.float64)]
    by_unit = own.groupby(column, observed=True)[time]
    found = (by_unit.max() if latest else by_unit.min()).reindex(wanted.index)
    unknown = found.isna().to_numpy()
    if unknown.any():
        raise DataError(
            f"When '{wanted.index[unknown][0]}' had its session {wanted.to_numpy()[unknown][0]} is "
            f"not known (column '{time}'; {describe_rows(unknown, units.index)} of the units): "
            "give the time of that session, or take clock='sessions'."
        )
    return np.asarray(found, dtype=np.float64)


def ended(units: pd.DataFrame, study: Study) -> "pd.Series[bool]":
    """Return whether each unit's treatment had ended, in whatever way."""
    return units[study.roles["ending"]].astype(object) != "ongoing"


@runtime_checkable
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


def read_event(data: pd.DataFrame, event: Hashable) -> Integers:
    """Return 0 for censored and 1 for the event, refusing anything else."""
    values = data[event]
    allowed = values.isin([0, 1]).to_numpy() & (values.dtype.kind != "c")
    if not allowed.all():
        found = ", ".join(repr(value) for value in pd.unique(values[~allowed])[:5].tolist())
        raise DataError(
            f"Column '{event}' must be 0 (censored) or 1 (event), or boolean; it holds {found} "
            f"in {describe_rows(~allowed, data.index)}. Say which value is the event, as in "
            f"data.assign(left=data['{event}'] == value) and event='left'."
        )
    return np.asarray(values.to_numpy(), dtype=np.int64)


def read_endings(
    data: pd.DataFrame, event: Hashable, censored: object | None
) -> tuple[Integers, tuple[str, ...]]:
    """Return each row's ending (0 for censored, else from 1), and the endings' names."""
    check_spelling(data[event], kind="ending")
    codes, labels = group_codes(data[event])
    if censored is None:
        censored = _censored_value(event, labels)
    elif censored != () and not (isinstance(censored, Hashable) and censored in labels):
        raise DataError(
            f"Column '{event}' does not hold {censored!r}, the value that means censored. "
            f"{did_you_mean(censored, labels)} If nobody is censored, give censored=()."
        )
    ends = [k for k, label in enumerate(labels) if label != censored]
    if not ends:
        raise DataError(f"Column '{event}' holds no ending: every row is {censored!r} (censored).")
    number = np.zeros(len(labels), dtype=np.int64)
    number[ends] = np.arange(1, len(ends) + 1)
    return number[codes], tuple(str(plain_number(labels[k])) for k in ends)


def _censored_value(event: Hashable, labels: pd.Index) -> object:
    if pd.api.types.is_bool_dtype(labels):
        return False
    if pd.api.types.is_numeric_dtype(labels):
        found: list[object] = [0] if 0 in labels else []
    else:
        found = [label for label in _CENSORED_LABELS if label in labels]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(repr(plain_number(label)) for label in labels.tolist()[:6])
    kind = "labels" if labels.dtype == object else "codes"
    raise DataError(
        f"Column '{event}' holds the {kind} {shown}. Say which of them means that treatment had "
        f"not ended, as in censored={plain_number(labels.tolist()[0])!r}; if everyone's has, give "
        "censored=()."
    )


def ending_named(cause: object, states: Sequence[str], event: Hashable) -> str:
    """Return the name of the ending that is meant, which must be among those of the column.

    Raises
    ------
    DataError
        If no row ends so.
    """
    name = str(plain_number(cause))
    if name not in states:
        raise DataError(f"Column '{event}' has no ending {cause!r}. {did_you_mean(name, states)}")
    return name
