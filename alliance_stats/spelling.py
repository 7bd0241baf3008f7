"""How a label is spelled: two spellings of what is probably one are refused.

Labels look alike that differ by case, spaces (also non-breaking or invisible ones), composed or
separate accents, kinds of dashes, leading zeros, or being a number or text.
"""

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import check_comparable, describe_rows, only_used
from alliance_stats.door import has_surrogate
from alliance_stats.errors import DataError

__all__ = ["check_spelling", "plain_number"]

_LEADING_ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")
_WHOLE = re.compile(r"^(\d+)\.0*$", re.MULTILINE)
_SPACES = re.compile(r"[^\S\n]+")
_SPACES_BESIDE_ENDS = re.compile(r"^ | $", re.MULTILINE)


def check_spelling(
    values: pd.Series, *, kind: str = "label", within: pd.Series | None = None
) -> None:
    """Refuse a blank label, and two spellings that are probably one.

    Labels look alike that differ by case, spaces (also non-breaking or invisible ones), composed
    or separate accents, kinds of dashes, leading zeros, or being a number or text. To be called
    wherever a column's values say which group, unit or role a row belongs to; numbers and missing
    values pass.

    Parameters
    ----------
    values
        The column, under its name and with the frame's row labels.
    kind
        What a value stands for, in the message (``"label"``, ``"unit"``).
    within
        Column of equal length: only spellings that share its value are held against each other.
    """
    if pd.api.types.is_numeric_dtype(values.dtype):  # booleans too
        return
    check_comparable(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        own = only_used(values).array
        codes, distinct = own.codes, own.categories.to_numpy(dtype=object)
    else:
        codes, distinct = pd.factorize(values.to_numpy(dtype=object))  # a label, one look
    _check_letters(values, codes, distinct)
    plain = np.array(_plain_spellings(distinct), dtype=object)
    blank = np.append(plain == "", False)[codes]
    if blank.any():
        raise DataError(
            f"Column '{values.name}' is blank in {describe_rows(blank, values.index)}, and a blank "
            f"is no {kind}. Fill it in, or set it to missing."
        )
    if len(set(plain)) == len(plain):
        return
    groups = np.zeros(len(codes), dtype=np.int64) if within is None else pd.factorize(within)[0]
    seen = pd.DataFrame({"within": groups, "code": codes})[codes >= 0].drop_duplicates()
    seen = seen.assign(plain=plain[seen["code"]])
    twice = seen.duplicated(["within", "plain"], keep=False)
    if not twice.any():
        return
    first = seen[twice].iloc[0]
    alike = seen.loc[
        (seen["within"] == first["within"]) & (seen["plain"] == first["plain"]), "code"
    ].to_numpy()
    here = groups == first["within"]
    spellings = [
        f"{shown} ({describe_rows(here & (codes == code), values.index)})"
        for code, shown in zip(alike, _told_apart(list(distinct[alike])), strict=True)
    ]
    raise DataError(
        f"Column '{values.name}' spells what looks like one {kind} in {len(spellings)} ways: "
        f"{', '.join(spellings)}. Spell it in one way; if they are different {kind}s, rename one."
    )


def _check_letters(
    values: pd.Series, codes: npt.NDArray[np.int64], distinct: Iterable[object]
) -> None:
    """Refuse a label that cannot be written as text."""
    for code, label in enumerate(distinct):
        if isinstance(label, str) and not label.isascii() and has_surrogate(label):
            raise DataError(
                f"Column '{values.name}' holds half a character (a lone surrogate) in {label!a} "
                f"({describe_rows(codes == code, values.index)}), which cannot be written as text. "
                "Its file was read in a wrong encoding."
            )


def _plain_spellings(values: Iterable[object]) -> list[str]:
    """Return what :func:`_plain_spelling` makes of each label: of plain letters, all in one go."""
    texts = [str(value) for value in values]
    whole = "\n".join(texts)
    if not whole.isascii() or whole.count("\n") != len(texts) - 1:
        return [_plain_spelling(text) for text in texts]
    whole = _SPACES_BESIDE_ENDS.sub("", _SPACES.sub(" ", whole.casefold()))
    return _WHOLE.sub(r"\1", _LEADING_ZEROS.sub("", whole)).split("\n")


def _plain_spelling(value: object) -> str:
    """Return what a careless eye takes a label for: no case, spare spaces or leading zeros."""
    text = str(value)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        kinds = {character: unicodedata.category(character) for character in set(text)}
        text = "".join("-" if kinds[c] == "Pd" else c for c in text if kinds[c] != "Cf")
    text = text.casefold()
    if not text.isalnum():
        text = " ".join(text.split())
    if "0" in text:
        text = _LEADING_ZEROS.sub("", text)
    return _WHOLE.sub(r"\1", text) if "." in text else text


def plain_number(value: object) -> object:
    """Return a whole float as an integer, all else as it is: ``str`` calls ending 1.0 '1' then.

    To name a value by: ``f"{value:g}"`` gives 1000001.0 and 1000002.0 one name.
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    return value


def _told_apart(values: list[object]) -> list[str]:
    """Return each value as Python writes it, in ASCII where signs would look the same."""
    plain = [plain_number(value) for value in values]
    shown = [repr(value) for value in plain]
    plain_letters = all(c.isascii() or c.isalpha() for text in shown for c in text)
    if (
        len({unicodedata.normalize("NFC", text) for text in shown}) < len(shown)
        or not plain_letters
    ):
        return [ascii(value) for value in plain]
    return shown
