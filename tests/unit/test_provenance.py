"""The log of a report, and what verify finds when data, versions, seeds or files change."""

import copy
import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import alliance_stats as als
from alliance_stats.cli import app
from alliance_stats.cli.new_command import start_study
from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.figures import kaplan_meier_figure
from alliance_stats.provenance import numbers_from, record, verification, verify
from alliance_stats.provenance.log import read_log, versions
from alliance_stats.tables import ReportTable, group_table, model_table, tidy_table
from tests.fuzz.frames import frames

SCRIPT = """
import sys
from pathlib import Path

import pandas as pd

import alliance_stats as als
from alliance_stats.figures import kaplan_meier_figure
from alliance_stats.provenance import record
from alliance_stats.tables import group_table, tidy_table

HERE = Path(__file__).parent
SEED = 1


def main(out):
    data = pd.read_csv(HERE / "units.csv")
    curves = als.kaplan_meier(data, time="time", event="event", strata="group")
    means = als.compare_groups(data, outcomes=["age"], group="group", test="permutation",
                               n_resamples=200, seed=SEED)
    figure = kaplan_meier_figure(curves)
    table = tidy_table(curves.tidy(), {"time": "Time", "estimate": "S"}, label="tbl-s",
                       caption="Curve", note="Kaplan-Meier.", source=curves)
    ages = group_table(means, label="tbl-ages", caption="Ages")
    figure.save(out / "generated", formats=("svg",))
    for part in (table, ages):
        part.save(out / "generated")
    (out / "generated" / "_text.qmd").write_text("Two groups were compared.", encoding="utf-8")
    record(out / "generated", [figure, table, ages, "a text"], script=HERE / "analysis.py",
           writes="generated", inputs=[HERE / "units.csv"], seed=SEED,
           numbers={"p": (means.tidy()["p_value"].item(), means), "two": 2},
           results={"curves": curves})


main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    frames()["units"].to_csv(folder / "units.csv", index=False)
    (folder / "analysis.py").write_text(SCRIPT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["analysis.py"])
        runpy.run_path(str(folder / "analysis.py"), run_name="made")
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    """A report of one's own to be changed."""
    return shutil.copytree(made, tmp_path / "study")


def _run_here(folder: Path, log: dict[str, Any]) -> dict[str, Any]:
    """Run the script as verify does, in this process, which has imported everything already."""
    script = (folder / log["script"]["file"]).resolve()
    out = folder.parent / "made again"
    out.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [str(script), str(out)])
        runpy.run_path(str(script), run_name="__main__")
    return read_log(out / log["writes"])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_made_again", _run_here)


def _found(study: Path, *, run: bool = True) -> dict[str, list[str]]:
    changes = verify(study / "generated", run=run).changes
    return changes.groupby("what")["name"].agg(list).to_dict()


def test_the_log_says_what_everything_was_made_of(study: Path) -> None:
    log = json.loads((study / "generated" / "log.json").read_text(encoding="utf-8"))
    figure = log["parts"]["fig-kaplan-meier"]
    assert figure["call"] == "kaplan_meier_figure(KaplanMeier)"
    assert "40 rows came in" in figure["rows"]
    assert set(figure["files"]) >= {"fig-kaplan-meier.svg", "fig-kaplan-meier.csv"}
    table = log["parts"]["tbl-s"]
    assert table["kind"] == "table"
    assert table["call"].startswith("tidy_table(DataFrame of ")
    assert table["rows"] == figure["rows"] == log["results"]["curves"]["rows"]
    assert table["method"] == figure["method"] == log["results"]["curves"]["method"]
    ages = log["parts"]["tbl-ages"]
    assert ages["call"] == "group_table(GroupComparison, label='tbl-ages', caption='Ages')"
    assert "40 rows came in" in ages["rows"]
    assert "permutation" in ages["method"]
    assert log["seed"] == 1
    assert list(log["inputs"]) == ["../units.csv"]
    assert log["versions"]["alliance-stats"] == als.__version__
    curves = log["results"]["curves"]
    assert "40 used" in curves["rows"]
    assert curves["numbers"]["1 early: estimate"] > 0.5
    p = log["numbers"]["p"]
    assert 0.0 < p["value"] <= 1.0
    assert (p["method"], p["rows"]) == (ages["method"], ages["rows"])
    assert log["numbers"]["two"] == {"value": 2}


def test_nothing_changed_is_found_as_nothing(study: Path) -> None:
    found = verify(study / "generated")
    assert found.recomputed
    assert found.unchanged, found.changes.to_string()


@pytest.mark.usefixtures("here")
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


@pytest.mark.parametrize("name", ["alliance-stats", "pandas", "python"])
def test_a_changed_version_is_found(
    study: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = versions() | {name: "0.0.1"}
    monkeypatch.setattr(verification, "versions", lambda: other)
    changes = verify(study / "generated", run=False).changes
    assert changes.to_numpy().tolist() == [["version", name, versions()[name], "0.0.1"]]


def _rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")


# what is done to the data file -> how it was and is said to be
OF_DATA: dict[str, tuple[Callable[[list[str]], list[str]], str, str]] = {
    "another order": (
        lambda lines: [lines[0], *lines[:0:-1]],
        "rows in one order",
        "the same rows in another order",
    ),
    "a column more": (
        lambda lines: [f"{line},{'new' if i == 0 else i}" for i, line in enumerate(lines)],
        "columns unit,",
        ",new",
    ),
    "a row less": (lambda lines: lines[:-1], "40 rows", "39 rows"),
    "a cell": (lambda lines: [lines[0], lines[1].replace("early", "late"), *lines[2:]],
               "cells ", "cells "),
}  # fmt: skip


@pytest.mark.parametrize("change", OF_DATA)
def test_what_changed_in_a_data_file_is_said(study: Path, change: str) -> None:
    how, was, now = OF_DATA[change]
    _rewrite(study / "units.csv", how)
    ((what, name, recorded, found),) = verify(study / "generated", run=False).changes.to_numpy()
    assert (what, name) == ("data file", "../units.csv")
    assert was in recorded
    assert now in found
    assert recorded != found


@pytest.mark.usefixtures("here")
def test_another_order_of_rows_and_a_further_column_change_no_number(study: Path) -> None:
    _rewrite(study / "units.csv", OF_DATA["another order"][0])
    _rewrite(study / "units.csv", OF_DATA["a column more"][0])
    assert _found(study) == {"data file": ["../units.csv"]}


@pytest.mark.usefixtures("here")
def test_an_edited_text_is_found_in_the_folder_and_in_the_script(study: Path) -> None:
    text = study / "generated" / "_text.qmd"
    text.write_text("Three groups were compared.", encoding="utf-8")
    assert _found(study, run=False) == {"file": ["_text.qmd"]}
    script = (study / "analysis.py").read_text(encoding="utf-8")
    (study / "analysis.py").write_text(script.replace("Two groups", "Some groups"), "utf-8")
    assert _found(study) == {"file": ["_text.qmd"], "text": ["_text.qmd"]}


def test_files_that_are_lost_foreign_or_no_longer_made_are_found(study: Path) -> None:
    folder = study / "generated"
    (folder / "tbl-ages.html").unlink()
    (folder / "_text.qmd").unlink()
    (folder / "old" / "deep").mkdir(parents=True)
    (folder / "old" / "deep" / "fig-foreign.svg").write_text("<svg/>", encoding="utf-8")
    (folder / ".fig-kaplan-meier.svg.123-456").write_text(
        "<sv", encoding="utf-8"
    )  # of a killed run
    changes = verify(folder, run=False).changes.set_index("name")
    assert set(changes["what"]) == {"file"}
    assert changes["found"].to_dict() | {"old/deep/fig-foreign.svg": ""} == {
        "tbl-ages.html": "not there", "_text.qmd": "not there", "old/deep/fig-foreign.svg": "",
    }  # fmt: skip
    assert changes.loc["old/deep/fig-foreign.svg", "recorded"] == "not in the log"


def test_a_log_changed_by_hand_is_refused_in_words(study: Path) -> None:
    path = study / "generated" / "log.json"
    log = json.loads(path.read_text(encoding="utf-8"))
    del log["parts"]["tbl-s"]["files"]
    path.write_text(json.dumps(log), encoding="utf-8")
    with pytest.raises(DataError, match=r"not as record\(\) wrote it"):
        verify(study / "generated", run=False)
    path.write_text(json.dumps(log | {"format": 2}), encoding="utf-8")
    with pytest.raises(DataError, match="no log that this version"):
        verify(study / "generated", run=False)


FIELDS = {"call", "data", "seed", "method", "notes", "rows", "drawn"}


def test_every_entry_has_its_origin(study: Path) -> None:
    log = json.loads((study / "generated" / "log.json").read_text(encoding="utf-8"))
    for entry in (*log["parts"].values(), *log["results"].values(), log["numbers"]["p"]):
        assert set(entry) >= FIELDS
    assert log["parts"]["tbl-ages"]["seed"] == log["numbers"]["p"]["seed"] == 1
    assert log["parts"]["tbl-s"]["seed"] is None  # nothing is drawn for it


def test_numbers_remember_what_they_were_read_from(tmp_path: Path) -> None:
    units = frames()["units"]
    curves = als.kaplan_meier(units, time="time", event="event", strata="group")
    model = als.lmm("symptoms ~ session + (1 | person)", frames()["sessions"])
    counted = numbers_from(curves.rows, {"units": curves.rows.n_used})
    both = numbers_from({"curves": curves, "model": model}, {"x": 0.5}, seed=3)
    log = json.loads(
        record(tmp_path, script="analyses", numbers=counted | both).read_text(encoding="utf-8")
    )["numbers"]
    assert counted["units"] == 40
    assert copy.deepcopy(counted)["units"].origin == counted["units"].origin
    assert counted["units"].value == 40
    assert log["units"]["value"] == 40
    assert log["units"]["rows"] == str(curves.rows)
    assert "curves: 40 rows came in" in log["x"]["rows"]
    assert "model: " in log["x"]["rows"]
    assert "LinearMixedModel(formula='symptoms ~ session + (1 | person)')" in log["x"]["call"]
    assert log["x"]["seed"] == 3
    # of a bare frame it is known what came in, and not what was used
    assert numbers_from(units, {"n": 40})["n"].origin.rows == "40 rows came in."
    with pytest.raises(WrongObjectError, match="read from a result"):
        numbers_from("a result", {"x": 1.0})
    with pytest.raises(WrongObjectError, match="read from a result"):
        numbers_from((), {"x": 1.0})


@pytest.mark.usefixtures("here")
def test_a_changed_seed_is_found(study: Path) -> None:
    script = study / "analysis.py"
    text = script.read_text(encoding="utf-8").replace("SEED = 1", "SEED = 2")
    script.write_text(text, encoding="utf-8")
    found = _found(study)
    assert found["seed"] == ["", "tbl-ages", "p"]  # of the report, and of what was drawn with it
    assert set(found) <= {"seed", "number", "table"}
    assert found.get("table", ["tbl-ages"]) == ["tbl-ages"]  # of the test by permutation


@pytest.mark.usefixtures("here")
def test_a_changed_ledger_of_a_table_and_a_number_is_found(study: Path) -> None:
    """Rows that are set aside change ledgers, though no printed cell or number is another."""
    data = study / "units.csv"
    lines = data.read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    cells = dict(zip(names, lines[1].split(","), strict=True)) | {"time": "", "age": ""}
    data.write_text("\n".join([*lines, ",".join(cells.values())]) + "\n", encoding="utf-8")
    changes = verify(study / "generated").changes
    rows = changes[changes["what"] == "rows"].set_index("name")
    assert set(rows.index) == {"fig-kaplan-meier", "tbl-s", "tbl-ages", "p", "curves"}
    assert rows["recorded"].str.contains("40 rows came in").all()
    assert rows["found"].str.contains("41 rows came in").all()
    assert "tbl-s" not in set(changes.loc[changes["what"] == "table", "name"])


@pytest.mark.usefixtures("here")
def test_a_changed_method_of_a_table_and_a_number_is_found(study: Path) -> None:
    script = study / "analysis.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace("n_resamples=200", "n_resamples=300"), encoding="utf-8")
    found = _found(study)
    assert {"tbl-ages", "p"} <= set(found["method"])
    assert "tbl-s" not in found["method"]


def test_an_edited_file_and_a_lost_one_are_found(study: Path) -> None:
    table = study / "generated" / "tbl-s.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("0.9", "0.8", 1), encoding="utf-8")
    (study / "generated" / "fig-kaplan-meier.svg").unlink()
    assert _found(study, run=False) == {"file": ["fig-kaplan-meier.svg", "tbl-s.csv"]}


@pytest.mark.usefixtures("here")
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


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_a_study_folder_with_the_switch_for_other_libraries_can_be_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    assert start_study(folder) == 0
    script = folder / "analysis.py"
    assert script.read_text(encoding="utf-8").count("CHECK = False") == 1
    switched = script.read_text(encoding="utf-8").replace("CHECK = False", "CHECK = True")
    script.write_text(switched, encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["analysis.py"])
    runpy.run_path(str(folder / "analysis.py"), run_name="__main__")
    page = (folder / "page.html").read_text(encoding="utf-8")
    for told in ("Asked of other libraries", "MixedLM", "lifelines", "agrees"):
        assert told in page
    assert "without a known reason" not in page.replace("0 differ without a known reason", "")
    found = verify(folder / "generated")
    assert found.unchanged, found.changes.to_string()
    sessions = folder / "data" / "sessions.csv"
    lines = sessions.read_text(encoding="utf-8").splitlines()
    sessions.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    ((what, name, was, now),) = verify(folder / "generated", run=False).changes.to_numpy()
    assert (what, name) == ("data file", "../data/sessions.csv")
    assert int(was.removesuffix(" rows")) == int(now.removesuffix(" rows")) + 1


def test_a_table_of_several_models_has_the_ledger_of_each(tmp_path: Path) -> None:
    sessions = als.example_study().sessions
    models = {
        "All": als.lmm("alliance ~ session + (1 | person)", sessions),
        "Early": als.lmm("alliance ~ session + (1 | person)", sessions.query("session <= 4")),
    }
    table = model_table(models, label="tbl-two", caption="Two")
    assert table.again is not None
    assert table.again(digits=3).label == "tbl-two"
    log = json.loads(record(tmp_path, [table], script="analyses").read_text(encoding="utf-8"))
    part = log["parts"]["tbl-two"]
    assert part["rows"] == " | ".join(f"{name}: {model.rows}" for name, model in models.items())
    assert "{'All': LinearMixedModel, 'Early': LinearMixedModel}" in part["call"]


def test_the_source_of_a_table_or_number_must_be_a_result(tmp_path: Path) -> None:
    frame = frames()["units"]
    with pytest.raises(WrongObjectError, match=r"source is the result .* got DataFrame"):
        tidy_table(
            frame, {"age": "Age"}, label="tbl-a", caption="A", note="B.", source=frame  # type: ignore[arg-type]
        )  # fmt: skip
    with pytest.raises(DataError, match="The number 'p'"):
        record(tmp_path, script="analyses", numbers={"p": (0.5, "a test")})  # type: ignore[dict-item]


def test_a_table_written_by_hand_says_so(tmp_path: Path) -> None:
    table = ReportTable(group_table(
        als.compare_groups(frames()["units"], outcomes=["age"], group="group"),
        label="tbl-a", caption="A",
    ).frame, "tbl-a", "A", "B.")  # fmt: skip
    log = json.loads(record(tmp_path, [table], script="analyses").read_text(encoding="utf-8"))
    assert log["parts"]["tbl-a"]["call"] == "tbl-a, written by hand"


def test_a_table_of_the_log_needs_no_figure(tmp_path: Path) -> None:
    curves = als.kaplan_meier(frames()["units"], time="time", event="event")
    table = tidy_table(curves.tidy(), {"time": "Time"}, label="tbl-a", caption="A", note="B.")
    log = json.loads(record(tmp_path, [table], script="analyses").read_text(encoding="utf-8"))
    assert log["parts"]["tbl-a"]["files"] == {}
    assert log["parts"]["tbl-a"]["notes"] == ["A", "B."]
