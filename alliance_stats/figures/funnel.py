"""Funnel plots: estimates against their standard errors, with Egger's test of a meta-analysis."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import stats

from alliance_stats.checks import (
    check_conf_level,
    check_frame,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.evidence.meta.meta_analysis import funnel_asymmetry
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from alliance_stats.figures.axes import dress
from alliance_stats.figures.meta_forest import (
    check_pooled,
    effect_in_words,
    effect_names,
    pooling_in_words,
)
from alliance_stats.figures.report_figure import ReportFigure, require_frame
from alliance_stats.figures.style import COLUMN_AND_HALF, RULE, look, new_figure, settle, styled
from alliance_stats.formatting import format_alone, format_count, format_level, plural, t_phrase

__all__ = ["draw_funnel", "funnel_figure", "meta_funnel_figure"]


def draw_funnel(
    ax: Axes, studies: pd.DataFrame, *, pooled: float, conf_level: float = 0.95
) -> None:
    """Draw each study at its effect and standard error (downwards), within pseudo limits.

    Parameters
    ----------
    studies
        ``estimate, std_error``.
    pooled
        The pooled effect; the limits are ``pooled -+ z * std_error``, what sampling error alone
        would leave with one true effect.
    """
    lowest = 1.08 * float(studies["std_error"].max())
    half = stats.norm.isf((1.0 - conf_level) / 2.0) * lowest
    ax.plot([pooled - half, pooled, pooled + half], [lowest, 0.0, lowest], color=RULE, lw=0.8)
    ax.plot([pooled, pooled], [0.0, lowest], color=RULE, lw=0.8, dashes=(4, 2), gid="pooled")
    style = look(0)
    ax.plot(
        studies["estimate"],
        studies["std_error"],
        ls="",
        marker=style.marker,
        ms=5,
        mec="white",
        mew=0.4,
        color=style.text,
        alpha=0.8,
        gid="studies",
    )
    ax.set_ylim(lowest, 0.0)


@styled
def funnel_figure(
    studies: pd.DataFrame,
    *,
    pooled: float,
    effect_label: str,
    method: str,
    conf_level: float = 0.95,
    label: str = "fig-funnel",
) -> ReportFigure:
    """Show whether small studies differ from large ones.

    Parameters
    ----------
    studies
        ``estimate, std_error``, a row a study, on the scale the pooling was done on.
    pooled
        The pooled effect on that scale.
    effect_label
        The effect and its scale: ``"Correlation (Fisher z)"``.
    method
        How the effect was pooled.

    Raises
    ------
    DataError
        If a number is missing, or a standard error is not above 0.
    """
    require_frame(studies, asked="funnel_figure draws a frame of studies")
    check_conf_level(conf_level)
    check_frame(studies, what="studies")
    require_columns(studies, ["estimate", "std_error"], what="studies")
    for column in ("estimate", "std_error"):
        require_present(studies, column, why="to place a study")
        finite_or_missing(studies, column)
    if (studies["std_error"] <= 0).any():
        raise DataError("Column 'std_error' must be above 0 in every study.")
    figure = new_figure(COLUMN_AND_HALF, 3.6)
    ax = figure.subplots()
    draw_funnel(ax, studies, pooled=pooled, conf_level=conf_level)
    dress(ax, x_label=effect_label, y_label="Standard error (precise studies on top)")
    settle(figure)
    half = stats.norm.isf((1.0 - conf_level) / 2.0) * studies["std_error"].to_numpy()
    outside = int((np.abs(studies["estimate"].to_numpy() - pooled) > half).sum())
    level = format_level(conf_level)
    found = (
        f"Pooled effect {format_alone(pooled)}; {format_count(outside)} of "
        f"{plural(len(studies), 'study', 'studies')} outside the {level} limits."
    )
    return ReportFigure(
        figure,
        label=label,
        caption=f"Funnel plot of {effect_label}. {found}",
        alt=f"Points of studies around a vertical line, precise ones on top. {found}",
        note=f"{method.rstrip('.')}. Limits: pooled effect and sampling error alone; with "
        "heterogeneity more studies lie outside. An uneven funnel has other reasons than "
        "publication too.",
        data=studies.reset_index(drop=True),
    )


_FEW = 10  # fewer effects leave the test next to no power (Sterne et al. 2011)


@styled
def meta_funnel_figure(
    meta: MetaAnalysis,
    *,
    names: pd.Series | None = None,
    effect_label: str = "",
    conf_level: float = 0.95,
    label: str = "fig-meta-funnel",
) -> ReportFigure:
    """Show estimates against their standard errors, precise ones on top, on the pooled scale.

    Parameters
    ----------
    meta
        A meta-analysis without moderators.
    names
        What to call each estimate in the data, indexed as the data.
    effect_label
        The effect and its scale in words.
    conf_level
        Of the pseudo limits, ``pooled -+ z * std_error``.

    Returns
    -------
    ReportFigure
        ``data`` has ``term, estimate, std_error``, the ``pooled`` estimate, and ``limit_low,
        limit_high`` at each standard error. The note gives Egger's test (Egger et al. 1997,
        doi:10.1136/bmj.315.7109.629), or why there is none.

    Raises
    ------
    DataError
        If `meta` is something else, or a name is missing.
    NotIdentifiedError
        If there are moderators: the funnel has no one centre then.
    """
    check_pooled(meta)
    check_conf_level(conf_level)
    data = _points(meta, names, conf_level)
    pooled = float(data["pooled"].iloc[0])
    what = effect_label or effect_in_words(meta, "fitted")
    figure = new_figure(COLUMN_AND_HALF, 3.6)
    ax = figure.subplots()
    draw_funnel(ax, data, pooled=pooled, conf_level=conf_level)
    dress(ax, x_label=what, y_label="Standard error (precise estimates on top)")
    settle(figure)
    beyond = (data["estimate"] < data["limit_low"]) | (data["estimate"] > data["limit_high"])
    found = (
        f"Pooled estimate {format_alone(pooled)}; {format_count(int(beyond.sum()))} of "
        f"{plural(len(data), 'estimate')} outside the {format_level(conf_level)} limits."
    )
    return ReportFigure(
        figure,
        label=label,
        caption=f"{what}: funnel plot. {found}",
        alt=f"Points of estimates around a vertical line at {format_alone(pooled)}, within a "
        f"triangle of limits, precise ones on top. {found}",
        note=f"{pooling_in_words(meta)} Limits: pooled estimate and sampling error alone; with "
        f"heterogeneity more estimates lie outside. {_egger(meta)} An uneven funnel has other "
        "reasons than publication too.",
        data=data,
    )


def _points(meta: MetaAnalysis, names: pd.Series | None, conf_level: float) -> pd.DataFrame:
    pooled, std_error = float(meta.fit.beta[0]), np.sqrt(meta.effects.v)
    half = stats.norm.isf((1.0 - conf_level) / 2.0) * std_error
    return pd.DataFrame(
        {
            "term": effect_names(meta, names),
            "estimate": meta.effects.y,
            "std_error": std_error,
            "pooled": pooled,
            "limit_low": pooled - half,
            "limit_high": pooled + half,
        }
    )


def _egger(meta: MetaAnalysis) -> str:
    """Return Egger's test in words, or why there is none."""
    try:
        found = funnel_asymmetry(meta).iloc[0]
    except NotIdentifiedError as error:
        return f"No test of asymmetry: {error}"
    slope = format_alone(found["estimate"])
    tested = t_phrase(found["statistic"], found["df"], found["p_value"])
    k = len(meta.effects.y)
    few = f" With {plural(k, 'estimate')} this test has little power." if k < _FEW else ""
    return f"Egger's test: slope on the standard error {slope}, {tested}.{few}"
