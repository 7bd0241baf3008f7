"""The forest plot of a meta-analysis, and what its figures say in words."""

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, check_conf_level, describe_rows
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from alliance_stats.figures.forest import Scale, forest_page, number_on
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import styled
from alliance_stats.formatting import (
    format_df,
    format_level,
    format_number,
    format_percent,
    p_phrase,
    plural,
    with_interval,
)

__all__ = [
    "check_pooled",
    "effect_in_words",
    "effect_names",
    "meta_forest_figure",
    "pooling_in_words",
]

_ON = ("fitted", "r", "ratio")
_METHODS = {
    "REML": "Random effects, variance by REML",
    "DL": "Random effects, variance by DerSimonian and Laird",
    "PM": "Random effects, variance by Paule and Mandel",
    "fixed": "Fixed effect",
}
_TESTS = {
    "knapp-hartung": "Knapp-Hartung",
    "knapp-hartung-adhoc": "Knapp-Hartung, never narrower than the normal interval",
}


@styled
def meta_forest_figure(
    meta: MetaAnalysis,
    *,
    names: pd.Series | None = None,
    effect_label: str = "",
    on: str = "fitted",
    conf_level: float = 0.95,
    label: str = "fig-meta-forest",
) -> ReportFigure:
    """Show a meta-analysis as journals do: estimates with weights, pooled estimate, prediction.

    Parameters
    ----------
    meta
        A meta-analysis without moderators.
    names
        What to call each estimate, indexed as the data: ``data["author"]``. Where not given, the
        labels of the meta-analysis, or else row labels of the data (after the study, if there are
        studies).
    effect_label
        The effect and its scale in words.
    on
        ``"fitted"``: the scale that was pooled. ``"r"``: Fisher z turned back into correlations.
        ``"ratio"``: the estimates are logarithms of ratios, and ratios are drawn.
    conf_level
        Of all intervals.

    Returns
    -------
    ReportFigure
        ``data`` has ``term, kind`` (study, pooled, prediction), ``estimate, conf_low, conf_high,
        weight`` (per cent of the sum of inverse marginal variances).

    Raises
    ------
    DataError
        If `meta` is something else, or a name is missing.
    NotIdentifiedError
        If there are moderators, or the estimates cannot be shown on that scale.
    """
    check_pooled(meta)
    check_choice(on, _ON, name="on")
    check_conf_level(conf_level)
    frame = _meta_rows(meta, names, on, conf_level)
    scale: Scale = "ratio" if on == "ratio" else "difference"
    words = [_meta_words(row, on) for _, row in frame.iterrows()]
    level, what = format_level(conf_level), effect_label or effect_in_words(meta, on)
    figure = forest_page(frame, words, heading=f"Estimate [{level} CI]", scale=scale, x_label=what)
    single = frame[frame["kind"] == "study"]
    found = "; ".join(
        f"{row['term']}: {told}"
        for told, (_, row) in zip(words, frame.iterrows(), strict=True)
        if row["kind"] != "study"
    )
    counted = plural(len(single), "estimate") + _of_studies(meta)
    least, most = (number_on(single["estimate"].agg(end), on) for end in ("min", "max"))
    return ReportFigure(
        figure,
        label=label,
        caption=f"{what}: forest plot of {counted} with {level} CI. {found}.",
        alt=f"Forest plot of {counted}, from {least} to {most}, with a line at "
        f"{1 if scale == 'ratio' else 0} and a diamond for the pooled estimate. "
        f"{found}.",
        note=_meta_note(meta, conf_level),
        data=frame,
    )


def check_pooled(meta: MetaAnalysis) -> None:
    """Refuse what is no meta-analysis, or has moderators and so no one pooled estimate.

    Raises
    ------
    DataError, NotIdentifiedError
    """
    if not isinstance(meta, MetaAnalysis):
        raise DataError(f"meta must be what meta_analysis() returns; got {type(meta).__name__}.")
    if not meta.is_pooled:
        raise NotIdentifiedError(
            "The figure needs one pooled estimate; this model has moderators "
            f"({', '.join(meta.effects.terms)}). Fit without moderators=."
        )


def effect_names(meta: MetaAnalysis, names: pd.Series | None) -> list[str]:
    """Return what to call each estimate: a name, its label, or study and row label of the data.

    Raises
    ------
    DataError
        If `names` is no Series indexed as the data, or lacks a name.
    """
    effects = meta.effects
    if names is not None:
        if not isinstance(names, pd.Series) or not names.index.is_unique:
            raise DataError("names must be a Series indexed as the data, as data['author'].")
        found = names.reindex(effects.index)
        missing = found.isna().to_numpy()
        if missing.any():
            where = describe_rows(missing, found.index)
            raise DataError(f"names has none for the estimate in {where}.")
        return [str(name) for name in found]
    if effects.labels:
        return list(effects.labels)
    if effects.studies is None:
        bare = pd.api.types.is_numeric_dtype(effects.index)
        return [f"row {i}" if bare else str(i) for i in effects.index]
    studies = [effects.study_labels[code] for code in effects.studies]
    return [f"{study} (row {i})" for study, i in zip(studies, effects.index, strict=True)]


def effect_in_words(meta: MetaAnalysis, on: str) -> str:
    """Return the scale that is drawn, in words."""
    if on == "fitted":
        fisher = meta.effects.measure == "fisher_z"
        return "Correlation (Fisher z)" if fisher else "Estimate, on the scale that was pooled"
    return "Correlation (r)" if on == "r" else "Ratio"


def pooling_in_words(meta: MetaAnalysis) -> str:
    """Return how the estimates were pooled, anything to beware of first, rows set aside last."""
    how = (
        _METHODS[meta.estimator]
        if meta.effects.studies is None
        else "Estimates in studies, by REML"
    )
    used = "normal" if np.isinf(meta.df) else f"t with {format_df(meta.df)} df"
    if meta.test in _TESTS:
        used = f"{_TESTS[meta.test]}, {used}"
    aside = meta.rows.n_set_aside
    left_out = f" {plural(aside, 'row')} set aside." if aside else ""
    return " ".join([*meta.notes, f"{how}; interval of the pooled estimate: {used}.{left_out}"])


def _meta_rows(
    meta: MetaAnalysis, names: pd.Series | None, on: str, conf_level: float
) -> pd.DataFrame:
    """Return the rows drawn, on the scale drawn."""
    if on == "ratio" and meta.effects.measure == "fisher_z":
        raise NotIdentifiedError("Fisher z are no logarithms of ratios; draw them on='r'.")
    source = "r" if on == "r" else "fitted"
    single = meta.augment(conf_level=conf_level, on=source)
    single = single.assign(term=effect_names(meta, names), kind="study")
    pooled = meta.tidy(conf_level=conf_level, on=source).assign(term="Pooled", kind="pooled")
    parts = [single, pooled.assign(weight=single["weight"].sum())]
    if meta.estimator != "fixed":
        expected = meta.prediction(conf_level=conf_level, on=source)
        parts.append(expected.assign(term="Prediction interval", kind="prediction", weight=np.nan))
    columns = ["term", "kind", "estimate", "conf_low", "conf_high", "weight"]
    frame = pd.concat([part[columns] for part in parts], ignore_index=True)
    if on == "ratio":
        limits = columns[2:5]
        frame[limits] = np.exp(frame[limits])
    return frame


def _meta_words(row: pd.Series, on: str) -> str:
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
