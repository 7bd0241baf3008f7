"""A printed number as the set of exact numbers it can represent, and a cell as printed numbers.

Rounding
--------
``"nearest"``: ``.03`` stands for [.025, .035]. Both ends belong to it, because half-up, half-even
and half-down printing send one end or the other to ``.03``.
``"truncated"``: digits were cut off, so ``.03`` stands for [.03, .04], ``-.03`` for [-.04, -.03]
and ``.00`` for [-.01, .01].
``"<.001"`` stands for [0, .001] and a range ``".23 to .31"`` for all values from the least to the
greatest possible. Counts (n, k, events) are exact.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

import numpy as np

from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError
from alliance_stats.evidence.printed.relation import Interval

__all__ = [
    "CONVENTIONS",
    "DECIMALS",
    "LEGENDS",
    "NO_STARS",
    "SHARES",
    "STAR_LEVELS",
    "Printed",
    "admissible_legends",
    "limits_in_percent",
    "maybe_percent",
    "read_cell",
    "read_printed",
    "read_stars",
]

CONVENTIONS = ("nearest", "truncated")
DECIMALS = (".", ",")
# Quantities that may be printed in per cent.
SHARES = ("i_squared", "r_squared", "proportion", "proportion1", "proportion2")

# What symbols mean where a table does not say otherwise (each is the highest level reached).
STAR_LEVELS: Mapping[str, float] = MappingProxyType(
    {"+": 0.10, "*": 0.05, "**": 0.01, "***": 0.001}
)
# Legends in use, the usual first; one is admissible for a table if it holds all its symbols.
_WITHOUT_PLUS = {name: level for name, level in STAR_LEVELS.items() if name != "+"}
LEGENDS: tuple[Mapping[str, float], ...] = (
    _WITHOUT_PLUS,
    STAR_LEVELS,
    {"*": 0.05, "**": 0.01},
    {"+": 0.10, "*": 0.05, "**": 0.01},
    {"*": 0.05},
    {"+": 0.10, "*": 0.05},
    {**_WITHOUT_PLUS, "****": 0.0001},
    {**STAR_LEVELS, "****": 0.0001},
    {"*": 0.10, "**": 0.05, "***": 0.01},
    {"*": 0.01},
    {"*": 0.05, "**": 0.001},
)

# How a record says that a number was printed without a star (an empty cell says: not printed).
NO_STARS = ("none", "ns", "n.s.", "n.s")
# What stands in a cell in which no number was printed.
NOTHING = frozenset(
    (
        *("", "-", "\u2013", "\u2014", "\u2212", "--", ".", "...", "\u2026", "na", "n/a", "n.a."),
        *("n.a", "nr", "n.r.", "<na>", "not reported", "not printed"),
    )
)
_NS_LEVEL = "0.05"

_NUMBER = r"[-+]?(?:[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_VALUE = re.compile(rf"^(?P<sign><=|>=|[<>])?\s*(?P<number>{_NUMBER})\s*(?P<percent>%)?$")
_RANGE = re.compile(rf"^(?P<first>{_NUMBER})\s*to\s*(?P<last>{_NUMBER})$")
_MINUS = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_SIGNS = str.maketrans(
    dict.fromkeys(_MINUS, "-")
    | {"\u2264": "<", "\u2265": ">", "\uff1c": "<", "\uff1e": ">", "\uff05": "%"}
)
_MIDDLE_POINT = re.compile(r"(?<!\d)(\d*)[\u00b7\u2219\u22c5](?=\d)")  # 2\u00b731 in the Lancet
_RAISED = dict(
    zip(
        map(ord, "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b"),
        "0123456789-",
        strict=True,
    )
)
_TIMES_TEN = re.compile(
    rf"(?<=\d)\s*[x\u00d7\u00b7\u22c5]\s*10\s*"
    rf"(?:\^?\s*([+{_MINUS}-]?\d+)|(\u207b?[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]+))$"
)
# Letters that refer to a note below the table, as in 2.31a; e may be an exponent.
_NOTE_LETTERS = re.compile(
    r"(?<=[\d.%])\s?(?:[a-df-h](?:,\s?[a-df-h])*|[\u1d43\u1d47\u1d48\u1d9c\u1da0\u1d4d\u02b0]+)$"
)
_THIN = "\u00a0\u2009\u202f"
_THOUSANDS_BLANK = re.compile(rf"(?<=\d)[{_THIN}](?=\d{{3}}(?!\d))")
_AFTER_SIGN = re.compile(r"(?<![\d.,)%])([-+])\s+(?=[\d.,])")
_DASH_RANGE = re.compile(r"(?<=[\d.])\s*\u2013\s*(?=[\d.])")
_COMMA_GROUPS = re.compile(r"^[-+]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d*)?$")


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as printed.

    Attributes
    ----------
    text
        The original text.
    first, last
        The number that was read (twice), or the two ends of a printed range.
    unit
        One unit of the last printed place: 0.01 for ``.10``, 1 for ``27``.
    sign
        ``""``, ``"<"`` or ``">"``.
    percent
        Whether a percent sign was printed (the number is then the share).
    """

    text: str
    first: Decimal
    last: Decimal
    unit: Decimal
    sign: str = ""
    percent: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether a single number without decimals was printed."""
        return not self.sign and self.first == self.last and self.unit >= 1

    def as_percent(self) -> "Printed":
        """Return the share that the number represents as a percentage."""
        first, last, unit = (part.scaleb(-2) for part in (self.first, self.last, self.unit))
        return replace(self, first=first, last=last, unit=unit, percent=True)

    def stands_for(self, rounding: str = "nearest", *, exact: bool = False) -> Interval:
        """Return the numbers that this text can represent under one convention of rounding.

        `exact` takes the digits literally (counts).
        """
        check_choice(rounding, CONVENTIONS, name="rounding")
        if self.sign == "<":
            return Interval(-np.inf, float(self.last))
        if self.sign == ">":
            return Interval(float(self.first), np.inf)
        if exact:
            return Interval(float(self.first), float(self.last))
        down, up = (
            (self.unit / 2, self.unit / 2)
            if rounding == "nearest"
            else (
                self.unit if self.first <= 0 else Decimal(0),
                self.unit if self.last >= 0 else Decimal(0),
            )
        )
        return Interval(float(self.first - down), float(self.last + up))


def maybe_percent(name: str, text: str, *, decimal: str) -> bool:
    """Say whether a share without a percent sign could be meant as one (.8 for 0.8%)."""
    if name not in SHARES or "%" in text:
        return False
    with suppress(DataError):
        return 0 < read_printed(text, decimal=decimal).last <= 1
    return False


def limits_in_percent(numbers: Mapping[str, Printed], owners: Sequence[str]) -> dict[str, Printed]:
    """Return limits in per cent as shares, where they can only be those of a proportion.

    They are in per cent where one is above 1, or where the proportion is, without a sign.
    """
    limits = {name: numbers[name] for name in ("conf_low", "conf_high") if name in numbers}
    if [name for name in owners if name in numbers] != ["proportion"]:
        return {}
    share = numbers["proportion"]
    unsigned = share.percent and "%" not in share.text
    if not unsigned and not any(limit.last > 1 for limit in limits.values()):
        return {}
    return {n: limit if limit.percent else limit.as_percent() for n, limit in limits.items()}


def read_printed(text: str, *, decimal: str = ".") -> Printed:
    """Read a printed number.

    Reads ``".10"``, ``"-1.27"`` (with any of the signs that print as a minus), ``"<.001"``,
    ``"1,301"``, ``"20.6%"`` (as .206), ``"1.2e-5"`` and ``"1.2 x 10^-5"``, ``".23 to .31"``, a
    point at half height as in the Lancet, and ``"2.31a"`` without the letter of its note; with
    ``decimal=","`` ``"0,42"`` and ``"1.301,5"``.

    Raises
    ------
    DataError
        If the text is none of these; a number with blanks between its digits is not read.
    """
    plain = _plain(str(text), decimal)
    if match := _RANGE.match(plain):
        ends = [_decimal(match["first"]), _decimal(match["last"])]
        return Printed(str(text), min(ends), max(ends), max(_unit(end) for end in ends))
    match = _VALUE.match(plain)
    if match is None:
        comma = decimal == "." and re.search(r"\d,\d", str(text)) is not None
        way = " If the comma is a decimal sign, say decimal=','." if comma else ""
        raise DataError(
            f"{text!r} is not a printed number. Write it as it was printed: '.10', '-1.27', "
            f"'<.001', '1,301', '20.6%', or a range as '.23 to .31'.{way}"
        )
    number = _decimal(match["number"])
    found = Printed(str(text), number, number, _unit(number), (match["sign"] or "")[:1])
    return found.as_percent() if match["percent"] else found


def _plain(text: str, decimal: str) -> str:
    """Return a text with plain signs, and a point for the decimal sign."""
    plain = _TIMES_TEN.sub(_exponent, _NOTE_LETTERS.sub("", text.strip()))
    plain = _THOUSANDS_BLANK.sub("", plain)
    plain = _MIDDLE_POINT.sub(rf"\1{decimal}", plain)
    plain = _DASH_RANGE.sub(" to ", plain).translate(_SIGNS)
    plain = re.sub(rf"[{_THIN}]", " ", plain).removeprefix("=").strip()
    plain = _AFTER_SIGN.sub(r"\1", plain)
    return plain if decimal == "." else " ".join(map(_point, plain.split()))


def _exponent(match: re.Match[str]) -> str:
    return "e" + (match[1] or match[2].translate(_RAISED)).translate(_SIGNS)


def _point(word: str) -> str:
    """Turn a decimal comma into a point; a lone point is then not a decimal sign."""
    match = re.match(r"^([<>]?=?)(.*?)(%?)$", word)
    assert match is not None  # each part may be empty
    sign, number, percent = match.groups()
    if _COMMA_GROUPS.match(number):
        number = number.replace(".", "")
    elif "." in number:
        return word.replace(".", ",")  # no number: refused as printed
    return f"{sign}{number.replace(',', '.')}{percent}"


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", ""))


def _unit(number: Decimal) -> Decimal:
    return Decimal(1).scaleb(int(number.as_tuple().exponent))


# --- stars ---------------------------------------------------------------------------------------


def read_stars(text: str, levels: Mapping[str, float] = STAR_LEVELS) -> Interval:
    """Return the p-values that printed stars denote, ends included.

    ``"**"`` denotes the p between the next stricter level and its own; ``"none"`` (or ``"ns"``)
    for all p from the most lenient level on.

    Raises
    ------
    DataError
        If the symbol is not among `levels`.
    """
    symbol = star_symbol(text)
    if symbol in NO_STARS:
        return Interval(max(levels.values()), 1.0)
    if symbol not in levels:
        listed = ", ".join(f"'{known}' (p < {level})" for known, level in levels.items())
        raise DataError(
            f"{text!r} is not a known significance symbol. Known: {listed}, and 'none' for a "
            "number printed without one."
        )
    level = levels[symbol]
    stricter = [other for other in levels.values() if other < level]
    return Interval(max(stricter, default=0.0), level)


def star_symbol(text: str) -> str:
    """Return a significance symbol as legends write it."""
    return str(text).strip().lower().replace("\u2020", "+").replace("\u2217", "*")


def admissible_legends(symbols: set[str]) -> tuple[Mapping[str, float], ...]:
    """Return the legends that hold all symbols of a table; the widest known where none does."""
    used = {star_symbol(symbol) for symbol in symbols} - set(NO_STARS)
    fitting = tuple(legend for legend in LEGENDS if used <= set(legend))
    return fitting or (STAR_LEVELS,)


# --- cells ---------------------------------------------------------------------------------------

# `t(28) = 2.20`, `F(1, 96) = 5.05`, `p = .02`
_PREFIX = re.compile(r"^[^\W\d_]+[\u00b22]?\s*(?:\((?P<df>[^()]*)\))?\s*(?=[=<>\u2264\u2265])")
_CELL = re.compile(
    r"^(?P<main>[^()\[\]]*?)\s*(?P<stars>[*\u2217]+|[+\u2020])?\s*"
    r"(?:[(\[](?P<inside>[^()\[\]]*)[)\]]\s*(?P<late>[*\u2217]+|[+\u2020])?)?$"
)
_BRACKETED = re.compile(r"^\((?P<inside>[^()\[\],;]+)\)\s*(?P<stars>[*\u2217]*)$")
# what one number in parentheses is, by the column of the number before it
COMPANIONS: Mapping[str, str] = MappingProxyType(
    {
        "estimate": "std_error",
        "d": "std_error",
        "g": "std_error",
        "mean": "sd",
        "mean1": "sd1",
        "mean2": "sd2",
        "t": "df",
        "events": "proportion",
        "events1": "proportion1",
        "events2": "proportion2",
    }
)
_WITH_INTERVAL = (
    ("estimate", "r", "d", "g", "odds_ratio", "hazard_ratio", "exp_b", "mean", "proportion")
)  # fmt: skip


def read_cell(name: str, text: str, *, decimal: str = ".") -> dict[str, str]:
    """Return the printed numbers in a cell of the column `name`, by quantity.

    Empty where nothing was printed (``"NA"``, ``"-"``). ``".036*"`` is a number and its stars,
    ``"0.42 (0.15)"`` a number with its companion, ``"t(28) = 2.20"`` a t with its df.

    Raises
    ------
    DataError
        If a part of the cell is not a number, or the text in parentheses has no known meaning.
    """
    plain = text.strip()
    if plain.lower() in NOTHING:
        return {}
    if name == "stars":
        return {"stars": plain}
    if plain.lower() in NO_STARS:
        return {"p_value": f">{_NS_LEVEL}".replace(".", decimal)} if name == "p_value" else {}
    found: dict[str, str] = {}
    if match := _PREFIX.match(plain):
        found |= _df_of(match["df"])
        plain = plain[match.end() :].removeprefix("=").strip()
    if match := _BRACKETED.match(plain):  # a standard error or df below its estimate
        plain = match["inside"] + match["stars"]
    match = _CELL.match(plain)
    if match is None:
        return found | {name: plain}
    stars = match["stars"] or match["late"]
    if name == "p_value" and not match["main"] and stars:
        return found | {"stars": stars}
    found |= {"stars": stars} if stars else {}
    found[name] = match["main"].strip()
    if match["inside"] is not None:
        found |= _inside(name, match["inside"].strip(), text, decimal)
    return found


def _df_of(inside: str | None) -> dict[str, str]:
    parts = [part.strip() for part in (inside or "").split(",") if part.strip()]
    sizes = [part for part in parts if "=" in part]
    plain = [part for part in parts if "=" not in part]
    found = {"n": sizes[0].split("=")[1].strip()} if sizes else {}
    if len(plain) == 2:
        return found | {"df1": plain[0], "df2": plain[1]}
    return found | ({"df": plain[0]} if plain else {})


def _inside(name: str, inside: str, text: str, decimal: str) -> dict[str, str]:
    comma = ",\\s+" if decimal == "," else ","
    parts = [p for p in re.split(rf"\s*(?:;|{comma}|\bto\b|\u2013)\s*|\s+-\s+", inside) if p]
    if len(parts) == 2 and name in _WITH_INTERVAL:
        return {"conf_low": parts[0], "conf_high": parts[1]}
    if len(parts) == 1 and name in COMPANIONS:
        return {COMPANIONS[name]: parts[0]}
    raise DataError(
        f"what is in parentheses in {text!r} has no known meaning beside '{name}'. Give it a "
        "column of its own."
    )
