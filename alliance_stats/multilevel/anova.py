"""Joint F tests of a model's terms."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.checks import check_choice
from alliance_stats.engine.degrees_of_freedom import FTest
from alliance_stats.estimates import Array
from alliance_stats.multilevel.inference import small_sample, working_contrasts

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = ["anova_table", "f_test"]


def f_test(model: "LinearMixedModel", C: Array, *, df_method: str) -> FTest:
    """Test ``C beta = 0`` jointly, for rows of contrasts of the estimated coefficients."""
    method = small_sample(model, df_method)
    working = working_contrasts(model, C)
    beta = model.beta.to_numpy()[model.design.fixed.kept]
    # the coefficients in the working basis, in units of the residual SD
    scaled = model.design.fixed.R @ beta / model.sigma
    if method is not None:
        return method.f_test(working, scaled)
    covariance = C @ model.vcov().to_numpy() @ C.T
    estimate = C @ beta
    statistic = float(estimate @ linalg.solve(covariance, estimate)) / len(C)
    return FTest(statistic, float(len(C)), float("inf"))


def anova_table(model: "LinearMixedModel", *, kind: str, df_method: str) -> pd.DataFrame:
    """Test every term; see :meth:`LinearMixedModel.anova`."""
    check_choice(kind, ("marginal", "sequential"), name="kind")
    fixed = model.design.fixed
    kept = {int(column): position for position, column in enumerate(fixed.kept)}
    hypotheses = _sequential(model.design.X) if kind == "sequential" else np.eye(len(kept))
    found = []
    for term in fixed.coding.terms:
        own = [kept[c] for c in range(term.columns.start, term.columns.stop) if c in kept]
        if not term.factors or not own:
            continue
        test = f_test(model, hypotheses[own], df_method=df_method)
        p_value = (
            stats.f.sf(test.statistic, test.df1, test.df2)
            if np.isfinite(test.df2)
            else stats.chi2.sf(test.df1 * test.statistic, test.df1)
        )
        found.append(
            {
                "term": term.name,
                "statistic": test.statistic,
                "df1": test.df1,
                "df2": test.df2,
                "p_value": float(p_value),
            }
        )
    return pd.DataFrame(found, columns=["term", "statistic", "df1", "df2", "p_value"])


def _sequential(X: Array) -> Array:
    """Hypotheses of each column given those before it: the unit upper triangle of X."""
    triangle = linalg.qr(X, mode="r")[0][: X.shape[1]]
    return np.asarray(triangle / np.diag(triangle)[:, None])
