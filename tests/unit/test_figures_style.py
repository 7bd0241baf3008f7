"""Looks, widths and places of text."""

import inspect
import itertools
import re
from typing import Unpack

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import counted_ticks, integer_ticks
from alliance_stats.figures.style import SMALL, look, new_figure, plain, points
from alliance_stats.figures.text import in_sentence, spread, text_width, wrap
from tests.figure_lint.lint import contrast_ratio

WHITE = np.ones(3)


def test_text_colours_are_readable_on_white() -> None:
    for place in range(7):
        assert contrast_ratio(np.array(to_rgb(look(place).text)), WHITE) >= 4.5


def test_contrast_of_black_and_of_blue() -> None:
    assert contrast_ratio(np.zeros(3), WHITE) == pytest.approx(21.0)
    # WCAG contrast of #0072B2, as web checkers print it
    assert contrast_ratio(np.array(to_rgb("#0072B2")), WHITE) == pytest.approx(5.19, abs=0.01)


def test_no_two_of_forty_groups_look_the_same() -> None:
    looks = [look(place) for place in range(40)]
    assert len({(x.colour, str(x.dash), x.marker) for x in looks}) == 40
    # without colour the first seven still differ
    assert len({str(x.dash) for x in looks[:7]}) == len({x.marker for x in looks[:7]}) == 7


def test_colours_stay_apart_under_deuteranopia() -> None:
    # Machado, Oliveira & Fernandes (2009, doi:10.1109/TVCG.2009.113), severity 1, on linear RGB
    seen = np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    )
    colours = [cielab(seen @ linear(look(place).colour)) for place in range(7)]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)]
    assert min(apart) > LEAST_DISTANCE


LEAST_DISTANCE = 15.0  # of CIE 1976; about 2.3 is just noticeable side by side


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def cielab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    x = to_xyz @ np.clip(rgb, 0.0, 1.0) / np.array([0.95047, 1.0, 1.08883])  # D65
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16.0 / 116.0)
    return np.array([116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])])


def test_wrap_keeps_words_whole_and_the_width() -> None:
    text = "a short one, then Alliance-Verlaufs/Beurteilung and Größe $5"
    lines = wrap(text, 100.0)
    assert all(text_width(line) <= 100.0 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "").replace("$", r"\$")
    pieces = {"", *(p for word in text.split() for p in re.split(r"(?<=[-/])", word))}
    found = {
        piece for line in lines for word in line.split() for piece in re.split("(?<=[-/])", word)
    }
    assert {piece.replace("\\", "") for piece in found} <= pieces  # broken at hyphen and slash


def test_a_word_that_no_line_holds_is_shortened_in_its_middle() -> None:
    lines = wrap("a short one, then start" + "x" * 90 + "end and more", 100.0)
    assert all(text_width(line) <= 100.0 for line in lines)
    short = next(line for line in lines if "…" in line)
    assert short.startswith("startx")
    assert short.endswith("xend") or short.endswith("xend and")
    assert wrap("第二次婚姻之后住在同一家庭的祖母", 50.0)[0].startswith("第二次")  # between letters


def test_wrapping_nothing_and_little() -> None:
    assert wrap("", 100.0) == [""]
    assert wrap("two words", 1000.0) == ["two words"]


def test_text_width_grows_with_text_and_size() -> None:
    assert text_width("ab") < text_width("abc") < text_width("abc", 2 * points(SMALL))
    assert text_width("abc", 2 * points(SMALL)) == pytest.approx(2 * text_width("abc"), rel=0.02)
    assert text_width("   ") == 0.0


def test_spread_moves_labels_apart_and_keeps_their_order() -> None:
    wanted, heights = [0.5, 0.52, 0.1, 0.51], [0.1, 0.2, 0.1, 0.1]
    placed = spread(wanted, heights, 0.0, 1.0)
    order = np.argsort(wanted)
    for below, above in itertools.pairwise(order):
        gap = (heights[below] + heights[above]) / 2
        assert placed[above] - placed[below] >= gap - 1e-12
    assert placed[2] == pytest.approx(0.1)  # nothing is in its way
    assert min(placed) >= 0.05 - 1e-12
    assert max(placed) <= 0.95 + 1e-12


def test_spread_leaves_labels_that_have_room() -> None:
    assert spread([0.2, 0.8], [0.1, 0.1], 0.0, 1.0) == pytest.approx([0.2, 0.8])
    assert spread([1.0], [0.2], 0.0, 1.0) == pytest.approx([0.9])


def test_spread_of_too_many_labels_stands_around_the_middle() -> None:
    placed = spread([0.0, 0.0, 0.0], [0.5, 0.5, 0.5], 0.0, 1.0)
    assert placed == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1, 1, [1]),
        (1, 3, [1, 2, 3]),
        (1, 12, [1, 3, 5, 7, 9, 11]),
        (1, 24, [4, 8, 12, 16, 20, 24]),
        (1, 60, [10, 20, 30, 40, 50, 60]),
        (3, 5, [3, 4, 5]),
    ],
)
def test_sessions_are_labelled_in_whole_numbers(low: int, high: int, ticks: list[int]) -> None:
    assert integer_ticks(low, high, most=7) == ticks


def test_figures_are_not_pyplots() -> None:
    figure = new_figure(3.5, 2.0)
    assert isinstance(figure.add_subplot(), Axes)
    assert getattr(figure.canvas, "manager", None) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Alliance 5", "Alliance 5"),
        ("costs $5", r"costs \$5"),
        ("\u0639\u0627 (n = 3)", "\u200e\u0639\u0627\u200e (n = 3)"),
        ("\u0639 \u0627: 1 of 7", "\u200e\u0639 \u0627\u200e: 1 of 7"),
        ("no \u05d0 1 \u05d0", "no \u200e\u05d0\u200e 1 \u200e\u05d0\u200e"),
    ],
)
def test_names_read_from_right_to_left_stand_between_marks(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_marks_take_no_room() -> None:
    assert text_width(plain("\u0639\u0627")) == pytest.approx(text_width("\u0639\u0627"), abs=0.1)


def test_a_no_break_space_holds_words_together() -> None:
    assert wrap("one two", text_width("one t")) == ["one", "two"]
    assert wrap("a one\u00a0two", text_width("one two")) == ["a", "one\u00a0two"]


@pytest.mark.parametrize(
    ("label", "inside"),
    [("Belastung", "Belastung"), ("WAI score", "WAI score"), ("Session", "session"), ("", "")],
)
def test_labels_inside_of_sentences(label: str, inside: str) -> None:
    assert in_sentence(label) == inside


def test_the_style_holds_within_a_function_and_leaves_the_callers_alone() -> None:
    @laid_out(127.0)
    def family(**common: Unpack[Common]) -> list[str]:
        """Return the family."""
        assert common["width"] is None
        return list(mpl.rcParams["font.family"])

    with mpl.rc_context({"font.family": "serif"}):
        assert family()[0] == "DejaVu Sans"
        assert family()[0] == "DejaVu Sans"  # and once more
        assert mpl.rcParams["font.family"] == ["serif"]
    assert family.__name__ == "family"
    assert family.__doc__ is not None
    assert family.__doc__.startswith("Return the family.\n\nParameters\n----------\nlabel\n")
    assert list(inspect.signature(family).parameters) == [
        "label",
        "width",
        "theme",
        "limits",
        "words",
    ]
    with pytest.raises(TypeError, match=r"family\(\) got an unexpected keyword argument 'lable'"):
        family(lable="fig-x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (1, 8, 3, [1, 4, 7]),
        (1, 20, 3, [1, 8, 15]),
        (1, 20, 4, [1, 6, 11, 16]),
        (2, 2, 4, [2]),
        (1, 40, 4, [1, 11, 21, 31]),
    ],
)
def test_numbers_of_units_stand_evenly_from_the_first_session(
    low: int, high: int, most: int, ticks: list[int]
) -> None:
    assert counted_ticks(low, high, most=most) == ticks
