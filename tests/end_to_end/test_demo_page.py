"""One self-contained page with every figure, caption, table and flow."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from alliance_stats.provenance.log import read_log
from alliance_stats.tables import ReportTable
from analyses import page
from analyses.__main__ import ANALYSES
from analyses.chapter import Chapter, Section
from analyses.page import page_html
from tests.end_to_end.fragments import REPORTS

VOID = {"meta", "link", "br", "img", "hr", "path", "use", "line", "rect", "circle", "polygon"}


class Outline(HTMLParser):
    """Ids, links and the balance of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):  # noqa: ARG002
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def outline(demo):
    outline = Outline()
    outline.feed(demo.html)
    return outline


def table(label: str = "tbl-x", caption: str = "A caption.") -> ReportTable:
    return ReportTable(pd.DataFrame({"a": ["1"]}), label=label, caption=caption, note="A note.")


def chapter(*parts: ReportTable, text: str = "See @tbl-x.") -> Chapter:
    section = Section("sec-x", "A heading", text, parts)
    return Chapter("x", "A title", "simulated", "A source.", (section,), {}, "A headline")


def test_every_figure_and_table_of_every_analysis_is_on_the_page(demo, outline):
    parts = {
        label
        for document in REPORTS.glob("*.qmd")
        for label in re.findall(r"/_((?:fig|tbl)-[a-z0-9-]+)[.]qmd", document.read_text("utf-8"))
    }
    assert len(parts) > 20
    assert {name for name in outline.ids if name.startswith(("fig-", "tbl-"))} == parts


def test_nothing_is_fetched(demo):
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", demo.html.replace("xlink:", ""))
    assert "@import" not in demo.html
    assert "url(http" not in demo.html
    assert "<script" not in demo.html


def test_tags_are_balanced_ids_are_unique_and_links_lead_somewhere(outline):
    assert outline.open == []
    repeated = {name for name in outline.ids if outline.ids.count(name) > 1}
    assert {name for name in repeated if name.startswith(("fig-", "tbl-", "sec-"))} == set()
    within = {link.removeprefix("#") for link in outline.links if link.startswith("#")}
    assert within
    assert within <= set(outline.ids)
    assert all(link.startswith(("#", "data:text/csv;base64,")) for link in outline.links)


def test_drawings_of_different_figures_share_no_id(demo):
    """Ids that clip or mark in one drawing must not act in another."""
    drawings = re.findall(r"<svg .*?</svg>", demo.html, flags=re.S)
    assert len(drawings) == 2 * demo.html.count('class="figure"')  # the second for a phone
    used = [set(re.findall(r"url\(#([^)]+)\)|xlink:href=\"#([^\"]+)\"", svg)) for svg in drawings]
    ids = [{name for pair in pairs for name in pair if name} for pairs in used]
    for i, mine in enumerate(ids):
        for theirs in ids[i + 1 :]:
            assert not mine & theirs


def test_a_phone_gets_its_own_width(demo):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in demo.html
    assert "@media (max-width: 40rem)" in demo.html
    narrow = re.findall(r'<div class="drawing narrow"><svg [^>]*width="([\d.]+)pt"', demo.html)
    assert len(narrow) == demo.html.count('class="figure"')
    assert {round(float(width)) for width in narrow} == {252}  # 89 mm


def test_the_page_is_read_in_the_dark_and_in_print(demo):
    assert "@media (prefers-color-scheme: dark)" in demo.html
    assert "@media print" in demo.html


def test_tables_are_set_in_small_letters_without_gaps():
    rules = re.findall(
        r"^table \{(.*?)\}",
        Path(page.__file__).with_name("page.css").read_text(encoding="utf-8"),
        re.S | re.M,
    )
    assert any("border-collapse" in rule and "font-size" in rule for rule in rules)


def test_simulated_and_real_are_told_apart(demo):
    assert "The example study is simulated" in demo.html
    assert demo.html.count("The trial holds no alliance ratings") == 2
    for article in re.findall(r"<article .*?</article>", demo.html, flags=re.S):
        captions = re.findall(r"<figcaption>(.*?)</figcaption>", article, flags=re.S)
        said = ["simulated" in caption.lower() for caption in captions]
        real = ["real data" in caption.lower() for caption in captions]
        assert said
        if 'class="badge simulated"' in article:  # a figure of a trial in it says that it is real
            assert all(one != other for one, other in zip(said, real, strict=True))
        else:
            assert not any(said)


def test_no_reference_is_left_unresolved(demo):
    assert not re.search(r"@(fig|tbl)-", demo.html)


def test_the_path_and_a_summary_are_printed(demo):
    assert str(demo.folder / "index.html") in demo.printed
    assert "The alliance in families (simulated data; 6 figures, 2 tables)" in demo.printed
    assert "Beat the Blues: computerised CBT for depression (real data" in demo.printed


def test_a_reference_becomes_a_link_with_its_number():
    page = page_html([chapter(table())])
    assert 'See <a href="#tbl-x">Table 1</a>.' in page
    assert "<figcaption><b>Table 1.</b> A caption.</figcaption>" in page


def test_text_is_escaped():
    page = page_html([chapter(table(caption="a < b & c"), text="x <b> @tbl-x")])
    assert "a &lt; b &amp; c" in page
    assert "x &lt;b&gt; <a" in page


def test_an_unknown_reference_is_refused():
    with pytest.raises(ValueError, match="'@fig-y', which is not on the page"):
        page_html([chapter(table(), text="See @fig-y.")])


def test_two_parts_of_one_label_are_refused():
    with pytest.raises(ValueError, match="Two parts of the page are labelled 'tbl-x'"):
        page_html([chapter(table(), table())])


def test_two_sections_of_one_label_are_refused():
    twice = replace(chapter(table()), sections=chapter(table()).sections * 2)
    with pytest.raises(ValueError, match="labelled"):
        page_html([twice])
    other = replace(chapter(table("tbl-y"), text="@tbl-y"), name="y")
    with pytest.raises(ValueError, match="Two sections of the page are labelled 'sec-x'"):
        page_html([chapter(table()), other])


def test_a_long_table_is_folded_and_a_short_one_is_not():
    long = replace(table(), frame=pd.DataFrame({"a": ["1"] * 41}))
    assert "<details><summary>Show 41 rows</summary>" in page_html([chapter(long)])
    assert "<details>" not in page_html([chapter(table())])


def test_every_figure_table_and_number_is_logged_with_what_it_was_made_of(demo):
    log = read_log(demo.folder)
    entries = {**log["parts"], **log["numbers"]}
    chapters = {name.split(".")[0] for name in log["numbers"]}
    assert chapters == {analysis.name for analysis in ANALYSES}
    assert len(log["numbers"]) > 150
    assert set(log["parts"]) == set(re.findall(r'<figure id="([^"]+)"', demo.html))
    for name, entry in entries.items():
        assert re.fullmatch("[0-9a-f]{64}", entry["data"]), name
        assert all(entry[field].strip() for field in ("call", "method", "rows")), name
        assert "came in" in entry["rows"], name
        assert "written by hand" not in entry["call"], name
        assert isinstance(entry["notes"], list), name
        assert entry["seed"] is not None or not entry["drawn"], name


def test_what_is_drawn_at_random_has_the_seed_of_its_chapter(demo):
    """The call that draws is in the chapter's own code; the log must have its seed."""
    log = read_log(demo.folder)
    said = ("draws", "permut", "bootstrap", "imputed")
    entries = {**log["parts"], **log["numbers"]}
    drawn = {
        name
        for name, entry in entries.items()
        if any(word in entry["method"].lower() for word in said)
    }
    assert len(drawn) > 20
    assert {name for name in drawn if entries[name]["seed"] is None} == set()
