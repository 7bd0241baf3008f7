"""Many studies of two groups of clusters at once: REML on a grid of variance ratios.

A random-intercept model of two groups depends on a study through its cluster means and the sum of
squares within clusters. With the same cluster sizes in every study, all that Kenward and Roger's
method needs is a function of the ratio of the two variances, so that thousands of studies take
seconds; the test holds some of them to the package's own fits.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.effect_sizes import hedges_correction, total_variance_df
from alliance_stats.engine.degrees_of_freedom import KenwardRoger

RATIOS = np.concatenate([[0.0], np.geomspace(1e-4, 60.0, 400)])


@dataclass(frozen=True)
class Studies:
    """Cluster sizes, which clusters are in the first group, and what was observed.

    ``means`` is (studies, clusters), ``squares`` the sum of squares within clusters, (studies,).
    """

    sizes: np.ndarray
    first: np.ndarray
    means: np.ndarray
    squares: np.ndarray

    def members(self, study: int, rng: np.random.Generator) -> pd.DataFrame:
        """Return members that have this study's means and sum of squares."""
        cluster = np.repeat(np.arange(self.sizes.size), self.sizes)
        around = rng.normal(size=cluster.size)
        around -= (np.bincount(cluster, around) / self.sizes)[cluster]
        around *= sqrt(self.squares[study] / np.sum(around**2))
        return pd.DataFrame(
            {
                "y": self.means[study][cluster] + around,
                "g": np.where(self.first[cluster], "a", "b"),
                "family": cluster,
            }
        )


def studies(
    sizes: list[int], n_first: int, *, icc: float, delta: float, n: int, rng: np.random.Generator
) -> Studies:
    """Draw `n` studies with a total variance of 1 and a difference of `delta`."""
    size = np.asarray(sizes)
    first = np.arange(size.size) < n_first
    spread = np.sqrt(icc + (1.0 - icc) / size)
    means = spread * rng.normal(size=(n, size.size)) + delta * first
    squares = (1.0 - icc) * rng.chisquare(size.sum() - size.size, n)
    return Studies(size, first, means, squares)


def fitted(drawn: Studies) -> pd.DataFrame:
    """Return each study's difference and g with what the intervals need.

    ``b, se, df`` (Kenward-Roger), ``se_reduced, df_reduced`` (at a variance of zero those of
    independent members), ``s`` (total SD), ``h`` (its df), ``ratio``.
    """
    groups = (drawn.first, ~drawn.first)
    n, N = drawn.sizes, int(drawn.sizes.sum())
    deviance, b, within = (np.empty((drawn.squares.size, RATIOS.size)) for _ in range(3))
    for k, ratio in enumerate(RATIOS):
        w = 1.0 / (ratio + 1.0 / n)
        centres = [drawn.means[:, f] @ w[f] / w[f].sum() for f in groups]
        rss = drawn.squares + sum(
            (drawn.means[:, f] - centre[:, None]) ** 2 @ w[f]
            for f, centre in zip(groups, centres, strict=True)
        )
        b[:, k], within[:, k] = centres[0] - centres[1], rss / (N - 2)
        log_det = np.log1p(n * ratio).sum() + sum(np.log(w[f].sum()) for f in groups)
        deviance[:, k] = (N - 2) * np.log(rss) + log_det
    best = deviance.argmin(axis=1)
    row = np.arange(best.size)
    table = np.array([_small_sample(drawn, ratio) for ratio in RATIOS])[best]
    sigma = np.sqrt(within[row, best])
    zero = best == 0
    return pd.DataFrame(
        {
            "b": b[row, best],
            "se": sigma * table[:, 0],
            "df": table[:, 1],
            "se_reduced": sigma * np.where(zero, table[:, 3], table[:, 0]),
            "df_reduced": np.where(zero, N - 2.0, table[:, 1]),
            "s": sigma * np.sqrt(1.0 + RATIOS[best]),
            "h": table[:, 2],
            "ratio": RATIOS[best],
        }
    )


def _small_sample(drawn: Studies, ratio: float) -> tuple[float, float, float, float]:
    """Return Kenward and Roger's SE and df, the total variance's df, and the plain SE."""
    n = drawn.sizes.astype(float)
    X = np.column_stack([np.ones(n.size), drawn.first]).astype(float)  # constant in a cluster
    a = 1.0 + n * ratio

    def weighed(k: np.ndarray) -> np.ndarray:
        return (X * k[:, None]).T @ X

    Phi = np.linalg.inv(weighed(n / a))
    P = np.array([weighed((n / a) ** 2), weighed(n / a**2)])
    Q = np.array(
        [
            [weighed((n / a) ** 3), weighed(n**2 / a**3)],
            [weighed(n**2 / a**3), weighed(n / a**3)],
        ]
    )
    off = np.sum(n / a**2)
    traces = np.array([[np.sum((n / a) ** 2), off], [off, np.sum(n - 1.0 + a**-2.0)]])
    crossed = np.einsum("pq,iqr,rs,jsp->ij", Phi, P, Phi, P)
    information = traces - 2.0 * np.einsum("pq,ijqp->ij", Phi, Q) + crossed
    W = 2.0 * np.linalg.inv(information)
    inner = np.einsum("ij,ijpq->pq", W, Q) - np.einsum("ij,ipq,qr,jrs->ps", W, P, Phi, P)
    adjusted = Phi + 2.0 * Phi @ inner @ Phi
    df = KenwardRoger(Phi, adjusted, -P, W).df(np.array([[0.0, 1.0]]))[0]
    codes = np.repeat(np.arange(n.size), drawn.sizes)
    h = total_variance_df(X[codes], codes, between=ratio, within=1.0)
    return sqrt(adjusted[1, 1]), float(df), h, sqrt(Phi[1, 1])


def model_g(fit: pd.DataFrame, df: pd.Series | float) -> pd.DataFrame:
    """Return g and the half-width of its 95% interval with `df` degrees of freedom."""
    J = fit["h"].map({h: hedges_correction(h) for h in fit["h"].unique()})
    d = fit["b"] / fit["s"]
    error = J * np.sqrt(fit["se"] ** 2 / fit["s"] ** 2 + d**2 / (2.0 * fit["h"]))
    return pd.DataFrame({"g": J * d, "half": stats.t.isf(0.025, df) * error})
