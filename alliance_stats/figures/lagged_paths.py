"""Session to session as paths: the effect of each outcome on the others at the next session."""

from typing import Unpack

import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import add_axes, no_limits, page, width_in_points
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.numbers import format_level, interval_of, plural, with_interval
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import (
    BODY,
    COLUMN_AND_HALF,
    INK,
    SMALL,
    font,
    naming,
    points,
    sheet,
)
from alliance_stats.figures.text import widest, wrap
from alliance_stats.panel import CrossLagged

__all__ = [
    "draw_lagged_paths",
    "effects_in_words",
    "lagged_paths_figure",
    "one_table",
    "require_lagged",
]

_ONE_LINE = 260.0  # pt, that estimates need to stand beside their intervals


def draw_lagged_paths(ax: Axes, effects: pd.DataFrame) -> None:
    """Draw outcomes at one session and the next, with an arrow and its estimate for each effect.

    Parameters
    ----------
    ax
        Axes to draw on; their spines and ticks are removed.
    effects
        ``outcome, predictor, estimate, conf_low, conf_high``; arrows whose interval includes zero
        are dashed.
    """
    names = list(dict.fromkeys(effects["outcome"]))
    height = {name: float(len(names) - 1 - i) for i, name in enumerate(names)}
    low, high = -0.32, 1.32
    ax.set_xlim(low, high)
    wide = widest(names, sheet().part(110.0)) + points(SMALL) + 8.0  # a box and a gap
    edge = 0.5 * wide * (high - low) / width_in_points(ax)
    ax.set_ylim(-0.6, len(names) - 0.1)
    ax.set_axis_off()
    for x, title in ((0.0, "One session"), (1.0, "The next session")):
        ax.text(x, len(names) - 0.35, title, ha="center", **font(BODY))
        for name, y in height.items():
            box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": INK, "lw": 0.8}
            said = "\n".join(wrap(name, sheet().part(110.0)))
            ax.text(x, y, said, ha="center", va="center", bbox=box, **font(SMALL))
    for row in effects.itertuples():
        start, end = height[str(row.predictor)], height[str(row.outcome)]
        told = row.conf_low > 0 or row.conf_high < 0
        ax.annotate(
            "",
            xy=(1.0 - edge, end),
            xytext=(edge, start),
            arrowprops={
                "arrowstyle": "-|>",
                "color": INK,
                "lw": 1.2,
                "linestyle": "-" if told else (0, (4, 2)),
                "shrinkA": 0.0,
                "shrinkB": 0.0,
            },
        )
        along = 0.5 if start == end else 0.34
        said = with_interval(row.estimate, row.conf_low, row.conf_high)
        if width_in_points(ax) < _ONE_LINE:
            said = said.replace(" [", "\n[", 1)
        ax.text(
            edge + (1.0 - 2.0 * edge) * along,
            start + (end - start) * along,
            said,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            zorder=5,  # over arrows that are drawn later
            **font(SMALL),
        )


@laid_out(COLUMN_AND_HALF)
def lagged_paths_figure(
    result: CrossLagged,
    *,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show lagged effects as arrows from one session to the next, with their estimates.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.panel.cross_lagged`, one group, with lags equal across sessions.

    Examples
    --------
    >>> from alliance_stats import cross_lagged, example_study
    >>> from alliance_stats.figures import lagged_paths_figure
    >>> sessions = example_study().sessions
    >>> model = cross_lagged(
    ...     sessions, outcomes=["alliance", "symptoms"], person="person", session="session"
    ... )
    >>> lagged_paths_figure(model).label
    'fig-lagged-paths'
    """
    no_limits(common["limits"])
    require_lagged(result, "lagged_paths_figure")
    effects = one_table(result.tidy(conf_level=conf_level))
    said = naming(common["words"], result.outcomes)
    effects = effects.assign(
        **{name: [said(x) for x in effects[name]] for name in ("outcome", "predictor")}
    )
    names = [said(name) for name in result.outcomes]
    tall = (72.0 if not sheet().narrow else 92.0) * len(names)
    figure = page(40.0 + tall)
    ax = add_axes(figure, 6.0, 4.0, sheet().width - 12.0, 32.0 + tall)
    draw_lagged_paths(ax, effects)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-lagged-paths",
        caption="Effects of deviations from a person's own level on the next session, per point, "
        f"with {format_level(conf_level)} confidence intervals "
        f"(n = {plural(result.rows.n_used, 'row')}).",
        alt=f"Boxes for {' and '.join(names)} at one session and the next, joined by arrows. "
        f"{effects_in_words(effects)}.",
        note=f"{result.method[:1].upper()}{result.method[1:]}. Dashed: the interval holds 0.",
        data=effects,
    )


def require_lagged(result: object, figure: str) -> None:
    """Refuse what is no model of lagged effects."""
    asked = f"{figure} draws a model of cross_lagged"
    require_kind(result, CrossLagged, asked=asked, instead=DRAWN_BY)


def one_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of effects; refuse one with parts for several groups or sessions."""
    if "strata" in table or "session" in table:
        raise DataError(
            "The figure is for one group and lags equal over sessions; fit each group by itself."
        )
    return table


def effects_in_words(effects: pd.DataFrame) -> str:
    """Say each effect with its interval."""
    return "; ".join(
        f"{row['predictor']} on {row['outcome']} {interval_of(row)}"
        for _, row in effects.iterrows()
    )
