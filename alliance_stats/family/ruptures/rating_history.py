"""Series of ratings: one per person, a column per session, and what was known before each session.

Arrays are series x sessions, one column per session number, NaN where there is no rating. For
histories, nothing in a column of a result depends on that column or a later one.
"""

from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.door import replaced, require_new
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.family.family_members import refuse_moved
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling
from alliance_stats.study.ratings import whole_sessions

__all__ = [
    "SDKind",
    "by_session",
    "check_sd",
    "last_before",
    "mean_before",
    "moving_range_before",
    "n_before",
    "own_sd_before",
    "read_series",
    "shared_sd_before",
]

_MOST_CELLS = 50_000_000  # 400 MB an array
_NEW = (
    "rupture", "ruptures_so_far", "onset", "known_at", "end", "length", "n_flagged", "level",
    "limit", "extreme", "depth", "repaired",
)  # fmt: skip


def read_series(
    data: pd.DataFrame, *, person: str, session: str, score: str, family: str | None
) -> tuple[pd.DataFrame, RowLedger]:
    """Return the checked columns under the caller's names, rows in the caller's order."""
    data = check_frame(data)
    require_columns(data, [person, session, score, family])
    require_present(data, person, why="to know whose rating a row is")
    check_spelling(data[person], kind="person")
    columns = [*([family] if family else []), person, session, score]
    require_new(columns, _NEW)
    frame = replaced(
        data[columns],
        {session: whole_sessions(data, session), score: finite_or_missing(data, score)},
    )
    twice = frame.duplicated([person, session], keep=False)
    if twice.any():
        row = frame.loc[twice.to_numpy()].iloc[0]
        raise DataError(
            f"'{row[person]}' has several rows of session {row[session]} (of "
            f"{describe_rows(twice, data.index)}). Choose one rater, or average them first; where "
            f"families use the same ids ('mother'), give '{person}' ids that are unique over them."
        )
    levels = {"person": (person,)}
    if family is not None:
        require_present(data, family, why="to know whose family a person is in")
        check_spelling(data[family], kind="family")
        refuse_moved(data, family=family, person=person)
        levels = {"family": (family,), **levels}
    return frame, RowLedger.start(data, levels)


def by_session(
    scores: Array,
    persons: Integers,
    sessions: Integers,
    *,
    looks_ahead: int,
) -> Array:
    """Lay ratings out persons x sessions, NaN where missing."""
    shape = (int(persons.max()) + 1, int(sessions.max()) + 1)
    if shape[0] * shape[1] > _MOST_CELLS:
        raise DataError(
            f"Sessions span {shape[1]:,} numbers for {shape[0]:,} persons. They are counted 1, 2, "
            "3, ..., and a rule looks at each of them: are these dates, ids or a code for missing?"
        )
    # room behind the last session, where a rule may still recognise what happened in it
    laid = np.full((shape[0], shape[1] + looks_ahead), np.nan)
    laid[persons, sessions] = scores
    return laid


SDKind = float | Literal["own", "within", "between"]
"""A number of points, or which SD is taken from the ratings before the session."""


def check_sd(sd: SDKind) -> None:
    """Refuse an SD that is neither a kind nor a positive number."""
    if isinstance(sd, str):
        if sd not in ("own", "within", "between"):
            raise DataError(
                f"sd must be 'own', 'within', 'between' or a positive number; got {sd!r}."
            )
    elif not (np.isfinite(sd) and sd > 0):
        raise DataError(f"sd must be 'own', 'within', 'between' or a positive number; got {sd}.")


def n_before(scores: Array) -> Array:
    """Return how many ratings a series had before each session."""
    return _before(np.cumsum(np.isfinite(scores), axis=1).astype(np.float64), 0.0)


def mean_before(scores: Array) -> Array:
    """Return the mean of the ratings before each session; NaN before the first."""
    n, total, _ = _sums_before(scores)
    return np.asarray(_first(scores) + _ratio(total, n))


def own_sd_before(scores: Array) -> Array:
    """Return the SD (n - 1) of a series' own ratings before each session; NaN where not above 0."""
    n, total, squares = _sums_before(scores)
    variance = _ratio(squares - _ratio(total**2, n), n - 1)
    return _positive(np.sqrt(np.maximum(variance, 0.0)), scores)


def shared_sd_before(scores: Array, kind: Literal["within", "between"]) -> Array:
    """Return an SD of all series' ratings before each session; one value per column.

    ``"within"``: of ratings around the person's own mean of their series, pooled (n - 1 per
    series). ``"between"``: of the series' means.
    """
    n, total, squares = _sums_before(scores)
    if kind == "within":
        own = np.nan_to_num(squares - _ratio(total**2, n))
        df = np.maximum(n - 1, 0).sum(axis=0)
        variance = _ratio(own.sum(axis=0), df)
    else:
        means = mean_before(scores)
        there = np.isfinite(means)
        # centred on the earliest ratings, so that no later one moves a digit
        centre = np.nanmean(means[:, int(there.any(axis=0).argmax())]) if there.any() else 0.0
        centred = np.where(there, means - centre, 0.0)
        count, sums = there.sum(axis=0), centred.sum(axis=0)
        variance = _ratio((centred**2).sum(axis=0) - _ratio(sums**2, count), count - 1.0)
    value = _positive(np.sqrt(np.maximum(variance, 0.0)), scores)
    return np.broadcast_to(value, scores.shape)


def last_before(scores: Array) -> Array:
    """Return the latest rating before each session; NaN before the first."""
    place = np.where(np.isfinite(scores), np.arange(scores.shape[1]), -1)
    latest = np.maximum.accumulate(place, axis=1)
    filled = np.take_along_axis(scores, np.maximum(latest, 0), axis=1)
    return _before(np.where(latest >= 0, filled, np.nan), np.nan)


def moving_range_before(scores: Array) -> Array:
    """Return the mean absolute step between successive ratings before each session."""
    steps = np.abs(scores - last_before(scores))
    known = np.isfinite(steps)
    total = np.cumsum(np.where(known, steps, 0.0), axis=1)
    mean = _ratio(_before(total, 0.0), _before(np.cumsum(known, axis=1).astype(float), 0.0))
    return _positive(mean, scores)


def _first(scores: Array) -> Array:
    """First rating of each series (0 if none), shape (series, 1): a centre that is always known."""
    known = np.isfinite(scores)
    first = np.take_along_axis(scores, known.argmax(axis=1)[:, None], axis=1)
    return np.asarray(np.where(np.isfinite(first), first, 0.0))


def _sums_before(scores: Array) -> tuple[Array, Array, Array]:
    """Count, sum and sum of squares before each session, around the first rating."""
    centred = np.nan_to_num(scores - _first(scores))
    n = n_before(scores)
    total = _before(np.cumsum(centred, axis=1), 0.0)
    return n, total, _before(np.cumsum(centred**2, axis=1), 0.0)


def _before(values: Array, start: float) -> Array:
    """Shift columns by one session."""
    shifted = np.full_like(values, start)
    shifted[:, 1:] = values[:, :-1]
    return shifted


def _ratio(top: Array, bottom: Array) -> Array:
    return np.asarray(
        np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=np.asarray(bottom) > 0)
    )


def _positive(value: Array, scores: Array) -> Array:
    """Put NaN where a spread is zero up to rounding: nothing can be compared with it."""
    size = np.nanmax(np.abs(scores), initial=0.0)
    return np.asarray(np.where(value > 1e-9 * max(size, 1e-300), value, np.nan))
