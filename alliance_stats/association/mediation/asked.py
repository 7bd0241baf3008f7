"""The specification of a mediation, and the rows that it uses."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_choice,
    check_frame,
    describe_rows,
    did_you_mean,
    finite_or_missing,
    require_columns,
)
from alliance_stats.design.rows import complete_rows
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import format_number
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling

__all__ = ["Asked", "Case", "Drawn", "Family", "Intervals", "Natural", "Scale", "listed", "read"]

Family = Literal["linear", "logistic", "poisson"]
Intervals = Literal["monte_carlo", "bootstrap", "profile"]
Scale = Literal["difference", "ratio"]
_FAMILIES = ("linear", "logistic", "poisson")
_FEWEST = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What mediates what.

    Attributes
    ----------
    treatment, mediators, outcome, covariates
        Columns.
    serial
        Whether each mediator affects the next.
    moderator
        Column that moderates paths, or None.
    moderates
        Which: ``"a"`` (treatment to mediator), ``"b"`` (mediator to outcome), ``"c"`` (direct).
    """

    treatment: str
    mediators: tuple[str, ...]
    outcome: str
    covariates: tuple[str, ...] = ()
    serial: bool = False
    moderator: str | None = None
    moderates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.mediators:
            raise DataError("Name at least one mediator.")
        if self.serial and len(self.mediators) < 2:
            raise DataError("serial= needs two mediators or more.")
        strange = [path for path in self.moderates if path not in ("a", "b", "c")]
        if strange or (self.moderator is not None and not self.moderates):
            raise ValueError("moderates= names paths among 'a', 'b' and 'c'.")

    @property
    def targets(self) -> tuple[str, ...]:
        """Variables with an equation: the mediators, then the outcome."""
        return (*self.mediators, self.outcome)

    def sources(self, target: str) -> tuple[str, ...]:
        """Return what affects a target: the treatment, and the mediators before it."""
        if target == self.outcome:
            return (self.treatment, *self.mediators)
        before = self.mediators[: self.mediators.index(target)] if self.serial else ()
        return (self.treatment, *before)

    def moderated(self, source: str, target: str) -> bool:
        """Return whether the moderator affects this path."""
        if self.moderator is None:
            return False
        if target != self.outcome:
            return "a" in self.moderates and source == self.treatment
        return ("c" if source == self.treatment else "b") in self.moderates

    def index_term(self, mediator: str) -> str:
        """Return the name of a mediator's index of moderated mediation."""
        several = f" through {mediator}" if len(self.mediators) > 1 else ""
        return f"index of moderated mediation{several}"

    @property
    def named(self) -> str:
        """The question in a phrase."""
        kind = "serial mediation" if self.serial else "mediation"
        by = " and ".join(map(str, self.mediators))
        text = f"{kind} of {self.treatment} on {self.outcome} by {by}"
        return text if self.moderator is None else f"{text}, moderated by {self.moderator}"


@dataclass(frozen=True, slots=True)
class Natural:
    """Natural effects: between which values of the treatment, and on which scale.

    Attributes
    ----------
    mediator, outcome
        Families of the two equations.
    interaction
        Whether treatment and mediator interact.
    values
        The two values of the treatment, or None for the usual ones.
    scale
        ``"difference"`` or ``"ratio"``.
    """

    mediator: Family
    outcome: Family
    interaction: bool
    values: tuple[object, object] | None
    scale: Scale

    def __post_init__(self) -> None:
        check_choice(self.mediator, _FAMILIES, name="mediator_family")
        check_choice(self.outcome, _FAMILIES, name="outcome_family")
        check_choice(self.scale, ("difference", "ratio"), name="scale")

    @property
    def wanted(self) -> bool:
        """Whether a product of coefficients would not be an effect on the outcome."""
        return self.interaction or (self.mediator, self.outcome) != ("linear", "linear")

    def pair(self, x: Array) -> tuple[float, float]:
        """Return the two values: 0 and 1 if there are no others, else the mean and one SD above."""
        if self.values is not None:
            low, high = (float(value) for value in self.values)  # type: ignore[arg-type]
            return low, high
        if set(np.unique(x)) == {0.0, 1.0}:
            return 0.0, 1.0
        return float(x.mean()), float(x.mean() + x.std(ddof=1))


@dataclass(frozen=True, slots=True)
class Drawn:
    """How intervals are computed.

    Attributes
    ----------
    intervals
        ``"monte_carlo"``, ``"bootstrap"`` or ``"profile"``.
    n
        Draws of paths; a tenth of them for natural effects, a twentieth for refitted models.
    rng
        Random number generator.
    """

    intervals: Intervals
    n: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        check_choice(self.intervals, ("monte_carlo", "bootstrap", "profile"), name="intervals")
        if self.n < _FEWEST:
            raise ValueError(f"n_resamples must be at least {_FEWEST}; got {self.n}.")

    def fewer(self, part: int) -> int:
        """Return a fraction of the draws, at least 200."""
        return max(self.n // part, 200)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """The rows of a mediation, read once.

    Attributes
    ----------
    asked
        What mediates what, in columns of `frame`.
    frame
        Complete rows; treatment, mediators, outcome and moderator are numbers.
    rows
        The ledger.
    unit, cluster
        Columns of units and of clusters, or None.
    arms
        The two compared values of a treatment given in words.
    """

    asked: Asked
    frame: pd.DataFrame
    rows: RowLedger
    unit: str | None
    cluster: str | None
    arms: tuple[str, str] | None

    @property
    def named(self) -> str:
        """The question in a phrase, with the arms that are compared."""
        if self.arms is None:
            return self.asked.named
        low, high = self.arms
        return self.asked.named.replace(
            f"of {self.asked.treatment}", f"of {self.asked.treatment} ({high} against {low})", 1
        )

    def at(self, at: Sequence[float] | None) -> tuple[float, ...]:
        """Return the values of the moderator at which effects are given; one NaN without one."""
        if self.asked.moderator is None:
            return (np.nan,)
        if at is not None:
            return tuple(float(value) for value in at)
        w = self.frame[self.asked.moderator].to_numpy(dtype=np.float64)
        if self.unit is not None:  # each unit once, however many rows it has
            w = w[~self.frame[self.unit].duplicated().to_numpy()]
        if len(np.unique(w)) == 2:
            return tuple(float(value) for value in np.unique(w))
        return tuple(float(w.mean() + k * w.std(ddof=1)) for k in (-1.0, 0.0, 1.0))


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    return (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)


def read(
    data: pd.DataFrame,
    asked: Asked,
    *,
    unit: str | None,
    cluster: str | None,
    values: tuple[object, object] | None,
    times: Mapping[str, str],
    also: Sequence[str] = (),
) -> Case:
    """Read the columns, code a treatment in words, and keep the complete rows.

    Parameters
    ----------
    data, asked
        The caller's frame, and what is requested of it.
    unit, cluster
        Columns, or None.
    values
        The two values of the treatment that are compared, or None.
    times
        Column -> column that says when it was measured.
    also
        Further columns that each row needs.
    """
    data = check_frame(data)
    groups = [name for name in (unit, cluster) if name is not None]
    named = [asked.treatment, *asked.targets]
    named += [] if asked.moderator is None else [asked.moderator]
    _check_once([*named, *asked.covariates, *groups, *also])
    require_columns(data, [*named, *asked.covariates, *groups, *also, *times.values()])
    data, asked, arms = _coded(data, asked, values)
    for name in named:
        _refuse_words(data[name])
    for group in groups:
        check_spelling(data[group], kind=group)
    numbers: dict[Hashable, object] = {name: finite_or_missing(data, name) for name in named}
    needed = [*named, *asked.covariates, *groups, *also]
    used, rows = complete_rows(replaced(data, numbers), needed, {})
    for name in named:
        if np.ptp(used[name].to_numpy(dtype=np.float64)) == 0.0:
            raise NotIdentifiedError(f"'{name}' is the same in all {len(used)} rows used.")
    _check_times(asked, used, times)
    return Case(asked, used, rows, unit, cluster, arms)


def _check_once(names: Sequence[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"'{twice[0]}' has two parts in the model; a column can have one.")


def _coded(
    data: pd.DataFrame, asked: Asked, values: tuple[object, object] | None
) -> tuple[pd.DataFrame, Asked, tuple[str, str] | None]:
    """Return a treatment in words as 0 and 1, further arms as covariates.

    With three arms or more, all rows stay and the other arms are represented by indicators: the
    effects are those of one arm relative to the reference (Hayes & Preacher 2014,
    doi:10.1111/bmsp.12028).
    """
    column = data[asked.treatment]
    if not _in_words(column):
        return data, asked, None
    check_spelling(column, kind=asked.treatment)
    levels = _levels(column)
    if len(levels) < 2:
        raise NotIdentifiedError(f"'{column.name}' is the same in all {len(data)} rows.")
    if values is None and len(levels) == 2:
        values = (levels[0], levels[1])
    if values is None:
        shown = ", ".join(map(repr, levels[:6]))
        raise DataError(
            f"'{asked.treatment}' has {len(levels)} values ({shown}): say which two are compared, "
            "reference first, values=(..., ...)."
        )
    for value in values:
        if value not in levels:
            raise DataError(
                f"values= names {value!r}, which '{asked.treatment}' never is. "
                f"{did_you_mean(value, levels)}"
            )
    low, high = values
    if low == high:
        raise DataError(f"values= compares {low!r} with itself.")
    missing = column.isna().to_numpy()
    indicators: dict[Hashable, object] = {
        name: np.where(missing, np.nan, (column == level).to_numpy(dtype=np.float64))
        for level, name in [(high, asked.treatment)]
        + [(level, f"{asked.treatment}: {level}") for level in levels if level not in values]
    }
    others = tuple(str(name) for name in indicators if name != asked.treatment)
    coded = data.assign(**{str(name): column for name, column in indicators.items()})
    asked = replace(asked, covariates=(*asked.covariates, *others))
    return coded, asked, (str(low), str(high))


def _in_words(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    return pd.api.types.infer_dtype(column, skipna=True) in ("string", "mixed", "mixed-integer")


def _levels(column: pd.Series) -> list[object]:
    """Return the words that occur, categories in their order."""
    there = column.dropna()
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [level for level in column.cat.categories if (there == level).any()]
    return sorted(there.unique(), key=str)


def _refuse_words(column: pd.Series) -> None:
    """Refuse words where a number belongs, and say how a yes or no becomes one."""
    if not _in_words(column) or pd.api.types.is_numeric_dtype(column.dtype):
        return
    levels = _levels(column)
    if len(levels) == 2 and all(isinstance(level, str) for level in levels):
        raise DataError(
            f"'{column.name}' holds words ({', '.join(map(repr, levels))}): numbers belong there. "
            f"Make it 1 and 0: (data['{column.name}'] == {levels[-1]!r}).astype(int)."
        )


def _check_times(asked: Asked, used: pd.DataFrame, times: Mapping[str, str]) -> None:
    """Refuse a mediator after the outcome, or before the treatment."""
    strange = [n for n in times if n not in (asked.treatment, *asked.targets)]
    if strange:
        raise DataError(f"times= names '{strange[0]}', which is not of the model.")
    order = [(asked.treatment, target) for target in asked.targets]
    order += [(m, asked.outcome) for m in asked.mediators]
    if asked.serial:
        order += list(zip(asked.mediators[:-1], asked.mediators[1:], strict=True))
    for before, after in order:
        if before in times and after in times:
            one, other = used[times[before]], used[times[after]]
            unknown = (one.isna() | other.isna()).to_numpy()
            if unknown.any():
                raise DataError(
                    f"It is not known whether '{before}' came before '{after}' in "
                    f"{describe_rows(unknown, used.index)}: '{times[before]}' or "
                    f"'{times[after]}' is missing. Drop these rows or fill in the times."
                )
            try:
                wrong = (one > other).to_numpy()
            except TypeError as strange_times:
                raise DataError(
                    f"'{times[before]}' and '{times[after]}' cannot be put in order: times are "
                    "numbers or dates, of one kind."
                ) from strange_times
            if wrong.any():
                raise DataError(
                    f"'{before}' was measured after '{after}' in {describe_rows(wrong, used.index)}"
                    f" ('{times[before]}' > '{times[after]}'): what comes later cannot mediate."
                )


def shown_pair(pair: tuple[float, float], arms: tuple[str, str] | None) -> tuple[str, str]:
    """Return the two values of a treatment as words."""
    return arms if arms is not None else (format_number(pair[0]), format_number(pair[1]))
