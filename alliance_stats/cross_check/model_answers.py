"""Mixed models and hazards by session, put to statsmodels."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from alliance_stats.cross_check.second_answer import (
    ITERATED,
    Answer,
    both,
    by_definition,
    by_fault,
    library,
    not_asked,
)
from alliance_stats.design.design import Design
from alliance_stats.estimates import Array
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.survival import CompetingHazards, DiscreteHazard

__all__ = [
    "family_of_theirs",
    "generalized_answers",
    "of_competing_hazards",
    "of_discrete_hazard",
    "of_generalized_mixed",
    "of_inner_model",
    "of_linear_mixed",
]

MOST_CELLS = 4_000_000  # of the matrices that MixedLM holds whole: beyond it takes hours
_SAME_OPTIMUM = 1e-3  # of a deviance: two searches that stopped on the same top
_SPREAD = 0.02  # of an SD: log-likelihoods as near as that leave it free by so much
_HESSIAN = (
    "(X'V^-1 X)^-1 at the fitted variances here, as lme4 (Laird & Ware 1982, "
    "doi:10.2307/2529876); theirs is the inverse of the observed Hessian of all parameters"
)
_STRUCTURE = "MixedLM has neither weights nor residual structures; R's nlme has"
_PAIRS = (
    "MixedLM has no residuals of pairs with two variances and a correlation; R's nlme has (gls, "
    "with corSymm and varIdent)"
)
_CROSSED = "MixedLM holds crossed factors as one dense block and takes hours; R's lme4 has them"
_SLOPES = (
    "MixedLM has correlated slopes at one level only (its variance components are independent); "
    "R's lme4 has them"
)
_LOWER = (
    "MixedLM stopped at a log-likelihood lower by {:.2g}: it did not reach the top (variances at "
    "zero, https://github.com/statsmodels/statsmodels/issues/10239)"
)
_SINGULAR = (
    "every search of MixedLM ends in a singular matrix "
    "(https://github.com/statsmodels/statsmodels/issues/10239)"
)
_MARGINAL = (
    "the coefficient for a given unit here, theirs averaged over units: smaller by about "
    "sqrt(1 + 0.346 variance) with a logit (Zeger, Liang & Albert 1988, doi:10.2307/2531734)"
)
_BAYES = (
    "statsmodels has generalized mixed models as Bayesian approximations with priors only "
    "(BinomialBayesMixedGLM); R's lme4 has this one"
)


def of_inner_model(result: Any) -> Iterator[Answer]:
    """Check the mixed model that a result is based on, if MixedLM can fit it."""
    if isinstance(result.model, LinearMixedModel):
        yield from of_linear_mixed(result.model)
        return
    for row in result.tidy().to_dict("records"):
        who = library("statsmodels", "MixedLM")
        yield not_asked(str(row["term"]), "estimate", row["estimate"], who, _PAIRS)


def of_linear_mixed(model: LinearMixedModel) -> Iterator[Answer]:
    """Check coefficients, standard errors, SDs and the log-likelihood by MixedLM."""
    fit, design = model.fit, model.design
    terms = [design.fixed.names[i] for i in design.fixed.kept]
    errors = np.sqrt(np.diag(fit.vcov))
    who = library("statsmodels", "MixedLM")
    reason = _why_not(model)
    if reason:
        for term, b in zip(terms, fit.beta, strict=True):
            yield not_asked(term, "estimate", b, who, reason)
        return
    theirs, own = _mixed(model), -fit.deviance / 2.0
    if theirs is None:
        for term, b in zip(terms, fit.beta, strict=True):
            yield not_asked(term, "estimate", b, who, _SINGULAR)
        return
    fault = ""
    if own - theirs.log_lik > _SAME_OPTIMUM:
        fault = _LOWER.format(own - theirs.log_lik)
    for i, term in enumerate(terms):
        yield both(
            term, "estimate", fit.beta[i], theirs.beta[i], who,
            close=ITERATED, scale=errors[i], known=by_fault(fault),
        )  # fmt: skip
        yield both(
            term, "std_error", errors[i], theirs.errors[i], who,
            close=ITERATED,
            known=by_fault(fault) if fault else by_definition(_HESSIAN, explains=0.3),
        )  # fmt: skip
    yield from _spreads(model, theirs, who, fault)
    yield both(
        "model",
        "log_lik",
        own,
        theirs.log_lik,
        who,
        close=_SAME_OPTIMUM,
        scale=1.0,
        known=by_fault(fault),
    )


def _why_not(model: LinearMixedModel) -> str:
    """Say why MixedLM is not used, or nothing."""
    fit, groupings = model.fit, _outermost_first(model.design)
    if fit.problem.shape is not None or fit.problem.known or np.ptp(model.design.root_weights) > 0:
        return _STRUCTURE
    if model.design.offset is not None:
        return "MixedLM has no offset"
    if any(len(grouping.terms) > 1 for grouping in groupings):
        return _SLOPES
    if len(groupings) > 1 and any(len(grouping.names) > 1 for grouping in groupings):
        return _SLOPES
    for outer, inner in itertools.pairwise(groupings):
        pairs = pd.DataFrame({"outer": outer.codes, "inner": inner.codes}).drop_duplicates()
        if pairs["inner"].duplicated().any():
            return _CROSSED
    if len(groupings) > 1:
        sizes = np.bincount(groupings[0].codes)
        if float((sizes.astype(float) ** 2).sum()) > MOST_CELLS:
            return "MixedLM takes hours for so many rows in its outermost units"
    return ""


def _outermost_first(design: Design) -> list[Any]:
    return sorted(design.groupings, key=lambda grouping: int(grouping.codes.max()))


class _Theirs(NamedTuple):
    """What MixedLM found, in the units of the data."""

    beta: Array
    errors: Array
    spreads: dict[str, Array]
    sigma: float
    log_lik: float


def _mixed(model: LinearMixedModel) -> _Theirs | None:
    """Fit by MixedLM on scaled columns, the best of its searches; None if all fail."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    design, reml = model.design, model.fit.problem.reml
    outer, *inner = _outermost_first(design)
    (basis,) = outer.terms
    Z = np.asarray(basis.coding.columns(design.frame), dtype=float)
    size, x_size, z_size = float(design.y.std()), _sizes(design.X), _sizes(Z)
    components = None
    if inner:
        blocks = [_indicators(outer.codes, grouping.codes) for grouping in inner]
        names = [grouping.name for grouping in inner]
        components = VCSpec(names, [labels for labels, _ in blocks], [own for _, own in blocks])
    asked = MixedLM(
        design.y / size, design.X / x_size, outer.codes, exog_re=Z / z_size, exog_vc=components
    )
    n, p = design.X.shape
    shift = (n - p if reml else n) * np.log(size) + (np.log(x_size).sum() if reml else 0.0)
    best = None
    for method in ("lbfgs", "bfgs", "cg", "powell"):
        try:
            found = asked.fit(reml=reml, method=method)
        except np.linalg.LinAlgError:  # its Hessian is singular where a variance is at zero
            continue
        if not np.isfinite(found.llf):  # a covariance that is singular along the way
            continue
        best = found if best is None or found.llf > best.llf else best
        if best.llf - shift > -model.fit.deviance / 2.0 - _SAME_OPTIMUM:
            break
    if best is None:
        return None
    spreads = {outer.name: np.asarray(best.cov_re) * size**2 / np.outer(z_size, z_size)}
    values = np.atleast_1d(best.vcomp)
    spreads |= {g.name: np.array([[v * size**2]]) for g, v in zip(inner, values, strict=True)}
    ratio = size / x_size
    return _Theirs(
        np.asarray(best.fe_params) * ratio,
        np.asarray(best.bse_fe) * ratio,
        spreads,
        float(np.sqrt(best.scale)) * size,
        float(best.llf) - float(shift),
    )


def _sizes(columns: Array) -> Array:
    return np.asarray(np.sqrt((columns**2).mean(axis=0)))


def _indicators(outer: Array, inner: Array) -> tuple[list[list[str]], list[Array]]:
    """Return names and indicators of the inner units of each outer unit."""
    names, found = [], []
    for unit in range(int(outer.max()) + 1):
        codes = inner[outer == unit]
        kept = np.unique(codes)
        found.append((codes[:, None] == kept).astype(float))
        names.append([str(code) for code in kept])
    return names, found


def _spreads(model: LinearMixedModel, theirs: _Theirs, who: str, fault: str) -> Iterator[Answer]:
    own, sigma = model.covariances(), float(model.fit.sigma)
    for name, other in theirs.spreads.items():
        mine = np.asarray(own[name])
        for i, effect in enumerate(_effects(model, name)):
            sd, found = np.sqrt(mine[i, i]), np.sqrt(max(other[i, i], 0.0))
            scale = max(sd, 0.1 * sigma / max(1.0, _largest(model, name, i)))
            yield both(
                f"{name}, {effect}", "sd", sd, found, who, close=_SPREAD, scale=scale,
                known=by_fault(fault),
            )  # fmt: skip
    yield both("Residual", "sd", sigma, theirs.sigma, who, close=ITERATED, known=by_fault(fault))


def _largest(model: LinearMixedModel, name: str, place: int) -> float:
    grouping = next(one for one in model.design.groupings if one.name == name)
    columns = np.asarray(grouping.terms[0].coding.columns(model.design.frame), dtype=float)
    return float(np.abs(columns[:, place]).max())


def _effects(model: LinearMixedModel, name: str) -> list[str]:
    grouping = next(one for one in model.design.groupings if one.name == name)
    return [str(effect) for effect in grouping.names]


def of_generalized_mixed(model: GeneralizedLinearMixedModel) -> Iterator[Answer]:
    """Check by GEE, which answers another question, if there is one grouping."""
    terms = [model.design.fixed.names[i] for i in model.design.fixed.kept]
    plain = model.fit.family.name in ("binomial", "poisson") and model.weights is None
    if len(model.design.groupings) > 1 or not plain:
        for term, b in zip(terms, model.beta, strict=True):
            yield not_asked(term, "estimate", b, library("statsmodels", "GLM"), _BAYES)
        return
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.generalized_estimating_equations import GEE

    fit = GEE(
        model.design.y, model.design.X, model.design.groupings[0].codes,
        family=family_of_theirs(model.fit), cov_struct=Exchangeable(), offset=model.design.offset,
    ).fit()  # fmt: skip
    who = library("statsmodels", "GEE")
    errors = np.sqrt(np.diag(model.vcov()))
    for i, term in enumerate(terms):
        yield both(
            term, "estimate", np.asarray(model.beta)[i], fit.params[i], who,
            close=ITERATED, known=by_definition(_MARGINAL, explains=1.0),
            scale=max(errors[i], abs(np.asarray(model.beta)[i])),
        )  # fmt: skip


def family_of_theirs(fit: GeneralizedFit) -> Any:
    """Return statsmodels' family with the link of a fit."""
    import statsmodels.api as sm

    links = sm.families.links
    kinds: dict[str, Callable[[], Any]] = {
        "logit": links.Logit, "cloglog": links.CLogLog, "probit": links.Probit, "log": links.Log
    }  # fmt: skip
    family = sm.families.Poisson if fit.family.name == "poisson" else sm.families.Binomial
    return family(link=kinds[fit.family.link]())


def generalized_answers(fit: GeneralizedFit, covariance: np.ndarray) -> Iterator[Answer]:
    """Check a model without random effects by GLM; `covariance` is the one under the model."""
    import statsmodels.api as sm

    design, outcome = fit.design, fit.problem.outcome
    terms = [design.fixed.names[i] for i in design.fixed.kept]
    y = design.y
    if fit.family.name == "binomial" and (outcome.trials != 1.0).any():
        y = np.column_stack([outcome.y, outcome.trials - outcome.y])
    theirs = sm.GLM(y, design.X, family=family_of_theirs(fit), offset=design.offset).fit(tol=1e-12)
    who = library("statsmodels", "GLM")
    errors = np.sqrt(np.diag(covariance))
    beta = np.asarray(fit.beta)
    observed = _OBSERVED if fit.family.link in ("cloglog", "probit") else ""
    for i, term in enumerate(terms):
        yield both(
            term, "estimate", beta[i], theirs.params[i], who, close=ITERATED, scale=errors[i]
        )
        yield both(
            term,
            "std_error",
            errors[i],
            theirs.bse[i],
            who,
            close=ITERATED,
            known=by_definition(observed, explains=0.3),
        )  # fmt: skip
    yield both("model", "log_lik", -fit.deviance / 2.0, theirs.llf, who, close=1e-5, scale=1.0)


_OBSERVED = (
    "from the observed information here (as glmmTMB), theirs from the expected one: with other "
    "than the canonical link they differ (Efron & Hinkley 1978, doi:10.1093/biomet/65.3.457)"
)


def of_discrete_hazard(model: DiscreteHazard) -> Iterator[Answer]:
    """Check by GLM where there are no random effects."""
    if model.has_effects:
        terms = [model.fit.design.fixed.names[i] for i in model.fit.design.fixed.kept]
        for term, b in zip(terms, np.asarray(model.fit.beta), strict=True):
            yield not_asked(term, "estimate", b, library("statsmodels", "GLM"), _BAYES)
        return
    found = generalized_answers(model.fit.fit, model.fit.vcov().to_numpy())
    if model.errors is None:
        yield from found
        return
    for answer in found:
        clustered = answer.measure == "std_error"
        yield replace(answer, measure="std_error under the model") if clustered else answer


def of_competing_hazards(model: CompetingHazards) -> Iterator[Answer]:
    """Check by MNLogit where there are no random effects."""
    from statsmodels.discrete.discrete_model import MNLogit

    who = library("statsmodels", "MNLogit")
    terms = [model.design.fixed.names[i] for i in model.design.fixed.kept]
    if model.effects is not None or np.isnan(model.beta).any():
        reason = "MNLogit has no random effects, and the same columns for each ending"
        for k, state in enumerate(model.states):
            for i, term in enumerate(terms):
                yield not_asked(f"{state}: {term}", "estimate", model.beta[k, i], who, reason)
        return
    codes = model.periods.frame[model.periods.event].to_numpy().astype(int)
    theirs = MNLogit(codes, model.design.X).fit(disp=0, method="newton", maxiter=200)
    errors = np.sqrt(np.diag(model.covariance)).reshape(model.beta.shape)
    b, se = np.asarray(theirs.params).T, np.asarray(theirs.bse).T
    for k, state in enumerate(model.states):
        for i, term in enumerate(terms):
            label = f"{state}: {term}"
            yield both(
                label, "estimate", model.beta[k, i], b[k, i], who,
                close=ITERATED, scale=errors[k, i],
            )  # fmt: skip
            if model.n_clusters is None:
                yield both(label, "std_error", errors[k, i], se[k, i], who, close=ITERATED)
    yield both("model", "log_lik", model.log_lik, theirs.llf, who, close=1e-5, scale=1.0)
