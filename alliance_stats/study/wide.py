"""Wide tables, a row per person or family, made long: how their columns repeat, and the rows."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd

from alliance_stats.checks import require_present
from alliance_stats.errors import DataError
from alliance_stats.estimates import Booleans
from alliance_stats.formatting import plural
from alliance_stats.spelling import check_spelling

__all__ = ["LongTable", "lengthened", "recognised_pattern"]

_FIELD = re.compile(r"\{(\w*)\}")
_VALUES = ("score", "item")
_KEYS = ("role", "rater", "session")
_MEANINGS = {"session": r"\d+", "role": r".+?", "rater": r".+?", "any": r".*?"}
_FEWEST_COLUMNS = 3
_NAMES_SHOWN = 6
_MARKS = "_.- "
# What stands before the number of a session, in the languages of the field
_SESSION_WORDS = frozenset(
    """
    t s m v w tp mz mzp zp ses sess session sessions sitzung sitz std stunde seance séance seans
    sesion sesión sessao sessão sessie seduta oturum ölçüm olcum time zeit temps tiempo tempo tijd
    zaman wave welle vague week woche semaine semana settimana hafta visit besuch visite visita
    contact termin meeting messung messzeitpunkt mätning
    """.split()  # noqa: SIM905 - forty words are easier to read so
)
_AT_THE_END = re.compile(
    r"(?P<stem>.*[^ _.\-])(?P<mark>[ _.\-]+[(\[]?(?P<word>[^\W\d_]+)[ _.\-]?)"
    r"(?P<n>\d+)(?P<end>[)\]]?)"
)
_NUMBERED = re.compile(r"(?P<stem>.+)(?P<mark>[ _.\-])(?P<n>\d+)(?P<end>)")
_AT_THE_START = re.compile(r"(?P<mark>(?P<word>[^\W\d_]*)[ _.\-]?)(?P<n>\d+)(?P<rest>[ _.\-].+)")
_IN_BRACKETS = re.compile(  # LimeSurvey: the code of a question, and of what is asked in it
    r"(?P<stem>[^\W\d_]+)(?P<n>\d+)(?P<more>[^\W\d_]+\d+)?\[(?P<item>[^\[\]]+)\](?P<text>\. .*)?"
)


@dataclass(frozen=True, slots=True, eq=False)
class LongTable:
    """A table made long, the names of its new columns, and what made no rows."""

    frame: pd.DataFrame
    keys: tuple[str, ...]
    values: tuple[str, ...]
    notes: tuple[str, ...]


def lengthened(
    data: pd.DataFrame, pattern: str, *, unit: str, person: str | None = None
) -> LongTable:
    """Make one row per unit and session of a wide table.

    Parameters
    ----------
    data
        A row per unit (a person; a family where the pattern has ``{role}``).
    pattern
        How the repeated columns are named, as in ``"{score}_s{session}"``,
        ``"{role}_{score}_{session}"`` or ``"WAI{session}[{item}]"``: ``{session}`` stands for a
        whole number (all its digits), ``{role}`` and ``{rater}`` for as little as they can,
        ``{score}`` or ``{item}`` for the rest, ``{any}`` for what is ignored. With both
        ``{score}`` and ``{item}`` a column is called ``<score>_<item>``.
    unit
        Column of the ids of the rows.
    person
        Name of a new column of person ids, ``"<unit>/<role>"``; None where rows are persons.

    Returns
    -------
    LongTable
        The other columns, repeated, then the fields of the pattern and a column per score or item.
        A unit without any value at a session gets no row: a wide table cannot distinguish a session
        that did not take place from one without a rating. Notes say what was read from the names,
        and count such sessions.

    Raises
    ------
    DataError
        If the pattern cannot be read or fits no column, or nearly fits one (``wai_S3`` beside
        ``wai_s1``); if a unit has two rows, or a new column has the name of an existing one.
    """
    fields, reading = _read(pattern)
    found = {
        name: _named(match.groupdict())
        for name in data.columns
        if isinstance(name, str) and (match := reading.fullmatch(name))
    }
    if not found:
        near = recognised_pattern(map(str, data.columns))
        hint = f" The columns look like {near!r}." if near else ""
        raise DataError(f"No column is named as wide={pattern!r} says.{hint}")
    _refuse_near_misses(data.columns, reading, pattern)
    _check_one_row_each(data, unit, pattern)
    keys = tuple(field for field in _KEYS if field in fields)
    names = tuple(dict.fromkeys(parts["value"] for parts in found.values()))
    for field in ("value", *(key for key in keys if key != "session")):
        read = {str(parts[field]): name for name, parts in found.items()}
        kind = "score" if field == "value" else field
        check_spelling(pd.Series([*read], index=[*read.values()], name=pattern), kind=kind)
    _refuse_split_words(found.values(), [key for key in keys if key != "session"], pattern)
    kept = [name for name in data.columns if name not in found]
    _check_new_names([*keys, *names, *([person] if person else [])], kept, pattern)
    blocks = _blocks(data, found, keys)
    frame = pd.concat(
        [_block(data[kept], key, columns, keys, names) for key, columns in blocks.items()],
        ignore_index=True,
    )
    if person is not None:
        frame[person] = [f"{u}/{r}" for u, r in zip(frame[unit], frame["role"], strict=True)]
    order = np.arange(len(frame)).reshape(len(blocks), len(data)).T.ravel()  # unit by unit
    frame = frame.iloc[order].reset_index(drop=True)
    observed = frame[list(names)].notna().to_numpy().any(axis=1)
    notes = (
        _what_was_read(found, keys, pattern),
        *_note_on_unobserved(frame, observed, [unit, *keys[:-1]]),
    )
    left = frame[observed].reset_index(drop=True)
    if not len(left):
        raise DataError(f"The columns that wide={pattern!r} names hold no value at all.")
    return LongTable(left, keys, names, notes)


def _check_one_row_each(data: pd.DataFrame, unit: str, pattern: str) -> None:
    require_present(data, unit, why="to know whose row it is")
    twice = data[unit].duplicated(keep=False).to_numpy()
    if twice.any():
        raise DataError(
            f"'{data.loc[twice, unit].iloc[0]}' has several rows in a table that is said to have a "
            f"row per '{unit}' (wide={pattern!r}). Keep one of them."
        )


def _check_new_names(new: list[str], kept: list[Hashable], pattern: str) -> None:
    for name in new:
        if name in kept or new.count(name) > 1:
            raise DataError(
                f"Made long, the table would have two columns '{name}': one is there already, or "
                f"two fields of wide={pattern!r} give it. Rename one."
            )


def _note_on_unobserved(
    frame: pd.DataFrame, observed: Booleans, series: list[str]
) -> tuple[str, ...]:
    """Count the sessions without a value, separately before and after the last one with a value."""
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


def _what_was_read(
    found: Mapping[str, Mapping[str, str]], keys: tuple[str, ...], pattern: str
) -> str:
    """Say what the fields of a pattern matched, which shows a wrong reading."""
    parts = []
    for key in ("value", *keys):
        read = list(dict.fromkeys(parts[key] for parts in found.values()))
        if key == "session":
            numbers = sorted(map(int, read))
            if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
                parts.append(f"sessions {numbers[0]} to {numbers[-1]}")
                continue
            read = [str(number) for number in numbers]
        else:
            read = [f"'{text}'" for text in read]
        shown = ", ".join(read[:_NAMES_SHOWN])
        more = len(read) - _NAMES_SHOWN
        noun = plural(len(read), "column" if key == "value" else key).partition(" ")[2]
        parts.append(f"{noun} {shown}{f' and {more} more' if more > 0 else ''}")
    return f"Made long as wide={pattern!r} says: {'; '.join(parts)}."


def _named(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a name and, under ``value``, what its column is called."""
    value = "_".join(parts[field] for field in _VALUES if field in parts)
    return {**parts, "value": value}


def _refuse_near_misses(columns: Iterable[object], reading: re.Pattern[str], pattern: str) -> None:
    """Refuse a column that differs from a repeated one by case, marks or spaces alone."""
    shapes, others = dict[str, str](), list[str]()
    for name in columns:
        if not isinstance(name, str):
            continue
        match = reading.fullmatch(name)
        if match:
            shapes[_shape(name, *match.span("session"))] = name
        else:
            others.append(name)
    for other in others:
        for number in re.finditer(r"\d+", other):
            like = shapes.get(_shape(other, *number.span()))
            if like is not None:
                raise DataError(
                    f"Column '{other}' is not named as wide={pattern!r} says, but nearly so, as "
                    f"'{like}' is. Spell them alike; left as it is, its session would be lost."
                )


def _refuse_split_words(
    found: Collection[Mapping[str, str]], keys: Iterable[str], pattern: str
) -> None:
    """Refuse a role or rater that seems to have been cut in two: ``step_mother``."""
    for key in keys:
        names: dict[str, set[str]] = {}
        for parts in found:
            names.setdefault(parts[key], set()).add(parts["value"])
        for (cut, longer), (other, plain) in permutations(names.items(), 2):
            end = min(plain, key=len)
            for name in longer:
                rest = name.removesuffix(end)
                if rest != name and rest and {rest + value for value in plain} == longer:
                    raise DataError(
                        f"As wide={pattern!r} reads the names, {key} '{cut}' has '{name}' where "
                        f"'{other}' has '{end}': is '{cut}' a part of a longer word? Write that "
                        f"word without the mark that stands after {{{key}}}."
                    )


def _shape(name: str, start: int, end: int) -> str:
    """Return a name without its session, case, marks and spaces."""
    cut = unicodedata.normalize("NFKC", f"{name[:start]}\0{name[end:]}").casefold()
    return "".join(sign for sign in cut if sign.isalnum() or sign == "\0")


def recognised_pattern(columns: Iterable[str]) -> str | None:
    """Return the pattern that repeated columns seem to follow, None where there are none.

    A proposal to be checked: items and sessions are both numbered.
    """
    names = list(dict.fromkeys(columns))
    proposals = Counter[str]()
    for proposed in (_in_brackets, _at_the_end, _at_the_start):
        proposals.update(dict(proposed(names)))
    best = max(proposals.values(), default=0)
    return next((pattern for pattern, n in proposals.items() if n == best), None)


_Proposals = Iterator[tuple[str, int]]


def _at_the_end(names: Iterable[str]) -> _Proposals:
    """Yield ``{score}_s{session}`` and the like, and how many columns are named so."""
    marks: dict[tuple[str, str], dict[str, set[int]]] = {}
    for name in names:
        match = _AT_THE_END.fullmatch(name)
        if not match or not _says_session(match["word"]):
            match = _NUMBERED.fullmatch(name)
        if match:
            stems = marks.setdefault((match["mark"], match["end"]), {})
            stems.setdefault(match["stem"], set()).add(int(match["n"]))
    for (mark, end), stems in marks.items():
        n = _repeated(stems.values())
        if n:
            yield f"{_who_of(stems)}{{score}}{mark}{{session}}{end}", n


def _at_the_start(names: Iterable[str]) -> _Proposals:
    """Yield ``t{session}_{score}`` and the like; only with a word that says session."""
    marks: dict[tuple[str, str], dict[str, set[int]]] = {}
    for name in names:
        match = _AT_THE_START.fullmatch(name)
        if match and _says_session(match["word"]):
            key = (match["mark"], match["rest"][0])
            stems = marks.setdefault(key, {})
            stems.setdefault(match["rest"][1:], set()).add(int(match["n"]))
    for (mark, after), stems in marks.items():
        n = _repeated(stems.values())
        if n:
            # beside t1_wai2 the number at the end is the item's
            yield f"{mark}{{session}}{after}{_who_of(stems)}{{score}}", n + 1


def _in_brackets(names: Iterable[str]) -> _Proposals:
    """Yield ``WAI{session}[{item}]`` and the like, as LimeSurvey writes codes of questions."""
    stems: dict[tuple[bool, bool], dict[tuple[str, str], set[int]]] = {}
    for name in names:
        match = _IN_BRACKETS.fullmatch(name)
        if match:
            kind = (match["more"] is not None, match["text"] is not None)
            items = stems.setdefault(kind, {})
            items.setdefault((match["stem"], match["item"]), set()).add(int(match["n"]))
    for (more, text), items in stems.items():
        n = _repeated(items.values())
        if n:
            questions = {stem for stem, _ in items}
            stem = "{score}" if len(questions) > 1 else questions.pop()
            middle = "Q{any}" if more else ""
            yield f"{stem}{{session}}{middle}[{{item}}]{'. {any}' if text else ''}", n


def _says_session(word: str) -> bool:
    return unicodedata.normalize("NFC", word).casefold() in _SESSION_WORDS


def _repeated(numbers: Iterable[set[int]]) -> int:
    """Return how many columns belong to the scores that occur in three sessions or more."""
    return sum(len(found) for found in numbers if len(found) >= _FEWEST_COLUMNS)


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
    values = [field for field in fields if field in _VALUES]
    known = all(field in (*_MEANINGS, *_VALUES) for field in fields)
    once = len(set(fields)) + max(fields.count("any") - 1, 0) == len(fields)
    if not known or not once or "session" not in fields or not values:
        raise DataError(
            f"wide={pattern!r} must name {{session}} and {{score}} or {{item}}, each once, and may "
            "name {role}, {rater} and {any} (what is read over), as in '{score}_s{session}', "
            "'{role}_{item}_{session}' or 'G{session}Q{any}[{item}]'."
        )
    text = ""
    for place, part in enumerate(_FIELD.split(pattern)):
        if place % 2 == 0:
            text += re.escape(part)
        elif part == "any":
            text += _MEANINGS[part]
        elif part == "session":  # all digits of its number
            text += ("" if text[-1:].isdigit() else r"(?<!\d)") + r"(?P<session>\d+)(?!\d)"
        else:  # beside {any}, which reads over the rest, as little as can be
            meaning = _MEANINGS.get(part, ".+?" if "any" in fields else ".+")
            text += f"(?P<{part}>{meaning})"
    return fields, re.compile(text)


def _blocks(
    data: pd.DataFrame, found: Mapping[str, Mapping[str, str]], keys: tuple[str, ...]
) -> dict[tuple[str | int, ...], dict[str, pd.Series]]:
    """Return, per role, rater and session in order, the columns of its scores."""
    blocks: dict[tuple[str | int, ...], dict[str, pd.Series]] = {}
    for name, parts in found.items():
        key = tuple(int(parts[k]) if k == "session" else parts[k] for k in keys)
        columns = blocks.setdefault(key, {})
        if parts["value"] in columns:
            raise DataError(
                f"Column '{name}' says the same session of '{parts['value']}' as another column. "
                "Rename one of them."
            )
        columns[parts["value"]] = data[name]
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
