"""The documented steps to a first study do what the page says."""

import re
import runpy
import sys
from pathlib import Path

from typer.testing import CliRunner

from alliance_stats.cli import app
from tests.quarto_check import check_document

PAGE = Path(__file__).parents[2] / "docs" / "first_study.md"


def test_the_documented_commands_run_as_written(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^(?:alliance-stats|cd|python) .*$", text, re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [
        ["alliance-stats", "new"],
        ["cd", "my-study"],
        ["python", "analysis.py"],
        ["alliance-stats", "check"],
        ["alliance-stats", "check"],  # files that come with no template
        ["alliance-stats", "check"],
        ["python", "analysis.py"],
    ]
    monkeypatch.chdir(tmp_path)
    for command in commands[:4]:
        name, *words = command.split()
        if name == "cd":
            monkeypatch.chdir(words[0])
        elif name == "python":
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(words[0], run_name="__main__")
        else:
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, result.stderr
    assert (tmp_path / "my-study" / "page.html").is_file()


def test_the_reports_parameter_sets_the_level_of_every_interval(tmp_path):
    CliRunner().invoke(app, ["new", str(tmp_path)])
    report = tmp_path / "report.qmd"
    text = report.read_text(encoding="utf-8")
    cell = "#| tags: [parameters]\n#| include: false\nconf_level = 0.95\n"
    assert cell in text
    report.write_text(text.replace(cell, cell.replace("0.95", "0.9")), encoding="utf-8")
    checked = check_document(report)
    assert checked.problems == ()
    levels = set(re.findall(r"\d+% (?:CI|confidence)", checked.text))
    assert levels == {"90% CI", "90% confidence"}
