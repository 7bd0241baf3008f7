"""Counts of what a study contains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level, comparable
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.study.courses import ENDINGS
from alliance_stats.study.units import n_completed, n_without, one_row_per

__all__ = ["BETWEEN", "MEASURED", "RATED", "WITHIN", "StudyDescription", "describe_study"]

MEASURED = ("session", "time", "alliance", "outcome")
"""The roles whose columns belong to a row, and never to a person, family or therapist."""

WITHIN, BETWEEN, RATED = "within persons", "between persons", "rated"
_MOST_SHOWN = 12  # lines of a summary on what is missing where; tidy() has them all
_DUST = 1e-20  # of a sum of squares: what rounding leaves where nothing varies
_LEVELS = ("person", "family", "therapist")
_PLURALS = {"person": "persons", "family": "families", "therapist": "therapists"}
_NUMBERS = ("mean", "sd", "minimum", "median", "maximum")
_MOMENTS = {
    "n": Column("n", "count"),
    "mean": Column("mean"),
    "sd": Column("SD"),
    "minimum": Column("minimum"),
    "median": Column("median"),
    "maximum": Column("maximum"),
}
_CORRELATION = {"correlation": Column("r", "bounded"), "n": Column("n", "count")}
_SHARES = {
    "n": Column("n", "count"),
    "of": Column("in all", "count"),
    "share": Column("share", "share"),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StudyDescription:
    """Units per level, sizes, missing values, scores with their correlations, endings of a study.

    Attributes
    ----------
    rows
        The study's row ledger.
    notes
        Sentences on what was changed on entry (ids made globally unique, codes read as
        missing, ...).
    unit
        ``"family"`` or ``"person"``: whose endings are counted.
    """

    _table: pd.DataFrame
    rows: RowLedger
    notes: tuple[str, ...]
    unit: str

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row per thing counted.

        Returns
        -------
        DataFrame
            ``about`` and ``term`` (what is counted), ``n`` (count), ``of`` (out of how many, NaN
            where not meaningful), ``mean, sd, minimum, median, maximum`` (of sizes and scores; NaN
            elsewhere; an SD divides by n - 1), ``correlation``, ``role``, ``rater`` and
            ``session``. `about` is one of

            - units, size, missing, score, ending;
            - completed: rows without a value that other rows of their person, family or therapist
              have, so that it is still in ``study.families`` and the like; left out: persons or
              families without any value, for which it is not;
            - floor, ceiling: ratings at the ends of the score's range, where one was declared;
            - within persons, between persons: correlations of the scores' deviations from the
              persons' means, and of these means (n: ratings, persons);
            - missing by role, missing by rater, missing by session: their rows without the score;
            - rated: how many persons of each role have a value of the score at each session, of
              all persons of that role.
        """
        return self._table.copy()

    def glance(self) -> pd.DataFrame:
        """Return one row: ``n_rows`` and the number of units at each level."""
        units = self._table[self._table["about"] == "units"]
        return pd.DataFrame(
            [{f"n_{term}": int(n) for term, n in zip(units["term"], units["n"], strict=True)}]
        )

    @property
    def method(self) -> str:
        """What was counted, as a phrase."""
        return "Description of the study as it came in"

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return what was counted, as data; there is no interval that `conf_level` could set."""
        check_conf_level(conf_level)
        units = self._table[self._table["about"] == "units"]
        remarks = [
            Phrase(text, parts)
            for row in self._table.to_dict("records")
            for text, parts in _remark(row)
        ]
        return Account.of(
            self,
            dict(zip(units["term"], units["n"], strict=True)),
            tuple(self._sections()),
            remarks,
        )

    def _sections(self) -> Iterator[Section]:
        about = self._table.groupby("about")
        counted = {name: about.get_group(name) for name in about.groups}
        moments = pd.concat([counted[name] for name in ("size", "score") if name in counted])
        yield Section("Sizes and scores", moments, ("term",), columns=_MOMENTS)
        for end in ("floor", "ceiling"):
            if end in counted:
                yield _shares(f"At the {end}", counted[end])
        for among in (WITHIN, BETWEEN):
            if among in counted:
                title = f"Correlation {among}"
                yield Section(title, counted[among], ("term",), columns=_CORRELATION, lead=title)
        if "missing" in counted:
            yield _shares("Missing", counted["missing"].query("n > 0"))
        for by in ("role", "rater", "session"):
            if f"missing by {by}" in counted:
                gaps = counted[f"missing by {by}"].query("n > 0")
                more = f", {_MOST_SHOWN} of {len(gaps)}" if len(gaps) > _MOST_SHOWN else ""
                yield _shares(f"Missing by {by}{more}", gaps.head(_MOST_SHOWN), by)
        if "ending" in counted:
            yield _shares(f"Endings by {self.unit}", counted["ending"])

    summary = summary_of
    _repr_html_ = html_of

    def __str__(self) -> str:
        return self.summary()


def describe_study(
    frame: pd.DataFrame,
    roles: Mapping[str, str],
    *,
    scores: Sequence[str],
    limits: Mapping[str, tuple[float, float]],
    unit: str,
    rows: RowLedger,
    notes: tuple[str, ...],
) -> StudyDescription:
    """Count the contents; `limits` are the declared ranges of scores, by column."""
    measured = {role: roles[role] for role in ("alliance", "outcome") if role in roles}
    measured |= {name: name for name in scores}
    records = [
        *_units(frame, roles),
        *_sizes(frame, roles),
        *_missing(frame, roles, measured),
        *_missing_by(frame, roles, measured),
        *_shared(frame, roles, scores),
        *_scores(frame, measured),
        *_at_the_ends(frame, measured, limits),
        *_correlations(frame, measured, roles["person"]),
        *_endings(frame, roles, unit),
        *_rated(frame, measured, roles),
    ]
    columns = ["about", "term", "n", "of", *_NUMBERS, "correlation", "role", "rater", "session"]
    table = pd.DataFrame(records, columns=columns)
    return StudyDescription(table, rows, notes, unit)


_Records = Iterator[dict[str, object]]


def _units(frame: pd.DataFrame, roles: Mapping[str, str]) -> _Records:
    yield {"about": "units", "term": "rows", "n": len(frame)}
    for level in _LEVELS:
        if level in roles:
            n = frame[roles[level]].nunique()
            yield {"about": "units", "term": _PLURALS[level], "n": n}


def _sizes(frame: pd.DataFrame, roles: Mapping[str, str]) -> _Records:
    moment = next((role for role in ("session", "time") if role in roles), None)
    person = roles["person"]
    if moment:
        pairs = frame[[person, roles[moment]]].drop_duplicates()
        yield _size(f"{moment}s per person", pairs.groupby(person).size())
    else:
        yield _size("rows per person", frame.groupby(person).size())
    levels = [level for level in _LEVELS if level in roles]
    for inner, outer in pairwise(levels):
        pairs = frame[[roles[inner], roles[outer]]].drop_duplicates()
        yield _size(f"{_PLURALS[inner]} per {outer}", pairs.groupby(roles[outer]).size())


def _size(term: str, values: pd.Series) -> dict[str, object]:
    return {"about": "size", "term": term, "n": len(values), **_moments(values)}


def _moments(values: pd.Series) -> dict[str, float]:
    numbers = values.dropna().to_numpy(dtype=np.float64)
    if not len(numbers):
        return dict.fromkeys(_NUMBERS, np.nan)
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else np.nan
    low, middle, high = (float(f(numbers)) for f in (np.min, np.median, np.max))
    return dict(zip(_NUMBERS, (float(numbers.mean()), sd, low, middle, high), strict=True))


def _missing(
    frame: pd.DataFrame, roles: Mapping[str, str], measured: Mapping[str, str]
) -> _Records:
    columns = {**roles, **measured}
    for term, column in columns.items():
        n = int(frame[column].isna().sum())
        yield {"about": "missing", "term": term, "n": n, "of": len(frame)}
    if len(measured) > 1:
        gaps = frame[list(measured.values())].isna().to_numpy()
        for term, rows in (("any score", gaps.any(axis=1)), ("every score", gaps.all(axis=1))):
            yield {"about": "missing", "term": term, "n": int(rows.sum()), "of": len(frame)}


def _missing_by(
    frame: pd.DataFrame, roles: Mapping[str, str], measured: Mapping[str, str]
) -> _Records:
    """Count the rows without a score, role by role and session by session."""
    for by in ("role", "rater", "session"):
        if by not in roles:
            continue
        groups = frame[roles[by]]
        for term, column in measured.items():
            gaps = frame[column].isna().groupby(groups, sort=True, observed=True)
            counted = zip(gaps.groups, gaps.sum(), gaps.size(), strict=True)
            for value, n, of in counted:
                yield {
                    "about": f"missing by {by}", "term": term, "n": int(n), "of": int(of),
                    by: value,
                }  # fmt: skip


def _shared(frame: pd.DataFrame, roles: Mapping[str, str], scores: Sequence[str]) -> _Records:
    """Count gaps in columns that units agree on: completed from other rows, or impossible to."""
    measured = [*(roles[role] for role in MEASURED if role in roles), *scores]
    gaps = [
        name
        for name in frame.columns
        if name not in measured and frame[name].isna().any() and comparable(frame[name])
    ]
    levels = [level for level in _LEVELS if level in roles]
    for inner, level in zip([None, *levels], levels, strict=False):
        ids = [roles[name] for name in (inner, level) if name is not None]
        shown = one_row_per(frame[[*ids, *gaps]], ids[-1], inner=roles[inner] if inner else None)
        for name in gaps:
            n = n_completed(frame, ids[-1], name) if name in shown else 0
            if n:
                yield {"about": "completed", "term": f"{level} {name}", "n": n, "of": len(frame)}
            lacking = n_without(frame, ids[-1], ids[0], name) if inner else 0
            if lacking:
                total = frame[ids[0]].nunique()
                yield {"about": "left out", "term": f"{level} {name}", "n": lacking, "of": total}


def _scores(frame: pd.DataFrame, columns: Mapping[str, str]) -> _Records:
    for term, column in columns.items():
        values = frame[column]
        yield {
            "about": "score",
            "term": term,
            "n": int(values.notna().sum()),
            "of": len(frame),
            **_moments(values),
        }


def _at_the_ends(
    frame: pd.DataFrame, columns: Mapping[str, str], limits: Mapping[str, tuple[float, float]]
) -> _Records:
    """Count the ratings at the ends of each score's declared range."""
    for end, about in enumerate(("floor", "ceiling")):
        for term, column in columns.items():
            if column in limits:
                values = frame[column].dropna()
                n = int((values == limits[column][end]).sum())
                yield {"about": about, "term": term, "n": n, "of": len(values)}


def _correlations(frame: pd.DataFrame, columns: Mapping[str, str], person: str) -> _Records:
    """Yield the correlation of each pair of scores within persons, then between their means."""
    for one, other in combinations(columns, 2):
        pair = [columns[one], columns[other]]
        both = frame[frame[pair].notna().all(axis=1)]
        values = both[pair].to_numpy(np.float64)
        persons = pd.factorize(both[person])[0]
        sizes = np.bincount(persons)
        if not len(sizes):
            continue
        sums = np.column_stack([np.bincount(persons, column) for column in values.T])
        means = sums / sizes[:, None]
        for about, found, n in (
            (WITHIN, values - means[persons], len(values)),
            (BETWEEN, means - means.mean(axis=0), len(sizes)),
        ):
            squares = found.T @ found
            # of persons with one rating each, dust is all that is left within
            least = _DUST * np.square(values).sum(axis=0)
            if (np.diag(squares) > least).all():
                r = squares[0, 1] / float(np.sqrt(squares[0, 0] * squares[1, 1]))
                yield {"about": about, "term": f"{one} with {other}", "n": n, "correlation": r}


def _rated(frame: pd.DataFrame, columns: Mapping[str, str], roles: Mapping[str, str]) -> _Records:
    """Count, score by score, the persons of each role with a value at each session."""
    if "session" not in roles:
        return
    person, session = frame[roles["person"]], frame[roles["session"]]
    role = frame[roles["role"]].astype(object) if "role" in roles else pd.Series("", frame.index)
    table = pd.DataFrame({"person": person, "session": session, "role": role.fillna("")})
    whole = table.groupby("role", sort=False)["person"].nunique()
    for term, column in columns.items():
        known = table[frame[column].notna().to_numpy()]
        counts = known.groupby(["role", "session"])["person"].nunique()
        for place, n in counts.items():
            of_role, at = place
            yield {
                "about": RATED, "term": term, "n": int(n), "of": int(whole[of_role]),
                "role": of_role, "session": int(at),
            }  # fmt: skip


def _endings(frame: pd.DataFrame, roles: Mapping[str, str], unit: str) -> _Records:
    if "ending" not in roles:
        return
    endings = frame.drop_duplicates(roles[unit])[roles["ending"]].astype(object).fillna("missing")
    for ending in (*ENDINGS, "missing"):
        n = int((endings == ending).sum())
        if n:
            yield {"about": "ending", "term": ending, "n": n, "of": len(endings)}


def _shares(title: str, table: pd.DataFrame, *names: str) -> Section:
    """Return a section of counts out of a whole."""
    frame = table.assign(share=table["n"] / table["of"])
    return Section(title, frame, ("term", *names), columns=_SHARES, lead=title)


def _remark(row: Mapping[str, object]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield the remark on a column known for some of a unit's rows; none for other counts."""
    level, _, name = str(row["term"]).partition(" ")
    n, of = ((float(str(row[key])), "count") for key in ("n", "of"))
    match row["about"]:
        case "completed":
            yield (
                "{} of the {}: missing in {} of {} rows, where other rows of it have it.",
                (name, level, n, of),
            )
        case "left out":
            yield (
                "{} is left out of the table of {}: {} of {} units below the {} without any value, "
                "the others agree.",
                (name, _PLURALS[level], n, of, level),
            )
