"""Cox's proportional-hazards model of time to an ending."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, check_frame
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.survival.cox.cluster_errors import ClusterErrors, check_errors
from alliance_stats.survival.cox.cox_design import CoxDesign, cox_design, formula_variables
from alliance_stats.survival.cox.cox_fit import (
    CoxFit,
    cluster_errors,
    fit_cox,
    refuse_without_events,
)
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.frailty import FrailtyFit, fit_frailty
from alliance_stats.survival.cox.nested_frailty import NestedFrailty, fit_nested_frailty
from alliance_stats.survival.cox.risk_sets import RiskSets, risk_sets
from alliance_stats.survival.rows.hazard_rows import (
    refuse_outcomes,
    refuse_overlaps,
    refuse_the_future,
)
from alliance_stats.survival.rows.time_at_risk import (
    Intervals,
    as_columns,
    read_intervals,
    weighted_rows,
)

__all__ = ["cox_ph", "cox_rows"]


def cox_ph(
    formula: str,
    data: pd.DataFrame,
    *,
    event: Hashable,
    time: Hashable | None = None,
    start: Hashable | None = None,
    stop: Hashable | None = None,
    person: Hashable | None = None,
    known_before: Sequence[Hashable] = (),
    strata: Hashable | Sequence[Hashable] | None = None,
    cluster: Hashable | None = None,
    vcov: str = "robust",
    frailty: Hashable | Sequence[Hashable] | None = None,
    frailty_distribution: str = "gamma",
    ties: str = "efron",
    weights: Hashable | None = None,
) -> CoxModel:
    """Fit ``hazard(t) = h0(t) exp(x(t) beta)``, the proportional-hazards model of Cox (1972).

    Parameters
    ----------
    formula
        The covariates, as in ``"alliance + role"``. A term in ``offset(...)`` is added to
        the log hazard unchanged.
    data
        One row per unit (with `time`), or one per interval ``(start, stop]`` (with `start` and
        `stop`), on which the covariates are constant; a unit may have several, and several events.
    event
        Column: 1 or True where the row ends with the event.
    time, start, stop
        Columns: either `time` alone, or both others. A row that starts at t is not at risk at t.
    person
        Column: the person of each row. With it, overlapping rows of one person and covariates that
        know the future (a mean over the whole course) are refused. In a table of one row per unit
        such a mean looks like any fixed covariate: there,
        :func:`~alliance_stats.transforms.whole_course_means` has to be run on the sessions.
    known_before
        Columns fixed by design before treatment began (the order of conditions, a planned dose):
        they are never taken to know the future, whatever they add up to.
    strata
        Column or columns: each value has its own baseline hazard.
    cluster
        Column: standard errors are robust, from score residuals summed over its values
        (Lin & Wei 1989).
    vcov
        With `cluster`: ``"robust"``, or ``"CR2"`` for the bias-reduced covariance with
        Satterthwaite's degrees of freedom, which holds with few clusters
        (:mod:`alliance_stats.survival.cox.cluster_errors`).
    frailty
        Column: each of its values multiplies the hazard by its own random effect. Two columns,
        the inner first (``["family", "therapist"]``): families nested in therapists, lognormal
        (:mod:`alliance_stats.survival.cox.nested_frailty`).
    frailty_distribution
        ``"gamma"`` (mean 1; integrated likelihood) or ``"lognormal"`` (log frailty normal with
        mean 0; restricted maximum likelihood).
    ties
        ``"efron"`` or ``"breslow"``.
    weights
        Column of positive weights: how many rows each stands for (inverse probabilities of being
        treated, of being seen, of being sampled). Standard errors are then robust, over `cluster`
        or over the rows, because weights are not counts (Lin & Wei 1989; Binder 1992,
        doi:10.1093/biomet/79.1.139); they do not allow for the estimation of the weights.

    Returns
    -------
    CoxModel
        Its estimates are log hazard ratios per unit of the covariate.

    Raises
    ------
    DataError
        Impossible or overlapping intervals, a covariate that knows the future, or that is the
        outcome itself (the event, its time, and what `endings` makes of them).
    FormulaError
        A formula that cannot be read.
    NotIdentifiedError
        No events, a group without events, separation, covariates that do not vary.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> families = endings(example_study()).units
    >>> model = cox_ph(
    ...     "parent_trauma", families, time="time", event="event", cluster="therapist"
    ... )
    >>> model.tidy()[["term", "estimate", "std_error", "p_value"]].round(3)
                term  estimate  std_error  p_value
    0  parent_trauma     0.477       0.15    0.001
    """
    check_choice(ties, ("efron", "breslow"), name="ties")
    check_choice(frailty_distribution, ("gamma", "lognormal"), name="frailty_distribution")
    _check_errors(vcov, cluster=cluster, frailty=frailty, weights=weights)
    levels = as_columns(check_frame(data), frailty)
    if len(levels) > 2 or (len(levels) == 2 and frailty_distribution != "lognormal"):
        raise ValueError(
            "frailty= takes one level, or two nested ones with frailty_distribution='lognormal'; "
            f"got {len(levels)} levels and {frailty_distribution!r}."
        )
    design, intervals = cox_rows(
        formula, data, event=event, clock=(time, start, stop), person=person,
        known_before=known_before, strata=strata, cluster=levels[0] if levels else cluster,
        also=[column for column in (weights, *levels[1:]) if column is not None],
    )  # fmt: skip
    refuse_without_events(design, intervals)
    if frailty is not None:
        return _with_frailty(design, intervals, ties, levels, frailty_distribution)
    intervals = weighted_rows(intervals, weights)
    sets = risk_sets(intervals, ties=ties, weight=intervals.weight)
    X = design.X.take(sets.order, axis=1)
    fit = fit_cox(X, sets, design.terms)
    model_covariance: Array = np.asarray(np.linalg.inv(fit.information), dtype=np.float64)
    errors = None
    if intervals.cluster is not None:
        errors = cluster_errors(X, fit, sets, intervals.cluster, intervals.n_clusters, vcov=vcov)
    covariance = model_covariance if errors is None else errors.covariance
    return _model(
        (design, intervals, sets), fit, (covariance, model_covariance), ties=ties, errors=errors
    )


def _check_errors(vcov: str, *, cluster: object, frailty: object, weights: object) -> None:
    """Refuse kinds of standard errors that exclude each other."""
    check_errors(vcov, cluster)
    if frailty is not None and cluster is not None:
        raise ValueError(
            "frailty= and cluster= cannot go together: a frailty models the dependence that robust "
            "standard errors allow for. Choose one."
        )
    if weights is not None and (frailty is not None or vcov != "robust"):
        raise ValueError(
            "weights= gives robust standard errors; a frailty and vcov='CR2' are models of rows "
            "that count once. Leave one out."
        )


def cox_rows(
    formula: str,
    data: pd.DataFrame,
    *,
    event: Hashable,
    clock: tuple[Hashable | None, Hashable | None, Hashable | None],
    person: Hashable | None,
    known_before: Sequence[Hashable],
    strata: Hashable | Sequence[Hashable] | None,
    cluster: Hashable | None = None,
    also: Sequence[Hashable] = (),
) -> tuple[CoxDesign, Intervals]:
    """Read the rows of a hazard model, and check that its covariates were known in time.

    Parameters
    ----------
    clock
        Columns `time`, `start` and `stop` of :func:`cox_ph`.
    cluster
        Column of clusters or frailty groups.
    also
        Further columns that a row needs to be used.
    formula, data, event, person, known_before, strata
        As in :func:`cox_ph`.
    """
    entry, exit_ = _clock(*clock)
    variables = formula_variables(formula, offset=True)
    intervals = read_intervals(
        data,
        time=exit_,
        event=event,
        entry=entry,
        strata=strata,
        cluster=cluster,
        also=[*([] if person is None else [person]), *also],
    )
    refuse_outcomes(intervals.frame.columns, variables, outcomes=(exit_, event))
    if intervals.cluster is not None and intervals.n_clusters < 2:
        raise DataError(
            f"Column '{cluster}' holds one value: clusters and frailty groups must be at least two."
        )
    if person is not None:
        refuse_overlaps(intervals, person)
        refuse_the_future(
            intervals.frame, variables, person=person, session=exit_, known_before=known_before
        )
    return cox_design(formula, intervals)


def _clock(
    time: Hashable | None, start: Hashable | None, stop: Hashable | None
) -> tuple[Hashable | None, Hashable]:
    if time is not None and start is None and stop is None:
        return None, time
    if time is None and start is not None and stop is not None:
        return start, stop
    raise ValueError("Give either time=, for a row per unit, or start= and stop=, for intervals.")


def _model(
    arrays: tuple[CoxDesign, Intervals, RiskSets],
    fit: CoxFit,
    covariances: tuple[Array, Array],
    *,
    ties: str,
    frailty: FrailtyFit | NestedFrailty | None = None,
    errors: ClusterErrors | None = None,
) -> CoxModel:
    design, intervals, sets = arrays
    unscale = np.outer(design.scale, design.scale)
    covariance, model_covariance = covariances
    return CoxModel(
        design=design,
        intervals=intervals,
        sets=sets,
        fit=fit,
        beta=fit.beta / design.scale,
        covariance=covariance / unscale,
        model_covariance=model_covariance / unscale,
        ties=ties,
        frailty=frailty,
        errors=errors,
    )


def _with_frailty(
    design: CoxDesign,
    intervals: Intervals,
    ties: str,
    levels: tuple[Hashable, ...],
    distribution: str,
) -> CoxModel:
    sets = risk_sets(intervals, ties=ties, group=intervals.cluster)
    X = design.X.take(sets.order, axis=1)
    fit: CoxFit
    result: FrailtyFit | NestedFrailty
    if len(levels) == 2:
        both = (levels[0], levels[1])
        fit, covariance, result = fit_nested_frailty(X, sets, intervals, design.terms, both)
    else:
        one = (levels[0], distribution)
        fit, covariance, result = fit_frailty(X, sets, intervals, design.terms, one)
    return _model(
        (design, intervals, sets), fit, (covariance, covariance), ties=ties, frailty=result
    )
