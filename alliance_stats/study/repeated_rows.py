"""Rows of persons among rows of sessions, as REDCap writes repeated instruments."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from alliance_stats.checks import describe_rows, did_you_mean, require_columns, require_present
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.formatting import plural

__all__ = ["session_rows"]


def session_rows(
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
