"""Trajectories over sessions: a thin line a person, the mean and its interval, n a session."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from alliance_stats.checks import (
    check_frame,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import dress, integer_ticks, width_in_points
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.session_means import session_means
from alliance_stats.figures.style import (
    BODY,
    FULL_WIDTH,
    Look,
    font,
    look,
    new_figure,
    settle,
    styled,
)
from alliance_stats.figures.text import text_width, wrap
from alliance_stats.formatting import format_interval, format_number, format_percent, plural

__all__ = ["draw_trajectories", "trajectory_figure"]

_COLUMNS = 4  # panels side by side
# A t interval with one df is wider than any scale: the data have it, the picture does not.
_FEWEST_FOR_BAND = 3
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
    rated = data[[person, session, score]].dropna().sort_values([person, session], kind="stable")
    # one split of the sorted rows: a loop over groups is slow for thousands of persons
    starts = np.flatnonzero(rated[person].ne(rated[person].shift()).to_numpy())[1:]
    tracks = np.split(rated[[session, score]].to_numpy(dtype=float), starts)
    faint = float(np.clip(12.0 / max(len(tracks), 1), 0.12, 0.55))
    lines = [track for track in tracks if len(track) > 1]
    ax.add_collection(LineCollection(lines, colors=style.colour, linewidths=0.5, alpha=faint))
    alone = np.array([track[0] for track in tracks if len(track) == 1]).reshape(-1, 2)
    ax.scatter(alone[:, 0], alone[:, 1], s=5, color=style.colour, alpha=max(faint, 0.3), lw=0)
    when = means["session"].to_numpy(dtype=float)
    low, high = means["conf_low"].to_numpy(), means["conf_high"].to_numpy()
    banded = means["n_clusters"].to_numpy() >= _FEWEST_FOR_BAND
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
    check_frame(data)
    require_columns(data, [session, score, person, role, cluster])
    for column in (session, person, role, cluster):
        if column is not None:
            require_present(data, column, why="to place a rating in the figure")
    scores = finite_or_missing(data, score)
    rated = data.loc[~np.isnan(scores)]
    if rated.empty:
        raise DataError(f"Column '{score}' has no value that is not missing: nothing to draw.")
    unit = person if cluster is None else cluster
    panels = _panels(rated, role)
    means = {
        name: session_means(part, session=session, score=score, cluster=unit, conf_level=conf_level)
        for name, part in panels.items()
    }
    names = list(panels)
    columns = min(len(names), _COLUMNS)
    rows = -(-len(names) // columns)
    most_ticks = {1: 12, 2: 8}.get(columns, 5)
    figure = new_figure(FULL_WIDTH if columns > 1 else 5.0, 0.4 + 2.9 * rows)
    # not sharex: shared axes share their tick labels, and each panel has its own n under them
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, ax in enumerate(axes.flat):
        if place >= len(names):
            ax.remove()
            continue
        name = names[place]
        _set_limits(ax, rated, session=session, score=score)
        draw_trajectories(
            ax,
            panels[name],
            means[name],
            session=session,
            score=score,
            person=person,
            style=look(place),
            most_ticks=most_ticks,
        )
        dress(ax, y_label=score_label if place % columns == 0 else "", grid="y")
        persons = plural(panels[name][person].nunique(), "person")
        width = 72 * (_PANEL_WIDTH if columns == _COLUMNS else 5.4 / columns)
        heading = [*wrap(name, width, BODY, bold=True), persons] if name else [persons]
        ax.set_title("\n".join(heading), loc="left", pad=6, **font(BODY, colour=look(place).text))
    figure.supxlabel(r"Session number, and under it the number of ratings", **font(BODY))
    settle(figure)
    for ax, name in zip(figure.axes, names, strict=True):  # now that the panels' width is known
        _label_sessions(ax, means[name], most_ticks)
    return ReportFigure(
        figure,
        label=label,
        caption=_caption(means, score_label, conf_level, panels, person),
        alt=_alt(means, score_label, panels, person),
        note=_note(data, rated, unit=unit, person=person, conf_level=conf_level),
        data=_numbers(panels, means, session=session, score=score, person=person),
    )


def _panels(rated: pd.DataFrame, role: Hashable | None) -> dict[str, pd.DataFrame]:
    if role is None:
        return {"": rated}
    return {str(name): part for name, part in rated.groupby(role, observed=True, sort=True)}


def _label_sessions(ax: Axes, means: pd.DataFrame, most_ticks: int) -> None:
    sessions = means["session"].to_numpy(dtype=float)
    counts = dict(zip(sessions, means["n_ratings"].astype(int), strict=True))
    low, high = ax.get_xlim()
    per_session = width_in_points(ax) / (high - low)
    labels: dict[int, str] = {}
    edge = -np.inf
    for tick in integer_ticks(sessions.min(), sessions.max(), most=most_ticks):
        n = str(counts.get(float(tick), 0))
        half = max(text_width(n), text_width(str(tick))) / 2.0
        if tick * per_session - half < edge + _BETWEEN_LABELS:
            continue  # two numbers that touch read as one
        labels[tick] = f"{tick}\n{n}"
        edge = tick * per_session + half
    ax.set_xticks(list(labels), list(labels.values()))


def _set_limits(ax: Axes, rated: pd.DataFrame, *, session: Hashable, score: Hashable) -> None:
    first, last = float(rated[session].min()), float(rated[session].max())
    room = max(0.04 * (last - first), 0.4)
    ax.set_xlim(first - room, last + room)
    lowest, highest = float(rated[score].min()), float(rated[score].max())
    pad = 0.05 * (highest - lowest) or 0.5
    ax.set_ylim(lowest - pad, highest + pad)


def _numbers(
    panels: dict[str, pd.DataFrame],
    means: dict[str, pd.DataFrame],
    *,
    session: Hashable,
    score: Hashable,
    person: Hashable,
) -> pd.DataFrame:
    parts = []
    for name, part in panels.items():
        parts.append(means[name].assign(part="mean", role=name))
        ratings = {"session": part[session], "estimate": part[score], "person": part[person]}
        parts.append(pd.DataFrame(ratings).assign(part="rating", role=name))
    numbers = pd.concat(parts, ignore_index=True)
    first = ["part", "role", "person", "session", "estimate"]
    return numbers[[*first, *(name for name in numbers.columns if name not in first)]]


def _first_and_last(means: pd.DataFrame) -> str:
    first, last = means.iloc[0], means.iloc[-1]
    words = f"{format_number(first['estimate'])} at session {int(first['session'])}"
    if len(means) > 1:
        words += (
            f" and {format_number(last['estimate'])} {_limits(last)} at session "
            f"{int(last['session'])} (n = {int(last['n_ratings'])})"
        )
    return words


def _limits(row: pd.Series) -> str:
    if np.isnan(row["conf_low"]):
        return "(no interval)"
    return format_interval(row["conf_low"], row["conf_high"])


def _caption(
    means: dict[str, pd.DataFrame],
    score_label: str,
    conf_level: float,
    panels: dict[str, pd.DataFrame],
    person: Hashable,
) -> str:
    each = "; ".join(
        f"{name + ': ' if name else ''}{_first_and_last(table)}" for name, table in means.items()
    )
    return (
        f"{score_label} over sessions. Thin lines are persons "
        f"(n = {sum(part[person].nunique() for part in panels.values())}), "
        f"thick lines means of those who were rated at that session, bands their "
        f"{format_percent(conf_level)} confidence intervals. Mean {each}."
    )


def _alt(
    means: dict[str, pd.DataFrame],
    score_label: str,
    panels: dict[str, pd.DataFrame],
    person: Hashable,
) -> str:
    each = "; ".join(
        f"{name + ', ' if name else ''}{plural(panels[name][person].nunique(), 'person')}: mean "
        f"{_first_and_last(table)}"
        for name, table in means.items()
    )
    shape = plural(len(means), "panel") if len(means) > 1 else "One panel"
    return f"{shape} of {score_label} against session number. {each}."


def _note(
    data: pd.DataFrame,
    rated: pd.DataFrame,
    *,
    unit: Hashable,
    person: Hashable,
    conf_level: float,
) -> str:
    robust = (
        "t interval over persons, which takes persons as independent"
        if unit == person
        else f"cluster-robust (CR1) over '{unit}', t with one df less than there are clusters"
    )
    left_out = len(data) - len(rated)
    missing = f" {plural(left_out, 'row')} without a score not drawn." if left_out else ""
    return (
        f"{format_percent(conf_level)} CI of the mean: {robust}; bands where there are "
        f"{_FEWEST_FOR_BAND} or more. A mean is over those still in "
        "treatment and rated, so that who left no longer counts in it: a rising mean can be "
        f"persons leaving as much as persons changing.{missing}"
    )
