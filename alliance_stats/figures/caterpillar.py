"""Caterpillar plots: what each therapist adds to the average, with its interval, in order."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.checks import did_you_mean, require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import add_axes, dress, room_below
from alliance_stats.figures.intervals import draw_intervals, write_rows
from alliance_stats.figures.report import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, look, new_figure, styled
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.formatting import (
    format_alone,
    format_count,
    format_level,
    plural,
    with_interval,
)
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel

__all__ = ["caterpillar_figure", "draw_caterpillar"]

_MOST_NAMES = 45  # units whose names fit on one page
_NAME_WIDTH = 110.0  # pt
_TALLEST = 480.0  # pt


def draw_caterpillar(ax: Axes, effects: pd.DataFrame, *, names: str = "all") -> None:
    """Draw units from the lowest to the highest effect, upwards, around a line at 0.

    Parameters
    ----------
    ax
        Axes to draw on; names stand at its left.
    effects
        ``level, estimate, conf_low, conf_high``, a row a unit.
    names
        ``"all"`` or ``"none"``.
    """
    ordered = effects.sort_values(["estimate", "level"], kind="stable", key=_sortable)
    places = np.arange(len(ordered), dtype=float)
    draw_intervals(
        ax,
        ordered,
        places,
        reference=0.0,
        sizes=np.full(len(ordered), float(np.clip(160.0 / len(ordered), 1.6, 4.5))),
        colour=look(0).text,
    )
    ax.set_ylim(-0.8, len(ordered) - 0.2)
    ax.set_yticks([])
    if names == "all":
        write_rows(
            ax, [*ordered["level"].astype(str)], places, x=-8.0, ha="right", width=_NAME_WIDTH
        )


@styled
def caterpillar_figure(
    model: LinearMixedModel,
    *,
    group: str,
    term: str = "(Intercept)",
    effect_label: str = "Deviation from the average",
    conf_level: float = 0.95,
    label: str = "fig-caterpillar",
) -> ReportFigure:
    """Show the predicted random effects of a grouping factor, in order.

    Parameters
    ----------
    model
        A fitted linear mixed model.
    group
        Grouping factor: ``"therapist"``.
    term
        Which of its random effects.
    effect_label
        What the effect is, with its unit: ``"Therapist's deviation (WAI points)"``.

    Returns
    -------
    ReportFigure
        ``data`` has the effects in the order drawn.

    Raises
    ------
    DataError
        If the model has no such grouping factor or random effect.
    """
    asked = "caterpillar_figure draws a model of lmm or glmm"
    kinds = (LinearMixedModel, GeneralizedLinearMixedModel)
    require_kind(model, kinds, asked=asked, instead=DRAWN_BY)
    effects = _effects(model, group, term, conf_level)
    named = len(effects) <= _MOST_NAMES
    left, row = 30.0, max(_TALLEST / len(effects), 2.0)
    if named:
        lines = [wrap(name, _NAME_WIDTH) for name in effects["level"].astype(str)]
        left = 16.0 + max(text_width(line) for words in lines for line in words)
        row = lines_height(max(map(len, lines))) + 4.0
    height, wide = max(row * (len(effects) + 0.6), 40.0), 72 * COLUMN_AND_HALF - left - 14.0
    x_label = f"{effect_label}, {format_level(conf_level)} interval"
    whole = 8.0 + height + room_below(x_label, wide)
    figure = new_figure(COLUMN_AND_HALF, whole / 72, placed_by_hand=True)
    ax = add_axes(figure, left, 8.0, wide, height)
    draw_caterpillar(ax, effects, names="all" if named else "none")
    units = _plural(len(effects), group)
    dress(ax, x_label=x_label)
    if not named:
        dress(ax, y_label=f"{units}, lowest to highest")
    ax.spines["left"].set_visible(not named)
    found = _found(effects, model, group, term)
    return ReportFigure(
        figure,
        label=label,
        caption=f"{effect_label} of {units}, in order, with {format_level(conf_level)} "
        f"intervals. {found}",
        alt=f"Caterpillar plot of {units} around a line at 0. {found}",
        note=_note(model, conf_level),
        data=effects,
    )


def _effects(model: LinearMixedModel, group: str, term: str, conf_level: float) -> pd.DataFrame:
    table = model.tidy(effects="ran_vals", conf_level=conf_level)
    own = table.loc[table["group"] == group]
    if own.empty:
        raise DataError(
            f"The model has no grouping factor '{group}'. "
            f"{did_you_mean(group, dict.fromkeys(table['group']))}"
        )
    chosen = own.loc[own["term"] == term]
    if chosen.empty:
        raise DataError(
            f"'{group}' has no random effect '{term}'. "
            f"{did_you_mean(term, dict.fromkeys(own['term']))}"
        )
    columns = ["group", "level", "term", "estimate", "std_error", "conf_low", "conf_high"]
    ordered = chosen.sort_values(["estimate", "level"], kind="stable", key=_sortable)
    return ordered[columns].reset_index(drop=True)


def _sortable(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column.dtype) else column.astype(str)


def _plural(count: int, group: str) -> str:
    word = group.replace(":", " by ")
    if word.endswith("y") and word[-2:-1] not in set("aeiou"):
        return plural(count, word, f"{word[:-1]}ies")
    return plural(count, word)


def _found(effects: pd.DataFrame, model: LinearMixedModel, group: str, term: str) -> str:
    spread = model.tidy(effects="ran_pars")
    sd = spread.loc[(spread["group"] == group) & (spread["term"] == f"sd__{term}"), "estimate"]
    first, last = effects.iloc[0], effects.iloc[-1]
    apart = int(((effects["conf_low"] > 0) | (effects["conf_high"] < 0)).sum())
    ends = [
        f"{row['level']} ({with_interval(row['estimate'], row['conf_low'], row['conf_high'])})"
        for row in (first, last)
    ]
    return (
        f"Estimated SD between them {format_alone(sd.iloc[0])}; lowest {ends[0]}, highest "
        f"{ends[1]}; {format_count(apart)} of {format_count(len(effects))} intervals leave out 0."
    )


def _note(model: LinearMixedModel, conf_level: float) -> str:
    boundary = (
        " The fit is on its boundary: a variance or correlation at its limit shrinks effects to it."
        if model.singular
        else ""
    )
    return (
        f"Predicted random effects (conditional modes) of {model.formula}, shrunk towards 0, "
        f"{plural(model.nobs, 'row')}. {format_level(conf_level)} intervals from conditional SDs "
        "that take the variances and coefficients as known. Neighbours whose intervals overlap "
        f"are not told apart, and an order among many is uncertain.{boundary}"
    )
