"""Dyads at the door: two members each, one in either position."""

from collections.abc import Sequence

import numpy as np
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

__all__ = ["POSITION", "stack_dyads"]

POSITION = "position_"
"""Column with 1 for the first and 2 for the second member of a dyad."""


def stack_dyads(
    data: pd.DataFrame,
    *,
    dyad: str,
    member: str,
    outcome: str,
    predictors: Sequence[str],
    distinguishable: bool,
    others: Sequence[str] = (),
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give every member the partner's predictors.

    Parameters
    ----------
    data
        A row a member of a dyad.
    dyad, member
        Ids of the dyad and, in it, of the member (where dyads are distinguishable: the role).
    outcome, predictors
        Numeric columns.
    distinguishable
        Whether `member` takes the same two values in every dyad.
    others
        Further columns to carry; constant in a dyad.

    Returns
    -------
    frame, values
        The rows in the caller's order with ``actor_<x>``, ``partner_<x>`` (NaN where the partner
        has no row or no value) and :data:`POSITION`; and the two values of `member`, in order,
        where the dyads are distinguishable.
    """
    data = check_frame(data)
    require_columns(data, [dyad, member, outcome, *predictors, *others])
    require_present(data, dyad, why="to know who belongs together")
    require_present(data, member, why="to tell the members of a dyad apart")
    check_spelling(data[dyad], kind="dyad")
    check_spelling(data[member], kind="member", within=None if distinguishable else data[dyad])
    for column in others:
        several = units_with_several(data, unit=dyad, column=column)
        if len(several):
            raise DataError(f"Column '{column}' differs within '{dyad}' '{several[0]}'.")
    _refuse_more_than_two(data, dyad=dyad, member=member)
    values: tuple[str, ...] = ()
    if distinguishable:
        found = sorted(data[member].astype(str).unique())
        if len(found) != 2:
            raise DataError(
                f"Distinguishable dyads have two values of '{member}'; found "
                f"{', '.join(repr(v) for v in found)}. Choose a pair of roles."
            )
        values = (found[0], found[1])
    frame = data[[dyad, member, *others]].assign(**{outcome: finite_or_missing(data, outcome)})
    order = data.groupby(dyad, observed=True).cumcount() + 1
    if distinguishable:
        order = data[member].astype(str).map({v: i for i, v in enumerate(values, 1)})
    frame[POSITION] = order.to_numpy(dtype=np.float64)
    partners = frame[[dyad, POSITION]].assign(**{POSITION: 3.0 - frame[POSITION]})
    for x in predictors:
        frame[f"actor_{x}"] = finite_or_missing(data, x)
        own = frame.set_index([dyad, POSITION])[f"actor_{x}"]
        frame[f"partner_{x}"] = own.reindex(pd.MultiIndex.from_frame(partners)).to_numpy()
    return frame, values


def _refuse_more_than_two(data: pd.DataFrame, *, dyad: str, member: str) -> None:
    twice = data.duplicated([dyad, member], keep=False).to_numpy()
    if twice.any():
        row = data.loc[twice].iloc[0]
        raise DataError(
            f"'{row[dyad]}' has several rows of '{row[member]}' ({describe_rows(twice, data.index)}"
            "). A dyad has one row a member: choose a session, or make dyad x session the dyad."
        )
    sizes = data.groupby(dyad, observed=True)[member].size()
    if (sizes > 2).any():
        big = sizes.index[sizes > 2][0]
        raise DataError(
            f"'{dyad}' '{big}' has {sizes[big]} members; a dyad has two. Choose a pair."
        )
