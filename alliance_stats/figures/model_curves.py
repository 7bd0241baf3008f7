"""Curves from a model of endings: averaged over covariates, or for chosen people."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    Figure,
    dress,
    set_limits,
    width_in_points,
)
from alliance_stats.figures.common import Common, laid_out, stacked
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    clock,
    decimal_ticks,
    format_level,
    interval_of,
    plural,
    time_ticks,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import FULL_WIDTH, looks, naming
from alliance_stats.figures.text import in_sentence
from alliance_stats.survival import (
    AdjustedCurves,
    CompetingHazards,
    CoxModel,
    DiscreteHazard,
    FineGrayModel,
)

__all__ = ["adjusted_curves_figure", "draw_steps", "predicted_curves_figure"]

_LABEL_WIDTH = 116.0  # pt
_PANEL_HEIGHT = 150.0  # pt
_MOST_LINES = 7  # that can be told apart


def draw_steps(
    ax: Axes,
    curves: pd.DataFrame,
    *,
    start: float,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw step curves from time 0 with their bands, labelled at the right.

    Parameters
    ----------
    ax
        Axes to draw on; the labels are written outside, to the right.
    curves
        ``line, time, estimate, conf_low, conf_high``, probabilities.
    start
        Their value at time 0: 1 for survival, 0 for incidence.
    limits
        Limits of the axis of the probability.
    """
    names = [*dict.fromkeys(curves["line"])]
    styles = looks(names)
    for name in names:
        own, look_of = curves.loc[curves["line"] == name], styles[name]
        colour, dash = look_of.colour, look_of.dash
        time = np.concatenate([[0.0], own["time"].to_numpy(dtype=float)])
        value, low, high = (
            np.concatenate([[start], own[column].to_numpy(dtype=float)])
            for column in ("estimate", "conf_low", "conf_high")
        )
        ax.fill_between(time, low, high, step="post", color=colour, alpha=0.16, lw=0)
        ax.step(
            time,
            value,
            where="post",
            color=colour,
            ls=dash,
            lw=1.6,
            gid=f"curve {name}",
        )
    ax.set_ylim(-0.02, 1.03)
    set_limits(ax, limits, axis="y")
    ax.set_xlim(0.0, float(curves["time"].max()) * 1.02)
    times = curves["time"].to_numpy(dtype=float)
    ticks = time_ticks(times, int(np.clip(width_in_points(ax) / 40.0, 2, 8)))
    ax.set_xticks(ticks, [decimal_ticks(f"{tick:g}") for tick in ticks])
    _labels(curves).write(ax, [float(_last(curves, name)["estimate"]) for name in names])


@laid_out(FULL_WIDTH)
def adjusted_curves_figure(
    result: AdjustedCurves,
    *,
    time_label: str = "Sessions since start",
    event_label: str = "ended",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show a model's curves averaged over its covariates, a line per group, a panel per ending.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.adjusted_curves`.
    time_label
        The clock and its unit.
    event_label
        The event, as a past participle, for a model of one ending.
    limits
        Limits of the axis of the probability.
    words
        Group or ending -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.tidy()``.

    Examples
    --------
    >>> from alliance_stats import adjusted_curves, cox_ph, endings, example_study
    >>> from alliance_stats.figures import adjusted_curves_figure
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> adjusted_curves_figure(adjusted_curves(model, variable="parent_trauma")).label
    'fig-adjusted-curves'
    """
    asked = "adjusted_curves_figure draws a result of adjusted_curves"
    require_kind(result, AdjustedCurves, asked=asked, instead=DRAWN_BY)
    said = naming(common["words"], [*result.groups, *result.states])
    tidy = result.tidy(conf_level=conf_level)
    curves = tidy.assign(
        line=[said(name) for name in tidy["group"]],
        panel=[said(name) for name in tidy["state"]] if result.states else "",
    )
    rises = bool(result.states)
    figure = _panels(curves, rises, time_label, event_label, common["limits"])
    found = _found(curves)
    what = "Cumulative incidence" if rises else f"Probability of not having {event_label}"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-adjusted-curves",
        caption=f"{what} by {in_sentence(time_label)}, each group of '{result.variable}' as if it "
        f"were made of the same {plural(result.n_averaged, 'row')}, with pointwise "
        f"{format_level(conf_level)} confidence bands.",
        alt=f"{plural(len(result.groups), 'step curve')} "
        f"{'rising from 0' if rises else 'falling from 1'}"
        f", in {plural(max(len(result.states), 1), 'panel')}. At the last time: {found}.",
        note=f"{result.method[:1].upper()}{result.method[1:]}. Pointwise "
        f"{format_level(conf_level)} CI, log-log transformed, by the delta method. "
        f"{' '.join(result.notes)}",
        data=tidy,
    )


@laid_out(FULL_WIDTH)
def predicted_curves_figure(
    model: CoxModel | FineGrayModel | DiscreteHazard | CompetingHazards,
    newdata: pd.DataFrame,
    *,
    times: Sequence[float] | None = None,
    time_label: str = "Sessions since start",
    event_label: str = "ended",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show what a model predicts for chosen people, a line per row of `newdata`.

    Survival from a Cox model or a hazard by session, cumulative incidence from a Fine-Gray model or
    competing hazards (a panel per ending).

    Parameters
    ----------
    model
        From :func:`cox_ph`, :func:`fine_gray`, :func:`discrete_hazard` or
        :func:`competing_hazards`.
    newdata
        One row per person, with constant covariates; its index names the lines.
    times
        At which the curves step, for Cox and Fine-Gray models; all event times if None.
    time_label
        The clock and its unit.
    event_label
        The event, as a past participle, for a model of one ending.
    limits
        Limits of the axis of the probability.
    words
        Row or ending -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the curves, ``row`` naming the row of `newdata`.

    Raises
    ------
    DataError
        If there are no rows, more than can be distinguished, or two with the same name.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import endings, example_study, fine_gray
    >>> from alliance_stats.figures import predicted_curves_figure
    >>> families = endings(example_study()).units
    >>> model = fine_gray(
    ...     "parent_trauma", families, time="time", event="state", cause="dropout",
    ...     censored="ongoing",
    ... )
    >>> who = pd.DataFrame({"parent_trauma": [0, 1]}, index=["no trauma", "trauma"])
    >>> predicted_curves_figure(model, who).label
    'fig-predicted-curves'
    """
    require_kind(
        model,
        (CoxModel, FineGrayModel, DiscreteHazard, CompetingHazards),
        asked="predicted_curves_figure draws a model of cox_ph, fine_gray, discrete_hazard or "
        "competing_hazards",
        instead=DRAWN_BY,
    )
    _check_lines(newdata)
    tidy = _predicted(model, newdata, times, conf_level)
    states = [*tidy["state"].unique()] if "state" in tidy else []
    said = naming(common["words"], [*newdata.index, *states])
    curves = tidy.assign(
        line=[said(name) for name in tidy["row"]],
        panel=[said(name) for name in tidy["state"]] if states else "",
    ).dropna(subset=["estimate"])
    rises = bool(states)
    figure = _panels(curves, rises, time_label, event_label, common["limits"])
    what = "cumulative incidence" if rises else f"probability of not having {event_label}"
    return ReportFigure(
        figure,
        label=common["label"] or "fig-predicted-curves",
        caption=f"Predicted {what} by {in_sentence(time_label)} of "
        f"{plural(len(newdata), 'profile')}, with pointwise {format_level(conf_level)} confidence "
        f"bands, from a model of {plural(model.rows.n_used, 'row')}.",
        alt=f"{plural(len(newdata), 'step curve')} {'rising from 0' if rises else 'falling from 1'}"
        f", a panel each of {plural(max(len(states), 1), 'ending')}. At the last time: "
        f"{_found(curves)}.",
        note=f"{model.method[:1].upper()}{model.method[1:]}. Covariates stay as they are from the "
        f"start on. Pointwise {format_level(conf_level)} CI, log-log transformed.",
        data=tidy,
    )


def _check_lines(newdata: pd.DataFrame) -> None:
    if not isinstance(newdata, pd.DataFrame) or newdata.empty:
        raise DataError("newdata must be a frame with a row each person whose curve is drawn.")
    if len(newdata) > _MOST_LINES:
        raise DataError(
            f"newdata has {len(newdata)} rows; more than {_MOST_LINES} lines cannot be told apart."
        )
    if newdata.index.has_duplicates:
        raise DataError("The index of newdata names the lines, and names two of them alike.")


def _predicted(
    model: CoxModel | FineGrayModel | DiscreteHazard | CompetingHazards,
    newdata: pd.DataFrame,
    times: Sequence[float] | None,
    conf_level: float,
) -> pd.DataFrame:
    if isinstance(model, CoxModel):
        return model.survival(newdata, times=times, conf_level=conf_level)
    if isinstance(model, FineGrayModel):
        found = model.incidence(newdata, times=times, conf_level=conf_level)
        found.insert(1, "state", model.cause)
        return found
    if times is not None:
        raise DataError("times= is for Cox and Fine-Gray models; this one has its own sessions.")
    frames = []
    for place, name in enumerate(newdata.index):
        curve = model.curve(newdata.iloc[[place]], conf_level=conf_level)
        if isinstance(model, DiscreteHazard):
            own = {"survival": "estimate", "survival_low": "conf_low", "survival_high": "conf_high"}
            curve = curve[["time", *own]].rename(columns=own)
        else:
            curve = curve[["state", "time", "estimate", "std_error", "conf_low", "conf_high"]]
        curve.insert(0, "row", name)
        frames.append(curve)
    return pd.concat(frames, ignore_index=True)


def _panels(
    curves: pd.DataFrame,
    rises: bool,
    time_label: str,
    event_label: str,
    limits: tuple[float, float] | None,
) -> Figure:
    """Return a panel per ending, one above the other."""
    names = [*dict.fromkeys(curves["panel"])]
    own = {name: curves.loc[curves["panel"] == name] for name in names}
    labels = {name: _labels(own[name]) for name in names}
    y_label = "Cumulative incidence (0–1)" if rises else f"Probability of not having {event_label}"
    height = _PANEL_HEIGHT if len(names) > 1 else 1.25 * _PANEL_HEIGHT
    figure, placed = stacked(
        {name: name for name in names}, labels, height=height, axes=(time_label, y_label)
    )
    for name, ax in placed.items():
        draw_steps(ax, own[name], start=0.0 if rises else 1.0, limits=limits)
        dress(ax, x_label=time_label, y_label=y_label)
    return figure


def _last(curves: pd.DataFrame, name: str) -> pd.Series:
    return curves.loc[(curves["line"] == name) & curves["estimate"].notna()].iloc[-1]


def _labels(curves: pd.DataFrame) -> LineLabels:
    names = [*dict.fromkeys(curves["line"])]
    styles = looks(names)
    texts = [
        [name, f"{interval_of(row, kind='bounded')} at {clock(row['time'])}"]
        for name in names
        for row in [_last(curves, name)]
    ]
    return LineLabels.of(texts, [styles[name] for name in names], width=_LABEL_WIDTH)


def _found(curves: pd.DataFrame) -> str:
    lines, numbers = [], []
    for (panel, name), own in curves.groupby(["panel", "line"], sort=False):
        lines.append(f"{panel}, {name}" if panel else str(name))
        numbers.append(interval_of(own.iloc[-1], kind="bounded"))
    return listed(lines, numbers, of=plural(len(lines), "curve"))
