"""Tables as files: Word as APA sets it, LaTeX, Markdown; bytes repeat; what is missing is said."""

import io
import sys

import docx
import pandas as pd
import pytest
from docx.enum.text import WD_ALIGN_PARAGRAPH

from alliance_stats.tables import ReportTable


def table(label: str = "tbl-models") -> ReportTable:
    frame = pd.DataFrame(
        {
            "Term": ["session & role_1", "role: father", "Rows"],
            "Estimate": ["0.21", "−1.30", "192"],
            "p": ["< .001", ".042", ""],
        }
    )
    note = "t(43.2) = 4.61; 95% of 7 persons."
    return ReportTable(frame, label, "Growth, p < .05", note, ("Fixed", "Fixed", "Sizes"))


def opened(made: ReportTable) -> "docx.document.Document":
    return docx.Document(io.BytesIO(made.docx()))


def test_word_has_caption_cells_sections_and_note() -> None:
    document = opened(table())
    assert [p.text for p in document.paragraphs if p.text] == [
        "Growth, p < .05",
        "Note. t(43.2) = 4.61; 95% of 7 persons.",
    ]
    rows = [[cell.text for cell in row.cells] for row in document.tables[0].rows]
    assert rows[0] == ["Term", "Estimate", "p"]
    assert set(rows[1]) == {"Fixed"}  # one cell over all columns
    assert rows[2] == ["session & role_1", "0.21", "< .001"]
    assert set(rows[4]) == {"Sizes"}
    assert rows[5] == ["Rows", "192", ""]


def test_word_aligns_numbers_right_and_sets_symbols_in_italics() -> None:
    document = opened(table())
    first = document.tables[0].rows[2].cells
    sides = [cell.paragraphs[0].alignment for cell in first]
    assert sides == [WD_ALIGN_PARAGRAPH.LEFT, WD_ALIGN_PARAGRAPH.RIGHT, WD_ALIGN_PARAGRAPH.RIGHT]
    heading = document.tables[0].rows[0].cells
    assert [cell.paragraphs[0].runs[0].italic for cell in heading] == [False, False, True]
    note = document.paragraphs[-1]
    assert [run.text for run in note.runs if run.italic] == ["Note. ", "t"]


def test_word_has_three_rules_and_repeats_its_heading() -> None:
    made = opened(table()).tables[0]
    xml = made._tbl.xml
    assert xml.count('<w:top w:val="single"') == 3  # a cell of the heading each
    assert xml.count('<w:bottom w:val="single"') == 6
    assert "<w:left w:val" not in xml
    assert "w:tblHeader" in xml


def test_bytes_repeat() -> None:
    assert table().docx() == table().docx()
    assert table().tex() == table().tex()


def test_latex_escapes_and_sets_rules() -> None:
    text = table().tex()
    assert r"session \& role\_1 & 0.21 & \textless{} .001 \\" in text
    assert r"\begin{tabular}{lrr}" in text
    assert r"Term & Estimate & \emph{p} \\" in text
    assert r"\multicolumn{3}{l}{\textbf{Fixed}} \\" in text
    assert r"role: father & $-$1.30 & .042 \\" in text
    assert r"\caption{Growth, \emph{p} \textless{} .05}" in text
    assert r"95\% of 7 persons." in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1


def test_files_are_those_asked_for(tmp_path) -> None:
    table().save(tmp_path, formats=["docx", "html", "md", "tex"])
    names = {path.name for path in tmp_path.iterdir()}
    files = {f"tbl-models.{kind}" for kind in ("docx", "html", "md", "tex")}
    assert names == files | {"_tbl-models.qmd"}
    assert ": Growth, *p* \\< .05" in (tmp_path / "tbl-models.md").read_text("utf-8")
    with pytest.raises(ValueError, match="formats must be one of 'html', 'csv', 'md'"):
        table().save(tmp_path, formats=["pdf"])


def test_without_the_library_it_is_named_and_nothing_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(ImportError, match=r"python-docx.*alliance-stats\[word\]"):
        table().save(tmp_path / "new", formats=["html", "docx"])
    assert not (tmp_path / "new").exists()
