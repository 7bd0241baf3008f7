"""Tables of a fit's coefficients."""

import numpy as np
import pandas as pd

from alliance_stats.design.design import Design
from alliance_stats.estimates import Array, Coefficients
from alliance_stats.multilevel.clusters import CR2
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_functions import Inference, inference_on
from alliance_stats.multilevel.random_effects import tidy_frame

__all__ = ["all_coefficients", "coefficients", "fixed_table"]


def all_coefficients(design: Design, values: Array) -> Array:
    """Put values of the estimated coefficients among all; NaN for aliased ones."""
    found = np.full(len(design.fixed.names), np.nan)
    found[design.fixed.kept] = values
    return found


def coefficients(inference: Inference) -> Coefficients:
    """Return all coefficients, NaN where other columns determine one."""
    design = inference.design
    names, kept = design.fixed.names, design.fixed.kept
    vcov = np.full((len(names), len(names)), np.nan)
    vcov[np.ix_(kept, kept)] = inference.covariance
    df = all_coefficients(design, inference.df(np.eye(len(kept))))
    return Coefficients(names, all_coefficients(design, inference.beta), vcov, df)


def fixed_table(
    fit: LinearFit | GeneralizedFit,
    *,
    df_method: str | None = None,
    vcov: CR2 | None = None,
    conf_level: float,
) -> pd.DataFrame:
    """Coefficients with standard errors, df, tests and intervals, in the shared columns."""
    found = coefficients(inference_on(fit, df_method, vcov=vcov))
    table = found.table(conf_level=conf_level)
    return tidy_frame(effect="fixed", **{name: table[name].to_numpy() for name in table})
