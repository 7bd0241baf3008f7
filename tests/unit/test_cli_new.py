"""A new study folder: what is in it, and that its page and Markdown hold together."""

from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from alliance_stats.cli import app
from alliance_stats.cli.page import markdown, write_page
from alliance_stats.figures.flow import flow_figure
from alliance_stats.ledger import RowLedger
from alliance_stats.tables import ReportTable

FILES = {
    "README.md",
    "_quarto.yml",
    "analysis.py",
    "plan.toml",
    "report.qmd",
    "data/sessions.csv",
    "data/families.csv",
}


def new(folder):
    return CliRunner().invoke(app, ["new", str(folder)])


def files_of(folder) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}


def test_new_writes_every_file_and_says_what_comes_next(tmp_path):
    folder = tmp_path / "my study" / "first"
    result = new(folder)
    assert result.exit_code == 0
    assert files_of(folder) == FILES
    assert f"cd '{folder}'" in result.stdout
    assert "simulated" in result.stdout


def test_new_takes_an_empty_folder_and_never_writes_over_anything(tmp_path):
    assert new(tmp_path).exit_code == 0
    (tmp_path / "analysis.py").write_text("mine", encoding="utf-8")
    again = new(tmp_path)
    assert again.exit_code == 1
    assert "is not an empty folder" in again.stderr
    assert (tmp_path / "analysis.py").read_text(encoding="utf-8") == "mine"


def test_new_refuses_a_file_in_its_way(tmp_path):
    (tmp_path / "x").write_text("", encoding="utf-8")
    assert new(tmp_path / "x").exit_code == 1
    below = new(tmp_path / "x" / "y")
    assert below.exit_code == 1
    assert "cannot be written" in below.stderr


def test_the_check_that_the_readme_names_passes_on_the_templates(tmp_path, monkeypatch):
    new(tmp_path)
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    start = readme.index("alliance-stats check")
    words = readme[start : readme.index("\n\n", start)].replace("\\\n", " ").split()
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.stderr
    assert "2 set aside: family without a session" in result.stdout


def flow():
    rows = RowLedger.start(pd.DataFrame({"family": [1, 2]}), {"family": ("family",)})
    return flow_figure(rows, label="fig-flow")


def table():
    frame = pd.DataFrame({"Term": ["a"], "p": ["< .001"]})
    return ReportTable(frame, label="tbl-x", caption="A table.", note="p < .001.")


def test_the_page_numbers_its_parts_links_to_them_and_escapes_text(tmp_path):
    page = tmp_path / "page.html"
    parts = ["See @fig-flow and @tbl-x; p < .001.", flow(), table()]
    write_page(page, title="A & B", source="Made up.", sections={"One": parts})
    text = page.read_text(encoding="utf-8")
    assert '<p>See <a href="#fig-flow">Figure 1</a> and <a href="#tbl-x">Table 1</a>; ' in text
    assert "<em>p</em> &lt; .001.</p>" in text
    assert "<figcaption><strong>Figure 1.</strong> " in text
    assert "<caption><strong>Table 1.</strong> " in text
    assert "<h1>A &amp; B</h1>" in text
    assert text.count("<svg ") == 2  # one for a phone
    assert text.count('class="drawing narrow"') == 1
    assert '<td data-label="Term">a</td>' in text
    assert 'download="fig-flow.csv"' in text
    assert "Drawn by <code>flow_figure(RowLedger, label='fig-flow')</code>." in unescape(text)
    assert "@media (prefers-color-scheme: dark)" in text
    assert "src=" not in text


def test_a_page_whose_references_do_not_resolve_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'@fig-none', which is not on the page"):
        write_page(tmp_path / "p.html", title="t", source="s", sections={"One": ["@fig-none"]})
    with pytest.raises(ValueError, match="Two parts .* 'fig-flow'"):
        write_page(tmp_path / "p.html", title="t", source="s", sections={"One": [flow(), flow()]})


def test_a_part_becomes_markdown_that_finds_its_image_from_the_document(tmp_path):
    text = markdown(flow(), tmp_path / "generated")
    assert "](generated/fig-flow.svg)" in text
    assert (tmp_path / "generated" / "fig-flow.svg").is_file()
    assert "::: {#tbl-x}" in markdown(table(), tmp_path / "generated")
    assert markdown("@tbl-x: a_b, p < .001", tmp_path) == "@tbl-x: a\\_b, *p* \\< .001\n"
