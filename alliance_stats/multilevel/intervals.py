"""Profile and bootstrap intervals put into a model's tidy frame."""

import warnings
from typing import TYPE_CHECKING

import pandas as pd

from alliance_stats.errors import AllianceStatsWarning, ConvergenceWarning
from alliance_stats.multilevel.bootstrap import Bootstrap, parametric_bootstrap
from alliance_stats.multilevel.profile import profile

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["with_intervals"]

DRAWS = 1000


def with_intervals(
    model: "LinearMixedModel",
    table: pd.DataFrame,
    ci_method: str,
    *,
    conf_level: float,
    seed: int | None,
) -> pd.DataFrame:
    """Replace the limits of a table of coefficients or random parameters."""
    names = [_name(row) for row in table.itertuples(index=False)]
    if ci_method == "profile":
        terms = [n for n, value in zip(names, table["estimate"], strict=True) if pd.notna(value)]
        fixed = bool((table["effect"] == "fixed").all())
        likelihood = "ML" if fixed or not model.reml else "REML"
        found = profile(model, terms=terms, likelihood=likelihood).tidy(conf_level=conf_level)
    else:
        if seed is None:
            raise ValueError("A bootstrap needs seed=, so that it can be repeated.")
        draws = parametric_bootstrap(model, n=DRAWS, seed=seed)
        found = draws.tidy(conf_level=conf_level)
        _warn(draws, found.set_index("term")["note"].reindex(names).dropna())
    limits = found.set_index("term").reindex(names)
    return table.assign(
        conf_low=limits["conf_low"].to_numpy(), conf_high=limits["conf_high"].to_numpy()
    )


def _warn(draws: Bootstrap, notes: pd.Series) -> None:
    """Say what a frame of estimates has no column for."""
    if draws.n_unconverged:
        warnings.warn(draws.notes[0], ConvergenceWarning, stacklevel=5)
    for term, note in notes[notes != ""].items():
        warnings.warn(f"Bootstrap: {term} is {note}.", AllianceStatsWarning, stacklevel=5)


def _name(row: object) -> str:
    """Name of a parameter in profiles and bootstraps."""
    effect, group, level, term = (getattr(row, x) for x in ("effect", "group", "level", "term"))
    if effect == "fixed":
        return str(term)
    return f"{group}|{term}" + ("" if level is None else f"|{level}")
