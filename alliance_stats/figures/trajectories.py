"""Trajectories over sessions: a thin line per person, the mean and its interval, n per session."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from alliance_stats.checks import (
    check_frame,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    dress,
    set_limits,
    width_in_points,
)
from alliance_stats.figures.common import Common, head, in_grid, laid_out, settle
from alliance_stats.figures.numbers import (
    counted_ticks,
    decimals_for,
    format_count,
    format_interval,
    format_level,
    format_number,
    plural,
)
from alliance_stats.figures.report_figure import ReportFigure, require_frame
from alliance_stats.figures.session_means import session_means
from alliance_stats.figures.style import (
    BODY,
    FULL_WIDTH,
    Look,
    font,
    look,
    looks,
    naming,
    natural,
    sheet,
)
from alliance_stats.figures.text import balanced, in_sentence, text_width
from alliance_stats.study import Study

__all__ = [
    "FEWEST_FOR_BAND",
    "Panel",
    "Words",
    "draw_trajectories",
    "trajectory_figure",
]


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
    """Labels of score and clock, and the coverage of the bands."""

    score_label: str
    session_label: str
    conf_level: float

    @property
    def clock(self) -> str:
        """The clock as used within a sentence."""
        return in_sentence(self.session_label)

    def caption(self, panels: Sequence[Panel]) -> str:
        """Say what is drawn, and of how many persons."""
        n = format_count(sum(panel.n_persons for panel in panels))
        return (
            f"{self.score_label} by {self.clock}. Thin lines are persons (n = {n}), thick lines "
            f"means of those who were rated at that {self.clock}, bands their "
            f"{format_level(self.conf_level)} confidence intervals."
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
_PANEL_WIDTH = 100.0  # pt, at the least
_PANEL_HEIGHT = 208.0  # pt


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
        Ratings, a row per person x session; rows without a score do not interrupt a line.
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
    few = means["estimate"].where(banded)  # where few are left, the mean is a thin line
    ax.plot(when, few, color="white", lw=3.2, zorder=3.5, gid="halo")
    ax.plot(
        when,
        means["estimate"],
        color=style.text,
        lw=0.8,
        marker=style.marker if len(when) <= _MOST_MARKERS else "",
        markersize=3.4,
        zorder=4,
        gid="mean",
    )
    ax.plot(when, few, color=style.text, lw=1.8, zorder=4, gid="mean of enough")
    beside = np.pad(banded, 1)
    alone = banded & ~beside[:-2] & ~beside[2:]  # a band without width would not be seen
    if alone.any():
        ends = low[alone], high[alone]
        ax.vlines(when[alone], *ends, color=style.text, lw=1.2, zorder=4, gid="interval")
    _label_sessions(ax, means, most_ticks)


def _draw_persons(ax: Axes, rated: pd.DataFrame, style: Look) -> None:
    """Draw a line per person, a dot where there is one rating; columns person, session, score."""
    person, session, _ = rated.columns
    rated = rated.reset_index(drop=True).sort_values([person, session], kind="stable")
    # one split of the sorted rows: a loop over groups is slow for thousands of persons
    starts = np.flatnonzero(rated[person].ne(rated[person].shift()).to_numpy())[1:]
    tracks = np.split(rated.iloc[:, 1:].to_numpy(dtype=float), starts)
    faint = float(np.clip(12.0 / max(len(tracks), 1), 0.12, 0.55))
    lines = [track for track in tracks if len(track) > 1]
    ax.add_collection(LineCollection(lines, colors=style.colour, linewidths=0.5, alpha=faint))
    alone = np.array([track[0] for track in tracks if len(track) == 1]).reshape(-1, 2)
    ax.scatter(alone[:, 0], alone[:, 1], s=5, color=style.colour, alpha=max(faint, 0.3), lw=0)


@laid_out(FULL_WIDTH)
def trajectory_figure(
    data: Study | pd.DataFrame,
    *,
    session: Hashable | None = None,
    score: Hashable | None = None,
    person: Hashable | None = None,
    role: Hashable | None = None,
    cluster: Hashable | None = None,
    score_label: str = "Score",
    session_label: str = "Session",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the course of a score over sessions, a panel per role.

    Parameters
    ----------
    data
        A study, whose columns are known; or a frame, a row per person x session.
    session, score, person
        Columns; missing scores are left out and counted in the note. For a study, its sessions,
        alliance and persons by default.
    role
        Column that assigns each row to a panel; one panel without it. Panels stand in the
        order of the theme's groups, of categories, or of names ("role 10" after "role 2"). A
        column of persons gives small multiples.
    cluster
        Column of the independent units (therapists): the interval of the
        mean is robust to what is shared within them. Persons, if not given.
    score_label
        Quantity, unit and range, as in ``"WAI mean item score (1–7)"``.
    session_label
        What column `session` counts, as a noun in the singular: ``"Month"``.
    limits
        Limits of the axis of the score.
    words
        Role -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the means (``part = "mean"``, see :func:`session_means`) and the ratings
        (``part = "rating"``, ``estimate`` the score) of each panel.

    Raises
    ------
    DataError
        If a column is missing, a score is infinite, or no score is left.

    Examples
    --------
    >>> from alliance_stats import example_study
    >>> from alliance_stats.figures import trajectory_figure
    >>> sessions = example_study().sessions
    >>> figure = trajectory_figure(
    ...     sessions, session="session", score="alliance", person="person", role="role"
    ... )
    >>> figure.label
    'fig-trajectories'
    """
    if isinstance(data, Study):
        session, score, person = session or "session", score or "alliance", person or "person"
        cluster = cluster or ("therapist" if "therapist" in data.sessions else None)
        data = data.sessions
    require_frame(data, asked="trajectory_figure draws a frame of ratings")
    if session is None or score is None or person is None:
        raise DataError("A frame does not say its columns: give session=, score= and person=.")
    rated = _rated(data, session=session, score=score, person=person, role=role, cluster=cluster)
    parts = {"": rated} if role is None else dict(iter(rated.groupby("role", observed=True)))
    said = naming(common["words"], [*parts])
    panels = [
        Panel(
            name=said(name),
            ratings=parts[name],
            means=session_means(
                parts[name],
                session="session",
                score="score",
                cluster="cluster",
                conf_level=conf_level,
            ),
        )
        for name in _in_order(parts, None if role is None else data[role])
    ]
    told = Words(score_label, session_label, conf_level)
    return ReportFigure(
        _page(
            panels,
            rated,
            score_label=score_label,
            session_label=session_label,
            limits=common["limits"],
        ),
        label=common["label"] or "fig-trajectories",
        caption=told.caption(panels),
        alt=told.alt(panels),
        note=told.note(cluster=cluster, n_left_out=len(data) - len(rated)),
        data=_numbers(panels),
    )


def _in_order(names: Iterable[object], column: pd.Series | None) -> list[object]:
    """Return roles in the theme's order, then in that of categories or of their names."""
    own = list(sheet().theme.groups)
    categories = (
        list(column.cat.categories)
        if column is not None and isinstance(column.dtype, pd.CategoricalDtype)
        else []
    )

    def key(name: object) -> tuple[int, int, object]:
        first = own.index(str(name)) if str(name) in own else len(own)
        return first, categories.index(name) if categories else 0, natural(name)

    return sorted(names, key=key)


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
    finite_or_missing(data, session)  # refuses what is no number
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
    panels: Sequence[Panel],
    rated: pd.DataFrame,
    *,
    score_label: str,
    session_label: str,
    limits: tuple[float, float] | None,
) -> Figure:
    """Return the panels side by side, on one scale."""
    columns = min(len(panels), _COLUMNS, max(int((sheet().width - 40.0) / _PANEL_WIDTH), 1))
    rows = -(-len(panels) // columns)
    most_ticks = int(np.clip((sheet().width - 50.0) / columns / 28.0, 2, 12))
    each = _PANEL_HEIGHT + 29.0 / rows
    # not sharex: shared axes share their tick labels, and each panel has its own n under them
    figure, axes = in_grid(len(panels), columns, each, least=min(106.0, each), sharey=True)
    room = (sheet().width - 58.0) / columns - 4.0
    names = {"session": "session", "score": "score", "person": "person"}
    styles = looks([panel.name for panel in panels])
    for place, panel in enumerate(panels):
        ax, style = axes[place], styles[panel.name]
        _set_limits(ax, rated)
        draw_trajectories(
            ax, panel.ratings, panel.means, **names, style=style, most_ticks=most_ticks
        )
        set_limits(ax, limits, axis="y")
        dress(ax, y_label=score_label if place % columns == 0 else "", grid="y")
        persons = plural(panel.n_persons, "person")
        head(ax, *filter(None, [panel.name, persons]), room=room, colour=style.text)
    below = f"{session_label}, and under it the number of ratings"
    lines = balanced(below, sheet().width - 40.0)
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
        ticks = counted_ticks(sessions.min(), sessions.max(), most=most_ticks)
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
