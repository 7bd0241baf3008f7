"""What the commands print, and how an error reads at the command line."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from alliance_stats.errors import AllianceStatsError

__all__ = ["Refusal", "heading", "in_options", "print_error", "refusing", "say"]

_ROLES = (
    "person|family|therapist|session|time|role|rater|alliance|outcome|ending|ending_session|unit|"
    "sheet|separator|decimal|encoding"
)
_LOCAL_IDS = re.compile(r"local_ids=\('(\w+)',\)")
_KEYWORD = re.compile(rf"\b({_ROLES})=(?!\w)(?P<value>(?=['\"]))?")
_RANGE = re.compile(r"\bscore_range\b")


class Refusal(Exception):  # noqa: N818 - it ends a command, it is no fault of the program
    """A command could not do what was asked; the reason has been printed."""


def say(text: str = "", *, style: str | None = None) -> None:
    """Print a line as it is; only a terminal breaks it."""
    Console().print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def heading(text: str) -> None:
    """Print a heading over what follows."""
    say()
    say(text, style="bold")


def print_error(text: str) -> None:
    """Print an error to the error stream, in the words of the command line."""
    console = Console(file=sys.stderr)
    console.print("Error: ", style="bold red", end="", highlight=False)
    console.print(in_options(text), markup=False, highlight=False, soft_wrap=True)


def in_options(text: str) -> str:
    """Return a message of the package with its keywords written as options: ``--ending``."""
    text = _LOCAL_IDS.sub(r"--local-ids \1", text)
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
        print_error(f"'{error.filename}' cannot be read: {error.strerror}.")
        raise Refusal from error
