"""Check a user's table and print what was found."""

import shlex
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from alliance_stats.checks import require_columns
from alliance_stats.cli.terminal import Refusal, heading, print_error, refusing, say
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.study import ENDINGS, Study
from alliance_stats.study.courses import ROLES
from alliance_stats.study.joining import join_families
from alliance_stats.study.readers import TableFile, read_table
from alliance_stats.study.text_files import SEPARATORS
from alliance_stats.study.wide import recognised_pattern

__all__ = ["Question", "Written", "check_table"]

_COLUMNS_SHOWN = 20
_REDCAP = "redcap_repeat_instrument"
_IDS = ("person", "family", "therapist")
_WORDS = ("role", "rater", "ending")


@dataclass(frozen=True, slots=True)
class Written:
    """How a file is written; None where it was not said."""

    sheet: str | None
    separator: str | None
    decimal: str | None
    encoding: str | None
    header_rows: int

    def options(self) -> dict[str, Any]:
        """Return what was said as the keywords of ``read_table``."""
        separator = None if self.separator is None else self.separator.replace("\\t", "\t")
        said = {
            "sheet": self.sheet,
            "separator": separator,
            "decimal": self.decimal,
            "encoding": self.encoding,
        }
        return {
            **{name: value for name, value in said.items() if value is not None},
            "header_rows": self.header_rows,
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be checked: the files, and role -> column (None where the table has no such)."""

    file: Path
    families: Path | None
    person: str | None
    roles: Mapping[str, str | None]
    scores: tuple[str, ...]
    wide: str | None
    repeated_rows: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float] | None]
    unit: str | None
    local_ids: tuple[str, ...]
    missing: tuple[float, ...]
    ending_words: tuple[str, ...]
    written: Written
    families_written: Written

    @property
    def columns(self) -> dict[str, str]:
        """Role -> column, for the roles that were named."""
        named = {"person": self.person, **self.roles}
        return {role: column for role, column in named.items() if column is not None}

    @property
    def endings(self) -> dict[str | int, str] | None:
        """What endings stand for, as ``WORD=ENDING`` says; None where nothing does."""
        pairs = [text.rpartition("=") for text in self.ending_words]
        for text, (word, _, ending) in zip(self.ending_words, pairs, strict=True):
            if not word or ending not in ENDINGS:
                print_error(
                    f"--ending-word {text} is no WORD=ENDING, where ENDING is one of "
                    f"{', '.join(ENDINGS)}."
                )
                raise Refusal
        return {word: ending for word, _, ending in pairs} or None

    @property
    def repeated(self) -> dict[str, list[str]] | None:
        """Which rows are sessions, as ``COLUMN=VALUE`` says; None where nothing does."""
        found: dict[str, list[str]] = {}
        for text in self.repeated_rows:
            column, _, value = text.partition("=")
            found.setdefault(column, []).append(value)
            if not column or not value or len(found) > 1:
                print_error(
                    f"--repeated {text} is no COLUMN=VALUE of the one column that tells sessions "
                    "from other rows, such as redcap_repeat_instrument=session_form."
                )
                raise Refusal
        return found or None

    @property
    def written_by_file(self) -> tuple[Written, Written]:
        """How each of the two files is written.

        What was said of one table only, and can only be meant for the other, goes there; what was
        said of the sessions' text file holds for the families' too, unless said otherwise.
        """
        own, other = self.written, self.families_written
        if self.families is None:
            return own, other
        texts = [path.suffix.lower() in SEPARATORS for path in (self.file, self.families)]
        sheets = [path.suffix.lower() == ".xlsx" for path in (self.file, self.families)]
        if texts[1]:
            other = replace(
                other,
                separator=other.separator or own.separator,
                decimal=other.decimal or own.decimal,
                encoding=other.encoding or own.encoding,
            )
            own = own if texts[0] else replace(own, separator=None, decimal=None, encoding=None)
        if sheets[1] and not sheets[0]:
            other = replace(other, sheet=other.sheet or own.sheet)
            own = replace(own, sheet=None)
        return own, other


def check_table(question: Question) -> int:
    """Print the ledger, the description and notes, or the error; return the exit code."""
    try:
        with refusing(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            own, other = question.written_by_file
            sessions = _read(question, question.file, own)
            if question.person is None and question.wide is None:
                _ask_for_roles(question, sessions.frame)
                return 1
            if _is_wide(question, sessions.frame) or _has_forms(question, sessions.frame):
                return 1
            frame, joined, more = _joined(question, sessions.frame, other)
            ranges = {name: pair for name, pair in question.ranges.items() if pair is not None}
            roles: dict[str, Any] = dict(question.roles)
            shared: dict[str, Any] = {
                "person": question.person,
                "scores": dict.fromkeys(question.scores),
                "endings": question.endings,
                "unit": question.unit,
                "score_range": ranges or None,
                "local_ids": question.local_ids,
                "missing": question.missing,
            }
            if question.wide is None:
                study = Study.from_frame(frame, **roles, **shared, repeated=question.repeated)
            else:
                refused = {name: roles.pop(name) for name in ("session", "rater")}
                _refuse_moments({**refused, "repeated": question.repeated_rows or None})
                study = Study.from_wide(frame, wide=question.wide, **roles, **shared)
    except Refusal:
        return 1
    _print_study(study, (*sessions.notes, *more), joined)
    for warning in caught:
        say(f"Warning: {warning.message}", style="yellow")
    return 0


def _read(
    question: Question, path: Path, written: Written, *, of_families: bool = False
) -> TableFile:
    """Read a table; what is not there as a mark or an encoding is refused as data are."""
    columns = question.columns
    try:
        return read_table(
            path,
            ids=[columns[role] for role in _IDS if role in columns],
            labelled=[columns[role] for role in _WORDS if role in columns],
            **written.options(),
        )
    except ValueError as error:  # marks and encodings that are none, and data that cannot be
        print_error(str(error), of_families=of_families)
        raise Refusal from error


def _joined(
    question: Question, sessions: pd.DataFrame, written: Written
) -> tuple[pd.DataFrame, RowLedger | None, tuple[str, ...]]:
    """Return the sessions with the families' columns, the families' ledger and their notes."""
    if question.families is None and question.wide is not None:
        return sessions, None, ()
    if question.families is None:
        require_columns(sessions, list(question.columns.values()), what=f"'{question.file.name}'")
        return sessions, None, ()
    if question.roles["family"] is None:
        print_error("--families needs --family: name the column of family ids in both files.")
        raise Refusal
    families = _read(question, question.families, written, of_families=True)
    frame, rows = join_families(
        sessions,
        families.frame,
        family=question.roles["family"],
        therapist=question.roles["therapist"],
        ending=question.roles["ending"],
        endings=question.endings,
    )
    if question.wide is not None:
        return frame, rows, families.notes
    both = f"'{question.file.name}' with '{question.families.name}'"
    require_columns(frame, list(question.columns.values()), what=both)
    return frame, rows, families.notes


def _is_wide(question: Question, frame: pd.DataFrame) -> bool:
    """Say what to do with a table that has a column per session, if this is one."""
    named = (question.roles["session"], question.roles["time"], question.wide)
    pattern = recognised_pattern(map(str, frame.columns))
    person = question.person
    if any(named) or pattern is None or person is None or person not in frame.columns:
        return False
    if frame[person].duplicated().any():
        return False
    who = "{rater} may be {role}" if "{rater}" in pattern else "with {role} or {rater} in it"
    print_error(
        f"'{question.file.name}' has a row per '{person}' and columns that repeat, as "
        f"'{pattern}' says. If they are sessions, pass --wide '{pattern}' ({who} where those stand "
        "in the names) and name the scores, as in --alliance and --score; if they are items of "
        "one questionnaire, name the session with --session."
    )
    return True


def _has_forms(question: Question, frame: pd.DataFrame) -> bool:
    """Say what to do with an export of REDCap in which rows of persons stand among sessions."""
    if question.repeated_rows or _REDCAP not in frame.columns:
        return False
    forms = list(frame[_REDCAP].dropna().unique())
    if not forms:
        return False
    listed = " or ".join(f"--repeated {_REDCAP}={form}" for form in forms[:_COLUMNS_SHOWN])
    print_error(
        f"'{question.file.name}' has rows of repeated forms among those of persons, as REDCap "
        f"writes them. Say which are sessions: {listed} (both, if a session has several forms), "
        "and which column counts them, as in --session redcap_repeat_instance."
    )
    return True


def _refuse_moments(given: Mapping[str, object]) -> None:
    for name, column in given.items():
        if column is not None:
            print_error(f"--{name} and --wide exclude each other; --wide makes that column.")
            raise Refusal


def _ask_for_roles(question: Question, frame: pd.DataFrame) -> None:
    """Say which columns there are; columns named like a role make a proposal, never a guess."""
    columns = ", ".join(f"'{name}'" for name in frame.columns[:_COLUMNS_SHOWN])
    more = len(frame.columns) - _COLUMNS_SHOWN
    columns += f" and {more} more" if more > 0 else ""
    print_error(
        "Nothing says which column holds the person: name it with --person, and each other role "
        f"that the table has with its own option. '{question.file.name}' has the columns {columns}."
    )
    like = [role for role in ROLES if role in frame.columns]
    if like:
        options = " ".join(f"--{role.replace('_', '-')} {role}" for role in like)
        person = "" if "person" in like else "--person COLUMN "
        say("If the columns are what their names say, ask:")
        say(f"  alliance-stats check {shlex.quote(str(question.file))} {person}{options}")


def _print_study(study: Study, notes: tuple[str, ...], joined: RowLedger | None) -> None:
    say("The table can be used.", style="bold green")
    heading("Rows")
    say(str(study.rows))
    if joined is not None:
        say(f"Families' table: {joined}")
    heading("What it holds")
    for note in notes:
        say(f"Note: {note}")
    say(study.describe().summary())
    lines = list(_unasked(study))
    if lines:
        heading("To know")
        for line in lines:
            say(line)


def _unasked(study: Study) -> Iterator[str]:
    """Yield what no error says, but an analysis would trip over."""
    frame = study.sessions
    given = {*study.roles.values(), *study.scores}
    others = [f"'{name}'" for name in frame.columns if name not in given]
    if others:
        yield f"{plural(len(others), 'column')} without a role, not checked: {', '.join(others)}."
    for name in frame.columns:
        values = frame[name].dropna().unique()
        if not len(values):
            yield f"Column '{name}' is empty."
        elif len(values) == 1 and len(frame) > 1:
            yield f"Column '{name}' has one value only ({values[0]}): nothing can vary with it."
