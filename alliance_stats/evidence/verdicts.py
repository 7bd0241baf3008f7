"""Say whether a printed number follows from the numbers printed beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.catalogue import YIELDING, Relation, Setting
from alliance_stats.evidence.intervals import Interval, point
from alliance_stats.evidence.quantities import QUANTITIES
from alliance_stats.evidence.reading import OWNERS, PrintedRow
from alliance_stats.formatting import format_interval, format_number

__all__ = ["NOT_CHECKABLE", "NOT_REPRODUCED", "REPRODUCED", "Verdict", "judge"]

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_CHECKABLE = "not checkable"

_LIMITS = {"conf_low", "conf_high"}
_MAYBE = "Transcription, rounding of the inputs or an unstated method may be the reason."
# digits beyond the printed ones with which a feasible set is told in words
_MORE_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one printed number.

    Attributes
    ----------
    quantity, printed
        Where it stood and its text.
    relation
        The relation that yields it; empty where none does.
    stands_for, feasible
        What the text stands for, and what the relation allows; ``None`` where neither is known.
    rounding
        The convention under which they were compared.
    verdict, reason
        One of the three verdicts, and on what it rests.
    """

    quantity: str
    printed: str
    relation: str
    stands_for: Interval | None
    feasible: Interval | None
    rounding: str
    verdict: str
    reason: str

    @property
    def gap(self) -> float:
        """Distance between what was printed and what is feasible, 0 where they meet."""
        if self.stands_for is None or self.feasible is None:
            return float("nan")
        return self.stands_for.gap(self.feasible)


def judge(row: PrintedRow, target: str, *, conventions: Sequence[str]) -> Verdict:
    """Return the verdict on one printed number of a row.

    The relations that yield it are grouped by path; within a path they are alternatives, and
    every path must reproduce the number.
    """
    if target in row.impossible:
        return _impossible(row, target)
    applicable = list(_applicable(row, target))
    if not applicable:
        return _unchecked(row, target, _why_nothing_applies(row, target))
    paths: dict[str, list[Relation]] = {}
    for relation in applicable:
        paths.setdefault(_path(row, relation), []).append(relation)
    found = [_judge_path(row, target, path, conventions) for path in paths.values()]
    for wanted in (NOT_REPRODUCED, REPRODUCED):
        for verdict in found:
            if verdict.verdict == wanted:
                return verdict
    return found[0]


def _applicable(row: PrintedRow, target: str) -> Iterator[Relation]:
    possible = row.boxes["nearest"]
    fitting = [
        relation
        for relation in YIELDING.get(target, ())
        if all(name in possible for name in relation.inputs)
        and (not row.relations or relation.name in row.relations)
        and _about_the_interval(row, relation)
    ]
    firm = [relation for relation in fitting if not relation.fallback]
    yield from firm or fitting


def _about_the_interval(row: PrintedRow, relation: Relation) -> bool:
    """Say whether a relation with an interval in it speaks of the interval's owner."""
    names = {relation.target, *relation.inputs}
    if not names & _LIMITS:
        return True
    owner = names & set(OWNERS)
    if not owner:
        return True
    if relation.target in OWNERS and len(row.interval_of) > 1:
        return False
    return owner <= set(row.interval_of)


def _path(row: PrintedRow, relation: Relation) -> str:
    names = {relation.target, *relation.inputs}
    return "whose interval" if names & _LIMITS and len(row.interval_of) > 1 else relation.path


def _judge_path(
    row: PrintedRow, target: str, alternatives: Sequence[Relation], conventions: Sequence[str]
) -> Verdict:
    failed: Verdict | None = None
    refused, open_if_cut = "", False
    computed: set[str] = set()
    for rounding in conventions:
        for relation in alternatives:
            try:
                verdict = _compare(row, target, relation, rounding)
            except NotIdentifiedError as refusal:
                refused = refused or str(refusal)
                open_if_cut |= relation.name in computed
                continue
            computed.add(relation.name)
            if verdict.verdict != NOT_REPRODUCED:
                return verdict
            failed = failed or verdict
    if open_if_cut:
        reason = "it does not follow if digits were rounded; if they were cut off, it is left open"
        return replace(_unchecked(row, target, reason), relation=alternatives[0].name)
    if failed is None:
        return replace(_unchecked(row, target, refused), relation=alternatives[0].name)
    hints = _hints(row, target, alternatives, failed)
    others = [relation.formula for relation in alternatives if relation.name != failed.relation]
    also = f" Neither under {'; '.join(others)}." if others else ""
    return replace(failed, reason=f"{failed.reason}{also}{hints} {_MAYBE}")


def _compare(
    row: PrintedRow,
    target: str,
    relation: Relation,
    rounding: str,
) -> Verdict:
    box = row.boxes[rounding]
    feasible = relation.image(box, row.setting)
    # whole df are exact as inputs, but Welch's may have been rounded to whole ones for print
    printed = row.numbers["df"].stands_for(rounding) if target == "df" else box[target]
    verdict = Verdict(
        quantity=row.shown[target],
        printed=row.texts[target],
        relation=relation.name,
        stands_for=printed,
        feasible=feasible,
        rounding=rounding,
        verdict=REPRODUCED,
        reason=relation.formula,
    )
    if not printed.meets(feasible):
        reason = _how_far(row, target, relation, (printed, feasible))
        return replace(verdict, verdict=NOT_REPRODUCED, reason=reason)
    whole = QUANTITIES[target]
    if feasible.low <= whole.low and feasible.high >= whole.high:
        reason = f"the printed digits are too few: {relation.formula} allows any value"
        return replace(verdict, verdict=NOT_CHECKABLE, reason=reason)
    if relation.leaves_open is not None:
        return replace(
            verdict, verdict=NOT_CHECKABLE, reason=relation.leaves_open(box, row.setting)
        )
    if rounding == "truncated":
        return replace(verdict, reason=f"{relation.formula}, if digits were cut off, not rounded")
    return verdict


def _how_far(
    row: PrintedRow, target: str, relation: Relation, sets: tuple[Interval, Interval]
) -> str:
    printed, feasible = sets
    digits = _MORE_DIGITS + _decimals(row, target)
    stands = format_interval(printed.low, printed.high, digits)
    allows = format_interval(feasible.low, feasible.high, digits)
    return (
        f"{row.texts[target]} stands for {stands}; {relation.formula} allows {allows}, "
        f"{format_number(printed.gap(feasible), digits)} away."
    )


def _decimals(row: PrintedRow, target: str) -> int:
    if target not in row.numbers:
        return 2
    return max(0, -int(row.numbers[target].unit.as_tuple().exponent))


def _hints(row: PrintedRow, target: str, alternatives: Sequence[Relation], failed: Verdict) -> str:
    """Name an unstated method that would give the number: other tail, t, df rounded for print."""
    said = ""
    if target in ("p_value", "stars"):
        other = "one" if row.setting.tails == "two" else "two"
        setting = replace(row.setting, tails=other)
        if _any_reproduces(row, target, alternatives, (setting, None), failed.rounding):
            said += f" It would be as a {other}-tailed p."
    if "df" not in row.texts:
        on_df = [
            relation
            for relation in YIELDING.get(target, ())
            if "df" in relation.inputs
            and any(set(relation.inputs) == {*known.inputs, "df"} for known in alternatives)
        ]
        some_df = Interval(1.0, np.inf)
        if _any_reproduces(row, target, on_df, (row.setting, some_df), failed.rounding):
            said += " With a t distribution on some df (none is printed) it would be."
    elif row.numbers["df"].is_whole and "df" not in row.impossible:
        rounded = row.numbers["df"].stands_for("nearest")
        if _any_reproduces(row, target, alternatives, (row.setting, rounded), failed.rounding):
            said += " With df that were rounded to a whole number it would be."
    return said


def _any_reproduces(
    row: PrintedRow,
    target: str,
    relations: Sequence[Relation],
    instead: tuple[Setting, Interval | None],
    rounding: str,
) -> bool:
    setting, df = instead
    box = row.boxes[rounding]
    if df is not None:
        box = {**box, "df": df}
    for relation in relations:
        try:
            if box[target].meets(relation.image(box, setting)):
                return True
        except NotIdentifiedError:
            continue
    return False


def _impossible(row: PrintedRow, target: str) -> Verdict:
    return replace(
        _unchecked(row, target, row.impossible[target]),
        relation="possible values",
        verdict=NOT_REPRODUCED,
    )


def _unchecked(row: PrintedRow, target: str, reason: str) -> Verdict:
    return Verdict(
        quantity=row.shown[target],
        printed=row.texts[target],
        relation="",
        stands_for=row.boxes["nearest"].get(target, point(float("nan"))),
        feasible=None,
        rounding="nearest",
        verdict=NOT_CHECKABLE,
        reason=reason,
    )


def _why_nothing_applies(row: PrintedRow, target: str) -> str:
    if target in _LIMITS and not row.interval_of:
        return "an interval is printed without the estimate it belongs to"
    follow = [
        row.shown[other]
        for other in row.texts
        if any(target in relation.inputs for relation in _applicable(row, other))
    ]
    if follow:
        return f"taken as given: {', '.join(follow)} can be computed from it"
    if row.relations:
        return "none of the relations named for this row yields it"
    yielding = YIELDING.get(target, ())
    blocked = sorted(
        {name for relation in yielding for name in relation.inputs if name in row.impossible}
    )
    if blocked:
        return f"{', '.join(blocked)} cannot be what it is called, so nothing follows from it"
    if not yielding:
        return "no relation yields this quantity"
    needs = min(
        (set(relation.inputs) - set(row.texts) - {target} for relation in yielding),
        key=lambda names: (len(names), sorted(names)),
    )
    if needs:
        return f"no printed number yields it; with {', '.join(sorted(needs))} it could be checked"
    return "it could belong to several estimates; say which in a column 'interval_of'"
