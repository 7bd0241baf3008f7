"""Numbers into words, in APA style. The only place in the package that rounds.

Minus signs are true minus signs (U+2212); numbers that cannot exceed 1 in absolute value (p, r)
carry no leading zero; thousands are set off by commas; a missing number is an en dash. Rounding is
half-even on the shortest decimal that represents the double, so 0.125 at two digits is 0.12 and
2.675 is 2.68. How many decimals an estimate, its standard error and its limits get is decided in
one place, :func:`write_estimate`.
"""

import html
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal, get_args

__all__ = [
    "KINDS",
    "MISSING",
    "Kind",
    "Written",
    "decimals_for",
    "decimals_needed",
    "decimals_of_spread",
    "format_alone",
    "format_bounded",
    "format_count",
    "format_df",
    "format_interval",
    "format_level",
    "format_number",
    "format_p",
    "format_percent",
    "is_blank",
    "localised",
    "p_phrase",
    "plural",
    "printable",
    "t_phrase",
    "term_parts",
    "text_table",
    "to_html",
    "to_markdown",
    "with_interval",
    "write_estimate",
]

Kind = Literal["number", "ratio", "share", "bounded", "count", "time", "p", "text"]
"""How a number is written: ``number`` 0.42, ``ratio`` 0.42 (1 is no effect), ``share`` 42.0%,
``bounded`` .42, ``count`` 1,240, ``time`` 12 or 12.50, ``p`` .042; ``text`` stands as it is."""

KINDS: tuple[Kind, ...] = get_args(Kind)

MISSING = "–"
_MINUS = "−"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_FLOATING = 1e-14  # a sum's error beside its largest term
_LARGEST_WRITTEN_OUT = 1e15  # a double's digits beyond it are not the number's
_MOST_DECIMALS = 8  # beyond, numbers are written as powers of ten
_MOST_OF_RATIOS = 4  # decimals that a small ratio may ask for
_LARGEST_OF_RATIOS = 1e6  # beyond, the decimals of a ratio's other limit say nothing of it
# A statistic's symbol is one only in front of its sign or its degrees of freedom: n = 12, t(43.2) =
_STATISTIC = re.compile(
    r"(?<![\w.])(SD|SE|df|[bdgkMNnprtUzF])(?=\([\d., ∞]+\) [=<>]| (?:[=<>]|&[lg]t;|\\[=<>]) )"
)


def format_number(value: float, digits: int = 2) -> str:
    """Return `value` with `digits` decimals: ``-0.214`` -> ``"−0.21"``; never ``"−0.00"``.

    Numbers of 10^15 and more, as a diverged fit gives them, read ``"1.50 × 10²⁰"``; where more
    than eight decimals are asked for, small ones read ``"2.10 × 10⁻¹⁰"``.
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if abs(value) >= _LARGEST_WRITTEN_OUT:
        mantissa, exponent = f"{abs(value):.{digits}e}".split("e+")
        sign = _MINUS if value < 0 else ""
        return f"{sign}{mantissa} × 10{exponent.translate(_SUPERSCRIPTS)}"
    if digits > _MOST_DECIMALS:
        if 0.0 < abs(value) < 1e-3:
            mantissa, exponent = f"{abs(value):.2e}".split("e-")
            sign = _MINUS if value < 0 else ""
            return f"{sign}{mantissa} × 10⁻{exponent.lstrip('0').translate(_SUPERSCRIPTS)}"
        digits = 4
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    text = f"{abs(rounded):,f}"
    return f"{_MINUS}{text}" if rounded < 0 else text


def decimals_needed(
    values: Sequence[float], *, null: float = 0.0, at_least: int = 2, at_most: int = 6
) -> int:
    """Return how many decimals an estimate and its limits need.

    Never so few that a value that is not `null` prints as `null`: an interval that ends at 0.004
    shall not end at 0.00. One that floating point alone keeps from `null`, beside the largest of
    them, is `null`.
    """
    digits = at_least
    finite = [abs(value) for value in (*values, null) if math.isfinite(value)]
    others = [value for value in values if abs(value - null) > _FLOATING * max(finite)]
    while digits < at_most and any(
        format_number(value, digits) == format_number(null, digits) for value in others
    ):
        digits += 1
    return digits


def decimals_of_spread(value: float) -> int:
    """Return how many decimals show two digits of a standard deviation; none from 1,000 on."""
    if not math.isfinite(value) or value <= 0.0:
        return 2
    at_least = 2 if value < 100.0 else 1 if value < 1000.0 else 0
    return max(at_least, 1 - math.floor(math.log10(value)))


def format_bounded(value: float, digits: int = 2) -> str:
    """Return a number that cannot exceed 1 (p, r, a proportion): ``0.34`` -> ``".34"``."""
    text = format_number(value, digits)
    return text.replace("0.", ".", 1) if text.lstrip(_MINUS).startswith("0.") else text


def format_p(p_value: float) -> str:
    """Return a p-value as tables print it: ``"< .001"`` or three decimals, ``".034"``."""
    if math.isnan(p_value):
        return MISSING
    if p_value < 0.001:
        return "< .001"
    if p_value > 0.999:
        return "> .999"
    return format_bounded(p_value, 3)


def p_phrase(p_value: float) -> str:
    """Return a p-value as a sentence prints it: ``"p = .034"`` or ``"p < .001"``."""
    text = format_p(p_value)
    return f"p {text}" if text[0] in "<>" else f"p = {text}"


def format_interval(low: float, high: float, digits: int = 2) -> str:
    """Return ``"[0.12, 0.30]"``."""
    return f"[{format_number(low, digits)}, {format_number(high, digits)}]"


def format_df(df: float) -> str:
    """Return degrees of freedom: whole ones without decimals, others with one."""
    if math.isfinite(df) and float(df).is_integer():
        return str(int(df))
    return format_number(df, 1)


def t_phrase(statistic: float, df: float, p_value: float) -> str:
    """Return ``"t(43.2) = 4.61, p < .001"``, or ``"z = ..."`` where `df` is infinite."""
    name = "z" if math.isinf(df) else f"t({format_df(df)})"
    return f"{name} = {format_number(statistic)}, {p_phrase(p_value)}"


def format_count(value: float) -> str:
    """Return a whole number with thousands separated: ``6000`` -> ``"6,000"``."""
    if not math.isfinite(value):
        return format_number(value)
    return f"{int(value):,}".replace("-", _MINUS)


@dataclass(frozen=True, slots=True)
class Written:
    """An estimate in print, its standard error and its interval; what there is not is ``"–"``."""

    estimate: str
    std_error: str
    interval: str


def write_estimate(
    estimate: float,
    low: float = math.nan,
    high: float = math.nan,
    *,
    std_error: float = math.nan,
    kind: Kind = "number",
    decimal: str = ".",
    at_least: int = 0,
) -> Written:
    """Write an estimate with its interval, all with the decimals that the interval needs.

    Numbers show the first digit of their standard error (where there is none, of half the
    interval's width), two decimals at least where that is below 100; bounded numbers and those
    that stand alone show two digits. No limit prints as a null value that it is not: 0.004
    is never 0.00. A ratio that four decimals do not show asks for none and reads ``"< 0.01"``.

    Parameters
    ----------
    estimate, low, high, std_error
        Missing (nan) where there is none. Shares from 0 to 1.
    kind
        See :data:`Kind`.
    decimal
        The decimal sign, ``"."`` or ``","``; with a comma, limits are parted by a semicolon.
    at_least
        Least number of decimals.
    """
    if kind == "ratio":
        estimate, low, high = _not_zero(estimate, low, high)
    std_error = _without_dust(std_error, (estimate, low, high))
    scaled = 100.0 if kind == "share" else 1.0
    numbers = [scaled * value for value in (estimate, low, high)]
    digits = max(at_least, decimals_for(estimate, low, high, std_error=std_error, kind=kind))
    point, first, last, error = (
        localised(_write(value, digits, kind), decimal) for value in (*numbers, scaled * std_error)
    )
    parted = ", " if decimal == "." else "; "
    if math.isnan(low) and math.isnan(high):
        return Written(point, error, MISSING)
    return Written(point, error, f"[{first}{parted}{last}]")


def _not_zero(estimate: float, low: float, high: float) -> tuple[float, float, float]:
    """Return an exponential too small for a double as the smallest double: it is no zero.

    A ratio of counts can be 0, with a lower limit of 0 and a finite upper one.
    """
    if estimate == low == 0.0:
        least = math.ulp(0.0)
        if high == 0.0:
            return least, least, least
        if high == math.inf:
            return least, low, high
    return estimate, low, high


def _without_dust(spread: float, values: Sequence[float]) -> float:
    """Return a standard error or a width, 0 where floating point alone makes it."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 0.0 if 0.0 < spread <= _FLOATING * largest else spread


def decimals_for(
    estimate: float, low: float, high: float, *, std_error: float = math.nan, kind: Kind = "number"
) -> int:
    """Return how many decimals an estimate, its limits and its standard error share in print.

    Of a share, the decimals of its percentage. See :func:`write_estimate` for the rule.
    """
    scaled = 100.0 if kind == "share" else 1.0
    numbers = [scaled * value for value in (estimate, low, high)]
    estimate, low, high = numbers
    std_error = scaled * std_error
    whole = all(float(x).is_integer() for x in numbers if math.isfinite(x))
    if kind in ("count", "time") and whole:
        return 0
    spread = std_error if math.isfinite(std_error) and std_error > 0.0 else (high - low) / 2.0
    spread = _without_dust(spread, numbers)
    alone = not (math.isfinite(spread) and spread > 0.0)
    if alone:
        spread = abs(estimate)
    two = kind == "bounded" or (alone and kind != "share")
    needed = _first_digit(spread) + (1 if two else 0)
    if kind in ("number", "count", "time"):
        # numbers in the thousands and more need no decimals
        least = 2 if spread < 100 or not math.isfinite(spread) else 1 if spread < 1000 else 0
        digits = max(least, needed)
        return decimals_needed(numbers, at_least=digits, at_most=max(6, digits + 2))
    if kind == "ratio":
        known = [x for x in numbers if math.isfinite(x) and x > 0.0]
        shown = [10.0**-_MOST_OF_RATIOS <= max(x, estimate) < math.inf for x in (low, high)]
        apart = [abs(x - estimate) for x, seen in zip((low, high), shown, strict=True) if seen]
        digits = max(
            0 if known and min(known) >= 100 else 2,
            max((d for d in map(_first_digit, known) if d <= _MOST_OF_RATIOS), default=0),
            min(6, max(map(_first_digit, apart), default=0)),
        )
        return decimals_needed(numbers, null=1.0, at_least=digits)
    least, most = (1, 3) if kind == "share" else (2, 4)
    digits = max(least, min(most, needed))
    top = 100.0 if kind == "share" else 1.0
    for null in (0.0, top):
        digits = decimals_needed(numbers, null=null, at_least=digits, at_most=most + 1)
    return digits


def _first_digit(value: float) -> int:
    """Return the decimal place of a number's first digit: 0.034 -> 2, 34 -> 0 and below none."""
    if not math.isfinite(value) or value == 0.0:
        return 0
    return max(0, -math.floor(math.log10(abs(value))))


def _write(value: float, digits: int, kind: Kind) -> str:
    if math.isnan(value):
        return "not reached" if kind == "time" else MISSING
    if kind == "count" and float(value).is_integer():
        return format_count(value)
    if kind == "share":
        return f"{format_number(value, digits)}%"
    if kind == "bounded":
        return format_bounded(value, digits)
    if kind == "ratio" and digits > 0 and _LARGEST_OF_RATIOS <= value < math.inf:
        mantissa, exponent = f"{value:.{digits}e}".split("e+")
        return f"{mantissa} × 10{exponent.lstrip('0').translate(_SUPERSCRIPTS)}"
    text = format_number(value, digits)
    if kind == "ratio" and value > 0.0 and not text.strip("0."):
        return f"< 0.{'0' * (digits - 1)}1"
    return text


def with_interval(
    estimate: float, low: float, high: float, *, std_error: float = math.nan, kind: Kind = "number"
) -> str:
    """Return ``"0.21 [0.12, 0.30]"``, or the estimate alone where there is no interval."""
    found = write_estimate(estimate, low, high, std_error=std_error, kind=kind)
    return found.estimate if found.interval == MISSING else f"{found.estimate} {found.interval}"


def format_alone(value: float, kind: Kind = "number") -> str:
    """Return a number that stands without an interval, with two digits at least."""
    return write_estimate(value, kind=kind).estimate


def localised(number: str, decimal: str) -> str:
    """Return a number in print with another decimal sign: ``"1,240.5"`` -> ``"1.240,5"``."""
    if decimal == ".":
        return number
    if decimal != ",":
        raise ValueError(f"decimal must be '.' or ','; got {decimal!r}.")
    text = number.translate(str.maketrans(".,", ",."))
    return re.sub(r"(?<!\d),(?=\d)", "0,", text)  # .042 has its zero again


_SPACES = re.compile(r"[ \t\n\r\f\v\x85\u2028\u2029]+")
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def printable(text: object) -> str:
    """Return text in one line without characters that steer a terminal or break a page.

    Line breaks and tabs become spaces; control characters (an ESC, a NUL), characters that turn
    the direction of writing and those that are none become U+FFFD, so that nothing is hidden.
    """
    return _in_one_line(text).strip(" ")


def _in_one_line(text: object) -> str:
    """Return the same with the spaces at its ends, which part it from what stands beside it."""
    line = _SPACES.sub(" ", str(text))
    if line.isascii() and line.isprintable():
        return line
    return "".join("\ufffd" if _steers(sign) else sign for sign in line)


def _steers(sign: str) -> bool:
    if unicodedata.category(sign) in ("Cc", "Cs") or sign in _TURNING:
        return True
    return ord(sign) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(sign) <= 0xFDEF


def is_blank(text: str) -> bool:
    """Say whether nothing of a text can be seen: spaces, or characters without any width."""
    unseen = ("Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Mn", "Me")
    return all(unicodedata.category(sign) in unseen for sign in text)


def format_percent(proportion: float, digits: int = 0) -> str:
    """Return a proportion as a percentage: ``0.197`` at one digit -> ``"19.7%"``."""
    if math.isnan(proportion):
        return MISSING
    return f"{format_number(100.0 * proportion, digits)}%"


def format_level(conf_level: float) -> str:
    """Return a level with up to three decimals: ``"95%"``, ``"97.5%"``, ``"98.333%"``."""
    percent = Decimal(repr(round(100 * float(conf_level), 3)))
    return f"{percent.normalize():f}%"


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """Return ``"1 family"`` or ``"1,240 families"``."""
    word = noun if count == 1 else (plural_noun or f"{noun}s")
    return f"{format_count(count)} {word}"


def to_html(text: str, *, italics: bool = False) -> str:
    """Return plain text as HTML: special signs escaped and, on wish, statistics in italics.

    With `italics`, ``"p < .001"`` becomes ``"<em>p</em> &lt; .001"``.
    """
    escaped = html.escape(_in_one_line(text))
    return _STATISTIC.sub(r"<em>\1</em>", escaped) if italics else escaped


def to_markdown(text: str) -> str:
    r"""Return plain text as Pandoc Markdown: special signs escaped, statistics in italics.

    ``"p < .001"`` becomes ``"*p* \\< .001"``; an ``@`` in a name does not become a citation, and
    no text opens a list, a heading, a rule or a div.
    """
    escaped = re.sub(r"([\\`*_{}\[\]<>#$@^~|])", r"\\\1", _in_one_line(text))
    escaped = re.sub(r"-(?=-)|\.(?=\.\.)", r"\\\g<0>", escaped)
    escaped = _OPENS_BLOCK.sub(_not_opened, escaped)
    return _STATISTIC.sub(r"*\1*", escaped)


# What begins a list, a div or a definition at the start of a line: "- ", "1. ", "(a) ", ":::"
_OPENS_BLOCK = re.compile(
    r"^(?P<sign>[-+:])|"
    r"^(?P<number>\(?(?:\d+|[A-Za-z]|[ivxlcdmIVXLCDM]+))(?P<point>[.)])(?=\s|$)"
)


_TERM_PARTS = re.compile(r"(?:`[^`]*`|\[[^]]*\]|:(?=\s)|[^:`[])+")  # "a: b" are words, no product
_LEVEL = re.compile(r"(?P<name>.+?)\[(?:T\.)?(?P<level>[^]]*)\]")


def _not_opened(found: re.Match[str]) -> str:
    return f"{found['number'] or ''}\\{found['sign'] or found['point']}"


def term_parts(term: str) -> list[tuple[str, ...]]:
    """Return what a coefficient's name is made of, without the formula's signs.

    ``"session:role[T.father]"`` -> ``[("session",), ("role", "father")]``; ``"`bdi pre`"`` ->
    ``[("bdi pre",)]``.
    """
    parts: list[tuple[str, ...]] = []
    for part in _TERM_PARTS.findall(term):
        found = _LEVEL.fullmatch(part)
        coded = found and (found["name"].startswith("C(") or "(" not in found["name"])
        name, *level = found.group("name", "level") if found and coded else (part,)
        if level and name.startswith("C(") and name.endswith(")"):
            name = name[2:-1]
        parts.append((name.replace("`", ""), *level))
    return parts


def text_table(header: Sequence[object], rows: Sequence[Sequence[str]]) -> str:
    """Set cells in aligned columns: the first flush left, the others flush right."""
    lines = [list(map(str, header)), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
