"""Flow of families and persons through a study, arm by arm, as CONSORT and STROBE require."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level, describe_rows, group_codes, require_columns
from alliance_stats.errors import DataError
from alliance_stats.estimates import Booleans, Integers, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling, plain_number
from alliance_stats.study.courses import ENDINGS
from alliance_stats.study.study import Study

__all__ = ["STAGES", "ParticipantFlow", "participant_flow"]

STAGES = ("screened", "excluded", "entered", "group not known", "in group", "left", "stayed",
          "ending not known", "analysed", "not analysed")  # fmt: skip
"""The stages of a flow, in their order; a study has those that it can count."""

_LEFT = ("dropout", "transferred")
_PLURALS = {"family": "families", "person": "persons", "therapist": "therapists"}
_COUNTED = tuple(f"n_{name}" for name in _PLURALS.values())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ParticipantFlow:
    """Families, persons and therapists at each stage; made by :func:`participant_flow`.

    Attributes
    ----------
    table
        What :meth:`tidy` returns.
    groups
        The arms in their order; empty if none were requested.
    unit
        ``"family"`` or ``"person"``: who enters, is in an arm, and ends treatment.
    levels
        Which of family, person and therapist the study identifies.
    rated
        The score whose ratings make a unit count as analysed; empty if there is none.
    rows
        The study's row ledger.
    shared
        Other levels of which some units are in more than one arm.
    """

    table: pd.DataFrame
    groups: tuple[str, ...]
    unit: str
    levels: tuple[str, ...]
    rated: str
    rows: RowLedger
    shared: tuple[str, ...] = ()

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row per stage, arm and reason.

        Columns: ``stage`` (of :data:`STAGES`), ``group`` (empty for all arms together), ``term``
        (how treatment ended, or why not; else empty), ``n_families``, ``n_persons``,
        ``n_therapists`` (NaN where the study has no such level, or only totals were given).
        """
        return self.table.copy()

    def glance(self) -> pd.DataFrame:
        """Return one row: how many entered, were analysed, and how many arms there are."""
        of = f"n_{_PLURALS[self.unit]}"
        sums = self.table.groupby("stage")[of].sum()
        return pd.DataFrame(
            [
                {
                    "unit": self.unit,
                    "n_groups": len(self.groups),
                    "n_entered": int(sums["entered"]),
                    "n_analysed": int(sums.get("analysed", np.nan)) if self.rated else np.nan,
                }
            ]
        )

    @property
    def method(self) -> str:
        """What was counted, as a phrase."""
        return f"Flow of {_PLURALS[self.unit]} through the study"

    @property
    def notes(self) -> tuple[str, ...]:
        """What does not add up across arms, and why."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        twice = [_PLURALS[level] for level in self.shared]
        if twice:
            yield f"Some {' and '.join(twice)} are in more than one arm, and counted in each."

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the counts as data; there is no interval that `conf_level` could set."""
        check_conf_level(conf_level)
        columns = {
            f"n_{_PLURALS[level]}": Column(_PLURALS[level], "count") for level in self.levels
        }
        table = self.table.copy()
        names = ("stage", "group", "term") if self.groups else ("stage", "term")
        sizes = {_PLURALS[level]: self.rows.units(level) for level in self.levels}
        section = Section("Stage", table, names, columns=columns)
        sources = ("schulz2010", "vonelm2007")
        return Account.of(self, sizes, (section,), sources=sources)

    summary = summary_of
    _repr_html_ = html_of


def participant_flow(
    study: Study,
    *,
    group: str | None = None,
    screened: int | None = None,
    excluded: Mapping[str, int] | None = None,
) -> ParticipantFlow:
    """Count who entered a study, in which arm, left for which reason, and was analysed.

    Parameters
    ----------
    study
        A validated study. Its unit (family or person) is counted.
    group
        Column of the arm (a trial) or of the group that is compared (a cohort); the same in all
        rows of a unit.
    screened
        How many units were assessed for eligibility; the data hold only those that entered.
    excluded
        Why a screened unit did not enter -> how many; they must add up to the difference.

    Returns
    -------
    ParticipantFlow
        Units count as having left by their endings (dropout, transferred), or as having stayed
        (planned, ongoing), where the study records them, and as analysed if at least one member has
        a rating of the alliance (or of the outcome, where there is no alliance).

    Raises
    ------
    DataError
        If the arm varies within a unit, or screened and excluded are not consistent with the number
        that entered.

    Notes
    -----
    Stages are those of CONSORT 2010 (Schulz, Altman & Moher 2010, doi:10.1136/bmj.c332) and STROBE
    (von Elm et al. 2007, doi:10.1136/bmj.39335.541782.AD).

    Examples
    --------
    >>> from alliance_stats import example_study, participant_flow
    >>> flow = participant_flow(example_study(), group="framework")
    >>> flow.tidy().query("stage == 'in group'")[["group", "n_families", "n_persons"]]
                 group  n_families  n_persons
    1  trauma-informed       133.0      344.0
    7            usual       107.0      277.0
    """
    frame, roles = study.sessions, study.roles
    unit = study.unit
    arm, names = (None, ("",)) if group is None else _arms(frame, group, roles[unit])
    levels = tuple(level for level in _PLURALS if level in roles)
    count = _Counting(frame, {level: roles[level] for level in levels})
    everybody = np.ones(len(frame), dtype=bool)
    entered = count("entered", everybody)
    rows = [*_before(entered, unit, screened, excluded), entered]
    if arm is not None and (arm < 0).any():
        rows.append(count("group not known", arm < 0))
    rated = next((role for role in ("alliance", "outcome") if role in roles), "")
    for place, name in enumerate(names):
        inside = everybody if arm is None else arm == place
        if arm is not None:
            rows.append(count("in group", inside, group=name))
        if "ending" in roles:
            rows += _endings(count, frame[roles["ending"]], inside, name)
        if rated:
            rows += _analysed(count, frame[roles[rated]].notna(), inside, name)
    return ParticipantFlow(
        pd.DataFrame(rows, columns=["stage", "group", "term", *_COUNTED]).astype(
            dict.fromkeys(_COUNTED, np.float64)
        ),
        () if arm is None else names,
        unit,
        levels,
        roles.get(rated, ""),
        study.rows,
        () if arm is None else _in_several(frame, arm, count.columns),
    )


Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Counting:
    frame: pd.DataFrame
    columns: Mapping[str, str]

    def __call__(self, stage: str, inside: Booleans, *, group: str = "", term: str = "") -> Row:
        counts = {
            f"n_{_PLURALS[level]}": self.frame.loc[inside, column].nunique()
            for level, column in self.columns.items()
        }
        unknown = dict.fromkeys(_COUNTED, np.nan)
        return {"stage": stage, "group": group, "term": term, **unknown, **counts}


def _arms(frame: pd.DataFrame, group: str, unit: str) -> tuple[Integers, tuple[str, ...]]:
    """Return the number of each row's arm, -1 if unknown for its unit, and the arms' names."""
    require_columns(frame, [group])
    check_spelling(frame[group], kind="group")
    codes, labels = group_codes(frame[group])
    known = pd.Series(codes, index=frame.index).where(codes >= 0)
    of_unit = known.groupby(frame[unit], sort=False)
    several = of_unit.nunique()
    if (several > 1).any():
        name = several.index[several > 1][0]
        where = describe_rows((frame[unit] == name).to_numpy(), frame.index)
        raise DataError(
            f"Column '{group}' varies within '{unit}' {name!r} ({where}): an arm belongs to a "
            f"whole {unit}. Give a column that is the same in all its rows."
        )
    if not len(labels):
        raise DataError(f"Column '{group}' is missing in every row.")
    first = of_unit.transform("first").fillna(-1)  # one row that knows it tells it of all
    names = tuple(str(plain_number(label)) for label in labels)
    return first.to_numpy(dtype=np.int64), names


def _in_several(frame: pd.DataFrame, arm: Integers, columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the levels of which some units are in more than one arm."""
    known = pd.Series(arm, index=frame.index).where(arm >= 0)
    arms = {level: known.groupby(frame[column]).nunique() for level, column in columns.items()}
    return tuple(level for level, n_arms in arms.items() if (n_arms > 1).any())


def _before(
    entered: Row, unit: str, screened: int | None, excluded: Mapping[str, int] | None
) -> Iterator[Row]:
    """Yield the stages that the data do not hold."""
    if screened is None and excluded is None:
        return
    of = f"n_{_PLURALS[unit]}"
    reasons = _reasons({} if excluded is None else excluded)
    out = sum(reasons.values())
    n = int(str(entered[of]))
    screened = n + out if screened is None else _whole(screened, "screened=")
    if screened - out != n:
        raise DataError(
            f"{plural(screened, unit, _PLURALS[unit])} screened, less {out} excluded, make "
            f"{screened - out}; the study has {n}. Give every reason with its count in excluded=."
        )
    unknown: dict[str, object] = dict.fromkeys(_COUNTED, np.nan)
    yield {"stage": "screened", "group": "", "term": "", **unknown, of: screened}
    for reason, number in reasons.items():
        yield {"stage": "excluded", "group": "", "term": reason, **unknown, of: number}


def _reasons(excluded: Mapping[str, int]) -> dict[str, int]:
    named = isinstance(excluded, Mapping)
    if not named or not all(isinstance(reason, str) and reason.strip() for reason in excluded):
        raise DataError(
            'excluded= says how many for each reason, as in {"no consent": 12}; '
            f"got {excluded!r}."
        )
    return {reason: _whole(number, f"excluded[{reason!r}]") for reason, number in excluded.items()}


def _whole(number: object, said: str) -> int:
    plain = plain_number(number)
    if isinstance(plain, bool | np.bool_) or not isinstance(plain, Integral) or plain < 0:
        raise DataError(f"{said} counts units: a whole number of 0 or more; got {number!r}.")
    return int(plain)


def _endings(count: _Counting, endings: pd.Series, inside: Booleans, group: str) -> Iterator[Row]:
    said = endings.astype(object).to_numpy()
    for ending in (*_LEFT, *(name for name in ENDINGS if name not in _LEFT)):
        here = inside & (said == ending)
        if here.any():
            stage = "left" if ending in _LEFT else "stayed"
            yield count(stage, here, group=group, term=ending)
    unknown = inside & endings.isna().to_numpy()
    if unknown.any():
        yield count("ending not known", unknown, group=group)


def _analysed(count: _Counting, known: pd.Series, inside: Booleans, group: str) -> Iterator[Row]:
    """Yield how many were rated at all, and how many of each level were not."""
    rated = count("analysed", inside & known.to_numpy(dtype=bool), group=group)
    yield rated
    everybody = count("", inside)
    missing = {name: everybody[name] - rated[name] for name in _COUNTED}  # type: ignore[operator]
    if any(n > 0 for n in missing.values()):
        yield rated | {"stage": "not analysed", "term": f"no rating of {known.name}"} | missing
