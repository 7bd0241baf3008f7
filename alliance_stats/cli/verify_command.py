"""Say whether a report still comes from its data, versions and script."""

from pathlib import Path

from alliance_stats.cli.terminal import Refusal, heading, refusing, say
from alliance_stats.formatting import plural
from alliance_stats.provenance import verify

__all__ = ["print_verification"]

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
