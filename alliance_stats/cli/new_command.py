"""Make a study folder from the templates that come with the package."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from alliance_stats.cli.terminal import heading, print_error, say
from alliance_stats.output import write_whole

__all__ = ["start_study"]


def start_study(folder: Path) -> int:
    """Copy the templates into `folder`, which must be new or empty; return the exit code."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        print_error(f"'{folder}' is there already and is not an empty folder; name a new one.")
        return 1
    written = []
    for path, template in _templates(files("alliance_stats.cli") / "templates", PurePosixPath()):
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, template.read_bytes())
        except OSError as error:
            print_error(f"'{target}' cannot be written: {error.strerror}.")
            return 1
        written.append(str(path))
    say(f"Made {folder} with {', '.join(sorted(written))}. The data in it are simulated.")
    heading("Next")
    say(f"cd '{folder}' and run: python analysis.py   (writes page.html)")
    say("With Quarto: quarto render report.qmd")
    say("README.md says how to put your own two files in.")
    return 0


def _templates(
    folder: Traversable, under: PurePosixPath
) -> Iterator[tuple[PurePosixPath, Traversable]]:
    """Yield each template with its path, caches of an interpreter left out."""
    for entry in folder.iterdir():
        if entry.name.startswith("__"):
            continue
        if entry.is_dir():
            yield from _templates(entry, under / entry.name)
        else:
            yield under / entry.name, entry
