"""Refits of a model: to a new outcome, to an outcome drawn from the fit, to some rows."""

from dataclasses import replace

import numpy as np

from alliance_stats.engine.ordered import probability
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Booleans
from alliance_stats.multilevel import linear_fit
from alliance_stats.multilevel.clusters import part_of, refitted_without
from alliance_stats.multilevel.generalized_data import DispersionPart
from alliance_stats.multilevel.generalized_fit import GeneralizedFit, fit_generalized
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.ordinal_fit import OrdinalFit, fit_steps
from alliance_stats.multilevel.predictions import generalized_simulated, random_predictor, simulated

__all__ = ["Fit", "drawn", "refit", "refit_without"]

Fit = LinearFit | GeneralizedFit


def drawn(fit: Fit, rng: np.random.Generator) -> Array:
    """Draw one new outcome for the rows used, new random effects each time: (n,)."""
    if isinstance(fit, LinearFit):
        return simulated(fit, rng)
    if not isinstance(fit, OrdinalFit):
        return generalized_simulated(fit, rng)
    p = probability(fit.family.link, fit.thresholds_at(fit.design.X), random_predictor(fit, rng))
    above = np.cumsum(p[:, :-1], axis=1) < rng.random(len(p))[:, None]
    return np.asarray(above.sum(axis=1), dtype=np.float64)


def refit(fit: Fit, y: Array) -> Fit:
    """Fit a new outcome on the same rows with the same model.

    Raises
    ------
    DataError, NotIdentifiedError
        An outcome that cannot be fitted: of another length, never varying, a step never drawn.
    """
    if isinstance(fit, LinearFit):
        return linear_fit.refitted(fit, y)
    return _again(fit, np.ones(len(fit.design.y), dtype=bool), y)


def refit_without(fit: Fit, kept: Booleans) -> Fit:
    """Fit the model to some of the rows.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the remaining rows do not determine every coefficient.
    """
    if isinstance(fit, LinearFit):
        return refitted_without(fit, kept)
    if np.linalg.matrix_rank(fit.design.X[kept]) < fit.design.X.shape[1]:
        raise np.linalg.LinAlgError("The rows left do not determine every coefficient.")
    return _again(fit, kept, fit.design.y)


def _again(fit: GeneralizedFit, kept: Booleans, y: Array) -> GeneralizedFit:
    if y.shape != fit.design.y.shape:
        raise DataError(
            f"The new outcome has shape {y.shape}; the model used {len(fit.design.y)} rows."
        )
    part = replace(fit.design, y=y)
    part = part if kept.all() else part_of(part, kept)
    if isinstance(fit, OrdinalFit):
        again = fit_steps(
            part, fit.family.link, fit.kind, fit.steps, nodes=fit.nodes, nominal=fit.nominal
        )
        return replace(again, scale=fit.scale)
    dispersion = fit.dispersion
    if dispersion is not None and not kept.all():
        dispersion = DispersionPart(dispersion.coding, dispersion.D[:, kept], dispersion.R)
    return fit_generalized(
        part,
        fit.asked,
        fit.trials[kept],
        nodes=fit.nodes,
        weights=fit.weights,
        offset=fit.offset,
        dispersion=dispersion,
    )
