"""Forest plots of evidence: a meta-analysis and its subgroups; estimates beside published ones."""

from collections.abc import Mapping
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.evidence.meta.beside_published import NO_INTERVAL, OWN, Comparison
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from alliance_stats.figures.common import Common, laid_out
from alliance_stats.figures.forest import Scale, forest_page
from alliance_stats.figures.funnel import (
    check_pooled,
    effect_in_words,
    effect_names,
    pooling_in_words,
)
from alliance_stats.figures.numbers import (
    format_bounded,
    format_df,
    format_level,
    format_number,
    format_percent,
    p_phrase,
    plural,
    with_interval,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure, listed
from alliance_stats.figures.style import FULL_WIDTH, look, naming
from alliance_stats.renaming import renamed

__all__ = [
    "comparison_figure",
    "meta_forest_figure",
    "number_on",
]

_SCALES = {
    "r": "Correlation (r)",
    "fisher_z": "Correlation (Fisher z)",
    "d": "Standardised mean difference (d)",
    "g": "Standardised mean difference (g)",
    "odds_ratio": "Odds ratio",
    "log_odds_ratio": "Log odds ratio",
    "hazard_ratio": "Hazard ratio",
    "log_hazard_ratio": "Log hazard ratio",
    "exp_b": "exp(b)",
}
_RATIOS = ("odds_ratio", "hazard_ratio", "exp_b")
_ON = ("fitted", "r", "ratio")


@renamed(on="scale")
@laid_out(FULL_WIDTH)
def meta_forest_figure(
    meta: MetaAnalysis,
    *,
    names: pd.Series | None = None,
    subgroups: Mapping[str, MetaAnalysis] | None = None,
    effect_label: str = "",
    scale: str = "fitted",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show a meta-analysis as journals do: estimates with weights, pooled estimate, prediction.

    Parameters
    ----------
    meta
        A meta-analysis without moderators.
    names
        Name of each estimate, indexed like the data: ``data["author"]``. By default the labels of
        the meta-analysis, or else the row labels of the data (after the study, if there are
        studies).
    subgroups
        Name -> meta-analysis of its estimates: each is shown under its name with its own diamond,
        and the overall one below them all.
    effect_label
        The effect and its scale in words.
    scale
        ``"fitted"``: the scale of the pooling. ``"r"``: Fisher z turned back into correlations.
        ``"ratio"``: the estimates are logarithms of ratios, and ratios are drawn.
    conf_level
        Of all intervals.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Row -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has ``term, kind`` (study, pooled, prediction, heading), ``estimate, conf_low,
        conf_high, weight`` (per cent of the sum of inverse marginal variances).

    Raises
    ------
    DataError
        If `meta` is not a meta-analysis, or a name is missing.
    NotIdentifiedError
        If there are moderators, or the estimates cannot be converted to that scale.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> from alliance_stats.figures import meta_forest_figure
    >>> studies = pd.DataFrame({"r": [0.2, 0.3, 0.25, 0.4], "n": [50, 80, 120, 60]})
    >>> meta_forest_figure(meta_analysis(studies, r="r", n="n")).label
    'fig-meta-forest'
    """
    check_pooled(meta)
    check_choice(scale, _ON, name="scale")
    check_conf_level(conf_level)
    frame = _meta_rows(meta, names, scale, conf_level)
    if subgroups:
        frame = _with_subgroups(
            frame, meta, subgroups, names=names, on=scale, conf_level=conf_level
        )
    said = naming(common["words"], [*frame["term"]])
    frame = frame.assign(term=[said(name) for name in frame["term"]])
    form: Scale = "ratio" if scale == "ratio" else "difference"
    numbers = [_meta_words(row, scale) for _, row in frame.iterrows()]
    level, what = format_level(conf_level), effect_label or effect_in_words(meta, scale)
    figure = forest_page(
        frame,
        numbers,
        heading=f"Estimate [{level} CI]",
        scale=form,
        x_label=what,
        limits=common["limits"],
    )
    single = frame[frame["kind"] == "study"]
    found = "; ".join(
        f"{row['term']}: {told}"
        for told, (_, row) in zip(numbers, frame.iterrows(), strict=True)
        if row["kind"] in ("pooled", "prediction")
    )
    counted = plural(len(single), "estimate") + _of_studies(meta)
    least, most = (number_on(single["estimate"].agg(end), scale) for end in ("min", "max"))
    overall = next(
        told
        for told, kind in zip(numbers[::-1], frame["kind"][::-1], strict=True)
        if kind == "pooled"
    )
    return ReportFigure(
        figure,
        label=common["label"] or "fig-meta-forest",
        caption=f"{what}: forest plot of {counted} with {level} CI; pooled {overall}.",
        alt=f"Forest plot of {counted}, from {least} to {most}, with a line at "
        f"{1 if form == 'ratio' else 0} and a diamond for each pooled estimate. "
        f"{found}.",
        note=_meta_note(meta, conf_level),
        data=frame,
    )


def _with_subgroups(
    frame: pd.DataFrame,
    meta: MetaAnalysis,
    subgroups: Mapping[str, MetaAnalysis],
    *,
    names: pd.Series | None,
    on: str,
    conf_level: float,
) -> pd.DataFrame:
    """Return the rows of each subgroup under its name, with its diamond, then the overall ones."""
    parts = []
    for name, own in subgroups.items():
        check_pooled(own)
        heading = pd.DataFrame({"term": [name], "kind": ["heading"]})
        rows = _meta_rows(own, names, on, conf_level)
        rows = rows[rows["kind"] != "prediction"]
        rows.loc[rows["kind"] == "pooled", "term"] = f"{name}, pooled"
        parts += [heading, rows]
    counted = sum(len(own.effects.y) for own in subgroups.values())
    if counted != len(meta.effects.y):
        raise DataError(
            f"The subgroups have {counted} estimates, the whole {len(meta.effects.y)}: each "
            "estimate belongs to one of them."
        )
    whole = frame[frame["kind"] != "study"].assign(
        term=lambda rows: rows["term"].replace("Pooled", "All, pooled")
    )
    shares = frame[frame["kind"] == "study"].set_index("term")["weight"]
    joined = pd.concat([*parts, whole], ignore_index=True)
    single = joined["kind"] == "study"
    joined.loc[single, "weight"] = joined.loc[single, "term"].map(shares)
    for name, own in subgroups.items():
        weights = shares.reindex(effect_names(own, names)).sum()
        joined.loc[joined["term"] == f"{name}, pooled", "weight"] = weights
    return joined


def _meta_rows(
    meta: MetaAnalysis, names: pd.Series | None, on: str, conf_level: float
) -> pd.DataFrame:
    """Return the rows drawn, on the scale drawn."""
    if on == "ratio" and meta.effects.measure == "fisher_z":
        raise NotIdentifiedError("Fisher z are no logarithms of ratios; draw them with scale='r'.")
    source = "r" if on == "r" else "fitted"
    single = meta.augment(conf_level=conf_level, scale=source)
    single = single.assign(term=effect_names(meta, names), kind="study")
    pooled = meta.tidy(conf_level=conf_level, scale=source).assign(term="Pooled", kind="pooled")
    parts = [single, pooled.assign(weight=single["weight"].sum())]
    if meta.estimator != "fixed":
        expected = meta.prediction(conf_level=conf_level, scale=source)
        parts.append(expected.assign(term="Prediction interval", kind="prediction", weight=np.nan))
    columns = ["term", "kind", "estimate", "conf_low", "conf_high", "weight"]
    frame = pd.concat([part[columns] for part in parts], ignore_index=True)
    if on == "ratio":
        limits = columns[2:5]
        frame[limits] = np.exp(frame[limits])
    return frame


def _meta_words(row: pd.Series, on: str) -> str:
    if row["kind"] == "heading":
        return ""
    low, high = (number_on(row[column], on) for column in ("conf_low", "conf_high"))
    number = "" if row["kind"] == "prediction" else number_on(row["estimate"], on)
    return f"{number} [{low}, {high}]".strip()


def _of_studies(meta: MetaAnalysis) -> str:
    if meta.effects.studies is None:
        return ""
    return f" of {plural(len(meta.effects.study_labels), 'study', 'studies')}"


def _meta_note(meta: MetaAnalysis, conf_level: float) -> str:
    parts = [pooling_in_words(meta), _heterogeneity(meta, conf_level)]
    total = "" if meta.estimator == "fixed" else " plus τ²"
    parts.append(
        "Squares: estimates with the interval of their sampling variance; areas and weights are "
        f"in proportion to the inverse of sampling variance{total}."
    )
    if meta.effects.studies is not None:
        parts.append("Estimates of one study are correlated, which these weights do not show.")
    parts.append("Diamond: pooled estimate, as wide as its interval.")
    if meta.estimator != "fixed":
        parts.append(
            f"Bar without a centre: {format_level(conf_level)} prediction interval, for the true "
            "effect of a new study (Higgins et al., 2009)."
        )
    return " ".join(parts)


def _heterogeneity(meta: MetaAnalysis, conf_level: float) -> str:
    """Return the line of heterogeneity: variance by level, I², Cochran's Q."""
    glance = meta.glance().iloc[0]
    if glance["q_df"] == 0:
        return "Heterogeneity cannot be told from one estimate."
    told = []
    if meta.estimator != "fixed":
        for _, row in meta.heterogeneity(conf_level=conf_level).iterrows():
            of = f" ({row['level']})" if meta.effects.studies is not None else ""
            found = with_interval(row["tau2"], row["tau2_low"], row["tau2_high"])
            profiled = " (Q-profile)" if np.isfinite(row["tau2_low"]) else ""
            told.append(f"τ²{of} = {found}{profiled}")
    told.append(f"I² = {format_percent(glance['i_squared'] / 100.0, 1)}")
    q = format_number(glance["q"])
    told.append(f"Q({format_df(glance['q_df'])}) = {q}, {p_phrase(glance['q_p'])}")
    return f"Heterogeneity, on the scale that was pooled: {', '.join(told)}."


@laid_out(FULL_WIDTH)
def comparison_figure(
    comparison: Comparison,
    *,
    digits: int = 3,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show your own estimate beside published ones on one effect-size scale.

    Parameters
    ----------
    comparison
        What :func:`alliance_stats.evidence.compare_with` returned.
    digits
        Decimals of the numbers; correlations of this field are printed with two or three.
    limits
        Axis limits; intervals that extend beyond them end in arrows.
    words
        Record -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` is ``comparison.tidy()``. Where the publication printed no interval, none is drawn
        and the row says so.

    Raises
    ------
    DataError
        If an estimate has no place on the axis.
    WrongObjectError
        If `comparison` is of another class.

    Examples
    --------
    >>> from alliance_stats import compare_with, correlations, example_study
    >>> from alliance_stats.figures import comparison_figure
    >>> first = example_study().sessions.query("session == 1")
    >>> found = correlations(first, ["alliance", "symptoms"])
    >>> comparison_figure(compare_with(found, scale="r", on="r")).label
    'fig-comparison'
    """
    asked = "comparison_figure draws a result of compare_with"
    require_kind(comparison, Comparison, asked=asked, instead=DRAWN_BY)
    frame, on = comparison.tidy(), comparison.on
    scale: Scale = "ratio" if on in _RATIOS else "difference"
    _check_places(frame, scale)
    names = [_name(row) for _, row in frame.iterrows()]
    said = naming(common["words"], names)
    frame.insert(0, "term", [said(name) for name in names])
    numbers = [_comparison_words(row, on, digits) for _, row in frame.iterrows()]
    level, own = format_level(comparison.conf_level), frame.iloc[0]
    figure = forest_page(
        frame,
        numbers,
        heading="Estimate [CI]",
        scale=scale,
        x_label=_SCALES[on],
        limits=common["limits"],
    )
    _mark_own(figure.axes[0])
    others = frame[frame["origin"] != OWN]
    without = int((others["interval"] == NO_INTERVAL).sum())
    counted = (
        f"{plural(len(others), 'published estimate')}, {without} of them with no interval printed"
    )
    found = listed(frame["term"], numbers, of=plural(len(frame), "estimate"))
    return ReportFigure(
        figure,
        label=common["label"] or "fig-comparison",
        caption=f"{_SCALES[on]}: {own['label']} ({numbers[0]}, {level} CI) beside {counted}.",
        alt=f"Forest plot of your own estimate (a circle, on top) and {counted}, with a line at "
        f"{1 if scale == 'ratio' else 0}. {found}.",
        note=_comparison_note(on, level),
        data=frame.drop(columns="term"),
    )


def number_on(value: float, on: str, digits: int = 2) -> str:
    """Return a number as its scale is printed; never a positive ratio as 0."""
    if on in (*_RATIOS, "ratio") and 0.0 < value < 0.5 * 10.0**-digits:
        return f"< {format_number(10.0**-digits, digits)}"
    return format_bounded(value, digits) if on == "r" else format_number(value, digits)


def _check_places(frame: pd.DataFrame, scale: Scale) -> None:
    estimate = frame["estimate"].to_numpy(dtype=float)
    bad = ~np.isfinite(estimate) | ((estimate <= 0) if scale == "ratio" else False)
    if bad.any():
        found = ", ".join(f"{row['label']}: {row['estimate']}" for _, row in frame[bad].iterrows())
        raise DataError(f"An estimate has no place on the axis ({found}). Leave it out (records=).")


def _name(row: pd.Series) -> str:
    about = str(row["about"]).strip()
    key = str(row["label"])
    if not about and row["origin"] != OWN:  # a record's key breaks into lines only at spaces
        return key.replace("/", ": ").replace("-", " ")
    return f"{key}: {about}" if about else key


def _comparison_words(row: pd.Series, on: str, digits: int) -> str:
    number, low, high = (
        number_on(row[column], on, digits) for column in ("estimate", "conf_low", "conf_high")
    )
    if np.isnan(row["conf_low"]) or np.isnan(row["conf_high"]):
        return f"{number} (no interval{' printed' if row['origin'] != OWN else ''})"
    return f"{number} [{low}, {high}]"


def _mark_own(ax: Axes) -> None:
    """Mark your own estimate, in the first row, by colour and marker."""
    style = look(0)
    for gid in ("interval", "estimate"):
        line = next((line for line in ax.lines if line.get_gid() == gid), None)
        if line is not None:
            line.set(color=style.colour, marker=style.marker if gid == "estimate" else "", zorder=3)
            line.set_markersize(6.0)


def _comparison_note(on: str, level: str) -> str:
    parts = [
        f"Circle: own estimate, with its {level} CI; squares: published estimates, with the "
        "intervals printed beside them (taken as 95%). Overlapping intervals are no test: the "
        "differences and their intervals are in the data of the figure."
    ]
    if on in ("hazard_ratio", "log_hazard_ratio", "exp_b"):
        parts.append("Hazard ratios are per unit of each study's own predictor.")
    else:
        parts.append(
            "Effects on other scales were converted as between two groups of equal size "
            "(Borenstein et al., 2009, ch. 7)."
        )
    return " ".join(parts)
