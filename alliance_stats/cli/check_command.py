"""Check a user's table and print what was found."""

import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from alliance_stats.checks import require_columns
from alliance_stats.cli.check_settings import CheckSettings, Written
from alliance_stats.cli.terminal import Refusal, heading, print_error, refusing, say
from alliance_stats.errors import DataError
from alliance_stats.formatting import format_count, format_percent, plural
from alliance_stats.ledger import RowLedger
from alliance_stats.scales import Scale, reliability, score_study
from alliance_stats.study import ENDINGS, Study
from alliance_stats.study.courses import ROLES
from alliance_stats.study.joining import join_families
from alliance_stats.study.readers import TableFile, read_table
from alliance_stats.study.text_files import SEPARATORS
from alliance_stats.study.wide import recognised_pattern
from alliance_stats.study.workbooks import WORKBOOKS

__all__ = ["check_table"]

_COLUMNS_SHOWN = 20
_REDCAP = "redcap_repeat_instrument"
_IDS = ("person", "family", "therapist")
_WORDS = ("role", "rater", "ending")


_SAYS_SOMETHING_OF = {
    "item_range": "scale",
    "alliance_range": "alliance",
    "outcome_range": "outcome",
    "ending_word": "ending",
    "families_sheet": "families",
    "families_separator": "families",
    "families_decimal": "families",
    "families_encoding": "families",
}


def _endings(settings: CheckSettings) -> dict[str | int, str] | None:
    """Return the meaning of endings, from ``WORD=ENDING``; None if not given."""
    texts = settings.ending_word or []
    pairs = [text.rpartition("=") for text in texts]
    for text, (word, _, ending) in zip(texts, pairs, strict=True):
        if not word or ending not in ENDINGS:
            print_error(
                f"--ending-word {text} is no WORD=ENDING, where ENDING is one of "
                f"{', '.join(ENDINGS)}."
            )
            raise Refusal
    return {word: ending for word, _, ending in pairs} or None


def _repeated(settings: CheckSettings) -> dict[str, list[str]] | None:
    """Return which rows are sessions, from ``COLUMN=VALUE``; None if not given."""
    found: dict[str, list[str]] = {}
    for text in settings.repeated or []:
        column, _, value = text.partition("=")
        found.setdefault(column, []).append(value)
        if not column or not value or len(found) > 1:
            print_error(
                f"--repeated {text} is no COLUMN=VALUE of the one column that tells sessions "
                "from other rows, such as redcap_repeat_instrument=session_form."
            )
            raise Refusal
    return found or None


def _scales(settings: CheckSettings) -> list[Scale]:
    """Return the scales, from ``NAME=ITEM,ITEM``."""
    found, used = [], set()
    for text in settings.scale or []:
        name, _, listed = text.partition("=")
        items = tuple(item.strip() for item in listed.split(","))
        if not name or not all(items):
            print_error(f"--scale {text} is no NAME=ITEM,ITEM, such as wai=i1,i2,i3.")
            raise Refusal
        if settings.item_range is None:
            print_error("--scale needs --item-range LOW HIGH: the lowest and the highest answer.")
            raise Refusal
        own = tuple(item for item in settings.reverse or [] if item in items)
        used |= {*own}
        found.append(Scale(name=name, items=items, limits=settings.item_range, reversed=own))
    other = [item for item in settings.reverse or [] if item not in used]
    if other:
        print_error(f"--reverse {other[0]} is no item of a --scale.")
        raise Refusal
    return found


def _refuse_unused(settings: CheckSettings) -> None:
    """Refuse an option that says something of what was not named: it would be ignored."""
    for option, named in _SAYS_SOMETHING_OF.items():
        if getattr(settings, option) is not None and getattr(settings, named) is None:
            said, needed = (name.replace("_", "-") for name in (option, named))
            print_error(f"--{said} is of no use without --{needed}, which it speaks of.")
            raise Refusal
    scales = {text.partition("=")[0] for text in settings.scale or []}
    for role in settings.ranges:
        if settings.roles[role] in scales:
            print_error(
                f"--{role}-range: '{settings.roles[role]}' is a --scale, whose limits are those "
                "of its items: --item-range."
            )
            raise Refusal


def _written_by_file(settings: CheckSettings) -> tuple[Written, Written]:
    """Return the format of each of the two files.

    What was said of one table only, and can only be meant for the other, goes there; what was
    said of the sessions' text file holds for the families' too, unless stated otherwise.
    """
    own, other = settings.written, settings.families_written
    if settings.families is None:
        return own, other
    texts = [path.suffix.lower() in SEPARATORS for path in (settings.file, settings.families)]
    sheets = [path.suffix.lower() in WORKBOOKS for path in (settings.file, settings.families)]
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


def check_table(settings: CheckSettings) -> int:
    """Print the ledger, the description and notes, or the error; return the exit code."""
    try:
        with refusing(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            own, other = _written_by_file(settings)
            sessions = _read(settings, settings.file, own)
            if settings.person is None and settings.wide is None:
                _ask_for_roles(settings, sessions.frame)
                return 1
            _refuse_unused(settings)
            if _is_wide(settings, sessions.frame) or _has_forms(settings, sessions.frame):
                return 1
            frame, joined, more = _joined(settings, sessions.frame, other)
            scales = _scales(settings)
            study = _study(settings, frame)
            for scale in scales:
                as_role = {settings.alliance: "alliance", settings.outcome: "outcome"}
                study = score_study(study, scale, role=as_role.get(scale.name))
            forms = [_form(settings, study.sessions, scale) for scale in scales]
    except Refusal:
        return 1
    _print_study(study, (*sessions.notes, *more), joined, scales)
    for scale, told in zip(scales, forms, strict=True):
        heading(f"Scale {scale.name}")
        for line in told:
            say(line)
    for warning in caught:
        say(f"Warning: {warning.message}", style="yellow")
    return 0


def _study(settings: CheckSettings, frame: pd.DataFrame) -> Study:
    """Return the checked study; the total of a scale is scored afterwards."""
    roles: dict[str, Any] = {
        role: column if column in settings.columns.values() else None
        for role, column in settings.roles.items()
    }
    scored = [role for role in settings.ranges if roles[role] is not None]
    shared: dict[str, Any] = {
        "person": settings.person,
        "scores": dict.fromkeys(settings.score or []),
        "endings": _endings(settings),
        "unit": settings.unit,
        "score_range": {role: settings.ranges[role] for role in scored} or None,
        "local_ids": tuple(settings.local_ids or ()),
        "missing": tuple(settings.missing or ()),
    }
    if settings.wide is None:
        return Study.from_frame(frame, **roles, **shared, repeated=_repeated(settings))
    refused = {name: roles.pop(name) for name in ("session", "rater")}
    _refuse_moments({**refused, "repeated": settings.repeated})
    return Study.from_wide(frame, wide=settings.wide, **roles, **shared)


def _form(settings: CheckSettings, sessions: pd.DataFrame, scale: Scale) -> list[str]:
    """Return the description of a scale: reliability, missing answers, rows without a score."""
    person, session = settings.columns.get("person", "person"), settings.session or "session"
    complete = sessions.dropna(subset=list(scale.items))
    repeated = complete[person].duplicated().any()
    who = {"person": person, "session": session} if repeated else {}
    try:
        told = reliability(sessions, items=scale, **who).summary()
    except DataError as reason:  # the table can be used all the same
        told = f"No reliability: {reason}"
    gaps = sessions[list(scale.items)].isna().sum()
    listed = ", ".join(f"{item}: {format_count(n)}" for item, n in gaps.items())
    without = int(sessions[scale.name].isna().sum())
    return [
        told,
        f"Missing answers of {plural(len(sessions), 'row')}: {listed}.",
        f"{plural(without, 'row')} without a score: fewer than "
        f"{format_percent(scale.least_answered, 0)} of the items were answered.",
    ]


def _read(
    settings: CheckSettings, path: Path, written: Written, *, of_families: bool = False
) -> TableFile:
    """Read a table; unknown marks or encodings are refused like data."""
    columns = settings.columns
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
    settings: CheckSettings, sessions: pd.DataFrame, written: Written
) -> tuple[pd.DataFrame, RowLedger | None, tuple[str, ...]]:
    """Return the sessions with the families' columns, the families' ledger and their notes."""
    if settings.families is None and settings.wide is not None:
        return sessions, None, ()
    if settings.families is None:
        require_columns(sessions, list(settings.columns.values()), what=f"'{settings.file.name}'")
        return sessions, None, ()
    if settings.roles["family"] is None:
        print_error("--families needs --family: name the column of family ids in both files.")
        raise Refusal
    families = _read(settings, settings.families, written, of_families=True)
    frame, rows = join_families(
        sessions,
        families.frame,
        family=settings.roles["family"],
        therapist=settings.roles["therapist"],
        ending=settings.roles["ending"],
        endings=_endings(settings),
    )
    if settings.wide is not None:
        return frame, rows, families.notes
    both = f"'{settings.file.name}' with '{settings.families.name}'"
    require_columns(frame, list(settings.columns.values()), what=both)
    return frame, rows, families.notes


def _is_wide(settings: CheckSettings, frame: pd.DataFrame) -> bool:
    """Say what to do with a table that has a column per session, if this is one."""
    named = (settings.roles["session"], settings.roles["time"], settings.wide)
    pattern = recognised_pattern(map(str, frame.columns))
    person = settings.person
    if any(named) or pattern is None or person is None or person not in frame.columns:
        return False
    if frame[person].duplicated().any():
        return False
    who = "{rater} may be {role}" if "{rater}" in pattern else "with {role} or {rater} in it"
    print_error(
        f"'{settings.file.name}' has a row per '{person}' and columns that repeat, as "
        f"'{pattern}' says. If they are sessions, pass --wide '{pattern}' ({who} where those stand "
        "in the names) and name the scores, as in --alliance and --score; if they are items of "
        "one questionnaire, name the session with --session."
    )
    return True


def _has_forms(settings: CheckSettings, frame: pd.DataFrame) -> bool:
    """Say what to do with a REDCap export in which rows of persons are mixed with sessions."""
    if settings.repeated or _REDCAP not in frame.columns:
        return False
    forms = list(frame[_REDCAP].dropna().unique())
    if not forms:
        return False
    listed = " or ".join(f"--repeated {_REDCAP}={form}" for form in forms[:_COLUMNS_SHOWN])
    print_error(
        f"'{settings.file.name}' has rows of repeated forms among those of persons, as REDCap "
        f"writes them. Say which are sessions: {listed} (both, if a session has several forms), "
        "and which column counts them, as in --session redcap_repeat_instance."
    )
    return True


def _refuse_moments(given: Mapping[str, object]) -> None:
    for name, column in given.items():
        if column is not None:
            print_error(f"--{name} and --wide exclude each other; --wide makes that column.")
            raise Refusal


def _ask_for_roles(settings: CheckSettings, frame: pd.DataFrame) -> None:
    """List the columns; those named like a role make a proposal, never a guess."""
    columns = ", ".join(f"'{name}'" for name in frame.columns[:_COLUMNS_SHOWN])
    more = len(frame.columns) - _COLUMNS_SHOWN
    columns += f" and {more} more" if more > 0 else ""
    print_error(
        "Nothing says which column holds the person: name it with --person, and each other role "
        f"that the table has with its own option. '{settings.file.name}' has the columns {columns}."
    )
    like = [role for role in ROLES if role in frame.columns]
    if like:
        options = " ".join(f"--{role.replace('_', '-')} {role}" for role in like)
        person = "" if "person" in like else "--person COLUMN "
        say("If the columns are what their names say, ask:")
        say(f"  alliance-stats check {shlex.quote(str(settings.file))} {person}{options}")


def _print_study(
    study: Study, notes: tuple[str, ...], joined: RowLedger | None, scales: Sequence[Scale]
) -> None:
    say("The table can be used.", style="bold green")
    heading("Rows")
    say(str(study.rows))
    if joined is not None:
        say(f"Families' table: {joined}")
    heading("What it holds")
    for note in notes:
        say(f"Note: {note}")
    say(study.describe().summary())
    lines = list(_unasked(study, scales))
    if lines:
        heading("To know")
        for line in lines:
            say(line)


def _unasked(study: Study, scales: Sequence[Scale]) -> Iterator[str]:
    """Yield problems that raise no error but would affect an analysis."""
    frame = study.sessions
    given = {*study.roles.values(), *study.scores}
    given |= {name for scale in scales for name in (*scale.items, f"{scale.name}_answered")}
    others = [f"'{name}'" for name in frame.columns if name not in given]
    if others:
        yield f"{plural(len(others), 'column')} without a role, not checked: {', '.join(others)}."
    for name in frame.columns:
        values = frame[name].dropna().unique()
        if not len(values):
            yield f"Column '{name}' is empty."
        elif len(values) == 1 and len(frame) > 1:
            yield f"Column '{name}' has one value only ({values[0]}): nothing can vary with it."
