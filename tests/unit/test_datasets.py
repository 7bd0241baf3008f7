"""The example data are found wherever the package lies."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import alliance_stats
from alliance_stats import datasets
from alliance_stats.errors import DataError

PACKAGE = Path(alliance_stats.__file__).parent


def test_the_folder_of_a_checkout_is_found():
    assert (datasets.example_folder() / "sessions.csv").is_file()


def test_a_zipped_package_reads_its_example_data(tmp_path):
    zipped = tmp_path / "package.whl"
    with zipfile.ZipFile(zipped, "w") as file:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, Path("alliance_stats") / path.relative_to(PACKAGE))
        for path in datasets.example_folder().glob("*.csv"):
            file.write(path, f"alliance_stats/data/example/{path.name}")
    script = (
        "from alliance_stats import datasets, errors\n"
        "print(len(datasets.example_study().sessions), len(datasets.example_themes()))\n"
        "try: datasets.example_folder()\n"
        "except errors.DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(zipped)!r})\n{script}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(zipped)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    rows = len(datasets.example_study().sessions), len(datasets.example_themes())
    assert first == f"{rows[0]} {rows[1]}"
    assert second.startswith("The package is run from within a zipped file")


def test_data_that_are_not_installed_are_said_so(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match="example data are not installed with the package"):
        datasets.example_study()
