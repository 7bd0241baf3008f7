"""How groups change over sessions, and from which session onwards they differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Phrase, Section, html_of, summary_of
from alliance_stats.checks import (
    check_choice,
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.design.formula import (
    CONSTANT,
    MixedFormula,
    OwnColumn,
    RandomTerm,
    column,
    crossed,
    formula_of,
    intercepts,
)
from alliance_stats.engine.multiple_tests import JointT
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.formatting import format_level
from alliance_stats.groups.comparing.group_samples import grouped
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import DfMethod, LinearEstimates, LinearMixedModel, infer, lmm
from alliance_stats.spelling import check_spelling

__all__ = ["TrajectoryComparison", "compare_trajectories"]

_DF_WORDS = {
    "satterthwaite": "Satterthwaite degrees of freedom",
    "kenward-roger": "Kenward-Roger degrees of freedom",
    "normal": "normal theory",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrajectoryComparison:
    """Straight trajectories of two groups; returned by :func:`compare_trajectories`.

    Attributes
    ----------
    outcome, time, labels
        Columns compared, and the groups in order; differences are first minus second.
    model
        The mixed model, coefficients ``(Intercept), first, time, first:time`` with ``first`` 1 in
        the first group.
    df_method
        Method of the df of all intervals.
    times
        The times at which the groups are compared: those that occur in the data.
    rows
        Ledger of the caller's rows.
    """

    outcome: str
    time: str
    labels: tuple[str, str]
    model: LinearMixedModel
    df_method: DfMethod
    times: Array
    rows: RowLedger

    __repr__ = one_line

    @property
    def contrast(self) -> str:
        """Return what is subtracted from what."""
        return f"{self.labels[0]} - {self.labels[1]}"

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the simple slopes of both groups and their difference.

        ``term`` is ``slope``, ``contrast`` a group or the difference; in units of the outcome per
        unit of time.
        """
        L = np.array([[0.0, 0, 1, 1], [0.0, 0, 1, 0], [0.0, 0, 0, 1]])
        frame = self._estimates(L).columns(conf_level=conf_level)
        frame.insert(0, "term", "slope")
        frame.insert(1, "contrast", [*self.labels, self.contrast])
        return frame

    def differences(
        self, *, times: npt.ArrayLike | None = None, conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return the difference of the groups at each time.

        ``conf_low, conf_high`` hold for one time; ``band_low, band_high`` for all requested times
        jointly (maximum of correlated t statistics, at the smallest of their df). The p-value is
        that of one time.
        """
        at = self.times if times is None else np.asarray(times, dtype=np.float64)
        zero, one = np.zeros(at.size), np.ones(at.size)
        found = self._estimates(np.column_stack([zero, one, zero, at]))
        frame = found.columns(conf_level=conf_level)
        error = found.std_error
        correlation = found.covariance / np.outer(error, error)
        critical = JointT.of(correlation).critical(float(np.nanmin(found.df)), conf_level)
        frame.insert(0, "time", at)
        frame.insert(1, "contrast", self.contrast)
        return frame.assign(
            band_low=found.estimate - critical * error, band_high=found.estimate + critical * error
        )

    def means(
        self, *, times: npt.ArrayLike | None = None, conf_level: float = 0.95
    ) -> pd.DataFrame:
        """Return each group's model mean at each time, with the interval of one time."""
        at = self.times if times is None else np.asarray(times, dtype=np.float64)
        tables = []
        for place, label in enumerate(self.labels):
            first = np.full(at.size, 1.0 - place)
            L = np.column_stack([np.ones(at.size), first, at, first * at])
            frame = self._estimates(L).columns(conf_level=conf_level)
            kept = frame[["estimate", "std_error", "df", "conf_low", "conf_high"]]
            tables.append(kept.assign(group=label, time=at))
        return pd.concat(tables, ignore_index=True)

    def differ_from(self, *, conf_level: float = 0.95) -> float:
        """Return the first time from which the simultaneous band excludes 0, NaN if none.

        It must do so at every later time, up to the last that occurs in the data.
        """
        band = self.differences(conf_level=conf_level)
        apart = ((band["band_low"] > 0) | (band["band_high"] < 0)).to_numpy()
        if not apart[-1]:
            return math.nan
        # the run of excluded zeros that reaches the end
        start = apart.size - int(np.argmin(apart[::-1])) if not apart.all() else 0
        return float(self.times[start])

    def glance(self) -> pd.DataFrame:
        """Return one row: the model's glance."""
        return self.model.glance()

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return (
            f"Straight trajectories of '{self.outcome}' over '{self.time}' compared by a linear "
            f"mixed model ({_DF_WORDS[self.df_method]})"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the slopes."""
        words = {"first": self.contrast, "time": self.time}
        return self.model.notes_in({**words, "first:time": f"{self.contrast} × {self.time}"})

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return slopes, their difference, and from when on the groups differ, as data."""
        slopes = Section(
            f"{self.outcome} per unit of {self.time}",
            self.tidy(conf_level=conf_level),
            names=("contrast",),
            measure="slope",
            conf_level=conf_level,
        )
        start, level = self.differ_from(conf_level=conf_level), format_level(conf_level)
        said = Phrase(
            f"At no stretch of time up to the last does the {level} simultaneous band exclude 0."
            if math.isnan(start)
            else f"From {{}} {{}} on the {level} simultaneous band of {{}} excludes 0.",
            () if math.isnan(start) else (self.time, f"{start:g}", self.contrast),
        )
        sizes = {"rows": self.rows.n_used}
        return Account.of(self, sizes, (slopes,), (said,), sources=("bates2015", "kuznetsova2017"))

    summary = summary_of
    _repr_html_ = html_of

    def _estimates(self, L: Array) -> LinearEstimates:
        return infer(self.model, self.df_method).of(L)


def compare_trajectories(
    data: pd.DataFrame,
    *,
    outcome: str,
    time: str,
    group: str,
    person: str,
    nested_in: Sequence[str] = (),
    random_slope: bool = True,
    df_method: DfMethod = "satterthwaite",
) -> TrajectoryComparison:
    """Compare the straight trajectories of two groups by a mixed model.

    ``outcome ~ first * time + (1 + time | person)`` and an intercept for each level that persons
    are nested in, by REML.

    Parameters
    ----------
    data
        One row per person x time.
    outcome, time, group, person
        Columns; the group is constant in a person. Differences are first minus second group.
    nested_in
        Columns of the levels above the person, innermost first: ``["family", "therapist"]``.
    random_slope
        Whether persons differ in their slopes; without it the slopes' standard errors treat all
        deviations from a straight line as independent, and are too small where persons differ.
    df_method
        ``"satterthwaite"`` or ``"kenward-roger"`` (slow in large studies).

    Raises
    ------
    DataError
        If there are not two groups, a person is in both, or has several rows at one time.
    NotIdentifiedError
        If a group has a single person or there is a single time.

    Examples
    --------
    >>> from alliance_stats import compare_trajectories, example_study
    >>> sessions = example_study().sessions
    >>> found = compare_trajectories(
    ...     sessions, outcome="alliance", time="session", group="parent_alliance", person="person"
    ... )
    >>> found.tidy()[["term", "estimate", "std_error"]].round(2)
        term  estimate  std_error
    0  slope      0.03        0.0
    1  slope      0.03        0.0
    2  slope      0.00        0.0
    """
    data = check_frame(data)
    require_columns(data, [outcome, time, group, person, *nested_in])
    check_choice(df_method, ("satterthwaite", "kenward-roger", "normal"), name="df_method")
    codes, labels = grouped(data, group)
    if len(labels) != 2:
        raise DataError(
            f"compare_trajectories compares two groups; '{group}' holds {len(labels)}: "
            + ", ".join(labels)
            + ". Keep two of them, or fit lmm with the interaction."
        )
    _check_order(data, nested_in)
    path = [*reversed(nested_in), person]
    frame = _numbered(data, outcome, time, codes, path)
    rows = RowLedger.start(data, {person: tuple(path)})
    kept = data
    for name, given in zip(frame.columns, [outcome, group, time, *path], strict=True):
        present = frame[name].notna()
        frame = frame[present]
        kept, rows = rows.keep(kept, present, reason=f"'{given}' is missing")
    _check_persons(frame, group, labels)
    _check_one_row_a_time(kept, frame, time)
    model = lmm(_formula(list(frame.columns[3:]), random_slope=random_slope), frame)
    times = np.unique(frame["time"])
    return TrajectoryComparison(
        outcome, time, (labels[0], labels[1]), model, df_method, times, rows
    )


def _numbered(
    data: pd.DataFrame, outcome: str, time: str, codes: Integers, levels: list[str]
) -> pd.DataFrame:
    """Return the columns of the model: outcome, first, time, and the levels as they are called."""
    frame = pd.DataFrame(
        {
            "outcome": finite_or_missing(data, outcome),
            "first": np.where(codes < 0, np.nan, (codes == 0).astype(float)),
            "time": finite_or_missing(data, time),
        },
        index=data.index,
    )
    for level in levels:
        outer = list(frame.columns[3:])
        check_spelling(
            data[level], kind="unit", within=frame.groupby(outer).ngroup() if outer else None
        )
        numbers = group_codes(data[level])[0]
        frame[OwnColumn(str(level))] = np.where(numbers >= 0, numbers, np.nan)
    return frame


def _check_order(data: pd.DataFrame, nested_in: Sequence[str]) -> None:
    """Refuse outer levels that have more units than inner ones."""
    for inner, outer in pairwise(nested_in):
        if data[outer].nunique() > data[inner].nunique():
            raise DataError(
                f"There are more '{outer}' than '{inner}'; nested_in goes from the innermost level "
                f"to the outermost: nested_in={[*reversed(nested_in)]}."
            )


def _formula(names: list[Any], *, random_slope: bool) -> MixedFormula:
    outer = [intercepts(names[: i + 1]) for i in range(len(names) - 1)]
    line = CONSTANT + column("time") if random_slope else CONSTANT
    fixed = CONSTANT + crossed(column("first"), column("time"))
    return formula_of("outcome", fixed, [*outer, RandomTerm(line, tuple(names))])


def _check_one_row_a_time(kept: pd.DataFrame, frame: pd.DataFrame, time: str) -> None:
    """Refuse several rows of a person at one time: the model would count copies as evidence."""
    twice = frame.duplicated([name for name in frame.columns if name not in ("outcome", "first")])
    if twice.any():
        raise DataError(
            f"A person has several rows at one '{time}' ({describe_rows(twice, kept.index)} repeat "
            "an earlier one). Keep or average one per person and time; for several raters fit lmm "
            "with a random effect for them."
        )


def _check_persons(frame: pd.DataFrame, group: str, labels: tuple[str, ...]) -> None:
    if frame["time"].nunique() < 2:
        raise NotIdentifiedError("A trajectory needs at least two different times with an outcome.")
    levels = list(frame.columns[3:])
    persons = frame.groupby(levels)["first"].agg(["nunique", "first"])
    if (persons["nunique"] > 1).any():
        count = int((persons["nunique"] > 1).sum())
        raise DataError(
            f"{count} persons are in both groups of '{group}'; a trajectory belongs to one. If "
            "persons change group, fit lmm with the group as a time-varying predictor."
        )
    for code, label in ((1.0, labels[0]), (0.0, labels[1])):
        if int((persons["first"] == code).sum()) < 2:
            raise NotIdentifiedError(
                f"Group '{label}' has fewer than two persons with an outcome: its trajectory "
                "cannot be told from theirs."
            )
