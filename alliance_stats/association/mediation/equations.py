"""The equations of a mediation model, fitted on the same rows; their paths and products."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.association.mediation.asked import Asked
from alliance_stats.association.regression import RegressionFamily, regression
from alliance_stats.association.regression_model import GeneralizedRegression, LinearRegression
from alliance_stats.design.formula import CONSTANT, Terms, column, formula_of
from alliance_stats.engine.sandwich import ClusterRobust
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = [
    "Effect",
    "Equations",
    "Fitted",
    "Leg",
    "Paths",
    "Products",
    "Way",
    "cluster_shares",
    "equation_terms",
    "fit_equations",
    "indices_of",
    "times",
    "ways_of",
]

Leg = tuple[tuple[int, tuple[int, ...]], ...]
"""Terms of a sum: the power of the moderator, and the places of the paths that are multiplied."""


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Estimated paths.

    Attributes
    ----------
    estimate
        (k,) coefficients.
    covariance
        (k, k) their covariance.
    df
        (k,) degrees of freedom of each; infinite for normal ones.
    """

    estimate: Array
    covariance: Array
    df: Array

    def draws(self, n: int, rng: np.random.Generator) -> Array:
        """Draw the paths as their estimates would vary, (n, k).

        Normal with their covariance; a path with few degrees of freedom as t, the dependence
        between paths that of the normal (a Gaussian copula).
        """
        error = np.sqrt(np.diag(self.covariance))
        safe = np.where(error > 0, error, 1.0)
        # the symmetric root is unique: signs of eigenvectors, which rounding turns, do not matter
        values, vectors = linalg.eigh(self.covariance / np.outer(safe, safe))
        half = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        z = rng.standard_normal((n, len(error))) @ half
        few = np.isfinite(self.df)
        z[:, few] = stats.t.ppf(stats.norm.cdf(z[:, few]), self.df[few])
        return np.asarray(self.estimate + error * z)


@dataclass(frozen=True, slots=True)
class Effect:
    """A sum of weighted products of paths.

    Attributes
    ----------
    term
        What it is: ``"indirect through alliance"``.
    level
        ``"within"``, ``"between"`` or empty.
    at
        Value of the moderator at which it holds; NaN without one.
    parts
        Weight and positions of the paths that are multiplied.
    """

    term: str
    level: str
    at: float
    parts: tuple[tuple[float, tuple[int, ...]], ...]

    def of(self, paths: Array) -> Array:
        """Return the effect for each row of paths, (..., k) -> (...)."""
        total = np.zeros(paths.shape[:-1])
        for weight, places in self.parts:
            total = total + weight * paths[..., list(places)].prod(axis=-1)
        return np.asarray(total)

    def gradient(self, theta: Array) -> Array:
        """Return the derivatives by the paths, (k,)."""
        found = np.zeros(len(theta))
        for weight, places in self.parts:
            for i, place in enumerate(places):
                others = [other for j, other in enumerate(places) if j != i]
                found[place] += weight * theta[others].prod()
        return found

    def delta_error(self, paths: Paths) -> float:
        """Return the first-order standard error (Sobel 1982, doi:10.2307/270723)."""
        gradient = self.gradient(paths.estimate)
        return float(np.sqrt(gradient @ paths.covariance @ gradient))


@dataclass(frozen=True, slots=True)
class Way:
    """An effect as a function of the moderator.

    Attributes
    ----------
    term, level
        As of :class:`Effect`.
    parts
        Power of the moderator and positions of the paths that are multiplied.
    """

    term: str
    level: str
    parts: Leg

    def at(self, w: float) -> Effect:
        """Return the effect at a value of the moderator; NaN where there is none."""
        parts = tuple((w**power if power else 1.0, places) for power, places in self.parts)
        return Effect(self.term, self.level, w, parts)


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Effects as products of paths, with draws of the paths.

    Attributes
    ----------
    paths
        The paths.
    theta
        (draws, k) the paths as they would vary.
    ways
        The effects as functions of the moderator.
    index
        Indices of moderated mediation, which hold at all its values.
    values
        The requested values; one NaN without a moderator.
    """

    paths: Paths
    theta: Array
    ways: tuple[Way, ...]
    index: tuple[Effect, ...]
    values: tuple[float, ...]

    @property
    def effects(self) -> list[Effect]:
        """The effects at the requested values, and the indices."""
        return [*self.along(self.values), *self.index]

    def along(self, values: Sequence[float]) -> list[Effect]:
        """Return the effects at some values of the moderator."""
        return [way.at(w) for w in values for way in self.ways]


def times(one: Leg, other: Leg) -> Leg:
    """Multiply two sums of products of paths."""
    return tuple((u + v, (*i, *j)) for u, i in one for v, j in other)


Fitted = LinearRegression | GeneralizedRegression


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """The fitted equations, one per mediator and one for the outcome, coefficients stacked.

    Attributes
    ----------
    asked
        What mediates what.
    fits
        The regressions.
    paths
        All coefficients, one equation after the other.
    """

    asked: Asked
    fits: tuple[Fitted, ...]
    paths: Paths

    def place(self, equation: int, *names: str) -> int:
        """Return the position of the coefficient of a column (or product of columns)."""
        start = sum(len(fit.design.fixed.kept) for fit in self.fits[:equation])
        design = self.fits[equation].design
        shown = [design.fixed.names[i] for i in design.fixed.kept]
        wanted = {":".join(map(str, names)), ":".join(map(str, reversed(names)))}
        found = [i for i, name in enumerate(shown) if name in wanted]
        if not found:
            raise NotIdentifiedError(
                f"The other columns of the equation of '{self.asked.targets[equation]}' tell "
                f"'{' x '.join(map(str, names))}': its path cannot be told from theirs. "
                "Leave one out."
            )
        return start + found[0]

    def table(self) -> pd.DataFrame:
        """Return the paths' places: ``level, from, to, term, place`` of what the model is about."""
        asked, rows = self.asked, []
        for i, target in enumerate(asked.targets[: len(self.fits)]):
            sources = asked.sources(target)
            rows += [("", source, target, self.place(i, source)) for source in sources]
            for source in sources:
                if asked.moderated(source, target):
                    name = f"{source} x {asked.moderator}"
                    place = self.place(i, source, str(asked.moderator))
                    rows.append(("", name, target, place))
        return pd.DataFrame(rows, columns=["level", "from", "to", "place"])

    def resampled(self, counts: Array) -> Array | None:
        """Return the coefficients with these row counts; None if they are not identified."""
        found = []
        for fit in self.fits:
            scale = np.sqrt((fit.design.X**2).mean(axis=0))
            X, y = fit.design.X / scale, fit.design.y
            weighted = X * counts[:, None]
            b, _, rank, _ = np.linalg.lstsq(weighted.T @ X, weighted.T @ y, rcond=None)
            if rank < X.shape[1]:
                return None
            found.append(b / scale)
        return np.concatenate(found)


def fit_equations(
    asked: Asked,
    data: pd.DataFrame,
    *,
    families: tuple[RegressionFamily, RegressionFamily],
    cluster: str | None,
    interaction: bool,
    targets: Sequence[str] | None = None,
) -> Equations:
    """Fit each equation (or those of some targets) to complete rows."""
    fits: list[Fitted] = []
    for target in asked.targets if targets is None else targets:
        last = target == asked.outcome
        terms = equation_terms(asked, target, interaction=interaction)
        family = families[1] if last else families[0]
        fit = regression(formula_of(target, terms), data, family=family, cluster=cluster)
        assert isinstance(fit, LinearRegression | GeneralizedRegression)
        fits.append(fit)
    return Equations(asked, tuple(fits), _stacked(fits))


def equation_terms(asked: Asked, target: str, *, interaction: bool) -> Terms:
    """Return the right-hand side of a target's equation."""
    terms, sources = CONSTANT, asked.sources(target)
    for name in (*sources, *asked.covariates):
        terms = terms + column(name)
    if asked.moderator is not None:
        terms = terms + column(asked.moderator)
        for source in sources:
            if asked.moderated(source, target):
                terms = terms + _product(source, asked.moderator)
    if interaction and target == asked.outcome:
        for mediator in asked.mediators:
            terms = terms + _product(asked.treatment, mediator)
    return terms


def ways_of(found: Equations) -> tuple[Way, ...]:
    """Return indirect effects by each pathway, their sum, direct and total effects."""
    asked, indirect = found.asked, []
    for way in _ways(asked):
        parts: Leg = ((0, ()),)
        for source, target in itertools.pairwise((asked.treatment, *way, asked.outcome)):
            parts = times(parts, _leg(found, source, target))
        name = " and ".join(way) if asked.serial and len(way) > 1 else way[0]
        indirect.append(Way(f"indirect through {name}", "", parts))
    whole = tuple(part for way in indirect for part in way.parts)
    direct = Way("direct", "", _leg(found, asked.treatment, asked.outcome))
    total = Way("total", "", (*whole, *direct.parts))
    together = (Way("indirect", "", whole),) if len(indirect) > 1 else ()
    return (*indirect, *together, direct, total)


def indices_of(found: Equations) -> tuple[Effect, ...]:
    """Return each mediator's index of moderated mediation.

    How the indirect effect changes per unit of the moderator: Hayes 2015,
    doi:10.1080/00273171.2014.962683.
    """
    asked = found.asked
    if asked.serial or len(set(asked.moderates) & {"a", "b"}) != 1:
        return ()
    w, last = str(asked.moderator), len(asked.mediators)
    own, other = ((w,), ()) if "a" in asked.moderates else ((), (w,))
    return tuple(
        Effect(
            asked.index_term(m), "", np.nan,
            ((1.0, (found.place(i, asked.treatment, *own), found.place(last, m, *other))),),
        )
        for i, m in enumerate(asked.mediators)
    )  # fmt: skip


def _ways(asked: Asked) -> list[tuple[str, ...]]:
    if not asked.serial:
        return [(mediator,) for mediator in asked.mediators]
    k = len(asked.mediators)
    chosen = [[asked.mediators[i] for i in range(k) if mask >> i & 1] for mask in range(1, 2**k)]
    return [tuple(way) for way in sorted(chosen, key=len)]


def _leg(found: Equations, source: str, target: str) -> Leg:
    asked = found.asked
    equation = asked.targets.index(target)
    own = (0, (found.place(equation, source),))
    if not asked.moderated(source, target):
        return (own,)
    return (own, (1, (found.place(equation, source, str(asked.moderator)),)))


def _product(one: str, other: str) -> Terms:
    return Terms(((column(one).terms[0][0], column(other).terms[0][0]),))


def _stacked(fits: Sequence[Fitted]) -> Paths:
    """Return all coefficients; with clusters the equations' errors are correlated within them."""
    found = [fit.inference() for fit in fits]
    beta = np.concatenate([own.beta for own in found])
    sizes = [len(own.beta) for own in found]
    df = np.concatenate([own.df(np.eye(size)) for own, size in zip(found, sizes, strict=True)])
    ends = np.cumsum([0, *sizes])
    V = np.zeros((len(beta), len(beta)))
    shares = [None if fit.clusters is None else cluster_shares(fit) for fit in fits]
    for i, own in enumerate(found):
        V[ends[i] : ends[i + 1], ends[i] : ends[i + 1]] = own.covariance
        for j in range(i):
            one, other = shares[i], shares[j]
            if one is not None and other is not None:
                cross = one.T @ other
            else:
                cross = _together(fits[i], fits[j])
            V[ends[i] : ends[i + 1], ends[j] : ends[j + 1]] = cross
            V[ends[j] : ends[j + 1], ends[i] : ends[i + 1]] = cross.T
    return Paths(beta, V, df)


def _together(one: Fitted, other: Fitted) -> Array:
    """Return the covariance of two equations' coefficients where a row's errors are correlated.

    ``s_ij (X_i'X_i)^-1 X_i'X_j (X_j'X_j)^-1`` (Zellner 1962, doi:10.2307/2281644): zero where one
    has the other's outcome among its columns.
    """
    sizes = len(one.fit.beta), len(other.fit.beta)
    if not isinstance(one, LinearRegression) or not isinstance(other, LinearRegression):
        return np.zeros(sizes)
    left = [_response_residuals(fit) for fit in (one, other)]
    n = len(left[0])
    s = float(left[0] @ left[1]) / np.sqrt((n - sizes[0]) * (n - sizes[1]))
    bread = [fit.fit.vcov / fit.fit.sigma**2 for fit in (one, other)]
    return np.asarray(s * bread[0] @ one.design.X.T @ other.design.X @ bread[1])


def cluster_shares(fit: Fitted) -> Array:
    """Return each cluster's share of the coefficients, (clusters, p): their squares sum to CR2."""
    robust = fit.inference().method
    assert fit.clusters is not None
    assert isinstance(robust, ClusterRobust)
    left = _response_residuals(fit)
    codes: Integers = fit.clusters.codes
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return np.array([half.T @ left[own] for half, own in zip(robust.halves, rows, strict=True)])


def _response_residuals(fit: Fitted) -> Array:
    return np.asarray(fit.augment()["residual"].to_numpy(dtype=np.float64))
