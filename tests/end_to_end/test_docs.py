"""The pages of methods run without error or warning, and the committed ones are what they print."""

import re

import pytest

import alliance_stats
from alliance_stats import figures, power, scales, survival, tables
from docs import build

PAGES = sorted(build.PAGES.glob("*.md"))
SITE_PAGES = [page for folder in build.sections() for page in sorted(folder.glob("*.md"))]
ROOMS = (alliance_stats, figures, power, scales, survival, tables)
IN_FORMULAS = {"C", "Treatment", "poly", "cr", "scale", "offset"}
INDEX = build.METHODS / "README.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_committed_page_is_what_a_build_gives(page):
    committed = (build.METHODS / page.name).read_text(encoding="utf-8")
    assert build.built(page) == committed, "run `make docs`"


@pytest.mark.parametrize("page", SITE_PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_a_page_of_the_site_runs_and_its_links_lead_somewhere(page, tmp_path):
    text = build.built(page, pictures=tmp_path)
    for target in re.findall(r"\]\(([^)#]+\.md)", text):
        section, _, name = target.removeprefix("../").rpartition("/")
        kept = build.FOLDER / section / name
        source = build.PAGES / (section or page.parent.name) / name
        assert kept.exists() or source.exists(), target
    assert "```python" not in text or "```text" in text or "![" in text, "nothing is shown"


def test_the_dictionary_from_r_names_what_is_there():
    text = (build.FOLDER / "r_dictionary.md").read_text(encoding="utf-8")
    rows = [line.rsplit("|", 2)[1] for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) >= 60
    for called in re.findall(r"(?<![\w.])(\w+)\(", " ".join(rows)):
        assert any(hasattr(room, called) for room in ROOMS) or called in IN_FORMULAS, called


def test_no_page_is_left_over():
    assert {page.name for page in build.METHODS.glob("*")} == {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_points_to_exists(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("http"):
            assert (build.METHODS / target).exists(), target
    folder = build.FOLDER.parent / "tests"
    for name in re.findall(r"(?:tests/\w+/)?(test_\w+\.py)", text):
        assert list(folder.rglob(name)), name


def test_the_index_names_every_page():
    linked = set(re.findall(r"\]\((\w+\.md)", INDEX.read_text(encoding="utf-8")))
    assert linked == {page.name for page in PAGES} - {"README.md"}


def test_every_public_name_stands_on_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    drawn = [name for name in figures.__all__ if name.endswith("_figure")]
    missing = [
        name for name in [*alliance_stats.__all__, *drawn] if not re.search(rf"\b{name}\b", text)
    ]
    assert missing == ["__version__"]


def page_of(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_blocks_share_a_namespace_and_prints_stand_beneath(tmp_path):
    page = page_of(
        tmp_path, "```python\na = 2\n```\n\nText.\n\n```python\nprint(a, ' ')\n```\nEnd.\n"
    )
    assert build.built(page) == (
        "```python\na = 2\n```\n\nText.\n\n```python\nprint(a, ' ')\n```\n\n```text\n2\n```\nEnd.\n"
    )


@pytest.mark.parametrize("code", ["1 / 0", "import warnings; warnings.warn('x')"])
def test_a_block_that_raises_or_warns_ends_the_build(tmp_path, code):
    page = page_of(tmp_path, f"# Title\n\n```python\n{code}\n```\n")
    with pytest.raises((ZeroDivisionError, UserWarning)) as caught:
        build.built(page)
    frame = caught.traceback[-1]
    assert (str(frame.path), frame.lineno + 1) == (str(page), 4)


def test_marks_are_read_from_the_tests(tmp_path):
    page = page_of(tmp_path, "[[test_lmm_lme4.STD_ERROR]] [[survival_curves]]\n")
    assert build.built(page) == "1e-4 R 4.2.2, survival 3.5.3\n"


def test_tables_are_read_from_their_pages(tmp_path):
    found = build.built(page_of(tmp_path, "A\n\n[[coverage/therapist_effect#1]]\n"))
    table = (build.FOLDER / "coverage" / "therapist_effect.md").read_text(encoding="utf-8")
    assert found.splitlines()[2:] == [row for row in table.splitlines() if row.startswith("|")]


def test_a_mark_of_nothing_ends_the_build(tmp_path):
    with pytest.raises(KeyError, match="NOTHING"):
        build.built(page_of(tmp_path, "[[test_lmm_lme4.NOTHING]]"))
