"""Family figures: what is drawn is what was found, hard cases pass the lint."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from alliance_stats.errors import DataError
from alliance_stats.family import (
    ControlChart,
    Reliability,
    Repair,
    VShape,
    apim,
    family_indices,
    one_with_many,
    ruptures,
    split_alliance,
)
from alliance_stats.figures.dyads import actor_partner_figure, one_with_many_figure
from alliance_stats.figures.family_strips import family_strips_figure
from alliance_stats.figures.rupture_chart import rupture_chart_figure
from alliance_stats.figures.split_map import draw_split_map, split_map_figure
from tests.figure_lint.cases import LONG, WAI
from tests.figure_lint.lint import lint

NAMES = {"family": "family", "person": "person", "session": "session", "score": "alliance"}


def members(n_families: int = 12, roles: tuple[str, ...] = ("child", "mother")) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    rows = [
        (f"F{f:02d}", f"F{f:02d}-{role}", role, session)
        for f in range(n_families)
        for role in roles
        for session in range(1, int(rng.integers(2, 14)) + 1)
    ]
    data = pd.DataFrame(rows, columns=["family", "person", "role", "session"])
    score = 4.5 + rng.normal(0, 0.8, len(data))
    return data.assign(alliance=np.where(rng.random(len(data)) < 0.1, np.nan, score.clip(1, 7)))


def strips(data: pd.DataFrame, families: list[str]):
    return family_strips_figure(data, role="role", families=families, score_label=WAI, **NAMES)


def split(data: pd.DataFrame):
    indices = family_indices(data, reliability=Reliability(0.9, sd=1, seed=1, draws=20), **NAMES)
    return split_alliance(indices, threshold=1, sd="norm", norm_sd=1.0)


def chart(rule=None, data: pd.DataFrame | None = None):
    table = members() if data is None else data
    found = ruptures(
        table, person="person", session="session", score="alliance",
        rule=rule or ControlChart(autocorrelation=0.0, min_before=2, multiplier=1.0),
        repair=Repair(share=0.5, within=2),
    )  # fmt: skip
    return found, rupture_chart_figure(found, person=table["person"].iloc[0], score_label=WAI)


def therapists(n: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    t = rng.multivariate_normal([0, 0], [[0.5, 0.2], [0.2, 0.5]], n)
    y = 5 + t[:, None] + rng.normal(0, 1, (n, 4, 2)) + rng.normal(0, 0.6, (n, 4, 1))
    y = y.reshape(-1, 2)
    return pd.DataFrame(
        {"t": np.repeat(np.arange(n), 4), "c": np.arange(4 * n), "by_c": y[:, 0], "by_t": y[:, 1]}
    )


def many():
    return one_with_many(
        therapists(), therapist="t", client="c", by_client="by_c", by_therapist="by_t"
    )


def couples(roles: tuple[str, str] = ("child", "mother")):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"dyad": np.repeat(np.arange(30), 2), "role": list(roles) * 30})
    data["x"] = rng.normal(size=60)
    data["y"] = 0.5 * data["x"] + rng.normal(size=60)
    return apim(data, dyad="dyad", member="role", outcome="y", predictors="x")


CASES = {
    "strips": lambda: strips(members(), [f"F{f:02d}" for f in range(12)]),
    "one strip": lambda: strips(members(), ["F03"]),
    "strips of many roles with long names": lambda: strips(
        members(4, ("a", LONG, "c", "d", "e", "отец")), ["F00", "F01"]
    ),
    "one rating": lambda: strips(members().dropna().head(1), ["F00"]),
    "split map": lambda: split_map_figure(split(members())),
    "split map of hundreds": lambda: split_map_figure(split(members(300))),
    "split map of one family": lambda: split_map_figure(split(members(1))),
    "chart": lambda: chart()[1],
    "chart without limit": lambda: chart(VShape(drop=0.5, back=0.5, within=2, sd=1.0))[1],
    "chart of one rating": lambda: chart(data=members().dropna().head(1))[1],
    "one with many": lambda: one_with_many_figure(many()),
    "actor and partner": lambda: actor_partner_figure(couples(), outcome_label="Points per point"),
    "long roles": lambda: actor_partner_figure(
        couples((LONG, "x")), outcome_label="Points per point"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_figure_has_no_finding(name):
    assert lint(CASES[name]()) == []


def test_strips_draw_every_rating_of_every_member():
    data = members()
    ax = strips(data, ["F03"]).figure.axes[0]
    own = data[(data["family"] == "F03") & data["alliance"].notna()]
    drawn = [line for line in ax.lines if line.get_gid() == "member"]
    assert len(drawn) == 2
    child = own[own["role"] == "child"].sort_values("session")
    np.testing.assert_array_equal(drawn[0].get_ydata(), child["alliance"])


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
    assert f"{100 * tidy['expected from measurement error']:.1f}%" in made.caption
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
    intervals = found.bootstrap(seed=1, n=20)
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
    made = actor_partner_figure(couples(), outcome_label="Points per point")
    assert made.data["term"].tolist() == [
        "own x, child",
        "partner’s x, child",
        "own x, mother",
        "partner’s x, mother",
    ]


def test_what_cannot_be_drawn_is_refused():
    data = members()
    with pytest.raises(DataError, match=r"No rating of 'family' 'F3'. Did you mean 'F03'"):
        strips(data, ["F3"])
    with pytest.raises(DataError, match="From 1 to 12 families can be drawn; got 0"):
        strips(data, [])
    with pytest.raises(DataError, match="7 roles cannot be told apart"):
        strips(members(1, tuple("abcdefg")), ["F00"])
    found, _ = chart()
    with pytest.raises(DataError, match="No rating of 'nobody'"):
        rupture_chart_figure(found, person="nobody", score_label=WAI)
    with pytest.raises(DataError, match="No family session could be judged"):
        split_map_figure(split(members(2, ("child",))))
