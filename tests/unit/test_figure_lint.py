"""Every figure passes the lint, and the lint finds what it is there to find."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import matplotlib.text
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Rectangle

from alliance_stats import figures
from alliance_stats.figures import fonts
from alliance_stats.figures.axes import PageError, add_axes, dress
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import Theme, font, look, new_figure
from alliance_stats.formatting import format_level
from tests.figure_lint.cases import BY_FIGURE, CASES
from tests.figure_lint.cases.data import EASTERN
from tests.figure_lint.lint import lint
from tests.figure_lint.squares import write_square_font
from tests.fuzz.driver import changed_settings, settings

COMMON = {"label": None, "width": None, "theme": None, "limits": None, "words": None}
GREY = Theme(grey=True, decimal=",", width=89.0)


@pytest.fixture(autouse=True)
def eastern_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one and the same font of the eastern names on every machine."""
    signs = {*"".join(EASTERN), *"家庭张伟"}
    path = write_square_font(tmp_path / "s.ttf", family="Squares", characters="".join(signs))
    monkeypatch.setattr(fonts, "FALLBACKS", ("Squares",))
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist])
    fontManager.addfont(path)


@pytest.mark.parametrize("name", CASES)
def test_figure_has_no_finding(name: str) -> None:
    before = settings()
    report = CASES[name]()
    assert changed_settings(before, settings()) == {}
    assert lint(report) == []


WIDTHS = (89.0, 127.0, 183.0)
THEMES = {
    "plain": Theme(),
    "grey": Theme(grey=True),
    "comma": Theme(decimal=","),
    "large": Theme(small=10.0, body=11.0),
}
ANY = [(width, theme) for theme in THEMES for width in WIDTHS]
# every twelfth case, each in another of the twelve: over the cases the sample goes round
SAMPLE = [(name, *place) for name, place in zip(list(CASES)[::12], cycle(ANY))]


def findings(report: ReportFigure, width: float, theme: str) -> list[str]:
    assert report.again is not None
    try:
        again = report.again(width=width, theme=THEMES[theme])
    except PageError:  # four arms of a study in one column
        return []
    assert 25.4 * again.figure.get_figwidth() == pytest.approx(width)
    return lint(again)


@pytest.mark.parametrize(("name", "width", "theme"), SAMPLE)
def test_a_sample_has_no_finding(name: str, width: float, theme: str) -> None:
    assert findings(CASES[name](), width, theme) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_figure_has_no_finding_at_any_width_in_any_theme(name: str) -> None:
    report = CASES[name]()
    found = {place: findings(report, *place) for place in ANY}
    assert {place: told for place, told in found.items() if told} == {}


@pytest.mark.slow
@pytest.mark.parametrize("figure", BY_FIGURE, ids=lambda figure: figure.__name__)
def test_plain_figure_stands_on_60_mm(figure: Callable[..., ReportFigure]) -> None:
    report = next(iter(BY_FIGURE[figure].values()))()
    found = findings(report, 60.0, "plain")
    # 60 mm are part of a page, not one of its widths, and what is so narrow may be high
    assert [line for line in found if not line.startswith(("width 60.0", "10."))] == []


@pytest.mark.parametrize("figure", BY_FIGURE, ids=lambda figure: figure.__name__)
def test_plain_figure_has_no_finding_in_one_column_in_grey_with_a_comma(
    figure: Callable[..., ReportFigure],
) -> None:
    report = next(iter(BY_FIGURE[figure].values()))()
    assert report.again is not None
    again = report.again(theme=GREY)
    assert again.figure.get_figwidth() == pytest.approx(89.0 / 25.4)
    assert lint(again) == []
    assert not re.search(r"\d\.\d", again.alt.replace(format_level(0.95), ""))
    assert not _coloured(again)


def _coloured(report: ReportFigure) -> set[str]:
    found = {to_hex(text.get_color()) for text in report.figure.findobj(matplotlib.text.Text)}
    return {c for c in found if len({c[1:3], c[3:5], c[5:7]}) > 1}


@pytest.mark.parametrize("figure", BY_FIGURE, ids=lambda figure: figure.__name__)
def test_every_figure_has_the_one_signature(figure: Callable[..., ReportFigure]) -> None:
    parameters = inspect.signature(figure).parameters
    first = next(iter(parameters.values()))
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert first.default is inspect.Parameter.empty
    assert {name: parameters[name].default for name in COMMON} == COMMON
    assert list(parameters)[-len(COMMON) :] == list(COMMON)


@pytest.mark.parametrize("figure", BY_FIGURE, ids=lambda figure: figure.__name__)
def test_words_for_what_is_not_in_a_figure_are_refused(
    figure: Callable[..., ReportFigure],
) -> None:
    report = next(iter(BY_FIGURE[figure].values()))()
    assert report.again is not None
    with pytest.raises(ValueError, match="'no such name', which names nothing in this figure"):
        report.again(words={"no such name": "x"})


def test_no_public_figure_is_without_cases() -> None:
    public = {name for name in figures.__all__ if name.endswith("_figure")}
    assert {figure.__name__ for figure in BY_FIGURE} == public
    assert all(len(cases) > 1 for cases in BY_FIGURE.values())  # a plain one and a hard one


def test_no_name_of_a_case_is_given_twice() -> None:
    assert len(CASES) == sum(map(len, BY_FIGURE.values()))


@pytest.mark.parametrize("draw", [name for name in figures.__all__ if name.startswith("draw_")])
def test_every_drawing_is_part_of_a_figure(draw: str) -> None:
    sources = [path.read_text("utf-8") for path in Path(figures.__path__[0]).glob("*.py")]
    calls = sum(source.count(f"{draw}(") - source.count(f"def {draw}(") for source in sources)
    assert calls > 0


def test_arabic_names_do_not_turn_the_numbers_beside_them() -> None:
    texts = CASES["themes, eastern names"]().figure.findobj(matplotlib.text.Text)
    counts = [text.get_text() for text in texts if " of 7" in text.get_text()]
    arabic = [words for words in counts if EASTERN[1] in words]
    assert len(arabic) == 4
    assert all(words.startswith(f"\u200e{EASTERN[1]}\u200e: ") for words in arabic)


def bad(draw: Callable[[Axes], object]) -> list[str]:
    figure = new_figure(89.0 / 25.4, 2.5, placed_by_hand=True)
    ax = add_axes(figure, 50, 20, 180, 110)
    ax.plot([0, 1], [0, 1])
    dress(ax, x_label="Session", y_label="WAI mean item score (1–7)")
    draw(ax)
    words = "A line that rises from 0 to 1 over one session, for a test."
    said = f"{words} It ends at 1."
    report = ReportFigure(figure, "fig-bad", words, said, words, pd.DataFrame({"x": [1]}))
    return lint(report)


def test_plain_figure_passes() -> None:
    assert bad(lambda ax: ax.text(0.05, 0.8, "rising", **font())) == []


@pytest.mark.parametrize(
    ("draw", "finding"),
    [
        (
            lambda ax: [ax.text(0.05, 0.8, "one", **font()), ax.text(0.07, 0.8, "two", **font())],
            "lie over one another",
        ),
        (lambda ax: ax.text(0.4, 0.45, "struck", **font()), "struck through by line"),
        (
            lambda ax: [ax.text(0.05, 0.8, "hit", **font()), ax.scatter([0.08], [0.83])],
            "struck through by PathCollection",
        ),
        (lambda ax: [ax.text(0.05, 0.8, "hit", **font()), ax.plot(0.08, 0.83, "o")], "marker"),
        (lambda ax: ax.text(0.05, 0.8, "tiny", **font(6)), "is 6.0 pt"),
        (lambda ax: ax.text(0.05, 0.8, "pale", **font(colour="#CC79A7")), "contrast of 3."),
        (
            lambda ax: ax.text(
                0.1, 0.8, "dark", bbox={"facecolor": "#333333", "lw": 0}, **font(colour="black")
            ),
            "contrast of 1.",
        ),
        (lambda ax: ax.text(0.9, 0.3, "far too long to stay on the page", **font()), "page's edge"),
        (lambda ax: ax.text(0.05, 0.8, "serif", fontsize=9, family="DejaVu Serif"), "set in"),
        (lambda ax: ax.set_xlabel(""), "x axis has numbers and no label"),
        (lambda ax: ax.text(0.05, 0.8, "\u0915", **font()), "no font has '\u0915'"),
        (
            lambda ax: ax.text(-0.1, 0.8, "beyond the axes", clip_on=True, **font()),
            "cut off at the axes' edge",
        ),
        (
            lambda ax: [
                ax.text(0.05, 0.8, "edged", **font()),
                ax.add_patch(Rectangle((0.1, 0.5), 0.5, 0.4, fill=False)),
            ],
            "struck through by edge of Rectangle",
        ),
        (
            lambda ax: [ax.text(0.05, 0.8, "ruled", **font()), ax.vlines([0.1], 0.5, 0.95)],
            "struck through by LineCollection",
        ),
        (
            lambda ax: [ax.plot([0, 1, 2], [0, y, 1], color=look(y).colour) for y in (0, 1)],
            "told apart by colour alone",
        ),
        (lambda ax: ax.figure.patch.set_alpha(0.0), "the ground is see-through"),
    ],
)
def test_lint_finds(draw: Callable[[Axes], object], finding: str) -> None:
    assert any(finding in found for found in bad(draw))


def test_lint_finds_poor_words() -> None:
    report = CASES["flow"]()
    poor = ReportFigure(report.figure, "fig-poor", "Flow.", "Flow.", "nan", report.data)
    found = lint(poor)
    assert any("alt text says too little" in line for line in found)
    assert any("caption holds no number" in line for line in found)
    assert any("missing number in words" in line for line in found)
    assert "the alternative text holds no number" in found
    assert "the alternative text repeats the caption" in found


def test_lint_finds_what_a_page_and_a_caption_do_not_hold() -> None:
    report = CASES["flow"]()
    long = replace(report, caption="One of 60 words and more. " * 12)
    assert any("the caption has 72 words" in line for line in lint(long))
    tall = Figure(figsize=(5.0, 12.0))
    assert any(
        "12.0 in is higher than a page" in line for line in lint(replace(report, figure=tall))
    )
    odd = Figure(figsize=(4.0, 3.0))
    assert any("101.6 mm is no print width" in line for line in lint(replace(report, figure=odd)))


def test_lint_looks_at_every_text() -> None:
    # a lint that saw no text would find nothing
    report = CASES["survival"]()
    seen = [t for t in report.figure.findobj(matplotlib.text.Text) if t.get_text() == "usual"]
    assert len(seen) == 1
    seen[0].set_fontsize(5)
    assert any("'usual' is 5.0 pt" in found for found in lint(report))
