"""Two tables into one: what is known of each family, added to its sessions."""

from collections.abc import Mapping

import pandas as pd

from alliance_stats.checks import check_frame, describe_rows, did_you_mean, require_columns
from alliance_stats.errors import DataError
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling
from alliance_stats.study.courses import check_known_endings, recoded_endings
from alliance_stats.study.units import plain_ids

__all__ = ["join_families"]

_SHOWN = 5


def join_families(
    sessions: pd.DataFrame,
    families: pd.DataFrame,
    *,
    family: str,
    therapist: str | None = None,
    ending: str | None = None,
    endings: Mapping[str | int, str] | None = None,
) -> tuple[pd.DataFrame, RowLedger]:
    """Add the columns of a family table to the sessions of each family.

    Parameters
    ----------
    sessions
        A row per person x session.
    families
        A row per family: therapist, ending, groups, ...
    family
        Column of family ids, under this name in both tables.
    therapist, ending, endings
        As in ``Study.from_frame``. If these columns are in `families` they are checked there, so
        that messages name the rows of that table; nothing is recoded yet.

    Returns
    -------
    frame, rows
        The sessions in their order and with their row labels, the other columns of `families`
        added; and the ledger of `families`, which counts those without any session.

    Raises
    ------
    DataError
        If a family has two rows in `families` or none, if ids are numbers in one table and text
        in the other, or if a column other than `family` is in both tables.
    """
    sessions = check_frame(sessions, what="sessions")
    families = check_frame(families, what="families")
    require_columns(sessions, [family], what="sessions")
    require_columns(families, [family], what="families")
    shared = [name for name in sessions.columns if name in families.columns and name != family]
    if shared:
        raise DataError(
            f"Column '{shared[0]}' stands in both tables. Keep it in one of them: in the families' "
            "if it is the same in all rows of a family, else in the sessions'."
        )
    _check_of_families(families, therapist=therapist, ending=ending, endings=endings or {})
    inner = plain_ids(sessions, family, role="family")
    outer = plain_ids(families, family, role="family")
    _check_one_row_each(families, outer, family)
    _check_all_known(sessions, inner, outer, family)
    _, rows = RowLedger.start(families, {"family": (family,)}).keep(
        families, outer.isin(inner), reason="family without a session"
    )
    added = families.drop(columns=family).set_axis(pd.Index(outer), axis="index")
    beside = added.reindex(pd.Index(inner)).set_axis(sessions.index, axis="index")
    return pd.concat([sessions, beside], axis="columns"), rows


def _check_of_families(
    families: pd.DataFrame,
    *,
    therapist: str | None,
    ending: str | None,
    endings: Mapping[str | int, str],
) -> None:
    """Check what only this table contains, so that messages name its rows."""
    try:
        if therapist is not None and therapist in families.columns:
            plain_ids(families, therapist, role="therapist")
            check_spelling(families[therapist], kind="unit")
        if ending is not None and ending in families.columns:
            recoded, _ = recoded_endings(families, ending, endings)
            check_known_endings(recoded, ending)
    except DataError as error:
        raise DataError(f"In the table of families: {error}") from error


def _check_one_row_each(families: pd.DataFrame, ids: pd.Series, family: str) -> None:
    twice = ids[ids.duplicated()]
    if len(twice):
        same = (ids == twice.iloc[0]).to_numpy()
        raise DataError(
            f"Family '{twice.iloc[0]}' (column '{family}') has {int(same.sum())} rows in the table "
            f"of families ({describe_rows(same, families.index)}). Keep one row per family."
        )


def _check_all_known(
    sessions: pd.DataFrame, inner: pd.Series, outer: pd.Series, family: str
) -> None:
    if pd.api.types.is_object_dtype(inner) != pd.api.types.is_object_dtype(outer):
        kinds = [
            "text" if pd.api.types.is_object_dtype(ids) else "numbers" for ids in (inner, outer)
        ]
        raise DataError(
            f"Column '{family}' holds {kinds[0]} in the sessions (as in '{inner.iloc[0]}') and "
            f"{kinds[1]} in the families (as in '{outer.iloc[0]}'). Spell the ids alike in both."
        )
    unknown = (~inner.isin(outer)).to_numpy()
    if unknown.any():
        names = list(dict.fromkeys(inner[unknown]))
        listed = ", ".join(f"'{name}'" for name in names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        # the nearest number is another family; the nearest spelling may be the same one
        near = did_you_mean(names[0], outer) if isinstance(names[0], str) else ""
        hint = f" {near}" if near.startswith("Did") else ""
        raise DataError(
            f"The table of families has no row for {listed}{more} (column '{family}', "
            f"{describe_rows(unknown, sessions.index)} of the sessions).{hint} Add the missing "
            "families, or spell the ids alike in both tables."
        )
