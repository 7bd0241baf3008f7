"""Trajectories: the means are right and what is drawn is what was computed."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from matplotlib.figure import Figure
from scipy import stats

from alliance_stats.errors import DataError
from alliance_stats.figures.trajectories import (
    draw_trajectories,
    session_means,
    trajectory_figure,
)
from tests.figure_lint.cases.data import WAI, ratings

SOLVER = 1e-12  # both sides are a mean and a sum of squares; only the order of summing differs

FOUR = pd.DataFrame(
    {
        "person": ["a", "b", "c", "d", "a"],
        "therapist": ["T1", "T1", "T2", "T2", "T1"],
        "session": [1, 1, 1, 1, 2],
        "score": [1.0, 2.0, 4.0, 5.0, 3.0],
    }
)


def means(cluster: str = "person", conf_level: float = 0.95) -> pd.DataFrame:
    return session_means(
        FOUR, session="session", score="score", cluster=cluster, conf_level=conf_level
    )


def test_mean_of_persons_has_the_t_interval() -> None:
    first = means().iloc[0]
    error = np.std([1, 2, 4, 5], ddof=1) / 2
    assert first["estimate"] == 3.0
    assert first["std_error"] == pytest.approx(error, rel=SOLVER)
    low, high = stats.t.interval(0.95, 3, loc=3.0, scale=error)
    assert (first["conf_low"], first["conf_high"]) == pytest.approx((low, high), rel=SOLVER)
    assert (first["n_ratings"], first["n_clusters"], first["df"]) == (4, 4, 3)


def test_mean_over_therapists_by_hand() -> None:
    # residuals -2 -1 | 1 2: cluster sums -3 and 3; 2/1 * 18 / 16 = 2.25
    first = means("therapist").iloc[0]
    assert first["std_error"] == pytest.approx(1.5, rel=SOLVER)
    assert first["df"] == 1


def test_mean_over_therapists_is_statsmodels_cluster_robust() -> None:
    data = ratings().dropna().query("session == 2")
    ours = session_means(data, session="session", score="alliance", cluster="therapist")
    codes = data["therapist"].astype("category").cat.codes
    fit = smf.ols("alliance ~ 1", data).fit(cov_type="cluster", cov_kwds={"groups": codes})
    assert ours["std_error"].iloc[0] == pytest.approx(fit.bse["Intercept"], rel=1e-10)


def test_one_cluster_has_no_interval() -> None:
    second = means().iloc[1]
    assert second["estimate"] == 3.0
    assert np.isnan(second[["std_error", "conf_low", "conf_high"]].astype(float)).all()


def test_conf_level_widens() -> None:
    wide, narrow = means(conf_level=0.99).iloc[0], means(conf_level=0.9).iloc[0]
    assert wide["conf_high"] > narrow["conf_high"]
    with pytest.raises(ValueError, match="conf_level must lie between 0 and 1"):
        means(conf_level=95)


def test_drawn_mean_and_lines_are_the_numbers() -> None:
    ax = Figure().add_subplot()
    table = means()
    draw_trajectories(ax, FOUR, table, session="session", score="score", person="person")
    drawn = next(line for line in ax.lines if line.get_gid() == "mean")
    np.testing.assert_array_equal(drawn.get_ydata(), table["estimate"])
    np.testing.assert_array_equal(drawn.get_xdata(), [1, 2])
    tracks = ax.collections[0].get_segments()
    np.testing.assert_array_equal(tracks[0], [[1, 1], [2, 3]])  # person a is the only line
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["1\n4", "2\n1"]


def test_words_and_data_hold_the_numbers() -> None:
    data = ratings().rename(columns={"alliance": "a b"})
    before = data.copy()
    report = trajectory_figure(
        data,
        session="session",
        score="a b",
        person="person",
        role="role",
        cluster="therapist",
        score_label=WAI,
    )
    pd.testing.assert_frame_equal(data, before)
    rated = data.dropna()
    for role, part in rated.groupby("role"):
        first = part.loc[part["session"] == 1, "a b"].mean()
        assert f"{role}, {part['person'].nunique()} persons: mean {first:.2f}" in report.alt
    assert "cluster-robust (CR1) over 'therapist'" in report.note
    assert f"{data['a b'].isna().sum()} rows without a score" in report.note
    drawn = report.data.query("part == 'rating'")
    assert sorted(drawn["estimate"]) == sorted(rated["a b"])


def test_row_order_does_not_matter() -> None:
    def draw(data: pd.DataFrame) -> str:
        return trajectory_figure(
            data, session="session", score="alliance", person="person", role="role"
        ).svg()

    data = ratings()
    assert draw(data.sample(frac=1, random_state=1)) == draw(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FOUR.assign(score=np.nan), "'score' has no value that is not missing"),
        (FOUR.drop(columns="score"), "data has no column 'score'"),
        (FOUR.assign(score=[1, 2, np.inf, 3, 4]), "'score' is infinite in row 2"),
        (FOUR.assign(session=[1, 2, None, 3, 4]), "'session' is missing in row 2"),
        (FOUR.assign(score=list("abcde")), "'score' must be numeric"),
    ],
)
def test_refuses(data: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        trajectory_figure(data, session="session", score="score", person="person")


def test_each_panel_prints_its_own_number_of_ratings() -> None:
    data = ratings().dropna(subset=["alliance"])
    figure = trajectory_figure(
        data, session="session", score="alliance", person="person", role="role", score_label=WAI
    )
    roles = sorted(data["role"].unique())
    assert data.groupby("role").size().nunique() == len(roles)
    for ax, role in zip(figure.figure.axes, roles, strict=True):
        counts = data[data["role"] == role].groupby("session").size()
        printed = [label.get_text().split("\n") for label in ax.get_xticklabels()]
        assert len(printed) > 3
        assert {int(when): int(n) for when, n in printed} == {
            int(when): counts.get(int(when), 0) for when, _ in printed
        }


def test_numbers_under_neighbouring_sessions_do_not_touch() -> None:
    data = pd.concat(
        [ratings(("child",)).assign(role=role) for role in ("a", "b", "c", "d") for _ in range(30)]
    )
    data["person"] = np.arange(len(data))
    figure = trajectory_figure(
        data, session="session", score="alliance", person="person", role="role"
    )
    figure.figure.draw_without_rendering()
    for ax in figure.figure.axes:
        boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
        assert len(boxes) >= 3
        assert max(len(label.get_text().split("\n")[1]) for label in ax.get_xticklabels()) == 4
        assert all(left.x1 + 2 < right.x0 for left, right in pairwise(boxes))


def test_the_clock_is_the_callers_and_its_few_times_are_the_ticks() -> None:
    data = ratings(("child",), sessions=5)
    data["session"] = data["session"].map({1: 0, 2: 2, 3: 3, 4: 5, 5: 8})
    report = trajectory_figure(
        data, session="session", score="alliance", person="person", session_label="Month"
    )
    first = data.loc[data["session"] == 0, "alliance"].mean()
    assert "by Month. Thin lines are persons" in report.caption
    assert f"mean {first:.2f} at Month 0 and" in report.alt
    assert "rated at that Month" in report.caption
    assert "against Month" in report.alt
    assert "session" not in f"{report.caption} {report.alt} {report.note}"
    assert report.figure.get_supxlabel() == "Month, and under it the number of ratings"
    ticks = [label.get_text().split("\n")[0] for label in report.figure.axes[0].get_xticklabels()]
    assert ticks == ["0", "2", "3", "5", "8"]


def test_panels_keep_one_scale() -> None:
    figure = trajectory_figure(
        ratings(), session="session", score="alliance", person="person", role="role"
    )
    first, *others = figure.figure.axes
    for ax in others:
        assert ax.get_xlim() == first.get_xlim()
        assert ax.get_ylim() == first.get_ylim()


def test_sessions_in_words_are_refused():
    data = pd.DataFrame({"s": ["1", "2"] * 4, "y": range(8), "p": list("aabbccdd")})
    with pytest.raises(DataError, match="Column 's' must be numeric"):
        trajectory_figure(data, session="s", score="y", person="p")


def _of_sizes(*sizes: int) -> pd.DataFrame:
    """Return ratings of as many persons at each session."""
    rng = np.random.default_rng(3)
    rows = [
        (session, f"P{i}", 1.0 + 6.0 * rng.random())
        for session, n in enumerate(sizes, start=1)
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=["session", "person", "score"])


@pytest.mark.parametrize(
    ("sizes", "told"), [((9, 5, 3), 1), ((9, 2, 3), 1), ((3,), 0), ((9, 4, 2), 0), ((9, 3, 1), 0)]
)
def test_an_interval_is_printed_only_where_it_is_drawn(sizes: tuple[int, ...], told: int) -> None:
    report = trajectory_figure(_of_sizes(*sizes), session="session", score="score", person="person")
    (ax,) = report.figure.axes
    last = float(len(sizes))
    seen = 0.0
    for collection in ax.collections:
        if collection.get_gid() == "interval" or collection.get_zorder() == 3:
            for path in collection.get_paths():
                at = path.vertices[path.vertices[:, 0] == last, 1]
                seen = max(seen, float(np.ptp(at)) if len(at) else 0.0)
    printed = f"] at session {last:g} (n = {sizes[-1]})" in report.alt
    assert printed == bool(told)
    if told:
        assert seen > 0.0
    assert ("(no interval)" in report.alt) == (not told and len(sizes) > 1)
    assert "[" not in report.caption
