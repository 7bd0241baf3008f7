"""Estimation plot: every value, and beside it the difference with its interval."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from alliance_stats.arguments import require_kind
from alliance_stats.figures.axes import (
    TALLEST,
    dress,
    page,
    set_limits,
    swarm,
)
from alliance_stats.figures.common import Common, laid_out, settle
from alliance_stats.figures.numbers import (
    decimals_of_spread,
    format_alone,
    format_count,
    format_level,
    format_number,
    interval_of,
    plural,
    write_estimate,
)
from alliance_stats.figures.report_figure import DRAWN_BY, ReportFigure
from alliance_stats.figures.style import FULL_WIDTH, INK, RULE, Look, looks, naming, sheet
from alliance_stats.figures.text import in_sentence, text_width, wrap
from alliance_stats.groups.comparing.choice_of_test import pairwise_table
from alliance_stats.groups.comparing.finding import Finding
from alliance_stats.groups.comparing.group_comparison import GroupComparison, OutcomeComparison
from alliance_stats.groups.comparing.group_samples import Outcome

__all__ = ["draw_differences", "draw_groups", "estimation_figure"]

_HEIGHT = 223.0  # pt
_LEAST_PLACE = 48.0  # pt, of a group; narrower, the differences stand below
_TURNED = 170.0  # pt, of a name that stands upright
_MOST_TOLD = 3  # groups whose sizes the caption tells
_BESIDE = 0.42  # where mean and SD stand, in units of the distance between groups
_SIDES = 110.0  # pt, what the axes' labels and numbers take


def draw_groups(ax: Axes, outcome: Outcome, *, name_width: float = 90.0) -> None:
    """Draw every value of each group; beside them mean and one SD (median, where ordinal).

    Matched pairs are joined by thin lines.

    Parameters
    ----------
    ax
        Axes to draw on; nothing else is touched.
    outcome
        Complete cases of one outcome.
    name_width
        Points that a group's name may take before it is wrapped.
    """
    size = float(np.clip(900.0 / max(outcome.n), 5.0, 18.0))
    bins = int(170.0 / np.sqrt(size))  # bands about as high as a mark
    offsets = [swarm(outcome.of(place), bins=bins) for place in range(len(outcome.labels))]
    if outcome.design == "paired":
        ends = np.column_stack([offsets[0], 1.0 + offsets[1]]).T
        ax.plot(
            ends, np.vstack([outcome.of(0), outcome.of(1)]), color=RULE, lw=0.5, alpha=0.5, zorder=1
        )
    styles = [*looks(outcome.labels).values()]
    for place in range(len(outcome.labels)):
        own, style = outcome.of(place), styles[place]
        ax.scatter(
            place + offsets[place],
            own,
            s=size,
            color=style.colour,
            alpha=0.6,
            lw=0,
            marker=style.marker,
            gid=f"values {outcome.labels[place]}",
        )
        _draw_centre(ax, outcome, place, style)
    _write_names(ax, outcome.labels, outcome.n, width=name_width)
    ax.set_xlim(-0.5, len(outcome.labels) - 0.35)
    if outcome.categories:
        ax.set_yticks(
            range(len(outcome.categories)),
            ["\n".join(wrap(name, name_width)) for name in outcome.categories],
        )


def draw_differences(ax: Axes, differences: pd.DataFrame, *, name_width: float = 90.0) -> None:
    """Draw each difference with its interval around a line at 0.

    Parameters
    ----------
    differences
        ``contrast, estimate, conf_low, conf_high``, a row per contrast.
    name_width
        Points that a contrast's name may take before it is wrapped.
    """
    ax.axhline(0.0, color=RULE, lw=0.8, zorder=1)
    for place, row in enumerate(differences.itertuples()):
        ax.plot([place, place], [row.conf_low, row.conf_high], color=INK, lw=1.6, gid="interval")
        ax.plot(place, row.estimate, marker="o", color=INK, markersize=5.5, gid="difference")
    _write_names(ax, [*differences["contrast"]], (), width=name_width)
    ax.set_xlim(-0.6, len(differences) - 0.4)


def _write_names(ax: Axes, names: Sequence[str], n: Sequence[int], *, width: float) -> None:
    """Write what stands at each place below `ax`, upright where words would not fit."""
    turned = _turned(names, width)
    lines = [
        [" ".join(wrap(name.replace(" ", "\u00a0"), _TURNED))] if turned else wrap(name, width)
        for name in names
    ]
    for own, size in zip(lines, n, strict=False):  # contrasts have no sizes
        own.append(f"$n$ = {format_count(size)}")
    told = [(", " if turned else "\n").join(own) for own in lines]
    ax.set_xticks(range(len(names)), told, rotation=90 if turned else 0)


def _turned(names: Sequence[str], width: float) -> bool:
    """Say whether a word of the names, or a number of persons, is wider than its place."""
    cut = any("…" in line and "…" not in name for name in names for line in wrap(name, width))
    return len(names) > _MOST_TOLD and (cut or width < text_width("n = 100"))


@laid_out(FULL_WIDTH)
def estimation_figure(
    comparison: GroupComparison,
    *,
    outcome: str,
    outcome_label: str = "",
    conf_level: float = 0.95,
    **common: Unpack[Common],
) -> ReportFigure:
    """Show every value of each group and, beside them, the difference with its interval.

    With two groups the axis of a mean difference has the scale of the values, its 0 at the mean
    of the group that is subtracted (Gardner & Altman 1986, doi:10.1136/bmj.292.6522.746). More
    groups are compared as :meth:`GroupComparison.pairwise` does; with more than three, the last
    one is subtracted from each of the others.

    Parameters
    ----------
    comparison
        From :func:`~alliance_stats.groups.compare_groups`; it holds the values.
    outcome
        Which of its outcomes.
    outcome_label
        Quantity, unit and range; the column's name by default.
    limits
        Limits of the axis of the values.
    words
        Group or outcome -> label to print.

    Returns
    -------
    ReportFigure
        ``data`` has the values (``part = "value"``), means and SDs (``"group"``) and differences
        (``"difference"``).

    Raises
    ------
    DataError
        If the comparison has no such outcome, or has more than two groups and could not be tested.

    Examples
    --------
    >>> from alliance_stats import compare_groups, example_study
    >>> from alliance_stats.figures import estimation_figure
    >>> first = example_study().sessions.query("session == 1")
    >>> found = compare_groups(
    ...     first, outcomes=["symptoms"], group="parent_alliance", cluster="family"
    ... )
    >>> estimation_figure(found, outcome="symptoms").label
    'fig-estimation'
    """
    asked = "estimation_figure draws a result of compare_groups"
    require_kind(comparison, GroupComparison, asked=asked, instead=DRAWN_BY)
    record = comparison[outcome]
    values = record.outcome
    said = naming(common["words"], [*values.labels, outcome])
    values = replace(values, labels=tuple(said(name) for name in values.labels))
    record = replace(record, outcome=values)
    differences = _differences(record, conf_level)
    called = outcome_label or said(outcome)
    ratios = (len(values.labels) + 0.15, len(differences) + 0.2)  # as wide as the axes' ranges
    beside = sheet().width - _SIDES > _LEAST_PLACE * sum(ratios)
    places = sum(ratios) if beside else max(ratios)
    name_width = (sheet().width - (_SIDES if beside else 70.0)) / places - 8.0
    pairs, against = [*differences["contrast"]], ""
    turned = _turned([*values.labels, *pairs], name_width)
    if turned and len(pairs) < len(values.labels):  # upright pairs would be cut: all have one end
        pairs, against = [*values.labels[:-1]], f" from {values.labels[-1]}"
    below = [*values.labels, *pairs]
    height = _HEIGHT + (
        min(max(map(text_width, below)), _TURNED)
        if turned
        else 10.0 * max(len(wrap(name, name_width)) for name in below)
    )
    figure = page(height if beside else min(2.0 * height, TALLEST), by_hand=False)
    if beside:
        left, right = figure.subplots(1, 2, width_ratios=ratios)
    else:
        left, right = figure.subplots(2, 1)
    draw_groups(left, values, name_width=name_width)
    draw_differences(right, differences.assign(contrast=pairs), name_width=name_width)
    dress(left, y_label=called)
    estimand = differences["estimand"].iloc[0]
    unit = f", {in_sentence(called)}" if values.kind == "continuous" else ""
    dress(right, y_label=f"{estimand[:1].upper()}{estimand[1:]}{against}{unit}")
    if beside and len(values.labels) == 2 and values.kind != "ordinal":
        _align(left, right, values, differences, common["limits"])
    else:
        set_limits(left, common["limits"], axis="y")
    settle(figure)
    groups = _groups(values)
    found = _phrases(groups, differences, conf_level)
    return ReportFigure(
        figure,
        label=common["label"] or "fig-estimation",
        caption=f"{called} by {comparison.group}: every value, and the {estimand} with its "
        f"{format_level(conf_level)} confidence interval. {_sizes(groups, differences)}",
        alt=f"Strips of points of {called} for {plural(len(values.labels), 'group')}; beside them "
        f"the {estimand}. {found}",
        note=_note(record, differences, conf_level),
        data=_numbers(values, groups, differences),
    )


def _draw_centre(ax: Axes, outcome: Outcome, place: int, style: Look) -> None:
    own, where = outcome.of(place), place + _BESIDE
    if len(own) == 0:
        return
    centre = float(np.median(own)) if outcome.kind == "ordinal" else float(own.mean())
    if outcome.kind == "continuous" and len(own) > 1:
        sd = float(own.std(ddof=1))
        ax.plot([where, where], [centre - sd, centre + sd], color=style.text, lw=1.4, gid="sd")
    ax.plot(where, centre, marker=style.marker, color=style.text, markersize=5.5, gid="centre")


def _align(
    left: Axes,
    right: Axes,
    outcome: Outcome,
    differences: pd.DataFrame,
    limits: tuple[float, float] | None,
) -> None:
    """Put 0 of the difference at the mean of the second group, on the same scale."""
    zero = float(outcome.of(1).mean())
    ends = zero + differences[["conf_low", "conf_high", "estimate"]].to_numpy().ravel()
    drawn = np.concatenate([line.get_ydata() for line in left.lines])  # the SDs among them
    seen = np.concatenate([outcome.values, drawn, ends[np.isfinite(ends)], [zero]])
    pad = 0.06 * (float(np.ptp(seen)) or 1.0)
    low, high = seen.min() - pad, seen.max() + pad
    left.set_ylim(low, high)
    set_limits(left, limits, axis="y")
    low, high = left.get_ylim()
    set_limits(right, (low - zero, high - zero), axis="y")
    edge, styles = left.get_xlim()[1], [*looks(outcome.labels).values()]
    for place in range(2):
        mean = float(outcome.of(place).mean())
        start = place + _BESIDE
        left.plot([start, edge], [mean, mean], color=styles[place].text, lw=0.7, dashes=(2, 2))


def _differences(record: OutcomeComparison, conf_level: float) -> pd.DataFrame:
    labels = record.outcome.labels
    if len(labels) == 2:
        return pd.DataFrame([_difference(record.outcome, record.finding, conf_level)])
    table = pairwise_table(record.outcome, record.finding, conf_level)
    pairs = list(combinations(labels, 2))
    kept = [len(labels) == 3 or second == labels[-1] for _, second in pairs]
    words = [f"{first} − {second}" for first, second in pairs]
    known = {"estimand": "difference", "interval_method": "", "note": ""}
    absent = {name: value for name, value in known.items() if name not in table}
    return table.assign(contrast=words, **absent).loc[kept].reset_index(drop=True)


def _difference(outcome: Outcome, finding: Finding, conf_level: float) -> dict[str, object]:
    low, high = finding.interval(conf_level)
    return {
        "contrast": f"{outcome.labels[0]} − {outcome.labels[1]}",
        "estimand": finding.estimand,
        "estimate": finding.estimate,
        "conf_low": low,
        "conf_high": high,
        "p_value": finding.p_value,
        "method": finding.method,
        "interval_method": finding.interval_method,
        "note": finding.note,
    }


def _groups(outcome: Outcome) -> pd.DataFrame:
    parts = [outcome.of(place) for place in range(len(outcome.labels))]
    metric = outcome.kind != "ordinal"
    return pd.DataFrame(
        {
            "group": outcome.labels,
            "n": outcome.n,
            "mean": [float(own.mean()) if metric and len(own) else np.nan for own in parts],
            "median": [float(np.median(own)) if len(own) else np.nan for own in parts],
            "sd": [float(own.std(ddof=1)) if metric and len(own) > 1 else np.nan for own in parts],
        }
    )


def _numbers(outcome: Outcome, groups: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    names = np.asarray(outcome.labels, dtype=object)[outcome.group]
    values = pd.DataFrame({"part": "value", "group": names, "value": outcome.values})
    parts = [values, groups.assign(part="group"), differences.assign(part="difference")]
    return pd.concat(parts, ignore_index=True)


def _phrases(groups: pd.DataFrame, differences: pd.DataFrame, conf_level: float) -> str:
    means = "; ".join(_group_phrase(row) for _, row in groups.iterrows())
    return f"{means}. {'; '.join(_difference_phrases(differences, conf_level))}."


def _sizes(groups: pd.DataFrame, differences: pd.DataFrame) -> str:
    """Say how many there are in each group and, of two, how far apart they are."""
    n = "; ".join(f"{row['group']}: n = {format_count(row['n'])}" for _, row in groups.iterrows())
    if len(groups) > _MOST_TOLD:
        n = f"n = {format_count(groups['n'].sum())} in {plural(len(groups), 'group')}"
    apart = f" Difference {interval_of(differences.iloc[0])}." if len(differences) == 1 else ""
    return f"{n}.{apart}"


def _group_phrase(row: pd.Series) -> str:
    if not np.isnan(row["sd"]):
        digits = decimals_of_spread(row["sd"])
        centre = f"M = {format_number(row['mean'], digits)}, "
        centre += f"SD = {format_number(row['sd'], digits)}, "
    elif not np.isnan(row["mean"]):
        centre = f"M = {format_alone(row['mean'])}, "
    else:
        centre = f"median category {format_number(row['median'], 1)}, "
    return f"{row['group']}: {centre}n = {format_count(row['n'])}"


def _difference_phrases(differences: pd.DataFrame, conf_level: float) -> Sequence[str]:
    phrases = []
    for _, row in differences.iterrows():
        found = write_estimate(row["estimate"], row["conf_low"], row["conf_high"])
        words = f"{row['contrast']}: {found.estimate}"
        if np.isnan(row["conf_low"]):
            phrases.append(f"{words} (no interval)")
        else:
            phrases.append(f"{words}, {format_level(conf_level)} CI {found.interval}")
    return phrases


def _note(record: OutcomeComparison, differences: pd.DataFrame, conf_level: float) -> str:
    first = differences.iloc[0]
    interval = f" ({first['interval_method']} interval)" if first["interval_method"] else ""
    tested = not np.isnan(differences["conf_low"]).all()
    parts = [f"{format_level(conf_level)} CI by {first['method']}{interval}."] if tested else []
    if record.outcome.kind == "continuous":
        parts.insert(0, "Beside the points: mean and one SD to either side.")
    missing = sum(record.outcome.n_missing)
    if missing:
        parts.append(f"{plural(missing, 'missing value')} not drawn.")
    notes = [note for note in dict.fromkeys(differences["note"]) if note]
    parts += [f"{note[0].upper()}{note[1:]}." for note in notes]
    return " ".join(parts)
