"""Numbers into words, in APA style. The only place in the package that rounds.

Minus signs are true minus signs (U+2212); numbers that cannot exceed 1 in absolute value (p, r)
carry no leading zero; a missing number is an en dash. Rounding is half-even on the shortest decimal
that represents the double, so 0.125 at two digits is 0.12 and 2.675 is 2.68.
"""

import html
import math
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

__all__ = [
    "MISSING",
    "decimals_needed",
    "decimals_of_spread",
    "format_bounded",
    "format_count",
    "format_df",
    "format_interval",
    "format_level",
    "format_number",
    "format_p",
    "format_percent",
    "p_phrase",
    "plural",
    "t_phrase",
    "text_table",
    "to_html",
    "to_markdown",
]

MISSING = "–"
_MINUS = "−"
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_FLOATING = 1e-14  # a sum's error beside its largest term
_LARGEST_WRITTEN_OUT = 1e15  # a double's digits beyond it are not the number's
# A statistic's symbol is one only in front of its sign or its degrees of freedom: n = 12, t(43.2) =
_STATISTIC = re.compile(
    r"(?<![\w.])(SD|SE|df|[bdgkMNnprtUzF])(?=\([\d., ∞]+\) [=<>]| (?:[=<>]|&[lg]t;|\\[=<>]) )"
)


def format_number(value: float, digits: int = 2) -> str:
    """Return `value` with `digits` decimals: ``-0.214`` -> ``"−0.21"``; never ``"−0.00"``.

    Numbers of 10^15 and more, as a diverged fit gives them, read ``"1.50 × 10²⁰"``.
    """
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if abs(value) >= _LARGEST_WRITTEN_OUT:
        mantissa, exponent = f"{abs(value):.{digits}e}".split("e+")
        sign = _MINUS if value < 0 else ""
        return f"{sign}{mantissa} × 10{exponent.translate(_SUPERSCRIPTS)}"
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    text = f"{abs(rounded):f}"
    return f"{_MINUS}{text}" if rounded < 0 else text


def decimals_needed(
    values: Sequence[float],
    *,
    null: float = 0.0,
    std_error: float = math.nan,
    at_least: int = 2,
    at_most: int = 6,
) -> int:
    """Return how many decimals an estimate and its limits need.

    Enough to show one digit of the standard error, and never so few that a value that is not
    `null` prints as `null`: an interval that ends at 0.004 shall not end at 0.00. One that floating
    point alone keeps from `null`, beside the largest of them, is `null`.
    """
    digits = at_least
    if math.isfinite(std_error) and std_error > 0.0:
        digits = max(at_least, min(at_most, -math.floor(math.log10(std_error))))
    finite = [abs(value) for value in (*values, null) if math.isfinite(value)]
    others = [value for value in values if abs(value - null) > _FLOATING * max(finite)]
    while digits < at_most and any(
        format_number(value, digits) == format_number(null, digits) for value in others
    ):
        digits += 1
    return digits


def decimals_of_spread(value: float, *, at_least: int = 2, at_most: int = 6) -> int:
    """Return how many decimals show two digits of a standard deviation."""
    if not math.isfinite(value) or value <= 0.0:
        return at_least
    return max(at_least, min(at_most, 1 - math.floor(math.log10(value))))


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
    escaped = html.escape(text)
    return _STATISTIC.sub(r"<em>\1</em>", escaped) if italics else escaped


def to_markdown(text: str) -> str:
    r"""Return plain text as Pandoc Markdown: special signs escaped, statistics in italics.

    ``"p < .001"`` becomes ``"*p* \\< .001"``; an ``@`` in a name does not become a citation.
    """
    escaped = re.sub(r"([\\`*_{}\[\]<>#$@^~|])", r"\\\1", text)
    return _STATISTIC.sub(r"*\1*", escaped)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Set cells in aligned columns: the first flush left, the others flush right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
