"""Make a study folder from the templates that come with the package."""

from importlib.resources import files
from pathlib import Path

from alliance_stats.cli.terminal import print_error, say

__all__ = ["start_study"]


def start_study(folder: Path) -> int:
    """Copy the templates into `folder`, which must be new or empty; return the exit code."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        print_error(f"'{folder}' is there already and is not an empty folder; name a new one.")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    templates = files("alliance_stats.cli") / "templates"
    for template in templates.iterdir():
        (folder / template.name).write_bytes(template.read_bytes())
    say(f"Made the study folder {folder}.")
    return 0
