"""Reading and checking a CSV of 200,000 rows, beside pandas' own reading, in one run.

Run as ``python -m benchmarks.reading``. Times are CPU seconds, the best of seven; pandas' is
``pandas.read_csv`` of the same file, which checks nothing.
"""

import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats.study import Study

REPEATS = 7
PERSONS, SESSIONS = 10_000, 20


def seconds(call: Callable[[], object]) -> float:
    """Return the CPU seconds of the quickest of several calls."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def written(folder: Path) -> Path:
    """Write sessions in persons, families and therapists, a tenth of the ratings missing."""
    draw = np.random.default_rng(1)
    person = np.repeat(np.arange(PERSONS), SESSIONS)
    n = len(person)
    alliance = np.clip(draw.normal(5.0, 1.0, n), 1, 7).round(2)
    alliance[draw.random(n) < 0.1] = np.nan
    frame = pd.DataFrame(
        {
            "person": np.char.add("P", person.astype(str)),
            "family": np.char.add("F", (person // 3).astype(str)),
            "therapist": np.char.add("T", (person // 60).astype(str)),
            "session": np.tile(np.arange(1, SESSIONS + 1), PERSONS),
            "role": np.array(["mother", "father", "child"])[person % 3],
            "alliance": alliance,
            "symptoms": draw.normal(50.0, 10.0, n).round(1),
            "ending": np.array(["dropout", "planned", "ongoing"])[person // 3 % 3],
        }
    )
    path = folder / "sessions.csv"
    frame.to_csv(path, index=False)
    return path


def main() -> None:
    """Print both times and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder))
        plain = seconds(lambda: pd.read_csv(path))
        study = seconds(
            lambda: Study.from_file(
                path,
                person="person",
                family="family",
                therapist="therapist",
                session="session",
                role="role",
                alliance="alliance",
                outcome="symptoms",
                ending="ending",
                score_range=(1, 7),
            )
        )
    print(f"Python {platform.python_version()}, pandas {pd.__version__}")
    print(
        f"{PERSONS * SESSIONS:,} rows: pandas {plain:.3f} s, read and checked {study:.3f} s, "
        f"{study / plain:.1f} times"
    )


if __name__ == "__main__":
    main()
