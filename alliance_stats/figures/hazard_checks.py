"""Checks of a Cox model: residuals over time and over a covariate, a coefficient that changes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.account import Speaker
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, did_you_mean, finite_or_missing
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.figures.axes import (
    draw_band,
    dress,
    page,
    set_limits,
    width_in_points,
)
from alliance_stats.figures.common import Common, head, in_grid, laid_out, settle
from alliance_stats.figures.numbers import (
    clock,
    decimal_ticks,
    format_alone,
    format_count,
    format_level,
    interval_of,
    p_phrase,
    plural,
    time_ticks,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import (
    FULL_WIDTH,
    INK,
    RULE,
    look,
    naming,
    sheet,
)
from alliance_stats.figures.text import in_sentence
from alliance_stats.survival import (
    CoxModel,
    FineGrayModel,
    VaryingCoefficient,
    proportional_hazards_test,
    schoenfeld_residuals,
    varying_coefficient,
)

__all__ = [
    "draw_varying_coefficient",
    "martingale_figure",
    "schoenfeld_figure",
    "varying_coefficient_figure",
]

_HEIGHT = 180.0  # pt
_MOST_PANELS = 8


def draw_varying_coefficient(
    ax: Axes,
    curve: pd.DataFrame,
    *,
    residuals: pd.DataFrame | None = None,
    constant: float | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw a coefficient over time with its band, with the contribution of each event.

    Parameters
    ----------
    ax
        Axes to draw on.
    curve
        As :meth:`VaryingCoefficient.curve` gives it.
    residuals
        ``time, scaled`` of one term of :func:`schoenfeld_residuals`.
    constant
        The constant coefficient: a dashed line.
    limits
        Limits of the axis of the coefficient.
    """
    style = look(0)
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    if residuals is not None:
        ax.plot(
            residuals["time"],
            residuals["scaled"],
            ls="",
            marker="o",
            ms=float(np.clip(50.0 / np.sqrt(max(len(residuals), 1)), 1.2, 3.5)),
            mec="none",
            color=RULE,
            alpha=0.6,
            gid="residuals",
        )
    if constant is not None:
        ax.axhline(constant, color=INK, lw=0.9, dashes=(3, 2), zorder=2, gid="constant")
    time, low, high = (
        curve[name].to_numpy(dtype=float) for name in ("time", "conf_low", "conf_high")
    )
    draw_band(ax, time, low, high, style.colour)
    ax.plot(time, curve["estimate"], color=style.colour, lw=1.8, gid="coefficient")
    ax.set_ylim(*_view(curve, residuals))
    set_limits(ax, limits, axis="y")
    ax.set_xlim(0.0, 1.03 * float(time[-1]))
    known = time if residuals is None else residuals["time"].to_numpy(dtype=float)
    ticks = time_ticks(known, int(np.clip(width_in_points(ax) / 40.0, 2, 7)))
    ax.set_xticks(ticks, [decimal_ticks(f"{tick:g}") for tick in ticks])


def _view(curve: pd.DataFrame, residuals: pd.DataFrame | None) -> tuple[float, float]:
    """Return limits that show the curve, the middle nine tenths of the residuals, and 0."""
    values = [0.0, *curve["estimate"]]
    spread = (curve["conf_high"] - curve["conf_low"]).median()
    for edge in ("conf_low", "conf_high"):  # a band that flares does not set the scale
        near = (curve[edge] - curve["estimate"]).abs() <= 2.0 * spread
        values += [*curve.loc[near, edge]]
    if residuals is not None:
        values += [*np.quantile(residuals["scaled"], [0.05, 0.95])]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.06 * (high - low) or 0.5
    return low - pad, high + pad


@laid_out(FULL_WIDTH)
def varying_coefficient_figure(
    result: VaryingCoefficient,
    *,
    time_label: str = "Sessions since start",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show a coefficient of a hazard model as it changes with time.

    Parameters
    ----------
    result
        From :func:`~alliance_stats.survival.varying_coefficient`.
    time_label
        The clock and its unit.
    limits
        Limits of the axis of the log hazard ratio.
    words
        The term -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``result.curve()`` at forty times.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study, varying_coefficient
    >>> from alliance_stats.figures import varying_coefficient_figure
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> varying_coefficient_figure(varying_coefficient(model, term="investment")).label
    'fig-varying-coefficient'
    """
    asked = "varying_coefficient_figure draws a result of varying_coefficient"
    require_kind(result, VaryingCoefficient, asked=asked, instead=DRAWN_BY)
    said = _terms(common["words"], [result.term])
    curve = _fine_curve(result, conf_level)
    y_label = f"Log {result.ratio} of {said(result.term)}"
    figure = page(_HEIGHT + 40.0, by_hand=False)
    ax = figure.subplots()
    draw_varying_coefficient(ax, curve, limits=common["limits"])
    dress(ax, x_label=time_label, y_label=y_label)
    settle(figure)
    found = _at_the_ends(curve)
    level = format_level(conf_level)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-varying-coefficient",
        caption=f"{y_label} by {in_sentence(time_label)}, with its "
        f"pointwise {level} confidence band; {plural(result.rows.n_used, 'row')}. No change over "
        f"time: {p_phrase(result.p_value)}.",
        alt=f"A line with its band over {plural(len(result.time), 'event time')}, and a line at "
        f"0: {found}.",
        note=f"{result.method}; test by {result.test}. Pointwise {level} CI, normal theory."
        f"{_cut(curve, ax)}",
        data=curve,
    )


@laid_out(FULL_WIDTH)
def schoenfeld_figure(
    model: CoxModel,
    *,
    time_label: str = "Sessions since start",
    form_df: int = 3,
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show scaled Schoenfeld residuals over time under the coefficient as a smooth function of it.

    Where hazards are proportional the smooth curve runs along the dashed line, the coefficient of
    the model itself.

    Parameters
    ----------
    model
        From :func:`~alliance_stats.survival.cox_ph`.
    time_label
        The clock and its unit.
    form_df
        Columns of the spline besides the constant; see :func:`varying_coefficient`.
    limits
        Limits of the axes of the log hazard ratio.
    words
        Term -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the curves (``part = "curve"``) and the residuals (``"residual"``).

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> from alliance_stats.figures import schoenfeld_figure
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> schoenfeld_figure(model).label
    'fig-schoenfeld'
    """
    asked = "schoenfeld_figure draws a model of cox_ph"
    require_kind(model, CoxModel, asked=asked, instead=DRAWN_BY)
    terms, residuals = model.design.terms, schoenfeld_residuals(model)
    curves = _curves(model, form_df, conf_level)
    said = _terms(common["words"], terms)
    tests = proportional_hazards_test(model).tidy().set_index("term")["p_value"]
    columns = 1 if sheet().narrow or len(terms) == 1 else 2
    figure, axes = in_grid(len(terms), columns, _HEIGHT + 20.0)
    for ax, beta, (term, curve) in zip(axes, model.beta, curves.items(), strict=True):
        own = residuals.loc[residuals["term"] == term]
        draw_varying_coefficient(
            ax, curve, residuals=own, constant=float(beta), limits=common["limits"]
        )
        dress(ax, x_label=time_label, y_label="Log hazard ratio")
        head(ax, said(term), room=sheet().width / columns - 60.0)
    settle(figure)
    level, n = format_level(conf_level), int(model.intervals.event.sum())
    told = listed(
        [said(term) for term in terms],
        [_at_the_ends(curve) for curve in curves.values()],
        of=plural(len(terms), "panel"),
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-schoenfeld",
        caption=f"Scaled Schoenfeld residuals of {plural(n, 'event')} by {in_sentence(time_label)}"
        f", under each coefficient as a smooth function of time with its pointwise {level} band; "
        f"dashed, the coefficient if it stays the same. All together: "
        f"{p_phrase(float(tests['GLOBAL']))}.",
        alt=f"{plural(len(terms), 'panel')} of points over time with a smooth curve, its band and "
        f"a dashed line. {told}.",
        note=f"{model.method}. Curves: natural splines of time ({form_df} columns beside the "
        "constant), each term's fitted by itself. Score tests of proportional hazards against "
        "Kaplan-Meier time. Residuals and bands that leave an axis are cut.",
        data=_with_residuals(curves, residuals),
    )


def _curves(model: CoxModel, form_df: int, conf_level: float) -> dict[str, pd.DataFrame]:
    """Return each coefficient over time, refused where there are more than a page holds."""
    terms = model.design.terms
    if len(terms) > _MOST_PANELS:
        raise DataError(
            f"The model has {len(terms)} coefficients; {_MOST_PANELS} panels fit on a page. Fit it "
            "with fewer, or look at one by varying_coefficient_figure."
        )
    found = {
        term: varying_coefficient(model, term=term, form="spline", form_df=form_df)
        for term in terms
    }
    return {term: _fine_curve(one, conf_level) for term, one in found.items()}


def _with_residuals(curves: Mapping[str, pd.DataFrame], residuals: pd.DataFrame) -> pd.DataFrame:
    drawn = [curve.assign(term=term, part="curve") for term, curve in curves.items()]
    return pd.concat([*drawn, residuals.assign(part="residual")], ignore_index=True)


@laid_out(FULL_WIDTH)
def martingale_figure(
    model: CoxModel | FineGrayModel,
    *,
    over: str | None = None,
    residual: str = "martingale",
    **common: Unpack[Common],
) -> ReportFigure:
    """Show residuals of a Cox or Fine-Gray model over a covariate, in it or not, or its predictor.

    A mean that bends over a covariate suggests another functional form (a spline, a logarithm);
    over one that is not in the model, it suggests adding it (Therneau, Grambsch & Fleming 1990,
    doi:10.1093/biomet/77.1.147).

    Parameters
    ----------
    model
        From :func:`~alliance_stats.survival.cox_ph` or
        :func:`~alliance_stats.survival.fine_gray`.
    over
        Numeric column of the model's data; the linear predictor if None.
    residual
        ``"martingale"`` (events minus expected events) or ``"deviance"`` (nearly symmetric).
    limits
        Limits of the axis of the residual.
    words
        The column -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the values plotted, one row per row used.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> from alliance_stats.figures import martingale_figure
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma", families, time="time", event="event")
    >>> martingale_figure(model, over="investment").label
    'fig-martingale'
    """
    require_kind(
        model,
        (CoxModel, FineGrayModel),
        asked="martingale_figure draws a model of cox_ph or fine_gray",
        instead=DRAWN_BY,
    )
    own = "linear_predictor" if over is None else over
    data, aside = _residuals_over(model, own, residual)
    n, (across, value) = format_count(len(data)), data.to_numpy(dtype=float).T
    said = naming(common["words"], [own])
    cox = isinstance(model, CoxModel)
    ratio = "hazard ratio" if cox else "subdistribution hazard ratio"
    name = f"Linear predictor (log {ratio})" if over is None else said(own)
    y_label = f"{residual.capitalize()} residual"
    figure, (ax,) = in_grid(1, 1, _HEIGHT + 40.0)
    means = _local_means(across, value)
    _draw_residuals(ax, across, value, means)
    set_limits(ax, common["limits"], axis="y")
    dress(ax, x_label=name, y_label=y_label)
    settle(figure)
    middle, mean, *_ = means
    told = np.where(np.abs(mean) > _DUST * np.abs(value).max(initial=0.0), mean, 0.0)
    ends = [f"{format_alone(told[k])} at {format_alone(middle[k])}" for k in (0, len(middle) - 1)]
    return ReportFigure(
        figure,
        label=common["label"] or "fig-martingale",
        caption=f"{y_label}s of a {'Cox' if cox else 'Fine-Gray'} model over {in_sentence(name)}; "
        f"n = {n}. Squares: means of {plural(len(middle), 'part')} of "
        "equal size, with 95% CI.",
        alt=f"{n} points around a line at 0 and their mean in "
        f"{plural(len(middle), 'part')}: {ends[0]}, {ends[-1]}.",
        note=f"{model.method}. Intervals of the means take residuals as independent and of equal "
        "variance within a part."
        + (f" {plural(aside, 'row')} without '{own}' not drawn." if aside else ""),
        data=data,
    )


def _residuals_over(
    model: CoxModel | FineGrayModel, own: str, residual: str
) -> tuple[pd.DataFrame, int]:
    """Return the column and the residuals, and how many rows lack a value of the column."""
    check_choice(residual, ("martingale", "deviance"), name="residual")
    frame = model.augment()
    if own not in frame.columns:
        raise DataError(f"The data have no column '{own}'. {did_you_mean(own, frame.columns)}")
    across = finite_or_missing(frame, own)
    known = ~np.isnan(across)
    if np.unique(across[known]).size < 2:
        raise DataError(f"Column '{own}' holds one value: there is nothing to look over.")
    column = "martingale" if residual == "martingale" else "deviance_residual"
    values = frame[column].to_numpy(dtype=float)[known]
    found = pd.DataFrame({own: across[known], column: values}, index=frame.index[known])
    return found, int((~known).sum())


def _draw_residuals(ax: Axes, across: Array, value: Array, means: Sequence[Array]) -> None:
    """Draw residuals as points around 0 and, over them, the means of their parts."""
    middle, mean, low, high = means
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    size = float(np.clip(60.0 / np.sqrt(len(across)), 1.2, 4.0))
    ax.plot(
        across, value, ls="", marker="o", ms=size, mec="none", color=look(0).colour, alpha=0.4,
        gid="values",
    )  # fmt: skip
    ax.vlines(middle, low, high, color=INK, lw=1.2, gid="intervals")
    ax.plot(middle, mean, color=INK, lw=1.4, marker="s", ms=3.5, gid="means")
    ax.locator_params(axis="x", nbins=max(int(width_in_points(ax) / 50.0), 2))


_DUST = 1e-12  # residuals that add up to zero do so to rounding


def _local_means(across: Array, value: Array) -> tuple[Array, Array, Array, Array]:
    """Return the position, mean and limits of equally large parts; equal values stay together."""
    levels = np.unique(across)
    if len(levels) <= 10:
        parts = [np.flatnonzero(across == level) for level in levels]
    else:
        edges = np.unique(np.quantile(across, np.linspace(0.0, 1.0, 11)))[1:-1]
        place = np.searchsorted(edges, across, side="left")
        parts = [np.flatnonzero(place == k) for k in np.unique(place)]
    mean = np.array([value[part].mean() for part in parts])
    half = np.array(
        [
            1.96 * value[part].std(ddof=1) / np.sqrt(len(part)) if len(part) > 1 else np.nan
            for part in parts
        ]
    )
    middle = np.array([across[part].mean() for part in parts])
    return middle, mean, mean - half, mean + half


def _fine_curve(result: VaryingCoefficient, conf_level: float) -> pd.DataFrame:
    """Return the coefficient at forty times, whole ones where the clock runs in whole numbers."""
    times = np.linspace(result.time[0], result.time[-1], 40)
    if (result.time == np.round(result.time)).all():
        times = np.unique(np.round(times))
    return result.curve(times.tolist(), conf_level=conf_level)


def _at_the_ends(curve: pd.DataFrame) -> str:
    ends = [curve.iloc[0], curve.iloc[-1]]
    return ", ".join(f"{interval_of(row)} at {clock(row['time'])}" for row in ends)


def _cut(curve: pd.DataFrame, ax: Axes) -> str:
    low, high = ax.get_ylim()
    beyond = (curve["conf_low"] < low) | (curve["conf_high"] > high)
    return " Where the band leaves the axis it is cut." if beyond.any() else ""


def _terms(words: Mapping[str, str] | None, known: Sequence[object]) -> Callable[[object], str]:
    """Return the label of a coefficient: the caller's, or ``role[T.father]`` in print."""
    said, speaker = naming(words, known), Speaker(terms_as_code=False)
    return lambda term: said(term) if said(term) != str(term) else speaker.term(term)
