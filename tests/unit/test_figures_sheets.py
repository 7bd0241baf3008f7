"""Themes, widths, panels and files: what holds for every figure whatever it shows."""

import io
from collections import Counter

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from alliance_stats import lmm
from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.figures import (
    ReportFigure,
    Theme,
    caterpillar_figure,
    coefficients_figure,
    curve_differences_figure,
    draw_forest,
    forest_figure,
    kaplan_meier_figure,
    panel,
    specification_figure,
    stage_figure,
    themed,
    trajectory_figure,
)
from alliance_stats.figures.style import look, looks, naming, natural, points, sheet
from alliance_stats.survival import cox_ph, kaplan_meier
from tests.figure_lint.cases import CASES
from tests.figure_lint.cases.across_models import models, multiverse
from tests.figure_lint.cases.data import endings, hazard_ratios, ratings
from tests.figure_lint.cases.groups import staged
from tests.figure_lint.lint import lint

RATIOS = hazard_ratios("a", "b", "c")


def forest(**given: object) -> ReportFigure:
    return forest_figure(RATIOS, estimate_label="Hazard ratio", method="Cox", **given)


def colours_of(report: ReportFigure) -> dict[str, str]:
    titles = [ax.get_title(loc="left").split("\n")[0] for ax in report.figure.axes]
    means = [next(x for x in ax.lines if x.get_gid() == "mean") for ax in report.figure.axes]
    return {t: to_hex(m.get_color()) for t, m in zip(titles, means, strict=True)}


def trajectories(data: pd.DataFrame, **given: object) -> ReportFigure:
    columns = {"session": "session", "score": "alliance", "person": "person", "role": "role"}
    return trajectory_figure(data, **columns, **given)


def test_a_colour_belongs_to_a_role_and_not_to_a_position() -> None:
    theme = Theme(groups=("mother", "father", "child"))
    data = ratings(("child", "father", "mother"))
    everyone = colours_of(trajectories(data, theme=theme))
    some = colours_of(trajectories(data[data["role"] != "mother"], theme=theme))
    assert list(everyone) == ["mother", "father", "child"]
    assert some == {name: everyone[name] for name in ("father", "child")}
    with themed(theme):
        assert colours_of(trajectories(data)) == everyone
        # what the theme does not name takes what is left
        found = looks(["uncle", "father"])
        assert found["father"] == look(1)
        assert found["uncle"] == look(3)
    assert sheet().theme == Theme()


def test_names_stand_in_their_natural_order() -> None:
    data = ratings(("role 2", "role 10", "role 1"), therapists=2)
    titles = list(colours_of(trajectories(data)))
    assert titles == ["role 1", "role 2", "role 10"]
    assert sorted(["a10", "a2", "b", "2", "10"], key=natural) == ["2", "10", "a2", "a10", "b"]
    assert sorted(["Übung", "anna", "Zoe", "Älteste", "B"], key=natural) == [
        "Älteste", "anna", "B", "Übung", "Zoe",
    ]  # fmt: skip


def test_no_two_of_many_groups_share_dash_and_marker() -> None:
    assert len({(str(look(i).dash), look(i).marker) for i in range(49)}) == 49


def arrows(report: ReportFigure) -> dict[str, int]:
    drawn = [line for ax in report.figure.axes for line in ax.lines if line.get_gid() == "beyond"]
    return Counter(str(line.get_marker()) for line in drawn)


def test_intervals_that_the_callers_limits_cut_end_in_arrows_whichever_way_they_run() -> None:
    pair = {"Few": models()["All"], "All": models()["All"]}
    few = coefficients_figure(pair, terms=["session"], limits=(-1e-6, 1e-6), width=89)
    assert sum(arrows(few).values()) >= 2  # one of each model at least
    curves = kaplan_meier(endings(("a", "b")), time="time", event="event", strata="group")
    upright = curve_differences_figure(curves, times=[4, 8], limits=(-0.01, 0.01))
    assert arrows(upright) == {"v": 2, "^": 2}
    marks = kaplan_meier_figure(curves, limits=(0.4, 0.6)).figure.findobj(
        lambda artist: str(artist.get_gid()).startswith("censored")
    )
    assert [mark.get_clip_on() for mark in marks] == [True, True]


def test_a_panel_higher_than_a_page_says_so_and_its_caption_stays_short() -> None:
    parts = [forest() for _ in range(6)]
    with pytest.warns(AllianceStatsWarning, match="in high, and a page holds 9.6"):
        made = panel(parts, layout="/".join("ABCDEF"), width=60)
    assert len(made.caption.split()) <= 60
    assert made.caption.startswith("A: 3 estimates of Hazard ratio with 95% CI. B: ")


def test_names_of_many_stages_stand_upright_and_stay_whole() -> None:
    stages = tuple(f"Sitzung {k}" for k in range(1, 13))
    made = stage_figure(staged(stages, ("a", "b")), width=89)
    found = {text.get_text(): text.get_rotation() for text in made.figure.findobj(Text)}
    assert {found[name] for name in stages} == {90.0}


@pytest.mark.parametrize("width", [60.0, 89.0, 127.0, 183.0])
def test_a_figure_is_laid_out_for_its_width(width: float) -> None:
    made = forest(width=width)
    assert 25.4 * made.figure.get_figwidth() == pytest.approx(width)
    sizes = {text.get_fontsize() for text in made.figure.findobj(Text) if text.get_text()}
    assert min(sizes) == (7.0 if width < 100 else 8.0)


@pytest.mark.parametrize("width", [20.0, 900.0, -89.0])
def test_a_width_that_is_none_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match="width is in mm, from 40 to 400"):
        forest(width=width)


def test_limits_are_the_callers_and_what_leaves_the_axis_is_an_arrow() -> None:
    ax = forest(limits=(0.7, 1.5)).figure.axes[0]
    assert ax.get_xlim() == (0.7, 1.5)
    arrows = [line for line in ax.lines if line.get_gid() == "beyond"]
    # a (0.60) and the lower ends of none but a; upper ends of b (1.84) and c (3.40)
    assert len(arrows) == 3
    spans = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
    assert np.min(spans) >= 0.7
    assert np.max(spans) <= 1.5
    with pytest.raises(DataError, match="two numbers, the lower first"):
        forest(limits=(2.0, 1.0))


@pytest.mark.parametrize("limits", [(2.0, 1.0), (1.0, np.nan), (1.0,), "12", 5.0])
@pytest.mark.parametrize("case", ["funnel", "slopes", "forest"])
def test_limits_that_are_none_are_refused_by_every_figure(case, limits) -> None:
    with pytest.raises(DataError, match="two numbers, the lower first"):
        CASES[case]().again(limits=limits)


def test_a_limit_of_zero_is_an_arrow_on_a_log_axis() -> None:
    ax = CASES["forest, zero on a log axis"]().figure.axes[0]
    assert [line.get_marker() for line in ax.lines if line.get_gid() == "beyond"] == ["<"]


def test_one_huge_error_does_not_press_the_others_flat() -> None:
    ax = CASES["forest, one huge error"]().figure.axes[0]
    low, high = ax.get_xlim()
    assert high - low < 25.0
    assert sum(line.get_gid() == "beyond" for line in ax.lines) == 2


def test_so_many_rows_that_no_page_holds_them_stand_without_names() -> None:
    made = CASES["forest, 120 studies"]()
    assert made.figure.get_figheight() < 9.6
    assert not made.figure.axes[0].texts
    assert made.figure.axes[0].get_ylabel() == "120 rows, in the order of the data"
    assert "in the data of the figure" in made.note
    assert len(made.data) == 120


def test_words_and_the_decimal_sign_are_the_readers() -> None:
    made = forest(words={"a": "Alliance"}, theme=Theme(decimal=","))
    assert "Alliance: 0,60 [0,50; 0,72]" in made.alt
    ticks = [text.get_text() for text in made.figure.axes[0].get_xticklabels()]
    assert "0,5" in ticks
    with themed(Theme(words={"b": "From the theme", "not here": "x"})):
        assert "From the theme: " in forest().alt
        assert naming({"b": "own"}, ["b"])("b") == "own"


def test_greys_are_grey_and_differ_in_lightness_dash_and_marker() -> None:
    with themed(Theme(grey=True)):
        found = [look(place) for place in range(3)]
    rgb = [to_rgb(one.colour) for one in found]
    assert all(len(set(colour)) == 1 for colour in rgb)
    light = sorted(colour[0] for colour in rgb)
    assert min(np.diff(light)) > 0.15
    assert len({str(one.dash) for one in found}) == len({one.marker for one in found}) == 3


def test_rcparams_are_honoured_when_asked_and_else_left_out() -> None:
    with mpl.rc_context({"font.family": "DejaVu Serif", "axes.labelsize": 11.0}):
        plain, own = forest(), forest(theme=Theme.from_rcparams())
    assert plain.figure.axes[0].xaxis.label.get_fontfamily()[0] == "DejaVu Sans"
    assert own.figure.axes[0].xaxis.label.get_fontfamily()[0] == "DejaVu Serif"
    assert own.figure.axes[0].xaxis.label.get_fontsize() == 11.0
    assert points("body") == 9.0


def test_drawings_stand_on_axes_of_sixty_millimetres() -> None:
    figure = Figure(figsize=(60 / 25.4, 40 / 25.4))
    ax = figure.add_axes((0.3, 0.3, 0.3, 0.6))
    draw_forest(ax, RATIOS)
    assert len([line for line in ax.lines if line.get_gid() == "interval"]) == 3


def test_a_result_says_itself_what_it_shows() -> None:
    data = endings(("a", "b"))
    data["x"] = (data["group"] == "b").astype(float)
    model = cox_ph("x", data, time="time", event="event")
    made = forest_figure(model)
    row = model.hazard_ratios().iloc[0]
    assert f"x: {row['estimate']:.2f} [{row['conf_low']:.2f}, " in made.alt
    assert "Hazard ratio" in made.caption
    assert "Cox model with Efron's method" in made.note
    linear = forest_figure(models()["All"])
    assert "(Intercept)" not in linear.alt
    assert linear.figure.axes[0].get_xscale() == "linear"
    assert set(linear.data["term"]) >= {"session", "role: father"}


def test_coefficients_of_models_are_the_models_own() -> None:
    made = coefficients_figure(models())
    for name, model in models().items():
        own = model.tidy().set_index("term").drop("(Intercept)")
        drawn = made.data[made.data["model"] == name]
        np.testing.assert_array_equal(drawn["estimate"], own["estimate"])
        np.testing.assert_array_equal(drawn["conf_high"], own["conf_high"])
    some = coefficients_figure(models(), terms=["investment", "session"])
    assert list(dict.fromkeys(some.data["term"])) == ["investment", "session"]
    with pytest.raises(DataError, match="No model has a coefficient 'sesion'. Did you mean"):
        coefficients_figure(models(), terms=["sesion"])
    with pytest.raises(DataError, match="mapping of models"):
        coefficients_figure(models()["All"])


def test_specifications_are_every_rules_in_order() -> None:
    many = multiverse()
    made = specification_figure(many, outcome="symptoms")
    own = many.tidy().set_index("rule")["estimate"]
    assert made.data["estimate"].is_monotonic_increasing
    np.testing.assert_array_equal(made.data["estimate"], own.loc[made.data["term"]])
    with pytest.raises(DataError, match="'symptom' was not compared. Did you mean 'symptoms'"):
        specification_figure(many, outcome="symptom")


def test_subgroups_have_diamonds_of_their_own_and_share_the_weight() -> None:
    made = CASES["meta-analysis, subgroups"]()
    kinds = made.data["kind"].tolist()
    assert kinds.count("heading") == 2
    assert kinds.count("pooled") == 3
    diamonds = [patch for patch in made.figure.axes[0].patches if patch.get_gid() == "pooled"]
    assert len(diamonds) == 3
    single = made.data[made.data["kind"] == "study"]
    assert single["weight"].sum() == pytest.approx(100.0)
    subgroups = made.data[made.data["kind"] == "pooled"]["weight"].iloc[:2]
    assert subgroups.sum() == pytest.approx(100.0)


def test_contours_stand_where_an_effect_is_significant() -> None:
    ax = CASES["funnel"]().figure.axes[0]
    shades = {one.get_gid() for one in ax.collections}
    assert {"contour 0.9", "contour 0.95", "contour 0.99"} <= shades
    edge = next(one for one in ax.collections if one.get_gid() == "contour 0.95")
    corners = edge.get_paths()[0].vertices
    on_it = corners[np.isclose(corners[:, 1], corners[:, 1].max())]
    assert np.abs(on_it[:, 0]).min() == pytest.approx(1.959964 * corners[:, 1].max(), rel=1e-5)


def parts() -> list[ReportFigure]:
    return [CASES["survival"](), forest(), CASES["trajectories"]()]


def test_a_panel_has_letters_places_and_one_caption() -> None:
    made = panel(parts(), layout="AB/CC", caption="Three parts of 1 study.", label="fig-whole")
    assert 25.4 * made.figure.get_figwidth() == pytest.approx(183.0)
    letters = [text.get_text() for text in made.figure.texts]
    assert letters == ["A", "B", "C"]
    places = [sub.bbox.bounds for sub in made.figure.subfigs]
    a, b, c = places
    assert a[0] + a[2] == pytest.approx(b[0])  # beside one another
    assert c[2] == pytest.approx(a[2] + b[2])  # as wide as both
    assert c[1] + c[3] < a[1]  # below
    assert made.alt.startswith("A: ")
    assert set(made.data["panel"]) == {"A", "B", "C"}
    assert lint(made) == []


@pytest.mark.parametrize("layout", ["AB", "AB/CD", "ABA/CCC", "AB/C", "AA/BB/CC/"])
def test_a_layout_that_does_not_name_each_part_once_is_refused(layout: str) -> None:
    with pytest.raises(DataError, match="is to name each of A, B, C once"):
        panel(parts(), layout=layout)


def test_tiff_and_eps_are_written_and_repeat(tmp_path) -> None:
    made = caterpillar_figure(fit(), group="therapist")
    made.save(tmp_path, formats=("tiff", "eps"))
    assert {path.suffix for path in tmp_path.iterdir()} == {".tiff", ".eps", ".csv", ".qmd"}
    with Image.open(tmp_path / "fig-caterpillar.tiff") as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
    assert (tmp_path / "fig-caterpillar.eps").read_bytes().startswith(b"%!PS-Adobe")
    assert made.eps() == made.eps()
    assert made.tiff() == made.tiff()
    assert Image.open(io.BytesIO(made.tiff())).size[0] == 1500
    with pytest.raises(ValueError, match="formats must be one of 'svg'"):
        made.save(tmp_path, formats="jpeg")


def test_eps_leaves_the_figure_as_it_was() -> None:
    made = CASES["survival"]()
    before = [artist.get_alpha() for artist in made.figure.findobj()]
    made.eps()
    assert [artist.get_alpha() for artist in made.figure.findobj()] == before
    assert any(alpha in {0.18, 0.16} for alpha in before)


def fit():
    return lmm("alliance ~ session + (1 | therapist)", ratings(therapists=5))
