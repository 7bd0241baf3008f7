"""Tables: cells in words, safe in HTML and in Markdown."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.formatting import format_interval, format_number, format_p
from alliance_stats.groups import compare_groups
from alliance_stats.tables import ReportTable, group_table, tidy_table

TIDY = pd.DataFrame(
    {
        "term": ["(Intercept)", "role[mother]", "a|b*c"],
        "estimate": [4.8, -0.214, np.nan],
        "conf_low": [4.6, -0.31, np.nan],
        "conf_high": [5.0, -0.12, np.nan],
        "df": [41.3, 600.0, np.inf],
        "p_value": [0.0004, 0.034, np.nan],
        "n_obs": [6000, 12, 3],
    }
)


def scores() -> pd.DataFrame:
    """Return invented scores of thirty units in each of two groups."""
    rng = np.random.default_rng(22)
    group = np.repeat(np.array(["a", "b"], dtype=object), 30)
    return pd.DataFrame({"group": group, "alliance": rng.normal(4.8, 0.9, 60)})


HEADINGS = {
    "term": "Term",
    "estimate": "b",
    "conf_low": "95% CI",
    "df": "df",
    "p_value": "p",
    "n_obs": "n",
}


def table() -> ReportTable:
    return tidy_table(
        TIDY, HEADINGS, label="tbl-model", caption="A model, p < .05.", note="b per session."
    )


def test_cells_are_in_apa_style() -> None:
    assert table().frame.to_numpy().tolist() == [
        ["(Intercept)", "4.80", "[4.60, 5.00]", "41.3", "< .001", "6,000"],
        ["role[mother]", "−0.21", "[−0.31, −0.12]", "600", ".034", "12"],
        ["a|b*c", "–", "[–, –]", "∞", "–", "3"],
    ]


def test_markdown_is_a_labelled_pipe_table() -> None:
    text = table().markdown()
    lines = text.splitlines()
    assert lines[0] == "::: {#tbl-model}"
    pipes = [line for line in lines if line.startswith("|")]
    assert len(pipes) == 5
    assert len({len(line) for line in [pipes[0], *pipes[2:]]}) == 1
    assert "*b*" in pipes[0]
    assert "*p*" in pipes[0]
    assert pipes[1].count("-:") == 5  # numbers stand to the right
    assert pipes[1].startswith("| :-")  # words to the left, in every format
    assert r"\< .001" in pipes[2]
    assert r"role\[mother\]" in pipes[3]
    assert r"a\|b\*c" in pipes[4]
    assert "A model, *p* \\< .05." in lines
    assert lines[-1] == "*Note.* b per session."
    assert "&lt;" not in text


def test_html_escapes_once() -> None:
    html = table().html()
    assert '<td style="text-align: right">&lt; .001</td>' in html
    assert "&amp;lt;" not in html
    assert '<table id="tbl-model">' in html
    assert "<caption>A model, <em>p</em> &lt; .05.</caption>" in html
    assert "<em>p</em></th>" in html
    assert html.count("<tr>") == 4


def test_hostile_names_stay_text() -> None:
    frame = pd.DataFrame({"<b>": ["<script>x</script>", "a\n|b", "{{< include x >}}"]})
    made = ReportTable(frame, "tbl-x", "@fig-x & <i>", "n")
    assert "<script>" not in made.html()
    assert "<i>" not in made.html()
    markdown = made.markdown()
    assert r"\@fig-x" in markdown
    assert r"a \|b" in markdown
    assert "{{<" not in markdown


def test_sections_are_headed_where_they_change() -> None:
    frame = pd.DataFrame({"Term": ["a", "b", "c"], "M": ["1", "2", "3"]})
    made = ReportTable(frame, "tbl-x", "c", "n", sections=("Fixed", "Fixed", "Fit"))
    pipes = [line for line in made.markdown().splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in [pipes[0], *pipes[2:]]] == [
        "Term", "**Fixed**", "a", "b", "**Fit**", "c",
    ]  # fmt: skip
    assert made.html().count('scope="rowgroup" colspan="2"') == 2


def test_symbols_in_headings_are_in_italics_once() -> None:
    frame = pd.DataFrame({"a (n = 12)": ["1"], "b, M": ["2"]})
    pipes = ReportTable(frame, "tbl-x", "c", "n").markdown().splitlines()[2]
    assert "a (*n* = 12)" in pipes
    assert "*b*, *M*" in pipes


def test_numbers_keep_their_width_where_words_share_the_line() -> None:
    frame = pd.DataFrame(
        {"What was asked": ["several words " * 20, "few"], "95% CI": ["[−10.12, 12.30]", "–"]}
    )
    rule = ReportTable(frame, "tbl-x", "c", "n").markdown().splitlines()[3]
    words, numbers = (len(cell.strip()) - 1 for cell in rule.strip("|").split("|"))
    assert numbers >= len("[−10.12, 12.30]")
    assert words + numbers <= 84  # a line of print
    assert words > 3 * numbers


def test_shows_once_as_html_or_markdown() -> None:
    assert set(table()._repr_mimebundle_()) == {"text/html", "text/markdown"}
    assert not hasattr(table(), "_repr_html_")


def test_saves_the_same_bytes_twice(tmp_path: Path) -> None:
    fragment = table().save(tmp_path / "one")
    table().save(tmp_path / "two")
    assert fragment.name == "_tbl-model.qmd"
    assert fragment.read_text(encoding="utf-8") == table().markdown()
    one = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    assert set(one) == {"_tbl-model.qmd", "tbl-model.html", "tbl-model.csv"}
    assert one == {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}


def test_caller_frames_are_not_changed() -> None:
    before = TIDY.copy()
    table()
    pd.testing.assert_frame_equal(TIDY, before)


@pytest.mark.parametrize(
    ("frame", "given", "error", "message"),
    [
        ({"x": ["a"]}, {"label": "models"}, ValueError, "label must be 'tbl-'.*got 'models'"),
        ({"x": ["a"]}, {"caption": ""}, ValueError, "tbl-x has an empty caption"),
        ({"x": ["a"]}, {"note": " "}, ValueError, "tbl-x has an empty note"),
        ({"x": []}, {}, DataError, "tbl-x has no rows"),
        ({"x": ["a", 0.123456]}, {}, DataError, "column 'x' holds 0.123456, which is not text"),
        ({"x": ["a"]}, {"sections": ("a", "b")}, ValueError, "1 rows but 2 section names"),
    ],
)
def test_refuses(
    frame: dict[str, list[object]], given: dict[str, object], error: type, message: str
) -> None:
    words: dict[str, object] = {"label": "tbl-x", "caption": "c", "note": "n"}
    with pytest.raises(error, match=message):
        ReportTable(pd.DataFrame(frame), **(words | given))  # type: ignore[arg-type]


def test_tidy_table_refuses_a_column_that_is_not_there() -> None:
    with pytest.raises(DataError, match="has no column 'pvalue'"):
        tidy_table(TIDY, {"pvalue": "p"}, label="tbl-x", caption="c", note="n")


def test_groups_as_a_table() -> None:
    compared = compare_groups(scores(), outcomes="alliance", group="group")
    row = compared.tidy().iloc[0]
    made = group_table(
        compared, label="tbl-g", caption="c", words={"alliance": "WAI", "a": "First"}
    )
    cells = made.frame.iloc[0]
    assert cells["Outcome"] == "WAI"
    assert cells["First: M (SD), n"] == f"{row['mean_1']:.2f} ({row['sd_1']:.2f}), 30"
    assert cells["Difference [95% CI]"] == (
        f"{format_number(row['estimate'])} {format_interval(row['conf_low'], row['conf_high'])}"
    )
    assert cells["g [95% CI]"].startswith(format_number(row["hedges_g"]))
    assert cells["p"] == format_p(row["p_value"])
    assert "Welch t test" in made.note
    assert "First minus b" in made.note
    assert "First: *M* (*SD*), *n*" in made.markdown()


def test_small_numbers_keep_two_digits_of_their_sd() -> None:
    small = pd.DataFrame({"g": ["a", "b"] * 6, "y": [k * k * 1e-4 for k in range(12)]})
    found = compare_groups(small, outcomes="y", group="g")
    row = found.tidy().iloc[0]
    cell = group_table(found, label="tbl-g", caption="c").frame.loc[0, "a: M (SD), n"]
    assert cell == f"{format_number(row['mean_1'], 4)} ({format_number(row['sd_1'], 4)}), 6"


def test_a_group_of_one_is_described_and_not_tested() -> None:
    compared = compare_groups(scores().iloc[29:], outcomes="alliance", group="group")
    made = group_table(compared, label="tbl-g", caption="c")
    assert made.frame["p"].iloc[0] == "–"
    assert "described, not tested" in made.note
