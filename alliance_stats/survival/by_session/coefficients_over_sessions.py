"""A coefficient that changes with time, of any hazard model: by session, and on other clocks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.arguments import require_kind
from alliance_stats.checks import did_you_mean
from alliance_stats.design.formula import formula_of, parse_terms
from alliance_stats.errors import DataError
from alliance_stats.estimates import LINK_WORDS, Array, Booleans, Integers
from alliance_stats.multilevel import GeneralizedLinearMixedModel, glmm
from alliance_stats.survival.by_session.competing_hazards import clustered_covariance
from alliance_stats.survival.by_session.competing_hazards_model import CompetingHazards
from alliance_stats.survival.by_session.discrete_hazard import covariance_over, without_effects
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.by_session.ending_logit import (
    EndingRows,
    MultinomialFit,
    fit_multinomial,
)
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.fine_gray_model import FineGrayModel
from alliance_stats.survival.cox.term_tests import robust_wald
from alliance_stats.survival.cox.varying_coefficient import (
    VaryingCoefficient,
    basis_of,
    change_names,
    read_term,
    varying_in_cox,
    varying_in_fine_gray,
)

__all__ = ["varying_coefficient"]


def varying_coefficient(
    model: CoxModel | FineGrayModel | DiscreteHazard | CompetingHazards,
    *,
    term: str,
    form: str = "log",
    form_df: int = 3,
    state: str | None = None,
) -> VaryingCoefficient:
    """Let one coefficient of a hazard model change with time: ``beta(t) = b0 + g(t) b``.

    The model is refitted with ``x g(t)`` added to its covariates. A Cox model's rows are cut at
    every event time (Therneau & Grambsch 2000, section 6.5, doi:10.1007/978-1-4757-3294-8), as
    R's ``coxph`` does for ``tt(x)``. In a Fine-Gray model, units with a competing ending stay in
    with a value at each time, as with ``tf`` of ``cmprsk::crr``; by session, g is a function of
    the session number. Where :func:`proportional_hazards_test` finds that a ratio changes, this
    shows what it is at each time.

    Parameters
    ----------
    model
        From :func:`cox_ph`, without weights or frailty; its clusters, strata and ties are kept.
        From :func:`fine_gray`, :func:`discrete_hazard` (weights, clusters and random effects are
        kept) or :func:`competing_hazards` without random effects.
    term
        The coefficient, by its name in ``model.tidy()``.
    form
        g(t): ``"log"``, ``"linear"`` or ``"spline"`` (natural cubic, knots at quantiles of the
        times of events).
    form_df
        Columns of the spline, not counting the constant.
    state
        For competing hazards, the ending; the other endings' coefficients stay constant.

    Returns
    -------
    VaryingCoefficient

    Raises
    ------
    DataError
        A term that is not in the model; too many rows to cut at every event time.
    NotIdentifiedError
        Events at fewer times than the function needs; separation.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study, varying_coefficient
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> found = varying_coefficient(model, term="investment")
    >>> found.curve([2, 8]).round(2)[["time", "estimate", "conf_low", "conf_high"]]
       time  estimate  conf_low  conf_high
    0   2.0     -0.51     -0.82      -0.19
    1   8.0      0.09     -0.22       0.41
    """
    require_kind(
        model,
        (CoxModel, FineGrayModel, DiscreteHazard, CompetingHazards),
        asked="varying_coefficient takes a model of cox_ph, fine_gray, discrete_hazard or "
        "competing_hazards",
    )
    if state is not None and not isinstance(model, CompetingHazards):
        raise ValueError("state= names an ending of a model of competing hazards; leave it out.")
    if isinstance(model, CoxModel):
        return varying_in_cox(model, term=term, form=form, form_df=form_df)
    if isinstance(model, FineGrayModel):
        return varying_in_fine_gray(model, term=term, form=form, form_df=form_df)
    if isinstance(model, DiscreteHazard):
        return _of_one_ending(model, term=term, form=form, form_df=form_df)
    return _of_competing(model, term=term, form=form, form_df=form_df, state=state)


def _of_one_ending(
    model: DiscreteHazard, *, term: str, form: str, form_df: int
) -> VaryingCoefficient:
    """Refit the hazards of one ending, with the covariate times functions of the session."""
    design, periods = model.fit.design, model.periods
    names = [design.fixed.names[k] for k in design.fixed.kept]
    read_term(term, names, form, form_df)
    frame, own = periods.frame, names.index(term)
    session = frame[periods.session].to_numpy(dtype=np.float64)
    ended = frame[periods.event].to_numpy(dtype=np.float64) == 1.0
    basis, times = basis_of(form, session[ended], form_df)
    changes = basis(session)[:, 1:] * design.X[:, [own]]
    added = change_names(term, form, changes.shape[1])
    data = frame.assign(**dict(zip(added, changes.T, strict=True)))
    fit = _refitted(model, data, added)
    covariance, q = fit.vcov().to_numpy(), len(added)
    statistic, test = max(2.0 * (fit.log_lik - model.fit.log_lik), 0.0), "likelihood ratio"
    beta = fit.beta.dropna()
    if model.errors is not None:
        vcov = "robust" if model.errors.reduced is None else "CR2"
        clusters = pd.Series(model.errors.cluster, index=data.index, name="cluster")
        covariance = covariance_over(fit, clusters, vcov).covariance
        test = "robust Wald"
        statistic = robust_wald(beta.to_numpy()[-q:], covariance[-q:, -q:])
    return VaryingCoefficient(
        term=term,
        form=form,
        basis=basis,
        names=tuple(beta.index),
        beta=beta.to_numpy(),
        covariance=covariance,
        place=np.array([own, *range(len(beta) - q, len(beta))]),
        time=times,
        statistic=statistic,
        df=q,
        test=test,
        n_clusters=model.n_clusters,
        rows=model.rows,
        kind=f"Discrete-time hazard model ({model.link} link)",
        ratio=LINK_WORDS[model.link].ratio or "",
        state=None,
    )


def _refitted(
    model: DiscreteHazard, data: pd.DataFrame, added: Sequence[str]
) -> GeneralizedLinearMixedModel:
    """Fit the model again with further columns."""
    own = model.fit.design.formula
    terms = parse_terms(" + ".join(f"`{name}`" for name in added)).without_intercept()
    whole = formula_of(model.periods.event, own.fixed + terms, own.random)
    if model.has_effects:
        link: Any = model.link
        return glmm(whole, data, family="binomial", link=link, nodes=model.nodes)
    return without_effects(whole, data, model.link, model.weights)


def _of_competing(
    model: CompetingHazards, *, term: str, form: str, form_df: int, state: str | None
) -> VaryingCoefficient:
    """Refit competing endings, one ending's coefficient changing with the session."""
    ending = _place_of(state, model)
    kept = [model.design.fixed.names[k] for k in model.design.fixed.kept]
    counts = ~np.isnan(model.beta)
    rows = model.ending_rows
    read_term(term, [name for name, own in zip(kept, counts[ending], strict=True) if own], form,
              form_df)  # fmt: skip
    session = model.periods.frame[model.periods.session].to_numpy(dtype=np.float64)
    basis, times = basis_of(form, session[rows.ending == ending + 1], form_df)
    changes = basis(session)[:, 1:] * rows.X[:, [kept.index(term)]]
    wider, spread = _widened(replace(rows, counts=counts), ending, changes)
    q = len(spread)
    everything = [*kept, *change_names(term, form, q)]
    named = [f"{model.states[k]}: {everything[j]}" for k, j in np.argwhere(wider.counts)]
    fit = fit_multinomial(wider, names=named)
    beta, covariance = _unscaled(fit, model.cluster, wider.counts, spread)
    places = np.full(wider.counts.shape, -1)
    places[wider.counts] = np.arange(int(wider.counts.sum()))
    place = np.array([places[ending, kept.index(term)], *places[ending, len(kept) :]])
    change = place[1:]
    statistic, test = max(2.0 * (fit.log_lik - model.log_lik), 0.0), "likelihood ratio"
    if model.cluster is not None:
        statistic = robust_wald(beta[change], covariance[np.ix_(change, change)])
        test = "robust Wald"
    return VaryingCoefficient(
        term=term,
        form=form,
        basis=basis,
        names=tuple(named),
        beta=beta,
        covariance=covariance,
        place=place,
        time=times,
        statistic=statistic,
        df=q,
        test=test,
        n_clusters=model.n_clusters,
        rows=model.rows,
        kind=f"Model of competing hazards, of '{state}',",
        ratio="odds ratio",
        state=state,
    )


def _place_of(state: str | None, model: CompetingHazards) -> int:
    """Return which of the model's endings is meant, where one coefficient can change."""
    if model.effects is not None:
        raise ValueError(
            "The model has random effects: fit it with cluster= instead, or give the formula the "
            "covariate times a function of the session."
        )
    if state not in model.states:
        raise DataError(
            f"state={state!r} is no ending of the model. {did_you_mean(state, model.states)}"
        )
    return model.states.index(state)


def _widened(rows: EndingRows, ending: int, changes: Array) -> tuple[EndingRows, Array]:
    """Return rows with further columns, of SD 1, that count for one ending; and their SDs."""
    spread = np.maximum(changes.std(axis=0), np.finfo(np.float64).tiny)
    more = np.zeros((len(rows.counts), len(spread)), dtype=bool)
    more[ending] = True
    X, counts = np.hstack((rows.X, changes / spread)), np.hstack((rows.counts, more))
    return replace(rows, X=X, counts=counts), spread


def _unscaled(
    fit: MultinomialFit, cluster: Integers | None, counts: Booleans, spread: Array
) -> tuple[Array, Array]:
    """Return coefficients and covariance, the last columns brought back from SDs of 1."""
    covariance: Array = fit.covariance if cluster is None else clustered_covariance(fit, cluster)
    scale = np.ones(counts.shape[1])
    scale[len(scale) - len(spread) :] = spread
    unscale = np.tile(scale, (len(counts), 1))[counts]
    return fit.beta[counts] / unscale, covariance / np.outer(unscale, unscale)
