"""Stacked probabilities of steps over a predictor."""

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_conf_level
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import dress, no_limits
from alliance_stats.figures.common import Common, head, in_grid, laid_out, settle
from alliance_stats.figures.numbers import format_percent, plural, time_ticks
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, INK, look, naming, sheet
from alliance_stats.figures.text import in_sentence, wrap
from alliance_stats.multilevel import StepMeans

__all__ = ["draw_stacked_steps", "step_figure"]

# Lightest and darkest step, as shares of the house's first colour on white.
LIGHTEST, DARKEST = 0.12, 0.95
MOST_PANELS = 6
_LEAST = 80.0  # pt, of a panel
_AXIS, _TICK = 16.0, 16.0  # pt, what the numbers beside a panel and those below it take


def draw_stacked_steps(
    ax: Axes, across: Array, cumulative: pd.DataFrame, tints: Sequence[str]
) -> None:
    """Draw stacked probabilities with the band of each border between two steps.

    Parameters
    ----------
    across
        Positions on the horizontal axis, one per cell.
    cumulative
        ``step, estimate, conf_low, conf_high`` of P(rating <= step), cell by cell.
    tints
        A colour per step, the lowest first.
    """
    borders = [own for _, own in cumulative.groupby("step", sort=False)]
    values = [np.zeros(len(across)), *(b["estimate"].to_numpy() for b in borders)]
    values.append(np.ones(len(across)))
    for low, high, tint in zip(values[:-1], values[1:], tints, strict=True):
        ax.fill_between(across, low, high, color=tint, lw=0)
    for border in borders:
        low, high = border["conf_low"], border["conf_high"]
        ax.fill_between(across, low, high, color=INK, alpha=0.18, lw=0, gid="band")
        ax.plot(across, border["estimate"], color="white", lw=1.2)
    ax.set_ylim(0.0, 1.0)
    ax.set_xlim(across.min(), across.max())


@laid_out(FULL_WIDTH)
def step_figure(
    means: StepMeans,
    *,
    outcome_label: str = "Rating",
    x_label: str = "",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the probability of each step of a rating over a predictor.

    Parameters
    ----------
    means
        From :func:`~alliance_stats.step_means`. Its first predictor is on the horizontal axis; each
        combination of the others has a panel.
    outcome_label, x_label
        Words for the rating and for the first predictor.
    conf_level
        Of the bands around the borders between steps.
    limits
        Refused: there is no axis of values to limit.
    words
        Labels of values of the predictors and of steps: ``{"mother": "Mothers"}``.

    Returns
    -------
    ReportFigure
        ``data`` is the table of probabilities.

    Examples
    --------
    >>> from alliance_stats import example_study, ordinal, step_means
    >>> from alliance_stats.figures import step_figure
    >>> early = example_study().sessions.query("session <= 3")
    >>> rated = early.assign(rating=early["alliance"].round())
    >>> model = ordinal("rating ~ session + (1 | family/person)", rated)
    >>> step_figure(step_means(model, "session"), x_label="Session").label
    'fig-steps'
    """
    require_kind(
        means, (StepMeans,), asked="step_figure draws a result of step_means", instead=DRAWN_BY
    )
    no_limits(common["limits"])
    check_conf_level(conf_level)
    cells, n_panels = means.cells.rename(columns=str), len(_panels(means))
    if n_panels > MOST_PANELS or len(cells) == n_panels:
        raise DataError(
            f"step_means has {plural(len(cells), 'cell')} in {plural(n_panels, 'panel')}: the "
            f"first predictor needs two values or more, the others {MOST_PANELS} combinations at "
            "most. Ask step_means for fewer, by at=."
        )
    shown = [*map(str, means.steps), *(str(v) for column in cells for v in cells[column].unique())]
    said = naming(common["words"], shown)
    over = x_label or str(cells.columns[0])
    probabilities = means.tidy(conf_level=conf_level)
    borders = means.cumulative(conf_level=conf_level).rename(columns=str)
    figure = _page(means, borders, said, outcome_label=outcome_label, x_label=over)
    ends = [probabilities[probabilities["step"] == s]["estimate"] for s in means.steps]
    told = "; ".join(
        f"{said(str(s))}: {format_percent(float(e.min()))} to {format_percent(float(e.max()))}"
        for s, e in zip(means.steps, ends, strict=True)
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-steps",
        caption=f"Probability of each step of {in_sentence(outcome_label)} over "
        f"{in_sentence(over)}, stacked from the lowest at the bottom; grey bands: "
        f"{format_percent(conf_level)} intervals of the borders between steps; "
        f"{plural(means.rows.n_used, 'row')}.",
        alt=f"{plural(n_panels, 'panel')} of stacked areas. Lowest and highest probability: "
        f"{told}.",
        note=f"{means.method[:1].upper()}{means.method[1:]}; {plural(means.rows.n_used, 'row')}.",
        data=probabilities.rename(columns=str),
    )


def _panels(means: StepMeans) -> list[tuple[object, ...]]:
    """Return the combinations of values of all predictors but the first."""
    others = means.cells.iloc[:, 1:]
    if not others.shape[1]:
        return [()]
    return list(dict.fromkeys(others.itertuples(index=False, name=None)))


def _page(
    means: StepMeans,
    borders: pd.DataFrame,
    said: Callable[[object], str],
    *,
    outcome_label: str,
    x_label: str,
) -> Figure:
    tints, panels = _tints(len(means.steps)), _panels(means)
    first, *others = [str(c) for c in means.cells.columns]
    columns = min(len(panels), 3, max(1, int(sheet().width * 0.75 / _LEAST)))
    figure, axes = in_grid(len(panels), columns, 200.0, sharey=True)
    room = sheet().width * 0.75 / columns
    for ax, key in zip(axes, panels, strict=True):
        own = np.ones(len(borders), dtype=bool)
        for name, value in zip(others, key, strict=True):
            own &= (borders[name] == value).to_numpy()
        part = borders[own]
        values = list(dict.fromkeys(part[first]))
        numeric = all(isinstance(v, int | float | np.number) for v in values)
        across = np.array(values, dtype=float) if numeric else np.arange(len(values), dtype=float)
        draw_stacked_steps(ax, across, part, tints)
        most = min(6, int((room - _AXIS) / _TICK))
        ax.set_xticks(time_ticks(across, most) if numeric else across)
        if not numeric:
            ax.set_xticklabels(["\n".join(wrap(said(str(v)), room / len(values))) for v in values])
        dress(ax, x_label=x_label, y_label="Probability")
        if key:
            heading = ", ".join(said(str(v)) for v in key)
            head(ax, heading, room=room)
    handles = [
        Patch(facecolor=tint, label="\n".join(wrap(said(str(step)), sheet().width * 0.2)))
        for tint, step in zip(tints, means.steps, strict=True)
    ]
    figure.legend(
        handles=handles[::-1], loc="outside right upper", frameon=False, handlelength=1.0,
        title="\n".join(wrap(outcome_label, sheet().width * 0.2)), alignment="left",
    )  # fmt: skip
    settle(figure)
    return figure


def _tints(n: int) -> list[str]:
    """Return colours from light to dark of one hue, the lowest step first."""
    colour = look(0).colour
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    found = []
    for share in np.linspace(LIGHTEST, DARKEST, n):
        mixed = np.round(255.0 * (1.0 - share * (1.0 - rgb))).astype(int)
        found.append("#{:02x}{:02x}{:02x}".format(*mixed))
    return found
