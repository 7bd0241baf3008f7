"""Family indices of the alliance: level, weakest link, spread, differences between roles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, one_line, wald_interval
from alliance_stats.family.cells import attendance, index_columns, member_matrices
from alliance_stats.family.members import cell_codes, read_members
from alliance_stats.family.reliability import Reliability, order_errors
from alliance_stats.family.role_differences import (
    RoleDifference,
    require_roles,
    role_difference,
)
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.transforms.columns import require_new

__all__ = ["INDEX_RULES", "FamilyIndices", "family_indices"]

INDEX_RULES = {
    "level": "mean of the members present",
    "weakest": "lowest member present",
    "strongest": "highest member present",
    "range": "highest less lowest: the most discrepant pair",
    "sd": "SD of the members present (n - 1)",
}
"""Index -> its rule in words."""

_NORMAL = ("level",)  # indices that are linear in the ratings, with differences between roles


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FamilyIndices:
    """Indices of every family at every session. Made by :func:`family_indices`.

    Attributes
    ----------
    table
        A row a family x session (x kind of rater), in the score's points: the caller's family and
        session columns, ``rater``, ``members`` (who is in the indices), ``n_members``, ``changed``
        (others present than at the family's last rated session), ``n_absent`` (seen before, not
        present now), the indices, ``pair`` (lowest and highest member), and ``<index>_se`` where a
        reliability was given. Nothing in a row depends on a later session.
    scores, errors
        Members' ratings and their standard errors of measurement, cells x members sorted within a
        cell; NaN beyond the last member.
    family, session, score
        The caller's names.
    rules
        Index -> its rule in words.
    min_members
        Fewest members that an index is made of.
    rows
        The row ledger.
    """

    table: pd.DataFrame
    scores: Array
    errors: Array
    family: str
    session: str
    score: str
    rules: dict[str, str]
    min_members: int
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return a row a family x session x index.

        Columns: family, session, ``rater, term, rule, members, n_members, changed, estimate,
        std_error, conf_low, conf_high``. The normal interval is for what measurement error leaves
        open on the true index; it is given for the level and signed differences alone, since the
        other indices are moved upwards (downwards for the weakest) by error and have no such one.
        """
        keys = [self.family, self.session, "rater", "members", "n_members", "changed"]
        frames = []
        for term, rule in self.rules.items():
            own = self.table[keys].assign(term=term, rule=rule, estimate=self.table[term])
            error = self.table.get(f"{term}_se", pd.Series(np.nan, index=self.table.index))
            linear = term in _NORMAL or term.startswith("difference_")
            low, high = wald_interval(
                own["estimate"], error if linear else np.nan, conf_level=conf_level
            )
            frames.append(own.assign(std_error=error, conf_low=low, conf_high=high))
        order = [*keys[:3], "term", "rule", *keys[3:], "estimate"]
        order += ["std_error", "conf_low", "conf_high"]
        return pd.concat(frames, ignore_index=True)[order]

    def glance(self) -> pd.DataFrame:
        """Return one row: families, sessions, and how many have no index or changed members."""
        counts = self.table["n_members"]
        most = self.table.groupby(self.family)["n_members"].max()
        return pd.DataFrame(
            [
                {
                    "n_families": len(most),
                    "n_cells": len(self.table),
                    "n_undefined": int((counts < self.min_members).sum()),
                    "n_families_undefined": int((most < self.min_members).sum()),
                    "n_single_member": int((most == 1).sum()),
                    "n_changed": int(self.table["changed"].sum()),
                }
            ]
        )

    def summary(self) -> str:
        """Return the counts in words and the mean of each index."""
        g = self.glance().iloc[0]
        lines = []
        if g["n_changed"]:
            lines.append(
                f"In {plural(int(g['n_changed']), 'family session')} other members were present "
                "than at the family's rated session before: compare these indices with care."
            )
        lines.append(
            f"Family indices of '{self.score}': "
            f"{plural(int(g['n_families']), 'family', 'families')}, "
            f"{plural(int(g['n_cells']), 'family session')}; {int(g['n_undefined'])} with fewer "
            f"than {self.min_members} members rated have no index "
            f"({plural(int(g['n_families_undefined']), 'family', 'families')} never had one)."
        )
        means = self.table[list(self.rules)].mean()
        lines.append(means.to_frame("mean").assign(rule=pd.Series(self.rules)).to_string())
        lines.append(str(self.rows))
        return "\n\n".join(lines)


def family_indices(
    data: pd.DataFrame,
    *,
    family: str,
    person: str,
    session: str,
    score: str,
    role: str | None = None,
    rater: str | None = None,
    raters: Sequence[str] | None = None,
    differences: Sequence[RoleDifference] = (),
    reliability: Reliability | None = None,
    min_members: int = 2,
) -> FamilyIndices:
    """Return the alliance of each family at each session as a system's.

    Parameters
    ----------
    data
        Long table, a row a member x session (x rater), in any order; not changed.
    family, person, session, score
        Id columns, whole session numbers, and the rating (NaN where missing).
    role
        Column of roles (mother, child, ...), needed for `differences`.
    rater
        Column that says who rated: ``"self"`` or the member's own id is a self-rating, another
        member's id is a rating by a ``"member"``, anything else is a kind of its own
        (``"observer"``). Without it every row is a self-rating.
    raters
        Kinds to use, each for itself; needed as soon as there are several, since self-ratings and
        observers are never mixed.
    differences
        Differences between named roles.
    reliability
        The scale's reliability, for standard errors from measurement error alone: of the level
        ``sqrt(sum s_i^2) / m``, of a difference ``sqrt(s_1^2 + s_2^2)``, that is ``SD sqrt(2 - r1 -
        r2)`` for one SD (with means of members in place of single ones where several stand on a
        side); of the order statistics (weakest, strongest, range, SD) by seeded simulation, see
        :func:`~alliance_stats.family.reliability.order_errors`.
    min_members
        Fewest rated members an index is made of; families below it are kept, their indices NaN.

    Returns
    -------
    FamilyIndices
        ``table``, ``tidy()``, ``glance()``, ``summary()``, ``rows``.

    Raises
    ------
    DataError
        See :func:`~alliance_stats.family.members.read_members`; a role that no one has; two members
        in one role where a difference needs one.
    """
    _check_asked(differences, role=role, min_members=min_members)
    members = read_members(
        data,
        family=family,
        person=person,
        session=session,
        score=score,
        role=role,
        rater=rater,
        raters=raters,
    )
    frame = members.frame
    for difference in differences:
        require_roles(difference, frame)
    codes, cells = cell_codes(frame)
    present = frame["score"].notna()
    rated, rows = members.rows.keep(
        frame, present, reason=f"'{score}' missing (the member counts as absent)"
    )
    errors = (
        np.full(len(rated), np.nan)
        if reliability is None
        else reliability.errors_of(rated["role"].to_numpy(dtype=object))
    )
    rated, codes = rated.assign(error=errors), codes[present.to_numpy()]
    scores, sems, persons = member_matrices(rated, codes, len(cells))
    table = index_columns(cells, scores, persons).assign(**attendance(cells, persons))
    rules = dict(INDEX_RULES)
    for difference in differences:
        table = table.assign(**role_difference(difference, rated, codes, len(cells)))
        rules[difference.name] = difference.rule
        rules[f"abs_{difference.name}"] = f"absolute {difference.rule}"
    if reliability is not None:
        table = table.assign(**_standard_errors(scores, sems, reliability))
    table = _without_small(table, list(rules), min_members)
    require_new(table.drop(columns=["family", "session"]), [family, session])
    table = table.rename(columns={"family": family, "session": session})
    return FamilyIndices(table, scores, sems, family, session, score, rules, min_members, rows)


def _check_asked(
    differences: Sequence[RoleDifference], *, role: str | None, min_members: int
) -> None:
    if min_members < 1:
        raise DataError(f"min_members counts members and is at least 1; got {min_members}.")
    if differences and role is None:
        raise DataError("differences= compares roles: name the column of roles with role=.")
    for difference in differences:
        if [other.name for other in differences].count(difference.name) > 1:
            raise DataError(f"Two differences are called '{difference.name}': ask for one of them.")


def _without_small(table: pd.DataFrame, indices: list[str], min_members: int) -> pd.DataFrame:
    """Leave no index where fewer members were rated than asked for."""
    few = (table["n_members"] < min_members).to_numpy()
    errors = [column for column in table.columns if column.endswith("_se")]
    blank = table.copy()
    blank.loc[few, [*indices, *errors]] = np.nan
    blank.loc[few, "pair"] = None
    return blank


def _standard_errors(scores: Array, sems: Array, reliability: Reliability) -> dict[str, Array]:
    """Return the level's standard error in closed form, the others' by simulation."""
    m = np.isfinite(scores).sum(axis=1).astype(np.float64)
    m[m == 0] = np.nan
    simulated = order_errors(scores, sems, seed=reliability.seed, draws=reliability.draws)
    level = np.sqrt(np.nansum(sems**2, axis=1)) / m
    return {"level_se": level, **{f"{name}_se": se for name, se in simulated.items()}}
