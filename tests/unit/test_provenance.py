"""The log of a report, and what verify finds when data, versions, seeds or files change."""

import json
import runpy
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

import alliance_stats as als
from alliance_stats.cli import app
from alliance_stats.cli.new_command import start_study
from alliance_stats.errors import DataError
from alliance_stats.figures import kaplan_meier_figure
from alliance_stats.provenance import record, verify
from alliance_stats.tables import tidy_table
from tests.fuzz.frames import frames

SCRIPT = """
import sys
from pathlib import Path

import pandas as pd

import alliance_stats as als
from alliance_stats.figures import kaplan_meier_figure
from alliance_stats.provenance import record
from alliance_stats.tables import tidy_table

HERE = Path(__file__).parent
SEED = 1


def main(out):
    data = pd.read_csv(HERE / "units.csv")
    curves = als.kaplan_meier(data, time="time", event="event", strata="group")
    means = als.compare_groups(data, outcomes=["age"], group="group", test="permutation",
                               n_resamples=200, seed=SEED)
    figure = kaplan_meier_figure(curves)
    table = tidy_table(curves.tidy(), {"time": "Time", "estimate": "S"}, label="tbl-s",
                       caption="Curve", note="Kaplan-Meier.")
    for part in (figure, table):
        part.save(out / "generated")
    record(out / "generated", [figure, table, "a text"], script=HERE / "analysis.py",
           writes="generated", inputs=[HERE / "units.csv"], seed=SEED,
           numbers={"p": means.tidy()["p_value"].item()}, results={"curves": curves})


main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    frames()["units"].to_csv(tmp_path / "units.csv", index=False)
    (tmp_path / "analysis.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["analysis.py"])
    runpy.run_path(str(tmp_path / "analysis.py"), run_name="made")
    return tmp_path


def _found(study: Path, *, run: bool = True) -> dict[str, list[str]]:
    changes = verify(study / "generated", run=run).changes
    return changes.groupby("what")["name"].agg(list).to_dict()


def test_the_log_says_what_everything_was_made_of(study: Path) -> None:
    log = json.loads((study / "generated" / "log.json").read_text(encoding="utf-8"))
    figure = log["parts"]["fig-kaplan-meier"]
    assert figure["call"] == "kaplan_meier_figure(KaplanMeier)"
    assert "40 rows came in" in figure["rows"]
    assert set(figure["files"]) >= {"fig-kaplan-meier.svg", "fig-kaplan-meier.csv"}
    assert log["parts"]["tbl-s"]["kind"] == "table"
    assert log["seed"] == 1
    assert list(log["inputs"]) == ["../units.csv"]
    assert log["versions"]["alliance-stats"] == als.__version__
    curves = log["results"]["curves"]
    assert "40 used" in curves["rows"]
    assert curves["numbers"]["1 early: estimate"] > 0.5
    assert 0.0 < log["numbers"]["p"] <= 1.0


def test_nothing_changed_is_found_as_nothing(study: Path) -> None:
    found = verify(study / "generated")
    assert found.recomputed
    assert found.unchanged, found.changes.to_string()


def test_a_changed_data_file_is_found_with_the_numbers_that_it_changes(study: Path) -> None:
    data = (study / "units.csv").read_text(encoding="utf-8").splitlines()
    cells = data[1].split(",")
    cells[1] = "8" if cells[1] != "8" else "7"
    data[1] = ",".join(cells)
    (study / "units.csv").write_text("\n".join(data) + "\n", encoding="utf-8")
    assert _found(study, run=False) == {"data file": ["../units.csv"]}
    found = _found(study)
    assert found["figure"] == ["fig-kaplan-meier"]
    assert any(name.startswith("curves, ") for name in found["number"])


def test_a_changed_version_is_found(study: Path) -> None:
    path = study / "generated" / "log.json"
    log = json.loads(path.read_text(encoding="utf-8"))
    log["versions"]["numpy"] = "1.0.0"
    path.write_text(json.dumps(log), encoding="utf-8")
    assert _found(study, run=False) == {"version": ["numpy"]}


def test_a_changed_seed_is_found(study: Path) -> None:
    script = study / "analysis.py"
    text = script.read_text(encoding="utf-8").replace("SEED = 1", "SEED = 2")
    script.write_text(text, encoding="utf-8")
    found = _found(study)
    assert found["seed"] == [""]
    assert set(found) <= {"seed", "number"}


def test_an_edited_file_and_a_lost_one_are_found(study: Path) -> None:
    table = study / "generated" / "tbl-s.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("0.9", "0.8", 1), encoding="utf-8")
    (study / "generated" / "fig-kaplan-meier.pdf").unlink()
    assert _found(study, run=False) == {"file": ["fig-kaplan-meier.pdf", "tbl-s.csv"]}


def test_a_changed_call_note_and_part_are_found(study: Path) -> None:
    script = study / "analysis.py"
    text = script.read_text(encoding="utf-8")
    text = text.replace(
        "kaplan_meier_figure(curves)", "kaplan_meier_figure(curves, conf_level=0.9)"
    )
    script.write_text(text.replace("tbl-s", "tbl-t"), encoding="utf-8")
    found = _found(study)
    assert "fig-kaplan-meier" in found["call"]
    assert sorted(found["part"]) == ["tbl-s", "tbl-t"]


def test_the_command_says_what_changed(study: Path) -> None:
    folder = str(study / "generated")
    told = CliRunner().invoke(app, ["verify", folder, "--no-run"])
    assert told.exit_code == 0
    assert "nothing was recomputed" in told.output
    (study / "units.csv").write_text("time,event,group,age\n1,1,a,3\n", encoding="utf-8")
    told = CliRunner().invoke(app, ["verify", folder, "--no-run"])
    assert told.exit_code == 1
    assert "data file ../units.csv" in told.output
    told = CliRunner().invoke(app, ["verify", str(study)])
    assert told.exit_code == 1


def test_what_cannot_be_verified_is_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no log.json"):
        verify(tmp_path)
    (study / "analysis.py").write_text("raise ValueError('no such column')", encoding="utf-8")
    with pytest.raises(DataError, match="no such column"):
        verify(study / "generated")
    (study / "analysis.py").unlink()
    with pytest.raises(DataError, match="not there"):
        verify(study / "generated")
    (study / "generated" / "log.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="no log of a report"):
        verify(study / "generated")
    with pytest.raises(DataError, match="not there"):
        record(tmp_path, script="analyses", inputs=[tmp_path / "lost.csv"])
    figure = kaplan_meier_figure(als.kaplan_meier(frames()["units"], time="time", event="event"))
    with pytest.raises(DataError, match="Two parts"):
        record(tmp_path, [figure, figure], script="analyses")


def test_a_study_folder_can_be_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "study"
    assert start_study(folder) == 0
    monkeypatch.setattr("sys.argv", ["analysis.py"])
    runpy.run_path(str(folder / "analysis.py"), run_name="__main__")
    found = verify(folder / "generated")
    assert found.unchanged, found.changes.to_string()
    sessions = folder / "data" / "sessions.csv"
    lines = sessions.read_text(encoding="utf-8").splitlines()
    sessions.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    changes = verify(folder / "generated").changes
    assert {"data file", "rows", "number"} <= set(changes["what"])


def test_a_table_of_the_log_needs_no_figure(tmp_path: Path) -> None:
    curves = als.kaplan_meier(frames()["units"], time="time", event="event")
    table = tidy_table(curves.tidy(), {"time": "Time"}, label="tbl-a", caption="A", note="B.")
    log = json.loads(record(tmp_path, [table], script="analyses").read_text(encoding="utf-8"))
    assert log["parts"]["tbl-a"]["files"] == {}
    assert textwrap.shorten(log["parts"]["tbl-a"]["note"], 20) == "B."
