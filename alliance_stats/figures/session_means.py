"""The mean score at each session, with an interval that honours clusters."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_conf_level, finite_or_missing

__all__ = ["session_means"]


def session_means(
    data: pd.DataFrame,
    *,
    session: Hashable,
    score: Hashable,
    cluster: Hashable,
    conf_level: float = 0.95,
) -> pd.DataFrame:
    r"""Return the mean score at each session with a cluster-robust interval.

    At each session, with residuals :math:`e_{ci} = y_{ci} - \bar y` of the :math:`n` ratings in
    :math:`G` clusters,

    .. math:: \widehat{\mathrm{var}}(\bar y)
              = \frac{G}{G-1} \, \frac{1}{n^2} \sum_c \Bigl(\sum_i e_{ci}\Bigr)^2

    and the interval is ``mean -+ t(G - 1) * std_error`` (Liang & Zeger 1986,
    doi:10.1093/biomet/73.1.13; CR1 of Cameron & Miller 2015, doi:10.3368/jhr.50.2.317). With one
    rating per cluster this is the t interval of a mean. Missing scores are ignored.

    Returns
    -------
    DataFrame
        ``session, n_ratings, n_clusters, estimate, std_error, df, conf_low, conf_high``, on the
        scale of the score; the interval is missing where there is one cluster.
    """
    values = pd.DataFrame(
        {
            "session": data[session].to_numpy(),
            "score": finite_or_missing(data, score),
            "cluster": data[cluster].to_numpy(),
        }
    ).dropna(subset=["score"])
    tail = (1.0 - check_conf_level(conf_level)) / 2.0
    rows = []
    for when, at in values.groupby("session", sort=True):
        mean = float(at["score"].mean())
        sums = (at["score"] - mean).groupby(at["cluster"]).sum().to_numpy()
        n, clusters = len(at), len(sums)
        if clusters > 1:
            variance = clusters / (clusters - 1) * float(sums @ sums) / n**2
            error = float(np.sqrt(variance))
        else:
            error = np.nan
        half = stats.t.isf(tail, clusters - 1) * error if clusters > 1 else np.nan
        rows.append((when, n, clusters, mean, error, clusters - 1, mean - half, mean + half))
    names = ["session", "n_ratings", "n_clusters", "estimate", "std_error", "df"]
    return pd.DataFrame(rows, columns=[*names, "conf_low", "conf_high"])
