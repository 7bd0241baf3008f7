"""Times to an ending in sentences."""

import math

from alliance_stats.formatting import (
    format_count,
    format_number,
    format_percent,
    p_phrase,
    plural,
    t_phrase,
)
from alliance_stats.sentences.methods import method_of
from alliance_stats.sentences.wording import Wording, decimals
from alliance_stats.survival import CoxModel, KaplanMeier, LogRank
from alliance_stats.survival.cox.frailty import FrailtyFit

__all__ = ["cox_sentences", "curve_sentences", "log_rank_sentences"]

_SPREADS = {
    "var__frailty": "variance",
    "sd__(Intercept)": "SD of the log hazard",
    "median_hazard_ratio": "median hazard ratio",
}


def curve_sentences(result: KaplanMeier, wording: Wording) -> list[str]:
    """Return what was estimated, and a sentence a curve: median and end."""
    fit = result.glance().iloc[0]
    said = [
        f"{method_of(result, wording.df_method)}; n = {format_count(fit['nobs'])}, "
        f"{plural(int(fit['n_event']), 'event')}; pointwise log-log intervals."
    ]
    tidy = result.tidy(conf_level=wording.conf_level)
    for _, row in result.medians(conf_level=wording.conf_level).iterrows():
        last = tidy[tidy["strata"] == row["strata"]].iloc[-1]
        limits = [format_percent(last[name], 1) for name in ("conf_low", "conf_high")]
        median = "median not reached"
        if not math.isnan(row["estimate"]):
            low, high = (_time(row[name]) for name in ("conf_low", "conf_high"))
            median = f"median {_time(row['estimate'])}, {wording.level} CI [{low}, {high}]"
        said.append(
            f"{wording.of(row['strata'])} (n = {format_count(row['nobs'])}, "
            f"{plural(int(row['n_event']), 'event')}): {median}; after {_time(last['time'])}, "
            f"{format_percent(last['estimate'], 1)} without the event, {wording.level} CI "
            f"[{', '.join(limits)}]."
        )
    return said


def log_rank_sentences(result: LogRank, wording: Wording) -> list[str]:
    """Return the test with events observed and expected by group."""
    groups = "; ".join(
        f"{wording.of(row['level'])}: {format_count(row['n_event'])} of "
        f"{format_count(row['nobs'])}, {format_number(row['n_expected'], 1)} expected"
        for _, row in result.tidy().iterrows()
    )
    fit = result.glance().iloc[0]
    test = f"chi-squared({result.df}) = {format_number(result.statistic)}"
    said = [
        f"{result.method[:1].upper()}{result.method[1:]}: {test}, {p_phrase(result.p_value)}; "
        f"n = {format_count(fit['nobs'])}, {plural(int(fit['n_event']), 'event')} ({groups})."
    ]
    return said if result.permutation is None else [*said, str(result.permutation)]


def cox_sentences(model: CoxModel, wording: Wording) -> list[str]:
    """Return what was fitted, and a sentence a hazard ratio."""
    fit = model.glance().iloc[0]
    said = [
        f"{method_of(model, wording.df_method)}; n = {format_count(fit['nobs'])}, "
        f"{plural(int(fit['n_event']), 'event')}."
    ]
    ratios = model.hazard_ratios(conf_level=wording.conf_level)
    for statistic, (_, row) in zip(model.tidy()["statistic"], ratios.iterrows(), strict=True):
        digits = decimals(row, null=1.0)
        said.append(
            f"{wording.of(row['term'])}: hazard ratio {format_number(row['estimate'], digits)}, "
            f"{wording.interval(row, digits)}, {t_phrase(statistic, math.inf, row['p_value'])}."
        )
    return said if model.frailty is None else [*said, *_frailty(model, model.frailty, wording)]


def _frailty(model: CoxModel, frailty: FrailtyFit, wording: Wording) -> list[str]:
    """Return the frailty's spread with its profile interval, and whether it is at its bound."""
    parts = [
        f"{_SPREADS.get(row['term'], row['term'])} = {format_number(row['estimate'])}, "
        f"{wording.interval(row)}"
        for _, row in model.tidy(effects="ran_pars", conf_level=wording.conf_level).iterrows()
    ]
    said = [f"Frailty of {plural(len(frailty.levels), 'group')} ({wording.of(frailty.group)}): "]
    said[0] += f"{'; '.join(parts)}."
    if frailty.variance == 0.0:
        said.append("The frailty's variance is at its lower bound: no spread was found.")
    return said


def _time(value: float) -> str:
    """Return a time: whole ones without decimals; a limit that is not there as not reached."""
    if math.isnan(value):
        return "not reached"
    return format_number(value, 0 if float(value).is_integer() else 2)
