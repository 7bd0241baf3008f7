"""What a fitted generalized mixed model says: tidy frames and text, derived from the fit."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.design.formula import INTERCEPT
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.descent import descend
from alliance_stats.engine.laplace import find_mode
from alliance_stats.estimates import Array, two_sided_p, wald_interval
from alliance_stats.formatting import (
    format_bounded,
    format_count,
    format_interval,
    format_number,
    format_p,
    text_table,
)
from alliance_stats.multilevel.glmm_profile import profile_limits
from alliance_stats.multilevel.tidy_frames import (
    boundary_sentences,
    decimals_of,
    random_effect_pars,
    tidy_frame,
)

if TYPE_CHECKING:
    from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel

__all__ = [
    "fixed_table",
    "glance_table",
    "median_ratio_table",
    "ran_pars_table",
    "ran_vals_table",
    "summary_text",
]

RATIOS = {"logit": "odds ratio", "cloglog": "hazard ratio", "log": "rate ratio"}


def fixed_table(model: "GeneralizedLinearMixedModel", *, conf_level: float) -> pd.DataFrame:
    """Coefficients with standard errors, z tests and intervals."""
    fixed = model.design.fixed
    estimate = model.beta.to_numpy()
    std_error = np.full(len(estimate), np.nan)
    std_error[fixed.kept] = np.sqrt(np.diag(model.vcov()))
    statistic = estimate / std_error
    low, high = wald_interval(estimate, std_error, conf_level=conf_level)
    return tidy_frame(
        effect="fixed",
        term=list(fixed.names),
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        df=np.inf,
        p_value=two_sided_p(statistic),
        conf_low=low,
        conf_high=high,
    )


def ran_pars_table(model: "GeneralizedLinearMixedModel") -> pd.DataFrame:
    """SDs and correlations of the random effects."""
    frames = random_effect_pars(model.design.groupings, model.covariances())
    return pd.concat(frames, ignore_index=True)


def ran_vals_table(model: "GeneralizedLinearMixedModel", *, conf_level: float) -> pd.DataFrame:
    """Predicted random effects of every unit, with conditional SDs."""
    problem, fit = model.problem, model.fit
    mode = find_mode(problem, problem.arranged(fit.Lambda), fit.gamma, fit.u)
    down = descend(problem.layout, mode.up)
    covariances = problem.by_factor([post.K for post in (*down.levels, *down.crossed)])
    frames = []
    for f, (grouping, effects, K) in enumerate(
        zip(model.design.groupings, working_effects(model), covariances, strict=True)
    ):
        T = back_transform(grouping.terms)
        b = T @ effects
        sds = np.sqrt(np.maximum(np.einsum("ij,jkn,ik->in", T, K, T), 0.0))
        sds = by_label(model, f, sds)
        for i, name in enumerate(grouping.names):
            low, high = wald_interval(b[i], sds[i], conf_level=conf_level)
            frames.append(
                tidy_frame(
                    effect="ran_vals",
                    group=grouping.name,
                    level=list(grouping.labels),
                    term=name,
                    estimate=b[i],
                    std_error=sds[i],
                    conf_low=low,
                    conf_high=high,
                )
            )
    return pd.concat(frames, ignore_index=True)


def working_effects(model: "GeneralizedLinearMixedModel") -> list[Array]:
    """Modes of the working columns' effects, (q, units) in the order of the labels."""
    u = model.problem.by_factor(model.fit.u)
    return [by_label(model, f, Lambda @ u[f]) for f, Lambda in enumerate(model.fit.Lambda)]


def by_label(model: "GeneralizedLinearMixedModel", factor: int, values: Array) -> Array:
    """Bring (q, units) from the layout's order of units into that of the labels."""
    for level in model.problem.layout.levels:
        if level.factor == factor:
            ordered = np.empty_like(values)
            ordered[:, level.units] = values
            return ordered
    return values


def median_ratio_table(
    model: "GeneralizedLinearMixedModel", *, method: str, conf_level: float
) -> pd.DataFrame:
    """See :meth:`GeneralizedLinearMixedModel.median_ratios`."""
    link = model.family.link
    if link not in RATIOS:
        raise ValueError(
            f"The {link} link has no ratio between units; median ratios are defined for logit "
            "(odds), cloglog (hazards) and log (rates)."
        )
    quartile = np.sqrt(2.0) * stats.norm.ppf(0.75)
    rows = []
    for f, grouping in enumerate(model.design.groupings):
        if INTERCEPT not in grouping.names:
            continue
        position = grouping.names.index(INTERCEPT)
        sd, log_sd_error = _sd_with_error(model, f, position)
        if method == "wald":
            limits = np.ravel(wald_interval(0.0, log_sd_error, conf_level=conf_level))
            low, high = sd * np.exp(limits)
        else:
            unit = abs(float(back_transform(grouping.terms)[0, 0]))
            relative = profile_limits(
                model.problem, model.criterion, model.fit, f, conf_level=conf_level
            )
            low, high = unit * np.array(relative)
        rows.append(
            {
                "group": grouping.name,
                "term": f"median {RATIOS[link]}",
                "estimate": np.exp(quartile * sd),
                "conf_low": np.exp(quartile * low),
                "conf_high": np.exp(quartile * high),
            }
        )
    return pd.DataFrame(rows, columns=["group", "term", "estimate", "conf_low", "conf_high"])


def _sd_with_error(
    model: "GeneralizedLinearMixedModel", f: int, position: int
) -> tuple[float, float]:
    """SD of one random effect (as given) and the standard error of its logarithm.

    The variance is ``t'Lambda Lambda't`` for a row t of the back-transformation, so its slope in
    Lambda is ``2 t t' Lambda``.
    """
    t = back_transform(model.design.groupings[f].terms)[position]
    half = t @ model.fit.Lambda[f]
    variance = float(half @ half)
    if variance == 0.0:
        return 0.0, np.nan
    slopes = [np.zeros_like(Lambda) for Lambda in model.fit.Lambda]
    slopes[f] = 2.0 * np.outer(t, half)
    gradient = model.fit.template.theta(slopes) / (2.0 * variance)
    k = len(gradient)
    error = float(gradient @ model.fit.covariance[:k, :k] @ gradient)
    return float(np.sqrt(variance)), float(np.sqrt(max(error, 0.0)))


def glance_table(model: "GeneralizedLinearMixedModel") -> pd.DataFrame:
    """Sizes, fit statistics and convergence in one row."""
    n_parameters = model.problem.p + model.problem.template.n_theta
    deviance = model.fit.deviance
    return pd.DataFrame(
        [
            {
                "nobs": model.nobs,
                **{f"n_{g.name}": len(g.labels) for g in model.design.groupings},
                "distribution": model.family.name,
                "link": model.family.link,
                "nodes": model.nodes,
                "log_lik": model.log_lik,
                "deviance": deviance,
                "aic": deviance + 2.0 * n_parameters,
                "bic": deviance + np.log(model.nobs) * n_parameters,
                "n_parameters": n_parameters,
                "converged": model.convergence.converged,
                "singular": model.singular,
            }
        ]
    )


def summary_text(model: "GeneralizedLinearMixedModel") -> str:
    """Text: warnings first, then what was fitted, fixed effects, random effects, rows."""
    lines = []
    if not model.convergence.converged:
        lines.append(f"NOT CONVERGED: {model.convergence.message} Do not use these numbers.")
    if model.singular:
        sentences = boundary_sentences(model.design.groupings, model.fit.template)
        lines.append("Boundary (singular) fit: " + "; ".join(sentences) + ".")
    if model.design.fixed.aliased:
        lines.append(
            "Not estimable, since other columns determine them: "
            + ", ".join(model.design.fixed.aliased)
            + "."
        )
    method = (
        "the Laplace approximation"
        if model.nodes == 1
        else f"adaptive Gauss-Hermite quadrature with {model.nodes} nodes"
    )
    lines.append(
        f"Generalized linear mixed model ({model.family.name}, {model.family.link} link) fitted by "
        f"maximum likelihood with {method}: {model.formula}"
    )
    lines.append(_fixed_text(model))
    lines.append(_random_text(model))
    fit = model.glance().iloc[0]
    units = ", ".join(f"{format_count(len(g.labels))} {g.name}" for g in model.design.groupings)
    lines.append(
        f"{format_count(model.nobs)} rows; units: {units}. "
        f"Log-likelihood {format_number(fit.log_lik)}, AIC {format_number(fit.aic)}. "
        "Wald z tests."
    )
    lines.append(str(model.rows))
    return "\n\n".join(lines)


def _fixed_text(model: "GeneralizedLinearMixedModel") -> str:
    return text_table(
        ["Fixed effects", "b", "SE", "z", "p", "95% CI"],
        [
            [
                str(row.term),
                format_number(row.estimate, digits),
                format_number(row.std_error, digits),
                format_number(row.statistic),
                format_p(row.p_value),
                format_interval(row.conf_low, row.conf_high, digits),
            ]
            for row in model.tidy().itertuples()
            for digits in [decimals_of(row)]
        ],
    )


def _random_text(model: "GeneralizedLinearMixedModel") -> str:
    return text_table(
        ["Random effects", "parameter", "estimate"],
        [
            [
                str(row.group),
                str(row.term),
                format_bounded(row.estimate)
                if row.term.startswith("cor__")
                else format_number(row.estimate, 3),
            ]
            for row in model.tidy(effects="ran_pars").itertuples()
        ],
    )
