"""Intraclass correlations of coders: analysis of variance, or lmm where ratings are missing."""

import math

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.multilevel.bootstrap import parametric_bootstrap

__all__ = [
    "FORMS",
    "anova_intervals",
    "icc_estimates",
    "simulated_estimates",
    "variance_components",
]

Components = tuple[tuple[float, float], tuple[float, float, float]]

FORMS = ("ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)")
"""One-way; two-way absolute agreement; two-way consistency; of one coder and of the mean of k."""


_ONE_WAY = "rating ~ 1 + (1 | case)"
_TWO_WAY = "rating ~ 1 + (1 | case) + (1 | coder)"


def variance_components(ratings: Array) -> Components:
    """Return (case, error) of the one-way and (case, coder, error) of the two-way random model.

    By analysis of variance where every case has every rating (it may then be negative for cases or
    coders, as McGraw & Wong's coefficients need it), by REML with `lmm` where some are missing.
    """
    if np.isnan(ratings).any():
        return _one_way(_fit(_ONE_WAY, ratings)), _two_way(_fit(_TWO_WAY, ratings))
    n, k = ratings.shape
    ms_case, ms_within, ms_coder, ms_error = _mean_squares(ratings)
    one_way = ((ms_case - ms_within) / k, ms_within)
    return one_way, ((ms_case - ms_error) / k, (ms_coder - ms_error) / n, ms_error)


def icc_estimates(components: Components, k: int) -> dict[str, float]:
    """Return the six forms of :data:`FORMS` (McGraw & Wong 1996, doi:10.1037/1082-989X.1.1.30)."""
    (case_1, error_1), (case, coder, error) = components
    noise = {"ICC(1": error_1, "ICC(A": coder + error, "ICC(C": error}
    signal = {"ICC(1": case_1, "ICC(A": case, "ICC(C": case}
    return {
        form: _share(signal[form[:5]], noise[form[:5]] / (1 if form.endswith("1)") else k))
        for form in FORMS
    }


def simulated_estimates(ratings: Array, n_draws: int, *, seed: int) -> dict[str, Array]:
    """Return parametric-bootstrap values of the six forms for incomplete ratings.

    Ratings are drawn from the fitted models, one-way for ICC(1) and two-way for ICC(A) and ICC(C),
    where ratings were given; the models are then fitted again.
    """
    k = ratings.shape[1]

    def one_way(model: LinearMixedModel) -> dict[str, float]:
        case, error = _one_way(model)
        return icc_estimates(((case, error), (case, 0.0, error)), k)

    def two_way(model: LinearMixedModel) -> dict[str, float]:
        case, coder, error = _two_way(model)
        return icc_estimates(((case, error), (case, coder, error)), k)

    first = parametric_bootstrap(_fit(_ONE_WAY, ratings), one_way, n=n_draws, seed=seed).draws
    second = parametric_bootstrap(_fit(_TWO_WAY, ratings), two_way, n=n_draws, seed=seed).draws
    return {
        form: (first if form.startswith("ICC(1,") else second)[form].to_numpy() for form in FORMS
    }


def anova_intervals(ratings: Array, conf_level: float) -> dict[str, tuple[float, float]]:
    """Return the F intervals of the six forms for complete ratings (McGraw & Wong 1996)."""
    n, k = ratings.shape
    alpha = 1.0 - conf_level
    ms_case, ms_within, _, ms_error = _mean_squares(ratings)
    one_way = _f_limits(ms_case / ms_within, (n - 1, n * (k - 1)), alpha)
    consistent = _f_limits(ms_case / ms_error, (n - 1, (n - 1) * (k - 1)), alpha)
    limits = {
        "ICC(1,1)": tuple((f - 1.0) / (f + k - 1.0) for f in one_way),
        "ICC(A,1)": _agreement_limits(ratings, alpha),
        "ICC(C,1)": tuple((f - 1.0) / (f + k - 1.0) for f in consistent),
    }
    single = {form: (low, high) for form, (low, high) in limits.items()}
    mean = {
        form.replace(",1)", ",k)"): (_stepped_up(low, k), _stepped_up(high, k))
        for form, (low, high) in single.items()
    }
    return single | mean


def _agreement_limits(ratings: Array, alpha: float) -> tuple[float, float]:
    """Return the limits of absolute agreement, with Satterthwaite df of its denominator."""
    n, k = ratings.shape
    ms_case, _, ms_coder, ms_error = _mean_squares(ratings)
    rho = _share((ms_case - ms_error) / k, (ms_coder - ms_error) / n + ms_error)
    a = k * rho / (n * (1.0 - rho))
    b = 1.0 + k * rho * (n - 1.0) / (n * (1.0 - rho))
    v = (a * ms_coder + b * ms_error) ** 2 / (
        (a * ms_coder) ** 2 / (k - 1.0) + (b * ms_error) ** 2 / ((n - 1.0) * (k - 1.0))
    )
    noise = k * ms_coder + (k * n - k - n) * ms_error
    below = float(stats.f.isf(alpha / 2.0, n - 1, v))
    above = float(stats.f.isf(alpha / 2.0, v, n - 1))
    return (
        n * (ms_case - below * ms_error) / (below * noise + n * ms_case),
        n * (above * ms_case - ms_error) / (noise + n * above * ms_case),
    )


def _f_limits(f: float, df: tuple[int, int], alpha: float) -> tuple[float, float]:
    return (
        f / float(stats.f.isf(alpha / 2.0, *df)),
        f * float(stats.f.isf(alpha / 2.0, df[1], df[0])),
    )


def _stepped_up(rho: float, k: int) -> float:
    """Return the reliability of the mean of k coders (Spearman-Brown)."""
    return k * rho / (1.0 + (k - 1.0) * rho)


def _share(signal: float, noise: float) -> float:
    return signal / (signal + noise) if signal + noise else math.nan


def _mean_squares(ratings: Array) -> tuple[float, float, float, float]:
    """Return the mean squares of cases, within cases, of coders, and of the residual."""
    n, k = ratings.shape
    grand = ratings.mean()
    ss_case = k * float(((ratings.mean(axis=1) - grand) ** 2).sum())
    ss_coder = n * float(((ratings.mean(axis=0) - grand) ** 2).sum())
    ss_within = float(((ratings - ratings.mean(axis=1, keepdims=True)) ** 2).sum())
    ss_error = ss_within - ss_coder
    return (
        ss_case / (n - 1),
        ss_within / (n * (k - 1)),
        ss_coder / (k - 1),
        ss_error / ((n - 1) * (k - 1)),
    )


def _one_way(model: LinearMixedModel) -> tuple[float, float]:
    found = _variances(model)
    return found["case"], found["Residual"]


def _two_way(model: LinearMixedModel) -> tuple[float, float, float]:
    found = _variances(model)
    return found["case"], found["coder"], found["Residual"]


def _fit(formula: str, ratings: Array) -> LinearMixedModel:
    case, coder = np.nonzero(~np.isnan(ratings))
    values = ratings[case, coder]
    if not (np.nanmax(ratings, axis=1) > np.nanmin(ratings, axis=1)).any():
        raise NotIdentifiedError(
            "The coders give the same rating to each case: with no error variance the mixed model "
            "has nothing to estimate the intraclass correlations from."
        )
    return lmm(formula, pd.DataFrame({"rating": values, "case": case, "coder": coder}))


def _variances(model: LinearMixedModel) -> dict[str, float]:
    """Return group -> variance."""
    table = model.tidy(effects="ran_pars")
    return {str(g): float(sd) ** 2 for g, sd in zip(table["group"], table["estimate"], strict=True)}
