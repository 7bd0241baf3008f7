"""What a fitted linear mixed model says: tidy frames and text, derived from the fit."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.design.groupings import Grouping, back_transform
from alliance_stats.engine.criterion import posteriors
from alliance_stats.engine.degrees_of_freedom import KenwardRoger
from alliance_stats.engine.descent import LevelPosterior
from alliance_stats.estimates import Array, two_sided_p, wald_interval
from alliance_stats.formatting import (
    format_bounded,
    format_count,
    format_df,
    format_interval,
    format_number,
    format_p,
    text_table,
)
from alliance_stats.multilevel.cluster_robust import CR2, cluster_robust
from alliance_stats.multilevel.inference import small_sample, working_contrasts
from alliance_stats.multilevel.tidy_frames import (
    boundary_sentences,
    decimals_of,
    effect_covariances,
    random_effect_pars,
    tidy_frame,
)

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = [
    "covariances",
    "fixed_table",
    "glance_table",
    "ran_pars_table",
    "ran_vals_table",
    "summary_text",
]


# Share of Satterthwaite's df below which Kenward and Roger's are said beside them.
MUCH_FEWER = 0.5


def fixed_table(
    model: "LinearMixedModel", *, df_method: str, vcov: CR2 | None, conf_level: float
) -> pd.DataFrame:
    """Coefficients with standard errors, df, tests and intervals."""
    fixed = model.design.fixed
    variances, df = coefficient_variances(model, df_method=df_method, vcov=vcov)
    estimate = model.beta.to_numpy()
    std_error, all_df = np.full((2, len(estimate)), np.nan)
    std_error[fixed.kept], all_df[fixed.kept] = np.sqrt(variances), df
    statistic = estimate / std_error
    low, high = wald_interval(estimate, std_error, df=all_df, conf_level=conf_level)
    return tidy_frame(
        effect="fixed",
        term=list(fixed.names),
        estimate=estimate,
        std_error=std_error,
        statistic=statistic,
        df=all_df,
        p_value=two_sided_p(statistic, df=all_df),
        conf_low=low,
        conf_high=high,
    )


def coefficient_variances(
    model: "LinearMixedModel", *, df_method: str, vcov: CR2 | None
) -> tuple[Array, Array]:
    """Squared standard errors and df of the estimated coefficients."""
    if vcov is not None:
        robust = cluster_robust(model, vcov)
        return np.diag(robust.vcov), robust.df(np.eye(len(robust.M)))
    method = small_sample(model, df_method)
    C = working_contrasts(model, np.eye(len(model.design.fixed.kept)))
    if method is None:
        return np.diag(model.vcov()), np.full(len(C), np.inf)
    Phi = method.adjusted if isinstance(method, KenwardRoger) else method.Phi
    return model.sigma**2 * np.einsum("rp,pq,rq->r", C, Phi, C), method.df(C)


def covariances(model: "LinearMixedModel") -> dict[str, pd.DataFrame]:
    """Covariance of each grouping factor's random effects, in the columns as given."""
    return effect_covariances(model.design.groupings, model.fit.Lambda, model.sigma)


def ran_pars_table(model: "LinearMixedModel") -> pd.DataFrame:
    """SDs and correlations of the random effects, and the residual SD."""
    frames = random_effect_pars(model.design.groupings, covariances(model))
    if not model.problem.known:
        frames.append(_residual_pars(model))
    return pd.concat(frames, ignore_index=True)


def _residual_pars(model: "LinearMixedModel") -> pd.DataFrame:
    """Residual SD, a row a stratum where there are strata, and the residual correlation."""
    terms, levels, values = residual_values(model)
    return tidy_frame(
        effect="ran_pars", group="Residual", level=levels, term=terms, estimate=values
    )


def residual_values(
    model: "LinearMixedModel",
) -> tuple[list[str], list[str | None], list[float]]:
    """Terms, strata and values of the residual's parameters; no stratum where there is one."""
    shape, eta = model.problem.shape, model.fit.eta
    if shape is None:
        return ["sd__Observation"], [None], [model.sigma]
    sds = model.sigma * shape.relative_sd(eta)
    terms, values = ["sd__Observation"] * len(sds), [float(sd) for sd in sds]
    levels: list[str | None] = [None if shape.column is None else str(s) for s in shape.labels]
    if shape.correlation is not None:
        terms.append(f"phi__{type(shape.correlation).__name__}({shape.correlation.time})")
        levels.append(None)
        values.append(shape.phi_per_unit(eta))
    return terms, levels, values


def ran_vals_table(model: "LinearMixedModel", *, conf_level: float) -> pd.DataFrame:
    """Predicted random effects of every unit, with conditional SDs."""
    v = np.append(-model.solution.beta, 1.0)
    frames = []
    for grouping, post, units in _posteriors_with_units(model):
        T = back_transform(grouping.terms)
        b = T @ np.einsum("qrn,r->qn", post.B, v)
        spread = np.einsum("ij,jkn,ik->in", T, post.K, T)
        labels = grouping.labels[units]
        for i, name in enumerate(grouping.names):
            sd = model.sigma * np.sqrt(np.maximum(spread[i], 0.0))
            low, high = wald_interval(b[i], sd, conf_level=conf_level)
            frames.append(
                tidy_frame(
                    effect="ran_vals",
                    group=grouping.name,
                    level=list(labels),
                    term=name,
                    estimate=b[i],
                    std_error=sd,
                    conf_low=low,
                    conf_high=high,
                ).iloc[np.argsort(units)]
            )
    return pd.concat(frames, ignore_index=True)


def _posteriors_with_units(
    model: "LinearMixedModel",
) -> list[tuple[Grouping, LevelPosterior, npt.NDArray[np.int64]]]:
    units = {level.factor: level.units for level in model.problem.layout.levels}
    return [
        (grouping, post, units.get(f, np.arange(len(grouping.labels))))
        for f, (grouping, post) in enumerate(
            zip(model.design.groupings, posteriors(model.problem, model.descent), strict=True)
        )
    ]


def glance_table(model: "LinearMixedModel") -> pd.DataFrame:
    """Sizes, fit statistics and convergence in one row."""
    problem = model.problem
    n_parameters = (
        problem.p + problem.template.n_theta + len(model.fit.eta) + (0 if problem.known else 1)
    )
    return pd.DataFrame(
        [
            {
                "nobs": model.nobs,
                **{f"n_{g.name}": len(g.labels) for g in model.design.groupings},
                "sigma": model.sigma,
                "log_lik": model.log_lik,
                "deviance": model.fit.deviance,
                "aic": model.fit.deviance + 2.0 * n_parameters,
                "bic": model.fit.deviance + np.log(model.nobs) * n_parameters,
                "n_parameters": n_parameters,
                "reml": model.reml,
                "converged": model.convergence.converged,
                "singular": model.singular,
            }
        ]
    )


def summary_text(model: "LinearMixedModel") -> str:
    """Text: warnings first, then what was fitted, fixed effects, random effects, rows."""
    method = "REML" if model.reml else "maximum likelihood"
    fit = model.glance().iloc[0]
    units = "; ".join(
        f"{format_count(len(g.labels))} units of {g.name}" for g in model.design.groupings
    )
    size = (
        f"{format_count(model.nobs)} rows{'; ' if units else ''}{units}. "
        f"{'Restricted log' if model.reml else 'Log'}-likelihood {format_number(fit.log_lik)}, "
        f"AIC {format_number(fit.aic)}. df by Satterthwaite's method."
    )
    return "\n\n".join(
        [
            *_warnings(model),
            f"Linear mixed model fitted by {method}: {model.formula}",
            _fixed_text(model.tidy()),
            _random_text(model.tidy(effects="ran_pars")),
            size,
            str(model.rows),
        ]
    )


def _warnings(model: "LinearMixedModel") -> list[str]:
    """Say what a reader must know before any number."""
    found = []
    if not model.convergence.converged:
        found.append(
            "NOT CONVERGED: the gradient's largest element is "
            f"{format_number(model.convergence.gradient_norm, 4)}; do not use these numbers."
        )
    if model.singular:
        sentences = boundary_sentences(model.design.groupings, model.fit.template)
        found.append(
            "Boundary (singular) fit: "
            + "; ".join(sentences)
            + ". Standard errors and df (Satterthwaite) are those of the model without it."
            + _kept_at_boundary(model)
        )
    if model.design.fixed.aliased:
        names = ", ".join(model.design.fixed.aliased)
        found.append(f"Not estimable, since other columns determine them: {names}.")
    return found


def _kept_at_boundary(model: "LinearMixedModel") -> str:
    """Name the coefficients whose df shrink when variances at zero count as estimated."""
    if not model.reml or model.problem.shape is not None or model.problem.p == 0:
        return ""
    names = [model.design.fixed.names[i] for i in model.design.fixed.kept]
    ours, kept = (
        coefficient_variances(model, df_method=method, vcov=None)[1]
        for method in ("satterthwaite", "kenward-roger")
    )
    fewer = [
        f"{name} {format_df(few)} instead of {format_df(many)}"
        for name, many, few in zip(names, ours, kept, strict=True)
        if few < MUCH_FEWER * many
    ]
    if not fewer:
        return ""
    return (
        " Kenward-Roger's (df_method='kenward-roger', as pbkrtest) count it as estimated, with far "
        f"fewer df: {'; '.join(fewer)}. With few units that is the safer test."
    )


def _fixed_text(table: pd.DataFrame) -> str:
    cells = [
        [
            str(row.term),
            format_number(row.estimate, digits),
            format_number(row.std_error, digits),
            format_df(row.df),
            format_number(row.statistic),
            format_p(row.p_value),
            format_interval(row.conf_low, row.conf_high, digits),
        ]
        for row in table.itertuples()
        for digits in [decimals_of(row)]
    ]
    return text_table(["Fixed effects", "b", "SE", "df", "t", "p", "95% CI"], cells)


def _random_text(table: pd.DataFrame) -> str:
    cells = [
        [
            str(row.group),
            str(row.term) if row.level is None else f"{row.term} ({row.level})",
            format_bounded(row.estimate)
            if row.term.startswith(("cor__", "phi__"))
            else format_number(row.estimate, 3),
        ]
        for row in table.itertuples()
    ]
    return text_table(["Random effects", "parameter", "estimate"], cells)
