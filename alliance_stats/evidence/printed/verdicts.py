"""Say whether the printed numbers of a row follow from one another.

Every way to read the row is tried, the usual one first, until one is found under which nothing
fails. Under a reading each relation that yields a number is a constraint; where some fail, the
fewest printed numbers that would settle all of them are sought, so that a misprint is one finding
and not as many as there are relations with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

from alliance_stats.evidence.printed.catalogue import YIELDING
from alliance_stats.evidence.printed.path_verdicts import (
    HOLDS_ONLY_IF,
    LIMITS,
    NOT_CHECKABLE,
    NOT_REPRODUCED,
    OF_A_TEST,
    REPRODUCED,
    Rules,
    Verdict,
    applicable,
    judge_path,
    unchecked,
)
from alliance_stats.evidence.printed.printed_row import PrintedRow
from alliance_stats.evidence.printed.relation import Relation

__all__ = ["judge_row"]

# A p belongs to one of the tests in its row; inputs tell which.
_TESTS = (
    ("f", "df1", "r_squared"),
    ("chi2",),
    ("q", "i_squared"),
    ("r", "r1", "r12"),
    ("mean1",),
    ("events1",),
    ("d", "g"),
)
# d by the SD of one group, of both or of change are different numbers of the same name
_IN_UNITS_OF_AN_SD = {"d", "g"}
# df and sizes go with any test
_SIZES = {"df", "df2", "n", "n1", "n2", "k", "n_effects", "k_studies", "conf_low", "conf_high"}
# more findings in a row than this are not sought for the fewest numbers that explain them
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class _Constraint:
    """What one path's relations imply for a number, and the numbers used."""

    target: str
    verdict: Verdict
    names: frozenset[str]
    test: str

    @property
    def fails(self) -> bool:
        return self.verdict.verdict == NOT_REPRODUCED

    @property
    def agrees(self) -> bool:
        """Whether the number would follow if what is not printed were so."""
        feasible = self.verdict.feasible
        says = feasible is not None and feasible.high - feasible.low < 1.0
        return says and self.verdict.verdict == NOT_CHECKABLE and self.verdict.gap == 0.0


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

    Where something fails in every reading, exceptions are tried: uncommon, unstated procedures
    (corrected df, an adjusted or an exact p). They are kept where they leave fewer numbers to
    blame.

    Parameters
    ----------
    ways
        The row in each of its readings, the usual one first.
    conventions
        The conventions of rounding that are admitted.
    """
    best: _Judged | None = None
    read: list[PrintedRow] = []
    usual, generous = (Rules(tuple(conventions), exceptions) for exceptions in (False, True))
    for row, rules in chain(((row, usual) for row in ways), ((row, generous) for row in read)):
        if rules is usual:
            read.append(row)
        judged = _judged(row, rules, assumed)
        if best is None or len(judged.blamed) < len(best.blamed):
            best = judged
        if not best.blamed:
            break
    assert best is not None  # a row has at least its usual reading
    return [_settled(best, name) for name in best.row.texts if best.row.shown[name] not in assumed]


def _judged(row: PrintedRow, rules: Rules, assumed: Sequence[str]) -> _Judged:
    constraints = {
        name: tuple(_constraints(row, name, rules))
        for name in row.texts
        if row.shown[name] not in assumed
    }
    linked = _linked(constraints)
    failed = tuple(
        constraint
        for found in constraints.values()
        for constraint in found
        if constraint.fails
        and not _of_another_test(constraint, found, linked)
        and not _defined_otherwise(constraint, found)
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
            if constraint.verdict.verdict == REPRODUCED and constraint.target not in OF_A_TEST:
                tests = [root(_test_of({name})) for name in constraint.names - _SIZES]
                same |= dict.fromkeys(tests, tests[0]) if tests else {}
    return {test: root(test) for test in (*(names[0] for names in _TESTS), "estimate")}


def _of_another_test(
    constraint: _Constraint, found: Sequence[_Constraint], linked: Mapping[str, str]
) -> bool:
    """Say whether a p that fails by one test of the row follows from another."""
    if constraint.target not in OF_A_TEST:
        return False
    failing = {linked[other.test] for other in found if other.fails}
    return any(
        (other.verdict.verdict == REPRODUCED or other.agrees) and linked[other.test] not in failing
        for other in found
    )


def _defined_otherwise(constraint: _Constraint, found: Sequence[_Constraint]) -> bool:
    """Say whether a difference in units of one SD, which fails, follows in units of another."""
    return constraint.target in _IN_UNITS_OF_AN_SD and any(
        other.verdict.verdict == REPRODUCED for other in found
    )


def _in_units_of_another_sd(constraint: _Constraint, own: Sequence[_Constraint]) -> Verdict:
    """Return the verdict on a d that follows from the means, but not from the test beside them."""
    verdict = constraint.verdict
    other = next((found.verdict for found in own if found.fails), None)
    follows = constraint.target in _IN_UNITS_OF_AN_SD and verdict.verdict == REPRODUCED
    if not follows or other is None or "mean1" not in constraint.names:
        return verdict
    reason = (
        f"it does not follow from the test in its row; it holds only if {verdict.reason}, "
        "in units of another SD than the test's"
    )
    return replace(verdict, verdict=HOLDS_ONLY_IF, reason=reason)


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
            name in LIMITS,
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
        found = unchecked(row, name, row.impossible[name])
        return replace(found, relation="possible values", verdict=NOT_REPRODUCED)
    representatives = _representatives(judged)
    if name in representatives:
        return _finding(judged, representatives[name], name)
    for wanted in (REPRODUCED, HOLDS_ONLY_IF, NOT_CHECKABLE):
        for constraint in own:
            if constraint.verdict.verdict == wanted:
                return _read(_in_units_of_another_sd(constraint, own), row)
    if own:
        other = ", ".join(row.shown[target] for target in representatives if target != name)
        failed = own[0].verdict
        reason = (
            f"it does not follow under {failed.relation}; what is said of {other} explains that"
        )
        return replace(failed, verdict=NOT_CHECKABLE, reason=reason)
    return unchecked(row, name, _why_nothing_applies(row, name))


def _representatives(judged: _Judged) -> dict[str, _Constraint]:
    """Return the failed constraint that represents each of the names that explain all of them."""
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


def _constraints(row: PrintedRow, target: str, rules: Rules) -> Iterator[_Constraint]:
    """Yield what each path implies for a number; within a path relations are alternatives."""
    if target in row.impossible:
        return
    paths: dict[str, list[Relation]] = {}
    for relation in applicable(row, target, rules):
        shared = len(row.interval_of) > 1 and LIMITS & {target, *relation.inputs}
        paths.setdefault("whose interval" if shared else relation.path, []).append(relation)
    for path in paths.values():
        firm = [relation for relation in path if relation.is_firm] or path
        named = set.intersection(*(set(relation.inputs) for relation in firm))
        yield _Constraint(
            target,
            judge_path(row, target, path, rules),
            frozenset({target, *named}),
            _test_of(set(firm[0].inputs)),
        )


def _test_of(names: set[str]) -> str:
    return next((known[0] for known in _TESTS if names & set(known)), "estimate")


def _why_nothing_applies(row: PrintedRow, target: str) -> str:
    if target in LIMITS and not row.interval_of:
        return "an interval is printed without the estimate it belongs to"
    follow = [
        row.shown[other]
        for other in row.texts
        if any(target in r.inputs for r in applicable(row, other) if r.is_firm)
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
