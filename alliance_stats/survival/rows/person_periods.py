"""Rows of a discrete-time hazard: one a unit and session, its event in the interval after it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.design.design import Design
from alliance_stats.design.formula import CONSTANT, Terms, transformed
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger

__all__ = [
    "Periods",
    "baseline_columns",
    "baseline_terms",
    "read_periods",
    "refuse_copies",
]

# Groups in which all units end together before it cannot be chance.
_GROUPS_NEEDED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """Rows at risk, and the sessions about which nothing is left to estimate.

    Attributes
    ----------
    frame
        The rows, with whole session numbers.
    session, event, unit
        Names of the columns.
    sessions
        ``session, n_risk, n_event``, a row a session with rows at risk, ascending.
    rows
        The ledger.
    """

    frame: pd.DataFrame
    session: str
    event: str
    unit: str
    sessions: pd.DataFrame
    rows: RowLedger

    def without_certain_sessions(self) -> "Periods":
        """Set aside the sessions after which no one, or everyone, left.

        With a baseline of its own, such a session has hazard 0 (or 1) whatever the covariates: its
        rows have likelihood 1 and say nothing about anything else.
        """
        table = self.sessions.set_index("session")
        never = table.index[table["n_event"] == 0]
        always = table.index[table["n_event"] == table["n_risk"]]
        frame, rows = self.frame, self.rows
        for found, what in ((never, "no one left: hazard 0"), (always, "everyone left: hazard 1")):
            if len(found):
                listed = ", ".join(str(number) for number in found)
                frame, rows = rows.keep(
                    frame,
                    ~frame[self.session].isin(found),
                    reason=f"after session{'s' if len(found) > 1 else ''} {listed} {what}",
                )
        if len(frame) == 0:
            raise NotIdentifiedError(
                "After every session either no one or everyone left: no hazard lies between 0 and "
                f"1, and there is nothing to model. {rows}"
            )
        return replace(self, frame=frame, rows=rows)


def read_periods(
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    needed: Sequence[str],
    causes: bool = False,
) -> Periods:
    """Check person-period rows and set aside those without an outcome or a predictor.

    Parameters
    ----------
    data
        One row a unit and session, as ``person_period`` and ``endings(...).periods()`` make them.
    session, event, unit
        Columns: session number, 1 where the unit ended in the interval after it (NaN where that
        interval has not been observed), and the id of what ends.
    needed
        Further columns without which a row is not used.
    causes
        Whether `event` holds several endings (anything that is not 0 is one).

    Raises
    ------
    DataError
        Sessions that are not whole numbers, two rows of a unit at a session, a missing session in
        between, rows after an ending, an unknown event.
    NotIdentifiedError
        No events.
    """
    require_columns(check_frame(data), [session, event, unit, *needed])
    require_present(data, unit, why="to know what ends")
    require_present(data, session, why="as the clock")
    number = finite_or_missing(data, session)
    odd = number != np.floor(number)
    if odd.any():
        raise DataError(
            f"Column '{session}' must hold whole session numbers; see "
            f"{describe_rows(odd, data.index)}."
        )
    happened = _happened(data, event, causes=causes)
    _check_course(data, number, happened, (unit, session, event))
    frame = data.assign(**{session: number.astype(np.int64)})
    rows = RowLedger.start(frame, {unit: (unit,)})
    frame, rows = rows.keep(
        frame, ~np.isnan(happened), reason="whether the unit came back is not known yet"
    )
    ended = happened[~np.isnan(happened)]
    for column in dict.fromkeys(needed):
        present = frame[column].notna().to_numpy()
        if not present.all():
            lost = int(ended[~present].sum())
            what = "an ending" if causes else "the event"
            with_events = f", {lost} of them with {what}" if lost else ""
            frame, rows = rows.keep(frame, present, reason=f"'{column}' is missing{with_events}")
            ended = ended[present]
    if len(frame) == 0 or not ended.any():
        raise NotIdentifiedError(
            f"None of {plural(len(frame), 'row')} ends with the event '{event}': there is no "
            f"hazard to model. {rows}"
        )
    by_session = pd.DataFrame({"session": frame[session].to_numpy(), "n_event": ended})
    table = by_session.groupby("session")["n_event"].agg(n_risk="size", n_event="sum").reset_index()
    table["n_event"] = table["n_event"].astype(np.int64)
    return Periods(frame, session, event, unit, table, rows)


def refuse_copies(periods: Periods, groups: Sequence[tuple[str, ...]]) -> None:
    """Refuse a random effect of groups in which one ending is all there is to see.

    A group with a single unit ends once: its effect and that ending's own chance are the same
    thing, and the variance runs away without anything saying so. The rows of units that all end
    together are copies of one event.
    """
    frame, unit = periods.frame, periods.unit
    for columns in groups:
        require_columns(frame, list(columns))
        name = ":".join(columns)
        last = frame.sort_values(periods.session).groupby(unit, sort=False).tail(1)
        by_group = last.groupby(list(columns), sort=False, observed=True)
        sizes = by_group.size()
        if sizes.max() == 1:
            raise NotIdentifiedError(
                f"Each '{name}' ends once: a variance between them cannot be "
                "told from chance (such fits run to SDs in the hundreds and call it "
                "convergence). Leave the term out; a coarser grouping, such as the therapist, can "
                "have one."
            )
        endings = by_group[[periods.session, periods.event]].nunique()
        together = (endings <= 1).all(axis=1)[sizes > 1]
        if len(together) >= _GROUPS_NEEDED and together.all():
            raise DataError(
                f"All '{unit}' rows of a '{name}' end in the same session and in the same way, in "
                f"each of {len(together)}: they are copies of one event and would be counted as "
                f"many. Keep one row a '{name}' and session, with unit='{name}'."
            )


def _happened(data: pd.DataFrame, event: str, *, causes: bool) -> Array:
    """Return 1 where an ending came, 0 where none did, NaN where that is not known."""
    if causes:
        values = data[event]
        came = ~values.astype(object).isin([0, 0.0, "0", False]).to_numpy()
        return np.asarray(np.where(values.isna(), np.nan, came.astype(np.float64)))
    values_as_numbers = finite_or_missing(data, event)
    odd = ~np.isin(values_as_numbers, (0.0, 1.0)) & ~np.isnan(values_as_numbers)
    if odd.any():
        raise DataError(
            f"Column '{event}' must be 1 (the event came in the interval after the session), 0, or "
            f"missing; see {describe_rows(odd, data.index)}."
        )
    return np.asarray(values_as_numbers)


def _check_course(
    data: pd.DataFrame, number: Array, happened: Array, names: tuple[str, str, str]
) -> None:
    """Refuse courses of a unit that cannot be."""
    unit, session, event = names
    codes = pd.factorize(data[unit])[0]
    order = np.lexsort((number, codes))
    same = np.diff(codes[order]) == 0
    step = np.diff(number[order])
    earlier, later = order[:-1], order[1:]
    who = data[unit].to_numpy()

    def refuse(bad: npt.NDArray[np.bool_], problem: str, advice: str) -> None:
        if bad.any():
            rows = np.zeros(len(data), dtype=bool)
            rows[earlier[bad]] = rows[later[bad]] = True
            raise DataError(
                f"'{who[earlier[bad][0]]}' (column '{unit}') {problem}: "
                f"{describe_rows(rows, data.index)}. {advice}"
            )

    refuse(
        same & (step == 0),
        f"has several rows of one '{session}'",
        "A unit ends once: keep one row a unit and session (person_period makes such rows; where "
        "members end together, the family is the unit).",
    )
    refuse(
        same & (happened[earlier] == 1.0),
        f"goes on after its ending (column '{event}')",
        "Nothing that happens after an ending can be at risk of it.",
    )
    refuse(
        same & np.isnan(happened[earlier]),
        f"has rows after one whose '{event}' is missing",
        "Who came back had not left: write 0.",
    )
    refuse(
        same & (step > 1),
        f"has a gap in '{session}'",
        "It was in treatment, and at risk, in between: person_period makes those rows.",
    )


def baseline_terms(kind: str, periods: Periods, df: int) -> Terms:
    """Return the terms of a baseline: its columns hold the constant.

    Parameters
    ----------
    kind
        ``"dummies"`` (a level each session), ``"spline"`` (natural cubic spline) or
        ``"polynomial"`` (orthogonal).
    periods
        Rows to be modelled. Of one session there is one level: a constant.
    df
        Columns beside the constant, of a spline or a polynomial.
    """
    session = periods.session
    if kind == "dummies":
        several = len(periods.frame[session].unique()) > 1
        return transformed("C", session) if several else CONSTANT
    if kind == "spline":
        return transformed("cr", session, df=df + 1)
    return CONSTANT + transformed("poly", session, df)


def baseline_columns(design: Design, kind: str) -> int:
    """Return how many leading columns are the baseline's, in a formula that begins with it."""
    terms = design.fixed.coding.terms
    return int(terms[1 if kind == "polynomial" else 0].columns.stop)
