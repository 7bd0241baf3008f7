"""Family indices of the alliance: level, weakest link, spread, differences between roles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.door import require_new
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers, one_line, wald_interval
from alliance_stats.family.family_members import (
    attendance,
    cell_codes,
    index_columns,
    member_matrices,
    read_members,
)
from alliance_stats.family.measurement_error import Reliability, order_errors
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger

__all__ = [
    "INDEX_RULES",
    "FamilyIndices",
    "RoleDifference",
    "family_indices",
    "require_roles",
    "role_difference",
]


@dataclass(frozen=True, slots=True)
class RoleDifference:
    """First minus second role, signed and absolute.

    Attributes
    ----------
    first, second
        A role, or several roles whose members are averaged: ``("mother", "father")``.
    several
        What is done where two members have one named role: ``"refuse"`` or take their ``"mean"``.
    """

    first: str | tuple[str, ...]
    second: str | tuple[str, ...]
    several: Literal["refuse", "mean"] = "refuse"

    def __post_init__(self) -> None:
        check_choice(self.several, ("refuse", "mean"), name="several")
        both = set(self.sides[0]) & set(self.sides[1])
        if both:
            raise DataError(f"Role '{min(both)}' is on both sides of a difference.")

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Roles of each side."""
        return _roles(self.first), _roles(self.second)

    @property
    def name(self) -> str:
        """Column of the signed difference: ``difference_mother_child``."""
        return "difference_" + "_".join("_and_".join(side) for side in self.sides)

    @property
    def rule(self) -> str:
        """The rule in words."""
        return " less ".join(
            side[0] if len(side) == 1 else f"mean of {' and '.join(side)} present"
            for side in self.sides
        )


def require_roles(difference: RoleDifference, frame: pd.DataFrame) -> None:
    """Refuse a role that no member has."""
    found = sorted({str(role) for role in frame["role"]})
    for side in difference.sides:
        for role in side:
            if role not in found:
                raise DataError(f"No member has the role '{role}'. {did_you_mean(role, found)}")


def role_difference(
    difference: RoleDifference, rated: pd.DataFrame, codes: Integers, n_cells: int
) -> dict[str, Array]:
    """Return signed and absolute difference of two sides, and the signed one's error."""
    means, variances = [], []
    for side in difference.sides:
        own = rated["role"].isin(side).to_numpy()
        _refuse_several(difference, rated.loc[own], codes[own])
        n = np.bincount(codes[own], minlength=n_cells).astype(float)
        total = np.bincount(codes[own], rated["score"].to_numpy()[own], minlength=n_cells)
        squares = np.bincount(codes[own], rated["error"].to_numpy()[own] ** 2, minlength=n_cells)
        n[n == 0] = np.nan
        means.append(total / n)
        variances.append(squares / n**2)
    signed = means[0] - means[1]
    error = np.sqrt(variances[0] + variances[1])
    name = difference.name
    found = {name: signed, f"abs_{name}": np.abs(signed)}
    return {**found, f"{name}_se": error} if np.isfinite(rated["error"]).all() else found


def _refuse_several(difference: RoleDifference, own: pd.DataFrame, codes: Integers) -> None:
    if difference.several == "mean":
        return
    twice = pd.DataFrame({"cell": codes, "role": own["role"].to_numpy()}).duplicated(keep=False)
    if twice.any():
        first = own.loc[twice.to_numpy()].iloc[0]
        raise DataError(
            f"Family '{first['family']}' has several members in the role '{first['role']}' at "
            f"session {first['session']}: {difference.rule} is not defined. Ask for their mean "
            "with RoleDifference(..., several='mean'), or leave some of them out."
        )


def _roles(side: str | tuple[str, ...]) -> tuple[str, ...]:
    return (side,) if isinstance(side, str) else tuple(side)


INDEX_RULES = {
    "level": "mean of the members present",
    "weakest": "lowest member present",
    "strongest": "highest member present",
    "range": "highest minus lowest: the most discrepant pair",
    "sd": "SD of the members present (n - 1)",
}
"""Index -> its rule in words."""

_OF_TIDY = ("term", "rule", "estimate", "std_error", "conf_low", "conf_high")
_NORMAL = ("level",)  # indices that are linear in the ratings, with differences between roles


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FamilyIndices:
    """Indices of every family at every session. Returned by :func:`family_indices`.

    Attributes
    ----------
    table
        One row per family x session (x kind of rater), in the score's points: the caller's family
        and session columns, ``rater``, ``members`` (who is in the indices), ``n_members``,
        ``changed`` (others present than at the family's last rated session), ``n_absent`` (seen
        before, not present now), the indices, ``pair`` (lowest and highest member), and
        ``<index>_se`` where a reliability was given. Nothing in a row depends on a later session.
    scores, errors
        Members' ratings and their standard errors of measurement, cells x members sorted within a
        cell; NaN beyond the last member.
    family, session, score
        The caller's names.
    rules
        Index -> its rule in words.
    min_members
        Fewest members needed for an index.
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
        """Return one row per family x session x index.

        Columns: family, session, ``rater, term, rule, members, n_members, changed, estimate,
        std_error, conf_low, conf_high``. The normal interval reflects measurement error in the true
        index; it is given for the level and signed differences alone, since the other indices are
        moved upwards (downwards for the weakest) by error and have no such interval.
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

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return f"family indices of '{self.score}'"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before comparing families over sessions."""
        changed = int(self.table["changed"].sum())
        if not changed:
            return ()
        return (
            f"In {plural(changed, 'family session')} other members were present than at the "
            "family's rated session before: compare these indices with care.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return mean and SD of each index over family sessions, as data."""
        del conf_level
        found = self.table[list(self.rules)].agg(["count", "mean", "std"]).T
        means = Section(
            "Index",
            found.reset_index(names="term").assign(rule=list(self.rules.values())),
            names=("term",),
            columns={
                "count": Column("n", "count"),
                "mean": Column("M", spread="std"),
                "std": Column("SD", spread="std"),
                "rule": Column("rule", "text"),
            },
        )
        g = self.glance().iloc[0]
        never = plural(int(g["n_families_undefined"]), "family", "families")
        said = (
            f"{int(g['n_undefined'])} of {plural(int(g['n_cells']), 'family session')} have fewer "
            f"than {self.min_members} members rated and no index ({never} never had one).",
        )
        sizes = {"families": int(g["n_families"])}
        return Account.of(self, sizes, (means,), said)

    summary = summary_of
    _repr_html_ = html_of


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
    """Return indices of the family as a system, for each family and session.

    Parameters
    ----------
    data
        Long table, one row per member x session (x rater), in any order; not changed.
    family, person, session, score
        Id columns, whole session numbers, and the rating (NaN where missing).
    role
        Column of roles (mother, child, ...), needed for `differences`.
    rater
        Column that says who rated: ``"self"`` or the member's own id is a self-rating, another
        member's id is a rating by a ``"member"``, anything else is a separate kind
        (``"observer"``). Without it every row is a self-rating.
    raters
        Kinds to use, each separately; required if there are several, since self-ratings and
        observers are never mixed.
    differences
        Differences between named roles.
    reliability
        The scale's reliability, for standard errors from measurement error alone: of the level
        ``sqrt(sum s_i^2) / m``, of a difference ``sqrt(s_1^2 + s_2^2)``, that is ``SD sqrt(2 - r1 -
        r2)`` for one SD (with means of members in place of single ones where a side has several);
        of the order statistics (weakest, strongest, range, SD) by seeded simulation, see
        :func:`~alliance_stats.family.measurement_error.order_errors`.
    min_members
        Fewest rated members needed for an index; families below it are kept, their indices NaN.

    Returns
    -------
    FamilyIndices
        ``table``, ``tidy()``, ``glance()``, ``summary()``, ``rows``.

    Raises
    ------
    DataError
        See :func:`~alliance_stats.family.family_members.read_members`; a role that no one has; two
        members in one role where a difference needs one.

    Examples
    --------
    >>> from alliance_stats import example_study, family_indices
    >>> sessions = example_study().sessions
    >>> found = family_indices(
    ...     sessions, family="family", person="person", session="session", score="alliance",
    ...     role="role",
    ... )
    >>> found.tidy()[["family", "session"]].shape
    (11560, 2)
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
    taken = [*table.columns.drop(["family", "session"]), *_OF_TIDY]
    require_new(taken, [family, session])
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
    """Set indices to NaN where fewer members were rated than required."""
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
    simulated = order_errors(scores, sems, seed=reliability.seed, draws=reliability.n_resamples)
    level = np.sqrt(np.nansum(sems**2, axis=1)) / m
    return {"level_se": level, **{f"{name}_se": se for name, se in simulated.items()}}
