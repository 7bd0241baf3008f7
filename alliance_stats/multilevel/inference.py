"""Inference on a fitted model's coefficients: which method, on which scale."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from scipy import linalg

from alliance_stats.checks import check_choice
from alliance_stats.engine.curvature import Curvature, curvature
from alliance_stats.engine.degrees_of_freedom import (
    KenwardRoger,
    Satterthwaite,
    kenward_roger,
    satterthwaite,
)
from alliance_stats.estimates import Array

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["curvature_of", "small_sample", "working_contrasts"]

DF_METHODS = ("satterthwaite", "kenward-roger", "normal")

# The curvature costs some evaluations of the criterion; a model is asked for it many times.
_CURVATURES: "WeakKeyDictionary[LinearMixedModel, dict[bool, Curvature]]" = WeakKeyDictionary()


def curvature_of(model: "LinearMixedModel", *, boundary: bool = False) -> Curvature:
    """Return the likelihood's curvature at the fit, computed once a model.

    With `boundary`, variances estimated as zero count as estimated (see
    :func:`~alliance_stats.engine.curvature.curvature`).
    """
    known = _CURVATURES.setdefault(model, {})
    if boundary not in known:
        known[boundary] = curvature(model.problem, model.fit.Lambda, model.sigma, boundary=boundary)
    return known[boundary]


def small_sample(model: "LinearMixedModel", df_method: str) -> Satterthwaite | KenwardRoger | None:
    """Prepare a df method for the model; ``None`` for the normal approximation."""
    check_choice(df_method, DF_METHODS, name="df_method")
    if df_method == "normal":
        return None
    if df_method == "satterthwaite":
        return satterthwaite(curvature_of(model), reml=model.reml)
    if not model.reml:
        raise ValueError(
            "Kenward-Roger inference is defined for REML fits; this one is ML. "
            "Fit again with reml=True, or use df_method='satterthwaite'."
        )
    # pbkrtest keeps every variance among those that were estimated, those at zero too
    curve = curvature_of(model, boundary=model.singular)
    if not curve.linear:
        raise ValueError(
            "Kenward-Roger inference needs a covariance that is linear in its parameters; a "
            "residual structure is not. Use df_method='satterthwaite'."
        )
    return kenward_roger(curve)


def working_contrasts(model: "LinearMixedModel", C: Array) -> Array:
    """Turn contrasts of the given coefficients into contrasts of the working ones."""
    return np.asarray(linalg.solve_triangular(model.design.fixed.R.T, C.T, lower=True).T)
