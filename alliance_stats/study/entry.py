"""A table on its way into a study: read as declared, then checked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from alliance_stats.checks import check_frame, require_columns
from alliance_stats.errors import DataError
from alliance_stats.ledger import RowLedger
from alliance_stats.study.courses import (
    check_known_endings,
    checked,
    distinct_roles,
    ending_unit,
    recoded_endings,
)
from alliance_stats.study.ratings import named_ranges, without_codes
from alliance_stats.study.repeated_rows import session_rows
from alliance_stats.study.units import LEVELS
from alliance_stats.study.wide import LongTable, lengthened

__all__ = ["Entered", "Limits", "Range", "entered", "long_table"]

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
        table, notes = session_rows(
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
