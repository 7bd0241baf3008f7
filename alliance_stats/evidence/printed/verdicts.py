"""Say whether the printed numbers of a row follow from one another.

Every way to read the row is tried, the usual one first, until one is found under which nothing
fails. Under a reading each relation that yields a number is a constraint; where some fail, the
fewest printed numbers that would settle all of them are sought, so that a misprint is one finding
and not as many as there are relations with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.catalogue import QUANTITIES, YIELDING
from alliance_stats.evidence.printed.printed_row import OWNERS, PrintedRow
from alliance_stats.evidence.printed.relation import Interval, Relation, point
from alliance_stats.formatting import format_interval, format_number

__all__ = ["NOT_CHECKABLE", "NOT_REPRODUCED", "REPRODUCED", "Verdict", "judge_row"]

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
NOT_CHECKABLE = "not checkable"

_LIMITS = {"conf_low", "conf_high"}
_MAYBE = "Transcription, rounding of the inputs or an unstated method may be the reason."
# digits beyond the printed ones with which a feasible set is told in words
_MORE_DIGITS, _USUAL_UNIT = 2, Decimal("0.01")
# A p belongs to one of the tests in its row; inputs tell which.
_TESTS = (
    ("f", "df1", "r_squared"),
    ("chi2",),
    ("q",),
    ("r", "r1", "r12"),
    ("mean1",),
    ("events1",),
    ("d", "g"),
)
_OF_A_TEST = {"p_value", "stars"}
# df and sizes go with any test
_SIZES = {"df", "df2", "n", "n1", "n2", "k", "n_effects", "k_studies", "conf_low", "conf_high"}
# more findings in a row than this are not sought for the fewest numbers that explain them
_MOST_NAMES = 3


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


@dataclass(frozen=True, slots=True)
class _Constraint:
    """What the relations of one path say of a number, and the numbers that it rests on."""

    target: str
    verdict: Verdict
    names: frozenset[str]
    test: str

    @property
    def fails(self) -> bool:
        return self.verdict.verdict == NOT_REPRODUCED


@dataclass(frozen=True, slots=True)
class _Judged:
    """A row under one reading: its constraints by target, what fails, and who explains it."""

    row: PrintedRow
    constraints: Mapping[str, tuple[_Constraint, ...]]
    failed: tuple[_Constraint, ...]
    confirmed: Mapping[str, int]
    blamed: tuple[str, ...]


def judge_row(
    ways: Iterable[PrintedRow], *, conventions: Sequence[str], assumed: Sequence[str] = ()
) -> list[Verdict]:
    """Return a verdict for each printed number of a row that is not `assumed`.

    Parameters
    ----------
    ways
        The row in each of its readings, the usual one first.
    conventions
        The conventions of rounding that are admitted.
    """
    best: _Judged | None = None
    for row in ways:
        judged = _judged(row, conventions, assumed)
        if best is None or len(judged.blamed) < len(best.blamed):
            best = judged
        if not best.blamed:
            break
    assert best is not None  # a row has at least its usual reading
    return [_settled(best, name) for name in best.row.texts if best.row.shown[name] not in assumed]


def _judged(row: PrintedRow, conventions: Sequence[str], assumed: Sequence[str]) -> _Judged:
    constraints = {
        name: tuple(_constraints(row, name, conventions))
        for name in row.texts
        if row.shown[name] not in assumed
    }
    linked = _linked(constraints)
    failed = tuple(
        constraint
        for found in constraints.values()
        for constraint in found
        if constraint.fails and not _of_another_test(constraint, found, linked)
    )
    impossible = tuple(name for name in row.impossible if name in constraints)
    confirmed = {
        name: sum(
            name in constraint.names
            for found in constraints.values()
            for constraint in found
            if constraint.verdict.verdict == REPRODUCED
        )
        for name in row.texts
    }
    blamed = _explained(list(row.texts), failed, confirmed)
    return _Judged(row, constraints, failed, confirmed, (*impossible, *blamed))


def _linked(constraints: Mapping[str, Sequence[_Constraint]]) -> dict[str, str]:
    """Return for each kind of test the one that it is the same as: their numbers follow.

    A t that follows from the means is the test of the means; a t that does not follow from r may
    be that of a coefficient.
    """
    same: dict[str, str] = {}

    def root(test: str) -> str:
        return test if same.get(test, test) == test else root(same[test])

    for found in constraints.values():
        for constraint in found:
            if constraint.verdict.verdict == REPRODUCED and constraint.target not in _OF_A_TEST:
                tests = [root(_test_of({name})) for name in constraint.names - _SIZES]
                same |= dict.fromkeys(tests, tests[0]) if tests else {}
    return {test: root(test) for test in (*(names[0] for names in _TESTS), "estimate")}


def _of_another_test(
    constraint: _Constraint, found: Sequence[_Constraint], linked: Mapping[str, str]
) -> bool:
    """Say whether a p that fails by one test of the row follows from another."""
    if constraint.target not in _OF_A_TEST:
        return False
    failing = {linked[other.test] for other in found if other.fails}
    return any(
        other.verdict.verdict == REPRODUCED and linked[other.test] not in failing for other in found
    )


def _explained(
    order: Sequence[str], failed: Sequence[_Constraint], confirmed: Mapping[str, int]
) -> tuple[str, ...]:
    """Return the fewest names that have a part in every failed constraint.

    Among as few, those come first that fewer confirmed relations speak of, then those that a
    failed relation yields, then an estimate before its limits, then those that stand further
    behind in the row: what is derived stands behind what it is derived from.
    """
    if not failed:
        return ()
    targets = {constraint.target for constraint in failed}
    candidates = sorted(
        set().union(*(constraint.names for constraint in failed)),
        key=lambda name: (
            confirmed[name],
            name not in targets,
            name in _LIMITS,
            -order.index(name),
        ),
    )
    for size in range(1, _MOST_NAMES + 1):
        for chosen in combinations(candidates, size):
            if all(constraint.names & set(chosen) for constraint in failed):
                return chosen
    return tuple(dict.fromkeys(constraint.target for constraint in failed))


def _settled(judged: _Judged, name: str) -> Verdict:
    row, own = judged.row, judged.constraints[name]
    if name in row.impossible:
        found = _unchecked(row, name, row.impossible[name])
        return replace(found, relation="possible values", verdict=NOT_REPRODUCED)
    representatives = _representatives(judged)
    if name in representatives:
        return _finding(judged, representatives[name], name)
    for wanted in (REPRODUCED, NOT_CHECKABLE):
        for constraint in own:
            if constraint.verdict.verdict == wanted:
                return _read(constraint.verdict, row)
    if own:
        other = ", ".join(row.shown[target] for target in representatives if target != name)
        failed = own[0].verdict
        reason = (
            f"it does not follow under {failed.relation}; what is said of {other} explains that"
        )
        return replace(failed, verdict=NOT_CHECKABLE, reason=reason)
    return _unchecked(row, name, _why_nothing_applies(row, name))


def _representatives(judged: _Judged) -> dict[str, _Constraint]:
    """Return the failed constraint that stands for each of the names that explain all of them."""
    chosen: dict[str, _Constraint] = {}
    for name in judged.blamed:
        speaking = [c for c in judged.failed if name in c.names and c.target not in chosen]
        speaking.sort(key=lambda c: (c.target != name, len(c.names)))
        if speaking:
            chosen[speaking[0].target] = speaking[0]
    return chosen


def _finding(judged: _Judged, constraint: _Constraint, name: str) -> Verdict:
    verdict = constraint.verdict
    if name not in judged.blamed:
        alike = _alike(judged, constraint)
        said = " or ".join(judged.row.shown[other] for other in alike)
        also = f" The other numbers agree with one another: it may be {said}." if said else ""
        verdict = replace(verdict, reason=f"{verdict.reason}{also}")
    return _read(verdict, judged.row)


def _alike(judged: _Judged, constraint: _Constraint) -> list[str]:
    """Return the names that would, alone, settle what one of the blamed settles."""
    own = [c for c in judged.failed if c.names & set(judged.blamed) & constraint.names]
    shared = set.intersection(*(set(c.names) for c in own)) if own else set()
    fewest = min((judged.confirmed[name] for name in shared), default=0)
    return [n for n in judged.row.texts if n in shared and judged.confirmed[n] == fewest]


def _read(verdict: Verdict, row: PrintedRow) -> Verdict:
    """Name the reading, where it is not the usual one."""
    said = f" (read: {row.reading})" if row.reading else ""
    return replace(verdict, reason=f"{verdict.reason}{said}")


def _constraints(row: PrintedRow, target: str, conventions: Sequence[str]) -> Iterator[_Constraint]:
    """Yield what each path says of a number; within a path relations are alternatives."""
    if target in row.impossible:
        return
    paths: dict[str, list[Relation]] = {}
    for relation in _applicable(row, target):
        shared = len(row.interval_of) > 1 and _LIMITS & {target, *relation.inputs}
        paths.setdefault("whose interval" if shared else relation.path, []).append(relation)
    for path in paths.values():
        firm = [relation for relation in path if relation.is_firm] or path
        named = set.intersection(*(set(relation.inputs) for relation in firm))
        yield _Constraint(
            target,
            _judge_path(row, target, path, conventions),
            frozenset({target, *named}),
            _test_of(set(firm[0].inputs)),
        )


def _test_of(names: set[str]) -> str:
    return next((known[0] for known in _TESTS if names & set(known)), "estimate")


def _applicable(row: PrintedRow, target: str) -> Iterator[Relation]:
    possible = row.boxes["nearest"]
    fitting = [
        relation
        for relation in YIELDING.get(target, ())
        if all(name in possible for name in relation.inputs)
        and not any(name in row.texts for name in relation.unless)
        and (not row.relations or relation.name in row.relations)
        and not (relation.about_interval and row.interval_from)
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
    several = relation.target in OWNERS and len(row.interval_of) > 1
    return not owner or (not several and owner <= set(row.interval_of))


def _judge_path(
    row: PrintedRow, target: str, alternatives: Sequence[Relation], conventions: Sequence[str]
) -> Verdict:
    """Return the first verdict that is not "not reproduced", firm relations before open ones."""
    failed: Verdict | None = None
    refused, open_if_cut = "", False
    computed: set[str] = set()
    ordered = sorted(alternatives, key=lambda relation: not relation.is_firm)
    for rounding, relation in (
        (rounding, relation)
        for firm in (True, False)
        for rounding in conventions
        for relation in ordered
        if relation.is_firm is firm
    ):
        try:
            verdict = _compare(row, target, relation, rounding)
        except NotIdentifiedError as refusal:
            if relation.is_firm:
                refused = refused or str(refusal)
                open_if_cut |= relation.name in computed
            continue
        computed.add(relation.name)
        if verdict.verdict != NOT_REPRODUCED:
            return verdict
        failed = failed or verdict
    if open_if_cut:
        refused = "it does not follow if digits were rounded; if they were cut off, it is left open"
    if failed is None or open_if_cut:
        return replace(_unchecked(row, target, refused), relation=ordered[0].name)
    hint = _hint(row, target, ordered, failed.rounding)
    others = [r.formula for r in ordered if r.is_firm and r.name in computed - {failed.relation}]
    also = f" Neither under {'; '.join(others)}." if others else ""
    return replace(failed, reason=f"{failed.reason}{also}{hint} {_MAYBE}")


def _compare(row: PrintedRow, target: str, relation: Relation, rounding: str) -> Verdict:
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
    if relation.leaves_open is not None:
        return replace(
            verdict, verdict=NOT_CHECKABLE, reason=relation.leaves_open(box, row.setting)
        )
    whole = QUANTITIES[target]
    if feasible.low <= whole.low and feasible.high >= whole.high:
        reason = f"the printed digits are too few: {relation.formula} allows any value"
        return replace(verdict, verdict=NOT_CHECKABLE, reason=reason)
    if rounding == "truncated":
        return replace(verdict, reason=f"{relation.formula}, if digits were cut off, not rounded")
    return verdict


def _how_far(
    row: PrintedRow, target: str, relation: Relation, sets: tuple[Interval, Interval]
) -> str:
    printed, feasible = sets
    unit = row.numbers[target].unit if target in row.numbers else _USUAL_UNIT
    digits = _MORE_DIGITS + max(0, -int(unit.as_tuple().exponent))
    stands = format_interval(printed.low, printed.high, digits)
    allows = format_interval(feasible.low, feasible.high, digits)
    return (
        f"{row.texts[target]} stands for {stands}; {relation.formula} allows {allows}, "
        f"{format_number(printed.gap(feasible), digits)} away."
    )


def _hint(row: PrintedRow, target: str, alternatives: Sequence[Relation], rounding: str) -> str:
    """Say where the other number of tails than the one that was stated would give the number."""
    if target not in _OF_A_TEST:
        return ""
    other = "one" if row.setting.tails == "two" else "two"
    box, setting = row.boxes[rounding], replace(row.setting, tails=other)
    for relation in alternatives:
        with suppress(NotIdentifiedError):
            if relation.is_firm and box[target].meets(relation.image(box, setting)):
                return f" It would be as a {other}-tailed p."
    return ""


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
        if any(target in r.inputs for r in _applicable(row, other) if r.is_firm)
    ]
    if follow:
        return f"taken as given: {', '.join(follow)} can be computed from it"
    if row.relations:
        return "none of the relations named for this row yields it"
    yielding = [relation for relation in YIELDING.get(target, ()) if relation.is_firm]
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
