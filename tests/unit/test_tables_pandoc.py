"""Tables through Pandoc, which Quarto uses for Word and PDF. Skipped where there is no Pandoc."""

import io
import json
import re
import shutil
import subprocess
import zipfile

import pandas as pd
import pytest

from alliance_stats.tables import ReportTable

pytestmark = pytest.mark.skipif(
    shutil.which("pandoc") is None, reason="pandoc is not on the PATH: not tried with it"
)
NUMBERS = "[−10.12, −8.30]"
TABLE = ReportTable(
    pd.DataFrame(
        {
            "Term": ["role[mother] * a|b", "Something said at length, in many words " * 3],
            "b": ["−0.21", "12.00"],
            "95% CI": [NUMBERS, "–"],
            "p": ["< .001", ".034"],
        }
    ),
    "tbl-x",
    "A caption, p < .05.",
    "A note with 5 < 6 and @name.",
    ("One", "Two"),
)


def converted(to: str) -> bytes:
    command = ["pandoc", "--from", "markdown", "--to", to, "--output", "-"]
    found = subprocess.run(
        command, input=TABLE.markdown().encode(), capture_output=True, check=True
    )
    assert found.stderr == b""
    return found.stdout


def test_word_gets_a_table_with_every_cell_as_it_reads():
    with zipfile.ZipFile(io.BytesIO(converted("docx"))) as file:
        document = file.read("word/document.xml").decode("utf-8")
    assert document.count("<w:tbl>") == 1
    assert document.count("<w:tr>") == 5  # heading, two sections, two rows
    words = re.sub(r"<w:p\b", "\n<w:p", document)
    text = re.sub(r"<[^>]+>", "", words)
    for cell in ("role[mother] * a|b", NUMBERS, "&lt; .001", "A caption, p &lt; .05.", "@name"):
        assert cell in text
    assert "&amp;lt;" not in document
    assert "\\" not in text


def test_numbers_have_room_and_words_stand_to_the_left():
    blocks = json.loads(converted("json"))["blocks"]
    (table,) = [block for block in blocks[0]["c"][1] if block["t"] == "Table"]
    columns = table["c"][2]
    assert [align["t"] for align, _ in columns] == ["AlignLeft", *["AlignRight"] * 3]
    widths = [width["c"] for _, width in columns]
    assert sum(widths) == pytest.approx(1.0)
    line = 84  # characters of print
    assert widths[2] * line > len(NUMBERS)
    assert widths[3] * line > len("< .001")
    assert widths[0] == max(widths)
