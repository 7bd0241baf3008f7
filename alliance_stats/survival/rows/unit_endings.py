"""Who ended, when, and what counts as dropout: one row per unit, under a stated definition."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Phrase, html_of, summary_of
from alliance_stats.arguments import kind_of, require_kind
from alliance_stats.checks import check_choice, finite_or_missing, require_columns
from alliance_stats.design.formula import OwnColumn
from alliance_stats.door import replaced, with_columns
from alliance_stats.errors import AllianceStatsWarning, DataError, WrongObjectError, warn
from alliance_stats.estimates import one_line
from alliance_stats.formatting import format_count, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.study import Study
from alliance_stats.survival.rows.dropout_definitions import (
    CLOCKS,
    BeforeReliableChange,
    CodedEnding,
    Definition,
    MissedLastScheduled,
    clock_words,
    ended,
    on_the_calendar,
)
from alliance_stats.transforms import last_session, person_period, session_origin
from alliance_stats.transforms.future import refuse_the_future

__all__ = ["Endings", "endings", "under_definitions"]


_ATTENDED = OwnColumn("attended")
_NOUNS = {"family": ("family", "families"), "person": ("person", "persons")}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Endings:
    """One row per unit: when it ended, and whether that was dropout as defined.

    Attributes
    ----------
    units
        The study's columns that are constant within a unit, ``first_session``, ``last_session``,
        ``n_sessions`` (these say when the unit ended, and are refused as covariates of that), and

        ``time``
            number of the last interval for which it is known whether the unit left, counted
            from the study's first session (0 if any session is 0, else 1): with sessions 1, 2, ...
            the last attended session T for a unit that ended, T - 1 for one still in treatment
            (whether it comes back after T is not yet known). The clock of curves and hazards;
        ``entry``
            time from which the unit was observed: its first session's number minus the study's
            first. If above 0, earlier leaving could not have been observed: give ``entry="entry"``
            (Cox: ``start="entry", stop="time"``);
        ``event``
            1 for dropout as defined, else 0;
        ``state``
            ``"dropout"``, ``"other ending"`` or ``"ongoing"``: the competing endings.
    unit
        ``"family"`` or ``"person"``.
    definition
        What counted as dropout, in words.
    rows
        What happened to the units.
    clock
        ``"sessions"``, ``"days"`` or ``"weeks"``: what ``time`` and ``entry`` count.
    """

    units: pd.DataFrame
    unit: str
    definition: str
    rows: RowLedger
    clock: str
    _study: Study
    _sessions: pd.DataFrame
    _attended: str | None

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return ``state, n, share``, one row per state (the share is not a rate: see curves)."""
        counts = (
            self.units["state"]
            .value_counts()
            .reindex(["dropout", "other ending", "ongoing"], fill_value=0)
        )
        return pd.DataFrame(
            {
                "state": counts.index,
                "n": counts.to_numpy(),
                "share": counts.to_numpy() / len(self.units),
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return ``unit, definition, n_units, n_event`` in one row."""
        return pd.DataFrame(
            {
                "unit": [self.unit],
                "definition": [self.definition],
                "n_units": [len(self.units)],
                "n_event": [int(self.units["event"].sum())],
            }
        )

    def periods(self, scores: tuple[str, ...] = ()) -> pd.DataFrame:
        """Return one row per unit and session, as intervals ``(start, stop]`` for hazards.

        The row of session t covers the interval after it, on the clock ``(t - 1, t]`` (one
        later where the study has a session 0): a unit that left after session T has its event at
        ``stop`` of that row, and ratings at T are known before it.

        Parameters
        ----------
        scores
            Columns that change from session to session: the unit's mean rating at each session.

        Returns
        -------
        DataFrame
            As in :func:`~alliance_stats.transforms.person_period`, with ``start``, ``stop`` and
            ``event``: 1 in the last row of a unit that dropped out as defined, NaN in the last row
            of one still in treatment (models set it aside and count it), 0 elsewhere.
        """
        study = self._study
        roles = study.roles
        column = roles[self.unit]
        if self.clock != "sessions":
            raise DataError(
                f"These endings are counted in {self.clock}; rows per session are intervals of the "
                "clock of sessions. Make them from endings(study), or give the days between "
                "sessions to discrete_hazard as offset(np.log(days))."
            )
        sessions, attended = self._sessions, self._attended
        if attended is None:  # which sessions were attended is what `endings` has settled
            attended = _ATTENDED  # type: ignore[assignment]
            sessions = replaced(sessions, {attended: np.ones(len(sessions), dtype=bool)})
        table = person_period(
            sessions,
            unit=column,
            session=roles["session"],
            ending=roles["ending"],
            scores=scores,
            ending_session=roles.get("ending_session"),
            attended=attended,
        )
        facts = self.units.set_index(column)
        stray = ~table[column].isin(facts.index) & table["event"].notna()
        if stray.any():
            raise DataError(
                f"'{table.loc[stray, column].iloc[0]}' is not among the units, but has intervals "
                "at risk: without its ending they would all count as no event. Make the endings "
                "from the study that holds the units to be analysed."
            )
        last = table[roles["session"]] == table[column].map(facts["last_session"])
        left = table[column].map(facts["event"]) == 1
        origin = session_origin(study.sessions, roles["session"])
        stop = table[roles["session"]].astype(np.float64) - origin + 1.0
        event = np.where(table["event"].isna(), np.nan, (last & left).astype(np.float64))
        return table.drop(columns=["ending_code"]).assign(start=stop - 1.0, stop=stop, event=event)

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        counted = clock_words(self.clock)
        return f"dropout: {self.definition}{f'; {counted}' if counted else ''}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number: shared endings, late entry."""
        found = []
        if self.unit == "person" and self._study.unit == "family":
            found.append("Members of a family share its ending; give cluster= the family's column.")
        late = _late_entry(self.units, self.unit, self.clock)
        return (*found, f"{late}") if late else tuple(found)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return how many dropped out, as data; there is no interval."""
        del conf_level
        one, many = _NOUNS[self.unit]
        dropped, units = int(self.units["event"].sum()), len(self.units)
        share = Phrase(
            f"{format_count(dropped)} of {plural(units, one, many)} dropped out ({{}}).",
            ((dropped / units, "share"),),
        )
        return Account.of(self, {}, (), (share,))

    summary = summary_of
    _repr_html_ = html_of


def endings(
    study: Study,
    definition: Definition | None = None,
    *,
    unit: str | None = None,
    attended: str | None = None,
    clock: str = "sessions",
) -> Endings:
    """Return when each unit ended and whether that was dropout, under a stated definition.

    Parameters
    ----------
    study
        With sessions and endings.
    definition
        :class:`CodedEnding` (if None), :class:`FewerSessionsThan`, :class:`MissedLastScheduled` or
        :class:`BeforeReliableChange`. Rates differ between them: name the one used.
    unit
        ``"family"`` or ``"person"``; the study's own unit if None. Where a family ends as one, its
        members' rows are copies of one event: person rows of such a study are refused.
    attended
        Column of true/false: which rows are attended sessions. If None, a unit attended up to its
        last session with a score (alliance or outcome), because a wide file melted to rows has
        rows for sessions nobody attended; a study made with ``ending_session=`` states it, and a
        unit without any score is taken to have attended all its rows.
    clock
        ``"sessions"``, or ``"days"`` or ``"weeks"`` of a study with ``time=`` (dates, or days since
        the start of treatment): ``time`` counts each day (week) that was begun, from 1, up to the
        last attended session; for units still in treatment, those completed. Endings in the same
        week are tied (Efron's or Breslow's method in :func:`cox_ph`). Treatments
        consist of sessions, clinics plan in days: rates on the two clocks answer two
        questions.

    Returns
    -------
    Endings

    Warns
    -----
    AllianceStatsWarning
        If units were first seen at different sessions: they are at risk from ``entry`` on. If rows
        without a score at the end of a course are not counted as attended sessions.

    Raises
    ------
    DataError
        If the study lacks sessions or endings, an ending is missing, member rows would be copies of
        one event, or a column that is constant within units is a mean over the whole course
        (:func:`~alliance_stats.transforms.whole_course_means`; one that is merged into ``units``
        afterwards cannot be distinguished from a fixed covariate).

    Examples
    --------
    >>> from alliance_stats import endings, example_study
    >>> endings(example_study()).units[["family", "time", "event", "state"]].head(3)
      family  time  event         state
    0   F001  16.0      0  other ending
    1   F002  12.0      0       ongoing
    2   F003  19.0      0  other ending
    """
    require_kind(study, Study, asked="endings takes a Study")
    definition = CodedEnding() if definition is None else definition
    if not isinstance(definition, Definition) or isinstance(definition, type):
        raise WrongObjectError(
            "definition says who dropped out, as CodedEnding() or FewerSessionsThan(5) does; "
            f"got {kind_of(definition)}."
        )
    unit = study.unit if unit is None else unit
    check_choice(clock, CLOCKS, name="clock")
    _check_unit(study, unit, definition)
    sessions, went = _attendance(study, unit, definition, attended)
    units = _last_sessions(study, sessions, unit, went)
    dropped = definition(units, study, study.roles[unit]).to_numpy(dtype=bool)
    state = np.where(ended(units, study), "other ending", "ongoing")
    state = np.where(dropped, "dropout", state)
    origin = session_origin(study.sessions, study.roles["session"])
    entry = units["first_session"].to_numpy(np.float64) - origin
    time = units["last_interval"].to_numpy(np.float64)
    seen = (state != "ongoing") | (units["last_session"] > units["first_session"]).to_numpy()
    if clock != "sessions":
        entry, time, seen = on_the_calendar(
            sessions, units, study.roles, study.roles[unit], clock=clock, attended=went
        )
    new = {"entry": entry, "time": time, "event": dropped.astype(np.int64), "state": state}
    units = with_columns(units.drop(columns=["event", "ending_code", "last_interval"]), new)
    rows = RowLedger.start(units, {unit: (study.roles[unit],)})
    units, rows = rows.keep(
        units,
        seen,
        reason=f"still in treatment after the first {clock.removesuffix('s')}, no interval "
        "observed yet",
    )
    if not len(units):
        raise DataError(
            f"Every unit is still in treatment after its first {clock.removesuffix('s')}: whether "
            f"any left is not known yet. {rows}"
        )
    if late := _late_entry(units, unit, clock):
        warn(late, AllianceStatsWarning)
    units = units.reset_index(drop=True)
    return Endings(units, unit, definition.words, rows, clock, study, sessions, went)


def _check_unit(study: Study, unit: str, definition: Definition) -> None:
    """Refuse a study without endings of this unit, and rows that would be copies of one event."""
    if unit not in ("family", "person"):
        raise ValueError(f"unit must be 'family' or 'person'; got {unit!r}.")
    for role in (unit, "session", "ending"):
        if role not in study.roles:
            raise DataError(f"This study has no {role} column: give {role}= when it is made.")
    if (
        unit == "person"
        and study.unit == "family"
        and not isinstance(definition, BeforeReliableChange)
    ):
        raise DataError(
            "In this study a family ends as one: its members' rows are copies of one event and "
            "would be counted as many. Use unit='family', or make the study with unit='person'."
        )


def _attendance(
    study: Study, unit: str, definition: Definition, attended: str | None
) -> tuple[pd.DataFrame, str | None]:
    """Return the sessions, and the column that says which were attended, if any does."""
    data, roles = study.sessions, study.roles
    if isinstance(definition, MissedLastScheduled):
        if attended not in (None, definition.attended):
            raise ValueError(
                f"attended='{attended}', but the definition goes by '{definition.attended}': give "
                "one of them."
            )
        attended = definition.attended
    if attended is not None:
        require_columns(data, [attended])
        finite_or_missing(data, attended)
        return data, attended
    scores = [roles[role] for role in ("alliance", "outcome") if role in roles]
    if "ending_session" in roles or not scores:
        return data, None
    rated = data[scores].notna().any(axis=1)
    moments = data[roles["session"]].where(rated)
    last = moments.groupby(data[roles[unit]]).transform("max")
    went = (data[roles["session"]] <= last) | last.isna()
    if went.all():
        return data, None
    later = data.loc[~went, roles[unit]]
    shown = plural(len(later.unique()), *_NOUNS[unit])
    warn(
        f"The last sessions of {shown} ('{later.iloc[0]}'"
        f"{' and others' if len(later.unique()) > 1 else ''}) hold no score, and are not taken for "
        "attended: their course ends with their last scored session. If they were attended, say "
        "so by attended= (a column of true/false), or by ending_session= when the study is made.",
        AllianceStatsWarning,
    )
    # a column of our own, whose label no caller's column can have
    label: str = _ATTENDED  # type: ignore[assignment]
    return replaced(data, {label: went.to_numpy()}), label


def _last_sessions(
    study: Study, data: pd.DataFrame, unit: str, attended: str | None
) -> pd.DataFrame:
    """Return :func:`last_session` of the units, refusing columns that reveal when they left."""
    roles = study.roles
    units = last_session(
        data,
        unit=roles[unit],
        session=roles["session"],
        ending=roles["ending"],
        ending_session=roles.get("ending_session"),
        attended=attended,
    )
    known_to_end = (roles[unit], roles["ending"], roles.get("ending_session"))
    carried = [name for name in study.sessions if name in units and name not in known_to_end]
    refuse_the_future(data, carried, unit=roles[unit], session=roles["session"])
    return units


def _late_entry(units: pd.DataFrame, unit: str, clock: str) -> str:
    """Return the warning about units first seen later than others, if any."""
    first = units["first_session"]
    late = int((first > first.min()).sum())
    if clock != "sessions":
        late = int((units["entry"] > 0.0).sum())
    if not late:
        return ""
    after = f"session {first.min()}" if clock == "sessions" else f"the first {clock[:-1]}"
    return (
        f"{late} of {plural(len(units), *_NOUNS[unit])} were first seen after {after}, "
        f"and could not have been seen to leave before: give entry='entry' (Cox: "
        "start='entry', stop='time'), or they count as at risk from the start."
    )


def under_definitions(
    study: Study,
    definitions: Mapping[str, Definition],
    analysis: Callable[[pd.DataFrame], pd.DataFrame],
    *,
    unit: str | None = None,
    attended: str | None = None,
    clock: str = "sessions",
) -> pd.DataFrame:
    """Run one analysis under several definitions of dropout, and return one table.

    Parameters
    ----------
    study
        With sessions and endings.
    definitions
        Name -> definition.
    analysis
        From :attr:`Endings.units` to a frame, such as ``lambda units: cox_ph("experience", units,
        time="time", event="event").tidy()``.
    unit, attended, clock
        As in :func:`endings`.

    Returns
    -------
    DataFrame
        The analyses' rows stacked, starting with ``definition, n_units, n_dropout``.

    Examples
    --------
    >>> from alliance_stats import example_study, kaplan_meier
    >>> from alliance_stats.survival import CodedEnding, FewerSessionsThan, under_definitions
    >>> def share_left(units):
    ...     curve = kaplan_meier(units, time="time", event="event").tidy()
    ...     return curve[["estimate"]].tail(1)
    >>> definitions = {"coded": CodedEnding(), "under 5": FewerSessionsThan(5)}
    >>> under_definitions(example_study(), definitions, share_left).round(2)
      definition  n_units  n_dropout  estimate
    0      coded      240         74      0.62
    1    under 5      240         48      0.80
    """
    asked = "under_definitions takes a mapping of definitions, {'coded': CodedEnding(), ...}"
    require_kind(definitions, Mapping, asked=asked)
    frames = []
    for name, definition in definitions.items():
        found = endings(study, definition, unit=unit, attended=attended, clock=clock)
        table = analysis(found.units)
        table.insert(0, "definition", name)
        table.insert(1, "n_units", len(found.units))
        table.insert(2, "n_dropout", int(found.units["event"].sum()))
        frames.append(table)
    return pd.concat(frames, ignore_index=True)
