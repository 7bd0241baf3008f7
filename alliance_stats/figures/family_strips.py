"""The alliances of all members of some families, one strip per family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from alliance_stats.checks import (
    check_frame,
    did_you_mean,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    add_axes,
    check_limits,
    dress,
    page,
    size_in_points,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_alone, integer_ticks, plural
from alliance_stats.figures.report_figure import ReportFigure, require_frame
from alliance_stats.figures.style import (
    BODY,
    FULL_WIDTH,
    Look,
    font,
    looks,
    naming,
    natural,
    sheet,
)
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.study import Study

__all__ = ["draw_family_strip", "family_strips_figure"]

_COLUMNS = 3
_MOST_FAMILIES = 12
_MOST_ROLES = 12
_GAP, _PANEL, _BETWEEN = 14.0, 92.0, 16.0  # pt
_NARROW = 90.0  # pt, a strip with fewer ticks
_LEAST = 62.0  # pt, the width of a strip


def draw_family_strip(
    ax: Axes, ratings: pd.DataFrame, styles: dict[str, Look], *, first: float, last: float
) -> None:
    """Draw one family: a line per member, the band between lowest and highest.

    Parameters
    ----------
    ax
        Axes to draw on.
    ratings
        ``session, role, person, score`` of one family, none missing.
    styles
        Role -> its look.
    first, last
        Sessions that the axis spans.
    """
    by = ratings.groupby("session")["score"]
    band = pd.DataFrame({"low": by.min(), "high": by.max(), "n": by.size()})
    band = band[band["n"] > 1]
    ax.fill_between(band.index, band["low"], band["high"], color="#e3e3e3", lw=0, zorder=0.5)
    if len(band) == 1:
        ax.vlines(band.index, band["low"], band["high"], color="#d0d0d0", lw=4, zorder=0.5)
    for (role, _), own in ratings.sort_values("session").groupby(["role", "person"], sort=True):
        style = styles[str(role)]
        ax.plot(
            own["session"],
            own["score"],
            color=style.colour,
            ls=style.dash,
            lw=1.2,
            marker=style.marker,
            markersize=2.6,
            gid="member",
        )
    ax.set_xlim(first - 0.5, last + 0.5)


@laid_out(FULL_WIDTH)
def family_strips_figure(
    data: Study | pd.DataFrame,
    *,
    families: Sequence[object],
    family: str | None = None,
    person: str | None = None,
    session: str | None = None,
    score: str | None = None,
    role: str | None = None,
    score_label: str | None = None,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the alliance of every member of some families, a strip per family.

    Parameters
    ----------
    data
        Long table, a row per member x session.
    family, person, session, score, role
        Columns; missing scores are left out.
    families
        Which families to draw, in order; at most twelve.
    score_label
        Quantity, unit and range.
    limits
        Limits of the axis of the score.
    words
        Role or family -> label to print.

    Raises
    ------
    DataError
        If a column is missing, a family is absent or has no rating, there are too many families, or
        a member has several ratings of one session.

    Examples
    --------
    >>> from alliance_stats import example_study
    >>> from alliance_stats.figures import family_strips_figure
    >>> figure = family_strips_figure(
    ...     example_study(), families=["F001", "F002"], score_label="Alliance (1-7)"
    ... )
    >>> figure.label
    'fig-family-strips'
    """
    if isinstance(data, Study):
        data, own = data.sessions, data.roles
    else:
        require_frame(data, asked="family_strips_figure draws a study, or a frame of ratings")
        own = {}
    given = {"family": family, "person": person, "session": session, "role": role}
    names = {name: column or own.get(name) for name, column in given.items()}
    score = score or own.get("alliance")
    missing = [name for name, column in {**names, "score": score}.items() if column is None]
    if missing or score is None:
        raise DataError(f"Say which columns these are: {', '.join(missing)} (family='...').")
    score_label = score_label or score
    rated = _ratings(data, names, score=score, families=families)
    said = naming(common["words"], [*rated["role"], *map(str, families)])
    rated["role"] = [said(name) for name in rated["role"]]
    roles = sorted(rated["role"].unique(), key=natural)
    if len(roles) > _MOST_ROLES:
        raise DataError(f"{len(roles)} roles cannot be told apart; at most {_MOST_ROLES}.")
    styles = looks(roles)
    reach = _reach(rated["score"], common["limits"])
    grid = _grid([said(name) for name in families], roles, score_label, reach)
    figure = page(grid.height)
    _write_key(figure, grid, styles)
    _draw_panels(figure, grid, rated, families=families, styles=styles, reach=reach)
    _write_sides(figure, grid)
    first, last = rated["session"].min(), rated["session"].max()
    apart = _distances(rated, families)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-family-strips",
        caption=f"{score_label} of the members of {plural(len(families), 'family', 'families')} "
        f"over sessions; grey: between the lowest and the highest "
        "member.",
        alt=f"{score_label}: {plural(len(families), 'panel')}, one per family, with a line per "
        f"member ({', '.join(roles)}) over sessions {first:.0f} to {last:.0f}.{apart}",
        note="Grey: between the lowest and the highest member rated at the session. Lines run "
        "across sessions without a rating.",
        data=rated.rename(columns={"score": "estimate"}),
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the panels stand, in points from the figure's upper left corner."""

    side: list[str]
    left: float
    columns: int
    width: float
    headings: list[list[str]]
    above: float
    key_lines: list[list[tuple[str, str]]]

    @property
    def rows(self) -> int:
        return -(-len(self.headings) // self.columns)

    @property
    def top(self) -> float:
        return 6.0 + 15.0 * len(self.key_lines)

    @property
    def height(self) -> float:
        below = 40.0
        return self.top + self.rows * (_PANEL + self.above) + (self.rows - 1) * _BETWEEN + below

    def corner(self, place: int) -> tuple[float, float]:
        down, across = divmod(place, self.columns)
        left = self.left + across * (self.width + _GAP)
        return left, self.top + self.above + down * (_PANEL + self.above + _BETWEEN)


def _grid(
    families: Sequence[str], roles: Sequence[str], score_label: str, reach: tuple[float, float]
) -> _Grid:
    """Return the panels' places, beside two lines of label and the numbers of the axis."""
    numbers = 12.0 + max(text_width("00.00"), _widest_number(reach))
    columns = min(_COLUMNS, len(families), max(int((sheet().width - 2 * numbers) / _LEAST), 1))
    side = wrap(score_label, _PANEL * -(-len(families) // columns), BODY)
    left = numbers + lines_height(len(side), BODY)
    width = (sheet().width - left - columns * _GAP) / columns
    headings = [wrap(name, width - 8, BODY, bold=True) for name in families]
    above = lines_height(max(len(lines) for lines in headings), BODY) + 6.0
    return _Grid(side, left, columns, width, headings, above, _key_lines(roles, left))


def _reach(scores: pd.Series, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return the ends of the axis of the score."""
    check_limits(limits)
    low, high = float(scores.min()), float(scores.max())
    pad = 0.06 * (high - low) or 0.5
    return limits or (low - pad, high + pad)


def _widest_number(reach: tuple[float, float]) -> float:
    """Return the width of the widest number of an axis of the score, before there is one."""
    ax = Figure(figsize=(1.0, _PANEL / 72.0)).add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_ylim(*reach)
    dress(ax)
    places = [float(place) for place in ax.get_yticks()]
    return max(map(text_width, ax.yaxis.get_major_formatter().format_ticks(places)), default=0.0)


def _draw_panels(
    figure: Figure,
    grid: _Grid,
    rated: pd.DataFrame,
    *,
    families: Sequence[object],
    styles: dict[str, Look],
    reach: tuple[float, float],
) -> None:
    """Draw a strip per family, all on the same two axes."""
    first, last = float(rated["session"].min()), float(rated["session"].max())
    for place, name in enumerate(families):
        ax = add_axes(figure, *grid.corner(place), grid.width, _PANEL)
        draw_family_strip(ax, rated[rated["family"] == name], styles, first=first, last=last)
        ax.set_ylim(*reach)
        ax.set_xticks(integer_ticks(first, last, most=4 if grid.width < _NARROW else 6))
        dress(ax, grid="y")
        if place % grid.columns:
            ax.set_yticklabels([])
        heading = "\n".join(grid.headings[place])
        ax.set_title(heading, loc="left", pad=4, **font(BODY, bold=True))


def _write_sides(figure: Figure, grid: _Grid) -> None:
    """Name the two axes once for all panels."""
    wide, height = sheet().width, grid.height
    middle = (grid.left + 0.5 * (wide - grid.left)) / wide
    figure.supxlabel("Session", x=middle, y=8.0 / height, ha="center", va="bottom", **font(BODY))
    centre = 1 - (grid.top + (height - grid.top - 30.0) / 2) / height
    figure.supylabel(
        "\n".join(grid.side), x=6.0 / wide, y=centre, ha="left", va="center", **font(BODY)
    )


def _distances(rated: pd.DataFrame, families: Sequence[object]) -> str:
    """Say how far the members of each family lie apart on average."""
    ranges = rated.groupby(["family", "session"])["score"].agg(["min", "max", "size"])
    several = ranges[ranges["size"] > 1]
    spread = (several["max"] - several["min"]).groupby("family").mean()
    found = "; ".join(
        f"{name}: {format_alone(spread[name])}" for name in families if name in spread.index
    )
    return f" Mean distance between highest and lowest member: {found}." if found else ""


def _ratings(
    data: pd.DataFrame, names: Mapping[str, Any], *, score: str, families: Sequence[object]
) -> pd.DataFrame:
    """Return the families' ratings as ``family, person, role, session, score``."""
    check_frame(data)
    require_columns(data, [*names.values(), score])
    for column in names.values():
        require_present(data, column, why="to place a rating in the figure")
    if not 0 < len(families) <= _MOST_FAMILIES:
        raise DataError(f"From 1 to {_MOST_FAMILIES} families can be drawn; got {len(families)}.")
    rated = pd.DataFrame(
        {
            "family": data[names["family"]].to_numpy(dtype=object),
            "person": data[names["person"]].astype(str).to_numpy(),
            "role": data[names["role"]].astype(str).to_numpy(),
            "session": finite_or_missing(data, names["session"]),
            "score": finite_or_missing(data, score),
        }
    ).dropna(subset=["score"])
    twice = rated.duplicated(["family", "person", "session"])
    if twice.any():
        row = rated[twice].iloc[0]
        raise DataError(
            f"'{row['person']}' has several ratings of session {row['session']:g}, and a line can "
            "show one: choose one rater, or average them first."
        )
    for name in families:
        if name not in set(rated["family"]):
            near = did_you_mean(name, rated["family"].unique())
            raise DataError(f"No rating of '{names['family']}' '{name}'. {near}")
    return rated[rated["family"].isin(list(families))].reset_index(drop=True)


def _key_lines(roles: Sequence[str], left: float) -> list[list[tuple[str, str]]]:
    """Break the key of roles into lines: ``(role, words)`` side by side."""
    lines: list[list[tuple[str, str]]] = [[]]
    x = left
    for role in roles:
        room = min(360.0, sheet().width - left - 30.0)
        first, *more = wrap(role, room)
        if more:
            first = wrap(role, room - text_width(" …"))[0]
        words = f"{first} …" if more else first
        room = 24.0 + text_width(words) + 16.0
        if lines[-1] and x + room > sheet().width:
            lines.append([])
            x = left
        lines[-1].append((role, words))
        x += room
    return lines


def _write_key(figure: Figure, grid: _Grid, styles: dict[str, Look]) -> None:
    wide, high = size_in_points(figure)
    for row, line in enumerate(grid.key_lines):
        x, y = grid.left, 1 - (9.0 + 15.0 * row) / high
        for role, words in line:
            style = styles[role]
            key = Line2D(
                [x / wide, (x + 10) / wide, (x + 20) / wide],
                [y, y, y],
                color=style.colour,
                ls=style.dash,
                lw=1.2,
                marker=style.marker,
                markersize=3,
                markevery=[1],
            )
            key.set_transform(figure.transSubfigure)
            figure.add_artist(key)
            figure.text((x + 24) / wide, y, words, va="center", **font(colour=style.text))
            x += 24.0 + text_width(words) + 16.0
