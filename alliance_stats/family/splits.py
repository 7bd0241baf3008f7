"""Split alliances: families whose members' alliances lie far apart."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.door import with_columns
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.family.flagged_sessions import clustered_share
from alliance_stats.family.indices import FamilyIndices
from alliance_stats.family.measurement_error import chance_of_range
from alliance_stats.formatting import format_number, plural
from alliance_stats.ledger import RowLedger

__all__ = ["SplitAlliance", "split_alliance"]

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SplitAlliance:
    """Which families were split at which session. Returned by :func:`split_alliance`.

    Attributes
    ----------
    table
        One row per family x session (x kind of rater): the caller's family and session columns,
        ``rater, pair`` (whose distance it is; None for a difference between roles), ``width`` and
        ``limit`` (points), ``split`` (1, 0, NaN where unknown), ``split_so_far`` (1
        from the first split on), ``chance`` (probability that measurement error alone would split a
        family with equal members; NaN without a reliability).
    rule
        The rule in words.
    family, session
        The caller's columns.
    known_at_session
        Whether each flag uses nothing after its session: it may then predict dropout.
    rows
        The row ledger.
    """

    table: pd.DataFrame
    rule: str
    family: str
    session: str
    known_at_session: bool
    rows: RowLedger

    __repr__ = one_line

    @property
    def flags(self) -> pd.DataFrame:
        """Flags under fixed names: ``unit, session, rater, cluster, flag``."""
        return pd.DataFrame(
            {
                "unit": self.table[self.family],
                "session": self.table[self.session],
                "rater": self.table["rater"],
                "cluster": self.table[self.family],
                "flag": self.table["split"],
            }
        )

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return shares of family sessions: ``term, n, of, estimate, std_error, conf_low, ...``.

        ``split``: observed, its interval over families (see
        :func:`~alliance_stats.family.flagged_sessions.clustered_share`). ``expected from
        measurement error``: the mean probability of a split in families whose members all had the
        same true alliance. ``expected / observed``: how much of the observed share that alone would
        give.
        """
        observed = clustered_share(
            self.table["split"].to_numpy(),
            self.table[self.family].to_numpy(),
            conf_level=conf_level,
        )
        chance = self.table["chance"]
        expected = float(chance.mean()) if chance.notna().any() else math.nan
        share = expected / observed["estimate"] if observed["estimate"] else math.nan
        rows = [
            {"term": "split", **observed},
            {"term": "expected from measurement error", "of": observed["of"], "estimate": expected},
            {"term": "expected / observed", "estimate": share},
        ]
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: the rule, families ever split, cells that could not be judged."""
        ever = self.table.groupby(self.family)["split"].max()
        return pd.DataFrame(
            [
                {
                    "rule": self.rule,
                    "n_families": len(ever),
                    "n_ever_split": int((ever == 1.0).sum()),
                    "n_cells": len(self.table),
                    "n_undefined": int(self.table["split"].isna().sum()),
                    "known_at_session": self.known_at_session,
                }
            ]
        )

    @property
    def method(self) -> str:
        """The rule, in a phrase."""
        return f"Split alliance: {self.rule}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the flags are used."""
        if self.known_at_session:
            return ()
        return (
            "These flags use sessions after their own (SD over the whole course): not to be used "
            "as predictors of dropout.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return how many splits there were and how many measurement error would give, as data."""
        tidy = self.tidy(conf_level=conf_level)
        table = Section(
            "Family sessions",
            tidy[tidy["estimate"].notna()],
            names=("term",),
            measure="share",
            kind="share",
            conf_level=conf_level,
        )
        g = self.glance().iloc[0]
        said = (
            f"{g['n_ever_split']} of {plural(int(g['n_families']), 'family', 'families')} were "
            f"split at least once; {g['n_undefined']} of {g['n_cells']} family sessions could not "
            "be judged.",
        )
        sizes = {"families": int(g["n_families"])}
        return Account.of(self, sizes, (table,), said)

    summary = summary_of
    _repr_html_ = html_of


def split_alliance(
    indices: FamilyIndices,
    *,
    threshold: float,
    sd: Literal["sample", "within", "norm"],
    norm_sd: float | None = None,
    on: str = "range",
    reference: Literal["so far", "course"] = "so far",
) -> SplitAlliance:
    """Flag families that are split: members at least `threshold` SDs apart.

    Published rules call a family split from 1 SD on, with three or more members by the most
    discrepant pair; the SD meant differs, so both must be given.

    Parameters
    ----------
    indices
        From :func:`~alliance_stats.family.family_indices`.
    threshold
        How many SDs; a family at exactly that distance is split.
    sd
        ``"sample"``: of all members' ratings. ``"within"``: of members around their family's mean
        in the same session, pooled (n - 1 per family session). ``"norm"``: `norm_sd`.
    norm_sd
        SD of a norm sample, in points.
    on
        ``"range"`` (the most discrepant pair), or the name of an absolute difference between roles
        as in ``indices.rules`` (``"abs_difference_mother_child"``).
    reference
        Ratings that the SD comes from: all up to and including the session (``"so far"``), so that
        no flag uses later ratings, or those of the whole ``"course"``.

    Returns
    -------
    SplitAlliance
        ``table``, ``tidy()``, ``glance()``, ``summary()``.

    Raises
    ------
    DataError
        A threshold or norm SD that is not positive; an index that does not exist.
    NotIdentifiedError
        The ratings do not vary, so that there is no SD to compare them with.

    Examples
    --------
    >>> from alliance_stats import example_study, family_indices, split_alliance
    >>> sessions = example_study().sessions
    >>> indices = family_indices(
    ...     sessions, family="family", person="person", session="session", score="alliance",
    ...     role="role",
    ... )
    >>> split_alliance(indices, threshold=1.0, sd="sample").glance().iloc[:, :3].round(3)
                                                    rule  n_families  n_ever_split
    0  highest minus lowest: the most discrepant pair...         240           215
    """
    require_kind(indices, FamilyIndices, asked="split_alliance takes a result of family_indices")
    _check_rule(indices, threshold=threshold, sd=sd, norm_sd=norm_sd, on=on, reference=reference)
    table = indices.table
    scale = np.full(len(table), norm_sd if norm_sd is not None else np.nan)
    if norm_sd is None:
        scale = _scale(indices, sd, so_far=reference == "so far")
    limit = threshold * scale
    width = table[on].to_numpy()
    known = np.isfinite(width) & np.isfinite(limit)
    # 5.1 - 4.1 is a hair below 1 in floating point, but a difference of 1 in ratings
    split = np.where(known, np.where(width >= limit * (1.0 - _ROUNDING), 1.0, 0.0), np.nan)
    keys = [table["rater"].to_numpy(), table[indices.family].to_numpy()]
    so_far = pd.Series(split).groupby(keys, sort=False).cummax()
    so_far = so_far.groupby(keys, sort=False).ffill()
    chance = np.where(known, _chance(indices, on, limit), np.nan)
    rule = _words(indices.rules[on], threshold, sd, norm_sd, so_far=reference == "so far")
    columns = {
        "pair": table["pair"] if on == "range" else None,
        "width": width,
        "limit": limit,
        "split": split,
        "split_so_far": so_far.to_numpy(),
        "chance": chance,
    }
    flagged = with_columns(table[[indices.family, indices.session, "rater"]], columns)
    known_then = sd == "norm" or reference == "so far"
    return SplitAlliance(flagged, rule, indices.family, indices.session, known_then, indices.rows)


def _check_rule(
    indices: FamilyIndices,
    *,
    threshold: float,
    sd: str,
    norm_sd: float | None,
    on: str,
    reference: str,
) -> None:
    check_choice(sd, ("sample", "within", "norm"), name="sd")
    check_choice(reference, ("so far", "course"), name="reference")
    if not (math.isfinite(threshold) and threshold > 0):
        raise DataError(f"threshold counts SDs and is above 0; got {threshold}.")
    if (sd == "norm") != (norm_sd is not None):
        raise DataError("norm_sd= goes with sd='norm' and with that alone.")
    if norm_sd is not None and not (math.isfinite(norm_sd) and norm_sd > 0):
        raise DataError(f"norm_sd must be a positive number; got {norm_sd}.")
    widths = [name for name in indices.rules if name == "range" or name.startswith("abs_")]
    if on not in widths:
        raise DataError(f"No distance '{on}' among the indices. {did_you_mean(on, widths)}")


def _words(index: str, threshold: float, sd: str, norm_sd: float | None, *, so_far: bool) -> str:
    """Say the rule."""
    if norm_sd is not None:
        return f"{index} ≥ {threshold:g} × SD {format_number(norm_sd)} of the norm"
    whose = {"sample": "all ratings", "within": "members around their family's mean"}[sd]
    until = "up to the session" if so_far else "whole course"
    return f"{index} ≥ {threshold:g} × SD of {whose} ({until})"


def _scale(indices: FamilyIndices, sd: str, *, so_far: bool) -> Array:
    """SD for each cell, from the ratings of its kind of rater up to its session or of all."""
    found = np.full(len(indices.table), np.nan)
    session = indices.table[indices.session].to_numpy()
    for kind in indices.table["rater"].unique():
        own = (indices.table["rater"] == kind).to_numpy()
        found[own] = _sd_by_session(indices.scores[own], session[own], sd, so_far=so_far)
    if not (found > 0).any():
        raise NotIdentifiedError(
            f"The ratings have no SD '{sd}' (they do not vary, or no family session has enough of "
            "them): give sd='norm' with norm_sd=."
        )
    return np.where(found > 0, found, np.nan)


def _sd_by_session(scores: Array, session: Integers, sd: str, *, so_far: bool) -> Array:
    m = np.isfinite(scores).sum(axis=1)
    if sd == "within":
        level = np.nansum(scores, axis=1) / np.maximum(m, 1)
        squares = np.nansum((scores - level[:, None]) ** 2, axis=1)
        totals = np.column_stack([np.maximum(m - 1, 0), np.zeros(len(m)), squares])
    else:
        # centred on the first session's mean, summed exactly: neither a later rating nor the
        # layout of the array moves a digit of an earlier SD
        first = scores[session == session[m > 0].min()] if (m > 0).any() else scores
        rated = first[np.isfinite(first)]
        centred = scores - (math.fsum(rated) / rated.size if rated.size else math.nan)
        sums = np.column_stack([np.nansum(centred, axis=1), np.nansum(centred**2, axis=1)])
        totals = np.column_stack([m, sums])
    sessions, codes = np.unique(session, return_inverse=True)
    per = np.column_stack([np.bincount(codes, column, len(sessions)) for column in totals.T])
    n, total, squares = (np.cumsum(per, axis=0) if so_far else per.sum(axis=0, keepdims=True)).T
    if sd == "within":
        variance = np.divide(squares, n, out=np.full(len(n), np.nan), where=n > 0)
    else:
        spread = squares - np.divide(total**2, n, out=np.zeros(len(n)), where=n > 0)
        variance = np.divide(spread, n - 1, out=np.full(len(n), np.nan), where=n > 1)
    value = np.sqrt(np.maximum(variance, 0.0))
    return value[codes] if so_far else np.full(len(codes), value[0])


def _chance(indices: FamilyIndices, on: str, limit: Array) -> Array:
    if on == "range":
        return chance_of_range(limit, indices.errors)
    error = indices.table.get(f"{on.removeprefix('abs_')}_se")
    if error is None:
        return np.full(len(limit), np.nan)
    return chance_of_range(limit, np.column_stack([error / np.sqrt(2.0)] * 2))
