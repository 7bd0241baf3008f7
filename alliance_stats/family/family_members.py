"""The members' table, checked on entry: who rated whom, in which family and which dyad."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    describe_rows,
    did_you_mean,
    finite_or_missing,
    group_codes,
    require_columns,
    require_present,
    units_with_several,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling
from alliance_stats.study.ratings import whole_sessions

__all__ = [
    "SELF",
    "Dyads",
    "Labels",
    "MemberTable",
    "attendance",
    "cell_codes",
    "index_columns",
    "member_matrices",
    "read_dyads",
    "read_members",
    "refuse_moved",
]

SELF = "self"
"""Kind of a rating that a member gave for himself or herself."""


@dataclass(slots=True)
class Labels:
    """Names of a private frame's columns, each given once: no helper meets a caller's name.

    Attributes
    ----------
    taken
        Names given so far.
    """

    taken: set[str] = field(default_factory=set)

    def new(self, name: object) -> str:
        """Return `name` if it is still free, else a variant."""
        text = str(name)
        while text in self.taken:
            text += "_"
        self.taken.add(text)
        return text


@dataclass(frozen=True, slots=True, eq=False)
class MemberTable:
    """Checked ratings under fixed names, one row per member x session x kind of rater.

    Attributes
    ----------
    frame
        ``family, person, session, score, role, rater``; score NaN where the rating is missing,
        role None where no role was named.
    rows
        Rows that came in, and those from raters other than requested.
    """

    frame: pd.DataFrame
    rows: RowLedger


def read_members(
    data: pd.DataFrame,
    *,
    family: str,
    person: str,
    session: str,
    score: str,
    role: str | None = None,
    rater: str | None = None,
    raters: Sequence[str] | None = None,
) -> MemberTable:
    """Check a long table of members' ratings and give it fixed column names.

    Raises
    ------
    DataError
        A missing column, id or role; one in two spellings; a person in two families or roles; a
        person rated twice at a session by one kind of rater; a rater from another family; several
        kinds of raters with none chosen.
    """
    data = check_frame(data)
    require_columns(data, [family, person, session, score, role, rater])
    _check_ids(data, family=family, person=person, role=role, rater=rater)
    frame = pd.DataFrame(
        {
            "family": data[family].to_numpy(dtype=object),
            "person": data[person].to_numpy(dtype=object),
            "session": whole_sessions(data, session).to_numpy(),
            "score": finite_or_missing(data, score),
            "role": data[role].to_numpy(dtype=object) if role is not None else None,
            "rater": _kinds(data, family=family, person=person, rater=rater),
        },
        index=data.index,
    )
    rows = RowLedger.start(frame, {"family": ("family",), "person": ("person",)})
    chosen = _choose(frame["rater"], raters, rater=rater)
    frame, rows = rows.keep(frame, frame["rater"].isin(chosen), reason="rated by others")
    _refuse_twice(frame, rater=rater)
    return MemberTable(frame, rows)


def _check_ids(
    data: pd.DataFrame, *, family: str, person: str, role: str | None, rater: str | None
) -> None:
    """Refuse missing ids, persons in two families and persons in two roles."""
    for column, kind, why in (
        (family, "family", "to know whose family a rating is of"),
        (person, "person", "to know which member a rating is of"),
        (role, "role", "to compare roles"),
        (rater, "rater", "to know who rated"),
    ):
        if column is not None:
            require_present(data, column, why=why)
            check_spelling(data[column], kind=kind)
    refuse_moved(data, family=family, person=person)
    if role is not None:
        several = units_with_several(data, unit=person, column=role)
        if len(several):
            raise DataError(
                f"'{several[0]}' (column '{person}') has more than one '{role}'. A member keeps "
                "one role in the family: correct it, or give the two members ids of their own."
            )


def refuse_moved(data: pd.DataFrame, *, family: str, person: str) -> None:
    """Refuse a person in two families."""
    moved = units_with_several(data, unit=person, column=family)
    if len(moved):
        raise DataError(
            f"'{moved[0]}' (column '{person}') is in more than one '{family}'. Give persons ids "
            "that are unique over families, such as 'F001-mother'."
        )


def _kinds(data: pd.DataFrame, *, family: str, person: str, rater: str | None) -> pd.Series:
    """Name the kind of rater of each row: ``"self"``, ``"member"``, or the rater column's value."""
    if rater is None:
        return pd.Series(SELF, index=data.index, dtype=object)
    given = data[rater].astype(object)
    homes = data.drop_duplicates(person).set_index(person)[family].astype(object)
    home = given.map(homes)
    known, own = home.notna(), given == data[person].astype(object)
    strangers = (known & (home != data[family].astype(object))).to_numpy()
    if strangers.any():
        first = data.loc[strangers].iloc[0]
        raise DataError(
            f"'{first[rater]}' rates in '{family}' '{first[family]}' but is a member of "
            f"'{homes[first[rater]]}' ({describe_rows(strangers, data.index)}). Correct the "
            f"'{rater}' column; observers get a name that is no member's id."
        )
    return given.where(~known, "member").where(~own, SELF)


def _choose(kinds: pd.Series, raters: Sequence[str] | None, *, rater: str | None) -> list[str]:
    found = sorted({str(kind) for kind in kinds})
    if raters is None:
        if len(found) > 1:
            raise DataError(
                f"Column '{rater}' mixes ratings by {', '.join(repr(kind) for kind in found)}. "
                "Indices of a family are made of one kind: choose it with raters=('self',), or "
                "list several to get indices of each kind apart."
            )
        return found
    if isinstance(raters, str):
        raise DataError(f"raters= takes a sequence of names; write raters=({raters!r},).")
    for kind in raters:
        if kind not in found:
            raise DataError(f"No rating is by '{kind}'. {did_you_mean(kind, found)}")
    return list(raters)


def _refuse_twice(frame: pd.DataFrame, *, rater: str | None) -> None:
    twice = frame.duplicated(["person", "session", "rater"], keep=False).to_numpy()
    if not twice.any():
        return
    first = frame.loc[twice].iloc[0]
    advice = (
        "Name the column that tells raters apart with rater=, or average them first."
        if rater is None
        else "Average the raters of one kind first."
    )
    raise DataError(
        f"'{first['person']}' has several ratings by '{first['rater']}' at session "
        f"{first['session']} (of {describe_rows(twice, frame.index)}). {advice}"
    )


def cell_codes(frame: pd.DataFrame) -> tuple[Integers, pd.DataFrame]:
    """Return each row's cell of rater x family x session, and one row per cell, in order."""
    keys = ["rater", "family", "session"]
    grouped = frame.groupby(keys, sort=True)
    cells = grouped.size().reset_index()[keys]
    return grouped.ngroup().to_numpy(dtype=np.int64), cells


def member_matrices(
    rated: pd.DataFrame, codes: Integers, n_cells: int
) -> tuple[Array, Array, npt.NDArray[np.object_]]:
    """Lay members side by side, lowest first, ties by error and then by id."""
    names = rated["person"].astype(str).to_numpy()
    error = rated["error"].to_numpy()
    order = np.lexsort([names, error, rated["score"].to_numpy(), codes])
    own = codes[order]
    place = np.arange(len(own)) - np.searchsorted(own, own)
    shape = (n_cells, int(place.max(initial=0)) + 1)
    scores, sems = np.full(shape, np.nan), np.full(shape, np.nan)
    persons = np.full(shape, None, dtype=object)
    scores[own, place] = rated["score"].to_numpy()[order]
    sems[own, place] = error[order]
    persons[own, place] = rated["person"].to_numpy(dtype=object)[order]
    return scores, sems, persons


def index_columns(
    cells: pd.DataFrame, scores: Array, persons: npt.NDArray[np.object_]
) -> pd.DataFrame:
    """Return the cells with their indices, NaN where too few members are present."""
    m = np.isfinite(scores).sum(axis=1)
    some, several = m > 0, m > 1
    last = np.maximum(m - 1, 0)
    at = np.arange(len(m))
    low, high = scores[:, 0], scores[at, last]
    level = np.divide(np.nansum(scores, axis=1), m, out=np.full(len(m), np.nan), where=some)
    squares = np.nansum((scores - level[:, None]) ** 2, axis=1)
    variance = np.divide(squares, m - 1, out=np.full(len(m), np.nan), where=several)
    pair = [
        f"{persons[i, 0]} / {persons[i, last[i]]}" if several[i] else None for i in range(len(m))
    ]
    return cells.assign(
        n_members=m,
        level=level,
        weakest=low,
        strongest=high,
        range=np.where(several, high - low, np.nan),
        sd=np.sqrt(variance),
        pair=pd.Series(pair, index=cells.index, dtype=object),
    )


def attendance(
    cells: pd.DataFrame, persons: npt.NDArray[np.object_]
) -> dict[str, list[str] | list[bool] | list[int]]:
    """Say who is in each cell, and how that differs from the family's earlier attendance."""
    names: list[str] = []
    changed: list[bool] = []
    absent: list[int] = []
    series: tuple[object, object] | None = None
    before: frozenset[object] = frozenset()
    seen: set[object] = set()
    for unit, row in zip(zip(cells["rater"], cells["family"], strict=True), persons, strict=True):
        if unit != series:
            series, before, seen = unit, frozenset(), set()
        present = frozenset(name for name in row if name is not None)
        seen |= present
        names.append(", ".join(sorted(str(name) for name in present)))
        changed.append(bool(before and present and present != before))
        absent.append(len(seen) - len(present))
        before = present or before
    return {"members": names, "changed": changed, "n_absent": absent}


@dataclass(frozen=True, slots=True, eq=False)
class Dyads:
    """Who belongs with whom, row by row.

    Attributes
    ----------
    codes
        Dyad of each row, as a number: (rows,).
    position
        0 for the first and 1 for the second member of a dyad: (rows,).
    roles
        The two values of the member column, in order, where the dyads are distinguishable.
    """

    codes: Integers
    position: Integers
    roles: tuple[str, ...]

    def side_by_side(self, values: Array) -> Array:
        """Return the values of rows by member and dyad, NaN where there is no row: (2, dyads)."""
        found = np.full((2, int(self.codes.max()) + 1), np.nan)
        found[self.position, self.codes] = values
        return found


def read_dyads(
    data: pd.DataFrame,
    *,
    dyad: str,
    member: str,
    distinguishable: bool,
    constant: Sequence[str] = (),
) -> Dyads:
    """Find every member's partner.

    Parameters
    ----------
    data
        One row per member of a dyad.
    dyad, member
        Ids of the dyad and, in it, of the member (where dyads are distinguishable: the role).
    distinguishable
        Whether `member` takes the same two values in every dyad.
    constant
        Columns that are constant within a dyad.
    """
    require_present(data, dyad, why="to know who belongs together")
    require_present(data, member, why="to tell the members of a dyad apart")
    check_spelling(data[dyad], kind="dyad")
    check_spelling(data[member], kind="member", within=None if distinguishable else data[dyad])
    for shared in constant:
        several = units_with_several(data, unit=dyad, column=shared)
        if len(several):
            raise DataError(f"Column '{shared}' differs within '{dyad}' '{several[0]}'.")
    _refuse_more_than_two(data, dyad=dyad, member=member)
    codes, _ = group_codes(data[dyad])
    places, labels = group_codes(data[member].astype(str))
    if not distinguishable:
        position = pd.Series(codes).groupby(codes).cumcount().to_numpy(dtype=np.int64)
        return Dyads(codes, position, ())
    if len(labels) != 2:
        raise DataError(
            f"Distinguishable dyads have two values of '{member}'; found "
            f"{', '.join(repr(v) for v in labels)}. Choose a pair of roles."
        )
    return Dyads(codes, places, (str(labels[0]), str(labels[1])))


def _refuse_more_than_two(data: pd.DataFrame, *, dyad: str, member: str) -> None:
    twice = data.duplicated([dyad, member], keep=False).to_numpy()
    if twice.any():
        row = data.loc[twice].iloc[0]
        raise DataError(
            f"'{row[dyad]}' has several rows of '{row[member]}' ({describe_rows(twice, data.index)}"
            "). A dyad has one row per member: choose a session, or make dyad x session the dyad."
        )
    sizes = data.groupby(dyad, observed=True)[member].size()
    if (sizes > 2).any():
        big = sizes.index[sizes > 2][0]
        raise DataError(
            f"'{dyad}' '{big}' has {sizes[big]} members; a dyad has two. Choose a pair."
        )
