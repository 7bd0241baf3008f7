"""The README's lines run on a user's own file, and its names exist."""

import re
import shutil
from pathlib import Path

import alliance_stats
from alliance_stats.datasets import example_folder

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)


def test_the_lines_run_in_order(tmp_path, monkeypatch, capsys):
    shutil.copy(example_folder() / "sessions.csv", tmp_path / "sessions.csv")
    monkeypatch.chdir(tmp_path)
    exec("\n".join(BLOCKS), {})
    printed = capsys.readouterr().out
    for part in ("Linear mixed model fitted by REML", "Kaplan-Meier", "Log-rank", "Hedges' g"):
        assert part in printed


def test_about_twenty_lines():
    assert len("".join(BLOCKS).splitlines()) <= 22


def test_every_name_in_the_table_is_public():
    table = README.split("## What is in it")[1].split("## For R users")[0]
    names = re.findall(r"`([a-z_]+|Study)`", table)
    missing = [
        name for name in names if not hasattr(alliance_stats, name) and name != "alliance_stats"
    ]
    assert not missing


def test_every_picture_and_page_exists():
    for target in re.findall(r'(?:src="|\]\()([^")#]+)', README):
        if not target.startswith("http"):
            assert (Path(__file__).parents[2] / target).exists(), target
