"""The checks of a study, in their order: ids, ratings, dates, and how treatment ended for whom."""

import re
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from alliance_stats.arguments import mapping_of
from alliance_stats.checks import (
    check_choice,
    describe_rows,
    did_you_mean,
    group_codes,
    require_present,
    units_with_several,
)
from alliance_stats.door import replaced, require_new
from alliance_stats.errors import AllianceStatsWarning, DataError, warn
from alliance_stats.formatting import plural
from alliance_stats.spelling import check_spelling, plain_number
from alliance_stats.study.ratings import (
    check_one_rating_each,
    check_order,
    check_range,
    check_time,
    limits,
    scores,
    whole_sessions,
)
from alliance_stats.study.units import (
    LEVELS,
    check_nesting,
    each_label_once,
    global_ids,
    is_categorical,
)

__all__ = [
    "ENDINGS",
    "ROLES",
    "check_endings",
    "check_known_endings",
    "check_rows_after",
    "checked",
    "days_for_dates",
    "distinct_roles",
    "ending_unit",
    "recoded_endings",
]

_FORMATS = (  # of a day; what may follow is a time of day
    (re.compile(r"\s*(\d{4}-\d{1,2}-\d{1,2})(?:[T ]\d{1,2}:\d{2}.*)?\s*"), "%Y-%m-%d"),
    (re.compile(r"\s*(\d{1,2}\.\d{1,2}\.\d{4})(?: \d{1,2}:\d{2}.*)?\s*"), "%d.%m.%Y"),
)
_SLASHES = re.compile(r"\s*\d{1,2}/\d{1,2}/\d{2,4}.*")
_SERIAL = (20_000, 80_000)  # days since 1900 as a spreadsheet counts them: 1954 to 2119


def days_for_dates(
    frame: pd.DataFrame, column: str, *, unit: str, unit_column: str
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Return the frame with days beside dates, the column of time, and a note.

    A column without dates is taken as the time itself. Dates are read as days, as
    ``2024-03-31`` or ``31.3.2024``; a time of day is ignored.

    Raises
    ------
    DataError
        If a date is missing or invalid, day and month are ambiguous, or numbers are a spreadsheet's
        serial dates.
    """
    values = frame[column]
    if is_numeric_dtype(values.dtype):
        known = values.dropna()
        if len(known) and _SERIAL[0] <= known.min() and known.max() <= _SERIAL[1]:
            raise DataError(
                f"Column '{column}' seems to hold dates as a spreadsheet counts them "
                f"({known.iloc[0]:g} days since 1900). Write them as dates, as in 2024-03-31; or "
                "count days from each unit's first."
            )
        return frame, column, ()
    if not is_datetime64_any_dtype(values.dtype) and not _looks_like_dates(values):
        return frame, column, ()
    require_present(frame, column, why="to know when a row was recorded")
    dates = _dates(values)
    first = dates.groupby(frame[unit_column], observed=True).transform("min")
    name = f"{column}_days"
    require_new(frame.columns, [name])
    new: dict[Hashable, object] = {
        column: dates,
        name: (dates - first).dt.days.to_numpy(np.float64),
    }
    note = (
        f"'{column}' holds dates: time is counted in days from the first date of each {unit}, in "
        f"the new column '{name}'."
    )
    return replaced(frame, new), name, (note,)


def _looks_like_dates(values: pd.Series) -> bool:
    cells = values.dropna().astype(object)
    first = cells.iloc[0] if len(cells) else None
    if isinstance(first, str):
        return any(pattern.fullmatch(first) for pattern in (*(p for p, _ in _FORMATS), _SLASHES))
    return hasattr(first, "year")


def _dates(values: pd.Series) -> pd.Series:
    """Return days, all read in the one format of their column."""
    if is_datetime64_any_dtype(values.dtype):
        plain = values.dt.tz_localize(None) if values.dt.tz is not None else values
        return plain.dt.normalize()
    cells = values.astype(object)
    text = np.array([isinstance(cell, str) for cell in cells])
    dates = pd.Series(pd.NaT, index=values.index, dtype="datetime64[ns]")
    if (~text).any():
        there = [
            cell.replace(tzinfo=None) if getattr(cell, "tzinfo", None) else cell
            for cell in cells[~text]
        ]
        dates[~text] = pd.to_datetime(pd.Series(there, dtype=object), errors="coerce").to_numpy()
    for pattern, written in _FORMATS:
        found = cells[text].str.extract(pattern.pattern + "$", expand=False)
        read = pd.to_datetime(found, format=written, errors="coerce").dropna()
        dates[read.index] = read
    unread = dates.isna().to_numpy()
    if unread.any():
        shown = cells[unread].iloc[0]
        slashes = isinstance(shown, str) and _SLASHES.fullmatch(shown)
        why = "in which day and month cannot be told apart" if slashes else "which is no date"
        raise DataError(
            f"Column '{values.name}' holds {shown!r} in {describe_rows(unread, values.index)}, "
            f"{why}. Write dates as 2024-03-31 or 31.3.2024."
        )
    return dates.dt.normalize()


ROLES = ("person", "family", "therapist", "session", "time", "role", "rater", "alliance",
         "outcome", "ending", "ending_session")  # fmt: skip
"""The roles that a column can have."""

ENDINGS = ("ongoing", "dropout", "planned", "transferred")
"""How a unit's treatment stands: still going on, or ended in one of three ways."""

_PADDED = 2  # trailing sessions without any score that look like rows filled in after the ending


def ending_unit(unit: str | None, roles: Mapping[str, str]) -> str:
    """Return ``"family"`` or ``"person"``: the unit that ends treatment."""
    if unit is None:
        return "family" if "family" in roles else "person"
    if unit not in ("family", "person"):
        raise DataError(f"unit must be 'family' or 'person'; got {unit!r}.")
    if unit not in roles:
        raise DataError(
            f"unit='{unit}' says that the {unit} is what ends treatment, but no column was given "
            f"as {unit}=. Name it, or say unit='person'."
        )
    return unit


def recoded_endings(
    frame: pd.DataFrame, column: str, endings: Mapping[str | int, str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the frame with its endings in this package's words, and a note on the original ones.

    A key is compared with what a cell shows, so that ``1`` and ``"1"`` both stand for the number 1;
    endings that match no key are unchanged.
    """
    endings = mapping_of(endings, name="endings", example="{'abgebrochen': 'dropout'}")
    for word in endings.values():
        check_choice(word, ENDINGS, name="an ending that others stand for")
    meaning = {str(key): word for key, word in endings.items()}
    codes, distinct = group_codes(frame[column])
    shown = [str(plain_number(value)) for value in distinct]
    words = [meaning.get(text, value) for text, value in zip(shown, distinct, strict=True)]
    counts = np.bincount(codes[codes >= 0], minlength=len(shown))
    told = [
        f"'{text}' to '{meaning[text]}' ({plural(int(n), 'row')})"
        for text, n in zip(shown, counts, strict=True)
        if text in meaning
    ]
    new = np.empty(len(words) + 1, dtype=object)
    new[:] = [*words, np.nan]
    note = f"Endings in '{column}' were recoded as stated: {', '.join(told)}."
    return replaced(frame, {column: new[codes]}), ((note,) if told else ())


def check_known_endings(frame: pd.DataFrame, column: str) -> None:
    """Refuse an ending that is not one of :data:`ENDINGS` (missing ones pass)."""
    values = frame[column]
    if is_categorical(values):
        codes, distinct = values.array.codes, values.array.categories
    else:
        codes, distinct = group_codes(values)
    known = np.array([label in ENDINGS for label in distinct] + [True])  # missing ones pass
    unknown = ~known[codes]
    if unknown.any():
        first = distinct[[codes[unknown][0]]].tolist()[0]
        same = codes == codes[unknown][0]
        raise DataError(
            f"Column '{column}' holds the unknown ending {first!r} in "
            f"{describe_rows(same, frame.index)}. {did_you_mean(first, ENDINGS)} "
            f"Endings are {', '.join(ENDINGS)}; say what yours stand for, as in "
            f"endings={{{first!r}: 'dropout'}}."
        )


def check_endings(
    frame: pd.DataFrame, *, ending: str, unit: str, unit_column: str, session: str | None = None
) -> None:
    """Refuse unknown endings, and a unit whose rows give different endings."""
    check_known_endings(frame, ending)
    clash = units_with_several(frame, unit=unit_column, column=ending)
    if not len(clash):
        return
    rows = frame[frame[unit_column] == clash[0]]
    _refuse_rows_after_an_ending_row(rows, ending=ending, session=session, unit=unit)
    named_endings = rows[ending].astype(object).fillna("missing")
    named = ", ".join(
        f"{value} in {describe_rows(named_endings == value, rows.index)}"
        for value in named_endings.unique()
    )
    advice = "Write the final ending in every row of the unit."
    if unit == "family":
        advice = (
            "unit='family' says that a family ends as one: write its final ending in every row, or "
            "say unit='person' if members end separately."
        )
    more = f" ({len(clash) - 1} more likewise)" if len(clash) > 1 else ""
    raise DataError(
        f"{unit[:1].upper()}{unit[1:]} '{clash[0]}' has different endings in column '{ending}': "
        f"{named}{more}. {advice}"
    )


def check_rows_after(
    frame: pd.DataFrame, *, session: str, ending_session: str, unit: str, unit_column: str
) -> None:
    """Refuse sessions later than the unit's declared last session."""
    last = scores(frame, ending_session)
    odd = ~np.isnan(last) & ((last < 0) | (last != np.floor(last)))
    if odd.any():
        raise DataError(
            f"Column '{ending_session}' (ending_session) must hold whole session numbers; see "
            f"{describe_rows(odd, frame.index)}."
        )
    clash = units_with_several(frame, unit=unit_column, column=ending_session)
    if len(clash):
        mask = frame[unit_column] == clash[0]
        raise DataError(
            f"{unit[:1].upper()}{unit[1:]} '{clash[0]}' has several values of '{ending_session}' "
            f"in {describe_rows(mask, frame.index)}. The last session before the ending is one "
            "number per unit: write it in every row."
        )
    after = frame[session].to_numpy(dtype=np.float64) > last
    if after.any():
        units = frame.loc[after, unit_column].unique()
        raise DataError(
            f"Sessions after the ending: {describe_rows(after, frame.index)} "
            f"({unit} '{units[0]}'{' and others' if len(units) > 1 else ''}) have a '{session}' "
            f"later than '{ending_session}'. Correct the numbers; keep follow-up ratings in a "
            "frame of their own, and leave out rows that were only filled in."
        )


def warn_of_padded_rows(
    frame: pd.DataFrame, *, ending: str, session: str, unit_column: str, scored: Sequence[str]
) -> None:
    """Warn if units that ended treatment have final sessions in which nothing was scored."""
    rated = frame[list(scored)].notna().to_numpy().any(axis=1)
    units, moments = pd.factorize(frame[unit_column])[0], frame[session].to_numpy()
    # -1 where nothing was ever rated: every session is then later than the last rated one
    last_rated = np.full(units.max() + 1, -1)
    np.maximum.at(last_rated, units[rated], moments[rated])
    later = moments > last_rated[units]
    if not later.any():
        return
    later &= (frame[ending].notna() & (frame[ending] != "ongoing")).to_numpy()
    n_later = frame[later].groupby(unit_column, observed=True)[session].nunique()
    padded = n_later[n_later >= _PADDED]
    if len(padded):
        warn(
            f"In {len(padded)} unit(s) that ended treatment ('{padded.index[0]}'...), the last "
            f"{_PADDED} or more sessions hold no score at all. A row counts as an attended "
            "session: if those rows were filled in after the ending, leave them out; if they were "
            "attended, name the last one with ending_session= to say so.",
            AllianceStatsWarning,
        )


def _refuse_rows_after_an_ending_row(
    rows: pd.DataFrame, *, ending: str, session: str | None, unit: str
) -> None:
    """Where endings were recorded as they happened, refuse rows later than the ending's row."""
    if session is None:
        return
    ended = rows[ending].notna() & (rows[ending] != "ongoing")
    if not ended.any() or len(rows.loc[ended, ending].unique()) > 1:
        return
    first = rows.loc[ended, session].min()
    after = ((rows[session] > first) & ~ended).to_numpy()
    if after.any():
        raise DataError(
            f"Sessions after the ending: a {unit} has '{ending}' = "
            f"'{rows.loc[ended, ending].iloc[0]}' at session {plain_number(first)}, but later "
            f"sessions in {describe_rows(after, rows.index)}. Write the final ending in every row "
            f"of the {unit}, and leave out rows later than it."
        )


def distinct_roles(given: Mapping[str, str | None]) -> dict[str, str]:
    """Return the roles that were given, refusing one column under two of them."""
    roles = {role: column for role, column in given.items() if column is not None}
    holder: dict[str, str] = {}
    for role, column in roles.items():
        if not isinstance(column, str):
            raise DataError(f"{role}= must be the name of one column; got {column!r}.")
        if column in holder:
            raise DataError(
                f"Column '{column}' was given as both {holder[column]}= and {role}=. A column has "
                "one role; name another, or copy it if it really serves both."
            )
        holder[column] = role
    return roles


def checked(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    *,
    unit: str,
    ranges: Mapping[str, tuple[float, float]],
    named: Mapping[str, tuple[float, float] | None],
    local_ids: Sequence[str],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str], tuple[str, ...]]:
    """Return the frame with plain ids, whole sessions and numeric scores, and notes on changes.

    The checks use a frame with text columns as categories, so that each label is checked once.

    Returns
    -------
    frame, known, roles, notes
        The frame; the same with such categories; the roles, with time in days where dates were
        named; and sentences on what was changed.
    """
    ids = [roles[level] for level in LEVELS if level in roles]
    others = [roles[role] for role in ("role", "rater", "ending") if role in roles]
    known, notes = global_ids(each_label_once(frame, [*ids, *others]), roles, local_ids)
    known = each_label_once(known, ids)  # where they were joined with their parents'
    check_nesting(known, roles)
    for role in ("role", "rater"):
        if role in roles:
            check_spelling(known[roles[role]], kind=role)
    if "time" in roles:
        known, column, dated = days_for_dates(
            known, roles["time"], unit=unit, unit_column=roles[unit]
        )
        roles, notes = {**roles, "time": column}, (*notes, *dated)
    known = _checked_ratings(known, roles, ranges, named)
    _check_constant_role(known, roles)
    _check_course(known, roles, unit, list(named))
    plain: dict[Hashable, object] = {name: frame[name] for name in others}
    for name in ids:
        if is_categorical(known[name]):
            plain[name] = known[name].astype(object)
    return replaced(known, plain), known, dict(roles), notes


def _checked_ratings(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    ranges: Mapping[str, tuple[float, float]],
    named: Mapping[str, tuple[float, float] | None],
) -> pd.DataFrame:
    if "session" in roles:
        frame = replaced(frame, {roles["session"]: whole_sessions(frame, roles["session"])})
    if "time" in roles:
        check_time(frame, roles["time"])
    check_one_rating_each(frame, roles)
    if "session" in roles and "time" in roles:
        check_order(
            frame,
            person=roles["person"],
            session=roles["session"],
            time=roles["time"],
            rater=roles.get("rater"),
        )
    for role in ("alliance", "outcome"):
        if role in roles:
            frame = replaced(frame, {roles[role]: scores(frame, roles[role])})
    for role, (low, high) in ranges.items():
        check_range(frame, roles[role], low=low, high=high)
    taken = {column: role for role, column in roles.items()}
    for column, pair in named.items():
        if column in taken:
            raise DataError(
                f"Column '{column}' was given as {taken[column]}= and in scores=. Name it once."
            )
        frame = replaced(frame, {column: scores(frame, column)})
        if pair is not None:
            low, high = limits(pair, of=column)
            check_range(frame, column, low=low, high=high)
    return frame


def _check_constant_role(frame: pd.DataFrame, roles: Mapping[str, str]) -> None:
    if "role" not in roles:
        return
    clash = units_with_several(frame, unit=roles["person"], column=roles["role"])
    if len(clash):
        mask = frame[roles["person"]] == clash[0]
        values = ", ".join(f"'{value}'" for value in frame.loc[mask, roles["role"]].unique())
        raise DataError(
            f"Person '{clash[0]}' has several values of '{roles['role']}' ({values}). A person "
            "has one role in the family; who gave a rating goes to rater=."
        )


def _check_course(
    frame: pd.DataFrame, roles: Mapping[str, str], unit: str, named: Sequence[str]
) -> None:
    """Check how treatment ended, and that no row is later."""
    session, ending = roles.get("session"), roles.get("ending")
    column = roles[unit]
    if ending is not None:
        check_endings(frame, ending=ending, unit=unit, unit_column=column, session=session)
    if "ending_session" in roles:
        if session is None:
            raise DataError("ending_session= needs session=: name the column of session numbers.")
        check_rows_after(
            frame,
            session=session,
            ending_session=roles["ending_session"],
            unit=unit,
            unit_column=column,
        )
        return
    scored = [*(roles[role] for role in ("alliance", "outcome") if role in roles), *named]
    if ending is not None and session is not None and scored:
        warn_of_padded_rows(
            frame, ending=ending, session=session, unit_column=column, scored=scored
        )
