"""Family figures: what is drawn is what was found."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from alliance_stats.errors import DataError
from alliance_stats.figures.dyads import one_with_many_figure
from alliance_stats.figures.family_maps import draw_split_map, split_map_figure
from alliance_stats.figures.rupture_chart import rupture_chart_figure
from tests.figure_lint.cases import CASES
from tests.figure_lint.cases.data import WAI
from tests.figure_lint.cases.models import many
from tests.figure_lint.cases.trajectories import chart, members, split, strips
from tests.figure_lint.lint import lint


def test_strips_refuse_a_session_that_is_no_number():
    """Bytes among sessions were met in numpy: '<=' not supported between int and bytes."""
    data = members()
    odd = data.assign(session=data["session"].astype(object))
    odd.loc[odd.index[0], "session"] = b"1"
    with pytest.raises(DataError, match="Column 'session' must be numeric"):
        strips(odd, ["F03"])


def test_strips_draw_every_rating_of_every_member():
    data = members()
    ax = strips(data, ["F03"]).figure.axes[0]
    own = data[(data["family"] == "F03") & data["alliance"].notna()]
    drawn = [line for line in ax.lines if line.get_gid() == "member"]
    assert len(drawn) == 2
    child = own[own["role"] == "child"].sort_values("session")
    np.testing.assert_array_equal(drawn[0].get_ydata(), child["alliance"])


def test_the_label_stands_beside_wide_numbers():
    data = members(1).assign(alliance=lambda d: 0.001 * d["alliance"] - 0.02)
    assert lint(strips(data, ["F00"])) == []


def test_the_map_holds_the_states_it_was_given():
    ax = Figure().add_subplot()
    states = pd.DataFrame([[1.0, 0.0, np.nan], [-1.0, 1.0, 1.0]], columns=[1, 2, 3])
    draw_split_map(ax, states)
    image = ax.images[0].get_array()
    assert image.mask.tolist() == [[False, False, True], [False, False, False]]
    assert image.data[~image.mask].tolist() == [2, 1, 0, 2, 2]
    offsets = ax.collections[0].get_offsets()
    assert offsets.tolist() == [[1.0, 1.5]]


def test_the_map_says_how_many_were_split_and_how_many_by_error():
    found = split(members())
    made = split_map_figure(found)
    tidy = found.tidy().set_index("term")["estimate"]
    assert f"{100 * tidy['split']:.1f}% of" in made.caption
    assert f"{100 * tidy['expected from measurement error']:.1f}%" in made.alt
    assert found.rule in made.note


def test_the_chart_marks_flagged_sessions_and_episodes():
    found, made = chart()
    ax = made.figure.axes[0]
    own = found.table[found.table["person"] == "F00-child"]
    marks = next(c for c in ax.collections if c.get_gid() == "rupture").get_offsets()
    flagged = own[own["rupture"] == 1]
    np.testing.assert_array_equal(marks, flagged[["session", "alliance"]])
    assert len(flagged) > 0
    shaded = [patch for patch in ax.patches if patch.get_gid() == "episode"]
    assert len(shaded) == (found.episodes["person"] == "F00-child").sum()
    limit = next(line for line in ax.lines if line.get_gid() == "limit")
    np.testing.assert_array_equal(limit.get_ydata(), own["limit"])


def test_bars_and_whiskers_are_the_shares_and_their_intervals():
    found = many()
    intervals = found.bootstrap(seed=1, n_resamples=20)
    made = one_with_many_figure(found, intervals=intervals)
    assert lint(made) == []
    ax = made.figure.axes[0]
    own = [bar.get_width() for bar in ax.patches if bar.get_gid() == "therapist"]
    np.testing.assert_allclose(own, made.data["share"])
    whiskers = [line.get_xdata() for line in ax.lines if line.get_gid() == "interval"]
    np.testing.assert_allclose(whiskers, made.data[["conf_low", "conf_high"]])
    assert "20 parametric bootstrap draws" in made.note
    assert "No intervals" in one_with_many_figure(found).note


def test_a_row_an_effect_in_the_forest():
    made = CASES["actor and partner"]()
    assert made.data["term"].tolist() == [
        "child: own x",
        "child: mother’s x",
        "mother: own x",
        "mother: child’s x",
    ]


def test_what_cannot_be_drawn_is_refused():
    data = members()
    with pytest.raises(DataError, match=r"No rating of 'family' 'F3'. Did you mean 'F03'"):
        strips(data, ["F3"])
    with pytest.raises(DataError, match="several ratings of session 1, and a line can show one"):
        strips(pd.concat([data, data]).dropna(), ["F03"])
    with pytest.raises(DataError, match="From 1 to 12 families can be drawn; got 0"):
        strips(data, [])
    with pytest.raises(DataError, match="13 roles cannot be told apart"):
        strips(members(1, tuple("abcdefghijklm")), ["F00"])
    found, _ = chart()
    with pytest.raises(DataError, match="No rating of 'nobody'"):
        rupture_chart_figure(found, person="nobody", score_label=WAI)
    with pytest.raises(DataError, match="No family session could be judged"):
        split_map_figure(split(members(2, ("child",))))
