"""How well a regression fits: R2 and pseudo-R2, tests of the whole model and of its steps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.design.design import Design
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import GeneralizedFit, LinearFit, RSquared, ml_refit

# Newton's steps to the constant of a null model, and where they end.
_NULL_STEPS, _NULL_DONE = 50, 1e-12

__all__ = [
    "explained",
    "generalized_explained",
    "generalized_glance",
    "generalized_steps",
    "linear_explained",
    "linear_glance",
    "linear_steps",
    "r_squared_of",
    "spans_constant",
]


def linear_explained(fit: LinearFit) -> RSquared:
    """Return R2 and adjusted R2, and the outcome's variance partitioned by them."""
    whole = linear_glance(fit).iloc[0]
    r2, total = float(whole["r2"]), float(fit.design.y.var(ddof=1))
    named = (
        ("r2", r2, "share of the outcome's variance"),
        ("r2_adjusted", float(whole["r2_adjusted"]), "Ezekiel 1930"),
    )
    return explained(r2, (r2 * total, (1.0 - r2) * total), named, fit.design.rows, "its scale")


def generalized_explained(fit: GeneralizedFit) -> RSquared:
    """Return pseudo-R2 by name, and on the scale of the link the part of the fixed effects."""
    whole = generalized_glance(fit).iloc[0]
    sources = {"mcfadden": "McFadden 1974", "nagelkerke": "Nagelkerke 1991", "tjur": "Tjur 2009"}
    named = [
        (name, float(whole[f"r2_{name}"]), source)
        for name, source in sources.items()
        if np.isfinite(whole[f"r2_{name}"])
    ]
    spread = float((fit.fixed_part - fit.known_part).var(ddof=1))  # an offset explains nothing
    mean = float(fit.design.y.mean())
    rest = np.pi**2 / 3.0 if fit.family.link == "logit" else float(np.log1p(1.0 / mean))
    latent = spread / (spread + rest)
    source = "McKelvey & Zavoina 1975" if fit.family.link == "logit" else "Nakagawa et al. 2017"
    named.append(("latent", latent, source))
    scale = f"the {fit.family.link} scale (residual variance implied by the link)"
    return explained(latent, (spread, rest), tuple(named), fit.design.rows, scale)


def explained(
    share: float,
    parts: tuple[float, float],
    named: tuple[tuple[str, float, str], ...],
    rows: RowLedger,
    scale: str,
) -> RSquared:
    """Return explained variance of a model without random effects."""
    lines = [("fixed", None, "total", parts[0]), ("residual", None, "total", parts[1])]
    sources = pd.DataFrame(lines, columns=["source", "group", "scope", "variance"])
    return RSquared(share, share, sources, None, scale, (), rows, named)


def linear_glance(fit: LinearFit) -> pd.DataFrame:
    """Return sizes, R2, the F test of all coefficients, and information criteria in one row."""
    r2, df1, df2 = r_squared_of(fit)
    ml = ml_refit(fit)
    k = len(fit.design.fixed.kept) + 1
    f = r2 / df1 / ((1.0 - r2) / df2) if df1 > 0 else np.nan
    return pd.DataFrame(
        [
            {
                "nobs": len(fit.design.y),
                "r2": r2,
                "r2_adjusted": 1.0 - (1.0 - r2) * (df1 + df2) / df2,
                "statistic": f,
                "df1": df1,
                "df2": df2,
                "p_value": float(stats.f.sf(f, df1, df2)) if df1 > 0 else np.nan,
                "sigma": fit.sigma,
                "log_lik": -ml.deviance / 2.0,
                "aic": ml.deviance + 2.0 * k,
                "bic": ml.deviance + np.log(len(fit.design.y)) * k,
            }
        ]
    )


def generalized_glance(fit: GeneralizedFit) -> pd.DataFrame:
    """Return sizes, likelihood ratio against the constant, R2 by name, information criteria."""
    design, n, p = fit.design, len(fit.design.y), len(fit.design.fixed.kept)
    y, mu = design.y, fit.family.mean(fit.fixed_part)
    log_lik = -fit.deviance / 2.0
    null = _null_log_lik(fit)
    df = p - int(spans_constant(design))
    ratio = 2.0 * (log_lik - null)
    cox_snell = -np.expm1(-ratio / n)
    tjur = mu[y == 1].mean() - mu[y == 0].mean() if fit.family.name == "binomial" else np.nan
    return pd.DataFrame(
        [
            {
                "nobs": n,
                "log_lik": log_lik,
                "log_lik_null": null,
                "statistic": ratio,
                "df": df,
                "p_value": float(stats.chi2.sf(ratio, df)) if df else np.nan,
                "r2_mcfadden": 1.0 - log_lik / null,
                "r2_nagelkerke": float(cox_snell / -np.expm1(2.0 * null / n)),
                "r2_tjur": float(tjur),
                "aic": fit.deviance + 2.0 * p,
                "bic": fit.deviance + np.log(n) * p,
            }
        ]
    )


def linear_steps(steps: Sequence[tuple[str, LinearFit]]) -> pd.DataFrame:
    """Return R2 after each block, its change, and F of the change."""
    _require_steps(steps)
    rows, before, p_before = [], 0.0, int(spans_constant(steps[0][1].design))
    for name, fit in steps:
        r2, _, df2 = r_squared_of(fit)
        df1 = len(fit.design.fixed.kept) - p_before
        f = (r2 - before) / df1 / ((1.0 - r2) / df2) if df1 > 0 else np.nan
        p = float(stats.f.sf(f, df1, df2)) if df1 > 0 else np.nan
        rows.append(
            {
                "step": name,
                "r2": r2,
                "r2_change": r2 - before,
                "statistic": f,
                "df1": float(df1),
                "df2": df2,
                "p_value": p,
            }
        )
        before, p_before = r2, len(fit.design.fixed.kept)
    return pd.DataFrame(rows)


def generalized_steps(steps: Sequence[tuple[str, GeneralizedFit]]) -> pd.DataFrame:
    """Return the log-likelihood after each block and the likelihood ratio of the change."""
    _require_steps(steps)
    rows = []
    before, p_before = _null_log_lik(steps[0][1]), 1
    for name, fit in steps:
        log_lik, p = -fit.deviance / 2.0, len(fit.design.fixed.kept)
        ratio, df = 2.0 * (log_lik - before), p - p_before
        rows.append(
            {
                "step": name,
                "log_lik": log_lik,
                "statistic": ratio,
                "df": float(df),
                "p_value": float(stats.chi2.sf(ratio, df)) if df > 0 else np.nan,
            }
        )
        before, p_before = log_lik, p
    return pd.DataFrame(rows)


def r_squared_of(fit: LinearFit) -> tuple[float, float, float]:
    """Return R2, the df of the coefficients besides the constant, and the residual df."""
    design = fit.design
    w = design.root_weights**2
    n, p = design.X.shape
    constant = spans_constant(design)
    y = design.y
    centre = float(w @ y / w.sum()) if constant else 0.0
    total = float(w @ (y - centre) ** 2)
    residual = fit.sigma**2 * (n - p)
    return 1.0 - residual / total, float(p - int(constant)), float(n - p)


def spans_constant(design: Design) -> bool:
    """Tell whether the (weighted) columns contain a constant."""
    ones = design.root_weights
    left = ones - design.Q.T @ (design.Q @ ones) / len(ones)
    return bool(np.linalg.norm(left) <= 1e-8 * np.linalg.norm(ones))


def _null_log_lik(fit: GeneralizedFit) -> float:
    """Log-likelihood of the constant alone, with the offset if there is one."""
    design, family, outcome = fit.design, fit.family, fit.problem.outcome
    if not spans_constant(design):
        raise NotIdentifiedError("Without a constant there is no null model to compare with.")
    known = np.zeros(len(design.y)) if design.offset is None else design.offset
    level = float(family.predictor(np.array([design.y.mean()]))[0]) - float(known.mean())
    order = fit.problem.layout.order
    for _ in range(_NULL_STEPS):
        log_density, score, weight = family.slopes(known[order] + level, outcome)
        step = float(score.sum() / weight.sum())
        level += step
        if abs(step) < _NULL_DONE:
            break
    return float(log_density.sum() + outcome.constant)


def _require_steps(steps: Sequence[object]) -> None:
    if not steps:
        raise NotIdentifiedError("No steps= were given to regression().")
