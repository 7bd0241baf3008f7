"""The one-row table of a fit, and its account."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section
from alliance_stats.design.residual import (
    CompoundSymmetry,
    VarianceBy,
    VarianceExponential,
    VariancePower,
)
from alliance_stats.engine.residual_correlation import Serial
from alliance_stats.estimates import link_words
from alliance_stats.formatting import format_df, format_number, plural
from alliance_stats.multilevel.few_units import few_unit_notes, generalized_few_unit_notes
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_functions import inference_on
from alliance_stats.multilevel.ordinal_fit import OrdinalFit
from alliance_stats.multilevel.parameter_tables import (
    boundary_sentences,
    dispersion_section,
    fixed_table,
    random_section,
)

__all__ = [
    "DF_WORDS",
    "generalized_account",
    "generalized_glance",
    "generalized_method",
    "generalized_notes",
    "linear_account",
    "linear_glance",
    "linear_method",
    "linear_notes",
]

# Share of rows below which a step says next to nothing on the thresholds beside it.
RARE = 0.01
# Share of Satterthwaite's df below which Kenward and Roger's are said beside them.
MUCH_FEWER = 0.5
# Correlation below which one that cannot be negative is at 0.
NO_CORRELATION = 1e-5

DF_WORDS = {
    "satterthwaite": "t tests with Satterthwaite df",
    "kenward-roger": "t tests with Kenward-Roger standard errors and df",
    "normal": "tests with the normal distribution",
}


def linear_glance(fit: LinearFit) -> pd.DataFrame:
    """Sizes, fit statistics and convergence in one row."""
    return _glance(fit, {"sigma": fit.sigma}, {"reml": fit.problem.reml})


def generalized_glance(fit: GeneralizedFit) -> pd.DataFrame:
    """Sizes, fit statistics and convergence in one row."""
    kind = {"distribution": fit.asked.name, "link": fit.family.link, "nodes": fit.nodes}
    if fit.asked.dispersion is None:
        return _glance(fit, kind, {})
    return _glance(fit, {**kind, "dispersion": fit.one_dispersion}, {})


def _glance(
    fit: LinearFit | GeneralizedFit, kind: dict[str, object], method: dict[str, object]
) -> pd.DataFrame:
    n, k = fit.problem.n, fit.n_parameters
    return pd.DataFrame(
        [
            {
                "nobs": n,
                **{f"n_{g.name}": len(g.labels) for g in fit.design.groupings},
                **kind,
                "log_lik": -fit.deviance / 2.0,
                "deviance": fit.deviance,
                "aic": fit.deviance + 2.0 * k,
                "bic": fit.deviance + np.log(n) * k,
                "n_parameters": k,
                **method,
                "converged": fit.convergence.converged,
                "singular": fit.singular,
            }
        ]
    )


_DF_SOURCES = {
    "satterthwaite": ("satterthwaite1946", "kuznetsova2017"),
    "kenward-roger": ("kenward1997",),
}


def linear_account(fit: LinearFit, *, df_method: str, conf_level: float) -> Account:
    """Return the model's coefficients, random effects, sizes and likelihood."""
    table = fixed_table(fit, df_method=df_method, conf_level=conf_level)
    fitted = "Restricted log" if fit.problem.reml else "Log"
    return _account(
        fit,
        f"{linear_method(fit)}, {DF_WORDS[df_method]}",
        linear_notes(fit, {}),
        table,
        fitted,
        conf_level=conf_level,
        sources=("bates2015", *_DF_SOURCES.get(df_method, ())),
    )


def generalized_account(fit: GeneralizedFit, *, conf_level: float) -> Account:
    """Return the model's coefficients, random effects, sizes and likelihood."""
    table = _with_ratios(fixed_table(fit, conf_level=conf_level))
    method = f"{generalized_method(fit)}, Wald z tests"
    ratio = link_words(fit.family.link, fit.family.support).ratio or ""
    return _account(
        fit,
        method,
        generalized_notes(fit),
        table,
        "Log",
        conf_level=conf_level,
        sources=("bates2015", "tierney1986"),
        ratio=ratio,
    )


def _with_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return coefficients with their exponentials; an intercept is no ratio."""
    own = table["term"] != "(Intercept)"
    with np.errstate(over="ignore"):  # a separated outcome's ratio is infinite
        return table.assign(
            ratio=np.exp(table["estimate"].where(own)),
            ratio_low=np.exp(table["conf_low"].where(own)),
            ratio_high=np.exp(table["conf_high"].where(own)),
        )


def _account(
    fit: LinearFit | GeneralizedFit,
    method: str,
    notes: tuple[str, ...],
    table: pd.DataFrame,
    fitted: str,
    *,
    conf_level: float,
    sources: tuple[str, ...],
    ratio: str = "",
) -> Account:
    also = {"ratio": Column(ratio, "ratio", "ratio_low", "ratio_high")} if ratio else {}
    fixed = Section(
        "Fixed effects", table, names=("term",), measure="b", columns=also, conf_level=conf_level
    )
    sections = [fixed, random_section(fit)]
    if isinstance(fit, GeneralizedFit) and fit.dispersion is not None and not fit.at_limit:
        sections.append(dispersion_section(fit, conf_level=conf_level))
    aic = fit.deviance + 2.0 * fit.n_parameters
    return Account(
        method,
        notes,
        {"rows": fit.problem.n, **{g.name: len(g.labels) for g in fit.design.groupings}},
        tuple(sections),
        (Phrase(f"{fitted}-likelihood {{}}, AIC {{}}.", ((-fit.deviance / 2.0, 2), (aic, 2))),),
        fit.design.rows,
        sources=sources,
    )


def linear_method(fit: LinearFit) -> str:
    """Return how the model was fitted, with what was assumed of the residual."""
    parts = []
    if np.ptp(fit.design.root_weights) > 0 and not fit.problem.known:
        parts.append("weighted rows (residual at weight 1)")
    if fit.problem.known:
        parts.append("known sampling variances")
    for structure in fit.structures:
        match structure:
            case VarianceBy():
                parts.append(f"residual variance by {' and '.join(structure.columns)}")
            case VariancePower(of) | VarianceExponential(of):
                kind = "a power" if isinstance(structure, VariancePower) else "an exponential"
                parts.append(f"residual SD as {kind} of {of}")
            case CompoundSymmetry(within):
                parts.append(f"residuals equally correlated within {within}")
            case _:
                kind = type(structure).__name__
                parts.append(f"{kind} residuals over {structure.time}")
    assumed = f" with {' and '.join(parts)}" if parts else ""
    fitted = "REML" if fit.problem.reml else "maximum likelihood"
    return f"linear mixed model fitted by {fitted} ({fit.design.formula.text}){assumed}"


def generalized_method(fit: GeneralizedFit) -> str:
    """Return how the model was fitted."""
    integral = (
        "the Laplace approximation"
        if fit.nodes == 1
        else f"adaptive Gauss-Hermite quadrature with {fit.nodes} nodes"
    )
    if fit.design.groupings:
        kind, by = "generalized linear mixed model", f"maximum likelihood with {integral}"
    else:
        kind, by = "generalized linear model", "maximum likelihood"
    dispersion = fit.asked.dispersion
    variance = "" if dispersion is None else f", variance {dispersion.variance}"
    return (
        f"{kind} ({fit.asked.name}, {fit.family.link} link{variance}) "
        f"fitted by {by} ({fit.design.formula.text})"
    )


def generalized_notes(fit: GeneralizedFit) -> tuple[str, ...]:
    """Return the notes to read before any number."""
    found = []
    if not fit.convergence.converged:
        found.append(f"NOT CONVERGED: {fit.convergence.message} Do not use these numbers.")
    if fit.singular:
        sentences = boundary_sentences(fit.design.groupings, fit.template, {})
        found.append("Boundary (singular) fit: " + "; ".join(sentences) + ".")
    if fit.at_limit and fit.asked.dispersion is not None:
        end = "infinity" if np.isinf(fit.asked.dispersion.at) else "0"
        found.append(
            f"{fit.asked.dispersion.name} ran to {end}: rows scatter no more than in the "
            f"{fit.family.name} model, and these are its numbers (with one parameter more counted "
            "in the AIC)."
        )
    found += _aliased(fit.design.fixed.aliased)
    if isinstance(fit, OrdinalFit):
        found += _of_steps(fit)
    return (*found, *generalized_few_unit_notes(fit))


def _of_steps(fit: OrdinalFit) -> list[str]:
    """Say which steps no row or few rows are in."""
    found = []
    if fit.unused:
        them = "it" if len(fit.unused) == 1 else "them"
        found.append(
            f"No row used is in {_steps_named(fit.unused)}: nothing is known of {them}, and the "
            f"model gives {them} no probability."
        )
    n = len(fit.design.y)
    counts = np.bincount(fit.design.y.astype(np.int64), minlength=len(fit.steps))
    rare = tuple(s for s, k in zip(fit.steps, counts, strict=True) if k < RARE * n)
    if rare:
        found.append(
            f"Less than 1% of the rows are in {_steps_named(rare)}: thresholds beside it are known "
            "poorly."
        )
    return found


def _steps_named(steps: tuple[object, ...]) -> str:
    named = ", ".join(str(step) for step in steps)
    return f"{plural(len(steps), 'step')} ({named})" if len(steps) > 1 else f"step {named}"


def linear_notes(fit: LinearFit, called: Mapping[str, str]) -> tuple[str, ...]:
    """Return the notes to read before any number, terms under the names given."""
    found = []
    if not fit.convergence.converged:
        found.append(
            "NOT CONVERGED: the gradient's largest element is "
            f"{format_number(fit.convergence.gradient_norm, 4)}; do not use these numbers."
        )
    if fit.singular:
        sentences = boundary_sentences(fit.design.groupings, fit.template, called)
        found.append(
            "Boundary (singular) fit: "
            + "; ".join(sentences)
            + ". Standard errors and df (Satterthwaite) are those of the model without it."
            + _kept_at_boundary(fit, called)
        )
    found += _without_correlation(fit)
    aliased = [called.get(name, name) for name in fit.design.fixed.aliased]
    return (*found, *_aliased(aliased), *few_unit_notes(fit, called))


def _kept_at_boundary(fit: LinearFit, called: Mapping[str, str]) -> str:
    """Name the coefficients whose df shrink when variances at zero count as estimated."""
    if not fit.problem.reml or fit.problem.shape is not None or fit.problem.p == 0:
        return ""
    names = [fit.design.fixed.names[i] for i in fit.design.fixed.kept]
    ours, kept = (
        inference_on(fit, method).df(np.eye(len(names)))
        for method in ("satterthwaite", "kenward-roger")
    )
    fewer = [
        f"{called.get(name, name)} {format_df(few)} instead of {format_df(many)}"
        for name, many, few in zip(names, ours, kept, strict=True)
        if few < MUCH_FEWER * many
    ]
    if not fewer:
        return ""
    return (
        " Kenward-Roger's (df_method='kenward-roger', as pbkrtest) count it as estimated, with far "
        f"fewer df: {'; '.join(fewer)}. With few units that is the safer test."
    )


def _without_correlation(fit: LinearFit) -> list[str]:
    """Say so where a residual correlation that cannot be negative is at 0."""
    shape = fit.problem.shape
    if shape is None or not isinstance(shape.correlation, Serial) or shape.correlation.signed:
        return []
    if shape.correlation.phi(shape.parts(fit.eta)[-1]) > NO_CORRELATION:
        return []
    return [
        f"The residual correlation {shape.correlation.name} is at its lower bound, 0: the numbers "
        "are those of the model without it, but AIC and BIC count it."
    ]


def _aliased(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"Not estimable, since other columns determine them: {', '.join(names)}."]
