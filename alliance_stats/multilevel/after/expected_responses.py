"""Expected responses averaged over rows, with random effects integrated out or at zero."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.interpolate import CubicHermiteSpline

from alliance_stats.design.design import all_fixed_columns
from alliance_stats.design.groupings import random_columns
from alliance_stats.engine.families import Family
from alliance_stats.estimates import Array, Booleans, Integers
from alliance_stats.multilevel.after.asked_model import (
    FittedModel,
    GeneralizedModel,
    Link,
    link_of,
)
from alliance_stats.multilevel.linear_functions import Inference
from alliance_stats.multilevel.predictions import population_mean

__all__ = ["ExpectedResponses", "Level"]

Level = Literal["population", "typical"]

# Step of the interpolated population curve, on the scale of the link.
GRID = 0.02
# Rows times draws that are held at once.
CHUNK = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedResponses:
    """A model's expected responses for rows, as a function of its coefficients.

    Attributes
    ----------
    X
        All fixed columns, (n, all).
    kept
        Positions of the estimated ones.
    offset
        Known part of the linear predictor, (n,).
    link
        From linear predictor to response.
    family, sd
        At the population level the family, and the SD of each row's random part, (n,).
    """

    X: Array
    kept: Integers
    offset: Array
    link: Link
    family: Family | None
    sd: Array

    @classmethod
    def of(
        cls, model: FittedModel, inference: Inference, frame: pd.DataFrame, level: Level
    ) -> "ExpectedResponses":
        """Code the rows of `frame` for `model`."""
        X, zeros = all_fixed_columns(model.design, frame), np.zeros(len(frame))
        added = model.design.fixed.coding.offsets(frame)
        kept, link = inference.design.fixed.kept, link_of(model)
        if not isinstance(model, GeneralizedModel):
            return cls(X, kept, added, link, None, zeros)
        offset = added
        if model.offset is not None:
            offset = offset + frame[model.offset].to_numpy(dtype=np.float64)
        if level == "typical":
            return cls(X, kept, offset, link, None, zeros)
        return cls(X, kept, offset, link, model.family, _total_sd(model, frame))

    def mean_and_gradient(self, beta: Array, rows: Booleans) -> tuple[float, Array]:
        """Average the expected responses, with derivatives by all coefficients."""
        X = self.X[rows]
        eta = X[:, self.kept] @ beta + self.offset[rows]
        mean, slope = (
            (self.link.mean(eta), self.link.mean_slope(eta))
            if self.family is None
            else population_mean(self.family, eta, self.sd[rows])
        )
        return float(mean.mean()), np.asarray(slope @ X / len(X))

    def sampled(self, betas: Array, rows: Booleans) -> Array:
        """Average the expected responses for each draw of the coefficients."""
        X, offset, sd = self.X[rows][:, self.kept], self.offset[rows], self.sd[rows]
        size = max(CHUNK // len(X), 1)
        found = []
        for start in range(0, len(betas), size):
            eta = X @ betas[start : start + size].T + offset[:, None]
            mean = self.link.mean(eta) if self.family is None else _averaged(self.family, eta, sd)
            found.append(mean.mean(axis=0))
        return np.concatenate([np.empty(0), *found])


def _averaged(family: Family, eta: Array, sd: Array) -> Array:
    """Average over random effects at many predictors; rows of equal SD share an interpolated curve.

    Cubic Hermite interpolation on steps h has an error of ``h^4 / 384`` fourth derivatives: 1e-9.
    """
    mean = np.empty_like(eta)
    sds, which = np.unique(sd, return_inverse=True)
    for i, value in enumerate(sds):
        part = eta[which == i]
        low, high = float(part.min()), float(part.max())
        grid = np.linspace(low - GRID, high + GRID, int((high - low) / GRID) + 4)
        if len(grid) < part.size:
            curve = CubicHermiteSpline(
                grid, *population_mean(family, grid, np.full(len(grid), value))
            )
            mean[which == i] = curve(part)
        else:
            flat = part.ravel()
            values, _ = population_mean(family, flat, np.full(len(flat), value))
            mean[which == i] = values.reshape(part.shape)
    return mean


def _total_sd(model: FittedModel, frame: pd.DataFrame) -> Array:
    """SD of the random part of each row's linear predictor."""
    total = np.zeros(len(frame))
    for grouping in model.design.groupings:
        Z = np.hstack([random_columns(basis, frame) for basis in grouping.terms])
        covariance = model.covariances()[grouping.name].to_numpy()
        total += np.einsum("ni,ij,nj->n", Z, covariance, Z)
    return np.asarray(np.sqrt(total))
