"""Pooling analyses of imputed data sets. Arrays in, arrays out."""

from dataclasses import dataclass

import numpy as np

from alliance_stats.estimates import Array

__all__ = ["Pooled", "pool"]


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Pooled estimates, one an analysis.

    Attributes
    ----------
    estimate, std_error, df
        Estimate, its standard error and degrees of freedom.
    missing_information
        Share of the information on the estimate that the missing values took:
        ``(r + 2 / (df + 3)) / (r + 1)`` with r the relative increase in variance.
    """

    estimate: Array
    std_error: Array
    df: Array
    missing_information: Array


def pool(estimates: Array, variances: Array, df_complete: Array) -> Pooled:
    """Pool by Rubin's rules with the degrees of freedom of Barnard & Rubin.

    Total variance ``T = W + (1 + 1/m) B`` from the mean variance W within imputations and the
    variance B between their estimates (Rubin 1987, doi:10.1002/9780470316696, chapter 3). With
    ``lambda = (1 + 1/m) B / T``, ``df = 1 / (1/old + 1/observed)``, ``old = (m - 1) / lambda^2``,
    ``observed = (c + 1) / (c + 3) c (1 - lambda)`` for c the degrees of freedom had nothing been
    missing (Barnard & Rubin 1999, doi:10.1093/biomet/86.4.948): never more than c.

    Parameters
    ----------
    estimates, variances
        (analyses, m), squared standard errors.
    df_complete
        (analyses,) degrees of freedom of a complete data set; may be infinite.
    """
    m = estimates.shape[1]
    within = variances.mean(axis=1)
    between = (1.0 + 1.0 / m) * estimates.var(axis=1, ddof=1)
    total = within + between
    share = between / total
    with np.errstate(divide="ignore"):
        old = (m - 1.0) / share**2
        infinite = np.isinf(df_complete)
        c = np.where(infinite, 1.0, df_complete)
        observed = np.where(infinite, np.inf, (c + 1.0) / (c + 3.0) * c * (1.0 - share))
        df = 1.0 / (1.0 / old + 1.0 / observed)
    increase = between / within
    information = (increase + 2.0 / (df + 3.0)) / (increase + 1.0)
    return Pooled(estimates.mean(axis=1), np.sqrt(total), df, information)
