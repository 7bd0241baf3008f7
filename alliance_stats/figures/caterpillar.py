"""Caterpillar plots: what each therapist adds to the average, with its interval, in order."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from alliance_stats.checks import did_you_mean, require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    add_axes,
    draw_intervals,
    dress,
    room_below,
    row_heights,
    write_rows,
)
from alliance_stats.figures.forest import draw_forest
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import COLUMN_AND_HALF, FULL_WIDTH, look, new_figure, styled
from alliance_stats.figures.text import lines_height, text_width, wrap
from alliance_stats.formatting import (
    format_alone,
    format_count,
    format_level,
    plural,
    with_interval,
)
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel
from alliance_stats.survival import DiscreteHazard

__all__ = [
    "caterpillar_figure",
    "draw_caterpillar",
    "draw_hazard_caterpillar",
    "hazard_caterpillar_figure",
]

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


_RATIO = {"cloglog": "Hazard ratio", "logit": "Odds ratio"}
_HAZARD_MOST_NAMES = 45  # units whose names and numbers fit on one page
_HAZARD_TALLEST = 480.0  # pt
_NAMES = 150.0  # pt, as in a forest plot


def draw_hazard_caterpillar(ax: Axes, ratios: pd.DataFrame) -> None:
    """Draw units from the lowest to the highest ratio, downwards, on a log axis with a line at 1.

    Parameters
    ----------
    ax
        Axes to draw on; up to 45 units have names at its left and numbers at its right.
    ratios
        ``term, estimate, conf_low, conf_high``, a row a unit, in order.
    """
    if len(ratios) <= _HAZARD_MOST_NAMES:
        draw_forest(ax, ratios)
        return
    ax.set_xscale("log")
    places = np.arange(len(ratios), dtype=float)
    draw_intervals(
        ax,
        ratios,
        places,
        reference=1.0,
        sizes=np.full(len(ratios), float(np.clip(160.0 / len(ratios), 1.6, 4.5))),
        colour=look(0).text,
    )
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(len(ratios) - 0.2, -0.8)
    ax.set_yticks([])


@styled
def hazard_caterpillar_figure(
    model: DiscreteHazard,
    *,
    group: str,
    event_label: str = "leaving",
    units_label: str = "units",
    conf_level: float = 0.95,
    label: str = "fig-hazard-caterpillar",
) -> ReportFigure:
    """Show how the hazard of each therapist's families compares with the average therapist's.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.survival.discrete_hazard`, with a random intercept of `group`.
    group
        Grouping factor: ``"therapist"``.
    event_label
        The event as a noun: ``"dropping out"``.
    units_label
        What leaves, in the plural: ``"families"``.
    conf_level
        Coverage of the intervals.

    Returns
    -------
    ReportFigure
        ``data``: ``level, term, estimate, conf_low, conf_high`` (ratios against a group whose
        effect is 0) and ``n_event, n_units``, how many of its units left of those in the rows used
        (the caption says how many left after sessions after which everyone did, and are not
        counted); in the order drawn.

    Raises
    ------
    DataError
        If the model has no such random intercept, or its variance is estimated as zero: the
        predicted effects are then all alike, and an order of groups would be one of chance.
    """
    asked = "hazard_caterpillar_figure draws a model of discrete_hazard"
    require_kind(model, DiscreteHazard, asked=asked, instead=DRAWN_BY)
    ratios = _ratios(model, group, conf_level)
    named = len(ratios) <= _HAZARD_MOST_NAMES
    left, right, height = 30.0, 14.0, max(2.0 * len(ratios), _HAZARD_TALLEST)
    if named:
        left = 14.0 + max(text_width(name) for name in ratios["term"])
        left, right = min(left, 14.0 + _NAMES), 18.0 + text_width("0.00 [0.00, 00.00]")
        height = float(row_heights([*ratios["term"]], _NAMES).sum())
    what = _RATIO[model.link]
    x_label = (
        f"{what} of {event_label} against the average {_singular(group)} "
        f"({format_level(conf_level)} interval; log scale)"
    )
    wide = 72 * FULL_WIDTH - left - right
    whole = 8.0 + height + room_below(x_label, wide)
    figure = new_figure(FULL_WIDTH, whole / 72, placed_by_hand=True)
    ax = add_axes(figure, left, 8.0, wide, height)
    draw_hazard_caterpillar(ax, ratios)
    many = plural(len(ratios), _singular(group))
    dress(ax, x_label=x_label, y_label="" if named else f"{many}, lowest to highest")
    ax.spines["left"].set_visible(not named)
    found = _hazard_found(model, ratios, group, units_label)
    return ReportFigure(
        figure,
        label=label,
        caption=f"{what} of {event_label} of {many} against the average one, in order, with "
        f"{format_level(conf_level)} intervals"
        + (f"; in brackets, how many of its {units_label} left" if named else "")
        + _not_counted(model)
        + ". "
        + found,
        alt=f"Caterpillar plot of {many} around a line at 1, on a log axis. {found}",
        note=_hazard_note(model, conf_level),
        data=ratios,
    )


def _ratios(model: DiscreteHazard, group: str, conf_level: float) -> pd.DataFrame:
    if not model.has_effects:
        raise DataError("The model has no random effects: its units do not differ in anything.")
    effects = model.tidy(effects="ran_vals", conf_level=conf_level)
    own = effects[(effects["group"] == group) & (effects["term"] == "(Intercept)")]
    if own.empty:
        raise DataError(
            f"The model has no random intercept of '{group}'. "
            f"{did_you_mean(group, dict.fromkeys(effects['group']))}"
        )
    spread = model.tidy(effects="ran_pars")
    sd = spread.loc[(spread["group"] == group) & (spread["term"] == "sd__(Intercept)"), "estimate"]
    if sd.iloc[0] == 0.0:
        raise DataError(
            f"The variance between units of '{group}' is estimated as zero: their predicted "
            "effects are all alike, and an order of them would be one of chance. Report the upper "
            "limit of the median ratio instead."
        )
    frame = model.periods.frame
    names = frame[group.split(":")].astype(str).agg(":".join, axis=1)
    seen = frame.groupby(names).agg(
        n_event=(model.periods.event, "sum"), n_units=(model.periods.unit, "nunique")
    )
    seen = seen.loc[own["level"].astype(str)].astype(np.int64)
    columns = ["estimate", "conf_low", "conf_high"]
    table = own[["level", *columns]].assign(
        **{column: np.exp(own[column]) for column in columns},
        n_event=seen["n_event"].to_numpy(),
        n_units=seen["n_units"].to_numpy(),
    )
    table.insert(
        1,
        "term",
        [f"{row.level} ({row.n_event} of {row.n_units})" for row in table.itertuples()],
    )
    return table.sort_values(["estimate", "term"], kind="stable").reset_index(drop=True)


def _not_counted(model: DiscreteHazard) -> str:
    """Say how many left where everyone did: such sessions are not in the rows used."""
    number = int(model.periods.sessions["n_event"].sum()) - model.n_event
    if not number:
        return ""
    return f" (not counted: {format_count(number)} who left after a session after which all did)"


def _singular(group: str) -> str:
    return group.replace(":", " by ")


def _hazard_found(model: DiscreteHazard, ratios: pd.DataFrame, group: str, units: str) -> str:
    median = model.fit.median_ratios(method="wald").set_index("group").loc[group]
    apart = int(((ratios["conf_low"] > 1) | (ratios["conf_high"] < 1)).sum())
    ends = [
        f"{row['level']} ({_ratio(row)}, {row['n_event']} of {row['n_units']} {units})"
        for _, row in ratios.iloc[[0, -1]].iterrows()
    ]
    return (
        f"Lowest {ends[0]}, highest {ends[1]}; {format_count(apart)} of "
        f"{format_count(len(ratios))} intervals leave out 1. {median['term'].capitalize()} between "
        f"two drawn at random {format_alone(median['estimate'], 'ratio')}."
    )


def _ratio(row: pd.Series) -> str:
    return with_interval(row["estimate"], row["conf_low"], row["conf_high"], kind="ratio")


def _hazard_note(model: DiscreteHazard, conf_level: float) -> str:
    integral = "Laplace approximation" if model.nodes == 1 else f"{model.nodes} quadrature nodes"
    return (
        f"Predicted random effects (conditional modes) of a discrete-time hazard model "
        f"({model.link} link, {integral}), {plural(model.n_event, 'event')} in "
        f"{plural(model.rows.n_used, 'row')}; covariates: {model.formula}. Shrunk towards 1, the "
        f"more so the fewer were seen. {format_level(conf_level)} intervals from conditional SDs "
        "that take the variance and coefficients as known. Whether two units differ is not for "
        "the overlap of their intervals to say, and an order among many is uncertain."
    )
