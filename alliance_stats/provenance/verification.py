"""Whether a report still comes from its data, its versions and its script; what changed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.provenance.log import NAME, file_hash, files_in, input_of, read_log, versions

__all__ = ["Verification", "verify"]

_SAME = 1e-7  # of a number: additions in another order
_SECONDS = 7200
_TEXTS = (".qmd", ".md")
_WORDS = ("call", "seed", "method", "rows", "notes")


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """What changed since a report was made.

    Attributes
    ----------
    changes
        ``what`` (data file, version, file, and, compared with a new run of the script: file made by
        the script, text, seed, part, figure, table, result, number, source, call, method, rows,
        notes), ``name, recorded, found``, one row per change; empty if nothing changed.
    recomputed
        Whether the script was run again.
    """

    changes: pd.DataFrame
    recomputed: bool

    @property
    def unchanged(self) -> bool:
        """Whether nothing changed."""
        return len(self.changes) == 0


Change = tuple[str, str, str, str]


def verify(folder: str | Path, *, run: bool = True) -> Verification:
    """Compare a report with its log, and with a new run of its script.

    Parameters
    ----------
    folder
        The folder with ``log.json``.
    run
        Whether the script of the log is run again (it is the report's own; into a folder that is
        removed afterwards). Without it data files, versions and saved files are compared.

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        If the folder has no log, or the script is missing or ends in an error.

    Examples
    --------
    >>> import tempfile
    >>> from alliance_stats.provenance import record, verify
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = record(folder, script="analyses", numbers={"n": 12})
    ...     verify(folder, run=False).unchanged
    True
    """
    folder = Path(folder)
    log = read_log(folder)
    try:
        changes = [*_inputs(folder, log), *_versions(log), *_files(folder, log)]
        if run:
            changes += _compared(log, _made_again(folder, log))
    except (KeyError, TypeError, AttributeError) as reason:
        raise DataError(
            f"'{folder / NAME}' is not as record() wrote it ({type(reason).__name__}: {reason}): "
            "parts of it are missing or were changed by hand. Make the report again."
        ) from reason
    columns = ["what", "name", "recorded", "found"]
    return Verification(pd.DataFrame(changes, columns=columns), run)


def _inputs(folder: Path, log: Mapping[str, Any]) -> Iterator[Change]:
    for name, recorded in log["inputs"].items():
        path = folder / name
        if not path.is_file():
            yield "data file", name, recorded["sha256"][:12], "not there"
        elif file_hash(path) != recorded["sha256"]:
            yield "data file", name, *_changed(recorded, input_of(path))


def _changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str]:
    """Return a data file's recorded and present state: columns, rows, their order, cells."""
    if "header" not in was or "header" not in now:
        return was["sha256"][:12], now["sha256"][:12]
    if was["header"] != now["header"]:
        return f"columns {was['header']}", f"columns {now['header']}"
    if was["rows"] != now["rows"]:
        return f"{was['rows']} rows", f"{now['rows']} rows"
    if was["in_any_order"] == now["in_any_order"]:
        return "rows in one order", "the same rows in another order"
    return f"cells {was['sha256'][:12]}", f"cells {now['sha256'][:12]}"


def _versions(log: Mapping[str, Any]) -> Iterator[Change]:
    today = versions()
    for name, recorded in log["versions"].items():
        if today.get(name) != recorded:
            yield "version", name, recorded, today.get(name, "not installed")


def _files(folder: Path, log: Mapping[str, Any]) -> Iterator[Change]:
    recorded, there = _recorded(log), files_in(folder)
    for name, was in recorded.items():
        # a part's file may lie outside of what is listed, as one that begins with a dot
        path = there.pop(name, folder / name)
        found = file_hash(path) if path.is_file() else ""
        if found != was:
            yield "file", name, was[:12], found[:12] or "not there"
    for name, path in there.items():
        if name != NAME:
            yield "file", name, "not in the log", file_hash(path)[:12]


def _recorded(log: Mapping[str, Any]) -> dict[str, str]:
    """Return the report's files with their fingerprints: of the parts, and all others."""
    own = {name: was for part in log["parts"].values() for name, was in part["files"].items()}
    return {**own, **log["files"]}


def _made_again(folder: Path, log: Mapping[str, Any]) -> dict[str, Any]:
    """Run the script in another folder and return the log that it writes."""
    script = log["script"]
    with tempfile.TemporaryDirectory() as aside:
        out = str(Path(aside) / "made")
        Path(out).mkdir()
        if "module" in script:
            command = [sys.executable, "-m", script["module"], out]
            where = (folder / script["from"]).resolve()
        else:
            file = (folder / script["file"]).resolve()
            if not file.is_file():
                raise DataError(f"The report was made by '{file}', which is not there.")
            command, where = [sys.executable, str(file), out], file.parent
        ran = subprocess.run(
            command, cwd=where, capture_output=True, text=True, timeout=_SECONDS, check=False,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        if ran.returncode:
            said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
            raise DataError(
                f"'{' '.join(command[1:-1])}' ended in an error: {said[-1] if said else 'no words'}"
            )
        return read_log(Path(out) / log["writes"])


def _compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    if old["seed"] != new["seed"]:
        yield "seed", "", str(old["seed"]), str(new["seed"])
    yield from _in_both("file made by the script", _recorded(old), _recorded(new))
    yield from _texts(old["files"], new["files"])
    yield from _in_both("part", old["parts"], new["parts"])
    yield from _in_both("result", old["results"], new["results"])
    for label, was in old["parts"].items():
        now = new["parts"].get(label)
        if now is not None:
            yield from _part(label, was, now)
    for name, was in old["results"].items():
        now = new["results"].get(name)
        if now is not None:
            yield from _result(name, was, now)
    values = [{name: one["value"] for name, one in log["numbers"].items()} for log in (old, new)]
    told = list(_numbers("", *values))
    yield from told
    changed = {name for _, name, _, _ in told}
    for name, was in old["numbers"].items():
        now = new["numbers"].get(name, was)
        yield from _words(name, was, now)
        if name not in changed and was.get("data") != now.get("data"):
            yield "source", name, str(was.get("data"))[:12], str(now.get("data"))[:12]


def _texts(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """Yield the texts that differ now."""
    for name, was in old.items():
        now = new.get(name, was)
        if name.endswith(_TEXTS) and was != now:
            yield "text", name, was[:12], now[:12]


def _in_both(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[Change]:
    for name in old:
        if name not in new:
            yield what, name, "there", "not there"
    for name in new:
        if name not in old:
            yield what, name, "not there", "there"


def _part(label: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    if was["data"] != now["data"]:
        yield str(was["kind"]), label, was["data"][:12], now["data"][:12]
    yield from _words(label, was, now)


def _words(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """Yield other changes in how something was made."""
    for what in _WORDS:
        before, after = was.get(what, ""), now.get(what, "")
        if before != after:
            yield what, name, str(before), str(after)


def _result(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    yield from _words(name, was, now)
    if was["data"] != now["data"]:
        told = list(_numbers(f"{name}, ", was["numbers"], now["numbers"]))
        yield from told or [("number", name, was["data"][:12], now["data"][:12])]


def _numbers(
    of: str, old: Mapping[str, float | None], new: Mapping[str, float | None]
) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        was, now = old.get(name), new.get(name)
        if was is not None and now is not None:
            if abs(was - now) <= _SAME * max(abs(was), abs(now)):
                continue
        elif was is None and now is None and (name in old) == (name in new):
            continue
        yield "number", f"{of}{name}", str(was), str(now)
