"""Tables that are not a row per session: wide ones, and rows of persons among rows of sessions."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_spelling,
    describe_rows,
    did_you_mean,
    require_columns,
    require_present,
)
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.formatting import plural

__all__ = ["LongTable", "lengthened", "recognised_pattern", "session_rows"]

_FIELD = re.compile(r"\{(\w*)\}")
_VALUES = ("score", "item")
_KEYS = ("role", "rater", "session")
_MEANINGS = {"session": r"\d+", "role": r".+?", "rater": r".+?", "score": r".+", "item": r".+"}
_LIKELY = re.compile(r"(?P<stem>.+)(?P<mark>[ _.\-][A-Za-z]{1,8}[ _.\-]?|[ _.\-])(?P<n>\d+)")
_FEWEST_COLUMNS = 3
_MARKS = "_.- "


@dataclass(frozen=True, slots=True, eq=False)
class LongTable:
    """A table made long, the names of its new columns, and what was not made into rows."""

    frame: pd.DataFrame
    keys: tuple[str, ...]
    values: tuple[str, ...]
    notes: tuple[str, ...]


def lengthened(
    data: pd.DataFrame, pattern: str, *, unit: str, person: str | None = None
) -> LongTable:
    """Make a row of each unit and session of a wide table.

    Parameters
    ----------
    data
        A row per unit (a person; a family where the pattern has ``{role}``).
    pattern
        How the repeated columns are named, as in ``"{score}_s{session}"``,
        ``"{role}_{score}_{session}"`` or ``"{item}.{session}"``: ``{session}`` stands for a number,
        ``{role}`` and ``{rater}`` for as little as they can, ``{score}`` or ``{item}`` for the
        rest.
    unit
        Column of the ids of the rows.
    person
        Name of a new column of person ids, ``"<unit>/<role>"``; None where rows are persons.

    Returns
    -------
    LongTable
        The other columns, repeated, then the fields of the pattern and a column per score or item.
        Where a unit has no value at all at a session there is no row: a wide table cannot tell a
        session that did not take place from one without a rating. A note counts such sessions.

    Raises
    ------
    DataError
        If the pattern cannot be read or fits no column, a unit has two rows, or a new column has
        the name of one that is there.
    """
    fields, reading = _read(pattern)
    found = {
        name: match.groupdict()
        for name in data.columns
        if isinstance(name, str) and (match := reading.fullmatch(name))
    }
    if not found:
        near = recognised_pattern(map(str, data.columns))
        hint = f" The columns look like {near!r}." if near else ""
        raise DataError(f"No column is named as wide={pattern!r} says.{hint}")
    require_present(data, unit, why="to know whose row it is")
    twice = data[unit].duplicated(keep=False).to_numpy()
    if twice.any():
        raise DataError(
            f"'{data.loc[twice, unit].iloc[0]}' has several rows in a table that is said to have a "
            f"row per '{unit}' (wide={pattern!r}). Keep one of them."
        )
    value = next(field for field in fields if field in _VALUES)
    keys = tuple(field for field in _KEYS if field in fields)
    names = tuple(dict.fromkeys(parts[value] for parts in found.values()))
    for field in (value, *(key for key in keys if key != "session")):
        read = {str(parts[field]): name for name, parts in found.items()}
        check_spelling(pd.Series([*read], index=[*read.values()], name=pattern), kind=field)
    kept = [name for name in data.columns if name not in found]
    new = [*keys, *names, *([person] if person else [])]
    for name in new:
        if name in kept or new.count(name) > 1:
            raise DataError(
                f"Made long, the table would have two columns '{name}': one is there already, or "
                f"two fields of wide={pattern!r} give it. Rename one."
            )
    blocks = _blocks(data, found, keys, value)
    frame = pd.concat(
        [_block(data[kept], key, columns, keys, names) for key, columns in blocks.items()],
        ignore_index=True,
    )
    if person is not None:
        frame[person] = [f"{u}/{r}" for u, r in zip(frame[unit], frame["role"], strict=True)]
    order = np.arange(len(frame)).reshape(len(blocks), len(data)).T.ravel()  # unit by unit
    frame = frame.iloc[order].reset_index(drop=True)
    observed = frame[list(names)].notna().to_numpy().any(axis=1)
    note = _note_on_unobserved(frame, observed, [unit, *keys[:-1]])
    left = frame[observed].reset_index(drop=True)
    if not len(left):
        raise DataError(f"The columns that wide={pattern!r} names hold no value at all.")
    return LongTable(left, keys, names, note)


def _note_on_unobserved(
    frame: pd.DataFrame, observed: npt.NDArray[np.bool_], series: list[str]
) -> tuple[str, ...]:
    """Count the sessions without a value, those after the last and those before it apart."""
    if observed.all():
        return ()
    sessions = frame["session"].to_numpy()
    groups = frame.groupby(series, sort=False, observed=True, dropna=False).ngroup().to_numpy()
    last = np.full(groups.max() + 1, -1, dtype=np.int64)
    np.maximum.at(last, groups[observed], sessions[observed])
    never = last[groups] < 0
    after = ~observed & ~never & (sessions > last[groups])
    between = ~observed & ~never & ~after
    parts = [f"{int(after.sum())} after the last that has one"] if after.any() else []
    if between.any():
        parts.append(
            f"{int(between.sum())} before it (whether they took place, the table does not say)"
        )
    if never.any():
        n = len(np.unique(groups[never]))
        parts.append(f"{int(never.sum())} of {plural(n, 'person')} without any value")
    return (
        f"Made long: {plural(int((~observed).sum()), 'session')} without a value made no row, "
        f"{', '.join(parts)}.",
    )


def recognised_pattern(columns: Iterable[str]) -> str | None:
    """Return the pattern that repeated columns seem to follow, None where there are none.

    A proposal to be looked at: items and sessions are both numbered.
    """
    numbers: dict[tuple[str, str], set[int]] = {}
    for name in columns:
        match = _LIKELY.fullmatch(name)
        if match:
            numbers.setdefault((match["stem"], match["mark"]), set()).add(int(match["n"]))
    marks = Counter[str]()
    for (_, mark), found in numbers.items():
        if len(found) >= _FEWEST_COLUMNS:
            marks[mark] += len(found)
    if not marks:
        return None
    mark, _ = marks.most_common(1)[0]
    return f"{_who_of([stem for stem, own in numbers if own == mark])}{{score}}{mark}{{session}}"


def _who_of(stems: Iterable[str]) -> str:
    """Return ``"{rater}_"`` where the stems seem to begin with who rated, else nothing."""
    for mark in _MARKS:
        parts = [stem.partition(mark) for stem in stems if mark in stem]
        raters: dict[str, set[str]] = {}
        for rater, _, rest in parts:
            if not rest.isdecimal():  # the third item of two scales is no score of two raters
                raters.setdefault(rest, set()).add(rater)
        shared = sum(len(own) > 1 for own in raters.values())
        if shared and 2 * shared >= len(raters):
            return f"{{rater}}{mark}"
    return ""


def _read(pattern: str) -> tuple[tuple[str, ...], re.Pattern[str]]:
    fields = tuple(_FIELD.findall(pattern)) if isinstance(pattern, str) else ()
    known = all(field in _MEANINGS for field in fields) and len(set(fields)) == len(fields)
    values = [field for field in fields if field in _VALUES]
    if not known or "session" not in fields or len(values) != 1:
        raise DataError(
            f"wide={pattern!r} must name {{session}} and one of {{score}} and {{item}}, each once, "
            "and may name {role} and {rater}, as in '{score}_s{session}' or "
            "'{role}_{item}_{session}'."
        )
    parts = _FIELD.split(pattern)
    text = "".join(
        f"(?P<{part}>{_MEANINGS[part]})" if place % 2 else re.escape(part)
        for place, part in enumerate(parts)
    )
    return fields, re.compile(text)


def _blocks(
    data: pd.DataFrame,
    found: Mapping[str, Mapping[str, str]],
    keys: tuple[str, ...],
    value: str,
) -> dict[tuple[str | int, ...], dict[str, pd.Series]]:
    """Return, per role, rater and session in order, the columns of its scores."""
    blocks: dict[tuple[str | int, ...], dict[str, pd.Series]] = {}
    for name, parts in found.items():
        key = tuple(int(parts[k]) if k == "session" else parts[k] for k in keys)
        columns = blocks.setdefault(key, {})
        if parts[value] in columns:
            raise DataError(
                f"Column '{name}' says the same session of '{parts[value]}' as another column. "
                "Rename one of them."
            )
        columns[parts[value]] = data[name]
    series = {key: place for place, key in enumerate(dict.fromkeys(k[:-1] for k in blocks))}
    return dict(sorted(blocks.items(), key=lambda item: (series[item[0][:-1]], item[0][-1])))


def _block(
    constants: pd.DataFrame,
    key: tuple[str | int, ...],
    columns: Mapping[str, pd.Series],
    keys: tuple[str, ...],
    names: tuple[str, ...],
) -> pd.DataFrame:
    """Return the rows of one session: a row per unit."""
    block = constants.copy(deep=False)
    for field, value in zip(keys, key, strict=True):
        block[field] = value
    for name in names:
        block[name] = columns.get(name, np.nan)
    return block


def session_rows(
    data: pd.DataFrame, *, person: str, repeated: Mapping[str, object]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Keep the rows that are sessions, with what the other rows of a person say beside them.

    Parameters
    ----------
    data
        Rows of sessions and rows of persons, as REDCap writes repeated instruments.
    person
        Column of person ids.
    repeated
        One column and the value that it has in rows of sessions, as in
        ``{"redcap_repeat_instrument": "session_form"}``.

    Returns
    -------
    frame, notes
        The rows of sessions. A column that is empty in all of them has the person's value.

    Raises
    ------
    DataError
        If no row is one of a session, or two rows say different things of a person.
    """
    if not isinstance(repeated, Mapping) or len(repeated) != 1:
        raise DataError(
            "repeated= is one column with its value in rows of sessions, as in "
            f"{{'redcap_repeat_instrument': 'session_form'}}; got {repeated!r}."
        )
    column, value = next(iter(repeated.items()))
    require_columns(data, [person, column])
    require_present(data, person, why="to know whose row it is")
    is_session = (data[column].astype(object) == value).to_numpy()
    if not is_session.any():
        known = data[column].dropna().unique()
        raise DataError(f"No row has '{column}' = {value!r}. {did_you_mean(value, known)}")
    sessions, others = data[is_session], data[~is_session]
    filled, unused = {}, []
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
                f"column '{name}' ({', '.join(map(repr, both[name].head(2)))}). Keep one."
            )
        filled[name] = sessions[person].map(said.set_index(person)[name])
    notes = []
    if filled:
        listed = ", ".join(f"'{name}'" for name in filled)
        notes.append(f"Put beside each person's sessions: {listed}, from rows that are none.")
    if unused:
        notes.append(f"Not used, since rows of sessions have them too: {'; '.join(unused)}.")
    lost = ~others[person].isin(sessions[person].unique()).to_numpy()
    if lost.any():
        n = others.loc[lost, person].nunique()
        rows = describe_rows(lost, others.index)
        notes.append(f"{plural(n, 'person')} without a session left out: {rows}.")
    return replaced(sessions, dict(filled)), tuple(notes)
