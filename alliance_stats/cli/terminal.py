"""What the commands print, and how errors are shown at the command line."""

import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from alliance_stats.errors import AllianceStatsError

__all__ = ["Refusal", "heading", "in_options", "plain", "print_error", "refusing", "say"]

_ROLES = (
    "person|family|therapist|session|time|role|rater|alliance|outcome|ending|ending_session|unit|"
    "sheet|separator|decimal|encoding|header_rows|wide|missing"
)
_OF_A_FILE = re.compile(r"--(?=(?:sheet|separator|decimal|encoding)\b)")
_ENDINGS = re.compile(r"\bendings=\{(?P<quote>['\"]?)(?P<word>.+?)(?P=quote): '(?P<ending>\w+)'\}")
_LOCAL_IDS = re.compile(r"local_ids=\('(\w+)',\)")
_KEYWORD = re.compile(rf"\b({_ROLES})=(?!\w)(?P<value>(?=['\"]))?")
_MISSING = re.compile(r"\bmissing=\(-9, 99\)")
_RANGE = re.compile(r"\bscore_range\b")


class Refusal(Exception):  # noqa: N818 - it ends a command, it is no fault of the program
    """A command could not do what was asked; the reason has been printed."""


def say(text: str = "", *, style: str | None = None) -> None:
    """Print a line as it is; only a terminal breaks it."""
    Console().print(
        plain(text), style=style, emoji=False, markup=False, highlight=False, soft_wrap=True
    )


def heading(text: str) -> None:
    """Print a heading over what follows."""
    say()
    say(text, style="bold")


def print_error(text: str, *, of_families: bool = False) -> None:
    """Print an error to the error stream, in the words of the command line.

    What a message says of a file's options is said of ``--families-...`` where it is that file's.
    """
    console = Console(file=sys.stderr)
    console.print("Error: ", style="bold red", end="", highlight=False)
    said = in_options(text)
    if of_families:
        said = _OF_A_FILE.sub("--families-", said)
    console.print(plain(said), emoji=False, markup=False, highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """Return a text that is safe to print: no control or unwritable characters."""
    shown = "".join(_visible(character) for character in text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return shown.encode(encoding, errors="replace").decode(encoding)


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs"):
        return character
    return character.encode("unicode_escape", errors="surrogatepass").decode("ascii")


def in_options(text: str) -> str:
    """Return a message of the package with its keywords written as options: ``--ending``."""
    text = _ENDINGS.sub(r'--ending-word "\g<word>=\g<ending>"', text)
    text = _LOCAL_IDS.sub(r"--local-ids \1", text)
    text = _MISSING.sub("--missing -9 --missing 99", text)
    text = _RANGE.sub("--alliance-range or --outcome-range", text)
    return _KEYWORD.sub(_option, text)


def _option(keyword: re.Match[str]) -> str:
    """Return ``--name``, and a space before its value where there is one."""
    return f"--{keyword[1].replace('_', '-')}" + ("" if keyword["value"] is None else " ")


@contextmanager
def refusing() -> Iterator[None]:
    """Turn an error that the package raises on purpose into a printed one and a refusal."""
    try:
        yield
    except (AllianceStatsError, ImportError) as error:
        print_error(str(error))
        raise Refusal from error
    except OSError as error:
        print_error(f"'{error.filename}' cannot be read or written: {error.strerror}.")
        raise Refusal from error
