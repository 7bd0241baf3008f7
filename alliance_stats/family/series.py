"""Series of ratings at the door: one a person, a column a session number."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    check_spelling,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
    units_with_several,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.ledger import RowLedger
from alliance_stats.study.ratings import whole_sessions
from alliance_stats.transforms.columns import require_new

__all__ = ["by_session", "read_series"]

_MOST_CELLS = 50_000_000  # 400 MB an array
_NEW = (
    "rupture", "ruptures_so_far", "onset", "known_at", "end", "length", "n_flagged", "level",
    "limit", "extreme", "depth", "repaired",
)  # fmt: skip


def read_series(
    data: pd.DataFrame, *, person: str, session: str, score: str, family: str | None
) -> tuple[pd.DataFrame, RowLedger]:
    """Return the checked columns under the caller's names, rows in the caller's order."""
    check_frame(data)
    require_columns(data, [person, session, score, family])
    require_present(data, person, why="to know whose rating a row is")
    check_spelling(data[person], kind="person")
    columns = [*([family] if family else []), person, session, score]
    require_new(data[columns], _NEW)
    frame = data[columns].assign(
        **{session: whole_sessions(data, session), score: finite_or_missing(data, score)}
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
        moved = units_with_several(data, unit=person, column=family)
        if len(moved):
            raise DataError(
                f"'{moved[0]}' (column '{person}') is in more than one '{family}'. Give persons "
                "ids that are unique over families."
            )
        levels = {"family": (family,), **levels}
    return frame, RowLedger.start(data, levels)


def by_session(
    scores: Array,
    persons: npt.NDArray[np.int64],
    sessions: npt.NDArray[np.int64],
    *,
    looks_ahead: int,
) -> Array:
    """Lay ratings out persons x sessions, NaN where there is none."""
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
