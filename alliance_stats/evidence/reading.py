"""From a row of a table to the printed numbers in it, each with what it stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.evidence.catalogue import CATALOGUE, Box, Setting
from alliance_stats.evidence.intervals import Interval
from alliance_stats.evidence.printed import CONVENTIONS, Printed, read_printed, read_stars
from alliance_stats.evidence.quantities import QUANTITIES

__all__ = ["OWNERS", "PrintedRow", "read_row"]

# What an interval in a row can be the interval of.
OWNERS = ("estimate", "r", "d", "g", "odds_ratio", "hazard_ratio", "exp_b")


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """The printed numbers of one row.

    Attributes
    ----------
    texts
        Quantity -> the text as printed. `statistic` goes by the name it was resolved to.
    shown
        Quantity -> the column it stood in.
    numbers
        Quantity -> the number that was read; `stars` are not here.
    boxes
        Convention of rounding -> quantity -> what each possible printed number stands for (for
        `stars`: the p-values they mean).
    impossible
        Quantity -> why its printed number cannot be what it is called.
    setting
        Coverage of the row's interval and tails of its p.
    interval_of
        The quantities that the row's interval may belong to.
    relations
        Names of the relations to check; empty for all.
    """

    texts: Mapping[str, str]
    shown: Mapping[str, str]
    numbers: Mapping[str, Printed]
    boxes: Mapping[str, Box]
    impossible: Mapping[str, str]
    setting: Setting
    interval_of: tuple[str, ...]
    relations: tuple[str, ...]


def read_row(
    cells: Mapping[str, str], *, where: str, setting: Setting, star_levels: Mapping[str, float]
) -> PrintedRow:
    """Read the cells of a row; empty ones are not printed.

    Raises
    ------
    DataError
        If a cell is not a printed number, or a setting is not one; `where` opens the message.
    """
    printed = {name: text for name, text in cells.items() if name in QUANTITIES and text.strip()}
    shown = {_resolved(name, printed, where): name for name in printed}
    texts = {name: printed[column] for name, column in shown.items()}
    numbers = {name: _number(name, text, where) for name, text in texts.items() if name != "stars"}
    impossible = {
        name: _why_impossible(name, text)
        for name, text in texts.items()
        if name in numbers and _possible(name, numbers[name], "nearest") is None
    }
    impossible |= _disordered(numbers, impossible)
    stars = _stars(texts, star_levels, where)
    return PrintedRow(
        texts=texts,
        shown=shown,
        numbers=numbers,
        boxes={name: {**_box(numbers, impossible, name), **stars} for name in CONVENTIONS},
        impossible=impossible,
        setting=_setting(cells, setting, where),
        interval_of=_owners(cells, texts, where),
        relations=_relations(cells, where),
    )


def _resolved(name: str, printed: Mapping[str, str], where: str) -> str:
    """Give `statistic` its kind: F with df1 and df2, t with df, else z."""
    if name != "statistic":
        return name
    is_f = "df1" in printed and "df2" in printed
    kind = "f" if is_f else ("t" if "df" in printed else "z")
    if kind in printed:
        raise DataError(
            f"{where}: both 'statistic' and '{kind}' are printed, and 'statistic' would be read "
            f"as {kind}. Leave one of them empty."
        )
    return kind


def _number(name: str, text: str, where: str) -> Printed:
    try:
        number = read_printed(text)
    except DataError as error:
        raise DataError(f"{where}, field '{name}': {error}") from None
    if QUANTITIES[name].kind == "count" and not number.sign and number.unit < 1:
        raise DataError(
            f"{where}, field '{name}': {text!r} is not a whole number, but '{name}' is a count "
            f"({QUANTITIES[name].about})."
        )
    return number


def _possible(name: str, number: Printed, rounding: str) -> Interval | None:
    quantity = QUANTITIES[name]
    exact = quantity.kind == "count" or (quantity.kind == "df" and number.is_whole)
    return number.stands_for(rounding, exact=exact).within(quantity.low, quantity.high)


def _box(
    numbers: Mapping[str, Printed], impossible: Mapping[str, str], rounding: str
) -> dict[str, Interval]:
    return {
        name: part
        for name, number in numbers.items()
        if name not in impossible and (part := _possible(name, number, rounding)) is not None
    }


def _why_impossible(name: str, text: str) -> str:
    quantity = QUANTITIES[name]
    limits = (
        f"lies between {quantity.low:g} and {quantity.high:g}"
        if quantity.high < float("inf")
        else f"is not below {quantity.low:g}"
    )
    return f"{name} ({quantity.about}) {limits}; {text} is outside, however it was rounded"


def _disordered(numbers: Mapping[str, Printed], impossible: Mapping[str, str]) -> dict[str, str]:
    limits = ("conf_low", "conf_high")
    if not all(name in numbers and name not in impossible for name in limits):
        return {}
    low, high = (numbers[name] for name in limits)
    if any(low.stands_for(how).low <= high.stands_for(how).high for how in CONVENTIONS):
        return {}
    reason = f"the lower limit {low.text} lies above the upper limit {high.text}"
    return dict.fromkeys(limits, reason)


def _stars(
    texts: Mapping[str, str], levels: Mapping[str, float], where: str
) -> dict[str, Interval]:
    if "stars" not in texts:
        return {}
    try:
        return {"stars": read_stars(texts["stars"], levels)}
    except DataError as error:
        raise DataError(f"{where}, field 'stars': {error}") from None


def _setting(cells: Mapping[str, str], setting: Setting, where: str) -> Setting:
    tails = cells.get("tails", "").strip() or setting.tails
    if tails not in ("one", "two"):
        raise DataError(f"{where}, field 'tails': must be 'one' or 'two'; got {tails!r}.")
    text = cells.get("conf_level", "").strip()
    if not text:
        return Setting(setting.conf_level, tails)
    try:
        level = float(read_printed(text).first)
    except DataError as error:
        raise DataError(f"{where}, field 'conf_level': {error}") from None
    if not 0.0 < level < 1.0:
        raise DataError(
            f"{where}, field 'conf_level': {text!r} is not a coverage between 0 and 1; "
            "write '.95' or '95%'."
        )
    return Setting(level, tails)


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


def _relations(cells: Mapping[str, str], where: str) -> tuple[str, ...]:
    names: Sequence[str] = cells.get("relation", "").split()
    for name in names:
        if name not in CATALOGUE:
            raise DataError(
                f"{where}, field 'relation': there is no relation {name!r}. "
                f"{did_you_mean(name, CATALOGUE)}"
            )
    return tuple(names)


def cells_of(row: "pd.Series[str]") -> dict[str, str]:
    """Return the cells of a frame's row as text, missing ones empty."""
    return {str(name): "" if pd.isna(value) else str(value) for name, value in row.items()}
