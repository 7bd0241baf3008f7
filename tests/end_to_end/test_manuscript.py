"""`alliance-stats new --report apa` makes a manuscript that holds together, for any study."""

import io
import re
import shutil
import subprocess
import sys
import warnings
import zipfile

import pandas as pd
import pytest
from typer.testing import CliRunner

from alliance_stats.cli import app
from alliance_stats.cli.page import markdown
from alliance_stats.errors import AllianceStatsWarning
from alliance_stats.figures import ReportFigure
from alliance_stats.tables import ReportTable
from tests.quarto_check import check_document

SECTIONS = ("source", "abstract", "participants", "measures", "statistics", "course", "dropout",
            "groups")  # fmt: skip
DRAWN = {"fig-participants", "fig-trajectories", "fig-dropout", "fig-groups"}


def new(folder, *, families=12):
    """Make a study folder with few of the example's families."""
    assert CliRunner().invoke(app, ["new", str(folder), "--report", "apa"]).exit_code == 0
    of = pd.read_csv(folder / "data" / "families.csv")
    few = of.groupby(["parent_alliance", "ending"]).head(2).head(families)
    few = few.assign(therapist=[f"T{i % 3}" for i in range(len(few))])
    few.to_csv(folder / "data" / "families.csv", index=False)
    sessions = pd.read_csv(folder / "data" / "sessions.csv")
    sessions = sessions[sessions["family"].isin(few["family"]) & (sessions["session"] <= 8)]
    sessions.to_csv(folder / "data" / "sessions.csv", index=False)
    return folder


def set_to(folder, **settings):
    script = folder / "analysis.py"
    text = script.read_text(encoding="utf-8")
    for name, value in settings.items():
        text, n = re.subn(rf"^({name}(?:: [^=]*)?) = [^\n#]*", rf"\1 = {value}", text, flags=re.M)
        assert n == 1, name
    script.write_text(text, encoding="utf-8")


def changed(folder, **columns):
    path = folder / "data" / "families.csv"
    pd.read_csv(path).assign(**columns).to_csv(path, index=False)


def no_dropout(folder):
    changed(folder, ending="planned")


def one_therapist(folder):
    changed(folder, therapist="only")


def one_group(folder):
    changed(folder, parent_alliance="all")


def no_endings(folder):
    set_to(folder, ENDING="None")


def no_outcome(folder):
    set_to(folder, OUTCOME="None")


def two_raters(folder):
    path = folder / "data" / "sessions.csv"
    own = pd.read_csv(path)
    other = own.assign(
        by="therapist", alliance=(own["alliance"] + 0.3 * (own.index % 3)).clip(1, 7)
    )
    pd.concat([own.assign(by="self"), other]).to_csv(path, index=False)
    set_to(folder, RATER='"by"', RATED_BY='"self"')


@pytest.fixture
def parts_of(monkeypatch):
    """Make the parts of a folder's paper, section by section."""

    def made(folder):
        monkeypatch.syspath_prepend(str(folder))
        for name in ("analysis", "manuscript"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        import manuscript

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AllianceStatsWarning)
            paper = manuscript.Paper.of_the_study()
            return {name: getattr(paper, name)() for name in SECTIONS}

    yield made
    for name in ("analysis", "manuscript"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("kind", "figures", "said"),
    [
        (two_raters, DRAWN, "The alliance was rated by self, therapist"),
        (no_dropout, DRAWN, "Nobody dropped out."),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (one_therapist, DRAWN, "1 therapist gave"),
                (one_group, DRAWN - {"fig-groups"}, "nothing is compared"),
                (no_endings, {"fig-participants", "fig-trajectories"}, "leaving is not shown"),
                (no_outcome, DRAWN - {"fig-groups"}, "nothing is compared"),
            )
        ),
    ],
    ids=lambda found: getattr(found, "__name__", ""),
)
def test_the_paper_of_any_study_is_complete(tmp_path, parts_of, kind, figures, said):
    folder = new(tmp_path)
    kind(folder)
    sections = parts_of(folder)
    assert all(sections.values())
    parts = [part for section in sections.values() for part in section]
    text = " ".join(part for part in parts if isinstance(part, str))
    drawn = {part.label for part in parts if isinstance(part, ReportFigure)}
    printed = {part.label for part in parts if isinstance(part, ReportTable)}
    assert drawn == figures
    assert {"tbl-sample", "tbl-model"} <= printed
    assert set(re.findall(r"@((?:fig|tbl)-[\w-]+)", text)) == drawn | printed
    assert said in text
    bib = (folder / "references.bib").read_text(encoding="utf-8")
    cited = set(re.findall(r"@([a-z]+\d{4}\w*)", text))
    assert cited == set(re.findall(r"^@\w+\{(\w+),", bib, re.MULTILINE))
    assert {"bates2015", "schulz2010"} <= cited


def test_a_manuscript_is_added_to_a_study_that_is_there(tmp_path):
    folder = tmp_path / "study"
    assert CliRunner().invoke(app, ["new", str(folder)]).exit_code == 0
    (folder / "analysis.py").write_text("mine", encoding="utf-8")
    added = CliRunner().invoke(app, ["new", str(folder), "--report", "apa"])
    assert added.exit_code == 0, added.stderr
    assert (folder / "analysis.py").read_text(encoding="utf-8") == "mine"
    assert "@article{bates2015," in (folder / "references.bib").read_text(encoding="utf-8")
    again = CliRunner().invoke(app, ["new", str(folder), "--report", "apa"])
    assert again.exit_code == 1
    assert "nothing was written" in again.stderr
    other = CliRunner().invoke(app, ["new", str(tmp_path / "x"), "--report", "chicago"])
    assert "There is no report 'chicago'" in other.stderr


def whole(folder, sections):
    """Return the paper as Quarto would hand it to Pandoc for Word, its names resolved."""
    text = "\n\n".join(markdown(p, folder / "generated") for s in sections.values() for p in s)
    text = re.sub(r'::: \{\.content-hidden when-format="docx"\}\n.*?\n:::\n', "", text, flags=re.S)
    return re.sub(r"@((?:fig|tbl)-[\w-]+)", r"\1", text)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pandoc") is None, reason="pandoc is not on the PATH")
def test_word_shows_pictures_with_their_words_and_the_references(tmp_path, parts_of):
    docx = pytest.importorskip("docx")
    folder = new(tmp_path)
    sections = parts_of(folder)
    command = ["pandoc", "--from", "markdown", "--to", "docx", "--output", "-", "--citeproc"]
    command += ["--bibliography", "references.bib", "--bibliography", "literature.bib"]
    done = subprocess.run(
        command, cwd=folder, input=whole(folder, sections).encode(), capture_output=True, check=True
    )
    assert done.stderr == b""
    document = docx.Document(io.BytesIO(done.stdout))
    figures = [p for s in sections.values() for p in s if isinstance(p, ReportFigure)]
    shown = document.inline_shapes
    assert len(shown) == len(figures) == 4
    for shape, figure in zip(shown, figures, strict=True):
        alt = shape._inline.docPr.get("descr")
        assert alt.split()[:6] == figure.alt.split()[:6]
        assert shape.width.inches <= 6.6
        ratio = figure.figure.get_figwidth() / figure.figure.get_figheight()
        assert shape.width / shape.height == pytest.approx(ratio, rel=0.02)
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as file:
        pictures = [name for name in file.namelist() if name.startswith("word/media/")]
    assert len(pictures) == 4
    assert all(name.endswith(".png") for name in pictures)
    assert len(document.tables) == 3
    numbers = document.tables[1].rows[2].cells[1].paragraphs[0]
    words = document.tables[1].rows[2].cells[0].paragraphs[0]
    assert numbers.alignment == docx.enum.text.WD_ALIGN_PARAGRAPH.RIGHT
    assert words.alignment in (None, docx.enum.text.WD_ALIGN_PARAGRAPH.LEFT)
    text = "\n".join(p.text for p in document.paragraphs)
    assert "Bates et al. 2015" in text
    assert "https://doi.org/10.18637/jss.v067.i01" in text
    assert "@" not in text


@pytest.mark.slow
def test_the_manuscript_passes_the_quarto_check(tmp_path):
    folder = new(tmp_path)
    checked = check_document(folder / "manuscript.qmd")
    assert checked.problems == ()
    for label in (*DRAWN, "tbl-sample", "tbl-model", "tbl-groups"):
        assert f"::: {{#{label}}}" in checked.text
    assert "[@bates2015;" in checked.text
