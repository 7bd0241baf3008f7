"""What the relations of one path imply for a printed number.

Within a path relations are alternatives: one that reproduces the number is enough. Those that leave
nothing open come first. Uncommon, unstated procedures are assumed only as an exception.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product

from scipy import special

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.adjusted_p import adjustments
from alliance_stats.evidence.printed.catalogue import QUANTITIES, YIELDING
from alliance_stats.evidence.printed.printed_row import PrintedRow
from alliance_stats.evidence.printed.relation import OWNERS, Interval, Relation, magnitude, point
from alliance_stats.formatting import format_interval, format_number

__all__ = [
    "HOLDS_ONLY_IF",
    "LIMITS",
    "NOT_CHECKABLE",
    "NOT_REPRODUCED",
    "OF_A_TEST",
    "REPRODUCED",
    "USUAL",
    "VERDICTS",
    "VERDICT_COLUMNS",
    "Rules",
    "Verdict",
    "applicable",
    "count_verdicts",
    "finding",
    "judge_path",
    "unchecked",
    "verdict_columns",
]

REPRODUCED = "reproduced"
HOLDS_ONLY_IF = "holds only if"
NOT_REPRODUCED = "not reproduced"
NOT_CHECKABLE = "not checkable"
VERDICTS = (REPRODUCED, HOLDS_ONLY_IF, NOT_REPRODUCED, NOT_CHECKABLE)

LIMITS = {"conf_low", "conf_high"}
OF_A_TEST = {"p_value", "stars"}
_MAYBE = "Transcription, rounding of the inputs or an unstated method may be the reason."
# digits beyond the printed ones with which a feasible set is told in words
_MORE_DIGITS, _USUAL_UNIT = 2, Decimal("0.01")
# The p of a variance on the boundary, half of another, is not adjusted for several tests.
_NEVER_ADJUSTED = {"p_chi2_boundary", "stars_from_p_chi2_boundary"}
_DF_LEFT_OPEN = "any_df"
# Of 520 permutation tests (999 draws) of two groups of 8 to 39, their outcomes normal, exponential
# or log-normal, 99% had a p within .36 probits of the t test's, and all within .63.
_PROBITS = 0.7
_NOT_RESAMPLED = {"p_value", "q", "events1"}  # exact p of counts are known
_SIZED = {"d", "g"}  # often printed without a sign
# A p of these is not one of a difference of two means, which Tukey's range needs.
_NO_PAIRS = {"f", "chi2", "q", "wald", "r", "r_squared", "events1"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one printed number.

    Attributes
    ----------
    quantity, printed
        Its place and its text.
    relation
        The relation that yields it; empty where none does.
    stands_for, feasible
        What the text can mean, and what the relation allows; ``None`` where neither is known.
    rounding
        The convention under which they were compared.
    verdict, reason
        One of the four verdicts, and its basis.
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


VERDICT_COLUMNS = (
    "quantity",
    "relation",
    "printed",
    "feasible_low",
    "feasible_high",
    "verdict",
    "reason",
    "gap",
    "rounding",
)


def verdict_columns(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as the columns of a tidy row."""
    feasible = verdict.feasible
    return {
        "quantity": verdict.quantity,
        "relation": verdict.relation,
        "printed": verdict.printed,
        "feasible_low": float("nan") if feasible is None else feasible.low,
        "feasible_high": float("nan") if feasible is None else feasible.high,
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "gap": verdict.gap,
        "rounding": verdict.rounding,
    }


def count_verdicts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Return ``n_printed`` and, for each verdict, ``n_reproduced``, ``n_holds_only_if``, ..."""
    counts = {
        f"n_{kind.replace(' ', '_')}": sum(verdict.verdict == kind for verdict in verdicts)
        for kind in VERDICTS
    }
    return {"n_printed": len(verdicts), **counts}


def finding(verdict: Verdict) -> str:
    """Return the wording for a number that does not follow, or only under a condition."""
    if verdict.verdict == HOLDS_ONLY_IF:
        return f"{verdict.quantity} {verdict.printed}: {verdict.reason}."
    return (
        f"{verdict.quantity} {verdict.printed}: not reproduced under {verdict.relation}. "
        f"{verdict.reason}"
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """The conventions of rounding, and whether uncommon, unstated procedures may be assumed."""

    conventions: tuple[str, ...] = ()
    exceptions: bool = False


USUAL = Rules()


def applicable(row: PrintedRow, target: str, rules: Rules = USUAL) -> Iterator[Relation]:
    """Yield the relations that give a number of a row from the row's other printed numbers."""
    possible = row.boxes["nearest"]
    fitting = [
        relation
        for relation in YIELDING.get(target, ())
        if all(name in possible for name in relation.inputs)
        and not any(name in row.texts for name in relation.unless)
        and (not row.relations or relation.name in row.relations)
        and not (relation.about_interval and row.interval_from)
        and (not relation.is_exception or (rules.exceptions and not row.reading))
        and _about_the_interval(row, relation)
    ]
    firm = [relation for relation in fitting if not relation.fallback]
    yield from firm or fitting


def _about_the_interval(row: PrintedRow, relation: Relation) -> bool:
    """Return whether a relation with an interval concerns the interval's own quantity."""
    names = {relation.target, *relation.inputs}
    if not names & LIMITS:
        return True
    owner = names & set(OWNERS)
    several = relation.target in OWNERS and len(row.interval_of) > 1
    return not owner or (not several and owner <= set(row.interval_of))


def judge_path(
    row: PrintedRow, target: str, alternatives: Sequence[Relation], rules: Rules
) -> Verdict:
    """Return the first verdict that is not "not reproduced", firm relations before open ones."""
    failed: Verdict | None = None
    refused, open_if_cut = "", False
    computed: set[str] = set()
    ordered = sorted(alternatives, key=lambda relation: not relation.is_firm)
    for rounding, relation in (
        (rounding, relation)
        for firm in (True, False)
        for rounding in rules.conventions
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
    elif (excepted := _excepted(row, target, ordered, rules)) is not None:
        return excepted
    if failed is None or open_if_cut:
        return replace(unchecked(row, target, refused), relation=ordered[0].name)
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
        left = HOLDS_ONLY_IF if relation.is_exception else NOT_CHECKABLE
        return replace(verdict, verdict=left, reason=relation.leaves_open(box, row.setting))
    whole = QUANTITIES[target]
    if feasible.low <= whole.low and feasible.high >= whole.high:
        reason = f"the printed digits are too few: {relation.formula} allows any value"
        return replace(verdict, verdict=NOT_CHECKABLE, reason=reason)
    if rounding == "truncated":
        return replace(verdict, reason=f"{relation.formula}, if digits were cut off, not rounded")
    return verdict


def _excepted(
    row: PrintedRow, target: str, alternatives: Sequence[Relation], rules: Rules
) -> Verdict | None:
    """Return the verdict on a p that was adjusted or resampled, or on a d without its sign."""
    if target in OF_A_TEST:
        adjusted = _adjusted(row, target, alternatives, rules)
        return adjusted or _resampled(row, target, alternatives, rules)
    if target not in _SIZED or row.reading or not rules.exceptions:
        return None
    for rounding, relation in product(rules.conventions, alternatives):
        box = row.boxes[rounding]
        with suppress(NotIdentifiedError):
            found = magnitude(relation.image(box, row.setting))
            if relation.is_firm and box[target].meets(found):
                said = f"{target} was printed without its sign"
                return _conditional(row, target, relation, rounding, (said, found))
    return None


def _adjusted(
    row: PrintedRow, target: str, alternatives: Sequence[Relation], rules: Rules
) -> Verdict | None:
    """Return the verdict on a p that is the one expected, adjusted for several tests."""
    if target not in OF_A_TEST or not (row.tests or (rules.exceptions and not row.reading)):
        return None
    for rounding, relation in product(rules.conventions, alternatives):
        # What leaves something open is conditional as it is: two conditions are not supposed, but
        # contrasts whose df are not printed are adjusted.
        two = not relation.is_firm and _DF_LEFT_OPEN not in relation.name
        if two or relation.name in _NEVER_ADJUSTED:
            continue
        box = row.boxes[rounding]
        with suppress(NotIdentifiedError):
            plain = relation.image(box, row.setting)
            df = box["df"] if "df" in relation.inputs else None
            of_t = not _NO_PAIRS & set(relation.inputs)
            for said, found in adjustments(plain, row.tests, df, of_t=of_t):
                if box[target].meets(found):
                    under = f"the p was adjusted for {said}", found
                    return _conditional(row, target, relation, rounding, under)
    return None


def _resampled(
    row: PrintedRow, target: str, alternatives: Sequence[Relation], rules: Rules
) -> Verdict | None:
    """Return the verdict on a p near the one expected, beside groups or an interval.

    A test statistic alone has its own p; what is printed with its interval or its groups' means may
    have a resampled one.
    """
    shown = any(set(row.texts) >= names for names in (LIMITS, {"mean1", "mean2"}))
    if not shown or not rules.exceptions or row.reading or row.tests:
        return None
    for rounding, relation in product(rules.conventions, alternatives):
        never = relation.name in _NEVER_ADJUSTED or _NOT_RESAMPLED & set(relation.inputs)
        if never or not relation.is_firm:
            continue
        box = row.boxes[rounding]
        with suppress(NotIdentifiedError):
            plain = relation.image(box, row.setting)
            if plain.low <= 0.0 and plain.high >= 1.0:
                continue  # the digits are too few to say anything
            near = Interval(_moved(plain.low, -_PROBITS), _moved(plain.high, _PROBITS))
            if box[target].meets(near):
                under = "it is the p of a permutation or bootstrap test", near
                return _conditional(row, target, relation, rounding, under)
    return None


def _moved(p: float, probits: float) -> float:
    return float(special.ndtr(special.ndtri(p) + probits))


def _conditional(
    row: PrintedRow, target: str, relation: Relation, rounding: str, under: tuple[str, Interval]
) -> Verdict:
    said, found = under
    holds = f"it does not follow under {relation.formula}; it holds only if {said}"
    return Verdict(
        quantity=row.shown[target],
        printed=row.texts[target],
        relation=relation.name,
        stands_for=row.boxes[rounding][target],
        feasible=found,
        rounding=rounding,
        verdict=REPRODUCED if row.tests and target in OF_A_TEST else HOLDS_ONLY_IF,
        reason=f"{relation.formula}; {said}" if row.tests and target in OF_A_TEST else holds,
    )


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
    """Say under which other number of tails, or adjusted for how many tests, a p would follow."""
    if target not in OF_A_TEST:
        return ""
    other = "one" if row.setting.tails == "two" else "two"
    box, setting = row.boxes[rounding], replace(row.setting, tails=other)
    for relation in alternatives:
        with suppress(NotIdentifiedError):
            if relation.is_firm and box[target].meets(relation.image(box, setting)):
                return f" It would be as a {other}-tailed p."
            plain = relation.image(box, row.setting)
            for said, found in adjustments(plain, row.tests, None, of_t=False):
                if relation.is_firm and not row.tests and box[target].meets(found):
                    return f" It may be adjusted for {said}: say so in a column 'tests'."
    return ""


def unchecked(row: PrintedRow, target: str, reason: str) -> Verdict:
    """Return the verdict on a number that no relation concerns, with a reason in words."""
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
