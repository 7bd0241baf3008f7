"""Predicted dropout: the probability from now on, and how accurate such predictions are."""

from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.door import replaced
from alliance_stats.errors import DataError
from alliance_stats.figures.axes import (
    dress,
    one_panel,
    room_beside,
    set_limits,
    width_in_points,
)
from alliance_stats.figures.common import Common, head, in_grid, laid_out, settle
from alliance_stats.figures.line_labels import LineLabels
from alliance_stats.figures.numbers import (
    clock,
    format_alone,
    format_count,
    format_level,
    integer_ticks,
    interval_of,
    plural,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import (
    FULL_WIDTH,
    RULE,
    look,
    looks,
    naming,
    sheet,
)
from alliance_stats.figures.text import in_sentence
from alliance_stats.survival import LandmarkModel, RiskAccuracy

__all__ = ["calibration_figure", "draw_calibration", "draw_landmarks", "landmark_figure"]

_LABEL_WIDTH = 116.0  # pt
_HEIGHT = 180.0  # pt
_MOST_LINES = 7
_MOST_PANELS = 6


def draw_landmarks(
    ax: Axes, chances: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw predictions at each landmark: a line with its band per profile, labelled at its end.

    Parameters
    ----------
    ax
        Axes to draw on; the labels are written outside, to the right.
    chances
        ``line, time, estimate, conf_low, conf_high``.
    limits
        Limits of the axis of the probability.
    """
    styles = looks([*dict.fromkeys(chances["line"])])
    for name, style in styles.items():
        own = chances.loc[chances["line"] == name]
        time = own["time"].to_numpy(dtype=float)
        ax.fill_between(
            time, own["conf_low"], own["conf_high"], color=style.colour, alpha=0.16, lw=0
        )
        ax.plot(
            time, own["estimate"], color=style.colour, ls=style.dash, lw=1.6, marker=style.marker,
            ms=3.5, gid=f"chance {name}",
        )  # fmt: skip
    ax.set_ylim(0.0, min(1.0, 1.08 * float(chances["conf_high"].max())))
    set_limits(ax, limits, axis="y")
    first, last = float(chances["time"].min()), float(chances["time"].max())
    ax.set_xlim(first - 0.4, last + 0.4)
    ax.set_xticks(integer_ticks(first, last, most=int(np.clip(width_in_points(ax) / 36.0, 3, 8))))
    ends = [chances.loc[chances["line"] == name, "estimate"].iloc[-1] for name in styles]
    _labels(chances).write(ax, [float(end) for end in ends])


@laid_out(FULL_WIDTH)
def landmark_figure(
    model: LandmarkModel,
    newdata: pd.DataFrame,
    *,
    time_label: str = "Session",
    event_label: str = "leaving",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show the probability of dropping out within the next sessions, landmark by landmark.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.survival.landmark_chance`.
    newdata
        A row per profile with the model's covariates (a session column is not needed: all landmarks
        are drawn); its index names the lines.
    time_label
        The clock.
    event_label
        The event, as a gerund.
    limits
        Limits of the axis of the probability.
    words
        Profile -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the probabilities, ``row`` naming the profile.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import example_study, landmark_chance, person_period
    >>> from alliance_stats.figures import landmark_figure
    >>> periods = person_period(
    ...     example_study().sessions, unit="family", session="session", ending="ending"
    ... )
    >>> model = landmark_chance(
    ...     "parent_trauma", periods, session="session", event="ending_code", unit="family",
    ...     horizon=4, landmarks=range(1, 9), cluster="therapist",
    ... )
    >>> who = pd.DataFrame({"parent_trauma": [0, 1]}, index=["no trauma", "trauma"])
    >>> landmark_figure(model, who).label
    'fig-landmarks'
    """
    asked = "landmark_figure draws a model of landmark_chance"
    require_kind(model, LandmarkModel, asked=asked, instead=DRAWN_BY)
    found = _chances(model, newdata, conf_level)
    said = naming(common["words"], [*newdata.index])
    chances = found.assign(line=[said(name) for name in found["row"]])
    ahead = plural(model.horizon, "session")
    y_label = f"Probability of {event_label} within the next {ahead} (0–1)"
    labels = _labels(chances)
    height = max(_HEIGHT, labels.height)
    figure, ax = one_panel(
        height,
        left=room_beside(y_label, height),
        right=labels.right,
        above=labels.above,
        x_label=time_label,
    )
    draw_landmarks(ax, chances, limits=common["limits"])
    dress(ax, x_label=time_label, y_label=y_label)
    names = dict.fromkeys(chances["line"])
    last = [chances.loc[chances["line"] == name].iloc[-1] for name in names]
    told = listed(
        [f"{row['line']} at {clock(row['time'])}" for row in last],
        [interval_of(row, kind="bounded") for row in last],
        of=plural(len(last), "profile"),
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-landmarks",
        caption=f"Probability of {event_label} within the next {ahead}, of those still there, by "
        f"{in_sentence(time_label)}, with pointwise {format_level(conf_level)} confidence bands; "
        f"{plural(model.rows.n_used, 'row')} of units at landmarks.",
        alt=f"{plural(len(last), 'line')} with bands over {plural(len(model.landmarks), 'session')}"
        f". {told}.",
        note=f"{model.method[:1].upper()}{model.method[1:]}. Limits by the logit.",
        data=found,
    )


def _labels(chances: pd.DataFrame) -> LineLabels:
    styles = looks([*dict.fromkeys(chances["line"])])
    texts = [
        [name, f"{interval_of(row, kind='bounded')} at {clock(row['time'])}"]
        for name in styles
        for row in [chances.loc[chances["line"] == name].iloc[-1]]
    ]
    return LineLabels.of(texts, [*styles.values()], width=_LABEL_WIDTH)


def draw_calibration(
    ax: Axes, groups: pd.DataFrame, *, limits: tuple[float, float] | None = None
) -> None:
    """Draw the observed share against the predicted probability, around the line of equality.

    Parameters
    ----------
    ax
        Axes to draw on.
    groups
        ``predicted, estimate, conf_low, conf_high`` of one time, as
        :meth:`RiskAccuracy.calibration` gives them.
    limits
        Limits of both axes.
    """
    style = look(0)
    top = float(np.nanmax(groups[["predicted", "estimate", "conf_high"]].to_numpy(dtype=float)))
    low, high = limits or (0.0, min(1.0, 1.06 * top) or 1.0)
    ax.plot([low, high], [low, high], color=RULE, lw=0.9, dashes=(3, 2), zorder=1, gid="equality")
    ax.vlines(
        groups["predicted"], groups["conf_low"], groups["conf_high"], color=style.colour, lw=1.3,
        gid="intervals",
    )  # fmt: skip
    ax.plot(
        groups["predicted"], groups["estimate"], ls="", marker="o", ms=4.5, color=style.text,
        gid="groups",
    )  # fmt: skip
    set_limits(ax, (low, high), axis="y")
    set_limits(ax, (low, high), axis="x")
    for axis in ("x", "y"):
        ax.locator_params(axis=axis, nbins=5)


def _chances(model: LandmarkModel, newdata: pd.DataFrame, conf_level: float) -> pd.DataFrame:
    """Return each profile's probabilities at all landmarks, ``row`` naming the profile."""
    if not isinstance(newdata, pd.DataFrame) or newdata.empty:
        raise DataError("newdata must be a frame with a row each profile whose chance is drawn.")
    if len(newdata) > _MOST_LINES or newdata.index.has_duplicates:
        raise DataError(
            f"newdata takes up to {_MOST_LINES} rows with names of their own in its index: they "
            "name the lines."
        )
    who = newdata.index.repeat(len(model.landmarks))
    every = newdata.loc[who].reset_index(drop=True)
    every = replaced(every, {model.session: model.landmarks * len(newdata)})
    found = model.predict(every, conf_level=conf_level)
    found.insert(0, "row", who)
    return found


@laid_out(FULL_WIDTH)
def calibration_figure(
    result: RiskAccuracy,
    *,
    groups: int = 4,
    event_label: str = "left",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show how many of those with similar probabilities dropped out, per horizon (or landmark).

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.risk_accuracy` or similar functions.
    groups
        Parts of about equal size, in order of the predicted probability.
    event_label
        The event, in the past tense.
    limits
        Limits of all axes.
    words
        Time -> label of its panel.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.calibration(groups=groups)``.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, fine_gray, risk_accuracy
    >>> from alliance_stats.figures import calibration_figure
    >>> families = endings(example_study()).units
    >>> model = fine_gray(
    ...     "parent_trauma + investment", families, time="time", event="state", cause="dropout",
    ...     censored="ongoing",
    ... )
    >>> calibration_figure(risk_accuracy(model, times=[8], leave_out="therapist")).label
    'fig-calibration'
    """
    asked = "calibration_figure draws a result of risk_accuracy, accuracy_of_risks or "
    require_kind(result, RiskAccuracy, asked=f"{asked}landmark_accuracy", instead=DRAWN_BY)
    table = result.calibration(groups=groups, conf_level=conf_level)
    times = [*dict.fromkeys(table["time"])]
    if len(times) > _MOST_PANELS:
        raise DataError(
            f"{plural(len(times), 'time')} do not fit on a page: ask for {_MOST_PANELS} or fewer."
        )
    said = naming(common["words"], [f"{time:g}" for time in times])
    own = {time: said(f"{time:g}") for time in times}
    called = {time: f"Time {name}" if name == f"{time:g}" else name for time, name in own.items()}
    columns = min(len(times), max(int(sheet().width / 150.0), 1))
    each = min(_HEIGHT + 40.0, sheet().width / columns + 20.0)
    figure, axes = in_grid(len(times), columns, each)
    for ax, time in zip(axes, times, strict=True):
        draw_calibration(ax, table.loc[table["time"] == time], limits=common["limits"])
        dress(ax, x_label="Predicted probability (0–1)", y_label=f"Share that {event_label} (0–1)")
        head(ax, called[time], room=sheet().width)
    settle(figure)
    names = [
        f"{called[row.time]}, predicted {format_alone(row.predicted, 'bounded')}"
        for row in table.itertuples()
    ]
    numbers = [interval_of(row, kind="bounded") for _, row in table.iterrows()]
    n, level = format_count(result.rows.n_used), format_level(conf_level)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-calibration",
        caption=f"Share that {event_label} against its predicted probability, in {groups} "
        f"groups of equal size, with {level} CI; n = {n}. Dashed: as predicted.",
        alt=f"{plural(len(times), 'panel')} of points with intervals around a line of equality. "
        f"{listed(names, numbers, of=plural(len(names), 'part'))}.",
        note=f"{result.method[:1].upper()}{result.method[1:]}. Shares by Aalen-Johansen, jackknife "
        f"standard errors over {plural(int(result.glance()['n_clusters'].iloc[0]), 'cluster')}, "
        f"{level} CI log-log transformed.",
        data=table,
    )
