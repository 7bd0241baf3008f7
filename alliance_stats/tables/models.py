"""Mixed models as papers print them, linear and generalized: one, or several side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, require_kind
from alliance_stats.errors import DataError
from alliance_stats.formatting import decimals_of_spread, format_bounded, format_number
from alliance_stats.multilevel import AR1, CAR1, GeneralizedLinearMixedModel, LinearMixedModel
from alliance_stats.tables.lines import (
    SIZES,
    Asked,
    Line,
    Printed,
    alone,
    estimate_line,
    side_by_side,
    size_lines,
)
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable

__all__ = ["model_table"]

Model = LinearMixedModel | GeneralizedLinearMixedModel
DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
Scale = Literal["link", "ratio"]
_DF_WORDS = {
    "satterthwaite": "Satterthwaite df",
    "kenward-roger": "Kenward-Roger standard errors and df",
    "normal": "normal quantiles",
}
_FIXED, _RANDOM, _FIT = "Fixed effects", "Random effects", "Fit"
_SECTIONS = (_FIXED, _RANDOM, SIZES, _FIT)
_RATIOS = {
    "logit": ("OR", "odds ratios"),
    "cloglog": ("HR", "hazard ratios"),
    "log": ("IRR", "rate ratios"),
}


@dataclass(frozen=True, slots=True)
class _Asked(Asked):
    """How the caller wants it printed."""

    df_method: DfMethod
    scale: Scale


def model_table(
    models: Model | Mapping[str, Model],
    *,
    label: str,
    caption: str,
    note: str = "",
    words: Mapping[str, str] | None = None,
    df_method: DfMethod = "satterthwaite",
    conf_level: float = 0.95,
    digits: int = 2,
    scale: Scale = "link",
) -> ReportTable:
    """Print mixed models: coefficients, SDs by level, sizes at each level, fit.

    Parameters
    ----------
    models
        A fitted model; or heading -> fitted model, to stand side by side in that order. Linear and
        generalized ones may stand together.
    note
        What to say beside estimator, df method, interval and scale, which are always said.
    words
        Name of a coefficient or a grouping factor -> words for it; others stand under their own
        names, so that none is left out.
    df_method
        Of linear models, as in :meth:`LinearMixedModel.tidy`; generalized ones have z tests.
    digits
        Decimals of coefficients, their limits, and SDs. A coefficient has more where its standard
        error would print as 0, or a limit that is not 0 would print as 0.
    scale
        Of generalized models: ``"link"`` for coefficients (log odds, log rates); ``"ratio"`` for
        their exponentials (odds, hazard, risk or rate ratios) with intervals. An intercept is no
        ratio and is then left out of that model.

    Returns
    -------
    ReportTable
        One model: estimate, SE, interval, df, test, p. Several: two columns each, estimate with
        interval, and p; a coefficient that a model does not have is left blank. AIC is printed for
        maximum-likelihood fits only: restricted likelihoods of different fixed parts do not
        compare.

    Raises
    ------
    DataError
        If there is no model, or two rows of one would have the same name.
    ValueError
        If ratios are asked of a link that has none (probit).
    """
    check_choice(scale, ("link", "ratio"), name="scale")
    asked = _Asked(dict(words or {}), conf_level, digits, df_method, scale)
    named = dict(models) if isinstance(models, Mapping) else {"": models}
    if not named:
        raise DataError("models is empty: name at least one model.")
    for model in named.values():
        takes = "model_table prints models of lmm and glmm"
        require_kind(
            model, (LinearMixedModel, GeneralizedLinearMixedModel), asked=takes, instead=PRINTED_BY
        )
    printed = [_printed(name, model, asked) for name, model in named.items()]
    if isinstance(models, Mapping):
        frame, sections = side_by_side(printed, sections=_SECTIONS, conf_level=conf_level)
    else:
        frame, sections = alone(printed[0], sections=_SECTIONS, conf_level=conf_level)
    said = " ".join([*_methods(named, asked), note])
    return ReportTable(frame, label, caption, said.strip(), sections)


def _printed(name: str, model: Model, asked: _Asked) -> Printed:
    linear = isinstance(model, LinearMixedModel)
    lines = (*_fixed(model, asked), *_random(model, asked), *_sizes_and_fit(model, asked))
    return Printed(name, _measure(model, asked), "t" if linear else "z", lines)


def _measure(model: Model, asked: _Asked) -> str:
    """Return what a coefficient is printed as: ``b``, or the name of its ratio."""
    if isinstance(model, LinearMixedModel) or asked.scale == "link":
        return "b"
    if model.family.link not in _RATIOS:
        raise ValueError(f"The {model.family.link} link has no ratio: ask for scale='link'.")
    return _RATIOS[model.family.link][0]


def _fixed(model: Model, asked: _Asked) -> Iterator[Line]:
    ratio = _measure(model, asked) != "b"
    if isinstance(model, LinearMixedModel):
        tidy = model.tidy(df_method=asked.df_method, conf_level=asked.conf_level)
        if asked.df_method == "normal":
            tidy = tidy.drop(columns="df")
    else:
        tidy = model.tidy(conf_level=asked.conf_level).drop(columns="df")
    if ratio:
        tidy = _exponentials(tidy)
    for _, row in tidy.iterrows():
        yield estimate_line(
            row, _FIXED, asked.of(row["term"]), digits=asked.digits, null=1.0 if ratio else 0.0
        )


def _exponentials(tidy: pd.DataFrame) -> pd.DataFrame:
    """Return coefficients as ratios; the SE of a logarithm is not that of its ratio."""
    own = tidy[tidy["term"] != "(Intercept)"].drop(columns="std_error")
    columns = ["estimate", "conf_low", "conf_high"]
    with np.errstate(over="ignore"):  # a separated outcome's ratio is infinite
        return own.assign(**{name: np.exp(own[name].astype(float)) for name in columns})


def _random(model: Model, asked: _Asked) -> Iterator[Line]:
    """Yield the line of every SD and correlation; a stratum's is named by its level."""
    spread = model.account().sections[1].frame
    for row in spread[spread["group"].notna()].to_dict("records"):
        effects = [_effect(name, asked) for name in row["parameter"].parts]
        name = f"{asked.of(row['group'])}: {row['parameter'].text.format(*effects)}"
        yield Line(_RANDOM, name, _spread(row["estimate"], row["kind"] == "number", asked))
    tidy = model.tidy(effects="ran_pars")
    for _, row in tidy[tidy["group"] == "Residual"].iterrows():
        kind, _, names = str(row["term"]).partition("__")
        what = "SD" if kind == "sd" else f"{kind} of {names}"
        stratum = "" if row["level"] is None else f" ({asked.of(row['level'])})"
        number = _spread(float(row["estimate"]), kind == "sd", asked)
        yield Line(_RANDOM, f"{asked.of('Residual')}: {what}{stratum}", number, last=True)


def _spread(value: float, is_sd: bool, asked: _Asked) -> str:
    digits = decimals_of_spread(value, at_least=asked.digits)
    return format_number(value, digits) if is_sd else format_bounded(value)


def _effect(name: str, asked: _Asked) -> str:
    return "intercept" if name == "(Intercept)" else f"slope of {asked.of(name)}"


def _sizes_and_fit(model: Model, asked: _Asked) -> Iterator[Line]:
    fit = model.glance().iloc[0]
    units = {
        f"Units: {asked.of(name[2:])}": fit[name]
        for name in fit.index
        if name.startswith("n_") and name != "n_parameters"
    }
    yield from size_lines({"Observations": fit["nobs"], **units})
    restricted = isinstance(model, LinearMixedModel) and model.reml
    criterion = "Log-likelihood, restricted" if restricted else "Log-likelihood"
    yield Line(_FIT, criterion, format_number(fit["log_lik"]))
    if not restricted:
        yield Line(_FIT, "AIC", format_number(fit["aic"]))


def _methods(models: Mapping[str, Model], asked: _Asked) -> Iterator[str]:
    """Yield the sentences of the note."""
    linear = [model for model in models.values() if isinstance(model, LinearMixedModel)]
    if linear:
        methods = sorted({"REML" if model.reml else "maximum likelihood" for model in linear})
        subject = "Linear mixed model" if len(linear) == 1 else "Linear mixed models"
        yield (
            f"{subject} fitted by {' and '.join(methods)}; t tests and intervals with "
            f"{_DF_WORDS[asked.df_method]}."
        )
    for name, model in models.items():
        if isinstance(model, GeneralizedLinearMixedModel):
            yield _generalized(f"{name}: " if name else "", model, asked)
        else:
            heading = f"{name}: " if name else ""
            yield from (_sentence(f"{heading}{said}") for said in _residual(model))
    yield "Random effects as standard deviations and correlations."
    flat = [name for name, model in models.items() if model.singular]
    if flat:
        which = f": {', '.join(flat)}" if any(flat) else ""
        yield f"Boundary (singular) fit{which}."
    lost = [name for name, model in models.items() if not model.convergence.converged]
    if lost:
        which = f": {', '.join(lost)}" if any(lost) else ""
        yield f"Not converged{which}."


def _generalized(heading: str, model: GeneralizedLinearMixedModel, asked: _Asked) -> str:
    how = "Laplace" if model.nodes == 1 else f"quadrature with {model.nodes} nodes"
    text = (
        f"{heading}generalized linear mixed model ({model.family.name}, {model.family.link} link), "
        f"maximum likelihood ({how}), Wald z tests and intervals; coefficients "
    )
    if _measure(model, asked) == "b":
        text += f"on the {model.family.link} scale"
    else:
        text += (
            f"as {_RATIOS[model.family.link][1]}, for units with the same random effects; "
            "intercepts, which are no ratios, are left out"
        )
    return _sentence(text)


def _residual(model: LinearMixedModel) -> Iterator[str]:
    """Yield what was said of the residual that no line of the table shows."""
    if model.problem.known:
        yield "sampling variances of rows are known"
    elif np.ptp(model.design.root_weights) > 0:
        yield "rows are weighted; the residual SD is that of a row of weight 1"
    for structure in model.fit.structures:
        if isinstance(structure, AR1 | CAR1):
            yield f"{type(structure).__name__} residuals over {structure.time}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
