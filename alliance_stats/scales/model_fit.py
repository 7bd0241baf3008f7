"""How well a factor model fits: chi-squared, CFI, TLI, RMSEA with its interval, SRMR, AIC, BIC."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, stats

from alliance_stats.estimates import Array
from alliance_stats.scales.factor_structure import ItemMoments, independent
from alliance_stats.scales.moment_structure import (
    Block,
    Component,
    MomentFit,
    fit_moments,
    log_density_constant,
    saturated,
)

__all__ = ["EXACT", "FitMeasures", "fit_measures", "scaling_of"]

_TAIL = 0.05  # on each side of the interval of RMSEA, which is of 90% by custom
EXACT = 0.01  # a chi-squared of a model with 0 df below it is of floating point alone


@dataclass(frozen=True, slots=True)
class FitMeasures:
    """Measures of fit; see ``FactorModel.glance``."""

    nobs: int
    n_parameters: int
    log_lik: float
    chi2: float
    df: int
    scaling: float
    cfi: float
    tli: float
    rmsea: tuple[float, float, float]
    srmr: float

    def row(self) -> dict[str, float]:
        """Return the measures as the columns of a row."""
        value, low, high = self.rmsea
        return {
            "nobs": self.nobs,
            "n_parameters": self.n_parameters,
            "log_lik": self.log_lik,
            "chi2": self.chi2,
            "df": self.df,
            "p_value": float(stats.chi2.sf(self.chi2, self.df)) if self.df else np.nan,
            "scaling": self.scaling,
            "cfi": self.cfi,
            "tli": self.tli,
            "rmsea": value,
            "rmsea_low": low,
            "rmsea_high": high,
            "srmr": self.srmr,
            "aic": 2.0 * (self.n_parameters - self.log_lik),
            "bic": float(np.log(self.nobs)) * self.n_parameters - 2.0 * self.log_lik,
        }


def scaling_of(inverse: Array, meat: Array) -> float:
    """Return ``tr(B A^-1)``: what the parameters' number is replaced by under clustering."""
    return float(np.sum(inverse * meat.T))


def fit_measures(fit: MomentFit, moments: ItemMoments, trace: float | None) -> FitMeasures:
    """Return the measures of a fit.

    Parameters
    ----------
    fit
        The fitted model.
    moments
        What was observed.
    trace
        :func:`scaling_of` the model's parameters where rows are clustered; None where they are not.

    Notes
    -----
    With ``d = chi2 - df`` of the model and ``d0`` of the model without covariances, ``CFI = 1 -
    max(d, 0) / max(d, d0, 0)`` (Bentler 1990), ``TLI = 1 - (d / df) / (d0 / df0)``, ``RMSEA =
    sqrt(G max(d, 0) / (N df))`` with G groups, its interval from noncentral chi-squared (Browne &
    Cudeck 1992). With clusters chi2 is divided by ``c = (tr B1 A1^-1 - tr B0 A0^-1) / df`` (Yuan &
    Bentler 2000), and df is multiplied by c in CFI, TLI and RMSEA (Brosseau-Liard & Savalei 2014,
    doi:10.1080/00273171.2014.933697). SRMR is of correlations and standardised means, averaged
    over groups by their size.
    """
    free = [saturated(moments.n_items, blocks, means) for blocks, means in _separate(moments)]
    baseline = fit_moments(independent(moments.starts, means=moments.means), moments.blocks)
    best = sum(part.half_deviance for part in free)
    k, k0 = len(fit.theta), len(baseline.theta)
    df, df0 = moments.n_free - k, moments.n_free - k0
    chi2 = max(2.0 * (fit.half_deviance - best), 0.0)
    chi2_0 = 2.0 * (baseline.half_deviance - best)
    c = c0 = 1.0
    if trace is not None:
        whole = sum(map(_trace, free))
        c = (whole - trace) / df if df else 1.0
        c0 = (whole - _trace(baseline)) / df0
    excess, excess0 = chi2 - c * df, chi2_0 - c0 * df0
    worst = max(excess, excess0, 0.0)
    groups = 1 if moments.levels else len(moments.starts)
    return FitMeasures(
        nobs=moments.nobs,
        n_parameters=k,
        log_lik=-fit.half_deviance - log_density_constant(moments.blocks),
        chi2=chi2 / c,
        df=df,
        scaling=c,
        cfi=1.0 - max(excess, 0.0) / worst if worst > 0.0 else 1.0,
        tli=1.0 - (excess / df) / (excess0 / df0) if df else _of_exact(chi2, 1.0),
        rmsea=_rmsea(chi2 / c, df, c * groups / moments.nobs),
        srmr=np.nan if moments.levels else _srmr(fit, free, moments),
    )


def _separate(moments: ItemMoments) -> list[tuple[tuple[Block, ...], list[int]]]:
    """Return the blocks that share parameters when all is free: of a group, or of both levels."""
    if moments.levels:
        return [(moments.blocks, [1])]
    return [
        (tuple(replace(b, weights={0: 1.0}, centre=0) for b in moments.of(group)), [0])
        for group in range(len(moments.starts))
    ]


def _trace(fit: MomentFit) -> float:
    inverse: Array = np.asarray(np.linalg.inv(fit.observed()), dtype=np.float64)
    return scaling_of(inverse, fit.meat())


def _of_exact(chi2: float, perfect: float) -> float:
    """Return the best a measure can be if a model with 0 df fits; NaN if it still does not."""
    return perfect if chi2 < EXACT else np.nan


def _rmsea(chi2: float, df: int, unit: float) -> tuple[float, float, float]:
    """Return RMSEA and its limits; `unit` multiplies a noncentrality over df."""
    if df == 0:
        return _of_exact(chi2, 0.0), np.nan, np.nan

    def noncentrality(share: float) -> float:
        def gap(size: float) -> float:
            return (
                float(stats.ncx2.cdf(chi2, df, size) if size > 0 else stats.chi2.cdf(chi2, df))
                - share
            )

        return _root(gap, max(chi2, df)) if gap(0.0) > 0.0 else 0.0

    sizes = max(chi2 - df, 0.0), noncentrality(1.0 - _TAIL), noncentrality(_TAIL)
    value, low, high = (float(np.sqrt(size * unit / df)) for size in sizes)
    return value, low, high


def _root(function: Callable[[float], float], scale: float) -> float:
    upper = scale
    while function(upper) > 0.0:
        upper *= 2.0
    return float(optimize.brentq(function, 0.0, upper, xtol=1e-10))


def _srmr(fit: MomentFit, free: list[MomentFit], moments: ItemMoments) -> float:
    total = 0.0
    for place, part in enumerate(free):
        mean, covariance = _implied(fit.components[place], fit.theta)
        own_mean, own = _implied(part.components[0], part.theta)
        sds = np.sqrt(np.diag(own))
        lower = np.tril_indices(len(sds))
        gaps = ((own - covariance) / np.outer(sds, sds))[lower]
        means = (own_mean - mean) / sds
        n = sum(block.n for block in moments.of(place))
        total += n * float(np.sqrt((gaps @ gaps + means @ means) / (len(gaps) + len(means))))
    return total / moments.nobs


def _implied(component: Component, theta: Array) -> tuple[Array, Array]:
    L, P, T, nu, a = component.at(theta)
    return nu + L @ a, L @ P @ L.T + T
