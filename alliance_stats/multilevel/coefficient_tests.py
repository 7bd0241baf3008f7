"""Coefficients of a fit and joint tests of its terms."""

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import check_choice
from alliance_stats.design.design import Design
from alliance_stats.estimates import Array, Coefficients
from alliance_stats.multilevel.clusters import CR2
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_functions import Inference, f_p_value, inference_on
from alliance_stats.multilevel.random_effects import tidy_frame

__all__ = ["all_coefficients", "anova_table", "coefficients", "fixed_table"]


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


def anova_table(fit: LinearFit, *, kind: str, df_method: str) -> pd.DataFrame:
    """Test every term; see :meth:`LinearMixedModel.anova`."""
    check_choice(kind, ("marginal", "sequential"), name="kind")
    fixed = fit.design.fixed
    kept = {int(column): position for position, column in enumerate(fixed.kept)}
    hypotheses = _sequential(fit.design.X) if kind == "sequential" else np.eye(len(kept))
    inference = inference_on(fit, df_method)
    found = []
    for term in fixed.coding.terms:
        own = [kept[c] for c in range(term.columns.start, term.columns.stop) if c in kept]
        if not term.factors or not own:
            continue
        test = inference.f_test(hypotheses[own])
        found.append(
            {
                "term": term.name,
                "statistic": test.statistic,
                "df1": test.df1,
                "df2": test.df2,
                "p_value": f_p_value(test),
            }
        )
    return pd.DataFrame(found, columns=["term", "statistic", "df1", "df2", "p_value"])


def _sequential(X: Array) -> Array:
    """Hypotheses of each column given those before it: the unit upper triangle of X."""
    triangle = linalg.qr(X, mode="r")[0][: X.shape[1]]
    return np.asarray(triangle / np.diag(triangle)[:, None])
