"""Make a study folder from the templates that come with the package."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from alliance_stats.account import REFERENCES, entries_of
from alliance_stats.cli.terminal import heading, print_error, say
from alliance_stats.output import write_whole

__all__ = ["REPORTS", "start_study"]


_HERE = PurePosixPath()

REPORTS = ("apa",)
"""Kinds of manuscripts that a study folder can be given."""


def start_study(folder: Path, report: str | None = None) -> int:
    """Copy the templates into `folder`; return the exit code.

    The folder must be new or empty. A manuscript (`report`) is also added to an existing study
    folder.
    """
    if report is not None and report not in REPORTS:
        print_error(f"There is no report '{report}'; there is {', '.join(REPORTS)}.")
        return 1
    there = folder.is_dir() and (folder / "analysis.py").is_file() and report is not None
    if not there and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        print_error(f"'{folder}' is there already and is not an empty folder; name a new one.")
        return 1
    root = files("alliance_stats.cli") / "templates"
    found = [] if there else [(path, t) for path, t in _templates(root) if path.parts[0] != "apa"]
    if report is not None:
        found += [*_templates(root / report), (PurePosixPath("references.bib"), _references())]
    taken = next((path for path, _ in found if (folder / path).exists()), None)
    if taken is not None:
        print_error(f"'{folder / taken}' is there already; nothing was written.")
        return 1
    for path, content in found:
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
        except OSError as error:
            print_error(f"'{target}' cannot be written: {error.strerror}.")
            return 1
    _say_what_comes_next(folder, sorted(str(path) for path, _ in found), report)
    return 0


def _say_what_comes_next(folder: Path, written: list[str], report: str | None) -> None:
    simulated = " The data in it are simulated." if "analysis.py" in written else ""
    say(f"Made {folder} with {', '.join(written)}.{simulated}")
    heading("Next")
    say(f"cd '{folder}' and run: python analysis.py   (writes page.html)")
    say("With Quarto: quarto render report.qmd")
    if report is not None:
        say("The paper: quarto render manuscript.qmd   (--to docx, html, or typst for a PDF)")
    say("README.md says how to put your own two files in.")


def _references() -> bytes:
    """Return all references, until the manuscript writes those of the methods used."""
    return entries_of(REFERENCES).encode("utf-8")


def _templates(
    folder: Traversable, under: PurePosixPath = _HERE
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield each template with its path, without interpreter caches."""
    for entry in folder.iterdir():
        if entry.name.startswith("__"):
            continue
        if entry.is_dir():
            yield from _templates(entry, under / entry.name)
        else:
            yield under / entry.name, entry.read_bytes()
