"""What is printed stays text in every medium, and files are whole or not there."""

import errno
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from alliance_stats import cox_ph, endings, lmm
from alliance_stats.datasets import example_study
from alliance_stats.errors import DataError
from alliance_stats.figures import ReportFigure, estimation_figure, kaplan_meier_figure
from alliance_stats.figures.style import new_figure
from alliance_stats.formatting import is_blank, to_markdown
from alliance_stats.groups import compare_groups
from alliance_stats.output import csv_text, write_whole
from alliance_stats.survival import kaplan_meier
from alliance_stats.tables import ReportTable, group_table, model_table, tidy_table

ESC, BOM = "\x1b[31m", "\ufeff"


def table(**changed: object) -> ReportTable:
    given = {"frame": pd.DataFrame({"Term": ["a"]}), "label": "tbl-a", "caption": "C", "note": "n"}
    return ReportTable(**(given | changed))  # type: ignore[arg-type]


def two_groups(labels=("pre", "post"), outcome="symptoms") -> pd.DataFrame:
    values = np.random.default_rng(1).normal(105, 15, 120)
    return pd.DataFrame({"g": np.repeat(list(labels), 60), outcome: values})


@pytest.mark.parametrize(
    ("labels", "outcome"),
    [
        (("pre", "post"), "symptoms"),
        (("1", "2"), "BSI"),
        (("CG", "TG"), "age"),
        (("control", "therapy"), "age"),
    ],
)
def test_every_two_group_table_has_its_markdown(labels, outcome, tmp_path):
    found = compare_groups(two_groups(labels, outcome), outcomes=outcome, group="g")
    shown = group_table(found, label="tbl-a", caption="C")
    assert all(name in shown.markdown() for name in labels)
    assert shown.save(tmp_path).exists()


def test_tables_wider_than_the_page_are_written():
    wide = pd.DataFrame({f"c{i}": [1234567.891, 2345678.912] for i in range(8)})
    shown = tidy_table(wide, {c: c for c in wide}, label="tbl-a", caption="C", note="n")
    assert "1,234,567.89" in shown.markdown()
    data = pd.DataFrame({"y": np.arange(60.0) % 7, "x": np.arange(60.0) % 5})
    tidy = lmm("y ~ x + (1 | h)", data.assign(h=np.repeat(range(12), 5))).tidy()
    assert tidy_table(tidy, {c: c for c in tidy}, label="tbl-a", caption="C", note="n").markdown()
    left = endings(example_study()).units
    models = {k: cox_ph("experience", left, time="time", event="event") for k in "ABCDE"}
    assert model_table(models, label="tbl-a", caption="C").markdown()


@pytest.mark.skipif(shutil.which("pandoc") is None, reason="needs pandoc")
@pytest.mark.parametrize(
    "words",
    [
        "- a dash", "+ a plus", "1. first", "(a) item", "iv) item", "::: {.x}", ": defined",
        "# head", "{{< env HOME >}}", "a | b", "*b* <i>", "@cited", "$x$", "a--b",
        "and so on...", "> quoted",
    ],
)  # fmt: skip
def test_pandoc_reads_a_caption_as_the_words_it_is(words):
    command = ["pandoc", "-f", "markdown", "-t", "json", "--wrap=none"]
    made = subprocess.run(
        command, input=to_markdown(words), capture_output=True, text=True, check=True
    ).stdout
    plain = subprocess.run(
        ["pandoc", "-f", "json", "-t", "plain", "--wrap=none"],
        input=made, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert '"t":"Para"' in made
    assert plain.strip() == words
    assert "{{<" not in to_markdown(words)


def test_a_shortcode_in_a_text_alternative_stays_text():
    figure = new_figure(2, 2)
    figure.add_subplot().plot([0, 1])
    data = pd.DataFrame({"x": [1]})
    made = ReportFigure(figure, "fig-a", "c", 'alt {{< env HOME >}} "q"\n<b>', "n", data)
    assert "{{<" not in made.markdown("a.svg")
    assert made.markdown("a.svg").count("\n\n") == 3
    assert "<b>" not in made.svg()


@pytest.mark.parametrize("label", [f"{ESC}red", "a\nb", "\x00nul", "a\ufffeb"])
def test_steering_characters_do_not_reach_svg_or_html(label):
    data = two_groups((label, "x"))
    compared = compare_groups(data, outcomes="symptoms", group="g")
    for text in (
        estimation_figure(compared, outcome="symptoms").svg(),
        f"<p>{group_table(compared, label='tbl-a', caption=label).html()}</p>",
    ):
        ET.fromstring(text.replace("&nbsp;", " "))
        assert "\x1b" not in text
    assert "\x1b" not in group_table(compared, label="tbl-a", caption=label).markdown()


@pytest.mark.parametrize("label", ["\u200b", BOM, " ", "\u2060"])
def test_labels_that_cannot_be_seen_are_refused(label):
    assert is_blank(label)
    with pytest.raises(ValueError, match="empty caption"):
        table(caption=label)
    with pytest.raises(DataError, match="cannot be seen"):
        table(frame=pd.DataFrame({"Term": ["a"], label: ["b"]}))
    if not label.strip():
        return
    compared = compare_groups(two_groups(), outcomes="symptoms", group="g")
    with pytest.raises(ValueError, match="a label of the figure is blank"):
        estimation_figure(compared, outcome="symptoms", outcome_label=label)


def test_spreadsheets_run_nothing_and_numbers_are_untouched(tmp_path):
    frame = pd.DataFrame(
        {"=cmd": ["=1+1", "+x", "@f", "-a", "-0.5", "−0.21", "a=b"], "n": [-1.5] * 7}
    )
    lines = csv_text(frame).splitlines()
    assert lines[0] == "'=cmd,n"
    assert [line.split(",")[0] for line in lines[1:]] == [
        "'=1+1", "'+x", "'@f", "'-a", "-0.5", "−0.21", "a=b",
    ]  # fmt: skip
    assert all(line.endswith(",-1.5") for line in lines[1:])
    curve = kaplan_meier(
        pd.DataFrame({"t": [1, 2, 3, 4], "e": [1, 0, 1, 1], "g": ["=A1", "=A1", "b", "b"]}),
        time="t", event="e", strata="g",
    )  # fmt: skip
    kaplan_meier_figure(curve).save(tmp_path)
    assert ",=A1" not in (tmp_path / "fig-kaplan-meier.csv").read_text(encoding="utf-8")
    assert list(frame.columns) == ["=cmd", "n"]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    write_whole(path, "whole")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "half")
    assert path.read_text(encoding="utf-8") == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]
