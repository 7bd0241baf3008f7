"""Change one sign or constant of a formula at a time; some test must notice.

``python -m tests.mutants`` works on a copy of the checkout and prints which changes survived. A
change is named by the line that it replaces, so that it is found wherever that line moves to.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from tests.mutants.changes import CHANGES, Change

ROOT = Path(__file__).parents[2]
COPIED = ("alliance_stats", "analyses", "benchmarks", "data", "docs", "tests", "pyproject.toml")
WORKERS = 2
SECONDS = 600  # tests that hang on a change have noticed it


def main(wanted: list[str]) -> int:
    """Try every change (or those whose formula holds a wanted word); return how many survived."""
    chosen = [c for c in CHANGES if not wanted or any(w in c.formula for w in wanted)]
    trees: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(WORKERS):
            trees.put(_copy(Path(folder) / str(number)))

        def noticed(change: Change) -> bool:
            tree = trees.get()
            try:
                result = _try(change, tree)
            finally:
                trees.put(tree)
            sys.stdout.write(f"{result}: {change.formula}: {change.line!r} -> {change.other!r}\n")
            sys.stdout.flush()
            return result == "noticed"

        with ThreadPoolExecutor(WORKERS) as pool:
            survived = list(pool.map(noticed, chosen)).count(False)
    sys.stdout.write(f"{len(chosen)} changes, {survived} not noticed\n")
    return survived


def _copy(target: Path) -> Path:
    target.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy(source, target / name)
    return target


def places_of(change: Change, sources: Mapping[Path, str]) -> list[Path]:
    """Return the files in which the line stands, once for each time."""
    named = {path: text for path, text in sources.items() if change.file in ("", path.name)}
    return [path for path, text in named.items() for _ in range(text.count(change.line))]


def sources_of(tree: Path) -> dict[Path, str]:
    """Return the package's files and their text."""
    files = sorted((tree / "alliance_stats").rglob("*.py"))
    return {path: path.read_text(encoding="utf-8") for path in files}


def _try(change: Change, tree: Path) -> str:
    sources = sources_of(tree)
    places = places_of(change, sources)
    if len(places) != 1:
        return f"found {len(places)} times"
    text = sources[places[0]]
    tests = [str(path) for pattern in change.tests for path in sorted(tree.glob(pattern))]
    if not tests:
        return "no such tests"
    places[0].write_text(text.replace(change.line, change.other), encoding="utf-8")
    try:
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-n",
                "0",
                "-p",
                "no:cacheprovider",
                *tests,
            ],
            cwd=tree,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "noticed"
    finally:
        places[0].write_text(text, encoding="utf-8")
    return "SURVIVED" if ran.returncode == 0 else "noticed"


if __name__ == "__main__":
    raise SystemExit(min(1, main(sys.argv[1:])))
