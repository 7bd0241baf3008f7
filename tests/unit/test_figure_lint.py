"""Every figure passes the lint, and the lint finds what it is there to find."""

from collections.abc import Callable

import matplotlib.text
import pandas as pd
import pytest
from matplotlib.axes import Axes

from alliance_stats.figures.axes import add_axes, dress
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.style import font, new_figure
from tests.figure_lint.cases import CASES
from tests.figure_lint.lint import lint


@pytest.mark.parametrize("name", CASES)
def test_figure_has_no_finding(name: str) -> None:
    assert lint(CASES[name]()) == []


def bad(draw: Callable[[Axes], object]) -> list[str]:
    figure = new_figure(3.5, 2.5, placed_by_hand=True)
    ax = add_axes(figure, 50, 20, 180, 110)
    ax.plot([0, 1], [0, 1])
    dress(ax, x_label="Session", y_label="WAI mean item score (1–7)")
    draw(ax)
    words = "A line that rises from 0 to 1 over one session, for a test."
    report = ReportFigure(figure, "fig-bad", words, words, words, pd.DataFrame({"x": [1]}))
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


def test_lint_looks_at_every_text() -> None:
    # a lint that saw no text would find nothing
    report = CASES["survival"]()
    seen = [t for t in report.figure.findobj(matplotlib.text.Text) if t.get_text() == "usual"]
    assert len(seen) == 1
    seen[0].set_fontsize(5)
    assert any("'usual' is 5.0 pt" in found for found in lint(report))
