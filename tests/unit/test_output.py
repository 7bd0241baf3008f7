"""Files are written whole or not at all: by runs that are killed, and by two at once."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alliance_stats.output import write_whole

ROOT = Path(__file__).parents[2]
SIZE = 1_000_000
# the file alone, without the rest of the package: the test is of writing, not of importing
WRITER = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("output", sys.argv[4])
output = importlib.util.module_from_spec(spec)
spec.loader.exec_module(output)
while True:
    output.write_whole(Path(sys.argv[1]), sys.argv[2] * int(sys.argv[3]))
"""


@contextmanager
def _writers(path: Path, letters: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start a process a letter that writes the file again and again; wait for the first one."""
    own = str(ROOT / "alliance_stats" / "output.py")
    command = [sys.executable, "-c", WRITER, str(path)]
    runs = [subprocess.Popen([*command, letter, str(SIZE), own]) for letter in letters]
    try:
        end = time.monotonic() + 300.0  # on a machine that is busy
        while not path.exists():
            assert all(run.poll() is None for run in runs)
            assert time.monotonic() < end, f"{path} was never written"
            time.sleep(0.02)
        yield runs
    finally:
        for run in runs:
            run.kill()
            run.wait()


@pytest.mark.parametrize("wait", [0.0, 0.013, 0.05])
def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path: Path, wait: float) -> None:
    path = tmp_path / "page.html"
    with _writers(path, "a"):
        time.sleep(wait)  # and killed by SIGKILL
    assert path.read_text(encoding="utf-8") == "a" * SIZE
    others = [other.name for other in tmp_path.iterdir() if other != path]
    assert all(name.startswith(".page.html.") for name in others)


def test_two_runs_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with _writers(path, "ab"):
        for _ in range(15):
            seen = path.read_text(encoding="utf-8")
            assert seen in ("a" * SIZE, "b" * SIZE)


def test_two_threads_write_aside_under_names_of_their_own(tmp_path: Path) -> None:
    path, wrong = tmp_path / "page.html", []

    def write(letter: str) -> None:
        try:
            for _ in range(20):
                write_whole(path, letter * 10_000)
        except OSError as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert path.read_text(encoding="utf-8")[:1] * 10_000 == path.read_text(encoding="utf-8")
    assert [other.name for other in tmp_path.iterdir()] == ["page.html"]


WRITERS = ("write_text(", "write_bytes(", ".to_csv(path", "savefig(path", 'open("w')
# the text of a frame, not a file; the study's own data on a way out of the house
ALLOWED = {
    "alliance_stats/cross_check/r_answers.py",  # a folder that is removed afterwards
}


def test_every_writer_writes_whole() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for room in ("alliance_stats", "analyses")
        for path in (ROOT / room).rglob("*.py")
        if str(path.relative_to(ROOT)) not in ALLOWED
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(writer in line for writer in WRITERS)
    }
    assert found == set()


KILLS = 20

# One process that has imported everything, whose children are killed: no test waits for imports.
SERVER = """
import os, random, signal, sys, time
from pathlib import Path

import alliance_stats as als
from alliance_stats.figures import kaplan_meier_figure
from alliance_stats.provenance import numbers_from, record, verify
from alliance_stats.tables import tidy_table
from tests.fuzz.frames import frames

home, kills = Path(sys.argv[1]), int(sys.argv[2])
curves = als.kaplan_meier(frames()["units"], time="time", event="event", strata="group")
figure = kaplan_meier_figure(curves)
table = tidy_table(curves.tidy(), {"time": "Time", "estimate": "S"}, label="tbl-s",
                   caption="Curve", note="Kaplan-Meier.", source=curves)


def write(out):
    figure.save(out, formats=("svg",))
    table.save(out, formats=("html", "csv", "tex"))
    als.save_result(curves, out / "curves.json")
    record(out, [figure, table], script="analyses", results={"curves": curves},
           numbers=numbers_from(curves, {"n": curves.rows.n_used}))


def child(out, rounds):
    pid = os.fork()
    if pid:
        return pid
    for _ in range(rounds):
        write(out)
    os._exit(0)


def visible(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}


start = time.perf_counter()
write(home / "whole")
took = time.perf_counter() - start
whole, draw, partial = visible(home / "whole"), random.Random(1), 0
for kill in range(kills):
    out = home / f"killed {kill % 4}"  # later runs find what earlier ones have left
    out.mkdir(exist_ok=True)
    pid = child(out, 50)
    time.sleep(draw.uniform(0.0, took))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    found = visible(out)
    for name, content in found.items():
        # the log lists the files that were there, so it is of this run or of an earlier one
        if name != "log.json":
            assert content == whole[name], f"{name} is not whole after kill {kill}"
    partial += 0 < len(found) < len(whole)
    if "log.json" in found:
        als.provenance.log.read_log(out)
print("kills with some files written and others not:", partial)
assert partial > 0, "no run was killed in the middle"
both = home / "both"
both.mkdir()
pids = [child(both, 3), child(both, 3)]
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
assert visible(both).keys() == whole.keys()
changes = verify(both, run=False).changes
assert changes.empty, changes.to_string()
assert not [path for path in both.iterdir() if path.name[0] == "."]
for left in (home / f"killed {k}" for k in range(4)):  # a later whole run mends the folder
    write(left)
    assert verify(left, run=False).unchanged, verify(left, run=False).changes.to_string()
"""


@pytest.mark.slow
def test_killed_runs_and_two_at_once_leave_whole_files(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SERVER, str(tmp_path), str(KILLS)]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
