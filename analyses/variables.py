"""Numbers for the prose of the Quarto documents: ``{{< var chapter.name >}}``.

Quarto reads them from ``_variables.yml`` at the root of its project. A chapter's floats become
words here, in the way their names ask for, so that no document holds a typed number.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path

from alliance_stats.formatting import (
    decimals_needed,
    format_count,
    format_number,
    format_percent,
    p_phrase,
    to_markdown,
)
from alliance_stats.output import write_whole
from analyses.chapter import Chapter

__all__ = ["in_words", "write_variables"]

_SMALL = 0.1  # a number below it has three decimals, so that two of its digits are seen


def write_variables(path: Path, chapters: Sequence[Chapter]) -> None:
    """Write the numbers of all chapters: chapter -> name -> text, as Markdown."""
    lines: list[str] = []
    for chapter in chapters:
        lines.append(f"{chapter.name}:")
        # A quoted string of JSON is one of YAML
        lines += [
            f"  {name}: {json.dumps(to_markdown(text), ensure_ascii=False)}"
            for name, text in in_words(chapter.values).items()
        ]
    write_whole(path, "\n".join(lines) + "\n")


def in_words(numbers: Mapping[str, float]) -> dict[str, str]:
    """Return every number as a text prints it, sorted by name.

    Whole numbers are counts; names that hold ``share`` are proportions, printed in percent; names
    that hold ``p`` are p-values, printed as ``p = .034``. All others have two decimals, three
    where the estimate is below 0.1; ``x_low`` and ``x_high`` have as many as their estimate ``x``,
    and stand together as ``x_ci``: ``95% CI [0.12, 0.30]``. All of them have more where one that
    is not 0 (1 where the name holds ``ratio``; 0% or 100%) would be printed as it.
    """
    return dict(sorted(_all(numbers)))


def _all(numbers: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for name, value in numbers.items():
        whole = name.removesuffix("_low").removesuffix("_high")
        whole = whole if whole in numbers else name
        digits = _digits(numbers, whole)
        yield name, _one(name, value, digits)
        low, high = numbers.get(f"{name}_low"), numbers.get(f"{name}_high")
        if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
            limits = [_one(name, limit, digits) for limit in (float(low), float(high))]
            yield f"{name}_ci", f"95% CI [{', '.join(limits)}]"


def _one(name: str, value: float, digits: int) -> str:
    if isinstance(value, Integral):
        return format_count(value)
    if "share" in name.split("_"):
        return format_percent(value, digits)
    return p_phrase(value) if "p" in name.split("_") else format_number(value, digits)


def _digits(numbers: Mapping[str, float], name: str) -> int:
    """Return how many decimals an estimate and its limits, where it has some, need."""
    found = (numbers.get(each) for each in (name, f"{name}_low", f"{name}_high"))
    values = [float(value) for value in found if value is not None]
    words = name.split("_")
    if "share" in words:
        percents = [100.0 * value for value in values]
        return max(decimals_needed(percents, null=null, at_least=0) for null in (0.0, 100.0))
    at_least = 3 if 0 < abs(values[0]) < _SMALL else 2
    return decimals_needed(values, null=1.0 if "ratio" in words else 0.0, at_least=at_least)
