"""Which test of a coefficient to trust with few units, according to simulated studies.

``type_one_errors.csv`` gives, by number of therapists, balance of caseloads and level of the
effect, each test's rejection rate of a true null hypothesis at .05; it is written by
``tests/simulation/few_therapists.py`` and shown in ``docs/coverage/few_therapists.md``.
``family_coverage.csv`` gives the coverage of intervals of generalized models; it is written by
``tests/simulation/family_coverage.py`` and shown in
``docs/coverage/families_of_few_therapists.md``.
"""

from collections.abc import Mapping
from importlib.resources import files

import numpy as np
import pandas as pd

from alliance_stats.design.groupings import Grouping
from alliance_stats.formatting import format_count, format_percent
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit

__all__ = ["covered", "few_unit_notes", "generalized_few_unit_notes", "rejection_rates"]

# Units beyond which nothing is said: all tests hold their level with 30; and up to which something
# is said of effects within units only.
MOST, FEW = 30, 10
# Units of a generalized model beyond which nothing is said.
FEW_OF_LINKS = 20
# How the table calls intervals by CR2, and the families that they were tried with, together.
ROBUST, ALL = "between by CR2", "all tried"
# Coefficients that a note names.
MOST_NAMED = 3
# How much larger the largest unit is than the smallest in a design of unequal sizes.
UNEVEN = 4.0
# Standard errors of a simulated rate above .05 that are chance, and the distance from .05 within
# which one test is as good as another.
CHANCE, NEAR = 2.5, 0.015

_CALLED = {
    "Satterthwaite": "Satterthwaite's",
    "Kenward-Roger": "Kenward-Roger's",
    "CR2": "CR2",
    "wild bootstrap": "wild_bootstrap",
    "permutation": "permutation_test",
}


def rejection_rates() -> pd.DataFrame:
    """Return the simulated table: ``therapists, sizes, effect, method, studies, rejected``."""
    with (files("alliance_stats.multilevel") / "type_one_errors.csv").open(
        encoding="utf-8"
    ) as file:
        return pd.read_csv(file)


def few_unit_notes(fit: LinearFit, called: Mapping[str, str]) -> list[str]:
    """Say which test to trust for coefficients of few units, and for those within units."""
    design = fit.design
    if not design.groupings or fit.problem.known:
        return []
    outer = min(design.groupings, key=lambda g: len(g.labels))
    n = len(outer.labels)
    if n > MOST:
        return []
    sizes = np.bincount(outer.codes, minlength=n)
    uneven = bool(sizes.max() >= UNEVEN * sizes.min())
    table = rejection_rates()
    table = table[
        (table["sizes"] == ("2 to 20" if uneven else "equal"))
        & table["method"].isin(_on_offer(fit, outer))
    ]
    nearest = min(table["therapists"].unique(), key=lambda known: abs(np.log(known / n)))
    own, within = (
        [called.get(name, name) for name in names] for names in _coefficients(fit, outer)
    )
    kind = f"{n} units of {outer.name} of {'unequal' if uneven else 'similar'} size"
    found = []
    if own:
        fewer = ", fewer than were simulated" if n < table["therapists"].min() else ""
        cell = table[(table["effect"] == "experience") & (table["therapists"] == nearest)]
        found.append(
            f"{_listed(own)}: told by {kind}{fewer}. "
            f"{_of_true_nulls(cell, f'of {nearest} such units', singular=fit.singular)}"
        )
    if within and (own or n <= FEW):  # the number of units does not tell there
        cell = table[table["effect"] == "treated"]
        said = _of_true_nulls(cell, "of 6 to 30 such units", singular=False)
        found.append(f"{_listed(within)}: told within {kind}. {said}")
    return found


def covered() -> pd.DataFrame:
    """Return the simulated table of :func:`generalized_few_unit_notes`, by family and effect.

    ``family, therapists, effect, studies, refused, held_0.95, held_0.97, held_0.98, held_0.99``;
    of the families tried with CR2, together: 95% intervals of an effect of units.
    """
    with (files("alliance_stats.multilevel") / "family_coverage.csv").open(
        encoding="utf-8"
    ) as file:
        return pd.read_csv(file)


def generalized_few_unit_notes(fit: GeneralizedFit) -> list[str]:
    """Say how far to trust intervals for effects of few units and for their SD."""
    if not fit.design.groupings:
        return []
    outer = min(fit.design.groupings, key=lambda g: len(g.labels))
    n = len(outer.labels)
    if n > FEW_OF_LINKS:
        return []
    own = _coefficients(fit, outer)[0]
    table = covered()
    robust = table[table["effect"] == ROBUST]
    table = table[table["family"] != ALL]
    sums = table.groupby("effect").sum(numeric_only=True)
    known = int(table["therapists"].iloc[0])

    def held(effect: str, level: str) -> str:
        return _share(sums.loc[effect, f"held_{level}"], sums.loc[effect, "studies"])

    effects = ""
    if own:
        effects = (
            f"95% intervals of an effect of units ({_listed(own)}) held the truth in "
            f"{held('between', '0.95')}, those at the 98% level in {held('between', '0.98')}"
        )
        if _contains_all(fit, outer):
            shares = ", ".join(map(_share, robust["held_0.95"], robust["studies"]))
            sizes = ", ".join(map(str, robust["therapists"]))
            effects += f", those of vcov=CR2({outer.name!r}) in {shares} with {sizes} units"
        effects += "; "
    return [
        f"{n} units of {outer.name}: in {format_count(int(sums.loc['sd', 'studies']))} simulated "
        f"studies of {known} units, all kinds of outcomes together, {effects}95% profile intervals "
        f"of the SD held {'it' if own else 'the truth'} in {held('sd', '0.95')}, those at the "
        f"98% level in {held('sd', '0.98')}."
    ]


def _coefficients(fit: LinearFit | GeneralizedFit, outer: Grouping) -> tuple[list[str], list[str]]:
    """Names of coefficients whose columns are constant within units, and of those that vary."""
    X = fit.design.X
    first = np.unique(outer.codes, return_index=True)[1]
    off = np.abs(X - X[first][outer.codes]).max(axis=0) > 1e-9 * np.abs(X).max(axis=0)
    names = [fit.design.fixed.names[i] for i in fit.design.fixed.kept]
    varies = np.ptp(X, axis=0) > 0.0
    own = [name for name, out, some in zip(names, off, varies, strict=True) if some and not out]
    return own, [name for name, out in zip(names, off, strict=True) if out]


def _on_offer(fit: LinearFit, outer: Grouping) -> set[str]:
    """Return the tests available for this model."""
    found = {"Satterthwaite"}
    if fit.problem.reml and fit.problem.shape is None:
        found.add("Kenward-Roger")
    nested = {"CR2", "wild bootstrap", "permutation"}
    return found | (nested if _contains_all(fit, outer) else set())


def _contains_all(fit: LinearFit | GeneralizedFit, outer: Grouping) -> bool:
    """Whether every random effect lies within the units, as CR2 asks for."""
    homes = [
        pd.Series(outer.codes).groupby(other.codes).nunique().max()
        for other in fit.design.groupings
    ]
    return bool(max(homes) == 1)


def _share(held: float, studies: float) -> str:
    return format_percent(float(held / studies), 0)


def _listed(names: list[str]) -> str:
    """Name the first ones, and say how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:MOST_NAMED])} and {more} more"


def _of_true_nulls(cell: pd.DataFrame, of: str, *, singular: bool) -> str:
    """Say how often each test rejected true null hypotheses, and which to trust.

    Where a variance is at zero, Satterthwaite's df are those of a model without its units, and are
    not among the trusted unless there is no alternative: the rates are for all fits together.
    """
    sums = cell.groupby("method")[["studies", "rejected"]].sum()
    rates = {m: float(sums.loc[m, "rejected"] / sums.loc[m, "studies"]) for m in _CALLED
             if m in sums.index}  # fmt: skip
    studies = int(sums["studies"].max())
    told = ", ".join(f"{_CALLED[method]} in {format_percent(r, 1)}" for method, r in rates.items())
    good = _trusted(rates, studies)
    if singular:
        good = [method for method in good if method != "Satterthwaite"] or good
    trusted = "any" if len(good) == len(rates) else " or ".join(_CALLED[m] for m in good)
    return (
        f"At .05, true null hypotheses in {format_count(studies)} simulated studies {of} were "
        f"rejected by {told}: trust {trusted}."
    )


def _trusted(rates: Mapping[str, float], studies: int) -> list[str]:
    """Return the tests that keep their level and come nearest to it, in the order of the table."""
    limit = 0.05 + CHANCE * float(np.sqrt(0.05 * 0.95 / studies))
    holding = {method: rate for method, rate in rates.items() if rate <= limit}
    if not holding:
        return [min(rates, key=lambda method: rates[method])]
    nearest = min(abs(rate - 0.05) for rate in holding.values())
    return [m for m, rate in holding.items() if abs(rate - 0.05) <= max(NEAR, nearest)]
