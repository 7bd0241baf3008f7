"""The labels and the decimal sign that a reader wants, and what can be relabelled."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from alliance_stats.account.sections import Account, Column, Phrase
from alliance_stats.arguments import mapping_of
from alliance_stats.checks import did_you_mean
from alliance_stats.formatting import (
    MISSING,
    Kind,
    Written,
    decimals_needed,
    decimals_of_spread,
    format_number,
    format_p,
    localised,
    printable,
    term_parts,
    write_estimate,
)

__all__ = ["Speaker", "as_float", "is_missing", "is_number", "nameable", "named_words"]


@dataclass(frozen=True, slots=True)
class Speaker:
    """The labels, decimal sign and minimum number of decimals that the reader wants."""

    words: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    terms_as_code: bool = True
    at_least: int = 0

    @classmethod
    def of(
        cls,
        account: Account,
        words: Mapping[str, str] | None,
        decimal: str,
        *,
        terms_as_code: bool = True,
    ) -> "Speaker":
        """Return the speaker, or refuse labels for names that are not in the account."""
        speaker = cls(named_words(words), decimal, terms_as_code)
        if speaker.words:
            known = list(dict.fromkeys(nameable(account)))
            for key in speaker.words:
                if str(key) not in known:
                    raise ValueError(
                        f"words= has '{key}', which names nothing in this result. "
                        f"{did_you_mean(key, known)}"
                    )
        localised("0", decimal)  # refuses another sign
        return speaker

    def name(self, name: object) -> str:
        """Return the words for a name, or the name itself."""
        if isinstance(name, Phrase):
            return self.phrase(name)
        return printable(self.words.get(str(name), str(name)))

    def term(self, term: object) -> str:
        """Return the words for a coefficient: ``role[T.father]`` as ``role: father``."""
        if not isinstance(term, str) or term in self.words:
            return self.name(term)
        parts = term_parts(term)
        if self.terms_as_code and not any(name in self.words for part in parts for name in part):
            return self.name(term)
        return " × ".join(": ".join(self.name(name) for name in part) for part in parts)

    def phrase(self, phrase: Phrase) -> str:
        """Return a phrase with the words for its names."""
        return phrase.filled(self._part(part) for part in phrase.parts)

    def _part(self, part: object) -> str:
        if isinstance(part, tuple):
            value, how = part
            if isinstance(how, int):
                digits = decimals_needed([value], at_least=how, at_most=9)  # then powers of ten
                return localised(format_number(value, digits), self.decimal)
            return self.number(value, how)
        return self.number(part) if isinstance(part, float) else self.term(part)

    def remark(self, remark: str | Phrase) -> str:
        """Return a sentence."""
        return self.phrase(remark) if isinstance(remark, Phrase) else printable(remark)

    def number(self, value: float, kind: Kind = "number") -> str:
        """Return a number that stands alone."""
        return write_estimate(value, kind=kind, decimal=self.decimal).estimate

    def written(self, row: Mapping[str, object], column: Column, name: str) -> Written:
        """Return an estimate of a row with its standard error and limits."""
        low, high = (as_float(row.get(limit)) for limit in (column.low, column.high))
        error = as_float(row.get("std_error")) if name == "estimate" else math.nan
        if column.kind == "text":
            value = row.get(name)
            return Written(MISSING if is_missing(value) else self.name(value), MISSING, MISSING)
        if column.kind == "p":
            cell = localised(format_p(as_float(row.get(name))), self.decimal)
            return Written(cell, MISSING, MISSING)
        value, spread = as_float(row.get(name)), as_float(row.get(column.spread))
        if spread > 0.0 and not math.isnan(value):
            digits = decimals_needed([value], at_least=decimals_of_spread(spread))
            return Written(localised(format_number(value, digits), self.decimal), MISSING, MISSING)
        error = math.nan if column.kind == "ratio" else error
        return write_estimate(
            value,
            low,
            high,
            std_error=error,
            kind=column.kind,
            decimal=self.decimal,
            at_least=self.at_least,
        )


def named_words(words: Mapping[str, str] | None) -> dict[str, str]:
    """Return the caller's words for names."""
    return dict(mapping_of(words, name="words", example="{'alliance': 'working alliance'}"))


def nameable(account: Account) -> Iterator[str]:
    """Yield everything that can be relabelled."""
    yield from account.sizes
    for remark in account.remarks:
        if isinstance(remark, Phrase):
            yield from _names_in(remark)
    for section in account.sections:
        yield from (section.title, section.measure, *section.names)
        for column, what in section.columns.items():
            yield column
            yield from _names_in(what.called)
        text = [name for name, what in section.columns.items() if what.kind == "text"]
        said = (section.measure,) if section.measure_by_row else ()
        for name in dict.fromkeys((*section.names, *text, *said)):
            if name in section.frame:
                for value in section.frame[name]:
                    yield from _names_in(value)


def _names_in(value: object) -> Iterator[str]:
    if isinstance(value, Phrase):
        for part in value.parts:
            yield from _names_in(part)
    elif not is_missing(value) and not isinstance(value, tuple | float):
        yield str(value)
        if isinstance(value, str):
            yield from (name for part in term_parts(value) for name in part)


def is_missing(value: object) -> bool:
    """Say whether a cell is empty."""
    return value is None or bool(pd.api.types.is_scalar(value) and pd.isna(value))


def is_number(value: object) -> bool:
    """Say whether a cell is a number (truth values are not)."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, float | int | np.number):
        return False
    return not math.isnan(float(value))


def as_float(value: object) -> float:
    """Return a cell's number, nan if there is none."""
    if is_missing(value):
        return math.nan
    return float(value)  # type: ignore[arg-type]
