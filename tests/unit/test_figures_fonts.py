"""Names in scripts that the house's font does not have: drawn where a font is, told where not."""

import re
import warnings
from pathlib import Path
from typing import Unpack

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.font_manager import fontManager

from alliance_stats.errors import AllianceStatsWarning
from alliance_stats.figures import ReportFigure, fonts
from alliance_stats.figures.axes import add_axes, dress
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.fonts import FAMILY, families, glyphless
from alliance_stats.figures.style import font, new_figure
from alliance_stats.figures.text import text_width
from tests.figure_lint.squares import write_square_font

NAME = "张伟"
SQUARES = "Squares of a test"


@laid_out(127.0)
def named(name: str = NAME, **common: Unpack[Common]) -> ReportFigure:
    assert set(common) == {"label", "width", "theme", "limits", "words"}
    figure = new_figure(3.5, 2.5, placed_by_hand=True)
    ax = add_axes(figure, 50, 20, 180, 110)
    ax.set_xticks([0, 1], ["a", name])
    dress(ax, x_label="Session", y_label="Alliance (1–7)")
    ax.text(0.1, 0.5, f"{name} (n = 3)", **font())
    words = "A figure of one name with 3 ratings, drawn to see whether the name is."
    return ReportFigure(figure, "fig-named", words, words, words, pd.DataFrame({"name": [name]}))


@pytest.fixture
def no_other_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "FALLBACKS", ())


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a font that has the name's characters."""
    monkeypatch.setattr(fonts, "FALLBACKS", ("Not installed anywhere", SQUARES))
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist])
    path = write_square_font(tmp_path / "squares.ttf", family=SQUARES, characters=NAME)
    fontManager.addfont(path)


@pytest.mark.usefixtures("squares")
def test_an_installed_font_gives_the_glyphs_that_the_family_lacks(tmp_path: Path) -> None:
    assert families() == [FAMILY, SQUARES]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named().save(tmp_path)
    assert glyphless(named().figure) == ""
    assert text_width(NAME, 10.0) == pytest.approx(20.0)  # two squares, each 10 pt wide
    assert text_width("Alliance") == text_width("Alliance")


@pytest.mark.usefixtures("squares")
def test_two_runs_write_the_same_bytes_of_other_scripts(tmp_path: Path) -> None:
    for run in ("one", "two"):
        named().save(tmp_path / run)
    for one in (tmp_path / "one").iterdir():
        assert one.read_bytes() == (tmp_path / "two" / one.name).read_bytes()


@pytest.mark.usefixtures("no_other_font")
@pytest.mark.parametrize("write", ["save", "png", "pdf"])
def test_characters_that_no_font_has_are_named_with_what_to_install(
    write: str, tmp_path: Path
) -> None:
    report = named()
    assert glyphless(report.figure) == "".join(sorted(NAME))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        report.save(tmp_path) if write == "save" else getattr(report, write)()
    assert [warning.category for warning in told] == [AllianceStatsWarning]
    assert Path(told[0].filename) == Path(__file__)
    words = str(told[0].message)
    assert "fig-named: no font that this package draws with has '伟' (U+4F1F, cjk unified" in words
    assert "'张' (U+5F20" in words
    assert "Noto Sans CJK" in words
    assert f"{mpl.get_cachedir()}/fontlist-*.json" in words


@pytest.mark.usefixtures("no_other_font")
def test_many_characters_are_counted() -> None:
    with pytest.warns(AllianceStatsWarning, match="and 2 more"):
        named("一二三四五六七").png(dpi=50)


@pytest.mark.usefixtures("no_other_font")
def test_the_svg_leaves_words_to_the_readers_fonts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = named().svg()
    assert f"{NAME} (n = 3)" in svg
    assert set(re.findall(r"font-family: ([^;\"]*)", svg)) == {f"'{FAMILY}', Verdana, sans-serif"}


@pytest.mark.usefixtures("no_other_font")
@pytest.mark.parametrize("name", ["Ωμέγα", "отец", "العائلة", "משפחה", "mère", "a\u200eb\u200d"])
def test_the_family_has_the_alphabets_of_europe_and_the_near_east(name: str) -> None:
    assert glyphless(named(name).figure) == ""
