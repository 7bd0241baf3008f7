"""A table on its way into a study: rows of persons set to sessions, read as declared, checked."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from alliance_stats.arguments import mapping_of
from alliance_stats.checks import (
    check_frame,
    describe_rows,
    did_you_mean,
    require_columns,
    require_present,
)
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.study.courses import (
    check_known_endings,
    checked,
    distinct_roles,
    ending_unit,
    recoded_endings,
)
from alliance_stats.study.ratings import named_ranges, without_codes
from alliance_stats.study.units import LEVELS
from alliance_stats.study.wide import LongTable, lengthened

__all__ = ["Entered", "Limits", "Range", "entered", "long_table", "named_scores"]


def _session_rows(
    data: pd.DataFrame, *, person: str, repeated: Mapping[str, object], session: str | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Keep the rows of sessions, adding the values from the other rows of each person.

    Parameters
    ----------
    data
        Rows of sessions and rows of persons, as REDCap writes repeated instruments.
    person
        Column of person ids.
    repeated
        One column and its value in rows of sessions, as in
        ``{"redcap_repeat_instrument": "session_form"}``; or several values, if a
        session is spread over the rows of several forms:
        ``{...: ["client_form", "therapist_form"]}``.
    session
        Column of session numbers, which identifies the rows of one session; required with several
        forms.

    Returns
    -------
    frame, notes
        One row per session. A column that is empty in all of them gets the person's value: from the
        rows that have nothing in that column, if there are any, else from all others.

    Raises
    ------
    DataError
        If no row is a session, two rows of a person disagree, or two forms of a session disagree.
    """
    column, values = _named(repeated)
    require_columns(data, [person, column])
    require_present(data, person, why="to know whose row it is")
    shown = np.array([_as_written(cell) for cell in data[column]], dtype=object)
    for value in values:
        if value not in shown:
            known = data[column].dropna().unique()
            raise DataError(f"No row has '{column}' = {value!r}. {did_you_mean(value, known)}")
    is_session = np.isin(shown, values)
    sessions, others = data[is_session], data[~is_session]
    notes = []
    of_forms = others[column].notna()  # where some rows have no form, those are the persons'
    if of_forms.any() and not of_forms.all():
        named = ", ".join(map(repr, others.loc[of_forms, column].unique()))
        where = describe_rows(of_forms.to_numpy(), others.index)
        notes.append(f"Not used: rows of {named}, which were not named as sessions ({where}).")
        others = others[~of_forms]
    if len(values) > 1:
        if session is None:
            raise DataError(
                f"repeated= names {len(values)} forms of a session: name session=, which says "
                "what belongs together."
            )
        sessions = _one_row_each(sessions, [person, session], column)
        notes.append(
            f"Rows of {', '.join(map(repr, values))} were put into one per session: "
            f"{plural(int(is_session.sum()), 'row')} into {len(sessions)}."
        )
    filled, more = _of_persons(sessions, others, person=person, column=column)
    notes += more
    lost = ~others[person].isin(sessions[person].unique()).to_numpy()
    if lost.any():
        n = others.loc[lost, person].nunique()
        rows = describe_rows(lost, others.index)
        notes.append(f"{plural(n, 'person')} without a session left out: {rows}.")
    return replaced(sessions, filled), tuple(notes)


def _named(repeated: object) -> tuple[str, list[str]]:
    """Return the column, and the values that it has in rows of sessions, as they are written."""
    if isinstance(repeated, Mapping) and len(repeated) == 1:
        column, value = next(iter(repeated.items()))
        several = isinstance(value, Sequence) and not isinstance(value, str)
        values = list(dict.fromkeys(map(_as_written, value if several else [value])))
        if isinstance(column, str) and values:
            return column, values
    raise DataError(
        "repeated= is one column with its value in rows of sessions, as in "
        f"{{'redcap_repeat_instrument': 'session_form'}}; got {repeated!r}."
    )


def _as_written(cell: object) -> str:
    whole = isinstance(cell, float) and cell.is_integer()
    return str(int(cell)) if whole and isinstance(cell, float) else str(cell)


def _one_row_each(sessions: pd.DataFrame, key: list[str], column: str) -> pd.DataFrame:
    """Combine the rows of several forms of a session into one, unless two of them disagree."""
    require_columns(sessions, [*key, *sessions.columns])  # cells that can be compared, too
    for name in key:
        require_present(sessions, name, why="to know which rows are one session")
    odd = [name for name in sessions if sessions[name].dtype.kind == "c"]  # pandas takes no first
    sessions = sessions.astype(dict.fromkeys(odd, object))
    groups = sessions.groupby(key, sort=False)
    several = groups.nunique().gt(1).drop(columns=column)
    if several.to_numpy().any():
        unit = several.index[several.any(axis=1)][0]
        name = several.columns[several.loc[unit].to_numpy(dtype=bool)][0]
        here = (sessions[key] == list(unit)).all(axis=1).to_numpy()
        where = ", ".join(f"{k} = {u}" for k, u in zip(key, unit, strict=True))
        raise DataError(
            f"Forms of one session ({where}) say different things in column '{name}', "
            f"{describe_rows(here, sessions.index)}. Keep one row of each form a session."
        )
    first = sessions[~sessions.duplicated(key)]
    merged = groups.first().reset_index()[list(sessions.columns)]
    return merged.set_axis(first.index, axis="index")


def _of_persons(
    sessions: pd.DataFrame, others: pd.DataFrame, *, person: str, column: str
) -> tuple[dict[Hashable, object], list[str]]:
    """Return the persons' values from rows that are not sessions, and what is not taken."""
    filled, unused = dict[Hashable, object](), list[str]()
    for name in others.columns.drop([person, column]):
        here = others[name].notna().to_numpy()
        if not here.any():
            continue
        if sessions[name].notna().any():
            unused.append(f"'{name}' in {describe_rows(here, others.index)}")
            continue
        said = others.loc[here, [person, name]].drop_duplicates()
        twice = said[person].duplicated(keep=False).to_numpy()
        if twice.any():
            both = said[twice]
            raise DataError(
                f"Rows that are no sessions say different things of '{both[person].iloc[0]}' in "
                f"column '{name}' ({', '.join(map(repr, both[name].head(2)))}). Keep one, or name "
                "the forms of sessions too, as in repeated={column: ['client_form', ...]}."
            )
        filled[name] = sessions[person].map(said.set_index(person)[name])
    notes = []
    if filled:
        listed = ", ".join(f"'{name}'" for name in filled)
        notes.append(f"Put beside each person's sessions: {listed}, from rows that are none.")
    if unused:
        notes.append(f"Not used, since rows of sessions have them too: {'; '.join(unused)}.")
    return filled, notes


Limits = tuple[float, float]
Range = Limits | Mapping[str, Limits]


class Entered(NamedTuple):
    """A checked table, and all that a study knows about it."""

    data: pd.DataFrame
    roles: Mapping[str, str]
    scores: tuple[str, ...]
    limits: Mapping[str, Limits]
    unit: str
    rows: RowLedger
    notes: tuple[str, ...]


def entered(
    data: pd.DataFrame,
    given: Mapping[str, str | None],
    *,
    scores: Mapping[str, Limits | None],
    endings: Mapping[str | int, str] | None,
    unit: str | None,
    score_range: Range | None,
    local_ids: Sequence[str],
    missing: Sequence[float],
    repeated: Mapping[str, object] | None,
) -> Entered:
    """Check a long table; `given` are the columns of the roles. See ``Study.from_frame``."""
    if given["person"] is None:
        raise DataError("person= is needed: name the column of person ids.")
    roles = distinct_roles(given)
    table, notes = check_frame(data), tuple[str, ...]()
    if repeated is not None:
        table, notes = _session_rows(
            table, person=roles["person"], repeated=repeated, session=roles.get("session")
        )
    require_columns(table, [*roles.values(), *scores])
    settled_unit = ending_unit(unit, roles)
    ranges = named_ranges(score_range, roles)
    if endings is not None:
        if "ending" not in roles:
            raise DataError("endings= says what endings stand for: name their column, ending=.")
        table, told = recoded_endings(table, roles["ending"], endings)
        notes = (*notes, *told)
    own = {name: pair for name, pair in scores.items() if pair is not None}
    table, coded = without_codes(
        table,
        missing,
        kept=[column for role, column in roles.items() if role not in ("alliance", "outcome")],
        ranges={**ranges, **own},
    )
    frame, known, roles, more = checked(
        table.copy(),  # what the caller does to a frame later is no matter of the study
        roles,
        unit=settled_unit,
        ranges=ranges,
        named=scores,
        local_ids=local_ids,
    )
    rows = RowLedger.start(known, {level: (roles[level],) for level in LEVELS if level in roles})
    declared = {roles[role]: pair for role, pair in ranges.items()} | own
    notes = (*notes, *coded, *more)
    return Entered(frame, roles, tuple(scores), declared, settled_unit, rows, notes)


def named_scores(given: Mapping[str, Limits | None] | None) -> Mapping[str, Limits | None]:
    """Return the further scores and their limits; a list of names is refused."""
    return mapping_of(given, name="scores", example="{'bond': (1, 7), 'phq9': None}")


def long_table(
    data: pd.DataFrame,
    wide: str,
    *,
    units: Mapping[str, str | None],
    ending: tuple[str | None, Mapping[str | int, str]],
    missing: Sequence[float],
    ranges: tuple[Range | None, Mapping[str, str | None], Mapping[str, Limits | None]],
) -> LongTable:
    """Make a wide table long; see ``Study.from_wide``.

    Parameters
    ----------
    units
        The columns of person, family, therapist and role, None where there is none.
    ending
        The column, and the meaning of its words: rows are those of the wide table.
    missing
        Numbers that code a missing value.
    ranges
        What was declared for them, as ``score_range``, the two scores it may name, and ``scores``.
    """
    table = check_frame(data)
    by_role = "{role}" in wide
    if by_role and (units["family"] is None or units["person"] or units["role"]):
        raise DataError(
            f"wide={wide!r} has {{role}}: a row is then a family. Name family=, and leave out "
            "person= and role=, which the study makes."
        )
    if not by_role and units["person"] is None:
        raise DataError("from_wide needs person=, or {role} in wide= and family=.")
    ids = units["family" if by_role else "person"]
    require_columns(table, [ids])
    column, words = ending
    if column is not None and column in table.columns:
        check_known_endings(recoded_endings(table, column, words)[0], column)
    score_range, measured, scores = ranges
    limited = {**named_ranges(score_range, distinct_roles(measured)), **scores}
    table, coded = without_codes(
        table,
        missing,
        kept=[name for name in units.values() if name is not None],
        ranges={name: pair for name, pair in limited.items() if pair is not None},
    )
    long = lengthened(table, wide, unit=str(ids), person="person" if by_role else None)
    return replace(long, notes=(*coded, *long.notes))
