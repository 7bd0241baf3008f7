"""Trajectories over sessions: a thin line a person, the mean and its interval, n a session."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import stats

from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import dress, integer_ticks, width_in_points
from alliance_stats.figures.report_figure import ReportFigure, require_frame
from alliance_stats.figures.style import (
    BODY,
    COLUMN_AND_HALF,
    FULL_WIDTH,
    Look,
    font,
    look,
    new_figure,
    settle,
    styled,
)
from alliance_stats.figures.text import balanced, in_sentence, text_width, wrap
from alliance_stats.formatting import (
    decimals_for,
    format_interval,
    format_level,
    format_number,
    plural,
)

__all__ = [
    "FEWEST_FOR_BAND",
    "Panel",
    "Words",
    "draw_trajectories",
    "session_means",
    "trajectory_figure",
]


def session_means(
    data: pd.DataFrame,
    *,
    session: Hashable,
    score: Hashable,
    cluster: Hashable,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    r"""Return the mean score at each session with a cluster-robust interval.

    At each session, with residuals :math:`e_{ci} = y_{ci} - \bar y` of the :math:`n` ratings in
    :math:`G` clusters,

    .. math:: \widehat{\mathrm{var}}(\bar y)
              = \frac{G}{G-1} \, \frac{1}{n^2} \sum_c \Bigl(\sum_i e_{ci}\Bigr)^2

    and the interval is ``mean -+ t(G - 1) * std_error`` (Liang & Zeger 1986,
    doi:10.1093/biomet/73.1.13; CR1 of Cameron & Miller 2015, doi:10.3368/jhr.50.2.317). With one
    rating a cluster this is the t interval of a mean. Missing scores do not count.

    Returns
    -------
    DataFrame
        ``session, n_ratings, n_clusters, estimate, std_error, df, conf_low, conf_high``, on the
        scale of the score; the interval is missing where there is one cluster.
    """
    values = pd.DataFrame(
        {
            "session": data[session].to_numpy(),
            "score": finite_or_missing(data, score),
            "cluster": data[cluster].to_numpy(),
        }
    ).dropna(subset=["score"])
    tail = (1.0 - check_conf_level(conf_level)) / 2.0
    rows = []
    for when, at in values.groupby("session", sort=True):
        mean = float(at["score"].mean())
        sums = (at["score"] - mean).groupby(at["cluster"]).sum().to_numpy()
        n, clusters = len(at), len(sums)
        if clusters > 1:
            variance = clusters / (clusters - 1) * float(sums @ sums) / n**2
            error = float(np.sqrt(variance))
        else:
            error = np.nan
        half = stats.t.isf(tail, clusters - 1) * error if clusters > 1 else np.nan
        rows.append((when, n, clusters, mean, error, clusters - 1, mean - half, mean + half))
    names = ["session", "n_ratings", "n_clusters", "estimate", "std_error", "df"]
    return pd.DataFrame(rows, columns=[*names, "conf_low", "conf_high"])


# A t interval with one df is wider than any scale: the data have it, the picture does not.
FEWEST_FOR_BAND = 3


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One role's ratings (``session, score, person, cluster``) and the means of its sessions."""

    name: str
    ratings: pd.DataFrame
    means: pd.DataFrame

    @property
    def n_persons(self) -> int:
        """How many persons have a rating."""
        return int(self.ratings["person"].nunique())


@dataclass(frozen=True, slots=True)
class Words:
    """How score and clock are called, and the coverage of the bands."""

    score_label: str
    session_label: str
    conf_level: float

    @property
    def clock(self) -> str:
        """What is counted, as it stands inside of a sentence."""
        return in_sentence(self.session_label)

    def caption(self, panels: Sequence[Panel]) -> str:
        """Say what is drawn, with each panel's first and last mean."""
        each = "; ".join(
            f"{panel.name + ': ' if panel.name else ''}{self._ends(panel.means)}"
            for panel in panels
        )
        return (
            f"{self.score_label} by {self.clock}. Thin lines are persons "
            f"(n = {sum(panel.n_persons for panel in panels)}), thick lines means of those who "
            f"were rated at that {self.clock}, bands their {format_level(self.conf_level)} "
            f"confidence intervals. Mean {each}."
        )

    def alt(self, panels: Sequence[Panel]) -> str:
        """Say what is seen, with each panel's first and last mean."""
        each = "; ".join(
            f"{panel.name + ', ' if panel.name else ''}{plural(panel.n_persons, 'person')}: mean "
            f"{self._ends(panel.means)}"
            for panel in panels
        )
        shape = plural(len(panels), "panel") if len(panels) > 1 else "One panel"
        return f"{shape} of {self.score_label} against {self.clock}. {each}."

    def note(self, *, cluster: Hashable | None, n_left_out: int) -> str:
        """Say how the interval was made, who was left out, and whose mean it is."""
        robust = f"cluster-robust (CR1) over '{cluster}', t with one df less than clusters"
        if cluster is None:
            robust = "t interval over persons, which takes persons as independent"
        missing = f" {plural(n_left_out, 'row')} without a score not drawn." if n_left_out else ""
        return (
            f"{format_level(self.conf_level)} CI of the mean: {robust}; bands where there are "
            f"{FEWEST_FOR_BAND} or more. A mean is over those still in "
            "treatment and rated, so that who left no longer counts in it: a rising mean can be "
            f"persons leaving as much as persons changing.{missing}"
        )

    def _ends(self, means: pd.DataFrame) -> str:
        """Return the first mean and the last one, with its interval where it has one."""
        first, last = means.iloc[0], means.iloc[-1]
        last_drawn = last["n_clusters"] >= FEWEST_FOR_BAND
        digits = max(_decimals(first), _decimals(last))
        words = f"{format_number(first['estimate'], digits)} at {self.clock} {first['session']:g}"
        if len(means) > 1:
            limits = (
                format_interval(last["conf_low"], last["conf_high"], digits)
                if last_drawn and not np.isnan(last["conf_low"])
                else "(no interval)"
            )
            words += (
                f" and {format_number(last['estimate'], digits)} {limits} at {self.clock} "
                f"{last['session']:g} (n = {int(last['n_ratings'])})"
            )
        return words


def _decimals(row: pd.Series) -> int:
    return decimals_for(row["estimate"], row["conf_low"], row["conf_high"])


_COLUMNS = 4  # panels side by side
_MOST_MARKERS = 14  # sessions; with more, markers hide the line
_BETWEEN_LABELS = 4.0  # pt
_PANEL_WIDTH = 1.35  # in, the room a panel's heading has at four panels


def draw_trajectories(
    ax: Axes,
    data: pd.DataFrame,
    means: pd.DataFrame,
    *,
    session: Hashable,
    score: Hashable,
    person: Hashable,
    style: Look | None = None,
    most_ticks: int = 8,
) -> None:
    """Draw one group on `ax`: thin lines of persons, the mean, its interval, n under each tick.

    Parameters
    ----------
    ax
        Axes to draw on; nothing else is touched.
    data
        Ratings, a row a person x session; rows without a score break no line.
    means
        From :func:`session_means`.
    most_ticks
        About how many sessions are labelled. Where n is written, it is the number of ratings.
    """
    style = style or look(0)
    _draw_persons(ax, data[[person, session, score]].dropna(), style)
    when = means["session"].to_numpy(dtype=float)
    low, high = means["conf_low"].to_numpy(), means["conf_high"].to_numpy()
    banded = means["n_clusters"].to_numpy() >= FEWEST_FOR_BAND
    ax.fill_between(when, low, high, where=banded, color=style.colour, alpha=0.3, lw=0, zorder=3)
    ax.plot(when, means["estimate"], color="white", lw=3.2, zorder=3.5, gid="halo")
    ax.plot(
        when,
        means["estimate"],
        color=style.text,
        lw=1.8,
        marker=style.marker if len(when) <= _MOST_MARKERS else "",
        markersize=3.4,
        zorder=4,
        gid="mean",
    )
    if len(when) == 1:  # an interval without width would not be seen
        ax.vlines(when, low, high, color=style.text, lw=1.2, zorder=4)
    _label_sessions(ax, means, most_ticks)


def _draw_persons(ax: Axes, rated: pd.DataFrame, style: Look) -> None:
    """Draw a line a person, a dot where there is one rating; columns person, session, score."""
    person, session, _ = rated.columns
    rated = rated.sort_values([person, session], kind="stable")
    # one split of the sorted rows: a loop over groups is slow for thousands of persons
    starts = np.flatnonzero(rated[person].ne(rated[person].shift()).to_numpy())[1:]
    tracks = np.split(rated.iloc[:, 1:].to_numpy(dtype=float), starts)
    faint = float(np.clip(12.0 / max(len(tracks), 1), 0.12, 0.55))
    lines = [track for track in tracks if len(track) > 1]
    ax.add_collection(LineCollection(lines, colors=style.colour, linewidths=0.5, alpha=faint))
    alone = np.array([track[0] for track in tracks if len(track) == 1]).reshape(-1, 2)
    ax.scatter(alone[:, 0], alone[:, 1], s=5, color=style.colour, alpha=max(faint, 0.3), lw=0)


@styled
def trajectory_figure(
    data: pd.DataFrame,
    *,
    session: Hashable,
    score: Hashable,
    person: Hashable,
    role: Hashable | None = None,
    cluster: Hashable | None = None,
    score_label: str = "Score",
    session_label: str = "Session",
    conf_level: float = 0.95,
    label: str = "fig-trajectories",
) -> ReportFigure:
    """Show how a score runs over sessions, a panel a role.

    Parameters
    ----------
    data
        A row a person x session.
    session, score, person
        Columns; missing scores are left out and counted in the note.
    role
        Column that says which panel a row belongs to; one panel without it.
    cluster
        Column of the units that are independent of one another (therapists): the interval of the
        mean is robust to what is shared within them. Persons, if not given.
    score_label
        Quantity, unit and range, as in ``"WAI mean item score (1–7)"``.
    session_label
        What column `session` counts, as a noun in the singular: ``"Month"``.

    Returns
    -------
    ReportFigure
        ``data`` has the means (``part = "mean"``, see :func:`session_means`) and the ratings
        (``part = "rating"``, ``estimate`` the score) of each panel.

    Raises
    ------
    DataError
        If a column is missing, a score is infinite, or no score is left.
    """
    require_frame(data, asked="trajectory_figure draws a frame of ratings")
    rated = _rated(data, session=session, score=score, person=person, role=role, cluster=cluster)
    parts = {"": rated} if role is None else dict(iter(rated.groupby("role", observed=True)))
    panels = [
        Panel(
            name=str(name),
            ratings=part,
            means=session_means(
                part, session="session", score="score", cluster="cluster", conf_level=conf_level
            ),
        )
        for name, part in parts.items()
    ]
    words = Words(score_label, session_label, conf_level)
    return ReportFigure(
        _page(panels, rated, score_label=score_label, session_label=session_label),
        label=label,
        caption=words.caption(panels),
        alt=words.alt(panels),
        note=words.note(cluster=cluster, n_left_out=len(data) - len(rated)),
        data=_numbers(panels),
    )


def _rated(
    data: pd.DataFrame,
    *,
    session: Hashable,
    score: Hashable,
    person: Hashable,
    role: Hashable | None,
    cluster: Hashable | None,
) -> pd.DataFrame:
    """Return the rows that have a score as ``session, score, person, cluster`` and ``role``."""
    check_frame(data)
    require_columns(data, [session, score, person, role, cluster])
    for column in (session, person, role, cluster):
        if column is not None:
            require_present(data, column, why="to place a rating in the figure")
    columns = {
        "session": session,
        "person": person,
        "cluster": person if cluster is None else cluster,
    }
    if role is not None:
        columns["role"] = role
    named = pd.DataFrame({name: data[column] for name, column in columns.items()})
    rated = named.assign(score=finite_or_missing(data, score)).dropna(subset=["score"])
    if rated.empty:
        raise DataError(f"Column '{score}' has no value that is not missing: nothing to draw.")
    return rated


def _page(
    panels: Sequence[Panel], rated: pd.DataFrame, *, score_label: str, session_label: str
) -> Figure:
    """Return the panels side by side, on one scale."""
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    most_ticks = {1: 12, 2: 8}.get(columns, 5)
    figure = new_figure(FULL_WIDTH if columns > 1 else COLUMN_AND_HALF, 0.4 + 2.9 * rows)
    # not sharex: shared axes share their tick labels, and each panel has its own n under them
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for spare in axes.flat[len(panels) :]:
        spare.remove()
    room = 72 * (_PANEL_WIDTH if columns == _COLUMNS else 5.4 / columns)
    names = {"session": "session", "score": "score", "person": "person"}
    for place, panel in enumerate(panels):
        ax, style = axes.flat[place], look(place)
        _set_limits(ax, rated)
        draw_trajectories(
            ax, panel.ratings, panel.means, **names, style=style, most_ticks=most_ticks
        )
        dress(ax, y_label=score_label if place % columns == 0 else "", grid="y")
        persons = plural(panel.n_persons, "person")
        heading = [*wrap(panel.name, room, BODY, bold=True), persons] if panel.name else [persons]
        ax.set_title("\n".join(heading), loc="left", pad=6, **font(BODY, colour=style.text))
    below = f"{session_label}, and under it the number of ratings"
    lines = balanced(below, 72 * figure.get_figwidth() - 40.0)
    figure.supxlabel("\n".join(lines), **font(BODY))
    settle(figure)
    for ax, panel in zip(figure.axes, panels, strict=True):  # now that the width is known
        _label_sessions(ax, panel.means, most_ticks)
    return figure


def _label_sessions(ax: Axes, means: pd.DataFrame, most_ticks: int) -> None:
    sessions = means["session"].to_numpy(dtype=float)
    counts = dict(zip(sessions, means["n_ratings"].astype(int), strict=True))
    low, high = ax.get_xlim()
    per_session = width_in_points(ax) / (high - low)
    ticks: Sequence[float] = sessions.tolist()  # few clocks, such as visits, are not regular
    if len(ticks) > most_ticks:
        ticks = integer_ticks(sessions.min(), sessions.max(), most=most_ticks)
    labels: dict[float, str] = {}
    edge = -np.inf
    for tick in ticks:
        n = str(counts.get(float(tick), 0))
        half = max(text_width(n), text_width(f"{tick:g}")) / 2.0
        if tick * per_session - half < edge + _BETWEEN_LABELS:
            continue  # two numbers that touch read as one
        labels[tick] = f"{tick:g}\n{n}"
        edge = tick * per_session + half
    ax.set_xticks(list(labels), list(labels.values()))


def _set_limits(ax: Axes, rated: pd.DataFrame) -> None:
    first, last = float(rated["session"].min()), float(rated["session"].max())
    room = max(0.04 * (last - first), 0.4)
    ax.set_xlim(first - room, last + room)
    lowest, highest = float(rated["score"].min()), float(rated["score"].max())
    pad = 0.05 * (highest - lowest) or 0.5
    ax.set_ylim(lowest - pad, highest + pad)


def _numbers(panels: Sequence[Panel]) -> pd.DataFrame:
    parts = []
    for panel in panels:
        parts.append(panel.means.assign(part="mean", role=panel.name))
        ratings = panel.ratings[["session", "score", "person"]].rename(
            columns={"score": "estimate"}
        )
        parts.append(ratings.assign(part="rating", role=panel.name))
    numbers = pd.concat(parts, ignore_index=True)
    first = ["part", "role", "person", "session", "estimate"]
    return numbers[[*first, *(name for name in numbers.columns if name not in first)]]
