"""Hazards in discrete time: the probability of leaving after each session, if still there."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import (
    check_choice,
    check_frame,
    did_you_mean,
    require_columns,
)
from alliance_stats.design.design import build_design
from alliance_stats.design.formula import (
    MixedFormula,
    RandomTerm,
    Terms,
    formula_of,
    parse_formula,
    parse_terms,
)
from alliance_stats.engine.families import family_of
from alliance_stats.engine.sandwich import RowVariances, cr2, turned
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import DataError, FormulaError
from alliance_stats.multilevel import GeneralizedLinearMixedModel, fit_generalized, glmm
from alliance_stats.renaming import renamed
from alliance_stats.survival.by_session.discrete_hazard_model import DiscreteHazard
from alliance_stats.survival.cox.cluster_errors import ClusterErrors, check_errors, read_clusters
from alliance_stats.survival.cox.cox_design import formula_variables
from alliance_stats.survival.rows.hazard_rows import (
    BASELINES,
    Periods,
    baseline_terms,
    check_baseline,
    read_periods,
    refuse_copies,
    refuse_outcomes,
    refuse_the_future,
)
from alliance_stats.survival.rows.time_at_risk import read_weights

__all__ = ["covariance_over", "discrete_hazard", "hazard_periods", "modelled", "without_effects"]


@renamed(df="baseline_df")
def discrete_hazard(
    formula: str,
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    known_before: Sequence[str] = (),
    random: str | None = "(1 | therapist)",
    cluster: str | None = None,
    vcov: str = "robust",
    link: Literal["cloglog", "logit"] = "cloglog",
    baseline: str = "dummies",
    baseline_df: int = 3,
    nodes: int | Literal["enough"] = 1,
    weights: str | None = None,
) -> DiscreteHazard:
    """Model the hazard of ending after each session.

    ``g(h_it) = baseline(t) + x_it beta + u``, where ``h_it`` is the probability that unit i ends in
    the interval after session t given that it was still in treatment, and u are random effects.

    Parameters
    ----------
    formula
        Covariates, as in ``"alliance + parent_trauma"``; ``"1"`` for none. A term in
        ``offset(...)`` is added to the linear predictor unchanged (the logarithm of the days
        between two sessions, so that hazards are per day).
    data
        One row per unit and session: :func:`~alliance_stats.transforms.person_period` or
        ``endings(...).periods()``. The values in the row of session t must have been known by
        session t.
    session, event
        Columns: session number; 1 where the unit ended in the interval after it, 0 where it came
        back, NaN where that is not yet known (set aside and counted).
    unit
        Column: id of the unit that ends: the family, where its members leave together; the person,
        where they leave one by one.
    known_before
        Columns fixed by design before treatment began (the order of conditions, a planned dose):
        they are never taken to know the future, whatever they add up to.
    random
        Random terms, as in ``"(1 | therapist)"``; None for none.
    cluster, vcov
        With ``random=None``. Column: standard errors are from scores summed over its values,
        ``"robust"`` (times ``G / (G - 1)``) or ``"CR2"``: bias-reduced, with Satterthwaite's
        degrees of freedom, which holds with few clusters
        (:mod:`alliance_stats.survival.cox.cluster_errors`).
    link
        ``"cloglog"``: coefficients are log hazard ratios, those of a Cox model whose times were
        grouped by session (Prentice & Gloeckler 1978). ``"logit"``: log odds ratios of leaving.
    baseline
        ``"dummies"``: each session has its own level; sessions after which no one left have
        hazard 0, are set aside and are listed in the ledger. ``"spline"`` (natural cubic) or
        ``"polynomial"``: smooth, with `baseline_df` columns plus the constant. ``"log"``: the
        logarithm of the session; ``"constant"``: the same hazard after every session.
    baseline_df
        See `baseline`; not used by dummies.
    nodes
        1 for the Laplace approximation, which can misplace the variance of groups with few events;
        more for adaptive Gauss-Hermite quadrature with that many nodes per effect, for one or two
        effects, as in :func:`glmm`; ``"enough"`` adds nodes until the likelihood is stable.
    weights
        With ``random=None``. Column of positive weights: how many rows each stands for (inverse
        probabilities of being treated, of being seen, of being sampled), brought to mean 1 as
        R's ``survey::svyglm`` does. Standard errors are then robust, over `cluster` or over the
        units, times ``G / (G - 1)``, because weights are not counts (Binder 1983,
        doi:10.2307/1402588); they do not allow for the estimation of the weights.

    Returns
    -------
    DiscreteHazard

    Raises
    ------
    FormulaError
        A formula that cannot be read, or that contains an outcome or a random term.
    DataError
        Impossible courses; covariates that know the future (a mean over the whole course); rows
        that are copies of one ending.
    NotIdentifiedError
        No events; separation, with the cells; a random effect of groups that end once each.
    ValueError
        ``nodes`` above 1 without random effects, or with more than two; `cluster` or `weights`
        with them.

    References
    ----------
    Prentice & Gloeckler (1978), doi:10.2307/2529588. Singer & Willett (1993),
    doi:10.3102/10769986018002155. Barber, Murphy, Axinn & Maples (2000),
    doi:10.1111/0081-1750.00079 (multilevel).

    Examples
    --------
    >>> from alliance_stats import discrete_hazard, example_study, person_period
    >>> sessions = example_study().sessions
    >>> periods = person_period(
    ...     sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    ... )
    >>> model = discrete_hazard(
    ...     "parent_trauma", periods, session="session", event="event", unit="family",
    ...     baseline="polynomial",
    ... )
    >>> model.tidy()[["term", "estimate", "std_error"]].round(2)
                      term  estimate  std_error
    0          (Intercept)     -3.73       0.20
    1  poly(session, 3)[1]    -16.97       8.11
    2  poly(session, 3)[2]     -8.27       8.65
    3  poly(session, 3)[3]     -1.30       7.64
    4        parent_trauma      0.48       0.24
    """
    check_choice(link, ("cloglog", "logit"), name="link")
    check_choice(baseline, BASELINES, name="baseline")
    _check_errors(random, cluster=cluster, vcov=vcov, weights=weights, nodes=nodes)
    data = check_frame(data)
    require_columns(data, [cluster, weights])
    groups = _groups(random)
    _check_groups(data, groups)
    periods = hazard_periods(
        formula,
        data,
        session=session,
        event=event,
        unit=unit,
        also=[*groups, *((column,) for column in (cluster, weights) if column is not None)],
        known_before=known_before,
        offset=True,
    )
    refuse_copies(periods, groups)
    periods, terms = modelled(formula, periods, baseline, baseline_df)
    whole = formula_of(event, terms, _random_terms(random))
    fit = (
        without_effects(whole, periods.frame, link, weights)
        if random is None
        else glmm(whole, periods.frame, family="binomial", link=link, nodes=nodes)
    )
    over = cluster if weights is None or cluster is not None else unit
    errors = None if over is None else covariance_over(fit, periods.frame[over], vcov)
    return DiscreteHazard(fit, periods, formula, baseline, errors, weights)


def _check_errors(
    random: str | None,
    *,
    cluster: str | None,
    vcov: str,
    weights: str | None,
    nodes: int | Literal["enough"],
) -> None:
    """Refuse random effects, kinds of standard errors and integrals that exclude each other."""
    if random is None and nodes != 1:
        raise ValueError(
            f"nodes={nodes} is for the integral over a random effect, and random=None leaves none: "
            "without it the likelihood is exact."
        )
    if cluster is not None and random is not None:
        raise ValueError(
            "cluster= gives robust standard errors of a model without random effects, whose "
            "standard errors allow for the nesting themselves: give random=None with it."
        )
    check_errors(vcov, cluster)
    if weights is not None and (random is not None or vcov != "robust"):
        raise ValueError(
            "weights= gives robust standard errors; random effects and vcov='CR2' are models of "
            "rows that count once. Give random=None with it, and leave vcov out."
        )


def modelled(
    formula: str, periods: Periods, baseline: str, baseline_df: int
) -> tuple[Periods, Terms]:
    """Return the periods that a model is fitted to, and its terms: the baseline's, then others.

    With dummies, sessions after which no one or everyone left are set aside.
    """
    check_baseline(baseline, baseline_df, len(periods.sessions))
    if baseline == "dummies":
        periods = periods.without_certain_sessions()
    covariates = parse_terms(formula).without_intercept()
    return periods, baseline_terms(baseline, periods, baseline_df) + covariates


def covariance_over(
    fit: GeneralizedLinearMixedModel, clusters: pd.Series, vcov: str
) -> ClusterErrors:
    """Return the covariance over clusters, from the expected information as in R's sandwich."""
    codes, n = read_clusters(clusters)
    problem = fit.problem
    order = problem.layout.order
    eta = problem.offset + fit.fit.gamma @ problem.Q
    mean, slope = problem.family.mean(eta), problem.family.mean_slope(eta)
    variance, own, weight = mean * (1.0 - mean), codes[order], problem.outcome.trials
    X, residual = (problem.Q * slope).T, problem.outcome.y - weight * mean
    rows = [np.flatnonzero(own == k) for k in range(n)]
    back = linalg.inv(fit.design.fixed.R)
    if vcov == "CR2":  # on the scale of the outcome, as clubSandwich has it
        reduced = turned(
            cr2(
                [X[k] for k in rows],
                [residual[k] for k in rows],
                [RowVariances(variance[k]) for k in rows],
            ),
            back,
        )
        return ClusterErrors(reduced.vcov, reduced.df(np.eye(len(back))), n, codes, reduced)
    weighted = X / variance[:, None]
    scores = np.stack([residual[k] @ weighted[k] for k in rows], axis=1)
    information = (weighted * weight[:, None]).T @ X
    influence = back @ linalg.solve(information, scores, assume_a="pos")
    covariance = influence @ influence.T * n / (n - 1.0)
    return ClusterErrors(np.asarray(covariance), np.full(len(back), np.inf), n, codes, None)


def without_effects(
    formula: MixedFormula, frame: pd.DataFrame, link: str, weights: str | None
) -> GeneralizedLinearMixedModel:
    """Fit the regression of independent rows, each counted as often as its weight says."""
    design, used = build_design(formula, frame, residual_variance=False)
    weight = None if weights is None else read_weights(frame, weights)
    return GeneralizedLinearMixedModel(
        fit_generalized(
            design, family_of("binomial", link), np.ones(len(used)), nodes=1, weights=None,
            offset=None, case_weight=None if weight is None else weight / weight.mean(),
        )
    )  # fmt: skip


def hazard_periods(
    formula: str,
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    also: Sequence[tuple[str, ...]] = (),
    causes: str | None = None,
    known_before: Sequence[str] = (),
    offset: bool = False,
) -> Periods:
    """Read the rows of a hazard model and check that its covariates were known in time.

    Parameters
    ----------
    formula, data, session, event, unit, known_before
        As in :func:`discrete_hazard`.
    also
        Further columns that a row needs to be used, one tuple per grouping factor.
    causes
        The caller's column of endings, where `event` holds several, coded from it.
    offset
        Whether the formula may have an ``offset()``.
    """
    parsed = parse_formula(formula, needs_response=False)
    if parsed.random:
        raise FormulaError(
            f"The formula {formula!r} has a bar. Random terms have an argument of their own: "
            "random='(1 | therapist)'."
        )
    if parsed.outcome is not None:
        raise FormulaError(
            f"The formula {formula!r} has a left-hand side. Write the covariates alone, as in "
            "'alliance + role'; session and event are arguments of their own."
        )
    named = set() if formula.strip() == "1" else formula_variables(formula, offset=offset)
    needed = [name for name in data.columns if str(name) in named]
    for group in also:
        needed += [label for label in data.columns if label in group or str(label) in group]
    periods = read_periods(
        data, session=session, event=event, unit=unit, needed=needed, causes=causes is not None
    )
    refuse_outcomes(data.columns, named, outcomes=[event] if causes is None else [event, causes])
    known = named - {session}
    with one_blas_thread():
        # a mean over the rows used knows the end as well as one over all
        for rows in (data, periods.frame) if len(periods.frame) < len(data) else (data,):
            refuse_the_future(rows, known, person=unit, session=session, known_before=known_before)
    return periods


def _check_groups(data: pd.DataFrame, groups: Sequence[tuple[str, ...]]) -> None:
    """Refuse a grouping that is not a column, naming the default where none was requested."""
    columns = [str(column) for group in groups for column in group]
    if columns == ["therapist"] and "therapist" not in data.columns:
        raise DataError(
            "data has no column 'therapist', and random='(1 | therapist)' is what is asked unless "
            "something else is: name the column of your own, as in random='(1 | clinic)', or say "
            f"random=None for no random effect. {did_you_mean('therapist', data.columns)}"
        )


def _groups(random: str | None) -> list[tuple[str, ...]]:
    """Return the columns of each grouping factor of the random terms."""
    return list(dict.fromkeys(term.grouping for term in _random_terms(random)))


def _random_terms(random: str | None) -> tuple[RandomTerm, ...]:
    if random is None:
        return ()
    parsed = parse_formula(random, needs_response=False)
    if not parsed.random or parsed.fixed.without_intercept().terms:
        raise FormulaError(
            f"random={random!r} is no random term: write it as '(1 | therapist)', or give "
            "random=None for no random effect."
        )
    return parsed.random
