"""What a session-to-session model cannot show, in full sentences, most serious first."""

from collections.abc import Mapping, Sequence

import numpy as np

from alliance_stats.formatting import format_number, format_percent, plural
from alliance_stats.panel.lag_tables import largest_root
from alliance_stats.panel.session_table import LaggedModel

__all__ = ["notes_on"]

# Roots from here on fade so slowly that stable differences and what carries over look alike.
NEAR_ONE = 0.9
FEW_SESSIONS = 4
FEW_UNITS = 20
FEW_PERSONS = 100
# Share of ratings at the end of their range from which the model's normality is in doubt.
AT_THE_END = 0.15
# Times that not knowing the stable differences raises a lagged effect's variance, called weak.
WEAK = 3.0


def notes_on(
    model: LaggedModel, *, reliability: Mapping[str, float | str], order: Sequence[str] | None
) -> tuple[str, ...]:
    """Return the notes."""
    notes = [*_on_the_fit(model), *_on_roots(model), *_on_sizes(model), *_on_ends(model)]
    perfect = [name for name, value in reliability.items() if value == 1.0]
    if perfect and model.options.lagged:
        notes.append(
            f"Ratings of {' and '.join(perfect)} are taken to be free of error; error of "
            "measurement draws lagged effects towards zero, however many sessions there are. "
            "reliability= puts it into the model, and sensitivity() shows what it does."
        )
    if model.options.start == "free" and model.options.lagged:
        notes.append(
            "People are taken to begin treatment at a distance from their own level that has "
            "nothing to do with that level; tests() tests it."
        )
    if not np.isfinite(model.table.y).all():
        notes.append(
            "Ratings that are missing are taken as missing at random, given those that were made."
        )
    if order is None and len(model.table.outcomes) > 1:
        notes.append(
            "No order of rating within a session was given, so nothing is said on what acts on "
            "what inside it."
        )
    return tuple(notes)


def _on_the_fit(model: LaggedModel) -> list[str]:
    fit, notes = model.fit, []
    if not fit.identified:
        notes.append(
            "The data do not tell the parameters apart (the information is singular), so there are "
            "no standard errors. Fewer parameters help: start='stationary', lags='equal', "
            "trends=None."
        )
    elif not fit.converged:
        notes.append(
            "The search stopped where the likelihood was not flat: do not use these numbers."
        )
    elif (inflation := _inflation(model)) > WEAK:
        notes.append(
            "Lagged effects and stable differences are hardly told apart by these data (were the "
            "stable differences known, the variance of a lagged effect would be "
            f"{format_number(inflation, 0)} times smaller): intervals are wide and depend on the "
            "model's form."
        )
    if fit.at_zero.any():
        said = f"On the boundary: {', '.join(_zeros(model))}."
        if model.options.lagged:
            said += (
                " Standard errors and intervals of lagged effects take that for known and are too "
                "short; profile() gives intervals that do not."
            )
        notes.append(said)
    return notes


def _inflation(model: LaggedModel) -> float:
    """Return how much, at most, not knowing persons' covariance raises a lagged effect's variance.

    From the information at the fit: variances of the lagged effects over those with the parameters
    of persons' covariance held fixed.
    """
    free, parameters = model.fit.free, model.parameters
    lags = np.unique(parameters.phi[parameters.phi >= 0])
    lags = lags[free[lags]]
    if not len(lags):
        return 1.0
    stable = np.unique(parameters.person)
    others = np.flatnonzero(free & ~np.isin(np.arange(len(free)), stable))
    scaled = model.vcov / np.outer(model.unit, model.unit)
    information = np.linalg.inv(scaled[np.ix_(free, free)])
    place = np.cumsum(free) - 1
    held = np.linalg.inv(information[np.ix_(place[others], place[others])])
    at = np.searchsorted(others, lags)
    return float((np.diag(scaled)[lags] / np.diag(held)[at]).max())


def _zeros(model: LaggedModel) -> list[str]:
    """Name what is estimated as zero."""
    parameters, table = model.parameters, model.table
    zero = set(np.flatnonzero(model.fit.at_zero).tolist())
    found = []
    parts = [(table.names["person"], index) for index in parameters.person]
    parts += list(zip(table.nested_in, parameters.above, strict=True))
    for level, index in parts:
        if zero & set(index.ravel().tolist()):
            found.append(f"a variance between units of {level} is zero, or a correlation 1 or -1")
    for g in range(parameters.n_groups):
        for k, outcome in enumerate(table.outcomes):
            if int(parameters.error[g, k]) in zero:
                found.append(f"the error variance of {outcome} is zero")
        if zero & set(parameters.innovation[g].ravel().tolist()):
            found.append("the covariance of what is new at a session has lost a dimension")
        if not parameters.unlagged and zero & set(parameters.first[g].ravel().tolist()):
            found.append("the covariance at the first session has lost a dimension")
    return list(dict.fromkeys(found))


def _on_roots(model: LaggedModel) -> list[str]:
    if not model.options.lagged:
        return []
    root = float(largest_root(model).max())
    shown = format_number(root, 3)
    if root >= 1.0:
        return [
            f"The lagged effects do not die out (largest root {shown}): deviations grow from "
            "session to session, and there is no long run."
        ]
    if root > NEAR_ONE:
        return [
            f"Deviations fade slowly (largest root {shown}): long-run effects are unstable, and "
            "stable differences are hard to tell from slow change; consider trends='linear'."
        ]
    return []


def _on_sizes(model: LaggedModel) -> list[str]:
    table, notes = model.table, []
    T = len(table.sessions)
    if T == 3 and model.options.lagged:
        notes.append(
            "Three sessions hardly identify lagged effects beside stable differences; four or "
            "more are wanted."
        )
    elif model.options.lagged:
        per_person = float(np.median(np.isfinite(table.y).any(axis=1).sum(axis=0)))
        if per_person <= FEW_SESSIONS:
            notes.append(
                f"Half of the persons were rated at {per_person:g} sessions or fewer: what is "
                "said on lagged effects rests on the others and on the model."
            )
    n = len(table.persons)
    if n < FEW_PERSONS:
        notes.append(
            f"{plural(n, 'person')}: standard errors by maximum likelihood are for larger samples."
        )
    for level in table.nested_in:
        units = len(np.unique(table.units[level]))
        if units < FEW_UNITS:
            notes.append(
                f"{units} units of {level}: their variances are known poorly"
                + (
                    "."
                    if model.options.reml
                    else ", and are estimated too small by maximum likelihood."
                )
            )
    return notes


def _on_ends(model: LaggedModel) -> list[str]:
    notes = []
    for k, outcome in enumerate(model.table.outcomes):
        values = model.table.y[:, k]
        values = values[np.isfinite(values)]
        for end, name in ((values.max(), "highest"), (values.min(), "lowest")):
            share = float((values == end).mean())
            if share > AT_THE_END:
                notes.append(
                    f"{format_percent(share)} of the ratings of {outcome} stand at their {name} "
                    f"value ({end:g}): change beyond it is not seen, and lagged effects are drawn "
                    "towards zero."
                )
    return notes
