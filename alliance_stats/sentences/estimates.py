"""Results that are rows of estimates, in sentences: a sentence a row, under the row's own names."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import pandas as pd

from alliance_stats.door import replaced
from alliance_stats.family import APIM
from alliance_stats.formatting import (
    decimals_needed,
    format_bounded,
    format_count,
    format_number,
    format_percent,
    plural,
    t_phrase,
)
from alliance_stats.groups import TrajectoryComparison
from alliance_stats.multilevel import (
    Comparisons,
    Contrasts,
    EstimatedMeans,
    GeneralizedLinearMixedModel,
    SimpleSlopes,
    VariancePartition,
    WithinBetween,
)
from alliance_stats.sentences.wording import Wording, decimals
from alliance_stats.survival import (
    CompetingHazards,
    DiscreteHazard,
    DropoutSensitivity,
    FineGrayModel,
    PatternMixture,
    SharedParameterModel,
)

__all__ = ["Estimates", "estimate_sentences", "method_of_estimates"]

Estimates = (
    FineGrayModel
    | DiscreteHazard
    | CompetingHazards
    | SharedParameterModel
    | DropoutSensitivity
    | PatternMixture
    | Contrasts
    | EstimatedMeans
    | SimpleSlopes
    | Comparisons
    | VariancePartition
    | WithinBetween
    | TrajectoryComparison
    | APIM
)
"""Results whose ``tidy()`` says all there is to say, row by row."""

_NOT_NAMES = {"effect", "variance", "expected_from", "expected_to"}
_WARNINGS = ("WARNING", "Warning", "NOTE", "Note")
_MOST = 6  # decimals
_LINKS = {"cloglog": "hazard ratio", "logit": "odds ratio"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How results of one class are said."""

    method: str
    measure: str = "b"
    ratio: bool = False
    number: Callable[[float, int], str] = format_number


_KINDS: dict[type, _Kind] = {
    FineGrayModel: _Kind("Fine-Gray model", "subdistribution hazard ratio", ratio=True),
    DiscreteHazard: _Kind("discrete-time hazard", "hazard ratio", ratio=True),
    CompetingHazards: _Kind(
        "hazards of competing endings in discrete time, in one likelihood", "odds ratio", ratio=True
    ),
    SharedParameterModel: _Kind("outcome and leaving modelled with shared effects"),
    DropoutSensitivity: _Kind("estimates under shifted unseen outcomes, multiply imputed"),
    PatternMixture: _Kind("pattern mixture, averaged over when units left"),
    Contrasts: _Kind("", "difference"),  # the first line of the summary says the method
    EstimatedMeans: _Kind("", "mean"),
    SimpleSlopes: _Kind("", "slope"),
    Comparisons: _Kind("", "difference"),
    VariancePartition: _Kind(
        "shares of the variance that the fixed effects leave", "share", number=format_percent
    ),
    WithinBetween: _Kind("effects within and between units of a linear mixed model"),
    TrajectoryComparison: _Kind("courses of groups compared in a linear mixed model", "estimate"),
    APIM: _Kind("actor-partner interdependence model"),
}


def method_of_estimates(result: Estimates) -> str:
    """Return the method in a phrase."""
    kind = _KINDS[type(result)]
    match result:
        case FineGrayModel():
            return f"{kind.method} of '{result.cause}'{_clusters(result.n_clusters)}"
        case CompetingHazards():
            return f"{kind.method}{_clusters(result.n_clusters)}"
        case DiscreteHazard():
            return f"{kind.method} ({result.link} link, {result.baseline} baseline)"
        case SharedParameterModel():
            link = result.hazard.link
            return f"{kind.method}, hazard and association on the {link} scale"
        case Contrasts() | EstimatedMeans() | SimpleSlopes() | Comparisons():
            lines = [line for line in result.summary().splitlines() if line]
            headline = next(line for line in lines if not line.startswith(_WARNINGS))
            return f"{headline[:1].lower()}{headline[1:].rstrip('.:')}"
        case _:
            return kind.method


def _clusters(n_clusters: int | None) -> str:
    return "" if n_clusters is None else f", standard errors over {plural(n_clusters, 'cluster')}"


def estimate_sentences(result: Estimates, wording: Wording) -> list[str]:
    """Return what was computed from how many, and a sentence an estimate."""
    method = method_of_estimates(result)
    kind = _KINDS[type(result)]
    measure = _LINKS[result.link] if isinstance(result, DiscreteHazard) else kind.measure
    said = [f"{method[:1].upper()}{method[1:]}{_sizes(result)}."]
    rows = _rows(result, wording)
    names = [name for name in _names(rows) if name not in _NOT_NAMES]
    named = replaced(rows, {name: _told_apart(rows[name], wording) for name in names})
    for (_, row), (_, cells) in zip(rows.iterrows(), named[names].iterrows(), strict=True):
        name = ", ".join(cell for cell in cells if cell)
        said.append(f"{name}: {_estimate(row, measure, kind, wording)}.")
    said += _spread(result, wording)
    said += _tipping_points(result, wording)
    return said


def _rows(result: Estimates, wording: Wording) -> pd.DataFrame:
    """Return the rows to say: estimates with limits, ratios where the result is one of ratios."""
    tidy = result.tidy(conf_level=wording.conf_level)
    if isinstance(result, DiscreteHazard):
        n_covariates = len(result.hazard_ratios())
        tidy = tidy.iloc[len(tidy) - n_covariates :]  # the baseline's coefficients stand first
    if isinstance(result, CompetingHazards):
        own = result.odds_ratios()[["state", "term"]]
        tidy = own.merge(tidy, on=["state", "term"], how="left", validate="one_to_one")
    if not _KINDS[type(result)].ratio:
        return tidy
    columns = ["estimate", "conf_low", "conf_high"]
    with np.errstate(over="ignore"):
        ratios = {name: np.exp(tidy[name].astype(float)) for name in columns}
    return tidy.assign(**ratios).drop(columns="std_error")


def _names(rows: pd.DataFrame) -> list[str]:
    """Return the columns that say what a row is: those in front of its estimate."""
    names = list(rows.columns)
    return [name for name in names[: names.index("estimate")] if rows[name].notna().any()]


def _told_apart(values: pd.Series, wording: Wording) -> list[str]:
    """Return what names rows, in words; numbers with decimals enough to tell them apart."""
    numbers = [float(value) for value in values if _is_number(value)]
    digits = decimals_needed(numbers)
    while digits < _MOST and len({format_number(x, digits) for x in numbers}) < len(set(numbers)):
        digits += 1
    return [_cell(value, str(values.name), digits, wording) for value in values]


def _cell(value: object, column: str, digits: int, wording: Wording) -> str:
    """Return one name of a row in words, nothing where it has none."""
    if _is_number(value):
        return f"{wording.of(column)} = {format_number(float(value), digits)}"
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else wording.of(value)


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, float | int | np.number):
        return False
    return not math.isnan(float(value))


def _estimate(row: pd.Series, measure: str, kind: _Kind, wording: Wording) -> str:
    if pd.isna(row["estimate"]):
        return "not estimable"
    if kind.number is format_percent:
        text = f"{measure} = {format_percent(row['estimate'], 1)}"
        limits = [format_percent(row[name], 1) for name in ("conf_low", "conf_high")]
        return (
            text
            if pd.isna(row["conf_low"])
            else f"{text}, {wording.level} CI [{', '.join(limits)}]"
        )
    digits = decimals(
        row, null=1.0 if kind.ratio else 0.0, std_error=float(row.get("std_error", math.nan))
    )
    text = f"{measure} = {format_number(row['estimate'], digits)}"
    if not pd.isna(row.get("conf_low", math.nan)):
        text += f", {wording.interval(row, digits)}"
    if "statistic" not in row or pd.isna(row["statistic"]):
        return text
    df = float(row["df"]) if "df" in row and not pd.isna(row["df"]) else math.inf
    return f"{text}, {t_phrase(row['statistic'], df, row['p_value'])}"


def _sizes(result: Estimates) -> str:
    """Return how many rows (and events, estimates) went in."""
    match result:
        case FineGrayModel() | DiscreteHazard():
            fit = result.glance().iloc[0]
            events = plural(int(fit["n_event"]), "event")
            return f"; n = {format_count(fit['nobs'])}, {events}"
        case SharedParameterModel():
            events = plural(result.hazard.n_event, "event")
            return f"; n = {plural(result.outcome.nobs, 'outcome')}, {events}"
        case DropoutSensitivity():
            n_times = plural(result.estimates.shape[1], "time")
            seen = plural(result.n_seen, "seen outcome")
            return f"; n = {seen}, {plural(result.n_unseen, 'unseen one')} imputed {n_times}"
        case PatternMixture():
            shares = ", ".join(
                f"{row.pattern}: {plural(int(row.n_units), 'unit')} "
                f"({format_percent(row.share, 1)})"
                for row in result.patterns.itertuples()
            )
            return f"; n = {format_count(result.rows.n_used)} ({shares})"
        case _:
            return f"; n = {format_count(result.rows.n_used)}"


def _spread(result: Estimates, wording: Wording) -> Iterator[str]:
    """Yield the median ratios between units, where a hazard has random effects."""
    spread: pd.DataFrame | None = None
    if isinstance(result, DiscreteHazard) and isinstance(result.fit, GeneralizedLinearMixedModel):
        spread = result.median_ratios(conf_level=wording.conf_level)
    if isinstance(result, CompetingHazards) and result.effects is not None:
        spread = result.median_ratios(conf_level=wording.conf_level)
    if spread is None:
        return
    for _, row in spread.iterrows():
        digits = decimals(row, null=1.0)
        state = f", {wording.of(row['state'])}" if "state" in row else ""
        yield (
            f"Between units of {wording.of(row['group'])}{state}: {row['term']} "
            f"{format_number(row['estimate'], digits)}, {wording.interval(row, digits)}."
        )
    if isinstance(result, CompetingHazards):
        yield from _correlations(result, wording)


def _correlations(result: CompetingHazards, wording: Wording) -> Iterator[str]:
    """Yield how the effects on two endings go together; an estimate without an interval."""
    spread = result.tidy(effects="ran_pars")
    for _, row in spread[spread["term"].str.startswith("cor__")].iterrows():
        endings = " and ".join(wording.of(name) for name in row["term"][5:].split(".", 1))
        yield f"Correlation of the effects on {endings}: {format_bounded(row['estimate'])}."


def _tipping_points(result: Estimates, wording: Wording) -> Iterator[str]:
    """Yield which shifts of unseen outcomes overturn the finding."""
    if not isinstance(result, DropoutSensitivity):
        return
    for tip in result.tipping_points(conf_level=wording.conf_level).itertuples():
        if tip.searched_to == 0.0:
            found = "none was tried"
        elif math.isnan(tip.delta):
            found = f"not overturned up to {_shift(tip.searched_to)}"
        else:
            found = f"overturned from {_shift(tip.delta)}"
        yield f"Shifts {tip.direction}: {found}."


def _shift(value: float) -> str:
    return format_number(value, decimals_needed((value,)))
