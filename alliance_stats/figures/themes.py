"""Themes by group: how many of each group voiced a theme, with exact intervals."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import check_frame, require_columns, require_present
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import add_axes, dress, width_in_points
from alliance_stats.figures.intervals import write_rows
from alliance_stats.figures.report import ReportFigure, require_frame
from alliance_stats.figures.style import FULL_WIDTH, SMALL, font, look, new_figure, styled
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.formatting import format_count, format_level, format_percent, plural

__all__ = ["draw_themes", "theme_figure"]

_NAME_WIDTH = 150.0  # pt
_WORDS_WIDTH = 130.0  # pt, group and count at the right


def draw_themes(ax: Axes, prevalence: pd.DataFrame) -> None:
    """Draw a row a theme, in it a dot with its interval for each group; counts at the right.

    Parameters
    ----------
    ax
        Axes to draw on.
    prevalence
        ``theme, group, count, n, estimate, conf_low, conf_high``, proportions.
    """
    themes, groups = _order(prevalence)
    heights = _heights(themes, groups)
    centres = np.cumsum(heights) - heights / 2.0
    rooms = _lanes(groups)
    within = np.cumsum(rooms) - rooms / 2.0 - rooms.sum() / 2.0
    for place, group in enumerate(groups):
        own = prevalence.loc[prevalence["group"] == group].set_index("theme")
        lanes = centres + within[place]
        style = look(place)
        for lane, theme in zip(lanes, themes, strict=True):
            if theme not in own.index:
                continue
            row = own.loc[theme]
            limits = [row["conf_low"], row["conf_high"]]
            ax.plot(limits, [lane, lane], color=style.colour, lw=1.2, ls=style.dash, gid="interval")
            ax.plot(  # not clipped: a dot at 0 or 100% stands half outside
                row["estimate"],
                lane,
                marker=style.marker,
                ms=5,
                color=style.text,
                clip_on=False,
                zorder=4,
                gid="dot",
            )
            words = f"{group}: {format_count(row['count'])} of {format_count(row['n'])}"
            ax.text(
                1.0 + 10.0 / width_in_points(ax),
                lane,
                "\n".join(wrap(words, _WORDS_WIDTH)),
                va="center",
                transform=ax.get_yaxis_transform(),
                **font(SMALL, colour=style.text),
            )
    for edge in np.cumsum(heights)[:-1]:
        ax.axhline(edge, color="#e6e6e6", lw=0.6, zorder=0)
    ax.set_xlim(0.0, 1.0)
    ax.margins(x=0)
    ax.set_ylim(float(heights.sum()), 0.0)
    ax.set_yticks([])
    ax.set_xticks(np.linspace(0, 1, 5), [format_percent(tick) for tick in np.linspace(0, 1, 5)])
    write_rows(ax, [str(theme) for theme in themes], centres, x=-8.0, ha="right", width=_NAME_WIDTH)


@styled
def theme_figure(
    prevalence: pd.DataFrame,
    *,
    method: str,
    unit: str = "parents",
    conf_level: float = 0.95,
    label: str = "fig-themes",
) -> ReportFigure:
    """Show how often each theme was voiced in each group.

    Parameters
    ----------
    prevalence
        ``theme, group, count, n, estimate, conf_low, conf_high``, a row a theme and group, in the
        order to draw.
    method
        By which method the intervals were made: ``"Clopper-Pearson"``.
    unit
        Who was counted, in the plural.

    Raises
    ------
    DataError
        If a column is missing, a theme stands twice for a group, or a proportion is not count/n.
    """
    require_frame(
        prevalence,
        asked="theme_figure draws a frame of shares, as ThemeComparison.prevalence() gives it",
    )
    check_frame(prevalence, what="prevalence")
    needed = ["theme", "group", "count", "n", "estimate", "conf_low", "conf_high"]
    require_columns(prevalence, needed, what="prevalence")
    for column in ("theme", "group", "count", "n"):
        require_present(prevalence, column, why="to place a dot")
    if prevalence.duplicated(["theme", "group"]).any():
        raise DataError("A theme stands more than once for the same group.")
    share = prevalence["count"] / prevalence["n"]
    if not np.allclose(share, prevalence["estimate"], rtol=0, atol=1e-9):
        raise DataError("Column 'estimate' is not 'count' divided by 'n'.")
    themes, groups = _order(prevalence)
    left = 14.0 + max(text_width(x) for t in themes for x in wrap(t, _NAME_WIDTH))
    words = [f"{row['group']}: {row['count']} of {row['n']}" for row in _rows(prevalence)]
    right = 16.0 + max(text_width(line) for text in words for line in wrap(text, _WORDS_WIDTH))
    height = float(_heights(themes, groups).sum())
    figure = new_figure(FULL_WIDTH, (height + 50.0) / 72, placed_by_hand=True)
    ax = add_axes(figure, left, 8.0, 72 * FULL_WIDTH - left - right, height)
    draw_themes(ax, prevalence)
    dress(ax, x_label=f"Share of {unit} who voiced the theme ({format_level(conf_level)} CI)")
    ax.spines["left"].set_visible(False)
    found = "; ".join(_theme_words(prevalence, theme) for theme in themes)
    return ReportFigure(
        figure,
        label=label,
        caption=f"Themes by group, with {format_level(conf_level)} CI. {found}.",
        alt=f"Dots of the share of {unit} for {plural(len(themes), 'theme')} in "
        f"{plural(len(groups), 'group')}. {found}.",
        note=f"Intervals: {method.rstrip('.')}. A theme that was not voiced may have been felt.",
        data=prevalence.reset_index(drop=True),
    )


def _rows(prevalence: pd.DataFrame) -> list[pd.Series]:
    return [row for _, row in prevalence.iterrows()]


def _order(prevalence: pd.DataFrame) -> tuple[list[object], list[object]]:
    return list(dict.fromkeys(prevalence["theme"])), list(dict.fromkeys(prevalence["group"]))


def _lanes(groups: list[object]) -> Array:
    """Return the room of each group within a theme's row, in points."""
    return np.array([lines_height(len(wrap(f"{g}: 00 of 00", _WORDS_WIDTH))) + 2.0 for g in groups])


def _heights(themes: list[object], groups: list[object]) -> Array:
    lanes = float(_lanes(groups).sum())
    names = [lines_height(len(wrap(theme, _NAME_WIDTH))) for theme in themes]
    return np.array([max(name, lanes) + 6.0 for name in names])


def _theme_words(prevalence: pd.DataFrame, theme: object) -> str:
    own = prevalence.loc[prevalence["theme"] == theme]
    groups = ", ".join(
        f"{row['group']} {format_count(row['count'])} of {format_count(row['n'])} "
        f"({format_percent(row['estimate'])} [{format_percent(row['conf_low'])}, "
        f"{format_percent(row['conf_high'])}])"
        for row in _rows(own)
    )
    return f"{theme}: {groups}"
