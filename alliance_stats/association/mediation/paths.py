"""Paths of a mediation model and effects made of their products. Arrays only."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from alliance_stats.estimates import Array

__all__ = ["Effect", "Paths"]


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
        What it is: ``"indirect by way of alliance"``.
    level
        ``"within"``, ``"between"`` or empty.
    at
        Value of the moderator it holds at; NaN without one.
    parts
        Weight and the places of the paths that are multiplied.
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

    def delta_error(self, paths: Paths) -> float:
        """Return the first-order standard error (Sobel 1982, doi:10.2307/270723)."""
        theta = paths.estimate
        gradient = np.zeros(len(theta))
        for weight, places in self.parts:
            for i, place in enumerate(places):
                others = [other for j, other in enumerate(places) if j != i]
                gradient[place] += weight * theta[others].prod()
        return float(np.sqrt(gradient @ paths.covariance @ gradient))
