"""Make the example study again: ``python data/make_example.py`` writes ``data/example/*.csv``.

The study is SIMULATED with the default parameters of :func:`alliance_stats.simulate.simulate_study`
and the seed below; the files come out the same byte for byte.
"""

import sys
from pathlib import Path

import pandas as pd

from alliance_stats.simulate import SimulatedStudy, simulate_study

SEED = 2025
FOLDER = Path(__file__).parent / "example"


def main(folder: Path = FOLDER) -> list[Path]:
    """Write sessions.csv, themes.csv and truth.csv into `folder` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write(frame, folder / f"{name}.csv")
        for name, frame in frames(simulate_study(seed=SEED)).items()
    ]


def frames(simulated: SimulatedStudy) -> dict[str, pd.DataFrame]:
    """Return the tables of the example study by file name."""
    truth = pd.DataFrame({"parameter": list(simulated.truth), "value": simulated.truth.values()})
    return {
        "sessions": simulated.study.sessions,
        "themes": simulated.themes,
        "truth": truth.round(4),
    }


def _write(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    for written in main():
        sys.stdout.write(f"{written}\n")
