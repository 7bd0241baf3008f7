"""Mixed models in sentences."""

import math

import numpy as np
import pandas as pd

from alliance_stats.formatting import (
    decimals_of_spread,
    format_bounded,
    format_count,
    format_number,
    t_phrase,
)
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel
from alliance_stats.sentences.methods import method_of
from alliance_stats.sentences.wording import Wording, decimals

__all__ = ["generalized_sentences", "mixed_sentences"]

_RATIOS = {"logit": "odds ratio", "cloglog": "hazard ratio"}


def mixed_sentences(model: LinearMixedModel, wording: Wording) -> list[str]:
    """Return what was fitted, a sentence a coefficient, and the random effects."""
    method = method_of(model, wording.df_method)
    said = [f"{method[:1].upper()}{method[1:]}; {_sizes(model, wording)}."]
    tidy = model.tidy(df_method=wording.df_method, conf_level=wording.conf_level)
    for _, row in tidy.iterrows():
        test = t_phrase(row["statistic"], row["df"], row["p_value"])
        said.append(_coefficient(row, test, wording))
    return [*said, _random_effects(model, wording)]


def generalized_sentences(model: GeneralizedLinearMixedModel, wording: Wording) -> list[str]:
    """Return what was fitted, a sentence a coefficient, and the random effects."""
    method = method_of(model, wording.df_method)
    said = [f"{method[:1].upper()}{method[1:]}; {_sizes(model, wording)}."]
    ratio = _ratio_name(model)
    for _, row in model.tidy(conf_level=wording.conf_level).iterrows():
        test = t_phrase(row["statistic"], math.inf, row["p_value"])
        also = ""
        if ratio is not None and row["term"] != "(Intercept)":
            with np.errstate(over="ignore"):  # a separated outcome's ratio is infinite
                ratios = np.exp(row[["estimate", "conf_low", "conf_high"]].astype(float))
            digits = decimals(ratios, null=1.0)
            limits = wording.interval(ratios, digits)
            also = f" ({ratio} {format_number(ratios['estimate'], digits)}, {limits})"
        said.append(_coefficient(row, test + also, wording))
    return [*said, _random_effects(model, wording)]


def _sizes(model: LinearMixedModel | GeneralizedLinearMixedModel, wording: Wording) -> str:
    fit = model.glance().iloc[0]
    units = [
        f"{format_count(fit[name])} {wording.of(name[2:])}"
        for name in fit.index
        if name.startswith("n_") and name != "n_parameters"
    ]
    place = f" in {', '.join(units)}" if units else ""
    return f"n = {format_count(fit['nobs'])} observations{place}"


def _ratio_name(model: GeneralizedLinearMixedModel) -> str | None:
    """Return what the exponential of a coefficient is, or None where it is no ratio."""
    if model.family.link == "log":
        return "risk ratio" if model.family.name == "binomial" else "rate ratio"
    return _RATIOS.get(model.family.link)


def _coefficient(row: pd.Series, test: str, wording: Wording) -> str:
    name = wording.of(row["term"])
    if math.isnan(row["estimate"]):
        return f"{name}: not estimable."
    digits = decimals(row, std_error=row["std_error"])
    number = format_number(row["estimate"], digits)
    return f"{name}: b = {number}, {wording.interval(row, digits)}, {test}."


def _random_effects(model: LinearMixedModel | GeneralizedLinearMixedModel, wording: Wording) -> str:
    parts = []
    for _, row in model.tidy(effects="ran_pars").iterrows():
        kind, _, names = str(row["term"]).partition("__")
        stratum = "" if row["level"] is None else f" ({row['level']})"
        if kind == "sd":
            what = "residual" if row["group"] == "Residual" else f"SD of {wording.of(names)}"
            number = format_number(row["estimate"], decimals_of_spread(row["estimate"]))
        else:
            pair = " and ".join(wording.of(name) for name in names.split(".", 1))
            what = f"correlation of {pair}" if kind == "cor" else names
            number = format_bounded(row["estimate"])
        place = "" if row["group"] == "Residual" else f"{wording.of(row['group'])}, "
        parts.append(f"{place}{what}{stratum} {number}")
    return f"Random effects as standard deviations and correlations: {'; '.join(parts)}."
