"""Linear mixed models side by side, as papers print them."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.formatting import (
    format_bounded,
    format_count,
    format_interval,
    format_number,
    format_p,
    format_percent,
)
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.tables.report import ReportTable

__all__ = ["model_table"]

DfMethod = Literal["satterthwaite", "kenward-roger", "normal"]
_DF_WORDS = {
    "satterthwaite": "Satterthwaite df",
    "kenward-roger": "Kenward-Roger standard errors and df",
    "normal": "normal quantiles",
}
_RESIDUAL = "Residual SD"
Key = tuple[str, str]  # section, row
Cells = tuple[str, str]  # number, p
_SECTIONS = ("Fixed effects", "Random effects", "Sizes", "Fit")


def model_table(
    models: Mapping[str, LinearMixedModel],
    *,
    label: str,
    caption: str,
    note: str = "",
    terms: Mapping[str, str] | None = None,
    df_method: DfMethod = "satterthwaite",
    conf_level: float = 0.95,
    digits: int = 2,
) -> ReportTable:
    """Print linear mixed models side by side: coefficients, SDs by level, sizes, fit.

    Parameters
    ----------
    models
        Heading -> fitted model, in the order to print.
    note
        What to say beside the estimator, the df method and the interval, which are always said.
    terms
        Coefficient -> words for it; others stand under their own names, so that none is left out.
    df_method
        As in :meth:`LinearMixedModel.tidy`.
    digits
        Decimals of coefficients, their limits, and SDs.

    Returns
    -------
    ReportTable
        Two columns a model: estimate with its interval, and p. A coefficient that a model does
        not have is left blank. AIC is printed for maximum-likelihood fits only: restricted
        likelihoods of different fixed parts do not compare.
    """
    if not models:
        raise DataError("models is empty: name at least one model.")
    words = dict(terms or {})
    parts = [
        _fixed_cells(model.tidy(df_method=df_method, conf_level=conf_level), words, digits)
        | _random_cells(model.tidy(effects="ran_pars"), words, digits)
        | _fit_cells(model)
        for model in models.values()
    ]
    keys = list(dict.fromkeys(key for part in parts for key in part))
    keys.sort(key=_order)  # stable: within a section rows keep their order
    columns: dict[str, list[str]] = {"": [row for _, row in keys]}
    for name, part in zip(models, parts, strict=True):
        found = [part.get(key, ("", "")) for key in keys]
        columns[f"{name}: b [{format_percent(conf_level)} CI]"] = [cell for cell, _ in found]
        columns[f"{name}: p"] = [p for _, p in found]
    methods = {"REML" if model.reml else "maximum likelihood" for model in models.values()}
    said = (
        f"Linear mixed models fitted by {' and '.join(sorted(methods))}; t tests and intervals "
        f"with {_DF_WORDS[df_method]}. Random effects as standard deviations and correlations."
    )
    flat = [name for name, model in models.items() if model.singular]
    if flat:
        said += f" Boundary (singular) fit: {', '.join(flat)}."
    sections = tuple(section for section, _ in keys)
    return ReportTable(pd.DataFrame(columns), label, caption, f"{said} {note}".strip(), sections)


def _order(key: Key) -> tuple[int, bool]:
    """Order rows by section, the residual after all other SDs."""
    return _SECTIONS.index(key[0]), key[1] == _RESIDUAL


def _fixed_cells(tidy: pd.DataFrame, words: Mapping[str, str], digits: int) -> dict[Key, Cells]:
    """Return (section, row) -> (estimate with interval, p)."""
    cells = {
        (_SECTIONS[0], words.get(row.term, row.term)): (
            f"{format_number(row.estimate, digits)} "
            f"{format_interval(row.conf_low, row.conf_high, digits)}",
            format_p(row.p_value),
        )
        for row in tidy.itertuples()
    }
    if len(cells) != len(tidy):
        raise DataError("Two coefficients have the same name in terms=; each needs its own row.")
    return cells


def _random_cells(tidy: pd.DataFrame, words: Mapping[str, str], digits: int) -> dict[Key, Cells]:
    cells: dict[Key, Cells] = {}
    for row in tidy.itertuples():
        kind, _, names = row.term.partition("__")
        if kind == "cor":
            pair = " and ".join(words.get(name, name) for name in names.split(".", 1))
            name, number = f"{row.group}: correlation of {pair}", format_bounded(row.estimate)
        else:
            name = f"{row.group}: SD of {words.get(names, names)}"
            number = format_number(row.estimate, digits)
        cells[_SECTIONS[1], _RESIDUAL if row.group == "Residual" else name] = (number, "")
    return cells


def _fit_cells(model: LinearMixedModel) -> dict[Key, Cells]:
    fit = model.glance().iloc[0]
    cells: dict[Key, Cells] = {(_SECTIONS[2], "Observations"): (format_count(fit["nobs"]), "")}
    for name in fit.index[fit.index.str.startswith("n_") & (fit.index != "n_parameters")]:
        cells[_SECTIONS[2], f"Units: {name[2:]}"] = (format_count(fit[name]), "")
    criterion = "Log-likelihood, restricted" if model.reml else "Log-likelihood"
    cells[_SECTIONS[3], criterion] = (format_number(fit["log_lik"]), "")
    if not model.reml:
        cells[_SECTIONS[3], "AIC"] = (format_number(fit["aic"]), "")
    return cells
