"""The one renderer: an account as text, as sentences, as HTML, as cells; its publications."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd

from alliance_stats.account.sections import NOUNS, Account, Phrase, Section
from alliance_stats.account.speaker import Speaker, as_float, is_missing, is_number
from alliance_stats.checks import did_you_mean
from alliance_stats.formatting import (
    MISSING,
    Written,
    format_count,
    format_df,
    format_level,
    format_number,
    format_p,
    localised,
    p_phrase,
    plural,
    printable,
    text_table,
    to_html,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import asked_of_tidy

__all__ = [
    "REFERENCES",
    "Accountable",
    "Result",
    "as_html",
    "as_sentences",
    "as_text",
    "entries_of",
    "html_of",
    "method_and_notes",
    "section_cells",
    "sizes_in_words",
    "summary_of",
]


@runtime_checkable
class Accountable(Protocol):
    """A result with an account."""

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the result's account as data."""
        ...


@runtime_checkable
class Result(Protocol):
    """What every result of this package can do.

    ``tidy`` has a row per estimate, ``glance`` a row per fit, ``summary`` is text that opens with
    any warning, and ``rows`` records what happened to the data's rows.
    """

    @property
    def rows(self) -> RowLedger:
        """The row ledger."""
        ...

    def tidy(self) -> pd.DataFrame:
        """Return one row per estimate."""
        ...

    def glance(self) -> pd.DataFrame:
        """Return one row per fit."""
        ...

    def summary(self) -> str:
        """Return the result in words and numbers."""
        ...


@asked_of_tidy("df_method", "conf_level", "vcov", "ci_method", "effects", "scale", "adjust")
def summary_of(
    result: Accountable, *, words: Mapping[str, str] | None = None, decimal: str = "."
) -> str:
    """Return the result as text: notes first, method, tables, sizes, remarks, rows.

    Levels of confidence, df methods and the like are asked of ``tidy()``.

    Parameters
    ----------
    words
        Name of a coefficient, level, group or column -> label to print; unknown names are refused.
    decimal
        The decimal sign, ``"."`` or ``","``.
    """
    return as_text(result.account(), words=words, decimal=decimal)


def html_of(result: Accountable) -> str:
    """Return the result as HTML for a notebook: notes, method, tables, sizes, rows."""
    return as_html(result.account())


def as_text(account: Account, *, words: Mapping[str, str] | None = None, decimal: str = ".") -> str:
    """Return what ``summary()`` prints."""
    speaker = Speaker.of(account, words, decimal)
    parts = [printable(note) for note in account.notes]
    parts.append(printable(_sentence(account.method)))
    for section in account.sections:
        if len(section.frame):
            cells = section_cells(section, speaker)
            parts.append(text_table(list(cells), cells.to_numpy().tolist()))
    if _counts_more_than_rows(account):
        parts.append(_sentence(sizes_in_words(account, speaker)))
    parts += [speaker.remark(remark) for remark in account.remarks]
    parts.append("" if account.rows is None else printable(account.rows))
    return "\n\n".join(part for part in parts if part)


def as_sentences(
    account: Account, *, words: Mapping[str, str] | None = None, decimal: str = "."
) -> str:
    """Return what ``report()`` says: notes, method with sizes, a sentence per row, remarks."""
    speaker = Speaker.of(account, words, decimal, terms_as_code=False)
    said = [printable(note) for note in account.notes]
    sizes = sizes_in_words(account, speaker)
    said.append(_sentence(printable(account.method) + (f"; n = {sizes}" if sizes else "")))
    for section in account.sections:
        said += _section_sentences(section, speaker)
    said += [speaker.remark(remark) for remark in account.remarks]
    return " ".join(said)


def as_html(account: Account, *, words: Mapping[str, str] | None = None, decimal: str = ".") -> str:
    """Return what a notebook shows: notes, method, tables, sizes, remarks and rows, escaped."""
    speaker = Speaker.of(account, words, decimal, terms_as_code=False)
    parts = [f"<p><strong>{_html(note)}</strong></p>" for note in account.notes]
    parts.append(f"<p>{_html(_sentence(account.method))}</p>")
    parts += [_html_table(section, speaker) for section in account.sections if len(section.frame)]
    counted = _counts_more_than_rows(account)
    below = [_sentence(sizes_in_words(account, speaker))] if counted else []
    below += [speaker.remark(remark) for remark in account.remarks]
    below += [] if account.rows is None else [str(account.rows)]
    parts += [f"<p>{_html(text)}</p>" for text in below]
    return '<div class="alliance-stats">\n' + "\n".join(parts) + "\n</div>\n"


def method_and_notes(account: Account) -> str:
    """Return notes, then the method, as whole sentences: the note under a table or a figure.

    Coefficients are named as rows of tables and figures name them: ``role: father``.
    """
    said = " ".join(printable(text) for text in (*account.notes, _sentence(account.method)))
    speaker = Speaker(terms_as_code=False)
    terms = {
        term
        for section in account.sections
        for name in section.names
        for term in section.frame[name]
        if isinstance(term, str) and "[" in term
    }
    for term in sorted(terms, key=len, reverse=True):  # an interaction before its parts
        said = said.replace(term, speaker.term(term))
    return said


def sizes_in_words(account: Account, speaker: Speaker) -> str:
    """Return what was counted: ``"192 rows, 6 units of therapist"``."""
    return ", ".join(_size(key, n, speaker) for key, n in account.sizes.items())


def _counts_more_than_rows(account: Account) -> bool:
    """Say whether the sizes add to the ledger that is printed below them."""
    return bool(account.sizes) and (account.rows is None or list(account.sizes) != ["rows"])


def _size(key: str, n: float, speaker: Speaker) -> str:
    count = localised(format_count(n), speaker.decimal)
    if key in speaker.words:
        return f"{count} {speaker.name(key)}"
    if key in NOUNS:
        return localised(plural(int(n), NOUNS[key], key), speaker.decimal)
    if key == "unit":  # a column called so: no units of units
        return localised(plural(int(n), key), speaker.decimal)
    return f"{count} {'unit' if n == 1 else 'units'} of {speaker.name(key)}"


# ---------------------------------------------------------------------------------------------
# A section as a table


def section_cells(section: Section, speaker: Speaker) -> pd.DataFrame:
    """Return a section in print: a frame of strings, its columns headed as in the table."""
    rows = section.frame.to_dict("records")
    columns: dict[str, list[str]] = {}
    for i, (name, cells) in enumerate(_name_cells(section, speaker).items()):
        title = section.title if i == 0 and section.title else speaker.name(name)
        columns[title if title not in columns else speaker.name(name)] = cells
    if not columns:
        columns[section.title] = [""] * len(rows)
    has_estimate = "estimate" in section.frame
    before = [n for n, c in section.columns.items() if c.kind == "count" or not has_estimate]
    texts = [n for n, c in section.columns.items() if c.kind == "text"]
    for name in [n for n in before if n not in texts]:
        columns |= _beside(columns, _further(section, name, rows, speaker))
    columns |= _beside(columns, _estimate_cells(section, rows, speaker))
    for name in [n for n in section.columns if n not in before and n not in texts] + texts:
        columns |= _beside(columns, _further(section, name, rows, speaker))
    return pd.DataFrame(columns, dtype=object)


def _beside(columns: Mapping[str, object], more: dict[str, list[str]]) -> dict[str, list[str]]:
    """Rename a column whose name is also used in the data (``p``, ``df``)."""
    return {f"{name} (result)" if name in columns else name: more[name] for name in more}


def _name_cells(section: Section, speaker: Speaker) -> dict[str, list[str]]:
    found = {}
    for name in section.names:
        values = section.frame[name]
        if values.isna().all():
            continue
        found[name] = [
            text if named else text.partition(" = ")[2]
            for text, named in _told_apart(values, name, speaker)
        ]
    return found


def _told_apart(values: pd.Series, column: str, speaker: Speaker) -> list[tuple[str, bool]]:
    """Return the names of rows and whether they are names; numbers as ``"column = 1.5"``.

    Numbers get enough decimals to be distinguished.
    """
    numbers = [float(value) for value in values if is_number(value)]
    digits = 0 if all(value.is_integer() for value in numbers if math.isfinite(value)) else 2
    while digits < 8 and len({format_number(x, digits) for x in numbers}) < len(set(numbers)):
        digits += 1
    cells = []
    for value in values:
        if is_number(value):
            number = localised(format_number(float(value), digits), speaker.decimal)
            cells.append((f"{speaker.name(column)} = {number}", False))
        elif is_missing(value):
            cells.append(("", True))
        else:
            cells.append((speaker.term(value) if column == "term" else speaker.name(value), True))
    return cells


def _further(
    section: Section, name: str, rows: Sequence[Mapping[str, object]], speaker: Speaker
) -> dict[str, list[str]]:
    """Return the cells of a further column, with its interval where it has one."""
    column = section.columns[name]
    written = [speaker.written(row, column, name) for row in rows]
    called = speaker.name(column.called)
    found = {called: [one.estimate for one in written]}
    if column.low:
        level = format_level(section.conf_level)
        found[f"{called}, {level} CI"] = [one.interval for one in written]
    return found


def _estimate_cells(
    section: Section, rows: Sequence[Mapping[str, object]], speaker: Speaker
) -> dict[str, list[str]]:
    frame = section.frame
    found: dict[str, list[str]] = {}
    if "estimate" in frame:
        written = [speaker.written(row, section.main(row), "estimate") for row in rows]
        by_row = section.measure_by_row
        if by_row:
            found["what"] = [speaker.name(row[section.measure]) for row in rows]
        called = "estimate" if by_row or not section.measure else speaker.name(section.measure)
        found[called] = [one.estimate for one in written]
        if _any(frame, "std_error") and section.kind != "ratio":
            found["SE"] = [one.std_error for one in written]
    found |= _test_cells(section, rows, speaker)
    if "estimate" in frame and _any(frame, "conf_low"):
        found[f"{format_level(section.conf_level)} CI"] = [one.interval for one in written]
    return found


def _test_cells(
    section: Section, rows: Sequence[Mapping[str, object]], speaker: Speaker
) -> dict[str, list[str]]:
    frame = section.frame
    found: dict[str, list[str]] = {}
    named = section.statistic not in frame
    infinite = "df" not in frame or bool(np.isinf(frame["df"].astype(float)).all())
    if _any(frame, "df") and not (named and section.statistic == "t" and infinite):
        found["df"] = [_df(row.get("df"), speaker) for row in rows]
    for name in ("df1", "df2"):
        if _any(frame, name):
            found[name] = [_df(row.get(name), speaker) for row in rows]
    if _any(frame, "statistic"):
        called = "z" if section.statistic == "t" and infinite else section.statistic
        if not named:
            found["test"] = [speaker.name(row[section.statistic]) for row in rows]
        found[called if named else "statistic"] = [
            localised(format_number(as_float(row["statistic"])), speaker.decimal) for row in rows
        ]
    if _any(frame, "p_value"):
        found["p"] = [
            localised(format_p(as_float(row["p_value"])), speaker.decimal) for row in rows
        ]
    return found


def _df(value: object, speaker: Speaker) -> str:
    return localised(format_df(as_float(value)), speaker.decimal)


def _html_table(section: Section, speaker: Speaker) -> str:
    cells = section_cells(section, speaker)
    n_names = max(1, len(_name_cells(section, speaker)))
    right = ["" if i < n_names else ' style="text-align: right"' for i in range(cells.shape[1])]
    head = "".join(f'<th scope="col"{a}>{_html(c)}</th>' for a, c in zip(right, cells, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{a}>{_html(c)}</td>" for a, c in zip(right, row, strict=True))
        + "</tr>"
        for row in cells.to_numpy().tolist()
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


# ---------------------------------------------------------------------------------------------
# A section as sentences


def _section_sentences(section: Section, speaker: Speaker) -> list[str]:
    rows = section.frame.to_dict("records")
    told = [_told_apart(section.frame[name], name, speaker) for name in section.names]
    names = [", ".join(text for text, _ in cells if text) for cells in zip(*told, strict=True)] or [
        speaker.name(section.title)
    ] * len(rows)
    said = []
    for name, row in zip(names, rows, strict=True):
        found = _row_phrase(section, row, speaker)
        parted = " " if section.lead and not section.measure else ": "
        said.append(f"{name}{parted}{found}")
    if section.lead and said:
        return [f"{section.lead}: {'; '.join(said)}."]
    return [f"{text}." for text in said]


def _row_phrase(section: Section, row: Mapping[str, object], speaker: Speaker) -> str:
    has_estimate = "estimate" in section.frame
    before = [n for n, c in section.columns.items() if c.kind == "count" or not has_estimate]
    after = [name for name in section.columns if name not in before]
    parts = [_further_phrase(section, name, row, speaker) for name in before]
    if has_estimate:
        parts.append(_estimate_phrase(section, row, speaker))
    parts.append(_test_phrase(section, row, speaker))
    parts += [_further_phrase(section, name, row, speaker) for name in after]
    return ", ".join(part for part in parts if part)


def _estimate_phrase(section: Section, row: Mapping[str, object], speaker: Speaker) -> str:
    if is_missing(row["estimate"]):
        return section.undefined
    column = section.main(row)
    found = speaker.written(row, column, "estimate")
    said = _with_interval(found, column.called, section, speaker)
    bare = found.interval == MISSING and is_missing(row.get("statistic"))
    spread = as_float(row.get("std_error")) > 0.0 and column.kind != "ratio"
    return f"{said}, SE = {found.std_error}" if bare and spread else said


def _further_phrase(
    section: Section, name: str, row: Mapping[str, object], speaker: Speaker
) -> str:
    column, value = section.columns[name], row[name]
    if is_missing(value) or value == "":
        return ""
    called = speaker.name(column.called)
    if column.kind == "count" and called != "n":
        count = as_float(value)
        noun = NOUNS.get(str(column.called), called) if called == column.called else called
        return localised(plural(int(count), noun, called), speaker.decimal)
    if column.kind == "text":
        return f"{called}: {speaker.name(value)}" if column.named else speaker.name(value)
    if column.kind == "p":
        said = localised(p_phrase(as_float(value)), speaker.decimal)
        return said if called == "p" else f"{called}: {said}"
    return _with_interval(speaker.written(row, column, name), column.called, section, speaker)


def _with_interval(found: Written, called: str | Phrase, section: Section, speaker: Speaker) -> str:
    name = speaker.name(called) if called else ""
    signed = found.estimate.startswith("<")
    text = f"{name}{'' if not name else ' ' if signed else ' = '}{found.estimate}"
    if found.interval == MISSING:
        return text
    return f"{text}, {format_level(section.conf_level)} CI {found.interval}"


def _test_phrase(section: Section, row: Mapping[str, object], speaker: Speaker) -> str:
    p = "" if is_missing(row.get("p_value")) else p_phrase(as_float(row["p_value"]))
    if is_missing(row.get("statistic")):
        return localised(p, speaker.decimal)
    name = str(row[section.statistic]) if section.statistic in row else section.statistic
    degrees = [as_float(row.get(key)) for key in ("df", "df1", "df2")]
    known = [value for value in degrees if not math.isnan(value)]
    if name == "t" and (not known or math.isinf(known[0])):
        name, known = "z", []
    df = f"({', '.join(format_df(value) for value in known)})" if known else ""
    text = f"{name}{df} = {format_number(as_float(row['statistic']))}"
    return localised(text, speaker.decimal) + (f", {localised(p, speaker.decimal)}" if p else "")


def _sentence(text: str) -> str:
    """Return a phrase as a sentence: its first letter a capital, a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", ":", "?")) else ".")


def _html(text: object) -> str:
    return to_html(printable(text), italics=True)


def _any(frame: pd.DataFrame, name: str) -> bool:
    return name in frame and bool(frame[name].notna().any())


_ENTRY = re.compile(r"@\w+\{(\w+),\n(?:  .*\n)*\}")


def _read() -> dict[str, str]:
    text = (files("alliance_stats.account") / "references.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in _ENTRY.finditer(text)}


REFERENCES: Mapping[str, str] = _read()
"""Key, as in ``Account.sources`` -> BibTeX entry."""


def entries_of(keys: Iterable[str]) -> str:
    """Return the BibTeX entries of these keys, each once, in the order of their keys.

    Raises
    ------
    KeyError
        If a key has no entry.
    """
    asked = sorted(set(keys))
    unknown = next((key for key in asked if key not in REFERENCES), None)
    if unknown is not None:
        raise KeyError(f"'{unknown}' is no reference. {did_you_mean(unknown, list(REFERENCES))}")
    return "\n\n".join(REFERENCES[key] for key in asked) + "\n"
