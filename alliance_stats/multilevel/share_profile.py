"""Profile likelihood of the levels' shares of variance.

With relative variances ``w_j = theta_j^2`` and ``S`` their sum, level j holds ``w_j / (1 + S)`` and
the residual ``1 / (1 + S)``. A share s of level j is held by ``w_j = s / (1 - s) (1 + S_-j)`` with
the other variances free, one of the residual by ``S = (1 - s) / s`` with the proportions free. The
deviance is already profiled over the coefficients and sigma, so only those are left to minimise.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import optimize

from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.criterion import deviance
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.multilevel.profile import Profile

__all__ = ["profile_shares"]

# A share is followed to within this of 0 or 1, where theta would be infinite.
EDGE = 1e-6
# Relative SDs from which the other levels' search starts besides the fitted ones.
AWAY = 0.5


def profile_shares(model: LinearMixedModel) -> Profile:
    """Profile each level's share of the variance, the residual's last.

    Raises
    ------
    NotIdentifiedError
        A model with random slopes or a residual structure.
    """
    groupings = model.design.groupings
    plain = all(grouping.names == ("(Intercept)",) for grouping in groupings)
    if not plain or model.problem.shape is not None:
        raise NotIdentifiedError(
            "Shares are profiled in models of random intercepts with residuals alike; for this "
            "one ask for ci_method='bootstrap'."
        )
    unit = np.array([back_transform(grouping.terms)[0, 0] ** 2 for grouping in groupings])
    w = unit * np.array([factor[0, 0] ** 2 for factor in model.fit.Lambda])
    names = [*(grouping.name for grouping in groupings), "Residual"]
    shares = np.append(w, 1.0) / (1.0 + w.sum())
    curves = {
        name: (_rise(model, unit, np.sqrt(w), place), 0.0, 1.0) for place, name in enumerate(names)
    }
    return Profile(
        "REML" if model.reml else "ML", pd.Series(shares, index=names), curves, model.rows
    )


def _rise(model: LinearMixedModel, unit: Array, sds: Array, place: int) -> Callable[[float], float]:
    """Rise in deviance with one share held: that of level `place`, or the residual's after all."""
    k, lowest = len(sds), model.fit.deviance
    held = place if place < k else int(sds.argmax())
    free = np.delete(np.arange(k), held)
    fitted = sds[free] if place < k else sds[free] / (sds[held] or 1.0)

    def relative_variances(share: float, z: Array) -> Array:
        w = np.ones(k)
        w[free] = z**2
        if place == k:
            return np.asarray((1.0 - share) / share * w / w.sum())
        w[place] = share / (1.0 - share) * (1.0 + w[free].sum())
        return w

    def rise(share: float) -> float:
        share = min(max(share, EDGE if place == k else 0.0), 1.0 - EDGE)

        def objective(z: Array) -> float:
            return deviance(model.problem, np.sqrt(relative_variances(share, z) / unit))

        if not len(free):
            return max(objective(np.empty(0)) - lowest, 0.0)
        # zero variances are always stationary: the search also starts away from them
        ends = [
            optimize.minimize(objective, start, method="L-BFGS-B", options={"ftol": 1e-13}).fun
            for start in (fitted, np.maximum(fitted, AWAY))
        ]
        return max(float(min(ends)) - lowest, 0.0)

    return rise
