"""The publications that results give as the sources of their methods."""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

from alliance_stats.checks import did_you_mean

__all__ = ["REFERENCES", "entries_of"]

_ENTRY = re.compile(r"@\w+\{(\w+),\n(?:  .*\n)*\}")


def _read() -> dict[str, str]:
    text = (files("alliance_stats.account") / "references.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in _ENTRY.finditer(text)}


REFERENCES: Mapping[str, str] = _read()
"""Key, as in ``Account.sources`` -> BibTeX entry."""


def entries_of(keys: Iterable[str]) -> str:
    """Return the BibTeX entries of these keys, each once, in the order of their keys.

    Raises
    ------
    KeyError
        If a key has no entry.
    """
    asked = sorted(set(keys))
    unknown = next((key for key in asked if key not in REFERENCES), None)
    if unknown is not None:
        raise KeyError(f"'{unknown}' is no reference. {did_you_mean(unknown, list(REFERENCES))}")
    return "\n\n".join(REFERENCES[key] for key in asked) + "\n"
