"""How much single clusters decide; NaN where a coefficient rests on one cluster alone."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.engine.criterion import at_eta, solve
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.multilevel.problem import make_problem

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["cooks_distances"]


def cooks_distances(model: "LinearMixedModel", cluster: str) -> pd.DataFrame:
    """See :meth:`LinearMixedModel.cooks_distance`."""
    groupings = {g.name: g for g in model.design.groupings}
    if cluster not in groupings:
        raise DataError(
            f"'{cluster}' is not a grouping factor of the model. {did_you_mean(cluster, groupings)}"
        )
    grouping = groupings[cluster]
    full = solve(model.problem, model.fit.Lambda)
    p = model.problem.p
    distances = np.full(len(grouping.labels), np.nan)
    for unit in range(len(grouping.labels)):
        try:
            change = full.beta - _beta_without(model, grouping.codes != unit)
        except np.linalg.LinAlgError:  # the unit alone determines a coefficient
            continue
        distances[unit] = ((full.XX_factor.T @ change) ** 2).sum() / (p * model.sigma**2)
    return pd.DataFrame(
        {
            "group": cluster,
            "level": list(grouping.labels),
            "n": np.bincount(grouping.codes, minlength=len(grouping.labels)),
            "cooks_distance": distances,
        }
    )


def _beta_without(model: "LinearMixedModel", kept: npt.NDArray[np.bool_]) -> Array:
    """Coefficients in the working basis from some of the rows, theta held."""
    design = model.design
    groupings = tuple(
        replace(g, codes=np.unique(g.codes[kept], return_inverse=True)[1], Z=g.Z[:, kept])
        for g in design.groupings
    )
    part = replace(
        design,
        y=design.y[kept],
        Q=design.Q[:, kept],
        residual=design.residual[kept],
        root_weights=design.root_weights[kept],
        groupings=groupings,
    )
    shape = model.problem.shape
    if shape is not None:
        back = np.argsort(model.problem.layout.order)
        shape = shape.sorted(back).keep(kept)
    problem = make_problem(part, reml=False, known=model.problem.known, shape=shape)
    return solve(at_eta(problem, model.fit.eta), model.fit.Lambda).beta
