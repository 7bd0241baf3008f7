"""Who belongs with whom: two members per dyad, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import (
    check_spelling,
    describe_rows,
    group_codes,
    require_present,
    units_with_several,
)
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["Dyads", "read_dyads"]


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

    codes: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
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
