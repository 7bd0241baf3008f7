"""Paths of a mediation model and effects made of their products. Arrays only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from alliance_stats.estimates import Array

__all__ = ["Effect", "Leg", "Paths", "Products", "Way", "times"]

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
