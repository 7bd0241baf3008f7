"""Analysis of variance from a frame: factors between and within persons, covariates."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from alliance_stats.association.analysis_of_variance import AnalysisOfVariance
from alliance_stats.association.variance_analysis import (
    Effect,
    Kind,
    between_columns,
    variance_analysis,
)
from alliance_stats.checks import (
    check_choice,
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
    units_with_several,
)
from alliance_stats.design.formula import OwnColumn
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.spelling import check_spelling

__all__ = ["anova"]

_SQUARED = (1e-150, 1e150)  # deviations whose squares a double holds
_KINDS = ("I", "II", "III")


def anova(
    data: pd.DataFrame,
    *,
    outcome: str,
    between: str | Sequence[str] = (),
    within: str | Sequence[str] = (),
    person: str | None = None,
    covariates: str | Sequence[str] = (),
    observed: str | Sequence[str] = (),
    kind: Kind = "III",
) -> AnalysisOfVariance:
    """Run an analysis of variance: one- or two-way, repeated-measures, mixed, with covariates.

    Parameters
    ----------
    data
        One row per person, or (with `within`) one row per person and cell.
    outcome
        Numeric column.
    between
        Factors between persons, crossed with one another.
    within
        Factors within persons, crossed; a person who lacks a cell is excluded entirely and counted.
        A mixed model (``lmm``) keeps such persons and does not assume sphericity.
    person
        Column of persons; required with `within`.
    covariates
        Numeric columns, constant within persons, centred at their mean.
    observed
        Factors that were observed, not manipulated, for generalized eta squared.
    kind
        Sums of squares ``"I"``, ``"II"`` or ``"III"`` (with factors coded to sum to zero), which
        differ where groups differ in size. Type I enters covariates first, then factors as given.

    Returns
    -------
    AnalysisOfVariance
        With ``tidy()``, ``glance()``, ``planned()``, ``summary()``; ``cells`` has the means.

    Raises
    ------
    DataError
        A column that does not exist or is not numeric; a person twice in a cell; a between factor
        that varies within a person.
    NotIdentifiedError
        A factor with one level, a constant outcome, a combination of factors without a person, too
        few complete persons.

    Notes
    -----
    Sums of squares are those of R's ``car::Anova`` (types II and III) and ``aov`` (type I).

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import anova
    >>> scores = pd.DataFrame({"group": list("aaabbb"), "after": [4, 5, 6, 7, 8, 9]})
    >>> float(anova(scores, outcome="after", between="group").tidy()["statistic"].iloc[0].round(6))
    13.5
    """
    check_choice(kind, _KINDS, name="kind")
    data = check_frame(data)
    b, w, c, seen = (_listed(x) for x in (between, within, covariates, observed))
    _check_design(b, w, c, seen, person, outcome)
    require_columns(data, [outcome, *b, *w, *c, person])
    for name in (*b, *w, *([person] if person else [])):
        check_spelling(data[name], kind="level")
    for name in c:
        finite_or_missing(data, name)  # refuses what is no number
    long, rows = _complete(data, outcome, person, [*b, *w, *c])
    _check_levels(long, (*b, *w))
    if person is not None and w:
        used, Y, cells, rows = _wide(long, outcome, b, w, c, person, rows)
    else:
        _check_once(long, person)
        used, Y, cells = long, long[outcome].to_numpy()[:, None], pd.DataFrame(index=[0])
    _check_levels(used, b)
    scale = _scale(Y, outcome)
    columns = between_columns(
        [(name, *_codes(used[name])) for name in b],
        [(name, used[name].to_numpy(dtype=np.float64)) for name in c],
    )
    factors = [(name, cells[name].nunique()) for name in w]
    found = variance_analysis((Y - Y.mean()) / scale, columns, factors, kind=kind)
    effects = tuple(_scaled(effect, scale**2) for effect in found)
    groups = used[list(b)].reset_index(drop=True)
    notes = _notes(rows, person, w)
    table = _cell_table(Y, groups, cells)
    return AnalysisOfVariance(
        outcome, b, w, c, seen, kind, effects, table, Y, cells, groups, person, long, notes, rows
    )


def _complete(
    data: pd.DataFrame, outcome: str, person: str | None, others: list[str]
) -> tuple[pd.DataFrame, RowLedger]:
    """Return the requested columns on complete rows, the outcome as a number."""
    rows = RowLedger.start(data, {person: (person,)} if person else None)
    names = [*([person] if person else []), *others, outcome]
    used = replaced(data[names], {outcome: finite_or_missing(data, outcome)})
    for name in used.columns:
        used, rows = rows.keep(used, used[name].notna().to_numpy(), reason=f"'{name}' is missing")
    if len(used) == 0:
        raise DataError(f"No row has all that is needed: {rows}")
    return used, rows


def _check_once(used: pd.DataFrame, person: str | None) -> None:
    if person is not None and used[person].duplicated().any():
        twice = used[person].duplicated(keep=False).to_numpy()
        raise DataError(
            f"'{person}' has several rows ({describe_rows(twice, used.index)}); name the "
            "factor that tells them apart in within=, or keep one row per person."
        )


def _scale(Y: Array, outcome: str) -> float:
    """Return the largest distance from the mean, the unit in which squares are taken."""
    if np.ptp(Y) == 0.0:
        raise NotIdentifiedError(f"'{outcome}' is {Y.flat[0]:g} everywhere: it has no variance.")
    scale = float(np.abs(Y - Y.mean()).max())
    if not _SQUARED[0] < scale < _SQUARED[1]:
        raise DataError(
            f"'{outcome}' has values too far from its mean, or too near, to be squared (up to "
            f"{scale:.3g}). Give it in another unit."
        )
    return scale


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)


def _check_design(  # noqa: PLR0917
    b: tuple[str, ...],
    w: tuple[str, ...],
    c: tuple[str, ...],
    observed: tuple[str, ...],
    person: str | None,
    outcome: str,
) -> None:
    if not b and not w:
        raise DataError("Name at least one factor, in between= or within=.")
    if w and person is None:
        raise DataError("Factors within persons need person=, the column of persons.")
    everything = [*b, *w, *c, outcome, *([person] if person else [])]
    twice = [name for name in everything if everything.count(name) > 1]
    if twice:
        raise DataError(f"'{twice[0]}' has two parts in the design; a column can have one.")
    strange = [name for name in observed if name not in (*b, *w)]
    if strange:
        raise DataError(f"observed= names '{strange[0]}', which is no factor of the design.")


def _check_levels(used: pd.DataFrame, factors: Sequence[str]) -> None:
    for name in factors:
        if used[name].nunique() < 2:
            raise NotIdentifiedError(
                f"'{name}' has one level in the rows used ('{used[name].iloc[0]}'): its effect "
                "cannot be estimated. Leave it out."
            )


def _wide(  # noqa: PLR0917
    used: pd.DataFrame,
    outcome: str,
    b: tuple[str, ...],
    w: tuple[str, ...],
    c: tuple[str, ...],
    person: str,
    rows: RowLedger,
) -> tuple[pd.DataFrame, Array, pd.DataFrame, RowLedger]:
    """Return one row per complete person, their cells, and what each cell is."""
    for name in (*b, *c):
        varying = units_with_several(used, unit=person, column=name)
        if len(varying):
            raise DataError(
                f"'{name}' varies within '{person}' '{varying[0]}', though it is said to be "
                "between persons. Name it in within=, or correct the rows."
            )
    twice = used.duplicated([person, *w], keep=False).to_numpy()
    if twice.any():
        raise DataError(
            f"A '{person}' appears twice in a cell of {', '.join(w)}: "
            f"{describe_rows(twice, used.index)}. Average such rows first, or fit a mixed model."
        )
    levels = [group_codes(used[name])[1] for name in w]
    cells = pd.DataFrame(list(itertools.product(*levels)), columns=list(w))
    complete = used.groupby(person, observed=True)[w[0]].transform("size") == len(cells)
    reason = f"'{person}' lacks a cell of {' x '.join(w)}"
    used, rows = rows.keep(used, complete.to_numpy(dtype=bool), reason=reason)
    if used[person].nunique() < 2:
        raise NotIdentifiedError(
            f"Fewer than two of '{person}' have all {len(cells)} cells of {' x '.join(w)}. A mixed "
            "model (lmm) uses persons with some of them."
        )
    codes = np.zeros(len(used), dtype=np.int64)
    for name, labels in zip(w, levels, strict=True):
        codes = codes * len(labels) + labels.get_indexer(used[name])
    order = np.lexsort([codes, pd.factorize(used[person])[0]])
    Y = used[outcome].to_numpy()[order].reshape(-1, len(cells))
    return used.iloc[order[:: len(cells)]], Y, cells, rows


def _codes(values: pd.Series) -> tuple[Integers, int]:
    codes, labels = group_codes(values)
    return codes, len(labels)


def _scaled(effect: Effect, factor: float) -> Effect:
    return replace(effect, ss=effect.ss * factor, ss_error=effect.ss_error * factor)


def _notes(rows: RowLedger, person: str | None, w: tuple[str, ...]) -> tuple[str, ...]:
    if not w or person is None:
        return ()
    lost = rows.steps[0].units_left[person] - rows.units(person)
    if not lost:
        return ()
    return (
        f"{plural(lost, 'person')} without all cells of {' x '.join(w)} were set aside. A mixed "
        "model (mixed_anova) keeps them, and is right where leaving depends on what was seen "
        "before.",
    )


_VALUE = OwnColumn("value")


def _cell_table(Y: Array, groups: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for place in range(Y.shape[1]):
        own = cells.iloc[[place] * len(Y)].reset_index(drop=True)
        parts.append(pd.concat([groups, own], axis=1))
        parts[-1][_VALUE] = Y[:, place]
    long = pd.concat(parts, ignore_index=True)
    # a factor keeps its name beside the columns of the result
    long = long.rename(columns={name: OwnColumn(name) for name in ("n", "mean", "sd")})
    names = [name for name in long.columns if name != _VALUE]
    table = long.groupby(names, observed=True, sort=True)[_VALUE].agg(["size", "mean", "std"])
    return table.rename(columns={"size": "n", "std": "sd"}).reset_index()
