"""What a fitted linear mixed model says: tidy frames and text, derived from the fit."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.account import Account, Phrase, Section
from alliance_stats.design.groupings import Grouping, back_transform
from alliance_stats.engine.criterion import posteriors
from alliance_stats.engine.degrees_of_freedom import KenwardRoger
from alliance_stats.engine.descent import LevelPosterior
from alliance_stats.estimates import Array, two_sided_p, wald_interval
from alliance_stats.formatting import format_df, format_number
from alliance_stats.multilevel.cluster_robust import CR2, cluster_robust
from alliance_stats.multilevel.inference import small_sample, working_contrasts
from alliance_stats.multilevel.tidy_frames import (
    boundary_sentences,
    effect_covariances,
    random_effect_pars,
    random_section,
    tidy_frame,
)

if TYPE_CHECKING:
    from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel

__all__ = [
    "account_of",
    "covariances",
    "fixed_table",
    "glance_table",
    "method_of",
    "notes_of",
    "ran_pars_table",
    "ran_vals_table",
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


DF_WORDS = {
    "satterthwaite": "t tests with Satterthwaite df",
    "kenward-roger": "t tests with Kenward-Roger standard errors and df",
    "normal": "tests with the normal distribution",
}


def account_of(model: "LinearMixedModel", *, df_method: str, conf_level: float) -> Account:
    """Return what the model says: coefficients, random effects, sizes, likelihood."""
    fit = model.glance().iloc[0]
    fixed = fixed_table(model, df_method=df_method, vcov=None, conf_level=conf_level)
    sections = (
        Section("Fixed effects", fixed, names=("term",), measure="b", conf_level=conf_level),
        random_section(model.design.groupings, covariances(model), residual_phrases(model)),
    )
    fitted = "Restricted log" if model.reml else "Log"
    return Account(
        f"{model.method}, {DF_WORDS[df_method]}",
        model.notes,
        {"rows": model.nobs, **{g.name: len(g.labels) for g in model.design.groupings}},
        sections,
        (Phrase(f"{fitted}-likelihood {{}}, AIC {{}}.", ((fit.log_lik, 2), (fit.aic, 2))),),
        model.rows,
    )


def method_of(model: "LinearMixedModel") -> str:
    """Return how the model was fitted, with what was assumed of the residual."""
    problem, parts = model.problem, []
    if np.ptp(model.design.root_weights) > 0 and not problem.known:
        parts.append("weighted rows (residual at weight 1)")
    if problem.known:
        parts.append("known sampling variances")
    shape = problem.shape
    if shape is not None and shape.column is not None:
        parts.append(f"residual variance by {shape.column}")
    if shape is not None and shape.correlation is not None:
        kind, time = type(shape.correlation).__name__, shape.correlation.time
        parts.append(f"{kind} residuals over {time}")
    assumed = f" with {' and '.join(parts)}" if parts else ""
    fitted = "REML" if model.reml else "maximum likelihood"
    return f"linear mixed model fitted by {fitted} ({model.formula}){assumed}"


def residual_phrases(model: "LinearMixedModel") -> list[tuple[Phrase, float, str]]:
    """Return the residual's parameters in words: phrase, value, how it is written."""
    if model.problem.known:
        return []
    found = []
    for term, stratum, value in zip(*residual_values(model), strict=True):
        if term.startswith("sd__"):
            phrase = Phrase("residual" if stratum is None else "residual ({})", (stratum,))
            found.append((phrase, value, "number"))
        else:
            found.append(
                (Phrase("residual correlation {}", (term.removeprefix("phi__"),)), value, "bounded")
            )
    return found


def notes_of(model: "LinearMixedModel") -> tuple[str, ...]:
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
    return tuple(found)


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
