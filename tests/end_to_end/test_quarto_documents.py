"""Every Quarto document of the repository, and the one that `alliance-stats new` writes."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from alliance_stats.cli import app
from tests.end_to_end.fragments import numbers_of
from tests.quarto_check import check_document

REPORTS = Path(__file__).parents[2] / "reports"
NAMES = sorted(path.name for path in REPORTS.glob("*.qmd"))


@pytest.fixture(scope="module")
def reports(demo):
    folder = demo.folder.parent
    for path in [*REPORTS.glob("*.qmd"), REPORTS / "_quarto.yml"]:
        shutil.copy(path, folder)
    return folder


def test_there_are_reports():
    assert len(NAMES) >= 6


@pytest.mark.parametrize("name", NAMES)
def test_each_report_passes_the_quarto_check(reports, name):
    checked = check_document(reports / name)
    assert checked.problems == ()
    assert name == "index.qmd" or "::: {#fig-" in checked.text


def test_every_report_is_in_the_navigation():
    settings = yaml.safe_load((REPORTS / "_quarto.yml").read_text(encoding="utf-8"))
    shown = [entry["href"] for entry in settings["website"]["navbar"]["left"]]
    assert sorted(shown) == NAMES


def test_prose_prints_the_numbers_of_the_chapters(reports):
    text = check_document(reports / "index.qmd").text
    assert "{{<" not in text
    numbers = numbers_of(reports / "generated" / "alliance_outcome")
    assert f"symptoms changed by −{abs(numbers['symptoms_per_session']):.2f} points" in text
    assert f"{numbers['share_families']:.0%} between the families of a therapist" in text
    low, high = (abs(numbers[f"same_within_{end}"]) for end in ("low", "high"))
    assert f"95% CI \\[−{low:.2f}, −{high:.2f}\\]" in text


def test_a_number_that_no_chapter_gives_is_amiss(reports):
    document = reports / "index.qmd"
    slip = document.read_text(encoding="utf-8").replace("dropout.families", "dropout.familes")
    (reports / "slip.qmd").write_text(slip, encoding="utf-8")
    problems = check_document(reports / "slip.qmd").problems
    assert problems == ("variable 'dropout.familes' is not in _variables.yml",)


def test_parameters_change_what_python_cells_show(reports):
    source = (reports / "your_study.qmd").read_text(encoding="utf-8")
    (cell,) = re.findall(r"```\{python\}\n#\| tags: \[parameters\]\n(.*?)```", source, re.DOTALL)
    assert "conf_level = 0.95" in cell
    changed = reports / "changed.qmd"
    changed.write_text(source.replace("conf_level = 0.95", "conf_level = 0.9"), encoding="utf-8")
    text = check_document(changed).text
    assert "90% CI" in text
    assert "95%" not in text


def test_a_new_study_passes_the_quarto_check_as_it_is(tmp_path):
    CliRunner().invoke(app, ["new", str(tmp_path)])
    checked = check_document(tmp_path / "report.qmd")
    assert checked.problems == ()
    for label in ("fig-flow", "fig-trajectories", "tbl-model", "fig-dropout", "tbl-groups"):
        assert f"::: {{#{label}}}" in checked.text
    assert "2 set aside: family without a session" in checked.text
