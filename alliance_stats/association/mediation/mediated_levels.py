"""Mediation of rows in units: paths within and between, never a mixture of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.association.mediation.asked import Asked
from alliance_stats.association.mediation.equations import Effect, Leg, Paths, Way, times
from alliance_stats.association.mediation.two_levels import TwoLevels, fit_two_levels
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["MediatedLevels", "fit_levels", "level_design"]

_STILL = 1e-10  # of a column's SD, under which it does not vary within a unit


@dataclass(frozen=True, slots=True, eq=False)
class MediatedLevels:
    """Paths within and between units.

    Attributes
    ----------
    asked
        What mediates what.
    table
        ``level, from, to, place``.
    paths
        The paths.
    model
        The fitted two-level model.
    of
        The paths as functions of its covariances and coefficients (those of `modelled`).
    modelled
        Places of the paths that are such functions; the others are least squares of units.
    """

    asked: Asked
    table: pd.DataFrame
    paths: Paths
    model: TwoLevels
    of: "_LevelPaths"
    modelled: Integers

    def ways(self) -> tuple[Way, ...]:
        """Return indirect, direct and total effect of each level."""
        asked, found = self.asked, []
        x, y = asked.treatment, asked.outcome
        for level in self._levels:
            indirect = [
                Way(f"indirect through {m}", level,
                    times(self._leg(level, x, m), self._leg(level, m, y)))
                for m in asked.mediators
            ]  # fmt: skip
            whole = tuple(part for way in indirect for part in way.parts)
            direct = self._leg(level, x, y)
            found += indirect
            found += [Way("indirect", level, whole)] if len(indirect) > 1 else []
            found += [Way("direct", level, direct), Way("total", level, (*whole, *direct))]
        return tuple(found)

    def indices(self) -> tuple[Effect, ...]:
        """Return the indices of moderated mediation (Hayes 2015)."""
        asked, place = self.asked, self._place
        if len(set(asked.moderates) & {"a", "b"}) != 1:
            return ()
        x, y, w, by_a = asked.treatment, asked.outcome, asked.moderator, "a" in asked.moderates
        return tuple(
            Effect(
                asked.index_term(m), level, np.nan,
                ((1.0, (place[level, f"{x} x {w}" if by_a else x, m],
                        place[level, m if by_a else f"{m} x {w}", y])),),
            )
            for level in self._levels for m in asked.mediators
        )  # fmt: skip

    @property
    def _levels(self) -> list[str]:
        own = self.table["from"] == self.asked.treatment
        return list(dict.fromkeys(self.table.loc[own, "level"]))

    @property
    def _place(self) -> dict[tuple[str, str, str], int]:
        return {(r.level, r[2], r.to): int(r.place) for r in self.table.itertuples()}

    def _leg(self, level: str, source: str, target: str) -> Leg:
        place = self._place
        own = (0, (place[level, source, target],))
        if not self.asked.moderated(source, target):
            return (own,)
        return (own, (1, (place[level, f"{source} x {self.asked.moderator}", target],)))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which variables vary within units, and which are constant within them."""

    inside: tuple[str, ...]
    own: tuple[str, ...]

    def inner(self, names: Sequence[str]) -> list[int]:
        """Return places of `names` among those that vary within units."""
        return [self.inside.index(n) for n in names if n in self.inside]


@dataclass(frozen=True, slots=True, eq=False)
class _LevelPaths:
    """The paths that are functions of a two-level model's covariances and coefficients."""

    asked: Asked
    columns: _Columns
    rows: tuple[tuple[str, str, str], ...]

    def __call__(self, W: Array, B: Array, beta: Array) -> Array:
        """Return the paths, (..., paths) of covariances (..., d, d) and coefficients."""
        return np.stack([self._path(W, B, beta, *row) for row in self.rows], axis=-1)

    def _path(  # noqa: PLR0917
        self, W: Array, B: Array, beta: Array, level: str, source: str, target: str
    ) -> Array:
        """Return the coefficient of `source` in the regression of `target` at a level."""
        asked, columns = self.asked, self.columns
        names = (asked.treatment, *asked.covariates)
        if target == asked.outcome:
            names = (*names, *asked.mediators)
        S = W if level == "within" else B
        inside, t = columns.inner(names), columns.inside.index(target)
        own = S[..., inside, :][..., inside]
        slopes = np.linalg.solve(own, S[..., inside, t][..., None])[..., 0]
        if source in columns.inside:
            return np.asarray(slopes[..., inside.index(columns.inside.index(source))])
        k = 1 + columns.own.index(source)
        return np.asarray(beta[..., k, t] - (beta[..., k, inside] * slopes).sum(axis=-1))


def level_design(asked: Asked, columns: Mapping[str, Array], units: Integers, unit: str) -> str:
    """Return ``"1-1-1"``, ``"2-1-1"`` or ``"2-2-1"``, the levels of treatment, mediators, outcome.

    Raises
    ------
    DataError
        An outcome that is constant within units, a mediator above its treatment, mediators of two
        levels.
    """
    x, y = asked.treatment, asked.outcome
    still = {name: _still(columns[name], units) for name in (x, *asked.targets)}
    if still[y]:
        raise DataError(
            f"'{y}' is the same in all rows of a '{unit}': it belongs to the units. Keep a row per "
            f"unit and leave nested_in out."
        )
    up = [m for m in asked.mediators if still[m] and not still[x]]
    if up:
        raise DataError(
            f"'{up[0]}' is the same in all rows of a '{unit}', but '{x}' varies within: within "
            f"units nothing can go through it. Average '{x}' over each '{unit}' first."
        )
    if len({still[m] for m in asked.mediators}) > 1:
        raise DataError(f"Of the mediators some vary within '{unit}' and some do not: fit each.")
    if asked.moderator is not None and not _still(columns[asked.moderator], units):
        raise DataError(
            f"'{asked.moderator}' varies within '{unit}': whether it changes paths within or "
            f"between would be confounded. Take its mean for each '{unit}', or model rows on one "
            "level with cluster=."
        )
    return f"{1 + still[x]}-{1 + still[asked.mediators[0]]}-1"


def fit_levels(
    asked: Asked,
    columns: Mapping[str, Array],
    units: Integers,
    design: str,
    *,
    clusters: Integers | None = None,
    errors: bool = True,
) -> MediatedLevels:
    """Fit the two-level model and name its paths.

    Parameters
    ----------
    asked, columns, units
        The specification, the columns' values, and the unit of each row, from 0.
    design
        From :func:`level_design`.
    clusters
        Cluster of each unit, for robust errors.
    errors
        Whether errors are needed; a resample does without.

    Raises
    ------
    DataError
        Moderated paths that are not available.
    NotIdentifiedError
        Too few units, or one without variation between.
    """
    above = design.startswith("2-2")
    _check_moderated(asked, design)
    columns = {**columns, **_products(asked, columns, above=above)}
    names = [n for n in columns if n in _of_the_outcome(asked, above=above)]
    still = {name: _still(columns[name], units) for name in names}
    found = _Columns(tuple(n for n in names if not still[n]), tuple(n for n in names if still[n]))
    first = np.unique(units, return_index=True)[1]
    known = np.column_stack([np.ones(len(first)), *(columns[n][first] for n in found.own)])
    Z = np.column_stack([columns[n] for n in found.inside])
    model = fit_two_levels(Z, units, known, errors=errors)
    table = _table(asked, within=design == "1-1-1", both=not above)
    own = (table["to"].isin(asked.mediators) & above).to_numpy()
    rows = table.loc[~own, ["level", "from", "to"]].itertuples(index=False, name=None)
    of = _LevelPaths(asked, found, tuple(rows))
    modelled = np.flatnonzero(~own)
    paths = _paths(of, model, modelled, len(table), len(first), clusters, errors=errors)
    if above:
        covariates = [n for n in asked.covariates if n in found.own]
        paths = _with_units(
            asked, paths, table, {n: v[first] for n, v in columns.items()}, covariates, clusters,
            of, model, modelled,
        )  # fmt: skip
    return MediatedLevels(asked, table, paths, model, of, modelled)


def _check_moderated(asked: Asked, design: str) -> None:
    """Refuse moderated paths that a saturated two-level model does not have."""
    if asked.moderator is None or design == "2-2-1":
        return
    if set(asked.moderates) != {"a", "c"}:
        raise NotIdentifiedError(
            "Between units of a 2-1-1 design the moderator changes the paths of the treatment, to "
            "the mediator and to the outcome, together: moderates=('a', 'c'). The mediator's own "
            "path has no product of a latent mean here."
        )


def _products(asked: Asked, columns: Mapping[str, Array], *, above: bool) -> dict[str, Array]:
    """Return the products with the moderator that the equations need."""
    if asked.moderator is None:
        return {}
    w, sources = columns[asked.moderator], [asked.treatment, *(asked.mediators if above else ())]
    return {f"{name} x {asked.moderator}": columns[name] * w for name in sources}


def _of_the_outcome(asked: Asked, *, above: bool) -> set[str]:
    """Return the terms of the outcome's equation, with the outcome and the mediators."""
    names = {asked.treatment, *asked.targets, *asked.covariates}
    if asked.moderator is not None:
        names.add(asked.moderator)
        sources = (asked.treatment, *(asked.mediators if above else ()))
        names |= {f"{s} x {asked.moderator}" for s in sources if asked.moderated(s, asked.outcome)}
    return names


def _still(values: Array, units: Integers) -> bool:
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
        own = [(asked.treatment, m) for m in asked.mediators if whole]
        own += [(m, asked.outcome) for m in asked.mediators if both or level == "between"]
        own += [(asked.treatment, asked.outcome)] if whole else []
        rows += [(level, source, target) for source, target in own]
        if level == "between":
            rows += [
                (level, f"{source} x {asked.moderator}", target)
                for source, target in own
                if asked.moderated(source, target)
            ]
    table = pd.DataFrame(rows, columns=["level", "from", "to"])
    return table.assign(place=np.arange(len(table)))


def _paths(  # noqa: PLR0917
    of: _LevelPaths,
    model: TwoLevels,
    modelled: Integers,
    k: int,
    J: int,
    clusters: Integers | None,
    *,
    errors: bool,
) -> Paths:
    """Return the paths of the two-level model among k, the others missing."""
    estimate, V, df = np.full(k, np.nan), np.zeros((k, k)), np.full(k, np.inf)
    estimate[modelled] = model.at(model.theta, of)
    if not errors:
        return Paths(estimate, V, df)
    places = np.ix_(modelled, modelled)
    if clusters is None:
        D = model.slopes(of)
        V[places] = D @ linalg.solve(model.information, D.T)
        fewer = 1 + len(of.columns.own) + len(of.columns.inside) - 1
        between = np.array([level == "between" for level, *_ in of.rows])
        df[modelled[between]] = max(J - fewer, 1)
    else:
        V[places] = _squared(model.shares(of, clusters))
        df[modelled] = clusters.max()
    return Paths(estimate, V, df)


def _squared(shares: Array) -> Array:
    """Return the robust covariance of clusters' shares."""
    G = len(shares)
    return np.asarray(shares.T @ shares * G / (G - 1.0))


def _with_units(  # noqa: PLR0917
    asked: Asked,
    paths: Paths,
    table: pd.DataFrame,
    columns: Mapping[str, Array],
    covariates: Sequence[str],
    clusters: Integers | None,
    of: _LevelPaths,
    model: TwoLevels,
    modelled: Integers,
) -> Paths:
    """Add the paths to unit-level mediators: least squares, one row per unit, the same columns."""
    names = [asked.treatment, *covariates]
    names += [] if asked.moderator is None else [asked.moderator]
    if "a" in asked.moderates:
        names.append(f"{asked.treatment} x {asked.moderator}")
    X = np.column_stack([np.ones(len(columns[names[0]])), *(columns[n] for n in names)])
    Y = np.column_stack([columns[m] for m in asked.mediators])
    size = np.sqrt((X**2).mean(axis=0))
    b = linalg.lstsq(X / size, Y)[0] / size[:, None]
    left, bread = Y - X @ b, linalg.inv((X / size).T @ (X / size)) / np.outer(size, size)
    df = len(X) - X.shape[1]
    estimate, V, dfs = paths.estimate.copy(), paths.covariance.copy(), paths.df.copy()
    rows = [
        (place, asked.mediators.index(str(row.to)), 1 + names.index(str(row[2])))
        for place, row in zip(table["place"], table.itertuples(), strict=True)
        if row.to in asked.mediators
    ]
    places, mediator, term = (np.array(part) for part in zip(*rows, strict=True))
    estimate[places], dfs[places] = b[term, mediator], df
    S = left.T @ left / df
    V[np.ix_(places, places)] = S[np.ix_(mediator, mediator)] * bread[np.ix_(term, term)]
    if clusters is not None and np.isfinite(model.information).all():
        G = clusters.max() + 1
        own = (X @ bread)[:, term] * left[:, mediator]
        summed = np.array([np.bincount(clusters, weights=c, minlength=G) for c in own.T]).T
        everything = np.concatenate([summed, model.shares(of, clusters)], axis=1)
        order = np.concatenate([places, modelled])
        V[np.ix_(order, order)], dfs[order] = _squared(everything), G - 1
    return Paths(estimate, V, dfs)
