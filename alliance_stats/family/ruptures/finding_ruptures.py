"""Finding ruptures: flagged sessions, and retrospective episodes: depth, length, repair."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Booleans, Integers, one_line
from alliance_stats.family.flagged_sessions import clustered_share
from alliance_stats.family.ruptures.rating_history import by_session, read_series, shared_sd_before
from alliance_stats.family.ruptures.rupture_rule import RuptureRule, Scan
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger

__all__ = ["Repair", "Ruptures", "ruptures"]

_ROUNDING = 1e-9
_COLUMNS = (
    "series",
    "onset",
    "known_at",
    "end",
    "length",
    "n_flagged",
    "level",
    "extreme",
    "depth",
    "repaired",
)


@dataclass(frozen=True, slots=True)
class Repair:
    """When an episode counts as repaired.

    Attributes
    ----------
    share
        Share of the fall from the level before to the score at the onset that must be regained
        (1 for a full return).
    within
        Sessions after the onset in which it must happen.
    """

    share: float
    within: int

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise DataError(f"share of the fall lies above 0 and up to 1; got {self.share}.")
        if self.within < 1:
            raise DataError(f"within counts sessions and is at least 1; got {self.within}.")

    @property
    def words(self) -> str:
        """The criterion in words."""
        return f"{self.share:.0%} of the fall regained within {self.within} sessions"


def _find_episodes(
    scores: Array, scan: Scan, *, sign: int, repair: Repair | None, last: Integers
) -> pd.DataFrame:
    """Return one row per episode, sessions as columns of `scores`.

    An episode begins at an onset. With a criterion of repair it lasts until it is fulfilled, or
    until the criterion's time is over; without one, as long as the next rating is also flagged.
    Onsets within an episode belong to it.

    Parameters
    ----------
    scores, scan
        The ratings and the rule's verdicts on them.
    sign
        1 where falls are flagged, -1 where rises are.
    repair
        The criterion.
    last
        Column of each series' last session.
    """
    found: list[dict[str, Any]] = []
    flagged = np.argwhere(scan.flag == 1.0)
    onsets = scan.onset[flagged[:, 0], flagged[:, 1]]
    order = np.lexsort([flagged[:, 1], onsets, flagged[:, 0]])
    series_before, end_before = -1, -1
    for series, known_at, onset in np.column_stack([flagged, onsets])[order]:
        if series == series_before and onset <= end_before:
            found[-1]["n_flagged"] += 1
            continue
        own = scores[series]
        level = float(scan.level[series, known_at])
        stop = int(last[series])
        until = stop if repair is None else min(stop, onset + repair.within)
        later = (t for t in range(onset + 1, until + 1) if np.isfinite(own[t]))
        if repair is None:
            more = scan.flag[series] == 1.0 if known_at == onset else np.zeros(len(own), dtype=bool)
            end, repaired = _flagged_run(onset, later, more), None
        else:
            gap = sign * (level - own)
            end, repaired = _repaired(repair, gap, onset, list(later), last=stop)
        span = own[onset : end + 1]
        extreme = float(sign * np.nanmin(sign * span))
        found.append(
            {
                "series": series,
                "onset": onset,
                "known_at": known_at,
                "end": end,
                "length": end - onset + (repaired is not True),
                "n_flagged": 1,
                "level": level,
                "extreme": extreme,
                "depth": sign * (level - extreme),
                "repaired": repaired,
            }
        )
        series_before, end_before = series, end
    frame = pd.DataFrame(found, columns=list(_COLUMNS))
    whole = ["series", "onset", "known_at", "end", "length", "n_flagged"]
    return frame.astype({**dict.fromkeys(whole, "int64"), "repaired": object})


def _flagged_run(onset: int, later: Iterable[int], flagged: Booleans) -> int:
    """Return the last of the consecutively flagged ratings from the onset."""
    end = onset
    for t in later:
        if not flagged[t]:
            break
        end = t
    return end


def _repaired(
    repair: Repair, gap: Array, onset: int, later: list[int], *, last: int
) -> tuple[int, bool | None]:
    """Last column of the episode (of the repair, if it was), and whether it was repaired.

    `later` are the rated columns in the criterion's time; without any, repair is unknown. `gap` is
    the distance from the level before, which must shrink to what the criterion leaves of it.
    """
    left = (1.0 - repair.share + _ROUNDING) * gap[onset]
    for t in later:
        if gap[t] <= left:
            return t, True
    if later and last >= onset + repair.within:
        return onset + repair.within, False
    return max([onset, *later]), None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ruptures:
    """Ruptures of every person. Returned by :func:`ruptures`.

    Attributes
    ----------
    table
        One row per person x session as given: the caller's person and session columns (and the
        family's), the score, ``rupture`` (1, 0, NaN where the rule cannot be applied),
        ``ruptures_so_far`` (flags up to and including the session), ``onset`` (session of the shift
        that is recognised here), ``level`` and ``limit`` (points). Nothing in a row depends on a
        later session: `rupture` and `ruptures_so_far` may predict dropout.
    episodes
        One row per episode, which looks back over the whole course: it is descriptive, not
        predictive. Person (and family), ``onset``, ``known_at`` (session at which it was
        recognised; NaN where that would have been after the last), ``end, length`` (sessions from
        the onset until repair, or until the last one that belongs to it), ``n_flagged, level,
        extreme, depth`` (points) and ``repaired`` (True, False, None where no criterion was given
        or the course ended before it could be determined).
    rule_object, repair
        The rule and the criterion of repair.
    person, session, score, family
        The caller's columns.
    first_session
        Session number of the first column of `scores`.
    scores, shared
        Ratings and shared SDs, persons x sessions; NaN where missing.
    persons
        Person of each row of `scores`.
    rows
        The row ledger.
    """

    table: pd.DataFrame
    episodes: pd.DataFrame
    rule_object: RuptureRule
    repair: Repair | None
    person: str
    session: str
    score: str
    family: str | None
    first_session: int
    scores: Array
    shared: Array
    persons: npt.NDArray[np.object_]
    rows: RowLedger

    __repr__ = one_line

    @property
    def rule(self) -> str:
        """The rule in words."""
        return self.rule_object.words

    @property
    def happened(self) -> pd.Series:
        """Looking back, whether a shift happened at each row's session (1, 0, NaN)."""
        scan = self.rule_object.scan(self.scores, self.shared)
        series = pd.Index(self.persons).get_indexer(self.table[self.person].astype(object))
        place = self.table[self.session].to_numpy() - self.first_session
        return pd.Series(scan.happened[series, place], index=self.table.index, name="happened")

    @property
    def flags(self) -> pd.DataFrame:
        """Shifts at their onset, under fixed names: ``unit, session, rater, cluster, flag``."""
        return pd.DataFrame(
            {
                "unit": self.table[self.person],
                "session": self.table[self.session],
                "rater": "self",
                "cluster": self.table[self.family or self.person],
                "flag": self.happened,
            }
        )

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return shares with intervals over families (persons if no family was given).

        Rows ``sessions`` (flagged, of those that could be judged), ``persons`` (with a flag, of
        those with a session that could be judged) and ``repaired`` (of episodes whose person was
        still seen when the criterion's time was over, repaired early or not: for someone who
        dropped out before, only a repair can be known, never its absence); columns ``term, n, of,
        estimate, std_error, conf_low, conf_high``.
        """
        flags = self.flags.assign(flag=self.table["rupture"])
        ever = flags.groupby("unit", sort=False, observed=True).agg(
            flag=("flag", "max"), cluster=("cluster", "first")
        )
        repaired = self.episodes["repaired"].map({True: 1.0, False: 0.0}).astype(float)
        repaired = repaired.where(self._followed())
        clusters = self.episodes[self.family or self.person]
        parts = {
            "sessions": (flags["flag"], flags["cluster"]),
            "persons": (ever["flag"], ever["cluster"]),
            "repaired": (repaired, clusters),
        }
        return pd.DataFrame(
            [
                {
                    "term": term,
                    **clustered_share(own.to_numpy(), by.to_numpy(), conf_level=conf_level),
                }
                for term, (own, by) in parts.items()
            ]
        )

    def _followed(self) -> pd.Series:
        """Return of each episode whether the course lasted as long as the criterion's time."""
        last = self.table.groupby(self.person, observed=True)[self.session].max()
        within = self.repair.within if self.repair is not None else 0
        return self.episodes[self.person].map(last) >= self.episodes["onset"] + within

    def glance(self) -> pd.DataFrame:
        """Return one row: the rule, sessions, persons and episodes."""
        return pd.DataFrame(
            [
                {
                    "rule": self.rule,
                    "n_persons": len(self.persons),
                    "n_sessions": len(self.table),
                    "n_judged": int(self.table["rupture"].notna().sum()),
                    "n_flagged": int((self.table["rupture"] == 1.0).sum()),
                    "n_episodes": len(self.episodes),
                    "n_known_after_the_last_session": int(
                        self.episodes["known_at"].isna().sum() if len(self.episodes) else 0
                    ),
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was looked for, in a phrase."""
        return f"Ruptures of '{self.score}' ({self.rule})"

    @property
    def notes(self) -> tuple[str, ...]:
        """None: the counts need no cautions."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the shares as data."""
        found = self.tidy(conf_level=conf_level)
        shown = found[found["of"] > 0]
        counted = [
            Phrase("{} of {}", ((n, "count"), (of, "count")))
            for n, of in zip(shown["n"], shown["of"], strict=True)
        ]
        table = Section(
            "Of",
            shown.assign(counted=counted),
            names=("term",),
            measure="share",
            kind="share",
            columns={"counted": Column("n", "text")},
            conf_level=conf_level,
        )
        t = found.set_index("term")
        said = [
            f"{int(t.loc['sessions', 'n'])} of {int(t.loc['sessions', 'of'])} sessions that could "
            f"be judged were flagged, in {plural(int(t.loc['persons', 'n']), 'person')} of "
            f"{int(t.loc['persons', 'of'])}; {plural(len(self.episodes), 'episode')}."
        ]
        if self.repair is not None:
            said.append(
                f"Repaired ({self.repair.words}): {int(t.loc['repaired', 'n'])} of "
                f"{plural(int(t.loc['repaired', 'of']), 'episode')} that could be followed for "
                f"{plural(self.repair.within, 'session')}."
            )
        sizes = {"sessions": len(self.table), "persons": len(self.persons)}
        return Account.of(self, sizes, (table,), said)

    summary = summary_of
    _repr_html_ = html_of


def ruptures(
    data: pd.DataFrame,
    *,
    person: str,
    session: str,
    score: str,
    rule: RuptureRule,
    repair: Repair | None = None,
    family: str | None = None,
) -> Ruptures:
    """Find ruptures by a rule, session by session, using only what was known at each.

    Parameters
    ----------
    data
        Long table, one row per person x session, in any order; not changed.
    person, session, score
        Id column, whole session numbers, rating (NaN where missing).
    rule
        :class:`~alliance_stats.family.DropBelowRunningMean`,
        :class:`~alliance_stats.family.VShape`,
        :class:`~alliance_stats.family.ControlChart`,
        :class:`~alliance_stats.family.SuddenGain` or
        :class:`~alliance_stats.family.SuddenLoss`, with its constants.
    repair
        When an episode counts as repaired; without it repair is not assessed.
    family
        Column of the family, for :func:`~alliance_stats.family.family_ruptures` and for
        intervals over families.

    Returns
    -------
    Ruptures
        ``table`` (known at each session), ``episodes`` (looking back), ``tidy()``, ``glance()``.

    Raises
    ------
    DataError
        A missing column or id; a person with two rows of one session, or in two families; no
        rating at all.

    Examples
    --------
    >>> from alliance_stats import example_study, ruptures
    >>> from alliance_stats.family import DropBelowRunningMean
    >>> sessions = example_study().sessions
    >>> rule = DropBelowRunningMean(k=2.0, sd="within", min_before=3)
    >>> found = ruptures(
    ...     sessions, person="person", session="session", score="alliance", rule=rule
    ... )
    >>> found.glance().iloc[:, :3]
                                                    rule  n_persons  n_sessions
    0  at least 2 within-person SDs below the person'...        621        5947
    """
    frame, rows = read_series(data, person=person, session=session, score=score, family=family)
    codes, labels = pd.factorize(frame[person].to_numpy(dtype=object))
    first = int(frame[session].min())
    place = frame[session].to_numpy() - first
    scores = by_session(frame[score].to_numpy(), codes, place, looks_ahead=rule.looks_ahead)
    if not np.isfinite(scores).any():
        raise DataError(f"Column '{score}' has no rating: there is nothing to find ruptures in.")
    if np.nanmin(scores) < rule.lowest:
        raise DataError(
            f"The rule ({rule.words}) has no meaning below {rule.lowest:g}; the lowest '{score}' "
            f"is {np.nanmin(scores):g}."
        )
    shared = _shared(rule, scores)
    scan = rule.scan(scores, shared)
    table = _table(frame, scan, (codes, place), first)
    last = np.full(len(labels), -1)
    np.maximum.at(last, codes, place)
    episodes = _find_episodes(scores, scan, sign=rule.sign, repair=repair, last=last)
    late = episodes["known_at"].to_numpy() > last[episodes["series"].to_numpy(dtype=int)]
    episodes["known_at"] = episodes["known_at"].where(~late)
    episodes.insert(0, person, labels[episodes.pop("series").to_numpy(dtype=int)])
    for column in ("onset", "known_at", "end"):
        episodes[column] += first
    if family is not None:
        homes = frame.drop_duplicates(person).set_index(person)[family]
        episodes.insert(0, family, episodes[person].map(homes).to_numpy())
    return Ruptures(
        table, episodes, rule, repair, person, session, score, family, first, scores, shared,
        np.asarray(labels, dtype=object), rows,
    )  # fmt: skip


def _shared(rule: RuptureRule, scores: Array) -> Array:
    kind = rule.shared_sd
    if kind is None:
        return np.full(scores.shape, np.nan)
    if isinstance(kind, str):
        return np.asarray(shared_sd_before(scores, kind))
    return np.full(scores.shape, float(kind))


def _table(
    frame: pd.DataFrame,
    scan: Scan,
    at: tuple[Integers, Integers],
    first: int,
) -> pd.DataFrame:
    onset = scan.onset[at].astype(np.float64)
    so_far = np.cumsum(np.nan_to_num(scan.flag), axis=1)
    return frame.assign(
        rupture=scan.flag[at],
        ruptures_so_far=so_far[at],
        onset=np.where(onset >= 0, onset + first, np.nan),
        level=scan.level[at],
        limit=scan.limit[at],
    )
