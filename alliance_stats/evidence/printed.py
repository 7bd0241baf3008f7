"""A printed number as the set of exact numbers it can stand for.

Rounding
--------
``"nearest"``: ``.03`` stands for [.025, .035]. Both ends belong to it, because half-up, half-even
and half-down printing send one end or the other to ``.03``.
``"truncated"``: digits were cut off, so ``.03`` stands for [.03, .04], ``-.03`` for [-.04, -.03]
and ``.00`` for [-.01, .01].
``"<.001"`` stands for [0, .001] and a range ``".23 to .31"`` for all from the least to the
greatest it can mean. Counts (n, k, events) are exact.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

import numpy as np

from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError
from alliance_stats.evidence.intervals import Interval

__all__ = ["CONVENTIONS", "NO_STARS", "STAR_LEVELS", "Printed", "read_printed", "read_stars"]

CONVENTIONS = ("nearest", "truncated")

# What symbols mean where a table does not say otherwise (each is the highest level reached).
STAR_LEVELS: Mapping[str, float] = MappingProxyType(
    {"+": 0.10, "*": 0.05, "**": 0.01, "***": 0.001}
)

# How a record says that a number was printed without a star (an empty cell says: not printed).
NO_STARS = ("none", "ns", "n.s.")

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_VALUE = re.compile(rf"^(?P<sign>[<>]|<=|>=)?(?P<number>{_NUMBER})(?P<percent>%)?$")
_RANGE = re.compile(rf"^(?P<first>{_NUMBER})to(?P<last>{_NUMBER})$")
_SIGNS = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\u2264": "<",
        "\u2265": ">",
        "\u00a0": "",
        "\u2009": "",
        " ": "",
    }
)


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as printed.

    Attributes
    ----------
    text
        The text as it stood.
    first, last
        The number that was read (twice), or the two ends of a printed range.
    unit
        One unit of the last printed place: 0.01 for ``.10``, 1 for ``27``.
    sign
        ``""``, ``"<"`` or ``">"``.
    """

    text: str
    first: Decimal
    last: Decimal
    unit: Decimal
    sign: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether a single number without decimals was printed."""
        return not self.sign and self.first == self.last and self.unit >= 1

    def stands_for(self, rounding: str = "nearest", *, exact: bool = False) -> Interval:
        """Return the numbers this text can stand for under one convention of rounding.

        `exact` takes the digits as they are (counts).
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


def read_printed(text: str) -> Printed:
    """Read a printed number.

    Reads ``".10"``, ``"-1.27"`` (also with a true minus sign), ``"<.001"``, ``"1,301"``,
    ``"20.6%"`` (as .206), ``"1.2e-5"`` and ``".23 to .31"``.

    Raises
    ------
    DataError
        If the text is none of these.
    """
    plain = str(text).strip().translate(_SIGNS).removeprefix("=")
    if match := _RANGE.match(plain):
        ends = [_decimal(match["first"]), _decimal(match["last"])]
        return Printed(str(text), min(ends), max(ends), max(_unit(end) for end in ends))
    match = _VALUE.match(plain)
    if match is None:
        raise DataError(
            f"{text!r} is not a printed number. Write it as it was printed: '.10', '-1.27', "
            "'<.001', '1,301', '20.6%', or a range as '.23 to .31'."
        )
    number = _decimal(match["number"])
    unit = _unit(number)
    if match["percent"]:
        number, unit = number.scaleb(-2), unit.scaleb(-2)
    return Printed(str(text), number, number, unit, (match["sign"] or "")[:1])


def read_stars(text: str, levels: Mapping[str, float] = STAR_LEVELS) -> Interval:
    """Return the p-values that printed stars stand for, ends included.

    ``"**"`` stands for the p between the next stricter level and its own; ``"none"`` (or ``"ns"``)
    for all p from the most lenient level on.

    Raises
    ------
    DataError
        If the symbol is not among `levels`.
    """
    symbol = str(text).strip()
    if symbol.lower() in NO_STARS:
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


def _decimal(digits: str) -> Decimal:
    return Decimal(digits.replace(",", ""))


def _unit(number: Decimal) -> Decimal:
    return Decimal(1).scaleb(int(number.as_tuple().exponent))
