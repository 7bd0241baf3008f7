"""Print verdicts: on each number of the registry, and on what changed since a report was made."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alliance_stats.cli.terminal import Refusal, heading, plain, refusing, say
from alliance_stats.evidence import reproduce
from alliance_stats.formatting import plural
from alliance_stats.provenance import verify

__all__ = ["print_reproduction", "print_verification"]

_WIDTH_IN_A_FILE = 200  # a record's name stays on one line
_STYLES = {
    "reproduced": "green",
    "holds only if": "yellow",
    "not reproduced": "bold red",
    "not checkable": "dim",
}


def print_reproduction(name: str | None, *, strict: bool, folder: Path | None) -> int:
    """Print every verdict and a summary; return the exit code."""
    try:
        with refusing():
            found = reproduce(name, folder=folder)
    except Refusal:
        return 1
    _print_verdicts(found.tidy())
    heading("Summary")
    say(found.summary())
    return int(strict and not found.all_follow)


def _print_verdicts(verdicts: pd.DataFrame) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("Record", "Number", "Printed", "Verdict", "Rests on"):
        table.add_column(column, overflow="fold")
    for row in verdicts.to_dict("records"):
        verdict = str(row["verdict"])
        conditional = verdict == "holds only if"
        cells = [plain(str(row[name] or "")) for name in ("record", "quantity", "printed")]
        table.add_row(
            *(Text(cell) for cell in cells),
            Text(verdict, style=_STYLES.get(verdict, "")),
            Text(plain(str(row["reason"] if conditional else row["relation"] or row["reason"]))),
        )
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH_IN_A_FILE
    console.print(table)


_SHOWN = 60


def print_verification(folder: Path, *, run: bool) -> int:
    """Print every change; return 1 where there is one, or nothing could be compared."""
    try:
        with refusing():
            found = verify(folder, run=run)
    except Refusal:
        return 1
    if found.unchanged:
        how = "and what its script makes today" if found.recomputed else "(nothing was recomputed)"
        say(f"{folder} is as its log says: data files, versions, saved files {how}.")
        return 0
    heading(f"{plural(len(found.changes), 'change')} since {folder} was made")
    for row in found.changes.head(_SHOWN).to_dict("records"):
        name = f" {row['name']}" if row["name"] else ""
        say(f"{row['what']}{name}: {row['recorded']} -> {row['found']}")
    if len(found.changes) > _SHOWN:
        say(f"and {len(found.changes) - _SHOWN} more")
    return 1
