"""A ReportFigure shows once, says what it is, and writes the same bytes each time."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from alliance_stats.figures.common import settle
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import font, new_figure, plain
from tests.figure_lint.cases import CASES


def small(**changed: object) -> ReportFigure:
    figure = new_figure(3.5, 2.0)
    ax = figure.add_subplot()
    ax.plot([0, 1], [0, 1])
    ax.set_xlabel("Session", **font(9))
    ax.set_title(plain("costs $5, then $6"), **font(9))
    settle(figure)
    given: dict[str, object] = {
        "figure": figure,
        "label": "fig-small-one",
        "caption": 'Mean 4.20 [3.90, 4.50], p < .001, by "role" | a_b.',
        "alt": 'A line rises from 0 to 1 by "role".',
        "note": "t(43.2) = 4.61, n = 12.",
        "data": pd.DataFrame({"x": [0.1, 1 / 3], "name": ["ä", "b"]}),
    }
    return ReportFigure(**(given | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["survival", "trajectories", "flow"])
def test_two_runs_write_the_same_bytes(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        report = CASES[name]()
        report.save(tmp_path / folder)
    one = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    two = {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}
    label = report.label
    assert set(one) == {
        *(f"{label}.{end}" for end in ("svg", "pdf", "png", "csv")),
        f"_{label}.qmd",
    }
    assert one == two
    report.save(tmp_path / "two")  # and once more from the same object
    assert one == {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()}


def test_bytes_do_not_depend_on_the_callers_settings() -> None:
    usual = CASES["survival"]()
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "font.family": "serif"}):
        other = CASES["survival"]()
        assert other.svg() == usual.svg()
        assert other.png(dpi=50) == usual.png(dpi=50)


def test_the_process_does_not_matter() -> None:
    code = (
        "from tests.figure_lint.cases import CASES; import sys;"
        "sys.stdout.buffer.write(CASES['flow']().svg().encode());"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=root)
    assert run.stdout.decode() == CASES["flow"]().svg()


def test_svg_holds_text_without_dates_and_with_a_fallback_font() -> None:
    svg = small().svg()
    assert ">Session<" in svg
    assert "costs $5, then $6" in svg
    assert "<dc:date>" not in svg
    assert "font-family: 'DejaVu Sans', Verdana, sans-serif" in svg
    assert 'role="img" aria-label="A line rises from 0 to 1 by &quot;role&quot;."' in svg


@pytest.mark.parametrize("name", ["survival", "trajectories", "estimation"])
def test_several_figures_can_stand_on_one_page(name: str) -> None:
    svg, other = CASES[name]().svg(), CASES["flow"]().svg()
    ids = re.findall(r'\bid="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', svg)) <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", svg)) <= set(ids)
    assert not set(ids) & set(re.findall(r'\bid="([^"]*)"', other))


def test_pdf_has_no_date_and_embeds_true_type() -> None:
    pdf = small().pdf()
    assert b"CreationDate" not in pdf
    assert b"/Type3" not in pdf  # Type 3 fonts cannot be edited, and journals refuse them


def test_png_is_300_dpi() -> None:
    png = small().png()
    width = int.from_bytes(png[16:20], "big")
    assert width == 3.5 * 300


def test_shows_once_as_svg_and_png() -> None:
    data, metadata = small()._repr_mimebundle_()
    assert set(data) == {"text/html", "image/svg+xml", "image/png"}
    assert "<figcaption>Mean 4.20" in data["text/html"]
    assert "<em>Note.</em>" in data["text/html"]
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["width"] == 336
    others = ("_repr_html_", "_repr_png_", "_repr_svg_")
    assert not any(hasattr(small(), name) for name in others)


def test_fragment_is_what_quarto_reads(tmp_path: Path) -> None:
    fragment = small().save(tmp_path / "generated" / "study", included_from=tmp_path)
    assert fragment.name == "_fig-small-one.qmd"
    text = fragment.read_text(encoding="utf-8")
    assert text.startswith("::: {#fig-small-one}\n\n")
    assert text.endswith("*Note.* *t*(43.2) = 4.61, *n* = 12.\n\n:::\n")
    assert (
        '![](generated/study/fig-small-one.svg){fig-alt="A line rises from 0 to 1 by \\"role\\"."}'
    ) in text
    # Word shows the PNG, its alternative text as the picture's own
    assert (
        '![A line rises from 0 to 1 by \\"role\\".](generated/study/fig-small-one.png)\\ '
    ) in text
    assert text.count(":::") == 6


def test_html_holds_the_figure_once() -> None:
    html = small().html()
    assert html.count("<svg ") == 1
    assert '<figure id="fig-small-one">' in html
    assert "<em>p</em> &lt; .001" in html
    assert "<?xml" not in html


def test_data_are_written_in_full(tmp_path: Path) -> None:
    report = small()
    report.save(tmp_path)
    back = pd.read_csv(tmp_path / "fig-small-one.csv")
    pd.testing.assert_frame_equal(back, report.data, check_exact=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": "trajectories"}, "label must be 'fig-'.*got 'trajectories'"),
        ({"label": "fig-a_b"}, "label must be 'fig-'"),
        ({"caption": " "}, "fig-small-one has an empty caption"),
        ({"alt": ""}, "fig-small-one has an empty alt"),
        ({"note": ""}, "fig-small-one has an empty note"),
        ({"data": pd.DataFrame()}, "fig-small-one has no data"),
    ],
)
def test_refuses_a_figure_that_cannot_be_reported(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changed)


def test_refuses_a_pyplot_figure() -> None:
    figure = Figure()
    figure.canvas.manager = object()  # type: ignore[assignment]  # what pyplot sets
    with pytest.raises(ValueError, match="holds a pyplot figure"):
        small(figure=figure)


def test_no_module_of_the_package_imports_pyplot() -> None:
    package = Path(__file__).parents[2] / "alliance_stats"
    named = [p for p in package.rglob("*.py") if "pyplot" in _imports(p)]
    assert named == []


def _imports(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(x for x in lines if x.lstrip().startswith(("import ", "from ")))
