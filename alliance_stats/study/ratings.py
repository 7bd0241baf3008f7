"""Rules for ratings: their time, one per person, session and rater, and their scale."""

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    comparable,
    describe_rows,
    finite_or_missing,
    require_present,
)
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.estimates import Booleans, Integers
from alliance_stats.formatting import plural

__all__ = [
    "check_one_rating_each",
    "check_order",
    "check_range",
    "check_time",
    "limits",
    "named_ranges",
    "scores",
    "truth",
    "up_to_the_last_rating",
    "whole_sessions",
    "without_codes",
]

_VALUES_SHOWN = 3
_COLUMNS_SHOWN = 6
_BY_LUCK = 5  # cells so alike by chance once in 2^5: in fewer, nothing is seen of how they came
_SAME = 1e-12  # of the largest mean: below it, means of the same numbers differ by rounding
_NO_SESSION = 1e15  # beyond it whole numbers are no longer told apart as floats


def whole_sessions(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return the session numbers as integers; refuse missing, fractional and negative ones."""
    require_present(frame, column, why="to know which session a row belongs to")
    numbers = scores(frame, column)
    _refuse(
        frame,
        column,
        numbers != np.floor(numbers),
        found="is not a whole number",
        advice="Sessions are counted 1, 2, 3, ...; a continuous time goes to time= instead.",
    )
    _refuse(
        frame,
        column,
        numbers < 0,
        found="is negative",
        advice="Count sessions from 0 (intake) or 1; correct or leave out those rows.",
    )
    _refuse(
        frame,
        column,
        numbers >= _NO_SESSION,
        found="is too large for a session number",
        advice="Correct it, or leave out those rows.",
    )
    return pd.Series(numbers.astype(np.int64), index=frame.index)


def truth(data: pd.DataFrame, column: str) -> Booleans:
    """Return a column of true and false, or of 1 and 0; refuse any other value."""
    values = finite_or_missing(data, column)
    odd = ~np.isin(values, (0.0, 1.0))
    if odd.any():
        raise DataError(
            f"Column '{column}' must say true or false (or 1 or 0) in every row; see "
            f"{describe_rows(odd, data.index)}."
        )
    return np.asarray(values == 1.0)


def up_to_the_last_rating(
    varying: pd.DataFrame,
    unit: pd.Series,
    sessions: Integers,
    units: Integers,
    scores: Sequence[str],
) -> tuple[Booleans, list[str]]:
    """Tell which rows are not later than their unit's last rating, and what to warn of.

    Any other number that tells who came is a rating too. A unit without ratings keeps its rows.
    """
    scored = varying[list(scores)].notna().any(axis=1).to_numpy()
    if scored.all():
        return np.ones(len(scored), dtype=bool), []
    rated = scored.copy()
    others = varying.drop(columns=list(scores))
    series = _series(others, sessions, units)
    for name in others:
        if _tells_who_came(others[name], sessions, series, scored):
            rated |= others[name].notna().to_numpy()
    last = np.full(units.max(initial=-1) + 1, -np.inf)
    np.maximum.at(last, units[rated], sessions[rated].astype(np.float64))
    never = np.isinf(last[units])
    went = np.asarray((sessions <= last[units]) | never)
    said = "say so by attended= (a column of true/false) or ending_session=."
    told = []
    if not went.all():
        told.append(
            f"The last sessions of {_units_shown(unit[~went])} hold no rating, and are not taken "
            "for attended: their course ends with their last rated session. If they were "
            f"attended, {said}"
        )
    several = pd.Series(sessions).groupby(units).nunique().to_numpy()[units] > 1
    if (never & several).any():
        told.append(
            f"{_units_shown(unit[never & several])} hold no rating at all, and all their rows are "
            f"taken for attended sessions. Whether they were or not, {said}"
        )
    return went, told


def _units_shown(unit: pd.Series) -> str:
    labels = unit.unique()
    others_too = " and others" if len(labels) > 1 else ""
    return f"{plural(len(labels), 'unit')} of '{unit.name}' ('{labels[0]}'{others_too})"


def _series(others: pd.DataFrame, sessions: Integers, units: Integers) -> Integers:
    """Give each row the number of its series: that of its member or rater, if a column labels them.

    Labels occur once in a unit's session, and come again in other sessions. (The mean of ages or
    ids over the rows that a session happens to have goes up and down.)
    """
    moments = pd.DataFrame({"unit": units, "session": sessions})
    several = int((moments.value_counts() > 1).sum())
    for name in others if several else ():
        column = others[name]
        if not comparable(column) or column.isna().any():
            continue
        if pd.api.types.is_numeric_dtype(column.dtype) and (
            several < _BY_LUCK or (column % 1.0 != 0.0).any()  # numbers may differ by luck
        ):
            continue
        own = moments.assign(label=pd.factorize(column)[0])
        if not own.duplicated().any():
            number: Integers = own.groupby(["unit", "label"]).ngroup().to_numpy(np.int64)
            if 2 * (number.max() + 1) <= len(number):
                return number
    return units


def _tells_who_came(
    column: pd.Series,
    sessions: Integers,
    series: Integers,
    scored: Booleans,
) -> bool:
    """Tell whether a column holds ratings, not what rows have that were only filled in.

    Those are truth values, what is the same for all at a session, what is one number in all rows
    without a score, numbers of members, and clocks: they go one way in every series of rows.
    """
    kind = column.dtype
    if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
        return False
    unscored = column[~scored].dropna()
    if len(unscored) >= _BY_LUCK and unscored.min() == unscored.max():
        return False
    if column.groupby(sessions).nunique().max() <= 1:
        return False
    means = column.astype(np.float64).groupby([series, sessions]).mean().dropna()
    step = means.groupby(level=0).diff().dropna()
    least = _SAME * float(means.abs().max())
    rises, falls = int((step > least).sum()), int((step < -least).sum())
    return min(rises, falls) > 0 or (rises + falls > 0 and len(step) < _BY_LUCK)


def check_time(frame: pd.DataFrame, column: str) -> None:
    """Refuse a missing or negative time."""
    require_present(frame, column, why="to know when a row was recorded")
    _refuse(
        frame,
        column,
        scores(frame, column) < 0,
        found="is negative",
        advice="Time is counted from the first assessment; move its origin there.",
    )


def check_order(
    frame: pd.DataFrame, *, person: str, session: str, time: str, rater: str | None = None
) -> None:
    """Refuse a later session that took place at an earlier time (within a rater's ratings)."""
    series = [person, rater] if rater else [person]
    ordered = frame.sort_values([*series, session], kind="stable")
    back = (ordered.groupby(series, observed=True)[time].diff() < 0).to_numpy()
    if back.any():
        row = ordered.loc[back].iloc[0]
        raise DataError(
            f"Time runs backwards for '{row[person]}': session {row[session]} (column "
            f"'{session}') has '{time}' = {row[time]:g}, earlier than the session before it, in "
            f"{describe_rows(back, ordered.index)}. Correct one of the two columns."
        )


def check_one_rating_each(frame: pd.DataFrame, roles: Mapping[str, str]) -> None:
    """Refuse two rows of the same person, session (or time) and rater."""
    moments = [role for role in ("session", "time") if role in roles][:1]
    key = ["person", *moments, *(["rater"] if "rater" in roles else [])]
    columns = [roles[role] for role in key]
    if "rater" in roles:
        require_present(frame, roles["rater"], why="to know who rated")
    twice = frame.duplicated(columns, keep=False).to_numpy()
    if not twice.any():
        return
    first = frame.loc[twice, columns].iloc[0]
    same = twice & np.logical_and.reduce([frame[name] == first[name] for name in columns])
    where = ", ".join(f"{column} = {first[column]}" for column in columns)
    pairs = int((~frame.loc[twice, columns].duplicated()).sum())
    more = f" ({pairs - 1} more such duplicates)" if pairs > 1 else ""
    advice = ["Keep one of them"]
    if not moments:
        advice.append("or name the column that tells them apart: session= (whole numbers) or time=")
    if "rater" not in roles:
        advice.append("or, if they come from several raters, name that column with rater=")
    raise DataError(
        f"{' x '.join(key).capitalize()} is not unique: {describe_rows(same, frame.index)} all "
        f"have {where}{more}. {'; '.join(advice)}."
    )


def scores(frame: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Return a numeric column as floats, NaN where missing, refusing text, truth values and inf."""
    values = frame[column]
    if pd.api.types.is_bool_dtype(values.dtype):
        raise DataError(
            f"Column '{column}' holds true/false, not numbers. Name the column with the score, or "
            "convert it with .astype(int) if 0 and 1 are the score."
        )
    if pd.api.types.is_object_dtype(values.dtype):
        values = values.where(values.notna(), np.nan).infer_objects()
    if not pd.api.types.is_numeric_dtype(values.dtype):
        text = pd.to_numeric(values.astype(object), errors="coerce").isna() & values.notna()
        if text.any():
            shown = ", ".join(list(dict.fromkeys(map(repr, values[text])))[:_VALUES_SHOWN])
            written = values[text].astype(str)
            comma = written.str.fullmatch(r"\s*-?\d+,\d+\s*").all()
            thousands = written.str.fullmatch(r"\s*-?\d{1,3},\d{3}\s*").all()
            advice = "Correct those values, or set them to missing."
            if thousands:
                advice = "Their comma may separate decimals or thousands: write them without it."
            elif comma:
                advice = "Those are decimal commas: read the file with decimal=','."
            raise DataError(
                f"Column '{column}' must be numeric, but holds {shown} in "
                f"{describe_rows(text, frame.index)}. {advice}"
            )
    return finite_or_missing(frame if values is frame[column] else values.to_frame(), column)


def without_codes(
    frame: pd.DataFrame,
    codes: Sequence[float],
    *,
    kept: Collection[str],
    ranges: Mapping[str, tuple[float, float]],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the frame with numbers that stand for a missing value set to missing, and a note.

    Parameters
    ----------
    codes
        The numbers, as in ``(-9, 99)``.
    kept
        Columns that are not changed: ids and the like.
    ranges
        Score -> its limits, which must not contain a code.
    """
    codes = _read_codes(codes)
    for code in codes:
        for name, (low, high) in ranges.items():
            if low <= code <= high:
                raise DataError(
                    f"missing= names {code:g}, which is a score that '{name}' may have "
                    f"({low:g} to {high:g}). Set it to missing where it is none."
                )
    # -9.9 is kept by a column of single precision, as Stata has them, as -9.8999996
    in_floats = {*codes, *(float(np.float32(code)) for code in codes)}
    new: dict[Hashable, object] = {}
    n_values = 0
    for name in frame.columns.difference(list(kept), sort=False):
        values = frame[name]
        steps = values.cat.categories if _is_category(values) else None
        held = values.dtype if steps is None else steps.dtype
        if not pd.api.types.is_numeric_dtype(held) or held.kind == "b":
            continue
        coded = values.isin(in_floats)
        if coded.any():
            new[name] = (
                values.mask(coded)
                if steps is None  # of categories the codes go, not a step that nobody used
                else values.cat.remove_categories(steps[steps.isin(in_floats)])
            )
            n_values += int(coded.sum())
    if not new:
        return frame, ()
    shown = ", ".join(f"'{name}'" for name in list(new)[:_COLUMNS_SHOWN])
    more = len(new) - _COLUMNS_SHOWN
    note = (
        f"Read as missing, as missing= says: {plural(n_values, 'value')} in "
        f"{shown}{f' and {more} more' if more > 0 else ''}."
    )
    return replaced(frame, new), (note,)


def _is_category(values: pd.Series) -> bool:
    return isinstance(values.dtype, pd.CategoricalDtype)


def _read_codes(given: Any) -> tuple[float, ...]:
    """Return the numbers that `missing` names; what names none would be passed over in silence."""
    codes: list[float] = []
    single = isinstance(given, str | Mapping) or not isinstance(given, Iterable)
    cells: list[Any] = [given] if single else list(given)
    for cell in cells:
        try:
            code = np.nan if isinstance(cell, bool | np.bool_) else float(cell)
        except (TypeError, ValueError):
            code = np.nan
        if not np.isfinite(code):
            raise DataError(
                "missing= takes the numbers that stand for a missing value in any column, as in "
                f"missing=(-9, 99); got {given!r}. Blank cells and words are missing anyway; codes "
                "of one column are set to missing in that column."
            )
        codes.append(code)
    return tuple(codes)


def named_ranges(
    score_range: tuple[float, float] | Mapping[str, tuple[float, float]] | None,
    roles: Mapping[str, str],
) -> dict[str, tuple[float, float]]:
    """Return role -> (low, high); a bare pair is the range of the alliance."""
    if score_range is None:
        return {}
    ranges = dict(score_range) if isinstance(score_range, Mapping) else {"alliance": score_range}
    for role, pair in ranges.items():
        if role not in ("alliance", "outcome") or role not in roles:
            raise DataError(
                f"score_range names '{role}', but no column was given as {role}=. "
                "It may name 'alliance' and 'outcome'."
            )
        limits(pair, of=role)
    return ranges


def limits(pair: object, *, of: str) -> tuple[float, float]:
    """Return the limits of a scale if they are two numbers, the lower first."""
    both = tuple(pair) if isinstance(pair, Sequence) else ()
    numbers = len(both) == 2 and all(isinstance(n, Real) and math.isfinite(n) for n in both)
    if not numbers or not both[0] < both[1]:
        raise DataError(f"score_range of {of} must be (low, high) with low < high; got {pair!r}.")
    return float(both[0]), float(both[1])


def check_range(frame: pd.DataFrame, column: str, *, low: float, high: float) -> None:
    """Refuse scores outside the scale's declared range."""
    values = scores(frame, column)
    _refuse(
        frame,
        column,
        (values < low) | (values > high),
        found=f"is outside its declared range {low:g} to {high:g}",
        advice="Correct them; say which numbers are codes for a missing rating, as in "
        "missing=(-9, 99).",
    )


def _refuse(frame: pd.DataFrame, column: str, bad: Booleans, *, found: str, advice: str) -> None:
    if bad.any():
        values = frame.loc[bad, column].unique()
        shown = ", ".join(f"{float(value):g}" for value in values[:_VALUES_SHOWN])
        more = ", ..." if len(values) > _VALUES_SHOWN else ""
        raise DataError(
            f"Column '{column}' {found} in {describe_rows(bad, frame.index)} ({shown}{more}). "
            f"{advice}"
        )
