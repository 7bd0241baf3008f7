"""Mediation of rows in units: paths within and between, never a mixture of both."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from alliance_stats.association.mediation.equations import Asked
from alliance_stats.association.mediation.paths import Effect, Paths
from alliance_stats.association.mediation.two_levels import TwoLevels, fit_two_levels
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["MediatedLevels", "fit_levels"]

_STILL = 1e-10  # of a column's SD, under which it does not vary within a unit


@dataclass(frozen=True, slots=True, eq=False)
class MediatedLevels:
    """Paths within and between units.

    Attributes
    ----------
    design
        ``"1-1-1"``, ``"2-1-1"`` or ``"2-2-1"``: the levels of treatment, mediators and outcome.
    table
        ``level, from, to, place``.
    paths
        The paths.
    effects
        Indirect, direct and total effect of each level.
    model
        The fitted two-level model.
    """

    design: str
    table: pd.DataFrame
    paths: Paths
    effects: list[Effect]
    model: TwoLevels


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which variables vary within units, and which are the units' own."""

    inside: tuple[str, ...]
    own: tuple[str, ...]

    def split(self, names: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Return places of `names` among the inside ones and (after the constant) the own ones."""
        return (
            [self.inside.index(n) for n in names if n in self.inside],
            [1 + self.own.index(n) for n in names if n in self.own],
        )


def fit_levels(
    asked: Asked, columns: dict[str, Array], units: npt.NDArray[np.int64], unit: str
) -> MediatedLevels:
    """Fit the two-level model and name its paths.

    Raises
    ------
    DataError
        An outcome that is the units' own, or a mediator above its treatment.
    NotIdentifiedError
        Too few units, or one without variation between.
    """
    still = {name: _still(values, units) for name, values in columns.items()}
    x, mediators, y = asked.treatment, asked.mediators, asked.outcome
    if still[y]:
        raise DataError(
            f"'{y}' is the same in all rows of a '{unit}': it belongs to the units. Keep a row a "
            f"unit and leave nested_in out."
        )
    up = [m for m in mediators if still[m] and not still[x]]
    if up:
        raise DataError(
            f"'{up[0]}' is the same in all rows of a '{unit}', but '{x}' varies within: within "
            f"units nothing can go by way of it. Average '{x}' over each '{unit}' first."
        )
    mixed = {still[m] for m in mediators}
    if len(mixed) > 1:
        raise DataError(f"Of the mediators some vary within '{unit}' and some do not: fit each.")
    names = (x, *asked.covariates, *mediators, y)
    found = _Columns(tuple(n for n in names if not still[n]), tuple(n for n in names if still[n]))
    first = np.unique(units, return_index=True)[1]
    known = np.column_stack([np.ones(len(first)), *(columns[n][first] for n in found.own)])
    Z = np.column_stack([columns[n] for n in found.inside])
    model = fit_two_levels(Z, units, known)
    level_2 = still[x], mixed.pop()
    design = f"{1 + level_2[0]}-{1 + level_2[1]}-1"
    table = _table(asked, within=not level_2[0], both=not level_2[1])
    paths = _paths(asked, found, model, table, known)
    return MediatedLevels(design, table, paths, _effects(asked, table), model)


def _still(values: Array, units: npt.NDArray[np.int64]) -> bool:
    means = (np.bincount(units, weights=values) / np.bincount(units))[units]
    spread = float(values.std())
    if spread == 0.0:
        raise NotIdentifiedError("A column of the model is the same in all rows.")
    return bool(np.abs(values - means).max() <= _STILL * max(spread, np.abs(values).max()))


def _table(asked: Asked, *, within: bool, both: bool) -> pd.DataFrame:
    """Return the paths: of the treatment within too if it varies there, of mediators likewise."""
    rows = []
    for level in ("within", "between"):
        whole = within or level == "between"
        rows += [(level, asked.treatment, m) for m in asked.mediators if whole]
        rows += [(level, m, asked.outcome) for m in asked.mediators if both or level == "between"]
        rows += [(level, asked.treatment, asked.outcome)] if whole else []
    table = pd.DataFrame(rows, columns=["level", "from", "to"])
    return table.assign(place=np.arange(len(table)))


def _paths(
    asked: Asked, found: _Columns, model: TwoLevels, table: pd.DataFrame, known: Array
) -> Paths:
    above = [m in found.own for m in asked.mediators]
    own = table["to"].isin([m for m, up in zip(asked.mediators, above, strict=True) if up])
    modelled = table[~own.to_numpy()]

    def of(W: Array, B: Array, beta: Array) -> Array:
        values = []
        for row in modelled.itertuples():
            names = (asked.treatment, *asked.covariates)
            if row.to == asked.outcome:
                names = (*names, *asked.mediators)
            if row.level == "within":
                names = tuple(name for name in names if name in found.inside)
            values.append(_path(found, W if row.level == "within" else B,
                                None if row.level == "within" else beta,
                                names, str(row[2]), str(row.to)))  # fmt: skip
        return np.array(values)

    estimate, V = np.full(len(table), np.nan), np.zeros((len(table), len(table)))
    df = np.full(len(table), np.inf)
    places = modelled["place"].to_numpy()
    estimate[places], V[np.ix_(places, places)] = model.delta(of)
    for place, row in zip(table["place"], table.itertuples(), strict=True):
        if row.to in found.own:  # a mediator of the units: least squares, a row a unit
            names = [n for n in (asked.treatment, *asked.covariates) if n in found.own]
            X = known[:, [0, *(1 + found.own.index(n) for n in names)]]
            target = known[:, 1 + found.own.index(str(row.to))]
            b, *_ = linalg.lstsq(X, target)
            df[place] = len(X) - X.shape[1]
            left = target - X @ b
            bread = linalg.inv(X.T @ X)
            estimate[place] = b[1]
            V[place, place] = float(left @ left) / df[place] * bread[1, 1]
    return Paths(estimate, V, df)


def _path(  # noqa: PLR0917
    found: _Columns, S: Array, beta: Array | None, names: tuple[str, ...], source: str, target: str
) -> float:
    """Return the coefficient of `source` in the regression of `target` on `names` at a level."""
    inside, _ = found.split(names)
    t = found.inside.index(target)
    slopes = linalg.solve(S[np.ix_(inside, inside)], S[inside, t]) if inside else np.zeros(0)
    if source in found.inside:
        return float(slopes[inside.index(found.inside.index(source))])
    assert beta is not None
    left = beta[:, t] - beta[:, inside] @ slopes
    return float(left[1 + found.own.index(source)])


def _effects(asked: Asked, table: pd.DataFrame) -> list[Effect]:
    effects = []
    place = {(r.level, r[2], r.to): int(r.place) for r in table.itertuples()}
    levels = table.loc[table["from"] == asked.treatment, "level"]
    for level in dict.fromkeys(levels):
        x, y = asked.treatment, asked.outcome
        ways = [
            Effect(f"indirect by way of {m}", level, np.nan,
                   ((1.0, (place[level, x, m], place[level, m, y])),))
            for m in asked.mediators
        ]  # fmt: skip
        whole = tuple(part for way in ways for part in way.parts)
        direct = ((1.0, (place[level, x, y],)),)
        effects += ways
        if len(ways) > 1:
            effects.append(Effect("indirect", level, np.nan, whole))
        effects.append(Effect("direct", level, np.nan, direct))
        effects.append(Effect("total", level, np.nan, (*whole, *direct)))
    return effects
