"""Session to session: deviations and the next ones, impulse responses, reliability."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alliance_stats.figures.axes import (
    add_axes,
    draw_band,
    dress,
    page,
    room_below,
    room_beside,
    set_limits,
)
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.lagged_paths import effects_in_words, one_table, require_lagged
from alliance_stats.figures.numbers import (
    format_count,
    format_level,
    interval_of,
    plural,
)
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, RULE, SMALL, font, look, naming, sheet
from alliance_stats.figures.text import lines_height, wrap
from alliance_stats.panel import CrossLagged

__all__ = [
    "deviations_figure",
    "draw_bands",
    "draw_next_deviations",
    "impulse_response_figure",
    "reliability_figure",
]

_PANEL = 104.0  # pt, height of one panel
_WIDE_TICKS = 10.0  # pt, for numbers such as −0.0002
_ABOVE = 22.0  # pt, for what a panel is called


def draw_bands(ax: Axes, curve: pd.DataFrame, *, across: str) -> None:
    """Draw estimates with their band along `across`, and a line at zero.

    Parameters
    ----------
    ax
        Axes to draw on.
    curve
        ``estimate, conf_low, conf_high`` and the column `across`.
    """
    style = look(0)
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    x = curve[across].to_numpy(dtype=np.float64)
    low, high = (curve[end].to_numpy(dtype=np.float64) for end in ("conf_low", "conf_high"))
    draw_band(ax, x, low, high, style.colour)
    ax.plot(x, curve["estimate"], color=style.text, lw=1.6, marker="o", ms=3, gid="estimate")


def draw_next_deviations(ax: Axes, points: pd.DataFrame, effect: pd.Series) -> None:
    """Draw deviations against those of the session before, and the line of the lagged effect.

    Parameters
    ----------
    ax
        Axes to draw on.
    points
        ``before``, ``after``.
    effect
        ``estimate, conf_low, conf_high``: the slopes of the line and of its band's edges.
    """
    style = look(0)
    for line in (ax.axhline, ax.axvline):
        line(0.0, color=RULE, lw=0.8, zorder=1)
    ax.plot(
        points["before"], points["after"], ls="", marker="o", ms=2.4, mec="none", color=RULE,
        alpha=float(np.clip(200.0 / len(points), 0.12, 0.7)), gid="values",
    )  # fmt: skip
    ends = np.array([points["before"].min(), points["before"].max()])
    low, high = (effect[end] * ends for end in ("conf_low", "conf_high"))
    ax.fill_between(ends, low, high, color=style.colour, alpha=0.22, lw=0, zorder=3)
    ax.plot(ends, effect["estimate"] * ends, color=style.text, lw=1.6, zorder=4, gid="estimate")


@laid_out(COLUMN_AND_HALF)
def deviations_figure(
    result: CrossLagged,
    *,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show each deviation against that of the session before, with the lagged effect as a line.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.panel.cross_lagged`, one group, with lags equal across sessions.

    Returns
    -------
    ReportFigure
        ``data`` has the points: ``person, session, outcome, predictor, before, after``, where
        `after` is net of what the other outcomes of the session before account for.

    Examples
    --------
    >>> from alliance_stats import cross_lagged, example_study
    >>> from alliance_stats.figures import deviations_figure
    >>> sessions = example_study().sessions
    >>> model = cross_lagged(
    ...     sessions, outcomes=["alliance", "symptoms"], person="person", session="session"
    ... )
    >>> deviations_figure(model).label
    'fig-deviations'
    """
    require_lagged(result, "deviations_figure")
    effects = one_table(result.tidy(conf_level=conf_level))
    points = _next_deviations(result, effects)
    said = naming(common["words"], result.outcomes)
    effects, points = (
        frame.assign(**{name: frame[name].map(said) for name in ("outcome", "predictor")})
        for frame in (effects, points)
    )
    titles = [f"{row['predictor']} on {row['outcome']}" for _, row in effects.iterrows()]
    figure, panels = _beside_one_another(
        titles, labels=("Deviation at a session (points)", "At the next session (points)")
    )
    clouds = points.groupby(["outcome", "predictor"], sort=False)
    for ax, (_, own), (_, effect) in zip(panels, clouds, effects.iterrows(), strict=True):
        draw_next_deviations(ax, own, effect)
        set_limits(ax, common["limits"], axis="y")
    n = len(points) // len(effects)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-deviations",
        caption="Deviations from a person's own level against those of the session before, with "
        f"the lagged effects as lines and {format_level(conf_level)} confidence bands "
        f"(n = {format_count(n)} pairs of sessions).",
        alt=f"{len(panels)} clouds of about {n} points, each with a line through zero. "
        f"{effects_in_words(effects)}.",
        note="Deviations are from predicted levels, which short series pull towards their own "
        "ratings: the lines are the model's and may be steeper than the clouds. What the other "
        "outcomes of the session before account for is taken out.",
        data=points,
    )


def _next_deviations(result: CrossLagged, effects: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of deviations one session apart, a row per pair, outcome and predictor."""
    names = result.model.table.names
    person, session, outcomes = names["person"], names["session"], list(result.outcomes)
    now = result.deviations().set_index([person, session])[outcomes].dropna()
    later = now.rename(index=lambda s: s - 1, level=session)
    both = now.add_suffix(" before").join(later.add_suffix(" after"), how="inner")
    phi = effects.set_index(["outcome", "predictor"])["estimate"]
    parts = []
    for outcome in outcomes:
        explained = sum(phi[outcome, name] * both[f"{name} before"] for name in outcomes)
        for predictor in outcomes:
            before = both[f"{predictor} before"]
            after = both[f"{outcome} after"] - explained + phi[outcome, predictor] * before
            frame = pd.DataFrame({"before": before, "after": after}).reset_index()
            frame[session] = frame[session] + 1
            parts.append(frame.assign(outcome=outcome, predictor=predictor))
    return pd.concat(parts, ignore_index=True)


@laid_out(COLUMN_AND_HALF)
def impulse_response_figure(
    result: CrossLagged,
    *,
    horizon: int = 6,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how each outcome responds to a shock of one point, session by session.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.panel.cross_lagged`, one group, with lags equal across sessions.
    horizon
        Sessions after the shock.

    Examples
    --------
    >>> from alliance_stats import cross_lagged, example_study
    >>> from alliance_stats.figures import impulse_response_figure
    >>> sessions = example_study().sessions
    >>> model = cross_lagged(
    ...     sessions, outcomes=["alliance", "symptoms"], person="person", session="session"
    ... )
    >>> impulse_response_figure(model, horizon=4).label
    'fig-impulse-responses'
    """
    require_lagged(result, "impulse_response_figure")
    responses = one_table(result.impulse_responses(horizon=horizon, conf_level=conf_level))
    said = naming(common["words"], result.outcomes)
    responses = responses.assign(
        **{name: [said(x) for x in responses[name]] for name in ("outcome", "impulse")}
    )
    panels = {
        f"{impulse} raised: {outcome}": part
        for (impulse, outcome), part in responses.groupby(["impulse", "outcome"], sort=False)
    }
    order = "one outcome alone" if result.order is None else f"{', then '.join(result.order)}"
    moved = "moves one outcome alone" if result.order is None else f"runs in the order {order}"
    return _panelled(
        panels,
        across="sessions_after",
        labels=("Sessions after", "Response (points)"),
        label=common["label"] or "fig-impulse-responses",
        limits=common["limits"],
        told=(
            "Responses to a shock of one point, with "
            f"{format_level(conf_level)} confidence bands, each for its own session; "
            f"{plural(result.rows.n_used, 'row')}.",
            f"Within its session a shock {moved}.",
        ),
    )


@laid_out(COLUMN_AND_HALF)
def reliability_figure(
    model: CrossLagged,
    *,
    reliabilities: Sequence[float] = (1.0, 0.9, 0.8, 0.7, 0.6),
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show lagged effects over a grid of reliabilities.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.panel.cross_lagged`, one group, with lags equal across sessions.
    reliabilities
        Reliabilities of the ratings within persons; at each, the effects are those of
        :meth:`~alliance_stats.panel.CrossLagged.sensitivity`.

    Raises
    ------
    DataError
        If the model has several groups, or lags that differ between sessions.

    Examples
    --------
    >>> from alliance_stats import cross_lagged, example_study
    >>> from alliance_stats.figures import reliability_figure
    >>> sessions = example_study().sessions.query("session <= 5")
    >>> model = cross_lagged(
    ...     sessions, outcomes=["alliance", "symptoms"], person="person", session="session"
    ... )
    >>> reliability_figure(model, reliabilities=(1.0, 0.8)).label
    'fig-reliability'
    """
    require_lagged(model, "reliability_figure")
    one_table(model.tidy())
    curve = model.sensitivity(reliabilities=reliabilities, conf_level=conf_level)
    said = naming(common["words"], [*curve["outcome"], *curve["predictor"]])
    panels = {
        f"{said(predictor)} on {said(outcome)}": part
        for (outcome, predictor), part in curve.groupby(["outcome", "predictor"], sort=False)
    }
    return _panelled(
        panels,
        across="reliability",
        labels=("Within-person reliability", "Lagged effect"),
        label=common["label"] or "fig-reliability",
        limits=common["limits"],
        told=(
            "Lagged effects were the ratings' within-person reliability what the axis says, with "
            f"{format_level(conf_level)} confidence bands.",
            "At 1 ratings are taken as free of error.",
        ),
    )


def _panelled(
    panels: dict[str, pd.DataFrame],
    *,
    across: str,
    labels: tuple[str, str],
    label: str,
    limits: tuple[float, float] | None,
    told: tuple[str, str],
) -> ReportFigure:
    """Draw a panel for each curve with its band, from the lowest value of `across` on."""
    panels = {name: own.sort_values(across, kind="stable") for name, own in panels.items()}
    figure, axes = _beside_one_another(list(panels), labels=labels)
    for ax, curve in zip(axes, panels.values(), strict=True):
        draw_bands(ax, curve, across=across)
        set_limits(ax, limits, axis="y")
    ends = "; ".join(f"{title}: {interval_of(own.iloc[-1])}" for title, own in panels.items())
    return ReportFigure(
        figure,
        label=label,
        caption=told[0],
        alt=f"{len(panels)} curves with bands: {labels[1]} by {labels[0]}. At their last "
        f"point, {ends}.",
        note=told[1],
        data=pd.concat(panels.values(), ignore_index=True),
    )


def _beside_one_another(
    panels: Sequence[str], *, labels: tuple[str, str]
) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels in pairs, each with a title and labelled axes."""
    columns = 2 if len(panels) > 1 and not sheet().narrow else 1
    rows = -(-len(panels) // columns)
    left = room_beside(labels[1], _PANEL) + _WIDE_TICKS
    wide = (sheet().width - 12.0) / columns - left - 6.0
    below = room_below(labels[0], wide)
    titles = {title: wrap(title, wide) for title in panels}
    above = _ABOVE + lines_height(max(map(len, titles.values())) - 1)
    high = above + _PANEL + below
    figure = page(rows * high)
    made = []
    for place, title in enumerate(panels):
        row, column = divmod(place, columns)
        x = left + column * (wide + left + 6.0)
        ax = add_axes(figure, x, row * high + above, wide, _PANEL)
        for axis, most in ((ax.xaxis, 4), (ax.yaxis, 5)):
            axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("-", "\u2212"))
        dress(ax, x_label=labels[0], y_label=labels[1])
        ax.set_title("\n".join(titles[title]), loc="left", pad=4, **font(SMALL))
        made.append(ax)
    return figure, made
