"""Every Quarto document of the repository, and the one that `alliance-stats new` writes."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alliance_stats.cli import app
from tests.quarto_check import check_document

REPORTS = Path(__file__).parents[2] / "reports"
NAMES = sorted(path.name for path in REPORTS.glob("*.qmd"))


@pytest.fixture(scope="module")
def reports(demo):
    folder = demo.folder.parent
    for path in [*REPORTS.glob("*.qmd"), *REPORTS.glob("*.yml")]:
        shutil.copy(path, folder)
    return folder


def test_there_are_reports():
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_each_report_passes_the_quarto_check(reports, name):
    checked = check_document(reports / name)
    assert checked.problems == ()
    assert "::: {#fig-" in checked.text


def test_a_new_study_passes_the_quarto_check_as_it_is(tmp_path):
    CliRunner().invoke(app, ["new", str(tmp_path)])
    checked = check_document(tmp_path / "report.qmd")
    assert checked.problems == ()
    for label in ("fig-flow", "fig-trajectories", "tbl-model", "fig-dropout", "tbl-groups"):
        assert f"::: {{#{label}}}" in checked.text
    assert "2 rows set aside (2 family without a session)" in checked.text
