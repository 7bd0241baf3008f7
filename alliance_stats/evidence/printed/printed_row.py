"""From a row of a table to the printed numbers in it, in every way the row can be read.

Printed numbers can leave their meaning open: one tail or two, which legend the stars follow,
whether a share appears under a heading in per cent, which of two means was subtracted. Each choice
gives a reading of the row; :func:`readings` yields them, the usual one first.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product

import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.evidence.printed.catalogue import CATALOGUE, QUANTITIES
from alliance_stats.evidence.printed.numerals import (
    CONVENTIONS,
    LEGENDS,
    SHARES,
    STAR_LEVELS,
    Printed,
    limits_in_percent,
    maybe_percent,
    read_cell,
    read_printed,
    read_stars,
)
from alliance_stats.evidence.printed.relation import OWNERS, Box, Interval, Setting

__all__ = ["TAILS", "PrintedRow", "Reading", "Rules", "cells_of", "readings"]

TAILS = ("two", "one", "either")
_SWAPPED = (("mean1", "mean2"), ("sd1", "sd2"), ("n1", "n2"), ("events1", "events2"),
            ("r1", "r2"), ("proportion1", "proportion2"))  # fmt: skip
_PAIRS = (("mean1", "mean2"), ("events1", "events2"), ("r1", "r2"))
_STATISTICS = ("t", "z", "statistic", "r", "estimate")
_ON_DF = ("t", "estimate", "d", "g")


@dataclass(frozen=True, slots=True)
class Rules:
    """How to read rows that do not say otherwise.

    Attributes
    ----------
    conf_level
        Coverage of intervals.
    tails
        ``"two"``, ``"one"`` or ``"either"``: not stated.
    interval_from
        ``"se"`` where intervals are Wald intervals; empty where that is not stated.
    legends
        The legends of stars that are admissible, the usual first.
    decimal
        The decimal sign.
    """

    conf_level: float = 0.95
    tails: str = "either"
    interval_from: str = ""
    legends: tuple[Mapping[str, float], ...] = (STAR_LEVELS,)
    decimal: str = "."


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read what a row leaves open; by default the usual one."""

    tails: str = "two"
    legend: Mapping[str, float] = field(default_factory=lambda: LEGENDS[0])
    in_percent: bool = False
    statistic_is_t: bool = False
    rounded_df: bool = False
    swapped: bool = False
    in_parentheses: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """The printed numbers of one row under one reading.

    Attributes
    ----------
    texts
        Quantity -> the text as printed. `statistic` goes by the name it was resolved to.
    shown
        Quantity -> the column it came from.
    numbers
        Quantity -> the number that was read; `stars` are not here.
    boxes
        Convention of rounding -> quantity -> the meaning of each possible printed number (for
        `stars`: the p-values they mean).
    impossible
        Quantity -> why its printed number is impossible.
    setting
        Coverage of the row's interval and tails of its p.
    interval_of, interval_from
        The quantities that the row's interval may belong to, and whether it is said to be made
        from the standard error.
    relations
        Names of the relations to check; empty for all.
    tests
        Number of tests for which the row's p is reported to be adjusted; 0 if not reported.
    reading
        How the reading differs from the usual one, in words.
    """

    texts: Mapping[str, str]
    shown: Mapping[str, str]
    numbers: Mapping[str, Printed]
    boxes: Mapping[str, Box]
    impossible: Mapping[str, str]
    setting: Setting
    interval_of: tuple[str, ...]
    interval_from: str
    relations: tuple[str, ...]
    tests: int
    reading: str


def cells_of(row: "pd.Series[str]") -> dict[str, str]:
    """Return the cells of a frame's row as text, missing ones empty."""
    return {str(name): "" if pd.isna(value) else str(value) for name, value in row.items()}


def readings(cells: Mapping[str, str], *, where: str, rules: Rules) -> Iterator[PrintedRow]:
    """Yield every way to read the cells of a row, the usual one first; empty ones are not printed.

    Raises
    ------
    DataError
        If a cell is not a printed number, or a setting is not one; `where` opens the message.
    """
    printed, companions = _printed(cells, where, rules)
    stated = _stated(cells, rules, where)
    named = _relations(cells, where)
    for reading in _ways(printed, companions, stated):
        # a relation that was named for a statistic says what the statistic is
        if named and (reading.statistic_is_t or reading.in_parentheses):
            continue
        yield _row(printed, companions, cells, (where, stated, reading))


@contextmanager
def _in_field(name: str, where: str) -> Iterator[None]:
    """Begin an error message about a cell with its row and column."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}, field '{name}': {error}") from None


def _printed(
    cells: Mapping[str, str], where: str, rules: Rules
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Return quantity -> (column, text), and what was in parentheses after an estimate."""
    found: dict[str, tuple[str, str]] = {}
    beside: dict[str, tuple[str, str]] = {}
    for column, text in cells.items():
        if column not in QUANTITIES:
            continue
        with _in_field(column, where):
            parts = read_cell(column, text, decimal=rules.decimal)
        for name, part in parts.items():
            (found if name == column else beside).setdefault(name, (column, part))
    companions: dict[str, str] = {}
    for name, (column, part) in beside.items():
        if name in found:
            continue
        if name == "std_error" and column == "estimate":
            companions[name] = part
        found[name] = (name, part)
    return found, companions


def _stated(cells: Mapping[str, str], rules: Rules, where: str) -> Rules:
    """Return the rules, updated by what the row itself states."""

    def said(name: str, usual: str, known: Sequence[str]) -> str:
        text = cells.get(name, "").strip() or usual
        if text not in known:
            listed = " or ".join(sorted(repr(word) for word in known if word not in ("", "either")))
            raise DataError(f"{where}, field '{name}': must be {listed}; got {text!r}.")
        return text

    return Rules(
        conf_level=_conf_level(cells, rules, where),
        tails=said("tails", rules.tails, TAILS),
        interval_from=said("interval_from", rules.interval_from, ("", "se")),
        legends=rules.legends,
        decimal=rules.decimal,
    )


def _conf_level(cells: Mapping[str, str], rules: Rules, where: str) -> float:
    text = cells.get("conf_level", "").strip()
    if not text:
        return rules.conf_level
    with _in_field("conf_level", where):
        level = float(read_printed(text, decimal=rules.decimal).first)
    if not 0.0 < level < 1.0:
        raise DataError(
            f"{where}, field 'conf_level': {text!r} is not a coverage between 0 and 1; "
            "write '.95' or '95%'."
        )
    return level


def _ways(
    printed: Mapping[str, tuple[str, str]], companions: Mapping[str, str], rules: Rules
) -> Iterator[Reading]:
    """Yield the readings, those that depart in fewer points first."""
    switches = _switches(printed, companions, rules)
    choices = sorted(
        product(*(range(len(options)) for options in switches.values())),
        key=lambda chosen: (sum(place > 0 for place in chosen), sum(chosen)),
    )
    for chosen in choices:
        options = {
            name: switches[name][place] for name, place in zip(switches, chosen, strict=True)
        }
        said = [words for _, words in options.values() if words]
        values = {name: value for name, (value, _) in options.items()}
        yield Reading(**values, said="; ".join(said))  # type: ignore[arg-type]


def _switches(
    printed: Mapping[str, tuple[str, str]], companions: Mapping[str, str], rules: Rules
) -> dict[str, list[tuple[object, str]]]:
    one = [("one", "a one-tailed p"), ("other", "a one-tailed p of the other tail")]
    tails: dict[str, list[tuple[object, str]]] = {
        "two": [("two", "")],
        "one": [("one", ""), ("other", "the p of the other tail")],
        "either": [("two", ""), *one],
    }
    switches: dict[str, list[tuple[object, str]]] = {}
    has_p = "p_value" in printed or "stars" in printed
    bound = any(
        text.strip()[:1] in "<>\u2264\u2265"
        for name, (_, text) in printed.items()
        if name in _STATISTICS
    )
    # a bound on a statistic lets too many p pass: one tail is then no reading that it supports
    usual_only = not has_p or (bound and rules.tails == "either")
    switches["tails"] = tails[rules.tails][:1] if usual_only else tails[rules.tails]
    legends = rules.legends if "stars" in printed else rules.legends[:1]
    listed = [
        ", ".join(f"{sign} p < {level:g}" for sign, level in each.items()) for each in legends
    ]
    switches["legend"] = [
        (legend, f"stars as {said}" if place else "")
        for place, (legend, said) in enumerate(zip(legends, listed, strict=True))
    ]
    if any(maybe_percent(name, text, decimal=rules.decimal) for name, (_, text) in printed.items()):
        switches["in_percent"] = [(False, ""), (True, "shares in per cent")]
    if printed.get("statistic") and not {"df1", "df2"} <= set(printed) and "df" not in printed:
        switches["statistic_is_t"] = [(False, ""), (True, "the statistic as a t")]
    if _may_be_rounded(printed):
        rounded = "with df that were rounded to a whole number"
        switches["rounded_df"] = [(False, ""), (True, rounded)]
    if any(first in printed and second in printed for first, second in _PAIRS):
        switches["swapped"] = [(False, ""), (True, "the second minus the first")]
    if companions and not {"t", "z", "statistic"} & set(printed):
        switches["in_parentheses"] = [
            ("", ""),
            ("t", "the number in parentheses as a t"),
            ("z", "the number in parentheses as a z"),
        ]
    return switches


def _may_be_rounded(printed: Mapping[str, tuple[str, str]]) -> bool:
    def whole(name: str) -> bool:
        return name in printed and printed[name][1].strip().isdigit()

    of_t = whole("df") and not {"chi2", "wald", "q"} & set(printed)
    on_df = any(name in printed for name in (*_ON_DF, "statistic"))
    return (of_t and on_df) or (whole("df2") and bool({"f", "statistic"} & set(printed)))


def _row(
    printed: Mapping[str, tuple[str, str]],
    companions: Mapping[str, str],
    cells: Mapping[str, str],
    how: tuple[str, Rules, Reading],
) -> PrintedRow:
    where, rules, reading = how
    columns: dict[str, str] = {}
    texts: dict[str, str] = {}
    for name, (column, text) in printed.items():
        quantity = _named(name, printed, companions, how)
        columns[quantity], texts[quantity] = column, text
    numbers = {
        name: _number(name, text, columns[name], how)
        for name, text in texts.items()
        if name != "stars"
    }
    numbers |= limits_in_percent(numbers, OWNERS)
    impossible = {
        name: _why_impossible(name, texts[name])
        for name, number in numbers.items()
        if _possible(name, number, "nearest", reading) is None
    }
    impossible |= _disordered(numbers, impossible, _owners(cells, texts, where))
    stars = _stars(texts, reading, where)
    return PrintedRow(
        texts=texts,
        shown=columns,
        numbers=numbers,
        boxes={c: {**_box(numbers, impossible, c, reading), **stars} for c in CONVENTIONS},
        impossible=impossible,
        setting=Setting(rules.conf_level, reading.tails),
        interval_of=_owners(cells, texts, where),
        interval_from=rules.interval_from,
        relations=_relations(cells, where),
        tests=_tests(cells, where),
        reading=reading.said,
    )


def _named(
    name: str,
    printed: Mapping[str, tuple[str, str]],
    companions: Mapping[str, str],
    how: tuple[str, Rules, Reading],
) -> str:
    """Return the quantity that a printed name denotes under a reading."""
    where, _, reading = how
    if reading.swapped:
        for pair in _SWAPPED:
            if name in pair:
                return pair[1 - pair.index(name)]
    if name == "std_error" and name in companions and reading.in_parentheses:
        return reading.in_parentheses
    if name != "statistic":
        return name
    is_t = "df" in printed or reading.statistic_is_t
    kind = "f" if {"df1", "df2"} <= set(printed) else ("t" if is_t else "z")
    if kind in printed:
        raise DataError(
            f"{where}: both 'statistic' and '{kind}' are printed, and 'statistic' would be read "
            f"as {kind}. Leave one of them empty."
        )
    return kind


def _number(name: str, text: str, column: str, how: tuple[str, Rules, Reading]) -> Printed:
    where, rules, reading = how
    with _in_field(column, where):
        number = read_printed(text, decimal=rules.decimal)
    if QUANTITIES[name].kind == "count" and not number.sign and number.unit < 1:
        raise DataError(
            f"{where}, field '{column}': {text!r} is not a whole number, but '{name}' is a count "
            f"({QUANTITIES[name].about})."
        )
    percent = name in SHARES and not number.percent
    if percent and (number.first > 1 or (reading.in_percent and number.last > 0)):
        return number.as_percent()
    return number


def _possible(name: str, number: Printed, rounding: str, reading: Reading) -> Interval | None:
    quantity = QUANTITIES[name]
    rounded = reading.rounded_df and name in ("df", "df2")
    whole_df = quantity.kind == "df" and number.is_whole and not rounded
    found = number.stands_for(rounding, exact=quantity.kind == "count" or whole_df)
    if name in ("t", "z") and number.sign == "<" and number.last >= 0:
        found = Interval(-found.high, found.high)  # "t < 2.2" speaks of its size
    return found.within(quantity.low, quantity.high)


def _box(
    numbers: Mapping[str, Printed], impossible: Mapping[str, str], rounding: str, reading: Reading
) -> dict[str, Interval]:
    return {
        name: part
        for name, number in numbers.items()
        if name not in impossible
        and (part := _possible(name, number, rounding, reading)) is not None
    }


def _why_impossible(name: str, text: str) -> str:
    quantity = QUANTITIES[name]
    limits = f"is not below {quantity.low:g}"
    if quantity.high < float("inf"):
        limits = f"lies between {quantity.low:g} and {quantity.high:g}"
    return f"{name} ({quantity.about}) {limits}; {text} is outside, however it was rounded"


def _disordered(
    numbers: Mapping[str, Printed], impossible: Mapping[str, str], owners: Sequence[str]
) -> dict[str, str]:
    """Name the limit on the wrong side: of its estimate, else the lower one."""
    limits = ("conf_low", "conf_high")
    if not all(name in numbers and name not in impossible for name in limits):
        return {}
    low, high = (numbers[name] for name in limits)
    if any(low.stands_for(how).low <= high.stands_for(how).high for how in CONVENTIONS):
        return {}
    owner = next((numbers[name].first for name in owners if name in numbers), None)
    wrong = "conf_high" if owner is not None and low.first <= owner > high.first else "conf_low"
    return {wrong: f"the lower limit {low.text} lies above the upper limit {high.text}"}


def _stars(texts: Mapping[str, str], reading: Reading, where: str) -> dict[str, Interval]:
    if "stars" not in texts:
        return {}
    with _in_field("stars", where):
        return {"stars": read_stars(texts["stars"], reading.legend)}


def _owners(cells: Mapping[str, str], texts: Mapping[str, str], where: str) -> tuple[str, ...]:
    stated = cells.get("interval_of", "").strip()
    if not stated:
        return tuple(name for name in OWNERS if name in texts)
    if stated not in OWNERS:
        raise DataError(
            f"{where}, field 'interval_of': {stated!r} cannot have an interval here. "
            f"{did_you_mean(stated, OWNERS)}"
        )
    return (stated,)


def _tests(cells: Mapping[str, str], where: str) -> int:
    text = cells.get("tests", "").strip()
    if text and not (text.isdecimal() and int(text) > 0):
        raise DataError(
            f"{where}, field 'tests': {text!r} is not a number of tests that the row's p was "
            "adjusted for; write '3', or leave it empty."
        )
    return int(text or 0)


def _relations(cells: Mapping[str, str], where: str) -> tuple[str, ...]:
    for name in (names := cells.get("relation", "").split()):
        if name not in CATALOGUE:
            raise DataError(
                f"{where}, field 'relation': there is no relation {name!r}. "
                f"{did_you_mean(name, CATALOGUE)}"
            )
    return tuple(names)
