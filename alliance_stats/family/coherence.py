"""How alike members of a family are at each session: the within-family intraclass correlation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.family.family_members import read_members
from alliance_stats.ledger import RowLedger

__all__ = ["WithinFamilyICC", "within_family_icc"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WithinFamilyICC:
    """Intraclass correlations by session. Returned by :func:`within_family_icc`.

    Attributes
    ----------
    squares
        One row per session: ``session, n_families, n_members, size`` (n0), ``between, within``
        (mean squares) and ``df1, df2``.
    balanced
        Whether all families had the same size in every session and role means were not removed: the
        interval is exact then.
    rows
        The row ledger.
    """

    squares: pd.DataFrame
    balanced: bool
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``session, n_families, n_members, estimate, conf_low, conf_high``.

        ``(MSB - MSW) / (MSB + (n0 - 1) MSW)``, the ICC of a single rating, with the F-based
        interval (Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420, case 1; n0 in place of the
        size where sizes differ, which makes it an approximation). Negative where members of a
        family are less alike than unrelated persons.
        """
        alpha = 1.0 - check_conf_level(conf_level)
        s = self.squares
        F, n0 = s["between"] / s["within"], s["size"]
        low = F / stats.f.isf(alpha / 2, s["df1"], s["df2"])
        high = F * stats.f.isf(alpha / 2, s["df2"], s["df1"])
        limits = {
            name: (value - 1.0) / (value + n0 - 1.0)
            for name, value in (("estimate", F), ("conf_low", low), ("conf_high", high))
        }
        return s[["session", "n_families", "n_members"]].assign(**limits)

    def glance(self) -> pd.DataFrame:
        """Return one row: sessions, and whether the intervals are exact."""
        return pd.DataFrame(
            [
                {
                    "n_sessions": len(self.squares),
                    "n_undefined": int(self.tidy()["estimate"].isna().sum()),
                    "balanced": self.balanced,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was measured, in a phrase."""
        kind = (
            "exact" if self.balanced else "approximate: family sizes differ or roles were taken out"
        )
        return f"Within-family intraclass correlation by session ({kind})"

    @property
    def notes(self) -> tuple[str, ...]:
        """None: the correlations need no cautions."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the correlation of each session as data."""
        table = Section(
            "Session",
            self.tidy(conf_level=conf_level),
            names=("session",),
            measure="ICC",
            kind="bounded",
            columns={"n_families": Column("families", "count")},
            conf_level=conf_level,
            undefined="not defined",
        )
        sizes = {"sessions": len(self.squares)}
        return Account.of(self, sizes, (table,), sources=("shrout1979",))

    summary = summary_of
    _repr_html_ = html_of


def within_family_icc(
    data: pd.DataFrame,
    *,
    family: str,
    person: str,
    session: str,
    score: str,
    role: str | None = None,
    min_families: int = 3,
) -> WithinFamilyICC:
    """Return how similar the members of a family are at each session.

    Parameters
    ----------
    data, family, person, session, score
        As in :func:`~alliance_stats.family.family_indices`, for one kind of rater.
    role
        Column of roles, whose means in a session are removed first (the degrees of freedom
        within families shrink by the number of roles minus one).
    min_families
        Fewest families with two rated members; sessions with fewer are NaN, as are those in which
        no two members of a family differ.

    Returns
    -------
    WithinFamilyICC
        ``tidy()``, ``glance()``, ``summary()``, ``rows``. Families with one rated member at a
        session carry no information about it and are set aside there, and counted.

    Raises
    ------
    DataError
        See :func:`~alliance_stats.family.family_members.read_members`; no family with two members
        rated at one session.

    Examples
    --------
    >>> from alliance_stats import example_study
    >>> from alliance_stats.family import within_family_icc
    >>> sessions = example_study().sessions
    >>> found = within_family_icc(
    ...     sessions, family="family", person="person", session="session", score="alliance",
    ...     role="role",
    ... )
    >>> found.tidy().iloc[:2, :3].round(2)
       session  n_families  n_members
    0        1         240        621
    1        2         205        516
    """
    table = read_members(
        data, family=family, person=person, session=session, score=score, role=role
    )
    frame, rows = table.rows.keep(
        table.frame, table.frame["score"].notna(), reason=f"'{score}' missing"
    )
    size = frame.groupby(["session", "family"])["score"].transform("size")
    frame, rows = rows.keep(frame, size > 1, reason="the only member rated at the session")
    if frame.empty:
        raise DataError(f"No family has two members rated at one session. {rows}")
    found = [
        {"session": when, **_squares(own, by_role=role is not None, min_families=min_families)}
        for when, own in frame.groupby("session", sort=True)
    ]
    sizes = frame.groupby(["session", "family"]).size().groupby("session")
    balanced = role is None and bool((sizes.min() == sizes.max()).all())
    columns = ["session", "n_families", "n_members", "size", "between", "within", "df1", "df2"]
    return WithinFamilyICC(pd.DataFrame(found, columns=columns), balanced, rows)


def _squares(own: pd.DataFrame, *, by_role: bool, min_families: int) -> dict[str, float]:
    """Return one session's analysis of variance: sizes, mean squares, degrees of freedom."""
    values, roles = own["score"], 0
    if by_role:
        values = values - own.groupby("role")["score"].transform("mean")
        roles = own["role"].nunique() - 1
    by = values.groupby(own["family"])
    n, means = by.size(), by.mean()
    N, k = int(n.sum()), len(n)
    df2 = N - k - roles
    enough = k >= max(min_families, 2) and df2 > 0
    between = float((n * (means - values.mean()) ** 2).sum() / (k - 1)) if enough else np.nan
    within = float(((values - by.transform("mean")) ** 2).sum() / df2) if enough else np.nan
    return {
        "n_families": k,
        "n_members": N,
        "size": (N - float((n**2).sum()) / N) / max(k - 1, 1),
        "between": between,
        "within": within if within > 0 else np.nan,
        "df1": k - 1,
        "df2": df2,
    }
