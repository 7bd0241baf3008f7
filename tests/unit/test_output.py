"""Files are written whole or not at all: by runs that are killed, and by two at once."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alliance_stats.output import write_whole

SIZE = 1_000_000
WRITER = """
import sys
from pathlib import Path
from alliance_stats.output import write_whole
letter = sys.argv[2]
while True:
    write_whole(Path(sys.argv[1]), letter * int(sys.argv[3]))
"""


def _writer(path: Path, letter: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter, str(SIZE)])


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} was never written")


@pytest.mark.parametrize("wait", [0.0, 0.013, 0.05])
def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path: Path, wait: float) -> None:
    path = tmp_path / "page.html"
    run = _writer(path, "a")
    _wait_for(path)
    time.sleep(wait)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert path.read_text(encoding="utf-8") == "a" * SIZE
    others = [other.name for other in tmp_path.iterdir() if other != path]
    assert all(name.startswith(".page.html.") for name in others)


def test_two_runs_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    runs = [_writer(path, letter) for letter in "ab"]
    _wait_for(path)
    try:
        for _ in range(15):
            seen = path.read_text(encoding="utf-8")
            assert seen in ("a" * SIZE, "b" * SIZE)
    finally:
        for run in runs:
            run.kill()
            run.wait()


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
ROOT = Path(__file__).parents[2]
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
